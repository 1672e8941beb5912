//! What the agent says of a bucket's objects, rights and room is done, and all arrives.

use std::process::Command;

use super::*;
use crate::buckets::Rule;
use crate::office::Mount;

fn problem(cloud: &Cloud, path: &str) -> String {
    let problem = cloud.office.problem(path).unwrap_or_else(|| panic!("none with {path}: {:#}", cloud.office.status()));
    problem["hint"].as_str().unwrap().to_owned()
}

/// What is said of the whole bucket, with what to do.
fn trouble(cloud: &Cloud) -> (String, String) {
    let error = cloud.status()["error"].clone();
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("no trouble: {error}")).to_owned();
    (text("message"), text("hint"))
}

/// One pass that does not end well.
fn stuck(cloud: &Cloud) {
    let said = cloud.office.sync();
    assert_eq!(said.code, Some(1), "{said}");
}

#[test]
fn a_user_without_the_rights_is_given_them() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    cloud.office.save("a.txt", "second");
    let reader = |command: &mut Command| {
        let (id, secret) = ("driftline-reader", "driftline-reader-secret");
        hear(command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret))
    };
    let said = reader(&mut cloud.office.command(&["sync"]));
    assert_eq!(said.code, Some(1), "{said}");
    let (message, hint) = trouble(&cloud);
    assert!(message.contains("access is denied"), "{message}");
    assert!(hint.starts_with("give the agent's user the rights that the admin's guide lists"), "{hint}");
    // By one who has them.
    cloud.office.sync_well();
    cloud.assert_same();
}

#[test]
fn objects_in_the_way_of_files_and_folders_are_moved_away() {
    let cloud = Cloud::new();
    cloud.office.save("first.txt", "first");
    cloud.office.sync_well();
    let key = |name: &str| format!("{PREFIX}/{name}");
    // A file where the share has a folder.
    cloud.outsider().put(&key("room"), b"theirs");
    cloud.office.save("room/plan.txt", "a plan");
    let _one = cloud.office.sync();
    let told = cloud.office.tell(&["problems"]);
    let drifted = "hint: remove or rename it there, or set drift = \"overwrite\" (theirs then goes to history)";
    assert!(told.out.contains("move that file away on the target") || told.out.contains(drifted), "{told}");
    cloud.outsider().delete(&key("room"));
    cloud.office.sync_well();
    cloud.assert_same();
    // A folder that is to go, and holds something of somebody else's.
    fs::create_dir(cloud.office.share("hall")).unwrap();
    cloud.office.sync_well();
    cloud.outsider().put(&key("hall/theirs.txt"), b"theirs");
    fs::remove_dir(cloud.office.share("hall")).unwrap();
    cloud.office.sync_well();
    assert!(cloud.outsider().head(&key("hall/theirs.txt")).is_some());
    cloud.outsider().delete(&key("hall/theirs.txt"));
    cloud.office.sync_well();
    cloud.assert_same();
}

/// SeaweedFS keeps no bytes in such an object.
#[test]
fn an_object_with_bytes_in_it_that_bears_a_folders_name_is_moved_away() {
    if !is_slow_run("moto") {
        return;
    }
    let cloud = Cloud::with(Bucket::new(Make::Moto), "");
    cloud.office.save("first.txt", "first");
    let _agent = cloud.office.start();
    cloud.office.wait_safe();
    // Nobody tells the agent of it: it finds it where it is to make the folder.
    let key = format!("{PREFIX}/room/");
    cloud.outsider().put(&key, b"theirs");
    cloud.office.save("room/plan.txt", "a plan");
    cloud.office.wait_until("it is told", || cloud.office.problem("room").is_some());
    assert_eq!(problem(&cloud, "room"), "move that object away on the target");
    assert_eq!(cloud.outsider().get(&key), Some(b"theirs".to_vec()));
    cloud.outsider().delete(&key);
    cloud.office.tell(&["sync"]);
    cloud.office.wait_safe();
    cloud.assert_same();
}

#[test]
fn paths_and_links_that_are_too_long_are_made_shorter() {
    let cloud = Cloud::new();
    let long = "d".repeat(250);
    let deep = format!("{long}/{long}/{long}/{long}");
    cloud.office.save(format!("{deep}/plan.txt"), "deep");
    std::os::unix::fs::symlink("x/".repeat(1_200), cloud.office.share("link")).unwrap();
    stuck(&cloud);
    assert_eq!(problem(&cloud, "link"), "make it point to a shorter path");
    let told = cloud.office.tell(&["problems"]);
    assert!(told.out.contains("hint: give it a shorter path on the share"), "{told}");
    fs::rename(cloud.office.share(&long), cloud.office.share("d")).unwrap();
    fs::remove_file(cloud.office.share("link")).unwrap();
    std::os::unix::fs::symlink("x", cloud.office.share("link")).unwrap();
    cloud.office.sync_well();
    assert!(cloud.outsider().head(&format!("{PREFIX}/d/{long}/{long}/{long}/plan.txt")).is_some());
}

#[test]
fn an_identity_that_is_damaged_is_had_back_and_one_of_another_share_is_left_to_it() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    let key = format!("{PREFIX}/.driftline/identity");
    let copy = cloud.outsider().get(&key).unwrap();
    cloud.outsider().put(&key, b"nonsense");
    cloud.office.save("a.txt", "second");
    stuck(&cloud);
    assert_eq!(trouble(&cloud).1, "restore the object .driftline/identity from an earlier version or a backup");
    cloud.outsider().put(&key, &copy);
    cloud.office.sync_well();
    cloud.assert_same();
    // Another share, to the same place and to one of its own.
    let other = |prefix: &str| {
        let (url, endpoint) = (cloud.bucket.url(prefix), cloud.bucket.endpoint());
        let target = format!("[[share.target]]\nname = \"cloud\"\nurl = {url:?}\nendpoint = {endpoint:?}\n");
        let office = Office::new().with_targets("", &target);
        let file = office.path("driftline.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace("name = \"papers\"", "name = \"letters\"")).unwrap();
        office.save("b.txt", "theirs");
        office
    };
    let office = other(PREFIX);
    assert_eq!(office.sync().code, Some(1));
    let told = office.tell(&["problems"]);
    assert!(told.out.contains("hint: give each share a bucket or a prefix of its own"), "{told}");
    other("letters").sync_well();
    cloud.assert_same();
}

#[test]
fn a_bucket_that_was_emptied_is_taken_again_by_the_command_that_its_hint_has() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    for key in cloud.outsider().keys(PREFIX) {
        cloud.outsider().delete(&key);
    }
    cloud.office.save("b.txt", "second");
    stuck(&cloud);
    let (_, hint) = trouble(&cloud);
    assert!(hint.starts_with("correct url and endpoint; if it was emptied on purpose, stop the agent, "), "{hint}");
    let said = cloud.office.tell(&["approve", "papers/cloud"]);
    assert_eq!(said.code, Some(0), "{said}");
    cloud.office.sync_well();
    cloud.assert_same();
    // Another one is in its place, and then the right one again.
    let other = Cloud::new();
    other.office.save("a.txt", "first");
    other.office.sync_well();
    let key = format!("{PREFIX}/.driftline/identity");
    let ours = cloud.outsider().get(&key).unwrap();
    let (mut one, two): (serde_json::Value, serde_json::Value) =
        (serde_json::from_slice(&ours).unwrap(), serde_json::from_slice(&other.outsider().get(&key).unwrap()).unwrap());
    one["target"] = two["target"].clone();
    cloud.outsider().put(&key, one.to_string().as_bytes());
    cloud.office.save("b.txt", "third");
    stuck(&cloud);
    let (message, hint) = trouble(&cloud);
    assert!(message.contains(" is another target "), "{message}");
    assert!(hint.starts_with("correct url and endpoint; or stop the agent, and take this one with "), "{hint}");
    let said = cloud.office.tell(&["approve", "papers/cloud"]);
    assert_eq!(said.code, Some(0), "{said}");
    cloud.office.sync_well();
}

#[test]
fn a_budget_that_is_used_up_is_raised_and_refusals_that_pass_need_nobody() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "request_budget = \"30/day\"");
    (0..60).for_each(|n| cloud.office.save(format!("{n}.txt"), format!("bytes {n}")));
    stuck(&cloud);
    assert_eq!(trouble(&cloud).1, "raise request_budget, or wait: it goes on by itself");
    rewrite(&cloud.office, "30/day", "3000/day");
    cloud.office.sync_well();
    cloud.assert_same();
}

#[test]
fn answers_of_servers_that_no_test_has_are_told_with_what_helps_and_it_goes_on_once_they_end() {
    let answer = |status, code| Fault::Refuse(Answer::new(status, code));
    let table = [
        (answer(507, "InsufficientStorage"), "free space on the server, or raise the quota"),
        (answer(507, ""), "free space on the server"),
        (
            answer(301, "PermanentRedirect"),
            "set region for this target to the bucket's own (aws s3api get-bucket-location)",
        ),
        (answer(429, "SlowDown"), "nothing: driftline goes more slowly by itself"),
        (
            answer(400, "BadDigest"),
            "driftline sends it again; if that goes on, look for a proxy on the way that changes what passes",
        ),
        (answer(500, "InternalError"), "see whether the line to the server is up; driftline tries again by itself"),
    ];
    let of_a_file = [
        (answer(400, "EntityTooLarge"), "split it, or leave it out with ignore"),
        (answer(400, "KeyTooLongError"), "give it a shorter name on the share"),
        (answer(400, "MetadataTooLarge"), "if it is a link, make it point to a shorter path"),
        (
            answer(403, "InvalidObjectState"),
            "restore it from the archive first (aws s3api restore-object), or set storage_class to one that can be read",
        ),
        (answer(501, "NotImplemented"), "see what `driftline check` says of it"),
        (answer(500, "InternalError"), "give it another name on the share, or see the server's own log"),
        (answer(400, "InvalidArgument"), "see what the server's own documentation says of this answer"),
    ];
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    cloud.office.sync_well();
    for (fault, wanted) in table {
        cloud.office.save("a.txt", wanted);
        cloud.proxy.add(Rule::always(fault, |_| true));
        stuck(&cloud);
        assert_eq!(trouble(&cloud).1, wanted);
        cloud.proxy.heal();
        cloud.office.sync_well();
        cloud.assert_same();
    }
    for (fault, wanted) in of_a_file {
        cloud.office.save("a.txt", wanted);
        cloud.proxy.add(Rule::always(fault, |request| is_put(request) && request.key().ends_with("/a.txt")));
        stuck(&cloud);
        assert_eq!(problem(&cloud, "a.txt"), wanted);
        // What is done about it is on the server's side here, but for a file that is left out or has another name.
        if wanted.starts_with("give it") {
            fs::rename(cloud.office.share("a.txt"), cloud.office.share("b.txt")).unwrap();
            cloud.office.sync_well();
            fs::rename(cloud.office.share("b.txt"), cloud.office.share("a.txt")).unwrap();
        }
        if wanted.starts_with("split it") {
            rewrite(&cloud.office, "name = \"papers\"\n", "name = \"papers\"\nignore = [\"/a.txt\"]\n");
            cloud.office.sync_well();
            rewrite(&cloud.office, "\nignore = [\"/a.txt\"]\n", "\n");
        }
        cloud.proxy.heal();
        cloud.office.sync_well();
        cloud.assert_same();
    }
}

#[test]
fn a_card_that_others_write_at_each_instant_is_tried_again_by_itself() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "first");
    let is_card = |request: &Request| request.kind() == Kind::Put && request.key().contains("/.driftline/agents/");
    cloud.proxy.add(Rule::always(Fault::Refuse(Answer::new(412, "PreconditionFailed")), is_card));
    let agent = cloud.office.start();
    cloud.office.wait_until("it is told", || !cloud.status()["error"].is_null());
    assert_eq!(trouble(&cloud).1, "driftline tries again by itself");
    cloud.proxy.heal();
    cloud.office.wait_until("all is safe", || cloud.office.status()["verdict"] == "safe");
    drop(agent);
    cloud.assert_same();
}

#[test]
fn an_upload_that_cannot_be_remembered_is_sent_once_there_is_room_for_that() {
    let cloud = Cloud::new();
    cloud.office.save("film.mp4", vec![1; 20 << 20]);
    cloud.office.sync_well();
    let buckets = fs::read_dir(cloud.office.path("state/buckets")).unwrap();
    let uploads = buckets.map(|folder| folder.unwrap().path().join("uploads")).find(|folder| folder.is_dir()).unwrap();
    let Some(_mount) = Mount::memory(&uploads, "64k") else { return };
    fs::write(uploads.join("filler"), vec![0; 1 << 20]).unwrap_err();
    cloud.office.save("film.mp4", vec![2; 20 << 20]);
    stuck(&cloud);
    assert_eq!(trouble(&cloud).1, "free space in the state folder, or let the agent's user write there");
    fs::remove_file(uploads.join("filler")).unwrap();
    cloud.office.sync_well();
    cloud.assert_same();
}
