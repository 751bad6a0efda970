//! What recovery found: the log's picture, frame by frame, and the files that are not part of it.

use super::frame::{Frame, Link, Op, Run};
use super::log_index::LogIndex;
use super::segment::Segment;
use crate::consensus::command::kind;
use crate::consensus::types::Index;
use crate::storage::directory::refuse;
use crate::storage::{Record, Recovered, StorageError, kind_of};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the log ends.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub segment: Arc<Segment>,
    /// The offset behind the last frame.
    pub end: u64,
    /// The last frame.
    pub seq: u64,
    /// Its crc.
    pub crc: u32,
}

impl Tail {
    /// How the next segment refers to this end.
    pub fn link(&self) -> Link {
        Link { segment: self.segment.number, end: self.end, seq: self.seq, crc: self.crc }
    }
}

/// What a directory of segments holds.
#[derive(Default)]
pub(super) struct Found {
    pub log: LogIndex,
    /// The segments of the log.
    pub segments: BTreeMap<u64, Arc<Segment>>,
    pub tail: Option<Tail>,
    pub commit_hint: Index,
    pub memberships: Vec<Record>,
    /// The host's last entry, or a later one if a truncation took that away.
    pub last_application: Index,
    /// Segments that were begun and hold no frame.
    pub blank: Vec<Segment>,
    /// Segments that were prepared and never begun.
    pub ready: Vec<Segment>,
    /// Files that are no longer, or not yet, part of anything.
    pub leftovers: Vec<PathBuf>,
    /// The highest number in use.
    pub highest: u64,
    /// Of a damaged log: files that are to be kept under another name.
    pub aside: Vec<PathBuf>,
    /// Likewise, the segment with the new end, if it holds something behind that.
    pub copied: Option<PathBuf>,
}

impl Found {
    /// The same in the words of the port.
    pub fn recovered(&self) -> Recovered {
        let bounds = self.log.bounds();
        Recovered {
            first: bounds.first,
            prev_term: bounds.prev_term(),
            last: bounds.last,
            terms: self.log.terms(),
            commit_hint: self.commit_hint.min(bounds.last),
            memberships: self.memberships.clone(),
            last_application: self.last_application,
        }
    }
}

impl Found {
    /// Takes one frame into the picture of the log.
    pub fn take(
        &mut self,
        segment: &Segment,
        offset: u64,
        frame: &Frame<'_>,
    ) -> Result<(), StorageError> {
        let place = (segment.number as u32, offset as u32);
        let mut data = frame.data();
        for op in frame.ops() {
            match op {
                Op::Run(run) => {
                    if !self.log.extend((run.first, run.term, run.count), place.0, place.1) {
                        let flaw = format!("entry {} does not follow the last one", run.first);
                        return Err(refuse::corrupt(&segment.path, offset, &flaw));
                    }
                    data = self.note_memberships(&run, data);
                }
                Op::Truncate(keep_to) => self.cut(keep_to),
                Op::Compact(last, term) => {
                    self.log.compact(last, term);
                    self.memberships.retain(|record| record.index > last);
                }
                Op::CommitHint(index) => self.commit_hint = index,
                Op::Link(_) => {}
            }
        }
        Ok(())
    }

    fn cut(&mut self, keep_to: Index) {
        self.log.cut(keep_to);
        self.commit_hint = self.commit_hint.min(keep_to);
        self.last_application = self.last_application.min(keep_to);
        self.memberships.retain(|record| record.index <= keep_to);
    }

    /// Keeps the entries of a run that change who takes part, and notes the host's last one. Returns
    /// the data behind the run.
    fn note_memberships<'b>(&mut self, run: &Run<'_>, data: &'b [u8]) -> &'b [u8] {
        let (mut rest, mut index) = (data, run.first);
        for (len, crc) in run.entries() {
            let (payload, tail) = rest.split_at(len as usize);
            let found = kind_of(payload);
            if found >= 0 {
                self.last_application = index;
            }
            if found == kind::MEMBERSHIP && index >= self.log.bounds().base {
                self.memberships.push(record_of(run, index, crc, payload));
            }
            (rest, index) = (tail, index.next());
        }
        rest
    }
}

fn record_of(run: &Run<'_>, index: Index, crc: u32, payload: &[u8]) -> Record {
    Record { index, term: run.term, crc, payload: Bytes::copy_from_slice(payload) }
}
