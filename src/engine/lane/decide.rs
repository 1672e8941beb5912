//! One open path: what the policy says, carried out.

use crate::engine::LookJob;
use crate::engine::lane::moves::OldName;
use crate::engine::lane::recall::Below;
use crate::engine::lane::{Lane, Result, Turn};
use crate::index::{HoldRow, OpenRow};
use crate::model::{Content, Digest, Kind, RelPath, Seen, Shape, Sight, Stamp};
use crate::plan::{self, Action, Base, Claim, Hold, Purpose, RemoteView, Taking, Title, Tombstone, Verdict, View};
use crate::target::Remote;

/// Verdicts about one path in a row (count): each that only teaches the index is followed by another, and there are few.
const VERDICTS_MAX: usize = 8;

/// What is known of one open path.
pub(super) struct Case<'p> {
    pub(super) path: &'p RelPath,
    pub(super) open: OpenRow,
    pub(super) local: Sight<Seen>,
    pub(super) base: Option<Base>,
    /// Two-way: how it stands to what the share has there.
    title: Title,
    /// Two-way: others removed it on another target, and the share followed.
    followed: bool,
    /// Two-way: what the share deleted there.
    tombstones: Vec<Tombstone>,
}

/// Holds that are told of one by one, at most (count): what is refused is decided again and again, and is not to fill the audit
/// trail. The others are counted, and `driftline problems` names them.
const TOLD_MAX: usize = 4096;

impl Case<'_> {
    fn view<'a>(&'a self, old_name: &'a OldName) -> View<'a> {
        View {
            local: self.local,
            base: self.base.as_ref(),
            title: self.title,
            followed: self.followed,
            attempts: &self.open.attempts,
            remote: remote_view(&self.open.sight),
            origin: old_name.origin(),
            tombstones: &self.tombstones,
        }
    }
}

impl Lane {
    /// Finds out what is to be done about an open path, and begins it. What was staged and is not published now was staged in
    /// vain, unless it waits only for something else to end, as for its folder to be made.
    pub(super) fn decide(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        self.blocked.remove(path);
        self.find_out(turn, path)?;
        if !(self.blocked.contains(path) && self.may_keep_staged(turn)) {
            self.drop_staged(turn, path);
        }
        Ok(())
    }

    /// Nothing is done while an answer is awaited.
    fn find_out(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        // One consistent version in hand is published even if the file is being changed again: it would starve else.
        let wait = turn.desk.is_unsettled(path) && !self.staged.contains_key(path);
        if wait || self.claims.contains(path) {
            // Its answer brings it back.
            return Ok(());
        }
        let Some(open) = turn.index.open_row(self.id(), path)? else {
            self.drop_staged(turn, path);
            return Ok(());
        };
        if open.doubt {
            return self.examine(turn, path);
        }
        if open.hold.is_some() {
            // Whatever may change that releases it.
            self.drop_staged(turn, path);
            return Ok(());
        }
        if self.waits_for_move(turn, path)? {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        if self.halt.is_some() {
            self.heed();
        }
        self.reconcile(turn, path, open)
    }

    fn reconcile(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: OpenRow) -> Result<()> {
        let run = turn.index.run();
        let local = turn.index.local(turn.desk.id(), path)?.map_or(Sight::Unseen, |row| row.sight(run));
        if matches!(local, Sight::Unseen) {
            // Not by a scan of the share, which tells of what lies there, and of these nothing.
            self.overflowed |= !turn.desk.may_look(path.clone(), turn.limits);
            return Ok(());
        }
        let remembers = self.takes() && matches!(local, Sight::Absent);
        let tombstones = if remembers { turn.index.tombstones(self.id(), path)? } else { Vec::new() };
        let mut case = Case { path, open, local, base: None, title: Title::Clear, followed: false, tombstones };
        for _ in 0..VERDICTS_MAX {
            case.base = turn.index.base(self.id(), path)?;
            case.title = turn.index.title(self.id(), path)?;
            case.followed = match case.base.as_ref().filter(|_| remembers) {
                Some(base) => turn.index.is_followed(self.id(), path, &base.content)?,
                None => false,
            };
            let old_name = self.old_name(turn, &case.open)?;
            if matches!(old_name, OldName::NotYet) {
                self.block(path.clone(), turn.limits);
                return Ok(());
            }
            let verdict = plan::reconcile(&case.view(&old_name), &self.setup.policy);
            if old_name.is_void(&verdict)
                && let Some(from) = case.open.origin.take()
            {
                self.undo_move(turn, path, &from)?;
                continue;
            }
            let verdict = if self.is_old_belief(turn, &case, &verdict) { Verdict::Examine } else { verdict };
            match self.carry_out(turn, case, verdict)? {
                Some(taught) => case = taught,
                None => return Ok(()),
            }
        }
        debug_assert!(false, "{path} never comes to rest");
        Ok(())
    }

    /// Gives the case back if the verdict only taught the index: it is to be judged again.
    fn carry_out<'p>(&mut self, turn: &mut Turn<'_>, mut case: Case<'p>, verdict: Verdict) -> Result<Option<Case<'p>>> {
        let path = case.path;
        match verdict {
            Verdict::Settled => {
                self.settle(turn, path, &case.open)?;
                let is_folder = case.base.is_some_and(|base| base.content == Content::FOLDER);
                if self.takes() && is_folder {
                    // What others changed below it may have waited for it to be a folder here again.
                    self.made_room(turn, path)?;
                }
            }
            Verdict::Wait => {}
            Verdict::Read(Purpose::Compare) => {
                self.overflowed |= !turn.desk.want_hash(path.clone(), turn.limits);
            }
            Verdict::Take(Taking::Bring { seen, .. }) if self.waits_for_recall(turn, &case, &seen)? => {}
            Verdict::Take(Taking::Bring { seen, .. }) if self.news_below(turn, &case, &seen)? == Below::Returned => {
                self.hold_for(turn, path, case.open, Hold::Returned)?;
            }
            // A plan is only made: it is read from what stays open.
            Verdict::Read(Purpose::Send) | Verdict::Act(_) | Verdict::Take(_) if self.plan_only => {}
            // Nothing is changed, and what waits is known all the same: it may be what the target holds, or it may not.
            Verdict::Read(Purpose::Send) if self.halt.is_some() => self.read_only(turn, &case),
            Verdict::Act(_) | Verdict::Take(_) if self.halt.is_some() => {}
            Verdict::Read(Purpose::Send) => self.stage(turn, path, case.local)?,
            Verdict::Examine => self.examine(turn, path)?,
            Verdict::Hold(hold) => self.hold_for(turn, path, case.open, hold)?,
            Verdict::Act(action) => self.act(turn, case, action)?,
            Verdict::Take(taking) => self.take(turn, case, taking)?,
            Verdict::Adopt(base) => {
                let ours = case.open.attempts.contains(&base.content);
                self.settle_conflict(turn, path, ours, Some(&base.stamp))?;
                let known = case.base.as_ref().is_some_and(|known| known.content == base.content);
                let put_again = |old: &Base| known && old.meta == base.meta && old.stamp != base.stamp;
                if self.takes() && !ours && case.base.as_ref().is_some_and(put_again) {
                    turn.index.inherit_elsewhere(self.id(), path)?;
                }
                turn.index.put_base(self.id(), path, &base)?;
                if self.takes() && case.base.is_none() && turn.index.is_revived(self.id(), path, &base.content)? {
                    // Others may be about to remove it, as the share did.
                    turn.index.leave_unclaimed(self.id(), path)?;
                }
                if base.content == Content::FOLDER {
                    self.made_room(turn, path)?;
                }
                if !known {
                    let detail = format!("it is there already: content {}", base.content.digest.short());
                    self.note(turn, path, "adopt", if base.content == Content::FOLDER { "" } else { &detail })?;
                }
                (case.open.attempts, case.open.sight) = (Vec::new(), Sight::Unseen);
                turn.index.put_open(self.id(), path, &case.open)?;
                return Ok(Some(case));
            }
            Verdict::Forget => {
                self.settle_conflict(turn, path, false, None)?;
                if case.base.is_some() {
                    self.note(turn, path, "forget", "nothing of ours is there any more, and the share has it no more")?;
                }
                let may_be_us = |base: &&Base| case.open.attempts.contains(&base.content);
                if let Some(base) = case.base.as_ref().filter(may_be_us).filter(|_| self.takes()) {
                    // It may well have been us, and the answer lost.
                    turn.index.bury(self.share(), path, &base.content, None)?;
                }
                turn.index.drop_base(self.id(), path)?;
                (case.open.attempts, case.open.sight) = (Vec::new(), Sight::Unseen);
                turn.index.put_open(self.id(), path, &case.open)?;
                if case.base.is_some() {
                    self.left_name(turn, path)?;
                }
                self.made_room(turn, path)?;
                return Ok(Some(case));
            }
            Verdict::Moved => {
                if let Some(from) = case.open.origin.take() {
                    self.moved(turn, &from, path, None)?;
                }
            }
        }
        Ok(None)
    }

    /// Whether a change would be sent on the word of an earlier run alone: the index may be older than the target. A look costs
    /// less than bytes that are there already, and its answer is kept until something is done. Where all was listed in this
    /// run, what we never left is not there.
    fn is_old_belief(&self, turn: &Turn<'_>, case: &Case<'_>, verdict: &Verdict) -> bool {
        let sends = matches!(verdict, Verdict::Read(Purpose::Send) | Verdict::Act(Action::Put { .. }));
        let unseen = matches!(case.open.sight, Sight::Unseen) && (case.base.is_some() || !self.listed_now);
        sends && unseen && turn.desk.known_since().is_none_or(|known| case.open.since <= known)
    }

    /// Reads what would take the place of ours, without sending it.
    fn read_only(&mut self, turn: &mut Turn<'_>, case: &Case<'_>) {
        if case.base.as_ref().is_some_and(|base| base.content.shape.kind == Kind::File) {
            self.overflowed |= !turn.desk.want_hash(case.path.clone(), turn.limits);
        }
    }

    fn settle(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: &OpenRow) -> Result<()> {
        self.drop_staged(turn, path);
        if let Some(from) = self.moves.remove(path) {
            self.undo_move(turn, path, &from)?;
        }
        turn.index.close(self.id(), path)?;
        self.wake_above(path, false, turn);
        self.settle_conflict(turn, path, false, None)?;
        self.end_told(turn, path)?;
        // An attempt counts as ours until it is known to have come to nothing.
        if open.attempts.is_empty() { Ok(()) } else { self.made_room(turn, path) }
    }

    pub(super) fn drop_staged(&mut self, turn: &mut Turn<'_>, path: &RelPath) {
        if let Some(staged) = self.staged.remove(path) {
            turn.batch.discard.push(staged.token);
        }
    }

    /// What is staged for a bucket lies in memory: there it waits for nothing. Nor does it two-way, where others may change
    /// meanwhile what has to be sent. Elsewhere no more of it waits than can come in with the answers to all commands under way.
    fn may_keep_staged(&self, turn: &Turn<'_>) -> bool {
        let room = turn.limits.jobs_max * turn.limits.batch_max;
        self.setup.policy.nature.stages_there() && !self.takes() && self.staged.len() <= room
    }

    /// Drops what was staged for paths that do not wait, or not any more.
    pub(super) fn drop_forgotten(&mut self, turn: &mut Turn<'_>) {
        let forgotten = self.staged.extract_if(.., |path, _| !self.blocked.contains(path));
        turn.batch.discard.extend(forgotten.map(|(_, staged)| staged.token));
    }

    /// Drops all that was staged: nothing goes on for a while.
    pub(super) fn drop_all_staged(&mut self, turn: &mut Turn<'_>) {
        turn.batch.discard.extend(std::mem::take(&mut self.staged).into_values().map(|staged| staged.token));
    }

    fn examine(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        if !self.claims.allows(path, Claim::Fill) {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        // Reading is worth its cost only if the content may be the same as the share's, or as an attempt's.
        let local = turn.index.local(self.share(), path)?.filter(|row| row.is_present());
        let open = turn.index.open_row(self.id(), path)?;
        let attempts = open.iter().flat_map(|open| &open.attempts).map(|content| content.shape);
        let base = turn.index.base(self.id(), path)?;
        let ours = base.iter().map(|base| base.content.shape);
        let alone = local.is_none();
        let remembers = self.takes() && alone;
        let tombstones = if remembers { turn.index.tombstones(self.id(), path)? } else { Vec::new() };
        let sight = open.as_ref().and_then(|open| present(&open.sight));
        let old = tombstones.iter().filter_map(|tombstone| match tombstone.len {
            Some(len) => Some(Shape { kind: Kind::File, len }),
            None => sight.map(|(_, seen)| seen.shape),
        });
        let shapes = attempts.chain(local.map(|row| row.stat.shape)).chain(ours).chain(old);
        let read_if = shapes.filter(|shape| shape.kind == Kind::File).collect();
        // What was read in this run need not be read again.
        let was_read = sight.filter(|(_, seen)| self.takes() && is_read(seen)).map(|(stamp, _)| stamp.clone());
        let known = base.map(|base| base.stamp).or(was_read);
        self.claims.take(path.clone(), Claim::Fill);
        turn.batch.looks.push(LookJob { path: path.clone(), read_if, known, alone });
        Ok(())
    }

    fn hold_for(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: OpenRow, hold: Hold) -> Result<()> {
        let (message, hint) = match hold {
            Hold::Drifted if is_unproved(&open.sight) => (
                "something lies there already, and nothing proves that it is the same",
                "set adopt = \"read\" to let it be read back and compared, or drift = \"overwrite\" to replace it (theirs \
                 then goes to history)",
            ),
            Hold::LocalTroubled => ("the share's file cannot be read", "see `driftline problems`"),
            Hold::RemoteTroubled => (
                "what lies there on the target cannot be read",
                "move it away on the target if it is no file, or let the agent's user read it there",
            ),
            Hold::Drifted => (
                "someone else changed it on the target",
                "remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)",
            ),
            Hold::Refused => ("the target refuses it", "see the message of the target"),
            Hold::Returned if is_folder(&open.sight) => {
                let message =
                    "the share deleted what lies in it, and copies of that are on the target again".to_owned();
                let hint = format!(
                    "see `driftline problems` for what lies in {path}; to be rid of the folder remove it on the target"
                );
                return self.hold(turn, path, open, HoldRow { hold, message, hint });
            }
            Hold::Returned => {
                let message = "the share deleted it, and a copy of what it deleted is on the target again".to_owned();
                let hint = format!(
                    "to have it back copy it to the share, or driftline restore {path}; to be rid of it remove it on the \
                     target"
                );
                return self.hold(turn, path, open, HoldRow { hold, message, hint });
            }
        };
        self.hold(turn, path, open, HoldRow { hold, message: message.to_owned(), hint: hint.to_owned() })
    }

    /// A hold that is decided again and again is told once.
    fn tell_hold(&mut self, turn: &Turn<'_>, path: &RelPath, held: &HoldRow) -> Result<()> {
        if self.told.get(path) == Some(&held.message) {
            return Ok(());
        }
        if self.voices.held.names() {
            tracing::warn!(target = self.setup.name, %path, hint = held.hint, "{path} is held: {}", held.message);
        }
        if self.told.len() >= TOLD_MAX && !self.told.contains_key(path) {
            return Ok(());
        }
        self.told.insert(path.clone(), held.message.clone());
        self.note(turn, path, "hold", &held.message)
    }

    /// What was told of is over.
    pub(super) fn end_told(&mut self, turn: &Turn<'_>, path: &RelPath) -> Result<()> {
        if self.told.remove(path).is_some() {
            if self.voices.released.names() {
                tracing::info!(target = self.setup.name, %path, "{path} is no longer held");
            }
            self.note(turn, path, "release", "it is no longer held")?;
        }
        Ok(())
    }

    /// This path waits, for this reason.
    pub(super) fn hold(&mut self, turn: &mut Turn<'_>, path: &RelPath, mut open: OpenRow, held: HoldRow) -> Result<()> {
        self.drop_staged(turn, path);
        if let Some(from) = self.moves.remove(path) {
            self.undo_move(turn, path, &from)?;
        }
        self.tell_hold(turn, path, &held)?;
        if held.hold == Hold::Refused {
            self.next_retry = self.next_retry.or(Some(turn.now.moment.after(self.retry_after)));
        }
        self.hold_conflict(turn, path, &open)?;
        let returned = held.hold == Hold::Returned;
        (open.hold, open.origin) = (Some(held), None);
        turn.index.put_open(self.id(), path, &open)?;
        // A folder that waited for it to be decided has to wait for a person too, and so has what is to go into it.
        self.wake_above(path, returned, turn);
        self.wake_below(path, turn);
        Ok(())
    }

    /// What is to go into a folder may wait for that alone, and nothing be under way that would end and bring it back.
    fn wake_below(&mut self, folder: &RelPath, turn: &Turn<'_>) {
        let Ok(first) = folder.join([1]) else { return };
        let waiting = self.blocked.range(first..).take_while(|path| folder.is_above(path));
        let waiting: Vec<_> = waiting.filter(|path| path.parent().as_ref() == Some(folder)).cloned().collect();
        for path in waiting {
            self.blocked.remove(&path);
            self.freshen(path, turn.limits);
        }
        self.sweep_again |= std::mem::take(&mut self.overflowed);
    }

    /// It is decided: what waits above it for that may be the last to be, as a file that is to take the place of a folder. Where
    /// more wait than are remembered, any may.
    fn wake_above(&mut self, path: &RelPath, all: bool, turn: &Turn<'_>) {
        if self.blocked.is_empty() && !self.overflowed && !all {
            return;
        }
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.blocked.remove(&above) || self.overflowed || all {
                self.freshen(above, turn.limits);
            }
        }
    }
}

fn present(sight: &Sight<(Stamp, Seen)>) -> Option<&(Stamp, Seen)> {
    match sight {
        Sight::Present(there) => Some(there),
        Sight::Unseen | Sight::Absent | Sight::Troubled => None,
    }
}

/// Its digest is known, and not only that nothing proves it.
fn is_read(seen: &Seen) -> bool {
    seen.digest.is_some_and(|digest| digest != Digest::UNPROVED)
}

/// What a look showed; if it is the version that was read before, it holds what it held then.
pub(super) fn as_read_before(found: Remote, before: &Sight<(Stamp, Seen)>) -> (Stamp, Seen) {
    let mut seen = found.seen;
    let same = |(stamp, old): &&(Stamp, Seen)| *stamp == found.stamp && old.shape == seen.shape && is_read(old);
    if let Some((_, old)) = present(before).filter(same) {
        seen.digest = seen.digest.or(old.digest);
    }
    (found.stamp, seen)
}

fn is_folder(sight: &Sight<(Stamp, Seen)>) -> bool {
    present(sight).is_some_and(|(_, seen)| seen.shape.kind == Kind::Folder)
}

fn is_unproved(sight: &Sight<(Stamp, Seen)>) -> bool {
    matches!(sight, Sight::Present((_, seen)) if seen.digest == Some(Digest::UNPROVED))
}

fn remote_view(sight: &Sight<(Stamp, Seen)>) -> Sight<RemoteView<'_>> {
    sight.as_ref().map(|(stamp, seen)| RemoteView { stamp, seen: *seen })
}
