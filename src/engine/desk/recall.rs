//! Whether the targets have told what the share deleted: an index that was lost or is old does not remember it all.

use std::time::Duration;

use crate::engine::desk::Desk;
use crate::model::Moment;

/// A target that is asked, and from which nothing comes, is waited for so long: it may hang. Without its word an old delete
/// may come back as a file, and nothing is lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is known of that in this run.
#[derive(Debug, Default)]
pub(super) struct Recall {
    wanted: bool,
    /// Until when it is waited for.
    until: Option<Moment>,
    told: bool,
}

impl Desk {
    /// Something that may be an old copy lies on a target. True if all is told that can be; else the targets are asked, once
    /// in a run, and the lanes hear when they have told.
    pub(in crate::engine) fn knows_deletions(&mut self) -> bool {
        self.recall.wanted = true;
        self.recall.told
    }

    /// True if all is told that can be. Nobody is asked for it.
    pub(in crate::engine) fn has_all_deletions(&self) -> bool {
        self.recall.told
    }

    /// True if the targets are to be asked.
    pub(in crate::engine) fn wants_recall(&self) -> bool {
        self.recall.wanted && self.offline.is_none() && self.scanned
    }

    /// One of the targets tells something.
    pub(in crate::engine) fn hears(&mut self, now: Moment) {
        self.recall.until = self.recall.until.map(|_| now.after(PATIENCE));
    }

    /// Whether the word of any target is still awaited. True if what waited for that may go on.
    pub(in crate::engine) fn await_recall(&mut self, is_awaited: bool, now: Moment) -> bool {
        let until = is_awaited.then(|| self.recall.until.unwrap_or_else(|| now.after(PATIENCE)));
        let told = until.is_none_or(|until| until <= now);
        self.recall.until = until;
        told && !std::mem::replace(&mut self.recall.told, told)
    }

    /// When it is waited for no longer; `None` if nothing is.
    pub(super) fn recall_due(&self) -> Option<Moment> {
        self.recall.until.filter(|_| !self.recall.told)
    }

    /// Something waits for what the targets tell.
    pub(super) fn is_recalling(&self) -> bool {
        self.recall.wanted && !self.recall.told
    }
}
