//! A damaged log as far as it can be trusted: everything below the first flaw, as it was once durable.
//!
//! What must hold: reading changes nothing. The state that says that this node lost entries is durable
//! before any file is touched; then everything that is not part of the log any more is kept under
//! another name. A crash in between leaves a log that is refused and salvaged once more, or that ends
//! where it was cut.

use super::found::{Found, memberships_in};
use super::frame::Frame;
use super::recovery::{AHEAD, Scan, Sorted, later_frame, sort};
use super::segment::{FIRST_FRAME, Segment};
use crate::storage::directory::names;
use crate::storage::directory::state_file::State;
use crate::storage::fs::{Access, Fs};
use crate::storage::{Record, StorageError};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// Reads a log that was refused, up to its first flaw.
pub(super) fn salvage(fs: &dyn Fs, dir: &Path, state: &State) -> Result<Found, StorageError> {
    let Sorted { found, candidates, spoiled } = sort(fs, dir, state)?;
    let mut scan = Scan::new(fs, state, &candidates, found);
    scan.settle()?;
    let end = spoiled.range(state.oldest..).next().map_or(u64::MAX, |(number, _)| *number);
    let has_beginning = candidates.contains_key(&state.oldest);
    for number in candidates.keys().take_while(|number| has_beginning && **number < end) {
        match scan.take(*number) {
            Err(flaw) if flaw.is_damage() && !scan.is_misfit => break,
            taken => taken?,
        }
    }
    part(&mut scan, &candidates, state.end.seq)?;
    let headless = spoiled.into_values().filter_map(|flaw| flaw.file);
    scan.found.aside.extend(headless);
    Ok(scan.found)
}

/// Tells what lies behind the end from what lies before it. The log had `known` frames, or more.
fn part(
    scan: &mut Scan<'_>,
    candidates: &BTreeMap<u64, Segment>,
    known: u64,
) -> Result<(), StorageError> {
    let (mut end, mut seq) = (0, known.saturating_sub(AHEAD / 2));
    if let Some(tail) = scan.found.tail.clone() {
        (end, seq) = (tail.segment.number, tail.seq);
        scan.load(&tail.segment)?;
        let rest = scan.bytes.get(tail.end as usize..).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            scan.found.copied = Some(tail.segment.path.clone());
        }
        scan.found.beyond.extend(changes_in(&scan.bytes, tail.segment.salt, tail.end, seq));
    }
    scan.found.blank.retain(|segment| segment.number < end);
    for segment in candidates.range(end + 1..).map(|(_, segment)| segment) {
        scan.load(segment)?;
        scan.found.beyond.extend(changes_in(&scan.bytes, segment.salt, FIRST_FRAME, seq));
        scan.found.aside.push(segment.path.clone());
    }
    Ok(())
}

/// Configurations in the intact frames behind `from` that are later than `seq`.
fn changes_in(bytes: &[u8], salt: u64, mut from: u64, seq: u64) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some((offset, _)) = later_frame(bytes, salt, from, seq) {
        from = offset + 8;
        if let Ok(frame) = Frame::verify(bytes, salt, offset) {
            all.extend(memberships_in(&frame));
            from = offset + frame.header.frame_len();
        }
    }
    all
}

/// Keeps the damaged files under names of their own, for whoever wants to look at them.
pub(super) fn set_aside(fs: &dyn Fs, wal: &Path, found: &Found) -> Result<(), StorageError> {
    if let Some(path) = &found.copied {
        let aside = free_name(&names(fs, wal)?, path);
        copy(fs, path, &aside).map_err(|e| StorageError::io("copy", path, &e))?;
    }
    for path in &found.aside {
        let aside = free_name(&names(fs, wal)?, path);
        fs.rename(path, &aside).map_err(|e| StorageError::io("rename", path, &e))?;
    }
    if found.copied.is_none() && found.aside.is_empty() {
        return Ok(());
    }
    fs.sync_dir(wal).map_err(|e| StorageError::io("sync", wal, &e))
}

/// A copy, whole or not at all. The original stays in the log and is cut.
fn copy(fs: &dyn Fs, path: &Path, aside: &Path) -> io::Result<()> {
    let file = fs.open(path, Access::Read)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    let unfinished = PathBuf::from(format!("{}.tmp", aside.display()));
    let copy = fs.open(&unfinished, Access::Create)?;
    copy.write_at(&mut [IoSlice::new(&bytes)], 0)?;
    copy.sync_data()?;
    fs.rename(&unfinished, aside)
}

/// `NAME.damaged-1`, or the next number that is free.
fn free_name(taken: &[String], path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (1..).map(|n: u64| format!("{name}.damaged-{n}"));
    let mut free = names.filter(|name| !taken.contains(name));
    path.with_file_name(free.next().unwrap_or_default())
}
