//! Promises that hold for every kind of target.

use super::*;
pub(super) use past::*;

macro_rules! contract {
    ($kind:ident, $fixture:expr) => {
        everywhere::contract!(@ $kind, true, $fixture);
    };
    ($kind:ident, slow $what:literal, $fixture:expr) => {
        everywhere::contract!(@ $kind, crate::office::is_slow_run($what), $fixture);
    };
    (@ $kind:ident, $runs:expr, $fixture:expr) => {
        everywhere::contract!(@ $kind, $runs, $fixture,
            a_file_is_what_was_brought,
            readers_see_the_old_version_or_the_new_one,
            nothing_is_put_over_what_is_there,
            an_old_stamp_changes_nothing,
            foreign_versions_are_replaced_only_by_their_own_stamp,
            meta_may_change_between_staging_and_publishing,
            a_repeated_change_does_no_harm,
            history_holds_every_version_that_was_replaced_or_removed,
            odd_names_are_kept_as_they_are,
            a_listing_is_complete_and_without_what_is_ours,
            a_listing_ends_when_told_to,
            a_source_that_changes_leaves_nothing,
            a_source_that_restarts_is_its_last_version,
            each_of_many_files_gets_its_own_answer,
            another_place_is_offline_and_stays_as_it_is,
            a_place_without_identity_is_offline_and_stays_as_it_is,
            a_folder_that_is_not_empty_is_left,
            a_folder_gives_way_to_a_file_only_if_it_is_empty,
            a_file_gives_way_to_a_folder_into_history,
            making_a_folder_that_is_there_is_success,
            a_folder_keeps_its_stamp,
            meta_is_changed_alone,
            an_access_list_is_carried_with_the_file_and_alone_and_kept_with_its_versions,
            links_stay_links,
            a_move_takes_all_that_lies_below,
            a_move_replaces_nothing,
            a_file_on_the_way_is_not_written_through,
            no_folder_is_made_on_the_way,
            names_of_ours_are_refused,
            steps_of_one_call_are_made_in_order,
            what_is_discarded_cannot_be_published,
            earlier_runs_are_swept,
            history_is_pruned_by_its_time,
            pruning_leaves_the_newest_of_what_is_there_or_wanted,
            what_lay_there_at_any_time_can_be_had_back,
            a_folder_that_was_renamed_is_had_back_under_its_old_name,
            a_taker_that_wants_no_more_gets_no_more,
            what_vanished_and_was_put_back_counts_as_having_been_there,
        );
    };
    (@ $kind:ident, $runs:expr, $fixture:expr, $($promise:ident,)*) => {
        mod $kind {
            use super::*;
            $(#[test] fn $promise() { if $runs { everywhere::$promise(&$fixture); } })*
        }
    };
}
pub(super) use contract;

pub(super) fn a_file_is_what_was_brought(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("x/y/a"));
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    folders_above(target, &a);
    let placed = one(target, publish_step(target, &a, &bytes, Guard::Absent, None)).unwrap();
    assert_eq!(placed.meta, Some(meta()));
    assert_eq!(fixture.bytes(&a), Some(bytes.clone()));
    let looked = target.look(&a, Depth::Content).unwrap().unwrap();
    assert_eq!(Some(looked.stamp), placed.stamp);
    let shape = Shape { kind: Kind::File, len: bytes.len() as u64 };
    assert_eq!(looked.seen, Seen { shape, digest: Some(digest(&bytes)), meta: meta() });
    assert_eq!(target.look(&path("x/z"), Depth::Content).unwrap(), None);
    assert_eq!(target.look(&path("x/y/a/below"), Depth::Content).unwrap(), None);
    assert_eq!(fixture.staged(), 0);
}

pub(super) fn readers_see_the_old_version_or_the_new_one(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let version = |n: u8| vec![n; 50_000];
    let mut stamp = put(target, &a, &version(0));
    let (begun, done) = (std::sync::Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Also if the writer fails.
        let ended = AtEnd(|| done.store(true, Ordering::Relaxed));
        let reader = scope.spawn(|| {
            begun.wait();
            while !done.load(Ordering::Relaxed) {
                let bytes = fixture.bytes(&a).expect("never missing");
                assert!(bytes.len() == 50_000 && bytes.iter().all(|b| *b == bytes[0]), "a partial version");
            }
            assert_eq!(fixture.bytes(&a), Some(version(39)));
        });
        begun.wait();
        for n in 1..40 {
            stamp = replace(target, &a, &version(n), stamp.clone()).unwrap().stamp.unwrap();
        }
        drop(ended);
        reader.join().unwrap();
    });
    assert_eq!(fixture.history(&a), (0..39).map(version).collect::<Vec<_>>());
}

struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        self.0();
    }
}

pub(super) fn nothing_is_put_over_what_is_there(fixture: &dyn Fixture) {
    let (target, a, f) = (fixture.target(), path("a"), path("f"));
    fixture.outsider_writes(&a, b"theirs");
    folder(target, &f);
    for at in [&a, &f] {
        assert_eq!(fault(one(target, publish_step(target, at, b"ours", Guard::Absent, None))), Fault::Stale);
        assert_eq!(fault(one(target, change(at, link_to(b"ours"), Guard::Absent))), Fault::Stale);
    }
    assert_eq!(fault(one(target, change(&a, Change::MakeFolder { meta: meta() }, Guard::Absent))), Fault::Stale);
    assert_eq!(fixture.bytes(&a), Some(b"theirs".to_vec()));
    assert!(fixture.history(&a).is_empty());
    assert_eq!(target.look(&f, Depth::Stamp).unwrap().unwrap().seen.shape.kind, Kind::Folder);
}

pub(super) fn an_old_stamp_changes_nothing(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let old = put(target, &a, b"one");
    fixture.outsider_writes(&a, b"two");
    let (before, stale) = (listing(target), || Guard::Unchanged(old.clone()));
    let changes = [
        change(&a, link_to(b"x"), stale()),
        change(&a, Change::MakeFolder { meta: meta() }, stale()),
        change(&a, Change::SetMeta { meta: Meta { mode: 0o600, ..meta() } }, stale()),
        change(&path("b"), Change::Move { from: a.clone() }, stale()),
        change(&a, Change::Remove, stale()),
        publish_step(target, &a, b"ours", stale(), None),
        publish_step(target, &path("gone"), b"ours", stale(), None),
        publish_step(target, &path("gone/too"), b"ours", stale(), None),
        change(&path("gone"), Change::Remove, stale()),
        change(&path("gone"), Change::SetMeta { meta: meta() }, stale()),
    ];
    for step in changes {
        assert_eq!(fault(one(target, step.clone())), Fault::Stale, "{step:?}");
        assert_eq!(listing(target), before, "{step:?}");
    }
    assert_eq!(fixture.bytes(&a), Some(b"two".to_vec()));
    // Where each change leaves a version, the outsider's did.
    let kept = if fixture.nature().names_versions { vec![b"one".to_vec()] } else { vec![] };
    assert_eq!(fixture.history(&a), kept);
}

pub(super) fn foreign_versions_are_replaced_only_by_their_own_stamp(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    fixture.outsider_writes(&a, b"theirs");
    let stamp = stamp_at(target, &a);
    replace(target, &a, b"ours", stamp).unwrap();
    assert_eq!(fixture.bytes(&a), Some(b"ours".to_vec()));
    assert_eq!(fixture.history(&a), [b"theirs".to_vec()]);
}

pub(super) fn meta_may_change_between_staging_and_publishing(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let staged = stage(target, b"x");
    let wanted = Meta { mode: 0o400, mtime: Wall(5), ..meta() };
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: wanted };
    let placed = one(target, change(&a, publish, Guard::Absent)).unwrap();
    assert_eq!(placed.meta, Some(wanted));
    assert_eq!(target.look(&a, Depth::Stamp).unwrap().unwrap().seen.meta, wanted);
}

pub(super) fn a_repeated_change_does_no_harm(fixture: &dyn Fixture) {
    let (target, a, b) = (fixture.target(), path("a"), path("b"));
    let first = put(target, &a, b"one");
    let step = publish_step(target, &a, b"two", Guard::Unchanged(first), None);
    let stamp = one(target, step.clone()).unwrap().stamp.unwrap();
    assert_eq!(fault(one(target, step)), Fault::Unstaged);
    assert_eq!(fixture.history(&a), [b"one".to_vec()]);

    let step = change(&b, Change::Move { from: a.clone() }, Guard::Unchanged(stamp));
    let stamp = one(target, step.clone()).unwrap().stamp.unwrap();
    assert_eq!(fault(one(target, step)), Fault::Stale);
    assert_eq!(fixture.bytes(&b), Some(b"two".to_vec()));

    let step = change(&b, Change::Remove, Guard::Unchanged(stamp));
    one(target, step.clone()).unwrap();
    assert_eq!(fault(one(target, step)), Fault::Stale);
    assert_eq!((fixture.bytes(&b), fixture.history(&b)), (None, vec![b"two".to_vec()]));
}

pub(super) fn history_holds_every_version_that_was_replaced_or_removed(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("deep/er/a"));
    let versions: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![n; 1000 * usize::from(n)]).collect();
    let mut stamp = put(target, &a, &versions[0]);
    for version in &versions[1..] {
        stamp = replace(target, &a, version, stamp).unwrap().stamp.unwrap();
    }
    let linked = one(target, change(&a, link_to(b"to"), Guard::Unchanged(stamp))).unwrap();
    let placed = one(target, change(&a, Change::Remove, Guard::Unchanged(linked.stamp.unwrap()))).unwrap();
    assert_eq!(Placed { version: None, ..placed.clone() }, Placed::default());
    assert_eq!(placed.version.is_some(), fixture.nature().names_versions);
    assert_eq!(fixture.bytes(&a), None);
    let wanted: Vec<_> = versions.into_iter().chain([b"to".to_vec()]).collect();
    assert_eq!(fixture.history(&a), wanted);
}

fn odd_names(longest: usize) -> Vec<RelPath> {
    let long = "n".repeat(longest);
    let names: [&[u8]; 8] = [
        b"\xff\xfe",
        long.as_bytes(),
        b" ",
        b"a\nb",
        b"-rf",
        b"...",
        b"e\xcc\x81",
        b"20261123T174904.123456789Z-abababab",
    ];
    names.iter().flat_map(|name| [path(name), path([b"f/", *name].concat())]).collect()
}

pub(super) fn odd_names_are_kept_as_they_are(fixture: &dyn Fixture) {
    let target = fixture.target();
    let names = odd_names(fixture.nature().longest_name);
    for name in names.clone() {
        let stamp = put(target, &name, b"one");
        replace(target, &name, name.as_bytes(), stamp).unwrap();
        assert_eq!(fixture.bytes(&name), Some(name.as_bytes().to_vec()), "{name}");
        assert_eq!(fixture.history(&name), [b"one".to_vec()], "{name}");
    }
    let listed: BTreeSet<_> = listing(target).into_keys().collect();
    assert_eq!(listed, names.into_iter().chain([path("f")]).collect());
}

pub(super) fn a_listing_is_complete_and_without_what_is_ours(fixture: &dyn Fixture) {
    let target = fixture.target();
    let mut wanted = BTreeSet::new();
    for n in 0..25 {
        let at = path(format!("f{}/{n}", n % 3));
        wanted.extend([at.clone(), at.parent().unwrap()]);
        let stamp = put(target, &at, b"x");
        replace(target, &at, b"y", stamp).unwrap();
    }
    folder(target, &path("empty"));
    wanted.insert(path("empty"));
    let all = remotes(target);
    assert_eq!(all.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    for (path, listed) in all {
        let looked = target.look(&path, Depth::Stamp).unwrap().unwrap();
        if fixture.nature().listings_tell_all {
            // Of a file's access control list a listing need not tell.
            let mut told = listed.clone();
            told.seen.meta.acl = listed.seen.meta.acl.or(looked.seen.meta.acl);
            assert_eq!(looked, told);
        } else {
            assert_eq!((looked.stamp, looked.seen.shape), (listed.stamp, listed.seen.shape), "{path}");
            assert_eq!((listed.seen.digest, listed.seen.meta.mode), (None, Meta::NOT_KNOWN), "{path}");
        }
    }
}

pub(super) fn a_listing_ends_when_told_to(fixture: &dyn Fixture) {
    let target = fixture.target();
    (0..9).for_each(|n| _ = put(target, &path(format!("f{n}/a")), b"x"));
    let mut pages = 0;
    let answer = target.list(&mut |_| {
        pages += 1;
        pages < 2
    });
    answer.unwrap();
    assert_eq!(pages, 2);
}

pub(super) fn a_source_that_changes_leaves_nothing(fixture: &dyn Fixture) {
    let target = fixture.target();
    let before = listing(target);
    let answers = target.stage(&[path("a")], &mut |_, sink| {
        sink.bytes(b"half a ver").unwrap();
        Err(ReadFault::Busy("it changed".to_owned()))
    });
    assert!(matches!(&answers[..], [Err(StageError::Read(ReadFault::Busy(why)))] if why == "it changed"));
    assert_eq!((listing(target), fixture.staged()), (before, 0));
}

pub(super) fn a_source_that_restarts_is_its_last_version(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let answers = target.stage(std::slice::from_ref(&a), &mut |_, sink| {
        sink.bytes(b"a longer first version").unwrap();
        sink.hole(100_000).unwrap();
        sink.restart().unwrap();
        bring(b"short", sink)
    });
    let staged = answers.into_iter().next().unwrap().unwrap();
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    one(target, change(&a, publish, Guard::Absent)).unwrap();
    assert_eq!(fixture.bytes(&a), Some(b"short".to_vec()));
}

/// More than are flushed each for itself, with failures among them.
pub(super) fn each_of_many_files_gets_its_own_answer(fixture: &dyn Fixture) {
    let target = fixture.target();
    let paths: Vec<_> = (0..60).map(|n| path(format!("f{}/{n}", n % 20))).collect();
    paths.iter().for_each(|path| folders_above(target, path));
    let answers = target.stage(&paths, &mut |path, sink| {
        if path.name().ends_with(b"7") { Err(ReadFault::Absent) } else { bring(path.as_bytes(), sink) }
    });
    let mut steps = Vec::new();
    for (path, answer) in paths.iter().zip(answers) {
        if path.name().ends_with(b"7") {
            assert!(matches!(answer, Err(StageError::Read(ReadFault::Absent))), "{path}");
        } else {
            let staged = answer.unwrap();
            assert_eq!(staged.reading.content.digest, digest(path.as_bytes()));
            let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
            steps.push(change(path, publish, Guard::Absent));
        }
    }
    fixture.outsider_writes(&steps[0].path, b"theirs");
    let answers = target.apply(&steps);
    assert_eq!(answers.iter().position(Result::is_err), Some(0));
    assert!(answers.iter().skip(1).all(Result::is_ok));
    assert!(steps.iter().skip(1).all(|step| fixture.bytes(&step.path).as_deref() == Some(step.path.as_bytes())));
    assert_eq!(fixture.bytes(&steps[0].path), Some(b"theirs".to_vec()));
}

fn assert_offline(fixture: &dyn Fixture, staged: Staged, stamp: Stamp) {
    let (target, a) = (fixture.target(), path("a"));
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    for bind in [Bind::Never, Bind::IfUnbound] {
        assert_eq!(fault(target.probe(bind)), Fault::Offline);
    }
    assert_eq!(fault(target.look(&a, Depth::Stamp)), Fault::Offline);
    assert_eq!(fault(target.list(&mut |_| panic!("a page of another place"))), Fault::Offline);
    let steps = [
        change(&a, publish, Guard::Unchanged(stamp.clone())),
        change(&path("f"), Change::MakeFolder { meta: meta() }, Guard::Absent),
        change(&a, Change::Remove, Guard::Unchanged(stamp)),
    ];
    for answer in target.apply(&steps) {
        assert_eq!(fault(answer), Fault::Offline);
    }
    let answers = target.stage(&[a], &mut |_, _| panic!("nothing is read for another place"));
    assert!(matches!(&answers[..], [Err(StageError::Target(err))] if err.fault == Fault::Offline));
    assert_eq!(fault(target.sweep()), Fault::Offline);
    assert_eq!(fault(prune(target, i64::MAX)), Fault::Offline);
    assert_eq!(fault(target.free()), Fault::Offline);
    target.discard(&[staged.token]);
    assert!(fixture.is_untouched());
}

pub(super) fn another_place_is_offline_and_stays_as_it_is(fixture: &dyn Fixture) {
    let stamp = put(fixture.target(), &path("a"), b"one");
    let staged = stage(fixture.target(), b"two");
    fixture.swap();
    assert_offline(fixture, staged, stamp);
}

pub(super) fn a_place_without_identity_is_offline_and_stays_as_it_is(fixture: &dyn Fixture) {
    let stamp = put(fixture.target(), &path("a"), b"one");
    let staged = stage(fixture.target(), b"two");
    fixture.unmount();
    assert_offline(fixture, staged, stamp);
}

pub(super) fn a_folder_that_is_not_empty_is_left(fixture: &dyn Fixture) {
    let (target, f) = (fixture.target(), path("f"));
    let stamp = folder(target, &f);
    fixture.outsider_writes(&path("f/theirs"), b"theirs");
    let remove = || change(&f, Change::Remove, Guard::Unchanged(stamp.clone()));
    assert_eq!(fault(one(target, remove())), Fault::Occupied);
    assert_eq!(fixture.bytes(&path("f/theirs")), Some(b"theirs".to_vec()));
    let theirs = stamp_at(target, &path("f/theirs"));
    one(target, change(&path("f/theirs"), Change::Remove, Guard::Unchanged(theirs))).unwrap();
    one(target, remove()).unwrap();
    assert_eq!(target.look(&f, Depth::Stamp).unwrap(), None);
    assert_eq!(fault(one(target, remove())), Fault::Stale);
}

pub(super) fn a_folder_gives_way_to_a_file_only_if_it_is_empty(fixture: &dyn Fixture) {
    let (target, f, inside) = (fixture.target(), path("f"), path("f/theirs"));
    let stamp = folder(target, &f);
    fixture.outsider_writes(&inside, b"theirs");
    assert_eq!(fault(replace(target, &f, b"ours", stamp.clone())), Fault::Unfit);
    assert_eq!(fault(one(target, change(&f, link_to(b"to"), Guard::Unchanged(stamp.clone())))), Fault::Unfit);
    assert_eq!(fixture.bytes(&inside), Some(b"theirs".to_vec()));
    let theirs = stamp_at(target, &inside);
    one(target, change(&inside, Change::Remove, Guard::Unchanged(theirs))).unwrap();
    replace(target, &f, b"ours", stamp).unwrap();
    assert_eq!(fixture.bytes(&f), Some(b"ours".to_vec()));
    assert!(fixture.history(&f).is_empty());
}

pub(super) fn a_file_gives_way_to_a_folder_into_history(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let stamp = put(target, &a, b"one");
    let meta = Meta { mode: 0o750, ..meta() };
    let placed = one(target, change(&a, Change::MakeFolder { meta }, Guard::Unchanged(stamp))).unwrap();
    let looked = target.look(&a, Depth::Stamp).unwrap().unwrap();
    assert_eq!((Some(looked.stamp), looked.seen.shape.kind), (placed.stamp, Kind::Folder));
    assert_carries(fixture, &a, meta);
    assert_eq!(fixture.history(&a), [b"one".to_vec()]);
    put(target, &path("a/b"), b"below");
    assert_eq!(fixture.staged(), 0);
}

pub(super) fn making_a_folder_that_is_there_is_success(fixture: &dyn Fixture) {
    let (target, f) = (fixture.target(), path("f"));
    put(target, &path("f/a"), b"x");
    let there = stamp_at(target, &f);
    let meta = Meta { mode: 0o711, ..meta() };
    let placed = one(target, change(&f, Change::MakeFolder { meta }, Guard::Absent)).unwrap();
    assert_eq!(placed, Placed { stamp: Some(there), meta: Some(meta), ..Placed::default() });
    assert_carries(fixture, &f, meta);
}

pub(super) fn a_folder_keeps_its_stamp(fixture: &dyn Fixture) {
    let (target, f, g) = (fixture.target(), path("f"), path("g"));
    let stamp = folder(target, &f);
    put(target, &path("f/a"), b"x");
    assert_eq!(stamp_at(target, &f), stamp);
    let moved = one(target, change(&g, Change::Move { from: f.clone() }, Guard::Unchanged(stamp.clone())));
    if fixture.nature().moves_folders {
        assert_eq!(moved.unwrap().stamp, Some(stamp.clone()));
        assert_eq!(stamp_at(target, &g), stamp);
    } else {
        assert_eq!(fault(moved), Fault::Unfit);
        assert_eq!((stamp_at(target, &f), target.look(&g, Depth::Stamp).unwrap()), (stamp, None));
    }
}

pub(super) fn meta_is_changed_alone(fixture: &dyn Fixture) {
    let (target, a, f, l) = (fixture.target(), path("a"), path("f"), path("l"));
    let old = put(target, &a, b"one");
    folder(target, &f);
    one(target, change(&l, link_to(b"a"), Guard::Absent)).unwrap();
    for at in [&a, &f, &l] {
        let mode = if at == &l { 0o777 } else { 0o4755 };
        let wanted = Meta { mode, mtime: Wall(-1_234_567_891), ..meta() };
        let guard = Guard::Unchanged(stamp_at(target, at));
        let placed = one(target, change(at, Change::SetMeta { meta: wanted }, guard)).unwrap();
        assert_eq!((placed.stamp, placed.meta), (Some(stamp_at(target, at)), Some(wanted)), "{at}");
        assert_carries(fixture, at, wanted);
    }
    assert_eq!(stamp_at(target, &a) != old, fixture.nature().stamps_tell_of_meta);
    assert_eq!((fixture.bytes(&a), fixture.bytes(&l)), (Some(b"one".to_vec()), Some(b"a".to_vec())));
    let kept = if fixture.nature().names_versions { vec![b"one".to_vec()] } else { vec![] };
    assert_eq!(fixture.history(&a), kept);
}

pub(super) fn an_access_list_is_carried_with_the_file_and_alone_and_kept_with_its_versions(fixture: &dyn Fixture) {
    let (target, a, f) = (fixture.target(), path("a"), path("f"));
    let list = |text| Acl::parse(text).unwrap();
    let (one_list, other_list) =
        (list("u::rw-,u:4242:r--,g::r--,m::r--,o::---"), list("u::rw-,g::---,g:4243:rw-,m::rw-,o::---"));
    let handed_on = list("u::rwx,g::r-x,g:4243:rwx,m::rwx,o::---,d:u::rwx,d:g::r-x,d:g:4243:rwx,d:m::rwx,d:o::---");
    let staged = stage(target, b"one");
    let listed = Meta { acl: one_list, ..meta() };
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: listed };
    let placed = one(target, change(&a, publish, Guard::Absent)).unwrap();
    assert_eq!(placed.meta, Some(listed));
    assert_carries(fixture, &a, listed);
    // What is made in a folder that hands a list on has its own all the same.
    let folder_meta = Meta { mode: 0o770, acl: handed_on, ..meta() };
    one(target, change(&f, Change::MakeFolder { meta: folder_meta }, Guard::Absent)).unwrap();
    assert_carries(fixture, &f, folder_meta);
    let inner = Meta { mode: 0o700, ..meta() };
    one(target, change(&path("f/g"), Change::MakeFolder { meta: inner }, Guard::Absent)).unwrap();
    assert_carries(fixture, &path("f/g"), inner);
    put(target, &path("f/plain"), b"plain");
    assert_carries(fixture, &path("f/plain"), meta());
    // Alone.
    let changed = Meta { mode: 0o660, acl: other_list, ..meta() };
    let guard = |at: &RelPath| Guard::Unchanged(stamp_at(target, at));
    let placed = one(target, change(&a, Change::SetMeta { meta: changed }, guard(&a))).unwrap();
    assert_eq!((placed.stamp, placed.meta), (Some(stamp_at(target, &a)), Some(changed)));
    assert_carries(fixture, &a, changed);
    assert_eq!(fixture.bytes(&a), Some(b"one".to_vec()), "no content was sent");
    // With its version, and away.
    replace(target, &a, b"two", stamp_at(target, &a)).unwrap();
    assert_carries(fixture, &a, meta());
    one(target, change(&f, Change::SetMeta { meta: meta() }, guard(&f))).unwrap();
    assert_carries(fixture, &f, meta());
    let mut kept = Vec::new();
    let mut take = |past| {
        if let Past::Changed { path, was: Was::Version(version), .. } = past {
            kept.extend((path == a).then_some(version.which));
        }
        true
    };
    target.past(&a, Wall(0), &mut take).unwrap();
    let lists = kept.iter().map(|which| {
        let mut acl = Acl::NotKnown;
        let mut head = |piece: Piece<'_>| {
            if let Piece::Head(seen) = piece {
                acl = seen.meta.acl;
            }
            Ok(false)
        };
        target.read(&a, which, &mut head).unwrap();
        acl
    });
    assert!(lists.into_iter().any(|list| list == other_list), "the version has the list that it had");
}

/// A look sees `wanted`; of a folder that carries nothing, it sees nothing.
fn assert_carries(fixture: &dyn Fixture, at: &RelPath, wanted: Meta) {
    let seen = fixture.target().look(at, Depth::Stamp).unwrap().unwrap().seen;
    if seen.shape.kind == Kind::Folder && !fixture.nature().folders_carry_meta {
        let none = Meta::NOT_KNOWN;
        assert_eq!((seen.meta.mode, seen.meta.uid, seen.meta.gid), (none, none, none), "{at}");
    } else {
        assert_eq!(seen.meta, wanted, "{at}");
    }
}

pub(super) fn links_stay_links(fixture: &dyn Fixture) {
    let (target, l) = (fixture.target(), path("l"));
    let to = b"/nowhere/\xff at all";
    let placed = one(target, change(&l, link_to(to), Guard::Absent)).unwrap();
    let looked = target.look(&l, Depth::Stamp).unwrap().unwrap();
    assert_eq!(Some(looked.stamp), placed.stamp);
    assert_eq!(looked.seen.content(), Some(Content::symlink(digest(to), to.len() as u64)));
    assert_eq!(looked.seen.meta.mtime, meta().mtime);
    let listed = listing(target)[&l];
    if fixture.nature().listings_tell_all {
        assert_eq!(listed.digest, Some(digest(to)));
    } else {
        assert_eq!((listed.shape, listed.digest), (Shape { kind: Kind::File, len: 0 }, None));
    }
    replace(target, &l, b"a file", placed.stamp.unwrap()).unwrap();
    assert_eq!(fixture.bytes(&l), Some(b"a file".to_vec()));
    assert_eq!(fixture.history(&l), [to.to_vec()]);
}

pub(super) fn a_move_takes_all_that_lies_below(fixture: &dyn Fixture) {
    let target = fixture.target();
    put(target, &path("f/g/a"), b"one");
    put(target, &path("f-not/a"), b"two");
    let guard = Guard::Unchanged(stamp_at(target, &path("f")));
    folder(target, &path("new"));
    let step = change(&path("new/place"), Change::Move { from: path("f") }, guard.clone());
    if !fixture.nature().moves_folders {
        let before = listing(target);
        assert_eq!(fault(one(target, step)), Fault::Unfit);
        return assert_eq!(listing(target), before);
    }
    one(target, step).unwrap();
    assert_eq!(fixture.bytes(&path("new/place/g/a")), Some(b"one".to_vec()));
    assert_eq!(fixture.bytes(&path("f-not/a")), Some(b"two".to_vec()));
    assert_eq!(target.look(&path("f"), Depth::Stamp).unwrap(), None);
    let inside = change(&path("new/place/g/h"), Change::Move { from: path("new/place") }, guard);
    assert_eq!(fault(one(target, inside)), Fault::Unfit);
}

pub(super) fn a_move_replaces_nothing(fixture: &dyn Fixture) {
    let (target, a, b) = (fixture.target(), path("a"), path("b"));
    let stamp = put(target, &a, b"one");
    fixture.outsider_writes(&b, b"theirs");
    let step = change(&b, Change::Move { from: a.clone() }, Guard::Unchanged(stamp.clone()));
    assert_eq!(fault(one(target, step)), Fault::Stale);
    assert_eq!((fixture.bytes(&a), fixture.bytes(&b)), (Some(b"one".to_vec()), Some(b"theirs".to_vec())));
    assert_eq!(stamp_at(target, &a), stamp);
}

pub(super) fn a_file_on_the_way_is_not_written_through(fixture: &dyn Fixture) {
    let target = fixture.target();
    fixture.outsider_writes(&path("a"), b"theirs");
    let step = publish_step(target, &path("a/b"), b"ours", Guard::Absent, None);
    assert_eq!(fault(one(target, step)), Fault::Unfit);
    assert_eq!(fixture.bytes(&path("a")), Some(b"theirs".to_vec()));
    assert_eq!(target.look(&path("a/b"), Depth::Content).unwrap(), None);
}

pub(super) fn no_folder_is_made_on_the_way(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("a"));
    let stamp = put(target, &a, b"ours");
    let before = listing(target);
    let steps = |at: &RelPath| {
        [
            publish_step(target, at, b"x", Guard::Absent, None),
            change(at, link_to(b"x"), Guard::Absent),
            change(at, Change::MakeFolder { meta: meta() }, Guard::Absent),
            change(at, Change::Move { from: a.clone() }, Guard::Unchanged(stamp.clone())),
        ]
    };
    for (at, refusal) in [("f/x", Fault::NoFolder), ("f/g/x", Fault::NoFolder), ("a/x", Fault::Unfit)] {
        let steps = steps(&path(at));
        // Under itself is another matter.
        for step in steps.iter().take(if at == "a/x" { 3 } else { 4 }) {
            assert_eq!(fault(one(target, step.clone())), refusal, "{step:?}");
            assert_eq!(listing(target), before, "{step:?}");
        }
    }
    let staged = publish_step(target, &path("f/x"), b"later", Guard::Absent, None);
    assert_eq!(fault(one(target, staged.clone())), Fault::NoFolder);
    folder(target, &path("f"));
    one(target, staged).expect("what was staged is still there once its folder is");
}

pub(super) fn names_of_ours_are_refused(fixture: &dyn Fixture) {
    let target = fixture.target();
    for at in [RelPath::root(), path(".driftline"), path(".driftline/identity")] {
        assert_eq!(fault(one(target, publish_step(target, &at, b"x", Guard::Absent, None))), Fault::Unfit, "{at}");
    }
    target.probe(Bind::Never).unwrap();
}

pub(super) fn steps_of_one_call_are_made_in_order(fixture: &dyn Fixture) {
    let target = fixture.target();
    let old = put(target, &path("f/a"), b"one");
    let f = stamp_at(target, &path("f"));
    let steps = [
        change(&path("g"), Change::MakeFolder { meta: meta() }, Guard::Absent),
        change(&path("g/a"), Change::Move { from: path("f/a") }, Guard::Unchanged(old)),
        change(&path("f"), Change::Remove, Guard::Unchanged(f)),
        publish_step(target, &path("f"), b"a file now", Guard::Absent, None),
    ];
    assert!(target.apply(&steps).iter().all(Result::is_ok));
    assert_eq!(fixture.bytes(&path("g/a")), Some(b"one".to_vec()));
    assert_eq!(fixture.bytes(&path("f")), Some(b"a file now".to_vec()));
}

pub(super) fn what_is_discarded_cannot_be_published(fixture: &dyn Fixture) {
    let target = fixture.target();
    let staged = stage(target, b"x");
    assert_eq!(fixture.staged(), usize::from(fixture.nature().stages_in_place));
    target.discard(&[staged.token]);
    target.discard(&[staged.token]);
    assert_eq!(fixture.staged(), 0);
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    assert_eq!(fault(one(target, change(&path("a"), publish, Guard::Absent))), Fault::Unstaged);
    let wrong = stage(target, b"y");
    let publish = Change::Publish { token: wrong.token, content: staged.reading.content, meta: meta() };
    assert_eq!(fault(one(target, change(&path("a"), publish, Guard::Absent))), Fault::Unstaged);
    assert_eq!(target.look(&path("a"), Depth::Stamp).unwrap(), None);
}

pub(super) fn earlier_runs_are_swept(fixture: &dyn Fixture) {
    let staged = stage(fixture.target(), b"x");
    put(fixture.target(), &path("a"), b"visible");
    let in_place = fixture.nature().stages_in_place;
    assert_eq!(fixture.successor().sweep().unwrap(), u64::from(in_place));
    assert_eq!(fixture.staged(), 0);
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    let publish = |target: &dyn Target| one(target, change(&path("b"), publish.clone(), Guard::Absent));
    assert_eq!(fault(publish(&*fixture.successor())), Fault::Unstaged);
    assert_eq!(publish(fixture.target()).is_ok(), !in_place);
    assert_eq!(fixture.bytes(&path("a")), Some(b"visible".to_vec()));
    assert_eq!(fixture.successor().sweep().unwrap(), 0);
}

pub(super) fn history_is_pruned_by_its_time(fixture: &dyn Fixture) {
    let (target, a) = (fixture.target(), path("f/a"));
    let stamp = put(target, &a, b"one");
    replace(target, &a, b"two", stamp).unwrap();
    assert_eq!(prune(target, 0).unwrap(), 0);
    assert_eq!(fixture.history(&a), [b"one".to_vec()]);
    let prunes = fixture.nature().prunes;
    let stays = if prunes { vec![] } else { vec![b"one".to_vec()] };
    assert_eq!(prune(target, i64::MAX).unwrap(), u64::from(prunes));
    assert_eq!(fixture.history(&a), stays);
    assert_eq!(fixture.bytes(&a), Some(b"two".to_vec()));
    let stamp = stamp_at(target, &a);
    replace(target, &a, b"three", stamp).unwrap();
    assert_eq!(fixture.history(&a), [stays, vec![b"two".to_vec()]].concat());
}

pub(super) fn pruning_leaves_the_newest_of_what_is_there_or_wanted(fixture: &dyn Fixture) {
    if !fixture.nature().prunes {
        return;
    }
    let target = fixture.target();
    let paths: Vec<_> = ["f/there", "f/wanted", "f/gone", "f-x", "f/disputed"].into_iter().map(path).collect();
    for at in &paths {
        let stamp = put(target, at, b"one");
        let stamp = replace(target, at, b"two", stamp).unwrap().stamp.unwrap();
        replace(target, at, b"three", stamp).unwrap();
    }
    let all = Keep { before: Wall(i64::MAX), floor: 1 };
    let lies = |at: &RelPath| match at.name() {
        b"wanted" => Lies::Wanted,
        b"gone" => Lies::Gone,
        b"disputed" => Lies::Disputed,
        _ => Lies::There,
    };
    assert_eq!(target.prune(&Keep { floor: 0, before: Wall(0) }, &lies).unwrap(), 0);
    assert_eq!(target.prune(&all, &lies).unwrap(), 3 + 2);
    let newest = vec![b"two".to_vec()];
    let all_of_it = vec![b"one".to_vec(), b"two".to_vec()];
    for (at, left) in paths.iter().zip([newest.clone(), newest.clone(), vec![], newest.clone(), all_of_it]) {
        assert_eq!(fixture.history(at), left, "{at}");
        assert_eq!(fixture.bytes(at), Some(b"three".to_vec()), "{at}");
    }
    let none = Keep { floor: 0, ..all };
    assert_eq!(target.prune(&none, &lies).unwrap(), 2, "without a floor the last of what is wanted stays all the same");
    assert_eq!(fixture.history(&paths[1]), newest);
}
