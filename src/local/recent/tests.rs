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

    /// What a target's thread gets. A reader asks the clock twice: whether the last change is older than a tick, and when
    /// it begins to read.
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadFault> {
        let now = || {
            self.readings.fetch_add(1, Ordering::Relaxed);
            Wall(i64::MAX / 2)
        };
        let stop = AtomicBool::new(false);
        let how = How { probe_writers_since: None, insist: false, known: None, now: &now, stop: &stop };
        let mut reader = Reader::open(self.dir.path(), &self.id).expect("online");
        let mut sink = Bytes::default();
        let reading = self.recent.read(&mut reader, &RelPath::new(name).expect("fine"), &how, &mut sink)?;
        assert_eq!(reading.content.shape.len, sink.0.len() as u64);
        Ok(sink.0)
    }

    /// How often the share was read since this was last asked.
    fn readings(&self) -> usize {
        self.readings.swap(0, Ordering::Relaxed) / 2
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
