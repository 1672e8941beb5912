//! The agent in the background: killed with its guard, its log shown if the test fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::office::program::end_of;

/// Lines of a log that are worth showing.
const TAIL: usize = 200;

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts `command`, its output going to a file in `folder`.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        let log = (0..).map(|n| folder.join(format!("agent-{n}.log"))).find(|path| !path.exists());
        let log = log.expect("a number is free");
        let file = File::create(&log).expect("a log file");
        let second = file.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(second).stderr(file).spawn().expect("the agent starts");
        Self { child, log }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as systemd does, and waits. `None` if it did not within `limit`.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        kill_process(pid, Signal::TERM).expect("a signal can be sent");
        end_of(&mut self.child, limit)
    }

    /// Asks it to read its configuration again, as systemd does.
    pub(crate) fn hang_up(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        kill_process(pid, Signal::HUP).expect("a signal can be sent");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the agent can be killed");
        self.child.wait().expect("a killed agent ends");
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it runs still.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let lived = self.lives();
        if lived {
            self.kill();
        }
        if std::thread::panicking() {
            show(&self.log(), lived);
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test has failed, and this is why")]
fn show(log: &str, lived: bool) {
    let skipped = log.lines().count().saturating_sub(TAIL);
    eprintln!("-- the agent (alive to the end: {lived}; {skipped} lines before these):");
    log.lines().skip(skipped).for_each(|line| eprintln!("{line}"));
}
