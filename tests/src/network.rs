//! A network in which every message can be seen, held, lost, doubled and kept for later. Nothing moves
//! by itself. Places are numbered as the nodes of a cluster are; a twin has a place of its own.

use quorate_engine::consensus::message::Message;
use std::collections::{BTreeMap, BTreeSet};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The place it comes from.
    pub from: u64,
    /// The place it goes to.
    pub to: u64,
    /// What is sent.
    pub message: Message,
}

/// All that is on its way.
#[derive(Clone, Debug, Default)]
pub struct Network {
    queue: Vec<Envelope>,
    cut: BTreeSet<(u64, u64)>,
    held: BTreeSet<(u64, u64)>,
    kept: BTreeMap<String, Envelope>,
}

impl Network {
    /// Puts a message on its way, unless the way is cut. Whether it is on its way.
    pub fn send(&mut self, envelope: Envelope) -> bool {
        let open = !self.cut.contains(&(envelope.from, envelope.to));
        if open {
            self.queue.push(envelope);
        }
        open
    }

    /// Everything on its way, in the order it was sent.
    #[must_use]
    pub fn queue(&self) -> &[Envelope] {
        &self.queue
    }

    /// The oldest message that may be delivered: of that pair, or of any that is not held and not to
    /// one of the `deaf`.
    pub fn next(&mut self, pair: Option<(u64, u64)>, deaf: &[u64]) -> Option<Envelope> {
        let held = &self.held;
        let wanted = |e: &Envelope| match pair {
            Some(pair) => (e.from, e.to) == pair,
            None => !held.contains(&(e.from, e.to)) && !deaf.contains(&e.to),
        };
        let at = self.queue.iter().position(wanted)?;
        Some(self.queue.remove(at))
    }

    /// Takes out the message at that place of the queue.
    pub fn take(&mut self, at: usize) -> Envelope {
        self.queue.remove(at)
    }

    /// Sends the newest message of a pair once more. Whether there was one.
    pub fn duplicate(&mut self, pair: (u64, u64)) -> bool {
        let newest = self.queue.iter().rfind(|e| (e.from, e.to) == pair).cloned();
        newest.is_some_and(|envelope| {
            self.queue.push(envelope);
            true
        })
    }

    /// Reverses the order of what is under way between a pair.
    pub fn reverse(&mut self, pair: (u64, u64)) {
        let places: Vec<usize> = (0..self.queue.len()).filter(|&i| self.is_of(i, pair)).collect();
        for (a, b) in places.iter().zip(places.iter().rev()).take(places.len() / 2) {
            self.queue.swap(*a, *b);
        }
    }

    /// Loses what is under way between a pair, or everything. How much that was.
    pub fn lose(&mut self, pair: Option<(u64, u64)>) -> usize {
        let before = self.queue.len();
        self.queue.retain(|e| pair.is_some_and(|pair| (e.from, e.to) != pair));
        before - self.queue.len()
    }

    /// Remembers a copy of the newest message of a pair. Whether there was one.
    pub fn keep(&mut self, pair: (u64, u64), name: &str) -> bool {
        let newest = self.queue.iter().rfind(|e| (e.from, e.to) == pair).cloned();
        newest.is_some_and(|envelope| {
            self.kept.insert(name.to_owned(), envelope);
            true
        })
    }

    /// A copy of a message that was kept.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<Envelope> {
        self.kept.get(name).cloned()
    }

    /// Nothing of that pair is delivered unless it is asked for.
    pub fn hold(&mut self, pair: (u64, u64)) {
        self.held.insert(pair);
    }

    /// The pair is like any other again.
    pub fn release(&mut self, pair: (u64, u64)) {
        self.held.remove(&pair);
    }

    /// Loses everything that goes one way between two places, from now on.
    pub fn cut(&mut self, pair: (u64, u64)) {
        self.cut.insert(pair);
        self.lose(Some(pair));
    }

    /// Parts the places into groups that hear nothing of one another.
    pub fn partition(&mut self, groups: &[Vec<u64>]) {
        for (i, group) in groups.iter().enumerate() {
            let others = groups.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, g)| g);
            let others: Vec<u64> = others.copied().collect();
            for &from in group {
                others.iter().for_each(|&to| self.cut((from, to)));
            }
        }
    }

    /// Mends all cuts and releases all pairs.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.held.clear();
    }

    fn is_of(&self, at: usize, pair: (u64, u64)) -> bool {
        (self.queue[at].from, self.queue[at].to) == pair
    }
}
