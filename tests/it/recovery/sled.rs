//! The log in sled, of which others know the files: damaged anywhere, it is refused or right.
//!
//! `SLED_DAMAGE=5000 cargo test -p quorate-tests damage` looks further.

use super::*;

fn rig() -> Rig {
    Rig::new(Kind::Sled)
}

fn database(rig: &Rig) -> PathBuf {
    rig.path("sled/db")
}

/// Refused by what is in the database; sled itself may have changed its files by then.
fn refused(rig: &Rig, kind: StorageErrorKind) {
    let refused = rig.open().expect_err("must be refused");
    assert_eq!(refused.kind, kind, "{refused}");
    assert_eq!(refused.file, Some(database(rig)), "{refused}");
    assert!(refused.message.contains("sled/db"), "{refused}");
}

#[test]
fn an_older_state_file_is_refused() {
    for closed in [true, false] {
        let rig = rig();
        rig.run(1, 1..=1);
        if closed {
            let mut store = rig.begin(2);
            store.metadata_put(STATE_KEY, &state(77, 2, true)).expect("closes");
        }
        let old = read(&rig.path("state"));
        rig.run(3, 2..=if closed { 2 } else { 6 });
        write(&rig.path("state"), &old);
        refused(&rig, StorageErrorKind::Corrupt);
        rig.store(false).salvage().expect_err("term and vote are old, which no repair mends");
    }
}

#[test]
fn an_older_database_is_refused() {
    let rig = rig();
    rig.run(1, 1..=3);
    let before = Rig::new(Kind::Sled);
    copy(&rig.path("sled"), &before.dir);
    rig.run(2, 4..=6);
    std::fs::remove_dir_all(rig.path("sled")).expect("removes");
    copy(&before.dir, &rig.path("sled"));
    refused(&rig, StorageErrorKind::Corrupt);
    let mut store = rig.store(false);
    assert_eq!(store.salvage().expect("an older log is one too").found.last, Index(3));
    store.metadata_put(STATE_KEY, &state(77, 3, false)).expect("begins");
    let kept: Vec<Record> = (1..=3).map(record).collect();
    assert_eq!(store.read(Index(1), Index(3), 1 << 20).expect("reads"), kept);
    drop(store);
    rig.run(4, 4..=5);
    assert_eq!(rig.last(), 5);
    assert!(rig.path("sled.damaged-1/db").exists());
}

#[test]
fn a_missing_database_is_refused() {
    let rig = rig();
    rig.run(1, 1..=3);
    let aside = rig.path("aside");
    for name in ["sled", "sled/db"] {
        std::fs::rename(rig.path(name), &aside).expect("moves");
        rig.refused(StorageErrorKind::MissingSegment, &database(&rig), 0);
        std::fs::rename(&aside, rig.path(name)).expect("moves");
    }
    assert_eq!(rig.last(), 3);
}

#[test]
fn a_database_of_another_directory_is_refused() {
    let (rig, other) = (rig(), Rig::with(Kind::Sled, 78));
    rig.run(1, 1..=3);
    other.run(1, 1..=3);
    std::fs::remove_dir_all(rig.path("sled")).expect("removes");
    copy(&other.path("sled"), &rig.path("sled"));
    refused(&rig, StorageErrorKind::ForeignFile);
}

/// A crash while the database is being made leaves nothing that counts, nor does one of sled's while
/// it opens.
#[test]
fn what_was_not_finished_is_made_anew() {
    let rig = rig();
    rig.run(1, 1..=3);
    std::fs::write(rig.path("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").expect("writes");
    std::fs::create_dir(rig.path("sled.new")).expect("makes");
    assert_eq!(rig.last(), 3);
    let fresh = Rig::new(Kind::Sled);
    std::fs::create_dir_all(fresh.path("sled.new/blobs")).expect("makes");
    std::fs::write(fresh.path("sled.new/conf"), b"half a file").expect("writes");
    fresh.run(1, 1..=2);
    assert_eq!(fresh.last(), 2);
    assert!(!fresh.path("sled.new").exists());
}

/// The directory's log, entry by entry, if it opens; never one that is not as it was written. The last
/// sync of a run that was not closed may look as if it had never returned.
fn right_or_refused(rig: &Rig, closed: bool) -> bool {
    let mut store = rig.store(false);
    let found = match store.open() {
        Ok(found) => found,
        Err(refused) => {
            assert!(refused.message.contains(". "), "says what to do: {refused}");
            match refused.kind {
                StorageErrorKind::Version => {} // sled's parameters look like those of another version
                _ => goes_on_with_what_is_left(rig, store),
            }
            return false;
        }
    };
    let least = if closed { LAST } else { LAST - 1 };
    assert_eq!((found.first, found.last.max(Index(least))), (Index(1), found.last));
    let mut index = Index(1);
    while index <= found.last {
        for record in store.read(index, found.last, 1 << 20).expect("reads") {
            assert_eq!(record, written(index.0));
            index = index.next();
        }
    }
    true
}

/// A member of a cluster would keep a beginning of the log, and the damaged database beside it.
fn goes_on_with_what_is_left(rig: &Rig, mut store: Box<dyn LogStore>) {
    let left = store.salvage().expect("salvages").found;
    assert!(left.last.0 <= LAST && left.first <= Index(1), "{left:?}");
    store.metadata_put(STATE_KEY, &state(77, 8, false)).expect("begins");
    let mut index = Index(1);
    while index <= left.last {
        for record in store.read(index, left.last, 1 << 20).expect("reads") {
            assert_eq!(record, written(index.0));
            index = index.next();
        }
    }
    let next = left.last.next();
    store.append(&[written(next.0)], Index(0)).expect("appends");
    store.sync().expect("syncs");
    drop(store);
    let mut again = rig.store(false);
    assert_eq!(again.open().expect("opens").last, next);
    assert_eq!(again.read(next, next, 0).expect("reads"), [written(next.0)]);
    drop(again);
    let kept = std::fs::read_dir(&rig.dir).expect("lists").filter(|entry| {
        let name = entry.as_ref().expect("lists").file_name();
        name.to_string_lossy().starts_with("sled.damaged-")
    });
    let kept: Vec<PathBuf> = kept.map(|entry| entry.expect("lists").path()).collect();
    assert_eq!(kept.len(), 1);
    kept.iter().for_each(|dir| std::fs::remove_dir_all(dir).expect("removes"));
}

fn written(index: u64) -> Record {
    sized(index, if index.is_multiple_of(10) { 20_000 } else { 60 + index as usize })
}

const LAST: u64 = 60;

/// A directory with a log of three runs, and its files.
fn with_a_log(closed: bool) -> (Rig, BTreeMap<PathBuf, Vec<u8>>) {
    let rig = rig();
    for run in 0..3 {
        let mut store = rig.begin(run + 1);
        for index in run * LAST / 3 + 1..=(run + 1) * LAST / 3 {
            store.append(&[written(index)], Index(0)).expect("appends");
            store.sync().expect("syncs");
        }
        if closed {
            store.metadata_put(STATE_KEY, &state(77, run + 1, true)).expect("closes");
        }
    }
    let files = content(&rig.path("sled"));
    (rig, files)
}

fn put_back(rig: &Rig, state: &[u8], files: &BTreeMap<PathBuf, Vec<u8>>) {
    std::fs::write(rig.path("state"), state).expect("writes");
    std::fs::remove_dir_all(rig.path("sled")).expect("removes");
    std::fs::create_dir_all(rig.path("sled/blobs")).expect("makes");
    for (path, bytes) in files {
        std::fs::write(path, bytes).expect("writes");
    }
}

/// Every place of a file that holds something, or about `count` of them.
fn places(bytes: &[u8], count: usize) -> Vec<usize> {
    let filled = |at: &usize| bytes[*at] != 0;
    let all: Vec<usize> = (0..bytes.len()).filter(filled).collect();
    all.iter().copied().step_by((all.len() / count).max(1)).collect()
}

#[test]
fn damage_is_refused_or_does_not_matter() {
    let count = std::env::var("SLED_DAMAGE").map_or(40, |n| n.parse().expect("a number"));
    for closed in [true, false] {
        let (refused, right) = damage(count, closed);
        assert!(refused > 10 && right > 10, "{refused} refused, {right} right");
    }
}

/// Flips bits and cuts files, and counts what was refused and what was right all the same.
fn damage(count: usize, closed: bool) -> (u32, u32) {
    let (rig, files) = with_a_log(closed);
    let state = read(&rig.path("state"));
    let (mut refused, mut right) = (0, 0);
    for (path, good) in &files {
        let flips = places(good, count).into_iter().map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            bad
        });
        let cuts = (0..count / 4).map(|n| good[..good.len() * n / (count / 4)].to_vec());
        for bad in flips.chain(cuts) {
            put_back(&rig, &state, &files);
            std::fs::write(path, bad).expect("writes");
            let was_right = right_or_refused(&rig, closed);
            (refused, right) = (refused + u32::from(!was_right), right + u32::from(was_right));
        }
    }
    (refused, right)
}
