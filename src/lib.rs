//! driftline
pub mod local;
pub mod model;
pub mod plan;
pub mod sys;
pub mod target;
