//! What is said of the agent.

use serde::{Deserialize, Serialize};

use crate::cli::report::When;

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
