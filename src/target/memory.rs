//! A target in memory: a fake for tests and simulations, held to the same promises as the real ones.
//!
//! It keeps nothing beyond its own life, and each sweep of it is that of a new run. What outsiders do to it, and which calls fail, is told to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Content, Digest, Kept, Kind, Meta, Past, RelPath, Seen, Shape, Sink, Stamp, Wall, Was, Which};
use crate::plan::{self, Guard, Keep};
use crate::target::{
    AskLies, Bind, Bound, Change, Depth, Fault, Page, Piece, Placed, Read, ReadError, Remote, StageError, Staged, Step,
    Take, Target, TargetError, Token, ledger,
};

/// Entries of one page: few, so that a small test has several.
const PAGE_MAX: usize = 3;

/// A target in memory.
#[derive(Debug, Default)]
pub struct MemoryTarget {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Its identity, once bound; another than `expected` is another place.
    identity: Option<String>,
    expected: Option<String>,
    nodes: BTreeMap<RelPath, Node>,
    history: Vec<(RelPath, Wall, Node)>,
    /// What history does not tell.
    ledger: Vec<Past>,
    staged: HashMap<Token, (Content, Vec<u8>)>,
    failures: VecDeque<Failure>,
    count: u64,
    now: Wall,
}

/// How a call is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it answers.
    pub fault: Fault,
    /// The change is made all the same: its answer is lost.
    pub made: bool,
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    bytes: Vec<u8>,
    meta: Meta,
    /// Survives a move; a version's own number.
    version: u64,
}

impl Node {
    fn stamp(&self) -> Stamp {
        let mark = if self.kind == Kind::Folder { b'F' } else { b'V' };
        Stamp([&[mark][..], &self.version.to_be_bytes()].concat().into())
    }

    fn shape(&self) -> Shape {
        Shape { kind: self.kind, len: self.bytes.len() as u64 }
    }

    fn digest(&self) -> Digest {
        Digest(*blake3::hash(&self.bytes).as_bytes())
    }

    fn remote(&self, depth: Depth) -> Remote {
        let digest = match (self.kind, depth) {
            (Kind::Folder, _) | (Kind::File, Depth::Stamp) => None,
            (Kind::Symlink, _) | (Kind::File, Depth::Content | Depth::Bytes) => Some(self.digest()),
        };
        Remote { stamp: self.stamp(), seen: Seen { shape: self.shape(), digest, meta: self.meta } }
    }

    fn placed(&self) -> Placed {
        Placed { stamp: Some(self.stamp()), meta: Some(self.meta), ..Placed::default() }
    }
}

type Outcome<T> = Result<T, (Fault, &'static str)>;

const STALE: (Fault, &str) = (Fault::Stale, "it is not as the guard says");

impl MemoryTarget {
    /// Empty and not bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the next calls of `stage` (each file), `apply` (each step), `look` and `list` answer, one after the other.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// The time that versions in history bear from now on.
    pub fn set_now(&self, now: Wall) {
        self.state().now = now;
    }

    /// The place becomes another one, with another identity and nothing on it; `None` for one that bears none.
    pub fn swap_identity(&self, identity: Option<String>) {
        let mut state = self.state();
        state.identity = identity;
        state.nodes.clear();
        state.history.clear();
        state.ledger.clear();
    }

    /// An outsider saves a file, with all folders above it.
    pub fn outsider_writes(&self, path: &RelPath, bytes: &[u8]) {
        let mut state = self.state();
        state.make_parents(path);
        let meta = Meta { mode: 0o644, mtime: state.now, ..Meta::NOTHING };
        state.insert(path, Kind::File, bytes.to_vec(), meta);
    }

    /// What lies at a path: a file's bytes or a link's target.
    pub fn bytes(&self, path: &RelPath) -> Option<Vec<u8>> {
        self.state().nodes.get(path).filter(|node| node.kind != Kind::Folder).map(|node| node.bytes.clone())
    }

    /// The versions of a path that were replaced or removed, oldest first.
    pub fn history(&self, path: &RelPath) -> Vec<Vec<u8>> {
        let state = self.state();
        state.history.iter().filter(|(at, ..)| at == path).map(|(_, _, node)| node.bytes.clone()).collect()
    }

    /// How many files are staged.
    pub fn staged(&self) -> usize {
        self.state().staged.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self, verb: &'static str) -> Result<MutexGuard<'_, State>, TargetError> {
        let state = self.state();
        if state.expected.is_none() || state.identity != state.expected {
            return Err(error(verb, None, (Fault::Offline, "it is not the place that was bound")));
        }
        Ok(state)
    }

    fn stage_one(&self, path: &RelPath, read: Read<'_>) -> Result<Staged, StageError> {
        let on_target = |err| StageError::Target(error("stage", Some(path), err));
        if let Some(failure) = self.checked("stage").map_err(StageError::Target)?.failures.pop_front() {
            return Err(on_target((failure.fault, "it was told to fail")));
        }
        let mut bytes = Buffer::default();
        // The lock is not held here: whoever reads may look at this target.
        let reading = read(path, &mut bytes).map_err(StageError::Read)?;
        let mut state = self.checked("stage").map_err(StageError::Target)?;
        let token = Token(state.next());
        state.staged.insert(token, (reading.content, bytes.0));
        Ok(Staged { token, reading })
    }

    fn step(&self, step: &Step) -> Result<Placed, TargetError> {
        let mut state = self.checked("change")?;
        let failure = state.failures.pop_front();
        if let Some(failure) = failure.filter(|failure| !failure.made) {
            return Err(error("change", Some(&step.path), (failure.fault, "it was told to fail")));
        }
        let now = state.tick();
        state.ledger.extend(read_ledger(&ledger::before(std::slice::from_ref(step), now)));
        let placed = state.change(step).map_err(|err| error("change", Some(&step.path), err))?;
        if let Change::Move { from } = &step.change {
            let mut text = Vec::new();
            ledger::moved(&mut text, state.tick(), from, &step.path);
            state.ledger.extend(read_ledger(&text));
        }
        match failure {
            Some(failure) => Err(error("change", Some(&step.path), (failure.fault, "its answer was lost"))),
            None => Ok(placed),
        }
    }
}

/// In the words of the ledger, so that those are held to the promises too.
fn read_ledger(text: &[u8]) -> impl Iterator<Item = Past> {
    text.split(|byte| *byte == b'\n').filter_map(ledger::parse)
}

fn error(verb: &'static str, path: Option<&RelPath>, (fault, cause): (Fault, &str)) -> TargetError {
    TargetError { fault, verb, path: path.cloned(), cause: cause.to_owned(), hint: "this target is a fake".to_owned() }
}

impl State {
    /// No two changes are made at one time.
    fn tick(&mut self) -> Wall {
        self.now = Wall(self.now.0.saturating_add(1));
        self.now
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn insert(&mut self, path: &RelPath, kind: Kind, bytes: Vec<u8>, meta: Meta) -> Placed {
        let node = Node { kind, bytes, meta, version: self.next() };
        let placed = node.placed();
        self.nodes.insert(path.clone(), node);
        placed
    }

    /// For outsiders, who do as they like.
    fn make_parents(&mut self, path: &RelPath) {
        for folder in path.ancestors() {
            if !self.nodes.contains_key(&folder) {
                let meta = Meta { mode: 0o755, mtime: self.now, ..Meta::NOTHING };
                self.insert(&folder, Kind::Folder, Vec::new(), meta);
            }
        }
    }

    fn way_is_free(&self, path: &RelPath) -> Outcome<()> {
        let blocked =
            path.ancestors().any(|above| self.nodes.get(&above).is_some_and(|node| node.kind != Kind::Folder));
        if blocked || path.is_root() || path.is_reserved() {
            return Err((Fault::Unfit, "something that is not a folder lies on the way to it"));
        }
        if path.parent().is_some_and(|parent| !parent.is_root() && !self.nodes.contains_key(&parent)) {
            return Err((Fault::NoFolder, "its folder is not there"));
        }
        Ok(())
    }

    /// What the guard names; `None` if it says that nothing is there.
    fn guarded(&self, path: &RelPath, guard: &Guard) -> Outcome<Option<Node>> {
        match (self.nodes.get(path), guard) {
            (None, Guard::Absent) => Ok(None),
            (Some(node), Guard::Unchanged(stamp)) if node.stamp() == *stamp => Ok(Some(node.clone())),
            (None, Guard::Unchanged(_)) | (Some(_), Guard::Absent | Guard::Unchanged(_)) => Err(STALE),
        }
    }

    fn existing(&self, path: &RelPath, guard: &Guard) -> Outcome<Node> {
        self.guarded(path, guard)?.ok_or(STALE)
    }

    fn is_empty_below(&self, path: &RelPath) -> bool {
        !self.nodes.keys().any(|other| path.is_above(other))
    }

    fn keep(&mut self, path: &RelPath, node: &Node) {
        if node.kind != Kind::Folder {
            self.history.push((path.clone(), self.now, node.clone()));
        }
    }

    fn put(&mut self, step: &Step, kind: Kind, bytes: Vec<u8>, meta: Meta) -> Outcome<Placed> {
        let old = self.guarded(&step.path, &step.guard)?;
        self.way_is_free(&step.path)?;
        if old.as_ref().is_some_and(|old| old.kind == Kind::Folder) && !self.is_empty_below(&step.path) {
            return Err((Fault::Unfit, "a folder that is not empty is in the way"));
        }
        if let Some(old) = old {
            self.keep(&step.path, &old);
        }
        Ok(self.insert(&step.path, kind, bytes, meta))
    }

    fn change(&mut self, step: &Step) -> Outcome<Placed> {
        match &step.change {
            Change::Publish { token, content, meta } => {
                let staged = self.staged.get(token).filter(|(staged, _)| staged == content).cloned();
                let (_, bytes) = staged.ok_or((Fault::Unstaged, "it is not staged"))?;
                let placed = self.put(step, Kind::File, bytes, *meta)?;
                self.staged.remove(token);
                Ok(placed)
            }
            Change::Link { to, meta, content: _ } => self.put(step, Kind::Symlink, to.clone(), *meta),
            Change::MakeFolder { meta } => self.make_folder(step, *meta),
            Change::SetMeta { meta } => self.set_meta(step, *meta),
            Change::Move { from } => self.rename(step, from),
            Change::Remove => self.remove(step),
        }
    }

    fn make_folder(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        let is_folder = self.nodes.get(&step.path).is_some_and(|node| node.kind == Kind::Folder);
        match (&step.guard, is_folder) {
            (Guard::Absent, true) => Ok(self.carry(&step.path, meta)),
            (Guard::Unchanged(_), true) => self.set_meta(step, meta),
            (Guard::Absent | Guard::Unchanged(_), false) => self.put(step, Kind::Folder, Vec::new(), meta),
        }
    }

    fn carry(&mut self, path: &RelPath, meta: Meta) -> Placed {
        let version = self.next();
        let node = self.nodes.get_mut(path).expect("the caller found it there");
        node.meta = meta;
        if node.kind != Kind::Folder {
            node.version = version;
        }
        node.placed()
    }

    fn set_meta(&mut self, step: &Step, meta: Meta) -> Outcome<Placed> {
        self.existing(&step.path, &step.guard)?;
        Ok(self.carry(&step.path, meta))
    }

    fn rename(&mut self, step: &Step, from: &RelPath) -> Outcome<Placed> {
        let node = self.existing(from, &step.guard)?;
        if from == &step.path || from.is_above(&step.path) {
            return Err((Fault::Unfit, "a folder cannot be moved into itself"));
        }
        self.guarded(&step.path, &Guard::Absent)?;
        self.way_is_free(&step.path)?;
        let nodes = std::mem::take(&mut self.nodes).into_iter();
        self.nodes = nodes.map(|(path, node)| (path.rebased(from, &step.path).unwrap_or(path), node)).collect();
        Ok(node.placed())
    }

    fn remove(&mut self, step: &Step) -> Outcome<Placed> {
        let node = self.existing(&step.path, &step.guard)?;
        if !self.is_empty_below(&step.path) {
            return Err((Fault::Occupied, "the folder is not empty"));
        }
        self.keep(&step.path, &node);
        self.nodes.remove(&step.path);
        Ok(Placed { stamp: None, meta: None, ..Placed::default() })
    }

    fn pages(&self) -> Vec<Page> {
        let folders = self.nodes.iter().filter(|(_, node)| node.kind == Kind::Folder).map(|(path, _)| path.clone());
        std::iter::once(RelPath::root()).chain(folders).flat_map(|folder| self.pages_of(&folder)).collect()
    }

    fn pages_of(&self, folder: &RelPath) -> Vec<Page> {
        let inside = self.nodes.iter().filter(|(path, _)| path.parent().as_ref() == Some(folder));
        let entries: Vec<_> = inside.map(|(path, node)| (path.clone(), node.remote(Depth::Stamp))).collect();
        let page = |entries: &[_]| Page { folder: Some(folder.clone()), entries: entries.to_vec(), ..Page::default() };
        let mut pages: Vec<_> = entries.chunks(PAGE_MAX).map(page).collect();
        if pages.is_empty() {
            pages.push(page(&[]));
        }
        if let Some(last) = pages.last_mut() {
            last.last_of_folder = true;
        }
        pages
    }
}

#[derive(Default)]
struct Buffer(Vec<u8>);

impl Sink for Buffer {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> std::io::Result<()> {
        let len = usize::try_from(len).map_err(|_| std::io::Error::from(std::io::ErrorKind::StorageFull))?;
        self.0.resize(self.0.len() + len, 0);
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

impl Target for MemoryTarget {
    fn probe(&self, bind: Bind) -> Result<Bound, TargetError> {
        let mut state = self.state();
        let newly = state.identity.is_none() && state.expected.is_none() && bind == Bind::IfUnbound;
        if newly {
            state.identity = Some("memory".to_owned());
        }
        if state.expected.is_none() {
            let identity = state.identity.clone();
            state.expected = identity;
        }
        drop(state);
        let state = self.checked("reach")?;
        let id = state.identity.clone().expect("a place that was checked is bound");
        Ok(Bound { id, newly, far: false, lists: true })
    }

    fn list(&self, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
        let pages = {
            let mut state = self.checked("list")?;
            if let Some(failure) = state.failures.pop_front() {
                return Err(error("list", None, (failure.fault, "it was told to fail")));
            }
            state.pages()
        };
        let _all = pages.into_iter().all(page);
        Ok(())
    }

    fn look(&self, path: &RelPath, depth: Depth) -> Result<Option<Remote>, TargetError> {
        let mut state = self.checked("look at")?;
        if let Some(failure) = state.failures.pop_front() {
            return Err(error("look at", Some(path), (failure.fault, "it was told to fail")));
        }
        Ok(state.nodes.get(path).map(|node| node.remote(depth)))
    }

    fn stage(&self, paths: &[RelPath], read: Read<'_>) -> Vec<Result<Staged, StageError>> {
        paths.iter().map(|path| self.stage_one(path, read)).collect()
    }

    fn apply(&self, steps: &[Step]) -> Vec<Result<Placed, TargetError>> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn discard(&self, tokens: &[Token]) {
        let mut state = self.state();
        tokens.iter().for_each(|token| _ = state.staged.remove(token));
    }

    fn sweep(&self) -> Result<u64, TargetError> {
        let mut state = self.checked("sweep")?;
        let swept = state.staged.len() as u64;
        state.staged.clear();
        Ok(swept)
    }

    fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Result<u64, TargetError> {
        let mut state = self.checked("prune")?;
        let all = state.history.len();
        let mut go = Vec::new();
        for (path, ..) in &state.history {
            let of_path = state.history.iter().enumerate().filter(|(_, (other, ..))| other == path);
            let of_path: Vec<_> = of_path.map(|(n, (_, at, _))| (n, *at)).collect();
            let replaced: Vec<_> = of_path.iter().map(|(_, at)| *at).collect();
            go.extend(plan::prune(&replaced, lies(path), keep).into_iter().map(|at| of_path[at].0));
        }
        let mut number = 0..;
        state.history.retain(|_| number.next().is_some_and(|n| !go.contains(&n)));
        state.ledger.retain(|past| past.at() >= keep.before);
        Ok((all - state.history.len()) as u64)
    }

    fn past(&self, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Result<(), TargetError> {
        let state = self.checked("read the history of")?;
        let kept = state.history.iter().map(|(path, at, node)| {
            let which = Which::Kept(node.version.to_be_bytes().into());
            let begins = node.digest().0.first_chunk().copied();
            let was = Was::Version(Kept { which, seen: node.remote(Depth::Stamp).seen, begins, stamp: None });
            Past::Changed { path: path.clone(), at: *at, was }
        });
        let is_asked = |past: &Past| match past {
            Past::Changed { path, .. } => path == under || under.is_above(path),
            Past::Moved { .. } => true,
        };
        let told = state.ledger.iter().cloned().chain(kept).filter(|past| past.at() > after && is_asked(past));
        let _all = told.collect::<Vec<_>>().into_iter().all(each);
        Ok(())
    }

    fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
        let state = self.checked("read")?;
        let node = match which {
            Which::Now(stamp) => state.nodes.get(path).filter(|node| node.stamp() == *stamp),
            Which::Kept(name) => {
                let is_it = |at: &RelPath, node: &Node| at == path && node.version.to_be_bytes() == **name;
                state.history.iter().find(|(at, _, node)| is_it(at, node)).map(|(_, _, node)| node)
            }
        };
        let node = node.cloned().ok_or_else(|| error("read", Some(path), STALE))?;
        drop(state);
        let more = take(Piece::Head(&node.remote(Depth::Stamp).seen)).map_err(ReadError::Taker)?;
        if more && node.kind != Kind::Folder {
            take(Piece::Bytes(&node.bytes)).map_err(ReadError::Taker)?;
        }
        Ok(())
    }

    fn free(&self) -> Result<Option<u64>, TargetError> {
        self.checked("measure").map(|_| None)
    }
}
