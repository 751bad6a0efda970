//! The queue in front of an engine thread: jobs in order, taken all at once, one wake-up for each time
//! it was empty. How much may wait is bounded by whoever adds.

use crate::slot::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Jobs for one thread.
pub(crate) struct Jobs<T> {
    state: Mutex<State<T>>,
    added: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    asleep: bool,
    closed: bool,
}

/// Why `Jobs::take` came back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// With jobs.
    Some,
    /// The time is over.
    Late,
    /// There will be no more.
    Closed,
}

impl<T> Jobs<T> {
    /// An empty queue.
    pub(crate) fn new() -> Jobs<T> {
        let state = State { waiting: VecDeque::new(), asleep: false, closed: false };
        Jobs { state: Mutex::new(state), added: Condvar::new() }
    }

    /// Adds a job at the end; nothing once the queue is closed.
    pub(crate) fn add(&self, job: T) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        state.waiting.push_back(job);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.added.notify_one();
        }
    }

    /// Takes no more jobs; the thread ends once it has done those that wait.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.added.notify_one();
    }

    /// As `close`, and forgets those that wait.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let forgotten = std::mem::take(&mut state.waiting);
        drop(state);
        drop(forgotten);
        self.added.notify_one();
    }

    /// Whether the thread has done all it was given, and sleeps.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.state).asleep
    }

    /// Moves all jobs to the end of `into`; sleeps while there is none, at most so long.
    pub(crate) fn take(&self, into: &mut VecDeque<T>, max: Option<Duration>) -> Taken {
        let mut state = lock(&self.state);
        while state.waiting.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state.asleep = true;
            let Some(max) = max else {
                state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.added.wait_timeout(state, max);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && state.waiting.is_empty() {
                state.asleep = false;
                return if state.closed { Taken::Closed } else { Taken::Late };
            }
        }
        state.asleep = false;
        into.append(&mut state.waiting);
        Taken::Some
    }

    /// Likewise, without sleeping.
    pub(crate) fn take_more(&self, into: &mut VecDeque<T>) {
        into.append(&mut lock(&self.state).waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn jobs_come_in_order_until_the_queue_is_closed() {
        let jobs = Arc::new(Jobs::new());
        let worker = {
            let jobs = Arc::clone(&jobs);
            std::thread::spawn(move || {
                let mut done = VecDeque::new();
                while jobs.take(&mut done, None) == Taken::Some {}
                done
            })
        };
        (0..1000).for_each(|n| jobs.add(n));
        jobs.close();
        jobs.add(1000);
        assert_eq!(worker.join().expect("no panic"), (0..1000).collect::<VecDeque<_>>());
    }

    #[test]
    fn a_thread_may_look_after_a_while_and_abandoned_jobs_are_gone() {
        let jobs = Jobs::new();
        let mut taken = VecDeque::new();
        assert_eq!(jobs.take(&mut taken, Some(Duration::from_millis(1))), Taken::Late);
        jobs.add(1);
        jobs.abandon();
        assert_eq!(jobs.take(&mut taken, None), Taken::Closed);
        assert!(taken.is_empty());
    }
}
