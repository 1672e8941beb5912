use super::*;

const NONE: Changes = Changes::NONE;

fn removed(count: u64) -> Changes {
    Changes { removed: count, ..NONE }
}

fn replaced(count: u64) -> Changes {
    Changes { replaced: count, ..NONE }
}

fn scrambled(count: u64) -> Changes {
    Changes { replaced: count, scrambled: count, removed: 0 }
}

/// Files on the target, changes, what is normal there, what it looks like.
type Row = (u64, Changes, Changes, Option<Cause>);

#[test]
fn a_clean_up_passes_and_an_accident_halts() {
    use Cause::{Encryption, Removals, Replacements};
    let table: &[Row] = &[
        // Removals: a floor, half of the files, and never more than ten thousand.
        (10, removed(10), NONE, None),
        (1000, removed(999), NONE, None),
        (1000, removed(1000), NONE, Some(Removals)),
        (20, removed(20), NONE, Some(Removals)),
        (20, removed(19), NONE, None),
        (19, removed(19), NONE, None),
        (1000, removed(1000), removed(500), None),
        (2000, removed(1000), NONE, None),
        (2000, removed(1001), NONE, Some(Removals)),
        (5000, removed(2500), NONE, None),
        (5000, removed(2501), NONE, Some(Removals)),
        (100_000, removed(300), NONE, None),
        (100_000, removed(10_000), NONE, None),
        (100_000, removed(20_000), NONE, Some(Removals)),
        (1_000_000, removed(185_207), NONE, Some(Removals)),
        // Replacements: a build, a branch, a program gone wild.
        (3000, replaced(3000), NONE, None),
        (20_000, replaced(5000), NONE, None),
        (20_000, replaced(10_001), NONE, Some(Replacements)),
        (100_000, replaced(20_000), NONE, None),
        (100_000, replaced(20_001), NONE, Some(Replacements)),
        (6000, Changes { removed: 1500, replaced: 2500, scrambled: 0 }, NONE, None),
        // The marks of encryption.
        (20_000, scrambled(100), NONE, None),
        (20_000, scrambled(101), NONE, Some(Encryption)),
        (500, scrambled(51), NONE, Some(Encryption)),
        (50, scrambled(20), NONE, None),
        (50, scrambled(21), NONE, Some(Encryption)),
        // What is normal passes twice over, each kind for itself.
        (20_000, replaced(12_000), replaced(6000), None),
        (20_000, replaced(12_001), replaced(6000), Some(Replacements)),
        (20_000, removed(12_000), replaced(6000), Some(Removals)),
        (20_000, scrambled(200), scrambled(100), None),
        // The gravest is told.
        (20_000, Changes { removed: 15_000, replaced: 15_000, scrambled: 500 }, NONE, Some(Encryption)),
    ];
    for (files, changes, normal, wanted) in table {
        let census = Census { files: *files, changes: *changes, normal: *normal };
        let verdict = vet(&census, &Limits::default()).err().map(|breach| breach.cause);
        assert_eq!(verdict, *wanted, "{census:?}");
    }
}

#[test]
fn the_message_says_what_and_how_many() {
    let told = |files, changes| {
        let census = Census { files, changes, normal: NONE };
        vet(&census, &Limits::default()).expect_err("too many").to_string()
    };
    assert_eq!(
        told(2000, removed(1500)),
        "removing 1500 of the 2000 files on this target looks like an accident (up to 1000 within two hours pass); nothing \
         more is changed there"
    );
    assert_eq!(
        told(6000, replaced(5500)),
        "replacing 5500 of the 6000 files on this target looks like an accident (up to 5000 within two hours pass); \
         nothing more is changed there"
    );
    assert_eq!(
        told(6000, scrambled(101)),
        "101 files were overwritten with what looks encrypted, the way ransomware does it (up to 100 within two hours \
         pass); nothing more is changed there"
    );
}

#[test]
fn a_halt_is_over_once_its_cause_is_gone_and_not_before_it_is_known() {
    assert!(!is_over(&Waiting { changes: removed(40), unread: 0 }, 40, &Limits::default()), "all of it is gone");
    let over = |changes, unread| is_over(&Waiting { changes, unread }, 20_000, &Limits::default());
    assert!(over(NONE, 0));
    assert!(over(Changes { removed: 3, replaced: 5, scrambled: 0 }, 0));
    assert!(!over(NONE, 1), "what is not read yet may be anything");
    assert!(!over(scrambled(1), 0));
    assert!(!over(removed(5001), 0));
    assert!(!over(replaced(5001), 0));
}
