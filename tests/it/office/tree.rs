//! A strict picture of a tree, read on our own: names are bytes, paths have no longest length, links are not followed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};

/// What lies at one path, as far as it has to be the same on both sides.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file: permission bits, modification time in nanoseconds, length, digest.
    File { mode: u32, mtime: i128, len: u64, digest: blake3::Hash },
    /// A link and where it points to.
    Link(Vec<u8>),
    /// A folder: permission bits.
    Folder { mode: u32 },
    /// A socket, FIFO or device.
    Special,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { mode, mtime, len, digest } => {
                write!(f, "file {mode:o} mtime {mtime} len {len} {}", &digest.to_hex()[..8])
            }
            Self::Link(to) => write!(f, "link to {}", to.escape_ascii()),
            Self::Folder { mode } => write!(f, "folder {mode:o}"),
            Self::Special => f.write_str("special"),
        }
    }
}

/// Everything below a root, the root itself left out.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<Vec<u8>, Node>);

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(path, node)| (path.escape_ascii().to_string(), node))).finish()
    }
}

impl Tree {
    /// Reads all of it. Fails if something changes under its eyes.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        visit(File::open(root)?.as_fd(), &[], &mut |folder, path, stat| {
            tree.0.insert(path.to_vec(), node(folder, path, stat)?);
            Ok(())
        })?;
        Ok(tree)
    }

    /// Without what the agent keeps for itself at the root.
    pub(crate) fn without_ours(mut self) -> Self {
        self.0.retain(|path, _| path != b".driftline" && !path.starts_with(b".driftline/"));
        self
    }

    /// Without what is never mirrored: locks and temporary files, and what is no file, link or folder.
    pub(crate) fn without_ignored(mut self) -> Self {
        self.0.retain(|path, node| *node != Node::Special && !path.split(|b| *b == b'/').any(is_ignored));
        self
    }

    /// One line for each path that is not the same in both; none if they are equal.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut paths: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let unlike = paths.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        unlike.map(|path| difference(path, self.0.get(path), other.0.get(path))).take(20).collect()
    }
}

fn difference(path: &[u8], share: Option<&Node>, target: Option<&Node>) -> String {
    format!("{}: share {share:?}, target {target:?}", path.escape_ascii())
}

/// Where something lies, and when it was last changed in any way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Path below the root, escaped: names are told apart all the same.
    pub(crate) path: String,
    /// Inode number.
    pub(crate) ino: u64,
    /// Nanoseconds.
    pub(crate) ctime: i128,
}

/// Where everything below `root` lies but for what the agent keeps for itself, sorted by path.
pub(crate) fn places(root: &Path) -> io::Result<Vec<Place>> {
    let mut all = Vec::new();
    visit(File::open(root)?.as_fd(), &[], &mut |_, path, stat| {
        let ctime = nanos(i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec));
        all.push(Place { path: path.escape_ascii().to_string(), ino: stat.st_ino, ctime });
        Ok(())
    })?;
    all.retain(|place| place.path != ".driftline" && !place.path.starts_with(".driftline/"));
    all.sort();
    Ok(all)
}

type Visitor<'a> = dyn FnMut(BorrowedFd<'_>, &[u8], &Stat) -> io::Result<()> + 'a;

fn visit(folder: BorrowedFd<'_>, prefix: &[u8], see: &mut Visitor<'_>) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let glue: &[u8] = if prefix.is_empty() { b"" } else { b"/" };
        let path = [prefix, glue, name.to_bytes()].concat();
        see(folder, &path, &stat)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            visit(openat(folder, name, flags, Mode::empty())?.as_fd(), &path, see)?;
        }
    }
    Ok(())
}

fn node(folder: BorrowedFd<'_>, path: &[u8], stat: &Stat) -> io::Result<Node> {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let name = std::ffi::OsStr::from_bytes(name);
    let mode = stat.st_mode & 0o7777;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let mtime = nanos(i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
            let file = openat(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let (len, digest) = read(file.into())?;
            Node::File { mode, mtime, len, digest }
        }
        FileType::Symlink => Node::Link(readlinkat(folder, name, Vec::new())?.into_bytes()),
        FileType::Directory => Node::Folder { mode },
        _ => Node::Special,
    })
}

fn read(mut file: File) -> io::Result<(u64, blake3::Hash)> {
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.count(), hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        };
    }
}

fn nanos(seconds: i128, nanos: i128) -> i128 {
    seconds * 1_000_000_000 + nanos
}

/// The names that are never mirrored by themselves, without any pattern in a configuration.
fn is_ignored(name: &[u8]) -> bool {
    let (starts, ends) = (|part: &[u8]| name.starts_with(part), |part: &[u8]| name.ends_with(part));
    let office = starts(b"~$") || (starts(b".~lock.") && ends(b"#"));
    let word = (starts(b"~WRD") || starts(b"~WRL")) && ends(b".tmp");
    let system = matches!(name, b".DS_Store" | b"Thumbs.db" | b".driftline") || starts(b"._");
    let editor = starts(b".") && (ends(b".swp") || ends(b".swo") || ends(b".swx"));
    office || word || system || editor
}
