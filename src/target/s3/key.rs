//! Names as keys: one codec, reversible and injective, so that nothing is skipped and nothing is guessed.
//!
//! A path is its own key below the prefix, so that every other tool finds the files under their names. Only what a key
//! cannot hold is written differently: each byte that is not part of valid UTF-8, and each byte of a control character
//! or of a character that XML forbids, and a backslash (which some servers take for a slash), becomes `‛XX` (U+201B and two upper-case hex digits), as does each of a path of
//! nothing but space; and `‛` itself becomes `‛‛`.
//! That is also how rclone writes bytes that are not UTF-8. A key that no path is written as is unmappable: shown, never
//! touched. Folders are keys with a slash behind them.

use crate::model::{RESERVED, RelPath};

/// Longest key (bytes): a limit of S3 ("Naming Amazon S3 objects").
pub(super) const KEY_MAX: usize = 1024;

/// Marks what was written differently. Not common in names, and not ASCII.
const QUOTE: char = '\u{201b}';

/// What a key below the prefix stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A file or a link.
    Object(RelPath),
    /// A folder's marker.
    Folder(RelPath),
    /// Something of ours.
    Ours,
    /// No path is written like this.
    Strange,
}

/// Where a target lies in its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(String);

impl Prefix {
    /// From the configuration: without slashes at its ends; empty for the whole bucket.
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim_matches('/');
        Self(if text.is_empty() { String::new() } else { format!("{text}/") })
    }

    /// All keys of the target begin with it: empty, or with a slash at its end.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a file or a link.
    pub(super) fn object(&self, path: &RelPath) -> String {
        format!("{}{}", self.0, encode(path))
    }

    /// The key of a folder's marker, with which all keys in the folder begin. The root's is the prefix itself.
    pub(super) fn folder(&self, path: &RelPath) -> String {
        if path.is_root() { self.0.clone() } else { self.object(path) + "/" }
    }

    /// The key of something of ours; `rest` is ASCII.
    pub(super) fn ours(&self, rest: &str) -> String {
        format!("{}.driftline/{rest}", self.0)
    }

    /// What a key stands for; `None` if it does not lie below the prefix.
    pub(super) fn meaning(&self, key: &str) -> Option<Meaning> {
        let rest = key.strip_prefix(&self.0)?;
        let (text, is_folder) = rest.strip_suffix('/').map_or((rest, false), |text| (text, true));
        let path = decode(text).filter(|path| encode(path) == text && !path.is_root());
        Some(match path {
            // The prefix's own marker, if someone made one.
            None if rest.is_empty() => Meaning::Ours,
            None => Meaning::Strange,
            Some(path) if path.parts().next() == Some(RESERVED) => Meaning::Ours,
            Some(path) if is_folder => Meaning::Folder(path),
            Some(path) => Meaning::Object(path),
        })
    }
}

/// A path as a key has it.
pub(super) fn encode(path: &RelPath) -> String {
    let bytes = path.as_bytes();
    let mut key = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                QUOTE => key.extend([QUOTE, QUOTE]),
                c if is_forbidden(c) => {
                    let mut buffer = [0; 4];
                    c.encode_utf8(&mut buffer).bytes().for_each(|byte| quote(&mut key, byte));
                }
                c => key.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| quote(&mut key, *byte));
    }
    if !key.is_empty() && key.trim().is_empty() {
        // Clients take a key of nothing but space for none.
        let blank = std::mem::take(&mut key);
        blank.bytes().for_each(|byte| quote(&mut key, byte));
    }
    key
}

/// XML 1.0 has no way to write most of these (<https://www.w3.org/TR/xml/#charsets>), so that one of them would spoil a
/// whole listing.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\\' | '\u{fffe}' | '\u{ffff}')
}

fn quote(key: &mut String, byte: u8) {
    key.push(QUOTE);
    key.push_str(&format!("{byte:02X}"));
}

/// The bytes that a text could stand for; the caller checks that they are written so.
pub(super) fn decode(text: &str) -> Option<RelPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(QUOTE) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + QUOTE.len_utf8()..];
        if let Some(after) = rest.strip_prefix(QUOTE) {
            bytes.extend_from_slice(QUOTE.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
            rest = &rest[2..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    RelPath::new(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: impl AsRef<[u8]>) -> RelPath {
        RelPath::new(bytes).expect("a test's path is fine")
    }

    #[test]
    fn plain_names_are_their_own_keys() {
        let prefix = Prefix::new("/office/projects/");
        assert_eq!(prefix.object(&path("a b/Grüße.txt")), "office/projects/a b/Grüße.txt");
        assert_eq!(prefix.folder(&path("a b")), "office/projects/a b/");
        assert_eq!(prefix.folder(&RelPath::root()), "office/projects/");
        assert_eq!(Prefix::new("").object(&path("a")), "a");
        assert_eq!(prefix.ours("identity"), "office/projects/.driftline/identity");
    }

    #[test]
    fn what_a_key_cannot_hold_is_written_differently() {
        let table: [(&[u8], &str); 9] = [
            (b" ", "‛20"),
            (b" /a", " /a"),
            (b"a\\b", "a‛5Cb"),
            (b"\xff\xfe", "‛FF‛FE"),
            (b"a\nb", "a‛0Ab"),
            ("x\u{201b}y".as_bytes(), "x‛‛y"),
            (b"\x7f", "‛7F"),
            ("\u{85}".as_bytes(), "‛C2‛85"),
            ("\u{ffff}".as_bytes(), "‛EF‛BF‛BF"),
        ];
        for (name, key) in table {
            assert_eq!(encode(&path(name)), key);
        }
    }

    #[test]
    fn every_path_comes_back_and_no_two_share_a_key() {
        let parts: [&[u8]; 9] =
            [b"a", b"\xff", b"\xe2\x80", b"\x9b", "\u{201b}".as_bytes(), b"F", b"\n", b"0A", "\u{201b}0A".as_bytes()];
        let prefix = Prefix::new("p");
        let mut keys = std::collections::BTreeMap::new();
        for (one, two, three) in parts.iter().flat_map(|a| {
            let parts = &parts;
            parts.iter().flat_map(move |b| parts.iter().map(move |c| (*a, *b, *c)))
        }) {
            for glue in [&b""[..], b"/"] {
                let name = path([one, two, glue, three].concat());
                let key = prefix.object(&name);
                assert_eq!(prefix.meaning(&key), Some(Meaning::Object(name.clone())), "{name}");
                assert_eq!(prefix.meaning(&prefix.folder(&name)), Some(Meaning::Folder(name.clone())), "{name}");
                let other = keys.insert(key, name.clone());
                assert!(other.is_none_or(|other| other == name), "{name}");
            }
        }
    }

    #[test]
    fn keys_that_no_path_is_written_as_are_strange() {
        let prefix = Prefix::new("p");
        for rest in ["a//b", "/a", "a/../b", ".", "..", "./a", "‛0a", "‛41", "‛", "x‛", "‛ZZ", "a\u{1}b", "a//", "//"]
        {
            assert_eq!(prefix.meaning(&format!("p/{rest}")), Some(Meaning::Strange), "{rest:?}");
        }
        assert_eq!(prefix.meaning("p/"), Some(Meaning::Ours));
        assert_eq!(prefix.meaning("p/.driftline/identity"), Some(Meaning::Ours));
        assert_eq!(prefix.meaning("q/a"), None);
        assert_eq!(prefix.meaning("p"), None);
    }
}
