//! Where something happened on the share. A hint and never more: an event says "look here".
//!
//! The only user of `notify`. Its thread calls [`Inbox::take_in`], which puts paths into a set and never waits.
//! The set has a bound; when it is full, or when the kernel's queue was, everything is forgotten and the batch says
//! that the track is lost: a rescan finds what the events would have said.
//! Never told by inotify, so that scans stay needed: what is written through a memory map before it is closed,
//! what other machines do on a network file system, and what happens while the agent is down.

mod inbox;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{Config, EventKindMask, INotifyWatcher, RecursiveMode, Watcher};

use crate::local::Ignore;
use crate::local::watch_plan::{Plan, UNCOVERED_MAX, folders, plan};
use crate::model::RelPath;
use crate::sys::fskind;
use inbox::Inbox;

/// What is asked of the kernel: also single writes, because some programs keep a file open for days.
const EVENTS: EventKindMask = EventKindMask::CREATE
    .union(EventKindMask::REMOVE)
    .union(EventKindMask::MODIFY_NAME)
    .union(EventKindMask::MODIFY_META)
    .union(EventKindMask::MODIFY_DATA)
    .union(EventKindMask::ACCESS_CLOSE);

/// Parts of the kernel's limit that are tried in turn: other programs have watches too, and nobody tells how many.
const SHARES: [(u64, u64); 4] = [(9, 10), (1, 2), (1, 4), (1, 10)];

/// Where the kernel keeps its limit on watches, for each user.
const WATCHES_MAX: &str = "/proc/sys/fs/inotify/max_user_watches";

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Paths that are kept until they are taken; with more of them the track is lost.
    pub paths: usize,
    /// Watches that the kernel allows; `None`: ask it.
    pub watches: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { paths: 65_536, watches: None }
    }
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The kernel tells.
    Inotify,
    /// Only scans find them.
    Poll,
}

/// What happened since the last batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Paths to look at, in no order; nothing that is ignored.
    pub touched: Vec<RelPath>,
    /// Folders that appeared, in no order; also in `touched`. What lies in them may have been there before they were
    /// watched: call [`Watch::barrier`], then scan them.
    pub new_folders: Vec<RelPath>,
    /// Events were lost: scan the whole share.
    pub lost: bool,
    /// The root was moved, removed or unmounted: this watch says nothing any more.
    pub root_gone: bool,
    /// The kernel refused a watch for want of room: [`Watch::uncovered`] names the whole share. Start a new watch,
    /// which plans afresh, and scan.
    pub renew: bool,
    /// What went wrong, for people; each once, and not more than a few.
    pub errors: Vec<String>,
}

/// Why nothing can be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot watch {}: {cause}", .path.display())]
pub struct WatchError {
    /// The share's folder.
    pub path: PathBuf,
    /// The cause.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
}

/// A watch over a share. Dropping it ends it.
pub struct Watch {
    root: PathBuf,
    mode: Mode,
    inbox: Arc<Inbox>,
    plan: Mutex<Plan>,
    /// `None` where watching is of no use. Apart from the plan, because it may be held for long: see
    /// [`Watch::barrier`].
    watcher: Mutex<Option<INotifyWatcher>>,
}

impl Watch {
    /// Watches the folder at `root`. `wake` is called, from a thread of its own, when there is something to take
    /// after there was nothing; it must not wait for anything, and must not call this watch.
    ///
    /// On a network file system nothing is watched: the mode is then [`Mode::Poll`]. If there are more folders than
    /// the kernel allows watches, the upper ones are watched, the rest is [`Watch::uncovered`], and the first batch
    /// says so.
    pub fn start(
        root: &Path,
        ignore: Arc<Ignore>,
        limits: Limits,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, WatchError> {
        let fault = |cause: String, hint: &str| WatchError { path: root.to_owned(), cause, hint: hint.to_owned() };
        let check = "check that it is a folder, that it is mounted, and that the agent's user may read it";
        let absolute = std::path::absolute(root).map_err(|error| fault(error.to_string(), check))?;
        let kind = fskind::kind(&absolute).map_err(|error| fault(error.to_string(), check))?;
        let inbox = Arc::new(Inbox::new(absolute.clone(), ignore, limits.paths, wake));
        let (watcher, plan) = if kind.is_network() {
            (None, Plan { uncovered: vec![RelPath::root()], ..Plan::default() })
        } else {
            let (watcher, plan) = begin(&absolute, &inbox, limits).map_err(|error| {
                let instances = "raise fs.inotify.max_user_instances if other programs use them all";
                fault(error.to_string(), if absolute.is_dir() { instances } else { check })
            })?;
            (Some(watcher), plan)
        };
        let mode = if watcher.is_some() { Mode::Inotify } else { Mode::Poll };
        Ok(Self { root: absolute, mode, inbox, plan: Mutex::new(plan), watcher: Mutex::new(watcher) })
    }

    /// How changes are noticed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether what it leaves out is said by just these patterns, not by others that are alike.
    pub fn goes_by(&self, ignore: &Arc<Ignore>) -> bool {
        self.inbox.goes_by(ignore)
    }

    /// The part of the share's folders that is watched, as it was when the watch began; 0 if nothing can be relied on.
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    pub fn coverage(&self) -> f64 {
        let plan = lock(&self.plan);
        if self.mode == Mode::Poll || self.inbox.is_spent() || plan.folders == 0 {
            return 0.0;
        }
        let watched = plan.watches.saturating_sub(self.inbox.unwatched().len() as u64);
        (watched as f64 / plan.folders as f64).min(1.0)
    }

    /// Folders that are not watched, with all below: to be scanned from time to time.
    pub fn uncovered(&self) -> Vec<RelPath> {
        if self.inbox.is_spent() {
            return vec![RelPath::root()];
        }
        let mut uncovered = lock(&self.plan).uncovered.clone();
        uncovered.extend(self.inbox.unwatched());
        if uncovered.len() > UNCOVERED_MAX { vec![RelPath::root()] } else { uncovered }
    }

    /// Takes what happened. Never waits for the file system, except that it looks whether what appeared is a folder.
    pub fn take(&self) -> Batch {
        let (mut batch, appeared) = self.inbox.take();
        batch.new_folders = appeared.into_iter().filter(|path| self.may_be_folder(path)).collect();
        self.follow(&batch.new_folders);
        batch
    }

    /// Returns when all folders that have been told of are watched, as far as they can be. A scan that begins after
    /// it misses nothing: what it does not see is told of.
    ///
    /// It may wait for long after a large tree was removed; all but [`Watch::take`] answer meanwhile.
    pub fn barrier(&self) {
        if let Some(watcher) = &mut *lock(&self.watcher) {
            // Changes nothing, but is answered after everything that was begun before.
            let _nothing = watcher.configure(Config::default());
        }
    }

    /// What cannot be looked at may be one.
    fn may_be_folder(&self, path: &RelPath) -> bool {
        match std::fs::symlink_metadata(path.under(&self.root)) {
            Ok(meta) => meta.is_dir(),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }

    /// Watches what appeared in folders that are watched alone, as far as there is room.
    fn follow(&self, appeared: &[RelPath]) {
        for path in appeared {
            if !lock(&self.plan).is_news(path) {
                continue;
            }
            // If there was no room for all when the watch began, what is new is polled with the rest.
            let room = lock(&self.plan).uncovered.is_empty();
            let watched = room && self.watch_also(path);
            lock(&self.plan).grow(path, watched);
        }
    }

    fn watch_also(&self, path: &RelPath) -> bool {
        let mut watcher = lock(&self.watcher);
        watcher.as_mut().is_some_and(|it| it.watch(&path.under(&self.root), RecursiveMode::Recursive).is_ok())
    }
}

/// What it takes of the kernel to watch a share, and what the kernel gives each user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchNeed {
    /// Folders of the share: each takes one watch.
    pub folders: u64,
    /// Watches that one user may have, of all programs together.
    pub limit: u64,
}

impl WatchNeed {
    /// Asks the kernel, and counts the folders at and below `root`, also those that are ignored.
    pub fn of(root: &Path) -> Self {
        Self { folders: folders(root), limit: watches_max() }
    }

    /// True if all folders can be watched, with a little left for other programs.
    pub fn is_met(self) -> bool {
        let (part, of) = SHARES[0];
        self.folders <= self.limit.saturating_mul(part) / of
    }

    /// A limit that is enough for a long time.
    pub fn enough(self) -> u64 {
        (self.folders.saturating_mul(5) / 4).max(self.limit.saturating_mul(2)).next_power_of_two()
    }
}

/// Nothing here is left half done by a thread that dies.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plans, and watches; with less if the kernel gives less.
fn begin(root: &Path, inbox: &Arc<Inbox>, limits: Limits) -> notify::Result<(INotifyWatcher, Plan)> {
    let limit = limits.watches.unwrap_or_else(watches_max);
    let mut last = None;
    for (part, of) in SHARES {
        let plan = plan(root, limit.saturating_mul(part) / of);
        match apply(root, inbox, &plan) {
            Ok(watcher) => {
                if plan.watches < plan.folders {
                    inbox.tell(too_few(&plan, limit));
                }
                return Ok((watcher, plan));
            }
            Err(error) if is_out_of_watches(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| notify::Error::generic("no watch is allowed")))
}

fn apply(root: &Path, inbox: &Arc<Inbox>, plan: &Plan) -> notify::Result<INotifyWatcher> {
    let inbox = Arc::clone(inbox);
    let config = Config::default().with_follow_symlinks(false).with_event_kinds(EVENTS);
    let mut watcher = INotifyWatcher::new(move |event| inbox.take_in(event), config)?;
    let flat = plan.flat.iter().map(|folder| (folder, RecursiveMode::NonRecursive));
    let deep = plan.deep.iter().map(|folder| (folder, RecursiveMode::Recursive));
    for (folder, mode) in flat.chain(deep) {
        match watcher.watch(&folder.under(root), mode) {
            // It went away since the plan was made: the folder above tells.
            Err(error) if !folder.is_root() && matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
            result => result?,
        }
    }
    Ok(watcher)
}

fn is_out_of_watches(error: &notify::Error) -> bool {
    matches!(error.kind, notify::ErrorKind::MaxFilesWatch)
}

fn watches_max() -> u64 {
    // A kernel without this file has inotify's first limit.
    std::fs::read_to_string(WATCHES_MAX).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(8192)
}

fn too_few(plan: &Plan, limit: u64) -> String {
    let enough = WatchNeed { folders: plan.folders, limit }.enough();
    format!(
        "{} of {} folders are watched: the share needs {} watches and the limit is {}; the rest is found by scans only. \
         Raise it: sysctl fs.inotify.max_user_watches={}",
        grouped(plan.watches),
        grouped(plan.folders),
        grouped(plan.folders),
        grouped(limit),
        enough
    )
}

/// With a comma every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
