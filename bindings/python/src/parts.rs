//! What a service is started with, from Python.

use crate::error::Failure;
use crate::logger::Lines;
use crate::storage::Store;
use crate::transport::Network;
use pyo3::prelude::*;
use quorate_engine::service;
use quorate_engine::storage::custom::Custom;
use std::sync::Arc;

/// Parts of the host's own, each None for what the library has.
#[derive(FromPyObject)]
pub struct Parts<'py> {
    storage: Option<Bound<'py, PyAny>>,
    transport: Option<Bound<'py, PyAny>>,
    /// A level and a function.
    logger: Option<(i32, Py<PyAny>)>,
}

impl Parts<'_> {
    /// As the engine takes them. What the store raises is kept in `failure`.
    pub fn into_engine(self, failure: &Failure) -> PyResult<service::Parts> {
        let mut parts = service::Parts::default();
        if let Some(storage) = &self.storage {
            let store = Store::new(storage, failure.clone())?;
            parts.store = Some(Box::new(Custom::new(store)));
        }
        if let Some(transport) = &self.transport {
            parts.carrier = Some(Box::new(Network::new(transport)?));
        }
        if let Some((level, write)) = self.logger {
            let (level, lines) = Lines::new(level, write)?;
            parts.logger = Some((level, Arc::new(lines)));
        }
        Ok(parts)
    }
}
