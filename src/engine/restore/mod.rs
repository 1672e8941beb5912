//! Having things back: what lay on a target at some time is put together, read, proved by its hash, and put where it is
//! wanted. Works without an index and without the agent; what it leaves half done is finished by doing it again.
//!
//! Here: what is asked for and what is answered. `recall` puts the past together, `work` has several threads at it and sums
//! up, `bring` reads and proves one thing. Not here: which target, which time, and what is said of it (`cli`).

mod bring;
mod recall;
mod work;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::index::IndexError;
use crate::local::Landing;
use crate::model::{Acl, Digest, RelPath, Stamp, Wall};
use crate::target::{Target, TargetError};

use work::Work;

/// What is wanted back, and where it is to lie.
pub struct Wanted<'a> {
    /// Where it is kept.
    pub target: &'a dyn Target,
    /// What: a file, a folder, or the root for all of it.
    pub under: &'a RelPath,
    /// As it was then; `None` for as it is now.
    pub as_of: Option<Wall>,
    /// The folder to put it in.
    pub root: &'a Path,
    /// What it is called there.
    pub called: &'a RelPath,
    /// Names this run among those that kept something.
    pub run: &'a str,
    /// Also set aside what lies there and did not then, unless this says that it is none of ours.
    pub exact: Option<&'a (dyn Fn(&RelPath) -> bool + Sync)>,
    /// Nothing is written.
    pub dry_run: bool,
    /// What an index knows of what was left on the target.
    pub known: &'a (dyn Fn(&RelPath, &Stamp) -> Option<Known> + Sync),
}

/// What an index knows of something that was left on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it holds.
    pub digest: Digest,
    /// Its access control list, which a target may not be able to keep.
    pub acl: Acl,
}

/// How far it has come. Read by whoever shows it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Things that were told of while the past was put together.
    pub told: AtomicU64,
    /// Files and links to bring.
    pub files: AtomicU64,
    /// Their bytes, as far as known.
    pub bytes: AtomicU64,
    /// Files and links dealt with.
    pub done: AtomicU64,
    /// Bytes of those.
    pub done_bytes: AtomicU64,
    /// Files and links that were there already.
    pub same: AtomicU64,
    /// Files of which nothing says what they should hold.
    pub unproved: AtomicU64,
    failed: AtomicU64,
    folders: AtomicU64,
    set_aside: AtomicU64,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files and links that are now as they were.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were so already.
    pub same: u64,
    /// Folders.
    pub folders: u64,
    /// Files that could not be proved by a hash, as nothing says what it should be.
    pub unproved: u64,
    /// Things that gave way and are kept, those set aside among them.
    pub kept: u64,
    /// Things set aside because they were not there then.
    pub set_aside: u64,
    /// Where what gave way is kept, below the folder.
    pub kept_in: Option<RelPath>,
    /// Owners could not be set.
    pub owners_denied: bool,
    /// Access control lists that could not be set (count).
    pub lists_lost: u64,
    /// What could not be had back (count).
    pub failed: u64,
    /// Some of those, and why.
    pub failures: Vec<(RelPath, String)>,
}

/// Why it ended before its end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct RestoreError {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl RestoreError {
    fn new(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self { message: message.to_string(), hint: hint.into() }
    }

    fn local(what: &str, error: &io::Error) -> Self {
        let hint = "check the disk, its free space and the permissions, and run it again: it goes on where it was";
        Self::new(format_args!("cannot {what}: {error}"), hint)
    }
}

impl From<TargetError> for RestoreError {
    fn from(error: TargetError) -> Self {
        let hint = error.hint.clone();
        Self::new(error, hint)
    }
}

impl From<IndexError> for RestoreError {
    fn from(error: IndexError) -> Self {
        Self::new(format_args!("cannot put the past together: {error}"), "check the free space for temporary files")
    }
}

/// Puts the past together, and brings it back.
pub fn restore(wanted: &Wanted<'_>, counts: &Counts) -> Result<Restored, RestoreError> {
    let recall = recall::recall(wanted, counts)?;
    if wanted.dry_run {
        return Ok(Restored {
            files: counts.files.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            ..Restored::default()
        });
    }
    let landing = Landing::open(wanted.root, wanted.run)
        .map_err(|error| RestoreError::local(&format!("open {}", wanted.root.display()), &error))?;
    Work::new(wanted, counts, landing, recall).run()
}
