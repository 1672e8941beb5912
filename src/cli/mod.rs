//! People: what they type, what they read, and how a command ends. The only module that prints.
//!
//! Values are collected below and rendered here by pure functions (`report`, `status_text`, `plan_text`); `out` writes.
//! Every command prints text for people, or JSON with `--json`, and ends with an [`Exit`].

mod agent;
pub mod args;
mod ask;
mod asked;
mod bind;
mod check;
mod collect;
mod conflicts;
mod data;
mod errors;
mod explain;
mod fault;
mod fleet;
mod halt;
mod history;
mod holders;
mod init;
pub mod item_text;
mod log;
mod logs;
mod manager;
mod manual;
mod metrics;
mod out;
pub mod plan_text;
pub mod progress;
pub mod report;
mod resolve;
mod restore;
mod service;
mod settings;
mod setup;
pub mod source;
pub mod status_text;
pub mod text;
mod verify;
mod wanted;
mod when;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::args::{Cli, Command};

pub use data::Format;
pub use errors::{Exit, Failure};
pub use init::{Draft, Written, init};
pub use out::{complain, data, say, say_data};

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
        Command::Init(args) => setup::run(args),
        Command::Run(args) => agent::run(cli, args),
        Command::Sync(args) => agent::sync(cli, args),
        Command::Check(args) => check::check(args),
        Command::Status(args) => ask::status(args),
        Command::Pending(args) => ask::pending(args),
        Command::Problems(args) => ask::problems(args),
        Command::Explain(args) => explain::explain(args),
        Command::History(args) => history::history(args),
        Command::Conflicts(args) => conflicts::conflicts(args),
        Command::Resolve(args) => resolve::resolve(args),
        Command::Restore(args) => restore::restore(args),
        Command::Verify(args) => verify::verify(cli, args),
        Command::Log(args) => log::log(args),
        Command::Approve(args) => asked::approve(args),
        Command::Pause(args) => asked::pause(args),
        Command::Resume(args) => asked::resume(args),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args),
    }
}
