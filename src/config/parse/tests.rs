use std::path::PathBuf;

use super::*;
use crate::config::{BUCKET_AUDIT, Period, Weekday};

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const MINIMAL: &str = "[[share]]\nname = \"s\"\npath = \"/s\"\n[[share.target]]\nname = \"t\"\npath = \"/t\"\n";

fn minimal() -> Config {
    Config::parse(MINIMAL).expect("the smallest file is fine")
}

fn folder(name: &str, path: &str) -> Target {
    Target::new(name, Place::Folder(path.into()))
}

#[test]
fn the_state_folder_is_found_in_a_file_that_is_wrong_elsewhere() {
    let dir = |text: &str| Config::state_dir_of(text).display().to_string();
    assert_eq!(dir("[agent]\nname = \"a\"\nstate_dir = \"/x/y\" # here\n[[share]\nnot = toml"), "/x/y");
    assert_eq!(dir("[agent]\nstate_dir = 7\n"), STATE_DIR);
    assert_eq!(dir("[[share]]\nstate_dir = \"/z\"\n"), STATE_DIR);
}

#[test]
fn what_is_not_written_has_its_default() {
    let agent = Agent { name: None, state_dir: STATE_DIR.into(), metrics: None, log: LogFormat::Text };
    let target = Target {
        name: "t".into(),
        place: Place::Folder("/t".into()),
        deletes: Deletes::Propagate,
        drift: Drift::Keep,
        history: Duration::from_secs(30 * 24 * 3600),
        history_versions: 1,
        audit: Some(Duration::from_secs(24 * 3600)),
        ownership: Ownership::Keep,
    };
    let share = Share {
        name: "s".into(),
        path: "/s".into(),
        id: None,
        ignore: vec![],
        settle: Duration::from_millis(500),
        patience: Duration::from_secs(30),
        rescan: Duration::from_secs(3600),
        targets: vec![target],
    };
    assert_eq!(minimal(), Config { agent, prices: Prices::default(), shares: vec![share] });
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [agent]
        name = "office-01"
        state_dir = "/var/state"
        metrics = "[::1]:9464"
        log = "json"
        [prices]
        currency = "EUR"
        put = 1
        get = 0.2
        list = 3.0
        queue = 0.5
        storage = 0.04
        [[share]]
        name = "s"
        path = "/s"
        ignore = ["*.bak"]
        settle = "1s"
        patience = "1min"
        rescan = "2h"
        [[share.target]]
        name = "a"
        path = "/a"
        deletes = "retain"
        drift = "overwrite"
        history = "90d"
        history_versions = 5
        audit = "never"
        ownership = "ignore"
        [[share.target]]
        name = "b"
        path = "/b"
        audit = "1h"
        [[share]]
        name = "s2"
        path = "/s2"
        target = [{ name = "a", path = "/a2" }]
    "#;
    let mut wanted = minimal();
    wanted.agent = Agent {
        name: Some("office-01".into()),
        state_dir: "/var/state".into(),
        metrics: Some("[::1]:9464".parse().expect("an address")),
        log: LogFormat::Json,
    };
    wanted.prices = Prices { currency: "EUR".into(), put: 1.0, get: 0.2, list: 3.0, queue: 0.5, storage: 0.04 };
    let mut second = wanted.shares[0].clone();
    let share = &mut wanted.shares[0];
    share.ignore = vec!["*.bak".into()];
    share.settle = Duration::from_secs(1);
    share.patience = Duration::from_secs(60);
    share.rescan = Duration::from_secs(7200);
    share.targets = vec![folder("a", "/a"), folder("b", "/b")];
    share.targets[0].deletes = Deletes::Retain;
    share.targets[0].drift = Drift::Overwrite;
    share.targets[0].history = Duration::from_secs(90 * 24 * 3600);
    share.targets[0].history_versions = 5;
    share.targets[0].audit = None;
    share.targets[0].ownership = Ownership::Ignore;
    share.targets[1].audit = Some(Duration::from_secs(3600));
    second.name = "s2".into();
    second.path = "/s2".into();
    second.targets = vec![folder("a", "/a2")];
    wanted.shares.push(second);
    assert_eq!(Config::parse(text), Ok(wanted));
}

/// The example with each commented default made a real line.
fn spelled_out() -> String {
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c == '_' || c.is_ascii_lowercase()))
    };
    let is_bare = |line: &&str| is_key(line) || line.starts_with("[[");
    let bare = |line: &'static str| line.strip_prefix("# ").filter(is_bare).unwrap_or(line);
    EXAMPLE.lines().map(bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_states_the_defaults_of_the_code() {
    let mut wanted = Config::parse(EXAMPLE).expect("the example is fine");
    let bucket = Bucket::at("s3://acme-files/projects").expect("an address");
    wanted.shares[0].targets.push(Target::new("cloud", Place::Bucket(Box::new(bucket))));
    let spelled = spelled_out();
    assert_eq!(Config::parse(&spelled), Ok(wanted));
    let count = spelled.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert_eq!(count, 31, "six names and places, and 25 defaults:\n{spelled}");
}

/// The example with its optional keys, which have no default, made real lines too.
#[test]
fn the_examples_of_optional_keys_can_be_used() {
    let text = spelled_out().replace("#   ", "");
    let config = Config::parse(&text).expect("fine");
    assert_eq!(config.agent.name.as_deref(), Some("office-01"));
    let wanted = Bucket {
        bucket: "acme-files".into(),
        prefix: "projects".into(),
        region: Some("eu-west-1".into()),
        endpoint: Some("https://s3.example.com".into()),
        path_style: true,
        profile: Some("backup".into()),
        storage_class: Some("STANDARD_IA".into()),
        sse: Some(Sse::Kms { key: Some("alias/backup".into()) }),
        tags: vec![("team".into(), "office".into())],
        rate_limit: Timetable::parse(["Mon-Fri 08:00-18:00 20 Mbit/s", "Sat,Sun 22:00-06:00 20 MB/s"]).expect("fine"),
        request_budget: Some(Budget { requests: 50_000, per: Period::Day }),
        adopt: Adopt::Prove,
        events: Queue::parse("sqs://eu-west-1/123456789012/driftline-projects").ok(),
    };
    assert_eq!(config.shares[0].targets[1].place, Place::Bucket(Box::new(wanted)));
}

#[test]
fn the_example_names_every_key() {
    for table in ["[agent]\n", "[prices]\n", "[[share]]\n", "[[share]]\n[[share.target]]\n"] {
        let error = toml::from_str::<RawFile>(&format!("{table}zzz = 1")).err().expect("zzz is no key");
        let (_, known) = unknown_key(error.message()).expect("a list of keys");
        assert!(known.len() >= 4, "{known:?}");
        for key in known {
            assert!(
                EXAMPLE.contains(&format!(" {key} = ")) || EXAMPLE.contains(&format!("\n{key} = ")) || key == "target",
                "{key}"
            );
        }
    }
}

#[test]
fn what_init_writes_is_the_example_with_other_places() {
    let example = Config::parse(EXAMPLE).expect("fine");
    assert_eq!(example.commented().as_deref(), Ok(EXAMPLE));
    let places = [PathBuf::from("/mnt/a"), PathBuf::from("/mnt/b")];
    for share in ["/srv/x", "/srv/with \"quotes\" and \\", "/srv/name = ", "/srv/new\nline", "/srv/Büro's"] {
        let config = Config::quick(&[share.into()], &places, "/var/state".into()).expect("fine");
        let text = config.commented().expect("UTF-8");
        assert_eq!(Config::parse(&text), Ok(config), "{text}");
    }
}

#[test]
fn what_init_writes_of_a_bucket_is_a_block_with_every_key() {
    for targets in [&["s3://acme/p"][..], &["/mnt/a", "s3://acme/\"p\"", "s3://other"]] {
        let places: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
        let mut config = Config::quick(&["/srv/x".into()], &places, "/var/state".into()).expect("fine");
        let text = config.commented().expect("UTF-8");
        assert_eq!(Config::parse(&text).as_ref(), Ok(&config), "{text}");
        assert!(text.contains("\n# audit = \"7d\"\n") && !text.contains("To have one"), "{text}");
        let last = config.shares[0].targets.last_mut().expect("one");
        let Place::Bucket(bucket) = &mut last.place else { panic!("a bucket") };
        bucket.region = Some("us-east-1".into());
        bucket.endpoint = Some("http://127.0.0.1:9000".into());
        bucket.profile = Some("office".into());
        bucket.path_style = true;
        assert_eq!(Config::parse(&config.commented().expect("UTF-8")), Ok(config));
    }
}

#[test]
fn a_path_that_no_file_can_hold_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let share = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff"));
    let config = Config::quick(&[share], &["/t".into()], "/state".into()).expect("fine without a file");
    let error = config.commented().expect_err("not UTF-8");
    assert!(error.message.starts_with("the path /srv/\u{fffd} is not UTF-8"), "{error}");
}

fn refused(text: &str) -> (String, String) {
    let error = Config::parse(text).expect_err(text);
    (error.to_string(), error.hint)
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    assert_eq!(
        refused("\n[[share]]\nname = \"s\"\nsettel = \"1s\""),
        ("line 4: unknown key \"settel\"".into(), "did you mean \"settle\"?".into())
    );
    assert_eq!(
        refused(&format!("{MINIMAL}\nhistorie = \"1d\"")),
        ("line 8: unknown key \"historie\"".into(), "did you mean \"history\"?".into())
    );
    assert_eq!(
        refused("[agent]\ncolour = 1"),
        ("line 2: unknown key \"colour\"".into(), "the keys here are name, state_dir, metrics, log".into())
    );
    assert_eq!(refused("[[shares]]"), ("line 1: unknown key \"shares\"".into(), "did you mean \"share\"?".into()));
}

#[test]
fn a_value_that_cannot_be_read_names_its_line() {
    let table = [
        ("audit = \"soon\"", "line 7: \"soon\" does not begin with a whole number; write for example \"30s\""),
        ("history = \"30 days\"", "line 7: \"30 days\" has no known unit; write one of ms, s, min, h, d"),
        ("history = 30", "line 7: invalid type: integer \"30\", expected a string"),
        ("drift = \"merge\"", "line 7: \"merge\" is not a choice here"),
        ("name = \"again\"", "line 7: duplicate key"),
        ("x = = 1", "line 7: extra \"=\", expected nothing"),
    ];
    for (line, message) in table {
        assert_eq!(refused(&format!("{MINIMAL}{line}")).0, message);
    }
    assert_eq!(refused(&format!("{MINIMAL}drift = \"merge\"")).1, "write \"keep\" or \"overwrite\" or \"take\"");
}

#[test]
fn two_ways_removals_are_followed_and_listings_are_needed() {
    let config = Config::parse(&format!("{MINIMAL}drift = \"take\"")).expect("two ways");
    assert_eq!(config.shares[0].targets[0].audit, Some(crate::config::TAKE_AUDIT), "people wait for what others do");
    let (message, hint) = refused(&format!("{MINIMAL}drift = \"take\"\ndeletes = \"retain\""));
    assert!(message.contains("would come back to the share"), "{message}");
    assert_eq!(hint, "leave out deletes; what is removed stays in history");
    let (message, hint) = refused(&format!("{MINIMAL}drift = \"take\"\naudit = \"never\""));
    assert!(message.starts_with("line 8") && message.contains("audit = \"never\""), "{message}");
    assert_eq!(hint, "write how often to look, such as audit = \"5min\"");
}

/// The smallest file with these lines in place of the target's path.
fn with_target(lines: &str) -> String {
    MINIMAL.replace("path = \"/t\"\n", lines)
}

fn bucket_of(lines: &str) -> Bucket {
    let config = Config::parse(&with_target(lines)).expect(lines);
    assert_eq!(config.shares[0].targets[0].audit, Some(BUCKET_AUDIT));
    config.shares[0].targets[0].place.bucket().expect("a bucket").clone()
}

#[test]
fn a_bucket_is_read_with_all_that_belongs_to_it() {
    let plain = Bucket { bucket: "acme".into(), prefix: "p/q".into(), ..Bucket::default() };
    assert_eq!(bucket_of("url = \"s3://acme/p/q/\"\n"), plain);
    let with = |line: &str| bucket_of(&format!("url = \"s3://acme/p/q\"\n{line}\n"));
    let endpoint = Some("http://nas:9000".to_owned());
    let table = [
        ("endpoint = \"http://nas:9000\"", Bucket { endpoint: endpoint.clone(), path_style: true, ..plain.clone() }),
        ("endpoint = \"http://nas:9000\"\npath_style = false", Bucket { endpoint, ..plain.clone() }),
        ("path_style = true", Bucket { path_style: true, ..plain.clone() }),
        ("sse = \"AES256\"", Bucket { sse: Some(Sse::S3), ..plain.clone() }),
        ("sse = \"aws:kms\"", Bucket { sse: Some(Sse::Kms { key: None }), ..plain.clone() }),
        (
            "events = \"http://nas:9324/1/news\"",
            Bucket { events: Queue::parse("http://nas:9324/1/news").ok(), ..plain.clone() },
        ),
        ("adopt = \"read\"", Bucket { adopt: Adopt::Read, ..plain.clone() }),
        (
            "request_budget = \"9/month\"",
            Bucket { request_budget: Some(Budget { requests: 9, per: Period::Month }), ..plain.clone() },
        ),
        (
            "tags = { b = \"2\", a = \"1\" }",
            Bucket { tags: vec![("a".into(), "1".into()), ("b".into(), "2".into())], ..plain.clone() },
        ),
    ];
    for (line, wanted) in table {
        assert_eq!(with(line), wanted, "{line}");
    }
    assert_eq!(with("rate_limit = \"1 MB/s\"").rate_limit.rate(Weekday::Monday, 0), Some(1_000_000));
    let two = with("rate_limit = [\"Mon 1 MB/s\",\n \"2 MB/s\"]").rate_limit;
    assert_eq!(two.rate(Weekday::Monday, 0), Some(1_000_000));
    assert_eq!(two.rate(Weekday::Tuesday, 0), Some(2_000_000));
}

#[test]
fn a_bucket_that_nobody_can_have_meant_is_refused() {
    let table = [
        (
            "url = \"ftp://acme\"\n",
            "line 6: target \"t\" of share \"s\" has the url \"ftp://acme\", which does not begin with \"s3://\"",
            "write it as s3://bucket/prefix; a folder is named by its path",
        ),
        (
            "path = \"/t\"\nurl = \"s3://acme\"\n",
            "line 7: target \"t\" of share \"s\" has both a path and a url",
            "keep the path for a folder, or the url for a bucket",
        ),
        (
            "",
            "line 4: target \"t\" of share \"s\" has neither a path nor a url",
            "add path = \"/the/folder\" or url = \"s3://bucket/prefix\" below its name",
        ),
        (
            "url = \"s3://acme\"\nkms_key = \"k\"\n",
            "line 7: target \"t\" of share \"s\" has a kms_key that nothing uses",
            "set sse = \"aws:kms\", or remove kms_key",
        ),
        (
            "url = \"s3://acme\"\nkms_key = \"k\"\nsse = \"AES256\"\n",
            "line 7: target \"t\" of share \"s\" has a kms_key that nothing uses",
            "set sse = \"aws:kms\", or remove kms_key",
        ),
        (
            "url = \"s3://acme\"\nevents = \"arn:aws:sqs:eu-west-1:1:news\"\n",
            "line 7: events \"arn:aws:sqs:eu-west-1:1:news\" of target \"t\" of share \"s\" is an ARN, not the address of a queue",
            "write it as \"sqs://eu-west-1/1/news\"",
        ),
        (
            "url = \"s3://acme\"\nevents = \"sqs://eu-west-1/1/news.fifo\"\n",
            "line 7: events \"sqs://eu-west-1/1/news.fifo\" of target \"t\" of share \"s\" is a FIFO queue",
            "make a standard queue: S3 sends its events to no queue whose name ends with .fifo",
        ),
        (
            "url = \"s3://acme\"\nsse = \"kms\"\n",
            "line 7: \"kms\" is not a choice here",
            "write \"AES256\" or \"aws:kms\"",
        ),
    ];
    for (lines, message, hint) in table {
        assert_eq!(refused(&with_target(lines)), (message.into(), hint.into()));
    }
    let table = [
        ("rate_limit = 5", "line 7: invalid type: integer \"5\", expected a string or a list of strings"),
        ("rate_limit = \"5\"", "line 7: \"5\" has no known unit; write one of kbit/s, Mbit/s,"),
        ("rate_limit = [\"1 MB/s\", \"Mo 1 MB/s\"]", "line 7: \"Mo\" is no day; write Mon, Tue,"),
        ("request_budget = \"5/week\"", "line 7: \"5/week\" is no number of requests in a day or a month"),
        ("tags = [\"a\"]", "line 7: invalid type: sequence, expected a map"),
    ];
    for (line, message) in table {
        let told = refused(&with_target(&format!("url = \"s3://acme\"\n{line}\n"))).0;
        assert!(told.starts_with(message), "{told}");
    }
}

#[test]
fn a_folder_has_none_of_a_buckets_keys() {
    let keys = [
        "region = \"x\"",
        "endpoint = \"http://x\"",
        "path_style = true",
        "profile = \"x\"",
        "storage_class = \"X\"",
        "sse = \"AES256\"",
        "kms_key = \"x\"",
        "tags = {}",
        "rate_limit = \"1 MB/s\"",
        "request_budget = \"1/day\"",
        "adopt = \"read\"",
        "events = \"sqs://x/1/n\"",
    ];
    for line in keys {
        let key = line.split(' ').next().expect("a word");
        let message = format!("line 7: target \"t\" of share \"s\" is a folder and has the key {key:?} of a bucket");
        assert_eq!(refused(&format!("{MINIMAL}{line}")), (message, format!("remove {key}")));
    }
}
