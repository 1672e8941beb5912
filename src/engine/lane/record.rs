//! What the index learns from a change that was made.

use crate::engine::lane::{Lane, Result, Turn};
use crate::model::{Acl, Content, Kind, Meta, RelPath, Sight};
use crate::plan::{Base, Guard};
use crate::target::{Change, Placed, Step};

impl Lane {
    /// A change was made and is durable.
    pub(super) fn record(&mut self, turn: &mut Turn<'_>, step: &Step, placed: &Placed) -> Result<()> {
        let path = &step.path;
        match (&step.change, &placed.stamp) {
            (Change::Publish { content, meta, .. } | Change::Link { content, meta, .. }, Some(stamp)) => {
                let before = turn.index.base(self.id(), path)?;
                let detail = told(put_words(content, step, before.is_some()), placed);
                self.settle_conflict(turn, path, true, None)?;
                self.placed(turn, path, Base { content: *content, meta: *meta, stamp: stamp.clone() })?;
                turn.index.put_right(self.id(), path)?;
                self.note(turn, path, "put", &detail)?;
            }
            (Change::MakeFolder { meta }, Some(stamp)) => {
                self.placed(turn, path, Base { content: Content::FOLDER, meta: *meta, stamp: stamp.clone() })?;
                self.note(turn, path, "make folder", &told(String::new(), placed))?;
            }
            (Change::SetMeta { meta }, Some(stamp)) => {
                if let Some(base) = turn.index.base(self.id(), path)? {
                    let detail = meta_words(&base.meta, meta);
                    self.placed(turn, path, Base { meta: *meta, stamp: stamp.clone(), ..base })?;
                    self.note(turn, path, "set meta", &told(detail, placed))?;
                }
            }
            (Change::Move { from }, Some(stamp)) => {
                self.moved(turn, from, path, Some(stamp))?;
            }
            (Change::Remove, _) => {
                let base = turn.index.base(self.id(), path)?;
                let words = base.as_ref().map_or_else(String::new, removal_words);
                if let Some(base) = base.filter(|_| self.takes()) {
                    turn.index.bury(self.share(), path, &base.content, None)?;
                }
                turn.index.drop_base(self.id(), path)?;
                self.note(turn, path, "remove", &told(words, placed))?;
                self.after_removal(turn, path)?;
            }
            (_, None) => turn.index.doubt(self.id(), path)?,
        }
        self.freshen(path.clone(), turn.limits);
        Ok(())
    }

    /// A line of the audit trail about a path on this target.
    pub(super) fn note(&self, turn: &Turn<'_>, path: &RelPath, what: &str, detail: &str) -> Result<()> {
        turn.index.note(self.share(), Some(self.id()), path, what, detail)
    }

    pub(super) fn placed(&mut self, turn: &mut Turn<'_>, path: &RelPath, base: Base) -> Result<()> {
        turn.index.put_base(self.id(), path, &base)?;
        if base.content == Content::FOLDER {
            self.needed.remove(path);
            self.made_room(turn, path)?;
        }
        let Some(mut open) = turn.index.open_row(self.id(), path)? else { return Ok(()) };
        if let Some(from) = open.origin.take() {
            self.undo_move(turn, path, &from)?;
        }
        let local = turn.index.local(self.share(), path)?.filter(|row| row.is_present());
        if local.is_some_and(|row| row.seen().holds(&base.content) == Some(true) && row.stat.meta.is_met_by(&base.meta))
        {
            self.end_told(turn, path)?;
            return turn.index.close(self.id(), path);
        }
        (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
        turn.index.put_open(self.id(), path, &open)
    }

    pub(super) fn after_removal(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        if let Some(mut open) = turn.index.open_row(self.id(), path)? {
            (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
            turn.index.put_open(self.id(), path, &open)?;
        }
        self.left_name(turn, path)?;
        self.made_room(turn, path)
    }

    /// What lay at `path` is gone from there: where the target takes two spellings for one name, the other may be put now. Only
    /// after a change, not after a look: two that wait for a third would else wake each other.
    pub(super) fn left_name(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        self.sweep_again |=
            turn.index.target_tally(self.id()).holds > 0 && turn.index.release_twins(self.id(), path)?;
        Ok(())
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

/// Why it was put, and what: new, in the place of an older version, or because ours was gone.
fn put_words(content: &Content, step: &Step, was_ours: bool) -> String {
    let what = format!("content {}, {} bytes", content.digest.short(), content.shape.len);
    match (&step.guard, step.replaces) {
        (Guard::Absent, _) if was_ours => format!("{what}, again: ours was gone from there"),
        (Guard::Absent, _) => format!("{what}, new"),
        (Guard::Unchanged(_), Some(old)) => format!("{what}, replaces {}", old.short()),
        (Guard::Unchanged(_), None) => format!("{what}, replaces what was there"),
    }
}

fn removal_words(base: &Base) -> String {
    match base.content.shape.kind {
        Kind::Folder => "an empty folder that the share has no more".to_owned(),
        Kind::File | Kind::Symlink => {
            format!("content {} into history: the share has it no more", base.content.digest.short())
        }
    }
}

/// What of the meta has changed.
fn meta_words(old: &Meta, new: &Meta) -> String {
    let mut words = Vec::new();
    if old.mode != new.mode {
        words.push(format!("mode {:o}", new.mode));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        words.push(format!("owner {}:{}", new.uid, new.gid));
    }
    match new.acl {
        Acl::Listed(list) if old.acl != new.acl => words.push(format!("access list {}", list.as_str())),
        Acl::Plain if old.acl.is_listed() => words.push("no access list any more".to_owned()),
        Acl::Listed(_) | Acl::Plain | Acl::NotKnown => {}
    }
    if old.mtime != new.mtime {
        words.push("time".to_owned());
    }
    words.join(", ")
}

/// The same, with the target's own name for the version that the change made.
fn told(detail: String, placed: &Placed) -> String {
    match &placed.version {
        Some(version) if detail.is_empty() => format!("version {version}"),
        Some(version) => format!("{detail}, version {version}"),
        None => detail,
    }
}
