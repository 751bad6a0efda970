//! Reads entries back, through descriptors of its own, beside the thread that writes.
//!
//! What must hold: it is asked only for entries that are durable and not truncated. A segment in
//! reading is held, so that nobody prepares it for another use meanwhile. What is read is checked
//! against both checksums again, and the disk is never believed.

use super::frame::{Flaw, HEAD, Header, Op, Run, steps};
use super::log_index::LogIndex;
use super::segment::Segment;
use crate::consensus::types::Index;
use crate::storage::directory::refuse;
use crate::storage::fs::{Access, File, Fs};
use crate::storage::{LogReader, Record, StorageError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What the log is made of, shared by the writer and all readers.
#[derive(Default)]
pub(super) struct Log {
    pub index: LogIndex,
    pub segments: BTreeMap<u64, Arc<Segment>>,
}

/// Shared by the writer, which changes it once for each frame, and the readers.
#[derive(Clone, Default)]
pub(super) struct SharedLog(Arc<RwLock<Log>>);

impl SharedLog {
    pub fn new(log: Log) -> SharedLog {
        SharedLog(Arc::new(RwLock::new(log)))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Log> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Log> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads entries.
pub(super) struct Reader {
    fs: Arc<dyn Fs>,
    log: SharedLog,
    open: Option<(Arc<Segment>, Box<dyn File>)>,
    window: Window,
}

/// A piece of the open segment.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Bytes,
}

/// What has been read so far.
struct Batch {
    records: Vec<Record>,
    next: Index,
    last: Index,
    /// Bytes that may still be read.
    budget: usize,
}

impl Batch {
    fn is_done(&self) -> bool {
        self.next > self.last || (self.budget == 0 && !self.records.is_empty())
    }
}

/// The most that is read ahead of what is needed.
const READ_AHEAD: usize = 256 << 10;

impl LogReader for Reader {
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.log.read().index.bounds().check_read(first, last)?;
        self.window = Window::default(); // what lies behind the log's end changes
        let mut batch = Batch { records: Vec::new(), next: first, last, budget: max_bytes };
        while !batch.is_done() {
            self.read_segment(&mut batch)?;
        }
        Ok(batch.records)
    }
}

impl Reader {
    pub fn new(fs: Arc<dyn Fs>, log: SharedLog) -> Reader {
        Reader { fs, log, open: None, window: Window::default() }
    }

    /// Reads on from the slot of the next entry, to where the next slot takes over.
    fn read_segment(&mut self, batch: &mut Batch) -> Result<(), StorageError> {
        let (segment, offset, end) = self.locate(batch.next)?;
        let last = batch.last;
        batch.last = end.min(last);
        let walked = self.walk(&segment, offset, batch);
        batch.last = last;
        walked
    }

    fn locate(&self, index: Index) -> Result<(Arc<Segment>, u64, Index), StorageError> {
        let log = self.log.read();
        let found = log.index.locate(index).and_then(|(slot, end)| {
            let segment = log.segments.get(&u64::from(slot.segment))?;
            Some((Arc::clone(segment), u64::from(slot.offset), end))
        });
        let gone = || log.index.bounds().check_read(Index::ZERO, index).err();
        found.ok_or_else(|| gone().unwrap_or_else(|| unreachable_entry(index)))
    }

    fn walk(
        &mut self,
        segment: &Arc<Segment>,
        mut offset: u64,
        batch: &mut Batch,
    ) -> Result<(), StorageError> {
        self.open(segment)?;
        while !batch.is_done() {
            let ahead = batch.budget.clamp(4096, READ_AHEAD);
            let header = self.header(segment, offset, ahead)?;
            let head = self.bytes(segment, offset, header.head_len() as usize, ahead)?;
            if !header.verifies(&head, segment.salt, offset) {
                return Err(damaged(segment, offset));
            }
            self.take_frame(segment, offset, &header, &head, batch)?;
            offset += header.frame_len();
        }
        Ok(())
    }

    fn header(
        &mut self,
        segment: &Segment,
        offset: u64,
        ahead: usize,
    ) -> Result<Header, StorageError> {
        let bytes = self.bytes(segment, offset, HEAD, ahead)?;
        let header = Header::decode(&bytes).ok_or_else(|| damaged(segment, offset))?;
        if offset + header.frame_len() > segment.capacity {
            return Err(damaged(segment, offset));
        }
        Ok(header)
    }

    fn take_frame(
        &mut self,
        segment: &Segment,
        offset: u64,
        header: &Header,
        head: &Bytes,
        batch: &mut Batch,
    ) -> Result<(), StorageError> {
        let mut data = offset + header.head_len();
        for op in steps(&head[HEAD..]) {
            match op {
                Ok(Op::Run(run)) => data = self.take_run(segment, data, &run, batch)?,
                Ok(_) => {}
                Err(Flaw::Broken | Flaw::Unknown) => return Err(damaged(segment, offset)),
            }
        }
        Ok(())
    }

    /// Takes what is wanted of a run whose payloads begin at `data`. Returns where they end.
    fn take_run(
        &mut self,
        segment: &Segment,
        data: u64,
        run: &Run<'_>,
        batch: &mut Batch,
    ) -> Result<u64, StorageError> {
        let end = data + length(run.entries());
        let skip = match batch.next.0.checked_sub(run.first.0) {
            Some(skip) if skip < u64::from(run.count) && !batch.is_done() => skip as usize,
            Some(_) => return Ok(end),
            None if batch.is_done() => return Ok(end),
            None => return Err(damaged(segment, data)),
        };
        let before = length(run.entries().take(skip));
        let (count, bytes) = wanted(run, skip, batch);
        let payloads = self.bytes(segment, data + before, bytes, bytes)?;
        let mut at = 0;
        for (len, crc) in run.entries().skip(skip).take(count) {
            let payload = payloads.slice(at..at + len as usize);
            if crc32c::crc32c(&payload) != crc {
                return Err(damaged(segment, data + before + at as u64));
            }
            batch.records.push(Record { index: batch.next, term: run.term, crc, payload });
            batch.next = batch.next.next();
            at += len as usize;
        }
        let all = skip + count == run.count as usize;
        batch.budget = if all { batch.budget.saturating_sub(bytes) } else { 0 };
        Ok(end)
    }

    fn open(&mut self, segment: &Arc<Segment>) -> Result<(), StorageError> {
        if self.open.as_ref().is_some_and(|(open, _)| Arc::ptr_eq(open, segment)) {
            return Ok(());
        }
        let file = self.fs.open(&segment.path, Access::Read);
        let file = file.map_err(|e| StorageError::io("open", &segment.path, &e))?;
        self.open = Some((Arc::clone(segment), file));
        self.window = Window::default();
        Ok(())
    }

    /// `len` bytes at `offset` of the open segment, shared with what is read `ahead`.
    fn bytes(
        &mut self,
        segment: &Segment,
        offset: u64,
        len: usize,
        ahead: usize,
    ) -> Result<Bytes, StorageError> {
        if !self.window.holds(offset, len) {
            self.window =
                Window { at: offset, bytes: self.fetch(segment, offset, len.max(ahead))? };
        }
        let at = (offset - self.window.at) as usize;
        if at + len > self.window.bytes.len() {
            return Err(damaged(segment, offset));
        }
        Ok(self.window.bytes.slice(at..at + len))
    }

    fn fetch(&self, segment: &Segment, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let Some((_, file)) = &self.open else { return Err(damaged(segment, offset)) };
        let len = len.min(segment.capacity.saturating_sub(offset) as usize);
        let mut bytes = vec![0; len];
        let got = file.read_at(&mut bytes, offset);
        bytes.truncate(got.map_err(|e| StorageError::io("read", &segment.path, &e))?);
        Ok(bytes.into())
    }
}

impl Window {
    fn holds(&self, offset: u64, len: usize) -> bool {
        offset >= self.at && offset + len as u64 <= self.at + self.bytes.len() as u64
    }
}

fn length(entries: impl Iterator<Item = (u32, u32)>) -> u64 {
    entries.map(|(len, _)| u64::from(len)).sum()
}

/// How many entries of a run, after the first `skip`, the batch still takes, and their bytes.
fn wanted(run: &Run<'_>, skip: usize, batch: &Batch) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for (len, _) in run.entries().skip(skip) {
        let is_first = batch.records.is_empty() && count == 0;
        let fits = is_first || bytes + len as usize <= batch.budget;
        if !fits || batch.next.0 + count as u64 > batch.last.0 {
            break;
        }
        (count, bytes) = (count + 1, bytes + len as usize);
    }
    (count, bytes)
}

fn damaged(segment: &Segment, offset: u64) -> StorageError {
    let flaw = "what was written here does not verify any more";
    refuse::corrupt(&segment.path, offset, flaw)
}

fn unreachable_entry(index: Index) -> StorageError {
    let message =
        format!("Entry {index} is in the log, but no segment holds it: a bug in the store.");
    StorageError::new(crate::storage::StorageErrorKind::Misuse, message)
}
