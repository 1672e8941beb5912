//! What a `statx` says, in our words.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Statx};

use crate::model::{Acl, Digest, Kind, Meta, Shape, Stat, Wall};
use crate::sys::{fskind, raw};

/// A device number as one comparable value.
pub fn device(st: &Statx) -> u64 {
    (u64::from(st.stx_dev_major) << 32) | u64::from(st.stx_dev_minor)
}

/// What is carried with the content, but for the list, of which a `statx` does not tell: only links have none for certain.
pub fn meta(st: &Statx) -> Meta {
    Meta {
        mode: u32::from(st.stx_mode) & 0o7777,
        mtime: Wall::from_parts(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec),
        uid: st.stx_uid,
        gid: st.stx_gid,
        acl: if is_link(st) { Acl::Plain } else { Acl::NotKnown },
    }
}

/// True for a symbolic link.
pub fn is_link(st: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(st.stx_mode)) == FileType::Symlink
}

/// Kind and length; `Err` names what it is if it can never be mirrored.
pub fn shape(st: &Statx) -> Result<Shape, &'static str> {
    let kind = match FileType::from_raw_mode(u32::from(st.stx_mode)) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Directory => return Ok(Shape { kind: Kind::Folder, len: 0 }),
        FileType::Fifo => return Err("FIFO"),
        FileType::Socket => return Err("socket"),
        FileType::CharacterDevice => return Err("character device"),
        FileType::BlockDevice => return Err("block device"),
        FileType::Unknown => return Err("unknown kind of file"),
    };
    Ok(Shape { kind, len: st.stx_size })
}

/// The whole look; `root_device` tells mounts inside the share. `Err` names what can never be mirrored.
pub fn stat(st: &Statx, root_device: u64) -> Result<Stat, &'static str> {
    let shape = shape(st)?;
    Ok(Stat {
        shape,
        ino: st.stx_ino,
        ctime: Wall::from_parts(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec),
        meta: meta(st),
        nlink: st.stx_nlink,
        mounted: shape.kind == Kind::Folder && device(st) != root_device,
    })
}

/// Says which mount it is whose root lies there, in the place of its root's inode number. Where nobody tells, that stays.
pub fn name_mount(stat: &mut Stat, folder: BorrowedFd<'_>) {
    if let Ok(mark) = root_mark(folder) {
        stat.ino = number(&[mark.to_le_bytes(), stat.ino.to_le_bytes()].concat()) | Stat::OF_MOUNT;
    }
}

/// What tells the root that is open from another with the same inode number: the id of its file system, as `statfs` gives it.
///
/// NFS gives none, and its server may put another file system behind the same mount, on which the first folders bear the same
/// inode numbers: there it is a digest of the server's own handle ([`raw::file_handle`]).
pub fn root_mark(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let id = rustix::fs::fstatvfs(fd)?.f_fsid;
    if id == 0 && fskind::is_nfs(fd)? {
        return Ok(raw::file_handle(fd).map_or(0, |handle| number(&handle)));
    }
    Ok(id)
}

/// The first 64 bits of a digest.
fn number(bytes: &[u8]) -> u64 {
    Digest::of(bytes).0[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
