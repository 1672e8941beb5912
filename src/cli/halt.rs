//! Why a target is halted: for the JSON, and for people on one screen.

use std::time::Duration;

use crate::cli::report::{HaltCounts, HaltFolder, HaltStatus, When};
use crate::cli::text::{Screen, bytes, counted, cut, grouped, harmless};
use crate::engine::state;
use crate::index::{ShareOverview, TargetOverview};
use crate::model::Wall;
use crate::plan::{Cause, Halt};

/// Folders shown to people (count): the JSON has more of them.
const SHOWN_MAX: usize = 5;
/// Paths shown to people (count): with these it all stands on a screen of 24 lines.
const SAMPLES_MAX: usize = 4;
/// How long before the first change that was noticed the share is taken back to.
const BEFORE: Duration = Duration::from_secs(1);

/// Why the target is halted, if it is.
pub(super) fn halt_status(share: &ShareOverview, target: &TargetOverview) -> Option<HaltStatus> {
    let halt = state::halt_of(target.halt.as_deref()?);
    let since = (halt.since != 0).then_some(When(Wall(halt.since)));
    let (kind, message, changes) = (halt.cause, halt.message.clone(), halt.changes);
    let back = since.map_or_else(|| "TIME".to_owned(), |since| format!("\"{}\"", before(since)));
    let hint = format!(
        "look at the samples; if they are right: driftline approve {}/{}; if not: {}",
        share.name,
        target.name,
        restore(&share.name, &back)
    );
    let counts = HaltCounts {
        removed: changes.removed,
        replaced: changes.replaced,
        scrambled: changes.scrambled,
        files: halt.files,
        limit: halt.limit,
        folders: halt.folders,
        bytes: halt.bytes,
    };
    let Halt { top, samples, .. } = halt;
    let folders = top.into_iter().map(|(path, files)| HaltFolder { path, files }).collect();
    Some(HaltStatus { kind, message, hint, since, counts, folders, samples })
}

/// To the second, and before anything of it.
fn before(since: When) -> When {
    let (seconds, _) = since.0.before(BEFORE).parts();
    When(Wall::from_parts(seconds, 0))
}

/// What takes the share back; `time` as the command takes it.
fn restore(share: &str, time: &str) -> String {
    format!("driftline restore --all --share {share} --as-of {time}")
}

/// What happened, where, since when, with samples, and what to do.
pub(super) fn render_halt(share: &str, target: &str, halt: &HaltStatus, screen: &Screen) -> String {
    let since = halt.since.map(|since| format!(", since {}", screen.time(since))).unwrap_or_default();
    let mut text = format!("  {share}/{target}: {}{since}\n", harmless(&halt.message));
    let how_much = (halt.counts != HaltCounts::default()).then(|| how_much(halt));
    let places = (!halt.folders.is_empty()).then(|| format!("where: {}", folders(halt)));
    for line in how_much.into_iter().chain(places) {
        text += &screen.lines(&format!("    {}", harmless(&line)));
    }
    for path in halt.samples.iter().take(SAMPLES_MAX) {
        text += &cut(&format!("      {}", harmless(path)), screen.width);
        text.push('\n');
    }
    let back = halt.since.map_or_else(|| "TIME".to_owned(), |since| format!("\"{}\"", screen.full_time(before(since))));
    let through = format!("    if that is right, let it through: driftline approve {share}/{target}");
    let back = format!("    if not, take the share back: {}", restore(share, &back));
    text + &screen.lines(&through) + &screen.lines(&back)
}

fn how_much(halt: &HaltStatus) -> String {
    let HaltCounts { removed, replaced, scrambled, files, folders, bytes: size, .. } = halt.counts;
    let marks = if halt.kind == Cause::Encryption {
        format!(", {} with the marks of encryption", grouped(scrambled))
    } else {
        String::new()
    };
    format!(
        "{} removed, {} replaced{marks}, of {}; {} in {}",
        grouped(removed),
        grouped(replaced),
        counted(files, "file"),
        bytes(size),
        counted(folders, "folder")
    )
}

fn folders(halt: &HaltStatus) -> String {
    let name = |folder: &HaltFolder| {
        let path = if folder.path.is_empty() { "the share's own folder" } else { &folder.path };
        format!("{path} ({})", grouped(folder.files))
    };
    let mut shown: Vec<_> = halt.folders.iter().take(SHOWN_MAX).map(name).collect();
    let more = halt.counts.folders.saturating_sub(u64::try_from(shown.len()).unwrap_or(u64::MAX));
    if more > 0 {
        shown.push(format!("and {} more", counted(more, "folder")));
    }
    shown.join(", ")
}
