//! What targets hold is read back: silent damage is found, told, and put right.

use std::fs::{self, FileTimes};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::office::{Office, Said, must, targets};

/// One bit of a file is turned over, with its times put back: nothing but reading tells.
fn corrupt(path: &Path) {
    let times = fs::metadata(path).unwrap();
    let times = FileTimes::new().set_modified(times.modified().unwrap()).set_accessed(times.accessed().unwrap());
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

fn verify(office: &Office, words: &[&str], code: i32) -> Value {
    let said: Said = office.tell(&[&["verify", "--json"], words].concat());
    assert_eq!(said.code, Some(code), "{said}");
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("no JSON ({e}): {said}"));
    assert_eq!(report["fine"], code == 0, "{report:#}");
    report["targets"][0].clone()
}

fn verified(office: &Office) -> Value {
    let status = office.status();
    targets(&status).next().expect("a target")["verified"].clone()
}

fn office_of(count: usize) -> Office {
    let office = Office::new();
    for n in 0..count {
        office.save(format!("f{}/{n}.txt", n % 3), format!("the content of file {n}"));
    }
    std::os::unix::fs::symlink("f0", office.share("link")).unwrap();
    office.sync_well();
    office
}

#[test]
fn what_is_as_it_was_left_is_said_to_be_verified_until_it_is_put_anew() {
    let office = office_of(30);
    assert_eq!(verified(&office)["files"], 0);
    let lane = verify(&office, &[], 0);
    assert_eq!((&lane["read"], &lane["equal"], &lane["part"]), (&31.into(), &31.into(), &1.0.into()));
    let told = verified(&office);
    assert_eq!((&told["files"], &told["bad"]), (&30.into(), &0.into()));
    assert!(told["oldest"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{told}");
    office.save("f0/0.txt", "another content");
    office.sync_well();
    assert_eq!(verified(&office)["files"], 29);
    let text = office.tell(&["verify"]);
    assert_eq!(text.code, Some(0), "{text}");
    assert!(text.out.contains("31 files") && text.out.contains("all equal"), "{text}");
}

#[test]
fn a_bit_that_turned_over_is_found_told_and_put_right_and_the_bad_version_goes_to_history() {
    let office = office_of(12);
    corrupt(&office.target("f1/4.txt"));
    fs::remove_file(office.target("f2/5.txt")).unwrap();
    let bad_bytes = fs::read(office.target("f1/4.txt")).unwrap();
    let lane = verify(&office, &[], 1);
    assert_eq!((&lane["differs"], &lane["missing"], &lane["equal"]), (&1.into(), &1.into(), &11.into()));
    let named: Vec<_> = lane["bad"].as_array().unwrap().iter().map(|bad| bad["path"].as_str().unwrap()).collect();
    assert!(named.contains(&"f1/4.txt") && named.contains(&"f2/5.txt"), "{named:?}");
    assert!(lane["bad"][0]["hint"].as_str().unwrap().contains("--repair"), "{lane}");
    assert_eq!(fs::read(office.target("f1/4.txt")).unwrap(), bad_bytes, "reading changes nothing");
    let (status, _) = office.ask_status();
    assert_eq!((&status["verdict"], &verified(&office)["bad"]), (&"attention".into(), &2.into()), "{status:#}");
    assert!(office.problem("f1/4.txt").is_some());
    verify(&office, &["--repair"], 1);
    office.assert_same();
    assert_eq!(office.history("f1/4.txt"), [bad_bytes], "what was there is not lost");
    let told = verified(&office);
    assert_eq!((&told["bad"], office.problem("f1/4.txt")), (&0.into(), None), "{told}");
    verify(&office, &[], 0);
    office.sync_well();
}

#[test]
fn an_agent_puts_right_what_was_found_beside_it() {
    let office = office_of(12);
    let _agent = office.start();
    office.wait_safe();
    corrupt(&office.target("f1/4.txt"));
    verify(&office, &[], 1);
    office.wait_until("it is told", || verified(&office)["bad"] == 1 && office.problem("f1/4.txt").is_some());
    verify(&office, &["--repair"], 1);
    office.wait_same();
    assert_eq!(office.history("f1/4.txt").len(), 1);
    verify(&office, &[], 0);
    office.wait_until("all is verified", || verified(&office)["files"] == 12);
}

#[test]
fn what_cannot_be_read_is_named_and_stops_nothing_else() {
    let office = office_of(6);
    fs::remove_file(office.target("f1/4.txt")).unwrap();
    must(Command::new("mkfifo").arg(office.target("f1/4.txt")));
    let lane = verify(&office, &[], 1);
    assert_eq!((&lane["unreadable"], &lane["equal"]), (&1.into(), &6.into()), "{lane}");
    assert_eq!((&lane["bad"][0]["path"], &lane["bad"][0]["state"]), (&"f1/4.txt".into(), &"unreadable".into()));
    verify(&office, &["--repair"], 1);
    assert!(office.problem("f1/4.txt").is_some(), "what lies in its way is not ours to take away");
    fs::remove_file(office.target("f1/4.txt")).unwrap();
    verify(&office, &["--repair"], 1);
    office.assert_same();
}

#[test]
fn a_target_that_is_not_there_is_not_said_to_be_damaged() {
    let office = office_of(3);
    fs::rename(office.path("target"), office.path("elsewhere")).unwrap();
    let lane = verify(&office, &["--repair"], 1);
    assert_eq!((&lane["read"], &lane["missing"]), (&0.into(), &0.into()), "{lane}");
    assert!(lane["error"].is_string() && lane["hint"].is_string(), "{lane}");
    fs::rename(office.path("elsewhere"), office.path("target")).unwrap();
    assert_eq!(verified(&office)["bad"], 0);
    verify(&office, &[], 0);
}

#[test]
fn a_sample_reads_about_its_part_and_says_so() {
    let office = office_of(400);
    let lane = verify(&office, &["--sample", "25%"], 0);
    let read = lane["read"].as_u64().unwrap();
    assert!((60..=140).contains(&read), "about 100 of 401: {read}");
    assert_eq!((&lane["part"], verified(&office)["files"].as_u64().unwrap().abs_diff(read) <= 1), (&0.25.into(), true));
}
