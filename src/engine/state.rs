//! What the agent leaves in its state folder for those who ask about it: names of files, the lock, the heartbeat, and
//! what it says of each share and target.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::Wall;

/// The index.
pub const INDEX: &str = "index.db";
/// Held by the agent that uses the folder.
const LOCK: &str = "lock";
/// Its age is the agent's.
const HEARTBEAT: &str = "heartbeat";
/// A heartbeat older than this, with the lock held, is that of a hung agent.
pub const HUNG: Duration = Duration::from_secs(20);
/// How long to try for the lock: whoever asks about the agent holds it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// What the agent says of a share: `share.state` in the index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShareState {
    /// `ok`, `scanning` or `offline`.
    pub state: StateWord,
    /// Why it is offline.
    pub why: Option<String>,
    /// A full scan has ended in this run.
    pub scanned: bool,
    /// How changes are noticed.
    pub watch: WatchState,
}

/// How changes of a share are noticed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchState {
    /// By which means.
    pub mode: WatchMode,
    /// The part of its folders that is watched, 0.0 to 1.0.
    pub coverage: f64,
    /// What an administrator should know of it.
    pub note: Option<String>,
}

/// By which means changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// The kernel tells.
    Inotify,
    /// Scans find them.
    #[default]
    Poll,
}

/// What the agent says of a target: `target.state` in the index. Halts and pauses have columns of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetState {
    /// `ok`, `resting`, `unresponsive` or `unreachable`.
    pub state: StateWord,
    /// What is the matter.
    pub error: Option<TargetError>,
}

/// What is the matter with a target as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetError {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Since when, in nanoseconds since 1970.
    #[serde(with = "nanos")]
    pub since: Wall,
}

mod nanos {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::model::Wall;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(wall: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(wall.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wall, D::Error> {
        i64::deserialize(deserializer).map(Wall)
    }
}

/// How a share or a target is doing, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// It works, or has nothing to do.
    #[default]
    Ok,
    /// A full scan is under way.
    Scanning,
    /// The share is not there.
    Offline,
    /// The target rests after a fault.
    Resting,
    /// A call to the target has not come back.
    Unresponsive,
    /// The target cannot be reached, or is not the one it was bound to.
    Unreachable,
}

/// One agent for each state folder: held until the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Somebody else uses the state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whoever it is, if it said so.
    pub pid: Option<u32>,
}

impl Lock {
    /// Takes the lock for this process; `Ok(Err)` if another has it.
    pub fn take(dir: &Path) -> io::Result<Result<Self, Held>> {
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(dir.join(LOCK))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if waited >= LOCK_PATIENCE => {
                    return Ok(Err(Held { pid: pid_in(&mut file) }));
                }
                Err(TryLockError::WouldBlock) => {
                    let pause = Duration::from_millis(20);
                    std::thread::sleep(pause);
                    waited += pause;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Ok(Self { _file: file }))
    }

    /// Who holds the lock now, if anybody does.
    pub fn holder(dir: &Path) -> io::Result<Option<Held>> {
        let mut file = match File::open(dir.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(Held { pid: pid_in(&mut file) })),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Who the agent is, as its heartbeat says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCard {
    /// What it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// A file whose time says that the agent lives.
#[derive(Debug)]
pub struct Heartbeat {
    file: File,
}

impl Heartbeat {
    /// Begins a run.
    pub fn begin(dir: &Path, name: &str) -> io::Result<Self> {
        let card =
            AgentCard { name: name.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() };
        let mut file = File::create(dir.join(HEARTBEAT))?;
        file.write_all(serde_json::to_string(&card)?.as_bytes())?;
        Ok(Self { file })
    }

    /// The agent lives.
    pub fn beat(&self, now: Wall) -> io::Result<()> {
        let nanos = u64::try_from(now.0).unwrap_or(0);
        self.file.set_modified(UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// Who beat last, and when; `None` if nobody ever did.
    pub fn last(dir: &Path) -> io::Result<Option<(AgentCard, Wall)>> {
        let path: PathBuf = dir.join(HEARTBEAT);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let modified = std::fs::metadata(&path)?.modified()?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Wall(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        Ok(Some((serde_json::from_str(&text).unwrap_or_default(), wall)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_for_each_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Lock::holder(dir.path()).expect("asked"), None);
        let lock = Lock::take(dir.path()).expect("a lock").expect("free");
        let me = Held { pid: Some(std::process::id()) };
        assert_eq!(Lock::holder(dir.path()).expect("asked"), Some(me));
        assert_eq!(Lock::take(dir.path()).expect("asked").expect_err("held"), me);
        drop(lock);
        assert_eq!(Lock::holder(dir.path()).expect("asked"), None);
    }

    #[test]
    fn a_heartbeat_is_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Heartbeat::last(dir.path()).expect("asked"), None);
        let heart = Heartbeat::begin(dir.path(), "office-01").expect("begun");
        heart.beat(Wall(1_700_000_000_123_000_000)).expect("beaten");
        let (card, at) = Heartbeat::last(dir.path()).expect("asked").expect("there");
        assert_eq!((card.name.as_str(), card.pid, at.0), ("office-01", std::process::id(), 1_700_000_000_123_000_000));
    }
}
