//! An engine's error as the exception of the same meaning. The classes and the table that joins them
//! to the statuses are in `quorate/_errors.py`; here is only the way there.

use crate::wait::lock;
use pyo3::exceptions::{PyBaseException, PyException};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use quorate_engine::error::{Error, ErrorKind, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

static FROM_ENGINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let make = || {
        let leader = error.leader.as_ref().map(|leader| (leader.id.0, &*leader.address));
        let class = FROM_ENGINE.import(py, "quorate._errors", "from_engine")?;
        class.call1((error.kind.code(), &error.message, leader))
    };
    make().map_or_else(|broken| broken, PyErr::from_value)
}

/// Every kind of error that the engine knows: status, word and outcome. For the test that no class is
/// missing.
#[pyfunction]
pub fn error_kinds() -> Vec<(i32, &'static str, i32)> {
    ErrorKind::ALL.iter().map(|kind| (kind.code(), kind.word(), kind.outcome() as i32)).collect()
}

/// The exception by which a state machine or a store failed, kept until the service is told of: it
/// becomes the cause of what follows from it. The first one counts.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<Py<PyBaseException>>>>);

impl Failure {
    pub fn set(&self, py: Python<'_>, error: &PyErr) {
        let value = error.value(py).clone().unbind();
        if error.is_instance_of::<PyException>(py) {
            lock(&self.0).get_or_insert(value);
        } else {
            let former = lock(&self.0).replace(value);
            drop(former); // the lock is free by now: this may run any code
        }
    }

    /// Whether it is one that is meant to end the program, such as KeyboardInterrupt.
    pub fn ends_program(&self, py: Python<'_>) -> bool {
        let kept = lock(&self.0);
        kept.as_ref().is_some_and(|value| !value.bind(py).is_instance_of::<PyException>())
    }

    /// What was kept.
    pub fn take(&self) -> Option<Py<PyBaseException>> {
        lock(&self.0).take()
    }

    /// The exception for an error of a start, which follows from what a hook raised, if one did.
    pub fn explain_start(&self, py: Python<'_>, error: &Error) -> PyErr {
        let raised = exception(py, error);
        self.set_cause(py, &raised);
        raised
    }

    /// The exception for an error of this service, with its cause if that is behind it.
    pub fn explain(&self, py: Python<'_>, error: &Error) -> PyErr {
        let raised = exception(py, error);
        let follows = error.kind.outcome() == Outcome::Fatal
            || matches!(error.kind, ErrorKind::Interrupted | ErrorKind::StateMachine);
        if follows {
            self.set_cause(py, &raised);
        }
        raised
    }

    fn set_cause(&self, py: Python<'_>, raised: &PyErr) {
        let cause = lock(&self.0).as_ref().map(|value| value.bind(py).clone());
        if let Some(cause) = cause {
            raised.set_cause(py, Some(PyErr::from_value(cause.into_any())));
        }
    }

    /// For the garbage collector: the traceback of the exception leads to the state machine, which may
    /// lead to the service.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock() {
            Ok(kept) => visit.call(kept.as_ref()),
            Err(_) => Ok(()),
        }
    }

    pub fn clear(&self) {
        drop(self.take()); // the lock is free by now: this may run any code
    }
}

/// Bits of a token that are the caller's; those above name the service, so that whoever takes a
/// completion finds the failure that it follows from.
const TOKEN_BITS: u32 = 40;

static KNOWN: Mutex<BTreeMap<u64, Failure>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A failure that can be found by the tokens of its service.
pub struct Known {
    number: u64,
    pub failure: Failure,
}

impl Known {
    pub fn new(failure: Failure) -> Known {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> TOKEN_BITS);
        lock(&KNOWN).insert(number, failure.clone());
        Known { number, failure }
    }

    /// The caller's token with the name of the service.
    pub fn mark(&self, token: u64) -> u64 {
        self.number << TOKEN_BITS | token
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        lock(&KNOWN).remove(&self.number);
    }
}

/// The caller's token.
pub fn unmark(token: u64) -> u64 {
    token & ((1 << TOKEN_BITS) - 1)
}

/// The exception for an error that came with a marked token.
pub fn explain(py: Python<'_>, token: u64, error: &Error) -> PyErr {
    let failure = lock(&KNOWN).get(&(token >> TOKEN_BITS)).cloned();
    failure.map_or_else(|| exception(py, error), |failure| failure.explain(py, error))
}
