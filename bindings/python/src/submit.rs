//! Proposals with futures: one, or many in one call of the engine.

use crate::change::Change;
use crate::error::Known;
use crate::future::{Future, Futures};
use crate::guard::may_call;
use crate::wait::seconds;
use pyo3::prelude::*;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::queue::Queue;
use quorate_engine::service::{Op, Request, Service};

/// From how many bytes on the copy that the engine makes is worth letting others run meanwhile.
pub const LARGE: usize = 64 << 10;

/// A future of a change. Raises when the change is not taken.
pub fn one<'py>(
    service: &Service,
    known: &Known,
    futures: &Bound<'py, Futures>,
    change: &Bound<'py, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, Future>> {
    let py = futures.py();
    may_call(py)?;
    let (change, timeout) = (Change::from_python(change)?, seconds(timeout)?);
    let future = Futures::make(futures)?;
    let token = known.mark(future.get().token());
    let tags = change.tags();
    let op = Op::ProposeWait(change.new_entry(py, &tags));
    let queue = futures.get().queue();
    let submit = || service.submit(queue, &[Request { token, timeout, op }]);
    let submitted = if change.bytes(py).len() < LARGE { submit() } else { py.detach(submit) };
    submitted.map_err(|error| {
        future.get().withdraw();
        known.failure.explain(py, &error)
    })?;
    Ok(future)
}

/// Futures of many changes. One that is refused gives a future that has ended.
pub fn many<'py>(
    service: &Service,
    known: &Known,
    futures: &Bound<'py, Futures>,
    changes: &Bound<'py, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Vec<Bound<'py, Future>>> {
    let py = futures.py();
    may_call(py)?;
    let timeout = seconds(timeout)?;
    let changes = changes.try_iter()?.map(|change| Change::from_python(&change?));
    let changes = changes.collect::<PyResult<Vec<_>>>()?;
    let made = Futures::make_some(futures, changes.len())?;
    let tags: Vec<_> = changes.iter().map(Change::tags).collect();
    let work = changes.iter().zip(&tags).zip(&made);
    let requests = work.map(|((change, tags), future)| Request {
        token: known.mark(future.get().token()),
        timeout,
        op: Op::ProposeWait(change.new_entry(py, tags)),
    });
    let requests: Vec<_> = requests.collect();
    let size: usize = changes.iter().map(|change| change.bytes(py).len()).sum();
    let queue = futures.get().queue();
    let submit = || submit_all(service, queue, &requests);
    let refused = if size < LARGE { submit() } else { py.detach(submit) };
    for (at, error) in refused {
        made[at].get().refuse(requests[at].token, error);
    }
    Ok(made)
}

/// Submits all that the engine takes, and says which it refused. One that is wrong in itself does not hold
/// up the others; what else is refused would be for all that follow too.
pub fn submit_all(
    service: &Service,
    queue: &Queue,
    requests: &[Request<'_>],
) -> Vec<(usize, Error)> {
    let (mut at, mut refused) = (0, Vec::new());
    while at < requests.len() {
        match service.submit(queue, &requests[at..]) {
            Ok(count) => at += count,
            Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::TooLarge) => {
                refused.push((at, error));
                at += 1;
            }
            Err(error) => {
                refused.extend((at..requests.len()).map(|at| (at, error.clone())));
                break;
            }
        }
    }
    refused
}
