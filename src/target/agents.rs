//! The agents that write to a target, in `.driftline/agents/<agent>`: a card for each, which its runs renew.
//!
//! The card says who it is and how it is doing, for `status --fleet`, and bears the sign by which a copy of the same agent
//! is noticed ([`crate::plan::standing`]). What is common to both kinds of place is here: what is read, what is to be
//! written, and what is said of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Wall;
use crate::plan::{RENEWAL, Run, SILENCE, Sign, Standing, standing};
use crate::target::version_name::{parse_rfc3339, rfc3339};

/// Where the cards lie, below `.driftline`.
pub(super) const FOLDER: &str = "agents";
/// Most that is read of a card (bytes).
pub(super) const CARD_MAX: u64 = 64 * 1024;
/// How long a card counts after it was looked at.
const FRESH: Duration = Duration::from_secs(30);

/// Who works for a share, and in which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The agent's id: its state folder's.
    pub agent: String,
    /// What it calls itself.
    pub name: String,
    /// The machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// This run.
    pub run: Run,
    /// The run before it, as the state folder remembers.
    pub before: Option<Run>,
    /// When this run began.
    pub started: Wall,
    /// It goes on until it is stopped, and renews its card also while nothing changes, where that costs nothing.
    pub stays: bool,
}

impl Tenure {
    /// An id that nobody else has, for an agent or a run.
    pub fn fresh_id() -> String {
        uuid::Uuid::now_v7().to_string()
    }
}

/// What an agent left on a target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Card {
    /// Its id.
    pub agent: String,
    /// What it calls itself.
    pub name: String,
    /// The machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// The run that wrote it.
    #[serde(flatten)]
    pub run: Run,
    /// Goes up with each renewal.
    pub beat: u64,
    /// When that run began (RFC 3339, by its own clock).
    pub started: String,
    /// When it was written (RFC 3339, by its own clock).
    pub at: String,
    /// How the agent is doing there.
    #[serde(default)]
    pub says: Says,
}

/// How an agent is doing on a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Says {
    /// `ok`, or what it is instead, as in `status --json`.
    pub state: String,
    /// What is the matter, if something is.
    pub message: Option<String>,
    /// Paths that waited.
    pub pending: u64,
    /// Files that it keeps there.
    pub files: u64,
}

impl Card {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// When it was written, by the clock of who wrote it; `None` if nobody can tell.
    pub fn at(&self) -> Option<Wall> {
        parse_rfc3339(&self.at)
    }

    fn sign(&self) -> Sign {
        Sign { run: self.run.clone(), beat: self.beat }
    }
}

/// One target's place for the card of the run that works here.
#[derive(Debug)]
pub struct Berth {
    tenure: Tenure,
    state: Mutex<State>,
    /// Held by whoever looks at the card and writes it, where threads do it.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// As it is written: the epoch is raised where another run is followed.
    run: Run,
    beat: u64,
    held: bool,
    /// When it was last looked at and found to be ours.
    seen: Option<Wall>,
    /// When it was last written.
    written: Option<Wall>,
    /// A sign of another run, and since when it has been seen to stand still.
    watched: Option<(Sign, Wall)>,
    says: Says,
}

/// What is to be done about a card.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Nothing.
    Nothing,
    /// Write these bytes over what was read.
    Write(Vec<u8>),
}

/// Why nothing may be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fenced {
    pub(super) cause: String,
    pub(super) hint: &'static str,
}

impl Berth {
    /// Nothing is known of the place yet.
    pub fn new(tenure: Tenure) -> Self {
        let state = State {
            run: tenure.run.clone(),
            beat: 0,
            held: false,
            seen: None,
            written: None,
            watched: None,
            says: Says::default(),
        };
        Self { tenure, state: Mutex::new(state), turn: Mutex::default() }
    }

    /// What its next card is to say.
    pub fn say(&self, says: Says) {
        self.state().says = says;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment or stands for itself, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of its card.
    pub(super) fn file(&self) -> &str {
        &self.tenure.agent
    }

    /// Whether the card has to be looked at now, before something is changed (or, with `idle`, while nothing is).
    pub(super) fn is_due(&self, now: Wall, idle: bool) -> bool {
        let is_fresh = self.state().seen.is_some_and(|seen| now.since(seen).max(seen.since(now)) < FRESH);
        !is_fresh && (!idle || self.tenure.stays)
    }

    /// What to do where `there` lies; what is no card counts as none.
    pub(super) fn judge(&self, there: Option<&Card>, now: Wall) -> Result<Duty, Fenced> {
        let mut state = self.state();
        let sign = there.map(Card::sign);
        let watched = state.watched.clone();
        let watched = watched.as_ref().map(|(sign, since)| (sign, now.since(*since)));
        let stands = standing(&state.run, self.tenure.before.as_ref(), state.held, sign.as_ref(), watched);
        match (stands, there) {
            (Standing::Holds, _) => {
                (state.held, state.seen) = (true, Some(now));
                let is_old = state.written.is_none_or(|at| now.since(at).max(at.since(now)) >= RENEWAL);
                Ok(if is_old { Duty::Write(self.next(&mut state, now)) } else { Duty::Nothing })
            }
            (Standing::Takes, there) => {
                if let Some(there) = there {
                    state.run.epoch = state.run.epoch.max(there.run.epoch + 1);
                }
                Ok(Duty::Write(self.next(&mut state, now)))
            }
            (Standing::Waits, Some(there)) => {
                let sign = there.sign();
                if state.watched.as_ref().is_none_or(|(known, _)| *known != sign) {
                    state.watched = Some((sign, now));
                }
                Err(waits(there))
            }
            (Standing::Lost, Some(there)) => Err(lost(there)),
            (Standing::Waits | Standing::Lost, None) => unreachable!("only somebody's sign stands in the way"),
        }
    }

    /// The card that was to be written lies there.
    pub(super) fn wrote(&self, now: Wall) {
        let mut state = self.state();
        (state.held, state.seen, state.written, state.watched) = (true, Some(now), Some(now), None);
    }

    fn next(&self, state: &mut State, now: Wall) -> Vec<u8> {
        state.beat += 1;
        let card = Card {
            agent: self.tenure.agent.clone(),
            name: self.tenure.name.clone(),
            host: self.tenure.host.clone(),
            version: self.tenure.version.clone(),
            run: state.run.clone(),
            beat: state.beat,
            started: rfc3339(self.tenure.started),
            at: rfc3339(now),
            says: state.says.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&card).expect("plain values and text are always JSON");
        text.push(b'\n');
        text
    }
}

fn waits(there: &Card) -> Fenced {
    let cause = format!(
        "a copy of this agent has worked here since this state folder was saved, on {} until {}: this machine was cloned, \
         or brought back from a backup",
        there.host, there.at
    );
    debug_assert_eq!(SILENCE, Duration::from_secs(300), "the hint says five minutes");
    Fenced {
        cause,
        hint: "if the other one is gone, wait: driftline goes on by itself once it was silent for five minutes; if both are to \
               work, remove the file `agent` from this one's state folder and start it again",
    }
}

fn lost(there: &Card) -> Fenced {
    let cause = format!(
        "a copy of this agent has taken over here, on {} at {}: this machine was cloned, or brought back from a backup",
        there.host, there.at
    );
    Fenced {
        cause,
        hint: "stop the one that is not to go on, and restart the other; if both are to work, remove the file `agent` from one \
               state folder before that",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn berth(epoch: u64, token: &str, before: Option<(u64, &str)>) -> Berth {
        let run = |(epoch, token): (u64, &str)| Run { epoch, token: token.to_owned() };
        Berth::new(Tenure {
            agent: "a".to_owned(),
            name: "office".to_owned(),
            host: token.to_owned(),
            version: "1".to_owned(),
            run: run((epoch, token)),
            before: before.map(run),
            started: Wall(0),
            stays: true,
        })
    }

    fn written(berth: &Berth, there: Option<&Card>, at: i64) -> Card {
        let Ok(Duty::Write(bytes)) = berth.judge(there, Wall(at * SECOND)) else { panic!("nothing to write") };
        berth.wrote(Wall(at * SECOND));
        Card::parse(&bytes).expect("a card")
    }

    #[test]
    fn a_card_is_renewed_now_and_then_and_says_how_it_goes() {
        let office = berth(1, "one", None);
        assert!(office.is_due(Wall(0), true));
        let card = written(&office, None, 0);
        assert_eq!((card.beat, card.run.epoch, &*card.at), (1, 1, "1970-01-01T00:00:00Z"));
        assert!(!office.is_due(Wall(29 * SECOND), false) && office.is_due(Wall(30 * SECOND), true));
        assert_eq!(office.judge(Some(&card), Wall(119 * SECOND)), Ok(Duty::Nothing));
        office.say(Says { state: "ok".to_owned(), files: 3, ..Says::default() });
        let card = written(&office, Some(&card), 120);
        assert_eq!((card.beat, card.says.files), (2, 3));
    }

    #[test]
    fn the_next_run_of_the_same_agent_takes_its_card_over() {
        let card = written(&berth(1, "one", None), None, 0);
        let next = written(&berth(2, "two", Some((1, "one"))), Some(&card), 10);
        assert_eq!(next.run.epoch, 2);
    }

    #[test]
    fn a_copy_waits_for_the_one_that_works_and_goes_on_when_that_is_silent() {
        let office = berth(5, "office", Some((4, "before")));
        let mut card = written(&office, None, 0);
        let copy = berth(5, "copy", Some((4, "before")));
        for at in [10, 130, 250, 370] {
            let fenced = copy.judge(Some(&card), Wall(at * SECOND)).expect_err("it lives");
            assert!(fenced.cause.contains("cloned") && fenced.cause.contains("on office"), "{fenced:?}");
            card = written(&office, Some(&card), at + 110);
        }
        // It was last renewed at 480.
        assert!(copy.judge(Some(&card), Wall(500 * SECOND)).is_err());
        assert!(copy.judge(Some(&card), Wall(799 * SECOND)).is_err());
        let taken = written(&copy, Some(&card), 800);
        assert_eq!(taken.run.epoch, 6, "higher than what it follows");
        // It was not dead after all, and writes no more.
        let fenced = office.judge(Some(&taken), Wall(801 * SECOND)).expect_err("fenced");
        assert!(fenced.cause.contains("taken over") && fenced.hint.contains("restart"), "{fenced:?}");
        assert!(copy.judge(Some(&taken), Wall(802 * SECOND)).is_ok());
    }

    #[test]
    fn what_a_target_is_rolled_back_to_is_no_other_run() {
        let office = berth(5, "office", None);
        let old = Card { run: Run { epoch: 4, token: "before".to_owned() }, ..written(&office, None, 0) };
        assert_eq!(written(&office, Some(&old), 10).run.epoch, 5);
    }
}
