//! What lay here before: told from the ledger and from history, and read.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{Acl, Digest, Kept, Kind, Meta, Past, RelPath, Seen, Wall, Was, Which};
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{acl, beneath, stat};
use crate::target::version_name::told;
use crate::target::{Piece, ReadError, Take};

use super::fault::{Outcome, Refusal, is, says_absent};
use super::identity::Place;
use super::listing::stamp;
use super::publish::{changed, gone};
use super::{history, ledger};

/// Bytes read at once.
const ROOM: usize = 256 * 1024;

/// See [`crate::target::Target::past`].
pub(super) fn tell(place: &Place, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Outcome<()> {
    let is_asked = |path: &RelPath| path == under || under.is_above(path);
    let more = ledger::tell(place, after, &mut |past| match &past {
        Past::Changed { path, .. } if !is_asked(path) => true,
        Past::Changed { .. } | Past::Moved { .. } => each(past),
    })?;
    let mut open = vec![under.clone()];
    while let Some(path) = open.pop().filter(|_| more) {
        let folder = match beneath::open_folder(place.root(), &history::folder(&path)) {
            Ok(folder) => folder,
            Err(err) if says_absent(&err) => continue,
            Err(err) => return Err(err.into()),
        };
        if !versions(&folder, &path, after, &mut open, each)? {
            break;
        }
    }
    Ok(())
}

/// The versions of one path, and the names below it that have some. False if `each` wants no more.
fn versions(
    folder: &OwnedFd,
    path: &RelPath,
    after: Wall,
    open: &mut Vec<RelPath>,
    each: &mut dyn FnMut(Past) -> bool,
) -> Outcome<bool> {
    let mut more = true;
    sys::each_name(folder, |name| {
        let st = match sys::lstat(Spot::new(folder, name)) {
            // Pruned meanwhile.
            Err(err) if is(&err, Errno::NOENT) => return Ok(true),
            result => result?,
        };
        match (stat::shape(&st), told(name)) {
            (Ok(shape), _) if shape.kind == Kind::Folder => open.extend(path.join(name)),
            (Ok(shape), Some((at, begins))) if at > after && !path.is_root() => {
                let seen = Seen { shape, digest: None, meta: stat::meta(&st) };
                let was = Was::Version(Kept { which: Which::Kept(name.into()), seen, begins, stamp: None });
                more = each(Past::Changed { path: path.clone(), at, was });
            }
            _ => {}
        }
        Ok(more)
    })?;
    Ok(more)
}

/// See [`crate::target::Target::read`].
pub(super) fn read(place: &Place, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
    let failed = |refusal: Refusal| refusal.into_error("read", Some(path));
    let (folder, name) = match which {
        Which::Now(_) => (path.parent().unwrap_or_else(RelPath::root), path.name()),
        Which::Kept(name) => (history::folder(path), &**name),
    };
    let folder = beneath::open_folder(place.root(), &folder);
    let folder = folder.map_err(|err| failed(if says_absent(&err) { gone() } else { err.into() }))?;
    let at = Spot::new(&folder, name);
    let st = sys::lstat(at).map_err(|err| failed(if says_absent(&err) { gone() } else { err.into() }))?;
    let is_meant = |st: &Statx| match which {
        Which::Now(wanted) => stamp(st) == *wanted,
        Which::Kept(_) => true,
    };
    if !is_meant(&st) {
        return Err(failed(changed()).into());
    }
    let shape = stat::shape(&st).map_err(|what| failed(Refusal::stale(format!("a {what} lies in its place"))))?;
    match shape.kind {
        Kind::Folder => {
            let handle = sys::open_folder(at).map_err(|err| failed(err.into()))?;
            let meta = with_list(place, handle.as_fd(), stat::meta(&st)).map_err(|err| failed(err.into()))?;
            take(Piece::Head(&Seen { shape, digest: None, meta })).map_err(ReadError::Taker)?;
        }
        Kind::Symlink => {
            let to = sys::read_link(at).map_err(|err| failed(err.into()))?;
            let seen = Seen { shape, digest: Some(Digest::of(&to)), meta: stat::meta(&st) };
            if take(Piece::Head(&seen)).map_err(ReadError::Taker)? {
                take(Piece::Bytes(&to)).map_err(ReadError::Taker)?;
            }
        }
        Kind::File => read_file(place, at, &st, &is_meant, path, take)?,
    }
    Ok(())
}

/// The same, with the access control list.
fn with_list(place: &Place, open: BorrowedFd<'_>, meta: Meta) -> io::Result<Meta> {
    let acl = if place.lists { acl::read(open)? } else { Acl::NotKnown };
    Ok(Meta { acl, ..meta })
}

fn read_file(
    place: &Place,
    at: Spot<'_>,
    st: &Statx,
    is_meant: &dyn Fn(&Statx) -> bool,
    path: &RelPath,
    take: Take<'_>,
) -> Result<(), ReadError> {
    let failed = |refusal: Refusal| refusal.into_error("read", Some(path));
    let io_failed = |err: io::Error| failed(err.into());
    let mut file = sys::open_file(at).map_err(io_failed)?;
    let opened = beneath::stat_fd(file.as_fd()).map_err(io_failed)?;
    if opened.stx_ino != st.stx_ino || !is_meant(&opened) {
        return Err(failed(changed()).into());
    }
    let shape = stat::shape(&opened).map_err(|what| failed(Refusal::stale(what)))?;
    let meta = with_list(place, file.as_fd(), stat::meta(&opened)).map_err(io_failed)?;
    if !take(Piece::Head(&Seen { shape, digest: None, meta })).map_err(ReadError::Taker)? {
        return Ok(());
    }
    let mut room = vec![0; ROOM];
    loop {
        match file.read(&mut room) {
            Ok(0) => break,
            Ok(len) if take(Piece::Bytes(&room[..len])).map_err(ReadError::Taker)? => {}
            Ok(_) => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(io_failed(err).into()),
        }
    }
    // The same before and after, so that what was read is one version.
    let now = beneath::stat_fd(file.as_fd()).map_err(io_failed)?;
    if stamp(&now) == stamp(&opened) { Ok(()) } else { Err(failed(changed()).into()) }
}
