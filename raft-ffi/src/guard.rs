//! The border that nothing crosses: every exported function runs inside `guard`, `blocking` or
//! `quietly`, which catch panics, refuse calls in a forked child and blocking ones in a callback,
//! and turn an error into a status and an error object.

use crate::result::{self, quorate_error};
use crate::status::{QUORATE_ERR_FORKED, quorate_status};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::os;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a function that returns a status.
pub(crate) fn guard(
    err: *mut *mut quorate_error,
    body: impl FnOnce() -> Result<quorate_status, Error>,
) -> quorate_status {
    if os::forked() {
        return QUORATE_ERR_FORKED;
    }
    caught(body).unwrap_or_else(|error| report(err, &error))
}

/// Runs a function that waits, and so must not be called from a callback.
pub(crate) fn blocking(
    err: *mut *mut quorate_error,
    body: impl FnOnce() -> Result<quorate_status, Error>,
) -> quorate_status {
    guard(err, || refuse_in_callback().and_then(|()| body()))
}

/// Runs a function that returns no status: a failure gives `otherwise`.
pub(crate) fn quietly<T>(otherwise: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    if os::forked() {
        return otherwise;
    }
    caught(body).unwrap_or(otherwise)
}

/// An error as a result.
pub(crate) fn fail<T>(kind: ErrorKind, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(kind, message))
}

/// Nobody looks at the panicked state again but through the engine, which fails the service.
fn caught<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(bug(panic.as_ref())))
}

fn bug(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Error::new(ErrorKind::Internal, format!("a bug in quorate, please report it: {text}"))
}

fn report(err: *mut *mut quorate_error, error: &Error) -> quorate_status {
    if !err.is_null() {
        // SAFETY: not NULL, so the caller gave a place for the error.
        unsafe { err.write(result::new_error(error)) };
    }
    error.kind.code()
}

pub(crate) fn refuse_in_callback() -> Result<(), Error> {
    if os::in_callback() { Err(Error::in_callback()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{QUORATE_ERR_IN_CALLBACK, QUORATE_ERR_INTERNAL, QUORATE_OK};
    use std::ptr;

    #[test]
    fn a_panic_becomes_an_error_that_carries_its_message() {
        let mut err = ptr::null_mut();
        let status = guard(&mut err, || panic!("unlucky {}", 13));
        assert_eq!(status, QUORATE_ERR_INTERNAL);
        // SAFETY: guard just made it.
        let message = unsafe { std::ffi::CStr::from_ptr((*err).message) };
        assert!(message.to_str().expect("it is text").ends_with("unlucky 13"));
        // SAFETY: it is freed once.
        unsafe { result::quorate_free(err.cast()) };
    }

    #[test]
    fn what_waits_is_refused_inside_a_callback_only() {
        let wait = || blocking(ptr::null_mut(), || Ok(QUORATE_OK));
        let callback = os::Callback::enter();
        assert_eq!(wait(), QUORATE_ERR_IN_CALLBACK);
        drop(callback);
        assert_eq!(wait(), QUORATE_OK);
    }

    #[test]
    fn without_a_status_a_failure_gives_the_other_value() {
        assert_eq!(quietly(7, || Ok(8)), 8);
        assert_eq!(quietly(7, || fail(ErrorKind::Invalid, "")), 7);
        assert_eq!(quietly(7, || panic!("unlucky")), 7);
    }
}
