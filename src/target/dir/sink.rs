//! What is written into staging: where, how much may be, and when it is flushed.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Sink;
use crate::sys::publish::{self as sys, Errno};

/// The same error once more: `io::Error` cannot be cloned.
pub(super) fn io_again(err: &io::Error) -> io::Error {
    err.raw_os_error().map_or_else(|| io::Error::new(err.kind(), err.to_string()), io::Error::from_raw_os_error)
}

/// Of a target's disk one byte in so many stays free, ...
const SPARE_PART: u64 = 100;
/// ... but no more than this (bytes): whoever else lives on that disk goes on, the machine itself where it is the root's.
const SPARE_MAX: u64 = 1 << 30;
/// It is asked how much is free after so many bytes at the latest, ...
const ROOM_ASKED: u64 = 16 << 20;
/// ... and after this part of what may be written: as many calls write at once at most, each of which may have asked.
const ROOM_PART: u64 = 16;

/// How many more bytes may be written before it has to be asked how much is free.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicU64);

impl Room {
    fn take(&self, file: &File, len: u64) -> io::Result<()> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(len));
        if taken.is_ok() {
            return Ok(());
        }
        let (free, all) = sys::room(file.as_fd())?;
        let room = free.checked_sub((all / SPARE_PART).min(SPARE_MAX)).and_then(|room| room.checked_sub(len));
        match room {
            // A file system that tells no size.
            _ if all == 0 => {}
            Some(room) => self.0.store((room / ROOM_PART).min(ROOM_ASKED), Ordering::Relaxed),
            None => return Err(Errno::NOSPC.into()),
        }
        Ok(())
    }
}

/// Of a large file on a network mount so many bytes are flushed at once (bytes): at 20 Mbit/s they take three seconds. What a
/// client takes into its memory says nothing of the line: a flush that is all of the file would look like a mount that hangs.
pub(super) const FLUSHED_EACH: u64 = 8 << 20;

/// Writes at its own offset and skips holes, so that what takes no space at the source takes none here.
pub(super) struct StagingSink<'a> {
    pub(super) file: File,
    room: &'a Room,
    pub(super) end: u64,
    /// Where the last byte that was written ends.
    pub(super) written: u64,
    /// It is flushed each time that so many bytes have come (bytes).
    each: u64,
    /// Bytes that came since.
    unflushed: u64,
    /// The target's own error, which the reader only knows as "the sink failed".
    pub(super) failed: Option<io::Error>,
}

impl<'a> StagingSink<'a> {
    /// For an empty file, which is flushed each time that so many bytes have come.
    pub(super) fn new(file: File, room: &'a Room, each: u64) -> Self {
        Self { file, room, end: 0, written: 0, each, unflushed: 0, failed: None }
    }

    fn flush(&mut self, more: u64) -> io::Result<()> {
        self.unflushed += more;
        if self.unflushed < self.each {
            return Ok(());
        }
        self.unflushed = 0;
        self.file.sync_data()
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|err| self.failed = Some(io_again(err)))
    }
}

impl Sink for StagingSink<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let room = self.room.take(&self.file, len);
        let written = room.and_then(|()| self.file.write_all_at(bytes, self.end));
        self.end += len;
        self.written = self.end;
        let done = written.and_then(|()| self.flush(len));
        self.note(done)
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.end = self.end.saturating_add(len);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        (self.end, self.written, self.unflushed) = (0, 0, 0);
        let emptied = self.file.set_len(0);
        self.note(emptied)
    }
}
