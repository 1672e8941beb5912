//! Two-way (`drift = "take"`): what others change on a target comes to the share, and nobody's work is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::office::{Office, must, targets};

fn office() -> Office {
    Office::configured("settle = \"100ms\"", "drift = \"take\"")
}

/// All that gave way on the share.
fn kept(office: &Office) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut folders = vec![office.share(".driftline/kept")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(fs::read(path).unwrap()) }
        }
    }
    found.sort();
    found
}

fn age(path: &Path) {
    must(Command::new("touch").args(["-d", "2020-02-02 02:02:02"]).arg(path));
}

#[test]
fn what_others_make_edit_and_remove_on_the_target_comes_to_the_share() {
    let office = office();
    office.save("plan.txt", b"first");
    office.save("old/list.txt", b"a list");
    office.save("stays.txt", b"stays");
    office.sync_well();
    fs::create_dir_all(office.target("new/deep")).unwrap();
    fs::write(office.target("new/deep/letter.txt"), b"a letter of theirs").unwrap();
    fs::set_permissions(office.target("new"), fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("letter.txt", office.target("new/deep/link")).unwrap();
    fs::write(office.target("plan.txt"), b"an edit of theirs").unwrap();
    age(&office.target("plan.txt"));
    fs::remove_dir_all(office.target("old")).unwrap();
    fs::set_permissions(office.target("stays.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.share("new/deep/letter.txt")).unwrap(), b"a letter of theirs");
    assert_eq!(fs::metadata(office.share("new")).unwrap().mode() & 0o777, 0o750);
    assert_eq!(fs::read_link(office.share("new/deep/link")).unwrap(), Path::new("letter.txt"));
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"an edit of theirs");
    assert_eq!(
        fs::metadata(office.share("plan.txt")).unwrap().mtime(),
        fs::metadata(office.target("plan.txt")).unwrap().mtime()
    );
    assert_eq!(fs::metadata(office.share("stays.txt")).unwrap().mode() & 0o777, 0o755, "their mode");
    assert!(!office.share("old").exists(), "they removed it");
    assert_eq!(kept(&office), [b"a list".to_vec(), b"first".to_vec()], "what gave way is kept");
    let before: Vec<_> = office.target_places().iter().map(|place| place.ino).collect();
    office.sync_well();
    assert_eq!(
        office.target_places().iter().map(|place| place.ino).collect::<Vec<_>>(),
        before,
        "and nothing goes back"
    );
    assert!(!office.target(".driftline/kept").exists(), "what is ours on the share is not mirrored");
}

#[test]
fn an_edit_is_worth_more_than_a_removal_on_either_side() {
    let office = office();
    office.save("here.txt", b"first");
    office.save("there.txt", b"first");
    office.sync_well();
    office.save("here.txt", b"edited on the share");
    fs::remove_file(office.target("here.txt")).unwrap();
    fs::remove_file(office.share("there.txt")).unwrap();
    fs::write(office.target("there.txt"), b"edited on the target").unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("here.txt")).unwrap(), b"edited on the share");
    assert_eq!(fs::read(office.share("there.txt")).unwrap(), b"edited on the target");
}

#[test]
fn where_both_edited_the_shares_stays_and_theirs_is_in_history_and_listed() {
    let office = office();
    office.save("plan.txt", b"first");
    office.save("same.txt", b"first");
    office.sync_well();
    office.save("plan.txt", b"edited here");
    fs::write(office.target("plan.txt"), b"and edited there").unwrap();
    office.save("same.txt", b"the same edit");
    fs::write(office.target("same.txt"), b"the same edit").unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"edited here");
    assert!(office.history("plan.txt").contains(&b"and edited there".to_vec()), "theirs can be had back");
    assert_eq!(kept(&office), Vec::<Vec<u8>>::new(), "nothing gave way on the share");
    let said = office.tell(&["log", "--json"]);
    let conflicts: Vec<_> = said.out.lines().filter(|line| line.contains("\"conflict\"")).collect();
    assert_eq!(conflicts.len(), 1, "content comes first: equal is no conflict: {conflicts:?}");
    assert!(conflicts[0].contains("plan.txt"), "{conflicts:?}");
}

#[test]
fn many_files_removed_on_the_target_are_not_removed_here_before_a_person_has_looked() {
    let office = office();
    (0..60).for_each(|i| office.save(format!("dept {}/{i}.txt", i % 5), format!("file {i}")));
    office.sync_well();
    (0..5).for_each(|i| fs::remove_dir_all(office.target(format!("dept {i}"))).unwrap());
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it halts: {said}");
    assert_eq!(office.status()["verdict"], "halted");
    let there = (0..60).filter(|i| office.share(format!("dept {}/{i}.txt", i % 5)).exists()).count();
    assert_eq!(there, 60, "nothing was taken away");
    let counts = targets(&office.status()).next().unwrap()["halt"]["counts"].clone();
    assert_eq!(counts["removed"], 60, "{counts:#}");
    office.tell(&["approve", "papers/backup"]);
    office.sync_well();
    office.assert_same();
    assert!(!office.share("dept 0").exists());
    assert_eq!(kept(&office).len(), 60, "and all of it is kept");
}

#[test]
fn what_somebody_has_open_for_writing_does_not_give_way() {
    let office = office();
    office.save("plan.txt", b"first");
    office.sync_well();
    let mut writer = fs::OpenOptions::new().append(true).open(office.share("plan.txt")).unwrap();
    fs::write(office.target("plan.txt"), b"theirs, meanwhile").unwrap();
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it waits: {said}");
    let problem = office.problem("plan.txt").expect("it is named in problems");
    assert!(problem["message"].as_str().unwrap().contains("open for writing here"), "{problem}");
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"first", "{said}");
    std::io::Write::write_all(&mut writer, b" and second").unwrap();
    drop(writer);
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"first and second", "both changed: the share's stays");
    assert!(office.history("plan.txt").contains(&b"theirs, meanwhile".to_vec()));
}

#[test]
fn what_the_share_leaves_out_is_not_brought_to_it() {
    let office = Office::configured("ignore = [\"*.bak\"]", "drift = \"take\"");
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::write(office.target("plan.bak"), b"theirs").unwrap();
    fs::write(office.target("~$plan.docx"), b"theirs").unwrap();
    office.sync_well();
    assert!(!office.share("plan.bak").exists() && !office.share("~$plan.docx").exists());
    assert!(office.target("plan.bak").exists(), "and theirs is left alone");
}

#[test]
fn a_folder_here_and_a_file_there_wait_for_a_person_and_both_stay() {
    let office = office();
    office.save("thing", b"a file");
    office.sync_well();
    fs::remove_file(office.target("thing")).unwrap();
    fs::create_dir(office.target("thing")).unwrap();
    fs::write(office.target("thing/inside.txt"), b"theirs").unwrap();
    let said = office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(fs::read(office.share("thing")).unwrap(), b"a file");
    assert_eq!(fs::read(office.target("thing/inside.txt")).unwrap(), b"theirs");
    assert!(office.problem("thing").is_some());
    fs::rename(office.share("thing"), office.share("thing of ours")).unwrap();
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("thing/inside.txt")).unwrap(), b"theirs");
    assert_eq!(fs::read(office.share("thing of ours")).unwrap(), b"a file");
}

#[test]
fn two_sides_that_are_full_become_one_after_a_plan_was_shown() {
    let office = office();
    office.save("both.txt", b"the same");
    office.save("edited.txt", b"here");
    office.save("only here.txt", b"here");
    fs::write(office.target("both.txt"), b"the same").unwrap();
    fs::write(office.target("edited.txt"), b"there, and longer").unwrap();
    fs::write(office.target("only there.txt"), b"there").unwrap();
    let plan = office.tell(&["sync", "--dry-run"]);
    assert!(plan.out.contains("take new") && plan.out.contains("only there.txt"), "{plan}");
    assert!(!office.share("only there.txt").exists(), "a plan moves nothing");
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("only there.txt")).unwrap(), b"there");
    assert_eq!(fs::read(office.target("edited.txt")).unwrap(), b"here");
    assert!(office.history("edited.txt").contains(&b"there, and longer".to_vec()));
}

/// Two targets that are both taken from; and the second one.
fn office_with_two_targets() -> (Office, PathBuf) {
    let office = Office::new();
    let other = office.path("other");
    fs::create_dir(&other).unwrap();
    let lines = format!(
        "{}\n[[share.target]]\nname = \"other\"\npath = {other:?}\ndrift = \"take\"\n",
        office.folder_target("drift = \"take\"")
    );
    let office = office.with_targets("settle = \"100ms\"", &lines);
    (office, other)
}

#[test]
fn what_comes_from_one_target_goes_to_the_other() {
    let (office, other) = office_with_two_targets();
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::write(other.join("plan.txt"), b"edited on the other target").unwrap();
    fs::write(office.target("letter.txt"), b"new on the first").unwrap();
    office.sync_well();
    office.sync_well();
    for place in [office.share(""), office.target(""), other] {
        assert_eq!(fs::read(place.join("plan.txt")).unwrap(), b"edited on the other target");
        assert_eq!(fs::read(place.join("letter.txt")).unwrap(), b"new on the first");
    }
}

/// An old copy waits, and people are told what to do.
fn assert_returned(office: &Office, path: &str) {
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it waits for a person: {said}");
    assert!(!office.share(path).exists(), "the old delete came back: {said}");
    let problem = office.problem(path).expect("it is named in problems");
    let (message, hint) = (problem["message"].as_str().unwrap(), problem["hint"].as_str().unwrap());
    assert!(
        message.contains("the share deleted it, and a copy of what it deleted is on the target again"),
        "{problem}"
    );
    assert!(
        hint.contains(&format!("driftline restore {path}")) && hint.contains("remove it on the target"),
        "{problem}"
    );
}

#[test]
fn an_old_copy_of_what_the_share_deleted_does_not_come_back_and_another_content_does() {
    let office = office();
    office.save("plan.txt", b"first");
    office.save("other.txt", b"first");
    std::os::unix::fs::symlink("plan.txt", office.share("link")).unwrap();
    office.sync_well();
    for name in ["plan.txt", "other.txt", "link"] {
        fs::remove_file(office.share(name)).unwrap();
    }
    office.sync_well();
    fs::write(office.target("plan.txt"), b"first").unwrap();
    fs::write(office.target("other.txt"), b"newer").unwrap();
    std::os::unix::fs::symlink("plan.txt", office.target("link")).unwrap();
    assert_returned(&office, "plan.txt");
    assert!(!office.share("link").is_symlink() && office.problem("link").is_some());
    assert_eq!(fs::read(office.share("other.txt")).unwrap(), b"newer", "another content is news");
    let told = office.tell(&["explain", "plan.txt"]);
    assert!(
        told.out.contains("an old copy does not come back until") && told.out.contains("held: the share deleted it"),
        "{told}"
    );
    assert_returned(&office, "plan.txt");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"first", "and it is left where it is");
    fs::remove_file(office.target("link")).unwrap();
    office.save("plan.txt", b"saved again");
    office.sync_well();
    office.assert_same();
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"saved again");
    assert!(office.history("plan.txt").iter().all(|old| old == b"first"), "theirs can be had back");
}

#[test]
fn an_old_copy_that_is_wanted_is_had_back_by_the_command_that_its_hint_names() {
    let office = office();
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::remove_file(office.share("plan.txt")).unwrap();
    office.sync_well();
    fs::write(office.target("plan.txt"), b"first").unwrap();
    assert_returned(&office, "plan.txt");
    let said = office.tell(&["restore", "plan.txt"]);
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"first", "{said}");
    office.sync_well();
    office.assert_same();
    assert_eq!(office.problem("plan.txt"), None);
}

#[test]
fn the_mode_of_a_folder_that_others_changed_there_comes_to_the_share_and_stays() {
    use std::os::unix::fs::PermissionsExt;
    let (office, other) = office_with_two_targets();
    office.save("plans/a.txt", b"first");
    office.save("both/b.txt", b"first");
    office.sync_well();
    let set = |at: PathBuf, mode| fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    let mode = |at: PathBuf| fs::metadata(at).unwrap().permissions().mode() & 0o7777;
    let everywhere = |name: &str| [office.share(name), office.target(name), other.join(name)].map(mode);
    set(office.target("plans"), 0o711);
    set(office.target("both"), 0o711);
    set(office.share("both"), 0o701);
    // What is saved in it meanwhile moves its time, and is no change of what it carries.
    office.save("plans/new.txt", b"new");
    for run in ["brought", "and stays"] {
        office.sync_well();
        office.sync_well();
        assert_eq!(everywhere("plans"), [0o711; 3], "{run}");
        assert_eq!(everywhere("both"), [0o701; 3], "both changed it, the share's stays: {run}");
    }
    office.assert_same();
}

/// No history tells of folders: a folder is as old as what lies in it.
#[test]
fn with_its_index_lost_the_folder_of_an_old_copy_does_not_come_back_either() {
    let (office, other) = office_with_two_targets();
    for name in ["old/deep/plan.txt", "mixed/plan.txt", "stays.txt"] {
        office.save(name, b"first");
    }
    office.sync_well();
    office.sync_well();
    let away = office.path("other, away");
    fs::rename(&other, &away).unwrap();
    fs::remove_dir_all(office.share("old")).unwrap();
    fs::remove_dir_all(office.share("mixed")).unwrap();
    office.sync();
    assert!(!office.target("old").exists() && away.join("old/deep/plan.txt").exists(), "one was there, and one away");
    fs::rename(&away, &other).unwrap();
    fs::write(other.join("mixed/new.txt"), b"new there").unwrap();
    fs::create_dir(other.join("empty and new")).unwrap();
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    for run in ["the first", "another"] {
        assert_returned(&office, "old/deep/plan.txt");
        assert_returned(&office, "mixed/plan.txt");
        for folder in ["old", "old/deep"] {
            assert!(!office.share(folder).exists() && !office.target(folder).exists(), "{folder} in {run} run");
            let problem = office.problem(folder).unwrap_or_else(|| panic!("{folder} is held in {run} run"));
            assert!(problem["message"].as_str().unwrap().contains("the share deleted what lies in it"), "{problem}");
        }
        assert_eq!(
            fs::read(office.target("mixed/new.txt")).unwrap(),
            b"new there",
            "what is news comes, with its folder"
        );
        assert!(office.share("empty and new").is_dir(), "of an empty one nothing says that it is old");
    }
    // What its hint says: the folder is removed on the target, and nothing is left to be said.
    fs::remove_dir_all(other.join("old")).unwrap();
    fs::remove_file(other.join("mixed/plan.txt")).unwrap();
    office.sync_well();
    assert_eq!(office.problem("old"), None);
    assert!(!office.share("old").exists());
}

#[test]
fn what_somebody_moves_away_on_the_target_and_back_is_on_the_share_again() {
    let office = office();
    office.save("plan.txt", b"first");
    office.sync_well();
    fs::rename(office.target("plan.txt"), office.path("elsewhere")).unwrap();
    office.sync_well();
    assert!(!office.share("plan.txt").exists(), "they removed it");
    fs::rename(office.path("elsewhere"), office.target("plan.txt")).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"first", "theirs to put back");
    office.assert_same();
}

/// While neither target could be reached, a file was moved out of the share and back. Somebody else, who only saw it go, may carry
/// its removal from one target to the other.
#[test]
fn what_comes_back_to_the_share_is_put_again_where_it_is_gone_and_claimed_where_it_is_not() {
    let (office, other) = office_with_two_targets();
    office.save("plan.txt", b"first");
    office.save("stays.txt", b"stays");
    office.sync_well();
    let places = [office.target(""), other.clone()];
    let away = |place: &Path| place.with_extension("away");
    let moved = |to_away: bool| {
        for place in &places {
            let (from, to) = (place.clone(), away(place));
            if to_away { fs::rename(from, to) } else { fs::rename(to, from) }.unwrap();
        }
    };
    moved(true);
    fs::rename(office.share("plan.txt"), office.path("elsewhere")).unwrap();
    office.sync();
    fs::rename(office.path("elsewhere"), office.share("plan.txt")).unwrap();
    office.sync();
    moved(false);
    fs::remove_file(other.join("plan.txt")).unwrap();
    let before = fs::metadata(office.target("plan.txt")).unwrap();
    let stays = fs::metadata(office.target("stays.txt")).unwrap();
    office.sync_well();
    for place in [office.share(""), office.target(""), other] {
        assert_eq!(fs::read(place.join("plan.txt")).unwrap(), b"first", "{}", place.display());
    }
    let after = fs::metadata(office.target("plan.txt")).unwrap();
    let version = |at: &fs::Metadata| (at.ino(), at.mtime(), at.mtime_nsec());
    assert_eq!(version(&after), version(&before), "it is not sent again");
    let changed = |at: &fs::Metadata| (at.ctime(), at.ctime_nsec());
    assert_ne!(changed(&after), changed(&before), "whoever is about to remove what was there looks again");
    let as_ever = fs::metadata(office.target("stays.txt")).unwrap();
    assert_eq!(changed(&as_ever), changed(&stays), "all else is left alone");
    office.sync_well();
    assert_eq!(changed(&fs::metadata(office.target("plan.txt")).unwrap()), changed(&after), "once");
    // What is removed from now on is a removal.
    fs::remove_file(office.target("plan.txt")).unwrap();
    office.sync_well();
    assert!(!office.share("plan.txt").exists());
}

#[test]
fn with_its_index_lost_a_copy_on_a_target_that_was_away_does_not_come_back() {
    let (office, other) = office_with_two_targets();
    office.save("plan.txt", b"first");
    office.save("stays.txt", b"stays");
    office.sync_well();
    office.sync_well();
    let away = office.path("other, away");
    fs::rename(&other, &away).unwrap();
    fs::remove_file(office.share("plan.txt")).unwrap();
    office.sync();
    assert!(!office.target("plan.txt").exists() && away.join("plan.txt").exists(), "one was there, and one away");
    fs::rename(&away, &other).unwrap();
    fs::write(other.join("new.txt"), b"new there").unwrap();
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    assert_returned(&office, "plan.txt");
    assert_eq!(fs::read(other.join("plan.txt")).unwrap(), b"first", "and nothing is lost");
    assert_eq!(fs::read(office.share("new.txt")).unwrap(), b"new there", "what is news comes");
    assert_returned(&office, "plan.txt");
    assert!(!office.target("plan.txt").exists(), "nor does it go to the other target");
}
