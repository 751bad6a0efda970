//! What a finished piece of work gave, as Python sees it.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use quorate_engine::consensus::types::EntryId;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::queue::{Completion, OpKind};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where a change stands in the log.
#[pyclass(frozen, eq, hash, get_all, module = "quorate")]
#[derive(Eq, Hash, PartialEq)]
pub struct Position {
    index: u64,
    term: u64,
}

impl From<EntryId> for Position {
    fn from(id: EntryId) -> Position {
        Position { index: id.index.0, term: id.term.0 }
    }
}

#[pymethods]
impl Position {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["index", "term"])
    }

    #[new]
    fn new(index: u64, term: u64) -> Position {
        Position { index, term }
    }

    fn __repr__(&self) -> String {
        format!("Position(index={}, term={})", self.index, self.term)
    }
}

/// What a proposal gave: where it stands, and the state machine's reply on this node.
#[pyclass(frozen, get_all, module = "quorate")]
pub struct Reply {
    index: u64,
    term: u64,
    data: Py<PyBytes>,
}

#[pymethods]
impl Reply {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["index", "term", "data"])
    }

    #[new]
    fn new(index: u64, term: u64, data: Py<PyBytes>) -> Reply {
        Reply { index, term, data }
    }

    fn __eq__(&self, py: Python<'_>, other: &Reply) -> bool {
        (self.index, self.term) == (other.index, other.term)
            && self.data.as_bytes(py) == other.data.as_bytes(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.index, self.term, self.data.as_bytes(py)).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.data.bind(py).repr()?;
        Ok(format!("Reply(index={}, term={}, data={data})", self.index, self.term))
    }
}

/// The result in the type that the work promises, or the error.
pub fn value<'a>(
    py: Python<'_>,
    completion: &'a Completion,
) -> PyResult<Result<Py<PyAny>, &'a Error>> {
    let data = match &completion.result {
        Ok(data) => data.as_deref(),
        Err(error) if is_value_of_tracker(completion.op, error) => None,
        Err(error) => return Ok(Err(error)),
    };
    let id = completion.id;
    let value = match completion.op {
        OpKind::ProposeWait => {
            let data = PyBytes::new(py, data.unwrap_or_default()).unbind();
            Reply { index: id.index.0, term: id.term.0, data }.into_py_any(py)
        }
        OpKind::Propose => Position::from(id).into_py_any(py),
        OpKind::Tracker => id.index.0.into_py_any(py),
        OpKind::ReadBarrier | OpKind::Membership => Ok(py.None()),
        // Events go to queues of their own: `Events`.
        OpKind::Leader
        | OpKind::MembershipEvent
        | OpKind::Failed
        | OpKind::State
        | OpKind::DiskFull
        | OpKind::Peer
        | OpKind::Abstaining
        | OpKind::Closed => Ok(py.None()),
    };
    value.map(Ok)
}

/// A tracker that is closed, or did not get there in time, answers with its value.
fn is_value_of_tracker(op: OpKind, error: &Error) -> bool {
    op == OpKind::Tracker && matches!(error.kind, ErrorKind::Timeout | ErrorKind::Closed)
}
