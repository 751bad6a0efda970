//! What of a damaged database can be believed, and a new one with that.
//!
//! What must hold: entries are believed as long as each is chained to the one before; so what is taken over
//! is a log that this node once had. sled is not trusted to write where it could not read: the entries go
//! into a new database, and the old one is kept under another name, after the state says that something
//! was lost. A crash in between leaves the old database, or none; then the next start goes on from there.

use super::ends::Ends;
use super::log::Log;
use super::{check_not_newer, database, exists};
use crate::consensus::types::Index;
use crate::storage::directory::state_file::{End, State};
use crate::storage::directory::{Paths, names};
use crate::storage::fs::{Disk, Fs};
use crate::storage::{Record, Recovered, StorageError};
use std::path::Path;

/// What can be believed.
#[derive(Default)]
pub(super) struct Left {
    /// The old database, if it can be read at all.
    log: Option<Log>,
    pub found: Recovered,
}

impl Left {
    /// Looks at a database that was refused.
    pub fn look(paths: &Paths, state: &State) -> Result<Left, StorageError> {
        if !exists(&database::file_of(&paths.log))? {
            return Ok(Left::default());
        }
        let log = match Log::open(&paths.log, state.directory()) {
            Err(flaw) if flaw.is_damage() => return Ok(Left::default()),
            log => log?,
        };
        check_not_newer(&log, state)?;
        let found = intact(&log)?;
        Ok(Left { log: Some(log), found })
    }

    /// Makes a new database of it in place of the old one. Its changes are counted on from `end`.
    pub fn rebuild(
        self,
        paths: &Paths,
        directory: u64,
        unfinished: &Path,
        end: End,
    ) -> Result<(), StorageError> {
        let mut ends = Ends { number: end.seq, sync: end.segment, ..Ends::default() };
        if let Some(old) = &self.log {
            let bounds = old.ends().bounds;
            ends.bounds.compact(bounds.base.prev(), bounds.base_term);
        }
        let mut new = Log::create(unfinished, directory, ends)?;
        if let Some(old) = &self.log {
            copy(old, &mut new, self.found.last)?;
        }
        new.barrier()?;
        drop((new, self.log));
        put_aside(paths)
    }
}

/// The log up to its first flaw.
fn intact(log: &Log) -> Result<Recovered, StorageError> {
    let mut bounds = log.ends().bounds;
    let (mut found, mut last) = (Recovered::default(), bounds.first.prev());
    found.prev_term = bounds.prev_term();
    log.read_intact(|records| {
        for (record, commit) in records {
            let index = record.index;
            if index == last.next() && found.note(record).is_ok() {
                (last, found.commit_hint) = (index, commit.min(index));
            }
        }
        Ok(())
    })?;
    bounds.cut(last);
    (found.first, found.last) = (bounds.first, bounds.last);
    found.prev_term = bounds.prev_term();
    Ok(found)
}

/// Takes the entries up to `last` over.
fn copy(old: &Log, new: &mut Log, last: Index) -> Result<(), StorageError> {
    old.read_intact(|mut records| {
        records.retain(|(record, _)| record.index <= last);
        let hint = records.first().map(|(_, commit)| *commit).unwrap_or_default();
        let records: Vec<Record> = records.into_iter().map(|(record, _)| record).collect();
        new.append(&records, hint)
    })
}

/// Keeps the old database as `sled.damaged-1`, or the next number that is free.
fn put_aside(paths: &Paths) -> Result<(), StorageError> {
    if !paths.log.try_exists().is_ok_and(|there| there) {
        return Ok(());
    }
    let taken = names(&Disk, &paths.dir)?;
    let all = (1..).map(|n: u64| format!("sled.damaged-{n}"));
    let name = all.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
    let aside = paths.dir.join(name);
    Disk.rename(&paths.log, &aside).map_err(|e| StorageError::io("rename", &paths.log, &e))
}
