//! A bucket in ordinary life.

use super::*;
use crate::office::is_slow_run;

#[test]
fn a_share_reaches_a_bucket_and_a_second_pass_sends_no_request() {
    let cloud = Cloud::new();
    for n in 0..40 {
        cloud.office.save(format!("f{}/g/{n} ü.txt", n % 5), format!("bytes {n}"));
    }
    cloud.office.save("empty.txt", "");
    fs::create_dir(cloud.office.share("empty folder")).unwrap();
    std::os::unix::fs::symlink("f1/g", cloud.office.share("link")).unwrap();
    cloud.office.sync_well();
    let objects = cloud.objects();
    assert_eq!(objects["link"], b"");
    assert_eq!(cloud.outsider().head(&format!("{PREFIX}/link")).unwrap().meta["symlink"], "f1/g");
    assert!(cloud.outsider().keys(PREFIX).contains(&format!("{PREFIX}/empty folder/")));
    fs::remove_file(cloud.office.share("link")).unwrap();
    cloud.office.sync_well();
    cloud.assert_same();

    cloud.proxy.forget();
    cloud.office.sync_well();
    assert_eq!(cloud.proxy.requests().len(), 0, "{:#?}", cloud.proxy.requests());
    let requests = cloud.status()["requests"].clone();
    assert!(requests["put"].as_u64().unwrap() >= 41, "{requests}");
}

#[test]
fn an_agent_keeps_a_bucket_current_and_asks_nothing_while_nothing_changes() {
    let cloud = Cloud::new();
    cloud.office.save("a/one.txt", "first");
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.office.save("a/one.txt", "second");
    cloud.office.save("a/two.txt", "new");
    cloud.office.wait_until("both are there", || cloud.objects() == cloud.files());
    fs::remove_file(cloud.office.share("a/two.txt")).unwrap();
    cloud.office.wait_until("it is gone", || cloud.objects() == cloud.files());
    cloud.office.wait_safe();
    cloud.assert_same();
    assert_eq!(cloud.history("a/one.txt"), [b"first".to_vec()]);
    assert_eq!(cloud.history("a/two.txt"), [b"new".to_vec()]);

    cloud.proxy.forget();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(cloud.proxy.requests().len(), 0, "{:#?}", cloud.proxy.requests());
}

#[test]
fn a_bucket_with_versions_keeps_them_itself() {
    let cloud = Cloud::with(Bucket::versioned(Make::SeaweedFs), "");
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    cloud.office.save("a.txt", "second one");
    cloud.office.sync_well();
    fs::remove_file(cloud.office.share("a.txt")).unwrap();
    cloud.office.sync_well();
    assert_eq!(cloud.objects(), BTreeMap::new());
    assert_eq!(cloud.count(Kind::Copy), 0);
    let versions = cloud.outsider().versions(&format!("{PREFIX}/a.txt"));
    let bytes_of = |id: String| cloud.outsider().get_whole(&format!("{PREFIX}/a.txt"), Some(id)).unwrap().1;
    let bytes: Vec<_> = versions.into_iter().map(|version| bytes_of(version.id)).collect();
    assert_eq!(bytes, [b"first".to_vec(), b"second one".to_vec()]);
}

#[test]
fn what_is_renamed_is_copied_on_the_server_and_not_sent_again() {
    let cloud = Cloud::new();
    for n in 0..12 {
        cloud.office.save(format!("old/deep/{n}.txt"), format!("bytes of {n}"));
    }
    cloud.office.save("alone.txt", "alone");
    cloud.office.sync_well();
    cloud.proxy.forget();
    fs::rename(cloud.office.share("old"), cloud.office.share("new")).unwrap();
    fs::rename(cloud.office.share("alone.txt"), cloud.office.share("new/together.txt")).unwrap();
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!(cloud.count(Kind::Copy), 13);
    let sent = cloud.proxy.count(|request| is_put(request) && !request.key().ends_with('/'));
    assert_eq!(sent, 0, "{:#?}", cloud.proxy.requests());
    assert!(!cloud.outsider().keys(PREFIX).iter().any(|key| key.contains("/old/") || key.contains("/history/")));
}

#[test]
fn a_folder_renamed_in_a_bucket_file_by_file_is_no_removal_that_halts() {
    if !is_slow_run("1,200 objects renamed") {
        return;
    }
    let cloud = Cloud::new();
    for n in 0..1200 {
        cloud.office.save(format!("old/{}/{n}.txt", n % 12), format!("bytes of {n}"));
    }
    cloud.office.sync_well();
    cloud.proxy.forget();
    fs::rename(cloud.office.share("old"), cloud.office.share("new")).unwrap();
    cloud.office.sync_well();
    assert_eq!(cloud.count(Kind::Copy), 1200);
    let left = cloud.outsider().keys(&format!("{PREFIX}/old/"));
    assert_eq!(left, Vec::<String>::new());
    // As many that are taken away in truth do halt.
    fs::remove_dir_all(cloud.office.share("new")).unwrap();
    let said = cloud.office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(cloud.office.status()["verdict"], "halted");
    assert_eq!(cloud.objects().len(), 1200);
}

#[test]
fn a_time_that_alone_changed_waits_and_a_mode_does_not() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "bytes");
    cloud.office.sync_well();
    cloud.proxy.forget();
    crate::office::set_mtime(&cloud.office.share("a.txt"), 1_500_000_000, 0);
    cloud.office.sync_well();
    assert_eq!(cloud.proxy.requests().len(), 0, "{:#?}", cloud.proxy.requests());
    crate::office::set_mode(&cloud.office.share("a.txt"), 0o640);
    cloud.office.sync_well();
    cloud.assert_same();
    let puts: Vec<_> = cloud.proxy.requests().into_iter().filter(|request| request.kind() == Kind::Put).collect();
    let of_files = puts.iter().filter(|put| !put.path.contains("/.driftline/agents/")).count();
    assert_eq!((cloud.count(Kind::Copy), of_files), (1, 0), "{puts:#?}");
}

#[test]
fn a_large_file_goes_in_parts_and_is_checked_as_a_whole() {
    let cloud = Cloud::new();
    let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    cloud.office.save("large.bin", &bytes);
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!((cloud.count(Kind::BeginUpload), cloud.count(Kind::Part)), (1, 3));
    let meta = cloud.outsider().head(&format!("{PREFIX}/large.bin")).unwrap().meta;
    assert_eq!(meta["blake3"], blake3_hex(&bytes));
    assert_eq!(cloud.outsider().uploads(PREFIX), []);
}

#[test]
fn a_folder_and_a_bucket_do_not_wait_for_each_other() {
    let cloud = Cloud::with_folder();
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.proxy.add(Rule::always(Fault::StallRequest(0), |_| true));
    cloud.office.save("a.txt", "bytes");
    cloud.office.wait_until("the folder has it", || cloud.office.target("a.txt").exists());
    let status = cloud.office.status();
    assert_ne!(status["verdict"], "safe");
    let waits = targets(&status).find(|target| target["kind"] == "s3").unwrap()["pending"].clone();
    assert_eq!(waits, 1);
    assert_eq!(cloud.objects(), BTreeMap::new());
}

/// How often as many bytes as this were read by a process, since it had read so many.
fn passes(pid: u32, since: u64, len: usize) -> f64 {
    (read_by(pid) - since) as f64 / len as f64
}

/// Bytes that a process has read from files.
fn read_by(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("the agent's own counters");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("bytes read");
    line.parse().expect("a number")
}

/// A large file, which is on the share at once.
fn save_large(cloud: &Cloud, name: &str, len: usize) {
    let draft = cloud.office.path("draft");
    let words = u32::try_from(len / 4).unwrap();
    fs::write(&draft, (0..words).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    fs::rename(draft, cloud.office.share(name)).unwrap();
}

const LARGE: usize = 96 << 20;

#[test]
fn a_large_file_for_a_folder_and_a_bucket_is_read_once_for_each() {
    let cloud = Cloud::with_folder();
    let agent = cloud.office.start();
    cloud.office.wait_safe();
    let before = read_by(agent.pid());
    save_large(&cloud, "large.bin", LARGE);
    cloud.office.wait_until("both have it", || {
        cloud.office.target("large.bin").exists() && cloud.outsider().head(&format!("{PREFIX}/large.bin")).is_some()
    });
    cloud.office.wait_safe();
    // The folder's copy is hashed while it is made, and what the bucket is sent while it is sent: none is read for its hash alone.
    let passes = passes(agent.pid(), before, LARGE);
    assert!((2.0..2.5).contains(&passes), "read {passes} times");
    assert_eq!(cloud.puts_of("large.bin"), LARGE.div_ceil(8 << 20));
}

#[test]
fn a_large_file_for_two_buckets_is_hashed_once_though_one_of_them_hangs() {
    let (cloud, second) = Cloud::with_second();
    let agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.proxy.add(Rule::always(Fault::StallRequest(0), |request| request.kind() == Kind::Part));
    let before = read_by(agent.pid());
    save_large(&cloud, "large.bin", LARGE);
    let key = format!("{PREFIX}/large.bin");
    cloud.office.wait_until("the second one has it", || second.outsider().head(&key).is_some());
    assert_eq!(cloud.outsider().head(&key), None);
    // Once for its hash, once for the second bucket, and for the first one as far as its parts have room in memory.
    let passes = passes(agent.pid(), before, LARGE);
    assert!((2.0..3.1).contains(&passes), "read {passes} times");
}

#[test]
fn a_large_file_that_a_folder_has_long_had_goes_to_a_new_bucket() {
    let mut cloud = Cloud::with_folder();
    let both = fs::read_to_string(cloud.office.path("driftline.toml")).unwrap();
    let folder = cloud.office.folder_target("");
    cloud.office = cloud.office.with_targets("settle = \"100ms\"", &folder);
    save_large(&cloud, "large.bin", 20 << 20);
    cloud.office.sync_well();
    fs::write(cloud.office.path("driftline.toml"), both).unwrap();
    cloud.office.sync_well();
    cloud.assert_same();
}

#[test]
fn no_secret_is_written_anywhere() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "bytes");
    let mut agent = cloud.office.start();
    cloud.office.wait_safe();
    let environ = fs::read_to_string(format!("/proc/{}/cmdline", agent.pid())).unwrap();
    agent.terminate(Duration::from_secs(20));
    let files = files_below(&cloud.office.path("state"));
    assert!(files.len() >= 2, "{files:?}");
    for bytes in files.iter().map(|file| fs::read(file).unwrap()).chain([agent.log().into_bytes(), environ.into()]) {
        assert!(!bytes.windows(16).any(|window| window == b"driftline-secret"));
    }
}

fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
