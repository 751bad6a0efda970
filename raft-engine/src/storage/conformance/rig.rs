//! A store under test, and what the checks say to it.

use super::{Make, Maker};
use crate::codec::encode_state;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Incarnation, Index, NodeId, Term};
use crate::storage::{LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind};
use bytes::Bytes;
use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;

/// Why a check ended early.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The store can't do what the check needs and need not: what that is.
    Skipped(String),
    /// The rule is broken: what was seen.
    Broken(String),
}

impl From<String> for Stop {
    fn from(seen: String) -> Stop {
        Stop::Broken(seen)
    }
}

impl From<&str> for Stop {
    fn from(seen: &str) -> Stop {
        Stop::Broken(seen.into())
    }
}

/// What came of a check.
pub type Checkup<T = ()> = Result<T, Stop>;

/// A store under test.
pub struct Rig<'a> {
    make: Maker<'a>,
    store: Option<Box<dyn LogStore>>,
    /// What the last opening gave.
    pub recovered: Recovered,
    runs: u64,
}

impl<'a> Rig<'a> {
    /// Without a store.
    pub fn new(make: Maker<'a>) -> Rig<'a> {
        Rig { make, store: None, recovered: Recovered::default(), runs: 0 }
    }

    /// Makes a store, which is closed. The old one is dropped before, for it may hold a lock, unless it
    /// is to crash.
    pub fn make(&mut self, what: Make) -> Checkup {
        if what != Make::Crashed {
            self.close();
        }
        let made = (self.make)(what).map_err(|e| match (what, e.kind) {
            (Make::Crashed, StorageErrorKind::Unsupported) => Stop::Skipped(e.to_string()),
            (Make::New, _) => format!("a new store could not be made: {e}").into(),
            (Make::Again, _) => format!("the store could not be made again: {e}").into(),
            (Make::Crashed, _) => format!("the crash could not be made: {e}").into(),
        });
        self.store = Some(made?);
        Ok(())
    }

    pub fn close(&mut self) {
        self.store = None;
    }

    pub fn store(&mut self) -> Checkup<&mut dyn LogStore> {
        match &mut self.store {
            Some(store) => Ok(store.as_mut()),
            None => Err("there is no store".into()),
        }
    }

    pub fn open(&mut self) -> Checkup {
        self.recovered = self.store()?.open().map_err(failed("open"))?;
        Ok(())
    }

    pub fn put_state(&mut self) -> Checkup<Vec<u8>> {
        self.runs += 1;
        let state = state(self.runs).to_vec();
        self.put(STATE_KEY, &state)?;
        Ok(state)
    }

    /// Opens the store and puts a new state before anything else, as the engine does.
    pub fn begin(&mut self) -> Checkup {
        self.open()?;
        self.put_state().map(drop)
    }

    pub fn reopen(&mut self) -> Checkup {
        self.make(Make::Again)?;
        self.begin()
    }

    pub fn append(&mut self, records: &[Record]) -> Checkup {
        self.append_hinting(records, 0)
    }

    pub fn append_hinting(&mut self, records: &[Record], commit: u64) -> Checkup {
        let what = format!("append({})", ends(records));
        self.store()?.append(records, Index(commit)).map_err(failed(what))
    }

    pub fn sync(&mut self) -> Checkup {
        self.store()?.sync().map_err(failed("sync"))
    }

    pub fn cut(&mut self, first: u64) -> Checkup {
        let cut = self.store()?.truncate_suffix(Index(first));
        cut.map_err(failed(format!("truncate_suffix({first})")))
    }

    pub fn compact(&mut self, last: u64, term: u64) -> Checkup {
        let compacted = self.store()?.truncate_prefix(Index(last), Term(term));
        compacted.map_err(failed(format!("truncate_prefix({last})")))
    }

    pub fn put(&mut self, key: &str, value: &[u8]) -> Checkup {
        let what = format!("metadata_put({key:?}, {} bytes)", value.len());
        self.store()?.metadata_put(key, value).map_err(failed(what))
    }

    pub fn get(&mut self, key: &str) -> Checkup<Option<Vec<u8>>> {
        self.store()?.metadata_get(key).map_err(failed(format!("metadata_get({key:?})")))
    }

    /// That a key has this value.
    pub fn has(&mut self, key: &str, value: Option<&[u8]>) -> Checkup {
        let found = self.get(key)?;
        if found.as_deref() == value {
            return Ok(());
        }
        let found = found.as_deref();
        let differ = value.zip(found).map(|(value, found)| {
            let at = value.iter().zip(found).take_while(|(a, b)| a == b).count();
            format!(", which differ from byte {at} on")
        });
        let (wanted, found) = (told_value(value), told_value(found));
        let differ = differ.unwrap_or_default();
        Err(format!("the value of {key:?}: expected {wanted}, found {found}{differ}").into())
    }

    /// What one call of `read` gives.
    pub fn piece(&mut self, first: u64, last: u64, max_bytes: usize) -> Checkup<Vec<Record>> {
        let what = format!("read({first}, {last}, max_bytes {max_bytes})");
        let found = self.store()?.read(Index(first), Index(last), max_bytes);
        let found = found.map_err(failed(&what))?;
        ensure(!found.is_empty(), || format!("{what} gave nothing"))?;
        Ok(found)
    }

    pub fn read(&mut self, first: u64, last: u64) -> Checkup<Vec<Record>> {
        self.read_in_pieces(first, last, 1 << 20)
    }

    pub fn read_in_pieces(&mut self, first: u64, last: u64, max: usize) -> Checkup<Vec<Record>> {
        let mut records = Vec::new();
        let mut next = first;
        while next <= last {
            let more = self.piece(next, last, max)?;
            next += more.len() as u64;
            records.extend(more);
        }
        Ok(records)
    }

    /// That exactly these records are there, now and after a restart.
    pub fn holds(&mut self, records: &[Record], prev_term: u64) -> Checkup {
        self.reads(records)?;
        self.sync()?;
        self.reopen()?;
        self.recovered_is(records, prev_term)?;
        self.reads(records)
    }

    pub fn reads(&mut self, records: &[Record]) -> Checkup {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let found = self.read(first.index.0, last.index.0)?;
        same(records, &found)
    }

    pub fn recovered_is(&self, records: &[Record], prev_term: u64) -> Checkup {
        let found = &self.recovered;
        let is_empty = found.last < found.first.max(Index(1));
        let said =
            if is_empty { "none".into() } else { format!("{}..={}", found.first, found.last) };
        let wanted = ends(records);
        ensure(wanted == said, || format!("open found entries {said}; there should be {wanted}"))?;
        expect("the term before the first entry", Term(prev_term), found.prev_term)?;
        expect("where terms begin", terms(records), found.terms.clone())
    }
}

fn failed(what: impl Display) -> impl FnOnce(StorageError) -> Stop {
    move |e| format!("{what} failed: {e}").into()
}

/// `1..=5` or `none`.
pub fn ends(records: &[Record]) -> String {
    match (records.first(), records.last()) {
        (Some(first), Some(last)) => format!("{}..={}", first.index, last.index),
        _ => "none".into(),
    }
}

pub fn terms(records: &[Record]) -> Vec<(Index, Term)> {
    records.chunk_by(|a, b| a.term == b.term).map(|run| (run[0].index, run[0].term)).collect()
}

/// That these are the records, and where they begin to differ if not.
pub fn same(wanted: &[Record], found: &[Record]) -> Checkup {
    for (wanted, found) in wanted.iter().zip(found) {
        if wanted != found {
            return Err(format!("expected {}, found {}", told(wanted), told(found)).into());
        }
    }
    let (wanted, found) = (wanted.len(), found.len());
    expect("the number of entries", wanted, found)
}

/// A record in few words.
pub fn told(record: &Record) -> String {
    let Record { index, term, payload, .. } = record;
    let begins = &payload[..payload.len().min(16)];
    format!("entry {index} of term {term} with {} bytes {begins:02x?}", payload.len())
}

/// A value of metadata in few words.
fn told_value(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "none".into() };
    let begins = &value[..value.len().min(16)];
    format!("{} bytes b\"{}\"", value.len(), begins.escape_ascii())
}

/// That something holds; else what was seen.
pub fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Checkup {
    if holds { Ok(()) } else { Err(seen().into()) }
}

pub fn expect<T: PartialEq + Debug>(what: impl Display, wanted: T, found: T) -> Checkup {
    if wanted == found {
        return Ok(());
    }
    Err(format!("{what}: expected {}, found {}", short(&wanted), short(&found)).into())
}

/// A value may be large.
fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text,
    }
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

/// The same with as many bytes.
pub fn sized(index: u64, term: u64, len: usize) -> Record {
    let seed = (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term).to_le_bytes();
    let mut bytes = Vec::with_capacity(len);
    bytes.extend([0; 4].iter().take(len)); // an entry of the host's
    bytes.extend(seed.iter().take(len - bytes.len()));
    bytes.resize(len, seed[0] | 1);
    with(index, term, bytes)
}

/// A record with a payload of the caller's.
pub fn with(index: u64, term: u64, payload: Vec<u8>) -> Record {
    let payload = Bytes::from(payload);
    Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
}

pub fn records(range: RangeInclusive<u64>, term: u64) -> Vec<Record> {
    range.map(|index| record(index, term)).collect()
}
