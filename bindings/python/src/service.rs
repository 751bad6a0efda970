//! `Service` under the classes of `quorate` and `quorate.aio`: everything that looks, and the two ways
//! to have something done: wait for it here, or have it completed in a queue.

use crate::completion::{self, Position};
use crate::error::{Failure, Known, exception};
use crate::event::Events;
use crate::future::{Future, Futures};
use crate::guard::{may_call, may_wait};
use crate::parts::Parts;
use crate::queue::Queue;
use crate::settings;
use crate::state_machine::Machine;
use crate::status;
use crate::submit::{self, LARGE};
use crate::tracker::ChangeTracker;
use crate::transport;
use crate::turn::Turn;
use crate::wait::{self, seconds};
use crate::work::Work;
use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quorate_engine::consensus::types::EntryId;
use quorate_engine::error::Error;
use quorate_engine::os;
use quorate_engine::queue;
use quorate_engine::service::{self, Op, Request, Timeout};
use quorate_engine::status::{Info, Report};
use quorate_engine::transport::custom::PacketKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A running instance.
#[pyclass(frozen, subclass, module = "quorate._quorate")]
pub struct Service {
    /// Taken only by `drop`.
    service: Option<Arc<service::Service>>,
    known: Known,
    closed: AtomicBool,
}

impl Service {
    fn service(&self) -> &Arc<service::Service> {
        self.service.as_ref().expect("only drop takes it")
    }

    fn explain(&self, py: Python<'_>, error: &Error) -> PyErr {
        self.known.failure.explain(py, error)
    }

    fn info(&self, py: Python<'_>) -> PyResult<Info> {
        may_call(py)?;
        Ok(self.service().info())
    }

    fn take_frame(&self, frame: &Bound<'_, PyAny>, only: Option<PacketKind>) -> PyResult<()> {
        let py = frame.py();
        may_call(py)?;
        let frame = transport::copied(frame)?;
        let is_large = frame.len() >= LARGE;
        let deliver = || self.service().deliver(frame, only);
        let delivered = if is_large { py.detach(deliver) } else { deliver() };
        delivered.map_err(|error| self.explain(py, &error))
    }

    fn submit(
        &self,
        queue: &queue::Queue,
        token: u64,
        op: Op<'_>,
        timeout: Timeout,
    ) -> Result<(), Error> {
        self.service().submit(queue, &[Request { token, timeout, op }]).map(drop)
    }
}

#[pymethods]
impl Service {
    /// Opens the store, the state machine and the listener, and starts the threads.
    #[new]
    fn new(
        state_machine: &Bound<'_, PyAny>,
        settings: &Bound<'_, PyDict>,
        parts: Parts<'_>,
    ) -> PyResult<Service> {
        let py = state_machine.py();
        may_wait().map_err(|error| exception(py, &error))?;
        let settings = settings::from_keywords(settings)?;
        let failure = Failure::default();
        let machine = Box::new(Machine::new(state_machine, failure.clone())?);
        let parts = parts.into_engine(&failure)?;
        let service = py
            .detach(|| service::Service::start_with(settings, machine, parts))
            .map_err(|error| failure.explain_start(py, &error))?;
        let closed = AtomicBool::new(false);
        let known = Known::new(failure);
        Ok(Service { service: Some(Arc::new(service)), known, closed })
    }

    /// Does something and waits for it. The op is the name of the call.
    fn _wait(
        &self,
        py: Python<'_>,
        op: &str,
        argument: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        may_call(py)?;
        let work = Work::from_python(op, argument)?;
        let timeout = seconds(timeout)?;
        let completion =
            work.lend(py, |op| wait::one(py, |queue| self.submit(queue, 0, op, timeout)));
        let completion =
            completion.map_err(|stopped| stopped.raise(|error| self.explain(py, &error)))?;
        completion::value(py, &completion)?.map_err(|error| self.explain(py, error))
    }

    /// Likewise without waiting: one completion with `token` in `queue`, unless this raises.
    fn _submit(
        &self,
        py: Python<'_>,
        queue: &Queue,
        token: u64,
        op: &str,
        argument: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        may_call(py)?;
        let work = Work::from_python(op, argument)?;
        let timeout = seconds(timeout)?;
        let is_large = work.is_large(py);
        let token = self.known.mark(token);
        let submitted = work.lend(py, |op| {
            let submit = || self.submit(queue.engine(), token, op, timeout);
            if is_large { py.detach(submit) } else { submit() }
        });
        submitted.map_err(|error| self.explain(py, &error))
    }

    /// A future of a change that is proposed and applied here.
    fn _submit_future<'py>(
        &self,
        futures: &Bound<'py, Futures>,
        change: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Future>> {
        submit::one(self.service(), &self.known, futures, change, timeout)
    }

    /// Likewise for many, in one call of the engine.
    fn _submit_futures<'py>(
        &self,
        futures: &Bound<'py, Futures>,
        changes: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Bound<'py, Future>>> {
        submit::many(self.service(), &self.known, futures, changes, timeout)
    }

    /// Hands over one frame that `send` of another node's transport was given.
    fn deliver(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        self.take_frame(frame, None)
    }

    /// The page's Append: only frames of that kind.
    fn append(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        self.take_frame(frame, Some(PacketKind::Append))
    }

    /// The page's RequestVote: likewise.
    fn request_vote(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        self.take_frame(frame, Some(PacketKind::RequestVote))
    }

    /// The page's Join: likewise.
    fn join(&self, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        self.take_frame(frame, Some(PacketKind::Join))
    }

    /// From now on every event, the present state and leader first.
    fn _events(&self, py: Python<'_>) -> PyResult<Events> {
        may_call(py)?;
        let queue = queue::Queue::new().map_err(|error| exception(py, &error))?;
        self.service()
            .subscribe(&queue, self.known.mark(0))
            .map_err(|error| exception(py, &error))?;
        Ok(Events::new(queue))
    }

    /// What was asked for in a turn of an event loop, in one call of the engine: a completion for each in
    /// `queue`, but those that are refused, which are returned with the reason.
    fn _submit_turn(
        &self,
        py: Python<'_>,
        queue: &Queue,
        turn: &Turn,
    ) -> Vec<(u64, Py<PyBaseException>)> {
        turn.submit(py, self.service(), &self.known, queue.engine())
    }

    /// Stops the service. In the child of a fork there is nothing to stop.
    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        if os::forked() {
            return Ok(());
        }
        may_wait().map_err(|error| exception(py, &error))?;
        self.closed.store(true, Ordering::Relaxed);
        let service = Arc::clone(self.service());
        wait::elsewhere(py, "quorate-close", move || service.close())
            .map_err(|stopped| stopped.raise(|error| self.explain(py, &error)))
    }

    /// Nothing is left to close.
    #[getter]
    fn _is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || os::forked()
    }

    /// The id of this node.
    #[getter]
    fn my_id(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.my_id.0)
    }

    /// 0 in no cluster.
    #[getter]
    fn cluster_id(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.cluster_id.0)
    }

    /// 0 unknown; on the leader its own.
    #[getter]
    fn leader_id(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.leader_id.0)
    }

    /// Follower, leader and so on.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        status::state(py, self.info(py)?.state)
    }

    /// Where the current change of membership stands.
    #[getter]
    fn membership_change_mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        status::mode(py, self.info(py)?.membership_change_mode)
    }

    /// The term.
    #[getter]
    fn current_term(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.current_term.0)
    }

    /// The last entry known to be committed.
    #[getter]
    fn commit_index(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.commit_index.0)
    }

    /// The last entry applied here.
    #[getter]
    fn last_applied(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.last_applied.0)
    }

    /// The lowest index of the log; 0 when it is empty.
    #[getter]
    fn first_index(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.info(py)?.first_index.0)
    }

    /// The end of the log.
    #[getter]
    fn last_index(&self, py: Python<'_>) -> PyResult<Position> {
        let info = self.info(py)?;
        Ok(Position::from(EntryId::new(info.last_index, info.last_term)))
    }

    /// Where the listener really is; empty without one.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<&str> {
        may_call(py)?;
        Ok(self.service().address().unwrap_or_default())
    }

    /// The configuration in force; empty when Standalone.
    #[getter]
    fn node_config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        may_call(py)?;
        status::node_list(py, &self.service().node_config())
    }

    /// Diagnosis.
    #[getter]
    fn raft_status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        may_call(py)?;
        status::protocol_status(py, self.service().raft_status())
    }

    /// Follows `last_applied`; only this service moves and closes it.
    #[getter]
    fn applied_tracker(&self, py: Python<'_>) -> PyResult<ChangeTracker> {
        may_call(py)?;
        Ok(ChangeTracker::of(self.service().applied_tracker()))
    }

    /// A text for people and tools.
    #[pyo3(signature = (kind="json"))]
    fn report(&self, py: Python<'_>, kind: &str) -> PyResult<String> {
        may_call(py)?;
        let kind = match kind {
            "json" => Report::Json,
            "prometheus" => Report::Prometheus,
            _ => return Err(PyValueError::new_err("a report is \"json\" or \"prometheus\"")),
        };
        Ok(py.detach(|| self.service().report(kind)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.known.failure.traverse(&visit)
    }

    fn __clear__(&self) {
        self.known.failure.clear();
    }
}

impl Drop for Service {
    /// Closes, with the GIL released: the thread that applies may be waiting for it.
    fn drop(&mut self) {
        let mut service = self.service.take();
        if os::forked() {
            std::mem::forget(service);
        } else if os::in_callback() {
            // Closing waits for the very thread that is in here.
            let _ = os::spawn("quorate-close", move || drop(service));
        } else {
            Python::try_attach(|py| py.detach(|| drop(service.take())));
        }
    }
}
