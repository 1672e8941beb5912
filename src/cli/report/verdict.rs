//! The answer in one word, and how it follows from shares and targets.

use serde::{Deserialize, Serialize};

use crate::cli::report::{ShareState, ShareStatus, TargetState, TargetStatus};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every change that had settled by `as_of` is durable on every target.
    Safe,
    /// Something waits, and nothing stands in its way.
    Syncing,
    /// Something needs a person, or a place does not answer.
    Attention,
    /// A target waits for a person before anything more is changed there.
    Halted,
    /// No full scan has ended: nothing can be said.
    Unknown,
}

/// The answer that follows from the shares: the worst that is the case. A place that does not answer is told before a scan
/// has ended too, for it may be why none ends; of all else nothing is said until every share was scanned.
pub(super) fn verdict(shares: &[ShareStatus]) -> Verdict {
    let targets = || shares.iter().flat_map(|share| &share.targets);
    let halted = targets().any(|target| target.state == TargetState::Halted);
    let away = shares.iter().any(|share| share.state == ShareState::Offline) || targets().any(is_away);
    let scanned = |share: &ShareStatus| share.scanned.is_some() && !share.targets.is_empty();
    if !away && (shares.is_empty() || !shares.iter().all(scanned)) {
        return Verdict::Unknown;
    }
    if halted {
        return Verdict::Halted;
    }
    if away || shares.iter().any(|share| share.problems > 0) || targets().any(needs_attention) {
        return Verdict::Attention;
    }
    if targets().all(|target| target.pending == 0 && target.protected_as_of.is_some()) {
        return Verdict::Safe;
    }
    Verdict::Syncing
}

fn is_away(target: &TargetStatus) -> bool {
    match target.state {
        TargetState::Unresponsive | TargetState::Unreachable => true,
        TargetState::Ok | TargetState::Resting | TargetState::Halted | TargetState::Paused => false,
    }
}

fn needs_attention(target: &TargetStatus) -> bool {
    let stuck = match target.state {
        TargetState::Ok | TargetState::Resting => false,
        TargetState::Unresponsive | TargetState::Unreachable | TargetState::Halted | TargetState::Paused => true,
    };
    stuck || target.problems > 0 || target.holds > 0
}
