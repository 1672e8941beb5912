//! The commented file that `init` writes: the example of the documentation with other names and paths.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, STATE_DIR};

const EXAMPLE: &str = include_str!("../../config.example.toml");
const SHARE: &str = "[[share]]\n";
const TARGET: &str = "[[share.target]]\n";

impl Config {
    /// A commented file for the places and names of this configuration; every other key is there with its default.
    ///
    /// Fails on paths that are not UTF-8, which no configuration file can hold.
    pub fn commented(&self) -> Result<String, ConfigError> {
        let (head, rest) = EXAMPLE.split_once(SHARE).expect("the example has a share");
        let (share_part, target_part) = rest.split_once(TARGET).expect("the example has a target");
        let mut text = head.to_owned();
        if self.agent.state_dir != Path::new(STATE_DIR) {
            text = with_line(&text, "# state_dir = ", &format!("state_dir = {}", quoted(&self.agent.state_dir)?));
        }
        for share in &self.shares {
            text += SHARE;
            text += &placed(share_part, &share.name, &share.path)?;
            for (index, target) in share.targets.iter().enumerate() {
                let gap = if index == 0 { "" } else { "\n" };
                text = text + gap + TARGET + &placed(target_part, &target.name, &target.path)?;
            }
        }
        Ok(text)
    }
}

fn placed(part: &str, name: &str, path: &Path) -> Result<String, ConfigError> {
    let part = with_line(part, "name = ", &format!("name = {}", quoted(&PathBuf::from(name))?));
    Ok(with_line(&part, "path = ", &format!("path = {}", quoted(path)?)))
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

fn quoted(path: &Path) -> Result<String, ConfigError> {
    let text = path.to_str().ok_or_else(|| {
        let message =
            format!("the path {} is not UTF-8, and a configuration file can hold nothing else", path.display());
        ConfigError::new(message, None, "rename the folder, or name it with --share and --target each time")
    })?;
    Ok(toml::Value::from(text).to_string())
}
