//! What is done each second: the heartbeat, what people ask for, and whether the places are still the ones they were.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::drive::{Engine, Input, Mode, Result};
use crate::engine::hands::{LaneJob, ShareJob, Tell};
use crate::engine::state::Heartbeat;
use crate::engine::{Event, Failure, LaneState, Room, Thorough, clock};
use crate::index::{APPROVE_SHARE, Finding};
use crate::model::{RelPath, ShareId, TargetId};
use crate::plan::Keep;
use crate::target::Bind;

/// How often it is asked whether the share is still the one it was bound to, when nothing happens.
const ROOT_CHECK: Duration = Duration::from_secs(10);
/// The same for targets that are directories.
const TARGET_CHECK: Duration = Duration::from_secs(30);
/// How long nothing is heard while there is no room.
const REST_FOR_ROOM: Duration = Duration::from_millis(200);
/// How long what happened meanwhile may take to come in.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often history is pruned.
const PRUNE: Duration = Duration::from_secs(86_400);
/// How long it is left alone after it failed.
const PRUNE_AGAIN: Duration = Duration::from_secs(600);
/// Findings of a verification that are taken in with one turn, at most (count); and such turns in a row.
const FINDINGS_MAX: usize = 500;
const FINDINGS_TURNS: usize = 8;
/// Deletions that are forgotten with one turn, at most (count).
const EXPIRED_MAX: usize = 1000;

impl Engine {
    pub(super) fn each_second(&mut self, heartbeat: Option<&Heartbeat>) -> Result<()> {
        if let Some(heartbeat) = heartbeat {
            self.beat(heartbeat);
        }
        if self.mode == Mode::Plan || self.cramped {
            return Ok(());
        }
        self.take_reload()?;
        self.take_requests()?;
        if self.mode == Mode::Run {
            self.check_places();
        }
        self.write_states()?;
        if let Some(share) = self.expiring.pop_first() {
            self.expire(share)?;
        }
        self.count_requests()
    }

    /// Whether there is room for another turn. A single pass goes on until there is none.
    pub(super) fn look_for_room(&mut self) {
        let Ok(room) = Room::of(&self.state_dir) else { return };
        let cramped = self.mode == Mode::Run && !room.is_enough();
        match (self.cramped, cramped) {
            (false, true) => tracing::error!(
                hint = "make room on it; driftline goes on by itself",
                "the disk of the state folder has {} bytes free: nothing is taken in until it has {}",
                room.free,
                room.floor
            ),
            (true, false) => {
                tracing::info!("the disk of the state folder has room again");
                self.catches_up_until = clock::moment().after(CATCH_UP);
            }
            _ => {}
        }
        self.cramped = cramped;
    }

    /// What happens meanwhile waits, and the watcher tells of what it could not keep.
    pub(super) fn rest_for_room(&self) -> Vec<Event> {
        std::thread::sleep(self.next_second.since(clock::moment()).min(REST_FOR_ROOM));
        Vec::new()
    }

    /// It is told when it begins to fail, and when it is over: not each second.
    ///
    /// It bears the time up to which all that came in was taken in: who asks takes it for that.
    fn beat(&mut self, heartbeat: &Heartbeat) {
        if self.cramped || clock::moment() < self.catches_up_until {
            return;
        }
        let beaten = heartbeat.touch(self.drained);
        match (&beaten, self.heart_fails) {
            (Err(error), false) => tracing::warn!(
                hint = "check the disk and the permissions of the state folder",
                "the heartbeat in the state folder cannot be written: {error}; `driftline status` will take the agent for hung"
            ),
            (Ok(()), true) => tracing::info!("the heartbeat in the state folder is written again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        self.heart_fails = beaten.is_err();
    }

    /// Forgets some of what the share deleted longer ago than any history of it reaches back.
    fn expire(&mut self, share: ShareId) -> Result<()> {
        let histories = self.lanes.iter().filter(|lane| lane.share == share).map(|lane| lane.history);
        let Some(longest) = histories.max() else { return Ok(()) };
        let now = clock::wall();
        self.index.begin(now)?;
        if self.index.expire_tombstones(share, now.before(longest), EXPIRED_MAX)? == EXPIRED_MAX {
            self.expiring.insert(share);
        }
        self.index.commit()
    }

    /// What administrators ask for through the index.
    pub(super) fn take_requests(&mut self) -> Result<()> {
        let version = self.index.outside_version()?;
        if version == self.outside_version && self.stopping.is_none() && !self.more_findings {
            return Ok(());
        }
        self.outside_version = version;
        self.take_resolutions()?;
        let mut events = Vec::new();
        while let Some((what, target)) = self.index.take_request()? {
            if what == APPROVE_SHARE {
                self.approve_share(target)?;
                continue;
            }
            for id in self.targets().into_iter().filter(|id| target.is_none_or(|target| target == *id)) {
                let name = self.names(id).map(|(_, share, target)| format!("{share}/{target}")).unwrap_or_default();
                tracing::info!(target = name, what, "an administrator asks");
                match what.as_str() {
                    "approve" => {
                        let lane = self.names(id).map(|(_, share, target)| (share.to_owned(), target.to_owned()));
                        if let Some((share, target)) = lane {
                            self.approve_change(&share, Some(&target))?;
                        }
                        if self.core.lane_report(id).is_some_and(|report| report.halt.is_some()) {
                            events.push(Event::Approved(id));
                        }
                    }
                    "pause" => events.push(Event::Paused(id, true)),
                    "resume" => events.push(Event::Paused(id, false)),
                    other => tracing::warn!("nobody knows the request {other:?}"),
                }
            }
        }
        if !events.is_empty() {
            self.turn(events)?;
        }
        self.take_findings()
    }

    /// What people have resolved in the inbox of conflicts.
    fn take_resolutions(&mut self) -> Result<()> {
        self.index.begin(clock::wall())?;
        let count = self.index.take_resolutions()?;
        self.index.commit()?;
        if count > 0 {
            tracing::info!(count, "an administrator has resolved conflicts");
        }
        Ok(())
    }

    fn approve_share(&mut self, share: Option<TargetId>) -> Result<()> {
        let seat = self.shares.iter().find(|seat| share.is_some_and(|TargetId(id)| id == seat.id.0));
        let Some(name) = seat.map(|seat| seat.name.clone()) else { return Ok(()) };
        tracing::info!(share = name, "an administrator approves a change of the configuration");
        self.approve_change(&name, None).map(drop)
    }

    /// What a verification has found and left in the index.
    pub(super) fn take_findings(&mut self) -> Result<()> {
        for _ in 0..FINDINGS_TURNS {
            let page = self.index.findings(FINDINGS_MAX)?;
            self.more_findings = page.len() == FINDINGS_MAX;
            if page.is_empty() {
                return Ok(());
            }
            let mut by_target = BTreeMap::<TargetId, Vec<Finding>>::new();
            for finding in page {
                by_target.entry(finding.target).or_default().push(finding);
            }
            let mut events = Vec::new();
            for (target, findings) in by_target {
                if self.lanes.iter().any(|lane| lane.id == target) {
                    events.push(Event::ReadBack(target, findings));
                } else {
                    // Nobody serves that target any more.
                    findings.iter().try_for_each(|finding| self.index.drop_finding(finding.id))?;
                }
            }
            self.turn(events)?;
        }
        Ok(())
    }

    /// Nothing may have happened for long: are the places still the ones they were?
    pub(super) fn check_places(&mut self) {
        let now = clock::moment();
        let mut looks = Vec::new();
        let mut rescans = Vec::new();
        for seat in &mut self.shares {
            if now.since(seat.checked) >= ROOT_CHECK && self.core.offline(seat.id).is_none() {
                seat.checked = now;
                looks.push(seat.id);
            }
            if seat.scanning.is_none()
                && let Some(how) = seat.polls.due(seat.blindness(), now)
            {
                rescans.push(match how {
                    Thorough::Yes => Event::RescanDue(seat.id),
                    Thorough::No => Event::GlanceDue(seat.id),
                });
            }
        }
        for share in looks {
            self.ask_share(share, ShareJob::Look(Vec::new()));
        }
        for rescan in rescans {
            // The inbox is this thread's own: with a full one there is work enough.
            let _full = self.out.try_send(Input::Event(rescan));
        }
        self.keep_shares();
        let mut probes = Vec::new();
        for seat in &mut self.lanes {
            let idle = seat.hands.pulse.read().0 == 0;
            let works = self.core.lane_report(seat.id).is_some_and(|report| report.state == LaneState::Ok);
            if idle && works && now.since(seat.checked) >= TARGET_CHECK {
                seat.checked = now;
                probes.push((seat.id, seat.nature.is_asked_when_idle()));
            }
        }
        for (target, ask) in probes {
            if ask {
                self.ask_lane(target, LaneJob::Probe { bind: Bind::Never, tell: Tell::Trouble });
            }
            self.keep_house(target);
        }
    }

    /// Sweeps staging once, and prunes history now and then.
    pub(super) fn keep_house(&mut self, target: TargetId) {
        if self.mode == Mode::Plan {
            return;
        }
        let Some(seat) = self.lanes.iter_mut().find(|seat| seat.id == target) else { return };
        seat.bound_before = true;
        let now = clock::wall();
        let mut jobs = Vec::new();
        if !seat.swept && seat.housekeeping == 0 {
            jobs.push(LaneJob::Sweep);
        }
        // Before share and target are known from end to end, what seems gone from both may be there.
        let known = self.core.is_scanned(seat.share) && self.core.is_listed(target);
        let is_due = seat.pruned.is_none_or(|last| now.since(last) >= PRUNE) && clock::moment() >= seat.prune_after;
        if known && seat.housekeeping == 0 && is_due {
            jobs.push(LaneJob::Prune(Keep { before: now.before(seat.history), floor: seat.history_floor }));
        }
        seat.housekeeping += jobs.len();
        for job in jobs {
            self.ask_lane(target, job);
        }
    }

    /// Prunes what gave way on the shares: as long as the history of any of its targets, so long it is kept.
    pub(super) fn keep_shares(&mut self) {
        let now = clock::wall();
        let mut jobs = Vec::new();
        for seat in &mut self.shares {
            let known = self.core.is_scanned(seat.id) && self.core.offline(seat.id).is_none();
            let is_due = seat.pruned.is_none_or(|last| now.since(last) >= PRUNE);
            let lanes = || self.lanes.iter().filter(|lane| lane.share == seat.id);
            if let Some(history) = lanes().map(|lane| lane.history).max()
                && known
                && is_due
                && seat.housekeeping == 0
            {
                let floor = lanes().map(|lane| lane.history_floor).max().unwrap_or(0);
                seat.housekeeping += 1;
                jobs.push((seat.id, ShareJob::Prune(Keep { before: now.before(history), floor })));
            }
        }
        jobs.into_iter().for_each(|(share, job)| self.ask_share(share, job));
    }

    pub(super) fn pruned_kept(&mut self, share: ShareId, result: Result<u64, String>) -> Result<()> {
        let Some(seat) = self.shares.iter_mut().find(|seat| seat.id == share) else { return Ok(()) };
        seat.housekeeping -= 1;
        // What failed is tried again with the next.
        seat.pruned = Some(clock::wall());
        let count = match result {
            Ok(count) => count,
            Err(why) => {
                tracing::warn!(share = seat.name, "{why}");
                return Ok(());
            }
        };
        self.index.begin(clock::wall())?;
        if count > 0 {
            tracing::info!(
                share = seat.name,
                count,
                "removed what gave way on the share longer ago than history is kept"
            );
            let words = format!("{count} of what gave way on the share, longer ago than history is kept");
            self.index.note(share, None, &RelPath::root(), "prune", &words)?;
        }
        self.index.set_kept_pruned(share, clock::wall())?;
        self.index.commit()
    }

    pub(super) fn pruned(&mut self, target: TargetId, result: Result<u64, Failure>) -> Result<()> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == target) else { return Ok(()) };
        lane.housekeeping -= 1;
        match result {
            Ok(count) => {
                (lane.pruned, lane.prune_told) = (Some(clock::wall()), String::new());
                let share = lane.share;
                if count > 0 {
                    tracing::info!(
                        target = lane.name,
                        count,
                        "removed versions from history that are older than it is kept"
                    );
                }
                self.index.begin(clock::wall())?;
                if count > 0 {
                    let words = format!("{count} versions in history that are older than it is kept");
                    self.index.note(share, Some(target), &RelPath::root(), "prune", &words)?;
                }
                self.index.pruned(target, clock::wall())?;
                self.index.commit()?;
                self.expire(share)
            }
            Err(failure) => {
                lane.prune_after = clock::moment().after(PRUNE_AGAIN);
                if lane.prune_told != failure.message {
                    tracing::warn!(
                        target = lane.name,
                        hint = failure.hint,
                        "history is not pruned: {}",
                        failure.message
                    );
                    lane.prune_told = failure.message;
                }
                Ok(())
            }
        }
    }
}
