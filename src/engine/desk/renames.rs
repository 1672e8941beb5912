//! Renames on the share: a new name is that of an old thing if that has the same inode, and is gone from its old place.

use crate::engine::core::Limits;
use crate::engine::desk::{Desk, Result};
use crate::index::{Index, LocalRow, Presence};
use crate::model::{Kind, RelPath, Stat};

impl Desk {
    /// Whether a new path may be an old one renamed. If so it is not written down until the old name was looked at.
    pub(super) fn suppose(&mut self, index: &mut Index, path: &RelPath, stat: &Stat, is_vacant: bool) -> Result<bool> {
        let refuted = self.refuted.remove(path);
        self.suppositions.remove(path);
        let impossible = self.virgin || !is_vacant || refuted || stat.shape.kind == Kind::Symlink;
        if impossible || (stat.shape.kind == Kind::File && stat.nlink > 1) {
            return Ok(false);
        }
        let same = |row: &LocalRow| match stat.shape.kind {
            Kind::Folder => row.stat.shape.kind == Kind::Folder,
            Kind::File | Kind::Symlink => row.stat.shape == stat.shape && row.stat.meta.mtime == stat.meta.mtime,
        };
        let candidates = index.by_inode(self.id, stat.ino)?;
        let Some((from, row)) = candidates.into_iter().find(|(from, row)| from != path && same(row)) else {
            return Ok(false);
        };
        if from.is_above(path) || path.is_above(&from) {
            return Ok(false);
        }
        let gone = row.state == Presence::Absent && row.run == index.run();
        if gone || self.vanished.contains_key(&from) {
            self.renamed(index, &from, path, *stat)?;
            return Ok(true);
        }
        self.suppositions.insert(path.clone(), from.clone());
        // The old name is looked at at once: the rename has happened, whether it is quiet or not.
        self.to_look.insert(from);
        Ok(true)
    }

    fn renamed(&mut self, index: &mut Index, from: &RelPath, to: &RelPath, stat: Stat) -> Result<()> {
        self.vanished.remove(from);
        if index.has_local_below(self.id, to)? {
            index.vanish_subtree(self.id, to)?;
            self.news.all = true;
        }
        if stat.shape.kind == Kind::Folder {
            index.move_local_subtree(self.id, from, to)?;
            self.news.moves.push((to.clone(), from.clone()));
            self.want_subtree(to.clone());
        }
        self.bury(index, from)?;
        self.write_present(index, to, stat, None)?;
        // What was opened below the two is too much to name.
        self.news.all |= !index.set_origin(self.id, to, from)?;
        self.news.paths.push(from.clone());
        Ok(())
    }

    /// `path` is still there: whoever was thought to be it renamed is somebody else.
    pub(super) fn refute(&mut self, path: &RelPath, limits: &Limits) {
        let wrong: Vec<_> =
            self.suppositions.iter().filter(|(_, from)| *from == path).map(|(to, _)| to.clone()).collect();
        for to in wrong {
            self.suppositions.remove(&to);
            self.refuted.insert(to.clone());
            self.want_look(to, limits);
        }
    }
}
