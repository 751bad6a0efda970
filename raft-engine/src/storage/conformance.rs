//! The suite that every store must pass, its user's own included. Each check names the rule of the
//! port that it is about; the first one that is broken ends the run.
//!
//! It can't cut the power: it closes a store and opens it again, which a store that keeps the contract
//! must survive with everything synced, and a prefix of the rest.

use super::{LogStore, Record, Recovered, STATE_KEY, StorageError};
use crate::codec::{encode_entry, encode_state};
use crate::consensus::command::{Entry, Payload};
use crate::consensus::membership::Membership;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Incarnation, Index, NodeId, Term};
use bytes::Bytes;
use std::sync::Arc;

/// Makes a store: an empty one, or with `true` the one made last, which has been dropped, again.
pub type Maker<'a> = &'a mut dyn FnMut(bool) -> Result<Box<dyn LogStore>, StorageError>;

type Check = (&'static str, fn(&mut Bench<'_>) -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("a new store is empty", starts_empty),
    ("the state is kept whole, the newest one", keeps_state),
    ("other metadata are kept, each on its own", keeps_metadata),
    ("what was synced is there after a restart", keeps_what_was_synced),
    ("a read gives what was appended, synced or not", reads_what_was_appended),
    ("a read stops at its limit, not before the first record", reads_up_to_a_limit),
    ("a gap is refused", refuses_gaps),
    ("a log may begin anywhere", begins_anywhere),
    ("a truncated suffix is gone, and may be written anew", cuts_the_end),
    ("calls between two syncs take effect in order", keeps_the_order),
    ("a removed prefix is gone; its last term is known", cuts_the_front),
    ("a prefix may reach beyond the end", cuts_beyond_the_end),
    ("changes of membership are found", finds_memberships),
    ("a commit hint never lies beyond the log", hints_within_the_log),
    ("without a sync a prefix of the calls is kept", keeps_a_prefix),
    ("large and many records are kept", keeps_large_and_many),
    ("a reader reads beside the store", reads_beside),
    ("any order of calls gives the same as the simplest store", agrees_with_a_model),
];

/// Runs all checks and returns how many passed. The error names the rule that is broken, and how.
pub fn run(make: Maker<'_>) -> Result<usize, String> {
    for (rule, check) in CHECKS {
        let store = make(false).map_err(|e| format!("{rule}: can't be made: {e}"))?;
        let mut bench = Bench {
            make: &mut *make,
            store: Some(store),
            recovered: Recovered::default(),
            runs: 0,
        };
        bench.begin().and_then(|()| check(&mut bench)).map_err(|e| format!("{rule}: {e}"))?;
    }
    Ok(CHECKS.len())
}

/// A store under test.
struct Bench<'a> {
    make: Maker<'a>,
    store: Option<Box<dyn LogStore>>,
    recovered: Recovered,
    runs: u64,
}

impl Bench<'_> {
    /// Opens the store and puts a new state before anything else, as the engine does.
    fn begin(&mut self) -> Result<(), String> {
        self.recovered = self.store()?.open().map_err(text)?;
        self.runs += 1;
        let state = state(self.runs);
        self.store()?.metadata_put(STATE_KEY, &state).map_err(text)
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.close_and_make()?;
        self.begin()
    }

    /// The old store is dropped before the new one is made: it holds the lock.
    fn close_and_make(&mut self) -> Result<(), String> {
        self.store = None;
        self.store = Some((self.make)(true).map_err(text)?);
        Ok(())
    }

    fn store(&mut self) -> Result<&mut dyn LogStore, String> {
        match &mut self.store {
            Some(store) => Ok(store.as_mut()),
            None => Err("the store could not be made".into()),
        }
    }

    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        self.store()?.append(records, Index::ZERO).map_err(text)
    }

    fn sync(&mut self) -> Result<(), String> {
        self.store()?.sync().map_err(text)
    }

    fn cut(&mut self, first: u64) -> Result<(), String> {
        self.store()?.truncate_suffix(Index(first)).map_err(text)
    }

    fn compact(&mut self, last: u64, term: u64) -> Result<(), String> {
        self.store()?.truncate_prefix(Index(last), Term(term)).map_err(text)
    }

    fn read(&mut self, first: u64, last: u64) -> Result<Vec<Record>, String> {
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
    fn holds(&mut self, records: &[Record], prev_term: u64) -> Result<(), String> {
        self.reads(records)?;
        self.sync()?;
        self.reopen()?;
        self.recovered_is(records, prev_term)?;
        self.reads(records)
    }

    fn reads(&mut self, records: &[Record]) -> Result<(), String> {
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

fn terms(records: &[Record]) -> Vec<(Index, Term)> {
    records.chunk_by(|a, b| a.term == b.term).map(|run| (run[0].index, run[0].term)).collect()
}

fn text(e: StorageError) -> String {
    e.to_string()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, wanted: T, found: T) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:.300?}, found {found:.300?}"))
}

fn state(run: u64) -> [u8; crate::codec::STATE_BYTES] {
    encode_state(&HardState {
        directory: 77,
        node: NodeId(1),
        lineage: ClusterId(2),
        incarnation: Incarnation(run << 40),
        ..HardState::default()
    })
}

/// A record whose payload says where it belongs.
fn record(index: u64, term: u64) -> Record {
    sized(index, term, 40 + (index % 100) as usize)
}

fn sized(index: u64, term: u64, len: usize) -> Record {
    let seed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ term;
    let mut bytes: Vec<u8> = (0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect();
    bytes.splice(..len.min(4), [0; 4].into_iter().take(len.min(4)));
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
}

fn records(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Record> {
    range.map(|index| record(index, term)).collect()
}

fn starts_empty(bench: &mut Bench<'_>) -> Result<(), String> {
    expect("recovered", Recovered::default(), bench.recovered.clone())?;
    bench.reopen()?;
    expect("recovered after a restart", Recovered::default(), bench.recovered.clone())?;
    let other = bench.store()?.metadata_get("none").map_err(text)?;
    expect("metadata that nobody put", None, other)
}

fn keeps_state(bench: &mut Bench<'_>) -> Result<(), String> {
    for run in [7, 8, 9] {
        bench.store()?.metadata_put(STATE_KEY, &state(run)).map_err(text)?;
    }
    let found = bench.store()?.metadata_get(STATE_KEY).map_err(text)?;
    expect("the state", Some(state(9).to_vec()), found)?;
    bench.close_and_make()?;
    bench.store()?.open().map_err(text)?;
    let found = bench.store()?.metadata_get(STATE_KEY).map_err(text)?;
    expect("the state after a restart", Some(state(9).to_vec()), found)
}

fn keeps_metadata(bench: &mut Bench<'_>) -> Result<(), String> {
    for (key, value) in [("a", &b"1"[..]), ("b", b""), ("a", b"2 and more")] {
        bench.store()?.metadata_put(key, value).map_err(text)?;
    }
    bench.reopen()?;
    for (key, value) in [("a", Some(&b"2 and more"[..])), ("b", Some(b"")), ("c", None)] {
        let found = bench.store()?.metadata_get(key).map_err(text)?;
        expect(key, value.map(<[u8]>::to_vec), found)?;
    }
    Ok(())
}

fn keeps_what_was_synced(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut all = records(1..=10, 1);
    bench.append(&all)?;
    bench.holds(&all, 0)?;
    let more = [records(11..=12, 1), records(13..=15, 4)].concat();
    bench.append(&more)?;
    all.extend(more);
    bench.holds(&all, 0)?;
    bench.holds(&all, 0)
}

fn reads_what_was_appended(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = records(1..=30, 1);
    bench.append(&all[..10])?;
    bench.sync()?;
    bench.append(&all[10..20])?;
    bench.sync()?;
    bench.append(&all[20..])?;
    for (first, last) in [(1, 30), (1, 1), (9, 12), (15, 25), (20, 21), (21, 21), (30, 30)] {
        let found = bench.read(first, last)?;
        expect("records", &all[first as usize - 1..last as usize], &found)?;
    }
    Ok(())
}

fn reads_up_to_a_limit(bench: &mut Bench<'_>) -> Result<(), String> {
    let all: Vec<Record> = (1..=20).map(|index| sized(index, 1, 100)).collect();
    bench.append(&all[..10])?;
    bench.sync()?;
    bench.append(&all[10..])?;
    for (first, limit, most) in [(1, 0, 1), (1, 1, 1), (5, 250, 3), (9, 450, 5), (12, 99, 1)] {
        let found = bench.store()?.read(Index(first), Index(20), limit).map_err(text)?;
        expect("not empty, not too much", true, (1..=most).contains(&found.len()))?;
        let from = first as usize - 1;
        expect("records", &all[from..from + found.len()], &found)?;
    }
    Ok(())
}

fn refuses_gaps(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.append(&records(1..=3, 1))?;
    let gap = bench.store()?.append(&[record(5, 1)], Index::ZERO);
    expect("appending 5 after 3 is refused", true, gap.is_err())
}

fn begins_anywhere(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = records(1000..=1010, 3);
    bench.append(&all)?;
    bench.holds(&all, 0)
}

fn cuts_the_end(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut all = records(1..=20, 1);
    bench.append(&all)?;
    bench.sync()?;
    bench.cut(21)?;
    bench.cut(11)?;
    all.truncate(10);
    bench.holds(&all, 0)?;
    let anew = records(11..=15, 2);
    bench.append(&anew)?;
    all.extend(anew);
    bench.holds(&all, 0)?;
    bench.cut(1)?;
    bench.holds(&[], 0)?;
    expect("the first index after all was cut", Index(1), bench.recovered.first)?;
    let anew = records(1..=3, 5);
    bench.append(&anew)?;
    bench.holds(&anew, 0)
}

fn keeps_the_order(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.append(&records(1..=10, 1))?;
    bench.sync()?;
    bench.append(&records(11..=20, 1))?;
    bench.cut(16)?;
    bench.append(&records(16..=18, 2))?;
    bench.cut(8)?;
    bench.append(&records(8..=9, 3))?;
    bench.append(&records(10..=12, 4))?;
    bench.cut(12)?;
    let all = [records(1..=7, 1), records(8..=9, 3), records(10..=11, 4)].concat();
    bench.holds(&all, 0)
}

fn cuts_the_front(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = [records(1..=10, 1), records(11..=20, 2)].concat();
    bench.append(&all)?;
    bench.sync()?;
    bench.compact(12, 2)?;
    bench.holds(&all[12..], 2)?;
    bench.compact(5, 1)?;
    bench.holds(&all[12..], 2)?;
    bench.append(&records(21..=22, 2))?;
    bench.compact(19, 2)?;
    let rest = [&all[19..], &records(21..=22, 2)].concat();
    bench.holds(&rest, 2)?;
    let gone = bench.store()?.read(Index(12), Index(21), 100);
    expect("reading what was removed is refused", true, gone.is_err())
}

fn cuts_beyond_the_end(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.append(&records(1..=10, 1))?;
    bench.sync()?;
    bench.compact(50, 6)?;
    bench.holds(&[], 6)?;
    expect("the ends", (Index(51), Index(50)), (bench.recovered.first, bench.recovered.last))?;
    let behind = records(51..=55, 7);
    bench.append(&behind)?;
    bench.holds(&behind, 6)?;
    bench.append(&records(56..=60, 7))?;
    bench.compact(70, 8)?;
    let behind = records(71..=72, 9);
    bench.append(&behind)?;
    bench.holds(&behind, 8)
}

fn membership(index: u64, number: u64) -> Record {
    let membership = Membership { cluster: ClusterId(2), number, ..Membership::default() };
    let payload = Payload::Membership(Arc::new(membership));
    encode_entry(&Entry { index: Index(index), term: Term(1), payload })
}

fn finds_memberships(bench: &mut Bench<'_>) -> Result<(), String> {
    let changes = [membership(3, 1), membership(7, 2), membership(9, 3)];
    let mut all = records(1..=10, 1);
    for change in &changes {
        all[change.index.0 as usize - 1] = change.clone();
    }
    bench.append(&all)?;
    bench.holds(&all, 0)?;
    expect("memberships", &changes[..], &bench.recovered.memberships)?;
    bench.cut(9)?;
    bench.compact(3, 1)?;
    bench.holds(&all[3..8], 1)?;
    expect("memberships", &changes[1..2], &bench.recovered.memberships)
}

fn hints_within_the_log(bench: &mut Bench<'_>) -> Result<(), String> {
    bench.store()?.append(&records(1..=10, 1), Index(4)).map_err(text)?;
    bench.sync()?;
    bench.store()?.append(&records(11..=12, 1), Index(99)).map_err(text)?;
    bench.sync()?;
    bench.reopen()?;
    expect("a hint beyond the log is cut", true, bench.recovered.commit_hint <= Index(12))?;
    bench.cut(7)?;
    bench.sync()?;
    bench.reopen()?;
    expect("a hint does not outlive a truncation", true, bench.recovered.commit_hint <= Index(6))
}

fn keeps_a_prefix(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = records(1..=60, 1);
    bench.append(&all[..10])?;
    bench.sync()?;
    for at in 10..60 {
        bench.append(&all[at..=at])?;
    }
    bench.reopen()?;
    let last = bench.recovered.last.0 as usize;
    expect("what was synced is there", true, (10..=60).contains(&last))?;
    bench.holds(&all[..last], 0)
}

fn keeps_large_and_many(bench: &mut Bench<'_>) -> Result<(), String> {
    let large = [sized(1, 1, 1 << 20), sized(2, 1, 0), sized(3, 1, (4 << 20) + 5), record(4, 1)];
    bench.append(&large)?;
    bench.holds(&large, 0)?;
    let many = records(5..=20_000, 2);
    for batch in many.chunks(777) {
        bench.append(batch)?;
        bench.sync()?;
    }
    let all = [&large[..], &many].concat();
    bench.holds(&all, 0)
}

fn reads_beside(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = records(1..=500, 1);
    bench.append(&all[..400])?;
    bench.sync()?;
    let Some(mut reader) = bench.store()?.reader() else { return Ok(()) };
    let beside = std::thread::spawn(move || reader.read(Index(10), Index(400), 1 << 20));
    bench.append(&all[400..])?;
    bench.sync()?;
    let found = beside.join().map_err(|_| "the reader panicked")?.map_err(text)?;
    expect("records", &all[9..9 + found.len()], &found)?;
    let mut reader = bench.store()?.reader().ok_or("no reader any more")?;
    let found = reader.read(Index(500), Index(500), 0).map_err(text)?;
    expect("the last record", &all[499..], &found)
}

/// A store that is a vector.
#[derive(Clone, Default)]
struct Model {
    records: Vec<Record>,
    next: u64,
    base: u64,
    prev_term: u64,
}

impl Model {
    fn cut(&mut self, first: u64) {
        let first = first.max(self.base);
        self.records.retain(|record| record.index.0 < first);
        self.next = self.next.min(first);
    }

    fn compact(&mut self, last: u64, term: u64) {
        self.records.retain(|record| record.index.0 > last);
        (self.base, self.prev_term) = (last + 1, term);
        self.next = self.next.max(last + 1);
    }
}

fn agrees_with_a_model(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut model = Model { next: 1, ..Model::default() };
    let mut dice = 0x5eed_u64;
    for step in 0..600 {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let (choice, size) = (dice >> 60, dice >> 40 & 0xff);
        one_step(bench, &mut model, choice, size, 1 + step / 20)
            .map_err(|e| format!("in step {step} (choice {choice}, size {size}): {e}"))?;
    }
    bench.holds(&model.records, model.prev_term)
}

fn one_step(
    bench: &mut Bench<'_>,
    model: &mut Model,
    choice: u64,
    size: u64,
    term: u64,
) -> Result<(), String> {
    match choice {
        0..9 => {
            let more = records(model.next..=model.next + size % 32, term);
            bench.append(&more)?;
            model.next += more.len() as u64;
            model.records.extend(more);
        }
        9 | 10 => {
            let first = model.next.saturating_sub(size % 50).max(1);
            bench.cut(first)?;
            model.cut(first);
        }
        11 => {
            let last = model.next + size % 8 - (size % 64).min(model.next);
            if last >= model.base.max(1) {
                let known = model.records.iter().find(|record| record.index.0 == last);
                let last_term = known.map_or(term, |record| record.term.0);
                bench.compact(last, last_term)?;
                model.compact(last, last_term);
            }
        }
        12 | 13 => bench.sync()?,
        14 => bench.reads(&model.records)?,
        _ => bench.holds(&model.records, model.prev_term)?,
    }
    Ok(())
}
