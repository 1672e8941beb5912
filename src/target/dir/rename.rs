//! Changing names in one step, by the best way that the file system knows.

use std::fs::File;
use std::io;

use crate::model::Kind;
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::stat;

use super::Ways;
use super::fault::{is, says_unlinkable, says_unsupported};

impl Ways {
    /// Exchanges two names; an error that [`says_unsupported`] where that cannot be done.
    pub(super) fn exchange(self, one: Spot<'_>, other: Spot<'_>) -> io::Result<()> {
        if self == Self::Auto { sys::exchange(one, other) } else { Err(Errno::INVAL.into()) }
    }

    /// A second name; an error that [`says_unlinkable`] where there is none to be had.
    pub(super) fn link(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        if self == Self::Plain {
            return Err(Errno::PERM.into());
        }
        match sys::link(from, to) {
            // The server made it and its answer was lost, so that the client asked again.
            Err(err) if is(&err, Errno::EXIST) && are_two_names_of_one(from, to)? => Ok(()),
            result => result,
        }
    }

    fn rename_new(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        if self == Self::Auto { sys::rename_new(from, to) } else { Err(Errno::INVAL.into()) }
    }

    /// Renames to where nothing is; `EEXIST` otherwise.
    pub(super) fn place(self, from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
        self.place_open(from, to, None)
    }

    /// The same for what is still open: it is closed between the two halves, if there are two.
    pub(super) fn place_open(self, from: Spot<'_>, to: Spot<'_>, open: Option<File>) -> io::Result<()> {
        match self.rename_new(from, to) {
            Err(err) if says_unsupported(&err) => self.place_by_link(from, to, open),
            result => result,
        }
    }

    fn place_by_link(self, from: Spot<'_>, to: Spot<'_>, open: Option<File>) -> io::Result<()> {
        // What kind it is cannot change; only files are kept open.
        if open.is_none() && stat::shape(&sys::lstat_known(from)?).is_ok_and(|shape| shape.kind == Kind::Folder) {
            return place_where_absent(from, to);
        }
        let linked = self.link(from, to);
        drop(open);
        match linked {
            // RACE: `from` is replaced between the link and the unlink. In staging nobody does; for a `Move` the worst
            // case is that an outsider's version, saved at the old name within these microseconds, is lost.
            Ok(()) => removed(sys::unlink(from)),
            Err(err) if says_unlinkable(&err) => place_where_absent(from, to),
            Err(err) => Err(err),
        }
    }
}

/// RACE: a file that an outsider puts at `to` between the look and the rename is lost; a folder only if it is empty.
pub(super) fn place_where_absent(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    match sys::lstat(to) {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(err) if is(&err, Errno::NOENT) => rename_over(from, to, sys::lstat_known(from)?.stx_ino),
        Err(err) => Err(err),
    }
}

/// Renames what has this inode over whatever is at `to`.
pub(super) fn rename_over(from: Spot<'_>, to: Spot<'_>, ino: u64) -> io::Result<()> {
    renamed(sys::rename(from, to), to, ino)
}

/// Where the answer to a rename was lost and the client asked again, the second answer is that nothing is there to rename.
fn renamed(answer: io::Result<()>, to: Spot<'_>, ino: u64) -> io::Result<()> {
    match answer {
        Err(err) if is(&err, Errno::NOENT) && sys::lstat(to).is_ok_and(|st| st.stx_ino == ino) => Ok(()),
        answer => answer,
    }
}

/// The same for a name that nobody but us takes away.
fn removed(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(err) if is(&err, Errno::NOENT) => Ok(()),
        answer => answer,
    }
}

/// Not where a file system takes two spellings for one name: then the file has only one.
fn are_two_names_of_one(one: Spot<'_>, other: Spot<'_>) -> io::Result<bool> {
    let (one, other) = (sys::lstat(one)?, sys::lstat(other)?);
    Ok(one.stx_ino == other.stx_ino && stat::device(&one) == stat::device(&other) && other.stx_nlink > 1)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use super::*;
    use crate::sys::beneath;

    fn place() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("from"), b"ours").expect("written");
        let folder = beneath::open_root(dir.path()).expect("open");
        (dir, folder)
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        let mut names: Vec<_> =
            std::fs::read_dir(folder).expect("read").map(|entry| name(entry).expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_that_was_made_and_its_answer_lost_is_a_link_that_was_made() {
        let (dir, folder) = place();
        let (from, to) = (Spot::new(&folder, b"from"), Spot::new(&folder, b"to"));
        std::fs::hard_link(dir.path().join("from"), dir.path().join("to")).expect("linked");
        Ways::Links.link(from, to).expect("it is there");
        Ways::Links.place(from, to).expect("it is there");
        assert_eq!(names(dir.path()), ["to"]);
    }

    #[test]
    fn what_another_put_there_is_never_taken_for_our_own_link() {
        let (dir, folder) = place();
        let (from, to) = (Spot::new(&folder, b"from"), Spot::new(&folder, b"to"));
        std::fs::write(dir.path().join("to"), b"ours").expect("written");
        assert!(Ways::Links.place(from, to).is_err_and(|err| is(&err, Errno::EXIST)));
        assert_eq!(names(dir.path()), ["from", "to"]);
    }

    /// Where `a` and `A` are one name, a file that has no other must not be taken away under the first of them.
    #[test]
    fn one_name_in_two_spellings_is_not_two_names() {
        let (dir, folder) = place();
        let from = Spot::new(&folder, b"from");
        assert!(Ways::Links.place(from, from).is_err_and(|err| is(&err, Errno::EXIST)));
        assert_eq!(names(dir.path()), ["from"]);
    }

    #[test]
    fn a_rename_that_was_made_and_its_answer_lost_is_a_rename_that_was_made() {
        let (dir, folder) = place();
        let (from, to) = (Spot::new(&folder, b"from"), Spot::new(&folder, b"to"));
        let ino = sys::lstat(from).expect("there").stx_ino;
        assert!(renamed(Err(Errno::NOENT.into()), to, ino).is_err(), "nothing is there");
        std::fs::write(dir.path().join("to"), b"another's").expect("written");
        assert!(renamed(Err(Errno::NOENT.into()), to, ino).is_err(), "another's is there");
        std::fs::rename(dir.path().join("from"), dir.path().join("to")).expect("renamed");
        renamed(Err(Errno::NOENT.into()), to, ino).expect("it is there");
        assert!(renamed(Err(Errno::IO.into()), to, ino).is_err(), "nobody knows");
    }
}
