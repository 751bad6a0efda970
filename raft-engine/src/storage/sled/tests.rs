//! What one log in sled does, call by call. Damage and crashes: `tests/it/recovery`.

use super::*;
use crate::codec::encode_state;
use crate::consensus::ready::HardState;
use crate::storage::conformance::files::{check_in_directories, shared_memory};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

mod power_cut;

/// Where syncs take no time; what they do on a disk is told in `tests/it`.
fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in(shared_memory()).expect("a directory")
}

/// Power cuts: `power_cut.rs`.
#[test]
fn keeps_the_contract() {
    let options = SledOptions { adopt_copied_directory: true, ..SledOptions::default() };
    let report = check_in_directories(|dir| Box::new(Sled::new(dir, options.clone())));
    // It has no readers for other threads, of which two rules speak.
    assert_eq!((report.broken().count(), report.skipped()), (0, 2), "{report}");
}

fn record(index: u64, len: usize) -> Record {
    let seed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = (0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ (at >> 3) as u8);
    let payload: Bytes = bytes.collect::<Vec<u8>>().into();
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

fn begun(options: SledOptions) -> (tempfile::TempDir, Sled) {
    let dir = temp();
    let mut store = Sled::new(dir.path().join("data"), options);
    store.open().expect("opens");
    let state = encode_state(&HardState { directory: 7, ..HardState::default() });
    store.metadata_put(STATE_KEY, &state).expect("begins");
    (dir, store)
}

fn reopened(store: Sled) -> (Sled, Recovered) {
    let (dir, options) = (store.paths.dir.clone(), store.options.clone());
    drop(store);
    let mut store = Sled::new(dir, options);
    let found = store.open().expect("opens");
    (store, found)
}

/// The log, by a store that is as simple as can be.
#[derive(Default)]
struct Model {
    lens: std::collections::BTreeMap<u64, usize>,
    next: u64,
}

impl Model {
    fn agrees(&self, store: &mut Sled) {
        let Some((&first, _)) = self.lens.first_key_value() else { return };
        let mut at = first;
        while at < self.next {
            for found in store.read(Index(at), Index(self.next - 1), 1 << 20).expect("reads") {
                assert!(found == record(at, self.lens[&at]), "entry {at}");
                at += 1;
            }
        }
    }
}

/// From now on `tell` hears at each barrier how far sled's log grew since the one before.
fn at_barriers(store: &mut Sled, tell: impl FnMut(i64) + Send + 'static) {
    let log = store.opened.as_mut().and_then(|opened| opened.log.as_mut());
    log.expect("open").database().at_barrier = Some(Box::new(tell));
}

/// Makes sure that there is a barrier in each segment of sled's log.
fn watch_growth(store: &mut Sled) {
    at_barriers(store, |grew| {
        assert!(grew < database::SEGMENT as i64, "{grew} bytes between two barriers");
    });
}

/// No page of sled's may grow into a file of its own: it is referred to before it is whole. And its log
/// must not grow by a segment without a barrier.
#[test]
fn pages_stay_inside_whatever_is_written() {
    let (_dir, mut store) = begun(SledOptions::default());
    watch_growth(&mut store);
    let mut model = Model { next: 1, ..Model::default() };
    let sizes = [40, 1 << 20, 300, 16 << 10, 8 << 10, 60_000, 0, 8100, 8192, 100_000];
    for round in 0..45 {
        let len = sizes[round % sizes.len()];
        let count = ((1 << 20) / (len + 400)).clamp(1, 600) as u64;
        let batch: Vec<Record> = (model.next..model.next + count).map(|i| record(i, len)).collect();
        store.append(&batch, Index(0)).expect("appends");
        model.lens.extend(batch.iter().map(|record| (record.index.0, len)));
        model.next += count;
        if round % 7 == 3 {
            let first = model.next - count / 2;
            store.truncate_suffix(Index(first)).expect("cuts");
            model.lens.retain(|index, _| *index < first);
            model.next = first;
        }
        if round % 13 == 12 {
            let last = model.next - 1 - count / 3;
            store.truncate_prefix(Index(last), Term(1)).expect("compacts");
            model.lens.retain(|index, _| *index > last);
        }
        store.sync().expect("syncs");
        let blobs = std::fs::read_dir(store.paths.log.join("blobs")).expect("lists").count();
        assert_eq!(blobs, 0, "files beside the log in round {round}");
        if round % 15 == 14 {
            store = reopened(store).0;
            model.agrees(&mut store);
            let state = encode_state(&HardState { directory: 7, ..HardState::default() });
            store.metadata_put(STATE_KEY, &state).expect("begins");
            watch_growth(&mut store);
        }
    }
}

/// Before sled may write over anything, what replaced it is durable: also within one long call.
#[test]
fn a_long_call_has_barriers_in_it() {
    let (_dir, mut store) = begun(SledOptions::default());
    let barriers = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&barriers);
    at_barriers(&mut store, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let batch: Vec<Record> = (1..=16).map(|index| record(index, 1 << 20)).collect();
    store.append(&batch, Index(0)).expect("appends");
    let barriers = barriers.load(Ordering::Relaxed);
    assert!(barriers >= 64, "{barriers} barriers in 16 MiB");
}

#[test]
fn there_is_room_while_the_reserve_is_free() {
    for (reserve_bytes, room) in [(1, true), (u64::MAX, false)] {
        let (_dir, mut store) = begun(SledOptions { reserve_bytes, ..SledOptions::default() });
        assert_eq!(store.has_room(), room);
    }
}

#[test]
fn a_value_that_is_no_state_is_refused() {
    let (_dir, mut store) = begun(SledOptions::default());
    let other = encode_state(&HardState { directory: 8, ..HardState::default() });
    let refused = store.metadata_put(STATE_KEY, &other).expect_err("another directory");
    assert_eq!(refused.kind, StorageErrorKind::Misuse);
    store.sync().expect_err("and that was the end");
    let dir = temp();
    let mut store = Sled::new(dir.path().join("new"), SledOptions::default());
    store.append(&[], Index(0)).expect_err("not open");
    store.open().expect("opens");
    store.append(&[record(1, 10)], Index(0)).expect_err("no state was put");
}

/// As a later version of quorate might leave it.
#[test]
fn a_log_of_a_later_version_is_refused() {
    let (_dir, mut store) = begun(SledOptions::default());
    store.append(&[record(1, 10)], Index(0)).expect("appends");
    store.sync().expect("syncs");
    let dir = store.paths.dir.clone();
    drop(store);
    let mut database = database::Database::open(&dir.join("sled")).expect("opens");
    let mut ends = database.single().expect("reads").expect("it is there").to_vec();
    ends[4] += 1;
    let crc = crc32c::crc32c(&ends[4..]);
    ends[..4].copy_from_slice(&crc.to_le_bytes());
    database.put_single(&ends).and_then(|()| database.barrier()).expect("writes");
    drop(database);
    let mut store = Sled::new(dir, SledOptions::default());
    let refused = store.open().expect_err("it is newer");
    assert_eq!(refused.kind, StorageErrorKind::Version, "{refused}");
    assert!(!refused.is_damage() && refused.message.contains("Start the newer version"));
}
