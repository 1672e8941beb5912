//! Files on their way: read from the share, durable on the target, not yet visible.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::{Content, Meta, ReadFault, Reading, RelPath, Sink, Wall};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};
use crate::target::{Read, StageError, Staged, TargetError, Token};

use super::fault::{Outcome, Refusal, is};
use super::identity::Place;
use super::{DirTarget, Flush, ours};

/// Up to this many files of one call are flushed each for itself.
const EACH_MAX: usize = 8;
/// What any agent left in staging is removed once nothing changed it for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of a file in staging.
#[derive(Clone, Debug)]
pub(super) struct StagedFile {
    pub(super) name: Vec<u8>,
    pub(super) ino: u64,
    pub(super) content: Content,
    /// What it carries.
    pub(super) meta: Meta,
    /// We may not give files to their owner here.
    pub(super) owner_denied: bool,
}

/// The open staging folder of one call.
pub(super) struct Staging {
    pub(super) folder: OwnedFd,
}

impl Staging {
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let path = ours(b"staging");
        let folder = match beneath::open_folder(place.root(), &path) {
            Err(err) if is(&err, Errno::NOENT) => {
                let parent = beneath::open_parent(place.root(), &path)?;
                match sys::make_folder(Spot::new(&parent, path.name())) {
                    Err(err) if !is(&err, Errno::EXIST) => return Err(err),
                    _made => beneath::open_folder(place.root(), &path)?,
                }
            }
            result => result?,
        };
        Ok(Self { folder })
    }

    pub(super) fn spot<'a>(&'a self, name: &'a [u8]) -> Spot<'a> {
        Spot::new(&self.folder, name)
    }

    /// Removes a name. That it could not be removed is left to a later sweep.
    pub(super) fn drop_name(&self, name: &[u8]) {
        let _left = sys::unlink(self.spot(name)).or_else(|_| sys::rmdir(self.spot(name)));
    }
}

impl DirTarget {
    /// A name that nothing in staging bears: writer, run, number.
    pub(super) fn fresh_name(&self) -> (u64, Vec<u8>) {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        (number, format!("{}-{}-{number}", self.writer_hash(), self.run).into_bytes())
    }

    pub(super) fn writer_hash(&self) -> String {
        blake3::hash(self.setup.writer.as_bytes()).to_hex()[..8].to_owned()
    }

    fn together(&self, place: &Place, files: usize) -> bool {
        match self.setup.flush {
            Flush::Each => false,
            Flush::Together => true,
            Flush::Auto => files > EACH_MAX && !place.network && sys::sync_all_reports(),
        }
    }

    pub(super) fn stage_all(
        &self,
        place: &Place,
        paths: &[RelPath],
        read: Read<'_>,
    ) -> Vec<Result<Staged, StageError>> {
        let together = self.together(place, paths.len());
        let staging = match Staging::open(place) {
            Ok(staging) => staging,
            Err(err) => return paths.iter().map(|path| Err(on_target(path, io_again(&err)))).collect(),
        };
        let answers: Vec<_> = paths.iter().map(|path| self.stage_one(&staging, path, read, together)).collect();
        let flushed = if together { sys::sync_all(place.root()) } else { Ok(()) };
        match flushed.and_then(|()| sys::sync(staging.folder.as_fd())) {
            Ok(()) => answers,
            Err(err) => paths.iter().zip(answers).map(|(path, answer)| self.unflushed(path, answer, &err)).collect(),
        }
    }

    /// The flush failed: nobody can say for which files, so none of them is staged.
    fn unflushed(
        &self,
        path: &RelPath,
        answer: Result<Staged, StageError>,
        err: &io::Error,
    ) -> Result<Staged, StageError> {
        let staged = answer?;
        self.discard_all(&[staged.token]);
        Err(on_target(path, io_again(err)))
    }

    fn stage_one(
        &self,
        staging: &Staging,
        path: &RelPath,
        read: Read<'_>,
        together: bool,
    ) -> Result<Staged, StageError> {
        let (number, name) = self.fresh_name();
        let file = sys::create(staging.spot(&name)).map_err(|err| on_target(path, err))?;
        let result = self.fill(file, path, read, together);
        if result.is_err() {
            staging.drop_name(&name);
        }
        let (reading, ino, owner_denied) = result?;
        let token = Token(number);
        let (content, meta) = (reading.content, reading.stat.meta);
        self.state().staged.insert(token, StagedFile { name, ino, content, meta, owner_denied });
        Ok(Staged { token, reading })
    }

    fn fill(
        &self,
        file: File,
        path: &RelPath,
        read: Read<'_>,
        together: bool,
    ) -> Result<(Reading, u64, bool), StageError> {
        let mut sink = StagingSink { file, end: 0, failed: None };
        let answer = read(path, &mut sink);
        if let Some(err) = sink.failed.take() {
            return Err(on_target(path, err));
        }
        let reading = answer.map_err(StageError::Read)?;
        if reading.content.shape.len != sink.end {
            let cause = format!("{} bytes came, {} were announced", sink.end, reading.content.shape.len);
            return Err(StageError::Read(ReadFault::Busy(cause)));
        }
        let (ino, denied) = self.complete(&sink, reading.stat.meta, together).map_err(|err| on_target(path, err))?;
        Ok((reading, ino, denied))
    }

    /// Length, owner, mode and time, in the order in which none undoes another; then to the medium.
    fn complete(&self, sink: &StagingSink, meta: Meta, together: bool) -> io::Result<(u64, bool)> {
        let file = &sink.file;
        file.set_len(sink.end)?;
        let denied = self.carry(file.as_fd(), meta)?;
        // What `close` would say on NFS, `fsync` says before: see the promise of `stage`.
        if together {
            sys::begin_write_back(file);
        } else {
            file.sync_all()?;
        }
        Ok((beneath::stat_fd(file.as_fd())?.stx_ino, denied))
    }

    /// Sets owner, mode and time of what we made. True if we may not set the owner.
    pub(super) fn carry(&self, fd: std::os::fd::BorrowedFd<'_>, meta: Meta) -> io::Result<bool> {
        let denied = self.carry_owner(fd, meta)?;
        sys::set_mode(fd, meta.mode)?;
        sys::set_mtime(fd, meta.mtime)?;
        Ok(denied)
    }

    pub(super) fn carry_owner(&self, fd: std::os::fd::BorrowedFd<'_>, meta: Meta) -> io::Result<bool> {
        let now = stat::meta(&beneath::stat_fd(fd)?);
        if !self.setup.keep_owner || (now.uid, now.gid) == (meta.uid, meta.gid) {
            return Ok(false);
        }
        match sys::set_owner(fd, meta.uid, meta.gid) {
            Err(err) if [Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP].iter().any(|code| is(&err, *code)) => Ok(true),
            result => result.map(|()| false),
        }
    }

    /// Unknown tokens, and a target that does not answer, are nothing to do: what stays is swept later.
    pub(super) fn discard_all(&self, tokens: &[Token]) {
        let names: Vec<_> = tokens.iter().filter_map(|token| self.state().staged.remove(token)).collect();
        if names.is_empty() {
            return;
        }
        let Ok(place) = self.open("discard") else { return };
        let Ok(staging) = Staging::open(&place) else { return };
        names.iter().for_each(|staged| staging.drop_name(&staged.name));
    }

    pub(super) fn sweep_staging(&self, place: &Place) -> Outcome<u64> {
        let staging = Staging::open(place)?;
        let now = (self.setup.now)();
        let mut left = Vec::new();
        sys::each_name(&staging.folder, |name| {
            if self.is_left_behind(&staging, name, now)? {
                left.push(name.to_vec());
            }
            Ok(true)
        })?;
        let removed = left
            .iter()
            .filter(|name| sys::unlink(staging.spot(name)).or_else(|_| sys::rmdir(staging.spot(name))).is_ok());
        let removed = removed.count() as u64;
        sys::sync(staging.folder.as_fd())?;
        Ok(removed)
    }

    /// Ours from an earlier run, or anyone's that nothing changed for long. A name that no agent gives is left alone.
    fn is_left_behind(&self, staging: &Staging, name: &[u8], now: Wall) -> io::Result<bool> {
        let Some((writer, run)) = parse_name(name) else { return Ok(false) };
        if writer == self.writer_hash() {
            return Ok(run != self.run);
        }
        match sys::lstat(staging.spot(name)) {
            // Not the mtime: that is the one of the share's file.
            Ok(st) => Ok(now.since(Wall::from_parts(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec)) > LEFT_BEHIND),
            Err(err) if is(&err, Errno::NOENT) => Ok(false),
            Err(err) => Err(err),
        }
    }
}

fn parse_name(name: &[u8]) -> Option<(&str, &str)> {
    let mut parts = std::str::from_utf8(name).ok()?.split('-');
    let (writer, run, number) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    let fine = hex(writer, 8) && hex(run, 32) && number.parse::<u64>().is_ok() && parts.next().is_none();
    fine.then_some((writer, run))
}

fn on_target(path: &RelPath, err: io::Error) -> StageError {
    let error: TargetError = Refusal::Io(err).into_error("stage", Some(path));
    StageError::Target(error)
}

/// The same error once more: `io::Error` cannot be cloned.
pub(super) fn io_again(err: &io::Error) -> io::Error {
    err.raw_os_error().map_or_else(|| io::Error::new(err.kind(), err.to_string()), io::Error::from_raw_os_error)
}

/// Writes at its own offset and skips holes, so that what takes no space at the source takes none here.
struct StagingSink {
    file: File,
    end: u64,
    /// The target's own error, which the reader only knows as "the sink failed".
    failed: Option<io::Error>,
}

impl StagingSink {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|err| self.failed = Some(io_again(err)))
    }
}

impl Sink for StagingSink {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(bytes, self.end);
        self.end += bytes.len() as u64;
        self.note(written)
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.end = self.end.saturating_add(len);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.end = 0;
        let emptied = self.file.set_len(0);
        self.note(emptied)
    }
}
