//! A share before its first pass: whether it is there, can be read and watched, and how much there is.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::check::{device, silent, within};
use crate::cli::progress::ProgressLine;
use crate::cli::text::{bytes, counted, grouped};
use crate::config::{Place, Share};
use crate::index::ShareOverview;
use crate::local::{Found, Ignore, PAGE_MAX, PageEnd, RootId, Scan, ScanEnd, ScanPage, WatchNeed, root_id};
use crate::model::{Kind, RelPath, Trouble};
use crate::sys::fskind::{self, FsKind};
use crate::target::{Finding, Level, Sizes};

/// Folders that are read at once (count).
const THREADS: usize = 4;
/// Paths that are named of each sort (count).
const SAMPLES: usize = 3;
/// Longest key of a bucket (bytes), see "Naming Amazon S3 objects" in the S3 user guide.
const KEY_MAX: usize = 1024;

/// What was found on a share.
pub(super) struct Walked {
    /// The device that its root lies on; `None` if it cannot be reached.
    pub(super) device: Option<u64>,
    /// What is to be said of it before it is read.
    first: Vec<Finding>,
    /// What lies in it; `None` if it could not be read.
    pub(super) tally: Option<Tally>,
    /// What it takes to watch it; `None` where watching is of no use.
    need: Option<WatchNeed>,
}

/// What lies in a share, without what is ignored.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Files.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Folders, without the root.
    pub(super) folders: u64,
    /// Symbolic links.
    pub(super) links: u64,
    /// Sockets, pipes and devices.
    specials: u64,
    /// Requests that put all of it into a bucket.
    pub(super) puts: u64,
    /// Paths that cannot be looked at or listed, and the first of them.
    unreadable: Sampled<(RelPath, Trouble)>,
    /// By the name of each target that is a bucket: what is too long for a key there.
    pub(super) too_long: Vec<(String, usize, Sampled<RelPath>)>,
}

/// How many there are, and the first few.
#[derive(Debug)]
pub(super) struct Sampled<T> {
    pub(super) count: u64,
    pub(super) samples: Vec<T>,
}

impl<T> Default for Sampled<T> {
    fn default() -> Self {
        Self { count: 0, samples: Vec::new() }
    }
}

impl<T> Sampled<T> {
    fn add(&mut self, one: T) {
        self.count += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(one);
        }
    }
}

/// Reads the share from end to end. `known` is what an agent knows of it.
pub(super) fn walk(share: &Share, known: Option<&ShareOverview>) -> Walked {
    let away = |finding| Walked { device: None, first: vec![finding], tally: None, need: None };
    let path = share.path.clone();
    let Some(reached) = within(move || (root_id(&path), fskind::kind(&path), device(&path))) else {
        return away(silent());
    };
    let (id, kind, device) = match reached {
        (Ok(id), Ok(kind), device) => (id, kind, device),
        (Err(error), ..) | (Ok(_), Err(error), _) => return away(unreachable(&error)),
    };
    if let Some(finding) = another(id, known) {
        return away(finding);
    }
    let mut first = vec![medium(&kind)];
    let need = (!kind.is_network()).then(|| WatchNeed::of(&share.path));
    match read(share, id) {
        Ok(tally) => Walked { device, first, tally: Some(tally), need },
        Err(finding) => {
            first.push(finding);
            Walked { device, first, tally: None, need }
        }
    }
}

fn unreachable(error: &std::io::Error) -> Finding {
    Finding::new(Level::Problem, format!("it cannot be read: {error}"))
        .hint("check that the folder exists, is mounted, and may be read by the agent's user")
}

fn another(id: RootId, known: Option<&ShareOverview>) -> Option<Finding> {
    let (fsid, ino) = known?.bound?;
    (RootId { fsid, ino } != id).then(|| {
        let what = "it is another folder than the one that the share was bound to";
        Finding::new(Level::Problem, what)
            .hint("mount the disk that holds it; if it is another one on purpose, stop the agent, and take it with `driftline approve SHARE`")
    })
}

fn medium(kind: &FsKind) -> Finding {
    match kind {
        FsKind::Local => Finding::new(Level::Fine, "it is there, on a disk of this machine"),
        FsKind::Memory => Finding::new(Level::Note, "it is there, in memory: it will be empty after a restart"),
        FsKind::Network(name) => polled(name),
        FsKind::Fuse(name) if kind.is_network() => polled(name),
        FsKind::Fuse(name) => {
            Finding::new(Level::Fine, format!("it is there, on a file system of this machine ({name})"))
        }
    }
}

fn polled(name: &str) -> Finding {
    let what = format!(
        "it lies on a network file system ({name}): what others change there is found by scans only, minutes later"
    );
    Finding::new(Level::Warning, what).hint("run the agent on the machine that holds the disk, if there is one")
}

fn read(share: &Share, id: RootId) -> Result<Tally, Finding> {
    let ignore = Ignore::new(&share.ignore)
        .map_err(|error| Finding::new(Level::Problem, error.to_string()).hint("write it as gitignore does"))?;
    let tally = Mutex::new(Tally { too_long: limits(share), ..Tally::default() });
    let line = ProgressLine::on_terminal();
    let take = |page: ScanPage| {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.take(page);
        line.found(tally.files);
        true
    };
    let (root, under, ignore) = (PathBuf::from(&share.path), RelPath::root(), Arc::new(ignore));
    let scan = Scan { root, id, under, ignore, threads: THREADS, page_max: PAGE_MAX, afresh: false, lists: false };
    let end = scan.run(&AtomicBool::new(false), &take);
    line.clear();
    match end {
        ScanEnd::Done | ScanEnd::Stopped => Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner)),
        ScanEnd::Offline(why) => Err(Finding::new(Level::Problem, why).hint("mount the share again")),
    }
}

/// How long a path may be for each target that is a bucket.
fn limits(share: &Share) -> Vec<(String, usize, Sampled<RelPath>)> {
    let bucket = |target: &crate::config::Target| match &target.place {
        Place::Folder(_) => None,
        Place::Bucket(bucket) => {
            let before = if bucket.prefix.is_empty() { 0 } else { bucket.prefix.len() + 1 };
            Some((target.name.clone(), KEY_MAX - before.min(KEY_MAX), Sampled::default()))
        }
    };
    share.targets.iter().filter_map(bucket).collect()
}

impl Tally {
    fn take(&mut self, page: ScanPage) {
        match page.end {
            PageEnd::Broken(trouble) => self.unreadable.add((page.folder.clone(), trouble)),
            PageEnd::More | PageEnd::Complete | PageEnd::Gone => {}
        }
        for (name, found) in page.entries {
            let slash = usize::from(!page.folder.is_root());
            let len = page.folder.as_bytes().len() + slash + name.len();
            match found {
                Found::Plain(stat) if stat.shape.kind == Kind::Folder => {
                    self.folders += 1;
                    self.object(&page.folder, &name, len + 1, 0);
                }
                Found::Plain(stat) => {
                    self.files += 1;
                    self.bytes += stat.shape.len;
                    self.object(&page.folder, &name, len, stat.shape.len);
                }
                Found::Link(..) => {
                    self.links += 1;
                    self.object(&page.folder, &name, len, 0);
                }
                Found::Special(_) => self.specials += 1,
                Found::Troubled(trouble) => {
                    let path = page.folder.join(&name).unwrap_or_else(|_| page.folder.clone());
                    self.unreadable.add((path, trouble));
                }
            }
        }
    }

    /// What would be an object in a bucket, with a key of `key` bytes below the prefix.
    fn object(&mut self, folder: &RelPath, name: &[u8], key: usize, len: u64) {
        self.puts += puts(len, Sizes::default().part);
        for (.., too_long) in self.too_long.iter_mut().filter(|(_, most, _)| key > *most) {
            too_long.add(folder.join(name).unwrap_or_else(|_| folder.clone()));
        }
    }
}

/// Requests that put one object: one, or one for each part and two around them.
fn puts(len: u64, part: u64) -> u64 {
    if len <= part { 1 } else { len.div_ceil(part) + 2 }
}

/// Watches that all shares need together.
pub(super) fn watches(walked: &[Walked]) -> WatchNeed {
    let needs = walked.iter().filter_map(|walked| walked.need);
    needs.fold(WatchNeed { folders: 0, limit: u64::MAX }, |all, one| WatchNeed {
        folders: all.folders + one.folders,
        limit: all.limit.min(one.limit),
    })
}

/// What is to be said of a share; `all` is what watching takes for all shares.
pub(super) fn findings(walked: &Walked, all: &WatchNeed) -> Vec<Finding> {
    let mut findings = walked.first.clone();
    if let Some(tally) = &walked.tally {
        findings.extend(contents(tally));
    }
    findings.extend(walked.need.map(|need| watch(need, *all)));
    findings
}

fn contents(tally: &Tally) -> Vec<Finding> {
    let size = bytes(tally.bytes);
    let what = format!("{} ({size}) in {}", counted(tally.files, "file"), counted(tally.folders + 1, "folder"));
    let mut findings = vec![Finding::new(Level::Fine, what)];
    if let Some((path, trouble)) = tally.unreadable.samples.first() {
        let place = if path.is_root() { "the share itself".to_owned() } else { path.to_string() };
        let first = if tally.unreadable.count == 1 { "" } else { "the first is " };
        let count = counted(tally.unreadable.count, "path");
        let what = format!("{count} cannot be read: {first}{place} ({})", trouble.message);
        findings.push(Finding::new(Level::Problem, what).hint(&trouble.hint));
    }
    if tally.specials > 0 {
        let what =
            format!("{} left out: no target can keep sockets, pipes or devices", counted(tally.specials, "path"));
        findings.push(Finding::new(Level::Note, what));
    }
    findings
}

fn watch(need: WatchNeed, all: WatchNeed) -> Finding {
    if all.is_met() {
        let folders = counted(need.folders, "folder");
        return Finding::new(Level::Fine, format!("all of its {folders} can be watched"));
    }
    let together = if all.folders == need.folders { "" } else { "all shares together, " };
    let what = format!(
        "not all folders can be watched: {together}{} watches are needed, and the limit is {}; the rest is found by scans only",
        grouped(all.folders),
        grouped(all.limit)
    );
    Finding::new(Level::Warning, what)
        .hint("raise the kernel's limit, now and for each start")
        .command(format!(
            "echo fs.inotify.max_user_watches={} | sudo tee /etc/sysctl.d/60-driftline.conf",
            all.enough()
        ))
        .command("sudo sysctl --system")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_put_in_parts() {
        for (len, count) in [(0, 1), (8, 1), (9, 4), (16, 4), (17, 5)] {
            assert_eq!(puts(len, 8), count, "{len}");
        }
    }

    #[test]
    fn a_limit_on_watches_is_one_for_all_shares() {
        let one = |folders| WatchNeed { folders, limit: 1000 };
        let walked = |need| Walked { device: None, first: Vec::new(), tally: None, need };
        let all = watches(&[walked(Some(one(800))), walked(None), walked(Some(one(300)))]);
        assert_eq!(all, WatchNeed { folders: 1100, limit: 1000 });
        let finding = watch(one(800), all);
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.what.contains("all shares together, 1,100 watches are needed, and the limit is 1,000"));
        let command = "echo fs.inotify.max_user_watches=2048 | sudo tee /etc/sysctl.d/60-driftline.conf";
        assert_eq!(finding.commands, [command, "sudo sysctl --system"]);
        let fine = watch(one(800), one(900));
        assert_eq!((fine.level, fine.what.as_str()), (Level::Fine, "all of its 800 folders can be watched"));
        assert_eq!(watch(one(901), one(901)).level, Level::Warning);
    }
}
