//! `history PATH`: the versions that can be had back, on each target: since when, until when, how large, and what ended
//! each. Asks the targets, which know it also when the index is gone.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::args::HistoryArgs;
use crate::cli::collect::shown;
use crate::cli::report::When;
use crate::cli::text::{Screen, Set, bytes, harmless, shell_word, table};
use crate::cli::wanted::{Open, choose};
use crate::cli::{Exit, Failure, say, say_data};
use crate::engine::clock;
use crate::model::{Kept, Kind, Past, RelPath, Seen, Wall, Was, Which};
use crate::target::{Depth, Piece, Target, TargetError};

/// Versions of which each is asked what it holds (count); of more, what the listing tells.
const ASKED_MAX: usize = 200;

/// The versions of one path on one target, as `history --json` prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Versions {
    /// The share's name.
    share: String,
    /// The target's name.
    target: String,
    /// The path, escaped for printing.
    path: String,
    /// The newest first.
    versions: Vec<Line>,
    /// Why nothing can be said of it.
    error: Option<String>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// Since when it lay there; `null` if that is not known any more.
    since: Option<When>,
    /// Until when; `null` if it still does.
    until: Option<When>,
    /// A time at which it lay there, for `restore --as-of`; `null` if it still does.
    as_of: Option<When>,
    /// Its name then, if it was another.
    called: Option<String>,
    /// `file`, `link` or `folder`.
    kind: &'static str,
    /// Bytes.
    size: u64,
    /// How its hash begins, or all of it.
    digest: Option<String>,
    /// Its modification time.
    modified: When,
    /// `replaced`, `removed`, `renamed`, or `current`.
    ended: &'static str,
}

/// `history`.
pub(super) fn history(args: &HistoryArgs) -> Result<Exit, Failure> {
    let what = format!("tell the history of {}", shown(&args.path));
    let chosen = choose(&args.places, Some(&args.path), &what)?;
    if chosen.path.is_root() {
        let failure = Failure::cannot(Exit::Usage, what, "it is a whole share, not a path in one");
        return Err(failure.hint("name a path in it"));
    }
    let mut all = Vec::new();
    for target in chosen.targets(args.from.as_deref(), &what)? {
        let told = chosen.open(target).and_then(|open| versions(&open, &chosen.path));
        let (versions, error) = match told {
            Ok(versions) => (versions, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        all.push(Versions {
            share: chosen.share.name.clone(),
            target: target.name.clone(),
            path: chosen.path.to_string(),
            versions,
            error,
        });
    }
    if args.output.is_data() {
        say_data(&all, &args.output)?;
    } else {
        say(&render(&all, &Screen::here(When(clock::wall()))))?;
    }
    let fine = all.iter().all(|one| one.error.is_none()) && all.iter().any(|one| !one.versions.is_empty());
    Ok(if fine { Exit::Fine } else { Exit::Problems })
}

/// A stretch of time in which one thing lay there.
struct Stretch {
    path: RelPath,
    until: Option<Wall>,
    which: Which,
    seen: Seen,
    begins: Option<[u8; 4]>,
}

fn versions(open: &Open, path: &RelPath) -> Result<Vec<Line>, TargetError> {
    let target = &*open.target;
    let mut names = vec![(path.clone(), None::<Wall>)];
    let mut lines = Vec::new();
    let mut known = 0;
    while known < names.len() {
        let (name, until) = names[known].clone();
        known += 1;
        let (ends, renames) = events(target, &name)?;
        let ends: BTreeMap<Wall, Was> =
            ends.into_iter().filter(|(at, _)| until.is_none_or(|until| *at <= until)).collect();
        let came = renames
            .iter()
            .filter(|(at, _, to)| (name == *to || to.is_above(&name)) && until.is_none_or(|until| *at < until))
            .max_by_key(|(at, ..)| *at);
        let first = came.map(|(at, ..)| *at);
        let current = match until {
            None => target.look(&name, Depth::Stamp)?.map(|found| (Which::Now(found.stamp), found.seen)),
            Some(_) => None,
        };
        lines.extend(
            stretches(&name, &ends, current, (first, until.is_some())).into_iter().map(|stretch| (stretch, known)),
        );
        if let Some((at, from, to)) = came {
            let older = name.rebased(to, from).expect("it was found at or above the path");
            names.push((older, Some(*at)));
        }
    }
    let asks = lines.len() <= ASKED_MAX;
    Ok(lines
        .into_iter()
        .map(|((since, ended, stretch), name)| line(target, since, ended, &stretch, (asks, name > 1)))
        .collect())
}

type Told = (Option<Wall>, &'static str, Stretch);

/// What lay under one name, the newest first.
fn stretches(
    name: &RelPath,
    ends: &BTreeMap<Wall, Was>,
    current: Option<(Which, Seen)>,
    (first, renamed): (Option<Wall>, bool),
) -> Vec<Told> {
    let mut told = Vec::new();
    let is_current = current.is_some();
    let since = ends.keys().next_back().copied().max(first);
    if let Some((which, seen)) = current {
        let stretch = Stretch { path: name.clone(), until: None, which, seen, begins: None };
        told.push((since, "current", stretch));
    }
    let times: Vec<Wall> = ends.keys().copied().collect();
    for (place, (at, was)) in ends.iter().enumerate().rev() {
        let Was::Version(Kept { which, seen, begins, .. }) = was else { continue };
        let since = place.checked_sub(1).map(|earlier| times[earlier]).max(first.filter(|first| first < at));
        let next = times.get(place + 1).map(|next| &ends[next]);
        let ended = match next {
            Some(Was::Absent) => "removed",
            Some(Was::Folder | Was::Version(_)) => "replaced",
            None if is_current || renamed => "replaced",
            None => "removed",
        };
        let stretch =
            Stretch { path: name.clone(), until: Some(*at), which: which.clone(), seen: *seen, begins: *begins };
        told.push((since, ended, stretch));
    }
    told
}

type Renames = Vec<(Wall, RelPath, RelPath)>;

fn events(target: &dyn Target, path: &RelPath) -> Result<(Vec<(Wall, Was)>, Renames), TargetError> {
    let (mut ends, mut renames) = (Vec::new(), Vec::new());
    target.past(path, Wall(i64::MIN), &mut |past| {
        match past {
            Past::Changed { path: at_path, at, was } if at_path == *path => ends.push((at, was)),
            Past::Changed { .. } => {}
            Past::Moved { at, from, to } => renames.push((at, from, to)),
        }
        true
    })?;
    Ok((ends, renames))
}

fn line(
    target: &dyn Target,
    since: Option<Wall>,
    ended: &'static str,
    stretch: &Stretch,
    (asks, renamed): (bool, bool),
) -> Line {
    let mut seen = stretch.seen;
    if asks && seen.digest.is_none() && stretch.begins.is_none() {
        // What it does not tell of itself is left out.
        let _untold = target.read(&stretch.path, &stretch.which, &mut |piece| {
            if let Piece::Head(head) = piece {
                seen = *head;
            }
            Ok(false)
        });
    }
    let begins = stretch.begins.map(|begins| begins.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    Line {
        since: since.map(When),
        until: stretch.until.map(When),
        as_of: stretch.until.map(|until| When(within(since, until))),
        called: renamed.then(|| stretch.path.to_string()),
        kind: match seen.shape.kind {
            Kind::File => "file",
            Kind::Symlink => "link",
            Kind::Folder => "folder",
        },
        size: seen.shape.len,
        digest: seen.digest.map(|digest| digest.to_string()).or(begins),
        modified: When(seen.meta.mtime),
        ended,
    }
}

fn render(all: &[Versions], screen: &Screen) -> String {
    let mut text = String::new();
    for one in all {
        text += &format!("{} on {}/{}\n", harmless(&one.path), harmless(&one.share), harmless(&one.target));
        if let Some(error) = &one.error {
            text += &format!("  cannot be told: {}\n", harmless(error));
            continue;
        }
        if one.versions.is_empty() {
            text += "  nothing was ever there, as far as is known\n";
            continue;
        }
        let head = ["SINCE", "UNTIL", "SIZE", "HASH", ""].map(str::to_owned);
        let rows = one.versions.iter().map(|line| {
            let time = |when: Option<When>, none: &str| when.map_or_else(|| none.to_owned(), |when| screen.time(when));
            let called = line.called.as_ref().map(|called| format!(", then called {}", harmless(called)));
            let digest = line.digest.as_deref().map_or_else(String::new, |digest| digest.chars().take(8).collect());
            let size = if line.kind == "folder" { "folder".to_owned() } else { bytes(line.size) };
            [
                time(line.since, "-"),
                time(line.until, "now"),
                size,
                digest,
                format!("{}{}", line.ended, called.unwrap_or_default()),
            ]
        });
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let set = [Set::Left, Set::Left, Set::Right, Set::Left, Set::Left];
        text += &table(set, &rows, screen.width);
    }
    text + &next_step(all, screen)
}

/// The command that brings the newest old version back; where there is none, what lies there now.
fn next_step(all: &[Versions], screen: &Screen) -> String {
    let from =
        |one: &Versions| if all.len() > 1 { format!(" --from {}", shell_word(&one.target)) } else { String::new() };
    let old =
        all.iter().filter_map(|one| one.versions.iter().find(|line| line.as_of.is_some()).map(|line| (one, line)));
    let newest = old.max_by_key(|(_, line)| line.until);
    if let Some((one, line)) = newest {
        let path = shell_word(line.called.as_ref().unwrap_or(&one.path));
        let as_of = line.as_of.map(|as_of| exact(as_of, screen)).unwrap_or_default();
        return format!(
            "Have the newest old one back: driftline restore {path} --as-of {as_of:?}{}\n  \
             another one with a time at which it was there; elsewhere with --to DIR; what lies in the way is kept\n",
            from(one)
        );
    }
    let there = all.iter().find(|one| !one.versions.is_empty());
    there.map_or_else(String::new, |one| {
        format!("Have it as it is there now: driftline restore {}{} --to DIR\n", shell_word(&one.path), from(one))
    })
}

/// A time that lies within: a whole second if there is one.
fn within(since: Option<Wall>, until: Wall) -> Wall {
    const SECOND: i64 = 1_000_000_000;
    let Some(since) = since else { return Wall((until.0 - 1).div_euclid(SECOND) * SECOND) };
    let second = (since.0.div_euclid(SECOND) + 1) * SECOND;
    Wall(if second < until.0 { second } else { since.0 + (until.0 - since.0) / 2 })
}

/// As `--as-of` takes it, with no part of it left out.
fn exact(when: When, screen: &Screen) -> String {
    if when.0.parts().1 == 0 { screen.full_time(when) } else { when.to_string() }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_time_within_is_a_whole_second_where_there_is_one() {
        let second = 1_000_000_000;
        let table = [
            (Some(5 * second), 9 * second, 6 * second),
            (Some(5 * second + 1), 6 * second + 1, 6 * second),
            (Some(5 * second + 1), 6 * second, 5 * second + 500_000_000),
            (Some(5 * second), 5 * second + 10, 5 * second + 5),
            (None, 9 * second, 8 * second),
            (None, 9 * second + 1, 9 * second),
        ];
        for (since, until, wanted) in table {
            let found = within(since.map(Wall), Wall(until));
            assert_eq!(found, Wall(wanted), "{since:?} {until}");
            assert!(found.0 < until && since.is_none_or(|since| found.0 >= since));
        }
    }

    fn version(until: Option<i64>, called: Option<&str>) -> Line {
        let at = |seconds: i64| When(Wall(seconds * 1_000_000_000));
        Line {
            since: Some(at(10)),
            until: until.map(at),
            as_of: until.map(|until| at(until - 1)),
            called: called.map(str::to_owned),
            kind: "file",
            size: 1,
            digest: None,
            modified: at(1),
            ended: "replaced",
        }
    }

    fn versions(target: &str, versions: Vec<Line>) -> Versions {
        Versions { share: "papers".into(), target: target.into(), path: "my plan".into(), versions, error: None }
    }

    #[test]
    fn the_command_brings_the_newest_old_version_back() {
        let screen = Screen { width: 80, zone: TimeZone::UTC, now: When(Wall(0)) };
        let told = |all: &[Versions]| next_step(all, &screen).lines().next().unwrap_or_default().to_owned();
        let efs = versions("efs", vec![version(None, None), version(Some(60), None), version(Some(30), None)]);
        assert_eq!(
            told(std::slice::from_ref(&efs)),
            "Have the newest old one back: driftline restore 'my plan' --as-of \"1970-01-01 00:00:59\""
        );
        let cloud = versions("cloud", vec![version(Some(90), Some("old"))]);
        assert_eq!(
            told(&[efs, cloud]),
            "Have the newest old one back: driftline restore old --as-of \"1970-01-01 00:01:29\" --from cloud"
        );
        let new = versions("efs", vec![version(None, None)]);
        assert_eq!(told(&[new]), "Have it as it is there now: driftline restore 'my plan' --to DIR");
        assert_eq!(told(&[versions("efs", Vec::new())]), "");
    }
}
