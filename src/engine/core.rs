//! The engine's decisions: one event in, commands out, one turn of the index around them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::desk::Desk;
use crate::engine::lane::{Lane, LaneReport, Turn};
use crate::engine::{Command, Event};
use crate::index::{Index, IndexError};
use crate::model::{Moment, RelPath, ShareId, TargetId, Wall};
use crate::plan::{self, Policy};
use crate::rest::RestLimits;
use crate::settle::SettleLimits;

/// How much may run, wait or be remembered at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files of a share being hashed at once (count).
    pub hashing_max: usize,
    /// Paths of a share being looked at with one command (count).
    pub looks_max: usize,
    /// Paths wanted for a look or a hash and kept in memory; beyond, a scan or a sweep finds them again (count).
    pub wanted_max: usize,
    /// Fresh paths of a lane kept in memory; beyond, a sweep finds them again (count).
    pub fresh_max: usize,
    /// Commands of a lane under way at once (count).
    pub jobs_max: usize,
    /// Commands of a lane under way at once that stage a big file each (count).
    pub big_jobs_max: usize,
    /// Files or steps in one command (count).
    pub batch_max: usize,
    /// Bytes to stage with one command, once reached no file is added (bytes).
    pub batch_bytes_max: u64,
    /// Files of at least this size go alone (bytes).
    pub big: u64,
    /// Open paths decided in one turn (count).
    pub decided_max: usize,
    /// How long a removal waits for a rename that explains it.
    pub grace: Duration,
    /// How long an offline share is left alone before it is looked at again.
    pub offline_rest: Duration,
    /// Rests of a lane after faults.
    pub rest: RestLimits,
    /// The last line against mass damage.
    pub breaker: plan::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hashing_max: 2,
            looks_max: 64,
            wanted_max: 65_536,
            fresh_max: 4096,
            jobs_max: 4,
            big_jobs_max: 2,
            batch_max: 512,
            batch_bytes_max: 64 << 20,
            big: 64 << 20,
            decided_max: 4096,
            grace: Duration::from_secs(1),
            offline_rest: Duration::from_secs(5),
            rest: RestLimits::default(),
            breaker: plan::Limits::default(),
        }
    }
}

/// A share to serve.
#[derive(Clone, Debug)]
pub struct ShareSetup {
    /// Its number in the index.
    pub id: ShareId,
    /// What people call it.
    pub name: String,
    /// When a path is quiet.
    pub settle: SettleLimits,
    /// How often everything is scanned again.
    pub rescan: Duration,
}

/// A target to serve.
#[derive(Clone, Debug)]
pub struct TargetSetup {
    /// Its number in the index.
    pub id: TargetId,
    /// What people call it: `share/target`.
    pub name: String,
    /// Its share.
    pub share: ShareId,
    /// What the administrator chose.
    pub policy: Policy,
    /// How often it is listed and compared; `None` for never.
    pub audit: Option<Duration>,
    /// When it was last listed, if ever, measured back from the start.
    pub listed_ago: Option<Duration>,
    /// It was bound to an identity before this run.
    pub bound: bool,
    /// It waits for a person.
    pub halt: Option<plan::Halt>,
    /// An administrator paused it.
    pub paused: bool,
    /// For how long its history tells what was deleted.
    pub remembers: Duration,
}

/// One moment on both clocks, and a die.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) moment: Moment,
    pub(super) wall: Wall,
    pub(super) chance: u8,
}

/// The engine's state that need not survive a crash.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    desks: BTreeMap<ShareId, Desk>,
    lanes: BTreeMap<TargetId, Lane>,
    unfinished: bool,
}

type Result<T> = std::result::Result<T, IndexError>;

impl Core {
    /// A core that knows nothing yet: its first turn asks for scans and probes.
    pub fn new(shares: Vec<ShareSetup>, targets: Vec<TargetSetup>, limits: Limits) -> Self {
        let desks = shares.into_iter().map(|setup| (setup.id, Desk::new(setup))).collect();
        let lanes = targets.into_iter().map(|setup| (setup.id, Lane::new(setup))).collect();
        Self { limits, desks, lanes, unfinished: false }
    }

    /// Looks and compares, and changes nothing on any target.
    pub fn plan_only(mut self) -> Self {
        self.lanes.values_mut().for_each(Lane::plan_only);
        self
    }

    /// One share more: the next turn asks for its scan.
    pub fn add_share(&mut self, setup: ShareSetup) {
        self.desks.insert(setup.id, Desk::new(setup));
    }

    /// One target more: the next turn asks who it is.
    pub fn add_target(&mut self, setup: TargetSetup) {
        self.lanes.insert(setup.id, Lane::new(setup));
    }

    /// A share is served no more. Answers that are still under way are not heard.
    pub fn remove_share(&mut self, share: ShareId) {
        self.desks.remove(&share);
        self.lanes.retain(|_, lane| lane.share() != share);
    }

    /// A target is served no more. Answers that are still under way are not heard.
    pub fn remove_target(&mut self, target: TargetId) {
        self.lanes.remove(&target);
    }

    /// A share waits otherwise for quiet, or is scanned more or less often.
    pub fn change_share(&mut self, share: ShareId, settle: SettleLimits, rescan: Duration, now: Moment) {
        if let Some(desk) = self.desks.get_mut(&share) {
            desk.change(settle, rescan, now);
        }
    }

    /// A target is treated otherwise.
    pub fn change_target(&mut self, target: TargetId, policy: Policy, audit: Option<Duration>, now: Moment) {
        if let Some(lane) = self.lanes.get_mut(&target) {
            lane.change(policy, audit, now);
        }
    }

    /// Takes in events and says what to do next. The caller has begun a turn of the index, and sends the commands only
    /// after it has committed it.
    pub fn handle(
        &mut self,
        index: &mut Index,
        events: Vec<Event>,
        moment: Moment,
        wall: Wall,
        chance: u8,
    ) -> Result<Vec<Command>> {
        let now = Now { moment, wall, chance };
        let mut commands = Vec::new();
        for event in events {
            self.take_in(index, event, now, &mut commands)?;
        }
        for desk in self.desks.values_mut() {
            desk.tick(index, &self.limits, now)?;
        }
        self.pass_on();
        self.unfinished = false;
        for lane in self.lanes.values_mut() {
            let Some(desk) = self.desks.get_mut(&lane.share()) else { continue };
            let limits = lane.limits(&self.limits, index.target_tally(lane.id()).pending);
            self.unfinished |= lane.ask(&mut Turn::new(index, desk, &limits, now, &mut commands))?;
        }
        for desk in self.desks.values_mut() {
            desk.ask(index, &self.limits, now, &mut commands)?;
        }
        self.recall(index, now, &mut commands);
        for lane in self.lanes.values_mut() {
            let Some(desk) = self.desks.get_mut(&lane.share()) else { continue };
            self.unfinished |= lane.weigh(&mut Turn::new(index, desk, &self.limits, now, &mut commands))?;
        }
        self.desks.values_mut().for_each(|desk| desk.speak(now.moment));
        self.lanes.values_mut().for_each(|lane| lane.speak(now.moment));
        Ok(commands)
    }

    /// The run ends: what was counted for the log and not told yet is told.
    pub fn speak_last(&mut self) {
        let end = Moment(Duration::MAX);
        self.desks.values_mut().for_each(|desk| desk.speak(end));
        self.lanes.values_mut().for_each(|lane| lane.speak(end));
    }

    /// When to call [`Core::handle`] with a tick, if nothing else happens.
    pub fn next_due(&self, now: Moment) -> Option<Moment> {
        if self.unfinished {
            return Some(now);
        }
        let desks = self.desks.values().filter_map(Desk::next_due);
        let is_offline = |lane: &Lane| self.desks.get(&lane.share()).is_none_or(|desk| desk.offline().is_some());
        let lanes = self.lanes.values().filter(|lane| !is_offline(lane)).filter_map(Lane::next_due);
        let voices =
            self.desks.values().filter_map(Desk::speaks_at).chain(self.lanes.values().filter_map(Lane::speaks_at));
        desks.chain(lanes).chain(voices).min()
    }

    /// True if nothing is under way and nothing can be done now; lanes that rest after `strikes_max` faults in a row,
    /// are halted or paused count as done, and so do shares that are offline.
    pub fn is_idle(&self, strikes_max: u32) -> bool {
        let lane_idle = |lane: &Lane| {
            let offline = self.desks.get(&lane.share()).is_some_and(|desk| desk.offline().is_some());
            lane.is_idle(strikes_max) || (offline && !lane.is_busy())
        };
        !self.unfinished && self.desks.values().all(Desk::is_idle) && self.lanes.values().all(lane_idle)
    }

    /// What was deleted is remembered for so long from now on.
    pub fn remember(&mut self, target: TargetId, remembers: Duration) {
        if let Some(lane) = self.lanes.get_mut(&target) {
            lane.remember(remembers);
        }
    }

    /// How a lane is doing.
    pub fn lane_report(&self, target: TargetId) -> Option<LaneReport> {
        self.lanes.get(&target).map(Lane::report)
    }

    /// Why a share is offline, if it is.
    pub fn offline(&self, share: ShareId) -> Option<&str> {
        self.desks.get(&share).and_then(Desk::offline)
    }

    /// Whether a full scan of the share has ended in this run.
    pub fn is_scanned(&self, share: ShareId) -> bool {
        self.desks.get(&share).is_some_and(Desk::is_scanned)
    }

    /// Whether the target was listed from end to end, in this run or an earlier one.
    pub fn is_listed(&self, target: TargetId) -> bool {
        self.lanes.get(&target).is_some_and(Lane::is_listed)
    }

    fn take_in(&mut self, index: &mut Index, event: Event, now: Now, commands: &mut Vec<Command>) -> Result<()> {
        let limits = self.limits;
        match event {
            Event::Tick => Ok(()),
            Event::Touched(share, paths) => self.with_desk(share, |desk| desk.touched(paths, now)),
            Event::LostTrack(share) => self.with_desk(share, Desk::lost_track),
            Event::RescanDue(share) => self.with_desk(share, Desk::rescan),
            Event::GlanceDue(share) => self.with_desk(share, Desk::glance),
            Event::Scanned(share, page) => self.on_desk(share, |desk| desk.scanned(index, page, now)),
            Event::ScanEnded(share, under, end) => {
                self.on_desk(share, |desk| desk.scan_ended(index, &under, end, &limits, now))
            }
            Event::LookedLocal(share, paths, found) => {
                self.on_desk(share, |desk| desk.looked(index, paths, found, &limits, now))
            }
            Event::Hashed(share, path, result) => {
                self.on_desk(share, |desk| desk.hashed(index, path, result, &limits, now))
            }
            Event::Probed(target, result) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.probed(turn, result))
            }
            Event::Listed(target, page) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.listed(turn, &page))
            }
            Event::Told(target, number, rumours) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.told(turn, number, rumours))
            }
            Event::ListEnded(target, result) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.list_ended(turn, result))
            }
            Event::Looked(target, found) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.looked(turn, found))
            }
            Event::Staged(target, files) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.staged(turn, files))
            }
            Event::Applied(target, steps) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.applied(turn, steps))
            }
            Event::Recalled(target, page) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.recalled(turn, &page))
            }
            Event::RecallEnded(target, result) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.recall_ended(turn, result))
            }
            Event::Landed(target, landed) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.landed(turn, landed))
            }
            Event::AuditDue(target) => self.on_lane(target, (index, now, commands), |lane, _| {
                lane.audit();
                Ok(())
            }),
            Event::ReadBack(target, findings) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.read_back(turn, &findings))
            }
            Event::Approved(target) => self.on_lane(target, (index, now, commands), |lane, turn| lane.approved(turn)),
            Event::Paused(target, paused) => {
                self.on_lane(target, (index, now, commands), |lane, turn| lane.pause(turn, paused))
            }
        }
    }

    fn with_desk(&mut self, share: ShareId, f: impl FnOnce(&mut Desk)) -> Result<()> {
        self.on_desk(share, |desk| {
            f(desk);
            Ok(())
        })
    }

    fn on_desk(&mut self, share: ShareId, f: impl FnOnce(&mut Desk) -> Result<()>) -> Result<()> {
        self.desks.get_mut(&share).map_or(Ok(()), f)
    }

    /// Lets a lane take something in, and sends what that brought together.
    fn on_lane(
        &mut self,
        target: TargetId,
        (index, now, commands): (&mut Index, Now, &mut Vec<Command>),
        f: impl FnOnce(&mut Lane, &mut Turn<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(&target) else { return Ok(()) };
        let Some(desk) = self.desks.get_mut(&lane.share()) else { return Ok(()) };
        let limits = lane.limits(&self.limits, index.target_tally(target).pending);
        let mut turn = Turn::new(index, desk, &limits, now, commands);
        f(lane, &mut turn)?;
        lane.send(&mut turn);
        Ok(())
    }

    /// Where something lies on a target that may be an old copy of what the share deleted, the targets are asked.
    fn recall(&mut self, index: &mut Index, now: Now, commands: &mut Vec<Command>) {
        for (share, desk) in self.desks.iter_mut().filter(|(_, desk)| desk.wants_recall()) {
            let mut is_awaited = false;
            for lane in self.lanes.values_mut().filter(|lane| lane.share() == *share) {
                is_awaited |= lane.ask_recall(&mut Turn::new(index, desk, &self.limits, now, commands));
            }
            if desk.await_recall(is_awaited, now.moment) {
                self.lanes.values_mut().filter(|lane| lane.share() == *share).for_each(Lane::recall_is_over);
                self.unfinished = true;
            }
        }
    }

    /// What the desks found changed, the lanes have to decide.
    fn pass_on(&mut self) {
        for (share, desk) in &mut self.desks {
            let news = desk.take_news();
            for lane in self.lanes.values_mut().filter(|lane| lane.share() == *share) {
                lane.tell(&news, &self.limits);
            }
        }
    }
}

/// What a desk has found out since it was last asked.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Paths to decide again.
    pub(super) paths: Vec<RelPath>,
    /// Too many to name: everything that is open has to be decided again.
    pub(super) all: bool,
    /// Folder renames found: (to, from).
    pub(super) moves: Vec<(RelPath, RelPath)>,
}
