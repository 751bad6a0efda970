//! The events of a service: a queue of their own for whoever follows them.
//!
//! What must hold: after the last event, `closed`, an iterator ends; one that nobody has any more is
//! forgotten by its service, which it does not keep alive.

use crate::error::{exception, explain};
use crate::guard::{may_call, may_wait};
use crate::wait::{SLICE, Waiting};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};
use quorate_engine::queue::{Completion, OpKind, Queue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static EVENT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static KIND: PyOnceLock<Py<PyType>> = PyOnceLock::new();

const TYPES: &str = "quorate._types";

/// An iterator over the events of one service.
#[pyclass(frozen, module = "quorate._quorate")]
pub struct Events {
    queue: Queue,
    /// The last one was taken.
    over: AtomicBool,
}

impl Events {
    pub fn new(queue: Queue) -> Events {
        Events { queue, over: AtomicBool::new(false) }
    }

    /// The next one, if it comes in time.
    fn poll(&self, py: Python<'_>, timeout: Duration) -> Option<Completion> {
        let mut taken = Vec::with_capacity(1);
        if timeout.is_zero() {
            self.queue.poll(&mut taken, 1, Some(timeout));
        } else {
            let _waiting = Waiting::enter();
            py.detach(|| self.queue.poll(&mut taken, 1, Some(timeout)));
        }
        let completion = taken.pop()?;
        if completion.op == OpKind::Closed {
            self.over.store(true, Ordering::Release);
        }
        Some(completion)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

#[pymethods]
impl Events {
    fn __iter__(this: Py<Events>) -> Py<Events> {
        this
    }

    /// Waits for the next one; ends after the last one.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        may_call(py)?;
        let mut timeout = Duration::ZERO;
        while !self.is_over() {
            if let Some(completion) = self.poll(py, timeout) {
                return event(py, &completion).map(Some);
            }
            may_wait().map_err(|error| exception(py, &error))?;
            py.check_signals()?;
            timeout = SLICE;
        }
        Ok(None)
    }

    /// Readable as long as there are events to take.
    fn fileno(&self) -> i32 {
        self.queue.fd()
    }

    /// Those that are there.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        may_call(py)?;
        let taken = PyList::empty(py);
        while let Some(completion) = self.poll(py, Duration::ZERO) {
            taken.append(event(py, &completion)?)?;
        }
        Ok(taken)
    }
}

fn event<'py>(py: Python<'py>, completion: &Completion) -> PyResult<Bound<'py, PyAny>> {
    let Completion { token, op, id, result, leader, number } = completion;
    let kind = KIND.import(py, TYPES, "EventKind")?.call1((*op as i32,))?;
    let text = match result {
        Ok(text) => String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned(),
        Err(error) => error.message.clone(),
    };
    let error = result.as_ref().err().map(|error| explain(py, *token, error).into_value(py));
    let fields = (*number, kind, leader.0, id.index.0, id.term.0, text, error);
    EVENT.import(py, TYPES, "Event")?.call1(fields)
}
