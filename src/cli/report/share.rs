//! What is said of a share.

use serde::{Deserialize, Serialize};

use crate::cli::report::{TargetStatus, When};

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
