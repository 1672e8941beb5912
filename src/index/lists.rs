//! Access control lists that nobody had asked for when the rest was written down: an index of an older program has none.

use rusqlite::params;

use crate::index::{Index, LocalRow, Result};
use crate::model::{Acl, Meta, RelPath, ShareId, Stat};

impl Index {
    /// Whether the lists of a share's files have to be asked for: an older program saw them, and none has told since.
    pub fn wants_lists(&self, share: ShareId) -> Result<bool> {
        let tally = self.share_tally(share);
        let is_empty = tally.files + tally.folders + tally.links == 0;
        Ok(!is_empty && self.fact(&fact(share))?.is_none())
    }

    /// A full scan has ended: whoever wanted the lists was told of them.
    pub fn lists_told(&self, share: ShareId) -> Result<()> {
        self.set_fact(&fact(share), "told")
    }

    /// The list of what lies at a path, of which all else is known and has not changed. The path is opened on the targets that
    /// lack it.
    ///
    /// What was left on a target before anybody knew of lists was left without one.
    pub fn learn_list(&mut self, share: ShareId, path: &RelPath, acl: Acl) -> Result<()> {
        let Some(folder) = self.key(share, path)? else { return Ok(()) };
        let Some(old) = self.local_at(folder, path.name())? else { return Ok(()) };
        let meta = Meta { acl, ..old.stat.meta };
        let new = LocalRow { stat: Stat { meta, ..old.stat }, ..old.clone() };
        self.write_local(share, folder, path.name(), &new)?;
        for target in self.active.get(&share).cloned().unwrap_or_default() {
            let sql =
                "UPDATE base SET acl = '' WHERE target = ? AND folder = ? AND name = ? AND acl IS NULL AND mode <> ?";
            let key = params![target.0, folder, path.name(), Meta::NOT_KNOWN];
            self.db.prepare_cached(sql)?.execute(key)?;
            self.open_if_unsettled(target, folder, path.name(), Some(&old), &new)?;
        }
        Ok(())
    }
}

fn fact(share: ShareId) -> String {
    format!("lists of share {}", share.0)
}
