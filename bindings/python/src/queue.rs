//! The completion queue under futures and event loops. Python keeps the futures, by token.

use crate::completion;
use crate::error::{exception, explain, unmark};
use crate::guard::may_call;
use crate::wait::seconds;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quorate_engine::queue::{self, Completion};

/// Where asynchronous results arrive.
#[pyclass(frozen, module = "quorate._quorate")]
pub struct Queue(queue::Queue);

impl Queue {
    pub fn engine(&self) -> &queue::Queue {
        &self.0
    }
}

#[pymethods]
impl Queue {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Queue> {
        queue::Queue::new().map(Queue).map_err(|error| exception(py, &error))
    }

    /// Readable as long as the queue is not empty.
    fn fileno(&self) -> i32 {
        self.0.fd()
    }

    /// Up to `cap` completions as (token, value, None) or (token, None, exception); none after the
    /// timeout or a wake.
    fn poll<'py>(
        &self,
        py: Python<'py>,
        cap: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        may_call(py)?;
        let timeout = seconds(timeout)?;
        let mut done = Vec::new();
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.0.poll(&mut done, cap, timeout);
        } else {
            py.detach(|| self.0.poll(&mut done, cap, timeout));
        }
        let rows = done.into_iter().map(|completion| row(py, completion));
        PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
    }

    /// Makes the present poll, or the next one, return at once.
    fn wake(&self) {
        self.0.wake();
    }
}

fn row(py: Python<'_>, completion: Completion) -> PyResult<Bound<'_, PyTuple>> {
    let marked = completion.token;
    let token = unmark(marked);
    match completion::value(py, &completion)? {
        Ok(value) => (token, value, py.None()).into_pyobject(py),
        Err(error) => {
            let raised = explain(py, marked, error).into_value(py);
            (token, py.None(), raised).into_pyobject(py)
        }
    }
}
