//! What is said when the database can't be trusted.

use crate::storage::{StorageError, StorageErrorKind};
use std::path::Path;

const REPLACE: &str = "quorate changed nothing, but sled may have cut off what it could not read. \
    Restore the whole data directory if you can (the disk's own repair, or a copy made while the \
    service was stopped). Otherwise remove this node from its cluster, delete its data directory and \
    add it again: it gets a new id and its data from the others.";

/// Damaged, or not what was written last.
pub(super) fn corrupt(file: &Path, flaw: &str) -> StorageError {
    let text = format!("{}: {flaw}. {REPLACE}", file.display());
    StorageError::at(StorageErrorKind::Corrupt, file, 0, text)
}

/// The state knows of a log that is not there.
pub(super) fn missing(file: &Path) -> StorageError {
    let text = format!(
        "{}: this file is missing, and the state file says that it held a log. Nothing was changed. \
         Put it back if you can. Otherwise remove this node from its cluster, delete its data \
         directory and add it again.",
        file.display()
    );
    StorageError::at(StorageErrorKind::MissingSegment, file, 0, text)
}

/// The database of another data directory.
pub(super) fn foreign(file: &Path) -> StorageError {
    let text = format!(
        "{}: this database belongs to another data directory. quorate changed nothing in it. Move it \
         back to where it came from.",
        file.display()
    );
    StorageError::at(StorageErrorKind::ForeignFile, file, 0, text)
}

/// A format of a later version.
pub(super) fn version(file: &Path) -> StorageError {
    let text = format!(
        "{}: what is in it was written by a version of quorate that is newer than this one. quorate \
         changed nothing in it. Start the newer version.",
        file.display()
    );
    StorageError::at(StorageErrorKind::Version, file, 0, text)
}

/// Another program has the database open.
pub(super) fn held(file: &Path) -> StorageError {
    let text = format!(
        "{}: another program has this database open. Stop it; the data directory belongs to quorate.",
        file.display()
    );
    StorageError::at(StorageErrorKind::Locked, file, 0, text)
}
