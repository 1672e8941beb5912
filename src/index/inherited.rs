//! Two-way: what we left on a target before what the share has came to be at its path.
//!
//! A folder was renamed there with all that we had left in it, or a file of the share was away for a while and is back, so that
//! nothing had to be done there. Others, who had only seen it go, may have removed it meanwhile: until it has been seen there
//! again, that it is gone is no removal to be followed.

use rusqlite::params;

use crate::index::{Index, Result};
use crate::model::{RelPath, TargetId};

impl Index {
    /// True if what we left at a path is older than what the share has there, and was not seen there since.
    pub fn is_inherited(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        if !self.inherits.contains(&target) {
            return Ok(false);
        }
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(false) };
        let sql = "SELECT 1 FROM base WHERE target = ? AND folder = ? AND name = ? AND inherited";
        Ok(self.db.prepare_cached(sql)?.exists(params![target.0, folder, path.name()])?)
    }

    /// What we left at a path was seen there.
    pub fn seen_as_left(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        if !self.inherits.contains(&target) {
            return Ok(());
        }
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(()) };
        let sql = "UPDATE base SET inherited = NULL WHERE target = ? AND folder = ? AND name = ? AND inherited";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, path.name()])?;
        Ok(())
    }

    /// Something came to be on the share where we had left something.
    pub(super) fn inherit(&mut self, target: TargetId, folder: i64, name: &[u8]) -> Result<()> {
        if !self.taking.contains(&target) {
            return Ok(());
        }
        let sql = "UPDATE base SET inherited = 1 WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, name])?;
        self.inherits.insert(target);
        Ok(())
    }

    /// Others put again on `target` what was left there: on the share's other targets it may be gone by what they did before that.
    pub fn inherit_elsewhere(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(()) };
        for other in self.others(target) {
            self.inherit(other, folder, path.name())?;
        }
        Ok(())
    }

    /// The share followed a removal that was older than what others put on its other targets: what lies there is news.
    pub fn disown_elsewhere(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        for other in self.others(target) {
            if self.taking.contains(&other) && self.base(other, path)?.is_some() {
                self.drop_base(other, path)?;
                self.doubt(other, path)?;
            }
        }
        Ok(())
    }

    fn others(&self, target: TargetId) -> Vec<TargetId> {
        let all = self.active.get(&self.share_of(target)).into_iter().flatten();
        all.copied().filter(|other| *other != target).collect()
    }

    /// All of the target has been seen: if nothing is left to be, no more questions are asked.
    pub fn forget_inheritance(&mut self, target: TargetId) -> Result<()> {
        if self.inherits.contains(&target) && !self.has_inherited(target)? {
            self.inherits.remove(&target);
        }
        Ok(())
    }

    fn has_inherited(&self, target: TargetId) -> Result<bool> {
        let sql = "SELECT 1 FROM base INDEXED BY base_inherited WHERE target = ? AND inherited LIMIT 1";
        Ok(self.db.prepare_cached(sql)?.exists([target.0])?)
    }

    /// On which targets anything is older than what the share has.
    pub(super) fn load_inherits(&mut self) -> Result<()> {
        self.inherits.clear();
        for target in self.targets.keys().copied().collect::<Vec<_>>() {
            if self.has_inherited(target)? {
                self.inherits.insert(target);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{LocalRow, Presence};
    use crate::model::{Content, Digest, Meta, ShareId, Stamp, Stat, Wall};
    use crate::plan::Base;

    struct Fixture {
        index: Index,
        share: ShareId,
        one: TargetId,
        other: TargetId,
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a path")
    }

    fn file() -> Content {
        Content::file(Digest([1; 32]), 1)
    }

    fn base(stamp: &str) -> Base {
        Base { content: file(), meta: Meta::NOTHING, stamp: Stamp(stamp.as_bytes().into()) }
    }

    /// Two targets from which changes are taken, with a file in a folder on both.
    fn fixture() -> Fixture {
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("a share").id;
        let [one, other] = ["a", "b"].map(|name| index.register_target(share, name, "/t").expect("a target").id);
        index.begin(Wall(1)).expect("a turn");
        for target in [one, other] {
            index.take_changes(target, true);
            index.put_base(target, &path("d/f"), &base("s")).expect("written");
        }
        Fixture { index, share, one, other }
    }

    impl Fixture {
        fn inherited(&mut self, name: &str) -> [bool; 2] {
            [self.one, self.other].map(|target| self.index.is_inherited(target, &path(name)).expect("read"))
        }

        fn local(&mut self, state: Presence) {
            let Content { shape, digest } = file();
            let stat = Stat { shape, ino: 1, ctime: Wall(1), meta: Meta::NOTHING, nlink: 1, mounted: false };
            let row = LocalRow { state, ..LocalRow::fresh(stat, Some(digest), self.index.run()) };
            self.index.put_local(self.share, &path("d/f"), &row).expect("written");
        }
    }

    #[test]
    fn what_is_renamed_with_its_folder_is_inherited_until_it_is_seen_there() {
        let mut f = fixture();
        f.index.move_base_subtree(f.one, &path("d"), &path("e")).expect("moved");
        assert_eq!((f.inherited("e/f"), f.inherited("d/f")), ([true, false], [false, false]));
        // Only what is carried with it is known better.
        f.index.put_base(f.one, &path("e/f"), &base("s")).expect("written");
        assert_eq!(f.inherited("e/f"), [true, false]);
        f.index.commit().expect("durable");
        f.index.rollback().expect("read again");
        assert_eq!(f.inherited("e/f"), [true, false], "another run knows it");
        f.index.forget_inheritance(f.one).expect("read");
        assert_eq!(f.inherited("e/f"), [true, false], "the listing did not show it");
        f.index.seen_as_left(f.one, &path("e/f")).expect("written");
        f.index.forget_inheritance(f.one).expect("read");
        assert_eq!(f.inherited("e/f"), [false, false]);
    }

    #[test]
    fn what_was_away_and_is_back_is_inherited_until_it_is_put_anew() {
        let mut f = fixture();
        f.local(Presence::Present);
        f.index.seen_as_left(f.one, &path("d/f")).expect("written");
        f.index.seen_as_left(f.other, &path("d/f")).expect("written");
        f.local(Presence::Present);
        assert_eq!(f.inherited("d/f"), [false, false], "it was there all the time");
        f.local(Presence::Troubled);
        f.local(Presence::Present);
        assert_eq!(f.inherited("d/f"), [false, false], "it was not seen to be away");
        f.local(Presence::Absent);
        f.local(Presence::Present);
        assert_eq!(f.inherited("d/f"), [true, true]);
        f.index.put_base(f.one, &path("d/f"), &base("t")).expect("written");
        assert_eq!(f.inherited("d/f"), [false, true]);
    }

    #[test]
    fn what_others_put_again_on_one_target_is_older_on_the_others() {
        let mut f = fixture();
        f.index.inherit_elsewhere(f.one, &path("d/f")).expect("written");
        assert_eq!(f.inherited("d/f"), [false, true]);
        f.index.disown_elsewhere(f.other, &path("d/f")).expect("written");
        assert_eq!(f.index.base(f.one, &path("d/f")).expect("read"), None);
        assert!(f.index.open_row(f.one, &path("d/f")).expect("read").is_some_and(|open| open.doubt), "it is looked at");
        assert!(f.index.base(f.other, &path("d/f")).expect("read").is_some());
    }

    #[test]
    fn one_way_nothing_is_remembered() {
        let mut f = fixture();
        f.index.take_changes(f.one, false);
        f.index.move_base_subtree(f.one, &path("d"), &path("e")).expect("moved");
        f.local(Presence::Present);
        assert_eq!((f.inherited("e/f"), f.inherited("d/f")), ([false, false], [false, true]));
    }
}
