//! The inbox of a two-way share: what both sides had changed is listed until a person has said which version is wanted.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::buckets::{Bucket, Make, Proxy};
use crate::office::{Office, Said, files_below, must, targets, wait};

/// Below this the share lies in the bucket.
const PREFIX: &str = "office";

/// A two-way office, whose other side is a folder or a bucket.
struct Both {
    office: Office,
    cloud: Option<(Bucket, Proxy)>,
}

impl Both {
    fn folder() -> Self {
        Self { office: Office::configured("settle = \"100ms\"", "drift = \"take\""), cloud: None }
    }

    fn bucket(bucket: Bucket) -> Self {
        let proxy = bucket.proxy();
        let (url, endpoint) = (bucket.url(PREFIX), proxy.endpoint());
        let target =
            format!("[[share.target]]\nname = \"backup\"\nurl = {url:?}\nendpoint = {endpoint:?}\ndrift = \"take\"\n");
        Self { office: Office::new().with_targets("settle = \"100ms\"", &target), cloud: Some((bucket, proxy)) }
    }

    fn edit_there(&self, name: &str, bytes: &[u8]) {
        match &self.cloud {
            None => fs::write(self.office.target(name), bytes).unwrap(),
            Some((bucket, _)) => drop(bucket.outsider().put(&format!("{PREFIX}/{name}"), bytes)),
        }
    }

    fn there(&self, name: &str) -> Option<Vec<u8>> {
        match &self.cloud {
            None => fs::read(self.office.target(name)).ok(),
            Some((bucket, _)) => bucket.outsider().get(&format!("{PREFIX}/{name}")),
        }
    }

    fn here(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.office.share(name)).ok()
    }

    /// Both sides edit a file that was the same on both.
    fn quarrel(&self, name: &str) {
        self.office.save(name, b"first");
        self.office.sync_well();
        self.quarrel_again(name, "edited here", "and edited there");
    }

    fn quarrel_again(&self, name: &str, here: &str, there: &str) {
        self.office.save(name, here);
        self.edit_there(name, there.as_bytes());
        self.office.sync_well();
        assert_eq!(self.here(name).unwrap(), here.as_bytes(), "the share's stays");
        assert_eq!(self.there(name).unwrap(), here.as_bytes(), "on both sides");
    }

    fn inbox(&self) -> Vec<Value> {
        let said = self.office.tell(&["conflicts", "--json"]);
        let all: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
        let all = all.as_array().unwrap().clone();
        assert_eq!(said.code, Some(i32::from(!all.is_empty())), "{said}");
        all
    }

    fn resolve(&self, words: &[&str]) -> Said {
        self.office.tell(&[&["resolve"], words].concat())
    }

    fn resolve_well(&self, words: &[&str]) -> Said {
        let said = self.resolve(words);
        assert_eq!(said.code, Some(0), "{said}");
        said
    }

    fn counted(&self) -> u64 {
        targets(&self.office.status()).map(|target| target["conflicts"].as_u64().unwrap()).sum()
    }

    fn kept(&self) -> Vec<Vec<u8>> {
        let files = files_below(&self.office.share(".driftline/kept"));
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    }
}

/// It begins, and nobody hears it.
fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// On each kind of target.
fn on_each(check: impl Fn(&Both)) {
    check(&Both::folder());
    check(&Both::bucket(Bucket::new(Make::SeaweedFs)));
    check(&Both::bucket(Bucket::versioned(Make::SeaweedFs)));
}

#[test]
fn a_conflict_is_told_everywhere_until_the_shares_version_is_chosen() {
    on_each(|both| {
        both.quarrel("plans/a plan.odt");
        let inbox = both.inbox();
        assert_eq!(inbox.len(), 1, "{inbox:#?}");
        let one = &inbox[0];
        assert_eq!((one["path"].as_str(), one["target"].as_str()), (Some("plans/a plan.odt"), Some("backup")));
        assert_eq!((&one["cause"], &one["on_share"]["bytes"]), (&"both changed".into(), &11.into()), "{one:#}");
        assert_eq!(one["on_target"]["bytes"], 16, "{one:#}");
        let told = both.office.tell(&["conflicts"]);
        assert!(told.out.contains("driftline resolve 'plans/a plan.odt' --keep"), "{told}");
        assert_eq!(told.out.lines().count(), 1, "{told}");
        let (status, said) = both.office.ask_status();
        assert_eq!((status["verdict"].as_str(), both.counted()), (Some("safe"), 1), "{said}");
        let screen = both.office.tell(&["status"]);
        assert!(screen.out.contains("1 conflict waits") && screen.out.contains("driftline conflicts"), "{screen}");
        let problem = both.office.problem("plans/a plan.odt").expect("it is named in problems");
        assert_eq!(problem["kind"], "conflict", "{problem}");
        assert!(both.office.tell(&["explain", "plans/a plan.odt"]).out.contains("--keep"), "explain says what to do");
        both.resolve_well(&["plans/a plan.odt", "--keep", "share"]);
        assert_eq!(both.inbox(), [Value::Null; 0], "at once, also with no agent");
        assert_eq!(both.counted(), 0);
        both.office.sync_well();
        assert_eq!(both.here("plans/a plan.odt").unwrap(), b"edited here");
        assert_eq!((both.inbox().len(), both.kept().len()), (0, 0));
        let log = both.office.tell(&["log", "--json"]);
        assert!(log.out.lines().any(|line| line.contains("\"resolve\"")), "{log}");
    });
}

#[test]
fn the_targets_version_comes_back_under_the_name_and_the_shares_is_kept() {
    on_each(|both| {
        both.quarrel("plan.odt");
        both.resolve_well(&["plan.odt", "--keep", "target"]);
        assert_eq!(both.here("plan.odt").unwrap(), b"and edited there");
        assert_eq!(both.kept(), [b"edited here".to_vec()]);
        assert_eq!(both.inbox(), [Value::Null; 0]);
        both.office.sync_well();
        assert_eq!(both.there("plan.odt").unwrap(), b"and edited there", "it goes to the target from there");
        assert_eq!(both.inbox(), [Value::Null; 0], "and that is no conflict");
        let again = both.resolve(&["plan.odt", "--keep", "target"]);
        assert_eq!(again.code, Some(1), "{again}");
        assert!(again.err.contains("no conflict of it waits") && again.err.contains("driftline conflicts"), "{again}");
    });
}

#[test]
fn with_both_the_targets_version_lies_beside_under_a_name_that_says_why() {
    on_each(|both| {
        both.quarrel("plans/plan.odt");
        both.resolve_well(&["plans/plan.odt", "--keep", "both"]);
        both.office.sync_well();
        let names: Vec<_> =
            fs::read_dir(both.office.share("plans")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let mut names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with("plan (conflict from backup 20") && names[0].ends_with(").odt"), "{names:?}");
        assert_eq!(both.here(&format!("plans/{}", names[0])).unwrap(), b"and edited there");
        assert_eq!(both.there(&format!("plans/{}", names[0])).unwrap(), b"and edited there");
        assert_eq!(both.here("plans/plan.odt").unwrap(), b"edited here");
        assert_eq!((both.inbox().len(), both.kept().len()), (0, 0));
    });
}

#[test]
fn each_version_that_gave_way_waits_and_one_of_several_has_to_be_named() {
    on_each(|both| {
        both.quarrel("plan.odt");
        both.quarrel_again("plan.odt", "here again!", "another from there");
        // Of the same length as the first: only its bytes tell them apart.
        both.quarrel_again("plan.odt", "here, third", "ond edited there");
        let inbox = both.inbox();
        let ids: Vec<_> = inbox.iter().map(|one| one["id"].as_i64().unwrap().to_string()).collect();
        assert_eq!(ids.len(), 3, "{inbox:#?}");
        let said = both.resolve(&["plan.odt", "--keep", "target"]);
        assert_eq!(said.code, Some(1), "{said}");
        assert!(said.err.contains("3 versions") && said.err.contains(&format!("--id: {} (backup)", ids[0])), "{said}");
        assert_eq!(both.here("plan.odt").unwrap(), b"here, third", "nothing was done");
        both.resolve_well(&["plan.odt", "--keep", "target", "--id", &ids[0]]);
        assert_eq!(both.here("plan.odt").unwrap(), b"and edited there");
        both.office.sync_well();
        both.resolve_well(&["plan.odt", "--keep", "both"]);
        let mut all: Vec<_> = files_below(&both.office.share("")).iter().map(|file| fs::read(file).unwrap()).collect();
        all.sort();
        let wanted = ["and edited there", "another from there", "here, third", "ond edited there"];
        assert_eq!(all, wanted.map(|text| text.as_bytes().to_vec()), "all that was ever chosen, and what gave way");
        assert_eq!(both.inbox(), [Value::Null; 0]);
        assert_eq!(both.here("plan.odt").unwrap(), b"and edited there");
    });
}

#[test]
fn a_running_agent_takes_the_choice_and_carries_it_to_the_target() {
    let both = Both::folder();
    both.quarrel("plan.odt");
    let _agent = both.office.start();
    both.office.wait_safe();
    both.resolve_well(&["plan.odt", "--keep", "target"]);
    both.office.wait_same();
    assert_eq!(both.there("plan.odt").unwrap(), b"and edited there");
    both.office.wait_until("it tells of the choice", || {
        both.office.tell(&["log", "--json"]).out.lines().any(|line| line.contains("\"resolve\""))
    });
    assert_eq!(both.inbox(), [Value::Null; 0]);
}

#[test]
fn nothing_is_put_over_what_somebody_has_open_and_nothing_else_is_done_then() {
    let both = Both::folder();
    both.quarrel("plan.odt");
    let writer = fs::OpenOptions::new().append(true).open(both.office.share("plan.odt")).unwrap();
    let said = both.resolve(&["plan.odt", "--keep", "target"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("open for writing") && said.err.contains("--keep both"), "{said}");
    assert_eq!(both.here("plan.odt").unwrap(), b"edited here");
    assert_eq!((both.inbox().len(), both.kept().len()), (1, 0), "it waits still");
    drop(writer);
    both.resolve_well(&["plan.odt", "--keep", "target"]);
    assert_eq!(both.here("plan.odt").unwrap(), b"and edited there");
}

#[test]
fn a_version_that_is_gone_from_history_is_told_and_the_conflict_can_be_ended() {
    let both = Both::folder();
    both.quarrel("plan.odt");
    fs::remove_dir_all(both.office.target(".driftline/history")).unwrap();
    for keep in ["target", "both"] {
        let said = both.resolve(&["plan.odt", "--keep", keep]);
        assert_eq!(said.code, Some(1), "{said}");
        assert!(said.err.contains("not in the history of backup any more"), "{said}");
        assert!(said.err.contains("driftline history plan.odt") && said.err.contains("--keep share"), "{said}");
    }
    assert_eq!(both.here("plan.odt").unwrap(), b"edited here");
    both.resolve_well(&["plan.odt", "--keep", "share"]);
    assert_eq!(both.inbox(), [Value::Null; 0]);
}

#[test]
fn a_choice_that_was_killed_at_any_moment_is_finished_by_the_same_command() {
    for (keep, wanted) in [("target", "and edited there"), ("both", "edited here")] {
        let both = Both::folder();
        both.office.save("plan.odt", b"first");
        both.office.sync_well();
        let large = |byte: u8| vec![byte; 8 << 20];
        both.office.save("plan.odt", large(b'h'));
        both.edit_there("plan.odt", &large(b't'));
        both.office.sync_well();
        for delay in 0..12 {
            let mut child = quiet(both.office.command(&["resolve", "plan.odt", "--keep", keep]));
            wait(Duration::from_millis(delay * 4), || child.try_wait().unwrap().is_some());
            let _ended = child.kill();
            child.wait().unwrap();
            let now = both.here("plan.odt").unwrap();
            assert!(now == large(b'h') || now == large(b't'), "whole, whenever it is cut off");
        }
        let last = both.resolve(&["plan.odt", "--keep", keep]);
        assert!(last.code == Some(0) || last.err.contains("no conflict of it waits"), "{last}");
        assert_eq!(both.inbox(), [Value::Null; 0]);
        both.office.sync_well();
        both.office.assert_same();
        let first = if wanted == "edited here" { b'h' } else { b't' };
        assert_eq!(both.here("plan.odt").unwrap(), large(first), "{keep}");
        let files: Vec<PathBuf> = files_below(&both.office.share(""));
        let ours = |file: &&PathBuf| file.components().any(|part| part.as_os_str() == ".driftline");
        let theirs = files.iter().filter(|file| !ours(file)).filter(|file| fs::read(file).unwrap() == large(b't'));
        assert_eq!(theirs.count(), 1, "{keep}: once, however often it was tried: {files:?}");
        let left = files.iter().filter(|file| file.starts_with(both.office.share(".driftline/restore")));
        assert_eq!(left.count(), 0, "nothing is left half-written: {files:?}");
    }
}

#[test]
fn an_agent_that_is_killed_at_any_moment_loses_no_conflict() {
    for delay in 0..16 {
        let both = Both::folder();
        let names: Vec<_> = (0..8).map(|i| format!("{i}.txt")).collect();
        names.iter().for_each(|name| both.office.save(name, b"first"));
        both.office.sync_well();
        for name in &names {
            both.office.save(name, format!("{name} here"));
            both.edit_there(name, format!("{name} there, longer").as_bytes());
        }
        let mut child = quiet(both.office.command(&["sync"]));
        wait(Duration::from_millis(delay * 12), || child.try_wait().unwrap().is_some());
        let _ended = child.kill();
        child.wait().unwrap();
        both.office.sync_well();
        both.office.assert_same();
        let mut told: Vec<_> = both.inbox().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect();
        told.sort();
        assert_eq!(told, names, "killed after {} ms", delay * 12);
        for name in &names {
            both.resolve_well(&[name, "--keep", "target"]);
            assert_eq!(both.here(name).unwrap(), format!("{name} there, longer").as_bytes());
        }
    }
}

#[test]
fn with_the_index_lost_the_list_begins_anew_and_the_version_is_in_history() {
    let both = Both::folder();
    both.quarrel("plan.odt");
    both.office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    let said = both.resolve(&["plan.odt", "--keep", "target"]);
    assert_ne!(said.code, Some(0), "nothing is claimed: {said}");
    both.office.sync_well();
    both.office.assert_same();
    assert_eq!(both.inbox(), [Value::Null; 0], "as the help says");
    assert!(both.office.history("plan.odt").contains(&b"and edited there".to_vec()), "and nothing else is lost");
    assert!(both.office.tell(&["history", "plan.odt"]).out.contains("16 B"), "it can be had back");
}

#[test]
fn a_version_that_waits_for_a_choice_outlives_the_time_of_history() {
    let lines = "drift = \"take\"\nhistory = \"1s\"\nhistory_versions = 0";
    let both = Both { office: Office::configured("settle = \"100ms\"", lines), cloud: None };
    both.quarrel("plan.odt");
    both.office.save("other.odt", b"one");
    both.office.sync_well();
    both.office.save("other.odt", b"two");
    both.office.sync_well();
    let later = |both: &Both| {
        std::thread::sleep(Duration::from_millis(1100));
        both.office.forget_that_history_was_pruned();
        both.office.sync_well();
    };
    later(&both);
    assert_eq!(both.office.history("other.odt"), [b""; 0], "its time is over");
    assert!(both.office.history("plan.odt").contains(&b"and edited there".to_vec()), "this one waits");
    both.resolve_well(&["plan.odt", "--keep", "share"]);
    // No agent runs that would take the choice at once, and one that starts may prune before it does.
    both.office.sync_well();
    later(&both);
    assert_eq!(both.office.history("plan.odt"), [b""; 0], "nobody waits for it any more");
}

/// The version that gave way was never read: its length told that it was another.
#[test]
fn what_others_had_there_is_had_back_as_the_file_that_it_was() {
    on_each(|both| {
        both.office.save("plan.odt", b"first");
        both.office.sync_well();
        both.office.save("plan.odt", b"edited here");
        both.edit_there("plan.odt", b"and edited there");
        std::thread::sleep(Duration::from_millis(1100));
        let when = must(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).out;
        std::thread::sleep(Duration::from_millis(1100));
        both.office.sync_well();
        let to = both.office.path("had back");
        let words = ["restore", "plan.odt", "--as-of", when.trim(), "--from", "backup", "--to", to.to_str().unwrap()];
        let said = both.office.tell(&words);
        assert_eq!(said.code, Some(0), "{said}");
        assert_eq!(fs::read(to.join("plan.odt")).unwrap(), b"and edited there", "{said}");
    });
}

#[test]
fn two_sides_that_were_never_the_same_say_so() {
    let both = Both::folder();
    both.office.save("plan.odt", b"here");
    both.edit_there("plan.odt", b"there, and longer");
    both.office.sync_well();
    let inbox = both.inbox();
    assert_eq!(inbox.len(), 1, "{inbox:#?}");
    assert_eq!(inbox[0]["cause"], "both new");
    both.resolve_well(&["plan.odt", "--keep", "target"]);
    assert_eq!(both.here("plan.odt").unwrap(), b"there, and longer");
}

#[test]
fn the_inbox_is_printed_in_every_form_and_picked_from() {
    let both = Both::folder();
    let never = both.office.tell(&["conflicts"]);
    assert_eq!(never.code, Some(2), "of what no agent has seen nothing is claimed: {never}");
    both.office.sync_well();
    assert_eq!(both.office.tell(&["conflicts"]).out, "No conflicts.\n");
    both.quarrel("plan.odt");
    let paths = both.office.tell(&["conflicts", "--query", "[].path", "--output", "text"]);
    assert_eq!((paths.code, paths.out.trim()), (Some(1), "plan.odt"), "{paths}");
    let table = both.office.tell(&["conflicts", "--output", "table"]);
    assert!(table.out.contains("plan.odt"), "{table}");
    assert!(both.office.tell(&["conflicts", "--share", "papers"]).out.contains("plan.odt"));
    let unknown = both.office.tell(&["conflicts", "--share", "other"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
}
