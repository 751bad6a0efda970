//! The port for stores, with its adapters beside it: `wal`, the default, `sled`, and `memory`.
//!
//! Contract, which `conformance` checks: calls come one at a time, a host's store from one thread,
//! the built-in log also from the service's loop. Between two syncs a crash keeps a *prefix* of the
//! calls, in order, at least up to the last sync that returned; of an append perhaps the first
//! records only. What `open` found counts as synced.
//! `metadata_put` is atomic, durable on return, and outside that order: a newer term or vote without
//! the log is safe, the reverse is not. The first error of a call that writes is terminal: the
//! service stops, and what reached the disk is unknown.

pub mod conformance;
pub mod custom;
pub mod fs;
pub mod memory;
#[cfg(feature = "sled")]
pub mod sled;
pub mod wal;

pub(crate) mod bounds;
mod directory;
mod integers;
mod record;

use crate::consensus::command::kind;
use crate::consensus::types::{Index, Term};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The metadata key of the engine's own durable state (`codec::encode_state`): term, vote, identity.
pub const STATE_KEY: &str = "quorate.state";

/// One entry as a store keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Its place.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// CRC32C of `payload`, computed where the entry was made and never again before it is checked.
    pub crc: u32,
    /// The encoded entry (`codec`).
    pub payload: Bytes,
}

impl Record {
    /// The entry type, with which every payload begins; `i32::MIN` for what is none.
    #[must_use]
    pub fn kind(&self) -> i32 {
        kind_of(&self.payload)
    }
}

/// The entry type of an encoded payload.
#[must_use]
pub fn kind_of(payload: &[u8]) -> i32 {
    payload.first_chunk().map_or(i32::MIN, |bytes| i32::from_le_bytes(*bytes))
}

/// What a store found when it was opened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recovered {
    /// The lowest index; 0 when the log is empty and never had an entry, else one more than the end.
    pub first: Index,
    /// The term of the entry before `first`; 0 when that is the beginning.
    pub prev_term: Term,
    /// The highest index; `first - 1` when the log is empty.
    pub last: Index,
    /// Where each term begins: `(first index, term)`, ascending.
    pub terms: Vec<(Index, Term)>,
    /// Entries up to here were known to be committed; may be 0, never beyond `last`.
    pub commit_hint: Index,
    /// The records of type -1, ascending.
    pub memberships: Vec<Record>,
    /// The highest record of type 0 or more in the log; 0 when there is none.
    pub last_application: Index,
}

impl Recovered {
    /// Adds the next record to the picture, or says why it can't be that.
    fn note(&mut self, record: Record) -> Result<(), String> {
        let last_term = self.terms.last().map_or(self.prev_term, |(_, term)| *term);
        if record.term < last_term {
            let (index, term) = (record.index, record.term);
            return Err(format!("entry {index} has term {term}, and one before it {last_term}"));
        }
        if self.terms.is_empty() || record.term > last_term {
            self.terms.push((record.index, record.term));
        }
        match record.kind() {
            kind::MEMBERSHIP => self.memberships.push(record),
            0.. => self.last_application = record.index,
            _ => {}
        }
        Ok(())
    }
}

/// What is left of a log that is damaged.
#[derive(Clone, Debug, Default)]
pub struct Salvaged {
    /// The log below the damage.
    pub found: Recovered,
    /// What becomes of all that is not part of the log any more: the rest of a sentence.
    pub rest: String,
}

/// A store for log and metadata, used by one caller at a time.
pub trait LogStore: Send {
    /// Called first, once. Reads and checks what is there. Refuses what it can't trust, and changes
    /// nothing then.
    fn open(&mut self) -> Result<Recovered, StorageError>;

    /// Called on the same store once `open` has refused a log for damage (`StorageError::is_damage`): takes only what lies
    /// below the first flaw. As with `open` nothing is changed by this call: the first value that is
    /// put under `STATE_KEY` is durable before anything is cut, and what is cut is kept under another
    /// name where the store can. By default there is no such way.
    fn salvage(&mut self) -> Result<Salvaged, StorageError> {
        let message = "this store can't tell what of a damaged log is intact";
        Err(StorageError::new(StorageErrorKind::Unsupported, message))
    }

    /// Adds records without a gap after the last one; to an empty log at any index that was never
    /// compacted. May buffer until `sync`. `commit` is a hint that may be kept with them.
    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError>;

    /// Returns when everything before it would survive a power cut.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// The records `first..=last`, which exist. May stop early, once `max_bytes` are read or where that
    /// is easier, but not before the first. Sees what was appended and not synced.
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError>;

    /// Removes `first` and everything after it; durable by the next sync.
    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError>;

    /// Removes `last`, which may lie beyond the end, and everything before it; likewise. `last_term`
    /// is the term of that entry.
    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError>;

    /// The value, `None` when there is none.
    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Replaces one value, whole or not at all; durable on return.
    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError>;

    /// Whether there is room for the writes that may be under way; without it the service refuses
    /// new entries and goes on voting. Asked after every round of writes and now and then.
    fn has_room(&mut self) -> bool {
        true
    }

    /// A reader for another thread, beside the writer; without one reads take turns with writes. It
    /// is asked only for records that are durable and not truncated.
    fn reader(&self) -> Option<Box<dyn LogReader>> {
        None
    }
}

/// Reads beside a store's own thread.
pub trait LogReader: Send {
    /// As `LogStore::read`.
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Record>, StorageError>;
}

/// Why a store can't be opened, or failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StorageErrorKind {
    /// A file or directory can't be made, read, written or synced.
    Io,
    /// No space is left.
    Full,
    /// Another process or service has the directory open.
    Locked,
    /// A record is damaged; names file and offset.
    Corrupt,
    /// A segment between two others is absent.
    MissingSegment,
    /// There are entries but no state: term and vote are lost.
    StateLost,
    /// The directory is a copy of another one.
    CopiedDirectory,
    /// The directory was made by another of the built-in stores.
    OtherStore,
    /// A file belongs to another directory.
    ForeignFile,
    /// A format that this version does not know.
    Version,
    /// The store was used against its contract.
    Misuse,
    /// The store, or the machine, has no way to do that.
    Unsupported,
}

/// What went wrong in a store, and where.
#[derive(Clone, Debug)]
pub struct StorageError {
    /// What it is.
    pub kind: StorageErrorKind,
    /// The file.
    pub file: Option<PathBuf>,
    /// The offset in the file.
    pub offset: Option<u64>,
    /// What is wrong and what to do, in sentences that name file and offset.
    pub message: String,
}

impl StorageError {
    /// An error without a place.
    #[must_use]
    pub fn new(kind: StorageErrorKind, message: impl Into<String>) -> StorageError {
        StorageError { kind, file: None, offset: None, message: message.into() }
    }

    /// An error at a place; the message names it too.
    #[must_use]
    pub fn at(
        kind: StorageErrorKind,
        file: &Path,
        offset: u64,
        message: impl Into<String>,
    ) -> StorageError {
        let (file, offset) = (Some(file.into()), Some(offset));
        StorageError { kind, file, offset, message: message.into() }
    }

    /// Whether a part of the log is lost that was durable.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self.kind, StorageErrorKind::Corrupt | StorageErrorKind::MissingSegment)
    }

    /// What is wrong and where, without what to do: the first sentence behind the name of the file.
    #[must_use]
    pub fn flaw(&self) -> &str {
        let name = self.file.as_ref().map_or(0, |file| file.display().to_string().len());
        let rest = self.message.get(name..).unwrap_or_default();
        let end = rest.find(". ").map_or(self.message.len(), |at| name + at);
        &self.message[..end]
    }

    /// The system refused to `verb` (make, read, write …) a file.
    #[must_use]
    pub fn io(verb: &str, file: &Path, error: &io::Error) -> StorageError {
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let (kind, advice) = match error.kind() {
            _ if full => (StorageErrorKind::Full, "Free some space on this file system."),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (StorageErrorKind::Io, "Let the user of this process write there.")
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                (StorageErrorKind::Io, "Something else has that name: choose another directory.")
            }
            _ => (StorageErrorKind::Io, "Look for faults of the disk or file system."),
        };
        let message = format!("can't {verb} {}: {error}. {advice}", file.display());
        StorageError { kind, file: Some(file.into()), offset: None, message }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {}
