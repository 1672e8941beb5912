//! Reads back what one target holds, a few files at once, page by page through the index: memory does not grow with files.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::cli::verify::sample;
use crate::index::{Cursor, IndexError, Left, Reader};
use crate::model::{RelPath, Seen, Sight, Stamp, TargetId};
use crate::plan::Base;
use crate::target::{Bind, Depth, Fault, Remote, Target, TargetError};

/// Files read at once (count).
const READERS: usize = 4;
/// Files that wait to be read, and readings that wait to be told of (count each).
const WAITING_MAX: usize = 64;
/// Files read from the index at once (count).
const PAGE: usize = 500;
/// How often a file is tried that cannot be read, before it is said to be so (count).
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// The same for a target that asks to slow down.
const THROTTLED_TRIES: u32 = 30;
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a file is read again that was changed meanwhile (count).
const CHANGED_TRIES: u32 = 10;

/// What a reading of one file showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it was left.
    Equal,
    /// Other content.
    Differs(Remote),
    /// Nothing.
    Missing,
    /// It cannot be read: why, and what a look shows of it.
    Unreadable(String, Option<Remote>),
    /// It was being changed all the time, or is not to be there any more.
    Changing,
}

impl Reading {
    /// What lies there, as the index learns it.
    pub(super) fn found(&self) -> Sight<(Stamp, Seen)> {
        match self {
            Self::Equal | Self::Changing => Sight::Unseen,
            Self::Missing => Sight::Absent,
            Self::Differs(remote) | Self::Unreadable(_, Some(remote)) => {
                Sight::Present((remote.stamp.clone(), remote.seen))
            }
            Self::Unreadable(_, None) => Sight::Troubled,
        }
    }
}

/// What is read.
pub(super) struct Task<'a> {
    pub(super) id: TargetId,
    pub(super) share: &'a str,
    pub(super) target: &'a dyn Target,
    pub(super) reader: &'a Reader,
    /// The part of the files, and the day that picks it.
    pub(super) part: f64,
    pub(super) day: i64,
}

/// Why not all was read.
pub(super) enum Stopped {
    Index(IndexError),
    Target(TargetError),
    Told(crate::cli::Failure),
}

impl Task<'_> {
    /// Reads all that is picked, and tells of each file.
    pub(super) fn run(
        &self,
        tell: &mut dyn FnMut(&Left, &Reading) -> Result<(), crate::cli::Failure>,
    ) -> Result<(), Stopped> {
        let (to_read, jobs) = sync_channel::<Left>(WAITING_MAX);
        let (told, results) = sync_channel(WAITING_MAX);
        let (jobs, stop) = (Mutex::new(jobs), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                let told = told.clone();
                let (jobs, stop, target) = (&jobs, &stop, self.target);
                scope.spawn(move || read_all(jobs, stop, target, &told));
            }
            drop(told);
            let done = self.feed(to_read, &results, tell);
            stop.store(true, Ordering::Relaxed);
            // What is still told of is not heard: the readers must not wait for it.
            results.iter().for_each(drop);
            done
        })
    }

    fn feed(
        &self,
        to_read: SyncSender<Left>,
        results: &Receiver<(Left, Result<Reading, TargetError>)>,
        tell: &mut dyn FnMut(&Left, &Reading) -> Result<(), crate::cli::Failure>,
    ) -> Result<(), Stopped> {
        let mut after = Some(Cursor::default());
        let mut under_way = 0;
        while let Some(cursor) = after {
            let (page, next) = self.reader.left_page(self.id, &cursor, PAGE).map_err(Stopped::Index)?;
            after = next;
            for left in page {
                if !sample::takes(self.part, self.day, self.share, &left.path) {
                    continue;
                }
                while under_way >= WAITING_MAX {
                    self.hear(results, tell)?;
                    under_way -= 1;
                }
                under_way += 1;
                if to_read.send(left).is_err() {
                    break;
                }
            }
        }
        drop(to_read);
        (0..under_way).try_for_each(|_| self.hear(results, tell))
    }

    fn hear(
        &self,
        results: &Receiver<(Left, Result<Reading, TargetError>)>,
        tell: &mut dyn FnMut(&Left, &Reading) -> Result<(), crate::cli::Failure>,
    ) -> Result<(), Stopped> {
        let Ok((left, reading)) = results.recv() else { return Ok(()) };
        let (left, reading) = match reading.map_err(Stopped::Target)? {
            Reading::Equal => (left, Reading::Equal),
            other => self.once_more(left, other)?,
        };
        tell(&left, &reading).map_err(Stopped::Told)
    }

    /// What is not as it was left may have been changed by the agent while it was read.
    fn once_more(&self, mut left: Left, mut reading: Reading) -> Result<(Left, Reading), Stopped> {
        for _ in 0..CHANGED_TRIES {
            let Some((base, busy)) = self.reader.left_at(self.id, &left.path).map_err(Stopped::Index)? else {
                return Ok((left, Reading::Changing));
            };
            if !busy && base == left.base {
                return Ok((left, reading));
            }
            std::thread::sleep(PAUSE);
            reading = read(self.target, &left.path, &base).map_err(Stopped::Target)?;
            left.base = base;
            if reading == Reading::Equal {
                return Ok((left, reading));
            }
        }
        Ok((left, Reading::Changing))
    }
}

fn read_all(
    jobs: &Mutex<Receiver<Left>>,
    stop: &AtomicBool,
    target: &dyn Target,
    told: &SyncSender<(Left, Result<Reading, TargetError>)>,
) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(left) = job else { return };
        if stop.load(Ordering::Relaxed) {
            continue;
        }
        let reading = read(target, &left.path, &left.base);
        if told.send((left, reading)).is_err() {
            return;
        }
    }
}

/// Reads one file. An error says that the target as a whole does not answer.
fn read(target: &dyn Target, path: &RelPath, base: &Base) -> Result<Reading, TargetError> {
    let (mut tries, mut throttled) = (0, 0);
    loop {
        let error = match target.look(path, Depth::Bytes) {
            Ok(Some(remote)) if remote.seen.content() == Some(base.content) => return Ok(Reading::Equal),
            Ok(Some(remote)) => return Ok(Reading::Differs(remote)),
            Ok(None) => return Ok(Reading::Missing),
            Err(error) => error,
        };
        match error.fault {
            Fault::Offline => return Err(error),
            Fault::Throttled(wait) if throttled < THROTTLED_TRIES => {
                throttled += 1;
                std::thread::sleep(wait.unwrap_or(THROTTLED_PAUSE).min(THROTTLED_PAUSE_MAX));
            }
            Fault::Stale | Fault::Unreachable if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            Fault::Throttled(_) => return Err(error),
            Fault::Stale => return Ok(Reading::Changing),
            Fault::Unreachable
            | Fault::Unstaged
            | Fault::NoFolder
            | Fault::Unfit
            | Fault::Occupied
            | Fault::Denied
            | Fault::Closed
            | Fault::Full => {
                target.probe(Bind::Never)?;
                let seen = target.look(path, Depth::Stamp).ok().flatten();
                return Ok(Reading::Unreadable(error.cause, seen));
            }
        }
    }
}
