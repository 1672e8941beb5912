//! Someone who never stops saving: in place, in halves, by rename; who deletes and renames in between.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::office::Dice;

/// More files than this there never are.
const FILES: u64 = 80;

type Versions = Arc<Mutex<HashSet<blake3::Hash>>>;

/// The editor, in a thread of its own. It notes every version before it saves it.
pub(crate) struct Editor {
    stop: Arc<AtomicBool>,
    versions: Versions,
    thread: Option<JoinHandle<()>>,
}

impl Editor {
    /// Begins to edit below `share`.
    pub(crate) fn start(share: PathBuf, seed: u64) -> Self {
        let (stop, versions) = (Arc::new(AtomicBool::new(false)), Versions::default());
        let (until, noted) = (stop.clone(), versions.clone());
        (0..8).for_each(|i| fs::create_dir_all(share.join(format!("folder {i}"))).expect("folders"));
        let thread = thread::spawn(move || {
            let mut desk = Desk { share, dice: Dice::new(seed), versions: noted };
            while !until.load(Ordering::Relaxed) {
                desk.edit();
            }
        });
        Self { stop, versions, thread: Some(thread) }
    }

    /// The digests of all that was ever saved, or is about to be.
    pub(crate) fn versions(&self) -> HashSet<blake3::Hash> {
        self.versions.lock().expect("the editor lives").clone()
    }

    /// Ends it, after its last save.
    pub(crate) fn stop(mut self) -> HashSet<blake3::Hash> {
        assert!(self.end(), "the editor ends well");
        self.versions()
    }

    fn end(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.end();
    }
}

struct Desk {
    share: PathBuf,
    dice: Dice,
    versions: Versions,
}

impl Desk {
    fn edit(&mut self) {
        let path = self.some_path();
        match self.dice.below(10) {
            0..=3 => {
                let bytes = self.version(None);
                self.write(File::create(&path), &bytes);
            }
            4 | 5 => {
                if let Ok(meta) = fs::metadata(&path) {
                    let bytes = self.version(Some(meta.len()));
                    self.write(File::options().write(true).open(&path), &bytes);
                }
            }
            6 | 7 => self.save_by_rename(&path),
            8 => drop(fs::remove_file(&path)),
            _ => drop(fs::rename(&path, self.some_path())),
        }
        self.pause(6);
    }

    fn some_path(&mut self) -> PathBuf {
        let i = self.dice.below(FILES);
        self.share.join(format!("folder {}/file {i}", i % 8))
    }

    fn version(&mut self, len: Option<u64>) -> Vec<u8> {
        let len = len.unwrap_or_else(|| 1 + self.dice.below(100_000));
        let bytes = self.dice.bytes(usize::try_from(len).expect("a small file"));
        self.versions.lock().expect("nobody fails while noting").insert(blake3::hash(&bytes));
        bytes
    }

    /// In two halves, the file open in between.
    fn write(&mut self, file: std::io::Result<File>, bytes: &[u8]) {
        let (mut file, half) = (file.expect("a file to write to"), bytes.len() / 2);
        file.write_all(&bytes[..half]).expect("the first half");
        self.pause(4);
        file.write_all(&bytes[half..]).expect("the second half");
    }

    fn save_by_rename(&mut self, path: &Path) {
        let (new, bytes) = (path.with_extension("new"), self.version(None));
        self.write(File::create(&new), &bytes);
        fs::rename(new, path).expect("the new version takes its place");
    }

    fn pause(&mut self, below_ms: u64) {
        thread::sleep(Duration::from_millis(self.dice.below(below_ms)));
    }
}
