//! Buckets that other programs filled, or use beside us.

use super::*;

fn share_of(cloud: &Cloud) {
    for n in 0..8 {
        cloud.office.save(format!("f/{n}.txt"), format!("the bytes of {n}"));
    }
}

#[test]
fn what_another_program_put_is_adopted_by_its_md5_without_sending_it_again() {
    let cloud = Cloud::new();
    share_of(&cloud);
    for (name, bytes) in cloud.files() {
        cloud.outsider().put(&format!("{PREFIX}/{name}"), &bytes);
    }
    cloud.office.sync_well();
    let sent = cloud.proxy.count(|request| is_put(request) && !request.key().ends_with('/'));
    assert_eq!(sent, 0, "{:#?}", cloud.proxy.requests());
    assert_eq!(cloud.objects(), cloud.files());
    cloud.office.save("f/3.txt", "changed since");
    cloud.office.sync_well();
    assert_eq!(cloud.objects(), cloud.files());
    assert_eq!(cloud.history("f/3.txt"), [b"the bytes of 3".to_vec()]);
}

#[test]
fn a_hash_that_rclone_stored_proves_a_file_of_several_parts() {
    let cloud = Cloud::new();
    cloud.office.save("a.bin", "abc");
    // As rclone does with uploads in parts: an ETag that is no MD5, and the MD5 in base64 beside it.
    cloud.outsider().put_in_parts(&format!("{PREFIX}/a.bin"), b"abc", &[("md5chksum", "kAFQmDzST7DWlj99KOF/cg==")]);
    cloud.office.sync_well();
    assert_eq!(cloud.puts_of("a.bin"), 0);
}

#[test]
fn what_nothing_proves_is_held_and_read_back_only_if_that_is_allowed() {
    for (adopt, code) in [("prove", 1), ("read", 0)] {
        let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), &format!("adopt = {adopt:?}"));
        cloud.office.save("a.bin", "abc");
        cloud.outsider().put_in_parts(&format!("{PREFIX}/a.bin"), b"abc", &[]);
        let said = cloud.office.sync();
        assert_eq!(said.code, Some(code), "{said}");
        assert_eq!(cloud.puts_of("a.bin"), 0);
        if code == 1 {
            let problem = cloud.office.problem("a.bin").expect("it is told");
            assert!(problem["hint"].as_str().unwrap().contains("adopt = \"read\""), "{problem}");
        }
    }
}

#[test]
fn what_is_not_ours_is_kept_counted_and_never_deleted() {
    let cloud = Cloud::new();
    share_of(&cloud);
    let theirs = ["f/theirs.txt", "other/x", "odd//key", "f/marker with a body/"];
    // Written as no name is that driftline writes; this server makes names of files of the two others.
    let strange = ["\u{201b}41", "f/\u{201b}zz"];
    for name in theirs.into_iter().chain(strange) {
        cloud.outsider().put(&format!("{PREFIX}/{name}"), b"theirs");
    }
    let before = cloud.outsider().keys(PREFIX);
    cloud.office.sync_well();
    fs::remove_dir_all(cloud.office.share("f")).unwrap();
    cloud.office.save("other/y", "ours");
    cloud.office.sync_well();
    let after = cloud.outsider().keys(PREFIX);
    assert!(before.iter().all(|key| after.contains(key)), "{after:?}");
    assert!(cloud.status()["foreign"].as_u64().unwrap() >= 3, "{}", cloud.status());
    for name in strange {
        let told = cloud.office.problem(&format!("{PREFIX}/{name}")).expect("it is named");
        assert_eq!((told["kind"].as_str(), told["target"].as_str()), (Some("note"), Some("cloud")), "{told}");
    }
    assert_eq!(cloud.office.tell(&["problems"]).code, Some(0), "notes are no problems");
}

#[test]
fn keys_that_no_file_can_have_are_counted_truly_however_many_there_are() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "ours");
    for n in 0..103 {
        cloud.outsider().put(&format!("{PREFIX}/odd/\u{201b}zz{n:03}"), b"theirs");
    }
    cloud.office.sync_well();
    assert_eq!(cloud.status()["foreign"], 103);
    let problems = cloud.office.tell(&["problems"]).out;
    assert_eq!(problems.matches("/odd/\u{201b}zz").count(), 100, "{problems}");
    assert!(problems.contains("and 3 more on the target"), "{problems}");
}

#[test]
fn what_someone_else_changed_is_kept_and_told() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "audit = \"1s\"");
    share_of(&cloud);
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.outsider().put(&format!("{PREFIX}/f/1.txt"), b"theirs");
    cloud.office.wait_until("it is told", || cloud.office.problem("f/1.txt").is_some());
    cloud.office.save("f/1.txt", "ours again");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(cloud.objects()["f/1.txt"], b"theirs");
}

#[test]
fn an_index_that_is_lost_is_made_again_from_the_bucket_without_sending_anything() {
    let cloud = Cloud::new();
    share_of(&cloud);
    cloud.office.save("large.bin", vec![7; 20_000_000]);
    cloud.office.sync_well();
    fs::remove_dir_all(cloud.office.path("state")).unwrap();
    cloud.proxy.forget();
    cloud.office.sync_well();
    let bytes = cloud.proxy.count(|request| is_put(request) || request.kind() == Kind::Part);
    assert_eq!(bytes, 0, "{:#?}", cloud.proxy.requests());
    cloud.assert_same();
}

#[test]
fn an_index_of_last_week_sends_a_bucket_nothing_that_is_there() {
    let cloud = Cloud::new();
    share_of(&cloud);
    cloud.office.sync_well();
    let kept: Vec<_> = cloud.office.index_files().into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    cloud.office.save("f/3.txt", "edited since");
    cloud.office.save("new.txt", "new since");
    fs::remove_file(cloud.office.share("f/5.txt")).unwrap();
    cloud.office.sync_well();
    cloud.office.index_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    kept.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap());
    cloud.proxy.forget();
    cloud.office.sync_well();
    let of_edited = cloud.puts_of("f/3.txt");
    assert_eq!(of_edited, 0, "{:#?}", cloud.proxy.requests());
    cloud.assert_same();
    assert_eq!(cloud.history("f/3.txt"), [b"the bytes of 3".to_vec()]);
    assert_eq!(cloud.history("f/5.txt"), [b"the bytes of 5".to_vec()]);
}
