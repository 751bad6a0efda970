//! Completion queues: where asynchronous results arrive, with a descriptor for event loops.
//!
//! What must hold: the descriptor is readable exactly while there is something to poll for, so both
//! level- and edge-triggered loops work; it is written once per burst, not once per completion.

use crate::consensus::types::{EntryId, NodeId};
use crate::error::{Error, ErrorKind};
use crate::os::{self, EventFd};
use crate::service::Timeout;
use crate::slot::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
    /// An event: another leader, or none, in a term.
    Leader = 100,
    /// An event: a configuration is in force or committed; the index is its number.
    MembershipEvent = 101,
    /// An event: the service failed.
    Failed = 104,
    /// An event: another state; the index is its number.
    State = 105,
    /// An event: the store has no room (index 1), or has room again (0).
    DiskFull = 106,
    /// An event: something is wrong with another node, which the data names.
    Peer = 107,
    /// An event: the node gives no votes until repaired (index 1), or does so again (0).
    Abstaining = 108,
    /// The last event.
    Closed = 109,
}

impl OpKind {
    /// Whether nobody asked for it.
    #[must_use]
    pub fn is_event(self) -> bool {
        self as i32 >= OpKind::Leader as i32
    }
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
    /// With `NotLeader` the leader as last heard of; in an event the node that it is about; else 0.
    pub leader: NodeId,
    /// In an event its number, counted from 1 in each service: a gap shows that events were lost. Else
    /// 0.
    pub number: u64,
}

/// Events of which nobody has heard yet; beyond, the oldest are lost.
const MAX_EVENTS: usize = 1024;

/// Where asynchronous results arrive; one may serve several services and trackers. Cloning shares
/// it. All calls from any thread; one thread polls at a time.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

/// A queue that may be gone.
pub(crate) struct WeakQueue(Weak<Shared>);

impl WeakQueue {
    /// The queue, if somebody has it.
    pub(crate) fn upgrade(&self) -> Option<Queue> {
        self.0.upgrade().map(|shared| Queue { shared })
    }
}

struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    event: EventFd,
}

#[derive(Default)]
struct State {
    finished: VecDeque<Completion>,
    /// How many of them are events.
    events: usize,
    /// The next poll returns at once.
    woken: bool,
    /// The descriptor is readable.
    raised: bool,
    /// A poll sleeps.
    polled: bool,
}

impl State {
    fn has_news(&self) -> bool {
        self.woken || !self.finished.is_empty()
    }
}

impl Queue {
    /// An empty queue. `Io` when no descriptor is left, `Forked` in a forked child.
    pub fn new() -> Result<Queue, Error> {
        if os::forked() {
            return Err(Error::forked());
        }
        os::watch_forks();
        let event = EventFd::new().map_err(|error| {
            let text = format!(
                "no descriptor for a completion queue: {error}; close some, or raise the limit of \
                 open files"
            );
            Error::new(ErrorKind::Io, text)
        })?;
        let shared = Shared { state: Mutex::default(), arrived: Condvar::new(), event };
        Ok(Queue { shared: Arc::new(shared) })
    }

    /// A descriptor for epoll or an event loop: readable as long as the queue is not empty, or was
    /// woken. It belongs to the queue: do not read from it or close it.
    pub fn fd(&self) -> RawFd {
        self.shared.event.fd()
    }

    /// Moves up to `cap` completions to the end of `out` and returns their number; 0 after the
    /// timeout or a wake. From a callback of the library it does not wait.
    pub fn poll(&self, out: &mut Vec<Completion>, cap: usize, timeout: Timeout) -> usize {
        if os::forked() {
            return 0;
        }
        let mut state = lock(&self.shared.state);
        if !state.has_news() {
            let timeout = if os::in_callback() { Some(Duration::ZERO) } else { timeout };
            state = self.sleep(state, timeout);
        }
        let count = cap.min(state.finished.len());
        out.extend(state.finished.drain(..count));
        if state.events > 0 {
            let polled = out[out.len() - count..].iter();
            state.events -= polled.filter(|completion| completion.op.is_event()).count();
        }
        state.woken = false;
        if state.raised && state.finished.is_empty() {
            state.raised = false;
            self.shared.event.lower();
        }
        count
    }

    /// Makes the present poll, or the next one, return at once.
    pub fn wake(&self) {
        let mut state = lock(&self.shared.state);
        state.woken = true;
        self.tell(state);
    }

    /// Adds what is finished, in order.
    pub(crate) fn push(&self, finished: impl IntoIterator<Item = Completion>) {
        let mut state = lock(&self.shared.state);
        state.finished.extend(finished);
        if state.has_news() {
            self.tell(state);
        }
    }

    /// Adds an event, in place of the oldest when there are too many.
    pub(crate) fn push_event(&self, event: Completion) {
        let mut state = lock(&self.shared.state);
        if state.events == MAX_EVENTS
            && let Some(oldest) = state.finished.iter().position(|c| c.op.is_event())
        {
            state.finished.remove(oldest);
            state.events -= 1;
        }
        state.events += 1;
        state.finished.push_back(event);
        self.tell(state);
    }

    /// The queue for somebody who does not keep it alive.
    pub(crate) fn downgrade(&self) -> WeakQueue {
        WeakQueue(Arc::downgrade(&self.shared))
    }

    /// Whether both are the same queue.
    pub(crate) fn is(&self, other: &Queue) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        timeout: Timeout,
    ) -> MutexGuard<'a, State> {
        let arrived = &self.shared.arrived;
        state.polled = true;
        let idle = |state: &mut State| !state.has_news();
        let mut state = match timeout {
            None => arrived.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(max) => {
                let waited = arrived.wait_timeout_while(state, max, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.polled = false;
        state
    }

    /// The descriptor is written under the lock, so that it can't be lowered for what came after.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        if !state.raised {
            state.raised = true;
            self.shared.event.raise();
        }
        let polled = state.polled;
        drop(state);
        if polled {
            self.shared.arrived.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(token: u64) -> Completion {
        let id = EntryId::default();
        Completion {
            token,
            op: OpKind::Propose,
            id,
            result: Ok(None),
            leader: NodeId(0),
            number: 0,
        }
    }

    fn readable(queue: &Queue) -> bool {
        queue.shared.event.is_raised()
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_there_is_news() {
        let queue = Queue::new().expect("a descriptor is left");
        assert!(!readable(&queue));
        queue.push((0..3).map(completion));
        queue.push([]);
        assert!(readable(&queue));
        let mut out = Vec::new();
        assert_eq!(queue.poll(&mut out, 2, None), 2);
        assert!(readable(&queue), "one is left");
        assert_eq!(queue.poll(&mut out, 2, None), 1);
        assert!(!readable(&queue));
        assert_eq!(out.iter().map(|c| c.token).collect::<Vec<_>>(), [0, 1, 2]);
        queue.push([]);
        assert!(!readable(&queue), "nothing arrived");
    }

    #[test]
    fn a_wake_ends_one_poll_and_no_more() {
        let queue = Queue::new().expect("a descriptor is left");
        queue.wake();
        queue.wake();
        assert!(readable(&queue));
        let mut out = Vec::new();
        assert_eq!(queue.poll(&mut out, 1, None), 0, "it would wait for ever otherwise");
        assert!(!readable(&queue));
        assert_eq!(queue.poll(&mut out, 1, Some(Duration::ZERO)), 0);
    }

    #[test]
    fn a_sleeping_poll_is_woken_by_what_arrives() {
        let queue = Queue::new().expect("a descriptor is left");
        let poller = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let mut out = Vec::new();
                while out.len() < 1000 {
                    queue.poll(&mut out, 64, None);
                }
                out.iter().map(|c| c.token).collect::<Vec<_>>()
            })
        };
        (0..1000).for_each(|token| queue.push([completion(token)]));
        assert_eq!(poller.join().expect("no panic"), (0..1000).collect::<Vec<_>>());
        assert!(!readable(&queue));
    }

    #[test]
    fn a_poll_in_a_callback_does_not_wait() {
        let queue = Queue::new().expect("a descriptor is left");
        let _callback = os::Callback::enter();
        assert_eq!(queue.poll(&mut Vec::new(), 1, None), 0);
        queue.push([completion(1)]);
        assert_eq!(queue.poll(&mut Vec::new(), 1, None), 1);
    }
}
