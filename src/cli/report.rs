//! What `status` says: its values, as `status --json` prints them, and the verdict that follows from them.
//!
//! Not here: where the values come from (the index), and how they look to people (`status_text`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cli::Exit;
use crate::model::{self, Wall};
use crate::plan::Cause;

/// A point in time that is printed as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub Wall);

impl When {
    /// As the calendar library has it.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0.0)).expect("an i64 of nanoseconds lies within the calendar")
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.timestamp())
    }
}

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        let nanos = i64::try_from(time.as_nanosecond()).map_err(serde::de::Error::custom)?;
        Ok(Self(Wall(nanos)))
    }
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every change that had settled by `as_of` is durable on every target.
    Safe,
    /// Something waits, and nothing stands in its way.
    Syncing,
    /// Something needs a person, or a place does not answer.
    Attention,
    /// A target waits for a person before anything more is changed there.
    Halted,
    /// No full scan has ended: nothing can be said.
    Unknown,
}

/// Everything that `status` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The answer.
    pub verdict: Verdict,
    /// The time that the answer is about. With an agent that is not running: when it was last known.
    pub as_of: When,
    /// The agent.
    pub agent: AgentStatus,
    /// In the order of the configuration.
    pub shares: Vec<ShareStatus>,
    /// Why nothing more is known.
    pub error: Option<Notice>,
}

/// Something that people have to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Status {
    /// Draws the verdict from the parts. What is fine is fine up to the agent's last heartbeat; trouble is so `now`, while
    /// the agent runs.
    pub fn new(agent: AgentStatus, shares: Vec<ShareStatus>, now: When) -> Self {
        let verdict = match agent.heartbeat {
            Some(_) => verdict(&shares),
            None => Verdict::Unknown,
        };
        let beat = agent.heartbeat.unwrap_or(When(Wall(0)));
        let as_of = match (agent.state, verdict) {
            (AgentState::Running, Verdict::Safe | Verdict::Syncing) => beat,
            (AgentState::Running, Verdict::Attention | Verdict::Halted | Verdict::Unknown) => now,
            (AgentState::Stopped | AgentState::Hung, _) => beat,
        };
        Self { verdict, as_of, agent, shares, error: None }
    }

    /// The same, when what the index knows could not be learned: nothing is claimed.
    pub fn with_error(self, error: Notice) -> Self {
        Self { verdict: Verdict::Unknown, error: Some(error), ..self }
    }

    /// How `status` ends.
    pub fn exit(&self) -> Exit {
        match (self.agent.state, self.verdict) {
            (AgentState::Stopped, _) => Exit::NotRunning,
            (AgentState::Hung, _) | (_, Verdict::Halted | Verdict::Attention) => Exit::Problems,
            (AgentState::Running, Verdict::Unknown) if self.error.is_some() => Exit::Problems,
            (AgentState::Running, Verdict::Safe | Verdict::Syncing | Verdict::Unknown) => Exit::Fine,
        }
    }

    /// Every target, with its share.
    pub fn lanes(&self) -> impl Iterator<Item = (&ShareStatus, &TargetStatus)> {
        self.shares.iter().flat_map(|share| share.targets.iter().map(move |target| (share, target)))
    }
}

/// The agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// What it calls itself.
    pub name: String,
    /// Whether it works.
    pub state: AgentState,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Its version.
    pub version: String,
    /// When it last said that it works; `None` if it never ran.
    pub heartbeat: Option<When>,
}

/// Whether the agent works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Its heartbeat is fresh.
    Running,
    /// There is no such process.
    Stopped,
    /// The process is there, and its heartbeat is old.
    Hung,
}

/// A share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// Its name.
    pub name: String,
    /// Its folder, escaped for printing.
    pub path: String,
    /// Files that are known.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What goes on.
    pub state: ShareState,
    /// When the last full scan ended; `None` until one has, since the agent started.
    pub scanned: Option<When>,
    /// Paths that cannot be read.
    pub problems: u64,
    /// Paths that are told of and are no problem: sockets, devices, names that differ only in case.
    pub notes: u64,
    /// Files with more than one name: on targets each name is a file of its own.
    pub hard_links: u64,
    /// Changes that a full scan found and no event had told.
    pub missed: u64,
    /// Why it is offline.
    pub error: Option<String>,
    /// How changes are noticed.
    pub watch: WatchStatus,
    /// In the order of the configuration.
    pub targets: Vec<TargetStatus>,
}

/// What goes on with a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareState {
    /// It is there, and changes are waited for.
    Ok,
    /// It is there, and a full scan is under way.
    Scanning,
    /// It is not there, or not the folder that it was bound to: nothing is believed of it.
    Offline,
}

/// How changes of a share are noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchStatus {
    /// By which means.
    pub mode: WatchMode,
    /// The part of its folders that is watched, 0.0 to 1.0; the rest is found by scans.
    pub coverage: f64,
    /// Why it is not all of them.
    pub note: Option<String>,
    /// Where it is polled: a change is found after this time, at the latest (seconds).
    pub late_s: Option<u64>,
}

/// By which means changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// The kernel tells, folder by folder.
    Inotify,
    /// The kernel tells for the whole file system.
    Fanotify,
    /// By scans alone.
    Poll,
}

/// A target of a share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Whether it works.
    pub state: TargetState,
    /// Files that are durable there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Changes that wait.
    pub pending: u64,
    /// The bytes they will send.
    pub pending_bytes: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_pending_s: Option<u64>,
    /// Every change that had settled on the share before is durable there.
    pub protected_as_of: Option<When>,
    /// Paths that were read back and are not as they were left; and 1 more if a fault of the target as a whole makes it rest
    /// for long. Paths that failed there are holds.
    pub problems: u64,
    /// Paths that wait for a person.
    pub holds: u64,
    /// Files there that are not ours, when it was last listed.
    pub foreign: u64,
    /// What was read back and found equal.
    pub verified: Verified,
    /// What is the matter with the target as a whole.
    pub error: Option<TargetTrouble>,
    /// Why nothing more is changed there until a person approves.
    pub halt: Option<HaltStatus>,
    /// Requests made in the last 62 days. A directory is asked by system calls, and makes none.
    pub requests: Requests,
    /// Those made since midnight in UTC.
    pub requests_today: Requests,
    /// What a bucket costs; `None` for a directory.
    pub cost: Option<Cost>,
}

/// What a bucket costs in a month, at the prices of the configuration: requests if they go on as they were made, and storage
/// of what the agent keeps there, without older versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The currency of the amounts.
    pub currency: String,
    /// For requests.
    pub requests_month: f64,
    /// For storage.
    pub storage_month: f64,
    /// Since when the requests were counted that it is reckoned from: 30 days at most; `None` if none were.
    pub since: Option<When>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A folder.
    Directory,
    /// A bucket.
    S3,
}

/// Whether a target works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetState {
    /// It does.
    Ok,
    /// It asked for, or was given, a short rest.
    Resting,
    /// A call has not come back.
    Unresponsive,
    /// It cannot be reached, or is not the one that it was bound to.
    Unreachable,
    /// Nothing more is changed there until a person approves.
    Halted,
    /// A person stopped it.
    Paused,
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Resting => "resting",
            Self::Unresponsive => "unresponsive",
            Self::Unreachable => "unreachable",
            Self::Halted => "halted",
            Self::Paused => "paused",
        })
    }
}

/// What was read back and found equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How many files.
    pub files: u64,
    /// The one that was verified longest ago, to the hour.
    pub oldest: Option<When>,
    /// Paths that were read back and are not as they were left, and were not put right since.
    #[serde(default)]
    pub bad: u64,
}

/// What is the matter with a target as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTrouble {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Since when.
    pub since: When,
}

/// What looked like an accident, as it was when the target was halted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltStatus {
    /// What it looks like.
    pub kind: Cause,
    /// In one sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// When the first of these changes was noticed; `None` if it is not known.
    pub since: Option<When>,
    /// How many of which sort.
    pub counts: HaltCounts,
    /// The folders with most of them.
    pub folders: Vec<HaltFolder>,
    /// Some of the paths, escaped for printing.
    pub samples: Vec<String>,
}

/// How much was, or would be, changed within two hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltCounts {
    /// Files taken away, with those that wait to be.
    pub removed: u64,
    /// Files replaced.
    pub replaced: u64,
    /// Those of both with the marks of encryption.
    pub scrambled: u64,
    /// Files that the target held.
    pub files: u64,
    /// So many changes of this kind would have passed.
    pub limit: u64,
    /// In how many folders they lie.
    pub folders: u64,
    /// Their bytes on the target.
    pub bytes: u64,
}

/// A folder with files that were, or would be, changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltFolder {
    /// Which, escaped for printing; empty for the share itself.
    pub path: String,
    /// How many files.
    pub files: u64,
}

/// Requests by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Requests {
    pub put: u64,
    pub get: u64,
    pub head: u64,
    pub list: u64,
    pub delete: u64,
    pub copy: u64,
}

impl From<model::Requests> for Requests {
    fn from(made: model::Requests) -> Self {
        let model::Requests { put, get, head, list, delete, copy } = made;
        Self { put, get, head, list, delete, copy }
    }
}

/// What sort of thing a line of `pending` or `problems` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A share or a target as a whole.
    Place,
    /// A path of the share that cannot be read.
    Problem,
    /// A path that waits for a person.
    Hold,
    /// A path that waits.
    Pending,
    /// Told, and no problem.
    Note,
}

/// One line of `pending` or `problems`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What sort of thing it is.
    pub kind: ItemKind,
    /// Which share.
    pub share: String,
    /// Which target, if it concerns one.
    pub target: Option<String>,
    /// The path, escaped for printing; empty for the place as a whole.
    pub path: String,
    /// Why it waits.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Since when.
    pub since: When,
}

/// The answer that follows from the shares: the worst that is the case. A place that does not answer is told before a scan
/// has ended too, for it may be why none ends; of all else nothing is said until every share was scanned.
fn verdict(shares: &[ShareStatus]) -> Verdict {
    let targets = || shares.iter().flat_map(|share| &share.targets);
    let halted = targets().any(|target| target.state == TargetState::Halted);
    let away = shares.iter().any(|share| share.state == ShareState::Offline) || targets().any(is_away);
    let scanned = |share: &ShareStatus| share.scanned.is_some() && !share.targets.is_empty();
    if !away && (shares.is_empty() || !shares.iter().all(scanned)) {
        return Verdict::Unknown;
    }
    if halted {
        return Verdict::Halted;
    }
    if away || shares.iter().any(|share| share.problems > 0) || targets().any(needs_attention) {
        return Verdict::Attention;
    }
    if targets().all(|target| target.pending == 0 && target.protected_as_of.is_some()) {
        return Verdict::Safe;
    }
    Verdict::Syncing
}

fn is_away(target: &TargetStatus) -> bool {
    match target.state {
        TargetState::Unresponsive | TargetState::Unreachable => true,
        TargetState::Ok | TargetState::Resting | TargetState::Halted | TargetState::Paused => false,
    }
}

fn needs_attention(target: &TargetStatus) -> bool {
    let stuck = match target.state {
        TargetState::Ok | TargetState::Resting => false,
        TargetState::Unresponsive | TargetState::Unreachable | TargetState::Halted | TargetState::Paused => true,
    };
    stuck || target.problems > 0 || target.holds > 0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

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
            protected_as_of: Some(at(-1)),
            problems: 0,
            holds: 0,
            verified: Verified::default(),
            error: None,
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
        let requests_today = Requests { put: 7, ..Requests::default() };
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
        let status = |state| Status::new(agent(state), vec![share("projects", vec![target("efs")])], at(500));
        let facts = |status: Status| (status.verdict, status.as_of, status.exit());
        assert_eq!(facts(status(AgentState::Running)), (Verdict::Safe, at(-2), Exit::Fine));
        assert_eq!(facts(status(AgentState::Stopped)), (Verdict::Safe, at(-2), Exit::NotRunning));
        assert_eq!(facts(status(AgentState::Hung)), (Verdict::Safe, at(-2), Exit::Problems));
    }

    #[test]
    fn of_an_agent_that_never_ran_nothing_is_known() {
        let agent = AgentStatus { heartbeat: None, ..agent(AgentState::Stopped) };
        let status = Status::new(agent, vec![share("projects", vec![target("efs")])], at(0));
        assert_eq!((status.verdict, status.exit()), (Verdict::Unknown, Exit::NotRunning));
    }

    #[test]
    fn the_json_is_what_others_rely_on() {
        let mut one = target("efs");
        one.state = TargetState::Unresponsive;
        one.oldest_pending_s = Some(360);
        one.error =
            Some(TargetTrouble { message: "no answer".into(), hint: "look at the mount".into(), since: at(-360) });
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
        two.requests = Requests { put: 1, get: 2, head: 3, list: 4, delete: 5, copy: 6 };
        let status = Status::new(agent(AgentState::Running), vec![share("projects", vec![one, two])], at(0));
        let json = serde_json::to_value(&status).expect("plain values");
        let wanted = r#"{
            "verdict": "attention",
            "as_of": "2026-11-23T14:03:21Z",
            "agent": { "name": "office-01", "state": "running", "pid": 812, "version": "0.1.0",
                       "heartbeat": "2026-11-23T14:03:19Z" },
            "shares": [{
                "name": "projects", "path": "/srv/projects", "files": 12345, "bytes": 3650722201,
                "state": "ok", "scanned": "2026-11-23T14:02:21Z", "problems": 0,
                "notes": 0, "hard_links": 0, "missed": 0, "error": null,
                "watch": { "mode": "inotify", "coverage": 1.0, "note": null, "late_s": null },
                "targets": [{
                    "name": "efs", "kind": "directory", "state": "unresponsive", "files": 12345,
                    "bytes": 3650722201, "pending": 0, "pending_bytes": 0, "oldest_pending_s": 360,
                    "protected_as_of": "2026-11-23T14:03:20Z", "problems": 0, "holds": 0,
                    "foreign": 0, "verified": { "files": 0, "oldest": null, "bad": 0 },
                    "error": { "message": "no answer", "hint": "look at the mount", "since": "2026-11-23T13:57:21Z" },
                    "halt": { "kind": "encryption", "message": "m", "hint": "h", "since": "2026-11-23T14:03:16Z",
                              "counts": { "removed": 1, "replaced": 100, "scrambled": 101, "files": 500, "limit": 50,
                                          "folders": 3, "bytes": 7000 },
                              "folders": [{ "path": "letters", "files": 90 }], "samples": ["letters/offer.docx"] },
                    "requests": { "put": 0, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0 },
                    "requests_today": { "put": 0, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0 },
                    "cost": null
                }, {
                    "name": "cloud", "kind": "s3", "state": "ok", "files": 12345,
                    "bytes": 3650722201, "pending": 0, "pending_bytes": 0, "oldest_pending_s": null,
                    "protected_as_of": "2026-11-23T14:03:20Z", "problems": 0, "holds": 0,
                    "foreign": 0, "verified": { "files": 0, "oldest": null, "bad": 0 }, "error": null, "halt": null,
                    "requests": { "put": 1, "get": 2, "head": 3, "list": 4, "delete": 5, "copy": 6 },
                    "requests_today": { "put": 7, "get": 0, "head": 0, "list": 0, "delete": 0, "copy": 0 },
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
}
