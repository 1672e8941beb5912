//! What is said of a command line that cannot be carried out is done, and the command works then.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{hint, types};
use crate::office::{Office, Said, hear, set_mode};

/// Nobody in particular.
const NOBODY: u32 = 65534;

/// These words and nothing else.
fn bare(office: &Office, words: &[&str]) -> Command {
    office.bare(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn ask(office: &Office, words: &[&str]) -> Said {
    hear(&mut bare(office, words))
}

/// A path of the office as text.
fn at(office: &Office, name: &str) -> String {
    office.path(name).to_string_lossy().into_owned()
}

/// An office in which a pass was made.
fn worked() -> Office {
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    office
}

fn refused(said: &Said, code: i32, wanted: &str) {
    assert_eq!((said.code, hint(said).as_str()), (Some(code), wanted), "{said}");
}

fn fine(said: &Said) {
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn places_that_are_not_named_are_named() {
    let office = worked();
    let [share, target, state, config] = ["share", "target", "state", "driftline.toml"].map(|name| at(&office, name));
    let (share, target, state, config) = (&*share, &*target, &*state, &*config);
    let more = at(&office, "home");
    let said = ask(&office, &["sync", "--share", share, "--share", &more, "--target", target, "--state-dir", state]);
    refused(&said, 2, "name one --share, or write a configuration file with one [[share]] for each");
    let other = at(&office, "other");
    fs::create_dir(office.path("copy")).unwrap();
    fine(&ask(&office, &["sync", "--share", share, "--target", &at(&office, "copy"), "--state-dir", &other]));
    let said = ask(&office, &["verify", "--state-dir", state]);
    refused(&said, 2, "name the configuration with --config, or --share and --target");
    fine(&ask(&office, &["verify", "--config", config]));
    fine(&ask(&office, &["verify", "--share", share, "--target", &at(&office, "copy"), "--state-dir", &other]));
    let said = ask(&office, &["verify", "--config", config, "--share", share]);
    refused(&said, 2, "name a share and a target by their names, or --share DIR and --target PLACE together");
    fine(&ask(&office, &["verify", "--config", config, "--share", "papers", "--target", "backup"]));
    let copy = at(&office, "copy");
    let words = ["status", "--share", share, "--target", &copy];
    let said = hear(bare(&office, &words).env_remove("HOME").env_remove("XDG_STATE_HOME"));
    refused(&said, 2, "name one with --state-dir");
    let said = ask(&office, &[&words[..], &["--state-dir", &other]].concat());
    assert!(said.out.starts_with("SAFE as of "), "{said}");
}

#[test]
fn names_that_nobody_has_are_replaced_by_those_that_the_hint_lists() {
    let office = worked();
    let listed = |said: &Said, begin: &str| {
        hint(said).strip_prefix(begin).map(str::to_owned).unwrap_or_else(|| panic!("not {begin:?}: {said}"))
    };
    let said = office.tell(&["verify", "--target", "cloud"]);
    let (share, target) = (listed(&said, "the targets are "), "");
    let (share, target) = share.split_once('/').map_or((share.as_str(), target), |pair| pair);
    fine(&office.tell(&["verify", "--share", share, "--target", target]));
    let restore = |from: &str| office.tell(&["restore", "--all", "--from", from, "--to", &at(&office, "back")]);
    let name = listed(&restore("cloud"), "its targets are ");
    fine(&restore(&name));
    let said = office.tell(&["approve", "papers/cloud"]);
    let name = listed(&said, "the targets are ");
    assert_ne!(office.tell(&["approve", &name]).code, Some(2));
    let said = office.tell(&["log", "--target", "cloud"]);
    let name = listed(&said, "the targets are ");
    fine(&office.tell(&["log", "--target", name.rsplit('/').next().unwrap()]));
    let said = office.tell(&["log", "/somewhere/else"]);
    let root = listed(&said, "the shares are ");
    fine(&office.tell(&["log", &format!("{root}/plan.txt")]));
    let said = ask(&office, &["man", "restroe"]);
    let names = listed(&said, "the commands are ");
    let (names, guide) = names.split_once("; and there is the ").unwrap_or_else(|| panic!("{said}"));
    for name in names.split(", ").chain([guide]) {
        fine(&ask(&office, &["man", name]));
    }
    let share = at(&office, "share");
    refused(&office.tell(&["history", &share]), 2, "name a path in it");
    fine(&office.tell(&["history", &format!("{share}/plan.txt")]));
    let said = office.tell(&["explain", &share]);
    refused(&said, 2, "name a path in it; of the share as a whole tells `driftline status`");
    fine(&office.tell(&["explain", &format!("{share}/plan.txt")]));
    assert!(types(&office, "driftline status").out.starts_with("SAFE as of "));
}

#[test]
fn what_is_written_wrongly_is_written_as_the_hint_shows() {
    let office = worked();
    let said = office.tell(&["status", "--query", "shares["]);
    let line = hint(&said);
    refused(&said, 2, "queries are JMESPath, such as --query verdict or --query \"shares[].targets[].state\"");
    for query in line.split("--query ").skip(1) {
        let words = crate::documents::typed(&format!("status --query {query}"));
        let said = office.tell(&[&words[0], &words[1], &words[2]]);
        assert!(said.err.is_empty() && !said.out.is_empty(), "{said}");
    }
    let said = office.tell(&["restore", "--all", "--as-of", "some time", "--to", &at(&office, "back")]);
    let line = hint(&said);
    let forms: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    assert_eq!((said.code, forms.len()), (Some(2), 4), "{said}");
    for form in forms.into_iter().chain(["2026-11-24T14:00:00Z"]) {
        let said = office.tell(&["restore", "--all", "--as-of", form, "--to", &at(&office, "back")]);
        assert_ne!(said.code, Some(2), "{form}: {said}");
    }
    let pattern = Office::configured("ignore = [\"a[\"]", "");
    let said = pattern.tell(&["check"]);
    assert!(said.out.contains("\n           hint: write it as gitignore does"), "{said}");
    let file = pattern.path("driftline.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("a[", "a[0-9]")).unwrap();
    assert!(!pattern.tell(&["check"]).out.contains("gitignore"));
    pattern.sync_well();
}

#[test]
fn what_is_to_be_written_somewhere_else_is_written_there() {
    let office = Office::new();
    office.save("plan.txt", "a plan");
    office.sync_well();
    fs::write(office.path("driftline.toml"), "# another\n").unwrap();
    let [share, target, state, config] = ["share", "target", "state", "driftline.toml"].map(|name| at(&office, name));
    let init = |config: &str| {
        ask(&office, &["init", "--share", &share, "--target", &target, "--state-dir", &state, "--config", config])
    };
    refused(&init(&config), 78, "edit that file, or name a new one with --config");
    fine(&init(&at(&office, "another.toml")));
    let pages = at(&office, "no folder");
    refused(&ask(&office, &["man", "--to", &pages]), 2, "name a folder that is there and may be written to");
    fs::create_dir(&pages).unwrap();
    fine(&ask(&office, &["man", "--to", &pages]));
    let restore = |to: &str| office.tell(&["restore", "--all", "--to", to]);
    refused(&restore(&at(&office, "no/such")), 2, "name a folder that is there, or one in a folder that is there");
    fine(&restore(&at(&office, "such")));
    fs::create_dir(office.path("there")).unwrap();
    fine(&restore(&at(&office, "there")));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn who_may_not_is_told_who_may() {
    let office = worked();
    if fs::metadata(office.path("share")).unwrap().uid() != 0 {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    ["", "share", "target", "home"].iter().for_each(|name| set_mode(&office.path(name), 0o755));
    set_mode(&office.share("plan.txt"), 0o644);
    let own = office.path("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = |words: &[&str]| hear(bare(&office, words).uid(NOBODY).gid(NOBODY));
    let [share, config] = ["share", "driftline.toml"].map(|name| at(&office, name));
    // The index.
    set_mode(&office.path("state"), 0o750);
    refused(&as_nobody(&["status", "--config", &config]), 70, "run it as root, or as the agent's user");
    assert!(ask(&office, &["status", "--config", &config]).out.starts_with("SAFE as of "), "as root");
    // A state folder.
    fs::create_dir(office.path("copy")).unwrap();
    chown(office.path("copy"), Some(NOBODY), Some(NOBODY)).unwrap();
    let init = |state: &str, config: &str| {
        vec!["init", "--no-service", "--share", &share, "--target", "copy", "--state-dir", state, "--config", config]
            .into_iter()
            .map(|word| if word == "copy" { at(&office, "copy") } else { word.to_owned() })
            .collect::<Vec<_>>()
    };
    let told = |words: &[String], user: bool| {
        let mut command = office.bare(words);
        hear(if user { command.uid(NOBODY).gid(NOBODY) } else { &mut command })
    };
    let (mine, wanted) =
        (at(&office, "own/config.toml"), "run it as root, or name a folder of your own with --state-dir");
    refused(&told(&init(&at(&office, "theirs"), &mine), true), 2, wanted);
    // The configuration.
    let theirs = at(&office, "theirs.toml");
    let wanted = "run it as root, or name a file of your own with --config";
    refused(&told(&init(&at(&office, "own/state"), &theirs), true), 78, wanted);
    fine(&told(&init(&at(&office, "own/state"), &mine), true));
    assert_eq!(fs::metadata(&mine).unwrap().uid(), NOBODY);
}

#[test]
fn a_folder_whose_name_is_no_text_is_renamed_or_named_each_time() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let office = Office::new();
    let name = OsString::from_vec(b"B\xfcro".to_vec());
    fs::create_dir(office.path("").join(&name)).unwrap();
    fs::write(office.path("").join(&name).join("plan.txt"), "a plan").unwrap();
    let [target, state, config] = ["target", "state", "driftline.toml"].map(|name| at(&office, name));
    let named = |command: &str, share: &std::path::Path, more: &[&str]| {
        let words = [&[command, "--target", &target, "--state-dir", &state], more].concat();
        hear(bare(&office, &words).arg("--share").arg(share))
    };
    let odd = office.path("").join(&name);
    let said = named("init", &odd, &["--no-service", "--config", &config]);
    refused(&said, 2, "rename the folder, or name it with --share and --target each time");
    fine(&named("sync", &odd, &[]));
    assert_eq!(fs::read(office.target("plan.txt")).unwrap(), b"a plan");
    let (plain, again) = (office.path("Büro"), Office::new());
    fs::rename(&odd, &plain).unwrap();
    let state = at(&again, "state");
    let words = [
        "init",
        "--no-service",
        "--target",
        &at(&again, "target"),
        "--state-dir",
        &state,
        "--config",
        &at(&again, "c.toml"),
    ];
    fine(&hear(bare(&again, &words).arg("--share").arg(&plain)));
}

#[test]
fn a_state_folder_that_another_agent_has_is_free_once_that_is_stopped_or_is_another() {
    let office = Office::new();
    office.save("plan.txt", "a plan");
    let agent = office.start();
    office.wait_safe();
    let wanted = "stop that agent first, or name another folder with --state-dir";
    assert!(hint(&office.sync()) == wanted, "{}", office.sync());
    let init = |state: &str, config: &str| {
        let [share, target] = ["share", "target"].map(|name| at(&office, name));
        ask(
            &office,
            &["init", "--no-service", "--share", &share, "--target", &target, "--state-dir", state, "--config", config],
        )
    };
    assert_eq!(hint(&init(&at(&office, "state"), &at(&office, "new.toml"))), wanted);
    drop(agent);
    office.sync_well();
    fine(&init(&at(&office, "state"), &at(&office, "new.toml")));
}

#[test]
fn a_share_that_is_empty_and_another_is_taken_with_another_state_folder_or_mounted() {
    let office = worked();
    fs::rename(office.path("share"), office.path("away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    let init = |state: &str, target: &str| {
        let share = at(&office, "share");
        let (state, target, config) =
            (at(&office, state), at(&office, target), at(&office, &format!("{target}-{state}.toml")));
        ask(
            &office,
            &[
                "init",
                "--no-service",
                "--share",
                &share,
                "--target",
                &target,
                "--state-dir",
                &state,
                "--config",
                &config,
            ],
        )
    };
    let wanted = "mount the disk that holds the share; if it is to begin anew, name another --state-dir";
    let said = office.tell(&["init", "--no-service"]);
    assert_eq!(hint(&said), wanted, "{said}");
    fs::create_dir(office.path("copy")).unwrap();
    fine(&init("other", "copy"));
    fs::remove_dir(office.path("share")).unwrap();
    fs::rename(office.path("away"), office.path("share")).unwrap();
    fine(&office.tell(&["init", "--no-service"]));
    office.sync_well();
}

#[test]
fn an_index_of_a_newer_program_is_moved_away_and_made_anew() {
    let office = worked();
    let index = office.path("state/index.db");
    let raise = "PRAGMA user_version = 9999";
    rusqlite::Connection::open(&index).unwrap().execute_batch(raise).unwrap();
    let said = office.sync();
    assert_eq!(hint(&said), "install that version again, or move the index away: it is made anew from the targets");
    let before = office.target_places();
    for file in office.index_files() {
        let to = office.path(file.file_name().unwrap().to_str().unwrap());
        fs::rename(file, to).unwrap();
    }
    office.sync_well();
    office.assert_same();
    assert_eq!(office.target_places(), before, "nothing was sent again");
}

#[test]
fn where_no_copy_of_the_index_can_be_made_another_folder_for_it_helps() {
    let office = worked();
    let dry = |dir: &str| hear(office.command(&["sync", "--dry-run"]).env("TMPDIR", dir));
    assert_eq!(hint(&dry(&at(&office, "nowhere"))), "set TMPDIR");
    fine(&dry(&at(&office, "home")));
}
