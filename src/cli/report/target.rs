//! What is said of a target of a share.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cli::report::{HaltStatus, When};
use crate::model;

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
    /// Bytes that were sent there in a second, of late; `None` while nothing is sent.
    pub rate: Option<u64>,
    /// Every change that had settled on the share before is durable there.
    pub protected_as_of: Option<When>,
    /// Paths that were read back and are not as they were left; and 1 more if a fault of the target as a whole makes it rest
    /// for long, and if its events are not heard for long. Paths that failed there are holds.
    pub problems: u64,
    /// Paths that wait for a person.
    pub holds: u64,
    /// Two-way: paths that both sides had changed, of which a person has still to say which version is wanted. Both are kept.
    #[serde(default)]
    pub conflicts: u64,
    /// Files there that are not ours, when it was last listed.
    pub foreign: u64,
    /// What was read back and found equal.
    pub verified: Verified,
    /// What is the matter with the target as a whole.
    pub error: Option<Trouble>,
    /// Whether what the bucket tells of others' changes is heard; `None` where no queue for it is configured, or no agent runs.
    #[serde(default)]
    pub events: Option<Events>,
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

/// What is the matter with a place as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Since when.
    pub since: When,
}

/// Whether what a bucket tells of others' changes is heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Why it is not: what others change is found by audits alone until then.
    pub error: Option<Trouble>,
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
    pub queue: u64,
}

impl From<model::Requests> for Requests {
    fn from(made: model::Requests) -> Self {
        let model::Requests { put, get, head, list, delete, copy, queue } = made;
        Self { put, get, head, list, delete, copy, queue }
    }
}
