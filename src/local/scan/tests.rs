use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::local::root_id;
use crate::sys::testing::without_privileges;

struct Share {
    dir: tempfile::TempDir,
    scan: Scan,
}

fn share() -> Share {
    let dir = tempfile::tempdir().expect("a folder");
    let scan = Scan {
        root: dir.path().to_owned(),
        id: root_id(dir.path()).expect("there"),
        under: RelPath::root(),
        ignore: Arc::new(Ignore::new(&["/build/".to_owned()]).expect("good")),
        threads: 2,
        page_max: PAGE_MAX,
        afresh: false,
        lists: false,
    };
    Share { dir, scan }
}

type Pages = BTreeMap<RelPath, Vec<ScanPage>>;

impl Share {
    fn file(&self, path: impl AsRef<[u8]>) {
        let path = self.dir.path().join(OsStr::from_bytes(path.as_ref()));
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        std::fs::write(path, b"x").expect("written");
    }

    fn run(&self) -> (Pages, ScanEnd) {
        let pages = Mutex::new(Pages::new());
        let end = self.scan.run(&AtomicBool::new(false), &|page| {
            pages.lock().expect("whole").entry(page.folder.clone()).or_default().push(page);
            true
        });
        (pages.into_inner().expect("whole"), end)
    }

    /// Every path that was found, and how many entries each had; every folder must be complete.
    fn paths(&self) -> BTreeMap<RelPath, Found> {
        let (pages, end) = self.run();
        assert_eq!(end, ScanEnd::Done);
        let mut found = BTreeMap::new();
        for (folder, pages) in pages {
            let (last, before) = pages.split_last().expect("a page");
            assert_eq!(last.end, PageEnd::Complete, "{folder}");
            assert!(before.iter().all(|page| page.end == PageEnd::More), "{folder}");
            for page in pages {
                assert!(page.entries.is_sorted_by(|a, b| a.0 < b.0), "{folder}");
                for (name, what) in page.entries {
                    assert_eq!(found.insert(folder.join(name).expect("a name"), what), None, "twice in {folder}");
                }
            }
        }
        found
    }

    fn names(&self) -> Vec<String> {
        self.paths().keys().map(ToString::to_string).collect()
    }
}

fn path(bytes: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(bytes).expect("a test's path is fine")
}

#[test]
fn everything_is_found_once_and_as_what_it_is() {
    let share = share();
    share.file("a/b/file");
    share.file("top");
    std::fs::create_dir(share.dir.path().join("empty")).expect("made");
    symlink("/no/such", share.dir.path().join("a/link")).expect("linked");
    symlink("b", share.dir.path().join("a/to folder")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(share.dir.path().join("socket")).expect("bound");
    let made = std::process::Command::new("mkfifo").arg(share.dir.path().join("fifo")).status().expect("run");
    assert!(made.success());
    let found = share.paths();
    let names: Vec<String> = found.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "a/b", "a/b/file", "a/link", "a/to folder", "empty", "fifo", "socket", "top"]);
    assert_eq!(found[&path("fifo")], Found::Special("FIFO"));
    assert_eq!(found[&path("socket")], Found::Special("socket"));
    let Found::Link(stat, to) = &found[&path("a/link")] else { panic!("no link") };
    assert_eq!((stat.shape.kind, stat.shape.len, &**to), (Kind::Symlink, 8, &b"/no/such"[..]));
    let Found::Plain(stat) = &found[&path("a/b/file")] else { panic!("no file") };
    assert_eq!((stat.shape.kind, stat.shape.len, stat.mounted), (Kind::File, 1, false));
    let on_disk = beneath::stat(share_root(&share).as_fd(), &path("a/b/file")).expect("there");
    assert_eq!(*stat, stat::stat(&on_disk, stat::device(&on_disk)).expect("a file"));
}

fn share_root(share: &Share) -> OwnedFd {
    beneath::open_root(share.dir.path()).expect("open")
}

#[test]
fn what_is_ignored_is_left_out_with_all_below() {
    let share = share();
    for name in ["build/x", "a/build/x", ".driftline/identity", "a/.driftline/x", "a/~$doc", "._d/x"] {
        share.file(name);
    }
    assert_eq!(share.names(), ["a", "a/.driftline", "a/.driftline/x", "a/build", "a/build/x"]);
}

#[test]
fn odd_and_long_names_are_found() {
    let share = share();
    let long = "n".repeat(255);
    share.file(b"\xff\xfe/\n");
    share.file(&long);
    let found: Vec<RelPath> = share.paths().into_keys().collect();
    assert_eq!(found, [path(&long), path(b"\xff\xfe"), path(b"\xff\xfe/\n")]);
}

#[test]
fn folders_deeper_than_a_path_may_be_long_are_read() {
    let share = share();
    let below = vec!["d".repeat(200); 18].join("/");
    let [first, second] = ["one", "two"].map(|name| format!("{name}/{below}"));
    share.file(format!("{first}/x"));
    share.file(format!("{second}/file"));
    // Only so can a path be made that is too long to be said at once.
    let into = share.dir.path().join(&first).join("two");
    std::fs::rename(share.dir.path().join("two"), into).expect("moved");
    let deepest = path(format!("{first}/{second}/file"));
    assert!(deepest.as_bytes().len() > 7000 && deepest.parts().count() > OPEN_DEPTH_MAX + 2);
    let found = share.paths();
    assert_eq!(found.len(), 2 * 19 + 2);
    assert!(found.contains_key(&deepest));
}

#[test]
fn a_large_folder_comes_in_pages_and_its_subfolders_in_between() {
    let mut share = share();
    share.scan.page_max = 7;
    for i in 0..50 {
        share.file(format!("f{i}"));
        share.file(format!("d{i}/x"));
    }
    for threads in [1, 2, 5] {
        share.scan.threads = threads;
        let (pages, end) = share.run();
        assert_eq!(end, ScanEnd::Done);
        assert!(pages.values().flatten().all(|page| page.entries.len() <= 7));
        assert!(pages[&RelPath::root()].len() >= 15);
        assert_eq!(share.paths().len(), 150);
    }
}

#[test]
fn the_stack_stays_small_in_a_folder_of_many_folders() {
    let mut share = share();
    (share.scan.page_max, share.scan.threads) = (4, 1);
    // More than one system call brings, so that the folder is left in between.
    let name = "d".repeat(240);
    for i in 0..2000 {
        std::fs::create_dir(share.dir.path().join(format!("{i:04}{name}"))).expect("made");
    }
    let (pages, end) = share.run();
    assert_eq!((pages.len(), end), (2001, ScanEnd::Done));
    let order = Mutex::new(Vec::new());
    share.scan.run(&AtomicBool::new(false), &|page| {
        order.lock().expect("whole").push(page.folder.is_root());
        true
    });
    let order = order.into_inner().expect("whole");
    let turns = order.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!(turns >= 5, "taken up again {turns} times");
}

#[test]
fn a_part_is_read_alone() {
    let mut share = share();
    for name in ["a/b/c/x", "a/y", "z"] {
        share.file(name);
    }
    share.scan.under = path("a/b");
    assert_eq!(share.names(), ["a/b/c", "a/b/c/x"]);
}

#[test]
fn a_part_that_is_no_folder_is_gone_not_empty() {
    let mut share = share();
    share.file("file");
    symlink("/etc", share.dir.path().join("link")).expect("linked");
    for under in ["gone", "file", "link", "gone/deeper"] {
        share.scan.under = path(under);
        let (pages, end) = share.run();
        assert_eq!(end, ScanEnd::Done);
        let [page] = &pages[&path(under)][..] else { panic!("{under}: not one page") };
        assert!(page.entries.is_empty());
        assert_eq!(page.end, PageEnd::Gone, "{under}");
    }
}

#[test]
fn a_folder_that_may_not_be_read_is_broken_not_empty() {
    let share = share();
    share.file("closed/x");
    share.file("no search/x");
    share.file("open/x");
    let forbid = |name, mode| {
        let path = share.dir.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    forbid("closed", 0o000);
    forbid("no search", 0o600);
    let (pages, end) = without_privileges(|| share.run());
    assert_eq!(end, ScanEnd::Done);
    let [page] = &pages[&path("closed")][..] else { panic!("not one page") };
    let PageEnd::Broken(trouble) = &page.end else { panic!("{:?}", page.end) };
    assert!(page.entries.is_empty() && trouble.message.contains("Permission denied"), "{trouble:?}");
    assert!(trouble.hint.contains("agent's user"), "{trouble:?}");
    let [page] = &pages[&path("no search")][..] else { panic!("not one page") };
    assert_eq!(page.end, PageEnd::Complete);
    assert!(matches!(&page.entries[..], [(name, Found::Troubled(_))] if **name == *b"x"), "{:?}", page.entries);
    assert_eq!(pages[&path("open")][0].end, PageEnd::Complete);
}

#[test]
fn a_folder_that_vanishes_meanwhile_is_not_told_of() {
    let mut share = share();
    share.scan.threads = 1;
    share.file("a/x");
    share.file("b/x");
    let doomed = share.dir.path().join("b");
    let pages = Mutex::new(Vec::new());
    let end = share.scan.run(&AtomicBool::new(false), &|page| {
        if page.folder.is_root() {
            std::fs::remove_dir_all(&doomed).expect("removed");
        }
        pages.lock().expect("whole").push(page.folder);
        true
    });
    assert_eq!(end, ScanEnd::Done);
    assert_eq!(pages.into_inner().expect("whole"), [RelPath::root(), path("a")]);
}

#[test]
fn it_stops_when_told_to() {
    let share = share();
    for i in 0..20 {
        share.file(format!("d{i}/x"));
    }
    let pages = AtomicUsize::new(0);
    let end = share.scan.run(&AtomicBool::new(false), &|_| pages.fetch_add(1, Ordering::SeqCst) < 1);
    assert_eq!(end, ScanEnd::Stopped);
    assert!(pages.into_inner() <= 4);
    assert_eq!(share.scan.run(&AtomicBool::new(true), &|_| panic!("nothing is told")), ScanEnd::Stopped);
    let stop = AtomicBool::new(false);
    let end = share.scan.run(&stop, &|_| {
        stop.store(true, Ordering::SeqCst);
        true
    });
    assert_eq!(end, ScanEnd::Stopped);
}

#[test]
fn another_root_before_or_after_is_offline() {
    let share = share();
    let other = tempfile::tempdir().expect("a folder");
    let wrong = Scan {
        root: other.path().to_owned(),
        ignore: Arc::clone(&share.scan.ignore),
        under: RelPath::root(),
        ..share.scan
    };
    assert!(matches!(wrong.run(&AtomicBool::new(false), &|_| panic!("nothing is told")), ScanEnd::Offline(_)));
    let right = Scan { id: root_id(other.path()).expect("there"), ..wrong };
    let away = share.dir.path().join("away");
    let end = right.run(&AtomicBool::new(false), &|_| {
        std::fs::rename(other.path(), &away).expect("moved");
        std::fs::create_dir(other.path()).expect("made");
        true
    });
    assert!(matches!(end, ScanEnd::Offline(_)), "{end:?}");
}

#[test]
fn a_thread_that_dies_does_not_leave_the_others_waiting() {
    let share = share();
    for i in 0..20 {
        share.file(format!("d{i}/x"));
    }
    let run = || {
        share.scan.run(&AtomicBool::new(false), &|page| if page.folder.is_root() { true } else { panic!("as planned") })
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
}
