//! Names where a file system takes several spellings for one: vfat, a folder with casefold, exports of Windows and macOS.
//! There a look by name finds what lies under another spelling of it, and only reading the folder tells which one that is.
//! A path is there if its folder shows this very name: else one file would be taken for the copy of two.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{RESERVED, RelPath};
use crate::names::fold;
use crate::sys::publish::{self as sys, Spot};

use super::fault::{Refusal, says_absent};
use super::identity::Place;

impl Place {
    /// Whether each part of a path, which is there under some spelling, is spelled so. Asked only where that is in question:
    /// it reads every folder on the way.
    pub(super) fn spells(&self, path: &RelPath) -> io::Result<bool> {
        if !self.one_case || path.is_root() {
            return Ok(true);
        }
        let mut folder = sys::open_folder(Spot::new(&self.root(), b"."))?;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            if !has_name(&folder, part)? {
                return Ok(false);
            }
            if parts.peek().is_some() {
                folder = match sys::open_folder(Spot::new(&folder, part)) {
                    Err(err) if says_absent(&err) => return Ok(false),
                    opened => opened?,
                };
            }
        }
        Ok(true)
    }

    /// The same of one name, in a folder of which it is known.
    pub(super) fn spells_in(&self, at: Spot<'_>) -> io::Result<bool> {
        Ok(!self.one_case || has_name(&afresh(at)?, at.name.as_encoded_bytes())?)
    }
}

/// Whether the root takes the same name in other letters for one: asked of our own folder, which lies there once it is bound.
pub(super) fn is_one_case(root: &OwnedFd) -> io::Result<bool> {
    let other = RESERVED.to_ascii_uppercase();
    match sys::lstat(Spot::new(root, &other)) {
        Ok(st) => Ok(sys::lstat(Spot::new(root, RESERVED)).is_ok_and(|ours| ours.stx_ino == st.stx_ino)),
        Err(err) if says_absent(&err) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Why nothing can be put at a name that is taken: something lies there, or under another spelling of it.
pub(super) fn taken(place: &Place, at: Spot<'_>, occupied: Refusal) -> Refusal {
    match other_spelling(place, at) {
        Ok(None) => occupied,
        Ok(Some(other)) => is_one_name(&other),
        Err(err) => err.into(),
    }
}

pub(super) fn is_one_name(other: &[u8]) -> Refusal {
    Refusal::unfit(
        format!("{} lies there, and its file system takes both for one name", String::from_utf8_lossy(other)),
        "rename one of the two, or remove the one that is not wanted",
    )
}

/// The name under which something lies that the file system takes for this one; `None` if it is this very name, or nothing is
/// there. vfat with some character sets takes two names for one when a file is made, and not when it is looked for.
pub(super) fn other_spelling(place: &Place, at: Spot<'_>) -> io::Result<Option<Vec<u8>>> {
    let ino = match sys::lstat(at) {
        Ok(_) if !place.one_case => return Ok(None),
        Ok(st) => Some(st.stx_ino),
        Err(err) if says_absent(&err) => None,
        Err(err) => return Err(err),
    };
    let wanted = at.name.as_encoded_bytes();
    let (folded, mut is_there, mut other) = (fold(wanted), false, None);
    sys::each_name(&afresh(at)?, |name| {
        is_there = name == wanted;
        if fold(name) == folded {
            other = Some(name.to_vec());
        }
        Ok(!is_there)
    })?;
    match ino {
        _ if is_there => Ok(None),
        Some(ino) if other.is_none() => name_of(&afresh(at)?, ino),
        Some(_) | None => Ok(other),
    }
}

/// For a spelling that is one by other rules than capital letters, as the short names that vfat makes up for long ones.
fn name_of(folder: &OwnedFd, ino: u64) -> io::Result<Option<Vec<u8>>> {
    let mut found = None;
    sys::each_name(folder, |name| {
        let is_it = sys::lstat(Spot::new(folder, name)).is_ok_and(|st| st.stx_ino == ino);
        found = is_it.then(|| name.to_vec());
        Ok(!is_it)
    })?;
    Ok(found)
}

fn has_name(folder: &OwnedFd, wanted: &[u8]) -> io::Result<bool> {
    let mut found = false;
    sys::each_name(folder, |name| {
        found = name == wanted;
        Ok(!found)
    })?;
    Ok(found)
}

/// The folder opened anew: what is open already may have been read to its end.
fn afresh(at: Spot<'_>) -> io::Result<OwnedFd> {
    let folder = sys::open_folder(Spot::new(&at.folder, b"."))?;
    sys::ask_afresh(folder.as_fd())?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::super::Ways;
    use super::*;
    use crate::sys::beneath;
    use crate::target::Fault;

    /// A place with these files that takes two spellings for one name, as far as it says.
    fn place(one_case: bool, files: &[&str]) -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder above")).expect("made");
            std::fs::write(path, file).expect("written");
        }
        let mut place = Place::new(beneath::open_root(dir.path()).expect("open"), Ways::Auto).expect("asked");
        assert!(!place.one_case, "the tests run where names are told apart");
        place.one_case = one_case;
        (dir, place)
    }

    #[test]
    fn a_path_is_spelled_as_its_folders_show_it_from_the_root_on() {
        let files = ["Plans/May/plan.txt", "plans.txt"];
        let (_dir, place) = place(true, &files);
        let spells = |path: &str| place.spells(&RelPath::new(path).expect("fine")).expect("read");
        for there in ["Plans", "Plans/May", "Plans/May/plan.txt", "plans.txt"] {
            assert!(spells(there), "{there}");
        }
        for other in ["plans", "Plans/may", "plans/May/plan.txt", "Plans/May/Plan.txt", "plans.txt/a"] {
            assert!(!spells(other), "{other}");
        }
    }

    #[test]
    fn what_takes_a_name_is_told_by_its_own() {
        for one_case in [false, true] {
            let (_dir, place) = place(one_case, &["Plan.txt", "B\u{fc}ro", "other"]);
            let other = |name: &str| {
                let root = place.root();
                other_spelling(&place, Spot::new(&root, name.as_bytes())).expect("read")
            };
            assert_eq!(other("plan.TXT"), Some(b"Plan.txt".to_vec()));
            assert_eq!(other("bu\u{308}ro"), Some("B\u{fc}ro".into()));
            assert_eq!(other("Plan.txt"), None, "that is there itself");
            assert_eq!(other("plan"), None, "nothing is there");
            let root = place.root();
            let taken = |name: &str| taken(&place, Spot::new(&root, name.as_bytes()), Refusal::stale("taken"));
            assert!(matches!(taken("Plan.txt"), Refusal::Own { fault: Fault::Stale, .. }));
            match taken("plan.txt") {
                Refusal::Own { fault: Fault::Unfit, cause, .. } => assert!(cause.starts_with("Plan.txt "), "{cause}"),
                refusal => panic!("{refusal:?}"),
            }
        }
    }

    #[test]
    fn a_second_name_made_up_by_the_file_system_is_told_by_the_file() {
        let (dir, place) = place(true, &["a long name.txt"]);
        let ino = sys::lstat(Spot::new(&place.root(), b"a long name.txt")).expect("there").stx_ino;
        let folder = beneath::open_root(dir.path()).expect("open");
        assert_eq!(name_of(&folder, ino).expect("read"), Some(b"a long name.txt".to_vec()));
    }

    #[test]
    fn two_folders_whose_names_differ_in_letters_alone_are_no_sign_of_one_case() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = beneath::open_root(dir.path()).expect("open");
        assert!(!is_one_case(&root).expect("asked"));
        for name in [".driftline", ".DRIFTLINE"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
            assert!(!is_one_case(&root).expect("asked"), "with {name}");
        }
    }
}
