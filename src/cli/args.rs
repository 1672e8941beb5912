//! What can be typed: commands, their options, and the help.

mod inbox;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cli::data::Format;
use crate::config::LogFormat;

use self::inbox::{CONFLICTS_HELP, RESOLVE_HELP};
pub use self::inbox::{ConflictsArgs, ResolveArgs};

/// Where the configuration lies, unless said otherwise.
pub const CONFIG: &str = "/etc/driftline/config.toml";

const EXIT_CODES: &str = "\
Exit codes:
   0  fine
   1  problems, holds or a halt
   2  wrong usage
   3  the agent is not running (status)
  70  internal error
  78  wrong configuration

The administrator's guide: man driftline-guide; where that is not installed, driftline man guide | man -l -";

const LOG_COVERS: &str = "\
One line per entry: when, on which share and target, what, the path, why or with which effect, and what to type where it may \
wait for a person. Told are

  put, move, remove      the content's first eight hex digits, what it
                         replaced, and a bucket's version id
  make folder, set meta  mode, owner, access list or time carried over alone
  adopt, forget          the target held it already; it is gone everywhere
  conflict, resolve      both sides had changed it; what a person kept
  hold, release, let go  a path waits, why, and when it no longer does; what is
                         left to someone else
  unreadable, readable   a path of the share that cannot be read
  offline, online        a share or target that goes away and comes back
  fault, unresponsive    a target that refuses or does not answer
  halt, approve          a target that waits for a person; who let it go on
  verify, repair         what a verification found wrong, what was put right
  config                 a change of the configuration: in effect or waiting
  pause, resume, bind, start, stop, prune, index

The trail lies in the index in the state folder. At least the newest 100,000 entries are kept, however old they are; older ones \
go. Of paths that are held the first 4,096 are told one by one. An index that is made anew begins a new trail. Contents of files \
and who saved them are not in it.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "driftline",
    version,
    about = "Keeps an office's shared folders safe on every target, and says since when they are.",
    after_help = EXIT_CODES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines are written [default: as configured, else text]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = log_format)]
    pub log: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented configuration, bind share and targets to each other, and start the service
    Init(InitArgs),
    /// Run the agent in the foreground, until it is told to stop
    Run(RunArgs),
    /// Make one pass: copy, verify and remove until nothing is left to do
    Sync(SyncArgs),
    /// Check shares and targets beforehand: names, limits, mounts, permissions, and what it will cost
    Check(CheckArgs),
    /// Say whether everything is safe, and since when
    Status(StatusArgs),
    /// List the paths that wait: why, since when, and what to do
    Pending(ListArgs),
    /// List what needs a person: why, since when, and what to do
    Problems(ListArgs),
    /// Tell all that is known of one path: on the share, on each target, and what is decided
    Explain(ExplainArgs),
    /// List the versions of a path that can be had back: on each target, since when and until when each lay there
    History(HistoryArgs),
    /// List the conflicts of two-way shares: paths that both sides had changed. Both versions are kept
    #[command(after_help = CONFLICTS_HELP)]
    Conflicts(ConflictsArgs),
    /// Say which version of a conflict is wanted: the share's, the target's, or both
    #[command(after_help = RESOLVE_HELP)]
    Resolve(ResolveArgs),
    /// Have a file, a folder or a whole share back, as it is on a target now or as it was at some time
    Restore(RestoreArgs),
    /// Tell what was done to each file, and what became of each share and target
    #[command(after_help = LOG_COVERS)]
    Log(LogArgs),
    /// Read back what the targets hold, and compare it with what was left there
    Verify(VerifyArgs),
    /// Let a halted target go on, let a change of the configuration take effect, or take another folder or place for a share
    /// or target
    Approve(ApproveArgs),
    /// Make no change on any target until `resume`
    Pause(StateArgs),
    /// Go on after `pause`
    Resume(StateArgs),
    /// Print what a shell needs to complete the commands and their options
    Completions(CompletionsArgs),
    /// Print the manual, or that of one command, or the administrator's guide
    Man(ManArgs),
}

/// Which shares and targets: a configuration file, or one share and its targets named here.
#[derive(Clone, Debug, Default, Args)]
pub struct Places {
    /// The configuration file [default: /etc/driftline/config.toml]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["share", "target"])]
    pub config: Option<PathBuf>,
    /// A folder to keep safe, without a configuration file
    #[arg(long, value_name = "DIR", requires = "target")]
    pub share: Vec<PathBuf>,
    /// A folder or s3://BUCKET/PREFIX to keep its copy in; may be repeated
    #[arg(long, value_name = "PLACE", requires = "share")]
    pub target: Vec<PathBuf>,
    /// Where the index lies [default: as configured; without a file, the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Whose index to ask: named as for `run`, or by the state folder alone.
#[derive(Clone, Debug, Default, Args)]
pub struct StateArgs {
    /// As for `run`.
    #[command(flatten)]
    pub places: Places,
}

/// `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The file to write; one that exists is never overwritten
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// The folder to keep safe; without it and without --target, a file that exists is bound as it is
    #[arg(long, value_name = "DIR")]
    pub share: Vec<PathBuf>,
    /// A folder or s3://BUCKET/PREFIX to keep its copy in; may be repeated
    #[arg(long, value_name = "PLACE")]
    pub target: Vec<PathBuf>,
    /// Where the index will lie
    #[arg(long, value_name = "DIR", default_value = crate::config::STATE_DIR)]
    pub state_dir: PathBuf,
    /// The id of the share, where another agent keeps the same one on the target already: both then work on one share
    #[arg(long, value_name = "ID")]
    pub share_id: Option<String>,
    /// Neither set up nor start the service, which is otherwise done for /etc/driftline/config.toml where systemd knows it
    #[arg(long)]
    pub no_service: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which shares and targets.
    #[command(flatten)]
    pub places: Places,
}

/// `sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Which shares and targets.
    #[command(flatten)]
    pub places: Places,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which shares and targets.
    #[command(flatten)]
    pub places: Places,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// How data is printed.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// Print what this JMESPath expression finds in the JSON
    #[arg(long, value_name = "JMESPATH", value_parser = crate::cli::out::query)]
    pub query: Option<String>,
    /// Print data as json, as text with tabs between, or as a table
    #[arg(long, value_name = "FORMAT", value_parser = data_format)]
    pub output: Option<Format>,
}

impl Output {
    /// How data is wanted; `None` for text that people read.
    pub fn format(&self) -> Option<Format> {
        self.output.or((self.json || self.query.is_some()).then_some(Format::Json))
    }

    /// Whether data is wanted.
    pub fn is_data(&self) -> bool {
        self.format().is_some()
    }
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Whose index to ask.
    #[command(flatten)]
    pub state: StateArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
    /// Print again each second, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Ask the targets which agents write there, too, and how each was doing when it last left word there
    #[arg(long, conflicts_with = "watch")]
    pub fleet: bool,
}

/// `pending` and `problems`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Whose index to ask.
    #[command(flatten)]
    pub state: StateArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A path in a share; relative to the share or from the root
    pub path: PathBuf,
    /// Whose index to ask.
    #[command(flatten)]
    pub state: StateArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// Which shares, of which configuration; or one share and its targets, named here.
#[derive(Clone, Debug, Default, Args)]
pub struct ShareArgs {
    /// The configuration file [default: /etc/driftline/config.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub config: Option<PathBuf>,
    /// The share's name; together with --target, its folder
    #[arg(long, value_name = "SHARE")]
    pub share: Option<PathBuf>,
    /// A folder or s3://BUCKET/PREFIX that keeps its copy, without a configuration file; may be repeated
    #[arg(long, value_name = "PLACE", requires = "share")]
    pub target: Vec<PathBuf>,
    /// Where the index lies [default: as configured; without a file, the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// A path in a share; relative to the share or from the root
    pub path: PathBuf,
    /// Whose.
    #[command(flatten)]
    pub places: ShareArgs,
    /// Ask this target only
    #[arg(long, value_name = "TARGET")]
    pub from: Option<String>,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub struct RestoreArgs {
    /// A file or folder of a share; relative to the share or from the root
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub path: Option<PathBuf>,
    /// The whole share
    #[arg(long)]
    pub all: bool,
    /// Whose.
    #[command(flatten)]
    pub places: ShareArgs,
    /// As it was then: "2h ago", "yesterday 14:00", "14:00", "2026-11-24 09:30" [default: as it is on the target now]
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// From this target [default: the first that answers, folders before buckets]
    #[arg(long, value_name = "TARGET")]
    pub from: Option<String>,
    /// Put it into this folder [default: back where it was, on the share]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Also set aside what lies there now and did not then
    #[arg(long)]
    pub exact: bool,
    /// Only say how much there is to bring
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

const RESTORE_HELP: &str = "\
Nothing is lost by it: what lies in the way gives way into .driftline/kept/ of the folder that is restored to, and is \
never deleted. What is cut off is finished by the same command again. Each file is proved by its hash.

As it was at a time means: as it was on the target then, seconds after it was saved on the share.";

/// Whose index to ask, and about which share and target.
#[derive(Clone, Debug, Default, Args)]
pub struct Choice {
    /// The configuration file [default: /etc/driftline/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only this share, by its name; or its folder (written with a slash), without a configuration file
    #[arg(long, value_name = "SHARE")]
    pub share: Option<PathBuf>,
    /// Only this target, by its name; or its place (with a slash), without a configuration file
    #[arg(long, value_name = "TARGET")]
    pub target: Vec<PathBuf>,
    /// Where the index lies [default: as configured; without a file, the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read only this part of the files, such as 5%: another part each day, so that in 20 days all are read
    #[arg(long, value_name = "N%", value_parser = sample)]
    pub sample: Option<f64>,
    /// Put the right content in the place of what is wrong; what lies there goes to history
    #[arg(long)]
    pub repair: bool,
    /// Which shares and targets.
    #[command(flatten)]
    pub choice: Choice,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

/// `log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Only this path and what lies below it; relative to the share or from the root
    pub path: Option<PathBuf>,
    /// Go on with what is done from now on, until interrupted; begins with the last ten entries
    #[arg(short, long)]
    pub follow: bool,
    /// Only entries from this time on: "2h ago", "yesterday 14:00", "2026-11-24 09:30"
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only the last N entries
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Print one JSON object per line, with times in RFC 3339
    #[arg(long)]
    pub json: bool,
    /// Whose index to ask.
    #[command(flatten)]
    pub choice: Choice,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Of this command, or `guide` [default: of driftline as a whole]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write all pages into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub to: Option<PathBuf>,
}

/// `approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The halted target, as SHARE/TARGET; or the share or target whose change in the configuration waits; or, while no agent
    /// runs, the one that another folder or place has taken the place of
    #[arg(value_name = "SHARE[/TARGET]", value_parser = lane_name)]
    pub lane: LaneName,
    /// Whose index to ask.
    #[command(flatten)]
    pub state: StateArgs,
}

/// A share or a target as people name it: `SHARE` or `SHARE/TARGET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneName {
    /// The share's name.
    pub share: String,
    /// The target's name; `None` for the share itself.
    pub target: Option<String>,
}

impl std::fmt::Display for LaneName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{}/{target}", self.share),
            None => f.write_str(&self.share),
        }
    }
}

fn lane_name(text: &str) -> Result<LaneName, String> {
    match text.split_once('/') {
        None if !text.is_empty() => Ok(LaneName { share: text.to_owned(), target: None }),
        Some((share, target)) if !share.is_empty() && !target.is_empty() && !target.contains('/') => {
            Ok(LaneName { share: share.to_owned(), target: Some(target.to_owned()) })
        }
        Some(_) | None => Err("write it as SHARE/TARGET, such as projects/efs".to_owned()),
    }
}

/// A part of one, from a percentage.
fn sample(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        Some(_) | None => Err("write a percentage above 0 and up to 100, such as 5%".to_owned()),
    }
}

fn data_format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        "table" => Ok(Format::Table),
        _ => Err("write json, text or table".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_forms_of_run_are_understood() {
        let Command::Run(run) = parse("driftline run --share /s --target /a --target /b").expect("fine").command else {
            panic!("run");
        };
        assert_eq!(run.places.share, [PathBuf::from("/s")]);
        assert_eq!(run.places.target, [PathBuf::from("/a"), PathBuf::from("/b")]);
        let cli = parse("driftline run --config /c --log json -vv").expect("fine");
        assert_eq!((cli.log, cli.verbose), (Some(LogFormat::Json), 2));
    }

    #[test]
    fn half_a_quick_form_is_wrong_usage() {
        for line in [
            "driftline",
            "driftline run --share /s",
            "driftline run --target /t",
            "driftline run --config /c --share /s --target /t",
            "driftline run --log yaml",
            "driftline approve",
            "driftline approve /efs",
            "driftline approve a/b/c",
            "driftline explain",
            "driftline log --lines some",
            "driftline verify --sample 5",
            "driftline verify --sample 0%",
            "driftline resolve a",
            "driftline resolve a --keep mine",
            "driftline restore",
            "driftline restore a --all",
            "driftline status --query a[",
            "driftline status --json --output text",
            "driftline status --output yaml",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_lane_has_two_names() {
        let wanted = LaneName { share: "projects".into(), target: Some("efs".into()) };
        assert_eq!(lane_name("projects/efs"), Ok(wanted));
        assert_eq!(lane_name("projects"), Ok(LaneName { share: "projects".into(), target: None }));
        assert!(lane_name("/efs").is_err());
    }

    #[test]
    fn what_stands_in_columns_in_a_help_fits_a_terminal_of_80() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let wide: Vec<_> =
                help.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 79).collect();
            assert!(wide.is_empty(), "{}: {wide:#?}", command.get_name());
            assert!(command.get_after_long_help().is_none(), "{} has a help like the others", command.get_name());
        }
    }

    #[test]
    fn the_help_tells_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        for exit in crate::cli::Exit::ALL {
            let line = format!("{:4}  ", u8::from(exit));
            assert!(help.lines().any(|l| l.starts_with(&line)), "{exit:?} in:\n{help}");
        }
    }
}
