//! Files that are being written: when they are published, and what of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::office::{Dice, Office};

#[test]
fn a_file_that_keeps_growing_is_published_as_exact_prefixes() {
    let office = Office::configured("settle = \"200ms\"\npatience = \"2s\"", "");
    let _agent = office.start();
    office.wait_safe();
    let path = office.share("capture.log");
    let writer = std::thread::spawn(move || grow(&path, Duration::from_secs(8)));
    let mut seen: Vec<Vec<u8>> = Vec::new();
    while !writer.is_finished() {
        if let Ok(bytes) = fs::read(office.target("capture.log"))
            && seen.last() != Some(&bytes)
        {
            seen.push(bytes);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let whole = writer.join().unwrap();
    assert!(!seen.is_empty(), "it is not starved: something is published while it grows");
    for (i, bytes) in seen.iter().enumerate() {
        assert!(whole.starts_with(bytes), "version {i} of {} bytes is no prefix", bytes.len());
    }
    office.wait_same();
    assert!(office.history("capture.log").iter().all(|bytes| whole.starts_with(bytes)));
}

/// Appends without a pause that a settle time would notice. Returns what was written.
fn grow(path: &std::path::Path, span: Duration) -> Vec<u8> {
    let (mut file, begun) = (File::create(path).unwrap(), Instant::now());
    let (mut dice, mut whole) = (Dice::new(3), Vec::new());
    while begun.elapsed() < span {
        let part = dice.bytes(5000);
        file.write_all(&part).unwrap();
        whole.extend(part);
        std::thread::sleep(Duration::from_millis(50));
    }
    whole
}

#[test]
fn a_file_that_someone_writes_to_is_not_published_until_it_is_closed() {
    let office = Office::configured("settle = \"200ms\"\npatience = \"1h\"", "");
    let _agent = office.start();
    office.wait_safe();
    let mut open = File::create(office.share("open.docx")).unwrap();
    open.write_all(b"half of ").unwrap();
    for name in ["later", "later still"] {
        office.save(name, name);
        office.wait_until("a file that was closed later is there", || office.target(name).exists());
        assert!(!office.target("open.docx").exists(), "a file in the writer's hands is not published");
    }
    open.write_all(b"a sentence").unwrap();
    drop(open);
    office.wait_same();
    assert_eq!(fs::read(office.target("open.docx")).unwrap(), b"half of a sentence");
    assert_eq!(office.history("open.docx"), Vec::<Vec<u8>>::new(), "half of it never was a version");
}

#[test]
fn the_save_dance_of_word_is_one_replacement() {
    let office = Office::new();
    office.save("letters/offer.docx", b"the first version");
    let _agent = office.start();
    office.wait_same();
    let at = |name: &str| office.share("letters").join(name);
    office.save("letters/~$offer.docx", b"locked by someone");
    office.save("letters/~WRD0001.tmp", b"the second version");
    fs::rename(at("offer.docx"), at("~WRL0002.tmp")).unwrap();
    fs::rename(at("~WRD0001.tmp"), at("offer.docx")).unwrap();
    fs::remove_file(at("~WRL0002.tmp")).unwrap();
    fs::remove_file(at("~$offer.docx")).unwrap();
    office.wait_same();
    assert_eq!(fs::read(office.target("letters/offer.docx")).unwrap(), b"the second version");
    assert_eq!(office.history("letters/offer.docx"), [b"the first version"], "replaced once");
    let versions = crate::office::files_below(&office.target(".driftline/history"));
    assert_eq!(versions.len(), 1, "nothing else has a history: {versions:?}");
}

#[test]
fn a_file_deleted_and_saved_anew_at_once_is_one_replacement() {
    let office = Office::new();
    office.save("sheet.xlsx", b"the first version");
    let _agent = office.start();
    office.wait_same();
    fs::remove_file(office.share("sheet.xlsx")).unwrap();
    office.save("sheet.xlsx", b"the second version");
    office.wait_same();
    assert_eq!(office.history("sheet.xlsx"), [b"the first version"], "replaced once");
}

#[test]
fn no_reader_of_the_target_ever_misses_a_file_that_is_replaced() {
    let office = Office::configured("settle = \"50ms\"", "");
    let version = |round: u32| format!("version {round}").repeat(10_000);
    office.save("plan.txt", version(0));
    let _agent = office.start();
    office.wait_same();
    let (path, stop) = (office.target("plan.txt"), Arc::new(AtomicBool::new(false)));
    let until = stop.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !until.load(Ordering::Relaxed) {
            seen.insert(fs::read(&path).expect("some version is always there"));
        }
        seen
    });
    for round in 1..=10 {
        office.save("plan.txt", version(round));
        office.wait_same();
    }
    stop.store(true, Ordering::Relaxed);
    let whole: BTreeSet<_> = (0..=10).map(|round| version(round).into_bytes()).collect();
    let seen = reader.join().expect("the reader never fails");
    assert!(seen.len() > 1 && seen.is_subset(&whole), "only whole versions, and more than one: {}", seen.len());
}
