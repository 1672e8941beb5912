//! Events as they come, until they are taken: a set with a bound, not a queue.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{ErrorKind, Event, EventKind};

use crate::local::Ignore;
use crate::local::relative::relative_bytes;
use crate::local::watch::Batch;
use crate::local::watch_plan::UNCOVERED_MAX;
use crate::model::RelPath;

/// Errors that are kept for people between two batches.
const ERRORS_MAX: usize = 16;

pub(super) struct Inbox {
    root: PathBuf,
    ignore: Arc<Ignore>,
    paths_max: usize,
    wake: Box<dyn Fn() + Send + Sync>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    touched: HashSet<Box<[u8]>>,
    /// Created, or renamed to this: may be a folder. Each is in `touched` too.
    appeared: HashSet<Box<[u8]>>,
    lost: bool,
    root_gone: bool,
    renew: bool,
    errors: Vec<String>,
    /// The kernel has no more room for watches: nobody knows what is watched. It stays so.
    spent: bool,
    /// Folders that could not be watched for other reasons. They stay, too.
    unwatched: Vec<RelPath>,
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.errors.is_empty() && !(self.lost || self.root_gone || self.renew)
    }

    fn lose_track(&mut self) {
        self.lost = true;
        self.touched = HashSet::new();
        self.appeared = HashSet::new();
    }

    fn tell(&mut self, error: String) {
        if self.errors.len() < ERRORS_MAX && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }
}

impl Inbox {
    pub(super) fn new(root: PathBuf, ignore: Arc<Ignore>, paths_max: usize, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { root, ignore, paths_max, wake, inner: Mutex::default() }
    }

    pub(super) fn goes_by(&self, ignore: &Arc<Ignore>) -> bool {
        Arc::ptr_eq(&self.ignore, ignore)
    }

    /// Takes in what notify says. Never waits, and calls nothing of the watcher: its thread would wait for itself.
    pub(super) fn take_in(&self, event: notify::Result<Event>) {
        self.change(|inner| match &event {
            // The kernel's queue was full. This event has no path: it comes before any look at paths.
            Ok(event) if event.need_rescan() => inner.lose_track(),
            Ok(event) => self.take_event(inner, event),
            Err(error) => self.take_error(inner, error),
        });
    }

    /// Something for people that is not an event.
    pub(super) fn tell(&self, error: String) {
        self.change(|inner| inner.tell(error));
    }

    /// Everything since the last time, and what appeared.
    pub(super) fn take(&self) -> (Batch, Vec<RelPath>) {
        let mut inner = self.lock();
        let paths = |set: HashSet<Box<[u8]>>| set.into_iter().filter_map(|bytes| RelPath::new(bytes).ok()).collect();
        let batch = Batch {
            touched: paths(std::mem::take(&mut inner.touched)),
            new_folders: Vec::new(),
            lost: std::mem::take(&mut inner.lost),
            root_gone: std::mem::take(&mut inner.root_gone),
            renew: std::mem::take(&mut inner.renew),
            errors: std::mem::take(&mut inner.errors),
        };
        (batch, paths(std::mem::take(&mut inner.appeared)))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.lock().spent
    }

    pub(super) fn unwatched(&self) -> Vec<RelPath> {
        self.lock().unwatched.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        let was_empty = inner.is_empty();
        change(&mut inner);
        let wake = was_empty && !inner.is_empty();
        drop(inner);
        if wake {
            (self.wake)();
        }
    }

    fn take_event(&self, inner: &mut Inner, event: &Event) {
        let gone = is_gone(&event.kind);
        for path in event.paths.iter().filter_map(|path| relative_bytes(&self.root, path)) {
            if path.is_empty() && gone {
                inner.root_gone = true;
            } else if !inner.lost {
                self.touch(inner, path, &event.kind);
            }
        }
    }

    fn touch(&self, inner: &mut Inner, path: &[u8], kind: &EventKind) {
        if changes_parent(kind) && !path.is_empty() {
            let cut = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
            self.add(inner, &path[..cut]);
        }
        if self.add(inner, path) && appears(kind) && !inner.appeared.contains(path) {
            inner.appeared.insert(path.into());
        }
        if inner.touched.len() > self.paths_max {
            inner.lose_track();
        }
    }

    /// False if it is ignored.
    fn add(&self, inner: &mut Inner, path: &[u8]) -> bool {
        if inner.touched.contains(path) {
            return true;
        }
        let known = RelPath::new(path).is_ok_and(|path| !self.ignore.ignores_below(&path));
        if known {
            inner.touched.insert(path.into());
        }
        known
    }

    fn take_error(&self, inner: &mut Inner, error: &notify::Error) {
        if matches!(error.kind, ErrorKind::MaxFilesWatch) {
            // The rest of what was to be watched was given up without a word.
            inner.lose_track();
            inner.renew = true;
            inner.spent = true;
            inner.tell("no more folders can be watched: the limit fs.inotify.max_user_watches is reached".to_owned());
            return;
        }
        if error.paths.is_empty() {
            // Nobody knows what this concerns.
            inner.lose_track();
            inner.tell(format!("watching failed: {error}"));
        }
        for path in &error.paths {
            self.not_watched(inner, path, error);
        }
    }

    fn not_watched(&self, inner: &mut Inner, path: &Path, error: &notify::Error) {
        let Some(path) = relative_bytes(&self.root, path).and_then(|bytes| RelPath::new(bytes).ok()) else { return };
        if self.ignore.ignores(&path, true) || self.ignore.ignores_below(&path) {
            return;
        }
        inner.tell(format!("{path} is not watched, only scanned: {}", cause(&error.kind)));
        if inner.unwatched.len() <= UNCOVERED_MAX && !inner.unwatched.contains(&path) {
            inner.unwatched.push(path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the paths, which `notify` would print unescaped.
fn cause(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::Generic(message) => message.clone(),
        ErrorKind::PathNotFound => "it went away".to_owned(),
        ErrorKind::WatchNotFound => "it was not watched".to_owned(),
        ErrorKind::InvalidConfig(_) => "the watcher's configuration is not valid".to_owned(),
        ErrorKind::MaxFilesWatch => "the limit on watches is reached".to_owned(),
    }
}

/// Said of the root: it is not there any more. `From` without `To` is what a moved folder says of itself.
fn is_gone(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)))
}

/// A name came or went: the folder above has a new mtime. Not an unmount, which only that path is concerned with.
fn changes_parent(kind: &EventKind) -> bool {
    match kind {
        EventKind::Remove(RemoveKind::Other) => false,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => true,
        EventKind::Any | EventKind::Access(_) | EventKind::Modify(_) | EventKind::Other => false,
    }
}

/// There may be a folder now. An event of both sides of a rename comes with one for each side.
fn appears(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Create(CreateKind::Folder | CreateKind::Any | CreateKind::Other)
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Any | RenameMode::Other))
    )
}
