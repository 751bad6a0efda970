//! Who carries out a write: the loop only one that is small and alone, on a store that allows it and a
//! disk that was fast; and nobody after a failure.

use super::*;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::types::{Index, Term};
use crate::storage::{Record, Recovered, StorageErrorKind};
use std::collections::BTreeMap;
use std::panic;
use std::thread;

/// What a store was asked, and by which thread.
#[derive(Default)]
struct Notes {
    calls: Mutex<Vec<(&'static str, String)>>,
    trouble: Mutex<Trouble>,
}

/// What goes wrong in the next sync.
#[derive(Clone, Copy, Default)]
enum Trouble {
    #[default]
    None,
    Error,
    Panic,
}

impl Notes {
    fn add(&self, call: &'static str) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.calls.lock().expect("no panic while it is held").push((call, thread));
    }

    fn plan(&self, trouble: Trouble) {
        *self.trouble.lock().expect("no panic while it is held") = trouble;
    }

    /// The threads that synced, `here` for the one that asks. Forgets them.
    fn syncs(&self) -> Vec<&'static str> {
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic while it is held"));
        let syncs = calls.into_iter().filter(|(call, _)| *call == "sync");
        syncs.map(|(_, thread)| if thread == "quorate-log" { "log" } else { "here" }).collect()
    }
}

/// Notes its callers, and keeps of what it is given no more than a log that is never read needs.
struct Noting {
    values: BTreeMap<String, Vec<u8>>,
    notes: Arc<Notes>,
}

impl LogStore for Noting {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        Ok(Recovered::default())
    }

    fn append(&mut self, _: &[Record], _: Index) -> Result<(), StorageError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.notes.add("sync");
        let trouble = *self.notes.trouble.lock().expect("no panic while it is held");
        match trouble {
            Trouble::None => Ok(()),
            Trouble::Error => Err(StorageError::new(StorageErrorKind::Io, "the disk is gone")),
            Trouble::Panic => panic::resume_unwind(Box::new("a fault in the store")),
        }
    }

    fn read(&mut self, _: Index, _: Index, _: usize) -> Result<Vec<Record>, StorageError> {
        Ok(Vec::new())
    }

    fn truncate_suffix(&mut self, _: Index) -> Result<(), StorageError> {
        Ok(())
    }

    fn truncate_prefix(&mut self, _: Index, _: Term) -> Result<(), StorageError> {
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.values.get(key).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.notes.add("put");
        self.values.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}

struct Setting {
    notes: Arc<Notes>,
    inbox: Arc<Inbox>,
    persister: Persister,
    seq: u64,
    last: Index,
}

impl Setting {
    fn new(callers: Callers) -> Setting {
        let (notes, inbox) = (Arc::<Notes>::default(), Arc::<Inbox>::default());
        let log = Noting { values: BTreeMap::new(), notes: Arc::clone(&notes) };
        let store = Store { log: Box::new(log), callers };
        let started = Persister::start(store, Arc::clone(&inbox));
        let (persister, opened) = started.expect("a thread is left");
        notes.syncs();
        Setting { notes, inbox, persister, seq: 0, last: opened.stored.last }
    }

    /// The next write, with so many entries.
    fn write(&mut self, entries: u64) -> Write {
        let first = self.last.next().0;
        self.seq += 1;
        self.last = Index(self.last.0 + entries);
        let entry = |index| Entry { index: Index(index), term: Term(1), payload: Payload::Noop };
        Write {
            seq: self.seq,
            state: None,
            keep_to: None,
            append: (first..first + entries).map(entry).collect(),
            commit_hint: Index::ZERO,
            after: Vec::new(),
        }
    }

    /// Adds a write once the thread has nothing to do. Whether it is held.
    fn add(&mut self, entries: u64) -> bool {
        while !self.persister.jobs.is_idle() {
            thread::yield_now();
        }
        let write = self.write(entries);
        self.persister.add(Job::Write(write));
        self.persister.holds()
    }

    /// Waits until all writes are durable, and says who made them so.
    fn syncs(&mut self) -> Vec<&'static str> {
        let mut persisted = 0;
        while persisted < self.seq {
            persisted = persisted.max(self.inbox.take().persisted);
            thread::yield_now();
        }
        self.notes.syncs()
    }
}

#[test]
fn a_small_write_that_comes_alone_is_carried_out_by_the_loop() {
    let mut it = Setting::new(Callers::LoopIfFast);
    assert!(it.add(1));
    it.persister.carry_out();
    assert_eq!(it.syncs(), ["here"]);
    assert!(it.add(1));
    it.persister.hand_over();
    assert_eq!(it.syncs(), ["log"], "the loop had no time");
    assert!(!it.add(2), "more than one entry");
    assert_eq!(it.syncs(), ["log"]);
}

#[test]
fn in_memory_the_loop_carries_out_each_write_of_entries() {
    let mut it = Setting::new(Callers::Loop);
    assert!(!it.add(100), "it is done");
    assert_eq!(it.syncs(), ["here"]);
    let cut = Write { keep_to: Some(it.last), ..it.write(0) };
    it.persister.add(Job::Write(cut));
    assert_eq!(it.syncs(), ["log"]);
}

#[test]
fn order_is_kept_when_another_write_follows_a_held_one() {
    let mut it = Setting::new(Callers::LoopIfFast);
    assert!(it.add(1));
    let next = it.write(1);
    it.persister.add(Job::Write(next));
    it.persister.hand_over();
    assert!(it.syncs().iter().all(|thread| *thread == "log"));
    assert!(it.add(1));
    it.persister.stop();
    assert_eq!(it.notes.syncs(), ["log"], "what is held at the end is written too");
}

#[test]
fn a_store_of_the_host_is_used_by_one_thread_only() {
    let mut it = Setting::new(Callers::Log);
    assert!(!it.add(1));
    assert_eq!(it.syncs(), ["log"]);
}

#[test]
fn the_loop_does_not_wait_for_a_disk_that_was_slow() {
    let mut it = Setting::new(Callers::LoopIfFast);
    let shared = it.persister.shared.clone().expect("the loop may use it");
    shared.lock().expect("no panic").took = FAST * 2;
    assert!(it.add(1));
    it.persister.carry_out();
    assert_eq!(it.syncs(), ["log"]);
    assert_ne!(shared.lock().expect("no panic").took, FAST * 2, "the thread looks again");
}

#[test]
fn after_a_failure_in_the_loop_nobody_touches_the_store() {
    for trouble in [Trouble::Error, Trouble::Panic] {
        let mut it = Setting::new(Callers::LoopIfFast);
        assert!(it.add(1));
        it.notes.plan(trouble);
        let ended = panic::catch_unwind(AssertUnwindSafe(|| it.persister.carry_out()));
        let fault = it.inbox.take().fault.map(|error| error.kind);
        match trouble {
            Trouble::Panic => assert!(ended.is_err(), "the loop's own guard sees it"),
            _ => assert_eq!(fault, Some(ErrorKind::StorageFailed)),
        }
        it.notes.plan(Trouble::None);
        it.notes.syncs();
        it.persister.stop();
        assert!(it.notes.calls.lock().expect("no panic").is_empty(), "not even to close it");
    }
}
