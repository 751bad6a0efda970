//! What was called for since the last sync, brought into the one order that a frame has: truncation,
//! compaction, entries, hint.

use super::frame::{Builder, ENTRY_BYTES, HEAD, Link, RUN_BYTES};
use crate::consensus::types::{Index, Term};
use crate::storage::Record;
use crate::storage::bounds::Bounds;

/// Link, truncation, compaction and hint, each with its head.
const OTHER_OPS: usize = 48 + 24 + 32 + 24;

/// Calls that are not in a frame yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Remove everything after this index from what is in frames.
    pub cut: Option<Index>,
    /// Remove everything up to this index.
    pub compact: Option<(Index, Term)>,
    /// Contiguous entries.
    pub records: Vec<Record>,
    /// Committed up to here, if that is news.
    pub hint: Option<Index>,
    data: usize,
    runs: usize,
}

impl Pending {
    /// Whether a sync has nothing to do. A hint alone is never worth one.
    pub fn is_empty(&self) -> bool {
        self.cut.is_none() && self.compact.is_none() && self.records.is_empty()
    }

    /// The first entry here.
    pub fn first(&self) -> Option<Index> {
        self.records.first().map(|record| record.index)
    }

    /// Bytes of the frame, at most.
    pub fn frame_len(&self) -> u64 {
        let control = OTHER_OPS + self.runs * RUN_BYTES + self.records.len() * ENTRY_BYTES;
        ((HEAD + control + self.data) as u64).next_multiple_of(8)
    }

    /// The same with one more entry.
    pub fn frame_len_with(&self, record: &Record) -> u64 {
        self.frame_len() + (RUN_BYTES + ENTRY_BYTES + record.payload.len() + 8) as u64
    }

    pub fn push(&mut self, record: &Record) {
        if self.records.last().is_none_or(|last| last.term != record.term) {
            self.runs += 1;
        }
        self.data += record.payload.len();
        self.records.push(record.clone());
    }

    /// Removes everything after `keep_to`; `in_frames` is what is not pending.
    pub fn cut(&mut self, keep_to: Index, in_frames: &Bounds) {
        let keep = self.records.partition_point(|record| record.index <= keep_to);
        self.records.truncate(keep);
        self.count();
        if !in_frames.is_empty() && keep_to < in_frames.last {
            self.cut = Some(self.cut.map_or(keep_to, |earlier| earlier.min(keep_to)));
        }
    }

    /// Removes everything up to `last`.
    pub fn compact(&mut self, last: Index, last_term: Term) {
        let gone = self.records.partition_point(|record| record.index <= last);
        self.records.drain(..gone);
        self.count();
        self.compact = Some((last, last_term));
    }

    fn count(&mut self) {
        self.data = self.records.iter().map(|record| record.payload.len()).sum();
        self.runs = self.records.chunk_by(|a, b| a.term == b.term).count();
    }

    /// Writes the steps of the frame.
    pub fn build(&self, builder: &mut Builder, link: Option<&Link>) {
        builder.begin();
        if let Some(link) = link
            && !mutant!("g13_link_is_missing")
        {
            builder.link(link);
        }
        if let Some(keep_to) = self.cut
            && !mutant!("b12_cut_is_in_no_frame")
        {
            builder.truncate(keep_to);
        }
        if let Some((last, last_term)) = self.compact {
            builder.compact(last, last_term);
        }
        for run in self.runs() {
            builder.run(run[0].index, run[0].term);
            for record in run {
                builder.entry(record.payload.len() as u32, record.crc);
            }
            builder.end_run();
        }
        if let Some(hint) = self.hint {
            builder.commit_hint(hint);
        }
    }

    /// Entries of one term at a time.
    pub fn runs(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|a, b| a.term == b.term)
    }

    /// All of it is in a frame now. Keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        (self.cut, self.compact, self.hint) = (None, None, None);
        (self.data, self.runs) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(index: u64, term: u64) -> Record {
        Record { index: Index(index), term: Term(term), crc: 0, payload: Bytes::from("abc") }
    }

    fn holding(last: u64) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.extend(Index(1), Index(last));
        bounds
    }

    #[test]
    fn what_was_appended_and_cut_again_is_never_written() {
        let mut pending = Pending::default();
        for index in 11..=15 {
            pending.push(&record(index, 1));
        }
        pending.cut(Index(12), &holding(10));
        assert_eq!((pending.cut, pending.records.len()), (None, 2));
        pending.cut(Index(7), &holding(10));
        pending.cut(Index(9), &holding(10));
        assert_eq!((pending.cut, pending.records.len()), (Some(Index(7)), 0));
        assert!(!pending.is_empty());
    }

    #[test]
    fn compaction_drops_the_entries_it_covers() {
        let mut pending = Pending::default();
        for index in 11..=15 {
            pending.push(&record(index, index / 13));
        }
        assert_eq!(pending.runs().count(), 2);
        pending.compact(Index(13), Term(1));
        assert_eq!((pending.first(), pending.runs().count()), (Some(Index(14)), 1));
    }

    #[test]
    fn a_frame_is_never_longer_than_foretold() {
        let mut pending = Pending { hint: Some(Index(1)), ..Pending::default() };
        pending.cut(Index(1), &holding(2));
        pending.compact(Index(1), Term(1));
        for (index, term) in [(3, 1), (4, 1), (5, 2)] {
            let foretold = pending.frame_len_with(&record(index, term));
            pending.push(&record(index, term));
            assert!(pending.frame_len() <= foretold);
        }
        let mut builder = Builder::default();
        pending.build(&mut builder, Some(&Link::default()));
        let len = builder.finish(1, 0, 0, 0).0.len() + 9;
        assert!(len as u64 <= pending.frame_len());
    }
}
