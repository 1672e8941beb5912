//! Storage that is half broken: what cannot be read is never taken for absent, and is named until it can be read again.

use std::fs;

use crate::office::{Faults, Office, PATIENCE, hear, targets, with_faults};

/// Files in the folder that breaks (count), with names so long that several system calls are needed to list them.
const FILES: usize = 400;

fn name(i: usize) -> String {
    format!("broken/{i:03} {}", "n".repeat(240))
}

/// An office in step, with a folder that will break and one that will not.
fn settled_office() -> Office {
    let office = Office::configured("settle = \"100ms\"\nrescan = \"1s\"", "");
    (0..FILES).for_each(|i| office.save(name(i), format!("content of {i}")));
    (0..10).for_each(|i| office.save(format!("fine/{i}"), format!("content of {i}")));
    office.sync_well();
    office
}

fn on_target(office: &Office) -> usize {
    (0..FILES).filter(|i| office.target(name(*i)).exists()).count()
}

/// One pass over a share of which one folder is broken in this way: every twentieth file in it is deleted meanwhile, and one
/// in a folder that is fine.
fn assert_nothing_is_lost(faults: &[&str], named: &str, cause: &str, hint: &str) {
    let office = settled_office();
    (0..FILES).step_by(20).for_each(|i| fs::remove_file(office.share(name(i))).unwrap());
    fs::remove_file(office.share("fine/3")).unwrap();
    office.save("fine/new", b"new");
    let said = hear(&mut with_faults(&office.command(&["sync"]), &office.share("broken"), faults));
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(on_target(&office), FILES, "{faults:?}: no absence near a fault is believed; {said}");
    assert!(!office.target("fine/3").exists() && office.target("fine/new").exists(), "elsewhere all goes on: {said}");
    assert!(office.history(name(0)).is_empty(), "nothing was moved into history");
    let problems = office.tell(&["problems"]);
    assert_eq!(problems.code, Some(1), "{problems}");
    assert!(problems.out.contains(&format!("papers: {named}")) && problems.out.contains(cause), "{problems}");
    assert!(problems.out.contains(hint), "it says what to do: {problems}");
    assert_ne!(office.status()["verdict"], "safe");
    office.sync_well();
    office.assert_same();
    assert_eq!(on_target(&office), FILES - FILES / 20);
    assert_eq!(office.history(name(0)), [b"content of 0"]);
    assert_eq!(office.tell(&["problems"]).code, Some(0));
}

#[test]
fn a_folder_whose_listing_breaks_off_in_the_middle_loses_nothing() {
    assert_nothing_is_lost(&["getdents64:error=EIO:when=2+"], "broken\n", "cannot list the folder", "dmesg");
}

#[test]
fn a_folder_that_cannot_be_listed_at_all_loses_nothing() {
    assert_nothing_is_lost(&["getdents64:error=ESTALE"], "broken\n", "cannot list the folder", "remount");
}

#[test]
fn half_of_a_folder_that_answers_with_errors_loses_nothing() {
    assert_nothing_is_lost(&["statx:error=EIO:when=1+2"], "broken/", "Input/output error", "dmesg");
}

#[test]
fn half_of_a_folder_that_the_file_server_forgot_loses_nothing() {
    assert_nothing_is_lost(&["statx:error=ESTALE:when=2+2"], "broken/", "Stale file handle", "remount");
}

#[test]
fn a_folder_that_neither_lists_nor_opens_loses_nothing() {
    let faults = ["openat,openat2:error=EIO", "statx:error=EIO:when=1+3", "getdents64:error=EIO:when=2+"];
    assert_nothing_is_lost(&faults, "broken", "Input/output error", "dmesg");
}

#[test]
fn what_breaks_under_the_agents_eyes_is_told_and_heals_by_itself() {
    let office = settled_office();
    let mut agent = office.start();
    office.wait_same();
    let all = ["getdents64:error=EIO:when=2+", "statx:error=EIO:when=1+2"];
    let Some(faults) = Faults::of(agent.pid(), &office.share("broken"), &all) else { return };
    (0..FILES).step_by(20).for_each(|i| fs::remove_file(office.share(name(i))).unwrap());
    office.wait_until("it is told", || office.tell(&["problems"]).out.contains("Input/output error"));
    fs::remove_file(office.share("fine/3")).unwrap();
    office.wait_until("elsewhere all goes on", || !office.target("fine/3").exists());
    let status = office.status();
    assert_ne!(status["verdict"], "safe", "{status:#}");
    assert!(targets(&status).all(|target| target["state"] == "ok"), "the target is fine: {status:#}");
    assert_eq!(on_target(&office), FILES, "no absence near a fault is believed");
    drop(faults);
    office.wait_same();
    assert_eq!(on_target(&office), FILES - FILES / 20);
    assert_eq!(office.tell(&["problems"]).code, Some(0));
    assert!(agent.terminate(PATIENCE).is_some(), "it ends");
    let log = agent.log();
    let told = log.lines().filter(|line| line.contains("Input/output error")).count();
    let counted = log.lines().any(|line| line.contains("cannot be read either, and not named here: "));
    assert!(told <= 100 && counted, "some are named, the others counted: {log}");
}
