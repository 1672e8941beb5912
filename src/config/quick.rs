//! The form without a file: one share and its targets, named on the command line.

use std::path::{Path, PathBuf};

use crate::config::check::{self, Lines};
use crate::config::{Agent, Config, ConfigError, LogFormat, PATIENCE, RESCAN, SETTLE, Share, Target};

/// Longest name of a share or a target (characters).
pub(super) const NAME_MAX: usize = 64;

impl Config {
    /// One share with all `targets`, everything else as the defaults say.
    ///
    /// The share is named after its folder; the targets are `target`, `target-2` and so on. All paths are absolute.
    pub fn quick(shares: &[PathBuf], targets: &[PathBuf], state_dir: PathBuf) -> Result<Self, ConfigError> {
        let [path] = shares else {
            return Err(not_one(shares.len()));
        };
        let name = share_name(path);
        for (index, target) in targets.iter().enumerate() {
            let text = target.to_string_lossy();
            if is_url(&text) {
                return Err(no_buckets(&text, &name, &target_name(index), None));
            }
        }
        let targets = targets.iter().enumerate().map(|(index, path)| Target::new(target_name(index), path)).collect();
        let share = Share {
            name,
            path: path.clone(),
            ignore: Vec::new(),
            settle: SETTLE,
            patience: PATIENCE,
            rescan: RESCAN,
            targets,
        };
        let agent = Agent { name: None, state_dir, metrics: None, log: LogFormat::default() };
        let config = Self { agent, shares: vec![share] };
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

/// The refusal of a target that is not a folder.
pub(super) fn no_buckets(url: &str, share: &str, target: &str, line: Option<usize>) -> ConfigError {
    let whose = format!("target {target:?} of share {share:?}");
    if url.starts_with("s3://") {
        return ConfigError::new(
            format!("{whose} is a bucket ({url}), and this version mirrors to directories only"),
            line,
            "give it a path instead, such as a mounted file system",
        );
    }
    ConfigError::new(
        format!("{whose} has the url {url:?}, which does not begin with \"s3://\""),
        line,
        "give it a path instead; this version mirrors to directories only",
    )
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
        let targets: Vec<_> = share.targets.iter().map(|t| (t.name.as_str(), t.path.to_str())).collect();
        assert_eq!(targets, [("target", Some("/mnt/a")), ("target-2", Some("/mnt/b")), ("target-3", Some("/mnt/c"))]);
        assert_eq!(share.targets[0], Target::new("target", "/mnt/a"));
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
                &["/t", "s3://b/p"],
                "target \"target-2\" of share \"a\" is a bucket (s3://b/p), and this version mirrors to directories only",
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
