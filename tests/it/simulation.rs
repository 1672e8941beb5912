//! Runs the real core with the real index (in memory) against a make-believe world, one seed at a time.
//!
//! Answers come in any order, late, or never; the agent crashes at any point; watch events are lost; outsiders edit the
//! targets. Two modes: with outsiders and audits; and without both, where nothing may stay held or depend on an audit.
//!
//! `DRIFTLINE_SEEDS=1000000` runs more seeds (from `DRIFTLINE_SEED_FROM`), `DRIFTLINE_SEED=17` shows one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a seed showed, for whoever asked for it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driftline::engine::{
    Command, Core, Event, Failure, Limits, LookJob, ReadJob, ShareSetup, StageFailure, TargetSetup,
};
use driftline::index::{Index, LocalRow, Presence};
use driftline::local::{Found, Looked, PageEnd, ScanEnd, ScanPage};
use driftline::model::{
    Content, Digest, Kind, Meta, Moment, ReadFault, Reading, RelPath, Seen, ShareId, Stamp, Stat, TargetId, Trouble,
    Wall,
};
use driftline::plan::{Deletes, Drift, Guard, Hold, Policy};
use driftline::rest::RestLimits;
use driftline::settle::SettleLimits;
use driftline::target::{Bound, Change, Fault, Page, Placed, Remote, Staged, Step, Token};

/// Seeds whose runs once failed, each for its own reason.
const ONCE_FAILED: &[u64] = &[
    0,    // the first listing had begun before the first scan had ended: what is ours was uploaded again
    5,    // what was staged and then refused stayed in staging
    32,   // a hold outlived the retained files that it was for
    42,   // a lane whose share was offline was due all the time
    51,   // the scan that followed a share's return was thrown away
    294,  // a file was seen in a folder that was gone before it was seen itself
    303,  // the answer to a change of meta was lost, and the file with it taken for a stranger's
    471,  // a folder was doubted again before it could be made
    709,  // a folder was replaced by a file on the target, and what lay in it was believed on
    859,  // a hold outlived its path
    1718, // a path that was no rename waited for a look for ever
    1793, // a rename that a target could not make opened paths that its lane was not told of
    1809, // what a scan saw below a folder outlived it, because the folder was taken for a file
    2392, // an old version was refused, and the new one held for it
    3134, // two targets that both refused a file woke each other
    3422, // a file was renamed over a folder, and what lay in that was believed on
    5040, // what was seen below a folder before its rename was adopted after it
    8860, // what we had adopted below a stranger's folder was believed on when that was gone
    8946, // the answer to a change of a folder's meta was lost, and its old meta believed
];

/// A small seeded generator (xorshift64; Marsaglia 2003): the whole run follows from the seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    content: Content,
    meta: Meta,
    ino: u64,
    ctime: Wall,
}

#[derive(Clone, Debug, PartialEq)]
struct There {
    content: Content,
    meta: Meta,
    stamp: Stamp,
}

#[derive(Debug, Default)]
struct TargetWorld {
    now: BTreeMap<RelPath, There>,
    history: BTreeSet<Content>,
    /// Files and links that the agent was told are durable.
    durable: BTreeSet<Content>,
    /// Changes that the agent was told were made (count).
    changes: usize,
    staged: BTreeMap<Token, (Content, Meta)>,
}

/// Something that the agent asked for and that was not answered yet.
#[derive(Clone, Debug)]
enum Pending {
    Command(Command),
    Scan { under: RelPath, folders: Vec<RelPath> },
    List { target: TargetId, folders: Vec<RelPath> },
}

struct World {
    dice: Dice,
    clock: Duration,
    local: BTreeMap<RelPath, Node>,
    links: BTreeMap<Content, Box<[u8]>>,
    targets: BTreeMap<TargetId, TargetWorld>,
    foreign: BTreeSet<Content>,
    /// Folders that an outsider made, or that were ours when the index was lost: a folder keeps its stamp.
    strange_folders: BTreeSet<Stamp>,
    pending: Vec<Pending>,
    /// Changes whose sender gave up on them, but which will still be made.
    late: Vec<(TargetId, Vec<Step>)>,
    /// What was put so: nobody may know any more that it is ours.
    orphans: BTreeSet<Content>,
    faults: bool,
    outsiders: bool,
    /// The index may be lost at a crash.
    loses_index: bool,
    /// It was, and what lay on the targets then is known to nobody.
    lost_index: bool,
    serial: u64,
    policy: Policy,
    trace: Vec<String>,
    show: bool,
}

/// Turns in a row in which time stands still and nothing is under way (count): a sweep has a few.
const IDLE_TICKS_MAX: usize = 50;

const NAMES: [&str; 9] = ["a", "a/x", "a/y", "a/s/z", "b", "b/x", "b/c/d", "e", "f"];
const SHARE: ShareId = ShareId(1);

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn near(a: &RelPath, b: &RelPath) -> bool {
    a.is_above(b) || b.is_above(a)
}

impl World {
    fn wall(&self) -> Wall {
        Wall(1_700_000_000_000_000_000 + self.clock.as_nanos() as i64)
    }

    fn moment(&self) -> Moment {
        Moment(self.clock)
    }

    fn pass(&mut self, time: Duration) {
        self.clock += time;
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Nobody may know any more that it is ours, or it never was.
    fn is_strange(&self, there: &There) -> bool {
        let content = &there.content;
        self.strange_folders.contains(&there.stamp) || self.foreign.contains(content) || self.orphans.contains(content)
    }

    fn some_path(&mut self) -> RelPath {
        path(NAMES[self.dice.below(NAMES.len())])
    }

    fn fresh_file(&mut self) -> Content {
        let serial = self.serial();
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&serial.to_le_bytes());
        digest[31] = 1;
        Content::file(Digest(digest), serial % 3)
    }

    fn meta(&mut self) -> Meta {
        Meta { mode: 0o644, mtime: self.wall(), uid: 0, gid: 0 }
    }

    fn write_local(&mut self, at: RelPath, content: Content, touched: &mut Vec<RelPath>) {
        for folder in at.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.local.get(&folder).is_none_or(|node| node.content != Content::FOLDER) {
                self.write_local(folder, Content::FOLDER, touched);
            }
        }
        let same_kind = self
            .local
            .get(&at)
            .filter(|node| node.content.shape.kind == content.shape.kind && content != Content::FOLDER);
        let keep_ino = same_kind.map(|node| node.ino);
        let ino = match keep_ino {
            Some(ino) if self.dice.one_in(2) => ino,
            _ => self.serial(),
        };
        let (meta, ctime) = (self.meta(), self.wall());
        self.bump_parent(&at, touched);
        self.local.insert(at.clone(), Node { content, meta, ino, ctime });
        touched.push(at);
    }

    fn bump_parent(&mut self, at: &RelPath, touched: &mut Vec<RelPath>) {
        let now = self.wall();
        if let Some(node) = at.parent().and_then(|parent| self.local.get_mut(&parent)) {
            (node.meta.mtime, node.ctime) = (now, now);
            touched.push(at.parent().unwrap());
        }
    }

    fn remove_local(&mut self, at: &RelPath, touched: &mut Vec<RelPath>) {
        if self.local.remove(at).is_some() {
            self.local.retain(|other, _| !at.is_above(other));
            self.bump_parent(at, touched);
            touched.push(at.clone());
        }
    }

    fn rename_local(&mut self, from: &RelPath, to: &RelPath, touched: &mut Vec<RelPath>) {
        if near(from, to) || from == to || !self.local.contains_key(from) {
            return;
        }
        let fits = to
            .parent()
            .is_none_or(|up| up.is_root() || self.local.get(&up).is_some_and(|node| node.content == Content::FOLDER));
        if !fits {
            return;
        }
        self.remove_local(to, touched);
        let now = self.wall();
        let moving: Vec<_> = self
            .local
            .iter()
            .filter(|(at, _)| *at == from || from.is_above(at))
            .map(|(at, node)| (at.clone(), node.clone()))
            .collect();
        for (at, mut node) in moving {
            self.local.remove(&at);
            if at == *from {
                node.ctime = now;
            }
            self.local.insert(at.rebased(from, to).unwrap(), node);
        }
        self.bump_parent(from, touched);
        self.bump_parent(to, touched);
        touched.extend([from.clone(), to.clone()]);
    }

    /// Somebody works on the share.
    fn user(&mut self) -> Vec<RelPath> {
        let mut touched = Vec::new();
        let at = self.some_path();
        match self.dice.below(12) {
            0..=2 => self.remove_local(&at, &mut touched),
            3 | 4 => {
                let to = self.some_path();
                self.rename_local(&at, &to, &mut touched);
            }
            5 => {
                let now = self.wall();
                if let Some(node) = self.local.get_mut(&at) {
                    node.meta.mode ^= 0o111;
                    node.ctime = now;
                    touched.push(at);
                }
            }
            6 => {
                if !self.local.contains_key(&at) {
                    self.write_local(at, Content::FOLDER, &mut touched);
                }
            }
            7 => {
                // The Office save dance: delete and create of one name.
                self.remove_local(&at, &mut touched);
                let content = self.fresh_file();
                self.write_local(at, content, &mut touched);
            }
            8 => {
                let to = self.serial().to_le_bytes();
                let content = Content::symlink(Digest::of(&to), 8);
                self.remove_local(&at, &mut touched);
                self.links.insert(content, to.into());
                self.write_local(at, content, &mut touched);
            }
            _ => {
                if self.local.get(&at).is_some_and(|node| node.content == Content::FOLDER) {
                    self.remove_local(&at, &mut touched);
                }
                let content = self.fresh_file();
                self.write_local(at, content, &mut touched);
            }
        }
        touched
    }

    /// Somebody works on a target.
    fn outsider(&mut self) {
        let id = TargetId(1 + self.dice.below(2) as i64);
        let at = self.some_path();
        let content = if self.dice.one_in(4) { Content::FOLDER } else { self.fresh_file() };
        let (meta, serial, remove) = (self.meta(), self.serial(), self.dice.one_in(3));
        let target = self.targets.get_mut(&id).unwrap();
        if remove {
            if let Some(there) = target.now.remove(&at) {
                target.history.insert(there.content);
                let below: Vec<_> = target.now.keys().filter(|other| at.is_above(other)).cloned().collect();
                for other in below {
                    target.history.insert(target.now.remove(&other).unwrap().content);
                }
            }
            return;
        }
        let has_parents =
            at.ancestors().all(|up| target.now.get(&up).is_some_and(|there| there.content == Content::FOLDER));
        let is_folder = target.now.get(&at).is_some_and(|there| there.content == Content::FOLDER);
        if has_parents && !is_folder {
            if let Some(old) = target.now.get(&at) {
                target.history.insert(old.content);
            }
            if content == Content::FOLDER {
                self.strange_folders.insert(stamp(serial));
            } else {
                self.foreign.insert(content);
            }
            target.now.insert(at, There { content, meta, stamp: stamp(serial) });
        }
    }

    fn stat(node: &Node) -> Stat {
        Stat { shape: node.content.shape, ino: node.ino, ctime: node.ctime, meta: node.meta, nlink: 1, mounted: false }
    }

    /// Only a rescan heals these, and only with outsiders is there one.
    fn is_unreadable(&mut self) -> bool {
        self.faults && self.outsiders && self.dice.one_in(30)
    }

    fn is_share_offline(&mut self) -> bool {
        self.faults && self.dice.one_in(60)
    }

    fn found(&mut self, at: &RelPath) -> Option<Found> {
        let node = self.local.get(at)?.clone();
        if self.is_unreadable() {
            return Some(Found::Troubled(trouble()));
        }
        Some(match node.content.shape.kind {
            Kind::Symlink => Found::Link(Self::stat(&node), self.links[&node.content].clone()),
            Kind::File | Kind::Folder => Found::Plain(Self::stat(&node)),
        })
    }

    fn children(&self, folder: &RelPath) -> Vec<RelPath> {
        self.local.keys().filter(|at| at.parent().as_ref() == Some(folder)).cloned().collect()
    }

    /// Answers what is pending at `at`; scans and listings answer a folder at a time.
    fn answer(&mut self, at: usize) -> Option<Event> {
        let pending = self.pending.swap_remove(at);
        match pending {
            Pending::Scan { under, folders } => Some(self.answer_scan(under, folders)),
            Pending::List { target, folders } => Some(self.answer_list(target, folders)),
            Pending::Command(command) => self.answer_command(command),
        }
    }

    fn answer_scan(&mut self, under: RelPath, mut folders: Vec<RelPath>) -> Event {
        if self.is_share_offline() {
            return Event::ScanEnded(SHARE, under, ScanEnd::Offline("not mounted".into()));
        }
        let Some(folder) = folders.pop() else { return Event::ScanEnded(SHARE, under, ScanEnd::Done) };
        let gone = !folder.is_root() && self.local.get(&folder).is_none_or(|node| node.content != Content::FOLDER);
        let mut entries = Vec::new();
        if !gone {
            for child in self.children(&folder) {
                let found = self.found(&child).unwrap();
                if matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::Folder) {
                    folders.push(child.clone());
                }
                entries.push((child.name().into(), found));
            }
        }
        self.pending.push(Pending::Scan { under, folders });
        if gone {
            return Event::Tick;
        }
        let mut end = PageEnd::Complete;
        if self.is_unreadable() {
            entries.truncate(self.dice.below(entries.len() + 1));
            end = PageEnd::Broken(trouble());
        }
        Event::Scanned(SHARE, ScanPage { folder, entries, end })
    }

    fn answer_list(&mut self, target: TargetId, mut folders: Vec<RelPath>) -> Event {
        if self.faults && self.dice.one_in(12) {
            return Event::ListEnded(target, Err(failure(Fault::Unreachable)));
        }
        let Some(folder) = folders.pop() else { return Event::ListEnded(target, Ok(())) };
        let now = &self.targets[&target].now;
        let mut entries = Vec::new();
        for (at, there) in now.iter().filter(|(at, _)| at.parent().as_ref() == Some(&folder)) {
            if there.content == Content::FOLDER {
                folders.push(at.clone());
            }
            entries.push((at.clone(), remote(there, false)));
        }
        self.pending.push(Pending::List { target, folders });
        Event::Listed(target, Page { folder: Some(folder), entries, strange: vec![], last_of_folder: true })
    }

    fn answer_command(&mut self, command: Command) -> Option<Event> {
        let dead = self.faults && self.dice.one_in(7);
        Some(match command {
            Command::Scan(_, under) => {
                self.pending.push(Pending::Scan { folders: vec![under.clone()], under });
                return None;
            }
            Command::List(target) => {
                self.pending.push(Pending::List { target, folders: vec![RelPath::root()] });
                return None;
            }
            Command::LookLocal(_, paths) if self.is_share_offline() => {
                Event::LookedLocal(SHARE, paths, Err("not mounted".into()))
            }
            Command::LookLocal(_, paths) => {
                let found = paths.iter().map(|at| self.found(at).map_or(Looked::Absent, Looked::Found)).collect();
                Event::LookedLocal(SHARE, paths, Ok(found))
            }
            Command::Hash(_, job) => {
                let result = self.read(&job);
                Event::Hashed(SHARE, job.path, result)
            }
            Command::Probe(target) if dead => Event::Probed(target, Err(self.failure())),
            Command::Probe(target) => Event::Probed(target, Ok(Bound { id: "id".into(), newly: false })),
            Command::Look(target, jobs) if dead => {
                let failure = self.failure_or_refusal();
                Event::Looked(target, jobs.into_iter().map(|job| (job.path, Err(failure.clone()))).collect())
            }
            Command::Look(target, jobs) => {
                let now = &self.targets[&target].now;
                let look = |job: LookJob| {
                    let found = now.get(&job.path).map(|there| {
                        let wanted =
                            job.read_if.contains(&there.content.shape) && job.known.as_ref() != Some(&there.stamp);
                        remote(there, wanted)
                    });
                    (job.path, Ok(found))
                };
                Event::Looked(target, jobs.into_iter().map(look).collect())
            }
            Command::Stage(target, jobs) => {
                let files = jobs.into_iter().map(|job| {
                    let result = self.stage(target, &job, dead);
                    (job.path, result)
                });
                Event::Staged(target, files.collect())
            }
            Command::Discard(target, tokens) => {
                let staged = &mut self.targets.get_mut(&target).unwrap().staged;
                staged.retain(|token, _| !tokens.contains(token));
                return None;
            }
            Command::Apply(target, steps) => self.answer_apply(target, steps, dead),
        })
    }

    fn read(&mut self, job: &ReadJob) -> Result<Reading, ReadFault> {
        let at = self.wall();
        if self.is_share_offline() {
            return Err(ReadFault::Offline("not mounted".into()));
        }
        match self.local.get(&job.path) {
            None => Err(ReadFault::Absent),
            Some(node) if node.content.shape.kind != Kind::File => Err(ReadFault::Changed),
            Some(_) if self.faults && self.dice.one_in(10) => Err(ReadFault::Busy("written".into())),
            Some(node) => Ok(Reading { content: node.content, stat: Self::stat(node), at }),
        }
    }

    fn stage(&mut self, target: TargetId, job: &ReadJob, dead: bool) -> Result<Staged, StageFailure> {
        let reading = self.read(job).map_err(StageFailure::Read)?;
        if dead {
            return Err(StageFailure::Target(self.failure()));
        }
        let token = Token(self.serial());
        let staged = &mut self.targets.get_mut(&target).unwrap().staged;
        staged.insert(token, (reading.content, reading.stat.meta));
        Ok(Staged { token, reading })
    }

    fn answer_apply(&mut self, target: TargetId, steps: Vec<Step>, dead: bool) -> Event {
        let fate = if dead { self.dice.below(if self.outsiders { 3 } else { 2 }) } else { 3 };
        let lost = |steps: Vec<Step>| {
            Event::Applied(target, steps.into_iter().map(|step| (step, Err(failure(Fault::Unreachable)))).collect())
        };
        match fate {
            0 => {
                let failure = self.failure_or_refusal();
                Event::Applied(target, steps.into_iter().map(|step| (step, Err(failure.clone()))).collect())
            }
            1 => {
                steps.iter().for_each(|step| drop(self.apply(target, step)));
                lost(steps)
            }
            2 => {
                self.late.push((target, steps.clone()));
                lost(steps)
            }
            _ => {
                let answers = steps.into_iter().map(|step| {
                    let result = self.apply(target, &step).map_err(failure);
                    self.acknowledge(target, &step, &result);
                    (step, result)
                });
                Event::Applied(target, answers.collect())
            }
        }
    }

    fn acknowledge(&mut self, target: TargetId, step: &Step, result: &Result<Placed, Failure>) {
        if result.is_err() {
            return;
        }
        let target = self.targets.get_mut(&target).unwrap();
        target.changes += 1;
        if let Change::Publish { content, .. } | Change::Link { content, .. } = &step.change {
            target.durable.insert(*content);
        }
    }

    /// Nothing was changed, and nothing can be for a while.
    fn failure(&mut self) -> Failure {
        let throttled = Fault::Throttled(Some(Duration::from_secs(2)));
        failure([Fault::Unreachable, Fault::Unreachable, Fault::Offline, Fault::Full, throttled][self.dice.below(5)])
    }

    /// The same, or a refusal that only an audit heals.
    fn failure_or_refusal(&mut self) -> Failure {
        if self.outsiders && self.dice.one_in(3) { failure(Fault::Denied) } else { self.failure() }
    }

    fn apply_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.dice.below(self.late.len());
            let (target, steps) = self.late.swap_remove(at);
            for step in &steps {
                if let Change::Publish { content, .. } | Change::Link { content, .. } = &step.change {
                    self.orphans.insert(*content);
                }
                if let (Change::MakeFolder { .. }, Ok(placed)) = (&step.change, self.apply(target, step)) {
                    self.strange_folders.extend(placed.stamp);
                }
            }
        }
    }

    fn apply(&mut self, id: TargetId, step: &Step) -> Result<Placed, Fault> {
        let serial = self.serial();
        let (policy, foreign) = (self.policy, self.foreign.clone());
        let target = self.targets.get_mut(&id).unwrap();
        let at = &step.path;
        let guarded = if let Change::Move { from } = &step.change { from } else { at };
        let there = target.now.get(guarded).cloned();
        let makes_folder_again = matches!((&step.change, &there), (Change::MakeFolder { .. }, Some(there)) if there.content == Content::FOLDER);
        match (&step.guard, &there) {
            (Guard::Absent, None) => {}
            (Guard::Absent, Some(_)) if makes_folder_again => {}
            (Guard::Unchanged(stamp), Some(there)) if *stamp == there.stamp => {}
            _ => return Err(Fault::Stale),
        }
        if let Some(there) = there.as_ref().filter(|there| foreign.contains(&there.content)) {
            assert!(policy.drift == Drift::Overwrite, "a foreign file was touched at {at}: {there:?} by {step:?}");
        }
        if at.ancestors().any(|up| target.now.get(&up).is_some_and(|there| there.content != Content::FOLDER)) {
            return Err(Fault::Unfit);
        }
        let makes = matches!(
            step.change,
            Change::Publish { .. } | Change::Link { .. } | Change::MakeFolder { .. } | Change::Move { .. }
        );
        if makes && at.ancestors().any(|up| !target.now.contains_key(&up)) {
            return Err(Fault::NoFolder);
        }
        let put = |target: &mut TargetWorld, content: Content, meta: Meta| {
            let holds_more = there.as_ref().is_some_and(|there| there.content == Content::FOLDER)
                && content != Content::FOLDER
                && target.now.keys().any(|other| at.is_above(other));
            if holds_more {
                return Err(Fault::Unfit);
            }
            let kept = there.as_ref().filter(|there| there.content == Content::FOLDER && content == Content::FOLDER);
            let stamp = kept.map_or_else(|| stamp(serial), |there| there.stamp.clone());
            if let Some(old) = &there {
                target.history.insert(old.content);
            }
            target.now.insert(at.clone(), There { content, meta, stamp: stamp.clone() });
            Ok(Placed { stamp: Some(stamp), meta: Some(meta) })
        };
        match &step.change {
            Change::Publish { token, content, meta } => {
                let (held, _) = target.staged.remove(token).ok_or(Fault::Unstaged)?;
                assert_eq!(held, *content, "what was staged is what is published");
                put(target, *content, *meta)
            }
            Change::Link { content, meta, .. } => put(target, *content, *meta),
            Change::MakeFolder { meta } => put(target, Content::FOLDER, *meta),
            Change::SetMeta { meta } => {
                let mut there = there.ok_or(Fault::Stale)?;
                if there.content != Content::FOLDER {
                    there.stamp = stamp(serial);
                }
                there.meta = *meta;
                target.now.insert(at.clone(), there.clone());
                Ok(Placed { stamp: Some(there.stamp), meta: Some(*meta) })
            }
            Change::Move { from } => {
                if target.now.contains_key(at) {
                    return Err(Fault::Stale);
                }
                let mut there = target.now.remove(from).ok_or(Fault::Stale)?;
                if there.content == Content::FOLDER {
                    let below: Vec<_> = target.now.keys().filter(|other| from.is_above(other)).cloned().collect();
                    for other in below {
                        let node = target.now.remove(&other).unwrap();
                        target.now.insert(other.rebased(from, at).unwrap(), node);
                    }
                } else {
                    there.stamp = stamp(serial);
                }
                let stamp = there.stamp.clone();
                target.now.insert(at.clone(), there);
                Ok(Placed { stamp: Some(stamp), meta: None })
            }
            Change::Remove => {
                let holds: Vec<_> = target.now.iter().filter(|(other, _)| at.is_above(other)).collect();
                if !holds.is_empty() {
                    // It is left to whoever put something into it, for good: also once that is gone.
                    let strange = |there: &There| {
                        self.strange_folders.contains(&there.stamp)
                            || foreign.contains(&there.content)
                            || self.orphans.contains(&there.content)
                    };
                    if holds.iter().any(|(_, there)| strange(there)) {
                        self.strange_folders.extend(there.map(|there| there.stamp));
                    }
                    return Err(Fault::Occupied);
                }
                target.history.insert(target.now.remove(at).ok_or(Fault::Stale)?.content);
                Ok(Placed { stamp: None, meta: None })
            }
        }
    }
}

fn stamp(serial: u64) -> Stamp {
    Stamp(serial.to_le_bytes().into())
}

fn trouble() -> Trouble {
    Trouble { message: "cannot be read".into(), hint: String::new() }
}

fn remote(there: &There, read: bool) -> Remote {
    let content = there.content;
    let known = read || content.shape.kind == Kind::Symlink;
    let digest = (known && content != Content::FOLDER).then_some(content.digest);
    Remote { stamp: there.stamp.clone(), seen: Seen { shape: content.shape, digest, meta: there.meta } }
}

fn failure(fault: Fault) -> Failure {
    Failure { fault, message: fault.to_string(), hint: String::new() }
}

/// How one run ended.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    trace: Vec<String>,
    held: i64,
    turns: usize,
}

struct Run {
    world: World,
    core: Core,
    index: Option<Index>,
    turns: usize,
    seed: u64,
}

impl Run {
    fn new(seed: u64, policy: Policy, outsiders: bool, loses_index: bool) -> Self {
        let world = World {
            dice: Dice::new(seed),
            clock: Duration::from_secs(1),
            local: BTreeMap::new(),
            links: BTreeMap::new(),
            targets: BTreeMap::from([(TargetId(1), TargetWorld::default()), (TargetId(2), TargetWorld::default())]),
            foreign: BTreeSet::new(),
            strange_folders: BTreeSet::new(),
            pending: Vec::new(),
            late: Vec::new(),
            orphans: BTreeSet::new(),
            faults: true,
            outsiders,
            loses_index,
            lost_index: false,
            serial: 100,
            policy,
            trace: Vec::new(),
            show: std::env::var("DRIFTLINE_SEED").is_ok(),
        };
        let mut index = Index::in_memory().unwrap();
        let core = start(&mut index, policy);
        Self { world, core, index: Some(index), turns: 0, seed }
    }

    fn feed(&mut self, events: Vec<Event>) {
        self.turns += 1;
        assert!(self.turns < 20_000, "seed {}: never comes to rest; pending {:?}", self.seed, self.world.pending);
        let index = self.index.as_mut().unwrap();
        let (moment, wall) = (self.world.moment(), self.world.wall());
        if self.world.show {
            events.iter().for_each(|event| eprintln!("{:?} {event:?}", self.world.clock));
        }
        self.world.trace.extend(events.iter().map(|event| format!("{event:?}")));
        index.begin(wall).unwrap();
        let commands = self.core.handle(index, events, moment, wall, 0).unwrap();
        let crash = self.world.faults && self.world.dice.one_in(150);
        if crash && self.world.dice.one_in(2) {
            index.rollback().unwrap();
            return self.crash();
        }
        index.commit().unwrap();
        if crash {
            return self.crash();
        }
        if self.world.show {
            commands.iter().for_each(|command| eprintln!("      -> {command:?}"));
        }
        self.world.pending.extend(commands.into_iter().map(Pending::Command));
    }

    /// Only the index and the world survive; changes that were under way may still be made.
    fn crash(&mut self) {
        if self.world.show {
            eprintln!("CRASH");
        }
        self.world.trace.push("crash".into());
        for pending in std::mem::take(&mut self.world.pending) {
            if let Pending::Command(Command::Apply(target, steps)) = pending
                && self.world.dice.one_in(3)
            {
                // A prefix of it was made.
                let n = self.world.dice.below(steps.len() + 1);
                steps[..n].iter().for_each(|step| drop(self.world.apply(target, step)));
            }
        }
        self.world.targets.values_mut().for_each(|target| target.staged.clear());
        let mut index = self.index.take().unwrap().new_run().unwrap();
        if self.world.loses_index && self.world.dice.one_in(2) {
            index = self.lose_index();
        }
        self.core = start(&mut index, self.world.policy);
        self.index = Some(index);
        self.feed(vec![Event::Tick]);
    }

    /// What lies on the targets now is ours or not: nobody knows.
    fn lose_index(&mut self) -> Index {
        if self.world.show {
            eprintln!("INDEX LOST");
        }
        self.world.trace.push("index lost".into());
        self.world.lost_index = true;
        let there = self.world.targets.values().flat_map(|target| target.now.values());
        for there in there {
            if there.content == Content::FOLDER {
                self.world.strange_folders.insert(there.stamp.clone());
            } else {
                self.world.orphans.insert(there.content);
            }
        }
        Index::in_memory().unwrap()
    }

    fn edit(&mut self) {
        let touched = self.world.user();
        self.world.pass(Duration::from_millis(1));
        if touched.is_empty() {
            return;
        }
        let event = match self.world.dice.below(12) {
            0 => Event::LostTrack(SHARE),
            // Lost for good: only an audit finds it.
            1 if self.world.outsiders => return,
            _ => Event::Touched(SHARE, touched),
        };
        self.feed(vec![event]);
    }

    fn some_answer(&mut self) {
        if self.world.pending.is_empty() {
            return;
        }
        let mut events = Vec::new();
        for _ in 0..=self.world.dice.below(2) {
            if self.world.pending.is_empty() {
                break;
            }
            let at = self.world.dice.below(self.world.pending.len());
            events.extend(self.world.answer(at));
        }
        self.world.pass(Duration::from_millis(1));
        self.feed(events);
    }

    fn live(&mut self, steps: usize) {
        self.feed(vec![Event::Tick]);
        for _ in 0..steps {
            match self.world.dice.below(12) {
                0 | 1 => self.edit(),
                2 if self.world.outsiders => self.world.outsider(),
                3 => {
                    self.world.pass(Duration::from_millis(700));
                    self.feed(vec![Event::Tick]);
                }
                4 => self.world.apply_late(),
                _ => self.some_answer(),
            }
        }
    }

    fn rest(&mut self) {
        let mut idle_ticks = 0;
        loop {
            if !self.world.pending.is_empty() {
                idle_ticks = 0;
                self.some_answer();
                continue;
            }
            // Whatever is due later than this is a periodic scan or audit.
            let near = self.world.moment().after(Duration::from_secs(600));
            match self.core.next_due(self.world.moment()).filter(|due| *due < near) {
                Some(due) => {
                    idle_ticks = if due.0 > self.world.clock { 0 } else { idle_ticks + 1 };
                    assert!(idle_ticks < IDLE_TICKS_MAX, "seed {}: spins with nothing to do", self.seed);
                    self.world.clock = self.world.clock.max(due.0);
                    self.feed(vec![Event::Tick]);
                }
                None => return,
            }
        }
    }

    /// The world calms down: no more edits, no more faults.
    fn calm(&mut self) {
        self.world.faults = false;
        while !self.world.late.is_empty() {
            self.world.apply_late();
        }
        self.rest();
        for _ in 0..2 {
            if self.world.outsiders {
                self.feed(vec![Event::RescanDue(SHARE), Event::AuditDue(TargetId(1)), Event::AuditDue(TargetId(2))]);
            }
            self.rest();
        }
    }

    fn check(&mut self) {
        assert!(self.core.is_idle(99), "seed {}: not idle though nothing is due: {:?}", self.seed, self.core);
        let mut index = self.index.take().unwrap();
        for id in [TargetId(1), TargetId(2)] {
            for at in self.world.local.keys() {
                self.check_copied(&mut index, id, at);
            }
            for at in self.world.targets[&id].now.keys() {
                self.check_not_left(id, at);
            }
            self.check_tallies(&mut index, id);
            self.check_durable(id);
            self.check_bases(&mut index, id);
        }
        self.index = Some(index);
    }

    fn check_copied(&self, index: &mut Index, id: TargetId, at: &RelPath) {
        let local = &self.world.local[at];
        let there = &self.world.targets[&id].now;
        let theirs = there.get(at);
        if theirs.is_some_and(|there| there.content == local.content && there.meta == local.meta) {
            let open = index.open_row(id, at).unwrap();
            assert!(open.is_none(), "seed {} {id:?} {at}: copied, yet {open:?}", self.seed);
            return;
        }
        let open = index.open_row(id, at).unwrap();
        let hold = open.as_ref().and_then(|open| open.hold.as_ref()).map(|hold| hold.hold);
        let foreign = |other: &RelPath| {
            (*other == *at || near(other, at)) && there.get(other).is_some_and(|there| self.world.is_strange(there))
        };
        let foreign_near = there.keys().any(foreign);
        let retained_near = self.world.policy.deletes == Deletes::Retain && there.keys().any(|other| near(other, at));
        let excused = match hold {
            Some(Hold::Drifted) => self.world.policy.drift == Drift::Keep && self.has_strangers() && foreign_near,
            Some(Hold::Refused) => (self.has_strangers() && foreign_near) || retained_near,
            Some(Hold::LocalTroubled | Hold::RemoteTroubled) | None => false,
        };
        if self.world.show {
            eprintln!("{id:?} {at} is held: {open:?}");
        }
        assert!(
            excused,
            "seed {} {:?} {id:?} {at}: on the share {local:?}, there {theirs:?}, open {open:?}",
            self.seed, self.world.policy
        );
    }

    fn check_not_left(&self, id: TargetId, at: &RelPath) {
        let there = &self.world.targets[&id].now;
        let foreign = |other: &RelPath| self.world.is_strange(&there[other]);
        // A folder is left for what is in it.
        let theirs = there.keys().any(|other| (at == other || at.is_above(other)) && foreign(other));
        let stray = !self.world.local.contains_key(at) && !theirs && self.world.policy.deletes == Deletes::Propagate;
        assert!(!stray, "seed {} {id:?}: ours left behind at {at}: {:?}", self.seed, there[at]);
    }

    /// Things may lie on a target that nobody knows to be ours.
    fn has_strangers(&self) -> bool {
        self.world.outsiders || self.world.lost_index
    }

    /// Whatever was said to be durable still is, at its place or in history; and nothing lies about in staging.
    fn check_durable(&self, id: TargetId) {
        let target = &self.world.targets[&id];
        for content in &target.durable {
            let there = target.history.contains(content) || target.now.values().any(|there| there.content == *content);
            assert!(there, "seed {} {id:?}: {content:?} was durable and is lost", self.seed);
        }
        assert!(target.staged.is_empty(), "seed {} {id:?}: left in staging: {:?}", self.seed, target.staged);
    }

    /// What the index believes of the target is so.
    fn check_bases(&self, index: &mut Index, id: TargetId) {
        for at in NAMES.map(path).iter().flat_map(|at| at.ancestors().chain([at.clone()])) {
            let Some(base) = index.base(id, &at).unwrap() else { continue };
            if index.open_row(id, &at).unwrap().is_some() {
                continue;
            }
            let there = self.world.targets[&id].now.get(&at);
            let true_to_it = there.is_some_and(|there| there.stamp == base.stamp && there.content == base.content);
            assert!(true_to_it, "seed {} {id:?} {at}: believed {base:?}, there {there:?}", self.seed);
        }
    }

    /// With its index lost, and nothing else changed, the agent changes nothing.
    fn check_index_loss(&mut self) {
        let before: Vec<_> = self.world.targets.values().map(|target| (target.now.clone(), target.changes)).collect();
        let mut index = self.lose_index();
        self.core = start(&mut index, self.world.policy);
        self.index = Some(index);
        self.feed(vec![Event::Tick]);
        self.rest();
        let after: Vec<_> = self.world.targets.values().map(|target| (target.now.clone(), target.changes)).collect();
        assert_eq!(before, after, "seed {}: changed after the index was lost", self.seed);
        self.check();
    }

    /// What the index has counted is what it holds.
    fn check_tallies(&self, index: &mut Index, id: TargetId) {
        let tally = index.target_tally(id);
        let counted = index.recount(id).unwrap();
        assert_eq!(tally, counted, "seed {} {id:?}", self.seed);
        let rows = index.open_page(id, &Default::default(), false, 99).unwrap().0;
        let gone = index.open_page(id, &Default::default(), true, 99).unwrap().0;
        let core = &self.core;
        assert_eq!(
            tally.pending, 0,
            "seed {} {id:?}: {rows:?} wait, {gone:?} to go, nothing is due: {core:?}",
            self.seed
        );
        let is_there = self.world.local.iter().filter(|(_, node)| node.content.shape.kind == Kind::File);
        let is_there: BTreeSet<_> = is_there.map(|(at, _)| at.clone()).collect();
        let mut believed = BTreeSet::new();
        let folders: BTreeSet<_> = NAMES.iter().flat_map(|name| path(name).ancestors().collect::<Vec<_>>()).collect();
        for folder in folders.into_iter().chain([RelPath::root()]) {
            let mut see = |name: &[u8], row: &LocalRow| {
                if row.state != Presence::Absent && row.stat.shape.kind == Kind::File {
                    believed.insert(folder.join(name).unwrap());
                }
            };
            index.visit_folder(SHARE, &folder, &mut see).unwrap();
        }
        // Renames make more names than these: the count tells of them.
        assert!(is_there.is_superset(&believed), "seed {}: believed {believed:?}, there {is_there:?}", self.seed);
        assert_eq!(index.share_tally(SHARE).files, is_there.len() as i64, "seed {}", self.seed);
    }
}

fn start(index: &mut Index, policy: Policy) -> Core {
    let share = index.register_share("s", b"/s", "uid").unwrap();
    assert_eq!(share.id, SHARE);
    let settle = SettleLimits { quiet: Duration::from_millis(500), patience: Duration::from_secs(5), paths_max: 4 };
    let shares = vec![ShareSetup { id: SHARE, settle, rescan: Duration::from_secs(3600) }];
    let mut targets = Vec::new();
    for n in [1, 2] {
        let info = index.register_target(SHARE, &format!("t{n}"), "/t").unwrap();
        assert_eq!(info.id, TargetId(n));
        let audit = Some(Duration::from_secs(86_400));
        let listed_ago = info.listed.map(|_| Duration::ZERO);
        targets.push(TargetSetup { id: info.id, share: SHARE, policy, audit, listed_ago, halt: None, paused: false });
    }
    index.forget_sights(SHARE).unwrap();
    let limits = Limits {
        hashing_max: 2,
        looks_max: 2,
        wanted_max: 4,
        fresh_max: 3,
        jobs_max: 2,
        batch_max: 2,
        big: 2,
        decided_max: 5,
        rest: RestLimits { first: Duration::from_secs(1), longest: Duration::from_secs(8) },
        ..Limits::default()
    };
    Core::new(shares, targets, limits)
}

fn simulate(seed: u64) -> Outcome {
    let pick = |bit: u64| seed >> bit & 1 == 1;
    let policy = Policy {
        drift: if pick(0) { Drift::Keep } else { Drift::Overwrite },
        deletes: if pick(1) { Deletes::Propagate } else { Deletes::Retain },
    };
    let mut run = Run::new(seed, policy, pick(2), seed >> 3 & 3 == 3);
    run.live(120);
    run.calm();
    run.check();
    let held = [1, 2].map(|n| run.index.as_ref().unwrap().target_tally(TargetId(n)).holds).iter().sum();
    if !run.has_strangers() && policy.deletes == Deletes::Propagate {
        assert_eq!(held, 0, "seed {seed}: without outsiders nothing stays held");
    }
    run.check_index_loss();
    Outcome { trace: run.world.trace, held, turns: run.turns }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Runs seeds one by one, and goes on after a failure so that one run shows them all.
fn simulate_range(from: u64, to: u64) {
    let started = std::time::Instant::now();
    let (mut held, mut worst, mut failed) = (0, 0, Vec::new());
    for seed in from..to {
        match std::panic::catch_unwind(|| simulate(seed)) {
            Ok(outcome) => (held, worst) = (held + outcome.held, worst.max(outcome.turns)),
            Err(_) => failed.push(seed),
        }
    }
    let rate = (to - from) as f64 / started.elapsed().as_secs_f64();
    println!("seeds {from} to {to}: {rate:.0} runs per second, {held} held at the end, at most {worst} turns");
    assert!(failed.is_empty(), "seeds {failed:?} failed; DRIFTLINE_SEED={} shows one", failed[0]);
}

#[test]
fn every_seed_converges_and_loses_nothing() {
    if let Some(seed) = variable("DRIFTLINE_SEED") {
        simulate(seed);
        return;
    }
    let from = variable("DRIFTLINE_SEED_FROM").unwrap_or(0);
    simulate_range(from, from + variable("DRIFTLINE_SEEDS").unwrap_or(2_000));
}

#[test]
fn seeds_that_once_failed_pass() {
    for seed in ONCE_FAILED {
        simulate(*seed);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..24 {
        assert_eq!(simulate(seed), simulate(seed));
    }
}
