//! What `status` says of the configuration: from what the agent wrote down, and from the file as it is now.

use crate::cli::collect::Found;
use crate::cli::report::{ConfigStatus, Trouble, WaitingChange, When};
use crate::cli::source::State;
use crate::engine::settings::Settings;
use crate::engine::state::ErrorState;
use crate::model::Wall;

/// Nothing is said before an agent has; what is wrong with the file now is told all the same.
pub(super) fn config_status(asked: &State, found: &Found, now: Wall) -> Option<ConfigStatus> {
    let said = found.settings.as_deref().and_then(Settings::parse);
    let refused = asked.refused.as_ref().map(|notice| {
        // The agent may have seen the same earlier.
        let before = said.as_ref().and_then(|said| said.error.as_ref());
        let since = before.filter(|before| before.message == notice.message).map_or(now.0, |before| before.since);
        Trouble { message: notice.message.clone(), hint: notice.hint.clone(), since: When(Wall(since)) }
    });
    let Some(said) = said else {
        let taken = found.pulse.beat.as_ref().map_or(now, |(_, at)| *at);
        return refused.map(|error| ConfigStatus {
            taken: When(taken),
            unread: false,
            error: Some(error),
            waiting: Vec::new(),
            at_restart: Vec::new(),
            blocked: Vec::new(),
        });
    };
    let unread = asked.digest.as_ref().is_some_and(|digest| !said.digest.is_empty() && *digest != said.digest);
    // What was wrong with an older text says nothing of this one.
    let error = refused.or_else(|| said.error.as_ref().filter(|_| !unread).map(trouble));
    let waiting = said.waiting.into_iter().map(|one| WaitingChange {
        share: one.share,
        target: one.target,
        change: one.change,
        effect: one.effect,
        since: When(Wall(one.since)),
    });
    let (taken, at_restart) = (When(Wall(said.taken)), said.at_restart);
    Some(ConfigStatus { taken, unread, error, waiting: waiting.collect(), at_restart, blocked: said.blocked })
}

fn trouble(error: &ErrorState) -> Trouble {
    Trouble { message: error.message.clone(), hint: error.hint.clone(), since: When(Wall(error.since)) }
}
