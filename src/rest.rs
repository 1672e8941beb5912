//! How long to leave a target alone after a fault. Pure: chance is an argument.

use std::time::Duration;

/// Bounds of a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestLimits {
    /// After the first fault.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

/// The rest after `strikes` faults in a row, the first being 0: doubled each time up to the longest.
///
/// `chance` from 0 to 255 shortens it by up to a quarter, so that agents that failed together do not return together.
pub fn rest(strikes: u32, chance: u8, limits: &RestLimits) -> Duration {
    let full = limits.first.saturating_mul(2u32.saturating_pow(strikes)).min(limits.longest);
    full - full / 4 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_to_its_bound_and_chance_takes_at_most_a_quarter() {
        let limits = RestLimits::default();
        let seconds = |strikes, chance| rest(strikes, chance, &limits).as_millis();
        let table = [(0, 1000), (1, 2000), (2, 4000), (5, 32_000), (6, 60_000), (99, 60_000)];
        for (strikes, millis) in table {
            assert_eq!(seconds(strikes, 0), millis);
            assert_eq!(seconds(strikes, 255), millis * 3 / 4);
        }
    }
}
