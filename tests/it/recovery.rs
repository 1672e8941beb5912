//! Getting back what was there, and proving that it is still there.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

use crate::office::{Office, Tree, set_mtime, wait};

/// Three states of one file, a second apart: first, second, deleted. The time at which the first was the latest.
fn office_with_a_past() -> (Office, String) {
    let office = Office::configured("", "");
    office.save("letters/offer.docx", b"first");
    office.save("plan.txt", b"a plan");
    office.sync_well();
    pass_a_second();
    let then = jiff::Timestamp::now().to_string();
    pass_a_second();
    office.save("letters/offer.docx", b"second");
    office.sync_well();
    pass_a_second();
    fs::remove_file(office.share("letters/offer.docx")).unwrap();
    office.sync_well();
    (office, then)
}

/// Times of versions may be kept in whole seconds.
fn pass_a_second() {
    let from = SystemTime::now();
    wait(Duration::from_secs(60), || from.elapsed().is_ok_and(|span| span > Duration::from_millis(1100)));
}

fn restored(office: &Office, words: &[&str]) -> Tree {
    let to = office.path("restored");
    fs::create_dir(&to).unwrap();
    let said = office.tell(&[&["restore"], words, &["--to", to.to_str().unwrap()]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    Tree::read(&to).unwrap()
}

#[test]
fn a_deleted_file_comes_back_in_its_last_version() {
    let (office, _) = office_with_a_past();
    let said = office.tell(&["restore", "letters/offer.docx"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(office.share("letters/offer.docx")).unwrap(), b"second");
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_file_comes_back_as_it_was_at_a_time() {
    let (office, then) = office_with_a_past();
    restored(&office, &["letters/offer.docx", "--as-of", &then]);
    assert_eq!(fs::read(office.path("restored").join("letters/offer.docx")).unwrap(), b"first");
    assert!(!office.share("letters/offer.docx").exists(), "the share is left as it is");
}

#[test]
fn everything_comes_back_into_another_folder() {
    let office = Office::configured("", "");
    (0..30).for_each(|i| office.save(format!("folder {}/file {i}", i % 3), format!("content of {i}")));
    fs::create_dir(office.share("empty")).unwrap();
    std::os::unix::fs::symlink("folder 0", office.share("link")).unwrap();
    set_mtime(&office.share("folder 0/file 0"), 1_600_000_000, 123_456_789);
    office.sync_well();
    let share = Tree::read(&office.path("share")).unwrap();
    let differences = share.differences(&restored(&office, &["--all"]));
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn restoring_never_replaces_what_is_newer_without_a_trace() {
    let (office, then) = office_with_a_past();
    office.save("letters/offer.docx", b"written since");
    let said = office.tell(&["restore", "letters/offer.docx", "--as-of", &then]);
    office.sync_well();
    office.assert_same();
    let now = fs::read(office.share("letters/offer.docx")).unwrap();
    let kept = office.history("letters/offer.docx").contains(&b"written since".to_vec());
    match said.code {
        Some(0) => assert!(now == b"first" && kept, "restored, the newer version in history: {said}"),
        Some(1) => assert!(now == b"written since", "refused, and so left as it is: {said}"),
        _ => panic!("it restores or it refuses: {said}"),
    }
}

#[test]
fn history_and_explain_tell_what_became_of_a_file() {
    let (office, _) = office_with_a_past();
    let history = office.tell(&["history", "letters/offer.docx", "--json"]);
    assert_eq!(history.code, Some(0), "{history}");
    for version in [&b"first"[..], b"second"] {
        let digest = blake3::hash(version).to_hex();
        assert!(history.out.contains(&digest[..8]), "{digest} is one of its versions: {history}");
    }
    let explained = office.tell(&["explain", "plan.txt"]);
    assert_eq!(explained.code, Some(0), "{explained}");
    assert!(explained.out.contains("plan.txt") && explained.out.contains("backup"), "{explained}");
}

#[test]
fn verify_finds_a_copy_that_rotted_and_repair_heals_it() {
    let office = Office::configured("", "");
    office.save("plan.txt", b"a plan of ours");
    office.save("other.txt", b"another");
    office.sync_well();
    assert_eq!(office.tell(&["verify"]).code, Some(0));
    let meta = fs::metadata(office.target("plan.txt")).unwrap();
    let file = fs::File::options().write(true).open(office.target("plan.txt")).unwrap();
    file.write_all_at(b"X", 3).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    let said = office.tell(&["verify"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.out.contains("plan.txt") && !said.out.contains("other.txt"), "it names the one: {said}");
    office.tell(&["verify", "--repair"]);
    office.assert_same();
    assert_eq!(office.tell(&["verify"]).code, Some(0));
}
