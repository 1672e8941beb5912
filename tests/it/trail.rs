//! The audit trail, as an administrator reads it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::office::{Office, PATIENCE, wait};

/// What `log --json` prints.
fn entries(office: &Office, words: &[&str]) -> Vec<Value> {
    let said = office.tell(&[&["log", "--json"], words].concat());
    assert_eq!(said.code, Some(0), "{said}");
    said.out.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

/// What was done to `path`, in its order.
fn done_to<'a>(entries: &'a [Value], path: &str) -> Vec<&'a str> {
    let of_path = entries.iter().filter(|entry| entry["path"] == path);
    of_path.map(|entry| entry["what"].as_str().expect("a word")).collect()
}

/// `log --follow`, killed when the test ends.
struct Follower {
    child: Child,
    out: std::path::PathBuf,
}

impl Follower {
    fn start(office: &Office, words: &[&str]) -> Self {
        let out = office.path("followed");
        let mut command = office.command(&[&["log", "--follow", "--json"], words].concat());
        let child = command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).spawn().expect("it starts");
        Self { child, out }
    }

    fn wait_for(&self, what: &str, path: &str) {
        let is_told = |line: &str| {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            entry["what"] == what && entry["path"] == path
        };
        let told = || fs::read_to_string(&self.out).is_ok_and(|text| text.lines().any(is_told));
        assert!(wait(PATIENCE, told), "{what} {path} is not told:\n{}", fs::read_to_string(&self.out).unwrap());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn the_trail_tells_every_change_with_its_cause_after_the_agent_has_ended() {
    let office = Office::new();
    office.save("f/plan.txt", "a plan");
    office.save("f/gone.txt", "soon gone");
    office.save("old name", "the same content under another name");
    office.sync_well();
    office.save("f/plan.txt", "a better plan");
    fs::remove_file(office.share("f/gone.txt")).unwrap();
    fs::rename(office.share("old name"), office.share("new name")).unwrap();
    office.sync_well();
    let all = entries(&office, &[]);
    assert_eq!(done_to(&all, "f/plan.txt"), ["put", "put"]);
    assert_eq!(done_to(&all, "f/gone.txt"), ["put", "remove"]);
    assert_eq!(done_to(&all, "new name"), ["move"]);
    assert_eq!(done_to(&all, "f")[0], "make folder");
    let whole: Vec<_> = done_to(&all, "").into_iter().collect();
    assert!(["bind", "start", "stop"].iter().all(|what| whole.contains(what)), "{whole:?}");
    let puts: Vec<_> = all.iter().filter(|entry| entry["path"] == "f/plan.txt").collect();
    let old = blake3::hash(b"a plan").to_hex();
    assert_eq!(puts[0]["detail"], format!("content {}, 6 bytes, new", &old[..8]));
    assert!(puts[1]["detail"].as_str().unwrap().ends_with(&format!("replaces {}", &old[..8])), "{puts:?}");
    for entry in &all {
        assert!(entry["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{entry}");
        assert_eq!(entry["share"], "share", "{entry}");
    }
    assert_eq!(entries(&office, &["f/gone.txt"]).len(), 2);
    let below = entries(&office, &["f"]);
    assert!(below.iter().all(|entry| entry["path"].as_str().unwrap().starts_with('f')), "{below:?}");
    assert_eq!(entries(&office, &["-n", "3"]), all[all.len() - 3..]);
    let middle = puts[1]["at"].as_str().unwrap();
    let since = entries(&office, &["--since", middle]);
    assert!(since.len() < all.len() && since.contains(puts[1]) && !since.contains(puts[0]), "{since:?}");
    let text = office.tell(&["log", "f/gone.txt"]);
    assert_eq!(text.out.lines().count(), 2, "{text}");
    assert!(text.out.contains("remove        f/gone.txt  content "), "{text}");
}

#[test]
fn the_trail_tells_of_holds_places_and_what_people_ask() {
    let office = Office::configured("settle = \"50ms\"", "audit = \"1s\"");
    office.save("plan.txt", "a plan");
    let _agent = office.start();
    office.wait_safe();
    fs::rename(office.path("target"), office.path("elsewhere")).unwrap();
    office.save("new.txt", "new");
    let told =
        |what: &str, path: &str| office.wait_until(what, || done_to(&entries(&office, &[]), path).contains(&what));
    told("offline", "");
    fs::rename(office.path("elsewhere"), office.path("target")).unwrap();
    told("online", "");
    assert_eq!(office.tell(&["pause"]).code, Some(0));
    told("pause", "");
    fs::write(office.target("mine.txt"), "theirs").unwrap();
    office.save("mine.txt", "ours");
    assert_eq!(office.tell(&["resume"]).code, Some(0));
    told("resume", "");
    told("hold", "mine.txt");
    fs::remove_file(office.target("mine.txt")).unwrap();
    office.save("mine.txt", "ours again");
    told("put", "mine.txt");
    let picked = office.tell(&["log", "--help"]);
    assert!(picked.out.contains("100,000"), "it says how far back it goes: {picked}");
}

#[test]
fn following_tells_what_is_done_and_survives_that_the_index_is_made_anew() {
    let office = Office::new();
    office.save("first", "1");
    office.sync_well();
    let follower = Follower::start(&office, &[]);
    follower.wait_for("put", "first");
    office.save("second", "2");
    office.sync_well();
    follower.wait_for("put", "second");
    office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    office.save("third", "3");
    office.sync_well();
    follower.wait_for("put", "third");
    follower.wait_for("adopt", "first");
    let text = fs::read_to_string(&follower.out).unwrap();
    let seconds = text.lines().filter(|line| line.contains("\"put\"") && line.contains("\"second\"")).count();
    assert_eq!(seconds, 1, "nothing is told twice:\n{text}");
}

#[test]
fn a_follower_whose_reader_has_gone_ends_quietly() {
    let office = Office::new();
    office.save("first", "1");
    office.sync_well();
    let mut command = office.command(&["log", "--follow"]);
    let err = File::create(office.path("err")).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(err).spawn().unwrap();
    drop(child.stdout.take());
    let ended = wait(PATIENCE, || {
        office.save("next", format!("{:?}", std::time::Instant::now()));
        office.sync_well();
        child.try_wait().unwrap().is_some()
    });
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(ended && status.code() == Some(0), "{status}");
    assert_eq!(fs::read_to_string(office.path("err")).unwrap(), "");
}

#[test]
fn a_name_that_nobody_has_is_refused_and_not_answered_with_nothing() {
    let office = Office::configured("", "");
    office.sync_well();
    for words in [["--share", "none"], ["--target", "none"], ["--since", "soon"]] {
        let said = office.tell(&["log", words[0], words[1]]);
        assert_eq!(said.code, Some(2), "{said}");
        assert!(said.err.contains("error: cannot") && said.err.contains("hint: "), "{said}");
    }
    assert!(!entries(&office, &["--share", "papers"]).is_empty());
    assert!(Path::new(&office.path("state")).exists());
}
