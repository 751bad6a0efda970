//! One segment file: its name, its header, and the file itself.
//!
//! The header is written once for each use of a file, before the file has its name; the salt in it is
//! drawn anew each time, so that nothing a file held before, and nothing that imitates a frame, can
//! verify.

use crate::storage::directory::refuse;
use crate::storage::directory::state_file::VERSION;
use crate::storage::fs::{Access, File, Fs};
use crate::storage::integers::{u16_at, u64_at};
use crate::storage::{StorageError, StorageErrorKind};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// Bytes before the first frame.
pub(super) const FIRST_FRAME: u64 = 4096;

const MAGIC: [u8; 8] = *b"quo-wal\n";
/// Bytes of the header that mean something; zeros follow.
const HEADER: usize = 64;

/// A segment: all that is needed to read or write it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Segment {
    /// 1, 2, 3 …; gaps are fine, links tell the order.
    pub number: u64,
    /// Random, for this use of the file.
    pub salt: u64,
    /// How long the file was made.
    pub capacity: u64,
    pub path: PathBuf,
}

/// `wal/<16 hex>.log`.
pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.log"))
}

/// A file on its way to being a segment.
pub(super) fn path_in_preparation(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.tmp"))
}

/// The header of a segment.
pub(super) fn encode_header(segment: &Segment, directory: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[12..14].copy_from_slice(&VERSION.to_le_bytes());
    out[16..24].copy_from_slice(&segment.number.to_le_bytes());
    out[24..32].copy_from_slice(&directory.to_le_bytes());
    out[32..40].copy_from_slice(&segment.salt.to_le_bytes());
    out[40..48].copy_from_slice(&segment.capacity.to_le_bytes());
    let crc = crc32c::crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads and checks the header of the segment `number`, which belongs to `directory`.
pub(super) fn read_header(
    file: &dyn File,
    path: &Path,
    number: u64,
    directory: u64,
) -> Result<Segment, StorageError> {
    let mut bytes = [0; HEADER];
    let got = file.read_at(&mut bytes, 0).map_err(|e| StorageError::io("read", path, &e))?;
    let whole = got == HEADER && bytes[..8] == MAGIC;
    if !whole || crc32c::crc32c(&bytes[12..]).to_le_bytes() != bytes[8..12] {
        return Err(refuse::corrupt(path, 0, "the header of the segment is damaged"));
    }
    if u16_at(&bytes, 12) != VERSION {
        return Err(refuse::version(path, 0));
    }
    check_identity(&bytes, path, number, directory)?;
    let (salt, capacity) = (u64_at(&bytes, 32), u64_at(&bytes, 40));
    Ok(Segment { number, salt, capacity, path: path.into() })
}

fn check_identity(
    header: &[u8; HEADER],
    path: &Path,
    number: u64,
    directory: u64,
) -> Result<(), StorageError> {
    let (says, owner) = (u64_at(header, 16), u64_at(header, 24));
    if owner != directory {
        let text = format!(
            "{}: this segment belongs to another data directory (its header at offset 24 says \
             {owner:016x}, this directory is {directory:016x}). Nothing was changed. Move the file \
             back to where it came from, and put this directory's own segment in its place.",
            path.display()
        );
        return Err(StorageError::at(StorageErrorKind::ForeignFile, path, 24, text));
    }
    if says != number {
        let flaw = format!("the file is segment {says:016x} under another name");
        return Err(refuse::corrupt(path, 16, &flaw));
    }
    Ok(())
}

/// How a new segment is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub number: u64,
    pub directory: u64,
    pub capacity: u64,
}

/// A segment that is ready for its first frame.
pub(super) struct Ready {
    pub segment: Segment,
    pub file: Box<dyn File>,
    /// Up to here the file was written before, by whatever; behind it space is only reserved.
    pub written: u64,
}

/// How much is written at a time while a file is filled with zeros.
const FILL: usize = 1 << 20;

/// Makes a segment, durable with its name, out of `spare` if that is given: a segment of the same
/// capacity whose content nobody needs. `go_on` is asked now and then.
pub(super) fn prepare(
    fs: &dyn Fs,
    dir: &Path,
    plan: Plan,
    spare: Option<&Path>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Ready> {
    let unfinished = path_in_preparation(dir, plan.number);
    let made = fill(fs, dir, plan, &unfinished, spare, go_on);
    if made.is_err() {
        let _ = fs.remove(&unfinished); // the next open removes it otherwise
    }
    made
}

fn fill(
    fs: &dyn Fs,
    dir: &Path,
    plan: Plan,
    unfinished: &Path,
    spare: Option<&Path>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Ready> {
    let (file, written) = match spare {
        Some(spare) => (reuse(fs, dir, spare, unfinished)?, plan.capacity),
        None => reserve(fs, unfinished, plan.capacity, go_on)?,
    };
    let path = path_of(dir, plan.number);
    let Plan { number, capacity, .. } = plan;
    let segment = Segment { number, salt: fs.random()?, capacity, path };
    let header = encode_header(&segment, plan.directory);
    let rest = [0; FIRST_FRAME as usize - HEADER];
    file.write_at(&mut [IoSlice::new(&header), IoSlice::new(&rest)], 0)?;
    if !mutant!("g2_header_is_not_synced") {
        file.sync_data()?;
    }
    fs.rename(unfinished, &segment.path)?;
    if !mutant!("g7_name_of_a_segment_is_not_synced") {
        fs.sync_dir(dir)?;
    }
    Ok(Ready { segment, file, written })
}

/// The old name must be gone for good before the header says something else.
fn reuse(fs: &dyn Fs, dir: &Path, spare: &Path, unfinished: &Path) -> io::Result<Box<dyn File>> {
    fs.rename(spare, unfinished)?;
    if !mutant!("g7_recycled_under_two_names") {
        fs.sync_dir(dir)?;
    }
    fs.open(unfinished, Access::Write)
}

/// Reserving space is enough: the writer fills what lies ahead of it, a little at a time.
fn reserve(
    fs: &dyn Fs,
    path: &Path,
    capacity: u64,
    go_on: &dyn Fn() -> bool,
) -> io::Result<(Box<dyn File>, u64)> {
    let file = fs.open(path, Access::Create)?;
    if !go_on() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if file.allocate(capacity)? {
        return Ok((file, FIRST_FRAME));
    }
    fill_with_zeros(file.as_ref(), capacity, go_on)?;
    Ok((file, capacity))
}

/// Takes the space where it can't be reserved.
fn fill_with_zeros(file: &dyn File, capacity: u64, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    let zeros = vec![0; FILL.min(capacity as usize)];
    let mut offset = 0;
    while offset < capacity {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = (capacity - offset).min(zeros.len() as u64);
        file.write_at(&mut [IoSlice::new(&zeros[..len as usize])], offset)?;
        offset += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::directory::number_of;
    use crate::storage::fs::Disk;

    #[test]
    fn names_are_sixteen_digits() {
        let path = path_of(Path::new("d"), 0x1a);
        assert_eq!(path, Path::new("d/000000000000001a.log"));
        assert_eq!(number_of("000000000000001a.log", ".log"), Some(0x1a));
        for other in ["1a.log", "000000000000001a.tmp", "+00000000000001a.log", "notes.log"] {
            assert_eq!(number_of(other, ".log"), None, "{other}");
        }
    }

    #[test]
    fn a_header_keeps_its_golden_bytes() {
        let segment = Segment { number: 2, salt: 3, capacity: 65536, path: PathBuf::new() };
        let hex: String = encode_header(&segment, 1).iter().map(|b| format!("{b:02x}")).collect();
        let golden = concat!(
            "71756f2d77616c0aaace64300100000002000000000000000100000000000000",
            "0300000000000000000001000000000000000000000000000000000000000000",
        );
        assert_eq!(hex, golden);
    }

    #[test]
    fn a_segment_is_made_anew_or_of_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = Plan { number: 1, directory: 9, capacity: 65536 };
        let first = prepare(&Disk, dir.path(), plan, None, &|| true).expect("made");
        let again = Plan { number: 2, ..plan };
        let spare = Some(first.segment.path.as_path());
        let second = prepare(&Disk, dir.path(), again, spare, &|| true).expect("made");
        assert_ne!(first.segment.salt, second.segment.salt);
        assert_eq!(Disk.list(dir.path()).expect("lists"), ["0000000000000002.log"]);
        let path = &second.segment.path;
        let back = read_header(second.file.as_ref(), path, 2, 9).expect("reads");
        assert_eq!(back, second.segment);
        let kind = |number, directory| {
            read_header(second.file.as_ref(), path, number, directory).expect_err("refused").kind
        };
        assert_eq!(kind(2, 8), StorageErrorKind::ForeignFile);
        assert_eq!(kind(3, 9), StorageErrorKind::Corrupt);
    }

    #[test]
    fn a_preparation_that_is_called_off_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = Plan { number: 1, directory: 9, capacity: 65536 };
        assert!(prepare(&Disk, dir.path(), plan, None, &|| false).is_err());
        assert!(Disk.list(dir.path()).expect("lists").is_empty());
    }

    #[test]
    fn space_that_cannot_be_reserved_is_filled() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Disk.open(&dir.path().join("filled"), Access::Create).expect("made");
        fill_with_zeros(file.as_ref(), 3 * FILL as u64 / 2, &|| true).expect("filled");
        assert_eq!(file.len().expect("a length"), 3 * FILL as u64 / 2);
        let called_off = fill_with_zeros(file.as_ref(), 1, &|| false).expect_err("called off");
        assert_eq!(called_off.kind(), io::ErrorKind::Interrupted);
    }
}
