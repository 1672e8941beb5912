//! The form without a file: one share and its targets, named on the command line.

use std::path::{Path, PathBuf};

use crate::config::check::{self, Lines};
use crate::config::{
    Agent, Bucket, Config, ConfigError, LogFormat, PATIENCE, Place, Prices, RESCAN, SETTLE, Share, Target,
};

/// Longest name of a share or a target (characters).
pub(super) const NAME_MAX: usize = 64;

impl Config {
    /// One share with all `targets`, everything else as the defaults say.
    ///
    /// The share is named after its folder; the targets are `target`, `target-2` and so on. All paths are absolute; a target
    /// that is written `s3://bucket/prefix` is a bucket.
    pub fn quick(shares: &[PathBuf], targets: &[PathBuf], state_dir: PathBuf) -> Result<Self, ConfigError> {
        let [path] = shares else {
            return Err(not_one(shares.len()));
        };
        let name = share_name(path);
        let placed = |(index, path): (usize, &PathBuf)| {
            let target = target_name(index);
            let place = place(path).ok_or_else(|| no_bucket(&path.to_string_lossy(), &name, &target, None))?;
            Ok(Target::new(target, place))
        };
        let targets = targets.iter().enumerate().map(placed).collect::<Result<_, _>>()?;
        let share = Share {
            name,
            path: path.clone(),
            id: None,
            ignore: Vec::new(),
            settle: SETTLE,
            patience: PATIENCE,
            rescan: RESCAN,
            targets,
        };
        let agent = Agent { name: None, state_dir, metrics: None, log: LogFormat::default() };
        let config = Self { agent, prices: Prices::default(), shares: vec![share] };
        check::check(&config, &Lines::default())?;
        Ok(config)
    }
}

fn not_one(count: usize) -> ConfigError {
    match count {
        0 => ConfigError::new("no share is given", None, "name a folder with --share DIR"),
        _ => ConfigError::new(
            format!("{count} shares are given, and it is not known which target belongs to which"),
            None,
            "name one --share, or write a configuration file with one [[share]] for each",
        ),
    }
}

/// Whether a target was written as an address, such as `s3://bucket/prefix`.
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        let mut chars = scheme.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// A folder, or the bucket that an address names; `None` for an address of anything else.
fn place(path: &Path) -> Option<Place> {
    let text = path.to_string_lossy();
    if !is_url(&text) {
        return Some(Place::Folder(path.to_owned()));
    }
    Bucket::at(&text).map(|bucket| Place::Bucket(Box::new(bucket)))
}

/// The refusal of an address that is not a bucket's.
pub(super) fn no_bucket(url: &str, share: &str, target: &str, line: Option<usize>) -> ConfigError {
    let message =
        format!("target {target:?} of share {share:?} has the url {url:?}, which does not begin with \"s3://\"");
    ConfigError::new(message, line, "write it as s3://bucket/prefix; a folder is named by its path")
}

/// The folder's name with everything but plain characters replaced.
fn share_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain: String = name.chars().map(|c| if check::is_plain(c) { c } else { '-' }).take(NAME_MAX).collect();
    let plain = plain.trim_matches(['-', '.']);
    if plain.is_empty() { "share".to_owned() } else { plain.to_owned() }
}

fn target_name(index: usize) -> String {
    if index == 0 { "target".to_owned() } else { format!("target-{}", index + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(shares: &[&str], targets: &[&str]) -> Result<Config, ConfigError> {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        Config::quick(&paths(shares), &paths(targets), "/home/me/.local/state/driftline".into())
    }

    #[test]
    fn one_share_takes_all_targets() {
        let config = quick(&["/srv/Our Projects"], &["/mnt/a", "/mnt/b", "/mnt/c"]).expect("fine");
        let share = &config.shares[0];
        assert_eq!(share.name, "Our-Projects");
        let targets: Vec<_> = share.targets.iter().map(|t| (t.name.as_str(), t.place.to_string())).collect();
        let wanted = [("target", "/mnt/a"), ("target-2", "/mnt/b"), ("target-3", "/mnt/c")];
        assert_eq!(targets, wanted.map(|(name, place)| (name, place.to_owned())));
        assert_eq!(share.targets[0], Target::new("target", Place::Folder("/mnt/a".into())));
    }

    #[test]
    fn an_address_is_a_bucket_with_everything_as_the_defaults_say() {
        let config = quick(&["/srv/a"], &["/mnt/a", "s3://acme/p/q/"]).expect("fine");
        let bucket = Bucket { bucket: "acme".into(), prefix: "p/q".into(), ..Bucket::default() };
        assert_eq!(config.shares[0].targets[1], Target::new("target-2", Place::Bucket(Box::new(bucket))));
        assert_eq!(config.shares[0].targets[1].audit, Some(crate::config::BUCKET_AUDIT));
    }

    #[test]
    fn a_folder_of_any_name_gives_a_plain_name() {
        let long = format!("/{}", "x".repeat(200));
        let table = [
            ("/", "share"),
            ("/srv/Büro", "B-ro"),
            ("/srv/...", "share"),
            ("/srv/日本", "share"),
            (&long, &long[1..65]),
        ];
        for (path, name) in table {
            assert_eq!(share_name(Path::new(path)), name);
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let table: [(&[&str], &[&str], &str); 6] = [
            (&[], &["/t"], "no share is given"),
            (&["/a", "/b"], &["/t"], "2 shares are given, and it is not known which target belongs to which"),
            (&["/a"], &[], "share \"a\" has no target"),
            (&["/a"], &["/a/t"], "target \"target\" of share \"a\" (/a/t) lies inside share \"a\" (/a)"),
            (
                &["/a"],
                &["/t", "gs://b/p"],
                "target \"target-2\" of share \"a\" has the url \"gs://b/p\", which does not begin with \"s3://\"",
            ),
            (
                &["/home"],
                &["/t"],
                "the state folder (/home/me/.local/state/driftline) lies inside share \"home\" (/home)",
            ),
        ];
        for (shares, targets, message) in table {
            assert_eq!(quick(shares, targets).expect_err(message).to_string(), message);
        }
    }

    #[test]
    fn an_address_has_a_scheme() {
        for (text, is) in [("s3://b", true), ("https://x", true), ("/mnt/a://b", false), ("a", false), ("://", false)] {
            assert_eq!(is_url(text), is, "{text}");
        }
    }
}
