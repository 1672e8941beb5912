//! The one place that reads the clocks, and rolls dice.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::Weekday;
use crate::model::{Moment, Wall};

static START: OnceLock<Instant> = OnceLock::new();

/// Time since the process first asked, on the clock that never goes back.
pub fn moment() -> Moment {
    Moment(START.get_or_init(Instant::now).elapsed())
}

/// The time on the wall, as files carry it.
pub fn wall() -> Wall {
    let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Wall(nanos(since)),
        Err(before) => Wall(-nanos(before.duration())),
    }
}

/// The time where this machine is, for times as people write them.
pub fn here() -> jiff::Zoned {
    jiff::Zoned::now()
}

/// Day of the week and minute of the day, where this machine is.
pub fn local() -> (Weekday, u16) {
    let now = jiff::Zoned::now();
    let weekday = match now.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Monday,
        jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
        jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
        jiff::civil::Weekday::Thursday => Weekday::Thursday,
        jiff::civil::Weekday::Friday => Weekday::Friday,
        jiff::civil::Weekday::Saturday => Weekday::Saturday,
        jiff::civil::Weekday::Sunday => Weekday::Sunday,
    };
    let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
    (weekday, minute)
}

/// The first day of the month that a day lies in, and of the next; all days since 1970.
pub fn month_of(day: i64) -> (i64, i64) {
    let epoch = jiff::civil::date(1970, 1, 1);
    let date = epoch.saturating_add(jiff::Span::new().days(day.clamp(-700_000, 2_900_000)));
    let first = date.first_of_month();
    let days = |date: jiff::civil::Date| i64::from(date.since(epoch).map_or(0, |span| span.get_days()));
    (days(first), days(first) + i64::from(first.days_in_month()))
}

/// A number that nobody foresees: enough to keep agents that failed together from returning together.
pub fn chance() -> u8 {
    (wall().0 / 1000 % 256).unsigned_abs() as u8
}
