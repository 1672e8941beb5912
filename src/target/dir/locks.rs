//! Locks among the agents that write to one directory: `.driftline/locks/<two hex digits>`, the file's lock for all paths
//! whose digest begins so. Over NFS they are the server's, so that they hold between machines, and end with the lease of a
//! machine that lost its power.
//!
//! They close what races the guards leave between agents, where names cannot be exchanged in one step: between the last look
//! and the rename nobody else changes the path. One agent alone takes none. Where a file system has no locks (`nolock`), the
//! guards are all there is.

use std::fs::File;
use std::os::fd::AsFd;

use crate::model::{Digest, RelPath};
use crate::sys::publish::{Errno, Spot, lock, open_folder, open_or_make, set_mode};

use super::fault::is;
use super::identity::{Place, made};
use super::ours;

/// Where they lie, below `.driftline`.
const FOLDER: &[u8] = b"locks";

/// Held until it is dropped.
pub(super) struct Locks {
    _files: Vec<File>,
}

/// Waits until no other agent changes any of these paths. Always in the same order, so that no two wait for each other.
pub(super) fn take(place: &Place, paths: &[&RelPath]) -> Locks {
    if !place.several {
        return Locks { _files: Vec::new() };
    }
    let mut names: Vec<_> = paths.iter().map(|path| format!("{:02x}", Digest::of(path.as_bytes()).0[0])).collect();
    names.sort_unstable();
    names.dedup();
    Locks { _files: names.iter().filter_map(|name| one(place, name)).collect() }
}

/// RACE: without a lock the guards alone stand between two agents: see where names are changed.
fn one(place: &Place, name: &str) -> Option<File> {
    let reserved = open_folder(Spot::new(&place.root(), ours(b"").as_bytes())).ok()?;
    let folder = match open_folder(Spot::new(&reserved, FOLDER)) {
        Err(err) if is(&err, Errno::NOENT) => {
            let (folder, newly) = made(&reserved, FOLDER).ok()?;
            if newly {
                // Other agents may work as other users.
                set_mode(folder.as_fd(), 0o1777).ok()?;
            }
            folder
        }
        opened => opened.ok()?,
    };
    let file = open_or_make(Spot::new(&folder, name.as_bytes()), 0o666).ok()?;
    lock(&file).ok()?;
    Some(file)
}
