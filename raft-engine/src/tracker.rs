//! `ChangeTracker`: a counter to wait on.

use crate::error::{Error, ErrorKind};
use crate::queue::Queue;
use crate::service::Timeout;
use std::time::Duration;

/// A counter to wait on. Cloning shares it. All calls from any thread.
#[derive(Clone)]
pub struct ChangeTracker {}

impl Default for ChangeTracker {
    fn default() -> ChangeTracker {
        ChangeTracker::new()
    }
}

impl ChangeTracker {
    /// A tracker at 0.
    #[must_use]
    pub fn new() -> ChangeTracker {
        ChangeTracker {}
    }

    /// The tracker of that name in this process, made on demand, never removed.
    #[must_use]
    pub fn named(_name: &str) -> ChangeTracker {
        ChangeTracker {}
    }

    /// Sets the value, also to a lower one, and wakes whoever waits for it or less. After close it
    /// does nothing. `Invalid` for an applied tracker, which only its service moves.
    pub fn update(&self, _change: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The value as it is.
    #[must_use]
    pub fn value(&self) -> u64 {
        0
    }

    /// Waits until the value is at least `change` and returns it; after close the value as it is.
    pub fn wait(&self, change: u64) -> u64 {
        change
    }

    /// Likewise for at most `max`; then the value as it is, below `change`. Zero only looks.
    pub fn timed_wait(&self, change: u64, _max: Duration) -> u64 {
        change
    }

    /// Waits without a thread: one completion with op `Tracker`, result `Ok`, `Timeout` or `Closed`.
    pub fn notify(
        &self,
        _change: u64,
        _timeout: Timeout,
        _queue: &Queue,
        _token: u64,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Releases all waiters with the value as it is. An applied tracker is closed by its service;
    /// here nothing happens to it.
    pub fn close(&self) {}
}
