//! The state folder: made, checked, locked, and its index opened; a damaged index is set aside, never thrown away.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::engine::StartError;
use crate::engine::state::{Holder, INDEX, Lock};
use crate::engine::{Mode, clock};
use crate::index::{Index, IndexError};
use crate::sys::fskind;

/// An opened state folder.
#[derive(Debug)]
pub struct StateFolder {
    index: Index,
    keeper: Keeper,
}

/// Keeps the state folder for this process; dropped last.
#[derive(Debug)]
pub struct Keeper {
    /// A dry run holds none.
    _lock: Option<Lock>,
    /// A copy that goes with the process.
    scratch: Option<PathBuf>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(scratch) = &self.scratch {
            // A copy that stays behind in the temporary folder is in nobody's way.
            let _left = std::fs::remove_dir_all(scratch);
        }
    }
}

impl StateFolder {
    /// Opens it for this mode.
    pub fn open(dir: &Path, mode: Mode) -> Result<Self, StartError> {
        match mode {
            Mode::Run | Mode::Sync => Self::open_for_work(dir),
            Mode::Plan => Self::open_copy(dir),
        }
    }

    /// The index, or a copy of it for a dry run; and what keeps the folder meanwhile.
    pub fn split(self) -> (Index, Keeper) {
        (self.index, self.keeper)
    }

    fn open_for_work(dir: &Path) -> Result<Self, StartError> {
        // The index tells names of files: they are not for everybody on this machine.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .map_err(|error| fault(format!("make the state folder {}", dir.display()), error, WRITABLE))?;
        refuse_network(dir)?;
        let lock = Lock::take(dir).map_err(|error| not_locked(dir, &error))?;
        let path = dir.join(INDEX);
        let index = match open_sound(&path) {
            Err(error) if error.is_damage() => {
                let aside = set_aside(dir, &path, &error)?;
                let index = open_sound(&path).map_err(|error| index_fault(&path, &error))?;
                let words = format!("the index was damaged, and is set aside as {}: {error}", aside.display());
                index.set_fact(SET_ASIDE, &words).map_err(|error| index_fault(&path, &error))?;
                index
            }
            result => result.map_err(|error| index_fault(&path, &error))?,
        };
        Ok(Self { index, keeper: Keeper { _lock: Some(lock), scratch: None } })
    }

    /// A dry run works on a copy: not even the index is changed.
    fn open_copy(dir: &Path) -> Result<Self, StartError> {
        let path = dir.join(INDEX);
        if !path.exists() {
            let index = Index::in_memory().map_err(|error| index_fault(&path, &error))?;
            return Ok(Self { index, keeper: Keeper { _lock: None, scratch: None } });
        }
        let scratch = std::env::temp_dir().join(format!("driftline-{}-{}", std::process::id(), clock::wall().0));
        std::fs::create_dir(&scratch)
            .map_err(|error| fault(format!("make {}", scratch.display()), error, "set TMPDIR"))?;
        let copy = scratch.join(INDEX);
        let opened = Index::copy(&path, &copy).and_then(|()| Index::open(&copy));
        let index = opened.map_err(|error| index_fault(&path, &error))?;
        Ok(Self { index, keeper: Keeper { _lock: None, scratch: Some(scratch) } })
    }
}

fn not_locked(dir: &Path, error: &std::io::Error) -> StartError {
    if error.kind() != std::io::ErrorKind::WouldBlock {
        return fault(format!("lock the state folder {}", dir.display()), error, WRITABLE);
    }
    let who = match Lock::holder(dir) {
        Ok(Holder::Process(Some(pid))) => format!("another agent (pid {pid})"),
        Ok(Holder::Process(None) | Holder::Nobody) | Err(_) => "another agent".to_owned(),
    };
    let hint = "stop that agent first, or name another folder with --state-dir";
    fault(format!("use the state folder {}", dir.display()), format!("{who} uses it"), hint)
}

/// The fact that says why an index begins anew, until the audit trail has told it.
pub(super) const SET_ASIDE: &str = "set aside";

const WRITABLE: &str = "name a folder that the agent's user may write with --state-dir or state_dir";

/// Opens the index; after a run that did not end well it is read from end to end first.
fn open_sound(path: &Path) -> Result<Index, IndexError> {
    let index = Index::open(path)?;
    if index.fact("running")?.is_some_and(|running| running == "yes") {
        index.check()?;
    }
    index.set_fact("running", "yes")?;
    Ok(index)
}

/// SQLite needs shared memory and locks that network file systems do not keep.
fn refuse_network(dir: &Path) -> Result<(), StartError> {
    let kind = fskind::kind(dir)
        .map_err(|error| fault(format!("look at the state folder {}", dir.display()), error, WRITABLE))?;
    if !kind.is_network() {
        return Ok(());
    }
    let what = format!("keep the index in {}", dir.display());
    let cause = format!("it lies on a network file system ({})", kind.name());
    Err(StartError {
        configuration: true,
        ..fault(what, cause, "name a folder on a local disk with --state-dir or state_dir")
    })
}

/// Its bytes are kept: they may tell what happened.
fn set_aside(dir: &Path, path: &Path, error: &IndexError) -> Result<PathBuf, StartError> {
    let aside = dir.join(format!("index.corrupt-{}", clock::wall().0 / 1_000_000_000));
    tracing::error!("{error}; it is set aside as {} and made anew from the share and its targets", aside.display());
    for suffix in ["", "-wal", "-shm"] {
        let with = |base: &Path| PathBuf::from(format!("{}{suffix}", base.display()));
        match std::fs::rename(with(path), with(&aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fault(format!("set the damaged index {} aside", path.display()), error, WRITABLE));
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(aside)
}

fn index_fault(path: &Path, error: &IndexError) -> StartError {
    let hint = match error {
        IndexError::Newer { .. } => {
            "install that version again, or move the index away: it is made anew from the targets"
        }
        IndexError::Sqlite(_) | IndexError::Damaged(_) => "check the disk and the permissions of the state folder",
    };
    fault(format!("use the index {}", path.display()), error, hint)
}

fn fault(what: String, cause: impl std::fmt::Display, hint: &str) -> StartError {
    StartError { what, cause: cause.to_string(), hint: hint.to_owned(), configuration: false }
}
