//! What lay in a place before, and how one version of it is named.

use crate::model::{RelPath, Seen, Stamp, Wall};

/// One version of a path that a target can be asked to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// What lies there now, as long as it bears this stamp.
    Now(Stamp),
    /// An earlier one, under the target's own name for it.
    Kept(Box<[u8]>),
}

/// What lay at a path until something else took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Was {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// A file or link, which can still be read.
    Version(Kept),
}

/// A version that a target keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub which: Which,
    /// What it is, as far as a listing tells. Of a link in a bucket it tells an empty file.
    pub seen: Seen,
    /// How the digest of what it should hold begins, where the target says so.
    pub begins: Option<[u8; 4]>,
    /// The stamp that it bore, where the target keeps that. A copy of it may bear another.
    pub stamp: Option<Stamp>,
}

/// Something that happened on a target. Told in no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// Until `at`, this lay at `path`; since then something else does, or nothing.
    Changed {
        /// Where.
        path: RelPath,
        /// When it ended.
        at: Wall,
        /// What ended.
        was: Was,
    },
    /// What lay at `from`, with all that was in it, lies at `to` since `at`.
    Moved {
        /// When.
        at: Wall,
        /// Where it lay.
        from: RelPath,
        /// Where it came to lie.
        to: RelPath,
    },
}

impl Past {
    /// When it happened.
    pub fn at(&self) -> Wall {
        match self {
            Self::Changed { at, .. } | Self::Moved { at, .. } => *at,
        }
    }
}
