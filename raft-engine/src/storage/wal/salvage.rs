//! A damaged log as far as it can be trusted: everything below the first flaw, as it was once durable.
//!
//! What must hold: reading changes nothing. The state that says that this node lost entries is durable
//! before any file is touched; then everything that is not part of the log any more is kept under
//! another name. A crash in between leaves a log that is refused and salvaged once more, or that ends
//! where it was cut.

use super::found::Found;
use super::recovery::{Scan, Sorted, sort};
use super::segment::Segment;
use crate::storage::StorageError;
use crate::storage::directory::names;
use crate::storage::directory::state_file::State;
use crate::storage::fs::{Access, Fs};
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
    part(&mut scan, &candidates)?;
    let headless = spoiled.into_values().filter_map(|flaw| flaw.file);
    scan.found.aside.extend(headless);
    Ok(scan.found)
}

/// Tells what lies behind the end from what lies before it.
fn part(scan: &mut Scan<'_>, candidates: &BTreeMap<u64, Segment>) -> Result<(), StorageError> {
    let mut end = 0;
    if let Some(tail) = scan.found.tail.clone() {
        end = tail.segment.number;
        scan.load(&tail.segment)?;
        let rest = scan.bytes.get(tail.end as usize..).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            scan.found.copied = Some(tail.segment.path.clone());
        }
    }
    scan.found.blank.retain(|segment| segment.number < end);
    let behind = candidates.range(end + 1..).map(|(_, segment)| segment.path.clone());
    scan.found.aside.extend(behind);
    Ok(())
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
