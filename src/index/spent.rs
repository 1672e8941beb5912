//! Requests made of targets, by day: what `status` shows, and what a budget is held against.

use rusqlite::{Connection, Row, params};

use crate::index::request::Requests as Asked;
use crate::index::{Index, Reader, Result, row, schema};
use crate::model::{Requests, TargetId};

/// Days that are kept (count): this month and the last.
const DAYS_KEPT: i64 = 62;
/// The column of what was asked of queues.
const QUEUE: &str = "queue";

impl Index {
    /// Adds requests made of a target on a day in UTC ([`Wall::day`](crate::model::Wall::day)), and forgets what was
    /// counted 62 days before or earlier. Nothing is written where none were made.
    pub fn count_requests(&self, target: TargetId, day: i64, more: Requests) -> Result<()> {
        add(&self.db, target, day, more)
    }

    /// Requests made of a target from a day on.
    pub fn requests_in(&self, target: TargetId, from_day: i64) -> Result<Requests> {
        Ok(days(&self.db, target, from_day, QUEUE)?.into_iter().map(|(_, requests)| requests).sum())
    }
}

impl Reader {
    /// See [`days`]; an older file has counted none, or none of queues.
    pub(super) fn requests(&self, target: TargetId) -> Result<Vec<(i64, Requests)>> {
        if self.version < schema::COUNTS_REQUESTS {
            return Ok(Vec::new());
        }
        let queue = if self.version < schema::COUNTS_QUEUES { "0" } else { QUEUE };
        days(&self.db, target, i64::MIN, queue)
    }
}

impl Asked {
    /// See [`Index::count_requests`]: requests that another command than the agent made. It asks no queue.
    pub fn spent(&self, target: TargetId, day: i64, more: Requests) -> Result<()> {
        add(&self.db, target, day, more)
    }
}

fn add(db: &Connection, target: TargetId, day: i64, more: Requests) -> Result<()> {
    if more == Requests::default() {
        return Ok(());
    }
    let sql = "INSERT INTO requests (target, day, put, get, head, list, \"delete\", copy) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET
                   put = put + excluded.put, get = get + excluded.get, head = head + excluded.head,
                   list = list + excluded.list, \"delete\" = \"delete\" + excluded.\"delete\", copy = copy + excluded.copy";
    let bits = row::bits;
    let Requests { put, get, head, list, delete, copy, queue } = more;
    let row = params![target.0, day, bits(put), bits(get), bits(head), bits(list), bits(delete), bits(copy)];
    db.prepare_cached(sql)?.execute(row)?;
    if queue > 0 {
        // By itself: commands write into the file of an agent that is older than they are, and has no such column yet.
        let sql = "UPDATE requests SET queue = queue + ? WHERE target = ? AND day = ?";
        db.prepare_cached(sql)?.execute(params![bits(queue), target.0, day])?;
    }
    let sql = "DELETE FROM requests WHERE target = ? AND day <= ?";
    db.prepare_cached(sql)?.execute(params![target.0, day - DAYS_KEPT])?;
    Ok(())
}

/// The days from `from` on of which something was counted, in their order; `queue` is that column, or what stands for it.
fn days(db: &Connection, target: TargetId, from: i64, queue: &str) -> Result<Vec<(i64, Requests)>> {
    let sql = format!(
        "SELECT day, put, get, head, list, \"delete\", copy, {queue} FROM requests
         WHERE target = ? AND day >= ? ORDER BY day"
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params![target.0, from], |row| Ok((row.get(0)?, requests(row)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn requests(row: &Row<'_>) -> rusqlite::Result<Requests> {
    let count = |at: usize| row.get(at).map(row::unbits);
    Ok(Requests {
        put: count(1)?,
        get: count(2)?,
        head: count(3)?,
        list: count(4)?,
        delete: count(5)?,
        copy: count(6)?,
        queue: count(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Requests = Requests { put: 1, get: 2, head: 3, list: 4, delete: 5, copy: 6, queue: 7 };

    fn index() -> (Index, TargetId, TargetId) {
        let mut index = Index::in_memory().expect("memory");
        let share = index.register_share("s", b"/s", "uid", false).expect("known").id;
        let one = index.register_target(share, "a", "s3://a").expect("known").id;
        let other = index.register_target(share, "b", "s3://b").expect("known").id;
        (index, one, other)
    }

    #[test]
    fn requests_are_added_up_by_target_and_day() {
        let (index, one, other) = index();
        for (target, day) in [(one, 100), (one, 100), (one, 101), (other, 101)] {
            index.count_requests(target, day, SOME).expect("counted");
        }
        assert_eq!(days(&index.db, one, 0, QUEUE).expect("read"), [(100, SOME + SOME), (101, SOME)]);
        assert_eq!(index.requests_in(one, 0).expect("read"), SOME + SOME + SOME);
        assert_eq!(index.requests_in(one, 101).expect("read"), SOME);
        assert_eq!(index.requests_in(one, 102).expect("read"), Requests::default());
        assert_eq!(index.requests_in(other, 0).expect("read"), SOME);
    }

    #[test]
    fn what_is_two_months_old_is_forgotten_and_what_is_nothing_is_not_written() {
        let (index, one, other) = index();
        for target in [one, other] {
            index.count_requests(target, 100, SOME).expect("counted");
            index.count_requests(target, 101, SOME).expect("counted");
        }
        index.count_requests(one, 162, SOME).expect("counted");
        assert_eq!(days(&index.db, one, 0, QUEUE).expect("read"), [(101, SOME), (162, SOME)]);
        assert_eq!(days(&index.db, other, 0, QUEUE).expect("read").len(), 2);
        let before = index.db.total_changes();
        index.count_requests(other, 900, Requests::default()).expect("nothing");
        assert_eq!(index.db.total_changes(), before);
    }
}
