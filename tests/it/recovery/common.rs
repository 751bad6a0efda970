//! What every store on disk does with a directory that is not as it should be.

use super::*;

// known bug: A3
#[test]
fn entries_without_a_state_are_refused() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.run(1, 1..=3);
        std::fs::remove_file(rig.path("state")).expect("removes");
        rig.refused(StorageErrorKind::StateLost, &rig.path("state"), 0);
        std::fs::remove_file(rig.path("LOCK")).expect("removes");
        rig.refused(StorageErrorKind::StateLost, &rig.path("state"), 0);
    }
}

// known bug: G5 | NATS #7556, redisraft #150: a damaged snapshot was taken for an empty state | what stands
// beside the log has checksums, and is refused, never taken for nothing. *Waits for snapshots*: fetched anew
#[test]
fn a_rotten_state_is_refused_only_if_both_copies_are() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.run(1, 1..=3);
        let path = rig.path("state");
        let good = read(&path);
        let rot = |blocks: &[usize]| {
            let mut bad = good.clone();
            blocks.iter().for_each(|block| bad[block * 4096 + 60] ^= 4);
            bad
        };
        for block in 0..4 {
            write(&path, &rot(&[block]));
            assert_eq!(rig.last(), 3, "block {block}");
        }
        for (pair, offset) in [([0, 1], 0), ([2, 3], 8192)] {
            write(&path, &rot(&pair));
            rig.refused(StorageErrorKind::Corrupt, &path, offset);
        }
        std::fs::write(&path, b"").expect("writes");
        rig.refused(StorageErrorKind::Corrupt, &path, 0);
        std::fs::write(&path, &good).expect("writes");
        assert_eq!(rig.last(), 3);
    }
}

#[test]
fn a_format_of_a_later_version_is_refused() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.run(1, 1..=3);
        let path = rig.path("state");
        let good = read(&path);
        let newest = [0, 8192].into_iter().max_by_key(|at| u64_at(&good, at + 16)).expect("two");
        let block = later(&good[newest..newest + 4096], 512);
        write(&path, &[&good[..newest], &block, &good[newest + 4096..]].concat());
        rig.refused(StorageErrorKind::Version, &path, newest as u64);
    }
}

#[test]
fn a_copied_directory_is_refused_unless_adopted() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        rig.run(1, 1..=3);
        let twin = Rig::new(kind);
        copy(&rig.dir, &twin.dir);
        twin.refused(StorageErrorKind::CopiedDirectory, &twin.path("LOCK"), 0);
        std::fs::remove_file(twin.path("LOCK")).expect("removes");
        twin.refused(StorageErrorKind::CopiedDirectory, &twin.path("LOCK"), 0);
        let mut store = twin.store(true);
        assert_eq!(store.open().expect("adopted").last, Index(3));
        store.metadata_put(STATE_KEY, &state(77, 2, false)).expect("begins");
        drop(store);
        twin.run(3, 4..=4);
        assert_eq!(
            (twin.last(), rig.last()),
            (4, 3),
            "adopted for good, and the original is as it was"
        );
        let moved = Rig::new(kind);
        std::fs::rename(&rig.dir, &moved.dir).expect("moves");
        assert_eq!(moved.last(), 3, "a directory may be renamed");
    }
}

// known bug: G12
#[test]
fn a_directory_in_use_is_refused() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let mut store = rig.begin(1);
        rig.refused_as_locked();
        store.append(&[record(1)], Index(0)).expect("appends");
        store.sync().expect("syncs");
        drop(store);
        assert_eq!(rig.last(), 1);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        std::fs::write(&rig.dir, b"a file").expect("writes");
        let refused = rig.open().expect_err("no directory");
        assert_eq!(refused.kind, StorageErrorKind::Io);
        assert!(refused.message.contains(&rig.dir.display().to_string()), "{refused}");
        assert_eq!(read(&rig.dir), b"a file");
        let nowhere = kind.store("/proc/quorate/data".into(), false).open();
        assert!(nowhere.expect_err("nothing can be made there").message.contains("/proc/quorate"));
    }
}

#[test]
fn a_directory_of_the_other_store_is_refused() {
    for (kind, other, setting) in
        [(Kind::Wal, Kind::Sled, "storage=sled"), (Kind::Sled, Kind::Wal, "storage=wal")]
    {
        let rig = Rig::new(other);
        rig.run(1, 1..=3);
        let wrong = Rig { dir: rig.dir.clone(), ..Rig::new(kind) };
        let refused = wrong.refused(StorageErrorKind::OtherStore, &rig.dir, 0);
        assert!(refused.message.contains(&format!("Set {setting}")), "{refused}");
        assert_eq!(rig.last(), 3);
        let (state, aside) = (rig.path("state"), rig.path("aside"));
        std::fs::rename(&state, &aside).expect("moves");
        wrong.refused(StorageErrorKind::OtherStore, &rig.dir, 0);
        std::fs::rename(&aside, &state).expect("moves");
        std::fs::remove_file(rig.path("LOCK")).expect("removes");
        wrong.refused(StorageErrorKind::OtherStore, &rig.dir, 0);
    }
}

// known bug: G15 | file names and orders by the clock of the machine: the clock goes back a year, and old files
// look newer than new ones | segments are numbered, runs are counted, and no store reads a clock
#[test]
fn a_clock_that_goes_back_changes_no_order() {
    let year = std::time::Duration::from_secs(365 * 24 * 3600);
    for kind in KINDS {
        let rig = Rig::new(kind);
        (1..=3).for_each(|run| rig.run(run, run * 4 - 3..=run * 4));
        for (n, path) in content(&rig.dir).into_keys().enumerate() {
            let file = std::fs::File::options().write(true).open(&path).expect("opens");
            let then = std::time::SystemTime::now() - year * n as u32;
            file.set_modified(then).expect("sets");
        }
        assert_eq!(rig.last(), 12);
        rig.run(4, 13..=14);
        assert_eq!(rig.last(), 14);
    }
}
