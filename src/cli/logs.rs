//! Log lines on standard error: text for people, or one JSON object a line; as a service, entries of the journal with fields.

use std::os::unix::fs::MetadataExt as _;

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    if let (LogFormat::Text, Some(journal)) = (format, journal()) {
        let _begun = tracing_subscriber::registry().with(filter).with(journal).try_init();
        return;
    }
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

/// The journal, if standard error leads there. What a line is about goes with it as fields: DRIFTLINE_SHARE, DRIFTLINE_TARGET,
/// DRIFTLINE_PATH, DRIFTLINE_FAULT, DRIFTLINE_HINT.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let meta = std::fs::metadata("/proc/self/fd/2").ok()?;
    if !leads_there(&stream, meta.dev(), meta.ino()) {
        return None;
    }
    let priorities = PriorityMappings { info: Priority::Informational, ..PriorityMappings::new() };
    let layer = tracing_journald::layer().ok()?;
    Some(layer.with_field_prefix(Some("DRIFTLINE".to_owned())).with_priority_mappings(priorities))
}

/// The variable is inherited by programs whose output leads elsewhere: systemd.exec(5) has them compare.
fn leads_there(stream: &str, dev: u64, ino: u64) -> bool {
    stream == format!("{dev}:{ino}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_output_that_leads_to_the_journal_is_written_there_directly() {
        assert!(leads_there("8:1234", 8, 1234));
        assert!(!leads_there("8:1234", 8, 1235) && !leads_there("", 0, 0));
    }
}
