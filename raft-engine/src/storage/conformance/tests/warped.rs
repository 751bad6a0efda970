//! What may be wrong in a store that is made for the engine itself, on top of an honest host's store.

use super::disk::Disk;
use super::faults::Fault;
use crate::consensus::types::{Index, Term};
use crate::storage::conformance::rig::sized;
use crate::storage::custom::Custom;
use crate::storage::{LogReader, LogStore, Record, Recovered, StorageError, StorageErrorKind};

pub struct Warped {
    inner: Custom<Disk>,
    disk: Disk,
    last: u64,
}

impl Warped {
    pub fn new(inner: Custom<Disk>, disk: Disk) -> Warped {
        Warped { inner, disk, last: 0 }
    }

    fn is(&self, fault: Fault) -> bool {
        self.disk.is(fault)
    }

    fn has_crashed(&self) -> bool {
        self.disk.past().1 > 0
    }
}

fn refused<T>(text: &str) -> Result<T, StorageError> {
    Err(StorageError::new(StorageErrorKind::Misuse, text))
}

impl LogStore for Warped {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        let mut found = self.inner.open()?;
        self.last = found.last.0;
        let is_empty = found.last < found.first;
        match self.disk.fault {
            Some(Fault::ForgetsMemberships) => found.memberships.clear(),
            Some(Fault::MissesTheLastEntry) => found.last_application = Index::ZERO,
            Some(Fault::HintsBeyond) if self.last > 0 => found.commit_hint = Index(99),
            Some(Fault::ForgetsThePrevTerm) if self.has_crashed() => found.prev_term = Term::ZERO,
            Some(Fault::ForgetsTermsAfterACrash) if self.has_crashed() => found.terms.clear(),
            Some(Fault::ForgetsAnEmptyLog) if is_empty => found = Recovered::default(),
            _ => {}
        }
        Ok(found)
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        let mut records = records.to_vec();
        let first = records.first().map_or(0, |record| record.index.0);
        match self.disk.fault {
            Some(Fault::BeginsAtOneOnly) if self.last == 0 && first > 1 => {
                return refused("the log must begin at 1");
            }
            Some(Fault::PanicsOnNothing) => assert!(first > 0, "there is a first entry"),
            Some(Fault::PanicsAfterACrash) if self.has_crashed() => panic!("no such page"),
            Some(Fault::MixesTerms) => {
                let term = records.first().map_or(Term::ZERO, |record| record.term);
                records.iter_mut().for_each(|record| record.term = term);
            }
            _ => {}
        }
        let appended = self.inner.append(&records, commit);
        self.last = records.last().map_or(self.last, |record| record.index.0);
        if self.is(Fault::TakesAnything) { Ok(()) } else { appended }
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.inner.sync()
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        let mut found = self.inner.read(first, last, max_bytes);
        if self.is(Fault::InventsAfterACrash)
            && self.has_crashed()
            && let Ok(records) = &mut found
            && let Some(record) = records.last_mut()
        {
            *record = sized(record.index.0, record.term.0, 20);
        }
        match found {
            Err(_) if self.is(Fault::GivesAnything) => Ok(vec![sized(first.0, 1, 20)]),
            found => found,
        }
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        if self.is(Fault::FailsBehindTheEnd) && first.0 > self.last {
            return refused("there is no such entry");
        }
        self.last = self.last.min(first.0.saturating_sub(1));
        self.inner.truncate_suffix(first)
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        self.last = self.last.max(last.0);
        self.inner.truncate_prefix(last, last_term)
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.inner.metadata_get(key)
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.inner.metadata_put(key, value)
    }

    fn reader(&self) -> Option<Box<dyn LogReader>> {
        self.inner.reader()
    }
}
