//! When a share that cannot be watched is scanned.
//!
//! On a file server two kinds of scan take turns. A glance asks about each folder, one request for each, and reads only
//! those that changed: it finds what is new, renamed or gone. A thorough scan asks about each file too, and so finds what
//! was changed inside one. Both rest many times as long as they take.

use std::time::Duration;

use crate::engine::Thorough;
use crate::model::Moment;

/// Glances, and scans of folders on this machine that cannot be watched, are at least this far apart...
const NEAR: Duration = Duration::from_secs(30);
/// ... and thorough scans of a file server this far...
const THOROUGH: Duration = Duration::from_secs(120);
/// ... and both rest at least this many times as long as they take (factor).
const REST: u32 = 20;
/// What is said of how late it can be is rounded up to this, so that it stays the same from scan to scan.
const STEP: Duration = Duration::from_secs(60);

/// What no watch tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blindness {
    /// Nothing.
    None,
    /// Some folders of this machine.
    Here,
    /// All of a file server.
    Far,
}

/// The scans of one kind.
#[derive(Clone, Copy, Debug)]
struct Kind {
    last: Moment,
    took: Option<Duration>,
}

impl Kind {
    fn every(self, least: Duration) -> Duration {
        least.max(self.took.unwrap_or_default() * REST)
    }

    fn is_due(self, least: Duration, now: Moment) -> bool {
        now.since(self.last) >= self.every(least)
    }
}

/// When a share was scanned, and how long that took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polls {
    thorough: Kind,
    glance: Kind,
}

impl Polls {
    pub(super) fn begin(now: Moment) -> Self {
        let never = Kind { last: now, took: None };
        Self { thorough: never, glance: never }
    }

    /// A scan of all has ended.
    pub(super) fn ended(&mut self, how: Thorough, took: Duration, now: Moment) {
        let kind = Kind { last: now, took: Some(took) };
        match how {
            // It found what a glance finds.
            Thorough::Yes => (self.thorough, self.glance.last) = (kind, now),
            Thorough::No => self.glance = kind,
        }
    }

    /// The scan that is due now.
    pub(super) fn due(&mut self, blind: Blindness, now: Moment) -> Option<Thorough> {
        let (far, least) = match blind {
            Blindness::None => return None,
            Blindness::Here => (false, NEAR),
            Blindness::Far => (true, THOROUGH),
        };
        if self.thorough.is_due(least, now) {
            (self.thorough.last, self.glance.last) = (now, now);
            Some(Thorough::Yes)
        } else if far && self.glance.is_due(NEAR, now) {
            self.glance.last = now;
            Some(Thorough::No)
        } else {
            None
        }
    }

    /// After this time a change on a file server has been found, whatever it was; `None` before it was scanned.
    pub(super) fn latest(&self) -> Option<Duration> {
        let took = self.thorough.took?;
        // A change right behind the scan waits for the next one to end.
        let late = self.thorough.every(THOROUGH) + took * 2;
        Some(STEP * u32::try_from(late.as_secs() / STEP.as_secs() + 1).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    /// The seconds at which a scan was due in the first ten minutes, if each takes so long.
    fn dues(blind: Blindness, took: Duration) -> Vec<(u64, Thorough)> {
        let mut polls = Polls::begin(at(0));
        let mut dues = Vec::new();
        for second in 0..600 {
            if let Some(how) = polls.due(blind, at(second)) {
                dues.push((second, how));
                polls.ended(how, took, at(second));
            }
        }
        dues
    }

    #[test]
    fn on_a_file_server_folders_are_asked_often_and_files_seldom() {
        let found = dues(Blindness::Far, Duration::from_millis(100));
        let of = |how| found.iter().filter(|due| due.1 == how).map(|due| due.0).collect::<Vec<_>>();
        assert_eq!(of(Thorough::Yes), [120, 240, 360, 480]);
        assert_eq!(of(Thorough::No)[..4], [30, 60, 90, 150]);
    }

    #[test]
    fn folders_here_that_are_not_watched_are_scanned_thoroughly() {
        let found = dues(Blindness::Here, Duration::from_millis(100));
        assert_eq!(found[..2], [(30, Thorough::Yes), (60, Thorough::Yes)]);
        assert_eq!(dues(Blindness::None, Duration::ZERO), []);
    }

    #[test]
    fn a_scan_that_takes_long_rests_long_and_it_is_said_how_late_that_is() {
        let mut polls = Polls::begin(at(0));
        assert_eq!(polls.latest(), None);
        polls.ended(Thorough::Yes, Duration::from_millis(300), at(0));
        assert_eq!(polls.latest(), Some(Duration::from_secs(180)));
        polls.ended(Thorough::Yes, Duration::from_secs(60), at(0));
        assert_eq!(polls.due(Blindness::Far, at(1199)), Some(Thorough::No));
        assert_eq!(polls.due(Blindness::Far, at(1200)), Some(Thorough::Yes));
        assert_eq!(polls.latest(), Some(Duration::from_secs(1380)));
    }
}
