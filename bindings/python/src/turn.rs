//! What the tasks of an event loop ask for in one turn of it, for one call of the engine.

use crate::error::Known;
use crate::submit::{LARGE, submit_all};
use crate::wait::{lock, seconds};
use crate::work::Work;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use quorate_engine::error::Error;
use quorate_engine::os;
use quorate_engine::queue::Queue;
use quorate_engine::service::{Request, Service, Timeout};
use std::mem::take;
use std::sync::Mutex;

struct Asked {
    token: u64,
    timeout: Timeout,
    work: Work,
}

/// What was asked for in a turn, of one service.
#[pyclass(frozen, module = "quorate._quorate")]
#[derive(Default)]
pub struct Turn(Mutex<Vec<Asked>>);

#[pymethods]
impl Turn {
    #[new]
    fn new() -> Turn {
        Turn::default()
    }

    /// Adds work as `Service._submit` takes it: what has the wrong type is refused here and now.
    fn ask(
        &self,
        token: u64,
        op: &str,
        argument: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let (work, timeout) = (Work::from_python(op, argument)?, seconds(timeout)?);
        lock(&self.0).push(Asked { token, timeout, work });
        Ok(())
    }
}

impl Turn {
    /// Submits all, and gives what was refused and why.
    pub fn submit(
        &self,
        py: Python<'_>,
        service: &Service,
        known: &Known,
        queue: &Queue,
    ) -> Vec<(u64, Py<PyBaseException>)> {
        let asked = take(&mut *lock(&self.0));
        let refused = if os::forked() {
            (0..asked.len()).map(|at| (at, Error::forked())).collect()
        } else {
            submit(py, &asked, service, known, queue)
        };
        let explain = |error: &Error| known.failure.explain(py, error);
        let row = |(at, error): (usize, Error)| (asked[at].token, explain(&error).into_value(py));
        refused.into_iter().map(row).collect()
    }
}

fn submit(
    py: Python<'_>,
    asked: &[Asked],
    service: &Service,
    known: &Known,
    queue: &Queue,
) -> Vec<(usize, Error)> {
    let tags: Vec<_> = asked.iter().map(|asked| asked.work.tags()).collect();
    let requests = asked.iter().zip(&tags).map(|(asked, tags)| Request {
        token: known.mark(asked.token),
        timeout: asked.timeout,
        op: asked.work.op(py, tags),
    });
    let requests: Vec<_> = requests.collect();
    let size: usize = asked.iter().map(|asked| asked.work.len(py)).sum();
    let submit = || submit_all(service, queue, &requests);
    if size < LARGE { submit() } else { py.detach(submit) }
}
