//! What an administrator wrote, checked: which shares, which targets, and how each is treated.
//!
//! Pure: text in, [`Config`] or [`ConfigError`] out. Not here: reading the file, the host's name, whether a folder
//! exists (`cli`), whether an `ignore` pattern is well formed (`local`).

mod bucket;
mod change;
mod check;
mod nearest;
mod parse;
mod prices;
mod queue;
mod quick;
mod template;
mod timetable;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::plan::{Deletes, Drift, Nature, Policy};

pub use bucket::{Adopt, BadBudget, Bucket, Budget, Period, Place, Sse};
pub use change::{Change, Effect, Facts, merge};
pub use prices::{Estimate, Prices};
pub use queue::Queue;
pub use quick::is_url;
pub use timetable::{BadTimetable, Timetable, Weekday};
pub use units::{BadUnit, Rate, Size, Span};

/// Quiet time after the last write.
pub const SETTLE: Duration = Duration::from_millis(500);
/// Never wait longer than this for a file that is still being written.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two full scans of a share.
pub const RESCAN: Duration = Duration::from_secs(3600);
/// How long replaced and deleted versions stay recoverable.
pub const HISTORY: Duration = Duration::from_secs(30 * 86_400);
/// Versions of each path on a target that stay, however old (count): the one before the last change can always be had back.
pub const HISTORY_VERSIONS: usize = 1;
/// Time between two full listings of a target that is a folder.
pub const AUDIT: Duration = Duration::from_secs(86_400);
/// The same for a bucket, where a listing costs a request for each thousand objects.
pub const BUCKET_AUDIT: Duration = Duration::from_secs(7 * 86_400);
/// Time between two full listings of a folder whose changes come to the share: people wait for them.
pub const TAKE_AUDIT: Duration = Duration::from_secs(5 * 60);
/// The same for a bucket: 24 requests a day for each thousand objects.
pub const BUCKET_TAKE_AUDIT: Duration = Duration::from_secs(3600);
/// Where the index lies, unless the file says otherwise.
pub const STATE_DIR: &str = "/var/lib/driftline";

/// A checked configuration: names are unique and plain, paths are absolute, no place lies inside another.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The agent as a whole.
    pub agent: Agent,
    /// What buckets cost.
    pub prices: Prices,
    /// At least one.
    pub shares: Vec<Share>,
}

/// The agent as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What it calls itself; `None` stands for the host's name.
    pub name: Option<String>,
    /// Index and working files, on a local file system.
    pub state_dir: PathBuf,
    /// Where metrics are served; always a loopback address.
    pub metrics: Option<SocketAddr>,
    /// How log lines are written.
    pub log: LogFormat,
}

/// A local folder that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Unique among shares; `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// Absolute, as written.
    pub path: PathBuf,
    /// Its identity on the targets, where another agent's share is this one too; `[A-Za-z0-9-]{1,64}`.
    pub id: Option<String>,
    /// Patterns in gitignore syntax, on top of the built-in ones.
    pub ignore: Vec<String>,
    /// Quiet time after the last write; never zero.
    pub settle: Duration,
    /// Longest wait for a file that is still being written; at least `settle`.
    pub patience: Duration,
    /// Time between two full scans; never zero.
    pub rescan: Duration,
    /// At least one.
    pub targets: Vec<Target>,
}

/// A place that a copy is kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique within its share; `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// Where it is, and how it is reached.
    pub place: Place,
    /// What happens there when the share's file is gone.
    pub deletes: Deletes,
    /// What happens to foreign changes there.
    pub drift: Drift,
    /// How long replaced and deleted versions stay recoverable; never zero.
    pub history: Duration,
    /// Versions of each path that stay, however old they are (count).
    pub history_versions: usize,
    /// Time between two full listings; `None` for never.
    pub audit: Option<Duration>,
    /// Whether owner, group and access control list are carried.
    pub ownership: Ownership,
}

impl Target {
    /// A target that is treated as the defaults say.
    pub fn new(name: impl Into<String>, place: Place) -> Self {
        Self {
            name: name.into(),
            deletes: Deletes::default(),
            drift: Drift::default(),
            history: HISTORY,
            history_versions: HISTORY_VERSIONS,
            audit: Some(place.audit()),
            place,
            ownership: Ownership::default(),
        }
    }

    /// The part of it that decisions depend on.
    pub fn policy(&self) -> Policy {
        let nature = match self.place {
            Place::Folder(_) => Nature::Directory,
            Place::Bucket(_) => Nature::Bucket,
        };
        Policy { nature, drift: self.drift, deletes: self.deletes }
    }
}

/// Whether owner, group and access control list are carried to a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// Where the system permits.
    #[default]
    Keep,
    /// Never: files on the target belong to the agent's user.
    Ignore,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object in each line.
    Json,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, in one sentence without its line.
    pub message: String,
    /// The line of the file, counted from 1, where one can be named.
    pub line: Option<usize>,
    /// What to do about it.
    pub hint: String,
}

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>, line: Option<usize>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), line, hint: hint.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}
