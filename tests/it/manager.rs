//! What the service manager and its journal are told by an agent at work: a line that is always current, and no floods.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use crate::office::{Agent, Office, PATIENCE, wait};

/// Whoever listens as systemd does: a blocked socket would be a service manager that hangs.
struct Manager {
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    /// The agent, and what it tells.
    fn with_agent(office: &Office) -> (Self, Agent) {
        let path = office.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = socket.recv(&mut buffer) {
                told.lock().unwrap().push(String::from_utf8_lossy(&buffer[..len]).into_owned());
            }
        });
        let mut command = office.command(&["run"]);
        command.env("NOTIFY_SOCKET", &path);
        (Self { heard }, Agent::start(command, &office.path("")))
    }

    /// The last line that says how things stand.
    fn line(&self) -> String {
        let heard = self.heard.lock().unwrap();
        let last = heard.iter().rev().find_map(|words| words.lines().find_map(|line| line.strip_prefix("STATUS=")));
        last.unwrap_or_default().to_owned()
    }

    fn wait_for(&self, line: &str) {
        let is_so = || self.line().starts_with(line);
        assert!(wait(PATIENCE, is_so), "{line:?} is not told, but: {:#?}", self.heard.lock().unwrap());
    }
}

#[test]
fn the_line_for_the_service_manager_is_always_current() {
    let office = Office::configured("settle = \"100ms\"", "audit = \"1s\"");
    (0..30).for_each(|i| office.save(format!("file {i}"), format!("content of {i}")));
    let (manager, mut agent) = Manager::with_agent(&office);
    manager.wait_for("SAFE; 30 files known");
    assert_eq!(office.tell(&["pause"]).code, Some(0));
    manager.wait_for("NOT SAFE: backup paused; 30 files known");
    office.save("late", "it waits");
    manager.wait_for("NOT SAFE: backup paused, 1 change waits; 31 files known");
    assert_eq!(office.tell(&["resume"]).code, Some(0));
    manager.wait_for("SAFE; 31 files known");

    fs::write(office.target("theirs"), "theirs").unwrap();
    office.save("theirs", "ours");
    manager.wait_for("NOT SAFE: 1 hold; 32 files known");
    fs::remove_file(office.target("theirs")).unwrap();
    office.save("theirs", "ours again");
    manager.wait_for("SAFE; 32 files known");

    fs::rename(office.path("target"), office.path("away")).unwrap();
    office.save("late", "it waits again");
    manager.wait_for("NOT SAFE: backup unreachable for ");
    fs::rename(office.path("away"), office.path("target")).unwrap();
    manager.wait_for("SAFE; 32 files known");

    fs::read_dir(office.path("share")).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    manager.wait_for("NOT SAFE: backup halted for ");
    assert_eq!(office.tell(&["approve", "papers/backup"]).code, Some(0));
    manager.wait_for("SAFE; 0 files known");
    let status = office.wait_safe();
    assert_eq!(status["verdict"], "safe");
    agent.terminate(PATIENCE).expect("it ends");
    let heard = manager.heard.lock().unwrap();
    assert!(heard.iter().any(|words| words.contains("STOPPING=1")), "{heard:#?}");
}

#[test]
fn an_agent_with_nothing_to_do_says_nothing_but_that_it_is_well() {
    let office = Office::configured("settle = \"100ms\"", "");
    office.save("plan.txt", "a plan");
    let (manager, _agent) = Manager::with_agent(&office);
    manager.wait_for("SAFE; 1 file known");
    manager.heard.lock().unwrap().clear();
    let beats = || manager.heard.lock().unwrap().iter().filter(|words| words.contains("WATCHDOG=1")).count();
    assert!(wait(PATIENCE, || beats() >= 5), "it says that it is well");
    let heard = manager.heard.lock().unwrap();
    assert!(heard.iter().all(|words| words.trim() == "WATCHDOG=1"), "{heard:#?}");
}

/// Lines of a log that hold these words.
fn lines(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

#[test]
fn ten_thousand_files_that_fail_are_a_few_lines_in_the_log_and_none_is_forgotten() {
    const FILES: usize = 10_000;
    let office = Office::large();
    for i in 0..FILES {
        office.save(format!("{}/{i}", i % 10), format!("ours {i}"));
    }
    for folder in 0..10 {
        fs::create_dir(office.target(folder.to_string())).unwrap();
    }
    for i in 0..FILES {
        fs::write(office.target(format!("{}/{i}", i % 10)), format!("theirs {i}")).unwrap();
    }
    let mut agent = office.start();
    let holds = || office.status()["shares"][0]["targets"][0]["holds"].as_u64();
    assert!(wait(PATIENCE * 5, || holds() == Some(FILES as u64)), "all are held: {:?}", holds());
    assert!(agent.terminate(PATIENCE * 2).is_some_and(|end| end.success()), "it ends well");
    let log = agent.log();
    let named = lines(&log, " is held: ");
    assert!((1..=100).contains(&named), "{named} are named");
    let counted: usize = log
        .lines()
        .filter_map(|line| {
            line.split_once("held too, and not named here: ")?.1.split(' ').next()?.parse::<usize>().ok()
        })
        .sum();
    assert_eq!(named + counted, FILES, "those that are not named are counted");
    assert!(log.lines().count() <= 200, "{} lines", log.lines().count());
    let said = office.tell(&["problems", "--query", "length(@)"]);
    assert_eq!(said.out.trim(), FILES.to_string(), "each is told to whoever asks: {said}");

    // It begins anew: the same again, and the audit trail is not filled with it.
    let mut agent = office.start();
    office.wait_until("it has looked again", || office.status()["shares"][0]["scanned"].is_string());
    assert!(wait(PATIENCE * 5, || holds() == Some(FILES as u64)), "all are held: {:?}", holds());
    assert!(agent.terminate(PATIENCE * 2).is_some_and(|end| end.success()), "it ends well");
    assert!(agent.log().lines().count() <= 200, "{} lines", agent.log().lines().count());
    let trail = office.tell(&["log"]);
    let told = lines(&trail.out, "  hold ");
    assert!((100..=FILES).contains(&told), "{told} lines of the audit trail tell of holds");
}
