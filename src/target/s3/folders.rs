//! Folders that were there when they were last looked at or made: of what is put into one of them it need not be asked again
//! whether it has a place.
//!
//! Kept in a few bytes each: the first copy of a large share makes very many. Two folders that hash alike are taken for one;
//! with as many as are remembered at most that happens in one run of eight billion, and what is not noticed then is that a
//! folder has no marker, or that a file bears the name of a folder: both may lie in a bucket.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::RelPath;

/// Folders that are remembered (count); then all are forgotten, and looked at again.
const FOLDERS_MAX: usize = 65_536;

/// See the module.
#[derive(Default)]
pub(super) struct Folders {
    hash: RandomState,
    seen: Mutex<HashSet<u64>>,
}

impl Folders {
    fn seen(&self) -> MutexGuard<'_, HashSet<u64>> {
        // Numbers only: a panic elsewhere leaves them whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contain(&self, path: &RelPath) -> bool {
        let hash = self.hash.hash_one(path);
        self.seen().contains(&hash)
    }

    pub(super) fn remember(&self, path: &RelPath) {
        let hash = self.hash.hash_one(path);
        let mut seen = self.seen();
        if seen.len() >= FOLDERS_MAX {
            seen.clear();
        }
        seen.insert(hash);
    }

    /// One of them goes, and with it what lay in it: nothing tells which of the others these are.
    pub(super) fn forget(&self) {
        self.seen().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).expect("a test's path is fine")
    }

    #[test]
    fn what_is_remembered_is_there_until_one_of_them_goes() {
        let folders = Folders::default();
        assert!(!folders.contain(&path("a")));
        folders.remember(&path("a"));
        folders.remember(&path("a/b"));
        assert!(folders.contain(&path("a")) && folders.contain(&path("a/b")) && !folders.contain(&path("b")));
        folders.forget();
        assert!(!folders.contain(&path("a")) && !folders.contain(&path("a/b")));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let folders = Folders::default();
        (0..=FOLDERS_MAX).for_each(|n| folders.remember(&path(&n.to_string())));
        assert_eq!(folders.seen().len(), 1);
        assert!(folders.contain(&path(&FOLDERS_MAX.to_string())) && !folders.contain(&path("0")));
    }
}
