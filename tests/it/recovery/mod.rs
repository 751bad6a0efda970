//! Stores on a real disk, damaged on purpose: a torn end is cut, everything else is refused with its
//! file, and what quorate itself refuses is left byte for byte as it was.

mod common;
mod killed;
mod salvage;
mod sled;
mod synced;
mod wal;

use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::sled::{Sled, SledOptions};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{
    LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SEGMENT: u64 = 64 << 10;

/// The stores on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Wal,
    Sled,
}

const KINDS: [Kind; 2] = [Kind::Wal, Kind::Sled];

impl Kind {
    fn store(self, dir: PathBuf, adopt: bool) -> Box<dyn LogStore> {
        let adopt_copied_directory = adopt;
        match self {
            Kind::Wal => {
                let options = WalOptions { segment_bytes: SEGMENT, adopt_copied_directory };
                Box::new(Wal::new(dir, options))
            }
            Kind::Sled => {
                let options = SledOptions { adopt_copied_directory, ..SledOptions::default() };
                Box::new(Sled::new(dir, options))
            }
        }
    }
}

fn record(index: u64) -> Record {
    sized(index, 60)
}

fn sized(index: u64, len: usize) -> Record {
    let mut bytes = vec![index as u8; len];
    bytes[..4].fill(0);
    with_payload(index, bytes)
}

fn with_payload(index: u64, bytes: Vec<u8>) -> Record {
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

fn state(directory: u64, run: u64, closed: bool) -> [u8; 112] {
    encode_state(&HardState {
        directory,
        node: NodeId(1),
        incarnation: Incarnation(run << 40),
        closed,
        ..HardState::default()
    })
}

/// A data directory, and what to do to it.
struct Rig {
    _temp: TempDir,
    kind: Kind,
    dir: PathBuf,
    id: u64,
}

impl Rig {
    fn new(kind: Kind) -> Rig {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("data");
        Rig { _temp: temp, kind, dir, id: 77 }
    }

    fn with(kind: Kind, directory: u64) -> Rig {
        Rig { id: directory, ..Rig::new(kind) }
    }

    fn store(&self, adopt: bool) -> Box<dyn LogStore> {
        self.kind.store(self.dir.clone(), adopt)
    }

    /// Starts a run.
    fn begin(&self, run: u64) -> Box<dyn LogStore> {
        let mut store = self.store(false);
        store.open().expect("opens");
        store.metadata_put(STATE_KEY, &state(self.id, run, false)).expect("begins");
        store
    }

    /// A run that appends `range`, a sync for each entry.
    fn run(&self, run: u64, range: std::ops::RangeInclusive<u64>) {
        let mut store = self.begin(run);
        for index in range {
            store.append(&[record(index)], Index(0)).expect("appends");
            store.sync().expect("syncs");
        }
    }

    fn open(&self) -> Result<Recovered, StorageError> {
        self.store(false).open()
    }

    fn last(&self) -> u64 {
        self.open().expect("opens").last.0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Opening is refused, nothing is changed, and the sentence says where and what to do.
    fn refused(&self, kind: StorageErrorKind, file: &Path, offset: u64) -> StorageError {
        let before = content(&self.dir);
        let refused = self.open().expect_err("must be refused");
        assert_eq!(refused.kind, kind, "{refused}");
        assert_eq!(refused.file.as_deref(), Some(file), "{refused}");
        assert_eq!(refused.offset.unwrap_or(0), offset, "{refused}");
        assert!(refused.message.contains(&file.display().to_string()), "{refused}");
        assert!(refused.message.matches(". ").count() >= 1, "says what to do: {refused}");
        assert!(before == content(&self.dir), "a refusal changes nothing: {refused}");
        refused
    }

    /// The same while another run works in the directory.
    fn refused_as_locked(&self) {
        let refused = self.open().expect_err("somebody has it open");
        assert_eq!(refused.kind, StorageErrorKind::Locked, "{refused}");
        assert!(refused.message.contains(&self.path("LOCK").display().to_string()), "{refused}");
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("readable")
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all(bytes).expect("writes");
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), read(&path));
        }
    }
    all
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4")) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8"))
}

/// Opens after each change of one file, which is put back as it was.
fn each(path: &Path, changes: impl Iterator<Item = Vec<u8>>, mut check: impl FnMut(usize)) {
    let good = read(path);
    for (number, changed) in changes.enumerate() {
        write(path, &changed);
        check(number);
        write(path, &good);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("makes");
    for entry in std::fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copies");
        }
    }
}

/// Bytes with a version number that nobody has written yet, and the checksum over them.
fn later(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut later = bytes.to_vec();
    later[12] = 9;
    let crc = crc32c::crc32c(&later[12..len]);
    later[8..12].copy_from_slice(&crc.to_le_bytes());
    later
}
