//! The single steps of which a durable publication is made, each on names in open folders.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    Access, Advice, AtFlags, Gid, Mode, OFlags, RawDir, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid,
};

use crate::model::Wall;

pub use rustix::fs::Statx;
pub use rustix::io::Errno;

/// Room for names read from a folder at once (bytes).
const NAMES_ROOM: usize = 64 * 1024;
/// The same where few are wanted (bytes).
const FEW_NAMES_ROOM: usize = 4 * 1024;

/// NFS, by `statfs` magic.
const NFS_MAGIC: u64 = 0x6969;
/// Other file systems behind a network or a daemon: SMB (three), FUSE, Ceph, AFS, 9p, Lustre.
const NETWORK_MAGIC: [u64; 8] =
    [0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x6573_5546, 0x00C3_6400, 0x5346_414F, 0x0102_1997, 0x0BD0_0BD0];

/// One name in an open folder.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// The name in it: one part.
    pub name: &'a OsStr,
}

impl<'a> Spot<'a> {
    /// `name` in `folder`.
    pub fn new(folder: &'a impl AsFd, name: &'a [u8]) -> Self {
        Self { folder: folder.as_fd(), name: OsStr::from_bytes(name) }
    }
}

/// The system's own error number, where the error has one.
pub fn errno(err: &io::Error) -> Option<Errno> {
    Errno::from_io_error(err)
}

/// `fstat` as the kernel has it: a network file system is not asked afresh.
pub fn stat_known(fd: BorrowedFd<'_>) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(fd, "", flags, rustix::fs::StatxFlags::BASIC_STATS)?)
}

/// `lstat` as the kernel has it: a network file system is not asked afresh.
pub fn lstat_known(at: Spot<'_>) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(at.folder, at.name, flags, rustix::fs::StatxFlags::BASIC_STATS)?)
}

/// `lstat`.
pub fn lstat(at: Spot<'_>) -> io::Result<Statx> {
    super::beneath::stat_name(at.folder, at.name)
}

/// Has a file server asked whether a folder changed, so that the names in it are not the ones that this machine remembers.
pub fn ask_afresh(folder: BorrowedFd<'_>) -> io::Result<()> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    Ok(rustix::fs::statx(folder, "", flags, rustix::fs::StatxFlags::BASIC_STATS).map(drop)?)
}

/// Has a file server tell of many things in a folder at once, so that a look at each of them afterwards asks it nothing: an NFS
/// client that reads names from the beginning has their attributes sent with them. Reads about `names_max` of them, or all.
pub fn ask_of_all(folder: &OwnedFd, names_max: usize) {
    let mut room = [MaybeUninit::uninit(); FEW_NAMES_ROOM];
    let mut names = RawDir::new(folder, &mut room);
    for _ in 0..names_max {
        // Where it fails, each look asks for itself.
        if !matches!(names.next(), Some(Ok(_))) {
            break;
        }
    }
}

/// Renames over whatever is at `to`.
pub fn rename(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::renameat(from.folder, from.name, to.folder, to.name)?)
}

/// Renames to where nothing is (`EEXIST` otherwise), in one step. `EINVAL` where the file system cannot.
pub fn rename_new(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from.folder, from.name, to.folder, to.name, RenameFlags::NOREPLACE)?)
}

/// Exchanges two names in one step. `EINVAL` where the file system cannot.
pub fn exchange(one: Spot<'_>, other: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(one.folder, one.name, other.folder, other.name, RenameFlags::EXCHANGE)?)
}

/// A second name for a file or for a symbolic link (not for what it points to); `EEXIST` if the name is taken.
pub fn link(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::linkat(from.folder, from.name, to.folder, to.name, AtFlags::empty())?)
}

/// Makes a symbolic link to `target`.
pub fn symlink(target: &[u8], at: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(OsStr::from_bytes(target), at.folder, at.name)?)
}

/// Where a symbolic link points to.
pub fn read_link(at: Spot<'_>) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(at.folder, at.name, Vec::new())?.into_bytes())
}

/// Makes a folder that only its owner may enter.
pub fn make_folder(at: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(at.folder, at.name, Mode::RWXU)?)
}

/// Removes a name of a file or link.
pub fn unlink(at: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(at.folder, at.name, AtFlags::empty())?)
}

/// Removes an empty folder.
pub fn rmdir(at: Spot<'_>) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(at.folder, at.name, AtFlags::REMOVEDIR)?)
}

/// Makes a file that was not there and that only its owner may read.
pub fn create(at: Spot<'_>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(File::from(rustix::fs::openat(at.folder, at.name, flags, mode)?))
}

/// Like [`create`], for a name that nobody else gives, with these permission bits as far as the umask lets them: without
/// `O_EXCL`, for which an NFS client sends one request more. `EEXIST` if something was there all the same. And what it
/// is, as the answer to the creation said.
pub fn create_unique(at: Spot<'_>, mode: u32) -> io::Result<(File, Statx)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(at.folder, at.name, flags, Mode::from_raw_mode(mode & 0o777))?);
    let st = stat_known(file.as_fd())?;
    if st.stx_size == 0 && st.stx_nlink == 1 { Ok((file, st)) } else { Err(Errno::EXIST.into()) }
}

/// Opens a file to write at its end, and makes it, for its owner alone, where it is not there.
pub fn append(at: Spot<'_>) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(at.folder, at.name, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Opens a file to lock it, and makes it, with these permission bits whatever the umask, where it is not there.
pub fn open_or_make(at: Spot<'_>, mode: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(at.folder, at.name, flags, Mode::from_raw_mode(mode))?);
    let st = stat_known(file.as_fd())?;
    if u32::from(st.stx_mode) & 0o777 != mode && st.stx_uid == rustix::process::geteuid().as_raw() {
        set_mode(file.as_fd(), mode)?;
    }
    Ok(file)
}

/// Waits until nobody else has the lock of this file, and has it until the file is closed.
pub fn lock(file: &File) -> io::Result<()> {
    loop {
        match rustix::fs::flock(file, rustix::fs::FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Opens a folder by its name; never follows a link.
pub fn open_folder(at: Spot<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at.folder, at.name, flags, Mode::empty())?)
}

/// Opens a file for reading; never waits for a FIFO's writer, never follows a link.
pub fn open_file(at: Spot<'_>) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(at.folder, at.name, flags, Mode::empty())?))
}

/// Asks that what this machine remembers of a file's bytes is read again from where they lie. Where the file system does
/// not care, what is remembered is read.
pub fn forget_cached(fd: BorrowedFd<'_>) {
    let _not_heard = rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::DontNeed);
}

/// Takes hold of whatever is there, a link itself among it, without the right to read it.
pub fn open_handle(at: Spot<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at.folder, at.name, flags, Mode::empty())?)
}

/// Sets permission bits of a file or folder, by any handle but that of a link.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    match rustix::fs::fchmod(fd, mode) {
        // A handle without the right to read: the kernel takes its name under /proc instead.
        Err(Errno::BADF) => Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)?),
        result => Ok(result?),
    }
}

/// Sets the modification time, by any handle. The access time stays.
pub fn set_mtime(fd: BorrowedFd<'_>, mtime: Wall) -> io::Result<()> {
    match rustix::fs::futimens(fd, &times(mtime)) {
        // A handle without the right to read, as of a link: Linux 5.8 or newer.
        Err(Errno::BADF) => Ok(rustix::fs::utimensat(fd, "", &times(mtime), AtFlags::EMPTY_PATH)?),
        result => Ok(result?),
    }
}

/// Sets the modification time of a link or anything else by its name; never follows a link.
pub fn set_mtime_at(at: Spot<'_>, mtime: Wall) -> io::Result<()> {
    Ok(rustix::fs::utimensat(at.folder, at.name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets owner and group, by any handle.
pub fn set_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::chownat(fd, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?)
}

fn times(mtime: Wall) -> Timestamps {
    let (tv_sec, nanos) = mtime.parts();
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec, tv_nsec: nanos.into() },
    }
}

/// Waits until a file, or a folder's names, are on the medium.
pub fn sync(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(fd)?)
}

/// Waits until all that was written to the file system is on the medium.
///
/// Tells of failures since `fd` was opened, if the kernel is one that does: see [`sync_all_reports`].
pub fn sync_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fd)?)
}

/// Whether this kernel's `syncfs` reports failed writes: Linux 5.8 or newer.
pub fn sync_all_reports() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 8)
}

/// Lets the kernel begin to write a file that will be flushed later, and drop it from memory. Only a hint.
pub fn begin_write_back(file: &File) {
    // Its failure changes nothing: the flush that follows waits for the same bytes.
    let _hint = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Bytes free for those who are not root.
pub fn free(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let st = rustix::fs::fstatvfs(fd)?;
    Ok(st.f_bavail.saturating_mul(st.f_frsize))
}

/// Bytes free for those who are not root, and all that there are, of the file system that a file lies on.
pub fn room(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let st = rustix::fs::fstatvfs(fd)?;
    Ok((st.f_bavail.saturating_mul(st.f_frsize), st.f_blocks.saturating_mul(st.f_frsize)))
}

/// Whether names may be made in a folder, as far as permissions and the mount say; nothing is tried.
pub fn may_write(folder: BorrowedFd<'_>) -> io::Result<()> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::accessat(folder, ".", wanted, AtFlags::EACCESS)?)
}

/// Where a file system lies, as far as that decides how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// On this machine.
    Local,
    /// Behind a network or a daemon, so that `syncfs` cannot be relied on.
    Network,
    /// The same, and NFS: each name that is made or removed costs a round trip, during which its folder is locked.
    Nfs,
}

/// Where the file system lies.
pub fn medium(fd: BorrowedFd<'_>) -> io::Result<Medium> {
    Ok(match rustix::fs::fstatfs(fd)?.f_type as u64 & 0xFFFF_FFFF {
        NFS_MAGIC => Medium::Nfs,
        magic if NETWORK_MAGIC.contains(&magic) => Medium::Network,
        _ => Medium::Local,
    })
}

/// Calls `each` with every name in the folder but `.` and `..`, until it returns false.
pub fn each_name(folder: &OwnedFd, mut each: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
    let mut room = vec![MaybeUninit::uninit(); NAMES_ROOM];
    let mut names = RawDir::new(folder, &mut room);
    while let Some(entry) = names.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !each(name)? {
            break;
        }
    }
    Ok(())
}
