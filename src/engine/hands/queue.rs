//! What waits for the threads of a share or of a target.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// A queue that several threads take from. It is short: the core bounds what is under way.
///
/// Of the threads that wait, the one that worked last is woken: as many of them as there is work for at once keep busy, and the
/// others take no memory but their stacks.
pub(in crate::engine) struct Queue<J>(Mutex<State<J>>);

struct State<J> {
    jobs: VecDeque<J>,
    closed: bool,
    /// The one that worked last comes last.
    waiting: Vec<Thread>,
}

impl<J> Queue<J> {
    pub(in crate::engine) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { jobs: VecDeque::new(), closed: false, waiting: Vec::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::engine) fn put(&self, job: J) {
        let mut state = self.state();
        state.jobs.push_back(job);
        if let Some(last) = state.waiting.pop() {
            last.unpark();
        }
    }

    /// Nothing more comes: what waits is still done, then those who take from it end.
    pub(in crate::engine) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.drain(..).for_each(|thread| thread.unpark());
    }

    pub(super) fn take(&self) -> Option<J> {
        let me = std::thread::current();
        loop {
            let mut state = self.state();
            // It may have woken by itself.
            state.waiting.retain(|thread| thread.id() != me.id());
            match state.jobs.pop_front() {
                Some(job) => return Some(job),
                None if state.closed => return None,
                None => state.waiting.push(me.clone()),
            }
            drop(state);
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(queue: &Queue<u32>, count: usize) {
        while queue.state().waiting.len() != count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn everything_is_taken_once_and_the_takers_end_after_it() {
        let queue = Queue::new();
        let taken = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    while let Some(job) = queue.take() {
                        taken.lock().expect("no panic").push(job);
                    }
                });
            }
            for job in 0..10_000 {
                queue.put(job);
            }
            queue.close();
        });
        let mut taken = taken.into_inner().expect("no panic");
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..10_000));
        assert!(queue.state().waiting.is_empty());
    }

    #[test]
    fn who_worked_last_is_woken_first() {
        let queue = Queue::new();
        let (out, took) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (queue, out) = (Arc::clone(&queue), out.clone());
                waits(&queue, number);
                scope.spawn(move || {
                    while let Some(job) = queue.take() {
                        out.send((number, job)).expect("it is heard");
                    }
                });
            }
            for job in 0..9 {
                waits(&queue, 3);
                queue.put(job);
                assert_eq!(took.recv(), Ok((2, job)));
            }
            queue.close();
        });
    }
}
