//! Tests that lower a limit of the whole machine, and so run alone.

use std::fs;
use std::time::Duration;

use crate::office::{Limit, Machine, Office};

/// How long a burst of 50,000 files may take on the slowest machine.
const LONG: Duration = Duration::from_secs(300);

/// Lowers a limit, or says why the test cannot run as it should.
#[expect(clippy::print_stderr, reason = "a limit that stays as it is has to be said")]
fn lowered(office: &Office, name: &str, value: u64) -> Option<Limit> {
    match Limit::lower(office.machine(), name, value) {
        Ok(limit) => Some(limit),
        Err(error) => {
            eprintln!("cannot lower fs.inotify.{name}: {error}");
            None
        }
    }
}

#[test]
fn a_burst_that_overflows_the_event_queue_loses_nothing() {
    let office = Office::on(Machine::alone());
    let _limit = lowered(&office, "max_queued_events", 64);
    let _agent = office.start();
    office.wait_safe();
    for i in 0..50_000 {
        let folder = office.share(format!("a{}/b{}/c{}", i % 10, i / 10 % 10, i / 100 % 5));
        if i < 5_000 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("{i}")), i.to_string()).unwrap();
    }
    office.wait_same_within(LONG);
    (0..100).for_each(|i| fs::remove_file(office.share(format!("a{}/b{}/c0/{i}", i % 10, i / 10 % 10))).unwrap());
    office.wait_same_within(LONG);
}

#[test]
fn what_a_watch_limit_leaves_uncovered_is_said_and_found_all_the_same() {
    let office = Office::on(Machine::alone()).with_config("rescan = \"3s\"", "");
    let Some(_limit) = lowered(&office, "max_user_watches", 128) else { return };
    let name = |i: usize| format!("folder {i:03}/file");
    (0..300).for_each(|i| office.save(name(i), "first"));
    let _agent = office.start();
    office.wait_same();
    let coverage = office.status()["shares"][0]["watch"]["coverage"].as_f64();
    assert!(
        coverage.is_some_and(|part| part > 0.0 && part < 1.0),
        "coverage {coverage:?} of 300 folders by 128 watches"
    );
    (0..300).for_each(|i| office.save(name(i), "the second"));
    fs::remove_file(office.share(name(0))).unwrap();
    fs::remove_file(office.share(name(299))).unwrap();
    office.save("folder 150/new/inner", b"new");
    office.wait_same();
}
