//! Where the share's storage failed lately: what seems to be absent near a fault is not believed to be.
//!
//! Half-broken storage denies what it holds. So a name that is not found counts for nothing while its folder, or anything in
//! it, answers with errors: it stays what it was, and is looked at again once a scan has read that folder without any.

use std::collections::BTreeMap;

use crate::engine::desk::SUBTREES_MAX;
use crate::model::RelPath;

/// Folders in which something failed.
#[derive(Debug, Default)]
pub(super) struct Failing {
    /// Scans begun so far.
    scan: u64,
    /// Each with the scan during or after which it failed last.
    folders: BTreeMap<RelPath, u64>,
    /// There are too many of them to name; since this scan.
    everywhere: Option<u64>,
}

impl Failing {
    /// A scan of the whole share, or of a part, begins.
    pub(super) fn scan_begins(&mut self, whole: bool) {
        self.scan += 1;
        if whole {
            // Those that are gone by now would never be read without a fault.
            self.folders.retain(|_, scan| *scan + 1 >= self.scan);
            self.everywhere = self.everywhere.filter(|scan| *scan + 1 >= self.scan);
        }
    }

    /// The storage failed when `folder`, or something in it, was asked for.
    pub(super) fn note(&mut self, folder: RelPath) {
        self.folders.insert(folder, self.scan);
        if self.folders.len() > SUBTREES_MAX {
            self.folders.clear();
            self.everywhere = Some(self.scan);
        }
    }

    /// A scan read the folder to its end. What failed since the scan began counts still.
    pub(super) fn read_to_its_end(&mut self, folder: &RelPath) {
        if self.folders.get(folder).is_some_and(|scan| *scan < self.scan) {
            self.folders.remove(folder);
        }
    }

    /// Whether the absence of `path` is to be believed.
    pub(super) fn is_near(&self, path: &RelPath) -> bool {
        let folder = path.parent().unwrap_or_else(RelPath::root);
        self.everywhere.is_some() || self.folders.contains_key(&folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    #[test]
    fn a_fault_counts_for_its_folder_until_a_later_scan_reads_that_without_one() {
        let mut failing = Failing::default();
        failing.scan_begins(true);
        failing.note(path("a"));
        failing.read_to_its_end(&path("a"));
        assert!(
            failing.is_near(&path("a/file")) && !failing.is_near(&path("file")) && !failing.is_near(&path("a/b/c"))
        );
        failing.scan_begins(false);
        assert!(failing.is_near(&path("a/file")), "that it is asked again proves nothing yet");
        failing.note(path("a"));
        failing.read_to_its_end(&path("a"));
        assert!(failing.is_near(&path("a/file")));
        failing.scan_begins(false);
        failing.read_to_its_end(&path("a"));
        assert!(!failing.is_near(&path("a/file")));
    }

    #[test]
    fn more_faults_than_can_be_named_count_everywhere() {
        let mut failing = Failing::default();
        failing.scan_begins(true);
        (0..=SUBTREES_MAX).for_each(|i| failing.note(path(&format!("f{i}"))));
        assert!(failing.is_near(&path("elsewhere/file")));
        failing.scan_begins(true);
        assert!(failing.is_near(&path("elsewhere/file")), "it is not known yet what this one finds");
        failing.scan_begins(true);
        assert!(!failing.is_near(&path("elsewhere/file")));
    }
}
