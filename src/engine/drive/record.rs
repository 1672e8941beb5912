//! The agent's own record in the index: how shares and targets are doing, and how many requests were made.

use std::time::Duration;

use crate::engine::drive::{Engine, Result};
use crate::engine::polls::Blindness;
use crate::engine::start::ShareSeat;
use crate::engine::state::{ErrorState, EventsState, ShareCondition, ShareState, TargetCondition, TargetState};
use crate::engine::{Failure, LaneReport, LaneState, Thorough, clock};
use crate::index::{Index, TargetTally};
use crate::model::{Moment, RelPath, Requests, ShareId, TargetId, Wall};
use crate::target::Says;

/// A share on a file server without a sign of life for so long does not answer. Longer than a page of a scan takes.
const SHARE_SILENCE: Duration = Duration::from_secs(15);
/// Two silences of one lane do not begin within this time: the shortest that is told is longer.
const SAME_SILENCE: Duration = Duration::from_secs(2);
/// A lane without a sign of life for so long is unresponsive.
const SILENCE: Duration = Duration::from_secs(5);
/// The same for a bucket, whose requests are bounded in time and end by themselves: a large part on a slow line takes long.
const BUCKET_SILENCE: Duration = Duration::from_secs(60);
/// Requests of queues that are written down by themselves only together (count), five minutes' worth: an idle agent writes nothing
/// else.
const POLLS_AT_ONCE: u64 = 15;

impl Engine {
    pub(super) fn write_states(&mut self) -> Result<()> {
        let mut shares = Vec::new();
        let now = clock::moment();
        let hangs: Vec<_> = self.shares.iter_mut().map(|seat| hangs(seat, now)).collect();
        for (seat, hangs) in self.shares.iter().zip(hangs) {
            let text = self.share_state(seat, hangs).to_json();
            if text != seat.state {
                shares.push((seat.id, text));
            }
        }
        let mut targets = Vec::new();
        for seat in &mut self.lanes {
            let silent = seat.monitor.silent_since(&seat.hands.pulse, now).map(|since| now.since(since));
            let patience = if seat.nature.is_asked_when_idle() { SILENCE } else { BUCKET_SILENCE };
            let silent = silent.filter(|silence| *silence >= patience);
            let Some(report) = self.core.lane_report(seat.id) else { continue };
            let rate = seat.rate.rate(now, seat.hands.pulse.sent());
            let silent = silent.map(|silence| {
                let told = TargetState::parse(&seat.state);
                let told = told.since.filter(|_| told.state == TargetCondition::Unresponsive).map(Wall);
                silent_since(clock::wall().before(silence), told)
            });
            let events =
                seat.hands.ear.report().map(|trouble| EventsState { error: trouble.as_ref().map(error_state) });
            let state = TargetState { rate, events, ..target_state(&report, silent) };
            if let Some(berth) = &seat.berth {
                berth.say(says(&state, &report, self.index.target_tally(seat.id)));
            }
            let text = state.to_json();
            if text != seat.state {
                targets.push((seat.id, text));
            }
        }
        if shares.is_empty() && targets.is_empty() {
            return Ok(());
        }
        self.index.begin(clock::wall())?;
        for (id, text) in shares {
            self.index.set_share_state(id, &text)?;
            if let Some(seat) = self.shares.iter_mut().find(|seat| seat.id == id) {
                note_share(&self.index, id, &seat.state, &text)?;
                seat.state = text;
            }
        }
        for (id, text) in targets {
            self.index.set_target_state(id, &text)?;
            if let Some(seat) = self.lanes.iter_mut().find(|seat| seat.id == id) {
                note_target(&self.index, (seat.share, id), &seat.state, &text)?;
                seat.state = text;
            }
        }
        self.index.commit()
    }

    /// Writes down requests that were made since the last time; where none were, or some polls of queues alone, nothing is written.
    pub(super) fn count_requests(&mut self) -> Result<()> {
        let made: Vec<_> = self.lanes.iter().map(|seat| seat.hands.target.requests()).collect();
        let is_news = |counted: Requests, made: Requests| {
            counted.of_server() != made.of_server() || (made - counted).queue >= POLLS_AT_ONCE
        };
        if !self.lanes.iter().zip(&made).any(|(seat, made)| is_news(seat.counted, *made)) {
            return Ok(());
        }
        let now = clock::wall();
        self.index.begin(now)?;
        for (seat, made) in self.lanes.iter_mut().zip(made) {
            if seat.counted.of_server() != made.of_server() {
                // Requests that go out are a sign of life; those of the queue are no sign of the bucket's.
                seat.hands.pulse.beat();
            }
            self.index.count_requests(seat.id, now.day(), made - seat.counted)?;
            seat.counted = made;
        }
        self.index.commit()
    }

    pub(super) fn share_state(&self, seat: &ShareSeat, hangs: bool) -> ShareState {
        let silence = "a call to its file server has not come back: check the mount and the line; it goes on by itself";
        let why = self.core.offline(seat.id).or(hangs.then_some(silence)).map(str::to_owned);
        let scanned = self.core.is_scanned(seat.id);
        let state = match () {
            () if why.is_some() => ShareCondition::Offline,
            () if seat.scanning.is_some_and(|(how, _)| how == Thorough::Yes) => ShareCondition::Scanning,
            () => ShareCondition::Ok,
        };
        // Until it was scanned in this run, what an earlier one knew is all that is known.
        let followed = if scanned { None } else { ShareState::parse(&seat.state).followed };
        ShareState { state, why, scanned, followed, watch: seat.watch_state() }
    }
}

/// A share on a file server does not answer.
fn hangs(seat: &mut ShareSeat, now: Moment) -> bool {
    let silent =
        seat.monitor.silent_since(&seat.hands.pulse, now).is_some_and(|since| now.since(since) >= SHARE_SILENCE);
    silent && seat.blindness() == Blindness::Far
}

/// How it is doing on a target, for other agents.
fn says(state: &TargetState, report: &LaneReport, tally: TargetTally) -> Says {
    let condition = match report.state {
        LaneState::Halted => "halted".to_owned(),
        LaneState::Paused => "paused".to_owned(),
        LaneState::Ok | LaneState::Resting | LaneState::Unreachable => {
            serde_json::to_value(state.state).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
        }
    };
    let halt = report.halt.as_ref().map(|halt| halt.message.clone());
    let message = halt.or_else(|| state.error.as_ref().map(|error| error.message.clone()));
    let count = |number| u64::try_from(number).unwrap_or(0);
    Says { state: condition, message, pending: count(tally.pending), files: count(tally.files) }
}

/// Tells the audit trail when a share goes away and when it comes back.
fn note_share(index: &Index, share: ShareId, old: &str, new: &str) -> Result<()> {
    let (old, new) = (ShareState::parse(old), ShareState::parse(new));
    let is_offline = |state: &ShareState| state.state == ShareCondition::Offline;
    match (is_offline(&old), is_offline(&new)) {
        (false, true) => index.note(share, None, &RelPath::root(), "offline", &new.why.unwrap_or_default()),
        (true, false) => index.note(share, None, &RelPath::root(), "online", "the share is there again"),
        (true, true) | (false, false) => Ok(()),
    }
}

/// Tells the audit trail when a target stops working, why, and when it works again.
fn note_target(index: &Index, (share, target): (ShareId, TargetId), old: &str, new: &str) -> Result<()> {
    let (old, new) = (TargetState::parse(old), TargetState::parse(new));
    let message = |state: &TargetState| state.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
    let what = match new.state {
        _ if (old.state, message(&old)) == (new.state, message(&new)) => return Ok(()),
        TargetCondition::Ok if old.state == TargetCondition::Ok => return Ok(()),
        TargetCondition::Ok => "online",
        TargetCondition::Resting => "fault",
        TargetCondition::Unresponsive => "unresponsive",
        TargetCondition::Unreachable => "offline",
    };
    let detail = if new.state == TargetCondition::Ok { "the target works again".to_owned() } else { message(&new) };
    index.note(share, Some(target), &RelPath::root(), what, &detail)
}

/// The wall time at which a silence began, to the second. It is counted back from now by a clock that is not the wall clock:
/// what was told of the same silence stands, or the two would disagree by a second now and then, and each time be written down.
fn silent_since(counted: Wall, told: Option<Wall>) -> Wall {
    let is_same = |told: &Wall| told.since(counted).max(counted.since(*told)) < SAME_SILENCE;
    told.filter(is_same).unwrap_or(Wall(counted.0 / 1_000_000_000 * 1_000_000_000))
}

fn target_state(report: &LaneReport, silent: Option<Wall>) -> TargetState {
    let error = report.error.as_ref().map(error_state);
    let (state, error) = match (report.state, silent) {
        (_, Some(Wall(since))) => {
            let message = "a call to the target has not come back".to_owned();
            let hint = "check the mount and the line to its server; it goes on by itself".to_owned();
            (TargetCondition::Unresponsive, Some(ErrorState { message, hint, since }))
        }
        (LaneState::Unreachable, None) => (TargetCondition::Unreachable, error),
        (LaneState::Resting, None) => (TargetCondition::Resting, error),
        (LaneState::Ok | LaneState::Halted | LaneState::Paused, None) => (TargetCondition::Ok, error),
    };
    let since = error.as_ref().map(|error| error.since);
    TargetState { state, error, since, no_lists: report.no_lists, rate: None, events: None }
}

fn error_state((failure, since): &(Failure, Wall)) -> ErrorState {
    ErrorState { message: failure.message.clone(), hint: failure.hint.clone(), since: since.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silence_is_told_of_one_moment_and_the_next_one_of_another() {
        let second = 1_000_000_000;
        let first = silent_since(Wall(100 * second + 999_999_990), None);
        assert_eq!(first, Wall(100 * second));
        // Counted again, by clocks that were read a little later.
        assert_eq!(silent_since(Wall(101 * second + 10), Some(first)), first);
        assert_eq!(silent_since(Wall(99 * second + 999_999_999), Some(first)), first);
        assert_eq!(silent_since(Wall(107 * second + 10), Some(first)), Wall(107 * second));
    }
}
