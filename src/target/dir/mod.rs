//! A directory as a target: an EFS or NFS mount, or any file system.
//!
//! Every call opens the root anew and reads its identity first, so that a mount that went away or was swapped is noticed
//! before anything is touched. All else goes through that open root, beneath it, and never through a symbolic link.
//! Nothing is kept open from call to call but what was staged over NFS, until it is published: see `staging`.
//!
//! Publication is a rename, so a reader sees the old version or the new one and never anything between. Where the file
//! system can exchange two names in one step, the old version arrives in history by the very rename that shows the new
//! one; elsewhere (NFS) a hard link or a copy puts it there before. What race is left stands at its place as `RACE:`.

mod agents;
mod change;
mod check;
mod fault;
mod history;
mod identity;
mod keep;
mod ledger;
mod listing;
mod locks;
mod past;
mod publish;
mod rename;
mod sink;
mod spelling;
mod staging;
mod touched;
mod unseen;
mod walk;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Past, RelPath, Wall, Which};
use crate::plan::Keep;
use crate::sys;
use crate::sys::publish::Medium;
use crate::target::{
    AskLies, Berth, Bind, Bound, Card, Depth, Finding, Page, Placed, Read, ReadError, Remote, StageError, Staged, Step,
    Take, Target, TargetError, Token,
};

use staging::StagedFile;
use touched::Times;

/// Opens a directory target.
#[derive(Clone, Debug)]
pub struct DirSetup {
    /// The directory. It is never created.
    pub root: PathBuf,
    /// The identity that it was bound to; `None` if it never was.
    pub target_id: Option<String>,
    /// The share that is kept there.
    pub share_id: String,
    /// This agent's name, as it stands among the writers.
    pub writer: String,
    /// Where this run leaves its card; without, it leaves none.
    pub berth: Option<Arc<Berth>>,
    /// Carry owner, group and access control list, where the system permits.
    pub keep_owner: bool,
    /// Reads the clock, for the names in history and for the age of what is left in staging.
    pub now: fn() -> Wall,
    /// How bytes are made durable.
    pub flush: Flush,
    /// How names are changed.
    pub ways: Ways,
}

#[cfg(test)]
impl DirSetup {
    /// For the tests of this folder's rooms: nobody's owner is kept, and the clock stands still.
    fn plain(root: &std::path::Path, ways: Ways) -> Self {
        Self {
            root: root.to_owned(),
            target_id: None,
            share_id: "share".to_owned(),
            writer: "writer".to_owned(),
            berth: None,
            keep_owner: false,
            now: || Wall(0),
            flush: Flush::Auto,
            ways,
        }
    }
}

/// How bytes are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// Together where that is safe and worth it, else each for itself.
    #[default]
    Auto,
    /// Each file for itself.
    Each,
    /// One flush of the file system for all files of a call.
    Together,
}

/// How names are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ways {
    /// The best that the file system offers, tried each time.
    #[default]
    Auto,
    /// Hard links and plain renames only, as on NFS.
    Links,
    /// Plain renames only.
    Plain,
}

/// A directory as a target.
#[derive(Debug)]
pub struct DirTarget {
    setup: DirSetup,
    /// Names this process's files in staging, apart from those of earlier runs.
    run: String,
    counter: AtomicU64,
    /// Permission bits of the file that was staged last.
    last_mode: AtomicU32,
    state: Mutex<State>,
    room: sink::Room,
    /// The times that the share's folders get back.
    times: Arc<Times>,
}

#[derive(Debug, Default)]
struct State {
    /// The identity that the place has to bear.
    bound: Option<String>,
    /// It bears no identity, and is only looked at.
    pretend: bool,
    staged: HashMap<Token, StagedFile>,
    /// Some of them, still open.
    held: HashMap<Token, File>,
    /// Names in staging that could not be removed yet.
    left: Vec<Vec<u8>>,
    /// Folders in staging that no call is using, and how many there are with those that are used.
    benches: Vec<Vec<u8>>,
    benches_made: usize,
    /// Where the file system lies that has this device number, and whether it takes the same name in other letters for one;
    /// as long as its root is looked at now and then.
    kind: Option<(u64, (Medium, bool))>,
}

impl DirTarget {
    /// Touches nothing yet.
    pub fn new(setup: DirSetup) -> Self {
        let state = State { bound: setup.target_id.clone(), ..State::default() };
        let run = uuid::Uuid::now_v7().simple().to_string();
        let (counter, last_mode) = (AtomicU64::new(0), AtomicU32::new(staging::FILE_MODE));
        let (state, room) = (Mutex::new(state), sink::Room::default());
        Self { setup, run, counter, last_mode, state, room, times: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one insertion or removal, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder of ours at the root; `rest` is below `.driftline`.
fn ours(rest: &[u8]) -> RelPath {
    let base = RelPath::new(crate::model::RESERVED).expect("the reserved name is one plain part");
    if rest.is_empty() { base } else { base.join(rest).expect("our own names are plain parts") }
}

impl Target for DirTarget {
    fn probe(&self, bind: Bind) -> Result<Bound, TargetError> {
        self.bind(bind)
    }

    fn list(&self, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
        listing::list(&self.open("list")?, page)
    }

    fn look(&self, path: &RelPath, depth: Depth) -> Result<Option<Remote>, TargetError> {
        let place = self.open("look at")?;
        listing::look(&place, path, depth).map_err(|refusal| refusal.into_error("look at", Some(path)))
    }

    fn stage(&self, paths: &[RelPath], read: Read<'_>) -> Vec<Result<Staged, StageError>> {
        match self.open("stage") {
            Ok(place) => self.stage_all(&place, paths, read),
            Err(err) => paths.iter().map(|_| Err(StageError::Target(err.clone()))).collect(),
        }
    }

    fn apply(&self, steps: &[Step]) -> Vec<Result<Placed, TargetError>> {
        let place = self.open("change").and_then(|place| {
            let held = self.hold_berth(&place, false);
            held.map(|()| place).map_err(|refusal| refusal.into_error("change", None))
        });
        match place {
            Ok(place) => publish::apply(self, &place, steps),
            Err(err) => steps.iter().map(|_| Err(err.clone())).collect(),
        }
    }

    fn discard(&self, tokens: &[Token]) {
        self.discard_all(tokens);
    }

    fn sweep(&self) -> Result<u64, TargetError> {
        let place = self.open("sweep")?;
        self.sweep_staging(&place).map_err(|refusal| refusal.into_error("sweep", None))
    }

    fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Result<u64, TargetError> {
        let place = self.open("prune")?;
        let pruned = ledger::prune(&place, keep.before).and_then(|()| history::prune(&place, keep, lies));
        pruned.map_err(|refusal| refusal.into_error("prune the history of", None))
    }

    fn past(&self, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Result<(), TargetError> {
        let place = self.open("read the history of")?;
        past::tell(&place, under, after, each).map_err(|refusal| refusal.into_error("read the history of", Some(under)))
    }

    fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
        let place = self.open("read")?;
        past::read(&place, path, which, take)
    }

    fn free(&self) -> Result<Option<u64>, TargetError> {
        let place = self.open("measure")?;
        let free = sys::publish::free(place.root());
        free.map(Some).map_err(|err| fault::failed("measure", None, &err))
    }

    fn agents(&self) -> Result<Vec<Card>, TargetError> {
        self.cards()
    }

    fn check(&self) -> Vec<Finding> {
        self.check_all()
    }
}
