//! What becomes of a conflict whose put began, and whose end is only seen later.
//!
//! Both sides had changed a path, and the share's version was sent over the other's. The conflict is written down with the
//! attempt, before the put begins, so that no crash can lose it; here it is decided whether it stays.

/// How a put that began has ended, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nobody has answered: it may have been made.
    Unknown,
    /// The guard did not hold: the target says that nothing was changed. An answer that was lost, and then asked for again,
    /// says the same.
    Refused,
}

/// What lies on the target since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// What the share sent.
    Ours,
    /// What was to give way.
    Theirs,
    /// Something else, or nothing.
    Else,
}

/// Whether a person is to be asked which version is wanted. One conflict too many costs a look; one too few hides a version.
pub fn stands(begun: Begun, since: Since) -> bool {
    match (begun, since) {
        (Begun::Unknown | Begun::Refused, Since::Ours) => true,
        (Begun::Unknown | Begun::Refused, Since::Theirs) => false,
        // It may have been made, and somebody else came after it.
        (Begun::Unknown, Since::Else) => true,
        // Somebody else was quicker: what was to give way is not what gave way.
        (Begun::Refused, Since::Else) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_goes_only_if_it_is_known_that_nothing_gave_way() {
        let table = [
            (Begun::Unknown, Since::Ours, true),
            (Begun::Unknown, Since::Theirs, false),
            (Begun::Unknown, Since::Else, true),
            (Begun::Refused, Since::Ours, true),
            (Begun::Refused, Since::Theirs, false),
            (Begun::Refused, Since::Else, false),
        ];
        for (begun, since, wanted) in table {
            assert_eq!(stands(begun, since), wanted, "{begun:?} {since:?}");
        }
    }
}
