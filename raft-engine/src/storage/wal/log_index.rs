//! Where entries are: a slot for each 64 KiB of log rather than one for each entry, so that 100 GB
//! take 25 MB of memory.
//!
//! Invariant: the entries from a slot's first index up to the next slot's are in that order in the
//! frames from the slot's frame on, in one segment; a frame that follows a truncation has a slot of
//! its own, so nobody who walks from a slot meets entries that were cut.

use crate::consensus::types::{Index, Term};
use crate::storage::bounds::Bounds;
use std::collections::VecDeque;

/// How much log one slot stands for.
const STRIDE: u32 = 64 << 10;

/// The place of a frame and the first entry in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slot {
    pub first: Index,
    /// A segment number; 32 bits of 16 MiB are 64 EiB.
    pub segment: u32,
    pub offset: u32,
}

/// What is in the log's frames.
#[derive(Debug, Default)]
pub(super) struct LogIndex {
    bounds: Bounds,
    terms: VecDeque<(Index, Term)>,
    slots: VecDeque<Slot>,
    slot_due: bool,
}

impl LogIndex {
    /// An empty log that begins at `base`.
    pub fn at(base: Index, base_term: Term) -> LogIndex {
        LogIndex { bounds: Bounds::at(base, base_term), ..LogIndex::default() }
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Where each term begins.
    pub fn terms(&self) -> Vec<(Index, Term)> {
        self.terms.iter().copied().collect()
    }

    /// Adds a run of entries that stands in the frame at `segment` and `offset`. What lies below the
    /// base is left out. `false` when the run does not follow the last entry.
    pub fn extend(&mut self, run: (Index, Term, u32), segment: u32, offset: u32) -> bool {
        let (first, term, count) = run;
        let last = Index(first.0 + u64::from(count) - 1);
        if !self.bounds.is_empty() && first != self.bounds.last.next() {
            return false;
        }
        let first = first.max(self.bounds.base);
        if first > last {
            return true;
        }
        self.place(Slot { first, segment, offset });
        self.bounds.extend(first, last);
        if self.terms.back().is_none_or(|(_, latest)| *latest != term) {
            self.terms.push_back((first, term));
        }
        true
    }

    fn place(&mut self, slot: Slot) {
        let near = self
            .slots
            .back()
            .is_some_and(|last| last.segment == slot.segment && slot.offset - last.offset < STRIDE);
        if !near || self.slot_due {
            self.slots.push_back(slot);
            self.slot_due = false;
        }
    }

    /// Removes everything after `keep_to`.
    pub fn cut(&mut self, keep_to: Index) {
        if self.bounds.cut(keep_to) {
            self.drop_back();
            self.slot_due = !mutant!("b12_reader_meets_what_was_cut");
        }
    }

    fn drop_back(&mut self) {
        let last = self.bounds.last;
        while self.terms.back().is_some_and(|(first, _)| *first > last) {
            self.terms.pop_back();
        }
        while self.slots.back().is_some_and(|slot| slot.first > last) {
            self.slots.pop_back();
        }
    }

    /// Removes everything up to `last`, which is of `last_term`.
    pub fn compact(&mut self, last: Index, last_term: Term) {
        if !self.bounds.compact(last, last_term) {
            return;
        }
        if self.bounds.is_empty() {
            self.terms.clear();
            self.slots.clear();
            return;
        }
        let first = self.bounds.first;
        while self.terms.get(1).is_some_and(|(next, _)| *next <= first) {
            self.terms.pop_front();
        }
        if let Some(front) = self.terms.front_mut() {
            front.0 = front.0.max(first);
        }
        while self.slots.get(1).is_some_and(|next| next.first <= first) {
            self.slots.pop_front();
        }
    }

    /// The slot from which `index` is reached, and the last entry that is reached from it. The entry
    /// is in the log.
    pub fn locate(&self, index: Index) -> Option<(Slot, Index)> {
        let after = self.slots.partition_point(|slot| slot.first <= index);
        let slot = self.slots.get(after.checked_sub(1)?)?;
        let end = self.slots.get(after).map_or(self.bounds.last, |next| next.first.prev());
        Some((*slot, end))
    }

    /// The oldest segment that holds an entry of the log.
    pub fn oldest_segment(&self) -> Option<u32> {
        self.slots.front().map(|slot| slot.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, term: u64, count: u32) -> (Index, Term, u32) {
        (Index(first), Term(term), count)
    }

    fn found(index: &LogIndex, at: u64) -> (u32, u32, u64) {
        let (slot, end) = index.locate(Index(at)).expect("a slot");
        (slot.segment, slot.offset, end.0)
    }

    #[test]
    fn one_slot_serves_64_kib() {
        let mut index = LogIndex::default();
        for n in 0..100u32 {
            assert!(index.extend(run(1 + u64::from(n), 1, 1), 1, 4096 + n * 1024));
        }
        assert_eq!(index.slots.len(), 2);
        assert_eq!(found(&index, 1), (1, 4096, 64));
        assert_eq!(found(&index, 64), (1, 4096, 64));
        assert_eq!(found(&index, 65), (1, 4096 + 65536, 100));
        assert!(index.extend(run(101, 1, 1), 2, 4096), "each segment has its own");
        assert_eq!(found(&index, 101), (2, 4096, 101));
    }

    #[test]
    fn what_follows_a_cut_is_found_apart_from_what_was_cut() {
        let mut index = LogIndex::default();
        assert!(index.extend(run(1, 1, 10), 1, 4096));
        assert!(!index.extend(run(12, 1, 1), 1, 5000), "a gap");
        index.cut(Index(5));
        assert!(index.extend(run(6, 2, 10), 1, 5000));
        assert_eq!(found(&index, 5), (1, 4096, 5));
        assert_eq!(found(&index, 6), (1, 5000, 15));
        assert_eq!(index.terms(), [(Index(1), Term(1)), (Index(6), Term(2))]);
        index.cut(Index(0));
        assert_eq!((index.terms().len(), index.slots.len()), (0, 0));
    }

    #[test]
    fn compaction_drops_slots_and_terms_in_front() {
        let mut index = LogIndex::default();
        assert!(index.extend(run(1, 1, 10), 1, 4096));
        assert!(index.extend(run(11, 2, 10), 2, 4096));
        assert!(index.extend(run(21, 3, 10), 3, 4096));
        index.compact(Index(14), Term(2));
        assert_eq!(index.oldest_segment(), Some(2));
        assert_eq!(index.terms(), [(Index(15), Term(2)), (Index(21), Term(3))]);
        index.compact(Index(99), Term(3));
        assert_eq!((index.oldest_segment(), index.terms().len()), (None, 0));
    }

    /// The first segments are gone. What the rest says about entries below the base, even about a
    /// truncation there, must not hide what follows.
    #[test]
    fn replay_from_the_middle_ends_where_the_whole_would() {
        let mut index = LogIndex::at(Index(51), Term(1));
        assert!(index.extend(run(80, 1, 21), 5, 4096));
        index.cut(Index(30));
        assert!(index.extend(run(31, 2, 70), 5, 9000));
        assert_eq!((index.bounds().first, index.bounds().last), (Index(51), Index(100)));
        assert_eq!(index.bounds().prev_term(), Term(1));
        assert_eq!(found(&index, 51), (5, 9000, 100));
        let mut index = LogIndex::at(Index(126), Term(9));
        assert!(index.extend(run(132, 1, 4), 5, 4096));
        index.cut(Index(127)); // 126 and 127 stood in a segment that is gone, and were cut later
        index.cut(Index(122));
        index.compact(Index(125), Term(9));
        assert_eq!((index.bounds().first, index.bounds().last), (Index(126), Index(125)));
    }
}
