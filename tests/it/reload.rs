//! A configuration that is changed while the agent runs: what is harmless takes effect, what hides files is asked about, and
//! what is wrong changes nothing.

use std::fs;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use crate::office::{Agent, Office, PATIENCE, files_below, targets};

/// Writes the configuration anew, and has the agent read it.
fn edit(office: &Office, agent: &Agent, from: &str, to: &str) {
    let path = office.path("driftline.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    agent.hang_up();
}

fn office() -> Office {
    Office::configured("settle = \"100ms\"\nignore = [\"*.bak\"]", "history = \"30d\"")
}

fn waiting(status: &Value) -> usize {
    status["config"]["waiting"].as_array().map_or(0, Vec::len)
}

fn wait_for(office: &Office, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    office.wait_until(what, || {
        last = office.status();
        is_so(&last)
    });
    last
}

/// A second target, behind the first.
fn second(office: &Office) -> String {
    let path = office.path("second");
    fs::create_dir_all(&path).unwrap();
    format!("\n[[share.target]]\nname = \"second\"\npath = {path:?}\n")
}

#[test]
fn a_new_target_and_fewer_patterns_take_effect_in_the_same_process() {
    let office = office();
    office.save("letter.txt", "a letter");
    office.save("old.bak", "not so unimportant");
    let mut agent = office.start();
    office.wait_safe();
    assert!(!office.target("old.bak").exists());
    edit(&office, &agent, "ignore = [\"*.bak\"]", "ignore = []");
    office.wait_until("the file that was left out is copied", || office.target("old.bak").exists());
    let more = second(&office);
    edit(&office, &agent, "history = \"30d\"", &format!("history = \"60d\"{more}"));
    let here = |name: &str| fs::read(office.path("second").join(name)).ok();
    office.wait_until("the new target holds all", || {
        here("letter.txt").as_deref() == Some(b"a letter") && here("old.bak").is_some()
    });
    let status = office.wait_safe();
    assert_eq!(targets(&status).count(), 2, "{status:#}");
    office.save("later.txt", "noticed as before");
    office.wait_until("a change is noticed as before", || here("later.txt").is_some());
    assert!(agent.lives());
    assert_eq!(status["agent"]["pid"], agent.pid());
}

#[test]
fn what_would_hide_files_is_shown_first_and_acts_once_approved() {
    let office = office();
    office.save("disk.iso", "an image");
    office.save("letter.txt", "a letter");
    let agent = office.start();
    office.wait_safe();
    edit(&office, &agent, "ignore = [\"*.bak\"]", "ignore = [\"*.bak\", \"*.iso\"]");
    let status = wait_for(&office, "the change waits", |status| waiting(status) == 1);
    let change = &status["config"]["waiting"][0];
    assert_eq!((&status["verdict"], &change["share"]), (&"attention".into(), &"papers".into()), "{status:#}");
    assert_eq!(change["change"], "the patterns of ignore would leave out 1 file that is kept");
    let said = office.tell(&["status"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.out.contains("\n    if that is meant: driftline approve papers\n"), "{said}");
    office.save("later.txt", "noticed as before");
    office.wait_until("a change is noticed as before", || office.target("later.txt").exists());
    assert!(office.target("disk.iso").exists(), "nothing is hidden before a person has said so");
    let said = office.tell(&["approve", "papers"]);
    assert_eq!(said.code, Some(0), "{said}");
    office.wait_until("what was approved is done", || !office.target("disk.iso").exists());
    assert_eq!(office.history("disk.iso"), [b"an image"]);
    let status = office.wait_safe();
    assert_eq!(waiting(&status), 0, "{status:#}");
}

#[test]
fn a_change_that_is_undone_waits_no_more() {
    let office = office();
    let agent = office.start();
    office.wait_safe();
    edit(&office, &agent, "history = \"30d\"", "history = \"1d\"");
    let status = wait_for(&office, "the change waits", |status| waiting(status) == 1);
    assert_eq!(status["config"]["waiting"][0]["change"], "history is shortened from 30d to 1d");
    edit(&office, &agent, "history = \"1d\"", "history = \"30d\"");
    wait_for(&office, "nothing waits", |status| waiting(status) == 0);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_everywhere() {
    let office = office();
    let mut agent = office.start();
    office.wait_safe();
    edit(&office, &agent, "settle = \"100ms\"", "setle = \"100ms\"");
    let told = || agent_says(&agent, "the configuration file is not taken, what was in effect stays so");
    office.wait_until("the log tells", told);
    let (status, said) = office.ask_status();
    assert_eq!((said.code, &status["verdict"]), (Some(1), &"attention".into()), "{status:#}");
    let error = &status["config"]["error"];
    assert!(error["message"].as_str().unwrap().contains("unknown key \"setle\""), "{status:#}");
    assert_eq!(error["hint"], "did you mean \"settle\"?", "{status:#}");
    assert_eq!(targets(&status).count(), 1, "{status:#}");
    office.save("later.txt", "noticed as before");
    office.wait_until("a change is noticed as before", || office.target("later.txt").exists());
    let said = office.tell(&["status"]);
    assert!(said.out.contains("the configuration file is not taken"), "{said}");
    assert!(agent.lives());
    edit(&office, &agent, "setle = \"100ms\"", "settle = \"200ms\"");
    wait_for(&office, "the right file is taken", |status| status["config"]["error"].is_null());
    office.wait_safe();
}

fn agent_says(agent: &Agent, words: &str) -> bool {
    agent.log().contains(words)
}

#[test]
fn what_is_not_read_yet_and_what_needs_a_new_start_is_told() {
    let office = office();
    let agent = office.start();
    office.wait_safe();
    let path = office.path("driftline.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("office-01", "office-02")).unwrap();
    let said = office.tell(&["status"]);
    assert!(said.out.contains("the configuration file was changed and is not read yet: systemctl reload"), "{said}");
    agent.hang_up();
    let told = wait_for(&office, "it is read", |status| status["config"]["unread"] == false);
    assert_eq!(told["config"]["at_restart"][0], "[agent] name", "{told:#}");
    assert_eq!((&told["verdict"], &told["agent"]["name"]), (&"safe".into(), &"office-01".into()), "{told:#}");
}

#[test]
fn a_target_that_is_removed_is_served_until_that_is_approved_and_misses_nothing_when_it_comes_back() {
    let office = office();
    let more = second(&office);
    let path = office.path("driftline.toml");
    let whole = fs::read_to_string(&path).unwrap() + &more;
    fs::write(&path, &whole).unwrap();
    let agent = office.start();
    office.wait_safe();
    edit(&office, &agent, &more, "");
    wait_for(&office, "the removal waits", |status| waiting(status) == 1);
    office.save("letter.txt", "a letter");
    let there = |name: &str| office.path("second").join(name).exists();
    office.wait_until("it is served as before", || there("letter.txt"));
    assert_eq!(targets(&office.status()).count(), 2, "it is told of as before");
    let said = office.tell(&["approve", "papers/second"]);
    assert_eq!(said.code, Some(0), "{said}");
    wait_for(&office, "it is gone", |status| waiting(status) == 0 && targets(status).count() == 1);
    office.save("later.txt", "only to one");
    office.wait_until("the other goes on", || office.target("later.txt").exists());
    office.wait_safe();
    assert!(!there("later.txt") && there("letter.txt"), "what lies there stays as it is");
    fs::write(&path, &whole).unwrap();
    agent.hang_up();
    office.wait_until("it is served again, also with what it missed", || there("later.txt"));
    office.wait_safe();
}

#[test]
fn a_target_that_was_not_configured_for_a_run_gets_what_it_missed() {
    let office = office();
    let more = second(&office);
    let path = office.path("driftline.toml");
    let without = fs::read_to_string(&path).unwrap();
    office.save("letter.txt", "a letter");
    fs::write(&path, without.clone() + &more).unwrap();
    office.sync_well();
    fs::write(&path, &without).unwrap();
    office.save("letter.txt", "another letter");
    office.save("later.txt", "later");
    office.sync_well();
    fs::write(&path, without + &more).unwrap();
    office.sync_well();
    let held = |name: &str| fs::read_to_string(office.path("second").join(name)).unwrap_or_default();
    assert_eq!((held("letter.txt").as_str(), held("later.txt").as_str()), ("another letter", "later"));
}

#[test]
fn shares_come_and_go() {
    let office = office();
    let (share, target) = (office.path("plans"), office.path("plans-copy"));
    fs::create_dir(&share).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(share.join("house.dwg"), "a house").unwrap();
    let agent = office.start();
    office.wait_safe();
    let plans = format!(
        "\n[[share]]\nname = \"plans\"\npath = {share:?}\n[[share.target]]\nname = \"copy\"\npath = {target:?}\n"
    );
    let path = office.path("driftline.toml");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, before.clone() + &plans).unwrap();
    agent.hang_up();
    office.wait_until("the new share is copied", || target.join("house.dwg").exists());
    office.wait_safe();
    fs::write(share.join("shed.dwg"), "a shed").unwrap();
    office.wait_until("the new share is watched", || target.join("shed.dwg").exists());
    fs::write(&path, before).unwrap();
    agent.hang_up();
    let status = wait_for(&office, "the removal waits", |status| waiting(status) == 1);
    assert_eq!(status["shares"].as_array().map(Vec::len), Some(2), "{status:#}");
    assert_eq!(office.tell(&["approve", "plans"]).code, Some(0));
    wait_for(&office, "the share is gone", |status| status["shares"].as_array().map(Vec::len) == Some(1));
    office.wait_safe();
    assert_eq!(files_below(&target).iter().filter(|file| file.extension().is_some_and(|e| e == "dwg")).count(), 2);
}

#[test]
fn nothing_that_is_saved_while_it_is_read_again_is_lost() {
    let office = office();
    let agent = office.start();
    office.wait_safe();
    let path = office.path("driftline.toml");
    let text = fs::read_to_string(&path).unwrap();
    for round in 0..20 {
        let patterns = if round % 2 == 0 { "[\"*.bak\", \"*.never\"]" } else { "[\"*.bak\"]" };
        let settle = 50 + round;
        let changed = text.replace("[\"*.bak\"]", patterns).replace("100ms", &format!("{settle}ms"));
        fs::write(&path, changed).unwrap();
        agent.hang_up();
        for i in 0..20 {
            office.save(format!("folder {}/{round}-{i}.txt", i % 3), format!("{round} {i}"));
        }
        if round % 5 == 0 {
            fs::rename(office.share("folder 0"), office.share(format!("renamed {round}"))).unwrap();
        }
    }
    office.wait_same();
}

#[test]
fn the_service_manager_is_told_when_it_begins_and_when_it_is_done() {
    let office = office();
    let path = office.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = office.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path);
    let agent = Agent::start(command, &office.path(""));
    let hear = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted:?} was not heard: {error}"));
            let words = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if words.contains(wanted) {
                return words;
            }
        }
    };
    hear("READY=1");
    edit(&office, &agent, "settle = \"100ms\"", "setle = \"100ms\"");
    let words = hear("RELOADING=1");
    assert!(words.contains("MONOTONIC_USEC="), "{words}");
    hear("READY=1");
    hear("STATUS=the configuration file is NOT TAKEN: ");
    edit(&office, &agent, "setle = \"100ms\"", "settle = \"200ms\"");
    hear("RELOADING=1");
    hear("READY=1");
}

#[test]
fn what_is_new_and_cannot_begin_is_told_and_begins_once_it_can() {
    let office = office();
    let agent = office.start();
    office.wait_safe();
    let (share, target) = (office.path("plans"), office.path("plans-copy"));
    fs::create_dir(&target).unwrap();
    let plans = format!(
        "\n[[share]]\nname = \"plans\"\npath = {share:?}\n[[share.target]]\nname = \"copy\"\npath = {target:?}\n"
    );
    let path = office.path("driftline.toml");
    let whole = fs::read_to_string(&path).unwrap() + &plans;
    fs::write(&path, whole).unwrap();
    agent.hang_up();
    let blocked = |status: &Value| status["config"]["blocked"].as_array().map_or(0, Vec::len);
    let status = wait_for(&office, "it cannot begin", |status| blocked(status) == 1);
    assert_eq!(status["verdict"], "attention", "{status:#}");
    let said = office.tell(&["status"]);
    assert!(said.out.contains("something new in the configuration cannot begin; all files are safe"), "{said}");
    fs::create_dir(&share).unwrap();
    fs::write(share.join("house.dwg"), "a house").unwrap();
    agent.hang_up();
    office.wait_until("it begins", || target.join("house.dwg").exists());
    let status = office.wait_safe();
    assert_eq!((blocked(&status), status["shares"].as_array().map(Vec::len)), (0, Some(2)), "{status:#}");
}
