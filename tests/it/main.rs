//! One integration test binary: it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod contract;
mod simulation;
//! The integration tests: one binary, linked once.

mod architecture;
mod command;
//! The real program, held to its contract from the outside, and the parts that need a file system.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod alone;
mod copies;
mod crashes;
mod edits;
mod index_loss;
mod live;
mod mounts;
mod office;
mod people;
mod recovery;
mod roots;
mod stories;
mod strangers;
mod writers;
