//! Files on their way: read from the share, durable on the target, not yet visible.
//!
//! Over NFS some of them stay open until they are published: a client that has closed a file after it set its time asks
//! the server about its permissions again before it gives it a second name, which is a round trip for each file. All that
//! was written is on the medium before, so that nothing depends on how it is closed.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::{Acl, Content, Meta, ReadFault, Reading, RelPath, Wall};
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{acl, beneath, stat};
use crate::target::{Read, StageError, Staged, TargetError, Token};

use super::fault::{Outcome, Refusal, about_ours, is};
use super::identity::Place;
use super::sink::{FLUSHED_EACH, StagingSink, io_again};
use super::{DirTarget, Flush, ours};

/// Up to this many files of one call are flushed each for itself.
const EACH_MAX: usize = 8;
/// What any agent left in staging is removed once nothing changed it for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(7 * 24 * 3600);

/// Names in staging that wait to be removed, at most (count).
const LEFT_MAX: usize = 4096;
/// Staged files that stay open, at most (count): a process may often have no more than 1024 open.
const HELD_MAX: usize = 384;
/// Folders in staging that are made before one is used that is not empty (count).
const BENCHES_MAX: usize = 64;
/// Permission bits of a file in staging, until it is known what it is to have.
pub(super) const FILE_MODE: u32 = 0o600;
/// Permission bits that a write or another owner takes away.
const SPECIAL_BITS: u32 = 0o7000;

/// What is known of a file in staging.
#[derive(Clone, Debug)]
pub(super) struct StagedFile {
    /// Below staging: one part, or a bench and a name on it.
    pub(super) name: Vec<u8>,
    pub(super) ino: u64,
    pub(super) content: Content,
    /// What it carries.
    pub(super) meta: Meta,
    /// We may not give files to their owner here.
    pub(super) owner_denied: bool,
}

/// A folder in staging, while one call stages into it.
struct Bench {
    name: Vec<u8>,
    folder: OwnedFd,
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
        if place.lists {
            // What an administrator let the root hand on must not cling to what is staged.
            match acl::set(folder.as_fd(), Acl::Plain) {
                Err(err) if !acl::is_refusal(&err) => return Err(err),
                _plain_as_far_as_may_be => {}
            }
        }
        Ok(Self { folder })
    }

    pub(super) fn spot<'a>(&'a self, name: &'a [u8]) -> Spot<'a> {
        Spot::new(&self.folder, name)
    }

    /// Removes a file, a link or an empty folder.
    fn remove(&self, name: &[u8]) -> io::Result<()> {
        match sys::unlink(self.spot(name)) {
            // Of a folder, Linux says EISDIR and others EPERM.
            Err(err) if is(&err, Errno::ISDIR) || is(&err, Errno::PERM) => sys::rmdir(self.spot(name)),
            result => result,
        }
    }
}

/// When the bytes of what is staged are brought to the medium.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushing {
    /// Those of all files at once.
    Together,
    /// Each file's, as the last thing.
    Each,
    /// Each file's before its time is set, and what is left then as the last thing. A file server that was started again has its
    /// clients send once more what it had not flushed; were the time set by then, it would be that of the sending. Where all
    /// was flushed the second costs no request.
    BeforeItsTime,
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

    fn flushing(&self, place: &Place, files: usize) -> Flushing {
        let together = match self.setup.flush {
            Flush::Each => false,
            Flush::Together => true,
            Flush::Auto => files > EACH_MAX && !place.network && sys::sync_all_reports(),
        };
        if together {
            Flushing::Together
        } else if place.network {
            Flushing::BeforeItsTime
        } else {
            Flushing::Each
        }
    }

    pub(super) fn stage_all(
        &self,
        place: &Place,
        paths: &[RelPath],
        read: Read<'_>,
    ) -> Vec<Result<Staged, StageError>> {
        let flushing = self.flushing(place, paths.len());
        let opened = Staging::open(place).and_then(|staging| Ok((self.take_bench(place, &staging)?, staging)));
        let (bench, staging) = match opened.inspect(|(_, staging)| self.drop_left(staging)) {
            Ok(opened) => opened,
            Err(err) => return paths.iter().map(|path| Err(on_ours(path, &err))).collect(),
        };
        let mut stage = |path| self.stage_one(&staging, bench.as_ref(), path, read, flushing);
        let answers: Vec<_> = paths.iter().map(&mut stage).collect();
        let flushed = if flushing == Flushing::Together { sys::sync_all(place.root()) } else { Ok(()) };
        let folder = bench.as_ref().map_or(staging.folder.as_fd(), |bench| bench.folder.as_fd());
        let flushed = flushed.and_then(|()| sys::sync(folder));
        self.state().benches.extend(bench.map(|bench| bench.name));
        match flushed {
            Ok(()) => answers,
            Err(err) => paths.iter().zip(answers).map(|(path, answer)| self.unflushed(path, answer, &err)).collect(),
        }
    }

    /// A folder in staging for one call at a time, where a name costs a round trip: its client locks a folder meanwhile,
    /// so that calls which share one would wait for each other.
    fn take_bench(&self, place: &Place, staging: &Staging) -> io::Result<Option<Bench>> {
        if !place.far {
            return Ok(None);
        }
        let name = self.free_bench().unwrap_or_else(|| self.fresh_name().1);
        let at = staging.spot(&name);
        let folder = match sys::open_folder(at) {
            Err(err) if is(&err, Errno::NOENT) => {
                sys::make_folder(at)?;
                sys::sync(staging.folder.as_fd())?;
                sys::open_folder(at)?
            }
            result => result?,
        };
        Ok(Some(Bench { name, folder }))
    }

    /// One that no call is using, and on which nothing lies any more: names that are taken away from it are round trips too.
    fn free_bench(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        let state = &mut *state;
        let in_use: HashSet<_> = state.staged.values().filter_map(|staged| bench_of(&staged.name)).collect();
        let free = state.benches.iter().position(|name| !in_use.contains(&name[..]));
        match free {
            Some(at) => Some(state.benches.swap_remove(at)),
            None if state.benches_made >= BENCHES_MAX => state.benches.pop(),
            None => {
                state.benches_made += 1;
                None
            }
        }
    }

    /// Closes what stays open.
    pub(super) fn let_go(&self) {
        let held = std::mem::take(&mut self.state().held);
        drop(held);
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
        bench: Option<&Bench>,
        path: &RelPath,
        read: Read<'_>,
        flushing: Flushing,
    ) -> Result<Staged, StageError> {
        let (number, name) = self.fresh_name();
        let name = bench.map_or(name.clone(), |bench| [&bench.name[..], b"/", &name].concat());
        let spot = staging.spot(&name);
        let created = match bench {
            None => sys::create(spot).and_then(|file| sys::stat_known(file.as_fd()).map(|st| (file, st))),
            // The bits of the last one: where they are right, setting them would be a round trip in vain.
            Some(_) => sys::create_unique(spot, self.last_mode.load(Ordering::Relaxed)),
        };
        let (file, new) = created.map_err(|err| on_ours(path, &err))?;
        let result = self.fill(file, &new, path, read, flushing);
        if result.is_err() {
            self.drop_name(staging, &name);
        }
        let (file, reading, owner_denied) = result?;
        let ino = new.stx_ino;
        let token = Token(number);
        let (content, meta) = (reading.content, reading.stat.meta);
        self.state().staged.insert(token, StagedFile { name, ino, content, meta, owner_denied });
        let closed = if bench.is_some() { self.hold(token, file) } else { Some(file) };
        drop(closed);
        Ok(Staged { token, reading })
    }

    /// The file, if there is no room for it.
    fn hold(&self, token: Token, file: File) -> Option<File> {
        let mut state = self.state();
        if state.held.len() >= HELD_MAX { Some(file) } else { state.held.insert(token, file) }
    }

    fn fill(
        &self,
        file: File,
        new: &Statx,
        path: &RelPath,
        read: Read<'_>,
        flushing: Flushing,
    ) -> Result<(File, Reading, bool), StageError> {
        let each = if flushing == Flushing::BeforeItsTime { FLUSHED_EACH } else { u64::MAX };
        let mut sink = StagingSink::new(file, &self.room, each);
        let answer = read(path, &mut sink);
        if let Some(err) = sink.failed.take() {
            return Err(on_target(path, err));
        }
        let reading = answer.map_err(StageError::Read)?;
        if reading.content.shape.len != sink.end {
            let cause = format!("{} bytes came, {} were announced", sink.end, reading.content.shape.len);
            return Err(StageError::Read(ReadFault::Busy(cause)));
        }
        let completed = self.complete(&sink, stat::meta(new), reading.stat.meta, flushing);
        let denied = completed.map_err(|err| on_target(path, err))?;
        Ok((sink.file, reading, denied))
    }

    /// Length, owner, mode and time, in the order in which none undoes another; then to the medium.
    fn complete(&self, sink: &StagingSink<'_>, now: Meta, meta: Meta, flushing: Flushing) -> io::Result<bool> {
        let file = &sink.file;
        if sink.end != sink.written {
            file.set_len(sink.end)?;
        }
        if flushing == Flushing::BeforeItsTime {
            file.sync_all()?;
        }
        let denied = self.carry_from(file.as_fd(), now, meta)?;
        self.last_mode.store(meta.mode | FILE_MODE, Ordering::Relaxed);
        // What `close` would say on NFS, `fsync` says before: see the promise of `stage`.
        if flushing == Flushing::Together {
            sys::begin_write_back(file);
        } else {
            file.sync_all()?;
        }
        Ok(denied)
    }

    /// Sets owner, mode and time of what we made. True if we may not set the owner.
    pub(super) fn carry(&self, fd: std::os::fd::BorrowedFd<'_>, meta: Meta) -> io::Result<bool> {
        self.carry_from(fd, stat::meta(&beneath::stat_fd(fd)?), meta)
    }

    /// The same, for what has this owner and mode now.
    fn carry_from(&self, fd: std::os::fd::BorrowedFd<'_>, now: Meta, meta: Meta) -> io::Result<bool> {
        let denied = self.give(fd, now, meta)?;
        let listed = meta.acl.is_listed();
        if listed {
            self.list(fd, meta.acl)?;
        }
        // A change of owner takes bits away, and so does a write; a list has a say in them.
        let given = self.is_given(now, meta);
        if given || listed || now.mode != meta.mode || meta.mode & SPECIAL_BITS != 0 {
            sys::set_mode(fd, meta.mode)?;
        }
        sys::set_mtime(fd, meta.mtime)?;
        Ok(denied)
    }

    /// Sets the access control list; one that was there is taken away where none is wanted. What the file system does not know,
    /// or does not let us set, is left: it is kept in the index, and `check` tells of it.
    pub(super) fn list(&self, fd: std::os::fd::BorrowedFd<'_>, list: Acl) -> io::Result<()> {
        if !self.setup.keep_owner {
            return Ok(());
        }
        match acl::set(fd, list) {
            Err(err) if acl::is_refusal(&err) => Ok(()),
            result => result,
        }
    }

    pub(super) fn carry_owner(&self, fd: std::os::fd::BorrowedFd<'_>, meta: Meta) -> io::Result<bool> {
        self.give(fd, stat::meta(&beneath::stat_fd(fd)?), meta)
    }

    fn is_given(&self, now: Meta, meta: Meta) -> bool {
        self.setup.keep_owner && (now.uid, now.gid) != (meta.uid, meta.gid)
    }

    /// Gives it to its owner. True if we may not.
    fn give(&self, fd: std::os::fd::BorrowedFd<'_>, now: Meta, meta: Meta) -> io::Result<bool> {
        if !self.is_given(now, meta) {
            return Ok(false);
        }
        match sys::set_owner(fd, meta.uid, meta.gid) {
            Err(err) if [Errno::PERM, Errno::INVAL, Errno::OPNOTSUPP].iter().any(|code| is(&err, *code)) => Ok(true),
            result => result.map(|()| false),
        }
    }

    /// Unknown tokens are nothing to do. What a target that does not answer keeps is removed once it answers.
    pub(super) fn discard_all(&self, tokens: &[Token]) {
        let names: Vec<_> = tokens.iter().filter_map(|token| self.state().staged.remove(token)).collect();
        self.state().left.extend(names.into_iter().map(|staged| staged.name));
        // Before their names are taken away: an NFS client keeps a name for what is open.
        let held: Vec<_> = tokens.iter().filter_map(|token| self.state().held.remove(token)).collect();
        drop(held);
        if !self.has_left() {
            return;
        }
        let Ok(place) = self.open("discard") else { return };
        let Ok(staging) = Staging::open(&place) else { return };
        self.drop_left(&staging);
    }

    /// Removes a name, at once or as soon as the target takes it.
    pub(super) fn drop_name(&self, staging: &Staging, name: &[u8]) {
        self.state().left.push(name.to_vec());
        self.drop_left(staging);
    }

    /// Whether anything waits to be removed.
    pub(super) fn has_left(&self) -> bool {
        !self.state().left.is_empty()
    }

    /// Removes what could not be removed before.
    pub(super) fn drop_left(&self, staging: &Staging) {
        let left = std::mem::take(&mut self.state().left);
        let is_left = |name: &Vec<u8>| match staging.remove(name) {
            Err(err) => !is(&err, Errno::NOENT),
            Ok(()) => false,
        };
        let mut left: Vec<_> = left.into_iter().filter(is_left).collect();
        // Beyond, the next run sweeps it.
        left.truncate(LEFT_MAX);
        self.state().left.extend(left);
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
        let mut removed = 0;
        for name in &left {
            // A bench is empty as a rule: to take it away is one round trip, to look into it a few.
            if sys::rmdir(staging.spot(name)).is_ok() {
                continue;
            }
            let names = self.on_bench(&staging, name)?;
            let on_it = names.iter().flatten();
            removed += on_it.filter(|name| sys::unlink(staging.spot(name)).is_ok()).count() as u64;
            let gone = staging.remove(name).is_ok();
            removed += u64::from(gone && names.is_none());
        }
        sys::sync(staging.folder.as_fd())?;
        Ok(removed)
    }

    /// The files on a bench that was left behind, as names below staging; `None` of what is no bench.
    fn on_bench(&self, staging: &Staging, bench: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
        let folder = match sys::open_folder(staging.spot(bench)) {
            Err(err) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|code| is(&err, *code)) => {
                return Ok(None);
            }
            result => result?,
        };
        let mut names = Vec::new();
        sys::each_name(&folder, |name| {
            if parse_name(name).is_some() {
                names.push([bench, b"/", name].concat());
            }
            Ok(true)
        })?;
        Ok(Some(names))
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

/// The folder in staging that a file of this name lies in, if it lies in one.
fn bench_of(name: &[u8]) -> Option<&[u8]> {
    name.iter().position(|byte| *byte == b'/').map(|end| &name[..end])
}

fn parse_name(name: &[u8]) -> Option<(&str, &str)> {
    let mut parts = std::str::from_utf8(name).ok()?.split('-');
    let (writer, run, number) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    let fine = hex(writer, 8) && hex(run, 32) && number.parse::<u64>().is_ok() && parts.next().is_none();
    fine.then_some((writer, run))
}

fn on_ours(path: &RelPath, err: &io::Error) -> StageError {
    StageError::Target(about_ours(err).into_error("stage", Some(path)))
}

fn on_target(path: &RelPath, err: io::Error) -> StageError {
    let error: TargetError = Refusal::Io(err).into_error("stage", Some(path));
    StageError::Target(error)
}
