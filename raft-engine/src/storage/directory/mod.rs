//! The data directory: whose it is, who may use it, and whether it is the one it says it is.
//!
//! `LOCK` is made once and never replaced. It is locked while a service runs, and its birth time, which
//! nobody can set, stands in the state file: a copy of the directory has another.

pub(super) mod refuse;
pub(super) mod state_file;
pub(super) mod values;

use super::fs::{Access, Birth, File, Fs};
use super::{STATE_KEY, StorageError, StorageErrorKind};
use crate::codec::STATE_BYTES;
use state_file::{State, StateFile};
use std::io;
use std::path::{Path, PathBuf};

/// The stores on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The segmented log.
    Wal,
    /// The log in sled.
    Sled,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Wal, Kind::Sled];

    /// Its number in the state file.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The value of the setting `storage`, and the name of the folder with the log.
    fn word(self) -> &'static str {
        match self {
            Kind::Wal => "wal",
            Kind::Sled => "sled",
        }
    }

    /// Whether its log is in the directory.
    fn has_log(self, fs: &dyn Fs, dir: &Path) -> Result<bool, StorageError> {
        let is_log = |name: &String| match self {
            Kind::Wal => number_of(name, ".log").is_some(),
            Kind::Sled => name == "db",
        };
        Ok(names(fs, &dir.join(self.word()))?.iter().any(is_log))
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub kind: Kind,
    pub dir: PathBuf,
    pub lock: PathBuf,
    pub state: PathBuf,
    pub host: PathBuf,
    /// The folder with the log.
    pub log: PathBuf,
}

impl Paths {
    pub fn new(dir: PathBuf, kind: Kind) -> Paths {
        let [lock, state, host] = ["LOCK", "state", "metadata"].map(|name| dir.join(name));
        Paths { log: dir.join(kind.word()), kind, dir, lock, state, host }
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
        match &state {
            Some(file) => check_kind(paths, file)?,
            None => refuse_log(fs, paths)?,
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

    /// The state, made with the directory if that is new.
    pub fn make(
        &mut self,
        fs: &dyn Fs,
        paths: &Paths,
        engine: [u8; STATE_BYTES],
    ) -> Result<&mut StateFile, StorageError> {
        if self.state.is_none() {
            fs.make_dir(&paths.dir).map_err(|e| StorageError::io("make", &paths.dir, &e))?;
            let (birth, store) = (self.birth, paths.kind.number());
            let state = State { birth, store, ..State::new(engine) };
            let made = StateFile::create(fs, &paths.state, state);
            self.state = Some(made.map_err(|e| StorageError::io("make", &paths.state, &e))?);
        }
        Ok(self.state.as_mut().expect("it was just made"))
    }

    /// The id of the directory; 0 while it has none.
    pub fn id(&self) -> u64 {
        self.state.as_ref().map_or(0, |file| file.state().directory())
    }

    /// The engine's state in a value, if it is one for this directory: all files name the directory,
    /// so its id can't change and can't be none.
    pub fn engine_state(&self, value: &[u8]) -> Result<[u8; STATE_BYTES], StorageError> {
        let misuse = |message| Err(StorageError::new(StorageErrorKind::Misuse, message));
        let Ok(engine) = <[u8; STATE_BYTES]>::try_from(value) else {
            return misuse(format!("The value of {STATE_KEY} must have {STATE_BYTES} bytes."));
        };
        let id = State::new(engine).directory();
        let now = if self.state.is_some() { self.id() } else { id };
        if id != 0 && id == now {
            return Ok(engine);
        }
        misuse(format!("The id of the data directory can't become {id:016x}; it is {now:016x}."))
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
    match StateFile::open(fs, &paths.state)? {
        Some(file) => {
            check_kind(paths, &file)?;
            if !adopt {
                return Err(refuse::copied(&paths.lock));
            }
        }
        None => refuse_log(fs, paths)?,
    }
    fs.make_dir(&paths.dir).map_err(|e| StorageError::io("make", &paths.dir, &e))?;
    let file = fs.open(&paths.lock, Access::Create);
    let file = file.map_err(|e| StorageError::io("make", &paths.lock, &e))?;
    fs.sync_dir(&paths.dir).map_err(|e| StorageError::io("sync", &paths.dir, &e))?;
    hold(file, paths)
}

/// The state says which store made the directory.
fn check_kind(paths: &Paths, file: &StateFile) -> Result<(), StorageError> {
    let says = file.state().store;
    match Kind::ALL.into_iter().find(|kind| kind.number() == says) {
        Some(kind) if kind == paths.kind => Ok(()),
        Some(kind) => Err(refuse::other_store(&paths.dir, paths.kind.word(), kind.word())),
        None => Err(refuse::version(&paths.state, 204)),
    }
}

/// Without a state there must be no log, of whichever store.
fn refuse_log(fs: &dyn Fs, paths: &Paths) -> Result<(), StorageError> {
    if paths.kind.has_log(fs, &paths.dir)? {
        return Err(refuse::state_lost(&paths.state));
    }
    for other in Kind::ALL {
        if other.has_log(fs, &paths.dir)? {
            return Err(refuse::other_store(&paths.dir, paths.kind.word(), other.word()));
        }
    }
    Ok(())
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
