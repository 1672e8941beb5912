//! The make-believe world: what lies on a share and its targets, and answers that come late or never.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driftline::engine::{Command, Event, Failure, LookJob, ReadJob, Recalled, StageFailure};
use driftline::local::{Found, Looked, PageEnd, ScanEnd, ScanPage};
use driftline::model::{
    Content, Digest, Kind, Meta, Moment, ReadFault, Reading, RelPath, Seen, ShareId, Stamp, Stat, TargetId, Trouble,
    Wall,
};
use driftline::plan::{Policy, Tombstone};
use driftline::target::{Bound, Fault, Page, Remote, Staged, Step, Token};

/// A small seeded generator (xorshift64; Marsaglia 2003): the whole run follows from the seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What happened, in order. It is put into words only where two runs are compared.
#[derive(Debug, Default)]
pub(super) struct Trace(Vec<Happened>);

#[derive(Debug)]
#[expect(dead_code, reason = "compared as it is put into words")]
enum Happened {
    Event(Event),
    Else(&'static str, usize),
}

impl Trace {
    pub(super) fn events(&mut self, events: &[Event]) {
        self.0.extend(events.iter().cloned().map(Happened::Event));
    }

    /// A crash, an index that is lost, the agent of this number.
    pub(super) fn note(&mut self, what: &'static str, number: usize) {
        self.0.push(Happened::Else(what, number));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many readings of files were answered from there on.
    pub(super) fn readings_since(&self, from: usize) -> usize {
        let is_one = |it: &&Happened| matches!(it, Happened::Event(Event::Hashed(..) | Event::Staged(..)));
        self.0[from..].iter().filter(is_one).count()
    }

    /// How many files were staged there.
    pub(super) fn staged_on(&self, target: TargetId) -> usize {
        let answered = self.0.iter().filter_map(|it| match it {
            Happened::Event(Event::Staged(id, files)) if *id == target => Some(files),
            Happened::Event(_) | Happened::Else(..) => None,
        });
        answered.flatten().filter(|(_, result)| result.is_ok()).count()
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        format!("{:?}", self.0) == format!("{:?}", other.0)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) meta: Meta,
    pub(super) ino: u64,
    pub(super) ctime: Wall,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct There {
    pub(super) content: Content,
    pub(super) meta: Meta,
    pub(super) stamp: Stamp,
}

#[derive(Debug, Default)]
pub(super) struct TargetWorld {
    /// Each step there costs a round trip: more is under way at once.
    pub(super) far: bool,
    /// It takes the same name in other letters for one.
    pub(super) one_case: bool,
    pub(super) now: BTreeMap<RelPath, There>,
    pub(super) history: BTreeSet<Content>,
    /// Files and links that the agent replaced or removed: where, when, and whether it removed them.
    pub(super) past: Vec<(RelPath, Content, Wall, bool)>,
    /// Two-way: what others had saved there, the share never held, and the agent put its own in the place of.
    pub(super) gave_way: Vec<(RelPath, Stamp, Content)>,
    /// Files and links that the agent was told are durable.
    pub(super) durable: BTreeSet<Content>,
    /// Changes that the agent was told were made (count).
    pub(super) changes: usize,
    pub(super) staged: BTreeMap<Token, (Content, Meta)>,
}

impl TargetWorld {
    /// The name in other letters that lies there and for which this one is taken.
    pub(super) fn rival(&self, at: &RelPath) -> Option<&RelPath> {
        let is_one = |other: &&RelPath| other.name().eq_ignore_ascii_case(at.name()) && *other != at;
        self.now.keys().filter(|other| self.one_case && other.parent() == at.parent()).find(is_one)
    }

    /// The agent takes it away, or puts something in its place.
    pub(super) fn keep(&mut self, at: &RelPath, content: Content, now: Wall, removed: bool) {
        self.history.insert(content);
        if content != Content::FOLDER {
            self.past.push((at.clone(), content, now, removed));
        }
    }
}

/// Something that the agent asked for and that was not answered yet.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Command(Command),
    Scan {
        under: RelPath,
        folders: Vec<RelPath>,
    },
    List {
        target: TargetId,
        folders: Vec<RelPath>,
    },
    Recall {
        target: TargetId,
        left: Vec<Recalled>,
    },
    /// It was carried out, and the answer is on its way.
    Told(Box<Event>),
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) clock: Duration,
    pub(super) local: BTreeMap<RelPath, Node>,
    pub(super) links: BTreeMap<Content, Box<[u8]>>,
    pub(super) targets: BTreeMap<TargetId, TargetWorld>,
    pub(super) foreign: BTreeSet<Content>,
    /// Folders that an outsider made, or that were ours when the index was lost: a folder keeps its stamp.
    pub(super) strange_folders: BTreeSet<Stamp>,
    pub(super) pending: Vec<Pending>,
    /// Changes whose sender gave up on them, but which will still be made.
    pub(super) late: Vec<(TargetId, Vec<Step>)>,
    /// What is still to be put so by an agent that has lost its index since: it knows of no conflict that arises by that.
    pub(super) forgotten: BTreeSet<Content>,
    /// What was put so: nobody may know any more that it is ours.
    pub(super) orphans: BTreeSet<Content>,
    /// What gave way on the share for what others did on a target.
    pub(super) kept: BTreeSet<Content>,
    /// What others had saved on a target and the share held at some time.
    pub(super) brought: BTreeSet<Content>,
    /// What others removed on a target, and the share followed: theirs to put back there.
    pub(super) followed: BTreeSet<(TargetId, RelPath, Content)>,
    /// Old copies of what the share had deleted, which outsiders put on a target again.
    pub(super) returned: BTreeSet<Content>,
    /// Changes of the share that the agent made itself, and that the watch has not told of yet.
    pub(super) echoes: Vec<RelPath>,
    /// How far the wall clock of this machine is from that of the targets (nanoseconds).
    pub(super) skew: i64,
    /// Targets that cannot be reached from here.
    pub(super) cut: BTreeSet<TargetId>,
    /// Several agents work on the targets.
    pub(super) several: bool,
    /// Several agents: whatever people saved on any share.
    pub(super) written: BTreeSet<Content>,
    /// Several agents: what people removed or replaced where it lay before them.
    pub(super) outdated: BTreeSet<Content>,
    /// Several agents: the same of one place alone; it may lie at another.
    pub(super) left: BTreeSet<(Content, RelPath)>,
    /// Several agents: all places where it ever lay.
    pub(super) places: BTreeMap<Content, BTreeSet<RelPath>>,
    /// Several agents: what lies on the other shares.
    pub(super) elsewhere: BTreeSet<Content>,
    pub(super) faults: bool,
    pub(super) outsiders: bool,
    /// The index may be lost at a crash.
    pub(super) loses_index: bool,
    /// It was, and what lay on the targets then is known to nobody.
    pub(super) lost_index: bool,
    pub(super) serial: u64,
    pub(super) policy: Policy,
    pub(super) trace: Trace,
    pub(super) show: bool,
}

pub(super) const NAMES: [&str; 9] = ["a", "a/x", "a/y", "a/s/z", "b", "b/x", "b/c/d", "e", "f"];
pub(super) const SHARE: ShareId = ShareId(1);
/// The target that has a clock of its own.
pub(super) const BUCKET: TargetId = TargetId(2);

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// A path as it stands, and with capitals at its beginning, at its end, and throughout.
pub(super) fn spellings(name: &str) -> [RelPath; 4] {
    let upper = name.to_uppercase();
    let (first, last) = (1, name.len() - 1);
    [name.to_owned(), upper[..first].to_owned() + &name[first..], name[..last].to_owned() + &upper[last..], upper]
        .map(|name| path(&name))
}

pub(super) fn near(a: &RelPath, b: &RelPath) -> bool {
    a.is_above(b) || b.is_above(a)
}

impl World {
    pub(super) fn wall(&self) -> Wall {
        Wall(self.true_wall().0 + self.skew)
    }

    /// The wall clock of targets that have one of their own.
    pub(super) fn true_wall(&self) -> Wall {
        Wall(1_700_000_000_000_000_000 + self.clock.as_nanos() as i64)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment(self.clock)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.clock += time;
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Nobody may know any more that it is ours, or it never was.
    pub(super) fn is_strange(&self, there: &There) -> bool {
        let content = &there.content;
        self.strange_folders.contains(&there.stamp) || self.foreign.contains(content) || self.orphans.contains(content)
    }

    pub(super) fn some_path(&mut self) -> RelPath {
        let name = NAMES[self.dice.below(NAMES.len())];
        if self.targets.values().any(|target| target.one_case) {
            let spellings = spellings(name);
            return spellings[self.dice.below(spellings.len())].clone();
        }
        path(name)
    }

    pub(super) fn fresh_file(&mut self) -> Content {
        let serial = self.serial();
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&serial.to_le_bytes());
        digest[31] = 1;
        Content::file(Digest(digest), serial % 3)
    }

    pub(super) fn meta(&mut self) -> Meta {
        Meta { mode: 0o644, mtime: self.wall(), ..Meta::NOTHING }
    }

    pub(super) fn stat(node: &Node) -> Stat {
        Stat { shape: node.content.shape, ino: node.ino, ctime: node.ctime, meta: node.meta, nlink: 1, mounted: false }
    }

    /// Only a rescan heals these, and only with outsiders is there one.
    pub(super) fn is_unreadable(&mut self) -> bool {
        self.faults && self.outsiders && self.dice.one_in(30)
    }

    pub(super) fn is_share_offline(&mut self) -> bool {
        self.faults && self.dice.one_in(60)
    }

    pub(super) fn found(&mut self, at: &RelPath) -> Option<Found> {
        let node = self.local.get(at)?.clone();
        if self.is_unreadable() {
            return Some(Found::Troubled(trouble()));
        }
        Some(match node.content.shape.kind {
            Kind::Symlink => Found::Link(Self::stat(&node), self.links[&node.content].clone()),
            Kind::File | Kind::Folder => Found::Plain(Self::stat(&node)),
        })
    }

    pub(super) fn children(&self, folder: &RelPath) -> Vec<RelPath> {
        self.local.keys().filter(|at| at.parent().as_ref() == Some(folder)).cloned().collect()
    }

    /// Answers what is pending at `at`; scans and listings answer a folder at a time.
    pub(super) fn answer(&mut self, at: usize) -> Option<Event> {
        let pending = self.pending.swap_remove(at);
        match pending {
            Pending::Scan { under, folders } => Some(self.answer_scan(under, folders)),
            Pending::List { target, folders } => Some(self.answer_list(target, folders)),
            Pending::Recall { target, left } => Some(self.answer_recall(target, left)),
            Pending::Command(command) => self.answer_command(command).and_then(|event| self.send(event)),
            Pending::Told(event) => Some(*event),
        }
    }

    /// Where several agents work, others do something before an answer arrives.
    fn send(&mut self, event: Event) -> Option<Event> {
        if self.several && self.dice.one_in(3) {
            self.pending.push(Pending::Told(Box::new(event)));
            return None;
        }
        Some(event)
    }

    pub(super) fn answer_scan(&mut self, under: RelPath, mut folders: Vec<RelPath>) -> Event {
        if self.is_share_offline() {
            return Event::ScanEnded(SHARE, under, ScanEnd::Offline("not mounted".into()));
        }
        let Some(folder) = folders.pop() else { return Event::ScanEnded(SHARE, under, ScanEnd::Done) };
        let gone = !folder.is_root() && self.local.get(&folder).is_none_or(|node| node.content != Content::FOLDER);
        // As a scan does: it tells that the folder is gone where it began, and nothing of one that goes while it goes on.
        let told = gone && folder == under;
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
        if gone && !told {
            return Event::Tick;
        }
        let mut end = if told { PageEnd::Gone } else { PageEnd::Complete };
        if !told && self.is_unreadable() {
            entries.truncate(self.dice.below(entries.len() + 1));
            end = PageEnd::Broken(trouble());
        }
        Event::Scanned(SHARE, ScanPage { folder, entries, end })
    }

    pub(super) fn answer_list(&mut self, target: TargetId, mut folders: Vec<RelPath>) -> Event {
        if self.cut.contains(&target) || (self.faults && self.dice.one_in(12)) {
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

    /// A page of two, or the end.
    fn answer_recall(&mut self, target: TargetId, mut left: Vec<Recalled>) -> Event {
        if self.cut.contains(&target) || (self.faults && self.dice.one_in(12)) {
            return Event::RecallEnded(target, Err(failure(Fault::Unreachable)));
        }
        if left.is_empty() {
            return Event::RecallEnded(target, Ok(()));
        }
        let page = left.split_off(left.len().saturating_sub(2));
        self.pending.push(Pending::Recall { target, left });
        Event::Recalled(target, page)
    }

    pub(super) fn answer_command(&mut self, command: Command) -> Option<Event> {
        let dead = self.faults && self.dice.one_in(7);
        let dead = dead || target_of(&command).is_some_and(|target| self.cut.contains(&target));
        Some(match command {
            Command::Scan(_, under, _) => {
                self.pending.push(Pending::Scan { folders: vec![under.clone()], under });
                return None;
            }
            Command::List(target) => {
                self.pending.push(Pending::List { target, folders: vec![RelPath::root()] });
                return None;
            }
            Command::Recall(target, after) => {
                let past = self.targets[&target].past.iter().filter(|(_, _, at, _)| *at > after);
                let told = past.map(|(path, content, at, _)| {
                    // As the name of a version in history tells it.
                    let what = Tombstone { digest: None, ..Tombstone::of(content) };
                    Recalled { path: path.clone(), what, at: *at }
                });
                let left = told.collect();
                self.pending.push(Pending::Recall { target, left });
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
            Command::Probe(target) => Event::Probed(
                target,
                Ok(Bound { id: format!("id {}", target.0), newly: false, far: self.targets[&target].far, lists: true }),
            ),
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
            Command::Noted(..) => return None,
            Command::Apply(target, steps) => self.answer_apply(target, steps, dead),
            Command::Land(target, jobs) => self.answer_land(target, jobs, dead),
        })
    }

    pub(super) fn read(&mut self, job: &ReadJob) -> Result<Reading, ReadFault> {
        let at = self.wall();
        if self.is_share_offline() {
            return Err(ReadFault::Offline("not mounted".into()));
        }
        match self.local.get(&job.path) {
            None => Err(ReadFault::Absent),
            Some(node) if node.content.shape.kind != Kind::File => Err(ReadFault::Changed),
            Some(_) if self.faults && self.dice.one_in(10) => Err(ReadFault::Busy("written".into())),
            Some(node) => Ok(Reading { content: node.content, stat: Self::stat(node), at, noise: false }),
        }
    }

    pub(super) fn stage(&mut self, target: TargetId, job: &ReadJob, dead: bool) -> Result<Staged, StageFailure> {
        let reading = self.read(job).map_err(StageFailure::Read)?;
        if self.faults && self.dice.one_in(10) {
            // As if another target's thread were just reading it.
            return Err(StageFailure::Read(ReadFault::InHand));
        }
        if dead {
            return Err(StageFailure::Target(self.failure()));
        }
        let token = Token(self.serial());
        let staged = &mut self.targets.get_mut(&target).unwrap().staged;
        staged.insert(token, (reading.content, reading.stat.meta));
        Ok(Staged { token, reading })
    }
}

fn target_of(command: &Command) -> Option<TargetId> {
    match command {
        Command::Scan(..) | Command::LookLocal(..) | Command::Hash(..) => None,
        Command::Probe(target)
        | Command::List(target)
        | Command::Recall(target, _)
        | Command::Look(target, _)
        | Command::Stage(target, _)
        | Command::Apply(target, _)
        | Command::Land(target, _)
        | Command::Noted(target, _)
        | Command::Discard(target, _) => Some(*target),
    }
}

pub(super) fn stamp(serial: u64) -> Stamp {
    Stamp(serial.to_le_bytes().into())
}

pub(super) fn trouble() -> Trouble {
    Trouble::new("cannot be read", "")
}

pub(super) fn remote(there: &There, read: bool) -> Remote {
    let content = there.content;
    let known = read || content.shape.kind == Kind::Symlink;
    let digest = (known && content != Content::FOLDER).then_some(content.digest);
    Remote { stamp: there.stamp.clone(), seen: Seen { shape: content.shape, digest, meta: there.meta } }
}

pub(super) fn failure(fault: Fault) -> Failure {
    Failure { fault, message: fault.to_string(), hint: String::new() }
}
