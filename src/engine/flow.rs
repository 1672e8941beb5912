//! How fast bytes go somewhere, of late.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Moment;

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);

/// A counter that was read now and then.
#[derive(Debug, Default)]
pub(super) struct Flow {
    seen: VecDeque<(Moment, u64)>,
}

impl Flow {
    /// Takes down what the counter says now. Bytes in a second since [`WINDOW`] ago, to two digits; `None` if there were none.
    pub(super) fn rate(&mut self, now: Moment, count: u64) -> Option<u64> {
        while self.seen.len() > 1 && self.seen.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.seen.pop_front();
        }
        let (since, before) = *self.seen.front().unwrap_or(&(now, count));
        self.seen.push_back((now, count));
        let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let rate = count.saturating_sub(before).saturating_mul(1000).checked_div(millis)?;
        (rate > 0).then(|| two_digits(rate))
    }
}

/// What changes with every look would be written down with every look.
fn two_digits(number: u64) -> u64 {
    let unit = 10_u64.pow(number.max(1).ilog10().saturating_sub(1));
    number / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_and_ends_with_them() {
        let mut flow = Flow::default();
        assert_eq!(flow.rate(at(0), 500), None);
        assert_eq!(flow.rate(at(1), 1500), Some(1000));
        assert_eq!(flow.rate(at(2), 1500), Some(500));
        assert_eq!(flow.rate(at(20), 1500), None, "long ago");
        assert_eq!(flow.rate(at(21), 124_280), Some(6_400), "to two digits");
        assert!((22..200).all(|second| flow.rate(at(second), 124_280).is_some() || second > 30));
        assert!(flow.seen.len() <= 13, "{}", flow.seen.len());
    }
}
