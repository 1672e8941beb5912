//! Opening things below a root: never outside it, never through a symbolic link, at any depth.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags};

use crate::model::RelPath;

/// Longest relative path given to the kernel at once (bytes): `PATH_MAX` is 4096 with the final NUL.
const STRETCH_MAX: usize = 4000;

/// How often an open is tried that the kernel asks to try again.
const TRIES_MAX: u32 = 64;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the root itself. Symbolic links in `path` are followed: it is what an administrator wrote.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
}

/// Opens `path` below `root` with `flags` (and `mode`, where it creates).
pub fn open(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    at_end(root, path, |folder, rest| open_short(folder, rest, flags, mode))
}

/// Opens a file for reading; never waits for a FIFO's writer, never follows a link.
pub fn open_file(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(open(root, path, flags, Mode::empty())?))
}

/// Opens a folder below `root`; the root itself for the empty path.
pub fn open_folder(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<OwnedFd> {
    if path.is_root() {
        return open_short(root, OsStr::new("."), FOLDER, Mode::empty());
    }
    open(root, path, FOLDER | OFlags::NOFOLLOW, Mode::empty())
}

/// Opens the folder that holds `path`.
pub fn open_parent(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<OwnedFd> {
    let parent = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    open_folder(root, &parent)
}

/// `lstat` of `path` below `root`.
///
/// RACE: a folder on the way that is swapped for a link between two calls is not followed: each stretch is opened
/// with `RESOLVE_NO_SYMLINKS`.
pub fn stat(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<Statx> {
    if path.is_root() {
        return stat_fd(root);
    }
    let parent = open_parent(root, path)?;
    stat_name(parent.as_fd(), OsStr::from_bytes(path.name()))
}

/// `lstat` of one name in a folder.
pub fn stat_name(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Statx> {
    Ok(rustix::fs::statx(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)?)
}

/// `fstat`.
pub fn stat_fd(fd: BorrowedFd<'_>) -> io::Result<Statx> {
    Ok(rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?)
}

/// Where a link points to.
pub fn read_link(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<Vec<u8>> {
    let parent = open_parent(root, path)?;
    Ok(rustix::fs::readlinkat(&parent, OsStr::from_bytes(path.name()), Vec::new())?.into_bytes())
}

fn open_short(folder: BorrowedFd<'_>, rest: &OsStr, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(folder, rest, flags, mode, resolve) {
            Err(rustix::io::Errno::INTR) => {}
            // The kernel could not prove that a concurrent rename did not lead outside: it asks for another try.
            // The same error says that somebody holds a lease on the file, which can take a minute: not for ever.
            Err(rustix::io::Errno::AGAIN) if tries < TRIES_MAX => tries += 1,
            result => return Ok(result?),
        }
    }
}

/// Walks down in stretches that the kernel takes, and calls `last` with the folder reached and the rest.
fn at_end<T>(
    root: BorrowedFd<'_>,
    path: &RelPath,
    last: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<T>,
) -> io::Result<T> {
    let mut rest = path.as_bytes();
    let mut reached: Option<OwnedFd> = None;
    while rest.len() > STRETCH_MAX {
        let cut = rest[..STRETCH_MAX].iter().rposition(|b| *b == b'/');
        let cut = cut.ok_or_else(|| io::Error::from(rustix::io::Errno::NAMETOOLONG))?;
        let folder = reached.as_ref().map_or(root, AsFd::as_fd);
        let next = open_short(folder, OsStr::from_bytes(&rest[..cut]), FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        reached = Some(next);
        rest = &rest[cut + 1..];
    }
    last(reached.as_ref().map_or(root, AsFd::as_fd), OsStr::from_bytes(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    #[test]
    fn a_link_is_never_followed_out_of_the_root() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("in")).expect("made");
        std::os::unix::fs::symlink("/etc", dir.path().join("in/out")).expect("linked");
        let root = open_root(dir.path()).expect("open");
        assert!(open_file(root.as_fd(), &path("in/out/hostname")).is_err());
        assert!(open_folder(root.as_fd(), &path("in/out")).is_err());
        assert_eq!(read_link(root.as_fd(), &path("in/out")).expect("a link"), b"/etc");
    }

    #[test]
    fn paths_longer_than_the_kernel_takes_at_once_are_reached() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = open_root(dir.path()).expect("open");
        let name = "d".repeat(200);
        let mut deep = RelPath::root();
        for _ in 0..30 {
            let parent = open_folder(root.as_fd(), &deep).expect("reached");
            rustix::fs::mkdirat(&parent, &*name, Mode::from_raw_mode(0o755)).expect("made");
            deep = deep.join(&name).expect("fine");
        }
        assert!(deep.as_bytes().len() > 6000);
        let file = deep.join("file").expect("fine");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        open(root.as_fd(), &file, flags, Mode::from_raw_mode(0o600)).expect("created");
        assert_eq!(stat(root.as_fd(), &file).expect("there").stx_size, 0);
        open_file(root.as_fd(), &file).expect("opened");
    }
}
