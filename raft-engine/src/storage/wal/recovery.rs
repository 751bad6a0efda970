//! Reads a log back, and tells a torn end, which is cut, from damage, which is refused.
//!
//! The rule behind the verdicts: frame n + 1 is written only after the sync of frame n returned. So
//! anything that proves a frame above n proves that n was durable, and if n does not verify then, it
//! was damaged. Without such a proof n was never acknowledged. Nothing here writes.

use super::found::{Found, Tail};
use super::frame::{Flaw, Frame, HEAD, Header, Link, verify_head};
use super::log_index::LogIndex;
use super::segment::{FIRST_FRAME, Segment, path_of, read_header};
use crate::storage::StorageError;
use crate::storage::directory::state_file::State;
use crate::storage::directory::{names, number_of, refuse};
use crate::storage::fs::{Access, File, Fs};
use crate::storage::integers::u64_at;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How far ahead of the expected frame a number may be to count as a proof.
const AHEAD: u64 = 1 << 20;
/// The number of a frame that no log lives to write.
const MAX_SEQ: u64 = u64::MAX >> 1;

/// Reads the log in `dir`, of which `state` says where it begins and how far it may reach.
pub(super) fn recover(fs: &dyn Fs, dir: &Path, state: &State) -> Result<Found, StorageError> {
    let Sorted { found, candidates, spoiled } = sort(fs, dir, state)?;
    if let Some((_, flaw)) = spoiled.into_iter().next() {
        return Err(flaw);
    }
    present(dir, state, &candidates)?;
    let mut scan = Scan::new(fs, state, &candidates, found);
    scan.settle()?;
    for number in candidates.keys() {
        scan.segment(*number)?;
    }
    scan.judge_end()?;
    Ok(scan.found)
}

/// The files of a log by what they may be.
pub(super) struct Sorted {
    pub found: Found,
    /// Segments that may hold frames of the log.
    pub candidates: BTreeMap<u64, Segment>,
    /// Segments with a header that does not verify.
    pub spoiled: BTreeMap<u64, StorageError>,
}

/// Checks the header of every segment, and keeps apart those that may hold frames of the log.
pub(super) fn sort(fs: &dyn Fs, dir: &Path, state: &State) -> Result<Sorted, StorageError> {
    let log = LogIndex::at(state.base, state.base_term);
    let mut found = Found { log, highest: state.newest, ..Found::default() };
    let (mut candidates, mut spoiled) = (BTreeMap::new(), BTreeMap::new());
    for name in names(fs, dir)? {
        if let Some(number) = number_of(&name, ".tmp") {
            found.highest = found.highest.max(number);
            found.leftovers.push(dir.join(&name));
        }
        let Some(number) = number_of(&name, ".log") else { continue };
        let path = path_of(dir, number);
        let file = open(fs, &path, Access::Read)?;
        found.highest = found.highest.max(number);
        let segment = match read_header(file.as_ref(), &path, number, state.directory()) {
            Err(flaw) if flaw.is_damage() => {
                spoiled.insert(number, flaw);
                continue;
            }
            segment => segment?,
        };
        if number > state.newest {
            unused(file.as_ref(), &segment)?;
            found.ready.push(segment);
        } else if number < state.oldest {
            found.leftovers.push(path);
        } else {
            candidates.insert(number, segment);
        }
    }
    Ok(Sorted { found, candidates, spoiled })
}

fn open(fs: &dyn Fs, path: &Path, access: Access) -> Result<Box<dyn File>, StorageError> {
    fs.open(path, access).map_err(|e| StorageError::io("open", path, &e))
}

/// A segment above the newest one of the state was never written: the state is raised first.
fn unused(file: &dyn File, segment: &Segment) -> Result<(), StorageError> {
    if !begins_with_frame(file, segment)? {
        return Ok(());
    }
    let flaw = "the segment has frames, but the state file was written before it was begun: the \
                state is older than the log";
    Err(refuse::corrupt(&segment.path, FIRST_FRAME, flaw))
}

/// Whether header and control of a first frame verify. Memory is taken for what the file has, not for
/// what it says.
fn begins_with_frame(file: &dyn File, segment: &Segment) -> Result<bool, StorageError> {
    let failed = |e| StorageError::io("read", &segment.path, &e);
    let room = file.len().map_err(failed)?.min(segment.capacity);
    let mut head = vec![0; HEAD];
    file.read_at(&mut head, FIRST_FRAME).map_err(failed)?;
    let len = Header::decode(&head).map_or(0, |header| header.head_len());
    if FIRST_FRAME + len > room {
        return Ok(false);
    }
    head.resize(len as usize, 0);
    file.read_at(&mut head, FIRST_FRAME).map_err(failed)?;
    Ok(Header::decode(&head).is_some_and(|h| h.verifies(&head, segment.salt, FIRST_FRAME)))
}

/// The two ends of the log's segments must be there; what lies between, the links tell.
fn present(
    dir: &Path,
    state: &State,
    candidates: &BTreeMap<u64, Segment>,
) -> Result<(), StorageError> {
    for (number, what) in [(state.oldest, "begins"), (state.newest, "ends")] {
        if number > 0 && !candidates.contains_key(&number) {
            let evidence = format!("the state file says that the log {what} in it");
            return Err(refuse::missing(&path_of(dir, number), &evidence));
        }
    }
    Ok(())
}

/// Takes segments in, one after the other.
pub(super) struct Scan<'a> {
    fs: &'a dyn Fs,
    state: &'a State,
    candidates: &'a BTreeMap<u64, Segment>,
    pub found: Found,
    /// The segment that was read last, and its number.
    pub bytes: Vec<u8>,
    loaded: u64,
    /// A frame is intact and does not fit the log: no damage of a disk can be the cause.
    pub is_misfit: bool,
}

impl<'a> Scan<'a> {
    pub fn new(
        fs: &'a dyn Fs,
        state: &'a State,
        candidates: &'a BTreeMap<u64, Segment>,
        found: Found,
    ) -> Scan<'a> {
        let (bytes, loaded, is_misfit) = (Vec::new(), 0, false);
        Scan { fs, state, candidates, found, bytes, loaded, is_misfit }
    }

    /// Makes durable what a killed run may have left in memory alone, and lets the disk itself be
    /// read where the end may be: what is recovered counts as durable from now on.
    pub fn settle(&self) -> Result<(), StorageError> {
        for segment in self.candidates.values().rev() {
            if mutant!("g13_recovered_end_is_not_synced") {
                break;
            }
            let file = open(self.fs, &segment.path, Access::Write)?;
            let settled = file.sync_data().and_then(|()| file.evict());
            settled.map_err(|e| StorageError::io("sync", &segment.path, &e))?;
            if begins_with_frame(file.as_ref(), segment)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads a segment whole: one large read is what makes a restart fast.
    pub fn load(&mut self, segment: &Segment) -> Result<(), StorageError> {
        if self.loaded == segment.number {
            return Ok(());
        }
        let failed = |e| StorageError::io("read", &segment.path, &e);
        let file = open(self.fs, &segment.path, Access::Read)?;
        let len = file.len().map_err(failed)?.min(segment.capacity);
        self.bytes.resize(len as usize, 0);
        let got = file.read_at(&mut self.bytes, 0).map_err(failed)?;
        self.bytes.truncate(got);
        self.loaded = segment.number;
        Ok(())
    }

    /// The newest segment is as long as it was made: only a later start cuts it.
    fn check_len(&self, segment: &Segment) -> Result<(), StorageError> {
        let len = self.bytes.len() as u64;
        if len >= segment.capacity || segment.number != self.state.newest {
            return Ok(());
        }
        let flaw = format!("the file ends here; it was made {} bytes long", segment.capacity);
        Err(refuse::corrupt(&segment.path, len, &flaw))
    }

    fn segment(&mut self, number: u64) -> Result<(), StorageError> {
        self.load(&self.candidates[&number])?;
        self.check_len(&self.candidates[&number])?;
        self.take(number)
    }

    /// Takes in a segment, up to its first flaw.
    pub fn take(&mut self, number: u64) -> Result<(), StorageError> {
        let segment = &self.candidates[&number];
        self.load(segment)?;
        let bytes = std::mem::take(&mut self.bytes);
        let walked = self.walk(segment, &bytes);
        self.bytes = bytes;
        walked
    }

    /// Takes all frames of a segment in.
    fn walk(&mut self, segment: &Segment, bytes: &[u8]) -> Result<(), StorageError> {
        let Some(first) = self.verify(segment, bytes, FIRST_FRAME)? else {
            return self.blank(segment, bytes);
        };
        let Some(link) = first.link() else {
            let flaw = "the first frame has no link to the segment before";
            return Err(refuse::corrupt(&segment.path, FIRST_FRAME, flaw));
        };
        if link.seq >= MAX_SEQ {
            let flaw = format!("its link says that {} frames were written before", link.seq);
            return Err(refuse::corrupt(&segment.path, FIRST_FRAME, &flaw));
        }
        self.check_link(segment, &link)?;
        let segment = Arc::new(segment.clone());
        self.found.segments.insert(segment.number, Arc::clone(&segment));
        let (mut end, mut seq, mut crc) = (FIRST_FRAME, link.seq, link.crc);
        while let Some(frame) = self.verify(&segment, bytes, end)? {
            if (frame.header.seq, frame.header.previous) != (seq + 1, crc) {
                break; // not the next one: the search for later frames judges it
            }
            let taken = self.found.take(&segment, end, &frame);
            self.is_misfit = taken.is_err();
            taken?;
            end += frame.header.frame_len();
            (seq, crc) = (frame.header.seq, frame.header.crc);
        }
        self.found.tail = Some(Tail { segment, end, seq, crc });
        Ok(())
    }

    fn verify<'b>(
        &self,
        segment: &Segment,
        bytes: &'b [u8],
        offset: u64,
    ) -> Result<Option<Frame<'b>>, StorageError> {
        match Frame::verify(bytes, segment.salt, offset) {
            Ok(frame) => Ok(Some(frame)),
            Err(Flaw::Broken) => Ok(None),
            Err(Flaw::Unknown) => Err(refuse::version(&segment.path, offset)),
        }
    }

    /// A segment without a first frame: begun, and stopped before the first sync returned.
    fn blank(&mut self, segment: &Segment, bytes: &[u8]) -> Result<(), StorageError> {
        let expected = self.found.tail.as_ref().map_or(1, |tail| tail.seq + 1);
        no_later_frame(segment, bytes, FIRST_FRAME, expected)?;
        self.found.blank.push(segment.clone());
        Ok(())
    }

    /// The link of a segment's first frame must name the end that was found.
    fn check_link(&self, segment: &Segment, link: &Link) -> Result<(), StorageError> {
        let says = format!(
            "segment {:016x} says that the log reached frame {} in segment {:016x} at offset {}",
            segment.number, link.seq, link.segment, link.end
        );
        let Some(tail) = &self.found.tail else {
            return self.check_begin(segment, link, &says);
        };
        if *link == tail.link() {
            return Ok(());
        }
        if link.segment == tail.segment.number && link.seq > tail.seq {
            return Err(refuse::damaged_frame(&tail.segment.path, tail.end, tail.seq + 1, &says));
        }
        self.misfit(segment, link, &says)
    }

    /// The first segment with frames must be the one where the log begins.
    fn check_begin(&self, segment: &Segment, link: &Link, says: &str) -> Result<(), StorageError> {
        if segment.number == self.state.oldest {
            return Ok(());
        }
        match self.candidates.get(&self.state.oldest) {
            Some(oldest) if link.segment <= oldest.number => {
                Err(refuse::damaged_frame(&oldest.path, FIRST_FRAME, 1, says))
            }
            _ => self.misfit(segment, link, says),
        }
    }

    fn misfit(&self, segment: &Segment, link: &Link, says: &str) -> Result<(), StorageError> {
        match self.candidates.get(&link.segment) {
            Some(named) if self.found.blank.contains(named) => {
                Err(refuse::damaged_frame(&named.path, FIRST_FRAME, link.seq, says))
            }
            Some(_) => Err(refuse::corrupt(
                &segment.path,
                FIRST_FRAME,
                &format!("{says}, which does not fit"),
            )),
            None => {
                let dir = segment.path.parent().unwrap_or(Path::new("."));
                Err(refuse::missing(&path_of(dir, link.segment), says))
            }
        }
    }

    /// The end that was found: clean or torn, or is there a proof that the log was longer?
    pub fn judge_end(&mut self) -> Result<(), StorageError> {
        let Some(tail) = self.found.tail.clone() else { return self.judge_no_end() };
        if self.state.end.seq > tail.seq {
            let (path, offset) = match self.candidates.get(&self.state.end.segment) {
                Some(other) if other.number != tail.segment.number => (&other.path, FIRST_FRAME),
                _ => (&tail.segment.path, tail.end),
            };
            let evidence =
                format!("the state file says that frame {} was durable", self.state.end.seq);
            return Err(refuse::damaged_frame(path, offset, tail.seq + 1, &evidence));
        }
        self.load(&tail.segment)?;
        no_later_frame(&tail.segment, &self.bytes, tail.end, tail.seq + 1)
    }

    /// Not one frame: right for a directory whose first start was interrupted.
    fn judge_no_end(&self) -> Result<(), StorageError> {
        match self.candidates.get(&self.state.end.segment) {
            Some(segment) => {
                let evidence =
                    format!("the state file says that frame {} was durable", self.state.end.seq);
                Err(refuse::damaged_frame(&segment.path, FIRST_FRAME, 1, &evidence))
            }
            None => Ok(()),
        }
    }
}

/// Frame `expected`, at `from`, does not verify; refuses the segment if it has a later one.
fn no_later_frame(
    segment: &Segment,
    bytes: &[u8],
    from: u64,
    expected: u64,
) -> Result<(), StorageError> {
    match later_frame(bytes, segment.salt, from, expected) {
        Some(_) if mutant!("g3_middle_corruption_is_torn_tail") => Ok(()),
        Some((offset, seq)) => {
            let evidence = format!("frame {seq} is intact at offset {offset}");
            Err(refuse::damaged_frame(&segment.path, from, expected, &evidence))
        }
        None => Ok(()),
    }
}

/// Place and number of a frame behind `from` that is later than `expected`. It may begin at any
/// multiple of 8: where it should begin is known only as long as frames verify.
fn later_frame(bytes: &[u8], salt: u64, from: u64, expected: u64) -> Option<(u64, u64)> {
    let mut at = from as usize;
    while at + HEAD <= bytes.len() {
        let number = at + 8;
        if number.is_multiple_of(ZEROS.len()) && bytes[number..].starts_with(&ZEROS) {
            at += ZEROS.len(); // 0 is the number of no frame
            continue;
        }
        let seq = u64_at(bytes, number);
        let is_later = seq > expected && seq - expected <= AHEAD;
        if is_later && verify_head(bytes, salt, at as u64).is_some() {
            return Some((at as u64, seq));
        }
        at += 8;
    }
    None
}

/// Most of a segment's rest: skipped at the speed of memory.
static ZEROS: [u8; 4096] = [0; 4096];
