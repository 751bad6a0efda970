//! An engine's error as the exception of the same meaning. The classes and the table that joins them
//! to the statuses are in `quorate/_errors.py`; here is only the way there.

use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use quorate_engine::error::{Error, ErrorKind, Outcome, outcome_of};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The exception by which a state machine failed, kept until the service is told of: it becomes the
/// cause of every `ServiceFailed`. The first one counts.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<Py<PyBaseException>>>>);

impl Failure {
    pub fn set(&self, py: Python<'_>, error: &PyErr) {
        let value = error.value(py).clone().unbind();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
    }

    /// The exception for an error of this service.
    pub fn explain(&self, py: Python<'_>, error: &Error) -> PyErr {
        let raised = exception(py, error);
        self.blame(py, &raised, error.kind.code());
        raised
    }

    /// Makes what was raised the cause of an exception with that status, if that follows from it.
    pub fn blame(&self, py: Python<'_>, raised: &PyErr, status: i32) {
        let follows = outcome_of(status) == Outcome::Fatal
            || [ErrorKind::Interrupted, ErrorKind::StateMachine].iter().any(|k| k.code() == status);
        if follows && let Some(cause) = self.get(py) {
            raised.set_cause(py, Some(PyErr::from_value(cause.into_any())));
        }
    }

    fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBaseException>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|value| value.bind(py).clone())
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
        let dropped = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(dropped);
    }
}
