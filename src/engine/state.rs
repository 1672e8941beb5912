//! What lies in the state folder beside the index: who works there, when he last said so, and what he says of the places.
//!
//! The agent writes it, people's commands read it. The clock is an argument.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::Wall;
use crate::plan::Halt;

/// The index's file in the state folder.
pub const INDEX: &str = "index.db";
/// The file that an agent keeps locked while it works with the state folder. It holds his process id.
pub const LOCK: &str = "lock";
/// The file whose time of change says when the agent last was well.
pub const HEARTBEAT: &str = "heartbeat";
/// How often the agent touches its heartbeat.
pub const BEAT: Duration = Duration::from_secs(1);
/// An agent that has not touched its heartbeat for longer than this hangs.
pub const HUNG_AFTER: Duration = Duration::from_secs(20);

/// Tries to get the lock (count), with [`LOCK_PAUSE`] between: a reader holds it for an instant. One second in all.
const LOCK_TRIES: u32 = 21;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Most that is read of a lock or a heartbeat (bytes).
const FILE_MAX: u64 = 4096;

/// The right to work with a state folder; given back when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A process; its id unless it was read in the instant before it was written.
    Process(Option<u32>),
}

impl Lock {
    /// Takes the lock of a state folder that exists; the error of kind `WouldBlock` says that another process has it.
    pub fn take(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(LOCK);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Who has the lock of a state folder. Leaves nothing behind.
    pub fn holder(state_dir: &Path) -> io::Result<Holder> {
        let Some(mut file) = found(File::open(state_dir.join(LOCK)))? else { return Ok(Holder::Nobody) };
        match file.try_lock_shared() {
            Ok(()) => Ok(Holder::Nobody),
            Err(TryLockError::WouldBlock) => Ok(Holder::Process(text(&mut file)?.trim().parse().ok())),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// What the agent says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// What it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// The agent's heartbeat.
#[derive(Debug)]
pub struct Heartbeat {
    file: File,
}

impl Heartbeat {
    /// Writes who works here, whole or not at all, and beats for the first time.
    pub fn start(state_dir: &Path, beat: &Beat, now: Wall) -> io::Result<Self> {
        let draft = state_dir.join(format!("{HEARTBEAT}.new"));
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(beat)?)?;
        file.set_modified(system_time(now))?;
        fs::rename(&draft, state_dir.join(HEARTBEAT))?;
        Ok(Self { file })
    }

    /// The agent is well. Also said as the last thing before a clean stop.
    pub fn touch(&self, now: Wall) -> io::Result<()> {
        self.file.set_modified(system_time(now))
    }

    /// Who worked here last, and when it was last well; `None` if nobody ever did, or nobody's words are readable.
    pub fn read(state_dir: &Path) -> io::Result<Option<(Beat, Wall)>> {
        let Some(mut file) = found(File::open(state_dir.join(HEARTBEAT)))? else { return Ok(None) };
        let at = wall(file.metadata()?.modified()?);
        let beat: Option<Beat> = serde_json::from_str(&text(&mut file)?).ok();
        Ok(beat.map(|beat| (beat, at)))
    }
}

/// Whether an agent works with the state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It works, and says so.
    Running,
    /// It has the lock and has not said anything yet: what the index says of places is an earlier run's.
    Starting,
    /// It has the lock, and has not said anything for longer than [`HUNG_AFTER`].
    Hung,
    /// Nobody has the lock.
    Stopped,
}

/// Lock and heartbeat, read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Whether an agent works.
    pub liveness: Liveness,
    /// Who has the lock.
    pub pid: Option<u32>,
    /// What the last agent that said anything said of itself, and when it was last well.
    pub beat: Option<(Beat, Wall)>,
}

impl Pulse {
    /// Feels the pulse of whoever works with the state folder. Never waits, leaves nothing behind.
    pub fn feel(state_dir: &Path, now: Wall) -> io::Result<Self> {
        let holder = Lock::holder(state_dir)?;
        let beat = Heartbeat::read(state_dir)?;
        let pid = match holder {
            Holder::Nobody => None,
            Holder::Process(pid) => pid,
        };
        Ok(Self { liveness: liveness(holder, beat.as_ref(), now), pid, beat })
    }
}

fn liveness(holder: Holder, beat: Option<&(Beat, Wall)>, now: Wall) -> Liveness {
    match (holder, beat) {
        (Holder::Nobody, _) => Liveness::Stopped,
        (Holder::Process(Some(pid)), Some((beat, at))) if beat.pid == pid => {
            // A time to come is as stale as one long past: the clock was set back since.
            let silent = now.since(*at).max(at.since(now));
            if silent > HUNG_AFTER { Liveness::Hung } else { Liveness::Running }
        }
        (Holder::Process(_), Some(_) | None) => Liveness::Starting,
    }
}

/// What the agent says of a share: the `state` of its row, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShareState {
    /// What goes on.
    pub state: ShareCondition,
    /// Why it is offline.
    pub why: Option<String>,
    /// A full scan has ended in this run.
    pub scanned: bool,
    /// Until when changes were known in an earlier run, in which it was followed to the end (nanoseconds since 1970).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed: Option<i64>,
    /// How changes are noticed.
    pub watch: WatchState,
}

/// What goes on with a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareCondition {
    /// It is there.
    #[default]
    Ok,
    /// It is there and a full scan is under way.
    Scanning,
    /// It is not there, or not the folder that it was bound to.
    Offline,
}

/// How changes of a share are noticed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchState {
    /// By which means.
    pub mode: WatchWay,
    /// The part of its folders that is watched, 0.0 to 1.0.
    pub coverage: f64,
    /// Why it is not all of them.
    pub note: Option<String>,
    /// Where it is polled: a change is found after this time, at the latest (seconds).
    pub late_s: Option<u64>,
}

/// By which means changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchWay {
    /// The kernel tells.
    Inotify,
    /// By scans alone.
    #[default]
    Poll,
}

/// What the agent says of a target: the `state` of its row, as JSON. Halts and pauses have columns of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetState {
    /// Whether it works.
    pub state: TargetCondition,
    /// What is the matter with it as a whole.
    pub error: Option<ErrorState>,
    /// Since when it is in this state (nanoseconds since 1970).
    pub since: Option<i64>,
    /// It keeps no access control lists.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_lists: bool,
    /// Bytes a second that are sent there, of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// It tells what others change there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsState>,
}

/// Whether what a target tells is heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsState {
    /// Why it is not.
    pub error: Option<ErrorState>,
}

/// Whether a target works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetCondition {
    /// It does.
    #[default]
    Ok,
    /// It is given a rest after a fault.
    Resting,
    /// A call has not come back.
    Unresponsive,
    /// It cannot be reached, or is not the one that it was bound to.
    Unreachable,
}

/// What is the matter with a target as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorState {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Since when (nanoseconds since 1970).
    pub since: i64,
}

impl ShareState {
    /// As it stands in the index. What no agent has written yet, or another version wrote otherwise, says nothing.
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As it goes into the index.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain values and text are always JSON")
    }
}

impl ShareState {
    /// What is true of it when another run begins: nothing of now, and what the run before knew until its last heartbeat.
    pub fn begun(before: &str, beat: Option<Wall>) -> Self {
        let before = Self::parse(before);
        let followed = if before.follows() { beat.map(|beat| beat.0) } else { before.followed };
        Self { followed, ..Self::default() }
    }

    /// All changes were known as they were made: the share was scanned, and is there and watched as a whole.
    pub fn follows(&self) -> bool {
        let watched = self.watch.mode == WatchWay::Inotify && self.watch.coverage >= 1.0;
        self.scanned && watched && self.state != ShareCondition::Offline
    }
}

impl TargetState {
    /// See [`ShareState::parse`].
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As it goes into the index.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain values and text are always JSON")
    }
}

/// Why a target waits for a person: the `halt` of its row.
pub fn halt_of(json: &str) -> Halt {
    // An older program wrote its sentence alone.
    serde_json::from_str(json).unwrap_or_else(|_| Halt { message: json.to_owned(), ..Halt::default() })
}

/// See [`halt_of`].
pub fn halt_to_json(halt: &Halt) -> String {
    serde_json::to_string(halt).expect("plain values and text are always JSON")
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn system_time(wall: Wall) -> SystemTime {
    let nanos = Duration::from_nanos(wall.0.unsigned_abs());
    if wall.0 >= 0 { SystemTime::UNIX_EPOCH + nanos } else { SystemTime::UNIX_EPOCH - nanos }
}

fn wall(time: SystemTime) -> Wall {
    let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    Wall(match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_795_442_601_000_000_000);

    fn beat(pid: u32) -> Beat {
        Beat { name: "office-01".into(), version: "0.1.0".into(), pid }
    }

    fn later(seconds: i64) -> Wall {
        Wall(NOW.0 + seconds * 1_000_000_000)
    }

    #[test]
    fn one_at_a_time_has_the_lock_and_readers_leave_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Lock::holder(dir.path()).expect("asked"), Holder::Nobody);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
        let lock = Lock::take(dir.path()).expect("free");
        assert_eq!(Lock::holder(dir.path()).expect("asked"), Holder::Process(Some(std::process::id())));
        assert_eq!(Lock::take(dir.path()).expect_err("taken").kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert_eq!(Lock::holder(dir.path()).expect("asked"), Holder::Nobody);
        Lock::take(dir.path()).expect("free again");
    }

    #[test]
    fn a_reader_does_not_keep_the_agent_out() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Lock::take(dir.path()).expect("free"));
        let reader = File::open(dir.path().join(LOCK)).expect("there");
        reader.lock_shared().expect("shared");
        let release = std::thread::spawn(move || {
            std::thread::sleep(LOCK_PAUSE);
            drop(reader);
        });
        Lock::take(dir.path()).expect("after an instant");
        release.join().expect("it ran");
    }

    #[test]
    fn a_heartbeat_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Heartbeat::read(dir.path()).expect("asked"), None);
        let heart = Heartbeat::start(dir.path(), &beat(7), NOW).expect("started");
        assert_eq!(Heartbeat::read(dir.path()).expect("asked"), Some((beat(7), NOW)));
        heart.touch(later(3)).expect("touched");
        assert_eq!(Heartbeat::read(dir.path()).expect("asked"), Some((beat(7), later(3))));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "no draft is left");
    }

    #[test]
    fn who_is_silent_with_the_lock_hangs_and_who_has_not_spoken_yet_starts() {
        let mine = Holder::Process(Some(7));
        let table = [
            (Holder::Nobody, Some((7, 0)), Liveness::Stopped),
            (Holder::Nobody, None, Liveness::Stopped),
            (mine, None, Liveness::Starting),
            (mine, Some((6, -1000)), Liveness::Starting),
            (Holder::Process(None), Some((7, 0)), Liveness::Starting),
            (mine, Some((7, 0)), Liveness::Running),
            (mine, Some((7, -20)), Liveness::Running),
            (mine, Some((7, -21)), Liveness::Hung),
            (mine, Some((7, 21)), Liveness::Hung),
        ];
        for (holder, said, wanted) in table {
            let said = said.map(|(pid, at)| (beat(pid), later(at)));
            assert_eq!(liveness(holder, said.as_ref(), NOW), wanted, "{holder:?} {said:?}");
        }
    }

    fn whole() -> WatchState {
        WatchState { mode: WatchWay::Inotify, coverage: 1.0, note: None, late_s: None }
    }

    #[test]
    fn the_states_are_the_json_that_was_agreed() {
        let json = r#"{"state":"offline","why":"gone","scanned":true,"watch":{"mode":"poll","coverage":0.5,"note":null,"late_s":180}}"#;
        let share = ShareState::parse(json);
        assert_eq!(share.to_json(), json);
        let json = r#"{"state":"unreachable","error":{"message":"m","hint":"h","since":5},"since":null}"#;
        assert_eq!(TargetState::parse(json).to_json(), json);
        assert_eq!(ShareState::parse(""), ShareState::default());
        assert_eq!(TargetState::parse("?"), TargetState::default());
        assert!(!ShareState::default().scanned);
        let (share, beat) = (ShareState { state: ShareCondition::Ok, watch: whole(), ..share }, Some(Wall(9)));
        let begun = ShareState::begun(&share.to_json(), beat);
        assert_eq!(begun, ShareState { followed: Some(9), ..ShareState::default() });
        let again = ShareState::begun(&begun.to_json(), Some(Wall(11)));
        assert_eq!(again.followed, Some(9), "a run that never looked knows nothing more");
    }
}
