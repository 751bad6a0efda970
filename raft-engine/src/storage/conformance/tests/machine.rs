//! What programs see, what is on the disk, and the calls between the two: the inside of `disk.rs`.

use super::faults::Fault;
use crate::storage::conformance::model::Dice;
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub struct Machine {
    pub seen: Content,
    pub durable: Content,
    pub calls: Vec<Call>,
    /// Values as they were first read, for a cache that nobody keeps up to date.
    pub cache: BTreeMap<u64, Bytes>,
    pub crashes: u64,
    pub openings: u64,
    /// Syncs and metadata that had something to write, and syncs that had not.
    pub syncs: (u64, u64),
}

#[derive(Clone, Default)]
pub struct Content {
    pub values: BTreeMap<u64, Bytes>,
    pub metadata: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone)]
pub enum Call {
    Append(u64, Bytes),
    Cut(u64),
    Compact(u64),
    Put(String, Vec<u8>),
}

impl Content {
    pub fn make(&mut self, call: &Call, fault: Option<Fault>) {
        match call {
            Call::Append(index, value) => {
                if fault != Some(Fault::InsertsOrIgnores) || !self.values.contains_key(index) {
                    self.values.insert(*index, value.clone());
                }
            }
            // Only the end is moved, and the rows are left for later.
            Call::Cut(first) if fault == Some(Fault::InsertsOrIgnores) => {
                self.values.split_off(&(first + 1));
            }
            Call::Cut(first) => self.values.retain(|index, _| index < first),
            Call::Compact(last) => self.values.retain(|index, _| index > last),
            Call::Put(key, value) => drop(self.metadata.insert(key.clone(), value.clone())),
        }
    }
}

impl Machine {
    pub fn call(&mut self, call: Call, fault: Option<Fault>) {
        self.seen.make(&call, fault);
        match (&call, fault) {
            (Call::Cut(first), Some(Fault::CutsOneByOne)) => {
                let gone: Vec<u64> =
                    self.durable_end().range(first..).rev().map(|(index, _)| *index).collect();
                self.calls.extend(gone.into_iter().map(Call::Cut));
            }
            (Call::Cut(_), Some(Fault::CutsInMemory | Fault::ReplaysTheOld)) => {}
            (Call::Cut(_), Some(Fault::CutsFirst)) => self.calls.insert(0, call),
            (Call::Put(..), fault) if fault != Some(Fault::BuffersMetadata) => {
                self.durable.make(&call, fault);
            }
            _ => self.calls.push(call),
        }
    }

    fn durable_end(&self) -> BTreeMap<u64, Bytes> {
        let mut content = self.durable.clone();
        self.calls.iter().for_each(|call| content.make(call, None));
        content.values
    }

    pub fn sync(&mut self, fault: Option<Fault>) {
        if fault == Some(Fault::SyncsNothing) {
            return;
        }
        match self.calls.is_empty() {
            true => self.syncs.1 += 1,
            false => self.syncs.0 += 1,
        }
        let made: Vec<Call> = self.calls.drain(..).collect();
        let keeps_old = fault == Some(Fault::ReplaysTheOld);
        for call in &made {
            self.durable.make(call, keeps_old.then_some(Fault::InsertsOrIgnores));
        }
    }

    pub fn crash(&mut self, fault: Option<Fault>) {
        self.crashes += 1;
        let mut dice = Dice(self.crashes << 32 | self.syncs.0);
        let kept = dice.below(self.calls.len() as u64 + 1) as usize;
        let calls = std::mem::take(&mut self.calls);
        for (at, call) in calls.iter().enumerate() {
            let survives = match fault {
                Some(Fault::LosesFromTheMiddle) => dice.below(2) == 0,
                _ => at < kept,
            };
            if survives {
                self.durable.make(call, None);
            }
        }
        if fault == Some(Fault::LosesTheLast) {
            self.durable.values.pop_last();
        }
        if fault == Some(Fault::TearsMetadata)
            && let Some(value) = self.durable.metadata.get_mut("a")
        {
            value.truncate(512);
        }
        self.seen = self.durable.clone();
        if fault == Some(Fault::OpensUnsynced) {
            self.durable.values.clear();
            let again = self.seen.values.iter();
            self.calls = again.map(|(index, value)| Call::Append(*index, value.clone())).collect();
        }
    }

    /// What a fault makes of what is found when the store is opened again.
    pub fn open(&mut self, fault: Option<Fault>) {
        self.openings += 1;
        if self.openings == 1 {
            return;
        }
        match fault {
            Some(Fault::LosesTheLastAtOpen) => drop(self.seen.values.pop_last()),
            Some(Fault::LosesTheLogAtTenth) if self.openings > 9 => self.seen.values.clear(),
            Some(Fault::KeepsMetadataInTheLog) if self.seen.values.is_empty() => {
                self.seen.metadata.retain(|key, _| key.starts_with("quorate"));
            }
            Some(Fault::LosesMetadata) => {
                self.seen.metadata.retain(|key, _| key.starts_with("quorate"));
            }
            Some(Fault::BuffersMetadata) => self.seen.metadata = self.durable.metadata.clone(),
            _ => {}
        }
    }

    pub fn ends(&self, fault: Option<Fault>) -> Option<(u64, u64)> {
        let mut all: Vec<u64> = self.seen.values.keys().copied().collect();
        if fault == Some(Fault::SortsAsText) {
            all.sort_by_key(u64::to_string);
        }
        let last = *all.last()?;
        Some((all[0], last))
    }
}

impl Machine {
    pub fn syncs_nothing(&self) -> bool {
        self.seen.values.is_empty() && self.seen.metadata.is_empty()
    }

    pub fn idles(&self) -> bool {
        self.syncs.1 % 50 == 49
    }

    pub fn read(&mut self, first: u64, last: u64, max: usize, fault: Option<Fault>) -> Vec<Bytes> {
        if fault == Some(Fault::CountsLimitsWithSign) && max > isize::MAX as usize {
            return Vec::new();
        }
        let (mut found, mut used) = (Vec::new(), 0);
        for (index, value) in self.seen.values.range(first..=last) {
            used += value.len();
            let is_first = found.is_empty() && fault != Some(Fault::StopsBeforeTheFirst);
            if used > max && !is_first && fault != Some(Fault::IgnoresTheLimit) {
                break;
            }
            found.push((*index, value.clone()));
        }
        if fault == Some(Fault::CachesForEver) {
            for (index, value) in &mut found {
                *value = self.cache.entry(*index).or_insert_with(|| value.clone()).clone();
            }
        }
        match fault {
            Some(Fault::ReadsInReverse) => found.reverse(),
            Some(Fault::ReadsFromTheFront) if found.len() > 3 => {
                let all = self.seen.values.iter();
                found = all.take(found.len()).map(|(i, v)| (*i, v.clone())).collect();
            }
            Some(Fault::ReadsOneShort) if found.len() > 1 => drop(found.remove(0)),
            _ => {}
        }
        found.into_iter().map(|(_, value)| value).collect()
    }
}
