//! Whether this is the place that was bound: decided by the object `.driftline/identity`, which is read again before a
//! call if it was not for a while.

use std::time::Duration;

use bytes::Bytes;

use super::abilities::Abilities;
use super::connection::Sort;
use super::fault::{Kind, Outcome, Refusal};
use super::wire::{Condition, Put, Wire};
use super::{Inner, sums};
use crate::model::Moment;
use crate::target::identity::Identity;
use crate::target::{Bind, Bound, Fault, REPORT};

/// Under this name what the server can do stands in the identity.
const SERVER: &str = "server";
/// How often it is asked whether the bucket keeps versions, while something is changed there.
const VERSIONS_ASKED: Duration = Duration::from_secs(600);

/// What is known of the place.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The identity that it has to bear.
    pub(super) bound: Option<String>,
    /// It bears no identity, and is only looked at.
    pub(super) pretend: bool,
    /// When its identity was last seen to be that.
    seen: Option<Moment>,
    pub(super) abilities: Option<Abilities>,
    versions: Option<(Moment, bool)>,
}

impl Known {
    /// A place that was bound before, or never.
    pub(super) fn bound_to(bound: Option<String>) -> Self {
        Self { bound, ..Self::default() }
    }
}

impl Inner {
    pub(super) fn wire(&self, abilities: Abilities) -> Wire<'_> {
        Wire { setup: &self.setup, connection: &self.connection, abilities }
    }

    /// The place, if it is the one that was bound.
    ///
    /// RACE: within [`super::Sizes::fresh`] after it was seen, another bucket of the same name is not noticed. At worst it
    /// gets that long new objects of ours; nothing of its own is touched, as every change carries its condition.
    pub(super) async fn open(&self) -> Outcome<Wire<'_>> {
        let known = self.known().clone();
        if known.pretend {
            return Ok(self.wire(Abilities::ALL));
        }
        let bound = known.bound.ok_or_else(|| offline("it was never bound to this share", REPORT))?;
        if let Some(abilities) = self.seen_of_late() {
            return Ok(self.wire(abilities));
        }
        // One asks for all that are under way. If it had no answer, each asks for itself: they need not wait in turn.
        let first = self.checking.try_lock();
        if first.is_err() {
            drop(self.checking.lock().await);
            if let Some(abilities) = self.seen_of_late() {
                return Ok(self.wire(abilities));
            }
        }
        Box::pin(self.check(&bound)).await
    }

    fn seen_of_late(&self) -> Option<Abilities> {
        let (known, now) = (self.known(), (self.setup.clock.moment)());
        let is_fresh = known.seen.is_some_and(|seen| now.since(seen) < self.setup.sizes.fresh);
        known.abilities.filter(|_| is_fresh)
    }

    async fn check(&self, bound: &str) -> Outcome<Wire<'_>> {
        let found = self.read_identity().await?;
        let (identity, _) = found.ok_or_else(|| self.unbound())?;
        self.compare(&identity, Some(bound))?;
        let abilities = match abilities_in(&identity) {
            Some(abilities) => abilities,
            None => self.wire(Abilities::ALL).try_all(&self.scratch()).await?,
        };
        self.saw(abilities);
        Ok(self.wire(abilities))
    }

    fn saw(&self, abilities: Abilities) {
        let mut known = self.known();
        (known.seen, known.abilities) = (Some((self.setup.clock.moment)()), Some(abilities));
    }

    /// Like [`Inner::open`], and gives an identity to a place that has none, if `bind` allows.
    pub(super) async fn bind(&self, bind: Bind) -> Outcome<Bound> {
        let bound = self.known().bound.clone();
        let found = match (self.read_identity().await?, &bound, bind) {
            (Some(found), _, _) => (found, false),
            (None, None, Bind::IfUnbound) => self.give_identity().await?,
            (None, None, Bind::Pretend) => {
                self.known().pretend = true;
                return Ok(Bound { id: String::new(), newly: false, far: false, lists: true });
            }
            (None, Some(_), _) | (None, None, Bind::Never) => return Err(self.unbound()),
        };
        let ((identity, etag), newly) = found;
        self.compare(&identity, bound.as_deref())?;
        let id = identity.target.clone();
        if bind == Bind::IfUnbound {
            self.complete(identity, etag).await?;
        }
        self.known().bound = Some(id.clone());
        Ok(Bound { id, newly, far: false, lists: true })
    }

    pub(super) async fn read_identity(&self) -> Outcome<Option<(Identity, String)>> {
        let wire = self.wire(Abilities::ALL);
        let found = wire.get_small(&self.prefix.ours("identity")).await?;
        found.map(|(bytes, etag)| Ok((parsed(&bytes)?, etag))).transpose()
    }

    /// Puts an identity where none is. If another agent was quicker, his is the answer.
    async fn give_identity(&self) -> Outcome<((Identity, String), bool)> {
        let abilities = self.wire(Abilities::ALL).try_all(&self.scratch()).await?;
        let mut identity = Identity::new(&self.setup.share_id, &self.setup.writer, (self.setup.clock.wall)());
        identity.more.insert(SERVER.to_owned(), as_json(abilities)?);
        // RACE: where the server checks no condition, two agents that bind one place at the same instant: the later
        // identity stays, and the earlier agent is told "another target" at its next call.
        let newly = match self.put_identity(&identity, &Condition::Absent, abilities).await {
            Ok(()) => true,
            Err(refusal) if refusal.kind == Kind::Precondition => false,
            Err(refusal) => return Err(refusal),
        };
        let found = self.read_identity().await?.ok_or_else(|| self.unbound())?;
        let newly = newly && found.0.target == identity.target;
        Ok((found, newly))
    }

    /// Adds this agent to the writers, and what the server can do, where either is missing.
    async fn complete(&self, mut identity: Identity, etag: String) -> Outcome<()> {
        let known = abilities_in(&identity);
        let abilities = match known {
            Some(abilities) => abilities,
            None => self.wire(Abilities::ALL).try_all(&self.scratch()).await?,
        };
        self.saw(abilities);
        if known.is_some() && identity.writers.contains(&self.setup.writer) {
            return Ok(());
        }
        if !identity.writers.contains(&self.setup.writer) {
            identity.writers.push(self.setup.writer.clone());
        }
        identity.more.insert(SERVER.to_owned(), as_json(abilities)?);
        match self.put_identity(&identity, &Condition::Match(etag), abilities).await {
            // Another agent joined at this instant: this one does at its next probe.
            Err(refusal) if refusal.kind == Kind::Precondition => Ok(()),
            answer => answer,
        }
    }

    /// What the server can do now, if it stands otherwise in the identity.
    pub(super) async fn remember_abilities(&self, abilities: Abilities) -> Outcome<()> {
        self.saw(abilities);
        let Some((mut identity, etag)) = self.read_identity().await? else { return Err(self.unbound()) };
        if abilities_in(&identity) == Some(abilities) {
            return Ok(());
        }
        identity.more.insert(SERVER.to_owned(), as_json(abilities)?);
        self.put_identity(&identity, &Condition::Match(etag), abilities).await
    }

    async fn put_identity(&self, identity: &Identity, condition: &Condition, abilities: Abilities) -> Outcome<()> {
        let text = identity.to_json().map_err(|err| offline(&err.to_string(), REPORT))?;
        let body = Bytes::from(text);
        let checksum = sums::checked(abilities.checksum, &body);
        let put = Put { key: self.prefix.ours("identity"), body, metadata: Default::default() };
        let wire = self.wire(abilities);
        let request = || wire.put_once(&put, Some(condition), &checksum);
        let made = || async {
            let found = wire.get_small(&put.key).await?;
            Ok(found.filter(|(bytes, _)| *bytes == put.body).map(|_| Default::default()))
        };
        self.connection.change(&self.setup, (Sort::Put, put.body.len() as u64), request, made).await.map(|_| ())
    }

    pub(super) fn scratch(&self) -> String {
        self.prefix.ours(&format!("staging/try-{}", uuid::Uuid::now_v7().simple()))
    }

    pub(super) fn unbound(&self) -> Refusal {
        let cause = format!("{} bears no identity: it was emptied, or is another bucket than before", self.shown());
        offline(
            &cause,
            "correct url and endpoint; if it was emptied on purpose, stop the agent, and take it with 'driftline approve SHARE/TARGET'",
        )
    }

    pub(super) fn compare(&self, found: &Identity, bound: Option<&str>) -> Outcome<()> {
        let place = self.shown();
        if found.share != self.setup.share_id {
            let cause = format!("{place} keeps another share ({})", found.share);
            let hint = "give each share a bucket or a prefix of its own; or, if several agents are to keep one share there, say \
                        that id as `id` under [[share]] (`driftline init --share-id`)";
            return Err(offline(&cause, hint));
        }
        match bound {
            Some(bound) if bound != found.target => {
                let cause = format!("{place} is another target ({}, not {bound})", found.target);
                Err(offline(
                    &cause,
                    "correct url and endpoint; or stop the agent, and take this one with 'driftline approve SHARE/TARGET'",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether what is replaced or deleted there stays as an earlier version.
    ///
    /// RACE: versions may be given up between this question and the change. What was put while they were kept stays all
    /// the same; and the answer to a put tells, so that what was put after is copied to history before it is replaced.
    pub(super) async fn keeps_versions(&self, wire: &Wire<'_>) -> Outcome<bool> {
        let now = (self.setup.clock.moment)();
        if let Some((asked, keeps)) = self.known().versions
            && now.since(asked) < VERSIONS_ASKED
        {
            return Ok(keeps);
        }
        // Not knowing means that history is kept by copies.
        let keeps = wire.is_versioned().await?.unwrap_or(false);
        self.known().versions = Some((now, keeps));
        Ok(keeps)
    }

    /// A put was answered without a version: versions are kept no longer.
    pub(super) fn no_version(&self) {
        let mut known = self.known();
        if let Some((_, keeps)) = &mut known.versions {
            *keeps = false;
        }
    }
}

fn abilities_in(identity: &Identity) -> Option<Abilities> {
    serde_json::from_value(identity.more.get(SERVER)?.clone()).ok()
}

fn as_json(abilities: Abilities) -> Outcome<serde_json::Value> {
    serde_json::to_value(abilities).map_err(|err| offline(&err.to_string(), REPORT))
}

fn parsed(bytes: &[u8]) -> Outcome<Identity> {
    serde_json::from_slice(bytes).map_err(|err| {
        let cause = format!("its identity cannot be understood ({err})");
        offline(&cause, "restore the object .driftline/identity from an earlier version or a backup")
    })
}

fn offline(cause: &str, hint: &'static str) -> Refusal {
    Refusal::fault(Fault::Offline, cause, hint)
}
