//! Many folders read at once: where each of them costs a few round trips, one thread is as slow as the line is long.
//!
//! It is a stack so that it stays small: what is begun last is ended first. Only what is waited for is here, not how a
//! folder is read.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use crate::model::RelPath;
use crate::target::{Page, TargetError};

/// Pages that were read and wait for whoever asked for them (count).
const PAGES_WAITING: usize = 4;

/// A folder to read.
pub(super) struct Folder {
    pub(super) path: RelPath,
    /// Read in part already: the rest is read from here.
    pub(super) open: Option<OwnedFd>,
}

impl Folder {
    pub(super) fn new(path: RelPath) -> Self {
        Self { path, open: None }
    }
}

/// Reads a folder, hands its pages on until that returns false, and returns what is to be read next, the last first.
pub(super) type Read<'a> =
    &'a (dyn Fn(Folder, &mut dyn FnMut(Page) -> bool) -> Result<Vec<Folder>, TargetError> + Sync);

/// Reads the root and all below it with so many threads, until `page` returns false. The pages of one folder come in
/// order, and a folder before what lies in it. The first folder that cannot be read ends it with its error: what was not
/// told until then is not known.
pub(super) fn walk(threads: usize, read: Read<'_>, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
    let stack = Stack::new();
    if threads < 2 || !stack.share_out(threads, read, page) {
        stack.work(read, page);
    }
    stack.failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The folders that are still to be read.
struct Stack {
    inner: Mutex<Jobs>,
    changed: Condvar,
    /// Nobody wants more, or something failed.
    closed: AtomicBool,
    /// The first failure.
    failed: Mutex<Option<TargetError>>,
}

struct Jobs {
    waiting: Vec<Folder>,
    /// Threads that are reading one: they may bring more.
    busy: usize,
}

impl Stack {
    fn new() -> Self {
        let jobs = Jobs { waiting: vec![Folder::new(RelPath::root())], busy: 0 };
        Self {
            inner: Mutex::new(jobs),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            failed: Mutex::default(),
        }
    }

    /// Several threads read, and this one hands on. False if there is none to be had.
    fn share_out(&self, threads: usize, read: Read<'_>, page: &mut dyn FnMut(Page) -> bool) -> bool {
        std::thread::scope(|scope| {
            let (out, pages) = mpsc::sync_channel(PAGES_WAITING);
            let begin = |number: usize| {
                let out = out.clone();
                let work = move || self.work(read, &mut |page| out.send(page).is_ok());
                std::thread::Builder::new().name(format!("list-{number}")).spawn_scoped(scope, work).is_ok()
            };
            // Fewer threads than wished for read the same.
            let begun = (1..=threads).take_while(|number| begin(*number)).count();
            drop(out);
            for each in pages {
                if !page(each) {
                    self.close();
                    break;
                }
            }
            begun > 0
        })
    }

    fn work(&self, read: Read<'_>, page: &mut dyn FnMut(Page) -> bool) {
        while let Some((folder, mut turn)) = self.take() {
            let read = read(folder, &mut |each| {
                let wanted = !self.is_closed() && page(each);
                if !wanted {
                    self.close();
                }
                wanted
            });
            match read {
                Ok(found) => turn.found = found,
                Err(error) => {
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    self.close();
                }
            }
            turn.finished = true;
        }
    }

    /// The next folder; `None` when all are read or no more is wanted.
    fn take(&self) -> Option<(Folder, Turn<'_>)> {
        let mut jobs = self.lock();
        loop {
            if self.is_closed() {
                return None;
            }
            if let Some(folder) = jobs.waiting.pop() {
                jobs.busy += 1;
                return Some((folder, Turn { stack: self, found: Vec::new(), finished: false }));
            }
            if jobs.busy == 0 {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
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
    found: Vec<Folder>,
    finished: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.stack.close();
        }
        let mut jobs = self.stack.lock();
        jobs.busy -= 1;
        jobs.waiting.append(&mut self.found);
        drop(jobs);
        self.stack.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::target::Fault;

    fn path(text: &str) -> RelPath {
        if text.is_empty() { RelPath::root() } else { RelPath::new(text).expect("a test's path is fine") }
    }

    fn page(folder: &RelPath) -> Page {
        Page { folder: Some(folder.clone()), last_of_folder: true, ..Page::default() }
    }

    /// Ten folders in the root and in each of these; the one named by `broken` cannot be read.
    fn read_all(threads: usize, broken: Option<&str>) -> (Result<(), TargetError>, Vec<RelPath>) {
        let read = |folder: Folder, out: &mut dyn FnMut(Page) -> bool| {
            if Some(folder.path.to_string().as_str()) == broken {
                let (fault, verb, cause, hint) = (Fault::Denied, "list", String::new(), String::new());
                return Err(TargetError { fault, verb, path: Some(folder.path), cause, hint });
            }
            let deep = folder.path.parts().count() == 2;
            let below = |number| Folder::new(folder.path.join(format!("{number}").as_bytes()).expect("fine"));
            let wanted = out(page(&folder.path)) && !deep;
            Ok(if wanted { (0..10).map(below).collect() } else { Vec::new() })
        };
        let mut told = Vec::new();
        let result = walk(threads, &read, &mut |page| {
            told.push(page.folder.expect("a folder's page"));
            true
        });
        (result, told)
    }

    #[test]
    fn every_folder_is_told_once_and_before_what_lies_in_it() {
        for threads in [1, 2, 16] {
            let (result, told) = read_all(threads, None);
            result.expect("all can be read");
            let at: BTreeMap<_, _> = told.iter().enumerate().map(|(at, path)| (path, at)).collect();
            assert_eq!((told.len(), at.len()), (111, 111), "{threads} threads");
            for (path, place) in &at {
                assert!(path.parent().is_none_or(|parent| at[&parent] < *place), "{path} before its folder");
            }
        }
    }

    /// Whoever takes what was not told for absent would remove all of it.
    #[test]
    fn a_folder_that_cannot_be_read_is_an_error_and_is_never_told() {
        for threads in [1, 2, 16] {
            for broken in ["3", "7/7", "0/0"] {
                let (result, told) = read_all(threads, Some(broken));
                let error = result.expect_err("one cannot be read");
                assert_eq!((error.fault, error.path), (Fault::Denied, Some(path(broken))), "{threads} threads");
                assert!(told.iter().all(|told| *told != path(broken) && !path(broken).is_above(told)), "{told:?}");
            }
        }
    }

    #[test]
    fn it_ends_when_no_more_is_wanted_though_there_is_more_than_waits() {
        for threads in [1, 16] {
            let asked = AtomicUsize::new(0);
            let endless = |folder: Folder, out: &mut dyn FnMut(Page) -> bool| {
                asked.fetch_add(1, Ordering::Relaxed);
                out(page(&folder.path));
                Ok((0..3).map(|_| Folder::new(folder.path.clone())).collect())
            };
            let mut told = 0;
            let result = walk(threads, &endless, &mut |_| {
                told += 1;
                told < 20
            });
            result.expect("no fault");
            assert_eq!(told, 20, "nothing is told to whom it says no more");
            assert!(asked.into_inner() <= 20 + threads + PAGES_WAITING, "it reads on and on");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_thread_that_dies_is_no_end_of_the_listing() {
        let dies = |_: Folder, _: &mut dyn FnMut(Page) -> bool| panic!("as it dies");
        let _never = walk(16, &dies, &mut |_| true);
    }
}
