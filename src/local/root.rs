//! The share's root: the one that it was bound to, or nothing is said.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::local::RootId;
use crate::model::EXHAUSTED;
use crate::sys::cause::{Cause, cause};
use crate::sys::{beneath, stat};

/// What marks the folder at `path`, to bind a share to it.
pub fn root_id(path: &Path) -> io::Result<RootId> {
    id_of(beneath::open_root(path)?.as_fd())
}

/// Opens the root afresh, by its path; the error is for people and says what lies there.
pub(super) fn open_bound(path: &Path, id: &RootId) -> Result<OwnedFd, String> {
    let gone = |error: io::Error| {
        let why = if cause(&error) == Cause::Exhausted { EXHAUSTED.to_owned() } else { error.to_string() };
        format!("the share's folder {} cannot be opened: {why}", path.display())
    };
    let root = beneath::open_root(path).map_err(gone)?;
    let found = id_of(root.as_fd()).map_err(gone)?;
    if found == *id {
        return Ok(root);
    }
    Err(format!(
        "{} is not the folder that this share is bound to: it has inode {} on file system {:x}, not {} on {:x} \
         (a disk that is not mounted, or another folder put in its place)",
        path.display(),
        found.ino,
        found.fsid,
        id.ino,
        id.fsid
    ))
}

fn id_of(root: BorrowedFd<'_>) -> io::Result<RootId> {
    Ok(RootId { fsid: stat::root_mark(root)?, ino: beneath::stat_fd(root)?.stx_ino })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_folder_in_its_place_is_not_the_share() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path().join("share");
        std::fs::create_dir(&share).expect("made");
        let id = root_id(&share).expect("there");
        assert!(open_bound(&share, &id).is_ok());
        std::fs::rename(&share, dir.path().join("away")).expect("moved");
        assert!(open_bound(&share, &id).expect_err("gone").contains("cannot be opened"));
        std::fs::create_dir(&share).expect("made");
        assert!(open_bound(&share, &id).expect_err("another").contains("not the folder"));
    }
}
