//! How a command ends: exit codes, and what is said when it cannot do what it was asked.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::config::ConfigError;

/// How a command ends. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: fine.
    Fine,
    /// 1: problems, holds or a halt.
    Problems,
    /// 2: the command line was not understood.
    Usage,
    /// 3: the agent is not running (`status`).
    NotRunning,
    /// 70: something that should work did not.
    Internal,
    /// 78: the configuration is wrong; systemd does not try again.
    Config,
}

impl Exit {
    /// Every way to end.
    pub const ALL: [Self; 6] =
        [Self::Fine, Self::Problems, Self::Usage, Self::NotRunning, Self::Internal, Self::Config];
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => 0,
            Exit::Problems => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::Internal => 70,
            Exit::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(u8::from(exit))
    }
}

/// Why a command ends early.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not do what it was asked.
    Told {
        /// How the process ends.
        exit: Exit,
        /// "cannot ...", in one sentence.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// Nobody reads the output any more: a normal end.
    NobodyReads,
}

impl Failure {
    /// "cannot `what`: `cause`".
    pub fn cannot(exit: Exit, what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::Told { exit, message: format!("cannot {what}: {cause}"), hint: None }
    }

    /// The same, with the next step. Nothing is added to [`Failure::NobodyReads`].
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// A configuration file that is refused.
    pub fn config_file(path: &Path, error: &ConfigError) -> Self {
        let what = format!("use {}", path.display());
        Self::cannot(Exit::Config, what, error).hint(&error.hint)
    }

    /// A command line that names places which cannot be used together.
    pub fn places(error: &ConfigError) -> Self {
        Self::cannot(Exit::Usage, "use these places", error).hint(&error.hint)
    }

    /// Output that could not be written.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::cannot(Exit::Internal, "write the output", error),
        }
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Told { exit, .. } => *exit,
            Self::NobodyReads => Exit::Fine,
        }
    }

    /// What is printed on standard error.
    pub fn text(&self) -> String {
        match self {
            Self::Told { message, hint: None, .. } => format!("error: {message}\n"),
            Self::Told { message, hint: Some(hint), .. } => format!("error: {message}\nhint: {hint}\n"),
            Self::NobodyReads => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_then_what_to_do() {
        let failure = Failure::cannot(Exit::Internal, "open /x", "permission denied");
        assert_eq!(failure.text(), "error: cannot open /x: permission denied\n");
        assert_eq!(
            failure.hint("run it as root").text(),
            "error: cannot open /x: permission denied\nhint: run it as root\n"
        );
    }

    #[test]
    fn a_wrong_configuration_ends_with_78_and_names_file_and_line() {
        let error = crate::config::Config::parse("colour = 1").expect_err("no such key");
        let failure = Failure::config_file(Path::new("/etc/d.toml"), &error);
        assert_eq!(u8::from(failure.exit()), 78);
        assert_eq!(
            failure.text(),
            "error: cannot use /etc/d.toml: line 1: unknown key \"colour\"\nhint: the keys here are agent, prices, share\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_a_normal_end() {
        let failure = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit(), failure.text()), (Exit::Fine, String::new()));
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).exit(), Exit::Internal);
    }
}
