//! `check`: what is fine and what is not before anything is relied on, and what to do about it. Leaves nothing anywhere.
//!
//! Not here: what a place says of itself ([`Target::check`](crate::target::Target::check)).

mod share;
mod target;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::CheckArgs;
use crate::cli::ask::read;
use crate::cli::collect::{shown, shown_place};
use crate::cli::text::{counted, harmless};
use crate::cli::{Exit, Failure, bind, say, say_data, source};
use crate::config::{Config, Share};
use crate::engine::share_uid;
use crate::index::{Overview, Reader, ShareOverview};
use crate::target::{Finding, Level};

/// A place that has not answered for so long is said not to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// What was found, as `check --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// No problem was found.
    fine: bool,
    /// The state folder, and each share followed by its targets.
    places: Vec<Checked>,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Checked {
    /// The share's name; `None` for the state folder.
    share: Option<String>,
    /// The target's name, if it is one.
    target: Option<String>,
    /// Where it is, escaped for printing.
    place: String,
    /// What was found there.
    findings: Vec<Line>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// `ok`, `note`, `warning` or `problem`.
    level: &'static str,
    /// What was found.
    message: String,
    /// What to do about it.
    hint: String,
    /// Command lines that do it.
    commands: Vec<String>,
}

/// `check`.
pub(super) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let config = source::config(&args.places)?;
    let report = report(&config);
    if args.output.is_data() {
        say_data(&report, &args.output)?;
    } else {
        say(&render(&report))?;
    }
    Ok(if report.fine { Exit::Fine } else { Exit::Problems })
}

/// Tells what is wrong or may go wrong, before the service is started.
pub(super) fn tell(config: &Config) -> Result<(), Failure> {
    let mut report = report(config);
    let grave = [word(Level::Warning), word(Level::Problem)];
    for place in &mut report.places {
        place.findings.retain(|line| grave.contains(&line.level));
    }
    report.places.retain(|place| !place.findings.is_empty());
    if report.places.is_empty() { Ok(()) } else { say(&render(&report)) }
}

fn report(config: &Config) -> Report {
    let (known, state) = state_folder(config);
    let agent = config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
    let walked: Vec<_> = config.shares.iter().map(|share| share::walk(share, seen(&known, share))).collect();
    let watches = share::watches(&walked);
    let mut places = vec![state];
    for (share, walked) in config.shares.iter().zip(&walked) {
        let known = seen(&known, share);
        let findings = share::findings(walked, &watches);
        places.push(checked(Some(share), None, shown(&share.path), findings));
        let uid = share_uid(&agent, share, known.map(|known| &*known.uid));
        for target in &share.targets {
            let told = known.and_then(|known| known.targets.iter().find(|other| other.name == target.name));
            let findings =
                target::Asked { share, target, walked, known: told, uid: &uid, agent: &agent }.findings(&config.prices);
            places.push(checked(Some(share), Some(&target.name), shown_place(&target.place), findings));
        }
    }
    let fine = places.iter().flat_map(|place| &place.findings).all(|line| line.level != word(Level::Problem));
    Report { fine, places }
}

fn seen<'a>(known: &'a Overview, share: &Share) -> Option<&'a ShareOverview> {
    known.shares.iter().find(|known| known.name == share.name)
}

/// What an agent knows already, and whether the folder can be used.
fn state_folder(config: &Config) -> (Overview, Checked) {
    let dir = &config.agent.state_dir;
    let mut findings = vec![match bind::check_state_dir(dir) {
        Ok(()) => Finding::new(Level::Fine, "it lies on a file system of this machine"),
        Err(failure) => told(Level::Problem, &failure),
    }];
    let known = match read(dir, Reader::overview) {
        Ok(Some(known)) => known,
        Ok(None) => {
            findings.push(Finding::new(Level::Note, "no agent has worked with it yet"));
            Overview::default()
        }
        Err(failure) => {
            findings.push(told(Level::Warning, &failure));
            Overview::default()
        }
    };
    (known, checked(None, None, shown(dir), findings))
}

fn told(level: Level, failure: &Failure) -> Finding {
    match failure {
        Failure::Told { message, hint, .. } => Finding::new(level, message).hint(hint.clone().unwrap_or_default()),
        Failure::NobodyReads => Finding::new(level, "it cannot be used"),
    }
}

fn checked(share: Option<&Share>, target: Option<&str>, place: String, findings: Vec<Finding>) -> Checked {
    let line = |found: Finding| Line {
        level: word(found.level),
        message: found.what,
        hint: found.hint,
        commands: found.commands,
    };
    Checked {
        share: share.map(|share| share.name.clone()),
        target: target.map(str::to_owned),
        place,
        findings: findings.into_iter().map(line).collect(),
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Fine => "ok",
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Problem => "problem",
    }
}

/// Asks on a thread of its own, which may hang for as long as it likes; `None` if it does.
fn within<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (out, answer) = sync_channel(1);
    let asking = std::thread::Builder::new().name("check".to_owned()).spawn(move || drop(out.send(ask())));
    asking.ok()?;
    answer.recv_timeout(DEADLINE).ok()
}

/// The device that a folder lies on.
fn device(folder: &Path) -> Option<u64> {
    fs::metadata(folder).map(|meta| meta.dev()).ok()
}

/// What is said of a place that hangs.
fn silent() -> Finding {
    let what = format!("it has not answered for {} s", DEADLINE.as_secs());
    Finding::new(Level::Problem, what).hint("check the mount, and the line to its server")
}

fn render(report: &Report) -> String {
    let places: Vec<_> = report.places.iter().map(render_place).collect();
    format!("{}\n{}\n", places.join("\n"), sum(report))
}

fn render_place(place: &Checked) -> String {
    let name = match (&place.share, &place.target) {
        (Some(share), Some(target)) => format!("{share}/{target}"),
        (Some(share), None) => share.clone(),
        (None, _) => "state folder".to_owned(),
    };
    let mut text = format!("{}: {}\n", harmless(&name), place.place);
    for line in &place.findings {
        text += &format!("  {}  {}\n", painted(line.level), harmless(&line.message));
        if !line.hint.is_empty() {
            text += &format!("           hint: {}\n", harmless(&line.hint));
        }
        for command in &line.commands {
            text += &format!("           {}\n", harmless(command));
        }
    }
    text
}

/// The word in its colour, padded. Where no terminal shows colours, they are taken out again.
fn painted(level: &str) -> String {
    let colour = match level {
        "problem" => 31,
        "warning" => 33,
        _ => 0,
    };
    if colour == 0 { format!("{level:<7}") } else { format!("\x1b[{colour}m{level:<7}\x1b[0m") }
}

fn sum(report: &Report) -> String {
    let lines = || report.places.iter().flat_map(|place| &place.findings);
    let count = |level: Level| lines().filter(|line| line.level == word(level)).count() as u64;
    match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "All is fine.".to_owned(),
        (0, warnings) => format!("{}, and no problem.", counted(warnings, "warning")),
        (problems, 0) => format!("{}.", counted(problems, "problem")),
        (problems, warnings) => format!("{}, {}.", counted(problems, "problem"), counted(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests;
