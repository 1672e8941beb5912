//! From the command line to a configuration: which file, or which folders, and where the state lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::args::{CONFIG, Choice, Places, StateArgs};
use crate::cli::report::Notice;
use crate::cli::{Exit, Failure};
use crate::config::{Config, is_url};
use crate::engine::Reading;
use crate::engine::state::INDEX;
use crate::model::Digest;

/// The configuration that a command works with.
pub fn config(places: &Places) -> Result<Config, Failure> {
    if places.share.is_empty() {
        return Ok(to_run(places)?.0);
    }
    let state_dir = match &places.state_dir {
        Some(dir) => absolute(dir)?,
        None => users_state_dir(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))?,
    };
    quick(&places.share, &places.target, state_dir)
}

/// Whose index is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The folder that holds it.
    pub dir: PathBuf,
    /// What it was made for, unless only the folder was named, or the file is refused.
    pub config: Option<Config>,
    /// Why the configuration file is refused: the agent may go on with what it read before.
    pub refused: Option<Notice>,
    /// The digest of the file's text, if there is a file.
    pub digest: Option<String>,
}

impl State {
    /// The configuration, for a command that has to know where the places are: to do `what`.
    pub fn configured(&self, what: &str) -> Result<&Config, Failure> {
        match (&self.config, &self.refused) {
            (Some(config), _) => Ok(config),
            (None, Some(refused)) => Err(Failure::cannot(Exit::Config, what, &refused.message).hint(&refused.hint)),
            (None, None) => {
                let cause = "a state folder alone does not say how shares and targets are reached";
                let hint = "name the configuration with --config, or --share and --target";
                Err(Failure::cannot(Exit::Usage, what, cause).hint(hint))
            }
        }
    }
}

/// A configuration file, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRead {
    /// What it holds.
    pub config: Config,
    /// The digest of its text.
    pub digest: String,
}

/// The state folder that a command asks, and the configuration where one was named or is needed to find it.
pub fn state(args: &StateArgs) -> Result<State, Failure> {
    let places = &args.places;
    let known = |dir: PathBuf, config| State { dir, config, refused: None, digest: None };
    if let (Some(dir), None, []) = (&places.state_dir, &places.config, &places.share[..]) {
        return Ok(known(absolute(dir)?, None));
    }
    if !places.share.is_empty() {
        let config = config(places)?;
        return Ok(known(config.agent.state_dir.clone(), Some(config)));
    }
    let path = file(places);
    let named = places.state_dir.as_deref().map(absolute).transpose()?;
    let text = text(path)?;
    let digest = Some(digest(&text));
    match Config::parse(&text) {
        Ok(config) => {
            let dir = named.unwrap_or_else(|| config.agent.state_dir.clone());
            Ok(State { dir, config: Some(config), refused: None, digest })
        }
        Err(error) => {
            // Where an agent works, it can be asked all the same.
            let dir = named.unwrap_or_else(|| Config::state_dir_of(&text));
            if !dir.join(INDEX).exists() {
                return Err(Failure::config_file(path, &error));
            }
            let refused = Notice { message: format!("{}: {error}", path.display()), hint: error.hint };
            Ok(State { dir, config: None, refused: Some(refused), digest })
        }
    }
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// The file that these name.
fn file(places: &Places) -> &Path {
    places.config.as_deref().unwrap_or(Path::new(CONFIG))
}

/// The configuration to run with, and the digest of its text if it comes from a file.
pub fn to_run(places: &Places) -> Result<(Config, Option<String>), Failure> {
    if !places.share.is_empty() {
        return Ok((config(places)?, None));
    }
    let FileRead { mut config, digest } = read(file(places))?;
    if let Some(state_dir) = &places.state_dir {
        config.agent.state_dir = absolute(state_dir)?;
    }
    Ok((config, Some(digest)))
}

/// The file as it is now, for an agent that runs with it: what it holds, or what is wrong with it and what to do.
pub fn anew(places: &Places) -> Reading {
    let path = file(places);
    let told = |failure: Failure| match failure {
        Failure::Told { message, hint, .. } => (message, hint.unwrap_or_default()),
        Failure::NobodyReads => (String::new(), String::new()),
    };
    let text = match text(path) {
        Ok(text) => text,
        Err(failure) => return Reading { config: Err(told(failure)), digest: String::new() },
    };
    let config = Config::parse(&text).map_err(|error| (format!("{}: {error}", path.display()), error.hint));
    let config = config.and_then(|mut config| {
        if let Some(state_dir) = &places.state_dir {
            config.agent.state_dir = absolute(state_dir).map_err(told)?;
        }
        Ok(config)
    });
    Reading { config, digest: digest(&text) }
}

/// A share and targets picked by their names; all of them where none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// The share's name.
    pub share: Option<String>,
    /// The targets' names.
    pub targets: Vec<String>,
}

impl Picked {
    /// Whether this share is meant.
    pub fn has_share(&self, name: &str) -> bool {
        self.share.as_ref().is_none_or(|share| share == name)
    }

    /// Whether this target of a share is meant.
    pub fn has(&self, share: &str, target: &str) -> bool {
        self.has_share(share) && (self.targets.is_empty() || self.targets.iter().any(|name| name == target))
    }
}

/// Whose index is asked, and about what: names pick from a configuration; folders and addresses, told by their slash, are the
/// quick form.
pub fn choice(args: &Choice) -> Result<(State, Picked), Failure> {
    let is_place = |path: &PathBuf| path.as_os_str().as_encoded_bytes().contains(&b'/');
    let Choice { config, share, target, state_dir } = args.clone();
    if share.iter().chain(&target).any(is_place) {
        let places = Places { config: None, share: share.into_iter().collect(), target, state_dir };
        if places.share.is_empty() || places.target.is_empty() {
            return Err(Failure::cannot(
                Exit::Usage,
                "find the index",
                "a folder was named, and not both share and target",
            )
            .hint("name a share and a target by their names, or --share DIR and --target PLACE together"));
        }
        return Ok((state(&StateArgs { places })?, Picked::default()));
    }
    let name = |path: PathBuf| path.to_string_lossy().into_owned();
    let picked = Picked { share: share.map(name), targets: target.into_iter().map(name).collect() };
    let places = Places { config, share: Vec::new(), target: Vec::new(), state_dir };
    Ok((state(&StateArgs { places })?, picked))
}

/// One share and its targets, as typed.
pub fn quick(shares: &[PathBuf], targets: &[PathBuf], state_dir: PathBuf) -> Result<Config, Failure> {
    let shares = shares.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
    let targets = targets.iter().map(|path| folder(path)).collect::<Result<Vec<_>, _>>()?;
    Config::quick(&shares, &targets, state_dir).map_err(|error| Failure::places(&error))
}

/// An address stays as it is: it is no path.
fn folder(path: &Path) -> Result<PathBuf, Failure> {
    if is_url(&path.to_string_lossy()) { Ok(path.to_owned()) } else { absolute(path) }
}

/// The path from the root, with `.` and `..` resolved; links in it are followed where it exists.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let plain = || std::path::absolute(path);
    path.canonicalize()
        .or_else(|_| plain())
        .map_err(|error| Failure::cannot(Exit::Usage, format!("use the path {:?}", path.to_string_lossy()), error))
}

fn read(path: &Path) -> Result<FileRead, Failure> {
    let text = text(path)?;
    let config = Config::parse(&text).map_err(|error| Failure::config_file(path, &error))?;
    Ok(FileRead { config, digest: digest(&text) })
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::cannot(Exit::Config, format!("read {}", path.display()), error)
            .hint("name another file with --config, write one with `driftline init`, or name --share and --target")
    })?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::cannot(Exit::Config, format!("use {}", path.display()), "it is not text in UTF-8")
            .hint("save it as UTF-8, or name another file with --config")
    })
}

/// The user's state folder after the XDG rules: an empty or relative variable counts as unset.
fn users_state_dir(xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, Failure> {
    let usable = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = usable(xdg).or_else(|| usable(home).map(|home| home.join(".local/state")));
    base.map(|base| base.join("driftline")).ok_or_else(|| {
        Failure::cannot(Exit::Usage, "find a folder for the index", "neither XDG_STATE_HOME nor HOME is set")
            .hint("name one with --state-dir")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lies_where_the_user_keeps_state() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            users_state_dir(xdg.map(Into::into), home.map(Into::into)).map(|dir| dir.display().to_string())
        };
        assert_eq!(dir(Some("/x"), Some("/home/me")), Ok("/x/driftline".into()));
        assert_eq!(dir(Some(""), Some("/home/me")), Ok("/home/me/.local/state/driftline".into()));
        assert_eq!(dir(None, None).map_err(|failure| failure.exit()), Err(Exit::Usage));
    }

    #[test]
    fn a_missing_file_ends_with_78_and_a_wrong_folder_with_2() {
        let dir = tempfile::tempdir().expect("a folder");
        let places = Places { config: Some(dir.path().join("none.toml")), ..Places::default() };
        assert_eq!(config(&places).map_err(|failure| failure.exit()), Err(Exit::Config));
        let state_dir = Some(dir.path().join("state"));
        let share = vec![dir.path().to_owned()];
        let places = Places { share: share.clone(), target: share, state_dir, config: None };
        assert_eq!(config(&places).map_err(|failure| failure.exit()), Err(Exit::Usage));
    }

    #[test]
    fn a_state_folder_alone_needs_no_configuration() {
        let dir = tempfile::tempdir().expect("a folder");
        let named = |share: &[&str], target: &[&str]| {
            let paths = |names: &[&str]| names.iter().map(|name| dir.path().join(name)).collect();
            let state_dir = Some(dir.path().join("state"));
            let places = Places { config: None, share: paths(share), target: paths(target), state_dir };
            state(&StateArgs { places }).expect("found")
        };
        assert_eq!(named(&[], &[]), State { dir: dir.path().join("state"), config: None, refused: None, digest: None });
        let quick = named(&["papers"], &["copy"]);
        assert_eq!(quick.dir, dir.path().join("state"));
        assert_eq!(quick.config.map(|config| config.shares[0].name.clone()), Some("papers".to_owned()));
    }

    #[test]
    fn names_pick_and_folders_are_the_quick_form() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| Some(dir.path().join(name));
        let named = Choice { share: Some("papers".into()), state_dir: path("state"), ..Choice::default() };
        let (state, picked) = choice(&named).expect("found");
        assert_eq!((state.config, picked.share.as_deref()), (None, Some("papers")));
        assert!(picked.has("papers", "efs") && !picked.has("other", "efs"));
        let half = Choice { share: path("papers"), state_dir: path("state"), ..Choice::default() };
        assert_eq!(choice(&half).map_err(|failure| failure.exit()), Err(Exit::Usage));
        let whole = Choice { target: path("copy").into_iter().collect(), ..half };
        let (state, picked) = choice(&whole).expect("found");
        assert_eq!(state.config.map(|config| config.shares[0].name.clone()), Some("papers".to_owned()));
        assert_eq!(picked, Picked::default());
    }

    #[test]
    fn a_link_into_the_share_is_seen_through() {
        let dir = tempfile::tempdir().expect("a folder");
        let share = dir.path().join("share");
        std::fs::create_dir_all(share.join("inside")).expect("made");
        std::os::unix::fs::symlink(share.join("inside"), dir.path().join("elsewhere")).expect("linked");
        let failure = quick(&[share], &[dir.path().join("elsewhere")], "/state".into()).expect_err("inside");
        assert!(failure.text().contains("lies inside share \"share\""), "{}", failure.text());
    }

    #[test]
    fn an_address_is_not_taken_for_a_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = quick(&[dir.path().to_owned()], &["s3://acme/p".into()], "/state".into()).expect("a bucket");
        assert_eq!(config.shares[0].targets[0].place.to_string(), "s3://acme/p");
        let failure = quick(&[dir.path().to_owned()], &["gs://acme/p".into()], "/state".into()).expect_err("no bucket");
        assert!(failure.text().contains("which does not begin with \"s3://\""), "{}", failure.text());
    }
}
