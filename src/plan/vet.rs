//! The last word before something is taken away: does this look like an accident?

use std::fmt;

/// How much may be taken away or replaced on one target before a person is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Fewer removals than this within the window never halt (count).
    pub removals_floor: u64,
    /// Removals within the window above this share of what the target held halt (0.0 to 1.0).
    pub removals_share: f64,
}

impl Default for Limits {
    /// Half of a target, but never for fewer than a thousand files: a clean-up passes, an accident does not.
    fn default() -> Self {
        Self { removals_floor: 1000, removals_share: 0.5 }
    }
}

/// Counts taken on one target since its window began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Files that the target held when the window began.
    pub tracked: u64,
    /// Removals since, with the one that is asked for.
    pub removals: u64,
}

/// A reason to stop a target until an administrator says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Too large a share of the target would be removed.
    MassRemoval {
        /// How many.
        removals: u64,
        /// Of how many.
        tracked: u64,
    },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::MassRemoval { removals, tracked } = self;
        write!(
            f,
            "removing {removals} of the {tracked} files on this target looks like an accident; nothing more is removed"
        )
    }
}

/// Refuses a removal that looks like part of an accident.
pub fn vet(census: &Census, limits: &Limits) -> Result<(), Halt> {
    let Census { tracked, removals } = *census;
    #[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^52")]
    let too_many = removals as f64 > tracked as f64 * limits.removals_share;
    if removals > limits.removals_floor && too_many {
        return Err(Halt::MassRemoval { removals, tracked });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_up_passes_and_an_accident_halts() {
        let limits = Limits::default();
        let table = [
            (10, 10, true),
            (1000, 1000, true),
            (2000, 1000, true),
            (2000, 1001, false),
            (100_000, 50_000, true),
            (100_000, 50_001, false),
        ];
        for (tracked, removals, fine) in table {
            let verdict = vet(&Census { tracked, removals }, &limits);
            assert_eq!(verdict.is_ok(), fine, "{removals} of {tracked}");
        }
    }

    #[test]
    fn the_message_says_what_and_how_many() {
        let halt = vet(&Census { tracked: 2000, removals: 1500 }, &Limits::default()).expect_err("three quarters");
        assert_eq!(
            halt.to_string(),
            "removing 1500 of the 2000 files on this target looks like an accident; nothing more is removed"
        );
    }
}
