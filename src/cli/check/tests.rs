use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::{Budget, Place, Prices};

struct Office {
    dir: tempfile::TempDir,
    config: Config,
}

/// A share with one file in a folder, a folder as its target, and a bucket if asked for.
fn office(more: &[&str]) -> Office {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("papers/letters")).expect("made");
    fs::write(at("papers/letters/offer"), "dear all").expect("written");
    fs::create_dir(at("copy")).expect("made");
    let targets: Vec<_> = [at("copy")].into_iter().chain(more.iter().map(PathBuf::from)).collect();
    let config = Config::quick(&[at("papers")], &targets, at("state")).expect("fine");
    Office { dir, config }
}

/// Every path below a folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// The findings of one place, but for the medium, which is the test machine's.
fn told(report: &Report, target: Option<&str>) -> Vec<(&'static str, String)> {
    let place = report.places.iter().find(|place| place.share.is_some() && place.target.as_deref() == target);
    let lines = &place.expect("checked").findings;
    lines.iter().map(|line| (line.level, line.message.clone())).collect()
}

#[test]
fn what_is_fine_is_said_and_nothing_is_left() {
    let Office { dir, config } = office(&[]);
    let before = names(dir.path());
    let report = report(&config);
    assert!(report.fine, "{report:#?}");
    let share = told(&report, None);
    assert!(share.contains(&("ok", "1 file (8 B) in 2 folders".to_owned())), "{share:?}");
    let target = told(&report, Some("target"));
    assert!(target.contains(&("note", "it bears no identity yet".to_owned())), "{target:?}");
    let same = "it lies on the same file system as papers: a disk that fails takes both".to_owned();
    assert!(target.contains(&("warning", same)), "{target:?}");
    assert_eq!(names(dir.path()), before);
}

#[test]
fn what_is_bound_is_held_to_its_identity() {
    let Office { dir, config } = office(&[]);
    bind::bind(&config).expect("bound");
    let target = told(&report(&config), Some("target"));
    assert!(target.contains(&("ok", "it bears the identity that it was bound to".to_owned())), "{target:?}");
    fs::rename(dir.path().join("papers"), dir.path().join("away")).expect("moved");
    fs::create_dir(dir.path().join("papers")).expect("made");
    fs::remove_dir_all(dir.path().join("copy/.driftline")).expect("emptied");
    let report = report(&config);
    assert!(!report.fine);
    let other = "it is another folder than the one that the share was bound to".to_owned();
    assert_eq!(told(&report, None), [("problem", other)]);
    let [("problem", target)] = &told(&report, Some("target"))[..] else { panic!("{report:#?}") };
    assert!(target.contains("bears no identity"), "{target}");
}

#[test]
fn a_share_that_is_missing_is_a_problem_and_its_targets_are_checked_all_the_same() {
    let Office { dir, config } = office(&[]);
    fs::remove_dir_all(dir.path().join("papers")).expect("gone");
    let report = report(&config);
    let [("problem", share)] = &told(&report, None)[..] else { panic!("{report:#?}") };
    assert!(share.starts_with("it cannot be read: "), "{share}");
    assert!(told(&report, Some("target")).len() > 2);
}

#[test]
fn what_cannot_be_listed_is_named_with_what_to_do() {
    let Office { dir, config } = office(&[]);
    let letters = dir.path().join("papers/letters");
    fs::set_permissions(&letters, fs::Permissions::from_mode(0o000)).expect("closed");
    let report = report(&config);
    fs::set_permissions(&letters, fs::Permissions::from_mode(0o755)).expect("opened");
    // To root nothing is closed.
    if !is_root() {
        let share = told(&report, None);
        assert!(share.iter().any(|(level, what)| *level == "problem" && what.contains("letters")), "{share:?}");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// What is found of a share with long names for a bucket below `prefix`; the bucket itself is not asked.
fn bucket(prefix: &str, prices: &Prices, budget: Option<Budget>) -> Vec<(&'static str, String)> {
    let mut office = office(&["s3://acme/p"]);
    let long = office.dir.path().join(format!("papers/{}/{}", "d".repeat(250), "n".repeat(250)));
    fs::create_dir_all(long.parent().expect("a folder")).expect("made");
    fs::write(&long, "").expect("written");
    let Place::Bucket(place) = &mut office.config.shares[0].targets[1].place else { panic!("a bucket") };
    place.prefix = prefix.to_owned();
    place.request_budget = budget;
    let share = &office.config.shares[0];
    let walked = share::walk(share, None);
    let asked =
        target::Asked { share, target: &share.targets[1], walked: &walked, known: None, uid: "uid", agent: "office" };
    let place = share.targets[1].place.bucket().expect("a bucket");
    asked.bucket(place, prices).into_iter().map(|finding| (word(finding.level), finding.what)).collect()
}

#[test]
fn a_bucket_is_told_what_a_first_pass_takes() {
    let wanted = "a first pass makes about 5 requests for <0.01 USD; to keep 8 B costs about <0.01 USD a month, older \
                  versions not counted";
    assert_eq!(bucket("p", &Prices::default(), None), [("note", wanted.to_owned())]);
    let prices = Prices { currency: "EUR".into(), put: 1000.0, list: 0.0, ..Prices::default() };
    let told = bucket("p", &prices, Some(Budget { requests: 2, per: crate::config::Period::Day }));
    assert!(told[0].1.contains("about 5 requests for 4.00 EUR;"), "{told:?}");
    assert_eq!(told[1], ("warning", "with a budget of 2/day a first pass takes 3 days".to_owned()));
}

#[test]
fn a_name_that_no_key_can_hold_is_a_problem() {
    let too_long = |prefix: usize| {
        let told = bucket(&"p".repeat(prefix), &Prices::default(), None);
        told.into_iter().filter(|(level, _)| *level == "problem").map(|(_, what)| what).collect::<Vec<_>>()
    };
    // The prefix, a slash, 250, a slash, 250: 1024 bytes with a prefix of 522.
    assert_eq!(too_long(522), Vec::<String>::new());
    let told = too_long(523);
    assert_eq!(told.len(), 1);
    let start = "1 name is too long for a bucket, where a key has 1024 bytes at most, the prefix included: ddd";
    assert!(told[0].starts_with(start), "{told:?}");
}

#[test]
fn the_text_is_grouped_and_its_commands_can_be_pasted() {
    let finding = |level, what: &str| Finding::new(level, what);
    let places = vec![
        checked(None, None, "/var/lib/driftline".into(), vec![finding(Level::Note, "nobody\nyet")]),
        checked(
            None,
            None,
            "/srv/a".into(),
            vec![
                finding(Level::Fine, "there"),
                finding(Level::Warning, "not all").hint("raise it").command("sudo sysctl --system"),
            ],
        ),
    ];
    let mut report = Report { fine: true, places };
    report.places[1].share = Some("a".into());
    let wanted = "\
state folder: /var/lib/driftline
  note     nobody\\nyet

a: /srv/a
  ok       there
  \x1b[33mwarning\x1b[0m  not all
           hint: raise it
           sudo sysctl --system

1 warning, and no problem.
";
    assert_eq!(render(&report), wanted);
    report.places.truncate(1);
    assert!(render(&report).ends_with("\nAll is fine.\n"));
    let problem = Line { level: "problem", message: String::new(), hint: String::new(), commands: Vec::new() };
    report.places[0].findings = vec![problem.clone(), problem];
    assert!(render(&report).ends_with("\n2 problems.\n"));
}

#[test]
fn the_json_has_every_place_with_its_findings() {
    let findings = vec![Finding::new(Level::Warning, "w").hint("h").command("c")];
    let report = Report { fine: true, places: vec![checked(None, None, "/state".into(), findings)] };
    let finding = serde_json::json!({ "level": "warning", "message": "w", "hint": "h", "commands": ["c"] });
    let place = serde_json::json!({ "share": null, "target": null, "place": "/state", "findings": [finding] });
    assert_eq!(
        serde_json::to_value(report).expect("plain values"),
        serde_json::json!({ "fine": true, "places": [place] })
    );
}

#[test]
fn a_place_that_hangs_is_not_waited_for_when_it_answers() {
    assert_eq!(within(|| 5), Some(5));
    assert_eq!(within(|| -> u8 { panic!("as a driver might") }), None);
}
