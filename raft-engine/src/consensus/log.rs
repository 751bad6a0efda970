//! The log as the protocol sees it: where terms begin, what is durable, committed, handed over and
//! applied, and the newest entries themselves. Older entries are read from the store by request.
//!
//! Invariant: `applied <= handed <= min(commit, durable)` and `durable, commit <= last`.

use super::command::Entry;
use super::types::{EntryId, Index, Term};
use std::collections::VecDeque;

/// The log. Terms of old entries are known without the disk: one pair for each term that has any.
#[derive(Clone, Debug)]
pub struct Log {
    first: Index,
    prev_term: Term,
    /// `(first index, term)`, ascending in both.
    terms: VecDeque<(Index, Term)>,
    last: Index,
    /// The newest entries, without a gap up to `last`.
    window: VecDeque<Entry>,
    window_bytes: usize,
    durable: Index,
    /// `(first index, write)` of what is not durable, ascending in both. A number of a write, never
    /// an index or a term, says what a completion is about: 12@1, 12@2, 12@1 are three writes.
    undurable: VecDeque<(Index, u64)>,
    commit: Index,
    handed: Index,
    applied: Index,
    unapplied: VecDeque<(Index, usize)>,
    unapplied_bytes: usize,
}

/// What the log begins with.
#[derive(Clone, Debug, Default)]
pub struct LogStart {
    /// The lowest index, 1 or more.
    pub first: Index,
    /// The term of the entry before it.
    pub prev_term: Term,
    /// The highest index; `first - 1` when there is none.
    pub last: Index,
    /// Where each term begins.
    pub terms: Vec<(Index, Term)>,
    /// Known to be committed.
    pub commit: Index,
    /// Applied already.
    pub applied: Index,
}

impl Log {
    /// The log as it is stored: all of it durable.
    #[must_use]
    pub fn new(start: LogStart) -> Log {
        let commit = start.commit.max(start.applied).min(start.last);
        let applied = start.applied.min(start.last);
        Log {
            first: start.first.max(Index(1)),
            prev_term: start.prev_term,
            terms: start.terms.into(),
            last: start.last,
            window: VecDeque::new(),
            window_bytes: 0,
            durable: start.last,
            undurable: VecDeque::new(),
            commit,
            handed: applied,
            applied,
            unapplied: VecDeque::new(),
            unapplied_bytes: 0,
        }
    }

    /// The lowest index that is stored, or would be.
    pub fn first(&self) -> Index {
        self.first
    }

    /// The end of the log.
    pub fn last(&self) -> EntryId {
        EntryId::new(self.last, self.last_term())
    }

    /// Durable up to here.
    pub fn durable(&self) -> Index {
        self.durable
    }

    /// Committed up to here, as far as is known.
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// Handed to the state machine up to here.
    pub fn handed(&self) -> Index {
        self.handed
    }

    /// Applied by the state machine up to here.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Committed and durable here: what a crash of every process would leave.
    pub fn settled(&self) -> Index {
        if mutant!("b10_applied_before_durable") {
            self.commit
        } else {
            self.commit.min(self.durable)
        }
    }

    /// The term of an entry, or of the one before the first. `None` where the log was compacted away
    /// or ends before.
    pub fn term(&self, index: Index) -> Option<Term> {
        if index > self.last || index < self.first.prev() {
            return None;
        }
        Some(self.run(index).map_or(self.prev_term, |at| self.terms[at].1))
    }

    /// The id of an entry that is known.
    pub fn id(&self, index: Index) -> Option<EntryId> {
        self.term(index).map(|term| EntryId::new(index, term))
    }

    /// Whether the log holds that entry, or begins right after it.
    pub fn contains(&self, id: EntryId) -> bool {
        self.term(id.index) == Some(id.term)
    }

    /// The last entry at or before `id.index` whose term is not above `id.term`: where two logs may
    /// agree if they do not at `id`.
    pub fn not_above(&self, id: EntryId) -> EntryId {
        let mut index = id.index.min(self.last);
        while let Some(at) = self.run(index) {
            let (first, term) = self.terms[at];
            if term <= id.term {
                return EntryId::new(index, term);
            }
            index = first.prev();
        }
        EntryId::new(self.first.prev(), self.prev_term)
    }

    /// Adds entries at the end. They are part of the write `seq`.
    pub fn append(&mut self, entries: &[Entry], seq: u64) {
        let Some(head) = entries.first() else { return };
        debug_assert_eq!(head.index, self.last.next(), "entries follow without a gap");
        if mutant!("b13_completion_by_index")
            && let Some(older) = self.undurable.iter_mut().find(|write| write.0 >= head.index)
        {
            older.0 = head.index;
        } else if self.undurable.back().is_none_or(|&(_, newest)| newest != seq) {
            self.undurable.push_back((head.index, seq));
        }
        for entry in entries {
            debug_assert!(entry.term >= self.last_term(), "terms never fall within a log");
            if self.last_term() != entry.term {
                self.terms.push_back((entry.index, entry.term));
            }
            self.last = entry.index;
            self.window_bytes += entry.size();
            self.window.push_back(entry.clone());
        }
    }

    /// Cuts the log after `keep`, which is not below the commit index.
    pub fn truncate(&mut self, keep: Index) {
        debug_assert!(keep >= self.commit, "what is committed is never cut");
        while self.window.back().is_some_and(|entry| entry.index > keep) {
            self.window_bytes -= self.window.pop_back().map_or(0, |entry| entry.size());
        }
        while self.terms.back().is_some_and(|&(first, _)| first > keep) {
            self.terms.pop_back();
        }
        while self.undurable.back().is_some_and(|&(first, _)| first > keep)
            && !mutant!("b13_completion_by_index")
        {
            self.undurable.pop_back();
        }
        self.last = keep;
        self.durable = self.durable.min(keep);
    }

    /// All writes up to `seq` are durable.
    pub fn persisted(&mut self, seq: u64) {
        while self.undurable.front().is_some_and(|&(_, write)| write <= seq) {
            self.undurable.pop_front();
        }
        self.durable = self.undurable.front().map_or(self.last, |&(first, _)| first.prev());
    }

    /// Raises the commit index, not beyond the end. Whether it moved.
    pub fn commit_to(&mut self, index: Index) -> bool {
        let index = index.min(self.last);
        let moved = index > self.commit;
        self.commit = self.commit.max(index);
        moved
    }

    /// Entries from `from` on, if they are in memory: at least one, as many as fit in `max_bytes`.
    pub fn in_memory(&self, from: Index, to: Index, max_bytes: usize) -> Option<Vec<Entry>> {
        let at = from.0.checked_sub(self.window.front()?.index.0)?;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += entry.size();
            entry.index <= to && (first || bytes <= max_bytes)
        };
        let at = at as usize;
        // Counted first: a list that grows as it is filled moves its entries again and again.
        let end = at + self.window.range(at..).take_while(fits).count();
        (end > at).then(|| self.window.range(at..end).cloned().collect())
    }

    /// The entries of the window in `(after, to]`, as far as they are in memory.
    pub fn newest(&self, after: Index, to: Index) -> impl Iterator<Item = &Entry> {
        self.window
            .iter()
            .rev()
            .skip_while(move |e| e.index > to)
            .take_while(move |e| e.index > after)
    }

    /// What may be handed to the state machine next: `from..=to`, unless it has enough to do.
    pub fn to_apply(&self, max_unapplied_bytes: usize) -> Option<(Index, Index)> {
        let may = self.handed < self.settled() && self.unapplied_bytes < max_unapplied_bytes;
        may.then(|| (self.handed.next(), self.settled()))
    }

    /// These entries were handed to the state machine.
    pub fn hand_over(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        debug_assert_eq!(entries[0].index, self.handed.next(), "each entry once, in order");
        let bytes = entries.iter().map(Entry::size).sum();
        self.handed = if mutant!("b19_page_ends_too_far") { self.settled() } else { last.index };
        self.unapplied.push_back((last.index, bytes));
        self.unapplied_bytes += bytes;
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied_to(&mut self, index: Index) {
        self.applied = self.applied.max(index.min(self.handed));
        while self.unapplied.front().is_some_and(|&(last, _)| last <= index) {
            self.unapplied_bytes -= self.unapplied.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Lets go of the oldest entries in memory beyond `max_bytes`; only durable ones.
    pub fn shrink(&mut self, max_bytes: usize) {
        while self.window_bytes > max_bytes
            && self.window.front().is_some_and(|entry| entry.index <= self.durable)
        {
            self.window_bytes -= self.window.pop_front().map_or(0, |entry| entry.size());
        }
    }

    /// Whether the order of things that this module promises holds.
    pub fn check(&self) -> Result<(), String> {
        let ordered = self.applied <= self.handed
            && self.handed <= self.settled()
            && self.durable <= self.last
            && self.commit <= self.last;
        let window_ends_at_last = self.window.back().is_none_or(|entry| entry.index == self.last);
        let terms_rise =
            self.terms.iter().zip(self.terms.iter().skip(1)).all(|(a, b)| a < b && a.1 < b.1);
        if ordered && window_ends_at_last && terms_rise {
            return Ok(());
        }
        Err(format!(
            "log out of order: applied {} handed {} commit {} durable {} last {} terms {:?}",
            self.applied, self.handed, self.commit, self.durable, self.last, self.terms
        ))
    }

    fn last_term(&self) -> Term {
        self.terms.back().map_or(self.prev_term, |&(_, term)| term)
    }

    /// The run of terms that holds `index`; `None` before the first.
    fn run(&self, index: Index) -> Option<usize> {
        self.terms.partition_point(|&(first, _)| first <= index).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Payload;
    use super::*;

    fn entries(from: u64, terms: &[u64]) -> Vec<Entry> {
        let entry = |(i, &term): (usize, &u64)| Entry {
            index: Index(from + i as u64),
            term: Term(term),
            payload: Payload::Noop,
        };
        terms.iter().enumerate().map(entry).collect()
    }

    fn log(terms: &[u64]) -> Log {
        let mut log = Log::new(LogStart::default());
        log.append(&entries(1, terms), 1);
        log
    }

    fn id(index: u64, term: u64) -> EntryId {
        EntryId::new(Index(index), Term(term))
    }

    #[test]
    fn terms_are_known_by_their_runs() {
        let log = log(&[1, 1, 3, 3, 3, 7]);
        let terms: Vec<_> = (0..8).map(|i| log.term(Index(i)).map(|t| t.0)).collect();
        let expected = [Some(0), Some(1), Some(1), Some(3), Some(3), Some(3), Some(7), None];
        assert_eq!(terms, expected);
        assert_eq!(log.not_above(id(5, 2)), id(2, 1));
        assert_eq!(log.not_above(id(5, 3)), id(5, 3));
        assert_eq!(log.not_above(id(9, 6)), id(5, 3));
        assert_eq!(log.not_above(id(9, 0)), id(0, 0));
    }

    #[test]
    fn a_completion_of_an_older_write_says_nothing_of_a_newer_entry() {
        let mut log = log(&[1; 11]);
        log.persisted(1);
        log.append(&entries(12, &[1]), 2); // 12@1
        log.truncate(Index(11));
        log.append(&entries(12, &[2]), 3); // 12@2
        log.truncate(Index(11));
        log.append(&entries(12, &[3]), 4); // and once more: three writes at one index
        for (seq, durable) in [(2, 11), (3, 11), (4, 12)] {
            log.persisted(seq);
            assert_eq!(log.durable(), Index(durable), "after write {seq}");
        }
    }

    #[test]
    fn only_durable_entries_leave_memory() {
        let mut log = log(&[1; 10]);
        log.shrink(0);
        assert!(log.in_memory(Index(1), Index(10), 1).is_some());
        log.persisted(1);
        log.shrink(64 * 3);
        assert!(log.in_memory(Index(7), Index(10), 1).is_none());
        assert_eq!(log.in_memory(Index(8), Index(9), 1000).map(|e| e.len()), Some(2));
        assert_eq!(log.in_memory(Index(8), Index(10), 1).map(|e| e.len()), Some(1));
    }

    #[test]
    fn entries_are_handed_over_once_and_only_when_durable() {
        let mut log = log(&[1; 4]);
        log.commit_to(Index(9));
        assert_eq!((log.commit(), log.to_apply(1)), (Index(4), None));
        log.persisted(1);
        assert_eq!(log.to_apply(1), Some((Index(1), Index(4))));
        log.hand_over(&entries(1, &[1, 1, 1]));
        assert_eq!(log.to_apply(1), None, "it has enough to do");
        log.applied_to(Index(3));
        assert_eq!(log.to_apply(1), Some((Index(4), Index(4))));
        assert_eq!(log.check(), Ok(()));
    }
}
