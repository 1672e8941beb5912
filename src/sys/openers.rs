//! Who has files open for writing, as far as this process may see: root sees everybody, others their own programs.
//!
//! Read from `/proc/PID/fd` and `/proc/PID/fdinfo` (proc(5)). No file is touched for it, only its name read: a mount that
//! hangs is not waited for. What a program wrote by way of a mapping after it had closed the file is not seen.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The bits of the flags that say for what it is open (`O_ACCMODE`), and the one that says for reading only (open(2)).
const ACCESS: u32 = 0o3;
const READ_ONLY: u32 = 0;

/// A program that has a file open for writing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opener {
    /// Its process.
    pub pid: u32,
    /// The name of its program, as the kernel cuts it.
    pub name: String,
}

/// Files at or below any of `roots` that are open for writing, and by whom.
pub fn writers(roots: &[PathBuf]) -> BTreeMap<PathBuf, Vec<Opener>> {
    let mut found: BTreeMap<PathBuf, Vec<Opener>> = BTreeMap::new();
    for (pid, folder) in processes() {
        let Ok(open) = fs::read_dir(folder.join("fd")) else { continue };
        for entry in open.flatten() {
            let Ok(path) = fs::read_link(entry.path()) else { continue };
            if roots.iter().any(|root| path.starts_with(root)) && writes(&folder, &entry.file_name()) {
                let name = name_of(&folder);
                let openers = found.entry(path).or_default();
                if !openers.iter().any(|opener| opener.pid == pid) {
                    openers.push(Opener { pid, name });
                }
            }
        }
    }
    found
}

fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn writes(process: &Path, fd: &std::ffi::OsStr) -> bool {
    let info = fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    flags(&info).is_some_and(|flags| flags & ACCESS != READ_ONLY)
}

fn flags(info: &str) -> Option<u32> {
    let line = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

fn name_of(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    std::ffi::OsStr::from_bytes(name).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::*;

    #[test]
    fn who_writes_is_seen_and_who_reads_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        let path = root.join("letter");
        let writer = File::create(&path).expect("made");
        let reader = File::open(&path).expect("opened");
        let found = writers(std::slice::from_ref(&root));
        let pids: Vec<_> = found[&path].iter().map(|opener| opener.pid).collect();
        assert_eq!(pids, [std::process::id()]);
        drop(writer);
        assert_eq!(writers(std::slice::from_ref(&root)), BTreeMap::new());
        let both = OpenOptions::new().read(true).append(true).open(&path).expect("opened");
        assert!(writers(&[root]).contains_key(&path));
        drop((reader, both));
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(flags("pos:\t0\nflags:\t0100001\nmnt_id:\t1\n"), Some(0o100_001));
        assert_eq!(flags("nothing"), None);
    }
}
