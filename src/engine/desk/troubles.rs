//! What people have to be told about the share's files.

use crate::engine::desk::{Desk, Result};
use crate::engine::voice::Voice;
use crate::index::{Index, What};
use crate::local::{Found, PageEnd, ScanPage};
use crate::model::{Moment, RelPath, Trouble};
use crate::names::fold;

/// What the log says of the share's files.
#[derive(Debug, Default)]
pub(super) struct Voices {
    unreadable: Voice,
    readable: Voice,
    odd: Voice,
}

impl Desk {
    pub(super) fn begin_trouble(&mut self, index: &Index, path: &RelPath, what: What, trouble: &Trouble) -> Result<()> {
        if index.begin_trouble(self.id, path, what, trouble)? {
            match what {
                What::Unreadable => {
                    if self.voices.unreadable.names() {
                        tracing::warn!(share = self.setup.name, %path, hint = trouble.hint, "{path} {}", trouble.message);
                    }
                    index.note(self.id, None, path, "unreadable", &trouble.message)?;
                }
                What::Special | What::Twin => {
                    if self.voices.odd.names() {
                        tracing::info!(share = self.setup.name, %path, "{path} {}", trouble.message);
                    }
                }
            }
        }
        Ok(())
    }

    /// At the end of a turn: how many paths were not named one by one.
    pub(in crate::engine) fn speak(&mut self, now: Moment) {
        let Self { setup, voices, .. } = self;
        if let Some(count) = voices.unreadable.rest(now) {
            tracing::warn!(
                share = setup.name,
                count,
                hint = "see `driftline problems`",
                "cannot be read either, and not named here: {count} more"
            );
        }
        if let Some(count) = voices.readable.rest(now) {
            tracing::info!(share = setup.name, count, "no longer a problem either, and not named here: {count} more");
        }
        if let Some(count) = voices.odd.rest(now) {
            tracing::info!(
                share = setup.name,
                count,
                "told of by `driftline problems`, and not named here: {count} more"
            );
        }
    }

    /// When it has something to say, if nothing else happens.
    pub(in crate::engine) fn speaks_at(&self) -> Option<Moment> {
        let Voices { unreadable, readable, odd } = &self.voices;
        [unreadable, readable, odd].into_iter().filter_map(Voice::due).min()
    }

    /// A path can be read again, or is gone.
    pub(super) fn end_unreadable(&mut self, index: &Index, path: &RelPath) -> Result<()> {
        if index.end_trouble(self.id, path, What::Unreadable)? {
            if self.voices.readable.names() {
                tracing::info!(share = self.setup.name, %path, "{path} is no longer a problem");
            }
            index.note(self.id, None, path, "readable", "it is no longer a problem")?;
        }
        Ok(())
    }

    /// Ends what this page shows to be over.
    pub(super) fn end_troubles(&mut self, index: &mut Index, page: &ScanPage) -> Result<()> {
        if page.end == PageEnd::Complete {
            self.end_unreadable(index, &page.folder)?;
        }
        if page.end != PageEnd::Complete || self.paged.is_some() {
            return Ok(());
        }
        for path in index.troubled_in(self.id, &page.folder, What::Special)? {
            let still =
                |(name, found): &(Box<[u8]>, Found)| **name == *path.name() && matches!(found, Found::Special(_));
            if !page.entries.iter().any(still) {
                index.end_trouble(self.id, &path, What::Special)?;
            }
        }
        for path in index.troubled_in(self.id, &page.folder, What::Twin)? {
            if !page.entries.iter().any(|(name, _)| **name == *path.name()) {
                index.end_trouble(self.id, &path, What::Twin)?;
            }
        }
        Ok(())
    }

    /// Names that other systems take for one and the same are both kept, and told.
    pub(super) fn tell_twins(&mut self, index: &mut Index, page: &ScanPage) -> Result<()> {
        let mut folded: Vec<_> = page.entries.iter().map(|(name, _)| (fold(name), name)).collect();
        folded.sort();
        for pair in folded.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (Ok(path), Ok(twin)) = (page.folder.join(pair[1].1), page.folder.join(pair[0].1)) else { continue };
            let message = format!("differs from {twin} only in case or in how its letters are composed; both are kept");
            let hint = "rename one of the two: Windows and macOS show them as one file".to_owned();
            self.begin_trouble(index, &path, What::Twin, &Trouble::new(message, hint))?;
        }
        Ok(())
    }
}
