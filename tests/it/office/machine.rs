//! What tests share: one machine, with limits that some of them lower.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// A right to use the machine: together with other tests, or alone.
///
/// Held through a lock file, so it works between processes (nextest) and between threads alike.
pub(crate) struct Machine {
    _lock: File,
}

impl Machine {
    /// Together with others.
    pub(crate) fn shared() -> Self {
        let lock = lock_file();
        lock.lock_shared().expect("the machine's lock");
        Self { _lock: lock }
    }

    /// Waits until no other test runs, and keeps them waiting.
    pub(crate) fn alone() -> Self {
        let lock = lock_file();
        lock.lock().expect("the machine's lock");
        Self { _lock: lock }
    }
}

fn lock_file() -> File {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("machine.lock");
    File::options().create(true).truncate(false).write(true).open(path).expect("a lock file")
}

/// A limit of the kernel's inotify that is lowered until this is dropped.
pub(crate) struct Limit {
    path: PathBuf,
    before: String,
}

impl Limit {
    /// Sets `/proc/sys/fs/inotify/<name>`. Fails where that is not permitted.
    pub(crate) fn lower(_alone: &Machine, name: &str, value: u64) -> io::Result<Self> {
        let path = PathBuf::from("/proc/sys/fs/inotify").join(name);
        let before = fs::read_to_string(&path)?;
        fs::write(&path, value.to_string())?;
        Ok(Self { path, before })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        fs::write(&self.path, &self.before).expect("what was lowered can be raised again");
    }
}

/// Whether the slow tests run too; if not, that `what` is left out is said aloud.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
pub(crate) fn is_slow_run(what: &str) -> bool {
    let slow = std::env::var_os("DRIFTLINE_SLOW").is_some_and(|value| value == "1");
    if !slow {
        eprintln!("skipped: DRIFTLINE_SLOW=1 runs {what}");
    }
    slow
}
