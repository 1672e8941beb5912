//! Changes of a target: made, refused, made without an answer, or made when nobody waits for it any more.

use std::collections::BTreeSet;
use std::time::Duration;

use driftline::engine::{Event, Failure};
use driftline::model::{Content, Meta, RelPath, TargetId};
use driftline::plan::{Drift, Guard};
use driftline::target::{Change, Fault, Placed, Step};

use super::world::*;

impl World {
    pub(super) fn answer_apply(&mut self, target: TargetId, steps: Vec<Step>, dead: bool) -> Event {
        if self.cut.contains(&target) {
            let failure = failure(Fault::Unreachable);
            return Event::Applied(target, steps.into_iter().map(|step| (step, Err(failure.clone()))).collect());
        }
        let fate = if dead { self.dice.below(if self.outsiders { 3 } else { 2 }) } else { 3 };
        let lost = |steps: Vec<Step>| {
            Event::Applied(target, steps.into_iter().map(|step| (step, Err(failure(Fault::Unreachable)))).collect())
        };
        match fate {
            0 => {
                let failure = self.failure_or_refusal();
                Event::Applied(target, steps.into_iter().map(|step| (step, Err(failure.clone()))).collect())
            }
            1 => {
                steps.iter().for_each(|step| drop(self.apply(target, step)));
                lost(steps)
            }
            2 => {
                self.late.push((target, steps.clone()));
                lost(steps)
            }
            _ => {
                let answers = steps.into_iter().map(|step| {
                    let result = self.apply(target, &step).map_err(failure);
                    self.acknowledge(target, &step, &result);
                    (step, result)
                });
                Event::Applied(target, answers.collect())
            }
        }
    }

    pub(super) fn acknowledge(&mut self, target: TargetId, step: &Step, result: &Result<Placed, Failure>) {
        if result.is_err() {
            return;
        }
        let target = self.targets.get_mut(&target).unwrap();
        target.changes += 1;
        if let Change::Publish { content, .. } | Change::Link { content, .. } = &step.change {
            target.durable.insert(*content);
        }
    }

    /// Nothing was changed, and nothing can be for a while.
    pub(super) fn failure(&mut self) -> Failure {
        let throttled = Fault::Throttled(Some(Duration::from_secs(2)));
        failure([Fault::Unreachable, Fault::Unreachable, Fault::Offline, Fault::Full, throttled][self.dice.below(5)])
    }

    /// The same, or a refusal that only an audit heals.
    pub(super) fn failure_or_refusal(&mut self) -> Failure {
        if self.outsiders && self.dice.one_in(3) { failure(Fault::Denied) } else { self.failure() }
    }

    pub(super) fn apply_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.dice.below(self.late.len());
            let (target, steps) = self.late.swap_remove(at);
            for step in &steps {
                self.orphans.extend(put_by(step));
                let result = self.apply(target, step);
                match (&step.change, result) {
                    (Change::MakeFolder { .. }, Ok(placed)) => self.strange_folders.extend(placed.stamp),
                    (Change::Move { .. }, Ok(_)) => self.orphan_below(target, &step.path),
                    _ => {}
                }
            }
        }
    }

    /// What a late rename of a folder carried along: its old place was found empty, and let go.
    pub(super) fn orphan_below(&mut self, target: TargetId, at: &RelPath) {
        for (_, there) in self.targets[&target].now.iter().filter(|(other, _)| at.is_above(other)) {
            if there.content == Content::FOLDER {
                self.strange_folders.insert(there.stamp.clone());
            } else {
                self.orphans.insert(there.content);
            }
        }
    }

    pub(super) fn apply(&mut self, id: TargetId, step: &Step) -> Result<Placed, Fault> {
        let serial = self.serial();
        // The times in a bucket's history are its own.
        let now = if id == BUCKET { self.true_wall() } else { self.wall() };
        let (policy, foreign) = (self.policy, self.foreign.clone());
        let others = foreign.union(&self.written);
        let news: BTreeSet<_> = others.filter(|content| !self.brought.contains(content)).copied().collect();
        let is_forgotten = put_by(step).is_some_and(|content| self.forgotten.contains(&content));
        let target = self.targets.get_mut(&id).unwrap();
        let at = &step.path;
        let guarded = if let Change::Move { from } = &step.change { from } else { at };
        let there = target.now.get(guarded).cloned();
        let makes_folder_again = matches!((&step.change, &there), (Change::MakeFolder { .. }, Some(there)) if there.content == Content::FOLDER);
        match (&step.guard, &there) {
            (Guard::Absent, None) => {}
            (Guard::Absent, Some(_)) if makes_folder_again => {}
            (Guard::Unchanged(stamp), Some(there)) if *stamp == there.stamp => {}
            _ => return Err(Fault::Stale),
        }
        if let Some(there) = there.as_ref().filter(|there| foreign.contains(&there.content)) {
            assert!(policy.drift != Drift::Keep, "a foreign file was touched at {at}: {there:?} by {step:?}");
        }
        if at.ancestors().any(|up| target.now.get(&up).is_some_and(|there| there.content != Content::FOLDER)) {
            return Err(Fault::Unfit);
        }
        let makes = matches!(
            step.change,
            Change::Publish { .. } | Change::Link { .. } | Change::MakeFolder { .. } | Change::Move { .. }
        );
        if makes && at.ancestors().any(|up| !target.now.contains_key(&up)) {
            return Err(Fault::NoFolder);
        }
        if makes && target.rival(at).is_some_and(|rival| rival != guarded) {
            return Err(Fault::Unfit);
        }
        let put = |target: &mut TargetWorld, content: Content, meta: Meta| {
            let holds_more = there.as_ref().is_some_and(|there| there.content == Content::FOLDER)
                && content != Content::FOLDER
                && target.now.keys().any(|other| at.is_above(other));
            if holds_more {
                return Err(Fault::Unfit);
            }
            let kept = there.as_ref().filter(|there| there.content == Content::FOLDER && content == Content::FOLDER);
            let stamp = kept.map_or_else(|| stamp(serial), |there| there.stamp.clone());
            if let Some(old) = &there {
                target.keep(at, old.content, now, false);
                let is_news = policy.drift == Drift::Take && news.contains(&old.content) && !is_forgotten;
                target.gave_way.extend(is_news.then(|| (at.clone(), old.stamp.clone(), old.content)));
            }
            target.now.insert(at.clone(), There { content, meta, stamp: stamp.clone() });
            Ok(Placed { stamp: Some(stamp), meta: Some(meta), ..Placed::default() })
        };
        match &step.change {
            Change::Publish { token, content, meta } => {
                let (held, _) = target.staged.remove(token).ok_or(Fault::Unstaged)?;
                assert_eq!(held, *content, "what was staged is what is published");
                put(target, *content, *meta)
            }
            Change::Link { content, meta, .. } => put(target, *content, *meta),
            Change::MakeFolder { meta } => put(target, Content::FOLDER, *meta),
            Change::SetMeta { meta } => {
                let mut there = there.ok_or(Fault::Stale)?;
                if there.content != Content::FOLDER {
                    there.stamp = stamp(serial);
                }
                there.meta = *meta;
                target.now.insert(at.clone(), there.clone());
                Ok(Placed { stamp: Some(there.stamp), meta: Some(*meta), ..Placed::default() })
            }
            Change::Move { from } => {
                if target.now.contains_key(at) {
                    return Err(Fault::Stale);
                }
                let mut there = target.now.remove(from).ok_or(Fault::Stale)?;
                if there.content == Content::FOLDER {
                    let below: Vec<_> = target.now.keys().filter(|other| from.is_above(other)).cloned().collect();
                    for other in below {
                        let node = target.now.remove(&other).unwrap();
                        // An old copy that is carried along lies under a name that the share never deleted.
                        self.returned.remove(&node.content);
                        target.now.insert(other.rebased(from, at).unwrap(), node);
                    }
                } else {
                    there.stamp = stamp(serial);
                }
                let stamp = there.stamp.clone();
                target.now.insert(at.clone(), there);
                Ok(Placed { stamp: Some(stamp), meta: None, ..Placed::default() })
            }
            Change::Remove => {
                let holds: Vec<_> = target.now.iter().filter(|(other, _)| at.is_above(other)).collect();
                if !holds.is_empty() {
                    // It is left to whoever put something into it, for good: also once that is gone.
                    let strange = |there: &There| {
                        self.strange_folders.contains(&there.stamp)
                            || foreign.contains(&there.content)
                            || self.orphans.contains(&there.content)
                    };
                    if holds.iter().any(|(_, there)| strange(there)) {
                        self.strange_folders.extend(there.map(|there| there.stamp));
                    }
                    return Err(Fault::Occupied);
                }
                let old = target.now.remove(at).ok_or(Fault::Stale)?;
                target.keep(at, old.content, now, true);
                Ok(Placed { stamp: None, meta: None, ..Placed::default() })
            }
        }
    }
}

/// The file or link that a step puts.
pub(super) fn put_by(step: &Step) -> Option<Content> {
    match &step.change {
        Change::Publish { content, .. } | Change::Link { content, .. } => Some(*content),
        Change::MakeFolder { .. } | Change::SetMeta { .. } | Change::Move { .. } | Change::Remove => None,
    }
}
