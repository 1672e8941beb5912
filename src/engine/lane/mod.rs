//! The engine's side of one target: what is open, what is under way, and what the answers mean.
//!
//! `gather` picks what to decide and puts commands together; `decide` asks the policy and carries its verdict out, with
//! `act`, `moves` and `losses`, which the `breaker` judges; `answers`, `record`, `recall`, `audit` and `told` take in what the
//! target says.
//! All of them work on one [`Turn`]. What is kept here need not survive a crash.

mod act;
mod answers;
mod audit;
mod breaker;
mod decide;
#[cfg(test)]
mod fixture;
mod gather;
mod losses;
mod moves;
mod recall;
mod record;
mod take;
mod told;
mod turn;
mod voices;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::core::{Limits, News, Now, TargetSetup};
use crate::engine::{Failure, Strange, is_twin};
use crate::index::{Cursor, IndexError};
use crate::model::{Moment, RelPath, ShareId, TargetId, Wall};
use crate::plan::{Claims, Halt, Nature, Policy};
use crate::rest::rest;
use crate::target::{Bound, Fault, Rumour, Staged};

use self::breaker::Breaker;
use self::recall::Recall;
pub(super) use self::turn::Turn;
use self::voices::Voices;

type Result<T> = std::result::Result<T, IndexError>;

/// A single pass does not wait for the end of a longer rest that a target asked for.
const LONG_REST: Duration = Duration::from_secs(60);
/// What a target refused is tried again after so long, and then after twice as long each time: nothing tells when a
/// permission is given.
const RETRY_FIRST: Duration = Duration::from_secs(15);
/// Never longer than this.
const RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// Commands under way at once for a folder behind a line (count): the line is idle while an answer is awaited.
pub(in crate::engine) const FAR_JOBS: usize = 32;
/// Files or steps in one command for it, at most (count): few, so that small files are spread over all commands.
const FAR_BATCH: usize = 32;
/// The same where not so many wait that all commands have that (count): each has a few round trips of its own.
const FAR_BATCH_LEAST: usize = 8;
/// Commands for it that stage a big file each, at most (count): each has a buffer of its own.
const FAR_BIG_JOBS: usize = 8;
/// Bytes to stage for a bucket with one command (bytes).
const BUCKET_BATCH: u64 = 4 << 20;
/// Files of at least this size go to a bucket alone, in parts (bytes).
const BUCKET_BIG: u64 = 8 << 20;

/// How soon it is asked again what a long file holds, while another target's thread reads it.
const IN_HAND: Duration = Duration::from_millis(250);

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
    pub halt: Option<Halt>,
    /// It keeps no access control lists.
    pub no_lists: bool,
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

/// One target's work.
#[derive(Debug)]
pub(super) struct Lane {
    setup: TargetSetup,
    plan_only: bool,
    bound: bool,
    /// Each step costs a round trip.
    far: bool,
    no_lists: bool,
    probing: bool,
    listing: Listing,
    listed_once: bool,
    /// In this run.
    listed_now: bool,
    /// Things that the first listing showed and the share may yet have.
    unknown: u64,
    /// The share was not known when the listing began: what it shows may be ours without our knowing.
    list_blind: bool,
    foreign: u64,
    strange: Strange,
    next_audit: Option<Moment>,
    fresh: BTreeSet<RelPath>,
    sweep: Option<Sweep>,
    sweep_again: bool,
    /// Two-way: folders that others removed, and in which something stays.
    needed: BTreeSet<RelPath>,
    /// How often in a row something was brought to the share in vain.
    vain: BTreeMap<RelPath, u8>,
    /// What others may have changed while a change of ours was under way there.
    rumours: BTreeMap<RelPath, Rumour>,
    /// Holds that were told of one by one, and how.
    told: BTreeMap<RelPath, String>,
    voices: Voices,
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
    /// The last changes that were tried had no answer. Until one is made, other answers do not count.
    changes_fail: bool,
    rests_until: Option<Moment>,
    /// It was told to rest for longer than a single pass waits.
    rests_long: bool,
    error: Option<(Failure, Wall)>,
    halt: Option<Halt>,
    paused: bool,
    breaker: Breaker,
    /// When what the target refused is tried again.
    next_retry: Option<Moment>,
    /// How long after a refusal.
    retry_after: Duration,
    started: bool,
    recall: Recall,
    /// Something waits until the targets have told what was deleted.
    awaits_recall: bool,
}

impl Lane {
    pub(super) fn new(setup: TargetSetup) -> Self {
        Self {
            plan_only: false,
            // Each call to a bucket checks it; to ask beforehand would be a request in vain.
            bound: setup.bound && !setup.policy.nature.is_asked_when_idle(),
            far: false,
            no_lists: false,
            probing: false,
            listing: Listing::NotDue,
            listed_now: false,
            listed_once: setup.listed_ago.is_some(),
            unknown: 0,
            list_blind: false,
            foreign: 0,
            strange: Strange::default(),
            next_audit: None,
            fresh: BTreeSet::new(),
            sweep: None,
            sweep_again: true,
            needed: BTreeSet::new(),
            vain: BTreeMap::new(),
            rumours: BTreeMap::new(),
            told: BTreeMap::new(),
            voices: Voices::default(),
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
            changes_fail: false,
            rests_until: None,
            rests_long: false,
            error: None,
            halt: setup.halt.clone(),
            paused: setup.paused,
            breaker: Breaker::default(),
            next_retry: None,
            retry_after: RETRY_FIRST,
            started: false,
            recall: Recall::NotAsked(0),
            awaits_recall: false,
            setup,
        }
    }

    /// From now on nothing is staged and nothing is changed.
    pub(super) fn plan_only(&mut self) {
        self.plan_only = true;
    }

    /// What is bounded in another way here than for the engine as a whole, while so many paths wait.
    pub(super) fn limits(&self, all: &Limits, pending: i64) -> Limits {
        match self.setup.policy.nature {
            Nature::Directory if self.far => {
                let each = usize::try_from(pending).unwrap_or(0).div_ceil(FAR_JOBS);
                let batch_max = each.clamp(FAR_BATCH_LEAST, FAR_BATCH);
                Limits { jobs_max: FAR_JOBS, big_jobs_max: FAR_BIG_JOBS, batch_max, ..*all }
            }
            Nature::Directory => *all,
            // What is staged for a bucket lies in memory until it is sent.
            Nature::Bucket => Limits { batch_bytes_max: BUCKET_BATCH, big: BUCKET_BIG, ..*all },
        }
    }

    /// Another policy: all that is open is decided again. Another time between listings: the next one no later than that from
    /// now.
    pub(super) fn change(&mut self, policy: Policy, audit: Option<Duration>, now: Moment) {
        (self.setup.policy, self.setup.audit) = (policy, audit);
        if self.started {
            self.next_audit = audit.map(|every| now.after(every));
        }
        self.sweep_again = true;
    }

    pub(super) fn id(&self) -> TargetId {
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
        LaneReport { state, error: self.error.clone(), halt: self.halt.clone(), no_lists: self.no_lists }
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed_once
    }

    pub(super) fn is_busy(&self) -> bool {
        let is_telling = matches!(self.recall, Recall::Running(_));
        self.jobs > 0 || self.probing || self.listing == Listing::Running || is_telling
    }

    pub(super) fn is_idle(&self, strikes_max: u32) -> bool {
        if self.is_busy() {
            return false;
        }
        let stopped = self.halt.is_some() || self.paused || self.strikes >= strikes_max || self.rests_long;
        let nothing_waits =
            self.fresh.is_empty() && self.sweep.is_none() && !self.sweep_again && self.delayed.is_empty();
        stopped || (self.bound && self.listing == Listing::NotDue && nothing_waits && self.rests_until.is_none())
    }

    /// When time alone brings something about; nothing that waits for an answer.
    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.paused {
            return None;
        }
        if self.rests_until.is_some() {
            return self.rests_until;
        }
        if self.probing || (self.listing == Listing::Running && !self.listed_once) {
            return None;
        }
        let delayed = self.delayed.keys().next().copied();
        [delayed, self.next_audit, self.next_retry].into_iter().flatten().min()
    }

    pub(super) fn audit(&mut self) {
        if self.listing == Listing::NotDue {
            self.listing = Listing::Due;
        }
    }

    pub(super) fn pause(&mut self, turn: &mut Turn<'_>, paused: bool) -> Result<()> {
        self.paused = paused;
        self.sweep_again = true;
        self.note(turn, &RelPath::root(), if paused { "pause" } else { "resume" }, "an administrator asks")?;
        turn.index.set_paused(self.id(), paused)
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

    fn done(&mut self, path: &RelPath) {
        self.claims.give_back(path);
        if self.big_paths.remove(path) {
            self.big_jobs -= 1;
        }
    }

    pub(super) fn probed(&mut self, turn: &mut Turn<'_>, result: std::result::Result<Bound, Failure>) -> Result<()> {
        self.probing = false;
        match result {
            Err(failure) => self.rest(turn, failure),
            Ok(bound) => {
                if let Some(twin) = turn.index.twin_of(self.id(), &bound.id)? {
                    self.rest(turn, is_twin(&twin));
                    return Ok(());
                }
                if bound.newly {
                    tracing::info!(
                        target = self.setup.name,
                        id = bound.id,
                        "the target is bound to this share from now on"
                    );
                    let words = format!("the target is bound to this share from now on, as {}", bound.id);
                    self.note(turn, &RelPath::root(), "bind", &words)?;
                }
                turn.index.bind_target(self.id(), &bound.id)?;
                (self.bound, self.far, self.no_lists) = (true, bound.far, !bound.lists);
                self.answered();
            }
        }
        Ok(())
    }

    fn rest(&mut self, turn: &mut Turn<'_>, failure: Failure) {
        let wait = if let Fault::Throttled(Some(wait)) = failure.fault {
            wait
        } else {
            rest(self.strikes, turn.now.chance, &turn.limits.rest)
        };
        if self.error.as_ref().is_none_or(|(known, _)| known.message != failure.message) {
            tracing::warn!(target = self.setup.name, fault = %failure.fault, hint = failure.hint, "{}", failure.message);
        }
        let since = self.error.as_ref().map_or(turn.now.wall, |(_, since)| *since);
        if failure.fault == Fault::Offline {
            // It is asked who it is before anything else.
            self.bound = false;
        }
        self.error = Some((failure, since));
        if self.rests_until.is_none_or(|until| until <= turn.now.moment) {
            self.strikes += 1;
        }
        self.rests_until = Some(turn.now.moment.after(wait));
        self.rests_long = wait > LONG_REST;
    }

    /// It was asked, and answered: which says nothing of whether it takes changes again.
    fn answered(&mut self) {
        if !self.takes_nothing() {
            let (strikes, changes_fail) = (self.strikes, self.changes_fail);
            self.recovered();
            if changes_fail {
                (self.strikes, self.changes_fail) = (strikes, changes_fail);
            }
        }
    }

    fn takes_nothing(&self) -> bool {
        self.error.as_ref().is_some_and(|(failure, _)| matches!(failure.fault, Fault::Full | Fault::Closed))
    }

    fn recovered(&mut self) {
        (self.strikes, self.changes_fail) = (0, false);
        if let Some((failure, _)) = self.error.take() {
            if failure.fault == Fault::Closed {
                // What it refused of single paths meanwhile it refused for the same reason.
                self.next_retry = self.next_retry.map(|_| Moment::default());
                self.retry_after = RETRY_FIRST;
            }
            tracing::info!(target = self.setup.name, "the target works again after: {}", failure.message);
        }
    }

    fn is_resting(&mut self, now: Now) -> bool {
        if self.rests_until.is_some_and(|until| now.moment < until) {
            return true;
        }
        if self.rests_until.take().is_some() {
            self.rests_long = false;
            self.sweep_again = true;
        }
        false
    }
}
