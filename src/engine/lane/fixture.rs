//! A core with one share and one target, for the tests of a lane.

use std::time::Duration;

use crate::engine::{Command, Core, Event, Limits, ShareSetup, TargetSetup};
use crate::index::Index;
use crate::model::{Moment, ShareId, TargetId, Wall};
use crate::plan::{Drift, Policy};
use crate::settle::SettleLimits;
use crate::target::Bound;

pub(super) fn core(index: &mut Index, policy: Policy, limits: Limits) -> (Core, ShareId, TargetId) {
    let share = index.register_share("s", b"/s", "uid", false).expect("registered").id;
    let target = index.register_target(share, "t", "/t").expect("registered").id;
    index.take_changes(target, policy.drift == Drift::Take);
    let settle = SettleLimits { quiet: Duration::ZERO, patience: Duration::ZERO, paths_max: 4 };
    let shares = vec![ShareSetup { id: share, name: String::new(), settle, rescan: Duration::from_secs(3600) }];
    let targets = vec![TargetSetup {
        id: target,
        name: String::new(),
        share,
        policy,
        audit: None,
        listed_ago: Some(Duration::ZERO),
        bound: true,
        halt: None,
        paused: false,
        remembers: Duration::ZERO,
    }];
    (Core::new(shares, targets, limits), share, target)
}

/// The target answers that it is the one it was; it lies behind a line.
pub(super) fn bound() -> Bound {
    Bound { id: "id".to_owned(), newly: false, far: true, lists: false }
}

/// One turn, at the same time by both clocks.
pub(super) fn turn(core: &mut Core, index: &mut Index, events: Vec<Event>, at: Moment) -> Vec<Command> {
    let wall = Wall(i64::try_from(at.0.as_nanos()).expect("a short test"));
    index.begin(wall).expect("begun");
    let commands = core.handle(index, events, at, wall, 0).expect("sound");
    index.commit().expect("committed");
    commands
}
