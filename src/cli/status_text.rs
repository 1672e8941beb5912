//! `status` for people, on one screen: the verdict with its date, the places, and what to do next.
//!
//! `headline` is the first line, `places` the table. Nothing here is wider than the screen but commands that are: those have
//! a line of their own, which a terminal breaks so that they can be copied.

mod headline;
mod places;

pub(super) use self::headline::undated;

use crate::cli::halt::render_halt;
use crate::cli::report::{
    AgentState, ConfigStatus, ShareState, ShareStatus, Status, TargetState, TargetStatus, Verdict,
};
use crate::cli::text::{Screen, cut, grouped, harmless};
use crate::model::{EXHAUSTED, TOO_MANY_FILES};

/// What makes the agent read its file again.
pub(super) const RELOAD: &str = "systemctl reload driftline, or send the agent SIGHUP where it is no service";
/// What makes an agent run. A service that ended again and again is started only once systemd forgot that; no `&&`, since it
/// refuses to forget what it does not know.
pub(super) const START: &str =
    "start the agent: driftline run, or as a service: systemctl reset-failed driftline; systemctl start driftline";

/// The whole screen. It begins with the verdict.
pub fn render_status(status: &Status, screen: &Screen) -> String {
    let mut text = screen.lines(&headline::headline(status, screen));
    text += &cut(&agent_line(status, screen), screen.width);
    text.push('\n');
    if !status.shares.is_empty() {
        text.push('\n');
        text += &places::places(status, screen);
    }
    let todo = what_to_do(status, screen);
    if !todo.is_empty() {
        text += "\nWhat to do\n";
        text += &todo;
    }
    text
}

/// The same with the verdict's line in its colour.
pub fn in_colour(status: &Status, text: &str) -> String {
    let colour = match status.verdict {
        Verdict::Safe => 32,
        Verdict::Syncing | Verdict::Unknown => 33,
        Verdict::Attention | Verdict::Halted => 31,
    };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    format!("\x1b[1;{colour}m{first}\x1b[0m\n{rest}")
}

/// As much of a screen as a terminal of so many rows and columns shows at once; what is left out is counted.
pub fn fit(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    // A command that is wider takes several rows.
    let taken = |line: &&str| line.chars().count().div_ceil(columns.max(1)).max(1);
    let upto = |rows: usize| {
        let ends = lines.iter().scan(0, |sum, line| {
            *sum += taken(line);
            Some(*sum)
        });
        ends.take_while(|end| *end <= rows).count()
    };
    if upto(rows) == lines.len() || rows == 0 {
        return text.to_owned();
    }
    let kept = upto(rows.saturating_sub(1));
    let more = lines.len() - kept;
    lines[..kept].iter().map(|line| format!("{line}\n")).collect::<String>() + &format!("... {more} lines more\n")
}

fn agent_line(status: &Status, screen: &Screen) -> String {
    let agent = &status.agent;
    let pid = agent.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let name = harmless(&agent.name);
    match (agent.state, agent.heartbeat) {
        (AgentState::Running, _) => format!("agent {name} {} is running{pid}", agent.version),
        (AgentState::Hung, Some(beat)) => {
            format!("agent {name} {} has not answered for {}{pid}", agent.version, screen.ago(beat))
        }
        (AgentState::Stopped, Some(beat)) => {
            format!("agent {name} {} is not running, last seen {} ago", agent.version, screen.ago(beat))
        }
        (AgentState::Hung | AgentState::Stopped, None) => format!("agent {name} {} is not running", agent.version),
    }
}

fn what_to_do(status: &Status, screen: &Screen) -> String {
    let mut lines = Vec::new();
    if let Some(error) = &status.error {
        lines.push(format!("  {}", harmless(&error.hint)));
    }
    if status.agent.state == AgentState::Hung {
        lines.push(
            "  look at its log, then start it anew; where it is a service: systemctl restart driftline".to_owned(),
        );
    }
    if status.agent.state == AgentState::Stopped {
        // One line each, so that a screen of 80 columns breaks no command.
        lines.extend(START.split(", or ").zip(["  ", "    or "]).map(|(way, indent)| format!("{indent}{way}")));
    }
    if let Some(config) = &status.config {
        lines.extend(config_advice(config, status.agent.state, screen));
    }
    for share in status.shares.iter().filter(|share| share.state == ShareState::Offline) {
        lines.extend(offline_advice(share));
    }
    let mut text = wrapped(&lines, screen);
    for (share, target) in status.lanes() {
        text += &target_advice(share, target, screen);
    }
    let (problems, holds) = headline::troubles(status);
    if problems + holds > 0 {
        text += "  see each path with its cause: driftline problems\n";
    }
    text += &conflicts(status);
    text
}

/// Both versions are kept: nothing is unsafe, and somebody has to choose.
fn conflicts(status: &Status) -> String {
    match status.lanes().map(|(_, target)| target.conflicts).sum() {
        0 => String::new(),
        1 => "  1 conflict waits for your choice, both versions are kept: driftline conflicts\n".to_owned(),
        many => {
            format!("  {} conflicts wait for your choice, both versions are kept: driftline conflicts\n", grouped(many))
        }
    }
}

fn wrapped(lines: &[String], screen: &Screen) -> String {
    lines.iter().map(|line| screen.lines(line)).collect()
}

fn config_advice(config: &ConfigStatus, agent: AgentState, screen: &Screen) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(error) = &config.error {
        lines.push(format!("  the configuration file is not taken: {}", harmless(&error.message)));
        lines.push(format!("    hint: {}", harmless(&error.hint)));
        if agent == AgentState::Running {
            let taken = screen.time(config.taken);
            lines.push(format!("    what was read at {taken} stays in effect; once it is right: {RELOAD}"));
        }
    }
    for change in &config.waiting {
        let (place, since) = (harmless(&change.place()), screen.time(change.since));
        let (what, effect) = (harmless(&change.change), harmless(&change.effect));
        lines.push(format!("  {place}: {what}, since {since}: {effect}"));
        lines.push(format!("    if that is meant: driftline approve {place}"));
        lines.push(format!("    if not, undo it in the file, then: {RELOAD}"));
    }
    if agent == AgentState::Running {
        let later = |what: &String| format!("  takes effect when the agent is started anew: {}", harmless(what));
        lines.extend(config.at_restart.iter().map(later));
        for what in &config.blocked {
            lines.push(format!("  not in effect: {}", harmless(what)));
            lines.push(format!("    once that is mended: {RELOAD}"));
        }
    }
    if config.unread && config.error.is_none() && agent == AgentState::Running {
        lines.push(format!("  the configuration file was changed and is not read yet: {RELOAD}"));
    }
    lines
}

/// What to do about a share that is not the one that it was, or not there.
pub(super) fn offline_hint(path: &str, name: &str, why: Option<&str>) -> String {
    if why.is_some_and(|why| why.ends_with(EXHAUSTED)) {
        return TOO_MANY_FILES.to_owned();
    }
    format!(
        "mount or restore {path}; nothing is deleted meanwhile. If another folder is the share from now on, stop the agent, \
         and take it with `driftline approve {name}`"
    )
}

fn offline_advice(share: &ShareStatus) -> Vec<String> {
    let hint = offline_hint(&harmless(&share.path), &harmless(&share.name), share.error.as_deref());
    match &share.error {
        Some(why) => vec![format!("  share {}: {}", share.name, harmless(why)), format!("    hint: {hint}")],
        None => vec![format!("  share {}: {hint}", share.name)],
    }
}

fn target_advice(share: &ShareStatus, target: &TargetStatus, screen: &Screen) -> String {
    let lane = format!("{}/{}", share.name, target.name);
    if let Some(halt) = &target.halt {
        return render_halt(&share.name, &target.name, halt, screen);
    }
    let mut lines = Vec::new();
    let deaf = target.events.as_ref().and_then(|events| events.error.as_ref());
    for error in target.error.iter().chain(deaf) {
        lines.push(format!("  {lane}: {}, since {}", harmless(&error.message), screen.time(error.since)));
        lines.push(format!("    hint: {}", harmless(&error.hint)));
    }
    match target.state {
        TargetState::Paused => lines.push(format!("  {lane}: go on with: driftline resume")),
        TargetState::Ok
        | TargetState::Resting
        | TargetState::Unresponsive
        | TargetState::Unreachable
        | TargetState::Halted => {}
    }
    wrapped(&lines, screen)
}

#[cfg(test)]
mod tests;
