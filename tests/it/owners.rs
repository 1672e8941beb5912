//! Owners and groups: they come back with a restore where the system permits, and are told of where it does not.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use crate::buckets::{Bucket, Make};
use crate::office::{Office, hear, set_mode};

/// User and group of the office's files, and user and group who are nobody here.
const OWNER: (u32, u32) = (4242, 4243);
const NOBODY: u32 = 65_534;

fn owner(path: &Path) -> (u32, u32) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.uid(), stat.gid())
}

/// A file, a folder and a link of somebody's; `None`, said aloud, where nobody may give files away.
fn furnished(office: Office) -> Option<Office> {
    office.save("room/plan.txt", "a plan");
    std::os::unix::fs::symlink("plan.txt", office.share("room/link")).unwrap();
    set_mode(&office.share("room/plan.txt"), 0o640);
    for path in ["room", "room/plan.txt", "room/link"] {
        if std::os::unix::fs::lchown(office.share(path), Some(OWNER.0), Some(OWNER.1)).is_err() {
            skip();
            return None;
        }
    }
    Some(office)
}

#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn skip() {
    eprintln!("skipped: only root gives files away");
}

#[test]
fn owner_group_and_mode_come_back_from_every_kind_of_target() {
    let buckets = [Bucket::new(Make::SeaweedFs), Bucket::versioned(Make::SeaweedFs)];
    let office = Office::new();
    let cloud = |name: &str, bucket: &Bucket| {
        let (url, endpoint) = (bucket.url("office"), bucket.endpoint());
        format!("[[share.target]]\nname = {name:?}\nurl = {url:?}\nendpoint = {endpoint:?}\n")
    };
    let targets = office.folder_target("") + &cloud("cloud", &buckets[0]) + &cloud("versions", &buckets[1]);
    let Some(office) = furnished(office.with_targets("settle = \"100ms\"", &targets)) else { return };
    office.sync_well();
    assert_eq!(owner(&office.target("room/plan.txt")), OWNER);
    for target in ["backup", "cloud", "versions"] {
        let to = office.path(&format!("from-{target}"));
        let said = office.tell(&["restore", "--all", "--from", target, "--to", to.to_str().unwrap()]);
        assert!(said.code == Some(0) && !said.out.contains("Owners"), "{said}");
        for path in ["room/plan.txt", "room/link"] {
            assert_eq!(owner(&to.join(path)), OWNER, "{path} from {target}");
        }
        // SeaweedFS keeps nothing of folders.
        assert!(target != "backup" || owner(&to.join("room")) == OWNER);
        assert_eq!(fs::metadata(to.join("room/plan.txt")).unwrap().mode() & 0o7777, 0o640, "from {target}");
    }
}

#[test]
fn an_owner_that_may_not_be_set_is_told_of_and_stops_nothing() {
    let Some(office) = furnished(Office::configured("", "")) else { return };
    office.sync_well();
    // Everything may be read by nobody, and nothing be given away.
    ["", "share", "target", "state", "home"].iter().for_each(|name| set_mode(&office.path(name), 0o755));
    set_mode(&office.target("room/plan.txt"), 0o644);
    let to = office.path("restored");
    fs::create_dir(&to).unwrap();
    chown(&to, Some(NOBODY), Some(NOBODY)).unwrap();
    let restore = |more: &[&str]| {
        let words = [&["restore", "--all", "--to", to.to_str().unwrap()], more].concat();
        hear(office.command(&words).uid(NOBODY).gid(NOBODY))
    };
    let said = restore(&[]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.out.contains("Owners are not what they were: only root may set them."), "{said}");
    assert_eq!(fs::read(to.join("room/plan.txt")).unwrap(), b"a plan");
    assert_eq!(owner(&to.join("room/plan.txt")), (NOBODY, NOBODY));
    let said = restore(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["owners_denied"], &report["failed"]), (&true.into(), &0.into()), "{report:#}");
}
