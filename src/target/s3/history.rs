//! Where a bucket keeps no versions: copies of what is replaced or deleted, in `.driftline/history/`.

use super::Inner;
use super::fault::{Outcome, Refusal};
use super::key::{KEY_MAX, decode, encode};
use super::wire::{Copy, PAGE_MAX, Wire};
use crate::model::{Digest, RelPath, Wall};
use crate::plan::{self, Keep};
use crate::target::AskLies;
use crate::target::version_name::{names, replaced_at};

/// Longest name of a version, with the slash before it (bytes).
const NAME_MAX: usize = "/20261123T174904.123456789Z-abababab".len();

impl Inner {
    /// Makes sure that what lies at a path can be had back after it is replaced or deleted.
    pub(super) async fn keep(
        &self,
        wire: &Wire<'_>,
        path: &RelPath,
        etag: &str,
        replaces: Option<Digest>,
    ) -> Outcome<()> {
        if self.keeps_versions(wire).await? {
            return Ok(());
        }
        let from = self.prefix.object(path);
        // A version that is named twice would be one: the clock moves between two changes of one path.
        let name = names((self.setup.clock.wall)(), replaces).next().unwrap_or_default();
        let to = format!("{}/{}", self.history_of(path), String::from_utf8_lossy(&name));
        let head = wire.head(&from).await?.filter(|head| head.etag == etag);
        let len = head.ok_or_else(|| Refusal::stale("it is not as it was"))?.len;
        self.note_history();
        let copy = Copy { from: &from, etag, len, to: &to, to_absent: true, metadata: None };
        self.copy(wire, &copy).await.map(|_| ())
    }

    /// The key that its versions lie below, without a slash at its end.
    pub(super) fn history_of(&self, path: &RelPath) -> String {
        self.prefix.ours(&format!("history/{}", encode(path)))
    }

    /// Whether a key leaves room for its versions' names.
    pub(super) fn has_room_for_history(&self, path: &RelPath) -> bool {
        self.history_of(path).len() + NAME_MAX <= KEY_MAX
    }

    /// Removes copies of versions that may go. Sends nothing if none were ever made, as far as the state folder knows.
    pub(super) async fn prune(&self, keep: &Keep, lies: AskLies<'_>) -> Outcome<u64> {
        if self.setup.state.is_some() && !self.has_history() {
            return Ok(0);
        }
        let prefix = self.prefix.ours("history/");
        let (mut after, mut removed, mut left) = (None::<String>, 0, 0);
        let mut groups = Groups { prefix: prefix.clone(), open: Vec::new() };
        loop {
            let wire = self.open().await?;
            let keys = wire.list(&prefix, None, after.as_deref(), PAGE_MAX).await?;
            let mut go = Vec::new();
            for object in keys.objects {
                for group in groups.add(object.key, object.etag) {
                    let all = group.versions.len();
                    let old = group.old(&prefix, keep, lies);
                    left += all - old.len();
                    go.extend(old);
                }
            }
            if keys.next.is_none() {
                for group in std::mem::take(&mut groups.open) {
                    let all = group.versions.len();
                    let old = group.old(&prefix, keep, lies);
                    left += all - old.len();
                    go.extend(old);
                }
            }
            for (key, etag) in go {
                self.delete(&wire, &key, &etag).await?;
                removed += 1;
            }
            match keys.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let told = self.prune_ledger(keep.before).await?;
        if left == 0 && told == 0 {
            self.no_history();
        }
        Ok(removed)
    }

    fn has_history(&self) -> bool {
        self.setup.state.as_ref().is_some_and(|state| state.join("history").exists())
    }

    /// That history is to be pruned one day. If it cannot be noted, it is pruned by whoever reads the bucket's rules.
    pub(super) fn note_history(&self) {
        if let Some(state) = &self.setup.state
            && !self.has_history()
        {
            let _unnoted = std::fs::create_dir_all(state).and_then(|()| std::fs::write(state.join("history"), b""));
        }
    }

    fn no_history(&self) {
        if let Some(state) = &self.setup.state {
            let _left = std::fs::remove_file(state.join("history"));
        }
    }
}

/// The versions of one path, as a listing shows them: keys in their order, with those of other paths among them where
/// their keys begin alike.
#[derive(Debug)]
struct Group {
    /// The keys' beginning, without the slash at its end.
    of: String,
    /// When it was replaced, key and ETag.
    versions: Vec<(Option<Wall>, String, String)>,
}

impl Group {
    /// The versions that may go. What has no time is not ours.
    fn old(self, prefix: &str, keep: &Keep, lies: AskLies<'_>) -> Vec<(String, String)> {
        let versions: Vec<_> = self.versions.into_iter().filter_map(|(at, key, etag)| Some((at?, key, etag))).collect();
        let replaced: Vec<_> = versions.iter().map(|(at, ..)| *at).collect();
        if replaced.iter().all(|at| *at >= keep.before) {
            return Vec::new();
        }
        // A key that stands for no path is one that no version was ever copied to.
        let Some(path) = self.of.strip_prefix(prefix).and_then(decode) else { return Vec::new() };
        let mut go = plan::prune(&replaced, lies(&path), keep).into_iter().peekable();
        let old = versions.into_iter().enumerate().filter(|(n, _)| go.next_if_eq(n).is_some());
        old.map(|(_, (_, key, etag))| (key, etag)).collect()
    }
}

/// Puts the keys of a listing together by path, with as much memory as one path has versions and folders are deep.
struct Groups {
    prefix: String,
    open: Vec<Group>,
}

impl Groups {
    /// Adds the next key. Returns the groups that are complete: no key that is to come begins as theirs do.
    fn add(&mut self, key: String, etag: String) -> Vec<Group> {
        let (of, name) = key.rsplit_once('/').unwrap_or_default();
        let (of, at) = (of.to_owned(), replaced_at(name.as_bytes()));
        let is_over = |group: &Group| !key.strip_prefix(&group.of).is_some_and(|rest| rest.starts_with('/'));
        let first = self.open.iter().position(is_over).unwrap_or(self.open.len());
        let done = self.open.split_off(first);
        let known = self.open.last().is_some_and(|group| group.of == of);
        if !known && key.starts_with(&self.prefix) {
            self.open.push(Group { of: of.clone(), versions: Vec::new() });
        }
        if let Some(group) = self.open.last_mut().filter(|group| group.of == of) {
            group.versions.push((at, key, etag));
        }
        done
    }
}

/// Removes the objects whose names are old. Returns how many were removed, and how many are left.
pub(super) async fn prune_below(inner: &Inner, prefix: &str, is_old: impl Fn(&str) -> bool) -> Outcome<(u64, u64)> {
    let (mut after, mut removed, mut left) = (None::<String>, 0, 0);
    loop {
        let wire = inner.open().await?;
        let keys = wire.list(prefix, None, after.as_deref(), PAGE_MAX).await?;
        for object in &keys.objects {
            if is_old(object.key.rsplit('/').next().unwrap_or_default()) {
                inner.delete(&wire, &object.key, &object.etag).await?;
                removed += 1;
            } else {
                left += 1;
            }
        }
        match keys.next {
            Some(next) => after = Some(next),
            None => return Ok((removed, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "20260101T000000.000000000Z-abababab";
    const NEW: &str = "20261123T174904.123456789Z-abababab";

    #[test]
    fn versions_are_put_together_by_path_though_folders_stand_between_them() {
        let keys = [
            format!("p/history/a-b/{OLD}"),
            format!("p/history/a/{OLD}"),
            format!("p/history/a/20260102/c/{OLD}"),
            format!("p/history/a/20260102/c/{NEW}"),
            format!("p/history/a/{NEW}"),
            format!("p/history/b/{NEW}"),
        ];
        let mut groups = Groups { prefix: "p/history/".to_owned(), open: Vec::new() };
        let mut done: Vec<_> = keys.iter().flat_map(|key| groups.add(key.clone(), "e".to_owned())).collect();
        done.append(&mut groups.open);
        let told: Vec<_> = done.iter().map(|group| (&*group.of, group.versions.len())).collect();
        let wanted = [("p/history/a-b", 1), ("p/history/a/20260102/c", 2), ("p/history/a", 2), ("p/history/b", 1)];
        assert_eq!(told, wanted);
    }
}
