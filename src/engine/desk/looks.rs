//! What lies at a path of the share, as a scan or a look found it.

use crate::engine::core::{Limits, Now};
use crate::engine::desk::{Desk, Result, SUBTREES_MAX};
use crate::index::{Index, LocalRow, Presence, What};
use crate::local::{Found, Looked};
use crate::model::{Digest, Kind, Meta, RelPath, Shape, Stat, Trouble, Wall};

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A scan: it visits new folders itself.
    Scan,
    /// A look at this path alone.
    Look,
}

impl Desk {
    pub(in crate::engine) fn looked(
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
        let is_said = |desk: &Self, path: &RelPath| !path.parent().is_some_and(|above| desk.is_unmounted(&above));
        match found {
            Err(why) => {
                self.go_offline(why, limits, now);
                Ok(())
            }
            Ok(found) => paths.iter().zip(found).try_for_each(|(path, found)| match found {
                _ if !is_said(self, path) => {
                    self.handed_out.remove(path);
                    self.heirs.remove(path);
                    self.refute(path, limits);
                    index.suspect(self.id, path)
                }
                Looked::Absent => self.absent(index, path, limits, now),
                Looked::Found(found) => self.take_looked(index, path, found, limits),
            }),
        }
    }

    fn take_looked(&mut self, index: &mut Index, path: &RelPath, found: Found, limits: &Limits) -> Result<()> {
        index.unsuspect(self.id, path)?;
        self.vanished.remove(path);
        self.refute(path, limits);
        if matches!(&found, Found::Troubled(trouble) if trouble.failing) {
            self.failing.note(path.parent().unwrap_or_else(RelPath::root));
        }
        if !matches!(found, Found::Special(_)) {
            index.end_trouble(self.id, path, What::Special)?;
        }
        if !matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::File) {
            self.handed_out.remove(path);
        }
        let is_folder = matches!(&found, Found::Plain(stat) if stat.shape.kind == Kind::Folder);
        self.take_found(index, path, found, By::Look)?;
        // Of an heir pages were passed over.
        if (self.unread.remove(path) | self.heirs.remove(path)) && is_folder {
            self.want_subtree(path.clone());
        }
        self.refuted.remove(path);
        self.tell(path);
        Ok(())
    }

    pub(super) fn take_found(&mut self, index: &mut Index, path: &RelPath, found: Found, by: By) -> Result<()> {
        match found {
            Found::Plain(stat) => self.present(index, path, stat, None, by),
            Found::Link(stat, to) => self.present(index, path, stat, Some(Digest::of(&to)), by),
            Found::Special(what) => {
                let message = format!("is a {what}; only files, folders and links are mirrored");
                let trouble = Trouble::new(message, "nothing to do, unless it was meant to be a file");
                self.begin_trouble(index, path, What::Special, &trouble)?;
                let old = index.local(self.id, path)?;
                self.clear_below(index, path, old.as_ref(), Kind::File)?;
                self.bury(index, path)
            }
            Found::Troubled(trouble) => self.troubled(index, path, &trouble),
        }
    }

    pub(super) fn troubled(&mut self, index: &mut Index, path: &RelPath, trouble: &Trouble) -> Result<()> {
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
            return self.unmounted(index, path, old, stat.mounted);
        }
        self.lost_mounts.remove(path);
        self.vanished.remove(path);
        self.end_unreadable(index, path)?;
        let known = old.as_ref().filter(|row| row.is_present());
        if let Some(known) = known.filter(|row| row.stat.same(&stat) && !row.racy) {
            if known.lacks_list_of(&stat) {
                index.learn_list(self.id, path, stat.meta.acl)?;
                self.tell(path);
            }
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

    pub(super) fn write_present(
        &mut self,
        index: &mut Index,
        path: &RelPath,
        stat: Stat,
        link: Option<Digest>,
    ) -> Result<()> {
        let row = LocalRow::fresh(stat, link, index.run());
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    /// At or below a folder on which nothing is mounted, or something else than before: a bare mount point is empty, and nothing in
    /// it is absent; and what lies on another disk is not what was there.
    pub(super) fn is_unmounted(&self, folder: &RelPath) -> bool {
        !self.lost_mounts.is_empty()
            && (self.lost_mounts.contains(folder) || folder.ancestors().any(|above| self.lost_mounts.contains(&above)))
    }

    fn unmounted(&mut self, index: &mut Index, path: &RelPath, old: &LocalRow, other: bool) -> Result<()> {
        self.lost_mounts.insert(path.clone());
        let (message, hint) = match other {
            false => (
                "was a mount inside the share, and nothing is mounted there now",
                "mount it again; until then nothing below it is touched on any target",
            ),
            true => (
                "is a mount inside the share, and something else is mounted there than before",
                "mount there what was; or, if this is to take its place, stop the agent and take it with 'driftline approve SHARE'",
            ),
        };
        let (message, hint) = (message.to_owned(), hint.to_owned());
        self.begin_trouble(index, path, What::Unreadable, &Trouble::new(message, hint))?;
        let row = LocalRow { state: Presence::Troubled, ..old.clone() };
        index.put_local(self.id, path, &row)
    }

    fn absent(&mut self, index: &mut Index, path: &RelPath, limits: &Limits, now: Now) -> Result<()> {
        self.handed_out.remove(path);
        self.unread.remove(path);
        self.heirs.remove(path);
        self.suppositions.remove(path);
        self.refuted.remove(path);
        if self.failing.is_near(path) {
            // Whether it is there is not known, and it is looked at again once its folder was read without a fault. Whoever was
            // thought to be it renamed is somebody else.
            self.refute(path, limits);
            if index.local(self.id, path)?.is_some_and(|row| row.is_present() && row.stat.shape.kind != Kind::Folder) {
                // As if it were there it would be read again and again meanwhile.
                self.troubled(index, path, &not_to_be_believed())?;
            }
            return index.suspect(self.id, path);
        }
        self.remember_buried(path);
        let row = index.local(self.id, path)?;
        // A file below which a scan saw something, when it was a folder, is a file: it is not waited for.
        let is_file = row.as_ref().is_some_and(|row| row.is_present() && row.stat.shape.kind != Kind::Folder);
        let has_more = self.is_folder(index, path, row.as_ref())?;
        let is_folder = has_more && !is_file;
        index.unsuspect(self.id, path)?;
        let heirs = self.suppositions.iter().filter(|(_, from)| *from == path).map(|(to, _)| to.clone());
        let heirs: Vec<_> = heirs.collect();
        if is_folder {
            self.vanished.insert(path.clone(), now.moment.after(limits.grace));
        } else if has_more {
            self.bury_folder(index, path)?;
        } else {
            self.bury(index, path)?;
        }
        for heir in heirs {
            // It is looked at again: now its old name is known to be vacant.
            self.suppositions.remove(&heir);
            if is_folder {
                self.heirs.insert(heir.clone());
            }
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
    pub(super) fn bury(&mut self, index: &mut Index, path: &RelPath) -> Result<()> {
        self.end_unreadable(index, path)?;
        let old = index.local(self.id, path)?;
        let stat = old.as_ref().map_or_else(nothing, |row| row.stat);
        let digest = old.and_then(|row| row.digest);
        let row = LocalRow { state: Presence::Absent, ..LocalRow::fresh(stat, digest, index.run()) };
        index.put_local(self.id, path, &row)?;
        self.tell(path);
        Ok(())
    }

    pub(super) fn bury_folder(&mut self, index: &mut Index, path: &RelPath) -> Result<()> {
        index.vanish_subtree(self.id, path)?;
        self.bury(index, path)?;
        self.news.all = true;
        Ok(())
    }
}

/// A folder that was a mount and is now the empty folder under it, or another mount.
fn is_mount_lost(old: &LocalRow, stat: &Stat) -> bool {
    let is_lost = old.stat.mounted && !stat.mounted && stat.shape.kind == Kind::Folder;
    (is_lost || stat.is_other_mount(&old.stat)) && old.state != Presence::Absent
}

fn not_to_be_believed() -> Trouble {
    Trouble::new(
        "is not found, and its folder gives I/O errors: whether it is gone is not known",
        "check the disk; it is looked at again once its folder was read without an error",
    )
}

pub(super) fn nothing() -> Stat {
    let meta = Meta::NOTHING;
    Stat { shape: Shape { kind: Kind::File, len: 0 }, ino: 0, ctime: Wall(0), meta, nlink: 1, mounted: false }
}
