//! A store in Python as the engine's store. One attach for a call, with all records of it.

use crate::change::Change;
use crate::error::Failure;
use crate::hook::{self, Object, Raised};
use bytes::Bytes;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use quorate_engine::consensus::types::Index;
use quorate_engine::error::ErrorKind;
use quorate_engine::storage::custom::HostStore;
use quorate_engine::storage::{StorageError, StorageErrorKind};
use std::hash::{DefaultHasher, Hash, Hasher};

/// One record of the log, as a store keeps it.
#[pyclass(frozen, get_all, module = "quorate")]
pub struct Record {
    index: u64,
    data: Py<PyBytes>,
}

#[pymethods]
impl Record {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["index", "data"])
    }

    #[new]
    fn new(index: u64, data: Py<PyBytes>) -> Record {
        Record { index, data }
    }

    fn __eq__(&self, py: Python<'_>, other: &Record) -> bool {
        self.index == other.index && self.data.as_bytes(py) == other.data.as_bytes(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.index, self.data.as_bytes(py)).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Record(index={}, data={})", self.index, self.data.bind(py).repr()?))
    }
}

const METHODS: [&str; 9] = [
    "open",
    "append",
    "sync",
    "read",
    "truncate_suffix",
    "truncate_prefix",
    "metadata_get",
    "metadata_put",
    "close",
];

/// A host's store in Python.
pub struct Store {
    object: Object,
    failure: Failure,
    /// `open` returned, so `close` is to be called.
    is_open: bool,
}

impl Store {
    /// The store, still closed.
    pub fn new(object: &Bound<'_, PyAny>, failure: Failure) -> PyResult<Store> {
        let object = Object::new("storage", object, &METHODS)?;
        Ok(Store { object, failure, is_open: false })
    }

    fn call<R>(
        &self,
        method: &str,
        callback: impl FnOnce(Python<'_>, &Object) -> PyResult<R>,
    ) -> Result<R, StorageError> {
        hook::call(Some(&self.failure), |py| callback(py, &self.object))
            .map_err(|raised| error(&format!("{method}() of the host's store"), &raised))
    }
}

impl HostStore for Store {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        let mut is_open = false;
        let ends = self.call("open", |py, object| {
            let answer = object.call(py, "open", ())?;
            is_open = true;
            ends(&answer)
        });
        self.is_open = is_open;
        ends.map(|(first, last)| (first != 0 || last != 0).then_some((Index(first), Index(last))))
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        self.call("append", |py, object| {
            let record = |(index, value): (u64, &Bytes)| Record {
                index,
                data: PyBytes::new(py, value).unbind(),
            };
            let records: Vec<Record> = (first.0..).zip(values).map(record).collect();
            object.tell(py, "append", (PyList::new(py, records)?,))
        })
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.call("sync", |py, object| object.tell(py, "sync", ()))
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError> {
        self.call("read", |py, object| {
            let answer = object.call(py, "read", (first.0, last.0, max_bytes))?;
            take(&answer, last.0 - first.0 + 1, max_bytes)
        })
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.call("truncate_suffix", |py, object| object.tell(py, "truncate_suffix", (first.0,)))
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        self.call("truncate_prefix", |py, object| object.tell(py, "truncate_prefix", (last.0,)))
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.call("metadata_get", |py, object| {
            let answer = object.call(py, "metadata_get", (key,))?;
            let value =
                (!answer.is_none()).then(|| bytes(&answer, "metadata_get()")).transpose()?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.call("metadata_put", |py, object| {
            object.tell(py, "metadata_put", (key, PyBytes::new(py, value)))
        })
    }
}

impl Drop for Store {
    /// Closes what was opened. Nobody is there to be told of a failure but Python's own hook for that.
    fn drop(&mut self) {
        hook::let_go(std::mem::take(&mut self.failure));
        if self.is_open {
            hook::quietly(|py| self.object.tell(py, "close", ()));
        }
    }
}

/// A failure of a store, of the kind that its exception names.
pub fn error(who: &str, raised: &Raised) -> StorageError {
    let kind = match raised.kind {
        Some(ErrorKind::Locked) => StorageErrorKind::Locked,
        Some(ErrorKind::Corrupt) => StorageErrorKind::Corrupt,
        Some(ErrorKind::Identity) => StorageErrorKind::ForeignFile,
        Some(ErrorKind::Version) => StorageErrorKind::Version,
        Some(ErrorKind::Unsupported) => StorageErrorKind::Unsupported,
        _ => StorageErrorKind::Io,
    };
    StorageError::new(kind, format!("{who} failed: {}", raised.text))
}

fn ends(answer: &Bound<'_, PyAny>) -> PyResult<(u64, u64)> {
    answer.extract().map_err(|_| {
        let text = "open() must return (first, last), the lowest and the highest index of the log, \
                    or (0, 0) when it is empty";
        PyTypeError::new_err(text)
    })
}

/// What a read gave: at least one record, then no more than were asked for, and none once `max_bytes`
/// are there, so that a generator may ignore the limit.
fn take(answer: &Bound<'_, PyAny>, most: u64, max_bytes: usize) -> PyResult<Vec<Bytes>> {
    let (mut values, mut size) = (Vec::new(), 0);
    for value in answer.try_iter()? {
        if values.len() as u64 == most {
            let text = format!("read() gave more than the {most} records that were asked for");
            return Err(PyValueError::new_err(text));
        }
        let value = bytes(&value?, "read()")?;
        size += value.len();
        values.push(value);
        if size >= max_bytes {
            break;
        }
    }
    Ok(values)
}

fn bytes(value: &Bound<'_, PyAny>, method: &str) -> PyResult<Bytes> {
    let name = value.get_type().name()?;
    let copy = Change::from_bytes(value).map_err(|_| {
        PyTypeError::new_err(format!("{method} gave a value of type {name}, not bytes"))
    })?;
    Ok(Bytes::copy_from_slice(copy.bytes(value.py())))
}
