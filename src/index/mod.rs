//! What is known, from every source, in one SQLite file: the share, each target, and what is open between them.
//!
//! It stores observations and what was left where, never a to-do list: what is open follows from the two and can be
//! made again ([`Index::compare_subtree`]). The one exception is the attempt. All writing is done inside a turn
//! ([`Index::begin`] to [`Index::commit`]), which is durable when `commit` returns. The only user of rusqlite.
//! Not here: any decision.

mod breaker;
mod conflicts;
mod copies;
mod inherited;
mod journal;
mod lists;
mod local;
mod names;
mod places;
mod read;
mod recall;
mod request;
mod row;
mod schema;
mod spent;
mod tombstones;
mod verified;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::model::{RelPath, ShareId, TargetId};

pub use breaker::{Heir, Hour, Removals};
pub use conflicts::{Conflict, ConflictMatter, Side};
pub use copies::Cursor;
pub use journal::{JOURNAL_KEPT, JournalEntry};
pub use places::{ShareInfo, TargetInfo, What};
pub use read::{
    JournalLine, Oldest, OpenMatter, Overview, PathStory, Reader, ShareOverview, TargetOverview, TargetStory,
    TroubleMatter,
};
pub use recall::{Recall, Then};
pub use request::{APPROVE_SHARE, Request, Requests, Resolution};
pub use row::{HoldRow, LocalRow, OpenRow, Presence};
pub use verified::{BadMatter, Finding, Left, Outcome, ReadBack};

/// Folder paths remembered, at most (count); then all are forgotten and read again. A few are enough: a scan and a sweep stay in
/// one folder for a while, and in those above it.
const FOLDERS_CACHED_MAX: usize = 1024;

/// Pages of the file kept in memory (KiB): memory grows to it while a share is large enough, and not beyond. What is read
/// again comes from the system's own cache.
const CACHE_KIB: i32 = 8192;

/// What the index could not do.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A newer program has written it.
    #[error("the index was written by a newer driftline (its version is {found}, this program knows {known})")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// SQLite could not.
    #[error("the index does not answer: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is damaged.
    #[error("the index is damaged: {0}")]
    Damaged(String),
}

impl IndexError {
    /// True if the file can no longer be trusted and has to be made again.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Newer { .. } => false,
            Self::Damaged(_) => true,
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
        }
    }

    /// True if another process has the file to itself just now.
    pub fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
    }

    /// True if the disk under the index has no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

type Result<T> = std::result::Result<T, IndexError>;

/// Counts of one share; kept with each change, so that `status` need not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareTally {
    /// Files present.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Folders present.
    pub folders: i64,
    /// Symbolic links present.
    pub links: i64,
    /// Files present whose inode has more than one name.
    pub hard_links: i64,
}

/// Counts of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetTally {
    /// Files that we left there.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Files, links and folders that we left there.
    pub items: i64,
    /// Paths that wait (and are not held).
    pub pending: i64,
    /// Bytes to send for them.
    pub pending_bytes: i64,
    /// Paths that wait for a person.
    pub holds: i64,
}

/// The index.
#[derive(Debug)]
pub struct Index {
    db: Connection,
    folders: HashMap<(ShareId, RelPath), i64>,
    paths: HashMap<i64, RelPath>,
    shares: HashMap<ShareId, ShareTally>,
    targets: HashMap<TargetId, TargetTally>,
    /// The targets of each share that this run serves.
    active: HashMap<ShareId, Vec<TargetId>>,
    owner: HashMap<TargetId, ShareId>,
    /// Targets that cannot rename a folder with all that lies in it.
    piecemeal: HashSet<TargetId>,
    /// Changes of others there come to the share.
    taking: HashSet<TargetId>,
    /// Targets of which anything was read back.
    read_back: HashSet<TargetId>,
    /// Targets on which what we left may be older than what the share has.
    inherits: HashSet<TargetId>,
    run: i64,
    now: i64,
}

impl Index {
    /// Opens or makes the file and begins a new run of the agent.
    pub fn open(path: &Path) -> Result<Self> {
        let db = Connection::open(path)?;
        Self::set_up(db)
    }

    /// An index that is gone with the process: for tests and simulations.
    pub fn in_memory() -> Result<Self> {
        Self::set_up(Connection::open_in_memory()?)
    }

    /// A copy of the file in a new file at `to`, on which a dry run may write. Leaves nothing beside the file.
    pub fn copy(from: &Path, to: &Path) -> Result<()> {
        let wal = PathBuf::from(format!("{}-wal", from.display()));
        if std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
            let db = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            db.backup("main", to, None::<fn(rusqlite::backup::Progress)>)?;
        } else {
            // With nothing in the log the file is whole; even to open it would make a log.
            std::fs::copy(from, to).map_err(|error| IndexError::Damaged(error.to_string()))?;
        }
        Ok(())
    }

    /// Says whether the whole file is sound; reads it all.
    pub fn check(&self) -> Result<()> {
        let answer: String = self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if answer == "ok" { Ok(()) } else { Err(IndexError::Damaged(answer)) }
    }

    fn set_up(mut db: Connection) -> Result<Self> {
        db.busy_timeout(Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // A turn must be durable before its commands go out.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        db.pragma_update(None, "journal_size_limit", 64 << 20)?;
        db.pragma_update(None, "temp_store", "FILE")?;
        db.set_prepared_statement_cache_capacity(128);
        keep_plans(&db)?;
        schema::migrate(&mut db)?;
        db.execute_batch("CREATE TEMP TABLE seen (scope INTEGER, name BLOB, PRIMARY KEY (scope, name)) WITHOUT ROWID")?;
        let index = Self {
            db,
            folders: HashMap::new(),
            paths: HashMap::new(),
            shares: HashMap::new(),
            targets: HashMap::new(),
            active: HashMap::new(),
            owner: HashMap::new(),
            piecemeal: HashSet::new(),
            taking: HashSet::new(),
            read_back: HashSet::new(),
            inherits: HashSet::new(),
            run: 0,
            now: 0,
        };
        index.new_run()
    }

    /// The same index as another run of the agent finds it: nothing that was only in memory is left.
    pub fn new_run(mut self) -> Result<Self> {
        self.rollback()?;
        self.active.clear();
        self.owner.clear();
        self.run = self.fact("run")?.and_then(|run| run.parse().ok()).unwrap_or(0) + 1;
        self.set_fact("run", &self.run.to_string())?;
        self.db.execute("DELETE FROM temp.seen", [])?;
        Ok(self)
    }

    /// As if it had just been made. For simulations: to make another one takes longer than what is simulated.
    pub fn emptied(mut self) -> Result<Self> {
        self.rollback()?;
        // What refers to others was made after them.
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name NOT GLOB 'sqlite_*' OR name = 'sqlite_sequence')
                      ORDER BY rowid DESC";
        let mut query = self.db.prepare_cached(tables)?;
        let tables = query.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        drop(query);
        for table in tables {
            self.db.prepare_cached(&format!("DELETE FROM {table}"))?.execute([])?;
        }
        self.piecemeal.clear();
        self.taking.clear();
        self.read_back.clear();
        self.rollback()?;
        self.new_run()
    }

    /// The number of this run: what an earlier run saw is not evidence of absence.
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Begins a turn. `now` dates what the turn notices.
    pub fn begin(&mut self, now: crate::model::Wall) -> Result<()> {
        self.now = now.0;
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Ends a turn: all of it is durable when this returns.
    pub fn commit(&mut self) -> Result<()> {
        self.save_tallies()?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Takes a turn back after an error; the tallies are read again.
    pub fn rollback(&mut self) -> Result<()> {
        if !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK")?;
        }
        self.folders.clear();
        self.paths.clear();
        self.load_tallies()
    }

    /// A small fact about the agent, by name.
    pub fn fact(&self, name: &str) -> Result<Option<String>> {
        let mut query = self.db.prepare_cached("SELECT value FROM fact WHERE name = ?")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Writes a small fact down.
    pub fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO fact VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2 WHERE value <> ?2";
        self.db.prepare_cached(sql)?.execute([name, value])?;
        Ok(())
    }

    /// The number of a folder, given one if it has none.
    fn folder_id(&mut self, share: ShareId, path: &RelPath) -> Result<i64> {
        if let Some(id) = self.find_folder(share, path)? {
            return Ok(id);
        }
        let id = self
            .db
            .prepare_cached("INSERT INTO folder (share, path) VALUES (?, ?)")?
            .insert(params![share.0, path.as_bytes()])?;
        self.remember(share, path, id);
        Ok(id)
    }

    fn find_folder(&mut self, share: ShareId, path: &RelPath) -> Result<Option<i64>> {
        // Looked up without a copy of the path: this is the hottest line of a scan.
        if let Some(id) = self.folders.get(&(share, path.clone())) {
            return Ok(Some(*id));
        }
        let mut query = self.db.prepare_cached("SELECT id FROM folder WHERE share = ? AND path = ?")?;
        let found = query.query_row(params![share.0, path.as_bytes()], |row| row.get(0)).optional()?;
        drop(query);
        if let Some(id) = found {
            self.remember(share, path, id);
        }
        Ok(found)
    }

    fn folder_path(&mut self, id: i64) -> Result<RelPath> {
        if let Some(path) = self.paths.get(&id) {
            return Ok(path.clone());
        }
        let mut query = self.db.prepare_cached("SELECT share, path FROM folder WHERE id = ?")?;
        let (share, bytes): (i64, Vec<u8>) = query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        drop(query);
        let path = RelPath::new(&bytes).map_err(|error| IndexError::Damaged(error.to_string()))?;
        self.remember(ShareId(share), &path, id);
        Ok(path)
    }

    fn path_of(&mut self, folder: i64, name: &[u8]) -> Result<RelPath> {
        let folder = self.folder_path(folder)?;
        folder.join(name).map_err(|error| IndexError::Damaged(error.to_string()))
    }

    fn remember(&mut self, share: ShareId, path: &RelPath, id: i64) {
        if self.folders.len() >= FOLDERS_CACHED_MAX {
            self.folders.clear();
            self.paths.clear();
        }
        self.folders.insert((share, path.clone()), id);
        self.paths.insert(id, path.clone());
    }

    /// The folder number and the name of a path, if its folder is known.
    fn key(&mut self, share: ShareId, path: &RelPath) -> Result<Option<i64>> {
        match path.parent() {
            Some(parent) => self.find_folder(share, &parent),
            None => Ok(None),
        }
    }

    fn made_key(&mut self, share: ShareId, path: &RelPath) -> Result<i64> {
        let parent = path.parent().unwrap_or_else(RelPath::root);
        self.folder_id(share, &parent)
    }

    fn share_of(&self, target: TargetId) -> ShareId {
        *self.owner.get(&target).expect("a target is registered before it is used")
    }

    /// The folders at and below a path, by number.
    fn folders_below(&self, share: ShareId, path: &RelPath) -> Result<Vec<i64>> {
        let (low, high) = span(path);
        let sql = "SELECT id FROM folder WHERE share = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4)) ORDER BY path";
        let mut query = self.db.prepare_cached(sql)?;
        let rows = query.query_map(params![share.0, path.as_bytes(), low, high], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// The bounds of all paths below `path`: from `path/` up to, without, `path0` (the byte after the slash).
fn span(path: &RelPath) -> (Vec<u8>, Vec<u8>) {
    if path.is_root() {
        return (vec![1], vec![0xff; 4096]);
    }
    let with = |byte: u8| [path.as_bytes(), &[byte]].concat();
    (with(b'/'), with(b'/' + 1))
}

/// A statement is planned once. Else SQLite looks at the values of its parameters, and plans it anew whenever the bound of a
/// range is set, which takes longer than most of them: <https://www.sqlite.org/queryplanner-ng.html#qpstab>.
fn keep_plans(db: &Connection) -> Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::model::Wall;

    const SHARE: ShareId = ShareId(1);

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a path")
    }

    #[test]
    fn a_statement_is_not_planned_again_for_other_values() {
        let index = Index::in_memory().expect("memory");
        let sql = "SELECT name FROM local WHERE folder = ? AND name > ? ORDER BY name LIMIT ?";
        for name in ["a", "b", "c"] {
            let mut query = index.db.prepare_cached(sql).expect("sound");
            assert!(!query.exists(params![1, name.as_bytes(), 10]).expect("asked"));
            assert_eq!(query.get_status(StatementStatus::RePrepare), 0, "{name}");
        }
    }

    #[test]
    fn an_emptied_index_is_as_one_that_was_just_made() {
        let dump = |index: &Index| {
            let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
            let mut tables = index.db.prepare(tables).expect("sound");
            let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("asked");
            let of = |table: String| {
                let mut rows = index.db.prepare(&format!("SELECT * FROM {table}")).expect("sound");
                let columns = rows.column_count();
                let row = |row: &rusqlite::Row<'_>| {
                    (0..columns)
                        .map(|at| row.get::<_, rusqlite::types::Value>(at))
                        .collect::<rusqlite::Result<Vec<_>>>()
                };
                let rows: Vec<_> = rows.query_map([], row).expect("asked").map(|row| row.expect("read")).collect();
                (table, rows)
            };
            tables.map(|table| of(table.expect("read"))).collect::<Vec<_>>()
        };
        let fill = |index: &mut Index| {
            let share = index.register_share("s", b"/s", "uid", false).expect("written");
            let target = index.register_target(share.id, "t", "/t").expect("written");
            index.begin(Wall(1)).expect("begun");
            let folder = index.made_key(SHARE, &path("a/b")).expect("made");
            index.note(SHARE, Some(target.id), &path("a/b"), "put", "words").expect("written");
            let conflict =
                "INSERT INTO conflict VALUES (NULL, 1, 1, x'61', 0, 0, 1, x'00', 0, 1, NULL, 1, 1, 0, 1, NULL, 1, 1)";
            assert_eq!(index.db.execute(conflict, []).expect("written"), 1);
            let number = index.db.last_insert_rowid();
            index.commit().expect("durable");
            (share.id, target.id, folder, number)
        };
        let fresh = dump(&Index::in_memory().expect("memory"));
        let mut index = Index::in_memory().expect("memory");
        let first = fill(&mut index);
        assert_ne!(dump(&index), fresh);
        let mut index = index.emptied().expect("emptied");
        assert_eq!(dump(&index), fresh);
        assert_eq!(fill(&mut index), first, "numbers begin anew");
    }
}
