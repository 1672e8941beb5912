//! From TOML text to a [`Config`]: which keys there are, what they may hold, and on which line they stand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use toml::Spanned;

use crate::config::check::{self, Lines, ShareLines, TargetLines};
use crate::config::nearest::nearest;
use crate::config::quick::no_bucket;
use crate::config::{
    Adopt, Agent, Bucket, Budget, Config, ConfigError, HISTORY, HISTORY_VERSIONS, LogFormat, Ownership, PATIENCE,
};
use crate::config::{Place, Prices, Queue, RESCAN, SETTLE, STATE_DIR, Share, Span, Sse, Target, Timetable};
use crate::plan::{Deletes, Drift};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    agent: RawAgent,
    #[serde(default)]
    prices: RawPrices,
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

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrices {
    currency: Option<Spanned<String>>,
    put: Option<Spanned<f64>>,
    get: Option<Spanned<f64>>,
    list: Option<Spanned<f64>>,
    queue: Option<Spanned<f64>>,
    storage: Option<Spanned<f64>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShare {
    name: Spanned<String>,
    path: Spanned<String>,
    id: Option<Spanned<String>>,
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
    history_versions: Option<u16>,
    audit: Option<Spanned<Audit>>,
    #[serde(default)]
    ownership: Ownership,
    url: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    endpoint: Option<Spanned<String>>,
    path_style: Option<Spanned<bool>>,
    profile: Option<Spanned<String>>,
    storage_class: Option<Spanned<String>>,
    sse: Option<Spanned<RawSse>>,
    kms_key: Option<Spanned<String>>,
    tags: Option<Spanned<BTreeMap<String, String>>>,
    rate_limit: Option<Spanned<Timetable>>,
    request_budget: Option<Spanned<Budget>>,
    adopt: Option<Spanned<Adopt>>,
    events: Option<Spanned<String>>,
}

#[derive(Clone, Copy, serde::Deserialize)]
enum RawSse {
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One line, or a list of lines.
impl<'de> Deserialize<'de> for Timetable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimetableVisitor)
    }
}

struct TimetableVisitor;

impl<'de> Visitor<'de> for TimetableVisitor {
    type Value = Timetable;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Timetable, E> {
        Timetable::parse([line]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Timetable, A::Error> {
        let mut lines: Vec<String> = Vec::new();
        while let Some(line) = seq.next_element()? {
            lines.push(line);
        }
        Timetable::parse(lines.iter().map(String::as_str)).map_err(A::Error::custom)
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

impl Config {
    /// Where the index lies according to a text that need not be right otherwise: whoever asks an agent that read a better one
    /// finds it.
    pub fn state_dir_of(text: &str) -> PathBuf {
        let lines = text.lines().map(str::trim).skip_while(|line| *line != "[agent]").skip(1);
        let mut lines = lines.take_while(|line| !line.starts_with('['));
        let value = |line: &str| {
            let table: toml::Table = toml::from_str(line).ok()?;
            Some(PathBuf::from(table.get("state_dir")?.as_str()?))
        };
        lines.find_map(value).unwrap_or_else(|| STATE_DIR.into())
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
        let prices = self.prices(raw.prices)?;
        let mut shares = Vec::new();
        for raw in raw.share {
            let (share, at) = self.share(raw)?;
            shares.push(share);
            lines.shares.push(at);
        }
        Ok((Config { agent, prices, shares }, lines))
    }

    fn prices(&self, raw: RawPrices) -> Result<Prices, ConfigError> {
        let known = Prices::default();
        let price = |key: &str, value: Option<Spanned<f64>>, default: f64| match value {
            Some(value) => check::price(key, *value.get_ref(), self.line(&value)),
            None => Ok(default),
        };
        let currency = raw.currency.map(|text| check::currency(text.get_ref(), self.line(&text))).transpose()?;
        Ok(Prices {
            currency: currency.unwrap_or(known.currency),
            put: price("put", raw.put, known.put)?,
            get: price("get", raw.get, known.get)?,
            list: price("list", raw.list, known.list)?,
            queue: price("queue", raw.queue, known.queue)?,
            storage: price("storage", raw.storage, known.storage)?,
        })
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
            id: self.line_of_option(raw.id.as_ref()),
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
            id: raw.id.map(Spanned::into_inner),
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
        let place = self.place(&raw, share, table)?;
        let lines = TargetLines {
            name: self.line(&raw.name),
            place: self.line_of_option(raw.path.as_ref()).or(self.line_of_option(raw.url.as_ref())),
            history: self.line_of_option(raw.history.as_ref()),
            audit: self.line_of_option(raw.audit.as_ref()),
            region: self.line_of_option(raw.region.as_ref()),
            endpoint: self.line_of_option(raw.endpoint.as_ref()),
            profile: self.line_of_option(raw.profile.as_ref()),
            storage_class: self.line_of_option(raw.storage_class.as_ref()),
            kms_key: self.line_of_option(raw.kms_key.as_ref()),
            tags: self.line_of_option(raw.tags.as_ref()),
            events: self.line_of_option(raw.events.as_ref()),
        };
        let usual = if raw.drift == Drift::Take { place.audit_two_ways() } else { place.audit() };
        let audit = raw.audit.map_or(Some(usual), |audit| audit.into_inner().0);
        let target = Target {
            name: raw.name.into_inner(),
            place,
            deletes: raw.deletes,
            drift: raw.drift,
            history: span_or(raw.history, HISTORY),
            history_versions: raw.history_versions.map_or(HISTORY_VERSIONS, usize::from),
            audit,
            ownership: raw.ownership,
        };
        Ok((target, lines))
    }

    /// Where a target is: its path or its url says which kind it is.
    fn place(&self, raw: &RawTarget, share: &str, table: Option<usize>) -> Result<Place, ConfigError> {
        let name = raw.name.get_ref();
        match (&raw.path, &raw.url) {
            (Some(path), None) => {
                self.no_bucket_keys(raw, share)?;
                Ok(Place::Folder(path.get_ref().into()))
            }
            (None, Some(url)) => {
                let bucket = Bucket::at(url.get_ref());
                let bucket = bucket.ok_or_else(|| no_bucket(url.get_ref(), share, name, self.line(url)))?;
                Ok(Place::Bucket(Box::new(self.bucket(bucket, raw, share)?)))
            }
            (Some(_), Some(url)) => Err(ConfigError::new(
                format!("target {name:?} of share {share:?} has both a path and a url"),
                self.line(url),
                "keep the path for a folder, or the url for a bucket",
            )),
            (None, None) => Err(ConfigError::new(
                format!("target {name:?} of share {share:?} has neither a path nor a url"),
                table,
                "add path = \"/the/folder\" or url = \"s3://bucket/prefix\" below its name",
            )),
        }
    }

    fn bucket(&self, at: Bucket, raw: &RawTarget, share: &str) -> Result<Bucket, ConfigError> {
        let endpoint = inner(raw.endpoint.as_ref());
        Ok(Bucket {
            region: inner(raw.region.as_ref()),
            path_style: inner(raw.path_style.as_ref()).unwrap_or(endpoint.is_some()),
            endpoint,
            profile: inner(raw.profile.as_ref()),
            storage_class: inner(raw.storage_class.as_ref()),
            sse: self.sse(raw, share)?,
            tags: inner(raw.tags.as_ref()).unwrap_or_default().into_iter().collect(),
            rate_limit: inner(raw.rate_limit.as_ref()).unwrap_or_default(),
            request_budget: inner(raw.request_budget.as_ref()),
            adopt: inner(raw.adopt.as_ref()).unwrap_or_default(),
            events: self.events(raw, share)?,
            ..at
        })
    }

    fn events(&self, raw: &RawTarget, share: &str) -> Result<Option<Queue>, ConfigError> {
        let Some(text) = &raw.events else { return Ok(None) };
        Queue::parse(text.get_ref()).map(Some).map_err(|bad| {
            let (name, what) = (raw.name.get_ref(), bad.what);
            let message = format!("events {:?} of target {name:?} of share {share:?} {what}", text.get_ref());
            ConfigError::new(message, self.line(text), bad.hint)
        })
    }

    fn sse(&self, raw: &RawTarget, share: &str) -> Result<Option<Sse>, ConfigError> {
        match (inner(raw.sse.as_ref()), &raw.kms_key) {
            (Some(RawSse::Kms), key) => Ok(Some(Sse::Kms { key: inner(key.as_ref()) })),
            (Some(RawSse::S3), None) => Ok(Some(Sse::S3)),
            (None, None) => Ok(None),
            (Some(RawSse::S3) | None, Some(key)) => Err(ConfigError::new(
                format!("target {:?} of share {share:?} has a kms_key that nothing uses", raw.name.get_ref()),
                self.line(key),
                "set sse = \"aws:kms\", or remove kms_key",
            )),
        }
    }

    fn no_bucket_keys(&self, raw: &RawTarget, share: &str) -> Result<(), ConfigError> {
        let keys = [
            ("region", self.line_of_option(raw.region.as_ref())),
            ("endpoint", self.line_of_option(raw.endpoint.as_ref())),
            ("path_style", self.line_of_option(raw.path_style.as_ref())),
            ("profile", self.line_of_option(raw.profile.as_ref())),
            ("storage_class", self.line_of_option(raw.storage_class.as_ref())),
            ("sse", self.line_of_option(raw.sse.as_ref())),
            ("kms_key", self.line_of_option(raw.kms_key.as_ref())),
            ("tags", self.line_of_option(raw.tags.as_ref())),
            ("rate_limit", self.line_of_option(raw.rate_limit.as_ref())),
            ("request_budget", self.line_of_option(raw.request_budget.as_ref())),
            ("adopt", self.line_of_option(raw.adopt.as_ref())),
            ("events", self.line_of_option(raw.events.as_ref())),
        ];
        let name = raw.name.get_ref();
        match keys.into_iter().find(|(_, line)| line.is_some()) {
            None => Ok(()),
            Some((key, line)) => {
                let message =
                    format!("target {name:?} of share {share:?} is a folder and has the key {key:?} of a bucket");
                Err(ConfigError::new(message, line, format!("remove {key}")))
            }
        }
    }
}

fn inner<T: Clone>(value: Option<&Spanned<T>>) -> Option<T> {
    value.map(|value| value.get_ref().clone())
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
    let message =
        error.message().trim_end().replace('\n', ", ").replace('`', "\"").replace("expected f64", "expected a number");
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
mod tests;
