//! `init`: which folder the share is, and which place each target is, written down and said aloud.

use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::cli::args::LaneName;
use crate::cli::ask::unreadable;
use crate::cli::collect::{shown, shown_place};
use crate::cli::fault::Fault;
use crate::cli::{Exit, Failure};
use crate::config::{Config, Share, Target};
use crate::engine::clock::wall as now;
use crate::engine::state::{self, Lock};
use crate::engine::{Seat, Used, is_twin, open_target, share_uid};
use crate::index::{Index, IndexError, ShareInfo};
use crate::local;
use crate::model::RelPath;
use crate::sys::fskind;
use crate::target::Bind;

/// How a line ends that tells of nothing new.
const AS_BEFORE: &str = ", as before.";

/// Refuses a state folder on a network file system: SQLite's locks do not hold there.
pub(super) fn check_state_dir(dir: &Path) -> Result<(), Failure> {
    let existing = dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let kind = fskind::kind(existing).map_err(|error| unusable(dir, &error))?;
    if !kind.is_network() {
        return Ok(());
    }
    let cause = format!("it lies on a network file system ({})", kind.name());
    Err(Failure::cannot(Exit::Usage, format!("use {} as the state folder", dir.display()), cause)
        .hint("name a folder on a disk of this machine with --state-dir"))
}

fn unusable(dir: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::cannot(Exit::Usage, format!("use {} as the state folder", dir.display()), error)
        .hint("run it as root, or name a folder of your own with --state-dir")
}

/// Binds every share and target of a configuration; one line for each. Repeating it does no harm.
pub(super) fn bind(config: &Config) -> Result<Vec<String>, Failure> {
    with_index(config, |index, writer| {
        let mut lines = Vec::new();
        for share in &config.shares {
            let info = bind_share(index, share, writer, &mut lines)?;
            for target in &share.targets {
                lines.push(bind_target(index, share, &info, target, writer)?);
            }
        }
        Ok(lines)
    })
}

/// Takes what lies where a share or a target was for it; nothing is said if it is the one that it was. `None` if there is no
/// such share or target.
pub(super) fn bind_anew(config: &Config, lane: &LaneName) -> Result<Option<Vec<String>>, Failure> {
    let Some(share) = config.shares.iter().find(|share| share.name == lane.share) else { return Ok(None) };
    let target = match &lane.target {
        None => None,
        Some(name) => match share.targets.iter().find(|target| target.name == *name) {
            Some(target) => Some(target),
            None => return Ok(None),
        },
    };
    with_index(config, |index, writer| {
        let uid = share_uid(writer, share, None);
        index.begin(now())?;
        let info = index.register_share(&share.name, share.path.as_os_str().as_bytes(), &uid, share.id.is_some())?;
        index.commit()?;
        let mut lines = Vec::new();
        match target {
            Some(target) => lines.push(bind_target(index, share, &info, target, writer)?),
            None => {
                bind_share(index, share, writer, &mut lines)?;
                lines.extend(bind_mounts(index, share, &info)?);
            }
        }
        lines.retain(|line| !line.ends_with(AS_BEFORE));
        Ok(Some(lines))
    })
}

/// Works on the index of a configuration, which no agent may hold meanwhile.
fn with_index<T>(config: &Config, work: impl FnOnce(&mut Index, &str) -> Result<T, Fault>) -> Result<T, Failure> {
    let dir = &config.agent.state_dir;
    DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(|error| unusable(dir, &error))?;
    let _lock = Lock::take(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            let cause = "an agent works with it";
            Failure::cannot(Exit::Usage, format!("use the state folder {}", dir.display()), cause)
                .hint("stop that agent first, or name another folder with --state-dir")
        }
        _ => unusable(dir, &error),
    })?;
    let broken = |error: IndexError| unreadable(dir, &error);
    let mut index = Index::open(&dir.join(state::INDEX)).map_err(broken)?;
    let writer = config.agent.name.clone().unwrap_or_else(crate::sys::host::name);
    work(&mut index, &writer).map_err(|fault| fault.told(dir))
}

fn bind_share(index: &mut Index, share: &Share, writer: &str, lines: &mut Vec<String>) -> Result<ShareInfo, Fault> {
    let (name, root) = (&share.name, shown(&share.path));
    let cannot =
        |cause: &dyn std::fmt::Display| Failure::cannot(Exit::Usage, format!("bind share {name} to {root}"), cause);
    let id = local::root_id(&share.path).map_err(|error| Fault::Told(cannot(&error)))?;
    index.begin(now())?;
    let new_uid = share_uid(writer, share, None);
    let info = index.register_share(name, share.path.as_os_str().as_bytes(), &new_uid, share.id.is_some())?;
    let known = index.share_tally(info.id).files;
    let line = match info.bound {
        Some(bound) if bound == (id.fsid, id.ino) => format!("Share {name} is {root}{AS_BEFORE}"),
        Some(_) if known > 0 && is_empty(&share.path) => {
            index.rollback()?;
            let cause = format!("it is another folder than before, and empty, while {known} files are known");
            let hint = "mount the disk that holds the share; if it is to begin anew, name another --state-dir";
            return Err(Fault::Told(cannot(&cause).hint(hint)));
        }
        Some(_) => format!("Share {name} is {root} from now on: it was another folder before."),
        None => format!("Share {name} is {root} from now on."),
    };
    index.bind_share(info.id, id.fsid, id.ino)?;
    if info.bound != Some((id.fsid, id.ino)) {
        index.note(info.id, None, &RelPath::root(), "bind", &line)?;
    }
    index.commit()?;
    lines.push(line);
    Ok(info)
}

/// What is mounted inside the share where something else was, or where now nothing is.
fn bind_mounts(index: &mut Index, share: &Share, info: &ShareInfo) -> Result<Option<String>, Fault> {
    index.begin(now())?;
    let count = index.forget_lost_mounts(info.id)?;
    let line = format!(
        "What lies now where {count} other mounts were inside share {} is the share's from now on.",
        share.name
    );
    if count > 0 {
        index.note(info.id, None, &RelPath::root(), "bind", &line)?;
    }
    index.commit()?;
    Ok((count > 0).then_some(line))
}

/// A folder that cannot be listed counts as empty.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn bind_target(
    index: &mut Index,
    share: &Share,
    info: &ShareInfo,
    target: &Target,
    writer: &str,
) -> Result<String, Fault> {
    let lane = format!("{}/{}", share.name, target.name);
    let place = shown_place(&target.place);
    let what = format!("bind target {lane} to {place}");
    let cannot = |cause: &str, hint: &str| Fault::Told(Failure::cannot(Exit::Usage, &what, cause).hint(hint));
    // Whatever identity the place bears for this share is taken: this is how it is bound anew.
    let seat =
        Seat { share_uid: &info.uid, bound: None, agent: writer, berth: None, state_dir: None, used: Used::default() };
    let opened = open_target(target, &seat);
    let bound = opened.probe(Bind::IfUnbound).map_err(|error| cannot(&error.cause, &error.hint))?;
    index.begin(now())?;
    let known = index.register_target(info.id, &target.name, &target.place.to_string())?;
    if let Some(twin) = index.twin_of(known.id, &bound.id)? {
        index.rollback()?;
        let twin = is_twin(&twin);
        return Err(cannot(&twin.message, &twin.hint));
    }
    let line = match &known.bound {
        Some(before) if *before == bound.id => format!("Target {lane} is {place}{AS_BEFORE}"),
        Some(_) => format!("Target {lane} is {place} from now on: it was another place before."),
        None => format!("Target {lane} is {place} from now on, with the identity {}.", bound.id),
    };
    if known.bound.as_ref() == Some(&bound.id) {
        index.bind_target(known.id, &bound.id)?;
    } else {
        index.bind_target_anew(known.id, &bound.id)?;
        index.note(info.id, Some(known.id), &RelPath::root(), "bind", &line)?;
    }
    index.commit()?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Reader;

    struct Office {
        dir: tempfile::TempDir,
        config: Config,
    }

    fn office() -> Office {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        for name in ["papers", "copy"] {
            fs::create_dir(at(name)).expect("made");
        }
        let config = Config::quick(&[at("papers")], &[at("copy")], at("state")).expect("fine");
        Office { dir, config }
    }

    #[test]
    fn what_is_bound_is_said_and_a_second_time_changes_nothing() {
        let Office { dir, config } = office();
        let lines = bind(&config).expect("bound");
        let (share, target) = (dir.path().join("papers"), dir.path().join("copy"));
        assert_eq!(lines[0], format!("Share papers is {} from now on.", share.display()));
        let start = format!("Target papers/target is {} from now on, with the identity ", target.display());
        assert!(lines[1].starts_with(&start), "{}", lines[1]);
        let identity = fs::read(target.join(".driftline/identity")).expect("given");
        let again = bind(&config).expect("bound");
        let as_before = [
            format!("Share papers is {}, as before.", share.display()),
            format!("Target papers/target is {}, as before.", target.display()),
        ];
        assert_eq!(again, as_before);
        assert_eq!(fs::read(target.join(".driftline/identity")).expect("there"), identity);
        let reader = Reader::open(&config.agent.state_dir.join(state::INDEX)).expect("opened").expect("there");
        let bound = reader.overview().expect("read").shares[0].targets[0].bound.clone().expect("bound");
        assert!(String::from_utf8_lossy(&identity).contains(&bound));
    }

    #[test]
    fn a_place_that_was_emptied_on_purpose_is_bound_anew_and_listed_again() {
        let Office { dir, config } = office();
        bind(&config).expect("bound");
        let index = dir.path().join("state").join(state::INDEX);
        let mut open = Index::open(&index).expect("opened");
        open.begin(now()).expect("begun");
        open.listing_ended(crate::model::TargetId(1), now(), 0).expect("told");
        open.commit().expect("committed");
        drop(open);
        fs::remove_dir_all(dir.path().join("copy/.driftline")).expect("emptied");
        let lines = bind(&config).expect("bound");
        assert!(lines[1].ends_with("from now on: it was another place before."), "{}", lines[1]);
        let reader = Reader::open(&index).expect("opened").expect("there");
        assert_eq!(reader.overview().expect("read").shares[0].targets[0].listed, None);
    }

    #[test]
    fn the_place_of_another_share_is_refused() {
        let Office { dir, config } = office();
        bind(&config).expect("bound");
        fs::create_dir(dir.path().join("other")).expect("made");
        let other = Config::quick(&[dir.path().join("other")], &[dir.path().join("copy")], dir.path().join("state"));
        let failure = bind(&other.expect("fine")).expect_err("taken").text();
        assert!(failure.contains("keeps another share"), "{failure}");
        assert!(failure.contains("\nhint: give each share a directory of its own"), "{failure}");
    }

    #[test]
    fn while_an_agent_works_there_nothing_is_bound() {
        let Office { dir, config } = office();
        fs::create_dir(dir.path().join("state")).expect("made");
        let lock = Lock::take(&dir.path().join("state")).expect("free");
        assert!(bind(&config).expect_err("locked").text().contains("an agent works with it"));
        assert!(!dir.path().join("copy/.driftline").exists());
        drop(lock);
    }

    #[test]
    fn an_empty_folder_in_place_of_a_full_share_is_refused() {
        let Office { dir, config } = office();
        bind(&config).expect("bound");
        let mut index = Index::open(&dir.path().join("state").join(state::INDEX)).expect("opened");
        index.begin(now()).expect("begun");
        let info = index.register_share("papers", b"x", "unused", false).expect("known");
        let meta = crate::model::Meta { mtime: now(), ..crate::model::Meta::NOTHING };
        let shape = crate::model::Shape { kind: crate::model::Kind::File, len: 1 };
        let stat = crate::model::Stat { shape, ino: 1, ctime: now(), meta, nlink: 1, mounted: false };
        let path = crate::model::RelPath::new("a").expect("fine");
        let row = crate::index::LocalRow::fresh(stat, None, index.run());
        index.put_local(info.id, &path, &row).expect("put");
        index.commit().expect("committed");
        drop(index);
        fs::rename(dir.path().join("papers"), dir.path().join("away")).expect("moved");
        fs::create_dir(dir.path().join("papers")).expect("made");
        let failure = bind(&config).expect_err("empty").text();
        assert!(failure.contains("and empty, while 1 files are known\nhint: mount the disk"), "{failure}");
    }

    #[test]
    fn a_state_folder_may_not_lie_behind_a_network() {
        let dir = tempfile::tempdir().expect("a folder");
        check_state_dir(&dir.path().join("not/made/yet")).expect("a disk of this machine");
    }
}
