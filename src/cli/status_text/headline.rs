//! The verdict in one sentence, with its date: the gravest first, and what is complete all the same.

use crate::cli::report::{AgentState, ShareState, ShareStatus, Status, TargetState, TargetStatus, Verdict};
use crate::cli::text::{Screen, bytes, counted, grouped, harmless};

/// Things that are the matter, named in the headline (count); of more only the number is told.
const REASONS_MAX: usize = 2;
/// Complete targets that are named in it (count).
const COMPLETE_MAX: usize = 2;

/// The first line.
pub(super) fn headline(status: &Status, screen: &Screen) -> String {
    words(status, screen, &format!(" as of {}", screen.time(status.as_of)))
}

/// The same for whoever knows that it is of now.
pub(in crate::cli) fn undated(status: &Status, screen: &Screen) -> String {
    words(status, screen, "")
}

fn words(status: &Status, screen: &Screen, as_of: &str) -> String {
    if let Some(error) = &status.error {
        return format!("UNKNOWN: {}", harmless(&error.message));
    }
    if status.agent.heartbeat.is_none() {
        return "UNKNOWN: the agent has never run".to_owned();
    }
    let (when, later) = match status.agent.state {
        AgentState::Running => ("", ""),
        AgentState::Stopped => (", when the agent stopped", "later changes are not protected"),
        AgentState::Hung => (", when the agent last answered", "later changes may not be protected"),
    };
    let then = if later.is_empty() { String::new() } else { format!("; {later}") };
    match status.verdict {
        Verdict::Safe if later.is_empty() => format!("SAFE{as_of}"),
        Verdict::Safe => format!("SAFE{as_of}{when}: {later}"),
        Verdict::Syncing => format!("SYNCING{as_of}{when}: {}{then}", waiting(status)),
        Verdict::Attention if status.files() == Verdict::Safe => {
            format!("ATTENTION{as_of}: {}; all files are safe", of_the_configuration(status))
        }
        Verdict::Attention if status.files() == Verdict::Syncing => {
            format!("ATTENTION{as_of}: {}; {}", of_the_configuration(status), waiting(status))
        }
        Verdict::Attention | Verdict::Halted => {
            format!("NOT SAFE{as_of}{when}: {}{then}", reasons(status, screen))
        }
        Verdict::Unknown => format!("UNKNOWN{as_of}{when}: {}{then}", not_known(status, screen)),
    }
}

fn of_the_configuration(status: &Status) -> String {
    match &status.config {
        Some(config) if config.error.is_some() => "the configuration file is not taken".to_owned(),
        Some(config) if config.waiting.is_empty() => "something new in the configuration cannot begin".to_owned(),
        Some(config) if config.waiting.len() == 1 => "a change of the configuration waits for a person".to_owned(),
        Some(config) => format!("{} changes of the configuration wait for a person", config.waiting.len()),
        None => String::new(),
    }
}

fn waiting(status: &Status) -> String {
    let (count, size) = status.lanes().fold((0, 0), |(n, b), (_, t)| (n + t.pending, b + t.pending_bytes));
    match count {
        0 => "the first pass is not complete".to_owned(),
        1 => format!("1 change waits, {}", bytes(size)),
        _ => format!("{} changes wait, {}", grouped(count), bytes(size)),
    }
}

/// Nothing is claimed of now; what was so before may be told with its date.
fn not_known(status: &Status, screen: &Screen) -> String {
    let before = protected(status).map(|when| format!("; all was protected as of {}", screen.time(when)));
    let why = if status.agent.state == AgentState::Running && before.is_some() {
        "the first look since the start is under way"
    } else {
        "no full scan has ended yet"
    };
    format!("{why}{}", before.unwrap_or_default())
}

/// What was protected everywhere; `None` if of some target that is not known.
fn protected(status: &Status) -> Option<crate::cli::report::When> {
    let all: Option<Vec<_>> = status.lanes().map(|(_, target)| target.protected_as_of).collect();
    all?.into_iter().min()
}

/// What is the matter, the gravest first; and what is complete, if a target as a whole is the matter.
fn reasons(status: &Status, screen: &Screen) -> String {
    let offline = |share: &&ShareStatus| share.state == ShareState::Offline;
    let mut all: Vec<String> =
        status.shares.iter().filter(offline).map(|s| format!("share {} is offline", s.name)).collect();
    let (halted, other): (Vec<_>, Vec<_>) = status
        .lanes()
        .filter(|(_, target)| is_stuck(target))
        .partition(|(_, target)| target.state == TargetState::Halted);
    let away = !halted.is_empty() || !other.is_empty();
    all.extend(halted.iter().chain(&other).map(|(share, target)| stuck(status, share, target, screen)));
    let (problems, holds) = troubles(status);
    if problems > 0 {
        all.push(counted(problems, "problem"));
    }
    if holds > 0 {
        all.push(counted(holds, "hold"));
    }
    let more = all.len().saturating_sub(REASONS_MAX);
    all.truncate(REASONS_MAX);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    all.extend(complete(status).filter(|_| away));
    all.join("; ")
}

fn is_stuck(target: &TargetStatus) -> bool {
    match target.state {
        TargetState::Ok | TargetState::Resting => false,
        TargetState::Unresponsive | TargetState::Unreachable | TargetState::Halted | TargetState::Paused => true,
    }
}

fn stuck(status: &Status, share: &ShareStatus, target: &TargetStatus, screen: &Screen) -> String {
    let since = target.error.as_ref().map(|error| format!(" for {}", screen.ago(error.since))).unwrap_or_default();
    let files = match target.pending {
        0 => String::new(),
        1 => ", 1 change waits".to_owned(),
        n => format!(", {} changes wait", grouped(n)),
    };
    format!("{} {}{since}{files}", lane(status, share, target), target.state)
}

/// A target's name; with its share's where there are several.
fn lane(status: &Status, share: &ShareStatus, target: &TargetStatus) -> String {
    if status.shares.len() == 1 { target.name.clone() } else { format!("{}/{}", share.name, target.name) }
}

/// Which targets hold all that their shares hold.
fn complete(status: &Status) -> Option<String> {
    let is_complete = |share: &ShareStatus, target: &TargetStatus| {
        let works = matches!(target.state, TargetState::Ok | TargetState::Resting);
        let whole = target.pending + target.holds + target.problems == 0 && target.protected_as_of.is_some();
        works && whole && share.state != ShareState::Offline && share.scanned.is_some() && share.problems == 0
    };
    let lanes = status.lanes().filter(|(share, target)| is_complete(share, target));
    let names: Vec<_> = lanes.map(|(share, target)| lane(status, share, target)).collect();
    match &names[..] {
        [] => None,
        [one] => Some(format!("{one} is complete")),
        few if few.len() <= COMPLETE_MAX => Some(format!("{} are complete", few.join(" and "))),
        many => Some(format!("{} targets are complete", many.len())),
    }
}

/// Problems and holds over all places.
pub(super) fn troubles(status: &Status) -> (u64, u64) {
    let on_shares: u64 = status.shares.iter().map(|share| share.problems).sum();
    status.lanes().fold((on_shares, 0), |(problems, holds), (_, t)| (problems + t.problems, holds + t.holds))
}
