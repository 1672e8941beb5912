//! The folders that one call changes: their times put back, flushed before anything is called done; and our own, made
//! where they are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{RelPath, Wall};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};

use super::fault::is;
use super::identity::Place;

/// Permission bits of our own folders: versions in history must not be easier to read than where they lay.
const OUR_MODE: u32 = 0o700;
/// From this many folders on, a local file system is flushed as a whole.
const SYNC_ALL_FROM: usize = 16;

/// The times that folders get back, shared by all calls under way: a call that comes upon a folder which another has just
/// changed must not take the time of that change for the folder's own.
#[derive(Debug, Default)]
pub(super) struct Times {
    folders: Mutex<BTreeMap<RelPath, Kept>>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    mtime: Wall,
    /// Calls that will put it back.
    users: usize,
}

impl Times {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RelPath, Kept>> {
        // Each change is one insertion or removal, so a panic elsewhere leaves it whole.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders that one call changes.
#[derive(Debug)]
pub(super) struct Touched {
    times: Arc<Times>,
    /// The share's folders; each is counted in `times` until it is settled.
    folders: BTreeSet<RelPath>,
    /// Our own, whose times are nobody's.
    ours: BTreeSet<RelPath>,
    /// Something was changed that only a flush of the whole file system reaches.
    whole: bool,
}

impl Drop for Touched {
    fn drop(&mut self) {
        let mut times = self.times.lock();
        self.folders.iter().for_each(|path| release(&mut times, path));
    }
}

fn release(times: &mut BTreeMap<RelPath, Kept>, path: &RelPath) {
    if let Some(kept) = times.get_mut(path) {
        kept.users -= 1;
        if kept.users == 0 {
            times.remove(path);
        }
    }
}

impl Touched {
    pub(super) fn new(times: &Arc<Times>) -> Self {
        Self { times: Arc::clone(times), folders: BTreeSet::new(), ours: BTreeSet::new(), whole: false }
    }

    /// To be called before the first change in `folder`.
    pub(super) fn note(&mut self, path: &RelPath, folder: &OwnedFd) -> io::Result<()> {
        if path.is_reserved() {
            self.ours.insert(path.clone());
        } else if !self.folders.contains(path) {
            let mut times = self.times.lock();
            match times.get_mut(path) {
                Some(kept) => kept.users += 1,
                None => {
                    let mtime = stat::meta(&beneath::stat_fd(folder.as_fd())?).mtime;
                    times.insert(path.clone(), Kept { mtime, users: 1 });
                }
            }
            self.folders.insert(path.clone());
        }
        Ok(())
    }

    /// A folder's own time was set: that is what it gets back from now on.
    pub(super) fn set_time(&mut self, path: &RelPath, mtime: Wall) {
        let newly = self.folders.insert(path.clone());
        let mut times = self.times.lock();
        let kept = times.entry(path.clone()).or_insert(Kept { mtime, users: 0 });
        kept.mtime = mtime;
        kept.users += usize::from(newly);
    }

    /// A folder was renamed: what was noted for it and below it goes with it. Nobody else is at work there: see
    /// `plan::Claims`.
    pub(super) fn moved(&mut self, from: &RelPath, to: &RelPath) {
        let mut times = self.times.lock();
        for path in std::mem::take(&mut self.folders) {
            let Some(new) = path.rebased(from, to) else {
                self.folders.insert(path);
                continue;
            };
            if let Some(kept) = times.remove(&path) {
                times.insert(new.clone(), kept);
            }
            self.folders.insert(new);
        }
    }

    /// A folder is gone.
    pub(super) fn gone(&mut self, path: &RelPath) {
        if self.folders.remove(path) {
            release(&mut self.times.lock(), path);
        }
    }

    pub(super) fn flush_whole(&mut self) {
        self.whole = true;
    }

    /// Opens a folder of ours; makes it and the folders above it where they are missing. The share's folders are never
    /// made on the way: nobody would know that they are ours.
    pub(super) fn make(&mut self, place: &Place, folder: &RelPath) -> io::Result<OwnedFd> {
        debug_assert!(folder.is_reserved(), "only our own folders are made on the way");
        let (mut reached, mut at, mut missing) = nearest(place, folder)?;
        while let Some(next) = missing.pop() {
            self.note(&at, &reached)?;
            reached = make_one(&reached, &next)?;
            at = next;
        }
        Ok(reached)
    }

    /// Puts times back and waits until all folders are on the medium. True if it waited for the whole file system.
    pub(super) fn flush(&mut self, place: &Place) -> io::Result<bool> {
        let count = self.folders.len() + self.ours.len();
        let together = !place.network && count >= SYNC_ALL_FROM && sys::sync_all_reports();
        while let Some(path) = self.folders.pop_first() {
            let result = self.put_back(place, &path);
            release(&mut self.times.lock(), &path);
            settle(place, &path, result?, !together)?;
        }
        for path in &self.ours {
            settle(place, path, Reached::Unopened, !together)?;
        }
        if together || self.whole {
            sys::sync_all(place.root())?;
        }
        Ok(together || self.whole)
    }

    /// Waits for our own folders alone: a version must be in history before what replaces it is visible.
    pub(super) fn flush_ours(&self, place: &Place) -> io::Result<()> {
        self.ours.iter().try_for_each(|path| settle(place, path, Reached::Unopened, true))
    }

    /// RACE: an outsider who changes the folder between our change and this gets its older time back with it. Only the
    /// folder's own time is wrong then, and only until it changes again.
    fn put_back(&self, place: &Place, path: &RelPath) -> io::Result<Reached> {
        let times = self.times.lock();
        let (Some(kept), Some(folder)) = (times.get(path), reach(place, path)?) else { return Ok(Reached::Gone) };
        match sys::set_mtime(folder.as_fd(), kept.mtime) {
            // Not our folder: its time stays moved, which harms nothing.
            Err(err) if is(&err, Errno::PERM) || is(&err, Errno::ACCESS) => {}
            result => result?,
        }
        Ok(Reached::Open(folder))
    }
}

/// Whether a folder was opened already.
enum Reached {
    Open(OwnedFd),
    Unopened,
    Gone,
}

/// The nearest folder that is there, and those that are missing below it, the deepest first.
fn nearest(place: &Place, folder: &RelPath) -> io::Result<(OwnedFd, RelPath, Vec<RelPath>)> {
    let (mut at, mut missing) = (folder.clone(), Vec::new());
    loop {
        match (beneath::open_folder(place.root(), &at), at.parent()) {
            (Ok(reached), _) => return Ok((reached, at, missing)),
            (Err(err), Some(parent)) if is(&err, Errno::NOENT) => missing.push(std::mem::replace(&mut at, parent)),
            (Err(err), _) => return Err(err),
        }
    }
}

fn make_one(parent: &OwnedFd, path: &RelPath) -> io::Result<OwnedFd> {
    let spot = Spot::new(parent, path.name());
    let newly = match sys::make_folder(spot) {
        Ok(()) => true,
        Err(err) if is(&err, Errno::EXIST) => false,
        Err(err) => return Err(err),
    };
    let folder = sys::open_folder(spot)?;
    if newly {
        sys::set_mode(folder.as_fd(), OUR_MODE)?;
    }
    Ok(folder)
}

/// Opens a folder; `None` if someone else took it away meanwhile, and with it what we did there: the next look tells.
fn reach(place: &Place, path: &RelPath) -> io::Result<Option<OwnedFd>> {
    match beneath::open_folder(place.root(), path) {
        Ok(folder) => Ok(Some(folder)),
        Err(err) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|code| is(&err, *code)) => Ok(None),
        Err(err) => Err(err),
    }
}

fn settle(place: &Place, path: &RelPath, reached: Reached, flush: bool) -> io::Result<()> {
    let folder = match reached {
        Reached::Open(folder) => Some(folder),
        Reached::Unopened if flush => reach(place, path)?,
        Reached::Unopened | Reached::Gone => None,
    };
    match folder {
        Some(folder) if flush => sys::sync(folder.as_fd()),
        Some(_) | None => Ok(()),
    }
}
