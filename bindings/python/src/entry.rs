//! `Entry`: a change, as a caller gives it or as the log gives it back.

use crate::change::Change;
use bytes::Bytes;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};
use quorate_engine::change::NewEntry;
use quorate_engine::state_machine::Committed;

/// A change. Make one to propose tags, a type or a timestamp; for data alone bytes will do.
#[pyclass(frozen, module = "quorate")]
pub struct Entry {
    source: Source,
    /// Made when first asked for: a state machine may look at the type and pass on.
    data: PyOnceLock<Py<PyBytes>>,
}

enum Source {
    New(Box<Own>),
    Committed(Committed),
}

/// What a caller gave.
struct Own {
    kind: i32,
    timestamp_ns: i64,
    tags: Vec<String>,
    data: Bytes,
}

impl Entry {
    pub fn committed(entry: &Committed) -> Entry {
        Entry { source: Source::Committed(entry.clone()), data: PyOnceLock::new() }
    }

    /// The tags as the engine has them.
    pub fn tag_bytes(&self) -> Vec<&[u8]> {
        match &self.source {
            Source::New(own) => own.tags.iter().map(|tag| tag.as_bytes()).collect(),
            Source::Committed(entry) => entry.command.tags().collect(),
        }
    }

    /// What the engine is to be given; index and term of a committed entry are left behind.
    pub fn new_entry<'a>(&'a self, tags: &'a [&'a [u8]]) -> NewEntry<'a> {
        let (kind, timestamp_ns) = (self.r#type(), self.timestamp_ns());
        NewEntry { kind, timestamp_ns, tags, data: self.bytes() }
    }

    /// The data.
    pub fn bytes(&self) -> &[u8] {
        match &self.source {
            Source::New(own) => &own.data,
            Source::Committed(entry) => entry.command.data(),
        }
    }
}

#[pymethods]
impl Entry {
    #[new]
    #[pyo3(signature = (data, *, tags=None, r#type=0, timestamp_ns=0))]
    fn new(
        data: &Bound<'_, PyAny>,
        tags: Option<&Bound<'_, PyAny>>,
        r#type: i32,
        timestamp_ns: i64,
    ) -> PyResult<Entry> {
        let data = Bytes::copy_from_slice(Change::from_bytes(data)?.bytes(data.py()));
        let tags = tags.map_or_else(|| Ok(Vec::new()), tags_of)?;
        let own = Own { kind: r#type, timestamp_ns, tags, data };
        Ok(Entry { source: Source::New(Box::new(own)), data: PyOnceLock::new() })
    }

    /// Its place in the log; 0 until it is committed.
    #[getter]
    fn index(&self) -> u64 {
        match &self.source {
            Source::New(_) => 0,
            Source::Committed(entry) => entry.index.0,
        }
    }

    /// The term of the leader that made it; 0 until it is committed.
    #[getter]
    fn term(&self) -> u64 {
        match &self.source {
            Source::New(_) => 0,
            Source::Committed(entry) => entry.term.0,
        }
    }

    /// 0 or more; the types below 0 are the library's.
    #[getter]
    fn r#type(&self) -> i32 {
        match &self.source {
            Source::New(own) => own.kind,
            Source::Committed(entry) => entry.command.kind(),
        }
    }

    /// Nanoseconds since 1970 UTC as its proposer set it, 0 = not set.
    #[getter]
    fn timestamp_ns(&self) -> i64 {
        match &self.source {
            Source::New(own) => own.timestamp_ns,
            Source::Committed(entry) => entry.command.timestamp_ns(),
        }
    }

    /// In the order given.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match &self.source {
            Source::New(own) => PyTuple::new(py, &own.tags),
            Source::Committed(entry) => {
                let tags: Vec<_> = entry.command.tags().map(String::from_utf8_lossy).collect();
                PyTuple::new(py, tags)
            }
        }
    }

    /// Opaque.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> &Bound<'py, PyBytes> {
        self.data.get_or_init(py, || PyBytes::new(py, self.bytes()).unbind()).bind(py)
    }

    fn __repr__(&self) -> String {
        let (index, term, kind) = (self.index(), self.term(), self.r#type());
        format!("<quorate.Entry {index}@{term} type={kind}, {} bytes>", self.bytes().len())
    }
}

/// A text alone is an iterable of texts too, of its letters; that is never meant.
fn tags_of(tags: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if tags.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("tags: an iterable of str is wanted, not one str"));
    }
    tags.try_iter()?.map(|tag| tag?.extract::<String>()).collect()
}
