//! Runs the core: feeds it with what happened, sends out what it asks for, and keeps the agent's own record current.
//!
//! One thread, the caller's, owns core and index. It never waits for a file system but the state folder's. What others
//! do for it (`hands.rs`) comes back through one queue of bounded length.

mod ending;
mod record;
mod reload;
mod second;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::config::Config;
use crate::engine::hands::{LaneJob, ShareJob, Tell};
use crate::engine::start::{LaneSeat, ShareSeat, Start, StartError};
use crate::engine::state::Heartbeat;
use crate::engine::{Command, Core, Event, Failure, Thorough, clock, tenure};
use crate::index::{Index, IndexError};
use crate::local::ScanEnd;
use crate::model::{Moment, RelPath, ShareId, TargetId, Wall};
use crate::plan::Policy;
use crate::target::{Bind, Tenure};

pub use self::ending::{Ending, LaneEnd};
use self::reload::Reloads;
pub use self::reload::{Reading, Reloader};

/// Answers that wait to be taken in, at most (count); then the threads that bring them wait. A page of a scan is one.
const INBOX_MAX: usize = 128;
/// Answers taken in with one turn, at most (count).
const TURN_MAX: usize = 128;
/// How often the agent's own record is brought up to date.
const SECOND: Duration = Duration::from_secs(1);
/// What comes back to the loop.
#[derive(Debug)]
pub(super) enum Input {
    Event(Event),
    Swept(TargetId, Result<u64, Failure>),
    Pruned(TargetId, Result<u64, Failure>),
    PrunedKept(ShareId, Result<u64, String>),
    /// A configuration was read.
    Reload,
    Counted(reload::Hidden),
    Stop,
}

/// What the engine is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Watch and go on until it is stopped.
    Run,
    /// One pass until nothing is left to do.
    Sync,
    /// Look, compare and change nothing.
    Plan,
}

/// How far a pass has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// A scan has not ended yet.
    pub scanning: bool,
    /// Files found on the shares.
    pub files: u64,
    /// Paths that wait, over all targets.
    pub pending: u64,
    /// Bytes to send for them.
    pub pending_bytes: u64,
}

/// The engine, with its threads.
pub struct Engine {
    mode: Mode,
    index: Index,
    core: Core,
    shares: Vec<ShareSeat>,
    lanes: Vec<LaneSeat>,
    inbox: Receiver<Input>,
    out: SyncSender<Input>,
    stop: Arc<AtomicBool>,
    under_way: Arc<AtomicU64>,
    stopping: Option<Moment>,
    next_second: Moment,
    state_dir: PathBuf,
    /// The disk of the state folder is full: nothing is taken in until it is not.
    cramped: bool,
    /// Until then there may be more of what happened while there was no room.
    catches_up_until: Moment,
    /// All that had come in by then was taken in.
    drained: Wall,
    outside_version: i64,
    /// The heartbeat cannot be written, and that was told.
    heart_fails: bool,
    /// More findings wait than were taken in at once.
    more_findings: bool,
    reloads: Reloads,
    /// A single pass has asked for what is done last.
    houses_kept: bool,
    /// Shares of which more is remembered as deleted than has to be.
    expiring: BTreeSet<ShareId>,
    /// Which run this is; a dry run is none.
    tenure: Option<Tenure>,
}

/// Tells the engine to stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    out: SyncSender<Input>,
    stop: Arc<AtomicBool>,
}

impl Stopper {
    /// Ends the run within seconds, whatever hangs.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // With a full inbox the loop is awake and sees the flag.
        let _full = self.out.try_send(Input::Stop);
    }
}

/// Under this name it is a fact of the index which targets were served last.
const SERVED: &str = "served";

fn served(index: &Index) -> Result<Vec<i64>> {
    let said = index.fact(SERVED)?.unwrap_or_default();
    Ok(said.split(' ').filter_map(|id| id.parse().ok()).collect())
}

fn say_served(index: &Index, lanes: &[LaneSeat]) -> Result<()> {
    let ids: Vec<_> = lanes.iter().map(|lane| lane.id.0.to_string()).collect();
    index.set_fact(SERVED, &ids.join(" "))
}

/// A target is served under this policy from now on: what was settled under another one, by this run or an earlier one, may not
/// be under this one.
pub(super) fn serve_under(index: &mut Index, target: TargetId, policy: Policy) -> Result<()> {
    let (fact, words) = (format!("policy of target {}", target.0), format!("{policy:?}"));
    let before = index.fact(&fact)?;
    index.begin(clock::wall())?;
    if before.is_some_and(|before| before != words) {
        index.compare_subtree(target, &RelPath::root())?;
        index.release_holds(target)?;
    }
    index.set_fact(&fact, &words)?;
    index.commit()
}

type Result<T, E = IndexError> = std::result::Result<T, E>;

impl Engine {
    /// Registers shares and targets, and starts their threads. Nothing is done before [`Engine::run`].
    pub fn new(config: &Config, agent: &str, mut index: Index, mode: Mode) -> Result<Self, StartError> {
        let (out, inbox) = sync_channel(INBOX_MAX);
        let (stop, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let served = served(&index).map_err(|error| StartError::index(&error))?;
        let (out_, stop_, count) = (&out, &stop, &under_way);
        let stays = mode == Mode::Run;
        let tenure = (mode != Mode::Plan).then(|| tenure::begin(&config.agent.state_dir, agent, stays, clock::wall()));
        let (run, index_) = (tenure.as_ref(), &mut index);
        let mut start =
            Start { config, agent, tenure: run, index: index_, mode, out: out_, stop: stop_, under_way: count, served };
        let (shares, lanes, core) = start.all()?;
        if mode != Mode::Plan {
            say_served(&index, &lanes).map_err(|error| StartError::index(&error))?;
        }
        Ok(Self {
            mode,
            index,
            core,
            shares,
            lanes,
            inbox,
            out,
            stop,
            under_way,
            stopping: None,
            next_second: Moment::default(),
            state_dir: config.agent.state_dir.clone(),
            cramped: false,
            catches_up_until: Moment::default(),
            drained: clock::wall(),
            // What was asked for while no agent ran is taken at once.
            outside_version: 0,
            heart_fails: false,
            more_findings: false,
            reloads: Reloads::new(agent, config),
            houses_kept: false,
            expiring: BTreeSet::new(),
            tenure,
        })
    }

    /// A handle to stop it with.
    pub fn stopper(&self) -> Stopper {
        Stopper { out: self.out.clone(), stop: Arc::clone(&self.stop) }
    }

    /// Runs until it is stopped, or, in a single pass, until nothing is left to do. `tell` is called a few times a second.
    pub fn run(&mut self, heartbeat: Option<&Heartbeat>, tell: &mut dyn FnMut(&Self)) -> Result<Ending> {
        if self.mode != Mode::Plan {
            // What was read back and has to be put right is not looked at first: a look believes less than was read.
            self.take_findings()?;
        }
        self.turn(vec![Event::Tick])?;
        loop {
            let events = if self.cramped { self.rest_for_room() } else { self.wait()? };
            let now = clock::moment();
            let due = !self.cramped && self.core.next_due(now).is_some_and(|due| due <= now);
            if !events.is_empty() || due {
                self.turn(if events.is_empty() { vec![Event::Tick] } else { events })?;
            }
            if now >= self.next_second {
                self.next_second = now.after(SECOND);
                self.look_for_room();
                self.each_second(heartbeat)?;
            }
            tell(self);
            if self.is_over(now) {
                return if self.cramped { self.ending(true) } else { self.end(heartbeat) };
            }
        }
    }

    /// How far it has come.
    pub fn snapshot(&self) -> Snapshot {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut snapshot =
            Snapshot { scanning: !self.shares.iter().all(|s| self.core.is_scanned(s.id)), ..Snapshot::default() };
        for share in &self.shares {
            snapshot.files += count(self.index.share_tally(share.id).files);
        }
        for lane in &self.lanes {
            let tally = self.index.target_tally(lane.id);
            snapshot.pending += count(tally.pending);
            snapshot.pending_bytes += count(tally.pending_bytes);
        }
        snapshot
    }

    /// What the index has seen: another value once anything was written to it, by the agent or by others.
    pub fn seen(&self) -> (u64, i64) {
        (self.index.own_changes(), self.outside_version)
    }

    /// True once every share is watched, was scanned from end to end, or is known to be away.
    pub fn is_ready(&self) -> bool {
        let is_ready = |seat: &ShareSeat| {
            seat.is_watched() || self.core.is_scanned(seat.id) || self.core.offline(seat.id).is_some()
        };
        self.shares.iter().all(is_ready)
    }

    /// The index, for what follows a pass.
    pub fn index(&mut self) -> &mut Index {
        &mut self.index
    }

    /// Name of a share and of a target.
    pub fn names(&self, target: TargetId) -> Option<(ShareId, &str, &str)> {
        let lane = self.lanes.iter().find(|lane| lane.id == target)?;
        let share = self.shares.iter().find(|share| share.id == lane.share)?;
        Some((share.id, &share.name, &lane.name))
    }

    /// The targets that it serves.
    pub fn targets(&self) -> Vec<TargetId> {
        self.lanes.iter().map(|lane| lane.id).collect()
    }

    fn wait(&mut self) -> Result<Vec<Event>> {
        let now = clock::moment();
        let until = self.core.next_due(now).map_or(self.next_second, |due| due.min(self.next_second));
        let mut events = Vec::new();
        if let Ok(input) = self.inbox.recv_timeout(until.since(now)) {
            self.take(input, &mut events)?;
        }
        while events.len() < TURN_MAX {
            let at = clock::wall();
            let Ok(input) = self.inbox.try_recv() else {
                self.drained = at;
                break;
            };
            self.take(input, &mut events)?;
        }
        Ok(events)
    }

    fn take(&mut self, input: Input, events: &mut Vec<Event>) -> Result<()> {
        match input {
            Input::Stop => {}
            Input::Reload => self.take_reload()?,
            Input::Counted(hidden) => self.counted(hidden)?,
            Input::Event(event) => {
                self.overhear(&event);
                events.push(event);
            }
            Input::Swept(target, result) => {
                let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == target) else { return Ok(()) };
                lane.housekeeping -= 1;
                lane.swept = result.is_ok();
                if let Ok(count @ 1..) = result {
                    tracing::info!(target = lane.name, count, "removed what an earlier run had left in staging");
                }
            }
            Input::Pruned(target, result) => self.pruned(target, result)?,
            Input::PrunedKept(share, result) => self.pruned_kept(share, result)?,
        }
        Ok(())
    }

    /// What the loop itself has to know of what passes by.
    fn overhear(&mut self, event: &Event) {
        match event {
            Event::ScanEnded(share, under, end) if under.is_root() => {
                let now = clock::moment();
                let seat = self.shares.iter_mut().find(|seat| seat.id == *share);
                if let Some((seat, (how, since))) = seat.and_then(|seat| seat.scanning.take().map(|scan| (seat, scan)))
                {
                    seat.polls.ended(how, now.since(since), now);
                    if how == Thorough::Yes && *end == ScanEnd::Done {
                        seat.hands.untold_lists.store(false, Ordering::Relaxed);
                    }
                }
            }
            Event::Probed(target, Ok(_)) | Event::Staged(target, _) => self.keep_house(*target),
            _ => {}
        }
    }

    /// A turn: decide, make it durable, and only then send out what was decided.
    fn turn(&mut self, events: Vec<Event>) -> Result<()> {
        self.index.begin(clock::wall())?;
        let decided = self.core.handle(&mut self.index, events, clock::moment(), clock::wall(), clock::chance());
        let commands = match decided {
            Ok(commands) => commands,
            Err(error) => {
                self.index.rollback()?;
                return Err(error);
            }
        };
        self.index.commit()?;
        if self.stopping.is_none() {
            commands.into_iter().for_each(|command| self.send(command));
        }
        Ok(())
    }

    fn send(&mut self, command: Command) {
        match command {
            Command::Scan(share, under, how) => {
                if under.is_root()
                    && let Some(seat) = self.shares.iter_mut().find(|seat| seat.id == share)
                {
                    seat.scanning = Some((how, clock::moment()));
                }
                self.ask_share(share, ShareJob::Scan(under, how));
            }
            Command::LookLocal(share, paths) => self.ask_share(share, ShareJob::Look(paths)),
            Command::Hash(share, job) => self.ask_share(share, ShareJob::Hash(job)),
            Command::Probe(target) => {
                let bound = self.lanes.iter().any(|lane| lane.id == target && lane.bound_before);
                let bind = match self.mode {
                    Mode::Run | Mode::Sync if !bound => Bind::IfUnbound,
                    Mode::Run | Mode::Sync => Bind::Never,
                    Mode::Plan => Bind::Pretend,
                };
                self.ask_lane(target, LaneJob::Probe { bind, tell: Tell::Always });
            }
            Command::List(target) => self.ask_lane(target, LaneJob::List),
            Command::Recall(target, after) => self.ask_lane(target, LaneJob::Recall(after)),
            Command::Look(target, jobs) => self.ask_lane(target, LaneJob::Look(jobs)),
            // The core asks for none of these in a plan; if it did, nothing would be done all the same.
            Command::Stage(..) | Command::Apply(..) | Command::Land(..) | Command::Discard(..)
                if self.mode == Mode::Plan => {}
            Command::Stage(target, jobs) => self.ask_lane(target, LaneJob::Stage(jobs)),
            Command::Land(target, jobs) => self.ask_lane(target, LaneJob::Land(jobs)),
            Command::Apply(target, steps) => self.ask_lane(target, LaneJob::Apply(steps)),
            Command::Noted(target, number) => {
                if let Some(seat) = self.lanes.iter().find(|seat| seat.id == target) {
                    seat.hands.ear.note(number);
                }
            }
            Command::Discard(target, tokens) => self.ask_lane(target, LaneJob::Discard(tokens)),
        }
    }

    fn ask_share(&self, share: ShareId, job: ShareJob) {
        if let Some(seat) = self.shares.iter().find(|seat| seat.id == share) {
            self.under_way.fetch_add(1, Ordering::Relaxed);
            let queue = if matches!(job, ShareJob::Scan(..)) { &seat.scan_queue } else { &seat.queue };
            queue.put(job);
        }
    }

    fn ask_lane(&self, target: TargetId, job: LaneJob) {
        if let Some(seat) = self.lanes.iter().find(|seat| seat.id == target) {
            self.under_way.fetch_add(1, Ordering::Relaxed);
            seat.queue.put(job);
        }
    }
}
