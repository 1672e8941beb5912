use super::*;
use crate::config::Config;
use crate::engine::state;
use crate::index::{Index, LocalRow, What};
use crate::model::{Digest, Meta, Stamp, Stat, Trouble, Wall};
use crate::plan::Base;

const NOW: Wall = Wall(1_795_442_601_000_000_000);

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a test's path is fine")
}

fn meta() -> Meta {
    Meta { mode: 0o644, mtime: NOW, ..Meta::NOTHING }
}

fn row(index: &Index, len: u64, digest: Option<u8>) -> LocalRow {
    let shape = Shape { kind: Kind::File, len };
    let stat = Stat { shape, ino: 1, ctime: NOW, meta: meta(), nlink: 1, mounted: false };
    LocalRow::fresh(stat, digest.map(|byte| Digest([byte; 32])), index.run())
}

/// A share of which `same` lies on the target, `edited` in another version, `new` not at all; `gone` lies there only, and
/// `odd` cannot be read.
fn asked(dir: &Path) -> State {
    let root = dir.join("papers");
    std::fs::create_dir(&root).expect("made");
    let mut index = Index::open(&dir.join(state::INDEX)).expect("made");
    index.begin(NOW).expect("begun");
    let share = index.register_share("papers", root.as_os_str().as_bytes(), "uid", false).expect("known").id;
    let target = index.register_target(share, "efs", "/mnt/efs").expect("known").id;
    for (name, left) in [("same", 1), ("edited", 1), ("gone", 1)] {
        let content = Content::file(Digest([left; 32]), 5);
        let stamp = Stamp(b"s".as_slice().into());
        index.put_base(target, &path(name), &Base { content, meta: meta(), stamp }).expect("put");
    }
    for (name, digest) in [("same", Some(1)), ("edited", Some(2)), ("new", None)] {
        let row = row(&index, 5, digest);
        index.put_local(share, &path(name), &row).expect("put");
    }
    let gone = LocalRow { state: Presence::Absent, ..row(&index, 5, Some(1)) };
    index.put_local(share, &path("gone"), &gone).expect("put");
    let trouble = Trouble::new("cannot be read", "let it");
    index.begin_trouble(share, &path("odd"), What::Unreadable, &trouble).expect("told");
    index.note(share, Some(target), &path("same"), "put", "01010101").expect("noted");
    index.commit().expect("committed");
    let target_dir = dir.join("copy");
    let config = Config::quick(&[root], &[target_dir], dir.join("state")).expect("fine");
    State { dir: dir.to_owned(), config: Some(config), refused: None, digest: None }
}

fn told(asked: &State, of: &str) -> Explanation {
    let reader = Reader::open(&asked.dir.join(state::INDEX)).expect("opened").expect("there");
    let overview = reader.overview().expect("read");
    let found = places(Path::new(of), &overview.shares);
    let [(share, path)] = &found[..] else { panic!("{found:?}") };
    explained(asked, share, path, &reader.story(share.id, path).expect("read"), Liveness::Running)
}

#[test]
fn the_decision_is_told_in_plain_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = asked(dir.path());
    let table = [
        ("same", "nothing to do: the target holds what the share holds"),
        ("edited", "it is sent"),
        ("new", "it is read and sent"),
        ("gone", "it is moved into history there"),
        ("never/heard/of", "nothing to do: it is neither here nor there"),
    ];
    for (name, decision) in table {
        assert_eq!(told(&asked, name).targets[0].decision, decision, "{name}");
    }
}

#[test]
fn the_whole_story_is_on_one_screen() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = asked(dir.path());
    let screen = Screen { width: 100, zone: jiff::tz::TimeZone::UTC, now: When(NOW) };
    let wanted = "\
papers: same
  on the share: file, 5 B, content 01010101, changed 14:03:21
  on efs: file, 5 B, content 01010101, changed 14:03:21, put or confirmed 14:03:21
    nothing to do: the target holds what the share holds
  what was done
    14:03:21  put on efs: 01010101
";
    assert_eq!(render(&told(&asked, "same"), &screen), wanted);
    let hidden = render(&told(&asked, "x/~$offer.docx"), &screen);
    assert!(hidden.contains("\n  it is left out: the pattern ~$* hides it\n  on the share: not known\n"), "{hidden}");
    assert!(render(&told(&asked, "odd"), &screen).contains("\n    cannot be read, since 14:03:21\n    hint: let it\n"));
    let pending = render(&told(&asked, "edited"), &screen);
    let wanted = "\n    it is sent, since 14:03:21\n    hint: nothing to do: it goes on by itself\n";
    assert!(pending.contains(wanted), "{pending}");
}

#[test]
fn of_what_someone_else_left_there_it_is_told_when_and_whose_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = asked(dir.path());
    let mut index = Index::open(&asked.dir.join(state::INDEX)).expect("opened");
    index.begin(NOW).expect("begun");
    let seen = Seen { shape: Shape { kind: Kind::File, len: 9 }, digest: None, meta: Meta { uid: 1003, ..meta() } };
    let root = dir.path().join("papers");
    let share = index.register_share("papers", root.as_os_str().as_bytes(), "uid", false).expect("known").id;
    let target = index.register_target(share, "efs", "/mnt/efs").expect("known").id;
    let mut open = crate::index::OpenRow::new(NOW);
    open.sight = Sight::Present((Stamp(b"other".as_slice().into()), seen));
    index.put_open(target, &path("edited"), &open).expect("put");
    index.commit().expect("committed");
    drop(index);
    let screen = Screen { width: 100, zone: jiff::tz::TimeZone::UTC, now: When(NOW) };
    let text = render(&told(&asked, "edited"), &screen);
    assert!(text.contains("\n    there now: file, 9 B, changed 14:03:21, of user 1003\n"), "{text}");
    let east = Screen { zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(1)), ..screen };
    let text = render(&told(&asked, "edited"), &east);
    assert!(text.contains("\n    there now: file, 9 B, changed 15:03:21, of user 1003\n"), "{text}");
    assert!(told(&asked, "edited").local.ends_with("changed 2026-11-23T14:03:21Z"), "programs get UTC");
    assert_eq!(told(&asked, "same").targets[0].theirs, None);
}

#[test]
fn where_a_target_waits_for_a_person_nothing_is_said_to_be_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = asked(dir.path());
    let mut index = Index::open(&asked.dir.join(state::INDEX)).expect("opened");
    index.begin(NOW).expect("begun");
    index.set_halt(crate::model::TargetId(1), Some("an accident")).expect("told");
    index.commit().expect("committed");
    drop(index);
    let told = told(&asked, "edited").targets.remove(0);
    assert_eq!(told.decision, "it is sent; but nothing is changed on this target now: it is halted");
    assert_eq!(told.hint, "see driftline status; if that is right: driftline approve papers/efs");
}

#[test]
fn a_path_from_the_root_and_one_in_the_share_are_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let asked = asked(dir.path());
    let absolute = dir.path().join("papers/same");
    assert_eq!(told(&asked, absolute.to_str().expect("plain")), told(&asked, "./same"));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("papers"), &link).expect("linked");
    assert_eq!(told(&asked, link.join("same").to_str().expect("plain")), told(&asked, "same"));
    let reader = Reader::open(&asked.dir.join(state::INDEX)).expect("opened").expect("there");
    let shares = reader.overview().expect("read").shares;
    assert_eq!(places(Path::new("/elsewhere/same"), &shares), []);
    assert_eq!(places(Path::new("../same"), &shares), []);
}
