//! The engine's side of one target: what is open, what is under way, and what the answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::core::{Limits, News, Now, TargetSetup};
use crate::engine::desk::Desk;
use crate::engine::{Command, Failure, LookJob, ReadJob, StageFailure};
use crate::index::{Cursor, HoldRow, Index, IndexError, OpenRow, Presence};
use crate::model::{Content, Kind, Moment, RelPath, Seen, ShareId, Sight, Stamp, TargetId, Wall};
use crate::plan::{
    self, Action, Base, Census, Claim, Claims, Deletes, Guard, Hold, Origin, Purpose, RemoteView, Verdict, View,
};
use crate::rest::rest;
use crate::target::{Bound, Change, Fault, Page, Placed, Remedy, Remote, Staged, Step, Token};

/// Puts of one path whose end is not known, remembered at most (count): the oldest is forgotten first.
const ATTEMPTS_MAX: usize = 4;
/// Renames of folders kept in memory (count); more wait their turn in the index.
const MOVES_MAX: usize = 10_000;
/// Open paths read from the index at once (count).
const SWEEP_PAGE: usize = 512;
/// Removals are counted anew after this long without one.
const CENSUS_WINDOW: Duration = Duration::from_secs(600);

type Result<T> = std::result::Result<T, IndexError>;

/// How a lane is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// It works, or has nothing to do.
    Ok,
    /// It rests after a fault.
    Resting,
    /// It is not the one it was bound to, or does not answer.
    Unreachable,
    /// It waits for a person.
    Halted,
    /// An administrator paused it.
    Paused,
}

/// How a lane is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneReport {
    /// In one word.
    pub state: LaneState,
    /// The fault that made it rest, until it works again; and when it began.
    pub error: Option<(Failure, Wall)>,
    /// Why it waits for a person.
    pub halt: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sweep {
    gone: bool,
    after: Cursor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    NotDue,
    Due,
    Running,
}

/// What became of the old name of something renamed.
#[derive(Debug)]
enum OldName {
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
    fn origin(&self) -> Option<Origin<'_>> {
        match self {
            Self::AsLeft(base) => Some(Origin { base, as_left: true }),
            Self::Gone(base) => Some(Origin { base, as_left: false }),
            Self::NotYet | Self::None => None,
        }
    }

    /// True if the rename is not what this verdict comes to, nor what it is on the way to.
    fn is_void(&self, verdict: &Verdict) -> bool {
        let may_be_made = matches!(verdict, Verdict::Moved | Verdict::Examine | Verdict::Act(Action::Move { .. }));
        let may_come =
            matches!(self, Self::AsLeft(_)) && matches!(verdict, Verdict::Read(Purpose::Compare) | Verdict::Wait);
        !may_be_made && !may_come
    }
}

/// Commands being put together in one turn.
#[derive(Debug, Default)]
struct Batch {
    stage: Vec<ReadJob>,
    stage_bytes: u64,
    big: Vec<ReadJob>,
    apply: Vec<Step>,
    /// Folders that `apply` makes.
    made: BTreeSet<RelPath>,
    discard: Vec<Token>,
    looks: Vec<LookJob>,
}

/// One target's work.
#[derive(Debug)]
pub(super) struct Lane {
    setup: TargetSetup,
    plan_only: bool,
    bound: bool,
    probing: bool,
    listing: Listing,
    listed_once: bool,
    /// Things that the first listing showed and the share may yet have.
    unknown: u64,
    list_folder: Option<RelPath>,
    /// The share was not known when the listing began: what it shows may be ours without our knowing.
    list_blind: bool,
    foreign: u64,
    next_audit: Option<Moment>,
    fresh: BTreeSet<RelPath>,
    sweep: Option<Sweep>,
    sweep_again: bool,
    blocked: BTreeSet<RelPath>,
    /// More waits for something to end than is kept in memory.
    overflowed: bool,
    delayed: BTreeMap<Moment, Vec<RelPath>>,
    claims: Claims,
    staged: BTreeMap<RelPath, Staged>,
    /// Renames of folders that wait or are under way: (to, from).
    moves: BTreeMap<RelPath, RelPath>,
    /// Renames of folders that the share has just told of.
    told_moves: Vec<(RelPath, RelPath)>,
    jobs: usize,
    big_jobs: usize,
    /// Paths of big files being staged.
    big_paths: BTreeSet<RelPath>,
    strikes: u32,
    rests_until: Option<Moment>,
    error: Option<(Failure, Wall)>,
    halt: Option<String>,
    paused: bool,
    census: Census,
    /// Removals that wait, as counted in this turn.
    waiting: Option<u64>,
    /// Removals that an administrator has let through.
    allowed: u64,
    last_removal: Option<Moment>,
    started: bool,
}

impl Lane {
    pub(super) fn new(setup: TargetSetup) -> Self {
        Self {
            plan_only: false,
            bound: false,
            probing: false,
            listing: Listing::NotDue,
            listed_once: setup.listed_ago.is_some(),
            unknown: 0,
            list_folder: None,
            list_blind: false,
            foreign: 0,
            next_audit: None,
            fresh: BTreeSet::new(),
            sweep: None,
            sweep_again: true,
            blocked: BTreeSet::new(),
            overflowed: false,
            delayed: BTreeMap::new(),
            claims: Claims::default(),
            staged: BTreeMap::new(),
            moves: BTreeMap::new(),
            told_moves: Vec::new(),
            jobs: 0,
            big_jobs: 0,
            big_paths: BTreeSet::new(),
            strikes: 0,
            rests_until: None,
            error: None,
            halt: setup.halt.clone(),
            paused: setup.paused,
            census: Census::default(),
            waiting: None,
            allowed: 0,
            last_removal: None,
            started: false,
            setup,
        }
    }

    /// From now on nothing is staged and nothing is changed.
    pub(super) fn plan_only(&mut self) {
        self.plan_only = true;
    }

    fn id(&self) -> TargetId {
        self.setup.id
    }

    pub(super) fn share(&self) -> ShareId {
        self.setup.share
    }

    pub(super) fn report(&self) -> LaneReport {
        let away = self
            .error
            .as_ref()
            .is_some_and(|(failure, _)| matches!(failure.fault, Fault::Offline | Fault::Unreachable));
        let state = match () {
            () if self.halt.is_some() => LaneState::Halted,
            () if self.paused => LaneState::Paused,
            () if away => LaneState::Unreachable,
            () if self.error.is_some() => LaneState::Resting,
            () => LaneState::Ok,
        };
        LaneReport { state, error: self.error.clone(), halt: self.halt.clone() }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.jobs > 0 || self.probing || self.listing == Listing::Running
    }

    pub(super) fn is_idle(&self, strikes_max: u32) -> bool {
        if self.is_busy() {
            return false;
        }
        let stopped = self.halt.is_some() || self.paused || self.strikes >= strikes_max;
        let nothing_waits =
            self.fresh.is_empty() && self.sweep.is_none() && !self.sweep_again && self.delayed.is_empty();
        stopped || (self.bound && self.listing == Listing::NotDue && nothing_waits && self.rests_until.is_none())
    }

    /// When time alone brings something about; nothing that waits for an answer.
    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.halt.is_some() || self.paused {
            return None;
        }
        if self.rests_until.is_some() {
            return self.rests_until;
        }
        if self.probing || (self.listing == Listing::Running && !self.listed_once) {
            return None;
        }
        let delayed = self.delayed.keys().next().copied();
        [delayed, self.next_audit].into_iter().flatten().min()
    }

    pub(super) fn audit(&mut self) {
        if self.listing == Listing::NotDue {
            self.listing = Listing::Due;
        }
    }

    pub(super) fn approved(&mut self, index: &mut Index) -> Result<()> {
        self.halt = None;
        // What the administrator has seen does not count again.
        self.allowed = index.count_removals(self.id())?;
        self.last_removal = None;
        self.sweep_again = true;
        index.set_halt(self.id(), None)
    }

    pub(super) fn pause(&mut self, index: &mut Index, paused: bool) -> Result<()> {
        self.paused = paused;
        self.sweep_again = true;
        index.set_paused(self.id(), paused)
    }

    /// The share has news.
    pub(super) fn tell(&mut self, news: &News, limits: &Limits) {
        self.told_moves.extend(news.moves.iter().cloned());
        self.sweep_again |= news.all;
        if !news.paths.is_empty() {
            self.sweep_again |= std::mem::take(&mut self.overflowed);
        }
        for path in &news.paths {
            self.freshen(path.clone(), limits);
        }
    }

    /// Keeps in mind the renames of folders that this target can make too.
    fn note_moves(&mut self, index: &mut Index) -> Result<()> {
        for (to, from) in std::mem::take(&mut self.told_moves) {
            if index.open_row(self.id(), &to)?.is_some_and(|open| open.origin.as_ref() == Some(&from)) {
                self.note_move(to, from);
            }
        }
        Ok(())
    }

    fn note_move(&mut self, to: RelPath, from: RelPath) {
        if self.moves.len() < MOVES_MAX {
            self.moves.insert(to, from);
        }
    }

    fn freshen(&mut self, path: RelPath, limits: &Limits) {
        if self.fresh.len() < limits.fresh_max {
            self.fresh.insert(path);
        } else {
            self.sweep_again = true;
        }
    }

    fn block(&mut self, path: RelPath, limits: &Limits) {
        if self.blocked.len() < limits.fresh_max {
            self.blocked.insert(path);
        } else {
            self.overflowed = true;
        }
    }

    /// Something ended: what waited for it may go on.
    fn unblock(&mut self) {
        let waiting = std::mem::take(&mut self.blocked);
        self.fresh.extend(waiting);
        self.sweep_again |= std::mem::take(&mut self.overflowed);
    }

    // ---- asking ----

    /// Puts commands together. True if more could be decided at once.
    pub(super) fn ask(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        limits: &Limits,
        now: Now,
        commands: &mut Vec<Command>,
    ) -> Result<bool> {
        self.note_moves(index)?;
        if self.halt.is_some() || self.paused || desk.offline().is_some() || self.is_resting(now) {
            return Ok(false);
        }
        if !self.bound {
            if !self.probing {
                self.probing = true;
                commands.push(Command::Probe(self.id()));
            }
            return Ok(false);
        }
        self.start(index, now)?;
        if self.next_audit.is_some_and(|at| at <= now.moment) {
            self.next_audit = None;
            self.audit();
        }
        if self.listing == Listing::Due && (self.unknown == 0 || desk.is_scanned()) {
            self.listing = Listing::Running;
            (self.list_folder, self.foreign, self.unknown) = (None, 0, 0);
            self.list_blind = !desk.is_scanned();
            commands.push(Command::List(self.id()));
        }
        if !self.listed_once {
            // What lies there already must be known before anything is sent.
            return Ok(false);
        }
        self.take_delayed(now);
        self.gather(index, desk, limits, now, commands)
    }

    fn is_resting(&mut self, now: Now) -> bool {
        if self.rests_until.is_some_and(|until| now.moment < until) {
            return true;
        }
        if self.rests_until.take().is_some() {
            self.sweep_again = true;
        }
        false
    }

    fn start(&mut self, index: &mut Index, now: Now) -> Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        for (to, from) in index.waiting_moves(self.id(), MOVES_MAX)? {
            self.note_move(to, from);
        }
        index.release_holds(self.id())?;
        let left = match (self.setup.listed_ago, self.setup.audit) {
            (None, _) => Some(Duration::ZERO),
            (Some(_), None) => None,
            (Some(ago), Some(every)) => Some(every.saturating_sub(ago)),
        };
        self.next_audit = left.map(|left| now.moment.after(left));
        Ok(())
    }

    fn take_delayed(&mut self, now: Now) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| *entry.key() <= now.moment) {
            self.fresh.extend(entry.remove());
        }
    }

    fn gather(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        limits: &Limits,
        now: Now,
        commands: &mut Vec<Command>,
    ) -> Result<bool> {
        let mut batch = Batch::default();
        let mut decided = 0;
        self.waiting = None;
        while decided < limits.decided_max && self.jobs < limits.jobs_max {
            let Some(path) = self.next_path(index)? else { break };
            decided += 1;
            self.decide(index, desk, &path, limits, now, &mut batch)?;
            self.send_full(&mut batch, limits, commands);
        }
        self.send_rest(batch, commands);
        let more = !self.fresh.is_empty() || self.sweep.is_some() || self.sweep_again;
        Ok(more && self.jobs < limits.jobs_max)
    }

    fn next_path(&mut self, index: &mut Index) -> Result<Option<RelPath>> {
        loop {
            if let Some(path) = self.fresh.pop_first() {
                return Ok(Some(path));
            }
            if self.sweep.is_none() && std::mem::take(&mut self.sweep_again) {
                self.sweep = Some(Sweep::default());
            }
            let Some(sweep) = self.sweep.take() else { return Ok(None) };
            let (paths, next) = index.open_page(self.id(), &sweep.after, sweep.gone, SWEEP_PAGE)?;
            self.fresh.extend(paths);
            self.sweep = match (next, sweep.gone) {
                (Some(after), gone) => Some(Sweep { gone, after }),
                // Removals come last, so that what was moved is never nowhere.
                (None, false) => Some(Sweep { gone: true, after: Cursor::default() }),
                (None, true) => None,
            };
        }
    }

    fn send_full(&mut self, batch: &mut Batch, limits: &Limits, commands: &mut Vec<Command>) {
        let full = batch.stage.len() >= limits.batch_max || batch.stage_bytes >= limits.batch_bytes_max;
        let looks_full = batch.looks.len() >= limits.looks_max;
        if full || looks_full || batch.apply.len() >= limits.batch_max || !batch.big.is_empty() {
            self.send_rest(std::mem::take(batch), commands);
        }
    }

    fn send_rest(&mut self, batch: Batch, commands: &mut Vec<Command>) {
        let id = self.id();
        if !batch.discard.is_empty() {
            commands.push(Command::Discard(id, batch.discard));
        }
        if !batch.looks.is_empty() {
            self.jobs += 1;
            commands.push(Command::Look(id, batch.looks));
        }
        if !batch.apply.is_empty() {
            self.jobs += 1;
            commands.push(Command::Apply(id, batch.apply));
        }
        if !batch.stage.is_empty() {
            self.jobs += 1;
            commands.push(Command::Stage(id, batch.stage));
        }
        for job in batch.big {
            self.jobs += 1;
            self.big_jobs += 1;
            self.big_paths.insert(job.path.clone());
            commands.push(Command::Stage(id, vec![job]));
        }
    }

    // ---- deciding ----

    fn decide(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        limits: &Limits,
        now: Now,
        batch: &mut Batch,
    ) -> Result<()> {
        // One consistent version in hand is published even if the file is being changed again: it would starve else.
        let wait = desk.is_unsettled(path) && !self.staged.contains_key(path);
        if wait || self.claims.contains(path) {
            // Its answer brings it back.
            return Ok(());
        }
        let Some(open) = index.open_row(self.id(), path)? else {
            self.drop_staged(path, batch);
            return Ok(());
        };
        if open.doubt {
            return self.examine(index, path, limits, batch);
        }
        if open.hold.is_some() {
            // Whatever may change that releases it.
            self.drop_staged(path, batch);
            return Ok(());
        }
        if self.waits_for_move(index, path)? {
            self.block(path.clone(), limits);
            return Ok(());
        }
        self.reconcile(index, desk, path, open, limits, now, batch)
    }

    fn waits_for_move(&mut self, index: &mut Index, path: &RelPath) -> Result<bool> {
        let near = |(to, from): (&RelPath, &RelPath)| to.is_above(path) || from.is_above(path) || from == path;
        let renames = self.moves.iter().filter(|rename| near(*rename));
        let renames: Vec<_> = renames.map(|(to, from)| (to.clone(), from.clone())).collect();
        for (to, from) in renames {
            if index.open_row(self.id(), &to)?.is_some_and(|open| open.origin == Some(from)) {
                return Ok(true);
            }
            self.moves.remove(&to);
        }
        Ok(false)
    }

    #[expect(clippy::too_many_arguments, reason = "all that the decision rests on")]
    fn reconcile(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        mut open: OpenRow,
        limits: &Limits,
        now: Now,
        batch: &mut Batch,
    ) -> Result<()> {
        let id = self.id();
        let run = index.run();
        let local = index.local(desk.id(), path)?.map_or(Sight::Unseen, |row| row.sight(run));
        if matches!(local, Sight::Unseen) {
            desk.want_look(path.clone(), limits);
            return Ok(());
        }
        // Each verdict that only teaches the index is followed by another; there are few in a row.
        for _ in 0..8 {
            let base = index.base(id, path)?;
            let old_name = self.old_name(index, desk, &open)?;
            if matches!(old_name, OldName::NotYet) {
                self.block(path.clone(), limits);
                return Ok(());
            }
            let view = View {
                local,
                base: base.as_ref(),
                attempts: &open.attempts,
                remote: remote_view(&open.sight),
                origin: old_name.origin(),
            };
            let verdict = plan::reconcile(&view, &self.setup.policy);
            if old_name.is_void(&verdict)
                && let Some(from) = open.origin.take()
            {
                self.undo_move(index, path, &from)?;
                continue;
            }
            match verdict {
                Verdict::Settled => return self.settle(index, path, &open, limits, batch),
                Verdict::Wait => return Ok(()),
                Verdict::Read(Purpose::Compare) => {
                    self.overflowed |= !desk.want_hash(path.clone(), limits);
                    return Ok(());
                }
                // A plan is only made: it is read from what stays open.
                Verdict::Read(Purpose::Send) | Verdict::Act(_) if self.plan_only => return Ok(()),
                Verdict::Read(Purpose::Send) => return self.stage(desk, path, local, limits, batch),
                Verdict::Examine => return self.examine(index, path, limits, batch),
                Verdict::Hold(hold) => return self.hold_for(index, path, open, hold, batch),
                Verdict::Act(action) => {
                    return self.act(index, desk, path, open, local, base, action, limits, now, batch);
                }
                Verdict::Adopt(base) => {
                    index.put_base(id, path, &base)?;
                    if base.content == Content::FOLDER {
                        self.made_room(index, path, limits)?;
                    }
                    (open.attempts, open.sight) = (Vec::new(), Sight::Unseen);
                    index.put_open(id, path, &open)?;
                }
                Verdict::Forget => {
                    index.drop_base(id, path)?;
                    (open.attempts, open.sight) = (Vec::new(), Sight::Unseen);
                    index.put_open(id, path, &open)?;
                    self.made_room(index, path, limits)?;
                }
                Verdict::Moved => {
                    let Some(from) = open.origin.take() else { return Ok(()) };
                    return self.moved(index, &from, path, None, limits);
                }
            }
        }
        debug_assert!(false, "{path} never comes to rest");
        Ok(())
    }

    /// What became of the path that this one was renamed from.
    fn old_name(&self, index: &mut Index, desk: &Desk, open: &OpenRow) -> Result<OldName> {
        let Some(from) = &open.origin else { return Ok(OldName::None) };
        let run = index.run();
        let vacant = index.local(desk.id(), from)?.is_none_or(|row| matches!(row.sight(run), Sight::Absent));
        let Some(base) = index.base(self.id(), from)? else { return Ok(OldName::None) };
        if !vacant {
            // Too late to rename it; but a rename that began before may have been made.
            return Ok(if open.attempts.is_empty() { OldName::None } else { OldName::Gone(base) });
        }
        if base.content == Content::FOLDER && index.has_attempts_below(self.id(), from)? {
            // What may lie in it without our knowing would be carried along, and never be found again.
            return Ok(if open.attempts.is_empty() { OldName::None } else { OldName::Gone(base) });
        }
        let Some(row) = index.open_row(self.id(), from)? else { return Ok(OldName::AsLeft(base)) };
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

    fn settle(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        open: &OpenRow,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<()> {
        self.drop_staged(path, batch);
        if let Some(from) = self.moves.remove(path) {
            self.undo_move(index, path, &from)?;
        }
        index.close(self.id(), path)?;
        // An attempt counts as ours until it is known to have come to nothing.
        if open.attempts.is_empty() { Ok(()) } else { self.made_room(index, path, limits) }
    }

    fn drop_staged(&mut self, path: &RelPath, batch: &mut Batch) {
        if let Some(staged) = self.staged.remove(path) {
            batch.discard.push(staged.token);
        }
    }

    fn examine(&mut self, index: &mut Index, path: &RelPath, limits: &Limits, batch: &mut Batch) -> Result<()> {
        if !self.claims.allows(path, Claim::Fill) {
            self.block(path.clone(), limits);
            return Ok(());
        }
        // Reading is worth its cost only if the content may be the same as the share's, or as an attempt's.
        let local = index.local(self.share(), path)?.filter(|row| row.is_present());
        let open = index.open_row(self.id(), path)?;
        let attempts = open.iter().flat_map(|open| &open.attempts).map(|content| content.shape);
        let base = index.base(self.id(), path)?;
        let ours = base.iter().map(|base| base.content.shape);
        let shapes = attempts.chain(local.map(|row| row.stat.shape)).chain(ours);
        let read_if = shapes.filter(|shape| shape.kind == Kind::File).collect();
        let known = base.map(|base| base.stamp);
        self.claims.take(path.clone(), Claim::Fill);
        batch.looks.push(LookJob { path: path.clone(), read_if, known });
        Ok(())
    }

    fn hold_for(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        open: OpenRow,
        hold: Hold,
        batch: &mut Batch,
    ) -> Result<()> {
        let (message, hint) = match hold {
            Hold::LocalTroubled => ("the share's file cannot be read", "see `driftline problems`"),
            Hold::RemoteTroubled => ("the target's file cannot be read", "see the target's own log and permissions"),
            Hold::Drifted => (
                "someone else changed it on the target",
                "remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)",
            ),
            Hold::Refused => ("the target refuses it", "see the message of the target"),
        };
        self.hold(index, path, open, hold, message.to_owned(), hint.to_owned(), batch)
    }

    #[expect(clippy::too_many_arguments, reason = "one sentence: hold this path, for this reason, saying this")]
    fn hold(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        mut open: OpenRow,
        hold: Hold,
        message: String,
        hint: String,
        batch: &mut Batch,
    ) -> Result<()> {
        self.drop_staged(path, batch);
        if let Some(from) = self.moves.remove(path) {
            self.undo_move(index, path, &from)?;
        }
        let held = HoldRow { hold, message, hint };
        if open.hold.as_ref() != Some(&held) {
            tracing::warn!(target = self.id().0, %path, hint = held.hint, "{path} is held: {}", held.message);
            index.note(self.share(), Some(self.id()), path, "hold", &held.message)?;
        }
        (open.hold, open.origin) = (Some(held), None);
        index.put_open(self.id(), path, &open)
    }

    fn stage(
        &mut self,
        desk: &Desk,
        path: &RelPath,
        local: Sight<Seen>,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<()> {
        let len = match local {
            Sight::Present(seen) => seen.shape.len,
            Sight::Unseen | Sight::Absent | Sight::Troubled => 0,
        };
        let is_big = len >= limits.big;
        let no_room = is_big && self.big_jobs + batch.big.len() >= limits.jobs_max.div_ceil(2);
        if no_room || !self.claims.allows(path, Claim::Fill) {
            self.block(path.clone(), limits);
            return Ok(());
        }
        self.claims.take(path.clone(), Claim::Fill);
        let job = ReadJob { path: path.clone(), insist: desk.insists(path) };
        if is_big {
            batch.big.push(job);
        } else {
            batch.stage.push(job);
            batch.stage_bytes += len;
        }
        Ok(())
    }

    // ---- acting ----

    #[expect(clippy::too_many_arguments, reason = "all that the decision rests on goes into the step")]
    fn act(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        open: OpenRow,
        local: Sight<Seen>,
        base: Option<Base>,
        action: Action,
        limits: &Limits,
        now: Now,
        batch: &mut Batch,
    ) -> Result<()> {
        match action {
            Action::Put { content, guard } => {
                let Sight::Present(seen) = local else { return Ok(()) };
                self.put(index, desk, path, open, seen, base, content, guard, limits, batch)
            }
            Action::SetMeta { meta, guard } => {
                let step = Step { path: path.clone(), change: Change::SetMeta { meta }, guard, replaces: None };
                let (Some(base), true) = (base, self.step(step, Claim::Fill, limits, batch)) else { return Ok(()) };
                self.begin_attempt(index, path, open, base.content)
            }
            Action::Move { guard } => self.rename(index, desk, path, open, guard, limits, batch),
            Action::Remove { guard } => self.remove(index, path, open, base, guard, limits, now, batch),
        }
    }

    /// Adds a step to the batch if nothing near it is under way. True if it was added.
    fn step(&mut self, step: Step, claim: Claim, limits: &Limits, batch: &mut Batch) -> bool {
        if !self.claims.allows(&step.path, claim) {
            self.block(step.path, limits);
            return false;
        }
        self.claims.take(step.path.clone(), claim);
        batch.apply.push(step);
        true
    }

    #[expect(clippy::too_many_arguments, reason = "all that the decision rests on goes into the step")]
    fn put(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        open: OpenRow,
        seen: Seen,
        base: Option<Base>,
        content: Content,
        guard: Guard,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<()> {
        let replaced = replaced_content(&open, base.as_ref(), &guard);
        let turns = replaced.is_some_and(|old| old.shape.kind != content.shape.kind);
        if turns
            && replaced.is_some_and(|old| old.shape.kind == Kind::Folder)
            && index.has_ours_below(self.id(), path)?
        {
            return self.wait_for_removals(index, path, open, limits, batch);
        }
        if !self.has_place(index, desk, path, &open, limits, batch)? {
            return Ok(());
        }
        let meta = seen.meta;
        let change = match content.shape.kind {
            Kind::Folder => Change::MakeFolder { meta },
            Kind::Symlink => Change::Link { to: Vec::new(), content, meta },
            Kind::File => match self.staged.get(path) {
                Some(staged) if staged.reading.content == content => {
                    Change::Publish { token: staged.token, content, meta: staged.reading.stat.meta }
                }
                Some(_) | None => {
                    self.drop_staged(path, batch);
                    return self.stage(desk, path, Sight::Present(seen), limits, batch);
                }
            },
        };
        let step = Step { path: path.clone(), change, guard, replaces: replaced.map(|old| old.digest) };
        if self.step(step, if turns { Claim::Whole } else { Claim::Fill }, limits, batch) {
            self.staged.remove(path);
            if content == Content::FOLDER {
                batch.made.insert(path.clone());
            }
            self.begin_attempt(index, path, open, content)?;
        }
        Ok(())
    }

    /// Written down before it begins: whatever was seen there before proves nothing any more.
    fn begin_attempt(&self, index: &mut Index, path: &RelPath, mut open: OpenRow, content: Content) -> Result<()> {
        open.attempts.retain(|attempt| *attempt != content);
        open.attempts.push(content);
        if open.attempts.len() > ATTEMPTS_MAX {
            open.attempts.remove(0);
        }
        open.sight = Sight::Unseen;
        index.put_open(self.id(), path, &open)
    }

    /// Whether the folder that it goes into is there, or made before it in this batch. A folder that the target would make
    /// on its own is one that nobody knows to be ours.
    fn has_place(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        open: &OpenRow,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<bool> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { return Ok(true) };
        let row = index.open_row(self.id(), &parent)?;
        let made = index.base(self.id(), &parent)?.is_some_and(|base| base.content == Content::FOLDER);
        if (made && row.as_ref().is_none_or(may_be_a_folder)) || batch.made.contains(&parent) {
            return Ok(true);
        }
        match row {
            Some(row) if row.hold.is_some() => {
                let message = format!("its folder {parent} is held");
                let hint = format!("see `driftline explain {parent}`");
                self.hold(index, path, open.clone(), Hold::Refused, message, hint, batch)?;
            }
            Some(_) => {
                // Not through `freshen`: a full set must not begin another sweep on account of one that is blocked.
                self.fresh.insert(parent);
                self.block(path.clone(), limits);
            }
            None => {
                desk.want_look(parent, limits);
                self.block(path.clone(), limits);
            }
        }
        Ok(false)
    }

    /// A folder has to become a file, and what was in it is still on the target.
    fn wait_for_removals(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        open: OpenRow,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<()> {
        if self.setup.policy.deletes == Deletes::Retain {
            let message = "a folder whose files are retained is in its place on the target".to_owned();
            let hint = "move that folder away on the target, or set deletes = \"propagate\"".to_owned();
            return self.hold(index, path, open, Hold::Refused, message, hint, batch);
        }
        self.block(path.clone(), limits);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "all that the decision rests on")]
    fn rename(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        open: OpenRow,
        guard: Guard,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<()> {
        let Some(from) = open.origin.clone() else { return Ok(()) };
        if !self.claims.allows(&from, Claim::Whole) {
            self.block(path.clone(), limits);
            return Ok(());
        }
        let Some(base) = index.base(self.id(), &from)? else { return Ok(()) };
        if !self.has_place(index, desk, path, &open, limits, batch)? {
            return Ok(());
        }
        let step = Step { path: path.clone(), change: Change::Move { from: from.clone() }, guard, replaces: None };
        if self.step(step, Claim::Whole, limits, batch) {
            self.claims.take(from, Claim::Whole);
            self.begin_attempt(index, path, open, base.content)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "all that the decision rests on goes into the step")]
    fn remove(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        open: OpenRow,
        base: Option<Base>,
        guard: Guard,
        limits: &Limits,
        now: Now,
        batch: &mut Batch,
    ) -> Result<()> {
        let Some(base) = base else { return Ok(()) };
        if index.moved_from(self.id(), path)?.is_some() {
            // It is the old name of something that will be renamed, not removed.
            self.block(path.clone(), limits);
            return Ok(());
        }
        let age = now.wall.since(open.since);
        if age < limits.grace {
            let due = now.moment.after(limits.grace.saturating_sub(age).max(Duration::from_millis(1)));
            self.delayed.entry(due).or_default().push(path.clone());
            return Ok(());
        }
        if base.content.shape.kind == Kind::Folder && index.has_ours_below(self.id(), path)? {
            // The last removal below it brings it back.
            self.block(path.clone(), limits);
            return Ok(());
        }
        if let Err(halt) = self.vet(index, limits, now)? {
            return self.stop(index, &halt);
        }
        let step = Step { path: path.clone(), change: Change::Remove, guard, replaces: Some(base.content.digest) };
        if self.step(step, Claim::Whole, limits, batch) {
            self.census.removals += 1;
            self.waiting = self.waiting.map(|waiting| waiting.saturating_sub(1));
            self.last_removal = Some(now.moment);
        }
        Ok(())
    }

    /// All removals that wait are judged together, before the first of them is made.
    fn vet(&mut self, index: &Index, limits: &Limits, now: Now) -> Result<std::result::Result<(), plan::Halt>> {
        let stale = self.last_removal.is_none_or(|last| now.moment.since(last) > CENSUS_WINDOW);
        if stale {
            let tracked = u64::try_from(index.target_tally(self.id()).items).unwrap_or(0);
            self.census = Census { tracked, removals: 0 };
        }
        if self.allowed > 0 {
            self.allowed -= 1;
            return Ok(Ok(()));
        }
        if self.waiting.is_none() {
            self.waiting = Some(index.count_removals(self.id())?);
        }
        let removals = self.census.removals + self.waiting.unwrap_or(0).max(1);
        Ok(plan::vet(&Census { removals, ..self.census }, &limits.removal))
    }

    fn stop(&mut self, index: &mut Index, halt: &plan::Halt) -> Result<()> {
        let message = halt.to_string();
        tracing::error!(target = self.id().0, "the target is halted: {message}");
        index.set_halt(self.id(), Some(&message))?;
        index.note(self.share(), Some(self.id()), &RelPath::root(), "halt", &message)?;
        self.halt = Some(message);
        Ok(())
    }

    // ---- what the target says ----

    pub(super) fn probed(
        &mut self,
        index: &mut Index,
        result: std::result::Result<Bound, Failure>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.probing = false;
        match result {
            Err(failure) => self.rest(failure, limits, now),
            Ok(bound) => {
                if bound.newly {
                    tracing::info!(
                        target = self.id().0,
                        id = bound.id,
                        "the target is bound to this share from now on"
                    );
                }
                index.bind_target(self.id(), &bound.id)?;
                self.bound = true;
                self.recovered();
            }
        }
        Ok(())
    }

    fn rest(&mut self, failure: Failure, limits: &Limits, now: Now) {
        let wait = match failure.fault {
            Fault::Throttled(Some(wait)) => wait,
            _ => rest(self.strikes, now.chance, &limits.rest),
        };
        if self.error.as_ref().is_none_or(|(known, _)| known.message != failure.message) {
            tracing::warn!(target = self.id().0, fault = %failure.fault, hint = failure.hint, "{}", failure.message);
        }
        let since = self.error.as_ref().map_or(now.wall, |(_, since)| *since);
        if failure.fault == Fault::Offline {
            // It is asked who it is before anything else.
            self.bound = false;
        }
        self.error = Some((failure, since));
        if self.rests_until.is_none_or(|until| until <= now.moment) {
            self.strikes += 1;
        }
        self.rests_until = Some(now.moment.after(wait));
    }

    fn recovered(&mut self) {
        self.strikes = 0;
        if let Some((failure, _)) = self.error.take() {
            tracing::info!(target = self.id().0, "the target works again after: {}", failure.message);
        }
    }

    pub(super) fn listed(&mut self, index: &mut Index, page: &Page) -> Result<()> {
        let Some(folder) = &page.folder else { return Ok(()) };
        self.foreign += u64::try_from(page.strange.len()).unwrap_or(0);
        let scope = -self.id().0;
        if self.list_folder.as_ref() != Some(folder) {
            index.forget_names(scope)?;
            self.list_folder = Some(folder.clone());
        }
        index.see_names(scope, page.entries.iter().map(|(path, _)| path.name()))?;
        for (path, remote) in &page.entries {
            self.compare_listed(index, path, remote)?;
        }
        if page.last_of_folder {
            self.doubt_unlisted(index, folder)?;
        }
        Ok(())
    }

    /// A listing only makes doubts: a look decides.
    fn compare_listed(&mut self, index: &mut Index, path: &RelPath, remote: &Remote) -> Result<()> {
        if self.claims.contains(path) {
            return Ok(());
        }
        let base = index.base(self.id(), path)?;
        if let Some(base) = base.as_ref().filter(|base| base.stamp == remote.stamp) {
            return self.compare_folder_meta(index, path, base, remote);
        }
        let open = index.open_row(self.id(), path)?;
        let believed =
            open.is_some_and(|open| matches!(&open.sight, Sight::Present((stamp, _)) if *stamp == remote.stamp));
        if believed {
            return Ok(());
        }
        let ours = base.is_some() || index.local(self.share(), path)?.is_some();
        self.unknown += u64::from(!ours);
        if ours {
            index.doubt(self.id(), path)?;
        } else if remote.seen.shape.kind != Kind::Folder {
            self.foreign += 1;
        }
        Ok(())
    }

    /// A folder's stamp does not tell of its mode and time: the listing does.
    fn compare_folder_meta(&mut self, index: &mut Index, path: &RelPath, base: &Base, remote: &Remote) -> Result<()> {
        let (left, found) = (base.meta, remote.seen.meta);
        if base.content != Content::FOLDER || (left.mode, left.mtime) == (found.mode, found.mtime) {
            return Ok(());
        }
        index.put_base(self.id(), path, &Base { meta: found, ..base.clone() })?;
        index.doubt(self.id(), path)
    }

    fn doubt_unlisted(&mut self, index: &mut Index, folder: &RelPath) -> Result<()> {
        let mut left = Vec::new();
        index.visit_base(self.id(), folder, &mut |name, _| left.push(name.to_vec()))?;
        for name in left {
            if index.was_seen(-self.id().0, &name)? {
                continue;
            }
            let Ok(path) = folder.join(&name) else { continue };
            if !self.claims.contains(&path) {
                index.doubt(self.id(), &path)?;
            }
        }
        Ok(())
    }

    pub(super) fn list_ended(
        &mut self,
        index: &mut Index,
        result: std::result::Result<(), Failure>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.list_folder = None;
        index.forget_names(-self.id().0)?;
        match result {
            Err(failure) => {
                self.listing = Listing::Due;
                self.rest(failure, limits, now);
            }
            // Listed again once it is known what the share has: only then can be told what is foreign.
            Ok(()) if !self.listed_once && self.unknown > 0 && self.list_blind => self.listing = Listing::Due,
            Ok(()) => {
                self.unknown = 0;
                self.listing = Listing::NotDue;
                self.listed_once = true;
                self.next_audit = self.setup.audit.map(|every| now.moment.after(every));
                index.listing_ended(self.id(), now.wall, self.foreign)?;
                index.release_holds(self.id())?;
                self.recovered();
                self.sweep_again = true;
            }
        }
        Ok(())
    }

    fn done(&mut self, path: &RelPath) {
        self.claims.give_back(path);
        if self.big_paths.remove(path) {
            self.big_jobs -= 1;
        }
    }

    pub(super) fn looked(
        &mut self,
        index: &mut Index,
        found: Vec<(RelPath, std::result::Result<Option<Remote>, Failure>)>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.jobs -= 1;
        for (path, result) in found {
            self.done(&path);
            self.looked_at(index, path, result, limits, now)?;
        }
        self.unblock();
        Ok(())
    }

    fn looked_at(
        &mut self,
        index: &mut Index,
        path: RelPath,
        result: std::result::Result<Option<Remote>, Failure>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        let mut open = index.open_row(self.id(), &path)?.unwrap_or_else(|| OpenRow::new(now.wall));
        match result {
            Ok(found) => {
                self.recovered();
                self.check_below(index, &path, found.as_ref())?;
                self.learn_folder_meta(index, &path, found.as_ref())?;
                if found.is_none() {
                    self.made_room(index, &path, limits)?;
                }
                open.doubt = false;
                open.sight = found.map_or(Sight::Absent, |remote| Sight::Present((remote.stamp, remote.seen)));
            }
            Err(failure) => match failure.fault.remedy() {
                Remedy::LookAgain | Remedy::LookAbove | Remedy::StageAgain | Remedy::LetGo => {
                    // It changed while it was looked at.
                    open.doubt = true;
                    index.put_open(self.id(), &path, &open)?;
                    self.delayed.entry(now.moment.after(limits.grace)).or_default().push(path);
                    return Ok(());
                }
                Remedy::SetAside => (open.doubt, open.sight) = (false, Sight::Troubled),
                Remedy::RestTarget => {
                    open.doubt = true;
                    self.rest(failure, limits, now);
                }
            },
        }
        index.put_open(self.id(), &path, &open)?;
        self.freshen(path, limits);
        Ok(())
    }

    /// A folder's stamp does not tell of its mode and time: what was last set may have been set in vain, or be set still.
    fn learn_folder_meta(&self, index: &mut Index, path: &RelPath, found: Option<&Remote>) -> Result<()> {
        let (Some(remote), Some(base)) = (found, index.base(self.id(), path)?) else { return Ok(()) };
        let same_folder = base.content == Content::FOLDER && base.stamp == remote.stamp;
        if same_folder && base.meta != remote.seen.meta {
            index.put_base(self.id(), path, &Base { meta: remote.seen.meta, ..base })?;
        }
        Ok(())
    }

    /// Where there is no folder, nothing that we left in it is there either; no listing would tell.
    fn check_below(&mut self, index: &mut Index, path: &RelPath, found: Option<&Remote>) -> Result<()> {
        let is_folder = found.is_some_and(|remote| remote.seen.shape.kind == Kind::Folder);
        if !is_folder && index.has_ours_below(self.id(), path)? {
            index.doubt_subtree(self.id(), path)?;
            self.sweep_again = true;
        }
        Ok(())
    }

    /// Nothing of ours lies at `path` any more, or it is a folder now: what waited for that, above, here or below, may
    /// go on, and what the target refused there may fit.
    fn made_room(&mut self, index: &mut Index, path: &RelPath, limits: &Limits) -> Result<()> {
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.blocked.remove(&above) || path.parent().as_ref() == Some(&above) {
                self.freshen(above, limits);
            }
        }
        self.sweep_again |= index.target_tally(self.id()).holds > 0 && index.release_refusals_near(self.id(), path)?;
        Ok(())
    }

    pub(super) fn staged(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        files: Vec<(RelPath, std::result::Result<Staged, StageFailure>)>,
        limits: &Limits,
        now: Now,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        self.jobs -= 1;
        let mut batch = Batch::default();
        let mut rest = None;
        for (path, result) in files {
            self.done(&path);
            match result {
                Ok(staged) => {
                    self.recovered();
                    desk.read(index, &path, &staged.reading)?;
                    self.drop_staged(&path, &mut batch);
                    self.staged.insert(path.clone(), staged);
                    self.decide_staged(index, desk, &path, limits, now, &mut batch)?;
                }
                Err(StageFailure::Read(fault)) => {
                    desk.not_read(index, path.clone(), fault, limits, now)?;
                    self.freshen(path, limits);
                }
                Err(StageFailure::Target(failure)) => {
                    let seen = index.local(self.share(), &path)?.filter(|row| row.is_present());
                    let wanted = seen.is_some_and(|row| row.stat.shape.kind == Kind::File);
                    rest = self.refused(index, &path, wanted, failure, limits, &mut batch)?.or(rest);
                }
            }
        }
        if let Some(failure) = rest {
            self.rest(failure, limits, now);
        }
        self.unblock();
        self.send_rest(batch, commands);
        Ok(())
    }

    /// Decides again, now that it is known what the file holds. What is not published now was staged in vain.
    fn decide_staged(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        path: &RelPath,
        limits: &Limits,
        now: Now,
        batch: &mut Batch,
    ) -> Result<()> {
        let resting = self.rests_until.is_some() || self.halt.is_some() || self.paused || desk.offline().is_some();
        if !resting {
            self.decide(index, desk, path, limits, now, batch)?;
        }
        self.drop_staged(path, batch);
        if !self.claims.contains(path) {
            self.freshen(path.clone(), limits);
        }
        Ok(())
    }

    /// Whether the share still wants what this step was to bring about.
    fn is_wanted(&self, index: &mut Index, step: &Step) -> Result<bool> {
        let row = index.local(self.share(), &step.path)?.filter(|row| row.state != Presence::Absent);
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
    fn refused(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        wanted: bool,
        failure: Failure,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<Option<Failure>> {
        let mut rest = None;
        match failure.fault.remedy() {
            Remedy::LookAgain => index.doubt(self.id(), path)?,
            Remedy::StageAgain => {}
            Remedy::LetGo => {
                index.drop_base(self.id(), path)?;
                index.note(self.share(), Some(self.id()), path, "let go", &failure.message)?;
                self.made_room(index, path, limits)?;
            }
            Remedy::SetAside if !wanted => {}
            Remedy::SetAside => {
                let open = index.open_row(self.id(), path)?;
                if let Some(open) = open {
                    let Failure { message, hint, .. } = failure;
                    return self.hold(index, path, open, Hold::Refused, message, hint, batch).map(|()| None);
                }
            }
            Remedy::LookAbove => {
                if let Some(parent) = path.parent() {
                    index.doubt(self.id(), &parent)?;
                    self.freshen(parent, limits);
                }
            }
            Remedy::RestTarget => rest = Some(failure),
        }
        self.freshen(path.clone(), limits);
        Ok(rest)
    }

    pub(super) fn applied(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        steps: Vec<(Step, std::result::Result<Placed, Failure>)>,
        limits: &Limits,
        now: Now,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        self.jobs -= 1;
        let mut rest = None;
        let mut batch = Batch::default();
        for (step, result) in steps {
            self.done(&step.path);
            if let Change::Move { from } = &step.change {
                self.done(from);
            }
            match result {
                Ok(placed) => {
                    self.recovered();
                    self.record(index, desk, &step, &placed, limits)?;
                }
                Err(failure) => {
                    self.not_applied(index, desk, &step, &failure, limits)?;
                    if let Change::Publish { token, .. } = &step.change {
                        // It was staged in vain.
                        batch.discard.push(*token);
                    }
                    let wanted = self.is_wanted(index, &step)?;
                    rest = self.refused(index, &step.path, wanted, failure, limits, &mut batch)?.or(rest);
                }
            }
        }
        if let Some(failure) = rest {
            self.rest(failure, limits, now);
        }
        self.unblock();
        debug_assert!(batch.apply.is_empty() && batch.stage.is_empty(), "an answer only teaches the index");
        self.send_rest(batch, commands);
        Ok(())
    }

    fn not_applied(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        step: &Step,
        failure: &Failure,
        limits: &Limits,
    ) -> Result<()> {
        match &step.change {
            // The rename may have been made, or the old name is not what it was: both ends are looked at.
            Change::Move { from } if failure.fault.remedy() != Remedy::SetAside => {
                index.doubt(self.id(), from)?;
                index.doubt(self.id(), &step.path)?;
                self.freshen(from.clone(), limits);
            }
            Change::Link { .. } | Change::Publish { .. } if failure.fault == Fault::Unstaged => {
                desk.want_look(step.path.clone(), limits);
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

    /// A change was made and is durable.
    fn record(
        &mut self,
        index: &mut Index,
        desk: &mut Desk,
        step: &Step,
        placed: &Placed,
        limits: &Limits,
    ) -> Result<()> {
        let path = &step.path;
        match (&step.change, &placed.stamp) {
            (Change::Publish { content, meta, .. } | Change::Link { content, meta, .. }, Some(stamp)) => {
                self.placed(index, path, Base { content: *content, meta: *meta, stamp: stamp.clone() }, limits)?;
                index.note(self.share(), Some(self.id()), path, "put", &content.digest.short())?;
            }
            (Change::MakeFolder { meta }, Some(stamp)) => {
                self.placed(index, path, Base { content: Content::FOLDER, meta: *meta, stamp: stamp.clone() }, limits)?;
            }
            (Change::SetMeta { meta }, Some(stamp)) => {
                if let Some(base) = index.base(self.id(), path)? {
                    self.placed(index, path, Base { meta: *meta, stamp: stamp.clone(), ..base }, limits)?;
                }
            }
            (Change::Move { from }, Some(stamp)) => {
                self.moved(index, from, path, Some(stamp), limits)?;
            }
            (Change::Remove, _) => {
                index.drop_base(self.id(), path)?;
                index.note(self.share(), Some(self.id()), path, "remove", "into history")?;
                self.after_removal(index, path, limits)?;
            }
            (_, None) => index.doubt(self.id(), path)?,
        }
        let _ = desk;
        self.freshen(path.clone(), limits);
        Ok(())
    }

    fn placed(&mut self, index: &mut Index, path: &RelPath, base: Base, limits: &Limits) -> Result<()> {
        index.put_base(self.id(), path, &base)?;
        if base.content == Content::FOLDER {
            self.made_room(index, path, limits)?;
        }
        let Some(mut open) = index.open_row(self.id(), path)? else { return Ok(()) };
        if let Some(from) = open.origin.take() {
            self.undo_move(index, path, &from)?;
        }
        let local = index.local(self.share(), path)?.filter(|row| row.is_present());
        if local.is_some_and(|row| row.seen().holds(&base.content) == Some(true) && row.stat.meta == base.meta) {
            return index.close(self.id(), path);
        }
        (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
        index.put_open(self.id(), path, &open)
    }

    fn after_removal(&mut self, index: &mut Index, path: &RelPath, limits: &Limits) -> Result<()> {
        if let Some(mut open) = index.open_row(self.id(), path)? {
            (open.attempts, open.sight, open.doubt) = (Vec::new(), Sight::Unseen, false);
            index.put_open(self.id(), path, &open)?;
        }
        self.made_room(index, path, limits)
    }

    /// What lay at `from` lies at `to` now. Without a stamp, the stamp has not changed.
    fn moved(
        &mut self,
        index: &mut Index,
        from: &RelPath,
        to: &RelPath,
        stamp: Option<&Stamp>,
        limits: &Limits,
    ) -> Result<()> {
        let id = self.id();
        self.moves.remove(to);
        let Some(base) = index.base(id, from)? else { return Ok(()) };
        let is_folder = base.content.shape.kind == Kind::Folder;
        let base = Base { stamp: stamp.cloned().unwrap_or(base.stamp), ..base };
        if let Some(mut open) = index.open_row(id, to)? {
            open.origin = None;
            index.put_open(id, to, &open)?;
        }
        index.drop_base(id, from)?;
        self.placed(index, to, base, limits)?;
        if is_folder {
            index.move_base_subtree(id, from, to)?;
            index.forget_sights_below(id, from)?;
            index.forget_sights_below(id, to)?;
            index.compare_subtree(id, to)?;
            self.sweep_again = true;
        }
        index.note(self.share(), Some(id), to, "move", &format!("from {from}"))?;
        self.made_room(index, from, limits)?;
        self.freshen(from.clone(), limits);
        self.freshen(to.clone(), limits);
        self.unblock();
        Ok(())
    }

    /// The rename of a folder will not be made: everything below the two names is decided on its own.
    fn undo_move(&mut self, index: &mut Index, to: &RelPath, from: &RelPath) -> Result<()> {
        if let Some(mut open) = index.open_row(self.id(), to)? {
            open.origin = None;
            index.put_open(self.id(), to, &open)?;
        }
        index.compare_subtree(self.id(), from)?;
        index.compare_subtree(self.id(), to)?;
        self.sweep_again = true;
        self.unblock();
        Ok(())
    }
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

fn remote_view(sight: &Sight<(Stamp, Seen)>) -> Sight<RemoteView<'_>> {
    sight.as_ref().map(|(stamp, seen)| RemoteView { stamp, seen: *seen })
}

/// What a put takes the place of, as far as it is known: for history's names, and to see a change of kind.
fn replaced_content(open: &OpenRow, base: Option<&Base>, guard: &Guard) -> Option<Content> {
    match (guard, &open.sight) {
        (Guard::Absent, _) => None,
        (Guard::Unchanged(_), Sight::Present((_, seen))) => {
            Some(Content { shape: seen.shape, digest: seen.digest.unwrap_or(crate::model::Digest::FOLDER) })
        }
        (Guard::Unchanged(_), Sight::Unseen | Sight::Absent | Sight::Troubled) => base.map(|base| base.content),
    }
}
