//! The ledger of a directory: `.driftline/ledger/<day in UTC>-<writer>`, a file for each writer, so that no two machines
//! ever write to one.

use std::fs::File;
use std::io::{self, BufReader, Write as _};

use crate::model::{Past, Wall};
use crate::sys::beneath;
use crate::sys::publish::{self as sys, Errno, Spot};
use crate::target::ledger::{FOLDER, day_of, parse};

use super::fault::{Outcome, is};
use super::identity::Place;
use super::ours;
use super::publish::Job;

/// Longest line that is read (bytes): two paths, each of at most as many bytes as a file system has names for.
const LINE_MAX: usize = 64 * 1024;

impl Job<'_> {
    /// Adds lines to the ledger. They are on the medium when the call is done, not before.
    pub(super) fn write_ledger(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut file = match self.ledger.take() {
            Some(file) => file,
            None => self.open_ledger()?,
        };
        file.write_all(text)?;
        self.ledger = Some(file);
        Ok(())
    }

    fn open_ledger(&mut self) -> io::Result<File> {
        let path = ours(FOLDER.as_bytes());
        let folder = self.touched.make(self.place, &path)?;
        self.touched.note(&path, &folder)?;
        let name = format!("{}-{}", day_of((self.target.setup.now)()), self.target.writer_hash());
        sys::append(Spot::new(&folder, name.as_bytes()))
    }
}

/// The names of its files, with the days that they are of.
fn files(place: &Place) -> Outcome<Option<(std::os::fd::OwnedFd, Vec<Vec<u8>>)>> {
    let folder = match beneath::open_folder(place.root(), &ours(FOLDER.as_bytes())) {
        Err(err) if is(&err, Errno::NOENT) => return Ok(None),
        result => result?,
    };
    let mut names = Vec::new();
    sys::each_name(&folder, |name| {
        names.push(name.to_vec());
        Ok(true)
    })?;
    Ok(Some((folder, names)))
}

/// Passes on every line that tells of something after `after`, until `each` returns false; then false.
pub(super) fn tell(place: &Place, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Outcome<bool> {
    let Some((folder, names)) = files(place)? else { return Ok(true) };
    let first = day_of(after).into_bytes();
    for name in names.iter().filter(|name| name.get(..first.len()) >= Some(&first)) {
        let mut file = BufReader::new(sys::open_file(Spot::new(&folder, name))?);
        let mut line = Vec::new();
        while read_line(&mut file, &mut line)? {
            let past = parse(&line).filter(|past| past.at() > after);
            if past.is_some_and(|past| !each(past)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The next line without its end; of a longer one than [`LINE_MAX`], only its beginning.
fn read_line(file: &mut impl io::BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let room = file.fill_buf()?;
        if room.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = room.iter().position(|byte| *byte == b'\n');
        let part = &room[..end.unwrap_or(room.len())];
        line.extend_from_slice(&part[..part.len().min(LINE_MAX.saturating_sub(line.len()))]);
        let used = end.map_or(room.len(), |end| end + 1);
        file.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Removes the files of days before the one that `before` lies in.
pub(super) fn prune(place: &Place, before: Wall) -> Outcome<()> {
    let Some((folder, names)) = files(place)? else { return Ok(()) };
    let first = day_of(before).into_bytes();
    let is_day = |name: &[u8]| name.len() > first.len() && name[..first.len()].iter().all(u8::is_ascii_digit);
    for name in names.iter().filter(|name| is_day(name) && name[..first.len()] < first[..]) {
        sys::unlink(Spot::new(&folder, name))?;
    }
    Ok(())
}
