//! The integration tests: one binary, linked once.

mod architecture;
mod command;
