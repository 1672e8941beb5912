//! System calls that rustix does not have: the one module with unsafe code. Each is wrapped so that nobody can use it wrongly.
//!
//! # Whether somebody has a file open for writing
//!
//! The kernel tells it in one way only: it grants a *read lease* if and only if nobody has the file open for writing
//! (or mapped so). We ask for the lease and give it back at once.
//!
//! While we hold it, for the microseconds between the two calls, somebody who opens the file for writing waits for us
//! (never longer: the lease goes back whatever happens, at the latest when the file is closed), and the kernel sends
//! us `SIGIO`, whose default action ends the process. So a program that calls [`has_writer`] calls
//! [`ignore_lease_breaks`] first, once. The signal is of no use to us: there is nothing to do that is not done anyway.
//!
//! Needed: the file is ours or we have `CAP_LEASE`; a file system that knows leases (most local ones; not NFS, not FUSE).
//!
//! # What a file server calls a file
//!
//! See [`file_handle`].

#![expect(unsafe_code, reason = "leases, signal dispositions and file handles are not in rustix")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether somebody else has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Somebody has.
    Some,
    /// Nobody has.
    None,
    /// It cannot be told of this file: it is not ours.
    NotKnown,
    /// It cannot be told of any file of its file system.
    NoLeases,
}

/// Whether somebody else has the file open for writing.
///
/// The descriptor is open for reading only, and a plain file's. See the module's text for what must be called first.
pub fn has_writer(file: BorrowedFd<'_>) -> Writer {
    let fd = file.as_raw_fd();
    // SAFETY: fcntl with F_SETLEASE takes an int and touches no memory; the descriptor is open while it is borrowed.
    let granted = unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == 0;
    if !granted {
        return match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN) => Writer::Some,
            Some(libc::EINVAL) => Writer::NoLeases,
            _ => Writer::NotKnown,
        };
    }
    // SAFETY: as above. It cannot fail: the lease was granted on this descriptor.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    Writer::None
}

/// Ignores `SIGIO` in this process from now on. Called once, when the program starts.
pub fn ignore_lease_breaks() {
    // SAFETY: SIG_IGN runs no code of ours; SIGIO is a valid signal, so that this cannot fail.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
}

/// The handle by which a file system finds what is open again, whoever asks: on NFS its server's own, which says more than an
/// inode number (most servers put a generation into it, so that no two files ever bear the same). `None` where there is none.
///
/// Nobody is asked over the network: the client has it in memory. See `name_to_handle_at(2)`.
pub fn file_handle(fd: BorrowedFd<'_>) -> Option<Vec<u8>> {
    /// `struct file_handle` with room for the longest.
    #[repr(C)]
    struct Handle {
        head: libc::file_handle,
        bytes: [u8; HANDLE_MAX],
    }
    let head = libc::file_handle { handle_bytes: HANDLE_MAX as u32, handle_type: 0, f_handle: [] };
    let mut handle = Handle { head, bytes: [0; HANDLE_MAX] };
    let mut mount = 0;
    // SAFETY: the path is an empty C string, which with AT_EMPTY_PATH names the descriptor, open while it is borrowed. The
    // kernel writes at most `handle_bytes` bytes behind the head, and that many are there; `mount` is an int of ours.
    let answer = unsafe {
        libc::name_to_handle_at(
            fd.as_raw_fd(),
            c"".as_ptr(),
            std::ptr::from_mut(&mut handle).cast(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    let len = usize::try_from(handle.head.handle_bytes).ok()?;
    (answer == 0).then(|| handle.bytes.get(..len).map(<[u8]>::to_vec)).flatten()
}

/// Bytes of the longest handle: `MAX_HANDLE_SZ` of `include/linux/exportfs.h`.
const HANDLE_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_writer_is_seen_for_as_long_as_it_has_the_file_open() {
        ignore_lease_breaks();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        std::fs::write(&path, b"x").expect("written");
        let file = File::open(&path).expect("open");
        if has_writer(file.as_fd()) == Writer::NoLeases {
            return eprint_skipped();
        }
        assert_eq!(has_writer(file.as_fd()), Writer::None);
        let writer = OpenOptions::new().append(true).open(&path).expect("open for writing");
        assert_eq!(has_writer(file.as_fd()), Writer::Some);
        drop(writer);
        assert_eq!(has_writer(file.as_fd()), Writer::None);
    }

    #[test]
    fn another_file_in_the_place_of_one_has_another_handle() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("folder");
        let handle = || {
            std::fs::create_dir(&path).expect("made");
            let open = File::open(&path).expect("open");
            let handle = file_handle(open.as_fd());
            assert_eq!(handle, file_handle(File::open(&path).expect("open").as_fd()));
            std::fs::remove_dir(&path).expect("removed");
            handle
        };
        match (handle(), handle()) {
            (None, None) => eprint_skipped(),
            (first, second) => assert_ne!(first, second),
        }
    }

    #[expect(clippy::print_stderr, reason = "a test that could not look says so")]
    fn eprint_skipped() {
        eprintln!("skipped: the file system for temporary files knows no such thing");
    }
}
