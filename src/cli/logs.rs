//! Log lines on standard error: text for people, or one JSON object a line.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::cli::args::Cli;
use crate::config::{Config, LogFormat};

/// Whether only trouble is logged unless more is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// Warnings and errors.
    Yes,
    /// What begins and ends, too.
    No,
}

/// Begins logging; `DRIFTLINE_LOG` (tracing's filter syntax) overrides the level.
pub(super) fn begin(cli: &Cli, config: &Config, quiet: Quiet) {
    let level = match (cli.verbose, quiet) {
        (0, Quiet::Yes) => "warn",
        (0, Quiet::No) => "info",
        (1, _) => "driftline=debug,info",
        (_, _) => "driftline=trace,info",
    };
    let filter = EnvFilter::try_from_env("DRIFTLINE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let format = cli.log.unwrap_or(config.agent.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(SystemTime);
    // Already begun: in tests that run several commands in one process.
    let _begun = match format {
        LogFormat::Text => {
            let seen = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(seen).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
