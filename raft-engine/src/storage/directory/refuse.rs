//! What is said when a directory can't be trusted: file, offset, what is wrong, what to do.

use crate::storage::{StorageError, StorageErrorKind};
use std::path::Path;

/// Where help comes from when a part of the log is lost.
const REPLACE: &str = "Nothing was changed. Restore the file if you can (a copy made while the \
    service was stopped, or the disk's own repair). Otherwise remove this node from its cluster, \
    delete its data directory and add it again: it gets a new id and its data from the others.";

/// A damaged record.
pub(in crate::storage) fn corrupt(path: &Path, offset: u64, flaw: &str) -> StorageError {
    let text = format!("{} at offset {offset}: {flaw}. {REPLACE}", path.display());
    StorageError::at(StorageErrorKind::Corrupt, path, offset, text)
}

/// A frame that was durable and does not verify any more.
pub(in crate::storage) fn damaged_frame(
    path: &Path,
    offset: u64,
    seq: u64,
    evidence: &str,
) -> StorageError {
    let flaw = format!("frame {seq} was expected here and does not verify, and {evidence}");
    corrupt(path, offset, &flaw)
}

/// A segment that should be there.
pub(in crate::storage) fn missing(path: &Path, evidence: &str) -> StorageError {
    let text =
        format!("{}: this segment of the log is missing; {evidence}. {REPLACE}", path.display());
    StorageError::at(StorageErrorKind::MissingSegment, path, 0, text)
}

/// A format of a later version.
pub(in crate::storage) fn version(path: &Path, offset: u64) -> StorageError {
    let text = format!(
        "{} at offset {offset}: this was written by a version of quorate that is newer than this one. \
         Nothing was changed. Start the newer version.",
        path.display()
    );
    StorageError::at(StorageErrorKind::Version, path, offset, text)
}

/// Entries, and nobody knows for which term this node voted.
pub(in crate::storage) fn state_lost(path: &Path) -> StorageError {
    let text = format!(
        "{}: the file is missing, but there is a log: term and vote are lost, and a node \
         that votes twice in a term can destroy acknowledged data. {REPLACE}",
        path.display()
    );
    StorageError::at(StorageErrorKind::StateLost, path, 0, text)
}

/// A copy made by cp, rsync or tar.
pub(in crate::storage) fn copied(lock: &Path) -> StorageError {
    let text = format!(
        "{}: this file was not made together with this data directory, so the directory is a copy. \
         Two nodes with one identity destroy data. Nothing was changed. To add a node, start it with \
         an empty directory. If the original is gone for good and this copy was made after the node \
         had stopped for the last time, set adopt_copied_directory for one start.",
        lock.display()
    );
    StorageError::at(StorageErrorKind::CopiedDirectory, lock, 0, text)
}

/// The directory of a store of another kind.
pub(in crate::storage) fn other_store(dir: &Path, wanted: &str, found: &str) -> StorageError {
    let text = format!(
        "{}: this data directory was made with storage={found}, and storage={wanted} is set. Nothing \
         was changed. Set storage={found}, or give this node another data_dir.",
        dir.display()
    );
    StorageError::at(StorageErrorKind::OtherStore, dir, 0, text)
}

/// Somebody else has the directory.
pub(in crate::storage) fn locked(lock: &Path) -> StorageError {
    let text = format!(
        "{}: another process or service has this data directory open. Stop it, or give this one a \
         directory of its own.",
        lock.display()
    );
    StorageError::at(StorageErrorKind::Locked, lock, 0, text)
}
