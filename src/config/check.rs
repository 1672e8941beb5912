//! What a configuration must hold beyond its grammar: plain names, absolute paths, no place inside another.

use std::net::SocketAddr;
use std::path::{Component, Path};
use std::time::Duration;

use crate::config::quick::NAME_MAX;
use crate::config::{Config, ConfigError, Share, Span, Target};

/// Where things stand in the file; all `None` where there is no file.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) agent_name: Option<usize>,
    pub(super) state_dir: Option<usize>,
    pub(super) shares: Vec<ShareLines>,
}

/// Where a share's keys stand.
#[derive(Debug, Default)]
pub(super) struct ShareLines {
    pub(super) table: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) path: Option<usize>,
    pub(super) settle: Option<usize>,
    pub(super) patience: Option<usize>,
    pub(super) rescan: Option<usize>,
    pub(super) targets: Vec<TargetLines>,
}

/// Where a target's keys stand.
#[derive(Debug, Default)]
pub(super) struct TargetLines {
    pub(super) name: Option<usize>,
    pub(super) path: Option<usize>,
    pub(super) history: Option<usize>,
    pub(super) audit: Option<usize>,
}

/// Refuses a configuration that could lose a file or that nobody can have meant.
pub(super) fn check(config: &Config, lines: &Lines) -> Result<(), ConfigError> {
    if config.shares.is_empty() {
        let hint = "add a [[share]] with a name, a path and a [[share.target]]";
        return Err(ConfigError::new("there is no share", None, hint));
    }
    if let Some(name) = &config.agent.name {
        plain_name("the agent", name, lines.agent_name)?;
    }
    absolute("the state folder", &config.agent.state_dir, lines.state_dir)?;
    shares(config, lines)?;
    apart(config, lines)
}

fn shares(config: &Config, lines: &Lines) -> Result<(), ConfigError> {
    let none = ShareLines::default();
    for (index, one) in config.shares.iter().enumerate() {
        let at = lines.shares.get(index).unwrap_or(&none);
        if config.shares[..index].iter().any(|other| other.name == one.name) {
            let message = format!("two shares have the name {:?}", one.name);
            return Err(ConfigError::new(message, at.name, "give each share a name of its own"));
        }
        share(one, at)?;
    }
    Ok(())
}

fn share(share: &Share, at: &ShareLines) -> Result<(), ConfigError> {
    let whose = format!("share {:?}", share.name);
    plain_name("a share", &share.name, at.name)?;
    absolute(&whose, &share.path, at.path)?;
    not_zero(&whose, "settle", share.settle, at.settle)?;
    not_zero(&whose, "rescan", share.rescan, at.rescan)?;
    if share.patience < share.settle {
        let (patience, settle) = (Span(share.patience), Span(share.settle));
        let message = format!("patience ({patience}) of {whose} is shorter than settle ({settle})");
        return Err(ConfigError::new(message, at.patience.or(at.settle), "make patience at least as long as settle"));
    }
    if share.targets.is_empty() {
        let hint = "add a [[share.target]] with a name and a path below it (on the command line: --target DIR)";
        return Err(ConfigError::new(format!("{whose} has no target"), at.table, hint));
    }
    targets(share, at)
}

fn targets(share: &Share, at: &ShareLines) -> Result<(), ConfigError> {
    let none = TargetLines::default();
    for (index, one) in share.targets.iter().enumerate() {
        let at = at.targets.get(index).unwrap_or(&none);
        if share.targets[..index].iter().any(|other| other.name == one.name) {
            let message = format!("two targets of share {:?} have the name {:?}", share.name, one.name);
            return Err(ConfigError::new(message, at.name, "give each target of a share a name of its own"));
        }
        target(share, one, at)?;
    }
    Ok(())
}

fn target(share: &Share, target: &Target, at: &TargetLines) -> Result<(), ConfigError> {
    let whose = label(share, target);
    plain_name("a target", &target.name, at.name)?;
    absolute(&whose, &target.path, at.path)?;
    not_zero(&whose, "history", target.history, at.history)?;
    match target.audit {
        Some(audit) => not_zero(&whose, "audit", audit, at.audit),
        None => Ok(()),
    }
}

fn label(share: &Share, target: &Target) -> String {
    format!("target {:?} of share {:?}", target.name, share.name)
}

/// Whether a character may stand in a name.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

fn plain_name(what: &str, name: &str, line: Option<usize>) -> Result<(), ConfigError> {
    let fine = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_plain) && name != "." && name != "..";
    if fine {
        return Ok(());
    }
    let hint = format!("use 1 to {NAME_MAX} of the characters A-Z a-z 0-9 . _ -");
    Err(ConfigError::new(format!("{name:?} cannot be the name of {what}"), line, hint))
}

fn absolute(whose: &str, path: &Path, line: Option<usize>) -> Result<(), ConfigError> {
    let shown = path.display();
    if !path.is_absolute() {
        let message = format!("the path {:?} of {whose} is not absolute", path.to_string_lossy());
        return Err(ConfigError::new(message, line, "write it from the root, beginning with /"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        let message = format!("the path {shown} of {whose} has a .. in it");
        return Err(ConfigError::new(message, line, "write it without .., so that it is plain which folder is meant"));
    }
    Ok(())
}

fn not_zero(whose: &str, key: &str, span: Duration, line: Option<usize>) -> Result<(), ConfigError> {
    if span > Duration::ZERO {
        return Ok(());
    }
    let hint = match key {
        "audit" => "write a span such as \"24h\", or \"never\"",
        "history" => "write how long old versions must stay recoverable, such as \"30d\"",
        _ => "write a span such as \"500ms\" or \"1h\"",
    };
    Err(ConfigError::new(format!("{key} of {whose} is zero"), line, hint))
}

/// Reads the address for metrics, which must not be reachable from elsewhere.
pub(super) fn metrics(text: &str, line: Option<usize>) -> Result<SocketAddr, ConfigError> {
    let hint = "write an address of this machine with a port, such as \"127.0.0.1:9464\"";
    let address: SocketAddr = text
        .parse()
        .map_err(|_| ConfigError::new(format!("metrics {text:?} is not an address with a port"), line, hint))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(ConfigError::new(format!("metrics {text:?} could be reached from other machines"), line, hint))
}

/// What a place is for: it decides what to advise when two collide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    State,
    Share,
    Target,
}

struct Place<'a> {
    role: Role,
    label: String,
    path: &'a Path,
    line: Option<usize>,
}

/// Refuses places that are the same or lie inside each other. By their names: a link that leads from one into
/// another is found when they are opened.
fn apart(config: &Config, lines: &Lines) -> Result<(), ConfigError> {
    let places = places(config, lines);
    for (index, later) in places.iter().enumerate() {
        for earlier in &places[..index] {
            collide(earlier, later)?;
        }
    }
    Ok(())
}

fn places<'a>(config: &'a Config, lines: &Lines) -> Vec<Place<'a>> {
    let state_dir = &config.agent.state_dir;
    let mut all =
        vec![Place { role: Role::State, label: "the state folder".to_owned(), path: state_dir, line: lines.state_dir }];
    for (index, share) in config.shares.iter().enumerate() {
        let at = lines.shares.get(index);
        let line = at.and_then(|at| at.path);
        all.push(Place { role: Role::Share, label: format!("share {:?}", share.name), path: &share.path, line });
        for (index, target) in share.targets.iter().enumerate() {
            let line = at.and_then(|at| at.targets.get(index)).and_then(|at| at.path);
            all.push(Place { role: Role::Target, label: label(share, target), path: &target.path, line });
        }
    }
    all
}

fn collide(a: &Place<'_>, b: &Place<'_>) -> Result<(), ConfigError> {
    let (inner, outer) = match (b.path.starts_with(a.path), a.path.starts_with(b.path)) {
        (true, _) => (b, a),
        (false, true) => (a, b),
        (false, false) => return Ok(()),
    };
    let (folder, around) = (inner.path.display(), outer.path.display());
    let message = if inner.path == outer.path {
        format!("{} and {} are the same folder ({folder})", outer.label, inner.label)
    } else {
        format!("{} ({folder}) lies inside {} ({around})", inner.label, outer.label)
    };
    Err(ConfigError::new(message, b.line.or(a.line), advice(inner.role, outer.role)))
}

fn advice(inner: Role, outer: Role) -> &'static str {
    match (inner, outer) {
        (Role::State, _) | (_, Role::State) => {
            "set state_dir (or --state-dir) to a folder apart from all shares and targets"
        }
        (Role::Target, Role::Share) => "choose a target outside the share: the copy would be copied again, without end",
        (Role::Share, Role::Target) => {
            "choose a target that does not hold the share: staff's files would be taken for copies"
        }
        (Role::Share, Role::Share) => "keep the outer share only, or share two folders beside each other",
        (Role::Target, Role::Target) => "give each target a folder of its own: two copies in one place undo each other",
    }
}

#[cfg(test)]
mod tests {
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
            (
                "settle = \"1s\"",
                "settle = \"1min\"",
                "line 8: patience (30s) of share \"a\" is shorter than settle (1min)",
            ),
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
}
