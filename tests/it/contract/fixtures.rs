//! A share of a few files, and each kind of target as its tests need it.

use super::*;

/// Prunes by time alone.
pub(super) fn prune(target: &dyn Target, before: i64) -> Result<u64, TargetError> {
    target.prune(&Keep { before: Wall(before), floor: 0 }, &|_| Lies::There)
}

/// A kind of target, and what an outsider does to it.
pub(super) trait Fixture: Sync {
    fn target(&self) -> &dyn Target;
    /// The same agent, started again.
    fn successor(&self) -> Box<dyn Target + '_>;
    fn outsider_writes(&self, path: &RelPath, bytes: &[u8]);
    /// A file's bytes or a link's target, as any other tool sees it.
    fn bytes(&self, path: &RelPath) -> Option<Vec<u8>>;
    /// The versions in history, oldest first.
    fn history(&self, path: &RelPath) -> Vec<Vec<u8>>;
    fn staged(&self) -> usize;
    /// Nothing is mounted there any more.
    fn unmount(&self);
    /// Something else is mounted there.
    fn swap(&self);
    /// Nothing at all was written since `unmount` or `swap`.
    fn is_untouched(&self) -> bool;
    /// A target that is given its time is given a later one.
    fn pass_time(&self) {}
    /// What a place of this kind cannot do by its nature.
    fn nature(&self) -> Nature {
        Nature::default()
    }
}

/// In what a place differs from a folder. Each promise says what holds for both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    /// A change of mode, time or owner changes the stamp.
    pub(super) stamps_tell_of_meta: bool,
    /// A listing tells what a look does. Else it tells of files and links the name, length and stamp, and calls both files;
    /// and of folders the name.
    pub(super) listings_tell_all: bool,
    /// A folder keeps its mode, time and owner. Else nothing is known of them.
    pub(super) folders_carry_meta: bool,
    /// A folder can be moved. Else that is refused, and nothing is changed.
    pub(super) moves_folders: bool,
    /// What is staged lies in the place, and is left there by a run that is cut off. Else it ends with the run.
    pub(super) stages_in_place: bool,
    /// Old versions can be taken away. Else they stay, whatever their time.
    pub(super) prunes: bool,
    /// Each change leaves a version with a name of its own, a change of mode, time or owner alone too.
    pub(super) names_versions: bool,
    /// Since when a folder is there can be told, and that one was there.
    pub(super) remembers_folders: bool,
    /// Bytes of a name.
    pub(super) longest_name: usize,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            stamps_tell_of_meta: true,
            listings_tell_all: true,
            folders_carry_meta: true,
            moves_folders: true,
            stages_in_place: true,
            prunes: true,
            names_versions: false,
            remembers_folders: true,
            longest_name: 255,
        }
    }
}

pub(super) fn path(text: impl AsRef<[u8]>) -> RelPath {
    RelPath::new(text).unwrap()
}

pub(super) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Wall(i64::try_from(since.as_nanos()).unwrap())
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

pub(super) fn meta() -> Meta {
    // Not the time of the test, and not a whole second. The owner is whoever runs it: he may not give files away.
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    Meta { mode: 0o640, mtime: Wall(1_600_000_000_123_456_789), uid, gid, acl: Acl::Plain }
}

fn reading(content: Content, meta: Meta) -> Reading {
    let stat = Stat { shape: content.shape, ino: 1, ctime: Wall(0), meta, nlink: 1, mounted: false };
    Reading { content, stat, at: Wall(0), noise: false }
}

/// Reads `bytes` as a file of the share.
pub(super) fn bring(bytes: &[u8], sink: &mut dyn Sink) -> Result<Reading, ReadFault> {
    for part in bytes.chunks(100_000) {
        sink.bytes(part).map_err(|_| ReadFault::Sink)?;
    }
    Ok(reading(Content::file(digest(bytes), bytes.len() as u64), meta()))
}

pub(super) fn stage(target: &dyn Target, bytes: &[u8]) -> Staged {
    let answers = target.stage(&[path("staged")], &mut |_, sink| bring(bytes, sink));
    let [answer] = <[_; 1]>::try_from(answers).unwrap();
    answer.unwrap()
}

pub(super) fn publish_step(target: &dyn Target, at: &RelPath, bytes: &[u8], guard: Guard, old: Option<&[u8]>) -> Step {
    let staged = stage(target, bytes);
    let change = Change::Publish { token: staged.token, content: staged.reading.content, meta: meta() };
    Step { path: at.clone(), change, guard, replaces: old.map(digest) }
}

pub(super) fn one(target: &dyn Target, step: Step) -> Result<Placed, TargetError> {
    let [answer] = <[_; 1]>::try_from(target.apply(&[step])).unwrap();
    answer
}

pub(super) fn change(at: &RelPath, change: Change, guard: Guard) -> Step {
    Step { path: at.clone(), change, guard, replaces: None }
}

/// Makes the folders above a path, as far as they are not there.
pub(super) fn folders_above(target: &dyn Target, at: &RelPath) {
    let mut above: Vec<_> = at.ancestors().filter(|up| !up.is_root()).collect();
    above.sort();
    above.retain(|up| target.look(up, Depth::Stamp).unwrap().is_none());
    above.iter().for_each(|up| _ = folder(target, up));
}

/// Puts a file where nothing is, in a folder that is made first, and returns its stamp.
pub(super) fn put(target: &dyn Target, at: &RelPath, bytes: &[u8]) -> Stamp {
    folders_above(target, at);
    one(target, publish_step(target, at, bytes, Guard::Absent, None)).unwrap().stamp.unwrap()
}

pub(super) fn replace(target: &dyn Target, at: &RelPath, bytes: &[u8], old: Stamp) -> Result<Placed, TargetError> {
    one(target, publish_step(target, at, bytes, Guard::Unchanged(old), None))
}

pub(super) fn folder(target: &dyn Target, at: &RelPath) -> Stamp {
    let meta = Meta { mode: 0o755, ..meta() };
    one(target, change(at, Change::MakeFolder { meta }, Guard::Absent)).unwrap().stamp.unwrap()
}

pub(super) fn link_to(to: &[u8]) -> Change {
    Change::Link { to: to.to_vec(), content: Content::symlink(digest(to), to.len() as u64), meta: meta() }
}

pub(super) fn stamp_at(target: &dyn Target, at: &RelPath) -> Stamp {
    target.look(at, Depth::Stamp).unwrap().expect("something is there").stamp
}

pub(super) fn fault<T: std::fmt::Debug>(answer: Result<T, TargetError>) -> Fault {
    answer.unwrap_err().fault
}

pub(super) struct MemoryFixture(MemoryTarget);

impl MemoryFixture {
    pub(super) fn new() -> Self {
        let target = MemoryTarget::new();
        target.probe(Bind::IfUnbound).unwrap();
        Self(target)
    }
}

impl Fixture for MemoryFixture {
    fn target(&self) -> &dyn Target {
        &self.0
    }

    fn successor(&self) -> Box<dyn Target + '_> {
        Box::new(Again(&self.0))
    }

    fn outsider_writes(&self, path: &RelPath, bytes: &[u8]) {
        self.0.outsider_writes(path, bytes);
    }

    fn bytes(&self, path: &RelPath) -> Option<Vec<u8>> {
        self.0.bytes(path)
    }

    fn history(&self, path: &RelPath) -> Vec<Vec<u8>> {
        self.0.history(path)
    }

    fn staged(&self) -> usize {
        self.0.staged()
    }

    fn unmount(&self) {
        self.0.swap_identity(None);
    }

    fn swap(&self) {
        self.0.swap_identity(Some("another".to_owned()));
    }

    fn pass_time(&self) {
        self.0.set_now(now());
    }

    fn is_untouched(&self) -> bool {
        self.0.history(&path("a")).is_empty() && self.0.bytes(&path("a")).is_none() && self.0.staged() == 0
    }
}

/// The fake does not outlive itself: started again, it is the same.
struct Again<'a>(&'a MemoryTarget);

impl Target for Again<'_> {
    fn probe(&self, bind: Bind) -> Result<driftline::target::Bound, TargetError> {
        self.0.probe(bind)
    }
    fn list(&self, page: &mut dyn FnMut(Page) -> bool) -> Result<(), TargetError> {
        self.0.list(page)
    }
    fn look(&self, path: &RelPath, depth: Depth) -> Result<Option<Remote>, TargetError> {
        self.0.look(path, depth)
    }
    fn stage(&self, paths: &[RelPath], read: driftline::target::Read<'_>) -> Vec<Result<Staged, StageError>> {
        self.0.stage(paths, read)
    }
    fn apply(&self, steps: &[Step]) -> Vec<Result<Placed, TargetError>> {
        self.0.apply(steps)
    }
    fn discard(&self, tokens: &[driftline::target::Token]) {
        self.0.discard(tokens);
    }
    fn sweep(&self) -> Result<u64, TargetError> {
        self.0.sweep()
    }
    fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Result<u64, TargetError> {
        self.0.prune(keep, lies)
    }
    fn past(&self, under: &RelPath, after: Wall, each: &mut dyn FnMut(Past) -> bool) -> Result<(), TargetError> {
        self.0.past(under, after, each)
    }
    fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
        self.0.read(path, which, take)
    }
    fn free(&self) -> Result<Option<u64>, TargetError> {
        self.0.free()
    }
}

pub(super) struct DirFixture {
    dir: tempfile::TempDir,
    setup: DirSetup,
    target: DirTarget,
}

impl DirFixture {
    pub(super) fn new(ways: Ways) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("target");
        std::fs::create_dir(&root).unwrap();
        let mut setup = DirSetup {
            root,
            target_id: None,
            share_id: "share-1".to_owned(),
            writer: "office-01".to_owned(),
            berth: None,
            keep_owner: true,
            now,
            flush: Flush::Auto,
            ways,
        };
        let target = DirTarget::new(setup.clone());
        setup.target_id = Some(target.probe(Bind::IfUnbound).unwrap().id);
        Self { dir, setup, target }
    }

    pub(super) fn root(&self) -> &Path {
        &self.setup.root
    }

    pub(super) fn beside(&self) -> PathBuf {
        self.dir.path().join("beside")
    }

    pub(super) fn setup(&self) -> DirSetup {
        self.setup.clone()
    }

    fn move_away(&self) {
        std::fs::rename(self.root(), self.dir.path().join("unmounted")).unwrap();
    }
}

impl Fixture for DirFixture {
    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn successor(&self) -> Box<dyn Target + '_> {
        Box::new(DirTarget::new(self.setup()))
    }

    fn outsider_writes(&self, path: &RelPath, bytes: &[u8]) {
        let file = path.under(self.root());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let beside = self.beside();
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, file).unwrap();
    }

    fn bytes(&self, path: &RelPath) -> Option<Vec<u8>> {
        use std::os::unix::ffi::OsStringExt;
        let file = path.under(self.root());
        let link = std::fs::read_link(&file).map(|to| to.into_os_string().into_vec());
        link.or_else(|_| std::fs::read(&file)).ok()
    }

    fn history(&self, path: &RelPath) -> Vec<Vec<u8>> {
        let folder = path.under(&self.root().join(".driftline/history"));
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names: BTreeSet<_> = entries.map(|entry| entry.unwrap()).map(|entry| entry.path()).collect();
        let versions = names.into_iter().filter(|path| path.is_symlink() || path.is_file());
        versions
            .map(|file| self.bytes(&RelPath::new(bytes_of(file.strip_prefix(self.root()).unwrap())).unwrap()).unwrap())
            .collect()
    }

    fn staged(&self) -> usize {
        files_below(&self.root().join(".driftline/staging"))
    }

    fn unmount(&self) {
        self.move_away();
        std::fs::create_dir(self.root()).unwrap();
    }

    fn swap(&self) {
        self.move_away();
        std::fs::create_dir_all(self.root().join(".driftline")).unwrap();
        let text = r#"{"target":"another","share":"share-1","created":"2026-01-01T00:00:00Z","writers":[]}"#;
        std::fs::write(self.root().join(".driftline/identity"), text).unwrap();
    }

    fn is_untouched(&self) -> bool {
        let names = walk(self.root());
        let identity: BTreeSet<_> = [b".driftline".to_vec(), b".driftline/identity".to_vec()].into();
        names.is_empty() || names == identity
    }
}

pub(super) fn bytes_of(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

/// All that lies below a folder.
pub(super) fn walk(root: &Path) -> BTreeSet<Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    entries.map(|entry| bytes_of(entry.path().strip_prefix(root).unwrap()).to_vec()).collect()
}

/// What a listing sees, as one map.
pub(super) fn listing(target: &dyn Target) -> BTreeMap<RelPath, Seen> {
    remotes(target).into_iter().map(|(path, remote)| (path, remote.seen)).collect()
}

/// All pages of a listing, as one map; checks that every folder was ended.
pub(super) fn remotes(target: &dyn Target) -> BTreeMap<RelPath, Remote> {
    let (mut all, mut ended) = (BTreeMap::<RelPath, Remote>::new(), BTreeSet::new());
    let answer = target.list(&mut |page| {
        let folder = page.folder.clone().unwrap();
        assert!(!ended.contains(&folder), "{folder} was ended before");
        for (path, remote) in page.entries {
            assert_eq!(path.parent(), Some(folder.clone()));
            assert_eq!(all.insert(path, remote), None, "an entry twice");
        }
        assert_eq!(page.strange, [] as [&str; 0]);
        if page.last_of_folder {
            ended.insert(folder);
        }
        true
    });
    answer.unwrap();
    let folders = all.iter().filter(|(_, remote)| remote.seen.shape.kind == Kind::Folder).map(|(path, _)| path.clone());
    assert_eq!(ended, folders.chain([RelPath::root()]).collect());
    all
}

/// Files and links at any depth.
fn files_below(folder: &Path) -> usize {
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { 1 }
    };
    std::fs::read_dir(folder).unwrap().map(count).sum()
}
