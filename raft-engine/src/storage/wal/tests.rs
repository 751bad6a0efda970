//! What one log does, call by call. Damage and crashes: `tests/it/recovery.rs`.

use super::*;
use crate::storage::conformance;

fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, ..WalOptions::default() }
}

#[test]
fn keeps_the_contract() {
    for segment_bytes in [16 << 10, 64 << 10, 2 << 20] {
        let mut dirs = Vec::new();
        let passed = conformance::run(&mut |reopen| {
            if !reopen {
                dirs.push(tempfile::tempdir().expect("a directory"));
            }
            let dir = dirs.last().expect("one was made").path().join("data");
            Ok(Box::new(Wal::new(dir, options(segment_bytes))))
        });
        assert!(passed.expect("conforms") > 10);
    }
}
