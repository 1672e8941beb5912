//! The thread that hears what a target tells of the changes of others.
//!
//! What it hears goes to the core; once the core has taken it in and that is durable, the target is told that it need not tell
//! it again. An agent that dies between hears it twice.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::drive::Input;
use crate::engine::hands::LaneHands;
use crate::engine::{Event, Failure, clock};
use crate::model::Wall;
use crate::rest::{RestLimits, rest};

/// Whoever says within this time that there is nothing to be told is not asked again sooner.
const QUICK: Duration = Duration::from_secs(1);

/// Between the thread that listens and the loop.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ear {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    listens: bool,
    closed: bool,
    /// Why nothing is heard, and since when.
    trouble: Option<(Failure, Wall)>,
    /// The newest that the core has taken in.
    noted: u64,
}

impl Ear {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is heard.
    pub(in crate::engine) fn close(&self) {
        self.state().closed = true;
        self.turned.notify_all();
    }

    /// The core has taken it in, and that is durable.
    pub(in crate::engine) fn note(&self, number: u64) {
        self.state().noted = number;
        self.turned.notify_all();
    }

    /// `None` if nobody listens; else what the matter is, if anything.
    pub(in crate::engine) fn report(&self) -> Option<Option<(Failure, Wall)>> {
        let state = self.state();
        state.listens.then(|| state.trouble.clone())
    }

    fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// False if it was closed before.
    fn wait_noted(&self, number: u64) -> bool {
        let mut state = self.state();
        while state.noted < number && !state.closed {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    fn rest(&self, span: Duration) {
        let state = self.state();
        drop(self.turned.wait_timeout_while(state, span, |state| !state.closed));
    }
}

impl LaneHands {
    /// Listens until it is told to end.
    pub(in crate::engine) fn listen(&self) {
        let Some(news) = self.target.news() else { return };
        self.ear.state().listens = true;
        let (mut number, mut strikes) = (0, 0);
        while !self.ear.is_closed() {
            let begun = clock::moment();
            let heard = news.hear().and_then(|told| {
                if told.strange > 0 {
                    let count = told.strange;
                    tracing::warn!(target = self.name, count, "the queue of its events holds what is no event of S3");
                }
                if !told.rumours.is_empty() {
                    number += 1;
                    // Nobody hears it only when the agent has ended.
                    let _unheard = self.share.out.send(Input::Event(Event::Told(self.id, number, told.rumours)));
                    if !self.ear.wait_noted(number) {
                        return Ok(true);
                    }
                }
                let any = !told.receipts.is_empty();
                if any { news.noted(&told.receipts).map(|()| any) } else { Ok(any) }
            });
            match heard {
                Ok(any) => {
                    strikes = 0;
                    self.hears();
                    if !any && clock::moment().since(begun) < QUICK {
                        self.ear.rest(QUICK);
                    }
                }
                Err(error) => {
                    self.hears_nothing(error.into());
                    self.ear.rest(rest(strikes, clock::chance(), &RestLimits::default()));
                    strikes += 1;
                }
            }
        }
    }

    fn hears(&self) {
        if let Some((failure, _)) = self.ear.state().trouble.take() {
            tracing::info!(target = self.name, "its events are heard again after: {}", failure.message);
        }
    }

    fn hears_nothing(&self, failure: Failure) {
        let mut state = self.ear.state();
        if state.trouble.as_ref().is_none_or(|(known, _)| known.message != failure.message) {
            tracing::warn!(target = self.name, hint = failure.hint, "{}", failure.message);
        }
        let since = state.trouble.as_ref().map_or_else(clock::wall, |(_, since)| *since);
        state.trouble = Some((failure, since));
    }
}
