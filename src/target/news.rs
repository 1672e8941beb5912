//! What a place tells of changes as they are made, where something there tells them: events that may be lost, doubled, late or
//! in another order. They only say "look here": a look decides, and an audit finds what no event told.

use crate::model::{RelPath, Stamp};
use crate::target::TargetError;

/// Something that tells of changes.
pub trait News: Send + Sync {
    /// Waits up to about twenty seconds for something to be told; nothing is told after that.
    ///
    /// What was told is told again later, unless [`News::noted`] is called for it.
    fn hear(&self) -> Result<Told, TargetError>;
    /// What was told with these receipts is known, and need not be told again.
    fn noted(&self, receipts: &[String]) -> Result<(), TargetError>;
}

/// What was told at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Paths that may have changed, in no order.
    pub rumours: Vec<Rumour>,
    /// One for each message, for [`News::noted`].
    pub receipts: Vec<String>,
    /// Messages that say nothing that can be understood (count).
    pub strange: u64,
}

/// A path that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rumour {
    /// Which.
    pub path: RelPath,
    /// What lay there after the change, as its listing would show it; `None` if it was removed, or if that was not told.
    pub stamp: Option<Stamp>,
    /// It may be only what is carried with it: the same stamp does not tell that all is as it was.
    pub carried: bool,
}
