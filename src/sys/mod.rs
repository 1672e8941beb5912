//! The operating system as driftline needs it: the only user of rustix and libc, and the only place for `unsafe`.
//!
//! Linux 5.6 or newer (`openat2`). Plain functions that return `io::Result`; no policy, no state.

pub mod acl;
pub mod beneath;
pub mod bytes;
pub mod cause;
pub mod folder;
pub mod fskind;
pub mod host;
pub mod mounts;
pub mod openers;
pub mod publish;
pub mod raw;
pub mod stat;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
