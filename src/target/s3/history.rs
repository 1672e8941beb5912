//! Where a bucket keeps no versions: copies of what is replaced or deleted, in `.driftline/history/`.

use super::Inner;
use super::fault::{Outcome, Refusal};
use super::key::{KEY_MAX, encode};
use super::wire::{Copy, PAGE_MAX, Wire};
use crate::model::{Digest, RelPath, Wall};
use crate::target::Fault;
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
        if to.len() > KEY_MAX {
            return Err(too_long(path));
        }
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

    /// Removes copies of versions that were replaced before `before`. Sends nothing if none were ever made, as far as the
    /// state folder knows.
    pub(super) async fn prune(&self, before: Wall) -> Outcome<u64> {
        if self.setup.state.is_some() && !self.has_history() {
            return Ok(0);
        }
        let is_old = |name: &str| replaced_at(name.as_bytes()).is_some_and(|at| at < before);
        let (removed, left) = prune_below(self, &self.prefix.ours("history/"), is_old).await?;
        let told = self.prune_ledger(before).await?;
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

fn too_long(path: &RelPath) -> Refusal {
    let cause = format!("the key of its versions would have more than {KEY_MAX} bytes ({path})");
    Refusal::fault(Fault::Unfit, cause, "give it a shorter path on the share, or let the bucket keep versions")
}
