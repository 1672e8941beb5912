//! The share on this machine: scanning, looking, reading, watching.
//!
//! Everything opens beneath the share's root, never follows a symbolic link, and says nothing about any path unless
//! the root is the one that the share was bound to. The only user of `notify`, `walkdir` and `ignore`.
//! Not here: what to do about what is found (`engine`), and when a file is quiet (`settle`).

mod ignore;
mod landing;
mod look;
mod read;
mod recent;
mod relative;
mod root;
mod scan;
mod trouble;
mod under_way;
mod watch;
mod watch_plan;

use crate::model::{RelPath, Stat, Trouble};

pub use ignore::{BUILT_IN, BadPattern, Ignore};
pub use landing::{Fresh, Landing, Refusal, each_below, prune_kept};
pub use look::{look, read_link};
pub use read::{Discard, How, Reader};
pub use recent::Recent;
pub use root::root_id;
pub use scan::{PAGE_MAX, Scan};
pub use watch::{Batch, Limits, Mode, Watch, WatchError, WatchNeed};

/// What marks a share's root: file system and inode. A path with another identity is not that share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootId {
    /// File system id, as `statfs` gives it; on NFS a digest of the server's handle of the root.
    pub fsid: u64,
    /// Inode number of the root folder.
    pub ino: u64,
}

/// What lies at one path of the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file or a folder.
    Plain(Stat),
    /// A symbolic link and where it points to.
    Link(Stat, Box<[u8]>),
    /// A socket, FIFO or device: never mirrored, named in `problems`.
    Special(&'static str),
    /// It is there and could not be looked at.
    Troubled(Trouble),
}

/// A part of one folder's reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The folder.
    pub folder: RelPath,
    /// Names in it, sorted by bytes within this page.
    pub entries: Vec<(Box<[u8]>, Found)>,
    /// Whether more pages of this folder follow.
    pub end: PageEnd,
}

/// How a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEnd {
    /// More of the same folder follows.
    More,
    /// The folder was read to its end without error: what is on none of its pages is not there.
    Complete,
    /// No folder lies there any more. Said only of the folder where a scan of a part began.
    Gone,
    /// The folder could not be read to its end: nothing is known of what is missing.
    Broken(Trouble),
}

/// How a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// Every folder was visited, each either read or reported as broken.
    Done,
    /// It was told to stop.
    Stopped,
    /// The share is not the one it was bound to, or went away meanwhile.
    Offline(String),
}

/// What a direct look at a path said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// This lies there.
    Found(Found),
    /// Nothing lies there, or it is ignored.
    Absent,
}
