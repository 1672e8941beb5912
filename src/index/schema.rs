//! The tables, and how an older file becomes a newer one.

use rusqlite::{Connection, TransactionBehavior};

use crate::index::IndexError;

/// Steps from version N to N + 1. A step, once released, is never edited: a new one is added.
const STEPS: &[&str] = &[V1, V2, V3, READ_BACK, LISTS, TOMBSTONES, CONFLICTS, QUEUES, INHERITED];

/// The first version that counts requests: an older file is read as one that has counted none.
pub(super) const COUNTS_REQUESTS: i64 = 2;

/// The first version that keeps what was read back.
pub(super) const READS_BACK: i64 = 4;

/// The first version that keeps access control lists.
pub(super) const KEEPS_LISTS: i64 = 5;

/// The first version that remembers what the share deleted.
pub(super) const KEEPS_TOMBSTONES: i64 = 6;

/// The first version that keeps conflicts.
pub(super) const KEEPS_CONFLICTS: i64 = 7;

/// The first version that counts what was asked of queues.
pub(super) const COUNTS_QUEUES: i64 = 8;

/// The first version that knows what we left before what the share has came to be there.
pub(super) const KNOWS_INHERITED: i64 = 9;

/// Paths and names are raw bytes. A `folder` id is another word for a path: it never moves.
///
/// - `local`: what was last seen on the share. No row: never seen, or gone from everywhere.
/// - `base`: what we left on a target.
/// - `open`: what is open between the two: a row as long as a path differs, is doubted, is held, or has an attempt.
///   It can be made again from `local` and `base` at any time, but for `attempts`.
/// - `trouble`: what is the matter with paths of the share.
const V1: &str = "
CREATE TABLE share (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uid TEXT NOT NULL, root BLOB NOT NULL, fsid INTEGER, ino INTEGER,
    scanned INTEGER, scans INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, folders INTEGER NOT NULL DEFAULT 0,
    links INTEGER NOT NULL DEFAULT 0, hard_links INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE target (
    id INTEGER PRIMARY KEY, share INTEGER NOT NULL REFERENCES share(id), name TEXT NOT NULL, place TEXT NOT NULL,
    bound TEXT, listed INTEGER, pruned INTEGER, halt TEXT, paused INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, items INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0, pending_bytes INTEGER NOT NULL DEFAULT 0, holds INTEGER NOT NULL DEFAULT 0,
    foreign_files INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT '', UNIQUE (share, name)
) STRICT;
CREATE TABLE folder (id INTEGER PRIMARY KEY, share INTEGER NOT NULL, path BLOB NOT NULL, UNIQUE (share, path)) STRICT;
CREATE TABLE local (
    folder INTEGER NOT NULL, name BLOB NOT NULL, state INTEGER NOT NULL, kind INTEGER NOT NULL, len INTEGER NOT NULL,
    ino INTEGER NOT NULL, ctime INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL,
    gid INTEGER NOT NULL, nlink INTEGER NOT NULL, flags INTEGER NOT NULL, digest BLOB, run INTEGER NOT NULL,
    PRIMARY KEY (folder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX local_ino ON local (ino);
CREATE INDEX local_suspect ON local (folder, name) WHERE flags & 4;
CREATE TABLE base (
    target INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL, kind INTEGER NOT NULL, len INTEGER NOT NULL,
    digest BLOB, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    stamp BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (target, folder, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE open (
    target INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL, since INTEGER NOT NULL, bytes INTEGER NOT NULL,
    gone INTEGER NOT NULL, doubt INTEGER NOT NULL, attempts BLOB, sight BLOB, origin BLOB, hold INTEGER, message TEXT,
    hint TEXT, PRIMARY KEY (target, folder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_since ON open (target, since);
CREATE INDEX open_origin ON open (target, origin) WHERE origin IS NOT NULL;
CREATE INDEX open_hold ON open (target, hold) WHERE hold IS NOT NULL;
CREATE TABLE trouble (
    share INTEGER NOT NULL, path BLOB NOT NULL, what INTEGER NOT NULL, message TEXT NOT NULL, hint TEXT NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (share, path, what)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, share INTEGER NOT NULL, target INTEGER, path BLOB NOT NULL,
    what TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE request (id INTEGER PRIMARY KEY, what TEXT NOT NULL, target INTEGER) STRICT;
";

/// Requests made of a target on a day (days since 1970, in UTC). Not `request`, which is what administrators ask of the agent.
const V2: &str = "
CREATE TABLE requests (
    target INTEGER NOT NULL, day INTEGER NOT NULL, put INTEGER NOT NULL, get INTEGER NOT NULL, head INTEGER NOT NULL,
    list INTEGER NOT NULL, \"delete\" INTEGER NOT NULL, copy INTEGER NOT NULL, PRIMARY KEY (target, day)
) STRICT, WITHOUT ROWID;
";

/// Files taken away, replaced and scrambled on a target in an hour (hours since 1970, in UTC), and those of them that a person
/// has let through. In `target`, how many more of them may be let through; `halt` is JSON from here on.
const V3: &str = "
CREATE TABLE hours (
    target INTEGER NOT NULL, hour INTEGER NOT NULL, removed INTEGER NOT NULL, replaced INTEGER NOT NULL,
    scrambled INTEGER NOT NULL, seen_removed INTEGER NOT NULL, seen_replaced INTEGER NOT NULL,
    seen_scrambled INTEGER NOT NULL, PRIMARY KEY (target, hour)
) STRICT, WITHOUT ROWID;
ALTER TABLE target ADD COLUMN pass_removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE target ADD COLUMN pass_replaced INTEGER NOT NULL DEFAULT 0;
";

/// What was read back, and findings that wait to be taken in; see `verified.rs`.
const READ_BACK: &str = "
ALTER TABLE base ADD COLUMN verified INTEGER;
CREATE INDEX base_bad ON base (target) WHERE verified < 0;
CREATE TABLE verified (
    target INTEGER NOT NULL, hour INTEGER NOT NULL, files INTEGER NOT NULL, PRIMARY KEY (target, hour)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding (
    id INTEGER PRIMARY KEY, target INTEGER NOT NULL, path BLOB NOT NULL, stamp BLOB NOT NULL, at INTEGER NOT NULL,
    outcome INTEGER NOT NULL, found BLOB
) STRICT;
";

/// Access control lists, as text; empty for none, `NULL` where nobody told.
const LISTS: &str = "
ALTER TABLE local ADD COLUMN acl TEXT;
ALTER TABLE base ADD COLUMN acl TEXT;
";

/// What the share deleted; see `tombstones.rs`. `begins` is the beginning of its digest, `len` is `NULL` where nobody told.
const TOMBSTONES: &str = "
CREATE TABLE tombstone (
    share INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL, begins INTEGER NOT NULL, len INTEGER, digest BLOB,
    at INTEGER NOT NULL, taken INTEGER, recalled INTEGER NOT NULL, PRIMARY KEY (folder, name, begins)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_at ON tombstone (share, at);
";

/// Where both sides had changed a path; see `conflicts.rs`. A number is never given twice: whoever asks for one means that one.
const CONFLICTS: &str = "
CREATE TABLE conflict (
    id INTEGER PRIMARY KEY AUTOINCREMENT, target INTEGER NOT NULL, folder INTEGER NOT NULL, name BLOB NOT NULL,
    state INTEGER NOT NULL, both_new INTEGER NOT NULL, since INTEGER NOT NULL, stamp BLOB NOT NULL,
    their_kind INTEGER NOT NULL, their_len INTEGER NOT NULL, their_digest BLOB, their_mtime INTEGER NOT NULL,
    their_uid INTEGER NOT NULL, our_kind INTEGER NOT NULL, our_len INTEGER NOT NULL, our_digest BLOB,
    our_mtime INTEGER NOT NULL, our_uid INTEGER NOT NULL
) STRICT;
CREATE INDEX conflict_path ON conflict (target, folder, name, state);
CREATE INDEX request_resolve ON request (target) WHERE what GLOB 'resolve *';
";

/// Requests made of the queue that tells what others change on a target.
const QUEUES: &str = "
ALTER TABLE requests ADD COLUMN queue INTEGER NOT NULL DEFAULT 0;
";

/// What we left before what the share has came to be there; see `inherited.rs`.
const INHERITED: &str = "
ALTER TABLE base ADD COLUMN inherited INTEGER;
CREATE INDEX base_inherited ON base (target) WHERE inherited;
";

/// Brings the file to the newest version, or refuses one that is newer than this program.
pub(super) fn migrate(db: &mut Connection) -> Result<(), IndexError> {
    let newest = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > newest {
        return Err(IndexError::Newer { found, known: newest });
    }
    for (version, step) in (1..).zip(STEPS).skip(usize::try_from(found).unwrap_or(0)) {
        let turn = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        turn.execute_batch(step)?;
        turn.pragma_update(None, "user_version", version)?;
        turn.commit()?;
    }
    Ok(())
}

/// The version of a file that can be read as it is: `None` if it was never finished, an error if it is newer than this
/// program.
pub(super) fn readable(db: &Connection) -> Result<Option<i64>, IndexError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(IndexError::Newer { found, known });
    }
    Ok((found > 0).then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let mut db = Connection::open_in_memory().expect("memory");
        migrate(&mut db).expect("fresh");
        migrate(&mut db).expect("again");
        db.pragma_update(None, "user_version", 99).expect("set");
        let error = migrate(&mut db).expect_err("newer");
        let expected = "the index was written by a newer driftline (its version is 99, this program knows 9)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn each_step_leads_to_the_next() {
        for until in 0..=STEPS.len() {
            let mut db = Connection::open_in_memory().expect("memory");
            for step in &STEPS[..until] {
                db.execute_batch(step).expect("step");
            }
            db.pragma_update(None, "user_version", i64::try_from(until).expect("few")).expect("set");
            migrate(&mut db).expect("the rest");
        }
    }

    #[test]
    fn what_was_counted_before_queues_were_is_kept_and_has_asked_none() {
        let mut db = Connection::open_in_memory().expect("memory");
        let before = COUNTS_QUEUES - 1;
        for step in &STEPS[..usize::try_from(before).expect("few")] {
            db.execute_batch(step).expect("step");
        }
        db.pragma_update(None, "user_version", before).expect("set");
        db.execute_batch("INSERT INTO requests VALUES (1, 100, 1, 2, 3, 4, 5, 6)").expect("as an older program counts");
        migrate(&mut db).expect("migrated");
        let sql = "SELECT put, copy, queue FROM requests WHERE target = 1 AND day = 100";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let kept: (i64, i64, i64) = db.query_row(sql, [], read).expect("there");
        assert_eq!(kept, (1, 6, 0));
    }
}
