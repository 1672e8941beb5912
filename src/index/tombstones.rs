//! What the share deleted, for targets from which it takes changes: by it an old copy that turns up again is known.
//!
//! A row is written in the same turn as that the deletion is known to be made on a target, and goes when the share has that
//! content there again, or when its time is over. `taken` is the target on which others had deleted it first: what they put
//! back there is theirs to put back. `recalled` is 1 of what a target's history told after an index was lost, 3 if the share had
//! followed others in that before, and 2 of what the share has again: others may not have heard of that, see `inherited.rs`.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use crate::index::{Index, LocalRow, Reader, Result, row, schema};
use crate::model::{Content, Kind, RelPath, ShareId, TargetId, Wall};
use crate::plan::Tombstone;

/// Contents remembered of one path (count): the one that was deleted longest ago is forgotten first.
const OF_A_PATH_MAX: i64 = 8;
/// So far may the clock of a target be from ours: S3 refuses whoever is further off
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, `RequestTimeTooSkewed`).
const CLOCKS_APART: Duration = Duration::from_secs(900);

impl Index {
    /// The share deleted what was left there, unless it has just that again. `taken`: others had deleted it on that target,
    /// and the share followed.
    pub fn bury(&mut self, share: ShareId, path: &RelPath, content: &Content, taken: Option<TargetId>) -> Result<()> {
        let again = self.local(share, path)?.filter(LocalRow::is_present);
        if content.shape.kind == Kind::Folder || again.is_some_and(|row| row.seen().holds(content) == Some(true)) {
            return Ok(());
        }
        let folder = self.made_key(share, path)?;
        // What the share follows it had until now: whatever is remembered of it is older. Else whoever deleted it first counts.
        let sql = "INSERT INTO tombstone VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0) ON CONFLICT DO UPDATE SET
                   len = ?5, digest = ?6, at = ?7, taken = ifnull(?8, taken), recalled = 0";
        let Tombstone { len, begins, digest } = Tombstone::of(content);
        self.db.prepare_cached(sql)?.execute(params![
            share.0,
            folder,
            path.name(),
            u32::from_be_bytes(begins),
            len.map(row::bits),
            digest.as_ref().map(|digest| digest.0.as_slice()),
            self.now,
            taken.map(|target| target.0)
        ])?;
        self.forget_oldest(folder, path.name())
    }

    /// A target's history tells that this lay there until `at`, and neither share nor target has anything there now. What the
    /// index remembers itself of the path, and no earlier, counts for more.
    pub fn recall_tombstone(&mut self, share: ShareId, path: &RelPath, what: &Tombstone, at: Wall) -> Result<()> {
        if self.local(share, path)?.is_some_and(|row| row.state != crate::index::Presence::Absent) {
            return Ok(());
        }
        let folder = self.made_key(share, path)?;
        let sql = "SELECT max(at) FROM tombstone WHERE folder = ? AND name = ? AND recalled = 0";
        let own: Option<i64> =
            self.db.prepare_cached(sql)?.query_row(params![folder, path.name()], |found| found.get(0))?;
        if own.is_some_and(|own| Wall(own) >= at.before(CLOCKS_APART)) {
            return Ok(());
        }
        let sql = "INSERT INTO tombstone VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, 1) ON CONFLICT DO UPDATE SET
                   at = max(at, ?7), taken = NULL, digest = ifnull(digest, ?6),
                   recalled = iif(taken IS NOT NULL OR recalled = 3, 3, 1)";
        self.db.prepare_cached(sql)?.execute(params![
            share.0,
            folder,
            path.name(),
            u32::from_be_bytes(what.begins),
            what.len.map(row::bits),
            what.digest.as_ref().map(|digest| digest.0.as_slice()),
            at.0
        ])?;
        self.forget_oldest(folder, path.name())
    }

    fn forget_oldest(&self, folder: i64, name: &[u8]) -> Result<()> {
        let sql = "DELETE FROM tombstone WHERE folder = ?1 AND name = ?2 AND begins NOT IN
                   (SELECT begins FROM tombstone WHERE folder = ?1 AND name = ?2 ORDER BY at DESC, begins LIMIT ?3)";
        self.db.prepare_cached(sql)?.execute(params![folder, name, OF_A_PATH_MAX])?;
        Ok(())
    }

    /// What the share deleted at a path, as far as the target is concerned.
    pub fn tombstones(&mut self, target: TargetId, path: &RelPath) -> Result<Vec<Tombstone>> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(Vec::new()) };
        let sql = "SELECT len, begins, digest FROM tombstone WHERE folder = ? AND name = ? AND taken IS NOT ? AND recalled <> 2";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map(params![folder, path.name(), target.0], tombstone)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// True if the share lacks this content because it followed others, who had removed it on another target.
    pub fn is_followed(&mut self, target: TargetId, path: &RelPath, content: &Content) -> Result<bool> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(false) };
        Ok(self.db.prepare_cached(FOLLOWED)?.exists(followed(target, folder, path, content))?)
    }

    /// True if the share has this content again after it had deleted it.
    pub fn is_revived(&mut self, target: TargetId, path: &RelPath, content: &Content) -> Result<bool> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(false) };
        let begins = u32::from_be_bytes(Tombstone::of(content).begins);
        let sql = "SELECT 1 FROM tombstone WHERE folder = ? AND name = ? AND begins = ? AND recalled = 2";
        Ok(self.db.prepare_cached(sql)?.exists(params![folder, path.name(), begins])?)
    }

    /// The share has it again. What it had deleted itself stays remembered as that, and names nothing any more.
    pub(super) fn unbury(&self, share: ShareId, folder: i64, name: &[u8], new: &LocalRow) -> Result<()> {
        let Some(content) = new.seen().content().filter(|content| new.is_present() && *content != Content::FOLDER)
        else {
            return Ok(());
        };
        let takes = self.active.get(&share).is_some_and(|targets| targets.iter().any(|t| self.taking.contains(t)));
        if takes {
            let begins = u32::from_be_bytes(Tombstone::of(&content).begins);
            let revive =
                "UPDATE tombstone SET recalled = 2 WHERE folder = ? AND name = ? AND begins = ? AND taken IS NULL
                          AND recalled <> 3";
            let revived = self.db.prepare_cached(revive)?.execute(params![folder, name, begins])?;
            if revived == 0 {
                let sql = "DELETE FROM tombstone WHERE folder = ? AND name = ? AND begins = ?";
                self.db.prepare_cached(sql)?.execute(params![folder, name, begins])?;
            }
        }
        Ok(())
    }

    /// Forgets what the share deleted before a time, so many at most, and returns how many. What is open on any target stays
    /// remembered: an old copy that is held there would come to the share.
    pub fn expire_tombstones(&self, share: ShareId, before: Wall, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM tombstone WHERE (folder, name, begins) IN
                   (SELECT t.folder, t.name, t.begins FROM tombstone t WHERE t.share = ?1 AND t.at < ?2
                   AND NOT EXISTS (SELECT 1 FROM target g JOIN open o ON o.target = g.id AND o.folder = t.folder
                   AND o.name = t.name WHERE g.share = ?1) ORDER BY t.at LIMIT ?3)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self.db.prepare_cached(sql)?.execute(params![share.0, before.0, limit])?)
    }

    /// True if it is remembered of anything below this path that the share deleted it.
    pub fn has_tombstone_below(&mut self, share: ShareId, path: &RelPath) -> Result<bool> {
        let any = "SELECT 1 FROM tombstone WHERE share = ? LIMIT 1";
        if !self.db.prepare_cached(any)?.exists([share.0])? {
            return Ok(false);
        }
        let mut query = self.db.prepare_cached("SELECT 1 FROM tombstone WHERE folder = ? AND recalled <> 2 LIMIT 1")?;
        for folder in self.folders_below(share, path)? {
            if query.exists([folder])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if an old copy of what the share deleted is held below this path.
    pub fn has_returned_below(&mut self, target: TargetId, path: &RelPath) -> Result<bool> {
        let sql = "SELECT 1 FROM open WHERE target = ? AND folder = ? AND hold = ? LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        for folder in self.folders_below(self.share_of(target), path)? {
            if query.exists(params![target.0, folder, row::hold_code(crate::plan::Hold::Returned)])? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Reader {
    /// What the share deleted at a path, as far as the target is concerned.
    pub(super) fn tombstones(&self, share: ShareId, target: TargetId, path: &RelPath) -> Result<Vec<Tombstone>> {
        if self.version < schema::KEEPS_TOMBSTONES {
            return Ok(Vec::new());
        }
        let sql = "SELECT len, begins, digest FROM tombstone WHERE folder = ? AND name = ? AND taken IS NOT ? AND recalled <> 2";
        let mut query = self.db.prepare_cached(sql)?;
        let folder = self.folder_of(share, path)?;
        let rows = query.query_map(params![folder, path.name(), target.0], tombstone)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// True if the share lacks this content because it followed others, who had removed it on another target.
    pub(super) fn is_followed(
        &self,
        share: ShareId,
        target: TargetId,
        path: &RelPath,
        content: &Content,
    ) -> Result<bool> {
        if self.version < schema::KEEPS_TOMBSTONES {
            return Ok(false);
        }
        let folder = self.folder_of(share, path)?;
        Ok(self.db.prepare_cached(FOLLOWED)?.exists(followed(target, folder, path, content))?)
    }

    /// When the share last deleted something at a path, as far as that is remembered.
    pub fn deleted(&self, share: ShareId, path: &RelPath) -> Result<Option<Wall>> {
        if self.version < schema::KEEPS_TOMBSTONES {
            return Ok(None);
        }
        let sql = "SELECT max(at) FROM tombstone WHERE folder = ? AND name = ? AND recalled <> 2";
        let key = params![self.folder_of(share, path)?, path.name()];
        let at: Option<i64> = self.db.prepare_cached(sql)?.query_row(key, |found| found.get(0)).optional()?.flatten();
        Ok(at.map(Wall))
    }
}

/// A content that others had removed on another target, and the share followed.
const FOLLOWED: &str =
    "SELECT 1 FROM tombstone WHERE folder = ? AND name = ? AND begins = ? AND (taken <> ? OR recalled = 3)";

/// The parameters of [`FOLLOWED`].
fn followed<'p>(
    target: TargetId,
    folder: i64,
    path: &'p RelPath,
    content: &Content,
) -> impl rusqlite::Params + use<'p> {
    (folder, path.name(), u32::from_be_bytes(Tombstone::of(content).begins), target.0)
}

/// Columns `len, begins, digest`.
fn tombstone(found: &Row<'_>) -> rusqlite::Result<Tombstone> {
    let digest = row::digest_of(found.get_ref(2)?.as_blob_or_null()?);
    let begins: u32 = found.get(1)?;
    Ok(Tombstone { len: found.get::<_, Option<i64>>(0)?.map(row::unbits), begins: begins.to_be_bytes(), digest })
}

#[cfg(test)]
mod tests;
