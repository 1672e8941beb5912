//! What an administrator is told about a path or a place that needs attention.

use crate::model::Wall;

/// Why nothing more can be opened: by this process, or on the whole machine.
pub const EXHAUSTED: &str = "too many files are open";
/// What to do about that.
pub const TOO_MANY_FILES: &str = "too many files are open: raise LimitNOFILE of the service or fs.file-max";

/// What is the matter with one path on the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, in one sentence without the path.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The storage itself failed: what seems to be absent near it is not believed to be.
    pub failing: bool,
}

impl Trouble {
    /// A trouble that says nothing of what lies near.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), failing: false }
    }
}

/// A problem as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which share.
    pub share: String,
    /// Which target, if it concerns one.
    pub target: Option<String>,
    /// The path, escaped for printing; empty for the place as a whole.
    pub path: String,
    /// What is the matter.
    pub trouble: Trouble,
    /// Since when.
    pub since: Wall,
}
