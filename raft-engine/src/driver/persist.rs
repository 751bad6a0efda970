//! The thread quorate-log: everything that writes to the store, strictly in order. What is queued when
//! it looks becomes one round with one sync, which is the whole group commit. The first error ends it:
//! what reached the disk is unknown then, so nothing more is called durable.

use super::inbox::Inbox;
use super::jobs::{Jobs, Taken};
use super::start::draw;
use crate::consensus::ready::{Fetch, HardState, Write};
use crate::error::{Error, ErrorKind};
use crate::os;
use crate::slot::Slot;
use crate::storage::{LogReader, LogStore, StorageError};
use crate::stored::{LogWriter, Stored};
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
    store: Box<dyn LogStore>,
    jobs: &Jobs<Job>,
    inbox: &Inbox,
    opened: &Slot<Result<Opened, Error>>,
) {
    let work = AssertUnwindSafe(|| {
        let log = match LogWriter::open(store, &mut draw) {
            Ok(log) => log,
            Err(error) => return opened.fill(Err(error)),
        };
        opened.fill(Ok(Opened { stored: log.stored().clone(), reader: log.reader() }));
        let mut writer = Writer { log, inbox, full: false };
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
    log: LogWriter,
    inbox: &'a Inbox,
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
                    Job::Close => return self.log.close(),
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
        let mut first = Some(first);
        let round = self.log.carry_out(|bytes| first.take().or_else(|| more(waiting, bytes)))?;
        self.inbox.add(|batch| {
            batch.persisted = round.seq;
            batch.released.extend(round.after);
        });
        self.look_for_room();
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<(), StorageError> {
        if let Some(entries) = self.log.fetch(fetch)? {
            self.inbox.add(|batch| batch.fetched.push((fetch.id, entries)));
        }
        Ok(())
    }

    fn switch(&mut self, state: HardState) -> Result<(), StorageError> {
        let stored = Box::new(self.log.switch(state)?);
        self.inbox.add(|batch| batch.cut = Some(stored));
        Ok(())
    }

    fn look_for_room(&mut self) {
        let full = !self.log.has_room();
        if full != self.full {
            self.full = full;
            self.inbox.add(|batch| batch.disk_full = Some(full));
        }
    }
}

/// The next write, if that is what comes next and the round is not full.
fn more(waiting: &mut VecDeque<Job>, bytes: usize) -> Option<Write> {
    let job = waiting.pop_front_if(|job| bytes < ROUND_BYTES && matches!(job, Job::Write(_)))?;
    if let Job::Write(write) = job { Some(write) } else { None }
}
