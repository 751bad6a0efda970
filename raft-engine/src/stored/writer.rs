//! Carries out what the protocol asks of its disk: writes strictly in order, several with one sync, which
//! is the whole group commit.

use super::begin::{Draw, open};
use super::{Stored, put_state};
use crate::codec;
use crate::consensus::command::Entry;
use crate::consensus::message::Message;
use crate::consensus::ready::{Fetch, HardState, Write};
use crate::consensus::types::Index;
use crate::error::Error;
use crate::storage::{LogReader, LogStore, Record, StorageError, StorageErrorKind};

/// A store that is open, and what it holds.
pub struct LogWriter {
    store: Box<dyn LogStore>,
    stored: Stored,
    /// Kept for its memory.
    records: Vec<Record>,
}

/// Writes that became durable together.
#[derive(Debug, Default)]
pub struct Round {
    /// The number of the last one.
    pub seq: u64,
    /// Messages that waited for them.
    pub after: Vec<Message>,
    commit: Index,
    unsynced: bool,
}

impl LogWriter {
    /// Opens a store and begins a new run of the node.
    ///
    /// # Errors
    /// The store refuses, or holds what no node can start from.
    pub fn open(mut store: Box<dyn LogStore>, draw: Draw<'_>) -> Result<LogWriter, Error> {
        let stored = open(&mut *store, draw)?;
        Ok(LogWriter { store, stored, records: Vec::new() })
    }

    /// What is stored.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Reads beside this, if the store can.
    #[must_use]
    pub fn reader(&self) -> Option<Box<dyn LogReader>> {
        self.store.reader()
    }

    /// Whether the store has room for what may be under way.
    pub fn has_room(&mut self) -> bool {
        self.store.has_room()
    }

    /// Carries out writes and makes them durable with one sync. `next` gives them, as long as it likes;
    /// it is told how many bytes of entries it has given.
    ///
    /// # Errors
    /// What reached the disk is unknown: nothing more may be written.
    pub fn carry_out(
        &mut self,
        mut next: impl FnMut(usize) -> Option<Write>,
    ) -> Result<Round, StorageError> {
        let (mut round, mut bytes) = (Round::default(), 0);
        while let Some(write) = next(bytes) {
            bytes += write.append.iter().map(Entry::size).sum::<usize>();
            self.execute(write, &mut round)?;
        }
        self.append(&mut round)?;
        if round.unsynced && !mutant!("g2_round_is_not_synced") {
            self.store.sync()?;
        }
        Ok(round)
    }

    fn execute(&mut self, write: Write, round: &mut Round) -> Result<(), StorageError> {
        if let Some(state) = write.state
            && !mutant!("a3_state_never_written")
        {
            put_state(&mut *self.store, &state)?;
            self.stored.state = state;
        }
        if let Some(keep) = write.keep_to {
            self.append(round)?;
            if !mutant!("b12_cut_never_written") {
                self.store.truncate_suffix(keep.next())?;
            }
            self.stored.cut(keep);
            round.unsynced = true;
        }
        self.stored.append(&write.append);
        self.records.extend(write.append.into_iter().map(codec::into_record));
        round.commit = round.commit.max(write.commit_hint);
        round.seq = write.seq;
        round.after.extend(write.after);
        Ok(())
    }

    /// Appends what was collected.
    fn append(&mut self, round: &mut Round) -> Result<(), StorageError> {
        if !self.records.is_empty() {
            self.store.append(&self.records, round.commit)?;
            self.records.clear();
            round.unsynced = true;
        }
        Ok(())
    }

    /// Old entries; `None` when they were cut meanwhile: whoever asked has another role now.
    ///
    /// # Errors
    /// They can't be read.
    pub fn fetch(&mut self, fetch: &Fetch) -> Result<Option<Vec<Entry>>, StorageError> {
        if fetch.to > self.stored.last {
            return Ok(None);
        }
        let records = self.store.read(fetch.from, fetch.to, fetch.max_bytes)?;
        entries(records).map(Some)
    }

    /// The node changes its lineage: the state first, then the log is cut as it says. Returns what is
    /// stored then. After a crash in between the next start does the rest.
    ///
    /// # Errors
    /// As `carry_out`.
    pub fn switch(&mut self, state: HardState) -> Result<Stored, StorageError> {
        self.stored.switch(&mut *self.store, state)?;
        Ok(self.stored.clone())
    }

    /// The last write of a run says that nothing came after it.
    ///
    /// # Errors
    /// As `carry_out`.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.stored.state.closed = true;
        put_state(&mut *self.store, &self.stored.state)
    }
}

/// Records as entries.
pub(crate) fn entries(records: Vec<Record>) -> Result<Vec<Entry>, StorageError> {
    let entry = |record: Record| {
        let index = record.index;
        let broken = || StorageError::new(StorageErrorKind::Corrupt, super::unreadable(index));
        codec::decode_entry(record).ok_or_else(broken)
    };
    records.into_iter().map(entry).collect()
}
