//! Has a target tell what lay there before, and may have been deleted.

use std::sync::atomic::Ordering;

use crate::engine::drive::Input;
use crate::engine::hands::LaneHands;
use crate::engine::{Event, Failure, Recalled};
use crate::index::Reader;
use crate::model::{Kept, Past, RelPath, Wall, Was};
use crate::plan::{Lies, Tombstone};
use crate::target::{Piece, ReadError};

/// Versions told of at once (count).
const PAGE: usize = 1000;
/// Versions of which only a request tells what they hold, and that are asked for it, at most (count): beyond, an old copy of
/// what was deleted may come back as a file, and nothing is lost.
const ASKED_MAX: usize = 1000;

impl LaneHands {
    /// Tells all versions that the target keeps of what was replaced or removed since `after`.
    pub(super) fn recall(&self, after: Wall) -> Result<(), Failure> {
        let (mut page, mut unknown, mut heard) = (Vec::new(), Vec::new(), true);
        let mut reader = None;
        let mut is_news = |path: &RelPath, at| {
            if reader.is_none() {
                reader = Reader::open(&self.index).ok().flatten();
            }
            reader.as_ref().is_none_or(|reader| self.is_news(reader, path, at))
        };
        self.target.past(&RelPath::root(), after, &mut |past| {
            self.pulse.beat();
            if let Past::Changed { path, at, was: Was::Version(kept) } = past {
                match Tombstone::recalled(&kept) {
                    Some(what) => page.push(Recalled { path, what, at }),
                    None if unknown.len() < ASKED_MAX && is_news(&path, at) => unknown.push((path, at, kept)),
                    None => {}
                }
            }
            if page.len() >= PAGE {
                heard = self.tell(std::mem::take(&mut page));
            }
            heard && !self.share.stop.load(Ordering::Relaxed)
        })?;
        for (path, at, kept) in unknown {
            let what = self.head_of(&path, kept)?;
            page.extend(what.map(|what| Recalled { path, what, at }));
        }
        self.tell(page);
        Ok(())
    }

    fn tell(&self, page: Vec<Recalled>) -> bool {
        page.is_empty() || self.share.out.send(Input::Event(Event::Recalled(self.id, page))).is_ok()
    }

    /// Neither share nor target has it, as far as the index knows, and it does not know yet that it was deleted.
    fn is_news(&self, reader: &Reader, path: &RelPath, at: Wall) -> bool {
        let lies = reader.lies(self.share.id, self.id, path);
        let deleted = reader.deleted(self.share.id, path);
        lies.is_ok_and(|lies| lies == Lies::Gone) && deleted.is_ok_and(|deleted| deleted.is_none_or(|then| then < at))
    }

    /// What a version of a bucket's own holds stands beside it, if we put it there.
    fn head_of(&self, path: &RelPath, kept: Kept) -> Result<Option<Tombstone>, Failure> {
        self.pulse.beat();
        let mut head = None;
        let read = self.target.read(path, &kept.which, &mut |piece| {
            if let Piece::Head(seen) = piece {
                head = Some(*seen);
            }
            Ok(false)
        });
        match read {
            Ok(()) => Ok(head.and_then(|seen| Tombstone::recalled(&Kept { seen, ..kept }))),
            // Whoever asks for no more is told so.
            Err(ReadError::Taker(_)) => Ok(None),
            // Gone meanwhile, or not to be read: nothing is known of it.
            Err(ReadError::Target(error)) if error.fault.remedy() != crate::target::Remedy::RestTarget => Ok(None),
            Err(ReadError::Target(error)) => Err(error.into()),
        }
    }
}
