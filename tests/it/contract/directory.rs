//! Promises of a directory alone: what only a file system has, and what only an outsider with a shell can do to it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

const WAYS: [Ways; 3] = [Ways::Auto, Ways::Links, Ways::Plain];

fn each_way(test: impl Fn(&DirFixture)) {
    WAYS.iter().for_each(|ways| test(&DirFixture::new(*ways)));
}

#[test]
fn a_root_that_is_missing_is_offline_and_is_not_made() {
    let fixture = DirFixture::new(Ways::Auto);
    std::fs::rename(fixture.root(), fixture.beside()).unwrap();
    for bind in [Bind::Never, Bind::IfUnbound] {
        let err = fixture.target().probe(bind).unwrap_err();
        assert_eq!(err.fault, Fault::Offline);
        assert!(err.to_string().contains("is not there"), "{err}");
    }
    assert!(!fixture.root().exists());
}

#[test]
fn what_no_agent_asks_for_is_told_as_a_fault_of_its_own() {
    let fixture = DirFixture::new(Ways::Auto);
    let unbound = DirTarget::new(DirSetup { target_id: None, ..fixture.setup() });
    let target = fixture.target();
    folders_above(target, &path("a/b"));
    let a = stamp_at(target, &path("a"));
    let into_itself = change(&path("a/b"), Change::Move { from: path("a") }, Guard::Unchanged(a));
    for error in [
        unbound.look(&path("a"), Depth::Stamp).unwrap_err(),
        target.look(&path(".driftline/identity"), Depth::Stamp).unwrap_err(),
        one(target, publish_step(target, &path(".driftline"), b"x", Guard::Absent, None)).unwrap_err(),
        one(target, into_itself).unwrap_err(),
    ] {
        assert_eq!(error.hint, "report this: it is a fault of driftline", "{error}");
    }
}

#[test]
fn a_place_is_bound_once_and_known_again() {
    let fixture = DirFixture::new(Ways::Auto);
    let id = fixture.setup().target_id.unwrap();
    let unbound = DirTarget::new(DirSetup { target_id: None, writer: "office-02".to_owned(), ..fixture.setup() });
    assert_eq!(fault(unbound.look(&path("a"), Depth::Stamp)), Fault::Offline, "never bound");
    let bound = unbound.probe(Bind::IfUnbound).unwrap();
    assert_eq!((bound.id.as_str(), bound.newly), (id.as_str(), false));
    assert_eq!(unbound.look(&path("a"), Depth::Stamp).unwrap(), None);
    let text = std::fs::read_to_string(fixture.root().join(".driftline/identity")).unwrap();
    let identity: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(identity["writers"], serde_json::json!(["office-01", "office-02"]));
    assert_eq!((&identity["target"], &identity["share"]), (&id.into(), &"share-1".into()));

    let other = DirTarget::new(DirSetup { target_id: None, share_id: "share-2".to_owned(), ..fixture.setup() });
    let err = other.probe(Bind::IfUnbound).unwrap_err();
    assert_eq!(err.fault, Fault::Offline);
    assert!(err.to_string().contains("keeps another share"), "{err}");
}

#[test]
fn never_to_bind_means_that_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = DirFixture::new(Ways::Auto);
    let setup = DirSetup { root: dir.path().to_owned(), target_id: None, ..fixture.setup() };
    assert_eq!(fault(DirTarget::new(setup.clone()).probe(Bind::Never)), Fault::Offline);
    assert!(walk(dir.path()).is_empty());
    assert!(DirTarget::new(setup).probe(Bind::IfUnbound).unwrap().newly);
}

#[test]
fn agents_that_bind_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let setup = DirSetup { root: dir.path().to_owned(), target_id: None, ..DirFixture::new(Ways::Auto).setup() };
    let bound: Vec<_> = std::thread::scope(|scope| {
        let bind = || DirTarget::new(setup.clone()).probe(Bind::IfUnbound).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bound.iter().filter(|bound| bound.newly).count(), 1);
    assert!(bound.iter().all(|one| one.id == bound[0].id));
}

/// By that whoever was about to change what was there sees that it was meant since.
#[test]
fn to_set_what_is_set_already_gives_another_stamp() {
    each_way(|fixture| {
        let target = fixture.target();
        let old = put(target, &path("f/a"), b"ours");
        let set = change(&path("f/a"), Change::SetMeta { meta: meta() }, Guard::Unchanged(old.clone()));
        let placed = one(target, set).unwrap().stamp.expect("it is there");
        assert_ne!(placed, old);
        assert_eq!(stamp_at(target, &path("f/a")), placed);
        let late = one(target, change(&path("f/a"), Change::Remove, Guard::Unchanged(old))).unwrap_err();
        assert_eq!(late.fault, Fault::Stale, "{late}");
    });
}

#[test]
fn a_link_on_the_way_is_never_written_through() {
    each_way(|fixture| {
        let target = fixture.target();
        let stamp = put(target, &path("f/a"), b"ours");
        std::fs::rename(fixture.root().join("f"), fixture.beside()).unwrap();
        symlink(fixture.beside(), fixture.root().join("f")).unwrap();
        let unchanged = || Guard::Unchanged(stamp.clone());
        assert_eq!(target.look(&path("f/a"), Depth::Content).unwrap(), None);
        let steps = [
            publish_step(target, &path("f/a"), b"evil", unchanged(), None),
            publish_step(target, &path("f/b"), b"evil", Guard::Absent, None),
            change(&path("f/l"), link_to(b"x"), Guard::Absent),
            change(&path("f/g"), Change::MakeFolder { meta: meta() }, Guard::Absent),
            change(&path("f/a"), Change::SetMeta { meta: Meta { mode: 0o777, ..meta() } }, unchanged()),
            change(&path("b"), Change::Move { from: path("f/a") }, unchanged()),
            change(&path("f/a"), Change::Remove, unchanged()),
        ];
        for (step, answer) in steps.iter().zip(target.apply(&steps)) {
            assert!(matches!(answer.unwrap_err().fault, Fault::Stale | Fault::Unfit), "{step:?}");
        }
        assert_eq!(walk(&fixture.beside()), [b"a".to_vec()].into());
        assert_eq!(std::fs::read(fixture.beside().join("a")).unwrap(), b"ours");
        assert_eq!(listing(target).into_keys().collect::<Vec<_>>(), [path("f")]);
    });
}

#[test]
fn paths_longer_than_the_system_takes_at_once_are_kept() {
    each_way(|fixture| {
        let target = fixture.target();
        let mut deep = RelPath::root();
        for _ in 0..25 {
            deep = deep.join("d".repeat(200)).unwrap();
        }
        assert!(deep.as_bytes().len() > 4096);
        let (a, b) = (deep.join("a").unwrap(), deep.join("b").unwrap());
        let stamp = put(target, &a, b"one");
        let stamp = replace(target, &a, b"two", stamp).unwrap().stamp.unwrap();
        let stamp = one(target, change(&b, Change::Move { from: a }, Guard::Unchanged(stamp))).unwrap().stamp.unwrap();
        let looked = target.look(&b, Depth::Content).unwrap().unwrap();
        assert_eq!(looked.seen.digest, Some(digest(b"two")));
        assert_eq!(listing(target).len(), 26);
        one(target, change(&b, Change::Remove, Guard::Unchanged(stamp))).unwrap();
        assert_eq!(target.look(&b, Depth::Stamp).unwrap(), None);
        assert_eq!(prune(target, i64::MAX).unwrap(), 2);
    });
}

#[test]
fn names_that_are_too_long_are_unfit_and_absent() {
    let fixture = DirFixture::new(Ways::Auto);
    let long = path("n".repeat(256));
    assert_eq!(fixture.target().look(&long, Depth::Content).unwrap(), None);
    let step = publish_step(fixture.target(), &long, b"x", Guard::Absent, None);
    assert_eq!(fault(one(fixture.target(), step)), Fault::Unfit);
}

#[test]
fn holes_stay_holes() {
    each_way(|fixture| {
        let (target, a) = (fixture.target(), path("a"));
        let mut bytes = vec![0; 64 << 20];
        bytes.extend_from_slice(b"end");
        let answers = target.stage(std::slice::from_ref(&a), &mut |_, sink| {
            sink.hole(64 << 20).unwrap();
            sink.bytes(b"end").unwrap();
            let mut nowhere = Nowhere;
            bring(&bytes, &mut nowhere)
        });
        let staged = answers.into_iter().next().unwrap().unwrap();
        let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
        one(target, change(&a, publish, Guard::Absent)).unwrap();
        let st = std::fs::metadata(fixture.root().join("a")).unwrap();
        assert_eq!(st.len(), (64 << 20) + 3);
        assert!(st.blocks() * 512 < 1 << 20, "{} blocks", st.blocks());
        assert_eq!(target.look(&a, Depth::Content).unwrap().unwrap().seen.digest, Some(digest(&bytes)));
    });
}

struct Nowhere;

impl Sink for Nowhere {
    fn bytes(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn hole(&mut self, _: u64) -> std::io::Result<()> {
        Ok(())
    }
    fn restart(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_hole_at_the_end_counts() {
    let (fixture, a) = (DirFixture::new(Ways::Auto), path("a"));
    let bytes = [b"start".to_vec(), vec![0; 10_000]].concat();
    let answers = fixture.target().stage(std::slice::from_ref(&a), &mut |_, sink| {
        sink.bytes(b"start").unwrap();
        sink.hole(10_000).unwrap();
        bring(&bytes, &mut Nowhere)
    });
    let staged = answers.into_iter().next().unwrap().unwrap();
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    one(fixture.target(), change(&a, publish, Guard::Absent)).unwrap();
    assert_eq!(fixture.bytes(&a), Some(bytes));
}

#[test]
fn a_reading_that_does_not_match_its_bytes_is_not_staged() {
    let fixture = DirFixture::new(Ways::Auto);
    let answers = fixture.target().stage(&[path("a")], &mut |_, sink| {
        sink.bytes(b"four").unwrap();
        bring(b"five!", &mut Nowhere)
    });
    assert!(matches!(&answers[..], [Err(StageError::Read(ReadFault::Busy(_)))]), "{answers:?}");
    assert_eq!(fixture.staged(), 0);
}

#[test]
fn publishing_does_not_move_the_time_of_folders() {
    each_way(|fixture| {
        let target = fixture.target();
        folder(target, &path("f"));
        folder(target, &path("f/g"));
        let times = || {
            let time = |at: &str| target.look(&path(at), Depth::Stamp).unwrap().unwrap().seen.meta.mtime;
            (time("f"), time("f/g"))
        };
        let wanted = (meta().mtime, meta().mtime);
        assert_eq!(times(), wanted);
        let stamp = put(target, &path("f/g/a"), b"one");
        let stamp = replace(target, &path("f/g/a"), b"two", stamp).unwrap().stamp.unwrap();
        assert_eq!(times(), wanted);
        one(target, change(&path("f/b"), Change::Move { from: path("f/g/a") }, Guard::Unchanged(stamp))).unwrap();
        let stamp = stamp_at(target, &path("f/b"));
        one(target, change(&path("f/b"), Change::Remove, Guard::Unchanged(stamp))).unwrap();
        assert_eq!(times(), wanted);
    });
}

#[test]
fn calls_at_the_same_time_do_not_move_the_time_of_a_folder() {
    each_way(|fixture| {
        let target = fixture.target();
        folder(target, &path("busy"));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..25 {
                        put(target, &path(format!("busy/{thread} {n}")), b"bytes");
                    }
                });
            }
        });
        let seen = target.look(&path("busy"), Depth::Stamp).unwrap().unwrap().seen;
        assert_eq!(seen.meta.mtime, meta().mtime);
    });
}

#[test]
fn a_folder_and_what_lies_in_it_can_be_made_in_one_call() {
    each_way(|fixture| {
        let target = fixture.target();
        let wanted = Meta { mode: 0o751, mtime: Wall(1_500_000_000_000_000_001), ..meta() };
        let steps = [
            change(&path("f"), Change::MakeFolder { meta: wanted }, Guard::Absent),
            publish_step(target, &path("f/a"), b"x", Guard::Absent, None),
            change(&path("f/g"), Change::MakeFolder { meta: wanted }, Guard::Absent),
        ];
        assert!(target.apply(&steps).iter().all(Result::is_ok));
        assert_eq!(target.look(&path("f"), Depth::Stamp).unwrap().unwrap().seen.meta, wanted);
        assert_eq!(target.look(&path("f/g"), Depth::Stamp).unwrap().unwrap().seen.meta, wanted);
    });
}

#[test]
fn history_names_the_version_and_nobody_else_may_enter_it() {
    let (fixture, a) = (DirFixture::new(Ways::Auto), path("a"));
    let stamp = put(fixture.target(), &a, b"one");
    let step = publish_step(fixture.target(), &a, b"two", Guard::Unchanged(stamp), Some(b"one"));
    one(fixture.target(), step).unwrap();
    let history = fixture.root().join(".driftline/history");
    let names = walk(&history.join("a"));
    let name = String::from_utf8(names.into_iter().next().unwrap()).unwrap();
    assert!(name.ends_with(&format!("Z-{}", digest(b"one").short())), "{name}");
    for ours in [history, fixture.root().join(".driftline/staging")] {
        assert_eq!(std::fs::metadata(ours).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn pruning_leaves_what_is_not_ours_and_no_empty_folders() {
    let fixture = DirFixture::new(Ways::Auto);
    let target = fixture.target();
    for at in ["f/g/a", "f/b"] {
        let stamp = put(target, &path(at), b"one");
        replace(target, &path(at), b"two", stamp).unwrap();
    }
    let history = fixture.root().join(".driftline/history");
    std::fs::write(history.join("f/b/note.txt"), b"theirs").unwrap();
    assert_eq!(prune(target, i64::MAX).unwrap(), 2);
    let left: BTreeSet<_> = ["f", "f/b", "f/b/note.txt"].map(|name| name.as_bytes().to_vec()).into();
    assert_eq!(walk(&history), left);
}

#[test]
fn sweeping_leaves_other_agents_and_strangers_alone() {
    let fixture = DirFixture::new(Ways::Auto);
    let other = DirTarget::new(DirSetup { writer: "office-02".to_owned(), ..fixture.setup() });
    let staged = stage(&other, b"theirs");
    std::fs::write(fixture.root().join(".driftline/staging/note.txt"), b"x").unwrap();
    assert_eq!(fixture.successor().sweep().unwrap(), 0);
    let own = stage(fixture.target(), b"ours");
    assert_eq!(fixture.target().sweep().unwrap(), 0, "its own run");
    let publish =
        |staged: Staged| Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    one(&other, change(&path("a"), publish(staged), Guard::Absent)).unwrap();
    one(fixture.target(), change(&path("b"), publish(own), Guard::Absent)).unwrap();

    stage(&other, b"forgotten");
    let in_eight_days = || Wall(now().0 + 8 * 24 * 3600 * 1_000_000_000);
    let late = DirTarget::new(DirSetup { now: in_eight_days, ..fixture.setup() });
    assert_eq!(late.sweep().unwrap(), 1);
}

#[test]
fn sockets_are_shown_and_never_touched() {
    let fixture = DirFixture::new(Ways::Auto);
    let target = fixture.target();
    let socket = std::os::unix::net::UnixListener::bind(fixture.root().join("s")).unwrap();
    let mut strange = Vec::new();
    let listed = target.list(&mut |page| {
        strange.extend(page.strange);
        true
    });
    listed.unwrap();
    assert_eq!(strange, ["s"]);
    assert_eq!(fault(target.look(&path("s"), Depth::Stamp)), Fault::Unfit);
    assert_eq!(fault(one(target, publish_step(target, &path("s"), b"x", Guard::Absent, None))), Fault::Stale);
    drop(socket);
}

/// Many folders at once, so that a page is full.
#[test]
fn a_change_that_was_cut_off_after_it_kept_the_old_version_keeps_it_once() {
    let fixture = DirFixture::new(Ways::Links);
    let (target, a) = (fixture.target(), path("a"));
    let stamp = put(target, &a, b"one");
    let two = replace(target, &a, b"two", stamp).unwrap().stamp.unwrap();
    // As far as a change comes whose machine loses its power.
    let history = fixture.root().join(".driftline/history/a");
    std::fs::hard_link(fixture.root().join("a"), history.join("20200101T000000.000000000Z-00000000")).unwrap();
    assert_eq!(fault(replace(target, &a, b"three", two)), Fault::Stale, "its change time is another");
    let before = now();
    replace(target, &a, b"three", stamp_at(target, &a)).unwrap();
    assert_eq!(fixture.history(&a), [b"one".to_vec(), b"two".to_vec()]);
    let mut told = Vec::new();
    target
        .past(&a, before, &mut |past| {
            told.push(past);
            true
        })
        .unwrap();
    assert_eq!(told.len(), 1, "it is told as replaced when it was: {told:?}");
}

#[test]
fn a_removal_of_what_a_change_that_was_cut_off_has_kept_keeps_it_once() {
    for ways in [Ways::Auto, Ways::Links] {
        let fixture = DirFixture::new(ways);
        let (target, a) = (fixture.target(), path("a"));
        put(target, &a, b"one");
        let history = fixture.root().join(".driftline/history/a");
        std::fs::create_dir_all(&history).unwrap();
        std::fs::hard_link(fixture.root().join("a"), history.join("20200101T000000.000000000Z-00000000")).unwrap();
        std::fs::hard_link(fixture.root().join("a"), fixture.root().join("of someone else")).unwrap();
        one(target, change(&a, Change::Remove, Guard::Unchanged(stamp_at(target, &a)))).unwrap();
        assert!(!fixture.root().join("a").exists());
        assert_eq!(fixture.history(&a), [b"one".to_vec()]);
        assert_eq!(std::fs::read(fixture.root().join("of someone else")).unwrap(), b"one");
    }
}

#[test]
fn a_folder_of_more_than_a_page_is_listed_whole() {
    let fixture = DirFixture::new(Ways::Auto);
    for n in 0..5000 {
        std::fs::write(fixture.root().join(format!("{n}")), b"").unwrap();
    }
    assert_eq!(listing(fixture.target()).len(), 5000);
}

/// More than are remembered at once, and in each of them more of that.
#[test]
fn folders_of_more_than_a_page_are_listed_whole() {
    each_way(|fixture| {
        let mut all = BTreeSet::new();
        for n in 0..4200 {
            let folder = fixture.root().join(format!("{n}"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("file"), b"").unwrap();
            all.extend([path(format!("{n}")), path(format!("{n}/file"))]);
        }
        std::fs::create_dir_all(fixture.root().join("0/a/b/c")).unwrap();
        all.extend(["0/a", "0/a/b", "0/a/b/c"].map(path));
        let mut twice = Vec::new();
        let (mut found, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let listed = fixture.target().list(&mut |page| {
            let folder = page.folder.unwrap();
            twice
                .extend(page.entries.into_iter().filter_map(|(path, _)| (!found.insert(path.clone())).then_some(path)));
            twice.extend((page.last_of_folder && !ended.insert(folder.clone())).then_some(folder));
            true
        });
        listed.unwrap();
        assert_eq!((found == all, ended.len(), twice), (true, 4204, Vec::new()));
    });
}

#[test]
fn an_owner_that_is_not_kept_is_answered_as_it_was_wanted() {
    let fixture = DirFixture::new(Ways::Auto);
    let target = DirTarget::new(DirSetup { keep_owner: false, ..fixture.setup() });
    let before = std::fs::metadata(fixture.root()).unwrap();
    let staged = stage(&target, b"x");
    let wanted = Meta { uid: 12345, gid: 54321, ..meta() };
    let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: wanted };
    let placed = one(&target, change(&path("a"), publish, Guard::Absent)).unwrap();
    assert_eq!(placed.meta, Some(wanted));
    let st = std::fs::metadata(fixture.root().join("a")).unwrap();
    assert_eq!((st.uid(), st.gid()), (before.uid(), before.gid()));
}

/// An outsider who saves all the time, against an agent who replaces all the time: no version of either is ever lost.
#[test]
fn no_version_is_lost_in_a_race_with_an_outsider() {
    let (fixture, a) = (DirFixture::new(Ways::Auto), path("a"));
    let (target, done) = (fixture.target(), AtomicBool::new(false));
    put(target, &a, b"first");
    let outsider = |n: u64| format!("theirs {n:08}").into_bytes();
    // He replaces by exchange too, and keeps what he took away: what was there is there, in history or with him.
    let (taken, ours) = std::thread::scope(|scope| {
        let agent = scope.spawn(|| {
            let (mut published, mut refused) = (Vec::new(), 0_u64);
            while !done.load(Ordering::Relaxed) {
                let bytes = format!("ours {} {refused}", published.len()).into_bytes();
                let (staged, stamp) = (stage(target, &bytes), stamp_at(target, &a));
                let publish = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
                match one(target, change(&a, publish, Guard::Unchanged(stamp))) {
                    Ok(_) => published.push(bytes),
                    Err(err) => {
                        assert_eq!(err.fault, Fault::Stale, "{err}");
                        refused += 1;
                    }
                }
            }
            (published, refused)
        });
        let turn = |n| {
            std::thread::sleep(std::time::Duration::from_micros(n % 40 * 50));
            take_turn(&fixture, &a, &outsider(n))
        };
        let taken: Vec<_> = (0..400).map(turn).collect();
        done.store(true, Ordering::Relaxed);
        let (published, refused) = agent.join().unwrap();
        assert!(!published.is_empty() && refused > 0, "{} published, {refused} refused: no race", published.len());
        (taken, published)
    });
    let mut known: BTreeSet<Vec<u8>> = taken.into_iter().chain(fixture.history(&a)).collect();
    known.extend(fixture.bytes(&a));
    for version in (0..400).map(outsider).chain(ours) {
        assert!(known.contains(&version), "{} is lost", version.escape_ascii());
    }
}

fn take_turn(fixture: &DirFixture, at: &RelPath, bytes: &[u8]) -> Vec<u8> {
    std::fs::write(fixture.beside(), bytes).unwrap();
    let (beside, there) = (fixture.beside(), at.under(fixture.root()));
    rustix::fs::renameat_with(rustix::fs::CWD, &beside, rustix::fs::CWD, &there, rustix::fs::RenameFlags::EXCHANGE)
        .unwrap();
    std::fs::read(beside).unwrap()
}

/// Run by the next test in a process of its own, which is killed: replaces one file for ever.
#[test]
#[ignore = "only as a child of the test below"]
fn an_agent_that_is_killed() {
    let root = PathBuf::from(std::env::var_os("DRIFTLINE_TEST_ROOT").unwrap());
    let setup = DirSetup { root, target_id: None, ..DirFixture::new(Ways::Auto).setup() };
    let way = std::env::var("DRIFTLINE_TEST_WAY").unwrap();
    let ways = WAYS.into_iter().find(|ways| format!("{ways:?}") == way).unwrap();
    let target = DirTarget::new(DirSetup { ways, ..setup });
    target.probe(Bind::IfUnbound).unwrap();
    for n in 0_u32.. {
        let stamp = stamp_at(&target, &path("a"));
        replace(&target, &path("a"), &n.to_le_bytes().repeat(2000), stamp).unwrap();
    }
}

#[test]
fn a_killed_agent_leaves_whole_versions_and_what_it_staged_is_swept() {
    for ways in WAYS {
        let fixture = DirFixture::new(ways);
        let whole = |bytes: &[u8]| bytes.len() == 8000 && bytes.chunks(4).all(|part| part == &bytes[..4]);
        put(fixture.target(), &path("a"), &7_u32.to_le_bytes().repeat(2000));
        let mut swept = 0;
        for round in 0..25 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "contract::directory::an_agent_that_is_killed"])
                .env("DRIFTLINE_TEST_ROOT", fixture.root())
                .env("DRIFTLINE_TEST_WAY", format!("{ways:?}"))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let begun = fixture.history(&path("a")).len();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while fixture.history(&path("a")).len() == begun {
                assert!(std::time::Instant::now() < deadline, "{ways:?}: it never begins");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_micros(170 * round));
            assert_eq!(child.try_wait().unwrap(), None, "{ways:?}: it ended by itself");
            child.kill().unwrap();
            child.wait().unwrap();
            let visible = fixture.bytes(&path("a")).expect("never missing");
            assert!(whole(&visible), "{ways:?}: a partial version is visible");
            swept += fixture.successor().sweep().unwrap();
            assert_eq!(fixture.staged(), 0);
        }
        let kept = fixture.history(&path("a"));
        assert!(kept.iter().all(|version| whole(version)), "{ways:?}: a partial version in history");
        assert!(
            kept.len() >= 25 && swept > 0,
            "{ways:?}: {} versions, {swept} swept: it was not killed at work",
            kept.len()
        );
    }
}

/// Nothing but their locks keeps two agents apart where names cannot be exchanged.
#[test]
fn what_several_agents_put_at_one_path_at_the_same_instant_is_all_kept() {
    const AGENTS: usize = 3;
    const EACH: usize = 150;
    let fixture = DirFixture::new(Ways::Links);
    let agents: Vec<_> = (0..AGENTS)
        .map(|number| {
            let agent = DirTarget::new(DirSetup { writer: format!("office-{number}"), ..fixture.setup() });
            agent.probe(Bind::IfUnbound).unwrap();
            agent
        })
        .collect();
    let at = path("a");
    put(&agents[0], &at, b"the first");
    let made: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let work = |number: usize| {
            let (agent, at) = (&agents[number], &at);
            move || {
                let mut made = Vec::new();
                while made.len() < EACH {
                    let value = format!("value {} of {number}", made.len()).into_bytes();
                    let Some(there) = agent.look(at, Depth::Stamp).unwrap() else { continue };
                    if replace(agent, at, &value, there.stamp).is_ok() {
                        made.push(value);
                    }
                }
                made
            }
        };
        let working: Vec<_> = (0..AGENTS).map(|number| scope.spawn(work(number))).collect();
        working.into_iter().flat_map(|agent| agent.join().unwrap()).collect()
    });
    let mut kept: BTreeSet<_> = fixture.history(&at).into_iter().collect();
    kept.insert(std::fs::read(fixture.root().join("a")).unwrap());
    let lost: Vec<_> = made.iter().filter(|value| !kept.contains(*value)).map(|v| String::from_utf8_lossy(v)).collect();
    assert!(lost.is_empty(), "{} of {} versions are lost: {lost:?}", lost.len(), made.len());
}
