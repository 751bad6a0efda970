//! `ChangeTracker`: a counter to wait on.

use crate::completion;
use crate::error::exception;
use crate::guard::may_call;
use crate::queue::Queue;
use crate::wait::{self, seconds};
use pyo3::prelude::*;
use quorate_engine::service::Timeout;
use quorate_engine::tracker;

/// A counter to wait on. All calls from any thread.
#[pyclass(frozen, module = "quorate")]
pub struct ChangeTracker(tracker::ChangeTracker);

impl ChangeTracker {
    pub fn of(tracker: tracker::ChangeTracker) -> ChangeTracker {
        ChangeTracker(tracker)
    }

    fn wait_for(&self, py: Python<'_>, change: u64, timeout: Timeout) -> PyResult<Py<PyAny>> {
        may_call(py)?;
        let completion = wait::one(py, |queue| self.0.notify(change, timeout, queue, 0))
            .map_err(|stopped| stopped.raise(|error| exception(py, &error)))?;
        completion::value(py, &completion)?.map_err(|error| exception(py, error))
    }
}

#[pymethods]
impl ChangeTracker {
    /// A tracker at 0.
    #[new]
    fn new() -> ChangeTracker {
        ChangeTracker::of(tracker::ChangeTracker::new())
    }

    /// The tracker of that name in this process, made on demand, never removed.
    #[staticmethod]
    fn named(name: &str) -> ChangeTracker {
        ChangeTracker::of(tracker::ChangeTracker::named(name))
    }

    /// Sets the value, also to a lower one, and wakes whoever waits for it or less. After close it
    /// does nothing.
    fn update(&self, py: Python<'_>, change: u64) -> PyResult<()> {
        may_call(py)?;
        self.0.update(change).map_err(|error| exception(py, &error))
    }

    /// Waits until the value is at least `change` and returns it; after close the value as it is.
    fn wait(&self, py: Python<'_>, change: u64) -> PyResult<Py<PyAny>> {
        self.wait_for(py, change, None)
    }

    /// Likewise for at most `timeout` seconds; then the value as it is, below `change`.
    fn timed_wait(&self, py: Python<'_>, change: u64, timeout: f64) -> PyResult<Py<PyAny>> {
        self.wait_for(py, change, seconds(Some(timeout))?)
    }

    /// Releases all waiters with the value as it is. An applied tracker is closed by its service; here
    /// nothing happens to it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        may_call(py)?;
        self.0.close();
        Ok(())
    }

    /// Waits without a thread: one completion with `token` in `queue`. There is only one thing to do.
    fn _submit(
        &self,
        py: Python<'_>,
        queue: &Queue,
        token: u64,
        _op: &str,
        change: u64,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        may_call(py)?;
        self.0
            .notify(change, seconds(timeout)?, queue.engine(), token)
            .map_err(|error| exception(py, &error))
    }
}
