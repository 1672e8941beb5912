//! What is said where share and target cannot both have their way is done, and each has what is its own.

use std::fs;

use super::{hint, problem};
use crate::office::{Mount, Office, Said, files_below};

fn two_way(share_lines: &str) -> Office {
    Office::configured(share_lines, "drift = \"take\"")
}

/// One pass in which this is said of a path.
fn stuck(office: &Office, path: &str, wanted: &str) {
    let said = office.sync();
    assert_eq!((said.code, problem(office, path).as_str()), (Some(1), wanted), "{said}");
}

// ---- a folder on one side, a file on the other ----

#[test]
fn a_retained_folder_gives_way_to_a_file_once_it_is_moved_away() {
    let office = Office::configured("", "deletes = \"retain\"");
    office.save("room/plan.txt", "a plan");
    office.sync_well();
    fs::remove_dir_all(office.share("room")).unwrap();
    office.save("room", "a file");
    stuck(&office, "room", "move that folder away on the target");
    assert_eq!(fs::read(office.target("room/plan.txt")).unwrap(), b"a plan");
    fs::rename(office.target("room"), office.path("moved")).unwrap();
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_file_and_a_folder_in_which_others_changed_something_are_both_kept_once_one_is_renamed() {
    let office = two_way("");
    office.save("room/plan.txt", "a plan");
    office.sync_well();
    fs::write(office.target("room/theirs.txt"), "theirs").unwrap();
    fs::remove_dir_all(office.share("room")).unwrap();
    office.save("room", "a file");
    stuck(&office, "room/theirs.txt", "rename one of the two; then both are kept");
    fs::rename(office.share("room"), office.share("a file")).unwrap();
    // What lies in the folder comes first.
    let _first = office.sync();
    office.sync_well();
    office.assert_same();
    for (name, bytes) in [("a file", "a file"), ("room/theirs.txt", "theirs")] {
        assert_eq!(fs::read(office.share(name)).unwrap(), bytes.as_bytes(), "{name}");
    }
}

#[test]
fn what_the_share_leaves_out_gives_way_to_what_others_put_there_once_it_lies_elsewhere() {
    let office = two_way("ignore = [\"room/\"]");
    office.save("room/own.txt", "left out");
    office.save("plan.txt", "a plan");
    office.sync_well();
    fs::write(office.target("room"), "theirs").unwrap();
    stuck(&office, "room", "it is tried again later; see what writes there, or lies there and is left out by `ignore`");
    assert_eq!(fs::read(office.share("room/own.txt")).unwrap(), b"left out");
    fs::rename(office.share("room"), office.path("elsewhere")).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.share("room")).unwrap(), b"theirs");
}

// ---- a version that is wanted back ----

/// A file of which both sides have another version.
fn quarrel(office: &Office, theirs: &[u8]) {
    office.save("plan.odt", "first");
    office.sync_well();
    office.save("plan.odt", "edited here");
    fs::write(office.target("plan.odt"), theirs).unwrap();
    office.sync_well();
}

fn resolve(office: &Office, keep: &str) -> Said {
    office.tell(&["resolve", "plan.odt", "--keep", keep])
}

fn refused(said: &Said, wanted: &str) {
    assert_eq!((said.code, hint(said).as_str()), (Some(1), wanted), "{said}");
}

fn fine(said: &Said) {
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn what_changed_just_now_is_looked_at_or_both_are_kept() {
    for keep in ["target", "both"] {
        let office = two_way("");
        quarrel(&office, b"theirs");
        fs::rename(office.share("plan.odt"), office.path("ours")).unwrap();
        office.save("plan.odt/new.txt", "a folder now");
        refused(&resolve(&office, "target"), "look at it, then type the same again; or keep both: --keep both");
        assert_eq!(fs::read(office.share("plan.odt/new.txt")).unwrap(), b"a folder now");
        if keep == "target" {
            fs::rename(office.share("plan.odt"), office.share("room")).unwrap();
        }
        fine(&resolve(&office, keep));
        let files = files_below(&office.path("share"));
        assert!(files.iter().any(|file| fs::read(file).unwrap() == b"theirs"), "{keep}: {files:?}");
        assert!(keep == "both" || fs::read(office.share("plan.odt")).unwrap() == b"theirs");
    }
}

#[test]
fn a_version_for_a_share_that_is_not_mounted_is_put_there_once_it_is() {
    let office = two_way("");
    quarrel(&office, b"theirs");
    fs::rename(office.path("share"), office.path("away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    refused(&resolve(&office, "target"), "mount it, then type the same again");
    assert!(
        fs::read_dir(office.path("share")).unwrap().next().is_none(),
        "nothing is written to what is not the share"
    );
    fs::remove_dir(office.path("share")).unwrap();
    fs::rename(office.path("away"), office.path("share")).unwrap();
    fine(&resolve(&office, "target"));
    assert_eq!(fs::read(office.share("plan.odt")).unwrap(), b"theirs");
}

#[test]
fn a_version_for_which_the_share_has_no_room_is_put_there_once_it_has() {
    let office = two_way("");
    let Some(mount) = Mount::memory(&office.path("share"), "1m") else { return };
    let theirs = vec![7; 4 << 20];
    quarrel(&office, &theirs);
    let wanted = "see that there is room and that you may write there, then type the same again";
    refused(&resolve(&office, "target"), wanted);
    assert_eq!(fs::read(office.share("plan.odt")).unwrap(), b"edited here");
    mount.resize("32m");
    mount.read_only(true);
    refused(&resolve(&office, "target"), wanted);
    mount.read_only(false);
    fine(&resolve(&office, "target"));
    assert!(fs::read(office.share("plan.odt")).unwrap() == theirs);
}
