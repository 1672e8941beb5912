//! Who works on the share, and who on a target behind the agent's back.

use std::collections::BTreeMap;

use driftline::model::{Content, Digest, RelPath, TargetId};
use driftline::plan::Drift;

use super::sites::contents;
use super::world::*;

impl World {
    pub(super) fn write_local(&mut self, at: RelPath, content: Content, touched: &mut Vec<RelPath>) {
        for folder in at.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.local.get(&folder).is_none_or(|node| node.content != Content::FOLDER) {
                self.write_local(folder, Content::FOLDER, touched);
            }
        }
        let same_kind = self
            .local
            .get(&at)
            .filter(|node| node.content.shape.kind == content.shape.kind && content != Content::FOLDER);
        let keep_ino = same_kind.map(|node| node.ino);
        let ino = match keep_ino {
            Some(ino) if self.dice.one_in(2) => ino,
            _ => self.serial(),
        };
        let (meta, ctime) = (self.meta(), self.wall());
        self.bump_parent(&at, touched);
        self.local.insert(at.clone(), Node { content, meta, ino, ctime });
        touched.push(at);
    }

    pub(super) fn bump_parent(&mut self, at: &RelPath, touched: &mut Vec<RelPath>) {
        let now = self.wall();
        if let Some(node) = at.parent().and_then(|parent| self.local.get_mut(&parent)) {
            (node.meta.mtime, node.ctime) = (now, now);
            touched.push(at.parent().unwrap());
        }
    }

    pub(super) fn remove_local(&mut self, at: &RelPath, touched: &mut Vec<RelPath>) {
        if self.local.remove(at).is_some() {
            self.local.retain(|other, _| !at.is_above(other));
            self.bump_parent(at, touched);
            touched.push(at.clone());
        }
    }

    pub(super) fn rename_local(&mut self, from: &RelPath, to: &RelPath, touched: &mut Vec<RelPath>) {
        if near(from, to) || from == to || !self.local.contains_key(from) {
            return;
        }
        let fits = to
            .parent()
            .is_none_or(|up| up.is_root() || self.local.get(&up).is_some_and(|node| node.content == Content::FOLDER));
        if !fits {
            return;
        }
        self.remove_local(to, touched);
        let now = self.wall();
        let moving: Vec<_> = self
            .local
            .iter()
            .filter(|(at, _)| *at == from || from.is_above(at))
            .map(|(at, node)| (at.clone(), node.clone()))
            .collect();
        for (at, mut node) in moving {
            self.local.remove(&at);
            if at == *from {
                node.ctime = now;
            }
            self.local.insert(at.rebased(from, to).unwrap(), node);
        }
        self.bump_parent(from, touched);
        self.bump_parent(to, touched);
        touched.extend([from.clone(), to.clone()]);
    }

    /// Somebody works on the share.
    pub(super) fn user(&mut self) -> Vec<RelPath> {
        let before = if self.several { self.local.clone() } else { BTreeMap::new() };
        let touched = self.work();
        self.learn_of_people(&before);
        touched
    }

    fn work(&mut self) -> Vec<RelPath> {
        let mut touched = Vec::new();
        let at = self.some_path();
        match self.dice.below(12) {
            0..=2 => self.remove_local(&at, &mut touched),
            3 | 4 => {
                let to = self.some_path();
                self.rename_local(&at, &to, &mut touched);
            }
            5 => {
                let now = self.wall();
                if let Some(node) = self.local.get_mut(&at) {
                    node.meta.mode ^= 0o111;
                    node.ctime = now;
                    touched.push(at);
                }
            }
            6 => {
                if !self.local.contains_key(&at) {
                    self.write_local(at, Content::FOLDER, &mut touched);
                }
            }
            7 => {
                // The Office save dance: delete and create of one name.
                self.remove_local(&at, &mut touched);
                let content = self.fresh_file();
                self.write_local(at, content, &mut touched);
            }
            8 => {
                let to = self.serial().to_le_bytes();
                let content = Content::symlink(Digest::of(&to), 8);
                self.remove_local(&at, &mut touched);
                self.links.insert(content, to.into());
                self.write_local(at, content, &mut touched);
            }
            _ => {
                if self.local.get(&at).is_some_and(|node| node.content == Content::FOLDER) {
                    self.remove_local(&at, &mut touched);
                }
                let content = self.fresh_file();
                self.write_local(at, content, &mut touched);
            }
        }
        touched
    }

    /// Somebody puts an old copy of what the share deleted on a target again.
    fn put_back(&mut self, id: TargetId) {
        let target = &self.targets[&id];
        let is_folder = |up: &RelPath| target.now.get(up).is_some_and(|there| there.content == Content::FOLDER);
        let lies = |content: &Content| {
            let there = self.targets.values().flat_map(|target| target.now.values());
            self.local.values().any(|node| node.content == *content)
                || self.elsewhere.contains(content)
                || there.into_iter().any(|there| there.content == *content)
        };
        let old = target.past.iter().filter(|(at, content, _, removed)| {
            let fits = !target.now.contains_key(at)
                && target.rival(at).is_none()
                && at.ancestors().all(|up| up.is_root() || is_folder(&up));
            *removed && fits && !lies(content) && !self.followed.contains(&(id, at.clone(), *content))
        });
        let old: Vec<_> = old.map(|(at, content, ..)| (at.clone(), *content)).collect();
        if old.is_empty() {
            return;
        }
        let (at, content) = old[self.dice.below(old.len())].clone();
        let there = There { content, meta: self.meta(), stamp: stamp(self.serial()) };
        if !self.several {
            self.returned.insert(content);
        }
        self.targets.get_mut(&id).unwrap().now.insert(at, there);
    }

    /// Somebody works on a target.
    pub(super) fn outsider(&mut self) {
        let lies_on_each = |world: &Self| {
            let each = world.targets.values().map(|target| contents(target.now.values().map(|there| there.content)));
            each.collect::<Vec<_>>()
        };
        let before = lies_on_each(self);
        self.work_there();
        for (before, now) in before.iter().zip(lies_on_each(self)) {
            self.outdated.extend(before.difference(&now));
        }
    }

    fn work_there(&mut self) {
        let id = TargetId(1 + self.dice.below(2) as i64);
        if self.policy.drift == Drift::Take && self.dice.one_in(3) {
            return self.put_back(id);
        }
        let at = self.some_path();
        let content = if self.dice.one_in(4) { Content::FOLDER } else { self.fresh_file() };
        let (meta, serial, remove) = (self.meta(), self.serial(), self.dice.one_in(3));
        let target = self.targets.get_mut(&id).unwrap();
        if remove {
            if let Some(there) = target.now.remove(&at) {
                target.history.insert(there.content);
                let below: Vec<_> = target.now.keys().filter(|other| at.is_above(other)).cloned().collect();
                for other in below {
                    target.history.insert(target.now.remove(&other).unwrap().content);
                }
            }
            return;
        }
        let has_parents =
            at.ancestors().all(|up| target.now.get(&up).is_some_and(|there| there.content == Content::FOLDER));
        let is_folder = target.now.get(&at).is_some_and(|there| there.content == Content::FOLDER);
        if has_parents && !is_folder && target.rival(&at).is_none() {
            if let Some(old) = target.now.get(&at) {
                target.history.insert(old.content);
            }
            if content == Content::FOLDER {
                self.strange_folders.insert(stamp(serial));
            } else {
                self.foreign.insert(content);
            }
            target.now.insert(at, There { content, meta, stamp: stamp(serial) });
        }
    }
}
