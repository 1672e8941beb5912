//! What the screen says: whole, as pictures in `pictures/`, and in single lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;

use super::*;
use crate::cli::report::tests::{agent, at, bucket, share, target};
use crate::cli::report::{HaltCounts, HaltFolder, HaltStatus, Trouble, Verified, WaitingChange};
use crate::plan::Cause;

/// Set to anything, it has the pictures painted anew instead of compared: look at what changed before it is kept.
const PAINT: &str = "DRIFTLINE_PAINT";

fn screen(width: usize) -> Screen {
    Screen { width, zone: TimeZone::UTC, now: at(0) }
}

fn shown(state: AgentState, shares: Vec<ShareStatus>) -> String {
    render_status(&Status::new(agent(state), None, shares, at(0)), &screen(100))
}

/// An office of a usual size: two shares, folders and a bucket.
fn office() -> Vec<ShareStatus> {
    let verified = |files| Verified { files, oldest: Some(at(-86_400)), bad: 0 };
    let mut projects = share("projects", vec![target("efs"), bucket("cloud", 0.42, 1.5), target("archive")]);
    projects.targets[0].verified = verified(12_345);
    projects.targets[1].verified = verified(4_938);
    (projects.files, projects.bytes) = (12_345, 3_650_722_201);
    let mut scans = share("scans", vec![target("efs")]);
    scans.targets[0].protected_as_of = Some(at(-1));
    vec![projects, scans]
}

fn unresponsive(shares: &mut [ShareStatus]) {
    let efs = &mut shares[0].targets[0];
    efs.state = TargetState::Unresponsive;
    (efs.files, efs.pending, efs.pending_bytes, efs.oldest_pending_s) = (12_304, 41, 12 << 20, Some(365));
    efs.protected_as_of = Some(at(-365));
    let message = "a call to the target has not come back".into();
    let hint = "check the mount and the line to its server; it goes on by itself".into();
    efs.error = Some(Trouble { message, hint, since: at(-360) });
    shares[0].targets[1].holds = 1;
}

fn syncing(shares: &mut [ShareStatus]) {
    let cloud = &mut shares[0].targets[1];
    (cloud.files, cloud.pending, cloud.pending_bytes, cloud.oldest_pending_s) = (11_111, 1_234, 300 << 20, Some(75));
    cloud.rate = Some(12 << 20);
    cloud.protected_as_of = Some(at(-75));
    shares[1].state = ShareState::Scanning;
}

fn halted(shares: &mut [ShareStatus]) {
    let efs = &mut shares[0].targets[0];
    (efs.state, efs.halt, efs.pending) = (TargetState::Halted, Some(halt()), 101);
    efs.protected_as_of = Some(at(-100_000));
    efs.error = Some(Trouble { message: "101 files look encrypted".into(), hint: String::new(), since: at(-10) });
}

fn config() -> ConfigStatus {
    let waiting = WaitingChange {
        share: "projects".into(),
        target: Some("efs".into()),
        change: "history is shortened from 30d to 7d".into(),
        effect: "versions older than that are removed".into(),
        since: at(-60),
    };
    let at_restart = vec!["[agent] state_dir".to_owned()];
    ConfigStatus {
        taken: at(-3600),
        unread: false,
        error: None,
        waiting: vec![waiting],
        at_restart,
        blocked: Vec::new(),
    }
}

fn refused() -> ConfigStatus {
    let message = "line 12: unknown key \"setle\"".into();
    let error = Trouble { message, hint: "did you mean \"settle\"?".into(), since: at(-60) };
    ConfigStatus { error: Some(error), waiting: Vec::new(), at_restart: Vec::new(), ..config() }
}

fn pictures() -> Vec<(&'static str, Status)> {
    let status = |state, config, change: fn(&mut [ShareStatus])| {
        let mut shares = office();
        change(&mut shares);
        Status::new(agent(state), config, shares, at(0))
    };
    let running = AgentState::Running;
    vec![
        ("safe", status(running, None, |_| {})),
        ("syncing", status(running, None, syncing)),
        ("attention", status(running, None, unresponsive)),
        ("halted", status(running, None, halted)),
        ("unknown", status(running, None, |shares| shares[0].scanned = None)),
        ("stopped", status(AgentState::Stopped, None, |_| {})),
        ("hung", status(AgentState::Hung, None, syncing)),
        ("waiting", status(running, Some(config()), |_| {})),
        ("refused", status(running, Some(refused()), syncing)),
    ]
}

#[test]
fn the_screen_looks_as_in_the_pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/status_text/pictures");
    for (name, status) in pictures() {
        for width in [80, 132] {
            let text = render_status(&status, &screen(width));
            let path = folder.join(format!("{name}-{width}.txt"));
            if std::env::var_os(PAINT).is_some() {
                fs::write(&path, &text).expect("painted");
            }
            let picture = fs::read_to_string(&path).expect("there is a picture of it");
            assert_eq!(text, picture, "{name} at {width} columns");
            assert!(text.lines().count() <= 24, "{name} on one screen:\n{text}");
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > width).collect();
            assert!(wide.is_empty(), "{name} at {width} columns: {wide:#?}");
        }
    }
}

#[test]
fn no_command_of_the_screen_is_broken_however_narrow_it_is() {
    // Every command that any of the pictures has, as it is typed.
    let commands = [
        "driftline approve projects/efs",
        "driftline restore --all --share projects --as-of \"2026-11-23 14:03:10\"",
        "driftline problems",
        "driftline run",
        "driftline resume",
        "`driftline approve scans`",
        "systemctl reset-failed driftline; systemctl start driftline",
        "systemctl restart driftline",
        "systemctl reload driftline",
    ];
    let mut all = pictures();
    let mut away = office();
    away[0].targets[1].state = TargetState::Paused;
    away[1].state = ShareState::Offline;
    all.push(("away", Status::new(agent(AgentState::Running), None, away, at(0))));
    let mut seen = BTreeSet::new();
    for (name, status) in all {
        let whole = render_status(&status, &screen(usize::MAX));
        let places = |text: &str| commands.map(|command| text.matches(command).count());
        // Each program that is named stands in one of them.
        let programs: usize = ["driftline ", "systemctl "].iter().map(|program| whole.matches(program).count()).sum();
        let is_program = |word: &&str| ["`driftline", "driftline", "systemctl"].contains(word);
        let of_them = |command: &str| command.split(' ').filter(is_program).count();
        let told: usize = commands.iter().map(|one| whole.matches(one).count() * of_them(one)).sum();
        assert!(programs <= told, "{name} shows another command: {whole}");
        seen.extend(commands.into_iter().filter(|command| whole.contains(*command)));
        for width in 10..=132 {
            let text = render_status(&status, &screen(width));
            assert_eq!(places(&text), places(&whole), "{name} at {width} columns breaks one:\n{text}");
        }
    }
    assert_eq!(seen.len(), commands.len(), "each is shown somewhere: {seen:?}");
}

#[test]
fn only_the_verdict_has_a_colour() {
    let status = Status::new(agent(AgentState::Running), None, vec![share("projects", vec![target("efs")])], at(0));
    assert_eq!(in_colour(&status, "SAFE\nrest\n"), "\x1b[1;32mSAFE\x1b[0m\nrest\n");
}

#[test]
fn conflicts_are_counted_with_what_to_type_and_leave_the_verdict_as_it_is() {
    let mut efs = target("efs");
    efs.conflicts = 1;
    let one = shown(AgentState::Running, vec![share("projects", vec![efs.clone()])]);
    assert!(one.starts_with("SAFE as of ") && one.contains("  1 conflict\n"), "{one}");
    let line = "  1 conflict waits for your choice, both versions are kept: driftline conflicts\n";
    assert!(one.contains(line) && !one.contains("driftline problems"), "{one}");
    efs.conflicts = 1200;
    let many = shown(AgentState::Running, vec![share("projects", vec![efs])]);
    assert!(many.contains("  1,200 conflicts wait for your choice, both versions are kept"), "{many}");
}

#[test]
fn a_screen_that_is_too_long_says_how_much_is_left_out() {
    assert_eq!(fit("a\nb\nc\n", 3, 80), "a\nb\nc\n");
    assert_eq!(fit("a\nb\nc\nd\n", 3, 80), "a\nb\n... 2 lines more\n");
    assert_eq!(fit("a\nbbbbb\nc\n", 4, 4), "a\nbbbbb\nc\n", "a line that is wider takes two rows");
    assert_eq!(fit("a\nbbbbb\nc\n", 3, 4), "a\n... 2 lines more\n");
}

#[test]
fn of_an_agent_that_stopped_the_cause_comes_first_and_nothing_is_watched() {
    let mut efs = target("efs");
    efs.holds = 1;
    let text = shown(AgentState::Stopped, vec![share("projects", vec![efs])]);
    let first = "NOT SAFE as of 14:03:19, when the agent stopped: 1 hold; later changes are not protected";
    assert_eq!(text.lines().next(), Some(first));
    assert!(text.contains("\nprojects  not watched "), "{text}");
}

#[test]
fn the_headline_names_the_gravest_first_and_what_is_complete_last() {
    let first = |change: fn(&mut Vec<ShareStatus>)| {
        let mut shares = vec![share("a", vec![target("x"), target("y")]), share("b", vec![target("z")])];
        change(&mut shares);
        let status = Status::new(agent(AgentState::Running), None, shares, at(0));
        render_status(&status, &screen(200)).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        first(|s| s[0].scanned = None),
        "UNKNOWN as of 14:03:21: the first look since the start is under way; all was protected as of 14:03:20"
    );
    let never = |s: &mut Vec<ShareStatus>| {
        s[0].scanned = None;
        s[0].targets[0].protected_as_of = None;
    };
    assert_eq!(first(never), "UNKNOWN as of 14:03:21: no full scan has ended yet");
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
    assert_eq!(first(all), "NOT SAFE as of 14:03:21: share b is offline; a/y halted; 2 more");
    assert_eq!(
        first(|s| s[0].targets[0].state = TargetState::Unreachable),
        "NOT SAFE as of 14:03:21: a/x unreachable; a/y and b/z are complete"
    );
    assert_eq!(first(|s| s[0].targets[0].holds = 1), "NOT SAFE as of 14:03:21: 1 hold");
}

#[test]
fn a_halt_and_a_pause_name_their_commands() {
    let mut lanes = vec![target("x"), target("y")];
    lanes[0].state = TargetState::Halted;
    lanes[0].halt = Some(halt());
    lanes[1].state = TargetState::Paused;
    let text = shown(AgentState::Running, vec![share("a", lanes)]);
    let wanted = "    if that is right, let it through: driftline approve a/x
    if not, take the share back: driftline restore --all --share a --as-of \"2026-11-23 14:03:10\"
  a/y: go on with: driftline resume
";
    assert!(text.ends_with(wanted), "{text}");
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
fn no_line_of_the_table_is_wider_than_the_screen() {
    let status = Status::new(agent(AgentState::Running), None, office(), at(0));
    let text = render_status(&status, &screen(40));
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
}
