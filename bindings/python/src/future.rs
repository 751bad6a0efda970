//! Futures of proposals, settled without the GIL. Who waits for one polls the queue for all, so that a
//! result needs no thread between the engine and its caller; the others who wait are parked meanwhile.
//!
//! A future that somebody observes (a callback, `concurrent.futures.wait`) is told of its end by the
//! thread quorate-futures, which then polls like all others; `quorate/_futures.py` says what is told.
//!
//! What must hold: nobody takes the GIL while holding the lock of `State`; each future that was submitted
//! has its place until its completion comes, so no completion finds the place of another.

use crate::completion;
use crate::error::{exception, explain, unmark};
use crate::guard::{may_call, may_wait};
use crate::wait::{SLICE, Stopped, Waiting, lock, seconds};
use pyo3::exceptions::PyTimeoutError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;
use quorate_engine::consensus::types::{EntryId, NodeId};
use quorate_engine::error::Error;
use quorate_engine::os;
use quorate_engine::queue::{Completion, OpKind, Queue};
use std::mem::{replace, take};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Completions that are taken at a time.
const BATCH: usize = 1024;
/// From so many futures on that nobody waits for, whoever submits takes their completions.
const UNHEARD: usize = 1024;

pyo3::import_exception!(concurrent.futures, CancelledError);

/// How a future ended.
enum Outcome {
    Completed(Completion),
    Cancelled,
}

/// What is known of a future without the GIL.
#[derive(Default)]
struct Cell {
    outcome: OnceLock<Outcome>,
    /// Somebody is to be told of the end.
    observed: AtomicBool,
    /// They were.
    told: AtomicBool,
}

impl Cell {
    fn has_ended(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// There is an end, or will be, that somebody is still to be told of.
    fn is_to_be_told(&self) -> bool {
        self.observed.load(Ordering::Acquire) && !self.told.load(Ordering::Acquire)
    }
}

/// A future whose completion has not come.
struct Pending {
    cell: Arc<Cell>,
    /// The future as Python knows it, when it is observed.
    observer: Option<Py<PyAny>>,
}

/// A thread that waits while another one polls; without a cell for futures that are to be told.
struct Parked {
    cell: Option<Arc<Cell>>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// By token.
    places: Vec<Option<Pending>>,
    vacant: Vec<usize>,
    /// Somebody polls.
    polled: bool,
    parked: Vec<Parked>,
    /// Observed futures that have ended.
    untold: Vec<Py<PyAny>>,
    stopping: bool,
}

impl State {
    fn enter(&mut self, cell: &Arc<Cell>) -> usize {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Pending { cell: Arc::clone(cell), observer: None });
        place
    }

    fn leave(&mut self, place: usize) -> Option<Pending> {
        let pending = self.places.get_mut(place)?.take()?;
        self.vacant.push(place);
        Some(pending)
    }

    fn under_way(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Ends the futures of completions, and gives the threads that wait for them.
    fn settle(&mut self, completions: Vec<Completion>) -> Vec<Parked> {
        for completion in completions {
            let Some(pending) = self.leave(unmark(completion.token) as usize) else { continue };
            // One that was cancelled stays so.
            let ended = pending.cell.outcome.set(Outcome::Completed(completion)).is_ok();
            self.untold.extend(pending.observer.filter(|_| ended));
        }
        let has_news = !self.untold.is_empty();
        self.parked.extract_if(.., |parked| parked.is_over(has_news)).collect()
    }

    /// Whether who waits for this has waited enough.
    fn is_over(&self, cell: Option<&Arc<Cell>>) -> bool {
        cell.map_or(!self.untold.is_empty() || self.stopping, |cell| cell.has_ended())
    }
}

impl Parked {
    fn is_over(&self, has_news: bool) -> bool {
        self.cell.as_ref().map_or(has_news, |cell| cell.has_ended())
    }
}

struct Hub {
    queue: Queue,
    state: Mutex<State>,
}

impl Hub {
    /// Waits at most so long for something to happen: polls, unless somebody does so already.
    fn step(&self, cell: Option<&Arc<Cell>>, limit: Duration) {
        let mut state = lock(&self.state);
        if state.is_over(cell) {
            return;
        }
        if !state.polled {
            state.polled = true;
            drop(state);
            return self.poll(limit);
        }
        let here = thread::current();
        state.parked.push(Parked { cell: cell.cloned(), thread: here.clone() });
        drop(state);
        thread::park_timeout(limit);
        lock(&self.state).parked.retain(|parked| parked.thread.id() != here.id());
    }

    fn poll(&self, limit: Duration) {
        let mut done = Vec::new();
        self.queue.poll(&mut done, BATCH, Some(limit));
        let mut state = lock(&self.state);
        state.polled = false;
        let over = state.settle(done);
        drop(state);
        over.iter().for_each(|parked| parked.thread.unpark());
    }

    /// Who has waited leaves the polling to another one.
    fn leave(&self) {
        let mut state = lock(&self.state);
        let next = if state.polled { None } else { state.parked.pop() };
        drop(state);
        if let Some(next) = next {
            next.thread.unpark();
        }
    }

    /// Takes what has come, if nobody else does.
    fn sweep(&self) {
        let mut state = lock(&self.state);
        if !replace(&mut state.polled, true) {
            drop(state);
            self.poll(Duration::ZERO);
            self.leave();
        }
    }

    /// Ends a future as cancelled; false when it has ended before.
    fn cancel(&self, cell: &Arc<Cell>, place: usize) -> bool {
        let mut state = lock(&self.state);
        if cell.outcome.set(Outcome::Cancelled).is_err() {
            return false;
        }
        let pending = state.places.get_mut(place).and_then(Option::as_mut);
        let observer = pending.and_then(|pending| pending.observer.take());
        let over: Vec<_> = state.parked.extract_if(.., |parked| parked.is_over(false)).collect();
        if state.polled {
            self.queue.wake(); // who polls may be waiting for this one
        }
        drop(state);
        over.iter().for_each(|parked| parked.thread.unpark());
        drop(observer); // the lock is free by now
        true
    }

    /// Waits with the GIL released; false when the time is over.
    fn wait(
        &self,
        py: Python<'_>,
        cell: Option<&Arc<Cell>>,
        timeout: Option<Duration>,
    ) -> Result<bool, Stopped> {
        may_wait()?;
        let _waiting = Waiting::enter();
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let waited = loop {
            let left = end.map_or(SLICE, |end| SLICE.min(end - Instant::now()));
            py.detach(|| self.step(cell, left));
            if lock(&self.state).is_over(cell) {
                break Ok(true);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                break Ok(false);
            }
            if let Err(raised) = py.check_signals() {
                break Err(Stopped::Raised(raised));
            }
        };
        self.leave();
        waited
    }
}

/// All futures of this process, and the queue that their completions come through.
#[pyclass(frozen, module = "quorate._quorate")]
pub struct Futures {
    hub: Arc<Hub>,
    /// What a future is in Python.
    class: Py<PyType>,
}

impl Futures {
    pub fn queue(&self) -> &Queue {
        &self.hub.queue
    }

    /// A new future, which has its place.
    pub fn make<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Future>> {
        let this = slf.get();
        if lock(&this.hub.state).under_way() >= UNHEARD {
            this.hub.sweep();
        }
        Ok(this.class.bind(slf.py()).call1((slf,))?.cast_into::<Future>()?)
    }

    /// Likewise so many.
    pub fn make_some<'py>(
        slf: &Bound<'py, Self>,
        count: usize,
    ) -> PyResult<Vec<Bound<'py, Future>>> {
        let mut made = Vec::with_capacity(count);
        for _ in 0..count {
            match Futures::make(slf) {
                Ok(future) => made.push(future),
                Err(error) => {
                    made.iter().for_each(|future: &Bound<'_, Future>| future.get().withdraw());
                    return Err(error);
                }
            }
        }
        Ok(made)
    }
}

#[pymethods]
impl Futures {
    #[new]
    fn new(py: Python<'_>, class: Py<PyType>) -> PyResult<Futures> {
        let queue = Queue::new().map_err(|error| exception(py, &error))?;
        Ok(Futures { hub: Arc::new(Hub { queue, state: Mutex::default() }), class })
    }

    /// Observed futures that have ended, which are to be told so: waits for some, and then gives none only
    /// when it was stopped; or gives those that are there.
    fn untold(&self, py: Python<'_>, wait: bool) -> PyResult<Vec<Py<PyAny>>> {
        if wait {
            self.hub.wait(py, None, None).map_err(|stopped| raise(py, stopped))?;
        } else {
            self.hub.sweep();
        }
        Ok(take(&mut lock(&self.hub.state).untold))
    }

    /// No more futures are told of their end.
    fn stop(&self) {
        let mut state = lock(&self.hub.state);
        state.stopping = true;
        let all = take(&mut state.parked);
        drop(state);
        self.hub.queue.wake();
        all.iter().for_each(|parked| parked.thread.unpark());
    }
}

/// The part of a future that is not Python's.
#[pyclass(frozen, subclass, module = "quorate._quorate")]
pub struct Future {
    hub: Arc<Hub>,
    cell: Arc<Cell>,
    place: usize,
    /// Made when first asked for: the value, or the exception.
    value: OnceLock<Result<Py<PyAny>, Py<PyAny>>>,
}

impl Future {
    pub fn token(&self) -> u64 {
        self.place as u64
    }

    /// Nothing was submitted for it.
    pub fn withdraw(&self) {
        let pending = lock(&self.hub.state).leave(self.place);
        drop(pending); // the lock is free by now
    }

    /// It was not taken, for this reason.
    pub fn refuse(&self, token: u64, error: Error) {
        self.withdraw();
        let (op, id, leader) = (OpKind::ProposeWait, EntryId::ZERO, NodeId::ZERO);
        let completion = Completion { token, op, id, result: Err(error), leader, number: 0 };
        let _ = self.cell.outcome.set(Outcome::Completed(completion)); // nobody else has it yet
    }

    fn outcome(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<&Outcome> {
        if let Some(outcome) = self.cell.outcome.get() {
            return Ok(outcome);
        }
        may_call(py)?;
        let waited = self.hub.wait(py, Some(&self.cell), seconds(timeout)?);
        waited.map_err(|stopped| raise(py, stopped))?;
        self.cell.outcome.get().ok_or_else(|| PyTimeoutError::new_err(()))
    }

    /// What it gave, or CancelledError.
    fn ended(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
    ) -> PyResult<&Result<Py<PyAny>, Py<PyAny>>> {
        let completion = match self.outcome(py, timeout)? {
            Outcome::Completed(completion) => completion,
            Outcome::Cancelled => return Err(CancelledError::new_err(())),
        };
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let value = completion::value(py, completion)?;
        let value =
            value.map_err(|error| explain(py, completion.token, error).into_value(py).into_any());
        Ok(self.value.get_or_init(|| value))
    }
}

#[pymethods]
impl Future {
    #[new]
    fn new(futures: &Futures) -> Future {
        let (hub, cell) = (Arc::clone(&futures.hub), Arc::<Cell>::default());
        let place = lock(&hub.state).enter(&cell);
        Future { hub, cell, place, value: OnceLock::new() }
    }

    /// The reply, or raises why there is none.
    #[pyo3(signature = (timeout=None))]
    fn result(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        match self.ended(py, timeout)? {
            Ok(value) => Ok(value.clone_ref(py)),
            Err(raised) => Err(PyErr::from_value(raised.bind(py).clone())),
        }
    }

    /// Why there is no reply, or None.
    #[pyo3(signature = (timeout=None))]
    fn exception(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.ended(py, timeout)?.as_ref().err().map(|raised| raised.clone_ref(py)))
    }

    /// Whether it has ended, in whatever way.
    fn done(&self) -> bool {
        if !self.cell.has_ended() && !os::forked() {
            self.hub.sweep();
        }
        self.cell.has_ended()
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        matches!(self.cell.outcome.get(), Some(Outcome::Cancelled))
    }

    /// The engine has no moment from which on a change can't be abandoned.
    fn running(&self) -> bool {
        false
    }

    /// Ends it as cancelled; false when it has ended before.
    fn _cancel(&self, py: Python<'_>) -> PyResult<bool> {
        may_call(py)?;
        Ok(self.hub.cancel(&self.cell, self.place))
    }

    /// Has `_tell` called at the end; false when it was, or when the end came before anybody asked.
    fn _observe(slf: &Bound<'_, Self>) -> PyResult<bool> {
        may_call(slf.py())?;
        let this = slf.get();
        let mut state = lock(&this.hub.state);
        if this.cell.has_ended() {
            return Ok(this.cell.is_to_be_told());
        }
        let Some(Some(pending)) = state.places.get_mut(this.place) else { return Ok(false) };
        if pending.observer.is_none() {
            pending.observer = Some(slf.clone().into_any().unbind());
            this.cell.observed.store(true, Ordering::Release);
        }
        Ok(true)
    }

    /// Those who observe have been told.
    fn _mark_told(&self) {
        self.cell.told.store(true, Ordering::Release);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.value.get() {
            Some(Ok(object) | Err(object)) => visit.call(object),
            None => Ok(()),
        }
    }
}

fn raise(py: Python<'_>, stopped: Stopped) -> PyErr {
    stopped.raise(|error| exception(py, &error))
}
