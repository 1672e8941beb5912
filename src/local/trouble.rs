//! What an administrator is told about a path of the share that cannot be looked at.

use std::io;

use crate::model::{TOO_MANY_FILES, Trouble};
use crate::sys::cause::{Cause, cause};

/// "cannot {doing}: cause", and what to do about it.
pub(super) fn trouble(doing: &str, error: &io::Error) -> Trouble {
    let cause = cause(error);
    let failing = matches!(cause, Cause::Device | Cause::Stale);
    Trouble { failing, ..Trouble::new(format!("cannot {doing}: {error}"), hint(cause)) }
}

fn hint(cause: Cause) -> &'static str {
    match cause {
        Cause::Denied => "let the agent's user read it (setfacl -m u:driftline:rX), or add it to the share's `ignore`",
        Cause::Device => "the disk or its file system has a fault: see `dmesg`, and check the disk",
        Cause::Stale => {
            "the file server no longer knows it: it is looked at again at the next scan; if it stays, remount"
        }
        Cause::Exhausted => TOO_MANY_FILES,
        Cause::Held => "another program holds it: it is tried again",
        Cause::Gone => "it went away meanwhile: it is looked at again at the next scan",
        Cause::Other => "it is looked at again at the next scan; if it stays, add it to the share's `ignore`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_must_be_let_in() {
        let told = trouble("read the file", &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(told.message.starts_with("cannot read the file: "), "{}", told.message);
        let told = trouble("list the folder", &io::Error::from_raw_os_error(13));
        assert!(told.hint.contains("agent's user"), "{}", told.hint);
        assert!(!told.failing);
        let told = trouble("read the file", &io::Error::from_raw_os_error(5));
        assert!(told.failing && told.hint.contains("dmesg"), "{told:?}");
    }
}
