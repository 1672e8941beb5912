//! What someone else does on the target.

use std::fs;

use crate::office::{Office, targets};

fn holds(office: &Office) -> u64 {
    targets(&office.status()).map(|target| target["holds"].as_u64().expect("holds is a number")).sum()
}

#[test]
fn a_foreign_file_where_the_share_has_none_is_left_alone() {
    let office = Office::new();
    office.save("ours.txt", b"ours");
    fs::create_dir(office.target("their folder")).unwrap();
    fs::write(office.target("their folder/theirs.txt"), b"theirs").unwrap();
    office.sync_well();
    office.sync_well();
    assert_eq!(fs::read(office.target("their folder/theirs.txt")).unwrap(), b"theirs");
    assert_eq!(fs::read(office.target("ours.txt")).unwrap(), b"ours");
}

#[test]
fn a_foreign_file_in_the_place_of_ours_is_kept_and_reported() {
    let office = Office::new();
    office.save("plan.txt", b"ours");
    office.save("other.txt", b"other");
    fs::write(office.target("plan.txt"), b"theirs, which is longer").unwrap();
    let said = office.sync();
    assert_eq!(said.code, Some(1), "a path is held: {said}");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"theirs, which is longer");
    assert_eq!(fs::read(office.target("other.txt")).unwrap(), b"other", "one hold stops nothing else");
    assert_eq!(holds(&office), 1);
    let problem = office.problem("plan.txt").expect("it is named in problems");
    assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "with what to do: {problem}");
}

#[test]
fn a_foreign_file_with_the_same_content_is_adopted() {
    let office = Office::new();
    office.save("plan.txt", b"the same");
    fs::copy(office.share("plan.txt"), office.target("plan.txt")).unwrap();
    let before: Vec<_> = office.target_places().iter().map(|place| place.ino).collect();
    office.sync_well();
    office.assert_same();
    assert_eq!(office.target_places().iter().map(|place| place.ino).collect::<Vec<_>>(), before);
    assert_eq!(office.history("plan.txt"), Vec::<Vec<u8>>::new());
}

#[test]
fn a_foreign_edit_of_our_file_is_not_overwritten() {
    let office = Office::new();
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::write(office.target("plan.txt"), b"an edit by someone else").unwrap();
    office.save("plan.txt", b"second");
    let said = office.sync();
    assert_eq!(said.code, Some(1), "the path is held: {said}");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"an edit by someone else");
    assert_eq!(holds(&office), 1);
    assert!(office.problem("plan.txt").is_some(), "it is named in problems");
}

#[test]
fn a_foreign_edit_of_our_file_outlives_the_deletion_of_ours() {
    let office = Office::new();
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::write(office.target("plan.txt"), b"an edit by someone else").unwrap();
    fs::remove_file(office.share("plan.txt")).unwrap();
    office.save("other.txt", b"other");
    let said = office.sync();
    assert_eq!(fs::read(office.target("other.txt")).unwrap(), b"other", "a pass was made: {said}");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"an edit by someone else");
}

#[test]
fn what_only_bears_another_stamp_is_ours_still_when_the_share_deletes_it() {
    let office = Office::new();
    office.save("plan.txt", b"first");
    office.sync_well();
    // As far as a change comes whose machine loses its power: it is kept already, and still in its place.
    let history = office.target(".driftline/history/plan.txt");
    fs::create_dir_all(&history).unwrap();
    fs::hard_link(office.target("plan.txt"), history.join("20200101T000000.000000000Z-00000000")).unwrap();
    fs::remove_file(office.share("plan.txt")).unwrap();
    office.sync_well();
    assert!(!office.target("plan.txt").exists(), "nothing of ours is left behind");
    assert_eq!(office.history("plan.txt"), [b"first"]);
}

#[test]
fn with_drift_overwritten_a_foreign_edit_goes_to_history() {
    let office = Office::configured("", "drift = \"overwrite\"");
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::write(office.target("plan.txt"), b"an edit by someone else").unwrap();
    office.save("plan.txt", b"second");
    office.sync_well();
    office.assert_same();
    assert!(office.history("plan.txt").contains(&b"an edit by someone else".to_vec()));
}

#[test]
fn what_vanished_from_the_target_is_put_back_by_an_audit() {
    let office = Office::configured("", "audit = \"1ms\"");
    office.save("a/plan.txt", b"first");
    office.save("b.txt", b"b");
    office.sync_well();
    fs::remove_dir_all(office.target("a")).unwrap();
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_hold_is_told_once_when_it_begins_and_once_when_it_ends() {
    // Each audit decides it again.
    let office = Office::configured("", "audit = \"300ms\"");
    office.save("plan.txt", b"ours");
    fs::write(office.target("plan.txt"), b"theirs, which is longer").unwrap();
    let agent = office.start();
    office.wait_until("it is held", || holds(&office) == 1);
    for n in 0..3 {
        office.save(format!("meanwhile {n}"), b"work goes on");
        office.wait_until("an audit passes", || office.target(format!("meanwhile {n}")).exists());
    }
    fs::remove_file(office.target("plan.txt")).unwrap();
    office.wait_safe();
    let told = |what: &str| agent.log().lines().filter(|line| line.contains("plan.txt") && line.contains(what)).count();
    assert_eq!((told("is held"), told("no longer held")), (1, 1), "{}", agent.log());
}

#[test]
fn a_hold_ends_when_its_cause_does() {
    let office = Office::new();
    office.save("plan.txt", b"ours");
    fs::write(office.target("plan.txt"), b"theirs, which is longer").unwrap();
    assert_eq!(office.sync().code, Some(1));
    fs::remove_file(office.target("plan.txt")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(holds(&office), 0);
    assert!(office.problem("plan.txt").is_none());
}
