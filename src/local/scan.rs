//! Reads the share folder by folder.
//!
//! Several threads take folders off one stack. It is a stack so that it stays small: what is begun last is ended
//! first. A folder with more subfolders than a page holds is left and taken up again when these are done. So memory
//! grows with the depth of the tree and with [`Scan::page_max`], never with the number of files.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::local::ignore::IgnoreIn;
use crate::local::root::open_bound;
use crate::local::trouble::trouble;
use crate::local::{Found, Ignore, PageEnd, RootId, ScanEnd, ScanPage};
use crate::model::{Kind, RelPath, Stat, Trouble};
use crate::sys::cause::{Cause, cause};
use crate::sys::folder::Names;
use crate::sys::{acl, beneath, folder, stat};

/// Entries on a page, as the agent uses it.
pub const PAGE_MAX: usize = 4096;

/// Down to this depth a folder stays open until its subfolders have been opened by it; below, they are opened from
/// the root. It bounds the descriptors in use to about this many for each thread.
const OPEN_DEPTH_MAX: usize = 32;

/// One reading of the share or of a part of it.
pub struct Scan {
    /// The share's folder.
    pub root: PathBuf,
    /// What it was bound to.
    pub id: RootId,
    /// Where to begin: the empty path for the whole share.
    pub under: RelPath,
    /// What to leave out.
    pub ignore: Arc<Ignore>,
    /// How many folders to read at once; at least one is.
    pub threads: usize,
    /// Entries on a page, at most; at least one is.
    pub page_max: usize,
    /// Ask a file server about each file. Else a file is as this machine remembers it: what is new, renamed or gone is
    /// seen all the same, because each folder is asked whether it changed, but not what others change inside a file.
    pub afresh: bool,
    /// Ask for the access control list of each file too, for whoever does not know them. Else only folders are asked for theirs:
    /// a file's is read with the file, and cannot change without the ctime.
    pub lists: bool,
}

impl Scan {
    /// Reads everything at and below `under` and hands it to `out`, from several threads at once, until `out` returns
    /// false or `stop` is set. The pages of one folder come in order, and a folder before what lies in it.
    ///
    /// Nothing in it is true unless the end is [`ScanEnd::Done`] or [`ScanEnd::Stopped`]: only the end tells that the
    /// root was the one it was bound to all the time. A folder that goes away while it is looked for has no page: the
    /// folder above it has changed. Only of `under` itself it is then told that it is gone.
    pub fn run(&self, stop: &AtomicBool, out: &(dyn Fn(ScanPage) -> bool + Sync)) -> ScanEnd {
        let begun = open_bound(&self.root, &self.id).and_then(|root| match beneath::stat_fd(root.as_fd()) {
            Ok(st) => Ok((root, stat::device(&st))),
            Err(error) => Err(format!("the share's folder {} cannot be looked at: {error}", self.root.display())),
        });
        let (root, device) = match begun {
            Ok(begun) => begun,
            Err(message) => return ScanEnd::Offline(message),
        };
        let lists = acl::are_known(root.as_fd());
        let walk = Walk { scan: self, root, device, lists, out, stop, stack: Stack::new(&self.under) };
        walk.run();
        match open_bound(&self.root, &self.id) {
            Err(message) => ScanEnd::Offline(message),
            Ok(_) if walk.stopped() => ScanEnd::Stopped,
            Ok(_) => ScanEnd::Done,
        }
    }
}

/// A folder to read.
struct Job {
    path: RelPath,
    way: Way,
    depth: usize,
    /// Its parent's page said that another file system lies there.
    mounted: bool,
}

enum Way {
    /// Opened from the root.
    Root,
    /// Opened by its name in the folder above.
    Parent(Arc<OwnedFd>),
    /// Open already and read in part.
    Open(Arc<OwnedFd>),
}

struct Walk<'a> {
    scan: &'a Scan,
    root: OwnedFd,
    device: u64,
    /// The share's file system knows access control lists.
    lists: bool,
    out: &'a (dyn Fn(ScanPage) -> bool + Sync),
    stop: &'a AtomicBool,
    stack: Stack,
}

impl Walk<'_> {
    fn run(&self) {
        std::thread::scope(|scope| {
            for number in 1..self.scan.threads.max(1) {
                let builder = std::thread::Builder::new().name(format!("scan-{number}"));
                // Fewer threads than wished for read the same: this one always does.
                if builder.spawn_scoped(scope, || self.work()).is_err() {
                    break;
                }
            }
            self.work();
        });
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.stack.closed.load(Ordering::Relaxed)
    }

    fn work(&self) {
        let mut names = Names::default();
        while let Some(mut turn) = self.stack.take(self.stop) {
            if let Some(job) = turn.job.take() {
                turn.found = self.visit(job, &mut names);
                turn.finished = true;
            }
        }
    }

    /// Reads one folder; returns what is to be read next, the last first.
    fn visit(&self, job: Job, names: &mut Names) -> Vec<Job> {
        let fd = match self.open(&job) {
            Ok(fd) => fd,
            Err(error) => {
                let is_gone = cause(&error) == Cause::Gone && !job.path.is_root();
                if !is_gone {
                    self.send(job.path, Vec::new(), PageEnd::Broken(trouble("open the folder", &error)));
                } else if job.path == self.scan.under {
                    self.send(job.path, Vec::new(), PageEnd::Gone);
                }
                return Vec::new();
            }
        };
        if job.mounted && !matches!(job.way, Way::Open(_)) && !self.is_mounted(fd.as_fd()) {
            let message = "cannot list the folder: what was mounted there went away during the scan".to_owned();
            let hint = "mount it again, or wait for the next scan".to_owned();
            self.send(job.path, Vec::new(), PageEnd::Broken(Trouble::new(message, hint)));
            return Vec::new();
        }
        Listing::new(self, &job, fd).read(job, names)
    }

    /// RACE: a folder that is moved after its parent was opened is read by its old path; at worst its files are
    /// reported where they were a moment ago, and the move itself is a change of both parents.
    fn open(&self, job: &Job) -> io::Result<Arc<OwnedFd>> {
        match &job.way {
            Way::Root => Ok(Arc::new(beneath::open_folder(self.root.as_fd(), &job.path)?)),
            Way::Parent(parent) => Ok(Arc::new(folder::open(parent.as_fd(), job.path.name())?)),
            Way::Open(fd) => Ok(Arc::clone(fd)),
        }
    }

    fn is_mounted(&self, fd: BorrowedFd<'_>) -> bool {
        beneath::stat_fd(fd).is_ok_and(|st| stat::device(&st) != self.device)
    }

    fn send(&self, folder: RelPath, mut entries: Vec<(Box<[u8]>, Found)>, end: PageEnd) {
        if self.stopped() {
            return;
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if !(self.out)(ScanPage { folder, entries, end }) {
            self.stack.close();
        }
    }
}

/// One folder while it is read.
struct Listing<'a> {
    walk: &'a Walk<'a>,
    path: RelPath,
    depth: usize,
    /// It lies on another file system than the share's root.
    mounted: bool,
    fd: Arc<OwnedFd>,
    ignore: IgnoreIn<'a>,
    page_max: usize,
    page: Vec<(Box<[u8]>, Found)>,
    folders: Vec<Job>,
    /// A page was sent: the folder's end must be told too.
    begun: bool,
}

impl<'a> Listing<'a> {
    fn new(walk: &'a Walk<'a>, job: &Job, fd: Arc<OwnedFd>) -> Self {
        Self {
            walk,
            path: job.path.clone(),
            depth: job.depth,
            mounted: job.mounted,
            fd,
            ignore: walk.scan.ignore.of_folder(&job.path),
            page_max: walk.scan.page_max.max(1),
            page: Vec::new(),
            folders: Vec::new(),
            begun: matches!(job.way, Way::Open(_)),
        }
    }

    fn read(mut self, job: Job, names: &mut Names) -> Vec<Job> {
        let fd = Arc::clone(&self.fd);
        loop {
            match names.next(fd.as_fd(), |name, hint| self.take(name, hint)) {
                Ok(true) if self.walk.stopped() => return Vec::new(),
                Ok(true) if self.folders.len() >= self.page_max => return self.leave(job),
                Ok(true) => {}
                Ok(false) => return self.end(PageEnd::Complete),
                Err(error) => return self.broken(&error),
            }
        }
    }

    /// One name of the folder.
    fn take(&mut self, name: &CStr, hint: Option<bool>) {
        let bytes = name.to_bytes();
        // What is ignored is not even looked at, if the folder tells its kind.
        if hint.is_some_and(|is_folder| self.ignore.ignores(bytes, is_folder)) {
            return;
        }
        let Some(found) = self.find(name) else { return };
        let is_folder = matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::Folder);
        if hint != Some(is_folder) && self.ignore.ignores(bytes, is_folder) {
            return;
        }
        if let Found::Plain(stat) = &found
            && is_folder
        {
            self.enter(bytes, stat);
        }
        self.page.push((bytes.into(), found));
        if self.page.len() >= self.page_max {
            let page = std::mem::take(&mut self.page);
            self.begun = true;
            self.walk.send(self.path.clone(), page, PageEnd::More);
        }
    }

    /// `None` if it went away.
    fn find(&self, name: &CStr) -> Option<Found> {
        let gone_or = |doing: &str, error: &io::Error| {
            (cause(error) != Cause::Gone).then(|| Found::Troubled(trouble(doing, error)))
        };
        let st = match folder::stat(self.fd.as_fd(), name, self.walk.scan.afresh) {
            Ok(st) => st,
            Err(error) => return gone_or("look at it", &error),
        };
        let stat = match stat::stat(&st, self.walk.device) {
            // What lies in a mount is on that file system too.
            Ok(stat) if stat.mounted && !self.mounted => self.with_mount(name, stat),
            Ok(stat) => stat,
            Err(special) => return Some(Found::Special(special)),
        };
        match stat.shape.kind {
            Kind::File if !self.walk.scan.lists => return Some(Found::Plain(stat)),
            Kind::File | Kind::Folder => return Some(Found::Plain(self.with_list(name, stat))),
            Kind::Symlink => {}
        }
        match folder::read_link(self.fd.as_fd(), name) {
            Ok(to) => Some(Found::Link(stat, to.into())),
            Err(error) => gone_or("read the link", &error),
        }
    }

    /// RACE: what is mounted there may be another one than a moment ago; then the next look finds it.
    fn with_mount(&self, name: &CStr, mut stat: Stat) -> Stat {
        if let Ok(folder) = folder::open(self.fd.as_fd(), name.to_bytes()) {
            stat::name_mount(&mut stat, folder.as_fd());
        }
        stat
    }

    /// Nobody reads a folder as a file is read, so that its list is asked for here. Where that fails, nothing is told of it.
    ///
    /// RACE: it is read after the times. A list that is set in between is told with the older times, and once more with the newer
    /// ones, because the next look finds them moved.
    fn with_list(&self, name: &CStr, mut stat: Stat) -> Stat {
        if self.walk.lists {
            stat.meta.acl = acl::read_at(self.fd.as_fd(), name.to_bytes()).unwrap_or(stat.meta.acl);
        }
        stat
    }

    fn enter(&mut self, name: &[u8], stat: &Stat) {
        let Ok(path) = self.path.join(name) else { return };
        let deep = self.depth >= OPEN_DEPTH_MAX;
        let way = if deep { Way::Root } else { Way::Parent(Arc::clone(&self.fd)) };
        self.folders.push(Job { path, way, depth: self.depth + 1, mounted: stat.mounted });
    }

    /// Leaves the folder open and its rest for later: what lies in it comes first.
    fn leave(mut self, job: Job) -> Vec<Job> {
        let rest = Job { way: Way::Open(Arc::clone(&self.fd)), ..job };
        if !self.page.is_empty() {
            self.walk.send(self.path, self.page, PageEnd::More);
        }
        self.folders.push(rest);
        self.folders.reverse();
        self.folders
    }

    fn broken(self, error: &io::Error) -> Vec<Job> {
        if cause(error) == Cause::Gone && !self.path.is_root() {
            if self.path == self.walk.scan.under {
                return self.end(PageEnd::Gone);
            } else if !self.begun {
                return Vec::new();
            }
        }
        self.end(PageEnd::Broken(trouble("list the folder", error)))
    }

    fn end(mut self, end: PageEnd) -> Vec<Job> {
        self.walk.send(self.path, self.page, end);
        self.folders.reverse();
        self.folders
    }
}

/// The folders that are still to be read, shared by the threads.
struct Stack {
    inner: Mutex<Jobs>,
    changed: Condvar,
    /// Told to stop, by `out` or by a thread that died.
    closed: AtomicBool,
}

struct Jobs {
    waiting: Vec<Job>,
    /// Threads that are reading one: they may bring more.
    busy: usize,
}

impl Stack {
    fn new(under: &RelPath) -> Self {
        let depth = under.parts().count();
        let first = Job { path: under.clone(), way: Way::Root, depth, mounted: false };
        let jobs = Jobs { waiting: vec![first], busy: 0 };
        Self { inner: Mutex::new(jobs), changed: Condvar::new(), closed: AtomicBool::new(false) }
    }

    /// The next folder; `None` when all are read or it is told to stop.
    fn take(&self, stop: &AtomicBool) -> Option<Turn<'_>> {
        let mut jobs = self.lock();
        loop {
            if stop.load(Ordering::Relaxed) || self.closed.load(Ordering::Relaxed) {
                self.changed.notify_all();
                return None;
            }
            if let Some(job) = jobs.waiting.pop() {
                jobs.busy += 1;
                return Some(Turn { stack: self, job: Some(job), found: Vec::new(), finished: false });
            }
            if jobs.busy == 0 {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's folder. Dropping it hands in what was found, also when the thread dies: then nobody waits for it.
struct Turn<'a> {
    stack: &'a Stack,
    job: Option<Job>,
    found: Vec<Job>,
    finished: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.stack.close();
        }
        let mut jobs = self.stack.lock();
        jobs.busy -= 1;
        let more = self.found.len();
        jobs.waiting.append(&mut self.found);
        let over = jobs.busy == 0 && jobs.waiting.is_empty();
        drop(jobs);
        if over || !self.finished || self.stack.closed.load(Ordering::Relaxed) || more > 2 {
            self.stack.changed.notify_all();
        } else if more == 2 {
            self.stack.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
