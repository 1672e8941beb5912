//! Changes of the share that hold only if what lies there is what was seen: for whatever others changed on a target.
//!
//! What gives way is kept, as in a restore. Nobody's newer work gives way: what lies there is compared before, and once
//! more when it has given way; if it is not what was seen, it is put back.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::local::RootId;
use crate::local::landing::{Fresh, Landing, STAGING, exchange, is_absence, ours, place_new};
use crate::local::look::is_mount_point;
use crate::local::root::open_bound;
use crate::model::{Kind, Meta, RelPath, Stat};
use crate::sys::publish::{self as sys, Errno, Spot, errno};
use crate::sys::raw::{self, Writer};
use crate::sys::{beneath, stat};

/// Why the share was left as it was.
#[derive(Debug)]
pub enum Refusal {
    /// Something else lies there than what was seen.
    Changed,
    /// Somebody has it open for writing.
    Busy,
    /// The folder holds something.
    Occupied,
    /// The system's own word.
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Landing {
    /// Opens a share's root if it is the one that it was bound to; the error says why the share is offline.
    pub fn open_bound(root: &Path, id: &RootId, run: &str) -> Result<Self, String> {
        let fd = open_bound(root, id)?;
        Self::on(fd, run).map_err(|error| format!("the share's folder {} cannot be used: {error}", root.display()))
    }

    /// Removes what earlier runs whose names begin so have left unfinished.
    pub fn sweep(&self, prefix: &[u8]) -> io::Result<()> {
        let staging = match beneath::open_folder(self.root.as_fd(), &ours(STAGING)) {
            Err(error) if is_absence(&error) => return Ok(()),
            result => result?,
        };
        let mut left = Vec::new();
        sys::each_name(&staging, |name| {
            left.extend(name.starts_with(prefix).then(|| name.to_vec()));
            Ok(true)
        })?;
        left.iter().try_for_each(|name| sys::unlink(Spot::new(&staging, name)))
    }

    /// Waits until all that was changed is on the medium.
    pub fn sync(&self) -> io::Result<()> {
        sys::sync_all(self.root.as_fd())
    }

    /// Makes a folder where nothing lies; one that lies there already is as good.
    pub fn found_folder(&self, path: &RelPath, meta: &Meta) -> Result<Stat, Refusal> {
        match self.seen(path)? {
            Some(seen) if seen.shape.kind == Kind::Folder => return Ok(seen),
            Some(_) => return Err(Refusal::Changed),
            None => {}
        }
        self.has_way(path)?;
        self.make_folder(path)?;
        self.carry(path, Kind::Folder, meta)?;
        self.seen(path)?.ok_or(Refusal::Changed)
    }

    /// Gives what lies there, as it was seen, another mode, time and owner.
    pub fn carry_unchanged(&self, path: &RelPath, expected: &Stat, meta: &Meta) -> Result<Stat, Refusal> {
        self.is_as_seen(path, expected)?;
        self.carry(path, expected.shape.kind, meta)?;
        self.seen(path)?.ok_or(Refusal::Changed)
    }

    /// Takes away what lies there, as it was seen: files and links are kept, a folder goes only if it is empty.
    ///
    /// RACE: somebody may open the file for writing between the question and the step; what is written then is written into
    /// what is kept, and no byte is lost.
    pub fn remove_unchanged(&self, path: &RelPath, expected: &Stat) -> Result<(), Refusal> {
        self.is_as_seen(path, expected)?;
        let parent = beneath::open_parent(self.root.as_fd(), path)?;
        let at = Spot::new(&parent, path.name());
        if expected.shape.kind == Kind::Folder {
            return sys::rmdir(at).map_err(|error| match errno(&error) {
                Some(Errno::NOTEMPTY | Errno::EXIST) => Refusal::Occupied,
                _ => Refusal::Failed(error),
            });
        }
        self.has_no_writer(path, expected)?;
        let (folder, name) = self.place_for(path)?;
        let kept = Spot::new(&folder, &name);
        sys::rename(at, kept)?;
        if !self.is_it(kept, expected)? {
            place_new(kept, at)?;
            return Err(Refusal::Changed);
        }
        self.count_kept();
        Ok(())
    }

    fn device(&self) -> io::Result<u64> {
        Ok(stat::device(&beneath::stat_fd(self.root.as_fd())?))
    }

    /// What lies at a path now, as a later change of it expects it. What is no file, link or folder is [`Refusal::Changed`].
    pub fn seen(&self, path: &RelPath) -> Result<Option<Stat>, Refusal> {
        let st = match beneath::stat(self.root.as_fd(), path) {
            Err(error) if is_absence(&error) => return Ok(None),
            result => result?,
        };
        let mut stat = stat::stat(&st, self.device()?).map_err(|_special| Refusal::Changed)?;
        if stat.mounted {
            let folder = beneath::open_folder(self.root.as_fd(), path)?;
            if is_mount_point(self.root.as_fd(), path, &stat, folder.as_fd()) {
                stat::name_mount(&mut stat, folder.as_fd());
            }
        }
        Ok(Some(stat))
    }

    fn is_as_seen(&self, path: &RelPath, expected: &Stat) -> Result<(), Refusal> {
        if self.seen(path)?.is_some_and(|seen| seen.same(expected)) { Ok(()) } else { Err(Refusal::Changed) }
    }

    /// The same file after it was renamed, which may have moved its ctime.
    fn is_it(&self, at: Spot<'_>, expected: &Stat) -> Result<bool, Refusal> {
        let found = stat::stat(&sys::lstat(at)?, self.device()?);
        Ok(found.is_ok_and(|found| Stat { ctime: expected.ctime, ..found }.same(expected)))
    }

    fn has_no_writer(&self, path: &RelPath, expected: &Stat) -> Result<(), Refusal> {
        if expected.shape.kind != Kind::File {
            return Ok(());
        }
        let file = beneath::open_file(self.root.as_fd(), path)?;
        if raw::has_writer(file.as_fd()) == Writer::Some { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Nothing but folders lies above the path.
    ///
    /// RACE: a file that comes to lie there now is kept when the folder is made.
    fn has_way(&self, path: &RelPath) -> Result<(), Refusal> {
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.seen(&above)?.is_some_and(|seen| seen.shape.kind != Kind::Folder) {
                return Err(Refusal::Changed);
            }
        }
        Ok(())
    }
}

impl Fresh<'_> {
    /// Makes it visible if there lies what was seen, or nothing if nothing was. What gives way is kept.
    ///
    /// RACE: as [`Fresh::place`]; and where the file system cannot exchange two names, what comes to lie there between the
    /// question and the step is kept like the old version.
    pub fn place_over(mut self, path: &RelPath, expected: Option<&Stat>) -> Result<Stat, Refusal> {
        let landing = self.landing;
        landing.has_way(path)?;
        let parent = landing.folder(&path.parent().unwrap_or_else(RelPath::root), super::FOLDER_MODE)?;
        let staging = self.staging.try_clone()?;
        let name = self.name.clone();
        let (from, to) = (Spot::new(&staging, &name), Spot::new(&parent, path.name()));
        match expected {
            None => match place_new(from, to) {
                Err(error) if errno(&error) == Some(Errno::EXIST) => return Err(Refusal::Changed),
                result => result?,
            },
            Some(expected) => {
                landing.is_as_seen(path, expected)?;
                landing.has_no_writer(path, expected)?;
                let (folder, kept) = landing.place_for(path)?;
                let kept = Spot::new(&folder, &kept);
                match exchange(from, to, kept) {
                    Err(error) if errno(&error) == Some(Errno::INVAL) => {
                        sys::rename(to, kept)?;
                        if let Err(error) = place_new(from, to) {
                            place_new(kept, to)?;
                            return Err(error.into());
                        }
                    }
                    result => result?,
                }
                if !landing.is_it(kept, expected)? {
                    sys::exchange(kept, to)?;
                    sys::rename_new(kept, from)?;
                    return Err(Refusal::Changed);
                }
                landing.count_kept();
            }
        }
        self.placed = true;
        landing.seen(path)?.ok_or(Refusal::Changed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::Wall;

    const META: Meta = Meta { mode: 0o640, mtime: Wall(5_000_000_000), ..Meta::UNTOLD };

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    fn fresh<'a>(landing: &'a Landing, bytes: &[u8]) -> Fresh<'a> {
        let mut fresh = landing.begin().expect("begun");
        fresh.write(bytes).expect("written");
        fresh.end_file(&META).expect("ended");
        fresh
    }

    #[test]
    fn only_what_was_seen_gives_way_and_it_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(dir.path(), "run").expect("open");
        let stat = fresh(&landing, b"one").place_over(&path("a/file"), None).expect("nothing lay there");
        assert!(matches!(fresh(&landing, b"two").place_over(&path("a/file"), None), Err(Refusal::Changed)));
        fs::write(dir.path().join("a/file"), b"newer work").expect("written");
        assert!(matches!(fresh(&landing, b"two").place_over(&path("a/file"), Some(&stat)), Err(Refusal::Changed)));
        assert_eq!(fs::read(dir.path().join("a/file")).expect("there"), b"newer work");
        let stat = landing.seen(&path("a/file")).expect("seen").expect("there");
        fresh(&landing, b"two").place_over(&path("a/file"), Some(&stat)).expect("as seen");
        assert_eq!(fs::read(dir.path().join("a/file")).expect("there"), b"two");
        assert_eq!(fs::read(dir.path().join(".driftline/kept/run/a/file")).expect("kept"), b"newer work");
        assert!(matches!(landing.remove_unchanged(&path("a/file"), &stat), Err(Refusal::Changed)));
        let staging = dir.path().join(".driftline/restore");
        assert_eq!(fs::read_dir(staging).expect("there").count(), 0, "nothing is left lying about");
    }

    #[test]
    fn what_somebody_writes_to_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(dir.path(), "run").expect("open");
        fs::write(dir.path().join("file"), b"one").expect("written");
        let stat = landing.seen(&path("file")).expect("seen").expect("there");
        let writer = fs::OpenOptions::new().append(true).open(dir.path().join("file")).expect("open");
        let known = raw::has_writer(fs::File::open(dir.path().join("file")).expect("open").as_fd());
        if matches!(known, Writer::NotKnown | Writer::NoLeases) {
            return;
        }
        assert!(matches!(landing.remove_unchanged(&path("file"), &stat), Err(Refusal::Busy)));
        assert!(matches!(fresh(&landing, b"two").place_over(&path("file"), Some(&stat)), Err(Refusal::Busy)));
        drop(writer);
        landing.remove_unchanged(&path("file"), &stat).expect("nobody writes");
        assert_eq!(fs::read(dir.path().join(".driftline/kept/run/file")).expect("kept"), b"one");
    }

    #[test]
    fn a_folder_goes_only_if_it_is_empty_and_comes_only_where_nothing_else_lies() {
        let dir = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(dir.path(), "run").expect("open");
        let stat = landing.found_folder(&path("a/b"), &META).expect("made");
        assert_eq!(stat.meta.mode, 0o640);
        fs::write(dir.path().join("a/b/file"), b"one").expect("written");
        let stat = landing.seen(&path("a/b")).expect("seen").expect("there");
        assert!(matches!(landing.remove_unchanged(&path("a/b"), &stat), Err(Refusal::Occupied)));
        assert!(matches!(landing.found_folder(&path("a/b/file"), &META), Err(Refusal::Changed)));
        assert!(matches!(landing.found_folder(&path("a/b/file/c"), &META), Err(Refusal::Changed)));
        fs::remove_file(dir.path().join("a/b/file")).expect("removed");
        let stat = landing.seen(&path("a/b")).expect("seen").expect("there");
        landing.remove_unchanged(&path("a/b"), &stat).expect("empty");
        assert!(!dir.path().join("a/b").exists());
    }

    #[test]
    fn what_an_earlier_run_left_unfinished_is_swept() {
        let dir = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(dir.path(), "taken-1").expect("open");
        std::mem::forget(fresh(&landing, b"one"));
        fs::write(dir.path().join(".driftline/restore/other-1"), b"a restore's").expect("written");
        landing.sweep(b"taken-").expect("swept");
        assert_eq!(fs::read_dir(dir.path().join(".driftline/restore")).expect("there").count(), 1);
    }
}
