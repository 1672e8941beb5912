//! Where something lies below a root: raw bytes, checked once.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The name that is ours at a root: never mirrored from a share, never listed on a target.
pub const RESERVED: &[u8] = b".driftline";

/// A path below a root: relative, `/`-separated raw bytes; the root itself is the empty path.
///
/// Identity is the bytes: no case folding, no Unicode normalisation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<[u8]>);

/// Why bytes are not a [`RelPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a relative path")]
pub struct BadPath(String);

impl RelPath {
    /// Checks `bytes`: no empty part, no `.`, no `..`, no NUL. Empty bytes are the root.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let bytes = bytes.as_ref();
        let fine = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        if bytes.is_empty() || bytes.split(|b| *b == b'/').all(fine) {
            Ok(Self(bytes.into()))
        } else {
            Err(BadPath(String::from_utf8_lossy(bytes).into_owned()))
        }
    }

    /// The root itself.
    pub fn root() -> Self {
        Self(Box::default())
    }

    /// True for the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the operating system takes it, still relative.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Below `root`, for messages and for programs that want one string.
    pub fn under(&self, root: &std::path::Path) -> PathBuf {
        if self.is_root() { root.to_owned() } else { root.join(self.as_os_str()) }
    }

    /// One level deeper. `name` is one part.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let name = name.as_ref();
        if name.is_empty() || name.contains(&b'/') {
            return Err(BadPath(String::from_utf8_lossy(name).into_owned()));
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !self.is_root() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// The folder that holds it; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// The last part; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty())
    }

    /// True if `other` lies below this path (a path is not below itself).
    pub fn is_above(&self, other: &Self) -> bool {
        if self.is_root() {
            return !other.is_root();
        }
        other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The folders above it, nearest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent).filter(|path| !path.is_root())
    }

    /// The same path with the leading `from` replaced by `to`; `None` if it is not at or below `from`.
    pub fn rebased(&self, from: &Self, to: &Self) -> Option<Self> {
        if self == from {
            return Some(to.clone());
        }
        if !from.is_above(self) {
            return None;
        }
        let rest = if from.is_root() { &self.0[..] } else { &self.0[from.0.len() + 1..] };
        let glue: &[u8] = if to.is_root() { b"" } else { b"/" };
        Some(Self([&to.0, glue, rest].concat().into()))
    }

    /// True at or below [`RESERVED`].
    pub fn is_reserved(&self) -> bool {
        self.parts().next() == Some(RESERVED)
    }
}

/// For people and logs: control characters and bytes that are not UTF-8 are escaped.
impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    #[test]
    fn only_plain_relative_parts_are_a_path() {
        for good in ["a", "a/b", "a b", "...", "a/..b", "\u{1}"] {
            assert!(RelPath::new(good).is_ok(), "{good}");
        }
        for bad in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad}");
        }
        assert!(RelPath::new(b"\xff/\xfe").is_ok());
    }

    #[test]
    fn above_means_a_whole_part() {
        assert!(path("a").is_above(&path("a/b")));
        assert!(!path("a").is_above(&path("a-b")));
        assert!(!path("a").is_above(&path("a")));
        assert!(RelPath::root().is_above(&path("a")));
        assert!(!RelPath::root().is_above(&RelPath::root()));
    }

    #[test]
    fn parents_and_names() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(path("a/b").name(), b"b");
        assert_eq!(path("a/b/c").ancestors().collect::<Vec<_>>(), [path("a/b"), path("a")]);
    }

    #[test]
    fn rebasing_moves_a_subtree() {
        assert_eq!(path("a/b/c").rebased(&path("a"), &path("x/y")), Some(path("x/y/b/c")));
        assert_eq!(path("a").rebased(&path("a"), &path("z")), Some(path("z")));
        assert_eq!(path("ab").rebased(&path("a"), &path("z")), None);
        assert_eq!(path("a/b").rebased(&path("a"), &RelPath::root()), Some(path("b")));
    }

    #[test]
    fn what_is_shown_is_safe_to_print() {
        let odd = RelPath::new(b"a\xff\n\x1bz").expect("odd but fine");
        assert_eq!(odd.to_string(), "a\\xff\\n\\u{1b}z");
    }
}
