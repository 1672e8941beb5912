//! Uploads that are under way, remembered in a folder of ours: which they are, and of what.
//!
//! Only what is remembered here is known to be ours: uploads of others are never touched. With the folder lost, uploads
//! stay on the server until its lifecycle rule ends them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Wall};

/// An upload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) upload: String,
    /// Hex.
    pub(super) digest: String,
    pub(super) len: u64,
    pub(super) part: u64,
    /// What its object will carry, in one word.
    pub(super) carries: String,
    /// When it was begun (nanoseconds since 1970).
    pub(super) begun: i64,
}

impl Record {
    pub(super) fn begun(&self) -> Wall {
        Wall(self.begun)
    }

    /// True for an upload of the same bytes, in the same parts, with the same metadata.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let same = |record: &Self| (record.key.clone(), record.digest.clone(), record.carries.clone());
        same(self) == same(other) && (self.len, self.part) == (other.len, other.part)
    }
}

/// The folder of records. Without one, nothing is remembered.
#[derive(Clone, Debug)]
pub(super) struct Records(Option<PathBuf>);

impl Records {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// The upload of a key, if one is under way. What cannot be read is none.
    pub(super) fn of(&self, key: &str) -> Option<Record> {
        let folder = self.0.as_ref()?;
        read(&folder.join(name(key))).filter(|record| record.key == key)
    }

    /// All uploads under way.
    pub(super) fn all(&self) -> Vec<Record> {
        let entries = self.0.as_ref().and_then(|folder| fs::read_dir(folder).ok());
        entries.into_iter().flatten().filter_map(|entry| read(&entry.ok()?.path())).collect()
    }

    /// Durable when it returns: an upload that begins must be known to be ours after any crash.
    pub(super) fn remember(&self, record: &Record) -> io::Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        fs::create_dir_all(folder)?;
        let draft = folder.join(format!("{}.new", name(&record.key)));
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(&draft, folder.join(name(&record.key)))?;
        fs::File::open(folder)?.sync_all()
    }

    /// It is completed or given up.
    pub(super) fn forget(&self, key: &str) {
        if let Some(folder) = &self.0 {
            // One that stays is found to be no upload any more.
            let _left = fs::remove_file(folder.join(name(key)));
        }
    }
}

fn name(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> Record {
        let (digest, carries) = ("00".to_owned(), "mtime".to_owned());
        Record { key: key.to_owned(), upload: "u".to_owned(), digest, len: 9, part: 5, carries, begun: 7 }
    }

    #[test]
    fn what_is_remembered_is_found_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        let records = Records::new(Some(dir.path().join("uploads")));
        assert_eq!((records.of("a"), records.all()), (None, vec![]));
        records.remember(&record("a")).expect("written");
        records.remember(&record("b/c")).expect("written");
        assert_eq!(records.of("a"), Some(record("a")));
        assert_eq!(records.all().len(), 2);
        records.forget("a");
        assert_eq!(records.of("a"), None);
        fs::write(dir.path().join("uploads").join(name("b/c")), b"{").expect("torn");
        assert_eq!((records.of("b/c"), records.all()), (None, vec![]));
    }

    #[test]
    fn another_version_is_another_upload() {
        assert!(record("a").is_of(&Record { upload: "v".to_owned(), begun: 8, ..record("a") }));
        assert!(!record("a").is_of(&Record { digest: "01".to_owned(), ..record("a") }));
        assert!(!record("a").is_of(&Record { carries: String::new(), ..record("a") }));
        assert!(!record("a").is_of(&Record { part: 6, ..record("a") }));
    }
}
