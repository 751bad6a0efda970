//! What a service tells of itself, in the types of `quorate/_types.py`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use quorate_engine::consensus::membership::Member;
use quorate_engine::consensus::types::{NodeId, parse_base36};
use quorate_engine::status::{MembershipChangeMode, NodeList, ProtocolStatus, State};

static STATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static MODE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static NODE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static NODE_LIST: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static PROTOCOL_STATUS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

const TYPES: &str = "quorate._types";

/// The text of a node or cluster id.
#[pyfunction]
pub fn format_node_id(node_id: u64) -> String {
    NodeId(node_id).to_string()
}

/// The id of that text; 0 for anything that is not an id.
#[pyfunction]
pub fn parse_node_id(text: &str) -> u64 {
    parse_base36(text)
}

pub fn state(py: Python<'_>, state: State) -> PyResult<Bound<'_, PyAny>> {
    STATE.import(py, TYPES, "State")?.call1((state as i32,))
}

pub fn mode(py: Python<'_>, mode: MembershipChangeMode) -> PyResult<Bound<'_, PyAny>> {
    MODE.import(py, TYPES, "MembershipChangeMode")?.call1((mode as i32,))
}

pub fn node_list<'py>(py: Python<'py>, list: &NodeList) -> PyResult<Bound<'py, PyAny>> {
    let class = NODE.import(py, TYPES, "Node")?;
    let nodes = |members: &[Member]| -> PyResult<Vec<Bound<'py, PyAny>>> {
        members.iter().map(|m| class.call1((m.id.0, &*m.address))).collect()
    };
    NODE_LIST.import(py, TYPES, "NodeList")?.call1((
        nodes(&list.current)?,
        nodes(&list.next)?,
        nodes(&list.learners)?,
    ))
}

pub fn protocol_status(py: Python<'_>, status: ProtocolStatus) -> PyResult<Bound<'_, PyAny>> {
    let indices = status.peer_indices.map(|map| {
        map.into_iter()
            .map(|(id, index)| (id.0, index.0))
            .collect::<std::collections::BTreeMap<_, _>>()
    });
    PROTOCOL_STATUS.import(py, TYPES, "ProtocolStatus")?.call1((indices,))
}
