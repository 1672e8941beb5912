//! What is mounted where, as the kernel tells it in `/proc/self/mountinfo` (see `proc_pid_mountinfo(5)`), and what is to be,
//! as administrators wrote it down.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

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

/// A place at or above `path` (canonical) where something is to be mounted by `/etc/fstab` or a unit of systemd's, and nothing
/// is. Where neither can be read, nothing is to be.
pub fn awaited(path: &Path) -> io::Result<Option<PathBuf>> {
    let mounted = std::fs::read_to_string("/proc/self/mountinfo")?;
    let table = std::fs::read("/etc/fstab").unwrap_or_default();
    let units = std::fs::read_dir("/etc/systemd/system").into_iter().flatten().flatten().map(|entry| entry.path());
    let units = units.filter(|unit| unit.extension().is_some_and(|kind| kind == "mount"));
    let wanted =
        in_table(&table).into_iter().chain(units.filter_map(|unit| in_unit(&std::fs::read_to_string(unit).ok()?)));
    Ok(bare(path, wanted, &points(&mounted)))
}

/// The longest of `wanted` at or above `path`, if nothing is mounted there.
fn bare(path: &Path, wanted: impl Iterator<Item = PathBuf>, mounted: &[PathBuf]) -> Option<PathBuf> {
    let above = wanted.filter(|wanted| path.starts_with(wanted)).max_by_key(|wanted| wanted.as_os_str().len())?;
    (!mounted.contains(&above)).then_some(above)
}

/// Where something is mounted.
fn points(mounts: &str) -> Vec<PathBuf> {
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| unescaped(point.as_bytes())).collect()
}

/// The places in a table of mounts (see `fstab(5)`).
fn in_table(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii_start().starts_with(b"#"));
    let second =
        |line: &[u8]| line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1).map(unescaped);
    lines.filter_map(second).filter(|place| place.is_absolute()).collect()
}

/// The place in a unit (see `systemd.mount(5)`).
fn in_unit(unit: &str) -> Option<PathBuf> {
    unit.lines().rev().find_map(|line| line.trim().strip_prefix("Where=")).map(PathBuf::from)
}

/// Blanks and the like stand as `\` and three octal digits in these tables.
fn unescaped(word: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(word.len()), word);
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    PathBuf::from(OsString::from_vec(bytes))
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

    #[test]
    fn a_place_where_something_is_to_be_mounted_and_is_not_is_known() {
        let table =
            b"# /dev/sdb1 /srv/old ext4\n/dev/sda1 / ext4 defaults 0 1\n\tfs-1:/  /mnt/an\\040efs\tnfs4 hard 0 0\n\
                      UUID=1 none swap sw 0 0\nname:/a /mnt/efs nfs4 noauto 0 0\n\nx";
        let wanted = || in_table(table).into_iter().chain(in_unit("[Mount]\nWhat=a:/\nWhere=/srv/unit\n"));
        assert_eq!(wanted().collect::<Vec<_>>(), ["/", "/mnt/an efs", "/mnt/efs", "/srv/unit"].map(PathBuf::from));
        let mounted = points("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 22 0:51 / /mnt/an\\040efs rw - nfs4 a:/ rw\n");
        let bare_at = |path: &str| bare(Path::new(path), wanted(), &mounted).map(|place| place.display().to_string());
        assert_eq!(bare_at("/srv/data"), None, "on the root, which is there");
        assert_eq!(bare_at("/mnt/an efs/projects"), None, "mounted");
        assert_eq!(bare_at("/mnt/efs2"), None, "another name");
        assert_eq!(bare_at("/mnt/efs/projects").as_deref(), Some("/mnt/efs"));
        assert_eq!(bare_at("/mnt/efs").as_deref(), Some("/mnt/efs"));
        assert_eq!(bare_at("/srv/unit/x").as_deref(), Some("/srv/unit"));
        assert_eq!(awaited(Path::new("/")).expect("told"), None);
    }
}
