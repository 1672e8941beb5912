//! What is lost from sight on the target: files taken away, and files that others take the place of.

use std::time::Duration;

use crate::engine::lane::breaker::Deed;
use crate::engine::lane::decide::Case;
use crate::engine::lane::{Lane, Result, Turn};
use crate::index::{Heir, HoldRow, OpenRow};
use crate::model::{Content, Kind, RelPath};
use crate::plan::{Changes, Claim, Guard, Hold, may_be_disguise, promises};
use crate::target::{Change, Step};

/// A file is taken away without knowing what it was turned into, if that could not be read for so long.
const HEIRS_PATIENCE: Duration = Duration::from_secs(600);

impl Lane {
    /// Removes what nobody on the share has any more, once no rename explains it and nothing of ours lies below it.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, case: Case<'_>, guard: Guard) -> Result<()> {
        let Case { path, mut open, base: Some(base), .. } = case else { return Ok(()) };
        if turn.index.moved_from(self.id(), path)?.is_some() {
            // It is the old name of something that will be renamed, not removed.
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        if open.since > turn.now.wall {
            // The clock was set back since: it would wait until the clock shows that time again.
            open.since = turn.now.wall;
            turn.index.put_open(self.id(), path, &open)?;
        }
        let age = turn.now.wall.since(open.since);
        if age < turn.limits.grace {
            let due = turn.now.moment.after(turn.limits.grace.saturating_sub(age).max(Duration::from_millis(1)));
            self.delayed.entry(due).or_default().push(path.clone());
            return Ok(());
        }
        let kind = base.content.shape.kind;
        if kind == Kind::Folder && turn.index.has_ours_below(self.id(), path)? {
            if self.takes() && !turn.index.has_open_below(self.id(), path)? {
                return self.wait_for_what_is_in_it(turn, path, open);
            }
            // The last removal below it brings it back.
            self.block(path.clone(), turn.limits);
            return Ok(());
        }
        if kind == Kind::Folder && self.takes() && turn.index.has_returned_below(self.id(), path)? {
            return self.wait_for_what_is_in_it(turn, path, open);
        }
        let heirs = if kind == Kind::File { turn.index.heirs(self.share(), path)? } else { Vec::new() };
        if age < HEIRS_PATIENCE && self.reads_heirs(turn, &heirs) {
            let due = turn.now.moment.after(turn.limits.grace);
            self.delayed.entry(due).or_default().push(path.clone());
            return Ok(());
        }
        let deed = (kind == Kind::File).then(|| removal(path, &open, base.content, &heirs));
        self.take_away(turn, (path, open, base.content), guard, deed)
    }

    fn wait_for_what_is_in_it(&mut self, turn: &mut Turn<'_>, path: &RelPath, open: OpenRow) -> Result<()> {
        let message = "something in it waits for a person".to_owned();
        let hint = format!("see `driftline problems` for what lies below {path}");
        path.ancestors().filter(|up| !up.is_root()).for_each(|up| self.freshen(up, turn.limits));
        self.hold(turn, path, open, HoldRow { hold: Hold::Refused, message, hint })
    }

    fn take_away(
        &mut self,
        turn: &mut Turn<'_>,
        (path, open, left): (&RelPath, OpenRow, Content),
        guard: Guard,
        deed: Option<Deed<'_>>,
    ) -> Result<()> {
        if let Some(deed) = deed.as_ref().filter(|_| self.claims.allows(path, Claim::Whole))
            && !self.vet(turn, deed)?
        {
            return Ok(());
        }
        let step = Step { path: path.clone(), change: Change::Remove, guard, replaces: Some(left.digest) };
        if self.step(turn, step, Claim::Whole) {
            deed.iter().for_each(|deed| self.depart(deed));
            // Should its answer be lost, nobody knows whether it still lies there, whatever becomes of its name meanwhile.
            self.begin_attempt(turn, path, open, left)?;
        }
        Ok(())
    }

    /// Has what a file may have been turned into read, before the file is taken away. False if all of it is known.
    fn reads_heirs(&self, turn: &mut Turn<'_>, heirs: &[Heir]) -> bool {
        let unread = heirs.iter().filter(|heir| !heir.is_noise && may_be_disguise(heir.path.name()));
        let mut any = false;
        for heir in unread {
            any = true;
            if !self.claims.contains(&heir.path) {
                turn.desk.want_hash(heir.path.clone(), turn.limits);
            }
        }
        any
    }

    /// A put that takes the place of another content.
    pub(super) fn replacement<'p>(&self, path: &'p RelPath, open: &OpenRow, old: Content) -> Deed<'p> {
        let noise = self.staged.get(path).is_some_and(|staged| staged.reading.noise);
        let scrambled = u64::from(noise && promises(path.name()));
        let change = Changes { removed: 0, replaced: 1, scrambled };
        Deed { path, change, since: open.since, bytes: old.shape.len }
    }
}

fn removal<'p>(path: &'p RelPath, open: &OpenRow, old: Content, heirs: &[Heir]) -> Deed<'p> {
    let is_disguised = heirs.iter().any(|heir| heir.is_noise && may_be_disguise(heir.path.name()));
    let change = Changes { removed: 1, replaced: 0, scrambled: u64::from(is_disguised) };
    Deed { path, change, since: open.since, bytes: old.shape.len }
}
