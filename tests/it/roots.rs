//! A share or a target that is not there, or is not the one it was.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::office::{Office, Tree, must, targets};

/// An office that was in step once.
fn settled_office() -> Office {
    let office = Office::new();
    office.save("letters/offer.docx", b"an offer");
    office.save("plan.txt", b"a plan");
    office.sync_well();
    office
}

/// Takes a folder away, and puts an empty one in its place if `empty`.
fn swap_out(office: &Office, name: &str, empty: bool) {
    fs::rename(office.path(name), office.path("elsewhere")).unwrap();
    if empty {
        fs::create_dir(office.path(name)).unwrap();
    }
}

fn swap_in(office: &Office, name: &str) {
    if office.path(name).exists() {
        fs::remove_dir(office.path(name)).expect("the empty folder is empty still");
    }
    fs::rename(office.path("elsewhere"), office.path(name)).unwrap();
}

fn assert_source_offline_deletes_nothing(empty: bool) {
    let office = settled_office();
    let (tree, places) = (Tree::read(&office.target("")).unwrap().without_ours(), office.target_places());
    swap_out(&office, "share", empty);
    let said = office.sync();
    assert_eq!(said.code, Some(1), "an offline share is a problem: {said}");
    assert!(said.err.contains(office.path("share").to_str().unwrap()), "it is named: {said}");
    assert_eq!(Tree::read(&office.target("")).unwrap().without_ours(), tree);
    assert_eq!(office.target_places(), places);
    assert_ne!(office.status()["verdict"], "safe");
    swap_in(&office, "share");
    office.save("letters/offer.docx", b"a better offer");
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_missing_share_deletes_nothing_and_recovers() {
    assert_source_offline_deletes_nothing(false);
}

#[test]
fn an_empty_folder_in_the_place_of_the_share_deletes_nothing_and_recovers() {
    assert_source_offline_deletes_nothing(true);
}

#[test]
fn a_share_that_goes_away_under_the_agents_eyes_deletes_nothing_and_recovers() {
    let office = settled_office();
    let _agent = office.start();
    office.wait_same();
    let places = office.target_places();
    for empty in [false, true] {
        swap_out(&office, "share", empty);
        office.wait_until("not safe while the share is away", || office.status()["verdict"] != "safe");
        assert_eq!(office.target_places(), places);
        swap_in(&office, "share");
        office.wait_safe();
        assert_eq!(office.target_places(), places);
    }
    office.save("plan.txt", b"a better plan");
    office.wait_same();
}

#[test]
fn another_folder_in_the_place_of_the_share_deletes_nothing_and_recovers() {
    let office = settled_office();
    let _agent = office.start();
    office.wait_same();
    let places = office.target_places();
    swap_out(&office, "share", true);
    office.save("other/papers.docx", b"somebody else's");
    office.save("plan.txt", b"another plan");
    // What a scan of it would bring about is made within its grace.
    office.wait_until("offline with another share", || office.tell(&["status"]).out.contains("offline"));
    assert_ne!(office.status()["verdict"], "safe");
    assert_eq!(office.target_places(), places);
    fs::remove_dir_all(office.path("share")).unwrap();
    swap_in(&office, "share");
    office.wait_same();
    assert_eq!(office.target_places(), places);
    assert!(!office.target("other").exists());
}

#[test]
fn another_target_in_the_place_of_ours_is_left_as_it_is_and_ours_is_taken_up_again() {
    let (office, other) = (settled_office(), settled_office());
    let _agent = office.start();
    office.wait_same();
    swap_out(&office, "target", false);
    fs::rename(other.path("target"), office.path("target")).unwrap();
    let theirs = Tree::read(&office.target("")).unwrap();
    office.save("plan.txt", b"edited before another target");
    office.wait_until("a target with an error", || targets(&office.status()).any(|target| !target["error"].is_null()));
    assert_ne!(office.status()["verdict"], "safe");
    assert_eq!(Tree::read(&office.target("")).unwrap(), theirs, "not even ours");
    fs::rename(office.path("target"), other.path("target")).unwrap();
    swap_in(&office, "target");
    office.wait_same();
    assert_eq!(office.history("plan.txt"), [b"a plan"]);
}

#[test]
fn a_target_that_goes_away_under_the_agents_eyes_is_not_made_anew_and_recovers() {
    let office = settled_office();
    let _agent = office.start();
    office.wait_same();
    for (empty, text) in [(false, "edited without a target"), (true, "edited before an empty target")] {
        swap_out(&office, "target", empty);
        office.save("plan.txt", text);
        office.wait_until("a target with an error", || {
            targets(&office.status()).any(|target| !target["error"].is_null())
        });
        assert_ne!(office.status()["verdict"], "safe");
        assert_eq!(office.target("").exists(), empty, "it is not created");
        swap_in(&office, "target");
        office.wait_same();
    }
}

#[test]
fn a_missing_target_is_named_and_not_created() {
    let office = Office::new();
    office.save("plan.txt", b"a plan");
    fs::remove_dir(office.target("")).unwrap();
    let said = office.sync();
    assert!(said.code.is_some_and(|code| code != 0), "it is an error: {said}");
    assert!(said.err.contains(office.path("target").to_str().unwrap()), "it is named: {said}");
    assert!(!office.path("target").exists(), "it is not created");
}

#[test]
fn a_target_recreated_empty_is_offline_and_nothing_is_written_into_it() {
    let office = settled_office();
    swap_out(&office, "target", true);
    office.save("plan.txt", b"a better plan");
    let said = office.sync();
    assert_eq!(said.code, Some(1), "an offline target is a problem: {said}");
    assert!(said.err.contains(office.path("target").to_str().unwrap()), "it is named: {said}");
    assert_eq!(fs::read_dir(office.target("")).unwrap().count(), 0, "not even ours");
    swap_in(&office, "target");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("plan.txt"), [b"a plan"]);
}

#[test]
fn the_target_of_another_share_is_refused() {
    let (office, other) = (settled_office(), Office::new());
    other.save("other.txt", b"other");
    fs::remove_dir(other.target("")).unwrap();
    fs::rename(office.path("target"), other.path("target")).unwrap();
    let places = other.target_places();
    let said = other.sync();
    assert!(said.code.is_some_and(|code| code != 0), "it is an error: {said}");
    assert_eq!(other.target_places(), places);
}

#[test]
fn another_folder_is_the_share_once_it_is_approved_and_only_then() {
    let office = Office::configured("settle = \"100ms\"", "");
    (0..5).for_each(|n| office.save(format!("{n}.txt"), format!("text {n}")));
    office.sync_well();
    let before = office.target_places();
    // The files on another disk, put in the place of the old one.
    must(Command::new("cp").arg("-a").arg(office.path("share")).arg(office.path("new disk")));
    fs::rename(office.path("share"), office.path("old disk")).unwrap();
    fs::rename(office.path("new disk"), office.path("share")).unwrap();
    let mut agent = office.start();
    office.wait_until("it is offline, and the way on is named", || {
        let said = office.tell(&["problems"]);
        said.out.contains("driftline approve papers")
    });
    let said = office.tell(&["approve", "papers"]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.err.contains("an agent works with it") && said.err.contains("hint: stop that agent first"), "{said}");
    agent.terminate(Duration::from_secs(10));
    drop(agent);
    let said = office.tell(&["approve", "papers"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.out.contains("from now on: it was another folder before"), "{said}");
    office.sync_well();
    assert_eq!(office.target_places(), before, "nothing was sent again");
    let said = office.tell(&["approve", "papers"]);
    assert!(said.out.contains("there is nothing to approve"), "{said}");
    // An empty one is more likely a disk that is not mounted.
    fs::rename(office.path("share"), office.path("away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    let said = office.tell(&["approve", "papers"]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.err.contains("another folder than before, and empty"), "{said}");
    let said = office.tell(&["approve", "letters"]);
    assert_eq!(said.code, Some(2), "{said}");
}

#[test]
fn a_target_recreated_empty_is_filled_again_once_it_is_approved_and_only_then() {
    let office = Office::configured("settle = \"100ms\"", "");
    (0..5).for_each(|n| office.save(format!("{n}.txt"), format!("text {n}")));
    office.sync_well();
    fs::remove_dir_all(office.path("target")).unwrap();
    fs::create_dir(office.path("target")).unwrap();
    let said = office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("driftline approve SHARE/TARGET"), "{said}");
    assert_eq!(fs::read_dir(office.path("target")).unwrap().count(), 0);
    let said = office.tell(&["approve", "papers/backup"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.out.contains("it was another place before"), "{said}");
    office.sync_well();
    office.assert_same();
}
