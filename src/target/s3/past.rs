//! What lay in the bucket before: told from its own versions, from the copies in history and from the ledger; and read.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fault::{Kind, Outcome, Refusal};
use super::key::Meaning;
use super::object::{Head, etag_of, file_stamp, is_folder};
use super::versions::Version;
use super::wire::{Condition, PAGE_MAX, Put, Wire, cut_off};
use super::{Inner, history};
use crate::model::{Kept, Kind as Sort, Meta, Past, RelPath, Seen, Shape, Wall, Was, Which};
use crate::target::ledger::{self, FOLDER};
use crate::target::version_name::{compact, parse_compact, told};
use crate::target::{Piece, ReadError, Step, Take};

/// Objects of the ledger that are read at once (count).
const LEDGER_MAX: usize = 16;
/// How often a version goes on to be read where it was cut off (count).
const GOES_ON_MAX: u32 = 5;
/// Marks the name of a version of the bucket's own.
const OWN: u8 = b'v';
/// Marks the name of a copy in history.
const COPY: u8 = b'h';

/// Pages on to whoever wanted to know; that he is gone ends it.
type Out = mpsc::Sender<Past>;

impl Inner {
    // ---- the ledger, where the bucket keeps no versions ----

    /// Writes down what history will not tell, before the steps are made.
    pub(super) async fn tell_before(&self, steps: &[Step]) -> Outcome<()> {
        let text = ledger::before(steps, (self.setup.clock.wall)());
        self.write_ledger(text).await
    }

    /// Adds an object of lines to the ledger, unless the bucket keeps versions: they tell it all.
    pub(super) async fn write_ledger(&self, text: Vec<u8>) -> Outcome<()> {
        if text.is_empty() {
            return Ok(());
        }
        let wire = self.open().await?;
        if self.keeps_versions(&wire).await? {
            return Ok(());
        }
        self.note_history();
        let name = format!("{}-{}", compact((self.setup.clock.wall)()), uuid::Uuid::now_v7().simple());
        let key = self.prefix.ours(&format!("{FOLDER}/{name}"));
        let put = Put { key, body: Bytes::from(text), metadata: Default::default() };
        self.put(&wire, &put, &Condition::Absent).await.map(|_| ())
    }

    // ---- telling ----

    /// See [`crate::target::Target::past`].
    pub(super) async fn tell(self: &Arc<Self>, under: RelPath, after: Wall, out: Out) -> Outcome<()> {
        let wire = self.open().await?;
        self.tell_ledger(&wire, &under, after, &out).await?;
        self.tell_copies(&wire, &under, after, &out).await?;
        if self.keeps_versions(&wire).await? {
            self.tell_versions(&wire, &under, after, &out).await?;
        }
        Ok(())
    }

    async fn tell_ledger(self: &Arc<Self>, wire: &Wire<'_>, under: &RelPath, after: Wall, out: &Out) -> Outcome<()> {
        let folder = self.prefix.ours(&format!("{FOLDER}/"));
        let mut next = None::<String>;
        let mut running = JoinSet::new();
        loop {
            let keys = wire.list(&folder, None, next.as_deref(), PAGE_MAX).await?;
            let keys_after = keys.objects.iter().filter(|object| {
                // An object is written before the steps that it tells of: its own time is its lines'.
                written_at(&object.key[folder.len()..]).is_some_and(|at| at > after)
            });
            for object in keys_after {
                if running.len() >= LEDGER_MAX
                    && let Some(ended) = running.join_next().await
                {
                    pass_on(joined(ended)?, under, after, out).await?;
                }
                let (inner, key, abilities) = (Arc::clone(self), object.key.clone(), wire.abilities);
                running.spawn(async move { inner.wire(abilities).get_small(&key).await });
            }
            match keys.next {
                Some(more) => next = Some(more),
                None => break,
            }
        }
        while let Some(ended) = running.join_next().await {
            pass_on(joined(ended)?, under, after, out).await?;
        }
        Ok(())
    }

    async fn tell_copies(&self, wire: &Wire<'_>, under: &RelPath, after: Wall, out: &Out) -> Outcome<()> {
        let all = self.prefix.ours("history/");
        let prefix = if under.is_root() { all.clone() } else { format!("{}/", self.history_of(under)) };
        let mut next = None::<String>;
        loop {
            let keys = wire.list(&prefix, None, next.as_deref(), PAGE_MAX).await?;
            for object in &keys.objects {
                let Some((path, name)) = self.copy_of(&object.key[all.len()..]) else { continue };
                let Some((at, begins)) = told(name.as_bytes()).filter(|(at, _)| *at > after) else { continue };
                let which = Which::Kept([&[COPY][..], name.as_bytes()].concat().into());
                let stamp = Some(file_stamp(&object.etag));
                let was = Was::Version(Kept { which, seen: file_of(object.len, object.modified), begins, stamp });
                send(out, Past::Changed { path, at, was }).await?;
            }
            match keys.next {
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    /// The path that a copy in history is of, and its name.
    fn copy_of<'k>(&self, rest: &'k str) -> Option<(RelPath, &'k str)> {
        let (path, name) = rest.rsplit_once('/')?;
        match self.prefix.meaning(&format!("{}{path}", self.prefix.as_str())) {
            Some(Meaning::Object(path)) => Some((path, name)),
            _ => None,
        }
    }

    async fn tell_versions(&self, wire: &Wire<'_>, under: &RelPath, after: Wall, out: &Out) -> Outcome<()> {
        let prefix = if under.is_root() { self.prefix.as_str().to_owned() } else { self.prefix.object(under) };
        let (mut next, mut key, mut group) = (None, String::new(), Vec::<Version>::new());
        loop {
            let page = wire.list_versions(&prefix, next.as_ref()).await?;
            for version in page.versions {
                if version.key != key {
                    self.tell_group(&key, &group, under, after, out).await?;
                    group.clear();
                    key.clone_from(&version.key);
                }
                group.push(version);
            }
            match page.next {
                Some(more) => next = Some(more),
                None => break,
            }
        }
        self.tell_group(&key, &group, under, after, out).await
    }

    /// All versions of one key, the newest first: each ends what the one before it in time was.
    async fn tell_group(&self, key: &str, group: &[Version], under: &RelPath, after: Wall, out: &Out) -> Outcome<()> {
        let (path, is_folder) = match self.prefix.meaning(key) {
            Some(Meaning::Object(path)) => (path, false),
            Some(Meaning::Folder(path)) => (path, true),
            Some(Meaning::Ours | Meaning::Strange) | None => return Ok(()),
        };
        if path != *under && !under.is_above(&path) {
            return Ok(());
        }
        let mut last = Wall(i64::MIN);
        for (place, newer) in group.iter().enumerate().rev() {
            // Many servers know only seconds: what came later is told of as later all the same.
            let at = newer.modified.max(Wall(last.0.saturating_add(1)));
            last = at;
            if at <= after {
                continue;
            }
            let was = match group.get(place + 1).filter(|older| !older.is_removal) {
                None => Was::Absent,
                Some(_) if is_folder => Was::Folder,
                Some(older) => {
                    let which = Which::Kept([&[OWN][..], older.id.as_bytes()].concat().into());
                    let stamp = Some(file_stamp(&older.etag));
                    Was::Version(Kept { which, seen: file_of(older.len, older.modified), begins: None, stamp })
                }
            };
            send(out, Past::Changed { path: path.clone(), at, was }).await?;
        }
        Ok(())
    }

    // ---- reading ----

    /// See [`crate::target::Target::read`].
    pub(super) async fn read(&self, path: &RelPath, which: &Which, take: Take<'_>) -> Result<(), ReadError> {
        let refused = |refusal: Refusal| ReadError::Target(refusal.into_error("read", Some(path)));
        let wire = self.open().await.map_err(refused)?;
        if let Which::Now(stamp) = which
            && is_folder(stamp)
        {
            let head = wire.head(&self.prefix.folder(path)).await.map_err(refused)?;
            let unmarked = Seen { shape: Shape { kind: Sort::Folder, len: 0 }, digest: None, meta: Meta::UNTOLD };
            let seen = head.map_or(unmarked, |head| head.folder());
            return take(Piece::Head(&seen)).map(|_| ()).map_err(ReadError::Taker);
        }
        let source = self.source(path, which).map_err(refused)?;
        let (head, mut body) = wire.get_version(&source, 0).await.map_err(refused)?;
        let seen = head.seen();
        if !take(Piece::Head(&seen)).map_err(ReadError::Taker)? {
            return Ok(());
        }
        if let Some(to) = head.link() {
            return take(Piece::Bytes(&to)).map(|_| ()).map_err(ReadError::Taker);
        }
        self.pass_bytes(&wire, &source, (&head, &mut body), take, &refused).await
    }

    async fn pass_bytes(
        &self,
        wire: &Wire<'_>,
        source: &Source,
        (head, body): (&Head, &mut ByteStream),
        take: Take<'_>,
        refused: &dyn Fn(Refusal) -> ReadError,
    ) -> Result<(), ReadError> {
        let (mut at, mut left) = (0, GOES_ON_MAX);
        loop {
            let broken = match body.try_next().await {
                Ok(Some(bytes)) => {
                    at += bytes.len() as u64;
                    if !take(Piece::Bytes(&bytes)).map_err(ReadError::Taker)? {
                        return Ok(());
                    }
                    continue;
                }
                Ok(None) if at == head.len => return Ok(()),
                Ok(None) => cut_off(&"it ends too early"),
                Err(error) => cut_off(&error),
            };
            if left == 0 || at > head.len {
                return Err(refused(broken));
            }
            left -= 1;
            *body = wire.get_version(source, at).await.map_err(refused)?.1;
        }
    }

    fn source(&self, path: &RelPath, which: &Which) -> Outcome<Source> {
        let unknown = || Refusal::stale("there is no such version");
        match which {
            Which::Now(stamp) => {
                let etag = etag_of(stamp).ok_or_else(unknown)?;
                Ok(Source { key: self.prefix.object(path), etag: Some(etag), version: None })
            }
            Which::Kept(name) => {
                let (sort, name) = name.split_first().ok_or_else(unknown)?;
                let name = std::str::from_utf8(name).map_err(|_| unknown())?.to_owned();
                Ok(match *sort {
                    OWN => Source { key: self.prefix.object(path), etag: None, version: Some(name) },
                    _ => Source { key: format!("{}/{name}", self.history_of(path)), etag: None, version: None },
                })
            }
        }
    }

    /// Removes what the ledger tells of times before `before`. Returns how many objects are left.
    pub(super) async fn prune_ledger(&self, before: Wall) -> Outcome<u64> {
        let folder = self.prefix.ours(&format!("{FOLDER}/"));
        let is_old = |name: &str| written_at(name).is_some_and(|at| at < before);
        history::prune_below(self, &folder, is_old).await.map(|(_, left)| left)
    }
}

/// What to read.
pub(super) struct Source {
    pub(super) key: String,
    pub(super) etag: Option<String>,
    pub(super) version: Option<String>,
}

/// When an object of the ledger was written, from its name.
fn written_at(name: &str) -> Option<Wall> {
    name.split_once('-').and_then(|(at, _)| parse_compact(at))
}

fn joined<T>(ended: Result<Outcome<T>, tokio::task::JoinError>) -> Outcome<T> {
    ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))
}

async fn pass_on(found: Option<(Bytes, String)>, under: &RelPath, after: Wall, out: &Out) -> Outcome<()> {
    // Pruned meanwhile.
    let Some((text, _)) = found else { return Ok(()) };
    for past in text.split(|byte| *byte == b'\n').filter_map(ledger::parse).filter(|past| past.at() > after) {
        let is_asked = match &past {
            Past::Changed { path, .. } => path == under || under.is_above(path),
            Past::Moved { .. } => true,
        };
        if is_asked {
            send(out, past).await?;
        }
    }
    Ok(())
}

async fn send(out: &Out, past: Past) -> Outcome<()> {
    out.send(past).await.map_err(|_| Refusal::new(Kind::Unclear, "nobody wants to know any more", ""))
}

fn file_of(len: u64, modified: Wall) -> Seen {
    Seen { shape: Shape { kind: Sort::File, len }, digest: None, meta: Meta { mtime: modified, ..Meta::UNTOLD } }
}
