//! Changes, several at once: each waits only for those before it that touch its path, a folder above it or what lies below.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::Inner;
use super::fault::{Kind, Outcome, Refusal};
use super::key::KEY_MAX;
use super::listing::Found;
use super::object::{self, Head, METADATA_MAX, etag_of, file_stamp, folder_stamp, is_folder, is_link, link_stamp};
use super::staging::Body;
use super::wire::{Condition, Copy, Made, PAGE_MAX, Put, Wire};
use crate::model::{Content, Digest, Meta, RelPath, Stamp};
use crate::plan::Guard;
use crate::target::{Change, Fault, Placed, REPORT, Step, TargetError, Token, ledger};

/// Changes of one call under way at once (count): as many as there are turns for requests ([`super::pace`]).
const AT_ONCE_MAX: usize = 64;

/// Makes changes. What does not touch each other is made at once, everything else in its order.
pub(super) async fn apply(inner: Arc<Inner>, steps: Vec<Step>) -> Vec<Answer> {
    let begun = match inner.hold().await {
        Ok(()) => inner.tell_before(&steps).await,
        fenced => fenced,
    };
    if let Err(refusal) = begun {
        let refused = |step: &Step| refusal.clone().of_a_change().into_error(verb(&step.change), Some(&step.path));
        return steps.iter().map(|step| Err(refused(step))).collect();
    }
    let levels = levels(&steps);
    let steps = Arc::new(steps);
    let mut answers: Vec<_> = steps.iter().map(|_| None).collect();
    let mut moved = Vec::new();
    for level in 0..=levels.iter().copied().max().unwrap_or(0) {
        let of_level = || (0..steps.len()).filter(|at| levels[*at] == level);
        let mut running = JoinSet::new();
        for at in of_level() {
            if running.len() >= AT_ONCE_MAX {
                ended(&mut running, &mut answers).await;
            }
            let (inner, steps) = (Arc::clone(&inner), Arc::clone(&steps));
            running.spawn(async move {
                let step = &steps[at];
                let made = inner.change(step).await;
                (at, made.map_err(|refusal| refusal.of_a_change().into_error(verb(&step.change), Some(&step.path))))
            });
        }
        while ended(&mut running, &mut answers).await {}
        for at in of_level() {
            if let (Change::Move { from }, Some(Ok(_))) = (&steps[at].change, &answers[at]) {
                ledger::moved(&mut moved, (inner.setup.clock.wall)(), from, &steps[at].path);
            }
        }
    }
    let all = answers.into_iter().map(|answer| answer.expect("every step has a level, and each level was run"));
    let answers: Vec<_> = all.collect();
    match inner.write_ledger(moved).await {
        Ok(()) => answers,
        Err(refusal) => steps.iter().zip(answers).map(|(step, answer)| untold(step, answer, &refusal)).collect(),
    }
}

/// A rename of which the ledger does not tell is looked at again, and put down as it is found.
fn untold(step: &Step, answer: Result<Placed, TargetError>, refusal: &Refusal) -> Result<Placed, TargetError> {
    match step.change {
        Change::Move { .. } => {
            answer.and(Err(refusal.clone().of_a_change().into_error(verb(&step.change), Some(&step.path))))
        }
        _ => answer,
    }
}

type Answer = Result<Placed, TargetError>;

/// Waits until one of them has ended. False if none runs.
async fn ended(running: &mut JoinSet<(usize, Answer)>, answers: &mut [Option<Answer>]) -> bool {
    let Some(ended) = running.join_next().await else { return false };
    let (at, answer) = ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()));
    answers[at] = Some(answer);
    true
}

fn verb(change: &Change) -> &'static str {
    match change {
        Change::Publish { .. } | Change::Link { .. } => "put",
        Change::MakeFolder { .. } => "make",
        Change::SetMeta { .. } => "set mode and time of",
        Change::Move { .. } => "rename to",
        Change::Remove => "remove",
    }
}

/// For each step how many others have to be made before it, one after the other.
fn levels(steps: &[Step]) -> Vec<usize> {
    let (mut at, mut below) = (HashMap::<RelPath, usize>::new(), HashMap::<RelPath, usize>::new());
    let mut levels = Vec::with_capacity(steps.len());
    for step in steps {
        let mut paths = vec![step.path.clone()];
        if let Change::Move { from } = &step.change {
            paths.push(from.clone());
        }
        let earlier = paths.iter().flat_map(|path| {
            let above = path.ancestors().filter_map(|above| at.get(&above).copied());
            above.chain(at.get(path).copied()).chain(below.get(path).copied()).collect::<Vec<_>>()
        });
        let level = earlier.max().unwrap_or(0);
        for path in paths {
            for above in path.ancestors() {
                let known = below.entry(above).or_default();
                *known = (*known).max(level + 1);
            }
            at.insert(path, level + 1);
        }
        levels.push(level);
    }
    levels
}

impl Inner {
    async fn change(&self, step: &Step) -> Outcome<Placed> {
        self.is_fit(&step.path)?;
        let wire = self.open().await?;
        match &step.change {
            Change::Publish { token, content, meta } => self.publish(&wire, step, *token, content, meta).await,
            // The rarer ones by themselves: what is under way takes as much memory as the largest of them would.
            Change::Link { to, content, meta } => Box::pin(self.link(&wire, step, to, content, meta)).await,
            Change::MakeFolder { meta } => Box::pin(self.make_folder(&wire, step, meta)).await,
            Change::SetMeta { meta } => Box::pin(self.set_meta(&wire, step, meta)).await,
            Change::Move { from } => Box::pin(self.rename(&wire, step, from)).await,
            Change::Remove => Box::pin(self.remove(&wire, step)).await,
        }
    }

    fn is_fit(&self, path: &RelPath) -> Outcome<()> {
        if path.is_root() || path.is_reserved() {
            return Err(unfit("that name is driftline's own", REPORT));
        }
        let len = self.prefix.folder(path).len();
        if len > KEY_MAX || !self.has_room_for_history(path) {
            let cause = format!("its key would have {len} bytes; a bucket's have at most {KEY_MAX}, versions included");
            return Err(unfit(cause, "give it a shorter path on the share"));
        }
        Ok(())
    }

    // ---- files and links ----

    async fn publish(
        &self,
        wire: &Wire<'_>,
        step: &Step,
        token: Token,
        content: &Content,
        meta: &Meta,
    ) -> Outcome<Placed> {
        let body = self.staged().get(&token).filter(|body| body.content() == *content).cloned();
        let body = body.ok_or_else(|| Refusal::unstaged("it is not staged"))?;
        self.has_place(wire, step).await?;
        let made = match body {
            Body::Whole(_, bytes) => {
                let condition = self.make_way(wire, step).await?;
                let metadata = object::metadata(content, meta, None);
                let put = Put { key: self.prefix.object(&step.path), body: bytes, metadata };
                self.put(wire, &put, &condition).await?
            }
            Body::Parts(parts) => Box::pin(self.complete_parts(wire, step, &parts, meta)).await?,
        };
        self.staged().remove(&token);
        Ok(Placed { stamp: Some(file_stamp(&made.etag)), meta: Some(*meta), version: made.version })
    }

    async fn complete_parts(
        &self,
        wire: &Wire<'_>,
        step: &Step,
        parts: &super::parts::Parts,
        meta: &Meta,
    ) -> Outcome<Made> {
        if parts.key != self.prefix.object(&step.path) {
            return Err(Refusal::unstaged("it was staged for another path"));
        }
        let condition = self.make_way(wire, step).await?;
        if !wire.abilities.parts_match {
            // RACE: between this look and the end of the upload someone else may change the object; theirs is then replaced.
            wire.hold(&parts.key, &condition).await?;
        }
        let guard = wire.abilities.parts_match.then_some(&condition);
        let place = (parts.key.as_str(), parts.upload.as_str());
        let made = match wire.end_parts(place, &parts.parts, parts.whole.as_ref(), guard).await {
            Err(refusal) if refusal.kind == Kind::NotThere => {
                self.completed(&parts.key);
                return Err(Refusal::unstaged("its upload is gone"));
            }
            made => made?,
        };
        self.completed(&parts.key);
        if made.version.is_none() {
            self.no_version();
        }
        if meta.agrees_but_for_time(&parts.meta) {
            return Ok(made);
        }
        // Its mode or owner changed while it was sent.
        let head = Head { etag: made.etag, len: parts.content.shape.len, ..Head::default() };
        let metadata = object::metadata(&parts.content, meta, None);
        self.carry(wire, &parts.key, &head, metadata).await
    }

    async fn link(&self, wire: &Wire<'_>, step: &Step, to: &[u8], content: &Content, meta: &Meta) -> Outcome<Placed> {
        let metadata = object::metadata(content, meta, Some(to));
        if object::weight(&metadata) > METADATA_MAX {
            let cause = format!("where it points to takes more than the {METADATA_MAX} bytes of an object's metadata");
            return Err(unfit(cause, "make it point to a shorter path"));
        }
        self.has_place(wire, step).await?;
        let condition = self.make_way(wire, step).await?;
        let put = Put { key: self.prefix.object(&step.path), body: Bytes::new(), metadata };
        let made = self.put(wire, &put, &condition).await?;
        let stamp = link_stamp(&made.etag, content.digest);
        Ok(Placed { stamp: Some(stamp), meta: Some(*meta), version: made.version })
    }

    /// What has to hold for something to be put there. What is replaced can be had back when this returns.
    async fn make_way(&self, wire: &Wire<'_>, step: &Step) -> Outcome<Condition> {
        match &step.guard {
            // RACE: a folder of this name that someone else made is not noticed: it and the file then both lie there, which
            // a bucket permits. Nothing of theirs is touched.
            Guard::Absent if self.folders.contain(&step.path) => Err(Refusal::stale("a folder is there")),
            Guard::Absent => Ok(Condition::Absent),
            Guard::Unchanged(stamp) if is_folder(stamp) => {
                Box::pin(self.drop_folder(wire, &step.path, Fault::Unfit)).await?;
                Ok(Condition::Absent)
            }
            Guard::Unchanged(stamp) => {
                let etag = Box::pin(self.confirmed(wire, &step.path, stamp)).await?;
                Box::pin(self.keep(wire, &step.path, &etag, step.replaces)).await?;
                Ok(Condition::Match(etag))
            }
        }
    }

    /// The ETag in a guard; for a link, whose ETag tells nothing, after a look.
    async fn confirmed(&self, wire: &Wire<'_>, path: &RelPath, stamp: &Stamp) -> Outcome<String> {
        let etag = etag_of(stamp).ok_or_else(|| Refusal::stale("it was a folder"))?;
        if is_link(stamp) {
            // RACE: between this look and the change another driftline may make the link point elsewhere; where it pointed
            // to meanwhile is lost unless versions are kept.
            let head = wire.head(&self.prefix.object(path)).await?;
            if head.is_none_or(|head| head.stamp() != *stamp) {
                return Err(Refusal::stale("it is not the link that it was"));
            }
        }
        Ok(etag)
    }

    // ---- folders ----

    /// Whether it can be put there. Where a folder is missing, nothing is as a guard says that it was.
    async fn has_place(&self, wire: &Wire<'_>, step: &Step) -> Outcome<()> {
        match (self.has_folder(wire, &step.path).await, &step.guard) {
            (Err(refusal), Guard::Unchanged(_)) if refusal.kind == Kind::Fault(Fault::NoFolder) => {
                Err(Refusal::stale("its folder is not there"))
            }
            (answer, _) => answer,
        }
    }

    /// Whether the folder that it goes into is there.
    async fn has_folder(&self, wire: &Wire<'_>, path: &RelPath) -> Outcome<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { return Ok(()) };
        if self.folders.contain(&parent) {
            return Ok(());
        }
        Box::pin(self.look_for_folder(wire, path, &parent)).await
    }

    async fn look_for_folder(&self, wire: &Wire<'_>, path: &RelPath, parent: &RelPath) -> Outcome<()> {
        if self.find_folder(wire, parent).await?.is_some() {
            self.folders.remember(parent);
            return Ok(());
        }
        for above in path.ancestors() {
            if wire.head(&self.prefix.object(&above)).await?.is_some() {
                let cause = format!("{above} is a file there, and lies on the way to it");
                return Err(unfit(cause, "move that file away on the target"));
            }
            if self.find_folder(wire, &above).await?.is_some() {
                break;
            }
        }
        Err(Refusal::fault(Fault::NoFolder, "its folder is not there", "driftline makes its folder first"))
    }

    async fn make_folder(&self, wire: &Wire<'_>, step: &Step, meta: &Meta) -> Outcome<Placed> {
        let path = &step.path;
        match &step.guard {
            Guard::Unchanged(stamp) if is_folder(stamp) => return self.set_meta(wire, step, meta).await,
            Guard::Absent => {
                self.has_folder(wire, path).await?;
                // RACE: a file of this name that someone else put there since the bucket was seen to be empty: it and the folder
                // then both lie there, which a bucket permits. Nothing of theirs is touched.
                if !self.was_empty() && wire.head(&self.prefix.object(path)).await?.is_some() {
                    return Err(Refusal::stale("a file is there"));
                }
            }
            Guard::Unchanged(stamp) => {
                self.has_folder(wire, path).await?;
                let etag = self.confirmed(wire, path, stamp).await?;
                self.keep(wire, path, &etag, step.replaces).await?;
                self.delete(wire, &self.prefix.object(path), &etag).await?;
            }
        }
        let made = match self.put_marker(wire, path, meta, Some(&Condition::Absent)).await {
            Err(refusal) if refusal.kind == Kind::Precondition => self.mark_again(wire, path, meta).await?,
            made => made?,
        };
        self.folders.remember(path);
        Ok(folder_placed(meta, made))
    }

    async fn put_marker(
        &self,
        wire: &Wire<'_>,
        path: &RelPath,
        meta: &Meta,
        condition: Option<&Condition>,
    ) -> Outcome<Made> {
        let metadata = object::metadata(&Content::FOLDER, meta, None);
        let put = Put { key: self.prefix.folder(path), body: Bytes::new(), metadata };
        match condition {
            Some(condition) => self.put(wire, &put, condition).await,
            None => self.put_where(wire, &put, None).await,
        }
    }

    /// A folder that is there gets what it is to carry.
    async fn mark_again(&self, wire: &Wire<'_>, path: &RelPath, meta: &Meta) -> Outcome<Made> {
        match self.find_folder(wire, path).await? {
            None => Err(Refusal::stale("the folder is not there")),
            Some(Found::Marked(head)) if head.len > 0 => {
                Err(unfit("an object with bytes in it bears the folder's name", "move that object away on the target"))
            }
            Some(Found::Marked(head)) if head.folder().meta == *meta => {
                Ok(Made { etag: head.etag, version: head.version })
            }
            Some(Found::Marked(head)) => self.put_marker(wire, path, meta, Some(&Condition::Match(head.etag))).await,
            // RACE: a marker that someone else puts there meanwhile is replaced: it holds nothing.
            Some(Found::Implied | Found::Object(_)) => self.put_marker(wire, path, meta, None).await,
        }
    }

    /// Takes a folder away if nothing lies in it, not even somebody else's.
    ///
    /// RACE: what someone puts into it after the look stays, in a folder without a marker.
    async fn drop_folder(&self, wire: &Wire<'_>, path: &RelPath, occupied: Fault) -> Outcome<Made> {
        let key = self.prefix.folder(path);
        let inside = wire.list(&key, None, None, PAGE_MAX).await?.objects;
        // A marker with bytes in it is somebody's data.
        if inside.iter().any(|object| object.key != key || object.len > 0) {
            let hint = "move what lies in it away on the target, or leave it there";
            return Err(Refusal::fault(occupied, "the folder is not empty", hint));
        }
        self.folders.forget();
        match inside.first() {
            Some(marker) => self.delete(wire, &key, &marker.etag).await,
            None => Err(Refusal::stale("the folder is not there")),
        }
    }

    // ---- meta, names, removals ----

    async fn set_meta(&self, wire: &Wire<'_>, step: &Step, meta: &Meta) -> Outcome<Placed> {
        let Guard::Unchanged(stamp) = &step.guard else { return Err(Refusal::stale("nothing was there")) };
        if is_folder(stamp) {
            let made = self.mark_again(wire, &step.path, meta).await?;
            return Ok(folder_placed(meta, made));
        }
        let key = self.prefix.object(&step.path);
        let head = wire.head(&key).await?.filter(|head| head.stamp() == *stamp);
        let head = head.ok_or_else(|| Refusal::stale("it is not as it was"))?;
        let metadata = object::with_meta(head.metadata.clone(), meta);
        let made = self.carry(wire, &key, &head, metadata).await?;
        let stamp = match head.link() {
            Some(to) => link_stamp(&made.etag, Digest::of(&to)),
            None => file_stamp(&made.etag),
        };
        Ok(Placed { stamp: Some(stamp), meta: Some(*meta), version: made.version })
    }

    /// Copies an object onto itself, with other metadata.
    ///
    /// RACE: a put between the check of the source and the end of the copy is replaced by what was there before; where
    /// versions are kept it can be had back.
    async fn carry(&self, wire: &Wire<'_>, key: &str, head: &Head, metadata: HashMap<String, String>) -> Outcome<Made> {
        let (etag, len) = (head.etag.as_str(), head.len);
        let copy = Copy { from: key, etag, len, to: key, to_absent: false, metadata: Some(metadata) };
        self.copy(wire, &copy).await
    }

    async fn rename(&self, wire: &Wire<'_>, step: &Step, from: &RelPath) -> Outcome<Placed> {
        let Guard::Unchanged(stamp) = &step.guard else { return Err(Refusal::stale("nothing was there")) };
        if is_folder(stamp) {
            return Err(unfit("a bucket renames files, one by one", REPORT));
        }
        self.has_folder(wire, &step.path).await?;
        let (old, new) = (self.prefix.object(from), self.prefix.object(&step.path));
        let head = wire.head(&old).await?.filter(|head| head.stamp() == *stamp);
        let head = head.ok_or_else(|| Refusal::stale("it is not as it was"))?;
        if self.folders.contain(&step.path) {
            return Err(Refusal::stale("a folder is there"));
        }
        let (etag, len) = (head.etag.as_str(), head.len);
        let copy = Copy { from: &old, etag, len, to: &new, to_absent: true, metadata: None };
        let made = self.copy(wire, &copy).await?;
        // Both names are there for a moment. Killed now, the old one is removed as any other that the share has no more.
        self.delete(wire, &old, etag).await?;
        let stamp = match head.link() {
            Some(to) => link_stamp(&made.etag, Digest::of(&to)),
            None => file_stamp(&made.etag),
        };
        Ok(Placed { stamp: Some(stamp), meta: Some(head.seen().meta), version: made.version })
    }

    async fn remove(&self, wire: &Wire<'_>, step: &Step) -> Outcome<Placed> {
        let Guard::Unchanged(stamp) = &step.guard else { return Err(Refusal::stale("nothing was there")) };
        let made = if is_folder(stamp) {
            self.drop_folder(wire, &step.path, Fault::Occupied).await?
        } else {
            let etag = self.confirmed(wire, &step.path, stamp).await?;
            self.keep(wire, &step.path, &etag, step.replaces).await?;
            self.delete_if_there(wire, &self.prefix.object(&step.path), &etag).await?
        };
        Ok(Placed { stamp: None, meta: None, version: made.version })
    }
}

fn folder_placed(meta: &Meta, made: Made) -> Placed {
    Placed { stamp: Some(folder_stamp()), meta: Some(*meta), version: made.version }
}

fn unfit(cause: impl Into<String>, hint: &'static str) -> Refusal {
    Refusal::fault(Fault::Unfit, cause, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    fn step(at: &str, change: Change) -> Step {
        Step { path: path(at), change, guard: Guard::Absent, replaces: None }
    }

    #[test]
    fn only_what_touches_waits_for_each_other() {
        let move_from = |from: &str| Change::Move { from: path(from) };
        let meta = Meta::NOTHING;
        let steps = [
            (step("a", Change::MakeFolder { meta }), 0),
            (step("b", Change::Remove), 0),
            (step("a/b", Change::MakeFolder { meta }), 1),
            (step("a/x", Change::Remove), 1),
            (step("a/b/c", Change::Remove), 2),
            (step("z", move_from("a/x")), 2),
            (step("a/x", Change::Remove), 3),
            (step("q/r", Change::Remove), 0),
            (step("q", Change::Remove), 1),
            (step("ab", Change::Remove), 0),
        ];
        let (steps, wanted): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        assert_eq!(levels(&steps), wanted);
    }

    /// Many are under way at once, and each has all of its steps in it: unboxed, the rare ones make it ten times as large.
    #[test]
    fn a_change_under_way_takes_little_memory() {
        let target = crate::target::S3Target::new(crate::target::S3Setup::plain());
        let step = step("a", Change::Remove);
        let size = size_of_val(&target.inner.change(&step));
        assert!(size <= 8 << 10, "{size} bytes");
    }
}
