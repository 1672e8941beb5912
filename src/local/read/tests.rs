use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::local::root_id;
use crate::sys::testing::without_privileges;

/// Long after the files of a test were written.
const LATER: Wall = Wall(i64::MAX / 2);

fn clock() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Wall(i64::try_from(since.as_nanos()).expect("before 2262"))
}

struct Share {
    dir: tempfile::TempDir,
    id: RootId,
}

fn share() -> Share {
    let dir = tempfile::tempdir().expect("a folder");
    let id = root_id(dir.path()).expect("there");
    Share { dir, id }
}

impl Share {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn read(&self, name: &str, insist: bool, sink: &mut dyn Sink) -> Result<Reading, ReadFault> {
        self.read_probing(name, insist, None, sink)
    }

    fn read_probing(
        &self,
        name: &str,
        insist: bool,
        since: Option<Wall>,
        sink: &mut dyn Sink,
    ) -> Result<Reading, ReadFault> {
        let (now, stop) = (clock, AtomicBool::new(false));
        let how = How { probe_writers_since: since, insist, known: None, again: false, now: &now, stop: &stop };
        let path = RelPath::new(name).expect("fine");
        Reader::open(self.dir.path(), &self.id).expect("online").read(&path, &how, sink)
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Keeps what it gets, and does something each time that it gets bytes.
struct Keep<'a> {
    bytes: Vec<u8>,
    holes: u64,
    restarts: u32,
    meanwhile: &'a dyn Fn(u32),
    calls: u32,
}

impl<'a> Keep<'a> {
    fn new(meanwhile: &'a dyn Fn(u32)) -> Self {
        Self { bytes: Vec::new(), holes: 0, restarts: 0, meanwhile, calls: 0 }
    }
}

impl Sink for Keep<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        (self.meanwhile)(self.calls);
        self.calls += 1;
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.bytes.resize(self.bytes.len() + usize::try_from(len).expect("small"), 0);
        self.holes += len;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.restarts += 1;
        Ok(())
    }
}

#[test]
fn a_quiet_file_is_read_as_it_is() {
    let share = share();
    for len in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 5] {
        let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect();
        let path = share.file("file", &bytes);
        let (mut kept, begun) = (Keep::new(&|_| ()), clock());
        let reading = share.read("file", false, &mut kept).expect("read");
        assert!(kept.bytes == bytes, "{len} bytes");
        assert_eq!(reading.content, Content::file(digest(&bytes), len as u64));
        assert!(reading.at >= begun && reading.at <= clock());
        let st = beneath::stat_fd(File::open(path).expect("open").as_fd()).expect("there");
        let now = stat::stat(&st, stat::device(&st)).expect("a file");
        assert!(reading.stat.same(&now), "{:?} and {now:?}", reading.stat);
    }
}

#[test]
fn holes_are_told_and_hashed_as_zeros() {
    let share = share();
    let path = share.file("sparse", b"");
    let file = OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(5 << 20).expect("long");
    file.write_all_at(b"middle", 2 << 20).expect("written");
    let mut kept = Keep::new(&|_| ());
    let reading = share.read("sparse", false, &mut kept).expect("read");
    let whole = std::fs::read(&path).expect("read");
    assert!(kept.bytes == whole);
    assert!(kept.holes >= 4 << 20, "{} bytes of holes", kept.holes);
    assert_eq!(reading.content, Content::file(digest(&whole), 5 << 20));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_busy() {
    let share = share();
    let path = share.file("file", &vec![1; 2 * BUFFER]);
    let overwrite = |call| {
        if call == 0 {
            let file = OpenOptions::new().write(true).open(&path).expect("open");
            file.write_all_at(b"new", 5).expect("written");
        }
    };
    let result = share.read("file", false, &mut Keep::new(&overwrite));
    assert_eq!(result, Err(ReadFault::Busy("it changed while it was read".into())));
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_busy() {
    let share = share();
    let path = share.file("file", &vec![1; 2 * BUFFER]);
    let cut = |_| OpenOptions::new().write(true).open(&path).expect("open").set_len(10).expect("cut");
    for insist in [false, true] {
        std::fs::write(&path, vec![1; 2 * BUFFER]).expect("written");
        let mut kept = Keep::new(&cut);
        let result = share.read("file", insist, &mut kept);
        if insist {
            // Begun again, it is a short file that holds still, apart from being cut to the same length again.
            assert_eq!(result.expect("read").content, Content::file(digest(&[1; 10]), 10));
            assert_eq!(kept.bytes, [1; 10]);
        } else {
            assert_eq!(result, Err(ReadFault::Busy("it changed while it was read".into())));
        }
    }
}

#[test]
fn a_chmod_in_between_costs_a_second_passage_only() {
    let share = share();
    let path = share.file("file", b"bytes");
    let chmod = |call| {
        if call == 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        }
    };
    let mut kept = Keep::new(&chmod);
    let reading = share.read("file", false, &mut kept).expect("read");
    assert_eq!((kept.restarts, &kept.bytes[..], reading.stat.meta.mode), (1, &b"bytes"[..], 0o640));
}

#[test]
fn a_growing_file_is_read_as_far_as_it_was_long_when_patience_is_over() {
    let share = share();
    let begin = vec![7; BUFFER + 100];
    let path = share.file("log", &begin);
    let grow = |_| OpenOptions::new().append(true).open(&path).expect("open").write_all(b"more").expect("written");
    assert!(matches!(share.read("log", false, &mut Keep::new(&grow)), Err(ReadFault::Busy(_))));
    std::fs::write(&path, &begin).expect("written");
    let mut kept = Keep::new(&grow);
    let reading = share.read("log", true, &mut kept).expect("read");
    assert_eq!(reading.content, Content::file(digest(&begin), begin.len() as u64));
    assert!(kept.bytes == begin);
    assert_eq!((kept.restarts, reading.stat.shape.len), (0, begin.len() as u64));
}

#[test]
fn a_file_whose_begin_is_rewritten_all_the_time_is_busy_even_then() {
    let share = share();
    let path = share.file("db", &vec![0; BUFFER + 1]);
    let step = Cell::new(0_u8);
    let rewrite = |_| {
        step.set(step.get() + 1);
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.write_all_at(&[step.get()], 0).expect("written");
    };
    let mut kept = Keep::new(&rewrite);
    assert_eq!(share.read("db", true, &mut kept), Err(ReadFault::Busy("it changed while it was read".into())));
    assert_eq!(kept.restarts, TRIES_MAX - 1);
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_has_changed() {
    let share = share();
    let path = share.file("file", b"old");
    let new = share.file("new", b"new");
    let result = share.read("file", false, &mut Keep::new(&|_| std::fs::rename(&new, &path).expect("renamed")));
    assert_eq!(result, Err(ReadFault::Changed));
    let result = share.read("file", true, &mut Keep::new(&|_| std::fs::remove_file(&path).expect("removed")));
    assert_eq!(result, Err(ReadFault::Changed));
    assert_eq!(share.read("file", false, &mut Discard), Err(ReadFault::Absent));
}

#[test]
fn what_is_no_file_has_changed_and_what_is_nothing_is_absent() {
    let share = share();
    std::fs::create_dir(share.dir.path().join("folder")).expect("made");
    std::os::unix::fs::symlink("folder", share.dir.path().join("link")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(share.dir.path().join("socket")).expect("bound");
    let made = std::process::Command::new("mkfifo").arg(share.dir.path().join("fifo")).status().expect("run");
    assert!(made.success());
    share.file("file", b"");
    for name in ["folder", "link", "socket", "fifo"] {
        assert_eq!(share.read(name, false, &mut Discard), Err(ReadFault::Changed), "{name}");
    }
    for name in ["none", "none/x", "file/x", "link/x"] {
        assert_eq!(share.read(name, false, &mut Discard), Err(ReadFault::Absent), "{name}");
    }
}

#[test]
fn nothing_is_absent_from_a_root_that_was_replaced() {
    let share = share();
    let root = share.dir.path().join("root");
    std::fs::create_dir(&root).expect("made");
    let id = root_id(&root).expect("there");
    let mut reader = Reader::open(&root, &id).expect("online");
    std::fs::rename(&root, share.dir.path().join("away")).expect("moved");
    std::fs::create_dir(&root).expect("made");
    let (now, stop) = (|| LATER, AtomicBool::new(false));
    let how = How { probe_writers_since: None, insist: false, known: None, again: false, now: &now, stop: &stop };
    let path = RelPath::new("file").expect("fine");
    assert!(matches!(reader.read(&path, &how, &mut Discard), Err(ReadFault::Offline(_))));
    assert!(Reader::open(&root, &id).is_err());
}

#[test]
fn a_file_that_is_open_for_writing_is_busy_until_patience_is_over() {
    raw::ignore_lease_breaks();
    let share = share();
    let path = share.file("file", b"half");
    let known = raw::has_writer(File::open(&path).expect("open").as_fd());
    if matches!(known, Writer::NotKnown | Writer::NoLeases) {
        return;
    }
    let _writer = OpenOptions::new().append(true).open(&path).expect("open for writing");
    let read = |insist, since| share.read_probing("file", insist, since, &mut Discard);
    assert_eq!(read(false, Some(Wall(0))), Err(ReadFault::Busy("it is open for writing".into())));
    assert!(read(true, Some(Wall(0))).is_ok());
    assert!(read(false, None).is_ok());
    assert!(read(false, Some(LATER)).is_ok(), "it was not changed since");
}

#[test]
fn a_file_that_was_changed_this_moment_is_left_alone_for_a_tick() {
    let share = share();
    let path = share.file("file", b"1");
    let ctime = beneath::stat_fd(File::open(&path).expect("open").as_fd()).expect("there").stx_ctime;
    let stop = AtomicBool::new(false);
    for (later, waits) in [(0, true), (-5_000_000, true), (25_000_000, false), (-25_000_000, false)] {
        let now = || Wall(Wall::from_parts(ctime.tv_sec, ctime.tv_nsec).0 + later);
        let how = How { probe_writers_since: None, insist: false, known: None, again: false, now: &now, stop: &stop };
        let begun = std::time::Instant::now();
        let mut reader = Reader::open(share.dir.path(), &share.id).expect("online");
        let opened = reader.open_settled(&RelPath::new("file").expect("fine"), &how).expect("a file");
        assert!(opened.settled);
        assert_eq!(begun.elapsed() >= TICK, waits, "{later} ns later");
    }
}

#[test]
fn a_file_that_changes_during_its_tick_is_not_trusted_at_once() {
    let share = share();
    let path = share.file("file", b"1");
    let (asked, stop) = (Cell::new(0), AtomicBool::new(false));
    let now = || {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            std::fs::write(&path, b"two").expect("written");
        }
        clock()
    };
    let how = How { probe_writers_since: None, insist: false, known: None, again: false, now: &now, stop: &stop };
    let mut reader = Reader::open(share.dir.path(), &share.id).expect("online");
    let mut kept = Keep::new(&|_| ());
    let reading = reader.read(&RelPath::new("file").expect("fine"), &how, &mut kept).expect("read");
    assert_eq!((reading.content, kept.restarts), (Content::file(digest(b"two"), 3), 1));
}

#[test]
fn a_sink_that_fails_and_a_stop_are_told_apart() {
    struct Full;
    impl Sink for Full {
        fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn hole(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn restart(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let share = share();
    share.file("file", b"x");
    assert_eq!(share.read("file", false, &mut Full), Err(ReadFault::Sink));
    let (now, stop) = (|| LATER, AtomicBool::new(true));
    let how = How { probe_writers_since: None, insist: false, known: None, again: false, now: &now, stop: &stop };
    let mut reader = Reader::open(share.dir.path(), &share.id).expect("online");
    let result = reader.read(&RelPath::new("file").expect("fine"), &how, &mut Discard);
    assert_eq!(result, Err(ReadFault::Busy("the agent is stopping".into())));
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_troubled() {
    let share = share();
    let path = share.file("file", b"x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    let result = without_privileges(|| share.read("file", false, &mut Discard));
    let Err(ReadFault::Troubled(trouble)) = result else { panic!("{result:?}") };
    assert_eq!(trouble.message, "cannot read the file: Permission denied (os error 13)");
    assert!(trouble.hint.contains("agent's user"), "{trouble:?}");
    assert!(matches!(share.read(&"n".repeat(256), false, &mut Discard), Err(ReadFault::Troubled(_))));
}

/// Wants no bytes, and must get none.
struct Wantless;

impl Sink for Wantless {
    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("no bytes are wanted"))
    }

    fn hole(&mut self, _: u64) -> io::Result<()> {
        Err(io::Error::other("no bytes are wanted"))
    }

    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wants(&self, _: u64) -> bool {
        false
    }
}

#[test]
fn what_is_known_and_has_not_changed_is_not_read_for_those_who_want_no_bytes() {
    let share = share();
    share.file("a", b"what it holds");
    let known = share.read("a", false, &mut Discard).expect("read");
    let (path, now, stop) = (RelPath::new("a").expect("fine"), || LATER, AtomicBool::new(false));
    let how =
        How { probe_writers_since: None, insist: false, known: Some(known), again: false, now: &now, stop: &stop };
    let mut reader = Reader::open(share.dir.path(), &share.id).expect("online");
    assert_eq!(reader.read(&path, &how, &mut Wantless), Ok(known));
    let mut keep = Keep::new(&|_| ());
    assert_eq!(reader.read(&path, &how, &mut keep).expect("read").content, known.content);
    assert_eq!(keep.bytes, b"what it holds", "who wants bytes gets them");
    share.file("a", b"what it has no");
    assert_eq!(reader.read(&path, &how, &mut Wantless), Err(ReadFault::Sink), "it has changed: it has to be read");
}

/// Bytes of a file that are in memory.
fn cached(path: &Path) -> u64 {
    let said =
        std::process::Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    let said = said.expect("util-linux is there").stdout;
    String::from_utf8_lossy(&said).trim().parse().expect("a number")
}

#[test]
fn a_large_file_that_is_read_again_to_be_sent_is_still_in_memory() {
    let share = share();
    let path = share.file("a", &vec![1; usize::try_from(LARGE).expect("it fits") + 1]);
    // What is not on the disk yet is not forgotten in any case.
    std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("written");
    struct Later;
    impl Sink for Later {
        fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn hole(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn restart(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn wants(&self, _: u64) -> bool {
            false
        }
    }
    share.read("a", false, &mut Later).expect("read");
    assert!(cached(&path) > LARGE / 2, "{} bytes", cached(&path));
}
