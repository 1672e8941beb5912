//! Each hint about a line of the configuration is followed, and the line is taken then.

use driftline::config::Config;

const FILE: &str = "\
[agent]
name = \"office\"
state_dir = \"/state\"
[[share]]
name = \"a\"
path = \"/srv/a\"
settle = \"1s\"
patience = \"30s\"
[[share.target]]
name = \"t\"
path = \"/mnt/t\"
history = \"1d\"
audit = \"1h\"
[[share.target]]
name = \"u\"
url = \"s3://acme/u\"
[[share]]
name = \"b\"
path = \"/srv/b\"
[[share.target]]
name = \"t\"
path = \"/mnt/b\"
";

/// What stands there, what is written instead, what is said to do, and what that is here.
const NAMED: &[(&str, &str, &str, &str)] = &[
    (
        "name = \"office\"",
        "name = \"my office\"",
        "use 1 to 64 of the characters A-Z a-z 0-9 . _ -",
        "name = \"my-office\"",
    ),
    (
        "url = \"s3://acme/u\"",
        "url = \"s3://acme/u\"\nevents = \"sqs://r/1/n\"\n[[share.target]]\nname = \"v\"\nurl = \"s3://acme/v\"\nevents = \"sqs://r/1/n\"",
        "give each target a queue of its own; an SNS topic between sends the events to all of them",
        "url = \"s3://acme/u\"\nevents = \"sqs://r/1/n\"\n[[share.target]]\nname = \"v\"\nurl = \"s3://acme/v\"\nevents = \"sqs://r/1/m\"",
    ),
    (
        "url = \"s3://acme/u\"",
        "url = \"s3://acme/u\"\nevents = \"arn:aws:sqs:r:1:n\"",
        "write it as \"sqs://r/1/n\"",
        "url = \"s3://acme/u\"\nevents = \"sqs://r/1/n\"",
    ),
    ("name = \"b\"", "name = \"a\"", "give each share a name of its own", "name = \"b\""),
    ("name = \"u\"", "name = \"t\"", "give each target of a share a name of its own", "name = \"u\""),
    ("settle = \"1s\"", "settle = \"0s\"", "write a span such as \"500ms\" or \"1h\"", "settle = \"500ms\""),
    (
        "history = \"1d\"",
        "history = \"0d\"",
        "write how long old versions must stay recoverable, such as \"30d\"",
        "history = \"30d\"",
    ),
    ("audit = \"1h\"", "audit = \"0s\"", "write a span such as \"24h\", or \"never\"", "audit = \"24h\""),
    ("audit = \"1h\"", "audit = \"0s\"", "write a span such as \"24h\", or \"never\"", "audit = \"never\""),
    ("patience = \"30s\"", "patience = \"900ms\"", "make patience at least as long as settle", "patience = \"1s\""),
    ("\"/srv/a\"", "\"srv/a\"", "write it from the root, beginning with /", "\"/srv/a\""),
    ("\"/mnt/t\"", "\"/mnt/../t\"", "write it without .., so that it is plain which folder is meant", "\"/t\""),
    ("\"/srv/b\"", "\"/srv/a/b\"", "keep the outer share only, or share two folders beside each other", "\"/srv/b\""),
    (
        "\"/mnt/b\"",
        "\"/mnt/t\"",
        "give each target a folder of its own: two copies in one place undo each other",
        "\"/mnt/b\"",
    ),
    (
        "\"/mnt/t\"",
        "\"/state/t\"",
        "set state_dir (or --state-dir) to a folder apart from all shares and targets",
        "\"/mnt/t\"",
    ),
    (
        "\"/mnt/t\"",
        "\"/srv/a/t\"",
        "choose a target outside the share: the copy would be copied again, without end",
        "\"/mnt/t\"",
    ),
    (
        "\"/srv/b\"",
        "\"/mnt/t/b\"",
        "choose a target that does not hold the share: staff's files would be taken for copies",
        "\"/srv/b\"",
    ),
];

/// The same of lines that are added.
const ADDED: &[(&str, &str, &str, &str)] = &[
    (
        "state_dir = \"/state\"\n",
        "metrics = \"0.0.0.0:9464\"",
        "write an address of this machine with a port, such as \"127.0.0.1:9464\"",
        "metrics = \"127.0.0.1:9464\"",
    ),
    (
        "state_dir = \"/state\"\n",
        "metrics = \"9464\"",
        "write an address of this machine with a port, such as \"127.0.0.1:9464\"",
        "metrics = \"127.0.0.1:9464\"",
    ),
    ("state_dir = \"/state\"\n", "log = \"yaml\"", "write \"text\" or \"json\"", "log = \"json\""),
    (
        "state_dir = \"/state\"\n",
        "metric = \"127.0.0.1:9464\"",
        "did you mean \"metrics\"?",
        "metrics = \"127.0.0.1:9464\"",
    ),
    (
        "state_dir = \"/state\"\n",
        "[prices]\nput = -1.0",
        "write a number such as 0.005, or 0 where nothing is charged",
        "[prices]\nput = 0.005",
    ),
    (
        "state_dir = \"/state\"\n",
        "[prices]\nput = -1.0",
        "write a number such as 0.005, or 0 where nothing is charged",
        "[prices]\nput = 0.0",
    ),
    (
        "state_dir = \"/state\"\n",
        "[prices]\ncurrency = \"\"",
        "write its short name, such as \"USD\"",
        "[prices]\ncurrency = \"USD\"",
    ),
    (
        "path = \"/mnt/t\"\n",
        "drift = \"take\"\ndeletes = \"retain\"",
        "leave out deletes; what is removed stays in history",
        "drift = \"take\"",
    ),
    (
        "path = \"/mnt/b\"\n",
        "drift = \"take\"\naudit = \"never\"",
        "write how often to look, such as audit = \"5min\"",
        "drift = \"take\"\naudit = \"5min\"",
    ),
    ("path = \"/mnt/t\"\n", "url = \"s3://acme/t\"", "keep the path for a folder, or the url for a bucket", ""),
    ("path = \"/mnt/t\"\n", "region = \"eu-west-1\"", "remove region", ""),
    (
        "url = \"s3://acme/u\"\n",
        "kms_key = \"alias/mine\"",
        "set sse = \"aws:kms\", or remove kms_key",
        "sse = \"aws:kms\"\nkms_key = \"alias/mine\"",
    ),
    ("url = \"s3://acme/u\"\n", "kms_key = \"alias/mine\"", "set sse = \"aws:kms\", or remove kms_key", ""),
    (
        "url = \"s3://acme/u\"\n",
        "region = \"eu west\"",
        "write it as AWS names it, or remove region",
        "region = \"eu-west-1\"",
    ),
    ("url = \"s3://acme/u\"\n", "region = \"eu west\"", "write it as AWS names it, or remove region", ""),
    (
        "url = \"s3://acme/u\"\n",
        "endpoint = \"s3.example.com\"",
        "write it such as \"https://s3.example.com\"",
        "endpoint = \"https://s3.example.com\"",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "endpoint = \"https://\"",
        "write it such as \"https://s3.example.com\"",
        "endpoint = \"https://s3.example.com\"",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "endpoint = \"https://me:secret@s3.example.com\"",
        "they come from the AWS default chain: AWS_PROFILE, or a role",
        "endpoint = \"https://s3.example.com\"",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "storage_class = \"cold\"",
        "write it as S3 does, such as \"STANDARD\", \"STANDARD_IA\" or \"INTELLIGENT_TIERING\"",
        "storage_class = \"INTELLIGENT_TIERING\"",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "storage_class = \"DEEP_ARCHIVE\"",
        "use \"GLACIER_IR\", or a lifecycle rule of the bucket for versions that are not current",
        "storage_class = \"GLACIER_IR\"",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "tags = { \"aws:mine\" = \"x\" }",
        "a key has 1 to 128 and a value up to 256 letters, digits, spaces and + - = . _ : / @; a key does not begin with aws:",
        "tags = { mine = \"x\" }",
    ),
    (
        "url = \"s3://acme/u\"\n",
        "tags = { a = \"\", b = \"\", c = \"\", d = \"\", e = \"\", f = \"\", g = \"\", h = \"\", i = \"\", j = \"\", k = \"\" }",
        "S3 allows 10 for each object",
        "tags = { a = \"\", b = \"\", c = \"\", d = \"\", e = \"\", f = \"\", g = \"\", h = \"\", i = \"\", j = \"\" }",
    ),
];

/// And of places in a bucket.
const BUCKETS: &[(&str, &str, &str)] = &[
    (
        "s3://Acme/u",
        "a bucket's name has 3 to 63 of the characters a-z 0-9 . - with a letter or digit at both ends",
        "s3://acme/u",
    ),
    ("https://acme/u", "write it as s3://bucket/prefix; a folder is named by its path", "s3://acme/u"),
    ("s3://acme/u//v", "write it as s3://bucket/one/two, with one slash between", "s3://acme/u/v"),
    ("s3://acme/u/.driftline/history", "name the place that holds .driftline", "s3://acme/u"),
    ("s3://acme/u\\u0007", "use letters, digits and plain signs", "s3://acme/u"),
];

fn taken(text: &str) -> Result<(), String> {
    Config::parse(text).map(drop).map_err(|error| error.hint)
}

/// The file with one thing changed.
fn with(old: &str, new: &str) -> String {
    assert_eq!(FILE.matches(old).count(), 1, "{old} stands once");
    FILE.replace(old, new)
}

#[test]
fn what_is_said_of_a_wrong_line_makes_it_right() {
    assert_eq!(taken(FILE), Ok(()));
    for (old, wrong, hint, right) in NAMED {
        assert_eq!((taken(&with(old, wrong)), taken(&with(old, right))), (Err((*hint).to_owned()), Ok(())), "{wrong}");
    }
    for (behind, wrong, hint, right) in ADDED {
        let with = |line: &str| with(behind, &format!("{behind}{line}\n"));
        assert_eq!((taken(&with(wrong)), taken(&with(right))), (Err((*hint).to_owned()), Ok(())), "{wrong}");
    }
    for (wrong, hint, right) in BUCKETS {
        let with = |url: &str| with("s3://acme/u", url);
        assert_eq!((taken(&with(wrong)), taken(&with(right))), (Err((*hint).to_owned()), Ok(())), "{wrong}");
    }
    let long = with("s3://acme/u", &format!("s3://acme/{}", "x".repeat(513)));
    assert_eq!(taken(&long).unwrap_err(), "use 512 bytes at most: a whole key may have 1024");
    assert_eq!(taken(&with("s3://acme/u", &format!("s3://acme/{}", "x".repeat(512)))), Ok(()));
}

#[test]
fn what_is_said_of_a_thing_that_is_missing_is_added() {
    let none = "[agent]\nlog = \"json\"\n";
    assert_eq!(taken(none).unwrap_err(), "add a [[share]] with a name, a path and a [[share.target]]");
    let share = format!("{none}[[share]]\nname = \"a\"\npath = \"/a\"\n");
    assert_eq!(
        taken(&share).unwrap_err(),
        "add a [[share.target]] with a name and a path or a url below it (on the command line: --target)"
    );
    let target = format!("{share}[[share.target]]\nname = \"t\"\n");
    assert_eq!(
        taken(&target).unwrap_err(),
        "add path = \"/the/folder\" or url = \"s3://bucket/prefix\" below its name"
    );
    for place in ["path = \"/the/folder\"", "url = \"s3://bucket/prefix\""] {
        assert_eq!(taken(&format!("{target}{place}\n")), Ok(()));
    }
    let two = |one: &str, other: &str| {
        let target = |name: &str, url: &str| format!("[[share.target]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        taken(&format!("{share}{}{}", target("t", one), target("u", other)))
    };
    assert_eq!(
        two("s3://bucket/one", "s3://bucket/one/two").unwrap_err(),
        "give each target a prefix of its own, such as s3://bucket/one and s3://bucket/two: two copies in one place undo each \
         other"
    );
    assert_eq!(two("s3://bucket/one", "s3://bucket/two"), Ok(()));
    // Where a value is of another kind, the example tells of which: each key of it with its default is taken.
    let wrong = with("settle = \"1s\"", "settle = 1");
    assert_eq!(taken(&wrong).unwrap_err(), "config.example.toml shows every key with its default");
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml")).unwrap();
    let line = example.lines().map(|line| line.trim_start_matches(['#', ' '])).find(|line| line.starts_with("settle"));
    assert_eq!(taken(&with("settle = \"1s\"", line.unwrap())), Ok(()));
}
