//! What people ask, and what they are told.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::office::{Agent, Office, PATIENCE, Tree, files_below, targets};

/// Every number that stands in a text.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// What lies in the state folder. SQLite's shared memory is left out: reading alone changes it.
fn state_of(office: &Office) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(&office.path("state")).into_iter();
    let lasting = files.filter(|file| !file.to_string_lossy().ends_with("-shm"));
    lasting.map(|file| (fs::read(&file).unwrap(), file)).map(|(bytes, file)| (file, bytes)).collect()
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let office = Office::new();
    (0..23).for_each(|i| office.save(format!("old {i}"), "old"));
    office.sync_well();
    (0..17).for_each(|i| office.save(format!("new {i}"), "new"));
    (0..5).for_each(|i| fs::remove_file(office.share(format!("old {i}"))).unwrap());
    let before = (office.target_places(), Tree::read(&office.path("target")).unwrap(), state_of(&office));
    let said = office.tell(&["sync", "--dry-run"]);
    assert!(matches!(said.code, Some(0 | 1)), "{said}");
    let after = (office.target_places(), Tree::read(&office.path("target")).unwrap(), state_of(&office));
    assert!(after == before, "a dry run changes nothing: {said}");
    let counts = numbers(&said.out);
    assert!(counts.contains(&17) && counts.contains(&5), "17 to send, 5 to remove: {said}");
    office.sync_well();
    office.assert_same();
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    let office = Office::configured("setle = \"1s\"", "");
    let said = office.sync();
    assert_eq!(said.code, Some(78), "{said}");
    let text = fs::read_to_string(office.path("driftline.toml")).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("setle")).unwrap();
    assert!(numbers(&said.err).contains(&(line as u64)), "it names line {line}: {said}");
    assert!(said.err.contains("setle") && said.err.contains("settle"), "it names the nearest key: {said}");
    assert!(said.err.contains("error: cannot") && said.err.contains("hint: "), "as every error: {said}");
}

#[test]
fn words_that_are_no_command_are_a_usage_error() {
    let office = Office::new();
    for words in [&["snyc"][..], &["sync", "--no-such-flag"], &[]] {
        let mut command = office.command(words);
        let said = crate::office::hear(&mut command);
        assert_eq!(said.code, Some(2), "{words:?}: {said}");
    }
}

#[test]
fn a_second_agent_on_the_same_state_refuses() {
    let office = Office::new();
    let mut first = office.start();
    office.wait_safe();
    for words in ["run", "sync"] {
        let said = office.tell(&[words]);
        assert!(said.code.is_some_and(|code| code != 0), "{words} refuses: {said}");
        assert!(said.err.contains("error: cannot") && said.err.contains("hint: "), "{words} says why: {said}");
        let place = office.path("state");
        let named = said.err.contains(place.to_str().unwrap()) || numbers(&said.err).contains(&first.pid().into());
        assert!(named, "{words} names the state folder or the other process: {said}");
    }
    assert!(first.lives());
    office.save("plan.txt", b"a plan");
    office.wait_same();
}

#[test]
fn a_second_agent_may_start_after_the_first_was_killed() {
    let office = Office::new();
    office.save("plan.txt", b"a plan");
    let mut first: Agent = office.start();
    office.wait_same();
    first.kill();
    let _second = office.start();
    office.save("plan.txt", b"a better plan");
    office.wait_same();
}

#[test]
#[expect(clippy::print_stderr, reason = "a measured value that has a promise but no tight assertion")]
fn the_status_of_a_dead_agent_says_so_at_once() {
    let office = Office::new();
    office.save("plan.txt", b"a plan");
    let mut agent = office.start();
    office.wait_same();
    agent.kill();
    let (status, said) = office.ask_status();
    assert_eq!(said.code, Some(3), "{said}");
    assert_eq!(status["agent"]["state"], "stopped", "{status:#}");
    let text = office.tell(&["status"]);
    assert_eq!(text.code, Some(3), "{text}");
    assert!(text.out.contains("stopped") || text.out.contains("not running"), "{text}");
    eprintln!("status of a dead agent: {:?} as JSON, {:?} as text", said.took, text.took);
    assert!(said.took.max(text.took) < Duration::from_secs(3), "promised are 300 ms");
}

#[test]
fn the_status_of_an_office_where_nothing_ever_ran_is_unknown() {
    let office = Office::new();
    let (status, said) = office.ask_status();
    assert_eq!(status["verdict"], "unknown", "{status:#}");
    assert_eq!(said.code, Some(3), "no agent runs: {said}");
    let asked = state_of(&office);
    assert!(asked.is_empty(), "asking leaves nothing behind: {:?}", asked.keys());
}

#[test]
fn status_holds_what_other_programs_rely_on() {
    let office = Office::configured("", "");
    office.save("letters/offer.docx", b"an offer");
    office.save("plan.txt", b"a plan");
    let agent = office.start();
    office.wait_same();
    let status = office.wait_safe();
    assert_eq!(status["agent"]["pid"], agent.pid());
    assert_eq!(status["agent"]["name"], "office-01");
    let (share, target) = (&status["shares"][0], &status["shares"][0]["targets"][0]);
    assert_eq!((&share["name"], &share["files"], &share["bytes"]), (&"papers".into(), &2.into(), &14.into()));
    assert_eq!(share["watch"]["coverage"].as_f64(), Some(1.0));
    assert_eq!((&target["name"], &target["kind"]), (&"backup".into(), &"directory".into()));
    assert_eq!((&target["state"], &target["error"]), (&"ok".into(), &serde_json::Value::Null));
    assert_eq!((&target["files"], &target["bytes"]), (&2.into(), &14.into()));
    for zero in ["pending", "pending_bytes", "problems", "holds"] {
        assert_eq!(target[zero], 0, "{zero}");
    }
    for time in [&status["as_of"], &status["agent"]["heartbeat"], &target["protected_as_of"]] {
        assert!(moment(time).is_some(), "{time} is RFC 3339");
    }
}

fn moment(value: &serde_json::Value) -> Option<SystemTime> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

#[test]
fn what_is_said_to_be_protected_is_on_the_target() {
    let office = Office::new();
    let _agent = office.start();
    office.wait_safe();
    let settled = Duration::from_millis(500) + Duration::from_secs(1);
    for round in 0..10 {
        let text = format!("version {round}");
        office.save("plan.txt", &text);
        let due = SystemTime::now() + settled;
        office.wait_until("protected since the save", || {
            let status = office.status();
            let said = targets(&status).all(|target| moment(&target["protected_as_of"]).is_some_and(|t| t > due));
            let safe = status["verdict"] == "safe" && moment(&status["as_of"]).is_some_and(|t| t > due);
            let there = fs::read(office.target("plan.txt")).is_ok_and(|bytes| bytes == text.as_bytes());
            assert!(there || !(said || safe), "round {round}: said to be protected, and is not: {status:#}");
            said && safe
        });
    }
}

#[test]
fn an_agent_that_is_asked_to_end_ends_well() {
    let office = Office::new();
    office.save("plan.txt", b"a plan");
    let mut agent = office.start();
    office.wait_same();
    let end = agent.terminate(PATIENCE).expect("it ends");
    assert_eq!(end.code(), Some(0), "{end}");
    assert_eq!(office.ask_status().1.code, Some(3));
}
