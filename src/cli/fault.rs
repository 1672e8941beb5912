//! Work on the index that fails: in the index, or in a way that is told already.

use std::path::Path;

use crate::cli::Failure;
use crate::cli::ask::unreadable;
use crate::index::IndexError;

pub(super) enum Fault {
    Index(IndexError),
    Told(Failure),
}

impl Fault {
    /// For people, who know the index by its state folder.
    pub(super) fn told(self, dir: &Path) -> Failure {
        match self {
            Self::Index(error) => unreadable(dir, &error),
            Self::Told(failure) => failure,
        }
    }
}

impl From<IndexError> for Fault {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}
