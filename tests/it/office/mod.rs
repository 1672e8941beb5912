//! An office for tests: a share, a target and a state folder on one disk, and the real program between them.
//!
//! Nothing here sleeps and then believes: waiting means asking again until it is so, or failing with what was seen.
//! What the tests assume of the program's surface (flags, fields, where history lies) is in this folder only.
//! `DRIFTLINE_BIN` names another program to test, `DRIFTLINE_TEST_DIR` another disk to test on.

mod agent;
mod faults;
mod machine;
mod make;
mod mount;
mod program;
mod schema;
mod tree;

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use agent::Agent;
pub(crate) use faults::{Faults, with_faults};
pub(crate) use machine::{Limit, Machine, is_slow_run};
pub(crate) use make::{Dice, deep_folder, set_mode, set_mtime};
pub(crate) use mount::{Mount, skip};
pub(crate) use program::{Said, behind, hear, must};
pub(crate) use schema::faults_of_status;
pub(crate) use tree::{Node, Place, Tree, places};

/// How long anything may take that has to happen: for slow machines, not for measuring.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A share, a target and a state folder that vanish with the test.
pub(crate) struct Office {
    dir: TempDir,
    config: Option<PathBuf>,
    machine: Machine,
    /// The agent that was started last.
    agent: Cell<Option<u32>>,
}

impl Office {
    /// An office with every option at its default, in the quick form (no configuration file).
    pub(crate) fn new() -> Self {
        Self::on(Machine::shared())
    }

    /// An office with a configuration file: these lines are added to its share and to its target.
    pub(crate) fn configured(share_lines: &str, target_lines: &str) -> Self {
        Self::new().with_config(share_lines, target_lines)
    }

    /// An office on a machine of which the caller may hold the whole.
    pub(crate) fn on(machine: Machine) -> Self {
        Self::below(machine, env!("CARGO_TARGET_TMPDIR"))
    }

    /// An office with a configuration file on a file system in memory, where there is one: with very many files.
    pub(crate) fn large() -> Self {
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { env!("CARGO_TARGET_TMPDIR") };
        Self::below(Machine::shared(), memory).with_config("settle = \"100ms\"", "")
    }

    fn below(machine: Machine, home: &str) -> Self {
        let home = std::env::var_os("DRIFTLINE_TEST_DIR").unwrap_or_else(|| home.into());
        fs::create_dir_all(&home).expect("a folder for tests");
        let dir = tempfile::Builder::new().prefix("office-").tempdir_in(home).expect("a folder for this test");
        for name in ["share", "target", "state", "home"] {
            fs::create_dir(dir.path().join(name)).expect("an empty office");
        }
        Self { dir, config: None, machine, agent: Cell::new(None) }
    }

    /// The same office, with a configuration file.
    pub(crate) fn with_config(self, share_lines: &str, target_lines: &str) -> Self {
        let folder = self.folder_target(target_lines);
        self.with_targets(share_lines, &folder)
    }

    /// The lines of a configuration that name this office's folder as a target.
    pub(crate) fn folder_target(&self, target_lines: &str) -> String {
        format!("[[share.target]]\nname = \"backup\"\npath = {:?}\n{target_lines}\n", self.path("target"))
    }

    /// The same office, with a configuration file in which these targets stand as they are.
    pub(crate) fn with_targets(mut self, share_lines: &str, targets: &str) -> Self {
        let (share, state) = (self.path("share"), self.path("state"));
        let text = format!(
            "[agent]\nname = \"office-01\"\nstate_dir = {state:?}\n\n\
             [[share]]\nname = \"papers\"\npath = {share:?}\n{share_lines}\n\n{targets}"
        );
        let config = self.path("driftline.toml");
        fs::write(&config, text).expect("a configuration file");
        self.config = Some(config);
        self
    }

    /// The right to use the machine that this office was opened with.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A path in the office itself, beside share and target.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path on the share.
    pub(crate) fn share(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path("share").join(path)
    }

    /// A path on the target.
    pub(crate) fn target(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path("target").join(path)
    }

    /// Saves a file on the share, with the folders that lead to it.
    pub(crate) fn save(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = self.share(path);
        fs::create_dir_all(path.parent().expect("below the share")).expect("folders on the share");
        fs::write(path, bytes).expect("a file on the share");
    }

    /// The flags that name this office to any command.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        if let Some(config) = &self.config {
            return vec!["--config".into(), config.into()];
        }
        let named = [("--share", "share"), ("--target", "target"), ("--state-dir", "state")];
        named.iter().flat_map(|(flag, name)| [OsString::from(flag), self.path(name).into()]).collect()
    }

    /// The program with `words` and nothing else.
    pub(crate) fn bare(&self, words: &[String]) -> Command {
        let mut command = program::driftline(&self.path("home"));
        command.args(words);
        command
    }

    /// The program with `words`, and this office's flags behind them.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program::driftline(&self.path("home"));
        command.args(words).args(self.flags());
        command
    }

    /// Runs one command to its end.
    pub(crate) fn tell(&self, words: &[&str]) -> Said {
        hear(&mut self.command(words))
    }

    /// One pass.
    pub(crate) fn sync(&self) -> Said {
        self.tell(&["sync"])
    }

    /// One pass that has to end well.
    pub(crate) fn sync_well(&self) {
        let said = self.sync();
        assert_eq!(said.code, Some(0), "sync ends well: {said}");
    }

    /// The agent, in the background, until the guard is dropped.
    pub(crate) fn start(&self) -> Agent {
        let agent = Agent::start(self.command(&["run"]), self.dir.path());
        self.agent.set(Some(agent.pid()));
        agent
    }

    /// Waiting for an agent that has ended is no use.
    fn assert_agent_lives(&self) {
        let Some(pid) = self.agent.get() else { return };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        assert!(state.is_some_and(|state| state != 'Z'), "the agent has ended by itself");
    }

    /// What `status --json` says, and its exit code.
    pub(crate) fn ask_status(&self) -> (Value, Said) {
        let said = self.tell(&["status", "--json"]);
        let value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("status is not JSON ({e}): {said}"));
        let faults = faults_of_status(&value);
        assert!(faults.is_empty(), "not as src/docs/status.schema.json says: {faults:#?}\n{value:#}");
        (value, said)
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        self.ask_status().0
    }

    /// What `problems --json` says of `path`, however its list is wrapped.
    pub(crate) fn problem(&self, path: &str) -> Option<Value> {
        let said = self.tell(&["problems", "--json"]);
        let value: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("problems is not JSON ({e}): {said}"));
        about(&value, path).cloned()
    }

    /// Asks until `is_so`; fails with `what` and the status after [`PATIENCE`].
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let asked = || {
            self.assert_agent_lives();
            is_so()
        };
        if !wait(PATIENCE, asked) {
            panic!("after {PATIENCE:?}, still not: {what}; status: {:#}", self.status());
        }
    }

    /// Waits until the agent says that all is safe and nothing is pending.
    pub(crate) fn wait_safe(&self) -> Value {
        let mut last = Value::Null;
        self.wait_until("safe with nothing pending", || {
            last = self.status();
            let idle = targets(&last).all(|target| target["pending"] == 0);
            last["verdict"] == "safe" && idle && last["agent"]["state"] == "running"
        });
        last
    }

    /// Waits until target and share hold the same, then until the agent says so.
    pub(crate) fn wait_same(&self) {
        self.wait_same_within(PATIENCE);
    }

    /// [`Office::wait_same`], with another limit.
    pub(crate) fn wait_same_within(&self, limit: Duration) {
        let is_so = || {
            self.assert_agent_lives();
            self.differences().is_ok_and(|lines| lines.is_empty())
        };
        if !wait(limit, is_so) {
            panic!("after {limit:?}: {:#?}; status: {:#}", self.differences(), self.status());
        }
        self.wait_safe();
        self.assert_same();
    }

    /// Fails unless the target holds exactly what the share holds.
    pub(crate) fn assert_same(&self) {
        let lines = self.differences().expect("both trees can be read");
        assert!(lines.is_empty(), "share and target differ:\n{}", lines.join("\n"));
    }

    /// What differs between share and target; ignored names count as absent from the share.
    fn differences(&self) -> std::io::Result<Vec<String>> {
        let share = Tree::read(&self.path("share"))?.without_ignored();
        let target = Tree::read(&self.path("target"))?.without_ours();
        Ok(share.differences(&target))
    }

    /// Fails unless rsync, with checksums, would change nothing on the target.
    pub(crate) fn rsync_says_same(&self) {
        let [share, target] = ["share/", "target/"].map(|name| self.path(name));
        let mut rsync = Command::new("rsync");
        let said = must(rsync.args(["-anci", "--delete", "--exclude=/.driftline"]).args([share, target]));
        let lines: Vec<_> = said.out.lines().filter(|line| *line != ".d..t...... ./").collect();
        assert!(lines.is_empty(), "rsync would change: {lines:#?}");
    }

    /// Where everything on the target lies: what changes when anything is written, renamed or touched.
    pub(crate) fn target_places(&self) -> Vec<Place> {
        places(&self.path("target")).expect("the target can be listed")
    }

    /// Every version of `path` that history holds, in the order of their names, which is that of their times.
    pub(crate) fn history(&self, path: impl AsRef<Path>) -> Vec<Vec<u8>> {
        let Ok(folder) = fs::read_dir(self.target(".driftline/history").join(path)) else { return Vec::new() };
        let mut files: Vec<_> = folder.map(|entry| entry.expect("a version").path()).filter(|p| p.is_file()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).expect("a version can be read")).collect()
    }

    /// A day goes by for whoever prunes the target's history.
    pub(crate) fn forget_that_history_was_pruned(&self) {
        let index = rusqlite::Connection::open(self.path("state/index.db")).expect("an index");
        let forgotten = index.execute("UPDATE target SET pruned = NULL", []).expect("nobody writes to it");
        assert_eq!(forgotten, 1, "it has one target");
    }

    /// Files that lie in the target's staging.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        files_below(&self.target(".driftline/staging"))
    }

    /// The index and what SQLite keeps beside it, the index first.
    pub(crate) fn index_files(&self) -> Vec<PathBuf> {
        let is_index = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
        let mut found: Vec<_> = files_below(&self.path("state")).into_iter().filter(is_index).collect();
        assert!(!found.is_empty(), "there is an index in the state folder");
        for index in found.clone() {
            for tail in ["-wal", "-shm"] {
                let mut name = index.clone().into_os_string();
                name.push(tail);
                found.extend(Path::new(&name).exists().then(|| name.into()));
            }
        }
        found
    }
}

/// Every target of every share in a status.
pub(crate) fn targets(status: &Value) -> impl Iterator<Item = &Value> {
    let shares = status["shares"].as_array().into_iter().flatten();
    shares.flat_map(|share| share["targets"].as_array().into_iter().flatten())
}

/// Asks until `is_so`, more rarely if asking takes long. False after `limit`.
pub(crate) fn wait(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        if is_so() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(asked.elapsed().clamp(Duration::from_millis(20), Duration::from_secs(2)));
    }
}

/// Regular files at any depth below `folder`; none if it is not there.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn about<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) if fields.get("path").is_some_and(|p| p == path) => Some(value),
        Value::Object(fields) => fields.values().find_map(|inner| about(inner, path)),
        Value::Array(items) => items.iter().find_map(|inner| about(inner, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
