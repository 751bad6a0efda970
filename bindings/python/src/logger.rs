//! A service's log lines on their way to Python's `logging`; the rest of it is in
//! `quorate/_logging.py`.
//!
//! What must hold: a line is written by an engine's thread that attaches and then waits for whatever
//! locks the handlers of the host have; so nothing in this module is called with a lock of the engine
//! held, and whoever waits for an engine's thread has the GIL released.

use crate::hook;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quorate_engine::logger::{Level, Line, Logger};

/// Takes lines: a Python function of level, target, message, node, file and line.
pub struct Lines {
    /// Taken only by `drop`.
    write: Option<Py<PyAny>>,
}

impl Lines {
    /// The most talkative level that is wanted, and who takes the lines.
    pub fn new(level: i32, write: Py<PyAny>) -> PyResult<(Level, Lines)> {
        let level = Level::from_number(level)
            .ok_or_else(|| PyValueError::new_err("a level of log lines is a number from 1 to 4"))?;
        Ok((level, Lines { write: Some(write) }))
    }
}

impl Logger for Lines {
    fn write(&self, line: &Line<'_>) {
        let Some(write) = &self.write else { return };
        hook::quietly(|py| {
            let (level, node) = (line.level as i32, line.node.0);
            let arguments = (level, line.target, line.message, node, line.file, line.line);
            write.bind(py).call1(arguments).map(drop)
        });
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        hook::let_go(self.write.take());
    }
}
