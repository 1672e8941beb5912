//! Changing what is visible already: its meta, its name, its being there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{Kind, Meta, RelPath};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};
use crate::target::{Fault, Placed, REPORT, Step, ledger};

use super::fault::{Outcome, Refusal, is};
use super::listing::is_version;
use super::publish::{Job, changed, guarded, vet};

impl Job<'_> {
    pub(super) fn set_meta(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        let parent = beneath::open_parent(self.place.root(), &step.path)?;
        let at = Spot::new(&parent, step.path.name());
        let (st, _) = guarded(at, &step.guard)?;
        let shape = stat::shape(&st).map_err(|what| Refusal::unfit(what, "move it away on the target"))?;
        let (handle, can_sync) = open_any(at, shape.kind)?;
        // From here on all goes through the handle, so that nothing but the version that was meant is changed.
        if beneath::stat_fd(handle.as_fd())?.stx_ino != st.stx_ino {
            return Err(changed());
        }
        let denied = self.target.carry_owner(handle.as_fd(), meta)?;
        if shape.kind != Kind::Symlink {
            self.target.list(handle.as_fd(), meta.acl)?;
            sys::set_mode(handle.as_fd(), meta.mode)?;
        }
        sys::set_mtime(handle.as_fd(), meta.mtime)?;
        match (shape.kind, can_sync) {
            (Kind::Folder, _) => self.touched.set_time(&step.path, meta.mtime),
            (Kind::File | Kind::Symlink, true) => sys::sync(handle.as_fd())?,
            (Kind::File | Kind::Symlink, false) => self.touched.flush_whole(),
        }
        self.placed(at, st.stx_ino, meta, denied)
    }

    pub(super) fn rename(&mut self, step: &Step, from: &RelPath) -> Outcome<Placed> {
        vet(from)?;
        if from == &step.path || from.is_above(&step.path) {
            return Err(Refusal::unfit("a folder cannot be moved into itself", REPORT));
        }
        let old_parent = self.parent(from)?;
        let old = Spot::new(&*old_parent, from.name());
        let (st, wanted) = guarded(old, &step.guard)?;
        let new_parent = self.parent_to_be(&step.path)?;
        let new = Spot::new(&*new_parent, step.path.name());
        let ways = self.place.ways;
        ways.place(old, new)?;
        if !is_version(&sys::lstat(new)?, &wanted) {
            // RACE: someone replaced it between the look and the rename: his version goes back to where he put it. If a
            // third one lies there by now, his stays at the new name, where the next look finds it.
            ways.place(new, old)?;
            return Err(changed());
        }
        ledger::moved(&mut self.moved, (self.target.setup.now)(), from, &step.path);
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder) {
            self.touched.moved(from, &step.path);
        }
        self.placed(new, st.stx_ino, stat::meta(&st), false)
    }

    pub(super) fn remove(&mut self, step: &Step) -> Outcome<Placed> {
        let parent = self.parent(&step.path)?;
        let at = Spot::new(&*parent, step.path.name());
        let (st, wanted) = guarded(at, &step.guard)?;
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder) {
            sys::rmdir(at).map_err(|err| if is(&err, Errno::NOTEMPTY) { occupied() } else { err.into() })?;
            self.touched.gone(&step.path);
        } else {
            let kept_in = self.history_of(&step.path)?;
            self.keep_by_rename(at, &wanted, &kept_in, step.replaces)?;
        }
        Ok(Placed { stamp: None, meta: None, ..Placed::default() })
    }
}

fn occupied() -> Refusal {
    Refusal::own(
        Fault::Occupied,
        "the folder holds what driftline did not put there",
        "remove it by hand if it is not needed",
    )
}

/// A handle on what is there, and whether it can be flushed by itself.
pub(super) fn open_any(at: Spot<'_>, kind: Kind) -> io::Result<(OwnedFd, bool)> {
    let readable = match kind {
        Kind::File => sys::open_file(at).map(OwnedFd::from),
        Kind::Folder => sys::open_folder(at),
        Kind::Symlink => return Ok((sys::open_handle(at)?, false)),
    };
    match readable {
        Err(err) if is(&err, Errno::ACCESS) => Ok((sys::open_handle(at)?, false)),
        result => Ok((result?, true)),
    }
}
