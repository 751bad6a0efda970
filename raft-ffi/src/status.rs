//! The numbers that calls return. They are those of the engine's `ErrorKind`; a test keeps the two
//! lists equal.

// Chapter: Status

use quorate_engine::error::{ErrorKind, outcome_of};
use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

pub type quorate_status = i32;

pub const QUORATE_OK: quorate_status = 0;

// Section: -1 .. -999: DEFINITELY NOT DONE, now or later. Trying again is safe.

/// An argument is NULL, malformed, out of range or reserved; the message names it.
pub const QUORATE_ERR_INVALID: quorate_status = -1;
/// The entry exceeds max_entry_bytes, or a list exceeds its documented length.
pub const QUORATE_ERR_TOO_LARGE: quorate_status = -2;
/// A blocking function was called from a callback.
pub const QUORATE_ERR_IN_CALLBACK: quorate_status = -3;
/// Called in a child process after fork().
pub const QUORATE_ERR_FORKED: quorate_status = -4;
/// The service, queue or tracker was closed, or the handle freed, before the call.
pub const QUORATE_ERR_CLOSED: quorate_status = -5;
/// This build, store or state machine does not have it.
pub const QUORATE_ERR_UNSUPPORTED: quorate_status = -6;
/// No such setting or node.
pub const QUORATE_ERR_NOT_FOUND: quorate_status = -7;
/// No leader is known, or forwarding is off; see quorate_error.leader.
pub const QUORATE_ERR_NOT_LEADER: quorate_status = -10;
/// A bounded queue is full. Wait for completions, then try again.
pub const QUORATE_ERR_BUSY: quorate_status = -11;
/// The disk of the leader is full.
pub const QUORATE_ERR_DISK_FULL: quorate_status = -15;
/// The change was handed to a leader that lost its office; it is not in the log and never will be.
pub const QUORATE_ERR_LOST: quorate_status = -16;
/// This node is in no cluster: call quorate_service_initialize_cluster first.
pub const QUORATE_ERR_NO_CLUSTER: quorate_status = -20;
/// The node is a member already.
pub const QUORATE_ERR_ALREADY_MEMBER: quorate_status = -21;
/// The node belongs to another cluster.
pub const QUORATE_ERR_OTHER_CLUSTER: quorate_status = -22;
/// The node has data of its own that is not this cluster's.
pub const QUORATE_ERR_HAS_DATA: quorate_status = -23;
/// Another change of membership is under way.
pub const QUORATE_ERR_CHANGE_IN_PROGRESS: quorate_status = -24;
/// Nobody answers at the address, or another node than meant.
pub const QUORATE_ERR_UNREACHABLE: quorate_status = -25;
/// The listening address is taken.
pub const QUORATE_ERR_ADDRESS_IN_USE: quorate_status = -30;
/// A file or directory can't be made, read or written.
pub const QUORATE_ERR_IO: quorate_status = -31;
/// Another process or service has the data directory open.
pub const QUORATE_ERR_LOCKED: quorate_status = -32;
/// A stored record is damaged, or something is missing. Nothing was changed; the message names file
/// and offset.
pub const QUORATE_ERR_CORRUPT: quorate_status = -33;
/// The data directory is a copy, or a file in it belongs to another one.
pub const QUORATE_ERR_IDENTITY: quorate_status = -34;
/// The format on disk, or the peer's protocol, is not one that this version knows.
pub const QUORATE_ERR_VERSION: quorate_status = -35;
/// The state machine is ahead of the log, behind it, or of another history.
pub const QUORATE_ERR_STATE_MACHINE: quorate_status = -37;

// Section: -1000 .. -1999: UNKNOWN. The change may be in the log and may still be applied. Look before
// Section: you repeat it. A read that ends so has had no effect.

/// timeout_ms is over. A change of membership goes on.
pub const QUORATE_ERR_TIMEOUT: quorate_status = -1000;
/// The leader lost its office meanwhile. Only from membership calls and reads.
pub const QUORATE_ERR_LEADERSHIP_LOST: quorate_status = -1001;
/// The service was closed, or failed, while the request was under way.
pub const QUORATE_ERR_INTERRUPTED: quorate_status = -1003;
/// A snapshot jumped over the change.
pub const QUORATE_ERR_SKIPPED: quorate_status = -1004;
/// The node left its cluster while the request was under way.
pub const QUORATE_ERR_LEFT_CLUSTER: quorate_status = -1005;

// Section: -2000 .. -2999: FATAL. The service failed before this call, which did nothing. It neither
// Section: votes nor acknowledges any more (state Failed). Free it; the host lives on and may start
// Section: another.

/// A write or sync of the store failed.
pub const QUORATE_ERR_STORAGE_FAILED: quorate_status = -2000;
/// A callback of the state machine failed.
pub const QUORATE_ERR_STATE_MACHINE_FAILED: quorate_status = -2001;
/// A bug in the library; please report it.
pub const QUORATE_ERR_INTERNAL: quorate_status = -2002;
/// A newer run, or a copy, of this node is alive.
pub const QUORATE_ERR_IDENTITY_TAKEN: quorate_status = -2004;

// Section: The classes of a status.

pub const QUORATE_OUTCOME_DONE: i32 = 0;
pub const QUORATE_OUTCOME_NOT_DONE: i32 = 1;
pub const QUORATE_OUTCOME_UNKNOWN: i32 = 2;
pub const QUORATE_OUTCOME_FATAL: i32 = 3;

/// The class of a status, QUORATE_OUTCOME_*, right also for codes that did not exist when the
/// caller was compiled. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_outcome(status: quorate_status) -> i32 {
    outcome_of(status) as i32
}

/// A short name such as "not leader"; "unknown status" for a number without one. Static. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_string(status: quorate_status) -> *const c_char {
    if status >= 0 {
        return c"ok".as_ptr();
    }
    words().get(&status).map_or(c"unknown status".as_ptr(), |word| word.as_ptr())
}

/// The engine's words with their NULs.
fn words() -> &'static BTreeMap<i32, CString> {
    static WORDS: OnceLock<BTreeMap<i32, CString>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let word = |kind: &ErrorKind| (kind.code(), CString::new(kind.word()).unwrap_or_default());
        ErrorKind::ALL.iter().map(word).collect()
    })
}
