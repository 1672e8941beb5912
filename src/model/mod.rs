//! Values that every floor speaks in: no I/O, no clock.

mod acl;
mod content;
mod moment;
mod past;
mod path;
mod place;
mod problem;
mod requests;
mod sight;
mod source;

pub use acl::{Acl, Listed};
pub use content::{Content, Digest, Kind, Meta, Reading, Seen, Shape, Stamp, Stat};
pub use moment::{Moment, Wall};
pub use past::{Kept, Past, Was, Which};
pub use path::{BadPath, RESERVED, RelPath};
pub use place::{ShareId, TargetId};
pub use problem::{EXHAUSTED, Problem, TOO_MANY_FILES, Trouble};
pub use requests::Requests;
pub use sight::Sight;
pub use source::{ReadFault, Sink};
