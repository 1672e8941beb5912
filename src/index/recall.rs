//! What lay on a target at some time, put together from what lies there now and from what happened since. It lies in a
//! file of SQLite's own that nobody else sees and that is gone with its owner, so that memory does not grow with the target.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Result;
use super::row::{kind_code, kind_of, unbits};
use crate::model::{Kept, Kind, Meta, Past, RelPath, Seen, Shape, Stamp, Wall, Was, Which};
use crate::plan::Moves;

/// `event`: until `at`, `was` lay at `path`, which was called `then` at the time that is asked for.
/// `state`: what was called `then` at that time.
const SCHEMA: &str = "
CREATE TABLE event (
    path BLOB NOT NULL, at INTEGER NOT NULL, was INTEGER NOT NULL, name BLOB, kind INTEGER, len INTEGER, mtime INTEGER,
    mode INTEGER, uid INTEGER, gid INTEGER, begins INTEGER, acl TEXT, called BLOB, PRIMARY KEY (path, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE current (
    path BLOB NOT NULL PRIMARY KEY, stamp BLOB NOT NULL, kind INTEGER NOT NULL, len INTEGER NOT NULL,
    mtime INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, acl TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    called BLOB NOT NULL PRIMARY KEY, path BLOB NOT NULL, at INTEGER, stamp BLOB, was INTEGER NOT NULL, name BLOB,
    kind INTEGER, len INTEGER, mtime INTEGER, mode INTEGER, uid INTEGER, gid INTEGER, begins INTEGER, acl TEXT
) STRICT, WITHOUT ROWID;
";

const ABSENT: i64 = 0;
const FOLDER: i64 = 1;
const VERSION: i64 = 2;

/// Rows read at once (count).
const PAGE: i64 = 1000;

/// What lay at a path at the time that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    /// What it was called then.
    pub path: RelPath,
    /// What the version that can be read is called on the target.
    pub source: RelPath,
    /// Which version that is; `None` for a folder that is gone.
    pub which: Option<Which>,
    /// What it is, as far as a listing tells.
    pub seen: Seen,
    /// How its digest should begin, where the target says so.
    pub begins: Option<[u8; 4]>,
    /// Until when it lay there; `None` if it still does.
    pub until: Option<Wall>,
}

/// What is known of a target's past. First everything is told to it, then it is put together, then it can be asked.
#[derive(Debug)]
pub struct Recall {
    db: Connection,
    moves: Moves,
}

impl Recall {
    /// Knows nothing yet.
    pub fn new() -> Result<Self> {
        // An empty name is a temporary file: https://www.sqlite.org/inmemorydb.html#temp_db
        let db = Connection::open("")?;
        super::keep_plans(&db)?;
        db.pragma_update(None, "journal_mode", "OFF")?;
        db.pragma_update(None, "synchronous", "OFF")?;
        db.execute_batch(SCHEMA)?;
        // Never committed: nobody else reads it.
        db.execute_batch("BEGIN")?;
        Ok(Self { db, moves: Moves::default() })
    }

    /// Something that happened since the time that is asked for.
    pub fn happened(&mut self, past: &Past) -> Result<()> {
        match past {
            Past::Moved { at, from, to } => {
                self.moves.add(*at, from, to);
                Ok(())
            }
            Past::Changed { path, at, was } => self.changed(path, *at, was),
        }
    }

    fn changed(&self, path: &RelPath, at: Wall, was: &Was) -> Result<()> {
        // Of two at one time, the one that can be given back counts: too much is better than too little.
        let sql = "INSERT INTO event (path, at, was, name, kind, len, mtime, mode, uid, gid, begins, acl)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET was = excluded.was, name = excluded.name, kind = excluded.kind,
                   len = excluded.len, mtime = excluded.mtime, mode = excluded.mode, uid = excluded.uid,
                   gid = excluded.gid, begins = excluded.begins,
                   acl = excluded.acl WHERE excluded.was >= was";
        let mut add = self.db.prepare_cached(sql)?;
        match was {
            Was::Absent | Was::Folder => {
                let code = if *was == Was::Absent { ABSENT } else { FOLDER };
                let none = None::<i64>;
                add.execute(params![
                    path.as_bytes(),
                    at.0,
                    code,
                    None::<&[u8]>,
                    none,
                    none,
                    none,
                    none,
                    none,
                    none,
                    none,
                    none
                ])?;
            }
            Was::Version(Kept { which: Which::Kept(name), seen, begins, .. }) => {
                let Seen { shape, meta, .. } = seen;
                let begins = begins.map(|begins| i64::from(u32::from_be_bytes(begins)));
                let len = i64::try_from(shape.len).unwrap_or(i64::MAX);
                add.execute(params![
                    path.as_bytes(),
                    at.0,
                    VERSION,
                    &**name,
                    kind_code(shape.kind),
                    len,
                    meta.mtime.0,
                    meta.mode,
                    meta.uid,
                    meta.gid,
                    begins,
                    meta.acl.text()
                ])?;
            }
            // What lies there now has not ended.
            Was::Version(Kept { which: Which::Now(_), .. }) => {}
        }
        Ok(())
    }

    /// True if anything was renamed since: then what lay below a path may lie anywhere now.
    pub fn has_moves(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Something that lies on the target now.
    pub fn lies(&mut self, path: &RelPath, stamp: &Stamp, seen: &Seen) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let Seen { shape, meta, .. } = seen;
        let len = i64::try_from(shape.len).unwrap_or(i64::MAX);
        let kind = kind_code(shape.kind);
        self.db.prepare_cached(sql)?.execute(params![
            path.as_bytes(),
            &*stamp.0,
            kind,
            len,
            meta.mtime.0,
            meta.mode,
            meta.uid,
            meta.gid,
            meta.acl.text()
        ])?;
        Ok(())
    }

    /// Puts together what lay at and below `under`. Returns how many files and links, and their bytes.
    pub fn put_together(&mut self, under: &RelPath) -> Result<(u64, u64)> {
        self.name_events()?;
        self.db.execute_batch(
            "CREATE INDEX event_called ON event (called, at);
             INSERT INTO state SELECT called, path, at, NULL, was, name, kind, len, mtime, mode, uid, gid, begins,
             acl FROM event AS e WHERE called IS NOT NULL AND at = (SELECT min(at) FROM event WHERE called = e.called);",
        )?;
        self.name_current()?;
        if !under.is_root() {
            let (path, first, last) =
                (under.as_bytes(), [under.as_bytes(), b"/"].concat(), [under.as_bytes(), b"0"].concat());
            let sql = "DELETE FROM state WHERE called != ? AND NOT (called > ? AND called < ?)";
            self.db.execute(sql, params![path, first, last])?;
        }
        self.db.execute("DELETE FROM state WHERE was = ?", [ABSENT])?;
        let sql = "SELECT count(*), coalesce(sum(len), 0) FROM state WHERE was = ? AND kind != ?";
        let tally = self.db.query_row(sql, [VERSION, kind_code(Kind::Folder)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((unbits(tally.0), unbits(tally.1)))
    }

    fn name_events(&self) -> Result<()> {
        if self.moves.is_empty() {
            self.db.execute("UPDATE event SET called = path", [])?;
            return Ok(());
        }
        let mut after = (Vec::new(), i64::MIN);
        loop {
            let sql = "SELECT path, at FROM event WHERE (path, at) > (?, ?) ORDER BY path, at LIMIT ?";
            let mut next = self.db.prepare_cached(sql)?;
            let rows = next.query_map(params![after.0, after.1, PAGE], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let page = rows.collect::<rusqlite::Result<Vec<(Vec<u8>, i64)>>>()?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.clone();
            for (path, at) in &page {
                let called = self.moves.first_name(&path_of(path)?, Wall(*at));
                let called = called.as_ref().map(RelPath::as_bytes);
                let mut set = self.db.prepare_cached("UPDATE event SET called = ? WHERE path = ? AND at = ?")?;
                set.execute(params![called, path, at])?;
            }
        }
    }

    /// What lies there now has lain there then too, unless something is known to have ended since.
    fn name_current(&self) -> Result<()> {
        let columns = "path, NULL, stamp, 2, NULL, kind, len, mtime, mode, uid, gid, NULL, acl FROM current";
        if self.moves.is_empty() {
            self.db.execute(&format!("INSERT OR IGNORE INTO state SELECT path, {columns}"), [])?;
            return Ok(());
        }
        let mut after = Vec::new();
        loop {
            let sql = "SELECT path FROM current WHERE path > ? ORDER BY path LIMIT ?";
            let mut next = self.db.prepare_cached(sql)?;
            let rows = next.query_map(params![after, PAGE], |row| row.get(0))?;
            let page = rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for path in &page {
                let Some(called) = self.moves.first_name(&path_of(path)?, Wall(i64::MAX)) else { continue };
                let sql = format!("INSERT OR IGNORE INTO state SELECT ?, {columns} WHERE path = ?");
                self.db.prepare_cached(&sql)?.execute(params![called.as_bytes(), path])?;
            }
        }
    }

    /// The next things after `after`, in the order of their bytes: a folder comes before what is in it.
    pub fn page(&self, after: Option<&RelPath>, count: usize) -> Result<Vec<Then>> {
        let sql = "SELECT called, path, at, stamp, was, name, kind, len, mtime, mode, uid, gid, begins, acl FROM state
                   WHERE called > ? ORDER BY called LIMIT ?";
        let after = after.map(RelPath::as_bytes).unwrap_or_default();
        let mut next = self.db.prepare_cached(sql)?;
        let rows = next.query_map(params![after, i64::try_from(count).unwrap_or(i64::MAX)], then)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether something was called so then, or lay below what was called so.
    pub fn knows(&self, path: &RelPath) -> Result<bool> {
        let (first, last) = ([path.as_bytes(), b"/"].concat(), [path.as_bytes(), b"0"].concat());
        let sql = "SELECT EXISTS (SELECT 1 FROM state WHERE called = ?1 OR (called > ?2 AND called < ?3))";
        Ok(self.db.prepare_cached(sql)?.query_row(params![path.as_bytes(), first, last], |row| row.get(0))?)
    }

    /// The next version of what was called so, for when the one before it turned out to hold something else.
    pub fn next_version(&self, then: &Then) -> Result<Option<Then>> {
        let Some(until) = then.until else { return Ok(None) };
        let sql = "SELECT called, path, at, NULL, was, name, kind, len, mtime, mode, uid, gid, begins, acl FROM event
                   WHERE called = ? AND at > ? ORDER BY at LIMIT 1";
        let mut next = self.db.prepare_cached(sql)?;
        let found = next.query_row(params![then.path.as_bytes(), until.0], self::then).optional()?;
        if let Some(found) = found {
            return Ok(Some(found).filter(|found| found.which.is_some()));
        }
        let sql = "SELECT path, path, NULL, stamp, 2, NULL, kind, len, mtime, mode, uid, gid, NULL, acl FROM current
                   WHERE path = ?";
        Ok(self.db.prepare_cached(sql)?.query_row([then.source.as_bytes()], self::then).optional()?)
    }
}

fn path_of(bytes: &[u8]) -> Result<RelPath> {
    RelPath::new(bytes).map_err(|error| super::IndexError::Damaged(error.to_string()))
}

fn then(row: &Row<'_>) -> rusqlite::Result<Then> {
    let path = |at: usize| -> rusqlite::Result<RelPath> {
        let bytes: Vec<u8> = row.get(at)?;
        RelPath::new(bytes).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Blob, Box::new(error))
        })
    };
    let name = |at: usize| row.get::<_, Option<Vec<u8>>>(at).map(|bytes| bytes.map(Vec::into_boxed_slice));
    let was: i64 = row.get(4)?;
    let which = match (name(3)?, name(5)?) {
        (Some(stamp), _) => Some(Which::Now(Stamp(stamp))),
        (None, name) => name.map(Which::Kept),
    };
    let kind = match was {
        VERSION => kind_of(row.get(6)?),
        _ => Kind::Folder,
    };
    let number = |at: usize| -> rusqlite::Result<i64> { Ok(row.get::<_, Option<i64>>(at)?.unwrap_or_default()) };
    let small = |at: usize| -> rusqlite::Result<u32> {
        let known = row.get::<_, Option<i64>>(at)?;
        Ok(known.and_then(|value| u32::try_from(value).ok()).unwrap_or(Meta::NOT_KNOWN))
    };
    let (mtime, acl) = (Wall(number(8)?), super::row::acl(row, 13)?);
    let meta = Meta { mtime, mode: small(9)?, uid: small(10)?, gid: small(11)?, acl };
    let begins = row.get::<_, Option<i64>>(12)?.and_then(|value| u32::try_from(value).ok()).map(u32::to_be_bytes);
    Ok(Then {
        path: path(0)?,
        source: path(1)?,
        which,
        seen: Seen { shape: Shape { kind, len: unbits(number(7)?) }, digest: None, meta },
        begins,
        until: row.get::<_, Option<i64>>(2)?.map(Wall),
    })
}
