//! What sort of file system lies somewhere: whether a watch there sees what others do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::sys::{beneath, mounts};

/// What sort of file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// A disk of this machine.
    Local,
    /// In memory: gone after a restart.
    Memory,
    /// On another machine: changes made there are not seen by a watch here.
    Network(&'static str),
    /// A program's own, by the type that it gave itself (`fuse.sshfs`); plain `fuse` if it gave none.
    Fuse(String),
}

/// Numbers from `statfs`, see `include/uapi/linux/magic.h`.
const NETWORKS: &[(u32, &str)] = &[
    (NFS, "NFS"),
    (0x0000_517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x7375_7245, "Coda"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x786F_4256, "VirtualBox shared folder"),
    (0xBACB_ACBC, "VMware shared folder"),
    (0x00C0_FFEE, "host's file system"),
];

const NFS: u32 = 0x6969;

const FUSE: u32 = 0x6573_5546;

const MEMORIES: &[u32] = &[0x0102_1994, 0x8584_58F6];

/// Programs' file systems that only this machine changes.
const LOCAL_FUSE: &[&str] = &[
    "fuseblk",
    "fuse.bindfs",
    "fuse.cryfs",
    "fuse.encfs",
    "fuse.exfat",
    "fuse.ext4",
    "fuse.gocryptfs",
    "fuse.lxcfs",
    "fuse.mergerfs",
    "fuse.ntfs-3g",
    "fuse.unionfs",
];

impl FsKind {
    /// True if others may change it without this machine's kernel knowing. A program's file system that is not known
    /// counts as such.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Local | Self::Memory => false,
            Self::Network(_) => true,
            Self::Fuse(name) => !LOCAL_FUSE.contains(&name.as_str()),
        }
    }

    /// A name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Memory => "memory",
            Self::Network(name) => name,
            Self::Fuse(name) => name,
        }
    }
}

/// What lies at the folder `path`.
pub fn kind(path: &Path) -> io::Result<FsKind> {
    let folder = beneath::open_root(path)?;
    let magic = magic(&rustix::fs::fstatfs(&folder)?);
    if magic != FUSE {
        return Ok(by_magic(magic));
    }
    let mounted = mounts::of(folder.as_fd()).ok().flatten();
    Ok(FsKind::Fuse(mounted.map_or_else(|| "fuse".to_owned(), |mounted| mounted.kind)))
}

/// True for what lies on NFS.
pub fn is_nfs(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(magic(&rustix::fs::fstatfs(fd)?) == NFS)
}

/// The type is a machine word, and CIFS's number has the top bit of 32 set.
fn magic(st: &rustix::fs::StatFs) -> u32 {
    st.f_type as u32
}

fn by_magic(magic: u32) -> FsKind {
    if let Some((_, name)) = NETWORKS.iter().find(|(number, _)| *number == magic) {
        return FsKind::Network(name);
    }
    if MEMORIES.contains(&magic) { FsKind::Memory } else { FsKind::Local }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_the_networks() {
        assert_eq!(by_magic(0x6969), FsKind::Network("NFS"));
        assert_eq!(by_magic(0xFF53_4D42), FsKind::Network("CIFS"));
        assert_eq!(by_magic(0xEF53), FsKind::Local);
        assert_eq!(by_magic(0x0102_1994), FsKind::Memory);
        assert!(by_magic(0x0102_1997).is_network());
        assert!(!by_magic(0xEF53).is_network());
    }

    #[test]
    fn an_unknown_programs_file_system_counts_as_a_network() {
        assert!(FsKind::Fuse("fuse.sshfs".into()).is_network());
        assert!(FsKind::Fuse("fuse".into()).is_network());
        assert!(!FsKind::Fuse("fuseblk".into()).is_network());
    }

    #[test]
    fn the_processes_folder_is_no_network() {
        assert_eq!(kind(Path::new("/proc")).expect("mounted"), FsKind::Local);
        assert!(kind(Path::new("/no such folder")).is_err());
    }
}
