//! driftline
pub mod engine;
pub mod index;
pub mod local;
pub mod model;
pub mod plan;
pub mod rest;
pub mod settle;
pub mod sys;
pub mod target;
