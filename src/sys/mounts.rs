//! What is mounted where, as the kernel tells it in `/proc/self/mountinfo` (see `proc_pid_mountinfo(5)`).

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::beneath;

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// The type of its file system, as it was mounted: `nfs4`, `fuse.sshfs`.
    pub kind: String,
    /// What is mounted: `192.0.2.2:/`.
    pub source: String,
    options: Vec<String>,
}

impl Mounted {
    /// Whether it bears this option, which has no value.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// The value of an option; the last one counts.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().rev().find_map(|known| known.strip_prefix(option)?.strip_prefix('='))
    }
}

/// The mount that an open folder lies on; `None` if the kernel names none for its device.
pub fn of(folder: BorrowedFd<'_>) -> io::Result<Option<Mounted>> {
    let st = beneath::stat_fd(folder)?;
    let device = format!("{}:{}", st.stx_dev_major, st.stx_dev_minor);
    Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?, &device))
}

/// What was mounted last from `device` ("major:minor").
pub(super) fn parse(mounts: &str, device: &str) -> Option<Mounted> {
    let mine = mounts.lines().rfind(|line| line.split(' ').nth(2) == Some(device))?;
    let (here, there) = mine.split_once(" - ")?;
    let mut there = there.split(' ');
    let (kind, source) = (there.next()?.to_owned(), there.next()?.to_owned());
    let of_here = here.split(' ').nth(5)?.split(',');
    let options = of_here.chain(there.next().unwrap_or_default().split(',')).map(str::to_owned).collect();
    Some(Mounted { kind, source, options })
}

/// A mount that nobody made.
#[cfg(test)]
pub fn for_tests(kind: &str, source: &str, options: &str) -> Mounted {
    let options = options.split(',').map(str::to_owned).collect();
    Mounted { kind: kind.to_owned(), source: source.to_owned(), options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_mount_and_of_its_file_system_are_read() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      40 22 0:51 / /mnt/a\\040b rw,nosuid shared:7 master:2 - nfs4 192.0.2.2:/ rw,vers=4.1,hard,addr=192.0.2.2\n";
        let found = parse(mounts, "0:51").expect("there");
        assert_eq!((&*found.kind, &*found.source), ("nfs4", "192.0.2.2:/"));
        assert!(found.has("hard") && found.has("nosuid") && !found.has("vers") && !found.has("soft"));
        assert_eq!(
            (found.value("vers"), found.value("addr"), found.value("hard")),
            (Some("4.1"), Some("192.0.2.2"), None)
        );
        assert_eq!(parse(mounts, "8:1").expect("there").kind, "ext4");
        assert_eq!(parse(mounts, "0:5"), None);
    }
}
