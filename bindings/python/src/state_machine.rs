//! The state machine: a Python object with `commit`, and `open` if it keeps its state on disk. One
//! attach for a whole batch. An exception is kept for the service to raise from.

use crate::entry::Entry;
use crate::error::Failure;
use crate::hook;
use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence};
use quorate_engine::consensus::types::{ClusterId, Index, Term};
use quorate_engine::state_machine::{Applied, Committed, StateMachine};

/// A host's state in Python.
pub struct Machine {
    /// Taken only by `drop`.
    commit: Option<Py<PyAny>>,
    open: Option<Py<PyAny>>,
    failure: Failure,
}

impl Machine {
    /// Finds the methods by name, so that what is missing is told at the start.
    pub fn new(object: &Bound<'_, PyAny>, failure: Failure) -> PyResult<Machine> {
        let method = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            let found = object.getattr_opt(name)?.filter(|found| found.is_callable());
            Ok(found.map(Bound::unbind))
        };
        let (commit, open) = (method("commit")?, method("open")?);
        if commit.is_none() {
            let text = "the state machine has no method commit(entries)";
            return Err(PyTypeError::new_err(text));
        }
        Ok(Machine { commit, open, failure })
    }

    /// Runs a callback, attached. What it raises becomes the failure of the service.
    fn call<R>(&self, callback: impl FnOnce(Python<'_>) -> PyResult<R>) -> Result<R, String> {
        hook::call(Some(&self.failure), callback).map_err(|raised| raised.text)
    }
}

impl StateMachine for Machine {
    fn open(&mut self) -> Result<Applied, String> {
        self.call(|py| match &self.open {
            Some(open) => applied(&open.bind(py).call0()?),
            None => Ok(Applied::default()),
        })
    }

    fn commit(
        &mut self,
        entries: &[Committed],
        replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String> {
        self.call(|py| {
            let Some(commit) = &self.commit else {
                return Err(PyRuntimeError::new_err("the state machine was dropped"));
            };
            let batch = PyList::new(py, entries.iter().map(Entry::committed))?;
            take_replies(&commit.bind(py).call1((batch,))?, entries.len(), replies)
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        hook::let_go((self.commit.take(), self.open.take(), std::mem::take(&mut self.failure)));
    }
}

fn applied(answer: &Bound<'_, PyAny>) -> PyResult<Applied> {
    let number = |name: &str| -> PyResult<u64> { answer.getattr(name)?.extract() };
    let wrong_type = |_| PyTypeError::new_err("open() must return quorate.Applied");
    Ok(Applied {
        index: Index(number("index").map_err(wrong_type)?),
        term: Term(number("term").map_err(wrong_type)?),
        cluster: ClusterId(number("cluster_id").map_err(wrong_type)?),
    })
}

/// None for no replies, or a sequence with bytes or None for each entry.
fn take_replies(
    answer: &Bound<'_, PyAny>,
    count: usize,
    replies: &mut Vec<Option<Bytes>>,
) -> PyResult<()> {
    if answer.is_none() {
        return Ok(());
    }
    let wrong =
        |what: String| format!("commit returned {what}: return None, or one reply per entry");
    let name = answer.get_type().name()?;
    if answer.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err(wrong("bytes".to_owned())));
    }
    let answer = answer
        .cast::<PySequence>()
        .map_err(|_| PyTypeError::new_err(wrong(format!("a value of type {name}"))))?;
    if answer.len()? != count {
        let what = format!("{} replies for {count} entries", answer.len()?);
        return Err(PyValueError::new_err(wrong(what)));
    }
    for reply in answer.try_iter()? {
        replies.push(reply_bytes(&reply?)?);
    }
    Ok(())
}

fn reply_bytes(reply: &Bound<'_, PyAny>) -> PyResult<Option<Bytes>> {
    if reply.is_none() {
        return Ok(None);
    }
    let bytes = crate::change::Change::from_bytes(reply)
        .map_err(|_| PyTypeError::new_err("a reply of commit is bytes or None"))?;
    Ok(Some(Bytes::copy_from_slice(bytes.bytes(reply.py()))))
}
