//! The kit on a store of ours that keeps its files in a directory.

use super::{Make, Report, check};
use crate::storage::LogStore;
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
fn shared_memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.into() } else { std::env::temp_dir() }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("known").is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(&from, &to)), // a thread of the store's may have renamed it
        }
    }
}
