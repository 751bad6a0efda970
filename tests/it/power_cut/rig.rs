//! A log on a simulated disk, and everything that may be found when it is opened again.

use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, Record, Recovered, STATE_KEY, StorageError};
use quorate_tests::simulated_fs::{Dice, SimDisk};
use std::path::PathBuf;
use std::sync::Arc;

/// The log as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Picture {
    pub(super) records: Vec<Record>,
    pub(super) next: u64,
    base: u64,
    prev_term: u64,
}

impl Picture {
    /// Whether a store that was opened may have found this.
    pub(super) fn fits(&self, recovered: &Recovered, found: &[Record]) -> bool {
        let begins = self.records.first().map_or(self.next, |record| record.index.0);
        let prev_term = if begins == self.base { self.prev_term } else { 0 };
        self.records == found
            && recovered.first.0.max(1) == begins
            && recovered.last.0 + 1 == self.next
            && recovered.prev_term.0 == prev_term
    }

    fn cut(&mut self, first: u64) {
        let first = first.max(self.base).max(1);
        self.records.retain(|record| record.index.0 < first);
        self.next = self.next.min(first);
    }

    fn compact(&mut self, last: u64, term: u64) {
        self.records.retain(|record| record.index.0 > last);
        (self.base, self.prev_term) = (last + 1, term);
        self.next = self.next.max(last + 1);
    }
}

/// A store, and everything that may be found when it is opened again.
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) dice: Dice,
    pub(super) store: Wal,
    run: u64,
    /// Pictures from the last sync on; the last one is the present.
    pub(super) since_sync: Vec<Picture>,
    /// The states that may be found: the last one acknowledged, then one under way.
    pub(super) states: Vec<u64>,
    serial: u64,
}

pub(super) fn wal(disk: &SimDisk) -> Wal {
    let options = WalOptions { segment_bytes: 16 << 10, adopt_copied_directory: false };
    Wal::on(Arc::new(disk.clone()), PathBuf::from("/data"), options)
}

pub(super) fn state(term: u64) -> Vec<u8> {
    let incarnation = Incarnation(term << 40);
    let state = HardState {
        directory: 5,
        node: NodeId(6),
        term: Term(term),
        incarnation,
        ..HardState::default()
    };
    encode_state(&state).to_vec()
}

impl Rig {
    pub(super) fn new(seed: u64) -> Rig {
        let disk = SimDisk::new(seed);
        let store = wal(&disk);
        let empty = Picture { next: 1, ..Picture::default() };
        Rig {
            disk,
            dice: Dice(seed ^ 0xabcd),
            store,
            run: 0,
            since_sync: vec![empty],
            states: vec![0],
            serial: 0,
        }
    }

    fn now(&self) -> Picture {
        self.since_sync.last().expect("there is always one").clone()
    }

    fn synced(&mut self) {
        let now = self.now();
        self.since_sync = vec![now];
    }

    pub(super) fn put_state(&mut self) -> Result<(), StorageError> {
        self.run += 1;
        self.states.push(self.run);
        self.store.metadata_put(STATE_KEY, &state(self.run))?;
        self.states = vec![self.run];
        Ok(())
    }

    pub(super) fn record(&mut self, index: u64, term: u64) -> Record {
        self.serial += 1;
        let len = 40 + self.dice.below(6) as usize * 150;
        let mut bytes = vec![self.serial as u8; len];
        bytes[..4].fill(0);
        bytes[8..16].copy_from_slice(&self.serial.to_le_bytes());
        let payload = Bytes::from(bytes);
        Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
    }

    /// One call, of any kind.
    pub(super) fn step(&mut self) -> Result<(), StorageError> {
        let mut picture = self.now();
        let term = 1 + self.run;
        match self.dice.below(16) {
            0..8 => {
                let count = 1 + self.dice.below(6);
                let more: Vec<Record> =
                    (0..count).map(|n| self.record(picture.next + n, term)).collect();
                picture.next += count;
                for record in &more {
                    let mut partly = self.now();
                    partly.records.push(record.clone());
                    partly.next += 1;
                    self.since_sync.push(partly);
                }
                self.store.append(&more, Index(picture.next / 2))
            }
            8 => {
                let first = picture.next.saturating_sub(self.dice.below(12)).max(1);
                picture.cut(first);
                self.since_sync.push(picture);
                self.store.truncate_suffix(Index(first))
            }
            9 => {
                let last =
                    picture.next + self.dice.below(3) - self.dice.below(30).min(picture.next);
                if last < picture.base.max(1) {
                    return Ok(());
                }
                let known = picture.records.iter().find(|record| record.index.0 == last);
                let last_term = known.map_or(term, |record| record.term.0);
                picture.compact(last, last_term);
                self.since_sync.push(picture);
                self.store.truncate_prefix(Index(last), Term(last_term))
            }
            10 => self.put_state(),
            11 => self.reads(),
            _ => {
                self.store.sync()?;
                self.synced();
                Ok(())
            }
        }
    }

    fn reads(&mut self) -> Result<(), StorageError> {
        let picture = self.now();
        let (Some(first), Some(last)) = (picture.records.first(), picture.records.last()) else {
            return Ok(());
        };
        let mut next = first.index;
        while next <= last.index {
            let Ok(found) = self.store.read(next, last.index, 3000) else {
                return Ok(()); // a read that fails changes nothing
            };
            for record in found {
                let at = (record.index.0 - first.index.0) as usize;
                assert_eq!(record, picture.records[at], "a read gives what was appended");
                next = record.index.next();
            }
        }
        Ok(())
    }

    /// Opens what is on the disk and checks that it is one of the pictures that may be there.
    pub(super) fn reopen(&mut self) {
        self.store = wal(&self.disk); // whoever had the lock is gone
        let Found { store, recovered, records: found, term } = find(&self.disk);
        self.store = store;
        let fits = |picture: &&Picture| picture.fits(&recovered, &found);
        let picture = self.since_sync.iter().rev().find(fits).cloned();
        let picture = picture.unwrap_or_else(|| {
            let ends = |p: &Picture| (p.base, p.prev_term, p.next, p.records.len());
            panic!(
                "found {}..={} ({} records, behind term {}), which is no prefix of the calls {:?}",
                recovered.first,
                recovered.last,
                found.len(),
                recovered.prev_term,
                self.since_sync.iter().map(ends).collect::<Vec<_>>()
            );
        });
        assert!(self.states.contains(&term), "the state of {term} is none of {:?}", self.states);
        self.since_sync = vec![picture];
        self.states = vec![term];
    }

    /// Works until something fails, or for `steps`.
    pub(super) fn work(&mut self, steps: u64) -> Result<(), StorageError> {
        self.put_state()?;
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }
}

/// What a disk gives when it is opened.
pub(super) struct Found {
    pub store: Wal,
    pub recovered: Recovered,
    pub records: Vec<Record>,
    pub term: u64,
}

/// Opens what is on a disk, which must be possible and change nothing.
pub(super) fn find(disk: &SimDisk) -> Found {
    let mut store = wal(disk);
    let before = lengths(disk);
    let recovered = store.open().unwrap_or_else(|e| panic!("refused: {e}"));
    assert_eq!(before, lengths(disk), "opening changes nothing");
    let mut records = Vec::new();
    let mut next = recovered.first;
    while next <= recovered.last && !next.is_zero() {
        let more = store.read(next, recovered.last, 1 << 20).expect("readable");
        next = more.last().expect("at least one").index.next();
        records.extend(more);
    }
    let state = store.metadata_get(STATE_KEY).expect("readable");
    let term = state.map_or(0, |bytes| u64::from_le_bytes(bytes[24..32].try_into().expect("8")));
    Found { store, recovered, records, term }
}

/// The files but the lock, which is made by an opening if it is missing.
fn lengths(disk: &SimDisk) -> Vec<(PathBuf, usize)> {
    let all = disk.content().into_iter();
    let all = all.filter(|(path, _)| !path.ends_with("LOCK"));
    all.map(|(path, bytes)| (path, bytes.len())).collect()
}
