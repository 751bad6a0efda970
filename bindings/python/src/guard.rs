//! Where a call may not be made: a waiting one in a callback, because the thread that would end the
//! wait is the one that waits; and any one in the child of a fork on what the parent made, because
//! the threads behind it stayed with the parent. A child may start services of its own.

use pyo3::prelude::*;
use quorate_engine::error::{Error, ErrorKind};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between the first process and this one.
static FORKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Called by `os.register_at_fork` in the child.
#[pyfunction]
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// In which process something with threads or descriptors behind it was made.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Born(u64);

impl Born {
    pub fn here() -> Born {
        Born(FORKS.load(Ordering::Relaxed))
    }

    pub fn is_here(self) -> bool {
        self == Born::here()
    }

    /// `Forked` in a child of the process that made it.
    pub fn check(self, what: &str) -> Result<(), Error> {
        if self.is_here() {
            return Ok(());
        }
        let text = format!(
            "this {what} belongs to the parent process and its threads are not here: \
             make one after the fork, or start the process with the \"spawn\" method"
        );
        Err(Error::new(ErrorKind::Forked, text))
    }
}

/// Marks the thread as being inside a callback for as long as it lives.
pub struct Callback(());

impl Callback {
    pub fn enter() -> Callback {
        IN_CALLBACK.set(true);
        Callback(())
    }

    pub fn is_here() -> bool {
        IN_CALLBACK.get()
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        IN_CALLBACK.set(false);
    }
}

/// `InCallback` on a thread that is inside a callback.
pub fn may_wait() -> Result<(), Error> {
    if !Callback::is_here() {
        return Ok(());
    }
    let text = "a call that waits was made from a callback of the state machine, on the thread that \
                would have to end the wait: use submit, or make the call on a thread of your own";
    Err(Error::new(ErrorKind::InCallback, text))
}
