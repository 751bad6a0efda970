//! `ChangeTracker`: a counter to wait on.
//!
//! A waiter has a place of its own, ordered by what it waits for, so an update wakes those who have
//! what they want and nobody else, and whoever gives up leaves nothing behind.

use crate::consensus::types::{EntryId, Index, NodeId, Term};
use crate::error::{Error, ErrorKind};
use crate::os;
use crate::queue::{Completion, OpKind, Queue};
use crate::service::Timeout;
use crate::slot::{Slot, lock};
use crate::timer::{self, DeadlineId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A counter to wait on. Cloning shares it. All calls from any thread.
#[derive(Clone)]
pub struct ChangeTracker {
    shared: Arc<Shared>,
}

struct Shared {
    /// Moved and closed by a service only.
    applied: bool,
    value: AtomicU64,
    state: Mutex<State>,
}

/// What a waiter waits for, and a number to tell equal ones apart.
type Place = (u64, u64);

#[derive(Default)]
struct State {
    closed: bool,
    next: u64,
    waiters: BTreeMap<Place, Waiter>,
}

enum Waiter {
    Thread(Arc<Slot<u64>>),
    Queue(Notice),
}

/// A completion that will be.
struct Notice {
    queue: Queue,
    token: u64,
    deadline: Option<DeadlineId>,
}

impl Notice {
    fn complete(self, value: u64, result: Result<(), Error>) {
        if let Some(deadline) = self.deadline {
            timer::cancel(deadline);
        }
        self.queue.push([Completion {
            token: self.token,
            op: OpKind::Tracker,
            id: EntryId::new(Index(value), Term(0)),
            result: result.map(|()| None),
            leader: NodeId(0),
            number: 0,
        }]);
    }
}

impl Default for ChangeTracker {
    fn default() -> ChangeTracker {
        ChangeTracker::new()
    }
}

impl ChangeTracker {
    /// A tracker at 0.
    #[must_use]
    pub fn new() -> ChangeTracker {
        ChangeTracker::with(0, false)
    }

    /// A tracker that its service moves and closes.
    pub(crate) fn applied(value: u64) -> ChangeTracker {
        ChangeTracker::with(value, true)
    }

    fn with(value: u64, applied: bool) -> ChangeTracker {
        let value = AtomicU64::new(value);
        ChangeTracker { shared: Arc::new(Shared { applied, value, state: Mutex::default() }) }
    }

    /// The tracker of that name in this process, made on demand, never removed.
    #[must_use]
    pub fn named(name: &str) -> ChangeTracker {
        static NAMED: Mutex<BTreeMap<String, ChangeTracker>> = Mutex::new(BTreeMap::new());
        let mut named = lock(&NAMED);
        if let Some(tracker) = named.get(name) {
            return tracker.clone();
        }
        let tracker = ChangeTracker::new();
        named.insert(name.to_owned(), tracker.clone());
        tracker
    }

    /// Sets the value, also to a lower one, and wakes whoever waits for it or less. After close it
    /// does nothing. `Invalid` for an applied tracker, which only its service moves.
    pub fn update(&self, change: u64) -> Result<(), Error> {
        if self.shared.applied {
            let text = "an applied tracker follows its service and can't be set: make one of your \
                        own with ChangeTracker::new";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.advance(change);
        Ok(())
    }

    /// As `update`, for the service.
    pub(crate) fn advance(&self, change: u64) {
        let mut state = lock(&self.shared.state);
        if state.closed {
            return;
        }
        self.shared.value.store(change, Ordering::Release);
        if state.waiters.is_empty() {
            return;
        }
        let satisfied = match change.checked_add(1) {
            Some(above) => {
                let waiting = state.waiters.split_off(&(above, 0));
                std::mem::replace(&mut state.waiters, waiting)
            }
            None => std::mem::take(&mut state.waiters),
        };
        drop(state);
        for waiter in satisfied.into_values() {
            match waiter {
                Waiter::Thread(slot) => slot.fill(change),
                Waiter::Queue(notice) => notice.complete(change, Ok(())),
            }
        }
    }

    /// The value as it is.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.shared.value.load(Ordering::Acquire)
    }

    /// Waits until the value is at least `change` and returns it; after close, and at once from a
    /// callback, the value as it is.
    pub fn wait(&self, change: u64) -> u64 {
        match self.enter(change) {
            Ok((_, slot)) => slot.wait(),
            Err(value) => value,
        }
    }

    /// Likewise for at most `max`; then the value as it is, below `change`. Zero only looks.
    pub fn timed_wait(&self, change: u64, max: Duration) -> u64 {
        if max.is_zero() {
            return self.value();
        }
        let (place, slot) = match self.enter(change) {
            Ok(entered) => entered,
            Err(value) => return value,
        };
        if let Some(value) = slot.wait_for(max) {
            return value;
        }
        let mut state = lock(&self.shared.state);
        match state.waiters.remove(&place) {
            Some(_) => self.value(),
            None => {
                drop(state);
                slot.wait() // whoever took the waiter out fills its slot
            }
        }
    }

    /// Waits without a thread: one completion with op `Tracker`, result `Ok`, `Timeout` or `Closed`.
    pub fn notify(
        &self,
        change: u64,
        timeout: Timeout,
        queue: &Queue,
        token: u64,
    ) -> Result<(), Error> {
        if os::forked() {
            return Err(Error::forked());
        }
        let notice = Notice { queue: queue.clone(), token, deadline: None };
        let state = lock(&self.shared.state);
        let value = self.value();
        if value >= change {
            drop(state);
            notice.complete(value, Ok(()));
        } else if state.closed {
            drop(state);
            notice.complete(value, Err(closed()));
        } else if timeout.is_some_and(|max| max.is_zero()) {
            drop(state);
            notice.complete(value, Err(timed_out(change, value)));
        } else {
            return self.enter_notice(state, change, timeout, notice);
        }
        Ok(())
    }

    /// Releases all waiters with the value as it is. An applied tracker is closed by its service;
    /// here nothing happens to it.
    pub fn close(&self) {
        if !self.shared.applied {
            self.finish();
        }
    }

    /// As `close`, for the service.
    pub(crate) fn finish(&self) {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        let waiters = std::mem::take(&mut state.waiters);
        let value = self.value();
        drop(state);
        for waiter in waiters.into_values() {
            match waiter {
                Waiter::Thread(slot) => slot.fill(value),
                Waiter::Queue(notice) => notice.complete(value, Err(closed())),
            }
        }
    }

    /// A place for the calling thread, or the value when there is nothing to wait for.
    fn enter(&self, change: u64) -> Result<(Place, Arc<Slot<u64>>), u64> {
        let mut state = lock(&self.shared.state);
        let value = self.value();
        if value >= change || state.closed || os::in_callback() || os::forked() {
            return Err(value);
        }
        let slot = Arc::new(Slot::new());
        let place = state.enter(change, Waiter::Thread(Arc::clone(&slot)));
        Ok((place, slot))
    }

    fn enter_notice(
        &self,
        mut state: MutexGuard<'_, State>,
        change: u64,
        timeout: Timeout,
        mut notice: Notice,
    ) -> Result<(), Error> {
        let place = (change, state.next);
        if let Some(max) = timeout {
            let tracker = Arc::downgrade(&self.shared);
            let give_up = move || {
                if let Some(shared) = tracker.upgrade() {
                    ChangeTracker { shared }.give_up(place);
                }
            };
            let deadline = timer::after(max, give_up);
            notice.deadline = Some(deadline.ok_or_else(no_thread)?);
        }
        state.enter(change, Waiter::Queue(notice));
        Ok(())
    }

    fn give_up(&self, place: Place) {
        let waiter = lock(&self.shared.state).waiters.remove(&place);
        if let Some(Waiter::Queue(notice)) = waiter {
            let value = self.value();
            notice.complete(value, Err(timed_out(place.0, value)));
        }
    }
}

/// When the last handle of a tracker goes, nobody can move it any more.
impl Drop for Shared {
    fn drop(&mut self) {
        let value = *self.value.get_mut();
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for waiter in std::mem::take(&mut state.waiters).into_values() {
            match waiter {
                Waiter::Thread(slot) => slot.fill(value),
                Waiter::Queue(notice) => notice.complete(value, Err(closed())),
            }
        }
    }
}

impl State {
    fn enter(&mut self, change: u64, waiter: Waiter) -> Place {
        let place = (change, self.next);
        self.next += 1;
        self.waiters.insert(place, waiter);
        place
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the tracker is closed: its value does not change any more")
}

fn timed_out(change: u64, value: u64) -> Error {
    let text = format!("the time is over; the tracker stands at {value}, below {change}");
    Error::new(ErrorKind::Timeout, text)
}

fn no_thread() -> Error {
    let text = "no thread for deadlines: raise the limit of threads, or wait without a time-out";
    Error::new(ErrorKind::Busy, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SOON: Duration = Duration::from_millis(10);

    fn waiting(tracker: &ChangeTracker) -> usize {
        lock(&tracker.shared.state).waiters.len()
    }

    /// Waits until so many wait: an event of another thread that has no other sign.
    fn until_waiting(tracker: &ChangeTracker, count: usize) {
        while waiting(tracker) != count {
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_there_already_is_not_waited_for() {
        let tracker = ChangeTracker::new();
        assert_eq!((tracker.value(), tracker.wait(0)), (0, 0));
        tracker.update(5).expect("it is nobody's");
        assert_eq!((tracker.wait(5), tracker.wait(3), tracker.timed_wait(4, SOON)), (5, 5, 5));
        assert_eq!(tracker.timed_wait(6, Duration::ZERO), 5, "zero only looks");
        assert_eq!(tracker.timed_wait(6, SOON), 5);
        assert_eq!(waiting(&tracker), 0, "who gave up left nothing behind");
    }

    #[test]
    fn an_update_wakes_whoever_waits_for_it_or_less() {
        let tracker = ChangeTracker::new();
        let waiters: Vec<_> = [2_u64, 3, 4]
            .map(|change| {
                let tracker = tracker.clone();
                thread::spawn(move || tracker.wait(change))
            })
            .into_iter()
            .collect();
        until_waiting(&tracker, 3);
        tracker.update(3).expect("it is nobody's");
        until_waiting(&tracker, 1);
        tracker.update(1).expect("it may go back");
        assert_eq!((tracker.value(), waiting(&tracker)), (1, 1));
        tracker.update(9).expect("it is nobody's");
        let got: Vec<_> = waiters.into_iter().map(|w| w.join().expect("no panic")).collect();
        assert_eq!(got, [3, 3, 9]);
    }

    #[test]
    fn closing_releases_all_and_ends_all_change() {
        let tracker = ChangeTracker::new();
        tracker.update(4).expect("it is nobody's");
        let waiter = {
            let tracker = tracker.clone();
            thread::spawn(move || tracker.wait(5))
        };
        until_waiting(&tracker, 1);
        tracker.close();
        tracker.close();
        assert_eq!(waiter.join().expect("no panic"), 4);
        tracker.update(7).expect("it does nothing");
        assert_eq!((tracker.value(), tracker.wait(9)), (4, 4));
    }

    #[test]
    fn an_applied_tracker_belongs_to_its_service() {
        let tracker = ChangeTracker::applied(3);
        assert_eq!(tracker.update(4).expect_err("refused").kind, ErrorKind::Invalid);
        tracker.close();
        tracker.advance(5);
        assert_eq!(tracker.value(), 5, "close did nothing");
        tracker.finish();
        assert_eq!(tracker.wait(6), 5);
    }

    #[test]
    fn one_name_is_one_tracker() {
        let one = ChangeTracker::named("tracker-test");
        one.update(8).expect("it is nobody's");
        assert_eq!(ChangeTracker::named("tracker-test").value(), 8);
        assert_eq!(ChangeTracker::named("tracker-test-other").value(), 0);
    }

    #[test]
    fn a_callback_never_waits() {
        let _callback = os::Callback::enter();
        assert_eq!(ChangeTracker::new().wait(1), 0);
    }

    #[test]
    fn notices_come_once_for_each_reason() {
        let queue = Queue::new().expect("a descriptor");
        let tracker = ChangeTracker::new();
        let ask = |change, timeout, token| {
            tracker.notify(change, timeout, &queue, token).expect("taken");
        };
        ask(0, None, 1);
        ask(1, Some(Duration::from_secs(60)), 2);
        ask(2, Some(SOON), 3);
        ask(2, Some(Duration::ZERO), 4);
        tracker.update(1).expect("it is nobody's");
        let mut all = Vec::new();
        while all.len() < 4 {
            queue.poll(&mut all, 8, None);
        }
        ask(7, None, 5);
        tracker.close();
        ask(7, None, 6);
        ask(1, None, 7);
        assert_eq!(queue.poll(&mut all, 8, Some(SOON)), 3);
        let kind = |c: &Completion| c.result.as_ref().err().map(|error| error.kind);
        let mut got: Vec<_> = all.iter().map(|c| (c.token, c.id.index.0, kind(c))).collect();
        got.sort_unstable_by_key(|(token, ..)| *token);
        let (late, closed) = (Some(ErrorKind::Timeout), Some(ErrorKind::Closed));
        let expected = [
            (1, 0, None),
            (2, 1, None),
            (3, 1, late),
            (4, 0, late),
            (5, 1, closed),
            (6, 1, closed),
            (7, 1, None),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn thousands_wait_at_once_and_each_is_told_once() {
        let queue = Queue::new().expect("a descriptor");
        let tracker = ChangeTracker::new();
        for n in 1..=5000_u64 {
            let timeout = (n % 2 == 0).then_some(Duration::from_secs(60));
            tracker.notify(n, timeout, &queue, n).expect("taken");
        }
        let threads: Vec<_> = (1..=500_u64)
            .map(|n| {
                let tracker = tracker.clone();
                thread::spawn(move || tracker.wait(n * 10))
            })
            .collect();
        until_waiting(&tracker, 5500);
        (1..=50_u64).for_each(|n| tracker.update(n * 100).expect("it is nobody's"));
        let mut all = Vec::new();
        while all.len() < 5000 {
            queue.poll(&mut all, 512, None);
        }
        let mut tokens: Vec<_> = all.iter().map(|c| c.token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (1..=5000).collect::<Vec<_>>());
        assert!(all.iter().all(|c| c.result.is_ok() && c.id.index.0 >= c.token));
        for (n, thread) in (1..=500_u64).zip(threads) {
            assert!(thread.join().expect("no panic") >= n * 10);
        }
        assert_eq!(waiting(&tracker), 0);
    }
}
