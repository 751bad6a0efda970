//! What all hooks have in common: a Python object whose methods the engine's threads call.
//!
//! What must hold: a call is marked as a callback, so that what waits is refused in there; what it
//! raises ends in the call, as a text and, where that ends the service, as the cause that is kept for
//! its callers; a hook lets its object go while attached.

use crate::error::Failure;
use crate::thread_state;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use quorate_engine::error::ErrorKind;
use quorate_engine::os::Callback;

/// How a callback failed.
pub struct Raised {
    /// The kind, where one of quorate's own exceptions was raised.
    pub kind: Option<ErrorKind>,
    /// The type of the exception and its text.
    pub text: String,
}

impl Raised {
    fn ended() -> Raised {
        Raised { kind: None, text: "the Python interpreter has ended".to_owned() }
    }
}

/// The kind of one of quorate's own exceptions.
pub fn kind(py: Python<'_>, error: &PyErr) -> Option<ErrorKind> {
    let status = error.value(py).getattr("status").and_then(|status| status.extract::<i32>());
    status.ok().and_then(ErrorKind::from_code)
}

/// Runs a callback, attached. What it raises is kept in `failure`, if that is given.
pub fn call<R>(
    failure: Option<&Failure>,
    callback: impl FnOnce(Python<'_>) -> PyResult<R>,
) -> Result<R, Raised> {
    thread_state::keep();
    let _callback = Callback::enter();
    let attached = Python::try_attach(|py| {
        callback(py).map_err(|error| {
            if let Some(failure) = failure {
                failure.set(py, &error);
            }
            Raised { kind: kind(py, &error), text: error.to_string() }
        })
    });
    attached.unwrap_or_else(|| Err(Raised::ended()))
}

/// Runs a callback whose failure nobody is there to be told of but Python's own hook for that.
pub fn quietly(callback: impl FnOnce(Python<'_>) -> PyResult<()>) {
    let called = call(None, |py| {
        if let Err(error) = callback(py) {
            error.write_unraisable(py, None);
        }
        Ok(())
    });
    drop(called); // an error: the interpreter has ended, and whoever wanted this with it
}

/// Lets go while attached. After the interpreter's end the objects are gone with it.
pub fn let_go<T>(held: T) {
    let _callback = Callback::enter();
    let mut held = Some(held);
    Python::try_attach(|_| drop(held.take()));
    std::mem::forget(held);
}

/// An object with the methods that a hook needs.
pub struct Object {
    what: &'static str,
    /// Taken only by `drop`.
    object: Option<Py<PyAny>>,
}

impl Object {
    /// Looks for the methods, so that what is missing is told at the start.
    pub fn new(
        what: &'static str,
        object: &Bound<'_, PyAny>,
        methods: &[&str],
    ) -> PyResult<Object> {
        for method in methods {
            let found = object.getattr_opt(*method)?;
            if !found.is_some_and(|found| found.is_callable()) {
                let name = object.get_type().name()?;
                let text = format!("{what} is of type {name}, which has no method {method}()");
                return Err(PyTypeError::new_err(text));
            }
        }
        Ok(Object { what, object: Some(object.clone().unbind()) })
    }

    /// Calls a method.
    pub fn call<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(object) = &self.object else { return Ok(py.None().into_bound(py)) };
        object.bind(py).call_method1(method, arguments)
    }

    /// Calls a method that gives nothing back. A coroutine would never run, so it is refused.
    pub fn tell<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<()> {
        let answer = self.call(py, method, arguments)?;
        if answer.is_none() || !answer.hasattr("__await__")? {
            return Ok(());
        }
        answer.call_method0("close")?;
        let text = format!(
            "{method}() of {} is a coroutine, which nobody awaits: make it a plain method",
            self.what
        );
        Err(PyTypeError::new_err(text))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let_go(self.object.take());
    }
}
