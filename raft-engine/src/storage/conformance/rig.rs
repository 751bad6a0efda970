//! A store under test, and what the checks say to it.

use super::{Make, Maker};
use crate::codec::encode_state;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Incarnation, Index, NodeId, Term};
use crate::storage::{LogStore, Record, Recovered, STATE_KEY, StorageError};
use bytes::Bytes;

/// A store under test.
pub struct Rig<'a> {
    make: Maker<'a>,
    store: Option<Box<dyn LogStore>>,
    /// What the last opening gave.
    pub recovered: Recovered,
    runs: u64,
}

impl<'a> Rig<'a> {
    pub fn new(make: Maker<'a>) -> Result<Rig<'a>, String> {
        let store = Some(make(Make::New).map_err(text)?);
        Ok(Rig { make, store, recovered: Recovered::default(), runs: 0 })
    }

    /// Opens the store and puts a new state before anything else, as the engine does.
    pub fn begin(&mut self) -> Result<(), String> {
        self.recovered = self.store()?.open().map_err(text)?;
        self.runs += 1;
        let state = state(self.runs);
        self.store()?.metadata_put(STATE_KEY, &state).map_err(text)
    }

    pub fn reopen(&mut self) -> Result<(), String> {
        self.close_and_make()?;
        self.begin()
    }

    /// The old store is dropped before the new one is made: it holds the lock.
    pub fn close_and_make(&mut self) -> Result<(), String> {
        self.store = None;
        self.store = Some((self.make)(Make::Again).map_err(text)?);
        Ok(())
    }

    pub fn store(&mut self) -> Result<&mut dyn LogStore, String> {
        match &mut self.store {
            Some(store) => Ok(store.as_mut()),
            None => Err("the store could not be made".into()),
        }
    }

    pub fn append(&mut self, records: &[Record]) -> Result<(), String> {
        self.store()?.append(records, Index::ZERO).map_err(text)
    }

    pub fn sync(&mut self) -> Result<(), String> {
        self.store()?.sync().map_err(text)
    }

    pub fn cut(&mut self, first: u64) -> Result<(), String> {
        self.store()?.truncate_suffix(Index(first)).map_err(text)
    }

    pub fn compact(&mut self, last: u64, term: u64) -> Result<(), String> {
        self.store()?.truncate_prefix(Index(last), Term(term)).map_err(text)
    }

    pub fn read(&mut self, first: u64, last: u64) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        let mut next = first;
        while next <= last {
            let more = self.store()?.read(Index(next), Index(last), 1 << 20).map_err(text)?;
            expect("a read gives at least one record", true, !more.is_empty())?;
            next += more.len() as u64;
            records.extend(more);
        }
        Ok(records)
    }

    /// That exactly these records are there, now and after a restart.
    pub fn holds(&mut self, records: &[Record], prev_term: u64) -> Result<(), String> {
        self.reads(records)?;
        self.sync()?;
        self.reopen()?;
        self.recovered_is(records, prev_term)?;
        self.reads(records)
    }

    pub fn reads(&mut self, records: &[Record]) -> Result<(), String> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let found = self.read(first.index.0, last.index.0)?;
        expect("records", records, &found)
    }

    fn recovered_is(&self, records: &[Record], prev_term: u64) -> Result<(), String> {
        let found = &self.recovered;
        expect("the term before the first", Term(prev_term), found.prev_term)?;
        expect("terms", terms(records), found.terms.clone())?;
        match (records.first(), records.last()) {
            (Some(first), Some(last)) => {
                expect("the ends", (first.index, last.index), (found.first, found.last))
            }
            _ => expect("an empty log", found.last.next().max(Index(1)), found.first.max(Index(1))),
        }
    }
}

pub fn terms(records: &[Record]) -> Vec<(Index, Term)> {
    records.chunk_by(|a, b| a.term == b.term).map(|run| (run[0].index, run[0].term)).collect()
}

pub fn text(e: StorageError) -> String {
    e.to_string()
}

pub fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: T,
    found: T,
) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:.300?}, found {found:.300?}"))
}

pub fn state(run: u64) -> [u8; crate::codec::STATE_BYTES] {
    encode_state(&HardState {
        directory: 77,
        node: NodeId(1),
        lineage: ClusterId(2),
        incarnation: Incarnation(run << 40),
        ..HardState::default()
    })
}

/// A record whose payload says where it belongs.
pub fn record(index: u64, term: u64) -> Record {
    sized(index, term, 40 + (index % 100) as usize)
}

pub fn sized(index: u64, term: u64, len: usize) -> Record {
    let seed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term;
    let mut bytes: Vec<u8> = (0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect();
    bytes.splice(..len.min(4), [0; 4].into_iter().take(len.min(4)));
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
}

pub fn records(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Record> {
    range.map(|index| record(index, term)).collect()
}
