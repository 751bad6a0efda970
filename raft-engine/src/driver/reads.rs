//! Old entries for slow followers and for the state machine, read beside the writer on the thread
//! quorate-read, which starts when it is first needed. A store without a reader of its own reads on
//! quorate-log; so does one for which no thread can be started.

use super::inbox::Inbox;
use super::jobs::{Jobs, Taken};
use super::persist::Job;
use crate::consensus::ready::Fetch;
use crate::error::{Error, ErrorKind};
use crate::os;
use crate::storage::{LogReader, StorageError};
use crate::stored::entries;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Reads for the protocol.
pub(crate) struct Fetcher {
    log: Arc<Jobs<Job>>,
    inbox: Arc<Inbox>,
    reader: Option<Box<dyn LogReader>>,
    jobs: Arc<Jobs<(Fetch, u64)>>,
    /// How often the log was cut. A read that was asked for before a cut may find nothing, or other
    /// entries than it wanted.
    cuts: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Fetcher {
    /// Nothing is read yet.
    pub(crate) fn new(
        reader: Option<Box<dyn LogReader>>,
        log: Arc<Jobs<Job>>,
        inbox: Arc<Inbox>,
    ) -> Fetcher {
        let (jobs, cuts) = (Arc::new(Jobs::new()), Arc::default());
        Fetcher { log, inbox, reader, jobs, cuts, thread: None }
    }

    /// The log is about to be cut.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Release);
    }

    /// Reads; the answer comes to the inbox.
    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        if let Some(reader) = self.reader.take() {
            self.start(reader);
        }
        if self.thread.is_some() {
            self.jobs.add((fetch, self.cuts.load(Ordering::Acquire)));
        } else {
            self.log.add(Job::Fetch(fetch));
        }
    }

    fn start(&mut self, reader: Box<dyn LogReader>) {
        let (jobs, cuts, inbox) =
            (Arc::clone(&self.jobs), Arc::clone(&self.cuts), Arc::clone(&self.inbox));
        let body = move || run(reader, &jobs, &cuts, &inbox);
        self.thread = os::spawn("quorate-read", body).ok();
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.jobs.abandon();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panics were caught and told
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(mut reader: Box<dyn LogReader>, jobs: &Jobs<(Fetch, u64)>, cuts: &AtomicU64, inbox: &Inbox) {
    let work = AssertUnwindSafe(|| {
        let mut waiting = VecDeque::new();
        while jobs.take(&mut waiting, None) == Taken::Some {
            for (fetch, before) in waiting.drain(..) {
                let read = reader.read(fetch.from, fetch.to, fetch.max_bytes).and_then(entries);
                match read {
                    Ok(entries) => inbox.add(|batch| batch.fetched.push((fetch.id, entries))),
                    Err(_) if cuts.load(Ordering::Acquire) != before => {}
                    Err(error) => inbox.fail(failed(&error)),
                }
            }
        }
    });
    if catch_unwind(work).is_err() {
        let text = "the read thread panicked: please report it";
        inbox.fail(Error::new(ErrorKind::Internal, text));
    }
}

fn failed(error: &StorageError) -> Error {
    let text = format!("the log can't be read and this node stopped: {error}");
    Error::new(ErrorKind::StorageFailed, text)
}
