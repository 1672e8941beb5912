//! Rows in the words of the model, and back.

use rusqlite::Row;

use crate::model::{Acl, Content, Digest, Kind, Meta, RelPath, Seen, Shape, Sight, Stamp, Stat, Wall};
use crate::plan::{Base, Hold, Title};

/// A path of the share as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRow {
    /// Whether it is there.
    pub state: Presence,
    /// The last look that showed something; for what is absent: what it was.
    pub stat: Stat,
    /// What it held when it was last read, and `stat` has not moved since.
    pub digest: Option<Digest>,
    /// Read so soon after its last change that an equal `stat` proves nothing.
    pub racy: bool,
    /// Missing from a folder's reading: to be looked at directly.
    pub suspect: bool,
    /// What was read begins with noise that bears the mark of no format.
    pub noise: bool,
    /// The run of the agent that saw it so.
    pub run: i64,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing is there.
    Absent,
    /// It is there.
    Present,
    /// It could not be looked at or read.
    Troubled,
}

impl LocalRow {
    /// A first look.
    pub fn fresh(stat: Stat, digest: Option<Digest>, run: i64) -> Self {
        Self { state: Presence::Present, stat, digest, racy: false, suspect: false, noise: false, run }
    }

    /// What the planner sees. An absence that another run saw counts for nothing.
    pub fn sight(&self, run: i64) -> Sight<Seen> {
        match self.state {
            Presence::Absent if self.run != run => Sight::Unseen,
            Presence::Absent => Sight::Absent,
            Presence::Troubled => Sight::Troubled,
            Presence::Present => Sight::Present(self.seen()),
        }
    }

    /// True if a look tells of an access control list, or of none, where nobody had told.
    pub fn lacks_list_of(&self, stat: &Stat) -> bool {
        self.stat.meta.acl == Acl::NotKnown && stat.meta.acl != Acl::NotKnown
    }

    /// Shape, digest and meta.
    pub fn seen(&self) -> Seen {
        Seen { shape: self.stat.shape, digest: self.digest, meta: self.stat.meta }
    }

    /// True if it is there.
    pub fn is_present(&self) -> bool {
        self.state == Presence::Present
    }
}

/// What is open about one path on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// Since when the two differ.
    pub since: Wall,
    /// Bytes that will have to be sent.
    pub bytes: u64,
    /// The share has nothing there.
    pub gone: bool,
    /// What is believed of the target must be looked at again.
    pub doubt: bool,
    /// Puts that began and of which the end is not known, oldest first.
    pub attempts: Vec<Content>,
    /// What the target showed since our last change began.
    pub sight: Sight<(Stamp, Seen)>,
    /// Where it was renamed from.
    pub origin: Option<RelPath>,
    /// Why it waits for a person.
    pub hold: Option<HoldRow>,
}

/// Why a path waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The reason.
    pub hold: Hold,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl OpenRow {
    /// A difference that was just noticed.
    pub fn new(since: Wall) -> Self {
        Self {
            since,
            bytes: 0,
            gone: false,
            doubt: false,
            attempts: Vec::new(),
            sight: Sight::Unseen,
            origin: None,
            hold: None,
        }
    }
}

pub(super) const SUSPECT: i64 = 4;
pub(super) const NOISE: i64 = 8;
const RACY: i64 = 1;
const MOUNTED: i64 = 2;

/// SQLite has signed 64-bit integers only; inodes and lengths use the same bits.
/// File system id and root inode, from the column `at` on.
pub(super) fn bound(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<(u64, u64)>> {
    let (fsid, ino): (Option<i64>, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    Ok(fsid.zip(ino).map(|(fsid, ino)| (unbits(fsid), unbits(ino))))
}

pub(super) fn bits(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) fn unbits(value: i64) -> u64 {
    value.cast_unsigned()
}

pub(super) fn kind_code(kind: Kind) -> i64 {
    match kind {
        Kind::File => 1,
        Kind::Symlink => 2,
        Kind::Folder => 3,
    }
}

pub(super) fn kind_of(code: i64) -> Kind {
    match code {
        2 => Kind::Symlink,
        3 => Kind::Folder,
        _ => Kind::File,
    }
}

pub(super) fn presence_code(state: Presence) -> i64 {
    match state {
        Presence::Absent => 0,
        Presence::Present => 1,
        Presence::Troubled => 2,
    }
}

pub(super) fn flags(row: &LocalRow) -> i64 {
    i64::from(row.racy) * RACY
        + i64::from(row.stat.mounted) * MOUNTED
        + i64::from(row.suspect) * SUSPECT
        + i64::from(row.noise) * NOISE
}

pub(super) fn hold_code(hold: Hold) -> i64 {
    match hold {
        Hold::LocalTroubled => 1,
        Hold::RemoteTroubled => 2,
        Hold::Drifted => 3,
        Hold::Refused => 4,
        Hold::Returned => 5,
    }
}

pub(super) fn hold_of(code: i64) -> Hold {
    match code {
        1 => Hold::LocalTroubled,
        2 => Hold::RemoteTroubled,
        3 => Hold::Drifted,
        5 => Hold::Returned,
        _ => Hold::Refused,
    }
}

/// What `base.inherited` says.
pub(super) fn title(code: Option<i64>) -> Title {
    match code {
        None | Some(0) => Title::Clear,
        Some(1) => Title::Inherited,
        Some(_) => Title::Unclaimed,
    }
}

/// What is written for a title, in `base.inherited`.
pub(super) fn title_code(title: Title) -> i64 {
    match title {
        Title::Clear => 0,
        Title::Inherited => 1,
        Title::Unclaimed => 2,
    }
}

pub(super) fn digest_of(bytes: Option<&[u8]>) -> Option<Digest> {
    bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest)
}

/// `NULL`: nobody told. What is no list counts as not told.
pub(super) fn acl(row: &Row<'_>, at: usize) -> rusqlite::Result<Acl> {
    Ok(row.get_ref(at)?.as_str_or_null()?.and_then(Acl::parse).unwrap_or(Acl::NotKnown))
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// Columns `state, kind, len, ino, ctime, mtime, mode, uid, gid, nlink, flags, digest, run, acl` beginning at `at`.
pub(super) fn local(row: &Row<'_>, at: usize) -> rusqlite::Result<LocalRow> {
    let flags: i64 = row.get(at + 10)?;
    let state = match row.get::<_, i64>(at)? {
        1 => Presence::Present,
        2 => Presence::Troubled,
        _ => Presence::Absent,
    };
    let meta = Meta {
        mode: small(row.get(at + 6)?),
        mtime: Wall(row.get(at + 5)?),
        uid: small(row.get(at + 7)?),
        gid: small(row.get(at + 8)?),
        acl: acl(row, at + 13)?,
    };
    let stat = Stat {
        shape: Shape { kind: kind_of(row.get(at + 1)?), len: unbits(row.get(at + 2)?) },
        ino: unbits(row.get(at + 3)?),
        ctime: Wall(row.get(at + 4)?),
        meta,
        nlink: small(row.get(at + 9)?),
        mounted: flags & MOUNTED != 0,
    };
    let digest = digest_of(row.get_ref(at + 11)?.as_blob_or_null()?);
    let (racy, suspect, noise) = (flags & RACY != 0, flags & SUSPECT != 0, flags & NOISE != 0);
    Ok(LocalRow { state, stat, digest, racy, suspect, noise, run: row.get(at + 12)? })
}

/// Columns `kind, len, digest, mtime, mode, uid, gid, stamp, acl`.
pub(super) fn base(row: &Row<'_>) -> rusqlite::Result<Base> {
    let shape = Shape { kind: kind_of(row.get(0)?), len: unbits(row.get(1)?) };
    let digest = digest_of(row.get_ref(2)?.as_blob_or_null()?).unwrap_or(Digest::FOLDER);
    let meta = Meta {
        mtime: Wall(row.get(3)?),
        mode: small(row.get(4)?),
        uid: small(row.get(5)?),
        gid: small(row.get(6)?),
        acl: acl(row, 8)?,
    };
    Ok(Base { content: Content { shape, digest }, meta, stamp: Stamp(row.get_ref(7)?.as_blob()?.into()) })
}

/// Columns `since, bytes, gone, doubt, attempts, sight, origin, hold, message, hint` beginning at `at`.
pub(super) fn open(row: &Row<'_>, at: usize) -> rusqlite::Result<OpenRow> {
    let hold = match row.get::<_, Option<i64>>(at + 7)? {
        None => None,
        Some(code) => Some(HoldRow {
            hold: hold_of(code),
            message: row.get::<_, Option<String>>(at + 8)?.unwrap_or_default(),
            hint: row.get::<_, Option<String>>(at + 9)?.unwrap_or_default(),
        }),
    };
    let origin = row.get_ref(at + 6)?.as_blob_or_null()?.and_then(|bytes| RelPath::new(bytes).ok());
    Ok(OpenRow {
        since: Wall(row.get(at)?),
        bytes: unbits(row.get(at + 1)?),
        gone: row.get(at + 2)?,
        doubt: row.get(at + 3)?,
        attempts: unpack_attempts(row.get_ref(at + 4)?.as_blob_or_null()?.unwrap_or_default()),
        sight: unpack_sight(row.get_ref(at + 5)?.as_blob_or_null()?),
        origin,
        hold,
    })
}

/// Bytes of an attempt: kind, length, digest.
const ATTEMPT: usize = 41;
/// In place of a list's length where nobody told of one.
const NO_LIST: u64 = u64::MAX;

pub(super) fn pack_attempts(attempts: &[Content]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(attempts.len() * ATTEMPT);
    for content in attempts {
        bytes.push(u8::try_from(kind_code(content.shape.kind)).unwrap_or(1));
        bytes.extend(content.shape.len.to_le_bytes());
        bytes.extend(content.digest.0);
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn unpack_attempts(bytes: &[u8]) -> Vec<Content> {
    let mut found = Vec::with_capacity(bytes.len() / ATTEMPT);
    for chunk in bytes.chunks_exact(ATTEMPT) {
        let mut read = Reader(chunk);
        let shape = Shape { kind: kind_of(i64::from(read.byte())), len: read.number() };
        found.push(Content { shape, digest: read.digest() });
    }
    found
}

/// `None`: unseen. One byte 0: absent, 2: troubled, 3: present and its fields; 1: the same without a list.
pub(super) fn pack_sight(sight: &Sight<(Stamp, Seen)>) -> Option<Vec<u8>> {
    match sight {
        Sight::Unseen => None,
        Sight::Absent => Some(vec![0]),
        Sight::Troubled => Some(vec![2]),
        Sight::Present((stamp, seen)) => {
            let mut bytes =
                vec![3, u8::try_from(kind_code(seen.shape.kind)).unwrap_or(1), u8::from(seen.digest.is_some())];
            bytes.extend(seen.shape.len.to_le_bytes());
            bytes.extend(seen.meta.mtime.0.to_le_bytes());
            bytes.extend(u64::from(seen.meta.mode).to_le_bytes());
            bytes.extend(u64::from(seen.meta.uid).to_le_bytes());
            bytes.extend(u64::from(seen.meta.gid).to_le_bytes());
            bytes.extend(seen.digest.unwrap_or(Digest::FOLDER).0);
            let acl = seen.meta.acl.text();
            bytes.extend(acl.map_or(NO_LIST, |acl| acl.len() as u64).to_le_bytes());
            bytes.extend(acl.unwrap_or_default().bytes());
            bytes.extend_from_slice(&stamp.0);
            Some(bytes)
        }
    }
}

pub(super) fn unpack_sight(bytes: Option<&[u8]>) -> Sight<(Stamp, Seen)> {
    match bytes {
        None => Sight::Unseen,
        Some([0, ..]) => Sight::Absent,
        Some([form @ (1 | 3), rest @ ..]) => {
            let mut read = Reader(rest);
            let (kind, read_it) = (kind_of(i64::from(read.byte())), read.byte() == 1);
            let shape = Shape { kind, len: read.number() };
            let mtime = Wall(read.number().cast_signed());
            let mut short = || u32::try_from(read.number()).unwrap_or(0);
            let (mode, uid, gid) = (short(), short(), short());
            let digest = Some(read.digest()).filter(|_| read_it);
            let acl = if *form == 3 { read.acl() } else { Acl::NotKnown };
            let meta = Meta { mode, mtime, uid, gid, acl };
            Sight::Present((Stamp(read.0.into()), Seen { shape, digest, meta }))
        }
        Some(_) => Sight::Troubled,
    }
}

/// Takes fixed-size fields off the front; zeros where the bytes end early.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let n = N.min(self.0.len());
        field[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        field
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn digest(&mut self) -> Digest {
        Digest(self.take())
    }

    /// A length and so many bytes of text.
    fn acl(&mut self) -> Acl {
        let len = self.number();
        let (text, rest) = self.0.split_at(usize::try_from(len).map_or(0, |len| len.min(self.0.len())));
        self.0 = if len == NO_LIST { self.0 } else { rest };
        let text = std::str::from_utf8(text).ok().filter(|_| len != NO_LIST);
        text.and_then(Acl::parse).unwrap_or(Acl::NotKnown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let shape = Shape { kind: Kind::Symlink, len: u64::MAX };
        let list = Acl::parse("u::rw-,u:7:r--,g::r--,m::r--,o::---").expect("a list");
        for (digest, acl) in [(None, Acl::NotKnown), (Some(Digest([9; 32])), Acl::Plain), (None, list)] {
            let meta = Meta { mode: 0o4755, mtime: Wall(-5), uid: u32::MAX, gid: 7, acl };
            let sight = Sight::Present((Stamp(b"abc".as_slice().into()), Seen { shape, digest, meta }));
            assert_eq!(unpack_sight(pack_sight(&sight).as_deref()), sight);
        }
        for sight in [Sight::Unseen, Sight::Absent, Sight::Troubled] {
            assert_eq!(unpack_sight(pack_sight(&sight).as_deref()), sight);
        }
        let attempts = vec![Content::file(Digest([1; 32]), 3), Content::FOLDER];
        assert_eq!(unpack_attempts(&pack_attempts(&attempts).expect("some")), attempts);
        assert_eq!(pack_attempts(&[]), None);
    }
}
