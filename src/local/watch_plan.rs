//! Which folders to watch when there are more of them than the kernel allows.
//!
//! Not here: watching (`watch`).

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::local::relative::relative;
use crate::model::RelPath;

/// Parts of the tree that are named as uncovered; with more of them the whole share is.
pub(super) const UNCOVERED_MAX: usize = 1024;

/// Trees that are watched with all below: for each of them `notify` goes through all watches once.
const DEEP_MAX: usize = 256;

/// What to watch, and what is left without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be watched with all below.
    pub(super) deep: Vec<RelPath>,
    /// To be watched without what lies below.
    pub(super) flat: BTreeSet<RelPath>,
    /// Nobody watches these, nor what lies below.
    pub(super) uncovered: Vec<RelPath>,
    /// Folders that are watched.
    pub(super) watches: u64,
    /// Folders that there are.
    pub(super) folders: u64,
}

impl Plan {
    /// Whether nobody has thought of `path` yet, which appeared in a folder that is watched alone.
    pub(super) fn is_news(&self, path: &RelPath) -> bool {
        let above_is_flat = path.parent().is_some_and(|parent| self.flat.contains(&parent));
        above_is_flat && !self.flat.contains(path) && !self.deep.contains(path) && !self.uncovered.contains(path)
    }

    /// One folder more, watched or not.
    pub(super) fn grow(&mut self, path: &RelPath, watched: bool) {
        self.folders += 1;
        if watched {
            self.watches += 1;
            self.deep.push(path.clone());
        } else if self.uncovered.len() < UNCOVERED_MAX {
            self.uncovered.push(path.clone());
        } else {
            self.uncovered = vec![RelPath::root()];
        }
    }
}

/// Top-down: what fits is watched with all below; what does not is watched alone, and its subfolders are tried.
pub(super) fn plan(root: &Path, budget: u64) -> Plan {
    let folders = folders(root);
    let mut plan = Plan { folders, ..Plan::default() };
    let mut left = budget;
    let mut next = VecDeque::from([RelPath::root()]);
    while let Some(folder) = next.pop_front() {
        let here = folder.under(root);
        let size = if folder.is_root() { folders } else { count(&here, left) };
        if size <= left && (folder.is_root() || (size > 1 && plan.deep.len() < DEEP_MAX)) {
            left -= size;
            plan.deep.push(folder);
        } else if size == 1 && left > 0 {
            left -= 1;
            plan.flat.insert(folder);
        } else if left == 0 || next.len() > UNCOVERED_MAX {
            plan.uncovered.push(folder);
        } else {
            left -= 1;
            next.extend(subfolders(root, &here));
            plan.flat.insert(folder);
        }
    }
    plan.watches = budget - left;
    if plan.uncovered.len() > UNCOVERED_MAX {
        plan.uncovered = vec![RelPath::root()];
    }
    plan
}

/// Folders at and below `root`.
pub(super) fn folders(root: &Path) -> u64 {
    count(root, u64::MAX)
}

/// Folders at and below `path`; counting ends above `most`. What cannot be listed counts as one.
fn count(path: &Path, most: u64) -> u64 {
    let mut folders = 0;
    for entry in WalkDir::new(path).follow_links(false) {
        folders += u64::from(entry.is_ok_and(|entry| entry.file_type().is_dir()));
        if folders > most {
            break;
        }
    }
    folders
}

fn subfolders(root: &Path, path: &Path) -> Vec<RelPath> {
    let entries = WalkDir::new(path).min_depth(1).max_depth(1).sort_by_file_name();
    let folders = entries.into_iter().flatten().filter(|entry| entry.file_type().is_dir());
    folders.map(walkdir::DirEntry::into_path).filter_map(|path: PathBuf| relative(root, &path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(folders: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in folders {
            std::fs::create_dir_all(dir.path().join(folder)).expect("made");
        }
        dir
    }

    fn paths(texts: &[&str]) -> Vec<RelPath> {
        texts.iter().map(|text| RelPath::new(text).expect("fine")).collect()
    }

    #[test]
    fn what_fits_is_watched_from_the_root() {
        let dir = tree(&["a/b", "c"]);
        std::fs::write(dir.path().join("c/file"), b"").expect("written");
        let told = plan(dir.path(), 4);
        let wanted = Plan { deep: paths(&[""]), watches: 4, folders: 4, ..Plan::default() };
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_does_not_fit_is_watched_from_the_top_and_the_rest_is_named() {
        let dir = tree(&["a/1", "a/2", "a/3", "a/4", "b/1", "c"]);
        let told = plan(dir.path(), 5);
        let wanted = Plan {
            deep: paths(&["b"]),
            flat: paths(&["", "a", "c"]).into_iter().collect(),
            uncovered: paths(&["a/1", "a/2", "a/3", "a/4"]),
            watches: 5,
            folders: 9,
        };
        assert_eq!(told, wanted);
    }

    #[test]
    fn without_any_watch_the_whole_share_is_uncovered() {
        let dir = tree(&["a"]);
        let told = plan(dir.path(), 0);
        assert_eq!((told.uncovered, told.watches, told.folders), (paths(&[""]), 0, 2));
    }
}
