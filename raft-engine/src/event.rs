//! Events: what happens to a service, told to whoever subscribed, as completions in a queue.
//!
//! What must hold: a subscriber hears of the present state first and of every change after it, in
//! order and numbered; one that does not poll loses the oldest, and sees the gap in the numbers.

use crate::consensus::types::{EntryId, Index, NodeId, Term};
use crate::error::Error;
use crate::queue::{Completion, OpKind, Queue, WeakQueue};
use crate::slot::lock;
use crate::status::State;
use bytes::Bytes;
use std::sync::Mutex;

/// Something that happened to a service.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Another leader is known, or none (0), in a term.
    Leader(NodeId, Term),
    /// The state of the service, as its number.
    State(State, Term),
    /// A configuration with its number: in force, or committed.
    Membership(u64, Term, &'static str),
    /// The store has no room, or has room again.
    DiskFull(bool),
    /// The node gives no votes until it is repaired, or does so again.
    Abstaining(bool),
    /// Something is wrong with the node at an address: what.
    Peer(NodeId, String),
    /// The service failed.
    Failed(Error),
    /// The service is closed: the last event.
    Closed,
}

impl Event {
    fn completion(&self, token: u64, number: u64) -> Completion {
        let text = |text: &str| Ok(Some(Bytes::copy_from_slice(text.as_bytes())));
        let (op, value, term, node, result) = match self {
            Event::Leader(leader, term) => (OpKind::Leader, 0, *term, *leader, Ok(None)),
            Event::State(state, term) => {
                (OpKind::State, *state as u64, *term, NodeId::ZERO, Ok(None))
            }
            Event::Membership(number, term, what) => {
                (OpKind::MembershipEvent, *number, *term, NodeId::ZERO, text(what))
            }
            Event::DiskFull(full) => {
                (OpKind::DiskFull, u64::from(*full), Term::ZERO, NodeId::ZERO, Ok(None))
            }
            Event::Abstaining(abstains) => {
                (OpKind::Abstaining, u64::from(*abstains), Term::ZERO, NodeId::ZERO, Ok(None))
            }
            Event::Peer(node, what) => (OpKind::Peer, 0, Term::ZERO, *node, text(what)),
            Event::Failed(error) => {
                (OpKind::Failed, 0, Term::ZERO, NodeId::ZERO, Err(error.clone()))
            }
            Event::Closed => (OpKind::Closed, 0, Term::ZERO, NodeId::ZERO, Ok(None)),
        };
        let id = EntryId::new(Index(value), term);
        Completion { token, op, id, result, leader: node, number }
    }
}

/// The events of one service and who hears them.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<Subscribers>,
}

#[derive(Default)]
struct Subscribers {
    subscribers: Vec<(WeakQueue, u64)>,
    /// Events so far.
    told: u64,
    /// The last event was told.
    over: bool,
}

impl Feed {
    /// Tells whoever listens.
    pub(crate) fn tell(&self, event: &Event) {
        let mut state = lock(&self.state);
        if state.over {
            return;
        }
        state.told += 1;
        state.over = matches!(event, Event::Closed);
        let number = state.told;
        state.subscribers.retain(|(queue, token)| {
            let queue = queue.upgrade();
            if let Some(queue) = &queue {
                queue.push_event(event.completion(*token, number));
            }
            queue.is_some()
        });
    }

    /// Tells `queue` of the present, which `present` looks at, and of every event after that. Whether
    /// there will be any.
    pub(crate) fn subscribe(
        &self,
        queue: &Queue,
        token: u64,
        present: impl FnOnce() -> Vec<Event>,
    ) -> bool {
        let mut state = lock(&self.state);
        if state.over {
            return false;
        }
        let number = state.told;
        present().iter().for_each(|event| queue.push_event(event.completion(token, number)));
        state.subscribers.push((queue.downgrade(), token));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn polled(queue: &Queue) -> Vec<Completion> {
        let mut out = Vec::new();
        queue.poll(&mut out, 10_000, Some(Duration::ZERO));
        out
    }

    #[test]
    fn a_subscriber_hears_of_the_present_and_then_of_every_change() {
        let (feed, queue) = (Feed::default(), Queue::new().expect("a descriptor is left"));
        feed.tell(&Event::DiskFull(true));
        let present = || vec![Event::Leader(NodeId(3), Term(2))];
        assert!(feed.subscribe(&queue, 9, present));
        feed.tell(&Event::Membership(4, Term(2), "committed"));
        feed.tell(&Event::Closed);
        feed.tell(&Event::Closed);
        let heard = polled(&queue);
        let ops: Vec<_> = heard.iter().map(|c| (c.op, c.number, c.token)).collect();
        let wanted =
            [(OpKind::Leader, 1, 9), (OpKind::MembershipEvent, 2, 9), (OpKind::Closed, 3, 9)];
        assert_eq!(ops, wanted);
        assert_eq!((heard[0].leader, heard[0].id.term), (NodeId(3), Term(2)));
        assert_eq!(heard[1].id.index, Index(4));
        assert!(!feed.subscribe(&queue, 9, Vec::new), "it is over");
    }

    #[test]
    fn whoever_does_not_poll_loses_the_oldest_and_sees_the_gap() {
        let (feed, queue) = (Feed::default(), Queue::new().expect("a descriptor is left"));
        feed.subscribe(&queue, 1, Vec::new);
        (0..5_000).for_each(|term| feed.tell(&Event::Leader(NodeId(1), Term(term))));
        let heard = polled(&queue);
        assert_eq!(heard.len(), 1024);
        assert_eq!(heard.last().map(|c| c.number), Some(5_000));
        assert_eq!(heard.first().map(|c| c.number), Some(5_000 - 1023));
        feed.tell(&Event::DiskFull(true));
        assert_eq!(polled(&queue).len(), 1, "there is room again");
    }

    #[test]
    fn a_queue_that_is_gone_is_forgotten() {
        let feed = Feed::default();
        let queue = Queue::new().expect("a descriptor is left");
        feed.subscribe(&queue, 1, Vec::new);
        drop(queue);
        feed.tell(&Event::DiskFull(true));
        assert!(lock(&feed.state).subscribers.is_empty());
    }
}
