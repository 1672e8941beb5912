//! The one place that reads the clocks, and rolls dice.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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

/// A number that nobody foresees: enough to keep agents that failed together from returning together.
pub fn chance() -> u8 {
    (wall().0 / 1000 % 256).unsigned_abs() as u8
}
