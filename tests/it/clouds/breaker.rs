//! The last line before a bucket: what looks like an accident or an attack sends it nothing more, and is taken back.

use std::process::Command;

use super::*;
use crate::office::{Dice, must};

/// Documents of the office (count).
const DOCUMENTS: u64 = 400;

fn name(i: u64) -> String {
    format!("dept {}/report {i}.docx", i % 20)
}

/// What every document begins with, as those of Word do, and its text.
fn written(i: u64) -> Vec<u8> {
    [b"PK\x03\x04", format!("the report of day {i}").as_bytes()].concat()
}

fn furnished(bucket: Bucket) -> Cloud {
    let cloud = Cloud::with(bucket, "");
    (0..DOCUMENTS).for_each(|i| cloud.office.save(name(i), written(i)));
    cloud.office.sync_well();
    cloud
}

/// A time between what was done before and what is done after, also for servers whose clocks know only seconds.
fn a_moment() -> String {
    let next_second = || {
        let second = || must(Command::new("date").arg("+%s")).out;
        let begun = second();
        while second() == begun {}
    };
    next_second();
    let said = must(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"])).out;
    next_second();
    said.trim().to_owned()
}

fn assert_halted(cloud: &Cloud, kind: &str) {
    let said = cloud.office.sync();
    assert_eq!(said.code, Some(1), "it halts: {said}");
    let status = cloud.status();
    assert_eq!((&status["state"], &status["halt"]["kind"]), (&"halted".into(), &kind.into()), "{status:#}");
}

fn assert_an_attack_halts_and_is_taken_back(bucket: Bucket) {
    let cloud = furnished(bucket);
    let when = a_moment();
    (0..200).for_each(|i| cloud.office.save(name(i), Dice::new(i + 1).bytes(1500)));
    cloud.proxy.forget();
    assert_halted(&cloud, "encryption");
    assert_eq!(cloud.proxy.count(is_put), 40, "a tenth of them passes, and is an earlier version from then on");
    let said = cloud.office.tell(&["restore", "--all", "--as-of", &when]);
    assert_eq!(said.code, Some(0), "{said}");
    (0..DOCUMENTS).for_each(|i| assert_eq!(fs::read(cloud.office.share(name(i))).unwrap(), written(i), "{i}"));
    cloud.office.sync_well();
    let wanted: BTreeMap<_, _> = (0..DOCUMENTS).map(|i| (name(i), written(i))).collect();
    assert!(cloud.objects() == wanted, "the bucket holds what it held before");
    assert_eq!(cloud.status()["state"], "ok", "the halt lifts by itself");
}

#[test]
fn an_attack_halts_a_bucket_after_a_tenth_and_one_command_takes_it_back() {
    assert_an_attack_halts_and_is_taken_back(Bucket::new(Make::SeaweedFs));
    assert_an_attack_halts_and_is_taken_back(Bucket::versioned(Make::SeaweedFs));
}

#[test]
fn a_share_that_was_emptied_takes_nothing_away_from_a_bucket() {
    let cloud = furnished(Bucket::new(Make::SeaweedFs));
    let before = cloud.objects();
    (0..20).for_each(|folder| fs::remove_dir_all(cloud.office.share(format!("dept {folder}"))).unwrap());
    cloud.proxy.forget();
    assert_halted(&cloud, "removals");
    assert_eq!(
        cloud.proxy.count(|request| matches!(request.kind(), Kind::Delete | Kind::Copy) && !is_ours(request)),
        0
    );
    assert_eq!(cloud.objects(), before);
}
