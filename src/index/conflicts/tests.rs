use super::*;
use crate::index::{OpenRow, Request, Requests, Resolution};
use crate::model::{Content, Kind};

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn stamp(text: &str) -> Stamp {
    Stamp(text.as_bytes().into())
}

fn file(text: &str) -> Content {
    Content::file(Digest::of(text.as_bytes()), text.len() as u64)
}

fn side(text: &str) -> Side {
    let content = file(text);
    Side { shape: content.shape, digest: Some(content.digest), mtime: Wall(7), uid: 1000 }
}

fn conflict(theirs: &str) -> Conflict {
    Conflict { stamp: stamp(theirs), theirs: side(theirs), ours: side("ours"), both_new: false }
}

struct Fixture {
    index: Index,
    target: TargetId,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("index.db");
    let mut index = Index::open(&file).expect("made");
    let share = index.register_share("papers", b"/s", "uid", false).expect("a share").id;
    let target = index.register_target(share, "backup", "/t").expect("a target").id;
    index.begin(Wall(5)).expect("a turn");
    Fixture { index, target, file, _dir: dir }
}

impl Fixture {
    /// A put of ours begins over this version of theirs.
    fn begins(&mut self, name: &str, theirs: &str) {
        self.index.begin_conflict(self.target, &path(name), Some(&conflict(theirs))).expect("written");
        let open = OpenRow { attempts: vec![file("ours")], ..OpenRow::new(Wall(5)) };
        self.index.put_open(self.target, &path(name), &open).expect("written");
    }

    /// Its end is known, or there is none.
    fn ends(&mut self, name: &str) {
        self.index.put_open(self.target, &path(name), &OpenRow::new(Wall(5))).expect("written");
    }

    fn settle(&mut self, name: &str, ours: bool, there: Option<&str>) -> bool {
        let there = there.map(stamp);
        self.index.settle_conflict(self.target, &path(name), ours, there.as_ref()).expect("written")
    }

    /// The versions of theirs that wait for a person at a path.
    fn waits(&mut self) -> Vec<(String, Stamp)> {
        let all = self.index.conflicts_on(self.target).expect("read");
        all.into_iter().map(|(path, what)| (path.to_string(), what.stamp)).collect()
    }

    fn commit(&mut self) {
        self.index.commit().expect("committed");
        self.index.begin(Wall(6)).expect("a turn");
    }
}

#[test]
fn nothing_is_asked_while_the_put_is_under_way_and_a_crash_after_it_loses_no_conflict() {
    let mut known = fixture();
    known.begins("a/plan.txt", "theirs");
    assert_eq!(known.waits(), [], "it is under way");
    known.ends("a/plan.txt");
    assert_eq!(known.waits(), [("a/plan.txt".to_owned(), stamp("theirs"))], "nothing shows that nothing gave way");
}

#[test]
fn what_lies_there_since_says_whether_it_stands() {
    // Refused, ours is there, which of theirs is there, whether it is new and stands.
    let table = [
        (false, true, None, true),
        (false, false, Some("theirs"), false),
        (false, false, Some("other"), true),
        (false, false, None, true),
        (true, true, None, true),
        (true, false, Some("theirs"), false),
        (true, false, Some("other"), false),
        (true, false, None, false),
    ];
    for (refused, ours, there, stands) in table {
        let mut known = fixture();
        known.begins("plan.txt", "theirs");
        if refused {
            known.index.refuse_conflict(known.target, &path("plan.txt")).expect("written");
        }
        assert_eq!(known.settle("plan.txt", ours, there), stands, "{refused} {ours} {there:?}");
        known.ends("plan.txt");
        assert_eq!(!known.waits().is_empty(), stands, "{refused} {ours} {there:?}");
        assert!(!known.settle("plan.txt", true, None), "it is settled once");
    }
}

/// The put may have been made, and somebody has put something else there since: the path is held with its attempt.
#[test]
fn what_gave_way_where_the_path_is_held_now_waits_too() {
    for (there, waits) in [(Some("theirs"), 0), (Some("other"), 1), (None, 1)] {
        let mut known = fixture();
        known.begins("plan.txt", "theirs");
        let there = there.map(stamp);
        let new = known.index.hold_conflict(known.target, &path("plan.txt"), there.as_ref()).expect("written");
        assert_eq!((new, known.waits().len()), (waits == 1, waits), "{there:?}");
        assert_eq!(known.settle("plan.txt", true, None), waits == 0, "if it was still to come, it comes: {there:?}");
    }
}

#[test]
fn a_put_that_is_tried_again_is_one_conflict_and_each_version_that_gave_way_is_one() {
    let mut known = fixture();
    known.begins("plan.txt", "theirs");
    known.begins("plan.txt", "theirs");
    known.settle("plan.txt", true, None);
    known.begins("plan.txt", "theirs again");
    known.begins("plan.txt", "and again");
    known.settle("plan.txt", true, None);
    known.ends("plan.txt");
    let all = ["theirs", "theirs again", "and again"].map(|theirs| ("plan.txt".to_owned(), stamp(theirs)));
    assert_eq!(known.waits(), all, "of the second nobody knows whether it gave way");
}

#[test]
fn what_was_resolved_is_gone_at_once_and_for_good() {
    let mut known = fixture();
    for theirs in ["one", "two"] {
        known.begins("plan.txt", theirs);
        known.settle("plan.txt", true, None);
    }
    known.ends("plan.txt");
    known.index.commit().expect("committed");
    let reader = Reader::open(&known.file).expect("read").expect("there");
    let all = reader.conflicts_after(0, None, 10).expect("read");
    assert_eq!(all.len(), 2);
    let one = &all[0];
    assert_eq!((&*one.share, &*one.target, &one.path, one.since), ("papers", "backup", &path("plan.txt"), Wall(5)));
    assert_eq!(one.what, conflict("one"));
    assert_eq!(reader.conflicts_after(one.id, None, 10).expect("read"), all[1..]);
    let share = ShareId(1);
    assert_eq!(reader.conflicts_after(0, Some((share, &path("plan.txt"))), 10).expect("read"), all);
    assert_eq!(reader.conflicts_after(0, Some((share, &path("other.txt"))), 10).expect("read"), []);
    let requests = Requests::open(&known.file).expect("opened").expect("there");
    requests.add(Request::Resolve(one.id, Resolution::Both)).expect("asked");
    assert_eq!(reader.conflicts_after(0, None, 10).expect("read"), all[1..], "asked for is as good as done");
    assert_eq!(reader.count_conflicts(known.target).expect("read"), 1);
    known.index.begin(Wall(6)).expect("a turn");
    assert_eq!(known.index.take_resolutions().expect("taken"), 1);
    known.commit();
    assert_eq!(known.index.take_resolutions().expect("taken"), 0);
    assert_eq!(reader.conflicts_after(0, None, 10).expect("read"), all[1..]);
    let lines = reader.journal_after(0, 10).expect("read");
    assert!(lines.iter().any(|line| line.what == "resolve" && line.path == path("plan.txt")), "{lines:?}");
}

#[test]
fn a_version_in_dispute_is_told_as_that_until_it_is_resolved() {
    let mut known = fixture();
    known.begins("plan.txt", "theirs");
    known.settle("plan.txt", true, None);
    known.index.commit().expect("committed");
    let reader = Reader::open(&known.file).expect("read").expect("there");
    let lies = |name: &str| reader.lies(ShareId(1), known.target, &path(name)).expect("read");
    assert_eq!(lies("plan.txt"), crate::plan::Lies::Disputed);
    assert_eq!(lies("other.txt"), crate::plan::Lies::Gone);
}

#[test]
fn a_link_has_a_length_and_no_owner_is_an_owner() {
    let mut known = fixture();
    let theirs = Side { shape: Shape { kind: Kind::Symlink, len: 4 }, digest: None, uid: u32::MAX, ..side("x") };
    let what = Conflict { theirs, both_new: true, ..conflict("link") };
    known.index.begin_conflict(known.target, &path("link"), Some(&what)).expect("written");
    assert_eq!(known.index.conflicts_on(known.target).expect("read"), [(path("link"), what)]);
}

#[test]
fn a_try_that_is_refused_says_nothing_of_an_earlier_one_without_an_answer() {
    let mut twice = fixture();
    twice.begins("plan.txt", "theirs");
    // No answer comes, theirs is seen to lie there still, and it is tried once more.
    twice.begins("plan.txt", "theirs");
    twice.index.refuse_conflict(twice.target, &path("plan.txt")).expect("written");
    // The first was made after all, and somebody else came after it.
    assert!(twice.settle("plan.txt", false, Some("another")), "it may have given way to the first");
    twice.ends("plan.txt");
    assert_eq!(twice.waits(), [("plan.txt".to_owned(), stamp("theirs"))]);

    let mut refused = fixture();
    refused.begins("plan.txt", "theirs");
    refused.index.refuse_conflict(refused.target, &path("plan.txt")).expect("written");
    refused.begins("plan.txt", "theirs");
    refused.index.refuse_conflict(refused.target, &path("plan.txt")).expect("written");
    assert!(!refused.settle("plan.txt", false, Some("another")), "neither was made");
}
