//! What the target answers to looks, stagings and changes.

use crate::engine::lane::decide::as_read_before;
use crate::engine::lane::{IN_HAND, Lane, Result, Turn};
use crate::engine::{Failure, StageFailure};
use crate::index::{HoldRow, OpenRow, Presence};
use crate::model::{Content, Kind, ReadFault, RelPath, Sight};
use crate::plan::{Base, Guard, Hold};
use crate::target::{Change, Fault, Placed, Remedy, Remote, Staged, Step};

impl Lane {
    pub(in crate::engine) fn looked(
        &mut self,
        turn: &mut Turn<'_>,
        found: Vec<(RelPath, std::result::Result<Option<Remote>, Failure>)>,
    ) -> Result<()> {
        self.jobs -= 1;
        for (path, result) in found {
            self.done(&path);
            self.looked_at(turn, path, result)?;
        }
        self.unblock();
        Ok(())
    }

    fn looked_at(
        &mut self,
        turn: &mut Turn<'_>,
        path: RelPath,
        result: std::result::Result<Option<Remote>, Failure>,
    ) -> Result<()> {
        let mut open = turn.index.open_row(self.id(), &path)?.unwrap_or_else(|| OpenRow::new(turn.now.wall));
        match result {
            Ok(found) => {
                self.answered();
                self.check_below(turn, &path, found.as_ref())?;
                self.learn_folder_meta(turn, &path, found.as_ref())?;
                self.meet_again(turn, &path, found.as_ref())?;
                if found.is_none() {
                    self.made_room(turn, &path)?;
                }
                open.doubt = false;
                let before =
                    if self.takes() { std::mem::replace(&mut open.sight, Sight::Unseen) } else { Sight::Unseen };
                open.sight = found.map_or(Sight::Absent, |found| Sight::Present(as_read_before(found, &before)));
            }
            Err(failure) => match failure.fault.remedy() {
                Remedy::LookAgain | Remedy::LookAbove | Remedy::StageAgain | Remedy::LetGo => {
                    // It changed while it was looked at.
                    open.doubt = true;
                    turn.index.put_open(self.id(), &path, &open)?;
                    self.delayed.entry(turn.now.moment.after(turn.limits.grace)).or_default().push(path);
                    return Ok(());
                }
                Remedy::SetAside => (open.doubt, open.sight) = (false, Sight::Troubled),
                Remedy::RestTarget => {
                    open.doubt = true;
                    self.rest(turn, failure);
                }
            },
        }
        turn.index.put_open(self.id(), &path, &open)?;
        self.freshen(path, turn.limits);
        Ok(())
    }

    /// What we left is there still.
    fn meet_again(&self, turn: &mut Turn<'_>, path: &RelPath, found: Option<&Remote>) -> Result<()> {
        let (Some(remote), Some(base)) = (found, turn.index.base(self.id(), path)?) else { return Ok(()) };
        if base.stamp == remote.stamp { turn.index.seen_as_left(self.id(), path) } else { Ok(()) }
    }

    /// A folder's stamp does not tell of its mode and time: what was last set may have been set in vain, or be set still. Two-way
    /// it may be what others set, and is decided.
    fn learn_folder_meta(&self, turn: &mut Turn<'_>, path: &RelPath, found: Option<&Remote>) -> Result<()> {
        if self.takes() {
            return Ok(());
        }
        let (Some(remote), Some(base)) = (found, turn.index.base(self.id(), path)?) else { return Ok(()) };
        let same_folder = base.content == Content::FOLDER && base.stamp == remote.stamp;
        if same_folder && !remote.seen.meta.is_met_by(&base.meta) {
            let meta = remote.seen.meta.with_acl_of(&base.meta);
            turn.index.put_base(self.id(), path, &Base { meta, ..base })?;
        }
        Ok(())
    }

    /// Where there is no folder, or another than ours, what we left in it may be gone too; no listing would tell.
    fn check_below(&mut self, turn: &mut Turn<'_>, path: &RelPath, found: Option<&Remote>) -> Result<()> {
        let folder = found.filter(|remote| remote.seen.shape.kind == Kind::Folder);
        let base = turn.index.base(self.id(), path)?;
        let is_it = folder.is_some_and(|remote| base.is_none_or(|base| base.stamp == remote.stamp));
        if !is_it && turn.index.has_ours_below(self.id(), path)? {
            turn.index.doubt_subtree(self.id(), path)?;
            self.sweep_again = true;
        }
        Ok(())
    }

    pub(in crate::engine) fn staged(
        &mut self,
        turn: &mut Turn<'_>,
        files: Vec<(RelPath, std::result::Result<Staged, StageFailure>)>,
    ) -> Result<()> {
        self.jobs -= 1;
        let (mut rest, mut any) = (None, false);
        for (path, result) in files {
            self.done(&path);
            match result {
                Ok(staged) => {
                    any = true;
                    turn.desk.read(turn.index, &path, &staged.reading)?;
                    self.drop_staged(turn, &path);
                    self.staged.insert(path.clone(), staged);
                    self.decide_staged(turn, &path)?;
                }
                Err(StageFailure::Read(ReadFault::InHand)) => {
                    // Its answer teaches the index; only if it gives none, this brings it back.
                    self.delayed.entry(turn.now.moment.after(IN_HAND)).or_default().push(path);
                }
                Err(StageFailure::Read(fault)) => {
                    turn.desk.not_read(turn.index, path.clone(), fault, turn.limits, turn.now)?;
                    self.freshen(path, turn.limits);
                }
                Err(StageFailure::Target(failure)) => {
                    let seen = turn.index.local(self.share(), &path)?.filter(|row| row.is_present());
                    let wanted = seen.is_some_and(|row| row.stat.shape.kind == Kind::File);
                    rest = self.refused(turn, &path, wanted, failure)?.or(rest);
                }
            }
        }
        let proves = !self.changes_fail && (self.setup.policy.nature.stages_there() || !self.takes_nothing());
        self.conclude(turn, rest, any && proves);
        self.unblock();
        Ok(())
    }

    /// Some of it was done, or it has to rest. What one call did while another was refused, or after that, says nothing:
    /// it had begun before.
    fn conclude(&mut self, turn: &mut Turn<'_>, rest: Option<Failure>, any: bool) {
        let rests = self.rests_until.is_some_and(|until| turn.now.moment < until);
        match rest {
            Some(failure) => self.rest(turn, failure),
            None if any && !rests => self.recovered(),
            None => {}
        }
    }

    /// Decides again, now that it is known what the file holds.
    fn decide_staged(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        let resting = self.rests_until.is_some() || self.halt.is_some() || self.paused || turn.desk.offline().is_some();
        if resting {
            self.drop_staged(turn, path);
        } else {
            self.decide(turn, path)?;
        }
        if !self.claims.contains(path) && !self.blocked.contains(path) {
            self.freshen(path.clone(), turn.limits);
        }
        Ok(())
    }

    /// Whether the share still wants what this step was to bring about.
    fn is_wanted(&self, turn: &mut Turn<'_>, step: &Step) -> Result<bool> {
        let row = turn.index.local(self.share(), &step.path)?.filter(|row| row.state != Presence::Absent);
        Ok(match (&step.change, row) {
            (Change::Remove, row) => row.is_none(),
            (_, None) => false,
            (Change::Publish { content, .. } | Change::Link { content, .. }, Some(row)) => {
                row.seen().holds(content) != Some(false)
            }
            (Change::MakeFolder { .. }, Some(row)) => row.stat.shape.kind == Kind::Folder,
            (Change::SetMeta { meta }, Some(row)) => row.stat.meta == *meta,
            (Change::Move { .. }, Some(_)) => true,
        })
    }

    /// The one place where a fault on a path becomes what is done about it. Returns the failure if the lane must rest.
    /// What is not wanted any more is not held: it is decided again.
    pub(super) fn refused(
        &mut self,
        turn: &mut Turn<'_>,
        path: &RelPath,
        wanted: bool,
        failure: Failure,
    ) -> Result<Option<Failure>> {
        let mut rest = None;
        match failure.fault.remedy() {
            Remedy::LookAgain => turn.index.doubt(self.id(), path)?,
            Remedy::StageAgain => {}
            Remedy::LetGo => {
                self.let_go(turn, path)?;
                self.note(turn, path, "let go", &failure.message)?;
                self.made_room(turn, path)?;
            }
            Remedy::SetAside if !wanted => {}
            Remedy::SetAside => {
                let open = turn.index.open_row(self.id(), path)?;
                if let Some(open) = open {
                    let Failure { message, hint, .. } = failure;
                    return self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint }).map(|()| None);
                }
            }
            Remedy::LookAbove => {
                // What could not be made is held for that: to look again would be to try it again, for ever.
                if let Some(parent) = path.parent()
                    && !self.is_held_unmade(turn, &parent)?
                {
                    turn.index.doubt(self.id(), &parent)?;
                    self.freshen(parent, turn.limits);
                }
            }
            Remedy::RestTarget => rest = Some(failure),
        }
        self.freshen(path.clone(), turn.limits);
        Ok(rest)
    }

    /// A folder that is held, and that we never left there.
    fn is_held_unmade(&self, turn: &mut Turn<'_>, path: &RelPath) -> Result<bool> {
        let is_held = turn.index.open_row(self.id(), path)?.is_some_and(|open| open.hold.is_some());
        Ok(is_held && turn.index.base(self.id(), path)?.is_none_or(|base| base.content != Content::FOLDER))
    }

    /// What we left there is someone else's from now on: a folder with things of theirs in it.
    fn let_go(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        turn.index.drop_base(self.id(), path)?;
        let Some(mut open) = turn.index.open_row(self.id(), path)? else { return Ok(()) };
        open.attempts.retain(|content| *content != Content::FOLDER);
        turn.index.put_open(self.id(), path, &open)
    }

    pub(in crate::engine) fn applied(
        &mut self,
        turn: &mut Turn<'_>,
        steps: Vec<(Step, std::result::Result<Placed, Failure>)>,
    ) -> Result<()> {
        self.jobs -= 1;
        let (mut rest, mut any) = (None, false);
        for (step, result) in steps {
            self.done(&step.path);
            if let Change::Move { from } = &step.change {
                self.done(from);
            }
            self.arrive(&step.path, result.is_ok());
            match result {
                Ok(placed) => {
                    any = true;
                    self.record(turn, &step, &placed)?;
                }
                Err(failure) => {
                    self.not_applied(turn, &step, &failure)?;
                    if let Change::Publish { token, .. } = &step.change {
                        // It was staged in vain.
                        turn.batch.discard.push(*token);
                    }
                    let wanted = self.is_wanted(turn, &step)?;
                    rest = self.refused(turn, &step.path, wanted, failure)?.or(rest);
                }
            }
        }
        self.changes_fail |= rest.as_ref().is_some_and(|failure| failure.fault == Fault::Unreachable);
        self.conclude(turn, rest, any);
        self.unblock();
        self.save_breaker(turn)?;
        debug_assert!(turn.batch.apply.is_empty() && turn.batch.stage.is_empty(), "an answer only teaches the index");
        Ok(())
    }

    fn not_applied(&mut self, turn: &mut Turn<'_>, step: &Step, failure: &Failure) -> Result<()> {
        if self.takes() && failure.fault == Fault::Stale {
            turn.index.refuse_conflict(self.id(), &step.path)?;
        }
        match &step.change {
            // The rename may have been made, or the old name is not what it was: both ends are looked at.
            Change::Move { from } if failure.fault.remedy() != Remedy::SetAside => {
                turn.index.doubt(self.id(), from)?;
                turn.index.doubt(self.id(), &step.path)?;
                self.freshen(from.clone(), turn.limits);
            }
            // Ours was gone from there, and is not there again: what is to go into it waits with it.
            Change::MakeFolder { .. } if makes_in_vain(step, failure) => {
                turn.index.drop_base(self.id(), &step.path)?;
            }
            Change::Link { .. } | Change::Publish { .. } if failure.fault == Fault::Unstaged => {
                turn.desk.want_look(step.path.clone(), turn.limits);
            }
            Change::Publish { .. }
            | Change::Link { .. }
            | Change::MakeFolder { .. }
            | Change::SetMeta { .. }
            | Change::Move { .. }
            | Change::Remove => {}
        }
        Ok(())
    }
}

/// The folder was to be made where nothing was, and will not be by trying again.
fn makes_in_vain(step: &Step, failure: &Failure) -> bool {
    step.guard == Guard::Absent && failure.fault.remedy() == Remedy::SetAside
}
