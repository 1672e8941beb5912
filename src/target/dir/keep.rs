//! Keeping what gives way: it is in history before, or by the same step as, it is out of sight.

use std::os::fd::{AsFd, OwnedFd};

use crate::model::{Digest, Kind, Meta, RelPath, Stamp};
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{acl, stat};
use crate::target::version_name;

use super::fault::{Outcome, Refusal, is, says_unlinkable, says_unsupported};
use super::listing::{is_version, stamp};
use super::publish::{Fresh, Job, changed, gone};
use super::rename::place_where_absent;
use super::{Ways, history};

impl Job<'_> {
    /// The new version goes to where the old is to lie in history, and the two names are exchanged: the old version is in
    /// history by the same step that makes the new one visible. False if the file system cannot.
    pub(super) fn by_exchange(
        &self,
        fresh: &Fresh,
        dest: Spot<'_>,
        wanted: &Stamp,
        kept_in: &OwnedFd,
        replaces: Option<Digest>,
    ) -> Outcome<bool> {
        let (ways, from) = (self.place.ways, self.staging.spot(&fresh.name));
        if ways != Ways::Auto {
            return Ok(false);
        }
        let Some(name) = self.first_free(replaces, |name| sys::rename_new(from, Spot::new(kept_in, name)))? else {
            return Ok(false);
        };
        let kept = Spot::new(kept_in, &name);
        if let Err(err) = ways.exchange(kept, dest) {
            ways.place(kept, from)?;
            return match () {
                () if says_unsupported(&err) => Ok(false),
                () if is(&err, Errno::NOENT) => Err(gone()),
                () => Err(err.into()),
            };
        }
        // RACE: whoever has the old version open goes on writing into history; no byte is lost.
        if is_version(&sys::lstat(kept)?, wanted) { Ok(true) } else { Err(self.undo(fresh, dest, kept)) }
    }

    /// What came out was not the version that was meant: it goes back, or stays in history if even that is disturbed.
    fn undo(&self, fresh: &Fresh, dest: Spot<'_>, kept: Spot<'_>) -> Refusal {
        let ways = self.place.ways;
        if let Err(err) = ways.exchange(kept, dest) {
            return if is(&err, Errno::NOENT) { changed() } else { err.into() };
        }
        let came_back = sys::lstat(kept).is_ok_and(|st| st.stx_ino == fresh.ino);
        // A second outsider replaced ours meanwhile: his version is the latest and stays visible, the other in history.
        let again =
            if came_back { ways.place(kept, self.staging.spot(&fresh.name)) } else { ways.exchange(kept, dest) };
        again.map_or_else(Refusal::Io, |()| changed())
    }

    /// A second name in history for what is visible now, or a copy where there are no second names.
    pub(super) fn keep_by_link(
        &self,
        dest: Spot<'_>,
        wanted: &Stamp,
        kept_in: &OwnedFd,
        replaces: Option<Digest>,
    ) -> Outcome<()> {
        let ways = self.place.ways;
        let linked = match kept_before(dest, kept_in)? {
            // A change that was cut off has kept it already: only the time is another.
            Some(old) => {
                self.first_free(replaces, |name| place_where_absent(Spot::new(kept_in, &old), Spot::new(kept_in, name)))
            }
            None => self.first_free(replaces, |name| ways.link(dest, Spot::new(kept_in, name))),
        };
        let name = match linked {
            Ok(Some(name)) => name,
            Ok(None) => return self.keep_by_copy(dest, wanted, kept_in, replaces),
            Err(Refusal::Io(err)) if says_unlinkable(&err) => {
                return self.keep_by_copy(dest, wanted, kept_in, replaces);
            }
            Err(refusal) => return Err(refusal),
        };
        let kept = Spot::new(kept_in, &name);
        let st = sys::lstat(kept)?;
        if is_version(&st, wanted) {
            return Ok(());
        }
        // Only if it still has its own name; else ours is the last one, and it stays.
        if sys::lstat(dest).is_ok_and(|now| now.stx_ino == st.stx_ino) {
            sys::unlink(kept)?;
        }
        Err(changed())
    }

    fn keep_by_copy(&self, dest: Spot<'_>, wanted: &Stamp, kept_in: &OwnedFd, replaces: Option<Digest>) -> Outcome<()> {
        let (_, name) = self.target.fresh_name();
        let copy = self.staging.spot(&name);
        let result = self
            .copy_version(dest, wanted, copy)
            .and_then(|()| self.first_free(replaces, |name| self.place.ways.place(copy, Spot::new(kept_in, name))));
        if !matches!(result, Ok(Some(_))) {
            self.target.drop_name(&self.staging, &name);
        }
        result.and_then(|name| name.map(|_| ()).ok_or_else(|| Refusal::Io(Errno::INVAL.into())))
    }

    /// One consistent version: the same before and after.
    fn copy_version(&self, dest: Spot<'_>, wanted: &Stamp, copy: Spot<'_>) -> Outcome<()> {
        let st = sys::lstat(dest)?;
        let meta = stat::meta(&st);
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Symlink) {
            sys::symlink(&sys::read_link(dest)?, copy)?;
            sys::set_mtime_at(copy, meta.mtime)?;
        } else {
            let (mut from, mut to) = (sys::open_file(dest)?, sys::create(copy)?);
            std::io::copy(&mut from, &mut to)?;
            let acl = if self.place.lists { acl::read(from.as_fd())? } else { meta.acl };
            // Before its time is set, too: see `Flushing::BeforeItsTime` of staging.
            to.sync_all()?;
            self.target.carry(to.as_fd(), Meta { acl, ..meta })?;
            to.sync_all()?;
        }
        if stamp(&sys::lstat(dest)?) == *wanted { Ok(()) } else { Err(changed()) }
    }

    /// What is visible goes into history, in one step; back again if it is not what was meant.
    pub(super) fn keep_by_rename(
        &self,
        dest: Spot<'_>,
        wanted: &Stamp,
        kept_in: &OwnedFd,
        replaces: Option<Digest>,
    ) -> Outcome<()> {
        let ways = self.place.ways;
        let renamed = match ways {
            Ways::Auto => self.first_free(replaces, |name| sys::rename_new(dest, Spot::new(kept_in, name)))?,
            Ways::Links | Ways::Plain => None,
        };
        let name = match renamed {
            Some(name) => name,
            // Not by link and unlink: only a rename takes away exactly what it keeps.
            None => self
                .first_free(replaces, |name| place_where_absent(dest, Spot::new(kept_in, name)))?
                .ok_or_else(|| Refusal::Io(Errno::INVAL.into()))?,
        };
        let kept = Spot::new(kept_in, &name);
        let st = sys::lstat(kept)?;
        if is_version(&st, wanted) {
            // A change that was cut off has kept it already: only the time is another.
            if let Some(old) = another_name(&st, kept_in, &name)? {
                sys::unlink(Spot::new(kept_in, &old))?;
            }
            return Ok(());
        }
        // RACE: if yet another version appeared meanwhile, that one is visible and this one stays in history.
        match ways.place(kept, dest) {
            Err(err) if !is(&err, Errno::EXIST) => Err(err.into()),
            _back_or_kept => Err(changed()),
        }
    }

    /// The first name of a version that `take` finds free; `None` if the file system does not know that way.
    fn first_free(
        &self,
        replaces: Option<Digest>,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Outcome<Option<Vec<u8>>> {
        for name in version_name::names((self.target.setup.now)(), replaces) {
            match take(&name) {
                Ok(()) => return Ok(Some(name)),
                Err(err) if is(&err, Errno::EXIST) => {}
                Err(err) if says_unsupported(&err) => return Ok(None),
                Err(err) => return Err(err.into()),
            }
        }
        Err(Refusal::stale("all names in history are taken at this instant"))
    }

    pub(super) fn history_of(&mut self, path: &RelPath) -> Outcome<OwnedFd> {
        let folder = history::folder(path);
        let open = self.touched.make(self.place, &folder)?;
        self.touched.note(&folder, &open)?;
        Ok(open)
    }
}

/// The name in history of the very file that is visible, if it has one.
fn kept_before(dest: Spot<'_>, kept_in: &OwnedFd) -> Outcome<Option<Vec<u8>>> {
    match sys::lstat(dest) {
        Err(err) if is(&err, Errno::NOENT) => Err(gone()),
        result => another_name(&result?, kept_in, b""),
    }
}

/// A name of this very file in history, other than this one.
fn another_name(st: &Statx, kept_in: &OwnedFd, than: &[u8]) -> Outcome<Option<Vec<u8>>> {
    let mut found = None;
    if st.stx_nlink > 1 {
        sys::each_name(kept_in, |name| {
            let is_it = || sys::lstat(Spot::new(kept_in, name)).is_ok_and(|kept| kept.stx_ino == st.stx_ino);
            found = (name != than && is_it()).then(|| name.to_vec());
            Ok(found.is_none())
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::staging::Staging;
    use super::super::{DirSetup, DirTarget};
    use super::*;
    use crate::sys::publish::lstat;
    use crate::target::{Bind, Fault, Target};

    fn with_job(ways: Ways, test: impl FnOnce(&mut Job<'_>, &Path)) {
        let dir = tempfile::tempdir().expect("a folder");
        let target = DirTarget::new(DirSetup::plain(dir.path(), ways));
        target.probe(Bind::IfUnbound).expect("bound");
        let place = target.open("test").expect("open");
        let staging = Staging::open(&place).expect("open");
        let mut job = Job::new(&target, &place, staging);
        test(&mut job, dir.path());
    }

    fn stale<T>(outcome: &Outcome<T>) -> bool {
        matches!(outcome, Err(Refusal::Own { fault: Fault::Stale, .. }))
    }

    /// A version that came between the look and the change, as no outside test can place it for certain.
    #[test]
    fn what_was_not_meant_goes_back_to_its_place() {
        for ways in [Ways::Auto, Ways::Links, Ways::Plain] {
            with_job(ways, |job, root| {
                std::fs::write(root.join("a"), b"theirs").expect("written");
                std::fs::write(root.join(".driftline/staging/new"), b"ours").expect("written");
                let a = RelPath::new("a").expect("fine");
                let (kept_in, parent) = (job.history_of(&a).expect("made"), job.parent(&a).expect("there"));
                let dest = Spot::new(&*parent, b"a");
                let meant = stamp(&lstat(job.staging.spot(b"new")).expect("there"));
                let fresh = super::super::publish::fresh(b"new", &lstat(job.staging.spot(b"new")).expect("there"));
                let fresh = fresh.expect("a file");
                if ways == Ways::Auto {
                    assert!(stale(&job.by_exchange(&fresh, dest, &meant, &kept_in, None)), "{ways:?}");
                }
                assert!(stale(&job.keep_by_link(dest, &meant, &kept_in, None)), "{ways:?}");
                assert!(stale(&job.keep_by_rename(dest, &meant, &kept_in, None)), "{ways:?}");
                assert_eq!(std::fs::read(root.join("a")).expect("there"), b"theirs");
                assert_eq!(std::fs::read(root.join(".driftline/staging/new")).expect("there"), b"ours");
                assert_eq!(std::fs::read_dir(root.join(".driftline/staging")).expect("there").count(), 1);
                assert_eq!(std::fs::read_dir(root.join(".driftline/history/a")).expect("there").count(), 0);
            });
        }
    }
}
