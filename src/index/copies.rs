//! What we left on each target, and what is open between it and the share.

use rusqlite::{OptionalExtension, params};

use crate::index::{Index, OpenRow, Result, TargetTally, row};
use crate::model::{Content, Kind, RelPath, ShareId, TargetId, Wall};
use crate::names::fold;
use crate::plan::{Base, Hold};

/// Where a sweep over the open paths of a target stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(super) folder: i64,
    pub(super) name: Vec<u8>,
}

/// Part of a query: unsettled by what the share holds (`l`) and what we left (`b`).
const DIFFER: &str =
    "(b.target IS NULL OR l.state <> 1 OR l.kind <> b.kind OR l.len <> b.len OR (l.kind <> 3 AND (l.digest
    IS NULL OR l.digest <> b.digest)) OR l.mtime <> b.mtime OR l.mode <> b.mode OR l.uid <> b.uid OR l.gid <> b.gid
    OR (l.acl IS NOT NULL AND l.acl IS NOT b.acl) OR b.inherited = 2)";

impl Index {
    /// What we last left at a path of the target.
    pub fn base(&mut self, target: TargetId, path: &RelPath) -> Result<Option<Base>> {
        let share = self.share_of(target);
        let Some(folder) = self.key(share, path)? else { return Ok(None) };
        self.base_at(target, folder, path.name())
    }

    pub(super) fn base_at(&self, target: TargetId, folder: i64, name: &[u8]) -> Result<Option<Base>> {
        let sql = "SELECT kind, len, digest, mtime, mode, uid, gid, stamp, acl FROM base
                   WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![target.0, folder, name], row::base).optional()?)
    }

    /// Writes down what we left.
    pub fn put_base(&mut self, target: TargetId, path: &RelPath, base: &Base) -> Result<()> {
        let share = self.share_of(target);
        let folder = self.made_key(share, path)?;
        let old = self.base_at(target, folder, path.name())?;
        if let Some(old) = old.as_ref().filter(|old| old.stamp != base.stamp) {
            let kind = old.content.shape.kind;
            if old.content == base.content {
                self.unverify_good(target, folder, path.name(), kind)?;
            } else {
                self.unverify(target, folder, path.name(), kind)?;
            }
        }
        let sql =
            "INSERT INTO base VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, NULL, ?13, NULL) ON CONFLICT DO UPDATE
            SET kind = ?4, len = ?5, digest = ?6, mtime = ?7, mode = ?8, uid = ?9, gid = ?10, stamp = ?11, at = ?12, acl = ?13,
            inherited = iif(stamp = ?11 AND digest IS ?6, inherited, NULL)";
        let shape = base.content.shape;
        let digest = (shape.kind != Kind::Folder).then_some(base.content.digest.0.as_slice());
        self.db.prepare_cached(sql)?.execute(params![
            target.0,
            folder,
            path.name(),
            row::kind_code(shape.kind),
            row::bits(shape.len),
            digest,
            base.meta.mtime.0,
            base.meta.mode,
            base.meta.uid,
            base.meta.gid,
            base.stamp.0.as_ref(),
            self.now,
            base.meta.acl.text()
        ])?;
        self.count_base(target, old.as_ref(), -1);
        self.count_base(target, Some(base), 1);
        Ok(())
    }

    /// Forgets what we left.
    pub fn drop_base(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let share = self.share_of(target);
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let old = self.base_at(target, folder, path.name())?;
        if let Some(old) = &old {
            self.unverify(target, folder, path.name(), old.content.shape.kind)?;
        }
        let sql = "DELETE FROM base WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, path.name()])?;
        self.count_base(target, old.as_ref(), -1);
        Ok(())
    }

    fn count_base(&mut self, target: TargetId, base: Option<&Base>, by: i64) {
        let Some(base) = base else { return };
        let tally = self.targets.entry(target).or_default();
        tally.items += by;
        if base.content.shape.kind == Kind::File {
            tally.files += by;
            tally.bytes += by * row::bits(base.content.shape.len);
        }
    }

    /// True if we left anything below this path, or may have.
    pub fn has_ours_below(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        for folder in self.folders_below(self.share_of(target), path)? {
            let mut query = self.db.prepare_cached("SELECT 1 FROM base WHERE target = ? AND folder = ? LIMIT 1")?;
            if query.exists(params![target.0, folder])? {
                return Ok(true);
            }
        }
        self.has_attempts_below(target, path)
    }

    /// True if a put below this path began, and its end is not known.
    pub fn has_attempts_below(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        let sql = "SELECT 1 FROM open WHERE target = ? AND folder = ? AND attempts IS NOT NULL LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        for folder in self.folders_below(self.share_of(target), path)? {
            if query.exists(params![target.0, folder])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if anything below this path is still to be decided.
    pub fn has_open_below(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        let sql = "SELECT 1 FROM open WHERE target = ? AND folder = ? AND hold IS NULL LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        for folder in self.folders_below(self.share_of(target), path)? {
            if query.exists(params![target.0, folder])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether changes that others make on this target are brought to the share.
    pub fn take_changes(&mut self, target: TargetId, takes: bool) {
        if takes {
            self.taking.insert(target);
        } else {
            self.taking.remove(&target);
        }
    }

    /// What was believed of what is open below a path is no longer so.
    pub fn forget_sights_below(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let sql = "UPDATE open SET sight = NULL WHERE target = ? AND folder = ?";
        let mut query = self.db.prepare_cached(sql)?;
        for folder in self.folders_below(self.share_of(target), path)? {
            query.execute(params![target.0, folder])?;
        }
        Ok(())
    }

    /// Visits what we left in a folder of the target, sorted by name.
    pub fn visit_base(
        &mut self,
        target: TargetId,
        folder: &RelPath,
        visit: &mut dyn FnMut(&[u8], &Base),
    ) -> Result<()> {
        let share = self.share_of(target);
        let Some(id) = self.find_folder(share, folder)? else { return Ok(()) };
        let sql =
            "SELECT kind, len, digest, mtime, mode, uid, gid, stamp, acl, name FROM base WHERE target = ? AND folder = ?
                   ORDER BY name";
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query(params![target.0, id])?;
        while let Some(found) = rows.next()? {
            visit(found.get_ref(9)?.as_blob().unwrap_or_default(), &row::base(found)?);
        }
        Ok(())
    }

    /// A folder was renamed on the target: all that we left below it lies below the new name.
    pub fn move_base_subtree(&mut self, target: TargetId, from: &RelPath, to: &RelPath) -> Result<()> {
        let share = self.share_of(target);
        let takes = self.taking.contains(&target);
        for old in self.folders_below(share, from)? {
            let path = self.folder_path(old)?;
            let Some(path) = path.rebased(from, to) else { continue };
            let new = self.folder_id(share, &path)?;
            self.unverify_folder(target, new)?;
            self.uncount_replaced(target, old, new)?;
            let sql =
                "UPDATE OR REPLACE base SET folder = ?3, inherited = iif(?4, max(ifnull(inherited, 0), 1), inherited)
                       WHERE target = ?1 AND folder = ?2";
            let moved = self.db.prepare_cached(sql)?.execute(params![target.0, old, new, takes])?;
            if takes && moved > 0 {
                self.inherits.insert(target);
            }
        }
        Ok(())
    }

    /// What we had left in one folder gives way to what is renamed into it.
    fn uncount_replaced(&mut self, target: TargetId, old: i64, new: i64) -> Result<()> {
        let sql =
            "SELECT b.kind, b.len FROM base b JOIN base o ON o.target = b.target AND o.folder = ?2 AND o.name = b.name
                   WHERE b.target = ?1 AND b.folder = ?3";
        let mut query = self.db.prepare_cached(sql)?;
        let rows =
            query.query_map(params![target.0, old, new], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        let tally = self.targets.entry(target).or_default();
        for (kind, len) in rows {
            tally.items -= 1;
            if row::kind_of(kind) == Kind::File {
                tally.files -= 1;
                tally.bytes -= len;
            }
        }
        Ok(())
    }

    /// What is open about a path on the target.
    pub fn open_row(&mut self, target: TargetId, path: &RelPath) -> Result<Option<OpenRow>> {
        let share = self.share_of(target);
        let Some(folder) = self.key(share, path)? else { return Ok(None) };
        self.open_at(target, folder, path.name())
    }

    pub(super) fn open_at(&self, target: TargetId, folder: i64, name: &[u8]) -> Result<Option<OpenRow>> {
        let sql = "SELECT since, bytes, gone, doubt, attempts, sight, origin, hold, message, hint FROM open
                   WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![target.0, folder, name], |found| row::open(found, 0)).optional()?)
    }

    /// Writes down what is open about a path.
    pub fn put_open(&mut self, target: TargetId, path: &RelPath, new: &OpenRow) -> Result<()> {
        let share = self.share_of(target);
        let folder = self.made_key(share, path)?;
        let old = self.open_at(target, folder, path.name())?;
        self.put_open_at(target, folder, path.name(), old.as_ref(), new)
    }

    pub(super) fn put_open_at(
        &mut self,
        target: TargetId,
        folder: i64,
        name: &[u8],
        old: Option<&OpenRow>,
        new: &OpenRow,
    ) -> Result<()> {
        if old == Some(new) {
            return Ok(());
        }
        let sql =
            "INSERT INTO open VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO UPDATE SET
            since = ?4, bytes = ?5, gone = ?6, doubt = ?7, attempts = ?8, sight = ?9, origin = ?10, hold = ?11,
            message = ?12, hint = ?13";
        let hold = new.hold.as_ref();
        self.db.prepare_cached(sql)?.execute(params![
            target.0,
            folder,
            name,
            new.since.0,
            row::bits(new.bytes),
            new.gone,
            new.doubt,
            row::pack_attempts(&new.attempts),
            row::pack_sight(&new.sight),
            new.origin.as_ref().map(RelPath::as_bytes),
            hold.map(|hold| row::hold_code(hold.hold)),
            hold.map(|hold| &hold.message),
            hold.map(|hold| &hold.hint),
        ])?;
        self.count_open(target, old, -1);
        self.count_open(target, Some(new), 1);
        Ok(())
    }

    fn count_open(&mut self, target: TargetId, open: Option<&OpenRow>, by: i64) {
        let Some(open) = open else { return };
        let tally = self.targets.entry(target).or_default();
        if open.hold.is_some() {
            tally.holds += by;
        } else {
            tally.pending += by;
            tally.pending_bytes += by * row::bits(open.bytes);
        }
    }

    /// Nothing is open about a path any more.
    pub fn close(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let share = self.share_of(target);
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let Some(old) = self.open_at(target, folder, path.name())? else { return Ok(()) };
        let sql = "DELETE FROM open WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, path.name()])?;
        self.count_open(target, Some(&old), -1);
        if old.gone {
            self.drop_local_if_gone(share, folder, path.name())?;
        }
        Ok(())
    }

    /// Open paths after `after`, in the index's own order: what is there (`gone` false) or what has to go. Held ones are
    /// left out. `None` after the last.
    pub fn open_page(
        &mut self,
        target: TargetId,
        after: &Cursor,
        gone: bool,
        limit: usize,
    ) -> Result<(Vec<RelPath>, Option<Cursor>)> {
        let sql =
            "SELECT folder, name FROM open WHERE target = ? AND (folder, name) > (?, ?) AND gone = ? AND hold IS NULL
                   ORDER BY folder, name LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![target.0, after.folder, after.name, gone, limit_sql], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        let next = rows.last().filter(|_| rows.len() >= limit);
        let next = next.map(|(folder, name)| Cursor { folder: *folder, name: name.clone() });
        let paths = rows.into_iter().map(|(folder, name)| self.path_of(folder, &name)).collect::<Result<_>>()?;
        Ok((paths, next))
    }

    /// Held paths of the target.
    pub fn held(&mut self, target: TargetId, limit: usize) -> Result<Vec<RelPath>> {
        let sql = "SELECT folder, name FROM open WHERE target = ? AND hold IS NOT NULL LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map(params![target.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        rows.into_iter().map(|(folder, name)| self.path_of(folder, &name)).collect()
    }

    /// Every hold of the target is looked at and decided again.
    pub fn release_holds(&mut self, target: TargetId) -> Result<()> {
        self.release(target, None).map(|_| ())
    }

    /// Everything that the target refused is looked at and decided again. True if there is any.
    pub fn release_refusals(&mut self, target: TargetId) -> Result<bool> {
        self.release(target, Some(Hold::Refused))
    }

    fn release(&mut self, target: TargetId, only: Option<Hold>) -> Result<bool> {
        let only = only.map(row::hold_code);
        let sql = "SELECT count(*), ifnull(sum(bytes), 0) FROM open WHERE target = ?1 AND hold = ifnull(?2, hold)";
        let (count, bytes): (i64, i64) =
            self.db.prepare_cached(sql)?.query_row(params![target.0, only], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if count == 0 {
            return Ok(false);
        }
        let sql = "UPDATE open SET hold = NULL, message = NULL, hint = NULL, doubt = 1
                   WHERE target = ?1 AND hold = ifnull(?2, hold)";
        self.db.prepare_cached(sql)?.execute(params![target.0, only])?;
        let tally = self.targets.entry(target).or_default();
        tally.holds -= count;
        tally.pending += count;
        tally.pending_bytes += bytes;
        Ok(true)
    }

    /// A path of the share was renamed: each target on which we left the old one may rename it too; on the others, all that
    /// differs below the two is opened. True if all of them may.
    pub fn set_origin(&mut self, share: ShareId, to: &RelPath, from: &RelPath) -> Result<bool> {
        let mut all = true;
        for target in self.active.get(&share).cloned().unwrap_or_default() {
            if self.piecemeal.contains(&target)
                && self.base(target, from)?.is_some_and(|base| base.content == Content::FOLDER)
            {
                all = false;
                self.compare_subtree(target, to)?;
                self.compare_subtree(target, from)?;
                self.set_origins_below(target, to, from)?;
            } else if self.base(target, from)?.is_some()
                && self.base(target, to)?.is_none()
                && let Some(mut open) = self.open_row(target, to)?
            {
                open.origin = Some(from.clone());
                self.put_open(target, to, &open)?;
            } else {
                all = false;
                self.compare_subtree(target, to)?;
                self.compare_subtree(target, from)?;
            }
        }
        Ok(all)
    }

    /// Folders of this target are renamed file by file: it knows no other way.
    pub fn rename_piecemeal(&mut self, target: TargetId) {
        self.piecemeal.insert(target);
    }

    /// Each file that we left below `from`, and that is wanted below `to` where we left none, may be renamed on its own.
    fn set_origins_below(&mut self, target: TargetId, to: &RelPath, from: &RelPath) -> Result<()> {
        for folder in self.folders_below(self.share_of(target), from)? {
            let old = self.folder_path(folder)?;
            let Some(new) = old.rebased(from, to) else { continue };
            let mut names = Vec::new();
            self.visit_base(target, &old, &mut |name, base| {
                if base.content.shape.kind == Kind::File {
                    names.push(name.to_vec());
                }
            })?;
            for name in names {
                self.set_origin_of(target, &new, &old, &name)?;
            }
        }
        Ok(())
    }

    fn set_origin_of(&mut self, target: TargetId, new: &RelPath, old: &RelPath, name: &[u8]) -> Result<()> {
        let (Ok(to), Ok(from)) = (new.join(name), old.join(name)) else { return Ok(()) };
        if self.base(target, &to)?.is_some() {
            return Ok(());
        }
        let Some(mut open) = self.open_row(target, &to)? else { return Ok(()) };
        open.origin = Some(from);
        self.put_open(target, &to, &open)
    }

    /// What the target refused above, at or below a path is tried again. True if anything was.
    pub fn release_refusals_near(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        let mut near: Vec<_> = path.ancestors().filter(|above| !above.is_root()).chain([path.clone()]).collect();
        near.extend(self.refusals_below(target, path)?);
        let mut released = false;
        for path in near {
            let Some(mut open) = self.open_row(target, &path)? else { continue };
            if open.hold.take_if(|held| held.hold == Hold::Refused).is_some() {
                self.put_open(target, &path, &open)?;
                released = true;
            }
        }
        Ok(released)
    }

    /// What the target refused under another spelling of a name is tried again. True if anything was.
    pub fn release_twins(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(false) };
        let folded = fold(path.name());
        let mut released = false;
        for name in self.refusals_in(target, folder)?.into_iter().filter(|name| fold(name) == folded) {
            let twin = self.path_of(folder, &name)?;
            let Some(open) = self.open_row(target, &twin)? else { continue };
            self.put_open(target, &twin, &OpenRow { hold: None, ..open })?;
            released = true;
        }
        Ok(released)
    }

    fn refusals_below(&mut self, target: TargetId, path: &RelPath) -> Result<Vec<RelPath>> {
        let mut found = Vec::new();
        for folder in self.folders_below(self.share_of(target), path)? {
            for name in self.refusals_in(target, folder)? {
                found.push(self.path_of(folder, &name)?);
            }
        }
        Ok(found)
    }

    fn refusals_in(&self, target: TargetId, folder: i64) -> Result<Vec<Vec<u8>>> {
        let sql = "SELECT name FROM open WHERE target = ? AND folder = ? AND hold = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let key = params![target.0, folder, row::hold_code(Hold::Refused)];
        let names = query.query_map(key, |row| row.get::<_, Vec<u8>>(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(names)
    }

    /// The path that waits to be renamed from `origin` on the target, if one does.
    pub fn moved_from(&mut self, target: TargetId, origin: &RelPath) -> Result<Option<RelPath>> {
        let sql = "SELECT folder, name FROM open WHERE target = ? AND origin = ? LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_row(params![target.0, origin.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let found = found.optional()?;
        drop(query);
        found.map(|(folder, name)| self.path_of(folder, &name)).transpose()
    }

    /// Renames that wait on the target: (to, from).
    pub fn waiting_moves(&mut self, target: TargetId, limit: usize) -> Result<Vec<(RelPath, RelPath)>> {
        let sql = "SELECT folder, name, origin FROM open WHERE target = ? AND origin IS NOT NULL LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map(params![target.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        let mut moves = Vec::with_capacity(rows.len());
        for (folder, name, origin) in rows {
            let from = RelPath::new(&origin).map_err(|error| super::IndexError::Damaged(error.to_string()))?;
            moves.push((self.path_of(folder, &name)?, from));
        }
        Ok(moves)
    }

    /// Opens what differs between the share and the target at and below a path.
    pub fn compare_subtree(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        for folder in self.folders_below(self.share_of(target), path)? {
            let sql = format!(
                "INSERT OR IGNORE INTO open (target, folder, name, since, bytes, gone, doubt) SELECT ?1, l.folder, l.name, ?3,
                 CASE WHEN l.state = 1 AND l.kind <> 3 THEN l.len ELSE 0 END, l.state = 0, 0 FROM local l LEFT JOIN base b
                 ON b.target = ?1 AND b.folder = l.folder AND b.name = l.name WHERE l.folder = ?2 AND {DIFFER}
                 AND NOT (l.state = 0 AND b.target IS NULL)"
            );
            self.insert_open(target, folder, &sql)?;
            let sql = "INSERT OR IGNORE INTO open (target, folder, name, since, bytes, gone, doubt)
                 SELECT ?1, b.folder, b.name, ?3, 0, 1, 0 FROM base b LEFT JOIN local l
                 ON l.folder = b.folder AND l.name = b.name WHERE b.target = ?1 AND b.folder = ?2 AND l.folder IS NULL";
            self.insert_open(target, folder, sql)?;
        }
        Ok(())
    }

    /// Opens all that we left in a folder which the share no longer has.
    pub(super) fn open_gone(&mut self, target: TargetId, folder: i64) -> Result<()> {
        self.release_folder(target, folder)?;
        let sql = "INSERT OR IGNORE INTO open (target, folder, name, since, bytes, gone, doubt)
                   SELECT ?1, folder, name, ?3, 0, 1, 0 FROM base WHERE target = ?1 AND folder = ?2";
        self.insert_open(target, folder, sql)
    }

    /// Nothing will be sent to what is open in a folder, and whatever was held there is decided again.
    fn release_folder(&mut self, target: TargetId, folder: i64) -> Result<()> {
        let before = self.open_sum(target, folder)?;
        let sql = "UPDATE open SET gone = 1, bytes = 0, hold = NULL, message = NULL, hint = NULL
                   WHERE target = ? AND folder = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder])?;
        let after = self.open_sum(target, folder)?;
        let tally = self.targets.entry(target).or_default();
        tally.holds -= after.0 - before.0;
        tally.pending += after.0 - before.0;
        tally.pending_bytes += after.1 - before.1;
        Ok(())
    }

    fn insert_open(&mut self, target: TargetId, folder: i64, sql: &str) -> Result<()> {
        let before = self.open_sum(target, folder)?;
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, self.now])?;
        let after = self.open_sum(target, folder)?;
        let tally = self.targets.entry(target).or_default();
        tally.pending += after.0 - before.0;
        tally.pending_bytes += after.1 - before.1;
        Ok(())
    }

    fn open_sum(&self, target: TargetId, folder: i64) -> Result<(i64, i64)> {
        let sql = "SELECT count(*), ifnull(sum(bytes), 0) FROM open WHERE target = ? AND folder = ? AND hold IS NULL";
        Ok(self.db.prepare_cached(sql)?.query_row(params![target.0, folder], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// All that we left below a folder of the target must be looked at again.
    pub fn doubt_subtree(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        for folder in self.folders_below(self.share_of(target), path)? {
            let sql = "UPDATE open SET doubt = 1, sight = NULL WHERE target = ? AND folder = ?";
            self.db.prepare_cached(sql)?.execute(params![target.0, folder])?;
            let sql = "INSERT OR IGNORE INTO open (target, folder, name, since, bytes, gone, doubt)
                       SELECT ?1, folder, name, ?3, 0, 0, 1 FROM base WHERE target = ?1 AND folder = ?2";
            self.insert_open(target, folder, sql)?;
        }
        Ok(())
    }

    /// One path of the target must be looked at again.
    pub fn doubt(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let old = self.open_row(target, path)?;
        let mut row = old.unwrap_or_else(|| OpenRow::new(Wall(self.now)));
        if row.doubt && row.hold.is_none() {
            return Ok(());
        }
        (row.doubt, row.hold) = (true, None);
        self.put_open(target, path, &row)
    }

    /// When the oldest open difference of the target was noticed.
    pub fn oldest_open(&self, target: TargetId) -> Result<Option<Wall>> {
        let sql = "SELECT min(since) FROM open WHERE target = ?";
        let oldest: Option<i64> = self.db.prepare_cached(sql)?.query_row([target.0], |row| row.get(0))?;
        Ok(oldest.map(Wall))
    }

    /// The counts of a target, counted anew: what its tally must be.
    pub fn recount(&self, target: TargetId) -> Result<TargetTally> {
        let sql = "SELECT count(*), ifnull(sum(kind = 1), 0), ifnull(sum(iif(kind = 1, len, 0)), 0) FROM base WHERE target = ?";
        let (items, files, bytes) =
            self.db.query_row(sql, [target.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let sql = "SELECT ifnull(sum(hold IS NULL), 0), ifnull(sum(iif(hold IS NULL, bytes, 0)), 0),
                   ifnull(sum(hold IS NOT NULL), 0) FROM open WHERE target = ?";
        let (pending, pending_bytes, holds) =
            self.db.query_row(sql, [target.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(TargetTally { files, bytes, items, pending, pending_bytes, holds })
    }
}
