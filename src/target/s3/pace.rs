//! How many requests are under way at once, and how fast bytes go out.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Clock;
use super::fault::{Kind, Outcome};
use crate::model::Moment;

/// Requests under way at first (count).
const START: usize = 16;
/// Requests under way at most (count). S3 serves 3,500 writes a second for each prefix ("Optimizing Amazon S3
/// performance"); at an office line's 20 ms this many are as many as that.
const MAX: usize = 64;
/// A server that asks to slow down is heard once in this time: the answers of one burst say one thing.
const HEARD: Duration = Duration::from_millis(500);

/// Additive increase, multiplicative decrease (Chiu and Jain, 1989): half as many when the server asks to slow down, one
/// more for each round of answers; and one more for each answer until it asks for the first time.
#[derive(Debug)]
pub(super) struct Pace {
    turns: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Turns to take back as they come in.
    owed: usize,
    /// Good answers since the limit was last changed.
    good: usize,
    asked: Option<Moment>,
}

impl Pace {
    pub(super) fn new() -> Self {
        let state = State { limit: START, owed: 0, good: 0, asked: None };
        Self { turns: Semaphore::new(START), state: Mutex::new(state) }
    }

    /// Carries out a request when its turn comes, and learns from the answer.
    pub(super) async fn run<T>(&self, clock: &Clock, request: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let turn = self.turns.acquire().await.expect("the turns are never closed");
        let answer = request.await;
        match &answer {
            Err(refusal) if refusal.kind == Kind::Slow => self.slower((clock.moment)()),
            Ok(_) => self.faster(),
            Err(_) => {}
        }
        self.give_back(turn);
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers only: a panic elsewhere leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slower(&self, now: Moment) {
        let mut state = self.state();
        if state.asked.is_some_and(|asked| now.since(asked) < HEARD) {
            return;
        }
        let limit = (state.limit / 2).max(1);
        state.owed += state.limit - limit;
        (state.limit, state.good, state.asked) = (limit, 0, Some(now));
    }

    fn faster(&self) {
        let mut state = self.state();
        state.good += 1;
        let round = if state.asked.is_some() { state.limit } else { 1 };
        if state.good < round || state.limit >= MAX {
            return;
        }
        (state.good, state.limit) = (0, state.limit + 1);
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.turns.add_permits(1);
        }
    }

    fn give_back(&self, turn: SemaphorePermit<'_>) {
        let mut state = self.state();
        if state.owed > 0 {
            state.owed -= 1;
            turn.forget();
        }
    }
}

/// Bytes wait here before they are sent, so that no more than the administrator's rate goes out. Not in a stream's body:
/// a slow stream looks like a stalled one.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When what was let through so far will have been sent.
    free: Mutex<Moment>,
}

impl Rate {
    /// Waits until `bytes` may be sent at `rate` bytes a second.
    pub(super) async fn wait(&self, clock: &Clock, rate: Option<u64>, bytes: u64) {
        let Some(rate) = rate.filter(|rate| *rate > 0 && bytes > 0) else { return };
        let wait = self.book((clock.moment)(), rate, bytes);
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }

    fn book(&self, now: Moment, rate: u64, bytes: u64) -> Duration {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*free).max(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        *free = begins.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        begins.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn it_grows_quickly_at_first_and_slowly_after_it_was_asked_to_slow_down() {
        let pace = Pace::new();
        (0..1000).for_each(|_| pace.faster());
        let limits = || {
            let state = pace.state();
            (state.limit, state.owed)
        };
        assert_eq!((limits(), pace.turns.available_permits()), ((MAX, 0), MAX));
        pace.slower(at(1000));
        pace.slower(at(1100));
        assert_eq!(limits(), (MAX / 2, MAX / 2), "one burst is heard once");
        pace.slower(at(1600));
        assert_eq!(limits().0, MAX / 4);
        (0..MAX / 4).for_each(|_| pace.faster());
        assert_eq!(limits().0, MAX / 4 + 1);
        (0..20).for_each(|n| pace.slower(at(10_000 * (n + 1))));
        assert_eq!(limits().0, 1, "it never stops");
    }

    #[test]
    fn turns_that_are_owed_are_not_given_out_again() {
        let pace = Pace::new();
        pace.slower(at(0));
        let turn = pace.turns.try_acquire().expect("one of sixteen");
        pace.give_back(turn);
        let owed = pace.state().owed;
        assert_eq!((owed, pace.turns.available_permits()), (START / 2 - 1, START - 1));
    }

    #[test]
    fn bytes_go_out_at_their_rate_one_after_the_other() {
        let rate = Rate::default();
        assert_eq!(rate.book(at(0), 1000, 500), Duration::ZERO);
        assert_eq!(rate.book(at(0), 1000, 250), Duration::from_millis(500));
        assert_eq!(rate.book(at(100), 1000, 1), Duration::from_millis(650));
        assert_eq!(rate.book(at(5000), 1000, 1), Duration::ZERO, "what was not used is not saved up");
    }
}
