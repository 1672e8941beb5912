//! What gave way, on a target and on a share: it is kept as long as history is, and goes then.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::office::{Office, files_below};

/// An office in which two files gave way to a restore; where they are kept.
fn office_after_a_restore(target_lines: &str) -> (Office, PathBuf) {
    let office = Office::configured("settle = \"100ms\"", target_lines);
    let names = ["letters/offer.docx", "letters/gone.docx"];
    names.iter().for_each(|name| office.save(name, "as it was saved"));
    office.sync_well();
    names.iter().for_each(|name| office.save(name, format!("newer work in {name}")));
    let said = office.tell(&["restore", "--all", "--json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &report["kept"]), (Some(0), &2.into()), "{said}");
    fs::remove_file(office.share("letters/gone.docx")).unwrap();
    office.sync_well();
    (office, PathBuf::from(report["kept_in"].as_str().unwrap()))
}

/// A day goes by for whoever prunes.
fn forget_that_it_was_pruned(office: &Office) {
    let index = rusqlite::Connection::open(office.path("state/index.db")).unwrap();
    let forgotten = index.execute("DELETE FROM fact WHERE name LIKE 'kept of share % pruned'", []).unwrap();
    assert_eq!(forgotten, 1, "it was pruned before");
}

/// Staging is read meanwhile, and that takes longer than all else.
#[test]
fn a_single_pass_prunes_history_however_much_lies_in_staging() {
    let office = Office::configured("settle = \"100ms\"", "history = \"1s\"\nhistory_versions = 0");
    for version in ["one", "the other"] {
        office.save("plan.odt", version);
        office.sync_well();
    }
    assert_eq!(office.history("plan.odt"), [b"one"]);
    let of_another_agent = |number| office.target(format!(".driftline/staging/{:08x}-{:032x}-{number}", 1, 2));
    (0..40_000).for_each(|number| drop(fs::File::create_new(of_another_agent(number)).unwrap()));
    std::thread::sleep(Duration::from_millis(1100));
    office.forget_that_history_was_pruned();
    office.sync_well();
    assert_eq!(office.history("plan.odt"), [b""; 0], "its time is over");
    assert_eq!(office.staged().len(), 40_000, "what another agent may still need stays");
}

#[test]
fn what_gave_way_on_the_share_goes_with_the_history_but_for_the_newest_of_what_is_there() {
    let (office, kept) = office_after_a_restore("history = \"2s\"");
    std::thread::sleep(Duration::from_millis(2100));
    forget_that_it_was_pruned(&office);
    office.sync_well();
    assert_eq!(files_below(&kept), [kept.join("letters/offer.docx")], "the newest version of what the share has stays");
    assert_eq!(fs::read(kept.join("letters/offer.docx")).unwrap(), b"newer work in letters/offer.docx");
    assert_eq!(fs::read(office.share("letters/offer.docx")).unwrap(), b"as it was saved");
    let told = office.tell(&["log", "--json"]).out;
    assert!(told.contains("1 of what gave way on the share"), "{told}");
}

#[test]
fn what_gave_way_on_the_share_stays_as_long_as_the_longest_history_of_its_targets() {
    let (office, kept) = office_after_a_restore("history = \"2s\"\nhistory_versions = 0");
    let other = office.path("other");
    fs::create_dir(&other).unwrap();
    let line = format!("[[share.target]]\nname = \"other\"\npath = {other:?}\nhistory = \"1h\"\n");
    let targets = office.folder_target("history = \"2s\"\nhistory_versions = 0") + &line;
    let office = office.with_targets("settle = \"100ms\"", &targets);
    std::thread::sleep(Duration::from_millis(2100));
    forget_that_it_was_pruned(&office);
    office.sync_well();
    assert_eq!(files_below(&kept).len(), 2);
    // With the other target gone its history counts for nothing.
    let office = office.with_config("settle = \"100ms\"", "history = \"2s\"\nhistory_versions = 0");
    forget_that_it_was_pruned(&office);
    office.sync_well();
    assert!(!office.share(".driftline/kept").exists(), "nothing of it, and no empty folder");
}

#[test]
fn what_gave_way_stays_while_the_share_is_away() {
    let (office, kept) = office_after_a_restore("history = \"2s\"\nhistory_versions = 0");
    std::thread::sleep(Duration::from_millis(2100));
    forget_that_it_was_pruned(&office);
    fs::rename(office.path("share"), office.path("away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    fs::create_dir_all(kept.join("letters")).unwrap();
    fs::write(kept.join("letters/offer.docx"), "of another share").unwrap();
    assert_eq!(office.sync().code, Some(1), "the share is offline");
    assert_eq!(fs::read(kept.join("letters/offer.docx")).unwrap(), b"of another share");
    fs::remove_dir_all(office.path("share")).unwrap();
    fs::rename(office.path("away"), office.path("share")).unwrap();
    office.sync_well();
    assert!(!kept.exists());
}
