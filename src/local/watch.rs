#![allow(missing_docs)]
pub struct Batch;
pub struct Limits;
pub enum Mode {}
pub struct Watch;
pub struct WatchError;
