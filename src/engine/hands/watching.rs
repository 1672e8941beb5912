//! The watch over one share while the agent runs: begun, replaced and listened to.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::local::{Batch, Ignore, Limits, Watch, WatchError};

/// The watch, once there is one, and the ear that waits for what it tells.
#[derive(Default)]
pub(in crate::engine) struct Watching {
    watch: Mutex<Option<Arc<Watch>>>,
    bell: Arc<Bell>,
}

/// Rung by a watch that has something to tell after it had nothing.
#[derive(Default)]
struct Bell {
    state: Mutex<Rung>,
    turned: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rung {
    #[default]
    No,
    Yes,
    /// Nobody listens any more.
    Closed,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, how: Rung) {
        let mut state = self.state();
        if *state != Rung::Closed {
            *state = how;
        }
        drop(state);
        self.turned.notify_one();
    }

    /// False once it is closed.
    fn wait(&self) -> bool {
        let mut state = self.state();
        while *state == Rung::No {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let open = *state == Rung::Yes;
        if open {
            *state = Rung::No;
        }
        open
    }
}

impl Watching {
    /// The watch as it is now.
    pub(in crate::engine) fn watch(&self) -> Option<Arc<Watch>> {
        self.lock().clone()
    }

    /// Returns when all that lies below `root` is watched with these patterns, as far as it can be: what a scan that begins
    /// after it does not see is told of. Begins a watch if there is none that goes by them.
    pub(super) fn keep(&self, root: &Path, ignore: &Arc<Ignore>) -> Result<(), WatchError> {
        match self.watch() {
            Some(watch) if watch.goes_by(ignore) => watch.barrier(),
            Some(_) | None => self.begin(root, ignore)?,
        }
        Ok(())
    }

    fn begin(&self, root: &Path, ignore: &Arc<Ignore>) -> Result<(), WatchError> {
        // The old one gives back what it has of the kernel before the new one asks for it.
        self.end();
        let bell = Arc::clone(&self.bell);
        let watch = Watch::start(root, Arc::clone(ignore), Limits::default(), Box::new(move || bell.ring(Rung::Yes)))?;
        *self.lock() = Some(Arc::new(watch));
        // What it saw while it began it has rung for when there was no watch to take it from, and it rings once.
        self.bell.ring(Rung::Yes);
        Ok(())
    }

    /// Waits until the watch has something to tell. `None` once this is closed.
    pub(super) fn listen(&self) -> Option<Batch> {
        while self.bell.wait() {
            let Some(watch) = self.watch() else { continue };
            let batch = watch.take();
            if batch.renew || batch.root_gone {
                self.end();
            }
            return Some(batch);
        }
        None
    }

    /// Stops watching: who keeps it next begins it anew.
    fn end(&self) {
        *self.lock() = None;
    }

    /// Stops watching and listening, for good.
    pub(in crate::engine) fn close(&self) {
        self.end();
        self.bell.ring(Rung::Closed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Watch>>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn patterns(texts: &[&str]) -> Arc<Ignore> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Arc::new(Ignore::new(&texts).expect("patterns"))
    }

    /// Hears of `name`, whatever else is told.
    fn hears_of(heard: &Receiver<Batch>, name: &str) -> bool {
        let is_it = |batch: Batch| batch.touched.iter().any(|path| path.to_string() == name);
        std::iter::from_fn(|| heard.recv_timeout(PATIENCE).ok()).any(is_it)
    }

    fn with_ear(test: impl FnOnce(&Path, &Watching, &Receiver<Batch>)) {
        let dir = tempfile::tempdir().expect("a folder");
        let watching = Watching::default();
        let (out, heard) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(batch) = watching.listen() {
                    let _ended = out.send(batch);
                }
            });
            // Also if the test fails: else nobody tells why.
            let _closes = Closes(&watching);
            test(dir.path(), &watching, &heard);
        });
    }

    struct Closes<'a>(&'a Watching);

    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    #[test]
    fn a_watch_that_sees_something_while_it_begins_is_heard_for_ever() {
        with_ear(|root, watching, heard| {
            (0..40).for_each(|at| fs::create_dir(root.join(format!("folder {at}"))).expect("made"));
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        fs::write(root.join("folder 0/always"), "saved again").expect("written");
                    }
                });
                for _ in 0..40 {
                    watching.keep(root, &patterns(&[])).expect("watched");
                }
                done.store(true, Ordering::Relaxed);
            });
            fs::write(root.join("folder 1/last"), "saved").expect("written");
            assert!(hears_of(heard, "folder 1/last"), "the watch is there and nobody hears it");
        });
    }

    #[test]
    fn a_watch_that_goes_by_other_patterns_is_replaced() {
        with_ear(|root, watching, heard| {
            let (old, new) = (patterns(&["*.bak"]), patterns(&[]));
            watching.keep(root, &old).expect("watched");
            watching.keep(root, &new).expect("watched");
            fs::write(root.join("plan.bak"), "saved").expect("written");
            assert!(hears_of(heard, "plan.bak"), "it is left out as before");
            let same = watching.watch().expect("a watch");
            watching.keep(root, &new).expect("watched");
            assert!(Arc::ptr_eq(&same, &watching.watch().expect("a watch")), "nothing has changed");
        });
    }
}
