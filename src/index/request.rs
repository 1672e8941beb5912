//! What administrators ask of the agent: written beside it, taken by it ([`Index::take_request`](super::Index::take_request)).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use crate::index::{Result, schema};
use crate::model::{ShareId, TargetId};

/// How the one request is written down that names a share: its number stands in the place of a target's.
pub const APPROVE_SHARE: &str = "approve share";

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
        let (what, target) = match request {
            Request::Approve(target) => ("approve", Some(target.0)),
            Request::ApproveShare(share) => (APPROVE_SHARE, Some(share.0)),
            Request::Pause => ("pause", None),
            Request::Resume => ("resume", None),
        };
        self.db.execute("INSERT INTO request (what, target) VALUES (?, ?)", params![what, target])?;
        Ok(())
    }
}
