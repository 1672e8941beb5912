use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::index::{HoldRow, Index, Request, Requests as Asked, What};
use crate::model::{Content, Digest, Kind, Meta, Shape, Sight, Stamp, Stat};
use crate::plan::Hold;

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a test's path is fine")
}

fn stat(len: u64) -> Stat {
    let meta = Meta { mode: 0o644, mtime: Wall(7), ..Meta::NOTHING };
    Stat { shape: Shape { kind: Kind::File, len }, ino: 9, ctime: Wall(8), meta, nlink: 1, mounted: false }
}

/// An index in which `a` waits, `b` is held, `c` is as it should be, and `d` cannot be read.
fn filled(dir: &Path) -> (Index, PathBuf, ShareId, TargetId) {
    let file = dir.join("index.db");
    let mut index = Index::open(&file).expect("made");
    index.begin(Wall(100)).expect("begun");
    let share = index.register_share("projects", b"/srv/projects", "uid", false).expect("known").id;
    let target = index.register_target(share, "efs", "/mnt/efs").expect("known").id;
    let digest = Digest([5; 32]);
    let run = index.run();
    index.put_local(share, &path("x/a"), &LocalRow::fresh(stat(11), None, run)).expect("put");
    index.put_local(share, &path("b"), &LocalRow::fresh(stat(22), None, run)).expect("put");
    let held = HoldRow { hold: Hold::Drifted, message: "theirs".into(), hint: "look".into() };
    let open = index.open_row(target, &path("b")).expect("read").expect("open");
    index.put_open(target, &path("b"), &OpenRow { since: Wall(50), hold: Some(held), ..open }).expect("put");
    let base = Base { content: Content::file(digest, 33), meta: stat(33).meta, stamp: Stamp(b"s".as_slice().into()) };
    index.put_base(target, &path("c"), &base).expect("put");
    index.put_local(share, &path("c"), &LocalRow::fresh(stat(33), Some(digest), run)).expect("put");
    let trouble = Trouble::new("cannot be read", "chmod");
    index.begin_trouble(share, &path("d"), What::Unreadable, &trouble).expect("told");
    index.begin_trouble(share, &path("e"), What::Special, &trouble).expect("told");
    index.scan_ended(share, Wall(90), 2).expect("told");
    index.note(share, Some(target), &path("c"), "put", "05050505").expect("noted");
    index.commit().expect("committed");
    (index, file, share, target)
}

fn check(reader: &Reader) {
    let overview = reader.overview().expect("read");
    let [share] = &overview.shares[..] else { panic!("{overview:?}") };
    assert_eq!((share.name.as_str(), share.root.as_path()), ("projects", Path::new("/srv/projects")));
    assert_eq!((share.tally.files, share.tally.bytes, share.problems, share.notes), (3, 66, 1, 1));
    assert_eq!((share.scanned, share.scans, share.missed), (Some(Wall(90)), 1, 2));
    let [target] = &share.targets[..] else { panic!("{share:?}") };
    assert_eq!((target.tally.files, target.tally.pending, target.tally.holds), (1, 1, 1));
    assert_eq!((target.oldest, target.oldest_pending), (Oldest::Since(Wall(8)), Some(Wall(100))));
}

#[test]
fn the_overview_is_what_was_written_while_the_agent_writes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut index, file, ..) = filled(dir.path());
    index.begin(Wall(200)).expect("begun");
    index.set_fact("x", "y").expect("set");
    check(&Reader::open(&file).expect("opened").expect("there"));
    index.commit().expect("committed");
}

#[test]
fn what_waits_and_what_is_held_are_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_index, file, ..) = filled(dir.path());
    let reader = Reader::open(&file).expect("opened").expect("there");
    let names = |found: &[OpenMatter]| found.iter().map(|one| one.path.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&reader.pending(9).expect("read")), ["x/a"]);
    assert_eq!(names(&reader.holds(9).expect("read")), ["b"]);
    assert_eq!(names(&reader.pending(0).expect("read")), Vec::<String>::new());
    let troubles = reader.troubles(9).expect("read");
    let told: Vec<_> = troubles.iter().map(|one| (one.path.to_string(), one.is_problem)).collect();
    assert_eq!(told, [("d".to_owned(), true), ("e".to_owned(), false)]);
}

#[test]
fn the_story_of_a_path_has_every_place_in_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_index, file, share, target) = filled(dir.path());
    let reader = Reader::open(&file).expect("opened").expect("there");
    let story = reader.story(share, &path("c")).expect("read");
    assert_eq!(story.local.expect("seen").sight(story.run).map(|seen| seen.shape.len), Sight::Present(33));
    let [told] = &story.targets[..] else { panic!("{:?}", story.targets) };
    assert_eq!((told.id, told.base.as_ref().map(|(_, at)| *at), &told.open), (target, Some(Wall(100)), &None));
    let line = JournalLine { at: Wall(100), target: Some("efs".into()), what: "put".into(), detail: "05050505".into() };
    assert_eq!(story.lines, [line]);
    let nothing = reader.story(share, &path("no/such")).expect("read");
    assert!(nothing.local.is_none() && nothing.targets[0].base.is_none() && nothing.lines.is_empty());
    assert_eq!(reader.story(share, &path("d")).expect("read").troubles.len(), 1);
}

/// As after `kill -9`: the files as they lay, with a log and without what SQLite shares in memory.
fn as_after_a_crash(dir: &Path) -> PathBuf {
    let (index, file, ..) = filled(dir);
    let dead = dir.join("dead");
    fs::create_dir(&dead).expect("made");
    for name in ["index.db", "index.db-wal"] {
        fs::copy(dir.join(name), dead.join(name)).expect("copied");
    }
    drop((index, file));
    dead.join("index.db")
}

#[test]
fn what_a_dead_agent_committed_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = as_after_a_crash(dir.path());
    assert!(has_log(&file));
    check(&Reader::open(&file).expect("opened").expect("there"));
}

#[test]
fn in_a_folder_that_may_not_be_written_in_all_is_read_or_it_is_said_why_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, clean, ..) = filled(dir.path());
    drop(index);
    assert!(!has_log(&clean));
    let crashed = tempfile::tempdir().expect("a folder");
    let crashed_file = as_after_a_crash(crashed.path());
    for folder in [dir.path(), crashed_file.parent().expect("a folder")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o500)).expect("closed");
    }
    crate::sys::testing::without_privileges(|| {
        check(&Reader::open(&clean).expect("opened").expect("there"));
        let error = Reader::open(&crashed_file).expect_err("what lies in the log cannot be read");
        assert!(matches!(error, IndexError::Sqlite(_)), "{error}");
    });
    for folder in [dir.path(), crashed_file.parent().expect("a folder")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("opened");
    }
}

#[test]
fn no_index_is_none_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("index.db");
    assert!(Reader::open(&file).expect("asked").is_none());
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    fs::write(&file, "").expect("begun");
    assert!(Reader::open(&file).expect("asked").is_none());
    let (index, file, ..) = filled(dir.path());
    drop(index);
    let db = Connection::open(&file).expect("opened");
    db.pragma_update(None, "user_version", 99).expect("set");
    assert!(matches!(Reader::open(&file), Err(IndexError::Newer { found: 99, known: 9 })));
    assert!(matches!(Asked::open(&file), Err(IndexError::Newer { .. })));
}

#[test]
fn who_has_the_file_to_himself_is_waited_for_a_short_while() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, file, ..) = filled(dir.path());
    drop(index);
    let greedy = Connection::open(&file).expect("opened");
    greedy.pragma_update(None, "locking_mode", "EXCLUSIVE").expect("set");
    greedy.execute("DELETE FROM request", []).expect("locked");
    let error = Reader::open(&file).expect_err("busy");
    assert!(error.is_busy(), "{error}");
}

#[test]
fn requests_are_taken_in_their_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, file, _, target) = filled(dir.path());
    let requests = Asked::open(&file).expect("opened").expect("there");
    for request in [Request::Pause, Request::Approve(target), Request::Resume] {
        requests.add(request).expect("added");
    }
    let mut taken = Vec::new();
    while let Some(request) = index.take_request().expect("asked") {
        taken.push(request);
    }
    let wanted = [("pause".to_owned(), None), ("approve".to_owned(), Some(target)), ("resume".to_owned(), None)];
    assert_eq!(taken, wanted);
}

#[test]
fn requests_are_told_by_day_and_an_older_file_has_counted_less_or_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, file, _, target) = filled(dir.path());
    let some = Requests { put: 3, queue: 5, ..Requests::default() };
    index.count_requests(target, 7, some).expect("counted");
    let told = |file: &Path| {
        let overview = Reader::open(file).expect("opened").expect("there").overview().expect("read");
        overview.shares[0].targets[0].requests.clone()
    };
    assert_eq!(told(&file), [(7, some)]);
    drop(index);
    let db = Connection::open(&file).expect("opened");
    db.execute_batch("ALTER TABLE requests DROP COLUMN queue; PRAGMA user_version = 7").expect("an older program's");
    let of_buckets = Requests { queue: 0, ..some };
    assert_eq!(told(&file), [(7, of_buckets)]);
    // The agent goes on as it was until it is started again; what commands do meanwhile is counted all the same.
    let asked = Asked::open(&file).expect("opened").expect("there");
    asked.spent(target, 7, of_buckets).expect("counted");
    assert_eq!(told(&file), [(7, of_buckets + of_buckets)]);
    drop(asked);
    db.execute_batch("DROP TABLE requests; PRAGMA user_version = 1").expect("a still older one's");
    drop(db);
    assert_eq!(told(&file), []);
}
