//! A place that copies are kept in: what every target promises.
//!
//! Each target keeps these promises, and `tests/it/contract.rs` holds every one of them to it:
//!
//! - nobody who reads the target ever sees a missing or a partial file where a version was and a version will be;
//! - `Ok` means durable; a refused guard has changed nothing; a repeated call does no harm;
//! - what a change replaces or removes is in history before the change is visible;
//! - what lay there at any time that history reaches back to can be told, and every version of it read;
//! - no call touches anything unless the target is the one it was bound to ([`Fault::Offline`] otherwise);
//! - foreign files are never changed except through [`Guard::Unchanged`] with *their* stamp;
//! - no folder of the share is made but by [`Change::MakeFolder`]: what goes where none is gets [`Fault::NoFolder`].
//!
//! Calls block: each lane calls from threads of its own, so that a target that hangs stalls nothing else.
//! Not here: what to do (`plan`), when and in which order (`engine`).

mod agents;
mod dir;
mod identity;
mod ledger;
mod memory;
mod news;
mod past;
mod s3;
mod version_name;

use std::fmt;
use std::time::Duration;

use crate::model::{
    Content, Digest, Meta, Past, ReadFault, Reading, RelPath, Requests, Seen, Shape, Sink, Stamp, Wall, Which,
};
use crate::plan::{Guard, Keep, Lies};

pub use agents::{Berth, Card, Says, Tenure};
pub use dir::{DirSetup, DirTarget, Flush, Ways};
pub use memory::{Failure, MemoryTarget};
pub use news::{News, Rumour, Told};
pub use past::{Piece, ReadError, Take};
pub use s3::{Allowed, Clock, QueueAt, Refused, S3Setup, S3Target, Sizes, Sse};

/// What to do about an error that no file, no server and no administrator can bring about.
pub const REPORT: &str = "report this: it is a fault of driftline";

/// Something on a target, as one look showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The target's stamp for this version.
    pub stamp: Stamp,
    /// What it is; its digest only if the look was asked to read, or if the target keeps digests.
    pub seen: Seen,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The folder that this page belongs to. All entries are its direct children.
    pub folder: Option<RelPath>,
    /// Names in no order. What cannot be mirrored (sockets, unmappable keys) is in `strange`, as the target calls it.
    pub entries: Vec<(RelPath, Remote)>,
    /// What lies there and is not a file, link or folder: shown, never touched.
    pub strange: Vec<String>,
    /// The last page of this folder: what was on none of its pages is absent there.
    pub last_of_folder: bool,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Stamp, shape and meta.
    Stamp,
    /// Also read it, so that the digest is known.
    Content,
    /// Read it from end to end, whatever the target keeps on record of its content and this machine of its bytes.
    Bytes,
}

/// Reads one file of the share into a sink, as one consistent version.
pub type Read<'a> = &'a mut dyn FnMut(&RelPath, &mut dyn Sink) -> Result<Reading, ReadFault>;

/// Says how a path stands whose versions lie in history.
pub type AskLies<'a> = &'a (dyn Fn(&RelPath) -> Lies + Sync);

/// Names something staged, until it is published or discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A file's bytes, in the target's staging and not yet visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Names it.
    pub token: Token,
    /// What was read and staged.
    pub reading: Reading,
}

/// Why a file was not staged.
#[derive(Debug)]
pub enum StageError {
    /// The share's side.
    Read(ReadFault),
    /// The target's side.
    Target(TargetError),
}

/// One change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub path: RelPath,
    /// What.
    pub change: Change,
    /// Checked in the same step as the change.
    pub guard: Guard,
    /// What is believed to lie there, for the name of its version in history; `None` if it was never read. With
    /// [`Guard::Absent`], what of ours lay there until it vanished.
    pub replaces: Option<Digest>,
}

/// What to do to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make what was staged visible. The guard is for `path`.
    Publish {
        /// What was staged.
        token: Token,
        /// What it holds.
        content: Content,
        /// What to carry with it.
        meta: Meta,
    },
    /// Make a symbolic link.
    Link {
        /// What it points to, as it stands.
        to: Vec<u8>,
        /// The link's content.
        content: Content,
        /// What to carry with it.
        meta: Meta,
    },
    /// Make a folder. With [`Guard::Absent`] a folder that is there already is success.
    MakeFolder {
        /// What to carry with it.
        meta: Meta,
    },
    /// Change only what is carried with the content.
    SetMeta {
        /// What to carry.
        meta: Meta,
    },
    /// Rename `from` to `path`, where nothing may be. The guard is for `from`.
    Move {
        /// Where it lies now.
        from: RelPath,
    },
    /// Take it away: files and links into history; a folder only if it is empty.
    Remove,
}

/// What a change left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The stamp of what is there now; `None` after a removal.
    pub stamp: Option<Stamp>,
    /// What is carried there in truth: a target may not hold an owner or a mode. `None` after a removal.
    pub meta: Option<Meta>,
    /// The target's name for this version, where it keeps several: a bucket's version id.
    pub version: Option<String>,
}

/// A place that copies are kept in. The module's text is the promise.
pub trait Target: Send + Sync {
    /// Fails unless this is the place it was bound to, and it answers. Binds it at first contact if `bind` allows.
    fn probe(&self, bind: Bind) -> Result<Bound, TargetError>;
    /// Lists what lies there, folder by folder, a page at a time, until `page` returns false.
    ///
    /// A listing is a hint: only [`Target::look`] decides. Ours (`.driftline`) is left out.
    fn list(&self, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError>;
    /// Looks at one path. `Ok(None)` is positive evidence of absence.
    fn look(&self, path: &RelPath, depth: Depth) -> Result<Option<Remote>, TargetError>;
    /// Looks at one path closely enough to know its content, with what the share holds there at hand.
    ///
    /// A target that cannot read its own cheaply may prove by other hashes that both are the same, and says
    /// [`crate::model::Digest::UNPROVED`] where it cannot.
    fn compare(&self, path: &RelPath, mine: Read<'_>) -> Result<Option<Remote>, TargetError> {
        let _not_needed = mine;
        self.look(path, Depth::Content)
    }
    /// Reads and stages files of the share; the answers are in the order of `paths`. What is staged stays until it is
    /// published or discarded, or until this run ends.
    fn stage(&self, paths: &[RelPath], read: Read<'_>) -> Vec<Result<Staged, StageError>>;
    /// Makes changes, in order, sharing flushes among them. One answer for each step, in order.
    fn apply(&self, steps: &[Step]) -> Vec<Result<Placed, TargetError>>;
    /// Drops what was staged. Unknown tokens are nothing to do.
    fn discard(&self, tokens: &[Token]);
    /// Drops what earlier runs of this agent left in staging. Returns how many.
    fn sweep(&self) -> Result<u64, TargetError>;
    /// Removes versions from history that may go ([`crate::plan::prune`]). Returns how many.
    fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Result<u64, TargetError>;
    /// Tells what happened at and below `under` since `after` (renames: everywhere), in no order, until `each` returns false.
    ///
    /// With what lies there now it says what lay there at any time that history reaches back to.
    fn past(&self, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Result<(), TargetError>;
    /// Reads one version of a path, and proves as it goes that it is the one that was meant, as far as the target can.
    fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError>;
    /// Bytes free for new copies, where the place can say.
    fn free(&self) -> Result<Option<u64>, TargetError>;
    /// What the agents that write there left of themselves, in no order.
    fn agents(&self) -> Result<Vec<Card>, TargetError> {
        Ok(Vec::new())
    }
    /// What tells of changes there as others make them, if anything does.
    fn news(&self) -> Option<&dyn News> {
        None
    }
    /// Requests made so far by this value. Never waits. A place that is asked by system calls makes none.
    fn requests(&self) -> Requests {
        Requests::default()
    }
    /// What an administrator should know before relying on the place: what is fine and what is not, each once. Asks the
    /// place, and leaves nothing there but, in its identity, what its server can do; where it bears no identity yet, nothing
    /// is even tried.
    fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// Something that was found when a place was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What was found, in one sentence without its full stop.
    pub what: String,
    /// What to do about it; empty if nothing.
    pub hint: String,
    /// Command lines that do it, to be pasted as they are.
    pub commands: Vec<String>,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is as it should be.
    Fine,
    /// Worth knowing, and nothing has to be done.
    Note,
    /// It works, and something is at risk, slow or dear.
    Warning,
    /// It does not work, or a version could be lost.
    Problem,
}

impl Finding {
    /// What was found, with nothing to do about it yet.
    pub fn new(level: Level, what: impl Into<String>) -> Self {
        Self { level, what: what.into(), hint: String::new(), commands: Vec::new() }
    }

    /// The same, with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The same, with one more command line that does it.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

/// Whether a place that bears no identity may be given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// No: it must bear the identity already.
    Never,
    /// Yes, if it bears none.
    IfUnbound,
    /// No; but if it bears none, it is taken as it is for looking and listing: a dry run changes nothing.
    Pretend,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The target's id, from its `.driftline/identity`.
    pub id: String,
    /// It was given this identity just now: to be said aloud.
    pub newly: bool,
    /// A folder in which each step costs a round trip: many small commands at once are better than a few large ones.
    pub far: bool,
    /// It keeps POSIX access control lists.
    pub lists: bool,
}

/// A target's refusal or failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {verb} {}: {cause}", .path.as_ref().map_or_else(|| "the target".to_owned(), |p| format!("{p}")))]
pub struct TargetError {
    /// What kind of trouble: the engine acts on this alone.
    pub fault: Fault,
    /// What was tried, as a verb.
    pub verb: &'static str,
    /// On which path, if on one.
    pub path: Option<RelPath>,
    /// The cause, for people.
    pub cause: String,
    /// What to do about it, for people.
    pub hint: String,
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The guard did not hold; nothing was changed.
    Stale,
    /// What was staged is gone or is not what was meant; nothing was changed.
    Unstaged,
    /// The folder that it goes into is not there; nothing was changed.
    NoFolder,
    /// This path cannot be kept there as it is: name too long, something else in the way.
    Unfit,
    /// A folder that was to be removed holds what is not ours.
    Occupied,
    /// We may not do this to this path.
    Denied,
    /// The target takes no change at all: it is read-only, or we may not write even into what is ours there.
    Closed,
    /// The target has no room.
    Full,
    /// Asked to slow down, and for how long if it said.
    Throttled(Option<Duration>),
    /// No answer, or none that can be trusted: the change may or may not have been made.
    Unreachable,
    /// The place is not the one it was bound to; nothing was changed.
    Offline,
}

/// What the engine does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Look at the target's path and decide again.
    LookAgain,
    /// Look at the folder above and decide that first.
    LookAbove,
    /// Stage it again.
    StageAgain,
    /// Set the path aside, and tell the administrator.
    SetAside,
    /// Leave it to whoever owns it: it is no longer ours.
    LetGo,
    /// Let the whole target rest, then go on.
    RestTarget,
}

impl Fault {
    /// The one table from faults to remedies.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::Stale => Remedy::LookAgain,
            Self::NoFolder => Remedy::LookAbove,
            Self::Unstaged => Remedy::StageAgain,
            Self::Unfit | Self::Denied => Remedy::SetAside,
            Self::Occupied => Remedy::LetGo,
            Self::Closed | Self::Full | Self::Throttled(_) | Self::Unreachable | Self::Offline => Remedy::RestTarget,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "stale",
            Self::Unstaged => "unstaged",
            Self::NoFolder => "no folder",
            Self::Unfit => "unfit",
            Self::Occupied => "occupied",
            Self::Denied => "denied",
            Self::Closed => "closed",
            Self::Full => "full",
            Self::Throttled(_) => "throttled",
            Self::Unreachable => "unreachable",
            Self::Offline => "offline",
        })
    }
}

impl Remote {
    /// A folder as a target shows it.
    pub fn folder(stamp: Stamp, meta: Meta) -> Self {
        let shape = Shape { kind: crate::model::Kind::Folder, len: 0 };
        Self { stamp, seen: Seen { shape, digest: None, meta } }
    }
}
