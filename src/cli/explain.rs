//! `explain PATH`: all that is known of one path, and what is decided about it. Reads the index, touches no place.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::args::ExplainArgs;
use crate::cli::ask::read;
use crate::cli::collect::{feel, never_ran, shown};
use crate::cli::holders::Holders;
use crate::cli::report::{Trouble, When};
use crate::cli::source::{self, State};
use crate::cli::status_text::START;
use crate::cli::text::{Screen, bytes, harmless};
use crate::cli::{Exit, Failure, conflicts, say, say_data};
use crate::engine::clock::wall as now;
use crate::engine::state::{Liveness, TargetCondition, TargetState};
use crate::index::{HoldRow, PathStory, Presence, Reader, ShareOverview, TargetStory, TroubleMatter};
use crate::local::Ignore;
use crate::model::{Content, Digest, Kind, RelPath, Seen, Shape, Sight, Wall};
use crate::plan::{self, Action, Drift, Hold, Origin, Policy, Purpose, RemoteView, Taking, Verdict, View};

/// All that is known of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Explanation {
    /// Its share's name.
    pub share: String,
    /// The path in the share, escaped for printing.
    pub path: String,
    /// The pattern that hides it, if one does.
    pub ignored_by: Option<String>,
    /// Who has it open for writing, as far as that can be seen from here.
    pub open_by: Option<String>,
    /// As it was last seen on the share, in words.
    pub local: String,
    /// What it permits beyond its mode, as `setfacl --set` takes it; `None` if nothing, or if nobody told.
    pub access_list: Option<String>,
    /// When the share last deleted something there, as long as that keeps an old copy on a target from coming back.
    pub deleted: Option<When>,
    /// Until when it does.
    pub deleted_until: Option<When>,
    /// What is the matter with it there.
    pub troubles: Vec<Trouble>,
    /// Versions of targets that gave way to the share's, and of which nobody has said yet whether they are wanted.
    pub conflicts: Vec<conflicts::Line>,
    /// On each target.
    pub targets: Vec<TargetExplanation>,
    /// What was done to it, the newest first.
    pub journal: Vec<Line>,
}

/// One target's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TargetExplanation {
    /// The target's name.
    pub name: String,
    /// What we left there, in words.
    pub left: String,
    /// When it was last put or confirmed there.
    pub at: Option<When>,
    /// Whether what the target last showed is what we left; `None` if nothing has been looked at since.
    pub as_left: Option<bool>,
    /// Since when it is not there as it is on the share; `None` if it is.
    pub since: Option<When>,
    /// What someone else left there: when and whose, as far as the target tells; `None` if it is ours or nothing.
    pub theirs: Option<String>,
    /// What is decided, in words.
    pub decision: String,
    /// What to do about it; empty if nothing.
    pub hint: String,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// When.
    pub at: When,
    /// On which target.
    pub target: Option<String>,
    /// What was done.
    pub what: String,
    /// With which effect.
    pub detail: String,
}

/// `explain`.
pub(super) fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    let what = format!("explain {}", shown(&args.path));
    let overview = read(&asked.dir, Reader::overview)?.ok_or_else(|| {
        let notice = never_ran(&asked.dir);
        Failure::cannot(Exit::Usage, &what, notice.message).hint(notice.hint)
    })?;
    let places = places(&args.path, &overview.shares);
    if places.iter().any(|(_, path)| path.is_root()) {
        let failure = Failure::cannot(Exit::Usage, what, "it is a whole share, not a path in one");
        return Err(failure.hint("name a path in it; of the share as a whole tells `driftline status`"));
    }
    let liveness = feel(&asked.dir, now())?.liveness;
    let mut told = Vec::new();
    let holders = Holders::look(&overview);
    for (share, path) in &places {
        let story = read(&asked.dir, |reader| reader.story(share.id, path))?;
        let open_by = holders.of(&share.name, path);
        let waiting = read(&asked.dir, |reader| reader.conflicts_after(0, Some((share.id, path)), CONFLICTS_MAX))?;
        let conflicts = waiting.iter().flatten().map(conflicts::Line::from).collect();
        told.extend(story.map(|story| Explanation {
            open_by,
            conflicts,
            ..explained(&asked, share, path, &story, liveness)
        }));
    }
    // A relative path may be one of several shares: those that know nothing of it are left out, unless none does.
    let is_known = |one: &Explanation| one.local != NOT_KNOWN || one.targets.iter().any(|target| target.at.is_some());
    if told.iter().any(is_known) {
        told.retain(is_known);
    }
    if told.is_empty() {
        let roots: Vec<_> = overview.shares.iter().map(|share| shown(&share.root)).collect();
        let failure = Failure::cannot(Exit::Usage, what, "it lies in no share");
        return Err(failure.hint(format!("the shares are {}", roots.join(", "))));
    }
    if args.output.is_data() {
        say_data(&told, &args.output)?;
    } else {
        let screen = Screen::here(When(now()));
        say(&told.iter().map(|one| render(one, &screen)).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Fine)
}

const NOT_KNOWN: &str = "not known";
/// Conflicts of one path that are told (count): `driftline conflicts` lists all.
const CONFLICTS_MAX: usize = 20;

/// Every place that a path may mean.
pub(super) fn places<'a>(path: &Path, shares: &'a [ShareOverview]) -> Vec<(&'a ShareOverview, RelPath)> {
    let within = |path: &Path| {
        let below = |share: &'a ShareOverview| {
            let rest = path.strip_prefix(&share.root).ok()?;
            Some((share, RelPath::new(rest.as_os_str().as_bytes()).ok()?))
        };
        shares.iter().filter_map(below).collect::<Vec<_>>()
    };
    let from_root = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut found = within(&from_root);
    if found.is_empty()
        && let Some((folder, name)) = from_root.parent().zip(from_root.file_name())
        && let Ok(folder) = folder.canonicalize()
    {
        // The folder may have been named through a link.
        found = within(&folder.join(name));
    }
    if path.is_absolute() || !found.is_empty() {
        return found;
    }
    let relative: std::path::PathBuf = path.components().filter(|part| *part != std::path::Component::CurDir).collect();
    match RelPath::new(relative.as_os_str().as_bytes()) {
        Ok(path) => shares.iter().map(|share| (share, path.clone())).collect(),
        Err(_) => Vec::new(),
    }
}

fn explained(
    asked: &State,
    share: &ShareOverview,
    path: &RelPath,
    story: &PathStory,
    liveness: Liveness,
) -> Explanation {
    let configured =
        asked.config.as_ref().and_then(|config| config.shares.iter().find(|known| known.name == share.name));
    let patterns = configured.map(|share| share.ignore.clone()).unwrap_or_default();
    let ignored_by = Ignore::new(&patterns).ok().and_then(|ignore| ignore.rule(path));
    let policy = |name: &str| {
        let target = configured.and_then(|share| share.targets.iter().find(|target| target.name == name));
        target.map(crate::config::Target::policy).unwrap_or_default()
    };
    let targets = story.targets.iter().map(|target| {
        let told = with_list(on_target(story, target, &policy(&target.name)), story, share);
        if target.open.is_some() { with_next_step(stopped(told, share), share, liveness) } else { told }
    });
    let journal = story.lines.iter().cloned();
    let longest = configured.and_then(|share| share.targets.iter().map(|target| target.history).max());
    let kept = longest.and_then(|longest| i64::try_from(longest.as_nanos()).ok());
    Explanation {
        share: share.name.clone(),
        path: path.to_string(),
        ignored_by,
        local: local_words(story),
        access_list: access_list(story),
        deleted: story.deleted.map(When),
        deleted_until: story.deleted.zip(kept).map(|(at, kept)| When(Wall(at.0.saturating_add(kept)))),
        open_by: None,
        troubles: story.troubles.iter().map(trouble).collect(),
        conflicts: Vec::new(),
        targets: targets.collect(),
        journal: journal
            .map(|line| Line { at: When(line.at), target: line.target, what: line.what, detail: line.detail })
            .collect(),
    }
}

fn trouble(told: &TroubleMatter) -> Trouble {
    let crate::model::Trouble { message, hint, .. } = told.trouble.clone();
    Trouble { message, hint, since: When(told.since) }
}

fn local_words(story: &PathStory) -> String {
    let Some(row) = &story.local else {
        // A row goes when the path is gone from everywhere; the journal remembers it for longer.
        return if story.lines.is_empty() { NOT_KNOWN } else { "gone" }.to_owned();
    };
    match row.state {
        Presence::Absent => "gone".to_owned(),
        Presence::Troubled => "there, and cannot be read".to_owned(),
        Presence::Present => {
            let digest =
                row.digest.map_or_else(|| "not read yet".to_owned(), |digest| format!("content {}", digest.short()));
            thing(row.stat.shape, (row.stat.shape.kind != Kind::Folder).then_some(digest), row.stat.meta.mtime)
        }
    }
}

fn thing(shape: Shape, digest: Option<String>, mtime: Wall) -> String {
    let kind = match shape.kind {
        Kind::File => format!("file, {}", bytes(shape.len)),
        Kind::Symlink => "symbolic link".to_owned(),
        Kind::Folder => "folder".to_owned(),
    };
    let digest = digest.map(|digest| format!(", {digest}")).unwrap_or_default();
    let seconds = mtime.0.div_euclid(1_000_000_000) * 1_000_000_000;
    format!("{kind}{digest}, changed {}", When(Wall(seconds)))
}

fn on_target(story: &PathStory, target: &TargetStory, policy: &Policy) -> TargetExplanation {
    let left = target.base.as_ref().map_or_else(
        || "nothing of ours".to_owned(),
        |(base, _)| {
            let Content { shape, digest } = base.content;
            let digest = (shape.kind != Kind::Folder).then(|| format!("content {}", digest.short()));
            thing(shape, digest, base.meta.mtime)
        },
    );
    let as_left = match (&target.base, target.open.as_ref().map(|open| &open.sight)) {
        (Some((base, _)), Some(Sight::Present((stamp, _)))) => Some(*stamp == base.stamp),
        (Some(_), Some(Sight::Absent)) => Some(false),
        (Some(_), Some(Sight::Unseen | Sight::Troubled) | None) | (None, _) => None,
    };
    let theirs = match target.open.as_ref().map(|open| &open.sight) {
        Some(Sight::Present((_, seen))) if as_left != Some(true) => {
            let digest = seen.digest.filter(|digest| ![Digest::UNPROVED, Digest::FOLDER].contains(digest));
            let digest = digest.map(|digest| format!("content {}", digest.short()));
            Some(format!("{}, of user {}", thing(seen.shape, digest, seen.meta.mtime), seen.meta.uid))
        }
        Some(Sight::Present(_) | Sight::Absent | Sight::Unseen | Sight::Troubled) | None => None,
    };
    let (decision, hint) = decision(story, target, policy);
    let at = target.base.as_ref().map(|(_, at)| When(*at));
    let since = target.open.as_ref().map(|open| When(open.since));
    TargetExplanation { name: target.name.clone(), left, at, as_left, since, theirs, decision, hint }
}

/// What was last seen on the share.
fn access_list(story: &PathStory) -> Option<String> {
    let row = story.local.as_ref().filter(|row| row.is_present())?;
    row.stat.meta.acl.text().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The same, and that its list is not kept there.
fn with_list(mut told: TargetExplanation, story: &PathStory, share: &ShareOverview) -> TargetExplanation {
    let target = share.targets.iter().find(|target| target.name == told.name);
    let keeps_none = target.is_some_and(|target| TargetState::parse(&target.state).no_lists);
    if keeps_none && access_list(story).is_some() {
        told.decision += "; its access control list is not kept there: it stays in the index";
    }
    told
}

/// The same, and that nothing is done now where the whole target waits for a person.
fn stopped(mut told: TargetExplanation, share: &ShareOverview) -> TargetExplanation {
    let Some(target) = share.targets.iter().find(|target| target.name == told.name) else { return told };
    let (state, hint) = match (&target.halt, target.paused) {
        (Some(_), _) => (
            "halted",
            format!("see driftline status; if that is right: driftline approve {}/{}", share.name, told.name),
        ),
        (None, true) => ("paused", "go on with: driftline resume".to_owned()),
        (None, false) => return told,
    };
    told.decision += &format!("; but nothing is changed on this target now: it is {state}");
    if told.hint.is_empty() {
        told.hint = hint;
    }
    told
}

/// The same, with who has to do something where nobody was named: mostly nobody.
fn with_next_step(mut told: TargetExplanation, share: &ShareOverview, liveness: Liveness) -> TargetExplanation {
    if !told.hint.is_empty() {
        return told;
    }
    let target = share.targets.iter().find(|target| target.name == told.name);
    let (but, hint) = match (liveness, target.map(|target| TargetState::parse(&target.state).state)) {
        (Liveness::Stopped, _) => ("no agent runs", START),
        (Liveness::Hung, _) => ("the agent does not answer", "look at its log, then start it anew"),
        (_, Some(TargetCondition::Unresponsive | TargetCondition::Unreachable)) => {
            ("the target does not answer now", "see driftline status; it goes on by itself once the target answers")
        }
        (_, Some(TargetCondition::Resting)) => {
            ("the target rests after a fault", "see driftline status; it is tried again by itself")
        }
        (Liveness::Running | Liveness::Starting, Some(TargetCondition::Ok) | None) => {
            ("", "nothing to do: it goes on by itself")
        }
    };
    if !but.is_empty() {
        told.decision += &format!("; but {but}");
    }
    told.hint = hint.to_owned();
    told
}

/// What would be decided now, from what the index knows.
fn verdict(story: &PathStory, target: &TargetStory, policy: &Policy) -> Verdict {
    let local = story.local.as_ref().map_or(Sight::Unseen, |row| row.sight(story.run));
    let unseen = Sight::Unseen;
    let sight = target.open.as_ref().map_or(&unseen, |open| &open.sight);
    let remote: Sight<RemoteView<'_>> =
        sight.as_ref().map(|(stamp, seen): &(_, Seen)| RemoteView { stamp, seen: *seen });
    let view = View {
        local,
        base: target.base.as_ref().map(|(base, _)| base),
        title: target.title,
        followed: policy.drift == Drift::Take && target.followed,
        attempts: target.open.as_ref().map_or(&[], |open| &open.attempts),
        remote,
        origin: target.origin.as_ref().map(|(base, as_left)| Origin { base, as_left: *as_left }),
        tombstones: if policy.drift == Drift::Take { &target.tombstones } else { &[] },
    };
    plan::reconcile(&view, policy)
}

fn decision(story: &PathStory, target: &TargetStory, policy: &Policy) -> (String, String) {
    if let Some(HoldRow { message, hint, .. }) = target.open.as_ref().and_then(|open| open.hold.as_ref()) {
        return (format!("held: {message}"), hint.clone());
    }
    if target.open.as_ref().is_some_and(|open| open.doubt) {
        return (
            "the target is looked at first: it may hold something else than what we left".to_owned(),
            String::new(),
        );
    }
    if story.local.is_none() && target.base.is_none() && target.open.is_none() {
        return ("nothing to do: it is neither here nor there".to_owned(), String::new());
    }
    let verdict = verdict(story, target, policy);
    (words(&verdict, target).to_owned(), hint(&verdict, policy).to_owned())
}

fn words(verdict: &Verdict, target: &TargetStory) -> &'static str {
    match verdict {
        Verdict::Settled if target.base.is_some() => "nothing to do: the target holds what the share holds",
        Verdict::Settled => "nothing to do",
        Verdict::Wait => "nothing yet: the share was not looked at in this run",
        Verdict::Read(Purpose::Send) => "it is read and sent",
        Verdict::Read(Purpose::Compare) => "it is read, to see whether the target holds just that already",
        Verdict::Examine => "the target's copy is read, to see what it holds",
        Verdict::Adopt(_) => "nothing is sent: the target holds this content already",
        Verdict::Forget => "forgotten: nothing of ours is there any more",
        Verdict::Moved => "nothing to do: it was renamed there",
        Verdict::Act(Action::Put { .. }) => "it is sent",
        Verdict::Act(Action::SetMeta { .. }) => "only its mode, time or owner is carried over",
        Verdict::Act(Action::Move { .. }) => "it is renamed there",
        Verdict::Act(Action::Remove { .. }) => "it is moved into history there",
        Verdict::Take(Taking::Bring { .. }) => "theirs is brought to the share; what lies there is kept",
        Verdict::Take(Taking::Carry { .. }) => "their mode, time or owner is brought to the share",
        Verdict::Take(Taking::Remove) => "someone else removed it there: it is taken away here too, and kept",
        Verdict::Hold(Hold::Drifted) => "held: someone else changed it there",
        Verdict::Hold(Hold::LocalTroubled) => "held: the share's file cannot be read",
        Verdict::Hold(Hold::RemoteTroubled) => "held: what lies there on the target cannot be read",
        Verdict::Hold(Hold::Refused) => "held: the target refuses it",
        Verdict::Hold(Hold::Returned) => "held: the share deleted it, and a copy of that is there again",
    }
}

fn hint(verdict: &Verdict, policy: &Policy) -> &'static str {
    match (verdict, policy.drift) {
        (Verdict::Hold(Hold::Drifted), Drift::Keep) => {
            "remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)"
        }
        (Verdict::Hold(_), _) => "see driftline problems",
        (
            Verdict::Settled
            | Verdict::Wait
            | Verdict::Read(_)
            | Verdict::Examine
            | Verdict::Adopt(_)
            | Verdict::Forget
            | Verdict::Moved
            | Verdict::Act(_)
            | Verdict::Take(_),
            _,
        ) => "",
    }
}

/// For people: times in it as they are on this machine, like all others. Programs are given them in UTC.
fn with_local_times(text: &str, screen: &Screen) -> String {
    let local = |word: &str| {
        let (time, comma) = word.strip_suffix(',').map_or((word, ""), |time| (time, ","));
        let when: Option<When> = serde_json::from_value(time.into()).ok().filter(|_| time.ends_with('Z'));
        when.map_or_else(|| word.to_owned(), |when| screen.time(when) + comma)
    };
    text.split(' ').map(local).collect::<Vec<_>>().join(" ")
}

fn render(one: &Explanation, screen: &Screen) -> String {
    let mut text = format!("{}: {}\n", one.share, one.path);
    if let Some(rule) = &one.ignored_by {
        text += &format!("  it is left out: the pattern {} hides it\n", harmless(rule));
    }
    let open = one.open_by.as_ref().map(|by| format!("; open for writing ({})", harmless(by))).unwrap_or_default();
    text += &format!("  on the share: {}{open}\n", with_local_times(&one.local, screen));
    if let Some(list) = &one.access_list {
        text += &format!("    access list: {list}\n");
    }
    if let Some(deleted) = one.deleted {
        let until = one.deleted_until.map(|until| format!(" until {}", screen.time(until))).unwrap_or_default();
        text += &format!("    deleted {}: an old copy does not come back{until}\n", screen.time(deleted));
    }
    for trouble in &one.troubles {
        let since = screen.since(trouble.since);
        text += &screen.lines(&format!("    {}, since {since}", harmless(&trouble.message)));
        text += &screen.lines(&format!("    hint: {}", harmless(&trouble.hint)));
    }
    for line in &one.conflicts {
        text += &format!("  conflict: {}", conflicts::text_line(line, true, screen));
    }
    for target in &one.targets {
        let at = target.at.map(|at| format!(", put or confirmed {}", screen.time(at))).unwrap_or_default();
        let moved = if target.as_left == Some(false) { "; it is not there as we left it" } else { "" };
        text += &format!("  on {}: {}{at}{moved}\n", target.name, with_local_times(&target.left, screen));
        if let Some(theirs) = &target.theirs {
            text += &format!("    there now: {}\n", with_local_times(theirs, screen));
        }
        let since = target.since.map(|since| format!(", since {}", screen.since(since))).unwrap_or_default();
        text += &screen.lines(&format!("    {}{since}", harmless(&target.decision)));
        if !target.hint.is_empty() {
            text += &screen.lines(&format!("    hint: {}", harmless(&target.hint)));
        }
    }
    if !one.journal.is_empty() {
        text += "  what was done\n";
    }
    for line in &one.journal {
        let target = line.target.as_ref().map(|target| format!(" on {target}")).unwrap_or_default();
        text +=
            &format!("    {}  {}{target}: {}\n", screen.time(line.at), harmless(&line.what), harmless(&line.detail));
    }
    text
}

#[cfg(test)]
mod tests;
