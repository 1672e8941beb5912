//! Looks at keys, and puts the sorted keys of a listing together to pages of folders.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::key::Meaning;
use super::object::{Head, file_stamp, folder_stamp};
use super::wire::{Keys, Listed, PAGE_MAX, Wire};
use super::{Inner, fault::Outcome};
use crate::model::{Kind, Meta, RelPath, Seen, Shape};
use crate::target::{Page, Remote};

/// Top-level folders that are listed at once (count).
const FOLDERS_MAX: usize = 8;
/// Entries that are kept before pages are handed on (count).
const ENTRIES_MAX: usize = 1000;
/// Pages that wait for whoever takes them (count).
const PAGES_WAIT: usize = 16;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file or a link.
    Object(Head),
    /// A folder with a marker.
    Marked(Head),
    /// A folder only because something lies in it.
    Implied,
}

impl Found {
    pub(super) fn remote(&self) -> Remote {
        match self {
            Self::Object(head) => Remote { stamp: head.stamp(), seen: head.seen() },
            Self::Marked(head) => Remote { stamp: folder_stamp(), seen: head.folder() },
            Self::Implied => Remote::folder(folder_stamp(), Meta::UNTOLD),
        }
    }
}

impl Inner {
    /// What lies at a path: one request for a file, two for what is absent, three for a folder.
    pub(super) async fn find(&self, wire: &Wire<'_>, path: &RelPath) -> Outcome<Option<Found>> {
        match wire.head(&self.prefix.object(path)).await? {
            Some(head) => Ok(Some(Found::Object(head))),
            None => self.find_folder(wire, path).await,
        }
    }

    pub(super) async fn find_folder(&self, wire: &Wire<'_>, path: &RelPath) -> Outcome<Option<Found>> {
        let key = self.prefix.folder(path);
        let first = wire.list(&key, None, None, 1).await?.objects.into_iter().next();
        let Some(first) = first else { return Ok(None) };
        if first.key != key {
            // A look at the key would tell nothing: some servers show a marker wherever something lies in a folder.
            return Ok(Some(Found::Implied));
        }
        // It may have gone since.
        Ok(wire.head(&key).await?.map(Found::Marked))
    }

    /// Lists everything: the root one level deep, then several of its folders at once, each from end to end.
    pub(super) async fn list_all(self: &std::sync::Arc<Self>, out: mpsc::Sender<Page>) -> Outcome<()> {
        let (folders, is_empty) = self.list_root(&out).await?;
        let seen = is_empty.then(|| (self.setup.clock.moment)());
        *self.empty.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = seen;
        let mut running = JoinSet::new();
        for folder in folders {
            if running.len() >= FOLDERS_MAX
                && let Some(ended) = running.join_next().await
            {
                ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))?;
            }
            let (inner, out) = (std::sync::Arc::clone(self), out.clone());
            running.spawn(async move { inner.list_folder(folder, &out).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()))?;
        }
        Ok(())
    }

    /// Returns the folders in it, and whether nothing at all is there but what is ours.
    async fn list_root(&self, out: &mpsc::Sender<Page>) -> Outcome<(Vec<RelPath>, bool)> {
        let wire = self.open().await?;
        let mut pages = Assembly::new(RelPath::root());
        let (mut folders, mut after, mut is_empty) = (Vec::new(), None, true);
        loop {
            let Keys { objects, folders: found, next } =
                wire.list(self.prefix.as_str(), Some("/"), after.as_deref(), PAGE_MAX).await?;
            objects.iter().for_each(|object| self.take(&mut pages, object));
            let is_ours = |key: &str| matches!(self.prefix.meaning(key), Some(Meaning::Ours));
            is_empty &= objects.iter().all(|object| is_ours(&object.key)) && found.iter().all(|key| is_ours(key));
            let is_file = |path: &RelPath| objects.iter().any(|object| object.key == self.prefix.object(path));
            for folder in found {
                match self.prefix.meaning(&folder) {
                    // RACE: of a file and a folder of one name that fall on two pages both are shown; a look sees the file.
                    Some(Meaning::Folder(path)) if is_file(&path) => pages.strange(folder),
                    Some(Meaning::Folder(path)) => {
                        pages.shallow(&path);
                        folders.push(path);
                    }
                    Some(Meaning::Strange | Meaning::Object(_)) => pages.strange(folder),
                    Some(Meaning::Ours) | None => {}
                }
            }
            if !pages.hand_on(out).await {
                return Ok((Vec::new(), false));
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        pages.finish();
        Ok(if pages.hand_on_all(out).await { (folders, is_empty) } else { (Vec::new(), false) })
    }

    async fn list_folder(&self, folder: RelPath, out: &mpsc::Sender<Page>) -> Outcome<()> {
        let prefix = self.prefix.folder(&folder);
        let mut pages = Assembly::new(folder);
        let mut after = None;
        loop {
            let wire = self.open().await?;
            let keys = wire.list(&prefix, None, after.as_deref(), PAGE_MAX).await?;
            keys.objects.iter().for_each(|object| self.take(&mut pages, object));
            if !pages.hand_on(out).await {
                return Ok(());
            }
            match keys.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        pages.finish();
        pages.hand_on_all(out).await;
        Ok(())
    }

    fn take(&self, pages: &mut Assembly, object: &Listed) {
        match self.prefix.meaning(&object.key) {
            Some(Meaning::Object(path)) => pages.object(path, remote(object)),
            // A marker with a body is somebody's data under a name that no file can have.
            Some(Meaning::Folder(_)) if object.len > 0 => pages.strange(object.key.clone()),
            Some(Meaning::Folder(path)) => pages.folder(&path),
            Some(Meaning::Strange) => pages.strange(object.key.clone()),
            Some(Meaning::Ours) | None => {}
        }
    }
}

fn remote(listed: &Listed) -> Remote {
    let shape = Shape { kind: Kind::File, len: listed.len };
    let meta = Meta { mtime: listed.modified, ..Meta::UNTOLD };
    Remote { stamp: file_stamp(&listed.etag), seen: Seen { shape, digest: None, meta } }
}

/// Puts keys in their order together to pages of folders, with as much memory as folders are deep.
///
/// All keys of a folder come one after the other, with those of its subfolders among them: whatever does not begin with
/// the folder ends it.
#[derive(Debug)]
struct Assembly {
    /// The folders that the last key lies in, outermost first.
    open: Vec<Folder>,
    /// Files whose names the last key begins with: one of them may turn out to be a folder too.
    files: Vec<RelPath>,
    done: Vec<Page>,
    entries: usize,
}

#[derive(Debug)]
struct Folder {
    path: RelPath,
    entries: Vec<(RelPath, Remote)>,
    strange: Vec<String>,
}

impl Folder {
    fn new(path: RelPath) -> Self {
        Self { path, entries: Vec::new(), strange: Vec::new() }
    }

    fn page(&mut self, last_of_folder: bool) -> Page {
        let (entries, strange) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.strange));
        Page { folder: Some(self.path.clone()), entries, strange, last_of_folder }
    }
}

impl Assembly {
    fn new(root: RelPath) -> Self {
        Self { open: vec![Folder::new(root)], files: Vec::new(), done: Vec::new(), entries: 0 }
    }

    fn top(&mut self) -> &mut Folder {
        self.open.last_mut().expect("the root stays open until the end")
    }

    fn object(&mut self, path: RelPath, remote: Remote) {
        let parent = path.parent().unwrap_or_else(RelPath::root);
        if !self.enter(&parent) {
            return self.strange(path.to_string());
        }
        self.files.retain(|file| path.as_bytes().starts_with(file.as_bytes()));
        self.files.push(path.clone());
        self.entry(path, remote);
    }

    fn folder(&mut self, path: &RelPath) {
        if !self.enter(path) {
            self.strange(format!("{path}/"));
        }
    }

    /// A folder of which only the name is wanted here.
    fn shallow(&mut self, path: &RelPath) {
        self.entry(path.clone(), Remote::folder(folder_stamp(), Meta::UNTOLD));
    }

    /// Somebody else's, under a name that no file can have, or that a file has already.
    fn strange(&mut self, name: String) {
        self.top().strange.push(name);
        self.entries += 1;
    }

    fn entry(&mut self, path: RelPath, remote: Remote) {
        self.top().entries.push((path, remote));
        self.entries += 1;
    }

    /// Ends the folders that are over, and opens those that lead to `folder`. False if a file lies on the way.
    fn enter(&mut self, folder: &RelPath) -> bool {
        while self.open.len() > 1 && !is_at_or_above(&self.top().path, folder) {
            let page = self.top().page(true);
            self.done.push(page);
            self.open.pop();
        }
        let known = self.top().path.clone();
        if !is_at_or_above(&known, folder) {
            return false;
        }
        let mut new: Vec<_> = std::iter::successors(Some(folder.clone()), RelPath::parent).collect();
        new.retain(|path| known.is_above(path));
        if new.iter().any(|path| self.files.contains(path)) {
            return false;
        }
        for path in new.into_iter().rev() {
            self.entry(path.clone(), Remote::folder(folder_stamp(), Meta::UNTOLD));
            self.open.push(Folder::new(path));
        }
        true
    }

    fn finish(&mut self) {
        while let Some(mut folder) = self.open.pop() {
            self.done.push(folder.page(true));
        }
    }

    /// Hands on what has gathered. False if nobody wants it.
    async fn hand_on(&mut self, out: &mpsc::Sender<Page>) -> bool {
        if self.entries >= ENTRIES_MAX {
            let unfinished =
                self.open.iter_mut().filter(|folder| !(folder.entries.is_empty() && folder.strange.is_empty()));
            let pages: Vec<_> = unfinished.map(|folder| folder.page(false)).collect();
            self.done.extend(pages);
            self.entries = 0;
        }
        self.hand_on_all(out).await
    }

    async fn hand_on_all(&mut self, out: &mpsc::Sender<Page>) -> bool {
        for page in self.done.drain(..) {
            if out.send(page).await.is_err() {
                return false;
            }
        }
        true
    }
}

fn is_at_or_above(folder: &RelPath, path: &RelPath) -> bool {
    folder == path || folder.is_above(path)
}

/// A channel for pages: whoever lists waits for whoever takes them.
pub(super) fn channel() -> (mpsc::Sender<Page>, mpsc::Receiver<Page>) {
    mpsc::channel(PAGES_WAIT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    /// What the pages say: of each folder its entries (a slash behind folders), and whether it was ended, once.
    fn assembled(keys: &[&str]) -> (BTreeMap<String, Vec<String>>, usize) {
        let mut pages = Assembly::new(RelPath::root());
        for key in keys {
            match key.strip_suffix('/') {
                Some(folder) => pages.folder(&path(folder)),
                None => pages.object(path(key), Remote { stamp: file_stamp("x"), ..remote_of_file() }),
            }
        }
        pages.finish();
        let mut all = BTreeMap::new();
        let mut strange = 0;
        for page in pages.done {
            assert!(page.last_of_folder);
            strange += page.strange.len();
            let folder = page.folder.expect("every page has one").to_string();
            let names = page.entries.iter().map(|(path, remote)| {
                let slash = if remote.seen.shape.kind == Kind::Folder { "/" } else { "" };
                format!("{path}{slash}")
            });
            assert_eq!(all.insert(folder, names.collect()), None, "ended twice");
        }
        (all, strange)
    }

    fn remote_of_file() -> Remote {
        remote(&Listed { key: String::new(), etag: "x".to_owned(), len: 1, modified: crate::model::Wall(0) })
    }

    #[test]
    fn sorted_keys_become_folders() {
        let (all, strange) = assembled(&["a-b", "a/", "a/b.txt", "a/b/c/d", "a/b/e", "a/f", "z/y/x"]);
        let wanted = [
            ("", vec!["a-b", "a/", "z/"]),
            ("a", vec!["a/b.txt", "a/b/", "a/f"]),
            ("a/b", vec!["a/b/c/", "a/b/e"]),
            ("a/b/c", vec!["a/b/c/d"]),
            ("z", vec!["z/y/"]),
            ("z/y", vec!["z/y/x"]),
        ];
        let wanted = wanted.map(|(folder, names)| (folder.to_owned(), names.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!((all, strange), (BTreeMap::from(wanted), 0));
    }

    #[test]
    fn an_empty_bucket_is_an_empty_root() {
        assert_eq!(assembled(&[]), (BTreeMap::from([(String::new(), vec![])]), 0));
    }

    #[test]
    fn what_lies_below_a_file_is_strange() {
        let (all, strange) = assembled(&["a", "a-b", "a.b/c", "a/x", "a/y/z", "b"]);
        assert_eq!(all[""], ["a", "a-b", "a.b/", "b"]);
        assert_eq!(strange, 2);
        assert!(!all.contains_key("a"));
    }

    #[test]
    fn pages_are_handed_on_before_their_folder_ends() {
        let (out, mut pages) = mpsc::channel(10_000);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut assembly = Assembly::new(RelPath::root());
            for n in 0..2500 {
                assembly.object(path(&format!("f/{n:04}")), remote_of_file());
                assert!(assembly.hand_on(&out).await);
                assert!(assembly.open.iter().map(|folder| folder.entries.len()).sum::<usize>() < ENTRIES_MAX);
            }
            assembly.finish();
            assembly.hand_on_all(&out).await;
        });
        drop(out);
        let mut seen = BTreeMap::<String, (usize, usize)>::new();
        while let Ok(page) = pages.try_recv() {
            let entry = seen.entry(page.folder.expect("one").to_string()).or_default();
            entry.0 += page.entries.len();
            entry.1 += usize::from(page.last_of_folder);
        }
        assert_eq!(seen, BTreeMap::from([(String::new(), (1, 1)), ("f".to_owned(), (2500, 1))]));
    }
}
