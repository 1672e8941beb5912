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
        for rumour in std::mem::take(&mut self.rumours).into_values() {
            self.hear(turn, rumour)?;
        }
        Ok(())
    }

    fn hear(&mut self, turn: &mut Turn<'_>, rumour: Rumour) -> Result<()> {
        if self.listing != Listing::Running && self.fresh.len().max(self.rumours.len()) >= turn.limits.fresh_max {
            // So many paths are listed more cheaply than looked at.
            self.audit();
            return Ok(());
        }
        if self.claims.contains(&rumour.path) {
            // It may be that change.
            if self.rumours.len() < turn.limits.fresh_max {
                let carried = self.rumours.get(&rumour.path).is_some_and(|before| before.carried) || rumour.carried;
                self.rumours.insert(rumour.path.clone(), Rumour { carried, ..rumour });
            }
            return Ok(());
        }
        let Rumour { path, stamp, carried } = rumour;
        // Our own copies are told of too: each is looked at once, and found as it was left.
        let carried = carried && self.takes();
        let base = turn.index.base(self.id(), &path)?;
        if !carried && stamp.is_some() && base.as_ref().map(|base| &base.stamp) == stamp.as_ref() {
            return Ok(());
        }
        let open = turn.index.open_row(self.id(), &path)?;
        let ours = base.is_some() || turn.index.local(self.share(), &path)?.is_some_and(|row| row.is_present());
        let concerns = match &stamp {
            Some(stamp) => {
                let seen = open.is_some_and(|open| matches!(&open.sight, Sight::Present((known, _)) if known == stamp));
                (ours || self.takes()) && (carried || !seen)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::lane::fixture::{bound, core, turn};
    use crate::engine::{Core, Event, Limits, LookJob};
    use crate::index::Index;
    use crate::local::ScanEnd;
    use crate::model::{Content, Digest, Kind, Meta, Moment, Seen, Shape, Stamp, TargetId, Wall};
    use crate::plan::{Base, Drift, Nature, Policy};
    use crate::target::Remote;

    struct World {
        core: Core,
        index: Index,
        target: TargetId,
    }

    impl World {
        /// Scanned and listed, with nothing on either side.
        fn new(drift: Drift) -> Self {
            let mut index = Index::in_memory().expect("an index");
            let policy = Policy { nature: Nature::Bucket, drift, ..Policy::default() };
            let (core, share, target) = core(&mut index, policy, Limits { fresh_max: 4, ..Limits::default() });
            let mut world = Self { core, index, target };
            world.turn(Event::Tick);
            world.turn(Event::Probed(target, Ok(bound())));
            world.turn(Event::ScanEnded(share, RelPath::root(), ScanEnd::Done));
            world
        }

        fn turn(&mut self, event: Event) -> Vec<Command> {
            turn(&mut self.core, &mut self.index, vec![event], Moment::default())
        }

        fn tell(&mut self, rumours: Vec<Rumour>) -> Vec<Command> {
            self.turn(Event::Told(self.target, 7, rumours))
        }
    }

    fn path(name: &str) -> RelPath {
        RelPath::new(name).expect("fine")
    }

    fn stamp(text: &str) -> Stamp {
        Stamp(text.as_bytes().into())
    }

    fn rumour(name: &str, text: Option<&str>) -> Rumour {
        Rumour { path: path(name), stamp: text.map(stamp), carried: false }
    }

    fn is_looked_at(commands: &[Command], name: &str) -> bool {
        let about = |jobs: &[LookJob]| jobs.iter().any(|job| job.path == path(name));
        commands.iter().any(|command| matches!(command, Command::Look(_, jobs) if about(jobs)))
    }

    #[test]
    fn what_is_as_it_was_left_is_not_doubted_and_all_else_of_ours_is() {
        let mut world = World::new(Drift::Keep);
        let content = Content { shape: Shape { kind: Kind::File, len: 1 }, digest: Digest::of(b"1") };
        let base = Base { content, meta: Meta::UNTOLD, stamp: stamp("ours") };
        world.index.begin(Wall(0)).expect("begun");
        world.index.put_base(world.target, &path("a"), &base).expect("put");
        world.index.commit().expect("committed");
        let noted = [Command::Noted(world.target, 7)];
        assert_eq!(world.tell(vec![rumour("a", Some("ours"))]), noted);
        assert_eq!(world.tell(vec![rumour("foreign", Some("theirs"))]), noted, "none of ours");
        assert_eq!(world.tell(vec![rumour("foreign", None)]), noted, "none of ours");
        let commands = world.tell(vec![rumour("a", Some("theirs"))]);
        assert!(commands.contains(&noted[0]) && is_looked_at(&commands, "a"), "{commands:?}");
    }

    #[test]
    fn two_ways_what_was_copied_is_looked_at_once_though_its_stamp_is_known() {
        for (drift, looks) in [(Drift::Take, true), (Drift::Keep, false)] {
            let mut world = World::new(drift);
            let content = Content { shape: Shape { kind: Kind::File, len: 1 }, digest: Digest::of(b"1") };
            let base = Base { content, meta: Meta::NOTHING, stamp: stamp("ours") };
            world.index.begin(Wall(0)).expect("begun");
            world.index.put_base(world.target, &path("a"), &base).expect("put");
            world.index.commit().expect("committed");
            let commands = world.tell(vec![Rumour { carried: true, ..rumour("a", Some("ours")) }]);
            assert_eq!(is_looked_at(&commands, "a"), looks, "{drift:?}: {commands:?}");
            if looks {
                let seen = Seen { shape: content.shape, digest: Some(content.digest), meta: Meta::NOTHING };
                let found = Remote { stamp: stamp("ours"), seen };
                let commands = world.turn(Event::Looked(world.target, vec![(path("a"), Ok(Some(found)))]));
                assert!(!is_looked_at(&commands, "a"), "{commands:?}");
            }
        }
    }

    #[test]
    fn what_is_told_while_it_is_looked_at_is_looked_at_again() {
        let mut world = World::new(Drift::Take);
        let noted = Command::Noted(world.target, 7);
        let commands = world.tell(vec![rumour("new", Some("one"))]);
        assert!(is_looked_at(&commands, "new"), "{commands:?}");
        assert_eq!(world.tell(vec![rumour("new", Some("two"))]), [noted], "it is looked at just now");
        let commands = world.turn(Event::Looked(world.target, vec![(path("new"), Ok(None))]));
        assert!(is_looked_at(&commands, "new"), "{commands:?}");
        let commands = world.turn(Event::Looked(world.target, vec![(path("new"), Ok(None))]));
        assert!(!is_looked_at(&commands, "new"), "{commands:?}");
    }

    #[test]
    fn more_than_are_worth_single_looks_are_listed() {
        let mut world = World::new(Drift::Take);
        let names: Vec<_> = (0..9).map(|n| rumour(&n.to_string(), Some("x"))).collect();
        let commands = world.tell(names);
        assert!(commands.contains(&Command::List(world.target)), "{commands:?}");
        assert!(commands.contains(&Command::Noted(world.target, 7)), "{commands:?}");
    }
}
