//! What other programs find in a bucket.

use super::*;
use crate::buckets::Make;
use crate::office::{Said, is_slow_run, must, set_mtime};

/// As rclone reaches it, from and to outside of what is driftline's own.
fn rclone(cloud: &Cloud, words: &[&str]) -> Said {
    let mut command = std::process::Command::new("rclone");
    command.args(["--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth", "--s3-no-check-bucket"]);
    command.args(["--s3-endpoint", &cloud.bucket.endpoint(), "--exclude", "/.driftline/**"]).args(words);
    must(Bucket::admit(&mut command).env("HOME", cloud.office.path("home")))
}

/// Files with times of all sorts, to the nanosecond.
fn save_many(cloud: &Cloud, count: u32) {
    for n in 0..count {
        let name = format!("f{}/g{}/{n} \u{fc}%20+.bin", n % 7, n % 40);
        let bytes: Vec<u8> = (0..n * 7919 % 6000).map(|at| (at * 31 + n).to_le_bytes()[0]).collect();
        cloud.office.save(&name, bytes);
        let (seconds, nanos) = (1_300_000_000 + i64::from(n) * 104_729, n.wrapping_mul(123_456_791) % 1_000_000_000);
        set_mtime(&cloud.office.share(&name), seconds, nanos);
    }
}

#[test]
fn rclone_finds_in_a_bucket_what_the_share_holds_with_its_times() {
    if !is_slow_run("rclone with 2,000 files on both servers") {
        return;
    }
    for make in [Make::SeaweedFs, Make::Moto] {
        let cloud = Cloud::with(Bucket::new(make), "");
        save_many(&cloud, 2000);
        // In parts; moto's answer to the end of an upload of this size cannot be understood.
        let large = u32::from(make == Make::SeaweedFs);
        if large > 0 {
            cloud.office.save("large.bin", vec![3; 20_000_000]);
            set_mtime(&cloud.office.share("large.bin"), 1_500_000_000, 1);
        }
        cloud.office.sync_well();
        let there = format!(":s3:{}/{PREFIX}", cloud.bucket.name());
        let share = cloud.office.path("share").to_string_lossy().into_owned();
        // Once by the hashes that the server tells, and once by reading all of it back.
        for words in [&["check", &share, &there][..], &["check", "--download", &share, &there]] {
            let checked = rclone(&cloud, words);
            assert!(checked.err.contains("0 differences found"), "{make:?}: {checked}");
            assert!(checked.err.contains(&format!("{} matching files", 2000 + large)), "{make:?}: {checked}");
        }
        let listed = |place: &str| {
            let said = rclone(&cloud, &["lsl", place]);
            let mut lines: Vec<_> = said.out.lines().map(|line| line.trim().to_owned()).collect();
            lines.sort();
            lines
        };
        let (on_share, in_bucket) = (listed(&share), listed(&there));
        assert_eq!(on_share.len(), 2000 + large as usize);
        let unlike: Vec<_> = on_share.iter().zip(&in_bucket).filter(|(one, other)| one != other).take(5).collect();
        assert!(on_share == in_bucket, "{make:?}: {} and {}: {unlike:#?}", on_share.len(), in_bucket.len());
    }
}
