//! What `check` finds out by trying: with one file in staging, which is gone afterwards.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use crate::model::Wall;
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, host, stat};
use crate::target::dir::fault::is;
use crate::target::{Finding, Level};

/// A user and group that nobody is: files are given to it, to see whether owners are carried. Not 65534, which stands for
/// whoever a server does not know.
const SOMEBODY: u32 = 54_321;
/// A time with all its digits.
const TIME: Wall = Wall(1_000_000_000_123_456_789);

/// What the file system does with a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Whose a new file is, if it is not the agent's own.
    made_for: Option<u32>,
    /// Files can be given to others.
    gives: bool,
    /// Whose a file is that was given to [`SOMEBODY`], if it is not theirs.
    given_to: Option<u32>,
    /// What [`TIME`] became, if it is another.
    time: Option<Wall>,
    /// The same name in other letters is the same file.
    one_case: bool,
    /// Why no lock can be had.
    no_locks: Option<String>,
}

/// Makes the file and tries. It is there afterwards in any case.
pub(super) fn try_all(at: Spot<'_>) -> io::Result<Tried> {
    let mut file = sys::create(at)?;
    file.write_all(b"driftline check\n").and_then(|()| file.sync_all())?;
    let made = stat::meta(&beneath::stat_fd(file.as_fd())?).uid;
    let mut tried = Tried { made_for: Some(made).filter(|uid| *uid != host::user()), ..Tried::default() };
    sys::set_mtime(file.as_fd(), TIME)?;
    tried.time = Some(asked(at)?.mtime).filter(|time| *time != TIME);
    tried.one_case = is_one_case(at)?;
    tried.no_locks = file.try_lock().err().map(|error| error.to_string());
    give(&file, at, &mut tried)?;
    Ok(tried)
}

fn asked(at: Spot<'_>) -> io::Result<crate::model::Meta> {
    sys::ask_afresh(at.folder)?;
    Ok(stat::meta(&sys::lstat(at)?))
}

fn is_one_case(at: Spot<'_>) -> io::Result<bool> {
    let other = at.name.to_ascii_uppercase();
    match sys::lstat(Spot { name: &other, ..at }) {
        Ok(st) => Ok(other != at.name && st.stx_ino == sys::lstat(at)?.stx_ino),
        Err(err) if is(&err, Errno::NOENT) => Ok(false),
        Err(err) => Err(err),
    }
}

fn give(file: &File, at: Spot<'_>, tried: &mut Tried) -> io::Result<()> {
    match sys::set_owner(file.as_fd(), SOMEBODY, SOMEBODY) {
        Err(err) if [Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP].iter().any(|code| is(&err, *code)) => Ok(()),
        result => {
            result?;
            tried.gives = true;
            tried.given_to = Some(asked(at)?.uid).filter(|uid| *uid != SOMEBODY);
            Ok(())
        }
    }
}

impl Tried {
    /// What is to be said of it; `keeps_owner`: whether owners are to be carried.
    pub(super) fn findings(&self, keeps_owner: bool) -> Vec<Finding> {
        let first = Finding::new(Level::Fine, "files can be written and made durable there");
        let owners = if keeps_owner { self.owners() } else { None };
        let rest = [owners, self.times(), self.case(), self.locks()];
        std::iter::once(first).chain(rest.into_iter().flatten()).collect()
    }

    fn owners(&self) -> Option<Finding> {
        if let Some(user) = self.made_for {
            let what = format!("whatever the agent makes there belongs to user {user}: its server makes all users one");
            return Some(Finding::new(Level::Warning, what).hint(
                "behind an EFS access point set ownership = \"ignore\"; elsewhere export it with no_root_squash",
            ));
        }
        if !self.gives {
            let what = "owner and group are not carried: the agent's user may not give files to others there";
            let hint = "run it as root (on NFS: with no_root_squash), or set ownership = \"ignore\"";
            return Some(Finding::new(Level::Note, what).hint(hint));
        }
        let user = self.given_to?;
        let what = format!("a file of user {SOMEBODY} belongs to user {user} there: its server takes users for others");
        Some(Finding::new(Level::Warning, what).hint(
            "let both sides use plain numbers (nfs4_disable_idmapping=Y in client and server), or set ownership = \"ignore\"",
        ))
    }

    fn times(&self) -> Option<Finding> {
        let lost = (TIME.0 - self.time?.0).unsigned_abs();
        let what = match lost {
            1_000_000_000.. => "times are not kept there as they were set".to_owned(),
            1_000_000.. => "times are kept to the second there".to_owned(),
            1_000.. => "times are kept to the millisecond there".to_owned(),
            _ => "times are kept to the microsecond there, or nearly so".to_owned(),
        };
        let level = if lost >= 1_000_000_000 { Level::Warning } else { Level::Note };
        Some(Finding::new(level, what).hint("nothing to do: content decides, and never a time alone"))
    }

    fn case(&self) -> Option<Finding> {
        self.one_case.then(|| {
            let what =
                "names that differ in capital letters alone are one name there: only one of such files can be kept";
            Finding::new(Level::Warning, what).hint("use a file system that tells them apart, or rename one of them")
        })
    }

    fn locks(&self) -> Option<Finding> {
        let why = self.no_locks.as_ref()?;
        let what = format!("no file can be locked there ({why}): programs that share files there may damage them");
        Some(
            Finding::new(Level::Note, what).hint("driftline needs no locks; for others, see the server's lock service"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tried: &Tried, keeps_owner: bool) -> Vec<(Level, String)> {
        let findings = tried.findings(keeps_owner).into_iter().skip(1);
        findings.map(|finding| (finding.level, finding.what + "; " + &finding.hint)).collect()
    }

    fn good() -> Tried {
        Tried { gives: true, ..Tried::default() }
    }

    #[test]
    fn each_thing_that_a_server_does_otherwise_is_told_with_what_to_do() {
        let time = |lost: i64| Tried { time: Some(Wall(TIME.0 - lost)), ..good() };
        let table = [
            (Tried { made_for: Some(1000), ..good() }, Level::Warning, "ownership = \"ignore\""),
            (Tried { gives: false, ..good() }, Level::Note, "no_root_squash"),
            (Tried { given_to: Some(65_534), ..good() }, Level::Warning, "user 65534"),
            (time(789), Level::Note, "microsecond"),
            (time(456_789), Level::Note, "millisecond"),
            (time(123_456_789), Level::Note, "second"),
            (time(5_000_000_000), Level::Warning, "not kept"),
            (Tried { one_case: true, ..good() }, Level::Warning, "capital letters"),
            (Tried { no_locks: Some("no locks available".to_owned()), ..good() }, Level::Note, "no locks available"),
        ];
        for (tried, level, word) in table {
            let [(found, text)] = &told(&tried, true)[..] else { panic!("{tried:?}: {:?}", told(&tried, true)) };
            assert!(*found == level && text.contains(word), "{tried:?}: {text}");
        }
        assert_eq!(told(&good(), true), []);
        assert_eq!(told(&Tried { made_for: Some(1), ..Tried::default() }, false), [], "owners are not wanted");
    }

    #[test]
    fn a_file_system_of_this_machine_does_as_it_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = beneath::open_root(dir.path()).expect("open");
        let tried = try_all(Spot::new(&folder, b"abc")).expect("tried");
        assert_eq!(tried, Tried { gives: tried.gives, ..Tried::default() });
    }
}
