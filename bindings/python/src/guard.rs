//! Where a call may not be made: any one in the child of a fork, because the threads behind it stayed
//! with the parent; a waiting one in a callback, because the thread that would end the wait is the one
//! that waits.

use crate::error::exception;
use pyo3::prelude::*;
use quorate_engine::error::Error;
use quorate_engine::os;

/// `Forked` in the child of a process that used the library.
pub fn may_call(py: Python<'_>) -> PyResult<()> {
    if os::forked() { Err(exception(py, &Error::forked())) } else { Ok(()) }
}

/// `InCallback` on a thread that is inside a callback.
pub fn may_wait() -> Result<(), Error> {
    if os::in_callback() { Err(Error::in_callback()) } else { Ok(()) }
}
