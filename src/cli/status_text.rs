//! `status` for people, on one screen: the verdict with its date, the places, and what to do next.

use std::time::Duration;

use crate::cli::halt::render_halt;
use crate::cli::report::{
    AgentState, Cost, Item, ItemKind, ShareState, ShareStatus, Status, TargetState, TargetStatus, Verdict, WatchMode,
};
use crate::cli::text::{Screen, Set, bytes, counted, cut, grouped, harmless, money, span, table};

/// The whole screen. Its first line is the verdict.
pub fn render_status(status: &Status, screen: &Screen) -> String {
    let mut text = cut(&headline(status, screen), screen.width) + "\n";
    text += &cut(&agent_line(status, screen), screen.width);
    text.push('\n');
    if !status.shares.is_empty() {
        text.push('\n');
        text += &places(status, screen);
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

fn headline(status: &Status, screen: &Screen) -> String {
    let time = screen.time(status.as_of);
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
        Verdict::Safe if later.is_empty() => format!("SAFE as of {time}"),
        Verdict::Safe => format!("SAFE as of {time}{when}: {later}"),
        Verdict::Syncing => format!("SYNCING as of {time}{when}: {}{then}", waiting(status)),
        Verdict::Attention | Verdict::Halted => {
            format!("NOT SAFE as of {time}{when}: {}{then}", reasons(status, screen))
        }
        Verdict::Unknown => format!("UNKNOWN as of {time}{when}: no full scan has ended yet{then}"),
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

/// What is the matter, the gravest first, at most two things.
fn reasons(status: &Status, screen: &Screen) -> String {
    let offline = |share: &&ShareStatus| share.state == ShareState::Offline;
    let mut all: Vec<String> =
        status.shares.iter().filter(offline).map(|s| format!("share {} is offline", s.name)).collect();
    let halted = |target: &TargetStatus| target.state == TargetState::Halted;
    all.extend(status.lanes().filter(|(_, t)| halted(t)).map(|(_, t)| stuck(t, screen)));
    all.extend(status.lanes().filter(|(_, t)| is_stuck(t) && !halted(t)).map(|(_, t)| stuck(t, screen)));
    let (problems, holds) = troubles(status);
    if problems > 0 {
        all.push(counted(problems, "problem"));
    }
    if holds > 0 {
        all.push(counted(holds, "hold"));
    }
    let more = all.len().saturating_sub(2);
    all.truncate(2);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    all.join("; ")
}

fn is_stuck(target: &TargetStatus) -> bool {
    match target.state {
        TargetState::Ok | TargetState::Resting => false,
        TargetState::Unresponsive | TargetState::Unreachable | TargetState::Halted | TargetState::Paused => true,
    }
}

fn stuck(target: &TargetStatus, screen: &Screen) -> String {
    let since = target.error.as_ref().map(|error| format!(" for {}", screen.ago(error.since))).unwrap_or_default();
    let files = match target.pending {
        0 => String::new(),
        1 => ", 1 change waits".to_owned(),
        n => format!(", {} changes wait", grouped(n)),
    };
    format!("{} {}{since}{files}", target.name, target.state)
}

fn troubles(status: &Status) -> (u64, u64) {
    let on_shares: u64 = status.shares.iter().map(|share| share.problems).sum();
    status.lanes().fold((on_shares, 0), |(problems, holds), (_, t)| (problems + t.problems, holds + t.holds))
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

/// What it costs is told only where something does.
fn places(status: &Status, screen: &Screen) -> String {
    let heads = ["SHARE", "TARGET", "STATE", "FILES", "BYTES", "WAIT", "PROTECTED", "COST/MONTH", "TROUBLE"];
    let mut rows = vec![heads.map(str::to_owned)];
    for share in &status.shares {
        rows.push(share_row(share, status.agent.state));
        rows.extend(share.targets.iter().map(|target| target_row(target, screen)));
    }
    let (l, r) = (Set::Left, Set::Right);
    if status.lanes().any(|(_, target)| target.cost.is_some()) {
        return table([l, l, l, r, r, r, l, r, l], &rows, screen.width);
    }
    let rows: Vec<_> = rows.into_iter().map(|[a, b, c, d, e, f, g, _cost, h]| [a, b, c, d, e, f, g, h]).collect();
    table([l, l, l, r, r, r, l, l], &rows, screen.width)
}

fn share_row(share: &ShareStatus, agent: AgentState) -> [String; 9] {
    let state = match (share.state, share.watch.mode) {
        (ShareState::Offline, _) => "offline",
        _ if agent == AgentState::Stopped => "not watched",
        (ShareState::Scanning, _) => "scanning",
        (ShareState::Ok, WatchMode::Poll) => &polled(share.watch.late_s),
        (ShareState::Ok, WatchMode::Inotify | WatchMode::Fanotify) if share.watch.coverage < 1.0 => "partly watched",
        (ShareState::Ok, WatchMode::Inotify | WatchMode::Fanotify) => "watched",
    };
    let trouble = if share.problems == 0 { String::new() } else { counted(share.problems, "problem") };
    let (name, none) = (harmless(&share.name), String::new());
    let (files, size) = (grouped(share.files), bytes(share.bytes));
    [name, none.clone(), state.to_owned(), files, size, none.clone(), none.clone(), none, trouble]
}

fn polled(late_s: Option<u64>) -> String {
    late_s
        .map_or_else(|| "polled".to_owned(), |late| format!("polled, {} late at most", span(Duration::from_secs(late))))
}

fn target_row(target: &TargetStatus, screen: &Screen) -> [String; 9] {
    let protected = target.protected_as_of.map_or_else(|| "never yet".to_owned(), |when| screen.time(when));
    let mut trouble = Vec::new();
    if target.problems > 0 {
        trouble.push(counted(target.problems, "problem"));
    }
    if target.holds > 0 {
        trouble.push(counted(target.holds, "hold"));
    }
    [
        String::new(),
        harmless(&target.name),
        target.state.to_string(),
        grouped(target.files),
        bytes(target.bytes),
        grouped(target.pending),
        protected,
        target.cost.as_ref().map(a_month).unwrap_or_default(),
        trouble.join(", "),
    ]
}

/// Requests and storage together.
fn a_month(cost: &Cost) -> String {
    money(cost.requests_month + cost.storage_month, &cost.currency)
}

fn what_to_do(status: &Status, screen: &Screen) -> String {
    let mut text = String::new();
    if let Some(error) = &status.error {
        text += &format!("  {}\n", harmless(&error.hint));
    }
    if status.agent.state == AgentState::Hung {
        text += "  look at its log, then start it anew: systemctl restart driftline where it is a service\n";
    }
    if status.agent.state == AgentState::Stopped {
        text += "  start the agent: driftline run, or systemctl start driftline where it is a service\n";
    }
    for share in status.shares.iter().filter(|share| share.state == ShareState::Offline) {
        text += &offline_advice(share);
    }
    for (share, target) in status.lanes() {
        text += &target_advice(share, target, screen);
    }
    let (problems, holds) = troubles(status);
    if problems + holds > 0 {
        text += "  see each path with its cause: driftline problems\n";
    }
    text
}

/// What to do about a share that is not the one that it was, or not there.
pub(super) fn offline_hint(path: &str, name: &str) -> String {
    format!(
        "mount or restore {path}; nothing is deleted meanwhile. If another folder is the share from now on, stop the agent, \
         and take it with `driftline approve {name}`"
    )
}

fn offline_advice(share: &ShareStatus) -> String {
    let hint = offline_hint(&harmless(&share.path), &harmless(&share.name));
    match &share.error {
        Some(why) => format!("  share {}: {}\n    hint: {hint}\n", share.name, harmless(why)),
        None => format!("  share {}: {hint}\n", share.name),
    }
}

fn target_advice(share: &ShareStatus, target: &TargetStatus, screen: &Screen) -> String {
    let lane = format!("{}/{}", share.name, target.name);
    if let Some(halt) = &target.halt {
        return render_halt(&share.name, &target.name, halt, screen);
    }
    let mut text = String::new();
    if let Some(error) = &target.error {
        text += &format!("  {lane}: {}, since {}\n", harmless(&error.message), screen.time(error.since));
        text += &format!("    hint: {}\n", harmless(&error.hint));
    }
    match target.state {
        TargetState::Paused => text += &format!("  {lane}: go on with: driftline resume\n"),
        TargetState::Ok
        | TargetState::Resting
        | TargetState::Unresponsive
        | TargetState::Unreachable
        | TargetState::Halted => {}
    }
    text
}

/// `pending` and `problems` for people: what, why, since when, what to do.
pub fn render_items(items: &[Item], nothing: &str, screen: &Screen) -> String {
    if items.is_empty() {
        return format!("{nothing}\n");
    }
    items.iter().map(|item| render_item(item, screen)).collect()
}

fn render_item(item: &Item, screen: &Screen) -> String {
    let place = item.target.as_ref().map_or_else(|| item.share.clone(), |target| format!("{}/{target}", item.share));
    let what = if item.path.is_empty() { place } else { format!("{place}: {}", harmless(&item.path)) };
    let what = if item.kind == ItemKind::Note { format!("{what} (only told, no problem)") } else { what };
    let since = format!("{}, since {}", harmless(&item.message), screen.time(item.since));
    let hint = if item.hint.is_empty() { String::new() } else { format!("  hint: {}\n", harmless(&item.hint)) };
    format!("{what}\n  {since}\n{hint}")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::cli::report::tests::{agent, at, bucket, share, target};
    use crate::cli::report::{HaltCounts, HaltFolder, HaltStatus, TargetTrouble};
    use crate::plan::Cause;

    fn screen() -> Screen {
        Screen { width: 100, zone: TimeZone::UTC, now: at(0) }
    }

    fn shown(state: AgentState, shares: Vec<ShareStatus>) -> String {
        render_status(&Status::new(agent(state), shares, at(0)), &screen())
    }

    #[test]
    fn safe_is_said_with_its_time() {
        let text = shown(AgentState::Running, vec![share("projects", vec![target("efs"), target("nas")])]);
        let wanted = "\
SAFE as of 14:03:19
agent office-01 0.1.0 is running, process 812

SHARE     TARGET  STATE     FILES    BYTES  WAIT  PROTECTED  TROUBLE
projects          watched  12,345  3.3 GiB
          efs     ok       12,345  3.3 GiB     0  14:03:20
          nas     ok       12,345  3.3 GiB     0  14:03:20
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_a_bucket_costs_is_told_where_there_is_one() {
        let mut held = bucket("cloud", 0.42, 1.5);
        held.holds = 1;
        let targets = vec![target("efs"), held, bucket("small", 0.001, 0.0), bucket("new", 0.0, 0.0)];
        let text = shown(AgentState::Running, vec![share("projects", targets)]);
        let wanted = "\
SHARE     TARGET  STATE     FILES    BYTES  WAIT  PROTECTED  COST/MONTH  TROUBLE
projects          watched  12,345  3.3 GiB
          efs     ok       12,345  3.3 GiB     0  14:03:20
          cloud   ok       12,345  3.3 GiB     0  14:03:20     1.92 USD  1 hold
          small   ok       12,345  3.3 GiB     0  14:03:20    <0.01 USD
          new     ok       12,345  3.3 GiB     0  14:03:20     0.00 USD

What to do";
        assert!(text.contains(wanted), "{text}");
        assert!(wanted.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn what_is_not_safe_comes_first_and_what_to_do_last() {
        let mut efs = target("efs");
        efs.state = TargetState::Unresponsive;
        efs.files = 12_304;
        efs.pending = 41;
        efs.pending_bytes = 12 << 20;
        efs.protected_as_of = Some(at(-365));
        efs.holds = 1;
        let message = "/mnt/efs has not answered".into();
        efs.error = Some(TargetTrouble { message, hint: "look at the mount".into(), since: at(-360) });
        let wanted = "\
NOT SAFE as of 14:03:21: efs unresponsive for 6 min, 41 changes wait; 1 hold
agent office-01 0.1.0 is running, process 812

SHARE     TARGET  STATE          FILES    BYTES  WAIT  PROTECTED  TROUBLE
projects          watched       12,345  3.3 GiB
          efs     unresponsive  12,304  3.3 GiB    41  13:57:16   1 hold

What to do
  projects/efs: /mnt/efs has not answered, since 13:57:21
    hint: look at the mount
  see each path with its cause: driftline problems
";
        assert_eq!(shown(AgentState::Running, vec![share("projects", vec![efs])]), wanted);
    }

    #[test]
    fn only_the_verdict_has_a_colour() {
        let status = Status::new(agent(AgentState::Running), vec![share("projects", vec![target("efs")])], at(0));
        assert_eq!(in_colour(&status, "SAFE\nrest\n"), "\x1b[1;32mSAFE\x1b[0m\nrest\n");
    }

    #[test]
    fn an_agent_that_stopped_says_so_in_the_first_line() {
        let text = shown(AgentState::Stopped, vec![share("projects", vec![target("efs")])]);
        let mut lines = text.lines();
        let first = "SAFE as of 14:03:19, when the agent stopped: later changes are not protected";
        assert_eq!(lines.next(), Some(first));
        assert_eq!(lines.next(), Some("agent office-01 0.1.0 is not running, last seen 2 s ago"));
        assert!(
            text.ends_with("  start the agent: driftline run, or systemctl start driftline where it is a service\n")
        );
    }

    #[test]
    fn of_an_agent_that_stopped_the_cause_comes_first_and_nothing_is_watched() {
        let mut efs = target("efs");
        efs.holds = 1;
        let text = shown(AgentState::Stopped, vec![share("projects", vec![efs])]);
        let first = "NOT SAFE as of 14:03:19, when the agent stopped: 1 hold; later changes are not protected";
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains("\nprojects          not watched "), "{text}");
    }

    #[test]
    fn the_headline_names_the_gravest_first() {
        let first = |change: fn(&mut Vec<ShareStatus>)| {
            let mut shares = vec![share("a", vec![target("x"), target("y")]), share("b", vec![target("z")])];
            change(&mut shares);
            shown(AgentState::Running, shares).lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(first(|s| s[0].scanned = None), "UNKNOWN as of 14:03:21: no full scan has ended yet");
        assert_eq!(first(|s| s[0].targets[0].pending = 1_234), "SYNCING as of 14:03:19: 1,234 changes wait, 0 B");
        assert_eq!(
            first(|s| s[1].targets[0].protected_as_of = None),
            "SYNCING as of 14:03:19: the first pass is not complete"
        );
        let all = |s: &mut Vec<ShareStatus>| {
            s[0].targets[0].state = TargetState::Paused;
            s[0].targets[1].state = TargetState::Halted;
            s[1].state = ShareState::Offline;
            s[1].problems = 2;
        };
        assert_eq!(first(all), "NOT SAFE as of 14:03:21: share b is offline; y halted; 2 more");
    }

    #[test]
    fn a_halt_and_a_pause_name_their_commands() {
        let mut lanes = vec![target("x"), target("y")];
        lanes[0].state = TargetState::Halted;
        lanes[0].halt = Some(halt());
        lanes[1].state = TargetState::Paused;
        let text = shown(AgentState::Running, vec![share("a", lanes)]);
        let wanted = "
What to do
  a/x: 101 files look encrypted, since 14:03:11
    1 removed, 100 replaced, 101 with the marks of encryption, of 20,000 files; 12 MiB in 7 folders
    where: letters (90), the share's own folder (4), and 5 folders more
      letters/offer 1.docx
      letters/offer 2.docx
      letters/offer 3.docx
      letters/offer 4.docx
      letters/offer 5.docx
    if that is right, let it through: driftline approve a/x
    if not, take the share back:      driftline restore --all --share a --as-of \"2026-11-23 14:03:10\"
  a/y: go on with: driftline resume
";
        assert!(text.ends_with(wanted), "{text}");
        assert!(text.lines().count() <= 24, "on one screen: {text}");
    }

    fn halt() -> HaltStatus {
        let folder = |path: &str, files| HaltFolder { path: path.into(), files };
        HaltStatus {
            kind: Cause::Encryption,
            message: "101 files look encrypted".into(),
            hint: String::new(),
            since: Some(at(-10)),
            counts: HaltCounts {
                removed: 1,
                replaced: 100,
                scrambled: 101,
                files: 20_000,
                limit: 100,
                folders: 7,
                bytes: 12 << 20,
            },
            folders: vec![folder("letters", 90), folder("", 4)],
            samples: (1..=10).map(|i| format!("letters/offer {i}.docx")).collect(),
        }
    }

    #[test]
    fn a_list_says_what_why_and_what_to_do() {
        let item = Item {
            kind: ItemKind::Hold,
            share: "projects".into(),
            target: Some("efs".into()),
            path: "a/b\n.txt".into(),
            message: "someone else changed the copy".into(),
            hint: "look at both".into(),
            since: at(-86_400),
        };
        let whole = Item { target: None, path: String::new(), hint: String::new(), ..item.clone() };
        let wanted = "\
projects/efs: a/b\\n.txt
  someone else changed the copy, since 2026-11-22 14:03:21
  hint: look at both
projects
  someone else changed the copy, since 2026-11-22 14:03:21
";
        assert_eq!(render_items(&[item, whole.clone()], "Nothing waits.", &screen()), wanted);
        let note = Item { kind: ItemKind::Note, ..whole };
        assert!(render_items(&[note], "", &screen()).starts_with("projects (only told, no problem)\n"));
        assert_eq!(render_items(&[], "Nothing waits.", &screen()), "Nothing waits.\n");
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_the_screen() {
        let narrow = Screen { width: 40, ..screen() };
        let status = Status::new(agent(AgentState::Running), vec![share("projects", vec![target("efs")])], at(0));
        let text = render_status(&status, &narrow);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }
}
