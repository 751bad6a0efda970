//! Prepares segments ahead of their use, on a thread of its own, out of old ones where possible.
//!
//! Why ahead: filling a file with zeros takes longer than a write may, and a full disk must show when
//! a segment is prepared, not when one is written. What must hold: a segment is taken only while
//! `RESERVE` of them are ready, unless preparing has failed. So once it fails for want of space, the
//! fresh segment and the other ready one take what is still under way.

use super::segment::{self, FIRST_FRAME, Plan, Ready};
use crate::storage::fs::{Fs, spawn};
use crate::storage::{StorageError, StorageErrorKind};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How many segments are kept ready.
pub(super) const RESERVE: usize = 2;

/// Keeps segments ready.
pub(super) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    directory: u64,
    capacity: u64,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    ready: VecDeque<Ready>,
    /// Files of the right size whose content nobody needs.
    spares: Vec<PathBuf>,
    /// The highest number given to a segment.
    highest: u64,
    /// Segments below were overtaken by a large one and are not to be written.
    floor: u64,
    /// Why preparing failed; stays until the reserve is complete again.
    failed: Option<StorageError>,
    /// Someone wants another attempt.
    retry: bool,
    stop: bool,
}

impl Work {
    fn is_wanted(&self) -> bool {
        self.ready.len() < RESERVE && (self.failed.is_none() || self.retry)
    }

    /// What to prepare next, and out of what.
    fn next_job(&mut self) -> (u64, Option<PathBuf>) {
        self.retry = false;
        self.highest += 1;
        (self.highest, self.spares.pop())
    }

    fn note(&mut self, made: Result<Ready, StorageError>) {
        match made {
            Ok(ready) if ready.segment.number < self.floor => self.spares.push(ready.segment.path),
            Ok(ready) => {
                self.ready.push_back(ready);
                self.retry = self.failed.is_some();
            }
            Err(e) => self.failed = Some(e),
        }
        if self.ready.len() >= RESERVE {
            self.failed = None;
        }
    }
}

impl Preparer {
    /// Segments numbered above `plan.number`, otherwise as planned; some may be ready already.
    pub fn new(fs: Arc<dyn Fs>, dir: PathBuf, plan: Plan, ready: Vec<Ready>) -> Preparer {
        let work = Work { ready: ready.into(), highest: plan.number, ..Work::default() };
        let Plan { directory, capacity, .. } = plan;
        let (work, changed) = (Mutex::new(work), Condvar::new());
        let shared = Arc::new(Shared { fs, dir, directory, capacity, work, changed });
        Preparer { shared, thread: None }
    }

    /// From now on segments are prepared in the background.
    pub fn start(&mut self) -> Result<(), StorageError> {
        if !self.shared.fs.has_threads() {
            self.shared.refill();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let thread = spawn("quorate-prep", move || {
            let end = End(shared);
            end.0.serve();
        });
        let failed = |e| StorageError::io("start a thread for", &self.shared.dir, &e);
        self.thread = Some(thread.map_err(failed)?);
        Ok(())
    }

    /// The next segment to write, with room for a frame of `bytes`.
    pub fn take(&mut self, bytes: u64) -> Result<Ready, StorageError> {
        let needed = FIRST_FRAME + bytes;
        let taken = if needed > self.shared.capacity {
            self.shared.make_large(needed)
        } else if self.thread.is_some() {
            self.shared.take_in_turn()
        } else {
            let ready = self.shared.work().ready.pop_front();
            ready.map_or_else(|| self.shared.make(), Ok)
        };
        if !self.shared.fs.has_threads() {
            self.shared.refill();
        }
        taken
    }

    /// Takes files that can be used again. Those it has no use for are left.
    pub fn recycle(&self, spares: &mut Vec<PathBuf>) {
        let mut work = self.shared.work();
        while work.spares.len() < RESERVE
            && let Some(spare) = spares.pop()
        {
            work.spares.push(spare);
        }
        work.retry = work.failed.is_some();
        self.shared.changed.notify_all();
    }

    /// The length of the segments that it makes.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity
    }

    /// Whether the reserve is there or nothing speaks against it. After a failure each question makes
    /// for one more attempt.
    pub fn has_room(&self) -> bool {
        let mut work = self.shared.work();
        if work.failed.is_none() {
            return true;
        }
        work.retry = true;
        drop(work);
        self.shared.changed.notify_all();
        if !self.shared.fs.has_threads() {
            self.shared.refill();
        }
        self.shared.work().failed.is_none()
    }

    /// A failure of the disk rather than want of space: no more is to be written then.
    pub fn failure(&self) -> Option<StorageError> {
        self.shared.work().failed.clone().filter(|e| e.kind != StorageErrorKind::Full)
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shared.work().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has been told on stderr, and nobody waits for it
        }
    }
}

/// Whoever waits for a segment learns that the thread has ended, however it did.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let message = "The thread that prepares segments has ended.";
        let ended = StorageError::new(StorageErrorKind::Io, message);
        self.0.work().failed = Some(ended);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, work: MutexGuard<'a, Work>) -> MutexGuard<'a, Work> {
        self.changed.wait(work).unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn serve(&self) {
        let mut work = self.work();
        while !work.stop {
            work = if work.is_wanted() { self.work_once(work) } else { self.wait(work) };
        }
    }

    /// The same, where there is no thread.
    fn refill(&self) {
        let mut work = self.work();
        while work.is_wanted() {
            work = self.work_once(work);
        }
    }

    fn work_once<'a>(&'a self, mut work: MutexGuard<'a, Work>) -> MutexGuard<'a, Work> {
        let (number, spare) = work.next_job();
        drop(work);
        let made = self.prepare(number, self.capacity, spare);
        let mut work = self.work();
        if !work.stop {
            work.note(made);
        }
        self.changed.notify_all();
        work
    }

    fn prepare(
        &self,
        number: u64,
        capacity: u64,
        spare: Option<PathBuf>,
    ) -> Result<Ready, StorageError> {
        let plan = Plan { number, directory: self.directory, capacity };
        let go_on = || !self.work().stop;
        let made = segment::prepare(self.fs.as_ref(), &self.dir, plan, spare.as_deref(), &go_on);
        made.map_err(|e: io::Error| {
            StorageError::io("prepare", &segment::path_of(&self.dir, number), &e)
        })
    }

    /// Prepares one here and now.
    fn make(&self) -> Result<Ready, StorageError> {
        let (number, spare) = self.work().next_job();
        self.prepare(number, self.capacity, spare)
    }

    /// A segment of its own for a large frame. What is ready has lower numbers and comes too late.
    fn make_large(&self, capacity: u64) -> Result<Ready, StorageError> {
        let mut work = self.work();
        let overtaken: Vec<Ready> = work.ready.drain(..).collect();
        work.spares.extend(overtaken.into_iter().map(|ready| ready.segment.path));
        work.highest += 1;
        work.floor = work.highest;
        let number = work.highest;
        drop(work);
        self.changed.notify_all();
        self.prepare(number, capacity.next_multiple_of(FIRST_FRAME), None)
    }

    fn take_in_turn(&self) -> Result<Ready, StorageError> {
        let mut work = self.work();
        while work.ready.len() < RESERVE && work.failed.is_none() {
            work = self.wait(work);
        }
        let taken = work.ready.pop_front();
        self.changed.notify_all();
        match (taken, &work.failed) {
            (Some(ready), _) => Ok(ready),
            (None, Some(failed)) => Err(failed.clone()),
            (None, None) => Err(StorageError::new(StorageErrorKind::Io, "no segment is ready")),
        }
    }
}
