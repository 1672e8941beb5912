//! Where what is had back comes to lie: a share, or any other folder. As careful as a target: beneath its root, never
//! through a link, visible only when it is whole, and what it takes the place of is kept.

mod guarded;
mod kept;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{Acl, Digest, Kind, Meta, RESERVED, RelPath, Seen, Wall};
use crate::sys::publish::{self as sys, Errno, Spot, errno};
use crate::sys::{acl, beneath, stat};

pub use guarded::Refusal;
pub use kept::prune_kept;

/// Permission bits that a folder is made with, until its own are known.
const FOLDER_MODE: u32 = 0o755;
/// Permission bits of our own folders: what is kept in them must not be easier to read than where it lay.
const OUR_MODE: u32 = 0o700;
/// How often something is placed anew where somebody else was quicker.
const TRIES: u32 = 16;
/// What is being written lies in this folder below `.driftline`.
const STAGING: &[u8] = b"restore";
/// What gave way lies in this folder below `.driftline`, in one of its own for each run.
const KEPT: &[u8] = b"kept";

/// A folder in which things are put back.
#[derive(Debug)]
pub struct Landing {
    root: OwnedFd,
    /// Names this run, for what it keeps.
    run: Vec<u8>,
    counter: AtomicU64,
    kept: AtomicU64,
    /// What was written is flushed as a whole; else each file for itself.
    together: bool,
    /// The folder that things are written in, once there is one.
    staging: OnceLock<OwnedFd>,
    /// Owners could not be set.
    denied: AtomicBool,
    /// The file system knows access control lists.
    lists: bool,
    /// Lists that could not be set (count).
    lists_lost: AtomicU64,
}

/// Something that is written and not visible yet. Gone when it is dropped, unless it was placed. Once it is whole it keeps
/// nothing open: very many may wait for one flush.
#[derive(Debug)]
pub struct Fresh<'a> {
    landing: &'a Landing,
    staging: &'a OwnedFd,
    name: Vec<u8>,
    file: Option<File>,
    hasher: blake3::Hasher,
    len: u64,
    placed: bool,
}

impl Landing {
    /// Opens the folder; `run` is one part of a path that no other run bears.
    pub fn open(root: &Path, run: &str) -> io::Result<Self> {
        Self::on(beneath::open_root(root)?, run)
    }

    fn on(root: OwnedFd, run: &str) -> io::Result<Self> {
        let together = sys::medium(root.as_fd())? == sys::Medium::Local && sys::sync_all_reports();
        let lists = acl::are_known(root.as_fd());
        Ok(Self {
            root,
            run: run.as_bytes().to_vec(),
            counter: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            together,
            staging: OnceLock::new(),
            denied: AtomicBool::new(false),
            lists,
            lists_lost: AtomicU64::new(0),
        })
    }

    fn count_kept(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// How many things gave way, and are kept.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Where what gave way is kept, below the root.
    pub fn kept_in(&self) -> RelPath {
        ours(KEPT).join(&self.run).expect("a run's name is one part")
    }

    /// True if the owner of something could not be set.
    pub fn owners_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// How many files and folders lack the access control list that they had.
    pub fn lists_lost(&self) -> u64 {
        self.lists_lost.load(Ordering::Relaxed)
    }

    /// What lies at a path now.
    pub fn look(&self, path: &RelPath) -> io::Result<Option<Seen>> {
        let st = match beneath::stat(self.root.as_fd(), path) {
            Err(err) if is_absence(&err) => return Ok(None),
            result => result?,
        };
        let shape = stat::shape(&st).map_err(|what| io::Error::other(format!("a {what} lies in its place")))?;
        let mut meta = stat::meta(&st);
        if self.lists && meta.acl == Acl::NotKnown {
            let parent = beneath::open_parent(self.root.as_fd(), path)?;
            meta.acl = acl::read_at(parent.as_fd(), path.name()).unwrap_or(Acl::NotKnown);
        }
        Ok(Some(Seen { shape, digest: None, meta }))
    }

    /// The digest of a file or link that lies there.
    pub fn digest(&self, path: &RelPath, kind: Kind) -> io::Result<Digest> {
        match kind {
            Kind::Folder => Ok(Digest::FOLDER),
            Kind::Symlink => Ok(Digest::of(&beneath::read_link(self.root.as_fd(), path)?)),
            Kind::File => Digest::of_all(beneath::open_file(self.root.as_fd(), path)?),
        }
    }

    /// Makes a folder, and those above it, where they are missing. What is no folder and lies in the way is kept.
    pub fn make_folder(&self, path: &RelPath) -> io::Result<()> {
        self.folder(path, FOLDER_MODE).map(drop)
    }

    fn folder(&self, path: &RelPath, mode: u32) -> io::Result<OwnedFd> {
        match beneath::open_folder(self.root.as_fd(), path) {
            Ok(folder) => return Ok(folder),
            Err(err) if is_absence(&err) => {}
            Err(err) => return Err(err),
        }
        let Some(parent) = path.parent() else { return beneath::open_folder(self.root.as_fd(), path) };
        let above = self.folder(&parent, mode)?;
        let at = Spot::new(&above, path.name());
        match sys::make_folder(at) {
            Err(err) if errno(&err) != Some(Errno::EXIST) => return Err(err),
            Err(_) if !path.is_reserved() && sys::open_folder(at).is_err() => {
                self.set_aside(path)?;
                sys::make_folder(at)?;
            }
            _made => {}
        }
        let folder = sys::open_folder(at)?;
        sys::set_mode(folder.as_fd(), mode)?;
        Ok(folder)
    }

    /// Moves what lies there to what is kept.
    pub fn set_aside(&self, path: &RelPath) -> io::Result<()> {
        let (kept, name) = self.place_for(path)?;
        let parent = beneath::open_parent(self.root.as_fd(), path)?;
        sys::rename(Spot::new(&parent, path.name()), Spot::new(&kept, &name))?;
        self.kept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A folder among what is kept, and a name in it that is free there.
    fn place_for(&self, path: &RelPath) -> io::Result<(OwnedFd, Vec<u8>)> {
        let parent = path.parent().unwrap_or_else(RelPath::root);
        let at = parent.rebased(&RelPath::root(), &self.kept_in()).expect("every path lies at or below the root");
        let folder = self.folder(&at, OUR_MODE)?;
        let mut name = path.name().to_vec();
        while sys::lstat(Spot::new(&folder, &name)).is_ok() {
            name = [path.name(), format!(".{}", self.counter.fetch_add(1, Ordering::Relaxed)).as_bytes()].concat();
        }
        Ok((folder, name))
    }

    fn staging(&self) -> io::Result<&OwnedFd> {
        if let Some(known) = self.staging.get() {
            return Ok(known);
        }
        let made = self.folder(&ours(STAGING), OUR_MODE)?;
        Ok(self.staging.get_or_init(|| made))
    }

    /// Begins something that nobody sees yet.
    pub fn begin(&self) -> io::Result<Fresh<'_>> {
        let staging = self.staging()?;
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let name = [&self.run[..], format!("-{number}").as_bytes()].concat();
        Ok(Fresh { landing: self, staging, name, file: None, hasher: blake3::Hasher::new(), len: 0, placed: false })
    }

    /// Gives a file or folder that lies there what it carried.
    pub fn carry(&self, path: &RelPath, kind: Kind, meta: &Meta) -> io::Result<()> {
        let handle = match kind {
            Kind::Folder => beneath::open_folder(self.root.as_fd(), path)?,
            Kind::File | Kind::Symlink => beneath::open_file(self.root.as_fd(), path)?.into(),
        };
        self.carry_to(&handle, kind, meta)
    }

    fn carry_to(&self, handle: &impl AsFd, kind: Kind, meta: &Meta) -> io::Result<()> {
        if meta.uid != Meta::NOT_KNOWN || meta.gid != Meta::NOT_KNOWN {
            let now = stat::meta(&beneath::stat_fd(handle.as_fd())?);
            let (uid, gid) = (known(meta.uid, now.uid), known(meta.gid, now.gid));
            if (uid, gid) != (now.uid, now.gid) {
                match sys::set_owner(handle.as_fd(), uid, gid) {
                    Err(err) if errno(&err) == Some(Errno::PERM) => self.denied.store(true, Ordering::Relaxed),
                    result => result?,
                }
            }
        }
        if kind != Kind::Symlink {
            self.carry_list(handle, meta.acl)?;
        }
        // After the list, which has a say in the mode.
        if kind != Kind::Symlink && meta.mode != Meta::NOT_KNOWN {
            sys::set_mode(handle.as_fd(), meta.mode)?;
        }
        if meta.mtime == Wall(0) { Ok(()) } else { sys::set_mtime(handle.as_fd(), meta.mtime) }
    }

    /// What is made anew may have been handed a list by the folder that it was made in, which is taken away again.
    fn carry_list(&self, handle: &impl AsFd, list: Acl) -> io::Result<()> {
        match acl::set(handle.as_fd(), list) {
            Err(err) if acl::is_refusal(&err) && list.is_listed() => {
                self.lists_lost.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(err) if acl::is_refusal(&err) => Ok(()),
            result => result,
        }
    }

    /// Waits until all of these are on the medium; only then they may be placed.
    pub fn flush(&self, all: &[Fresh<'_>]) -> io::Result<()> {
        if self.together && !all.is_empty() { sys::sync_all(self.root.as_fd()) } else { Ok(()) }
    }

    /// Waits until everything is on the medium, and takes away our own folders where nothing is left in them.
    pub fn finish(&self) -> io::Result<()> {
        let drop_empty = |path: &RelPath| -> io::Result<()> {
            let parent = beneath::open_parent(self.root.as_fd(), path)?;
            // Something is left in it, or it is not there.
            let _left = sys::rmdir(Spot::new(&parent, path.name()));
            Ok(())
        };
        match drop_empty(&ours(STAGING)).and_then(|()| drop_empty(&ours(b""))) {
            Err(err) if !is_absence(&err) => return Err(err),
            _done => {}
        }
        sys::sync_all(self.root.as_fd())
    }
}

impl Fresh<'_> {
    /// The next bytes of a file.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => sys::create(Spot::new(self.staging, &self.name))?,
        };
        file.write_all(bytes)?;
        self.file = Some(file);
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Digest and length of what was written.
    pub fn written(&self) -> (Digest, u64) {
        (Digest(*self.hasher.finalize().as_bytes()), self.len)
    }

    /// All bytes of a file are there: gives it what it carries.
    pub fn end_file(&mut self, meta: &Meta) -> io::Result<()> {
        self.write(b"")?;
        let file = self.file.take().expect("writing made it");
        let each = !self.landing.together;
        if each {
            // On a file server a write that is sent once more after its time was set would date the file anew.
            sys::sync(file.as_fd())?;
        }
        self.landing.carry_to(&file, Kind::File, meta)?;
        if each { sys::sync(file.as_fd()) } else { Ok(()) }
    }

    /// It is a link.
    pub fn link(&mut self, to: &[u8], meta: &Meta) -> io::Result<()> {
        let at = Spot::new(self.staging, &self.name);
        sys::symlink(to, at)?;
        self.hasher.update(to);
        self.landing.carry_to(&sys::open_handle(at)?, Kind::Symlink, meta)
    }

    /// Makes it visible. What lay there is kept.
    ///
    /// RACE: whoever has the old version open goes on writing into what is kept; no byte is lost. Where the file system
    /// cannot exchange two names, a reader sees nothing there for an instant.
    pub fn place(mut self, path: &RelPath) -> io::Result<()> {
        let parent = self.landing.folder(&path.parent().unwrap_or_else(RelPath::root), FOLDER_MODE)?;
        let (from, to) = (Spot::new(self.staging, &self.name), Spot::new(&parent, path.name()));
        for _ in 0..TRIES {
            match place_new(from, to) {
                Err(err) if errno(&err) == Some(Errno::EXIST) => {}
                result => return result.map(|()| self.placed = true),
            }
            let (kept, name) = self.landing.place_for(path)?;
            let kept = Spot::new(&kept, &name);
            match exchange(from, to, kept) {
                Err(err) if is_absence(&err) => continue,
                Err(err) if errno(&err) != Some(Errno::INVAL) => return Err(err),
                Ok(()) => self.placed = true,
                Err(_) => match sys::rename(to, kept) {
                    Err(err) if is_absence(&err) => continue,
                    result => result?,
                },
            }
            self.landing.kept.fetch_add(1, Ordering::Relaxed);
            if self.placed {
                return Ok(());
            }
        }
        Err(io::Error::other("somebody else puts something there again and again"))
    }
}

/// Renames to where nothing is; `EEXIST` otherwise.
fn place_new(from: Spot<'_>, to: Spot<'_>) -> io::Result<()> {
    match sys::rename_new(from, to) {
        // As on NFS.
        Err(err) if errno(&err) == Some(Errno::INVAL) => sys::link(from, to).and_then(|()| sys::unlink(from)),
        result => result,
    }
}

/// The new one comes to lie where the old one is to be kept, and then the two names are exchanged: the old one is kept by
/// the same step that makes the new one visible. `EINVAL` where the file system cannot.
fn exchange(from: Spot<'_>, to: Spot<'_>, kept: Spot<'_>) -> io::Result<()> {
    sys::rename_new(from, kept)?;
    sys::exchange(kept, to).or_else(|err| sys::rename(kept, from).and(Err(err)))
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed lies among our own, in nobody's way.
            let _left = sys::unlink(Spot::new(self.staging, &self.name));
        }
    }
}

fn known(wanted: u32, now: u32) -> u32 {
    if wanted == Meta::NOT_KNOWN { now } else { wanted }
}

fn ours(rest: &[u8]) -> RelPath {
    let base = RelPath::new(RESERVED).expect("the reserved name is one plain part");
    if rest.is_empty() { base } else { base.join(rest).expect("our own names are plain parts") }
}

fn is_absence(err: &io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|code| errno(err) == Some(*code))
}

/// Every file and link below a folder, and every folder, but ours: for whoever asks what else lies there.
pub fn each_below(
    root: &Path,
    under: &RelPath,
    each: &mut dyn FnMut(&RelPath, Kind) -> io::Result<()>,
) -> io::Result<()> {
    let root = beneath::open_root(root)?;
    let mut open = vec![under.clone()];
    while let Some(path) = open.pop() {
        let folder = match beneath::open_folder(root.as_fd(), &path) {
            Err(err) if is_absence(&err) => continue,
            result => result?,
        };
        let mut found = Vec::new();
        sys::each_name(&folder, |name| {
            let kind = sys::lstat(Spot::new(&folder, name)).ok().and_then(|st| stat::shape(&st).ok());
            found.extend(kind.map(|shape| (OsString::from_vec(name.to_vec()), shape.kind)));
            Ok(true)
        })?;
        for (name, kind) in found {
            let Ok(child) = path.join(name.as_encoded_bytes()) else { continue };
            if child.is_reserved() {
                continue;
            }
            if kind == Kind::Folder {
                open.push(child.clone());
            }
            each(&child, kind)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    fn put(landing: &Landing, at: &str, bytes: &[u8]) {
        let mut fresh = landing.begin().expect("begun");
        fresh.write(bytes).expect("written");
        let meta = Meta { mode: 0o640, mtime: Wall(1_600_000_000_123_456_789), ..Meta::UNTOLD };
        fresh.end_file(&meta).expect("ended");
        assert_eq!(fresh.written(), (Digest::of(bytes), bytes.len() as u64));
        landing.flush(std::slice::from_ref(&fresh)).expect("flushed");
        fresh.place(&path(at)).expect("placed");
    }

    #[test]
    fn what_gives_way_is_kept_under_its_own_path() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("d")).expect("made");
        std::fs::write(dir.path().join("d/file"), b"local work").expect("written");
        let landing = Landing::open(dir.path(), "run").expect("open");
        put(&landing, "d/file", b"old");
        put(&landing, "d/file", b"older");
        put(&landing, "new/deep/file", b"new");
        let kept = dir.path().join(".driftline/kept/run/d");
        let mut all: Vec<_> = std::fs::read_dir(kept).expect("kept").map(|entry| entry.expect("one").path()).collect();
        all.sort();
        let all: Vec<_> = all.iter().map(|path| std::fs::read(path).expect("there")).collect();
        assert_eq!(all, [b"local work".to_vec(), b"old".to_vec()]);
        assert_eq!(std::fs::read(dir.path().join("d/file")).expect("there"), b"older");
        assert_eq!(landing.kept(), 2);
        let seen = landing.look(&path("new/deep/file")).expect("seen").expect("there");
        assert_eq!((seen.meta.mode, seen.meta.mtime), (0o640, Wall(1_600_000_000_123_456_789)));
        landing.finish().expect("finished");
        assert!(!dir.path().join(".driftline/restore").exists());
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_kept_whole_and_the_other_way_round() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("was_folder")).expect("made");
        std::fs::write(dir.path().join("was_folder/inside"), b"inside").expect("written");
        std::fs::write(dir.path().join("was_file"), b"file").expect("written");
        let landing = Landing::open(dir.path(), "run").expect("open");
        put(&landing, "was_folder", b"a file");
        put(&landing, "was_file/below", b"below");
        let kept = dir.path().join(".driftline/kept/run");
        assert_eq!(std::fs::read(kept.join("was_folder/inside")).expect("kept"), b"inside");
        assert_eq!(std::fs::read(kept.join("was_file")).expect("kept"), b"file");
        assert_eq!(std::fs::read(dir.path().join("was_file/below")).expect("there"), b"below");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (dir, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).expect("linked");
        let landing = Landing::open(dir.path(), "run").expect("open");
        put(&landing, "out/file", b"x");
        assert_eq!(std::fs::read_dir(outside.path()).expect("there").count(), 0);
        assert_eq!(std::fs::read(dir.path().join("out/file")).expect("there"), b"x");
        assert!(dir.path().join(".driftline/kept/run/out").is_symlink());
    }

    #[test]
    fn what_is_not_placed_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let landing = Landing::open(dir.path(), "run").expect("open");
        let mut fresh = landing.begin().expect("begun");
        fresh.write(b"x").expect("written");
        drop(fresh);
        landing.finish().expect("finished");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
    }
}
