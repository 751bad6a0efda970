//! Writes frames to the one segment that is open for writing. One frame, one sync.

use super::found::Tail;
use super::frame::{Builder, Link};
use super::pending::Pending;
use super::segment::{FIRST_FRAME, Ready, Segment};
use crate::storage::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// The unit in which pages are cached.
const PAGE: u64 = 4096;

/// The end of the log, and the file it is in.
pub(super) struct Writer {
    segment: Arc<Segment>,
    file: Box<dyn File>,
    end: u64,
    seq: u64,
    crc: u32,
    /// What the first frame begins with.
    link: Option<Link>,
    builder: Builder,
}

impl Writer {
    /// Goes on in a new segment behind `link`.
    pub fn new(ready: Ready, link: Link) -> Writer {
        Writer {
            segment: Arc::new(ready.segment),
            file: ready.file,
            end: FIRST_FRAME,
            seq: link.seq,
            crc: link.crc,
            link: Some(link),
            builder: Builder::default(),
        }
    }

    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Where the log ends: everything up to here is durable.
    pub fn tail(&self) -> Tail {
        let segment = Arc::clone(&self.segment);
        Tail { segment, end: self.end, seq: self.seq, crc: self.crc }
    }

    /// Bytes that still fit into the segment.
    pub fn room(&self) -> u64 {
        self.segment.capacity - self.end
    }

    /// Makes all that is pending durable, in one frame, and says where that is.
    pub fn write(&mut self, pending: &Pending) -> io::Result<u64> {
        let offset = self.end;
        pending.build(&mut self.builder, self.link.as_ref());
        let salt = self.segment.salt;
        let (head, crc) = self.builder.finish(self.seq + 1, self.crc, salt, offset);
        let data: usize = pending.records.iter().map(|record| record.payload.len()).sum();
        let end = (offset + (head.len() + data) as u64).next_multiple_of(8);
        let mut parts = Vec::with_capacity(pending.records.len() + 2);
        parts.push(IoSlice::new(head));
        parts.extend(pending.records.iter().map(|record| IoSlice::new(&record.payload)));
        let zeros = [0; PAGE as usize + 8];
        let padding = padding(offset + (head.len() + data) as u64, self.segment.capacity);
        parts.push(IoSlice::new(&zeros[..padding]));
        self.file.write_at(&mut parts, offset)?;
        self.file.sync_data()?;
        (self.end, self.seq, self.crc, self.link) = (end, self.seq + 1, crc, None);
        Ok(offset)
    }
}

/// Zeros up to the end of the page: then the kernel needs not read the page of a recycled file from
/// the disk before it can change a part of it.
fn padding(end: u64, capacity: u64) -> usize {
    (end.next_multiple_of(PAGE).min(capacity) - end) as usize
}
