//! What an administrator can choose of a bucket, seen in the requests.

use std::time::Instant;

use super::*;
use crate::office::hear;

#[test]
fn tags_and_storage_class_go_with_every_object() {
    let lines = "storage_class = \"STANDARD_IA\"\ntags = { team = \"office 1\", kind = \"copy\" }";
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), lines);
    cloud.office.save("f/small.txt", "bytes");
    cloud.office.save("large.bin", vec![1; 20_000_000]);
    cloud.office.sync_well();
    let such = |request: &Request| matches!(request.kind(), Kind::Put | Kind::BeginUpload) && !is_ours(request);
    let made: Vec<_> = cloud.proxy.requests().into_iter().filter(such).collect();
    assert_eq!(made.len(), 3, "a file, a folder and an upload: {made:#?}");
    for request in made {
        assert_eq!(request.header("x-amz-storage-class"), Some("STANDARD_IA"), "{request:#?}");
        let mut tags: Vec<_> = request.header("x-amz-tagging").unwrap_or_default().split('&').collect();
        tags.sort_unstable();
        assert_eq!(tags, ["kind=copy", "team=office%201"], "{request:#?}");
    }
    cloud.assert_same();
}

#[test]
fn requests_say_who_sends_them_and_nothing_of_the_machine() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "bytes");
    cloud.office.sync_well();
    for request in cloud.proxy.requests() {
        assert_eq!(
            request.header("user-agent"),
            Some(concat!("driftline/", env!("CARGO_PKG_VERSION"))),
            "{request:#?}"
        );
        for name in ["x-amz-user-agent", "amz-sdk-invocation-id", "amz-sdk-request"] {
            assert_eq!(request.header(name), None, "{request:#?}");
        }
    }
}

#[test]
fn no_more_goes_out_than_the_rate_allows() {
    let cloud = Cloud::with(Bucket::new(Make::SeaweedFs), "rate_limit = \"8 Mbit/s\"");
    for n in 0..3 {
        cloud.office.save(format!("{n}.bin"), vec![n; 1_000_000]);
    }
    let begun = Instant::now();
    cloud.office.sync_well();
    // Each takes a second at that rate, and the last may go when those before it have had theirs.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    cloud.assert_same();
}

#[test]
fn the_service_takes_its_credentials_from_systemd() {
    let cloud = Cloud::new();
    cloud.office.save("a.txt", "bytes");
    let folder = cloud.office.path("credentials");
    fs::create_dir(&folder).unwrap();
    let command = || {
        let mut command = cloud.office.command(&["sync"]);
        let [id, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| {
            let value = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            value.expect("tests are let in by the environment").to_owned().into_string().unwrap()
        });
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("CREDENTIALS_DIRECTORY", &folder);
        (command, format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"))
    };
    let (mut without, file) = command();
    let said = hear(&mut without);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(cloud.status()["error"]["message"].as_str().unwrap().contains("no credentials"), "{}", cloud.status());
    fs::write(folder.join("aws"), file).unwrap();
    let said = hear(&mut command().0);
    assert_eq!(said.code, Some(0), "{said}");
    cloud.assert_same();
}

#[test]
fn a_folder_and_a_bucket_read_a_file_once_for_both() {
    let cloud = Cloud::with_folder();
    cloud.office.save("before.txt", "bytes");
    let agent = cloud.office.start();
    cloud.office.wait_safe();
    // Bytes that the agent has read from files so far, its index among them.
    let read = || {
        let text = fs::read_to_string(format!("/proc/{}/io", agent.pid())).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
        count.parse::<u64>().unwrap()
    };
    let (before, len) = (read(), 900_000);
    for n in 0..5 {
        cloud.office.save(format!("{n}.bin"), vec![n; len]);
    }
    cloud.office.wait_until("both have them", || {
        cloud.office.target("4.bin").exists() && cloud.objects().len() == cloud.files().len()
    });
    cloud.office.wait_safe();
    assert_eq!(cloud.objects(), cloud.files());
    let (once, all) = (5 * len as u64, read() - before);
    assert!((once..once * 3 / 2).contains(&all), "{all} bytes were read, for {once} that were saved");
}
