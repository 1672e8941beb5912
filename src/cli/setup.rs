//! `init`, from what is typed or asked to a service that runs.
//!
//! Not here: the file (`init`), the binding (`bind`), the service's own part (`service`).

use std::io::{BufRead, IsTerminal as _};
use std::path::{Path, PathBuf};

use crate::cli::args::{CONFIG, InitArgs, Places};
use crate::cli::service::{self, Now};
use crate::cli::text::harmless;
use crate::cli::{Exit, Failure, Written, bind, check, init, say, source};
use crate::config::Config;

/// How often one question is asked.
const ASKED_MAX: usize = 5;

/// Where a shell's answer to a question comes from, and whether someone sits there to give it.
struct Person<'a> {
    input: &'a mut dyn BufRead,
    is_there: bool,
}

/// `init`.
pub(super) fn run(args: &InitArgs) -> Result<Exit, Failure> {
    let is_there = std::io::stdin().is_terminal();
    let mut input = std::io::stdin().lock();
    run_with(args, &mut Person { input: &mut input, is_there })
}

fn run_with(args: &InitArgs, person: &mut Person<'_>) -> Result<Exit, Failure> {
    let has_service = !args.no_service && args.config == Path::new(CONFIG) && service::is_installed();
    // The index is the agent's while it runs.
    let was_active = has_service && service::is_active();
    if was_active {
        service::stop()?;
    }
    let config = written(args, person).inspect_err(|_| {
        // As it was: what went wrong is told, and is not made worse by an agent that stands.
        drop(was_active.then(service::start_again));
    })?;
    if !has_service {
        let path = harmless(&args.config.to_string_lossy());
        say(&format!("Start the agent with: driftline run --config {path}\n"))?;
        return Ok(Exit::Fine);
    }
    check::tell(&config)?;
    say(match service::set_up(&config)? {
        Now::Watching => "The service driftline runs, and begins anew with each start of the machine.\n",
        Now::Starting => "The service driftline is enabled, and reads the share for the first time.\n",
    })?;
    service::unseen_credentials(&config).map_or(Ok(()), |told| say(&told))?;
    say("Is everything safe? driftline status\n")?;
    Ok(Exit::Fine)
}

/// Binds the places, and writes the file unless it is there.
fn written(args: &InitArgs, person: &mut Person<'_>) -> Result<Config, Failure> {
    if args.share.is_empty() && args.target.is_empty() && args.config.exists() {
        let config = source::config(&Places { config: Some(args.config.clone()), ..Places::default() })?;
        bind::check_state_dir(&config.agent.state_dir)?;
        say_bound(&config)?;
        return Ok(config);
    }
    let args = asked(args, person)?;
    bind::check_state_dir(&source::absolute(&args.state_dir)?)?;
    let draft = init(&args)?;
    let path = harmless(&args.config.to_string_lossy());
    say_bound(&draft.config)?;
    say(&match draft.write()? {
        Written::New => format!("Wrote {path}.\n"),
        Written::Same => format!("{path} holds this already.\n"),
    })?;
    Ok(draft.config)
}

fn say_bound(config: &Config) -> Result<(), Failure> {
    bind::bind(config)?.iter().try_for_each(|line| say(&format!("{line}\n")))
}

/// The same, with what was not named asked of the person.
fn asked(args: &InitArgs, person: &mut Person<'_>) -> Result<InitArgs, Failure> {
    let mut args = args.clone();
    if args.share.is_empty() {
        args.share = vec![person.answer("Which folder is to be kept safe?")?];
    }
    if args.target.is_empty() {
        args.target = vec![person.answer("Where is its copy to be kept: which folder, or s3://BUCKET/PREFIX?")?];
    }
    Ok(args)
}

impl Person<'_> {
    fn answer(&mut self, question: &str) -> Result<PathBuf, Failure> {
        let unknown = |cause: &str| {
            Failure::cannot(Exit::Usage, "tell what is to be kept safe, and where", cause)
                .hint("driftline init --share DIR --target PLACE")
        };
        if !self.is_there {
            return Err(unknown("share and target are not named, and nobody is there to be asked"));
        }
        for _ in 0..ASKED_MAX {
            say(&format!("{question} "))?;
            let mut line = String::new();
            let read = self.input.read_line(&mut line).map_err(|error| unknown(&error.to_string()))?;
            match line.trim() {
                "" if read == 0 => break,
                "" => {}
                answer => return Ok(answer.into()),
            }
        }
        Err(unknown("there was no answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> InitArgs {
        InitArgs {
            config: "c.toml".into(),
            share: Vec::new(),
            target: Vec::new(),
            state_dir: "state".into(),
            share_id: None,
            no_service: true,
        }
    }

    #[test]
    fn what_is_not_named_is_asked_of_a_person_until_there_is_an_answer() {
        let mut typed = "\n/srv/projects\n s3://acme/projects \n".as_bytes();
        let told = asked(&args(), &mut Person { input: &mut typed, is_there: true }).expect("answered");
        assert_eq!(told.share, [PathBuf::from("/srv/projects")]);
        assert_eq!(told.target, [PathBuf::from("s3://acme/projects")]);
    }

    #[test]
    fn what_is_named_is_not_asked() {
        let named = InitArgs { share: vec!["/s".into()], target: vec!["/t".into()], ..args() };
        let told = asked(&named, &mut Person { input: &mut "".as_bytes(), is_there: false }).expect("named");
        assert_eq!((told.share, told.target), (named.share, named.target));
    }

    #[test]
    fn where_nobody_is_there_the_hint_says_what_to_type() {
        let failure = asked(&args(), &mut Person { input: &mut "/x\n".as_bytes(), is_there: false });
        let told = failure.expect_err("nobody").text();
        assert!(told.ends_with("\nhint: driftline init --share DIR --target PLACE\n"), "{told}");
        let failure = asked(&args(), &mut Person { input: &mut "".as_bytes(), is_there: true });
        assert!(failure.expect_err("no answer").text().contains("there was no answer"));
    }
}
