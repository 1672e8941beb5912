//! The commented file that `init` writes: the example of the documentation with other names and places.

use std::path::Path;

use crate::config::{Bucket, Config, ConfigError, Place, STATE_DIR, Share, Target};

const EXAMPLE: &str = include_str!("../../config.example.toml");
const SHARE: &str = "[[share]]";
const TARGET: &str = "[[share.target]]";
const NO_TARGET: &str = "# [[share.target]]";
/// Said of a bucket that is only an example.
const TO_HAVE_ONE: &str = "# To have one, ";

/// The paragraphs of the example.
struct Parts {
    head: String,
    share: &'static str,
    folder: &'static str,
    bucket: &'static str,
}

impl Config {
    /// A commented file for the places and names of this configuration; every other key is there with its default.
    ///
    /// Of buckets it also holds region, endpoint and profile, without which they would not be the same buckets. Fails on
    /// paths that are not UTF-8, which no configuration file can hold.
    pub fn commented(&self) -> Result<String, ConfigError> {
        let parts = parts();
        let mut head = parts.head.clone();
        if self.agent.state_dir != Path::new(STATE_DIR) {
            head = with_line(&head, "# state_dir = ", &format!("state_dir = {}", quoted(&self.agent.state_dir)?));
        }
        let mut text = vec![head];
        for share in &self.shares {
            text.extend(share_text(&parts, share)?);
        }
        let mut targets = self.shares.iter().flat_map(|share| &share.targets);
        if targets.all(|target| target.place.bucket().is_none()) {
            text.push(parts.bucket.to_owned());
        }
        Ok(text.join("\n\n") + "\n")
    }
}

fn parts() -> Parts {
    let has = |line: &'static str| move |text: &&str| text.lines().any(|other| other == line);
    let mut paragraphs = EXAMPLE.trim_end().split("\n\n");
    let find = |line| paragraphs.clone().find(has(line)).expect("the example has a share, a folder and a bucket");
    let (share, folder, bucket) = (find(SHARE), find(TARGET), find(NO_TARGET));
    let head: Vec<_> = paragraphs.by_ref().take_while(|text| *text != share).collect();
    Parts { head: head.join("\n\n"), share, folder, bucket }
}

fn share_text(parts: &Parts, share: &Share) -> Result<Vec<String>, ConfigError> {
    let mut placed_share = placed(parts.share, &share.name, &share.path)?;
    if let Some(id) = &share.id {
        placed_share = with_line(&placed_share, "#   id = ", &format!("id = {}", string(id)));
    }
    let mut text = vec![placed_share];
    for Target { name, place, .. } in &share.targets {
        text.push(match place {
            Place::Folder(path) => placed(parts.folder, name, path)?,
            Place::Bucket(bucket) => bucket_text(parts.bucket, name, bucket),
        });
    }
    Ok(text)
}

fn placed(part: &str, name: &str, path: &Path) -> Result<String, ConfigError> {
    let part = with_line(part, "name = ", &format!("name = {}", string(name)));
    Ok(with_line(&part, "path = ", &format!("path = {}", quoted(path)?)))
}

/// The example of a bucket made a real one.
fn bucket_text(part: &str, name: &str, bucket: &Bucket) -> String {
    let part: Vec<_> = part.lines().filter(|line| !line.starts_with(TO_HAVE_ONE)).collect();
    let mut text = with_line(&part.join("\n"), NO_TARGET, TARGET);
    text = with_line(&text, "# name = ", &format!("name = {}", string(name)));
    text = with_line(&text, "# url = ", &format!("url = {}", string(&bucket.to_string())));
    let optional = [("region", &bucket.region), ("endpoint", &bucket.endpoint), ("profile", &bucket.profile)];
    for (key, value) in optional {
        if let Some(value) = value {
            text = with_line(&text, &format!("#   {key} = "), &format!("{key} = {}", string(value)));
        }
    }
    text
}

/// The text with its first line that begins with `start` replaced by `line`.
fn with_line(text: &str, start: &str, line: &str) -> String {
    let mut replaced = false;
    let mut lines = text.split('\n').map(|old| {
        let now = !replaced && old.starts_with(start);
        replaced |= now;
        if now { line } else { old }
    });
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + "\n" + line)
}

fn string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quoted(path: &Path) -> Result<String, ConfigError> {
    let text = path.to_str().ok_or_else(|| {
        let message =
            format!("the path {} is not UTF-8, and a configuration file can hold nothing else", path.display());
        ConfigError::new(message, None, "rename the folder, or name it with --share and --target each time")
    })?;
    Ok(string(text))
}
