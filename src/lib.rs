//! driftline
pub mod cli;
pub mod config;
pub mod local;
pub mod model;
pub mod plan;
pub mod sys;
