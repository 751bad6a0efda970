//! The file `metadata`: values that the host keeps with the log. Small, rare and apart from the log,
//! so that a removed segment never takes one along; replaced whole by renaming.
//!
//! `0 magic u64 | 8 crc u32 (12..) | 12 version u16 | 14 zero u16 | 16 directory u64`, then for each
//! value `key_len u32 | value_len u32 | key | value`.

use super::refuse;
use super::state_file::VERSION;
use crate::storage::fs::{Access, Fs};
use crate::storage::integers::{u16_at, u32_at, u64_at};
use crate::storage::{StorageError, StorageErrorKind};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;

const MAGIC: [u8; 8] = *b"quo-met\n";
const HEADER: usize = 24;

/// All values, by key.
pub(in crate::storage) type Values = BTreeMap<String, Vec<u8>>;

/// Reads the values that belong to `directory`; none when there is no file.
pub(in crate::storage) fn read(
    fs: &dyn Fs,
    path: &Path,
    directory: u64,
) -> Result<Values, StorageError> {
    let bytes = match load(fs, path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Values::new()),
        Err(e) => return Err(StorageError::io("read", path, &e)),
    };
    let whole = bytes.len() >= HEADER && bytes[..8] == MAGIC;
    if !whole || crc32c::crc32c(&bytes[12..]).to_le_bytes() != bytes[8..12] {
        return Err(refuse::corrupt(path, 0, "the host's metadata are damaged"));
    }
    if u16_at(&bytes, 12) != VERSION {
        return Err(refuse::version(path, 0));
    }
    if u64_at(&bytes, 16) != directory {
        let text = format!(
            "{}: this file belongs to another data directory (see its offset 16). Nothing was \
             changed. Move it back to where it came from.",
            path.display()
        );
        return Err(StorageError::at(StorageErrorKind::ForeignFile, path, 16, text));
    }
    decode(&bytes[HEADER..])
        .ok_or_else(|| refuse::corrupt(path, HEADER as u64, "a value is cut off"))
}

fn load(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open(path, Access::Read)?;
    let mut bytes = vec![0; file.len()? as usize];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn decode(mut rest: &[u8]) -> Option<Values> {
    let mut values = Values::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(8)?;
        let (key, tail) = tail.split_at_checked(u32_at(head, 0) as usize)?;
        let (value, tail) = tail.split_at_checked(u32_at(head, 4) as usize)?;
        values.insert(String::from_utf8(key.to_vec()).ok()?, value.to_vec());
        rest = tail;
    }
    Some(values)
}

/// Replaces the file, whole or not at all; durable on return.
pub(in crate::storage) fn write(
    fs: &dyn Fs,
    path: &Path,
    directory: u64,
    values: &Values,
) -> Result<(), StorageError> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[12..14].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&directory.to_le_bytes());
    for (key, value) in values {
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(value);
    }
    let crc = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    replace(fs, path, &bytes).map_err(|e| StorageError::io("write", path, &e))
}

fn replace(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let file = fs.open(&unfinished, Access::Create)?;
    file.write_at(&mut [IoSlice::new(bytes)], 0)?;
    file.sync_data()?;
    fs.rename(&unfinished, path)?;
    fs.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fs::Disk;

    #[test]
    fn values_are_replaced_whole_and_checked() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("metadata");
        assert_eq!(read(&Disk, &path, 7).expect("reads"), Values::new());
        let mut values = Values::from([("a".into(), vec![1, 2]), ("b".into(), vec![])]);
        write(&Disk, &path, 7, &values).expect("written");
        assert_eq!(read(&Disk, &path, 7).expect("reads"), values);
        values.remove("a");
        write(&Disk, &path, 7, &values).expect("written");
        assert_eq!(read(&Disk, &path, 7).expect("reads"), values);
        let refused = read(&Disk, &path, 8).expect_err("of another directory");
        assert_eq!(refused.kind, StorageErrorKind::ForeignFile);
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(read(&Disk, &path, 7).expect_err("damaged").kind, StorageErrorKind::Corrupt);
    }
}
