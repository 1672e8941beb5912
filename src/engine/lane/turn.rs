//! What a lane works with in one turn.

use std::collections::BTreeSet;

use crate::engine::core::{Limits, Now};
use crate::engine::desk::Desk;
use crate::engine::{Command, LandJob, LookJob, ReadJob};
use crate::index::Index;
use crate::model::RelPath;
use crate::target::{Step, Token};

/// All that a decision rests on and goes into, besides the lane itself.
pub(in crate::engine) struct Turn<'a> {
    pub(super) index: &'a mut Index,
    pub(super) desk: &'a mut Desk,
    pub(super) limits: &'a Limits,
    pub(super) now: Now,
    pub(super) batch: Batch,
    pub(super) commands: &'a mut Vec<Command>,
}

impl<'a> Turn<'a> {
    /// A turn with nothing put together yet.
    pub(in crate::engine) fn new(
        index: &'a mut Index,
        desk: &'a mut Desk,
        limits: &'a Limits,
        now: Now,
        commands: &'a mut Vec<Command>,
    ) -> Self {
        Self { index, desk, limits, now, batch: Batch::default(), commands }
    }
}

/// Commands being put together in one turn.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) stage: Vec<ReadJob>,
    pub(super) stage_bytes: u64,
    pub(super) big: Vec<ReadJob>,
    pub(super) apply: Vec<Step>,
    /// Folders that `apply` makes.
    pub(super) made: BTreeSet<RelPath>,
    /// Changes of the share.
    pub(super) land: Vec<LandJob>,
    pub(super) discard: Vec<Token>,
    pub(super) looks: Vec<LookJob>,
}

impl Batch {
    /// Whether it has to be sent before anything is added.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.stage.len() >= limits.batch_max
            || self.stage_bytes >= limits.batch_bytes_max
            || self.looks.len() >= limits.looks_max
            || self.apply.len() >= limits.batch_max
            || self.land.len() >= limits.batch_max
            || !self.big.is_empty()
    }
}
