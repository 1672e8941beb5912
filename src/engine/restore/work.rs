//! Several threads bring what was put together, batch by batch: what is read becomes visible after one flush.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::{Recall, Then};
use crate::local::{Fresh, Landing, each_below};
use crate::model::{Acl, Kind, Meta, RelPath, Which};
use crate::target::Piece;

use super::{Counts, RestoreError, Restored, Wanted};

/// Threads that read from the target and write (count): over a line with a delay, many small files at once.
const THREADS: usize = 8;
/// Files that become visible after one flush (count): it waits for all that is being written to that disk, by whomever.
const BATCH: usize = 512;
/// Bytes after which a batch is not made larger.
const BATCH_BYTES: u64 = 64 << 20;
/// Rows looked through at once (count).
const PAGE: usize = 1000;
/// Failures that are named (count); all are counted.
const NAMED: usize = 100;

/// What all threads share.
pub(super) struct Work<'a> {
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) counts: &'a Counts,
    pub(super) landing: Landing,
    feed: Mutex<Feed>,
    stop: AtomicBool,
}

pub(super) struct Feed {
    pub(super) recall: Recall,
    after: Option<RelPath>,
    failures: Vec<(RelPath, String)>,
    fatal: Option<RestoreError>,
}

/// Why one thing could not be brought.
pub(super) enum Trouble {
    /// It alone.
    Path(String),
    /// Nothing more can be brought.
    Fatal(RestoreError),
}

impl From<RestoreError> for Trouble {
    fn from(error: RestoreError) -> Self {
        Self::Fatal(error)
    }
}

pub(super) type Brought<'a> = Option<(RelPath, RelPath, Fresh<'a>)>;

impl<'a> Work<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>, counts: &'a Counts, landing: Landing, recall: Recall) -> Self {
        let feed = Feed { recall, after: None, failures: Vec::new(), fatal: None };
        Self { wanted, counts, landing, feed: Mutex::new(feed), stop: AtomicBool::new(false) }
    }

    /// Brings all of it.
    pub(super) fn run(self) -> Result<Restored, RestoreError> {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| self.work());
            }
        });
        self.end()
    }
}

impl Work<'_> {
    pub(super) fn feed(&self) -> MutexGuard<'_, Feed> {
        // Each change is one assignment or push, so a panic elsewhere leaves it whole.
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let batch = self.next_batch();
            match batch {
                Ok(batch) if batch.is_empty() => return,
                Ok(batch) => self.bring_batch(&batch),
                Err(error) => self.fail(error),
            }
        }
    }

    fn next_batch(&self) -> Result<Vec<Then>, RestoreError> {
        let mut feed = self.feed();
        let mut batch = feed.recall.page(feed.after.as_ref(), BATCH)?;
        let mut bytes = 0;
        let fits = batch.iter().position(|then| {
            bytes += then.seen.shape.len;
            bytes > BATCH_BYTES
        });
        batch.truncate(fits.map_or(batch.len(), |last| last + 1));
        if let Some(last) = batch.last() {
            feed.after = Some(last.path.clone());
        }
        Ok(batch)
    }

    fn fail(&self, error: RestoreError) {
        self.stop.store(true, Ordering::Relaxed);
        let mut feed = self.feed();
        feed.fatal = feed.fatal.take().or(Some(error));
    }

    fn failed(&self, path: RelPath, why: String) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let mut feed = self.feed();
        if feed.failures.len() < NAMED {
            feed.failures.push((path, why));
        }
    }

    fn bring_batch(&self, batch: &[Then]) {
        let mut fresh = Vec::new();
        for then in batch {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            match self.bring(then) {
                Ok(brought) => fresh.extend(brought),
                Err(Trouble::Path(why)) => self.failed(then.path.clone(), why),
                Err(Trouble::Fatal(error)) => return self.fail(error),
            }
            if then.seen.shape.kind != Kind::Folder {
                self.counts.done.fetch_add(1, Ordering::Relaxed);
                self.counts.done_bytes.fetch_add(then.seen.shape.len, Ordering::Relaxed);
            }
        }
        let (names, files): (Vec<_>, Vec<_>) = fresh.into_iter().map(|(path, to, fresh)| ((path, to), fresh)).unzip();
        if let Err(error) = self.landing.flush(&files) {
            return self.fail(RestoreError::local("write what was read", &error));
        }
        for ((path, to), file) in names.into_iter().zip(files) {
            if let Err(error) = file.place(&to) {
                self.failed(path, format!("it cannot be put in its place: {error}"));
            }
        }
    }

    /// What a path is called where it is put.
    pub(super) fn called(&self, path: &RelPath) -> RelPath {
        path.rebased(self.wanted.under, self.wanted.called).expect("only what lies below is asked for")
    }

    /// Gives folders what they carried, sets aside what was not there, and sums up.
    fn end(mut self) -> Result<Restored, RestoreError> {
        let set_aside = if self.stop.load(Ordering::Relaxed) { Ok(()) } else { self.set_aside_the_rest() };
        if let Err(error) = set_aside.and_then(|()| self.carry_folders()) {
            self.fail(error);
        }
        self.landing.finish().map_err(|error| RestoreError::local("write everything out", &error))?;
        let feed = std::mem::replace(
            self.feed.get_mut().unwrap_or_else(PoisonError::into_inner),
            Feed { recall: Recall::new()?, after: None, failures: Vec::new(), fatal: None },
        );
        if let Some(error) = feed.fatal {
            return Err(error);
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counts, kept) = (self.counts, self.landing.kept());
        Ok(Restored {
            files: count(&counts.done).saturating_sub(count(&counts.failed)),
            bytes: count(&counts.done_bytes),
            same: count(&counts.same),
            folders: count(&counts.folders),
            unproved: count(&counts.unproved),
            kept,
            set_aside: count(&counts.set_aside),
            kept_in: (kept > 0).then(|| self.landing.kept_in()),
            owners_denied: self.landing.owners_denied(),
            lists_lost: self.landing.lists_lost(),
            failed: count(&counts.failed),
            failures: feed.failures,
        })
    }

    fn carry_folders(&self) -> Result<(), RestoreError> {
        let mut after = None;
        while !self.stop.load(Ordering::Relaxed) {
            let page = self.feed().recall.page(after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.path.clone());
            for then in page.iter().filter(|then| then.seen.shape.kind == Kind::Folder) {
                let Some(which) = &then.which else { continue };
                let mut meta = then.seen.meta;
                if meta.mode == Meta::NOT_KNOWN {
                    // What a listing does not tell; and where nothing tells it, the folder stays as it was made.
                    let _untold = self.wanted.target.read(&then.source, which, &mut |piece| {
                        if let Piece::Head(seen) = piece {
                            meta = seen.meta;
                        }
                        Ok(false)
                    });
                }
                let known = match which {
                    Which::Now(stamp) => (self.wanted.known)(&then.source, stamp),
                    Which::Kept(_) => None,
                };
                meta.acl = meta.acl.or(known.map_or(Acl::NotKnown, |known| known.acl));
                if let Err(error) = self.landing.carry(&self.called(&then.path), Kind::Folder, &meta) {
                    self.failed(then.path.clone(), format!("its mode and time cannot be set: {error}"));
                }
            }
        }
        Ok(())
    }

    fn set_aside_the_rest(&self) -> Result<(), RestoreError> {
        let Some(is_ours) = self.wanted.exact else { return Ok(()) };
        let failed = |error: io::Error| RestoreError::local("set aside what was not there then", &error);
        each_below(self.wanted.root, self.wanted.called, &mut |path, _| {
            let then = path.rebased(self.wanted.called, self.wanted.under);
            let was_there = then.is_none_or(|then| self.feed().recall.knows(&then).unwrap_or(true));
            if was_there || !is_ours(path) {
                return Ok(());
            }
            match self.landing.set_aside(path) {
                // With the folder that it lay in.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result.map(|()| _ = self.counts.set_aside.fetch_add(1, Ordering::Relaxed)),
            }
        })
        .map_err(failed)
    }
}
