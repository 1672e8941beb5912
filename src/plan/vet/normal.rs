//! What is normal on a target, learned from what was changed there.

use std::collections::BTreeMap;

use crate::plan::vet::Changes;

/// Hours that are remembered (count): four weeks, so that what is done once a week is known after three of them.
pub const HOURS_KEPT: i64 = 28 * DAY;
/// Hours of a day (count).
const DAY: i64 = 24;
/// What happened on so many days is normal (count). One approved accident, or two, teach nothing.
const DAYS: usize = 3;

/// What happened on at least three days within two hours, from the counts of single hours that went before. The third
/// highest of the days' peaks stands firm whatever the two highest are.
pub fn normal(hours: &[(i64, Changes)]) -> Changes {
    let known: BTreeMap<i64, Changes> = hours.iter().copied().collect();
    let mut peaks: BTreeMap<i64, Changes> = BTreeMap::new();
    for (hour, changes) in &known {
        let before = known.get(&(hour - 1)).copied().unwrap_or(Changes::NONE);
        let peak = peaks.entry(hour.div_euclid(DAY)).or_default();
        *peak = peak.each(*changes + before, u64::max);
    }
    let of = |kind: fn(&Changes) -> u64| {
        let mut all: Vec<u64> = peaks.values().map(kind).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.get(DAYS - 1).copied().unwrap_or(0)
    };
    Changes { removed: of(|c| c.removed), replaced: of(|c| c.replaced), scrambled: of(|c| c.scrambled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(count: u64) -> Changes {
        Changes { replaced: count, ..Changes::NONE }
    }

    #[test]
    fn what_happens_on_three_days_is_normal() {
        let nightly: Vec<_> = (0..10).map(|day| (day * DAY + 3, replaced(3000))).collect();
        assert_eq!(normal(&nightly[..2]), Changes::NONE);
        assert_eq!(normal(&nightly[..3]), replaced(3000));
        assert_eq!(normal(&nightly), replaced(3000));
    }

    #[test]
    fn one_accident_or_two_teach_nothing() {
        let mut hours: Vec<_> = (0..20).map(|day| (day * DAY, replaced(50))).collect();
        hours.extend([(5 * DAY + 7, replaced(90_000)), (6 * DAY + 7, replaced(80_000))]);
        assert_eq!(normal(&hours), replaced(50));
    }

    #[test]
    fn a_run_over_the_full_hour_counts_as_one_and_each_kind_for_itself() {
        let night = |day: i64| [(day * DAY + 1, replaced(1000)), (day * DAY + 2, replaced(500))];
        let hours: Vec<_> = (0..4).flat_map(night).collect();
        assert_eq!(normal(&hours), replaced(1500));
        let removed = Changes { removed: 7, ..Changes::NONE };
        let mixed: Vec<_> = hours.into_iter().chain((5..9).map(|day| (day * DAY, removed))).collect();
        assert_eq!(normal(&mixed), Changes { removed: 7, replaced: 1500, scrambled: 0 });
    }

    #[test]
    fn nothing_is_normal_where_nothing_was() {
        assert_eq!(normal(&[]), Changes::NONE);
    }
}
