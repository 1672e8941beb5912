//! `verify`: reads back what targets hold, compares it with what was left there, and tells the agent.

mod read;
mod sample;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::args::{Cli, VerifyArgs};
use crate::cli::ask::unreadable;
use crate::cli::collect::{feel, never_ran, patiently};
use crate::cli::log::check_names;
use crate::cli::progress::{Progress, ProgressLine};
use crate::cli::source::{self, State};
use crate::cli::text::{bytes, counted, harmless, span};
use crate::cli::verify::read::{Reading, Stopped, Task};
use crate::cli::{Exit, Failure, agent, complain, logs, say, say_data};
use crate::config::{self, Config};
use crate::engine::state::{self, Liveness};
use crate::engine::{Seat, Used, clock, open_target, take_findings};
use crate::index::{Finding, Left, Outcome, Overview, Reader, Requests, ShareOverview, TargetOverview};
use crate::model::Kind;
use crate::target::{Bind, Target};

/// Findings reported at once (count).
const REPORTED: usize = 500;
/// Findings that may wait for an agent (count); with more, it is given time to take them in.
const UNTAKEN_MAX: u64 = 50_000;
/// How often, and how many times in a row, it is given time; then it goes on without.
const UNTAKEN_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
const UNTAKEN_PAUSES: u32 = 60;
/// Bad paths named, at most (count); more are only counted.
const NAMED_MAX: usize = 10_000;

/// What was read back, of all targets.
#[derive(Debug, Serialize)]
struct Report {
    /// Everything that was read is as it was left, and every target answered.
    fine: bool,
    targets: Vec<Lane>,
}

/// What was read back of one target.
#[derive(Debug, Serialize)]
struct Lane {
    share: String,
    target: String,
    /// The part of the files that was read: 1.0 is all.
    part: f64,
    /// Files and links that were read.
    read: u64,
    /// Their bytes.
    bytes: u64,
    seconds: f64,
    equal: u64,
    differs: u64,
    missing: u64,
    unreadable: u64,
    /// They were being changed while they were read.
    changing: u64,
    /// Why not all was read.
    error: Option<String>,
    hint: Option<String>,
    bad: Vec<Bad>,
}

/// A path that is not as it was left.
#[derive(Debug, Serialize)]
struct Bad {
    path: String,
    state: &'static str,
    message: String,
    hint: String,
}

impl Lane {
    fn is_fine(&self) -> bool {
        self.error.is_none() && self.wrong() == 0
    }

    fn wrong(&self) -> u64 {
        self.differs + self.missing + self.unreadable
    }
}

/// `verify`.
pub(super) fn verify(cli: &Cli, args: &VerifyArgs) -> Result<Exit, Failure> {
    let (asked, picked) = source::choice(&args.choice)?;
    let config = asked.configured("verify")?.clone();
    logs::begin(cli, &config, logs::Quiet::Yes);
    let index = asked.dir.join(state::INDEX);
    let internal = |error| unreadable(&asked.dir, &error);
    let reader = patiently(|| Reader::open(&index)).map_err(internal)?.ok_or_else(|| {
        let notice = never_ran(&asked.dir);
        Failure::cannot(Exit::Usage, "verify", notice.message).hint(notice.hint)
    })?;
    let overview = patiently(|| reader.overview()).map_err(internal)?;
    check_names(&picked, &overview)?;
    let mut post = Post::open(&asked, args.repair)?;
    let mut report = Report { fine: true, targets: Vec::new() };
    for share in &config.shares {
        for target in share.targets.iter().filter(|target| picked.has(&share.name, &target.name)) {
            let Some((known, at)) = known(&overview, &share.name, &target.name) else { continue };
            let job = Job { config: &config, reader: &reader, part: args.sample.unwrap_or(1.0) };
            report.targets.push(job.lane(known, at, target, &mut post)?);
        }
    }
    report.fine = report.targets.iter().all(Lane::is_fine);
    let wrong = report.targets.iter().map(Lane::wrong).sum();
    let next = post.hand_over(&config, &asked, wrong)?;
    if args.output.is_data() {
        say_data(&report, &args.output)?;
    } else {
        say(&render(&report))?;
        report.targets.iter().filter_map(failure).for_each(|failure| complain(&failure));
        say(&next)?;
    }
    Ok(if report.fine { Exit::Fine } else { Exit::Problems })
}

fn known<'a>(overview: &'a Overview, share: &str, target: &str) -> Option<(&'a ShareOverview, &'a TargetOverview)> {
    let share = overview.shares.iter().find(|known| known.name == share)?;
    Some((share, share.targets.iter().find(|known| known.name == target)?))
}

struct Job<'a> {
    config: &'a Config,
    reader: &'a Reader,
    part: f64,
}

impl Job<'_> {
    fn lane(
        &self,
        share: &ShareOverview,
        known: &TargetOverview,
        target: &config::Target,
        post: &mut Post,
    ) -> Result<Lane, Failure> {
        let mut lane = Lane {
            share: share.name.clone(),
            target: known.name.clone(),
            part: self.part,
            read: 0,
            bytes: 0,
            seconds: 0.0,
            equal: 0,
            differs: 0,
            missing: 0,
            unreadable: 0,
            changing: 0,
            error: None,
            hint: None,
            bad: Vec::new(),
        };
        let opened = self.open(share, known, target);
        let begun = clock::moment();
        let line = ProgressLine::on_terminal();
        let day = clock::wall().day();
        let stopped = match opened.probe(Bind::Never) {
            Err(error) => Err(Stopped::Target(error)),
            Ok(_) => {
                let task = Task {
                    id: known.id,
                    share: &share.name,
                    target: &*opened,
                    reader: self.reader,
                    part: self.part,
                    day,
                };
                task.run(&mut |left, reading| {
                    lane.count(left, reading);
                    line.show(self.progress(&lane, known));
                    post.add(known, left, reading)
                })
            }
        };
        line.clear();
        lane.seconds = clock::moment().since(begun).as_secs_f64();
        post.send()?;
        post.spent(known, day, opened.requests())?;
        match stopped {
            Ok(()) => {}
            Err(Stopped::Told(failure)) => return Err(failure),
            Err(Stopped::Index(error)) => return Err(unreadable(&self.config.agent.state_dir, &error)),
            Err(Stopped::Target(error)) => (lane.error, lane.hint) = (Some(error.to_string()), Some(error.hint)),
        }
        Ok(lane)
    }

    fn open(&self, share: &ShareOverview, known: &TargetOverview, target: &config::Target) -> Box<dyn Target> {
        let agent = self.config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
        let today = clock::wall().day();
        let since = |first: i64| {
            let days = known.requests.iter().filter(|(day, _)| *day >= first);
            days.map(|(_, requests)| requests.of_server()).sum()
        };
        let used = Used { today: since(today), this_month: since(clock::month_of(today).0) };
        let bound = known.bound.clone();
        open_target(target, &Seat { share_uid: &share.uid, bound, agent: &agent, berth: None, state_dir: None, used })
    }

    fn progress(&self, lane: &Lane, known: &TargetOverview) -> Progress {
        let part = |count: i64| (u64::try_from(count).unwrap_or(0) as f64 * self.part) as u64;
        Progress {
            done_files: lane.read,
            total_files: part(known.tally.files).max(lane.read),
            done_bytes: lane.bytes,
            total_bytes: part(known.tally.bytes).max(lane.bytes),
            scanning: false,
            found: 0,
            reads_back: true,
        }
    }
}

impl Lane {
    fn count(&mut self, left: &Left, reading: &Reading) {
        self.read += 1;
        if left.base.content.shape.kind == Kind::File && matches!(reading, Reading::Equal | Reading::Differs(_)) {
            self.bytes += left.base.content.shape.len;
        }
        let was = left.base.content.digest.short();
        let (state, message) = match reading {
            Reading::Equal => return self.equal += 1,
            Reading::Changing => return self.changing += 1,
            Reading::Differs(remote) => {
                self.differs += 1;
                let is = remote.seen.digest.map(|digest| digest.short()).unwrap_or_default();
                ("differs", format!("holds content {is} where {was} was left"))
            }
            Reading::Missing => {
                self.missing += 1;
                ("missing", format!("is not there, where content {was} was left"))
            }
            Reading::Unreadable(why, _) => {
                self.unreadable += 1;
                ("unreadable", format!("cannot be read: {}", harmless(why)))
            }
        };
        if self.bad.len() < NAMED_MAX {
            let lane = format!("--share {} --target {}", self.share, self.target);
            let hint = format!("driftline verify --repair {lane} puts the right content there");
            self.bad.push(Bad { path: left.path.to_string(), state, message, hint });
        }
    }
}

/// Takes the findings to the index.
struct Post {
    requests: Requests,
    state: State,
    waiting: Vec<Finding>,
    repair: bool,
    /// Not all could be kept: nobody takes them in.
    full: bool,
}

impl Post {
    fn open(asked: &State, repair: bool) -> Result<Self, Failure> {
        let requests = Requests::open(&asked.dir.join(state::INDEX)).map_err(|error| unreadable(&asked.dir, &error))?;
        let requests = requests.ok_or_else(|| {
            let notice = never_ran(&asked.dir);
            Failure::cannot(Exit::Usage, "verify", notice.message).hint(notice.hint)
        })?;
        Ok(Self { requests, state: asked.clone(), waiting: Vec::new(), repair, full: false })
    }

    fn add(&mut self, known: &TargetOverview, left: &Left, reading: &Reading) -> Result<(), Failure> {
        let outcome = match reading {
            Reading::Changing => return Ok(()),
            Reading::Equal => Outcome::Equal,
            Reading::Differs(_) | Reading::Missing | Reading::Unreadable(..) if self.repair => Outcome::Repair,
            Reading::Differs(_) | Reading::Missing | Reading::Unreadable(..) => Outcome::Bad,
        };
        self.waiting.push(Finding {
            id: 0,
            target: known.id,
            path: left.path.clone(),
            left: left.base.stamp.clone(),
            at: clock::wall(),
            outcome,
            found: reading.found(),
        });
        if self.waiting.len() >= REPORTED { self.send() } else { Ok(()) }
    }

    /// Bounded: an agent that is silent does not take them in.
    fn send(&mut self) -> Result<(), Failure> {
        let broken = |error| unreadable(&self.state.dir, &error);
        let mut pauses = 0;
        while !self.full && self.requests.reported().map_err(broken)? > UNTAKEN_MAX {
            match feel(&self.state.dir, clock::wall())?.liveness {
                Liveness::Running | Liveness::Starting if pauses < UNTAKEN_PAUSES => {
                    pauses += 1;
                    std::thread::sleep(UNTAKEN_PAUSE);
                }
                Liveness::Stopped => self.take_in()?,
                Liveness::Running | Liveness::Starting | Liveness::Hung => self.full = true,
            }
        }
        let mut findings = std::mem::take(&mut self.waiting);
        if self.full {
            findings.retain(|finding| finding.outcome != Outcome::Equal);
        }
        self.requests.report(&findings).map_err(|error| unreadable(&self.state.dir, &error))
    }

    fn spent(&self, known: &TargetOverview, day: i64, made: crate::model::Requests) -> Result<(), Failure> {
        self.requests.spent(known.id, day, made).map_err(|error| unreadable(&self.state.dir, &error))
    }

    /// Without an agent the index is this command's own.
    fn take_in(&self) -> Result<(), Failure> {
        let Some(config) = &self.state.config else { return Ok(()) };
        take_findings(config).map_err(agent::not_started)
    }

    /// Gives the findings to whoever keeps the index, and says what comes next.
    fn hand_over(self, config: &Config, asked: &State, wrong: u64) -> Result<String, Failure> {
        let mends = self.repair && wrong > 0;
        let paths = counted(wrong, "path");
        Ok(match (feel(&asked.dir, clock::wall())?.liveness, mends) {
            (Liveness::Stopped, true) => {
                let done = agent::pass(config)?;
                format!("{done}Repaired what was wrong ({paths}): see driftline log.\n")
            }
            (Liveness::Stopped, false) => {
                self.take_in()?;
                String::new()
            }
            (Liveness::Running | Liveness::Starting, true) => {
                format!("The agent puts {paths} right now: see driftline log --follow.\n")
            }
            (Liveness::Hung, true) => format!("The agent puts {paths} right once it answers again.\n"),
            (Liveness::Running | Liveness::Starting | Liveness::Hung, false) => String::new(),
        })
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    for lane in &report.targets {
        let part = if lane.part < 1.0 { format!(" ({}% of all)", lane.part * 100.0) } else { String::new() };
        let took = span(std::time::Duration::from_secs_f64(lane.seconds));
        let read = format!("{}{part}, {} read back in {took}", counted(lane.read, "file"), bytes(lane.bytes));
        let mut counts = BTreeMap::new();
        for (what, count) in [
            ("1 equal", lane.equal),
            ("2 different", lane.differs),
            ("3 missing", lane.missing),
            ("4 unreadable", lane.unreadable),
            ("5 changing", lane.changing),
        ] {
            if count > 0 {
                counts.insert(what, format!("{} {}", crate::cli::text::grouped(count), &what[2..]));
            }
        }
        let words = counts.into_values().collect::<Vec<_>>().join(", ");
        let words = if lane.equal == lane.read && lane.read > 0 { "all equal".to_owned() } else { words };
        let glue = if words.is_empty() { "" } else { ": " };
        text += &format!("{} -> {}: {read}{glue}{words}\n", harmless(&lane.share), harmless(&lane.target));
        for bad in &lane.bad {
            text += &format!("  {} {}\n", bad.path, bad.message);
        }
        let unnamed = lane.wrong().saturating_sub(u64::try_from(lane.bad.len()).unwrap_or(u64::MAX));
        if unnamed > 0 {
            text += &format!("  and {} more\n", crate::cli::text::grouped(unnamed));
        }
    }
    if text.is_empty() {
        "Nothing was ever left on these targets: there is nothing to read back.\n".to_owned()
    } else {
        text
    }
}

fn failure(lane: &Lane) -> Option<Failure> {
    let what = format!("verify {} -> {}", harmless(&lane.share), harmless(&lane.target));
    if let Some(error) = &lane.error {
        return Some(Failure::cannot(Exit::Problems, what, error).hint(lane.hint.clone().unwrap_or_default()));
    }
    let bad = lane.bad.first()?;
    let cause = format!("{} not as left", counted(lane.wrong(), "path"));
    Some(Failure::cannot(Exit::Problems, what, cause).hint(bad.hint.clone()))
}
