//! The store that keeps nothing: for tests, examples and state that may be lost.
//!
//! A clone is another handle on the same content, so a test can end a service and start it again on
//! what it had stored. Everything counts as durable at once.

use super::bounds::Bounds;
use super::{LogReader, LogStore, Record, Recovered, StorageError};
use crate::consensus::command::kind;
use crate::consensus::types::{Index, Term};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    bounds: Bounds,
    records: VecDeque<Record>,
    hint: Index,
    metadata: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore for Memory {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        Ok(self.content().recovered())
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        let mut content = self.content();
        for record in records {
            content.bounds.check_append(record.index)?;
            content.records.push_back(record.clone());
            content.bounds.extend(record.index, record.index);
        }
        content.hint = content.hint.max(commit.min(content.bounds.last));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.content().read(first, last, max_bytes)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.content().cut(first.prev());
        Ok(())
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        self.content().compact(last, last_term);
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.content().metadata.get(key).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.content().metadata.insert(key.into(), value.into());
        Ok(())
    }

    fn reader(&self) -> Option<Box<dyn LogReader>> {
        Some(Box::new(self.clone()))
    }
}

impl LogReader for Memory {
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.content().read(first, last, max_bytes)
    }
}

impl Content {
    fn recovered(&self) -> Recovered {
        let mut terms: Vec<(Index, Term)> = Vec::new();
        for record in &self.records {
            if terms.last().is_none_or(|(_, term)| *term != record.term) {
                terms.push((record.index, record.term));
            }
        }
        let changes = |r: &&Record| r.kind() == kind::MEMBERSHIP;
        let application = self.records.iter().rev().find(|record| record.kind() >= 0);
        Recovered {
            first: self.bounds.first,
            prev_term: self.bounds.prev_term(),
            last: self.bounds.last,
            terms,
            commit_hint: self.hint,
            memberships: self.records.iter().filter(changes).cloned().collect(),
            last_application: application.map_or(Index::ZERO, |record| record.index),
        }
    }

    fn read(
        &self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.bounds.check_read(first, last)?;
        let place = |index: Index| (index.0 - self.bounds.first.0) as usize;
        let mut bytes = 0;
        let fits = |record: &&Record| {
            bytes += record.payload.len();
            bytes <= max_bytes || record.index == first
        };
        Ok(self.records.range(place(first)..=place(last)).take_while(fits).cloned().collect())
    }

    fn cut(&mut self, keep_to: Index) {
        if self.bounds.cut(keep_to) {
            let kept = self.records.partition_point(|record| record.index <= self.bounds.last);
            self.records.truncate(kept);
            self.hint = self.hint.min(self.bounds.last);
        }
    }

    fn compact(&mut self, last: Index, last_term: Term) {
        if self.bounds.compact(last, last_term) {
            let gone = self.records.partition_point(|record| record.index <= last);
            self.records.drain(..gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{self, Make};

    #[test]
    fn keeps_the_contract() {
        let mut kept = Memory::new();
        let passed = conformance::run(&mut |make| {
            if make == Make::New {
                kept = Memory::new();
            }
            Ok(Box::new(kept.clone()))
        });
        assert!(passed.unwrap_or_else(|broken| panic!("{broken}")) > 70);
    }
}
