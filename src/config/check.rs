//! What a configuration must hold beyond its grammar: plain names, absolute paths, no place inside another.

mod apart;
mod bucket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path};
use std::time::Duration;

use crate::config::quick::NAME_MAX;
use crate::config::{Config, ConfigError, Place, Share, Span, Target};
use crate::plan::{Deletes, Drift};

/// Longest name of a currency (characters).
const CURRENCY_MAX: usize = 8;

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
    pub(super) id: Option<usize>,
    pub(super) settle: Option<usize>,
    pub(super) patience: Option<usize>,
    pub(super) rescan: Option<usize>,
    pub(super) targets: Vec<TargetLines>,
}

/// Where a target's keys stand.
#[derive(Debug, Default)]
pub(super) struct TargetLines {
    pub(super) name: Option<usize>,
    /// The path or the url.
    pub(super) place: Option<usize>,
    pub(super) history: Option<usize>,
    pub(super) audit: Option<usize>,
    pub(super) region: Option<usize>,
    pub(super) endpoint: Option<usize>,
    pub(super) profile: Option<usize>,
    pub(super) storage_class: Option<usize>,
    pub(super) kms_key: Option<usize>,
    pub(super) tags: Option<usize>,
    pub(super) events: Option<usize>,
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
    queues(config, lines)?;
    apart::apart(config, lines)
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
    if let Some(id) = &share.id {
        identity(&whose, id, at.id)?;
    }
    not_zero(&whose, "settle", share.settle, at.settle)?;
    not_zero(&whose, "rescan", share.rescan, at.rescan)?;
    if share.patience < share.settle {
        let (patience, settle) = (Span(share.patience), Span(share.settle));
        let message = format!("patience ({patience}) of {whose} is shorter than settle ({settle})");
        return Err(ConfigError::new(message, at.patience.or(at.settle), "make patience at least as long as settle"));
    }
    if share.targets.is_empty() {
        let hint = "add a [[share.target]] with a name and a path or a url below it (on the command line: --target)";
        return Err(ConfigError::new(format!("{whose} has no target"), at.table, hint));
    }
    targets(share, at)
}

/// It is the id of another agent's share, as its targets bear it.
fn identity(whose: &str, id: &str, line: Option<usize>) -> Result<(), ConfigError> {
    let fine = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fine {
        return Ok(());
    }
    let message = format!("the id of {whose} is {id:?}, and no share has such an id");
    let hint =
        "say it as `share` stands in .driftline/identity on the target, or leave it out where one agent writes there";
    Err(ConfigError::new(message, line, hint))
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
    match &target.place {
        Place::Folder(path) => absolute(&whose, path, at.place)?,
        Place::Bucket(bucket) => bucket::bucket(&whose, bucket, at)?,
    }
    not_zero(&whose, "history", target.history, at.history)?;
    two_ways(&whose, target, at)?;
    match target.audit {
        Some(audit) => not_zero(&whose, "audit", audit, at.audit),
        None => Ok(()),
    }
}

/// Two-way, what one side removes is removed on the other, and it is listings that tell what others did.
fn two_ways(whose: &str, target: &Target, at: &TargetLines) -> Result<(), ConfigError> {
    if target.drift != Drift::Take {
        return Ok(());
    }
    if target.deletes == Deletes::Retain {
        let message = format!(
            "{whose} has drift = \"take\" and deletes = \"retain\": what it retains would come back to the share"
        );
        return Err(ConfigError::new(message, at.name, "leave out deletes; what is removed stays in history"));
    }
    if target.audit.is_none() {
        let message =
            format!("{whose} has drift = \"take\" and audit = \"never\": nothing would tell what others change there");
        return Err(ConfigError::new(
            message,
            at.audit.or(at.name),
            "write how often to look, such as audit = \"5min\"",
        ));
    }
    Ok(())
}

/// A queue gives each message to one of those who ask: of two targets, each would miss what the other one took.
fn queues(config: &Config, lines: &Lines) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for (s, share) in config.shares.iter().enumerate() {
        for (t, target) in share.targets.iter().enumerate() {
            let Some(queue) = target.place.bucket().and_then(|bucket| bucket.events.as_ref()) else { continue };
            let whose = label(share, target);
            if let Some(other) = seen.insert(queue.url.trim_end_matches('/'), whose.clone()) {
                let line = lines.shares.get(s).and_then(|share| share.targets.get(t)).and_then(|target| target.events);
                let message =
                    format!("{whose} has the same events as {other}: each would miss what the other one takes");
                let hint = "give each target a queue of its own; an SNS topic between sends the events to all of them";
                return Err(ConfigError::new(message, line, hint));
            }
        }
    }
    Ok(())
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

/// Reads a price.
pub(super) fn price(key: &str, price: f64, line: Option<usize>) -> Result<f64, ConfigError> {
    if price.is_finite() && price >= 0.0 {
        return Ok(price);
    }
    let hint = "write a number such as 0.005, or 0 where nothing is charged";
    Err(ConfigError::new(format!("{key} = {price} is no price"), line, hint))
}

/// Reads a currency's name.
pub(super) fn currency(text: &str, line: Option<usize>) -> Result<String, ConfigError> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    if (1..=CURRENCY_MAX).contains(&text.chars().count()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let hint = "write its short name, such as \"USD\"";
    Err(ConfigError::new(format!("{text:?} is no currency"), line, hint))
}

#[cfg(test)]
mod tests;
