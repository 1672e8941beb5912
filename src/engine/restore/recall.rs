//! What happened on the target since the time that is asked for, and what lies there now.

use std::sync::atomic::Ordering;

use crate::index::Recall;
use crate::model::{Kind, RelPath};
use crate::target::Depth;

use super::{Counts, RestoreError, Wanted};

/// Asks the target what happened since, and what lies there now.
pub(super) fn recall(wanted: &Wanted<'_>, counts: &Counts) -> Result<Recall, RestoreError> {
    let mut recall = Recall::new()?;
    let told = || _ = counts.told.fetch_add(1, Ordering::Relaxed);
    if let Some(after) = wanted.as_of {
        let ask = |recall: &mut Recall, under: &RelPath| -> Result<(), RestoreError> {
            let mut broken = None;
            wanted.target.past(under, after, &mut |past| {
                told();
                broken = recall.happened(&past).err();
                broken.is_none()
            })?;
            broken.map_or(Ok(()), |error| Err(error.into()))
        };
        ask(&mut recall, wanted.under)?;
        if recall.has_moves() && !wanted.under.is_root() {
            // What was called so then may lie anywhere.
            ask(&mut recall, &RelPath::root())?;
        }
    }
    let alone = match (wanted.under.is_root(), recall.has_moves()) {
        (true, _) | (_, true) => None,
        (false, false) => {
            let found = wanted.target.look(wanted.under, Depth::Stamp)?;
            let is_folder = found.as_ref().is_some_and(|found| found.seen.shape.kind == Kind::Folder);
            (!is_folder).then_some(found)
        }
    };
    match alone {
        Some(Some(found)) => recall.lies(wanted.under, &found.stamp, &found.seen)?,
        // Only what was in it, if it was a folder.
        Some(None) => {}
        None => {
            let everywhere = recall.has_moves() || wanted.under.is_root();
            let mut broken = None;
            wanted.target.list(&mut |page| {
                let asked = page
                    .entries
                    .iter()
                    .filter(|(path, _)| everywhere || path == wanted.under || wanted.under.is_above(path));
                for (path, remote) in asked {
                    told();
                    broken = broken.take().or(recall.lies(path, &remote.stamp, &remote.seen).err());
                }
                broken.is_none()
            })?;
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
    }
    let (files, bytes) = recall.put_together(wanted.under)?;
    counts.files.store(files, Ordering::Relaxed);
    counts.bytes.store(bytes, Ordering::Relaxed);
    Ok(recall)
}
