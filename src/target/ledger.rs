//! What history alone does not tell, line by line, the same on every target that keeps history itself: since when
//! something lies where nothing lay, where an empty folder was, and what was renamed.
//!
//! A line is a time, a word and paths, with tabs between. It is written before what it tells of becomes visible (a rename:
//! right after): `absent` and `folder` say what lay there until then, which is true even if the change was not made.
//! Without its ledger a target can still give back every version; it no longer knows since when a file exists.

use super::version_name::{compact, parse_compact};
use super::{Change, Step};
use crate::model::{Digest, Past, RelPath, Wall, Was};
use crate::plan::Guard;

/// The folder below `.driftline` in which it lies.
pub(super) const FOLDER: &str = "ledger";

const ABSENT: &[u8] = b"absent";
const WAS_FOLDER: &[u8] = b"folder";
const MOVED: &[u8] = b"moved";

/// The lines to write before these steps are made, in this order; empty if none is needed.
pub(super) fn before(steps: &[Step], at: Wall) -> Vec<u8> {
    let mut text = Vec::new();
    for (count, step) in steps.iter().enumerate() {
        let word = match (&step.guard, step.replaces, &step.change) {
            // With something that it replaces, ours vanished there: when, nobody knows.
            (Guard::Absent, None, Change::Publish { .. } | Change::Link { .. } | Change::MakeFolder { .. }) => ABSENT,
            (
                Guard::Unchanged(_),
                Some(Digest::FOLDER),
                Change::Publish { .. } | Change::Link { .. } | Change::Remove,
            ) => WAS_FOLDER,
            _ => continue,
        };
        if let Some(path) = called_before(&steps[..count], &step.path) {
            line(&mut text, at, word, &[&path]);
        }
    }
    text
}

/// What a path was called before these steps; `None` if something else bears its name then.
fn called_before(steps: &[Step], path: &RelPath) -> Option<RelPath> {
    let mut called = path.clone();
    for step in steps.iter().rev() {
        if let Change::Move { from } = &step.change {
            match called.rebased(&step.path, from) {
                Some(before) => called = before,
                None if called == *from || from.is_above(&called) => return None,
                None => {}
            }
        }
    }
    Some(called)
}

/// The line to write after a rename.
pub(super) fn moved(text: &mut Vec<u8>, at: Wall, from: &RelPath, to: &RelPath) {
    line(text, at, MOVED, &[from, to]);
}

fn line(text: &mut Vec<u8>, at: Wall, word: &[u8], paths: &[&RelPath]) {
    if text.is_empty() {
        // Whatever was cut off before is a line of its own, which nobody understands.
        text.push(b'\n');
    }
    text.extend_from_slice(compact(at).as_bytes());
    text.push(b'\t');
    text.extend_from_slice(word);
    for path in paths {
        text.push(b'\t');
        path.as_bytes().iter().for_each(|byte| match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            byte => text.push(*byte),
        });
    }
    text.push(b'\n');
}

/// What one line tells; `None` for a line that was cut off, or that a newer program wrote.
pub(super) fn parse(line: &[u8]) -> Option<Past> {
    let mut fields = line.split(|byte| *byte == b'\t');
    let at = parse_compact(std::str::from_utf8(fields.next()?).ok()?)?;
    let word = fields.next()?;
    let mut path = || fields.next().and_then(unescaped);
    let past = match word {
        ABSENT => Past::Changed { path: path()?, at, was: Was::Absent },
        WAS_FOLDER => Past::Changed { path: path()?, at, was: Was::Folder },
        MOVED => Past::Moved { at, from: path()?, to: path()? },
        _ => return None,
    };
    fields.next().is_none().then_some(past)
}

fn unescaped(text: &[u8]) -> Option<RelPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                b'n' => b'\n',
                _ => return None,
            },
            byte => *byte,
        });
    }
    RelPath::new(bytes).ok().filter(|path| !path.is_root())
}

/// The time of a line, for files of lines that are older than what is asked for.
pub(super) fn day_of(at: Wall) -> String {
    compact(at)[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, Meta, Stamp};

    fn path(bytes: impl AsRef<[u8]>) -> RelPath {
        RelPath::new(bytes).expect("a test's path is fine")
    }

    fn read(text: &[u8]) -> Vec<Past> {
        text.split(|byte| *byte == b'\n').filter_map(parse).collect()
    }

    const AT: Wall = Wall(1_795_456_144_123_456_789);
    const META: Meta = Meta { mode: 0o644, mtime: Wall(0), ..Meta::NOTHING };

    fn step(change: Change, guard: Guard, replaces: Option<Digest>) -> Step {
        Step { path: path("a/b"), change, guard, replaces }
    }

    #[test]
    fn every_path_comes_back() {
        for bytes in [&b"a\tb\nc\\n/d"[..], b"\xff\xfe", b"\\", b"a b", "\u{201b}\u{85}".as_bytes()] {
            let mut text = Vec::new();
            moved(&mut text, AT, &path(bytes), &path("x"));
            assert_eq!(read(&text), [Past::Moved { at: AT, from: path(bytes), to: path("x") }]);
        }
    }

    #[test]
    fn only_what_history_does_not_tell_is_written() {
        let link = || Change::Link { to: b"x".to_vec(), content: Content::symlink(Digest::of(b"x"), 1), meta: META };
        let old = || Guard::Unchanged(Stamp(b"old"[..].into()));
        let some = Some(Digest::of(b"old"));
        let absent = vec![Past::Changed { path: path("a/b"), at: AT, was: Was::Absent }];
        let folder = vec![Past::Changed { path: path("a/b"), at: AT, was: Was::Folder }];
        let table = [
            (step(link(), Guard::Absent, None), absent.clone(), "a new link"),
            (step(Change::MakeFolder { meta: META }, Guard::Absent, None), absent, "a new folder"),
            (step(link(), Guard::Absent, some), vec![], "one put back where it vanished"),
            (step(link(), old(), some), vec![], "one that history keeps"),
            (step(link(), old(), Some(Digest::FOLDER)), folder.clone(), "a link in place of an empty folder"),
            (step(Change::Remove, old(), Some(Digest::FOLDER)), folder, "a folder that goes"),
            (step(Change::Remove, old(), some), vec![], "a file that goes to history"),
            (step(Change::SetMeta { meta: META }, old(), Some(Digest::FOLDER)), vec![], "another mode"),
            (step(Change::Move { from: path("c") }, old(), None), vec![], "a rename is told afterwards"),
        ];
        for (step, wanted, what) in table {
            assert_eq!(read(&before(&[step], AT)), wanted, "{what}");
        }
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let (mut text, mut next) = (Vec::new(), Vec::new());
        moved(&mut text, AT, &path("a"), &path("b"));
        moved(&mut next, AT, &path("c"), &path("d"));
        for cut in 1..text.len() - 1 {
            let all = [&text[..cut], &next].concat();
            assert!(read(&all).contains(&Past::Moved { at: AT, from: path("c"), to: path("d") }), "{cut}");
        }
    }

    #[test]
    fn what_is_not_a_line_of_ours_is_passed_over() {
        let ours = "20261123T174904.123456789Z";
        for bad in [
            "",
            "x",
            &format!("{ours}\tabsent"),
            &format!("{ours}\tabsent\ta\tb"),
            &format!("{ours}\tfuture\ta"),
            &format!("{ours}\tabsent\t../a"),
            &format!("{ours}\tabsent\ta\\x"),
            "20269923T174904.123456789Z\tabsent\ta",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
