//! Having things back, with the real program: as they were at some time, from every kind of target.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::buckets::{Bucket, Make};
use crate::office::{Dice, Node, Office, Tree, files_below, is_slow_run, must, targets, wait};

/// Somebody who never stops working on a share.
struct Staff {
    root: PathBuf,
    chance: Dice,
    files: Vec<String>,
    folders: Vec<String>,
    count: u64,
}

impl Staff {
    fn new(root: PathBuf, seed: u64) -> Self {
        Self { root, chance: Dice::new(seed), files: Vec::new(), folders: Vec::new(), count: 0 }
    }

    fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.chance.below(end as u64)).unwrap()
    }

    fn new_name(&mut self, what: &str) -> String {
        self.count += 1;
        let folder = match self.folders.is_empty() || self.chance.below(4) == 0 {
            true => String::new(),
            false => {
                let at = self.pick(self.folders.len());
                self.folders[at].clone() + "/"
            }
        };
        format!("{folder}{what} {}", self.count)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.pick(3000);
        self.chance.bytes(len)
    }

    fn make_folder(&mut self) {
        let name = self.new_name("folder");
        fs::create_dir(self.root.join(&name)).unwrap();
        self.folders.push(name);
    }

    fn make_file(&mut self) {
        let (name, bytes) = (self.new_name("file"), self.bytes());
        fs::write(self.root.join(&name), bytes).unwrap();
        self.files.push(name);
    }

    fn make_link(&mut self) {
        let name = self.new_name("link");
        symlink(format!("somewhere {}", self.count), self.root.join(&name)).unwrap();
        self.files.push(name);
    }

    fn begin(&mut self, files: usize) {
        (0..files / 20 + 3).for_each(|_| self.make_folder());
        (0..files).for_each(|_| self.make_file());
    }

    /// One thing that people do.
    fn act(&mut self) {
        if self.files.is_empty() || self.folders.is_empty() {
            return self.begin(5);
        }
        let (file, folder) = (self.pick(self.files.len()), self.pick(self.folders.len()));
        let at = |name: &str| self.root.join(name);
        match self.chance.below(20) {
            0..2 => self.make_file(),
            2 => self.make_folder(),
            3 => self.make_link(),
            4..6 => {
                fs::remove_file(at(&self.files.swap_remove(file))).unwrap();
            }
            6 => {
                // Saved as office programs do: beside it, and then in its place.
                let (name, bytes) = (self.files[file].clone(), self.bytes());
                let beside = self.root.join(format!("{name}.new"));
                fs::write(&beside, bytes).unwrap();
                fs::rename(beside, self.root.join(name)).unwrap();
            }
            7 => {
                let new = self.new_name("renamed");
                fs::rename(self.root.join(&self.files[file]), self.root.join(&new)).unwrap();
                self.files[file] = new;
            }
            8 => self.rename_folder(folder),
            9 => {
                // Only if nothing is in it.
                if fs::remove_dir(at(&self.folders[folder])).is_ok() {
                    self.folders.swap_remove(folder);
                }
            }
            _ => {
                let (name, bytes) = (self.files[file].clone(), self.bytes());
                let path = self.root.join(name);
                if !path.is_symlink() {
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }

    fn rename_folder(&mut self, folder: usize) {
        self.count += 1;
        let (old, new) = (self.folders[folder].clone(), format!("folder moved {}", self.count));
        fs::rename(self.root.join(&old), self.root.join(&new)).unwrap();
        let below = format!("{old}/");
        for name in self.files.iter_mut().chain(&mut self.folders) {
            if let Some(rest) = name.strip_prefix(&below) {
                *name = format!("{new}/{rest}");
            } else if *name == old {
                name.clone_from(&new);
            }
        }
    }
}

/// Thousands of files on three targets take their time.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// Waits until everything that is saved by now is on every target.
fn wait_protected(office: &Office) {
    let now = must(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"])).out;
    let is_so = || {
        let status = office.status();
        let times = targets(&status).map(|target| target["protected_as_of"].as_str().unwrap_or_default().to_owned());
        status["verdict"] == "safe" && times.collect::<Vec<_>>().iter().all(|time| time.as_str() > now.trim())
    };
    assert!(wait(LONG_PATIENCE, is_so), "everything is on every target; status: {:#}", office.status());
}

/// A moment at which all is still: nobody works, everything is on the targets, and clocks that know only seconds are past
/// it. Returns a time within it.
fn a_still_moment(office: &Office) -> String {
    wait_protected(office);
    let next_second = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        while SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() == now {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    next_second();
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    next_second();
    let said = must(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ", "-d"]).arg(format!(
        "@{}.{:09}",
        moment.as_secs(),
        moment.subsec_nanos()
    )));
    said.out.trim().to_owned()
}

fn snapshot(office: &Office, name: &str) -> PathBuf {
    let copy = office.path(name);
    must(Command::new("cp").arg("-a").arg(office.path("share")).arg(&copy));
    copy
}

fn restored(office: &Office, words: &[&str]) -> Value {
    let said = office.tell(&[&["restore", "--json"], words].concat());
    assert_eq!(said.code, Some(0), "{said}");
    serde_json::from_str(&said.out).unwrap()
}

/// What a bucket of SeaweedFS keeps: nothing of folders but that they are there, and where it keeps versions not that.
fn of_a_bucket(tree: Tree, folders: bool) -> Tree {
    let same = |node| match node {
        Node::Folder { .. } => Node::Folder { mode: 0 },
        node => node,
    };
    let all = tree.0.into_iter().filter(|(_, node)| folders || !matches!(node, Node::Folder { .. }));
    Tree(all.map(|(path, node)| (path, same(node))).collect())
}

/// A folder, a bucket, and a bucket that keeps versions.
fn office_with_three_targets() -> (Office, [Bucket; 2]) {
    let buckets = [Bucket::new(Make::SeaweedFs), Bucket::versioned(Make::SeaweedFs)];
    let office = Office::new();
    let targets = office.folder_target("") + &on_buckets(&buckets);
    (office.with_targets("settle = \"100ms\"", &targets), buckets)
}

/// One of which the last versions are kept by copies, and one that keeps them itself.
fn on_buckets(buckets: &[Bucket; 2]) -> String {
    let target = |(name, bucket): (&str, &Bucket)| {
        let (url, endpoint) = (bucket.url("office"), bucket.endpoint());
        format!("[[share.target]]\nname = {name:?}\nurl = {url:?}\nendpoint = {endpoint:?}\n")
    };
    ["cloud", "versions"].into_iter().zip(buckets).map(target).collect()
}

#[expect(clippy::print_stderr, reason = "a measured value that has a promise but no assertion")]
fn time_machine(office: &Office, targets: &[&str], files: usize, acts: usize, moments: usize) {
    let mut staff = Staff::new(office.path("share"), 4711);
    staff.begin(files);
    let begun = Instant::now();
    let agent = office.start();
    wait_protected(office);
    eprintln!("{files} files on {} in {:.1?}", targets.join(", "), begun.elapsed());
    let mut kept = Vec::new();
    for moment in 0..moments {
        let when = a_still_moment(office);
        kept.push((when, snapshot(office, &format!("snapshot-{moment}"))));
        for act in 0..acts {
            staff.act();
            if act % 7 == 0 {
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    }
    wait_protected(office);
    drop(agent);
    for (number, (when, snapshot)) in kept.iter().enumerate() {
        let wanted = Tree::read(snapshot).unwrap();
        for target in targets.iter().copied() {
            let to = office.path(&format!("restored-{number}-{target}"));
            let begun = Instant::now();
            let report = restored(office, &["--all", "--as-of", when, "--from", target, "--to", to.to_str().unwrap()]);
            let took = begun.elapsed();
            let found = Tree::read(&to).unwrap();
            let differences = match target {
                "backup" => wanted.differences(&found),
                "cloud" => of_a_bucket(wanted.clone(), true).differences(&of_a_bucket(found, true)),
                _ => of_a_bucket(wanted.clone(), false).differences(&of_a_bucket(found, false)),
            };
            assert_eq!(differences, Vec::<String>::new(), "moment {number} ({when}) from {target}: {report:#}");
            assert_eq!((&report["failed"], &report["kept"]), (&0.into(), &0.into()));
            let bytes = report["bytes"].as_u64().unwrap();
            eprintln!("moment {number} from {target}: {} files, {bytes} bytes in {took:.1?}", report["files"]);
            // Again: nothing is left to do.
            let again = restored(office, &["--all", "--as-of", when, "--from", target, "--to", to.to_str().unwrap()]);
            assert_eq!((&again["same"], &again["kept"]), (&report["files"], &0.into()), "{again:#}");
        }
    }
}

const EVERYWHERE: [&str; 3] = ["backup", "cloud", "versions"];

#[test]
fn a_share_is_had_back_as_it_was_at_any_time_from_every_target() {
    let (office, _buckets) = office_with_three_targets();
    time_machine(&office, &EVERYWHERE, 120, 150, 3);
}

/// How many files a large share has; `DRIFTLINE_RESTORE_FILES` says otherwise.
fn large(files: usize) -> usize {
    std::env::var("DRIFTLINE_RESTORE_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(files)
}

#[test]
fn a_large_share_is_had_back_as_it_was_in_the_middle_of_an_hour_of_edits() {
    if is_slow_run("thousands of files edited at random, and had back from three targets") {
        let (office, _buckets) = office_with_three_targets();
        let files = large(2500);
        time_machine(&office, &EVERYWHERE, files, files / 5, 2);
    }
}

#[test]
fn twenty_thousand_files_are_had_back_from_a_folder_as_they_were_in_the_middle_of_an_hour_of_edits() {
    if is_slow_run("20,000 files edited at random, and had back from a folder") {
        let files = large(20_000);
        time_machine(&Office::large(), &["backup"], files, files / 10, 2);
    }
}

#[test]
fn twenty_thousand_files_are_had_back_from_buckets_as_they_were_in_the_middle_of_an_hour_of_edits() {
    if is_slow_run("20,000 files edited at random, and had back from two buckets") {
        let buckets = [Bucket::new(Make::SeaweedFs), Bucket::versioned(Make::SeaweedFs)];
        let office = Office::large().with_targets("settle = \"100ms\"", &on_buckets(&buckets));
        let files = large(20_000);
        time_machine(&office, &["cloud", "versions"], files, files / 10, 2);
    }
}

#[test]
fn what_is_restored_in_its_place_overwrites_no_newer_work() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("report.odt", "the good version");
    office.save("other.odt", "other");
    let agent = office.start();
    let when = a_still_moment(&office);
    office.save("report.odt", "encrypted, or spoiled");
    office.wait_same();
    drop(agent);
    // Not on any target yet.
    office.save("other.odt", "an hour of work");
    let report = restored(&office, &["--all", "--as-of", &when]);
    assert_eq!(fs::read(office.share("report.odt")).unwrap(), b"the good version");
    assert_eq!(fs::read(office.share("other.odt")).unwrap(), b"other");
    assert_eq!(report["kept"], 2);
    let kept = PathBuf::from(report["kept_in"].as_str().unwrap());
    assert_eq!(fs::read(kept.join("report.odt")).unwrap(), b"encrypted, or spoiled");
    assert_eq!(fs::read(kept.join("other.odt")).unwrap(), b"an hour of work");
    // What is kept is nobody's to mirror, and what was spoiled is a version like any other.
    office.sync_well();
    assert!(!office.target(".driftline/kept").exists());
    assert_eq!(office.history("report.odt").len(), 2);
}

#[test]
fn what_came_since_is_left_unless_it_is_to_be_as_it_was_exactly() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("a/report.odt", "good");
    let agent = office.start();
    let when = a_still_moment(&office);
    fs::rename(office.share("a/report.odt"), office.share("a/report.odt.locked")).unwrap();
    office.save("b/HOW_TO_PAY.txt", "send money");
    office.save("a/~$report.odt", "a lock, of nobody's concern");
    office.wait_same();
    drop(agent);
    restored(&office, &["--all", "--as-of", &when]);
    assert_eq!(fs::read(office.share("a/report.odt")).unwrap(), b"good");
    assert!(office.share("a/report.odt.locked").exists() && office.share("b/HOW_TO_PAY.txt").exists());
    let report = restored(&office, &["--all", "--as-of", &when, "--exact"]);
    assert_eq!(report["set_aside"], 2, "{report:#}");
    assert!(!office.share("a/report.odt.locked").exists() && !office.share("b").exists());
    assert!(office.share("a/~$report.odt").exists(), "a lock is nobody's to set aside");
    let kept = PathBuf::from(report["kept_in"].as_str().unwrap());
    assert_eq!(fs::read(kept.join("b/HOW_TO_PAY.txt")).unwrap(), b"send money");
}

#[test]
fn a_share_is_had_back_on_a_new_machine_without_its_index() {
    let (office, _buckets) = office_with_three_targets();
    let mut staff = Staff::new(office.path("share"), 7);
    staff.begin(40);
    let agent = office.start();
    let when = a_still_moment(&office);
    let old = snapshot(&office, "old");
    (0..60).for_each(|_| staff.act());
    wait_protected(&office);
    let new = snapshot(&office, "new");
    drop(agent);
    fs::remove_dir_all(office.path("state")).unwrap();
    fs::remove_dir_all(office.path("share")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    for target in ["backup", "cloud"] {
        let to = office.path(&format!("then-{target}"));
        restored(&office, &["--all", "--as-of", &when, "--from", target, "--to", to.to_str().unwrap()]);
        let (wanted, found) = (Tree::read(&old).unwrap(), Tree::read(&to).unwrap());
        assert_eq!(of_a_bucket(wanted, true).differences(&of_a_bucket(found, true)), Vec::<String>::new());
    }
    restored(&office, &["--all"]);
    let (wanted, found) = (Tree::read(&new).unwrap(), Tree::read(&office.path("share")).unwrap().without_ours());
    assert_eq!(wanted.differences(&found), Vec::<String>::new());
}

#[test]
fn a_restore_that_was_cut_off_is_finished_by_the_next() {
    let office = Office::configured("settle = \"100ms\"", "");
    let mut staff = Staff::new(office.path("share"), 99);
    staff.begin(1500);
    office.sync_well();
    let to = office.path("restored");
    let words = ["restore", "--all", "--to", to.to_str().unwrap()];
    let mut cut = office.command(&words).spawn().unwrap();
    let there = || {
        let ours = to.join(".driftline");
        files_below(&to).iter().filter(|path| !path.starts_with(&ours)).count()
    };
    office.wait_until("something is there", || there() > 0);
    cut.kill().unwrap();
    cut.wait().unwrap();
    let before = there() as u64;
    assert!(before < 1500, "it was cut off in its middle");
    let report = restored(&office, &words[1..]);
    assert_eq!(report["kept"], 0, "what was restored is not in its own way: {report:#}");
    assert_eq!(report["same"], before, "and is not brought again: {report:#}");
    let differences = Tree::read(&office.path("share")).unwrap().differences(&Tree::read(&to).unwrap());
    let left: BTreeSet<_> = differences.iter().filter(|line| !line.starts_with(".driftline")).collect();
    assert_eq!(left, BTreeSet::new());
}

#[test]
fn a_restore_shows_how_far_it_is_on_a_terminal_and_only_there() {
    let office = Office::configured("", "");
    (0..3000).for_each(|i| office.save(format!("folder {}/file {i}", i % 30), format!("text {i}")));
    office.sync_well();
    let to = office.path("restored");
    let command = office.command(&["restore", "--all", "--to", to.to_str().unwrap()]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    // script(1) runs it on a terminal of its own.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let seen = must(script.env("TERM", "xterm")).out;
    assert!(seen.contains("reading what lies on the target: ") || seen.contains(" of 3,000 files, "), "{seen}");
    assert!(seen.contains("3,000 files, ") && seen.contains("are as they were, 0 already"), "{seen}");
    let said = office.tell(&["restore", "--all", "--to", to.to_str().unwrap()]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "nothing where nobody looks");
    assert!(said.out.contains("are as they were, 3000 already"), "{said}");
}

#[test]
fn what_the_target_no_longer_holds_as_it_was_left_is_not_passed_off_as_it() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("good.txt", "good");
    office.save("rotten.txt", "what it should be");
    let agent = office.start();
    let when = a_still_moment(&office);
    office.save("rotten.txt", "another version");
    office.wait_same();
    drop(agent);
    let versions = files_below(&office.target(".driftline/history/rotten.txt"));
    rot(&versions[0]);
    let to = office.path("restored");
    let words = ["restore", "rotten.txt", "--as-of", &when, "--json", "--to", to.to_str().unwrap()];
    let said = office.tell(&words);
    assert_eq!(said.code, Some(1), "{said}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["files"], &report["failed"]), (&0.into(), &1.into()), "{report:#}");
    assert_eq!(report["failures"][0]["path"], "rotten.txt");
    assert!(!to.join("rotten.txt").exists());
    // What somebody else changed there is had back, and said to be unproved.
    fs::write(office.target("good.txt"), "somebody else's").unwrap();
    let report = restored(&office, &["good.txt", "--to", to.to_str().unwrap()]);
    assert_eq!((&report["files"], &report["unproved"]), (&1.into(), &1.into()), "{report:#}");
    assert_eq!(fs::read(to.join("good.txt")).unwrap(), b"somebody else's");
}

/// One byte of a file is another, and neither its length nor its time shows it.
fn rot(file: &Path) {
    use std::os::unix::fs::FileExt as _;
    let before = fs::metadata(file).unwrap();
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.write_all_at(b"W", 0).unwrap();
    open.set_modified(before.modified().unwrap()).unwrap();
}

#[test]
fn the_history_of_a_path_names_every_version_on_every_target() {
    let (office, _buckets) = office_with_three_targets();
    office.save("old name.txt", "one");
    let agent = office.start();
    a_still_moment(&office);
    office.save("old name.txt", "number two");
    a_still_moment(&office);
    fs::rename(office.share("old name.txt"), office.share("a.txt")).unwrap();
    a_still_moment(&office);
    office.save("a.txt", "three");
    a_still_moment(&office);
    fs::remove_file(office.share("a.txt")).unwrap();
    a_still_moment(&office);
    drop(agent);
    let told = |target: &str, path: &str| {
        let said = office.tell(&["history", path, "--json", "--from", target]);
        assert_eq!(said.code, Some(0), "{said}");
        let told: Value = serde_json::from_str(&said.out).unwrap();
        let versions = told[0]["versions"].as_array().unwrap().clone();
        versions
            .iter()
            .map(|one| (one["size"].as_u64().unwrap(), one["ended"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let all = |list: &[(u64, &str)]| list.iter().map(|(size, ended)| (*size, (*ended).to_owned())).collect::<Vec<_>>();
    for target in ["backup", "cloud"] {
        // A rename is followed back to the name before.
        assert_eq!(told(target, "a.txt"), all(&[(5, "removed"), (10, "replaced"), (3, "replaced")]), "{target}");
    }
    // By its own versions a bucket knows a rename as a new file and a removal.
    assert_eq!(told("versions", "a.txt"), all(&[(5, "removed"), (10, "replaced")]));
    assert_eq!(told("versions", "old name.txt"), all(&[(10, "removed"), (3, "replaced")]));
    let text = office.tell(&["history", "a.txt"]);
    assert!(text.out.contains("then called old name.txt"), "{text}");
    let never = office.tell(&["history", "never.txt"]);
    assert_eq!(never.code, Some(1), "{never}");
}

#[test]
fn what_cannot_be_restored_is_named_with_its_cause_and_the_next_step() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("a.txt", "a");
    office.sync_well();
    for (words, cause, hint) in [
        (&["restore", "a.txt", "--as-of", "soon"][..], "\"soon\" is not understood as a time", "write it as"),
        (&["restore", "a.txt", "--from", "cloud"], "share papers has no target \"cloud\"", "its targets are backup"),
        (&["restore", "/etc/passwd"], "it lies in no share", "the shares are"),
        (&["restore", "a.txt", "--to", "/no/such/place"], "/no/such/place cannot be made", "name a folder"),
    ] {
        let said = office.tell(words);
        assert_eq!(said.code, Some(2), "{said}");
        assert!(said.err.contains(cause) && said.err.contains(&format!("hint: {hint}")), "{said}");
    }
    let said = office.tell(&["restore", "never.txt", "--to", office.path("out").to_str().unwrap()]);
    assert_eq!((said.code, said.out.contains("Nothing lay there")), (Some(1), true), "{said}");
    fs::rename(office.path("target"), office.path("away")).unwrap();
    let said = office.tell(&["restore", "a.txt"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("papers/backup cannot be read"), "{said}");
    // A share that is not mounted gets nothing on its bare mount point.
    fs::rename(office.path("away"), office.path("target")).unwrap();
    fs::rename(office.path("share"), office.path("share-away")).unwrap();
    fs::create_dir(office.path("share")).unwrap();
    let said = office.tell(&["restore", "--all"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("not the folder that the share is bound to"), "{said}");
    assert_eq!(fs::read_dir(office.path("share")).unwrap().count(), 0);
}
