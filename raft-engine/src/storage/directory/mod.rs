//! The data directory: whose it is, who may use it, and whether it is the one it says it is.
//!
//! `LOCK` is made once and never replaced. It is locked while a service runs, and its birth time, which
//! nobody can set, stands in the state file: a copy of the directory has another.

pub(super) mod refuse;
pub(super) mod state_file;
pub(super) mod values;

use super::StorageError;
use super::fs::{Access, Birth, File, Fs};
use state_file::StateFile;
use std::io;
use std::path::{Path, PathBuf};

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub dir: PathBuf,
    pub lock: PathBuf,
    pub state: PathBuf,
    pub host: PathBuf,
    pub wal: PathBuf,
}

impl Paths {
    pub fn new(dir: PathBuf) -> Paths {
        let [lock, state, host, wal] = ["LOCK", "state", "metadata", "wal"].map(|n| dir.join(n));
        Paths { dir, lock, state, host, wal }
    }
}

/// A directory that is ours for as long as this lives.
pub(super) struct Directory {
    _lock: Box<dyn File>,
    /// When LOCK was made; zero where the file system does not say.
    pub birth: Birth,
    /// What the state file says; `None` in a new directory.
    pub state: Option<StateFile>,
}

impl Directory {
    /// Locks the directory, makes it if it is new, and checks its identity. `adopt` = a copy is fine.
    pub fn open(fs: &dyn Fs, paths: &Paths, adopt: bool) -> Result<Directory, StorageError> {
        let lock = match lock(fs, paths)? {
            Some(lock) => lock,
            None => make_lock(fs, paths, adopt)?,
        };
        let state = StateFile::open(fs, &paths.state)?;
        // A run whose sync failed may have left the name in memory alone.
        fs.sync_dir(&paths.dir).map_err(|e| StorageError::io("sync", &paths.dir, &e))?;
        if state.is_none() && has_segments(fs, paths)? {
            return Err(refuse::state_lost(&paths.state));
        }
        let birth = fs.birth(&paths.lock);
        let birth = birth.map_err(|e| StorageError::io("look at", &paths.lock, &e))?;
        let birth = birth.unwrap_or_default();
        let recorded = state.as_ref().map_or(birth, |file| file.state().birth);
        let none = Birth::default();
        if recorded != birth && recorded != none && birth != none && !adopt {
            return Err(refuse::copied(&paths.lock));
        }
        Ok(Directory { _lock: lock, birth, state })
    }
}

/// Takes the lock; `None` when there is no file to lock.
fn lock(fs: &dyn Fs, paths: &Paths) -> Result<Option<Box<dyn File>>, StorageError> {
    match fs.open(&paths.lock, Access::Write) {
        Ok(file) => hold(file, paths).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StorageError::io("open", &paths.lock, &e)),
    }
}

fn hold(file: Box<dyn File>, paths: &Paths) -> Result<Box<dyn File>, StorageError> {
    match file.lock() {
        Ok(true) => Ok(file),
        Ok(false) => Err(refuse::locked(&paths.lock)),
        Err(e) => Err(StorageError::io("lock", &paths.lock, &e)),
    }
}

/// A directory without LOCK is new, or LOCK did not come along when it was copied.
fn make_lock(fs: &dyn Fs, paths: &Paths, adopt: bool) -> Result<Box<dyn File>, StorageError> {
    let has_state = names(fs, &paths.dir)?.iter().any(|name| name == "state");
    if !has_state && has_segments(fs, paths)? {
        return Err(refuse::state_lost(&paths.state));
    }
    if has_state && !adopt {
        return Err(refuse::copied(&paths.lock));
    }
    fs.make_dir(&paths.dir).map_err(|e| StorageError::io("make", &paths.dir, &e))?;
    let file = fs.open(&paths.lock, Access::Create);
    let file = file.map_err(|e| StorageError::io("make", &paths.lock, &e))?;
    fs.sync_dir(&paths.dir).map_err(|e| StorageError::io("sync", &paths.dir, &e))?;
    hold(file, paths)
}

fn has_segments(fs: &dyn Fs, paths: &Paths) -> Result<bool, StorageError> {
    Ok(names(fs, &paths.wal)?.iter().any(|name| number_of(name, ".log").is_some()))
}

/// The names in `dir`; none when it is not there yet.
pub(super) fn names(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, StorageError> {
    match fs.list(dir) {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(StorageError::io("list", dir, &e)),
    }
}

/// The number in the name of a segment, or of one in preparation.
pub(super) fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { u64::from_str_radix(digits, 16).ok() } else { None }
}
