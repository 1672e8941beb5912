//! Which files a sample takes: another part each day, so that after enough days all were read.

use crate::model::{Digest, RelPath};

/// Whether the part of a day holds a path. The parts of following days lie side by side: 5% are all of it after 20 days.
pub(super) fn takes(part: f64, day: i64, share: &str, path: &RelPath) -> bool {
    if part >= 1.0 {
        return true;
    }
    let digest = Digest::of(&[share.as_bytes(), b"\0", path.as_bytes()].concat());
    let mut first = [0; 4];
    first.copy_from_slice(&digest.0[..4]);
    let place = f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0);
    // In whole steps of a day: a sum of many small numbers would drift.
    let days = (1.0 / part).ceil();
    let begin = (day.rem_euclid(1_000_000) as f64 % days) * part;
    (begin..begin + part).contains(&place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(part: f64, day: i64) -> Vec<usize> {
        let path = |n: usize| RelPath::new(format!("f/{n}")).expect("a path");
        (0..10_000).filter(|n| takes(part, day, "s", &path(*n))).collect()
    }

    #[test]
    fn a_sample_takes_its_part_and_the_same_files_on_the_same_day() {
        for (part, low, high) in [(0.05, 420, 580), (0.5, 4800, 5200), (1.0, 10_000, 10_000)] {
            let today = taken(part, 20_000);
            assert!((low..=high).contains(&today.len()), "{part}: {}", today.len());
            assert_eq!(today, taken(part, 20_000));
        }
    }

    #[test]
    fn the_samples_of_twenty_days_are_all_files_and_no_file_twice() {
        for first in [0, 20_419] {
            let mut all: Vec<_> = (0..20).flat_map(|day| taken(0.05, first / 20 * 20 + day)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..10_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn days_that_do_not_fit_evenly_leave_nothing_out() {
        let mut all: Vec<_> = (0..15).flat_map(|day| taken(0.07, day)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
