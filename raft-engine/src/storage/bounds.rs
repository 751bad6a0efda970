//! Where a log begins and ends, and what the port's calls do to that: the arithmetic that every store
//! shares.
//!
//! Invariant: the log holds `first..=last`; it is empty when `last` is before `first`. Nothing below
//! `base` is ever added again.

use super::{StorageError, StorageErrorKind};
use crate::consensus::types::{Index, Term};

/// The ends of a log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Bounds {
    /// Everything below was removed for good; 0 when nothing ever was.
    pub base: Index,
    /// The term of the entry before `base`.
    pub base_term: Term,
    /// The first entry; 0 when there never was one.
    pub first: Index,
    /// The last entry.
    pub last: Index,
}

impl Bounds {
    /// An empty log that begins at `base`.
    pub fn at(base: Index, base_term: Term) -> Bounds {
        Bounds { base, base_term, first: base, last: base.prev() }
    }

    /// Whether the log has no entry.
    pub fn is_empty(&self) -> bool {
        self.last < self.first || self.first.is_zero()
    }

    /// The term of the entry before the first; 0 when that is not known.
    pub fn prev_term(&self) -> Term {
        if self.first == self.base { self.base_term } else { Term::ZERO }
    }

    /// What an entry at `index` would break.
    pub fn check_append(&self, index: Index) -> Result<(), StorageError> {
        let fits = if self.is_empty() {
            index >= self.base && !index.is_zero()
        } else {
            index == self.last.next()
        };
        if fits {
            return Ok(());
        }
        let message = format!(
            "An entry was appended at {index} to a log that holds {}..={} and was compacted before \
             {}. This is a bug in the program that drives the store.",
            self.first, self.last, self.base
        );
        Err(StorageError::new(StorageErrorKind::Misuse, message))
    }

    /// What reading `first..=last` would break.
    pub fn check_read(&self, first: Index, last: Index) -> Result<(), StorageError> {
        if !self.is_empty() && self.first <= first && first <= last && last <= self.last {
            return Ok(());
        }
        let message = format!(
            "Entries {first}..={last} were asked for; the log holds {}..={}. This is a bug in the \
             program that drives the store.",
            self.first, self.last
        );
        Err(StorageError::new(StorageErrorKind::Misuse, message))
    }

    /// Entries up to `last` were added, from `first` on if the log was empty.
    pub fn extend(&mut self, first: Index, last: Index) {
        if self.is_empty() {
            self.first = first;
        }
        self.last = last;
    }

    /// Removes everything after `keep_to`. Says whether that changed anything. A log that is empty then
    /// begins at its base again, wherever it began before: a replay that misses the removed front of a
    /// log must end where the whole would.
    pub fn cut(&mut self, keep_to: Index) -> bool {
        if self.is_empty() || keep_to >= self.last {
            return false;
        }
        self.last = keep_to;
        if self.last < self.first {
            self.first = self.base.max(Index(1));
            self.last = self.first.prev();
        }
        true
    }

    /// Removes everything up to `last`, which is of `last_term`. Says whether that changed anything.
    pub fn compact(&mut self, last: Index, last_term: Term) -> bool {
        if last.next() <= self.base || last.is_zero() {
            return false;
        }
        (self.base, self.base_term) = (last.next(), last_term);
        if self.is_empty() || last >= self.last {
            *self = Bounds::at(self.base, self.base_term);
        }
        self.first = self.first.max(self.base);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(first: u64, last: u64) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.extend(Index(first), Index(last));
        bounds
    }

    fn ends(bounds: &Bounds) -> (u64, u64, u64) {
        (bounds.first.0, bounds.last.0, bounds.prev_term().0)
    }

    #[test]
    fn a_cut_leaves_the_front() {
        let mut log = holding(1, 10);
        assert!(!log.cut(Index(10)));
        assert!(log.cut(Index(4)));
        assert_eq!(ends(&log), (1, 4, 0));
        assert!(log.cut(Index(0)));
        assert_eq!(ends(&log), (1, 0, 0));
        assert!(log.is_empty());
    }

    #[test]
    fn compaction_leaves_the_end_or_nothing() {
        let mut log = holding(1, 10);
        assert!(!log.compact(Index(0), Term(1)));
        assert!(log.compact(Index(4), Term(2)));
        assert_eq!(ends(&log), (5, 10, 2));
        assert!(!log.compact(Index(4), Term(9)), "what is gone is gone");
        assert!(log.compact(Index(20), Term(3)));
        assert_eq!(ends(&log), (21, 20, 3));
        assert!(!log.cut(Index(3)), "never below the base");
        log.extend(Index(25), Index(30));
        assert!(log.cut(Index(22)));
        assert_eq!(ends(&log), (21, 20, 3), "empty, at the base again");
        log.check_append(Index(20)).expect_err("below the base");
        log.check_append(Index(21)).expect("right behind it");
    }

    #[test]
    fn a_log_that_never_had_an_entry_begins_at_zero() {
        let mut log = Bounds::default();
        assert_eq!(ends(&log), (0, 0, 0));
        log.check_append(Index(0)).expect_err("there is no entry 0");
        log.check_append(Index(7)).expect("any index");
        log.extend(Index(7), Index(9));
        log.check_append(Index(11)).expect_err("a gap");
        log.check_read(Index(6), Index(9)).expect_err("before the first");
        log.check_read(Index(7), Index(9)).expect("what is there");
    }
}
