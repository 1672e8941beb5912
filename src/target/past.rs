//! A version on its way from a target to whoever wants it back.

use std::io;

use crate::model::Seen;

/// A version on its way from a target, in this order: what it is, and then its bytes (a link's are where it points to).
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// What it is, with its digest where the target keeps one. Whoever takes it may say that no bytes are wanted.
    Head(&'a Seen),
    /// The next bytes.
    Bytes(&'a [u8]),
}

/// Takes the pieces of one version; `Ok(false)` wants no more. An error is the taker's own: it is answered as
/// [`ReadError::Taker`].
pub type Take<'a> = &'a mut dyn FnMut(Piece<'_>) -> io::Result<bool>;

/// Why a version was not read to its end.
#[derive(Debug)]
pub enum ReadError {
    /// The target's side.
    Target(crate::target::TargetError),
    /// The side of whoever took it.
    Taker(io::Error),
}

impl From<crate::target::TargetError> for ReadError {
    fn from(error: crate::target::TargetError) -> Self {
        Self::Target(error)
    }
}
