//! What has to be there before the loop can run: shares and targets registered, bound, and given their threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::config::{Config, Ownership, Place};
use crate::engine::bucket::Dials;
use crate::engine::drive::{Input, Mode, serve_under};
use crate::engine::flow::Flow;
use crate::engine::folder::SET_ASIDE;
use crate::engine::hands::{
    Ear, LaneHands, LaneJob, Monitor, Pulse, Queue, ShareHands, ShareJob, ShareSettings, Watching,
};
use crate::engine::lane::FAR_JOBS;
use crate::engine::polls::{Blindness, Polls};
use crate::engine::state::{WatchState, WatchWay};
use crate::engine::{Core, Limits, Seat, ShareSetup, TargetSetup, Thorough, bucket, clock, state};
use crate::index::{Index, IndexError, ShareInfo, TargetInfo};
use crate::local::{Ignore, Mode as WatchedBy, Recent, RootId, root_id};
use crate::model::{Digest, Moment, RelPath, Requests, ShareId, TargetId, Wall};
use crate::plan::{Drift, Nature};
use crate::settle::SettleLimits;
use crate::target::{Berth, DirSetup, DirTarget, Flush, Target, Tenure, Ways};

/// How the process ends when a thread of it panicked: an internal error (`EX_SOFTWARE` of sysexits.h).
const INTERNAL: i32 = 70;
/// Threads that look at and read a share, beside the one that scans it (count).
const SHARE_THREADS: usize = 2;
/// Threads of a target (count): as many commands as a lane has under way at most, and one for listings and probes.
const LANE_THREADS: usize = FAR_JOBS + 1;
/// Paths of a share with events, at most (count); more become a rescan.
const RESTLESS_MAX: usize = 65_536;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {cause}")]
pub struct StartError {
    /// What it tried.
    pub what: String,
    /// Why it could not.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
    /// The configuration is to blame.
    pub configuration: bool,
}

impl StartError {
    pub(super) fn index(error: &IndexError) -> Self {
        let hint = "check the disk under the state folder".to_owned();
        Self { what: "use the index".to_owned(), cause: error.to_string(), hint, configuration: false }
    }
}

/// A share, as the loop knows it.
pub(super) struct ShareSeat {
    pub(super) id: ShareId,
    pub(super) name: String,
    pub(super) hands: Arc<ShareHands>,
    pub(super) queue: Arc<Queue<ShareJob>>,
    pub(super) scan_queue: Arc<Queue<ShareJob>>,
    pub(super) scanning: Option<(Thorough, Moment)>,
    pub(super) checked: Moment,
    /// When what gave way on it was last pruned.
    pub(super) pruned: Option<Wall>,
    pub(super) housekeeping: usize,
    pub(super) polls: Polls,
    pub(super) monitor: Monitor,
    pub(super) state: String,
}

/// A target, as the loop knows it.
pub(super) struct LaneSeat {
    pub(super) id: TargetId,
    pub(super) share: ShareId,
    pub(super) name: String,
    pub(super) nature: Nature,
    pub(super) hands: Arc<LaneHands>,
    pub(super) queue: Arc<Queue<LaneJob>>,
    pub(super) bound_before: bool,
    pub(super) monitor: Monitor,
    pub(super) dials: Dials,
    pub(super) rate: Flow,
    pub(super) history: Duration,
    /// Versions of each path that stay, however old.
    pub(super) history_floor: usize,
    pub(super) pruned: Option<Wall>,
    /// It failed: not before, and what was told of it.
    pub(super) prune_after: Moment,
    pub(super) prune_told: String,
    pub(super) housekeeping: usize,
    pub(super) swept: bool,
    pub(super) checked: Moment,
    /// Requests that stand in the index already.
    pub(super) counted: Requests,
    pub(super) state: String,
    /// Where this run's card lies there.
    pub(super) berth: Option<Arc<Berth>>,
}

impl ShareSeat {
    /// Events are told of from now on, or it is known that there are none to be had.
    pub(super) fn is_watched(&self) -> bool {
        self.hands.watching.watch().is_some()
    }

    /// How the changes of others have to be looked for.
    pub(super) fn blindness(&self) -> Blindness {
        match self.hands.watching.watch() {
            Some(watch) if watch.mode() == WatchedBy::Poll => Blindness::Far,
            Some(watch) if watch.uncovered().is_empty() => Blindness::None,
            Some(_) | None => Blindness::Here,
        }
    }

    pub(super) fn watch_state(&self) -> WatchState {
        match self.hands.watching.watch() {
            Some(watch) if watch.mode() == WatchedBy::Inotify => {
                WatchState { mode: WatchWay::Inotify, coverage: watch.coverage(), note: None, late_s: None }
            }
            Some(_) => {
                let note =
                    "a network file system tells nothing of changes made elsewhere: the share is polled".to_owned();
                let late_s = self.polls.latest().map(|late| late.as_secs());
                WatchState { mode: WatchWay::Poll, coverage: 0.0, note: Some(note), late_s }
            }
            None => WatchState { mode: WatchWay::Poll, coverage: 0.0, note: None, late_s: None },
        }
    }
}

/// What starting needs.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) agent: &'a str,
    /// Which run this is; a dry run is none.
    pub(super) tenure: Option<&'a Tenure>,
    pub(super) index: &'a mut Index,
    pub(super) mode: Mode,
    pub(super) out: &'a SyncSender<Input>,
    pub(super) stop: &'a Arc<AtomicBool>,
    pub(super) under_way: &'a Arc<AtomicU64>,
    /// Targets that the run before served, as far as that is known.
    pub(super) served: Vec<i64>,
}

impl Start<'_> {
    /// Everything that the configuration names.
    pub(super) fn all(&mut self) -> Result<(Vec<ShareSeat>, Vec<LaneSeat>, Core), StartError> {
        let (mut shares, mut lanes) = (Vec::new(), Vec::new());
        let (mut share_setups, mut target_setups) = (Vec::new(), Vec::new());
        let config = self.config;
        for share in &config.shares {
            let (seat, info, setup) = self.share(share)?;
            share_setups.push(setup);
            for target in &share.targets {
                let (lane, setup) = self.target(&seat, &info, target)?;
                lanes.push(lane);
                target_setups.push(setup);
            }
            shares.push(seat);
        }
        let core = Core::new(share_setups, target_setups, Limits::default());
        let core = if self.mode == Mode::Plan { core.plan_only() } else { core };
        Ok((shares, lanes, core))
    }

    /// A share that is served already, as the index knows it.
    pub(super) fn known_share(&mut self, share: &crate::config::Share) -> Result<ShareInfo, StartError> {
        let fault = |error: IndexError| StartError::index(&error);
        self.index.begin(clock::wall()).map_err(fault)?;
        let uid = share_uid(self.agent, share, None);
        let info =
            self.index.register_share(&share.name, path_bytes(&share.path), &uid, share.id.is_some()).map_err(fault)?;
        self.index.commit().map_err(fault)?;
        Ok(info)
    }

    pub(super) fn share(
        &mut self,
        share: &crate::config::Share,
    ) -> Result<(ShareSeat, ShareInfo, ShareSetup), StartError> {
        let fault = |error: IndexError| StartError::index(&error);
        self.index.begin(clock::wall()).map_err(fault)?;
        let uid = share_uid(self.agent, share, None);
        let info =
            self.index.register_share(&share.name, path_bytes(&share.path), &uid, share.id.is_some()).map_err(fault)?;
        let bound = self.bind_share(share, &info)?;
        if self.mode != Mode::Plan {
            let pass = if self.mode == Mode::Sync { " for one pass" } else { "" };
            let words =
                format!("driftline {} begins{pass}, as process {}", env!("CARGO_PKG_VERSION"), std::process::id());
            self.index.note(info.id, None, &RelPath::root(), "start", &words).map_err(fault)?;
            if let Some(words) = self.index.fact(SET_ASIDE).map_err(fault)?.filter(|words| !words.is_empty()) {
                self.index.note(info.id, None, &RelPath::root(), "index", &words).map_err(fault)?;
                self.index.set_fact(SET_ASIDE, "").map_err(fault)?;
            }
        }
        self.index.commit().map_err(fault)?;
        let ignore = Ignore::new(&share.ignore).map_err(|error| StartError {
            what: format!("use the ignore patterns of share {:?}", share.name),
            cause: error.to_string(),
            hint: "write it as gitignore does".to_owned(),
            configuration: true,
        })?;
        let hands = Arc::new(ShareHands {
            id: info.id,
            name: share.name.clone(),
            root: share.path.clone(),
            root_id: bound,
            swept: std::sync::Once::new(),
            settings: ShareSettings::new(ignore, share.patience * 2),
            untold_lists: AtomicBool::new(self.index.wants_lists(info.id).map_err(fault)?),
            recent: Recent::new(share.targets.len()),
            watching: Watching::default(),
            watches: self.mode == Mode::Run,
            stop: Arc::clone(self.stop),
            out: self.out.clone(),
            under_way: Arc::clone(self.under_way),
            pulse: Pulse::default(),
            index: self.config.agent.state_dir.join(state::INDEX),
        });
        let (queue, scan_queue) = (Queue::new(), Queue::new());
        spawn(&hands, "scan", &scan_queue)?;
        for _ in 0..SHARE_THREADS {
            spawn(&hands, "read", &queue)?;
        }
        if hands.watches {
            let watcher = Arc::clone(&hands);
            thread("watch", move || watcher.pass_on())?;
        }
        let (settle, rescan) = (settle_limits(share), share.rescan);
        let setup = ShareSetup { id: info.id, name: share.name.clone(), settle, rescan };
        let now = clock::moment();
        let seat = ShareSeat {
            id: info.id,
            name: share.name.clone(),
            hands,
            queue,
            scan_queue,
            scanning: None,
            checked: now,
            pruned: self.index.kept_pruned(info.id).map_err(fault)?,
            housekeeping: 0,
            polls: Polls::begin(now),
            monitor: Monitor::default(),
            state: self.index.share_state(info.id).map_err(fault)?,
        };
        Ok((seat, info, setup))
    }

    /// The root that the share was bound to, or is bound to from now on.
    fn bind_share(&mut self, share: &crate::config::Share, info: &ShareInfo) -> Result<RootId, StartError> {
        if let Some((fsid, ino)) = info.bound {
            return Ok(RootId { fsid, ino });
        }
        let found = root_id(&share.path).map_err(|error| StartError {
            what: format!("read share {:?} at {}", share.name, share.path.display()),
            cause: error.to_string(),
            hint: "check that the folder exists, is mounted, and may be read by the agent's user".to_owned(),
            configuration: false,
        })?;
        if self.mode != Mode::Plan {
            let words = format!("the share is {} from now on", share.path.display());
            self.index
                .bind_share(info.id, found.fsid, found.ino)
                .and_then(|()| self.index.note(info.id, None, &RelPath::root(), "bind", &words))
                .map_err(|error| StartError::index(&error))?;
            tracing::info!(
                share = share.name,
                "share {:?} is bound to {} from now on",
                share.name,
                share.path.display()
            );
        }
        Ok(found)
    }

    pub(super) fn target(
        &mut self,
        seat: &ShareSeat,
        share: &ShareInfo,
        target: &crate::config::Target,
    ) -> Result<(LaneSeat, TargetSetup), StartError> {
        let fault = |error: IndexError| StartError::index(&error);
        self.index.begin(clock::wall()).map_err(fault)?;
        let place = target.place.to_string();
        let info: TargetInfo = self.index.register_target(share.id, &target.name, &place).map_err(fault)?;
        self.index.commit().map_err(fault)?;
        if !self.served.contains(&info.id.0) {
            // While nobody served it, nobody noticed what it lacks.
            self.index.begin(clock::wall()).map_err(fault)?;
            self.index.compare_subtree(info.id, &RelPath::root()).map_err(fault)?;
            self.index.commit().map_err(fault)?;
        }
        serve_under(self.index, info.id, target.policy()).map_err(fault)?;
        let berth = self.tenure.map(|tenure| Arc::new(Berth::new(tenure.clone())));
        let at = Seat {
            share_uid: &share.uid,
            bound: info.bound.clone(),
            agent: self.agent,
            berth: berth.clone(),
            state_dir: (self.mode != Mode::Plan).then_some(&self.config.agent.state_dir),
            used: bucket::used(self.index, info.id).map_err(fault)?,
        };
        let dials = Dials::new(&target.place);
        let opened = open(target, &at, &dials);
        if !target.policy().nature.moves_folders() {
            self.index.rename_piecemeal(info.id);
        }
        self.index.take_changes(info.id, target.policy().drift == Drift::Take);
        let hands = Arc::new(LaneHands {
            id: info.id,
            target: opened,
            share: Arc::clone(&seat.hands),
            name: format!("{}/{}", seat.name, target.name),
            ear: Ear::default(),
            pulse: Pulse::default(),
            index: self.config.agent.state_dir.join(state::INDEX),
        });
        let queue = Queue::new();
        for _ in 0..LANE_THREADS {
            let (hands, queue) = (Arc::clone(&hands), Arc::clone(&queue));
            thread("lane", move || hands.work(&queue))?;
        }
        if self.mode == Mode::Run && hands.target.news().is_some() {
            let hands = Arc::clone(&hands);
            thread("listen", move || hands.listen())?;
        }
        let now = clock::moment();
        let lane = LaneSeat {
            id: info.id,
            share: share.id,
            name: target.name.clone(),
            nature: target.policy().nature,
            hands,
            queue,
            bound_before: info.bound.is_some(),
            monitor: Monitor::default(),
            dials,
            rate: Flow::default(),
            history: target.history,
            history_floor: target.history_versions,
            pruned: info.pruned,
            prune_after: Moment::default(),
            prune_told: String::new(),
            housekeeping: 0,
            swept: false,
            checked: now,
            counted: Requests::default(),
            state: String::new(),
            berth,
        };
        // A single pass goes both ways.
        let looks_now = target.policy().drift == Drift::Take && self.mode != Mode::Run;
        let listed_ago = |listed| if looks_now { Duration::MAX } else { clock::wall().since(listed) };
        let listed_ago = info.listed.map(listed_ago);
        let setup = TargetSetup {
            id: info.id,
            name: format!("{}/{}", seat.name, target.name),
            share: share.id,
            policy: target.policy(),
            audit: target.audit,
            listed_ago,
            bound: info.bound.is_some(),
            halt: info.halt.as_deref().map(state::halt_of),
            paused: info.paused,
            remembers: target.history,
        };
        Ok((lane, setup))
    }
}

/// The place of a target, ready to be probed; nothing is touched yet.
pub fn open_target(target: &crate::config::Target, seat: &Seat<'_>) -> Box<dyn Target> {
    open(target, seat, &Dials::new(&target.place))
}

fn open(target: &crate::config::Target, seat: &Seat<'_>, dials: &Dials) -> Box<dyn Target> {
    match &target.place {
        Place::Folder(root) => Box::new(DirTarget::new(DirSetup {
            root: root.clone(),
            target_id: seat.bound.clone(),
            share_id: seat.share_uid.to_owned(),
            writer: seat.agent.to_owned(),
            berth: seat.berth.clone(),
            keep_owner: target.ownership == Ownership::Keep,
            now: clock::wall,
            flush: Flush::Auto,
            ways: Ways::Auto,
        })),
        Place::Bucket(bucket) => Box::new(bucket::open(bucket, seat, dials)),
    }
}

fn spawn(hands: &Arc<ShareHands>, name: &str, queue: &Arc<Queue<ShareJob>>) -> Result<(), StartError> {
    let (hands, queue) = (Arc::clone(hands), Arc::clone(queue));
    thread(name, move || hands.work(&queue))
}

/// When a path of the share is quiet.
pub(super) fn settle_limits(share: &crate::config::Share) -> SettleLimits {
    SettleLimits { quiet: share.settle, patience: share.patience, paths_max: RESTLESS_MAX }
}

pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    // A thread that is gone leaves its work waiting for ever, and nobody knows: better begin anew.
    let to_its_end = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
            tracing::error!("driftline has a fault of its own and ends: see above what it was, and report it");
            std::process::exit(INTERNAL);
        }
    };
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(to_its_end);
    started.map(drop).map_err(|error| StartError {
        what: format!("start a thread for {name}"),
        cause: error.to_string(),
        hint: "raise the limit on threads (TasksMax, ulimit -u)".to_owned(),
        configuration: false,
    })
}

/// The share's identity as targets carry it. It follows from names alone, so that an agent whose index is lost is
/// known to its targets; or it is the one that the configuration says, or
/// that the index knows.
pub fn share_uid(agent: &str, share: &crate::config::Share, known: Option<&str>) -> String {
    if let Some(id) = share.id.as_deref().or(known) {
        return id.to_owned();
    }
    let words = [agent.as_bytes(), b"\0", share.name.as_bytes(), b"\0", path_bytes(&share.path)];
    Digest::of(&words.concat()).to_string()[..32].to_owned()
}

fn path_bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}
