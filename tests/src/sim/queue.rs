//! What is to happen, in the order of time and of being put there.

use crate::network::Envelope;
use quorate_engine::consensus::types::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens at a time. Numbers of lives: what was meant for an earlier one comes to nothing.
#[derive(Debug)]
pub(super) enum Happening {
    /// A message arrives that was sent at that time.
    Arrives(Envelope, Time),
    /// A node looks at its inbox.
    Turn(u64, u64),
    /// The local time is reached at which a node wants to be stepped.
    Deadline(u64, u64),
    /// The disk has done a round.
    Written(u64, u64),
    /// Old entries were read.
    Read(u64, u64),
    /// The state machine is done.
    Applies(u64, u64),
    /// A change of lineage goes on.
    Switches(u64, u64),
    /// A node that is down starts.
    Starts(u64, u64),
    /// A client asks for the next thing, or gives up on one.
    Client(usize, u64),
    /// An action of the plan.
    Action(usize),
    /// The disk of a node has room again, or is as fast as before.
    Room(u64),
    /// The same for its speed.
    Fast(u64),
    /// One more change of membership of a storm.
    Storm(u64),
    /// A node is to be restarted once more.
    Restart(u64, u64),
}

struct Due {
    at: Time,
    order: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// All that is to happen.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl Queue {
    pub fn push(&mut self, at: Time, what: Happening) {
        self.order += 1;
        self.heap.push(Reverse(Due { at, order: self.order, what }));
    }

    /// What comes next, if it comes by then.
    pub fn next(&mut self, end: Time) -> Option<(Time, Happening)> {
        self.heap.peek().filter(|due| due.0.at <= end)?;
        self.heap.pop().map(|Reverse(due)| (due.at, due.what))
    }
}
