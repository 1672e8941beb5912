//! Which programs keep files of a share open for writing: why a file waits, and who is to be asked.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::index::Overview;
use crate::model::RelPath;
use crate::sys::openers::{Opener, writers};

/// Programs that are named of one file (count).
const NAMED_MAX: usize = 3;

/// Who writes to which file, at the time of asking.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The folder of each share, as the kernel calls it.
    roots: BTreeMap<String, PathBuf>,
    open: BTreeMap<PathBuf, Vec<Opener>>,
}

impl Holders {
    /// Looks once, for all shares that are there.
    pub(super) fn look(overview: &Overview) -> Self {
        let root = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let roots: BTreeMap<_, _> =
            overview.shares.iter().map(|share| (share.name.clone(), root(&share.root))).collect();
        let open = writers(&roots.values().cloned().collect::<Vec<_>>());
        Self { roots, open }
    }

    /// Who writes to a file of a share, such as `smbd, pid 812`; `None` if nobody is seen to.
    pub(super) fn of(&self, share: &str, path: &RelPath) -> Option<String> {
        let file = self.roots.get(share)?.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let openers = self.open.get(&file)?;
        let mut named: Vec<_> =
            openers.iter().take(NAMED_MAX).map(|opener| format!("{}, pid {}", opener.name, opener.pid)).collect();
        if openers.len() > NAMED_MAX {
            named.push(format!("{} more", openers.len() - NAMED_MAX));
        }
        Some(named.join("; "))
    }
}
