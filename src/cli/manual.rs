//! `completions` and `man`: what a shell and a manual say, made from what the command line itself understands.

mod guide;

use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::args::{Cli, CompletionsArgs, ManArgs};
use crate::cli::collect::shown;
use crate::cli::{Exit, Failure, say};

/// `completions`.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "driftline", &mut script);
    say(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}

/// `man`.
pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let command = built();
    if let Some(dir) = &args.to {
        return write_all(command, dir);
    }
    let page = match &args.command {
        None => page(&command),
        Some(name) if name == "guide" => guide_page(),
        Some(name) => command.find_subcommand(name).map(page).ok_or_else(|| no_such_command(name, &command))?,
    };
    say(&page)?;
    Ok(Exit::Fine)
}

/// With the names and the options that come to every command.
fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn page(command: &Command) -> String {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.expect("writing to memory does not fail");
    String::from_utf8_lossy(&page).into_owned()
}

fn guide_page() -> String {
    guide::page(guide::GUIDE, env!("CARGO_PKG_VERSION"))
}

fn write_all(command: Command, dir: &Path) -> Result<Exit, Failure> {
    let guide = dir.join(format!("{}.{}", guide::NAME, guide::SECTION));
    let written = clap_mangen::generate_to(command, dir).and_then(|()| std::fs::write(guide, guide_page()));
    written.map_err(|error| {
        Failure::cannot(Exit::Usage, format!("write the manual to {}", shown(dir)), error)
            .hint("name a folder that is there and may be written to")
    })?;
    Ok(Exit::Fine)
}

fn no_such_command(name: &str, command: &Command) -> Failure {
    let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let failure = Failure::cannot(Exit::Usage, format!("print the manual of {name:?}"), "there is no such command");
    failure.hint(format!("the commands are {}; and there is the guide", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_options() {
        let command = built();
        assert!(command.get_subcommands().count() > 15);
        for command in command.get_subcommands() {
            let page = page(command).replace("\\-", "-");
            assert!(page.contains(&format!("driftline-{}", command.get_name())), "{page}");
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{option}")), "{}: {option} is not in\n{page}", command.get_name());
            }
        }
        let page = page(&command);
        assert!(page.contains("wrong configuration"), "the exit codes are told: {page}");
    }

    #[test]
    fn every_shell_is_told_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "driftline", &mut script);
            let script = String::from_utf8(script).expect("text");
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
