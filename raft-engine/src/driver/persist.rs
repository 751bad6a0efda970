//! The thread quorate-log: everything that writes to the store, strictly in order. What is queued when
//! it looks becomes one round with one sync, which is the whole group commit. The first error ends it:
//! what reached the disk is unknown then, so nothing more is called durable.

use super::inbox::Inbox;
use super::jobs::{Jobs, Taken};
use super::reads;
use crate::codec;
use crate::consensus::message::Message;
use crate::consensus::ready::{Fetch, HardState, Write};
use crate::consensus::types::Index;
use crate::error::{Error, ErrorKind};
use crate::os;
use crate::slot::Slot;
use crate::storage::{LogReader, LogStore, Record, StorageError};
use crate::stored::{self, Stored};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of entries in one round.
const ROUND_BYTES: usize = 4 << 20;
/// How often a full disk is looked at.
const FULL_DISK: Duration = Duration::from_secs(1);

/// What the thread is asked to do.
pub(crate) enum Job {
    /// A write of the protocol.
    Write(Write),
    /// Old entries, from a store without a reader of its own.
    Fetch(Fetch),
    /// The node changes its lineage.
    Switch(HardState),
    /// The service is closed: the last write says so.
    Close,
}

/// What the store was opened with.
pub(crate) struct Opened {
    /// What is stored.
    pub stored: Stored,
    /// Reads beside the writer, if the store can.
    pub reader: Option<Box<dyn LogReader>>,
}

/// The thread, as the loop sees it.
pub(crate) struct Persister {
    /// Its work.
    pub jobs: Arc<Jobs<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Persister {
    /// Starts the thread, and opens the store in it.
    pub(crate) fn start(
        store: Box<dyn LogStore>,
        inbox: Arc<Inbox>,
    ) -> Result<(Persister, Opened), Error> {
        let jobs = Arc::new(Jobs::new());
        let opened = Arc::new(Slot::new());
        let (work, answer) = (Arc::clone(&jobs), Arc::clone(&opened));
        let body = move || run(store, &work, &inbox, &answer);
        let thread = Some(os::spawn("quorate-log", body).map_err(no_thread)?);
        let persister = Persister { jobs, thread };
        Ok((persister, opened.wait()?))
    }

    /// Ends the thread once its work is done, and the store is closed properly.
    pub(crate) fn stop(&mut self) {
        self.jobs.add(Job::Close);
        self.jobs.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panics were caught and told
        }
    }
}

impl Drop for Persister {
    fn drop(&mut self) {
        self.stop();
    }
}

/// No thread can be started.
pub(crate) fn no_thread(error: std::io::Error) -> Error {
    let text = format!("a thread can't be started: {error}; raise the limit of threads or memory");
    Error::new(ErrorKind::Io, text)
}

fn run(
    mut store: Box<dyn LogStore>,
    jobs: &Jobs<Job>,
    inbox: &Inbox,
    opened: &Slot<Result<Opened, Error>>,
) {
    let work = AssertUnwindSafe(|| {
        let stored = match stored::open(&mut *store) {
            Ok(stored) => stored,
            Err(error) => return opened.fill(Err(error)),
        };
        let reader = store.reader();
        opened.fill(Ok(Opened { stored: stored.clone(), reader }));
        let mut writer =
            Writer { store: &mut *store, stored, inbox, records: Vec::new(), full: false };
        if let Err(error) = writer.work(jobs) {
            inbox.fail(failed(&error));
        }
    });
    if catch_unwind(work).is_err() {
        let error = Error::new(ErrorKind::Internal, "the log thread panicked: please report it");
        opened.fill(Err(error.clone()));
        inbox.fail(error);
    }
}

fn failed(error: &StorageError) -> Error {
    let text = format!(
        "the store failed and this node stopped, because what reached the disk is unknown: {error}"
    );
    Error::new(ErrorKind::StorageFailed, text)
}

struct Writer<'a> {
    store: &'a mut dyn LogStore,
    stored: Stored,
    inbox: &'a Inbox,
    /// Kept for its memory.
    records: Vec<Record>,
    /// The store has no room.
    full: bool,
}

impl Writer<'_> {
    fn work(&mut self, jobs: &Jobs<Job>) -> Result<(), StorageError> {
        let mut waiting = VecDeque::new();
        loop {
            match jobs.take(&mut waiting, self.full.then_some(FULL_DISK)) {
                Taken::Closed => return Ok(()),
                Taken::Late => self.look_for_room(),
                Taken::Some => {}
            }
            while let Some(job) = waiting.pop_front() {
                match job {
                    Job::Write(write) => self.round(write, &mut waiting, jobs)?,
                    Job::Fetch(fetch) => self.fetch(&fetch)?,
                    Job::Switch(state) => self.switch(state)?,
                    Job::Close => return self.close(),
                }
            }
        }
    }

    /// Carries out the write and all that wait behind it, as far as they fit, with one sync.
    fn round(
        &mut self,
        first: Write,
        waiting: &mut VecDeque<Job>,
        jobs: &Jobs<Job>,
    ) -> Result<(), StorageError> {
        jobs.take_more(waiting);
        let mut round = Round::default();
        self.execute(first, &mut round)?;
        while round.bytes < ROUND_BYTES
            && let Some(Job::Write(_)) = waiting.front()
            && let Some(Job::Write(write)) = waiting.pop_front()
        {
            self.execute(write, &mut round)?;
        }
        self.append(&mut round)?;
        if round.unsynced {
            self.store.sync()?;
        }
        self.inbox.add(|batch| {
            batch.persisted = round.seq;
            batch.released.append(&mut round.after);
        });
        self.look_for_room();
        Ok(())
    }

    fn execute(&mut self, write: Write, round: &mut Round) -> Result<(), StorageError> {
        if let Some(state) = write.state {
            stored::put_state(self.store, &state)?;
            self.stored.state = state;
        }
        if let Some(keep) = write.keep_to {
            self.append(round)?;
            self.store.truncate_suffix(keep.next())?;
            self.stored.cut(keep);
            round.unsynced = true;
        }
        self.stored.append(&write.append);
        self.records.extend(write.append.iter().map(codec::encode_entry));
        round.bytes += write.append.iter().map(|entry| entry.size()).sum::<usize>();
        round.commit = round.commit.max(write.commit_hint);
        round.seq = write.seq;
        round.after.extend(write.after);
        Ok(())
    }

    /// Appends what was collected.
    fn append(&mut self, round: &mut Round) -> Result<(), StorageError> {
        if !self.records.is_empty() {
            self.store.append(&self.records, round.commit)?;
            self.records.clear();
            round.unsynced = true;
        }
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<(), StorageError> {
        if fetch.to > self.stored.last {
            return Ok(()); // it was cut meanwhile, and whoever asked has another role now
        }
        let records = self.store.read(fetch.from, fetch.to, fetch.max_bytes)?;
        let entries = reads::entries(records)?;
        self.inbox.add(|batch| batch.fetched.push((fetch.id, entries)));
        Ok(())
    }

    fn switch(&mut self, state: HardState) -> Result<(), StorageError> {
        self.stored.switch(self.store, state)?;
        let stored = Box::new(self.stored.clone());
        self.inbox.add(|batch| batch.cut = Some(stored));
        Ok(())
    }

    fn close(&mut self) -> Result<(), StorageError> {
        self.stored.state.closed = true;
        stored::put_state(self.store, &self.stored.state)
    }

    fn look_for_room(&mut self) {
        let full = !self.store.has_room();
        if full != self.full {
            self.full = full;
            self.inbox.add(|batch| batch.disk_full = Some(full));
        }
    }
}

/// Writes that become durable together.
#[derive(Default)]
struct Round {
    seq: u64,
    commit: Index,
    bytes: usize,
    unsynced: bool,
    after: Vec<Message>,
}
