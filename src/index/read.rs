//! Reading the index for people, while the agent writes it or after it has died. Never writes a row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use crate::index::{IndexError, LocalRow, OpenRow, ReadBack, Result, ShareTally, TargetTally, row, schema};
use crate::model::{RelPath, Requests, ShareId, TargetId, Trouble, Wall};
use crate::plan::{Base, Title, Tombstone};

/// How long a reader waits for whoever has the file to himself: an answer is due within 300 ms.
const BUSY: Duration = Duration::from_millis(100);
/// Open paths looked through for the oldest that is not held (count); beyond, the oldest of all is told.
const OLDEST_LOOKED_AT: i64 = 10_000;
/// Open paths of which it is asked when they were changed (count): those that were noticed first.
const CHANGES_LOOKED_AT: i64 = 2_000;
/// A change that is noticed so long after it was made was not noticed by the watcher.
const NOTICED_LATE: Duration = Duration::from_secs(300);
/// Journal lines told of one path (count).
const LINES_MAX: i64 = 20;

/// The index, to be read only.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    /// Read as it lies, without the log beside it: what is written later is not seen.
    frozen: bool,
    /// The version of its tables: it may have been written by an older program.
    pub(super) version: i64,
}

/// All places, with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// In the order in which they were made known.
    pub shares: Vec<ShareOverview>,
}

/// A share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareOverview {
    /// Its number.
    pub id: ShareId,
    /// Its name.
    pub name: String,
    /// Its identity, as targets carry it.
    pub uid: String,
    /// Its folder.
    pub root: PathBuf,
    /// File system id and root inode that it was bound to.
    pub bound: Option<(u64, u64)>,
    /// When the last full scan ended, in any run.
    pub scanned: Option<Wall>,
    /// Full scans that ended.
    pub scans: u64,
    /// Changes that a scan found and no event had told.
    pub missed: u64,
    /// Its counts.
    pub tally: ShareTally,
    /// Paths that cannot be read.
    pub problems: u64,
    /// Paths that are told of and are no problem.
    pub notes: u64,
    /// What the agent says of it, as JSON; empty if none has.
    pub state: String,
    /// In the order in which they were made known.
    pub targets: Vec<TargetOverview>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOverview {
    /// Its number.
    pub id: TargetId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// The identity that it was bound to.
    pub bound: Option<String>,
    /// When it was last listed from end to end.
    pub listed: Option<Wall>,
    /// Why it waits for a person, as a whole.
    pub halt: Option<String>,
    /// An administrator paused it.
    pub paused: bool,
    /// Its counts.
    pub tally: TargetTally,
    /// Files there that are not ours.
    pub foreign: u64,
    /// The oldest change that is open, held or not.
    pub oldest: Oldest,
    /// Since when the oldest path waits that is not held.
    pub oldest_pending: Option<Wall>,
    /// Requests made of it on each day in UTC ([`Wall::day`]) of which some were counted, in their order.
    pub requests: Vec<(i64, Requests)>,
    /// What was read back of it.
    pub read_back: ReadBack,
    /// Conflicts of it that wait for a person.
    pub conflicts: u64,
    /// What the agent says of it, as JSON; empty if none has.
    pub state: String,
}

/// The oldest change that is not on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// All changes are there.
    None,
    /// It was made then, or noticed then if that was earlier.
    Since(Wall),
    /// Too many changes are open that were noticed long after they were made: it cannot be told cheaply.
    Unknown,
}

/// A path that is open on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMatter {
    /// Its share's name.
    pub share: String,
    /// The target's name.
    pub target: String,
    /// The path.
    pub path: RelPath,
    /// What is open.
    pub open: OpenRow,
}

/// What is the matter with a path of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TroubleMatter {
    /// The share's name.
    pub share: String,
    /// The path.
    pub path: RelPath,
    /// A problem; otherwise it is told and no problem.
    pub is_problem: bool,
    /// What happened, and what to do.
    pub trouble: Trouble,
    /// Since when.
    pub since: Wall,
}

/// All that is known of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStory {
    /// The number of the agent's last run.
    pub run: i64,
    /// As it was last seen on the share.
    pub local: Option<LocalRow>,
    /// What is the matter with it there.
    pub troubles: Vec<TroubleMatter>,
    /// On each target.
    pub targets: Vec<TargetStory>,
    /// When the share last deleted something there, as long as that is remembered: only where it takes changes of others.
    pub deleted: Option<Wall>,
    /// What was done to it, the newest first.
    pub lines: Vec<JournalLine>,
}

/// What is known of one path on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStory {
    /// The target's number.
    pub id: TargetId,
    /// Its name.
    pub name: String,
    /// What we left there, and when.
    pub base: Option<(Base, Wall)>,
    /// Two-way: how that stands to what the share has there.
    pub title: Title,
    /// Two-way: the share lacks it because it followed others, who had removed it on another target.
    pub followed: bool,
    /// What is open.
    pub open: Option<OpenRow>,
    /// Where it waits to be renamed from: what we left there, and whether it is believed to be there still.
    pub origin: Option<(Base, bool)>,
    /// What the share deleted there.
    pub tombstones: Vec<Tombstone>,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// When.
    pub at: Wall,
    /// The target's name, if it was on one.
    pub target: Option<String>,
    /// What was done, in a word or two.
    pub what: String,
    /// With which effect.
    pub detail: String,
}

impl Reader {
    /// Opens the file for reading; `None` if there is none, or none that was finished.
    ///
    /// A file that an agent left when it died is read with all that was committed. Where the folder may not be written
    /// in, as SQLite wants for its own bookkeeping, the file is read as it lies, if that is all there is to it.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let (frozen, opened) = match open_checked(path, false) {
            Err(IndexError::Sqlite(error)) if needs_to_write(&error) && !has_log(path) => {
                (true, open_checked(path, true))
            }
            other => (false, other),
        };
        opened.map(|found| found.map(|(db, version)| Self { db, frozen, version }))
    }

    /// False if what is written from now on can only be seen by opening the file again.
    pub fn sees_changes(&self) -> bool {
        !self.frozen
    }

    /// A small fact that the agent wrote down.
    pub fn fact(&self, name: &str) -> Result<Option<String>> {
        let mut query = self.db.prepare_cached("SELECT value FROM fact WHERE name = ?")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    /// All places. Its cost does not depend on how many files there are.
    pub fn overview(&self) -> Result<Overview> {
        let _view = self.db.unchecked_transaction()?;
        let sql =
            "SELECT id, name, root, scanned, scans, missed, files, bytes, folders, links, hard_links, state, uid, fsid, ino
                   FROM share ORDER BY id";
        let mut query = self.db.prepare_cached(sql)?;
        let shares = query.query_map([], share_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let shares = shares.into_iter().map(|share| self.with_counts(share)).collect::<Result<_>>()?;
        Ok(Overview { shares })
    }

    fn with_counts(&self, share: ShareOverview) -> Result<ShareOverview> {
        let sql = "SELECT ifnull(sum(what = 1), 0), ifnull(sum(what <> 1), 0) FROM trouble WHERE share = ?";
        let (problems, notes) =
            self.db.prepare_cached(sql)?.query_row([share.id.0], |row| Ok((count(row, 0)?, count(row, 1)?)))?;
        let sql =
            "SELECT id, name, place, bound, listed, halt, paused, files, bytes, items, pending, pending_bytes, holds,
                   foreign_files, state FROM target WHERE share = ? ORDER BY id";
        let mut query = self.db.prepare_cached(sql)?;
        let targets = query.query_map([share.id.0], target_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let targets =
            targets.into_iter().map(|target| self.with_oldest(self.with_requests(target)?)).collect::<Result<_>>()?;
        Ok(ShareOverview { problems, notes, targets, ..share })
    }

    fn with_requests(&self, target: TargetOverview) -> Result<TargetOverview> {
        let requests = self.requests(target.id)?;
        let (read_back, conflicts) = (self.read_back(target.id)?, self.count_conflicts(target.id)?);
        Ok(TargetOverview { requests, read_back, conflicts, ..target })
    }

    fn with_oldest(&self, target: TargetOverview) -> Result<TargetOverview> {
        let oldest_pending = match (target.tally.pending, target.tally.holds) {
            (..=0, _) => None,
            (_, 0) => self.oldest_open(target.id)?,
            _ => self.oldest_not_held(target.id)?.or(self.oldest_open(target.id)?),
        };
        Ok(TargetOverview { oldest: self.oldest_change(target.id)?, oldest_pending, ..target })
    }

    fn oldest_open(&self, target: TargetId) -> Result<Option<Wall>> {
        let sql = "SELECT min(since) FROM open WHERE target = ?";
        let oldest: Option<i64> = self.db.prepare_cached(sql)?.query_row([target.0], |row| row.get(0))?;
        Ok(oldest.map(Wall))
    }

    /// A change may be older than its notice: it was made while no agent ran, or before the target was one.
    fn oldest_change(&self, target: TargetId) -> Result<Oldest> {
        let sql = "SELECT o.since, min(o.since, ifnull(l.ctime, o.since)) FROM open o INDEXED BY open_since LEFT JOIN local l
                   ON l.folder = o.folder AND l.name = o.name AND l.state = 1 WHERE o.target = ? ORDER BY o.since LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query(params![target.0, CHANGES_LOOKED_AT])?;
        let (mut oldest, mut seen, mut late) = (None, 0, false);
        while let Some(row) = rows.next()? {
            let (noticed, made) = (Wall(row.get(0)?), Wall(row.get(1)?));
            seen += 1;
            late |= noticed.since(made) > NOTICED_LATE;
            oldest = Some(oldest.map_or(made, |oldest: Wall| oldest.min(made)));
        }
        Ok(match oldest {
            None => Oldest::None,
            Some(_) if late && seen == CHANGES_LOOKED_AT => Oldest::Unknown,
            Some(oldest) => Oldest::Since(oldest),
        })
    }

    fn oldest_not_held(&self, target: TargetId) -> Result<Option<Wall>> {
        let sql = "SELECT since FROM (SELECT since, hold FROM open INDEXED BY open_since WHERE target = ? ORDER BY since LIMIT ?)
                   WHERE hold IS NULL LIMIT 1";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_row(params![target.0, OLDEST_LOOKED_AT], |row| row.get(0)).optional()?;
        Ok(found.map(Wall))
    }

    /// Paths that wait and are not held, the oldest of each target first.
    pub fn pending(&self, limit: usize) -> Result<Vec<OpenMatter>> {
        self.open_matters("o.hold IS NULL", limit)
    }

    /// Paths that wait for a person, the oldest of each target first.
    pub fn holds(&self, limit: usize) -> Result<Vec<OpenMatter>> {
        self.open_matters("o.hold IS NOT NULL", limit)
    }

    fn open_matters(&self, which: &str, limit: usize) -> Result<Vec<OpenMatter>> {
        let sql = format!(
            "SELECT o.since, o.bytes, o.gone, o.doubt, o.attempts, o.sight, o.origin, o.hold, o.message, o.hint,
             f.path, o.name, s.name, t.name FROM target t JOIN share s ON s.id = t.share JOIN open o ON o.target = t.id
             JOIN folder f ON f.id = o.folder WHERE t.id = ? AND {which} ORDER BY o.since LIMIT ?"
        );
        let mut query = self.db.prepare_cached(&sql)?;
        let mut ids = self.db.prepare_cached("SELECT id FROM target ORDER BY share, id")?;
        let ids = ids.query_map([], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut found = Vec::new();
        for id in ids {
            let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let mut rows = query.query(params![id, left])?;
            while let Some(row) = rows.next()? {
                found.push(open_matter(row)?);
            }
        }
        Ok(found)
    }

    /// What is the matter with paths of the shares; problems before what is only told.
    pub fn troubles(&self, limit: usize) -> Result<Vec<TroubleMatter>> {
        let sql =
            "SELECT s.name, r.path, r.what, r.message, r.hint, r.since FROM trouble r JOIN share s ON s.id = r.share
                   ORDER BY r.what <> 1, s.id, r.path LIMIT ?";
        let mut query = self.db.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map([limit], trouble_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// All that is known of one path of a share.
    pub fn story(&self, share: ShareId, path: &RelPath) -> Result<PathStory> {
        let _view = self.db.unchecked_transaction()?;
        let run = "SELECT value FROM fact WHERE name = 'run'";
        let run: Option<String> = self.db.query_row(run, [], |row| row.get(0)).optional()?;
        let folder = self.folder_of(share, path)?;
        let acl = self.acl_column();
        let sql = format!(
            "SELECT state, kind, len, ino, ctime, mtime, mode, uid, gid, nlink, flags, digest, run, {acl} FROM local
             WHERE folder = ? AND name = ?"
        );
        let mut query = self.db.prepare(&sql)?;
        let local = query.query_row(params![folder, path.name()], |found| row::local(found, 0)).optional()?;
        let mut query = self.db.prepare("SELECT id, name FROM target WHERE share = ? ORDER BY id")?;
        let targets = query.query_map([share.0], |row| Ok((TargetId(row.get(0)?), row.get(1)?)))?;
        let targets = targets.collect::<rusqlite::Result<Vec<(TargetId, String)>>>()?;
        let targets =
            targets.into_iter().map(|(id, name)| self.target_story(share, id, name, path)).collect::<Result<_>>()?;
        Ok(PathStory {
            run: run.and_then(|run| run.parse().ok()).unwrap_or(0),
            local,
            troubles: self.troubles_of(share, path)?,
            targets,
            deleted: self.deleted(share, path)?,
            lines: self.lines_of(share, path)?,
        })
    }

    fn target_story(&self, share: ShareId, id: TargetId, name: String, path: &RelPath) -> Result<TargetStory> {
        let base = self.base_at(share, id, path)?;
        let open = self.open_at(share, id, path)?;
        let origin = match open.as_ref().and_then(|open| open.origin.as_ref()) {
            None => None,
            Some(from) => {
                let old = self.open_at(share, id, from)?;
                let as_left = old.is_none_or(|old| matches!(old.sight, crate::model::Sight::Unseen) && !old.doubt);
                self.base_at(share, id, from)?.map(|(base, _)| (base, as_left))
            }
        };
        let title = self.title(share, id, path)?;
        let followed = match &base {
            Some((base, _)) => self.is_followed(share, id, path, &base.content)?,
            None => false,
        };
        let tombstones = self.tombstones(share, id, path)?;
        Ok(TargetStory { id, name, base, title, followed, open, origin, tombstones })
    }

    /// A column with a list; an older file has none.
    pub(super) fn acl_column(&self) -> &'static str {
        if self.version < schema::KEEPS_LISTS { "NULL" } else { "acl" }
    }

    /// How what we left stands to what the share has there; an older file does not know.
    fn title(&self, share: ShareId, target: TargetId, path: &RelPath) -> Result<Title> {
        if self.version < schema::KNOWS_INHERITED {
            return Ok(Title::Clear);
        }
        let folder = self.folder_of(share, path)?;
        let sql = "SELECT inherited FROM base WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_row(params![target.0, folder, path.name()], |found| found.get(0)).optional()?;
        Ok(row::title(found.flatten()))
    }

    /// The number of the folder that holds a path; -1, which none has, if it is not known.
    pub(super) fn folder_of(&self, share: ShareId, path: &RelPath) -> Result<i64> {
        let Some(parent) = path.parent() else { return Ok(-1) };
        let mut query = self.db.prepare_cached("SELECT id FROM folder WHERE share = ? AND path = ?")?;
        let found = query.query_row(params![share.0, parent.as_bytes()], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(-1))
    }

    pub(super) fn base_at(&self, share: ShareId, target: TargetId, path: &RelPath) -> Result<Option<(Base, Wall)>> {
        let folder = self.folder_of(share, path)?;
        let acl = self.acl_column();
        let sql = format!(
            "SELECT kind, len, digest, mtime, mode, uid, gid, stamp, {acl}, at FROM base
             WHERE target = ? AND folder = ? AND name = ?"
        );
        let mut query = self.db.prepare_cached(&sql)?;
        let read = |found: &Row<'_>| Ok((row::base(found)?, Wall(found.get(9)?)));
        Ok(query.query_row(params![target.0, folder, path.name()], read).optional()?)
    }

    pub(super) fn open_at(&self, share: ShareId, target: TargetId, path: &RelPath) -> Result<Option<OpenRow>> {
        let folder = self.folder_of(share, path)?;
        let sql = "SELECT since, bytes, gone, doubt, attempts, sight, origin, hold, message, hint FROM open
                   WHERE target = ? AND folder = ? AND name = ?";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![target.0, folder, path.name()], |found| row::open(found, 0)).optional()?)
    }

    fn troubles_of(&self, share: ShareId, path: &RelPath) -> Result<Vec<TroubleMatter>> {
        let sql =
            "SELECT s.name, r.path, r.what, r.message, r.hint, r.since FROM trouble r JOIN share s ON s.id = r.share
                   WHERE r.share = ? AND r.path = ? ORDER BY r.what";
        let mut query = self.db.prepare(sql)?;
        let rows = query.query_map(params![share.0, path.as_bytes()], trouble_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn lines_of(&self, share: ShareId, path: &RelPath) -> Result<Vec<JournalLine>> {
        let sql = "SELECT j.at, t.name, j.what, j.detail FROM journal j LEFT JOIN target t ON t.id = j.target
                   WHERE j.share = ? AND j.path = ? ORDER BY j.id DESC LIMIT ?";
        let mut query = self.db.prepare(sql)?;
        let rows = query.query_map(params![share.0, path.as_bytes(), LINES_MAX], |row| {
            Ok(JournalLine { at: Wall(row.get(0)?), target: row.get(1)?, what: row.get(2)?, detail: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// The file and the version of its tables.
fn open_checked(path: &Path, as_it_lies: bool) -> Result<Option<(Connection, i64)>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = if as_it_lies {
        Connection::open_with_flags(immutable(path), flags)?
    } else {
        Connection::open_with_flags(path, flags.difference(OpenFlags::SQLITE_OPEN_URI))?
    };
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "trusted_schema", false)?;
    super::keep_plans(&db)?;
    // The first access: only now is the file opened in truth.
    Ok(schema::readable(&db)?.map(|version| (db, version)))
}

/// The file as a URI, see <https://www.sqlite.org/uri.html>: nobody writes it, so nothing is locked or made beside it.
fn immutable(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

fn needs_to_write(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// True if committed turns lie beside the file, in the log that an agent leaves when it dies.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|meta| meta.len() > 0)
}

fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
}

fn share_row(row: &Row<'_>) -> rusqlite::Result<ShareOverview> {
    use std::os::unix::ffi::OsStringExt as _;
    let tally = ShareTally {
        files: row.get(6)?,
        bytes: row.get(7)?,
        folders: row.get(8)?,
        links: row.get(9)?,
        hard_links: row.get(10)?,
    };
    Ok(ShareOverview {
        id: ShareId(row.get(0)?),
        name: row.get(1)?,
        uid: row.get(12)?,
        bound: row::bound(row, 13)?,
        root: std::ffi::OsString::from_vec(row.get(2)?).into(),
        scanned: row.get::<_, Option<i64>>(3)?.map(Wall),
        scans: count(row, 4)?,
        missed: count(row, 5)?,
        tally,
        problems: 0,
        notes: 0,
        state: row.get(11)?,
        targets: Vec::new(),
    })
}

fn target_row(row: &Row<'_>) -> rusqlite::Result<TargetOverview> {
    let tally = TargetTally {
        files: row.get(7)?,
        bytes: row.get(8)?,
        items: row.get(9)?,
        pending: row.get(10)?,
        pending_bytes: row.get(11)?,
        holds: row.get(12)?,
    };
    Ok(TargetOverview {
        id: TargetId(row.get(0)?),
        name: row.get(1)?,
        place: row.get(2)?,
        bound: row.get(3)?,
        listed: row.get::<_, Option<i64>>(4)?.map(Wall),
        halt: row.get(5)?,
        paused: row.get(6)?,
        tally,
        foreign: count(row, 13)?,
        oldest: Oldest::None,
        oldest_pending: None,
        requests: Vec::new(),
        read_back: ReadBack::default(),
        conflicts: 0,
        state: row.get(14)?,
    })
}

fn trouble_row(row: &Row<'_>) -> rusqlite::Result<TroubleMatter> {
    Ok(TroubleMatter {
        share: row.get(0)?,
        path: RelPath::new(row.get_ref(1)?.as_blob()?).unwrap_or_else(|_| RelPath::root()),
        is_problem: row.get::<_, i64>(2)? == 1,
        trouble: Trouble::new(row.get::<_, String>(3)?, row.get::<_, String>(4)?),
        since: Wall(row.get(5)?),
    })
}

fn open_matter(found: &Row<'_>) -> Result<OpenMatter> {
    let open = row::open(found, 0)?;
    let damaged = |error: crate::model::BadPath| IndexError::Damaged(error.to_string());
    let folder = RelPath::new(found.get::<_, Vec<u8>>(10)?).map_err(damaged)?;
    let path = folder.join(found.get::<_, Vec<u8>>(11)?).map_err(damaged)?;
    Ok(OpenMatter { share: found.get(12)?, target: found.get(13)?, path, open })
}

#[cfg(test)]
mod tests;
