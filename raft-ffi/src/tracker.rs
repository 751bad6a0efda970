//! Change trackers.

// Chapter: Change trackers

use crate::bytes::{text, timeout};
use crate::guard::{guard, quietly, refuse_in_callback};
use crate::handle::Table;
use crate::queue::{queue, quorate_queue};
use crate::result::quorate_error;
use crate::service::{find, quorate_service};
use crate::status::{QUORATE_OK, quorate_status};
use quorate_engine::tracker::ChangeTracker;
use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

/// A counter to wait on. Every handle is freed by itself; all handles of one name are one tracker.
pub struct quorate_tracker {
    _opaque: [u8; 0],
}

/// CreateTracker: a tracker at 0. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_new() -> *mut quorate_tracker {
    quietly(ptr::null_mut(), || TRACKERS.insert(ChangeTracker::new()))
}

/// GetNamedTracker: the one of that name in this process, made on demand. NULL name: NULL.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_tracker_named(name: *const c_char) -> *mut quorate_tracker {
    quietly(ptr::null_mut(), || {
        // SAFETY: by the contract of the header it ends with NUL.
        let name = unsafe { text(name, "name") }?;
        TRACKERS.insert(ChangeTracker::named(name))
    })
}

/// GetAppliedTracker: follows last_applied, from its value at start on. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_service_applied_tracker(
    service: *mut quorate_service,
) -> *mut quorate_tracker {
    quietly(ptr::null_mut(), || TRACKERS.insert(find(service)?.service.applied_tracker()))
}

/// Frees this handle; the tracker lives on while others hold it. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_free(tracker: *mut quorate_tracker) {
    quietly((), || TRACKERS.remove(tracker).map(drop));
}

/// Sets the value, also to a lower one, and wakes whoever waits for it or less. After close it does
/// nothing. Non-blocking. Errors: INVALID (an applied tracker, which only its service moves).
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_update(
    tracker: *mut quorate_tracker,
    change: u64,
) -> quorate_status {
    guard(ptr::null_mut(), || TRACKERS.get(tracker)?.update(change).map(|()| QUORATE_OK))
}

/// Waits until the value is at least `change` and returns it; after close, and at once from a
/// callback, the value as it is. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_wait(tracker: *mut quorate_tracker, change: u64) -> u64 {
    quietly(0, || {
        let tracker = TRACKERS.get(tracker)?;
        Ok(refuse_in_callback().map_or_else(|_| tracker.value(), |()| tracker.wait(change)))
    })
}

/// Likewise, at most timeout_ms; then the value as it is, below `change`. As on the page, 0 and
/// less only look. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_timed_wait(
    tracker: *mut quorate_tracker,
    change: u64,
    timeout_ms: i64,
) -> u64 {
    quietly(0, || {
        let tracker = TRACKERS.get(tracker)?;
        let limit = refuse_in_callback().map_or(0, |()| timeout_ms.max(0));
        Ok(tracker.timed_wait(change, Duration::from_millis(limit.unsigned_abs())))
    })
}

/// Waits without a thread: one completion (OP_TRACKER) with status OK, TIMEOUT or CLOSED. For event
/// loops, and for Go, where a blocked call costs a thread. Non-blocking. Errors: INVALID, BUSY (the
/// thread that keeps the time can't be started). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_tracker_notify(
    tracker: *mut quorate_tracker,
    change: u64,
    timeout_ms: i64,
    queue: *mut quorate_queue,
    token: u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    guard(err, || {
        let (tracker, queue) = (TRACKERS.get(tracker)?, self::queue(queue)?);
        tracker.notify(change, timeout(timeout_ms), &queue, token)?;
        Ok(QUORATE_OK)
    })
}

/// Releases all waiters with the value as it is. An applied tracker is closed by its service; here
/// nothing happens to it. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_tracker_close(tracker: *mut quorate_tracker) {
    quietly((), || {
        TRACKERS.get(tracker)?.close();
        Ok(())
    });
}

static TRACKERS: Table<ChangeTracker> = Table::new(0xa4, "tracker");
