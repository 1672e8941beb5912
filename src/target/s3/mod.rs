//! A bucket as a target, on S3 or a server of its kind.
//!
//! A file is an object under its own path, with what is carried as metadata; a folder is an empty object with a slash at
//! the end of its key. Files of up to one part are staged in memory and put in one request; larger ones are sent in
//! parts while they are staged, invisible until the upload is completed, and an upload that was cut off goes on where it
//! was. Every change carries a condition that the server checks in the same step; where a server is known not to check
//! one, it is looked just before, and what race is left stands at its place as `RACE:`.
//!
//! What is replaced or deleted stays as an earlier version if the bucket keeps versions. Else it is first copied, on the
//! server, to `.driftline/history/`. Versions of a versioned bucket are never deleted from here: a lifecycle rule does
//! that, so that the agent needs no right to (see `check`).
//!
//! What a bucket does not have: a rename (a file is copied and its old name removed; folders are moved file by file), a
//! stamp that tells of meta (an ETag is the content's), and the time of a folder of its own accord.
//!
//! # What servers of S3's kind do not do
//!
//! Found out by trying it, with the servers that the tests run; what Amazon S3 does could not be tried, and is taken from
//! its documentation. Where a condition is not checked it is looked just before the change.
//!
#![doc = include_str!("servers.md")]

mod abilities;
mod agents;
mod authorities;
mod blocks;
mod change;
mod check;
mod connection;
mod fault;
mod folders;
mod history;
mod key;
mod lean;
mod listing;
mod look;
mod news;
mod object;
mod pace;
mod parts;
mod past;
mod place;
mod put;
mod quick;
mod record;
mod staging;
mod sums;
mod uploads;
mod versions;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Moment, Past, RelPath, Requests, Wall, Which};
use crate::plan::Keep;
use crate::target::{
    AskLies, Berth, Bind, Bound, Card, Depth, Finding, News, Page, Placed, Read, ReadError, Remote, StageError, Staged,
    Step, Take, Target, TargetError, Token,
};

use blocks::Blocks;
use connection::{Connection, runtime};
use fault::{Outcome, Refusal};
use folders::Folders;
use key::Prefix;
use news::Ear;
pub use news::QueueAt;
use place::Known;
use staging::Body;

/// Opens a bucket.
#[derive(Clone)]
pub struct S3Setup {
    /// Its name.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
    /// Where it lies; without, as the environment or the profile says.
    pub region: Option<String>,
    /// Another server than AWS's: `http://` or `https://`.
    pub endpoint: Option<String>,
    /// The bucket's name in the path instead of the host; without, so at any server that is not AWS's.
    pub path_style: Option<bool>,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// Where objects are put; the bucket's default without.
    pub storage_class: Option<String>,
    /// How they are encrypted; the bucket's default without.
    pub sse: Option<Sse>,
    /// Tags of each object.
    pub tags: Vec<(String, String)>,
    /// Read back what nothing proves to be equal, instead of leaving it to a person.
    pub adopt_read: bool,
    /// The identity that it was bound to; `None` if it never was.
    pub target_id: Option<String>,
    /// The share that is kept there.
    pub share_id: String,
    /// This agent's name, as it stands among the writers.
    pub writer: String,
    /// Where this run leaves its card; without, it leaves none.
    pub berth: Option<Arc<Berth>>,
    /// A folder of this target's own, in which uploads under way are remembered; without, none goes on after a restart.
    pub state: Option<PathBuf>,
    /// The queue to which the bucket sends its events, if there is one.
    pub events: Option<QueueAt>,
    /// Time and chance.
    pub clock: Clock,
    /// Bytes a second that may go out now; `None` for as many as can.
    pub rate: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Whether another request may be sent, after these of this run.
    pub allowed: Allowed,
    /// Limits, which tests make small.
    pub sizes: Sizes,
}

#[cfg(test)]
impl S3Setup {
    /// A bucket of which nothing is set, for tests that send nothing anywhere.
    fn plain() -> Self {
        Self {
            bucket: "bucket".to_owned(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            path_style: None,
            profile: None,
            storage_class: None,
            sse: None,
            tags: Vec::new(),
            adopt_read: false,
            target_id: None,
            share_id: String::new(),
            writer: String::new(),
            berth: None,
            state: None,
            events: None,
            clock: Clock { wall: Wall::default, moment: Moment::default, chance: u8::default },
            rate: Arc::new(|| None),
            allowed: Arc::new(|_| Ok(())),
            sizes: Sizes::default(),
        }
    }
}

/// Says whether another request may be sent after so many.
pub type Allowed = Arc<dyn Fn(&Requests) -> Result<(), Refused> + Send + Sync>;

/// How objects are encrypted by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sse {
    /// With keys of S3's own.
    S3,
    /// With a key of the key service; its default without one.
    Kms {
        /// Its id or ARN.
        key: Option<String>,
    },
}

/// Time and chance, as they are given to all that decides.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// For names and ages.
    pub wall: fn() -> Wall,
    /// For waiting.
    pub moment: fn() -> Moment,
    /// A die with 256 sides.
    pub chance: fn() -> u8,
}

/// No more requests for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, for people.
    pub cause: String,
    /// Until they are allowed again.
    pub wait: Duration,
}

/// Limits of a bucket target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of one part; files of at most so many go in one request. S3 takes no less than 5 MiB for all but the last.
    pub part: u64,
    /// Parts of one file in memory (count).
    pub parts_under_way: usize,
    /// Objects above this are copied in parts (bytes): S3's limit for one request is 5 GiB.
    pub copy_max: u64,
    /// Bytes of a part that is copied on the server.
    pub copy_part: u64,
    /// How long the identity counts after it was seen.
    pub fresh: Duration,
    /// How long a target that was listed and found empty is taken to hold nothing but what is put there.
    pub empty: Duration,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            part: 8 << 20,
            parts_under_way: 6,
            copy_max: 5 << 30,
            copy_part: 1 << 30,
            fresh: Duration::from_secs(5),
            empty: Duration::from_secs(600),
        }
    }
}

/// A bucket as a target.
pub struct S3Target {
    inner: Arc<Inner>,
}

/// What the tasks of one target share.
struct Inner {
    setup: S3Setup,
    prefix: Prefix,
    connection: Connection,
    ear: Ear,
    counter: AtomicU64,
    known: Mutex<Known>,
    /// Held by whoever asks whether the place is still the one.
    checking: tokio::sync::Mutex<()>,
    /// Held by whoever looks at this agent's card.
    holding: tokio::sync::Mutex<()>,
    staged: Mutex<HashMap<Token, Body>>,
    blocks: Arc<Blocks>,
    folders: Folders,
    /// Files that were longer when they were sent than when they were hashed.
    growing: Mutex<BTreeSet<RelPath>>,
    /// When a listing found nothing at all.
    empty: Mutex<Option<Moment>>,
}

/// What happened, on its way to whoever wants to know (count).
const PAST_WAITS: usize = 4096;
/// Files that grow and are remembered as such (count); then all are forgotten.
const GROWING_MAX: usize = 4096;

impl S3Target {
    /// Sends nothing yet.
    pub fn new(setup: S3Setup) -> Self {
        let known = Known::bound_to(setup.target_id.clone());
        let prefix = Prefix::new(&setup.prefix);
        let inner = Inner {
            setup,
            prefix,
            connection: Connection::new(),
            ear: Ear::default(),
            counter: AtomicU64::new(0),
            checking: tokio::sync::Mutex::default(),
            holding: tokio::sync::Mutex::default(),
            known: Mutex::new(known),
            staged: Mutex::default(),
            blocks: Blocks::of_small_files(),
            folders: Folders::default(),
            growing: Mutex::default(),
            empty: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one assignment, so a panic elsewhere leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staged(&self) -> MutexGuard<'_, HashMap<Token, Body>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grows(&self, path: &RelPath) -> bool {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn remember_growing(&self, path: &RelPath) {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if growing.len() >= GROWING_MAX {
            growing.clear();
        }
        growing.insert(path.clone());
    }

    /// Whether nobody else's files are known to be there: a listing, not long ago, found nothing at all.
    fn was_empty(&self) -> bool {
        let empty = *self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        empty.is_some_and(|seen| (self.setup.clock.moment)().since(seen) < self.setup.sizes.empty)
    }

    /// As people know it.
    fn shown(&self) -> String {
        format!("s3://{}/{}", self.setup.bucket, self.prefix.as_str().trim_end_matches('/'))
    }
}

/// Waits, in a thread of the caller's, for what the runtime carries out.
fn wait_for<T>(
    verb: &'static str,
    path: Option<&RelPath>,
    work: impl Future<Output = Outcome<T>>,
) -> Result<T, TargetError> {
    runtime().block_on(work).map_err(|refusal: Refusal| refusal.into_error(verb, path))
}

impl Target for S3Target {
    fn probe(&self, bind: Bind) -> Result<Bound, TargetError> {
        wait_for("reach", None, self.inner.bind(bind))
    }

    fn list(&self, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
        wait_for("list", None, async {
            let (out, mut pages) = listing::channel();
            let inner = Arc::clone(&self.inner);
            let lister = tokio::spawn(async move { inner.list_all(out).await });
            while let Some(next) = pages.recv().await {
                if !page(next) {
                    break;
                }
            }
            drop(pages);
            lister.await.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))
        })
    }

    fn look(&self, path: &RelPath, depth: Depth) -> Result<Option<Remote>, TargetError> {
        wait_for("look at", Some(path), self.inner.look(path, depth))
    }

    fn compare(&self, path: &RelPath, mine: Read<'_>) -> Result<Option<Remote>, TargetError> {
        let found = wait_for("look at", Some(path), self.inner.look_for_proof(path))?;
        found.map(|found| found.proved(path, mine)).transpose()
    }

    fn stage(&self, paths: &[RelPath], read: Read<'_>) -> Vec<Result<Staged, StageError>> {
        self.inner.stage_all(paths, read)
    }

    fn apply(&self, steps: &[Step]) -> Vec<Result<Placed, TargetError>> {
        // Begun on the runtime's own thread: each task that another one begins wakes it.
        let applied = runtime().spawn(change::apply(Arc::clone(&self.inner), steps.to_vec()));
        runtime().block_on(applied).unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))
    }

    fn discard(&self, tokens: &[Token]) {
        let mut staged = self.inner.staged();
        tokens.iter().for_each(|token| _ = staged.remove(token));
    }

    fn sweep(&self) -> Result<u64, TargetError> {
        wait_for("sweep", None, self.inner.sweep())
    }

    fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Result<u64, TargetError> {
        wait_for("prune the history of", None, self.inner.prune(keep, lies))
    }

    fn past(&self, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Result<(), TargetError> {
        wait_for("read the history of", None, async {
            let (out, mut told) = tokio::sync::mpsc::channel(PAST_WAITS);
            let (inner, under) = (Arc::clone(&self.inner), under.clone());
            let teller = tokio::spawn(async move { inner.tell(under, after, out).await });
            while let Some(past) = told.recv().await {
                if !each(past) {
                    return Ok(());
                }
            }
            teller.await.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))
        })
    }

    fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
        runtime().block_on(self.inner.read(path, which, take))
    }

    fn agents(&self) -> Result<Vec<Card>, TargetError> {
        wait_for("read the agents of", None, self.inner.cards())
    }

    fn news(&self) -> Option<&dyn News> {
        self.inner.setup.events.is_some().then_some(self)
    }

    fn requests(&self) -> Requests {
        self.inner.connection.requests()
    }

    fn check(&self) -> Vec<Finding> {
        runtime().block_on(self.inner.check_all())
    }

    fn free(&self) -> Result<Option<u64>, TargetError> {
        // It asks who it is, as every call does; a bucket has no end.
        wait_for("measure", None, async { self.inner.open().await.map(|_| None) })
    }
}
