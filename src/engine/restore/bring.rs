//! One thing is read, proved by its hash, and given what it carried.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::index::Then;
use crate::local::Fresh;
use crate::model::{Acl, Digest, Kind, Meta, RelPath, Seen, Wall, Which};
use crate::target::{Fault, Piece, ReadError};

use super::work::{Brought, Trouble, Work};
use super::{Known, RestoreError};

/// How often a target that does not answer is asked again, each time twice as long after (count): a minute in all.
const TRIES: u32 = 6;
/// Before the first of these.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const NOT_AS_LEFT: &str = "what the target holds is not what was left there: its hash is another";

/// One version as it was read.
struct Read<'a> {
    seen: Seen,
    /// The same lies there already, and its bytes were not asked for.
    same: bool,
    fresh: Fresh<'a>,
    link: Vec<u8>,
}

impl Work<'_> {
    /// Brings one thing as far as it can be without being seen; `None` if nothing is left to do.
    pub(super) fn bring(&self, then: &Then) -> Result<Brought<'_>, Trouble> {
        let to = self.called(&then.path);
        if then.seen.shape.kind == Kind::Folder {
            self.counts.folders.fetch_add(1, Ordering::Relaxed);
            let made = self.landing.make_folder(&to);
            return made.map(|()| None).map_err(|error| on_disk("make the folder", &error));
        }
        let mut version = then.clone();
        loop {
            match self.bring_version(&version, &to)? {
                Some(fresh) => return Ok(fresh.map(|fresh| (then.path.clone(), to, fresh))),
                // A version that was never visible may lie in history, left by a change that was cut off: what is meant lies
                // behind it, and begins as that one's name says.
                None => match self.feed().recall.next_version(&version).map_err(RestoreError::from)? {
                    Some(next) if then.begins.is_some() => version = Then { begins: then.begins, ..next },
                    Some(_) => return Err(Trouble::Path(NOT_AS_LEFT.to_owned())),
                    None => return Err(Trouble::Path(NOT_AS_LEFT.to_owned())),
                },
            }
        }
    }

    /// `None` if this version is not what it should be; `Some(None)` if the same lies there already.
    fn bring_version(&self, then: &Then, to: &RelPath) -> Result<Option<Option<Fresh<'_>>>, Trouble> {
        let Some(which) = &then.which else { return Ok(None) };
        let local = self.landing.look(to).map_err(|error| on_disk("look at what lies there", &error))?;
        let known = match which {
            Which::Now(stamp) => (self.wanted.known)(&then.source, stamp),
            Which::Kept(_) => None,
        };
        let Read { mut seen, same, fresh, link } = self.read(then, which, local.as_ref(), known, to)?;
        seen.meta.acl = seen.meta.acl.or(known.map_or(Acl::NotKnown, |known| known.acl));
        if same {
            return self.carry(to, local.as_ref(), &seen).map(|()| Some(None));
        }
        let expected = seen.digest.or(known.map(|known| known.digest));
        self.seal(then, to, local.as_ref(), (&seen, expected), fresh, &link)
    }

    /// Reads one version, again and again while the target does not answer. Its bytes are left out where the same lies there.
    fn read(
        &self,
        then: &Then,
        which: &Which,
        local: Option<&Seen>,
        known: Option<Known>,
        to: &RelPath,
    ) -> Result<Read<'_>, Trouble> {
        let (mut wait, mut tries) = (FIRST_WAIT, TRIES);
        loop {
            let mut fresh = self.landing.begin().map_err(|error| on_disk("begin a file", &error))?;
            let (mut head, mut same, mut link) = (None::<Seen>, false, Vec::new());
            let read = self.wanted.target.read(&then.source, which, &mut |piece| match piece {
                Piece::Head(seen) => {
                    head = Some(*seen);
                    let expected = seen.digest.or(known.map(|known| known.digest));
                    let is_meant = expected.is_none_or(|expected| is_meant(then, &expected));
                    same = is_meant && self.is_same(local, seen, expected, to)?;
                    Ok(!same)
                }
                Piece::Bytes(bytes) if head.is_some_and(|seen| seen.shape.kind == Kind::Symlink) => {
                    link.extend_from_slice(bytes);
                    Ok(true)
                }
                Piece::Bytes(bytes) => fresh.write(bytes).map(|()| true),
            });
            match read {
                Ok(()) => {
                    let seen = head.ok_or_else(|| Trouble::Path("the target tells nothing of it".to_owned()))?;
                    return Ok(Read { seen, same, fresh, link });
                }
                Err(ReadError::Taker(error)) => return Err(on_disk("write it", &error)),
                Err(ReadError::Target(error)) => match error.fault {
                    Fault::Unreachable | Fault::Throttled(_) if tries > 0 => {
                        std::thread::sleep(wait);
                        (wait, tries) = (wait * 2, tries - 1);
                    }
                    Fault::Unreachable | Fault::Throttled(_) | Fault::Offline => {
                        return Err(Trouble::Fatal(error.into()));
                    }
                    _ => return Err(Trouble::Path(error.to_string())),
                },
            }
        }
    }

    /// Proves what was read, and gives it what it carried.
    fn seal<'f>(
        &self,
        then: &Then,
        to: &RelPath,
        local: Option<&Seen>,
        (seen, expected): (&Seen, Option<Digest>),
        mut fresh: Fresh<'f>,
        link: &[u8],
    ) -> Result<Option<Option<Fresh<'f>>>, Trouble> {
        let end = |fresh: &mut Fresh<'_>| match seen.shape.kind {
            Kind::Symlink => fresh.link(link, &seen.meta),
            Kind::File | Kind::Folder => fresh.end_file(&seen.meta),
        };
        end(&mut fresh).map_err(|error| on_disk("write it", &error))?;
        let (digest, _) = fresh.written();
        if expected.is_some_and(|expected| expected != digest) || !is_meant(then, &digest) {
            return Ok(None);
        }
        if expected.is_none() && then.begins.is_none() {
            self.counts.unproved.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_same(local, seen, Some(digest), to).map_err(|error| on_disk("read what lies there", &error))? {
            return self.carry(to, local, seen).map(|()| Some(None));
        }
        Ok(Some(Some(fresh)))
    }

    fn is_same(&self, local: Option<&Seen>, seen: &Seen, expected: Option<Digest>, to: &RelPath) -> io::Result<bool> {
        let (Some(local), Some(expected)) = (local, expected) else { return Ok(false) };
        if local.shape != seen.shape {
            return Ok(false);
        }
        match self.landing.digest(to, local.shape.kind) {
            Ok(digest) => Ok(digest == expected),
            // It went, or cannot be read: then it gives way, and is kept.
            Err(_) => Ok(false),
        }
    }

    /// The content is there already: what it carries is set where it is another.
    fn carry(&self, to: &RelPath, local: Option<&Seen>, seen: &Seen) -> Result<(), Trouble> {
        self.counts.same.fetch_add(1, Ordering::Relaxed);
        let differs = local.is_some_and(|local| !agrees(&local.meta, &seen.meta));
        if !differs || seen.shape.kind == Kind::Symlink {
            return Ok(());
        }
        self.landing.carry(to, seen.shape.kind, &seen.meta).map_err(|error| on_disk("set its mode and time", &error))
    }
}

/// Whether a digest begins as that of the wanted version does, as far as that is known.
fn is_meant(then: &Then, digest: &Digest) -> bool {
    then.begins.is_none_or(|begins| digest.0[..4] == begins)
}

fn agrees(local: &Meta, wanted: &Meta) -> bool {
    wanted.agrees_but_for_time(local) && (wanted.mtime == Wall(0) || wanted.mtime == local.mtime)
}

/// The disk that it is written to: when it is full nothing more can be brought.
fn on_disk(what: &str, error: &io::Error) -> Trouble {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    );
    if is_full { RestoreError::local(what, error).into() } else { Trouble::Path(format!("cannot {what}: {error}")) }
}
