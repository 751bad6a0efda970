//! The file `state`: what must survive a damaged log. Four blocks of 4 KiB; generation g stands in
//! blocks 2g and 2g + 1 (mod 4), so a write touches only the older generation, and each is there twice.
//!
//! `0 magic u64 | 8 crc u32 (12..512) | 12 version u16 | 14 len u16 | 16 generation | 24 the engine's
//! state | 136 base | 144 term before it | 152 oldest segment | 160 newest segment | 168 durable end
//! {segment, offset, frame seq} | 192 birth of LOCK s | 200 ns u32 | 204 store u32 | 208 zero`. What
//! stands in 136..192 is of the store; the field names are those of the segmented log.
//!
//! What must hold: one rotten copy, or a write that tore, loses nothing. If both copies of a generation
//! are rotten nobody can tell whether it was the newest, and the file is refused.

use super::refuse;
use crate::codec::STATE_BYTES;
use crate::consensus::types::{Index, Term};
use crate::storage::StorageError;
use crate::storage::fs::{Access, Birth, File, Fs};
use crate::storage::integers::{u16_at, u32_at, u64_at};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// The version of all files of this store.
pub(in crate::storage) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"quo-st8\n";
const BLOCK: usize = 4096;
/// What of a block means something: one sector.
const LEN: usize = 512;
const ENGINE: usize = 24;

/// A place up to which the log is known to be durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::storage) struct End {
    pub segment: u64,
    pub offset: u64,
    /// The last frame.
    pub seq: u64,
}

/// What one generation says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) struct State {
    /// The engine's own, opaque but for `directory` and `is_closed`.
    pub engine: [u8; STATE_BYTES],
    /// Everything below was removed from the log.
    pub base: Index,
    /// The term of the entry before it.
    pub base_term: Term,
    /// The first segment of the log; those before it are leftovers.
    pub oldest: u64,
    /// The last segment that may hold a frame; raised before the first one is written there.
    pub newest: u64,
    /// Frames up to here were durable when this was written.
    pub end: End,
    /// When LOCK was made; zero where the file system does not say.
    pub birth: Birth,
    /// Which store the directory belongs to (`Kind`).
    pub store: u32,
}

impl State {
    /// A state before anything was logged.
    pub fn new(engine: [u8; STATE_BYTES]) -> State {
        State {
            engine,
            base: Index::ZERO,
            base_term: Term::ZERO,
            oldest: 0,
            newest: 0,
            end: End::default(),
            birth: Birth::default(),
            store: 0,
        }
    }

    /// The id of the data directory, which every segment names.
    pub fn directory(&self) -> u64 {
        u64_at(&self.engine, 0)
    }

    /// Whether the last run was closed properly (`codec::encode_state`, flags at 72).
    pub fn is_closed(&self) -> bool {
        u32_at(&self.engine, 48) & 8 != 0
    }

    fn encode(&self, generation: u64) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[12..14].copy_from_slice(&VERSION.to_le_bytes());
        out[14..16].copy_from_slice(&(LEN as u16).to_le_bytes());
        out[16..24].copy_from_slice(&generation.to_le_bytes());
        out[ENGINE..ENGINE + STATE_BYTES].copy_from_slice(&self.engine);
        let End { segment, offset, seq } = self.end;
        let fields =
            [self.base.0, self.base_term.0, self.oldest, self.newest, segment, offset, seq];
        let tail = out[ENGINE + STATE_BYTES..].chunks_exact_mut(8);
        for (slot, field) in tail.zip(fields.into_iter().chain([self.birth.seconds])) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        out[200..204].copy_from_slice(&self.birth.nanoseconds.to_le_bytes());
        out[204..208].copy_from_slice(&self.store.to_le_bytes());
        let crc = crc32c::crc32c(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(block: &[u8]) -> State {
        let mut engine = [0; STATE_BYTES];
        engine.copy_from_slice(&block[ENGINE..ENGINE + STATE_BYTES]);
        let end = End {
            segment: u64_at(block, 168),
            offset: u64_at(block, 176),
            seq: u64_at(block, 184),
        };
        State {
            engine,
            base: Index(u64_at(block, 136)),
            base_term: Term(u64_at(block, 144)),
            oldest: u64_at(block, 152),
            newest: u64_at(block, 160),
            end,
            birth: Birth { seconds: u64_at(block, 192), nanoseconds: u32_at(block, 200) },
            store: u32_at(block, 204),
        }
    }
}

/// The open file.
pub(in crate::storage) struct StateFile {
    path: PathBuf,
    file: Box<dyn File>,
    state: State,
    generation: u64,
    /// Copies of the present generation that are not as they should be.
    rotten: Vec<u64>,
}

impl StateFile {
    /// Makes the file, whole or not at all, durable with its name.
    pub fn create(fs: &dyn Fs, path: &Path, state: State) -> io::Result<StateFile> {
        let unfinished = path.with_extension("tmp");
        let file = fs.open(&unfinished, Access::Create)?;
        for generation in 0..2 {
            write_block(file.as_ref(), 2 * generation, &state.encode(generation))?;
            write_block(file.as_ref(), 2 * generation + 1, &state.encode(generation))?;
        }
        if !mutant!("g2_new_state_is_not_synced") {
            file.sync_data()?;
        }
        fs.rename(&unfinished, path)?;
        fs.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(StateFile { path: path.into(), file, state, generation: 1, rotten: Vec::new() })
    }

    /// Reads the file; `None` when there is none.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Option<StateFile>, StorageError> {
        let file = match fs.open(path, Access::Write) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StorageError::io("open", path, &e)),
        };
        let mut bytes = vec![0; 4 * BLOCK];
        let read = file.sync_data().and_then(|()| file.evict());
        read.and_then(|()| file.read_at(&mut bytes, 0))
            .map_err(|e| StorageError::io("read", path, &e))?;
        let (generation, state, rotten) = newest(&bytes, path)?;
        Ok(Some(StateFile { path: path.into(), file, state, generation, rotten }))
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a new state durable. A rotten copy of the present one is written again first: it must
    /// be able to lose the other.
    pub fn write(&mut self, state: State) -> io::Result<()> {
        self.write_through(state)?;
        if mutant!("g2_state_is_not_synced") { Ok(()) } else { self.file.sync_data() }
    }

    /// Writes a new state that the next sync of the whole file system makes durable; the one before
    /// must be durable.
    pub fn write_through(&mut self, state: State) -> io::Result<()> {
        for block in std::mem::take(&mut self.rotten) {
            write_block(self.file.as_ref(), block, &self.state.encode(self.generation))?;
            self.file.sync_data()?;
        }
        let generation = self.generation + 1;
        let sector = state.encode(generation);
        let rest = [0; BLOCK - LEN];
        let mut both = [&sector, &rest[..], &sector, &rest[..]].map(IoSlice::new);
        self.file.write_at(&mut both, block_of(generation) * BLOCK as u64)?;
        (self.state, self.generation) = (state, generation);
        Ok(())
    }
}

/// The first block of a generation.
fn block_of(generation: u64) -> u64 {
    if mutant!("a1_state_is_overwritten_in_place") { 0 } else { 2 * (generation % 2) }
}

fn write_block(file: &dyn File, block: u64, sector: &[u8; LEN]) -> io::Result<()> {
    let mut whole = [IoSlice::new(sector), IoSlice::new(&[0; BLOCK - LEN])];
    file.write_at(&mut whole, block * BLOCK as u64)
}

/// The generation in a block, if the block is intact and in its place.
fn generation_of(bytes: &[u8], block: u64, path: &Path) -> Result<Option<u64>, StorageError> {
    let at = block as usize * BLOCK;
    let sector = &bytes[at..at + LEN];
    let crc = crc32c::crc32c(&sector[12..]).to_le_bytes();
    if sector[..8] != MAGIC || crc != sector[8..12] {
        return Ok(None);
    }
    if u16_at(sector, 12) != VERSION || usize::from(u16_at(sector, 14)) != LEN {
        return Err(refuse::version(path, at as u64));
    }
    let generation = u64_at(sector, 16);
    Ok((block_of(generation) == block & !1).then_some(generation))
}

/// The newest generation, its state, and the blocks that should hold it and do not.
fn newest(bytes: &[u8], path: &Path) -> Result<(u64, State, Vec<u64>), StorageError> {
    let mut found = [None; 4];
    for (block, generation) in found.iter_mut().enumerate() {
        *generation = generation_of(bytes, block as u64, path)?;
    }
    let (even, odd) = (found[0].max(found[1]), found[2].max(found[3]));
    let (Some(even), Some(odd)) = (even, odd) else {
        let offset = if even.is_none() { 0 } else { 2 * BLOCK as u64 };
        return Err(refuse::corrupt(path, offset, "both copies of a state are damaged"));
    };
    let generation = even.max(odd);
    if even.abs_diff(odd) != 1 {
        let flaw = format!("generations {even} and {odd} do not follow one another");
        return Err(refuse::corrupt(path, 16, &flaw));
    }
    let first = block_of(generation);
    let holds = |block: &u64| found[*block as usize] == Some(generation);
    let good = (first..first + 2).find(holds).expect("one of the two has the maximum") as usize;
    let rotten = (first..first + 2).filter(|block| !holds(block)).collect();
    Ok((generation, State::decode(&bytes[good * BLOCK..]), rotten))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageErrorKind;
    use crate::storage::fs::Disk;

    fn state(term: u64) -> State {
        let mut engine = [0; STATE_BYTES];
        engine[0] = 7;
        engine[24] = term as u8;
        State { base: Index(term), newest: 3, ..State::new(engine) }
    }

    fn written(terms: u64) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state");
        let mut file = StateFile::create(&Disk, &path, state(0)).expect("made");
        for term in 1..=terms {
            file.write(state(term)).expect("written");
        }
        let bytes = std::fs::read(&path).expect("readable");
        (dir, path, bytes)
    }

    fn open(path: &Path) -> Result<State, StorageErrorKind> {
        let file = StateFile::open(&Disk, path).map_err(|e| e.kind)?;
        Ok(*file.expect("there is a file").state())
    }

    #[test]
    fn the_newest_state_is_found() {
        for terms in 0..5 {
            let (_dir, path, bytes) = written(terms);
            assert_eq!(bytes.len(), 4 * BLOCK);
            assert_eq!(open(&path), Ok(state(terms)));
        }
    }

    #[test]
    fn one_rotten_copy_loses_nothing_and_is_written_again() {
        for block in 0..4 {
            let (_dir, path, mut bytes) = written(4);
            bytes[block * BLOCK + 100] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(open(&path), Ok(state(4)));
            assert_eq!(std::fs::read(&path).expect("readable"), bytes, "opening changes nothing");
            let mut file = StateFile::open(&Disk, &path).expect("opens").expect("is there");
            file.write(state(5)).expect("written");
            let mut bytes = std::fs::read(&path).expect("readable");
            let other = if block_of(file.generation) == 0 { 2 } else { 0 };
            bytes[other * BLOCK + 100] ^= 1;
            bytes[block_of(file.generation) as usize * BLOCK + 100] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(open(&path), Ok(state(5)), "each generation has two good copies again");
        }
    }

    #[test]
    fn two_rotten_copies_of_a_generation_are_refused() {
        for pair in [0, 2] {
            let (_dir, path, mut bytes) = written(4);
            bytes[pair * BLOCK + 100] ^= 1;
            bytes[(pair + 1) * BLOCK + 100] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            assert_eq!(open(&path), Err(StorageErrorKind::Corrupt));
        }
        let (_dir, path, bytes) = written(4);
        std::fs::write(&path, &bytes[..100]).expect("written");
        assert_eq!(open(&path), Err(StorageErrorKind::Corrupt));
    }

    // known bug: A1
    #[test]
    fn a_write_torn_anywhere_leaves_the_old_state_or_the_new() {
        let (_dir, path, before) = written(4);
        let mut file = StateFile::open(&Disk, &path).expect("opens").expect("is there");
        file.write(state(5)).expect("written");
        let after = std::fs::read(&path).expect("readable");
        let changed = block_of(file.generation) as usize * BLOCK;
        for cut in 0..=2 * BLOCK {
            let mut torn = before.clone();
            torn[changed..changed + cut].copy_from_slice(&after[changed..changed + cut]);
            let (_, found, _) = newest(&torn, &path).expect("never refused");
            assert!(found == state(4) || found == state(5), "cut at {cut}");
            assert!(found == state(5) || cut < LEN, "one whole copy is enough, cut at {cut}");
        }
    }

    #[test]
    fn the_golden_bytes_of_a_block() {
        let mut engine = [0; STATE_BYTES];
        engine.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8 + 1);
        let state = State {
            base: Index(9),
            base_term: Term(8),
            oldest: 2,
            newest: 3,
            end: End { segment: 3, offset: 4096, seq: 5 },
            birth: Birth { seconds: 6, nanoseconds: 7 },
            ..State::new(engine)
        };
        let block = state.encode(2);
        let hex: String = block[..208].iter().map(|b| format!("{b:02x}")).collect();
        let golden = concat!(
            "71756f2d7374380abb4b08130100000202000000000000000102030405060708",
            "090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728",
            "292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748",
            "494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768",
            "696a6b6c6d6e6f70090000000000000008000000000000000200000000000000",
            "0300000000000000030000000000000000100000000000000500000000000000",
            "06000000000000000700000000000000",
        );
        assert_eq!(hex, golden);
        assert!(block[204..].iter().all(|byte| *byte == 0));
        assert_eq!(State::decode(&block), state);
    }
}
