//! Ends that nobody asked for, at any moment.

mod editor;

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use crate::crashes::editor::Editor;
use crate::office::{Agent, Dice, Office, files_below, wait};

const KILLS: u64 = 100;
const SEED: u64 = 20_241_123;

/// Fails if a file on the target, or in its history, is none of the versions that were ever saved.
fn assert_only_whole_versions(office: &Office, versions: &HashSet<blake3::Hash>, context: &str) {
    let staging = office.target(".driftline/staging");
    let identity = office.target(".driftline/identity");
    let ledger = office.target(".driftline/ledger");
    let agents = office.target(".driftline/agents");
    for file in files_below(&office.target("")) {
        if file.starts_with(&staging) || file.starts_with(&ledger) || file.starts_with(&agents) || file == identity {
            continue;
        }
        let bytes = fs::read(&file).expect("nothing changes the target between two runs");
        assert!(
            versions.contains(&blake3::hash(&bytes)),
            "{context}: {file:?} holds {} bytes never saved",
            bytes.len()
        );
    }
}

#[test]
fn killed_a_hundred_times_it_never_leaves_a_partial_file_and_always_finishes() {
    let office = Office::configured("settle = \"50ms\"", "");
    let mut dice = Dice::new(SEED);
    let editor = Editor::start(office.path("share"), dice.next());
    for kill in 0..KILLS {
        let word = if kill % 2 == 0 { "run" } else { "sync" };
        let mut agent = Agent::start(office.command(&[word]), &office.path("home"));
        let life = Duration::from_millis(5 + dice.below(395));
        wait(life, || !agent.lives());
        agent.kill();
        assert_only_whole_versions(
            &office,
            &editor.versions(),
            &format!("seed {SEED}, kill {kill} ({word}, {life:?})"),
        );
    }
    let versions = editor.stop();
    office.sync_well();
    office.assert_same();
    assert_only_whole_versions(&office, &versions, "after the last pass");
    assert!(office.staged().is_empty(), "staging is left empty: {:?}", office.staged());
    assert!(versions.len() > 200, "the editor was at work: {} versions", versions.len());
}

#[test]
fn asked_to_end_in_the_middle_of_a_large_file_it_ends_soon_and_finishes_later() {
    let office = Office::new();
    furnish_disk_image(&office);
    let mut agent = office.start();
    let largest = || office.staged().iter().filter_map(|file| fs::metadata(file).ok()).map(|m| m.blocks()).max();
    office.wait_until("it begins to copy", || largest() > Some(2048) || office.target("disk.img").exists());
    let end = agent.terminate(Duration::from_secs(30)).expect("it ends within seconds, not when the copy is done");
    assert_eq!(end.code(), Some(0), "{end}: {}", agent.log());
    if office.target("disk.img").exists() {
        office.assert_same();
    }
    office.sync_well();
    office.assert_same();
    assert!(office.staged().is_empty(), "staging is left empty: {:?}", office.staged());
    let [share, target] =
        [office.share("disk.img"), office.target("disk.img")].map(|p| fs::metadata(p).unwrap().blocks());
    assert!(target <= share + 2048, "it stays sparse: {target} blocks, {share} on the share");
}

/// 2 GiB of which 300 MiB are written, in stretches.
fn furnish_disk_image(office: &Office) {
    let file = File::create(office.share("disk.img")).unwrap();
    file.set_len(2 << 30).unwrap();
    let block = Dice::new(8).bytes(10 << 20);
    (0..30).for_each(|i| file.write_all_at(&block, i * (64 << 20)).unwrap());
    file.sync_all().unwrap();
}

#[test]
fn what_was_killed_while_it_deleted_and_renamed_finishes_on_the_next_pass() {
    let office = Office::new();
    for i in 0..600 {
        office.save(format!("folder {}/file {i}", i % 20), format!("content of {i}"));
    }
    office.sync_well();
    (0..10).for_each(|i| fs::rename(office.share(format!("folder {i}")), office.share(format!("moved {i}"))).unwrap());
    (10..15).for_each(|i| fs::remove_dir_all(office.share(format!("folder {i}"))).unwrap());
    let mut dice = Dice::new(SEED);
    for _ in 0..20 {
        let mut agent = Agent::start(office.command(&["sync"]), &office.path("home"));
        wait(Duration::from_millis(20 + dice.below(300)), || !agent.lives());
        agent.kill();
    }
    office.sync_well();
    office.assert_same();
    for i in [10, 30, 590] {
        let path = format!("folder {}/file {i}", i % 20);
        assert_eq!(office.history(&path), [format!("content of {i}").into_bytes()], "{path} is in history");
    }
}
