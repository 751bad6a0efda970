//! The border that nothing crosses: every exported function runs inside `guard`, `blocking` or
//! `quietly`, which catch panics, refuse calls in a forked child, and turn an error into a status
//! and an error object. What the host's callbacks run in is marked, so that a blocking call from
//! one is refused instead of waiting for itself.

use crate::result::{self, quorate_error};
use crate::status::{QUORATE_ERR_FORKED, quorate_status};
use quorate_engine::error::{Error, ErrorKind};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a function that returns a status.
pub(crate) fn guard(
    err: *mut *mut quorate_error,
    body: impl FnOnce() -> Result<quorate_status, Error>,
) -> quorate_status {
    if is_forked() {
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
    if is_forked() {
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

thread_local! {
    /// How many callbacks of the host this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Calls the host.
pub(crate) fn callback<T>(call: impl FnOnce() -> T) -> T {
    DEPTH.set(DEPTH.get() + 1);
    let value = call();
    DEPTH.set(DEPTH.get() - 1);
    value
}

pub(crate) fn refuse_in_callback() -> Result<(), Error> {
    if DEPTH.get() > 0 {
        let text = "this function waits and was called from a callback, which it would wait for: \
                    call it from another thread, or use quorate_service_submit";
        return fail(ErrorKind::InCallback, text);
    }
    Ok(())
}

static FORKED: AtomicBool = AtomicBool::new(false);

fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Called before anything is made that a forked child must not touch: locks, threads, descriptors.
pub(crate) fn watch_for_forks() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler is a plain function of this library, which is never unloaded (build.rs
    // links it with `nodelete`), and does nothing that a forked child may not do.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
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
        assert_eq!(callback(|| callback(wait)), QUORATE_ERR_IN_CALLBACK);
        assert_eq!(wait(), QUORATE_OK);
    }

    #[test]
    fn without_a_status_a_failure_gives_the_other_value() {
        assert_eq!(quietly(7, || Ok(8)), 8);
        assert_eq!(quietly(7, || fail(ErrorKind::Invalid, "")), 7);
        assert_eq!(quietly(7, || panic!("unlucky")), 7);
    }
}
