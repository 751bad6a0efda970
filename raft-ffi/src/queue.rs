//! Completion queues.

// Chapter: Completion queue

use crate::bytes::{count, quorate_bytes, timeout};
use crate::guard::{blocking, fail, quietly};
use crate::handle::Table;
use crate::status::{QUORATE_OK, quorate_status};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::queue::{Completion, OpKind, Queue};
use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Where asynchronous results arrive; one may serve several services and trackers.
pub struct quorate_queue {
    _opaque: [u8; 0],
}

// Section: What a completion completes. Those below QUORATE_OP_TRACKER but _MEMBERSHIP are kinds of
// Section: quorate_request too.

/// A proposal, applied on this node; data is the reply.
pub const QUORATE_OP_PROPOSE_WAIT: i32 = 0;
/// A proposal, in the leader's log.
pub const QUORATE_OP_PROPOSE: i32 = 1;
/// A read barrier.
pub const QUORATE_OP_READ_BARRIER: i32 = 2;
/// The completion of any change of membership.
pub const QUORATE_OP_MEMBERSHIP: i32 = 5;
/// quorate_service_initialize_cluster; entry.data is the address, without NUL.
pub const QUORATE_OP_INITIALIZE_CLUSTER: i32 = 6;
/// quorate_service_add_node; entry.data is the address, without NUL.
pub const QUORATE_OP_ADD_NODE: i32 = 7;
/// quorate_service_remove_node; entry.index is the node id.
pub const QUORATE_OP_REMOVE_NODE: i32 = 8;
/// A tracker; index is its value.
pub const QUORATE_OP_TRACKER: i32 = 50;

// Section: Events, for which nobody asked but by quorate_service_subscribe. They have these numbers
// Section: and no kind of request; `number` counts them.

/// node_id leads in `term`; 0: no leader is known.
pub const QUORATE_EVENT_LEADER: i32 = 100;
/// The configuration with the number `index` is in force, or committed: data says which.
pub const QUORATE_EVENT_MEMBERSHIP: i32 = 101;
/// The service failed; status and data say why.
pub const QUORATE_EVENT_FAILED: i32 = 104;
/// The service has the state `index`, a QUORATE_STATE_*.
pub const QUORATE_EVENT_STATE: i32 = 105;
/// The store has no room for new entries (index 1), or has room again (0).
pub const QUORATE_EVENT_DISK_FULL: i32 = 106;
/// Something is wrong with the connection to node_id (0: not known which): data says what.
pub const QUORATE_EVENT_PEER: i32 = 107;
/// This node gives no votes until it is repaired (index 1), or does so again (0).
pub const QUORATE_EVENT_ABSTAINING: i32 = 108;
/// The service has ended, closed or failed; the last event.
pub const QUORATE_EVENT_CLOSED: i32 = 109;

/// Stands in arrays.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_completion {
    /// As given with the request or subscription.
    pub token: u64,
    /// QUORATE_OP_* or QUORATE_EVENT_*; skip what you do not know.
    pub op: i32,
    pub status: quorate_status,
    pub index: u64,
    pub term: u64,
    /// With NOT_LEADER the leader as last heard of, in an event the node it is about, else 0.
    pub node_id: u64,
    /// The reply (NULL when there is none), or with a negative status the error message.
    pub data: quorate_bytes,
    /// In an event its number, from 1 on for each service; the first ones of a queue, which tell of
    /// the present, repeat that of the last event. A gap: events were lost, because more than 1,024
    /// were not polled. Else 0.
    pub number: u64,
}

/// NULL when no file descriptor is left. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_queue_new() -> *mut quorate_queue {
    quietly(ptr::null_mut(), || QUEUES.insert(Pollable::new()?))
}

/// What is still under way completes unheard. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_queue_free(queue: *mut quorate_queue) {
    quietly((), || QUEUES.remove(queue).map(drop));
}

/// A descriptor for epoll, kqueue or an event loop: readable as long as the queue is not empty, or
/// was woken. It belongs to the queue: do not read from it or close it. -1 for what is no queue.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_queue_fd(queue: *const quorate_queue) -> c_int {
    quietly(-1, || Ok(QUEUES.get(queue)?.queue.fd()))
}

/// Takes up to `cap` completions and returns their number; 0 after timeout_ms or a wake. Their data
/// stays valid until the next poll or the free of this queue, which is why one thread polls at a
/// time and no call to release is needed. Errors: INVALID, BUSY (another thread polls). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_queue_poll(
    queue: *mut quorate_queue,
    out: *mut quorate_completion,
    cap: usize,
    timeout_ms: i64,
) -> quorate_status {
    blocking(ptr::null_mut(), || {
        let queue = QUEUES.get(queue)?;
        if out.is_null() || !out.is_aligned() || cap == 0 {
            return fail(ErrorKind::Invalid, "out is NULL, or cap is 0");
        }
        let mut polled = queue.polled()?;
        polled.poll(&queue.queue, cap.min(MAX_POLL), timeout_ms);
        for (at, row) in polled.rows().enumerate() {
            // SAFETY: by the contract of the header `cap` of them are writable, and there are no
            // more.
            unsafe { out.add(at).write(row) };
        }
        Ok(count(polled.completions.len()))
    })
}

/// Makes the present poll, or the next one, return at once. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_queue_wake(queue: *mut quorate_queue) {
    quietly((), || {
        QUEUES.get(queue)?.queue.wake();
        Ok(())
    });
}

static QUEUES: Table<Pollable> = Table::new(0xa2, "queue");

/// More than this nobody needs at once, and a status can count it.
const MAX_POLL: usize = 1 << 20;

struct Pollable {
    queue: Queue,
    polled: Mutex<Polled>,
}

impl Pollable {
    fn new() -> Result<Pollable, Error> {
        Ok(Pollable { queue: Queue::new()?, polled: Mutex::default() })
    }

    /// What the last poll gave, for the one thread that may poll now.
    fn polled(&self) -> Result<MutexGuard<'_, Polled>, Error> {
        match self.polled.try_lock() {
            Ok(polled) => Ok(polled),
            Err(TryLockError::Poisoned(panicked)) => Ok(panicked.into_inner()),
            Err(TryLockError::WouldBlock) => {
                fail(ErrorKind::Busy, "another thread polls this queue")
            }
        }
    }
}

/// The queue behind a handle, for the calls that send completions to it.
pub(crate) fn queue(queue: *const quorate_queue) -> Result<Queue, Error> {
    Ok(QUEUES.get(queue)?.queue.clone())
}

/// What the last poll gave; the host may look at it until the next one.
#[derive(Default)]
struct Polled {
    completions: Vec<Completion>,
    /// The bytes of all completions, each with a NUL.
    texts: Vec<u8>,
}

impl Polled {
    fn poll(&mut self, queue: &Queue, cap: usize, timeout_ms: i64) {
        self.completions.clear();
        queue.poll(&mut self.completions, cap, timeout(timeout_ms));
        self.gather();
    }

    fn gather(&mut self) {
        self.texts.clear();
        for text in self.completions.iter().filter_map(text) {
            self.texts.extend_from_slice(text);
            self.texts.push(0);
        }
    }

    /// The completions for C, borrowed from this.
    fn rows(&self) -> impl Iterator<Item = quorate_completion> {
        let mut rest = self.texts.as_slice();
        self.completions.iter().map(move |completion| {
            let Some(len) = text(completion).map(<[u8]>::len) else {
                return row(completion, quorate_bytes::none());
            };
            let (text, behind) = rest.split_at(len + 1);
            rest = behind;
            row(completion, quorate_bytes::of(&text[..len]))
        })
    }
}

/// The reply, or why it failed.
fn text(completion: &Completion) -> Option<&[u8]> {
    match &completion.result {
        Ok(reply) => reply.as_deref(),
        Err(error) => Some(error.message.as_bytes()),
    }
}

fn row(completion: &Completion, data: quorate_bytes) -> quorate_completion {
    quorate_completion {
        token: completion.token,
        op: completion.op as i32,
        status: completion.result.as_ref().map_or_else(|error| error.kind.code(), |_| QUORATE_OK),
        index: completion.id.index.0,
        term: completion.id.term.0,
        node_id: completion.leader.0,
        data,
        number: completion.number,
    }
}

const _: () = assert!(size_of::<quorate_completion>() == 64, "it stands in arrays");
const _: () = assert!(QUORATE_OP_PROPOSE_WAIT == OpKind::ProposeWait as i32);
const _: () = assert!(QUORATE_OP_PROPOSE == OpKind::Propose as i32);
const _: () = assert!(QUORATE_OP_READ_BARRIER == OpKind::ReadBarrier as i32);
const _: () = assert!(QUORATE_OP_MEMBERSHIP == OpKind::Membership as i32);
const _: () = assert!(QUORATE_OP_TRACKER == OpKind::Tracker as i32);
const _: () = assert!(QUORATE_EVENT_LEADER == OpKind::Leader as i32);
const _: () = assert!(QUORATE_EVENT_MEMBERSHIP == OpKind::MembershipEvent as i32);
const _: () = assert!(QUORATE_EVENT_FAILED == OpKind::Failed as i32);
const _: () = assert!(QUORATE_EVENT_STATE == OpKind::State as i32);
const _: () = assert!(QUORATE_EVENT_DISK_FULL == OpKind::DiskFull as i32);
const _: () = assert!(QUORATE_EVENT_PEER == OpKind::Peer as i32);
const _: () = assert!(QUORATE_EVENT_ABSTAINING == OpKind::Abstaining as i32);
const _: () = assert!(QUORATE_EVENT_CLOSED == OpKind::Closed as i32);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_engine::consensus::types::{EntryId, Index, NodeId, Term};
    use std::ffi::CStr;

    fn completion(token: u64, result: Result<Option<Bytes>, Error>) -> Completion {
        let id = EntryId::new(Index(token), Term(1));
        Completion { token, op: OpKind::ProposeWait, id, result, leader: NodeId(9), number: 0 }
    }

    #[test]
    fn each_completion_has_its_own_bytes_and_a_nul_behind() {
        let busy = Error::new(ErrorKind::Busy, "busy now");
        let completions = vec![
            completion(1, Ok(Some(Bytes::from_static(b"one")))),
            completion(2, Ok(None)),
            completion(3, Err(busy)),
            completion(4, Ok(Some(Bytes::new()))),
        ];
        let mut polled = Polled { completions, texts: Vec::new() };
        polled.gather();
        let rows: Vec<_> = polled.rows().collect();
        assert!(rows[1].data.data.is_null());
        let seen = [0, 2, 3].map(|at| {
            // SAFETY: the rows borrow from `polled`, and a NUL follows the bytes.
            unsafe { CStr::from_ptr(rows[at].data.data.cast()) }
        });
        assert_eq!(seen, [c"one", c"busy now", c""]);
        assert_eq!(rows[2].status, ErrorKind::Busy.code());
        assert_eq!(
            rows.iter().map(|r| (r.token, r.index)).collect::<Vec<_>>(),
            [(1, 1), (2, 2), (3, 3), (4, 4)]
        );
    }
}
