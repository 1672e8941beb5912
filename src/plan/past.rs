//! What a path was called at an earlier time, when it and the folders around it have been renamed since.

use std::collections::BTreeMap;

use crate::model::{RelPath, Wall};

/// The renames since a time: enough to say what a path was called then.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// By where something came to lie: when, and where it had lain.
    came: BTreeMap<RelPath, Vec<(Wall, RelPath)>>,
    /// By where something lay that went elsewhere: when.
    went: BTreeMap<RelPath, Vec<Wall>>,
}

impl Moves {
    /// One more, in any order.
    pub fn add(&mut self, at: Wall, from: &RelPath, to: &RelPath) {
        self.came.entry(to.clone()).or_default().push((at, from.clone()));
        self.went.entry(from.clone()).or_default().push(at);
    }

    /// True if there was none.
    pub fn is_empty(&self) -> bool {
        self.came.is_empty()
    }

    /// What was called `path` at `at`: its name before all these renames; `None` if it came to be after the first of them
    /// made room for it.
    pub fn first_name(&self, path: &RelPath, at: Wall) -> Option<RelPath> {
        let (mut path, mut at) = (path.clone(), at);
        loop {
            let (came, went) = (self.last_came(&path, at), self.last_went(&path, at));
            match (came, went) {
                (None, None) => return Some(path),
                (Some((when, from, to)), went) if went.is_none_or(|went| went < when) => {
                    path = path.rebased(to, from).expect("it was found at or above the path");
                    at = when;
                }
                // What lies there has only come to be since: what lay there before is elsewhere.
                (Some(_) | None, _) => return None,
            }
        }
    }

    fn last_came(&self, path: &RelPath, before: Wall) -> Option<(Wall, &RelPath, &RelPath)> {
        let found = self_and_above(path).filter_map(|above| {
            let (to, moves) = self.came.get_key_value(&above)?;
            let last = moves.iter().filter(|(at, _)| *at < before).max()?;
            Some((last.0, &last.1, to))
        });
        found.max()
    }

    fn last_went(&self, path: &RelPath, before: Wall) -> Option<Wall> {
        let found = self_and_above(path).filter_map(|above| self.went.get(&above));
        found.flatten().filter(|at| **at < before).max().copied()
    }
}

fn self_and_above(path: &RelPath) -> impl Iterator<Item = RelPath> {
    std::iter::once(path.clone()).chain(path.ancestors())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a test's path is fine")
    }

    fn moves(all: &[(i64, &str, &str)]) -> Moves {
        let mut moves = Moves::default();
        all.iter().for_each(|(at, from, to)| moves.add(Wall(*at), &path(from), &path(to)));
        moves
    }

    /// When, from where, to where.
    type Renames = &'static [(i64, &'static str, &'static str)];

    const NOW: i64 = i64::MAX;

    #[test]
    fn names_are_followed_back_through_renames() {
        let table: [(Renames, &str, i64, Option<&str>, &str); 12] = [
            (&[], "a", NOW, Some("a"), "never renamed"),
            (&[(5, "a", "b")], "b", NOW, Some("a"), "renamed"),
            (&[(5, "a", "b")], "b", 3, Some("b"), "what bore the name before the rename"),
            (&[(5, "a", "b")], "a", NOW, None, "new under the old name"),
            (&[(5, "a", "b")], "a", 3, Some("a"), "before it went"),
            (&[(5, "d", "e")], "e/x/y", NOW, Some("d/x/y"), "in a folder that was renamed"),
            (&[(5, "d", "e"), (7, "e/x", "z")], "z/y", NOW, Some("d/x/y"), "out of a folder that was renamed before"),
            (&[(7, "e/x", "z"), (5, "d", "e")], "z/y", NOW, Some("d/x/y"), "told in another order"),
            (&[(5, "d", "e"), (7, "e/x", "z")], "e/x", NOW, None, "new where something went"),
            (&[(5, "a", "b"), (7, "b", "a")], "a", NOW, Some("a"), "there and back"),
            (&[(5, "a", "t"), (6, "b", "a"), (7, "t", "b")], "b", NOW, Some("a"), "two exchanged"),
            (&[(5, "d", "e"), (7, "n", "d")], "d/x", NOW, Some("n/x"), "another folder under the old name"),
        ];
        for (all, name, at, wanted, what) in table {
            assert_eq!(moves(all).first_name(&path(name), Wall(at)), wanted.map(path), "{what}");
        }
    }
}
