//! Running programs to their end, with a limit, and keeping what they said.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::office::wait;

/// No command that ends by itself takes longer, on any machine.
const LIMIT: Duration = Duration::from_secs(200);

/// How a program ended and what it said.
pub(crate) struct Said {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// From start to end.
    pub(crate) took: Duration,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {:?} after {:?}\n-- out:\n{}\n-- err:\n{}", self.code, self.took, self.out, self.err)
    }
}

/// The program under test, alone with `home`: nothing of the machine's configuration reaches it.
pub(crate) fn driftline(home: &Path) -> Command {
    let program = std::env::var_os("DRIFTLINE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_driftline").into());
    let mut command = Command::new(program);
    let log = std::env::var("DRIFTLINE_TEST_LOG").unwrap_or_else(|_| "info,driftline=debug".to_owned());
    command.env("RUST_LOG", log).env("NO_COLOR", "1").env("TZ", "UTC");
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
    crate::buckets::Bucket::admit(&mut command);
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command
}

/// A program whose last words are another command, which it then becomes or runs; with that one's environment.
pub(crate) fn behind(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Runs `command` to its end.
pub(crate) fn hear(command: &mut Command) -> Said {
    let [mut out, mut err] = [(); 2].map(|()| tempfile::tempfile().expect("a file for output"));
    let [to_out, to_err] = [&out, &err].map(|file| file.try_clone().expect("a second handle"));
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(to_out).stderr(to_err).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let end = end_of(&mut child, LIMIT);
    let said = Said {
        code: end.and_then(|status| status.code()),
        out: text(&mut out),
        err: text(&mut err),
        took: begun.elapsed(),
    };
    assert!(end.is_some(), "{command:?} does not end: {said}");
    said
}

/// Runs another program that has to be installed and to end well.
pub(crate) fn must(command: &mut Command) -> Said {
    let said = hear(command);
    assert_eq!(said.code, Some(0), "{command:?}: {said}");
    said
}

/// Waits for `child`; after `limit` it is killed and the answer is `None`.
pub(crate) fn end_of(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut end = None;
    wait(limit, || {
        end = child.try_wait().expect("a child can be asked");
        end.is_some()
    });
    if end.is_none() {
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child ends");
    }
    end
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a file can be rewound");
    file.read_to_end(&mut bytes).expect("output can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
