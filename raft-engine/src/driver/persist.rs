//! The thread quorate-log: everything that writes to the store, strictly in order. What is queued when
//! it looks becomes one round with one sync, which is the whole group commit. The first error ends it:
//! what reached the disk is unknown then, so nothing more is called durable.
//!
//! A small write that comes alone may be carried out by the loop instead, which saves two wake-ups, as
//! long as the disk is fast and the store allows it; in memory, any of entries alone. What must hold: the
//! thread has nothing to do then, so the order is kept, and a slow sync sends the next write back to
//! the thread.

use super::clock;
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
use std::sync::{Arc, Mutex};
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

/// A write that is worth no wake-up has at most so many bytes of entries.
const SMALL: usize = 64 << 10;
/// A disk is fast if its last sync took no longer; the loop waits for no other.
const FAST: Duration = Duration::from_millis(1);

/// A store, and who may use it.
pub(crate) struct Store {
    /// Itself.
    pub log: Box<dyn LogStore>,
    /// Which threads call it, one at a time.
    pub callers: Callers,
}

/// Which threads call a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Callers {
    /// quorate-log alone: a call may take as long as it likes.
    Log,
    /// The loop too, for a small write that comes alone, while the store was fast.
    LoopIfFast,
    /// The loop too, for each write of entries alone: no call takes longer than to wake a thread.
    Loop,
}

/// What the store was opened with.
pub(crate) struct Opened {
    /// What is stored.
    pub stored: Stored,
    /// Reads beside the writer, if the store can.
    pub reader: Option<Box<dyn LogReader>>,
    shared: Option<Arc<Mutex<Writer>>>,
}

/// The thread, as the loop sees it.
pub(crate) struct Persister {
    jobs: Arc<Jobs<Job>>,
    inbox: Arc<Inbox>,
    /// What the thread works with, if the loop may do so too.
    shared: Option<Arc<Mutex<Writer>>>,
    callers: Callers,
    /// A small write that the loop may carry out itself.
    held: Option<Write>,
    thread: Option<JoinHandle<()>>,
}

impl Persister {
    /// Starts the thread, and opens the store in it.
    pub(crate) fn start(store: Store, inbox: Arc<Inbox>) -> Result<(Persister, Opened), Error> {
        let jobs = Arc::new(Jobs::new());
        let opened = Arc::new(Slot::new());
        let (work, news, answer) = (Arc::clone(&jobs), Arc::clone(&inbox), Arc::clone(&opened));
        let callers = store.callers;
        let body = move || run(store, &work, &news, &answer);
        let thread = Some(os::spawn("quorate-log", body).map_err(no_thread)?);
        let mut persister = Persister { jobs, inbox, shared: None, callers, held: None, thread };
        let mut opened: Opened = opened.wait()?;
        persister.shared = opened.shared.take();
        Ok((persister, opened))
    }

    /// The queue before the thread, for what needs no place among the writes.
    pub(crate) fn jobs(&self) -> Arc<Jobs<Job>> {
        Arc::clone(&self.jobs)
    }

    /// Adds work, behind all that was added before.
    pub(crate) fn add(&mut self, job: Job) {
        self.hand_over();
        match job {
            Job::Write(write) if self.may_hold(&write) => self.held = Some(write),
            job => self.jobs.add(job),
        }
        if self.callers == Callers::Loop {
            self.carry_out(); // whatever else there is to do
        }
    }

    fn may_hold(&self, write: &Write) -> bool {
        let small = match self.callers {
            Callers::Log => return false,
            Callers::LoopIfFast => match &*write.append {
                [] => true,
                [alone] => alone.size() <= SMALL,
                _ => false,
            },
            Callers::Loop => true,
        };
        let plain = write.state.is_none() && write.keep_to.is_none();
        small && plain && self.jobs.is_idle()
    }

    /// Whether the loop should look whether it has time for a write.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The loop has something else to do: what is held goes to the thread.
    pub(crate) fn hand_over(&mut self) {
        if let Some(write) = self.held.take() {
            self.jobs.add(Job::Write(write));
        }
    }

    /// The loop has nothing else to do: it carries out what is held, if the disk is fast.
    pub(crate) fn carry_out(&mut self) {
        let (Some(write), Some(shared)) = (self.held.take(), &self.shared) else { return };
        match shared.lock() {
            Ok(mut writer) if writer.took <= FAST => {
                let mut once = Some(write);
                if let Err(error) = writer.round(|_| once.take(), &self.inbox) {
                    self.jobs.abandon();
                    self.inbox.fail(failed(&error));
                }
            }
            _ => self.jobs.add(Job::Write(write)),
        }
    }

    /// Ends the thread once its work is done, and the store is closed properly.
    pub(crate) fn stop(&mut self) {
        self.add(Job::Close);
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

fn run(store: Store, jobs: &Jobs<Job>, inbox: &Inbox, opened: &Slot<Result<Opened, Error>>) {
    let work = AssertUnwindSafe(|| {
        let log = match LogWriter::open(store.log, &mut draw) {
            Ok(log) => log,
            Err(error) => return opened.fill(Err(error)),
        };
        let (stored, reader) = (log.stored().clone(), log.reader());
        let writer = Arc::new(Mutex::new(Writer { log, full: false, took: Duration::ZERO }));
        let shared = (store.callers != Callers::Log).then(|| Arc::clone(&writer));
        opened.fill(Ok(Opened { stored, reader, shared }));
        if let Err(error) = work(&writer, jobs, inbox) {
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

/// Does the jobs, until the last one. A writer that the loop panicked in is not touched any more.
fn work(writer: &Mutex<Writer>, jobs: &Jobs<Job>, inbox: &Inbox) -> Result<(), StorageError> {
    let (mut waiting, mut full) = (VecDeque::new(), false);
    loop {
        let taken = jobs.take(&mut waiting, full.then_some(FULL_DISK));
        let Ok(mut writer) = writer.lock() else { return Ok(()) };
        match taken {
            Taken::Closed => return Ok(()),
            Taken::Late => writer.look_for_room(inbox),
            Taken::Some => {}
        }
        while let Some(job) = waiting.pop_front() {
            match job {
                Job::Write(write) => {
                    jobs.take_more(&mut waiting);
                    let mut first = Some(write);
                    let next = |bytes| first.take().or_else(|| more(&mut waiting, bytes));
                    writer.round(next, inbox)?;
                }
                Job::Fetch(fetch) => writer.fetch(&fetch, inbox)?,
                Job::Switch(state) => writer.switch(state, inbox)?,
                Job::Close => return writer.log.close(),
            }
        }
        full = writer.full;
    }
}

/// What the store is used through, by one thread at a time.
struct Writer {
    log: LogWriter,
    /// The store has no room.
    full: bool,
    /// How long the last round with a sync took.
    took: Duration,
}

impl Writer {
    /// Carries out writes, as far as they fit, with one sync.
    fn round(
        &mut self,
        mut next: impl FnMut(usize) -> Option<Write>,
        inbox: &Inbox,
    ) -> Result<(), StorageError> {
        let (begin, mut last) = (clock::now(), 0);
        let round = self.log.carry_out(|bytes| {
            last = bytes;
            next(bytes)
        })?;
        if last > 0 {
            self.took = clock::now().since(begin); // for there were entries, and a sync
        }
        inbox.add(|batch| {
            batch.persisted = round.seq;
            batch.released.extend(round.after);
        });
        self.look_for_room(inbox);
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch, inbox: &Inbox) -> Result<(), StorageError> {
        if let Some(entries) = self.log.fetch(fetch)? {
            inbox.add(|batch| batch.fetched.push((fetch.id, entries)));
        }
        Ok(())
    }

    fn switch(&mut self, state: HardState, inbox: &Inbox) -> Result<(), StorageError> {
        let stored = Box::new(self.log.switch(state)?);
        inbox.add(|batch| batch.cut = Some(stored));
        Ok(())
    }

    fn look_for_room(&mut self, inbox: &Inbox) {
        let full = !self.log.has_room();
        if full != self.full {
            self.full = full;
            inbox.add(|batch| batch.disk_full = Some(full));
        }
    }
}

/// The next write, if that is what comes next and the round is not full.
fn more(waiting: &mut VecDeque<Job>, bytes: usize) -> Option<Write> {
    let job = waiting.pop_front_if(|job| bytes < ROUND_BYTES && matches!(job, Job::Write(_)))?;
    if let Job::Write(write) = job { Some(write) } else { None }
}

#[cfg(test)]
mod tests;
