//! What must hold when the world has calmed down.

use std::collections::BTreeSet;

use driftline::engine::Event;
use driftline::index::{Index, LocalRow, Presence};
use driftline::model::{Content, Kind, RelPath, TargetId};
use driftline::plan::{Deletes, Drift, Hold};

use super::world::*;
use super::{Run, start};

impl Run {
    pub(super) fn check(&mut self) {
        assert!(self.core.is_idle(99), "seed {}: not idle though nothing is due: {:?}", self.seed, self.core);
        let mut index = self.index.take().unwrap();
        for id in [TargetId(1), TargetId(2)] {
            for at in self.world.local.keys() {
                self.check_copied(&mut index, id, at);
            }
            for at in self.world.targets[&id].now.keys() {
                self.check_not_left(id, at);
            }
            self.check_tallies(&mut index, id);
            self.check_durable(id);
            self.check_bases(&mut index, id);
        }
        self.check_takes(&mut index);
        self.index = Some(index);
    }

    pub(super) fn check_copied(&self, index: &mut Index, id: TargetId, at: &RelPath) {
        let local = &self.world.local[at];
        let there = &self.world.targets[&id].now;
        let theirs = there.get(at);
        let same_meta = |there: &There| {
            let idle = self.world.policy.drift == Drift::Take && local.content == Content::FOLDER;
            there.meta == local.meta || (idle && there.meta.mode == local.meta.mode)
        };
        if theirs.is_some_and(|there| there.content == local.content && same_meta(there)) {
            let open = index.open_row(id, at).unwrap();
            assert!(open.is_none(), "seed {} {id:?} {at}: copied, yet {open:?}", self.seed);
            return;
        }
        let open = index.open_row(id, at).unwrap();
        let hold = open.as_ref().and_then(|open| open.hold.as_ref()).map(|hold| hold.hold);
        let foreign = |other: &RelPath| {
            (*other == *at || near(other, at)) && there.get(other).is_some_and(|there| self.world.is_strange(there))
        };
        let foreign_near = there.keys().any(foreign);
        let retained_near = self.world.policy.deletes == Deletes::Retain && there.keys().any(|other| near(other, at));
        let with_above = at.ancestors().chain([at.clone()]).filter(|up| !up.is_root());
        let has_rival = with_above.into_iter().any(|up| self.world.targets[&id].rival(&up).is_some());
        let excused = match hold {
            Some(Hold::Refused) if has_rival => true,
            Some(Hold::Drifted | Hold::Refused) if self.world.policy.drift == Drift::Take => self.is_turned(id, at),
            Some(Hold::Drifted) => self.world.policy.drift == Drift::Keep && self.has_strangers() && foreign_near,
            Some(Hold::Refused) => (self.has_strangers() && foreign_near) || retained_near,
            Some(Hold::LocalTroubled | Hold::RemoteTroubled | Hold::Returned) | None => false,
        };
        if self.world.show {
            eprintln!("{id:?} {at} is held: {open:?}");
        }
        assert!(
            excused,
            "seed {} {:?} {id:?} {at}: on the share {local:?}, there {theirs:?}, open {open:?}",
            self.seed, self.world.policy
        );
    }

    pub(super) fn check_not_left(&self, id: TargetId, at: &RelPath) {
        if self.world.policy.drift == Drift::Take {
            return;
        }
        let there = &self.world.targets[&id].now;
        let foreign = |other: &RelPath| self.world.is_strange(&there[other]);
        // A folder is left for what is in it.
        let theirs = there.keys().any(|other| (at == other || at.is_above(other)) && foreign(other));
        let stray = !self.world.local.contains_key(at) && !theirs && self.world.policy.deletes == Deletes::Propagate;
        assert!(!stray, "seed {} {id:?}: ours left behind at {at}: {:?}", self.seed, there[at]);
    }

    /// A folder here and something else there, or the other way round: at this path or above it.
    fn is_turned(&self, id: TargetId, at: &RelPath) -> bool {
        let there = &self.world.targets[&id].now;
        at.ancestors().chain([at.clone()]).any(|at| match (self.world.local.get(&at), there.get(&at)) {
            (Some(here), Some(there)) => (here.content == Content::FOLDER) != (there.content == Content::FOLDER),
            _ => false,
        })
    }

    /// Two-way: both sides hold the same, and whatever others ever saved on a target is here, there, kept or in history.
    fn check_takes(&self, index: &mut Index) {
        if self.world.policy.drift != Drift::Take {
            return;
        }
        for (id, target) in &self.world.targets {
            for (at, there) in &target.now {
                let same = self.world.local.get(at).is_some_and(|node| node.content == there.content);
                let waits = self.is_turned(*id, at) || self.is_returned(index, *id, at);
                let open = index.open_row(*id, at).unwrap();
                assert!(same || waits, "seed {} {id:?}: {at} is not here: {there:?}; {open:?}", self.seed);
            }
        }
        for (id, target) in &self.world.targets {
            let inbox = index.conflicts_on(*id).unwrap();
            for (at, stamp, content) in &target.gave_way {
                let is_there = inbox.iter().any(|(path, what)| path == at && what.stamp == *stamp);
                assert!(
                    is_there,
                    "seed {} {id:?}: {content:?} gave way at {at}, and nobody is told: {inbox:?}",
                    self.seed
                );
            }
            for (at, what) in &inbox {
                let is_it = |content: &Content| {
                    let seen = what.theirs.digest.is_none_or(|digest| digest == content.digest);
                    seen && content.shape == what.theirs.shape
                };
                // Where it is not known whether ours was put, and others moved theirs away meanwhile, it lies there still; a
                // file that is moved has another stamp then.
                let moved = target.now.values().any(|there| there.stamp == what.stamp || is_it(&there.content));
                let lies = moved || target.history.iter().any(is_it);
                assert!(lies, "seed {} {id:?} {at}: in the inbox, and not in history: {what:?}", self.seed);
            }
        }
        for content in &self.world.returned {
            // Where nobody can know it any more it may come back; else it does not.
            let unknown = self.world.lost_index || self.world.orphans.contains(content);
            let here = self.world.local.values().any(|node| node.content == *content);
            assert!(unknown || !here, "seed {}: {content:?} was deleted, and is on the share again", self.seed);
        }
        for content in &self.world.foreign {
            let targets = &self.world.targets;
            let lies = targets.values().any(|target| {
                target.history.contains(content) || target.now.values().any(|there| there.content == *content)
            });
            let here = self.world.local.values().any(|node| node.content == *content);
            let kept = lies || here || self.world.kept.contains(content);
            assert!(kept, "seed {}: {content:?} was saved on a target and is lost", self.seed);
        }
    }

    /// An old copy of what the share deleted is held here; or in this folder, which stays for it.
    fn is_returned(&self, index: &mut Index, id: TargetId, at: &RelPath) -> bool {
        let there = &self.world.targets[&id].now[at];
        if there.content == Content::FOLDER {
            let below: Vec<_> =
                self.world.targets[&id].now.keys().filter(|other| at.is_above(other)).cloned().collect();
            return below.iter().any(|other| self.is_returned(index, id, other));
        }
        let open = index.open_row(id, at).unwrap();
        let is_held = open.and_then(|open| open.hold).is_some_and(|hold| hold.hold == Hold::Returned);
        let was_there = |target: &TargetWorld| target.past.iter().any(|past| past.0 == *at && past.1 == there.content);
        // What people removed here may have been moved away there before it could be removed.
        let was_left = self.world.left.contains(&(there.content, at.clone()));
        is_held && (was_left || self.world.targets.values().any(was_there))
    }

    /// Things may lie on a target that nobody knows to be ours.
    pub(super) fn has_strangers(&self) -> bool {
        self.world.outsiders || self.world.lost_index
    }

    /// Whatever was said to be durable still is, at its place or in history; and nothing lies about in staging.
    pub(super) fn check_durable(&self, id: TargetId) {
        let target = &self.world.targets[&id];
        for content in &target.durable {
            let there = target.history.contains(content) || target.now.values().any(|there| there.content == *content);
            assert!(there, "seed {} {id:?}: {content:?} was durable and is lost", self.seed);
        }
        assert!(target.staged.is_empty(), "seed {} {id:?}: left in staging: {:?}", self.seed, target.staged);
    }

    /// What the index believes of the target is so.
    pub(super) fn check_bases(&self, index: &mut Index, id: TargetId) {
        for at in NAMES.map(spellings).iter().flatten().flat_map(|at| at.ancestors().chain([at.clone()])) {
            let Some(base) = index.base(id, &at).unwrap() else { continue };
            if index.open_row(id, &at).unwrap().is_some() {
                continue;
            }
            let there = self.world.targets[&id].now.get(&at);
            let true_to_it = there.is_some_and(|there| there.stamp == base.stamp && there.content == base.content);
            assert!(true_to_it, "seed {} {id:?} {at}: believed {base:?}, there {there:?}", self.seed);
        }
    }

    /// With its index lost, and nothing else changed, the agent changes nothing.
    pub(super) fn check_index_loss(&mut self) {
        let files = |run: &Self| {
            let is_file = |node: &&Node| node.content != Content::FOLDER;
            run.world.local.values().filter(is_file).map(|node| node.content).collect::<Vec<_>>()
        };
        let here = files(self);
        let before: Vec<_> = self.world.targets.values().map(|target| (target.now.clone(), target.changes)).collect();
        let lost = self.index.take().unwrap();
        let mut index = self.lose_index(lost);
        self.core = start(&mut index, self.world.policy, self.nervous);
        self.index = Some(index);
        self.feed(vec![Event::Tick]);
        self.rest();
        let after: Vec<_> = self.world.targets.values().map(|target| (target.now.clone(), target.changes)).collect();
        assert_eq!(before, after, "seed {}: changed after the index was lost", self.seed);
        assert_eq!(here, files(self), "seed {}: an old delete came back after the index was lost", self.seed);
        self.check();
    }

    /// What the index has counted is what it holds.
    pub(super) fn check_tallies(&self, index: &mut Index, id: TargetId) {
        let tally = index.target_tally(id);
        let counted = index.recount(id).unwrap();
        assert_eq!(tally, counted, "seed {} {id:?}", self.seed);
        let rows = index.open_page(id, &Default::default(), false, 99).unwrap().0;
        let gone = index.open_page(id, &Default::default(), true, 99).unwrap().0;
        let core = &self.core;
        assert_eq!(
            tally.pending, 0,
            "seed {} {id:?}: {rows:?} wait, {gone:?} to go, nothing is due: {core:?}",
            self.seed
        );
        let is_there = self.world.local.iter().filter(|(_, node)| node.content.shape.kind == Kind::File);
        let is_there: BTreeSet<_> = is_there.map(|(at, _)| at.clone()).collect();
        let mut believed = BTreeSet::new();
        let folders: BTreeSet<_> = NAMES.iter().flat_map(|name| path(name).ancestors().collect::<Vec<_>>()).collect();
        for folder in folders.into_iter().chain([RelPath::root()]) {
            let mut see = |name: &[u8], row: &LocalRow| {
                if row.state != Presence::Absent && row.stat.shape.kind == Kind::File {
                    believed.insert(folder.join(name).unwrap());
                }
            };
            index.visit_folder(SHARE, &folder, &mut see).unwrap();
        }
        // Renames make more names than these: the count tells of them.
        assert!(is_there.is_superset(&believed), "seed {}: believed {believed:?}, there {is_there:?}", self.seed);
        assert_eq!(index.share_tally(SHARE).files, is_there.len() as i64, "seed {}", self.seed);
    }
}
