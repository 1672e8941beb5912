//! Which versions in history may go: those that are older than history is kept, but never the last good copy, nor one of
//! which a person has still to say whether it is wanted.

use crate::model::Wall;

/// How long versions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What was replaced or removed before this may go.
    pub before: Wall,
    /// But the newest of each path that is still kept stay, this many of them (count).
    pub floor: usize,
}

/// How a path stands whose versions lie in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// The target holds what was left there, or may.
    There,
    /// The share has it and the target does not, or not yet: a version may be the last good copy.
    Wanted,
    /// Neither has it: it was deleted, and its versions are as old as that.
    Gone,
    /// A person has still to say which of two versions is wanted, and one of them lies in history.
    Disputed,
}

/// The versions of one path that may go, by their place in `replaced`: when each of them was replaced or removed.
pub fn prune(replaced: &[Wall], lies: Lies, keep: &Keep) -> Vec<usize> {
    let stay = match lies {
        Lies::There => keep.floor,
        Lies::Wanted => keep.floor.max(1),
        Lies::Gone => 0,
        Lies::Disputed => return Vec::new(),
    };
    let mut newest_first: Vec<usize> = (0..replaced.len()).collect();
    newest_first.sort_by_key(|at| std::cmp::Reverse((replaced[*at], *at)));
    let mut go: Vec<usize> = newest_first.into_iter().skip(stay).filter(|at| replaced[*at] < keep.before).collect();
    go.sort_unstable();
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(days: &[i64]) -> Vec<Wall> {
        days.iter().map(|day| Wall(*day)).collect()
    }

    #[test]
    fn age_floor_and_standing_decide_and_nothing_else() {
        use Lies::{Gone, There, Wanted};
        // Versions (unsorted), before, floor; what goes if it is there, wanted, gone.
        type Row = (&'static [i64], i64, usize, [&'static [usize]; 3]);
        let table: [Row; 9] = [
            (&[], 50, 1, [&[], &[], &[]]),
            (&[10], 50, 1, [&[], &[], &[0]]),
            (&[10], 50, 0, [&[0], &[], &[0]]),
            (&[50], 50, 0, [&[], &[], &[]]),
            (&[10, 20, 30], 50, 1, [&[0, 1], &[0, 1], &[0, 1, 2]]),
            (&[30, 10, 20], 50, 2, [&[1], &[1], &[0, 1, 2]]),
            (&[10, 20, 60], 50, 1, [&[0, 1], &[0, 1], &[0, 1]]),
            (&[10, 20, 60], 50, 2, [&[0], &[0], &[0, 1]]),
            (&[10, 10, 10], 50, 1, [&[0, 1], &[0, 1], &[0, 1, 2]]),
        ];
        for (days, before, floor, wanted) in table {
            let keep = Keep { before: Wall(before), floor };
            for (lies, wanted) in [There, Wanted, Gone].into_iter().zip(wanted) {
                assert_eq!(prune(&times(days), lies, &keep), wanted, "{days:?} {before} {floor} {lies:?}");
            }
        }
    }

    #[test]
    fn nothing_goes_of_what_is_in_dispute_however_old_it_is() {
        for count in 0..6 {
            for floor in 0..4 {
                let keep = Keep { before: Wall(i64::MAX), floor };
                let replaced: Vec<_> = (0..count).map(Wall).collect();
                assert_eq!(prune(&replaced, Lies::Disputed, &keep), [0; 0], "{count} {floor}");
            }
        }
    }

    #[test]
    fn the_newest_version_of_what_the_share_has_and_the_target_lacks_never_goes() {
        for count in 1..6 {
            for floor in 0..4 {
                let keep = Keep { before: Wall(i64::MAX), floor };
                let replaced: Vec<_> = (0..count).map(Wall).collect();
                let go = prune(&replaced, Lies::Wanted, &keep);
                assert!(!go.contains(&(replaced.len() - 1)), "{count} {floor} {go:?}");
            }
        }
    }

    #[test]
    fn more_time_or_a_lower_floor_never_lets_less_go() {
        let replaced = times(&[5, 3, 9, 1, 7]);
        for lies in [Lies::There, Lies::Wanted, Lies::Gone] {
            for (before, floor) in (0..11).flat_map(|before| (1..6).map(move |floor| (before, floor))) {
                let go = |before, floor| prune(&replaced, lies, &Keep { before: Wall(before), floor });
                let fewer = go(before, floor);
                for more in [go(before + 1, floor), go(before, floor - 1)] {
                    assert!(fewer.iter().all(|at| more.contains(at)), "{lies:?} {before} {floor}");
                }
            }
        }
    }
}
