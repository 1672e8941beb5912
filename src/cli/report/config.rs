//! What is said of the configuration that the agent works with.

use serde::{Deserialize, Serialize};

use crate::cli::report::{Trouble, When};

/// The configuration that is in effect, and what of the file is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// When the agent last took it from the file, whole or in part.
    pub taken: When,
    /// The file holds something else now than what the agent has read.
    pub unread: bool,
    /// Why the file, as the agent or this command has read it, is not taken: what was in effect before stays so.
    pub error: Option<Trouble>,
    /// Changes that would hide or destroy something, each waiting for a person.
    pub waiting: Vec<WaitingChange>,
    /// Changes that take effect when the agent is started anew, and not before.
    pub at_restart: Vec<String>,
    /// What is new in the file and cannot begin, each with its reason: it is tried again when the file is read again.
    pub blocked: Vec<String>,
}

/// A change of the configuration that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingChange {
    /// Which share.
    pub share: String,
    /// Which target; `None` for the share itself.
    pub target: Option<String>,
    /// What would be otherwise.
    pub change: String,
    /// What that would do.
    pub effect: String,
    /// Since when it waits.
    pub since: When,
}

impl WaitingChange {
    /// As `approve` takes it.
    pub fn place(&self) -> String {
        match &self.target {
            Some(target) => format!("{}/{target}", self.share),
            None => self.share.clone(),
        }
    }
}

impl ConfigStatus {
    /// Whether somebody has to do something about it.
    pub fn needs_a_person(&self) -> bool {
        self.error.is_some() || !self.waiting.is_empty() || !self.blocked.is_empty()
    }
}
