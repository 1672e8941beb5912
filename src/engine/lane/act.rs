//! Steps that change the target: each waits until nothing near it is under way, and is written down before it begins. What
//! takes something away is vetted first.

use crate::engine::ReadJob;
use crate::engine::lane::decide::Case;
use crate::engine::lane::{Lane, Result, Turn};
use crate::index::{Conflict, HoldRow, OpenRow};
use crate::model::{Content, Digest, Kind, Meta, Reading, RelPath, Seen, Sight};
use crate::plan::{Action, Base, Claim, Deletes, Guard, Hold};
use crate::target::{Change, Step};

/// Puts of one path whose end is not known, remembered at most (count): the oldest is forgotten first.
const ATTEMPTS_MAX: usize = 4;

impl Lane {
    /// Makes a change ready to be sent, unless something near it is under way.
    pub(super) fn act(&mut self, turn: &mut Turn<'_>, case: Case<'_>, action: Action) -> Result<()> {
        match action {
            Action::Put { content, guard } => {
                let Sight::Present(seen) = case.local else { return Ok(()) };
                self.put(turn, case, seen.meta, content, guard)
            }
            Action::SetMeta { meta, guard } => {
                let step = Step { path: case.path.clone(), change: Change::SetMeta { meta }, guard, replaces: None };
                let (Some(base), true) = (case.base, self.step(turn, step, Claim::Fill)) else { return Ok(()) };
                self.begin_attempt(turn, case.path, case.open, base.content)
            }
            Action::Move { guard } => self.rename(turn, case, guard),
            Action::Remove { guard } => self.remove(turn, case, guard),
        }
    }

    /// Adds a step to the batch if nothing near it is under way. True if it was added.
    pub(super) fn step(&mut self, turn: &mut Turn<'_>, step: Step, claim: Claim) -> bool {
        if !self.claims.allows(&step.path, claim) {
            self.block(step.path, turn.limits);
            return false;
        }
        self.claims.take(step.path.clone(), claim);
        turn.batch.apply.push(step);
        true
    }

    /// Asks for the file to be read into staging.
    pub(super) fn stage(&mut self, turn: &mut Turn<'_>, path: &RelPath, local: Sight<Seen>) -> Result<()> {
        let len = match local {
            Sight::Present(seen) => seen.shape.len,
            Sight::Unseen | Sight::Absent | Sight::Troubled => 0,
        };
        let is_big = len >= turn.limits.big;
        let no_room = is_big && self.big_jobs + turn.batch.big.len() >= turn.limits.big_jobs_max;
        if no_room || !self.claims.allows(path, Claim::Fill) {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        self.claims.take(path.clone(), Claim::Fill);
        let known = if is_big { last_reading(turn, path)? } else { None };
        let job = ReadJob { path: path.clone(), insist: turn.desk.insists(path), known };
        if is_big {
            turn.batch.big.push(job);
        } else {
            turn.batch.stage.push(job);
            turn.batch.stage_bytes += len;
        }
        Ok(())
    }

    fn put(&mut self, turn: &mut Turn<'_>, case: Case<'_>, meta: Meta, content: Content, guard: Guard) -> Result<()> {
        let Case { path, open, local, base, .. } = case;
        let replaced = replaced_content(&open, base.as_ref(), &guard);
        let turns = replaced.is_some_and(|old| old.shape.kind != content.shape.kind);
        let was_folder = replaced.is_some_and(|old| old.shape.kind == Kind::Folder);
        if turns && was_folder && turn.index.has_ours_below(self.id(), path)? {
            return self.wait_for_removals(turn, path, open);
        }
        if !self.has_place(turn, path, &open)? {
            return Ok(());
        }
        let Some(change) = self.change_to(path, content, meta) else {
            self.drop_staged(turn, path);
            return self.stage(turn, path, local);
        };
        let claim = if turns { Claim::Whole } else { Claim::Fill };
        let lost = replaced.filter(|old| old.shape.kind == Kind::File && *old != content);
        let deed = lost.map(|old| self.replacement(path, &open, old));
        if let Some(deed) = deed.as_ref().filter(|_| self.claims.allows(path, claim))
            && !self.vet(turn, deed)?
        {
            return Ok(());
        }
        // Where ours vanished, that is what is put back.
        let vanished = base.as_ref().filter(|_| guard == Guard::Absent).map(|base| base.content);
        let replaces = replaced.or(vanished).filter(is_known).map(|old| old.digest);
        let ours = Seen { shape: content.shape, digest: Some(content.digest), meta };
        let conflict = conflict_of(&open, base.as_ref(), &guard, &ours);
        let publishes = matches!(change, Change::Publish { .. });
        let step = Step { path: path.clone(), change, guard, replaces };
        if self.step(turn, step, claim) {
            deed.iter().for_each(|deed| self.depart(deed));
            if publishes {
                self.staged.remove(path);
            }
            if content == Content::FOLDER {
                turn.batch.made.insert(path.clone());
            }
            if self.takes() {
                turn.index.begin_conflict(self.id(), path, conflict.as_ref())?;
            }
            self.begin_attempt(turn, path, open, content)?;
        }
        Ok(())
    }

    /// The change that puts this content there; `None` if it has to be staged first.
    fn change_to(&self, path: &RelPath, content: Content, meta: Meta) -> Option<Change> {
        match content.shape.kind {
            Kind::Folder => Some(Change::MakeFolder { meta }),
            Kind::Symlink => Some(Change::Link { to: Vec::new(), content, meta }),
            Kind::File => {
                let staged = self.staged.get(path).filter(|staged| staged.reading.content == content)?;
                Some(Change::Publish { token: staged.token, content, meta: staged.reading.stat.meta })
            }
        }
    }

    /// Written down before it begins: whatever was seen there before proves nothing any more.
    pub(super) fn begin_attempt(
        &self,
        turn: &mut Turn<'_>,
        path: &RelPath,
        mut open: OpenRow,
        content: Content,
    ) -> Result<()> {
        open.attempts.retain(|attempt| *attempt != content);
        open.attempts.push(content);
        if open.attempts.len() > ATTEMPTS_MAX {
            open.attempts.remove(0);
        }
        open.sight = Sight::Unseen;
        turn.index.put_open(self.id(), path, &open)
    }

    /// Whether the folder that it goes into is there, or made before it in this batch. A folder that the target would make
    /// on its own is one that nobody knows to be ours.
    fn has_place(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: &OpenRow) -> Result<bool> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { return Ok(true) };
        let row = turn.index.open_row(self.id(), &parent)?;
        let made = turn.index.base(self.id(), &parent)?.is_some_and(|base| base.content == Content::FOLDER);
        if (made && row.as_ref().is_none_or(may_be_a_folder)) || turn.batch.made.contains(&parent) {
            return Ok(true);
        }
        match row {
            Some(row) if row.hold.is_some() => {
                let message = format!("its folder {parent} is held");
                let hint = format!("see `driftline explain {parent}`");
                self.hold(turn, path, open.clone(), HoldRow { hold: Hold::Refused, message, hint })?;
            }
            Some(_) => {
                if self.takes() {
                    self.need(parent.clone());
                }
                // Not through `freshen`: a full set must not begin another sweep on account of one that is blocked.
                self.fresh.insert(parent);
                self.block(path.clone(), turn.limits);
            }
            None => {
                turn.desk.want_look(parent, turn.limits);
                self.block(path.clone(), turn.limits);
            }
        }
        Ok(false)
    }

    /// A folder has to become a file, and what was in it is still on the target.
    fn wait_for_removals(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: OpenRow) -> Result<()> {
        if self.setup.policy.deletes == Deletes::Retain {
            let message = "a folder whose files are retained is in its place on the target".to_owned();
            let hint = "move that folder away on the target".to_owned();
            return self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint });
        }
        if self.takes() && !turn.index.has_open_below(self.id(), path)? {
            let message = "a folder in which others changed something is in its place on the target".to_owned();
            let hint = "rename one of the two; then both are kept".to_owned();
            return self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint });
        }
        self.block(path.clone(), turn.limits);
        Ok(())
    }

    fn rename(&mut self, turn: &mut Turn<'_>, case: Case<'_>, guard: Guard) -> Result<()> {
        let Case { path, open, .. } = case;
        let Some(from) = open.origin.clone() else { return Ok(()) };
        if !self.claims.allows(&from, Claim::Whole) {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        let Some(base) = turn.index.base(self.id(), &from)? else { return Ok(()) };
        if !self.has_place(turn, path, &open)? {
            return Ok(());
        }
        let step = Step { path: path.clone(), change: Change::Move { from: from.clone() }, guard, replaces: None };
        if self.step(turn, step, Claim::Whole) {
            self.claims.take(from, Claim::Whole);
            self.begin_attempt(turn, path, open, base.content)?;
        }
        Ok(())
    }
}

/// What the share's file held when it was last read, unless its stat proves nothing.
fn last_reading(turn: &mut Turn<'_>, path: &RelPath) -> Result<Option<Reading>> {
    let row = turn.index.local(turn.desk.id(), path)?.filter(|row| row.is_present() && !row.racy);
    Ok(row.and_then(|row| {
        let content = Content { shape: row.stat.shape, digest: row.digest? };
        Some(Reading { content, stat: row.stat, at: turn.now.wall, noise: row.noise })
    }))
}

/// As far as was seen since it was left as a folder.
fn may_be_a_folder(open: &OpenRow) -> bool {
    let seen = match &open.sight {
        Sight::Unseen => true,
        Sight::Present((_, seen)) => seen.shape.kind == Kind::Folder,
        Sight::Absent | Sight::Troubled => false,
    };
    seen && !open.doubt
}

/// A file that was never read has a folder's digest, and must not be taken for one.
fn is_known(old: &Content) -> bool {
    old.shape.kind == Kind::Folder || old.digest != Digest::FOLDER
}

/// Both sides had changed it: what gives way is not what we had left.
fn conflict_of(open: &OpenRow, base: Option<&Base>, guard: &Guard, ours: &Seen) -> Option<Conflict> {
    let (Guard::Unchanged(stamp), Sight::Present((there, seen))) = (guard, &open.sight) else { return None };
    let is_theirs = stamp == there && base.is_none_or(|base| base.stamp != *stamp);
    (is_theirs && seen.shape.kind != Kind::Folder).then(|| Conflict {
        stamp: stamp.clone(),
        theirs: seen.into(),
        ours: ours.into(),
        both_new: base.is_none(),
    })
}

/// What a put takes the place of, as far as it is known: for history's names, and to see a change of kind.
fn replaced_content(open: &OpenRow, base: Option<&Base>, guard: &Guard) -> Option<Content> {
    match (guard, &open.sight) {
        (Guard::Absent, _) => None,
        // A look at what we left shows it without its digest: that is known.
        (Guard::Unchanged(stamp), _) if base.is_some_and(|base| base.stamp == *stamp) => base.map(|base| base.content),
        (Guard::Unchanged(_), Sight::Present((_, seen))) => {
            Some(Content { shape: seen.shape, digest: seen.digest.unwrap_or(Digest::FOLDER) })
        }
        (Guard::Unchanged(_), Sight::Unseen | Sight::Absent | Sight::Troubled) => base.map(|base| base.content),
    }
}
