//! What administrators ask of the agent: written beside it, taken by it ([`Index::take_request`](super::Index::take_request)).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use crate::index::{Result, schema};
use crate::model::{ShareId, TargetId};

/// How the one request is written down that names a share: its number stands in the place of a target's.
pub const APPROVE_SHARE: &str = "approve share";

/// How a request is written down that names a conflict by its number, in the place of a target's: this, and what is kept.
pub(super) const RESOLVE: &str = "resolve ";

/// How long a request waits for the agent to end a turn.
const BUSY: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Let a halted target go on.
    Approve(TargetId),
    /// Let what waits of a share's configuration take effect.
    ApproveShare(ShareId),
    /// Change nothing on any target.
    Pause,
    /// Go on with all of them.
    Resume,
    /// A conflict, by its number, is resolved.
    Resolve(i64, Resolution),
}

/// What a person kept of the two versions of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The share's, which stands under the name already.
    Share,
    /// The target's, which is brought back under the name.
    Target,
    /// Both: the target's is put beside the share's.
    Both,
}

impl Resolution {
    const ALL: [Self; 3] = [Self::Share, Self::Target, Self::Both];

    /// As it is typed, and written down.
    pub fn word(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Target => "target",
            Self::Both => "both",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kept| kept.word() == word)
    }

    /// What was done about it, for the audit trail.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Share => "a person keeps the share's version; theirs stays in history",
            Self::Target => "a person keeps the target's version: it is on the share again, and what lay there is kept",
            Self::Both => "a person keeps both: the target's version is put beside the share's",
        }
    }
}

/// The index, to add requests to.
#[derive(Debug)]
pub struct Requests {
    pub(super) db: Connection,
}

impl Requests {
    /// Opens an index that exists; `None` if there is none, or none that was finished.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        Ok(schema::readable(&db)?.map(|_version| Self { db }))
    }

    /// Adds a request. It is durable when this returns.
    pub fn add(&self, request: Request) -> Result<()> {
        let resolve;
        let (what, target) = match request {
            Request::Approve(target) => ("approve", Some(target.0)),
            Request::ApproveShare(share) => (APPROVE_SHARE, Some(share.0)),
            Request::Pause => ("pause", None),
            Request::Resume => ("resume", None),
            Request::Resolve(conflict, kept) => {
                resolve = format!("{RESOLVE}{}", kept.word());
                (&*resolve, Some(conflict))
            }
        };
        self.db.execute("INSERT INTO request (what, target) VALUES (?, ?)", params![what, target])?;
        Ok(())
    }
}
