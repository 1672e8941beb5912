//! What the agent says of the configuration that it works with: a fact of the index, read by people's commands.

use serde::{Deserialize, Serialize};

use crate::engine::state::ErrorState;

/// Under this name it is a fact of the index.
pub const SETTINGS: &str = "configuration";

/// The configuration in effect, and what of the file is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// When it was last taken from the file, whole or in part (nanoseconds since 1970).
    pub taken: i64,
    /// The digest of the text that was last read, whether it was taken or not; empty where there is no file.
    pub digest: String,
    /// Why the text that was last read was not taken.
    pub error: Option<ErrorState>,
    /// Changes that wait for a person.
    pub waiting: Vec<Waiting>,
    /// Changes that no running agent can make.
    pub at_restart: Vec<String>,
    /// What is new in it and cannot begin yet, each with its reason.
    pub blocked: Vec<String>,
}

/// A change that waits for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which share.
    pub share: String,
    /// Which target; `None` for the share itself.
    pub target: Option<String>,
    /// What would be otherwise.
    pub change: String,
    /// What that would do.
    pub effect: String,
    /// Since when (nanoseconds since 1970).
    pub since: i64,
}

impl Settings {
    /// As it stands in the index; `None` if no agent has written it, or another version wrote it otherwise.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// As it goes into the index.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain values and text are always JSON")
    }
}
