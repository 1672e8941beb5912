//! How a run ends, and what is told of it then.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::drive::{Engine, Mode, Result};
use crate::engine::state::Heartbeat;
use crate::engine::{LaneReport, LaneState, clock};
use crate::model::{Moment, RelPath, TargetId};

/// How long a stop waits for what is under way; then the process goes without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A single pass gives up on a target after this many faults in a row (count).
const STRIKES_MAX: u32 = 3;

/// How one target stands at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEnd {
    /// Its number.
    pub id: TargetId,
    /// Its share's name.
    pub share: String,
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub report: LaneReport,
    /// Files that are there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths that wait.
    pub pending: u64,
    /// Paths that wait for a person.
    pub holds: u64,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Shares that are not there: name and reason.
    pub offline: Vec<(String, String)>,
    /// Every target.
    pub lanes: Vec<LaneEnd>,
    /// Paths of the shares that cannot be read.
    pub problems: u64,
    /// It was told to stop before it was done.
    pub stopped: bool,
}

impl Ending {
    /// True if everything that the shares hold is on every target.
    pub fn is_fine(&self) -> bool {
        let fine = |lane: &LaneEnd| lane.report.state == LaneState::Ok && lane.pending == 0 && lane.holds == 0;
        self.offline.is_empty() && self.problems == 0 && self.lanes.iter().all(fine)
    }
}

impl Engine {
    /// The last thing that a single pass does.
    pub(super) fn keep_all_houses(&mut self) {
        if self.mode == Mode::Sync && !std::mem::replace(&mut self.houses_kept, true) {
            for target in self.targets() {
                if self.core.lane_report(target).is_some_and(|report| report.state == LaneState::Ok) {
                    self.keep_house(target);
                }
            }
            self.keep_shares();
        }
    }

    pub(super) fn is_over(&mut self, now: Moment) -> bool {
        if self.stop.load(Ordering::Relaxed) && self.stopping.is_none() {
            self.stopping = Some(now);
        }
        if let Some(since) = self.stopping {
            return self.under_way.load(Ordering::Relaxed) == 0 || now.since(since) >= PATIENCE;
        }
        if self.mode == Mode::Run || !self.core.is_idle(STRIKES_MAX) || self.keeps_house() {
            return false;
        }
        // Not before staging is swept: a house is kept by one job at a time, and there is no later turn to prune in.
        self.keep_all_houses();
        !self.keeps_house()
    }

    fn keeps_house(&self) -> bool {
        self.lanes.iter().any(|lane| lane.housekeeping > 0) || self.shares.iter().any(|share| share.housekeeping > 0)
    }

    pub(super) fn end(&mut self, heartbeat: Option<&Heartbeat>) -> Result<Ending> {
        // What came in meanwhile is taken in: it need not be found out again.
        let mut events = Vec::new();
        self.drained = clock::wall();
        while let Ok(input) = self.inbox.try_recv() {
            self.take(input, &mut events)?;
        }
        if !events.is_empty() {
            self.stopping = self.stopping.or(Some(clock::moment()));
            self.turn(events)?;
        }
        self.core.speak_last();
        self.each_second(heartbeat)?;
        if self.mode != Mode::Plan {
            self.index.begin(clock::wall())?;
            for seat in &self.shares {
                self.index.note(seat.id, None, &RelPath::root(), "stop", "the agent ends")?;
            }
            self.index.set_fact("running", "no")?;
            self.index.commit()?;
        }
        let stopped = self.stop.load(Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
        self.ending(stopped)
    }

    pub(super) fn ending(&self, stopped: bool) -> Result<Ending> {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut ending = Ending { stopped, problems: self.index.count_problems()?, ..Ending::default() };
        for seat in &self.shares {
            if let Some(why) = self.core.offline(seat.id) {
                ending.offline.push((seat.name.clone(), why.to_owned()));
            }
        }
        for seat in &self.lanes {
            let Some(report) = self.core.lane_report(seat.id) else { continue };
            let tally = self.index.target_tally(seat.id);
            let share = self.shares.iter().find(|share| share.id == seat.share);
            ending.lanes.push(LaneEnd {
                id: seat.id,
                share: share.map(|share| share.name.clone()).unwrap_or_default(),
                name: seat.name.clone(),
                report,
                files: count(tally.files),
                bytes: count(tally.bytes),
                pending: count(tally.pending),
                holds: count(tally.holds),
            });
        }
        Ok(ending)
    }
}
