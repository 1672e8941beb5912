//! A configuration that is read anew while the agent runs: what may take effect at once does, without a restart of anything;
//! what would hide or destroy files waits for a person; a file that is wrong changes nothing.
//!
//! What the difference is, and which sort each is of, is decided in `config::merge`. Here it is carried out. A share whose
//! patterns change is watched anew and then scanned: what happens in between the scan sees.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Change, Config, Effect, Facts, Share, merge};
use crate::engine::drive::{Engine, Input, Mode, Result, say_served, serve_under, served};
use crate::engine::settings::{SETTINGS, Settings, Waiting};
use crate::engine::start::{LaneSeat, Start, StartError};
use crate::engine::state::{ErrorState, INDEX};
use crate::engine::{Event, clock};
use crate::index::{IndexError, Reader};
use crate::local::Ignore;
use crate::model::{Moment, RelPath, ShareId, TargetId};
use crate::plan::Drift;

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What it holds, or what is wrong with it and what to do.
    pub config: std::result::Result<Config, (String, String)>,
    /// The digest of its text, for whoever wants to know whether it has changed since; empty where it could not be read.
    pub digest: String,
}

/// Hands what was read to the engine, from any thread.
#[derive(Clone)]
pub struct Reloader {
    pub(super) out: SyncSender<Input>,
    pub(super) mailbox: Mailbox,
}

/// What was read last and not taken in yet.
pub(super) type Mailbox = Arc<Mutex<Option<Reading>>>;

impl Reloader {
    /// Has the engine take it in; what was handed over before and was not taken in yet is forgotten.
    pub fn reload(&self, reading: Reading) {
        *self.mailbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        // With a full inbox the loop is awake, and looks each second.
        let _full = self.out.try_send(Input::Reload);
    }
}

/// How many files of each share that are known its new patterns would leave out.
pub(super) type Hidden = BTreeMap<String, u64>;

/// The configuration in effect, and the one that is wanted.
pub(super) struct Reloads {
    pub(super) agent: String,
    pub(super) current: Config,
    wanted: Option<Config>,
    /// Of the text of `wanted`, until it is told together with what became of it: before that the file is not read.
    digest: Option<String>,
    hidden: Hidden,
    counting: bool,
    pub(super) mailbox: Mailbox,
    pub(super) said: Settings,
    done: u64,
}

impl Reloads {
    pub(super) fn new(agent: &str, config: &Config) -> Self {
        Self {
            agent: agent.to_owned(),
            current: config.clone(),
            wanted: None,
            digest: None,
            hidden: Hidden::new(),
            counting: false,
            mailbox: Mailbox::default(),
            said: Settings::default(),
            done: 0,
        }
    }
}

impl Engine {
    /// A handle to give it a configuration that was read anew.
    pub fn reloader(&self) -> Reloader {
        Reloader { out: self.out.clone(), mailbox: Arc::clone(&self.reloads.mailbox) }
    }

    /// How many configurations it has taken in or refused while it ran.
    pub fn reloads_done(&self) -> u64 {
        self.reloads.done
    }

    /// What it says of its configuration.
    pub fn settings(&self) -> &Settings {
        &self.reloads.said
    }

    /// Says that it begins with a configuration whose text has this digest.
    pub fn begin_with(&mut self, digest: &str) -> Result<()> {
        if self.mode != Mode::Plan {
            let said = Settings { taken: clock::wall().0, digest: digest.to_owned(), ..Settings::default() };
            self.say_settings(said)?;
        }
        Ok(())
    }

    pub(super) fn say_settings(&mut self, said: Settings) -> Result<()> {
        if said != self.reloads.said {
            self.index.begin(clock::wall())?;
            self.index.set_fact(SETTINGS, &said.to_json())?;
            self.index.commit()?;
            self.reloads.said = said;
        }
        Ok(())
    }

    /// Takes in what was read, unless what was read before is being worked on.
    pub(super) fn take_reload(&mut self) -> Result<()> {
        if self.reloads.counting || self.mode != Mode::Run {
            return Ok(());
        }
        let reading = self.reloads.mailbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Reading { config, digest }) = reading else { return Ok(()) };
        let sound = config.and_then(|config| patterns(&config).map(|_| config));
        match sound {
            Ok(config) => self.count_hidden(config, digest),
            Err((message, hint)) => {
                tracing::error!(hint, "the configuration file is not taken, what was in effect stays so: {message}");
                let since = self.reloads.said.error.as_ref().map_or(clock::wall().0, |error| error.since);
                let error = Some(ErrorState { message: message.clone(), hint, since });
                let said = Settings { digest, error, ..self.reloads.said.clone() };
                self.say_settings(said)?;
                self.note_everywhere("config", &format!("the configuration file is not taken: {message}"))?;
                self.reloads.done += 1;
                Ok(())
            }
        }
    }

    /// Counts what new patterns would hide, on a thread of its own: there may be very many files.
    ///
    /// RACE: a file that is saved under such a name while they are counted is not counted. If it is the only one, nobody is asked,
    /// and its copy moves to history.
    fn count_hidden(&mut self, config: Config, digest: String) -> Result<()> {
        let mut jobs = Vec::new();
        for share in &config.shares {
            let old = self.reloads.current.shares.iter().find(|known| known.name == share.name);
            let seat = self.shares.iter().find(|seat| seat.name == share.name);
            let (Some(old), Some(seat)) = (old.filter(|old| old.ignore != share.ignore), seat) else { continue };
            jobs.push((seat.id, share.name.clone(), old.ignore.clone(), share.ignore.clone()));
        }
        (self.reloads.wanted, self.reloads.digest) = (Some(config), Some(digest));
        self.reloads.hidden.clear();
        if jobs.is_empty() {
            return self.apply_wanted(&|_, _| false);
        }
        let (index, out) = (self.reloads.current.agent.state_dir.join(INDEX), self.out.clone());
        self.reloads.counting = true;
        let count = move || {
            // Nobody hears it only when the agent has ended.
            let _unheard = out.send(Input::Counted(count(&index, &jobs)));
        };
        if crate::engine::start::thread("patterns", count).is_err() {
            return self.counted(Hidden::new());
        }
        Ok(())
    }

    pub(super) fn counted(&mut self, hidden: Hidden) -> Result<()> {
        (self.reloads.hidden, self.reloads.counting) = (hidden, false);
        self.apply_wanted(&|_, _| false)
    }

    /// Lets through what waits of one place. True if anything did.
    pub(super) fn approve_change(&mut self, share: &str, target: Option<&str>) -> Result<bool> {
        let waits = |one: &Waiting| one.share == share && one.target.as_deref() == target;
        if !self.reloads.said.waiting.iter().any(waits) {
            return Ok(false);
        }
        self.apply_wanted(&|one, name| one == share && name == target)?;
        Ok(true)
    }

    fn apply_wanted(&mut self, approved: &dyn Fn(&str, Option<&str>) -> bool) -> Result<()> {
        let Some(wanted) = self.reloads.wanted.clone() else { return Ok(()) };
        let hidden = self.reloads.hidden.clone();
        let facts = Facts { hides: &|share| hidden.get(share).copied(), approved };
        let (config, changes) = merge(&self.reloads.current, &wanted, &facts);
        let failed = self.put_into_effect(config)?;
        let begins = |change: &&Change| !(change.is_new() && failed.iter().any(|(share, _)| *share == change.share));
        self.tell_changes(&changes.iter().filter(begins).collect::<Vec<_>>())?;
        let failed = failed.into_iter().map(|(share, why)| format!("{share}: {why}")).collect();
        let (taken, waiting, at_restart) = (clock::wall().0, Vec::new(), Vec::new());
        let mut said = Settings { taken, waiting, at_restart, blocked: failed, ..self.reloads.said.clone() };
        if let Some(digest) = self.reloads.digest.take() {
            (said.digest, said.error) = (digest, None);
        }
        for Change { share, target, what, effect } in changes {
            match effect {
                Effect::Now => {}
                Effect::Asks(effect) => {
                    let mut before = self.reloads.said.waiting.iter();
                    let known = before.find(|one| (&one.share, &one.target, &one.change) == (&share, &target, &what));
                    let since = known.map_or(clock::wall().0, |known| known.since);
                    said.waiting.push(Waiting { share, target, change: what, effect, since });
                }
                Effect::Restart => said.at_restart.push(what),
                Effect::Blocked(why) => {
                    said.blocked.push(format!("{}: {what}, but {why}", place(&share, target.as_deref())));
                }
            }
        }
        self.say_settings(said)?;
        self.reloads.done += 1;
        Ok(())
    }

    fn tell_changes(&mut self, changes: &[&Change]) -> Result<()> {
        if changes.is_empty() {
            tracing::info!("the configuration was read, and nothing in it has changed");
        }
        for Change { share, target, what, effect } in changes {
            let place = place(share, target.as_deref());
            match effect {
                Effect::Now => tracing::info!("the configuration has changed: {place}: {what}"),
                Effect::Asks(would) => tracing::warn!(
                    hint =
                        format!("if that is meant: driftline approve {place}; if not, undo it in the file and reload"),
                    "a change of the configuration waits for a person: {place}: {what}: {would}"
                ),
                Effect::Restart => tracing::warn!("takes effect when the agent is started anew: {what}"),
                Effect::Blocked(why) => tracing::warn!("does not take effect yet: {place}: {what}: {why}"),
            }
            let word = match effect {
                Effect::Now => "in effect",
                Effect::Asks(_) => "waits for a person",
                Effect::Restart => "waits for a new start",
                Effect::Blocked(_) => "is blocked",
            };
            self.note_at(share, target.as_deref(), &format!("{what}: {word}"))?;
        }
        Ok(())
    }

    fn note_at(&mut self, share: &str, target: Option<&str>, words: &str) -> Result<()> {
        let Some(seat) = self.shares.iter().find(|seat| seat.name == share) else {
            return if share.is_empty() { self.note_everywhere("config", words) } else { Ok(()) };
        };
        let id = seat.id;
        let lane = self.lanes.iter().find(|lane| lane.share == id && target == Some(lane.name.as_str()));
        let lane = lane.map(|lane| lane.id);
        self.index.begin(clock::wall())?;
        self.index.note(id, lane, &RelPath::root(), "config", words)?;
        self.index.commit()
    }

    fn note_everywhere(&mut self, what: &str, words: &str) -> Result<()> {
        self.index.begin(clock::wall())?;
        for seat in &self.shares {
            self.index.note(seat.id, None, &RelPath::root(), what, words)?;
        }
        self.index.commit()
    }

    // ---- carrying it out ----

    /// Gives back what could not begin: the share, and why.
    fn put_into_effect(&mut self, mut config: Config) -> Result<Vec<(String, String)>> {
        let mut failed = Vec::new();
        let old = std::mem::replace(&mut self.reloads.current, config.clone());
        self.retire(&config);
        say_served(&self.index, &self.lanes)?;
        for share in &old.shares {
            if let Some(new) = config.shares.iter().find(|new| new.name == share.name) {
                self.change_share(share, new)?;
            }
        }
        // What cannot be begun is not in effect: it is tried again when the file is read again.
        for share in &mut config.shares {
            let known = old.shares.iter().find(|known| known.name == share.name);
            if let Err(error) = self.begin_places(share, known) {
                // What it had begun to write down of it.
                self.index.rollback()?;
                failed.push((share.name.clone(), format!("{error}; {}", error.hint)));
                tracing::error!(share = share.name, hint = error.hint, "{error}");
                match known {
                    Some(known) => share.targets.retain(|t| known.targets.iter().any(|other| other.name == t.name)),
                    None => share.targets.clear(),
                }
            }
        }
        config.shares.retain(|share| !share.targets.is_empty());
        self.reloads.current = config;
        self.turn(vec![Event::Tick])?;
        Ok(failed)
    }

    /// Lets go of shares and targets that are configured no more. What they are at comes to its end and is not heard.
    fn retire(&mut self, config: &Config) {
        let mut gone: Vec<(TargetId, ShareId)> = Vec::new();
        for lane in &self.lanes {
            let share = self.shares.iter().find(|share| share.id == lane.share).map(|share| share.name.as_str());
            let is_there = |s: &Share| Some(s.name.as_str()) == share && s.targets.iter().any(|t| t.name == lane.name);
            if !config.shares.iter().any(is_there) {
                lane.queue.close();
                lane.hands.ear.close();
                gone.push((lane.id, lane.share));
            }
        }
        self.lanes.retain(|lane| !gone.iter().any(|(id, _)| *id == lane.id));
        gone.iter().for_each(|(id, _)| self.core.remove_target(*id));
        let stays = |name: &str| config.shares.iter().any(|share| share.name == name);
        for seat in self.shares.iter().filter(|seat| !stays(&seat.name)) {
            seat.queue.close();
            seat.scan_queue.close();
            seat.hands.watching.close();
            self.core.remove_share(seat.id);
        }
        self.shares.retain(|seat| stays(&seat.name));
    }

    fn change_share(&mut self, old: &Share, new: &Share) -> Result<()> {
        let Some(seat) = self.shares.iter().find(|seat| seat.name == new.name) else { return Ok(()) };
        let id = seat.id;
        if (old.settle, old.patience, old.rescan) != (new.settle, new.patience, new.rescan) {
            self.core.change_share(id, crate::engine::start::settle_limits(new), new.rescan, clock::moment());
        }
        seat.hands.change(|settings| settings.probe_within = new.patience * 2);
        if old.ignore != new.ignore
            && let Ok(ignore) = Ignore::new(&new.ignore)
        {
            seat.hands.change(|settings| settings.ignore = Arc::new(ignore));
            // It is watched anew before it is scanned anew.
            self.turn(vec![Event::LostTrack(id)])?;
        }
        for target in &new.targets {
            let Some(before) = old.targets.iter().find(|known| known.name == target.name) else { continue };
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.share == id && lane.name == target.name) else {
                continue;
            };
            (lane.history, lane.history_floor) = (target.history, target.history_versions);
            if (before.history, before.history_versions) != (target.history, target.history_versions) {
                (lane.pruned, lane.prune_after) = (None, Moment::default());
                let seats = self.shares.iter_mut().filter(|seat| seat.id == id);
                seats.for_each(|seat| seat.pruned = None);
            }
            lane.dials.turn_to(&target.place);
            let lane = lane.id;
            self.index.take_changes(lane, target.policy().drift == Drift::Take);
            self.core.remember(lane, target.history);
            serve_under(&mut self.index, lane, target.policy())?;
            if (before.policy(), before.audit) != (target.policy(), target.audit) {
                self.core.change_target(lane, target.policy(), target.audit, clock::moment());
            }
        }
        Ok(())
    }

    /// Registers what is new of a share, and starts its threads.
    fn begin_places(&mut self, share: &Share, known: Option<&Share>) -> std::result::Result<(), StartError> {
        let served = served(&self.index).map_err(|error| StartError::index(&error))?;
        let agent = self.reloads.agent.clone();
        let config = self.reloads.current.clone();
        let mut start = Start {
            config: &config,
            agent: &agent,
            tenure: self.tenure.as_ref(),
            index: &mut self.index,
            mode: self.mode,
            out: &self.out,
            stop: &self.stop,
            under_way: &self.under_way,
            served,
        };
        let fresh = |name: &str| !known.is_some_and(|known| known.targets.iter().any(|target| target.name == name));
        let mut lanes: Vec<LaneSeat> = Vec::new();
        let new_targets: Vec<_> = share.targets.iter().filter(|target| fresh(&target.name)).collect();
        if new_targets.is_empty() {
            return Ok(());
        }
        let begun = if known.is_none() { Some(start.share(share)?) } else { None };
        let (seat, info) = match &begun {
            Some((seat, info, _)) => (seat, info.clone()),
            None => {
                let seat = self.shares.iter().find(|seat| seat.name == share.name);
                let Some(seat) = seat else { return Ok(()) };
                (seat, start.known_share(share)?)
            }
        };
        let mut setups = Vec::new();
        for target in new_targets {
            let (lane, setup) = start.target(seat, &info, target)?;
            lanes.push(lane);
            setups.push(setup);
        }
        if let Some((seat, _, setup)) = begun {
            self.core.add_share(setup);
            self.shares.push(seat);
        }
        setups.into_iter().for_each(|setup| self.core.add_target(setup));
        self.lanes.extend(lanes);
        say_served(&self.index, &self.lanes).map_err(|error| StartError::index(&error))
    }
}

fn place(share: &str, target: Option<&str>) -> String {
    match target {
        Some(target) => format!("{share}/{target}"),
        None if share.is_empty() => "agent".to_owned(),
        None => share.to_owned(),
    }
}

/// Whether all patterns are well formed.
fn patterns(config: &Config) -> std::result::Result<(), (String, String)> {
    for share in &config.shares {
        if let Err(error) = Ignore::new(&share.ignore) {
            let message = format!("the ignore patterns of share {:?}: {error}", share.name);
            return Err((message, "write it as gitignore does".to_owned()));
        }
    }
    Ok(())
}

/// A share, its name, and its patterns before and after.
type Job = (ShareId, String, Vec<String>, Vec<String>);

/// A share that cannot be counted is not named: then a person is asked whatever the number.
fn count(index: &Path, jobs: &[Job]) -> Hidden {
    jobs.iter().filter_map(|job| Some((job.1.clone(), hidden(index, job).ok()??))).collect()
}

fn hidden(index: &Path, (share, _, old, new): &Job) -> std::result::Result<Option<u64>, IndexError> {
    let (Ok(old), Ok(new)) = (Ignore::new(old), Ignore::new(new)) else { return Ok(None) };
    let Some(reader) = Reader::open(index)? else { return Ok(None) };
    let mut hidden = 0;
    reader.visit_files(*share, &mut |path| {
        let leaves_out = |ignore: &Ignore| ignore.ignores(path, false) || ignore.ignores_below(path);
        hidden += u64::from(leaves_out(&new) && !leaves_out(&old));
    })?;
    Ok(Some(hidden))
}
