//! No place is another, nor lies inside another.
//!
//! By their names: a link that leads from one folder into another is found when they are opened.

use std::path::Path;

use crate::config::check::{Lines, label};
use crate::config::{Bucket, Config, ConfigError, Place};

/// What a place is for: it decides what to advise when two collide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    State,
    Share,
    Target,
}

/// Where a place is.
#[derive(Clone, Copy)]
enum Ground<'a> {
    Folder(&'a Path),
    Bucket(&'a Bucket),
}

struct Spot<'a> {
    role: Role,
    label: String,
    ground: Ground<'a>,
    line: Option<usize>,
}

impl Ground<'_> {
    /// True if `other` is the same or lies inside.
    fn holds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Folder(outer), Self::Folder(inner)) => inner.starts_with(outer),
            (Self::Bucket(outer), Self::Bucket(inner)) => {
                outer.bucket == inner.bucket
                    && service(outer) == service(inner)
                    && is_below(&outer.prefix, &inner.prefix)
            }
            (Self::Folder(_), Self::Bucket(_)) | (Self::Bucket(_), Self::Folder(_)) => false,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Bucket(_) => "place in a bucket",
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Bucket(bucket) => bucket.to_string(),
        }
    }
}

/// Where names of buckets are unique: all of Amazon's addresses lead to the same buckets.
fn service(bucket: &Bucket) -> Option<String> {
    let endpoint = bucket.endpoint.as_ref()?.to_ascii_lowercase();
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    let host = host.trim_end_matches('/');
    let amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    (!amazon).then(|| host.to_owned())
}

fn is_below(outer: &str, inner: &str) -> bool {
    match inner.strip_prefix(outer) {
        Some(rest) => outer.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Refuses places that are the same or lie inside each other.
pub(super) fn apart(config: &Config, lines: &Lines) -> Result<(), ConfigError> {
    let spots = spots(config, lines);
    for (index, later) in spots.iter().enumerate() {
        for earlier in &spots[..index] {
            collide(earlier, later)?;
        }
    }
    Ok(())
}

fn spots<'a>(config: &'a Config, lines: &Lines) -> Vec<Spot<'a>> {
    let state = Ground::Folder(&config.agent.state_dir);
    let mut all =
        vec![Spot { role: Role::State, label: "the state folder".to_owned(), ground: state, line: lines.state_dir }];
    for (index, share) in config.shares.iter().enumerate() {
        let at = lines.shares.get(index);
        let line = at.and_then(|at| at.path);
        let ground = Ground::Folder(&share.path);
        all.push(Spot { role: Role::Share, label: format!("share {:?}", share.name), ground, line });
        for (index, target) in share.targets.iter().enumerate() {
            let line = at.and_then(|at| at.targets.get(index)).and_then(|at| at.place);
            let ground = match &target.place {
                Place::Folder(path) => Ground::Folder(path),
                Place::Bucket(bucket) => Ground::Bucket(bucket),
            };
            all.push(Spot { role: Role::Target, label: label(share, target), ground, line });
        }
    }
    all
}

fn collide(a: &Spot<'_>, b: &Spot<'_>) -> Result<(), ConfigError> {
    let (inner, outer) = match (a.ground.holds(b.ground), b.ground.holds(a.ground)) {
        (true, _) => (b, a),
        (false, true) => (a, b),
        (false, false) => return Ok(()),
    };
    let (place, around) = (inner.ground.shown(), outer.ground.shown());
    let message = if inner.ground.holds(outer.ground) {
        format!("{} and {} are the same {} ({place})", outer.label, inner.label, inner.ground.kind())
    } else {
        format!("{} ({place}) lies inside {} ({around})", inner.label, outer.label)
    };
    Err(ConfigError::new(message, b.line.or(a.line), advice(inner, outer)))
}

fn advice(inner: &Spot<'_>, outer: &Spot<'_>) -> &'static str {
    match (inner.role, outer.role, inner.ground) {
        (Role::State, _, _) | (_, Role::State, _) => {
            "set state_dir (or --state-dir) to a folder apart from all shares and targets"
        }
        (Role::Target, Role::Share, _) => {
            "choose a target outside the share: the copy would be copied again, without end"
        }
        (Role::Share, Role::Target, _) => {
            "choose a target that does not hold the share: staff's files would be taken for copies"
        }
        (Role::Share, Role::Share, _) => "keep the outer share only, or share two folders beside each other",
        (Role::Target, Role::Target, Ground::Folder(_)) => {
            "give each target a folder of its own: two copies in one place undo each other"
        }
        (Role::Target, Role::Target, Ground::Bucket(_)) => {
            "give each target a prefix of its own, such as s3://bucket/one and s3://bucket/two: two copies in one place \
             undo each other"
        }
    }
}
