//! Changing what is visible already: its meta, its name, its being there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{Kind, Meta, RelPath};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};
use crate::target::{Fault, Placed, REPORT, Step, ledger};

use super::fault::{Outcome, Refusal, is};
use super::listing::is_version;
use super::publish::{Job, changed, vet};
use super::spelling::{self, is_one_name};

impl Job<'_> {
    pub(super) fn set_meta(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        let parent = beneath::open_parent(self.place.root(), &step.path)?;
        let at = Spot::new(&parent, step.path.name());
        let (st, _) = self.guarded(at, &step.guard)?;
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
        let (st, wanted) = self.guarded(old, &step.guard)?;
        let new_parent = self.parent_to_be(&step.path)?;
        let new = Spot::new(&*new_parent, step.path.name());
        let ways = self.place.ways;
        match ways.place(old, new) {
            Err(err) if is(&err, Errno::EXIST) => self.respell((old, from), (new, &step.path), err)?,
            result => result?,
        }
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

    /// The new name is taken: where the file system takes both for one, what lies there may be the same thing. No rename gives
    /// it another spelling, but two do.
    ///
    /// RACE: a reader sees nothing there between these two. What is cut off between them is put again from the share.
    fn respell(
        &self,
        (old, from): (Spot<'_>, &RelPath),
        (new, to): (Spot<'_>, &RelPath),
        taken: io::Error,
    ) -> Outcome<()> {
        match spelling::other_spelling(self.place, new)? {
            None => return Err(taken.into()),
            Some(other) if from.parent() != to.parent() || other != from.name() => return Err(is_one_name(&other)),
            Some(_) => {}
        }
        let (ways, (_, name)) = (self.place.ways, self.target.fresh_name());
        let aside = self.staging.spot(&name);
        ways.place(old, aside)?;
        if let Err(err) = ways.place(aside, new) {
            ways.place(aside, old)?;
            return Err(err.into());
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, step: &Step) -> Outcome<Placed> {
        let parent = self.parent(&step.path)?;
        let at = Spot::new(&*parent, step.path.name());
        let (st, wanted) = self.guarded(at, &step.guard)?;
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

#[cfg(test)]
mod tests {
    use super::super::fault::Refusal;
    use super::super::staging::Staging;
    use super::super::{DirSetup, DirTarget, Ways};
    use super::*;
    use crate::target::{Bind, Target};

    fn names(root: &std::path::Path) -> Vec<String> {
        let entries = std::fs::read_dir(root).expect("read").map(|entry| entry.expect("an entry").file_name());
        let names = entries.map(|name| name.into_string().expect("text")).filter(|name| name != ".driftline");
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Where both names are one, a rename from one to the other is refused as if something else lay there.
    #[test]
    fn what_gets_its_own_name_in_other_letters_is_renamed_and_nothing_else_is() {
        for ways in [Ways::Auto, Ways::Links, Ways::Plain] {
            let dir = tempfile::tempdir().expect("a folder");
            let target = DirTarget::new(DirSetup::plain(dir.path(), ways));
            target.probe(Bind::IfUnbound).expect("bound");
            std::fs::write(dir.path().join("Plan.txt"), b"plan").expect("written");
            std::fs::write(dir.path().join("draft.txt"), b"draft").expect("written");
            std::fs::create_dir(dir.path().join("Plans")).expect("made");
            let place = target.open("test").expect("open");
            let job = Job::new(&target, &place, Staging::open(&place).expect("open"));
            let respell = |from: &str, to: &str| {
                let (from, to) = (RelPath::new(from).expect("fine"), RelPath::new(to).expect("fine"));
                let (root, taken) = (place.root(), Errno::EXIST.into());
                job.respell((Spot::new(&root, from.name()), &from), (Spot::new(&root, to.name()), &to), taken)
            };
            match respell("draft.txt", "plan.txt") {
                Err(Refusal::Own { fault: Fault::Unfit, cause, .. }) => {
                    assert!(cause.starts_with("Plan.txt "), "{ways:?}: {cause}");
                }
                other => panic!("{ways:?}: {other:?}"),
            }
            assert_eq!(names(dir.path()), ["Plan.txt", "Plans", "draft.txt"], "{ways:?}");
            assert!(matches!(respell("Plan.txt", "draft.txt"), Err(Refusal::Io(_))), "{ways:?}: another lies there");
            respell("Plan.txt", "plan.txt").expect("renamed");
            respell("Plans", "PLANS").expect("renamed");
            assert_eq!(names(dir.path()), ["PLANS", "draft.txt", "plan.txt"], "{ways:?}");
            assert_eq!(std::fs::read(dir.path().join("plan.txt")).expect("there"), b"plan");
            assert_eq!(std::fs::read_dir(dir.path().join(".driftline/staging")).expect("there").count(), 0);
        }
    }
}
