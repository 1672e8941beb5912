//! Looking: one path, or all of them. Nothing here changes anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{Acl, Digest, Kind, RESERVED, RelPath, Seen, Stamp, Wall};
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{acl, beneath, stat};
use crate::target::{Depth, Page, Remote, TargetError};

use super::fault::{Outcome, Refusal, is, says_absent};
use super::identity::Place;

/// Entries of one page.
const PAGE_MAX: usize = 4096;
/// How often a file that changes while it is read is begun again.
const TRIES: u32 = 3;

/// The stamp of what an `lstat` showed: inode, mtime, ctime and size; for a folder its inode alone, so that what happens
/// inside it does not move it.
pub(super) fn stamp(st: &Statx) -> Stamp {
    if stat::shape(st).is_ok_and(|shape| shape.kind == Kind::Folder) {
        return Stamp([&b"F"[..], &st.stx_ino.to_be_bytes()].concat().into());
    }
    let time = |seconds, nanos| Wall::from_parts(seconds, nanos).0.to_be_bytes();
    let mtime = time(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec);
    let ctime = time(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec);
    let parts = [st.stx_ino.to_be_bytes(), mtime, ctime, st.stx_size.to_be_bytes()];
    Stamp(parts.concat().into())
}

/// Whether this is the version that `wanted` names, apart from its ctime: a rename moves that.
pub(super) fn is_version(st: &Statx, wanted: &Stamp) -> bool {
    let (here, wanted) = (&stamp(st).0, &wanted.0);
    let but_ctime = |bytes: &[u8]| [&bytes[..16], &bytes[24..]].concat();
    here == wanted || (here.len() == 32 && wanted.len() == 32 && but_ctime(here) == but_ctime(wanted))
}

/// Looks at one path.
pub(super) fn look(place: &Place, path: &RelPath, depth: Depth) -> Outcome<Option<Remote>> {
    if path.is_reserved() || path.is_root() {
        return Err(Refusal::unfit("this name is the target's own", "rename it on the share"));
    }
    let parent = match beneath::open_parent(place.root(), path) {
        Err(err) if says_absent(&err) => return Ok(None),
        result => result?,
    };
    let at = Spot::new(&parent, path.name());
    for _ in 0..TRIES {
        let st = match sys::lstat(at) {
            Err(err) if says_absent(&err) => return Ok(None),
            result => result?,
        };
        if let Some(remote) = look_at(at, &st, depth)? {
            return Ok(Some(with_list(place, at, remote)));
        }
    }
    Err(Refusal::stale("it changes while it is read"))
}

/// The same, with its access control list.
///
/// RACE: a list that is set between the look and this is told with the stamp of the version before. The stamp that the next
/// look finds is another, and then it is told again.
fn with_list(place: &Place, at: Spot<'_>, mut remote: Remote) -> Remote {
    let meta = &mut remote.seen.meta;
    if place.lists && meta.acl == Acl::NotKnown {
        meta.acl = acl::read_at(at.folder, at.name.as_encoded_bytes()).unwrap_or(Acl::NotKnown);
    }
    remote
}

/// `None` if it changed meanwhile.
fn look_at(at: Spot<'_>, st: &Statx, depth: Depth) -> Outcome<Option<Remote>> {
    let shape = stat::shape(st).map_err(|what| {
        Refusal::unfit(format!("a {what} lies in its place"), "move it away on the target: driftline does not touch it")
    })?;
    let digest = match (shape.kind, depth) {
        (Kind::Folder, _) => None,
        (Kind::Symlink, _) => Some(digest_of_link(at)),
        (Kind::File, Depth::Stamp) => None,
        (Kind::File, Depth::Content) => Some(digest_of_file(at, st, false)),
        (Kind::File, Depth::Bytes) => Some(digest_of_file(at, st, true)),
    };
    let remote = |digest| Remote { stamp: stamp(st), seen: Seen { shape, digest, meta: stat::meta(st) } };
    match digest.transpose() {
        Ok(None) => Ok(Some(remote(None))),
        // The same before and after, so that what was read is what the stamp names.
        Ok(digest) => Ok((stamp(&sys::lstat(at)?) == stamp(st)).then(|| remote(digest))),
        Err(err) if [Errno::NOENT, Errno::LOOP, Errno::INVAL].iter().any(|code| is(&err, *code)) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn digest_of_link(at: Spot<'_>) -> io::Result<Digest> {
    Ok(Digest::of(&sys::read_link(at)?))
}

/// `ENOENT` if what is opened is not what was seen.
fn digest_of_file(at: Spot<'_>, seen: &Statx, afresh: bool) -> io::Result<Digest> {
    let file = sys::open_file(at)?;
    if stamp(&beneath::stat_fd(file.as_fd())?) != stamp(seen) {
        return Err(Errno::NOENT.into());
    }
    if afresh {
        sys::forget_cached(file.as_fd());
    }
    Digest::of_all(file)
}

/// Lists all, folder by folder, until `page` returns false. A folder that cannot be read ends it with an error.
pub(super) fn list(place: &Place, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
    let mut open = vec![RelPath::root()];
    while let Some(path) = open.pop() {
        let listed = list_folder(place, &path, &mut open, page);
        if !listed.map_err(|refusal| refusal.into_error("list", Some(&path)))? {
            break;
        }
    }
    Ok(())
}

/// False if `page` wants no more.
fn list_folder(
    place: &Place,
    path: &RelPath,
    open: &mut Vec<RelPath>,
    page: &mut dyn FnMut(Page) -> bool,
) -> Outcome<bool> {
    let empty = || Page { folder: Some(path.clone()), ..Page::default() };
    let mut current = empty();
    let mut more = true;
    match beneath::open_folder(place.root(), path) {
        Ok(folder) => sys::each_name(&folder, |name| {
            if path.is_root() && name == RESERVED {
                return Ok(true);
            }
            if current.entries.len() + current.strange.len() == PAGE_MAX {
                more = page(std::mem::replace(&mut current, empty()));
            }
            add(place, &folder, path, name, &mut current, open)?;
            Ok(more)
        })?,
        // Gone since its own folder was read: nothing lies in it.
        Err(err) if says_absent(&err) => {}
        Err(err) => return Err(err.into()),
    }
    current.last_of_folder = true;
    Ok(more && page(current))
}

fn add(
    place: &Place,
    folder: &OwnedFd,
    path: &RelPath,
    name: &[u8],
    page: &mut Page,
    open: &mut Vec<RelPath>,
) -> io::Result<()> {
    let at = Spot::new(folder, name);
    let child = path.join(name).map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
    let st = match sys::lstat(at) {
        Err(err) if is(&err, Errno::NOENT) => return Ok(()),
        result => result?,
    };
    match look_at(at, &st, Depth::Stamp) {
        Ok(Some(remote)) => {
            // Of a file that matters, the content is read, and its list with it.
            let remote = if remote.seen.shape.kind == Kind::Folder {
                open.push(child.clone());
                with_list(place, at, remote)
            } else {
                remote
            };
            page.entries.push((child, remote));
            Ok(())
        }
        // It changes at this moment: as strange as it gets, since leaving it out would say that it is absent.
        Ok(None) | Err(Refusal::Own { .. }) => {
            page.strange.push(child.to_string());
            Ok(())
        }
        Err(Refusal::Io(err)) => Err(err),
    }
}
