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

#[derive(Debug, Default)]
struct Kept {
    /// `None` until the first of its users has read it. Its lock alone is held while the target is asked: calls in other
    /// folders do not wait for that.
    mtime: Arc<Mutex<Option<Wall>>>,
    /// Calls that will put it back.
    users: usize,
}

impl Times {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RelPath, Kept>> {
        // Each change is one insertion or removal, so a panic elsewhere leaves it whole.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One user more.
    fn take(&self, path: &RelPath) -> Arc<Mutex<Option<Wall>>> {
        let mut folders = self.lock();
        let kept = folders.entry(path.clone()).or_default();
        kept.users += 1;
        Arc::clone(&kept.mtime)
    }

    fn known(&self, path: &RelPath) -> Option<Arc<Mutex<Option<Wall>>>> {
        self.lock().get(path).map(|kept| Arc::clone(&kept.mtime))
    }
}

fn locked(mtime: &Mutex<Option<Wall>>) -> MutexGuard<'_, Option<Wall>> {
    mtime.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folders that one call changes.
#[derive(Debug)]
pub(super) struct Touched {
    times: Arc<Times>,
    /// The share's folders, and which each was when it was opened, if it was; each is counted in `times` until it is settled.
    folders: BTreeMap<RelPath, Option<u64>>,
    /// Our own, whose times are nobody's.
    ours: BTreeSet<RelPath>,
    /// Something was changed that only a flush of the whole file system reaches.
    whole: bool,
}

/// What was waited for.
#[derive(Debug)]
pub(super) struct Flushed {
    /// The whole file system.
    pub(super) all: bool,
    /// Folders that are not where they were opened.
    pub(super) moved: BTreeSet<RelPath>,
}

impl Drop for Touched {
    fn drop(&mut self) {
        let mut times = self.times.lock();
        self.folders.keys().for_each(|path| release(&mut times, path));
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
        Self { times: Arc::clone(times), folders: BTreeMap::new(), ours: BTreeSet::new(), whole: false }
    }

    /// To be called before the first change in `folder`.
    pub(super) fn note(&mut self, path: &RelPath, folder: &OwnedFd) -> io::Result<()> {
        if path.is_reserved() {
            self.ours.insert(path.clone());
        } else if !self.folders.contains_key(path) {
            let mtime = self.times.take(path);
            self.folders.insert(path.clone(), None);
            let mut mtime = locked(&mtime);
            let st = beneath::stat_fd(folder.as_fd())?;
            mtime.get_or_insert(stat::meta(&st).mtime);
            self.folders.insert(path.clone(), Some(st.stx_ino));
        }
        Ok(())
    }

    /// A folder's own time was set: that is what it gets back from now on.
    pub(super) fn set_time(&mut self, path: &RelPath, mtime: Wall) {
        let mtime_of = if self.folders.contains_key(path) {
            self.times.known(path)
        } else {
            self.folders.insert(path.clone(), None);
            Some(self.times.take(path))
        };
        if let Some(kept) = mtime_of {
            *locked(&kept) = Some(mtime);
        }
    }

    /// A folder was renamed: what was noted for it and below it goes with it. Nobody else is at work there: see
    /// `plan::Claims`.
    pub(super) fn moved(&mut self, from: &RelPath, to: &RelPath) {
        let mut times = self.times.lock();
        for (path, ino) in std::mem::take(&mut self.folders) {
            let Some(new) = path.rebased(from, to) else {
                self.folders.insert(path, ino);
                continue;
            };
            if let Some(kept) = times.remove(&path) {
                times.insert(new.clone(), kept);
            }
            self.folders.insert(new, ino);
        }
    }

    /// A folder is gone.
    pub(super) fn gone(&mut self, path: &RelPath) {
        if self.folders.remove(path).is_some() {
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

    /// Puts times back and waits until all folders are on the medium.
    pub(super) fn flush(&mut self, place: &Place) -> io::Result<Flushed> {
        let count = self.folders.len() + self.ours.len();
        let together = !place.network && count >= SYNC_ALL_FROM && sys::sync_all_reports();
        let mut moved = BTreeSet::new();
        while let Some((path, ino)) = self.folders.pop_first() {
            let result = self.put_back(place, &path, ino);
            release(&mut self.times.lock(), &path);
            let reached = result?;
            if matches!(reached, Reached::Gone) {
                moved.insert(path.clone());
            }
            settle(place, &path, reached, !together)?;
        }
        for path in &self.ours {
            settle(place, path, Reached::Unopened, !together)?;
        }
        if together || self.whole {
            sys::sync_all(place.root())?;
        }
        Ok(Flushed { all: together || self.whole, moved })
    }

    /// Waits for our own folders alone: a version must be in history before what replaces it is visible.
    pub(super) fn flush_ours(&self, place: &Place) -> io::Result<()> {
        self.ours.iter().try_for_each(|path| settle(place, path, Reached::Unopened, true))
    }

    /// RACE: an outsider who changes the folder between our change and this gets its older time back with it. Only the
    /// folder's own time is wrong then, and only until it changes again.
    fn put_back(&self, place: &Place, path: &RelPath, ino: Option<u64>) -> io::Result<Reached> {
        let Some(kept) = self.times.known(path) else { return Ok(Reached::Gone) };
        let kept = locked(&kept);
        let (Some(mtime), Some(folder)) = (*kept, reach(place, path)?) else { return Ok(Reached::Gone) };
        if ino.is_some_and(|ino| sys::stat_known(folder.as_fd()).is_ok_and(|st| st.stx_ino != ino)) {
            return Ok(Reached::Gone);
        }
        match sys::set_mtime(folder.as_fd(), mtime) {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Ways;
    use super::*;

    fn place(root: &Path) -> Place {
        Place::new(beneath::open_root(root).expect("open"), Ways::Auto).expect("asked")
    }

    /// No outside test can place a rename between the change and its flush for certain.
    #[test]
    fn a_folder_that_was_moved_while_it_was_open_is_told_and_its_new_place_keeps_its_time() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["kept", "moved", "replaced"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let place = place(dir.path());
        let mut touched = Touched::new(&Arc::default());
        let paths: Vec<_> = ["kept", "moved", "replaced"].map(|name| RelPath::new(name).expect("fine")).into();
        for path in &paths {
            touched.note(path, &beneath::open_folder(place.root(), path).expect("open")).expect("noted");
        }
        std::fs::rename(dir.path().join("moved"), dir.path().join("elsewhere")).expect("moved");
        std::fs::rename(dir.path().join("replaced"), dir.path().join("aside")).expect("moved");
        std::fs::create_dir(dir.path().join("replaced")).expect("made");
        assert_eq!(touched.flush(&place).expect("flushed").moved, paths[1..].iter().cloned().collect());
    }
}
