//! The cards of the agents that write there: `.driftline/agents/<agent>`.
//!
//! A card that cannot be written keeps nobody from working: it guards against copies of an agent, not against strangers,
//! whom each change's own guard notices.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use crate::sys::publish::{Errno, Spot, create, each_name, open_file, open_folder, rename, set_mode, unlink};
use crate::target::agents::{CARD_MAX, Card, Duty, FOLDER};
use crate::target::{Fault, TargetError};

use super::fault::{Outcome, Refusal, is};
use super::identity::{Place, made};
use super::{DirTarget, ours};

/// What the name of a card ends with that is being written.
const DRAFT: &[u8] = b".new";

impl DirTarget {
    /// Fails if a copy of this agent works there. `idle`: nothing is to be changed just now.
    pub(super) fn hold_berth(&self, place: &Place, idle: bool) -> Outcome<()> {
        let Some(berth) = &self.setup.berth else { return Ok(()) };
        let now = (self.setup.now)();
        if !berth.is_due(now, idle) {
            return Ok(());
        }
        // One does it for all that are under way.
        let _turn = berth.turn();
        if !berth.is_due(now, idle) {
            return Ok(());
        }
        let there = match read(place, berth.file().as_bytes()) {
            // Nobody is told by what may not be read.
            Err(err) if is(&err, Errno::ACCESS) || is(&err, Errno::PERM) => None,
            read => read?,
        };
        let duty = berth.judge(there.as_ref(), now);
        match duty.map_err(|fenced| Refusal::own(Fault::Offline, fenced.cause, fenced.hint))? {
            Duty::Nothing => {}
            Duty::Write(card) => {
                match write(place, berth.file().as_bytes(), &card) {
                    Err(Refusal::Io(err)) if stands_in_no_way(&err) => {}
                    result => result?,
                }
                berth.wrote(now);
            }
        }
        Ok(())
    }

    pub(super) fn cards(&self) -> Result<Vec<Card>, TargetError> {
        let place = self.open("read the agents of")?;
        all(&place).map_err(|refusal| refusal.into_error("read the agents of", None))
    }
}

/// A place that is full or takes no change says so to each change itself, and some of them need no room.
fn stands_in_no_way(err: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT, Errno::ACCESS, Errno::PERM, Errno::ROFS].into_iter().any(|code| is(err, code))
}

fn folder(place: &Place) -> io::Result<OwnedFd> {
    let reserved = open_folder(Spot::new(&place.root(), ours(b"").as_bytes()))?;
    open_folder(Spot::new(&reserved, FOLDER.as_bytes()))
}

fn read(place: &Place, name: &[u8]) -> io::Result<Option<Card>> {
    match folder(place).and_then(|folder| card(&folder, name)) {
        Err(err) if is(&err, Errno::NOENT) => Ok(None),
        result => result,
    }
}

fn card(folder: &OwnedFd, name: &[u8]) -> io::Result<Option<Card>> {
    let mut text = Vec::new();
    open_file(Spot::new(folder, name))?.take(CARD_MAX).read_to_end(&mut text)?;
    Ok(Card::parse(&text))
}

/// A reader sees the old card or the new one. RACE: of two copies that write at the same instant one is seen by both when
/// they look again, and the other one stops.
fn write(place: &Place, name: &[u8], text: &[u8]) -> Outcome<()> {
    let reserved = open_folder(Spot::new(&place.root(), ours(b"").as_bytes()))?;
    let (folder, newly) = made(&reserved, FOLDER.as_bytes())?;
    if newly {
        // It tells no name of a file, and whoever asks for the fleet may be somebody else.
        set_mode(folder.as_fd(), 0o755)?;
    }
    let draft = [name, DRAFT].concat();
    let at = Spot::new(&folder, &draft);
    let mut file = match create(at) {
        // Left by a run that was cut off.
        Err(err) if is(&err, Errno::EXIST) => unlink(at).and_then(|()| create(at))?,
        result => result?,
    };
    file.write_all(text)?;
    set_mode(file.as_fd(), 0o644)?;
    drop(file);
    Ok(rename(at, Spot::new(&folder, name))?)
}

fn all(place: &Place) -> Outcome<Vec<Card>> {
    let folder = match folder(place) {
        Err(err) if is(&err, Errno::NOENT) => return Ok(Vec::new()),
        result => result?,
    };
    let mut names = Vec::new();
    each_name(&folder, |name| {
        if !name.ends_with(DRAFT) {
            names.push(name.to_vec());
        }
        Ok(true)
    })?;
    let mut cards = Vec::new();
    for name in names {
        match card(&folder, &name) {
            // Renewed at this instant.
            Err(err) if is(&err, Errno::NOENT) || is(&err, Errno::STALE) => {}
            result => cards.extend(result?),
        }
    }
    Ok(cards)
}
