//! Shares and targets as the index knows them, and their tallies.

use rusqlite::{OptionalExtension, params};

use crate::index::{Index, Result, ShareTally, TargetTally, row};
use crate::model::{RelPath, ShareId, TargetId, Trouble, Wall};

/// A share as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareInfo {
    /// Its number.
    pub id: ShareId,
    /// Its identity, as targets carry it.
    pub uid: String,
    /// File system id and root inode that it was bound to.
    pub bound: Option<(u64, u64)>,
    /// When the last full scan ended.
    pub scanned: Option<Wall>,
}

/// A target as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// Its number.
    pub id: TargetId,
    /// The identity that it was bound to.
    pub bound: Option<String>,
    /// When it was last listed from end to end.
    pub listed: Option<Wall>,
    /// When its history was last pruned.
    pub pruned: Option<Wall>,
    /// Why it waits for a person, as a whole.
    pub halt: Option<String>,
    /// An administrator paused it.
    pub paused: bool,
}

/// What the `trouble` table keeps apart, so that each is ended by whoever began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A path or a folder that cannot be read: a problem.
    Unreadable,
    /// A socket, FIFO or device: told, not a problem.
    Special,
    /// Names that other systems take for one: told, not a problem.
    Twin,
}

impl What {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Unreadable => 1,
            Self::Special => 2,
            Self::Twin => 3,
        }
    }
}

impl Index {
    /// The share of this name, made known if it is new. Its targets are those registered after it. One that is known keeps its
    /// identity, unless `chosen` says that a person has given it this one.
    pub fn register_share(&mut self, name: &str, root: &[u8], uid: &str, chosen: bool) -> Result<ShareInfo> {
        let sql = "INSERT INTO share (name, uid, root) VALUES (?1, ?2, ?3)
                   ON CONFLICT (name) DO UPDATE SET root = ?3, uid = IIF(?4, ?2, uid)";
        self.db.execute(sql, params![name, uid, root, chosen])?;
        let sql = "SELECT id, uid, fsid, ino, scanned FROM share WHERE name = ?";
        let info = self.db.query_row(sql, [name], |found| {
            let bound = row::bound(found, 2)?;
            let scanned = found.get::<_, Option<i64>>(4)?.map(Wall);
            Ok(ShareInfo { id: ShareId(found.get(0)?), uid: found.get(1)?, bound, scanned })
        })?;
        self.active.entry(info.id).or_default();
        self.load_tallies()?;
        Ok(info)
    }

    /// The target of this name, made known if it is new; everything is then open on it.
    pub fn register_target(&mut self, share: ShareId, name: &str, place: &str) -> Result<TargetInfo> {
        let known = "SELECT 1 FROM target WHERE share = ? AND name = ?";
        let is_new = self.db.query_row(known, params![share.0, name], |_| Ok(())).optional()?.is_none();
        let sql = "INSERT INTO target (share, name, place) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET place = ?3";
        self.db.execute(sql, params![share.0, name, place])?;
        let sql = "SELECT id, bound, listed, pruned, halt, paused FROM target WHERE share = ? AND name = ?";
        let info = self.db.query_row(sql, params![share.0, name], |found| {
            Ok(TargetInfo {
                id: TargetId(found.get(0)?),
                bound: found.get(1)?,
                listed: found.get::<_, Option<i64>>(2)?.map(Wall),
                pruned: found.get::<_, Option<i64>>(3)?.map(Wall),
                halt: found.get(4)?,
                paused: found.get(5)?,
            })
        })?;
        let served = self.active.entry(share).or_default();
        if !served.contains(&info.id) {
            served.push(info.id);
        }
        self.owner.insert(info.id, share);
        self.load_tallies()?;
        if is_new {
            self.compare_subtree(info.id, &RelPath::root())?;
        }
        Ok(info)
    }

    /// What the agent last said of a share; empty if nothing.
    pub fn share_state(&self, share: ShareId) -> Result<String> {
        Ok(self.db.query_row("SELECT state FROM share WHERE id = ?", [share.0], |row| row.get(0))?)
    }

    /// Another run begins: what was said of shares and targets is no more true of now. `begun` says what is, of each share.
    pub fn begin_states(&self, begun: impl Fn(&str) -> String) -> Result<()> {
        let mut query = self.db.prepare("SELECT id, state FROM share")?;
        let shares = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (id, state) in shares.collect::<rusqlite::Result<Vec<(i64, String)>>>()? {
            self.set_share_state(ShareId(id), &begun(&state))?;
        }
        self.db.execute("UPDATE target SET state = ''", [])?;
        Ok(())
    }

    /// Writes down which root the share is.
    pub fn bind_share(&self, share: ShareId, fsid: u64, ino: u64) -> Result<()> {
        let sql = "UPDATE share SET fsid = ?, ino = ? WHERE id = ?";
        self.db.execute(sql, params![row::bits(fsid), row::bits(ino), share.0])?;
        Ok(())
    }

    /// Whatever lies now where other mounts were inside the share is what lies there. Returns how many that are.
    pub fn forget_lost_mounts(&self, share: ShareId) -> Result<usize> {
        let sql = "UPDATE local SET state = 1, ino = 0, flags = flags & ~2 WHERE state = 2 AND flags & 2
                   AND folder IN (SELECT id FROM folder WHERE share = ?)";
        Ok(self.db.execute(sql, [share.0])?)
    }

    /// Writes down which identity the target bears.
    pub fn bind_target(&self, target: TargetId, id: &str) -> Result<()> {
        self.db.execute("UPDATE target SET bound = ? WHERE id = ?", params![id, target.0])?;
        Ok(())
    }

    /// The name of another target of its share that bears this identity already.
    pub fn twin_of(&self, target: TargetId, id: &str) -> Result<Option<String>> {
        let Some(share) = self.owner.get(&target) else { return Ok(None) };
        let others = self.active.get(share).into_iter().flatten().filter(|other| **other != target);
        for other in others {
            let sql = "SELECT name FROM target WHERE id = ? AND bound = ?";
            let name = self.db.query_row(sql, params![other.0, id], |row| row.get(0)).optional()?;
            if name.is_some() {
                return Ok(name);
            }
        }
        Ok(None)
    }

    /// An administrator says that the target is another place from now on: what lies there has to be listed first.
    pub fn bind_target_anew(&self, target: TargetId, id: &str) -> Result<()> {
        self.db.execute("UPDATE target SET bound = ?, listed = NULL WHERE id = ?", params![id, target.0])?;
        Ok(())
    }

    /// A full scan has ended; `missed` paths had changed without an event.
    pub fn scan_ended(&self, share: ShareId, at: Wall, missed: u64) -> Result<()> {
        let sql = "UPDATE share SET scanned = ?, scans = scans + 1, missed = missed + ? WHERE id = ?";
        self.db.execute(sql, params![at.0, row::bits(missed), share.0])?;
        Ok(())
    }

    /// A full listing has ended, and showed this many files that are not ours.
    pub fn listing_ended(&self, target: TargetId, at: Wall, foreign: u64) -> Result<()> {
        let sql = "UPDATE target SET listed = ?, foreign_files = ? WHERE id = ?";
        self.db.execute(sql, params![at.0, row::bits(foreign), target.0])?;
        Ok(())
    }

    /// When what gave way on the share was last pruned.
    pub fn kept_pruned(&self, share: ShareId) -> Result<Option<Wall>> {
        Ok(self.fact(&kept_pruned(share))?.and_then(|at| at.parse().ok()).map(Wall))
    }

    /// What gave way on the share was pruned.
    pub fn set_kept_pruned(&self, share: ShareId, at: Wall) -> Result<()> {
        self.set_fact(&kept_pruned(share), &at.0.to_string())
    }

    /// The history of the target was pruned.
    pub fn pruned(&self, target: TargetId, at: Wall) -> Result<()> {
        self.db.execute("UPDATE target SET pruned = ? WHERE id = ?", params![at.0, target.0])?;
        Ok(())
    }

    /// Why the target waits for a person; `None` lets it go on.
    pub fn set_halt(&self, target: TargetId, halt: Option<&str>) -> Result<()> {
        self.db.execute("UPDATE target SET halt = ? WHERE id = ?", params![halt, target.0])?;
        Ok(())
    }

    /// Pauses the target, or lets it go on.
    pub fn set_paused(&self, target: TargetId, paused: bool) -> Result<()> {
        self.db.execute("UPDATE target SET paused = ? WHERE id = ?", params![paused, target.0])?;
        Ok(())
    }

    /// What the agent says of a share or a target just now, as JSON: for `status`.
    pub fn set_share_state(&self, share: ShareId, state: &str) -> Result<()> {
        let sql = "UPDATE share SET state = ?1 WHERE id = ?2 AND state <> ?1";
        self.db.prepare_cached(sql)?.execute(params![state, share.0])?;
        Ok(())
    }

    /// See [`Index::set_share_state`].
    pub fn set_target_state(&self, target: TargetId, state: &str) -> Result<()> {
        let sql = "UPDATE target SET state = ?1 WHERE id = ?2 AND state <> ?1";
        self.db.prepare_cached(sql)?.execute(params![state, target.0])?;
        Ok(())
    }

    /// Takes the oldest request of an administrator (`approve`, `pause`, `resume`).
    pub fn take_request(&self) -> Result<Option<(String, Option<TargetId>)>> {
        let sql = "DELETE FROM request WHERE id = (SELECT min(id) FROM request) RETURNING what, target";
        let mut query = self.db.prepare_cached(sql)?;
        let take = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(TargetId)));
        Ok(query.query_row([], take).optional()?)
    }

    /// A number that grows with each row that was written here.
    pub fn own_changes(&self) -> u64 {
        self.db.total_changes()
    }

    /// A number that changes whenever another process has written.
    pub fn outside_version(&self) -> Result<i64> {
        Ok(self.db.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Something is the matter with a path of the share. True if it was not before.
    pub fn begin_trouble(&self, share: ShareId, path: &RelPath, what: What, trouble: &Trouble) -> Result<bool> {
        let known = "SELECT message = ?4 FROM trouble WHERE share = ?1 AND path = ?2 AND what = ?3";
        let key = params![share.0, path.as_bytes(), what.code(), trouble.message];
        let same: Option<bool> = self.db.prepare_cached(known)?.query_row(key, |row| row.get(0)).optional()?;
        if same == Some(true) {
            return Ok(false);
        }
        let sql = "INSERT INTO trouble VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET message = excluded.message, hint = excluded.hint";
        let row = params![share.0, path.as_bytes(), what.code(), trouble.message, trouble.hint, self.now];
        self.db.prepare_cached(sql)?.execute(row)?;
        Ok(same.is_none())
    }

    /// Nothing of this sort is the matter with the path any more. True if something was.
    pub fn end_trouble(&self, share: ShareId, path: &RelPath, what: What) -> Result<bool> {
        let sql = "DELETE FROM trouble WHERE share = ? AND path = ? AND what = ?";
        Ok(self.db.prepare_cached(sql)?.execute(params![share.0, path.as_bytes(), what.code()])? > 0)
    }

    /// Nothing below this path is the matter any more: it is gone.
    pub(super) fn end_troubles_below(&self, share: ShareId, path: &RelPath) -> Result<()> {
        let (low, high) = super::span(path);
        let sql = "DELETE FROM trouble WHERE share = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4))";
        self.db.prepare_cached(sql)?.execute(params![share.0, path.as_bytes(), low, high])?;
        Ok(())
    }

    /// The direct children of a folder with trouble of this sort.
    pub fn troubled_in(&self, share: ShareId, folder: &RelPath, what: What) -> Result<Vec<RelPath>> {
        let (low, high) = super::span(folder);
        let sql = "SELECT path FROM trouble WHERE share = ? AND path >= ? AND path < ? AND what = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map(params![share.0, low, high, what.code()], |row| row.get::<_, Vec<u8>>(0))?;
        let paths: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        let paths = paths.iter().filter_map(|bytes| RelPath::new(bytes).ok());
        Ok(paths.filter(|path| path.parent().as_ref() == Some(folder)).collect())
    }

    /// Paths of all shares that cannot be read.
    pub fn count_problems(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM trouble WHERE what = ?";
        Ok(row::unbits(self.db.query_row(sql, [What::Unreadable.code()], |found| found.get(0))?))
    }

    /// True if the share has any trouble at all: most have none, and a scan need not ask for each folder.
    pub fn is_troubled(&self, share: ShareId) -> Result<bool> {
        let mut query = self.db.prepare_cached("SELECT 1 FROM trouble WHERE share = ? LIMIT 1")?;
        Ok(query.exists([share.0])?)
    }

    /// The counts of a share.
    pub fn share_tally(&self, share: ShareId) -> ShareTally {
        self.shares.get(&share).copied().unwrap_or_default()
    }

    /// The counts of a target.
    pub fn target_tally(&self, target: TargetId) -> TargetTally {
        self.targets.get(&target).copied().unwrap_or_default()
    }

    pub(super) fn load_tallies(&mut self) -> Result<()> {
        let mut query = self.db.prepare("SELECT id, files, bytes, folders, links, hard_links FROM share")?;
        let rows = query.query_map([], |row| {
            let tally = ShareTally {
                files: row.get(1)?,
                bytes: row.get(2)?,
                folders: row.get(3)?,
                links: row.get(4)?,
                hard_links: row.get(5)?,
            };
            Ok((ShareId(row.get(0)?), tally))
        })?;
        self.shares = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        let mut query = self.db.prepare("SELECT id, files, bytes, items, pending, pending_bytes, holds FROM target")?;
        let rows = query.query_map([], |row| {
            let tally = TargetTally {
                files: row.get(1)?,
                bytes: row.get(2)?,
                items: row.get(3)?,
                pending: row.get(4)?,
                pending_bytes: row.get(5)?,
                holds: row.get(6)?,
            };
            Ok((TargetId(row.get(0)?), tally))
        })?;
        self.targets = rows.collect::<rusqlite::Result<_>>()?;
        drop(query);
        self.load_inherits()?;
        self.load_read_back()
    }

    pub(super) fn save_tallies(&self) -> Result<()> {
        let sql = "UPDATE share SET files = ?2, bytes = ?3, folders = ?4, links = ?5, hard_links = ?6 WHERE id = ?1
                   AND (files, bytes, folders, links, hard_links) IS NOT (?2, ?3, ?4, ?5, ?6)";
        for (id, t) in &self.shares {
            let row = params![id.0, t.files, t.bytes, t.folders, t.links, t.hard_links];
            self.db.prepare_cached(sql)?.execute(row)?;
        }
        let sql = "UPDATE target SET files = ?2, bytes = ?3, items = ?4, pending = ?5, pending_bytes = ?6, holds = ?7
                   WHERE id = ?1 AND (files, bytes, items, pending, pending_bytes, holds) IS NOT (?2, ?3, ?4, ?5, ?6, ?7)";
        for (id, t) in &self.targets {
            let row = params![id.0, t.files, t.bytes, t.items, t.pending, t.pending_bytes, t.holds];
            self.db.prepare_cached(sql)?.execute(row)?;
        }
        Ok(())
    }
}

fn kept_pruned(share: ShareId) -> String {
    format!("kept of share {} pruned", share.0)
}
