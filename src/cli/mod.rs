//! People: what they type, what they read, and how a command ends. The only module that prints.
//!
//! Values are collected below and rendered here by pure functions (`report`, `status_text`, `plan_text`); `out` writes.
//! Every command prints text for people, or JSON with `--json`, and ends with an [`Exit`].

mod agent;
pub mod args;
mod errors;
mod init;
mod logs;
mod out;
pub mod plan_text;
pub mod progress;
pub mod report;
pub mod source;
pub mod status_text;
pub mod text;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::args::{Cli, Command};

pub use errors::{Exit, Failure};
pub use init::{Written, init};
pub use out::{complain, json, say, say_json};

/// Reads the command line, does what it asks, and says how that ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match dispatch(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            complain(&failure);
            failure.exit().into()
        }
    }
}

/// Help and version are asked for (0); everything else is wrong usage (2).
fn not_understood(error: &clap::Error) -> ExitCode {
    // Nobody may be reading: the exit code tells all the same.
    drop(error.print());
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() }
}

fn dispatch(cli: &Cli) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Init(args) => run_init(args),
        Command::Run(args) => agent::run(cli, args),
        Command::Sync(args) => agent::sync(cli, args),
        Command::Status(args) => source::state_dir(&args.state).and_then(|_| Err(not_wired("status"))),
        Command::Pending(_) => Err(not_wired("pending")),
        Command::Problems(_) => Err(not_wired("problems")),
        Command::Explain(_) => Err(not_wired("explain")),
        Command::Approve(_) => Err(not_wired("approve")),
        Command::Pause(_) => Err(not_wired("pause")),
        Command::Resume(_) => Err(not_wired("resume")),
    }
}

fn not_wired(command: &str) -> Failure {
    Failure::cannot(Exit::Internal, command, "this build has no engine")
}

fn run_init(args: &args::InitArgs) -> Result<Exit, Failure> {
    let (_, written) = init(args)?;
    let path = text::harmless(&args.config.to_string_lossy());
    say(&match written {
        Written::New => format!("Wrote {path}. Start the agent with: driftline run --config {path}\n"),
        Written::Same => format!("{path} holds this already.\n"),
    })?;
    Ok(Exit::Fine)
}
