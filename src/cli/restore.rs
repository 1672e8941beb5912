//! `restore`: a file, a folder or a whole share is had back, as it is on a target or as it was at some time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::RestoreArgs;
use crate::cli::collect::shown;
use crate::cli::progress::{Progress, ProgressLine};
use crate::cli::report::When;
use crate::cli::text::{Screen, bytes, counted, harmless, shell_word, span};
use crate::cli::wanted::{Chosen, Open, choose};
use crate::cli::when;
use crate::cli::{Exit, Failure, say, say_data, source};
use crate::engine::clock;
use crate::engine::restore::{Counts, Known, RestoreError, Restored, Wanted, restore as bring};
use crate::engine::state::INDEX;
use crate::index::Reader;
use crate::local::{Ignore, root_id};
use crate::model::{RelPath, Stamp, Wall};

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// What became of it, as `restore --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Report {
    /// The share's name.
    share: String,
    /// What was wanted, below the share; empty for all of it.
    path: String,
    /// The target that it came from.
    from: String,
    /// As it was then; `null` for as it is on the target now.
    as_of: Option<When>,
    /// The folder that it was put in.
    to: String,
    /// Nothing was written.
    dry_run: bool,
    /// Files and links that are as they were.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// How many of them were so already.
    same: u64,
    /// Folders.
    folders: u64,
    /// Files that no hash could prove.
    unproved: u64,
    /// Things that gave way and are kept.
    kept: u64,
    /// Those of them that were not there then.
    set_aside: u64,
    /// The folder in which they are kept.
    kept_in: Option<String>,
    /// Owners could not be set.
    owners_denied: bool,
    /// Files and folders that lack the access control list that they had.
    lists_lost: u64,
    /// What could not be had back.
    failed: u64,
    /// Some of it, and why.
    failures: Vec<FailureLine>,
    /// How long it took (seconds).
    seconds: f64,
}

/// One path that could not be had back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FailureLine {
    /// Which.
    path: String,
    /// Why.
    message: String,
}

/// `restore`.
pub(super) fn restore(args: &RestoreArgs) -> Result<Exit, Failure> {
    let what = match &args.path {
        Some(path) => format!("restore {}", shown(path)),
        None => "restore the share".to_owned(),
    };
    let as_of = as_of(args, &what)?;
    let chosen = choose(&args.places, args.path.as_deref(), &what)?;
    let open = open(&chosen, args.from.as_deref(), &what)?;
    let (root, called) = destination(&chosen, args, &what)?;
    let ignore = Ignore::new(&chosen.share.ignore).map_err(|error| Failure::cannot(Exit::Config, &what, error))?;
    let is_ours = |path: &RelPath| ignore.rule(path).is_none();
    let reader = Mutex::new(reader(&chosen));
    let known = |path: &RelPath, stamp: &Stamp| left_there(&chosen, &reader, &open.name, path, stamp);
    let now = clock::wall();
    let run = When(now).to_string().replace(':', "");
    let wanted = Wanted {
        target: &*open.target,
        under: &chosen.path,
        as_of,
        root: &root,
        called: &called,
        run: &run,
        exact: if args.exact { Some(&is_ours) } else { None },
        dry_run: args.dry_run,
        known: &known,
    };
    let begun = clock::moment();
    let outcome = with_progress(&wanted)
        .map_err(|error| Failure::cannot(Exit::Problems, &what, &error.message).hint(&error.hint))?;
    let took = clock::moment().since(begun);
    let report = report(&chosen, &open, args, (as_of, &root, &called), outcome, took);
    if args.output.is_data() {
        say_data(&report, &args.output)?;
    } else {
        say(&render(&report, &Screen::here(When(now)), took))?;
    }
    let nothing = report.files + report.folders == 0 && report.failed == 0 && !args.dry_run;
    Ok(if report.failed > 0 || nothing { Exit::Problems } else { Exit::Fine })
}

fn as_of(args: &RestoreArgs, what: &str) -> Result<Option<Wall>, Failure> {
    let read = |text: &String| when::parse(text, &clock::here());
    args.as_of
        .as_ref()
        .map(read)
        .transpose()
        .map_err(|(cause, hint)| Failure::cannot(Exit::Usage, what, cause).hint(hint))
}

/// The target that was named, or the first that answers.
pub(super) fn open(chosen: &Chosen, from: Option<&str>, what: &str) -> Result<Open, Failure> {
    let mut first = None;
    for target in chosen.targets(from, what)? {
        match chosen.open(target) {
            Ok(open) => return Ok(open),
            Err(error) => first = first.or(Some((target.name.clone(), error))),
        }
    }
    let (name, error) = first.expect("there is at least one target, and it did not open");
    let cause = format!("{}/{name} cannot be read: {error}", chosen.share.name);
    let hint = match chosen.known {
        Some(_) => error.hint,
        None => format!(
            "{}; on a new machine give the agent, the share and its folder the names that they had ([agent] name)",
            error.hint
        ),
    };
    Err(Failure::cannot(Exit::Problems, what, cause).hint(hint))
}

/// The folder to put it in, and what it is called there.
fn destination(chosen: &Chosen, args: &RestoreArgs, what: &str) -> Result<(PathBuf, RelPath), Failure> {
    let Some(to) = &args.to else {
        in_its_place(chosen, what)?;
        return Ok((chosen.share.path.clone(), chosen.path.clone()));
    };
    if !args.dry_run {
        match std::fs::create_dir(to) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                let failure = Failure::cannot(Exit::Usage, what, format!("{} cannot be made: {error}", shown(to)));
                return Err(failure.hint("name a folder that is there, or one in a folder that is there"));
            }
            _there => {}
        }
    }
    let name = RelPath::new(chosen.path.name()).expect("a part of a path is a path");
    Ok((source::absolute(to)?, name))
}

/// The share has to be the one that it was bound to: what is restored to a bare mount point is hidden by the next mount.
fn in_its_place(chosen: &Chosen, what: &str) -> Result<(), Failure> {
    let path = &chosen.share.path;
    let hint = "mount it, or restore to another folder with --to";
    let found = root_id(path).map_err(|error| {
        Failure::cannot(Exit::Problems, what, format!("the share's folder {}: {error}", shown(path))).hint(hint)
    })?;
    let bound = chosen.known.as_ref().and_then(|known| known.bound);
    match bound {
        Some((fsid, ino)) if (fsid, ino) != (found.fsid, found.ino) => {
            let cause = format!("{} is not the folder that the share is bound to", shown(path));
            Err(Failure::cannot(Exit::Problems, what, cause).hint(hint))
        }
        Some(_) | None => Ok(()),
    }
}

fn reader(chosen: &Chosen) -> Option<Reader> {
    let path = chosen.config.agent.state_dir.join(INDEX);
    Reader::open(&path).ok().flatten()
}

/// What the agent left there, if what lies there is that.
fn left_there(
    chosen: &Chosen,
    reader: &Mutex<Option<Reader>>,
    target: &str,
    path: &RelPath,
    stamp: &Stamp,
) -> Option<Known> {
    let target = chosen.known.as_ref()?.targets.iter().find(|known| known.name == target)?.id;
    let reader = reader.lock().ok()?;
    let (left, _) = reader.as_ref()?.left_at(target, path).ok()??;
    (left.stamp == *stamp).then_some(Known { digest: left.content.digest, acl: left.meta.acl })
}

fn with_progress(wanted: &Wanted<'_>) -> Result<Restored, RestoreError> {
    let (counts, ended) = (Counts::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let shower = scope.spawn(|| {
            let line = ProgressLine::on_terminal();
            while !ended.load(Ordering::Relaxed) {
                show(&line, &counts);
                std::thread::park_timeout(SHOWN_EVERY);
            }
        });
        let outcome = bring(wanted, &counts);
        ended.store(true, Ordering::Relaxed);
        shower.thread().unpark();
        outcome
    })
}

fn show(line: &ProgressLine, counts: &Counts) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let total_files = count(&counts.files);
    line.show(Progress {
        done_files: count(&counts.done),
        total_files,
        done_bytes: count(&counts.done_bytes),
        total_bytes: count(&counts.bytes),
        scanning: total_files == 0,
        found: count(&counts.told),
        reads_back: true,
    });
}

fn report(
    chosen: &Chosen,
    open: &Open,
    args: &RestoreArgs,
    (as_of, root, called): (Option<Wall>, &Path, &RelPath),
    outcome: Restored,
    took: Duration,
) -> Report {
    let failures = outcome.failures.into_iter().map(|(path, message)| FailureLine { path: path.to_string(), message });
    Report {
        share: chosen.share.name.clone(),
        path: chosen.path.to_string(),
        from: open.name.clone(),
        as_of: as_of.map(When),
        to: shown(&called.under(root)),
        dry_run: args.dry_run,
        files: outcome.files,
        bytes: outcome.bytes,
        same: outcome.same,
        folders: outcome.folders,
        unproved: outcome.unproved,
        kept: outcome.kept,
        set_aside: outcome.set_aside,
        kept_in: outcome.kept_in.map(|kept| shown(&kept.under(root))),
        owners_denied: outcome.owners_denied,
        lists_lost: outcome.lists_lost,
        failed: outcome.failed,
        failures: failures.collect(),
        seconds: took.as_secs_f64(),
    }
}

/// How long it took, and how much it was in a second, where it took one.
fn pace(report: &Report, took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds == 0 {
        return span(took);
    }
    let (files, size) = (counted(report.files / seconds, "file"), bytes(report.bytes / seconds));
    format!("{}, {files} and {size} a second", span(took))
}

fn render(report: &Report, screen: &Screen, took: Duration) -> String {
    let what = if report.path.is_empty() { report.share.clone() } else { format!("{}/{}", report.share, report.path) };
    let when = report.as_of.map_or_else(
        || "as it is there now".to_owned(),
        |as_of| format!("as of {} ({} ago)", screen.time(as_of), screen.ago(as_of)),
    );
    let head = format!("{} from {}, {when}, to {}\n", harmless(&what), harmless(&report.from), report.to);
    let size = format!("{}, {}", counted(report.files, "file"), bytes(report.bytes));
    if report.dry_run {
        return format!("{head}{size} to bring.\nDry run: nothing was changed.\n");
    }
    let mut text = head;
    if report.files + report.folders + report.failed == 0 {
        let path = if report.path.is_empty() { "PATH".to_owned() } else { shell_word(&report.path) };
        return text + &format!("Nothing lay there then.\nhint: see what did, and when: driftline history {path}\n");
    }
    let are = if report.files == 1 { "is as it was" } else { "are as they were" };
    text += &format!("{size} {are}, {} already; {}.\n", report.same, pace(report, took));
    if report.unproved > 0 {
        let files = counted(report.unproved, "file");
        text += &format!("{files} could not be proved: nothing says what the hash should be.\n");
    }
    if let Some(kept_in) = &report.kept_in {
        let aside = match report.set_aside {
            0 => String::new(),
            aside => format!(" ({aside} were not there then)"),
        };
        text += &format!("{} gave way{aside}, kept in {kept_in}\n", counted(report.kept, "thing"));
    }
    if report.owners_denied {
        text += "Owners are not what they were: only root may set them.\n";
    }
    if report.lists_lost > 0 {
        let things = counted(report.lists_lost, "thing");
        text += &format!("Without the access control list that it had, which may not be set there: {things}.\n");
    }
    if report.failed > 0 {
        text += &format!("{} could not be had back:\n", counted(report.failed, "path"));
        for line in &report.failures {
            text += &format!("  {}: {}\n", harmless(&line.path), harmless(&line.message));
        }
    }
    text
}
