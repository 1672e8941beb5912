//! What the index learns from a change that was made.

use crate::engine::lane::{Lane, Result, Turn};
use crate::model::{Content, RelPath, Sight};
use crate::plan::Base;
use crate::target::{Change, Placed, Step};

impl Lane {
    /// A change was made and is durable.
    pub(super) fn record(&mut self, turn: &mut Turn<'_>, step: &Step, placed: &Placed) -> Result<()> {
        let path = &step.path;
        match (&step.change, &placed.stamp) {
            (Change::Publish { content, meta, .. } | Change::Link { content, meta, .. }, Some(stamp)) => {
                self.placed(turn, path, Base { content: *content, meta: *meta, stamp: stamp.clone() })?;
                turn.index.note(self.share(), Some(self.id()), path, "put", &told(content.digest.short(), placed))?;
            }
            (Change::MakeFolder { meta }, Some(stamp)) => {
                self.placed(turn, path, Base { content: Content::FOLDER, meta: *meta, stamp: stamp.clone() })?;
            }
            (Change::SetMeta { meta }, Some(stamp)) => {
                if let Some(base) = turn.index.base(self.id(), path)? {
                    self.placed(turn, path, Base { meta: *meta, stamp: stamp.clone(), ..base })?;
                }
            }
            (Change::Move { from }, Some(stamp)) => {
                self.moved(turn, from, path, Some(stamp))?;
            }
            (Change::Remove, _) => {
                turn.index.drop_base(self.id(), path)?;
                let detail = told("into history".to_owned(), placed);
                turn.index.note(self.share(), Some(self.id()), path, "remove", &detail)?;
                self.after_removal(turn, path)?;
            }
            (_, None) => turn.index.doubt(self.id(), path)?,
        }
        self.freshen(path.clone(), turn.limits);
        Ok(())
    }

    pub(super) fn placed(&mut self, turn: &mut Turn<'_>, path: &RelPath, base: Base) -> Result<()> {
        turn.index.put_base(self.id(), path, &base)?;
        if base.content == Content::FOLDER {
            self.made_room(turn, path)?;
        }
        let Some(mut open) = turn.index.open_row(self.id(), path)? else { return Ok(()) };
        if let Some(from) = open.origin.take() {
            self.undo_move(turn, path, &from)?;
        }
        let local = turn.index.local(self.share(), path)?.filter(|row| row.is_present());
        if local.is_some_and(|row| row.seen().holds(&base.content) == Some(true) && row.stat.meta == base.meta) {
            self.end_told(path);
            return turn.index.close(self.id(), path);
        }
        (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
        turn.index.put_open(self.id(), path, &open)
    }

    fn after_removal(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        if let Some(mut open) = turn.index.open_row(self.id(), path)? {
            (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
            turn.index.put_open(self.id(), path, &open)?;
        }
        self.made_room(turn, path)
    }

    /// Nothing of ours lies at `path` any more, or it is a folder now: what waited for that, above, here or below, may
    /// go on, and what the target refused there may fit.
    pub(super) fn made_room(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.blocked.remove(&above) || path.parent().as_ref() == Some(&above) {
                self.freshen(above, turn.limits);
            }
        }
        self.sweep_again |=
            turn.index.target_tally(self.id()).holds > 0 && turn.index.release_refusals_near(self.id(), path)?;
        Ok(())
    }
}

/// What the audit trail says of a change, with the target's own name for the version that it made.
fn told(detail: String, placed: &Placed) -> String {
    match &placed.version {
        Some(version) => format!("{detail}, version {version}"),
        None => detail,
    }
}
