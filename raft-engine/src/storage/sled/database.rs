//! The border to sled: all that is called of it, and what it takes to rely on it.
//!
//! * Its `flush` writes and waits for the writing, but syncs nothing on Linux, so a file that grew, and
//!   what lies in the cache of the device, is lost with the power. `barrier` syncs the file system.
//! * It takes what it has written for durable, and writes over what that replaced: once the head of a
//!   later segment of its log says that it was written, and that segment is full in turn. So there is
//!   a barrier in every segment: after `WRITES_MAX` writes, and when its log was seen to advance by
//!   itself, as it does when a segment is full.
//! * Pages above a quarter of a segment go to files of their own, which it refers to before they are
//!   whole. A page has up to 16 values and a few more while it is split or merged. With values of
//!   `VALUE_MAX` it stays below.
//! * It panics when it does not understand what it reads. Every call is caught; after a panic nothing of
//!   it is touched any more, not even to close it.
//! * It is called from one thread. Its own threads write, and live as long as the process.

use super::refuse;
use crate::storage::fs::{Volume, spawn};
use crate::storage::{StorageError, StorageErrorKind};
use ::sled::{Config, Db, Error, IVec, Tree};
use std::cell::Cell;
use std::fs;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// The longest value.
pub(super) const VALUE_MAX: usize = 1 << 10;
/// Bytes of the parts that its log is written in.
pub(super) const SEGMENT: usize = 4 << 20;
/// Writes between two barriers. Each tenth replaces its page, each eighth or so splits one and replaces
/// three, and with each replacement another page may be moved: with pages of up to twenty values that
/// is less than a segment.
const WRITES_MAX: usize = 128;
/// Bytes of pages that it keeps in memory.
const CACHE: u64 = 32 << 20;
/// How long its threads may hold the file of a database that was closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a scan goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scan {
    Next,
    Stop,
}

/// An open database with a tree of entries, by key, and one of a single value.
pub(super) struct Database {
    /// Empty once it must not be touched.
    handles: Option<Handles>,
    path: PathBuf,
    volume: Volume,
    /// How far its log was durable after the last barrier.
    durable: i64,
    /// Writes since then.
    writes: usize,
    panicked: Cell<bool>,
    /// What a test does after each barrier.
    #[cfg(test)]
    pub at_barrier: Option<Box<dyn FnMut(i64) + Send>>,
}

struct Handles {
    db: Db,
    entries: Tree,
    single: Tree,
}

/// The key of the single value.
const KEY: &[u8] = b"ends";

/// The file with the data of the database in `dir`.
pub(super) fn file_of(dir: &Path) -> PathBuf {
    dir.join("db")
}

impl Database {
    /// Opens the database in `dir`, or makes it. What it can read by then is durable.
    pub fn open(dir: &Path) -> Result<Database, StorageError> {
        let path = file_of(dir);
        let failed = |e: io::Error| StorageError::io("sync", dir, &e);
        let volume = Volume::of(dir).map_err(failed)?;
        // It may write over what the state that it finds does not need.
        volume.sync().map_err(failed)?;
        remove_unfinished(dir).map_err(|e| StorageError::io("clean", dir, &e))?;
        wait_for(&path)?;
        let handles = catch_unwind(|| open_handles(dir))
            .unwrap_or_else(|panic| Err(Error::ReportableBug(text_of(&*panic))))
            .map_err(|e| opening(&path, e))?;
        let mut database = Database {
            durable: 0,
            writes: 0,
            handles: Some(handles),
            path,
            volume,
            panicked: Cell::new(false),
            #[cfg(test)]
            at_barrier: None,
        };
        database.barrier()?;
        Ok(database)
    }

    /// The file with the data.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One entry.
    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StorageError> {
        self.call(|handles| handles.entries.get(key))
    }

    /// Adds or replaces an entry.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.write(|handles| handles.entries.insert(key, value))
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), StorageError> {
        self.write(|handles| handles.entries.remove(key))
    }

    /// Shows the entries from `first` to `last`, in order.
    pub fn scan(
        &self,
        first: &[u8],
        last: &[u8],
        mut show: impl FnMut(&[u8], &[u8]) -> Result<Scan, StorageError>,
    ) -> Result<(), StorageError> {
        let mut entries = self.call(|handles| Ok(handles.entries.range(first..=last)))?;
        while let Some((key, value)) = self.call(|_| entries.next().transpose())? {
            if show(&key, &value)? == Scan::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The single value.
    pub fn single(&self) -> Result<Option<IVec>, StorageError> {
        self.call(|handles| handles.single.get(KEY))
    }

    /// Replaces the single value.
    pub fn put_single(&mut self, value: &[u8]) -> Result<(), StorageError> {
        self.write(|handles| handles.single.insert(KEY, value))
    }

    /// Makes everything before it durable.
    pub fn barrier(&mut self) -> Result<(), StorageError> {
        self.call(|handles| handles.db.flush())?;
        self.volume.sync().map_err(|e| StorageError::io("sync", &self.path, &e))?;
        #[cfg(test)]
        if let Some(tell) = &mut self.at_barrier {
            let end = self.handles.as_ref().map(|h| h.db.context.pagecache.log.stable_offset());
            tell(end.unwrap_or(0) - self.durable);
        }
        (self.durable, self.writes) = (self.written(), 0);
        Ok(())
    }

    /// Bytes that may still be written to the file system; not known is much.
    pub fn free_bytes(&self) -> u64 {
        self.volume.free_bytes().unwrap_or(u64::MAX)
    }

    /// How far its log was written, durably or not.
    fn written(&self) -> i64 {
        self.handles.as_ref().map_or(0, |h| h.db.context.pagecache.log.stable_offset())
    }

    /// Writes, with a barrier before and after it if one is due.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Handles) -> Result<T, Error>,
    ) -> Result<(), StorageError> {
        self.catch_up()?;
        self.call(work)?;
        self.writes += 1;
        self.catch_up()
    }

    fn catch_up(&mut self) -> Result<(), StorageError> {
        let due = self.writes >= WRITES_MAX || self.written() > self.durable;
        if due { self.barrier() } else { Ok(()) }
    }

    fn call<T>(&self, work: impl FnOnce(&Handles) -> Result<T, Error>) -> Result<T, StorageError> {
        let handles = match &self.handles {
            Some(handles) if !self.panicked.get() => handles,
            _ => return Err(failing(&self.path, Error::ReportableBug("it has panicked".into()))),
        };
        let done = catch_unwind(AssertUnwindSafe(|| work(handles))).unwrap_or_else(|panic| {
            self.panicked.set(true);
            Err(Error::ReportableBug(text_of(&*panic)))
        });
        done.map_err(|e| failing(&self.path, e))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(handles) = self.handles.take() else { return };
        if self.panicked.get() {
            mem::forget(handles); // closing would wait for what will never be written
            return;
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(handles))); // nobody is left to be told
    }
}

fn open_handles(dir: &Path) -> Result<Handles, Error> {
    let db = Config::new()
        .path(dir)
        .segment_size(SEGMENT)
        .cache_capacity(CACHE)
        .flush_every_ms(None)
        .use_compression(false)
        .open()?;
    let (entries, single) = (db.open_tree("entries")?, db.open_tree("ends")?);
    Ok(Handles { db, entries, single })
}

/// Removes what an opening that was interrupted left of its snapshot: it would be taken for the newest.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Waits until no thread of a database that was closed holds its file. Another program has no business
/// there: the data directory is ours.
fn wait_for(path: &Path) -> Result<(), StorageError> {
    let failed = |e| StorageError::io("lock", path, &e);
    let file = match fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(failed)?,
    };
    match file.try_lock() {
        Ok(()) => return file.unlock().map_err(failed),
        Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
        Err(fs::TryLockError::WouldBlock) => {}
    }
    let (tell, told) = mpsc::channel();
    let wait = move || drop(tell.send(file.lock().and_then(|()| file.unlock())));
    spawn("quorate-wait", wait).map_err(failed)?;
    match told.recv_timeout(PATIENCE) {
        Ok(waited) => waited.map_err(failed),
        Err(_) => Err(refuse::held(path)),
    }
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").into()
}

/// Why it can't be opened.
fn opening(path: &Path, error: Error) -> StorageError {
    match error {
        Error::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            StorageError::io("open", path, &e)
        }
        Error::Unsupported(text) => {
            let text = format!(
                "{}: sled does not open this database: {text} Nothing was changed. Start the version \
                 of quorate that wrote it.",
                path.display()
            );
            StorageError::at(StorageErrorKind::Version, path, 0, text)
        }
        error => refuse::corrupt(path, &format!("sled can't read it: {error}")),
    }
}

/// Why a call failed.
fn failing(path: &Path, error: Error) -> StorageError {
    match error {
        Error::Io(e) => StorageError::io("write or read", path, &e),
        Error::Corruption { .. } => refuse::corrupt(path, &format!("sled can't read it: {error}")),
        error => {
            let text = format!(
                "{}: sled failed: {error}. Start the service again; if it fails again, look for \
                 faults of the disk or file system.",
                path.display()
            );
            StorageError::at(StorageErrorKind::Io, path, 0, text)
        }
    }
}
