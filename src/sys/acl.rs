//! POSIX access control lists as Linux keeps them: in two extended attributes, one of which only folders have.
//!
//! NFSv4, SMB and FAT know none; what they know instead is not read. Reading is one call where there is no list, which is
//! nearly everywhere.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::model::Acl;

/// What holds for the thing itself.
const OWN: &str = "system.posix_acl_access";
/// What a folder hands on to what is made in it.
const HANDED_ON: &str = "system.posix_acl_default";

/// Names of attributes that are read at once (bytes); most things have none, or a few.
const NAMES_ROOM: usize = 1024;
/// Longest list that Linux hands out (bytes): `XATTR_SIZE_MAX`.
const LIST_ROOM: usize = 64 * 1024;

/// Whether the file system knows such lists.
pub fn are_known(fd: BorrowedFd<'_>) -> bool {
    let mut room = [0; 4];
    match rustix::fs::fgetxattr(fd, OWN, &mut room[..]) {
        Ok(_) => true,
        Err(errno) => !matches!(errno, Errno::OPNOTSUPP | Errno::NOSYS),
    }
}

/// The list of what is open; not for a bare handle.
pub fn read(fd: BorrowedFd<'_>) -> io::Result<Acl> {
    let mut names = [0; NAMES_ROOM];
    let listed = rustix::fs::flistxattr(fd, &mut names[..]);
    read_if_any(listed, &names, &|name, room| rustix::fs::fgetxattr(fd, name, room))
}

/// The list of one name in a folder. `ENOENT` where `/proc` is not mounted.
pub fn read_at(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Acl> {
    let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
    let mut names = [0; NAMES_ROOM];
    let listed = rustix::fs::llistxattr(&path[..], &mut names[..]);
    read_if_any(listed, &names, &|name, room| rustix::fs::lgetxattr(&path[..], name, room))
}

type Get<'a> = &'a dyn Fn(&str, &mut [u8]) -> Result<usize, Errno>;

fn read_if_any(listed: Result<usize, Errno>, names: &[u8], get: Get<'_>) -> io::Result<Acl> {
    let is_there = |wanted: &str| match listed {
        Ok(len) => names[..len].split(|byte| *byte == 0).any(|name| name == wanted.as_bytes()),
        // More names than there is room for: it is simply asked for.
        Err(Errno::RANGE) => true,
        Err(_) => false,
    };
    match listed {
        Ok(_) | Err(Errno::RANGE) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Acl::NotKnown),
        Err(errno) => return Err(errno.into()),
    }
    let read = |name: &str| if is_there(name) { read_one(name, get) } else { Ok(None) };
    let (own, handed_on) = (read(OWN)?, read(HANDED_ON)?);
    Ok(Acl::from_system(own.as_deref(), handed_on.as_deref()).unwrap_or(Acl::NotKnown))
}

fn read_one(name: &str, get: Get<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut room = vec![0; LIST_ROOM];
    match get(name, &mut room) {
        Ok(len) => {
            room.truncate(len);
            Ok(Some(room))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives a file or folder this list, by any handle but that of a link. Its permission bits follow the list. What is not known
/// is left as it is.
pub fn set(fd: BorrowedFd<'_>, acl: Acl) -> io::Result<()> {
    if acl == Acl::NotKnown {
        return Ok(());
    }
    let now = of_handle(fd)?;
    if now == acl {
        return Ok(());
    }
    let ((own, handed_on), (has_own, has_handed_on)) = (acl.to_system(), now.to_system());
    set_one(fd, OWN, own.as_deref(), has_own.is_some())?;
    set_one(fd, HANDED_ON, handed_on.as_deref(), has_handed_on.is_some())
}

fn set_one(fd: BorrowedFd<'_>, name: &str, list: Option<&[u8]>, has_one: bool) -> io::Result<()> {
    // A handle without the right to read: the kernel takes its name under /proc instead.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let (path, flags) = (path.as_str(), XattrFlags::empty());
    let result = match list {
        Some(list) => match rustix::fs::fsetxattr(fd, name, list, flags) {
            Err(Errno::BADF) => rustix::fs::setxattr(path, name, list, flags),
            result => result,
        },
        None if has_one => match rustix::fs::fremovexattr(fd, name) {
            Err(Errno::BADF) => rustix::fs::removexattr(path, name),
            result => result,
        },
        None => Ok(()),
    };
    Ok(result?)
}

/// By any handle but that of a link.
fn of_handle(fd: BorrowedFd<'_>) -> io::Result<Acl> {
    match read(fd) {
        Err(err) if Errno::from_io_error(&err) == Some(Errno::BADF) => {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let mut names = [0; NAMES_ROOM];
            let listed = rustix::fs::listxattr(path.as_str(), &mut names[..]);
            read_if_any(listed, &names, &|name, room| rustix::fs::getxattr(path.as_str(), name, room))
        }
        result => result,
    }
}

/// True if the error says that the file system knows no such list, or that it may not be set here.
pub fn is_refusal(err: &io::Error) -> bool {
    let refusals = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::TOOBIG];
    Errno::from_io_error(err).is_some_and(|errno| refusals.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::beneath;
    use crate::sys::publish::{Spot, open_handle};

    const OF_FILE: &str = "u::rw-,u:7:r--,g::r--,m::r--,o::---";
    const OF_FOLDER: &str = "u::rwx,g::r-x,g:50:rwx,m::rwx,o::---,d:u::rwx,d:g::r-x,d:g:50:rwx,d:m::rwx,d:o::---";

    fn list(text: &str) -> Acl {
        Acl::parse(text).expect("a list")
    }

    #[test]
    fn what_is_set_is_read_by_handle_and_by_name_and_can_be_taken_away() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("file"), b"x").expect("written");
        std::fs::create_dir(dir.path().join("folder")).expect("made");
        let root = beneath::open_root(dir.path()).expect("open");
        if !are_known(root.as_fd()) {
            return;
        }
        for (name, text) in [("file", OF_FILE), ("folder", OF_FOLDER)] {
            let at = Spot::new(&root, name.as_bytes());
            let open = std::fs::File::open(dir.path().join(name)).expect("open");
            let bare = open_handle(at).expect("a handle");
            for handle in [open.as_fd(), bare.as_fd()] {
                set(handle, list(text)).expect("set");
                assert_eq!(read(open.as_fd()).expect("read"), list(text), "{name}");
                assert_eq!(read_at(root.as_fd(), name.as_bytes()).expect("read"), list(text), "{name}");
                set(handle, Acl::NotKnown).expect("nothing to do");
                assert_eq!(read(open.as_fd()).expect("read"), list(text), "{name}");
                set(handle, Acl::Plain).expect("taken away");
                assert_eq!(read(open.as_fd()).expect("read"), Acl::Plain, "{name}");
            }
        }
    }
}
