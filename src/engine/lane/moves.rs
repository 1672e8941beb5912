//! Renames: what becomes of the old name and of the new one.

use crate::engine::lane::{Lane, Result, Turn};
use crate::index::OpenRow;
use crate::model::{Content, Kind, RelPath, Sight, Stamp};
use crate::plan::{Action, Base, Origin, Purpose, Verdict};

/// Renames of folders kept in memory (count); more wait their turn in the index.
pub(super) const MOVES_MAX: usize = 10_000;

/// What became of the old name of something renamed.
#[derive(Debug)]
pub(super) enum OldName {
    /// It is as we left it: it can be renamed.
    AsLeft(Base),
    /// It is gone from the target: perhaps renamed already.
    Gone(Base),
    /// It is being looked at.
    NotYet,
    /// There is none, or it is not ours any more.
    None,
}

impl OldName {
    pub(super) fn origin(&self) -> Option<Origin<'_>> {
        match self {
            Self::AsLeft(base) => Some(Origin { base, as_left: true }),
            Self::Gone(base) => Some(Origin { base, as_left: false }),
            Self::NotYet | Self::None => None,
        }
    }

    /// True if the rename is not what this verdict comes to, nor what it is on the way to.
    pub(super) fn is_void(&self, verdict: &Verdict) -> bool {
        let may_be_made = matches!(verdict, Verdict::Moved | Verdict::Examine | Verdict::Act(Action::Move { .. }));
        let may_come =
            matches!(self, Self::AsLeft(_)) && matches!(verdict, Verdict::Read(Purpose::Compare) | Verdict::Wait);
        !may_be_made && !may_come
    }
}

impl Lane {
    /// Keeps in mind the renames of folders that this target can make too.
    pub(super) fn note_moves(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        for (to, from) in std::mem::take(&mut self.told_moves) {
            if turn.index.open_row(self.id(), &to)?.is_some_and(|open| open.origin.as_ref() == Some(&from)) {
                self.note_move(to, from);
            }
        }
        Ok(())
    }

    pub(super) fn note_move(&mut self, to: RelPath, from: RelPath) {
        if self.moves.len() < MOVES_MAX {
            self.moves.insert(to, from);
        }
    }

    pub(super) fn waits_for_move(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<bool> {
        let near = |(to, from): (&RelPath, &RelPath)| to.is_above(path) || from.is_above(path) || from == path;
        let renames = self.moves.iter().filter(|rename| near(*rename));
        let renames: Vec<_> = renames.map(|(to, from)| (to.clone(), from.clone())).collect();
        for (to, from) in renames {
            if turn.index.open_row(self.id(), &to)?.is_some_and(|open| open.origin == Some(from)) {
                return Ok(true);
            }
            self.moves.remove(&to);
        }
        Ok(false)
    }

    /// What became of the path that this one was renamed from.
    pub(super) fn old_name(&self, turn: &mut Turn<'_>, open: &OpenRow) -> Result<OldName> {
        let Some(from) = &open.origin else { return Ok(OldName::None) };
        let run = turn.index.run();
        let vacant = turn.index.local(turn.desk.id(), from)?.is_none_or(|row| matches!(row.sight(run), Sight::Absent));
        let Some(base) = turn.index.base(self.id(), from)? else { return Ok(OldName::None) };
        if !vacant {
            // Too late to rename it; but a rename that began before may have been made.
            return Ok(if open.attempts.is_empty() { OldName::None } else { OldName::Gone(base) });
        }
        if base.content == Content::FOLDER && turn.index.has_attempts_below(self.id(), from)? {
            // What may lie in it without our knowing would be carried along, and never be found again.
            return Ok(if open.attempts.is_empty() { OldName::None } else { OldName::Gone(base) });
        }
        let Some(row) = turn.index.open_row(self.id(), from)? else { return Ok(OldName::AsLeft(base)) };
        if row.doubt || self.claims.contains(from) {
            return Ok(OldName::NotYet);
        }
        let is_ours = row.attempts.is_empty();
        Ok(match &row.sight {
            Sight::Unseen if is_ours => OldName::AsLeft(base),
            Sight::Present((stamp, _)) if is_ours && *stamp == base.stamp => OldName::AsLeft(base),
            Sight::Absent => OldName::Gone(base),
            Sight::Unseen | Sight::Present(_) | Sight::Troubled => OldName::None,
        })
    }

    /// What lay at `from` lies at `to` now. Without a stamp, the stamp has not changed.
    pub(super) fn moved(
        &mut self,
        turn: &mut Turn<'_>,
        from: &RelPath,
        to: &RelPath,
        stamp: Option<&Stamp>,
    ) -> Result<()> {
        let id = self.id();
        self.moves.remove(to);
        let Some(base) = turn.index.base(id, from)? else { return Ok(()) };
        let is_folder = base.content.shape.kind == Kind::Folder;
        let base = Base { stamp: stamp.cloned().unwrap_or(base.stamp), ..base };
        if let Some(mut open) = turn.index.open_row(id, to)? {
            open.origin = None;
            turn.index.put_open(id, to, &open)?;
        }
        turn.index.drop_base(id, from)?;
        self.placed(turn, to, base)?;
        if is_folder {
            turn.index.move_base_subtree(id, from, to)?;
            turn.index.forget_sights_below(id, from)?;
            turn.index.forget_sights_below(id, to)?;
            turn.index.compare_subtree(id, to)?;
            // Renamed back on the share meanwhile: what lies below the old name there has nothing there any more.
            turn.index.compare_subtree(id, from)?;
            self.sweep_again = true;
        }
        self.note(turn, to, "move", &format!("from {from}"))?;
        self.left_name(turn, from)?;
        self.made_room(turn, from)?;
        self.freshen(from.clone(), turn.limits);
        self.freshen(to.clone(), turn.limits);
        self.unblock();
        Ok(())
    }

    /// The rename of a folder will not be made: everything below the two names is decided on its own.
    pub(super) fn undo_move(&mut self, turn: &mut Turn<'_>, to: &RelPath, from: &RelPath) -> Result<()> {
        if let Some(mut open) = turn.index.open_row(self.id(), to)? {
            open.origin = None;
            turn.index.put_open(self.id(), to, &open)?;
            if !open.attempts.is_empty() {
                // It may have been made all the same.
                turn.index.doubt(self.id(), from)?;
            }
        }
        turn.index.compare_subtree(self.id(), from)?;
        turn.index.compare_subtree(self.id(), to)?;
        self.sweep_again = true;
        self.unblock();
        Ok(())
    }
}
