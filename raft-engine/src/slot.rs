//! A place where one thread waits for one value.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks, also after a panic elsewhere: what is guarded in this crate is never left half-changed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Filled once, taken once.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    value: Mutex<Option<T>>,
    filled: Condvar,
}

impl<T> Slot<T> {
    /// An empty slot.
    pub(crate) fn new() -> Slot<T> {
        Slot { value: Mutex::new(None), filled: Condvar::new() }
    }

    /// Puts the value in and wakes who waits. A second value is dropped.
    pub(crate) fn fill(&self, value: T) {
        lock(&self.value).get_or_insert(value);
        self.filled.notify_one();
    }

    /// Waits for the value.
    pub(crate) fn wait(&self) -> T {
        let mut value = lock(&self.value);
        loop {
            if let Some(value) = value.take() {
                return value;
            }
            value = self.filled.wait(value).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the value, at most so long.
    pub(crate) fn wait_for(&self, max: Duration) -> Option<T> {
        let value = lock(&self.value);
        let waited = self.filled.wait_timeout_while(value, max, |value| value.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_value_reaches_the_thread_that_waits() {
        let slot = Arc::new(Slot::new());
        let other = Arc::clone(&slot);
        let waiter = std::thread::spawn(move || other.wait());
        slot.fill(7);
        assert_eq!(waiter.join().expect("no panic"), 7);
        assert_eq!(slot.wait_for(Duration::from_millis(1)), None, "it was taken");
    }

    #[test]
    fn the_first_value_counts() {
        let slot = Slot::new();
        slot.fill(1);
        slot.fill(2);
        assert_eq!(slot.wait_for(Duration::ZERO), Some(1));
    }
}
