//! What a service is asked to do, with what it takes held in Python.

use crate::change::Change;
use crate::submit::LARGE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::service::Op;

/// Something to do.
pub enum Work {
    ProposeWait(Change),
    Propose(Change),
    ReadBarrier,
    InitializeCluster(String),
    AddNode(String),
    RemoveNode(NodeId),
}

impl Work {
    /// By the name of the call.
    pub fn from_python(op: &str, argument: &Bound<'_, PyAny>) -> PyResult<Work> {
        Ok(match op {
            "propose_wait" => Work::ProposeWait(Change::from_python(argument)?),
            "propose" => Work::Propose(Change::from_python(argument)?),
            "read_barrier" => Work::ReadBarrier,
            "initialize_cluster" => Work::InitializeCluster(argument.extract()?),
            "add_node" => Work::AddNode(argument.extract()?),
            "remove_node" => Work::RemoveNode(NodeId(argument.extract()?)),
            _ => return Err(PyValueError::new_err(format!("no such work: {op}"))),
        })
    }

    fn change(&self) -> Option<&Change> {
        match self {
            Work::ProposeWait(change) | Work::Propose(change) => Some(change),
            _ => None,
        }
    }

    /// Bytes of its change.
    pub fn len(&self, py: Python<'_>) -> usize {
        self.change().map_or(0, |change| change.bytes(py).len())
    }

    /// Whether others should run while the engine copies it.
    pub fn is_large(&self, py: Python<'_>) -> bool {
        self.len(py) >= LARGE
    }

    /// The tags of its change, for `op`.
    pub fn tags(&self) -> Vec<&[u8]> {
        self.change().map(Change::tags).unwrap_or_default()
    }

    /// The work as the engine wants it.
    pub fn op<'a>(&'a self, py: Python<'_>, tags: &'a [&'a [u8]]) -> Op<'a> {
        match self {
            Work::ProposeWait(change) => Op::ProposeWait(change.new_entry(py, tags)),
            Work::Propose(change) => Op::Propose(change.new_entry(py, tags)),
            Work::ReadBarrier => Op::ReadBarrier,
            Work::InitializeCluster(address) => Op::InitializeCluster(address),
            Work::AddNode(address) => Op::AddNode(address),
            Work::RemoveNode(node) => Op::RemoveNode(*node),
        }
    }

    /// Lends the work as the engine wants it.
    pub fn lend<R>(&self, py: Python<'_>, take: impl FnOnce(Op<'_>) -> R) -> R {
        take(self.op(py, &self.tags()))
    }
}
