//! Long files that a target's thread reads just now, and what they were found to hold: another target, which has to know that
//! before it sends the first byte, need not read them for it.
//!
//! Nobody waits in here. Whoever asks is told to come again while the one who reads gets on, and to read for himself once that
//! one does not: what holds one target up, a line or a mount that hangs, holds up no other.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Moment, Reading, RelPath};

/// How long somebody who reads is watched before it is judged whether he gets on.
const WATCHED: Duration = Duration::from_secs(2);
/// What he has to have read by then (bytes): a disk gives more. Else he is too slow to wait for.
const WORTH_WAITING: u64 = 64 << 20;
/// Read for nothing at most (bytes), by one who only wants to know what a file holds and leaves it to one who copies it.
const GIVES_WAY: u64 = 256 << 20;
/// Files of which it is remembered what they were found to hold (count); then the oldest are forgotten.
const KNOWN_MAX: usize = 64;

/// One thread's way through one file.
#[derive(Debug)]
pub(super) struct Passage {
    /// The bytes are wanted, and not only what they are.
    copies: bool,
    done: AtomicU64,
    gives_way: AtomicBool,
}

/// What is under way on one share, and what came of it.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    reading: HashMap<RelPath, Watched>,
    known: VecDeque<(RelPath, Reading)>,
}

#[derive(Debug)]
struct Watched {
    passage: Arc<Passage>,
    /// When it was last found to get on, and how far it was then; `None` until somebody asks.
    last: Option<(Moment, u64)>,
}

/// How somebody gets on who has read so many bytes in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    NotJudged,
    GetsOn,
    TooSlow,
}

fn pace(bytes: u64, watched: Duration) -> Pace {
    match (watched < WATCHED, bytes < WORTH_WAITING) {
        (true, _) => Pace::NotJudged,
        (false, false) => Pace::GetsOn,
        (false, true) => Pace::TooSlow,
    }
}

impl Passage {
    /// So many bytes more were read. Fails if it is left to another.
    pub(super) fn get_on(&self, by: u64) -> io::Result<()> {
        self.done.fetch_add(by, Ordering::Relaxed);
        if self.is_left() { Err(io::Error::other("another target's thread reads it")) } else { Ok(()) }
    }

    /// Another reads it, and the rest of it is left to him.
    pub(super) fn is_left(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl UnderWay {
    /// Somebody reads a long file. Who came first is the one that others ask about.
    pub(super) fn begin(&mut self, path: &RelPath, copies: bool) -> Arc<Passage> {
        let passage = Arc::new(Passage { copies, done: AtomicU64::new(0), gives_way: AtomicBool::new(false) });
        let watched = || Watched { passage: Arc::clone(&passage), last: None };
        self.reading.entry(path.clone()).or_insert_with(watched);
        passage
    }

    /// Somebody comes to copy it: who only wants to know what it holds, and has not read much, leaves that to him.
    pub(super) fn take_over(&mut self, path: &RelPath) -> Option<Arc<Passage>> {
        let may = |other: &&Watched| !other.passage.copies && other.passage.done() <= GIVES_WAY;
        self.reading.get(path).filter(may)?.passage.gives_way.store(true, Ordering::Relaxed);
        self.reading.remove(path);
        Some(self.begin(path, true))
    }

    /// He has read it to its end, or given it up.
    pub(super) fn end(&mut self, path: &RelPath, passage: &Arc<Passage>, found: Option<&Reading>) {
        if self.reading.get(path).is_some_and(|watched| Arc::ptr_eq(&watched.passage, passage)) {
            self.reading.remove(path);
        }
        if let Some(found) = found {
            self.known.retain(|(known, _)| known != path);
            self.known.push_back((path.clone(), *found));
            if self.known.len() > KNOWN_MAX {
                self.known.pop_front();
            }
        }
    }

    /// What it was found to hold. It may have changed since.
    pub(super) fn known(&self, path: &RelPath) -> Option<Reading> {
        self.known.iter().find(|(known, _)| known == path).map(|(_, reading)| *reading)
    }

    /// Whether somebody will know soon what it holds. One who is too slow is not asked about again.
    pub(super) fn is_coming(&mut self, path: &RelPath, now: Moment) -> bool {
        let Some(watched) = self.reading.get_mut(path) else { return false };
        let done = watched.passage.done();
        let (since, then) = *watched.last.get_or_insert((now, done));
        match pace(done - then, now.since(since)) {
            Pace::NotJudged => true,
            Pace::GetsOn => {
                watched.last = Some((now, done));
                true
            }
            Pace::TooSlow => {
                self.reading.remove(path);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Content, Digest, Kind, Meta, Shape, Stat, Wall};

    fn path(name: &str) -> RelPath {
        RelPath::new(name).expect("a test's path is fine")
    }

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn reading(of: &[u8]) -> Reading {
        let shape = Shape { kind: Kind::File, len: of.len() as u64 };
        let stat = Stat { shape, meta: Meta::NOTHING, ctime: Wall(1), ino: 2, nlink: 1, mounted: false };
        Reading { content: Content::file(Digest::of(of), shape.len), stat, at: Wall(3), noise: false }
    }

    #[test]
    fn the_pace_is_judged_once_it_was_watched_long_enough() {
        let short = WATCHED - Duration::from_nanos(1);
        for (bytes, watched, said) in [
            (0, Duration::ZERO, Pace::NotJudged),
            (0, short, Pace::NotJudged),
            (WORTH_WAITING, short, Pace::NotJudged),
            (0, WATCHED, Pace::TooSlow),
            (WORTH_WAITING - 1, WATCHED, Pace::TooSlow),
            (WORTH_WAITING, WATCHED, Pace::GetsOn),
            (WORTH_WAITING, WATCHED * 9, Pace::GetsOn),
        ] {
            assert_eq!(pace(bytes, watched), said, "{bytes} in {watched:?}");
        }
    }

    #[test]
    fn who_gets_on_is_waited_for_and_who_does_not_is_not() {
        let (mut way, path) = (UnderWay::default(), path("a"));
        assert!(!way.is_coming(&path, at(0)), "nobody reads it");
        let first = way.begin(&path, true);
        first.get_on(5).expect("nobody else");
        assert!(way.is_coming(&path, at(100)));
        first.get_on(WORTH_WAITING).expect("nobody else");
        assert!(way.is_coming(&path, at(2100)), "it got on");
        assert!(way.is_coming(&path, at(4099)), "not judged again yet");
        assert!(!way.is_coming(&path, at(4100)), "it hangs");
        let second = way.begin(&path, false);
        assert!(way.is_coming(&path, at(9000)), "the next one is watched anew");
        way.end(&path, &first, None);
        assert!(way.is_coming(&path, at(9001)), "what ended was another's");
        way.end(&path, &second, None);
        assert!(!way.is_coming(&path, at(9002)) && way.known(&path).is_none());
    }

    #[test]
    fn who_only_wants_to_know_leaves_it_to_who_copies() {
        let (mut way, path) = (UnderWay::default(), path("a"));
        assert!(way.take_over(&path).is_none(), "nobody reads it");
        let knows = way.begin(&path, false);
        knows.get_on(GIVES_WAY).expect("nobody else");
        let copies = way.take_over(&path).expect("it leaves it");
        assert!(knows.is_left() && knows.get_on(1).is_err());
        assert!(!copies.is_left() && copies.get_on(1).is_ok());
        assert!(way.take_over(&path).is_none(), "both copy");
        way.end(&path, &knows, None);
        assert!(way.is_coming(&path, at(0)));
        way.end(&path, &copies, Some(&reading(b"a")));
        assert!(!way.is_coming(&path, at(0)));
        assert_eq!(way.known(&path), Some(reading(b"a")));
        let far = way.begin(&path, false);
        far.get_on(GIVES_WAY + 1).expect("nobody else");
        assert!(way.take_over(&path).is_none() && !far.is_left(), "it has read too much to give it up");
    }

    #[test]
    fn what_is_known_is_the_last_version_and_has_a_bound() {
        let mut way = UnderWay::default();
        for n in 0..=KNOWN_MAX {
            let passage = way.begin(&path(&n.to_string()), true);
            way.end(&path(&n.to_string()), &passage, Some(&reading(b"old")));
        }
        assert_eq!((way.known(&path("0")), way.known(&path("1"))), (None, Some(reading(b"old"))));
        let passage = way.begin(&path("1"), true);
        way.end(&path("1"), &passage, Some(&reading(b"new")));
        assert_eq!((way.known(&path("1")), way.known.len()), (Some(reading(b"new")), KNOWN_MAX));
        assert!(way.reading.is_empty());
    }
}
