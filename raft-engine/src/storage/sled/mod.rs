//! The log in sled, for those who want it there; `wal` is faster and smaller. Term, vote and identity
//! stand in the file `state`, as with every store on disk, because they must survive a damaged log.
//!
//! ```text
//! <dir>/LOCK, state, metadata   as with the segmented log
//! <dir>/sled/                   the database: entries, and where the log begins and ends
//! <dir>/sled.new/               a database that is being made; removed when another one is
//! ```
//!
//! What must hold: sled takes damage for an end that tore, and goes on with what is left. So the state
//! names what was durable one sync before, and the entries are chained (`ends`): whatever sled loses
//! or brings back, short of the very last sync of a run that was not closed, is noticed when it is
//! opened, and refused. After a call that failed, every call fails.

mod database;
mod ends;
mod log;
mod pieces;
mod refuse;
mod salvage;

use super::directory::state_file::{End, State};
use super::directory::values::{self, Values};
use super::directory::{Directory, Kind, Paths};
use super::fs::{Disk, Fs};
use super::{LogStore, Record, Recovered, STATE_KEY, Salvaged, StorageError, StorageErrorKind};
use crate::codec::STATE_BYTES;
use crate::consensus::types::{Index, Term};
use ends::Ends;
use log::Log;
use salvage::Left;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Takes a directory although it is a copy: the operator vouches that no other has a newer state.
    pub adopt_copied_directory: bool,
    /// With less than that free on the file system no new entries are taken. It must hold all writes
    /// that may be under way, and what sled makes of them.
    pub reserve_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions { adopt_copied_directory: false, reserve_bytes: 256 << 20 }
    }
}

/// The store.
pub struct Sled {
    paths: Paths,
    options: SledOptions,
    opened: Option<Opened>,
    failed: Option<StorageError>,
}

/// A directory that was opened. The log is dropped before the lock.
struct Opened {
    /// `None` in a new directory.
    log: Option<Log>,
    /// What can be believed of a damaged one, until the run begins.
    left: Option<Left>,
    host: Values,
    /// The last sync that returned.
    durable: End,
    /// Something was written after it.
    unsynced: bool,
    /// This run has written its state.
    running: bool,
    directory: Directory,
}

impl Sled {
    /// A store in `dir`, which is made when it is missing.
    #[must_use]
    pub fn new(dir: PathBuf, options: SledOptions) -> Sled {
        Sled { paths: Paths::new(dir, Kind::Sled), options, opened: None, failed: None }
    }

    /// Does something that may write; a failure is final.
    fn writing<T>(
        &mut self,
        work: impl FnOnce(&mut Opened, &Paths) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check_usable()?;
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        let done = work(opened, &self.paths);
        if let Err(e) = &done {
            self.failed = Some(e.clone());
        }
        done
    }

    fn check_usable(&self) -> Result<(), StorageError> {
        let Some(failed) = &self.failed else { return Ok(()) };
        let message = format!("The store had failed before and takes no more calls: {failed}");
        Err(StorageError { message, ..failed.clone() })
    }

    /// Opens the directory, whose log `read` looks at.
    fn open_directory<T>(
        &mut self,
        read: impl FnOnce(&mut Opened, &Paths) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.opened.is_some() {
            return Err(StorageError::new(StorageErrorKind::Misuse, "The store is open already."));
        }
        let paths = &self.paths;
        let directory = Directory::open(&Disk, paths, self.options.adopt_copied_directory)?;
        let mut opened = Opened {
            log: None,
            left: None,
            host: Values::new(),
            durable: End::default(),
            unsynced: false,
            running: false,
            directory,
        };
        let found = read(&mut opened, paths)?;
        self.opened = Some(opened);
        Ok(found)
    }
}

impl LogStore for Sled {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        self.open_directory(Opened::recover)
    }

    fn salvage(&mut self) -> Result<Salvaged, StorageError> {
        self.open_directory(Opened::salvage)
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        self.writing(|opened, paths| opened.log(paths)?.append(records, commit))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.writing(|opened, _| opened.sync())
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.check_usable()?;
        let log = self.opened.as_ref().ok_or_else(not_open)?.log.as_ref();
        log.ok_or_else(not_open)?.read(first, last, max_bytes)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.writing(|opened, paths| opened.log(paths)?.cut(first))
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        self.writing(|opened, paths| opened.log(paths)?.compact(last, last_term))
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.check_usable()?;
        let opened = self.opened.as_ref().ok_or_else(not_open)?;
        if key == STATE_KEY {
            let state = opened.directory.state.as_ref();
            return Ok(state.map(|file| file.state().engine.to_vec()));
        }
        Ok(opened.host.get(key).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.writing(|opened, paths| {
            if key == STATE_KEY {
                opened.put_state(paths, value)
            } else {
                opened.put(paths, key, value)
            }
        })
    }

    fn has_room(&mut self) -> bool {
        let log = self.opened.as_ref().and_then(|opened| opened.log.as_ref());
        log.is_none_or(|log| log.free_bytes() >= self.options.reserve_bytes)
    }
}

impl Opened {
    fn recover(&mut self, paths: &Paths) -> Result<Recovered, StorageError> {
        let Some(file) = &self.directory.state else { return Ok(Recovered::default()) };
        let state = *file.state();
        self.host = values::read(&Disk, &paths.host, state.directory())?;
        let database = database::file_of(&paths.log);
        if !exists(&database)? {
            let is_new = state.end == End::default();
            return if is_new { Ok(Recovered::default()) } else { Err(refuse::missing(&database)) };
        }
        let log = Log::open(&paths.log, state.directory())?;
        check_age(&log, &state)?;
        let recovered = log.look_through()?;
        self.durable = end_of(&log);
        self.log = Some(log);
        Ok(recovered)
    }

    /// What can be believed of a log that was refused.
    fn salvage(&mut self, paths: &Paths) -> Result<Salvaged, StorageError> {
        let state = *self.directory.state.as_ref().ok_or_else(not_open)?.state();
        self.host = values::read(&Disk, &paths.host, state.directory())?;
        let left = Left::look(paths, &state)?;
        let found = left.found.clone();
        (self.left, self.durable) = (Some(left), state.end);
        let aside = paths.dir.join("sled.damaged-");
        let rest = format!("the database is kept under a name with {}", aside.display());
        Ok(Salvaged { found, rest })
    }

    /// The log, to be written to.
    fn log(&mut self, paths: &Paths) -> Result<&mut Log, StorageError> {
        if !self.running {
            let Some(file) = &self.directory.state else {
                let message = "A new data directory must be given its state before anything else.";
                return Err(StorageError::new(StorageErrorKind::Misuse, message));
            };
            let engine = file.state().engine;
            self.begin(paths, engine)?;
        }
        self.unsynced = true;
        self.log.as_mut().ok_or_else(not_open)
    }

    /// Begins the run: makes `engine` durable, and a log if there is none.
    fn begin(&mut self, paths: &Paths, engine: [u8; STATE_BYTES]) -> Result<(), StorageError> {
        let directory = self.directory.make(&Disk, paths, engine)?.state().directory();
        let left = self.left.take();
        if left.is_some() {
            // What was lost is said before anything is moved.
            self.write_state(|state| state.engine = engine)?;
        }
        if self.log.is_none() {
            let log = make_log(paths, directory, left, self.durable)?;
            self.durable = end_of(&log);
            self.log = Some(log);
        }
        self.running = true;
        self.write_state(|state| state.engine = engine)?;
        let log = self.log.as_mut().ok_or_else(not_open)?;
        log.sync = self.durable.segment + 1;
        log.clean()
    }

    /// Makes everything before it durable. The state, which says what was durable before, is on the
    /// same file system.
    fn sync(&mut self) -> Result<(), StorageError> {
        if !self.unsynced {
            return Ok(());
        }
        let durable = self.durable;
        if let Some(file) = &mut self.directory.state {
            let state = State { end: durable, ..*file.state() };
            let written = file.write_through(state);
            written.map_err(|e| StorageError::io("write", file.path(), &e))?;
        }
        let log = self.log.as_mut().ok_or_else(not_open)?;
        log.barrier()?;
        self.durable = End { segment: log.sync, ..end_of(log) };
        log.sync += 1;
        self.unsynced = false;
        Ok(())
    }

    fn put_state(&mut self, paths: &Paths, value: &[u8]) -> Result<(), StorageError> {
        let engine = self.directory.engine_state(value)?;
        if !self.running {
            return self.begin(paths, engine);
        }
        if State::new(engine).is_closed() {
            self.sync()?;
        }
        self.write_state(|state| state.engine = engine)
    }

    fn put(&mut self, paths: &Paths, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.log(paths)?;
        self.host.insert(key.into(), value.to_vec());
        values::write(&Disk, &paths.host, self.directory.id(), &self.host)
    }

    /// Changes the state, durably.
    fn write_state(&mut self, change: impl FnOnce(&mut State)) -> Result<(), StorageError> {
        let (birth, end) = (self.directory.birth, self.durable);
        let Some(file) = &mut self.directory.state else { return Ok(()) };
        let mut state = State { birth, end, ..*file.state() };
        change(&mut state);
        let written = file.write(state);
        written.map_err(|e| StorageError::io("write", file.path(), &e))
    }
}

/// Where the log stands: the sync, and how many changes it saw. In the state file's words of the
/// segmented log: segment and frame.
fn end_of(log: &Log) -> End {
    let ends = log.ends();
    End { segment: ends.sync, offset: 0, seq: ends.number }
}

/// The log must have everything that the state knows to be durable, and the state must be the newest.
fn check_age(log: &Log, state: &State) -> Result<(), StorageError> {
    let (found, known) = (end_of(log), state.end);
    if found.seq < known.seq {
        let (found, known) = (found.seq, known.seq);
        return Err(log.corrupt(&format!(
            "it holds {found} changes of the log, and the state file says that {known} were durable"
        )));
    }
    check_not_newer(log, state)
}

/// The state is written with each sync, and says what was durable before that.
fn check_not_newer(log: &Log, state: &State) -> Result<(), StorageError> {
    let (found, known) = (end_of(log), state.end);
    if found.segment > known.segment + 2 || state.is_closed() && found.seq > known.seq {
        return Err(log.corrupt("it is newer than the state file, which is an old one"));
    }
    Ok(())
}

/// Makes the log, whole or not at all: an empty one, or what is left of a damaged one.
fn make_log(
    paths: &Paths,
    directory: u64,
    left: Option<Left>,
    end: End,
) -> Result<Log, StorageError> {
    let unfinished = paths.log.with_extension("new");
    let failed = |e| StorageError::io("make", &unfinished, &e);
    match fs::remove_dir_all(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => Disk.make_dir(&unfinished).map_err(failed)?,
    }
    match left {
        Some(left) => left.rebuild(paths, directory, &unfinished, end)?,
        None => drop(Log::create(&unfinished, directory, Ends::default())?),
    }
    let failed = |e| StorageError::io("make", &paths.log, &e);
    Disk.rename(&unfinished, &paths.log).map_err(failed)?;
    Disk.sync_dir(&paths.dir).map_err(failed)?;
    Log::open(&paths.log, directory)
}

fn exists(path: &Path) -> Result<bool, StorageError> {
    path.try_exists().map_err(|e| StorageError::io("look at", path, &e))
}

fn not_open() -> StorageError {
    StorageError::new(StorageErrorKind::Misuse, "The store is not open.")
}

#[cfg(test)]
mod tests;
