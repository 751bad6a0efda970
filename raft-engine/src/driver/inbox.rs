//! What has happened since the loop last looked: requests of callers, frames from the network, answers
//! of the other threads. Taken as a whole, so that a batch costs one wake-up and one lock.

use super::caller::{Asked, ChangeAsked, Proposal, Reader};
use super::peers;
use crate::consensus::command::Entry;
use crate::consensus::event::FetchId;
use crate::consensus::message::Message;
use crate::consensus::types::Index;
use crate::error::Error;
use crate::slot::lock;
use crate::stored::Stored;
use crate::transport::Inbound;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Frames that may wait; beyond, the network loses some.
const MAX_INBOUND: usize = 16_384;
/// Bytes of entries in them; likewise.
const MAX_INBOUND_BYTES: usize = 64 << 20;

/// Everything of one turn.
#[derive(Default)]
pub(crate) struct Batch {
    /// Proposals, in the order of their callers.
    pub proposals: Vec<Proposal>,
    /// Reads.
    pub reads: Vec<Reader>,
    /// Changes of membership.
    pub changes: Vec<ChangeAsked>,
    /// From the network.
    pub inbound: Vec<Inbound>,
    inbound_bytes: usize,
    /// Messages whose write is durable.
    pub released: Vec<Message>,
    /// Writes up to this one are durable; 0 = no news.
    pub persisted: u64,
    /// Applied up to here; 0 = no news.
    pub applied: Index,
    /// Old entries that were asked for.
    pub fetched: Vec<(FetchId, Vec<Entry>)>,
    /// The store has no room, or has room again.
    pub disk_full: Option<bool>,
    /// The log was cut for another lineage.
    pub cut: Option<Box<Stored>>,
    /// The state machine's thread follows: applied up to here.
    pub rewound: Option<Index>,
    /// Something that the service does not survive.
    pub fault: Option<Error>,
    /// The host closes the service.
    pub close: bool,
}

/// Where other threads put what happened.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// There is something in `batch`.
    filled: bool,
    waker: Option<Waker>,
    /// What callers are told once the service takes no more requests.
    refusal: Option<Error>,
}

impl State {
    fn take(&mut self) -> Batch {
        self.filled = false;
        std::mem::take(&mut self.batch)
    }
}

impl Inbox {
    /// Adds news of an engine thread; wakes the loop if there was none before.
    pub(crate) fn add(&self, add: impl FnOnce(&mut Batch)) {
        add_to(lock(&self.state), add);
    }

    /// Adds news that can wait until there are others.
    pub(crate) fn add_quietly(&self, add: impl FnOnce(&mut Batch)) {
        add(&mut lock(&self.state).batch);
    }

    /// Adds callers' requests, all of them.
    ///
    /// # Errors
    /// The service is closed or failed; then they stay where they are.
    pub(crate) fn ask(&self, asked: &mut Asked) -> Result<(), Error> {
        let state = lock(&self.state);
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        add_to(state, |batch| {
            batch.proposals.append(&mut asked.proposals);
            batch.reads.append(&mut asked.reads);
            batch.changes.append(&mut asked.changes);
        });
        Ok(())
    }

    /// Adds what the network hands up, or loses it. Whether there was room.
    pub(crate) fn receive(&self, inbound: Inbound) -> bool {
        let bytes = match &inbound {
            Inbound::Frame(frame) => frame.messages.iter().map(|m| peers::size(&m.body)).sum(),
            _ => 0,
        };
        let mut fits = false;
        self.add(|batch| {
            fits = batch.inbound_bytes + bytes <= MAX_INBOUND_BYTES
                && batch.inbound.len() < MAX_INBOUND;
            if fits {
                batch.inbound_bytes += bytes;
                batch.inbound.push(inbound);
            }
        });
        fits
    }

    /// Adds the first fault, which is the one that counts.
    pub(crate) fn fail(&self, fault: Error) {
        self.add(|batch| {
            batch.fault.get_or_insert(fault);
        });
    }

    /// Takes no more requests, for that reason, and returns what is left.
    pub(crate) fn shut(&self, refusal: Error) -> Batch {
        let mut state = lock(&self.state);
        state.refusal.get_or_insert(refusal);
        state.take()
    }

    /// Why requests are refused, once they are.
    pub(crate) fn refusal(&self) -> Option<Error> {
        lock(&self.state).refusal.clone()
    }

    /// Whether there is something to take.
    pub(crate) fn is_filled(&self) -> bool {
        lock(&self.state).filled
    }

    /// What has happened, if anything.
    pub(crate) fn take(&self) -> Batch {
        lock(&self.state).take()
    }

    /// What has happened; without news, whoever polls is woken by the next.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Batch> {
        let mut state = lock(&self.state);
        if state.filled {
            state.waker = None;
            return Poll::Ready(state.take());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn add_to(mut state: MutexGuard<'_, State>, add: impl FnOnce(&mut Batch)) {
    add(&mut state.batch);
    let waker = if state.filled { None } else { state.waker.take() };
    state.filled = true;
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Caller, Done};
    use super::*;
    use crate::consensus::types::Time;
    use crate::error::ErrorKind;
    use crate::slot::Slot;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_batch_costs_one_wake_up() {
        let (inbox, wakes) = (Inbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let context = Context::from_waker(&waker);
        assert!(inbox.poll(&context).is_pending());
        inbox.add_quietly(|batch| batch.applied = Index(3));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it can wait");
        inbox.add(|batch| batch.persisted = 1);
        inbox.add(|batch| batch.persisted = 2);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(batch) = inbox.poll(&context) else { panic!("there is news") };
        assert_eq!((batch.persisted, batch.applied), (2, Index(3)));
        assert!(inbox.poll(&context).is_pending());
        inbox.add_quietly(|batch| batch.applied = Index(4));
        assert_eq!(inbox.take().applied, Index(4));
    }

    #[test]
    fn a_shut_inbox_takes_nothing_and_forgets_nobody() {
        let inbox = Inbox::default();
        let slot: Arc<Slot<Result<Done, Error>>> = Arc::new(Slot::new());
        let ask = || {
            let reader = Reader { deadline: Time::NEVER, caller: Caller::blocked(&slot) };
            Asked { reads: vec![reader], ..Asked::default() }
        };
        assert!(inbox.ask(&mut ask()).is_ok());
        drop(inbox.shut(Error::new(ErrorKind::Closed, "closed")));
        assert_eq!(slot.wait().err().map(|e| e.kind), Some(ErrorKind::Interrupted));
        let mut late = ask();
        assert_eq!(inbox.ask(&mut late).err().map(|e| e.kind), Some(ErrorKind::Closed));
        assert_eq!(late.size(), (1, 0), "it is still the caller's");
    }
}
