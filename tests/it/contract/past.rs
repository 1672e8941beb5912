//! What lay on a target before can be told, and had back.

use driftline::index::{Recall, Then};

use super::*;

/// Everything that lies there, by its path: a file's bytes, a link's target, nothing for a folder.
type Tree = BTreeMap<RelPath, Option<Vec<u8>>>;

/// Waits until the servers' clocks, some of which know only seconds, are past now. Returns a time before that.
fn a_moment() -> Wall {
    let (seconds, _) = now().parts();
    while now().parts().0 < seconds + 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Wall::from_parts(seconds + 1, 500_000_000)
}

fn read(target: &dyn Target, at: &RelPath, which: &Which) -> Result<(Seen, Vec<u8>), ReadError> {
    let (mut seen, mut bytes) = (None, Vec::new());
    target.read(at, which, &mut |piece| {
        match piece {
            Piece::Head(head) => seen = Some(*head),
            Piece::Bytes(more) => bytes.extend_from_slice(more),
        }
        Ok(true)
    })?;
    Ok((seen.unwrap(), bytes))
}

fn recalled(target: &dyn Target, under: &RelPath, after: Wall) -> (Recall, Vec<Then>) {
    let mut recall = Recall::new().unwrap();
    target
        .past(&RelPath::root(), after, &mut |past| {
            recall.happened(&past).unwrap();
            true
        })
        .unwrap();
    target
        .list(&mut |page| {
            page.entries.iter().for_each(|(at, remote)| recall.lies(at, &remote.stamp, &remote.seen).unwrap());
            true
        })
        .unwrap();
    recall.put_together(under).unwrap();
    let all = recall.page(None, 1000).unwrap();
    (recall, all)
}

fn tree(target: &dyn Target, all: &[Then]) -> Tree {
    let bytes = |then: &Then| {
        let which = then.which.as_ref()?;
        let (seen, bytes) = read(target, &then.source, which).unwrap();
        (seen.shape.kind != Kind::Folder).then_some(bytes)
    };
    all.iter().map(|then| (then.path.clone(), bytes(then))).collect()
}

fn tree_then(target: &dyn Target, after: Wall) -> Tree {
    tree(target, &recalled(target, &RelPath::root(), after).1)
}

fn expected(all: &[(&str, Option<&[u8]>)]) -> Tree {
    all.iter().map(|(at, bytes)| (path(at), bytes.map(<[u8]>::to_vec))).collect()
}

pub(super) fn what_lay_there_at_any_time_can_be_had_back(fixture: &dyn Fixture) {
    let target = fixture.target();
    let before_all = a_moment();
    fixture.pass_time();
    let one = put(target, &path("d/one"), b"one");
    let two = put(target, &path("d/two"), b"two");
    put(target, &path("gone"), b"gone");
    super::one(target, change(&path("link"), link_to(b"d/one"), Guard::Absent)).unwrap();
    let empty = folder(target, &path("empty"));
    let first = a_moment();
    fixture.pass_time();
    let one_again = replace(target, &path("d/one"), b"one again", one).unwrap().stamp.unwrap();
    let step = change(&path("gone"), Change::Remove, Guard::Unchanged(stamp_at(target, &path("gone"))));
    super::one(target, Step { replaces: Some(digest(b"gone")), ..step }).unwrap();
    let step = change(&path("empty"), Change::Remove, Guard::Unchanged(empty));
    super::one(target, Step { replaces: Some(Digest::FOLDER), ..step }).unwrap();
    put(target, &path("later"), b"later");
    let second = a_moment();
    fixture.pass_time();
    super::one(target, change(&path("d/three"), Change::Move { from: path("d/two") }, Guard::Unchanged(two))).unwrap();
    replace(target, &path("d/one"), b"one for good", one_again).unwrap();
    put(target, &path("d/two"), b"another two");
    put(target, &path("gone"), b"back");
    let third = a_moment();
    let states = [
        (before_all, expected(&[])),
        (
            first,
            expected(&[
                ("d", None),
                ("d/one", Some(b"one")),
                ("d/two", Some(b"two")),
                ("empty", None),
                ("gone", Some(b"gone")),
                ("link", Some(b"d/one")),
            ]),
        ),
        (
            second,
            expected(&[
                ("d", None),
                ("d/one", Some(b"one again")),
                ("d/two", Some(b"two")),
                ("later", Some(b"later")),
                ("link", Some(b"d/one")),
            ]),
        ),
        (
            third,
            expected(&[
                ("d", None),
                ("d/one", Some(b"one for good")),
                ("d/three", Some(b"two")),
                ("d/two", Some(b"another two")),
                ("gone", Some(b"back")),
                ("later", Some(b"later")),
                ("link", Some(b"d/one")),
            ]),
        ),
    ];
    let known = |mut tree: Tree| {
        tree.retain(|_, bytes| bytes.is_some() || fixture.nature().remembers_folders);
        tree
    };
    for (when, wanted) in &states {
        let wanted = known(wanted.clone());
        assert_eq!(known(tree_then(target, *when)), wanted, "{when:?}");
        assert_eq!(known(tree_then(&*fixture.successor(), *when)), wanted, "another run knows it too: {when:?}");
    }
    let (_, below) = recalled(target, &path("d"), first);
    assert_eq!(tree(target, &below).into_keys().collect::<Vec<_>>(), ["d", "d/one", "d/two"].map(path));
    let (_, alone) = recalled(target, &path("gone"), first);
    assert_eq!(tree(target, &alone), expected(&[("gone", Some(b"gone"))]));
}

pub(super) fn a_folder_that_was_renamed_is_had_back_under_its_old_name(fixture: &dyn Fixture) {
    if !fixture.nature().moves_folders {
        return;
    }
    let target = fixture.target();
    let kept = put(target, &path("old/sub/kept"), b"kept");
    put(target, &path("old/changed"), b"before");
    let first = a_moment();
    fixture.pass_time();
    let step =
        change(&path("new"), Change::Move { from: path("old") }, Guard::Unchanged(stamp_at(target, &path("old"))));
    let mut steps = vec![step];
    // In the same call: what is put below the new name and under the old one.
    steps.push(publish_step(target, &path("new/added"), b"added", Guard::Absent, None));
    steps.push(publish_step(target, &path("old"), b"a file now", Guard::Absent, None));
    assert!(target.apply(&steps).iter().all(Result::is_ok));
    replace(target, &path("new/changed"), b"after", stamp_at(target, &path("new/changed"))).unwrap();
    let wanted =
        [("old", None), ("old/changed", Some(&b"before"[..])), ("old/sub", None), ("old/sub/kept", Some(b"kept"))];
    assert_eq!(tree_then(target, first), expected(&wanted));
    // What is read is proved to be what was meant.
    assert!(matches!(read(target, &path("new/changed"), &Which::Now(kept)), Err(ReadError::Target(_))));
}

pub(super) fn a_taker_that_wants_no_more_gets_no_more(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let stamp = put(target, &a, &vec![7; 3_000_000]);
    let which = Which::Now(stamp);
    let (mut heads, mut bytes) = (0, 0);
    target
        .read(&a, &which, &mut |piece| {
            match piece {
                Piece::Head(seen) => heads += usize::from(seen.shape.len == 3_000_000),
                Piece::Bytes(_) => bytes += 1,
            }
            Ok(false)
        })
        .unwrap();
    assert_eq!((heads, bytes), (1, 0));
    let failing: Take<'_> = &mut |_| Err(std::io::Error::other("no room"));
    assert!(matches!(target.read(&a, &which, failing), Err(ReadError::Taker(_))));
    let mut told = 0;
    let stamp = stamp_at(target, &a);
    replace(target, &a, b"x", stamp).unwrap();
    target
        .past(&RelPath::root(), Wall(0), &mut |_| {
            told += 1;
            false
        })
        .unwrap();
    assert_eq!(told, 1);
}

pub(super) fn what_vanished_and_was_put_back_counts_as_having_been_there(fixture: &dyn Fixture) {
    let target = fixture.target();
    let when = a_moment();
    fixture.pass_time();
    let step = publish_step(target, &path("a"), b"ours", Guard::Absent, Some(b"ours"));
    super::one(target, step).unwrap();
    let told = tree_then(target, when);
    // A bucket that keeps versions knows better.
    assert_eq!(told.contains_key(&path("a")), !fixture.nature().names_versions);
}
