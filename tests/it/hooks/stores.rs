//! A store of the host's own that fails, lies, panics, blocks and calls back while a service runs on it.

use super::*;
use bytes::Bytes;
use quorate_engine::consensus::types::Index;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::queue::{Completion, OpKind, Queue};
use quorate_engine::service::{Op, Parts, Request, Service};
use quorate_engine::status::State;
use quorate_engine::storage::custom::{Custom, HostStore};
use quorate_engine::storage::{StorageError, StorageErrorKind};
use quorate_tests::journal::{Door, Journal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A store that is a map and does what a test wants.
#[derive(Clone, Default)]
pub(super) struct Store(pub(super) Arc<Content>);

#[derive(Default)]
pub(super) struct Content {
    values: Mutex<BTreeMap<u64, Bytes>>,
    metadata: Mutex<BTreeMap<String, Vec<u8>>>,
    fails: Mutex<Option<&'static str>>,
    panics: Mutex<Option<&'static str>>,
    /// Called by `append`, which does not know what it does.
    calls: Mutex<Option<Box<dyn FnMut() + Send>>>,
    pub(super) door: Door,
}

impl Store {
    fn may(&self, call: &'static str) -> Result<(), StorageError> {
        let panics = *lock(&self.0.panics);
        assert_ne!(panics, Some(call), "a panic that a test wants");
        if *lock(&self.0.fails) == Some(call) {
            return Err(StorageError::new(StorageErrorKind::Io, format!("no {call} today")));
        }
        Ok(())
    }

    fn service(&self, journal: &Journal) -> Result<Service, Error> {
        self.service_with(Settings::new(), journal)
    }

    pub(super) fn service_with(
        &self,
        settings: Settings,
        journal: &Journal,
    ) -> Result<Service, Error> {
        let store = Some(Box::new(Custom::new(self.clone())) as _);
        Service::start_with(settings, journal.machine(), Parts { store, ..Parts::default() })
    }
}

impl HostStore for Store {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        self.may("open")?;
        let values = lock(&self.0.values);
        let ends = values.keys().next().zip(values.keys().next_back());
        Ok(ends.map(|(first, last)| (Index(*first), Index(*last))))
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        self.may("append")?;
        if let Some(call) = &mut *lock(&self.0.calls) {
            call();
        }
        lock(&self.0.values).extend((first.0..).zip(values.iter().cloned()));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.door.pass();
        self.may("sync")
    }

    fn read(&mut self, first: Index, last: Index, _max: usize) -> Result<Vec<Bytes>, StorageError> {
        self.may("read")?;
        let mut values: Vec<Bytes> =
            lock(&self.0.values).range(first.0..=last.0).map(|(_, value)| value.clone()).collect();
        if self.may("order").is_err() {
            values.reverse();
        }
        Ok(values)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        lock(&self.0.values).retain(|index, _| *index < first.0);
        Ok(())
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        lock(&self.0.values).retain(|index, _| *index > last.0);
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(lock(&self.0.metadata).get(key).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.may("metadata_put")?;
        lock(&self.0.metadata).insert(key.into(), value.into());
        Ok(())
    }
}

#[test]
fn a_store_that_fails_stops_the_service_and_what_it_had_is_there_again() {
    for call in ["append", "sync"] {
        let (store, journal) = (Store::default(), Journal::new());
        let service = store.service(&journal).expect("it starts");
        let queue = Queue::new().expect("a descriptor is left");
        service.subscribe(&queue, 5).expect("it runs");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        *lock(&store.0.fails) = Some(call);
        let error = service.propose_wait(entry("not known"), LONG).expect_err("the store fails");
        assert_eq!(error.kind, ErrorKind::Interrupted, "{call}: {error}");
        let failure = until(&queue, OpKind::Failed).result.expect_err("it says why");
        assert_eq!(failure.kind, ErrorKind::StorageFailed);
        assert!(failure.message.contains(call), "{failure}");
        assert_eq!(service.info().state, State::Failed);
        assert_eq!(service.close().map_err(|e| e.kind), Err(ErrorKind::StorageFailed));
        until(&queue, OpKind::Closed);
        *lock(&store.0.fails) = None;
        let again = store.service(&Journal::new()).expect("what it had is whole");
        again.read_barrier(LONG).expect("it leads");
        assert!(again.info().last_applied >= Index(2), "the first entry is there");
    }
}

/// Polls until that event has come, and returns it.
pub(super) fn until(queue: &Queue, op: OpKind) -> Completion {
    let mut polled = Vec::new();
    loop {
        assert!(queue.poll(&mut polled, 1, LONG) > 0, "{op:?} comes");
        if polled.last().is_some_and(|completion| completion.op == op) {
            return polled.swap_remove(polled.len() - 1);
        }
    }
}

// known bug: H7
#[test]
fn a_store_that_fails_or_lies_at_the_start_is_refused() {
    for call in ["open", "metadata_put", "read", "order"] {
        let (store, journal) = (Store::default(), Journal::new());
        let service = store.service(&journal).expect("it starts");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        drop(service);
        *lock(&store.0.fails) = Some(call);
        let error = store.service(&journal).expect_err("the store fails");
        let kind = if call == "order" { ErrorKind::Corrupt } else { ErrorKind::Io };
        assert_eq!(error.kind, kind, "{call}: {error}");
    }
}

/// The panic ends in the service, whose callers hear of it as of any failure of the store.
#[test]
fn a_store_that_panics_stops_its_own_service() {
    for call in ["append", "sync"] {
        let (store, journal) = (Store::default(), Journal::new());
        let (other, service) = (Store::default(), store.service(&journal).expect("it starts"));
        let other = other.service(&Journal::new()).expect("it starts");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        *lock(&store.0.panics) = Some(call);
        let error = service.propose_wait(entry("not known"), LONG).expect_err("the store panics");
        assert_eq!(error.kind, ErrorKind::Interrupted, "{call}: {error}");
        let after = service.propose_wait(entry("after"), LONG).expect_err("it has failed");
        assert_eq!(after.kind, ErrorKind::StorageFailed, "{call}: {after}");
        assert!(after.message.contains(&format!("{call} of the host's store")), "{after}");
        other.propose_wait(entry("lives on"), LONG).expect("it is another one");
        service.close().expect_err("it has failed");
        *lock(&store.0.panics) = None;
        let again = store.service(&Journal::new()).expect("what it had is whole");
        again.read_barrier(LONG).expect("it leads");
    }
}

#[test]
fn a_store_that_panics_at_the_start_is_refused() {
    for call in ["open", "metadata_put", "read"] {
        let (store, journal) = (Store::default(), Journal::new());
        let service = store.service(&journal).expect("it starts");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        drop(service);
        *lock(&store.0.panics) = Some(call);
        let error = store.service(&journal).expect_err("the store panics");
        assert!(error.kind == ErrorKind::Io && error.message.contains("it panicked"), "{error}");
        *lock(&store.0.panics) = None;
        store.service(&journal).expect("what it had is whole");
    }
}

#[test]
fn a_store_may_look_and_submit_but_not_wait() {
    let (store, journal) = (Store::default(), Journal::new());
    let service = Arc::new(store.service(&journal).expect("it starts"));
    let queue = Arc::new(Queue::new().expect("a descriptor is left"));
    let (inside, from, outcomes) =
        (Arc::clone(&service), Arc::clone(&queue), Arc::<Mutex<Vec<_>>>::default());
    let heard = Arc::clone(&outcomes);
    *lock(&store.0.calls) = Some(Box::new(move || {
        if lock(&heard).is_empty() {
            let waited = inside.propose_wait(entry("inner"), LONG).map(|_| ());
            let refused = [waited, inside.read_barrier(LONG), inside.close()];
            lock(&heard).extend(refused.map(|call| call.map_err(|error| error.kind)));
            let op = Op::ProposeWait(entry("submitted"));
            assert_eq!(inside.submit(&from, &[Request { token: 3, timeout: LONG, op }]), Ok(1));
            assert_eq!(inside.info().state, State::Standalone);
        }
    }));
    service.propose_wait(entry("outer"), LONG).expect("it is applied");
    assert_eq!(*lock(&outcomes), [Err(ErrorKind::InCallback); 3]);
    let mut done = Vec::new();
    assert_eq!(queue.poll(&mut done, 1, LONG), 1);
    assert!(done[0].token == 3 && done[0].result.is_ok(), "{done:?}");
    *lock(&store.0.calls) = None;
    assert_eq!(journal.texts(), ["outer", "submitted"]);
}

#[test]
fn a_store_that_blocks_delays_what_needs_it_and_nothing_else() {
    let (store, journal) = (Store::default(), Journal::new());
    let service = store.service(&journal).expect("it starts");
    service.propose_wait(entry("before"), LONG).expect("it is applied");
    store.0.door.shut();
    let late = service.propose_wait(entry("late"), SHORT).expect_err("the store blocks");
    assert_eq!(late.kind, ErrorKind::Timeout);
    store.0.door.until_somebody_waits();
    assert_eq!(service.info().state, State::Standalone);
    let tracker = service.applied_tracker();
    let applied = service.info().last_applied.0;
    assert_eq!(
        tracker.timed_wait(applied + 1, Duration::from_millis(50)),
        applied,
        "nothing is applied meanwhile"
    );
    store.0.door.open();
    assert!(tracker.timed_wait(applied + 1, MINUTE) > applied, "it is applied after all");
    assert_eq!(journal.texts(), ["before", "late"]);
}
