//! Removals, and the last line against too many of them.

use std::time::Duration;

use crate::engine::lane::decide::Case;
use crate::engine::lane::{Lane, Result, Turn};
use crate::model::{Kind, RelPath};
use crate::plan::{self, Census, Claim, Guard};
use crate::target::{Change, Step};

/// Removals are counted anew after this long without one.
const CENSUS_WINDOW: Duration = Duration::from_secs(600);

impl Lane {
    /// Removes what nobody on the share has any more, once no rename explains it and nothing of ours lies below it.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, case: Case<'_>, guard: Guard) -> Result<()> {
        let Case { path, open, base: Some(base), .. } = case else { return Ok(()) };
        if turn.index.moved_from(self.id(), path)?.is_some() {
            // It is the old name of something that will be renamed, not removed.
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        let age = turn.now.wall.since(open.since);
        if age < turn.limits.grace {
            let due = turn.now.moment.after(turn.limits.grace.saturating_sub(age).max(Duration::from_millis(1)));
            self.delayed.entry(due).or_default().push(path.clone());
            return Ok(());
        }
        if base.content.shape.kind == Kind::Folder && turn.index.has_ours_below(self.id(), path)? {
            // The last removal below it brings it back.
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        if let Err(halt) = self.vet(turn)? {
            return self.stop(turn, &halt);
        }
        let step = Step { path: path.clone(), change: Change::Remove, guard, replaces: Some(base.content.digest) };
        if self.step(turn, step, Claim::Whole) {
            self.census.removals += 1;
            self.waiting = self.waiting.map(|waiting| waiting.saturating_sub(1));
            self.last_removal = Some(turn.now.moment);
            // Should its answer be lost, nobody knows whether it still lies there, whatever becomes of its name meanwhile.
            self.begin_attempt(turn, path, open, base.content)?;
        }
        Ok(())
    }

    /// All removals that wait are judged together, before the first of them is made.
    fn vet(&mut self, turn: &mut Turn<'_>) -> Result<std::result::Result<(), plan::Halt>> {
        let stale = self.last_removal.is_none_or(|last| turn.now.moment.since(last) > CENSUS_WINDOW);
        if stale {
            let tracked = u64::try_from(turn.index.target_tally(self.id()).items).unwrap_or(0);
            self.census = Census { tracked, removals: 0 };
        }
        if self.allowed > 0 {
            self.allowed -= 1;
            return Ok(Ok(()));
        }
        if self.waiting.is_none() {
            self.waiting = Some(turn.index.count_removals(self.id())?);
        }
        let removals = self.census.removals + self.waiting.unwrap_or(0).max(1);
        Ok(plan::vet(&Census { removals, ..self.census }, &turn.limits.removal))
    }

    fn stop(&mut self, turn: &mut Turn<'_>, halt: &plan::Halt) -> Result<()> {
        if self.halt.is_some() {
            return Ok(());
        }
        let message = halt.to_string();
        tracing::error!(target = self.setup.name, "the target is halted: {message}");
        turn.index.set_halt(self.id(), Some(&message))?;
        turn.index.note(self.share(), Some(self.id()), &RelPath::root(), "halt", &message)?;
        self.halt = Some(message);
        Ok(())
    }
}
