//! What the target tells of changes: like a listing it only makes doubts, and a look decides. What it does not tell an audit finds.

use crate::engine::Command;
use crate::engine::lane::{Lane, Listing, Result, Turn};
use crate::model::{RelPath, Sight};
use crate::target::Rumour;

impl Lane {
    pub(in crate::engine) fn told(&mut self, turn: &mut Turn<'_>, number: u64, rumours: Vec<Rumour>) -> Result<()> {
        for rumour in rumours {
            self.hear(turn, rumour)?;
        }
        turn.commands.push(Command::Noted(self.id(), number));
        Ok(())
    }

    /// What was told of while a change of ours was under way there.
    pub(super) fn hear_again(&mut self, turn: &mut Turn<'_>) -> Result<()> {
        for (path, stamp) in std::mem::take(&mut self.rumours) {
            self.hear(turn, Rumour { path, stamp })?;
        }
        Ok(())
    }

    fn hear(&mut self, turn: &mut Turn<'_>, rumour: Rumour) -> Result<()> {
        let Rumour { path, stamp } = rumour;
        if self.listing != Listing::Running && self.fresh.len().max(self.rumours.len()) >= turn.limits.fresh_max {
            // So many paths are listed more cheaply than looked at.
            self.audit();
            return Ok(());
        }
        if self.claims.contains(&path) {
            // It may be that change.
            if self.rumours.len() < turn.limits.fresh_max {
                self.rumours.insert(path, stamp);
            }
            return Ok(());
        }
        let base = turn.index.base(self.id(), &path)?;
        if stamp.is_some() && base.as_ref().map(|base| &base.stamp) == stamp.as_ref() {
            return Ok(());
        }
        let open = turn.index.open_row(self.id(), &path)?;
        let ours = base.is_some() || turn.index.local(self.share(), &path)?.is_some_and(|row| row.is_present());
        let concerns = match &stamp {
            Some(stamp) => {
                let seen = open.is_some_and(|open| matches!(&open.sight, Sight::Present((known, _)) if known == stamp));
                (ours || self.takes()) && !seen
            }
            None => base.is_some() || open.is_some(),
        };
        if !concerns {
            return Ok(());
        }
        if self.takes() {
            // A bucket has folders only by what lies in them: these may have come or gone with it.
            for up in path.ancestors().filter(|up| !up.is_root()) {
                if turn.index.base(self.id(), &up)?.is_some() != stamp.is_some() {
                    self.doubt(turn, up)?;
                }
            }
        }
        self.doubt(turn, path)
    }

    fn doubt(&mut self, turn: &mut Turn<'_>, path: RelPath) -> Result<()> {
        if !self.claims.contains(&path) {
            turn.index.doubt(self.id(), &path)?;
            self.freshen(path, turn.limits);
        }
        Ok(())
    }
}
