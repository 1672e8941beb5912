use super::*;
use crate::cli::report::Verdict;
use crate::engine::settings::{Settings, Waiting};
use crate::engine::state::{Beat, WatchState};
use crate::index::{Index, LocalRow};
use crate::model::{Content, Digest, Kind, Meta, RelPath, Shape, ShareId, Stamp, Stat, TargetId};
use crate::plan::Base;

const NOW: Wall = Wall(1_795_442_601_000_000_000);

fn at(seconds: i64) -> Wall {
    Wall(NOW.0 + seconds * 1_000_000_000)
}

fn pulse(liveness: Liveness, beat: Option<i64>) -> Pulse {
    let beat = beat.map(|seconds| (Beat { name: "office-01".into(), version: "0.1.0".into(), pid: 7 }, at(seconds)));
    Pulse { liveness, pid: (liveness != Liveness::Stopped).then_some(7), beat }
}

fn said(scanned: bool, state: ShareCondition) -> String {
    let watch = WatchState { mode: WatchWay::Inotify, coverage: 1.0, note: None, late_s: None };
    let why = (state == ShareCondition::Offline).then(|| "it went away".to_owned());
    state::ShareState { state, why, scanned, followed: None, watch }.to_json()
}

/// An index with one file, which lies on the target too; scanned 60 s ago.
struct World {
    dir: tempfile::TempDir,
    index: Index,
    share: ShareId,
    target: TargetId,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut index = Index::open(&dir.path().join(state::INDEX)).expect("made");
        index.begin(at(-100)).expect("begun");
        let share = index.register_share("projects", b"/srv/projects", "uid", false).expect("known").id;
        let target = index.register_target(share, "efs", "/mnt/efs").expect("known").id;
        index.listing_ended(target, at(-90), 3).expect("told");
        let digest = Digest([5; 32]);
        let meta = Meta { mode: 0o644, mtime: at(-500), ..Meta::NOTHING };
        let content = Content::file(digest, 33);
        index.put_base(target, &path("c"), &Base { content, meta, stamp: Stamp(b"s".as_slice().into()) }).expect("put");
        index.commit().expect("committed");
        let mut world = Self { dir, index, share, target };
        world.see("c", 33, Some(digest), -500, -80);
        world.index.scan_ended(share, at(-60), 0).expect("told");
        world.index.set_share_state(share, &said(true, ShareCondition::Ok)).expect("told");
        world
    }

    /// A file that was changed at `made` is noticed at `noticed`.
    fn see(&mut self, name: &str, len: u64, digest: Option<Digest>, made: i64, noticed: i64) {
        let meta = Meta { mode: 0o644, mtime: at(made), ..Meta::NOTHING };
        let shape = Shape { kind: Kind::File, len };
        let stat = Stat { shape, ino: 1, ctime: at(made), meta, nlink: 1, mounted: false };
        self.index.begin(at(noticed)).expect("begun");
        let row = LocalRow::fresh(stat, digest, self.index.run());
        self.index.put_local(self.share, &path(name), &row).expect("put");
        self.index.commit().expect("committed");
    }

    fn status(&self, pulse: Pulse) -> Status {
        let overview = Reader::open(&self.dir.path().join(state::INDEX))
            .and_then(|found| found.expect("there").overview().map(Some));
        let asked = State { dir: self.dir.path().to_owned(), config: None, refused: None, digest: None };
        status(&asked, &Found { pulse, overview, settings: None, room: None }, NOW)
    }

    fn protected(&self, pulse: Pulse) -> Option<Wall> {
        self.status(pulse).shares[0].targets[0].protected_as_of.map(|when| when.0)
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a test's path is fine")
}

#[test]
fn with_nothing_open_all_is_safe_up_to_the_heartbeat() {
    let world = World::new();
    let status = world.status(pulse(Liveness::Running, Some(-1)));
    assert_eq!((status.verdict, status.exit()), (Verdict::Safe, Exit::Fine));
    let target = &status.shares[0].targets[0];
    assert_eq!((target.files, target.bytes, target.foreign, target.pending), (1, 33, 3, 0));
    assert_eq!(target.protected_as_of, Some(When(at(-1))));
    let stopped = world.status(pulse(Liveness::Stopped, Some(-50)));
    assert_eq!((stopped.verdict, stopped.exit(), stopped.as_of), (Verdict::Safe, Exit::NotRunning, When(at(-50))));
    assert_eq!(world.protected(pulse(Liveness::Stopped, Some(-50))), Some(at(-50)));
}

#[test]
fn what_is_open_bounds_what_is_protected_by_when_it_was_made() {
    let mut world = World::new();
    world.see("new", 5, None, -9, -8);
    assert_eq!(world.protected(pulse(Liveness::Running, Some(0))), Some(at(-9)));
    world.see("weekend", 5, None, -40, -7);
    assert_eq!(world.protected(pulse(Liveness::Running, Some(0))), Some(at(-40)));
    let status = world.status(pulse(Liveness::Running, Some(0)));
    assert_eq!(status.verdict, Verdict::Syncing);
    assert_eq!(status.shares[0].targets[0].oldest_pending_s, Some(8));
}

#[test]
fn a_share_that_is_polled_is_known_up_to_its_last_scan_and_no_further() {
    let world = World::new();
    for (mode, coverage) in [(WatchWay::Poll, 0.0), (WatchWay::Inotify, 0.5)] {
        let watch = WatchState { mode, coverage, note: None, late_s: None };
        let said = state::ShareState { scanned: true, watch, ..state::ShareState::default() }.to_json();
        world.index.set_share_state(world.share, &said).expect("told");
        assert_eq!(world.protected(pulse(Liveness::Running, Some(0))), Some(at(-60)));
    }
}

#[test]
fn before_a_scan_has_ended_in_this_run_nothing_is_claimed_of_now() {
    let world = World::new();
    world.index.set_share_state(world.share, &said(false, ShareCondition::Scanning)).expect("told");
    let running = world.status(pulse(Liveness::Running, Some(0)));
    assert_eq!((running.verdict, running.shares[0].scanned), (Verdict::Unknown, None));
    assert_eq!(running.shares[0].targets[0].protected_as_of, Some(When(at(-60))), "up to the last scan");
    assert_eq!(world.status(pulse(Liveness::Stopped, Some(-50))).verdict, Verdict::Unknown, "it never looked");
    let starting = world.status(pulse(Liveness::Starting, Some(-50)));
    assert_eq!((starting.verdict, starting.agent.state), (Verdict::Unknown, AgentState::Running));
}

#[test]
fn an_offline_share_is_attention_with_its_reason_and_claims_nothing_since() {
    let world = World::new();
    world.index.set_share_state(world.share, &said(true, ShareCondition::Offline)).expect("told");
    let status = world.status(pulse(Liveness::Running, Some(0)));
    assert_eq!((status.verdict, status.shares[0].error.as_deref()), (Verdict::Attention, Some("it went away")));
    assert_eq!(status.shares[0].targets[0].protected_as_of, Some(When(at(-60))));
}

#[test]
fn a_target_is_as_its_columns_and_its_words_say() {
    let world = World::new();
    let tell = |state, since: Option<i64>| {
        let error = since.map(|since| state::ErrorState { message: "no room".into(), hint: "free some".into(), since });
        let said = state::TargetState { state, error, since, no_lists: false, rate: None, events: None };
        world.index.set_target_state(world.target, &said.to_json()).expect("told");
        world.status(pulse(Liveness::Running, Some(0)))
    };
    let facts =
        |status: &Status| (status.verdict, status.shares[0].targets[0].state, status.shares[0].targets[0].problems);
    let short = tell(TargetCondition::Resting, Some(at(-5).0));
    assert_eq!(facts(&short), (Verdict::Safe, TargetState::Resting, 0));
    let long = tell(TargetCondition::Resting, Some(at(-61).0));
    assert_eq!(facts(&long), (Verdict::Attention, TargetState::Resting, 1));
    let away = tell(TargetCondition::Unreachable, Some(at(-5).0));
    assert_eq!(facts(&away), (Verdict::Attention, TargetState::Unreachable, 0));
    assert_eq!(away.shares[0].targets[0].error.as_ref().map(|e| e.message.as_str()), Some("no room"));
    world.index.set_paused(world.target, true).expect("told");
    assert_eq!(facts(&tell(TargetCondition::Ok, None)), (Verdict::Attention, TargetState::Paused, 0));
    world.index.set_halt(world.target, Some("an accident")).expect("told");
    let halted = tell(TargetCondition::Ok, Some(at(-3).0));
    assert_eq!(facts(&halted), (Verdict::Halted, TargetState::Halted, 0));
    let error = halted.shares[0].targets[0].error.as_ref().expect("told why");
    assert_eq!((error.message.as_str(), error.since), ("an accident", When(at(-3))));
}

#[test]
fn where_nothing_ever_ran_nothing_is_known_and_it_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = State { dir: dir.path().join("state"), config: None, refused: None, digest: None };
    let status = status(&asked, &Found::look(&asked.dir, NOW).expect("looked"), NOW);
    assert_eq!((status.verdict, status.exit()), (Verdict::Unknown, Exit::NotRunning));
    let told = status.error.expect("told").message;
    assert_eq!(told, format!("no agent ever ran with the state folder {}", asked.dir.display()));
    assert!(!asked.dir.exists());
}

#[test]
fn an_index_that_cannot_be_read_is_said_to_be_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "not a database, and long enough to be taken for one. ".repeat(40);
    std::fs::write(dir.path().join(state::INDEX), text).expect("written");
    let asked = State { dir: dir.path().to_owned(), config: None, refused: None, digest: None };
    let mut found = Found::look(dir.path(), NOW).expect("looked");
    let told = status(&asked, &found, NOW);
    assert_eq!((told.verdict, told.exit()), (Verdict::Unknown, Exit::NotRunning));
    assert!(told.error.expect("told").message.contains("not a database"));
    let newer = IndexError::Newer { found: 9, known: 1 };
    found = Found { pulse: pulse(Liveness::Running, Some(0)), overview: Err(newer), settings: None, room: None };
    let told = status(&asked, &found, NOW);
    assert_eq!((told.verdict, told.exit()), (Verdict::Unknown, Exit::Problems));
    assert!(told.error.expect("told").hint.starts_with("ask with the newer driftline"));
}

#[test]
fn what_is_configured_is_told_in_its_order_and_what_is_new_is_unknown() {
    let world = World::new();
    let text = "[[share]]\nname = \"new\"\npath = \"/srv/new\"\n[[share.target]]\nname = \"t\"\npath = \"/mnt/new\"\n\
                [[share]]\nname = \"projects\"\npath = \"/srv/projects\"\n\
                [[share.target]]\nname = \"nas\"\npath = \"/mnt/nas\"\n\
                [[share.target]]\nname = \"efs\"\npath = \"/mnt/efs\"\n";
    let config = Some(Config::parse(text).expect("fine"));
    let overview = Reader::open(&world.dir.path().join(state::INDEX)).expect("opened").expect("there").overview();
    let found =
        Found { pulse: pulse(Liveness::Running, Some(0)), overview: overview.map(Some), settings: None, room: None };
    let told = status(&State { dir: world.dir.path().to_owned(), config, refused: None, digest: None }, &found, NOW);
    let names: Vec<_> = told.lanes().map(|(share, target)| format!("{}/{}", share.name, target.name)).collect();
    assert_eq!(
        (names, told.verdict),
        (["new/t", "projects/nas", "projects/efs"].map(str::to_owned).to_vec(), Verdict::Unknown)
    );
    assert_eq!(told.shares[1].targets.iter().map(|target| target.files).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_bucket_tells_its_requests_and_what_it_costs() {
    let mut world = World::new();
    let bucket = world.index.register_target(world.share, "cloud", "s3://acme/p").expect("known").id;
    let puts = |put| Requests { put, ..Requests::default() };
    let with_queue = |put| Requests { queue: 400_000, ..puts(put) };
    let today = NOW.day();
    for (day, put) in [(today - 61, 1), (today - 40, 10), (today - 10, 1_000_000), (today, 500_000)] {
        world.index.count_requests(bucket, day, puts(put)).expect("counted");
    }
    world.index.count_requests(bucket, today, Requests { queue: 400_000, ..puts(0) }).expect("counted");
    let status = world.status(pulse(Liveness::Running, Some(0)));
    let [efs, cloud] = &status.shares[0].targets[..] else { panic!("two: {status:?}") };
    assert_eq!((efs.kind, &efs.cost, &efs.requests), (TargetKind::Directory, &None, &report::Requests::default()));
    assert_eq!((cloud.kind, &cloud.requests_today), (TargetKind::S3, &with_queue(500_000).into()));
    assert_eq!(cloud.requests, with_queue(1_500_011).into());
    let cost = cloud.cost.as_ref().expect("a bucket costs");
    let since = Wall::from_day(today - 10);
    let days = NOW.since(since).as_secs_f64() / 86_400.0;
    assert_eq!(cost.since, Some(When(since)));
    assert_eq!(cost.requests_month, rounded((1500.0 * 0.005 + 400.0 * 0.0004) * 30.0 / days));
    assert_eq!((cost.storage_month, cost.currency.as_str()), (0.0, "USD"));
}

#[test]
fn a_bucket_of_which_nothing_was_counted_says_so() {
    let mut world = World::new();
    world.index.register_target(world.share, "cloud", "s3://acme/p").expect("known");
    let status = world.status(pulse(Liveness::Running, Some(0)));
    let cost = status.shares[0].targets[1].cost.clone().expect("a bucket costs");
    assert_eq!((cost.requests_month, cost.since), (0.0, None));
}

#[test]
fn when_a_run_begins_nothing_of_the_one_before_is_claimed_of_now() {
    let world = World::new();
    assert_eq!(world.status(pulse(Liveness::Running, Some(-2))).verdict, Verdict::Safe);
    world.index.begin_states(|said| state::ShareState::begun(said, Some(at(-5))).to_json()).expect("begun");
    for liveness in [Liveness::Running, Liveness::Hung, Liveness::Stopped] {
        let told = world.status(pulse(liveness, Some(-1)));
        assert_eq!((told.verdict, told.shares[0].scanned), (Verdict::Unknown, None), "{liveness:?}");
        let protected = told.shares[0].targets[0].protected_as_of;
        assert_eq!(protected, Some(When(at(-5))), "up to the last heartbeat of the run that followed it");
    }
    // One that has just begun and has not said anything claims no more.
    let world = World::new();
    let told = world.status(pulse(Liveness::Starting, Some(-5)));
    assert_eq!((told.verdict, told.shares[0].targets[0].protected_as_of), (Verdict::Unknown, Some(When(at(-5)))));
}

fn settings(change: impl FnOnce(&mut Settings)) -> Option<String> {
    let mut settings = Settings { taken: at(-600).0, digest: "old".into(), ..Settings::default() };
    change(&mut settings);
    Some(settings.to_json())
}

fn told_of(asked: &State, world: &World, settings: Option<String>) -> Status {
    let overview =
        Reader::open(&world.dir.path().join(state::INDEX)).and_then(|found| found.expect("there").overview().map(Some));
    status(asked, &Found { pulse: pulse(Liveness::Running, Some(-2)), overview, settings, room: None }, NOW)
}

#[test]
fn what_a_person_has_to_say_of_the_configuration_is_asked_for() {
    let world = World::new();
    let asked = |digest: &str, refused| {
        let (dir, digest) = (world.dir.path().to_owned(), Some(digest.to_owned()));
        State { dir, config: None, refused, digest }
    };
    let fine = told_of(&asked("old", None), &world, settings(|_| {}));
    let config = fine.config.clone().expect("told");
    assert_eq!((fine.verdict, config.unread, config.needs_a_person()), (Verdict::Safe, false, false));
    let unread = told_of(&asked("new", None), &world, settings(|_| {}));
    assert_eq!((unread.verdict, unread.config.map(|config| config.unread)), (Verdict::Safe, Some(true)));
    let waits = |settings: &mut Settings| settings.waiting.push(Waiting::default());
    let waiting = told_of(&asked("old", None), &world, settings(waits));
    assert_eq!((waiting.verdict, waiting.exit()), (Verdict::Attention, Exit::Problems));
    let notice = Notice { message: "line 1: what?".into(), hint: "look".into() };
    let refused = told_of(&asked("bad", Some(notice)), &world, settings(|_| {}));
    let error = refused.config.and_then(|config| config.error).expect("told");
    assert_eq!((refused.verdict, error.message.as_str()), (Verdict::Attention, "line 1: what?"));
    assert_eq!(refused.shares.len(), 1, "the places are told all the same");
}
