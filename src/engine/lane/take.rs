//! Two-way: what others changed on the target is brought to the share, as carefully as it is the other way round.
//!
//! The share is changed only if what lies there is what was decided on, and what gives way is kept in the share's own
//! `.driftline/kept`. The breaker judges what is taken away and replaced here too.

use crate::engine::lane::breaker::Deed;
use crate::engine::lane::decide::Case;
use crate::engine::lane::recall::Below;
use crate::engine::lane::{Lane, Result, Turn};
use crate::engine::{Failure, LandFailure, LandJob, Landed};
use crate::index::{HoldRow, LocalRow, OpenRow};
use crate::model::{Content, Kind, RelPath, Sight, Stamp};
use crate::plan::{Action, Base, Changes, Claim, Drift, Guard, Hold, Taking, Title};
use crate::target::Remedy;

impl Lane {
    pub(super) fn takes(&self) -> bool {
        self.setup.policy.drift == Drift::Take
    }

    /// Makes a change of the share ready to be sent, unless something near it is under way.
    pub(super) fn take(&mut self, turn: &mut Turn<'_>, case: Case<'_>, taking: Taking) -> Result<()> {
        let path = case.path;
        let removes = taking == Taking::Remove;
        if let Some(above) = self.no_folder_above(turn, path)? {
            // What lies there may wait for this one to be gone.
            path.ancestors().filter(|up| !up.is_root()).for_each(|up| self.freshen(up, turn.limits));
            let message = format!("{above} is a folder on the target and none on the share");
            let hint = "rename one of the two; then both are kept".to_owned();
            return self.hold(turn, path, case.open, HoldRow { hold: Hold::Refused, message, hint });
        }
        if let Taking::Bring { seen, .. } = &taking
            && self.news_below(turn, &case, seen)? == Below::Open
        {
            // What comes into it asks for it.
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        if self.waits_for_folder(turn, path)? {
            return Ok(());
        }
        let row = turn.index.local(self.share(), path)?.filter(LocalRow::is_present);
        let is_folder = row.as_ref().is_some_and(|row| row.stat.shape.kind == Kind::Folder);
        if removes && is_folder && (self.needed.contains(path) || turn.index.has_local_below(self.share(), path)?) {
            return self.keep_folder(turn, case);
        }
        let claim = if removes { Claim::Whole } else { Claim::Fill };
        if !self.claims.allows(path, claim) {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        let deed = self.deed_of(&case, &taking);
        if let Some(deed) = &deed
            && !self.vet(turn, deed)?
        {
            return Ok(());
        }
        deed.iter().for_each(|deed| self.depart(deed));
        self.claims.take(path.clone(), claim);
        turn.batch.land.push(LandJob { path: path.clone(), taking, expected: row.map(|row| row.stat) });
        Ok(())
    }

    /// What lies on the share and gives way.
    fn deed_of<'p>(&self, case: &Case<'p>, taking: &Taking) -> Option<Deed<'p>> {
        let Sight::Present(seen) = case.local else { return None };
        let change = match taking {
            Taking::Bring { .. } => Changes { removed: 0, replaced: 1, scrambled: 0 },
            Taking::Remove => Changes { removed: 1, replaced: 0, scrambled: 0 },
            Taking::Carry { .. } => return None,
        };
        let is_file = seen.shape.kind == Kind::File;
        is_file.then_some(Deed { path: case.path, change, since: case.open.since, bytes: seen.shape.len })
    }

    /// What lies on the share where the path would need a folder.
    fn no_folder_above(&self, turn: &mut Turn<'_>, path: &RelPath) -> Result<Option<RelPath>> {
        for above in path.ancestors().filter(|above| !above.is_root()) {
            let row = turn.index.local(self.share(), &above)?.filter(LocalRow::is_present);
            if row.is_some_and(|row| row.stat.shape.kind != Kind::Folder) {
                return Ok(Some(above));
            }
        }
        Ok(None)
    }

    /// Something comes into a folder that is new on the target too: that one comes first, with what it carries.
    fn waits_for_folder(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<bool> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { return Ok(false) };
        let is_there = turn.index.local(self.share(), &parent)?.is_some_and(|row| row.is_present());
        let is_news = turn.index.base(self.id(), &parent)?.is_none();
        let open = turn.index.open_row(self.id(), &parent)?;
        let comes = open.is_some_and(|open| open.hold.is_none() && matches!(open.sight, Sight::Present(_)));
        if is_there || !is_news || !comes {
            return Ok(false);
        }
        self.need(parent.clone());
        self.fresh.insert(parent);
        self.block(path.clone(), turn.limits);
        Ok(true)
    }

    /// Others removed a folder in which the share has things: once it is known of all of them what becomes of them, and some
    /// of them stay, the folder is made there again.
    fn keep_folder(&mut self, turn: &mut Turn<'_>, case: Case<'_>) -> Result<()> {
        let path = case.path;
        if !self.needed.contains(path) && turn.index.has_open_below(self.id(), path)? {
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        self.act(turn, case, Action::Put { content: Content::FOLDER, guard: Guard::Absent })
    }

    /// Changes of the share were tried.
    pub(in crate::engine) fn landed(
        &mut self,
        turn: &mut Turn<'_>,
        all: Vec<(LandJob, std::result::Result<Landed, LandFailure>)>,
    ) -> Result<()> {
        self.jobs -= 1;
        let mut rest = None;
        for (job, result) in all {
            self.done(&job.path);
            self.arrive(&job.path, result.is_ok());
            match result {
                Ok(landed) => {
                    self.vain.remove(&job.path);
                    self.record_landed(turn, &job, &landed)?;
                }
                Err(failure) => rest = self.not_landed(turn, &job, failure)?.or(rest),
            }
        }
        if let Some(failure) = rest {
            self.rest(turn, failure);
        }
        self.unblock();
        self.save_breaker(turn)
    }

    fn record_landed(&mut self, turn: &mut Turn<'_>, job: &LandJob, landed: &Landed) -> Result<()> {
        let path = &job.path;
        let known = turn.index.base(self.id(), path)?.map(|base| base.content);
        let (Some(stat), Some(content), Some(stamp)) = (landed.stat, landed.content.or(known), stamp_of(&job.taking))
        else {
            turn.desk.removed(turn.index, path)?;
            if turn.index.title(self.id(), path)? != Title::Clear {
                // Meanwhile it turned out to be an old removal.
                turn.index.disown_elsewhere(self.id(), path)?;
            } else if let Some(content) = known {
                turn.index.bury(self.share(), path, &content, Some(self.id()))?;
            }
            turn.index.drop_base(self.id(), path)?;
            self.settle_conflict(turn, path, false, None)?;
            self.note(turn, path, "take removal", "someone else removed it there; the share's is kept")?;
            return self.after_removal(turn, path);
        };
        turn.desk.landed(turn.index, path, stat, content, landed.at)?;
        let words = match content.shape.kind {
            Kind::Folder => "a folder".to_owned(),
            Kind::File | Kind::Symlink => format!("content {}, {} bytes", content.digest.short(), content.shape.len),
        };
        let kept = if job.expected.is_some() && landed.content.is_some() { "; the share's is kept" } else { "" };
        self.note(turn, path, "take", &format!("{words}{kept}"))?;
        self.settle_conflict(turn, path, false, Some(&stamp))?;
        self.placed(turn, path, Base { content, meta: stat.meta, stamp })?;
        self.freshen(path.clone(), turn.limits);
        Ok(())
    }

    fn not_landed(&mut self, turn: &mut Turn<'_>, job: &LandJob, failure: LandFailure) -> Result<Option<Failure>> {
        let path = &job.path;
        match failure {
            LandFailure::Changed => return self.changed_meanwhile(turn, path).map(|()| None),
            LandFailure::Busy => {
                if let Some(open) = turn.index.open_row(self.id(), path)? {
                    let message = "someone else changed it there, and somebody has it open for writing here".to_owned();
                    let hint = "it is tried again; close the program that writes to it".to_owned();
                    self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint })?;
                }
            }
            LandFailure::Ignored => {
                self.foreign += 1;
                turn.index.close(self.id(), path)?;
            }
            LandFailure::Occupied => {
                self.need(path.clone());
                self.freshen(path.clone(), turn.limits);
            }
            LandFailure::Offline(why) => turn.desk.go_offline(why, turn.limits, turn.now),
            LandFailure::Troubled(trouble) => {
                if let Some(open) = turn.index.open_row(self.id(), path)? {
                    let message = format!("cannot be brought to the share: {}", trouble.message);
                    self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint: trouble.hint })?;
                }
            }
            LandFailure::Target(failure) => {
                if failure.fault.remedy() == Remedy::StageAgain {
                    turn.index.doubt(self.id(), path)?;
                }
                return self.refused(turn, path, true, failure);
            }
        }
        Ok(None)
    }

    /// Looked at and decided again; but not for ever.
    fn changed_meanwhile(&mut self, turn: &mut Turn<'_>, path: &RelPath) -> Result<()> {
        if self.vain.len() >= NEEDED_MAX {
            self.vain.clear();
        }
        let tries = self.vain.entry(path.clone()).or_default();
        *tries += 1;
        if *tries < VAIN_MAX {
            turn.desk.want_look(path.clone(), turn.limits);
            return Ok(());
        }
        self.vain.remove(path);
        let Some(open) = turn.index.open_row(self.id(), path)? else { return Ok(()) };
        let message = "something else lies there each time that theirs is brought to the share".to_owned();
        let hint =
            "it is tried again later; see what writes there, or lies there and is left out by `ignore`".to_owned();
        self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint })
    }

    /// Something in this folder stays, or comes: it is made on the other side too.
    pub(super) fn need(&mut self, folder: RelPath) {
        if self.needed.len() < NEEDED_MAX {
            self.needed.insert(folder);
        }
    }

    /// What is not remembered, because there is so much of it, counts as needed.
    pub(super) fn is_needed(&self, folder: &RelPath) -> bool {
        self.needed.contains(folder) || self.needed.len() >= NEEDED_MAX
    }

    /// What lies there is known again: what the share sent (`ours`), this version of somebody else's, or nothing. A conflict
    /// whose put had begun stands from now on, or came to nothing.
    pub(super) fn settle_conflict(
        &mut self,
        turn: &mut Turn<'_>,
        path: &RelPath,
        ours: bool,
        there: Option<&Stamp>,
    ) -> Result<()> {
        if self.takes() && turn.index.settle_conflict(self.id(), path, ours, there)? {
            self.tell_conflict(turn, path)?;
        }
        Ok(())
    }

    /// The same, where the path is held.
    pub(super) fn hold_conflict(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: &OpenRow) -> Result<()> {
        let there = match &open.sight {
            Sight::Present((stamp, _)) => Some(stamp),
            Sight::Absent => None,
            Sight::Unseen | Sight::Troubled => return Ok(()),
        };
        if self.takes() && turn.index.hold_conflict(self.id(), path, there)? {
            self.tell_conflict(turn, path)?;
        }
        Ok(())
    }

    fn tell_conflict(&mut self, turn: &Turn<'_>, path: &RelPath) -> Result<()> {
        if self.voices.conflicts.names() {
            tracing::warn!(
                target = self.setup.name,
                %path,
                hint = "driftline conflicts",
                "{path} was changed on both sides: the share's stays, theirs is in history"
            );
        }
        self.note(turn, path, "conflict", "changed on both sides: the share's stays, theirs is in history")
    }
}

/// So often in a row something is brought in vain, because the share's had changed; then it waits.
const VAIN_MAX: u8 = 5;
/// Folders of which it is remembered that they are needed (count); what is forgotten is found again.
const NEEDED_MAX: usize = 4096;

fn stamp_of(taking: &Taking) -> Option<Stamp> {
    match taking {
        Taking::Bring { stamp, .. } | Taking::Carry { stamp, .. } => Some(stamp.clone()),
        Taking::Remove => None,
    }
}
