//! The log in a database: entries in pieces, and where they begin and end.
//!
//! What must hold: entries are written before the ends that count them, and removed after the ends that
//! do not; so a crash, which keeps a prefix of what was written, leaves the log before or after a call,
//! or with a part of what it appended. What it leaves besides is removed when the next run begins.

use super::database::{Database, Scan};
use super::ends::{Ends, Flaw};
use super::pieces::{self, Assembly, key};
use super::refuse;
use crate::consensus::types::{Index, Term};
use crate::storage::{Record, Recovered, StorageError};
use std::path::Path;

/// Bytes of one read while the log is looked through.
const PIECE: usize = 1 << 20;
/// Bytes of entries between two writings of the ends.
const APPEND: usize = 1 << 20;
/// Keys that are looked for at once, to be removed.
const REMOVE: usize = 1000;

/// An open log.
pub(super) struct Log {
    database: Database,
    directory: u64,
    ends: Ends,
    /// The sync that makes durable what is written now.
    pub sync: u64,
}

impl Log {
    /// Makes an empty log in `dir`, where none is; its changes and syncs are counted on from `ends`.
    pub fn create(dir: &Path, directory: u64, ends: Ends) -> Result<Log, StorageError> {
        let database = Database::open(dir)?;
        let mut log = Log { database, directory, ends, sync: ends.sync + 1 };
        log.put_ends(ends)?;
        log.barrier()?;
        Ok(log)
    }

    /// Opens the log in `dir`; its entries are not looked at yet.
    pub fn open(dir: &Path, directory: u64) -> Result<Log, StorageError> {
        let database = Database::open(dir)?;
        let path = database.path();
        let value = database.single()?;
        let value = value.ok_or_else(|| refuse::corrupt(path, "its record of the log is gone"))?;
        let ends = Ends::decode(&value, directory).map_err(|flaw| match flaw {
            Flaw::Damaged => refuse::corrupt(path, "its record of the log is damaged"),
            Flaw::Later => refuse::version(path),
            Flaw::Foreign => refuse::foreign(path),
        })?;
        Ok(Log { database, directory, ends, sync: ends.sync })
    }

    /// Where it begins and ends.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Reads and checks the whole log.
    pub fn look_through(&self) -> Result<Recovered, StorageError> {
        let bounds = self.ends.bounds;
        let mut found = Recovered {
            first: bounds.first,
            prev_term: bounds.prev_term(),
            last: bounds.last,
            ..Recovered::default()
        };
        let (mut next, mut chain) = (bounds.first, self.ends.start);
        while !bounds.is_empty() && next <= bounds.last {
            let mut reading = Reading::new(next, bounds.last, chain, PIECE);
            self.read_into(&mut reading)?;
            (next, chain) = (reading.next, reading.chain);
            for (record, commit) in reading.records {
                found.commit_hint = commit.min(bounds.last);
                found.note(record).map_err(|flaw| self.corrupt(&flaw))?;
            }
        }
        if chain != self.ends.chain {
            return Err(self.corrupt("its last entries are not those that were written last"));
        }
        Ok(found)
    }

    /// Reads the log up to its first flaw, and gives each part that is intact to `take`.
    pub fn read_intact(
        &self,
        mut take: impl FnMut(Vec<(Record, Index)>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let bounds = self.ends.bounds;
        let (mut next, mut chain) = (bounds.first, self.ends.start);
        let mut is_intact = true;
        while is_intact && !bounds.is_empty() && next <= bounds.last {
            let mut reading = Reading::new(next, bounds.last, chain, PIECE);
            is_intact = self.read_into(&mut reading).is_ok();
            (next, chain) = (reading.next, reading.chain);
            take(reading.records)?;
        }
        Ok(())
    }

    /// Removes what a crash left outside of the log.
    pub fn clean(&mut self) -> Result<(), StorageError> {
        let bounds = self.ends.bounds;
        if bounds.is_empty() {
            return self.remove(Index::ZERO, Index(u64::MAX));
        }
        self.remove(Index::ZERO, bounds.first.prev())?;
        self.remove(bounds.last.next(), Index(u64::MAX))
    }

    /// Adds records; the ends are written for every part of them.
    pub fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        let mut ends = self.ends;
        let mut bytes = 0;
        for record in records {
            ends.bounds.check_append(record.index)?;
            ends.bounds.extend(record.index, record.index);
            bytes += record.payload.len();
            self.put(record, commit, &mut ends)?;
            if bytes > APPEND {
                self.put_ends(ends)?;
                (ends, bytes) = (self.ends, 0);
            }
        }
        if ends == self.ends { Ok(()) } else { self.put_ends(ends) }
    }

    fn put(&mut self, record: &Record, commit: Index, ends: &mut Ends) -> Result<(), StorageError> {
        let (whole, chain) = pieces::encode(record, commit.min(record.index), ends.chain);
        for (piece, bytes) in pieces::cut(&whole) {
            self.database.put(&key(record.index, piece), bytes)?;
        }
        ends.chain = chain;
        Ok(())
    }

    /// Removes `first` and everything after it.
    pub fn cut(&mut self, first: Index) -> Result<(), StorageError> {
        let mut ends = self.ends;
        if !ends.bounds.cut(first.prev()) {
            return Ok(());
        }
        if ends.bounds.is_empty() {
            (ends.start, ends.chain) = (0, 0);
        } else {
            ends.chain = self.chain_of(ends.bounds.last)?;
        }
        self.put_ends(ends)?;
        self.remove(ends.bounds.last.next(), Index(u64::MAX))
    }

    /// Removes `last`, which is of `term`, and everything before it.
    pub fn compact(&mut self, last: Index, term: Term) -> Result<(), StorageError> {
        let mut ends = self.ends;
        if !ends.bounds.compact(last, term) {
            return Ok(());
        }
        if ends.bounds.is_empty() {
            (ends.start, ends.chain) = (0, 0);
        } else if ends.bounds.first != self.ends.bounds.first {
            ends.start = self.chain_of(last)?;
        }
        self.put_ends(ends)?;
        self.remove(Index::ZERO, last)
    }

    /// The records from `first` on, at least one, as far as they fit.
    pub fn read(
        &self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.ends.bounds.check_read(first, last)?;
        let begins = first == self.ends.bounds.first;
        let before = if begins { self.ends.start } else { self.chain_of(first.prev())? };
        let mut reading = Reading::new(first, last, before, max_bytes);
        self.read_into(&mut reading)?;
        Ok(reading.records.into_iter().map(|(record, _)| record).collect())
    }

    /// Makes everything before it durable.
    pub fn barrier(&mut self) -> Result<(), StorageError> {
        self.database.barrier()
    }

    /// Bytes that may still be written to the file system.
    pub fn free_bytes(&self) -> u64 {
        self.database.free_bytes()
    }

    /// The file with the data is damaged.
    pub fn corrupt(&self, flaw: &str) -> StorageError {
        refuse::corrupt(self.database.path(), flaw)
    }

    #[cfg(test)]
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    fn put_ends(&mut self, ends: Ends) -> Result<(), StorageError> {
        let ends = Ends { number: self.ends.number + 1, sync: self.sync, ..ends };
        self.database.put_single(&ends.encode(self.directory))?;
        self.ends = ends;
        Ok(())
    }

    fn read_into(&self, reading: &mut Reading) -> Result<(), StorageError> {
        let (first, last) = (key(reading.next, 0), key(reading.last, u32::MAX));
        self.database.scan(&first, &last, |key, value| {
            reading.take(key, value).map_err(|flaw| self.corrupt(&flaw))
        })?;
        reading.end().map_err(|flaw| self.corrupt(&flaw))
    }

    fn chain_of(&self, index: Index) -> Result<u32, StorageError> {
        let piece = self.database.get(&key(index, 0))?;
        let chain = piece.and_then(|piece| pieces::chain_in(&piece));
        chain.ok_or_else(|| self.corrupt(&format!("entry {index} is gone")))
    }

    /// Removes the pieces of `first..=last` that are there.
    fn remove(&mut self, first: Index, last: Index) -> Result<(), StorageError> {
        loop {
            let mut found = Vec::new();
            self.database.scan(&key(first, 0), &key(last, u32::MAX), |key, _| {
                found.push(key.to_vec());
                Ok(if found.len() < REMOVE { Scan::Next } else { Scan::Stop })
            })?;
            for key in &found {
                self.database.remove(key)?;
            }
            if found.len() < REMOVE {
                return Ok(());
            }
        }
    }
}

/// Records on their way out of the database.
struct Reading {
    records: Vec<(Record, Index)>,
    /// The entry that is being put together.
    next: Index,
    last: Index,
    /// The chain of the entry before it.
    chain: u32,
    assembly: Assembly,
    used: usize,
    max_bytes: usize,
}

impl Reading {
    fn new(next: Index, last: Index, chain: u32, max_bytes: usize) -> Reading {
        let (records, assembly) = (Vec::new(), Assembly::default());
        Reading { records, next, last, chain, assembly, used: 0, max_bytes }
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<Scan, String> {
        let (index, piece) =
            pieces::place(key).ok_or("it holds a key that quorate never writes")?;
        if index != self.next && !self.assembly.is_empty() {
            self.finish()?;
            if self.used >= self.max_bytes {
                return Ok(Scan::Stop);
            }
        }
        if index != self.next || !self.assembly.push(piece, value) {
            return Err(format!("entry {} is gone, or a part of it", self.next));
        }
        Ok(Scan::Next)
    }

    fn finish(&mut self) -> Result<(), String> {
        let finished = self.assembly.finish(self.next, self.chain);
        let (record, commit, chain) =
            finished.map_err(|flaw| format!("entry {} is damaged: {flaw}", self.next))?;
        self.used += record.payload.len();
        self.records.push((record, commit));
        (self.next, self.chain) = (self.next.next(), chain);
        Ok(())
    }

    /// After the last key.
    fn end(&mut self) -> Result<(), String> {
        if !self.assembly.is_empty() {
            self.finish()?;
        }
        if self.records.is_empty() || self.next <= self.last && self.used < self.max_bytes {
            return Err(format!("entry {} is gone", self.next));
        }
        Ok(())
    }
}
