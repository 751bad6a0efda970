//! A network in Python: frames go out by its method `send`, and come in by calls of the service.

use crate::change::Change;
use crate::error::exception;
use crate::guard::may_call;
use crate::hook::{self, Object};
use bytes::Bytes;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::transport::custom::{self, Carrier};

/// A host's network in Python.
pub struct Network(Object);

impl Network {
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Network> {
        Object::new("transport", object, &["send"]).map(Network)
    }
}

impl Carrier for Network {
    /// A frame that was not sent is no failure of the service, so what was raised is told and gone.
    fn send(&mut self, to: NodeId, address: &str, packet: Bytes) -> Result<(), String> {
        let sent = hook::call(None, |py| {
            self.0.tell(py, "send", (to.0, address, PyBytes::new(py, &packet)))
        });
        sent.map_err(|raised| raised.text)
    }
}

/// The number of what a frame is about.
#[pyfunction]
pub fn frame_kind(py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<i32> {
    may_call(py)?;
    let frame = taken(frame)?;
    let kind = custom::kind(frame.bytes(py)).map_err(|error| exception(py, &error))?;
    Ok(kind as i32)
}

/// A copy of a frame that has arrived.
pub fn copied(frame: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    Ok(Bytes::copy_from_slice(taken(frame)?.bytes(frame.py())))
}

fn taken(frame: &Bound<'_, PyAny>) -> PyResult<Change> {
    let name = frame.get_type().name()?;
    Change::from_bytes(frame)
        .map_err(|_| PyTypeError::new_err(format!("a frame is bytes, not a value of type {name}")))
}
