//! Which run of an agent writes to a target: at most one, whatever was cloned or brought back from a backup.
//!
//! Each run leaves a sign on the target, under its agent's id: its token, its epoch, and a count that goes up while it works.
//! The state folder remembers the run before. A sign of a run that it does not know was left by a copy of this agent: by a
//! clone of its machine, which may be at work, or by the run that went on after this state was saved. Whoever finds such a
//! sign waits until it has stood still for [`SILENCE`]; whoever finds one in the place of his own stops for good. No two
//! clocks are compared.

use std::time::Duration;

/// A sign that stood still for so long is of a run that ended.
pub const SILENCE: Duration = Duration::from_secs(300);
/// A run at work renews its sign when it is older than this: twice, before anybody takes it for dead.
pub const RENEWAL: Duration = Duration::from_secs(120);

/// One run of an agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Run {
    /// Higher with each run of the same agent.
    pub epoch: u64,
    /// No other run has it.
    #[serde(rename = "run")]
    pub token: String,
}

/// What a run left on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Which run.
    pub run: Run,
    /// Goes up with each renewal.
    pub beat: u64,
}

/// How a run stands on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The sign is its own.
    Holds,
    /// No sign that stands in the way: it leaves its own.
    Takes,
    /// The sign is of a run of this agent that this state folder does not know. It may be at work.
    Waits,
    /// Another run has put its sign in the place of this one's.
    Lost,
}

/// How the run `mine` stands where `there` lies.
///
/// `before` is the run before it, as its state folder remembers; `held` says that its own sign lay there already;
/// `watched` is the sign that was there when somebody last looked, and for how long it has been seen to stand still.
pub fn standing(
    mine: &Run,
    before: Option<&Run>,
    held: bool,
    there: Option<&Sign>,
    watched: Option<(&Sign, Duration)>,
) -> Standing {
    let Some(there) = there else { return Standing::Takes };
    if there.run.token == mine.token {
        return Standing::Holds;
    }
    if held {
        // An older one is what a target was rolled back to.
        return if there.run.epoch < mine.epoch { Standing::Takes } else { Standing::Lost };
    }
    let is_known = before.is_some_and(|before| before.token == there.run.token || there.run.epoch < before.epoch);
    let is_still = watched.is_some_and(|(sign, still)| sign == there && still >= SILENCE);
    if is_known || is_still { Standing::Takes } else { Standing::Waits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(epoch: u64, token: &str) -> Run {
        Run { epoch, token: token.to_owned() }
    }

    fn sign(epoch: u64, token: &str, beat: u64) -> Sign {
        Sign { run: run(epoch, token), beat }
    }

    /// Every combination of what lies there, what is remembered, and what was held and watched.
    #[test]
    fn the_whole_table() {
        let mine = run(7, "mine");
        let befores = [None, Some(run(6, "before"))];
        let signs = [
            None,
            Some(sign(7, "mine", 3)),
            Some(sign(6, "before", 9)),
            Some(sign(5, "long ago", 9)),
            Some(sign(6, "clone", 1)),
            Some(sign(7, "clone", 1)),
            Some(sign(8, "clone", 1)),
        ];
        for before in &befores {
            for held in [false, true] {
                for there in &signs {
                    let moved = there.clone().map(|sign| Sign { beat: sign.beat - 1, ..sign });
                    let watches = [
                        None,
                        there.as_ref().map(|sign| (sign, SILENCE - Duration::from_nanos(1))),
                        there.as_ref().map(|sign| (sign, SILENCE)),
                        moved.as_ref().map(|sign| (sign, SILENCE)),
                    ];
                    for (number, watched) in watches.into_iter().enumerate() {
                        let stood_still = number == 2;
                        let wanted = match (there.as_ref().map(|sign| &*sign.run.token), held) {
                            (None, _) => Standing::Takes,
                            (Some("mine"), _) => Standing::Holds,
                            (Some("before" | "long ago"), true) => Standing::Takes,
                            (Some("clone"), true) if there.as_ref().is_some_and(|sign| sign.run.epoch == 6) => {
                                Standing::Takes
                            }
                            (Some(_), true) => Standing::Lost,
                            (Some("before" | "long ago"), false) if before.is_some() => Standing::Takes,
                            (Some(_), false) if stood_still => Standing::Takes,
                            (Some(_), false) => Standing::Waits,
                        };
                        let found = standing(&mine, before.as_ref(), held, there.as_ref(), watched);
                        assert_eq!(found, wanted, "{before:?}, held {held}, {there:?}, watched {number}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_two_copies_that_begin_one_after_the_other_one_goes_on() {
        // Both were saved after the run "before".
        let before = run(6, "before");
        let (first, second) = (run(7, "first"), run(9, "second"));
        let lies = sign(6, "before", 4);
        assert_eq!(standing(&first, Some(&before), false, Some(&lies), None), Standing::Takes);
        let lies = sign(7, "first", 1);
        assert_eq!(standing(&second, Some(&before), false, Some(&lies), None), Standing::Waits);
        // The first ends: the second goes on, and the first, should it come back, waits.
        assert_eq!(standing(&second, Some(&before), false, Some(&lies), Some((&lies, SILENCE))), Standing::Takes);
        let lies = sign(9, "second", 1);
        assert_eq!(standing(&first, Some(&before), true, Some(&lies), None), Standing::Lost);
        assert_eq!(standing(&run(8, "again"), Some(&first), false, Some(&lies), None), Standing::Waits);
    }
}
