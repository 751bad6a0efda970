//! What has happened since the loop last looked: requests of callers, frames from the network, answers
//! of the other threads. Taken as a whole, so that a batch costs one wake-up and one lock.

use super::caller::{Asked, ChangeAsked, Proposal, Reader};
use super::recover::Stored;
use crate::consensus::command::Entry;
use crate::consensus::event::FetchId;
use crate::consensus::message::Message;
use crate::consensus::types::Index;
use crate::error::Error;
use crate::slot::lock;
use crate::transport::Inbound;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Frames that may wait; beyond, the network loses some.
const MAX_INBOUND: usize = 16_384;

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

impl Inbox {
    /// Adds news of an engine thread; wakes the loop if there was none before.
    pub(crate) fn add(&self, add: impl FnOnce(&mut Batch)) {
        add_to(lock(&self.state), add);
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

    /// Adds what the network hands up, or loses it.
    pub(crate) fn receive(&self, inbound: Inbound) {
        self.add(|batch| {
            if batch.inbound.len() < MAX_INBOUND {
                batch.inbound.push(inbound);
            }
        });
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
        state.filled = false;
        std::mem::take(&mut state.batch)
    }

    /// Why requests are refused, once they are.
    pub(crate) fn refusal(&self) -> Option<Error> {
        lock(&self.state).refusal.clone()
    }

    /// Whether there is something to take.
    pub(crate) fn is_filled(&self) -> bool {
        lock(&self.state).filled
    }

    /// What has happened; without news, whoever polls is woken by the next.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Batch> {
        let mut state = lock(&self.state);
        if state.filled {
            state.filled = false;
            state.waker = None;
            return Poll::Ready(std::mem::take(&mut state.batch));
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
