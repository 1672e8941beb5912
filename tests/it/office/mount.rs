//! Mounts that end with the test, where the system permits any.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::office::program::{Said, hear, must};

/// Something mounted on a folder of an office.
pub(crate) struct Mount {
    at: PathBuf,
    mounted: bool,
}

impl Mount {
    /// A file system in memory, of `size` as mount(8) writes it. `None`, said aloud, where mounting is not permitted.
    pub(crate) fn memory(at: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0755");
        Self::new(at, Command::new("mount").args(["-t", "tmpfs", "-o", &options, "office"]).arg(at))
    }

    /// A file system in memory that knows no access control lists. `None`, said aloud, where mounting is not permitted.
    pub(crate) fn plain(at: &Path) -> Option<Self> {
        Self::new(at, Command::new("mount").args(["-t", "ramfs", "-o", "mode=0755", "office"]).arg(at))
    }

    /// Another folder. `None`, said aloud, where mounting is not permitted.
    pub(crate) fn bind(what: &Path, at: &Path) -> Option<Self> {
        Self::new(at, Command::new("mount").arg("--bind").args([what, at]))
    }

    fn new(at: &Path, command: &mut Command) -> Option<Self> {
        let said = hear(command);
        if said.code != Some(0) {
            skip(&said);
            return None;
        }
        Some(Self { at: at.to_owned(), mounted: true })
    }

    /// Changes its size.
    pub(crate) fn resize(&self, size: &str) {
        must(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.at));
    }

    /// Lets nothing be changed there, or lets it again.
    pub(crate) fn read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        must(Command::new("mount").args(["-o", option]).arg(&self.at));
    }

    /// Takes it away at once, whoever still has it open.
    pub(crate) fn take_away(&mut self) {
        if std::mem::take(&mut self.mounted) {
            must(Command::new("umount").arg("--lazy").arg(&self.at));
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// Says why a test does not run.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
pub(crate) fn skip(said: &Said) {
    eprintln!("skipped: mounting is not permitted here: {}", said.err.trim());
}
