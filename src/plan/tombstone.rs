//! What the share deleted, so that an old copy of it is known when it turns up again.

use crate::model::{Content, Digest, Kept, Kind, Seen, Shape};

/// Something that the share deleted at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its length (bytes); `None` where a target's history does not tell: of a link in a bucket it shows an empty file.
    pub len: Option<u64>,
    /// How its digest begins: all that the name of a version in history tells of it.
    pub begins: [u8; 4],
    /// Its digest, where that is known.
    pub digest: Option<Digest>,
}

impl Tombstone {
    /// Of what was left on a target until it was removed there.
    pub fn of(content: &Content) -> Self {
        Self { len: Some(content.shape.len), begins: beginning(&content.digest), digest: Some(content.digest) }
    }

    /// Of a version that a target keeps; `None` if nothing tells what it holds.
    pub fn recalled(kept: &Kept) -> Option<Self> {
        let begins = kept.seen.digest.as_ref().map(beginning).or(kept.begins)?;
        let empty = Shape { kind: Kind::File, len: 0 };
        let is_told = kept.seen.shape != empty || begins == beginning(&Digest::of(b""));
        Some(Self { len: is_told.then_some(kept.seen.shape.len), begins, digest: kept.seen.digest })
    }

    /// Whether this is what the share deleted; `None` if only reading can tell.
    pub fn names(&self, seen: &Seen) -> Option<bool> {
        if seen.shape.kind == Kind::Folder || self.len.is_some_and(|len| len != seen.shape.len) {
            return Some(false);
        }
        let known = |digest| self.digest.map_or_else(|| beginning(&digest) == self.begins, |mine| mine == digest);
        seen.digest.map(known)
    }
}

fn beginning(digest: &Digest) -> [u8; 4] {
    let [a, b, c, d, ..] = digest.0;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Meta, Which};

    fn seen(kind: Kind, bytes: &[u8], read: bool) -> Seen {
        let shape = Shape { kind, len: bytes.len() as u64 };
        Seen { shape, digest: read.then(|| Digest::of(bytes)), meta: Meta::NOTHING }
    }

    fn kept(seen: Seen, begins: Option<[u8; 4]>) -> Kept {
        Kept { which: Which::Kept(b"v".as_slice().into()), seen, begins, stamp: None }
    }

    #[test]
    fn only_the_same_bytes_are_what_was_deleted_and_what_was_not_read_may_be() {
        let old = Content::file(Digest::of(b"old"), 3);
        let unread = seen(Kind::File, b"old", false);
        let tombstones = [
            Tombstone::of(&old),
            Tombstone::recalled(&kept(unread, Some(beginning(&old.digest)))).expect("its name tells"),
            Tombstone::recalled(&kept(seen(Kind::File, b"old", true), None)).expect("it was read"),
        ];
        for tombstone in tombstones {
            let table = [
                (seen(Kind::File, b"old", true), Some(true)),
                (unread, None),
                (seen(Kind::File, b"new", true), Some(false)),
                (seen(Kind::File, b"longer", false), Some(false)),
                (Seen { shape: Content::FOLDER.shape, digest: None, meta: Meta::NOTHING }, Some(false)),
                (Seen { digest: Some(Digest::UNPROVED), ..unread }, Some(false)),
            ];
            for (seen, wanted) in table {
                assert_eq!(tombstone.names(&seen), wanted, "{tombstone:?} {seen:?}");
            }
        }
    }

    #[test]
    fn a_link_of_which_a_bucket_shows_an_empty_file_is_known_by_its_digest() {
        let link = seen(Kind::Symlink, b"to", true);
        let shown = kept(seen(Kind::File, b"", false), Some(beginning(&Digest::of(b"to"))));
        let tombstone = Tombstone::recalled(&shown).expect("its name tells");
        assert_eq!(tombstone.names(&link), Some(true));
        assert_eq!(tombstone.names(&seen(Kind::Symlink, b"else", true)), Some(false));
        let empty = kept(seen(Kind::File, b"", false), Some(beginning(&Digest::of(b""))));
        assert_eq!(Tombstone::recalled(&empty).expect("its name tells").len, Some(0));
    }

    #[test]
    fn what_was_never_read_leaves_no_tombstone() {
        assert_eq!(Tombstone::recalled(&kept(seen(Kind::File, b"x", false), None)), None);
    }
}
