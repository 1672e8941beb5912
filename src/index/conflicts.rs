//! Where both sides had changed a path: which version stands under the name, and which gave way and lies in history.
//!
//! A row is written in the same turn as the attempt of the put that makes the other version give way, and so before it. While
//! that put is under way the row is only begun, and nobody is shown it. It stands once the put is known to be made, and also
//! once nothing is under way any more and nothing has shown that the put came to nothing ([`plan::stands`](crate::plan::stands)):
//! a crash at any instant loses no conflict. It goes when a person has resolved it.

use rusqlite::{OptionalExtension, Row, params};

use crate::index::request::{RESOLVE, Resolution};
use crate::index::{Index, Reader, Result, row, schema};
use crate::model::{Digest, RelPath, Seen, Shape, ShareId, Stamp, TargetId, Wall};
use crate::plan::{Begun, Since, stands};

/// The `state` of a conflict whose put began and whose end is not known; 0 is one that stands.
const UNKNOWN: i64 = 1;
/// Of one whose put the target says that it has not made.
const REFUSED: i64 = 2;
/// Of one whose put is tried once more while the end of an earlier try is not known: whatever becomes of this one, that one may
/// have been made.
const AGAIN: i64 = 3;

/// One side's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// What it is.
    pub shape: Shape,
    /// What it holds; `None` if it was never read.
    pub digest: Option<Digest>,
    /// When it was changed.
    pub mtime: Wall,
    /// Whose it is; [`crate::model::Meta::NOT_KNOWN`] if nobody tells.
    pub uid: u32,
}

impl From<&Seen> for Side {
    fn from(seen: &Seen) -> Self {
        let digest = seen.digest.filter(|digest| ![Digest::FOLDER, Digest::UNPROVED].contains(digest));
        Self { shape: seen.shape, digest, mtime: seen.meta.mtime, uid: seen.meta.uid }
    }
}

/// What two sides had made of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The target's word for the version that gave way.
    pub stamp: Stamp,
    /// The version of the target, which gave way.
    pub theirs: Side,
    /// The version of the share, which stays under the name.
    pub ours: Side,
    /// Both had it when they first met; else both had changed what was the same before.
    pub both_new: bool,
}

/// A conflict that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictMatter {
    /// Its number.
    pub id: i64,
    /// Its share's name.
    pub share: String,
    /// The target's name.
    pub target: String,
    /// The path.
    pub path: RelPath,
    /// Since when.
    pub since: Wall,
    /// What it is about.
    pub what: Conflict,
}

/// A row waits for a person. What one has asked for is as good as done; while a put is under way there is nothing to ask yet.
const WAITS: &str = "(c.state = 0 OR NOT EXISTS (SELECT 1 FROM open o WHERE o.target = c.target AND o.folder = c.folder
    AND o.name = c.name AND o.attempts IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM request r WHERE r.target = c.id AND r.what GLOB 'resolve *')";

impl Index {
    /// A put begins over what others had changed, or one that takes the place of no change of theirs (`None`).
    pub fn begin_conflict(&mut self, target: TargetId, path: &RelPath, new: Option<&Conflict>) -> Result<()> {
        let mut state = UNKNOWN;
        if let Some((id, begun, stamp)) = self.begun_conflict(target, path)? {
            if new.is_some_and(|new| new.stamp == stamp) {
                if begun == Begun::Unknown {
                    state = AGAIN;
                }
                self.db.prepare_cached("DELETE FROM conflict WHERE id = ?")?.execute([id])?;
            } else {
                self.end_conflict(id, begun, Since::Else)?;
            }
        }
        let Some(Conflict { stamp, theirs, ours, both_new }) = new else { return Ok(()) };
        let folder = self.made_key(self.share_of(target), path)?;
        let sql = "INSERT INTO conflict (target, folder, name, state, both_new, since, stamp, their_kind, their_len,
                   their_digest, their_mtime, their_uid, our_kind, our_len, our_digest, our_mtime, our_uid)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.db.prepare_cached(sql)?.execute(params![
            target.0,
            folder,
            path.name(),
            state,
            both_new,
            self.now,
            stamp.0.as_ref(),
            row::kind_code(theirs.shape.kind),
            row::bits(theirs.shape.len),
            theirs.digest.as_ref().map(|digest| digest.0.as_slice()),
            theirs.mtime.0,
            theirs.uid,
            row::kind_code(ours.shape.kind),
            row::bits(ours.shape.len),
            ours.digest.as_ref().map(|digest| digest.0.as_slice()),
            ours.mtime.0,
            ours.uid,
        ])?;
        Ok(())
    }

    fn begun_conflict(&mut self, target: TargetId, path: &RelPath) -> Result<Option<(i64, Begun, Stamp)>> {
        let Some(folder) = self.key(self.share_of(target), path)? else { return Ok(None) };
        let sql = "SELECT id, state, stamp FROM conflict WHERE target = ? AND folder = ? AND name = ? AND state <> 0
                   ORDER BY id DESC LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        let read = |found: &Row<'_>| {
            let begun = if found.get::<_, i64>(1)? == REFUSED { Begun::Refused } else { Begun::Unknown };
            Ok((found.get(0)?, begun, Stamp(found.get::<_, Vec<u8>>(2)?.into())))
        };
        Ok(query.query_row(params![target.0, folder, path.name()], read).optional()?)
    }

    fn end_conflict(&self, id: i64, begun: Begun, since: Since) -> Result<bool> {
        let stays = stands(begun, since);
        let sql =
            if stays { "UPDATE conflict SET state = 0 WHERE id = ?" } else { "DELETE FROM conflict WHERE id = ?" };
        self.db.prepare_cached(sql)?.execute([id])?;
        Ok(stays)
    }

    /// The target says that it has not made the put.
    pub fn refuse_conflict(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        if let Some((id, ..)) = self.begun_conflict(target, path)? {
            let sql = "UPDATE conflict SET state = iif(state = ?1, ?2, ?3) WHERE id = ?4";
            self.db.prepare_cached(sql)?.execute([AGAIN, UNKNOWN, REFUSED, id])?;
        }
        Ok(())
    }

    /// What lies there is seen since: what the share sent, or this version of somebody else's (`None` for nothing). True if
    /// there is a conflict now that stands, and was not known to before.
    pub fn settle_conflict(
        &mut self,
        target: TargetId,
        path: &RelPath,
        ours: bool,
        stamp: Option<&Stamp>,
    ) -> Result<bool> {
        let Some((id, begun, theirs)) = self.begun_conflict(target, path)? else { return Ok(false) };
        let since = match stamp {
            _ if ours => Since::Ours,
            Some(stamp) if *stamp == theirs => Since::Theirs,
            Some(_) | None => Since::Else,
        };
        self.end_conflict(id, begun, since)
    }

    /// Takes what people have resolved: it is gone, and told in the audit trail, all in one turn. Returns how many.
    pub fn take_resolutions(&mut self) -> Result<usize> {
        let sql = "DELETE FROM request WHERE what GLOB 'resolve *' RETURNING what, target";
        let mut query = self.db.prepare_cached(sql)?;
        let asked = query.query_map([], |found| Ok((found.get(0)?, found.get(1)?)))?;
        let asked = asked.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
        drop(query);
        for (what, id) in &asked {
            let kept = what.strip_prefix(RESOLVE).and_then(Resolution::from_word);
            if let (Some(kept), Some((share, target, path))) = (kept, self.drop_conflict(*id)?) {
                self.note(share, Some(target), &path, "resolve", kept.told())?;
            }
        }
        Ok(asked.len())
    }

    fn drop_conflict(&mut self, id: i64) -> Result<Option<(ShareId, TargetId, RelPath)>> {
        let sql = "DELETE FROM conflict WHERE id = ? RETURNING target, folder, name";
        let mut query = self.db.prepare_cached(sql)?;
        let read = |found: &Row<'_>| Ok((TargetId(found.get(0)?), found.get(1)?, found.get::<_, Vec<u8>>(2)?));
        let gone: Option<(TargetId, i64, Vec<u8>)> = query.query_row([id], read).optional()?;
        drop(query);
        let Some((target, folder, name)) = gone else { return Ok(None) };
        let sql = "SELECT share FROM folder WHERE id = ?";
        let share = ShareId(self.db.prepare_cached(sql)?.query_row([folder], |found| found.get(0))?);
        Ok(Some((share, target, self.path_of(folder, &name)?)))
    }

    /// The path is held, and this version of somebody else's lies there (`None` for nothing): where it is what was to give way,
    /// the put may still be made. True as for [`Index::settle_conflict`].
    pub fn hold_conflict(&mut self, target: TargetId, path: &RelPath, there: Option<&Stamp>) -> Result<bool> {
        match self.begun_conflict(target, path)? {
            Some((id, begun, theirs)) if there != Some(&theirs) => self.end_conflict(id, begun, Since::Else),
            Some(_) | None => Ok(false),
        }
    }

    /// What waits for a person on a target.
    pub fn conflicts_on(&mut self, target: TargetId) -> Result<Vec<(RelPath, Conflict)>> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE c.target = ? AND {WAITS} ORDER BY c.id");
        let mut query = self.db.prepare_cached(&sql)?;
        let rows = query.query_map([target.0], matter)?;
        rows.map(|row| row.map(|matter| (matter.path, matter.what)).map_err(Into::into)).collect()
    }
}

impl Reader {
    /// Conflicts that wait for a person, with higher numbers than this one: in their order, which is that of their times. Of
    /// one path only, if one is named.
    pub fn conflicts_after(
        &self,
        after: i64,
        at: Option<(ShareId, &RelPath)>,
        limit: usize,
    ) -> Result<Vec<ConflictMatter>> {
        if self.version < schema::KEEPS_CONFLICTS {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let Some((share, path)) = at else {
            let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE c.id > ? AND {WAITS} ORDER BY c.id LIMIT ?");
            let mut query = self.db.prepare_cached(&sql)?;
            let rows = query.query_map([after, limit], matter)?;
            return Ok(rows.collect::<rusqlite::Result<_>>()?);
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE c.id > ? AND s.id = ? AND c.folder = ? AND c.name = ? AND {WAITS}
             ORDER BY c.id LIMIT ?"
        );
        let folder = self.folder_of(share, path)?;
        let mut query = self.db.prepare_cached(&sql)?;
        let rows = query.query_map(params![after, share.0, folder, path.name(), limit], matter)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many of them are on a target.
    pub(super) fn count_conflicts(&self, target: TargetId) -> Result<u64> {
        if self.version < schema::KEEPS_CONFLICTS {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM conflict c WHERE c.target = ? AND {WAITS}");
        Ok(row::unbits(self.db.prepare_cached(&sql)?.query_row([target.0], |found| found.get(0))?))
    }

    /// True if which version of a path is wanted is not known yet, or may come to be asked.
    pub(super) fn is_disputed(&self, share: ShareId, target: TargetId, path: &RelPath) -> Result<bool> {
        if self.version < schema::KEEPS_CONFLICTS {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM conflict WHERE target = ? AND folder = ? AND name = ? LIMIT 1";
        let folder = self.folder_of(share, path)?;
        Ok(self.db.prepare_cached(sql)?.exists(params![target.0, folder, path.name()])?)
    }
}

const TABLES: &str =
    "conflict c JOIN target t ON t.id = c.target JOIN share s ON s.id = t.share JOIN folder f ON f.id = c.folder";
const COLUMNS: &str = "c.id, s.name, t.name, f.path, c.name, c.since, c.both_new, c.stamp, c.their_kind, c.their_len,
    c.their_digest, c.their_mtime, c.their_uid, c.our_kind, c.our_len, c.our_digest, c.our_mtime, c.our_uid";

fn matter(found: &Row<'_>) -> rusqlite::Result<ConflictMatter> {
    let folder = RelPath::new(found.get::<_, Vec<u8>>(3)?).unwrap_or_else(|_| RelPath::root());
    let path = folder.join(found.get::<_, Vec<u8>>(4)?).unwrap_or_else(|_| RelPath::root());
    Ok(ConflictMatter {
        id: found.get(0)?,
        share: found.get(1)?,
        target: found.get(2)?,
        path,
        since: Wall(found.get(5)?),
        what: Conflict {
            both_new: found.get(6)?,
            stamp: Stamp(found.get::<_, Vec<u8>>(7)?.into()),
            theirs: side(found, 8)?,
            ours: side(found, 13)?,
        },
    })
}

fn side(found: &Row<'_>, at: usize) -> rusqlite::Result<Side> {
    Ok(Side {
        shape: Shape { kind: row::kind_of(found.get(at)?), len: row::unbits(found.get(at + 1)?) },
        digest: row::digest_of(found.get_ref(at + 2)?.as_blob_or_null()?),
        mtime: Wall(found.get(at + 3)?),
        uid: found.get(at + 4)?,
    })
}

#[cfg(test)]
mod tests;
