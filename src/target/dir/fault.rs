//! From what the system says to what the engine does about it.

use std::io;

use crate::model::{RelPath, TOO_MANY_FILES};
use crate::sys::publish::{Errno, errno};
use crate::target::{Fault, TargetError};

/// Why a step was not made, before it is known as which step of which path.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The system said so.
    Io(io::Error),
    /// We said so.
    Own {
        /// What kind.
        fault: Fault,
        /// The cause, for people.
        cause: String,
        /// What to do, for people.
        hint: &'static str,
    },
}

pub(super) type Outcome<T> = Result<T, Refusal>;

const LOOK_AGAIN: &str = "driftline looks at it again and decides anew";
const ANSWERS: &str = "see whether the target's server and its mount answer; driftline tries again by itself";

impl From<io::Error> for Refusal {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

impl Refusal {
    pub(super) fn own(fault: Fault, cause: impl Into<String>, hint: &'static str) -> Self {
        Self::Own { fault, cause: cause.into(), hint }
    }

    pub(super) fn stale(cause: impl Into<String>) -> Self {
        Self::own(Fault::Stale, cause, LOOK_AGAIN)
    }

    pub(super) fn unstaged(cause: impl Into<String>) -> Self {
        Self::own(Fault::Unstaged, cause, "driftline reads and stages it again")
    }

    pub(super) fn unfit(cause: impl Into<String>, hint: &'static str) -> Self {
        Self::own(Fault::Unfit, cause, hint)
    }

    /// As the engine and people get it.
    pub(super) fn into_error(self, verb: &'static str, path: Option<&RelPath>) -> TargetError {
        match self {
            Self::Io(err) => failed(verb, path, &err),
            Self::Own { fault, cause, hint } => {
                TargetError { fault, verb, path: path.cloned(), cause, hint: hint.to_owned() }
            }
        }
    }
}

/// An error about what is our own on the target: where we may not write even there, no path is at fault.
pub(super) fn about_ours(err: &io::Error) -> Refusal {
    match errno(err) {
        Some(Errno::ACCESS | Errno::PERM) => Refusal::own(
            Fault::Closed,
            format!("{} in .driftline/staging", describe(err)),
            "give the agent's user the right to write in .driftline and all below it; root needs no_root_squash on an NFS \
             server, and on EFS elasticfilesystem:ClientWrite and elasticfilesystem:ClientRootAccess in the file system's \
             policy, or an access point with the agent's own uid",
        ),
        _ => Refusal::Io(super::sink::io_again(err)),
    }
}

/// A system error as a target's failure.
pub(super) fn failed(verb: &'static str, path: Option<&RelPath>, err: &io::Error) -> TargetError {
    let (fault, hint) = fault_of(err);
    TargetError { fault, verb, path: path.cloned(), cause: describe(err), hint: hint.to_owned() }
}

/// The one table from error numbers to faults.
///
/// What is not named is [`Fault::Unreachable`]: nothing can be trusted after an error that nobody has thought of.
fn fault_of(err: &io::Error) -> (Fault, &'static str) {
    let Some(code) = errno(err) else { return (Fault::Unreachable, ANSWERS) };
    match code {
        Errno::NOSPC => (
            Fault::Full,
            "free space on the target, or make it larger: a hundredth of it, of a large one 1 GiB, is left free",
        ),
        Errno::DQUOT => (Fault::Full, "raise the quota of the agent's user on the target"),
        Errno::ACCESS | Errno::PERM => (
            Fault::Denied,
            "give the agent's user the right to read and write there; root needs no_root_squash on an NFS server, and on EFS \
             elasticfilesystem:ClientRootAccess in the file system's policy, or an access point with the files' own uid",
        ),
        Errno::ROFS => (
            Fault::Closed,
            "mount the target so that it can be written (rw), and on its server export it so; on EFS the file system's policy \
             must allow elasticfilesystem:ClientWrite; driftline goes on by itself",
        ),
        Errno::STALE => (
            Fault::Unreachable,
            "see whether its server exports the same file system as before; driftline opens it from its root again by itself, \
             and if this lasts, unmount it and mount it again",
        ),
        Errno::NAMETOOLONG => (Fault::Unfit, "give it a shorter name on the share"),
        Errno::INVAL | Errno::ILSEQ => (Fault::Unfit, "rename it on the share: the target does not take this name"),
        Errno::NOTDIR | Errno::LOOP => {
            (Fault::Unfit, "something that is not a folder lies on the way to it on the target: move that away")
        }
        Errno::ISDIR => (Fault::Unfit, "a folder lies in its place on the target: move that away"),
        Errno::XDEV => (Fault::Unfit, "another file system is mounted inside the target: mount it elsewhere"),
        Errno::NOENT | Errno::EXIST | Errno::NOTEMPTY => (Fault::Stale, LOOK_AGAIN),
        Errno::FBIG => (Fault::Unfit, "the target's file system does not hold files of this size"),
        Errno::MFILE | Errno::NFILE => (Fault::Unreachable, TOO_MANY_FILES),
        _ => (Fault::Unreachable, ANSWERS),
    }
}

/// The system's words without its number.
fn describe(err: &io::Error) -> String {
    let text = err.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// True for the answers which say that nothing lies at a path.
pub(super) fn says_absent(err: &io::Error) -> bool {
    matches!(errno(err), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG))
}

/// True if the file system does not know this way of renaming.
pub(super) fn says_unsupported(err: &io::Error) -> bool {
    matches!(errno(err), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

/// True if this file cannot be given a second name there.
pub(super) fn says_unlinkable(err: &io::Error) -> bool {
    matches!(errno(err), Some(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NOSYS))
}

/// True if the error is this one.
pub(super) fn is(err: &io::Error, code: Errno) -> bool {
    errno(err) == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_number_that_matters_has_its_fault() {
        let table = [
            (Errno::NOSPC, Fault::Full),
            (Errno::DQUOT, Fault::Full),
            (Errno::ACCESS, Fault::Denied),
            (Errno::PERM, Fault::Denied),
            (Errno::ROFS, Fault::Closed),
            (Errno::NAMETOOLONG, Fault::Unfit),
            (Errno::ILSEQ, Fault::Unfit),
            (Errno::NOTDIR, Fault::Unfit),
            (Errno::NOENT, Fault::Stale),
            (Errno::STALE, Fault::Unreachable),
            (Errno::IO, Fault::Unreachable),
            (Errno::TIMEDOUT, Fault::Unreachable),
            (Errno::NOTCONN, Fault::Unreachable),
            (Errno::HOSTDOWN, Fault::Unreachable),
            (Errno::MFILE, Fault::Unreachable),
        ];
        for (code, fault) in table {
            assert_eq!(fault_of(&code.into()).0, fault, "{code:?}");
        }
        assert_eq!(fault_of(&io::Error::from_raw_os_error(512)).0, Fault::Unreachable);
    }

    #[test]
    fn who_may_not_write_is_told_which_setting_of_which_server_says_so() {
        let told = |code: Errno| failed("publish", None, &code.into()).hint;
        let ours = |code: Errno| match about_ours(&code.into()) {
            Refusal::Own { fault: Fault::Closed, hint, .. } => hint.to_owned(),
            refusal => panic!("{refusal:?}"),
        };
        for hint in [told(Errno::ACCESS), told(Errno::PERM), ours(Errno::ACCESS), ours(Errno::PERM)] {
            for word in ["right", "no_root_squash", "elasticfilesystem:ClientRootAccess", "access point", "uid"] {
                assert!(hint.contains(word), "{word}: {hint}");
            }
        }
        for (code, words) in [
            (Errno::ROFS, &["rw", "export", "elasticfilesystem:ClientWrite", "by itself"][..]),
            (Errno::STALE, &["from its root", "by itself", "mount it again"]),
            (Errno::DQUOT, &["quota"]),
            (Errno::NOSPC, &["space"]),
        ] {
            assert!(words.iter().all(|word| told(code).contains(word)), "{code:?}: {}", told(code));
        }
    }

    #[test]
    fn what_is_said_has_no_numbers_in_it() {
        assert_eq!(describe(&Errno::NOSPC.into()), "No space left on device");
    }
}
