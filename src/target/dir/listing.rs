//! Looking: one path, or all of them. Nothing here changes anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::model::{Acl, Digest, Kind, RESERVED, RelPath, Seen, Stamp, Wall};
use crate::sys::folder::Names;
use crate::sys::publish::{self as sys, Errno, Spot, Statx};
use crate::sys::{acl, beneath, stat};
use crate::target::{Depth, Page, REPORT, Remote, TargetError};

use super::fault::{Outcome, Refusal, is, says_absent};
use super::identity::Place;
use super::walk::{Folder, walk};

/// Entries of one page.
const PAGE_MAX: usize = 4096;
/// Folders read at once where each costs a few round trips (count): as many as there are calls under way otherwise.
const FAR_THREADS: usize = 16;
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
    names_version(&stamp(st), wanted)
}

/// Whether two stamps name one version, apart from its ctime.
pub(super) fn names_version(Stamp(here): &Stamp, Stamp(wanted): &Stamp) -> bool {
    let but_ctime = |bytes: &[u8]| [&bytes[..16], &bytes[24..]].concat();
    here == wanted || (here.len() == 32 && wanted.len() == 32 && but_ctime(here) == but_ctime(wanted))
}

/// Looks at one path.
pub(super) fn look(place: &Place, path: &RelPath, depth: Depth) -> Outcome<Option<Remote>> {
    if path.is_reserved() || path.is_root() {
        return Err(Refusal::unfit("this name is the target's own", REPORT));
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
        if !place.spells(path)? {
            return Ok(None);
        }
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
    let read = |folder: Folder, out: &mut dyn FnMut(Page) -> bool| {
        let path = folder.path.clone();
        list_folder(place, folder, out).map_err(|refusal| refusal.into_error("list", Some(&path)))
    };
    walk(if place.far { FAR_THREADS } else { 1 }, &read, page)
}

fn list_folder(place: &Place, folder: Folder, out: &mut dyn FnMut(Page) -> bool) -> Outcome<Vec<Folder>> {
    let Folder { path, open } = folder;
    let empty = || Page { folder: Some(path.clone()), ..Page::default() };
    let fd = match open.map_or_else(|| beneath::open_folder(place.root(), &path), Ok) {
        // Gone since its own folder was read: nothing lies in it.
        Err(err) if says_absent(&err) => {
            out(Page { last_of_folder: true, ..empty() });
            return Ok(Vec::new());
        }
        result => result?,
    };
    let (mut current, mut below, mut names) = (empty(), Vec::new(), Names::default());
    loop {
        let mut result = Ok(true);
        let more = names.next(fd.as_fd(), |name, _| {
            let full = current.entries.len() + current.strange.len() == PAGE_MAX;
            if full && matches!(result, Ok(true)) {
                result = Ok(out(std::mem::replace(&mut current, empty())));
            }
            if matches!(result, Ok(true)) && !(path.is_root() && name.to_bytes() == RESERVED) {
                result = add(place, &fd, &path, name.to_bytes(), &mut current, &mut below).map(|()| true);
            }
        })?;
        match result? {
            false => return Ok(Vec::new()),
            true if !more => break,
            // What lies in these comes first: they would be too many to remember.
            true if below.len() >= PAGE_MAX => {
                out(current);
                below.push(Folder { path, open: Some(fd) });
                below.reverse();
                return Ok(below);
            }
            true => {}
        }
    }
    current.last_of_folder = true;
    out(current);
    below.reverse();
    Ok(below)
}

fn add(
    place: &Place,
    folder: &OwnedFd,
    path: &RelPath,
    name: &[u8],
    page: &mut Page,
    below: &mut Vec<Folder>,
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
                below.push(Folder::new(child.clone()));
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Ways;
    use super::*;
    use crate::sys::testing::without_privileges;
    use crate::target::Fault;

    #[test]
    fn a_folder_that_may_not_be_read_ends_the_listing_with_an_error_and_has_no_page() {
        for ways in [Ways::Auto, Ways::Links] {
            let dir = tempfile::tempdir().expect("a folder");
            let closed = dir.path().join("closed");
            for folder in ["a", "b", "closed", "closed/below", "d"] {
                std::fs::create_dir(dir.path().join(folder)).expect("made");
                std::fs::write(dir.path().join(folder).join("file"), b"").expect("written");
            }
            std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("set");
            let (result, told) = without_privileges(|| {
                let place = Place::new(beneath::open_root(dir.path()).expect("open"), ways).expect("asked");
                let mut told = Vec::new();
                let result = list(&place, &mut |page| {
                    told.push(page.folder.expect("a folder's page").to_string());
                    true
                });
                (result, told)
            });
            std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("set");
            let error = result.expect_err("one cannot be read");
            assert_eq!((error.fault, error.path), (Fault::Denied, Some(RelPath::new("closed").expect("fine"))));
            assert!(told.iter().all(|folder| !folder.starts_with("closed")), "{told:?}");
        }
    }
}
