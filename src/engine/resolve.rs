//! Resolving a conflict: the version of a target that gave way is found in its history, read, proved, and put on the share.
//!
//! It works beside an agent and without one, and what was cut off is finished by doing it again: what lies there already is
//! not put there a second time. Not here: which conflict is meant and what is said of it (`cli`), and that it is over
//! (the index, once the share has what was wanted).

use std::io;
use std::path::Path;

use crate::index::{ConflictMatter, Resolution, Side};
use crate::local::{Fresh, Landing, Refusal, RootId};
use crate::model::{Digest, Kept, Kind, Past, RelPath, Seen, Shape, Stat, Wall, Was, Which};
use crate::target::{Fault, Piece, ReadError, Target, TargetError};

/// Names of runs that resolve something begin so.
const PREFIX: &str = "resolve-";
/// Longest name of a file (bytes), as Linux has it.
const NAME_MAX: usize = 255;
/// Longest ending of a name that is taken for one (bytes).
const ENDING_MAX: usize = 16;
/// Names beside that are tried (count): others may lie there.
const BESIDE_MAX: u32 = 1000;

/// What is to be done, and where.
pub struct Wanted<'a> {
    /// Where the version lies.
    pub target: &'a dyn Target,
    /// What it is about.
    pub conflict: &'a ConflictMatter,
    /// Which version is kept.
    pub kept: Resolution,
    /// What stands in the name of a version that is put beside: from where and from when.
    pub note: &'a str,
    /// The share's folder.
    pub root: &'a Path,
    /// What marks it, if it is bound.
    pub root_id: Option<RootId>,
    /// Names this run among those that kept something.
    pub run: &'a str,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Where the target's version lies now; `None` if nothing had to be put anywhere.
    pub put: Option<RelPath>,
    /// It lay there already.
    pub same: bool,
    /// The folder in which what gave way on the share is kept.
    pub kept_in: Option<RelPath>,
}

/// Why it was not done. Nothing was changed then.
#[derive(Debug)]
pub enum Unresolved {
    /// The version is not in the target's history any more.
    Gone,
    /// Somebody has the share's file open for writing.
    Busy,
    /// The share's changed just now, or something else than a file lies there or in the way.
    Changed,
    /// The share is not the one that it was bound to.
    Offline(String),
    /// The share's disk.
    Share(io::Error),
    /// The target.
    Target(TargetError),
}

impl From<io::Error> for Unresolved {
    fn from(error: io::Error) -> Self {
        Self::Share(error)
    }
}

impl From<Refusal> for Unresolved {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy => Self::Busy,
            Refusal::Changed | Refusal::Occupied => Self::Changed,
            Refusal::Failed(error) => Self::Share(error),
        }
    }
}

/// Has the share hold what was wanted. It is durable when this returns.
pub fn resolve(wanted: &Wanted<'_>) -> Result<Resolved, Unresolved> {
    if wanted.kept == Resolution::Share {
        return Ok(Resolved::default());
    }
    let versions = versions(wanted.target, wanted.conflict)?;
    let run = format!("{PREFIX}{}", wanted.run);
    let landing = match &wanted.root_id {
        Some(id) => Landing::open_bound(wanted.root, id, &run).map_err(Unresolved::Offline)?,
        None => Landing::open(wanted.root, &run)?,
    };
    // What an earlier one that was cut off has left; of one that runs at the same time it says to try again.
    landing.sweep(PREFIX.as_bytes())?;
    let done = put(wanted, &landing, &versions);
    landing.finish()?;
    let kept_in = (landing.kept() > 0).then(|| landing.kept_in());
    done.map(|done| Resolved { kept_in, ..done })
}

fn put(wanted: &Wanted<'_>, landing: &Landing, versions: &[Which]) -> Result<Resolved, Unresolved> {
    let path = &wanted.conflict.path;
    let (fresh, digest) = bring(wanted, landing, versions)?;
    landing.flush(std::slice::from_ref(&fresh))?;
    let shape = wanted.conflict.what.theirs.shape;
    let is_it = |there: &Stat, at: &RelPath| {
        Ok::<_, Unresolved>(there.shape == shape && landing.digest(at, shape.kind)? == digest)
    };
    let done = |put: &RelPath, same| Resolved { put: Some(put.clone()), same, kept_in: None };
    if wanted.kept == Resolution::Target {
        let there = landing.seen(path)?;
        if there.is_some_and(|there| there.shape.kind == Kind::Folder) {
            return Err(Unresolved::Changed);
        }
        if let Some(there) = &there
            && is_it(there, path)?
        {
            return Ok(done(path, true));
        }
        fresh.place_over(path, there.as_ref())?;
        return Ok(done(path, false));
    }
    for number in 1..=BESIDE_MAX {
        let name = beside(path.name(), wanted.note, number);
        let parent = path.parent().unwrap_or_else(RelPath::root);
        let Ok(at) = parent.join(&name) else { break };
        match landing.seen(&at) {
            Ok(None) => {
                fresh.place_over(&at, None)?;
                return Ok(done(&at, false));
            }
            Ok(Some(there)) if is_it(&there, &at)? => return Ok(done(&at, true)),
            // Somebody else's, or what cannot be told.
            Ok(Some(_)) | Err(Refusal::Changed) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Unresolved::Changed)
}

/// Reads the first of these versions that holds what gave way.
fn bring<'a>(wanted: &Wanted<'_>, landing: &'a Landing, versions: &[Which]) -> Result<(Fresh<'a>, Digest), Unresolved> {
    for which in versions {
        let mut fresh = landing.begin()?;
        let (mut head, mut link) = (None::<Seen>, Vec::new());
        let read = wanted.target.read(&wanted.conflict.path, which, &mut |piece| match piece {
            Piece::Head(seen) => {
                head = Some(*seen);
                Ok(true)
            }
            Piece::Bytes(bytes) if head.is_some_and(|seen| seen.shape.kind == Kind::Symlink) => {
                link.extend_from_slice(bytes);
                Ok(true)
            }
            Piece::Bytes(bytes) => fresh.write(bytes).map(|()| true),
        });
        match (read, head) {
            (Ok(()), Some(head)) => {
                match head.shape.kind {
                    Kind::Symlink => fresh.link(&link, &head.meta)?,
                    Kind::File | Kind::Folder => fresh.end_file(&head.meta)?,
                }
                let digest = fresh.written().0;
                let meant = [wanted.conflict.what.theirs.digest, head.digest].into_iter().flatten();
                let is_meant = meant.filter(|meant| *meant != Digest::UNPROVED).all(|meant| meant == digest);
                if is_meant && head.shape.kind == wanted.conflict.what.theirs.shape.kind {
                    return Ok((fresh, digest));
                }
            }
            (Ok(()), None) => {}
            (Err(ReadError::Taker(error)), _) => return Err(error.into()),
            // Pruned meanwhile.
            (Err(ReadError::Target(error)), _) if error.fault == Fault::Stale => {}
            (Err(ReadError::Target(error)), _) => return Err(Unresolved::Target(error)),
        }
    }
    Err(Unresolved::Gone)
}

/// The versions in history that may be the one that gave way, the likeliest first.
fn versions(target: &dyn Target, conflict: &ConflictMatter) -> Result<Vec<Which>, Unresolved> {
    let mut found = Vec::new();
    let told = target.past(&conflict.path, Wall(i64::MIN), &mut |past| {
        if let Past::Changed { path, at, was: Was::Version(kept) } = past
            && path == conflict.path
            && may_be(&kept, &conflict.what.theirs)
        {
            found.push((likeness(&kept, at, conflict), kept.which));
        }
        true
    });
    told.map_err(Unresolved::Target)?;
    found.sort_by_key(|(likeness, _)| *likeness);
    Ok(found.into_iter().map(|(_, which)| which).collect())
}

/// Whether nothing that is told of a version speaks against its being the one that gave way.
fn may_be(kept: &Kept, theirs: &Side) -> bool {
    // Of a link in a bucket a listing tells an empty file.
    let link = theirs.shape.kind == Kind::Symlink && kept.seen.shape == Shape { kind: Kind::File, len: 0 };
    let shape = link || kept.seen.shape == theirs.shape;
    let digest = match (kept.begins, theirs.digest.unwrap_or(Digest::UNPROVED)) {
        (None, _) => true,
        (Some(begins), digest) => digest.0[..4] == begins,
    };
    shape && digest
}

/// The smaller the likelier: its stamp or its time is that of theirs, and it gave way when the conflict arose. Two clocks are
/// compared there, and nothing but the order of trying depends on it.
fn likeness(kept: &Kept, at: Wall, conflict: &ConflictMatter) -> (bool, bool, u64) {
    let what = &conflict.what;
    let other_stamp = kept.stamp.as_ref() != Some(&what.stamp);
    (other_stamp, kept.seen.meta.mtime != what.theirs.mtime, at.0.abs_diff(conflict.since.0))
}

/// The name of a version that is put beside `name`: `report (note).odt`, with a number where that is taken. Cut where it would
/// be too long.
fn beside(name: &[u8], note: &str, number: u32) -> Vec<u8> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0 && name.len() - at <= ENDING_MAX);
    let (stem, ending) = name.split_at(dot.unwrap_or(name.len()));
    let note = if number == 1 { format!(" ({note})") } else { format!(" ({note} {number})") };
    let mut room = NAME_MAX.saturating_sub(note.len() + ending.len()).min(stem.len());
    // Never within a character.
    while room > 0 && room < stem.len() && stem[room] & 0xc0 == 0x80 {
        room -= 1;
    }
    [&stem[..room], note.as_bytes(), ending].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Conflict;
    use crate::model::{Meta, Stamp};

    #[test]
    fn a_version_beside_keeps_its_ending_and_fits() {
        let table = [
            ("report.odt", 1, "report (conflict from efs).odt"),
            ("report.odt", 2, "report (conflict from efs 2).odt"),
            ("README", 1, "README (conflict from efs)"),
            (".profile", 1, ".profile (conflict from efs)"),
            ("a.tar.gz", 1, "a.tar (conflict from efs).gz"),
            ("v1.a sentence, no ending", 1, "v1.a sentence, no ending (conflict from efs)"),
        ];
        for (name, number, wanted) in table {
            let named = beside(name.as_bytes(), "conflict from efs", number);
            assert_eq!(String::from_utf8_lossy(&named), wanted);
        }
        let long = format!("{}.odt", "ä".repeat(125));
        let named = beside(long.as_bytes(), "conflict from efs", 1);
        assert!(named.len() <= NAME_MAX && named.ends_with("ä (conflict from efs).odt".as_bytes()), "{named:?}");
        assert!(String::from_utf8(named).is_ok(), "cut between two characters");
    }

    fn kept(text: &str, mtime: i64, begins: Option<[u8; 4]>) -> Kept {
        let shape = Shape { kind: Kind::File, len: text.len() as u64 };
        let seen = Seen { shape, digest: None, meta: Meta { mtime: Wall(mtime), ..Meta::UNTOLD } };
        Kept { which: Which::Kept(text.as_bytes().into()), seen, begins, stamp: None }
    }

    fn begins(text: &str) -> [u8; 4] {
        let [a, b, c, d, ..] = Digest::of(text.as_bytes()).0;
        [a, b, c, d]
    }

    #[test]
    fn only_what_may_be_the_version_is_read_and_the_likeliest_first() {
        let shape = Shape { kind: Kind::File, len: 6 };
        let read = Side { shape, digest: Some(Digest::of(b"theirs")), mtime: Wall(5), uid: 0 };
        let unread = Side { digest: None, ..read };
        let table = [
            (kept("theirs", 5, Some(begins("theirs"))), true, false),
            (kept("theirs", 5, None), true, true),
            (kept("others", 5, Some(begins("others"))), false, false),
            (kept("longer one", 5, None), false, false),
            (kept("theirs", 5, Some([0xff; 4])), false, true),
        ];
        for (kept, of_read, of_unread) in table {
            assert_eq!((may_be(&kept, &read), may_be(&kept, &unread)), (of_read, of_unread), "{kept:?}");
        }
        let what = Conflict { stamp: Stamp(b"s".as_slice().into()), theirs: unread, ours: read, both_new: false };
        let path = RelPath::new("a").expect("a path");
        let (share, target) = ("s".to_owned(), "t".to_owned());
        let conflict = ConflictMatter { id: 1, share, target, path, since: Wall(100), what };
        let stamped = Kept { stamp: Some(conflict.what.stamp.clone()), ..kept("theirs", 6, None) };
        let it = likeness(&stamped, Wall(0), &conflict);
        let likeness = |mtime, at| likeness(&kept("theirs", mtime, None), Wall(at), &conflict);
        assert!(it < likeness(5, 100), "its stamp before all");
        assert!(likeness(5, 10) < likeness(6, 100), "its own time first");
        assert!(likeness(6, 90) < likeness(6, 120), "then when it gave way");
    }
}
