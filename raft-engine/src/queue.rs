//! Completion queues: where asynchronous results arrive, with a descriptor for event loops.

use crate::consensus::types::{EntryId, NodeId};
use crate::error::{Error, ErrorKind};
use crate::service::Timeout;
use bytes::Bytes;
use std::os::fd::RawFd;

/// What a completion completes. The numbers are those of the C interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum OpKind {
    /// A proposal, applied on this node.
    ProposeWait = 0,
    /// A proposal, in the leader's log.
    Propose = 1,
    /// A read barrier.
    ReadBarrier = 2,
    /// A change of membership: initialize, add or remove.
    Membership = 5,
    /// A tracker; the index is its value.
    Tracker = 50,
}

/// One finished piece of work.
#[derive(Clone, Debug)]
pub struct Completion {
    /// As given with the request.
    pub token: u64,
    /// What it was.
    pub op: OpKind,
    /// Where the change stands, or the value of a tracker as index; 0 where that has no meaning.
    pub id: EntryId,
    /// The reply, if any; or why it failed.
    pub result: Result<Option<Bytes>, Error>,
    /// With `NotLeader` the leader as last heard of, else 0.
    pub leader: NodeId,
}

/// Where asynchronous results arrive; one may serve several services and trackers. Cloning shares
/// it. All calls from any thread; one thread polls at a time.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    /// An empty queue. `Io` when no descriptor is left.
    pub fn new() -> Result<Queue, Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// A descriptor for epoll or an event loop: readable as long as the queue is not empty, or was
    /// woken. It belongs to the queue: do not read from it or close it.
    pub fn fd(&self) -> RawFd {
        -1
    }

    /// Moves up to `cap` completions to the end of `out` and returns their number; 0 after the
    /// timeout or a wake.
    pub fn poll(&self, _out: &mut Vec<Completion>, _cap: usize, _timeout: Timeout) -> usize {
        0
    }

    /// Makes the present poll, or the next one, return at once.
    pub fn wake(&self) {}
}
