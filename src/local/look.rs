//! A direct look at a few paths of the share.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::local::root::open_bound;
use crate::local::trouble::trouble;
use crate::local::{Found, Ignore, Looked, RootId};
use crate::model::{Kind, ReadFault, RelPath, Stat};
use crate::sys::cause::{Cause, cause};
use crate::sys::{acl, beneath, stat};

/// Looks at each of `paths`, in order. The error says why nothing can be said of any of them: the share is offline.
///
/// Nothing lies at a path if a folder above it is missing, is a file, or is a link by now.
pub fn look(root: &Path, id: &RootId, ignore: &Ignore, paths: &[RelPath]) -> Result<Vec<Looked>, String> {
    let fd = open_bound(root, id)?;
    let offline = |error: io::Error| format!("the share's folder {} cannot be looked at: {error}", root.display());
    let device = stat::device(&beneath::stat_fd(fd.as_fd()).map_err(offline)?);
    let lists = acl::are_known(fd.as_fd());
    let looked = paths.iter().map(|path| look_at(fd.as_fd(), device, ignore, path, lists)).collect();
    open_bound(root, id)?;
    Ok(looked)
}

/// Where a link of the share points to.
pub fn read_link(root: &Path, id: &RootId, path: &RelPath) -> Result<Box<[u8]>, ReadFault> {
    let fd = open_bound(root, id).map_err(ReadFault::Offline)?;
    let result = beneath::read_link(fd.as_fd(), path);
    open_bound(root, id).map_err(ReadFault::Offline)?;
    let error = match result {
        Ok(to) => return Ok(to.into()),
        Err(error) => error,
    };
    match cause(&error) {
        Cause::Gone => Err(ReadFault::Absent),
        _ if beneath::stat(fd.as_fd(), path).is_ok_and(|st| !stat::is_link(&st)) => Err(ReadFault::Changed),
        _ => Err(ReadFault::Troubled(trouble("read the link", &error))),
    }
}

fn look_at(root: BorrowedFd<'_>, device: u64, ignore: &Ignore, path: &RelPath, lists: bool) -> Looked {
    if ignore.ignores_below(path) {
        return Looked::Absent;
    }
    let st = match beneath::stat(root, path) {
        Ok(st) => st,
        Err(error) if cause(&error) == Cause::Gone => return Looked::Absent,
        Err(error) => return Looked::Found(Found::Troubled(trouble("look at it", &error))),
    };
    match stat::stat(&st, device) {
        Err(special) => Looked::Found(Found::Special(special)),
        Ok(stat) => match stat.shape.kind {
            Kind::Folder if ignore.ignores(path, true) => Looked::Absent,
            // A file's list is read with the file.
            Kind::File => Looked::Found(Found::Plain(stat)),
            Kind::Folder if lists || stat.mounted => look_at_folder(root, path, stat, lists),
            Kind::Folder => Looked::Found(Found::Plain(stat)),
            Kind::Symlink => look_at_link(root, path, stat),
        },
    }
}

/// RACE: its list is read after its times. A list that is set in between is told with the older times, and once more with the
/// newer ones, because the next look finds them moved.
fn look_at_folder(root: BorrowedFd<'_>, path: &RelPath, mut stat: Stat, lists: bool) -> Looked {
    let read = beneath::open_folder(root, path).and_then(|folder| {
        if is_mount_point(root, path, &stat, folder.as_fd()) {
            stat::name_mount(&mut stat, folder.as_fd());
        }
        if lists { acl::read(folder.as_fd()) } else { Ok(stat.meta.acl) }
    });
    match read {
        Ok(acl) => stat.meta.acl = acl,
        Err(error) if cause(&error) == Cause::Gone => return Looked::Absent,
        // What may not be entered is told by whoever has to read what is in it.
        Err(_) => {}
    }
    Looked::Found(Found::Plain(stat))
}

/// True for the root of a file system that is mounted inside the share; what lies in one is on that file system too.
pub(super) fn is_mount_point(root: BorrowedFd<'_>, path: &RelPath, stat: &Stat, folder: BorrowedFd<'_>) -> bool {
    let above = || path.parent().map(|above| beneath::stat(root, &above));
    stat.mounted
        && match (above(), beneath::stat_fd(folder)) {
            (Some(Ok(above)), Ok(here)) => stat::device(&above) != stat::device(&here),
            // Right below the root, whose device it does not have.
            (None, _) => true,
            (Some(Err(_)), _) | (_, Err(_)) => false,
        }
}

fn look_at_link(root: BorrowedFd<'_>, path: &RelPath, stat: Stat) -> Looked {
    match beneath::read_link(root, path) {
        Ok(to) => Looked::Found(Found::Link(stat, to.into())),
        Err(error) if cause(&error) == Cause::Gone => Looked::Absent,
        Err(error) => Looked::Found(Found::Troubled(trouble("read the link", &error))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::local::root_id;
    use crate::model::Shape;
    use crate::sys::testing::without_privileges;

    struct Share {
        dir: tempfile::TempDir,
        id: RootId,
    }

    fn share() -> Share {
        let dir = tempfile::tempdir().expect("a folder");
        let id = root_id(dir.path()).expect("there");
        Share { dir, id }
    }

    impl Share {
        fn look(&self, patterns: &[&str], path: impl AsRef<[u8]>) -> Looked {
            let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
            let ignore = Ignore::new(&patterns).expect("good");
            let path = RelPath::new(path).expect("fine");
            look(self.dir.path(), &self.id, &ignore, &[path]).expect("online").remove(0)
        }

        fn shape(&self, path: &str) -> Shape {
            match self.look(&[], path) {
                Looked::Found(Found::Plain(stat)) => stat.shape,
                other => panic!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn files_folders_and_links_are_seen_as_what_they_are() {
        let share = share();
        std::fs::write(share.dir.path().join("file"), b"12345").expect("written");
        std::fs::create_dir(share.dir.path().join("folder")).expect("made");
        symlink("/no/such", share.dir.path().join("link")).expect("linked");
        assert_eq!(share.shape("file"), Shape { kind: Kind::File, len: 5 });
        assert_eq!(share.shape("folder"), Shape { kind: Kind::Folder, len: 0 });
        assert_eq!(share.shape(""), Shape { kind: Kind::Folder, len: 0 });
        let Looked::Found(Found::Link(stat, to)) = share.look(&[], "link") else { panic!("no link") };
        assert_eq!((stat.shape.len, &*to), (8, &b"/no/such"[..]));
        let _socket = std::os::unix::net::UnixListener::bind(share.dir.path().join("socket")).expect("bound");
        assert_eq!(share.look(&[], "socket"), Looked::Found(Found::Special("socket")));
    }

    #[test]
    fn nothing_lies_below_a_missing_folder_a_file_or_a_link() {
        let share = share();
        std::fs::write(share.dir.path().join("file"), b"").expect("written");
        symlink("/etc", share.dir.path().join("link")).expect("linked");
        for path in ["no", "no/such", "file/x", "link/passwd"] {
            assert_eq!(share.look(&[], path), Looked::Absent, "{path}");
        }
    }

    #[test]
    fn what_is_ignored_is_absent() {
        let share = share();
        std::fs::create_dir_all(share.dir.path().join("build/a")).expect("made");
        std::fs::write(share.dir.path().join("~$x"), b"").expect("written");
        for path in ["build", "build/a", "~$x"] {
            assert_eq!(share.look(&["/build/"], path), Looked::Absent, "{path}");
        }
    }

    #[test]
    fn a_name_too_long_is_trouble_not_absence() {
        assert!(matches!(share().look(&[], "n".repeat(256)), Looked::Found(Found::Troubled(_))));
    }

    #[test]
    fn what_lies_in_a_folder_that_may_not_be_entered_is_troubled() {
        let share = share();
        std::fs::create_dir(share.dir.path().join("closed")).expect("made");
        std::fs::set_permissions(share.dir.path().join("closed"), std::fs::Permissions::from_mode(0o000))
            .expect("changed");
        let looked = without_privileges(|| share.look(&[], "closed/x"));
        assert!(
            matches!(&looked, Looked::Found(Found::Troubled(why)) if why.hint.contains("agent's user")),
            "{looked:?}"
        );
    }

    #[test]
    fn of_another_root_nothing_is_said() {
        let (share, other) = (share(), share());
        let ignore = Ignore::new(&[]).expect("good");
        let path = RelPath::new("x").expect("fine");
        assert!(look(share.dir.path(), &other.id, &ignore, std::slice::from_ref(&path)).is_err());
        assert!(matches!(read_link(share.dir.path(), &other.id, &path), Err(ReadFault::Offline(_))));
    }

    #[test]
    fn a_link_is_read_and_a_file_in_its_place_is_told() {
        let share = share();
        symlink(std::ffi::OsStr::new("to"), share.dir.path().join("link")).expect("linked");
        std::fs::write(share.dir.path().join("file"), b"").expect("written");
        let read = |name: &str| read_link(share.dir.path(), &share.id, &RelPath::new(name).expect("fine"));
        assert_eq!(read("link"), Ok(b"to"[..].into()));
        assert_eq!(read("file"), Err(ReadFault::Changed));
        assert_eq!(read("none"), Err(ReadFault::Absent));
    }
}
