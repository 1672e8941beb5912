//! Where a file holds bytes, and advice to the page cache.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;

use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

/// The next bytes at or after `from` that are not a hole; `None` if only a hole follows.
///
/// A file system that does not tell holes shows one run of bytes to `len`.
pub fn next_data(file: &File, from: u64, len: u64) -> io::Result<Option<Range<u64>>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(Some(from..len)),
        Err(errno) => return Err(errno.into()),
    };
    if start >= len {
        return Ok(None);
    }
    let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) => end.min(len),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO) => len,
        Err(errno) => return Err(errno.into()),
    };
    Ok(Some(start..end))
}

/// Says that the whole file will be read from its begin to its end.
pub fn will_read_in_order(file: &File) {
    advise(file, Advice::Sequential);
}

/// Says that nobody here will read this file again soon.
pub fn will_not_read_again(file: &File) {
    advise(file, Advice::DontNeed);
}

/// Advice that is not taken changes nothing but speed.
fn advise(file: &File, advice: Advice) {
    let whole: Option<NonZeroU64> = None;
    let _unheard = rustix::fs::fadvise(file, 0, whole, advice);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_hole_lies_between_two_runs_of_bytes() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(8 << 20).expect("long");
        file.write_all_at(&[1; 4096], 4 << 20).expect("written");
        let run = next_data(&file, 0, 8 << 20).expect("told").expect("there are bytes");
        assert!(run.start <= 4 << 20 && run.end >= (4 << 20) + 4096, "{run:?}");
        if run.start > 0 {
            assert_eq!(next_data(&file, run.end, 8 << 20).expect("told"), None);
        }
    }
}
