//! What staff do to files, and what is left of what was there before.

use std::fs;
use std::path::Path;

use crate::office::{Office, Place, set_mode, set_mtime};

/// Where `prefix` lies on the target: paths below it, with their inodes.
fn inodes_below(office: &Office, prefix: &str) -> Vec<(String, u64)> {
    let below = |place: Place| Some((place.path.strip_prefix(prefix)?.to_owned(), place.ino));
    office.target_places().into_iter().filter_map(below).collect()
}

fn furnish_folder(office: &Office, folder: &str, files: usize) {
    for i in 0..files {
        office.save(format!("{folder}/sub {}/file {i:04}", i % 10), format!("content of {i}"));
    }
}

#[test]
fn an_edit_goes_through_and_the_old_version_is_in_history() {
    let office = Office::new();
    office.save("letters/offer.docx", b"first");
    office.sync_well();
    office.save("letters/offer.docx", b"second");
    office.sync_well();
    office.save("letters/offer.docx", b"third!");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("letters/offer.docx"), [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn an_edit_of_the_same_length_and_time_is_seen() {
    let office = Office::new();
    office.save("numbers.csv", b"1,2,3");
    set_mtime(&office.share("numbers.csv"), 1_600_000_000, 7);
    office.sync_well();
    office.save("numbers.csv", b"1,2,4");
    set_mtime(&office.share("numbers.csv"), 1_600_000_000, 7);
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("numbers.csv"), [b"1,2,3"]);
}

#[test]
fn a_deleted_file_leaves_the_target_and_stays_in_history() {
    let office = Office::new();
    office.save("a/b/gone.txt", b"still wanted");
    office.save("stays.txt", b"stays");
    office.sync_well();
    fs::remove_dir_all(office.share("a")).unwrap();
    office.sync_well();
    office.assert_same();
    assert!(!office.target("a").exists());
    assert_eq!(office.history("a/b/gone.txt"), [b"still wanted"]);
}

#[test]
fn a_folder_where_a_file_was_and_a_file_where_a_folder_was() {
    let office = Office::new();
    office.save("becomes a folder", b"a file");
    office.save("becomes a file/inner", b"inner");
    office.sync_well();
    fs::remove_file(office.share("becomes a folder")).unwrap();
    fs::remove_dir_all(office.share("becomes a file")).unwrap();
    office.save("becomes a folder/inner", b"now inside");
    office.save("becomes a file", b"now a file");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("becomes a file/inner"), [b"inner"]);
}

#[test]
fn a_mode_or_a_time_alone_does_not_send_the_content_again() {
    let office = Office::new();
    office.save("script.sh", b"#!/bin/sh");
    office.sync_well();
    let before = inodes_below(&office, "script.sh");
    set_mode(&office.share("script.sh"), 0o755);
    set_mtime(&office.share("script.sh"), 1_500_000_000, 42);
    office.sync_well();
    office.assert_same();
    assert_eq!(inodes_below(&office, "script.sh"), before, "the same inode");
    assert_eq!(office.history("script.sh"), Vec::<Vec<u8>>::new());
}

#[test]
fn a_renamed_file_is_renamed_on_the_target_and_not_copied() {
    let office = Office::new();
    office.save("old/name.bin", vec![9; 1 << 20]);
    office.sync_well();
    let before = inodes_below(&office, "old/name.bin");
    fs::create_dir(office.share("new")).unwrap();
    fs::rename(office.share("old/name.bin"), office.share("new/name.bin")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(inodes_below(&office, "new/name.bin"), before, "the same inode");
}

#[test]
fn a_name_that_changes_only_in_case_is_a_rename() {
    let office = Office::new();
    office.save("Report.txt", b"the report");
    office.sync_well();
    let before = inodes_below(&office, "Report.txt");
    fs::rename(office.share("Report.txt"), office.share("report.txt")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(inodes_below(&office, "report.txt"), before, "the same inode");
}

#[test]
fn a_renamed_folder_of_a_thousand_files_is_renamed_and_not_copied() {
    let office = Office::new();
    furnish_folder(&office, "projects/old name", 1000);
    office.sync_well();
    let before = inodes_below(&office, "projects/old name/");
    fs::rename(office.share("projects/old name"), office.share("projects/new name")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(before.len(), 1010, "the folder and what is in it");
    assert_eq!(inodes_below(&office, "projects/new name/"), before, "the same inodes");
}

#[test]
fn a_folder_renamed_under_the_agents_eyes_is_renamed_and_not_copied() {
    let office = Office::new();
    furnish_folder(&office, "here", 1000);
    let _agent = office.start();
    office.wait_same();
    let before = inodes_below(&office, "here/");
    fs::create_dir(office.share("archive")).unwrap();
    fs::rename(office.share("here"), office.share("archive/there")).unwrap();
    office.wait_same();
    assert_eq!(before.len(), 1010, "the folder and what is in it");
    assert_eq!(inodes_below(&office, "archive/there/"), before, "the same inodes");
}

#[test]
fn files_that_swap_names_both_arrive() {
    let office = Office::new();
    office.save("one", b"content of one");
    office.save("two", b"content of two");
    office.sync_well();
    fs::rename(office.share("one"), office.share("three")).unwrap();
    fs::rename(office.share("two"), office.share("one")).unwrap();
    fs::rename(office.share("three"), office.share("two")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.target("one")).unwrap(), b"content of two");
}

/// Names that are never mirrored: all but the last by themselves, the last by a pattern.
const IGNORED: [&str; 7] =
    ["~$offer.docx", ".~lock.a.odt#", "Thumbs.db", ".DS_Store", "._offer.docx", "~WRD0001.tmp", "old.bak"];

#[test]
fn ignored_names_are_not_mirrored_and_not_deleted() {
    let office = Office::configured("ignore = [\"*.bak\"]", "");
    for name in IGNORED {
        office.save(Path::new("letters").join(name), b"ours");
    }
    office.save("letters/offer.docx", b"an offer");
    fs::create_dir(office.target("theirs")).unwrap();
    for name in IGNORED {
        fs::write(office.target("theirs").join(name), b"theirs").unwrap();
    }
    office.sync_well();
    office.sync_well();
    let names = |folder: &str| {
        let entries = fs::read_dir(office.target(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names("letters"), ["offer.docx"]);
    assert_eq!(names("theirs").len(), IGNORED.len());
}

#[test]
fn with_deletes_retained_the_last_copy_stays() {
    let office = Office::configured("", "deletes = \"retain\"");
    office.save("kept.txt", b"the last copy");
    office.sync_well();
    fs::remove_file(office.share("kept.txt")).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.target("kept.txt")).unwrap(), b"the last copy");
}

/// Between two runs, so that nobody sees the file of the configuration change.
#[test]
fn what_was_retained_goes_to_history_once_deletes_are_propagated() {
    let office = Office::configured("", "deletes = \"retain\"");
    office.save("kept.txt", b"the last copy");
    office.save("room/plan.txt", b"a plan");
    office.sync_well();
    fs::remove_file(office.share("kept.txt")).unwrap();
    fs::remove_dir_all(office.share("room")).unwrap();
    office.sync_well();
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("retain", "propagate")).unwrap();
    // In the place of a folder of which the copy was retained.
    office.save("room", b"a file");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("kept.txt"), [b"the last copy"]);
    assert_eq!(office.history("room/plan.txt"), [b"a plan"]);
}

#[test]
fn a_deletion_that_looks_like_an_accident_waits_for_a_person() {
    let office = Office::configured("", "");
    furnish_folder(&office, "all", 2500);
    office.sync_well();
    fs::remove_dir_all(office.share("all")).unwrap();
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it halts: {said}");
    assert_eq!(office.status()["verdict"], "halted");
    let left = inodes_below(&office, "all/").len();
    assert!(left >= 1250, "at least half is left: {left}");
    let approved = office.tell(&["approve", "papers/backup"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    office.sync_well();
    office.assert_same();
    for i in [0, 999, 2499] {
        let path = format!("all/sub {}/file {i:04}", i % 10);
        assert_eq!(office.history(&path), [format!("content of {i}").into_bytes()], "{path} is in history");
    }
}
