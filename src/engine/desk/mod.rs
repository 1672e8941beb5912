//! The engine's side of one share: what to scan, look at and read, and what the answers mean.
//!
//! `scan` compares what a scan shows with what the index has, `looks` takes in what lies at single paths, `renames` finds
//! new names of old things, `readings` takes in what files hold, `recall` waits for what targets tell of deletions, and
//! `troubles` what people have to be told. What is kept here need not survive a crash.

mod failing;
mod looks;
mod readings;
mod recall;
mod renames;
mod scan;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::core::{Limits, News, Now, ShareSetup};
use crate::engine::desk::failing::Failing;
use crate::engine::desk::recall::Recall;
use crate::engine::desk::troubles::Voices;
use crate::engine::{Command, ReadJob, Thorough};
use crate::index::{Index, IndexError};
use crate::model::{Moment, RelPath, ShareId, Wall};
use crate::settle::{Ready, ReadyPath, SettleLimits, Settler};

/// Folders to scan on their own, at most (count); beyond, the whole share is scanned.
const SUBTREES_MAX: usize = 1024;
/// News with more paths than this in one turn is told as "everything" (count).
const NEWS_MAX: usize = 4096;

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
    glance_due: bool,
    subtrees: BTreeSet<RelPath>,
    scanning: Option<RelPath>,
    /// How thorough that one is, and when it began.
    thorough: Thorough,
    scan_begun: Wall,
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
    /// New names of folders whose old names were just found vacant, and which are looked at once more.
    heirs: BTreeSet<RelPath>,
    /// Parts of the share that were gone when they were to be scanned: once more, if they are found there all the same.
    unread: BTreeSet<RelPath>,
    /// Folders on which something was mounted that is not there now: nothing is believed of what lies below.
    lost_mounts: BTreeSet<RelPath>,
    offline: Option<String>,
    known_since: Option<Wall>,
    retry_at: Option<Moment>,
    /// The folder of which pages are coming in, when it comes in several.
    paged: Option<RelPath>,
    failing: Failing,
    voices: Voices,
    recall: Recall,
    news: News,
}

impl Desk {
    pub(super) fn new(setup: ShareSetup) -> Self {
        Self {
            id: setup.id,
            settler: Settler::new(setup.settle),
            setup,
            full_scan_due: true,
            glance_due: false,
            subtrees: BTreeSet::new(),
            scanning: None,
            thorough: Thorough::Yes,
            scan_begun: Wall(0),
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
            heirs: BTreeSet::new(),
            unread: BTreeSet::new(),
            lost_mounts: BTreeSet::new(),
            offline: None,
            known_since: None,
            retry_at: None,
            paged: None,
            failing: Failing::default(),
            voices: Voices::default(),
            recall: Recall::default(),
            news: News::default(),
        }
    }

    pub(super) fn id(&self) -> ShareId {
        self.id
    }

    /// Other times to wait, from the next event on; and the next full scan no later than the new `rescan` from now.
    pub(super) fn change(&mut self, settle: SettleLimits, rescan: Duration, now: Moment) {
        self.settler.change(settle);
        (self.setup.settle, self.setup.rescan) = (settle, rescan);
        self.next_full = self.next_full.map(|_| now.after(rescan));
    }

    /// When the first full scan of this run ended: what was noticed before may be news of an older run's belief alone.
    pub(super) fn known_since(&self) -> Option<Wall> {
        self.known_since
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
            && !self.is_recalling()
            && self.vanished.is_empty()
            && self.suppositions.is_empty()
            && self.suspects_after.is_none();
        let scans_done = !self.full_scan_due && !self.glance_due && self.subtrees.is_empty();
        nothing_runs && (self.offline.is_some() || (nothing_waits && nothing_hangs && scans_done))
    }

    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.offline.is_some() {
            return self.retry_at;
        }
        let vanished = self.vanished.values().min().copied();
        [self.settler.next_due(), vanished, self.next_full, self.recall_due()].into_iter().flatten().min()
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

    pub(super) fn glance(&mut self) {
        self.glance_due = true;
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
            // What waited for one of these looks would wait for ever, and no scan says anything about what waits.
            self.suppositions.retain(|_, from| self.looking.contains(from));
            self.refuted.retain(|path| self.looking.contains(path));
            self.heirs.retain(|path| self.looking.contains(path));
            self.full_scan_due = true;
        }
    }

    /// The same, of a path that can wait. False if there is no room: ask again later.
    pub(super) fn may_look(&mut self, path: RelPath, limits: &Limits) -> bool {
        let room = self.to_look.len() < limits.wanted_max || self.to_look.contains(&path);
        if room {
            self.to_look.insert(path);
        }
        room
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

    pub(super) fn ask(
        &mut self,
        index: &mut Index,
        limits: &Limits,
        now: Now,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        self.ask_scan(index, now, commands);
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
            commands.push(Command::Hash(self.id, ReadJob { path, insist, known: None }));
        }
        Ok(())
    }

    fn ask_scan(&mut self, index: &Index, now: Now, commands: &mut Vec<Command>) {
        if self.scanning.is_some() {
            return;
        }
        self.thorough = Thorough::Yes;
        let under = if std::mem::take(&mut self.full_scan_due) {
            // What lies below the root lies below all of these.
            self.subtrees.clear();
            self.glance_due = false;
            let tally = index.share_tally(self.id);
            self.virgin = !self.scanned && tally.files + tally.folders + tally.links == 0;
            RelPath::root()
        } else if self.offline.is_some() {
            return;
        } else if self.subtrees.is_empty() && std::mem::take(&mut self.glance_due) {
            self.thorough = Thorough::No;
            RelPath::root()
        } else {
            let Some(under) = self.subtrees.pop_first() else { return };
            under
        };
        (self.missed, self.paged, self.void_scan) = (0, None, false);
        self.failing.scan_begins(under.is_root());
        self.scanning = Some(under.clone());
        self.scan_begun = now.wall;
        commands.push(Command::Scan(self.id, under, self.thorough));
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
        self.heirs.clear();
        self.unread.clear();
    }

    fn tell(&mut self, path: &RelPath) {
        if self.news.paths.len() >= NEWS_MAX {
            self.news.all = true;
        } else {
            self.news.paths.push(path.clone());
        }
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
}
