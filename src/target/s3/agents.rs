//! The cards of the agents that write there: `.driftline/agents/<agent>`. They are looked at, and renewed, only while
//! something is changed there: an agent with nothing to do sends no request.

use std::collections::HashMap;

use bytes::Bytes;

use super::Inner;
use super::connection::Sort;
use super::fault::{Kind, Outcome, Refusal};
use super::sums;
use super::wire::{Condition, PAGE_MAX, Put, Wire};
use crate::target::Fault;
use crate::target::agents::{Berth, CARD_MAX, Card, Duty, FOLDER};

/// Times that a card is read again because somebody else was quicker (count).
const TRIES_MAX: usize = 3;

impl Inner {
    /// Fails if a copy of this agent works there.
    pub(super) async fn hold(&self) -> Outcome<()> {
        let Some(berth) = &self.setup.berth else { return Ok(()) };
        let is_due = || berth.is_due((self.setup.clock.wall)(), false) && !self.known().pretend;
        if !is_due() {
            return Ok(());
        }
        // One does it for all that are under way.
        let _turn = self.holding.lock().await;
        if !is_due() {
            return Ok(());
        }
        let wire = self.open().await?;
        for _ in 0..TRIES_MAX {
            if self.renew(&wire, berth).await? {
                return Ok(());
            }
        }
        Err(Refusal::new(Kind::Unclear, "its list of agents changes all the time", "driftline tries again by itself"))
    }

    /// False if somebody else was quicker.
    async fn renew(&self, wire: &Wire<'_>, berth: &Berth) -> Outcome<bool> {
        let now = (self.setup.clock.wall)();
        let key = self.prefix.ours(&format!("{FOLDER}/{}", berth.file()));
        let found = wire.get_small(&key).await?;
        let there = found.as_ref().and_then(|(bytes, _)| Card::parse(bytes));
        let duty = berth.judge(there.as_ref(), now);
        let card = match duty.map_err(|fenced| Refusal::fault(Fault::Offline, &fenced.cause, fenced.hint))? {
            Duty::Nothing => return Ok(true),
            Duty::Write(card) => Bytes::from(card),
        };
        let condition = found.map_or(Condition::Absent, |(_, etag)| Condition::Match(etag));
        let checksum = sums::checked(wire.abilities.checksum, &card);
        let put = Put { key, body: card, metadata: HashMap::default() };
        let request = || wire.put_once(&put, Some(&condition), &checksum);
        let made = || async {
            let found = wire.get_small(&put.key).await?;
            Ok(found.filter(|(bytes, _)| *bytes == put.body).map(|_| Default::default()))
        };
        match self.connection.change(&self.setup, (Sort::Put, put.body.len() as u64), request, made).await {
            Ok(_) => {
                berth.wrote(now);
                Ok(true)
            }
            Err(refusal) if refusal.kind == Kind::Precondition => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) async fn cards(&self) -> Outcome<Vec<Card>> {
        let wire = self.open().await?;
        let prefix = self.prefix.ours(&format!("{FOLDER}/"));
        let mut cards = Vec::new();
        let mut after = None::<String>;
        loop {
            let page = wire.list(&prefix, None, after.as_deref(), PAGE_MAX).await?;
            for object in page.objects.iter().filter(|object| object.len <= CARD_MAX) {
                cards.extend(wire.get_small(&object.key).await?.and_then(|(bytes, _)| Card::parse(&bytes)));
            }
            after = page.next;
            if after.is_none() {
                return Ok(cards);
            }
        }
    }
}
