//! What a caller gives to be proposed: an `Entry`, or anything with bytes in it.

use crate::entry::Entry;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quorate_engine::change::NewEntry;

/// A change, held so that the engine can read it with the GIL released.
pub enum Change {
    Entry(Py<Entry>),
    /// Python can't change them, so the engine makes the one copy.
    Bytes(Py<PyBytes>),
    /// Taken out of a buffer that Python can change meanwhile.
    Copied(Vec<u8>),
}

impl Change {
    pub fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Change> {
        match object.cast::<Entry>() {
            Ok(entry) => Ok(Change::Entry(entry.clone().unbind())),
            Err(_) => Change::from_bytes(object),
        }
    }

    /// Without `Entry`.
    pub fn from_bytes(object: &Bound<'_, PyAny>) -> PyResult<Change> {
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok(Change::Bytes(bytes.clone().unbind()));
        }
        let buffer = PyBuffer::<u8>::get(object).map_err(|_| wrong_type(object))?;
        Ok(Change::Copied(buffer.to_vec(object.py())?))
    }

    /// The data.
    pub fn bytes<'a>(&'a self, py: Python<'_>) -> &'a [u8] {
        match self {
            Change::Entry(entry) => entry.get().bytes(),
            Change::Bytes(bytes) => bytes.as_bytes(py),
            Change::Copied(bytes) => bytes,
        }
    }

    /// The tags, for `new_entry`.
    pub fn tags(&self) -> Vec<&[u8]> {
        match self {
            Change::Entry(entry) => entry.get().tag_bytes(),
            Change::Bytes(_) | Change::Copied(_) => Vec::new(),
        }
    }

    /// The change as the engine wants it.
    pub fn new_entry<'a>(&'a self, py: Python<'_>, tags: &'a [&'a [u8]]) -> NewEntry<'a> {
        match self {
            Change::Entry(entry) => entry.get().new_entry(tags),
            Change::Bytes(_) | Change::Copied(_) => NewEntry::new(self.bytes(py)),
        }
    }
}

fn wrong_type(object: &Bound<'_, PyAny>) -> PyErr {
    let name = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let hint = if name == "str" { ": encode it" } else { "" };
    PyTypeError::new_err(format!(
        "a change is bytes, a buffer of bytes or an Entry, not {name}{hint}"
    ))
}
