//! Two-way: what we left on a target before what the share has came to be at its path.
//!
//! A folder was renamed there with all that we had left in it, or a file of the share was away for a while and is back, so that
//! nothing had to be done there. Others, who had only seen it go, may have removed it meanwhile: until it has been seen there
//! again, that it is gone is no removal to be followed. And of a file that is back, others may be about to remove what is left of
//! it: it is *claimed* by a change of its stamp, so that their guards refuse that.

use rusqlite::{OptionalExtension, params};

use crate::index::{Index, Result, row};
use crate::model::{Kind, RelPath, ShareId, TargetId};
use crate::plan::Title;

impl Index {
    /// How what we left at a path stands to what the share has there.
    pub fn title(&mut self, target: TargetId, path: &RelPath) -> Result<Title> {
        if !self.inherits.contains(&target) {
            return Ok(Title::Clear);
        }
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(Title::Clear) };
        let sql = "SELECT inherited FROM base WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_row(params![target.0, folder, path.name()], |found| found.get(0)).optional()?;
        Ok(row::title(found.flatten()))
    }

    /// What we left at a path was seen there: it is known to be no older, unless it has to be claimed.
    pub fn seen_as_left(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        if !self.inherits.contains(&target) {
            return Ok(());
        }
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(()) };
        let sql = "UPDATE base SET inherited = NULL WHERE target = ? AND folder = ? AND name = ? AND inherited = 1";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, path.name()])?;
        Ok(())
    }

    /// Something came to be on the share where we had left something. With one target nobody can carry a removal from it to
    /// another, and of an object nothing can be set that would change its stamp.
    pub(super) fn inherit_back(&mut self, target: TargetId, folder: i64, name: &[u8]) -> Result<Title> {
        if !self.taking.contains(&target) {
            return Ok(Title::Clear);
        }
        let title = self.title_of_what_is_back(target);
        self.inherit(target, folder, name, title)?;
        Ok(title)
    }

    /// The same of all in a folder that was renamed on the share.
    pub(super) fn inherit_all_back(&mut self, share: ShareId, folder: i64) -> Result<()> {
        let takes = |target: &TargetId| self.taking.contains(target);
        let targets: Vec<_> = self.active.get(&share).into_iter().flatten().copied().filter(takes).collect();
        for target in targets {
            let sql = "UPDATE base SET inherited = max(ifnull(inherited, 0), ?1) WHERE target = ?2 AND folder = ?3 AND kind <> ?4
                       AND EXISTS (SELECT 1 FROM local l WHERE l.folder = ?3 AND l.name = base.name AND l.state <> 0)";
            let code = row::title_code(self.title_of_what_is_back(target));
            let key = params![code, target.0, folder, row::kind_code(Kind::Folder)];
            if self.db.prepare_cached(sql)?.execute(key)? > 0 {
                self.inherits.insert(target);
            }
        }
        Ok(())
    }

    fn title_of_what_is_back(&self, target: TargetId) -> Title {
        let alone = self.others(target).is_empty() || self.piecemeal.contains(&target);
        if alone { Title::Inherited } else { Title::Unclaimed }
    }

    /// What others left there is what the share has again after it had deleted it: it has to be claimed.
    pub fn leave_unclaimed(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let folder = self.made_key(self.share_of(target), path)?;
        self.inherit_back(target, folder, path.name()).map(|_| ())
    }

    fn inherit(&mut self, target: TargetId, folder: i64, name: &[u8], title: Title) -> Result<()> {
        if !self.taking.contains(&target) {
            return Ok(());
        }
        let sql =
            "UPDATE base SET inherited = max(ifnull(inherited, 0), ?) WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![row::title_code(title), target.0, folder, name])?;
        self.inherits.insert(target);
        Ok(())
    }

    /// Others put again on `target` what was left there: on the share's other targets it may be gone by what they did before that.
    pub fn inherit_elsewhere(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(()) };
        for other in self.others(target) {
            self.inherit(other, folder, path.name(), Title::Inherited)?;
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
    use crate::model::{Content, Digest, Meta, Stamp, Stat, Wall};
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
        fn titles(&mut self, name: &str) -> [Title; 2] {
            [self.one, self.other].map(|target| self.index.title(target, &path(name)).expect("read"))
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
        assert_eq!((f.titles("e/f"), f.titles("d/f")), ([Title::Inherited, Title::Clear], [Title::Clear; 2]));
        // Only what is carried with it is known better.
        f.index.put_base(f.one, &path("e/f"), &base("s")).expect("written");
        assert_eq!(f.titles("e/f"), [Title::Inherited, Title::Clear]);
        f.index.commit().expect("durable");
        f.index.rollback().expect("read again");
        assert_eq!(f.titles("e/f"), [Title::Inherited, Title::Clear], "another run knows it");
        f.index.forget_inheritance(f.one).expect("read");
        assert_eq!(f.titles("e/f"), [Title::Inherited, Title::Clear], "the listing did not show it");
        f.index.seen_as_left(f.one, &path("e/f")).expect("written");
        f.index.forget_inheritance(f.one).expect("read");
        assert_eq!(f.titles("e/f"), [Title::Clear; 2]);
    }

    #[test]
    fn what_gives_way_to_what_is_renamed_with_its_folder_is_counted_no_more() {
        let mut f = fixture();
        f.index.put_base(f.one, &path("e/f"), &base("other")).expect("written");
        f.index.move_base_subtree(f.one, &path("d"), &path("e")).expect("moved");
        assert_eq!(f.index.target_tally(f.one), f.index.recount(f.one).expect("counted"));
        assert_eq!(f.index.target_tally(f.one).items, 1);
    }

    #[test]
    fn what_was_away_and_is_back_is_inherited_until_it_is_put_anew() {
        let mut f = fixture();
        f.local(Presence::Present);
        for target in [f.one, f.other] {
            f.index.put_base(target, &path("d/f"), &base("claimed")).expect("written");
            f.index.close(target, &path("d/f")).expect("written");
        }
        f.local(Presence::Present);
        assert_eq!(f.titles("d/f"), [Title::Clear; 2], "it was there all the time");
        f.local(Presence::Troubled);
        f.local(Presence::Present);
        assert_eq!(f.titles("d/f"), [Title::Clear; 2], "it was not seen to be away");
        f.local(Presence::Absent);
        f.local(Presence::Present);
        assert_eq!(f.titles("d/f"), [Title::Unclaimed; 2]);
        assert!(f.index.open_row(f.one, &path("d/f")).expect("read").is_some(), "it has to be claimed");
        f.index.close(f.one, &path("d/f")).expect("written");
        f.index.compare_subtree(f.one, &RelPath::root()).expect("compared");
        assert!(f.index.open_row(f.one, &path("d/f")).expect("read").is_some(), "and that can be found again");
        f.index.seen_as_left(f.one, &path("d/f")).expect("written");
        assert_eq!(f.titles("d/f"), [Title::Unclaimed; 2], "to be seen is not to be claimed");
        f.index.put_base(f.one, &path("d/f"), &base("t")).expect("written");
        assert_eq!(f.titles("d/f"), [Title::Clear, Title::Unclaimed]);
    }

    #[test]
    fn a_folder_that_is_moved_away_and_back_brings_back_what_is_in_it() {
        let mut f = fixture();
        f.local(Presence::Present);
        for target in [f.one, f.other] {
            f.index.put_base(target, &path("d/f"), &base("claimed")).expect("written");
        }
        f.index.move_local_subtree(f.share, &path("d"), &path("e")).expect("moved");
        assert_eq!(f.titles("d/f"), [Title::Clear; 2]);
        f.index.move_local_subtree(f.share, &path("e"), &path("d")).expect("moved");
        assert_eq!(f.titles("d/f"), [Title::Unclaimed; 2]);
    }

    #[test]
    fn an_object_and_what_lies_on_one_target_alone_need_not_be_claimed() {
        let mut f = fixture();
        f.index.rename_piecemeal(f.one);
        f.local(Presence::Present);
        assert_eq!(f.titles("d/f"), [Title::Inherited, Title::Unclaimed]);
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("a share").id;
        let one = index.register_target(share, "a", "/t").expect("a target").id;
        index.begin(Wall(1)).expect("a turn");
        index.take_changes(one, true);
        index.put_base(one, &path("d/f"), &base("s")).expect("written");
        let mut alone = Fixture { index, share, one, other: one };
        alone.local(Presence::Present);
        assert_eq!(alone.titles("d/f"), [Title::Inherited; 2]);
    }

    #[test]
    fn what_others_put_again_on_one_target_is_older_on_the_others() {
        let mut f = fixture();
        f.index.inherit_elsewhere(f.one, &path("d/f")).expect("written");
        assert_eq!(f.titles("d/f"), [Title::Clear, Title::Inherited]);
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
        assert_eq!((f.titles("e/f"), f.titles("d/f")), ([Title::Clear; 2], [Title::Clear, Title::Unclaimed]));
    }
}
