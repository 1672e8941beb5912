//! The engine: events in, commands out, and the threads that carry commands out.
//!
//! [`Core`] decides: it is synchronous, does no I/O but for the index, and reads no clock. `desk.rs` is its side of a
//! share, `lane.rs` its side of a target. [`state`] is what lies in the state folder beside the index.

mod core;
mod desk;
mod event;
mod lane;
pub mod state;

pub use self::core::{Core, Limits, ShareSetup, TargetSetup};
pub use self::event::{Command, Event, Failure, LookJob, ReadJob, StageFailure};
pub use self::lane::{LaneReport, LaneState};
