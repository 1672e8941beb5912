//! All paths of a share, for whoever asks a question about their names alone.

use crate::index::{Reader, Result};
use crate::model::{RelPath, ShareId};

impl Reader {
    /// Shows each file and link that the share is known to have. Memory does not grow with their number.
    pub fn visit_files(&self, share: ShareId, each: &mut dyn FnMut(&RelPath)) -> Result<()> {
        let sql = "SELECT f.path, l.name FROM folder f JOIN local l ON l.folder = f.id
                   WHERE f.share = ? AND l.state = 1 AND l.kind <> 3";
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query([share.0])?;
        while let Some(row) = rows.next()? {
            let (folder, name) = (row.get_ref(0)?.as_blob(), row.get_ref(1)?.as_blob());
            let (folder, name) = (folder.map_err(rusqlite::Error::from)?, name.map_err(rusqlite::Error::from)?);
            let whole = if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() };
            if let Ok(path) = RelPath::new(&whole) {
                each(&path);
            }
        }
        Ok(())
    }
}
