//! A directory of the log whose files hold anything: a segment, its header, the state file. Checksums are
//! put right where the input asks for it, so that what stands behind them is reached; written from
//! docs/formats.md and not with the code under test.
//!
//! What must hold: opening (or salvaging) never panics and takes no more memory than the files are worth;
//! what it refuses is as it was; of what it takes every entry is there, in order, with the checksum that it
//! is returned with; and the log goes on behind it.

use super::input::Input;
use super::meter;
use super::repair::{u16_at, u32_at, u64_at};
use crate::simulated_fs::SimDisk;
use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, Record, Recovered, STATE_KEY, StorageError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Magic numbers, steps of frames.
pub const WORDS: &[&[u8]] = &[
    b"quo-wal\n",
    b"quo-st8\n",
    b"\x01\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0",
    b"\x02\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0",
    b"\x03\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0",
    b"\x04\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0",
    b"\x06\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
];

const DIR: &str = "/data";
const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const FIRST_FRAME: usize = 4096;

/// Two segments as the log itself writes them.
static TEMPLATE: LazyLock<SimDisk> = LazyLock::new(template);

fn wal(disk: &SimDisk) -> Wal {
    let options = WalOptions { segment_bytes: 16 << 10, adopt_copied_directory: false };
    Wal::on(Arc::new(disk.clone()), PathBuf::from(DIR), options)
}

fn state(counter: u64) -> Vec<u8> {
    let (node, incarnation) = (NodeId(6), Incarnation(counter << 40));
    let state =
        HardState { directory: 5, node, term: Term(9), incarnation, ..HardState::default() };
    encode_state(&state).to_vec()
}

fn record(index: u64, term: u64, len: usize) -> Record {
    let mut payload = vec![index as u8; len.max(32)];
    payload[..4].fill(0);
    let crc = crc32c::crc32c(&payload);
    Record { index: Index(index), term: Term(term), crc, payload: Bytes::from(payload) }
}

fn template() -> SimDisk {
    let disk = SimDisk::new(0x5e6);
    let mut store = wal(&disk);
    store.open().expect("a new directory");
    store.metadata_put(STATE_KEY, &state(1)).expect("a run begins");
    for n in 1..=24 {
        let records = [record(2 * n - 1, n / 9 + 1, 40), record(2 * n, n / 9 + 1, 40 * n as usize)];
        store.append(&records, Index(n)).expect("it is appended");
        store.sync().expect("it is synced");
    }
    store.truncate_suffix(Index(46)).expect("it is cut");
    store.append(&[record(46, 8, 60)], Index(40)).expect("it is appended");
    store.sync().expect("it is synced");
    drop(store);
    disk
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let files = disk.content().into_keys();
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

/// What the first bytes of an input say.
struct Plan {
    mends_frames: bool,
    mends_chain: bool,
    mends_payloads: bool,
    mends_files: bool,
    salvages: bool,
    /// Which segment is altered.
    last: bool,
    /// The files say what no log ever wrote, under checksums that fit: only behind what could have been
    /// written the log must go on.
    is_forged: bool,
}

/// A directory made of the template and an input.
fn directory(input: &mut Input<'_>) -> (SimDisk, Plan) {
    let (disk, flags) = (TEMPLATE.copy(), input.u8());
    let is = |bit: u8| flags & 1 << bit != 0;
    let mut plan = Plan {
        is_forged: false,
        mends_frames: is(0),
        mends_chain: is(1),
        mends_payloads: is(2),
        mends_files: is(3),
        salvages: is(4),
        last: is(5),
    };
    let state = Path::new(DIR).join("state");
    let edits = edits(input, 4 * SECTOR);
    disk.harm(&state, |file| alter_state(file, &edits, plan.mends_files));
    plan.is_forged = plan.mends_files && !edits.is_empty();
    let files = segments(&disk);
    let file = if plan.last { files.last() } else { files.first() };
    let (edits, frames) = (self::edits(input, 64), input.rest());
    let file = file.expect("the template has segments");
    plan.is_forged |=
        plan.mends_files && !edits.is_empty() || plan.mends_frames && !frames.is_empty();
    disk.harm(file, |file| alter_segment(file, &edits, frames, &plan));
    (disk, plan)
}

/// Up to three numbers and where they stand.
fn edits(input: &mut Input<'_>, limit: usize) -> Vec<(usize, u64)> {
    let count = input.below(4);
    (0..count).map(|_| (usize::from(input.u16()) % limit, input.u64())).collect()
}

fn put(file: &mut [u8], at: usize, number: u64) {
    if let Some(place) = file.get_mut(at..at + 8) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// A place is one in the four sectors that mean something.
fn alter_state(file: &mut [u8], edits: &[(usize, u64)], mends: bool) {
    for (at, number) in edits {
        put(file, at / SECTOR * BLOCK + at % SECTOR, *number);
    }
    for block in file.chunks_exact_mut(BLOCK).filter(|_| mends) {
        let crc = crc32c::crc32c(&block[12..SECTOR]);
        block[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}

fn alter_segment(file: &mut [u8], edits: &[(usize, u64)], frames: &[u8], plan: &Plan) {
    edits.iter().for_each(|(at, number)| put(file, *at, *number));
    if plan.mends_files {
        let crc = crc32c::crc32c(&file[12..64]);
        file[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    let salt = u64_at(file, 32);
    let area = &mut file[FIRST_FRAME..];
    let len = frames.len().min(area.len());
    if len > 0 {
        area.fill(0);
        area[..len].copy_from_slice(&frames[..len]);
    }
    if plan.mends_frames {
        mend_frames(area, salt, plan);
    }
}

/// Walks the frames and writes their checksums, and those of the payloads and the frames before.
fn mend_frames(area: &mut [u8], salt: u64, plan: &Plan) {
    let (mut at, mut before) = (0, None);
    while at + 32 <= area.len() {
        let (control, data) = (u32_at(area, at + 4) as usize, u32_at(area, at + 20) as usize);
        let end = (at + 32).saturating_add(control).saturating_add(data);
        if control == 0 || end > area.len() {
            return;
        }
        let frame = &mut area[at..end];
        if let Some(crc) = before.filter(|_| plan.mends_chain) {
            let crc: u32 = crc;
            frame[16..20].copy_from_slice(&crc.to_le_bytes());
        }
        if plan.mends_payloads {
            let (head, data) = frame.split_at_mut(32 + control);
            mend_payloads(&mut head[32..], data);
        }
        before = Some(mend_frame(frame, control, salt, FIRST_FRAME + at));
        at = end.next_multiple_of(8);
    }
}

fn mend_frame(frame: &mut [u8], control: usize, salt: u64, offset: usize) -> u32 {
    let place = [salt.to_le_bytes(), (offset as u64).to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &frame[4..32 + control]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Walks the steps of a control and writes the checksum of each payload.
fn mend_payloads(mut control: &mut [u8], mut data: &[u8]) {
    while control.len() >= 16 {
        let len = u32_at(control, 4) as usize;
        let end = 16usize.saturating_add(len).next_multiple_of(8);
        if end > control.len() {
            return;
        }
        let (step, rest) = control.split_at_mut(end);
        let table = if u16_at(step, 0) == 1 { 40 } else { step.len() };
        for slot in step.get_mut(table..).unwrap_or_default().chunks_exact_mut(8) {
            let payload = data.split_at_checked(u32_at(slot, 0) as usize);
            let Some((payload, behind)) = payload else { return };
            slot[4..].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
            data = behind;
        }
        control = rest;
    }
}

/// One directory, opened or salvaged.
pub fn run(bytes: &[u8]) {
    let (disk, plan) = directory(&mut Input::new(bytes));
    let before = disk.content();
    let worth: usize = before.values().map(Vec::len).sum();
    let mut store = wal(&disk);
    let found = meter::within(4 * worth + (64 << 10), || match plan.salvages {
        true => store.salvage().map(|salvaged| salvaged.found),
        false => store.open(),
    });
    match found {
        Ok(found) => {
            check(&mut store, &found);
            let went_on = go_on(&disk, store, &found);
            assert!(went_on.is_ok() || plan.is_forged, "{went_on:?}");
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(disk.content() == before, "what is refused is as it was: {error}");
        }
    }
}

/// Writes behind what was found, and opens that.
fn go_on(disk: &SimDisk, mut store: Wal, found: &Recovered) -> Result<(), StorageError> {
    let Some(index) = found.last.0.checked_add(1) else { return Ok(()) };
    let next = record(index, u64::MAX / 8, 50);
    store.metadata_put(STATE_KEY, &state(1 << 20))?;
    store.append(std::slice::from_ref(&next), Index(0))?;
    store.sync()?;
    drop(store);
    let mut again = wal(disk);
    let second = again.open()?;
    assert_eq!(second.last, next.index);
    check(&mut again, &second);
    assert_eq!(again.read(next.index, next.index, 1)?, [next]);
    Ok(())
}

/// Reads all entries: in order, with their checksums.
fn check(store: &mut Wal, found: &Recovered) {
    let (first, last) = (found.first.0, found.last.0);
    if first == 0 || last < first {
        return;
    }
    assert!(last - first < 1 << 20, "no more entries than the files have room for");
    let mut next = first;
    while next <= last {
        let Ok(records) = store.read(Index(next), found.last, 64 << 10) else { return };
        assert!(!records.is_empty());
        for record in records {
            assert_eq!(record.index.0, next);
            assert_eq!(crc32c::crc32c(&record.payload), record.crc);
            let term = found.terms.iter().rev().find(|(begin, _)| *begin <= record.index);
            assert_eq!(term.map(|(_, term)| *term), Some(record.term));
            next += 1;
        }
    }
}

/// The frames of the template, altered in no way or in those that checksums do not notice.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let content = TEMPLATE.content();
    let files = segments(&TEMPLATE);
    let mut seeds = vec![vec![], vec![0x3f], vec![0x2f; 9], vec![1, 0, 0]];
    for (number, path) in files.iter().enumerate() {
        let area = &content[path][FIRST_FRAME..];
        let last = if number + 1 == files.len() { 0x20 } else { 0 };
        for flags in [0, 0x0f, 0x10, 0x1f] {
            for len in [200, 900, 3_000] {
                seeds.push([&[flags | last, 0, 0], &area[..len]].concat());
            }
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mending writes what the log itself wrote.
    #[test]
    fn mended_files_are_those_of_the_log() {
        let (disk, _) = directory(&mut Input::new(&[0x2f]));
        assert_eq!(disk.content(), TEMPLATE.content());
        assert!(segments(&disk).len() > 1);
    }
}
