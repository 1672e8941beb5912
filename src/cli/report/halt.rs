//! What is said of a target that waits for a person.

use serde::{Deserialize, Serialize};

use crate::cli::report::When;
use crate::plan::Cause;

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
