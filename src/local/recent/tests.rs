use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::local::{RootId, root_id};
use crate::model::Wall;

/// Keeps what it gets, and counts how often it is told.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.0.resize(self.0.len() + usize::try_from(len).expect("short"), 0);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

/// Wants no bytes of long files, and calls this when some come.
struct Learns<F: FnMut()>(F);

impl<F: FnMut()> Sink for Learns<F> {
    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        (self.0)();
        Ok(())
    }

    fn hole(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wants(&self, len: u64) -> bool {
        len <= SMALL as u64
    }
}

/// Calls this before each part that it gets.
struct Before<F: FnMut()>(F, Bytes);

impl<F: FnMut()> Sink for Before<F> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        (self.0)();
        self.1.bytes(bytes)
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.1.hole(len)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.1.restart()
    }
}

struct Share {
    dir: tempfile::TempDir,
    id: RootId,
    recent: Recent,
    readings: AtomicUsize,
}

impl Share {
    fn with(readers: usize, kept_max: usize) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let id = root_id(dir.path()).expect("there");
        let recent = Recent { kept_max, ..Recent::new(readers) };
        Self { dir, id, recent, readings: AtomicUsize::new(0) }
    }

    fn save(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(name), bytes).expect("written");
    }

    /// What a target's thread gets. A reader asks the clock once, when it has opened the file.
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadFault> {
        let mut sink = Bytes::default();
        let reading = self.read_into(name, None, Moment::default(), &mut sink)?;
        assert_eq!(reading.content.shape.len, sink.0.len() as u64);
        Ok(sink.0)
    }

    /// What a target's thread gets that has to know what a long file holds, before it reads it to send it.
    fn learn(&self, name: &str, now: Moment) -> Result<Reading, ReadFault> {
        self.read_into(name, None, now, &mut Learns(|| {}))
    }

    fn read_into(
        &self,
        name: &str,
        known: Option<Reading>,
        at: Moment,
        sink: &mut dyn Sink,
    ) -> Result<Reading, ReadFault> {
        let now = || {
            let before = self.readings.fetch_add(1, Ordering::Relaxed);
            Wall(i64::MAX / 2 + i64::try_from(before).expect("few"))
        };
        let stop = AtomicBool::new(false);
        let how = How { probe_writers_since: None, insist: false, known, again: false, now: &now, stop: &stop };
        let mut reader = Reader::open(self.dir.path(), &self.id).expect("online");
        self.recent.read(&mut reader, &RelPath::new(name).expect("fine"), &how, &|| at, sink)
    }

    /// A long file.
    fn save_long(&self, name: &str) -> Vec<u8> {
        let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
        self.save(name, &bytes);
        bytes
    }

    /// How often the share's files were opened since this was last asked.
    fn readings(&self) -> usize {
        self.readings.swap(0, Ordering::Relaxed)
    }

    fn kept(&self) -> (usize, usize) {
        let slots = self.recent.slots();
        assert_eq!(slots.by_path.len(), slots.by_age.len());
        assert_eq!(slots.by_path.values().map(|slot| slot.len).sum::<usize>(), slots.bytes);
        (slots.by_path.len(), slots.bytes)
    }
}

#[test]
fn what_several_targets_want_is_read_once() {
    let share = Share::with(3, KEPT_MAX);
    share.save("a", b"the bytes of a");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(share.read("a"), Ok(b"the bytes of a".to_vec())));
        }
    });
    assert_eq!((share.readings(), share.kept()), (1, (0, 0)), "each has had it: nothing is kept");
    share.read("a").expect("read");
    assert_eq!(share.readings(), 1, "a fourth reads for itself");
}

/// Two come at the same instant when one of them is the last that was waited for: a target that reads it once more.
#[test]
fn one_more_than_were_waited_for_has_it_too() {
    let share = Share::with(2, KEPT_MAX);
    share.save("a", b"the bytes of a");
    share.read("a").expect("read");
    let path = RelPath::new("a").expect("fine");
    let slot = share.recent.slots().by_path.remove(&path).expect("kept");
    let cell = Arc::clone(&slot.cell);
    share.recent.slots().by_path.insert(path.clone(), slot);
    assert_eq!(share.read("a"), Ok(b"the bytes of a".to_vec()), "the last one");
    // He who comes now found the cell before it was forgotten.
    share.recent.slots().by_path.insert(path.clone(), Slot { age: 9, len: 0, cell: Arc::clone(&cell) });
    share.recent.slots().by_age.insert(9, path);
    assert_eq!((share.read("a"), share.readings()), (Ok(b"the bytes of a".to_vec()), 1));
    assert_eq!(share.kept(), (0, 0));
}

#[test]
fn another_version_is_read_again() {
    let share = Share::with(2, KEPT_MAX);
    share.save("a", b"the first version");
    assert_eq!(share.read("a"), Ok(b"the first version".to_vec()));
    share.save("a", b"the other version");
    assert_eq!(share.read("a"), Ok(b"the other version".to_vec()));
    assert_eq!(share.read("a"), Ok(b"the other version".to_vec()));
    assert_eq!((share.readings(), share.kept()), (2, (0, 0)));
    share.read("a").expect("read");
    std::fs::remove_file(share.dir.path().join("a")).expect("removed");
    assert_eq!(share.read("a"), Err(ReadFault::Absent));
    assert_eq!(share.kept(), (0, 0));
}

#[test]
fn what_is_kept_has_a_bound() {
    let share = Share::with(2, 100);
    for name in ["a", "b", "c"] {
        share.save(name, &[1; 40]);
        share.read(name).expect("read");
    }
    assert_eq!((share.readings(), share.kept()), (3, (2, 80)), "the oldest went");
    assert_eq!((share.read("c"), share.readings()), (Ok(vec![1; 40]), 0));
    assert_eq!((share.read("a"), share.readings()), (Ok(vec![1; 40]), 1));
    share.save("large", &vec![2; SMALL + 1]);
    assert_eq!(share.read("large"), Ok(vec![2; SMALL + 1]));
    assert!(!share.recent.slots().by_path.contains_key(&RelPath::new("large").expect("fine")));
}

#[test]
fn what_is_being_read_counts_and_goes_before_what_was() {
    let share = Share::with(2, 100);
    for (name, len) in [("a", 40), ("b", 40), ("c", 90), ("d", 101)] {
        share.save(name, &vec![1; len]);
    }
    share.read("a").expect("read");
    share.read("b").expect("read");
    assert_eq!(share.kept(), (2, 80));
    share.read("c").expect("read");
    assert_eq!((share.readings(), share.kept()), (3, (1, 90)), "the others gave way");
    assert_eq!(share.read("d"), Ok(vec![1; 101]), "with no room for it, it goes on as it comes");
    assert_eq!((share.readings(), share.kept()), (1, (1, 90)));
    assert!(share.recent.slots().set_aside(60, 100));
    assert_eq!(share.kept(), (0, 0), "what is coming needs the room");
    assert!(!share.recent.slots().set_aside(41, 100));
    assert_eq!(share.read("a"), Ok(vec![1; 40]));
    assert_eq!((share.readings(), share.kept()), (1, (1, 40)));
    assert_eq!(share.recent.slots().coming, 60);
}

#[test]
fn with_one_target_nothing_is_kept() {
    let share = Share::with(1, KEPT_MAX);
    share.save("a", b"bytes");
    assert_eq!((share.read("a"), share.kept()), (Ok(b"bytes".to_vec()), (0, 0)));
}

#[test]
fn what_a_long_file_holds_is_found_out_once() {
    let share = Share::with(3, KEPT_MAX);
    let bytes = share.save_long("a");
    let mut asked = 0;
    let asks = || {
        asked += 1;
        assert_eq!(share.learn("a", Moment::default()), Err(ReadFault::InHand), "while it is read");
    };
    let mut copy = Before(asks, Bytes::default());
    let copied = share.read_into("a", None, Moment::default(), &mut copy).expect("read");
    assert!(copy.1.0 == bytes && asked > 1);
    assert_eq!(share.readings(), 1);
    for _ in 0..3 {
        assert_eq!(share.learn("a", Moment::default()), Ok(copied));
    }
    // Whoever knows what it holds opens it and reads nothing: its time is that of the first reading.
    assert_eq!(share.readings(), 3);
    assert_eq!(share.kept(), (0, 0));
    assert!(share.read("a") == Ok(bytes), "its bytes are read by each who wants them");
    assert_eq!(share.readings(), 1);
    share.save("a", &vec![7; 2 * SMALL]);
    let other = share.learn("a", Moment::default()).expect("read");
    assert_eq!((share.readings(), other.content.shape.len), (1, 2 * SMALL as u64), "another version is another matter");
}

#[test]
fn who_copies_a_long_file_and_hangs_holds_nobody_up() {
    let share = Share::with(2, KEPT_MAX);
    let bytes = share.save_long("a");
    let (hung, is_hung) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let mut told = Some(hung);
        let hangs = move || {
            if let Some(told) = told.take() {
                told.send(()).expect("it is waited for");
                may_go_on.recv().expect("it is let go");
            }
        };
        let copies = scope.spawn(|| {
            let mut copy = Before(hangs, Bytes::default());
            share.read_into("a", None, Moment::default(), &mut copy).map(|reading| (reading, copy.1.0))
        });
        is_hung.recv().expect("it hangs");
        let at = |ms| Moment(std::time::Duration::from_millis(ms));
        assert_eq!(share.learn("a", at(0)), Err(ReadFault::InHand));
        assert_eq!(share.learn("a", at(1999)), Err(ReadFault::InHand));
        let learnt = share.learn("a", at(2000)).expect("it is read by who wants to know");
        assert_eq!(share.readings(), 2, "by both");
        go_on.send(()).expect("it hangs");
        let (reading, copied) = copies.join().expect("no panic").expect("read");
        assert!(copied == bytes && reading.content == learnt.content);
    });
}

#[test]
fn who_only_wants_to_know_what_a_long_file_holds_leaves_it_to_who_copies_it() {
    let share = Share::with(2, KEPT_MAX);
    let bytes = share.save_long("a");
    let mut copied = None;
    let copies = || {
        if copied.is_none() {
            copied = Some(share.read("a"));
        }
    };
    let learnt = share.read_into("a", None, Moment::default(), &mut Learns(copies));
    assert_eq!(learnt, Err(ReadFault::InHand));
    assert!(copied == Some(Ok(bytes)));
    assert!(share.learn("a", Moment::default()).is_ok());
}

#[test]
fn of_a_long_file_that_is_known_nothing_is_kept_for_who_wants_its_bytes() {
    let share = Share::with(2, KEPT_MAX);
    let bytes = share.save_long("a");
    let known = share.learn("a", Moment::default()).expect("read");
    assert_eq!(share.read_into("a", Some(known), Moment::default(), &mut Learns(|| {})), Ok(known));
    assert!(share.read("a") == Ok(bytes.clone()) && share.read("a") == Ok(bytes));
    assert_eq!(share.kept(), (0, 0));
}
