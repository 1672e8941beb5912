//! What goes wrong between an agent and a bucket: nothing is lost, and nothing is sent twice that need not be.

use super::*;

#[test]
fn an_answer_that_is_lost_sends_nothing_twice() {
    let cloud = Cloud::new();
    for n in 0..10 {
        cloud.office.save(format!("{n}.txt"), format!("bytes {n}"));
    }
    cloud.proxy.add(Rule::always(Fault::LoseAnswer, is_put).times(10));
    cloud.office.sync_well();
    cloud.assert_same();
    for n in 0..10 {
        assert_eq!(cloud.puts_of(&format!("{n}.txt")), 1, "{n}");
    }
}

#[test]
fn lost_answers_to_copies_and_deletions_do_no_harm() {
    let cloud = Cloud::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        cloud.office.save(name, name);
    }
    cloud.office.sync_well();
    let such = |request: &Request| matches!(request.kind(), Kind::Copy | Kind::Delete);
    cloud.proxy.add(Rule::always(Fault::LoseAnswer, such).times(8));
    cloud.office.save("a.txt", "another a");
    fs::remove_file(cloud.office.share("b.txt")).unwrap();
    fs::rename(cloud.office.share("c.txt"), cloud.office.share("d.txt")).unwrap();
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!(cloud.history("a.txt"), [b"a.txt".to_vec()]);
    assert_eq!(cloud.history("b.txt"), [b"b.txt".to_vec()]);
}

#[test]
fn a_storm_of_refusals_passes() {
    let cloud = Cloud::new();
    for n in 0..30 {
        cloud.office.save(format!("{n}.txt"), format!("bytes {n}"));
    }
    cloud.proxy.add(Rule::always(Fault::slow_down(), is_put).times(40));
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.assert_same();
}

#[test]
fn a_server_that_fails_now_and_then_is_asked_again() {
    let cloud = Cloud::new();
    for n in 0..20 {
        cloud.office.save(format!("{n}.txt"), format!("bytes {n}"));
    }
    cloud.proxy.add(Rule::always(Fault::internal_error(), |request| !is_ours(request)).times(15));
    cloud.proxy.add(Rule::always(Fault::ResetRequest(3), is_put).sparing(15).times(5));
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    cloud.assert_same();
}

/// Whatever else it is asked it answers.
#[test]
fn a_single_pass_ends_where_a_bucket_makes_no_change_and_the_next_one_goes_on() {
    let is_card = |request: &Request| request.kind() == Kind::Put && request.key().contains("/.driftline/agents/");
    let refused = Fault::Refuse(Answer::new(412, "PreconditionFailed"));
    for rule in [Rule::always(Fault::LoseRequest, is_put), Rule::always(refused, is_card)] {
        let cloud = Cloud::new();
        cloud.office.save("a.txt", "first");
        cloud.proxy.add(rule);
        let said = cloud.office.sync();
        assert_eq!(said.code, Some(1), "{said}");
        assert!(cloud.status()["error"].is_object(), "{said}");
        assert_eq!(cloud.objects(), BTreeMap::new());
        cloud.proxy.heal();
        cloud.office.sync_well();
        cloud.assert_same();
    }
}

#[test]
fn a_change_that_is_delivered_twice_is_made_once() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    cloud.proxy.add(Rule::always(Fault::Twice, is_put));
    cloud.office.save("a.txt", "second one");
    cloud.office.save("b.txt", "new");
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!(cloud.history("a.txt"), [b"first".to_vec()]);
}

#[test]
fn an_upload_goes_on_where_a_killed_agent_left_it() {
    let cloud = Cloud::new();
    let bytes: Vec<u8> = (0..10_000_000_u32).flat_map(u32::to_le_bytes).collect();
    cloud.office.save("large.bin", &bytes);
    let such = |request: &Request| request.kind() == Kind::Part && !is_ours(request);
    cloud.proxy.add(Rule::always(Fault::StallRequest(1000), such).sparing(2));
    let mut agent = cloud.office.start();
    cloud.office.wait_until("two parts are there", || {
        cloud.proxy.count(|request| such(request) && request.status == Some(200)) == 2
    });
    agent.kill();
    cloud.proxy.heal();
    cloud.proxy.forget();
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!(cloud.count(Kind::BeginUpload), 0);
    assert_eq!(cloud.count(Kind::ListParts), 1);
    assert_eq!(cloud.proxy.count(such), 3, "of five parts two were there");
    assert_eq!(cloud.outsider().uploads(PREFIX), []);
}

#[test]
fn an_upload_of_a_file_that_changed_since_is_given_up_and_those_of_others_are_not() {
    let cloud = Cloud::new();
    let theirs = cloud.outsider().begin_upload(&format!("{PREFIX}/theirs.bin"));
    cloud.office.save("large.bin", vec![1; 20_000_000]);
    let such = |request: &Request| request.kind() == Kind::Part && !is_ours(request);
    cloud.proxy.add(Rule::always(Fault::StallRequest(1000), such).sparing(1));
    let mut agent = cloud.office.start();
    cloud.office.wait_until("one part is there", || {
        cloud.proxy.count(|request| such(request) && request.status == Some(200)) == 1
    });
    agent.kill();
    cloud.proxy.heal();
    cloud.office.save("large.bin", vec![2; 20_000_000]);
    cloud.office.sync_well();
    cloud.assert_same();
    assert_eq!(cloud.outsider().uploads(PREFIX), [(format!("{PREFIX}/theirs.bin"), theirs)]);
}

#[test]
fn a_large_file_that_grows_all_the_time_is_sent_as_one_of_its_versions() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "");
    let block: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    cloud.office.save("log.bin", block.repeat(12));
    let (done, log) = (std::sync::atomic::AtomicBool::new(false), cloud.office.share("log.bin"));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            use std::io::Write as _;
            let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(&block[..20_000]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let _agent = cloud.office.start();
        cloud.office.wait_until("a version of it is there", || cloud.objects().contains_key("log.bin"));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        let sent = cloud.objects()["log.bin"].clone();
        assert!(fs::read(cloud.office.share("log.bin")).unwrap().starts_with(&sent));
        cloud.office.wait_until("all of it is there", || cloud.objects() == cloud.files());
    });
    cloud.assert_same();
}

#[test]
fn an_answer_to_the_end_of_an_upload_that_is_lost_sends_nothing_twice() {
    let cloud = Cloud::new();
    cloud.office.save("large.bin", vec![3; 20_000_000]);
    let such = |request: &Request| request.kind() == Kind::EndUpload && !is_ours(request);
    cloud.proxy.add(Rule::once(Fault::LoseAnswer, such));
    cloud.office.sync_well();
    cloud.assert_same();
    let parts = cloud.proxy.count(|request| request.kind() == Kind::Part && !is_ours(request));
    assert_eq!(parts, 3);
}

#[test]
fn a_listing_that_is_cut_short_removes_and_sends_nothing() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "audit = \"1s\"");
    for n in 0..10 {
        cloud.office.save(format!("f/{n}.txt"), format!("bytes {n}"));
    }
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    let before = cloud.objects();
    for fault in [Fault::half_an_answer(), Fault::wrong_token(), Fault::forgets(&format!("{PREFIX}/f/3.txt"))] {
        cloud.proxy.heal();
        cloud.proxy.forget();
        cloud.proxy.add(Rule::always(fault, |request| request.kind() == Kind::List));
        cloud.office.wait_until("it was listed so", || cloud.count(Kind::List) >= 3);
        assert_eq!(cloud.proxy.count(|request| is_put(request) || request.kind() == Kind::Delete), 0);
        assert_eq!(cloud.objects(), before);
    }
    cloud.proxy.heal();
    cloud.office.wait_safe();
    cloud.assert_same();
}

#[test]
fn each_trouble_has_its_own_message_and_hint() {
    let table = [
        (Fault::Refuse(Answer::new(403, "AccessDenied")), "access is denied", "s3:PutObject"),
        (Fault::Refuse(Answer::new(400, "ExpiredToken")), "the credentials have expired", "renew"),
        (Fault::Refuse(Answer::new(403, "InvalidAccessKeyId")), "the credentials are not valid there", "profile"),
        (Fault::Refuse(Answer::new(404, "NoSuchBucket")), "the bucket does not exist", "make the bucket"),
        (
            Fault::Refuse(Answer::new(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-1")),
            "the bucket lies in another region, eu-west-1",
            "set region = \"eu-west-1\"",
        ),
        (Fault::skewed("Mon, 01 Jan 2024 00:00:00 GMT"), " h ahead", "timedatectl"),
        (Fault::Refuse(Answer::new(507, "InsufficientStorage")), "the server has no room", "free space"),
    ];
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    for (fault, message, hint) in table {
        cloud.office.save("a.txt", message);
        cloud.proxy.add(Rule::always(fault, |_| true));
        let said = cloud.office.sync();
        assert_eq!(said.code, Some(1), "{said}");
        let error = cloud.status()["error"].clone();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        assert!(text("message").contains(message), "{message}: {error}");
        assert!(text("hint").contains(hint), "{hint}: {error}");
        let checked = cloud.office.tell(&["check"]);
        assert_eq!(checked.code, Some(1), "{checked}");
        assert!(checked.out.contains(message), "{checked}");
        cloud.proxy.heal();
    }
    cloud.office.sync_well();
    cloud.assert_same();
}

#[test]
fn nobodys_object_is_replaced_where_the_server_says_that_something_is_there_and_nothing_is_seen() {
    for (status, code) in [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")] {
        let cloud = Cloud::new();
        cloud.office.save("a.txt", "first");
        let is_it = |request: &Request| is_put(request) && request.key().ends_with("/a.txt");
        cloud.proxy.add(Rule::once(Fault::Refuse(Answer::new(status, code)), is_it));
        cloud.office.sync_well();
        cloud.assert_same();
        let puts: Vec<_> = cloud.proxy.requests().into_iter().filter(is_it).collect();
        assert_eq!(puts.len(), 2, "{puts:#?}");
        for put in &puts {
            assert_eq!(put.header("if-none-match"), Some("*"), "{put:#?}");
        }
    }
}

#[test]
fn slow_streams_in_both_directions_are_waited_for() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "adopt = \"read\"");
    cloud.office.save("up.bin", vec![1; 300_000]);
    cloud.office.save("down.bin", vec![2; 300_000]);
    // Nothing proves that it is the same: it is read back.
    cloud.outsider().put_in_parts(&format!("{PREFIX}/down.bin"), &[2; 300_000], &[]);
    cloud.proxy.add(Rule::always(Fault::SlowRequest(100_000), |request| request.key().ends_with("/up.bin")));
    let is_reading = |request: &Request| request.kind() == Kind::Get && request.key().ends_with("/down.bin");
    cloud.proxy.add(Rule::always(Fault::SlowAnswer(100_000), is_reading));
    cloud.office.sync_well();
    assert_eq!(cloud.objects(), cloud.files());
    assert_eq!((cloud.puts_of("up.bin"), cloud.puts_of("down.bin"), cloud.proxy.count(is_reading)), (1, 0, 1));
}

#[test]
fn another_bucket_of_the_same_name_is_offline_and_stays_as_it_is() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    for key in cloud.outsider().keys(PREFIX) {
        cloud.outsider().delete(&key);
    }
    cloud.office.save("b.txt", "new");
    let said = cloud.office.sync();
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(cloud.outsider().keys(PREFIX), Vec::<String>::new());
    assert!(cloud.status()["error"]["message"].as_str().unwrap().contains("bears no identity"));
}

#[test]
fn a_request_budget_rests_the_lane_and_says_so() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "request_budget = \"60/day\"");
    for n in 0..100 {
        cloud.office.save(format!("{n}.txt"), format!("bytes {n}"));
    }
    assert_eq!(cloud.office.sync().code, Some(1));
    assert_eq!(cloud.proxy.requests().len(), 60);
    let error = cloud.status()["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("the request budget of 60/day is used up"), "{error}");
    assert_eq!(cloud.office.sync().code, Some(1));
    assert_eq!(cloud.proxy.requests().len(), 60, "a new run counts on");
}
