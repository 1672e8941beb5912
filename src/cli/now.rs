//! The time at which a command is asked.

use std::time::SystemTime;

use crate::model::Wall;

/// Wall-clock time now.
pub(super) fn now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
