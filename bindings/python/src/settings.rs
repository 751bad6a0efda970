//! Settings: keyword arguments as the engine's text.

use crate::error::exception;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};
use quorate_engine::settings::{Setting, Settings};

static SETTING: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Every setting that this library knows.
#[pyfunction]
pub fn settings(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let class = SETTING.import(py, "quorate._types", "Setting")?;
    let row = |s: &Setting| class.call1((s.key, s.default_value, s.unit, s.meaning));
    PyTuple::new(py, Settings::all().iter().map(row).collect::<PyResult<Vec<_>>>()?)
}

/// The engine's settings from keyword arguments; what is None is left alone.
pub fn from_keywords(keywords: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::new();
    for (key, value) in keywords {
        if value.is_none() {
            continue;
        }
        let key: String = key.extract()?;
        let text = text_of(&key, &value)?;
        settings.set(&key, &text).map_err(|error| exception(value.py(), &error))?;
    }
    Ok(settings)
}

/// A number is seconds where the setting is a duration; a text is taken as it is.
fn text_of(key: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if value.is_instance_of::<PyString>() {
        return value.extract();
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(if value.extract()? { "on" } else { "off" }.to_owned());
    }
    let is_duration = Settings::all().iter().any(|s| s.key == key && s.unit == "duration");
    if is_duration && (value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>()) {
        return Ok(duration(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_string());
    }
    let name = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("{key}: a value of type {name} can't be a setting")))
}

/// Whole milliseconds, which the engine takes, though a number such as 1.023 is not quite 1023 of them.
/// What is no duration is left for the engine to refuse, as it was given.
fn duration(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    let whole = ms.round();
    if (ms - whole).abs() <= ms.abs() * 1e-6 { format!("{whole}ms") } else { format!("{seconds}s") }
}
