//! The breaker: what takes something away or replaces it is counted and judged, before it is made.
//!
//! Made is what the target answered. A change whose answer was lost is judged while it is under way, and not counted if it
//! was made all the same: there are never more of them than commands under way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::lane::{Lane, Result, Turn};
use crate::engine::state;
use crate::index::{Hour, Removals};
use crate::model::{Moment, RelPath, Wall};
use crate::plan::{self, Breach, Cause, Census, Changes, Halt, Waiting};

/// What waits to be taken away is counted anew after so long.
const RECOUNT: Duration = Duration::from_secs(2);
/// Paths and folders that are told of a halt, of each (count): they fit on one screen.
const TOLD_MAX: usize = 10;
/// Folders of which it is counted how many of their files were replaced (count).
const FOLDERS_MAX: usize = 4096;

/// What a lane's breaker keeps in mind.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// This hour; `None` before anything was judged.
    hour: Option<i64>,
    now: Hour,
    /// The hour before.
    before: Hour,
    /// What is normal there.
    normal: Changes,
    /// The hour's counts differ from what is written down.
    unsaved: bool,
    /// So much passes because a person said so.
    pass: Changes,
    pass_unsaved: bool,
    /// What is under way,
    flying: BTreeMap<RelPath, Flight>,
    /// and what it comes to: what is judged, and what a person let through.
    aloft: Changes,
    aloft_passed: Changes,
    /// Removals made within the window and waiting, when they were last counted.
    removals: Option<(Moment, u64)>,
    removed: Signs,
    replaced: Signs,
    scrambled: Signs,
    /// Nothing was decided since it was last looked whether a halt has lost its cause.
    stale: bool,
}

/// A change under way that takes something away.
#[derive(Clone, Copy, Debug)]
struct Flight {
    change: Changes,
    /// A person let it through.
    passed: bool,
}

/// What is told of changes that looked alike.
#[derive(Debug, Default)]
struct Signs {
    since: Option<Wall>,
    bytes: u64,
    folders: BTreeMap<RelPath, u64>,
    samples: Vec<RelPath>,
}

/// One change, as it is judged.
pub(super) struct Deed<'p> {
    pub(super) path: &'p RelPath,
    pub(super) change: Changes,
    /// When the difference was noticed.
    pub(super) since: Wall,
    /// What is lost from sight there (bytes).
    pub(super) bytes: u64,
}

impl Signs {
    fn add(&mut self, deed: &Deed<'_>) {
        self.since = Some(self.since.map_or(deed.since, |since| since.min(deed.since)));
        self.bytes = self.bytes.saturating_add(deed.bytes);
        let folder = deed.path.parent().unwrap_or_else(RelPath::root);
        if self.folders.len() < FOLDERS_MAX || self.folders.contains_key(&folder) {
            *self.folders.entry(folder).or_default() += 1;
        }
        if self.samples.len() < TOLD_MAX {
            self.samples.push(deed.path.clone());
        }
    }

    /// What waits, and since when: some of it may be made already.
    fn joined(&self, waiting: Removals) -> Removals {
        let since = [self.since, waiting.since].into_iter().flatten().min();
        Removals { since, ..waiting }
    }

    fn told(&self) -> Removals {
        let mut top: Vec<_> = self.folders.iter().map(|(folder, count)| (folder.clone(), *count)).collect();
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        top.truncate(TOLD_MAX);
        Removals {
            files: self.folders.values().sum(),
            bytes: self.bytes,
            folders: u64::try_from(self.folders.len()).unwrap_or(u64::MAX),
            since: self.since,
            top,
            samples: self.samples.clone(),
        }
    }
}

impl Breaker {
    /// What was made in this hour and the one before and nobody has let through.
    fn judged(&self) -> Changes {
        let open = |hour: &Hour| hour.made.each(hour.seen, u64::saturating_sub);
        open(&self.now) + open(&self.before)
    }

    fn aloft(&mut self, passed: bool) -> &mut Changes {
        if passed { &mut self.aloft_passed } else { &mut self.aloft }
    }

    /// A person has said that this kind of change is right.
    fn passes(&self, change: Changes) -> bool {
        change.removed <= self.pass.removed && change.replaced <= self.pass.replaced
    }

    fn note(&mut self, deed: &Deed<'_>) {
        let kinds = [
            (deed.change.removed, &mut self.removed),
            (deed.change.replaced, &mut self.replaced),
            (deed.change.scrambled, &mut self.scrambled),
        ];
        kinds.into_iter().filter(|(count, _)| *count > 0).for_each(|(_, signs)| signs.add(deed));
    }

    /// What came before this is not held against what comes.
    fn forgive(&mut self) {
        (self.now.seen, self.before.seen) = (self.now.made, self.before.made);
        self.removals = None;
        self.forget_signs();
    }

    fn forget_signs(&mut self) {
        (self.removed, self.replaced, self.scrambled) = (Signs::default(), Signs::default(), Signs::default());
    }
}

impl Lane {
    /// Whether a change may be made; if not, the lane is halted. All removals that wait are judged together, before the
    /// first of them is made.
    pub(super) fn vet(&mut self, turn: &mut Turn<'_>, deed: &Deed<'_>) -> Result<bool> {
        self.roll(turn)?;
        if self.breaker.passes(deed.change) {
            return Ok(true);
        }
        let made = self.breaker.judged();
        let mut changes = made + self.breaker.aloft + deed.change;
        if deed.change.removed > 0 {
            changes.removed = changes.removed.max(self.removals(turn, made.removed)?);
        }
        let files = u64::try_from(turn.index.target_tally(self.id()).files).unwrap_or(0);
        let census = Census { files: files.saturating_add(made.removed), changes, normal: self.breaker.normal };
        self.breaker.note(deed);
        match plan::vet(&census, &turn.limits.breaker) {
            Ok(()) => Ok(true),
            Err(breach) => self.stop(turn, &breach, changes).map(|()| false),
        }
    }

    /// Removals made and waiting together, without those that a person has let through.
    fn removals(&mut self, turn: &Turn<'_>, made: u64) -> Result<u64> {
        let known = self.breaker.removals.filter(|(at, _)| turn.now.moment.since(*at) < RECOUNT);
        if let Some((_, count)) = known {
            return Ok(count);
        }
        let waiting = turn.index.waiting_removals(self.id())?;
        let passed = self.breaker.pass.removed.saturating_add(self.breaker.aloft_passed.removed);
        let count = made.saturating_add(waiting.saturating_sub(passed));
        self.breaker.removals = Some((turn.now.moment, count));
        Ok(count)
    }

    /// A change that was judged is under way.
    pub(super) fn depart(&mut self, deed: &Deed<'_>) {
        let breaker = &mut self.breaker;
        let passed = breaker.passes(deed.change);
        if passed {
            breaker.pass = breaker.pass.each(deed.change, u64::saturating_sub);
            breaker.pass_unsaved = true;
        }
        let aloft = breaker.aloft(passed);
        *aloft = *aloft + deed.change;
        breaker.flying.insert(deed.path.clone(), Flight { change: deed.change, passed });
    }

    /// It was made, or not.
    pub(super) fn arrive(&mut self, path: &RelPath, made: bool) {
        let breaker = &mut self.breaker;
        let Some(Flight { change, passed }) = breaker.flying.remove(path) else { return };
        let aloft = breaker.aloft(passed);
        *aloft = aloft.each(change, u64::saturating_sub);
        if made {
            breaker.now.made = breaker.now.made + change;
            if passed {
                breaker.now.seen = breaker.now.seen + change;
            }
            breaker.unsaved = true;
        } else if passed {
            breaker.pass = breaker.pass + Changes { scrambled: 0, ..change };
            breaker.pass_unsaved = true;
        }
    }

    /// Begins a new hour, if it is one.
    fn roll(&mut self, turn: &Turn<'_>) -> Result<()> {
        let (id, hour) = (self.id(), turn.now.wall.hour());
        if self.breaker.hour == Some(hour) {
            return Ok(());
        }
        self.save_breaker(turn)?;
        let breaker = &mut self.breaker;
        if breaker.hour.is_none() {
            breaker.pass = turn.index.pass(id)?;
        }
        breaker.hour = Some(hour);
        (breaker.now, breaker.before) = (turn.index.hour(id, hour)?, turn.index.hour(id, hour - 1)?);
        breaker.normal = plan::normal(&turn.index.hours_before(id, hour)?);
        if breaker.judged().is_none() && breaker.flying.is_empty() {
            breaker.forget_signs();
        }
        Ok(())
    }

    /// Writes down what was counted in this turn.
    pub(super) fn save_breaker(&mut self, turn: &Turn<'_>) -> Result<()> {
        let id = self.id();
        let breaker = &mut self.breaker;
        if let Some(hour) = breaker.hour.filter(|_| std::mem::take(&mut breaker.unsaved)) {
            turn.index.put_hour(id, hour, &breaker.now)?;
        }
        if std::mem::take(&mut breaker.pass_unsaved) {
            turn.index.set_pass(id, breaker.pass)?;
        }
        Ok(())
    }

    fn stop(&mut self, turn: &mut Turn<'_>, breach: &Breach, changes: Changes) -> Result<()> {
        if self.halt.is_some() {
            return Ok(());
        }
        let told = match breach.cause {
            Cause::Removals => self.breaker.removed.joined(turn.index.removals(self.id(), TOLD_MAX)?),
            Cause::Replacements => self.breaker.replaced.told(),
            Cause::Encryption => self.breaker.scrambled.told(),
        };
        let halt = halt(breach, changes, &told);
        tracing::error!(target = self.setup.name, "the target is halted: {}", halt.message);
        turn.index.set_halt(self.id(), Some(&state::halt_to_json(&halt)))?;
        turn.index.note(self.share(), Some(self.id()), &RelPath::root(), "halt", &halt.message)?;
        self.halt = Some(halt);
        // What is open is looked through once more, to say truly what waits.
        self.sweep_again = true;
        Ok(())
    }

    /// A person has looked: all that waits to be taken away or replaced now may be, and no more.
    pub(in crate::engine) fn approved(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        if self.halt.is_none() {
            return Ok(());
        }
        self.roll(turn)?;
        let waiting = turn.index.waiting(self.id())?.changes;
        let breaker = &mut self.breaker;
        breaker.forgive();
        breaker.pass = Changes { scrambled: 0, ..waiting };
        (breaker.unsaved, breaker.pass_unsaved) = (true, true);
        self.go_on(turn, "approve")
    }

    /// Lifts a halt of which nothing waits any more.
    pub(super) fn lift(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        let all_known = turn.desk.is_scanned() && turn.desk.is_idle() && !self.is_busy();
        if !all_known || std::mem::replace(&mut self.breaker.stale, true) {
            return Ok(());
        }
        let waiting = turn.index.waiting(self.id())?;
        let files = u64::try_from(turn.index.target_tally(self.id()).files).unwrap_or(0);
        self.roll(turn)?;
        if !plan::is_over(&waiting, files, &turn.limits.breaker) {
            return self.retell(turn, &waiting, files);
        }
        self.breaker.forgive();
        self.breaker.unsaved = true;
        tracing::warn!(target = self.setup.name, "the target goes on by itself: what halted it is undone on the share");
        self.go_on(turn, "lift")
    }

    fn go_on(&mut self, turn: &mut Turn<'_>, why: &str) -> Result<()> {
        if let Some(halt) = self.halt.take() {
            turn.index.note(self.share(), Some(self.id()), &RelPath::root(), why, &halt.message)?;
        }
        self.save_before(turn)?;
        self.save_breaker(turn)?;
        self.sweep_again = true;
        turn.index.set_halt(self.id(), None)
    }

    fn save_before(&self, turn: &Turn<'_>) -> Result<()> {
        let hour = self.breaker.hour.filter(|_| self.breaker.before != Hour::default());
        hour.map_or(Ok(()), |hour| turn.index.put_hour(self.id(), hour - 1, &self.breaker.before))
    }

    /// Tells of the halt as it stands now: what was made before it, and what waits by now.
    fn retell(&mut self, turn: &mut Turn<'_>, waiting: &Waiting, files: u64) -> Result<()> {
        let Some(old) = self.halt.take() else { return Ok(()) };
        let breaker = &self.breaker;
        let made = breaker.judged();
        let mut changes = made + waiting.changes.each(breaker.pass, u64::saturating_sub);
        if waiting.unread > 0 {
            // What was not read yet is not known to be harmless.
            changes = changes.each(old.changes, u64::max);
        }
        let census = Census { files: files.saturating_add(made.removed), changes, normal: breaker.normal };
        let as_before =
            Breach { cause: old.cause, count: changes.of(old.cause), limit: old.limit, files: census.files };
        let breach = plan::vet(&census, &turn.limits.breaker).err().unwrap_or(as_before);
        let told = turn.index.told_of(self.id(), breach.cause, TOLD_MAX)?;
        let mut new = halt(&breach, changes, &told);
        new.since = [old.since, new.since].into_iter().filter(|since| *since != 0).min().unwrap_or(0);
        if new.samples.is_empty() {
            // All of it is made.
            new = Halt {
                bytes: old.bytes,
                folders: old.folders,
                top: old.top.clone(),
                samples: old.samples.clone(),
                ..new
            };
        }
        if new != old {
            turn.index.set_halt(self.id(), Some(&state::halt_to_json(&new)))?;
        }
        self.halt = Some(new);
        Ok(())
    }

    /// Something was decided while the lane is halted.
    pub(super) fn heed(&mut self) {
        self.breaker.stale = false;
    }

    /// Nothing waits any more: what a person let through is through.
    pub(super) fn end_pass(&mut self, turn: &Turn<'_>) {
        let nothing_waits = turn.index.target_tally(self.id()).pending == 0 && self.breaker.flying.is_empty();
        if nothing_waits && !self.breaker.pass.is_none() {
            (self.breaker.pass, self.breaker.pass_unsaved) = (Changes::NONE, true);
        }
    }
}

fn halt(breach: &Breach, changes: Changes, told: &Removals) -> Halt {
    Halt {
        cause: breach.cause,
        message: breach.to_string(),
        since: told.since.map_or(0, |since| since.0),
        changes,
        files: breach.files,
        limit: breach.limit,
        bytes: told.bytes,
        folders: told.folders,
        top: told.top.iter().map(|(folder, count)| (folder.to_string(), *count)).collect(),
        samples: told.samples.iter().map(RelPath::to_string).collect(),
    }
}
