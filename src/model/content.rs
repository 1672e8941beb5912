//! What a path holds, what is carried with it, and how a place names a version of it.

use std::fmt;
use std::io;

use crate::model::{Acl, Wall};

/// Bytes taken from a reader at once.
const ROOM: usize = 128 * 1024;

/// BLAKE3 of a file's bytes or of a link's target; all zeros for a folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What a folder has in place of a digest.
    pub const FOLDER: Self = Self([0; 32]);
    /// Stands for what nothing proves short of reading it, where that is not allowed: equal to no content.
    pub const UNPROVED: Self = Self([0xff; 32]);

    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of all bytes that a reader gives from here on.
    pub fn of_all(mut bytes: impl io::Read) -> io::Result<Self> {
        let (mut hasher, mut room) = (blake3::Hasher::new(), vec![0; ROOM]);
        loop {
            match bytes.read(&mut room) {
                Ok(0) => return Ok(Self(*hasher.finalize().as_bytes())),
                Ok(len) => _ = hasher.update(&room[..len]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// The first four bytes in hex, as history names use them.
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// What sort of thing lies at a path. Sockets, FIFOs and devices are never mirrored: they are a [`Trouble`](crate::model::Trouble).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link, never followed.
    Symlink,
    /// A folder.
    Folder,
}

/// What can be told without reading: enough to know that two things differ, never that they are equal
/// (folders excepted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// What sort of thing.
    pub kind: Kind,
    /// Bytes of a file or of a link's target; 0 for a folder.
    pub len: u64,
}

/// What is compared and mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// What sort of thing, and how long.
    pub shape: Shape,
    /// What it holds.
    pub digest: Digest,
}

impl Content {
    /// Every folder's content.
    pub const FOLDER: Self = Self { shape: Shape { kind: Kind::Folder, len: 0 }, digest: Digest::FOLDER };

    /// A file of `len` bytes.
    pub fn file(digest: Digest, len: u64) -> Self {
        Self { shape: Shape { kind: Kind::File, len }, digest }
    }

    /// A link of which the target has `len` bytes.
    pub fn symlink(digest: Digest, len: u64) -> Self {
        Self { shape: Shape { kind: Kind::Symlink, len }, digest }
    }
}

/// What is carried with the content and never makes a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Permission bits (07777), the executable bits among them; or [`Meta::NOT_KNOWN`].
    pub mode: u32,
    /// Modification time, nanoseconds since 1970.
    pub mtime: Wall,
    /// Owner; or [`Meta::NOT_KNOWN`].
    pub uid: u32,
    /// Group; or [`Meta::NOT_KNOWN`].
    pub gid: u32,
    /// What it permits beyond its mode.
    pub acl: Acl,
}

impl Meta {
    /// In place of a mode, an owner or a group that a target does not tell: what other programs put into a bucket has
    /// none. No file has it on a share: it is no permission, and `chown` takes it for "leave as it is".
    pub const NOT_KNOWN: u32 = u32::MAX;

    /// What belongs to nobody and permits nothing, of no time, and without a list.
    pub const NOTHING: Self = Self { mode: 0, mtime: Wall(0), uid: 0, gid: 0, acl: Acl::Plain };

    /// Of which nothing is told.
    pub const UNTOLD: Self =
        Self { mode: Self::NOT_KNOWN, mtime: Wall(0), uid: Self::NOT_KNOWN, gid: Self::NOT_KNOWN, acl: Acl::NotKnown };

    /// True if `left` is just what is wanted; a list counts if one is wanted, or none.
    pub fn is_met_by(&self, left: &Self) -> bool {
        self.with_acl_of(left) == *left
    }

    /// The same, with the other's list where this one tells of none.
    pub fn with_acl_of(&self, other: &Self) -> Self {
        Self { acl: self.acl.or(other.acl), ..*self }
    }

    /// True if all that `left` tells, but for the time, is the same.
    pub fn agrees_but_for_time(&self, left: &Self) -> bool {
        let pairs = [(self.mode, left.mode), (self.uid, left.uid), (self.gid, left.gid)];
        pairs.iter().all(|(wanted, left)| *left == Self::NOT_KNOWN || wanted == left) && self.acl.agrees(left.acl)
    }
}

/// Something as one look showed it: its digest is known only if it was read (or needs no reading).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What sort of thing, and how long.
    pub shape: Shape,
    /// What it holds, once read.
    pub digest: Option<Digest>,
    /// What is carried with it.
    pub meta: Meta,
}

impl Seen {
    /// The content, once read.
    pub fn content(&self) -> Option<Content> {
        match (self.shape.kind, self.digest) {
            (Kind::Folder, _) => Some(Content::FOLDER),
            (Kind::File | Kind::Symlink, Some(digest)) => Some(Content { shape: self.shape, digest }),
            (Kind::File | Kind::Symlink, None) => None,
        }
    }

    /// Whether it holds `content`; `None` if only reading can tell.
    pub fn holds(&self, content: &Content) -> Option<bool> {
        if self.shape != content.shape {
            return Some(false);
        }
        self.content().map(|mine| mine == *content)
    }
}

/// A target's own word for "this version of this path"; opaque to all but that target.
///
/// Equal stamps mean the same version. A folder's stamp survives changes inside it and its own renames.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub Box<[u8]>);

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What one `lstat` of a path on the share says: the proof that nothing changed is that all of it is [`Stat::same`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What sort of thing, and how long.
    pub shape: Shape,
    /// Inode number; of a folder on which another file system is mounted, which one that is ([`Stat::OF_MOUNT`]).
    pub ino: u64,
    /// When the inode last changed in any way.
    pub ctime: Wall,
    /// Mode, mtime, owner, group, and the list where it was asked for.
    pub meta: Meta,
    /// Names of this inode; more than one for a file means hard links.
    pub nlink: u32,
    /// A folder on another file system than the share's root: a mount inside the share.
    pub mounted: bool,
}

impl Stat {
    /// This bit marks what stands for a mount in the place of an inode number: the roots of most file systems bear the same one.
    pub const OF_MOUNT: u64 = 1 << 63;

    /// True if both are mounts, and not of the same thing. What an older program saw tells nothing of which mount it was.
    pub fn is_other_mount(&self, before: &Self) -> bool {
        let both = |is: fn(&Self) -> bool| is(self) && is(before);
        both(|stat| stat.mounted && stat.ino & Self::OF_MOUNT != 0) && self.ino != before.ino
    }

    /// True if nothing moved between the two. A list counts only where both tell of one: it cannot change without the ctime,
    /// so that most looks need not ask for it.
    pub fn same(&self, other: &Self) -> bool {
        let acl = other.meta.acl;
        self.meta.acl.agrees(acl) && Self { meta: Meta { acl, ..self.meta }, ..*self } == *other
    }
}

/// One consistent version as it was read: the same before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was read.
    pub content: Content,
    /// What the file was when it was read.
    pub stat: Stat,
    /// When the reading began.
    pub at: Wall,
    /// It begins with noise that bears the mark of no format.
    pub noise: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: Kind, len: u64, digest: Option<u8>) -> Seen {
        let meta = Meta { mode: 0o644, ..Meta::NOTHING };
        Seen { shape: Shape { kind, len }, digest: digest.map(|b| Digest([b; 32])), meta }
    }

    #[test]
    fn an_unread_file_can_differ_but_never_be_equal() {
        let content = Content::file(Digest([1; 32]), 5);
        assert_eq!(seen(Kind::File, 5, None).holds(&content), None);
        assert_eq!(seen(Kind::File, 6, None).holds(&content), Some(false));
        assert_eq!(seen(Kind::Symlink, 5, None).holds(&content), Some(false));
        assert_eq!(seen(Kind::File, 5, Some(1)).holds(&content), Some(true));
        assert_eq!(seen(Kind::File, 5, Some(2)).holds(&content), Some(false));
    }

    #[test]
    fn folders_are_all_alike() {
        assert_eq!(seen(Kind::Folder, 0, None).holds(&Content::FOLDER), Some(true));
    }
}
