//! The index is disposable.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::office::{Dice, Office, files_below, must, targets};

/// An office in step, with an index that is about to be lost.
fn settled_office() -> Office {
    let office = Office::new();
    for i in 0..40 {
        office.save(format!("folder {}/file {i}", i % 4), format!("content of {i}"));
    }
    fs::create_dir(office.share("empty")).unwrap();
    std::os::unix::fs::symlink("folder 1", office.share("link")).unwrap();
    office.sync_well();
    office
}

/// One more pass leaves the target as it is, and the one after that still carries changes.
fn assert_found_again(office: &Office, before: &[crate::office::Place]) {
    office.sync_well();
    office.assert_same();
    assert_eq!(office.target_places(), before, "nothing was sent again");
    office.save("folder 0/file 0", b"an edit");
    fs::remove_file(office.share("folder 1/file 1")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("folder 0/file 0"), [b"content of 0"]);
}

#[test]
fn with_the_index_deleted_the_next_sync_adopts_what_is_there() {
    let office = settled_office();
    let before = office.target_places();
    for file in office.index_files() {
        fs::remove_file(file).unwrap();
    }
    assert_found_again(&office, &before);
}

#[test]
fn with_the_whole_state_folder_deleted_the_next_sync_adopts_what_is_there() {
    let office = settled_office();
    let before = office.target_places();
    fs::remove_dir_all(office.path("state")).unwrap();
    fs::create_dir(office.path("state")).unwrap();
    assert_found_again(&office, &before);
}

#[test]
fn a_corrupt_index_is_set_aside_and_rebuilt() {
    let office = settled_office();
    let before = office.target_places();
    let index = office.index_files().swap_remove(0);
    let noise = Dice::new(5).bytes(usize::try_from(fs::metadata(&index).unwrap().len()).unwrap());
    fs::write(&index, &noise).unwrap();
    assert_found_again(&office, &before);
    let aside = files_below(&office.path("state")).into_iter().any(|file| fs::read(file).is_ok_and(|b| b == noise));
    assert!(aside, "what was corrupt is kept for whoever wants to look at it");
}

#[test]
fn an_index_damaged_in_the_middle_loses_nothing() {
    let office = settled_office();
    let index = office.index_files().swap_remove(0);
    let mut bytes = fs::read(&index).unwrap();
    let noise = Dice::new(6).bytes(bytes.len().saturating_sub(4096));
    bytes.splice(4096.., noise);
    fs::write(&index, bytes).unwrap();
    office.save("folder 2/new since", b"new");
    office.sync_well();
    office.assert_same();
    office.save("folder 0/file 0", b"an edit");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history("folder 0/file 0"), [b"content of 0"]);
}

#[test]
fn pages_overwritten_at_random_are_noticed_and_nothing_is_sent_again() {
    for seed in 0..6 {
        let office = settled_office();
        let before = inodes(&office);
        let index = office.index_files().swap_remove(0);
        let mut bytes = fs::read(&index).unwrap();
        let (mut dice, pages) = (Dice::new(seed), bytes.len() / 4096);
        for page in (0..pages).filter(|page| (page * 7 + usize::try_from(seed).unwrap()) % 3 == 0) {
            bytes.splice(page * 4096..(page + 1) * 4096, dice.bytes(4096));
        }
        fs::write(&index, bytes).unwrap();
        office.sync_well();
        office.assert_same();
        assert_eq!(inodes(&office), before, "seed {seed}: nothing was sent again");
        assert!(files_below(&office.target(".driftline/history")).is_empty(), "seed {seed}: nothing was replaced");
        let told = office.tell(&["log", "--json"]);
        assert!(told.out.contains("set aside"), "seed {seed}: it is told: {told}");
    }
}

/// Which file lies at each path of the target: another one wherever anything was put.
fn inodes(office: &Office) -> Vec<(String, u64)> {
    office.target_places().into_iter().map(|place| (place.path, place.ino)).collect()
}

#[test]
fn an_index_of_last_week_undoes_nothing_and_sends_nothing_again() {
    let office = settled_office();
    let kept: Vec<_> = office.index_files().into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    office.save("folder 0/file 0", b"edited since");
    office.save("new since", b"new");
    fs::remove_file(office.share("folder 1/file 1")).unwrap();
    fs::rename(office.share("folder 2"), office.share("folder two")).unwrap();
    office.sync_well();
    let before = inodes(&office);
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    kept.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap());
    office.sync_well();
    office.assert_same();
    assert_eq!(inodes(&office), before, "nothing was sent again");
    assert_eq!(office.history("folder 0/file 0"), [b"content of 0"]);
    assert_eq!(office.history("folder 1/file 1").len(), 1, "what was deleted is in history once");
}

#[test]
fn what_was_deleted_before_the_index_was_lost_does_not_come_back() {
    let office = settled_office();
    fs::remove_file(office.share("folder 1/file 1")).unwrap();
    office.sync_well();
    fs::write(office.target("folder 1/file 1"), "put back by someone else").unwrap();
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    office.sync_well();
    assert!(!office.share("folder 1/file 1").exists(), "nothing is ever copied to the share");
    let theirs = fs::read(office.target("folder 1/file 1")).unwrap();
    assert_eq!(theirs, b"put back by someone else", "and what is not ours is kept");
    assert_eq!(office.problem("folder 1/file 1"), None);
}

#[test]
fn a_history_is_not_pruned_on_the_word_of_an_index_that_was_made_anew() {
    let office = Office::configured("", "history = \"1s\"");
    for version in ["one", "two", "three"] {
        office.save("plan.txt", version);
        office.sync_well();
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    office.sync_well();
    assert_eq!(office.history("plan.txt"), [b"two"], "older ones went, and the newest of what is there stays");
}

/// A file is deleted on the share while the agent is down and its index is lost in this way.
fn deleted_meanwhile(lose: impl Fn(&Office, &[(PathBuf, Vec<u8>)])) -> Office {
    let office = settled_office();
    let week_old: Vec<_> =
        office.index_files().into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    office.save("folder 0/file 0", b"edited since");
    office.sync_well();
    fs::remove_file(office.share("folder 1/file 1")).unwrap();
    fs::remove_dir_all(office.share("folder 3")).unwrap();
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    lose(&office, &week_old);
    for _ in 0..3 {
        office.sync_well();
        assert!(
            !office.share("folder 1/file 1").exists() && !office.share("folder 3").exists(),
            "it does not come back"
        );
    }
    office
}

#[test]
fn what_was_deleted_while_the_index_was_of_last_week_does_not_come_back_and_goes_into_history() {
    let office =
        deleted_meanwhile(|_, week_old| week_old.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap()));
    office.assert_same();
    assert_eq!(office.history("folder 1/file 1"), [b"content of 1"]);
    assert_eq!(office.history("folder 3/file 7"), [b"content of 7"]);
}

#[test]
fn what_was_deleted_while_the_index_was_lost_does_not_come_back_and_its_copy_is_left_and_counted() {
    let office = deleted_meanwhile(|_, _| ());
    // Nobody can tell any more whose it is: it stays where it is, where no agent touches it.
    assert_eq!(fs::read(office.target("folder 1/file 1")).unwrap(), b"content of 1");
    assert_eq!(fs::read(office.target("folder 3/file 7")).unwrap(), b"content of 7");
    let status = office.status();
    assert_eq!(targets(&status).next().unwrap()["foreign"], 11, "{status:#}");
    assert_eq!(status["verdict"], "safe");
}

/// Bytes that one pass writes anywhere: to the target, the index, the log. What a program writes is counted to whoever waited
/// for it, also as it ends.
fn bytes_of_a_pass(office: &Office) -> u64 {
    let command = office.command(&["sync"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" || exit; cat /proc/$$/io", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let said = must(&mut shell).out;
    let line = said.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap_or_else(|| panic!("no count: {said}"));
    line.parse().unwrap()
}

#[test]
#[expect(clippy::print_stderr, reason = "a measured value beside its bound")]
fn however_the_index_was_lost_what_is_written_on_the_way_back_is_no_content() {
    const CONTENT: u64 = 64 << 20;
    for loss in ["none", "deleted", "noise", "a week old"] {
        let office = Office::configured("", "");
        let mut dice = Dice::new(3);
        (0..16).for_each(|i| office.save(format!("{i}.bin"), dice.bytes(4 << 20)));
        let first = bytes_of_a_pass(&office);
        assert!(first > CONTENT, "content is counted: {first} bytes");
        let index = office.index_files();
        let week_old: Vec<_> = index.iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
        (0..16).for_each(|i| office.save(format!("new {i}.bin"), dice.bytes(4 << 20)));
        office.sync_well();
        match loss {
            "none" => {}
            "noise" => fs::write(&index[0], Dice::new(8).bytes(200_000)).unwrap(),
            _ => office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap()),
        }
        if loss == "a week old" {
            week_old.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        }
        let bytes = bytes_of_a_pass(&office);
        eprintln!("{} bytes of content, index {loss}: {bytes} bytes written in all", 2 * CONTENT);
        assert!(bytes < CONTENT / 32, "index {loss}: {bytes} bytes, not one file of 4 MiB among them");
        office.assert_same();
    }
}

#[test]
fn however_the_index_was_lost_no_byte_is_written_in_a_folder_on_the_way_back() {
    for loss in ["deleted", "noise", "a week old"] {
        let office = settled_office();
        let week_old: Vec<_> =
            office.index_files().into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
        office.save("folder 0/file 0", b"edited since");
        office.save("new since", b"new");
        fs::remove_file(office.share("folder 1/file 1")).unwrap();
        office.sync_well();
        let (before, history) = (office.target_places(), files_below(&office.target(".driftline/history")));
        let inodes_before = inodes(&office);
        let index = office.index_files();
        match loss {
            "noise" => fs::write(&index[0], Dice::new(8).bytes(200_000)).unwrap(),
            _ => index.iter().for_each(|file| fs::remove_file(file).unwrap()),
        }
        if loss == "a week old" {
            week_old.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        }
        office.sync_well();
        office.assert_same();
        assert_eq!(inodes(&office), inodes_before, "index {loss}: no byte and no name is changed");
        if loss != "a week old" {
            // An older one may have a folder's time set once more, to what it is.
            assert_eq!(office.target_places(), before, "index {loss}: not even a time is set");
        }
        assert_eq!(files_below(&office.target(".driftline/history")), history, "index {loss}");
        assert_eq!(office.status()["verdict"], "safe");
    }
}
