//! Listings: they only make doubts, a look decides.

use crate::engine::lane::{Lane, Listing, Result, Turn};
use crate::engine::{Failure, Strange};
use crate::index::Finding;
use crate::model::{Content, Kind, RelPath, Sight};
use crate::plan::Base;
use crate::target::{Page, Remote};

impl Lane {
    pub(in crate::engine) fn listed(&mut self, turn: &mut Turn<'_>, page: &Page) -> Result<()> {
        turn.desk.hears(turn.now.moment);
        let Some(folder) = &page.folder else { return Ok(()) };
        self.foreign += u64::try_from(page.strange.len()).unwrap_or(0);
        self.strange.add(&page.strange);
        let scope = -self.id().0;
        turn.index.see_listed(scope, folder, page.entries.iter().map(|(path, _)| path.name()))?;
        for (path, remote) in &page.entries {
            self.compare_listed(turn, path, remote)?;
        }
        if page.last_of_folder {
            self.doubt_unlisted(turn, folder)?;
            turn.index.forget_listed(scope, folder)?;
        }
        Ok(())
    }

    /// A listing only makes doubts: a look decides.
    fn compare_listed(&mut self, turn: &mut Turn<'_>, path: &RelPath, remote: &Remote) -> Result<()> {
        if self.claims.contains(path) {
            return Ok(());
        }
        let base = turn.index.base(self.id(), path)?;
        if let Some(base) = base.as_ref().filter(|base| base.stamp == remote.stamp) {
            turn.index.seen_as_left(self.id(), path)?;
            return self.compare_folder_meta(turn, path, base, remote);
        }
        let open = turn.index.open_row(self.id(), path)?;
        let believed =
            open.is_some_and(|open| matches!(&open.sight, Sight::Present((stamp, _)) if *stamp == remote.stamp));
        if believed {
            return Ok(());
        }
        let ours = base.is_some() || turn.index.local(self.share(), path)?.is_some();
        self.unknown += u64::from(!ours);
        if ours || self.takes() {
            turn.index.doubt(self.id(), path)?;
        } else if remote.seen.shape.kind != Kind::Folder {
            self.foreign += 1;
        }
        Ok(())
    }

    /// What was read back by an administrator's command, and compared with what was left.
    pub(in crate::engine) fn read_back(&mut self, turn: &mut Turn<'_>, findings: &[Finding]) -> Result<()> {
        for finding in findings {
            turn.index.drop_finding(finding.id)?;
            // What is being changed just now is not any more what was read.
            if !self.claims.contains(&finding.path) && turn.index.take_in(finding)? {
                self.freshen(finding.path.clone(), turn.limits);
            }
        }
        Ok(())
    }

    /// A folder's stamp does not tell of its mode and time: the listing does.
    fn compare_folder_meta(&mut self, turn: &mut Turn<'_>, path: &RelPath, base: &Base, remote: &Remote) -> Result<()> {
        let (left, found) = (base.meta, remote.seen.meta);
        if !self.setup.policy.nature.lists_meta() {
            return Ok(());
        }
        // Two-way, whoever puts something into a folder moves its time.
        let is_same_time = left.mtime == found.mtime || self.takes();
        let same = left.mode == found.mode && is_same_time && left.acl.agrees(found.acl);
        if base.content != Content::FOLDER || same {
            return Ok(());
        }
        if !self.takes() {
            turn.index.put_base(self.id(), path, &Base { meta: found.with_acl_of(&left), ..base.clone() })?;
        }
        turn.index.doubt(self.id(), path)
    }

    fn doubt_unlisted(&mut self, turn: &mut Turn<'_>, folder: &RelPath) -> Result<()> {
        let mut left = Vec::new();
        turn.index.visit_base(self.id(), folder, &mut |name, _| left.push(name.to_vec()))?;
        for name in left {
            if turn.index.was_listed(-self.id().0, folder, &name)? {
                continue;
            }
            let Ok(path) = folder.join(&name) else { continue };
            if !self.claims.contains(&path) {
                turn.index.doubt(self.id(), &path)?;
            }
        }
        Ok(())
    }

    pub(in crate::engine) fn list_ended(
        &mut self,
        turn: &mut Turn<'_>,
        result: std::result::Result<(), Failure>,
    ) -> Result<()> {
        turn.index.forget_names(-self.id().0)?;
        match result {
            Err(failure) => {
                self.listing = Listing::Due;
                self.rest(turn, failure);
            }
            // Listed again once it is known what the share has: only then can be told what is foreign.
            Ok(()) if !self.listed_once && self.unknown > 0 && self.list_blind => self.listing = Listing::Due,
            Ok(()) => {
                self.unknown = 0;
                self.listing = Listing::NotDue;
                (self.listed_once, self.listed_now) = (true, true);
                self.next_audit = self.setup.audit.map(|every| turn.now.moment.after(every));
                turn.index.listing_ended(self.id(), turn.now.wall, self.foreign)?;
                turn.index.forget_inheritance(self.id())?;
                let strange = std::mem::take(&mut self.strange).to_json(turn.now.wall);
                turn.index.set_fact(&Strange::fact(&self.setup.name), &strange)?;
                turn.index.release_holds(self.id())?;
                self.recovered();
                self.sweep_again = true;
            }
        }
        Ok(())
    }
}
