//! What `status`, `pending` and `explain` say to people and to programs, of an agent at work.

use std::fs::{self, File};
use std::io::Write as _;

use serde_json::Value;

use crate::office::{Office, faults_of_status};

#[test]
fn a_status_of_every_kind_is_as_its_schema_says() {
    // Each status that is asked for is held against the schema.
    let office = Office::configured("settle = \"100ms\"", "");
    let mut seen = vec![office.status()];
    let mut agent = office.start();
    office.save("letter.txt", "a letter");
    office.wait_same();
    seen.push(office.wait_safe());
    assert_eq!(office.tell(&["pause"]).code, Some(0));
    office.wait_until("paused", || office.status()["verdict"] == "attention");
    office.save("later.txt", "it waits");
    office.wait_until("one waits", || {
        let status = office.status();
        let target = &status["shares"][0]["targets"][0];
        target["pending"] == 1 && target["oldest_pending_s"].is_u64()
    });
    seen.push(office.status());
    fs::rename(office.path("share"), office.path("elsewhere")).unwrap();
    office.wait_until("offline", || office.status()["shares"][0]["state"] == "offline");
    seen.push(office.status());
    agent.kill();
    seen.push(office.status());
    let states: Vec<_> = seen.iter().map(|status| (&status["verdict"], &status["agent"]["state"])).collect();
    let wanted = [("unknown", "stopped"), ("safe", "running"), ("attention", "running"), ("attention", "running")];
    let wanted = wanted.map(|(verdict, state)| (Value::from(verdict), Value::from(state)));
    assert!(wanted.iter().zip(&states).all(|(wanted, seen)| (&wanted.0, &wanted.1) == *seen), "{states:?}");
}

/// What is spoiled, and how.
type Spoiled = (&'static str, fn(&mut Value));

#[test]
fn what_is_not_as_the_schema_says_is_noticed() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.sync_well();
    let status = office.status();
    assert_eq!(faults_of_status(&status), Vec::<String>::new());
    let spoiled: [Spoiled; 6] = [
        ("a word that is no verdict", |status| status["verdict"] = "fine".into()),
        ("a field that nobody knows", |status| status["agent"]["mood"] = "good".into()),
        ("a field that is missing", |status| drop(status["agent"].as_object_mut().unwrap().remove("pid"))),
        ("a number that is text", |status| status["shares"][0]["files"] = "7".into()),
        ("a time that is none", |status| status["as_of"] = "today".into()),
        ("too much", |status| status["shares"][0]["watch"]["coverage"] = 1.5.into()),
    ];
    for (what, spoil) in spoiled {
        let mut spoiled = status.clone();
        spoil(&mut spoiled);
        assert_eq!(faults_of_status(&spoiled).len(), 1, "{what}: {:#?}", faults_of_status(&spoiled));
    }
}

#[test]
fn a_file_that_is_held_open_is_told_with_who_holds_it() {
    let office = Office::configured("settle = \"100ms\"\npatience = \"1h\"", "");
    let _agent = office.start();
    office.wait_safe();
    let mut open = File::create(office.share("offer.docx")).unwrap();
    open.write_all(b"half an offer").unwrap();
    let holder = format!("pid {}", std::process::id());
    let of = |items: &Value| items[0]["by"].as_str().map(str::to_owned).unwrap_or_default();
    let pending = || serde_json::from_str::<Value>(&office.tell(&["pending", "--json"]).out).unwrap();
    office.wait_until("it is told who holds it", || of(&pending()).ends_with(&holder));
    let said = office.tell(&["pending"]);
    assert!(said.out.contains("papers/backup: offer.docx\n  held: open for writing on the share since "), "{said}");
    assert!(said.out.contains(&format!(", {holder})\n  hint: it is copied once nobody writes to it;")), "{said}");
    assert!(said.out.contains("(patience = 1h)"), "{said}");
    let said = office.tell(&["explain", "offer.docx"]);
    assert!(said.out.contains("; open for writing (") && said.out.contains(&holder), "{said}");
    // The hint is true.
    drop(open);
    office.wait_until("it is copied once it is closed", || office.target("offer.docx").exists());
    office.wait_safe();
    assert_eq!(pending(), Value::Array(Vec::new()));
}

#[test]
fn data_comes_as_text_and_as_a_table_too() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("letter.txt", "a letter");
    office.sync_well();
    let query = "shares[].targets[].[name, state, files]";
    let said = office.tell(&["status", "--query", query, "--output", "text"]);
    assert_eq!(said.out, "backup\tok\t1\n");
    let said =
        office.tell(&["status", "--query", "shares[].targets[].{name: name, files: files}", "--output", "table"]);
    let wanted = "\
+---------+----------+
|  files  |  name    |
+---------+----------+
|  1      |  backup  |
+---------+----------+
";
    assert_eq!(said.out, wanted);
    let said = office.tell(&["sync", "--query", "a["]);
    assert_eq!(said.code, Some(2), "before anything is done: {said}");
}

/// The verdict in each way in which it can be had; [`Office::status`] holds the JSON against its schema.
fn assert_verdict(office: &Office, verdict: &str, headline: &str) {
    office.wait_until(verdict, || office.status()["verdict"] == verdict);
    let said = office.tell(&["status"]);
    assert!(said.out.starts_with(headline), "{verdict}: {said}");
    let said = office.tell(&["status", "--query", "verdict", "--output", "text"]);
    assert_eq!(said.out.trim(), verdict, "{said}");
    let said = office.tell(&["status", "--query", "[verdict]", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), serde_json::json!([verdict]), "{said}");
    let said = office.tell(&["status", "--query", "{is: verdict}", "--output", "table"]);
    assert!(said.out.contains(&format!("|  {verdict}  |")), "{said}");
}

#[test]
fn each_verdict_comes_as_a_screen_and_as_data_of_each_form() {
    let office = Office::configured("settle = \"100ms\"\npatience = \"1h\"", "");
    (0..30).for_each(|i| office.save(format!("file {i}"), format!("content of {i}")));
    assert_verdict(&office, "unknown", "UNKNOWN: ");
    let _agent = office.start();
    assert_verdict(&office, "safe", "SAFE as of ");
    let mut open = File::create(office.share("offer.docx")).unwrap();
    open.write_all(b"half an offer").unwrap();
    assert_verdict(&office, "syncing", "SYNCING as of ");
    drop(open);
    office.wait_safe();
    assert_eq!(office.tell(&["pause"]).code, Some(0));
    assert_verdict(&office, "attention", "NOT SAFE as of ");
    assert_eq!(office.tell(&["resume"]).code, Some(0));
    office.wait_safe();
    fs::read_dir(office.path("share")).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    assert_verdict(&office, "halted", "NOT SAFE as of ");
}
