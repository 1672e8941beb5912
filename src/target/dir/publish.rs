//! Making what was staged visible: in one step, with the old version in history, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use crate::model::{Content, Kind, Meta, RelPath, Shape, Stamp};
use crate::plan::Guard;
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{beneath, stat};
use crate::target::{Change, Fault, Placed, REPORT, Step, TargetError, Token, ledger};

use super::DirTarget;
use super::change::open_any;
use super::fault::{Outcome, Refusal, about_ours, is, says_absent, says_unsupported};
use super::identity::Place;
use super::listing::{is_version, stamp};
use super::locks;
use super::rename::rename_over;
use super::sink::io_again;
use super::spelling;
use super::staging::{StagedFile, Staging};
use super::touched::{Flushed, Touched};
use super::unseen::Unseen;

/// One call of `apply`.
pub(super) struct Job<'a> {
    pub(super) target: &'a DirTarget,
    pub(super) place: &'a Place,
    pub(super) staging: Staging,
    pub(super) touched: Touched,
    /// The folder that the last step changed something in, open: to open one costs a round trip or two.
    pub(super) last: Option<(RelPath, Rc<OwnedFd>)>,
    /// Once something was written to it.
    pub(super) ledger: Option<File>,
    /// Lines that tell of the renames that were made.
    pub(super) moved: Vec<u8>,
    /// What was published and is not yet looked at, by the number of its step.
    pub(super) unseen: BTreeMap<usize, Unseen>,
}

/// Something of ours in staging that is to become visible.
pub(super) struct Fresh {
    pub(super) name: Vec<u8>,
    pub(super) ino: u64,
    shape: Shape,
    /// Still open; closed before its name in staging goes.
    held: Option<File>,
}

/// Makes the steps, flushes what they touched, and only then answers.
pub(super) fn apply(target: &DirTarget, place: &Place, steps: &[Step]) -> Vec<Result<Placed, TargetError>> {
    let staging = match Staging::open(place) {
        Ok(staging) => staging,
        Err(err) => {
            let refused = |step: &Step| about_ours(&err).into_error(verb(step), Some(&step.path));
            return steps.iter().map(|step| Err(refused(step))).collect();
        }
    };
    let mut job = Job::new(target, place, staging);
    if let Err(err) = job.write_ledger(&ledger::before(steps, (target.setup.now)())) {
        return steps.iter().map(|step| Err(unflushed(step, &err))).collect();
    }
    let made: Vec<_> = steps.iter().enumerate().map(|(number, step)| job.step(number, step)).collect();
    let mut seen = job.see_all(steps);
    let answer = |(number, (step, made)): (usize, (&Step, Outcome<Placed>))| {
        seen.remove(&number).unwrap_or(made).map_err(|refusal| refusal.into_error(verb(step), Some(&step.path)))
    };
    let answers: Vec<_> = steps.iter().zip(made).enumerate().map(answer).collect();
    match job.finish() {
        Ok(moved) if moved.is_empty() => answers,
        Ok(moved) => {
            let is_moved = |step: &Step| step.path.parent().is_some_and(|parent| moved.contains(&parent));
            let elsewhere = |step: &Step| folder_moved().into_error(verb(step), Some(&step.path));
            let answer = |(step, answer): (&Step, _)| if is_moved(step) { Err(elsewhere(step)) } else { answer };
            steps.iter().zip(answers).map(answer).collect()
        }
        Err(err) => steps.iter().zip(answers).map(|(step, answer)| answer.and(Err(unflushed(step, &err)))).collect(),
    }
}

fn unflushed(step: &Step, err: &io::Error) -> TargetError {
    Refusal::Io(io_again(err)).into_error(verb(step), Some(&step.path))
}

fn verb(step: &Step) -> &'static str {
    match step.change {
        Change::Publish { .. } => "publish",
        Change::Link { .. } => "make the link",
        Change::MakeFolder { .. } => "make the folder",
        Change::SetMeta { .. } => "set mode and time of",
        Change::Move { .. } => "rename something to",
        Change::Remove => "remove",
    }
}

/// Fails for the root and for what is ours.
pub(super) fn vet(path: &RelPath) -> Outcome<()> {
    if path.is_root() || path.is_reserved() {
        return Err(Refusal::unfit("this name is the target's own", REPORT));
    }
    Ok(())
}

pub(super) fn changed() -> Refusal {
    Refusal::stale("someone else changed it on the target")
}

pub(super) fn gone() -> Refusal {
    Refusal::stale("it is no longer on the target")
}

fn folder_moved() -> Refusal {
    Refusal::stale("someone else moved its folder on the target at the same time")
}

fn no_folder() -> Refusal {
    Refusal::own(Fault::NoFolder, "its folder is not there on the target", "driftline looks for the folder first")
}

fn occupied() -> Refusal {
    Refusal::stale("something is there already on the target")
}

fn not_what_was_meant() -> Refusal {
    Refusal::unstaged("what was staged is not what was meant")
}

impl<'a> Job<'a> {
    pub(super) fn new(target: &'a DirTarget, place: &'a Place, staging: Staging) -> Self {
        let touched = Touched::new(&target.times);
        Self { target, place, staging, touched, last: None, ledger: None, moved: Vec::new(), unseen: BTreeMap::new() }
    }

    /// Tells of the renames that were made, and waits until all is on the medium. Returns the folders that are not where
    /// they were opened.
    fn finish(&mut self) -> io::Result<BTreeSet<RelPath>> {
        let text = std::mem::take(&mut self.moved);
        self.write_ledger(&text)?;
        let Flushed { all, moved } = self.touched.flush(self.place)?;
        self.ledger.take().filter(|_| !all).map_or(Ok(()), |ledger| ledger.sync_data())?;
        Ok(moved)
    }

    pub(super) fn step(&mut self, number: usize, step: &Step) -> Outcome<Placed> {
        vet(&step.path)?;
        if matches!(step.change, Change::Move { .. } | Change::Remove) {
            self.last = None;
        }
        let mut paths = vec![&step.path];
        if let Change::Move { from } = &step.change {
            paths.push(from);
        }
        let _locks = locks::take(self.place, &paths);
        match &step.change {
            Change::Publish { token, content, meta } => self.publish((number, step), *token, content, *meta),
            Change::Link { to, meta, content: _ } => self.link(step, to, *meta),
            Change::MakeFolder { meta } => self.make_folder(step, *meta),
            Change::SetMeta { meta } => self.set_meta(step, *meta),
            Change::Move { from } => self.rename(step, from),
            Change::Remove => self.remove(step),
        }
    }

    /// `lstat` of what the guard is for; stale unless it bears that stamp, under this very name.
    pub(super) fn guarded(&self, at: Spot<'_>, guard: &Guard) -> Outcome<(Statx, Stamp)> {
        let Guard::Unchanged(wanted) = guard else {
            return Err(Refusal::stale("a version has to be named for this"));
        };
        let st = sys::lstat(at).map_err(|err| if says_absent(&err) { gone() } else { err.into() })?;
        match () {
            () if stamp(&st) != *wanted => Err(changed()),
            () if !self.place.spells_in(at)? => Err(gone()),
            () => Ok((st, wanted.clone())),
        }
    }

    fn publish(
        &mut self,
        (number, step): (usize, &Step),
        token: Token,
        content: &Content,
        meta: Meta,
    ) -> Outcome<Placed> {
        let staged = self.target.state().staged.get(&token).cloned();
        let staged = staged.ok_or_else(|| Refusal::unstaged("it is not staged"))?;
        let mut version = self.in_staging(&staged)?;
        if staged.content != *content {
            return Err(not_what_was_meant());
        }
        let as_meant = staged.meta == meta;
        let owner_denied = if as_meant { staged.owner_denied } else { self.recarry(&staged.name, meta)? };
        if !as_meant {
            version = self.in_staging(&staged)?;
        }
        let held = self.target.state().held.remove(&token);
        let ino = staged.ino;
        let parent = self.put(step, Fresh { name: staged.name, ino, shape: content.shape, held })?;
        self.target.state().staged.remove(&token);
        if self.place.far {
            self.unseen.insert(number, Unseen { parent, ino, version, meta, owner_denied });
            return Ok(Placed::default());
        }
        self.placed(Spot::new(&*parent, step.path.name()), ino, meta, owner_denied)
    }

    /// Its stamp, if it lies in staging as it was left.
    fn in_staging(&self, staged: &StagedFile) -> Outcome<Stamp> {
        let lost = || Refusal::unstaged("what was staged is gone");
        let found = sys::lstat_known(self.staging.spot(&staged.name));
        let st = found.map_err(|err| if is(&err, Errno::NOENT) { lost() } else { err.into() })?;
        if st.stx_ino == staged.ino { Ok(stamp(&st)) } else { Err(not_what_was_meant()) }
    }

    /// The share's mode or time changed after it was staged. True if we may not set the owner.
    fn recarry(&mut self, name: &[u8], meta: Meta) -> Outcome<bool> {
        let (handle, can_sync) = open_any(self.staging.spot(name), Kind::File)?;
        let denied = self.target.carry(handle.as_fd(), meta)?;
        if can_sync {
            sys::sync(handle.as_fd())?;
        } else {
            self.touched.flush_whole();
        }
        Ok(denied)
    }

    fn link(&mut self, step: &Step, to: &[u8], meta: Meta) -> Outcome<Placed> {
        let (_, name) = self.target.fresh_name();
        let spot = self.staging.spot(&name);
        sys::symlink(to, spot).map_err(|err| about_ours(&err))?;
        let result = self.put_link(step, &name, meta);
        if result.is_err() {
            self.target.drop_name(&self.staging, &name);
        }
        result
    }

    fn put_link(&mut self, step: &Step, name: &[u8], meta: Meta) -> Outcome<Placed> {
        let spot = self.staging.spot(name);
        let denied = self.target.carry_owner(sys::open_handle(spot)?.as_fd(), meta)?;
        sys::set_mtime_at(spot, meta.mtime)?;
        let fresh = fresh(name, &sys::lstat(spot)?)?;
        let ino = fresh.ino;
        let parent = self.put(step, fresh)?;
        self.placed(Spot::new(&*parent, step.path.name()), ino, meta, denied)
    }

    fn make_folder(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        match &step.guard {
            Guard::Absent => self.make_new_folder(step, meta),
            Guard::Unchanged(_) => self.make_folder_over(step, meta),
        }
    }

    fn make_new_folder(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        let parent = self.parent_to_be(&step.path)?;
        let at = Spot::new(&*parent, step.path.name());
        match sys::make_folder(at) {
            Err(err) if is(&err, Errno::EXIST) => {
                // RACE: of two agents that make it under two spellings at the same instant, both may take it for theirs.
                if let Some(other) = spelling::other_spelling(self.place, at)? {
                    return Err(spelling::is_one_name(&other));
                }
            }
            result => result?,
        }
        let not_one = |err| if says_absent(&err) { occupied() } else { err.into() };
        let folder = sys::open_folder(at).map_err(not_one)?;
        // The folder that it lies in may have handed it a list of its own.
        self.target.list(folder.as_fd(), meta.acl)?;
        let denied = self.target.carry(folder.as_fd(), meta)?;
        self.touched.set_time(&step.path, meta.mtime);
        self.placed(at, beneath::stat_fd(folder.as_fd())?.stx_ino, meta, denied)
    }

    fn make_folder_over(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        let parent = self.parent(&step.path)?;
        let (st, _) = self.guarded(Spot::new(&*parent, step.path.name()), &step.guard)?;
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder) {
            return self.set_meta(step, meta);
        }
        let (_, name) = self.target.fresh_name();
        sys::make_folder(self.staging.spot(&name)).map_err(|err| about_ours(&err))?;
        let result = self.put_folder(step, &name, meta);
        if result.is_err() {
            self.target.drop_name(&self.staging, &name);
        }
        result
    }

    fn put_folder(&mut self, step: &Step, name: &[u8], meta: Meta) -> Outcome<Placed> {
        let spot = self.staging.spot(name);
        let denied = self.target.carry(sys::open_folder(spot)?.as_fd(), meta)?;
        let fresh = fresh(name, &sys::lstat(spot)?)?;
        let ino = fresh.ino;
        let parent = self.put(step, fresh)?;
        self.touched.set_time(&step.path, meta.mtime);
        self.placed(Spot::new(&*parent, step.path.name()), ino, meta, denied)
    }

    /// Makes what is in staging visible at the step's path, if the guard holds. Returns the open parent.
    fn put(&mut self, step: &Step, fresh: Fresh) -> Outcome<Rc<OwnedFd>> {
        let parent = match &step.guard {
            Guard::Absent => self.parent_to_be(&step.path)?,
            Guard::Unchanged(_) => self.parent(&step.path)?,
        };
        let dest = Spot::new(&*parent, step.path.name());
        match &step.guard {
            Guard::Absent => {
                let placed = self.place.ways.place_open(self.staging.spot(&fresh.name), dest, fresh.held);
                placed.map_err(|err| {
                    if is(&err, Errno::EXIST) { spelling::taken(self.place, dest, occupied()) } else { err.into() }
                })?;
            }
            Guard::Unchanged(_) => {
                let (st, wanted) = self.guarded(dest, &step.guard)?;
                let over_folder = stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder);
                let fresh = Fresh { held: None, ..fresh };
                if over_folder { self.over_folder(&fresh, dest)? } else { self.over_file(step, &fresh, dest, &wanted)? }
            }
        }
        Ok(parent)
    }

    /// An empty folder gives way to a file or link.
    fn over_folder(&self, fresh: &Fresh, dest: Spot<'_>) -> Outcome<()> {
        let unfit = || Refusal::unfit("a folder that is not empty is in the way", "move it away on the target");
        let mut empty = true;
        sys::each_name(&sys::open_folder(dest)?, |_| {
            empty = false;
            Ok(false)
        })?;
        if !empty {
            return Err(unfit());
        }
        let (ways, from) = (self.place.ways, self.staging.spot(&fresh.name));
        match ways.exchange(from, dest) {
            Err(err) if says_unsupported(&err) => {
                // RACE: a reader sees nothing there between these two; nothing but an empty folder can be lost.
                sys::rmdir(dest).map_err(|err| if is(&err, Errno::NOTEMPTY) { unfit() } else { err.into() })?;
                return Ok(ways.place(from, dest)?);
            }
            result => result?,
        }
        match sys::rmdir(from) {
            // RACE: something was put into it since the look: it is out of sight for these microseconds, never lost.
            Err(err) if is(&err, Errno::NOTEMPTY) => {
                Err(ways.exchange(from, dest).map_or_else(Refusal::Io, |()| unfit()))
            }
            // Not a folder: someone replaced it in the same instant.
            Err(err) if is(&err, Errno::NOTDIR) => {
                Err(ways.exchange(from, dest).map_or_else(Refusal::Io, |()| changed()))
            }
            result => Ok(result?),
        }
    }

    /// A file or link gives way, into history.
    fn over_file(&mut self, step: &Step, fresh: &Fresh, dest: Spot<'_>, wanted: &Stamp) -> Outcome<()> {
        let kept_in = self.history_of(&step.path)?;
        if self.by_exchange(fresh, dest, wanted, &kept_in, step.replaces)? {
            return Ok(());
        }
        if fresh.shape.kind == Kind::Folder {
            // RACE: a reader sees nothing there between these two; the old version is in history before.
            self.keep_by_rename(dest, wanted, &kept_in, step.replaces)?;
        } else {
            self.keep_by_link(dest, wanted, &kept_in, step.replaces)?;
        }
        self.touched.flush_ours(self.place)?;
        let from = self.staging.spot(&fresh.name);
        if fresh.shape.kind == Kind::Folder {
            return Ok(self.place.ways.place(from, dest)?);
        }
        if self.place.far {
            sys::ask_afresh(dest.folder)?;
        }
        if !is_version(&sys::lstat(dest)?, wanted) {
            return Err(changed());
        }
        // RACE: a version that an outsider saves there between this look and the rename is lost. Worst case: his one
        // version of these microseconds (over NFS: of one round trip), where the file system cannot exchange names.
        Ok(rename_over(from, dest, fresh.ino)?)
    }

    /// The folder that `path` lies in; stale if it is missing. Noted as touched.
    pub(super) fn parent(&mut self, path: &RelPath) -> Outcome<Rc<OwnedFd>> {
        self.open(path, |err| if says_absent(&err) { gone() } else { err.into() })
    }

    /// The folder that `path` is to lie in; never made on the way. Noted as touched.
    pub(super) fn parent_to_be(&mut self, path: &RelPath) -> Outcome<Rc<OwnedFd>> {
        self.open(path, |err| if is(&err, Errno::NOENT) { no_folder() } else { err.into() })
    }

    /// RACE: an outsider moves the folder away while it is kept open here: what is made in it goes with it. That is seen
    /// when the folders are flushed, and then nothing in it counts as done; in the worst case he has a file more.
    fn open(&mut self, path: &RelPath, refuse: impl Fn(std::io::Error) -> Refusal) -> Outcome<Rc<OwnedFd>> {
        let parent = path.parent().unwrap_or_else(RelPath::root);
        if let Some((known, open)) = &self.last
            && *known == parent
        {
            return Ok(Rc::clone(open));
        }
        let open = Rc::new(beneath::open_folder(self.place.root(), &parent).map_err(&refuse)?);
        if !self.place.spells(&parent)? {
            return Err(refuse(Errno::NOENT.into()));
        }
        self.touched.note(&parent, &open)?;
        self.last = Some((parent, Rc::clone(&open)));
        Ok(open)
    }

    /// What is there now; stale if it is not what we put there (someone replaced it in the same instant: it is his).
    pub(super) fn placed(&self, at: Spot<'_>, ino: u64, wanted: Meta, denied: bool) -> Outcome<Placed> {
        let st = sys::lstat(at)?;
        if st.stx_ino != ino {
            return Err(changed());
        }
        Ok(Placed { stamp: Some(stamp(&st)), meta: Some(self.carried(&st, wanted, denied)), ..Placed::default() })
    }

    /// What is carried in truth. Three things are answered as they were wanted, because no change here would ever bring
    /// them about and whoever compares would ask for ever: an owner that we do not or may not set, a list likewise, and a
    /// link's mode.
    fn carried(&self, st: &Statx, wanted: Meta, denied: bool) -> Meta {
        let mut meta = Meta { acl: wanted.acl, ..stat::meta(st) };
        if !self.target.setup.keep_owner || denied {
            (meta.uid, meta.gid) = (wanted.uid, wanted.gid);
        }
        if stat::shape(st).is_ok_and(|shape| shape.kind == Kind::Symlink) {
            meta.mode = wanted.mode;
        }
        meta
    }
}

pub(super) fn fresh(name: &[u8], st: &Statx) -> Outcome<Fresh> {
    let shape = stat::shape(st).map_err(Refusal::unstaged)?;
    Ok(Fresh { name: name.to_vec(), ino: st.stx_ino, shape, held: None })
}
