//! A host's store as it is called: marked as a callback, so that what would wait for the service is refused
//! in it, and with its panics as failures. What the engine may not do, a host's code may, and only its own
//! service ends with it.

use super::{HostReader, HostStore};
use crate::consensus::types::Index;
use crate::os;
use crate::storage::{StorageError, StorageErrorKind};
use bytes::Bytes;

/// A store or a reader of the host's.
pub(super) struct Guarded<S>(pub(super) S);

impl<S> Guarded<S> {
    fn call<T>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut S) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        os::callback(|| call(&mut self.0)).unwrap_or_else(|text| {
            let text = format!("{name} of the host's store failed: {text}");
            Err(StorageError::new(StorageErrorKind::Io, text))
        })
    }
}

impl<S: HostStore> HostStore for Guarded<S> {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        self.call("open", S::open)
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        self.call("append", |store| store.append(first, values))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.call("sync", S::sync)
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError> {
        self.call("read", |store| store.read(first, last, max_bytes))
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.call("truncate_suffix", |store| store.truncate_suffix(first))
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        self.call("truncate_prefix", |store| store.truncate_prefix(last))
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.call("metadata_get", |store| store.metadata_get(key))
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.call("metadata_put", |store| store.metadata_put(key, value))
    }

    fn has_room(&mut self) -> bool {
        os::callback(|| self.0.has_room()).unwrap_or(false)
    }

    fn reader(&self) -> Option<Box<dyn HostReader>> {
        os::callback(|| self.0.reader()).ok().flatten()
    }
}

impl HostReader for Guarded<Box<dyn HostReader>> {
    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError> {
        self.call("read", |reader| reader.read(first, last, max_bytes))
    }
}
