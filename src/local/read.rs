//! Reads files of the share, each as one consistent version.
//!
//! Look, read, look again: if anything moved in between, what was read is nobody's file. What makes the two looks
//! proof is [`TICK`]: a file that was changed less than a tick before the first look could change again without its
//! times moving, so such a file is left alone for one tick first.
//! Not here: whether a file is quiet (`settle`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::local::RootId;
use crate::local::root::open_bound;
use crate::local::trouble::trouble;
use crate::model::{Acl, Content, Digest, Kind, Meta, ReadFault, Reading, RelPath, Sink, Stat, Wall};
use crate::plan::looks_like_noise;
use crate::sys::cause::{Cause, cause};
use crate::sys::raw::{self, Writer};
use crate::sys::{self, beneath, stat};

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

/// Above this many bytes the kernel is told that the file is read in order, and only once.
const LARGE: u64 = 64 << 20;

/// A file is looked at for holes if it takes at least this many bytes less than it is long.
const HOLES_MIN: u64 = 64 << 10;

/// How often a file is begun again within one call.
const TRIES_MAX: u32 = 3;

/// The kernel's clock for files moves in steps; the largest is 10 ms (`CONFIG_HZ=100`).
const TICK: Duration = Duration::from_millis(20);

/// How to read.
pub struct How<'a> {
    /// Ask whether somebody has it open for writing, if its mtime or ctime is not before this; `None`: never ask.
    pub probe_writers_since: Option<Wall>,
    /// Patience is over: read it although somebody writes to it, as long as what is read is one version.
    pub insist: bool,
    /// What it holds, if it is still as it was when that was found out: a sink that wants no bytes is given none.
    pub known: Option<Reading>,
    /// Others read it too, in the same moments: its pages are not told to be given up.
    pub again: bool,
    /// The wall clock.
    pub now: &'a dyn Fn() -> Wall,
    /// Set when the agent stops; heard between two buffers.
    pub stop: &'a AtomicBool,
}

/// Takes nothing: for those who want only the digest.
pub struct Discard;

impl Sink for Discard {
    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn hole(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one batch of files from one opening of the root.
pub struct Reader {
    path: PathBuf,
    id: RootId,
    root: OwnedFd,
    /// The share's file system knows access control lists.
    lists: bool,
    /// A file system below it that has no leases.
    leaseless: Option<u64>,
    buffer: Vec<u8>,
}

/// What came of one passage over a file.
enum Passage {
    /// The same before and after.
    Whole(Reading),
    /// Something moved.
    Moved(Moved),
}

/// What moved while a file was read.
struct Moved {
    before: Reading,
    after: Stat,
    file: File,
    /// All bytes that `before` promised were there.
    full: bool,
}

/// Where a file was opened and what it was then.
struct Opened {
    file: File,
    stat: Stat,
    device: u64,
    /// Bytes that it takes on disk.
    taken: u64,
    /// When that was.
    at: Wall,
    /// Any further change moves its times.
    settled: bool,
}

impl Reader {
    /// Opens the root; the error says why the share is offline.
    pub fn open(root: &Path, id: &RootId) -> Result<Self, String> {
        let fd = open_bound(root, id)?;
        let lists = sys::acl::are_known(fd.as_fd());
        Ok(Self { path: root.to_owned(), id: *id, root: fd, lists, leaseless: None, buffer: Vec::new() })
    }

    /// Reads the file at `path` into `sink`. `Ok` is one version: all of it was there at one moment, under this path.
    ///
    /// - [`ReadFault::Absent`] only with evidence: nothing at the path, below a root that is still the share's;
    /// - [`ReadFault::Changed`] if something else than a file lies there, or another file was put in its place;
    /// - [`ReadFault::Busy`] if it is open for writing (see [`How::probe_writers_since`]) or moved while it was read.
    ///   With [`How::insist`] a file that only grows or is written to elsewhere is read as far as it was long in the
    ///   beginning, and these bytes a second time, to prove that they did not change.
    pub fn read(&mut self, path: &RelPath, how: &How<'_>, sink: &mut dyn Sink) -> Result<Reading, ReadFault> {
        let mut opened = self.open_settled(path, how)?;
        let is_fresh = how.probe_writers_since.is_some_and(|since| opened.is_changed_since(since));
        if is_fresh && !how.insist && self.has_writer(&opened) {
            return Err(ReadFault::Busy("it is open for writing".to_owned()));
        }
        let is_known = |known: &Reading| opened.settled && known.stat.same(&opened.stat);
        if let Some(known) = how.known.filter(is_known)
            && !sink.wants(opened.stat.shape.len)
        {
            return Ok(known);
        }
        for left in (0..TRIES_MAX).rev() {
            let moved = match self.pass(path, opened, how, sink)? {
                Passage::Whole(reading) => return Ok(reading),
                Passage::Moved(moved) => moved,
            };
            if how.insist && self.holds_still(&moved, how)? {
                return Ok(moved.before);
            }
            if left == 0 || !(how.insist || moved.only_ctime()) {
                break;
            }
            sink.restart().map_err(|_| ReadFault::Sink)?;
            opened = self.open_settled(path, how)?;
        }
        Err(ReadFault::Busy("it changed while it was read".to_owned()))
    }

    /// True if the path still names the file that this is the stat of, and nothing was changed about it since.
    pub fn is_still(&self, path: &RelPath, known: &Stat) -> bool {
        let found = beneath::stat(self.root.as_fd(), path);
        found.is_ok_and(|st| stat::stat(&st, stat::device(&st)).is_ok_and(|stat| stat.same(known)))
    }

    /// Where a file system has no leases it is asked once: each file would give the same answer.
    fn has_writer(&mut self, opened: &Opened) -> bool {
        if self.leaseless == Some(opened.device) {
            return false;
        }
        match raw::has_writer(opened.file.as_fd()) {
            Writer::Some => true,
            Writer::None | Writer::NotKnown => false,
            Writer::NoLeases => {
                self.leaseless = Some(opened.device);
                false
            }
        }
    }

    /// A file that was changed within the last tick is looked at again after one.
    fn open_settled(&mut self, path: &RelPath, how: &How<'_>) -> Result<Opened, ReadFault> {
        let first = self.open_file(path, how.now)?;
        if !first.is_within_a_tick() {
            return Ok(first);
        }
        std::thread::sleep(TICK);
        let second = self.open_file(path, how.now)?;
        Ok(Opened { settled: second.stat == first.stat, ..second })
    }

    fn open_file(&mut self, path: &RelPath, now: &dyn Fn() -> Wall) -> Result<Opened, ReadFault> {
        match self.try_open(path, now) {
            Err(error) if cause(&error) == Cause::Stale => {
                // A file server forgot what we had open: begin again from the root, once.
                self.root = open_bound(&self.path, &self.id).map_err(ReadFault::Offline)?;
                self.try_open(path, now)
            }
            result => result,
        }
        .map_err(|error| self.why_not_open(path, &error))?
        .ok_or(ReadFault::Changed)
    }

    /// `None` if it is no file.
    fn try_open(&self, path: &RelPath, now: &dyn Fn() -> Wall) -> io::Result<Option<Opened>> {
        let file = beneath::open_file(self.root.as_fd(), path)?;
        let st = beneath::stat_fd(file.as_fd())?;
        let device = stat::device(&st);
        let plain = stat::stat(&st, device).ok().filter(|stat| stat.shape.kind == Kind::File);
        let (at, taken) = (now(), st.stx_blocks.saturating_mul(512));
        Ok(plain.map(|stat| Opened { file, stat, device, taken, at, settled: true }))
    }

    fn why_not_open(&self, path: &RelPath, error: &io::Error) -> ReadFault {
        match beneath::stat(self.root.as_fd(), path) {
            Ok(st) if stat::shape(&st).map(|shape| shape.kind) != Ok(Kind::File) => ReadFault::Changed,
            Err(gone) if cause(&gone) == Cause::Gone => self.absent(),
            _ if cause(error) == Cause::Held => ReadFault::Busy("another program holds it".to_owned()),
            _ if cause(error) == Cause::Gone => ReadFault::Changed,
            Ok(_) | Err(_) => ReadFault::Troubled(trouble("read the file", error)),
        }
    }

    /// Nothing is absent from a share that is not there.
    fn absent(&self) -> ReadFault {
        open_bound(&self.path, &self.id).map_or_else(ReadFault::Offline, |_| ReadFault::Absent)
    }

    /// Reads all of it once and looks again.
    fn pass(&mut self, path: &RelPath, it: Opened, how: &How<'_>, sink: &mut dyn Sink) -> Result<Passage, ReadFault> {
        let len = it.stat.shape.len;
        if len > LARGE {
            sys::bytes::will_read_in_order(&it.file);
        }
        let holey = it.taken.saturating_add(HOLES_MIN) < len;
        let mut copy = Copy {
            file: &it.file,
            buffer: buffer(&mut self.buffer, len),
            stop: how.stop,
            hasher: blake3::Hasher::new(),
            noise: false,
        };
        let done = if holey { copy.runs(len, sink) } else { copy.range(0, len, sink) }.map_err(Fail::into_fault)?;
        let (digest, noise) = (Digest(*copy.hasher.finalize().as_bytes()), copy.noise);
        // Who wants no bytes yet learns what it holds, and reads it again to send it, as do those of other targets: from memory,
        // where there is room for it.
        if len > LARGE && sink.wants(len) && !how.again {
            sys::bytes::will_not_read_again(&it.file);
        }
        let trouble = |error: io::Error| ReadFault::Troubled(trouble("read the file", &error));
        let acl = if self.lists { sys::acl::read(it.file.as_fd()).map_err(trouble)? } else { Acl::NotKnown };
        let after = beneath::stat_fd(it.file.as_fd()).map_err(trouble)?;
        let after = stat::stat(&after, it.device).map_err(|_| ReadFault::Changed)?;
        self.still_named(path, &it)?;
        let stat = Stat { meta: Meta { acl, ..it.stat.meta }, ..it.stat };
        let reading = Reading { content: Content::file(digest, len), stat, at: it.at, noise };
        if done && it.settled && after == it.stat {
            return Ok(Passage::Whole(reading));
        }
        Ok(Passage::Moved(Moved { before: reading, after, file: it.file, full: done }))
    }

    /// The path must still name what was read.
    fn still_named(&self, path: &RelPath, it: &Opened) -> Result<(), ReadFault> {
        match beneath::stat(self.root.as_fd(), path) {
            Ok(st) if st.stx_ino == it.stat.ino && stat::device(&st) == it.device => Ok(()),
            Ok(_) => Err(ReadFault::Changed),
            Err(error) if cause(&error) == Cause::Gone => Err(ReadFault::Changed),
            Err(error) => Err(ReadFault::Troubled(trouble("look at the file again", &error))),
        }
    }

    /// Whether the bytes that were read are still the same. Each was seen before and after the moment at which the
    /// first passage ended, so that all of them were there at that moment.
    ///
    /// RACE: a byte that is changed and changed back between the two passages is not noticed; it is then sent as it
    /// was before and after.
    fn holds_still(&mut self, moved: &Moved, how: &How<'_>) -> Result<bool, ReadFault> {
        let len = moved.before.content.shape.len;
        if !moved.full || moved.after.shape.len < len {
            return Ok(false);
        }
        let mut copy = Copy {
            file: &moved.file,
            buffer: buffer(&mut self.buffer, len),
            stop: how.stop,
            hasher: blake3::Hasher::new(),
            noise: false,
        };
        let full = copy.range(0, len, &mut Discard).map_err(Fail::into_fault)?;
        Ok(full && copy.hasher.finalize().as_bytes() == &moved.before.content.digest.0)
    }
}

impl Moved {
    /// A chmod, a link or a rename: its bytes did not move, and it is likely to hold still now.
    fn only_ctime(&self) -> bool {
        let (before, after) = (&self.before.stat, &self.after);
        self.full && before.shape == after.shape && before.meta.mtime == after.meta.mtime
    }
}

impl Opened {
    fn is_within_a_tick(&self) -> bool {
        self.at.since(self.stat.ctime) < TICK && self.stat.ctime.since(self.at) < TICK
    }

    fn is_changed_since(&self, then: Wall) -> bool {
        self.stat.meta.mtime >= then || self.stat.ctime >= then
    }
}

/// The part of the buffer that a file of `len` bytes needs.
fn buffer(whole: &mut Vec<u8>, len: u64) -> &mut [u8] {
    let wanted = usize::try_from(len).unwrap_or(BUFFER).clamp(1, BUFFER);
    if whole.len() < wanted {
        whole.resize(wanted.next_power_of_two(), 0);
    }
    &mut whole[..wanted]
}

/// Why a passage was given up.
enum Fail {
    Stopping,
    Sink,
    Source(io::Error),
}

impl Fail {
    fn into_fault(self) -> ReadFault {
        match self {
            Self::Stopping => ReadFault::Busy("the agent is stopping".to_owned()),
            Self::Sink => ReadFault::Sink,
            Self::Source(error) => ReadFault::Troubled(trouble("read the file", &error)),
        }
    }
}

/// One passage over a file's bytes.
struct Copy<'a> {
    file: &'a File,
    buffer: &'a mut [u8],
    stop: &'a AtomicBool,
    hasher: blake3::Hasher,
    /// What was read first looks like noise.
    noise: bool,
}

impl Copy<'_> {
    /// All of it, run by run; false if it ended early.
    fn runs(&mut self, len: u64, sink: &mut dyn Sink) -> Result<bool, Fail> {
        let mut at = 0;
        while at < len {
            let run = sys::bytes::next_data(self.file, at, len).map_err(Fail::Source)?.unwrap_or(len..len);
            self.hole(run.start - at, sink)?;
            if !self.range(run.start, run.end, sink)? {
                return Ok(false);
            }
            at = run.end;
        }
        Ok(true)
    }

    fn hole(&mut self, len: u64, sink: &mut dyn Sink) -> Result<(), Fail> {
        if len == 0 {
            return Ok(());
        }
        self.buffer.fill(0);
        let mut left = len;
        while left > 0 {
            self.hear()?;
            let now = part(left, self.buffer.len());
            self.hasher.update(&self.buffer[..now]);
            left -= now as u64;
        }
        sink.hole(len).map_err(|_| Fail::Sink)
    }

    /// The bytes from `at` to `end`; false if the file ends before.
    fn range(&mut self, mut at: u64, end: u64, sink: &mut dyn Sink) -> Result<bool, Fail> {
        while at < end {
            self.hear()?;
            let wanted = part(end - at, self.buffer.len());
            let got = match self.file.read_at(&mut self.buffer[..wanted], at) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fail::Source(error)),
            };
            if at == 0 {
                self.noise = looks_like_noise(&self.buffer[..got]);
            }
            self.hasher.update(&self.buffer[..got]);
            sink.bytes(&self.buffer[..got]).map_err(|_| Fail::Sink)?;
            at += got as u64;
        }
        Ok(true)
    }

    fn hear(&self) -> Result<(), Fail> {
        if self.stop.load(Ordering::Relaxed) { Err(Fail::Stopping) } else { Ok(()) }
    }
}

fn part(left: u64, most: usize) -> usize {
    usize::try_from(left).map_or(most, |left| left.min(most))
}

#[cfg(test)]
mod tests;
