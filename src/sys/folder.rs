//! Reading a folder that is open: many names for one system call, and each name by the folder's own descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags};
use rustix::io::Errno;

/// Bytes of names that one system call brings.
const BUFFER: usize = 64 * 1024;

/// A buffer for names, used for one folder after another.
pub struct Names {
    buffer: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        Self { buffer: Vec::with_capacity(BUFFER) }
    }
}

impl Names {
    /// Brings the next names of `folder` (without `.` and `..`), as many as one call gives, with what the folder
    /// says of each: whether it is a folder, if it says. False at the end.
    ///
    /// The place in the folder is kept in the descriptor: between two calls other folders may be read.
    pub fn next(&mut self, folder: BorrowedFd<'_>, mut each: impl FnMut(&CStr, Option<bool>)) -> io::Result<bool> {
        let mut raw = RawDir::new(folder, self.buffer.spare_capacity_mut());
        loop {
            match raw.next() {
                None => return Ok(false),
                Some(Err(Errno::INTR)) => continue,
                Some(Err(errno)) => return Err(errno.into()),
                Some(Ok(entry)) if is_dots(entry.file_name()) => {}
                Some(Ok(entry)) => each(entry.file_name(), is_folder(entry.file_type())),
            }
            if raw.is_buffer_empty() {
                return Ok(true);
            }
        }
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn is_folder(kind: FileType) -> Option<bool> {
    match kind {
        FileType::Unknown => None,
        FileType::Directory => Some(true),
        FileType::RegularFile
        | FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice => Some(false),
    }
}

/// `lstat` of one name: as the kernel has it, or, with `afresh`, as a network file system has it now.
pub fn stat(folder: BorrowedFd<'_>, name: &CStr, afresh: bool) -> io::Result<Statx> {
    let sync = if afresh { AtFlags::STATX_FORCE_SYNC } else { AtFlags::STATX_DONT_SYNC };
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | sync;
    Ok(rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS)?)
}

/// Opens a folder by its name in the one above; never follows a link.
pub fn open(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

/// Where a link points to.
pub fn read_link(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn every_name_comes_once_over_several_calls() {
        let dir = tempfile::tempdir().expect("a folder");
        let long = "n".repeat(250);
        for i in 0..500 {
            std::fs::write(dir.path().join(format!("{i:03}{}", &long[3..])), b"").expect("written");
        }
        std::fs::create_dir(dir.path().join("folder")).expect("made");
        let fd = crate::sys::beneath::open_root(dir.path()).expect("open");
        let mut names = Names::default();
        let (mut seen, mut folders, mut calls) = (BTreeSet::new(), Vec::new(), 0);
        let mut take = |name: &CStr, folder: Option<bool>| {
            assert!(seen.insert(name.to_bytes().to_vec()), "twice: {name:?}");
            if folder == Some(true) {
                folders.push(name.to_bytes().to_vec());
            }
        };
        while names.next(fd.as_fd(), &mut take).expect("read") {
            calls += 1;
        }
        assert!(calls > 1, "all in {calls} call");
        assert_eq!(seen.len(), 501);
        assert_eq!(folders, [b"folder".to_vec()]);
    }
}
