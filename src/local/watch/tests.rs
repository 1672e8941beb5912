use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, Flag};
use notify::{Event, EventKind};

use super::*;
use crate::local::{PAGE_MAX, Scan, root_id};

/// A test that waits longer than this for an event has failed.
const LONG: Duration = Duration::from_secs(10);

struct Fixture {
    dir: tempfile::TempDir,
    watch: Watch,
    woken: Receiver<()>,
}

fn ignore() -> Arc<Ignore> {
    Arc::new(Ignore::new(&["/build/".to_owned(), "*.bak".to_owned()]).expect("good"))
}

fn start(folders: &[&str], limits: Limits) -> Fixture {
    let dir = tempfile::tempdir().expect("a folder");
    for folder in folders {
        std::fs::create_dir_all(dir.path().join(folder)).expect("made");
    }
    let (sender, woken) = channel();
    let wake = Box::new(move || {
        let _nobody_waits = sender.send(());
    });
    let watch = Watch::start(dir.path(), ignore(), limits, wake).expect("watched");
    Fixture { dir, watch, woken }
}

fn path(bytes: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(bytes).expect("a test's path is fine")
}

impl Fixture {
    /// Takes batches until `enough` says so of all of them together.
    fn until(&self, enough: impl Fn(&Batch) -> bool) -> Batch {
        let (mut all, begun) = (Batch::default(), Instant::now());
        loop {
            let batch = self.watch.take();
            all.touched.extend(batch.touched);
            all.new_folders.extend(batch.new_folders);
            all.lost |= batch.lost;
            all.root_gone |= batch.root_gone;
            all.renew |= batch.renew;
            all.errors.extend(batch.errors);
            if enough(&all) {
                return all;
            }
            assert!(begun.elapsed() < LONG, "only {all:?}");
            self.woken.recv_timeout(LONG).expect("woken");
        }
    }

    fn until_touched(&self, text: &str) -> BTreeSet<RelPath> {
        let wanted = path(text);
        self.until(|batch| batch.touched.contains(&wanted)).touched.into_iter().collect()
    }

    fn scan(&self, under: &RelPath) -> BTreeSet<RelPath> {
        let scan = Scan {
            root: self.dir.path().to_owned(),
            id: root_id(self.dir.path()).expect("there"),
            under: under.clone(),
            ignore: ignore(),
            threads: 1,
            page_max: PAGE_MAX,
            afresh: false,
            lists: false,
        };
        let found = Mutex::new(BTreeSet::new());
        scan.run(&AtomicBool::new(false), &|page| {
            let paths = page.entries.iter().map(|(name, _)| page.folder.join(name).expect("a name"));
            found.lock().expect("whole").extend(paths);
            true
        });
        found.into_inner().expect("whole")
    }
}

#[test]
fn a_new_file_and_its_folder_are_told() {
    let it = start(&["a"], Limits::default());
    assert_eq!((it.watch.mode(), it.watch.coverage()), (Mode::Inotify, 1.0));
    assert_eq!(it.watch.uncovered(), []);
    std::fs::write(it.dir.path().join("a/file"), b"x").expect("written");
    let touched = it.until_touched("a/file");
    assert_eq!(touched, BTreeSet::from([path("a"), path("a/file")]));
}

#[test]
fn both_sides_of_a_rename_are_told() {
    let it = start(&["a", "b"], Limits::default());
    std::fs::write(it.dir.path().join("a/old"), b"x").expect("written");
    it.until_touched("a/old");
    std::fs::rename(it.dir.path().join("a/old"), it.dir.path().join("b/new")).expect("renamed");
    let touched = it.until_touched("b/new");
    assert!(touched.is_superset(&BTreeSet::from([path("a"), path("a/old"), path("b"), path("b/new")])));
}

#[test]
fn what_is_ignored_touches_only_its_folder() {
    let it = start(&["a", "build"], Limits::default());
    std::fs::write(it.dir.path().join("a/~$doc"), b"x").expect("written");
    std::fs::write(it.dir.path().join("build/x"), b"x").expect("written");
    std::fs::write(it.dir.path().join("end"), b"x").expect("written");
    let touched = it.until_touched("end");
    assert!(touched.is_superset(&BTreeSet::from([RelPath::root(), path("a"), path("end")])));
    assert!(!touched.contains(&path("a/~$doc")) && !touched.contains(&path("build/x")), "{touched:?}");
}

#[test]
fn nothing_in_fresh_nested_folders_is_missed_after_barrier_and_scan() {
    let it = start(&["a"], Limits::default());
    let root = it.dir.path().to_owned();
    let maker = std::thread::spawn(move || {
        for i in 0..60 {
            let deep = root.join(format!("a/{i}/b/c/d"));
            std::fs::create_dir_all(&deep).expect("made");
            std::fs::write(deep.join("file"), b"x").expect("written");
            std::fs::write(root.join(format!("a/{i}/b/x")), b"x").expect("written");
            if i % 3 == 0 {
                std::fs::rename(root.join(format!("a/{i}")), root.join(format!("a/moved {i}"))).expect("renamed");
                std::fs::write(root.join(format!("a/moved {i}/b/late")), b"x").expect("written");
            }
        }
        std::fs::write(root.join("end"), b"x").expect("written");
    });
    let (mut seen, begun) = (BTreeSet::new(), Instant::now());
    while !seen.contains(&path("end")) {
        assert!(begun.elapsed() < LONG, "the end is not told of");
        let _woken = it.woken.recv_timeout(LONG);
        let batch = it.watch.take();
        assert!(!batch.lost);
        seen.extend(batch.touched);
        it.watch.barrier();
        for folder in batch.new_folders {
            seen.extend(it.scan(&folder));
        }
    }
    maker.join().expect("made all");
    let missed: Vec<RelPath> = it.scan(&RelPath::root()).difference(&seen).cloned().collect();
    assert_eq!(missed, []);
}

#[test]
fn a_folder_moved_in_is_new() {
    let it = start(&["a"], Limits::default());
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(outside.path().join("full/deep")).expect("made");
    let moved = std::fs::rename(outside.path().join("full"), it.dir.path().join("a/full"));
    moved.expect("renamed");
    let batch = it.until(|batch| !batch.new_folders.is_empty());
    assert_eq!(batch.new_folders, [path("a/full")]);
}

#[test]
fn a_root_that_moves_away_is_gone() {
    let it = start(&["a"], Limits::default());
    let away = tempfile::tempdir().expect("a folder");
    std::fs::rename(it.dir.path(), away.path().join("away")).expect("moved");
    assert!(it.until(|batch| batch.root_gone).root_gone);
}

#[test]
fn more_paths_than_the_set_holds_lose_the_track_once() {
    let it = start(&[], Limits { paths: 10, ..Limits::default() });
    for i in 0..40 {
        std::fs::write(it.dir.path().join(format!("f{i}")), b"x").expect("written");
    }
    let batch = it.until(|batch| batch.lost);
    assert!(batch.lost);
    // What was told after the loss was taken is kept as always.
    it.watch.barrier();
    it.watch.take();
    std::fs::write(it.dir.path().join("after"), b"x").expect("written");
    assert!(it.until_touched("after").contains(&path("after")));
}

#[test]
fn with_too_few_watches_the_top_is_watched_and_the_rest_is_named() {
    let it = start(&["a/1", "a/2", "a/3", "a/4", "b/1", "c"], Limits { watches: Some(6), ..Limits::default() });
    assert_eq!(it.watch.coverage(), 5.0 / 9.0);
    assert_eq!(it.watch.uncovered(), [path("a/1"), path("a/2"), path("a/3"), path("a/4")]);
    let batch = it.until(|batch| !batch.errors.is_empty());
    let [error] = &batch.errors[..] else { panic!("{:?}", batch.errors) };
    assert!(error.starts_with("5 of 9 folders are watched: the share needs 9 watches and the limit is 6;"), "{error}");
    assert!(error.contains("sysctl fs.inotify.max_user_watches="), "{error}");
    std::fs::write(it.dir.path().join("b/1/x"), b"x").expect("written");
    it.until_touched("b/1/x");
    std::fs::create_dir(it.dir.path().join("a/new")).expect("made");
    it.until(|batch| batch.new_folders.contains(&path("a/new")));
    assert!(it.watch.uncovered().contains(&path("a/new")));
}

#[test]
fn a_share_that_is_not_there_is_an_error_with_a_hint() {
    let error = Watch::start(Path::new("/no such folder"), ignore(), Limits::default(), Box::new(|| ()));
    let Err(error) = error else { panic!("watched") };
    assert!(error.to_string().starts_with("cannot watch /no such folder: "), "{error}");
    assert!(error.hint.contains("mounted"), "{}", error.hint);
}

fn inbox(paths_max: usize) -> (Inbox, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let wake = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (Inbox::new(PathBuf::from("/s"), ignore(), paths_max, wake), wakes)
}

fn closed(path: &str) -> notify::Result<Event> {
    let kind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    Ok(Event::new(kind).add_path(PathBuf::from(path)))
}

#[test]
fn it_wakes_once_until_it_is_taken_from() {
    let (inbox, wakes) = inbox(10);
    for name in ["/s/a", "/s/a", "/s/b", "/elsewhere/c", "/s/x.bak"] {
        inbox.take_in(closed(name));
    }
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    let (batch, _) = inbox.take();
    assert_eq!(BTreeSet::from_iter(batch.touched), BTreeSet::from([path("a"), path("b")]));
    inbox.take_in(closed("/elsewhere/c"));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    inbox.take_in(closed("/s/a"));
    assert_eq!(wakes.load(Ordering::SeqCst), 2);
}

#[test]
fn a_full_queue_of_the_kernel_loses_the_track() {
    let (inbox, _) = inbox(10);
    inbox.take_in(closed("/s/a"));
    inbox.take_in(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    inbox.take_in(closed("/s/b"));
    let (batch, appeared) = inbox.take();
    assert_eq!((batch, appeared), (Batch { lost: true, ..Batch::default() }, vec![]));
}

#[test]
fn no_room_for_watches_at_run_time_asks_for_a_new_watch() {
    let (inbox, _) = inbox(10);
    for _ in 0..3 {
        inbox.take_in(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch).add_path("/s/a".into())));
    }
    let (batch, _) = inbox.take();
    assert!(batch.lost && batch.renew && inbox.is_spent());
    assert_eq!(batch.errors.len(), 1);
}

#[test]
fn a_folder_that_cannot_be_watched_is_named() {
    let (inbox, _) = inbox(10);
    let denied = || notify::Error::io(std::io::Error::from_raw_os_error(13)).add_path("/s/a\n".into());
    inbox.take_in(Err(denied()));
    inbox.take_in(Err(denied()));
    let (batch, _) = inbox.take();
    assert_eq!(batch.errors, ["a\\n is not watched, only scanned: Permission denied (os error 13)"]);
    assert_eq!(inbox.unwatched(), [path("a\n")]);
    assert!(!batch.lost);
}

#[test]
fn numbers_are_grouped() {
    assert_eq!([0, 999, 1000, 204_800, 1_234_567].map(grouped), ["0", "999", "1,000", "204,800", "1,234,567"]);
}
