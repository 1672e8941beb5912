//! What to ask for next: probe, list, and the open paths in the order in which they are decided.

use std::time::Duration;

use crate::engine::core::Now;
use crate::engine::lane::moves::MOVES_MAX;
use crate::engine::lane::turn::Batch;
use crate::engine::lane::{Lane, Listing, RETRY_LONGEST, Result, Sweep, Turn};
use crate::engine::{Command, Strange};
use crate::index::Cursor;
use crate::model::RelPath;

/// Open paths read from the index at once (count).
const SWEEP_PAGE: usize = 512;

impl Lane {
    /// Puts commands together. True if more could be decided at once.
    pub(in crate::engine) fn ask(&mut self, turn: &mut Turn<'_>) -> Result<bool> {
        self.note_moves(turn)?;
        if self.paused || turn.desk.offline().is_some() || self.is_resting(turn.now) {
            self.drop_all_staged(turn);
            self.send(turn);
            return Ok(false);
        }
        self.retry_refused(turn)?;
        if !self.bound {
            self.ask_who(turn);
            return Ok(false);
        }
        self.start(turn)?;
        self.ask_list(turn)?;
        if !self.listed_once {
            // What lies there already must be known before anything is sent.
            return Ok(false);
        }
        self.take_delayed(turn.now);
        self.hear_again(turn)?;
        self.gather(turn)
    }

    /// Looks whether a halt has lost its cause, once the desk has nothing left to ask either. True if it goes on.
    pub(in crate::engine) fn weigh(&mut self, turn: &mut Turn<'_>) -> Result<bool> {
        let all_decided = self.fresh.is_empty() && self.sweep.is_none() && !self.sweep_again;
        let may_go_on = all_decided && self.bound && self.listed_once && !self.paused;
        if self.halt.is_none() || !may_go_on || turn.desk.offline().is_some() {
            return Ok(false);
        }
        self.lift(turn)?;
        Ok(self.halt.is_none())
    }

    fn ask_who(&mut self, turn: &mut Turn<'_>) {
        if !self.probing {
            self.probing = true;
            turn.commands.push(Command::Probe(self.id()));
        }
    }

    fn ask_list(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        if self.next_audit.is_some_and(|at| at <= turn.now.moment) {
            self.next_audit = None;
            self.audit();
        }
        if self.listing == Listing::Due && (self.unknown == 0 || turn.desk.is_scanned()) {
            self.listing = Listing::Running;
            (self.foreign, self.unknown, self.strange) = (0, 0, Strange::default());
            turn.index.forget_names(-self.id().0)?;
            self.list_blind = !turn.desk.is_scanned();
            turn.commands.push(Command::List(self.id()));
        }
        Ok(())
    }

    fn start(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        for (to, from) in turn.index.waiting_moves(self.id(), MOVES_MAX)? {
            self.note_move(to, from);
        }
        turn.index.release_holds(self.id())?;
        let left = match (self.setup.listed_ago, self.setup.audit) {
            (None, _) => Some(Duration::ZERO),
            (Some(_), None) => None,
            (Some(ago), Some(every)) => Some(every.saturating_sub(ago)),
        };
        self.next_audit = left.map(|left| turn.now.moment.after(left));
        Ok(())
    }

    fn retry_refused(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        if self.next_retry.take_if(|at| *at <= turn.now.moment).is_some() {
            self.sweep_again |= turn.index.release_refusals(self.id())?;
            self.retry_after = (self.retry_after * 2).min(RETRY_LONGEST);
        }
        Ok(())
    }

    fn take_delayed(&mut self, now: Now) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| *entry.key() <= now.moment) {
            self.fresh.extend(entry.remove());
        }
    }

    fn gather(&mut self, turn: &mut Turn<'_>) -> Result<bool> {
        let mut decided = 0;
        let halted = self.halt.is_some();
        while decided < turn.limits.decided_max && self.may_send(turn) && self.halt.is_some() == halted {
            let Some(path) = self.next_path(turn)? else { break };
            decided += 1;
            self.decide(turn, &path)?;
            if turn.batch.is_full(turn.limits) {
                self.send(turn);
            }
        }
        let more = !self.fresh.is_empty() || self.sweep.is_some() || self.sweep_again;
        if !more {
            self.drop_forgotten(turn);
        }
        self.send(turn);
        if !more && !self.is_busy() && turn.index.target_tally(self.id()).pending == 0 {
            // What it did not take is made, or no longer wanted.
            self.changes_fail = false;
            if self.error.is_none() {
                self.strikes = 0;
            } else if self.takes_nothing() {
                self.recovered();
            } else {
                // No work finds out whether it answers again.
                self.ask_who(turn);
            }
        }
        if !more {
            self.end_pass(turn);
        }
        self.save_breaker(turn)?;
        Ok(more && self.may_send(turn))
    }

    /// Room for another command.
    fn may_send(&self, turn: &Turn<'_>) -> bool {
        self.jobs < turn.limits.jobs_max
    }

    fn next_path(&mut self, turn: &mut Turn<'_>) -> Result<Option<RelPath>> {
        loop {
            if let Some(path) = self.fresh.pop_first() {
                return Ok(Some(path));
            }
            if self.sweep.is_none() && std::mem::take(&mut self.sweep_again) {
                self.sweep = Some(Sweep::default());
            }
            let Some(sweep) = self.sweep.take() else { return Ok(None) };
            let (paths, next) = turn.index.open_page(self.id(), &sweep.after, sweep.gone, SWEEP_PAGE)?;
            self.fresh.extend(paths);
            self.sweep = match (next, sweep.gone) {
                (Some(after), gone) => Some(Sweep { gone, after }),
                // Removals come last, so that what was moved is never nowhere.
                (None, false) => Some(Sweep { gone: true, after: Cursor::default() }),
                (None, true) => None,
            };
        }
    }

    /// Sends what was put together.
    pub(in crate::engine) fn send(&mut self, turn: &mut Turn<'_>) {
        let id = self.id();
        let Batch { stage, stage_bytes: _, big, apply, made: _, land, discard, looks } =
            std::mem::take(&mut turn.batch);
        let big_jobs = big.len();
        self.big_jobs += big_jobs;
        self.big_paths.extend(big.iter().map(|job| job.path.clone()));
        if !discard.is_empty() {
            turn.commands.push(Command::Discard(id, discard));
        }
        let small = [
            (!looks.is_empty()).then_some(Command::Look(id, looks)),
            (!apply.is_empty()).then_some(Command::Apply(id, apply)),
            (!land.is_empty()).then_some(Command::Land(id, land)),
            (!stage.is_empty()).then_some(Command::Stage(id, stage)),
        ];
        let big = big.into_iter().map(|job| Command::Stage(id, vec![job]));
        let before = turn.commands.len();
        turn.commands.extend(small.into_iter().flatten().chain(big));
        self.jobs += turn.commands.len() - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::lane::fixture::{bound, core, turn};
    use crate::engine::lane::{FAR_BATCH, FAR_JOBS};
    use crate::engine::{Event, Failure, LaneState, Limits};
    use crate::index::Index;
    use crate::local::{Found, PageEnd, ScanEnd, ScanPage};
    use crate::model::{Kind, Meta, Moment, Shape, Stat, Wall};
    use crate::plan::Policy;
    use crate::target::Fault;

    /// How many files each command has to stage, where so many new ones lie in the share's root.
    fn staged_at_once(files: usize) -> Vec<usize> {
        let mut index = Index::in_memory().expect("an index");
        let (mut core, share, target) = core(&mut index, Policy::default(), Limits::default());
        let before = [Event::Probed(target, Ok(bound())), Event::ScanEnded(share, RelPath::root(), ScanEnd::Done)];
        turn(&mut core, &mut index, before.into(), Moment::default());
        let file = |number: usize| {
            let shape = Shape { kind: Kind::File, len: 1 };
            let ino = 1 + number as u64;
            let stat = Stat { shape, meta: Meta::NOTHING, ctime: Wall(0), ino, nlink: 1, mounted: false };
            (format!("{number:05}").into_bytes().into(), Found::Plain(stat))
        };
        let page =
            ScanPage { folder: RelPath::root(), entries: (0..files).map(file).collect(), end: PageEnd::Complete };
        let later = Moment(Duration::from_secs(1));
        let mut commands = turn(&mut core, &mut index, vec![Event::Scanned(share, page)], later);
        commands.extend(turn(&mut core, &mut index, vec![Event::Tick], later));
        let staged = |command: &Command| if let Command::Stage(_, jobs) = command { Some(jobs.len()) } else { None };
        commands.iter().filter_map(staged).collect()
    }

    /// Behind a line many commands take as long as one.
    #[test]
    fn few_files_are_spread_over_all_commands_and_many_do_not_make_them_longer() {
        assert_eq!(staged_at_once(5), [5]);
        assert_eq!(staged_at_once(64), [8; 8]);
        assert_eq!(staged_at_once(20 * FAR_JOBS), [20; FAR_JOBS]);
        assert_eq!(staged_at_once(100 * FAR_JOBS), [FAR_BATCH; FAR_JOBS]);
    }

    /// Nothing waits, so that no work finds out whether it answers again.
    #[test]
    fn a_target_that_failed_while_nothing_was_to_be_done_is_asked_until_it_answers() {
        let mut index = Index::in_memory().expect("an index");
        let (mut core, share, target) = core(&mut index, Policy::default(), Limits::default());
        turn(&mut core, &mut index, vec![Event::Tick], Moment::default());
        let scanned = Event::ScanEnded(share, RelPath::root(), ScanEnd::Done);
        turn(&mut core, &mut index, vec![scanned], Moment::default());
        assert_eq!(core.lane_report(target).expect("known").state, LaneState::Ok);

        let failure = Failure { fault: Fault::Unreachable, message: "stale".to_owned(), hint: String::new() };
        let mut now = Moment::default();
        for _ in 0..3 {
            turn(&mut core, &mut index, vec![Event::Probed(target, Err(failure.clone()))], now);
            assert_eq!(core.lane_report(target).expect("known").state, LaneState::Unreachable);
            now = core.next_due(now).expect("it rests, and then");
            assert_eq!(turn(&mut core, &mut index, vec![Event::Tick], now), [Command::Probe(target)]);
        }
        assert_eq!(turn(&mut core, &mut index, vec![Event::Probed(target, Ok(bound()))], now), []);
        assert_eq!(core.lane_report(target).expect("known").state, LaneState::Ok);
    }
}
