//! Making things that std has no single call for.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, mkdirat, openat, utimensat};

/// Sets the permission bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions can be set");
}

/// Sets the modification time of a file, folder or link (not of what a link points to).
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanos: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("times can be set");
}

/// Makes `depth` folders named `name`, one in the other, below `root`, however long the path: the innermost, open.
pub(crate) fn deep_folder(root: &Path, name: &[u8], depth: usize) -> OwnedFd {
    let mut folder: OwnedFd = File::open(root).expect("the root opens").into();
    let name = OsStr::from_bytes(name);
    for _ in 0..depth {
        mkdirat(&folder, name, Mode::from_raw_mode(0o755)).expect("one level deeper");
        folder = openat(&folder, name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("it opens");
    }
    folder
}

/// Chance that a test can repeat: xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed, the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// That many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.take(len.div_ceil(8)).flatten().take(len).collect()
    }
}
