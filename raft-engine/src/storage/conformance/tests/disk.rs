//! A host's store that loses in a crash what it may lose, and, with a fault, more.
//!
//! It has what programs see, what is on the disk, and the calls between the two. An honest crash keeps
//! a beginning of these, perhaps a part of the last append too.

use super::faults::Fault;
use super::machine::{Call, Machine};
use crate::consensus::types::Index;
use crate::storage::custom::{HostReader, HostStore};
use crate::storage::{StorageError, StorageErrorKind};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A clone is the same store.
#[derive(Clone)]
pub struct Disk {
    machine: Arc<Mutex<Machine>>,
    pub fault: Option<Fault>,
}

impl Disk {
    pub fn new(fault: Option<Fault>) -> Disk {
        Disk { machine: Arc::default(), fault }
    }

    /// An empty store. It goes on counting.
    pub fn new_one(&self) -> Disk {
        let old = self.machine();
        let mut new = Machine { syncs: old.syncs, ..Machine::default() };
        if self.is(Fault::SharesOneFile) {
            new.seen = old.seen.clone();
        }
        if self.is(Fault::BeginsWithADummy) {
            new.seen.values.insert(0, Bytes::from_static(b"dummy"));
        }
        Disk { machine: Arc::new(Mutex::new(new)), fault: self.fault }
    }

    /// What a crash leaves.
    pub fn crashed(&self) -> Disk {
        let mut machine = self.machine().clone();
        machine.crash(self.fault);
        Disk { machine: Arc::new(Mutex::new(machine)), fault: self.fault }
    }

    pub fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn syncs(&self) -> (u64, u64) {
        self.machine().syncs
    }

    /// How often this store was opened, and how often it crashed.
    pub fn past(&self) -> (u64, u64) {
        let machine = self.machine();
        (machine.openings, machine.crashes)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, call: Call) {
        let fault = self.fault;
        self.machine().call(call, fault);
    }
}

fn error(text: &str) -> StorageError {
    StorageError::new(StorageErrorKind::Io, text)
}

impl HostStore for Disk {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        if self.is(Fault::LeaksFiles) {
            std::mem::forget(std::fs::File::open("/dev/null"));
        }
        let mut machine = self.machine();
        if self.is(Fault::RefusesAnEmptyFile) && machine.openings == 1 && machine.syncs_nothing() {
            return Err(error("the file is too short to have a header"));
        }
        machine.open(self.fault);
        if !self.is(Fault::OpensUnsynced) {
            machine.durable = machine.seen.clone();
            machine.calls.clear();
        }
        Ok(machine.ends(self.fault).map(|(first, last)| (Index(first), Index(last))))
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        let mut values = values.to_vec();
        let longest = values.iter().map(Bytes::len).max().unwrap_or_default();
        match self.fault {
            Some(Fault::RefusesLargeValues) if longest > 1 << 20 => {
                return Err(error("a value is longer than 1 MiB"));
            }
            Some(Fault::RefusesLargeBatches) if values.len() > 999 => {
                return Err(error("too many SQL variables"));
            }
            Some(Fault::DropsLargeBatches) => values.truncate(500),
            Some(Fault::EndsAtAZero) => values.iter_mut().for_each(cut_at_a_zero),
            Some(Fault::FillsUp) if self.machine().seen.values.len() > 10_000 => {
                return Err(error("the table is full"));
            }
            Some(Fault::PadsValues) => values.iter_mut().for_each(pad),
            _ => {}
        }
        for (index, value) in (first.0..).zip(values) {
            let index = if self.is(Fault::Keeps32Bits) { index & 0xffff_ffff } else { index };
            self.call(Call::Append(index, value));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut machine = self.machine();
        if self.is(Fault::FailsWithNothingToSync) && machine.calls.is_empty() && machine.idles() {
            return Err(error("cannot commit: no transaction is active"));
        }
        if self.is(Fault::FailsAfterACrash) && machine.crashes > 0 {
            return Err(error("database is locked"));
        }
        machine.sync(self.fault);
        Ok(())
    }

    fn read(&mut self, first: Index, last: Index, max: usize) -> Result<Vec<Bytes>, StorageError> {
        Ok(self.machine().read(first.0, last.0, max, self.fault))
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        match self.fault {
            Some(Fault::CutsTooLittle) => self.call(Call::Cut(first.0 + 1)),
            Some(Fault::CutsTooMuch) => self.call(Call::Cut(first.0.saturating_sub(1))),
            Some(Fault::CutsNotTheLast) if self.machine().seen.values.len() as u64 == first.0 => {}
            _ => self.call(Call::Cut(first.0)),
        }
        Ok(())
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        match self.fault {
            Some(Fault::CompactsTooMuch) => self.call(Call::Compact(last.0 + 1)),
            Some(Fault::CompactsWithinTheLog)
                if !self.machine().seen.values.contains_key(&(last.0 + 1)) =>
            {
                return Err(error("there is no such entry"));
            }
            _ => self.call(Call::Compact(last.0)),
        }
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.machine().seen.metadata.get(&self.key(key)).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        let mut value = value.to_vec();
        let old = self.metadata_get(key)?;
        match self.fault {
            Some(Fault::ShortensValues) => value.truncate(4096),
            Some(Fault::OverwritesInPlace) => {
                let old = old.unwrap_or_default();
                value.extend_from_slice(old.get(value.len()..).unwrap_or_default());
            }
            Some(Fault::EndsValuesAtAZero) if !key.starts_with("quorate.") => {
                value.truncate(value.iter().position(|byte| *byte == 0).unwrap_or(value.len()));
            }
            Some(Fault::TakesEmptyForNone) if value.is_empty() => {
                self.machine().seen.metadata.remove(key);
                return Ok(());
            }
            Some(Fault::KeepsTheFirstState) if old.is_some() && key == "quorate.state" => {
                return Ok(());
            }
            Some(Fault::HasTenKeys) if self.machine().seen.metadata.len() > 10 => {
                return Err(error("no room for another key"));
            }
            _ => {}
        }
        self.machine().syncs.0 += 1;
        let key = self.key(key);
        self.call(Call::Put(key, value));
        Ok(())
    }

    fn reader(&self) -> Option<Box<dyn HostReader>> {
        Some(Box::new(Beside(self.clone())))
    }
}

impl Disk {
    fn key(&self, key: &str) -> String {
        match self.fault {
            Some(Fault::FoldsKeys) => key.to_lowercase(),
            Some(Fault::ShortensKeys) => key.chars().take(64).collect(),
            Some(Fault::HasOneKey) if !key.starts_with("quorate.") => "only".into(),
            _ => key.into(),
        }
    }
}

fn cut_at_a_zero(value: &mut Bytes) {
    let payload = value.get(44..).unwrap_or_default();
    if let Some(end) = payload.iter().position(|byte| *byte == 0) {
        value.truncate(44 + end);
    }
}

fn pad(value: &mut Bytes) {
    let mut padded = value.to_vec();
    padded.resize(value.len().next_multiple_of(8), 0);
    *value = padded.into();
}

struct Beside(Disk);

impl HostReader for Beside {
    fn read(&mut self, first: Index, last: Index, max: usize) -> Result<Vec<Bytes>, StorageError> {
        match self.0.fault {
            Some(Fault::ReaderFails) => Err(error("objects can only be used in their thread")),
            Some(Fault::ReaderPanics) => panic!("used in another thread"),
            Some(Fault::ReaderIsOld) => {
                Ok(self.0.machine().read(first.0, last.0, max, Some(Fault::CachesForEver)))
            }
            _ => self.0.read(first, last, max),
        }
    }
}
