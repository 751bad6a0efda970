//! The default store: a segmented write-ahead log, and beside it the small file `state` with all that
//! must survive a damaged log.
//!
//! ```text
//! <dir>/LOCK                 locked while in use; its birth time tells a copy from the original
//! <dir>/state                term, vote, identity; where the log begins and how far it may reach
//! <dir>/metadata             the host's values, if any
//! <dir>/wal/<16 hex>.log     segments: frames, one for each sync
//! ```
//!
//! What must hold: opening changes nothing, so every refusal leaves the directory as it was. A run
//! begins with its first call that writes; it never writes into a segment of an earlier run. After a
//! write or sync that failed, every call fails: what reached the disk is unknown.

mod found;
mod frame;
mod log_index;
mod pending;
mod prepare;
mod reader;
mod recovery;
mod run;
mod salvage;
mod segment;
mod writer;

use super::bounds::Bounds;
use super::directory::state_file::State;
use super::directory::values::{self, Values};
use super::directory::{Directory, Kind, Paths};
use super::fs::{Disk, Fs};
use super::{
    LogReader, LogStore, Record, Recovered, STATE_KEY, Salvaged, StorageError, StorageErrorKind,
};
use crate::consensus::types::{Index, Term};
use found::Found;
use pending::Pending;
use reader::{Log, Reader, SharedLog};
use run::Run;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that goes into one frame before it is closed, entries that are larger excepted.
const FRAME_MAX: u64 = 4 << 20;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// How long segments are made; at least 16 KiB.
    pub segment_bytes: u64,
    /// Takes a directory although it is a copy: the operator vouches that no other has a newer state.
    pub adopt_copied_directory: bool,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions { segment_bytes: 16 << 20, adopt_copied_directory: false }
    }
}

/// The store.
pub struct Wal {
    fs: Arc<dyn Fs>,
    paths: Paths,
    options: WalOptions,
    opened: Option<Opened>,
    failed: Option<StorageError>,
}

/// A directory that was opened, and what the calls since then made of it.
struct Opened {
    directory: Directory,
    /// What is in frames.
    log: SharedLog,
    /// What is not.
    pending: Pending,
    /// The ends of both together.
    bounds: Bounds,
    reader: Reader,
    host: Values,
    /// The hint in the last frame that had one.
    hint: Index,
    stage: Stage,
}

/// Whether this run has written anything yet.
enum Stage {
    Found(Box<Found>),
    Running(Box<Run>),
}

impl Wal {
    /// A store in `dir`, which is made when it is missing.
    #[must_use]
    pub fn new(dir: PathBuf, options: WalOptions) -> Wal {
        Wal::on(Arc::new(Disk), dir, options)
    }

    /// The same on a file system of the caller's.
    #[must_use]
    pub fn on(fs: Arc<dyn Fs>, dir: PathBuf, options: WalOptions) -> Wal {
        Wal { fs, paths: Paths::new(dir, Kind::Wal), options, opened: None, failed: None }
    }

    /// Does something that may write; a failure is final.
    fn writing<T>(
        &mut self,
        work: impl FnOnce(&mut Opened, &Context<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check_usable()?;
        let context = Context { fs: &self.fs, paths: &self.paths, options: &self.options };
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        let done = work(opened, &context);
        if let Err(e) = &done
            && !mutant!("g1_store_outlives_a_failure")
        {
            self.failed = Some(e.clone());
        }
        done
    }

    fn check_usable(&self) -> Result<(), StorageError> {
        let Some(failed) = &self.failed else { return Ok(()) };
        let message = format!("The store had failed before and takes no more calls: {failed}");
        Err(StorageError { message, ..failed.clone() })
    }

    /// Opens the directory, whose log `read` reads.
    fn recover(&mut self, read: ReadLog) -> Result<Recovered, StorageError> {
        if self.opened.is_some() {
            return Err(StorageError::new(StorageErrorKind::Misuse, "The store is open already."));
        }
        let (fs, paths) = (self.fs.as_ref(), &self.paths);
        let directory = Directory::open(fs, paths, self.options.adopt_copied_directory)?;
        let (mut found, mut host) = (Found::default(), Values::new());
        if let Some(file) = &directory.state {
            found = read(fs, &paths.log, file.state())?;
            host = values::read(fs, &paths.host, file.state().directory())?;
        }
        let mut recovered = found.recovered();
        let log = Log { index: std::mem::take(&mut found.log), segments: found.segments.clone() };
        let bounds = *log.index.bounds();
        let log = SharedLog::new(log);
        let mut reader = Reader::new(Arc::clone(&self.fs), log.clone());
        recovered.last_application = last_application(&mut reader, &recovered)?;
        let (pending, hint) = (Pending::default(), recovered.commit_hint);
        let stage = Stage::Found(Box::new(found));
        self.opened = Some(Opened { directory, log, pending, bounds, reader, host, hint, stage });
        Ok(recovered)
    }
}

/// Reads the log in a directory, of which the state says where it begins and how far it may reach.
type ReadLog = fn(&dyn Fs, &Path, &State) -> Result<Found, StorageError>;

/// What work on an opened directory needs besides.
struct Context<'a> {
    fs: &'a Arc<dyn Fs>,
    paths: &'a Paths,
    options: &'a WalOptions,
}

impl LogStore for Wal {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        self.recover(recovery::recover)
    }

    fn salvage(&mut self) -> Result<Salvaged, StorageError> {
        let found = self.recover(salvage::salvage)?;
        let dir = self.paths.log.display();
        let rest = format!("what lay behind is kept in {dir} under names with .damaged-");
        Ok(Salvaged { found, rest })
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        self.writing(|opened, context| opened.append(context, records, commit))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.writing(Opened::sync)
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.check_usable()?;
        self.opened.as_mut().ok_or_else(not_open)?.read(first, last, max_bytes)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.writing(|opened, context| {
            opened.run(context)?;
            opened.truncate_suffix(first);
            Ok(())
        })
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        self.writing(|opened, context| {
            opened.run(context)?;
            if opened.bounds.compact(last, last_term) {
                opened.pending.compact(last, last_term);
            }
            Ok(())
        })
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
        self.writing(|opened, context| {
            if key == STATE_KEY {
                opened.put_state(context, value)
            } else {
                opened.put(context, key, value)
            }
        })
    }

    fn has_room(&mut self) -> bool {
        match self.opened.as_ref().map(|opened| &opened.stage) {
            Some(Stage::Running(run)) => run.has_room(),
            _ => true,
        }
    }

    fn reader(&self) -> Option<Box<dyn LogReader>> {
        let opened = self.opened.as_ref()?;
        Some(Box::new(Reader::new(Arc::clone(&self.fs), opened.log.clone())))
    }
}

impl Opened {
    fn append(
        &mut self,
        context: &Context<'_>,
        records: &[Record],
        commit: Index,
    ) -> Result<(), StorageError> {
        self.run(context)?;
        for record in records {
            self.bounds.check_append(record.index)?;
            if !self.fits(record) {
                self.flush(context)?;
            }
            self.pending.push(record);
            self.bounds.extend(record.index, record.index);
        }
        let hint = commit.min(self.bounds.last);
        if hint > self.hint {
            self.pending.hint = Some(hint);
        }
        Ok(())
    }

    /// Whether an entry still belongs into the frame that is being filled. One that fits nowhere gets
    /// a frame, and if need be a segment, to itself.
    fn fits(&self, record: &Record) -> bool {
        let Stage::Running(run) = &self.stage else { return true };
        let len = self.pending.frame_len_with(record);
        self.pending.records.is_empty() || len <= FRAME_MAX.min(run.room())
    }

    fn truncate_suffix(&mut self, first: Index) {
        let keep_to = first.prev().max(self.bounds.base.prev());
        if self.bounds.cut(keep_to) {
            self.pending.cut(keep_to, self.log.read().index.bounds());
            self.hint = self.hint.min(keep_to);
            self.pending.hint = None;
        }
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError> {
        self.bounds.check_read(first, last)?;
        let pending = self.pending.first().unwrap_or(self.bounds.last.next());
        let mut records = Vec::new();
        if first < pending {
            records = self.reader.read(first, last.min(pending.prev()), max_bytes)?;
        }
        let mut used: usize = records.iter().map(|record| record.payload.len()).sum();
        let next = records.last().map_or(first, |record| record.index.next());
        if next < pending {
            return Ok(records);
        }
        let from = (next.0 - pending.0) as usize;
        for record in self.pending.records[from..].iter().take_while(|r| r.index <= last) {
            used += record.payload.len();
            if used > max_bytes && !records.is_empty() {
                break;
            }
            records.push(record.clone());
        }
        Ok(records)
    }

    fn put_state(&mut self, context: &Context<'_>, value: &[u8]) -> Result<(), StorageError> {
        let engine = self.directory.engine_state(value)?;
        if let Stage::Found(_) = self.stage {
            return self.begin(context, engine);
        }
        if State::new(engine).is_closed() {
            self.close(context)?;
        }
        self.write_state(|state| state.engine = engine)
    }

    fn put(&mut self, context: &Context<'_>, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.run(context)?;
        let directory = self.directory.id();
        self.host.insert(key.into(), value.to_vec());
        values::write(context.fs.as_ref(), &context.paths.host, directory, &self.host)
    }
}

/// The host's last entry: the one noted, or before it if a truncation took that one away.
fn last_application(reader: &mut Reader, found: &Recovered) -> Result<Index, StorageError> {
    let mut index = found.last_application.min(found.last);
    while index >= found.first && !index.is_zero() {
        if reader.read(index, index, 0)?.iter().any(|record| record.kind() >= 0) {
            return Ok(index);
        }
        index = index.prev();
    }
    Ok(Index::ZERO)
}

fn not_open() -> StorageError {
    StorageError::new(StorageErrorKind::Misuse, "The store is not open.")
}

#[cfg(test)]
mod tests;
