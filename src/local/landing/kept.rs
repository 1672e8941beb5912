//! What gave way on a share goes again: by the rule by which versions in a target's history go.
//!
//! A thing gave way no later than the newest time of the folders that lead to it among what is kept: each of them was made or
//! touched when something came into it. A folder that gave way as a whole is older than that, and says nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::local::RootId;
use crate::local::landing::{KEPT, is_absence, ours};
use crate::local::root::open_bound;
use crate::model::{Kind, RelPath, Wall};
use crate::plan::{Keep, Lies, prune};
use crate::sys::publish::{self as sys, Spot};
use crate::sys::{beneath, stat};

/// Removes what gave way on a share and may go ([`prune`]); `lies` says what the share has at a path. Returns how many files and
/// links. The error says why nothing more is removed.
pub fn prune_kept(root: &Path, id: &RootId, keep: &Keep, lies: &dyn Fn(&RelPath) -> Lies) -> Result<u64, String> {
    let root = open_bound(root, id)?;
    let mut pruning = Pruning { root, keep, lies, removed: 0 };
    pruning.all().map_err(|error| format!("what gave way on the share cannot be removed: {error}"))?;
    Ok(pruning.removed)
}

struct Pruning<'a> {
    root: OwnedFd,
    keep: &'a Keep,
    lies: &'a dyn Fn(&RelPath) -> Lies,
    removed: u64,
}

/// One folder among what is kept: the same path of the share in one of the runs.
struct Place {
    at: RelPath,
    /// The newest time of the folders down to it.
    newest: Wall,
}

/// What bears one name in the places of a path, by their numbers.
#[derive(Default)]
struct Name {
    things: Vec<usize>,
    folders: Vec<usize>,
}

impl Pruning<'_> {
    fn all(&mut self) -> io::Result<()> {
        let kept = ours(KEPT);
        let Some(folder) = self.open(&kept)? else { return Ok(()) };
        let mut runs = Vec::new();
        for (name, kind) in named(&folder)? {
            let place = if kind == Kind::Folder { self.place(&kept, &name, Wall(i64::MIN))? } else { None };
            runs.extend(place);
        }
        self.folder(&RelPath::root(), &runs)?;
        for run in &runs {
            self.remove_empty(&folder, run)?;
        }
        drop(folder);
        let parent = beneath::open_parent(self.root.as_fd(), &kept)?;
        // Something is left in it.
        let _left = sys::rmdir(Spot::new(&parent, kept.name()));
        Ok(())
    }

    fn open(&self, at: &RelPath) -> io::Result<Option<OwnedFd>> {
        match beneath::open_folder(self.root.as_fd(), at) {
            Err(error) if is_absence(&error) => Ok(None),
            result => result.map(Some),
        }
    }

    fn place(&self, above: &RelPath, name: &[u8], newest: Wall) -> io::Result<Option<Place>> {
        let Ok(at) = above.join(name) else { return Ok(None) };
        let Some(folder) = self.open(&at)? else { return Ok(None) };
        let newest = newest.max(mtime(&folder)?);
        Ok(Some(Place { at, newest }))
    }

    /// All that is kept of a folder of the share. In memory: the names in it, and in the folders above.
    fn folder(&mut self, path: &RelPath, places: &[Place]) -> io::Result<()> {
        let mut names = BTreeMap::<Vec<u8>, Name>::new();
        for (number, place) in places.iter().enumerate() {
            let Some(folder) = self.open(&place.at)? else { continue };
            for (name, kind) in named(&folder)? {
                let name = names.entry(name).or_default();
                if kind == Kind::Folder { name.folders.push(number) } else { name.things.push(number) }
            }
        }
        let mut go = BTreeMap::<usize, Vec<Vec<u8>>>::new();
        for (name, found) in names {
            let Ok(child) = path.join(&name) else { continue };
            let gave_way: Vec<_> = found.things.iter().map(|number| places[*number].newest).collect();
            if gave_way.iter().any(|at| *at < self.keep.before) {
                for at in prune(&gave_way, (self.lies)(&child), self.keep) {
                    go.entry(found.things[at]).or_default().push(name.clone());
                }
            }
            self.below(&child, &name, found.folders.iter().map(|number| &places[*number]))?;
        }
        go.into_iter().try_for_each(|(number, names)| self.remove(&places[number], &names))
    }

    fn below<'p>(&mut self, child: &RelPath, name: &[u8], above: impl Iterator<Item = &'p Place>) -> io::Result<()> {
        let mut places = Vec::new();
        let mut parents = Vec::new();
        for parent in above {
            if let Some(place) = self.place(&parent.at, name, parent.newest)? {
                places.push(place);
                parents.push(parent);
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        self.folder(child, &places)?;
        for (place, parent) in places.iter().zip(parents) {
            if let Some(folder) = self.open(&parent.at)? {
                self.remove_empty(&folder, place)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, place: &Place, names: &[Vec<u8>]) -> io::Result<()> {
        let Some(folder) = self.open(&place.at)? else { return Ok(()) };
        let before = mtime(&folder)?;
        for name in names {
            match sys::unlink(Spot::new(&folder, name)) {
                Err(error) if is_absence(&error) => continue,
                result => result?,
            }
            self.removed += 1;
        }
        // What stays gave way when it did.
        sys::set_mtime(folder.as_fd(), before)
    }

    /// Takes a folder away in which nothing is left. What has come into it just now is in its way.
    fn remove_empty(&self, parent: &OwnedFd, place: &Place) -> io::Result<()> {
        if place.newest >= self.keep.before {
            return Ok(());
        }
        let before = mtime(parent)?;
        let _left = sys::rmdir(Spot::new(parent, place.at.name()));
        sys::set_mtime(parent.as_fd(), before)
    }
}

fn mtime(folder: &OwnedFd) -> io::Result<Wall> {
    Ok(stat::meta(&beneath::stat_fd(folder.as_fd())?).mtime)
}

/// The names in a folder; whatever is no folder is a thing.
fn named(folder: &OwnedFd) -> io::Result<Vec<(Vec<u8>, Kind)>> {
    let mut names = Vec::new();
    sys::each_name(folder, |name| {
        let shape = sys::lstat(Spot::new(folder, name)).map(|st| stat::shape(&st));
        let is_folder = matches!(shape, Ok(Ok(shape)) if shape.kind == Kind::Folder);
        names.push((name.to_vec(), if is_folder { Kind::Folder } else { Kind::File }));
        Ok(true)
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::local::{Landing, root_id};
    use crate::model::Meta;

    /// Seconds since 1970, as nanoseconds.
    fn at(seconds: i64) -> Wall {
        Wall(seconds * 1_000_000_000)
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    /// Puts a new version in the place of the old one, in a run at that time.
    fn replace(share: &Path, run: &str, name: &str, when: i64) {
        let landing = Landing::open(share, run).expect("open");
        let mut fresh = landing.begin().expect("begun");
        fresh.write(run.as_bytes()).expect("written");
        fresh.end_file(&Meta { mode: 0o644, ..Meta::UNTOLD }).expect("ended");
        fresh.place(&path(name)).expect("placed");
        landing.finish().expect("finished");
        date(share, run, when);
    }

    fn open(folder: &Path) -> OwnedFd {
        beneath::open_root(folder).expect("there")
    }

    fn date(share: &Path, run: &str, when: i64) {
        for entry in walkdir::WalkDir::new(share.join(".driftline/kept").join(run)).into_iter().map(Result::unwrap) {
            if entry.file_type().is_dir() {
                let folder = open(entry.path());
                sys::set_mtime(folder.as_fd(), at(when)).expect("dated");
            }
        }
    }

    fn left(share: &Path) -> Vec<String> {
        let kept = share.join(".driftline/kept");
        let all = walkdir::WalkDir::new(&kept).sort_by_file_name().into_iter().filter_map(Result::ok);
        let all = all.filter(|entry| entry.path() != kept);
        all.map(|entry| entry.path().strip_prefix(&kept).expect("below").to_string_lossy().into_owned()).collect()
    }

    fn pruned(share: &Path, before: i64, floor: usize, lies: Lies) -> u64 {
        let keep = Keep { before: at(before), floor };
        prune_kept(share, &root_id(share).expect("there"), &keep, &|_| lies).expect("pruned")
    }

    #[test]
    fn what_is_old_goes_but_the_newest_of_what_the_share_has() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path();
        fs::create_dir(share.join("a")).expect("made");
        fs::write(share.join("a/file"), "first").expect("written");
        for (run, when) in [("one", 10), ("two", 20), ("three", 30)] {
            replace(share, run, "a/file", when);
        }
        let all = ["one", "one/a", "one/a/file", "three", "three/a", "three/a/file", "two", "two/a", "two/a/file"];
        assert_eq!((pruned(share, 10, 1, Lies::Gone), left(share)), (0, all.map(str::to_owned).to_vec()));
        assert_eq!((pruned(share, 100, 3, Lies::There), left(share)), (0, all.map(str::to_owned).to_vec()));
        assert_eq!(
            (pruned(share, 20, 1, Lies::There), left(share)),
            (1, all[3..].iter().map(|s| (*s).to_owned()).collect())
        );
        assert_eq!((pruned(share, 100, 1, Lies::There), left(share).len()), (1, 3));
        assert_eq!(fs::read(share.join(".driftline/kept/three/a/file")).expect("kept"), b"two");
        assert_eq!((pruned(share, 100, 0, Lies::Wanted), left(share).len()), (0, 3));
        assert_eq!((pruned(share, 100, 0, Lies::Gone), left(share).len()), (1, 0));
        assert!(!share.join(".driftline/kept").exists());
        assert_eq!(fs::read(share.join("a/file")).expect("untouched"), b"three");
    }

    #[test]
    fn a_folder_that_gave_way_as_a_whole_is_as_old_as_the_moment_at_which_it_did() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path();
        fs::create_dir_all(share.join("a/old/deep")).expect("made");
        fs::write(share.join("a/old/deep/file"), "x").expect("written");
        let landing = Landing::open(share, "one").expect("open");
        landing.set_aside(&path("a/old")).expect("set aside");
        date(share, "one", 10);
        sys::set_mtime(open(&share.join(".driftline/kept/one/a")).as_fd(), at(50)).expect("dated");
        assert_eq!((pruned(share, 50, 1, Lies::Gone), left(share).len()), (0, 5));
        assert_eq!((pruned(share, 51, 1, Lies::Gone), left(share).len()), (1, 0));
    }

    #[test]
    fn what_stays_is_as_old_as_before() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path();
        ["gone", "there"].iter().for_each(|name| fs::write(share.join(name), "x").expect("written"));
        for name in ["gone", "there"] {
            replace(share, "one", name, 10);
        }
        let keep = Keep { before: at(100), floor: 1 };
        let lies = |path: &RelPath| if path.as_bytes() == b"there" { Lies::There } else { Lies::Gone };
        let id = root_id(share).expect("there");
        assert_eq!(
            (prune_kept(share, &id, &keep, &lies), left(share)),
            (Ok(1), vec!["one".into(), "one/there".into()])
        );
        assert_eq!(pruned(share, 11, 0, Lies::There), 1, "its folder's time is not that of the removal beside it");
    }

    #[test]
    fn what_is_kept_is_pruned_on_no_other_share() {
        let dir = tempfile::tempdir().expect("a folder");
        let (share, other) = (dir.path().join("share"), dir.path().join("other"));
        for root in [&share, &other] {
            fs::create_dir(root).expect("made");
            fs::write(root.join("file"), "x").expect("written");
            replace(root, "one", "file", 10);
        }
        let keep = Keep { before: at(100), floor: 0 };
        let refused = prune_kept(&share, &root_id(&other).expect("there"), &keep, &|_| Lies::Gone);
        assert!(refused.expect_err("another root").contains("not the folder"));
        assert_eq!(left(&share).len(), 2);
    }
}
