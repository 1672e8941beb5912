//! A disk that fails on demand: system calls of the program fail where they reach one folder, as they would on a bad disk or
//! behind a file server that restarted. `strace` makes them fail; the disk itself is fine.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::office::{PATIENCE, behind, wait};

/// Which calls fail: `statx:error=EIO:when=1+2`, in `strace`'s words.
fn options(folder: &Path, faults: &[&str]) -> Vec<String> {
    let folder = folder.to_str().expect("tests name their folders in UTF-8");
    let quiet = ["-f", "-qq", "-o", "/dev/null", "-P", folder].map(str::to_owned);
    quiet.into_iter().chain(faults.iter().map(|fault| format!("--inject={fault}"))).collect()
}

/// The same command, with calls that fail where they reach `folder` itself or a name in it.
pub(crate) fn with_faults(command: &Command, folder: &Path, faults: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(options(folder, faults)).arg("--");
    behind(strace, command)
}

/// Faults of a program that runs already. They end with this.
pub(crate) struct Faults {
    strace: Child,
}

impl Faults {
    /// `None`, said aloud, where the system does not let us at other programs.
    pub(crate) fn of(pid: u32, folder: &Path, faults: &[&str]) -> Option<Self> {
        let mut command = Command::new("strace");
        command.args(options(folder, faults)).args(["-p", &pid.to_string()]);
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace is installed");
        let mut all = Self { strace };
        let is_held = || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the program runs");
            threads.flatten().all(|thread| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        };
        let held = wait(PATIENCE, || is_held() || all.has_ended()) && !all.has_ended();
        if !held {
            skip();
        }
        held.then_some(all)
    }

    fn has_ended(&mut self) -> bool {
        self.strace.try_wait().expect("a child can be asked").is_some()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // It has ended by itself where the program has.
        let _ended = self.strace.kill();
        let _ended = self.strace.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn skip() {
    eprintln!("skipped: other programs may not be traced here");
}
