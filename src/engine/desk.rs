//! The engine's side of one share: what to scan, look at and read, and what the answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::core::{Limits, News, Now, ShareSetup};
use crate::engine::{Command, ReadJob};
use crate::index::{Index, IndexError, LocalRow, Presence, What};
use crate::local::{Found, Looked, PageEnd, ScanEnd, ScanPage};
use crate::model::{Digest, Kind, Meta, Moment, ReadFault, Reading, RelPath, Shape, ShareId, Stat, Trouble, Wall};
use crate::names::fold;
use crate::settle::{Ready, ReadyPath, Settler};

/// A clock step: a file read within this time of its last change may change again without its times moving.
///
/// Kernels stamp files with a clock that ticks every 1 to 10 ms; 20 ms leaves room (ext4, xfs and btrfs on Linux; see
/// `current_time(9)`).
const CLOCK_STEP: Duration = Duration::from_millis(20);
/// Folders to scan on their own, at most (count); beyond, the whole share is scanned.
const SUBTREES_MAX: usize = 1024;
/// News with more paths than this in one turn is told as "everything" (count).
const NEWS_MAX: usize = 16_384;

type Result<T> = std::result::Result<T, IndexError>;

/// What is known of a path that was handed out to be read, should it come back as busy.
#[derive(Clone, Copy, Debug)]
struct HandedOut {
    first: Moment,
    insist: bool,
}

/// One share's work.
#[derive(Debug)]
pub(super) struct Desk {
    id: ShareId,
    setup: ShareSetup,
    settler: Settler,
    full_scan_due: bool,
    subtrees: BTreeSet<RelPath>,
    scanning: Option<RelPath>,
    /// The share went away while this scan was under way: what it still says counts for nothing.
    void_scan: bool,
    scanned: bool,
    next_full: Option<Moment>,
    /// The index held nothing when the first scan began: no renames to look for.
    virgin: bool,
    /// Events were lost: what the next scan finds was not missed by the watcher.
    blind: bool,
    missed: u64,
    to_look: BTreeSet<RelPath>,
    looking: BTreeSet<RelPath>,
    suspects_after: Option<Option<RelPath>>,
    to_hash: BTreeSet<RelPath>,
    hashing: BTreeSet<RelPath>,
    handed_out: BTreeMap<RelPath, HandedOut>,
    /// Folders that are gone, waiting to be found under a new name.
    vanished: BTreeMap<RelPath, Moment>,
    /// New paths that may be old ones renamed, until the old name was looked at: (new, old).
    suppositions: BTreeMap<RelPath, RelPath>,
    /// New paths that were found not to be the old ones renamed.
    refuted: BTreeSet<RelPath>,
    /// Found gone while a scan was under way: its pages may be older.
    buried: BTreeSet<RelPath>,
    offline: Option<String>,
    retry_at: Option<Moment>,
    /// The folder of which pages are coming in, when it comes in several.
    paged: Option<RelPath>,
    news: News,
}

impl Desk {
    pub(super) fn new(setup: ShareSetup) -> Self {
        Self {
            id: setup.id,
            settler: Settler::new(setup.settle),
            setup,
            full_scan_due: true,
            subtrees: BTreeSet::new(),
            scanning: None,
            void_scan: false,
            scanned: false,
            next_full: None,
            virgin: false,
            blind: true,
            missed: 0,
            to_look: BTreeSet::new(),
            looking: BTreeSet::new(),
            suspects_after: None,
            to_hash: BTreeSet::new(),
            hashing: BTreeSet::new(),
            handed_out: BTreeMap::new(),
            vanished: BTreeMap::new(),
            suppositions: BTreeMap::new(),
            refuted: BTreeSet::new(),
            buried: BTreeSet::new(),
            offline: None,
            retry_at: None,
            paged: None,
            news: News::default(),
        }
    }

    pub(super) fn id(&self) -> ShareId {
        self.id
    }

    pub(super) fn offline(&self) -> Option<&str> {
        self.offline.as_deref()
    }

    pub(super) fn is_scanned(&self) -> bool {
        self.scanned
    }

    /// True while nothing should be decided about `path`: it will be told of again.
    pub(super) fn is_unsettled(&self, path: &RelPath) -> bool {
        self.settler.holds(path)
            || self.to_look.contains(path)
            || self.looking.contains(path)
            || self.to_hash.contains(path)
            || self.hashing.contains(path)
            || self.suppositions.contains_key(path)
            || self.refuted.contains(path)
    }

    pub(super) fn is_idle(&self) -> bool {
        let nothing_waits = self.settler.is_empty() && self.to_look.is_empty() && self.to_hash.is_empty();
        let nothing_runs = self.scanning.is_none() && self.looking.is_empty() && self.hashing.is_empty();
        let nothing_hangs = self.refuted.is_empty()
            && self.vanished.is_empty()
            && self.suppositions.is_empty()
            && self.suspects_after.is_none();
        let scans_done = !self.full_scan_due && self.subtrees.is_empty();
        nothing_runs && (self.offline.is_some() || (nothing_waits && nothing_hangs && scans_done))
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.offline.is_some() {
            return self.retry_at;
        }
        let vanished = self.vanished.values().min().copied();
        [self.settler.next_due(), vanished, self.next_full].into_iter().flatten().min()
    }

    pub(super) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    pub(super) fn touched(&mut self, paths: Vec<RelPath>, now: Now) {
        for path in paths.into_iter().filter(|path| !path.is_root() && !path.is_reserved()) {
            self.settler.touch(path, now.moment);
        }
    }

    pub(super) fn lost_track(&mut self) {
        self.blind = true;
        self.settler.lose_track();
    }

    pub(super) fn rescan(&mut self) {
        self.full_scan_due = true;
    }

    /// What time alone brings about.
    pub(super) fn tick(&mut self, index: &mut Index, limits: &Limits, now: Now) -> Result<()> {
        if self.retry_at.is_some_and(|at| at <= now.moment) {
            // The scan checks first whether the share is the one it was bound to.
            (self.retry_at, self.full_scan_due) = (None, true);
        }
        if self.next_full.is_some_and(|at| at <= now.moment) {
            (self.next_full, self.full_scan_due) = (None, true);
        }
        match self.settler.take_ready(now.moment) {
            Ready::Everything => self.full_scan_due = true,
            Ready::Paths(ready) => ready.into_iter().for_each(|ready| self.take_ready(ready, limits)),
        }
        let expired: Vec<_> =
            self.vanished.iter().filter(|(_, due)| **due <= now.moment).map(|(path, _)| path.clone()).collect();
        for path in expired {
            self.vanished.remove(&path);
            self.bury_folder(index, &path)?;
        }
        Ok(())
    }

    fn take_ready(&mut self, ready: ReadyPath, limits: &Limits) {
        let ReadyPath { path, insist, first } = ready;
        if self.handed_out.len() >= limits.wanted_max {
            self.handed_out.clear();
        }
        self.handed_out.insert(path.clone(), HandedOut { first, insist });
        self.want_look(path, limits);
    }

    /// Asks for a look at a path of the share.
    pub(super) fn want_look(&mut self, path: RelPath, limits: &Limits) {
        self.to_look.insert(path);
        if self.to_look.len() > limits.wanted_max {
            self.to_look.clear();
            self.full_scan_due = true;
        }
    }

    /// Asks for a reading of a file of the share. False if there is no room: ask again later.
    pub(super) fn want_hash(&mut self, path: RelPath, limits: &Limits) -> bool {
        let room = self.to_hash.len() < limits.wanted_max;
        if room {
            self.to_hash.insert(path);
        }
        room
    }

    /// Whether to take a snapshot of this file even if someone still writes.
    pub(super) fn insists(&self, path: &RelPath) -> bool {
        self.handed_out.get(path).is_some_and(|handed| handed.insist)
    }

    pub(super) fn ask(&mut self, index: &mut Index, limits: &Limits, commands: &mut Vec<Command>) -> Result<()> {
        self.ask_scan(index, commands);
        if self.offline.is_some() {
            return Ok(());
        }
        self.ask_suspects(index, limits)?;
        let looks: Vec<_> =
            self.to_look.iter().filter(|path| !self.looking.contains(*path)).take(limits.looks_max).cloned().collect();
        if self.looking.len() < limits.looks_max * 4 && !looks.is_empty() {
            for path in &looks {
                self.to_look.remove(path);
                self.looking.insert(path.clone());
            }
            commands.push(Command::LookLocal(self.id, looks));
        }
        while self.hashing.len() < limits.hashing_max {
            let Some(path) = self.to_hash.iter().find(|path| !self.hashing.contains(*path)).cloned() else { break };
            self.to_hash.remove(&path);
            self.hashing.insert(path.clone());
            let insist = self.insists(&path);
            commands.push(Command::Hash(self.id, ReadJob { path, insist }));
        }
        Ok(())
    }

    fn ask_scan(&mut self, index: &Index, commands: &mut Vec<Command>) {
        if self.scanning.is_some() {
            return;
        }
        let under = if std::mem::take(&mut self.full_scan_due) {
            // What lies below the root lies below all of these.
            self.subtrees.clear();
            let tally = index.share_tally(self.id);
            self.virgin = !self.scanned && tally.files + tally.folders + tally.links == 0;
            RelPath::root()
        } else if self.offline.is_some() {
            return;
        } else {
            let Some(under) = self.subtrees.pop_first() else { return };
            under
        };
        (self.missed, self.paged, self.void_scan) = (0, None, false);
        self.scanning = Some(under.clone());
        commands.push(Command::Scan(self.id, under));
    }

    fn ask_suspects(&mut self, index: &mut Index, limits: &Limits) -> Result<()> {
        let Some(after) = self.suspects_after.clone() else { return Ok(()) };
        if self.to_look.len() >= limits.looks_max || !self.looking.is_empty() {
            return Ok(());
        }
        let page = index.suspects(self.id, after.as_ref(), limits.looks_max)?;
        self.suspects_after = page.last().map(|last| Some(last.clone()));
        self.to_look.extend(page);
        Ok(())
    }

    // ---- what a scan says ----

    pub(super) fn scanned(&mut self, index: &mut Index, page: ScanPage, now: Now) -> Result<()> {
        let supposed = |path: &RelPath| *path == page.folder || path.is_above(&page.folder);
        if self.void_scan || self.suppositions.keys().any(supposed) {
            // Scanned again once the share is back, or once it is known whose folder this is.
            return Ok(());
        }
        // A scan says nothing at all unless the share is the one it was bound to.
        self.offline = None;
        if self.is_unmounted(index, &page.folder)? {
            return Ok(());
        }
        if let PageEnd::Broken(trouble) = &page.end {
            self.begin_trouble(index, &page.folder, What::Unreadable, trouble)?;
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

    /// A mount inside the share that is gone leaves an empty folder: nothing in it is absent.
    fn is_unmounted(&mut self, index: &mut Index, folder: &RelPath) -> Result<bool> {
        if folder.is_root() {
            return Ok(false);
        }
        Ok(index.local(self.id, folder)?.is_some_and(|row| row.state == Presence::Troubled && row.stat.mounted))
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

    pub(super) fn scan_ended(
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
                if under.is_root() {
                    index.scan_ended(self.id, now.wall, self.missed)?;
                    self.scanned = true;
                    self.virgin = false;
                    self.blind = false;
                    self.next_full = Some(now.moment.after(self.setup.rescan));
                    self.news.all = true;
                }
            }
        }
        Ok(())
    }

    pub(super) fn go_offline(&mut self, why: String, limits: &Limits, now: Now) {
        self.offline = Some(why);
        self.void_scan = self.scanning.is_some();
        self.retry_at = Some(now.moment.after(limits.offline_rest));
        self.blind = true;
        // What was waiting will be found by the scan that follows its return.
        self.to_look.clear();
        self.to_hash.clear();
        self.suspects_after = None;
        self.vanished.clear();
        self.suppositions.clear();
        self.refuted.clear();
    }

    // ---- what a look says ----

    pub(super) fn looked(
        &mut self,
        index: &mut Index,
        paths: Vec<RelPath>,
        found: std::result::Result<Vec<Looked>, String>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        for path in &paths {
            self.looking.remove(path);
        }
        match found {
            Err(why) => {
                self.go_offline(why, limits, now);
                Ok(())
            }
            Ok(found) => paths.iter().zip(found).try_for_each(|(path, found)| match found {
                Looked::Absent => self.absent(index, path, limits, now),
                Looked::Found(found) => self.take_looked(index, path, found, limits),
            }),
        }
    }

    fn take_looked(&mut self, index: &mut Index, path: &RelPath, found: Found, limits: &Limits) -> Result<()> {
        index.unsuspect(self.id, path)?;
        self.vanished.remove(path);
        self.refute(path, limits);
        if !matches!(found, Found::Special(_)) {
            index.end_trouble(self.id, path, What::Special)?;
        }
        if !matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::File) {
            self.handed_out.remove(path);
        }
        self.take_found(index, path, found, By::Look)?;
        self.refuted.remove(path);
        self.tell(path);
        Ok(())
    }

    /// `path` is still there: whoever was thought to be it renamed is somebody else.
    fn refute(&mut self, path: &RelPath, limits: &Limits) {
        let wrong: Vec<_> =
            self.suppositions.iter().filter(|(_, from)| *from == path).map(|(to, _)| to.clone()).collect();
        for to in wrong {
            self.suppositions.remove(&to);
            self.refuted.insert(to.clone());
            self.want_look(to, limits);
        }
    }

    fn take_found(&mut self, index: &mut Index, path: &RelPath, found: Found, by: By) -> Result<()> {
        match found {
            Found::Plain(stat) => self.present(index, path, stat, None, by),
            Found::Link(stat, to) => self.present(index, path, stat, Some(Digest::of(&to)), by),
            Found::Special(what) => {
                let message = format!("is a {what}; only files, folders and links are mirrored");
                let trouble = Trouble { message, hint: "nothing to do, unless it was meant to be a file".to_owned() };
                self.begin_trouble(index, path, What::Special, &trouble)?;
                let old = index.local(self.id, path)?;
                self.clear_below(index, path, old.as_ref(), Kind::File)?;
                self.bury(index, path)
            }
            Found::Troubled(trouble) => self.troubled(index, path, &trouble),
        }
    }

    fn troubled(&mut self, index: &mut Index, path: &RelPath, trouble: &Trouble) -> Result<()> {
        self.begin_trouble(index, path, What::Unreadable, trouble)?;
        let old = index.local(self.id, path)?;
        let stat = old.as_ref().map_or_else(nothing, |row| row.stat);
        let row = LocalRow { state: Presence::Troubled, ..LocalRow::fresh(stat, None, index.run()) };
        self.news.paths.push(path.clone());
        index.put_local(self.id, path, &row)
    }

    fn present(&mut self, index: &mut Index, path: &RelPath, stat: Stat, link: Option<Digest>, by: By) -> Result<()> {
        let old = index.local(self.id, path)?;
        if let Some(old) = old.as_ref().filter(|old| is_mount_lost(old, &stat)) {
            return self.unmounted(index, path, old);
        }
        self.vanished.remove(path);
        index.end_trouble(self.id, path, What::Unreadable)?;
        let known = old.as_ref().filter(|row| row.is_present());
        if known.is_some_and(|row| row.stat == stat && !row.racy) {
            // A scan that began earlier may have seen things below it, when it was a folder.
            return if by == By::Look { self.clear_below(index, path, old.as_ref(), stat.shape.kind) } else { Ok(()) };
        }
        let is_new = known.is_none_or(|row| row.stat.ino != stat.ino || row.stat.shape.kind != stat.shape.kind);
        if is_new && self.suppose(index, path, &stat, known.is_none())? {
            return Ok(());
        }
        self.clear_below(index, path, old.as_ref(), stat.shape.kind)?;
        self.write_present(index, path, stat, link)?;
        if is_new && stat.shape.kind == Kind::Folder && by == By::Look {
            self.want_subtree(path.clone());
        }
        Ok(())
    }

    /// Something else lies where a folder was: nothing lies below it any more.
    fn clear_below(&mut self, index: &mut Index, path: &RelPath, old: Option<&LocalRow>, now: Kind) -> Result<()> {
        // A path that is new to an index which is being filled has nothing below it: no need to ask a million times.
        let is_new = self.virgin && old.is_none();
        if now != Kind::Folder && !is_new && self.is_folder(index, path, old)? {
            self.vanished.remove(path);
            index.vanish_subtree(self.id, path)?;
            self.news.all = true;
        }
        Ok(())
    }

    fn write_present(&mut self, index: &mut Index, path: &RelPath, stat: Stat, link: Option<Digest>) -> Result<()> {
        let row = LocalRow::fresh(stat, link, index.run());
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    fn tell(&mut self, path: &RelPath) {
        if self.news.paths.len() >= NEWS_MAX {
            self.news.all = true;
        } else {
            self.news.paths.push(path.clone());
        }
    }

    fn unmounted(&mut self, index: &mut Index, path: &RelPath, old: &LocalRow) -> Result<()> {
        let message = "was a mount inside the share, and nothing is mounted there now".to_owned();
        let hint = "mount it again; until then nothing below it is touched on any target".to_owned();
        self.begin_trouble(index, path, What::Unreadable, &Trouble { message, hint })?;
        let row = LocalRow { state: Presence::Troubled, ..old.clone() };
        index.put_local(self.id, path, &row)
    }

    fn want_subtree(&mut self, path: RelPath) {
        if self.full_scan_due {
            return;
        }
        self.subtrees.insert(path);
        if self.subtrees.len() > SUBTREES_MAX {
            self.subtrees.clear();
            self.full_scan_due = true;
        }
    }

    // ---- renames ----

    /// Whether a new path may be an old one renamed. If so it is not written down until the old name was looked at.
    fn suppose(&mut self, index: &mut Index, path: &RelPath, stat: &Stat, is_vacant: bool) -> Result<bool> {
        let refuted = self.refuted.remove(path);
        self.suppositions.remove(path);
        let impossible = self.virgin || !is_vacant || refuted || stat.shape.kind == Kind::Symlink;
        if impossible || (stat.shape.kind == Kind::File && stat.nlink > 1) {
            return Ok(false);
        }
        let same = |row: &LocalRow| match stat.shape.kind {
            Kind::Folder => row.stat.shape.kind == Kind::Folder,
            Kind::File | Kind::Symlink => row.stat.shape == stat.shape && row.stat.meta.mtime == stat.meta.mtime,
        };
        let candidates = index.by_inode(self.id, stat.ino)?;
        let Some((from, row)) = candidates.into_iter().find(|(from, row)| from != path && same(row)) else {
            return Ok(false);
        };
        if from.is_above(path) || path.is_above(&from) {
            return Ok(false);
        }
        let gone = row.state == Presence::Absent && row.run == index.run();
        if gone || self.vanished.contains_key(&from) {
            self.renamed(index, &from, path, *stat)?;
            return Ok(true);
        }
        self.suppositions.insert(path.clone(), from.clone());
        // The old name is looked at at once: the rename has happened, whether it is quiet or not.
        self.to_look.insert(from);
        Ok(true)
    }

    fn renamed(&mut self, index: &mut Index, from: &RelPath, to: &RelPath, stat: Stat) -> Result<()> {
        self.vanished.remove(from);
        if index.has_local_below(self.id, to)? {
            index.vanish_subtree(self.id, to)?;
            self.news.all = true;
        }
        if stat.shape.kind == Kind::Folder {
            index.move_local_subtree(self.id, from, to)?;
            self.news.moves.push((to.clone(), from.clone()));
            self.want_subtree(to.clone());
        }
        self.bury(index, from)?;
        self.write_present(index, to, stat, None)?;
        // What was opened below the two is too much to name.
        self.news.all |= !index.set_origin(self.id, to, from)?;
        self.news.paths.push(from.clone());
        Ok(())
    }

    fn absent(&mut self, index: &mut Index, path: &RelPath, limits: &Limits, now: Now) -> Result<()> {
        self.handed_out.remove(path);
        self.suppositions.remove(path);
        self.refuted.remove(path);
        self.remember_buried(path);
        let row = index.local(self.id, path)?;
        let is_folder = self.is_folder(index, path, row.as_ref())?;
        index.unsuspect(self.id, path)?;
        let heirs = self.suppositions.iter().filter(|(_, from)| *from == path).map(|(to, _)| to.clone());
        let heirs: Vec<_> = heirs.collect();
        if is_folder {
            self.vanished.insert(path.clone(), now.moment.after(limits.grace));
        } else {
            self.bury(index, path)?;
        }
        for heir in heirs {
            // It is looked at again: now its old name is known to be vacant.
            self.suppositions.remove(&heir);
            self.want_look(heir, limits);
        }
        Ok(())
    }

    /// Whether a folder was last seen there; also one of which only the things in it were seen, and not itself.
    fn is_folder(&self, index: &mut Index, path: &RelPath, row: Option<&LocalRow>) -> Result<bool> {
        let known = row.is_some_and(|row| row.state != Presence::Absent && row.stat.shape.kind == Kind::Folder);
        Ok(known || index.has_local_below(self.id, path)?)
    }

    fn remember_buried(&mut self, path: &RelPath) {
        if self.scanning.is_none() {
            return;
        }
        self.buried.insert(path.clone());
        if self.buried.len() > SUBTREES_MAX {
            self.buried.clear();
            self.full_scan_due = true;
        }
    }

    /// Nothing lies there any more.
    fn bury(&mut self, index: &mut Index, path: &RelPath) -> Result<()> {
        index.end_trouble(self.id, path, What::Unreadable)?;
        let old = index.local(self.id, path)?;
        let stat = old.as_ref().map_or_else(nothing, |row| row.stat);
        let digest = old.and_then(|row| row.digest);
        let row = LocalRow { state: Presence::Absent, ..LocalRow::fresh(stat, digest, index.run()) };
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    fn bury_folder(&mut self, index: &mut Index, path: &RelPath) -> Result<()> {
        index.vanish_subtree(self.id, path)?;
        self.bury(index, path)?;
        self.news.all = true;
        Ok(())
    }

    // ---- what a reading says ----

    pub(super) fn hashed(
        &mut self,
        index: &mut Index,
        path: RelPath,
        result: std::result::Result<Reading, ReadFault>,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        self.hashing.remove(&path);
        match result {
            Ok(reading) => self.read(index, &path, &reading),
            Err(fault) => self.not_read(index, path, fault, limits, now),
        }
    }

    /// A consistent version was read, with or without being staged.
    pub(super) fn read(&mut self, index: &mut Index, path: &RelPath, reading: &Reading) -> Result<()> {
        self.handed_out.remove(path);
        index.end_trouble(self.id, path, What::Unreadable)?;
        let last_change = reading.stat.meta.mtime.max(reading.stat.ctime);
        let racy = reading.at.before(CLOCK_STEP) <= last_change;
        let row = LocalRow { racy, ..LocalRow::fresh(reading.stat, Some(reading.content.digest), index.run()) };
        let expected = index.local(self.id, path)?.is_some_and(|old| old.is_present() && old.stat == reading.stat);
        if !expected {
            // Something was seen since this reading was asked for: only a look can say which of the two is older.
            self.to_look.insert(path.clone());
        }
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    /// A file could not be read as one consistent version.
    pub(super) fn not_read(
        &mut self,
        index: &mut Index,
        path: RelPath,
        fault: ReadFault,
        limits: &Limits,
        now: Now,
    ) -> Result<()> {
        match fault {
            ReadFault::Absent | ReadFault::Changed => {
                self.to_look.insert(path);
                Ok(())
            }
            ReadFault::Busy(why) => self.busy(index, path, why, now),
            ReadFault::Troubled(trouble) => self.troubled(index, &path, &trouble),
            ReadFault::Offline(why) => {
                self.go_offline(why, limits, now);
                Ok(())
            }
            // The target's failure is told beside this one.
            ReadFault::Sink => Ok(()),
        }
    }

    fn busy(&mut self, index: &mut Index, path: RelPath, why: String, now: Now) -> Result<()> {
        let handed = self.handed_out.remove(&path).unwrap_or(HandedOut { first: now.moment, insist: false });
        if handed.insist {
            let hint = "it is tried again; close the program that writes it, or copy it aside in one go".to_owned();
            let message = format!("no consistent version could be read within its patience: {why}");
            self.begin_trouble(index, &path, What::Unreadable, &Trouble { message, hint })?;
            self.settler.touch(path, now.moment);
        } else {
            self.settler.busy(path, handed.first, now.moment);
        }
        Ok(())
    }

    // ---- troubles ----

    fn begin_trouble(&mut self, index: &Index, path: &RelPath, what: What, trouble: &Trouble) -> Result<()> {
        if index.begin_trouble(self.id, path, what, trouble)? {
            match what {
                What::Unreadable => {
                    tracing::warn!(share = self.id.0, %path, hint = trouble.hint, "{path} {}", trouble.message);
                }
                What::Special | What::Twin => tracing::info!(share = self.id.0, %path, "{path} {}", trouble.message),
            }
        }
        Ok(())
    }

    /// Ends what this page shows to be over.
    fn end_troubles(&mut self, index: &mut Index, page: &ScanPage) -> Result<()> {
        if page.end == PageEnd::Complete && index.end_trouble(self.id, &page.folder, What::Unreadable)? {
            tracing::info!(share = self.id.0, path = %page.folder, "{} can be read again", page.folder);
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
    fn tell_twins(&mut self, index: &mut Index, page: &ScanPage) -> Result<()> {
        let mut folded: Vec<_> = page.entries.iter().map(|(name, _)| (fold(name), name)).collect();
        folded.sort();
        for pair in folded.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (Ok(path), Ok(twin)) = (page.folder.join(pair[1].1), page.folder.join(pair[0].1)) else { continue };
            let message = format!("differs from {twin} only in case or in how its letters are composed; both are kept");
            let hint = "rename one of the two: Windows and macOS show them as one file".to_owned();
            self.begin_trouble(index, &path, What::Twin, &Trouble { message, hint })?;
        }
        Ok(())
    }
}

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A scan: it visits new folders itself.
    Scan,
    /// A look at this path alone.
    Look,
}

/// A folder that was a mount and is now the empty folder under it.
fn is_mount_lost(old: &LocalRow, stat: &Stat) -> bool {
    old.stat.mounted && !stat.mounted && stat.shape.kind == Kind::Folder && old.state != Presence::Absent
}

/// True if the index has this entry just so.
fn is_known(row: &LocalRow, found: &Found) -> bool {
    match found {
        Found::Plain(stat) | Found::Link(stat, _) => row.is_present() && row.stat == *stat && !row.racy && !row.suspect,
        Found::Special(_) | Found::Troubled(_) => false,
    }
}

fn nothing() -> Stat {
    let meta = Meta { mode: 0, mtime: Wall(0), uid: 0, gid: 0 };
    Stat { shape: Shape { kind: Kind::File, len: 0 }, ino: 0, ctime: Wall(0), meta, nlink: 1, mounted: false }
}
