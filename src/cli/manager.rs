//! What the service manager (systemd) is told: that the agent watches, that it is well, and in one line how things stand.
//!
//! That line is the one with which `driftline status` begins, without its date: it changes when something does.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::cli::args::{Places, StateArgs};
use crate::cli::collect::{self, Found};
use crate::cli::report::{Status, Verdict, When};
use crate::cli::source;
use crate::cli::status_text::undated;
use crate::cli::text::{Screen, counted};
use crate::engine::settings::Settings;
use crate::engine::{Engine, Snapshot, clock};
use crate::model::Moment;

/// How often it is told that the agent is well, and, where something has changed, how things stand.
const BEAT: Duration = Duration::from_secs(1);
/// How often the line is made anew while nothing changes but how long it has been so.
const LONGER: Duration = Duration::from_secs(10);
/// To find out how things stand takes no more than this part of the time.
const SHARE_OF_TIME: u32 = 20;

/// What was told.
pub(super) struct Told {
    places: Places,
    /// Whether anybody listens.
    listened: bool,
    ready: bool,
    beaten: Moment,
    status: String,
    reloads: u64,
    /// What the index had seen when the line was made.
    seen: Option<(u64, i64)>,
    made: Moment,
    not_before: Moment,
    /// Nothing but a change makes the line another one.
    steady: bool,
}

impl Told {
    /// Nothing yet; the line is about these places.
    pub(super) fn new(places: &Places) -> Self {
        Self {
            places: places.clone(),
            listened: std::env::var_os("NOTIFY_SOCKET").is_some(),
            ready: false,
            beaten: Moment::default(),
            status: String::new(),
            reloads: 0,
            seen: None,
            made: Moment::default(),
            not_before: Moment::default(),
            steady: false,
        }
    }

    /// To be called often.
    pub(super) fn tell(&mut self, engine: &Engine) {
        let now = clock::moment();
        if self.reloads != engine.reloads_done() && self.ready {
            self.reloads = engine.reloads_done();
            notify(&[NotifyState::Ready]);
        } else if self.ready && now.since(self.beaten) < BEAT {
            return;
        }
        self.beaten = now;
        if !self.ready && engine.is_ready() {
            self.ready = true;
            notify(&[NotifyState::Ready]);
            tracing::info!("watching");
        }
        notify(&[NotifyState::Watchdog]);
        if self.listened && self.is_due(engine, now) {
            self.tell_status(engine, now);
        }
    }

    fn is_due(&self, engine: &Engine, now: Moment) -> bool {
        let seen = engine.seen();
        let is_due = self.seen != Some(seen) || (!self.steady && now.since(self.made) >= LONGER);
        is_due && now >= self.not_before
    }

    fn tell_status(&mut self, engine: &Engine, now: Moment) {
        // What is written while the line is made has it made anew.
        self.seen = Some(engine.seen());
        let status;
        (status, self.steady) = line(&self.places, engine);
        let took = clock::moment().since(now);
        (self.made, self.not_before) = (now, now.after(BEAT.max(took * SHARE_OF_TIME)));
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// The agent ends.
    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }
}

/// The line, and whether it says nothing that time alone changes.
fn line(places: &Places, engine: &Engine) -> (String, bool) {
    let Snapshot { scanning, files, pending, .. } = engine.snapshot();
    let settings = of_settings(engine.settings());
    let now = clock::wall();
    let asked = source::state(&StateArgs { places: places.clone() });
    let found = asked.and_then(|asked| Found::look(&asked.dir, now).map(|found| (asked, found)));
    let Ok((asked, found)) = found else {
        // Somebody has the index to himself: what is known here.
        let doing = if scanning { "scanning, " } else { "" };
        let known = format!("{} known, {} waiting", counted(files, "file"), counted(pending, "change"));
        return (format!("{settings}{doing}{known}"), false);
    };
    // What is to be said of the configuration stands before it.
    let Status { agent, shares, error, .. } = collect::status(&asked, &found, now);
    let status = Status::new(agent, None, shares, When(now));
    let status = error.into_iter().fold(status, Status::with_error);
    let steady = status.verdict == Verdict::Safe && status.lanes().all(|(_, target)| target.error.is_none());
    let words = undated(&status, &Screen::here(When(now)));
    (format!("{settings}{words}; {} known", counted(files, "file")), steady)
}

/// What of its configuration a person has to know, before everything else.
fn of_settings(said: &Settings) -> String {
    match &said.error {
        Some(error) => format!("the configuration file is NOT TAKEN: {}; ", error.message),
        None if said.waiting.is_empty() => String::new(),
        None => format!("{} of the configuration waiting for approval; ", counted(said.waiting.len() as u64, "change")),
    }
}

/// Says that the configuration is being read again; [`NotifyState::Ready`] says that this is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the clock that systemd asks for cannot be read: {error}"),
    }
}

/// Nothing happens where no service manager listens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}
