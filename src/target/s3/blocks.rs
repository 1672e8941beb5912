//! Memory for bytes on their way. Many small files share one block, and blocks are used again: a copy of many files takes as
//! much memory as is under way at once, and the system need not clear new pages for each.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Bytes of a block of small files. A longer file has one to itself.
const SMALL: usize = 1 << 20;
/// Blocks of small files that are kept when nothing is in them (count).
const SMALL_FREE: usize = 16;

/// Blocks of one size, to be used again.
#[derive(Debug)]
pub(super) struct Blocks {
    size: usize,
    free_max: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A block that files are being put into, one after the other.
pub(super) struct Filling<'a, T> {
    blocks: &'a Arc<Blocks>,
    bytes: Vec<u8>,
    /// Where each file lies that is in it from end to end, and what it belongs to.
    whole: Vec<(Range<usize>, T)>,
    full: &'a mut dyn FnMut(T, Bytes),
}

/// A block whose files are on their way. Its memory goes back when the last of them has been sent.
struct Lent {
    bytes: Vec<u8>,
    home: Arc<Blocks>,
}

impl Blocks {
    /// Blocks of `size` bytes, of which at most `free_max` are kept when nothing is in them.
    pub(super) fn new(size: usize, free_max: usize) -> Arc<Self> {
        Arc::new(Self { size, free_max, free: Mutex::default() })
    }

    /// Those of small files.
    pub(super) fn of_small_files() -> Arc<Self> {
        Self::new(SMALL, SMALL_FREE)
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // Each change is one push or pop, so a panic elsewhere leaves it whole.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.free().pop().unwrap_or_else(|| Vec::with_capacity(self.size))
    }

    /// What was put into one, to be sent: it comes back by itself.
    pub(super) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: Arc::clone(self) })
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut free = self.free();
        if bytes.capacity() == self.size && free.len() < self.free_max {
            free.push(bytes);
        }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

impl<'a, T> Filling<'a, T> {
    /// `full` is told of each file when its block is full, or at the end.
    pub(super) fn new(blocks: &'a Arc<Blocks>, full: &'a mut dyn FnMut(T, Bytes)) -> Self {
        Self { blocks, bytes: Vec::new(), whole: Vec::new(), full }
    }

    /// Where the last whole file ends.
    fn end(&self) -> usize {
        self.whole.last().map_or(0, |(range, _)| range.end)
    }

    /// Adds to the file that is being put in.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds zeros to it.
    pub(super) fn add_zeros(&mut self, len: usize) {
        self.make_room(len);
        self.bytes.resize(self.bytes.len() + len, 0);
    }

    /// Takes it out again.
    pub(super) fn cancel(&mut self) {
        self.bytes.truncate(self.end());
    }

    /// It is whole.
    pub(super) fn finish(&mut self, what: T) {
        let range = self.end()..self.bytes.len();
        self.whole.push((range, what));
    }

    /// A file that is begun where others are goes on in another block, if this one is too short for it.
    fn make_room(&mut self, more: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = self.blocks.take();
        }
        let begins = self.end();
        if self.bytes.len() + more > self.blocks.size && begins > 0 {
            let mut next = self.blocks.take();
            next.extend_from_slice(&self.bytes[begins..]);
            self.bytes.truncate(begins);
            self.hand_on();
            self.bytes = next;
        }
    }

    /// Hands on the files that are whole.
    fn hand_on(&mut self) {
        let all = self.blocks.lend(std::mem::take(&mut self.bytes));
        for (range, what) in self.whole.drain(..) {
            (self.full)(what, all.slice(range));
        }
    }

    /// Nothing more comes.
    pub(super) fn end_all(mut self) {
        self.cancel();
        self.hand_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts files of these lengths in, and gives what came out, and the blocks.
    fn through(lens: &[usize]) -> (Vec<(usize, Bytes)>, Arc<Blocks>) {
        let (blocks, mut out) = (Blocks::of_small_files(), Vec::new());
        let mut full = |which, bytes| out.push((which, bytes));
        let mut filling = Filling::new(&blocks, &mut full);
        for (which, len) in lens.iter().enumerate() {
            filling.add(b"given up");
            filling.cancel();
            filling.add(&vec![b'a' + u8::try_from(which).expect("few"); len / 2]);
            filling.add(&vec![b'A' + u8::try_from(which).expect("few"); len - len / 2]);
            filling.finish(which);
        }
        filling.end_all();
        (out, blocks)
    }

    #[test]
    fn each_file_comes_out_as_it_was_put_in() {
        let lens = [0, 5, SMALL - 5, 1, SMALL, 3 * SMALL, 0, 7, SMALL - 7, 2];
        let (out, _) = through(&lens);
        assert_eq!(out.len(), lens.len());
        for (at, (which, bytes)) in out.iter().enumerate() {
            let letter = u8::try_from(at).expect("few");
            let mut wanted = vec![b'a' + letter; lens[at] / 2];
            wanted.resize(lens[at], b'A' + letter);
            assert!(*which == at && *bytes == wanted, "{at}");
        }
    }

    #[test]
    fn a_block_is_used_again_when_all_its_files_are_sent() {
        let (mut out, blocks) = through(&[10, 20, SMALL - 40, 30]);
        assert_eq!(blocks.free().len(), 0);
        out.truncate(3);
        assert_eq!(blocks.free().len(), 1, "the second block");
        out.truncate(1);
        assert_eq!(blocks.free().len(), 1, "one file is under way");
        out.clear();
        assert_eq!(blocks.free().len(), 2);
        assert!(blocks.free().iter().all(|block| block.is_empty() && block.capacity() == SMALL));
        drop(through(&[3 * SMALL]).0);
        let (out, blocks) = through(&[3 * SMALL]);
        drop(out);
        assert_eq!(blocks.free().len(), 0, "longer ones are not kept");
    }
}
