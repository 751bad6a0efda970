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
/// How far ahead of the log its file is written with zeros.
const AHEAD: u64 = 64 << 10;
static ZEROS: [u8; (AHEAD + PAGE) as usize] = [0; (AHEAD + PAGE) as usize];

/// The end of the log, and the file it is in.
pub(super) struct Writer {
    segment: Arc<Segment>,
    file: Box<dyn File>,
    end: u64,
    /// Up to here the file has been written, with frames or zeros.
    written: u64,
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
            written: ready.written,
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
        let written = ahead(offset, end, self.written).min(self.segment.capacity);
        let padding = written - (offset + (head.len() + data) as u64);
        parts.push(IoSlice::new(&ZEROS[..padding as usize]));
        let wrote = self.file.write_at(&mut parts, offset);
        if !mutant!("g6_failed_write_is_ignored") {
            wrote?;
        }
        self.sync()?;
        (self.end, self.seq, self.crc, self.link) = (end, self.seq + 1, crc, None);
        self.written = self.written.max(written);
        Ok(offset)
    }

    fn sync(&self) -> io::Result<()> {
        if mutant!("g2_frame_is_not_synced") {
            return Ok(());
        }
        let synced = self.file.sync_data();
        match synced {
            Err(_) if mutant!("g1_failed_sync_is_ignored") => Ok(()),
            Err(_) if mutant!("g1_failed_sync_is_tried_again") => self.file.sync_data(),
            synced => synced,
        }
    }
}

/// How far the write of a frame goes. To the end of its page at least: then the kernel needs not read
/// the page of a recycled file from the disk before it can change a part of it. Where the space is only
/// reserved, a sync of the first write to a place is dearer, by half for one page, because it changes
/// metadata; so a small frame that comes to such a place makes it cheap for many others.
fn ahead(from: u64, end: u64, written: u64) -> u64 {
    let is_new = end > written && end - from < AHEAD;
    end.next_multiple_of(if is_new { AHEAD } else { PAGE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_write_zeros_ahead_and_large_ones_do_not() {
        assert_eq!(ahead(4096, 4200, 4096), AHEAD, "the first one");
        assert_eq!(ahead(4200, 9000, AHEAD), 12288, "there are zeros: to the end of the page");
        assert_eq!(ahead(AHEAD - 8, AHEAD + 8, AHEAD), 2 * AHEAD, "into the next block");
        assert_eq!(ahead(4096, 4096 + AHEAD, 8192), 4096 + AHEAD, "a large one");
        assert_eq!(ahead(0, 2 * AHEAD, 0), 2 * AHEAD);
    }
}
