//! Hints that say what to type are typed as they stand, and do what they promise.

mod configuration;
mod listed;
mod machine;
mod places;
mod sides;
mod usage;

use std::fs::{self, FileTimes};
use std::os::unix::fs::{MetadataExt as _, chown};

use serde_json::Value;

use crate::documents::typed;
use crate::office::{Mount, Office, Said, hear, set_mode};

/// What stands behind `driftline ` in a hint, up to the end of its line, typed with the office's configuration.
fn types(office: &Office, hint: &str) -> Said {
    let command = &hint[hint.find("driftline ").unwrap_or_else(|| panic!("no command in {hint:?}"))..];
    let words = typed(command.lines().next().unwrap_or_default());
    let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
    office.tell(&words)
}

fn hint(said: &Said) -> String {
    let lines = said.err.lines().chain(said.out.lines());
    lines
        .filter_map(|line| line.trim_start().strip_prefix("hint: "))
        .next()
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned()
}

/// An office in which this user works; `None`, said aloud, where that cannot be.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn of_user(user: u32) -> Option<Office> {
    let office = Office::configured("", "");
    if fs::metadata(office.path("share")).unwrap().uid() != 0 {
        eprintln!("skipped: only root can be somebody else");
        return None;
    }
    ["", "share", "home"].iter().for_each(|name| set_mode(&office.path(name), 0o755));
    for name in ["state", "target"] {
        chown(office.path(name), Some(user), Some(user)).unwrap();
    }
    office.save("plan.txt", "a plan");
    office.save("room/plan.txt", "a plan");
    ["room", "room/plan.txt", "plan.txt"].iter().for_each(|name| set_mode(&office.share(name), 0o755));
    Some(office)
}

/// The hint of what is said of a path by `problems`.
fn problem(office: &Office, path: &str) -> String {
    let problem = office.problem(path).unwrap_or_else(|| panic!("no problem with {path}: {:#}", office.status()));
    problem["hint"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_read_back_otherwise_is_put_right_as_problems_says() {
    let office = Office::configured("", "");
    office.save("my plan.txt", "a plan");
    office.sync_well();
    let copy = office.target("my plan.txt");
    let modified = fs::metadata(&copy).unwrap().modified().unwrap();
    fs::write(&copy, "a plot").unwrap();
    let file = fs::File::options().write(true).open(&copy).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    assert_eq!(office.tell(&["verify"]).code, Some(1));
    let problems: Value = serde_json::from_str(&office.tell(&["problems", "--json"]).out).unwrap();
    let said = types(&office, problems[0]["hint"].as_str().unwrap());
    assert_eq!(fs::read(&copy).unwrap(), b"a plan", "{said}");
    assert_eq!(office.tell(&["problems"]).code, Some(0));
    // So does the audit trail, also when it is over.
    let trail = office.tell(&["log", "--json"]);
    let lines = trail.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.into_iter().find(|line| line["what"] == "verify").unwrap_or_else(|| panic!("{trail}"));
    let said = types(&office, line["hint"].as_str().unwrap());
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn an_entry_of_the_trail_that_may_wait_for_a_person_says_what_to_type() {
    let office = Office::configured("", "");
    office.save("my plan.txt", "ours");
    fs::write(office.target("my plan.txt"), "theirs").unwrap();
    assert_eq!(office.sync().code, Some(1));
    let text = office.tell(&["log"]);
    let line = text.out.lines().find(|line| line.contains("  hold ")).unwrap_or_else(|| panic!("{text}"));
    let command = line.split_once("(see: ").unwrap_or_else(|| panic!("{line}")).1.trim_end_matches(')');
    assert_eq!(command, "driftline explain 'my plan.txt'");
    let said = types(&office, command);
    assert!(said.code == Some(0) && said.out.contains("\n    held: someone else changed it"), "{said}");
    assert!(said.out.contains(", since ") && said.out.contains("\n    hint: remove or rename it there"), "{said}");
    // And that is true.
    fs::rename(office.target("my plan.txt"), office.target("their plan.txt")).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.target("my plan.txt")).unwrap(), b"ours");
    assert_eq!(fs::read(office.target("their plan.txt")).unwrap(), b"theirs");
}

#[test]
fn where_nothing_was_the_hint_leads_to_what_was() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    let said = office.tell(&["restore", "plan.txt", "--as-of", "2020-01-01 00:00"]);
    assert_eq!(said.code, Some(1), "{said}");
    let said = types(&office, &hint(&said));
    assert!(said.code == Some(0) && said.out.contains("plan.txt on papers/backup"), "{said}");
}

#[test]
fn a_share_that_is_away_is_restored_to_another_folder() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    fs::rename(office.path("share"), office.path("away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    let said = office.tell(&["restore", "plan.txt"]);
    assert_eq!((said.code, hint(&said).as_str()), (Some(1), "mount it, or restore to another folder with --to"));
    assert!(
        fs::read_dir(office.path("share")).unwrap().next().is_none(),
        "nothing is written to what is not the share"
    );
    let said = office.tell(&["restore", "plan.txt", "--to", office.path("back").to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(office.path("back/plan.txt")).unwrap(), b"a plan");
    fs::remove_dir(office.path("share")).unwrap();
    fs::rename(office.path("away"), office.path("share")).unwrap();
    fs::remove_file(office.share("plan.txt")).unwrap();
    assert_eq!(office.tell(&["restore", "plan.txt"]).code, Some(0));
    assert_eq!(fs::read(office.share("plan.txt")).unwrap(), b"a plan");
}

#[test]
fn a_configuration_that_is_missing_or_no_text_says_what_to_do_and_that_is_true() {
    let office = Office::new();
    let file = office.path("driftline.toml").to_string_lossy().into_owned();
    let asked = |words: &[&str]| {
        let words: Vec<_> = words.iter().chain(&["--config", &file]).map(ToString::to_string).collect();
        hear(&mut office.bare(&words))
    };
    let said = asked(&["sync"]);
    assert_eq!(said.code, Some(78), "{said}");
    assert!(hint(&said).contains("write one with `driftline init`, or name --share and --target"), "{said}");
    assert_eq!(office.sync().code, Some(0), "by --share and --target");
    let at = |name: &str| office.path(name).to_string_lossy().into_owned();
    let (share, target, state) = (at("share"), at("target"), at("state"));
    let init = ["init", "--share", &share, "--target", &target, "--state-dir", &state];
    let said = asked(&init);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(asked(&["sync"]).code, Some(0), "by what init wrote");
    let text = fs::read(&file).unwrap();
    fs::write(&file, [b"# B\xfcro\n".as_slice(), &text].concat()).unwrap();
    let said = asked(&["sync"]);
    assert_eq!((said.code, hint(&said).as_str()), (Some(78), "save it as UTF-8, or name another file with --config"));
    fs::write(&file, ["# Büro\n".as_bytes(), &text].concat()).unwrap();
    assert_eq!(asked(&["sync"]).code, Some(0));
}

/// The hint of what `check` finds somewhere in these words.
fn checked(office: &Office, words: &str) -> Option<String> {
    let said = office.tell(&["check", "--json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    let places = report["places"].as_array().unwrap();
    let mut findings = places.iter().flat_map(|place| place["findings"].as_array().unwrap());
    let finding = findings.find(|finding| finding["message"].as_str().unwrap().contains(words))?;
    Some(finding["hint"].as_str().unwrap().to_owned())
}

#[test]
fn a_place_inside_another_is_refused_until_it_lies_apart() {
    let apart = "set state_dir (or --state-dir) to a folder apart from all shares and targets";
    let without_end = "choose a target outside the share: the copy would be copied again, without end";
    let table = [
        ("share", "share/copy", "state", without_end),
        (
            "target/share",
            "target",
            "state",
            "choose a target that does not hold the share: staff's files would be taken for copies",
        ),
        ("share", "target", "share/state", apart),
        ("share", "target", "target/state", apart),
    ];
    let office = Office::new();
    office.save("plan.txt", "a plan");
    let sync = |share: &str, target: &str, state: &str| {
        let at = |name: &str| office.path(name).to_string_lossy().into_owned();
        let words = ["sync", "--share", &at(share), "--target", &at(target), "--state-dir", &at(state)];
        hear(&mut office.bare(&words.map(str::to_owned)))
    };
    for (share, target, state, wanted) in table {
        let said = sync(share, target, state);
        assert_eq!((said.code, hint(&said).as_str()), (Some(2), wanted), "{said}");
    }
    assert!(!office.share("copy").exists() && !office.share("state").exists());
    assert_eq!(sync("share", "target", "state").code, Some(0));
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"a plan");
}

#[test]
fn a_target_on_the_shares_own_disk_is_told_until_it_lies_on_another() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    let same = "it lies on the same file system as papers";
    assert_eq!(checked(&office, same).as_deref(), Some("keep a copy on another disk or machine too"));
    let Some(_mount) = Mount::memory(&office.path("target"), "8m") else { return };
    assert_eq!(checked(&office, same), None);
    office.sync_well();
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn a_target_in_memory_is_told_until_it_lies_on_a_disk() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    let memory = "it lies in memory";
    if checked(&office, memory).is_some() {
        eprintln!("skipped: all of this test lies in memory");
        return;
    }
    let Some(mut mount) = Mount::memory(&office.path("target"), "8m") else { return };
    assert_eq!(checked(&office, memory).as_deref(), Some("use a folder on a disk or on a file server"));
    mount.take_away();
    assert_eq!(checked(&office, memory), None);
    office.sync_well();
}

#[test]
fn a_target_that_is_too_small_is_told_before_the_first_pass_until_it_is_larger() {
    let office = Office::configured("", "");
    let Some(mount) = Mount::memory(&office.path("target"), "8m") else { return };
    office.save("film.mp4", vec![7; 20 << 20]);
    let small = " are not there yet, and only ";
    assert_eq!(checked(&office, small).as_deref(), Some("free space on the target, or make it larger"));
    mount.resize("128m");
    assert_eq!(checked(&office, small), None);
    office.sync_well();
}

#[test]
fn a_target_that_cannot_be_written_is_told_until_it_can() {
    let office = Office::configured("", "");
    let Some(mount) = Mount::memory(&office.path("target"), "8m") else { return };
    office.save("plan.txt", "a plan");
    office.sync_well();
    mount.read_only(true);
    let said = office.tell(&["check"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(hint(&said).starts_with("mount the target so that it can be written (rw)"), "{said}");
    mount.read_only(false);
    assert_eq!(office.tell(&["check"]).code, Some(0));
}

#[test]
fn a_share_or_target_that_is_away_is_told_until_it_is_back() {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    for (name, begins, wanted) in [
        (
            "share",
            "it cannot be read: ",
            "check that the folder exists, is mounted, and may be read by the agent's user",
        ),
        ("target", "", "mount the target"),
    ] {
        fs::rename(office.path(name), office.path("away")).unwrap();
        let said = office.tell(&["check"]);
        assert!(said.code == Some(1) && said.out.contains(begins), "{said}");
        assert!(said.out.contains(&format!("\n           hint: {wanted}")), "{name}: {said}");
        fs::rename(office.path("away"), office.path(name)).unwrap();
        assert_eq!(office.tell(&["check"]).code, Some(0), "{name}");
    }
}
