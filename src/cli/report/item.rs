//! What `pending` and `problems` list.

use serde::{Deserialize, Serialize};

use crate::cli::report::When;

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
    /// Both sides had changed it, and a person has to say which version is wanted.
    Conflict,
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
    /// Who keeps it waiting, as far as that can be seen from here: programs that have it open.
    pub by: Option<String>,
    /// What to do about it.
    pub hint: String,
    /// Since when.
    pub since: When,
}
