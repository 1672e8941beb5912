//! What a scan says, compared with what the index has.

use crate::engine::Thorough;
use crate::engine::core::{Limits, Now};
use crate::engine::desk::looks::{By, nothing};
use crate::engine::desk::{Desk, Result};
use crate::index::{Index, LocalRow, Presence, What};
use crate::local::{Found, PageEnd, ScanEnd, ScanPage};
use crate::model::{Kind, RelPath, Shape, Stat};

impl Desk {
    pub(in crate::engine) fn scanned(&mut self, index: &mut Index, page: ScanPage, now: Now) -> Result<()> {
        let supposed = |path: &RelPath| *path == page.folder || path.is_above(&page.folder);
        if self.void_scan || self.suppositions.keys().chain(&self.heirs).any(supposed) {
            // Scanned again once the share is back, or once it is known whose folder this is.
            return Ok(());
        }
        // A scan says nothing at all unless the share is the one it was bound to.
        self.offline = None;
        if self.is_unmounted(&page.folder) {
            return Ok(());
        }
        if page.end == PageEnd::Gone {
            // Only a look can tell what is there by now: it may be known already that nothing is.
            self.unread.insert(page.folder.clone());
            self.to_look.insert(page.folder);
            return Ok(());
        }
        self.mark_unknown(index, &page.folder)?;
        if let PageEnd::Broken(trouble) = &page.end {
            self.begin_trouble(index, &page.folder, What::Unreadable, trouble)?;
            if trouble.failing {
                self.failing.note(page.folder.clone());
            }
        }
        if page.entries.iter().any(|(_, found)| matches!(found, Found::Troubled(trouble) if trouble.failing)) {
            self.failing.note(page.folder.clone());
        }
        if page.end == PageEnd::Complete {
            self.failing.read_to_its_end(&page.folder);
        }
        let news = if self.paged.as_ref() == Some(&page.folder) || page.end == PageEnd::More {
            self.compare_paged(index, &page)?
        } else {
            self.compare_whole(index, &page)?
        };
        let fresh_names = news.iter().any(|at| !news.is_empty() && *at < page.entries.len());
        for at in news {
            let (name, found) = &page.entries[at];
            let Ok(path) = page.folder.join(name) else { continue };
            self.take_scanned(index, path, found.clone(), now)?;
        }
        if index.is_troubled(self.id)? {
            self.end_troubles(index, &page)?;
        }
        if fresh_names {
            self.tell_twins(index, &page)?;
        }
        Ok(())
    }

    /// A folder in which something is found before itself was looked at, because it has just been touched, may be gone before
    /// that: it is marked, or nobody would ever ask for it, and what was found in it would stay.
    fn mark_unknown(&mut self, index: &mut Index, folder: &RelPath) -> Result<()> {
        if folder.is_root() || index.local(self.id, folder)?.is_some_and(|row| row.state != Presence::Absent) {
            return Ok(());
        }
        let stat = Stat { shape: Shape { kind: Kind::Folder, len: 0 }, ..nothing() };
        let row = LocalRow { state: Presence::Troubled, ..LocalRow::fresh(stat, None, index.run()) };
        index.put_local(self.id, folder, &row)?;
        index.suspect(self.id, folder)
    }

    /// Compares a folder that came in one page. Returns the entries that are not as the index has them.
    fn compare_whole(&mut self, index: &mut Index, page: &ScanPage) -> Result<Vec<usize>> {
        let mut news = Vec::new();
        let mut missing = Vec::new();
        let mut at = 0;
        let entries = &page.entries;
        index.visit_folder(self.id, &page.folder, &mut |name, row| {
            while at < entries.len() && *entries[at].0 < *name {
                news.push(at);
                at += 1;
            }
            if at < entries.len() && *entries[at].0 == *name {
                if !is_known(row, &entries[at].1) {
                    news.push(at);
                }
                at += 1;
            } else if row.state != Presence::Absent {
                missing.push(name.to_vec());
            }
        })?;
        news.extend(at..entries.len());
        if page.end == PageEnd::Complete {
            self.suspect(index, &page.folder, missing)?;
        }
        Ok(news)
    }

    /// Compares one of several pages of a folder; what is on none of them is suspect after the last.
    fn compare_paged(&mut self, index: &mut Index, page: &ScanPage) -> Result<Vec<usize>> {
        let scope = self.id.0;
        if self.paged.as_ref() != Some(&page.folder) {
            index.forget_names(scope)?;
            self.paged = Some(page.folder.clone());
        }
        index.see_names(scope, page.entries.iter().map(|(name, _)| &**name))?;
        let mut news = Vec::new();
        for (at, (name, found)) in page.entries.iter().enumerate() {
            let Ok(path) = page.folder.join(name) else { continue };
            if !index.local(self.id, &path)?.is_some_and(|row| is_known(&row, found)) {
                news.push(at);
            }
        }
        if page.end != PageEnd::More {
            self.paged = None;
            if page.end == PageEnd::Complete {
                self.suspect_unseen(index, &page.folder)?;
            }
            index.forget_names(scope)?;
        }
        Ok(news)
    }

    fn suspect_unseen(&mut self, index: &mut Index, folder: &RelPath) -> Result<()> {
        let mut present = Vec::new();
        index.visit_folder(self.id, folder, &mut |name, row| {
            if row.state != Presence::Absent {
                present.push(name.to_vec());
            }
        })?;
        let mut missing = Vec::new();
        for name in present {
            if !index.was_seen(self.id.0, &name)? {
                missing.push(name);
            }
        }
        self.suspect(index, folder, missing)
    }

    /// Missing from a complete reading: not absent yet, but to be looked at directly once the scan has ended.
    fn suspect(&mut self, index: &mut Index, folder: &RelPath, names: Vec<Vec<u8>>) -> Result<()> {
        for name in names {
            let Ok(path) = folder.join(&name) else { continue };
            if !self.settler.holds(&path) && !self.looking.contains(&path) {
                self.count_missed();
            }
            index.suspect(self.id, &path)?;
        }
        Ok(())
    }

    fn count_missed(&mut self) {
        if self.scanned && !self.blind {
            self.missed += 1;
        }
    }

    fn take_scanned(&mut self, index: &mut Index, path: RelPath, found: Found, now: Now) -> Result<()> {
        if self.is_unsettled(&path) {
            return Ok(());
        }
        if self.buried.contains(&path) {
            self.to_look.insert(path);
            return Ok(());
        }
        let recent = match &found {
            Found::Plain(stat) | Found::Link(stat, _) => {
                now.wall.since(stat.meta.mtime.max(stat.ctime)) < self.setup.settle.quiet
            }
            Found::Special(_) | Found::Troubled(_) => false,
        };
        if !recent && !matches!(found, Found::Special(_)) {
            self.count_missed();
        }
        let is_file = matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::File);
        self.take_found(index, &path, found, By::Scan)?;
        if recent && is_file {
            self.settler.touch(path, now.moment);
        }
        Ok(())
    }

    pub(in crate::engine) fn scan_ended(
        &mut self,
        index: &mut Index,
        under: &RelPath,
        end: ScanEnd,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.scanning = None;
        self.buried.clear();
        match end {
            ScanEnd::Stopped => {}
            ScanEnd::Offline(why) => self.go_offline(why, limits, now),
            // The one that follows its return is due.
            ScanEnd::Done if self.void_scan => {}
            ScanEnd::Done => {
                self.offline = None;
                self.suspects_after = Some(None);
                // Of a glance nothing is known that follows from all of it: a file may have been changed in place.
                if under.is_root() && self.thorough == Thorough::Yes {
                    // What was changed while it went on may have been passed already.
                    index.scan_ended(self.id, self.scan_begun, self.missed)?;
                    index.lists_told(self.id)?;
                    self.scanned = true;
                    self.known_since = self.known_since.or(Some(now.wall));
                    self.virgin = false;
                    self.blind = false;
                    self.next_full = Some(now.moment.after(self.setup.rescan));
                    self.news.all = true;
                }
            }
        }
        Ok(())
    }
}

/// True if the index has this entry just so.
fn is_known(row: &LocalRow, found: &Found) -> bool {
    match found {
        Found::Plain(stat) | Found::Link(stat, _) => {
            row.is_present() && row.stat.same(stat) && !row.racy && !row.suspect && !row.lacks_list_of(stat)
        }
        Found::Special(_) | Found::Troubled(_) => false,
    }
}
