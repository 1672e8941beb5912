//! `init`: a commented configuration for a share and targets that exist.
//!
//! Not here: binding the places (`bind`), which is done before the file is written: what cannot be bound leaves none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::args::InitArgs;
use crate::cli::{Exit, Failure, source};
use crate::config::{Bucket, Config, Place};

/// A configuration that is checked and not written yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What the file will hold.
    pub config: Config,
    file: PathBuf,
    text: String,
}

/// What `init` did with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is new.
    New,
    /// It was there already, with the same text.
    Same,
}

/// Checks the places, and that no other text lies where the file is to be. Writes nothing.
pub fn init(args: &InitArgs) -> Result<Draft, Failure> {
    let mut config = source::quick(&args.share, &args.target, source::absolute(&args.state_dir)?)?;
    for share in &mut config.shares {
        share.id.clone_from(&args.share_id);
    }
    for share in &config.shares {
        existing("share", &share.path)?;
        // Whether a bucket is there is found out when it is bound.
        for folder in share.targets.iter().filter_map(|target| target.place.folder()) {
            existing("target", folder)?;
        }
    }
    for target in config.shares.iter_mut().flat_map(|share| &mut share.targets) {
        match &mut target.place {
            Place::Folder(_) => {}
            Place::Bucket(bucket) => settle(bucket, |name| std::env::var(name).ok()),
        }
    }
    let text = config.commented().map_err(|error| Failure::places(&error))?;
    is_there(&args.config, &text)?;
    Ok(Draft { config, file: args.config.clone(), text })
}

impl Draft {
    /// Writes the file whole or not at all, and never over another text. Repeating it does no harm.
    pub fn write(&self) -> Result<Written, Failure> {
        if is_there(&self.file, &self.text)? {
            return Ok(Written::Same);
        }
        match place(&self.file, &self.text) {
            Ok(()) => Ok(Written::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&self.file)),
            Err(error) => Err(unwritable(&self.file, &error)),
        }
    }
}

/// What the environment says of a bucket is written down: the agent will run in another one.
fn settle(bucket: &mut Bucket, variable: impl Fn(&str) -> Option<String>) {
    let first = |names: [&str; 2]| {
        let said = names.into_iter().filter_map(&variable);
        said.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
    };
    bucket.region = first(["AWS_REGION", "AWS_DEFAULT_REGION"]);
    bucket.endpoint = first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
    bucket.profile = first(["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
    bucket.path_style = bucket.endpoint.is_some();
}

/// A root is never made here: a folder that is missing may be a mount that is missing.
fn existing(what: &str, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let failure =
        |cause: &dyn std::fmt::Display| Failure::cannot(Exit::Usage, format!("use {shown} as a {what}"), cause);
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(failure(&"it is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failure(&"there is no such folder")
            .hint(format!("mount it if it is a mount; if it is to be a new folder: mkdir -p {shown}"))),
        Err(error) => Err(failure(&error)),
    }
}

/// Whether the file holds `text` already; another text is a failure.
fn is_there(path: &Path, text: &str) -> Result<bool, Failure> {
    match fs::read(path) {
        Ok(old) if old == text.as_bytes() => Ok(true),
        Ok(_) => Err(taken(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn place(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = draft_path(path);
    let linked = write_draft(&draft, text).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.and(removed)?;
    File::open(folder)?.sync_all()
}

fn draft_path(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    draft.into()
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn taken(path: &Path) -> Failure {
    Failure::cannot(Exit::Config, format!("write {}", path.display()), "there is another configuration already")
        .hint("edit that file, or name a new one with --config")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot(Exit::Config, format!("write {}", path.display()), error)
        .hint("run it as root, or name a file of your own with --config")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, InitArgs) {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("share")).expect("made");
        fs::create_dir(at("target")).expect("made");
        let args = InitArgs {
            config: at("etc/driftline/config.toml"),
            share: vec![at("share")],
            target: vec![at("target")],
            state_dir: at("state"),
            share_id: None,
            no_service: true,
        };
        (dir, args)
    }

    #[test]
    fn what_is_written_is_what_is_returned() {
        let (_dir, args) = places();
        let draft = init(&args).expect("fine");
        assert!(!args.config.exists(), "it is written last");
        assert_eq!(draft.write(), Ok(Written::New));
        let config = draft.config;
        let text = fs::read_to_string(&args.config).expect("there");
        assert_eq!(Config::parse(&text), Ok(config));
        assert!(text.contains("# settle = \"500ms\""), "{text}");
        let names = fs::read_dir(args.config.parent().expect("a folder")).expect("listed").count();
        assert_eq!(names, 1, "no draft is left");
    }

    #[test]
    fn what_the_environment_says_of_a_bucket_is_written_down() {
        let mut bucket = Bucket::default();
        settle(&mut bucket, |name| match name {
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some(String::new()),
            "AWS_ENDPOINT_URL" => Some("http://nas:9000".to_owned()),
            _ => None,
        });
        let endpoint = Some("http://nas:9000".to_owned());
        let wanted = Bucket { region: Some("eu-west-1".into()), endpoint, path_style: true, ..Bucket::default() };
        assert_eq!(bucket, wanted);
        settle(&mut bucket, |_| None);
        assert_eq!(bucket, Bucket::default());
    }

    #[test]
    fn a_second_time_does_no_harm_and_another_text_is_never_overwritten() {
        let (_dir, args) = places();
        let draft = init(&args).expect("fine");
        assert_eq!((draft.write(), draft.write()), (Ok(Written::New), Ok(Written::Same)));
        fs::write(&args.config, "# mine").expect("edited");
        let failure = init(&args).expect_err("another text");
        assert_eq!(failure.exit(), Exit::Config);
        assert_eq!(draft.write(), Err(failure));
        assert_eq!(fs::read_to_string(&args.config).expect("there"), "# mine");
    }

    #[test]
    fn a_missing_target_is_not_made() {
        let (dir, mut args) = places();
        args.target = vec![dir.path().join("mnt")];
        let failure = init(&args).expect_err("missing").text();
        assert!(
            failure.contains("/mnt as a target: there is no such folder\nhint: mount it if it is a mount"),
            "{failure}"
        );
        assert!(!dir.path().join("mnt").exists() && !args.config.exists());
    }

    #[test]
    fn a_file_is_no_share() {
        let (dir, mut args) = places();
        args.share = vec![dir.path().join("file")];
        fs::write(&args.share[0], "").expect("made");
        assert!(init(&args).expect_err("a file").text().contains("as a share: it is not a folder"));
    }
}
