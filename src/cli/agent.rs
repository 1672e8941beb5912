//! `run` and `sync`: the engine in the foreground, with signals, systemd and progress.

use std::time::Duration;

use crate::cli::args::{Cli, Output, Places, RunArgs, SyncArgs};
use crate::cli::manager::{Told, reloading};
use crate::cli::plan_text::{PlanGroup, PlanSummary, render_plans};
use crate::cli::progress::{Progress, ProgressLine};
use crate::cli::report::When;
use crate::cli::text::{Screen, bytes, counted};
use crate::cli::{Exit, Failure, complain, logs, metrics, say, say_data, source};
use crate::config::Config;
use crate::engine::state::{Beat, Heartbeat, ShareState};
use crate::engine::{
    Ending, Engine, Keeper, LaneEnd, LaneState, Mode, Reloader, Snapshot, StartError, StateFolder, Stopper, clock,
    preview,
};
use crate::model::Moment;

/// How often progress is shown.
const SHOW: Duration = Duration::from_millis(100);

/// The agent, until it is told to stop.
pub(super) fn run(cli: &Cli, args: &RunArgs) -> Result<Exit, Failure> {
    let (config, digest) = source::to_run(&args.places)?;
    logs::begin(cli, &config, logs::Quiet::No);
    serve_metrics(&config, &args.places);
    let mut told = Told::new(&args.places);
    // Without a file there is nothing to read again: then SIGHUP ends it, as it ends other programs.
    let file = digest.map(|digest| File { places: args.places.clone(), digest });
    let Pass { ending, .. } = work(&config, Mode::Run, file.as_ref(), &mut |engine| told.tell(engine))?;
    told.stopping();
    for lane in ending.lanes.iter().filter(|lane| lane.pending > 0) {
        tracing::info!(share = lane.share, target = lane.name, pending = lane.pending, "stopped with changes waiting");
    }
    Ok(Exit::Fine)
}

/// Files are kept safe without them too.
fn serve_metrics(config: &Config, places: &Places) {
    let Some(address) = config.agent.metrics else { return };
    match metrics::serve(address, places) {
        Ok(()) => tracing::info!("metrics are served at http://{address}/metrics"),
        Err(error) => {
            tracing::warn!("cannot serve metrics at {address}: {error}; name another as `metrics` under [agent]");
        }
    }
}

/// One pass, or what it would do.
pub(super) fn sync(cli: &Cli, args: &SyncArgs) -> Result<Exit, Failure> {
    let config = source::config(&args.places)?;
    logs::begin(cli, &config, logs::Quiet::Yes);
    if args.dry_run {
        return plan(&config, &args.output);
    }
    let line = ProgressLine::on_terminal();
    let mut shown = Shown::default();
    let Pass { ending, .. } = work(&config, Mode::Sync, None, &mut |engine| shown.show(&line, engine))?;
    line.clear();
    if args.output.is_data() {
        say_data(&summary(&ending), &args.output)?;
    } else {
        say(&in_words(&ending))?;
        failures(&ending).iter().for_each(complain);
    }
    Ok(if ending.is_fine() { Exit::Fine } else { Exit::Problems })
}

/// One pass, for another command; what is complete after it.
pub(super) fn pass(config: &Config) -> Result<String, Failure> {
    let line = ProgressLine::on_terminal();
    let mut shown = Shown::default();
    let Pass { ending, .. } = work(config, Mode::Sync, None, &mut |engine| shown.show(&line, engine))?;
    line.clear();
    failures(&ending).iter().for_each(complain);
    Ok(in_words(&ending))
}

fn plan(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let line = ProgressLine::on_terminal();
    let mut shown = Shown::default();
    let Pass { mut engine, ending, _keeper } = work(config, Mode::Plan, None, &mut |engine| shown.show(&line, engine))?;
    line.clear();
    let plans = plans(config, &mut engine)?;
    if output.is_data() {
        say_data(&plans, output)?;
    } else {
        say(&render_plans(&plans, &Screen::here(When(clock::wall()))))?;
        failures(&ending).iter().filter(|_| !ending.offline.is_empty()).for_each(complain);
    }
    let reachable = ending.lanes.iter().all(|lane| lane.report.state != LaneState::Unreachable);
    Ok(if ending.offline.is_empty() && reachable { Exit::Fine } else { Exit::Problems })
}

fn plans(config: &Config, engine: &mut Engine) -> Result<Vec<PlanSummary>, Failure> {
    let internal = |error| Failure::cannot(Exit::Internal, "make the plan", error);
    let targets = config.shares.iter().flat_map(|share| share.targets.iter().map(move |target| (share, target)));
    let mut plans = Vec::new();
    for (id, (share, target)) in engine.targets().into_iter().zip(targets) {
        let Some((share_id, _, _)) = engine.names(id) else { continue };
        let groups = preview(engine.index(), share_id, id, &target.policy()).map_err(internal)?;
        let groups = groups.into_iter().map(|group| PlanGroup {
            action: group.action,
            folder: String::from_utf8_lossy(&group.folder).into_owned(),
            count: group.count,
            bytes: group.bytes,
            samples: group.samples.iter().map(ToString::to_string).collect(),
        });
        plans.push(PlanSummary { share: share.name.clone(), target: target.name.clone(), groups: groups.collect() });
    }
    Ok(plans)
}

/// A run that has ended; the state folder is kept until this is dropped.
struct Pass {
    engine: Engine,
    ending: Ending,
    _keeper: Keeper,
}

/// The configuration file that the agent runs with.
struct File {
    places: Places,
    digest: String,
}

/// How long an agent rests whose index found no room on its disk.
const FULL_REST: Duration = Duration::from_secs(10);

/// Opens the state folder, runs the engine, and hears signals meanwhile.
fn work(config: &Config, mode: Mode, file: Option<&File>, tell: &mut dyn FnMut(&Engine)) -> Result<Pass, Failure> {
    crate::sys::raw::ignore_lease_breaks();
    let agent = config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
    let dir = &config.agent.state_dir;
    let mut damaged = false;
    loop {
        let folder = StateFolder::open(dir, mode).map_err(not_started)?;
        let (index, guard) = folder.split();
        let internal = |error| {
            Failure::cannot(Exit::Internal, format!("keep the index in {}", dir.display()), error)
                .hint("check the disk under the state folder")
        };
        if mode != Mode::Plan {
            // Before anybody can take what an earlier run said for what this one says.
            let beat = Heartbeat::read(dir).ok().flatten().map(|(_, at)| at);
            index.begin_states(|said| ShareState::begun(said, beat).to_json()).map_err(internal)?;
        }
        let heartbeat = match mode {
            Mode::Run | Mode::Sync => Some(Heartbeat::start(dir, &beat(&agent), clock::wall()).map_err(|error| {
                Failure::cannot(Exit::Internal, format!("write the heartbeat in {}", dir.display()), error)
            })?),
            Mode::Plan => None,
        };
        let mut engine = Engine::new(config, &agent, index, mode).map_err(not_started)?;
        engine.begin_with(file.map_or("", |file| &file.digest)).map_err(internal)?;
        listen(engine.stopper(), file.map(|file| (engine.reloader(), file.places.clone())))?;
        match engine.run(heartbeat.as_ref(), tell) {
            Ok(ending) => {
                return Ok(Pass { engine, ending, _keeper: guard });
            }
            // Once: an index that is damaged again as soon as it is made lies on a disk that is.
            Err(error) if error.is_damage() && !damaged => damaged = true,
            // Others filled the disk in mid-turn: what was not yet written down is found out again.
            Err(error) if error.is_full() && mode == Mode::Run => {
                tracing::error!(
                    hint = "make room on the disk under the state folder",
                    "cannot keep the index: {error}"
                );
                std::thread::sleep(FULL_REST);
            }
            Err(error) => {
                let hint = if error.is_full() {
                    "make room on the disk under the state folder"
                } else {
                    "check the disk under the state folder"
                };
                return Err(
                    Failure::cannot(Exit::Internal, format!("keep the index in {}", dir.display()), error).hint(hint)
                );
            }
        }
        drop(engine);
        drop(guard);
    }
}

fn beat(agent: &str) -> Beat {
    Beat { name: agent.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() }
}

pub(super) fn not_started(error: StartError) -> Failure {
    let exit = if error.configuration { Exit::Config } else { Exit::Problems };
    Failure::cannot(exit, error.what, error.cause).hint(error.hint)
}

/// Hears signals on a thread of its own: the first SIGTERM or SIGINT ends the run in order, the second at once; SIGHUP has
/// the configuration file read again, where there is one.
fn listen(stopper: Stopper, file: Option<(Reloader, Places)>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let fault = |error: std::io::Error| Failure::cannot(Exit::Internal, "listen for signals", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
    let (mut term, mut int) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate()).map_err(fault)?, signal(SignalKind::interrupt()).map_err(fault)?)
    };
    if let Some((reloader, places)) = file {
        let mut hup = {
            let _within = runtime.enter();
            signal(SignalKind::hangup()).map_err(fault)?
        };
        runtime.spawn(async move {
            while hup.recv().await.is_some() {
                tracing::info!("the configuration file is read again");
                reloading();
                reloader.reload(source::anew(&places));
            }
        });
    }
    let hear = move || {
        runtime.block_on(async {
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            stopper.stop();
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(hear).map(drop).map_err(fault)
}

/// Progress from snapshots: what was ever waiting is the whole, what no longer waits is done.
#[derive(Default)]
struct Shown {
    at: Moment,
    total: u64,
    total_bytes: u64,
}

impl Shown {
    fn show(&mut self, line: &ProgressLine, engine: &Engine) {
        let now = clock::moment();
        if now.since(self.at) < SHOW {
            return;
        }
        self.at = now;
        let Snapshot { scanning, files, pending, pending_bytes } = engine.snapshot();
        self.total = self.total.max(pending);
        self.total_bytes = self.total_bytes.max(pending_bytes);
        line.show(Progress {
            done_files: self.total - pending,
            total_files: self.total,
            done_bytes: self.total_bytes - pending_bytes,
            total_bytes: self.total_bytes,
            scanning,
            found: files,
            reads_back: false,
        });
    }
}

#[derive(serde::Serialize)]
struct Summary {
    fine: bool,
    stopped: bool,
    problems: u64,
    targets: Vec<TargetSummary>,
}

#[derive(serde::Serialize)]
struct TargetSummary {
    share: String,
    target: String,
    files: u64,
    bytes: u64,
    pending: u64,
    holds: u64,
    error: Option<String>,
}

fn summary(ending: &Ending) -> Summary {
    let target = |lane: &LaneEnd| TargetSummary {
        share: lane.share.clone(),
        target: lane.name.clone(),
        files: lane.files,
        bytes: lane.bytes,
        pending: lane.pending,
        holds: lane.holds,
        error: why_not(lane, ending).map(|(why, _)| why),
    };
    let (fine, stopped, problems) = (ending.is_fine(), ending.stopped, ending.problems);
    Summary { fine, stopped, problems, targets: ending.lanes.iter().map(target).collect() }
}

/// Why a target is not complete, and what to do.
fn why_not(lane: &LaneEnd, ending: &Ending) -> Option<(String, String)> {
    if let Some(halt) = &lane.report.halt {
        return Some((
            halt.message.clone(),
            format!("see `driftline status`; if it is right: driftline approve {}/{}", lane.share, lane.name),
        ));
    }
    if let Some((_, why)) = ending.offline.iter().find(|(share, _)| *share == lane.share) {
        return Some((why.clone(), "mount the share again; nothing was touched on its targets".to_owned()));
    }
    if let Some((failure, _)) = &lane.report.error {
        return Some((failure.message.clone(), failure.hint.clone()));
    }
    if lane.report.state == LaneState::Paused {
        return Some(("it is paused".to_owned(), "driftline resume".to_owned()));
    }
    if lane.holds > 0 {
        return Some((format!("{} held", counted(lane.holds, "path")), "see `driftline problems`".to_owned()));
    }
    let hint = if ending.stopped { "run it again: it goes on from here" } else { "see `driftline pending`" };
    (lane.pending > 0).then(|| (format!("{} waiting", counted(lane.pending, "change")), hint.to_owned()))
}

/// What is complete, for standard output.
fn in_words(ending: &Ending) -> String {
    let mut text = String::new();
    for lane in ending.lanes.iter().filter(|lane| why_not(lane, ending).is_none()) {
        let held = format!("{}, {}", counted(lane.files, "file"), bytes(lane.bytes));
        text.push_str(&format!("{} -> {}: complete, {held}\n", lane.share, lane.name));
    }
    if ending.stopped {
        text.push_str("Stopped before it was done.\n");
    }
    text
}

/// What is not complete or cannot be read, each as an error with its hint.
fn failures(ending: &Ending) -> Vec<Failure> {
    let mut failures = Vec::new();
    for lane in &ending.lanes {
        if let Some((why, hint)) = why_not(lane, ending) {
            let what = format!("complete {} -> {}", lane.share, lane.name);
            failures.push(Failure::cannot(Exit::Problems, what, why).hint(hint));
        }
    }
    if ending.problems > 0 {
        let what = format!("read {}", counted(ending.problems, "path"));
        failures.push(Failure::cannot(Exit::Problems, what, "each has its own cause").hint("see `driftline problems`"));
    }
    failures
}
