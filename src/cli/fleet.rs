//! `status --fleet`: the agents that write to the same targets, as each left word of itself there.
//!
//! The one part of `status` that asks the targets; whoever does not answer within [`DEADLINE`] is said not to.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::Serialize;

use crate::cli::report::{Notice, Status, When};
use crate::cli::text::{Column, Screen, Set, columns, grouped, harmless};
use crate::config::{Config, Share, Target};
use crate::engine::clock::moment;
use crate::engine::{Seat, Used, agent_of, open_target, share_uid};
use crate::index::{Overview, ShareOverview};
use crate::target::{Bind, Card, TargetError};

/// How long all targets together are waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// `status --fleet --json`.
#[derive(Debug, Serialize)]
pub(super) struct WithFleet<'a> {
    #[serde(flatten)]
    pub(super) status: &'a Status,
    pub(super) fleet: Vec<Berths>,
}

/// The agents of one target.
#[derive(Debug, Serialize)]
pub(super) struct Berths {
    share: String,
    target: String,
    /// Why nothing is known of them.
    error: Option<Notice>,
    agents: Vec<Agent>,
}

/// One agent of a target.
#[derive(Debug, Serialize)]
struct Agent {
    /// It is the one whose state folder this is.
    this: bool,
    /// When it left this word, by its own clock.
    at: When,
    #[serde(flatten)]
    card: Told,
}

/// What is passed on of a card.
#[derive(Debug, Serialize)]
struct Told {
    agent: String,
    name: String,
    host: String,
    version: String,
    started: String,
    state: String,
    message: Option<String>,
    files: u64,
    pending: u64,
}

/// Asks all targets at once.
pub(super) fn ask(config: &Config, known: &Overview) -> Vec<Berths> {
    let lanes: Vec<_> =
        config.shares.iter().flat_map(|share| share.targets.iter().map(move |target| (share, target))).collect();
    let (out, answers) = sync_channel(lanes.len().max(1));
    for (at, (share, target)) in lanes.iter().enumerate() {
        let (out, asked) = (out.clone(), asked(config, known, share, target));
        let asking = std::thread::Builder::new().name("fleet".to_owned());
        // One that cannot be asked does not answer.
        let _unasked = asking.spawn(move || drop(out.send((at, asked()))));
    }
    drop(out);
    let this = agent_of(&config.agent.state_dir);
    let mut told: Vec<_> = lanes.iter().map(|(share, target)| silent(share, target)).collect();
    let begun = moment();
    loop {
        match answers.recv_timeout(DEADLINE.saturating_sub(moment().since(begun))) {
            Ok((at, answer)) => told[at] = berths(&told[at], answer, this.as_deref()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return told,
        }
    }
}

fn asked(
    config: &Config,
    known: &Overview,
    share: &Share,
    target: &Target,
) -> impl FnOnce() -> Result<Vec<Card>, TargetError> + Send + 'static {
    let agent = config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
    let share_known: Option<&ShareOverview> = known.shares.iter().find(|known| known.name == share.name);
    let uid = share_uid(&agent, share, share_known.map(|known| &*known.uid));
    let told = share_known.and_then(|known| known.targets.iter().find(|other| other.name == target.name));
    let seat = Seat {
        share_uid: &uid,
        bound: told.and_then(|told| told.bound.clone()),
        agent: &agent,
        berth: None,
        state_dir: None,
        used: Used::default(),
    };
    let opened = open_target(target, &seat);
    move || {
        opened.probe(Bind::Never)?;
        opened.agents()
    }
}

fn silent(share: &Share, target: &Target) -> Berths {
    let notice = Notice {
        message: format!("it has not answered for {} s", DEADLINE.as_secs()),
        hint: "check the mount, and the line to its server".to_owned(),
    };
    Berths { share: share.name.clone(), target: target.name.clone(), error: Some(notice), agents: Vec::new() }
}

fn berths(of: &Berths, answer: Result<Vec<Card>, TargetError>, this: Option<&str>) -> Berths {
    let (share, target) = (of.share.clone(), of.target.clone());
    match answer {
        Err(error) => {
            let notice = Notice { message: error.cause, hint: error.hint };
            Berths { share, target, error: Some(notice), agents: Vec::new() }
        }
        Ok(cards) => {
            let mut agents: Vec<_> = cards.into_iter().filter_map(|card| agent(card, this)).collect();
            // Those that wrote of late first.
            agents.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.card.agent.cmp(&other.card.agent)));
            Berths { share, target, error: None, agents }
        }
    }
}

fn agent(card: Card, this: Option<&str>) -> Option<Agent> {
    let at = When(card.at()?);
    let told = Told {
        agent: card.agent,
        name: card.name,
        host: card.host,
        version: card.version,
        started: card.started,
        state: card.says.state,
        message: card.says.message,
        files: card.says.files,
        pending: card.says.pending,
    };
    Some(Agent { this: this == Some(&told.agent), at, card: told })
}

/// A table of them, and what keeps from knowing more.
pub(super) fn render(fleet: &[Berths], screen: &Screen) -> String {
    let mut rows = Vec::new();
    let mut troubles = String::new();
    for berths in fleet {
        let place = format!("{}/{}", harmless(&berths.share), harmless(&berths.target));
        if let Some(error) = &berths.error {
            troubles += &screen.lines(&format!("  {place}: {}", harmless(&error.message)));
            troubles += &screen.lines(&format!("    hint: {}", harmless(&error.hint)));
        } else if berths.agents.is_empty() {
            troubles += &format!("  {place}: no agent has left word there yet\n");
        }
        rows.extend(berths.agents.iter().map(|agent| row(&place, agent, screen)));
    }
    let column = |head, set, keep, at: usize| {
        let cells = rows.iter().map(|row: &[String; 7]| row[at].clone()).collect();
        Column { head, set, keep, cells }
    };
    let mut text = "\nFleet\n".to_owned();
    if !rows.is_empty() {
        let (l, r) = (Set::Left, Set::Right);
        let all = vec![
            column("PLACE", l, 0, 0),
            column("AGENT", l, 0, 1),
            column("HOST", l, 2, 2),
            column("STATE", l, 0, 3),
            column("FILES", r, 1, 4),
            column("WAIT", r, 0, 5),
            column("LAST WORD", l, 0, 6),
        ];
        text += &columns(all, screen.width);
    }
    text + &troubles
}

fn row(place: &str, agent: &Agent, screen: &Screen) -> [String; 7] {
    let told = &agent.card;
    let this = if agent.this { " (this)" } else { "" };
    [
        place.to_owned(),
        format!("{}{this}", harmless(&told.name)),
        harmless(&told.host),
        harmless(&told.state),
        grouped(told.files),
        grouped(told.pending),
        format!("{} ago", screen.ago(agent.at)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;

    #[test]
    fn each_agent_is_a_line_and_what_hangs_is_said() {
        let card = |agent: &str, at: &str, files| -> Card {
            let text = serde_json::json!({
                "agent": agent, "name": format!("office-{agent}"), "host": "srv", "version": "1", "epoch": 1, "run": "r",
                "beat": 3, "started": "1970-01-01T00:00:00Z", "at": at,
                "says": { "state": "ok", "message": null, "pending": 0, "files": files },
            });
            serde_json::from_value(text).expect("a card")
        };
        let of = |target: &str| {
            let (share, target) = ("papers".to_owned(), target.to_owned());
            Berths { share, target, error: None, agents: Vec::new() }
        };
        let cards = vec![card("1", "1970-01-01T00:01:00Z", 1200), card("2", "1970-01-01T00:01:30Z", 7)];
        let hint = "check the mount".to_owned();
        let hangs = Notice { message: "it has not answered for 5 s".to_owned(), hint };
        let fleet = [berths(&of("efs"), Ok(cards), Some("1")), Berths { error: Some(hangs), ..of("nas") }, of("cloud")];
        let screen = Screen { width: 80, ..Screen::here(When(Wall::from_parts(100, 0))) };
        let wanted = "
Fleet
PLACE       AGENT            HOST  STATE  FILES  WAIT  LAST WORD
papers/efs  office-2         srv   ok         7     0  10 s ago
papers/efs  office-1 (this)  srv   ok     1,200     0  40 s ago
  papers/nas: it has not answered for 5 s
    hint: check the mount
  papers/cloud: no agent has left word there yet
";
        assert_eq!(render(&fleet, &screen), wanted);
        let json = serde_json::to_value(&fleet[0]).expect("JSON");
        assert_eq!(json["agents"][1]["this"], true, "{json:#}");
        assert_eq!(json["agents"][0]["at"], "1970-01-01T00:01:30Z");
    }
}
