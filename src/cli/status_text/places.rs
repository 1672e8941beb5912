//! Shares and targets in a table that fits the screen: what has nothing to tell is left out, and of the rest what matters
//! least goes first.

use crate::cli::report::{AgentState, Cost, ShareState, ShareStatus, Status, TargetStatus, WatchMode};
use crate::cli::text::{Column, Screen, Set, bytes, columns, counted, grouped, harmless, money, span};
use std::time::Duration;

/// A row for each share, and below it one for each of its targets.
pub(super) fn places(status: &Status, screen: &Screen) -> String {
    let mut rows = Vec::new();
    for share in &status.shares {
        rows.push(share_row(share, status.agent.state));
        rows.extend(share.targets.iter().map(|target| target_row(target, screen)));
    }
    let column = |head, set, keep, cell: fn(&Row) -> &String| Column {
        head,
        set,
        keep,
        cells: rows.iter().map(|row| cell(row).clone()).collect(),
    };
    let (l, r) = (Set::Left, Set::Right);
    let all = [
        (column("PLACE", l, 0, |row| &row.place), true),
        (column("STATE", l, 0, |row| &row.state), true),
        (column("FILES", r, 0, |row| &row.files), true),
        (column("BYTES", r, 5, |row| &row.bytes), true),
        (column("WAIT", r, 0, |row| &row.wait), true),
        (column("OLDEST", r, 1, |row| &row.oldest), false),
        (column("PROTECTED", l, 0, |row| &row.protected), true),
        (column("VERIFIED", r, 2, |row| &row.verified), false),
        (column("RATE", r, 4, |row| &row.rate), false),
        (column("COST/MONTH", r, 3, |row| &row.cost), false),
        (column("TROUBLE", l, 0, |row| &row.trouble), false),
    ];
    let shown = all.into_iter().filter(|(column, always)| *always || column.has_something());
    columns(shown.map(|(column, _)| column).collect(), screen.width)
}

#[derive(Default)]
struct Row {
    place: String,
    state: String,
    files: String,
    bytes: String,
    wait: String,
    oldest: String,
    protected: String,
    verified: String,
    rate: String,
    cost: String,
    trouble: String,
}

fn share_row(share: &ShareStatus, agent: AgentState) -> Row {
    let state = match (share.state, share.watch.mode) {
        (ShareState::Offline, _) => "offline",
        _ if agent == AgentState::Stopped => "not watched",
        (ShareState::Scanning, _) => "scanning",
        (ShareState::Ok, WatchMode::Poll) => &polled(share.watch.late_s),
        (ShareState::Ok, WatchMode::Inotify | WatchMode::Fanotify) if share.watch.coverage < 1.0 => "partly watched",
        (ShareState::Ok, WatchMode::Inotify | WatchMode::Fanotify) => "watched",
    };
    Row {
        place: harmless(&share.name),
        state: state.to_owned(),
        files: grouped(share.files),
        bytes: bytes(share.bytes),
        trouble: if share.problems == 0 { String::new() } else { counted(share.problems, "problem") },
        ..Row::default()
    }
}

fn polled(late_s: Option<u64>) -> String {
    late_s
        .map_or_else(|| "polled".to_owned(), |late| format!("polled, {} late at most", span(Duration::from_secs(late))))
}

fn target_row(target: &TargetStatus, screen: &Screen) -> Row {
    let mut trouble = Vec::new();
    if target.problems > 0 {
        trouble.push(counted(target.problems, "problem"));
    }
    if target.holds > 0 {
        trouble.push(counted(target.holds, "hold"));
    }
    if target.conflicts > 0 {
        trouble.push(counted(target.conflicts, "conflict"));
    }
    Row {
        place: format!("  {}", harmless(&target.name)),
        state: target.state.to_string(),
        files: grouped(target.files),
        bytes: bytes(target.bytes),
        wait: grouped(target.pending),
        oldest: target.oldest_pending_s.map(|age| span(Duration::from_secs(age))).unwrap_or_default(),
        protected: target.protected_as_of.map_or_else(|| "never yet".to_owned(), |when| screen.short_time(when)),
        verified: part(target.verified.files, target.files),
        rate: target.rate.map(|rate| format!("{}/s", bytes(rate))).unwrap_or_default(),
        cost: target.cost.as_ref().map(a_month).unwrap_or_default(),
        trouble: trouble.join(", "),
    }
}

/// Requests and storage together.
fn a_month(cost: &Cost) -> String {
    money(cost.requests_month + cost.storage_month, &cost.currency)
}

/// How much of what lies there was read back, never rounded up; nothing if none was.
fn part(done: u64, all: u64) -> String {
    match (done, all) {
        (0, _) | (_, 0) => String::new(),
        (done, all) if done >= all => "all".to_owned(),
        (done, all) if done * 100 < all => "<1%".to_owned(),
        (done, all) => format!("{}%", done * 100 / all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_rounded_up() {
        let table = [(0, 5, ""), (1, 1000, "<1%"), (10, 1000, "1%"), (999, 1000, "99%"), (5, 5, "all"), (0, 0, "")];
        for (done, all, text) in table {
            assert_eq!(part(done, all), text, "{done} of {all}");
        }
    }
}
