//! `status`, `pending` and `problems`: what people ask of the index.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::{ListArgs, Output, StatusArgs};
use crate::cli::collect::{self, Found, patiently};
use crate::cli::conflicts::keeping;
use crate::cli::holders::Holders;
use crate::cli::item_text::render_items;
use crate::cli::report::{AgentState, ConfigStatus, Item, ItemKind, ShareState, Status, TargetState, When};
use crate::cli::source::{self, State};
use crate::cli::status_text::{RELOAD, START, fit, in_colour, offline_hint, render_status};
use crate::cli::text::{Screen, bytes, counted, grouped, harmless};
use crate::cli::{Exit, Failure, fleet, say, say_data};
use crate::config::Span;
use crate::engine::clock::wall as now;
use crate::engine::{Strange, state};
use crate::index::{BadMatter, ConflictMatter, IndexError, OpenMatter, Reader, TroubleMatter};
use crate::model::Wall;

/// Lines listed (count); more are only counted.
const ITEMS_MAX: usize = 10_000;
/// Time between two paintings of `status --watch`.
const REPAINT: Duration = Duration::from_secs(1);

/// `status`.
pub(super) fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    if args.fleet {
        return fleet(&asked, &args.output);
    }
    if !args.watch {
        let status = known(&asked)?.0;
        show_status(&status, &args.output)?;
        return Ok(status.exit());
    }
    let mut first = true;
    loop {
        let status = known(&asked)?.0;
        match crate::sys::terminal::rows(std::io::stdout()) {
            Some(rows) if !args.output.is_data() => repaint(&status, usize::from(rows), first)?,
            Some(_) | None => show_status(&status, &args.output)?,
        }
        first = false;
        std::thread::sleep(REPAINT);
    }
}

/// What is known here comes at once; the targets are asked after it.
fn fleet(asked: &State, output: &Output) -> Result<Exit, Failure> {
    let config = asked.configured("ask the targets for their agents")?;
    let (status, found) = known(asked)?;
    if !output.is_data() {
        show_status(&status, output)?;
    }
    let overview = found.overview.ok().flatten().unwrap_or_default();
    let fleet = fleet::ask(config, &overview);
    if output.is_data() {
        say_data(&fleet::WithFleet { status: &status, fleet }, output)?;
    } else {
        say(&fleet::render(&fleet, &Screen::here(When(now()))))?;
    }
    Ok(status.exit())
}

/// Paints over what was there, line by line: a screen that is emptied first flickers. What was above it stays in the
/// terminal's memory.
fn repaint(status: &Status, rows: usize, first: bool) -> Result<(), Failure> {
    let screen = Screen::here(When(now()));
    // The last row stays free for the cursor.
    let text = in_colour(status, &fit(&render_status(status, &screen), rows.saturating_sub(1), screen.width));
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    let begin = if first { "\x1b[2J\x1b[H" } else { "\x1b[H" };
    say(&format!("{begin}{lines}\x1b[J"))
}

fn show_status(status: &Status, output: &Output) -> Result<(), Failure> {
    if output.is_data() {
        return say_data(status, output);
    }
    say(&in_colour(status, &render_status(status, &Screen::here(When(now())))))
}

fn known(asked: &State) -> Result<(Status, Found), Failure> {
    let at = now();
    let found = Found::look(&asked.dir, at)?;
    Ok((collect::status(asked, &found, at), found))
}

/// `pending`.
pub(super) fn pending(args: &ListArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    let (status, found) = known(&asked)?;
    let matters = read(&asked.dir, |reader| reader.pending(ITEMS_MAX))?.unwrap_or_default();
    let items = matters.iter().filter(|matter| is_asked(&status, &matter.share, Some(&matter.target)));
    let items: Vec<_> = items.collect();
    // To look into other processes takes time: only if there is anything that one may keep waiting.
    let overview = found.overview.ok().flatten().filter(|_| !items.is_empty()).unwrap_or_default();
    let holders = Holders::look(&overview);
    let items: Vec<_> = items.iter().map(|matter| pending_item(matter, &status, &holders, &asked)).collect();
    let all: u64 = status.lanes().map(|(_, target)| target.pending).sum();
    let holds: u64 = status.lanes().map(|(_, target)| target.holds).sum();
    let fine = match holds {
        0 => "Nothing waits.".to_owned(),
        holds => format!("Nothing waits but what is held ({}): see driftline problems.", counted(holds, "path")),
    };
    show_items(&items, all, &nothing(&status, &fine), &args.output)?;
    Ok(Exit::Fine)
}

/// `problems`.
pub(super) fn problems(args: &ListArgs) -> Result<Exit, Failure> {
    let asked = source::state(&args.state)?;
    let status = known(&asked)?.0;
    let lists = read(&asked.dir, |reader| {
        let conflicts = reader.conflicts_after(0, None, ITEMS_MAX)?;
        Ok((reader.holds(ITEMS_MAX)?, reader.troubles(ITEMS_MAX)?, reader.bad(ITEMS_MAX)?, conflicts))
    })?;
    let (holds, troubles, bad, conflicts) = lists.unwrap_or_default();
    let mut items = places(&status);
    items.extend(status.config.iter().flat_map(of_the_configuration));
    items.extend(troubles.iter().map(trouble_item).filter(|item| is_asked(&status, &item.share, None)));
    let bad = bad.iter().filter(|matter| is_asked(&status, &matter.share, Some(&matter.target)));
    items.extend(bad.map(bad_item));
    let holds = holds.iter().filter(|matter| is_asked(&status, &matter.share, Some(&matter.target)));
    items.extend(holds.map(hold_item));
    let conflicts = conflicts.iter().filter(|matter| is_asked(&status, &matter.share, Some(&matter.target)));
    items.extend(conflicts.map(conflict_item));
    let strange = strange(&asked.dir, &status)?;
    items.extend(strange.iter().flat_map(|(share, target, strange)| strange_items(share, target, strange)));
    // What needs a person first.
    items.sort_by_key(|item| item.kind == ItemKind::Note);
    let on_shares: u64 = status.shares.iter().map(|share| share.problems + share.notes).sum();
    let holds: u64 = status.lanes().map(|(_, target)| target.holds + target.conflicts + target.verified.bad).sum();
    let whole = items.iter().filter(|item| item.kind == ItemKind::Place).count();
    let kept: u64 = strange.iter().map(|(_, _, strange)| strange.count).sum();
    let all = on_shares + holds + kept + u64::try_from(whole).unwrap_or(0);
    show_items(&items, all, &nothing(&status, "No problems."), &args.output)?;
    let grave = items.iter().any(|item| item.kind != ItemKind::Note);
    Ok(if grave { Exit::Problems } else { Exit::Fine })
}

/// What was found on targets that cannot be a file of their shares.
fn strange(dir: &Path, status: &Status) -> Result<Vec<(String, String, Strange)>, Failure> {
    let lanes: Vec<_> = status.lanes().map(|(share, target)| (share.name.clone(), target.name.clone())).collect();
    let told = read(dir, |reader| {
        let of = |(share, target): &(String, String)| reader.fact(&Strange::fact(&format!("{share}/{target}")));
        lanes.iter().map(of).collect::<Result<Vec<_>, _>>()
    })?;
    let told = told.unwrap_or_default().into_iter().map(|text| Strange::parse(&text.unwrap_or_default()));
    Ok(lanes.into_iter().zip(told).map(|((share, target), strange)| (share, target, strange)).collect())
}

/// Each that is named, and how many more there are.
fn strange_items(share: &str, target: &str, strange: &Strange) -> Vec<Item> {
    let note = |path: String, message: &str, hint: &str| Item {
        kind: ItemKind::Note,
        share: share.to_owned(),
        target: Some(target.to_owned()),
        path,
        message: message.to_owned(),
        by: None,
        hint: hint.to_owned(),
        since: When(Wall(strange.seen)),
    };
    let message = "lies on the target and cannot be a file of the share: driftline leaves it alone";
    let hint = "give it a name on the target that a file can have, if it is wanted on the share";
    let mut items: Vec<_> = strange.names.iter().map(|name| note(harmless(name), message, hint)).collect();
    let more = strange.count.saturating_sub(items.len() as u64);
    if more > 0 {
        let message = format!("and {} more on the target that cannot be files of the share", grouped(more));
        items.push(note(String::new(), &message, "they are named as those before them are renamed or removed"));
    }
    items
}

/// Asks the index; `None` if there is none.
pub(super) fn read<T>(dir: &Path, ask: impl Fn(&Reader) -> Result<T, IndexError>) -> Result<Option<T>, Failure> {
    let answer = patiently(|| match Reader::open(&dir.join(state::INDEX))? {
        Some(reader) => ask(&reader).map(Some),
        None => Ok(None),
    });
    answer.map_err(|error| unreadable(dir, &error))
}

/// The index cannot be asked.
pub(super) fn unreadable(dir: &Path, error: &IndexError) -> Failure {
    let notice = collect::index_notice(error);
    Failure::cannot(Exit::Internal, format!("use the index in {}", dir.display()), notice.message).hint(notice.hint)
}

/// An empty list means something only if an agent has looked.
fn nothing(status: &Status, fine: &str) -> String {
    let unscanned = status.shares.is_empty() || status.shares.iter().any(|share| share.scanned.is_none());
    match (&status.error, unscanned) {
        (Some(error), _) => format!("Nothing is known: {}.", error.message),
        (None, true) => format!("{fine} But no full scan has ended yet: see driftline status."),
        (None, false) => fine.to_owned(),
    }
}

fn show_items(items: &[Item], all: u64, nothing: &str, output: &Output) -> Result<(), Failure> {
    if output.is_data() {
        return say_data(&items, output);
    }
    let mut text = render_items(items, nothing, &Screen::here(When(now())));
    let left = all.saturating_sub(u64::try_from(items.len()).unwrap_or(u64::MAX));
    if items.len() >= ITEMS_MAX && left > 0 {
        text += &format!("and {} more\n", grouped(left));
    }
    say(&text)
}

/// What is in the index and configured no more is not told.
fn is_asked(status: &Status, share: &str, target: Option<&str>) -> bool {
    let mut shares = status.shares.iter().filter(|known| known.name == share);
    shares.any(|known| target.is_none_or(|target| known.targets.iter().any(|one| one.name == target)))
}

/// Shares and targets that are in trouble as a whole.
fn places(status: &Status) -> Vec<Item> {
    let mut items = Vec::new();
    for share in status.shares.iter().filter(|share| share.state == ShareState::Offline) {
        let message = share.error.clone().unwrap_or_else(|| "it is offline".to_owned());
        let hint = offline_hint(&share.path, &share.name, share.error.as_deref());
        let since = share.scanned.unwrap_or(status.as_of);
        let share = share.name.clone();
        items.push(Item {
            kind: ItemKind::Place,
            share,
            target: None,
            path: String::new(),
            message,
            by: None,
            hint,
            since,
        });
    }
    for (share, target) in status.lanes() {
        let Some(error) = &target.error else { continue };
        items.push(Item {
            kind: ItemKind::Place,
            share: share.name.clone(),
            target: Some(target.name.clone()),
            path: String::new(),
            message: error.message.clone(),
            by: None,
            hint: error.hint.clone(),
            since: error.since,
        });
    }
    items
}

/// What of the configuration needs a person.
fn of_the_configuration(config: &ConfigStatus) -> Vec<Item> {
    let item = |share: &str, target: Option<String>, message: String, hint: String, since| Item {
        kind: ItemKind::Place,
        share: share.to_owned(),
        target,
        path: String::new(),
        message,
        by: None,
        hint,
        since,
    };
    let refused = config.error.iter().map(|error| {
        let message = format!("the file is not taken: {}", error.message);
        item("configuration", None, message, error.hint.clone(), error.since)
    });
    let waiting = config.waiting.iter().map(|one| {
        let hint =
            format!("if that is meant: driftline approve {}; if not, undo it in the file, then: {RELOAD}", one.place());
        item(&one.share, one.target.clone(), format!("{}: {}", one.change, one.effect), hint, one.since)
    });
    let blocked = config
        .blocked
        .iter()
        .map(|what| item("configuration", None, what.clone(), format!("once that is mended: {RELOAD}"), config.taken));
    refused.chain(waiting).chain(blocked).collect()
}

fn trouble_item(matter: &TroubleMatter) -> Item {
    Item {
        kind: if matter.is_problem { ItemKind::Problem } else { ItemKind::Note },
        share: matter.share.clone(),
        target: None,
        path: matter.path.to_string(),
        message: matter.trouble.message.clone(),
        by: None,
        hint: matter.trouble.hint.clone(),
        since: When(matter.since),
    }
}

fn bad_item(matter: &BadMatter) -> Item {
    Item {
        kind: ItemKind::Problem,
        share: matter.share.clone(),
        target: Some(matter.target.clone()),
        path: matter.path.to_string(),
        message: "was read back there, and is not what was left".to_owned(),
        by: None,
        hint: format!("driftline verify --repair --share {} --target {}", matter.share, matter.target),
        since: When(matter.since),
    }
}

fn conflict_item(matter: &ConflictMatter) -> Item {
    let path = matter.path.to_string();
    Item {
        kind: ItemKind::Conflict,
        share: matter.share.clone(),
        target: Some(matter.target.clone()),
        message: "was changed on both sides: the share's version stays, theirs is in history".to_owned(),
        by: None,
        hint: keeping(&path),
        since: When(matter.since),
        path,
    }
}

fn hold_item(matter: &OpenMatter) -> Item {
    let (message, hint) = match &matter.open.hold {
        Some(hold) => (hold.message.clone(), hold.hint.clone()),
        None => (String::new(), String::new()),
    };
    item(ItemKind::Hold, matter, message, hint)
}

fn pending_item(matter: &OpenMatter, status: &Status, holders: &Holders, asked: &State) -> Item {
    let obstacle = obstacle(matter, status);
    if obstacle.is_empty()
        && let Some(by) = holders.of(&matter.share, &matter.path)
    {
        let message = "held: open for writing on the share".to_owned();
        return Item { by: Some(by), ..item(ItemKind::Pending, matter, message, once_closed(&matter.share, asked)) };
    }
    let message = format!("{}{obstacle}", waits_for(matter));
    item(ItemKind::Pending, matter, message, way_on(matter, status))
}

fn once_closed(share: &str, asked: &State) -> String {
    let shares = asked.config.iter().flat_map(|config| &config.shares);
    let patience = shares.filter(|known| known.name == share).map(|share| Span(share.patience)).next();
    let patience = patience.map(|patience| format!(" (patience = {patience})")).unwrap_or_default();
    format!("it is copied once nobody writes to it; and as it is then, once its patience is over{patience}")
}

fn item(kind: ItemKind, matter: &OpenMatter, message: String, hint: String) -> Item {
    Item {
        kind,
        share: matter.share.clone(),
        target: Some(matter.target.clone()),
        path: matter.path.to_string(),
        message,
        by: None,
        hint,
        since: When(matter.open.since),
    }
}

/// What is still to be done about it.
fn waits_for(matter: &OpenMatter) -> String {
    let open = &matter.open;
    match &open.origin {
        Some(from) => format!("waits to be renamed there from {from}"),
        None if open.doubt => "waits to be looked at there".to_owned(),
        None if open.gone => "is gone from the share, and waits to be moved into history there".to_owned(),
        None if !open.attempts.is_empty() => format!("is being sent ({})", bytes(open.bytes)),
        None if open.bytes > 0 => format!("waits to be sent ({})", bytes(open.bytes)),
        None => "waits to be compared".to_owned(),
    }
}

fn target_state(matter: &OpenMatter, status: &Status) -> Option<TargetState> {
    let mut lanes = status.lanes();
    lanes.find(|(share, target)| share.name == matter.share && target.name == matter.target).map(|(_, t)| t.state)
}

fn obstacle(matter: &OpenMatter, status: &Status) -> String {
    match (status.agent.state, target_state(matter, status)) {
        (AgentState::Stopped, _) => " while no agent runs".to_owned(),
        (AgentState::Hung, _) => " while the agent does not answer".to_owned(),
        (AgentState::Running, Some(TargetState::Ok) | None) => String::new(),
        (AgentState::Running, Some(state)) => format!(" while the target is {state}"),
    }
}

fn way_on(matter: &OpenMatter, status: &Status) -> String {
    match (status.agent.state, target_state(matter, status)) {
        (AgentState::Stopped, _) => START.to_owned(),
        (AgentState::Hung, _) => "look at the agent's log, then start it anew".to_owned(),
        (AgentState::Running, Some(TargetState::Halted)) => {
            format!("if that is right: driftline approve {}/{}", matter.share, matter.target)
        }
        (AgentState::Running, Some(TargetState::Paused)) => "go on with: driftline resume".to_owned(),
        (AgentState::Running, Some(TargetState::Unresponsive | TargetState::Unreachable)) => {
            "see driftline status; it goes on by itself once the target answers".to_owned()
        }
        (AgentState::Running, Some(TargetState::Resting)) => {
            "see driftline status; it is tried again by itself".to_owned()
        }
        (AgentState::Running, Some(TargetState::Ok) | None) => "nothing to do: it goes on by itself".to_owned(),
    }
}
