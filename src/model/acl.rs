//! A POSIX access control list as a value: what a file permits beyond its permission bits.
//!
//! Its text is what `setfacl --set` takes: entries parted by commas, users and groups by number, those that a folder hands
//! on to what is made in it with `d:` before them. Not here: how a file system is asked for one (`sys`).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Different lists that are remembered at once (count). An office has a few dozen, one for each group of its folders. Beyond,
/// a further one counts as not told: its file is carried without it.
const LISTS_MAX: usize = 65_536;
/// Longest text of one (bytes): ext4 keeps a file's in one block of 4 KiB, which is up to 510 entries of 8 bytes.
const TEXT_MAX: usize = 16 * 1024;

/// The version that the bytes of the system's own form begin with: `POSIX_ACL_XATTR_VERSION` in Linux.
const VERSION: u32 = 2;
/// What entries without a user or group have in place of one: `ACL_UNDEFINED_ID`.
const NO_ID: u32 = u32::MAX;
/// Bytes of an entry: a tag, permissions, a number.
const ENTRY: usize = 8;
/// Tags, as `linux/posix_acl.h` has them, their letter in the text, and whether a number belongs to them; in the order that
/// the system wants.
const TAGS: [(u16, char, bool); 6] = [
    (0x01, 'u', false),
    (0x02, 'u', true),
    (0x04, 'g', false),
    (0x08, 'g', true),
    (0x10, 'm', false),
    (0x20, 'o', false),
];

/// Each list once, for as long as the program runs: so that [`Acl`], and all that has one, is as small and as easily copied as
/// a number. It grows with the different lists, never with the files.
static LISTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// What a file or folder permits beyond its permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acl {
    /// Nobody told: it was not asked for, or the place knows no such lists.
    NotKnown,
    /// Nothing.
    Plain,
    /// This list.
    Listed(Listed),
}

/// A list, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listed(&'static str);

impl Listed {
    /// The text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Among [`TAGS`].
    tag: usize,
    id: u32,
    /// Read 4, write 2, execute 1.
    permits: u16,
}

impl Acl {
    /// The list that a text describes; `None` if it describes none. The empty text is [`Acl::Plain`].
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Plain);
        }
        let (mut own, mut handed_on) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            match part.strip_prefix("d:") {
                Some(part) => handed_on.push(Entry::parse(part)?),
                None => own.push(Entry::parse(part)?),
            }
        }
        Self::of(own, handed_on)
    }

    /// The list in the system's own form: what holds for the thing itself, and what a folder hands on. `None` if the bytes
    /// are no lists.
    pub fn from_system(own: Option<&[u8]>, handed_on: Option<&[u8]>) -> Option<Self> {
        let entries = |bytes: Option<&[u8]>| bytes.map_or_else(|| Some(Vec::new()), entries);
        Self::of(entries(own)?, entries(handed_on)?)
    }

    fn of(mut own: Vec<Entry>, mut handed_on: Vec<Entry>) -> Option<Self> {
        own.sort_unstable();
        handed_on.sort_unstable();
        if !is_whole(&own) || !is_whole(&handed_on) {
            return None;
        }
        let own = own.iter().map(ToString::to_string);
        let handed_on = handed_on.iter().map(|entry| format!("d:{entry}"));
        let text = own.chain(handed_on).collect::<Vec<_>>().join(",");
        Some(if text.is_empty() { Self::Plain } else { remembered(text) })
    }

    /// In the system's own form: what holds for the thing itself, and what a folder hands on.
    pub fn to_system(self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let Self::Listed(Listed(text)) = self else { return (None, None) };
        let bytes = |of_folder: bool| {
            let parts = text.split(',').filter(|part| part.starts_with("d:") == of_folder);
            let entries: Vec<_> =
                parts.filter_map(|part| Entry::parse(part.strip_prefix("d:").unwrap_or(part))).collect();
            (!entries.is_empty()).then(|| {
                let all = entries.iter().flat_map(|entry| entry.to_bytes());
                VERSION.to_le_bytes().into_iter().chain(all).collect()
            })
        };
        (bytes(false), bytes(true))
    }

    /// The text; empty for a thing without a list, `None` if nobody told.
    pub fn text(self) -> Option<&'static str> {
        match self {
            Self::NotKnown => None,
            Self::Plain => Some(""),
            Self::Listed(listed) => Some(listed.as_str()),
        }
    }

    /// True unless both are told and differ.
    pub fn agrees(self, other: Self) -> bool {
        self == other || self == Self::NotKnown || other == Self::NotKnown
    }

    /// This one, or the other where this one is not told.
    pub fn or(self, other: Self) -> Self {
        if self == Self::NotKnown { other } else { self }
    }

    /// True if there is a list.
    pub fn is_listed(self) -> bool {
        matches!(self, Self::Listed(_))
    }
}

fn remembered(text: String) -> Acl {
    // Each change is one insertion, so a panic elsewhere leaves it whole.
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.get(text.as_str()) {
        return Acl::Listed(Listed(known));
    }
    if lists.len() >= LISTS_MAX || text.len() > TEXT_MAX {
        return Acl::NotKnown;
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    lists.insert(text);
    Acl::Listed(Listed(text))
}

/// A list has each of its three classes once, nobody twice, and a mask if anybody is named. Or it is empty.
fn is_whole(entries: &[Entry]) -> bool {
    let count = |tag: usize| entries.iter().filter(|entry| entry.tag == tag).count();
    let named = count(1) + count(3);
    let twice = entries.windows(2).any(|pair| (pair[0].tag, pair[0].id) == (pair[1].tag, pair[1].id));
    entries.is_empty()
        || (!twice && [0, 2, 5].iter().all(|tag| count(*tag) == 1) && count(4) <= 1 && (named == 0 || count(4) == 1))
}

fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (version, rest) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || rest.len() % ENTRY != 0 {
        return None;
    }
    rest.chunks_exact(ENTRY).map(Entry::from_bytes).collect()
}

impl Entry {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (code, permits) = (short(0)?, short(2)?);
        let id = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        let tag = TAGS.iter().position(|(known, _, _)| *known == code)?;
        let id = if TAGS[tag].2 { id } else { NO_ID };
        (permits <= 7).then_some(Self { tag, id, permits })
    }

    fn to_bytes(self) -> [u8; ENTRY] {
        let (mut bytes, (code, _, _)) = ([0; ENTRY], TAGS[self.tag]);
        bytes[..2].copy_from_slice(&code.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.permits.to_le_bytes());
        bytes[4..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (letter, id, permits) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || permits.len() != 3 {
            return None;
        }
        let named = !id.is_empty();
        let tag = TAGS.iter().position(|(_, known, has_id)| letter == known.to_string() && *has_id == named)?;
        let id = if named { id.parse::<u32>().ok().filter(|id| *id != NO_ID)? } else { NO_ID };
        let mut bits = 0;
        for (wanted, found) in "rwx".chars().zip(permits.chars()) {
            bits = (bits << 1)
                | match found {
                    '-' => 0,
                    found if found == wanted => 1,
                    _ => return None,
                };
        }
        Some(Self { tag, id, permits: bits })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, letter, named) = TAGS[self.tag];
        let id = if named { self.id.to_string() } else { String::new() };
        let permit = |bit: u16, letter: char| if self.permits & bit == 0 { '-' } else { letter };
        write!(f, "{letter}:{id}:{}{}{}", permit(4, 'r'), permit(2, 'w'), permit(1, 'x'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "u::rw-,u:7:r--,u:1000:rwx,g::r--,g:50:-w-,m::rwx,o::---";
    const FOLDER: &str = "u::rwx,g::r-x,o::r-x,d:u::rwx,d:u:7:r-x,d:g::r-x,d:m::r-x,d:o::---";

    #[test]
    fn a_text_becomes_a_list_and_the_same_text_again() {
        for text in [OWN, FOLDER, "d:u::rwx,d:g::r-x,d:o::r-x", ""] {
            assert_eq!(Acl::parse(text).and_then(Acl::text), Some(text));
        }
        let mixed = "o::---,m::rwx,u:1000:rwx,g::r--,u:7:r--,g:50:-w-,u::rw-";
        assert_eq!(Acl::parse(mixed), Acl::parse(OWN));
    }

    #[test]
    fn the_systems_form_comes_back() {
        for text in [OWN, FOLDER] {
            let list = Acl::parse(text).expect("a list");
            let (own, handed_on) = list.to_system();
            assert_eq!(Acl::from_system(own.as_deref(), handed_on.as_deref()), Some(list));
        }
        assert_eq!(Acl::Plain.to_system(), (None, None));
        assert_eq!(Acl::from_system(None, None), Some(Acl::Plain));
        // As `getfattr -e hex` showed it for `setfacl -m u:1000:rw-` on a file of mode 0644.
        let bytes = "02000000 01000600ffffffff 02000600e8030000 04000400ffffffff 10000600ffffffff 20000400ffffffff";
        let bytes: String = bytes.split(' ').collect();
        let bytes: Vec<u8> =
            (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).expect("hex")).collect();
        let list = Acl::from_system(Some(&bytes), None).expect("a list");
        assert_eq!(list.text(), Some("u::rw-,u:1000:rw-,g::r--,m::rw-,o::r--"));
        assert_eq!(list.to_system().0.as_deref(), Some(&bytes[..]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let texts = [
            "u::rw-",
            "u::rw-,g::r--,o::r--,u:7:r--",
            "u::rw-,g::r--,o::r--,o::r--",
            "u::rw-,u:7:r--,u:7:rw-,g::r--,m::rw-,o::r--",
            "u:x:rw-,g::r--,o::r--",
            "u::wr-,g::r--,o::r--",
            "u::rw-,g::r--,o::r",
            "u::rw-,g::r--,o::r--:x",
            ",",
        ];
        for text in texts {
            assert_eq!(Acl::parse(text), None, "{text}");
        }
        for bytes in [&b"\x02\0\0\0\x01"[..], b"\x03\0\0\0", b"", &[2, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9]] {
            assert_eq!(Acl::from_system(Some(bytes), None), None);
        }
    }

    #[test]
    fn what_is_not_told_agrees_with_everything() {
        let list = Acl::parse(OWN).expect("a list");
        assert!(list.agrees(Acl::NotKnown) && Acl::NotKnown.agrees(list) && list.agrees(list));
        assert!(!list.agrees(Acl::Plain));
        assert_eq!((Acl::NotKnown.or(list), Acl::Plain.or(list)), (list, Acl::Plain));
    }
}
