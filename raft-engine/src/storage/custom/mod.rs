//! A store of the host's own as the engine's store. The host keeps numbered values and named ones,
//! without knowing what is in them; terms, checksums, configurations and the place where the log
//! begins are worked out here.
//!
//! What must hold: nothing that the host's store gives back is believed unchecked. Every value names
//! its index and carries its checksums, and the beginning of the log is kept apart, under `BASE_KEY`,
//! durable before the log is cut at its front. So a store that mixes up, loses or invents records is
//! found out when it is opened or read, and the service stops rather than go on with them.

mod guarded;

use super::bounds::Bounds;
use super::{
    LogReader, LogStore, Record, Recovered, STATE_KEY, Salvaged, StorageError, StorageErrorKind,
    record,
};
use crate::consensus::types::{Index, Term};
use bytes::Bytes;
use guarded::Guarded;

/// The metadata key of where the log begins: `base u64 | term before it u64 | first u64`.
pub const BASE_KEY: &str = "quorate.base";
/// Bytes of one read while the log is looked through.
const PIECE: usize = 1 << 20;
/// A store of the host's own, used by one thread. The contract is that of `LogStore`: between two
/// syncs a crash keeps a prefix of the calls, in order; `metadata_put` is atomic, durable on return
/// and outside that order. The first error is terminal, and so is a panic, which is one. What waits for
/// the service is refused in all of them.
pub trait HostStore: Send {
    /// Called first, once. The lowest and the highest index; `None` when the log is empty. What it
    /// finds counts as synced from then on.
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError>;

    /// Adds values at `first`, `first + 1` and so on, without a gap after the last one; to an empty
    /// log at any index. May buffer until `sync`.
    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError>;

    /// Returns when everything before it would survive a power cut.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// The values from `first` on, in order, up to `last`. May stop early once `max_bytes` are read,
    /// but not before the first.
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError>;

    /// Removes `first` and everything after it; durable by the next sync.
    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError>;

    /// Removes `last`, which may lie beyond the end, and everything before it; likewise.
    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError>;

    /// The value, `None` when there is none.
    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Replaces one value, whole or not at all; durable on return.
    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError>;

    /// As `LogStore::has_room`.
    fn has_room(&mut self) -> bool {
        true
    }

    /// As `LogStore::reader`.
    fn reader(&self) -> Option<Box<dyn HostReader>> {
        None
    }
}

/// Reads beside a host's store, on another thread.
pub trait HostReader: Send {
    /// As `HostStore::read`.
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError>;
}

/// A host's store behind the engine's port.
pub struct Custom<S> {
    store: Guarded<S>,
    bounds: Bounds,
    /// Where the log begins as `BASE_KEY` says; 0 when that was never written.
    written_first: Index,
    /// What the store said of its log when it was opened.
    ends: Option<(Index, Index)>,
    /// From here on it is damaged: to be cut once the state says so.
    flaw: Option<Index>,
    /// Kept for its memory.
    values: Vec<Bytes>,
}

impl<S: HostStore> Custom<S> {
    /// The store, still closed.
    pub fn new(store: S) -> Custom<S> {
        let (bounds, written_first) = (Bounds::default(), Index::ZERO);
        let store = Guarded(store);
        Custom { store, bounds, written_first, ends: None, flaw: None, values: Vec::new() }
    }

    /// What `BASE_KEY` says, as the bounds of an empty log.
    fn read_base(&mut self) -> Result<(), StorageError> {
        let Some(value) = self.store.metadata_get(BASE_KEY)? else { return Ok(()) };
        let fields: Vec<u64> =
            value.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let (&[base, term, first], 24) = (fields.as_slice(), value.len()) else {
            return corrupt(format!("its value of {BASE_KEY} has {} bytes, not 24", value.len()));
        };
        self.bounds = Bounds::at(Index(base.max(1)), Term(term));
        self.bounds.base = Index(base);
        self.written_first = Index(first);
        Ok(())
    }

    /// Makes durable where the log begins, behind everything that was called before.
    fn write_base(&mut self, bounds: Bounds) -> Result<(), StorageError> {
        self.store.sync()?;
        let fields = [bounds.base.0, bounds.base_term.0, bounds.first.0];
        let value: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        self.store.metadata_put(BASE_KEY, &value)?;
        self.written_first = bounds.first;
        Ok(())
    }

    /// Compares where the log begins with where it should, and finishes a removal of its front that a
    /// crash interrupted.
    fn check_ends(&mut self, first: Index, last: Index) -> Result<(), StorageError> {
        if first.is_zero() || first > last || last.0 == u64::MAX {
            return corrupt(format!("it says that its log holds {first}..={last}"));
        }
        if self.written_first.is_zero() || first > self.written_first {
            let begins = self.written_first;
            return corrupt(format!(
                "its log begins at {first}, but the one that was written began at {begins}: entries \
                 are missing"
            ));
        }
        if first < self.written_first {
            self.store.truncate_prefix(self.written_first.prev())?;
            self.store.sync()?;
        }
        if last >= self.written_first {
            self.bounds.extend(self.written_first, last);
        }
        Ok(())
    }

    /// The record of one entry, if it is intact by itself.
    fn alone(&mut self, index: Index) -> Result<Option<(Record, Index)>, StorageError> {
        match self.store.read(index, index, 0) {
            Ok(values) => Ok(checked(index, index, values).ok().and_then(|mut all| all.pop())),
            Err(flaw) if flaw.is_damage() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Looks through the whole log.
    fn look_through(&mut self) -> Result<Recovered, StorageError> {
        let mut found = Recovered {
            first: self.bounds.first,
            prev_term: self.bounds.prev_term(),
            last: self.bounds.last,
            ..Recovered::default()
        };
        let mut next = self.bounds.first;
        while !self.bounds.is_empty() && next <= self.bounds.last {
            let values = self.store.read(next, self.bounds.last, PIECE)?;
            for (record, commit) in checked(next, self.bounds.last, values)? {
                next = record.index.next();
                found.commit_hint = commit.min(self.bounds.last);
                found.note(record).or_else(corrupt)?;
            }
        }
        Ok(found)
    }
}

impl<S: HostStore> LogStore for Custom<S> {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        self.ends = self.store.open()?;
        self.read_base()?;
        if let Some((first, last)) = self.ends {
            self.check_ends(first, last)?;
        }
        self.look_through()
    }

    /// The store is open, and what it gave was refused: it is looked through once more, one record after
    /// the other, up to the first flaw.
    fn salvage(&mut self) -> Result<Salvaged, StorageError> {
        let Some((first, last)) = self.ends.filter(|(first, last)| first <= last) else {
            return corrupt("it does not say what it holds".into());
        };
        self.read_base()?;
        let begins = self.written_first;
        let mut left =
            Salvaged { rest: "what lay behind was removed".into(), ..Salvaged::default() };
        let mut end = begins.prev();
        left.found.prev_term = self.bounds.prev_term();
        for index in (first.max(begins).0..=last.0).map(Index) {
            let Some((record, commit)) = self.alone(index)? else { break };
            if begins.is_zero() || index != end.next() || left.found.note(record).is_err() {
                break;
            }
            (end, left.found.commit_hint) = (index, commit.min(index));
        }
        if end >= begins && !begins.is_zero() {
            self.bounds.extend(begins, end);
        }
        self.flaw = Some(end.next().max(first));
        (left.found.first, left.found.last) = (self.bounds.first, self.bounds.last);
        left.found.prev_term = self.bounds.prev_term();
        Ok(left)
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        let Some(first) = records.first().map(|record| record.index) else { return Ok(()) };
        let mut bounds = self.bounds;
        for record in records {
            bounds.check_append(record.index)?;
            bounds.extend(record.index, record.index);
        }
        if bounds.first != self.written_first {
            self.write_base(bounds)?;
        }
        let hint = commit.min(bounds.last);
        self.values.extend(records.iter().map(|record| record::encode(record, hint)));
        let appended = self.store.append(first, &self.values);
        self.values.clear();
        appended?;
        self.bounds = bounds;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.store.sync()
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.bounds.check_read(first, last)?;
        let values = self.store.read(first, last, max_bytes)?;
        records(first, last, values)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        if self.bounds.cut(first.prev()) {
            self.store.truncate_suffix(first)?;
        }
        Ok(())
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        let mut bounds = self.bounds;
        if bounds.compact(last, last_term) {
            self.write_base(bounds)?;
            self.store.truncate_prefix(last)?;
            self.bounds = bounds;
        }
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.metadata_get(key)
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.store.metadata_put(key, value)?;
        match self.flaw.take_if(|_| key == STATE_KEY) {
            Some(flaw) => self.store.truncate_suffix(flaw).and_then(|()| self.store.sync()),
            None => Ok(()),
        }
    }

    fn has_room(&mut self) -> bool {
        self.store.has_room()
    }

    fn reader(&self) -> Option<Box<dyn LogReader>> {
        self.store.reader().map(|reader| Box::new(Beside(Guarded(reader))) as Box<dyn LogReader>)
    }
}

struct Beside(Guarded<Box<dyn HostReader>>);

impl LogReader for Beside {
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        let values = self.0.read(first, last, max_bytes)?;
        records(first, last, values)
    }
}

fn records(first: Index, last: Index, values: Vec<Bytes>) -> Result<Vec<Record>, StorageError> {
    Ok(checked(first, last, values)?.into_iter().map(|(record, _)| record).collect())
}

/// What a read gave, if that is what was asked for: records from `first` on, with their commit hints.
fn checked(
    first: Index,
    last: Index,
    values: Vec<Bytes>,
) -> Result<Vec<(Record, Index)>, StorageError> {
    let most = last.0 - first.0 + 1;
    if values.is_empty() || values.len() as u64 > most {
        let given = values.len();
        return corrupt(format!("asked for entries {first}..={last} it gave {given} records"));
    }
    let indexes = (first.0..).map(Index);
    let decoded = indexes.zip(values).map(|(index, value)| {
        record::decode(value, index).or_else(|wrong| {
            corrupt(format!("the record that it gave for entry {index} is not that: {wrong}"))
        })
    });
    decoded.collect()
}

fn corrupt<T>(wrong: String) -> Result<T, StorageError> {
    let message = format!(
        "the store broke its contract: {wrong}. Check it with the conformance kit; if it passes, its \
         files are damaged or were exchanged"
    );
    Err(StorageError::new(StorageErrorKind::Corrupt, message))
}

#[cfg(test)]
mod tests;
