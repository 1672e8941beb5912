use super::*;
use crate::index::{HoldRow, OpenRow};
use crate::model::{Digest, Meta, Seen, Stat};
use crate::plan::Hold;

const HOUR: i64 = 3_600 * 1_000_000_000;

struct Fixture {
    index: Index,
    share: ShareId,
    one: TargetId,
    other: TargetId,
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

fn file(text: &str) -> Content {
    Content::file(Digest::of(text.as_bytes()), text.len() as u64)
}

/// Known from the name of a version alone.
fn recalled(text: &str) -> Tombstone {
    Tombstone { digest: None, ..Tombstone::of(&file(text)) }
}

fn fixture(at: i64) -> Fixture {
    let mut index = Index::in_memory().expect("memory");
    let share = index.register_share("s", b"/s", "uid", false).expect("a share").id;
    let [one, other] = ["a", "b"].map(|name| index.register_target(share, name, "/t").expect("a target").id);
    index.take_changes(one, true);
    index.begin(Wall(at)).expect("a turn");
    Fixture { index, share, one, other }
}

impl Fixture {
    fn at(mut self, at: i64) -> Self {
        self.index.commit().expect("committed");
        self.index.begin(Wall(at)).expect("a turn");
        self
    }

    fn bury(&mut self, name: &str, text: &str, taken: Option<TargetId>) {
        self.index.bury(self.share, &path(name), &file(text), taken).expect("written");
    }

    fn recall(&mut self, name: &str, text: &str, at: i64) {
        self.index.recall_tombstone(self.share, &path(name), &recalled(text), Wall(at)).expect("written");
    }

    fn names(&mut self, target: TargetId, name: &str, text: &str) -> bool {
        let seen = Seen { shape: file(text).shape, digest: Some(file(text).digest), meta: Meta::NOTHING };
        let all = self.index.tombstones(target, &path(name)).expect("read");
        all.iter().any(|tombstone| tombstone.names(&seen) == Some(true))
    }

    fn save(&mut self, name: &str, text: &str) {
        let Content { shape, digest } = file(text);
        let stat = Stat { shape, ino: 1, ctime: Wall(1), meta: Meta::NOTHING, nlink: 1, mounted: false };
        let row = LocalRow::fresh(stat, Some(digest), self.index.run());
        self.index.put_local(self.share, &path(name), &row).expect("written");
    }

    fn gone(&mut self, name: &str) {
        let row = self.index.local(self.share, &path(name)).expect("read").expect("it was there");
        let row = LocalRow { state: crate::index::Presence::Absent, ..row };
        self.index.put_local(self.share, &path(name), &row).expect("written");
    }

    fn hold(&mut self, target: TargetId, name: &str) {
        let held = HoldRow { hold: Hold::Returned, message: String::new(), hint: String::new() };
        let open = OpenRow { hold: Some(held), ..OpenRow::new(Wall(1)) };
        self.index.put_open(target, &path(name), &open).expect("written");
    }
}

#[test]
fn what_the_share_deleted_is_known_on_every_target_until_the_share_has_it_again() {
    let mut f = fixture(HOUR);
    f.bury("d/f", "old", None);
    assert!(f.names(f.one, "d/f", "old") && f.names(f.other, "d/f", "old"));
    assert!(!f.names(f.one, "d/f", "new") && !f.names(f.one, "d/g", "old"));
    f.save("d/f", "new");
    assert!(f.names(f.one, "d/f", "old"), "another content releases nothing");
    f.save("d/f", "old");
    assert!(!f.names(f.one, "d/f", "old") && !f.names(f.other, "d/f", "old"));
}

#[test]
fn what_the_share_saved_again_meanwhile_and_folders_leave_none() {
    let mut f = fixture(HOUR);
    f.save("f", "old");
    f.bury("f", "old", None);
    assert!(!f.names(f.one, "f", "old"));
    f.index.bury(f.share, &path("d"), &Content::FOLDER, None).expect("written");
    assert_eq!(f.index.tombstones(f.one, &path("d")).expect("read"), []);
}

#[test]
fn what_others_deleted_on_a_target_first_is_theirs_to_put_back_there_and_only_there() {
    let mut f = fixture(HOUR);
    f.bury("f", "old", Some(f.one));
    f.bury("f", "old", None);
    assert!(!f.names(f.one, "f", "old"), "the removal on the other target only followed");
    assert!(f.names(f.other, "f", "old"));
}

#[test]
fn what_a_history_tells_counts_where_the_index_remembers_nothing_as_new() {
    let mut f = fixture(10 * HOUR);
    f.recall("f", "first", HOUR);
    f.recall("f", "second", 2 * HOUR);
    assert!(f.names(f.one, "f", "first") && f.names(f.one, "f", "second"), "any version of it is an old copy");
    f.bury("g", "mine", Some(f.one));
    f.recall("g", "mine", 10 * HOUR);
    f.recall("g", "older", HOUR);
    assert!(!f.names(f.one, "g", "mine") && !f.names(f.one, "g", "older"), "what the index knows itself is newer");
    let mut f = f.at(20 * HOUR);
    f.recall("g", "mine", 15 * HOUR);
    assert!(f.names(f.one, "g", "mine"), "it was deleted again when another index was in use");
    f.save("h", "kept");
    f.recall("h", "older", HOUR);
    assert!(!f.names(f.one, "h", "older"), "the share has something there");
}

#[test]
fn of_one_path_only_the_latest_few_are_remembered() {
    let mut f = fixture(HOUR);
    for n in 0..20 {
        f = f.at(HOUR + n);
        f.bury("f", &format!("version {n}"), None);
    }
    let known = (0..20).filter(|n| f.names(f.one, "f", &format!("version {n}"))).collect::<Vec<_>>();
    assert_eq!(known, (12..20).collect::<Vec<_>>());
}

#[test]
fn what_is_over_goes_in_pages_but_not_what_an_old_copy_is_held_for() {
    let mut f = fixture(HOUR);
    for n in 0..5 {
        f.bury(&format!("{n}"), "old", None);
    }
    f.hold(f.other, "3");
    let mut f = f.at(3 * HOUR);
    f.bury("late", "old", None);
    let expire = |f: &Fixture, limit| f.index.expire_tombstones(f.share, Wall(2 * HOUR), limit).expect("forgotten");
    assert_eq!([expire(&f, 3), expire(&f, 3), expire(&f, 3)], [3, 1, 0]);
    assert!(f.names(f.one, "3", "old") && f.names(f.one, "late", "old") && !f.names(f.one, "4", "old"));
    f.index.close(f.other, &path("3")).expect("closed");
    assert_eq!(expire(&f, 3), 1);
    assert_eq!(f.index.expire_tombstones(ShareId(99), Wall(i64::MAX), 3).expect("forgotten"), 0, "of another share");
}

#[test]
fn a_copy_held_below_a_folder_is_found() {
    let mut f = fixture(HOUR);
    f.hold(f.one, "d/e/f");
    let (one, other) = (f.one, f.other);
    let mut below = |target, name: &str| f.index.has_returned_below(target, &path(name)).expect("asked");
    assert!(below(one, "d") && below(one, "d/e"));
    assert!(!below(other, "d") && !below(one, "x"));
}

#[test]
fn what_was_deleted_below_a_folder_is_found() {
    let mut f = fixture(HOUR);
    let nothing = f.index.has_tombstone_below(f.share, &path("d")).expect("asked");
    f.bury("d/e/f", "old", None);
    let share = f.share;
    let mut below = |share, name: &str| f.index.has_tombstone_below(share, &path(name)).expect("asked");
    assert!(!nothing && below(share, "d") && below(share, "d/e"));
    assert!(!below(share, "x") && !below(ShareId(99), "d"));
}

#[test]
fn that_the_share_followed_others_is_not_forgotten_by_what_a_history_tells() {
    let mut f = fixture(HOUR);
    let other = f.other;
    f.bury("f", "old", Some(other));
    f.recall("f", "old", 2 * HOUR);
    assert!(f.index.is_followed(f.one, &path("f"), &file("old")).expect("read"));
    f.recall("f", "old", 3 * HOUR);
    assert!(f.index.is_followed(f.one, &path("f"), &file("old")).expect("read"));
    f.save("f", "old");
    assert!(
        !f.index.is_revived(f.one, &path("f"), &file("old")).expect("read"),
        "it was not the share that deleted it"
    );
}

#[test]
fn what_the_share_has_again_names_nothing_until_it_is_deleted_again() {
    let mut f = fixture(HOUR);
    f.bury("f", "old", None);
    f.save("f", "old");
    assert!(f.index.is_revived(f.one, &path("f"), &file("old")).expect("read"));
    assert!(!f.names(f.one, "f", "old"));
    f.gone("f");
    f.bury("f", "old", None);
    assert!(!f.index.is_revived(f.one, &path("f"), &file("old")).expect("read"));
    assert!(f.names(f.one, "f", "old"));
}
