//! Where several agents work: what belongs to each, and who knows what.

use std::collections::{BTreeMap, BTreeSet};

use driftline::model::{Content, RelPath, Stamp, TargetId};
use driftline::target::{Step, Token};

use super::world::*;

/// What belongs to one agent alone. Of the one that is at hand it lies in the world itself.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) local: BTreeMap<RelPath, Node>,
    pub(super) pending: Vec<Pending>,
    pub(super) late: Vec<(TargetId, Vec<Step>)>,
    pub(super) echoes: Vec<RelPath>,
    pub(super) kept: BTreeSet<Content>,
    pub(super) brought: BTreeSet<Content>,
    pub(super) followed: BTreeSet<(TargetId, RelPath, Content)>,
    pub(super) skew: i64,
    pub(super) cut: BTreeSet<TargetId>,
    pub(super) staged: BTreeMap<TargetId, BTreeMap<Token, (Content, driftline::model::Meta)>>,
    pub(super) gave_way: BTreeMap<TargetId, Vec<(RelPath, Stamp, Content)>>,
}

impl World {
    /// Puts the site at hand away, and another one in its place.
    pub(super) fn exchange(&mut self, site: &mut Site) {
        use std::mem::swap;
        swap(&mut self.local, &mut site.local);
        swap(&mut self.pending, &mut site.pending);
        swap(&mut self.late, &mut site.late);
        swap(&mut self.echoes, &mut site.echoes);
        swap(&mut self.kept, &mut site.kept);
        swap(&mut self.brought, &mut site.brought);
        swap(&mut self.followed, &mut site.followed);
        swap(&mut self.skew, &mut site.skew);
        swap(&mut self.cut, &mut site.cut);
        for (id, target) in &mut self.targets {
            swap(&mut target.staged, site.staged.entry(*id).or_default());
            swap(&mut target.gave_way, site.gave_way.entry(*id).or_default());
        }
    }

    /// Files and links on the share at hand.
    pub(super) fn lies_here(&self) -> BTreeSet<Content> {
        contents(self.local.values().map(|node| node.content))
    }

    /// Files and links on the targets.
    pub(super) fn lies_there(&self) -> BTreeSet<Content> {
        contents(self.targets.values().flat_map(|target| target.now.values()).map(|there| there.content))
    }

    /// Somebody has worked on the share at hand: what is new there, and what is not wanted there any more.
    pub(super) fn learn_of_people(&mut self, before: &BTreeMap<RelPath, Node>) {
        if !self.several {
            return;
        }
        let (had, has) = (contents(before.values().map(|node| node.content)), self.lies_here());
        self.written.extend(has.difference(&had));
        self.brought.extend(has.difference(&had));
        self.outdated.extend(had.difference(&has));
        let stays = |at: &RelPath, content| self.local.get(at).is_some_and(|node| node.content == content);
        let left = before.iter().filter(|(at, node)| !stays(at, node.content));
        self.left.extend(left.map(|(at, node)| (node.content, at.clone())));
        self.note_places();
    }

    /// Where what lies on the share at hand and on the targets has ever lain.
    pub(super) fn note_places(&mut self) {
        let here = self.local.iter().map(|(at, node)| (at, node.content));
        let there = self.targets.values().flat_map(|target| &target.now).map(|(at, there)| (at, there.content));
        for (at, content) in here.chain(there).filter(|(_, content)| *content != Content::FOLDER) {
            let places = self.places.entry(content).or_default();
            if !places.contains(at) {
                places.insert(at.clone());
            }
        }
    }

    /// People took it from wherever it lay: also one copy here and the other one elsewhere.
    pub(super) fn is_given_up(&self, content: &Content) -> bool {
        let is_left = |at: &RelPath| self.left.contains(&(*content, at.clone()));
        self.outdated.contains(content) || self.places.get(content).is_some_and(|places| places.iter().all(is_left))
    }
}

pub(super) fn contents(all: impl Iterator<Item = Content>) -> BTreeSet<Content> {
    all.filter(|content| *content != Content::FOLDER).collect()
}
