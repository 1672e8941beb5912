//! The audit trail: what was done to each path and what became of each place, in the order in which it happened.
//!
//! A line is written in the same turn as what it tells of, so that neither is ever there without the other.

use rusqlite::{Row, params};

use crate::index::{Index, Reader, Result};
use crate::model::{RelPath, ShareId, TargetId, Wall};

/// Lines kept, at least (count): some 20 MB. A first copy of more files pushes its own first lines out.
pub const JOURNAL_KEPT: i64 = 100_000;
/// Lines between two clearings (count).
const CLEARED_EACH: i64 = 1000;

/// A line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number: later lines have higher ones.
    pub id: i64,
    /// When.
    pub at: Wall,
    /// The share's name.
    pub share: String,
    /// The target's name, if it was on one.
    pub target: Option<String>,
    /// The path; the root if it was the whole place.
    pub path: RelPath,
    /// What was done, in a word or two.
    pub what: String,
    /// With which effect, or why.
    pub detail: String,
}

impl Index {
    /// Adds a line to the audit trail, of which the newest [`JOURNAL_KEPT`] are kept.
    pub fn note(
        &self,
        share: ShareId,
        target: Option<TargetId>,
        path: &RelPath,
        what: &str,
        detail: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO journal (at, share, target, path, what, detail) VALUES (?, ?, ?, ?, ?, ?)";
        let row = params![self.now, share.0, target.map(|t| t.0), path.as_bytes(), what, detail];
        let id = self.db.prepare_cached(sql)?.insert(row)?;
        if id % CLEARED_EACH == 0 {
            self.db.prepare_cached("DELETE FROM journal WHERE id <= ?")?.execute([id - JOURNAL_KEPT])?;
        }
        Ok(())
    }
}

const COLUMNS: &str = "SELECT j.id, j.at, ifnull(s.name, '?'), t.name, j.path, j.what, j.detail FROM journal j
                       LEFT JOIN share s ON s.id = j.share LEFT JOIN target t ON t.id = j.target";

impl Reader {
    /// The lines after this number, the oldest first.
    pub fn journal_after(&self, id: i64, limit: usize) -> Result<Vec<JournalEntry>> {
        self.journal("WHERE j.id > ? ORDER BY j.id LIMIT ?", id, limit)
    }

    /// The lines before this number, the newest first.
    pub fn journal_before(&self, id: i64, limit: usize) -> Result<Vec<JournalEntry>> {
        self.journal("WHERE j.id < ? ORDER BY j.id DESC LIMIT ?", id, limit)
    }

    fn journal(&self, which: &str, id: i64, limit: usize) -> Result<Vec<JournalEntry>> {
        let mut query = self.db.prepare_cached(&format!("{COLUMNS} {which}"))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![id, limit], entry)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    Ok(JournalEntry {
        id: row.get(0)?,
        at: Wall(row.get(1)?),
        share: row.get(2)?,
        target: row.get(3)?,
        path: RelPath::new(row.get_ref(4)?.as_blob()?).unwrap_or_else(|_| RelPath::root()),
        what: row.get(5)?,
        detail: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_forwards_and_backwards_with_the_names_of_their_places() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("index.db");
        let mut index = Index::open(&file).expect("made");
        index.begin(Wall(5)).expect("a turn");
        let share = index.register_share("projects", b"/srv/projects", "uid", false).expect("a share").id;
        let target = index.register_target(share, "efs", "/mnt/efs").expect("a target").id;
        let path = RelPath::new("a/b").expect("a path");
        index.note(share, Some(target), &path, "put", "one").expect("noted");
        index.note(share, None, &RelPath::root(), "offline", "gone").expect("noted");
        index.commit().expect("committed");
        let reader = Reader::open(&file).expect("read").expect("there");
        let lines = reader.journal_after(0, 10).expect("read");
        let told: Vec<_> = lines.iter().map(|line| (line.id, line.at.0, line.target.as_deref(), &*line.what)).collect();
        assert_eq!(told, [(1, 5, Some("efs"), "put"), (2, 5, None, "offline")]);
        assert_eq!((&*lines[0].share, &lines[0].path, &*lines[0].detail), ("projects", &path, "one"));
        assert_eq!(reader.journal_after(1, 10).expect("read"), lines[1..]);
        assert_eq!(reader.journal_before(2, 10).expect("read"), lines[..1]);
    }

    #[test]
    fn only_the_newest_lines_are_kept() {
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("a share").id;
        index.begin(Wall(1)).expect("a turn");
        for _ in 0..JOURNAL_KEPT + 2 * CLEARED_EACH {
            index.note(share, None, &RelPath::root(), "x", "").expect("noted");
        }
        let (count, oldest): (i64, i64) = index
            .db
            .query_row("SELECT count(*), min(id) FROM journal", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("counted");
        assert_eq!((count, oldest), (JOURNAL_KEPT, 2 * CLEARED_EACH + 1));
    }
}
