//! Which path of which share is meant, and its targets, opened: for whoever reads versions back.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::cli::args::{Places, ShareArgs};
use crate::cli::ask::read;
use crate::cli::collect::shown;
use crate::cli::{Exit, Failure, source};
use crate::config::{self, Config, Place, Share};
use crate::engine::{Seat, Used, open_target, share_uid};
use crate::index::{Reader, ShareOverview};
use crate::model::RelPath;
use crate::target::{Bind, Target, TargetError};

/// A share of the configuration, and what an index knows of it.
pub(super) struct Chosen {
    pub(super) config: Config,
    pub(super) share: Share,
    /// `None` if there is no index, or it cannot be read.
    pub(super) known: Option<ShareOverview>,
    /// What is meant, below the share.
    pub(super) path: RelPath,
}

/// A target that answered.
pub(super) struct Open {
    pub(super) name: String,
    pub(super) target: Box<dyn Target>,
}

/// The share and the path that were named; `what` is what failed if they are not understood.
pub(super) fn choose(args: &ShareArgs, path: Option<&Path>, what: &str) -> Result<Chosen, Failure> {
    let quick = !args.target.is_empty();
    let places = Places {
        config: args.config.clone(),
        share: args.share.iter().filter(|_| quick).cloned().collect(),
        target: args.target.clone(),
        state_dir: args.state_dir.clone(),
    };
    let config = source::config(&places)?;
    let named = args.share.as_deref().filter(|_| !quick).map(Path::to_string_lossy);
    let (share, path) = find(&config.shares, named.as_deref(), path)
        .map_err(|(cause, hint)| Failure::cannot(Exit::Usage, what, cause).hint(hint))?;
    let share = share.clone();
    // Without an index the targets know enough.
    let known = read(&config.agent.state_dir, Reader::overview).ok().flatten();
    let known = known.and_then(|known| known.shares.into_iter().find(|known| known.name == share.name));
    Ok(Chosen { config, share, known, path })
}

fn find<'a>(
    shares: &'a [Share],
    named: Option<&str>,
    path: Option<&Path>,
) -> Result<(&'a Share, RelPath), (String, String)> {
    let names = || shares.iter().map(|share| share.name.clone()).collect::<Vec<_>>().join(", ");
    let candidates: Vec<_> = shares.iter().filter(|share| named.is_none_or(|name| share.name == name)).collect();
    if candidates.is_empty() {
        return Err((
            format!("there is no share {:?}", named.unwrap_or_default()),
            format!("the shares are {}", names()),
        ));
    }
    let Some(path) = path else {
        return match &candidates[..] {
            [share] => Ok((share, RelPath::root())),
            _ => Err(("there are several shares".to_owned(), format!("name one with --share: {}", names()))),
        };
    };
    let within = |share: &&'a Share| below(&share.path, path).map(|rest| (*share, rest));
    if let Some(found) = candidates.iter().find_map(within) {
        return Ok(found);
    }
    let relative: PathBuf = path.components().filter(|part| *part != std::path::Component::CurDir).collect();
    match (path.is_absolute(), RelPath::new(relative.as_os_str().as_bytes()), &candidates[..]) {
        (false, Ok(rest), [share]) => Ok((share, rest)),
        (false, Ok(_), _) => {
            Err(("it may lie in several shares".to_owned(), format!("name one with --share: {}", names())))
        }
        (_, _, _) => {
            let roots: Vec<_> = shares.iter().map(|share| shown(&share.path)).collect();
            Err(("it lies in no share".to_owned(), format!("the shares are {}", roots.join(", "))))
        }
    }
}

/// A path below a root, however it is named; nothing has to be there any more.
fn below(root: &Path, path: &Path) -> Option<RelPath> {
    let absolute = std::path::absolute(path).ok()?;
    let rest = |path: &Path| RelPath::new(path.strip_prefix(root).ok()?.as_os_str().as_bytes()).ok();
    let through_links = || {
        let (folder, name) = absolute.parent().zip(absolute.file_name())?;
        rest(&folder.canonicalize().ok()?.join(name))
    };
    rest(&absolute).or_else(through_links)
}

impl Chosen {
    /// The targets that were asked for: folders before buckets, as they answer sooner and for nothing.
    pub(super) fn targets(&self, from: Option<&str>, what: &str) -> Result<Vec<&config::Target>, Failure> {
        let is_meant = |target: &&config::Target| {
            from.is_none_or(|from| from == target.name || from == format!("{}/{}", self.share.name, target.name))
        };
        let mut targets: Vec<_> = self.share.targets.iter().filter(is_meant).collect();
        targets.sort_by_key(|target| matches!(target.place, Place::Bucket(_)));
        if targets.is_empty() {
            let names: Vec<_> = self.share.targets.iter().map(|target| target.name.clone()).collect();
            let cause = format!("share {} has no target {:?}", self.share.name, from.unwrap_or_default());
            return Err(Failure::cannot(Exit::Usage, what, cause).hint(format!("its targets are {}", names.join(", "))));
        }
        Ok(targets)
    }

    /// Opens a target, if it is the one that the share was bound to, and answers.
    pub(super) fn open(&self, target: &config::Target) -> Result<Open, TargetError> {
        let agent = self.config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
        let uid = share_uid(&agent, &self.share, self.known.as_ref().map(|known| &*known.uid));
        let told = self.known.as_ref().and_then(|known| known.targets.iter().find(|other| other.name == target.name));
        let bound = told.and_then(|told| told.bound.clone());
        let seat = Seat { share_uid: &uid, bound, agent: &agent, berth: None, state_dir: None, used: Used::default() };
        let opened = open_target(target, &seat);
        opened.probe(Bind::Never)?;
        Ok(Open { name: target.name.clone(), target: opened })
    }
}
