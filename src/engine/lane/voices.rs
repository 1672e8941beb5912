//! What the log says of single paths on a target, and how much of it.

use crate::engine::lane::Lane;
use crate::engine::voice::Voice;
use crate::model::Moment;

/// One for each kind of line.
#[derive(Debug, Default)]
pub(super) struct Voices {
    pub(super) held: Voice,
    pub(super) released: Voice,
    pub(super) conflicts: Voice,
}

impl Lane {
    /// At the end of a turn: how many paths were not named one by one.
    pub(in crate::engine) fn speak(&mut self, now: Moment) {
        let Self { setup, voices, .. } = self;
        if let Some(count) = voices.held.rest(now) {
            tracing::warn!(
                target = setup.name,
                count,
                hint = "see `driftline problems`",
                "held too, and not named here: {count} more"
            );
        }
        if let Some(count) = voices.released.rest(now) {
            tracing::info!(target = setup.name, count, "no longer held either, and not named here: {count} more");
        }
        if let Some(count) = voices.conflicts.rest(now) {
            tracing::warn!(
                target = setup.name,
                count,
                hint = "see `driftline conflicts`",
                "changed on both sides too, and not named here: {count} more"
            );
        }
    }

    /// When it has something to say, if nothing else happens.
    pub(in crate::engine) fn speaks_at(&self) -> Option<Moment> {
        let Voices { held, released, conflicts } = &self.voices;
        [held, released, conflicts].into_iter().filter_map(Voice::due).min()
    }
}
