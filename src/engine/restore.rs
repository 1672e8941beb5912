//! Having things back: what lay on a target at some time is put together, read, proved by its hash, and put where it is
//! wanted. Works without an index and without the agent; what it leaves half done is finished by doing it again.
//!
//! Not here: which target, which time, and what is said of it (`cli`).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::index::{IndexError, Recall, Then};
use crate::local::{Fresh, Landing, each_below};
use crate::model::{Digest, Kind, Meta, RelPath, Seen, Stamp, Wall, Which};
use crate::target::{Depth, Fault, Piece, ReadError, Target, TargetError};

/// Threads that read from the target and write (count): over a line with a delay, many small files at once.
const THREADS: usize = 8;
/// Files that become visible after one flush (count).
const BATCH: usize = 64;
/// Bytes after which a batch is not made larger.
const BATCH_BYTES: u64 = 32 << 20;
/// Rows looked through at once (count).
const PAGE: usize = 1000;
/// Failures that are named (count); all are counted.
const NAMED: usize = 100;
/// How often a target that does not answer is asked again, each time twice as long after (count): a minute in all.
const TRIES: u32 = 6;
/// Before the first of these.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const NOT_AS_LEFT: &str = "what the target holds is not what was left there: its hash is another";

/// What is wanted back, and where it is to lie.
pub struct Wanted<'a> {
    /// Where it is kept.
    pub target: &'a dyn Target,
    /// What: a file, a folder, or the root for all of it.
    pub under: &'a RelPath,
    /// As it was then; `None` for as it is now.
    pub as_of: Option<Wall>,
    /// The folder to put it in.
    pub root: &'a Path,
    /// What it is called there.
    pub called: &'a RelPath,
    /// Names this run among those that kept something.
    pub run: &'a str,
    /// Also set aside what lies there and did not then, unless this says that it is none of ours.
    pub exact: Option<&'a (dyn Fn(&RelPath) -> bool + Sync)>,
    /// Nothing is written.
    pub dry_run: bool,
    /// What an index knows of what was left on the target.
    pub known: &'a (dyn Fn(&RelPath, &Stamp) -> Option<Digest> + Sync),
}

/// How far it has come. Read by whoever shows it.
#[derive(Debug, Default)]
pub struct Counts {
    /// Things that were told of while the past was put together.
    pub told: AtomicU64,
    /// Files and links to bring.
    pub files: AtomicU64,
    /// Their bytes, as far as known.
    pub bytes: AtomicU64,
    /// Files and links dealt with.
    pub done: AtomicU64,
    /// Bytes of those.
    pub done_bytes: AtomicU64,
    /// Files and links that were there already.
    pub same: AtomicU64,
    /// Files of which nothing says what they should hold.
    pub unproved: AtomicU64,
    failed: AtomicU64,
    folders: AtomicU64,
    set_aside: AtomicU64,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files and links that are now as they were.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were so already.
    pub same: u64,
    /// Folders.
    pub folders: u64,
    /// Files that could not be proved by a hash, as nothing says what it should be.
    pub unproved: u64,
    /// Things that gave way and are kept, those set aside among them.
    pub kept: u64,
    /// Things set aside because they were not there then.
    pub set_aside: u64,
    /// Where what gave way is kept, below the folder.
    pub kept_in: Option<RelPath>,
    /// Owners could not be set.
    pub owners_denied: bool,
    /// What could not be had back (count).
    pub failed: u64,
    /// Some of those, and why.
    pub failures: Vec<(RelPath, String)>,
}

/// Why it ended before its end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct RestoreError {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl RestoreError {
    fn new(message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self { message: message.to_string(), hint: hint.into() }
    }

    fn local(what: &str, error: &io::Error) -> Self {
        let hint = "check the disk, its free space and the permissions, and run it again: it goes on where it was";
        Self::new(format_args!("cannot {what}: {error}"), hint)
    }
}

impl From<TargetError> for RestoreError {
    fn from(error: TargetError) -> Self {
        let hint = error.hint.clone();
        Self::new(error, hint)
    }
}

impl From<IndexError> for RestoreError {
    fn from(error: IndexError) -> Self {
        Self::new(format_args!("cannot put the past together: {error}"), "check the free space for temporary files")
    }
}

/// Puts the past together, and brings it back.
pub fn restore(wanted: &Wanted<'_>, counts: &Counts) -> Result<Restored, RestoreError> {
    let recall = recall(wanted, counts)?;
    if wanted.dry_run {
        return Ok(Restored {
            files: counts.files.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            ..Restored::default()
        });
    }
    let landing = Landing::open(wanted.root, wanted.run)
        .map_err(|error| RestoreError::local(&format!("open {}", wanted.root.display()), &error))?;
    let feed = Feed { recall, after: None, failures: Vec::new(), fatal: None };
    let work = Work { wanted, counts, landing, feed: Mutex::new(feed), stop: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| work.work());
        }
    });
    work.end()
}

/// Asks the target what happened since, and what lies there now.
fn recall(wanted: &Wanted<'_>, counts: &Counts) -> Result<Recall, RestoreError> {
    let mut recall = Recall::new()?;
    let told = || _ = counts.told.fetch_add(1, Ordering::Relaxed);
    if let Some(after) = wanted.as_of {
        let ask = |recall: &mut Recall, under: &RelPath| -> Result<(), RestoreError> {
            let mut broken = None;
            wanted.target.past(under, after, &mut |past| {
                told();
                broken = recall.happened(&past).err();
                broken.is_none()
            })?;
            broken.map_or(Ok(()), |error| Err(error.into()))
        };
        ask(&mut recall, wanted.under)?;
        if recall.has_moves() && !wanted.under.is_root() {
            // What was called so then may lie anywhere.
            ask(&mut recall, &RelPath::root())?;
        }
    }
    let alone = match (wanted.under.is_root(), recall.has_moves()) {
        (true, _) | (_, true) => None,
        (false, false) => {
            let found = wanted.target.look(wanted.under, Depth::Stamp)?;
            let is_folder = found.as_ref().is_some_and(|found| found.seen.shape.kind == Kind::Folder);
            (!is_folder).then_some(found)
        }
    };
    match alone {
        Some(Some(found)) => recall.lies(wanted.under, &found.stamp, &found.seen)?,
        // Only what was in it, if it was a folder.
        Some(None) => {}
        None => {
            let everywhere = recall.has_moves() || wanted.under.is_root();
            let mut broken = None;
            wanted.target.list(&mut |page| {
                let asked = page
                    .entries
                    .iter()
                    .filter(|(path, _)| everywhere || path == wanted.under || wanted.under.is_above(path));
                for (path, remote) in asked {
                    told();
                    broken = broken.take().or(recall.lies(path, &remote.stamp, &remote.seen).err());
                }
                broken.is_none()
            })?;
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
    }
    let (files, bytes) = recall.put_together(wanted.under)?;
    counts.files.store(files, Ordering::Relaxed);
    counts.bytes.store(bytes, Ordering::Relaxed);
    Ok(recall)
}

/// What all threads share.
struct Work<'a> {
    wanted: &'a Wanted<'a>,
    counts: &'a Counts,
    landing: Landing,
    feed: Mutex<Feed>,
    stop: AtomicBool,
}

struct Feed {
    recall: Recall,
    after: Option<RelPath>,
    failures: Vec<(RelPath, String)>,
    fatal: Option<RestoreError>,
}

/// Why one thing could not be brought.
enum Trouble {
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

type Brought<'a> = Option<(RelPath, RelPath, Fresh<'a>)>;

impl Work<'_> {
    fn feed(&self) -> MutexGuard<'_, Feed> {
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
    fn called(&self, path: &RelPath) -> RelPath {
        path.rebased(self.wanted.under, self.wanted.called).expect("only what lies below is asked for")
    }

    /// Brings one thing as far as it can be without being seen; `None` if nothing is left to do.
    fn bring(&self, then: &Then) -> Result<Brought<'_>, Trouble> {
        let to = self.called(&then.path);
        if then.seen.shape.kind == Kind::Folder {
            self.counts.folders.fetch_add(1, Ordering::Relaxed);
            let made = self.landing.make_folder(&to);
            return made.map(|()| None).map_err(|error| on_disk("make the folder", &error));
        }
        let mut version = then.clone();
        loop {
            match self.bring_version(&version, &to)? {
                Some(fresh) => return Ok(fresh.map(|fresh| (then.path.clone(), to, fresh))),
                // A version that was never visible may lie in history, left by a change that was cut off: what is meant lies
                // behind it, and begins as that one's name says.
                None => match self.feed().recall.next_version(&version).map_err(RestoreError::from)? {
                    Some(next) if then.begins.is_some() => version = Then { begins: then.begins, ..next },
                    Some(_) => return Err(Trouble::Path(NOT_AS_LEFT.to_owned())),
                    None => return Err(Trouble::Path(NOT_AS_LEFT.to_owned())),
                },
            }
        }
    }

    /// `None` if this version is not what it should be; `Some(None)` if the same lies there already.
    fn bring_version(&self, then: &Then, to: &RelPath) -> Result<Option<Option<Fresh<'_>>>, Trouble> {
        let Some(which) = &then.which else { return Ok(None) };
        let local = self.landing.look(to).map_err(|error| on_disk("look at what lies there", &error))?;
        let known = match which {
            Which::Now(stamp) => (self.wanted.known)(&then.source, stamp),
            Which::Kept(_) => None,
        };
        let mut wait = FIRST_WAIT;
        let mut tries = TRIES;
        let (seen, expected, same, fresh, link) = loop {
            let mut fresh = self.landing.begin().map_err(|error| on_disk("begin a file", &error))?;
            let (mut head, mut same, mut link) = (None::<Seen>, false, Vec::new());
            let read = self.wanted.target.read(&then.source, which, &mut |piece| match piece {
                Piece::Head(seen) => {
                    head = Some(*seen);
                    let expected = seen.digest.or(known);
                    let is_meant = expected.is_none_or(|expected| is_meant(then, &expected));
                    same = is_meant && self.is_same(local.as_ref(), seen, expected, to)?;
                    Ok(!same)
                }
                Piece::Bytes(bytes) if head.is_some_and(|seen| seen.shape.kind == Kind::Symlink) => {
                    link.extend_from_slice(bytes);
                    Ok(true)
                }
                Piece::Bytes(bytes) => fresh.write(bytes).map(|()| true),
            });
            match read {
                Ok(()) => {
                    let seen = head.ok_or_else(|| Trouble::Path("the target tells nothing of it".to_owned()))?;
                    break (seen, seen.digest.or(known), same, fresh, link);
                }
                Err(ReadError::Taker(error)) => return Err(on_disk("write it", &error)),
                Err(ReadError::Target(error)) => match error.fault {
                    Fault::Unreachable | Fault::Throttled(_) if tries > 0 => {
                        std::thread::sleep(wait);
                        (wait, tries) = (wait * 2, tries - 1);
                    }
                    Fault::Unreachable | Fault::Throttled(_) | Fault::Offline => {
                        return Err(Trouble::Fatal(error.into()));
                    }
                    _ => return Err(Trouble::Path(error.to_string())),
                },
            }
        };
        if same {
            return self.carry(to, local.as_ref(), &seen).map(|()| Some(None));
        }
        self.seal(then, to, local.as_ref(), (&seen, expected), fresh, &link)
    }

    /// Proves what was read, and gives it what it carried.
    fn seal<'f>(
        &self,
        then: &Then,
        to: &RelPath,
        local: Option<&Seen>,
        (seen, expected): (&Seen, Option<Digest>),
        mut fresh: Fresh<'f>,
        link: &[u8],
    ) -> Result<Option<Option<Fresh<'f>>>, Trouble> {
        let end = |fresh: &mut Fresh<'_>| match seen.shape.kind {
            Kind::Symlink => fresh.link(link, &seen.meta),
            Kind::File | Kind::Folder => fresh.end_file(&seen.meta),
        };
        end(&mut fresh).map_err(|error| on_disk("write it", &error))?;
        let (digest, _) = fresh.written();
        if expected.is_some_and(|expected| expected != digest) || !is_meant(then, &digest) {
            return Ok(None);
        }
        if expected.is_none() && then.begins.is_none() {
            self.counts.unproved.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_same(local, seen, Some(digest), to).map_err(|error| on_disk("read what lies there", &error))? {
            return self.carry(to, local, seen).map(|()| Some(None));
        }
        Ok(Some(Some(fresh)))
    }

    fn is_same(&self, local: Option<&Seen>, seen: &Seen, expected: Option<Digest>, to: &RelPath) -> io::Result<bool> {
        let (Some(local), Some(expected)) = (local, expected) else { return Ok(false) };
        if local.shape != seen.shape {
            return Ok(false);
        }
        match self.landing.digest(to, local.shape.kind) {
            Ok(digest) => Ok(digest == expected),
            // It went, or cannot be read: then it gives way, and is kept.
            Err(_) => Ok(false),
        }
    }

    /// The content is there already: what it carries is set where it is another.
    fn carry(&self, to: &RelPath, local: Option<&Seen>, seen: &Seen) -> Result<(), Trouble> {
        self.counts.same.fetch_add(1, Ordering::Relaxed);
        let differs = local.is_some_and(|local| !agrees(&local.meta, &seen.meta));
        if !differs || seen.shape.kind == Kind::Symlink {
            return Ok(());
        }
        self.landing.carry(to, seen.shape.kind, &seen.meta).map_err(|error| on_disk("set its mode and time", &error))
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

/// Whether a digest begins as that of the wanted version does, as far as that is known.
fn is_meant(then: &Then, digest: &Digest) -> bool {
    then.begins.is_none_or(|begins| digest.0[..4] == begins)
}

fn agrees(local: &Meta, wanted: &Meta) -> bool {
    wanted.agrees_but_for_time(local) && (wanted.mtime == Wall(0) || wanted.mtime == local.mtime)
}

/// The disk that it is written to: when it is full nothing more can be brought.
fn on_disk(what: &str, error: &io::Error) -> Trouble {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    );
    if is_full { RestoreError::local(what, error).into() } else { Trouble::Path(format!("cannot {what}: {error}")) }
}
