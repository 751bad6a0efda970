//! Waiting for one completion with the GIL released, in slices, so that Ctrl-C ends the wait: only
//! Python's main thread runs signal handlers, and only when asked to.
//!
//! Each wait has a queue to itself, taken from the thread's idle ones. A wait that was interrupted
//! drops its queue, so what comes later reaches nobody; a signal handler that waits in the middle of a
//! wait takes another one.

use crate::guard;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::os;
use quorate_engine::queue::{Completion, Queue};
use quorate_engine::service::Timeout;
use std::cell::RefCell;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long Ctrl-C may go unnoticed.
pub const SLICE: Duration = Duration::from_millis(100);

/// Idle queues that a thread keeps; each is a descriptor.
const IDLE_MAX: usize = 2;

thread_local! {
    static IDLE: RefCell<Vec<Queue>> = const { RefCell::new(Vec::new()) };
}

/// Seconds as Python has them; below zero is zero, as with a deadline that has passed.
pub fn seconds(timeout: Option<f64>) -> PyResult<Timeout> {
    match timeout {
        Some(timeout) if timeout.is_nan() => Err(PyValueError::new_err("timeout is not a number")),
        Some(timeout) => Ok(Duration::try_from_secs_f64(timeout.max(0.0)).ok()),
        None => Ok(None),
    }
}

/// Why there is no completion.
pub enum Stopped {
    /// It could not be started.
    Refused(Error),
    /// A signal handler raised, as Ctrl-C does.
    Raised(PyErr),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Refused(error)
    }
}

impl Stopped {
    pub fn raise(self, explain: impl FnOnce(Error) -> PyErr) -> PyErr {
        match self {
            Stopped::Refused(error) => explain(error),
            Stopped::Raised(raised) => raised,
        }
    }
}

/// Starts something that gives one completion in the queue it gets, and waits for that.
pub fn one(
    py: Python<'_>,
    start: impl FnOnce(&Queue) -> Result<(), Error> + Send,
) -> Result<Completion, Stopped> {
    guard::may_wait()?;
    let queue = idle_queue()?;
    let _waiting = Waiting::enter();
    let mut done = Vec::with_capacity(1);
    let started = py.detach(|| start(&queue).map(|()| queue.poll(&mut done, 1, Some(SLICE))));
    if let Err(error) = started {
        keep_idle(queue);
        return Err(Stopped::Refused(error));
    }
    loop {
        if let Some(completion) = done.pop() {
            keep_idle(queue);
            return Ok(completion);
        }
        py.check_signals().map_err(Stopped::Raised)?;
        py.detach(|| queue.poll(&mut done, 1, Some(SLICE)));
    }
}

/// Does something that can't be waited for in slices on a thread of its own, and waits for that. After
/// Ctrl-C it goes on there.
pub fn elsewhere(
    py: Python<'_>,
    thread: &str,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Stopped> {
    guard::may_wait()?;
    let (done, end) = mpsc::sync_channel(1);
    let body = move || {
        let _ = done.send(work()); // nobody listens any more after Ctrl-C
    };
    os::spawn(thread, body).map_err(no_thread)?;
    let (_waiting, end) = (Waiting::enter(), Mutex::new(end));
    loop {
        match py.detach(|| lock(&end).recv_timeout(SLICE)) {
            Ok(result) => return Ok(result?),
            Err(RecvTimeoutError::Timeout) => py.check_signals().map_err(Stopped::Raised)?,
            Err(RecvTimeoutError::Disconnected) => return Err(panicked(thread).into()),
        }
    }
}

fn no_thread(error: std::io::Error) -> Error {
    let text = format!("the system starts no more threads: {error}");
    Error::new(ErrorKind::Io, text)
}

fn panicked(thread: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{thread} panicked: please report it"))
}

fn idle_queue() -> Result<Queue, Error> {
    IDLE.with_borrow_mut(Vec::pop).map_or_else(Queue::new, Ok)
}

fn keep_idle(queue: Queue) {
    IDLE.with_borrow_mut(|idle| {
        if idle.len() < IDLE_MAX {
            idle.push(queue);
        }
    });
}

/// How many threads wait, so that the interpreter can let them return before it ends.
static WAITING: Mutex<usize> = Mutex::new(0);
static NONE_WAITS: Condvar = Condvar::new();

/// A wait that has not returned.
pub struct Waiting(());

impl Waiting {
    pub fn enter() -> Waiting {
        *lock(&WAITING) += 1;
        Waiting(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = lock(&WAITING);
        *waiting -= 1;
        if *waiting == 0 {
            NONE_WAITS.notify_all();
        }
    }
}

/// Waits, at most for `timeout` seconds, until no thread is inside a wait: at the interpreter's end,
/// after all services were closed, so that daemon threads are out of here.
#[pyfunction]
pub fn settle(py: Python<'_>, timeout: f64) -> PyResult<bool> {
    let timeout = seconds(Some(timeout))?.unwrap_or(Duration::MAX);
    if os::forked() {
        return Ok(true); // those that wait stayed with the parent
    }
    Ok(py.detach(|| {
        let waiting = lock(&WAITING);
        let (waiting, _) = NONE_WAITS
            .wait_timeout_while(waiting, timeout, |waiting| *waiting > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *waiting == 0
    }))
}

/// A lock whose holder panicked is taken all the same: nothing here is left half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
