//! Values that every floor speaks in: no I/O, no clock.

mod content;
mod moment;
mod path;
mod problem;
mod sight;
mod source;

pub use content::{Content, Digest, Kind, Meta, Reading, Seen, Shape, Stamp, Stat};
pub use moment::{Moment, Wall};
pub use path::{BadPath, RESERVED, RelPath};
pub use problem::{Problem, Trouble};
pub use sight::Sight;
pub use source::{ReadFault, Sink};
