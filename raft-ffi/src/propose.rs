//! Writing and reading: proposals, read barriers, and many of them at a time.

// Chapter: Service: writing and reading

use crate::bytes::{array, count, timeout, utf8, value};
use crate::entry::{new_entry, quorate_entry, tags};
use crate::guard::{blocking, fail, guard};
use crate::queue::{
    QUORATE_OP_ADD_NODE, QUORATE_OP_INITIALIZE_CLUSTER, QUORATE_OP_PROPOSE,
    QUORATE_OP_PROPOSE_WAIT, QUORATE_OP_READ_BARRIER, QUORATE_OP_REMOVE_NODE, queue, quorate_queue,
};
use crate::result::{new_result, quorate_error, quorate_result};
use crate::service::{find, quorate_service};
use crate::status::{QUORATE_OK, quorate_status};
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::service::{Op, Request};

/// Proposes a change. Returns as soon as it is in the leader's log, at *out_index of *out_term; it
/// is not committed then. Followers forward to the leader; the order of one thread's proposals is
/// kept.
/// Errors: NOT_LEADER, BUSY, TOO_LARGE, INVALID (a type below 0), DISK_FULL, LOST, and all unknown
/// ones. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_propose(
    service: *mut quorate_service,
    entry: *const quorate_entry,
    timeout_ms: i64,
    out_index: *mut u64,
    out_term: *mut u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        let service = find(service)?;
        // SAFETY: by the contract of the header `entry` and what it points to are readable, and the
        // places for the answer are writable unless they are NULL.
        unsafe {
            let entry = value(entry, "entry")?;
            let tags = tags(entry)?;
            let id = service.service.propose(new_entry(entry, &tags)?, timeout(timeout_ms))?;
            write(out_index, id.index.0);
            write(out_term, id.term.0);
        }
        Ok(QUORATE_OK)
    })
}

/// Proposes a change. Returns when this node has applied it, with the state machine's reply; what
/// is then read here contains it. `out` is a result: quorate_free. Errors: as propose. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_propose_wait(
    service: *mut quorate_service,
    entry: *const quorate_entry,
    timeout_ms: i64,
    out: *mut *mut quorate_result,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        let service = find(service)?;
        // SAFETY: by the contract of the header `entry` and what it points to are readable, and the
        // place for the answer is writable unless it is NULL.
        unsafe {
            let entry = value(entry, "entry")?;
            let tags = tags(entry)?;
            let reply =
                service.service.propose_wait(new_entry(entry, &tags)?, timeout(timeout_ms))?;
            if !out.is_null() {
                out.write(new_result(&reply));
            }
        }
        Ok(QUORATE_OK)
    })
}

// Section: How fresh a read is.

pub const QUORATE_READ_LINEARIZABLE: i32 = 0;
/// From the leader's lease, without asking the others. UNSUPPORTED in this version. Since: 0.3
pub const QUORATE_READ_LEASE: i32 = 1;
/// Whatever this node has, for queries. UNSUPPORTED in this version. Since: 0.3
pub const QUORATE_READ_STALE: i32 = 2;

/// Returns when this node has applied everything that was acknowledged anywhere before the call:
/// read your own state after it and the read is linearizable. On leader and follower. `mode` is
/// QUORATE_READ_LINEARIZABLE. Errors: NOT_LEADER, BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER,
/// UNSUPPORTED (a mode of a later version). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_read_barrier(
    service: *mut quorate_service,
    mode: i32,
    timeout_ms: i64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        linearizable(mode)?;
        find(service)?.service.read_barrier(timeout(timeout_ms)).map(|()| QUORATE_OK)
    })
}

// Section: Many at a time, without waiting.

/// One piece of asynchronous work. Stands in arrays.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_request {
    /// The caller's own; comes back in the completion.
    pub token: u64,
    /// QUORATE_OP_*.
    pub op: i32,
    /// QUORATE_READ_*, for READ_BARRIER.
    pub mode: i32,
    pub timeout_ms: i64,
    /// PROPOSE, PROPOSE_WAIT: the change. Membership: see QUORATE_OP_*.
    pub entry: quorate_entry,
    pub reserved: [u64; 2],
}

// Verbatim: #define QUORATE_REQUEST_INIT {0, 0, 0, QUORATE_FOREVER, QUORATE_ENTRY_INIT, {0, 0}}

/// Starts `n` requests and returns how many, from the front, were taken; everything in them has
/// been copied by then. Each one taken gives exactly one completion in `queue`, also when the
/// service is closed; the others none. One function for all asynchronous work, so that a batch is
/// one call whatever is in it and new kinds need no new symbol. Non-blocking. Errors, when not even
/// the first was taken: BUSY, INVALID, TOO_LARGE, CLOSED, fatal. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_submit(
    service: *mut quorate_service,
    queue: *mut quorate_queue,
    requests: *const quorate_request,
    n: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    guard(err, || {
        let (service, queue) = (find(service)?, self::queue(queue)?);
        // SAFETY: by the contract of the header `n` readable requests, with what they point to.
        let (all, all_tags) = unsafe {
            let all = array(requests, n, "requests")?;
            (all, front(all.iter().map(|r| tags(&r.entry)))?)
        };
        let ready = all.iter().zip(&all_tags).map(|(r, tags)| {
            // SAFETY: likewise.
            unsafe { request(r, tags) }
        });
        Ok(count(service.service.submit(&queue, &front(ready)?)?))
    })
}

/// The front of a batch, up to the first that fails; an error when that is the very first.
fn front<T>(items: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut taken = Vec::with_capacity(items.size_hint().0);
    for item in items {
        match item {
            Ok(item) => taken.push(item),
            Err(error) if taken.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(taken)
}

/// # Safety
/// What the request points to is readable and unchanged for `'a`.
unsafe fn request<'a>(r: &quorate_request, tags: &'a [&'a [u8]]) -> Result<Request<'a>, Error> {
    if r.reserved != [0; 2] {
        return fail(ErrorKind::Invalid, "request.reserved is not 0: start with its _INIT macro");
    }
    // SAFETY: by the contract of this function.
    let op = unsafe { op(r, tags) }?;
    Ok(Request { token: r.token, timeout: timeout(r.timeout_ms), op })
}

/// # Safety
/// As `request`.
unsafe fn op<'a>(r: &quorate_request, tags: &'a [&'a [u8]]) -> Result<Op<'a>, Error> {
    // SAFETY: by the contract of this function.
    let entry = unsafe { new_entry(&r.entry, tags) }?;
    match r.op {
        QUORATE_OP_PROPOSE_WAIT => Ok(Op::ProposeWait(entry)),
        QUORATE_OP_PROPOSE => Ok(Op::Propose(entry)),
        QUORATE_OP_READ_BARRIER => linearizable(r.mode).map(|()| Op::ReadBarrier),
        QUORATE_OP_INITIALIZE_CLUSTER => utf8(entry.data, "address").map(Op::InitializeCluster),
        QUORATE_OP_ADD_NODE => utf8(entry.data, "address").map(Op::AddNode),
        QUORATE_OP_REMOVE_NODE => Ok(Op::RemoveNode(NodeId(r.entry.index))),
        other => fail(ErrorKind::Invalid, format!("op {other} is no kind of request")),
    }
}

fn linearizable(mode: i32) -> Result<(), Error> {
    match mode {
        QUORATE_READ_LINEARIZABLE => Ok(()),
        QUORATE_READ_LEASE | QUORATE_READ_STALE => {
            fail(ErrorKind::Unsupported, "this version has linearizable reads only")
        }
        other => fail(ErrorKind::Invalid, format!("mode {other} is none of QUORATE_READ_*")),
    }
}

/// # Safety
/// `out` is NULL or writable.
unsafe fn write(out: *mut u64, value: u64) {
    if !out.is_null() {
        // SAFETY: by the contract of this function.
        unsafe { out.write(value) };
    }
}

const _: () = assert!(size_of::<quorate_request>() == 104, "it stands in arrays");
