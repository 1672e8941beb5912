//! What can happen to the engine, and what it can ask for.

use crate::index::Finding;
use crate::local::{Looked, ScanEnd, ScanPage};
use crate::model::{Content, ReadFault, Reading, RelPath, Shape, ShareId, Stamp, Stat, TargetId, Trouble, Wall};
use crate::plan::{Taking, Tombstone};
use crate::target::{Bound, Fault, Page, Placed, Remote, Rumour, Staged, Step, TargetError};

/// Something that happened. Each command is answered by exactly one event (scans, listings and
/// recalls by pages and one end).
#[derive(Clone, Debug)]
pub enum Event {
    /// Time went by.
    Tick,
    /// The watcher saw something at these paths.
    Touched(ShareId, Vec<RelPath>),
    /// The watcher missed something.
    LostTrack(ShareId),
    /// A full scan is wanted now.
    RescanDue(ShareId),
    /// A full scan is wanted now, in which what is known of single files is believed.
    GlanceDue(ShareId),
    /// A part of a scan.
    Scanned(ShareId, ScanPage),
    /// The scan below this path has ended.
    ScanEnded(ShareId, RelPath, ScanEnd),
    /// Paths of the share were looked at; `Err` if the share is not there.
    LookedLocal(ShareId, Vec<RelPath>, Result<Vec<Looked>, String>),
    /// A file of the share was read.
    Hashed(ShareId, RelPath, Result<Reading, ReadFault>),
    /// The target was asked whether it is the one.
    Probed(TargetId, Result<Bound, Failure>),
    /// A part of a listing.
    Listed(TargetId, Page),
    /// The target tells that these may have changed; with the number that it is noted by.
    Told(TargetId, u64, Vec<Rumour>),
    /// The listing has ended.
    ListEnded(TargetId, Result<(), Failure>),
    /// Paths of the target were looked at.
    Looked(TargetId, Vec<(RelPath, Result<Option<Remote>, Failure>)>),
    /// Files were read and staged.
    Staged(TargetId, Vec<(RelPath, Result<Staged, StageFailure>)>),
    /// Changes were tried.
    Applied(TargetId, Vec<(Step, Result<Placed, Failure>)>),
    /// A part of what the target's history tells of deletions.
    Recalled(TargetId, Vec<Recalled>),
    /// It has told all.
    RecallEnded(TargetId, Result<(), Failure>),
    /// Changes of the share were tried.
    Landed(TargetId, Vec<(LandJob, Result<Landed, LandFailure>)>),
    /// A full listing of the target is wanted now.
    AuditDue(TargetId),
    /// What was read back of the target and compared, in the index's own order.
    ReadBack(TargetId, Vec<Finding>),
    /// An administrator lets a halted target go on.
    Approved(TargetId),
    /// An administrator pauses the target, or lets it go on.
    Paused(TargetId, bool),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Walk the share at and below a path.
    Scan(ShareId, RelPath, Thorough),
    /// Look at paths of the share.
    LookLocal(ShareId, Vec<RelPath>),
    /// Read a file of the share.
    Hash(ShareId, ReadJob),
    /// Ask the target whether it is the one.
    Probe(TargetId),
    /// List the target.
    List(TargetId),
    /// Have the target tell what lay there since then and may have been deleted.
    Recall(TargetId, Wall),
    /// Look at paths of the target.
    Look(TargetId, Vec<LookJob>),
    /// Read files of the share and stage them.
    Stage(TargetId, Vec<ReadJob>),
    /// Change the target.
    Apply(TargetId, Vec<Step>),
    /// Bring to the share what others changed on the target.
    Land(TargetId, Vec<LandJob>),
    /// What was told with this number is known, and need not be told again.
    Noted(TargetId, u64),
    /// Drop what was staged.
    Discard(TargetId, Vec<crate::target::Token>),
}

/// How a share is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thorough {
    /// A file server is asked about each file.
    Yes,
    /// About folders only.
    No,
}

/// A path of a target to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookJob {
    /// Which.
    pub path: RelPath,
    /// Read it if it has one of these shapes: it may be what is wanted there.
    pub read_if: Vec<Shape>,
    /// Do not read it if it bears this stamp: what it holds is known.
    pub known: Option<Stamp>,
    /// The share has nothing there to compare it with: only reading it tells what it holds.
    pub alone: bool,
}

/// A version that a target keeps of what lay at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// Where.
    pub path: RelPath,
    /// What it was.
    pub what: Tombstone,
    /// Until when it lay there.
    pub at: Wall,
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadJob {
    /// Which.
    pub path: RelPath,
    /// Take a consistent snapshot even if someone still writes.
    pub insist: bool,
    /// What it held when it was last read, if nothing has shown since that it changed: whoever has to know no more than that
    /// beforehand need not read it.
    pub known: Option<Reading>,
}

/// A change of the share, after one on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandJob {
    /// Where.
    pub path: RelPath,
    /// What.
    pub taking: Taking,
    /// What lies there, or nothing: else nothing is changed.
    pub expected: Option<Stat>,
}

/// What a change of the share left there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// What lies there now; `None` after a removal.
    pub stat: Option<Stat>,
    /// What it holds; `None` where that has not changed.
    pub content: Option<Content>,
    /// When it was looked at.
    pub at: Wall,
}

/// Why the share was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LandFailure {
    /// Something else lies there than what was expected.
    Changed,
    /// Somebody has it open for writing.
    Busy,
    /// The share mirrors nothing of that name.
    Ignored,
    /// The folder holds something that the share does not mirror.
    Occupied,
    /// The share's system refuses it.
    Troubled(Trouble),
    /// The share is not the one it was bound to.
    Offline(String),
    /// The target's side.
    Target(Failure),
}

/// Why a file was not staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageFailure {
    /// The share's side.
    Read(ReadFault),
    /// The target's side.
    Target(Failure),
}

/// A target's refusal or failure, as the engine keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of trouble.
    pub fault: Fault,
    /// What happened, for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Two targets that are one place: what is put to one appears in the other.
pub fn is_twin(other: &str) -> Failure {
    Failure {
        fault: Fault::Offline,
        message: format!(
            "it is the same place as target {other}: both bear one identity, as a bucket does and its S3 Files mount, or two ways \
             to one folder"
        ),
        hint: "take one of the two out of the configuration: one copy in one place is all that there would be"
            .to_owned(),
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self { fault: error.fault, message: error.to_string(), hint: error.hint }
    }
}
