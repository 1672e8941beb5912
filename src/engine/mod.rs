//! The engine: events in, commands out, and the threads that carry commands out.
//!
//! [`Core`] decides: it is synchronous, does no I/O but for the index, and reads no clock. `desk` is its side of a
//! share, `lane` its side of a target. [`Engine`] runs it, with the threads of `hands.rs`. `state.rs` is what the agent
//! leaves for those who ask about it, and `clock.rs` the one place that reads the clocks.

mod bucket;
pub mod clock;
mod core;
mod desk;
mod drive;
mod event;
mod findings;
mod flow;
mod folder;
mod hands;
mod lane;
mod polls;
mod preview;
pub mod resolve;
pub mod restore;
mod room;
pub mod settings;
mod start;
pub mod state;
mod strange;
mod tenure;
mod voice;

pub use self::bucket::{Seat, Used};
pub use self::core::{Core, Limits, ShareSetup, TargetSetup};
pub use self::drive::{Ending, Engine, LaneEnd, Mode, Reading, Reloader, Snapshot, Stopper};
pub use self::event::{
    Command, Event, Failure, LandFailure, LandJob, Landed, LookJob, ReadJob, Recalled, StageFailure, Thorough, is_twin,
};
pub use self::findings::take_findings;
pub use self::folder::{Keeper, StateFolder};
pub use self::lane::{LaneReport, LaneState};
pub use self::preview::{Group, preview};
pub use self::room::Room;
pub use self::start::{StartError, open_target, share_uid};
pub use self::strange::Strange;
pub use self::tenure::agent_of;
