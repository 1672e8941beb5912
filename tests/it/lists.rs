//! POSIX access control lists: carried to the target, had back with a restore, and told of where they cannot be kept.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::buckets::{Bucket, Kind, Make};
use crate::office::{Mount, Office, must, set_mode};

const OLD: &str = "u::rw-,u:4242:r--,g::r--,g:4243:rw-,m::rw-,o::---";
const NEW: &str = "u::rw-,u:4242:rw-,g::r--,m::rw-,o::---";
const FOLDER: &str = "u::rwx,u:4242:r-x,g::r-x,m::r-x,o::---,d:u::rwx,d:u:4242:r-x,d:g::r-x,d:m::r-x,d:o::---";

fn set(path: &Path, list: &str) {
    must(Command::new("setfacl").args(["--set", list]).arg(path));
}

/// What `getfacl` says of it, without its name.
fn list_of(path: &Path) -> String {
    must(Command::new("getfacl").args(["--omit-header", "--numeric", "--absolute-names"]).arg(path)).out
}

/// The same on both sides, for each path.
fn assert_same_lists(office: &Office, root: &Path, paths: &[&str]) {
    for path in paths {
        assert_eq!(list_of(&office.share(path)), list_of(&root.join(path)), "{path}");
    }
}

const ALL: [&str; 5] = ["", "room", "room/plan.txt", "room/plain.txt", "other"];

/// A file and a folder with lists, in the folder a file without one, and a folder without one.
fn furnish(office: &Office) {
    office.save("room/plan.txt", "a plan");
    fs::create_dir(office.share("other")).unwrap();
    set(&office.share("room"), FOLDER);
    office.save("room/plain.txt", "made in a folder that hands a list on");
    must(Command::new("setfacl").arg("--remove-all").arg(office.share("room/plain.txt")));
    set(&office.share("room/plan.txt"), OLD);
}

#[test]
fn a_list_comes_to_the_target_and_a_list_that_changes_alone_sends_nothing() {
    let office = Office::configured("settle = \"100ms\"", "");
    furnish(&office);
    // What an administrator lets the target hand on clings to nothing that is copied there.
    must(Command::new("setfacl").args(["-d", "-m", "u:4999:rwx"]).arg(office.target("")));
    office.sync_well();
    assert_same_lists(&office, &office.target(""), &ALL[1..]);
    let ino =
        |path: &str| fs::metadata(office.target(path)).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).unwrap();
    let before = ino("room/plan.txt");
    let agent = office.start();
    office.wait_same();
    set(&office.share("room/plan.txt"), NEW);
    must(Command::new("setfacl").arg("--remove-all").arg(office.share("room")));
    set(&office.share("other"), FOLDER);
    office.wait_until("the lists have come", || {
        ALL[1..].iter().all(|path| list_of(&office.share(path)) == list_of(&office.target(path)))
    });
    assert_eq!(ino("room/plan.txt"), before, "no content was sent again");
    assert!(office.history("room/plan.txt").is_empty(), "and no version was made");
    office.wait_same();
    drop(agent);
    let told = office.tell(&["log", "--json"]).out;
    assert!(told.contains("set meta") && told.contains(&format!("access list {NEW}")), "{told}");
    let told = office.tell(&["explain", "room/plan.txt"]).out;
    assert!(told.contains(&format!("access list: {NEW}")), "{told}");
}

#[test]
fn with_the_index_deleted_lists_are_found_again_and_nothing_is_touched() {
    let office = Office::new();
    furnish(&office);
    office.sync_well();
    let before = office.target_places();
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    office.sync_well();
    assert_eq!(office.target_places(), before);
    set(&office.share("room/plan.txt"), NEW);
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    office.sync_well();
    assert_same_lists(&office, &office.target(""), &ALL[1..]);
}

#[test]
fn a_list_that_someone_else_sets_on_the_target_is_set_right() {
    let office = Office::configured("settle = \"100ms\"", "audit = \"1s\"");
    furnish(&office);
    let _agent = office.start();
    office.wait_same();
    let places = office.target_places();
    ["room/plan.txt", "room/plain.txt", "room"].iter().for_each(|path| set(&office.target(path), NEW));
    office.wait_until("the lists are set right", || {
        ALL[1..].iter().all(|path| list_of(&office.share(path)) == list_of(&office.target(path)))
    });
    let inodes = |places: Vec<crate::office::Place>| places.into_iter().map(|place| place.ino).collect::<Vec<_>>();
    assert_eq!(inodes(office.target_places()), inodes(places), "nothing was sent again");
}

/// An index as a program left it that knew nothing of lists, of files that have some: all else is as it was seen.
fn forget_lists(office: &Office) {
    let index = rusqlite::Connection::open(office.path("state/index.db")).unwrap();
    index
        .execute_batch(
            "UPDATE local SET acl = NULL; UPDATE base SET acl = NULL; DELETE FROM fact WHERE name LIKE 'lists %'",
        )
        .unwrap();
    for path in &ALL[1..] {
        let stat = fs::metadata(office.share(path)).unwrap();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let sql = "UPDATE local SET ctime = ?1 WHERE name = ?2 AND folder = (SELECT id FROM folder WHERE path = ?3)";
        let ctime = stat.ctime() * 1_000_000_000 + stat.ctime_nsec();
        assert_eq!(
            index.execute(sql, rusqlite::params![ctime, name.as_bytes(), folder.as_bytes()]).unwrap(),
            1,
            "{path}"
        );
    }
}

#[test]
fn lists_that_an_older_program_did_not_know_come_to_the_targets_and_no_content_is_sent_again() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let proxy = bucket.proxy();
    let office = Office::new();
    let (url, endpoint) = (bucket.url("office"), proxy.endpoint());
    let cloud = format!("[[share.target]]\nname = \"cloud\"\nurl = {url:?}\nendpoint = {endpoint:?}\n");
    let targets = office.folder_target("") + &cloud;
    let office = office.with_targets("settle = \"100ms\"", &targets);
    office.save("room/plan.txt", "a plan");
    office.save("room/plain.txt", "without a list");
    fs::create_dir(office.share("other")).unwrap();
    // The modes that the lists bring with them are there already, so that nothing but the lists is new.
    set_mode(&office.share("room/plan.txt"), 0o660);
    set_mode(&office.share("room"), 0o750);
    office.sync_well();
    let places = |office: &Office| office.target_places().into_iter().map(|place| (place.path, place.ino));
    let before: Vec<_> = places(&office).collect();
    set(&office.share("room"), FOLDER);
    set(&office.share("room/plan.txt"), OLD);
    forget_lists(&office);
    proxy.forget();
    office.sync_well();
    assert_same_lists(&office, &office.target(""), &ALL[1..]);
    assert_eq!(places(&office).collect::<Vec<_>>(), before, "no file was made anew");
    assert!(office.history("room/plan.txt").is_empty(), "and no version");
    let listed = |key: &str| bucket.outsider().head(key).unwrap().meta.get("acl").cloned();
    assert_eq!((listed("office/room/plan.txt"), listed("office/room/plain.txt")), (Some(OLD.to_owned()), None));
    let bytes: u64 =
        proxy.requests().iter().filter(|request| !request.key().contains(".driftline/")).map(|r| r.sent).sum();
    let copies = proxy.count(|request| request.kind() == Kind::Copy);
    assert_eq!((bytes, copies), (0, 1), "on the server, and only where there is a list");
    // They were asked for once, and are known from now on.
    let places = office.target_places();
    proxy.forget();
    office.sync_well();
    assert_eq!((office.target_places(), proxy.count(|_| true)), (places, 0));
}

/// A time between what was done before and what is done after, also for servers whose clocks know only seconds.
fn a_moment() -> String {
    let second = || must(Command::new("date").arg("+%s")).out;
    let next = || {
        let begun = second();
        while second() == begun {}
    };
    next();
    let said = must(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"])).out;
    next();
    said.trim().to_owned()
}

fn restored(office: &Office, words: &[&str]) -> Value {
    let said = office.tell(&[&["restore", "--json"], words].concat());
    assert_eq!(said.code, Some(0), "{said}");
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn a_restore_brings_lists_back_from_every_kind_of_target() {
    let buckets = [Bucket::new(Make::SeaweedFs), Bucket::versioned(Make::SeaweedFs)];
    let office = Office::new();
    let cloud = |name: &str, bucket: &Bucket| {
        let (url, endpoint) = (bucket.url("office"), bucket.endpoint());
        format!("[[share.target]]\nname = {name:?}\nurl = {url:?}\nendpoint = {endpoint:?}\n")
    };
    let targets = office.folder_target("") + &cloud("cloud", &buckets[0]) + &cloud("versions", &buckets[1]);
    let office = office.with_targets("settle = \"100ms\"", &targets);
    furnish(&office);
    office.sync_well();
    let object = buckets[0].outsider().head("office/room/plan.txt").unwrap();
    assert_eq!(object.meta.get("acl").map(String::as_str), Some(OLD), "as `setfacl --set` takes it");
    let then = list_of(&office.share("room/plan.txt"));
    let when = a_moment();
    office.save("room/plan.txt", "another plan");
    set(&office.share("room/plan.txt"), NEW);
    office.sync_well();
    // The index knows nothing of what was: only the targets do.
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    for target in ["backup", "cloud", "versions"] {
        let now = office.path(&format!("now-{target}"));
        let words = ["--all", "--from", target, "--to", now.to_str().unwrap()];
        assert_eq!(restored(&office, &words)["lists_lost"], 0);
        // SeaweedFS keeps nothing of folders.
        let all = if target == "backup" { &ALL[1..] } else { &ALL[2..4] };
        assert_same_lists(&office, &now, all);
        let old = office.path(&format!("old-{target}"));
        restored(&office, &["--all", "--as-of", &when, "--from", target, "--to", old.to_str().unwrap()]);
        assert_eq!(fs::read(old.join("room/plan.txt")).unwrap(), b"a plan");
        assert_eq!(list_of(&old.join("room/plan.txt")), then, "{target}");
        assert_eq!(list_of(&old.join("room/plain.txt")), list_of(&office.share("room/plain.txt")), "{target}");
    }
    // In its place: what is there has the right content, and only its list is another.
    office.sync_well();
    set(&office.share("room/plan.txt"), OLD);
    let report = restored(&office, &["room/plan.txt", "--from", "backup"]);
    assert_eq!((&report["same"], &report["kept"]), (&1.into(), &0.into()), "{report:#}");
    assert_same_lists(&office, &office.target(""), &["room/plan.txt"]);
}

#[test]
fn where_lists_cannot_be_kept_it_is_said_and_the_index_has_them() {
    let office = Office::configured("", "");
    // A file system without such lists.
    let Some(_mount) = Mount::plain(&office.path("target")) else { return };
    furnish(&office);
    office.sync_well();
    office.assert_same();
    assert_eq!(office.status()["verdict"], "safe");
    let told = office.tell(&["check"]).out;
    assert!(told.contains("POSIX access control lists are not kept there"), "{told}");
    let told = office.tell(&["explain", "room/plan.txt"]).out;
    assert!(told.contains(OLD) && told.contains("its access control list is not kept there"), "{told}");
    let told = office.tell(&["explain", "room/plain.txt"]).out;
    assert!(!told.contains("not kept there"), "only of what has one: {told}");
    let to = office.path("restored");
    assert_eq!(restored(&office, &["--all", "--to", to.to_str().unwrap()])["lists_lost"], 0);
    assert_same_lists(&office, &to, &ALL[1..]);
    // The other way round: what is had back there lacks its list, and that is said.
    set(&office.share("room/plan.txt"), NEW);
    office.sync_well();
    let back = office.target("back");
    let said = office.tell(&["restore", "room/plan.txt", "--to", back.to_str().unwrap()]);
    assert!(said.code == Some(0) && said.out.contains("may not be set there: 1 thing"), "{said}");
    fs::remove_dir_all(back).unwrap();
}
