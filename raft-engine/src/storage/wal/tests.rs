//! What one log does, call by call. Damage and crashes: `tests/it/recovery.rs`.

use super::*;
use crate::codec::encode_state;
use crate::consensus::ready::HardState;
use crate::storage::conformance::files::check_in_directories;
use bytes::Bytes;

fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, ..WalOptions::default() }
}

/// Power cuts: `tests/it/power_cut/`.
#[test]
fn keeps_the_contract() {
    for segment_bytes in [16 << 10, 1 << 20] {
        let options = WalOptions { segment_bytes, adopt_copied_directory: true };
        let report = check_in_directories(|dir| Box::new(Wal::new(dir, options.clone())));
        assert_eq!(report.passed(), report.checks.len(), "{report}");
    }
}

fn record(index: u64, len: usize) -> Record {
    let payload = Bytes::from(vec![index as u8; len]);
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

fn begun(segment_bytes: u64) -> (tempfile::TempDir, Wal) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = Wal::new(dir.path().join("data"), options(segment_bytes));
    wal.open().expect("opens");
    let state = encode_state(&HardState { directory: 7, ..HardState::default() });
    wal.metadata_put(STATE_KEY, &state).expect("begins");
    (dir, wal)
}

/// Compaction must not give a file that is being read to the next segment.
#[test]
fn a_segment_in_reading_is_not_used_again() {
    let (_dir, mut wal) = begun(16 << 10);
    for index in 1..=100 {
        wal.append(&[record(index, 1000)], Index(0)).expect("appends");
        wal.sync().expect("syncs");
    }
    let mut reader = wal.reader().expect("has one");
    let held = reader.read(Index(1), Index(1), 0).expect("reads");
    wal.truncate_prefix(Index(90), Term(1)).expect("compacts");
    for index in 101..=200 {
        wal.append(&[record(index, 1000)], Index(0)).expect("appends");
        wal.sync().expect("syncs");
    }
    assert_eq!(held, [record(1, 1000)]);
    reader.read(Index(1), Index(1), 0).expect_err("removed");
    let all = reader.read(Index(91), Index(200), 1 << 20).expect("reads");
    assert_eq!(all, (91..=200).map(|index| record(index, 1000)).collect::<Vec<_>>());
}

#[test]
fn a_value_that_is_no_state_is_refused() {
    let (_dir, mut wal) = begun(64 << 10);
    let other = encode_state(&HardState { directory: 8, ..HardState::default() });
    let refused = wal.metadata_put(STATE_KEY, &other).expect_err("another directory");
    assert_eq!(refused.kind, StorageErrorKind::Misuse);
    wal.sync().expect_err("and that was the end");
    let (_dir, mut wal) = begun(64 << 10);
    wal.metadata_put(STATE_KEY, b"short").expect_err("no state");
    let dir = tempfile::tempdir().expect("a directory");
    let mut wal = Wal::new(dir.path().join("new"), options(64 << 10));
    wal.append(&[], Index(0)).expect_err("not open");
    wal.open().expect("opens");
    wal.append(&[record(1, 10)], Index(0)).expect_err("no state was put");
}

/// What a follower received in one message lies in one buffer; the log keeps pieces of it.
#[test]
fn entries_of_any_size_come_back_from_any_place() {
    let (_dir, mut wal) = begun(64 << 10);
    let sizes = [0, 1, 7, 8, 9, 4000, 60_000, 70_000, 3, 200_000, 31, 32, 33];
    let records: Vec<Record> =
        (1..=130).map(|index| record(index, sizes[index as usize % sizes.len()])).collect();
    for (round, batch) in records.chunks(11).enumerate() {
        wal.append(batch, Index(0)).expect("appends");
        if round % 3 > 0 {
            wal.sync().expect("syncs");
        }
    }
    for first in 1..=130 {
        let last = (first + 40).min(130);
        let found = wal.read(Index(first), Index(last), 70_000).expect("reads");
        let wanted = &records[first as usize - 1..][..found.len()];
        assert!(!found.is_empty() && found == wanted, "from {first}");
    }
}
