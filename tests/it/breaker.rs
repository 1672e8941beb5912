//! The last line: what looks like an accident or an attack waits for a person, and what looks like work does not.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::office::{Agent, Dice, Office, is_slow_run, must, targets};

/// What every document of the offices here begins with, as those of Word do.
const DOCUMENT: &[u8] = b"PK\x03\x04";

/// An office with so many documents in twenty folders, in step with its target.
fn office_of(count: u64) -> Office {
    settled(Office::configured("settle = \"100ms\"", ""), count)
}

fn settled(office: Office, count: u64) -> Office {
    furnish(&office, count);
    office.sync_well();
    office
}

fn furnish(office: &Office, count: u64) {
    (0..20).for_each(|folder| fs::create_dir_all(office.share(format!("dept {folder}"))).unwrap());
    (0..count).for_each(|i| fs::write(office.share(document(i)), written(i)).unwrap());
}

fn document(i: u64) -> String {
    format!("dept {}/report {i}.docx", i % 20)
}

fn written(i: u64) -> Vec<u8> {
    [DOCUMENT, format!("the report of day {i}").as_bytes()].concat()
}

/// What a program leaves that encrypts for ransom.
fn encrypted(i: u64) -> Vec<u8> {
    Dice::new(i + 1).bytes(1500)
}

fn encrypt_in_place(office: &Office, numbers: std::ops::Range<u64>) {
    numbers.for_each(|i| fs::write(office.share(document(i)), encrypted(i)).unwrap());
}

fn encrypt_and_rename(office: &Office, numbers: std::ops::Range<u64>) {
    for i in numbers {
        fs::write(office.share(document(i)), encrypted(i)).unwrap();
        fs::rename(office.share(document(i)), office.share(document(i) + ".locked")).unwrap();
    }
}

fn halt_of(status: &Value) -> &Value {
    &targets(status).next().unwrap()["halt"]
}

/// One pass that halts for this reason, and says so wherever people look.
fn sync_halts(office: &Office, kind: &str) -> Value {
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it halts: {said}");
    assert!(said.err.contains("approve papers/backup"), "it says what to do: {said}");
    assert_told(office, kind)
}

/// `status` as JSON and as text, and `problems`, tell of the halt.
fn assert_told(office: &Office, kind: &str) -> Value {
    // While an attack goes on what is told of it grows: the three are asked until nothing came between them.
    let mut asked = (Value::Null, String::new(), String::new());
    office.wait_until("all tell of the same halt", || {
        let before = office.status();
        let (text, problems) = (office.tell(&["status"]).out, office.tell(&["problems"]));
        let same = halt_of(&before) == halt_of(&office.status()) && problems.code == Some(1);
        asked = (before, text, problems.out);
        same
    });
    let (status, text, problems) = asked;
    assert_eq!(status["verdict"], "halted", "{status:#}");
    let halt = halt_of(&status);
    assert_eq!(halt["kind"], kind, "{status:#}");
    assert!(halt["since"].is_string(), "{status:#}");
    let samples = halt["samples"].as_array().unwrap();
    assert!((1..=10).contains(&samples.len()), "{status:#}");
    assert!(text.lines().count() <= 24, "on one screen: {text}");
    assert!(text.contains(samples[0].as_str().unwrap()), "with samples: {text}");
    assert!(text.contains("driftline approve papers/backup"), "{text}");
    assert!(text.contains("driftline restore --all --share papers --as-of \"20"), "{text}");
    assert!(text.contains("where: dept "), "{text}");
    assert!(problems.contains(halt["message"].as_str().unwrap()), "{problems}");
    halt.clone()
}

/// How many of these documents are on the target as they were.
fn intact(office: &Office, numbers: std::ops::Range<u64>) -> u64 {
    let is = |i: &u64| fs::read(office.target(document(*i))).is_ok_and(|bytes| bytes == written(*i));
    numbers.filter(is).count() as u64
}

fn approve(office: &Office) {
    let said = office.tell(&["approve", "papers/backup"]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn documents_encrypted_in_place_halt_before_most_are_replaced() {
    let office = office_of(400);
    encrypt_in_place(&office, 0..200);
    let halt = sync_halts(&office, "encryption");
    assert_eq!(halt["counts"]["scrambled"], 200, "what waits is told with what was made: {halt:#}");
    assert_eq!(halt["counts"]["limit"], 40, "a tenth of four hundred passes: {halt:#}");
    assert_eq!(halt["counts"]["files"], 400, "{halt:#}");
    assert!(halt["counts"]["folders"].as_u64() > Some(1), "{halt:#}");
    assert_eq!(intact(&office, 0..200), 160);
    let again = sync_halts(&office, "encryption");
    assert_eq!((again, intact(&office, 0..200)), (halt, 160), "a restart forgets nothing and lets nothing through");
}

#[test]
fn documents_renamed_and_encrypted_halt_before_most_are_gone() {
    let office = office_of(400);
    encrypt_and_rename(&office, 0..200);
    let halt = sync_halts(&office, "encryption");
    let count = |name: &str| halt["counts"][name].as_u64().unwrap();
    // How many of the new files lie there by then is chance.
    assert!((400..=600).contains(&count("files")), "the old files and some of the new ones: {halt:#}");
    assert_eq!(count("limit"), count("files") / 10, "a tenth of them passes: {halt:#}");
    assert_eq!(count("scrambled"), 200, "what waits is told with what was made: {halt:#}");
    assert!(halt["samples"][0].as_str().unwrap().ends_with(".docx"), "what is lost is named: {halt:#}");
    assert!((140..=160).contains(&intact(&office, 0..200)), "the next one after a tenth halts: {halt:#}");
}

#[test]
fn an_attack_under_the_agents_eyes_halts_and_is_recorded_on_and_lifts_once_it_is_undone() {
    let office = office_of(400);
    let agent: Agent = office.start();
    office.wait_same();
    encrypt_in_place(&office, 0..100);
    encrypt_and_rename(&office, 100..200);
    let waits = |count: u64| move |status: &Value| targets(status).all(|target| target["pending"] == count);
    // A hundred were encrypted; of the others each has an old name and a new one. Forty were replaced or taken away.
    office.wait_until("halted", || office.status()["verdict"] == "halted");
    assert_told(&office, "encryption");
    office.save("dept 3/new.docx", written(7));
    office.wait_until("what waits is known", || {
        let status = office.status();
        targets(&status).all(|target| target["pending"].as_u64().is_some_and(|count| count > 100))
    });
    assert!(intact(&office, 0..200) >= 140);
    assert!(!office.target("dept 3/new.docx").exists(), "nothing at all is published");
    for i in 0..200 {
        let _renamed = fs::remove_file(office.share(document(i) + ".locked"));
        fs::write(office.share(document(i)), written(i)).unwrap();
    }
    office.wait_same();
    assert!(waits(0)(&office.status()));
    assert!(agent.log().contains("goes on by itself"), "it is said aloud");
    assert_eq!(halt_of(&office.status()), &Value::Null);
}

#[test]
fn an_attack_is_taken_back_by_the_very_command_that_status_names() {
    let office = office_of(400);
    let _agent = office.start();
    office.wait_same();
    // Until then nothing happens: clocks that know only seconds are past it.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    encrypt_in_place(&office, 0..200);
    office.wait_until("halted", || office.status()["verdict"] == "halted");
    let mut text = String::new();
    office.wait_until("all of it is told", || {
        text = office.tell(&["status"]).out;
        halt_of(&office.status())["counts"]["scrambled"] == 200
    });
    let command = text.lines().find_map(|line| line.split_once("driftline restore ")).expect("a command").1;
    let (words, rest) = command.split_once('"').expect("a time in quotes");
    let (time, _) = rest.split_once('"').expect("a time in quotes");
    let words: Vec<_> = ["restore"].into_iter().chain(words.split_whitespace()).chain([time]).collect();
    let said = office.tell(&words);
    assert_eq!(said.code, Some(0), "{words:?}: {said}");
    office.wait_same();
    assert_eq!((intact(&office, 0..400), halt_of(&office.status())), (400, &Value::Null));
}

#[test]
fn a_halt_is_told_as_it_stands_when_more_happens_and_when_some_of_it_is_undone() {
    let office = office_of(400);
    let _agent = office.start();
    office.wait_same();
    let told = |count: u64| {
        office.wait_until("the halt is told as it stands", || {
            halt_of(&office.status())["counts"]["scrambled"].as_u64() == Some(count)
        });
        let halt = assert_told(&office, "encryption");
        let sentence = format!("{count} files were overwritten");
        assert!(halt["message"].as_str().unwrap().starts_with(&sentence), "{halt:#}");
    };
    encrypt_in_place(&office, 0..60);
    told(60);
    encrypt_in_place(&office, 60..150);
    told(150);
    (100..150).for_each(|i| fs::write(office.share(document(i)), written(i)).unwrap());
    told(100);
}

#[test]
fn approval_lets_through_what_was_seen_and_the_next_burst_halts_again() {
    let office = office_of(400);
    encrypt_in_place(&office, 0..200);
    sync_halts(&office, "encryption");
    approve(&office);
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history(document(0)), [written(0)]);
    encrypt_in_place(&office, 200..300);
    sync_halts(&office, "encryption");
    assert_eq!(intact(&office, 200..300), 60);
}

#[test]
fn what_is_normal_after_three_nights_passes_without_question() {
    let office = office_of(400);
    for night in 1..=3 {
        (0..60).for_each(|i| fs::write(office.share(document(i)), encrypted(night * 1000 + i)).unwrap());
        sync_halts(&office, "encryption");
        approve(&office);
        office.sync_well();
        a_day_goes_by(&office);
    }
    (0..60).for_each(|i| fs::write(office.share(document(i)), encrypted(9000 + i)).unwrap());
    office.sync_well();
    encrypt_in_place(&office, 60..200);
    let halt = sync_halts(&office, "encryption");
    assert_eq!(halt["counts"]["limit"], 120, "twice what is normal: {halt:#}");
}

#[test]
fn removals_add_up_within_two_hours_and_not_over_a_day() {
    let office = office_of(1600);
    let delete =
        |numbers: std::ops::Range<u64>| numbers.for_each(|i| fs::remove_file(office.share(document(i))).unwrap());
    delete(0..600);
    office.sync_well();
    a_day_goes_by(&office);
    delete(600..1200);
    office.sync_well();
    delete(1200..1600);
    let halt = sync_halts(&office, "removals");
    assert_eq!((&halt["counts"]["removed"], &halt["counts"]["files"]), (&1000.into(), &1000.into()), "{halt:#}");
}

/// What was counted was counted a day earlier.
fn a_day_goes_by(office: &Office) {
    let index = rusqlite::Connection::open(office.path("state/index.db")).unwrap();
    index.execute("UPDATE hours SET hour = hour - 24 - 1000000", []).unwrap();
    index.execute("UPDATE hours SET hour = hour + 1000000", []).unwrap();
}

#[test]
fn a_share_that_was_emptied_takes_nothing_away_and_goes_on_when_it_is_filled_again() {
    let office = office_of(40);
    (0..20).for_each(|folder| fs::remove_dir_all(office.share(format!("dept {folder}"))).unwrap());
    let halt = sync_halts(&office, "removals");
    assert_eq!((&halt["counts"]["removed"], intact(&office, 0..40)), (&40.into(), 40), "{halt:#}");
    furnish(&office, 40);
    office.sync_well();
    office.assert_same();
    assert_eq!(office.history(document(0)), Vec::<Vec<u8>>::new(), "nothing was replaced");
}

#[test]
fn empty_folders_are_no_files() {
    let office = Office::configured("", "");
    (0..1500).for_each(|i| fs::create_dir_all(office.share(format!("tree/{}/{i}", i % 30))).unwrap());
    office.save("plan.txt", b"a plan");
    office.sync_well();
    fs::remove_dir_all(office.share("tree")).unwrap();
    office.sync_well();
    office.assert_same();
}

#[test]
fn archives_pictures_and_sealed_files_rewritten_are_no_attack() {
    let office = Office::configured("", "");
    let write = |round: u64| {
        for i in 0..40 {
            let body = Dice::new(round * 1000 + i + 1).bytes(5000);
            let marked = |mark: &[u8]| [mark, &body].concat();
            office.save(format!("a/{i}.docx"), marked(DOCUMENT));
            office.save(format!("b/{i}.jpg"), marked(b"\xff\xd8\xff\xe0"));
            office.save(format!("c/{i}.log.gz"), marked(b"\x1f\x8b\x08"));
            office.save(format!("d/chunk{i}"), &body);
            office.save(format!("e/{i}.txt.gpg"), &body);
            office.save(format!("f/{i}.html"), format!("<p>{round} {i}</p>").repeat(200));
        }
    };
    for round in 1..=3 {
        write(round);
        office.sync_well();
        office.assert_same();
    }
}

#[test]
fn logs_that_are_compressed_in_their_place_are_no_attack() {
    let office = Office::configured("", "");
    (0..100).for_each(|i| office.save(format!("log/{i}.log"), format!("line {i}\n").repeat(300)));
    office.sync_well();
    for i in 0..90 {
        fs::remove_file(office.share(format!("log/{i}.log"))).unwrap();
        office.save(format!("log/{i}.log.gz"), [b"\x1f\x8b\x08", &encrypted(i)[..]].concat());
    }
    office.sync_well();
    office.assert_same();
}

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    must(command.args(["-c", "user.name=A", "-c", "user.email=a@example.org"]).args(args));
}

/// A checkout of so many sources, and a branch on which a third is edited, a third gone and as many new.
fn checkout(office: &Office, count: u64) {
    let root = office.share("project");
    let source = |i: u64| format!("module {}/source {i}.rs", i % 50);
    let save = |name: String, text: String| office.save(format!("project/{name}"), text);
    (0..count).for_each(|i| save(source(i), format!("fn number() -> u64 {{ {i} }}\n").repeat(20)));
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["config", "gc.auto", "0"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "first"]);
    git(&root, &["checkout", "-q", "-b", "other"]);
    (0..count)
        .filter(|i| i % 3 == 0)
        .for_each(|i| save(source(i), format!("fn other() -> u64 {{ {i} }}\n").repeat(30)));
    (0..count).filter(|i| i % 3 == 1).for_each(|i| fs::remove_file(root.join(source(i))).unwrap());
    (0..count).filter(|i| i % 3 == 1).for_each(|i| save(source(i + count), format!("mod new_{i};\n").repeat(40)));
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "second"]);
    git(&root, &["checkout", "-q", "main"]);
}

fn assert_a_branch_may_be_switched(office: &Office, sources: u64) {
    checkout(office, sources);
    office.sync_well();
    let _agent = office.start();
    office.wait_same();
    for branch in ["other", "main"] {
        git(&office.share("project"), &["checkout", "-q", branch]);
        office.wait_same_within(std::time::Duration::from_secs(120));
    }
}

#[test]
fn a_branch_switched_in_a_checkout_does_not_halt() {
    assert_a_branch_may_be_switched(&Office::configured("settle = \"100ms\"", ""), 300);
}

#[test]
fn a_branch_of_thousands_switched_in_a_checkout_does_not_halt() {
    if is_slow_run("a branch of 4,500 files switched twice") {
        assert_a_branch_may_be_switched(&Office::large(), 4500);
    }
}

/// Three thousand objects, archives and pages, as builds make them.
fn build(office: &Office, night: u64) {
    for i in 0..3000 {
        let body = Dice::new(night * 10_000 + i + 1).bytes(800);
        let (suffix, bytes) = match i % 3 {
            0 => ("o", [b"\x7fELF", &body[..]].concat()),
            1 => ("jar", [DOCUMENT, &body].concat()),
            _ => ("html", format!("<p>night {night}, page {i}</p>").repeat(30).into_bytes()),
        };
        office.save(format!("build/{}/unit {i}.{suffix}", i % 40), bytes);
    }
    office.sync_well();
    office.assert_same();
}

#[test]
fn a_nightly_build_that_rewrites_three_thousand_files_does_not_halt() {
    if !is_slow_run("nightly builds of 3,000 files") {
        return;
    }
    let office = Office::large();
    build(&office, 0);
    build(&office, 1);
    // Eight nights more, as they would be remembered.
    let index = rusqlite::Connection::open(office.path("state/index.db")).unwrap();
    for night in 1..=8 {
        let sql = "INSERT INTO hours SELECT target, hour - 24 * ?1, removed, replaced, scrambled, removed, replaced, scrambled
                   FROM hours WHERE replaced > 0 AND hour > (SELECT max(hour) FROM hours) - 2";
        index.execute(sql, [night]).unwrap();
    }
    drop(index);
    build(&office, 10);
}

#[test]
fn a_program_gone_wild_that_rewrites_everything_halts() {
    if !is_slow_run("12,000 files rewritten") {
        return;
    }
    let office = settled(Office::large(), 12_000);
    (0..12_000).for_each(|i| fs::write(office.share(document(i)), [DOCUMENT, b"oops"].concat()).unwrap());
    let halt = sync_halts(&office, "replacements");
    assert_eq!((&halt["counts"]["replaced"], intact(&office, 0..12_000)), (&12_000.into(), 6000), "{halt:#}");
    approve(&office);
    office.sync_well();
    office.assert_same();
}

#[test]
fn five_thousand_of_twenty_thousand_encrypted_halt_after_a_hundred() {
    if !is_slow_run("5,000 of 20,000 documents encrypted in place, and renamed") {
        return;
    }
    let office = settled(Office::large(), 20_000);
    let _agent = office.start();
    office.wait_same();
    encrypt_in_place(&office, 0..5000);
    office.wait_until("halted", || office.status()["verdict"] == "halted");
    assert_told(&office, "encryption");
    assert!(intact(&office, 0..5000) >= 4900, "{} are left", intact(&office, 0..5000));
    (0..5000).for_each(|i| fs::write(office.share(document(i)), written(i)).unwrap());
    office.wait_same();
    encrypt_and_rename(&office, 5000..10_000);
    office.wait_until("halted again", || office.status()["verdict"] == "halted");
    assert_told(&office, "encryption");
    // A hundred with marks pass. One file in some thousand bears none, however it is encrypted: here number 8608.
    let is_noise = |i: &u64| driftline::plan::looks_like_noise(&encrypted(*i));
    assert_eq!((5000..10_000).filter(|i| !is_noise(i)).collect::<Vec<_>>(), [8608]);
    assert!(intact(&office, 5000..10_000) >= 4899, "{} are left", intact(&office, 5000..10_000));
}

#[test]
fn of_a_hundred_thousand_files_all_are_renamed_and_300_deleted_and_20_000_are_not() {
    if !is_slow_run("100,000 files renamed, 300 and 20,000 of them deleted") {
        return;
    }
    let office = Office::large();
    let file = |folder: &str, i: u32| office.share(format!("{folder}/{}/{i}", i % 100));
    (0..100).for_each(|sub| fs::create_dir_all(office.share(format!("all/{sub}"))).unwrap());
    (0..100_000).for_each(|i| fs::write(file("all", i), i.to_string()).unwrap());
    office.sync_well();
    let before = office.target_places().len();
    fs::rename(office.share("all"), office.share("whole")).unwrap();
    office.sync_well();
    assert!(office.target("whole/7/7").exists() && !office.target("all").exists());
    (0..300).for_each(|i| fs::remove_file(file("whole", i)).unwrap());
    office.sync_well();
    assert_eq!(office.target_places().len(), before - 300);
    (20..40).for_each(|sub| fs::remove_dir_all(office.share(format!("whole/{sub}"))).unwrap());
    let said = office.sync();
    assert_eq!(said.code, Some(1), "it halts: {said}");
    let status = office.status();
    let halt = halt_of(&status);
    assert_eq!((&halt["kind"], &halt["counts"]["limit"]), (&"removals".into(), &10_000.into()), "{halt:#}");
    assert_eq!(office.target_places().len(), before - 300, "not one is taken away");
}
