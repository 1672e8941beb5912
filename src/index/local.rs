//! What was last seen on the share.

use rusqlite::{OptionalExtension, params};

use crate::index::{Index, LocalRow, OpenRow, Presence, Result, row};
use crate::model::{Kind, RelPath, ShareId, TargetId, Wall};
use crate::plan::Title;

/// A query for the columns that [`row::local`] reads, and what follows them.
macro_rules! select_local {
    ($rest:literal) => {
        concat!("SELECT state, kind, len, ino, ctime, mtime, mode, uid, gid, nlink, flags, digest, run, acl", $rest)
    };
}

impl Index {
    /// What was last seen at a path; `None` if it never was, or is gone from everywhere.
    pub fn local(&mut self, share: ShareId, path: &RelPath) -> Result<Option<LocalRow>> {
        let Some(folder) = self.key(share, path)? else { return Ok(None) };
        self.local_at(folder, path.name())
    }

    pub(super) fn local_at(&self, folder: i64, name: &[u8]) -> Result<Option<LocalRow>> {
        let sql = select_local!(" FROM local WHERE folder = ? AND name = ?");
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![folder, name], |found| row::local(found, 0)).optional()?)
    }

    /// Visits what was last seen in a folder, sorted by name.
    pub fn visit_folder(
        &mut self,
        share: ShareId,
        folder: &RelPath,
        visit: &mut dyn FnMut(&[u8], &LocalRow),
    ) -> Result<()> {
        let Some(id) = self.find_folder(share, folder)? else { return Ok(()) };
        let sql = select_local!(", name FROM local WHERE folder = ? ORDER BY name");
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query([id])?;
        while let Some(found) = rows.next()? {
            let local = row::local(found, 0)?;
            visit(found.get_ref(14)?.as_blob().unwrap_or_default(), &local);
        }
        Ok(())
    }

    /// Writes down what was seen, and opens the path on each target that holds something else.
    ///
    /// `since` dates the difference.
    pub fn put_local(&mut self, share: ShareId, path: &RelPath, new: &LocalRow) -> Result<()> {
        let folder = self.made_key(share, path)?;
        let old = self.local_at(folder, path.name())?;
        self.write_local(share, folder, path.name(), new)?;
        self.unbury(share, folder, path.name(), new)?;
        self.count_local(share, old.as_ref(), -1);
        self.count_local(share, Some(new), 1);
        for target in self.active.get(&share).cloned().unwrap_or_default() {
            self.open_if_unsettled(target, folder, path.name(), old.as_ref(), new)?;
        }
        if new.state == Presence::Absent {
            self.drop_local_if_gone(share, folder, path.name())?;
        }
        Ok(())
    }

    pub(super) fn write_local(&self, _share: ShareId, folder: i64, name: &[u8], new: &LocalRow) -> Result<()> {
        let sql = "INSERT INTO local VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
            ON CONFLICT DO UPDATE SET state = ?3, kind = ?4, len = ?5, ino = ?6, ctime = ?7, mtime = ?8, mode = ?9,
            uid = ?10, gid = ?11, nlink = ?12, flags = ?13, digest = ?14, run = ?15,
            acl = ?16";
        let stat = &new.stat;
        self.db.prepare_cached(sql)?.execute(params![
            folder,
            name,
            row::presence_code(new.state),
            row::kind_code(stat.shape.kind),
            row::bits(stat.shape.len),
            row::bits(stat.ino),
            stat.ctime.0,
            stat.meta.mtime.0,
            stat.meta.mode,
            stat.meta.uid,
            stat.meta.gid,
            stat.nlink,
            row::flags(new),
            new.digest.as_ref().map(|digest| digest.0.as_slice()),
            new.run,
            stat.meta.acl.text()
        ])?;
        Ok(())
    }

    fn count_local(&mut self, share: ShareId, row: Option<&LocalRow>, by: i64) {
        let Some(row) = row.filter(|row| row.state != Presence::Absent) else { return };
        let tally = self.shares.entry(share).or_default();
        match row.stat.shape.kind {
            Kind::File => {
                tally.files += by;
                tally.bytes += by * row::bits(row.stat.shape.len);
                tally.hard_links += by * i64::from(row.stat.nlink > 1);
            }
            Kind::Symlink => tally.links += by,
            Kind::Folder => tally.folders += by,
        }
    }

    pub(super) fn open_if_unsettled(
        &mut self,
        target: TargetId,
        folder: i64,
        name: &[u8],
        old: Option<&LocalRow>,
        new: &LocalRow,
    ) -> Result<()> {
        let base = self.base_at(target, folder, name)?;
        let mut settled = match (&base, new.state) {
            (_, Presence::Troubled) => false,
            (None, Presence::Absent) => true,
            (Some(_), Presence::Absent) | (None, Presence::Present) => false,
            (Some(base), Presence::Present) => {
                new.seen().holds(&base.content) == Some(true) && new.stat.meta.is_met_by(&base.meta)
            }
        };
        let was_away = old.is_none_or(|old| old.state == Presence::Absent);
        if was_away
            && new.is_present()
            && base.as_ref().is_some_and(|base| base.content.shape.kind != Kind::Folder)
            && self.inherit_back(target, folder, name)? == Title::Unclaimed
        {
            settled = false;
        }
        let open = self.open_at(target, folder, name)?;
        if settled && open.is_none() {
            return Ok(());
        }
        let mut now_open = open.clone().unwrap_or_else(|| OpenRow::new(Wall(self.now)));
        now_open.gone = new.state == Presence::Absent;
        // A send is announced until a reading shows that nothing has to be sent.
        let sends = new.is_present() && base.is_none_or(|base| new.seen().holds(&base.content) != Some(true));
        now_open.bytes = if sends { new.stat.shape.len } else { 0 };
        // What was held is decided again if there is news: two targets that both refuse a file would else wake each other.
        if !old.is_some_and(|old| old.state == new.state && old.seen() == new.seen()) {
            now_open.hold = None;
        }
        self.put_open_at(target, folder, name, open.as_ref(), &now_open)
    }

    /// Forgets a path that is absent from the share and from every target.
    pub(super) fn drop_local_if_gone(&mut self, share: ShareId, folder: i64, name: &[u8]) -> Result<()> {
        let absent = "SELECT 1 FROM local WHERE folder = ? AND name = ? AND state = 0";
        if !self.db.prepare_cached(absent)?.exists(params![folder, name])? {
            return Ok(());
        }
        for target in self.active.get(&share).cloned().unwrap_or_default() {
            if self.base_at(target, folder, name)?.is_some() || self.open_at(target, folder, name)?.is_some() {
                return Ok(());
            }
        }
        self.db.prepare_cached("DELETE FROM local WHERE folder = ? AND name = ?")?.execute(params![folder, name])?;
        Ok(())
    }

    /// Paths of the share that have this inode, or had it when they vanished; a few at most.
    pub fn by_inode(&mut self, share: ShareId, ino: u64) -> Result<Vec<(RelPath, LocalRow)>> {
        let sql = select_local!(", folder, name FROM local WHERE ino = ? LIMIT 8");
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map([row::bits(ino)], |found| {
            Ok((row::local(found, 0)?, found.get::<_, i64>(14)?, found.get::<_, Vec<u8>>(15)?))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        let mut found = Vec::with_capacity(rows.len());
        for (local, folder, name) in rows {
            if self.share_of_folder(folder)? == share {
                found.push((self.path_of(folder, &name)?, local));
            }
        }
        Ok(found)
    }

    fn share_of_folder(&self, folder: i64) -> Result<ShareId> {
        let mut query = self.db.prepare_cached("SELECT share FROM folder WHERE id = ?")?;
        Ok(ShareId(query.query_row([folder], |row| row.get(0))?))
    }

    /// Marks a path as missing from its folder's reading: to be looked at directly.
    pub fn suspect(&mut self, share: ShareId, path: &RelPath) -> Result<()> {
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let sql = "UPDATE local SET flags = flags | 4 WHERE folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![folder, path.name()])?;
        Ok(())
    }

    /// Takes the mark off.
    pub fn unsuspect(&mut self, share: ShareId, path: &RelPath) -> Result<()> {
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let sql = "UPDATE local SET flags = flags & ~4 WHERE folder = ? AND name = ? AND flags & 4";
        self.db.prepare_cached(sql)?.execute(params![folder, path.name()])?;
        Ok(())
    }

    /// Marked paths, after `after` in the index's own order.
    pub fn suspects(&mut self, share: ShareId, after: Option<&RelPath>, limit: usize) -> Result<Vec<RelPath>> {
        let (folder, name) = match after {
            Some(path) => (self.key(share, path)?.unwrap_or(0), path.name()),
            None => (0, [].as_slice()),
        };
        let sql = "SELECT l.folder, l.name FROM local l JOIN folder f ON f.id = l.folder
                   WHERE l.flags & 4 AND (l.folder, l.name) > (?, ?) AND f.share = ? ORDER BY l.folder, l.name LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query
            .query_map(params![folder, name, share.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        rows.into_iter().map(|(folder, name)| self.path_of(folder, &name)).collect()
    }

    /// True if anything was last seen below this path.
    pub fn has_local_below(&mut self, share: ShareId, path: &RelPath) -> Result<bool> {
        let mut query = self.db.prepare_cached("SELECT 1 FROM local WHERE folder = ? AND state <> 0 LIMIT 1")?;
        for folder in self.folders_below(share, path)? {
            if query.exists([folder])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A folder is gone, and all that was in it.
    pub fn vanish_subtree(&mut self, share: ShareId, path: &RelPath) -> Result<()> {
        self.end_troubles_below(share, path)?;
        let targets = self.active.get(&share).cloned().unwrap_or_default();
        for folder in self.folders_below(share, path)? {
            self.uncount_folder(share, folder)?;
            let sql = "UPDATE local SET state = 0, run = ?, flags = flags & ~4 WHERE folder = ?";
            self.db.prepare_cached(sql)?.execute(params![self.run, folder])?;
            for target in &targets {
                self.open_gone(*target, folder)?;
            }
            let sql = "DELETE FROM local WHERE folder = ?1 AND state = 0 AND NOT EXISTS (SELECT 1 FROM base b JOIN target t
                ON t.id = b.target WHERE t.share = ?2 AND b.folder = ?1 AND b.name = local.name) AND NOT EXISTS (SELECT 1
                FROM open o JOIN target t ON t.id = o.target WHERE t.share = ?2 AND o.folder = ?1 AND o.name = local.name)";
            self.db.prepare_cached(sql)?.execute(params![folder, share.0])?;
        }
        Ok(())
    }

    fn uncount_folder(&mut self, share: ShareId, folder: i64) -> Result<()> {
        let sql = "SELECT kind, count(*), total(len), total(nlink > 1) FROM local WHERE folder = ? AND state <> 0 GROUP BY kind";
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query([folder])?;
        let tally = self.shares.entry(share).or_default();
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(1)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "`total` answers in floating point; sums stay below 2^53"
            )]
            let whole = |at: usize| row.get::<_, f64>(at).map(|sum| sum as i64);
            match row::kind_of(row.get(0)?) {
                Kind::File => {
                    tally.files -= count;
                    tally.bytes -= whole(2)?;
                    tally.hard_links -= whole(3)?;
                }
                Kind::Symlink => tally.links -= count,
                Kind::Folder => tally.folders -= count,
            }
        }
        Ok(())
    }

    /// A folder was renamed on the share: what was seen below it is now seen below the new name.
    ///
    /// Nothing is opened for what lies below: the rename of the folder itself stands for it until it is made.
    /// The rows of the two folders themselves are the caller's.
    pub fn move_local_subtree(&mut self, share: ShareId, from: &RelPath, to: &RelPath) -> Result<()> {
        for old in self.folders_below(share, from)? {
            let path = self.folder_path(old)?;
            let Some(path) = path.rebased(from, to) else { continue };
            let new = self.folder_id(share, &path)?;
            self.uncount_folder(share, new)?;
            self.db.prepare_cached("DELETE FROM local WHERE folder = ?")?.execute([new])?;
            let sql = "UPDATE local SET folder = ? WHERE folder = ?";
            self.db.prepare_cached(sql)?.execute(params![new, old])?;
            self.inherit_all_back(share, new)?;
        }
        self.end_troubles_below(share, from)
    }

    /// Remembers names of a folder of a listing, the pages of which may come between those of other folders.
    pub fn see_listed<'a>(&self, scope: i64, folder: &RelPath, names: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let keys: Vec<_> = names.map(|name| listed_key(folder, name)).collect();
        self.see_names(scope, keys.iter().map(Vec::as_slice))
    }

    /// True if this name of the folder was remembered.
    pub fn was_listed(&self, scope: i64, folder: &RelPath, name: &[u8]) -> Result<bool> {
        self.was_seen(scope, &listed_key(folder, name))
    }

    /// Forgets the names of one folder.
    pub fn forget_listed(&self, scope: i64, folder: &RelPath) -> Result<()> {
        let with = |byte: u8| [folder.as_bytes(), &[byte]].concat();
        let sql = "DELETE FROM temp.seen WHERE scope = ? AND name >= ? AND name < ?";
        self.db.prepare_cached(sql)?.execute(params![scope, with(0), with(1)])?;
        Ok(())
    }

    /// Remembers names of a folder that comes in several pages.
    pub fn see_names<'a>(&self, scope: i64, names: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut insert = self.db.prepare_cached("INSERT OR IGNORE INTO temp.seen VALUES (?, ?)")?;
        for name in names {
            insert.execute(params![scope, name])?;
        }
        Ok(())
    }

    /// True if this name was remembered.
    pub fn was_seen(&self, scope: i64, name: &[u8]) -> Result<bool> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM temp.seen WHERE scope = ? AND name = ?")?
            .exists(params![scope, name])?)
    }

    /// Forgets the names that were remembered.
    pub fn forget_names(&self, scope: i64) -> Result<()> {
        self.db.prepare_cached("DELETE FROM temp.seen WHERE scope = ?")?.execute([scope])?;
        Ok(())
    }
}

/// A path has no zero byte in it: what begins with the folder and one is a name in this folder, and nothing else.
fn listed_key(folder: &RelPath, name: &[u8]) -> Vec<u8> {
    [folder.as_bytes(), &[0], name].concat()
}
