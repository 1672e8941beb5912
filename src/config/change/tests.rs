use super::*;

const OLD: &str = r#"
[[share]]
name = "projects"
path = "/srv/projects"
ignore = ["*.bak"]
settle = "1s"

[[share.target]]
name = "efs"
path = "/mnt/efs"
deletes = "retain"
drift = "keep"
history = "30d"
history_versions = 2

[[share.target]]
name = "cloud"
url = "s3://acme/projects"
region = "eu-west-1"

[[share]]
name = "scans"
path = "/srv/scans"
[[share.target]]
name = "efs"
path = "/mnt/scans"
"#;

fn parse(text: &str) -> Config {
    Config::parse(text).expect("a test's configuration is fine")
}

/// What the change of one piece of [`OLD`] brings, with `hides` files hidden.
fn changed(from: &str, to: &str, hides: Option<u64>, approved: bool) -> (Config, Vec<Change>) {
    assert!(OLD.contains(from), "{from}");
    let facts = Facts { hides: &|_| hides, approved: &|_, _| approved };
    merge(&parse(OLD), &parse(&OLD.replacen(from, to, 1)), &facts)
}

/// `(from, to, hidden files)`.
type Edit = (&'static str, &'static str, Option<u64>);

const SCANS: &str = r#"[[share]]
name = "scans"
path = "/srv/scans"
[[share.target]]
name = "efs"
path = "/mnt/scans"
"#;

const CLOUD: &str = r#"[[share.target]]
name = "cloud"
url = "s3://acme/projects"
region = "eu-west-1"
"#;

const HARMLESS: [Edit; 12] = [
    ("settle = \"1s\"", "settle = \"2s\"\npatience = \"1min\"\nrescan = \"2h\"", None),
    ("ignore = [\"*.bak\"]", "ignore = []", Some(0)),
    ("history = \"30d\"", "history = \"60d\"", None),
    ("history_versions = 2", "history_versions = 3", None),
    ("region = \"eu-west-1\"", "region = \"eu-west-1\"\nrate_limit = \"1 MB/s\"\nrequest_budget = \"100/day\"", None),
    ("region = \"eu-west-1\"", "region = \"eu-west-1\"\naudit = \"1d\"", None),
    ("region = \"eu-west-1\"", "region = \"eu-west-1\"\ndeletes = \"retain\"", None),
    ("\n[[share]]\nname = \"projects\"", "[prices]\nput = 1.0\n[[share]]\nname = \"projects\"", None),
    (
        SCANS,
        "[[share]]\nname = \"scans\"\npath = \"/srv/scans\"\n[[share.target]]\nname = \"efs\"\npath = \"/mnt/scans\"\n\
      [[share.target]]\nname = \"nas\"\npath = \"/mnt/nas\"\n",
        None,
    ),
    (
        CLOUD,
        "[[share.target]]\nname = \"cloud\"\nurl = \"s3://acme/projects\"\nregion = \"eu-west-1\"\n[[share.target]]\n\
      name = \"more\"\npath = \"/mnt/more\"\n",
        None,
    ),
    ("ignore = [\"*.bak\"]", "ignore = [\"*.bak\", \"*.iso\"]", Some(0)),
    (
        SCANS,
        "[[share]]\nname = \"scans\"\npath = \"/srv/scans\"\n[[share.target]]\nname = \"efs\"\npath = \"/mnt/scans\"\n\
      [[share]]\nname = \"plans\"\npath = \"/srv/plans\"\n[[share.target]]\nname = \"efs\"\npath = \"/mnt/plans\"\n",
        None,
    ),
];

const ASKS: [Edit; 8] = [
    ("ignore = [\"*.bak\"]", "ignore = [\"*\"]", Some(7)),
    ("ignore = [\"*.bak\"]", "ignore = [\"*\"]", None),
    ("history = \"30d\"", "history = \"7d\"", None),
    ("history_versions = 2", "history_versions = 1", None),
    ("deletes = \"retain\"", "deletes = \"propagate\"", None),
    ("drift = \"keep\"", "drift = \"overwrite\"", None),
    (SCANS, "", None),
    (CLOUD, "", None),
];

const RESTART: [Edit; 5] = [
    ("path = \"/mnt/efs\"", "path = \"/mnt/other\"", None),
    ("path = \"/srv/projects\"", "path = \"/srv/other\"", None),
    ("region = \"eu-west-1\"", "region = \"eu-west-2\"", None),
    ("url = \"s3://acme/projects\"", "url = \"s3://acme/other\"", None),
    ("\n[[share]]\nname = \"projects\"", "[agent]\nstate_dir = \"/x\"\n[[share]]\nname = \"projects\"", None),
];

#[test]
fn what_is_harmless_takes_effect_at_once() {
    for (from, to, hides) in HARMLESS {
        let (config, changes) = changed(from, to, hides, false);
        assert_eq!(config, parse(&OLD.replacen(from, to, 1)), "{to}");
        assert!(!changes.is_empty() && changes.iter().all(|change| change.effect == Effect::Now), "{changes:?}");
    }
}

#[test]
fn what_hides_or_destroys_waits_for_a_person_and_only_for_him() {
    for (from, to, hides) in ASKS {
        let (config, changes) = changed(from, to, hides, false);
        assert_eq!(config, parse(OLD), "{to}: nothing has changed yet");
        let [Change { effect: Effect::Asks(_), .. }] = &changes[..] else { panic!("{to}: {changes:?}") };
        let (config, changes) = changed(from, to, hides, true);
        assert_eq!(config, parse(&OLD.replacen(from, to, 1)), "{to}: approved");
        assert!(changes.iter().all(|change| change.effect == Effect::Now), "{changes:?}");
    }
}

#[test]
fn what_no_running_agent_can_change_is_told_and_left() {
    for (from, to, hides) in RESTART {
        let (config, changes) = changed(from, to, hides, true);
        assert_eq!(config, parse(OLD), "{to}");
        let [Change { effect: Effect::Restart, .. }] = &changes[..] else { panic!("{to}: {changes:?}") };
    }
}

#[test]
fn one_change_that_waits_holds_up_no_other() {
    let new = OLD.replace("settle = \"1s\"", "settle = \"2s\"").replace("history = \"30d\"", "history = \"7d\"");
    let facts = Facts { hides: &|_| None, approved: &|_, _| false };
    let (config, changes) = merge(&parse(OLD), &parse(&new), &facts);
    assert_eq!(config, parse(&OLD.replace("settle = \"1s\"", "settle = \"2s\"")));
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn an_approval_is_for_one_place_only() {
    let new = OLD.replace(SCANS, "").replace("history = \"30d\"", "history = \"7d\"");
    let only = |share: &str, target: Option<&str>| (share, target) == ("projects", Some("efs"));
    let (config, _) = merge(&parse(OLD), &parse(&new), &Facts { hides: &|_| None, approved: &only });
    assert_eq!(config, parse(&OLD.replace("history = \"30d\"", "history = \"7d\"")));
}

#[test]
fn a_share_under_another_name_waits_until_the_old_one_may_go() {
    let new = OLD.replace("name = \"scans\"", "name = \"papers\"");
    let facts = |approved| merge(&parse(OLD), &parse(&new), &Facts { hides: &|_| None, approved });
    let (config, changes) = facts(&|_, _| false);
    assert_eq!(config, parse(OLD));
    assert!(changes.iter().any(|change| matches!(change.effect, Effect::Blocked(_))), "{changes:?}");
    assert_eq!(facts(&|_, _| true).0, parse(&new));
}

#[test]
fn nothing_new_is_no_change() {
    let facts = Facts { hides: &|_| None, approved: &|_, _| false };
    assert_eq!(merge(&parse(OLD), &parse(OLD), &facts), (parse(OLD), Vec::new()));
}
