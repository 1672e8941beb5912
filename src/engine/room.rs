//! Room on the disk of the state folder: what the agent leaves to others there, and without which it would fail in mid-turn.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::sys::publish::room;

/// With less free than this the agent rests (bytes): as much as the index's log may take before it is written back.
const FLOOR: u64 = 64 << 20;
/// On a small disk with less than this part of it.
const PART: u64 = 20;

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes free.
    pub free: u64,
    /// Bytes that have to be.
    pub floor: u64,
}

impl Room {
    /// On the disk that a folder lies on.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let (free, all) = room(File::open(folder)?.as_fd())?;
        Ok(Self::new(free, all))
    }

    fn new(free: u64, all: u64) -> Self {
        Self { free, floor: FLOOR.min(all / PART) }
    }

    /// Whether the agent may work.
    pub fn is_enough(self) -> bool {
        self.free >= self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_needs_less_room() {
        assert_eq!(Room::new(0, 100 << 20), Room { free: 0, floor: 5 << 20 });
        assert_eq!(Room::new(0, 1 << 40), Room { free: 0, floor: 64 << 20 });
        assert!(Room::new(64 << 20, 1 << 40).is_enough() && !Room::new((64 << 20) - 1, 1 << 40).is_enough());
    }
}
