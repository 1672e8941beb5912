//! The program as it is typed: how it ends, and what it says on which stream.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use driftline::cli::Exit;

fn driftline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftline")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("plain text")
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    for (args, code) in [(&[][..], 2), (&["frobnicate"], 2), (&["run", "--share", "/x"], 2), (&["--help"], 0)] {
        let output = driftline(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{args:?}");
    }
}

#[test]
fn a_missing_configuration_ends_with_78_where_one_is_needed() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("none.toml");
    let output = driftline(&["run", "--config", &config.to_string_lossy()]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.starts_with(&format!("error: cannot read {}: ", config.display())), "{told}");
    assert!(told.lines().nth(1).is_some_and(|line| line.starts_with("hint: ")), "{told}");
}

/// A folder with a share and a target in it, bound with `init`.
fn bound() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["papers", "copy"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    let said = init(dir.path());
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    dir
}

fn init(dir: &Path) -> Output {
    let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (config, share, target, state) = (at("driftline.toml"), at("papers"), at("copy"), at("state"));
    driftline(&["init", "--config", &config, "--share", &share, "--target", &target, "--state-dir", &state])
}

/// Runs `words` with the configuration of `dir`.
fn ask(dir: &Path, words: &[&str]) -> Output {
    let config = dir.join("driftline.toml").to_string_lossy().into_owned();
    driftline(&[words, &["--config", &config]].concat())
}

#[test]
fn init_binds_and_says_what_it_binds() {
    let dir = bound();
    assert!(dir.path().join("copy/.driftline/identity").exists());
    let again = init(dir.path());
    let said = text(&again.stdout);
    assert_eq!(again.status.code(), Some(0), "{said}");
    let (config, share, target) =
        (dir.path().join("driftline.toml"), dir.path().join("papers"), dir.path().join("copy"));
    let wanted = format!(
        "Share papers is {}, as before.\nTarget papers/target is {}, as before.\n{config} holds this already.\n\
         Start the agent with: driftline run --config {config}\n",
        share.display(),
        target.display(),
        config = config.display()
    );
    assert_eq!(said, wanted);
}

#[test]
fn init_refuses_a_target_that_is_missing_and_makes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("papers")).expect("made");
    let refused = init(dir.path());
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("there is no such folder\nhint: mount it if it is a mount"), "{told}");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}

#[test]
fn what_init_cannot_bind_it_does_not_write_down() {
    let dir = bound();
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(at("plans")).expect("made");
    let (config, share, target, state) = (at("other.toml"), at("plans"), at("copy"), at("other"));
    let refused =
        driftline(&["init", "--config", &config, "--share", &share, "--target", &target, "--state-dir", &state]);
    let told = text(&refused.stderr);
    assert!(told.contains("keeps another share"), "{told}");
    assert!(!Path::new(&config).exists());
}

#[test]
fn init_takes_a_state_folder_relative_to_where_it_is_typed() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["papers", "copy"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    let args = ["init", "--config", "c.toml", "--share", "papers", "--target", "copy", "--state-dir", "state"];
    let said = Command::new(env!("CARGO_BIN_EXE_driftline")).args(args).current_dir(&dir).output().expect("it starts");
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let written = fs::read_to_string(dir.path().join("c.toml")).expect("written");
    let line = format!("state_dir = \"{}\"", dir.path().canonicalize().expect("there").join("state").display());
    assert!(written.lines().any(|other| other == line), "{written}");
}

#[test]
fn a_whole_share_is_no_path_to_explain() {
    let dir = bound();
    for path in [".", &dir.path().join("papers").to_string_lossy()] {
        let refused = ask(dir.path(), &["explain", path]);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("it is a whole share, not a path in one\nhint: name a path in it"), "{told}");
    }
}

#[test]
fn check_ends_with_1_where_there_is_a_problem_and_says_what_to_do() {
    let dir = bound();
    let said = ask(dir.path(), &["check"]);
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("papers/target: {}", dir.path().join("copy").display())), "{told}");
    assert!(told.contains("  ok       it bears the identity that it was bound to\n"), "{told}");
    fs::remove_dir_all(dir.path().join("copy")).expect("gone");
    let said = ask(dir.path(), &["check", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((said.status.code(), &json["fine"]), (Some(1), &false.into()), "{json:#}");
    let finding = &json["places"][2]["findings"][0];
    assert_eq!(finding["level"], "problem", "{json:#}");
    assert!(finding["hint"].as_str().is_some_and(|hint| hint.starts_with("mount the target")), "{json:#}");
}

#[test]
fn before_the_first_run_nothing_is_known_and_it_is_said() {
    let dir = bound();
    let status = ask(dir.path(), &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status.status.code(), Some(3), "{json:#}");
    assert_eq!((&json["verdict"], &json["agent"]["state"]), (&"unknown".into(), &"stopped".into()), "{json:#}");
    let target = &json["shares"][0]["targets"][0];
    assert_eq!((&target["state"], &target["protected_as_of"]), (&"ok".into(), &serde_json::Value::Null), "{json:#}");
    let shown = ask(dir.path(), &["status"]);
    assert_eq!(text(&shown.stdout).lines().next(), Some("UNKNOWN: the agent has never run"));
    let query = ask(dir.path(), &["status", "--query", "shares[].targets[].name"]);
    assert_eq!(text(&query.stdout), "[\n  \"target\"\n]\n");
    for words in ["pending", "problems"] {
        let said = ask(dir.path(), &[words]);
        assert_eq!(said.status.code(), Some(0), "{words}");
        assert!(text(&said.stdout).contains("no full scan has ended yet"), "{}", text(&said.stdout));
        assert_eq!(text(&ask(dir.path(), &[words, "--json"]).stdout), "[]\n");
    }
}

#[test]
fn a_state_folder_that_nobody_used_is_said_to_be_so_and_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let state = dir.path().join("state").to_string_lossy().into_owned();
    let said = driftline(&["status", "--state-dir", &state]);
    let shown = text(&said.stdout);
    assert_eq!(said.status.code(), Some(3), "{shown}");
    assert_eq!(
        shown.lines().next(),
        Some(format!("UNKNOWN: no agent ever ran with the state folder {state}").as_str())
    );
    assert!(shown.contains("\nWhat to do\n  if it runs with another one, name that with --config or --state-dir\n"));
    for words in [&["explain", "plan.txt"][..], &["pause"], &["resume"], &["approve", "papers/target"]] {
        let said = driftline(&[words, &["--state-dir", &state]].concat());
        let told = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(&format!("no agent ever ran with the state folder {state}\nhint: ")), "{told}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
}

#[test]
fn a_path_in_no_share_and_an_unknown_target_are_wrong_usage() {
    let dir = bound();
    let said = ask(dir.path(), &["explain", "/elsewhere/plan.txt"]);
    let told = text(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{told}");
    let share = dir.path().join("papers");
    let wanted = format!(
        "error: cannot explain /elsewhere/plan.txt: it lies in no share\nhint: the shares are {}\n",
        share.display()
    );
    assert_eq!(told, wanted);
    let said = ask(dir.path(), &["explain", "~$plan.docx"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("the pattern ~$* hides it"), "{}", text(&said.stdout));
    let said = ask(dir.path(), &["approve", "papers/efs"]);
    let wanted = "error: cannot approve papers/efs: there is no such target\nhint: the targets are papers/target\n";
    assert_eq!((said.status.code(), text(&said.stderr).as_str()), (Some(2), wanted));
}

#[test]
fn what_is_asked_of_an_agent_that_does_not_run_waits_for_its_start() {
    let dir = bound();
    let index = || driftline::index::Index::open(&dir.path().join("state/index.db")).expect("opened");
    let said = ask(dir.path(), &["approve", "papers/target"]);
    assert_eq!(text(&said.stdout), "papers/target is not halted: there is nothing to approve.\n");
    assert_eq!(index().take_request().expect("asked"), None);
    let lane = driftline::model::TargetId(1);
    index().set_halt(lane, Some("removing 9 of 10 looks like an accident")).expect("told");
    let status = text(&ask(dir.path(), &["status"]).stdout);
    assert!(status.contains("if that is right, let it through: driftline approve papers/target\n"), "{status}");
    for (words, wanted, told) in [
        (&["approve", "papers/target"][..], ("approve", Some(lane)), "papers/target may go on"),
        (&["pause"], ("pause", None), "No target is changed until: driftline resume"),
        (&["resume"], ("resume", None), "All targets that were paused may go on"),
    ] {
        let said = ask(dir.path(), words);
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
        assert_eq!(text(&said.stdout), format!("{told}, from the agent's next start on: none runs now.\n"));
        let taken = index().take_request().expect("asked");
        assert_eq!(taken, Some((wanted.0.to_owned(), wanted.1)));
    }
    let problems = ask(dir.path(), &["problems"]);
    assert_eq!(problems.status.code(), Some(1));
    assert!(text(&problems.stdout).starts_with("papers/target\n  removing 9 of 10 looks like an accident, since "));
}

#[test]
fn an_agent_that_holds_the_lock_and_has_not_spoken_yet_is_running_and_nothing_is_known() {
    let dir = bound();
    let _lock = driftline::engine::state::Lock::take(&dir.path().join("state")).expect("free");
    let status = ask(dir.path(), &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!((&json["agent"]["state"], &json["verdict"]), (&"running".into(), &"unknown".into()), "{json:#}");
    assert_eq!((json["agent"]["pid"].as_u64(), status.status.code()), (Some(std::process::id().into()), Some(0)));
    let refused = init(dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("an agent works with it\nhint: stop that agent first"));
}

#[test]
fn a_watched_status_is_printed_each_second_until_nobody_reads() {
    use std::io::{BufRead as _, BufReader};
    let dir = bound();
    let config = dir.path().join("driftline.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    let child = command.args(["status", "--watch", "--query", "verdict", "--config"]).arg(config);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for _ in 0..2 {
        assert_eq!(lines.next().expect("a line").expect("read"), "\"unknown\"");
    }
    drop(lines);
    let end = child.wait_with_output().expect("ended");
    assert_eq!((end.status.code(), text(&end.stderr)), (Some(0), String::new()));
}

#[test]
fn nobody_reading_is_a_normal_end() {
    for args in [&["--help"][..], &["--version"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
        let output = command.args(args).stdout(writer).stderr(Stdio::piped()).spawn().expect("started");
        let output = output.wait_with_output().expect("ended");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn the_readme_tells_every_exit_code() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    for exit in Exit::ALL {
        assert!(readme.contains(&format!("\n| {} | ", u8::from(exit))), "{exit:?}");
    }
}
