//! What the share's other targets need of a file that was just read for one of them: of a small one its bytes, which are kept
//! for a moment; of a long one, which each of them reads to send it, what it holds.
//!
//! Of a small file, whoever comes second waits for the first one's reading of the share, never for its target: it is read to its
//! end before any of it is handed on. For what a long one holds nobody waits in here, see [`super::under_way`].

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::local::under_way::{Passage, UnderWay};
use crate::local::{How, Reader};
use crate::model::{Moment, ReadFault, Reading, RelPath, Sink};

/// The longest file that is kept (bytes): as long as what a bucket takes in one request. A longer one is sent in parts, with
/// its hash from the beginning: a bucket has to know what it holds before it is read to be sent.
const SMALL: usize = 8 << 20;
/// Bytes kept in all, with what is just being read; then the oldest go, and who wants them reads again.
const KEPT_MAX: usize = 32 << 20;

/// The files of one share that were just read.
#[derive(Debug)]
pub struct Recent {
    /// Those who read (count). With one, nothing is kept.
    readers: usize,
    kept_max: usize,
    slots: Mutex<Slots>,
    /// Of long files.
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct Slots {
    by_path: HashMap<RelPath, Slot>,
    by_age: BTreeMap<u64, RelPath>,
    bytes: usize,
    /// Of files that are being read.
    coming: usize,
    next: u64,
}

#[derive(Debug)]
struct Slot {
    age: u64,
    len: usize,
    cell: Cell,
}

/// Locked while its file is being read.
type Cell = Arc<Mutex<Option<Held>>>;

#[derive(Clone, Debug)]
struct Held {
    reading: Reading,
    bytes: Arc<Vec<u8>>,
    /// Who has not had it yet (count).
    left: usize,
}

impl Recent {
    /// For a share with so many targets.
    pub fn new(readers: usize) -> Self {
        Self { readers, kept_max: KEPT_MAX, slots: Mutex::default(), under_way: Mutex::default() }
    }

    /// Like [`Reader::read`], and without reading if another target's thread has just read this very version: of a long file
    /// that helps only those who do not want its bytes. These are told [`ReadFault::InHand`] while another is just about it,
    /// and ask again.
    pub fn read(
        &self,
        reader: &mut Reader,
        path: &RelPath,
        how: &How<'_>,
        now: &dyn Fn() -> Moment,
        sink: &mut dyn Sink,
    ) -> Result<Reading, ReadFault> {
        if self.readers < 2 {
            return reader.read(path, how, sink);
        }
        let cell = self.slots().cell(path);
        let mut held = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.as_mut().filter(|held| reader.is_still(path, &held.reading.stat)) {
            // One who came before the last had it and was forgotten comes after it.
            known.left = known.left.saturating_sub(1);
            let known = known.clone();
            drop(held);
            if known.left == 0 {
                self.slots().forget(path, &cell);
            }
            return hand_on(&known, sink);
        }
        *held = None;
        let copies = sink.wants(SMALL as u64 + 1);
        let found = if copies { Ok(how.known) } else { self.found(reader, path, how.known, now) };
        let known = match found {
            Ok(known) => known,
            Err(fault) => {
                drop(held);
                self.slots().forget(path, &cell);
                return Err(fault);
            }
        };
        let passage = if copies { self.under_way().take_over(path) } else { None };
        let mut keeping = Keeping {
            recent: self,
            path,
            sink,
            bytes: Vec::new(),
            room: 0,
            held: Some(held),
            copies,
            seen: 0,
            passage,
            found: None,
        };
        let mut answer = reader.read(path, &How { known, again: true, ..*how }, &mut keeping);
        keeping.found = answer.as_ref().ok().copied();
        if answer == Err(ReadFault::Sink) && keeping.passage.as_ref().is_some_and(|passage| passage.is_left()) {
            answer = Err(ReadFault::InHand);
        }
        let (bytes, held) = (std::mem::take(&mut keeping.bytes), keeping.held.take());
        drop(keeping);
        match (answer, held) {
            // Of a long one that was known nothing came, and nothing is kept.
            (Ok(reading), Some(mut held)) if bytes.len() as u64 == reading.content.shape.len => {
                let known = Held { reading, bytes: Arc::new(bytes), left: self.readers - 1 };
                *held = Some(known.clone());
                drop(held);
                self.slots().keep(path, &cell, known.bytes.len(), self.kept_max);
                hand_on(&known, sink)
            }
            (answer, held) => {
                drop(held);
                self.slots().forget(path, &cell);
                answer
            }
        }
    }

    /// What a long file holds, as far as that is known without reading it.
    fn found(
        &self,
        reader: &Reader,
        path: &RelPath,
        known: Option<Reading>,
        now: &dyn Fn() -> Moment,
    ) -> Result<Option<Reading>, ReadFault> {
        let just_found = self.under_way().known(path);
        let mut all = known.into_iter().chain(just_found);
        if let Some(known) = all.find(|known| reader.is_still(path, &known.stat)) {
            return Ok(Some(known));
        }
        if self.under_way().is_coming(path, now()) { Err(ReadFault::InHand) } else { Ok(None) }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_on(held: &Held, sink: &mut dyn Sink) -> Result<Reading, ReadFault> {
    if !held.bytes.is_empty() {
        sink.bytes(&held.bytes).map_err(|_| ReadFault::Sink)?;
    }
    Ok(held.reading)
}

impl Slots {
    /// The place for a path's bytes; there are as many without any as there are threads that read.
    fn cell(&mut self, path: &RelPath) -> Cell {
        if let Some(slot) = self.by_path.get(path) {
            return Arc::clone(&slot.cell);
        }
        let (age, cell) = (self.next, Cell::default());
        self.next += 1;
        self.by_age.insert(age, path.clone());
        self.by_path.insert(path.clone(), Slot { age, len: 0, cell: Arc::clone(&cell) });
        cell
    }

    fn keep(&mut self, path: &RelPath, cell: &Cell, len: usize, most: usize) {
        let Some(slot) = self.by_path.get_mut(path).filter(|slot| Arc::ptr_eq(&slot.cell, cell)) else { return };
        self.bytes = self.bytes - slot.len + len;
        slot.len = len;
        self.make_room(self.coming, most);
    }

    /// Room for a file that is being read; false if others that are being read have it all.
    fn set_aside(&mut self, more: usize, most: usize) -> bool {
        let fits = self.coming + more <= most;
        if fits {
            self.coming += more;
            self.make_room(self.coming, most);
        }
        fits
    }

    /// The oldest go, until what is kept fits beside so many bytes.
    fn make_room(&mut self, beside: usize, most: usize) {
        while self.bytes > 0 && self.bytes + beside > most {
            let is_kept = |path: &&RelPath| self.by_path.get(path).is_some_and(|slot| slot.len > 0);
            let Some(oldest) = self.by_age.values().find(is_kept).cloned() else { return };
            self.remove(&oldest);
        }
    }

    fn forget(&mut self, path: &RelPath, cell: &Cell) {
        if self.by_path.get(path).is_some_and(|slot| Arc::ptr_eq(&slot.cell, cell)) {
            self.remove(path);
        }
    }

    fn remove(&mut self, path: &RelPath) {
        if let Some(slot) = self.by_path.remove(path) {
            self.by_age.remove(&slot.age);
            self.bytes -= slot.len;
        }
    }
}

/// Keeps a small file until it is whole. A longer one goes on to the sink as it comes, and others see how far it is.
struct Keeping<'a, 'b> {
    recent: &'b Recent,
    path: &'a RelPath,
    sink: &'a mut dyn Sink,
    bytes: Vec<u8>,
    /// Bytes set aside for it.
    room: usize,
    held: Option<MutexGuard<'b, Option<Held>>>,
    /// The sink wants the bytes of long files.
    copies: bool,
    /// Bytes that have come.
    seen: u64,
    /// Of a long file.
    passage: Option<Arc<Passage>>,
    found: Option<Reading>,
}

impl Keeping<'_, '_> {
    /// Others learn of a long file before they may ask about it.
    fn get_on(&mut self, by: u64) -> io::Result<()> {
        self.seen = self.seen.saturating_add(by);
        if self.seen > SMALL as u64 && self.passage.is_none() {
            self.passage = Some(self.recent.under_way().begin(self.path, self.copies));
        }
        self.passage.as_ref().map_or(Ok(()), |passage| passage.get_on(by))
    }

    /// True if `more` bytes fit; else the sink has had what came before.
    fn keeps(&mut self, more: u64) -> io::Result<bool> {
        if self.held.is_none() {
            return Ok(false);
        }
        let len = usize::try_from(more).ok().and_then(|more| self.bytes.len().checked_add(more));
        if len.is_some_and(|len| len <= SMALL && self.has_room(len)) {
            return Ok(true);
        }
        self.held = None;
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.sink.bytes(&bytes)?;
        }
        Ok(false)
    }

    fn has_room(&mut self, len: usize) -> bool {
        let more = len.saturating_sub(self.room);
        let fits = more == 0 || self.recent.slots().set_aside(more, self.recent.kept_max);
        self.room += if fits { more } else { 0 };
        fits
    }
}

impl Drop for Keeping<'_, '_> {
    fn drop(&mut self) {
        if let Some(passage) = &self.passage {
            self.recent.under_way().end(self.path, passage, self.found.as_ref());
        }
        if self.room > 0 {
            self.recent.slots().coming -= self.room;
        }
    }
}

impl Sink for Keeping<'_, '_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.get_on(bytes.len() as u64)?;
        if !self.keeps(bytes.len() as u64)? {
            return self.sink.bytes(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.get_on(len)?;
        if !self.keeps(len)? {
            return self.sink.hole(len);
        }
        let end = self.bytes.len() + usize::try_from(len).map_err(io::Error::other)?;
        self.bytes.resize(end, 0);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        if self.held.is_none() {
            return self.sink.restart();
        }
        self.bytes.clear();
        Ok(())
    }

    fn wants(&self, len: u64) -> bool {
        self.sink.wants(len)
    }
}

#[cfg(test)]
mod tests;
