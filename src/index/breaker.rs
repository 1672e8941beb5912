//! What the breaker goes by: what was taken away and replaced on a target hour by hour, and what waits to be.

use rusqlite::{OptionalExtension, Row, params};

use crate::index::{Index, Result, row};
use crate::model::{RelPath, ShareId, TargetId, Wall};
use crate::plan::{Cause, Changes, HEAD_MIN, HOURS_KEPT, Waiting};

/// Names of one file's heirs that are looked at (count).
const HEIRS_MAX: i64 = 8;

/// What was changed on a target in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// All of it.
    pub made: Changes,
    /// What a person has let through of it.
    pub seen: Changes,
}

/// Files that wait to be taken away or replaced on a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// How many.
    pub files: u64,
    /// Their bytes there.
    pub bytes: u64,
    /// In how many folders they lie.
    pub folders: u64,
    /// When the first of them was noticed.
    pub since: Option<Wall>,
    /// The folders with most of them, and how many.
    pub top: Vec<(RelPath, u64)>,
    /// Some of them.
    pub samples: Vec<RelPath>,
}

/// What a file may have been turned into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heir {
    /// Where it lies.
    pub path: RelPath,
    /// It holds noise; else nobody knows yet what it holds.
    pub is_noise: bool,
}

/// Part of a query about what is open (`o`) and the share (`l`), with what we left (`b`): bears the marks of encryption.
const SCRAMBLED: &str = "iif(o.gone, EXISTS (SELECT 1 FROM local h WHERE h.folder = o.folder AND h.state = 1
    AND h.flags & 8 AND h.name > CAST(o.name || x'2e' AS BLOB) AND h.name < CAST(o.name || x'2f' AS BLOB)),
    l.flags & 8 <> 0 AND l.digest <> b.digest)";

impl Index {
    /// What was changed on a target in one hour ([`Wall::hour`]).
    pub fn hour(&self, target: TargetId, hour: i64) -> Result<Hour> {
        let sql = "SELECT removed, replaced, scrambled, seen_removed, seen_replaced, seen_scrambled FROM hours
                   WHERE target = ? AND hour = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let read = |found: &Row<'_>| Ok(Hour { made: changes(found, 0)?, seen: changes(found, 3)? });
        Ok(query.query_row(params![target.0, hour], read).optional()?.unwrap_or_default())
    }

    /// Writes down what was changed in an hour, and forgets what is older than four weeks.
    pub fn put_hour(&self, target: TargetId, hour: i64, counts: &Hour) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let Hour { made, seen } = counts;
        let [a, b, c] = [made.removed, made.replaced, made.scrambled].map(row::bits);
        let [d, e, f] = [seen.removed, seen.replaced, seen.scrambled].map(row::bits);
        self.db.prepare_cached(sql)?.execute(params![target.0, hour, a, b, c, d, e, f])?;
        let sql = "DELETE FROM hours WHERE target = ? AND hour <= ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, hour - HOURS_KEPT])?;
        Ok(())
    }

    /// What was changed on a target in each hour before this one that is kept, in their order.
    pub fn hours_before(&self, target: TargetId, hour: i64) -> Result<Vec<(i64, Changes)>> {
        let sql = "SELECT removed, replaced, scrambled, hour FROM hours WHERE target = ? AND hour > ? AND hour < ?
                   ORDER BY hour";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query
            .query_map(params![target.0, hour - HOURS_KEPT, hour], |found| Ok((found.get(3)?, changes(found, 0)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many files may be taken away and replaced because a person said so.
    pub fn pass(&self, target: TargetId) -> Result<Changes> {
        let sql = "SELECT pass_removed, pass_replaced, 0 FROM target WHERE id = ?";
        Ok(self.db.prepare_cached(sql)?.query_row([target.0], |found| changes(found, 0))?)
    }

    /// See [`Index::pass`].
    pub fn set_pass(&self, target: TargetId, pass: Changes) -> Result<()> {
        let sql = "UPDATE target SET pass_removed = ?, pass_replaced = ? WHERE id = ?";
        let [removed, replaced] = [pass.removed, pass.replaced].map(row::bits);
        self.db.prepare_cached(sql)?.execute(params![removed, replaced, target.0])?;
        Ok(())
    }

    /// How many files wait to be taken away, without those that a rename explains.
    pub fn waiting_removals(&self, target: TargetId) -> Result<u64> {
        let sql =
            "SELECT count(*) FROM open o JOIN base b ON b.target = o.target AND b.folder = o.folder AND b.name = o.name
                   WHERE o.target = ? AND o.gone AND o.hold IS NULL AND b.kind = 1";
        let all: i64 = self.db.prepare_cached(sql)?.query_row([target.0], |found| found.get(0))?;
        let theirs = self.waiting_takes(target)?;
        Ok(row::unbits(all).saturating_sub(self.waiting_renames(target)?).saturating_add(theirs.removed))
    }

    /// Files of the share that wait to be taken away or replaced, because others did so on the target.
    fn waiting_takes(&self, target: TargetId) -> Result<Changes> {
        if !self.taking.contains(&target) {
            return Ok(Changes::NONE);
        }
        // As `row::pack_sight` writes it: one byte 0 is absence, a first byte 1 presence.
        let sql = "SELECT ifnull(sum(substr(o.sight, 1, 1) = x'00'), 0), ifnull(sum(substr(o.sight, 1, 1) = x'01'), 0), 0
            FROM open o JOIN base b ON b.target = o.target AND b.folder = o.folder AND b.name = o.name
            JOIN local l ON l.folder = o.folder AND l.name = o.name
            WHERE o.target = ? AND NOT o.gone AND o.hold IS NULL AND b.kind = 1 AND l.state = 1 AND l.digest = b.digest";
        Ok(self.db.prepare_cached(sql)?.query_row([target.0], |found| changes(found, 0))?)
    }

    /// Files that wait to be renamed: each stands for one that is gone.
    fn waiting_renames(&self, target: TargetId) -> Result<u64> {
        let sql = "SELECT count(*) FROM open o JOIN local l ON l.folder = o.folder AND l.name = o.name
                   WHERE o.target = ? AND o.origin IS NOT NULL AND l.kind = 1";
        Ok(row::unbits(self.db.prepare_cached(sql)?.query_row([target.0], |found| found.get(0))?))
    }

    /// What waits to be taken away and to be replaced, as far as it is known.
    pub fn waiting(&self, target: TargetId) -> Result<Waiting> {
        let sql = format!(
            "SELECT ifnull(sum(o.gone), 0),
            ifnull(sum(NOT o.gone AND (l.digest IS NULL OR l.digest <> b.digest)), 0),
            ifnull(sum({SCRAMBLED}), 0),
            ifnull(sum(NOT o.gone AND l.state = 1 AND l.kind = 1 AND l.digest IS NULL), 0)
            FROM open o JOIN base b ON b.target = o.target AND b.folder = o.folder AND b.name = o.name
            LEFT JOIN local l ON l.folder = o.folder AND l.name = o.name
            WHERE o.target = ? AND o.hold IS NULL AND b.kind = 1"
        );
        let read = |found: &Row<'_>| Ok((changes(found, 0)?, row::unbits(found.get(3)?)));
        let (mut changes, unread) = self.db.prepare_cached(&sql)?.query_row([target.0], read)?;
        changes.removed = changes.removed.saturating_sub(self.waiting_renames(target)?);
        let changes = changes + self.waiting_takes(target)?;
        Ok(Waiting { changes, unread })
    }

    /// What can be told of the files that wait to be taken away, with at most so many names of each sort.
    pub fn removals(&mut self, target: TargetId, names: usize) -> Result<Removals> {
        self.told_of(target, Cause::Removals, names)
    }

    /// What can be told of the files that wait and are of this kind, with at most so many names of each sort.
    pub fn told_of(&mut self, target: TargetId, cause: Cause, names: usize) -> Result<Removals> {
        let which = match cause {
            Cause::Removals => "o.gone",
            Cause::Replacements => "NOT o.gone AND (l.digest IS NULL OR l.digest <> b.digest)",
            Cause::Encryption => SCRAMBLED,
        };
        let waiting = format!(
            "FROM open o JOIN base b ON b.target = o.target AND b.folder = o.folder AND b.name = o.name
             LEFT JOIN local l ON l.folder = o.folder AND l.name = o.name
             WHERE o.target = ?1 AND o.hold IS NULL AND b.kind = 1 AND {which}"
        );
        let sql = format!("SELECT count(*), ifnull(sum(b.len), 0), count(DISTINCT o.folder), min(o.since) {waiting}");
        let mut told = self.db.query_row(&sql, [target.0], |found| {
            let count = |at: usize| found.get(at).map(row::unbits);
            let since = found.get::<_, Option<i64>>(3)?.map(Wall);
            Ok(Removals { files: count(0)?, bytes: count(1)?, folders: count(2)?, since, ..Removals::default() })
        })?;
        let limit = i64::try_from(names).unwrap_or(i64::MAX);
        let sql =
            format!("SELECT o.folder, count(*) {waiting} GROUP BY o.folder ORDER BY count(*) DESC, o.folder LIMIT ?2");
        let mut query = self.db.prepare(&sql)?;
        let read = |found: &Row<'_>| Ok((found.get::<_, i64>(0)?, row::unbits(found.get(1)?)));
        let top = query.query_map([target.0, limit], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let sql = format!("SELECT o.folder, o.name {waiting} LIMIT ?2");
        let mut samples = self.db.prepare(&sql)?;
        let read = |found: &Row<'_>| Ok((found.get::<_, i64>(0)?, found.get::<_, Vec<u8>>(1)?));
        let rows = samples.query_map([target.0, limit], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        drop((query, samples));
        told.top =
            top.into_iter().map(|(folder, count)| Ok((self.folder_path(folder)?, count))).collect::<Result<_>>()?;
        told.samples = rows.into_iter().map(|(folder, name)| self.path_of(folder, &name)).collect::<Result<_>>()?;
        Ok(told)
    }

    /// What a file may have been turned into: files of the same folder that begin like it up to its last dot, and hold noise
    /// or were not read yet. A few at most.
    pub fn heirs(&mut self, share: ShareId, path: &RelPath) -> Result<Vec<Heir>> {
        let (Some(folder), Some(parent)) = (self.key(share, path)?, path.parent()) else { return Ok(Vec::new()) };
        let name = path.name();
        let stem = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).map_or(name, |dot| &name[..dot]);
        let bound = |byte: u8| [stem, &[byte]].concat();
        let sql = "SELECT name, digest IS NOT NULL FROM local WHERE folder = ? AND name > ? AND name < ? AND state = 1 AND kind = 1
                   AND (flags & 8 OR (digest IS NULL AND len >= ?)) LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let least = i64::try_from(HEAD_MIN).unwrap_or(i64::MAX);
        let read = |found: &Row<'_>| Ok((found.get::<_, Vec<u8>>(0)?, found.get(1)?));
        let rows = query.query_map(params![folder, bound(b'.'), bound(b'/'), least, HEIRS_MAX], read)?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter();
        let heirs = rows.filter_map(|(name, is_noise)| Some(Heir { path: parent.join(name).ok()?, is_noise }));
        Ok(heirs.collect())
    }
}

fn changes(found: &Row<'_>, at: usize) -> rusqlite::Result<Changes> {
    let count = |at: usize| found.get(at).map(row::unbits);
    Ok(Changes { removed: count(at)?, replaced: count(at + 1)?, scrambled: count(at + 2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{LocalRow, Presence};
    use crate::model::{Content, Digest, Kind, Meta, Shape, Stamp, Stat};
    use crate::plan::Base;

    const SHARE: ShareId = ShareId(1);
    const TARGET: TargetId = TargetId(1);

    fn path(name: impl AsRef<[u8]>) -> RelPath {
        RelPath::new(name).expect("a test's path is fine")
    }

    fn index() -> Index {
        let mut index = Index::in_memory().expect("memory");
        index.begin(Wall(100)).expect("begun");
        index.register_share("s", b"/s", "uid", false).expect("known");
        index.register_target(SHARE, "t", "/t").expect("known");
        index
    }

    fn stat() -> Stat {
        let meta = Meta { mode: 0o644, mtime: Wall(7), ..Meta::NOTHING };
        let shape = Shape { kind: Kind::File, len: 10 };
        Stat { shape, ino: 9, ctime: Wall(8), meta, nlink: 1, mounted: false }
    }

    /// Left on the target as content 1.
    fn leave(index: &mut Index, name: impl AsRef<[u8]>) {
        let content = Content::file(Digest([1; 32]), 10);
        let base = Base { content, meta: stat().meta, stamp: Stamp(b"s".as_slice().into()) };
        index.put_base(TARGET, &path(name), &base).expect("left");
    }

    /// Seen on the share, holding `content` if it was read.
    fn see(index: &mut Index, name: impl AsRef<[u8]>, content: Option<u8>, noise: bool) {
        let run = index.run();
        let row = LocalRow { noise, ..LocalRow::fresh(stat(), content.map(|byte| Digest([byte; 32])), run) };
        index.put_local(SHARE, &path(name), &row).expect("seen");
    }

    fn lose(index: &mut Index, name: impl AsRef<[u8]>) {
        let run = index.run();
        let row = LocalRow { state: Presence::Absent, ..LocalRow::fresh(stat(), None, run) };
        index.put_local(SHARE, &path(name), &row).expect("lost");
    }

    #[test]
    fn hours_are_kept_for_four_weeks() {
        let index = index();
        let some = Changes { removed: 1, replaced: 2, scrambled: 3 };
        let counts = Hour { made: some, seen: Changes { removed: 1, ..Changes::NONE } };
        index.put_hour(TARGET, 5, &counts).expect("put");
        index.put_hour(TARGET, 6, &counts).expect("put");
        assert_eq!(index.hour(TARGET, 5).expect("read"), counts);
        assert_eq!(index.hour(TARGET, 7).expect("read"), Hour::default());
        assert_eq!(index.hours_before(TARGET, 6).expect("read"), [(5, some)]);
        index.put_hour(TARGET, 5 + HOURS_KEPT, &counts).expect("put");
        assert_eq!(index.hours_before(TARGET, 6 + HOURS_KEPT).expect("read"), [(5 + HOURS_KEPT, some)]);
    }

    #[test]
    fn a_pass_is_remembered() {
        let index = index();
        assert_eq!(index.pass(TARGET).expect("read"), Changes::NONE);
        let pass = Changes { removed: 7, replaced: 9, scrambled: 0 };
        index.set_pass(TARGET, pass).expect("set");
        assert_eq!(index.pass(TARGET).expect("read"), pass);
    }

    #[test]
    fn what_waits_is_counted_by_what_would_be_lost() {
        let mut index = index();
        for name in ["same", "gone", "edited", "unread", "locked.docx", "off/gone.pdf", "off/also"] {
            leave(&mut index, name);
        }
        see(&mut index, "same", Some(1), false);
        see(&mut index, "new", Some(2), true);
        see(&mut index, "edited", Some(2), false);
        see(&mut index, "unread", None, false);
        see(&mut index, "locked.docx", Some(3), true);
        see(&mut index, "off/gone.pdf.xyz", Some(4), true);
        for name in ["gone", "off/gone.pdf", "off/also"] {
            lose(&mut index, name);
        }
        index
            .put_base(
                TARGET,
                &path("old folder"),
                &Base { content: Content::FOLDER, meta: stat().meta, stamp: Stamp(b"f".as_slice().into()) },
            )
            .expect("left");
        lose(&mut index, "old folder");
        let wanted = Changes { removed: 3, replaced: 3, scrambled: 2 };
        assert_eq!(index.waiting(TARGET).expect("asked"), Waiting { changes: wanted, unread: 1 });
        assert_eq!(index.waiting_removals(TARGET).expect("asked"), 3);
        let told = index.removals(TARGET, 2).expect("asked");
        assert_eq!((told.files, told.bytes, told.folders, told.since), (3, 30, 2, Some(Wall(100))));
        assert_eq!(told.top, [(path("off"), 2), (RelPath::root(), 1)]);
        assert_eq!(told.samples.len(), 2);
    }

    #[test]
    fn a_rename_that_waits_is_no_removal() {
        let mut index = index();
        leave(&mut index, "old/a");
        see(&mut index, "new/a", None, false);
        lose(&mut index, "old/a");
        assert_eq!(index.waiting_removals(TARGET).expect("asked"), 1);
        index.set_origin(SHARE, &path("new/a"), &path("old/a")).expect("set");
        assert_eq!(index.waiting_removals(TARGET).expect("asked"), 0);
        assert_eq!(index.waiting(TARGET).expect("asked").changes.removed, 0);
    }

    #[test]
    fn heirs_begin_with_the_name_or_its_stem_and_are_noise() {
        let mut index = index();
        for (name, noise) in [
            (&b"offer.docx.locked"[..], true),
            (b"offer.enc", true),
            (b"offer.pdf", false),
            (b"offers.locked", true),
            (b"\xff\xfe.docx.locked", true),
        ] {
            see(&mut index, name, Some(1), noise);
        }
        see(&mut index, "offer.new", None, false);
        let noise = |name: &[u8]| Heir { path: path(name), is_noise: true };
        let wanted = [noise(b"offer.docx.locked"), noise(b"offer.enc")];
        assert_eq!(
            index.heirs(SHARE, &path("offer.docx")).expect("asked"),
            wanted,
            "ten bytes are too few to be noise"
        );
        assert_eq!(index.heirs(SHARE, &path(b"\xff\xfe.docx")).expect("asked"), [noise(b"\xff\xfe.docx.locked")]);
        assert_eq!(index.heirs(SHARE, &path("offer")).expect("asked"), wanted);
        assert_eq!(index.heirs(SHARE, &path("other/offer.docx")).expect("asked"), []);
        let unread = Stat { shape: Shape { kind: Kind::File, len: 512 }, ..stat() };
        let run = index.run();
        index.put_local(SHARE, &path("offer.new"), &LocalRow::fresh(unread, None, run)).expect("seen");
        let heirs = index.heirs(SHARE, &path("offer.docx")).expect("asked");
        assert_eq!(heirs[2..], [Heir { path: path("offer.new"), is_noise: false }]);
    }
}
