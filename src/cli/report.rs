//! What `status` says: its values, as `status --json` prints them, and the verdict that follows from them.
//!
//! Not here: where the values come from (the index), and how they look to people (`status_text`).

mod agent;
mod config;
mod halt;
mod item;
mod share;
mod target;
mod verdict;
mod when;

use serde::{Deserialize, Serialize};

use crate::cli::Exit;
use crate::cli::report::verdict::verdict;
use crate::model::Wall;

pub use agent::{AgentState, AgentStatus};
pub use config::{ConfigStatus, WaitingChange};
pub use halt::{HaltCounts, HaltFolder, HaltStatus};
pub use item::{Item, ItemKind};
pub use share::{ShareState, ShareStatus, WatchMode, WatchStatus};
pub use target::{Cost, Events, Requests, TargetKind, TargetState, TargetStatus, Trouble, Verified};
pub use verdict::Verdict;
pub use when::When;

/// Everything that `status` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The answer.
    pub verdict: Verdict,
    /// The time that the answer is about. With an agent that is not running: when it was last known.
    pub as_of: When,
    /// The agent.
    pub agent: AgentStatus,
    /// The configuration; `None` if no agent has said anything of it.
    pub config: Option<ConfigStatus>,
    /// In the order of the configuration.
    pub shares: Vec<ShareStatus>,
    /// Why nothing more is known.
    pub error: Option<Notice>,
}

/// Something that people have to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Status {
    /// Draws the verdict from the parts. What is fine is fine up to the agent's last heartbeat; trouble is so `now`, while
    /// the agent runs.
    pub fn new(agent: AgentStatus, config: Option<ConfigStatus>, shares: Vec<ShareStatus>, now: When) -> Self {
        let asks = agent.state == AgentState::Running && config.as_ref().is_some_and(ConfigStatus::needs_a_person);
        let verdict = match (agent.heartbeat, verdict(&shares)) {
            (None, _) => Verdict::Unknown,
            (Some(_), Verdict::Safe | Verdict::Syncing) if asks => Verdict::Attention,
            (Some(_), verdict) => verdict,
        };
        let beat = agent.heartbeat.unwrap_or(When(Wall(0)));
        let as_of = match (agent.state, verdict) {
            (AgentState::Running, Verdict::Safe | Verdict::Syncing) => beat,
            (AgentState::Running, Verdict::Attention | Verdict::Halted | Verdict::Unknown) => now,
            (AgentState::Stopped | AgentState::Hung, _) => beat,
        };
        Self { verdict, as_of, agent, config, shares, error: None }
    }

    /// The answer as far as the files alone are concerned.
    pub fn files(&self) -> Verdict {
        verdict(&self.shares)
    }

    /// The same, when what the index knows could not be learned: nothing is claimed.
    pub fn with_error(self, error: Notice) -> Self {
        Self { verdict: Verdict::Unknown, error: Some(error), ..self }
    }

    /// How `status` ends.
    pub fn exit(&self) -> Exit {
        match (self.agent.state, self.verdict) {
            (AgentState::Stopped, _) => Exit::NotRunning,
            (AgentState::Hung, _) | (_, Verdict::Halted | Verdict::Attention) => Exit::Problems,
            (AgentState::Running, Verdict::Unknown) if self.error.is_some() => Exit::Problems,
            (AgentState::Running, Verdict::Safe | Verdict::Syncing | Verdict::Unknown) => Exit::Fine,
        }
    }

    /// Every target, with its share.
    pub fn lanes(&self) -> impl Iterator<Item = (&ShareStatus, &TargetStatus)> {
        self.shares.iter().flat_map(|share| share.targets.iter().map(move |target| (share, target)))
    }
}

#[cfg(test)]
pub(super) mod tests;
