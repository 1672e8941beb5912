//! From lock, heartbeat and index to what `status` says.

use std::path::Path;
use std::time::Duration;

use crate::cli::halt::halt_status;
use crate::cli::report::{
    self, AgentState, AgentStatus, ConfigStatus, HaltStatus, Notice, ShareState, ShareStatus, Status, TargetKind,
    TargetState, TargetStatus, Trouble, Verified, WatchMode, WatchStatus, When,
};
use crate::cli::settings::config_status;
use crate::cli::source::State;
use crate::cli::text::bytes;
use crate::cli::{Exit, Failure};
use crate::config::{self, Config, Prices, is_url};
use crate::engine::Room;
use crate::engine::settings::SETTINGS;
use crate::engine::state::{self, Liveness, Pulse, ShareCondition, TargetCondition, WatchWay};
use crate::index::{IndexError, Oldest, Overview, Reader, ShareOverview, TargetOverview};
use crate::model::{RelPath, Requests, Wall};

/// How often a busy index is asked (count); each time SQLite waits for 100 ms.
const TRIES: u32 = 2;
/// A fault that makes a target rest for longer than this needs a person.
const FAULT_LASTS: Duration = Duration::from_secs(60);

/// Days whose requests are told (count); the index keeps no more.
const REQUEST_DAYS: i64 = 62;
/// Days of which the cost of a month is reckoned, if so many were counted (count).
const COST_DAYS: i64 = 30;

/// What was found in a state folder.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether an agent works.
    pub(super) pulse: Pulse,
    /// What the index knows; `Ok(None)` if there is none.
    pub(super) overview: Result<Option<Overview>, IndexError>,
    /// What the agent says of its configuration, as it wrote it.
    pub(super) settings: Option<String>,
    /// Room on the disk of the state folder, where that could be learned.
    pub(super) room: Option<Room>,
}

impl Found {
    /// Looks into a state folder, without ever waiting for long.
    pub(super) fn look(dir: &Path, now: Wall) -> Result<Self, Failure> {
        let pulse = feel(dir, now)?;
        let known = patiently(|| match Reader::open(&dir.join(state::INDEX))? {
            Some(reader) => Ok((Some(reader.overview()?), reader.fact(SETTINGS)?)),
            None => Ok((None, None)),
        });
        let (overview, settings) = match known {
            Ok((overview, settings)) => (Ok(overview), settings),
            Err(error) => (Err(error), None),
        };
        Ok(Self { pulse, overview, settings, room: Room::of(dir).ok() })
    }
}

/// Whether an agent works with the state folder.
pub(super) fn feel(dir: &Path, now: Wall) -> Result<Pulse, Failure> {
    Pulse::feel(dir, now).map_err(|error| {
        Failure::cannot(Exit::Internal, format!("look into the state folder {}", dir.display()), error)
            .hint("run it as root, or as the agent's user")
    })
}

/// Asks again while another process has the index to itself.
pub(super) fn patiently<T>(mut ask: impl FnMut() -> Result<T, IndexError>) -> Result<T, IndexError> {
    for _ in 1..TRIES {
        match ask() {
            Err(error) if error.is_busy() => {}
            answer => return answer,
        }
    }
    ask()
}

/// What the index would not say, and what to do about it.
pub(super) fn index_notice(error: &IndexError) -> Notice {
    let hint = match error {
        IndexError::Newer { .. } => "ask with the newer driftline: see which one the service runs",
        error if error.is_busy() => "ask again: another process has the index to itself just now",
        error if error.is_damage() => {
            "restart the agent: it sets the damaged index aside and finds the truth again from the targets"
        }
        IndexError::Sqlite(_) | IndexError::Damaged(_) => "run it as root, or as the agent's user",
    };
    Notice { message: error.to_string(), hint: hint.to_owned() }
}

/// An agent that finds no room takes nothing in: what it said last may be long past.
fn room_notice(asked: &State, pulse: &Pulse, room: Room) -> Option<Notice> {
    let rests = pulse.liveness != Liveness::Stopped && !room.is_enough();
    rests.then(|| Notice {
        message: format!(
            "the disk of the state folder {} has {} free: the agent takes nothing in until it has {}",
            asked.dir.display(),
            bytes(room.free),
            bytes(room.floor)
        ),
        hint: "make room on it; driftline goes on by itself".to_owned(),
    })
}

/// The notice of a folder in which no agent ever worked.
pub(super) fn never_ran(dir: &Path) -> Notice {
    Notice {
        message: format!("no agent ever ran with the state folder {}", dir.display()),
        hint: "if it runs with another one, name that with --config or --state-dir".to_owned(),
    }
}

/// All that `status` says. Pure.
pub(super) fn status(asked: &State, found: &Found, now: Wall) -> Status {
    let agent = agent(asked, found);
    let none = Overview::default();
    let (overview, error) = match &found.overview {
        Ok(Some(overview)) => (overview, found.room.and_then(|room| room_notice(asked, &found.pulse, room))),
        Ok(None) if found.pulse.liveness == Liveness::Stopped => (&none, Some(never_ran(&asked.dir))),
        Ok(None) => (&none, None),
        Err(error) => (&none, Some(index_notice(error))),
    };
    let settings = config_status(asked, found, now);
    let shares = match &asked.config {
        Some(config) => configured(config, overview, settings.as_ref(), &found.pulse, now),
        None => {
            let prices = Prices::default();
            overview.shares.iter().map(|share| share_status(share, &prices, &found.pulse, now)).collect()
        }
    };
    let status = Status::new(agent, settings, shares, When(now));
    match error {
        Some(error) => status.with_error(error),
        None => status,
    }
}

fn agent(asked: &State, found: &Found) -> AgentStatus {
    let pulse = &found.pulse;
    let named = asked.config.as_ref().and_then(|config| config.agent.name.clone());
    let (name, version) = match &pulse.beat {
        Some((beat, _)) => (beat.name.clone(), beat.version.clone()),
        None => (named.unwrap_or_else(crate::sys::host::name), env!("CARGO_PKG_VERSION").to_owned()),
    };
    let state = match pulse.liveness {
        Liveness::Running | Liveness::Starting => AgentState::Running,
        // It does not beat, and is well.
        Liveness::Hung if found.room.is_some_and(|room| !room.is_enough()) => AgentState::Running,
        Liveness::Hung => AgentState::Hung,
        Liveness::Stopped => AgentState::Stopped,
    };
    AgentStatus { name, state, pid: pulse.pid, version, heartbeat: pulse.beat.as_ref().map(|(_, at)| When(*at)) }
}

/// What is configured, in its order; of what no agent has seen yet nothing is known. What is configured no more is left
/// out, unless the agent goes on with it until a person has said that it may go.
fn configured(
    config: &Config,
    overview: &Overview,
    settings: Option<&ConfigStatus>,
    pulse: &Pulse,
    now: Wall,
) -> Vec<ShareStatus> {
    let goes_on = |share: &str, target: Option<&str>| {
        let waiting = settings.into_iter().flat_map(|settings| &settings.waiting);
        let mut waiting = waiting.filter(|_| pulse.liveness != Liveness::Stopped);
        waiting.any(|one| one.share == share && (target.is_none() || one.target.as_deref() == target))
    };
    // What an agent that runs has not begun is told with its configuration.
    let begins = pulse.liveness != Liveness::Running || settings.is_none();
    let one = |share: &config::Share| {
        let known = overview.shares.iter().find(|known| known.name == share.name);
        let mut status = match known {
            Some(known) => share_status(known, &config.prices, pulse, now),
            None if begins => unseen_share(share),
            None => return None,
        };
        let mut seen = std::mem::take(&mut status.targets);
        status.targets = share.targets.iter().filter_map(|target| take(&mut seen, target, begins)).collect();
        status.targets.extend(seen.into_iter().filter(|target| goes_on(&share.name, Some(&target.name))));
        Some(status)
    };
    let mut shares: Vec<_> = config.shares.iter().filter_map(one).collect();
    let is_named = |name: &str| config.shares.iter().any(|share| share.name == name);
    let others = overview.shares.iter().filter(|known| !is_named(&known.name) && goes_on(&known.name, None));
    shares.extend(others.map(|known| share_status(known, &config.prices, pulse, now)));
    shares
}

fn take(seen: &mut Vec<TargetStatus>, target: &config::Target, begins: bool) -> Option<TargetStatus> {
    match seen.iter().position(|known| known.name == target.name) {
        Some(at) => Some(seen.swap_remove(at)),
        None => begins.then(|| unseen_target(&target.name, kind(&target.place.to_string()))),
    }
}

/// What a place is, by how it is written: a folder from the root, a bucket by its address.
fn kind(place: &str) -> TargetKind {
    if is_url(place) { TargetKind::S3 } else { TargetKind::Directory }
}

fn unseen_share(share: &config::Share) -> ShareStatus {
    ShareStatus {
        name: share.name.clone(),
        path: shown(&share.path),
        files: 0,
        bytes: 0,
        state: ShareState::Ok,
        scanned: None,
        problems: 0,
        notes: 0,
        hard_links: 0,
        missed: 0,
        error: None,
        watch: WatchStatus { mode: WatchMode::Poll, coverage: 0.0, note: None, late_s: None },
        targets: Vec::new(),
    }
}

fn unseen_target(name: &str, kind: TargetKind) -> TargetStatus {
    TargetStatus {
        name: name.to_owned(),
        kind,
        state: TargetState::Ok,
        files: 0,
        bytes: 0,
        pending: 0,
        pending_bytes: 0,
        oldest_pending_s: None,
        rate: None,
        protected_as_of: None,
        problems: 0,
        holds: 0,
        conflicts: 0,
        foreign: 0,
        verified: Verified::default(),
        error: None,
        events: None,
        halt: None,
        requests: report::Requests::default(),
        requests_today: report::Requests::default(),
        cost: None,
    }
}

/// A path for printing.
pub(super) fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = path.as_os_str().as_bytes();
    match RelPath::new(bytes.strip_prefix(b"/").unwrap_or(bytes)) {
        Ok(rest) if bytes.starts_with(b"/") => format!("/{rest}"),
        Ok(_) | Err(_) => crate::cli::text::harmless(&path.to_string_lossy()),
    }
}

/// A target's place for printing.
pub(super) fn shown_place(place: &config::Place) -> String {
    match place {
        config::Place::Folder(path) => shown(path),
        config::Place::Bucket(bucket) => crate::cli::text::harmless(&bucket.to_string()),
    }
}

/// What the agent last said of a share; nothing if one has just started and has not said anything.
fn said_of_share(share: &ShareOverview, pulse: &Pulse) -> state::ShareState {
    match pulse.liveness {
        Liveness::Starting => state::ShareState::begun(&share.state, pulse.beat.as_ref().map(|(_, at)| *at)),
        Liveness::Running | Liveness::Hung | Liveness::Stopped => state::ShareState::parse(&share.state),
    }
}

fn said_of_target(target: &TargetOverview, pulse: &Pulse) -> state::TargetState {
    match pulse.liveness {
        Liveness::Starting => state::TargetState::default(),
        Liveness::Running | Liveness::Hung | Liveness::Stopped => state::TargetState::parse(&target.state),
    }
}

fn share_status(share: &ShareOverview, prices: &Prices, pulse: &Pulse, now: Wall) -> ShareStatus {
    let said = said_of_share(share, pulse);
    // What another run saw says nothing of now.
    let scanned = share.scanned.filter(|_| said.scanned);
    let state = match said.state {
        ShareCondition::Ok => ShareState::Ok,
        ShareCondition::Scanning => ShareState::Scanning,
        ShareCondition::Offline => ShareState::Offline,
    };
    let mode = match said.watch.mode {
        WatchWay::Inotify => WatchMode::Inotify,
        WatchWay::Poll => WatchMode::Poll,
    };
    let seen_until = seen_until(share, &said, pulse);
    ShareStatus {
        name: share.name.clone(),
        path: shown(&share.root),
        files: unsigned(share.tally.files),
        bytes: unsigned(share.tally.bytes),
        state,
        scanned: scanned.map(When),
        problems: share.problems,
        notes: share.notes,
        hard_links: unsigned(share.tally.hard_links),
        missed: share.missed,
        error: said.why.filter(|_| state == ShareState::Offline),
        watch: WatchStatus { mode, coverage: said.watch.coverage, note: said.watch.note, late_s: said.watch.late_s },
        targets: share
            .targets
            .iter()
            .map(|target| with_cost(target_status(share, target, seen_until, pulse, now), target, prices, now))
            .collect(),
    }
}

/// All changes that settled on the share before are known: up to the last heartbeat of an agent that has scanned the share
/// and still sees it, else up to the beginning of its last full scan.
fn seen_until(share: &ShareOverview, said: &state::ShareState, pulse: &Pulse) -> Option<Wall> {
    let scanned = share.scanned?;
    // What is not watched is known as far as the last scan saw it, and no further.
    let beat = pulse.beat.as_ref().map(|(_, at)| *at);
    let earlier = said.followed.map_or(scanned, |followed| scanned.max(Wall(followed)));
    Some(if said.follows() { beat.unwrap_or(scanned) } else { earlier })
}

fn target_status(
    share: &ShareOverview,
    target: &TargetOverview,
    seen_until: Option<Wall>,
    pulse: &Pulse,
    now: Wall,
) -> TargetStatus {
    let said = said_of_target(target, pulse);
    let state = target_state(target, &said);
    let error = target_trouble(share, target, state, &said, now);
    // Nobody tries again after the agent has stopped.
    let lasts = pulse.liveness == Liveness::Stopped
        || error.as_ref().is_some_and(|error| now.since(error.since.0) > FAULT_LASTS);
    let events = said.events.as_ref().filter(|_| pulse.liveness == Liveness::Running);
    let events = events.map(|events| report::Events { error: events.error.as_ref().map(trouble) });
    let deaf = events.as_ref().and_then(|events| events.error.as_ref());
    let deaf = deaf.is_some_and(|error| now.since(error.since.0) > FAULT_LASTS);
    // Before its first listing nothing was put there, and nothing is known of what is.
    let protected = seen_until.filter(|_| target.listed.is_some()).and_then(|seen| match target.oldest {
        Oldest::None => Some(seen),
        Oldest::Since(change) => Some(change.min(seen)),
        Oldest::Unknown => None,
    });
    TargetStatus {
        state,
        files: unsigned(target.tally.files),
        bytes: unsigned(target.tally.bytes),
        pending: unsigned(target.tally.pending),
        pending_bytes: unsigned(target.tally.pending_bytes),
        oldest_pending_s: target.oldest_pending.map(|since| now.since(since).as_secs()),
        rate: said.rate.filter(|_| pulse.liveness == Liveness::Running),
        protected_as_of: protected.map(When),
        problems: u64::from(state == TargetState::Resting && lasts) + u64::from(deaf) + target.read_back.bad,
        verified: Verified {
            files: target.read_back.files,
            oldest: target.read_back.oldest.map(When),
            bad: target.read_back.bad,
        },
        holds: unsigned(target.tally.holds),
        conflicts: target.conflicts,
        foreign: target.foreign,
        error,
        events,
        halt: halt_status(share, target),
        ..unseen_target(&target.name, kind(&target.place))
    }
}

/// The same with the requests that were counted, and what they cost if it is a bucket.
fn with_cost(told: TargetStatus, target: &TargetOverview, prices: &Prices, now: Wall) -> TargetStatus {
    let counted = |days: i64| target.requests.iter().filter(move |(day, _)| *day > now.day() - days);
    let sum = |days: i64| counted(days).map(|(_, requests)| *requests).sum::<Requests>();
    let cost = match told.kind {
        TargetKind::Directory => None,
        TargetKind::S3 => {
            let since = counted(COST_DAYS).next().map(|(day, _)| Wall::from_day(*day));
            let over = since.map_or(Duration::ZERO, |since| now.since(since));
            let estimate = prices.monthly(&sum(COST_DAYS), over, told.bytes);
            Some(report::Cost {
                currency: prices.currency.clone(),
                requests_month: rounded(estimate.requests),
                storage_month: rounded(estimate.storage),
                since: since.map(When),
            })
        }
    };
    TargetStatus { requests: sum(REQUEST_DAYS).into(), requests_today: sum(1).into(), cost, ..told }
}

/// To a hundredth of a cent: an estimate is no more exact.
fn rounded(amount: f64) -> f64 {
    (amount * 10_000.0).round() / 10_000.0
}

fn target_state(target: &TargetOverview, said: &state::TargetState) -> TargetState {
    match said.state {
        _ if target.halt.is_some() => TargetState::Halted,
        _ if target.paused => TargetState::Paused,
        TargetCondition::Ok => TargetState::Ok,
        TargetCondition::Resting => TargetState::Resting,
        TargetCondition::Unresponsive => TargetState::Unresponsive,
        TargetCondition::Unreachable => TargetState::Unreachable,
    }
}

fn target_trouble(
    share: &ShareOverview,
    target: &TargetOverview,
    state: TargetState,
    said: &state::TargetState,
    now: Wall,
) -> Option<Trouble> {
    if let Some(HaltStatus { message, hint, since, .. }) = halt_status(share, target) {
        let since = since.map(|since| since.0).or(said.since.map(Wall)).or(target.oldest_pending).unwrap_or(now);
        return Some(Trouble { message, hint, since: When(since) });
    }
    let error = said.error.as_ref().filter(|_| state != TargetState::Ok)?;
    Some(trouble(error))
}

fn trouble(error: &state::ErrorState) -> Trouble {
    Trouble { message: error.message.clone(), hint: error.hint.clone(), since: When(Wall(error.since)) }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests;
