//! One integration test binary: it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod contract;
mod simulation;
//! The integration tests: one binary, linked once.

mod architecture;
mod command;
