//! The inbox of conflicts: what `conflicts` and `resolve` take.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{Choice, Output, ShareArgs};
use crate::index::Resolution;

/// `conflicts`.
#[derive(Debug, Args)]
pub struct ConflictsArgs {
    /// Whose index to ask.
    #[command(flatten)]
    pub choice: Choice,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

pub(super) const CONFLICTS_HELP: &str = "\
With drift = \"take\", where both sides had changed a path and hold different content, the share's version stays under the \
name and the target's is in the target's history. No clock has a say in that. Each such version is listed here until somebody \
resolves it, and so long no history is pruned of that path. Ends with 1 if there are any.

The list is in the index. With the index lost it begins anew; the versions are in history all the same: driftline history PATH.";

/// `resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// A path in a share, as `conflicts` lists it; relative to the share or from the root
    pub path: PathBuf,
    /// Which version is wanted: share, target or both
    #[arg(long, value_name = "WHICH", value_parser = resolution)]
    pub keep: Resolution,
    /// Only the conflict with this target
    #[arg(long, value_name = "TARGET")]
    pub from: Option<String>,
    /// Only the conflict of this number, as `conflicts --json` tells it
    #[arg(long, value_name = "NUMBER")]
    pub id: Option<i64>,
    /// Whose.
    #[command(flatten)]
    pub places: ShareArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

pub(super) const RESOLVE_HELP: &str = "\
  --keep share   the share's version stays; the target's stays in history for
                 as long as that is kept
  --keep target  the target's version is put on the share under the name; what
                 lies there is kept in the share's .driftline/kept/
  --keep both    the target's version is put beside it, as in
                 report (conflict from efs 2026-11-29 14-03-21).odt: the time
                 is in UTC, and that of the conflict

What is put on the share goes to all its targets from there. Nothing is put over what somebody has open for writing. What is cut \
off is finished by the same command again.";

fn resolution(text: &str) -> Result<Resolution, String> {
    Resolution::from_word(text).ok_or_else(|| "write share, target or both".to_owned())
}
