//! Two kinds of time: one to measure with, one to show and to compare with files.

use std::time::Duration;

/// A day (nanoseconds).
const DAY: i64 = 24 * HOUR;
/// An hour (nanoseconds).
const HOUR: i64 = 3600 * 1_000_000_000;

/// A point on the monotonic clock, counted from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Duration);

impl Moment {
    /// This moment plus `wait`.
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Time from `earlier` to this moment; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Wall-clock time in nanoseconds since 1970, as files carry it. Never used to order versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

impl Wall {
    /// From seconds and nanoseconds as `stat` gives them; saturates past the year 2262.
    pub fn from_parts(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos)))
    }

    /// Seconds (rounded down) and the nanoseconds above them.
    pub fn parts(self) -> (i64, u32) {
        let nanos = self.0.rem_euclid(1_000_000_000);
        (self.0.div_euclid(1_000_000_000), u32::try_from(nanos).unwrap_or(0))
    }

    /// The day in UTC, counted from 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// When a day begins in UTC; see [`Wall::day`].
    pub fn from_day(day: i64) -> Self {
        Self(day.saturating_mul(DAY))
    }

    /// The hour in UTC, counted from 1970-01-01 00:00.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(HOUR)
    }

    /// This time less `span`.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_survives_the_round_trip_also_before_1970() {
        for (seconds, nanos) in [(0, 0), (1, 999_999_999), (-1, 1), (-5, 0), (4_000_000_000, 7)] {
            assert_eq!(Wall::from_parts(seconds, nanos).parts(), (seconds, nanos));
        }
        assert_eq!(Wall::from_parts(i64::MAX, 0), Wall(i64::MAX));
    }

    #[test]
    fn a_day_begins_at_midnight_also_before_1970() {
        for (seconds, day) in [(0, 0), (86_399, 0), (86_400, 1), (-1, -1), (-86_400, -1), (-86_401, -2)] {
            assert_eq!(Wall::from_parts(seconds, 0).day(), day, "{seconds}");
            assert_eq!(Wall::from_day(day).day(), day);
            assert_eq!(Wall::from_parts(seconds, 0).hour().div_euclid(24), day);
        }
        assert_eq!(Wall::from_day(1), Wall::from_parts(86_400, 0));
    }
}
