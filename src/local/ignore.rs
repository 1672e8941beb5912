//! Which names on the share are nobody's work: lock, temporary and system files.
//!
//! The rule for the built-in list: a name is on it only if no person would give it to a file of theirs, because what
//! is ignored is not protected. So these are *not* on it:
//!
//! - names of eight hexadecimal digits, which Excel writes to and then renames: a person's file may be called so, and
//!   the settle time already keeps a half-written one from being sent;
//! - `NAME~`, the earlier version that some editors keep: to some people it is the only earlier version;
//! - `4913`, which vim makes and removes at once to test a folder: it may be the name of a project;
//! - rsync's `.NAME.XXXXXX`: it cannot be told from a hidden file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ::ignore::Match;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::{RESERVED, RelPath};

/// The built-in list, in gitignore syntax. A share's own `!pattern` takes a name off it.
pub const BUILT_IN: &[&str] = &[
    "~$*",              // Office: who has the document open
    "~WR[DFLS]*.tmp",   // Word: while it saves
    ".~lock.*#",        // LibreOffice: who has the document open
    ".DS_Store",        // macOS: a folder's view
    "._*",              // macOS: Finder's data on foreign file systems
    "[Tt]humbs.db",     // Windows: previews
    "[Ee]hthumbs.db",   // Windows: previews
    "[Dd]esktop.ini",   // Windows: a folder's view
    ".*.sw[a-p]",       // vim: swap files
    r"\#*#",            // Emacs: what is not saved yet
    ".#*",              // Emacs: who has the file open
    ".nfs*",            // NFS: removed while open
    ".fuse_hidden*",    // FUSE: removed while open
    ".goutputstream-*", // GNOME: while it saves
    ".~tmp~",           // rsync: delayed updates
    "/lost+found/",     // the file system's own
];

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ignore pattern {pattern:?} cannot be used: {cause}")]
pub struct BadPattern {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub cause: String,
}

/// Tells what is ignored. [`RESERVED`] always is, at the root.
#[derive(Debug)]
pub struct Ignore {
    own: Gitignore,
}

impl Ignore {
    /// The built-in list and `patterns` in gitignore syntax; a later pattern outdoes an earlier one.
    pub fn new(patterns: &[String]) -> Result<Self, BadPattern> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            let bad = |cause: String| BadPattern { pattern: pattern.clone(), cause };
            if pattern.trim().is_empty() {
                return Err(bad("it is empty".to_owned()));
            }
            if pattern.starts_with('#') {
                return Err(bad("gitignore takes it for a comment; begin it with \\#".to_owned()));
            }
            builder.add_line(None, pattern).map_err(|error| bad(error.to_string()))?;
        }
        let all = || BadPattern { pattern: patterns.join(" "), cause: String::new() };
        let own = builder.build().map_err(|error| BadPattern { cause: error.to_string(), ..all() })?;
        Ok(Self { own })
    }

    /// Whether `path` itself is on a list. What lies in an ignored folder is not asked for: see
    /// [`Ignore::ignores_below`].
    pub fn ignores(&self, path: &RelPath, is_folder: bool) -> bool {
        !path.is_root() && self.decides(path.as_bytes(), path.name(), is_folder)
    }

    /// Whether `path` or a folder above it is ignored. If `path` may be a folder, [`Ignore::ignores`] says so
    /// about patterns for folders alone.
    pub fn ignores_below(&self, path: &RelPath) -> bool {
        let bytes = path.as_bytes();
        let mut begin = 0;
        while let Some(slash) = bytes[begin..].iter().position(|b| *b == b'/') {
            let end = begin + slash;
            if self.decides(&bytes[..end], &bytes[begin..end], true) {
                return true;
            }
            begin = end + 1;
        }
        self.ignores(path, false)
    }

    /// The pattern that hides `path` or a folder above it, as it was written; for people.
    pub fn rule(&self, path: &RelPath) -> Option<String> {
        let above: Vec<_> = path.ancestors().collect();
        let mut all = above.iter().rev().map(|folder| (folder, true)).chain([(path, false), (path, true)]);
        all.find(|(path, is_folder)| self.ignores(path, *is_folder))
            .map(|(path, is_folder)| self.pattern(path, is_folder))
    }

    fn pattern(&self, path: &RelPath, is_folder: bool) -> String {
        if path.as_bytes() == RESERVED {
            return String::from_utf8_lossy(RESERVED).into_owned();
        }
        if let Match::Ignore(glob) = self.own.matched(Path::new(path.as_os_str()), is_folder) {
            return glob.original().to_owned();
        }
        let hides = |line: &&&str| {
            let mut builder = GitignoreBuilder::new("");
            let added = builder.add_line(None, line).is_ok();
            added && builder.build().is_ok_and(|one| one.matched(Path::new(path.as_os_str()), is_folder).is_ignore())
        };
        BUILT_IN.iter().find(hides).map_or_else(String::new, |line| (*line).to_owned())
    }

    /// As [`Ignore::ignores`], for the entries of one folder, without making a path for each of them.
    pub(super) fn of_folder(&self, folder: &RelPath) -> IgnoreIn<'_> {
        let mut path = folder.as_bytes().to_vec();
        if !folder.is_root() {
            path.push(b'/');
        }
        IgnoreIn { ignore: self, stem: path.len(), path }
    }

    fn decides(&self, path: &[u8], name: &[u8], is_folder: bool) -> bool {
        let at_root = path.len() == name.len();
        if at_root && name == RESERVED {
            return true;
        }
        if !self.own.is_empty() {
            match self.own.matched(Path::new(OsStr::from_bytes(path)), is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        built_in(name) || (at_root && is_folder && name == b"lost+found")
    }
}

/// The entries of one folder.
pub(super) struct IgnoreIn<'a> {
    ignore: &'a Ignore,
    path: Vec<u8>,
    stem: usize,
}

impl IgnoreIn<'_> {
    pub(super) fn ignores(&mut self, name: &[u8], is_folder: bool) -> bool {
        self.path.truncate(self.stem);
        self.path.extend_from_slice(name);
        self.ignore.decides(&self.path, name, is_folder)
    }
}

/// [`BUILT_IN`] by hand, because every name of the share is asked about: the first byte settles nearly all of them.
fn built_in(name: &[u8]) -> bool {
    match name {
        [b'~', b'$', ..] => true,
        [b'~', b'W', b'R', b'D' | b'F' | b'L' | b'S', rest @ ..] => rest.ends_with(b".tmp"),
        [b'.', rest @ ..] => hidden(rest),
        [b'#', rest @ ..] => rest.ends_with(b"#"),
        [b'T' | b't', rest @ ..] => rest == b"humbs.db",
        [b'E' | b'e', rest @ ..] => rest == b"hthumbs.db",
        [b'D' | b'd', rest @ ..] => rest == b"esktop.ini",
        _ => false,
    }
}

/// A name without its leading dot.
fn hidden(rest: &[u8]) -> bool {
    match rest {
        [b'_' | b'#', ..] | b"DS_Store" | b"~tmp~" | [.., b'.', b's', b'w', b'a'..=b'p'] => true,
        [b'~', b'l', b'o', b'c', b'k', b'.', name @ ..] => name.ends_with(b"#"),
        [b'n', b'f', b's', ..] => true,
        _ => rest.starts_with(b"fuse_hidden") || rest.starts_with(b"goutputstream-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: impl AsRef<[u8]>) -> RelPath {
        RelPath::new(bytes).expect("a test's path is fine")
    }

    fn ignore(patterns: &[&str]) -> Ignore {
        Ignore::new(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).expect("good patterns")
    }

    /// Names around every pattern of the list: with something before, after, in another case, cut short.
    fn names() -> Vec<String> {
        let seeds = [
            "~$report.docx",
            "~$",
            "~WRD0001.tmp",
            "~WRL3.tmp",
            "~WRS.tmp",
            "~WRX1.tmp",
            "~WRD0001.doc",
            ".~lock.a.odt#",
            ".~lock.#",
            ".~lock.",
            ".~lock#",
            ".DS_Store",
            "._a",
            "._",
            "Thumbs.db",
            "thumbs.db",
            "ehthumbs.db",
            "desktop.ini",
            "Desktop.ini",
            ".a.txt.swp",
            ".a.swo",
            "..swp",
            ".swp",
            ".a.swq",
            ".a.sw",
            ".~a.swp",
            ".~lock.a.swp",
            "#a#",
            "##",
            "#",
            "#a",
            ".#a",
            ".#",
            ".nfs0001",
            ".nfs",
            ".fuse_hidden01",
            ".goutputstream-ABC",
            ".goutputstream",
            ".~tmp~",
            "lost+found",
            "4913",
            "ABCDEF01",
            "a~",
            ".report.docx.Xy12Zq",
            "report.docx",
            ".",
            "T",
            "t",
            "D",
            "~",
            "~W",
        ];
        let around = |seed: &&str| {
            let cut = &seed[..seed.len() - 1];
            [(*seed).to_owned(), format!("x{seed}"), format!("{seed}x"), seed.to_uppercase(), cut.to_owned()]
        };
        let mut names: Vec<String> = seeds.iter().flat_map(around).collect();
        names.retain(|name| !matches!(name.as_str(), "" | "." | ".."));
        names
    }

    #[test]
    fn the_list_by_hand_is_the_list_as_written() {
        let mut builder = GitignoreBuilder::new("");
        for line in BUILT_IN {
            builder.add_line(None, line).expect("good");
        }
        let written = builder.build().expect("good");
        let by_hand = ignore(&[]);
        let mut ignored = 0;
        for name in names() {
            for folder in ["", "a/", "a/lost+found/"] {
                for is_folder in [false, true] {
                    let text = format!("{folder}{name}");
                    let said = written.matched(&text, is_folder).is_ignore();
                    assert_eq!(by_hand.ignores(&path(&text), is_folder), said, "{text} folder={is_folder}");
                    ignored += usize::from(said);
                }
            }
        }
        assert!(ignored > 100);
    }

    #[test]
    fn what_may_be_a_persons_file_is_kept() {
        let ignore = ignore(&[]);
        for name in
            ["ABCDEF01", "letter~", "4913", ".report.docx.Xy12Zq", "desktop.ini.txt", ".profile", "a/lost+found"]
        {
            assert!(!ignore.ignores(&path(name), false), "{name}");
            assert!(!ignore.ignores(&path(name), true), "{name}");
        }
    }

    #[test]
    fn own_patterns_add_and_take_away() {
        let ignore = ignore(&["*.bak", "/build/", "a/**/b", "!desktop.ini", "!.driftline"]);
        for (name, is_folder, wanted) in [
            ("x/y.bak", false, true),
            ("build", true, true),
            ("build", false, false),
            ("x/build", true, false),
            ("a/1/2/b", false, true),
            ("x/desktop.ini", false, false),
            ("Thumbs.db", false, true),
            (".driftline", true, true),
            ("x/.driftline", true, false),
        ] {
            assert_eq!(ignore.ignores(&path(name), is_folder), wanted, "{name}");
        }
        assert!(!ignore.ignores(&RelPath::root(), true));
    }

    #[test]
    fn a_path_in_an_ignored_folder_is_ignored() {
        let ignore = ignore(&["/build/", "*.bak"]);
        for ignored in ["build/a/b", "x/old.bak/y", "x/old.bak", ".driftline/staging/1", "lost+found/1", "x/._y/z"] {
            assert!(ignore.ignores_below(&path(ignored)), "{ignored}");
        }
        for kept in ["build", "x/build/y", "x/.driftline/y", "builds/a"] {
            assert!(!ignore.ignores_below(&path(kept)), "{kept}");
        }
    }

    #[test]
    fn the_pattern_that_hides_a_path_is_named() {
        let ignore = ignore(&["*.bak", "/build/"]);
        let table = [
            ("x/y.bak", Some("*.bak")),
            ("build/a/b", Some("/build/")),
            ("x/~$offer.docx", Some("~$*")),
            ("lost+found/1", Some("/lost+found/")),
            (".driftline/identity", Some(".driftline")),
            ("x/plan.txt", None),
        ];
        for (text, wanted) in table {
            assert_eq!(ignore.rule(&path(text)).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_by_their_bytes() {
        let ignore = ignore(&["*.bak"]);
        assert!(ignore.ignores(&path(b"a\xff/\xfe.bak"), false));
        assert!(ignore.ignores(&path(b"~$\xff"), false));
        assert!(!ignore.ignores(&path(b"\xff.doc"), false));
    }

    #[test]
    fn the_entries_of_a_folder_are_told_as_their_paths_are() {
        let ignore = ignore(&["a/x", "/y"]);
        let mut of_a = ignore.of_folder(&path("a"));
        assert!(of_a.ignores(b"x", false));
        assert!(!of_a.ignores(b"y", false));
        assert!(of_a.ignores(b"~$y", false));
        let mut of_root = ignore.of_folder(&RelPath::root());
        assert!(of_root.ignores(b"y", false));
        assert!(!of_root.ignores(b"x", false));
        assert!(of_root.ignores(b".driftline", true));
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        for bad in ["a[", "#note", "", "  ", "{a"] {
            let error = Ignore::new(&["*.bak".to_owned(), bad.to_owned()]).expect_err(bad);
            assert_eq!(error.pattern, bad);
            assert!(error.to_string().contains("ignore pattern"));
        }
    }
}
