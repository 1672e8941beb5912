//! The real program, held to its contract from the outside, and the parts that are tested from within: one binary,
//! linked once.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod alone;
mod architecture;
mod breaker;
mod buckets;
mod clouds;
mod command;
mod conflicts;
mod contract;
mod copies;
mod crashes;
mod documents;
mod edits;
mod faults;
mod fleet;
mod hints;
mod index_loss;
mod kept;
mod lists;
mod live;
mod manager;
mod metrics;
mod mounts;
mod office;
mod owners;
mod package;
mod people;
mod read_back;
mod readme;
mod reload;
mod restore;
mod roots;
mod rules;
mod simulation;
mod status;
mod stories;
mod strangers;
mod trail;
mod two_way;
mod writers;
