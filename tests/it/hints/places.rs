//! What is said of something in the way, or of rights that are missing, is done, and all arrives.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::{of_user, problem};
use crate::office::{Mount, Office, Said, hear, must, set_mode};

/// Nobody in particular.
const NOBODY: u32 = 65534;

fn sync(office: &Office) -> Said {
    hear(office.command(&["sync"]).uid(NOBODY).gid(NOBODY))
}

/// What `status` says to do about the one target.
fn of_target(office: &Office) -> String {
    let status = office.status();
    let error = &status["shares"][0]["targets"][0]["error"];
    error["hint"].as_str().unwrap_or_else(|| panic!("no trouble: {status:#}")).to_owned()
}

/// Puts something there.
type Put<'a> = &'a dyn Fn(&Office);

fn fifo(at: &Path) {
    must(Command::new("mkfifo").arg(at));
}

#[test]
fn what_lies_in_the_way_on_a_target_is_moved_away_as_its_hint_says() {
    // What lies there, what it is moved away from, and what is said.
    let pipe = |office: &Office| fifo(&office.target("plan.txt"));
    let folder = |office: &Office| {
        fs::create_dir(office.target("plan.txt")).unwrap();
        fs::write(office.target("plan.txt/theirs"), "theirs").unwrap();
    };
    let file = |office: &Office| fs::write(office.target("room"), "theirs").unwrap();
    let table: [(Put<'_>, &str, &str); 3] = [
        (&pipe, "plan.txt", "move it away on the target if it is no file, or let the agent's user read it there"),
        (&folder, "plan.txt", "remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)"),
        (&file, "room", "remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)"),
    ];
    for (put, path, wanted) in table {
        let office = Office::configured("", "");
        office.save("plan.txt", "a plan");
        office.save("room/plan.txt", "a plan");
        put(&office);
        let said = office.sync();
        assert_eq!((said.code, problem(&office, path).as_str()), (Some(1), wanted), "{said}");
        if path == "room" {
            assert_eq!(problem(&office, "room/plan.txt"), "see `driftline explain room`");
            let said = office.tell(&["explain", "room"]);
            assert!(said.out.contains("    hint: remove or rename it there"), "{said}");
        }
        fs::rename(office.target(path), office.path("moved away")).unwrap();
        office.sync_well();
        office.assert_same();
    }
}

#[test]
fn a_folder_that_is_kept_for_its_strangers_goes_once_they_do() {
    let office = Office::configured("", "");
    office.save("room/plan.txt", "a plan");
    office.sync_well();
    fs::write(office.target("room/theirs"), "theirs").unwrap();
    fs::remove_dir_all(office.share("room")).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.target("room/theirs")).unwrap(), b"theirs");
    fs::remove_file(office.target("room/theirs")).unwrap();
    fs::remove_dir(office.target("room")).unwrap();
    office.sync_well();
    assert!(!office.target("room").exists());
}

#[test]
fn another_file_system_inside_a_target_is_mounted_elsewhere() {
    let office = Office::configured("", "");
    office.save("room/plan.txt", "a plan");
    office.sync_well();
    let Some(mut mount) = Mount::memory(&office.target("room"), "4m") else { return };
    office.save("room/plan.txt", "another plan");
    let said = office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    let wanted = "another file system is mounted inside the target: mount it elsewhere";
    let told = office.tell(&["problems"]);
    assert!(told.out.contains(wanted), "{told}");
    mount.take_away();
    office.sync_well();
    office.assert_same();
}

#[test]
fn an_identity_that_is_damaged_is_had_back_from_a_copy() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    let file = office.target(".driftline/identity");
    let copy = fs::read(&file).unwrap();
    fs::write(&file, "nonsense").unwrap();
    office.save("plan.txt", "another plan");
    assert_eq!(office.sync().code, Some(1));
    assert_eq!(of_target(&office), "restore .driftline/identity from a backup");
    fs::write(&file, copy).unwrap();
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_file_that_the_agent_may_not_read_is_let_be_read_or_left_out() {
    let wanted = "let the agent's user read it (setfacl -m u:driftline:rX), or add it to the share's `ignore`";
    let Some(office) = of_user(NOBODY) else { return };
    set_mode(&office.share("plan.txt"), 0o600);
    set_mode(&office.share("room"), 0o700);
    let said = sync(&office);
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!((problem(&office, "plan.txt").as_str(), problem(&office, "room").as_str()), (wanted, wanted));
    for name in ["plan.txt", "room"] {
        // The user has another name here, and the words are those of the hint.
        must(Command::new("setfacl").args(["-m", &format!("u:{NOBODY}:rX")]).arg(office.share(name)));
    }
    let said = sync(&office);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(office.target("room/plan.txt")).unwrap(), b"a plan");
    office.save("secret.txt", "a secret");
    set_mode(&office.share("secret.txt"), 0o600);
    assert_eq!(sync(&office).code, Some(1));
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("name = \"papers\"\n", "name = \"papers\"\nignore = [\"/secret.txt\"]\n")).unwrap();
    let said = sync(&office);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(!office.target("secret.txt").exists());
}

#[test]
fn a_target_that_the_agent_may_not_write_is_let_be_written() {
    let Some(office) = of_user(NOBODY) else { return };
    let said = sync(&office);
    assert_eq!(said.code, Some(0), "{said}");
    // A folder of somebody else's, and then what is driftline's own.
    chown(office.target("room"), Some(0), Some(0)).unwrap();
    office.save("room/plan.txt", "another plan");
    set_mode(&office.share("room/plan.txt"), 0o755);
    assert_eq!(sync(&office).code, Some(1));
    let told = office.tell(&["problems"]);
    assert!(told.out.contains("hint: give the agent's user the right to read and write there; "), "{told}");
    chown(office.target("room"), Some(NOBODY), Some(NOBODY)).unwrap();
    let said = sync(&office);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(office.target("room/plan.txt")).unwrap(), b"another plan");
    let ours = office.target(".driftline/staging");
    for folder in walkdir::WalkDir::new(&ours).into_iter().map(Result::unwrap) {
        chown(folder.path(), Some(0), Some(0)).unwrap();
    }
    office.save("plan.txt", "another plan");
    set_mode(&office.share("plan.txt"), 0o755);
    assert_eq!(sync(&office).code, Some(1));
    let hint = of_target(&office);
    assert!(hint.starts_with("give the agent's user the right to write in .driftline and all below it; "), "{hint}");
    for folder in walkdir::WalkDir::new(&ours).into_iter().map(Result::unwrap) {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let said = sync(&office);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"another plan");
}

#[test]
fn a_share_that_cannot_be_written_two_ways_is_let_be_written() {
    let office = Office::configured("", "drift = \"take\"");
    let Some(mount) = Mount::memory(&office.path("share"), "8m") else { return };
    office.save("plan.txt", "a plan");
    office.sync_well();
    fs::write(office.target("theirs.txt"), "theirs").unwrap();
    mount.read_only(true);
    let said = office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    let told = office.tell(&["problems"]);
    assert!(told.out.contains("see that the agent may write to the share, and that there is room"), "{told}");
    mount.read_only(false);
    office.sync_well();
    assert_eq!(fs::read(office.share("theirs.txt")).unwrap(), b"theirs");
}

#[test]
fn two_names_that_are_one_elsewhere_are_told_until_one_is_another() {
    let office = Office::configured("", "");
    office.save("Plan.txt", "a plan");
    office.save("plan.txt", "another plan");
    let _sync = office.sync();
    let told = office.tell(&["problems"]);
    assert!(told.out.contains("hint: rename one of the two: Windows and macOS show them as one file"), "{told}");
    fs::rename(office.share("plan.txt"), office.share("plan 2.txt")).unwrap();
    office.sync_well();
    let told = office.tell(&["problems"]);
    assert!(!told.out.contains("Windows"), "{told}");
}
