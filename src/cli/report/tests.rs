use super::verdict::verdict;
use super::*;
use crate::plan::Cause;

/// Seconds after 2026-11-23 14:03:21 UTC.
pub(in crate::cli) fn at(seconds: i64) -> When {
    When(Wall::from_parts(1_795_442_601 + seconds, 0))
}

pub(in crate::cli) fn target(name: &str) -> TargetStatus {
    TargetStatus {
        name: name.into(),
        kind: TargetKind::Directory,
        state: TargetState::Ok,
        files: 12_345,
        bytes: 3_650_722_201,
        pending: 0,
        pending_bytes: 0,
        oldest_pending_s: None,
        rate: None,
        protected_as_of: Some(at(-1)),
        problems: 0,
        holds: 0,
        conflicts: 0,
        verified: Verified::default(),
        error: None,
        events: None,
        halt: None,
        foreign: 0,
        requests: Requests::default(),
        requests_today: Requests::default(),
        cost: None,
    }
}

/// A bucket, with what it costs.
pub(in crate::cli) fn bucket(name: &str, requests_month: f64, storage_month: f64) -> TargetStatus {
    let cost = Cost { currency: "USD".into(), requests_month, storage_month, since: Some(at(-86_400)) };
    let requests_today = Requests { put: 7, queue: 9, ..Requests::default() };
    TargetStatus { kind: TargetKind::S3, requests_today, cost: Some(cost), ..target(name) }
}

pub(in crate::cli) fn share(name: &str, targets: Vec<TargetStatus>) -> ShareStatus {
    ShareStatus {
        name: name.into(),
        path: format!("/srv/{name}"),
        files: 12_345,
        bytes: 3_650_722_201,
        state: ShareState::Ok,
        scanned: Some(at(-60)),
        problems: 0,
        notes: 0,
        hard_links: 0,
        missed: 0,
        error: None,
        watch: WatchStatus { mode: WatchMode::Inotify, coverage: 1.0, note: None, late_s: None },
        targets,
    }
}

pub(in crate::cli) fn agent(state: AgentState) -> AgentStatus {
    let pid = (state != AgentState::Stopped).then_some(812);
    AgentStatus { name: "office-01".into(), state, pid, version: "0.1.0".into(), heartbeat: Some(at(-2)) }
}

type Case = (Verdict, &'static str, fn(&mut Vec<ShareStatus>));

#[test]
fn the_worst_that_is_the_case_is_the_verdict() {
    let table: [Case; 20] = [
        (Verdict::Safe, "nothing waits", |_| {}),
        (Verdict::Safe, "a scan is repeated", |s| s[0].state = ShareState::Scanning),
        (Verdict::Safe, "resting with nothing to do", |s| s[0].targets[0].state = TargetState::Resting),
        (Verdict::Syncing, "one waits", |s| s[0].targets[1].pending = 1),
        (Verdict::Syncing, "never yet protected", |s| s[0].targets[1].protected_as_of = None),
        (Verdict::Attention, "unresponsive", |s| s[0].targets[1].state = TargetState::Unresponsive),
        (Verdict::Attention, "unreachable", |s| s[0].targets[0].state = TargetState::Unreachable),
        (Verdict::Attention, "paused", |s| s[0].targets[0].state = TargetState::Paused),
        (Verdict::Attention, "a problem on a target", |s| s[1].targets[0].problems = 1),
        (Verdict::Attention, "a problem on the share", |s| s[1].problems = 1),
        (Verdict::Attention, "a hold", |s| s[0].targets[0].holds = 1),
        (Verdict::Attention, "the share is gone", |s| s[1].state = ShareState::Offline),
        (Verdict::Attention, "a hold, and one waits", |s| {
            s[0].targets[0].holds = 1;
            s[0].targets[1].pending = 1;
        }),
        (Verdict::Halted, "halted", |s| s[1].targets[0].state = TargetState::Halted),
        (Verdict::Halted, "halted, and a hold elsewhere", |s| {
            s[1].targets[0].state = TargetState::Halted;
            s[0].targets[0].holds = 1;
        }),
        (Verdict::Unknown, "never scanned", |s| s[0].scanned = None),
        (Verdict::Unknown, "never scanned, and halted", |s| {
            s[0].scanned = None;
            s[1].targets[0].state = TargetState::Halted;
        }),
        (Verdict::Attention, "never scanned, for it is gone", |s| {
            s[0].scanned = None;
            s[0].state = ShareState::Offline;
        }),
        (Verdict::Halted, "halted, and gone", |s| {
            s[0].state = ShareState::Offline;
            s[1].targets[0].state = TargetState::Halted;
        }),
        (Verdict::Unknown, "no targets", |s| s[0].targets.clear()),
    ];
    for (wanted, case, change) in table {
        let mut shares =
            vec![share("projects", vec![target("efs"), target("nas")]), share("scans", vec![target("efs")])];
        change(&mut shares);
        assert_eq!(verdict(&shares), wanted, "{case}");
    }
    assert_eq!(verdict(&[]), Verdict::Unknown);
}

#[test]
fn nothing_is_safe_for_longer_than_up_to_the_last_heartbeat() {
    let status = |state| Status::new(agent(state), None, vec![share("projects", vec![target("efs")])], at(500));
    let facts = |status: Status| (status.verdict, status.as_of, status.exit());
    assert_eq!(facts(status(AgentState::Running)), (Verdict::Safe, at(-2), Exit::Fine));
    assert_eq!(facts(status(AgentState::Stopped)), (Verdict::Safe, at(-2), Exit::NotRunning));
    assert_eq!(facts(status(AgentState::Hung)), (Verdict::Safe, at(-2), Exit::Problems));
}

#[test]
fn of_an_agent_that_never_ran_nothing_is_known() {
    let agent = AgentStatus { heartbeat: None, ..agent(AgentState::Stopped) };
    let status = Status::new(agent, None, vec![share("projects", vec![target("efs")])], at(0));
    assert_eq!((status.verdict, status.exit()), (Verdict::Unknown, Exit::NotRunning));
}

#[test]
fn the_json_is_what_others_rely_on() {
    let mut one = target("efs");
    one.state = TargetState::Unresponsive;
    one.oldest_pending_s = Some(360);
    one.error = Some(Trouble { message: "no answer".into(), hint: "look at the mount".into(), since: at(-360) });
    one.halt = Some(HaltStatus {
        kind: Cause::Encryption,
        message: "m".into(),
        hint: "h".into(),
        since: Some(at(-5)),
        counts: HaltCounts {
            removed: 1,
            replaced: 100,
            scrambled: 101,
            files: 500,
            limit: 50,
            folders: 3,
            bytes: 7000,
        },
        folders: vec![HaltFolder { path: "letters".into(), files: 90 }],
        samples: vec!["letters/offer.docx".into()],
    });
    let mut two = bucket("cloud", 0.25, 1.5);
    two.events = Some(Events { error: None });
    two.requests = Requests { put: 1, get: 2, head: 3, list: 4, delete: 5, copy: 6, queue: 8 };
    let status = Status::new(agent(AgentState::Running), None, vec![share("projects", vec![one, two])], at(0));
    let json = serde_json::to_value(&status).expect("plain values");
    let wanted = r#"{
        "verdict": "attention",
        "as_of": "2026-11-23T14:03:21Z",
        "agent": { "name": "office-01", "state": "running", "pid": 812, "version": "0.1.0",
                   "heartbeat": "2026-11-23T14:03:19Z" },
            "config": null,
        "shares": [{
            "name": "projects", "path": "/srv/projects", "files": 12345, "bytes": 3650722201,
            "state": "ok", "scanned": "2026-11-23T14:02:21Z", "problems": 0,
            "notes": 0, "hard_links": 0, "missed": 0, "error": null,
            "watch": { "mode": "inotify", "coverage": 1.0, "note": null, "late_s": null },
            "targets": [{
                "name": "efs", "kind": "directory", "state": "unresponsive", "files": 12345,
                "bytes": 3650722201, "pending": 0, "pending_bytes": 0, "oldest_pending_s": 360, "rate": null,
                "protected_as_of": "2026-11-23T14:03:20Z", "problems": 0, "holds": 0,
                "conflicts": 0, "foreign": 0, "verified": { "files": 0, "oldest": null, "bad": 0 },
                "error": { "message": "no answer", "hint": "look at the mount", "since": "2026-11-23T13:57:21Z" },
                "events": null, "halt": { "kind": "encryption", "message": "m", "hint": "h", "since": "2026-11-23T14:03:16Z",
                          "counts": { "removed": 1, "replaced": 100, "scrambled": 101, "files": 500, "limit": 50,
                                      "folders": 3, "bytes": 7000 },
                          "folders": [{ "path": "letters", "files": 90 }], "samples": ["letters/offer.docx"] },
                "requests": { "put": 0, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0, "queue": 0 },
                "requests_today": { "put": 0, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0, "queue": 0 },
                "cost": null
            }, {
                "name": "cloud", "kind": "s3", "state": "ok", "files": 12345,
                "bytes": 3650722201, "pending": 0, "pending_bytes": 0, "oldest_pending_s": null, "rate": null,
                "protected_as_of": "2026-11-23T14:03:20Z", "problems": 0, "holds": 0,
                "conflicts": 0, "foreign": 0, "verified": { "files": 0, "oldest": null, "bad": 0 }, "error": null,
                "events": { "error": null }, "halt": null,
                "requests": { "put": 1, "get": 2, "head": 3, "list": 4, "delete": 5, "copy": 6, "queue": 8 },
                "requests_today": { "put": 7, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0, "queue": 9 },
                "cost": { "currency": "USD", "requests_month": 0.25, "storage_month": 1.5,
                          "since": "2026-11-22T14:03:21Z" }
            }]
        }],
        "error": null
    }"#;
    let wanted: serde_json::Value = serde_json::from_str(wanted).expect("JSON");
    assert_eq!(json, wanted);
    let back: Status = serde_json::from_value(json).expect("its own words");
    assert_eq!(back, status);
}
