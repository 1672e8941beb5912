use super::*;

const FILE: &str = "\
[agent]
name = \"office\"
state_dir = \"/state\"
[[share]]
name = \"a\"
path = \"/srv/a\"
settle = \"1s\"
patience = \"30s\"
rescan = \"1h\"
[[share.target]]
name = \"t\"
path = \"/mnt/t\"
history = \"1d\"
audit = \"1h\"
[[share.target]]
name = \"u\"
path = \"/mnt/u\"
[[share]]
name = \"b\"
path = \"/srv/b\"
[[share.target]]
name = \"t\"
path = \"/mnt/b\"
";

/// The message for the file with one line changed.
fn with(old: &str, new: &str) -> String {
    assert_eq!(FILE.matches(old).count(), 1, "{old} stands once");
    let text = FILE.replace(old, new);
    Config::parse(&text).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn the_file_that_the_tables_change_is_fine() {
    assert!(Config::parse(FILE).is_ok());
}

#[test]
fn names_are_plain_and_unique() {
    let long = format!("name = {:?}", "x".repeat(65));
    let table = [
        ("name = \"office\"", "name = \"my office\"", "line 2: \"my office\" cannot be the name of the agent"),
        ("name = \"a\"", "name = \"\"", "line 5: \"\" cannot be the name of a share"),
        ("name = \"a\"", "name = \"..\"", "line 5: \"..\" cannot be the name of a share"),
        ("name = \"u\"", "name = \"ü\"", "line 16: \"ü\" cannot be the name of a target"),
        ("name = \"u\"", "name = \"a/b\"", "line 16: \"a/b\" cannot be the name of a target"),
        ("name = \"b\"", "name = \"a\"", "line 19: two shares have the name \"a\""),
        ("name = \"u\"", "name = \"t\"", "line 16: two targets of share \"a\" have the name \"t\""),
    ];
    for (old, new, message) in table {
        assert_eq!(with(old, new), message);
    }
    assert!(with("name = \"u\"", &long).ends_with("cannot be the name of a target"));
    assert_eq!(with("name = \"u\"", &format!("name = {:?}", "x".repeat(64))), "");
    assert_eq!(with("name = \"u\"", "name = \"A.b_c-9\""), "");
}

#[test]
fn spans_make_sense() {
    let table = [
        ("settle = \"1s\"", "settle = \"0s\"", "line 7: settle of share \"a\" is zero"),
        ("rescan = \"1h\"", "rescan = \"0h\"", "line 9: rescan of share \"a\" is zero"),
        (
            "patience = \"30s\"",
            "patience = \"900ms\"",
            "line 8: patience (900ms) of share \"a\" is shorter than settle (1s)",
        ),
        ("patience = \"30s\"\n", "", ""),
        ("settle = \"1s\"", "settle = \"1min\"", "line 8: patience (30s) of share \"a\" is shorter than settle (1min)"),
        ("history = \"1d\"", "history = \"0d\"", "line 13: history of target \"t\" of share \"a\" is zero"),
        ("audit = \"1h\"", "audit = \"0ms\"", "line 14: audit of target \"t\" of share \"a\" is zero"),
    ];
    for (old, new, message) in table {
        assert_eq!(with(old, new), message);
    }
}

#[test]
fn paths_are_absolute_and_plain() {
    let table = [
        ("\"/srv/a\"", "\"srv/a\"", "line 6: the path \"srv/a\" of share \"a\" is not absolute"),
        ("\"/srv/a\"", "\"\"", "line 6: the path \"\" of share \"a\" is not absolute"),
        ("\"/mnt/t\"", "\"~/t\"", "line 12: the path \"~/t\" of target \"t\" of share \"a\" is not absolute"),
        ("\"/state\"", "\"state\"", "line 3: the path \"state\" of the state folder is not absolute"),
        (
            "\"/mnt/t\"",
            "\"/mnt/../srv\"",
            "line 12: the path /mnt/../srv of target \"t\" of share \"a\" has a .. in it",
        ),
    ];
    for (old, new, message) in table {
        assert_eq!(with(old, new), message);
    }
}

#[test]
fn no_place_lies_inside_another() {
    let table = [
        (
            "\"/mnt/t\"",
            "\"/srv/a/t\"",
            "line 12: target \"t\" of share \"a\" (/srv/a/t) lies inside share \"a\" (/srv/a)",
        ),
        (
            "\"/mnt/t\"",
            "\"/srv/b/t\"",
            "line 20: target \"t\" of share \"a\" (/srv/b/t) lies inside share \"b\" (/srv/b)",
        ),
        (
            "\"/mnt/t\"",
            "\"/srv//a/./\"",
            "line 12: share \"a\" and target \"t\" of share \"a\" are the same folder (/srv//a/./)",
        ),
        (
            "\"/srv/b\"",
            "\"/mnt/t/b\"",
            "line 20: share \"b\" (/mnt/t/b) lies inside target \"t\" of share \"a\" (/mnt/t)",
        ),
        ("\"/srv/b\"", "\"/srv/a/b\"", "line 20: share \"b\" (/srv/a/b) lies inside share \"a\" (/srv/a)"),
        ("\"/srv/b\"", "\"/srv\"", "line 20: share \"a\" (/srv/a) lies inside share \"b\" (/srv)"),
        (
            "\"/mnt/b\"",
            "\"/mnt/t\"",
            "line 23: target \"t\" of share \"a\" and target \"t\" of share \"b\" are the same folder (/mnt/t)",
        ),
        (
            "\"/mnt/u\"",
            "\"/mnt/t/u\"",
            "line 17: target \"u\" of share \"a\" (/mnt/t/u) lies inside target \"t\" of share \"a\" (/mnt/t)",
        ),
        ("\"/state\"", "\"/srv/a/s\"", "line 6: the state folder (/srv/a/s) lies inside share \"a\" (/srv/a)"),
        (
            "\"/state\"",
            "\"/mnt/t\"",
            "line 12: the state folder and target \"t\" of share \"a\" are the same folder (/mnt/t)",
        ),
        ("\"/state\"", "\"/\"", "line 6: share \"a\" (/srv/a) lies inside the state folder (/)"),
        ("\"/srv/b\"", "\"/srv/ab\"", ""),
    ];
    for (old, new, message) in table {
        assert_eq!(with(old, new), message);
    }
}

#[test]
fn something_is_shared_somewhere() {
    for (text, message) in [
        ("", "there is no share"),
        ("[agent]\nlog = \"json\"", "there is no share"),
        ("[[share]]\nname = \"a\"\npath = \"/a\"", "line 1: share \"a\" has no target"),
    ] {
        assert_eq!(Config::parse(text).expect_err(text).to_string(), message);
    }
}

#[test]
fn metrics_stay_on_this_machine() {
    let refused = |text| metrics(text, None).expect_err(text).to_string();
    assert_eq!(metrics("127.0.0.1:9464", None).map(|a| a.to_string()), Ok("127.0.0.1:9464".to_owned()));
    assert_eq!(refused("0.0.0.0:9464"), "metrics \"0.0.0.0:9464\" could be reached from other machines");
    assert_eq!(refused("9464"), "metrics \"9464\" is not an address with a port");
    assert_eq!(refused("127.0.0.1"), "metrics \"127.0.0.1\" is not an address with a port");
}

/// The message for the file with target u as a bucket with these keys.
fn with_bucket(url: &str, keys: &str) -> String {
    with("path = \"/mnt/u\"", &format!("url = {url:?}\n{keys}"))
}

#[test]
fn buckets_have_names_that_s3_knows() {
    for name in ["abc", "acme-files.1", &"x".repeat(63)] {
        assert_eq!(with_bucket(&format!("s3://{name}/p"), ""), "");
    }
    for name in ["", "ab", "Acme", "a_b", "-abc", "abc-", ".abc", "a..b", "192.168.1.1", "ab c", &"x".repeat(64)] {
        let message = format!("line 17: {name:?} of target \"u\" of share \"a\" cannot be the name of a bucket");
        assert_eq!(with_bucket(&format!("s3://{name}/p"), ""), message);
    }
}

#[test]
fn prefixes_are_plain() {
    let long = "x".repeat(512);
    for prefix in ["", "/", "/a", "/a/b c/", "/Büro/…", &format!("/{long}")] {
        assert_eq!(with_bucket(&format!("s3://acme{prefix}"), ""), "");
    }
    let table = [
        ("/a", "has an empty part, a . or a .. in it"),
        ("a//b", "has an empty part, a . or a .. in it"),
        ("a/./b", "has an empty part, a . or a .. in it"),
        ("..", "has an empty part, a . or a .. in it"),
        (".driftline/history", "leads into what is driftline's own"),
        ("a/.driftline", "leads into what is driftline's own"),
        ("a\u{7}", "has a control character in it"),
    ];
    for (prefix, what) in table {
        let told = with("path = \"/mnt/u\"", &format!("url = {}", toml::Value::from(format!("s3://acme/{prefix}"))));
        assert_eq!(told, format!("line 17: the prefix {prefix:?} of target \"u\" of share \"a\" {what}"));
    }
    assert!(with_bucket(&format!("s3://acme/{long}x"), "").ends_with("is too long"));
}

#[test]
fn a_buckets_keys_hold_what_s3_takes() {
    let fine = [
        "region = \"eu-west-1\"",
        "endpoint = \"https://s3.example.com/\"",
        "endpoint = \"http://[::1]:9000\"",
        "storage_class = \"STANDARD_IA\"",
        "storage_class = \"GLACIER_IR\"",
        "tags = { \"cost center\" = \"\", team = \"a+b-c=d._:/@\" }",
        "sse = \"aws:kms\"\nkms_key = \"arn:aws:kms:eu-west-1:1:key/x\"",
    ];
    for keys in fine {
        assert_eq!(with_bucket("s3://acme", keys), "", "{keys}");
    }
    let eleven: Vec<_> = (0..11).map(|n| format!("t{n} = \"\"")).collect();
    let eleven = format!("tags = {{ {} }}", eleven.join(", "));
    let whose = "target \"u\" of share \"a\"";
    let table = [
        ("region = \"\"", format!("\"\" cannot be the region of {whose}")),
        ("profile = \"my profile\"", format!("\"my profile\" cannot be the profile of {whose}")),
        (
            "endpoint = \"nas:9000\"",
            format!("the endpoint \"nas:9000\" of {whose} does not begin with \"https://\" or \"http://\""),
        ),
        ("endpoint = \"http://\"", format!("the endpoint \"http://\" of {whose} is no address of a server")),
        ("endpoint = \"http://a b\"", format!("the endpoint \"http://a b\" of {whose} is no address of a server")),
        ("endpoint = \"http://k:s@nas\"", format!("the endpoint \"http://k:s@nas\" of {whose} has credentials in it")),
        ("storage_class = \"standard\"", format!("\"standard\" of {whose} is no storage class")),
        (
            "storage_class = \"DEEP_ARCHIVE\"",
            format!("the storage class \"DEEP_ARCHIVE\" of {whose} cannot be read back at once"),
        ),
        ("tags = { \"aws:x\" = \"\" }", format!("\"aws:x\" = \"\" of {whose} is no tag that S3 takes")),
        ("tags = { x = \"a#b\" }", format!("\"x\" = \"a#b\" of {whose} is no tag that S3 takes")),
        (&eleven, format!("{whose} has 11 tags")),
        ("audit = \"0d\"", format!("audit of {whose} is zero")),
    ];
    for (keys, message) in table {
        assert_eq!(with_bucket("s3://acme", keys), format!("line 18: {message}"), "{keys}");
    }
}

#[test]
fn no_two_targets_lie_in_one_place_of_a_bucket() {
    let two = |one: &str, other: &str| {
        let text = FILE.replace("path = \"/mnt/u\"", one).replace("path = \"/mnt/b\"", other);
        Config::parse(&text).err().map_or_else(String::new, |error| error.message)
    };
    let (u, t) = ("target \"u\" of share \"a\"", "target \"t\" of share \"b\"");
    let same = format!("{u} and {t} are the same place in a bucket (s3://acme/p)");
    let table = [
        ("url = \"s3://acme/p\"", "url = \"s3://acme/p/\"", same.clone()),
        (
            "url = \"s3://acme/p\"",
            "url = \"s3://acme/p/q\"",
            format!("{t} (s3://acme/p/q) lies inside {u} (s3://acme/p)"),
        ),
        (
            "url = \"s3://acme/p/q\"",
            "url = \"s3://acme/p\"",
            format!("{u} (s3://acme/p/q) lies inside {t} (s3://acme/p)"),
        ),
        ("url = \"s3://acme/p\"", "url = \"s3://acme\"", format!("{u} (s3://acme/p) lies inside {t} (s3://acme)")),
        ("url = \"s3://acme/p\"", "url = \"s3://acme/pq\"", String::new()),
        ("url = \"s3://acme/p\"", "url = \"s3://other/p\"", String::new()),
        ("url = \"s3://acme/p\"", "url = \"s3://acme/p\"\nendpoint = \"http://nas\"", String::new()),
        (
            "url = \"s3://acme/p\"",
            "url = \"s3://acme/p\"\nendpoint = \"https://s3.eu-west-1.amazonaws.com\"",
            same.clone(),
        ),
        ("url = \"s3://acme/p\"\nendpoint = \"http://nas\"", "url = \"s3://acme/p\"\nendpoint = \"http://NAS/\"", same),
    ];
    for (one, other, message) in table {
        assert_eq!(two(one, other), message, "{one} {other}");
    }
}

#[test]
fn prices_are_numbers_that_can_be_paid() {
    let told = |line: &str| Config::parse(&format!("[prices]\n{line}\n{FILE}")).map_err(|error| error.to_string());
    assert_eq!(told("put = 0\nget = 1.5\ncurrency = \"€\"").map(|config| config.prices.get), Ok(1.5));
    let table = [
        ("put = -0.1", "line 2: put = -0.1 is no price"),
        ("storage = inf", "line 2: storage = inf is no price"),
        ("list = nan", "line 2: list = NaN is no price"),
        ("queue = -1", "line 2: queue = -1 is no price"),
        ("currency = \"\"", "line 2: \"\" is no currency"),
        ("currency = \"US dollars\"", "line 2: \"US dollars\" is no currency"),
        ("get = \"0.1\"", "line 2: invalid type: string \"0.1\", expected a number"),
        ("delete = 1.0", "line 2: unknown key \"delete\""),
    ];
    for (line, message) in table {
        assert_eq!(told(line), Err(message.to_owned()));
    }
}
