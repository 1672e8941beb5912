//! Several agents on one target, and copies of one agent.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::buckets::{Bucket, Make};
use crate::office::{Agent, Dice, Office, faults_of_status, files_below, hear, is_slow_run, must, targets, wait};

/// The id of the share that the agents of these tests have in common.
const ID: &str = "id = \"shared-by-two-offices\"\nsettle = \"100ms\"";

fn folder(target: &Path) -> String {
    format!("[[share.target]]\nname = \"backup\"\npath = {target:?}\ndrift = \"take\"\naudit = \"1s\"\n")
}

fn bucket(bucket: &Bucket) -> String {
    let (url, endpoint) = (bucket.url("files"), bucket.endpoint());
    format!(
        "[[share.target]]\nname = \"cloud\"\nurl = {url:?}\nendpoint = {endpoint:?}\ndrift = \"take\"\naudit = \"1s\"\n"
    )
}

/// Another machine with a share of its own.
fn office(name: &str, share_lines: &str, target: &str) -> Office {
    let office = Office::new().with_targets(share_lines, target);
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap().replace("office-01", name);
    fs::write(file, text).unwrap();
    office
}

fn fleet(office: &Office) -> Value {
    let mut command = office.command(&["status", "--fleet", "--json"]);
    Bucket::admit(&mut command);
    let said = hear(&mut command);
    let value: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    let faults = faults_of_status(&value);
    assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
    value["fleet"].clone()
}

/// Names of the agents of the only target.
fn names(fleet: &Value) -> Vec<&str> {
    let agents = fleet[0]["agents"].as_array().unwrap_or_else(|| panic!("{fleet:#}"));
    let mut names: Vec<_> = agents.iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

fn start(office: &Office) -> Agent {
    let mut command = office.command(&["run"]);
    Bucket::admit(&mut command);
    Agent::start(command, &office.path(""))
}

/// The error of the only target.
fn error(office: &Office) -> Option<String> {
    let status = office.status();
    let target = targets(&status).next()?;
    Some(format!("{}: {}", target["error"]["message"].as_str()?, target["error"]["hint"].as_str()?))
}

fn two_offices_work_on_one_share(target: &str) {
    let one = office("office-01", ID, target);
    let two = office("office-02", ID, target);
    one.save("from one.txt", "one");
    two.save("deep/from two.txt", "two");
    let (mut first, mut second) = (start(&one), start(&two));
    let both = |path: &str, bytes: &[u8]| {
        one.wait_until(&format!("{path} is in both offices"), || {
            [&one, &two].iter().all(|office| fs::read(office.share(path)).is_ok_and(|found| found == bytes))
        });
    };
    both("from one.txt", b"one");
    both("deep/from two.txt", b"two");
    two.save("from one.txt", "edited by two");
    both("from one.txt", b"edited by two");
    fs::remove_file(one.share("deep/from two.txt")).unwrap();
    one.wait_until("the removal is in both offices", || !two.share("deep/from two.txt").exists());
    one.wait_until("each has left word of itself", || names(&fleet(&one)) == ["office-01", "office-02"]);
    let told = fleet(&two);
    let this: Vec<_> = told[0]["agents"].as_array().unwrap().iter().filter(|agent| agent["this"] == true).collect();
    assert_eq!(this.len(), 1, "{told:#}");
    assert_eq!((&this[0]["name"], &told[0]["error"]), (&Value::from("office-02"), &Value::Null), "{told:#}");
    for agent in [&mut first, &mut second] {
        assert!(agent.lives());
        agent.terminate(Duration::from_secs(20));
    }
}

#[test]
fn two_offices_work_on_one_share_in_one_folder() {
    let place = tempfile::tempdir().unwrap();
    two_offices_work_on_one_share(&folder(place.path()));
}

#[test]
fn two_offices_work_on_one_share_in_one_bucket() {
    let place = Bucket::new(Make::SeaweedFs);
    two_offices_work_on_one_share(&bucket(&place));
}

#[test]
fn another_agent_is_refused_and_let_in_by_what_the_hint_says() {
    let one = Office::configured("settle = \"100ms\"", "");
    one.save("a.txt", "a");
    one.sync_well();
    let two = office("office-02", "settle = \"100ms\"", &folder(&one.path("target")));
    let said = two.sync();
    assert_eq!(said.code, Some(1), "{said}");
    let id = said.err.split("keeps another share (").nth(1).and_then(|rest| rest.split(')').next());
    let id = id.unwrap_or_else(|| panic!("{said}"));
    assert!(said.err.contains("`driftline init --share-id`"), "{said}");
    let joined = office("office-02", &format!("id = {id:?}"), &folder(&one.path("target")));
    let joined_said = joined.sync();
    assert_eq!(joined_said.code, Some(0), "{joined_said}");
    assert_eq!(fs::read(joined.share("a.txt")).unwrap(), b"a");
    // The same by `init`, into a file of its own.
    let third = Office::new();
    let config = third.path("new.toml");
    let words = ["init", "--share-id", id, "--no-service"].map(str::to_owned);
    let mut init = third.bare(&words);
    init.arg("--config").arg(&config).arg("--state-dir").arg(third.path("state"));
    must(init.arg("--share").arg(third.share("")).arg("--target").arg(one.target("")));
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(&format!("\nid = {id:?}\n")), "{text}");
}

/// A machine that was cloned while its agent works: the same state folder in another place.
fn clone_of(office: &Office, name: &str) -> Office {
    let clone = Office::new();
    fs::remove_dir_all(clone.path("state")).ok();
    must(Command::new("cp").arg("-a").arg(office.path("state")).arg(clone.path("state")));
    must(Command::new("cp").arg("-a").arg(office.share(".")).arg(clone.share("")));
    let text = fs::read_to_string(office.path("driftline.toml")).unwrap();
    let text = text.replace(&format!("{:?}", office.path("state")), &format!("{:?}", clone.path("state")));
    let text = text.replace(&format!("{:?}", office.path("share")), &format!("{:?}", clone.path("share")));
    let clone = clone.with_targets("", "");
    fs::write(clone.path("driftline.toml"), text.replace("office-01", name)).unwrap();
    clone
}

fn a_clone_does_nothing_while_the_first_one_works(target: &str) {
    let office = office("office-01", ID, target);
    office.save("a.txt", "a");
    let mut agent = start(&office);
    office.wait_safe();
    let clone = clone_of(&office, "office-01");
    agent.kill();
    // It goes on: another run of the same agent, of which the clone knows nothing.
    office.save("b.txt", "b");
    let agent = start(&office);
    office.wait_safe();
    fs::remove_file(clone.share("a.txt")).unwrap();
    clone.save("c.txt", "c");
    must(&mut clone.command(&["approve", "papers"]));
    let mut copy = start(&clone);
    clone.wait_until("the clone says what it is", || error(&clone).is_some_and(|error| error.contains("was cloned")));
    let told = error(&clone).unwrap();
    assert!(told.contains("remove the file `agent`"), "{told}");
    assert!(office.share("a.txt").exists() && !office.share("c.txt").exists(), "the clone did something");
    assert!(error(&office).is_none(), "the first one works on");
    // What the hint says: then both are agents of their own, and work on one share.
    copy.terminate(Duration::from_secs(20));
    fs::remove_file(clone.path("state/agent")).unwrap();
    let copy = start(&clone);
    clone.wait_until("the clone works", || office.share("c.txt").exists());
    drop((copy, agent));
}

#[test]
fn a_clone_does_nothing_in_a_folder_while_the_first_one_works() {
    let place = tempfile::tempdir().unwrap();
    a_clone_does_nothing_while_the_first_one_works(&folder(place.path()));
}

#[test]
fn a_clone_does_nothing_in_a_bucket_while_the_first_one_works() {
    let place = Bucket::new(Make::SeaweedFs);
    a_clone_does_nothing_while_the_first_one_works(&bucket(&place));
}

#[test]
fn an_agent_whose_place_a_copy_has_taken_stops_and_says_so() {
    if !is_slow_run("an agent looks at its card twice a minute") {
        return;
    }
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("a.txt", "a");
    let agent = office.start();
    office.wait_safe();
    let cards = office.target(".driftline/agents");
    let card = fs::read_dir(&cards).unwrap().next().unwrap().unwrap().path();
    let mut text: Value = serde_json::from_slice(&fs::read(&card).unwrap()).unwrap();
    text["epoch"] = (text["epoch"].as_u64().unwrap() + 7).into();
    text["run"] = "another".into();
    text["host"] = "elsewhere".into();
    fs::write(&card, text.to_string()).unwrap();
    assert!(
        wait(Duration::from_secs(100), || {
            error(&office).is_some_and(|error| error.contains("has taken over here, on elsewhere"))
        }),
        "{:#}",
        office.status()
    );
    office.save("b.txt", "b");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!office.target("b.txt").exists());
    drop(agent);
}

/// Three offices that work at random, each on its own share, and what they wrote.
struct Bustle {
    offices: Vec<Office>,
    agents: Vec<Option<Agent>>,
    target: std::path::PathBuf,
    bucket: Option<Bucket>,
    dice: Dice,
    /// Every value that was ever written: found on a target by now, or not yet.
    written: HashMap<Vec<u8>, bool>,
    log: Vec<String>,
}

/// Files below, as what they hold.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = files_below(folder).into_iter();
    // It may be gone again.
    files.filter_map(|file| fs::read(&file).ok().map(|bytes| (file, bytes))).collect()
}

impl Bustle {
    /// Looks what has arrived: in place, in history or in what gave way.
    fn find(&mut self) {
        let mut places = contents(&self.target);
        for office in &self.offices {
            places.extend(contents(&office.share(".driftline")));
        }
        for (_, bytes) in places {
            self.written.entry(bytes).and_modify(|found| *found = true);
        }
        let Some(bucket) = &self.bucket else { return };
        for key in bucket.outsider().keys("files/") {
            if let Some(bytes) = bucket.outsider().get(&key) {
                self.written.entry(bytes).and_modify(|found| *found = true);
            }
        }
    }

    /// What may be lost without blame is not touched: what nobody has seen yet.
    fn may_give_way(&self, path: &Path) -> bool {
        fs::read(path).is_ok_and(|bytes| self.written.get(&bytes).copied().unwrap_or(false))
    }

    fn step(&mut self, number: usize) {
        let at = usize::try_from(self.dice.below(3)).unwrap();
        let name = |dice: &mut Dice| format!("{}/{}.txt", ["a", "b", "c"][dice.below(3) as usize], dice.below(4));
        let (name, other) = (name(&mut self.dice), name(&mut self.dice));
        let (path, aside) = (self.offices[at].share(&name), self.offices[at].share(&other));
        let what = match self.dice.below(20) {
            0..10 if !path.exists() || self.may_give_way(&path) => {
                let value = format!("value {number} of office {at}").into_bytes();
                self.written.insert(value.clone(), false);
                self.offices[at].save(&name, value);
                "writes"
            }
            10..13 if self.may_give_way(&path) => {
                fs::remove_file(&path).ok();
                "removes"
            }
            13..15 if path.exists() && !aside.exists() => {
                fs::create_dir_all(aside.parent().unwrap()).unwrap();
                fs::rename(&path, &aside).ok();
                "renames"
            }
            15 => {
                if let Some(mut agent) = self.agents[at].take() {
                    agent.kill();
                }
                "is killed"
            }
            16..19 if self.agents[at].is_none() => {
                self.agents[at] = Some(start(&self.offices[at]));
                "starts"
            }
            _ => return,
        };
        self.log.push(format!("{number}: office {at} {what} {name} ({other})"));
    }

    fn shares(&self) -> Vec<BTreeMap<std::path::PathBuf, Vec<u8>>> {
        let shares = self.offices.iter().map(|office| office.share(""));
        let roots = shares.chain([self.target.clone()]);
        roots
            .map(|root| {
                let all = contents(&root).into_iter();
                let all = all.map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes));
                all.filter(|(path, _)| !path.starts_with(".driftline")).collect()
            })
            .collect()
    }
}

/// `DRIFTLINE_BUSTLE_S` says for how long they work (s).
fn three_offices_come_to_one_truth(place: &Path, target: &str, bucket: Option<Bucket>, seed: u64) {
    let seconds = std::env::var("DRIFTLINE_BUSTLE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let seed = std::env::var("DRIFTLINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
    let offices: Vec<_> = ["one", "two", "three"].iter().map(|name| office(name, ID, target)).collect();
    let agents = offices.iter().map(|office| Some(start(office))).collect();
    let (target, dice) = (place.to_owned(), Dice::new(seed));
    let mut bustle = Bustle { offices, agents, target, bucket, dice, written: HashMap::new(), log: Vec::new() };
    let begun = Instant::now();
    for number in 0.. {
        if begun.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        bustle.step(number);
        std::thread::sleep(Duration::from_millis(20 + bustle.dice.below(60)));
        if number % 10 == 0 {
            bustle.find();
        }
    }
    for (office, agent) in bustle.offices.iter().zip(&mut bustle.agents) {
        agent.get_or_insert_with(|| start(office));
    }
    let same = |bustle: &Bustle| bustle.shares().windows(2).all(|pair| pair[0] == pair[1]);
    let quiet = wait(Duration::from_secs(150), || {
        same(&bustle) && {
            std::thread::sleep(Duration::from_secs(3));
            same(&bustle)
        }
    });
    let statuses =
        || bustle.offices.iter().map(|office| format!("{:#}", office.status())).collect::<Vec<_>>().join("\n");
    let log = bustle.log.join("\n");
    assert!(quiet, "seed {seed}: they never agree: {:#?}\n{log}\n{}", bustle.shares(), statuses());
    bustle.find();
    let lost: Vec<_> =
        bustle.written.iter().filter(|(_, found)| !**found).map(|(value, _)| String::from_utf8_lossy(value)).collect();
    assert!(
        lost.is_empty(),
        "seed {seed}: {} of {} values are lost: {lost:?}\n{log}",
        lost.len(),
        bustle.written.len()
    );
}

#[test]
fn three_offices_with_kills_come_to_one_truth_in_a_folder() {
    if is_slow_run("three agents work at random, and are killed") {
        let place = tempfile::tempdir().unwrap();
        three_offices_come_to_one_truth(place.path(), &folder(place.path()), None, 20_261_129);
    }
}

#[test]
fn three_offices_with_kills_come_to_one_truth_in_a_folder_and_a_bucket() {
    if is_slow_run("three agents work at random on two targets, and are killed") {
        let (place, cloud) = (tempfile::tempdir().unwrap(), Bucket::new(Make::SeaweedFs));
        let targets = format!("{}\n{}", folder(place.path()), bucket(&cloud));
        three_offices_come_to_one_truth(place.path(), &targets, Some(cloud), 20_261_130);
    }
}

#[test]
fn what_is_said_of_a_wrong_id_makes_it_right() {
    let one = office("office-01", ID, &folder(tempfile::tempdir().unwrap().path()));
    let office = office("office-02", "id = \"of the share\"", &folder(&one.path("target")));
    let said = office.sync();
    assert_eq!(said.code, Some(78), "{said}");
    assert!(said.err.contains("as `share` stands in .driftline/identity on the target"), "{said}");
    let first = Office::configured("", "");
    first.save("a.txt", "a");
    first.sync_well();
    let identity: Value = serde_json::from_slice(&fs::read(first.target(".driftline/identity")).unwrap()).unwrap();
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap().replace("of the share", identity["share"].as_str().unwrap());
    let text = text.replace(one.path("target").to_str().unwrap(), first.path("target").to_str().unwrap());
    fs::write(file, text).unwrap();
    office.sync_well();
    assert_eq!(fs::read(office.share("a.txt")).unwrap(), b"a");
}

/// As of an S3 Files mount of a bucket: what lies in the bucket lies in the folder too, its identity among it.
#[test]
fn two_targets_that_are_one_place_are_told_and_one_is_left_alone() {
    let cloud = Bucket::new(Make::SeaweedFs);
    let in_cloud = bucket(&cloud);
    let office = Office::new().with_targets("", &in_cloud);
    office.save("a.txt", "a");
    let sync = |office: &Office| {
        let mut command = office.command(&["sync"]);
        Bucket::admit(&mut command);
        hear(&mut command)
    };
    assert_eq!(sync(&office).code, Some(0));
    let identity = cloud.outsider().get("files/.driftline/identity").unwrap();
    fs::create_dir_all(office.target(".driftline")).unwrap();
    fs::write(office.target(".driftline/identity"), identity).unwrap();
    let both = format!("{in_cloud}\n{}", office.folder_target(""));
    let office = office.with_targets("", &both);
    let said = sync(&office);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("it is the same place as target cloud"), "{said}");
    assert!(said.err.contains("take one of the two out of the configuration"), "{said}");
    assert!(!office.target("a.txt").exists(), "it is left alone");
    // And by `init`, which writes no such configuration.
    let mut init = office.bare(&["init".to_owned(), "--no-service".to_owned(), "--config".to_owned()]);
    let init = Bucket::admit(init.arg(office.path("driftline.toml")));
    let said = hear(init);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.err.contains("it is the same place as target"), "{said}");
    // What the hint says.
    let office = office.with_targets("", &in_cloud);
    assert_eq!(sync(&office).code, Some(0));
}

#[test]
fn two_ways_to_one_folder_are_told() {
    let office = Office::new();
    std::os::unix::fs::symlink(office.target(""), office.path("again")).unwrap();
    let second = format!("[[share.target]]\nname = \"second\"\npath = {:?}\n", office.path("again"));
    let both = format!("{}\n{second}", office.folder_target(""));
    let office = office.with_targets("", &both);
    office.save("a.txt", "a");
    let said = office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.err.contains("it is the same place as target"), "{said}");
    assert_eq!(fs::read(office.target("a.txt")).unwrap(), b"a", "one of them is served");
}
