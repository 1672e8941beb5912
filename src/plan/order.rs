//! Which changes of one target may run at the same time: room is made before it is used.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::model::RelPath;

/// What a change under way does to the paths around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It reads, fills or makes this path only: others above and below may go on.
    Fill,
    /// It takes something away or puts another kind of thing in its place: nothing above or below may go on.
    Whole,
}

/// The paths of one target on which something is under way.
#[derive(Debug, Default)]
pub struct Claims {
    held: BTreeMap<RelPath, Claim>,
}

impl Claims {
    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// True if something is under way at just this path.
    pub fn contains(&self, path: &RelPath) -> bool {
        self.held.contains_key(path)
    }

    /// True if a change of this kind may begin at `path` now.
    pub fn allows(&self, path: &RelPath, claim: Claim) -> bool {
        let clashes = |other: Claim| claim == Claim::Whole || other == Claim::Whole;
        let above = || path.ancestors().any(|up| self.held.get(&up).is_some_and(|other| clashes(*other)));
        !self.contains(path) && !above() && !self.below(path).any(clashes)
    }

    fn below(&self, path: &RelPath) -> impl Iterator<Item = Claim> {
        let after = (Bound::Excluded(path.clone()), Bound::Unbounded);
        // Everything below sorts behind `path`, though `path-x` may sort between.
        let near = self.held.range(after).take_while(move |(other, _)| other.as_bytes().starts_with(path.as_bytes()));
        near.filter(|(other, _)| path.is_above(other)).map(|(_, claim)| *claim)
    }

    /// Takes `path`; only after [`Claims::allows`].
    pub fn take(&mut self, path: RelPath, claim: Claim) {
        let before = self.held.insert(path, claim);
        debug_assert!(before.is_none(), "a path is claimed once");
    }

    /// Gives `path` back.
    pub fn give_back(&mut self, path: &RelPath) {
        self.held.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    #[test]
    fn room_is_made_before_it_is_used() {
        use Claim::{Fill, Whole};
        let table = [
            // held, asked, allowed
            (("a", Fill), ("a", Fill), false),
            (("a", Fill), ("b", Whole), true),
            (("a", Fill), ("a/b", Fill), true),
            (("a/b", Fill), ("a", Fill), true),
            (("a/b", Fill), ("a", Whole), false),
            (("a", Whole), ("a/b/c", Fill), false),
            (("a/b/c", Whole), ("a", Fill), false),
            (("a", Fill), ("a/b", Whole), false),
            (("a-b", Whole), ("a", Fill), true),
            (("a", Whole), ("a-b", Fill), true),
        ];
        for ((held, kind), (asked, claim), allowed) in table {
            let mut claims = Claims::default();
            claims.take(path(held), kind);
            assert_eq!(claims.allows(&path(asked), claim), allowed, "{held} {kind:?}, {asked} {claim:?}");
            claims.give_back(&path(held));
            assert!(claims.is_empty() && claims.allows(&path(asked), claim));
        }
    }

    #[test]
    fn a_neighbour_that_sorts_between_hides_nothing() {
        let mut claims = Claims::default();
        claims.take(path("a-b"), Claim::Fill);
        claims.take(path("a/x"), Claim::Fill);
        assert!(!claims.allows(&path("a"), Claim::Whole));
    }
}
