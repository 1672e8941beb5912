//! Runs the core: feeds it with what happened, sends out what it asks for, and keeps the agent's own record current.
//!
//! One thread, the caller's, owns core and index. It never waits for a file system but the state folder's. What others
//! do for it (`hands.rs`) comes back through one queue of bounded length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::config::Config;
use crate::engine::hands::{LaneJob, ShareJob, Tell};
use crate::engine::polls::Blindness;
use crate::engine::start::{LaneSeat, ShareSeat, Start, StartError};
use crate::engine::state::{ErrorState, Heartbeat, ShareCondition, ShareState, TargetCondition, TargetState};
use crate::engine::{Command, Core, Event, Failure, LaneReport, LaneState, Thorough, clock};
use crate::index::{Finding, Index, IndexError};
use crate::model::{Moment, RelPath, ShareId, TargetId};
use crate::plan::Keep;
use crate::target::Bind;

/// Answers that wait to be taken in, at most (count); then the threads that bring them wait. A page of a scan is one.
const INBOX_MAX: usize = 128;
/// Answers taken in with one turn, at most (count).
const TURN_MAX: usize = 128;
/// How often the agent's own record is brought up to date.
const SECOND: Duration = Duration::from_secs(1);
/// How often it is asked whether the share is still the one it was bound to, when nothing happens.
const ROOT_CHECK: Duration = Duration::from_secs(10);
/// The same for targets that are directories.
const TARGET_CHECK: Duration = Duration::from_secs(30);
/// A share on a file server without a sign of life for so long does not answer. Longer than a page of a scan takes.
const SHARE_SILENCE: Duration = Duration::from_secs(15);
/// How often history is pruned.
const PRUNE: Duration = Duration::from_secs(86_400);
/// A lane without a sign of life for so long is unresponsive.
const SILENCE: Duration = Duration::from_secs(5);
/// The same for a bucket, whose requests are bounded in time and end by themselves: a large part on a slow line takes long.
const BUCKET_SILENCE: Duration = Duration::from_secs(60);
/// Findings of a verification that are taken in with one turn, at most (count); and such turns in a row.
const FINDINGS_MAX: usize = 500;
const FINDINGS_TURNS: usize = 8;
/// How long a stop waits for what is under way; then the process goes without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A single pass gives up on a target after this many faults in a row (count).
const STRIKES_MAX: u32 = 3;

/// What comes back to the loop.
#[derive(Debug)]
pub(super) enum Input {
    Event(Event),
    Swept(TargetId, Result<u64, Failure>),
    Pruned(TargetId, Result<u64, Failure>),
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
    /// A scan that ended was one that every target has heard of.
    next_second: Moment,
    outside_version: i64,
    /// More findings wait than were taken in at once.
    more_findings: bool,
    /// A single pass has asked for what is done last.
    houses_kept: bool,
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

type Result<T, E = IndexError> = std::result::Result<T, E>;

impl Engine {
    /// Registers shares and targets, and starts their threads. Nothing is done before [`Engine::run`].
    pub fn new(config: &Config, agent: &str, mut index: Index, mode: Mode) -> Result<Self, StartError> {
        let (out, inbox) = sync_channel(INBOX_MAX);
        let (stop, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut start = Start { config, agent, index: &mut index, mode, out: &out, stop: &stop, under_way: &under_way };
        let (shares, lanes, core) = start.all()?;
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
            // What was asked for while no agent ran is taken at once.
            outside_version: 0,
            more_findings: false,
            houses_kept: false,
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
            let events = self.wait()?;
            let now = clock::moment();
            let due = self.core.next_due(now).is_some_and(|due| due <= now);
            if !events.is_empty() || due {
                self.turn(if events.is_empty() { vec![Event::Tick] } else { events })?;
            }
            if now >= self.next_second {
                self.next_second = now.after(SECOND);
                self.each_second(heartbeat)?;
            }
            tell(self);
            if self.is_over(now) {
                return self.end(heartbeat);
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
        match self.inbox.recv_timeout(until.since(now)) {
            Ok(input) => self.take(input, &mut events)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(events),
        }
        while events.len() < TURN_MAX {
            let Ok(input) = self.inbox.try_recv() else { break };
            self.take(input, &mut events)?;
        }
        Ok(events)
    }

    fn take(&mut self, input: Input, events: &mut Vec<Event>) -> Result<()> {
        match input {
            Input::Stop => {}
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
        }
        Ok(())
    }

    fn pruned(&mut self, target: TargetId, result: Result<u64, Failure>) -> Result<()> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == target) else { return Ok(()) };
        lane.housekeeping -= 1;
        match result {
            Ok(count) => {
                lane.pruned = Some(clock::wall());
                let share = lane.share;
                if count > 0 {
                    tracing::info!(
                        target = lane.name,
                        count,
                        "removed versions from history that are older than it is kept"
                    );
                }
                self.index.begin(clock::wall())?;
                if count > 0 {
                    let words = format!("{count} versions in history that are older than it is kept");
                    self.index.note(share, Some(target), &RelPath::root(), "prune", &words)?;
                }
                self.index.pruned(target, clock::wall())?;
                self.index.commit()
            }
            Err(failure) => {
                tracing::warn!(target = lane.name, hint = failure.hint, "history is not pruned: {}", failure.message);
                Ok(())
            }
        }
    }

    /// What the loop itself has to know of what passes by.
    fn overhear(&mut self, event: &Event) {
        match event {
            Event::ScanEnded(share, under, _) if under.is_root() => {
                let now = clock::moment();
                if let Some(seat) = self.shares.iter_mut().find(|seat| seat.id == *share) {
                    if let Some((how, since)) = seat.scanning.take() {
                        seat.polls.ended(how, now.since(since), now);
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
            Command::Look(target, jobs) => self.ask_lane(target, LaneJob::Look(jobs)),
            // The core asks for none of these in a plan; if it did, nothing would be done all the same.
            Command::Stage(..) | Command::Apply(..) | Command::Land(..) | Command::Discard(..)
                if self.mode == Mode::Plan => {}
            Command::Stage(target, jobs) => self.ask_lane(target, LaneJob::Stage(jobs)),
            Command::Land(target, jobs) => self.ask_lane(target, LaneJob::Land(jobs)),
            Command::Apply(target, steps) => self.ask_lane(target, LaneJob::Apply(steps)),
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

    // ---- each second ----

    fn each_second(&mut self, heartbeat: Option<&Heartbeat>) -> Result<()> {
        if let Some(heartbeat) = heartbeat
            && let Err(error) = heartbeat.touch(clock::wall())
        {
            tracing::warn!("the heartbeat in the state folder cannot be written: {error}");
        }
        if self.mode == Mode::Plan {
            return Ok(());
        }
        self.take_requests()?;
        if self.mode == Mode::Run {
            self.check_places();
        }
        self.write_states()?;
        self.count_requests()
    }

    /// What administrators ask for through the index.
    fn take_requests(&mut self) -> Result<()> {
        let version = self.index.outside_version()?;
        if version == self.outside_version && self.stopping.is_none() && !self.more_findings {
            return Ok(());
        }
        self.outside_version = version;
        let mut events = Vec::new();
        while let Some((what, target)) = self.index.take_request()? {
            for id in self.targets().into_iter().filter(|id| target.is_none_or(|target| target == *id)) {
                let name = self.names(id).map(|(_, share, target)| format!("{share}/{target}")).unwrap_or_default();
                tracing::info!(target = name, what, "an administrator asks");
                match what.as_str() {
                    "approve" => events.push(Event::Approved(id)),
                    "pause" => events.push(Event::Paused(id, true)),
                    "resume" => events.push(Event::Paused(id, false)),
                    other => tracing::warn!("nobody knows the request {other:?}"),
                }
            }
        }
        if !events.is_empty() {
            self.turn(events)?;
        }
        self.take_findings()
    }

    /// What a verification has found and left in the index.
    fn take_findings(&mut self) -> Result<()> {
        for _ in 0..FINDINGS_TURNS {
            let page = self.index.findings(FINDINGS_MAX)?;
            self.more_findings = page.len() == FINDINGS_MAX;
            if page.is_empty() {
                return Ok(());
            }
            let mut by_target = BTreeMap::<TargetId, Vec<Finding>>::new();
            for finding in page {
                by_target.entry(finding.target).or_default().push(finding);
            }
            let mut events = Vec::new();
            for (target, findings) in by_target {
                if self.lanes.iter().any(|lane| lane.id == target) {
                    events.push(Event::ReadBack(target, findings));
                } else {
                    // Nobody serves that target any more.
                    findings.iter().try_for_each(|finding| self.index.drop_finding(finding.id))?;
                }
            }
            self.turn(events)?;
        }
        Ok(())
    }

    /// Nothing may have happened for long: are the places still the ones they were?
    fn check_places(&mut self) {
        let now = clock::moment();
        let mut looks = Vec::new();
        let mut rescans = Vec::new();
        for seat in &mut self.shares {
            if now.since(seat.checked) >= ROOT_CHECK && self.core.offline(seat.id).is_none() {
                seat.checked = now;
                looks.push(seat.id);
            }
            if seat.scanning.is_none()
                && let Some(how) = seat.polls.due(seat.blindness(), now)
            {
                rescans.push(match how {
                    Thorough::Yes => Event::RescanDue(seat.id),
                    Thorough::No => Event::GlanceDue(seat.id),
                });
            }
        }
        for share in looks {
            self.ask_share(share, ShareJob::Look(Vec::new()));
        }
        for rescan in rescans {
            // The inbox is this thread's own: with a full one there is work enough.
            let _full = self.out.try_send(Input::Event(rescan));
        }
        let mut probes = Vec::new();
        for seat in &mut self.lanes {
            let idle = seat.hands.pulse.read().0 == 0;
            let works = self.core.lane_report(seat.id).is_some_and(|report| report.state == LaneState::Ok);
            if idle && works && now.since(seat.checked) >= TARGET_CHECK {
                seat.checked = now;
                probes.push((seat.id, seat.nature.is_asked_when_idle()));
            }
        }
        for (target, ask) in probes {
            if ask {
                self.ask_lane(target, LaneJob::Probe { bind: Bind::Never, tell: Tell::Trouble });
            }
            self.keep_house(target);
        }
    }

    /// Sweeps staging once, and prunes history now and then.
    fn keep_house(&mut self, target: TargetId) {
        if self.mode == Mode::Plan {
            return;
        }
        let Some(seat) = self.lanes.iter_mut().find(|seat| seat.id == target) else { return };
        seat.bound_before = true;
        let now = clock::wall();
        let mut jobs = Vec::new();
        if !seat.swept && seat.housekeeping == 0 {
            jobs.push(LaneJob::Sweep);
        }
        // Before share and target are known from end to end, what seems gone from both may be there.
        let known = self.core.is_scanned(seat.share) && self.core.is_listed(target);
        if known && seat.housekeeping == 0 && seat.pruned.is_none_or(|last| now.since(last) >= PRUNE) {
            jobs.push(LaneJob::Prune(Keep { before: now.before(seat.history), floor: seat.history_floor }));
        }
        seat.housekeeping += jobs.len();
        for job in jobs {
            self.ask_lane(target, job);
        }
    }

    fn write_states(&mut self) -> Result<()> {
        let mut shares = Vec::new();
        let now = clock::moment();
        let hangs: Vec<_> = self.shares.iter_mut().map(|seat| hangs(seat, now)).collect();
        for (seat, hangs) in self.shares.iter().zip(hangs) {
            let text = self.share_state(seat, hangs).to_json();
            if text != seat.state {
                shares.push((seat.id, text));
            }
        }
        let mut targets = Vec::new();
        for seat in &mut self.lanes {
            let silent = seat.monitor.silent_since(&seat.hands.pulse, now).map(|since| now.since(since));
            let patience = if seat.nature.is_asked_when_idle() { SILENCE } else { BUCKET_SILENCE };
            let silent = silent.filter(|silence| *silence >= patience);
            let Some(report) = self.core.lane_report(seat.id) else { continue };
            let text = target_state(&report, silent).to_json();
            if text != seat.state {
                targets.push((seat.id, text));
            }
        }
        if shares.is_empty() && targets.is_empty() {
            return Ok(());
        }
        self.index.begin(clock::wall())?;
        for (id, text) in shares {
            self.index.set_share_state(id, &text)?;
            if let Some(seat) = self.shares.iter_mut().find(|seat| seat.id == id) {
                note_share(&self.index, id, &seat.state, &text)?;
                seat.state = text;
            }
        }
        for (id, text) in targets {
            self.index.set_target_state(id, &text)?;
            if let Some(seat) = self.lanes.iter_mut().find(|seat| seat.id == id) {
                note_target(&self.index, (seat.share, id), &seat.state, &text)?;
                seat.state = text;
            }
        }
        self.index.commit()
    }

    /// Writes down requests that were made since the last time; where none were, nothing is written.
    fn count_requests(&mut self) -> Result<()> {
        let made: Vec<_> = self.lanes.iter().map(|seat| seat.hands.target.requests()).collect();
        if self.lanes.iter().zip(&made).all(|(seat, made)| seat.counted == *made) {
            return Ok(());
        }
        let now = clock::wall();
        self.index.begin(now)?;
        for (seat, made) in self.lanes.iter_mut().zip(made) {
            if seat.counted != made {
                // Requests that go out are a sign of life.
                seat.hands.pulse.beat();
            }
            self.index.count_requests(seat.id, now.day(), made - seat.counted)?;
            seat.counted = made;
        }
        self.index.commit()
    }

    fn share_state(&self, seat: &ShareSeat, hangs: bool) -> ShareState {
        let silence = "a call to its file server has not come back: check the mount and the line; it goes on by itself";
        let why = self.core.offline(seat.id).or(hangs.then_some(silence)).map(str::to_owned);
        let scanned = self.core.is_scanned(seat.id);
        let state = match () {
            () if why.is_some() => ShareCondition::Offline,
            () if seat.scanning.is_some_and(|(how, _)| how == Thorough::Yes) => ShareCondition::Scanning,
            () => ShareCondition::Ok,
        };
        ShareState { state, why, scanned, watch: seat.watch_state() }
    }

    // ---- the end ----

    /// The last thing that a single pass does.
    fn keep_all_houses(&mut self) {
        if self.mode == Mode::Sync && !std::mem::replace(&mut self.houses_kept, true) {
            for target in self.targets() {
                if self.core.lane_report(target).is_some_and(|report| report.state == LaneState::Ok) {
                    self.keep_house(target);
                }
            }
        }
    }

    fn is_over(&mut self, now: Moment) -> bool {
        if self.stop.load(Ordering::Relaxed) && self.stopping.is_none() {
            self.stopping = Some(now);
        }
        if let Some(since) = self.stopping {
            return self.under_way.load(Ordering::Relaxed) == 0 || now.since(since) >= PATIENCE;
        }
        if self.mode == Mode::Sync && self.core.is_idle(STRIKES_MAX) {
            self.keep_all_houses();
        }
        let house_kept = self.lanes.iter().all(|lane| lane.housekeeping == 0);
        self.mode != Mode::Run && house_kept && self.core.is_idle(STRIKES_MAX)
    }

    fn end(&mut self, heartbeat: Option<&Heartbeat>) -> Result<Ending> {
        // What came in meanwhile is taken in: it need not be found out again.
        let mut events = Vec::new();
        while let Ok(input) = self.inbox.try_recv() {
            self.take(input, &mut events)?;
        }
        if !events.is_empty() {
            self.stopping = self.stopping.or(Some(clock::moment()));
            self.turn(events)?;
        }
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

    fn ending(&self, stopped: bool) -> Result<Ending> {
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

/// A share on a file server does not answer.
fn hangs(seat: &mut ShareSeat, now: Moment) -> bool {
    let silent =
        seat.monitor.silent_since(&seat.hands.pulse, now).is_some_and(|since| now.since(since) >= SHARE_SILENCE);
    silent && seat.blindness() == Blindness::Far
}

/// Tells the audit trail when a share goes away and when it comes back.
fn note_share(index: &Index, share: ShareId, old: &str, new: &str) -> Result<()> {
    let (old, new) = (ShareState::parse(old), ShareState::parse(new));
    let is_offline = |state: &ShareState| state.state == ShareCondition::Offline;
    match (is_offline(&old), is_offline(&new)) {
        (false, true) => index.note(share, None, &RelPath::root(), "offline", &new.why.unwrap_or_default()),
        (true, false) => index.note(share, None, &RelPath::root(), "online", "the share is there again"),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Tells the audit trail when a target stops working, why, and when it works again.
fn note_target(index: &Index, (share, target): (ShareId, TargetId), old: &str, new: &str) -> Result<()> {
    let (old, new) = (TargetState::parse(old), TargetState::parse(new));
    let message = |state: &TargetState| state.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
    let what = match new.state {
        _ if (old.state, message(&old)) == (new.state, message(&new)) => return Ok(()),
        TargetCondition::Ok if old.state == TargetCondition::Ok => return Ok(()),
        TargetCondition::Ok => "online",
        TargetCondition::Resting => "fault",
        TargetCondition::Unresponsive => "unresponsive",
        TargetCondition::Unreachable => "offline",
    };
    let detail = if new.state == TargetCondition::Ok { "the target works again".to_owned() } else { message(&new) };
    index.note(share, Some(target), &RelPath::root(), what, &detail)
}

fn target_state(report: &LaneReport, silent: Option<Duration>) -> TargetState {
    let error = report.error.as_ref().map(|(failure, since)| ErrorState {
        message: failure.message.clone(),
        hint: failure.hint.clone(),
        since: since.0,
    });
    let (state, error) = match (report.state, silent) {
        (_, Some(silence)) => {
            // To the second: the text must not change while nothing else does.
            let since = clock::wall().before(silence).0 / 1_000_000_000 * 1_000_000_000;
            let message = "a call to the target has not come back".to_owned();
            let hint = "check the mount and the line to its server; it goes on by itself".to_owned();
            (TargetCondition::Unresponsive, Some(ErrorState { message, hint, since }))
        }
        (LaneState::Unreachable, None) => (TargetCondition::Unreachable, error),
        (LaneState::Resting, None) => (TargetCondition::Resting, error),
        (LaneState::Ok | LaneState::Halted | LaneState::Paused, None) => (TargetCondition::Ok, error),
    };
    let since = error.as_ref().map(|error| error.since);
    TargetState { state, error, since, no_lists: report.no_lists }
}
