//! What the target's own history tells of what the share deleted. It is asked once in a run, and only once something lies on
//! a target of the share that would come to it as new: an index that was lost, or is of last week, may not remember it.

use std::time::Duration;

use crate::engine::lane::decide::Case;
use crate::engine::lane::{Lane, Result, Turn};
use crate::engine::{Command, Failure, Recalled};
use crate::model::{Kind, Seen, Sight};
use crate::plan::Deletes;
use crate::target::Remedy;

/// A target that fails so often in a row is away, and is not waited for (count).
const STRIKES_MAX: u32 = 3;
/// Nor is it asked more often in one run (count).
const TRIES_MAX: u32 = 3;

/// How far the target has told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// Asked in vain so often.
    NotAsked(u32),
    Running(u32),
    Told,
}

/// What lies in a folder that is new on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// What comes to the share, or nothing: the folder does too.
    News,
    /// It is not decided yet.
    Open,
    /// Only old copies of what the share deleted, which are held: the folder is as old as they are.
    Returned,
}

/// Neither the share nor the index knows anything there.
fn is_news(case: &Case<'_>) -> bool {
    matches!(case.local, Sight::Absent) && case.base.is_none()
}

impl Lane {
    /// True if this may be an old copy of what the share deleted, or a folder of such, and the targets have not told yet all
    /// that they can.
    pub(super) fn waits_for_recall(&mut self, turn: &mut Turn<'_>, case: &Case<'_>, seen: &Seen) -> Result<bool> {
        let may_wait = self.halt.is_none() && is_news(case) && !turn.desk.has_all_deletions();
        let may_be_old =
            may_wait && (seen.shape.kind != Kind::Folder || turn.index.has_open_below(self.id(), case.path)?);
        // What was there before is found again by a sweep.
        let waits = may_be_old && !turn.desk.knows_deletions();
        self.awaits_recall |= waits;
        Ok(waits)
    }

    /// How a folder that is new on the target stands, by what lies in it: no history tells of folders.
    pub(super) fn news_below(&mut self, turn: &mut Turn<'_>, case: &Case<'_>, seen: &Seen) -> Result<Below> {
        let path = case.path;
        let is_new_folder = seen.shape.kind == Kind::Folder && is_news(case);
        if !is_new_folder || self.is_needed(path) || !turn.index.has_tombstone_below(self.share(), path)? {
            return Ok(Below::News);
        }
        if turn.index.has_open_below(self.id(), path)? {
            return Ok(Below::Open);
        }
        Ok(if turn.index.has_returned_below(self.id(), path)? { Below::Returned } else { Below::News })
    }

    /// Asks the target, if it was not asked yet and can be. True if its word is awaited.
    pub(in crate::engine) fn ask_recall(&mut self, turn: &mut Turn<'_>) -> bool {
        match self.recall {
            Recall::Told => false,
            Recall::Running(_) => true,
            Recall::NotAsked(tries) => {
                let is_away = self.paused || self.rests_long || self.strikes >= STRIKES_MAX;
                if tries >= TRIES_MAX || is_away || self.setup.policy.deletes == Deletes::Retain {
                    return false;
                }
                if self.bound && self.listed_once && self.rests_until.is_none() {
                    self.recall = Recall::Running(tries);
                    turn.commands.push(Command::Recall(self.id(), turn.now.wall.before(self.setup.remembers)));
                }
                true
            }
        }
    }

    /// What waited for the targets' word is decided.
    pub(in crate::engine) fn recall_is_over(&mut self) {
        self.sweep_again |= std::mem::take(&mut self.awaits_recall);
    }

    /// A part of what the target tells. Where something of ours lies, its deletion is still to be made, and remembered then.
    pub(in crate::engine) fn recalled(&mut self, turn: &mut Turn<'_>, page: &[Recalled]) -> Result<()> {
        turn.desk.hears(turn.now.moment);
        for Recalled { path, what, at } in page {
            if turn.index.base(self.id(), path)?.is_none() {
                turn.index.recall_tombstone(self.share(), path, what, *at)?;
            }
        }
        Ok(())
    }

    /// It has told all, or failed: then it is asked again once it works, but not for ever.
    pub(in crate::engine) fn recall_ended(
        &mut self,
        turn: &mut Turn<'_>,
        result: std::result::Result<(), Failure>,
    ) -> Result<()> {
        let Recall::Running(tries) = self.recall else { return Ok(()) };
        self.recall = Recall::Told;
        match result {
            Ok(()) => self.answered(),
            Err(failure) if failure.fault.remedy() == Remedy::RestTarget => {
                self.recall = Recall::NotAsked(tries + 1);
                self.rest(turn, failure);
            }
            Err(failure) => {
                let name = &self.setup.name;
                tracing::warn!(target = name, hint = failure.hint, "its history is not read: {}", failure.message);
            }
        }
        Ok(())
    }

    /// For how long what the share deleted is remembered here.
    pub(in crate::engine) fn remember(&mut self, remembers: Duration) {
        self.setup.remembers = remembers;
    }
}
