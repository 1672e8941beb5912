//! Whether this is the place that was bound: decided by `.driftline/identity` alone, anew for each call.
//!
//! Device and inode numbers are not compared: a remount may change them and a foreign file system may repeat them, while
//! the identity is written once and lies in the place itself.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::mounts::awaited;
use crate::sys::publish::{
    Errno, Medium, Spot, create, link, make_folder, medium, open_file, open_folder, rename, stat_known, sync, unlink,
};
use crate::sys::{acl, beneath, stat};
use crate::target::identity::Identity;
use crate::target::{Bind, Bound, Fault, REPORT, TargetError};

use super::fault::{Outcome, Refusal, is, says_absent, says_unlinkable};
use super::spelling::is_one_case;
use super::staging::Staging;
use super::{DirTarget, Ways, ours};

/// Most that is read of an identity (bytes).
const IDENTITY_MAX: u64 = 64 * 1024;
const NAME: &[u8] = b"identity";

/// The open root of a target whose identity held.
pub(super) struct Place {
    root: OwnedFd,
    /// Behind a network: each file is flushed for itself.
    pub(super) network: bool,
    /// Each step costs a round trip: many are under way at once, and none is in vain.
    pub(super) far: bool,
    /// How names are changed there.
    pub(super) ways: Ways,
    /// Its file system knows access control lists.
    pub(super) lists: bool,
    /// It takes the same name in other letters for one.
    pub(super) one_case: bool,
    /// Other agents have written there too.
    pub(super) several: bool,
}

impl Place {
    pub(super) fn new(root: OwnedFd, ways: Ways) -> Outcome<Self> {
        let kind = kind(&root)?;
        Ok(Self::on(kind, root, ways))
    }

    fn on((medium, one_case): (Medium, bool), root: OwnedFd, ways: Ways) -> Self {
        // NFS knows no other ways, and refuses them only when it has locked both folders.
        let ways = if medium == Medium::Nfs && ways == Ways::Auto { Ways::Links } else { ways };
        let far = medium == Medium::Nfs || ways == Ways::Links;
        let lists = acl::are_known(root.as_fd());
        Self { root, network: medium != Medium::Local, far, ways, lists, one_case, several: false }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl DirTarget {
    /// Opens the root, and fails unless it bears the identity that this target is bound to.
    pub(super) fn open(&self, verb: &'static str) -> Result<Place, TargetError> {
        self.check().map_err(|refusal| refusal.into_error(verb, None))
    }

    /// Like [`Self::open`], and gives an identity to a place that was never bound, if `bind` allows.
    pub(super) fn bind(&self, bind: Bind) -> Result<Bound, TargetError> {
        self.try_bind(bind).map_err(|refusal| refusal.into_error("reach", None))
    }

    fn check(&self) -> Outcome<Place> {
        if self.state().pretend {
            return Place::new(self.open_root()?, self.setup.ways);
        }
        let Some(bound) = self.state().bound.clone() else {
            return Err(offline("it was never bound to this share", REPORT));
        };
        let root = self.open_root()?;
        let found = read(&root)?.ok_or_else(|| self.unbound())?;
        self.compare(&found, Some(&bound))?;
        let several = found.writers.iter().any(|writer| *writer != self.setup.writer);
        Ok(Place { several, ..self.place(root)? })
    }

    /// The place of an open root. What sort of file system it is costs a round trip to ask, and is asked when it is probed.
    fn place(&self, root: OwnedFd) -> Outcome<Place> {
        let device = stat::device(&stat_known(root.as_fd())?);
        let known = self.state().kind.filter(|(known, _)| *known == device);
        let kind = known.map_or_else(|| kind(&root), |(_, kind)| Ok(kind))?;
        self.state().kind = Some((device, kind));
        Ok(Place::on(kind, root, self.setup.ways))
    }

    /// The open root, and whether it bears an identity; for a check, which binds nothing. Fails if it is another place.
    pub(super) fn inspect(&self) -> Outcome<(Place, bool)> {
        let root = self.open_root()?;
        let bound = self.state().bound.clone();
        let bears = match (read(&root)?, &bound) {
            (Some(found), _) => self.compare(&found, bound.as_deref()).map(|()| true)?,
            (None, Some(_)) => return Err(self.unbound()),
            (None, None) => self.is_no_bare_mount_point().map(|()| false)?,
        };
        Ok((Place::new(root, self.setup.ways)?, bears))
    }

    fn try_bind(&self, bind: Bind) -> Outcome<Bound> {
        let root = self.open_root()?;
        let bound = self.state().bound.clone();
        let (identity, newly) = match (read(&root)?, &bound, bind) {
            (Some(found), _, _) => (found, false),
            (None, None, Bind::IfUnbound) => {
                self.is_no_bare_mount_point()?;
                self.give_identity(&root)?
            }
            (None, None, Bind::Pretend) => {
                self.state().pretend = true;
                let Place { far, lists, .. } = Place::new(root, self.setup.ways)?;
                return Ok(Bound { id: String::new(), newly: false, far, lists: self.keeps(lists) });
            }
            (None, Some(_), _) | (None, None, Bind::Never) => return Err(self.unbound()),
        };
        self.compare(&identity, bound.as_deref())?;
        if bind == Bind::IfUnbound && !identity.writers.contains(&self.setup.writer) {
            self.join_writers(&root, identity.clone())?;
        }
        self.state().bound = Some(identity.target.clone());
        self.state().kind = None;
        let place = self.place(root)?;
        self.hold_berth(&place, true)?;
        // Whoever wants to unmount it waits no longer than until the next probe.
        self.let_go();
        if self.has_left() {
            self.drop_left(&Staging::open(&place)?);
        }
        Ok(Bound { id: identity.target, newly, far: place.far, lists: self.keeps(place.lists) })
    }

    /// Whether lists are carried to a file system that knows them, or does not.
    fn keeps(&self, lists: bool) -> bool {
        lists && self.setup.keep_owner
    }

    fn open_root(&self) -> Outcome<OwnedFd> {
        let root = &self.setup.root;
        beneath::open_root(root).map_err(|err| {
            if says_absent(&err) {
                offline(
                    format!("{} is not there or is not a folder", root.display()),
                    "mount the target; driftline never creates its root",
                )
            } else {
                err.into()
            }
        })
    }

    /// Before it bears an identity nothing else tells an empty place from one at which its file system is yet to be mounted.
    fn is_no_bare_mount_point(&self) -> Outcome<()> {
        let root = std::fs::canonicalize(&self.setup.root)?;
        match awaited(&root)? {
            None => Ok(()),
            Some(point) => Err(offline(
                format!("nothing is mounted at {}, where /etc/fstab or a mount unit has something", point.display()),
                "mount it; or, if the copies are to lie on this disk, take that mount out of /etc/fstab or remove its unit",
            )),
        }
    }

    fn unbound(&self) -> Refusal {
        let root = self.setup.root.display();
        offline(
            format!("{root} bears no identity: the target is not mounted, or another file system is mounted there"),
            "mount the target; if it was emptied on purpose, stop the agent, and take it with 'driftline approve SHARE/TARGET'",
        )
    }

    fn compare(&self, found: &Identity, bound: Option<&str>) -> Outcome<()> {
        let root = self.setup.root.display();
        if found.share != self.setup.share_id {
            return Err(offline(
                format!("{root} keeps another share ({})", found.share),
                "give each share a directory of its own on the target; or, if several agents are to keep one share there, say \
                 that id as `id` under [[share]] (`driftline init --share-id`)",
            ));
        }
        match bound {
            Some(bound) if bound != found.target => Err(offline(
                format!(
                    "{root} is another target ({}, not {bound}): another file system is mounted there",
                    found.target
                ),
                "mount the right one; or stop the agent, and take this one with 'driftline approve SHARE/TARGET'",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes an identity where none is. If another agent was quicker, his is the answer.
    fn give_identity(&self, root: &OwnedFd) -> Outcome<(Identity, bool)> {
        let (folder, _) = made(root, crate::model::RESERVED)?;
        for name in [&b"staging"[..], &b"history"[..]] {
            made(&folder, name)?;
        }
        let identity = Identity::new(&self.setup.share_id, &self.setup.writer, (self.setup.now)());
        let staged = self.write_beside(&folder, &identity)?;
        let (from, to) = (Spot::new(&folder, &staged), Spot::new(&folder, NAME));
        let result = match link(from, to) {
            // RACE: without links, two agents that bind one place at the same instant: the later identity stays, and
            // the earlier agent is told "another target" at its next call.
            Err(err) if says_unlinkable(&err) => rename(from, to).map(|()| true),
            Err(err) if is(&err, Errno::EXIST) => unlink(from).map(|()| false),
            Err(err) => Err(err),
            Ok(()) => unlink(from).map(|()| true),
        };
        let newly = result?;
        sync(folder.as_fd())?;
        sync(root.as_fd())?;
        let found = read(root)?.ok_or_else(|| self.unbound())?;
        Ok((found, newly))
    }

    /// RACE: of two agents that join at the same instant, one is left out of the list until its next probe.
    fn join_writers(&self, root: &OwnedFd, mut identity: Identity) -> Outcome<()> {
        identity.writers.push(self.setup.writer.clone());
        let folder = open_folder(Spot::new(root, crate::model::RESERVED))?;
        let staged = self.write_beside(&folder, &identity)?;
        rename(Spot::new(&folder, &staged), Spot::new(&folder, NAME))?;
        Ok(sync(folder.as_fd())?)
    }

    fn write_beside(&self, folder: &OwnedFd, identity: &Identity) -> Outcome<Vec<u8>> {
        let name = format!("identity-{}", uuid::Uuid::now_v7().simple()).into_bytes();
        let mut file = create(Spot::new(folder, &name))?;
        let text = identity.to_json().map_err(io::Error::from)?;
        let written = file.write_all(&text).and_then(|()| sys_readable(&file)).and_then(|()| file.sync_all());
        if let Err(err) = written {
            // The error that matters is the first; a name that stays behind is in nobody's way.
            let _left = unlink(Spot::new(folder, &name));
            return Err(err.into());
        }
        Ok(name)
    }
}

/// Where its file system lies, and whether that takes the same name in other letters for one.
fn kind(root: &OwnedFd) -> io::Result<(Medium, bool)> {
    Ok((medium(root.as_fd())?, is_one_case(root)?))
}

fn sys_readable(file: &std::fs::File) -> io::Result<()> {
    crate::sys::publish::set_mode(file.as_fd(), 0o644)
}

fn offline(cause: impl Into<String>, hint: &'static str) -> Refusal {
    Refusal::own(Fault::Offline, cause, hint)
}

/// A folder that is there afterwards, and whether it was made just now. `.driftline` may be entered by all, so that its
/// identity can be read; what lies in staging and in history only by its owner.
pub(super) fn made(folder: &OwnedFd, name: &[u8]) -> Outcome<(OwnedFd, bool)> {
    let at = Spot::new(folder, name);
    let newly = match make_folder(at) {
        Ok(()) => true,
        Err(err) if is(&err, Errno::EXIST) => false,
        Err(err) => return Err(err.into()),
    };
    let made = open_folder(at)?;
    if newly && name == crate::model::RESERVED {
        crate::sys::publish::set_mode(made.as_fd(), 0o755)?;
    }
    Ok((made, newly))
}

fn read(root: &OwnedFd) -> Outcome<Option<Identity>> {
    let opened =
        open_folder(Spot::new(root, ours(b"").as_bytes())).and_then(|folder| open_file(Spot::new(&folder, NAME)));
    let file = match opened {
        Ok(file) => file,
        Err(err) if is(&err, Errno::NOENT) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let mut text = Vec::new();
    file.take(IDENTITY_MAX).read_to_end(&mut text)?;
    let identity = serde_json::from_slice(&text).map_err(|err| {
        offline(format!("its identity file cannot be understood ({err})"), "restore .driftline/identity from a backup")
    })?;
    Ok(Some(identity))
}
