//! Pure decisions: what to do about one path on one target, in which order, and when to refuse.
//!
//! Nothing here does I/O or knows the time. The whole policy of the agent is [`reconcile`]; its table is in
//! `reconcile/tests.rs`, in full.

mod conflict;
mod order;
mod past;
mod prune;
mod reconcile;
mod tenure;
mod tombstone;
mod vet;

use crate::model::{Content, Meta, Seen, Sight, Stamp};

pub use conflict::{Begun, Since, stands};
pub use order::{Claim, Claims};
pub use past::Moves;
pub use prune::{Keep, Lies, prune};
pub use reconcile::reconcile;
pub use tenure::{RENEWAL, Run, SILENCE, Sign, Standing, standing};
pub use tombstone::Tombstone;
pub use vet::{
    Bound, Breach, Cause, Census, Changes, HEAD, HEAD_MIN, HOURS_KEPT, Halt, Limits, Waiting, is_over,
    looks_like_noise, may_be_disguise, normal, promises, vet,
};

/// What to do with something on a target that someone else changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// Leave it and report it.
    #[default]
    Keep,
    /// Put ours over it; theirs goes to history.
    Overwrite,
    /// Bring it to the share. Where the share has changed too, put the share's over it and keep the conflict for a person;
    /// theirs goes to history.
    Take,
}

/// What to do on a target when the share's file is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deletes {
    /// Remove it there too, into history.
    #[default]
    Propagate,
    /// Leave the last copy there.
    Retain,
}

/// What kind of place a target is, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// A directory: a stamp is an inode's, a folder is renamed in one step, meta is set alone.
    #[default]
    Directory,
    /// A bucket: a stamp is the content's, a folder is a way of naming, meta is set by copying the object.
    Bucket,
}

impl Nature {
    /// True if an mtime that alone has changed is carried at once. Else it waits for the next put, and only the index
    /// knows it: it would cost a request and a new version of the object.
    pub fn carries_times_alone(self) -> bool {
        self == Self::Directory
    }

    /// True if a folder is renamed with all that lies in it, in one step. Else each file is moved on its own.
    pub fn moves_folders(self) -> bool {
        self == Self::Directory
    }

    /// True if what is staged is written there. A small object is kept here until it is put: that it was staged says nothing of
    /// whether the bucket takes changes.
    pub fn stages_there(self) -> bool {
        self == Self::Directory
    }

    /// True if equal stamps under two names mean that it was renamed. An ETag means equal content, no more.
    pub fn stamps_follow_renames(self) -> bool {
        self == Self::Directory
    }

    /// True if listings tell of meta.
    pub fn lists_meta(self) -> bool {
        self == Self::Directory
    }

    /// True if the place is asked now and then whether it is still there, though nothing has to be done. Each question to
    /// a bucket is a request that is paid for.
    pub fn is_asked_when_idle(self) -> bool {
        self == Self::Directory
    }
}

/// What an administrator chose for one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What kind of place it is.
    pub nature: Nature,
    /// Foreign changes.
    pub drift: Drift,
    /// Deletions on the share.
    pub deletes: Deletes,
}

/// Content, meta and stamp as the agent last left them on a target: the merge base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// What we left there.
    pub content: Content,
    /// What was carried with it.
    pub meta: Meta,
    /// The stamp that the target gave it.
    pub stamp: Stamp,
}

/// What the target showed, where it was looked at since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteView<'a> {
    /// The target's stamp for it.
    pub stamp: &'a Stamp,
    /// What it is; its digest only if it was read.
    pub seen: Seen,
}

/// Two-way: how what we left stands to what the share has there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Title {
    /// It was left for just that, or was seen there since.
    #[default]
    Clear,
    /// What the share has came to be there after it, and it was not seen since: others may have removed it without knowing.
    Inherited,
    /// So too, and others may still be about to remove it: its stamp has to change, so that they look again.
    Unclaimed,
}

/// All that the decision about one path on one target may depend on.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The path on the share.
    pub local: Sight<Seen>,
    /// What we last left on the target.
    pub base: Option<&'a Base>,
    /// Two-way: how what we left stands to what the share has.
    pub title: Title,
    /// Two-way: the share lacks what we left because it followed others, who had removed it on another target.
    pub followed: bool,
    /// What we may have put there without hearing back, oldest first.
    pub attempts: &'a [Content],
    /// What the target showed since the last change of ours began.
    pub remote: Sight<RemoteView<'a>>,
    /// What we left at the path that this one was renamed from, if the share has nothing there any more.
    pub origin: Option<Origin<'a>>,
    /// Two-way: what the share deleted at the path, as far as that is remembered.
    pub tombstones: &'a [Tombstone],
}

/// The old name of something that was renamed on the share.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// What we left there.
    pub base: &'a Base,
    /// It is still there. If not, the rename may have been made and its answer lost.
    pub as_left: bool,
}

/// A condition that the target checks in the same step as the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Only if nothing is there.
    Absent,
    /// Only if what is there still bears this stamp.
    Unchanged(Stamp),
}

/// A change to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the target hold `content`.
    Put {
        /// What the share must still hold.
        content: Content,
        /// When to refuse.
        guard: Guard,
    },
    /// Change only what is carried with the content.
    SetMeta {
        /// What to carry.
        meta: Meta,
        /// When to refuse.
        guard: Guard,
    },
    /// Rename what lies at the origin to this path, where nothing may be.
    Move {
        /// When to refuse: for the origin.
        guard: Guard,
    },
    /// Take it away, into history.
    Remove {
        /// When to refuse.
        guard: Guard,
    },
}

/// A change to the share, after one that someone else made on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// Make the share hold what the target holds.
    Bring {
        /// Which version.
        stamp: Stamp,
        /// What it is, its digest only if it was read.
        seen: Seen,
    },
    /// Change only what is carried with the content: they changed nothing else.
    Carry {
        /// Which version.
        stamp: Stamp,
        /// What to carry.
        meta: Meta,
    },
    /// Take it away: they removed what we had left.
    Remove,
}

/// Why the share's file has to be read before anything else is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its bytes will be wanted on the target: stage them with the same reading.
    Send,
    /// It may well be what the target holds already.
    Compare,
}

/// Why a path waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// The share's file could not be read.
    LocalTroubled,
    /// The target's file could not be read.
    RemoteTroubled,
    /// The target's file was changed by someone else.
    Drifted,
    /// The target will not take it: no permission, or something else in its place.
    Refused,
    /// Two-way: the share deleted it, and a copy of what it deleted is on the target again.
    Returned,
}

/// The decision for one path on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    Settled,
    /// Not enough is known of the share's file yet.
    Wait,
    /// Read the share's file first.
    Read(Purpose),
    /// Look at the target's file first, and read it.
    Examine,
    /// The target holds this content already: only the index has to learn it.
    Adopt(Base),
    /// The target holds nothing of ours here any more: only the index has to learn it.
    Forget,
    /// The rename was made, though its answer was lost: only the index has to learn it.
    Moved,
    /// Change the target.
    Act(Action),
    /// Change the share.
    Take(Taking),
    /// Do nothing, and tell the administrator.
    Hold(Hold),
}
