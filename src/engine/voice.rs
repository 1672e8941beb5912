//! How many single paths the log names in a minute: where thousands fail at once, the first of them tell what is the matter,
//! and the rest are counted. `driftline problems` and the audit trail name each.

use std::time::Duration;

use crate::model::Moment;

/// Paths that are named in one [`WINDOW`] (count).
const NAMED_MAX: u32 = 20;
/// The time after which paths are named again, and it is told how many were not.
const WINDOW: Duration = Duration::from_secs(60);

/// What the log says of one kind of event in one place.
#[derive(Debug, Default)]
pub(super) struct Voice {
    named: u32,
    kept: u64,
    since: Option<Moment>,
}

impl Voice {
    /// Whether to name one more; if not, it is counted.
    pub(super) fn names(&mut self) -> bool {
        let may = self.named < NAMED_MAX;
        if may {
            self.named += 1;
        } else {
            self.kept += 1;
        }
        may
    }

    /// To be called at the end of each turn. Once the time is over: how many were not named, if any.
    pub(super) fn rest(&mut self, now: Moment) -> Option<u64> {
        if self.named == 0 {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if now.since(since) < WINDOW {
            return None;
        }
        let kept = std::mem::take(self).kept;
        (kept > 0).then_some(kept)
    }

    /// When it has something to say, if nothing else happens.
    pub(super) fn due(&self) -> Option<Moment> {
        self.since.filter(|_| self.kept > 0).map(|since| since.after(WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn of_ten_thousand_at_once_a_few_are_named_and_the_rest_is_told_as_a_number() {
        let mut voice = Voice::default();
        assert_eq!((0..10_000).filter(|_| voice.names()).count(), 20);
        assert_eq!((voice.rest(at(5)), voice.due()), (None, Some(at(65))));
        assert_eq!(voice.rest(at(64)), None);
        assert_eq!((voice.rest(at(65)), voice.due()), (Some(9_980), None));
        assert_eq!(voice.rest(at(200)), None, "it is told once");
        assert!(voice.names(), "and then they are named again");
    }

    #[test]
    fn what_was_named_whole_needs_no_number() {
        let mut voice = Voice::default();
        assert!((0..20).all(|_| voice.names()));
        assert_eq!((voice.rest(at(1)), voice.due(), voice.rest(at(61))), (None, None, None));
    }

    #[test]
    fn a_day_of_one_failure_a_second_is_bounded_and_none_is_lost() {
        let mut voice = Voice::default();
        let (mut named, mut told) = (0, 0);
        for second in 0..86_400 {
            named += u64::from(voice.names());
            told += voice.rest(at(second)).unwrap_or(0);
        }
        assert_eq!(named + told + voice.kept, 86_400);
        assert!(named <= 20 * 1440, "{named}");
    }
}
