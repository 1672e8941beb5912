//! What is said of a bucket with what to do about it: that is done, and the trouble is gone.

mod ways;

use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;

use super::*;
use crate::office::{Said, hear, is_slow_run, must};

/// An office with a bucket, of which these lines are all that its configuration says beside the name.
fn office_with(lines: &str) -> Office {
    let office = Office::new().with_targets("", &target(lines));
    office.save("a.txt", "a");
    office
}

fn target(lines: &str) -> String {
    format!("[[share.target]]\nname = \"cloud\"\n{lines}\n")
}

fn place(bucket: &Bucket, endpoint: &str) -> String {
    format!("url = {:?}\nendpoint = {endpoint:?}\n", bucket.url(PREFIX))
}

/// The configuration with other lines.
fn rewrite(office: &Office, from: &str, to: &str) {
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

fn check(office: &Office, set: impl FnOnce(&mut Command)) -> Said {
    let mut command = office.command(&["check", "--json"]);
    set(&mut command);
    hear(&mut command)
}

/// What `check` finds of the bucket that begins so.
fn found(said: &Said, begins: &str) -> Option<Value> {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"));
    let places = report["places"].as_array().unwrap();
    let bucket = places.iter().find(|place| place["target"] == "cloud").unwrap_or_else(|| panic!("{said}"));
    let findings = bucket["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["message"].as_str().unwrap().starts_with(begins)).cloned()
}

fn hint(said: &Said, begins: &str) -> String {
    let finding = found(said, begins).unwrap_or_else(|| panic!("not {begins:?}: {said}"));
    finding["hint"].as_str().unwrap().to_owned()
}

#[test]
fn a_bucket_in_another_region_is_reached_with_the_line_that_the_hint_has() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let proxy = bucket.proxy();
    let elsewhere = |request: &Request| !request.header("authorization").unwrap_or_default().contains("/eu-west-1/");
    let answer = Answer::new(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-1");
    proxy.add(Rule::always(Fault::Refuse(answer), elsewhere));
    let office = office_with(&place(&bucket, &proxy.endpoint()));
    let said = check(&office, |_| {});
    let hint = hint(&said, "cannot reach it: the bucket lies in another region, eu-west-1");
    let line = hint.strip_prefix("set ").and_then(|rest| rest.strip_suffix(" for this target")).unwrap();
    rewrite(&office, "name = \"cloud\"\n", &format!("name = \"cloud\"\n{line}\n"));
    let said = check(&office, |_| {});
    assert_eq!(said.code, Some(0), "{said}");
    office.sync_well();
}

#[test]
fn a_bucket_that_is_missing_is_found_once_its_address_is_right() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let right = place(&bucket, &bucket.endpoint());
    let wrong = right.replace(bucket.name(), "nobodys-bucket");
    let office = office_with(&wrong);
    let said = check(&office, |_| {});
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(
        hint(&said, "cannot reach it: the bucket does not exist"),
        "make the bucket, or correct url in the configuration; driftline never makes one"
    );
    rewrite(&office, "nobodys-bucket", bucket.name());
    assert_eq!(check(&office, |_| {}).code, Some(0));
    office.sync_well();
}

#[test]
fn a_server_whose_name_nobody_knows_is_found_once_its_endpoint_is_right() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let wrong = "http://no-such-server.invalid:8333";
    let office = office_with(&place(&bucket, wrong));
    let said = check(&office, |_| {});
    assert_eq!(said.code, Some(1), "{said}");
    let hint = hint(&said, "cannot reach it: the server's name is not known");
    assert!(hint.starts_with("check endpoint and region in the configuration"), "{hint}");
    rewrite(&office, wrong, &bucket.endpoint());
    assert_eq!(check(&office, |_| {}).code, Some(0));
}

#[test]
fn credentials_that_are_wrong_missing_or_old_are_told_apart_and_the_right_ones_help() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let proxy = bucket.proxy();
    let is_old = |request: &Request| request.header("authorization").unwrap_or_default().contains("Credential=OLD/");
    proxy.add(Rule::always(Fault::Refuse(Answer::new(400, "ExpiredToken")), is_old));
    let office = office_with(&place(&bucket, &proxy.endpoint()));
    let id = |id: &'static str| move |command: &mut Command| _ = command.env("AWS_ACCESS_KEY_ID", id);
    let none = |command: &mut Command| {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true");
    };
    let secret = |command: &mut Command| _ = command.env("AWS_SECRET_ACCESS_KEY", "another");
    let there = "cannot reach it: the credentials are not valid there";
    let which = "check the profile, the environment or the role that the agent uses";
    for (said, message, wanted) in [
        (check(&office, id("NOBODY")), there, which),
        (check(&office, secret), there, which),
        (
            check(&office, id("OLD")),
            "cannot reach it: the credentials have expired",
            "renew them; with a role or credential_process this happens by itself",
        ),
        (
            check(&office, none),
            "cannot reach it: there are no credentials that work",
            "set a profile, a role or the environment's AWS_ keys for the agent; for the service see LoadCredential= in its \
             unit",
        ),
    ] {
        assert_eq!((said.code, hint(&said, message).as_str()), (Some(1), wanted), "{said}");
    }
    // A profile, and the environment's keys.
    let (id, secret) = ("driftline", "driftline-secret");
    let folder = office.path("home/.aws");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(folder.join("credentials"), text).unwrap();
    assert_eq!(check(&office, none).code, Some(0));
    assert_eq!(check(&office, |_| {}).code, Some(0));
    office.sync_well();
}

#[test]
fn what_check_finds_before_a_bucket_is_bound_is_tried_once_it_is() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let office = office_with(&place(&bucket, &bucket.endpoint()));
    let untried = "what its server can do is not tried before it is bound";
    assert_eq!(hint(&check(&office, |_| {}), untried), "run this again after 'driftline init'");
    let init = office.tell(&["init", "--no-service"]);
    assert_eq!(init.code, Some(0), "{init}");
    let said = check(&office, |_| {});
    assert!(found(&said, untried).is_none() && found(&said, "it can be written; ").is_some(), "{said}");
}

#[test]
fn what_may_not_be_asked_of_a_bucket_is_told_with_the_right_that_is_missing() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let proxy = bucket.proxy();
    let office = office_with(&place(&bucket, &proxy.endpoint()));
    let table = [
        ("versioning", "whether it keeps versions cannot be asked", "allow the agent's user s3:GetBucketVersioning"),
        (
            "lifecycle",
            "whether a rule of it ends stale uploads cannot be asked",
            "allow the agent's user s3:GetLifecycleConfiguration",
        ),
    ];
    for (question, begins, wanted) in table {
        let asks = move |request: &Request| request.query.split(['&', '=']).any(|word| word == question);
        proxy.add(Rule::always(Fault::Refuse(Answer::new(403, "AccessDenied")), asks));
        let said = check(&office, |_| {});
        assert_eq!(hint(&said, begins), wanted);
        office.sync_well();
        proxy.heal();
        assert!(found(&check(&office, |_| {}), begins).is_none());
    }
}

#[test]
fn a_budget_that_is_too_small_for_a_first_pass_is_raised() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let office = office_with(&(place(&bucket, &bucket.endpoint()) + "request_budget = \"2/day\"\n"));
    (0..9).for_each(|i| office.save(format!("{i}"), "one"));
    let small = "with a budget of 2/day a first pass takes ";
    assert_eq!(hint(&check(&office, |_| {}), small), "raise request_budget until the first pass is over");
    rewrite(&office, "2/day", "2000/day");
    let said = check(&office, |_| {});
    assert!(found(&said, "with a budget").is_none(), "{said}");
    office.sync_well();
}

#[test]
fn a_name_that_is_too_long_for_a_bucket_is_shortened() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let office = office_with(&place(&bucket, &bucket.endpoint()));
    let long = "d".repeat(250);
    office.save(format!("{long}/{long}/{long}/{long}/{long}"), "deep");
    let said = check(&office, |_| {});
    let wanted = "shorten the names of these files or of the folders around them";
    assert_eq!((said.code, hint(&said, "1 name is too long for a bucket").as_str()), (Some(1), wanted), "{said}");
    fs::rename(office.share(&long), office.share("d")).unwrap();
    assert_eq!(check(&office, |_| {}).code, Some(0));
}

/// Types a command that a finding has, as aws-cli takes it.
fn typed(said: &Said, begins: &str, aws: &OsStr) {
    let finding = found(said, begins).unwrap_or_else(|| panic!("not {begins:?}: {said}"));
    let line = finding["commands"][0].as_str().unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("\"$AWS\" {}", line.strip_prefix("aws ").unwrap()));
    must(Bucket::admit(&mut shell).env("AWS", aws));
}

#[test]
fn the_commands_that_check_has_for_a_bucket_are_typed_as_they_stand() {
    if !is_slow_run("the AWS command line") {
        return;
    }
    let aws = std::env::var_os("DRIFTLINE_AWS").unwrap_or_else(|| "aws".into());
    let bucket = Bucket::new(Make::SeaweedFs);
    let office = office_with(&place(&bucket, &bucket.endpoint()));
    let (versions, rules) = ("it keeps no versions: ", "no rule of it ends stale uploads");
    let said = check(&office, |_| {});
    typed(&said, versions, &aws);
    typed(&said, rules, &aws);
    let said = check(&office, |_| {});
    assert!(found(&said, versions).is_none() && found(&said, rules).is_none(), "{said}");
    assert!(found(&said, "it keeps versions: ").is_some() && found(&said, "a rule of it ends").is_some(), "{said}");
}
