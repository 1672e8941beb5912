//! What was replaced or removed: `.driftline/history/<path>/<UTC time>-<first 8 hex of its digest>`.
//!
//! The digest in a name is what was believed to lie there (`00000000` if it was never read); the version itself is the
//! proof. An exchange that was cut off may leave a version there that was never visible: one too many, never one too few.

use std::os::fd::OwnedFd;

use crate::model::{Kind, RelPath, Wall};
use crate::plan::{self, Keep};
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::sys::{beneath, stat};

use crate::target::AskLies;
use crate::target::version_name::replaced_at;

use super::fault::{Outcome, is};
use super::identity::Place;
use super::ours;

/// The folder in which the versions of `path` lie.
pub(super) fn folder(path: &RelPath) -> RelPath {
    let history = ours(b"history");
    path.rebased(&RelPath::root(), &history).expect("every path lies at or below the root")
}

/// Removes versions that may go, and folders that are empty then.
pub(super) fn prune(place: &Place, keep: &Keep, lies: AskLies<'_>) -> Outcome<u64> {
    let mut removed = 0;
    let mut open = vec![(ours(b"history"), false)];
    while let Some((path, seen)) = open.pop() {
        if seen {
            drop_if_empty(place, &path)?;
            continue;
        }
        let folder = match beneath::open_folder(place.root(), &path) {
            Ok(folder) => folder,
            Err(err) if is(&err, Errno::NOENT) => continue,
            Err(err) => return Err(err.into()),
        };
        open.push((path.clone(), true));
        let old = versions(&folder, &path, &mut open)?;
        removed += drop_old(&folder, &path, old, (keep, lies))?;
    }
    Ok(removed)
}

/// The versions that lie in a folder of history, and when each was replaced. Its folders are opened later.
fn versions(folder: &OwnedFd, path: &RelPath, open: &mut Vec<(RelPath, bool)>) -> Outcome<Vec<(Vec<u8>, Wall)>> {
    let mut found = Vec::new();
    sys::each_name(folder, |name| {
        let st = match sys::lstat(Spot::new(folder, name)) {
            Err(err) if is(&err, Errno::NOENT) => return Ok(true),
            result => result?,
        };
        if stat::shape(&st).is_ok_and(|shape| shape.kind == Kind::Folder) {
            open.extend(path.join(name).map(|path| (path, false)));
        } else {
            found.extend(replaced_at(name).map(|at| (name.to_vec(), at)));
        }
        Ok(true)
    })?;
    Ok(found)
}

fn drop_old(
    folder: &OwnedFd,
    path: &RelPath,
    versions: Vec<(Vec<u8>, Wall)>,
    (keep, lies): (&Keep, AskLies<'_>),
) -> Outcome<u64> {
    let replaced: Vec<_> = versions.iter().map(|(_, at)| *at).collect();
    let Some(of) = path.rebased(&ours(b"history"), &RelPath::root()) else { return Ok(0) };
    if replaced.iter().all(|at| *at >= keep.before) {
        return Ok(0);
    }
    let go = plan::prune(&replaced, lies(&of), keep);
    for at in &go {
        sys::unlink(Spot::new(folder, &versions[*at].0))?;
    }
    Ok(go.len() as u64)
}

fn drop_if_empty(place: &Place, path: &RelPath) -> Outcome<()> {
    if *path == ours(b"history") {
        return Ok(());
    }
    let parent = beneath::open_parent(place.root(), path)?;
    match sys::rmdir(Spot::new(&parent, path.name())) {
        Err(err) if ![Errno::NOTEMPTY, Errno::EXIST, Errno::NOENT].iter().any(|code| is(&err, *code)) => {
            Err(err.into())
        }
        _gone_or_in_use => Ok(()),
    }
}
