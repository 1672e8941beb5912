//! What was changed on the share and on a target both: the share's stays under its name, theirs is in history.
//!
//! A list for people: nothing is decided by it, and should it be lost, every version is still in history.

use rusqlite::{Row, params};

use crate::index::{Index, Result, row};
use crate::model::{Digest, RelPath, ShareId, TargetId, Wall};

/// Both had changed a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub path: RelPath,
    /// When the share's version took its place on the target.
    pub at: Wall,
    /// The share's version.
    pub ours: Digest,
    /// Theirs, where it was read.
    pub theirs: Option<Digest>,
}

impl Index {
    /// Adds to the list.
    pub fn put_conflict(&self, share: ShareId, target: TargetId, conflict: &Conflict) -> Result<()> {
        let sql = "INSERT INTO conflict (share, target, path, at, ours, theirs) VALUES (?, ?, ?, ?, ?, ?)";
        let theirs = conflict.theirs.filter(|digest| *digest != Digest::FOLDER && *digest != Digest::UNPROVED);
        self.db.prepare_cached(sql)?.execute(params![
            share.0,
            target.0,
            conflict.path.as_bytes(),
            conflict.at.0,
            conflict.ours.0.as_slice(),
            theirs.as_ref().map(|digest| digest.0.as_slice()),
        ])?;
        Ok(())
    }

    /// What is listed for a target, the oldest first.
    pub fn conflicts(&self, target: TargetId) -> Result<Vec<Conflict>> {
        let sql = "SELECT path, at, ours, theirs FROM conflict WHERE target = ? ORDER BY id";
        let mut query = self.db.prepare_cached(sql)?;
        let read = |found: &Row<'_>| {
            let digest = |at: usize| -> rusqlite::Result<_> {
                Ok(row::digest_of(found.get_ref(at)?.as_blob_or_null()?))
            };
            let path = RelPath::new(found.get_ref(0)?.as_blob()?).ok();
            let (ours, theirs): (Option<Digest>, Option<Digest>) = (digest(2)?, digest(3)?);
            Ok(path.map(|path| Conflict {
                path,
                at: Wall(found.get(1).unwrap_or_default()),
                ours: ours.unwrap_or(Digest::FOLDER),
                theirs,
            }))
        };
        let rows = query.query_map([target.0], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// A person has seen to it.
    pub fn drop_conflict(&self, target: TargetId, path: &RelPath, at: Wall) -> Result<()> {
        let sql = "DELETE FROM conflict WHERE target = ? AND path = ? AND at = ?";
        self.db.prepare_cached(sql)?.execute(params![target.0, path.as_bytes(), at.0])?;
        Ok(())
    }
}
