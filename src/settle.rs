//! Waits for a path to fall quiet before it is read. Pure: the caller says what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Moment, RelPath};

/// Paths of which the number of forced snapshots is remembered, at most (count); past it the oldest name is forgotten.
const SNAPSHOTS_MAX: usize = 1024;
/// A file that never falls quiet waits at most this many times its patience for its next snapshot (factor).
const PATIENCE_GROWTH_MAX: u32 = 32;

/// How long to wait, and how much to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleLimits {
    /// A path is ready this long after its last event.
    pub quiet: Duration,
    /// A path is ready this long after its first event, quiet or not; longer with each snapshot of a file that never rests.
    pub patience: Duration,
    /// Past this many paths, a rescan of everything replaces them (count).
    pub paths_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Restless {
    first: Moment,
    due: Moment,
    /// Ready because patience ends, not because it is quiet.
    insist: bool,
}

/// Paths with events, until they are ready.
#[derive(Debug)]
pub struct Settler {
    limits: SettleLimits,
    restless: BTreeMap<RelPath, Restless>,
    queue: BTreeSet<(Moment, RelPath)>,
    snapshots: BTreeMap<RelPath, u32>,
    lost_track: bool,
}

/// A path that is ready to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPath {
    /// Which.
    pub path: RelPath,
    /// Patience is over: take a consistent snapshot even if someone still writes.
    pub insist: bool,
    /// Since when it has been waiting: to be given back to [`Settler::busy`].
    pub first: Moment,
}

/// What is ready to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum Ready {
    /// These paths.
    Paths(Vec<ReadyPath>),
    /// Everything: events were lost, or there were too many to keep.
    Everything,
}

impl Settler {
    /// An empty settler.
    pub fn new(limits: SettleLimits) -> Self {
        let (restless, queue, snapshots) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { limits, restless, queue, snapshots, lost_track: false }
    }

    /// From the next event on.
    pub fn change(&mut self, limits: SettleLimits) {
        self.limits = limits;
    }

    /// Takes note of an event at `path`, or of a reading that found it still in use.
    pub fn touch(&mut self, path: RelPath, now: Moment) {
        if self.lost_track {
            return;
        }
        let before = self.restless.get(&path).copied();
        if let Some(before) = before {
            self.queue.remove(&(before.due, path.clone()));
        }
        let first = before.map_or(now, |before| before.first);
        let (quiet, patience) = (now.after(self.limits.quiet), first.after(self.patience_of(&path)));
        let restless = Restless { first, due: quiet.min(patience), insist: patience <= quiet };
        self.queue.insert((restless.due, path.clone()));
        self.restless.insert(path, restless);
        if self.restless.len() > self.limits.paths_max {
            self.lose_track();
        }
    }

    /// Takes note that `path` was found in use when it was read at `since`'s end: it waits on, its patience running from `since`.
    pub fn busy(&mut self, path: RelPath, since: Moment, now: Moment) {
        self.touch(path.clone(), since.min(now));
        self.touch(path, now);
    }

    /// True while `path` waits for quiet.
    pub fn holds(&self, path: &RelPath) -> bool {
        self.restless.contains_key(path)
    }

    /// How many paths wait for quiet.
    pub fn len(&self) -> usize {
        self.restless.len()
    }

    /// True if no path waits and nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.restless.is_empty() && !self.lost_track
    }

    /// Takes note that events were missed.
    pub fn lose_track(&mut self) {
        self.lost_track = true;
        self.restless.clear();
        self.queue.clear();
    }

    /// Takes out what is ready at `now`.
    pub fn take_ready(&mut self, now: Moment) -> Ready {
        if std::mem::take(&mut self.lost_track) {
            return Ready::Everything;
        }
        let mut ready = Vec::new();
        while self.queue.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, path)) = self.queue.pop_first() else { break };
            let Some(Restless { first, insist, .. }) = self.restless.remove(&path) else { continue };
            self.count_snapshot(&path, insist);
            ready.push(ReadyPath { path, insist, first });
        }
        Ready::Paths(ready)
    }

    /// When something will be ready, if nothing more happens.
    pub fn next_due(&self) -> Option<Moment> {
        if self.lost_track {
            return Some(Moment::default());
        }
        self.queue.first().map(|(due, _)| *due)
    }

    fn patience_of(&self, path: &RelPath) -> Duration {
        let taken = self.snapshots.get(path).copied().unwrap_or(0);
        self.limits.patience * 2u32.saturating_pow(taken).min(PATIENCE_GROWTH_MAX)
    }

    fn count_snapshot(&mut self, path: &RelPath, insist: bool) {
        if !insist {
            self.snapshots.remove(path);
            return;
        }
        if self.snapshots.len() >= SNAPSHOTS_MAX {
            self.snapshots.pop_first();
        }
        *self.snapshots.entry(path.clone()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn settler() -> Settler {
        Settler::new(SettleLimits { quiet: Duration::from_millis(500), patience: Duration::from_secs(5), paths_max: 2 })
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    fn ready(text: &str, insist: bool, first: u64) -> Ready {
        Ready::Paths(vec![ReadyPath { path: path(text), insist, first: at(first) }])
    }

    #[test]
    fn a_path_is_ready_once_quiet() {
        let mut settler = settler();
        settler.touch(path("a"), at(0));
        settler.touch(path("a"), at(400));
        assert_eq!(settler.next_due(), Some(at(900)));
        assert_eq!(settler.take_ready(at(899)), Ready::Paths(vec![]));
        assert_eq!(settler.take_ready(at(900)), ready("a", false, 0));
        assert_eq!(settler.next_due(), None);
    }

    #[test]
    fn patience_ends_and_insists() {
        let mut settler = settler();
        for ms in (0..=4900).step_by(100) {
            settler.touch(path("log"), at(ms));
        }
        assert_eq!(settler.take_ready(at(4999)), Ready::Paths(vec![]));
        assert_eq!(settler.take_ready(at(5000)), ready("log", true, 0));
    }

    #[test]
    fn a_file_that_never_rests_is_taken_ever_more_rarely_until_it_rests() {
        let mut settler = settler();
        let mut taken = vec![];
        for ms in (0..100_000).step_by(100) {
            settler.touch(path("log"), at(ms));
            if let Ready::Paths(paths) = settler.take_ready(at(ms))
                && paths.iter().any(|ready| ready.insist)
            {
                taken.push(ms);
            }
        }
        assert_eq!(taken, [5000, 15100, 35200, 75300]);
        assert_eq!(settler.take_ready(at(200_000)), ready("log", false, 75_400));
        settler.touch(path("log"), at(300_000));
        assert_eq!(settler.patience_of(&path("log")), Duration::from_secs(5));
    }

    #[test]
    fn a_file_found_in_use_waits_on_without_its_patience_starting_again() {
        let mut settler = settler();
        settler.busy(path("a"), at(0), at(4800));
        assert_eq!(settler.next_due(), Some(at(5000)));
        assert_eq!(settler.take_ready(at(5000)), ready("a", true, 0));
    }

    #[test]
    fn too_many_paths_become_a_rescan() {
        let mut settler = settler();
        for name in ["a", "b", "c"] {
            settler.touch(path(name), at(0));
        }
        assert!(!settler.is_empty());
        assert_eq!(settler.take_ready(at(0)), Ready::Everything);
        assert_eq!(settler.next_due(), None);
        assert!(settler.is_empty());
    }
}
