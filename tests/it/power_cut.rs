//! The log on a simulated disk: whatever fails, and whenever the power is cut, everything that was
//! acknowledged is there afterwards, and what is there is a prefix of what was called.
//!
//! `POWER_CUT_SEEDS=5000 cargo test -p quorate-tests power_cut` looks further; a failure names its
//! seed and call, and `POWER_CUT_SEED=n` runs one.

use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::conformance::{self, Make};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{
    LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind,
};
use quorate_tests::simulated_fs::{Dice, Fault, SimDisk};
use std::path::PathBuf;
use std::sync::Arc;

/// The log as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picture {
    records: Vec<Record>,
    next: u64,
    base: u64,
    prev_term: u64,
}

impl Picture {
    /// Whether a store that was opened may have found this.
    fn fits(&self, recovered: &Recovered, found: &[Record]) -> bool {
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
struct Rig {
    disk: SimDisk,
    dice: Dice,
    store: Wal,
    run: u64,
    /// Pictures from the last sync on; the last one is the present.
    since_sync: Vec<Picture>,
    /// The states that may be found: the last one acknowledged, then one under way.
    states: Vec<u64>,
    serial: u64,
}

fn wal(disk: &SimDisk) -> Wal {
    let options = WalOptions { segment_bytes: 16 << 10, adopt_copied_directory: false };
    Wal::on(Arc::new(disk.clone()), PathBuf::from("/data"), options)
}

fn state(term: u64) -> Vec<u8> {
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
    fn new(seed: u64) -> Rig {
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

    fn put_state(&mut self) -> Result<(), StorageError> {
        self.run += 1;
        self.states.push(self.run);
        self.store.metadata_put(STATE_KEY, &state(self.run))?;
        self.states = vec![self.run];
        Ok(())
    }

    fn record(&mut self, index: u64, term: u64) -> Record {
        self.serial += 1;
        let len = 40 + self.dice.below(6) as usize * 150;
        let mut bytes = vec![self.serial as u8; len];
        bytes[..4].fill(0);
        bytes[8..16].copy_from_slice(&self.serial.to_le_bytes());
        let payload = Bytes::from(bytes);
        Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
    }

    /// One call, of any kind.
    fn step(&mut self) -> Result<(), StorageError> {
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
    fn reopen(&mut self) {
        let (recovered, found, term) = self.look();
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

    fn look(&mut self) -> (Recovered, Vec<Record>, u64) {
        self.store = wal(&self.disk);
        let before = self.disk.content();
        let recovered = self.store.open().unwrap_or_else(|e| panic!("refused: {e}"));
        let lock = PathBuf::from("/data/LOCK");
        let strip = |mut all: std::collections::BTreeMap<PathBuf, Vec<u8>>| {
            all.remove(&lock);
            all
        };
        let settled = self.disk.content();
        let lens = |all: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
            all.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect::<Vec<_>>()
        };
        assert_eq!(lens(&strip(before)), lens(&strip(settled)), "opening changes nothing");
        let mut found = Vec::new();
        let mut next = recovered.first;
        while next <= recovered.last && !next.is_zero() {
            let more = self.store.read(next, recovered.last, 1 << 20).expect("readable");
            next = more.last().expect("at least one").index.next();
            found.extend(more);
        }
        let state = self.store.metadata_get(STATE_KEY).expect("readable");
        let term =
            state.map_or(0, |bytes| u64::from_le_bytes(bytes[24..32].try_into().expect("8")));
        (recovered, found, term)
    }

    /// Works until something fails, or for `steps`.
    fn work(&mut self, steps: u64) -> Result<(), StorageError> {
        self.put_state()?;
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }
}

fn seeds(usual: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("POWER_CUT_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("POWER_CUT_SEEDS").unwrap_or(usual)).collect(),
    }
}

/// Opens a new store, works, fails at a random call, comes back, and so on.
fn story(seed: u64, fault: Fault) {
    let mut rig = Rig::new(seed);
    rig.store.open().expect("a new directory");
    for _ in 0..6 {
        let calls = if rig.dice.below(2) == 0 { 60 } else { 600 };
        let after = rig.dice.below(calls);
        rig.disk.fail_after(after, fault);
        let failed = rig.work(60).err();
        if failed.is_some() {
            let again = rig.store.sync().expect_err("after a failure every call fails");
            assert!(again.message.contains("failed before"), "{again}");
            rig.store.metadata_get(STATE_KEY).expect_err("reading too");
        }
        rig.disk.heal();
        if rig.dice.below(3) > 0 || fault == Fault::PowerCut {
            rig.store = wal(&rig.disk); // closed
            rig.disk.power_cut();
        }
        rig.reopen();
        // What an opening gave counts as durable from then on.
        if rig.dice.below(2) == 0 {
            rig.store = wal(&rig.disk);
            rig.disk.power_cut();
            rig.reopen();
        }
    }
}

fn told(seed: u64, fault: Fault) {
    let done = std::panic::catch_unwind(|| story(seed, fault));
    if done.is_err() {
        panic!("POWER_CUT_SEED={seed} with {fault:?} shows the failure above");
    }
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged() {
    seeds(150).into_iter().for_each(|seed| told(seed, Fault::PowerCut));
}

#[test]
fn a_failed_call_is_final_and_loses_nothing_acknowledged() {
    seeds(150).into_iter().for_each(|seed| told(seed, Fault::Eio));
}

#[test]
fn want_of_space_at_any_call_loses_nothing_acknowledged() {
    seeds(80).into_iter().for_each(|seed| told(seed, Fault::Enospc));
}

/// Every call of the first start and of a restart, one after the other.
#[test]
fn a_power_cut_in_every_step_of_opening_is_harmless() {
    for runs in 1..4 {
        let mut call = 0;
        loop {
            let mut rig = Rig::new(call);
            rig.store.open().expect("a new directory");
            for _ in 1..runs {
                rig.work(20).expect("nothing fails yet");
                rig.store = wal(&rig.disk);
                rig.reopen();
            }
            rig.disk.fail_after(call, Fault::PowerCut);
            let done = rig.put_state().is_ok();
            rig.store = wal(&rig.disk);
            rig.disk.power_cut();
            rig.reopen();
            rig.work(20).expect("and it goes on");
            if done {
                break;
            }
            call += 1;
        }
        assert!(call > 10, "opening takes more than {call} calls");
    }
}

/// A full disk refuses new entries and nothing else; with space it goes on.
#[test]
fn a_full_disk_only_refuses_new_entries() {
    let mut rig = Rig::new(1);
    rig.store.open().expect("a new directory");
    rig.put_state().expect("begun");
    rig.disk.leave_space(40_000);
    let mut next = 1;
    while rig.store.has_room() {
        let record = rig.record(next, 1);
        rig.store.append(&[record], Index(0)).expect("as long as there is room");
        rig.store.sync().expect("as long as there is room");
        next += 1;
    }
    for _ in 0..30 {
        let record = rig.record(next, 1);
        rig.store.append(&[record], Index(0)).expect("what was under way");
        next += 1;
    }
    rig.store.sync().expect("what was under way");
    for _ in 0..10 {
        rig.put_state().expect("it still votes");
        assert!(!rig.store.has_room());
    }
    rig.disk.leave_space(1 << 20);
    assert!(rig.store.has_room(), "it asks again");
    for _ in 0..200 {
        let record = rig.record(next, 1);
        rig.store.append(&[record], Index(0)).expect("room again");
        rig.store.sync().expect("room again");
        next += 1;
    }
    rig.store = wal(&rig.disk);
    let recovered = rig.store.open().expect("opens");
    assert_eq!(recovered.last, Index(next - 1));
}

/// A node that was stopped on a full disk starts again: what it had prepared is there.
#[test]
fn a_full_disk_does_not_prevent_a_restart() {
    let mut rig = Rig::new(2);
    rig.store.open().expect("a new directory");
    rig.work(40).expect("works");
    rig.disk.leave_space(0);
    rig.store = wal(&rig.disk);
    rig.store.open().expect("opens");
    rig.put_state().expect("begins");
    assert!(!rig.store.has_room());
    rig.put_state().expect("votes");
}

/// Without room for the first segment the answer is precise.
#[test]
fn a_full_disk_at_the_first_start_is_named() {
    let disk = SimDisk::new(3);
    disk.leave_space(20_000);
    let mut store = wal(&disk);
    store.open().expect("a new directory");
    let refused = store.metadata_put(STATE_KEY, &state(1)).expect_err("no room");
    assert_eq!(refused.kind, StorageErrorKind::Full);
    assert!(refused.message.contains("Free some space"), "{refused}");
}

/// Group commit: however many calls there were, a round costs one write and one sync.
#[test]
fn a_round_is_one_write_and_one_sync() {
    let mut rig = Rig::new(4);
    rig.store.open().expect("a new directory");
    rig.put_state().expect("begun");
    let before = rig.disk.calls();
    for index in 1..=20 {
        let record = rig.record(index, 1);
        rig.store.append(&[record], Index(index - 1)).expect("appends");
    }
    rig.store.truncate_suffix(Index(15)).expect("cuts");
    let record = rig.record(15, 2);
    rig.store.append(&[record], Index(10)).expect("appends");
    rig.store.sync().expect("syncs");
    assert_eq!(rig.disk.calls() - before, 2);
    rig.store.sync().expect("nothing to do");
    rig.store.append(&[], Index(15)).expect("a hint alone");
    rig.store.sync().expect("is not worth a sync");
    assert_eq!(rig.disk.calls() - before, 2);
    rig.put_state().expect("puts");
    assert_eq!(rig.disk.calls() - before, 4, "a state is one write and one sync of its own");
}

/// The kit, with crashes that lose what a power cut loses.
#[test]
fn the_log_passes_the_kit_when_its_crashes_are_power_cuts() {
    for seed in seeds(2) {
        let mut disk = SimDisk::new(seed);
        let report = conformance::check(&mut |make| {
            disk = match make {
                Make::New => SimDisk::new(disk.calls() ^ seed),
                Make::Again => disk.clone(),
                Make::Crashed => disk.after_a_power_cut(),
            };
            Ok(Box::new(wal(&disk)))
        });
        assert_eq!(report.passed(), report.checks.len(), "POWER_CUT_SEED={seed}:\n{report}");
    }
}
