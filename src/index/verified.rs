//! What was read back from targets and compared with what was left there: reported beside the agent, taken in by it.
//!
//! `base.verified` is when a path was last read back and found as it was left; negative if it was found otherwise. A path
//! that is put anew was not read back yet. How many were is kept by the hour, so that `status` need not count.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::index::{Cursor, Index, IndexError, OpenRow, Reader, Requests, Result, row, schema};
use crate::model::{Content, Digest, Kind, RelPath, Seen, Sight, Stamp, TargetId, Wall};
use crate::plan::{Base, Lies};

/// An hour (nanoseconds).
const HOUR: i64 = 3_600 * 1_000_000_000;

/// What a reading of one path showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number among those that wait; any before it is reported.
    pub id: i64,
    /// On which target.
    pub target: TargetId,
    /// Which path.
    pub path: RelPath,
    /// The stamp of what was left there when it was read: it says nothing of what was put since.
    pub left: Stamp,
    /// When it was read.
    pub at: Wall,
    /// What is to be made of it.
    pub outcome: Outcome,
    /// What lay there.
    pub found: Sight<(Stamp, Seen)>,
}

/// What a reading comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it was left.
    Equal,
    /// It is not, and people are told.
    Bad,
    /// It is not, and an administrator wants the right content put in its place.
    Repair,
}

/// What was read back of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Files that were found as they were left.
    pub files: u64,
    /// When the one of them was read that was read longest ago, to the hour.
    pub oldest: Option<Wall>,
    /// Paths that were found otherwise, and are so still as far as is known.
    pub bad: u64,
}

/// A path that was read back and is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMatter {
    /// Its share's name.
    pub share: String,
    /// The target's name.
    pub target: String,
    /// The path.
    pub path: RelPath,
    /// When it was read.
    pub since: Wall,
}

impl Index {
    /// Findings that wait, the oldest first.
    pub fn findings(&self, limit: usize) -> Result<Vec<Finding>> {
        let sql = "SELECT id, target, path, stamp, at, outcome, found FROM finding ORDER BY id LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], finding)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A finding was dealt with.
    pub fn drop_finding(&self, id: i64) -> Result<()> {
        self.db.prepare_cached("DELETE FROM finding WHERE id = ?")?.execute([id])?;
        Ok(())
    }

    /// Learns what a reading showed, unless something was put there since. True if the path has to be decided again.
    ///
    /// What is to be repaired becomes what was left there: that the share holds something else follows, and so does the
    /// guard by which nothing but what was read is replaced.
    pub fn take_in(&mut self, finding: &Finding) -> Result<bool> {
        let Finding { target, path, .. } = finding;
        let share = self.share_of(*target);
        let Some(base) = self.base(*target, path)? else { return Ok(false) };
        // It may have been taken for ours since, by a hash that is stored beside it: the version is the one that was read.
        let is_it = matches!(&finding.found, Sight::Present((stamp, _)) if *stamp == base.stamp);
        if base.stamp != finding.left && !is_it {
            return Ok(false);
        }
        let words = words(&base, &finding.found);
        match (finding.outcome, &finding.found) {
            (Outcome::Equal, _) => {
                self.mark(*target, path, finding.at.0, base.content)?;
                return Ok(false);
            }
            (Outcome::Bad, _) => {
                self.mark(*target, path, -finding.at.0, base.content)?;
                self.note(share, Some(*target), path, "verify", &words)?;
                if matches!(&finding.found, Sight::Present((stamp, seen)) if *stamp != base.stamp && seen.digest.is_some())
                {
                    return self.believe(finding).map(|()| true);
                }
            }
            (Outcome::Repair, Sight::Present((stamp, seen))) => {
                let digest = seen.digest.unwrap_or(Digest::FOLDER);
                let content = Content { shape: seen.shape, digest };
                self.put_base(*target, path, &Base { content, meta: seen.meta, stamp: stamp.clone() })?;
                self.mark(*target, path, -finding.at.0, content)?;
                self.note(share, Some(*target), path, "repair", &words)?;
            }
            (Outcome::Repair, Sight::Unseen | Sight::Absent | Sight::Troubled) => {
                self.mark(*target, path, -finding.at.0, base.content)?;
                self.note(share, Some(*target), path, "repair", &words)?;
            }
        }
        self.doubt(*target, path)?;
        Ok(true)
    }

    /// What was read is what lies there: a look would believe the hash that is stored beside it.
    fn believe(&mut self, finding: &Finding) -> Result<()> {
        let Finding { target, path, .. } = finding;
        let open = self.open_row(*target, path)?;
        let open = open.unwrap_or_else(|| OpenRow::new(Wall(self.now)));
        let sight = finding.found.clone();
        self.put_open(*target, path, &OpenRow { doubt: false, hold: None, sight, ..open })
    }

    /// The right content was put there.
    pub fn put_right(&mut self, target: TargetId, path: &RelPath) -> Result<()> {
        let share = self.share_of(target);
        match self.key(share, path)? {
            Some(folder) => self.unverify(target, folder, path.name(), Kind::File),
            None => Ok(()),
        }
    }

    /// Writes down when it was read, negative if it was bad.
    fn mark(&mut self, target: TargetId, path: &RelPath, at: i64, content: Content) -> Result<()> {
        let share = self.share_of(target);
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let old = self.verified_at(target, folder, path.name())?;
        let sql = "UPDATE base SET verified = ? WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![at, target.0, folder, path.name()])?;
        if content.shape.kind == Kind::File {
            self.count_verified(target, old, -1)?;
            self.count_verified(target, Some(at), 1)?;
        }
        self.read_back.insert(target);
        Ok(())
    }

    /// Another version of the same content was found there: if it was read back and bad, it still is.
    pub(super) fn unverify_good(&mut self, target: TargetId, folder: i64, name: &[u8], kind: Kind) -> Result<()> {
        let is_bad =
            self.read_back.contains(&target) && self.verified_at(target, folder, name)?.is_some_and(|at| at < 0);
        if is_bad { Ok(()) } else { self.unverify(target, folder, name, kind) }
    }

    /// What lay there is not there any more, or is another version: it was not read back.
    pub(super) fn unverify(&mut self, target: TargetId, folder: i64, name: &[u8], kind: Kind) -> Result<()> {
        if !self.read_back.contains(&target) {
            return Ok(());
        }
        let old = self.verified_at(target, folder, name)?;
        if old.is_none() {
            return Ok(());
        }
        let sql = "UPDATE base SET verified = NULL WHERE target = ? AND folder = ? AND name = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder, name])?;
        if kind == Kind::File { self.count_verified(target, old, -1) } else { Ok(()) }
    }

    /// All that was left in a folder makes room for what was left in another.
    pub(super) fn unverify_folder(&mut self, target: TargetId, folder: i64) -> Result<()> {
        if !self.read_back.contains(&target) {
            return Ok(());
        }
        let sql = "SELECT verified FROM base WHERE target = ? AND folder = ? AND verified > 0 AND kind = 1";
        let mut query = self.db.prepare_cached(sql)?;
        let times: Vec<i64> =
            query.query_map(params![target.0, folder], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        drop(query);
        times.into_iter().try_for_each(|at| self.count_verified(target, Some(at), -1))?;
        let sql = "UPDATE base SET verified = NULL WHERE target = ? AND folder = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, folder])?;
        Ok(())
    }

    fn verified_at(&self, target: TargetId, folder: i64, name: &[u8]) -> Result<Option<i64>> {
        let sql = "SELECT verified FROM base WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![target.0, folder, name], |row| row.get(0)).optional()?.flatten())
    }

    fn count_verified(&self, target: TargetId, at: Option<i64>, by: i64) -> Result<()> {
        let Some(at) = at.filter(|at| *at > 0) else { return Ok(()) };
        let sql = "INSERT INTO verified VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET files = files + ?3";
        self.db.prepare_cached(sql)?.execute(params![target.0, at / HOUR, by])?;
        let sql = "DELETE FROM verified WHERE target = ? AND hour = ? AND files <= 0";
        self.db.prepare_cached(sql)?.execute(params![target.0, at / HOUR])?;
        Ok(())
    }

    /// Which targets anything was read back of.
    pub(super) fn load_read_back(&mut self) -> Result<()> {
        let sql = "SELECT t.id FROM target t WHERE EXISTS (SELECT 1 FROM verified v WHERE v.target = t.id)
                   OR EXISTS (SELECT 1 FROM base b INDEXED BY base_bad WHERE b.target = t.id AND b.verified < 0)";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map([], |row| Ok(TargetId(row.get(0)?)))?;
        self.read_back = rows.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }
}

/// What was found in place of what was left, for people.
fn words(base: &Base, found: &Sight<(Stamp, Seen)>) -> String {
    let left = base.content.digest.short();
    match found {
        Sight::Present((_, Seen { digest: Some(digest), shape, .. })) => {
            format!("read back: content {}, {} bytes, where {left} was left", digest.short(), shape.len)
        }
        Sight::Absent => format!("read back: nothing is there, where {left} was left"),
        Sight::Present(_) | Sight::Troubled | Sight::Unseen => {
            format!("read back: it cannot be read, where {left} was left")
        }
    }
}

fn finding(row: &Row<'_>) -> rusqlite::Result<Finding> {
    Ok(Finding {
        id: row.get(0)?,
        target: TargetId(row.get(1)?),
        path: RelPath::new(row.get_ref(2)?.as_blob()?).unwrap_or_else(|_| RelPath::root()),
        left: Stamp(row.get_ref(3)?.as_blob()?.into()),
        at: Wall(row.get(4)?),
        outcome: match row.get::<_, i64>(5)? {
            0 => Outcome::Equal,
            2 => Outcome::Repair,
            _ => Outcome::Bad,
        },
        found: row::unpack_sight(row.get_ref(6)?.as_blob_or_null()?),
    })
}

impl Requests {
    /// Reports what readings showed, and the requests that they cost on a day. It is durable when this returns.
    pub fn report(&mut self, findings: &[Finding]) -> Result<()> {
        let turn = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let sql = "INSERT INTO finding (target, path, stamp, at, outcome, found) VALUES (?, ?, ?, ?, ?, ?)";
            let mut query = turn.prepare_cached(sql)?;
            for one in findings {
                let outcome = match one.outcome {
                    Outcome::Equal => 0,
                    Outcome::Bad => 1,
                    Outcome::Repair => 2,
                };
                let (path, stamp) = (one.path.as_bytes(), one.left.0.as_ref());
                query.execute(params![one.target.0, path, stamp, one.at.0, outcome, row::pack_sight(&one.found)])?;
            }
        }
        Ok(turn.commit()?)
    }

    /// How many findings wait to be taken in.
    pub fn reported(&self) -> Result<u64> {
        Ok(row::unbits(self.db.query_row("SELECT count(*) FROM finding", [], |row| row.get(0))?))
    }
}

/// Something that was left on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where.
    pub path: RelPath,
    /// What.
    pub base: Base,
}

impl Reader {
    /// Files and links that were left on a target, in the index's own order, after a cursor. `None` after the last.
    pub fn left_page(&self, target: TargetId, after: &Cursor, limit: usize) -> Result<(Vec<Left>, Option<Cursor>)> {
        let acl = self.acl_column();
        let sql = format!(
            "SELECT kind, len, digest, mtime, mode, uid, gid, stamp, {acl}, folder, name, f.path
             FROM base b JOIN folder f ON f.id = b.folder WHERE target = ? AND (folder, name) > (?, ?)
             AND kind <> 3 ORDER BY folder, name LIMIT ?"
        );
        let mut query = self.db.prepare_cached(&sql)?;
        let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = query.query(params![target.0, after.folder, after.name, limit_sql])?;
        let (mut found, mut last) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let damaged = |error: crate::model::BadPath| IndexError::Damaged(error.to_string());
            let (folder, name): (i64, Vec<u8>) = (row.get(9)?, row.get(10)?);
            let path = RelPath::new(row.get_ref(11)?.as_blob().unwrap_or_default()).map_err(damaged)?;
            found.push(Left { path: path.join(&name).map_err(damaged)?, base: row::base(row)? });
            last = Some(Cursor { folder, name });
        }
        let next = last.filter(|_| found.len() >= limit);
        Ok((found, next))
    }

    /// What was left at a path of a target just now, and whether a change of it may be under way.
    pub fn left_at(&self, target: TargetId, path: &RelPath) -> Result<Option<(Base, bool)>> {
        let share = "SELECT share FROM target WHERE id = ?";
        let share = crate::model::ShareId(self.db.query_row(share, [target.0], |row| row.get(0))?);
        let busy = self.open_at(share, target, path)?.is_some_and(|open| !open.attempts.is_empty());
        Ok(self.base_at(share, target, path)?.map(|(base, _)| (base, busy)))
    }

    /// How a path stands whose versions lie in a target's history.
    pub fn lies(&self, share: crate::model::ShareId, target: TargetId, path: &RelPath) -> Result<Lies> {
        if self.is_disputed(share, target, path)? {
            return Ok(Lies::Disputed);
        }
        let open = self.open_at(share, target, path)?;
        if self.base_at(share, target, path)?.is_some() || open.is_some_and(|open| !open.attempts.is_empty()) {
            return Ok(Lies::There);
        }
        let sql = "SELECT state FROM local WHERE folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let folder = self.folder_of(share, path)?;
        let state: Option<i64> = query.query_row(params![folder, path.name()], |row| row.get(0)).optional()?;
        Ok(if state.is_some_and(|state| state != 0) { Lies::Wanted } else { Lies::Gone })
    }

    /// How a path stands of which older versions are kept on the share itself.
    pub fn lies_on_share(&self, share: crate::model::ShareId, path: &RelPath) -> Result<Lies> {
        let sql = "SELECT state FROM local WHERE folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let folder = self.folder_of(share, path)?;
        let state: Option<i64> = query.query_row(params![folder, path.name()], |row| row.get(0)).optional()?;
        Ok(match state {
            None | Some(0) => Lies::Gone,
            Some(1) => Lies::There,
            // It could not be read: what is kept may be the last good one.
            Some(_) => Lies::Wanted,
        })
    }

    /// What was read back of a target.
    pub(super) fn read_back(&self, target: TargetId) -> Result<ReadBack> {
        if self.version < schema::READS_BACK { Ok(ReadBack::default()) } else { read_back(&self.db, target) }
    }

    /// Paths that were read back and are not as they were left.
    pub fn bad(&self, limit: usize) -> Result<Vec<BadMatter>> {
        if self.version < schema::READS_BACK {
            return Ok(Vec::new());
        }
        let sql = "SELECT s.name, t.name, f.path, b.name, -b.verified FROM base b INDEXED BY base_bad
                   JOIN target t ON t.id = b.target JOIN share s ON s.id = t.share JOIN folder f ON f.id = b.folder
                   WHERE b.verified < 0 LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let folder = RelPath::new(row.get_ref(2)?.as_blob()?).unwrap_or_else(|_| RelPath::root());
            let path = folder.join(row.get_ref(3)?.as_blob()?).unwrap_or(folder);
            Ok(BadMatter { share: row.get(0)?, target: row.get(1)?, path, since: Wall(row.get(4)?) })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn read_back(db: &Connection, target: TargetId) -> Result<ReadBack> {
    let sql = "SELECT ifnull(sum(files), 0), min(hour) FROM verified WHERE target = ?";
    let (files, hour): (i64, Option<i64>) =
        db.prepare_cached(sql)?.query_row([target.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Left to itself, the planner reads all that lies on the target.
    let sql = "SELECT count(*) FROM base INDEXED BY base_bad WHERE target = ? AND verified < 0";
    let bad: i64 = db.prepare_cached(sql)?.query_row([target.0], |row| row.get(0))?;
    Ok(ReadBack { files: row::unbits(files), oldest: hour.map(|hour| Wall(hour * HOUR)), bad: row::unbits(bad) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Meta, Shape};

    const META: Meta = Meta { mode: 0o644, mtime: Wall(7), ..Meta::NOTHING };

    fn base(digest: u8, stamp: &[u8]) -> Base {
        Base { content: Content::file(Digest([digest; 32]), 3), meta: META, stamp: Stamp(stamp.into()) }
    }

    fn index() -> (Index, TargetId, RelPath) {
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("a share").id;
        let target = index.register_target(share, "t", "/t").expect("a target").id;
        let path = RelPath::new("f/a").expect("a path");
        index.put_base(target, &path, &base(1, b"one")).expect("left");
        (index, target, path)
    }

    fn finding(target: TargetId, path: &RelPath, outcome: Outcome, found: Sight<(Stamp, Seen)>) -> Finding {
        let left = Stamp(b"one".as_slice().into());
        Finding { id: 0, target, path: path.clone(), left, at: Wall(5 * HOUR + 1), outcome, found }
    }

    fn seen(digest: u8) -> Sight<(Stamp, Seen)> {
        let shape = Shape { kind: Kind::File, len: 3 };
        let seen = Seen { shape, digest: Some(Digest([digest; 32])), meta: META };
        Sight::Present((Stamp(b"two".as_slice().into()), seen))
    }

    #[test]
    fn what_was_read_back_counts_until_something_else_is_put() {
        let (mut index, target, path) = index();
        let equal = finding(target, &path, Outcome::Equal, Sight::Unseen);
        assert!(!index.take_in(&equal).expect("taken"));
        index.take_in(&equal).expect("taken again");
        let told = ReadBack { files: 1, oldest: Some(Wall(5 * HOUR)), bad: 0 };
        assert_eq!(read_back(&index.db, target).expect("read"), told);
        index.put_base(target, &path, &base(1, b"one")).expect("the same version");
        assert_eq!(read_back(&index.db, target).expect("read"), told);
        index.put_base(target, &path, &base(2, b"other")).expect("put anew");
        assert_eq!(read_back(&index.db, target).expect("read"), ReadBack::default());
        assert!(!index.take_in(&equal).expect("taken"), "it is about an older version");
        assert_eq!(read_back(&index.db, target).expect("read"), ReadBack::default());
    }

    #[test]
    fn what_is_removed_or_moved_away_with_its_folder_is_counted_right() {
        let (mut index, target, path) = index();
        let equal = finding(target, &path, Outcome::Equal, Sight::Unseen);
        index.take_in(&equal).expect("taken");
        let [old, new] = ["f", "g"].map(|name| RelPath::new(name).expect("a path"));
        index.move_base_subtree(target, &old, &new).expect("moved");
        assert_eq!(read_back(&index.db, target).expect("read").files, 1);
        index.drop_base(target, &RelPath::new("g/a").expect("a path")).expect("dropped");
        assert_eq!(read_back(&index.db, target).expect("read"), ReadBack::default());
    }

    #[test]
    fn what_is_bad_is_told_and_only_a_repair_makes_it_what_was_left() {
        let (mut index, target, path) = index();
        index.take_in(&finding(target, &path, Outcome::Equal, Sight::Unseen)).expect("taken");
        assert!(index.take_in(&finding(target, &path, Outcome::Bad, seen(9))).expect("taken"));
        let bad = ReadBack { files: 0, oldest: None, bad: 1 };
        assert_eq!(read_back(&index.db, target).expect("read"), bad);
        assert_eq!(index.base(target, &path).expect("read"), Some(base(1, b"one")));
        let open = index.open_row(target, &path).expect("read").expect("open");
        assert_eq!((open.doubt, open.sight), (false, seen(9)), "what was read is believed");
        index.put_base(target, &path, &base(1, b"two")).expect("taken for ours");
        assert_eq!(read_back(&index.db, target).expect("read"), bad, "its bytes are no better for that");
        assert!(index.take_in(&finding(target, &path, Outcome::Repair, seen(9))).expect("taken"));
        assert_eq!(index.base(target, &path).expect("read"), Some(base(9, b"two")));
        assert_eq!(read_back(&index.db, target).expect("read"), bad, "until it is put right");
        index.put_base(target, &path, &base(1, b"three")).expect("put right");
        assert_eq!(read_back(&index.db, target).expect("read"), ReadBack::default());
    }
}
