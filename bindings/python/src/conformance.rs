//! The conformance kit on stores in Python.

use crate::error::{Failure, exception};
use crate::guard::{may_call, may_wait};
use crate::hook;
use crate::storage::{Store, error};
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use quorate_engine::error::ErrorKind;
use quorate_engine::storage::conformance::{self, Make, Outcome, Report};
use quorate_engine::storage::custom::Custom;
use quorate_engine::storage::{LogStore, StorageError, StorageErrorKind};

static MAKE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The rules that held, those that were skipped and those that are broken, with what was seen; the
/// whole report; what a store raised first.
type Found = (usize, Vec<String>, Vec<String>, String, Option<Py<PyBaseException>>);

/// Tries every rule on the stores that `make` gives, in this thread.
#[pyfunction]
pub fn check_storage(py: Python<'_>, make: &Bound<'_, PyAny>) -> PyResult<Found> {
    may_call(py)?;
    may_wait().map_err(|error| exception(py, &error))?;
    if !make.is_callable() {
        return Err(PyTypeError::new_err(
            "make is not callable: it makes the stores to be checked",
        ));
    }
    let maker = Maker { make: make.clone().unbind(), failure: Failure::default() };
    let report = py.detach(|| conformance::check(&mut |how| maker.made(how)));
    let stopped = maker.failure.ends_program(py); // Ctrl-C, not a broken rule
    match maker.failure.take() {
        Some(raised) if stopped => Err(PyErr::from_value(raised.into_bound(py).into_any())),
        raised => Ok(found(&report, raised)),
    }
}

fn found(report: &Report, raised: Option<Py<PyBaseException>>) -> Found {
    let texts = |wanted: fn(&Outcome) -> bool| -> Vec<String> {
        let checks = report.checks.iter().filter(|checked| wanted(&checked.outcome));
        checks.map(ToString::to_string).collect()
    };
    let skipped = texts(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let broken = texts(|outcome| matches!(outcome, Outcome::Broken(_)));
    (report.passed(), skipped, broken, report.to_string(), raised)
}

struct Maker {
    make: Py<PyAny>,
    failure: Failure,
}

impl Maker {
    fn made(&self, how: Make) -> Result<Box<dyn LogStore>, StorageError> {
        let made = hook::call(None, |py| {
            if self.failure.ends_program(py) {
                return Ok(None);
            }
            let how = MAKE.import(py, "quorate._types", "Make")?.call1((how as i32,))?;
            let store = self.make.bind(py).call1((how,));
            let store = store.and_then(|store| Store::new(&store, self.failure.clone()));
            store.map(Some).inspect_err(|error| self.note(py, error))
        });
        match made {
            Ok(Some(store)) => Ok(Box::new(Custom::new(store))),
            Ok(None) => Err(StorageError::new(StorageErrorKind::Io, "the check was stopped")),
            Err(raised) => Err(error("the maker of stores", &raised)),
        }
    }

    /// Keeps what is no answer: a maker that has no crashes says so.
    fn note(&self, py: Python<'_>, raised: &PyErr) {
        if hook::kind(py, raised) != Some(ErrorKind::Unsupported) {
            self.failure.set(py, raised);
        }
    }
}
