//! The kit on a store of ours that keeps its files in a directory.

use super::{Make, Report, check};
use crate::storage::LogStore;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir_in};

/// Tries all rules on stores that `store` makes in the directories that it is given; some of these are
/// copies. A crash is a copy of the files while the store is in the middle of its work: what a process
/// that dies leaves, not what a power cut does.
pub fn check_in_directories(store: impl Fn(PathBuf) -> Box<dyn LogStore>) -> Report {
    let new = || tempdir_in(shared_memory()).expect("a directory");
    let data = |dir: &TempDir| dir.path().join("data");
    let mut dir = new();
    check(&mut |make| {
        match make {
            Make::New => dir = new(),
            Make::Again => {}
            Make::Crashed => {
                let crashed = new();
                copy(&data(&dir), &data(&crashed));
                dir = crashed;
            }
        }
        Ok(store(data(&dir)))
    })
}

/// Where files are in memory: two thousand syncs of several stores at a time would take a disk a minute
/// each, and none of them matters here.
pub fn shared_memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.into() } else { std::env::temp_dir() }
}

/// What a crash leaves of a directory that is in use.
fn copy(from: &Path, to: &Path) {
    for (name, bytes) in settled_files(from) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }
}

/// The files in a directory, by their names in it, once a store's own threads have done what they were
/// about to do: files that change while they are read would be ones that never were.
pub fn settled_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(dir);
    loop {
        let again = files(dir);
        if again == found {
            return found;
        }
        found = again;
    }
}

/// The same as they are found.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let name = path.strip_prefix(dir).expect("inside").to_owned();
                found.insert(name, bytes);
            }
        }
    }
    found
}
