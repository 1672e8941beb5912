//! From TOML text to a [`Config`]: which keys there are, what they may hold, and on which line they stand.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use toml::Spanned;

use crate::config::check::{self, Lines, ShareLines, TargetLines};
use crate::config::nearest::nearest;
use crate::config::quick::no_buckets;
use crate::config::{AUDIT, Agent, Config, ConfigError, HISTORY, LogFormat, Ownership, PATIENCE, RESCAN, SETTLE};
use crate::config::{STATE_DIR, Share, Span, Target};
use crate::plan::{Deletes, Drift};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    agent: RawAgent,
    #[serde(default)]
    share: Vec<Spanned<RawShare>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    name: Option<Spanned<String>>,
    state_dir: Option<Spanned<String>>,
    metrics: Option<Spanned<String>>,
    #[serde(default)]
    log: LogFormat,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShare {
    name: Spanned<String>,
    path: Spanned<String>,
    #[serde(default)]
    ignore: Vec<String>,
    settle: Option<Spanned<Span>>,
    patience: Option<Spanned<Span>>,
    rescan: Option<Spanned<Span>>,
    #[serde(default)]
    target: Vec<Spanned<RawTarget>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    name: Spanned<String>,
    path: Option<Spanned<String>>,
    #[serde(default)]
    deletes: Deletes,
    #[serde(default)]
    drift: Drift,
    history: Option<Spanned<Span>>,
    audit: Option<Spanned<Audit>>,
    #[serde(default)]
    ownership: Ownership,
    url: Option<Spanned<String>>,
    region: Option<Spanned<toml::Value>>,
    endpoint: Option<Spanned<toml::Value>>,
    path_style: Option<Spanned<toml::Value>>,
    profile: Option<Spanned<toml::Value>>,
    storage_class: Option<Spanned<toml::Value>>,
    sse: Option<Spanned<toml::Value>>,
    kms_key: Option<Spanned<toml::Value>>,
    rate_limit: Option<Spanned<toml::Value>>,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A span, or "never".
#[derive(Clone, Copy)]
struct Audit(Option<Duration>);

impl<'de> Deserialize<'de> for Audit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self(None));
        }
        text.parse().map(|Span(span)| Self(Some(span))).map_err(D::Error::custom)
    }
}

impl Config {
    /// Reads a configuration file's text. Unknown keys are errors, and nothing is assumed that could lose a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| explained(text, &error))?;
        let reader = Reader { text };
        let (config, lines) = reader.file(raw)?;
        check::check(&config, &lines)?;
        Ok(config)
    }
}

/// Turns raw tables into checked types, and remembers lines.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn line<T>(&self, value: &Spanned<T>) -> Option<usize> {
        Some(line_of(self.text, &value.span()))
    }

    fn line_of_option<T>(&self, value: Option<&Spanned<T>>) -> Option<usize> {
        value.and_then(|value| self.line(value))
    }

    fn file(&self, raw: RawFile) -> Result<(Config, Lines), ConfigError> {
        let mut lines = Lines {
            agent_name: self.line_of_option(raw.agent.name.as_ref()),
            state_dir: self.line_of_option(raw.agent.state_dir.as_ref()),
            shares: Vec::new(),
        };
        let agent = self.agent(raw.agent)?;
        let mut shares = Vec::new();
        for raw in raw.share {
            let (share, at) = self.share(raw)?;
            shares.push(share);
            lines.shares.push(at);
        }
        Ok((Config { agent, shares }, lines))
    }

    fn agent(&self, raw: RawAgent) -> Result<Agent, ConfigError> {
        let metrics = raw.metrics.map(|text| check::metrics(text.get_ref(), self.line(&text))).transpose()?;
        Ok(Agent {
            name: raw.name.map(Spanned::into_inner),
            state_dir: raw.state_dir.map_or_else(|| STATE_DIR.into(), |text| text.into_inner().into()),
            metrics,
            log: raw.log,
        })
    }

    fn share(&self, raw: Spanned<RawShare>) -> Result<(Share, ShareLines), ConfigError> {
        let table = self.line(&raw);
        let raw = raw.into_inner();
        let mut lines = ShareLines {
            table,
            name: self.line(&raw.name),
            path: self.line(&raw.path),
            settle: self.line_of_option(raw.settle.as_ref()),
            patience: self.line_of_option(raw.patience.as_ref()),
            rescan: self.line_of_option(raw.rescan.as_ref()),
            targets: Vec::new(),
        };
        let mut targets = Vec::new();
        for target in raw.target {
            let (target, at) = self.target(target, raw.name.get_ref())?;
            targets.push(target);
            lines.targets.push(at);
        }
        let share = Share {
            name: raw.name.into_inner(),
            path: raw.path.into_inner().into(),
            ignore: raw.ignore,
            settle: span_or(raw.settle, SETTLE),
            patience: span_or(raw.patience, PATIENCE),
            rescan: span_or(raw.rescan, RESCAN),
            targets,
        };
        Ok((share, lines))
    }

    fn target(&self, raw: Spanned<RawTarget>, share: &str) -> Result<(Target, TargetLines), ConfigError> {
        let table = self.line(&raw);
        let raw = raw.into_inner();
        let path = self.place(&raw, share, table)?;
        let lines = TargetLines {
            name: self.line(&raw.name),
            path: self.line_of_option(raw.path.as_ref()),
            history: self.line_of_option(raw.history.as_ref()),
            audit: self.line_of_option(raw.audit.as_ref()),
        };
        let target = Target {
            name: raw.name.into_inner(),
            path,
            deletes: raw.deletes,
            drift: raw.drift,
            history: span_or(raw.history, HISTORY),
            audit: raw.audit.map_or(Some(AUDIT), |audit| audit.into_inner().0),
            ownership: raw.ownership,
        };
        Ok((target, lines))
    }

    /// Where a target is: this version knows folders only.
    fn place(&self, raw: &RawTarget, share: &str, table: Option<usize>) -> Result<PathBuf, ConfigError> {
        let name = raw.name.get_ref();
        match (&raw.path, &raw.url) {
            (Some(path), None) => {
                self.no_bucket_keys(raw, share)?;
                Ok(path.get_ref().into())
            }
            (None, Some(url)) => Err(no_buckets(url.get_ref(), share, name, self.line(url))),
            (Some(_), Some(url)) => Err(ConfigError::new(
                format!("target {name:?} of share {share:?} has both a path and a url"),
                self.line(url),
                "keep the path for a folder, or the url for a bucket",
            )),
            (None, None) => Err(ConfigError::new(
                format!("target {name:?} of share {share:?} has no path"),
                table,
                "add path = \"/the/folder\" below its name",
            )),
        }
    }

    fn no_bucket_keys(&self, raw: &RawTarget, share: &str) -> Result<(), ConfigError> {
        let keys = [
            ("region", &raw.region),
            ("endpoint", &raw.endpoint),
            ("path_style", &raw.path_style),
            ("profile", &raw.profile),
            ("storage_class", &raw.storage_class),
            ("sse", &raw.sse),
            ("kms_key", &raw.kms_key),
            ("rate_limit", &raw.rate_limit),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                let name = raw.name.get_ref();
                let message =
                    format!("target {name:?} of share {share:?} is a folder and has the key {key:?} of a bucket");
                return Err(ConfigError::new(message, self.line(value), format!("remove {key}")));
            }
        }
        Ok(())
    }
}

fn span_or(value: Option<Spanned<Span>>, default: Duration) -> Duration {
    value.map_or(default, |span| span.into_inner().0)
}

/// The line, counted from 1, on which `span` begins.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count()
}

/// The parser's error in our words.
fn explained(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| line_of(text, &span));
    if let Some((key, known)) = unknown_key(error.message()) {
        return ConfigError::new(format!("unknown key {key:?}"), line, did_you_mean(key, &known));
    }
    if let Some((word, known)) = listed(error.message(), "unknown variant `") {
        let known: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
        return ConfigError::new(
            format!("{word:?} is not a choice here"),
            line,
            format!("write {}", known.join(" or ")),
        );
    }
    let message = error.message().trim_end().replace('\n', ", ").replace('`', "\"");
    ConfigError::new(message, line, "config.example.toml shows every key with its default")
}

fn did_you_mean(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("the keys here are {}", known.join(", ")),
    }
}

/// The key and its known neighbours, out of serde's message: the one place that lists the keys of a table.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    listed(message, "unknown field `")
}

fn listed<'a>(message: &'a str, opening: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (word, rest) = message.strip_prefix(opening)?.split_once("`, expected ")?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((word, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../config.example.toml");
    const MINIMAL: &str = "[[share]]\nname = \"s\"\npath = \"/s\"\n[[share.target]]\nname = \"t\"\npath = \"/t\"\n";

    fn minimal() -> Config {
        Config::parse(MINIMAL).expect("the smallest file is fine")
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let agent = Agent { name: None, state_dir: STATE_DIR.into(), metrics: None, log: LogFormat::Text };
        let target = Target {
            name: "t".into(),
            path: "/t".into(),
            deletes: Deletes::Propagate,
            drift: Drift::Keep,
            history: Duration::from_secs(30 * 24 * 3600),
            audit: Some(Duration::from_secs(24 * 3600)),
            ownership: Ownership::Keep,
        };
        let share = Share {
            name: "s".into(),
            path: "/s".into(),
            ignore: vec![],
            settle: Duration::from_millis(500),
            patience: Duration::from_secs(30),
            rescan: Duration::from_secs(3600),
            targets: vec![target],
        };
        assert_eq!(minimal(), Config { agent, shares: vec![share] });
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            [agent]
            name = "office-01"
            state_dir = "/var/state"
            metrics = "[::1]:9464"
            log = "json"
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
        let mut second = wanted.shares[0].clone();
        let share = &mut wanted.shares[0];
        share.ignore = vec!["*.bak".into()];
        share.settle = Duration::from_secs(1);
        share.patience = Duration::from_secs(60);
        share.rescan = Duration::from_secs(7200);
        share.targets = vec![Target::new("a", "/a"), Target::new("b", "/b")];
        share.targets[0].deletes = Deletes::Retain;
        share.targets[0].drift = Drift::Overwrite;
        share.targets[0].history = Duration::from_secs(90 * 24 * 3600);
        share.targets[0].audit = None;
        share.targets[0].ownership = Ownership::Ignore;
        share.targets[1].audit = Some(Duration::from_secs(3600));
        second.name = "s2".into();
        second.path = "/s2".into();
        second.targets = vec![Target::new("a", "/a2")];
        wanted.shares.push(second);
        assert_eq!(Config::parse(text), Ok(wanted));
    }

    /// The example with each commented default made a real line.
    fn spelled_out() -> String {
        let is_key = |line: &str| {
            line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c == '_' || c.is_ascii_lowercase()))
        };
        let bare = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line);
        EXAMPLE.lines().map(bare).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_states_the_defaults_of_the_code() {
        let plain = Config::parse(EXAMPLE).expect("the example is fine");
        let spelled = spelled_out();
        assert_eq!(Config::parse(&spelled), Ok(plain));
        let count = spelled.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
        assert_eq!(count, 15, "four names and paths, and eleven defaults:\n{spelled}");
    }

    #[test]
    fn the_example_names_every_key_of_a_directory_target() {
        let buckets =
            ["url", "region", "endpoint", "path_style", "profile", "storage_class", "sse", "kms_key", "rate_limit"];
        for table in ["[agent]\n", "[[share]]\n", "[[share]]\n[[share.target]]\n"] {
            let error = toml::from_str::<RawFile>(&format!("{table}zzz = 1")).err().expect("zzz is no key");
            let (_, known) = unknown_key(error.message()).expect("a list of keys");
            assert!(known.len() >= 4, "{known:?}");
            for key in known.into_iter().filter(|key| !buckets.contains(key)) {
                assert!(EXAMPLE.contains(&format!("{key} = ")) || key == "target", "{key}");
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
            ("drift = \"take\"", "line 7: \"take\" is not a choice here"),
            ("name = \"again\"", "line 7: duplicate key"),
            ("x = = 1", "line 7: extra \"=\", expected nothing"),
        ];
        for (line, message) in table {
            assert_eq!(refused(&format!("{MINIMAL}{line}")).0, message);
        }
        assert_eq!(refused(&format!("{MINIMAL}drift = \"take\"")).1, "write \"keep\" or \"overwrite\"");
    }

    #[test]
    fn a_bucket_is_refused_in_plain_words() {
        let target = |lines: &str| refused(&MINIMAL.replace("path = \"/t\"\n", lines));
        let table = [
            (
                "url = \"s3://acme/p\"\nregion = \"eu-west-1\"\n",
                "line 6: target \"t\" of share \"s\" is a bucket (s3://acme/p), and this version mirrors to directories only",
                "give it a path instead, such as a mounted file system",
            ),
            (
                "url = \"ftp://acme\"\n",
                "line 6: target \"t\" of share \"s\" has the url \"ftp://acme\", which does not begin with \"s3://\"",
                "give it a path instead; this version mirrors to directories only",
            ),
            (
                "path = \"/t\"\nurl = \"s3://acme\"\n",
                "line 7: target \"t\" of share \"s\" has both a path and a url",
                "keep the path for a folder, or the url for a bucket",
            ),
            ("", "line 4: target \"t\" of share \"s\" has no path", "add path = \"/the/folder\" below its name"),
            (
                "path = \"/t\"\nregion = \"x\"\n",
                "line 7: target \"t\" of share \"s\" is a folder and has the key \"region\" of a bucket",
                "remove region",
            ),
        ];
        for (lines, message, hint) in table {
            assert_eq!(target(lines), (message.into(), hint.into()));
        }
    }
}
