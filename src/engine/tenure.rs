//! Which agent the state folder is, and which of its runs this is: the file `agent` beside the index.
//!
//! It is apart from the index, which may be lost or come back from a backup without making another agent of this one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::Wall;
use crate::plan::Run;
use crate::sys::host;
use crate::target::Tenure;

/// The file's name in the state folder.
const AGENT: &str = "agent";

#[derive(Serialize, Deserialize)]
struct Remembered {
    agent: String,
    #[serde(flatten)]
    run: Run,
}

/// The id of the agent that works with a state folder, if one ever did.
pub fn agent_of(state_dir: &Path) -> Option<String> {
    known(&state_dir.join(AGENT)).map(|known| known.agent)
}

fn known(path: &Path) -> Option<Remembered> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes).ok().filter(is_name)
}

/// Begins another run of the state folder's agent; it is remembered before anything is left on a target.
///
/// The epoch is the time in seconds, or one more than the last one where a clock was set back: after a state folder comes
/// back from a backup the next run is above those that it does not know of. A file that cannot be written is told: at worst
/// the next run waits for five minutes, until this one is known to be over.
pub(super) fn begin(state_dir: &Path, name: &str, stays: bool, now: Wall) -> Tenure {
    let path = state_dir.join(AGENT);
    let fresh = Tenure::fresh_id;
    let (agent, before) = match known(&path) {
        Some(known) => (known.agent, Some(known.run)),
        None => (fresh(), None),
    };
    let seconds = u64::try_from(now.0 / 1_000_000_000).unwrap_or(0);
    let epoch = before.as_ref().map_or(seconds, |before| seconds.max(before.epoch.saturating_add(1)));
    let run = Run { epoch, token: fresh() };
    if let Err(error) = remember(state_dir, &Remembered { agent: agent.clone(), run: run.clone() }) {
        tracing::warn!(
            hint = "check the disk and the permissions of the state folder",
            "this run cannot be remembered in {}: {error}",
            path.display()
        );
    }
    let (host, version) = (host::name(), env!("CARGO_PKG_VERSION").to_owned());
    Tenure { agent, name: name.to_owned(), host, version, run, before, started: now, stays }
}

/// It becomes the name of a file on targets.
fn is_name(known: &Remembered) -> bool {
    known.agent.len() <= 64 && known.agent.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Durable when it returns.
fn remember(state_dir: &Path, known: &Remembered) -> io::Result<()> {
    let draft = state_dir.join(format!("{AGENT}.new"));
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(known)?)?;
    file.sync_all()?;
    fs::rename(&draft, state_dir.join(AGENT))?;
    File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_800_000_000_000_000_000);

    #[test]
    fn each_run_is_another_one_of_the_same_agent() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = begin(dir.path(), "office", true, NOW);
        assert_eq!((first.before, first.run.epoch), (None, 1_800_000_000));
        let second = begin(dir.path(), "office", true, NOW);
        assert_eq!((&second.agent, second.before.as_ref()), (&first.agent, Some(&first.run)));
        assert_eq!(second.run.epoch, 1_800_000_001, "also within one second");
        let third = begin(dir.path(), "office", true, Wall(0));
        assert_eq!(third.run.epoch, 1_800_000_002, "also with a clock that was set back");
    }

    #[test]
    fn a_file_that_was_spoiled_is_another_agent_and_no_harm() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = begin(dir.path(), "office", true, NOW);
        for spoiled in [&b""[..], b"{\"agent\":\"../../etc\",\"epoch\":1,\"run\":\"x\"}", b"{}"] {
            fs::write(dir.path().join(AGENT), spoiled).expect("written");
            let next = begin(dir.path(), "office", true, NOW);
            assert_ne!(next.agent, first.agent);
            assert_eq!(next.before, None);
        }
    }
}
