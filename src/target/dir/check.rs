//! What `check` says of a directory: there, ours, writable, roomy, and on what it lies.

mod mount;
mod tries;

use std::io;

use crate::config::Size;
use crate::sys::fskind::{self, FsKind};
use crate::sys::{mounts, publish as sys};
use crate::target::{Finding, Level};

use super::DirTarget;
use super::fault::{Refusal, about_ours};
use super::identity::Place;
use super::staging::Staging;
use tries::Tried;

/// Less room than this is told as a risk (bytes).
const ROOM_LOW: u64 = 1 << 30;

impl DirTarget {
    /// Leaves nothing behind, and nothing is tried in a place that bears no identity yet.
    pub(super) fn check_all(&self) -> Vec<Finding> {
        let (place, bears) = match self.inspect() {
            Ok(inspected) => inspected,
            Err(refusal) => return vec![problem("it cannot be used", refusal)],
        };
        let mut findings = vec![self.identity(bears)];
        findings.extend(if bears { self.tried(&place) } else { vec![permitted(&place)] });
        findings.extend(self.mount(&place));
        findings.push(room(&place));
        findings
    }

    fn identity(&self, bears: bool) -> Finding {
        match (bears, self.setup.target_id.is_some()) {
            (true, true) => Finding::new(Level::Fine, "it bears the identity that it was bound to"),
            (true, false) => Finding::new(Level::Fine, "it keeps this share already"),
            (false, _) => Finding::new(Level::Note, "it bears no identity yet")
                .hint("the first run gives it one, and so does `driftline init`"),
        }
    }

    /// A file is staged and removed again.
    fn tried(&self, place: &Place) -> Vec<Finding> {
        match self.try_to_stage(place) {
            Err(error) => vec![problem("nothing can be written there", about_ours(&error))],
            Ok(tried) => {
                let mut findings = tried.findings(self.setup.keep_owner);
                if self.setup.keep_owner && !place.lists {
                    let what = "POSIX access control lists are not kept there: its file system knows none";
                    let hint = "they stay in the index, and a restore sets those of what lies there now";
                    findings.push(Finding::new(Level::Note, what).hint(hint));
                }
                findings
            }
        }
    }

    fn try_to_stage(&self, place: &Place) -> io::Result<Tried> {
        let staging = Staging::open(place)?;
        let (_, name) = self.fresh_name();
        let tried = tries::try_all(staging.spot(&name));
        self.drop_name(&staging, &name);
        tried
    }

    /// What it lies on; of an NFS mount also its options, and how long its server takes.
    fn mount(&self, place: &Place) -> Vec<Finding> {
        let mounted = mounts::of(place.root()).ok().flatten();
        let Some(mounted) = mounted.filter(|mounted| matches!(&*mounted.kind, "nfs" | "nfs4")) else {
            return vec![self.medium()];
        };
        let mut findings = mount::judge(&mounted);
        findings.extend(mount::round_trip(place.root(), self.setup.now));
        findings
    }

    fn medium(&self) -> Finding {
        let kind = match fskind::kind(&self.setup.root) {
            Ok(kind) => kind,
            Err(error) => return problem("its file system cannot be asked", error.into()),
        };
        match kind {
            FsKind::Local => Finding::new(Level::Fine, "it lies on a disk of this machine"),
            FsKind::Memory => Finding::new(Level::Warning, "it lies in memory: all copies are gone after a restart")
                .hint("use a folder on a disk or on a file server"),
            FsKind::Network(_) | FsKind::Fuse(_) => {
                let sort = if kind.is_network() { "network file system" } else { "file system of this machine" };
                Finding::new(Level::Fine, format!("it lies on a {sort} ({})", kind.name()))
            }
        }
    }
}

/// As far as permissions say.
fn permitted(place: &Place) -> Finding {
    match sys::may_write(place.root()) {
        Ok(()) => Finding::new(Level::Fine, "it may be written"),
        Err(error) => problem("nothing may be written there", error.into()),
    }
}

fn room(place: &Place) -> Finding {
    match sys::free(place.root()) {
        Err(error) => problem("its free room cannot be asked", error.into()),
        Ok(free) if free < ROOM_LOW => Finding::new(Level::Warning, format!("only {} are free there", Size(free)))
            .hint("free space on the target, or make it larger"),
        Ok(free) => Finding::new(Level::Fine, format!("{} are free there", Size(free))),
    }
}

fn problem(what: &str, refusal: Refusal) -> Finding {
    let error = refusal.into_error("check", None);
    Finding::new(Level::Problem, format!("{what}: {}", error.cause)).hint(error.hint)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Wall;
    use crate::target::{Bind, DirSetup, Flush, Target as _, Ways};

    fn target(root: &Path, target_id: Option<String>) -> DirTarget {
        DirTarget::new(DirSetup {
            root: root.to_owned(),
            target_id,
            share_id: "share-1".to_owned(),
            writer: "office-01".to_owned(),
            berth: None,
            keep_owner: true,
            now: || Wall(0),
            flush: Flush::Auto,
            ways: Ways::Auto,
        })
    }

    fn told(findings: &[Finding]) -> Vec<(Level, &str)> {
        findings.iter().map(|finding| (finding.level, finding.what.as_str())).collect()
    }

    /// Every path below, with `.driftline/staging` only as long as nothing lies in it.
    fn names(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(names(&path));
            }
            found.push(path);
        }
        found.sort();
        found
    }

    #[test]
    fn in_a_place_that_bears_no_identity_nothing_is_tried() {
        let dir = tempfile::tempdir().expect("a folder");
        let findings = target(dir.path(), None).check();
        assert_eq!(told(&findings)[0], (Level::Note, "it bears no identity yet"));
        assert_eq!(told(&findings)[1], (Level::Fine, "it may be written"));
        assert!(findings[0].hint.contains("driftline init"), "{findings:?}");
        assert_eq!(names(dir.path()).len(), 0);
    }

    #[test]
    fn in_a_place_of_ours_a_file_is_written_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a folder");
        let bound = target(dir.path(), None).probe(Bind::IfUnbound).expect("bound").id;
        let before = names(dir.path());
        let unbound = target(dir.path(), None).check();
        assert_eq!(told(&unbound)[0], (Level::Fine, "it keeps this share already"));
        let findings = target(dir.path(), Some(bound)).check();
        assert_eq!(told(&findings)[0], (Level::Fine, "it bears the identity that it was bound to"));
        assert_eq!(told(&findings)[1], (Level::Fine, "files can be written and made durable there"));
        assert!(findings.iter().all(|finding| finding.level != Level::Problem), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.ends_with("free there")), "{findings:?}");
        assert_eq!(names(dir.path()), before);
    }

    #[test]
    fn a_place_that_is_another_or_away_is_a_problem_and_nothing_else_is_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let only = |target: DirTarget| {
            let [finding] = &target.check()[..] else { panic!("one finding") };
            assert_eq!(finding.level, Level::Problem);
            (finding.what.clone(), finding.hint.clone())
        };
        let (what, hint) = only(target(&dir.path().join("none"), None));
        assert!(what.starts_with("it cannot be used: ") && what.ends_with("is not there or is not a folder"), "{what}");
        assert!(hint.starts_with("mount the target"), "{hint}");
        assert!(only(target(dir.path(), Some("t".to_owned()))).0.contains("bears no identity"));
        target(dir.path(), None).probe(Bind::IfUnbound).expect("bound");
        assert!(only(target(dir.path(), Some("t".to_owned()))).0.contains("is another target"));
    }
}
