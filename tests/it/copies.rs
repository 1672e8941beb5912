//! The first copy, and the one after it.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};

use crate::office::{Agent, Node, Office, Tree, deep_folder, set_mode, set_mtime};

/// A name that no character set explains.
const STRANGE: &[u8] = b"caf\xe9 \xff\xfe\n\t.txt";

/// Files, folders and links of every sort that a target can hold as they are.
fn furnish(office: &Office) {
    let dir = |path: &str| fs::create_dir_all(office.share(path)).unwrap();
    office.save("letters/2024/offer.docx", b"an offer");
    office.save("letters/empty.txt", b"");
    office.save("big.bin", vec![7; 3 << 20]);
    office.save(std::ffi::OsStr::from_bytes(STRANGE), b"strange");
    office.save("n".repeat(255), b"long name");
    office.save("spaces and 'quotes' \"too\"/  leading", b"s");
    office.save("-rf", b"not an option");
    dir("empty folder/within an empty one");
    symlink("letters/2024/offer.docx", office.share("to a file")).unwrap();
    symlink("letters", office.share("to a folder")).unwrap();
    symlink("../no/such/place", office.share("letters/dangling")).unwrap();
    symlink("/etc/passwd", office.share("out of the share")).unwrap();
    for (name, mode) in [("read only", 0o444), ("mine", 0o600), ("script.sh", 0o755), ("group", 0o2664)] {
        office.save(name, name);
        set_mode(&office.share(name), mode);
    }
    for (name, mode) in [("private", 0o700), ("sticky", 0o1777), ("group folder", 0o2775)] {
        dir(name);
        set_mode(&office.share(name), mode);
    }
    for (name, seconds, nanos) in
        [("old", -1_000_000, 1), ("precise", 1_600_000_000, 123_456_789), ("ahead", 1 << 32, 5)]
    {
        office.save(name, name);
        set_mtime(&office.share(name), seconds, nanos);
    }
}

#[test]
fn the_first_sync_copies_everything_that_a_folder_holds() {
    let office = Office::new();
    furnish(&office);
    office.sync_well();
    office.assert_same();
    office.rsync_says_same();
    assert!(office.staged().is_empty(), "staging is left empty: {:?}", office.staged());
}

#[test]
fn the_second_sync_changes_nothing_on_the_target() {
    let office = Office::new();
    furnish(&office);
    office.sync_well();
    office.assert_same();
    let before = office.target_places();
    office.sync_well();
    assert_eq!(office.target_places(), before);
}

#[test]
fn an_empty_share_is_safe_at_once() {
    let office = Office::new();
    let _agent: Agent = office.start();
    office.wait_safe();
    assert_eq!(office.target_places(), []);
}

#[test]
fn a_path_longer_than_the_kernel_takes_at_once_arrives() {
    let office = Office::new();
    let deep = deep_folder(&office.share(""), &[b'd'; 250], 20);
    let file = openat(&deep, "leaf", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    drop(file);
    office.sync_well();
    office.assert_same();
    let longest = Tree::read(&office.target("")).unwrap().without_ours().0.into_keys().map(|path| path.len()).max();
    assert_eq!(longest, Some(20 * 251 + 4));
}

#[test]
fn a_sparse_file_stays_sparse() {
    let office = Office::new();
    let file = File::create(office.share("disk.img")).unwrap();
    file.set_len(256 << 20).unwrap();
    file.write_all_at(&[1; 1 << 20], 100 << 20).unwrap();
    file.sync_all().unwrap();
    office.sync_well();
    office.assert_same();
    let [share, target] = [office.share("disk.img"), office.target("disk.img")].map(|path| blocks(&path));
    assert!(share < 8192, "the test's own file is sparse: {share} blocks");
    assert!(target <= share + 1024, "{target} blocks on the target, {share} on the share");
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

#[test]
fn hard_links_become_files_of_their_own_and_are_counted() {
    let office = Office::new();
    office.save("one", b"shared bytes");
    fs::hard_link(office.share("one"), office.share("two")).unwrap();
    office.sync_well();
    office.assert_same();
    let [one, two] = ["one", "two"].map(|name| fs::metadata(office.target(name)).unwrap());
    assert_ne!(one.ino(), two.ino());
    let counted = office.status()["shares"][0]["hard_links"].as_u64();
    assert!(counted.is_some_and(|n| n > 0), "status counts hard links: {counted:?}");
}

#[test]
fn pipes_and_sockets_are_named_as_problems_and_stop_nothing_else() {
    let office = Office::new();
    mknodat(CWD, office.share("pipe"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let _socket = UnixListener::bind(office.share("socket")).unwrap();
    office.save("plain.txt", b"plain");
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.target("plain.txt")).unwrap(), b"plain");
    for name in ["pipe", "socket"] {
        let problem = office.problem(name).unwrap_or_else(|| panic!("{name} is named in problems"));
        assert!(
            problem.to_string().to_lowercase().contains(if name == "pipe" { "fifo" } else { "socket" }),
            "{problem}"
        );
    }
}

#[test]
fn names_that_differ_only_in_case_are_both_kept_and_reported() {
    assert_twins_are_kept("Plan.txt", "plan.txt");
}

#[test]
fn names_that_differ_only_in_composition_are_both_kept_and_reported() {
    assert_twins_are_kept("caf\u{e9}.txt", "cafe\u{301}.txt");
}

fn assert_twins_are_kept(one: &str, two: &str) {
    let office = Office::new();
    office.save(one, b"the first");
    office.save(two, b"the second, which is another");
    let said = office.sync();
    assert!(matches!(said.code, Some(0 | 1)), "twins are no failure: {said}");
    office.assert_same();
    assert!(office.problem(one).or(office.problem(two)).is_some(), "one of {one} and {two} is named in problems");
    office.sync();
    office.assert_same();
    assert_eq!(fs::read(office.target(one)).unwrap(), b"the first");
}

#[test]
fn the_target_holds_plain_files_and_nothing_beside_them() {
    let office = Office::new();
    office.save("offer.docx", b"an offer");
    office.sync_well();
    let tree = Tree::read(&office.target("")).unwrap().without_ours();
    let [(path, Node::File { len, .. })] = &tree.0.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one plain file lies on the target");
    };
    assert_eq!((path.as_slice(), *len), (&b"offer.docx"[..], 8));
}
