//! The folders that one call changes: their times put back, flushed before anything is called done; and our own, made
//! where they are missing.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{RelPath, Wall};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};

use super::fault::is;
use super::identity::Place;

/// Permission bits of our own folders: versions in history must not be easier to read than where they lay.
const OUR_MODE: u32 = 0o700;
/// From this many folders on, a local file system is flushed as a whole.
const SYNC_ALL_FROM: usize = 16;

/// The folders that one call changes.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Each with the modification time that it gets back; none for our own.
    folders: BTreeMap<RelPath, Option<Wall>>,
    /// Something was changed that only a flush of the whole file system reaches.
    whole: bool,
}

impl Touched {
    /// To be called before the first change in `folder`.
    pub(super) fn note(&mut self, path: &RelPath, folder: &OwnedFd) -> io::Result<()> {
        if !self.folders.contains_key(path) {
            let mtime =
                if path.is_reserved() { None } else { Some(stat::meta(&beneath::stat_fd(folder.as_fd())?).mtime) };
            self.folders.insert(path.clone(), mtime);
        }
        Ok(())
    }

    /// A folder's own time was set: that is what it gets back from now on.
    pub(super) fn set_time(&mut self, path: &RelPath, mtime: Wall) {
        self.folders.insert(path.clone(), Some(mtime));
    }

    /// A folder was renamed: what was noted for it and below it goes with it.
    pub(super) fn moved(&mut self, from: &RelPath, to: &RelPath) {
        let folders = std::mem::take(&mut self.folders);
        self.folders =
            folders.into_iter().map(|(path, mtime)| (path.rebased(from, to).unwrap_or(path), mtime)).collect();
    }

    /// A folder is gone.
    pub(super) fn gone(&mut self, path: &RelPath) {
        self.folders.remove(path);
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
    pub(super) fn flush(&mut self, place: &Place) -> io::Result<()> {
        let together = !place.network && self.folders.len() >= SYNC_ALL_FROM && sys::sync_all_reports();
        for (path, mtime) in &self.folders {
            settle(place, path, *mtime, !together)?;
        }
        if together || self.whole {
            sys::sync_all(place.root())?;
        }
        Ok(())
    }

    /// Waits for our own folders alone: a version must be in history before what replaces it is visible.
    pub(super) fn flush_ours(&self, place: &Place) -> io::Result<()> {
        let ours = self.folders.keys().filter(|path| path.is_reserved());
        ours.into_iter().try_for_each(|path| settle(place, path, None, true))
    }
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

/// RACE: an outsider who changes the folder between our change and this gets its older time back with it. Only the
/// folder's own time is wrong then, and only until it changes again.
fn settle(place: &Place, path: &RelPath, mtime: Option<Wall>, flush: bool) -> io::Result<()> {
    let folder = match beneath::open_folder(place.root(), path) {
        Ok(folder) => folder,
        // Someone else took it away meanwhile, and with it what we did there: the next look tells.
        Err(err) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|code| is(&err, *code)) => return Ok(()),
        Err(err) => return Err(err),
    };
    if let Some(mtime) = mtime {
        match sys::set_mtime(folder.as_fd(), mtime) {
            // Not our folder: its time stays moved, which harms nothing.
            Err(err) if is(&err, Errno::PERM) || is(&err, Errno::ACCESS) => {}
            result => result?,
        }
    }
    if flush { sys::sync(folder.as_fd()) } else { Ok(()) }
}
