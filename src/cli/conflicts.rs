//! `conflicts`: the inbox of two-way shares. Each path that both sides had changed, however many there are.

use std::path::Path;

use serde::Serialize;

use crate::cli::args::ConflictsArgs;
use crate::cli::ask::read;
use crate::cli::collect::never_ran;
use crate::cli::data::Format;
use crate::cli::log::check_names;
use crate::cli::report::When;
use crate::cli::source::{self, Picked};
use crate::cli::text::{Screen, bytes, harmless, shell_word};
use crate::cli::{Exit, Failure, say, say_data};
use crate::engine::clock;
use crate::index::{ConflictMatter, Overview, Reader, Side};
use crate::model::{Kind, Meta, Wall};

/// Conflicts read from the index at once (count).
const PAGE: usize = 1000;

/// One of them, as `conflicts --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Its number, for `resolve --id`.
    pub id: i64,
    /// The share's name.
    pub share: String,
    /// The target's name.
    pub target: String,
    /// The path, escaped for printing.
    pub path: String,
    /// Since when.
    pub since: When,
    /// What happened: `both changed` what was the same before, or `both new` when the two first met.
    pub cause: &'static str,
    /// The share's version when the two met, which stays under the name.
    pub on_share: Version,
    /// The target's version, which is in its history.
    pub on_target: Version,
    /// What to type.
    pub hint: String,
}

/// One of the two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Version {
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was changed, if that is known.
    pub changed: Option<When>,
    /// The number of the user whose it is, if that is known.
    pub user: Option<u32>,
    /// Its BLAKE3 hash; `None` if it was not read.
    pub blake3: Option<String>,
    /// It is a symbolic link.
    pub link: bool,
}

impl From<&Side> for Version {
    fn from(side: &Side) -> Self {
        Self {
            bytes: side.shape.len,
            changed: (side.mtime != Wall(0)).then_some(When(side.mtime)),
            user: (side.uid != Meta::NOT_KNOWN).then_some(side.uid),
            blake3: side.digest.map(|digest| digest.to_string()),
            link: side.shape.kind == Kind::Symlink,
        }
    }
}

impl From<&ConflictMatter> for Line {
    fn from(matter: &ConflictMatter) -> Self {
        let path = matter.path.to_string();
        Self {
            id: matter.id,
            share: matter.share.clone(),
            target: matter.target.clone(),
            since: When(matter.since),
            cause: if matter.what.both_new { "both new" } else { "both changed" },
            on_share: (&matter.what.ours).into(),
            on_target: (&matter.what.theirs).into(),
            hint: keeping(&path),
            path,
        }
    }
}

/// What to type about a conflict: first what throws nothing away.
pub(super) fn keeping(path: &str) -> String {
    format!("driftline resolve {} --keep both; or --keep share, or --keep target", shell_word(path))
}

/// `conflicts`.
pub(super) fn conflicts(args: &ConflictsArgs) -> Result<Exit, Failure> {
    let (asked, picked) = source::choice(&args.choice)?;
    let overview = read(&asked.dir, Reader::overview)?.ok_or_else(|| {
        let notice = never_ran(&asked.dir);
        Failure::cannot(Exit::Usage, "list conflicts", notice.message).hint(notice.hint)
    })?;
    check_names(&picked, &overview)?;
    let count = match args.output.format() {
        None => as_text(&asked.dir, &picked, &overview)?,
        Some(Format::Json) if args.output.query.is_none() => as_json(&asked.dir, &picked)?,
        // A query may ask for any of it, and a table is as wide as its widest: both need all of it.
        Some(_) => {
            let mut all = Vec::new();
            each(&asked.dir, &picked, &mut |line| {
                all.push(line);
                Ok(())
            })?;
            say_data(&all, &args.output)?;
            all.len()
        }
    };
    Ok(if count == 0 { Exit::Fine } else { Exit::Problems })
}

/// Page by page: in memory are never more than a page.
fn each(dir: &Path, picked: &Picked, tell: &mut dyn FnMut(Line) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let page = read(dir, |reader| reader.conflicts_after(after, None, PAGE))?.unwrap_or_default();
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        let wanted = page.iter().filter(|matter| picked.has(&matter.share, &matter.target));
        wanted.map(Line::from).try_for_each(&mut *tell)?;
    }
}

fn as_text(dir: &Path, picked: &Picked, overview: &Overview) -> Result<usize, Failure> {
    let screen = Screen::here(When(clock::wall()));
    let one_share = overview.shares.len() == 1;
    let mut count = 0;
    each(dir, picked, &mut |line| {
        count += 1;
        say(&text_line(&line, one_share, &screen))
    })?;
    if count == 0 {
        say("No conflicts.\n")?;
    }
    Ok(count)
}

/// An array, one element a line, as they are read.
fn as_json(dir: &Path, picked: &Picked) -> Result<usize, Failure> {
    let mut count = 0;
    each(dir, picked, &mut |line| {
        let before = if count == 0 { "[\n" } else { ",\n" };
        count += 1;
        let text = serde_json::to_string(&line).expect("plain values and text are always JSON");
        say(&format!("{before}  {text}"))
    })?;
    say(if count == 0 { "[]\n" } else { "\n]\n" })?;
    Ok(count)
}

pub(super) fn text_line(line: &Line, one_share: bool, screen: &Screen) -> String {
    let lane = if one_share { line.target.clone() } else { format!("{}/{}", line.share, line.target) };
    format!(
        "{}  on {}, since {}: the share's {} stays; the target's {} is in history  (see: {})\n",
        harmless(&line.path),
        harmless(&lane),
        screen.since(line.since),
        version(&line.on_share, screen),
        version(&line.on_target, screen),
        line.hint
    )
}

fn version(version: &Version, screen: &Screen) -> String {
    let size = if version.link { "link".to_owned() } else { bytes(version.bytes) };
    let changed = version.changed.map(|when| format!(" of {}", screen.time(when))).unwrap_or_default();
    let user = version.user.map(|user| format!(" by user {user}")).unwrap_or_default();
    format!("({size}{changed}{user})")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::cli::report::tests::at;

    #[test]
    fn a_line_names_both_versions_since_when_and_what_to_type() {
        let version =
            |bytes, seconds, user| Version { bytes, changed: Some(at(seconds)), user, blake3: None, link: false };
        let mut line = Line {
            id: 7,
            share: "papers".into(),
            target: "efs".into(),
            path: "a plan.txt".into(),
            since: at(-120),
            cause: "both changed",
            on_share: version(2048, -300, Some(1000)),
            on_target: version(10, -200, None),
            hint: keeping("a plan.txt"),
        };
        let screen = Screen { width: 80, zone: TimeZone::UTC, now: at(0) };
        assert_eq!(
            text_line(&line, true, &screen),
            "a plan.txt  on efs, since 14:01: the share's (2.0 KiB of 13:58:21 by user 1000) stays; the target's \
             (10 B of 14:00:01) is in history  (see: driftline resolve 'a plan.txt' --keep both; or --keep share, or --keep target)\n"
        );
        line.path = "a\u{1b}[31m".into();
        let told = text_line(&line, false, &screen);
        assert!(told.starts_with("a\\u{1b}[31m  on papers/efs, "), "{told}");
    }
}
