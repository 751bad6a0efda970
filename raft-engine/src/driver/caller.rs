//! Callers: what they asked for, how they are told, and how many may be under way.

use crate::consensus::command::Command;
use crate::consensus::message::Change;
use crate::consensus::types::{EntryId, NodeId, Time};
use crate::error::Error;
use crate::queue::{Completion, OpKind, Queue};
use crate::slot::Slot;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a finished request gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Where the change stands; 0 where that has no meaning.
    pub id: EntryId,
    /// The state machine's reply.
    pub reply: Option<Bytes>,
}

/// How a request ends.
pub(crate) type Outcome = Result<Done, Error>;

/// Who waits for an outcome. Whoever drops it without one, be it by a panic, has told it
/// `Interrupted`: no caller ever hangs.
pub(crate) struct Caller(Option<Place>);

enum Place {
    /// A thread.
    Blocked(Arc<Slot<Outcome>>),
    /// A completion queue.
    Queued { queue: Queue, token: u64, op: OpKind },
}

impl Caller {
    /// A thread that waits at the slot.
    pub(crate) fn blocked(slot: &Arc<Slot<Outcome>>) -> Caller {
        Caller(Some(Place::Blocked(Arc::clone(slot))))
    }

    /// A completion that is to be.
    pub(crate) fn queued(queue: &Queue, token: u64, op: OpKind) -> Caller {
        Caller(Some(Place::Queued { queue: queue.clone(), token, op }))
    }

    /// The request was not taken: its caller has been told so by other means.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let outcome = || Err(Error::interrupted("the service ended"));
        match self.0.take() {
            None => {}
            Some(Place::Blocked(slot)) => slot.fill(outcome()),
            Some(Place::Queued { queue, token, op }) => {
                queue.push([completion(token, op, outcome())]);
            }
        }
    }
}

/// A change that was proposed.
pub(crate) struct Proposal {
    /// The encoded change; its origin is its name.
    pub command: Command,
    /// Whether the caller waits until it is applied here, or only until it stands in the leader's log.
    pub applied: bool,
    /// When to give up.
    pub deadline: Time,
    /// Who waits.
    pub caller: Caller,
}

/// A read that was asked for.
pub(crate) struct Reader {
    /// When to give up.
    pub deadline: Time,
    /// Who waits.
    pub caller: Caller,
}

/// A change of membership that was asked for.
pub(crate) struct ChangeAsked {
    /// What to do.
    pub change: Change,
    /// When to give up.
    pub deadline: Time,
    /// Who waits.
    pub caller: Caller,
}

/// Requests on their way to the loop.
#[derive(Default)]
pub(crate) struct Asked {
    /// Proposals.
    pub proposals: Vec<Proposal>,
    /// Reads.
    pub reads: Vec<Reader>,
    /// Changes of membership.
    pub changes: Vec<ChangeAsked>,
}

impl Asked {
    /// How many there are, and how many bytes they count for.
    pub(crate) fn size(&self) -> (usize, usize) {
        let bytes = self.proposals.iter().map(|p| p.command.encoded().len()).sum();
        (self.proposals.len() + self.reads.len() + self.changes.len(), bytes)
    }

    /// They were not taken: their callers have been told so by other means.
    pub(crate) fn forget(self) {
        let proposals = self.proposals.into_iter().map(|asked| asked.caller);
        let reads = self.reads.into_iter().map(|asked| asked.caller);
        let changes = self.changes.into_iter().map(|asked| asked.caller);
        proposals.chain(reads).chain(changes).for_each(Caller::forget);
    }
}

/// Bounds what is under way in a service.
pub(crate) struct Admission {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    max_requests: usize,
    max_bytes: usize,
}

impl Admission {
    /// Nothing is under way.
    pub(crate) fn new(max_requests: usize, max_bytes: usize) -> Admission {
        let none = || AtomicUsize::new(0);
        Admission { requests: none(), bytes: none(), max_requests, max_bytes }
    }

    /// Lets so much in, or nothing of it.
    pub(crate) fn enter(&self, requests: usize, bytes: usize) -> bool {
        if add_below(&self.requests, requests, self.max_requests) {
            if add_below(&self.bytes, bytes, self.max_bytes) {
                return true;
            }
            self.requests.fetch_sub(requests, Ordering::Relaxed);
        }
        false
    }

    /// Lets in as many as fit, from the front, of requests with these bytes; how many.
    pub(crate) fn enter_front(&self, sizes: impl Iterator<Item = usize> + Clone) -> usize {
        loop {
            let (requests, bytes) = self.under_way();
            let (mut n, mut sum) = (0, 0);
            for size in sizes.clone().take(self.max_requests.saturating_sub(requests)) {
                if bytes + sum + size > self.max_bytes {
                    break;
                }
                (n, sum) = (n + 1, sum + size);
            }
            if n == 0 || self.enter(n, sum) {
                return n;
            }
        }
    }

    /// So much is finished.
    pub(crate) fn leave(&self, requests: usize, bytes: usize) {
        self.requests.fetch_sub(requests, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Requests and bytes under way.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

fn add_below(counter: &AtomicUsize, n: usize, max: usize) -> bool {
    let add = |now: usize| now.checked_add(n).filter(|sum| *sum <= max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}

/// Outcomes on their way to their callers. They are collected under the locks that know them, and
/// told after those are released.
#[derive(Default)]
pub(crate) struct Settled {
    outcomes: Vec<(Caller, Outcome)>,
    bytes: usize,
}

impl Settled {
    /// A request is finished that counted for so many bytes.
    pub(crate) fn add(&mut self, caller: Caller, bytes: usize, outcome: Outcome) {
        self.outcomes.push((caller, outcome));
        self.bytes += bytes;
    }

    /// Tells the callers: one push for each run of completions of one queue. There is room for new
    /// requests before anybody hears that an old one is finished.
    pub(crate) fn deliver(&mut self, admission: &Admission) {
        if self.outcomes.is_empty() {
            return;
        }
        admission.leave(self.outcomes.len(), std::mem::take(&mut self.bytes));
        let mut run: Option<(Queue, Vec<Completion>)> = None;
        for (mut caller, outcome) in self.outcomes.drain(..) {
            let (queue, completion) = match caller.0.take() {
                None => continue,
                Some(Place::Blocked(slot)) => {
                    slot.fill(outcome);
                    continue;
                }
                Some(Place::Queued { queue, token, op }) => (queue, completion(token, op, outcome)),
            };
            match &mut run {
                Some((same, completions)) if same.is(&queue) => completions.push(completion),
                _ => {
                    if let Some((queue, completions)) = run.replace((queue, vec![completion])) {
                        queue.push(completions);
                    }
                }
            }
        }
        if let Some((queue, completions)) = run {
            queue.push(completions);
        }
    }
}

fn completion(token: u64, op: OpKind, outcome: Outcome) -> Completion {
    let none = (EntryId::ZERO, NodeId::ZERO);
    let (id, leader, result) = match outcome {
        Ok(done) => (done.id, none.1, Ok(done.reply)),
        Err(error) => (none.0, error.leader.as_ref().map_or(none.1, |m| m.id), Err(error)),
    };
    Completion { token, op, id, result, leader, number: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn so_much_is_let_in_and_no_more() {
        let admission = Admission::new(3, 100);
        assert!(admission.enter(2, 90));
        assert!(!admission.enter(2, 1), "too many");
        assert!(!admission.enter(1, 11), "too large");
        assert_eq!(admission.under_way(), (2, 90), "what was refused left no trace");
        assert!(admission.enter(1, 10));
        admission.leave(3, 100);
        assert_eq!(admission.enter_front([60, 40, 1].into_iter()), 2);
        admission.leave(2, 100);
        assert_eq!(admission.enter_front([1; 9].into_iter()), 3);
        assert_eq!(admission.enter_front([1; 9].into_iter()), 0);
        admission.leave(3, 3);
        assert_eq!(admission.under_way(), (0, 0));
    }

    #[test]
    fn outcomes_reach_their_callers_in_order() {
        let admission = Admission::new(10, 10);
        let (one, two) = (Queue::new().expect("a descriptor"), Queue::new().expect("a descriptor"));
        let slot = Arc::new(Slot::new());
        assert!(admission.enter(5, 5));
        let mut settled = Settled::default();
        for (queue, token) in [(&one, 1), (&one, 2), (&two, 3), (&one, 4)] {
            let caller = Caller::queued(queue, token, OpKind::Propose);
            let late = Err(Error::new(ErrorKind::Timeout, "late"));
            settled.add(caller, 1, if token == 2 { late } else { Ok(Done::default()) });
        }
        settled.add(Caller::blocked(&slot), 1, Ok(Done::default()));
        settled.deliver(&admission);
        settled.deliver(&admission);
        assert_eq!(admission.under_way(), (0, 0));
        let tokens = |queue: &Queue| {
            let mut out = Vec::new();
            queue.poll(&mut out, 9, None);
            out.iter().map(|c| (c.token, c.result.is_ok())).collect::<Vec<_>>()
        };
        assert_eq!(tokens(&one), [(1, true), (2, false), (4, true)]);
        assert_eq!(tokens(&two), [(3, true)]);
        assert!(slot.wait().is_ok());
    }

    // known bug: H10
    #[test]
    fn a_dropped_caller_is_told_all_the_same() {
        let queue = Queue::new().expect("a descriptor");
        drop(Caller::queued(&queue, 7, OpKind::ReadBarrier));
        Caller::queued(&queue, 8, OpKind::ReadBarrier).forget();
        let mut out = Vec::new();
        assert_eq!(queue.poll(&mut out, 9, None), 1);
        let kind = out[0].result.as_ref().err().map(|error| error.kind);
        assert_eq!((out[0].token, kind), (7, Some(ErrorKind::Interrupted)));
    }
}
