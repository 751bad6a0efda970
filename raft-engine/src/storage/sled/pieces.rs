//! An entry in pieces: keys are `index u64 | piece u32`, big-endian; all pieces in a row are
//! `chain u32 LE | record` (`storage::record`). All but the last have the same length.

use super::database::VALUE_MAX;
use crate::consensus::types::Index;
use crate::storage::integers::u32_at;
use crate::storage::{Record, record};
use bytes::Bytes;

const KEY: usize = 12;
/// Bytes of the chain.
const CHAIN: usize = 4;

/// The key of a piece.
pub(super) fn key(index: Index, piece: u32) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&index.0.to_be_bytes());
    key[8..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The index and piece of a key.
pub(super) fn place(key: &[u8]) -> Option<(Index, u32)> {
    let (index, piece) = key.split_at_checked(8)?;
    let index = u64::from_be_bytes(index.try_into().ok()?);
    Some((Index(index), u32::from_be_bytes(piece.try_into().ok()?)))
}

/// An entry, ready to be cut. Also gives its chain.
pub(super) fn encode(entry: &Record, commit: Index, before: u32) -> (Vec<u8>, u32) {
    let value = record::encode(entry, commit);
    let chain = chain(before, &value);
    let mut whole = Vec::with_capacity(CHAIN + value.len());
    whole.extend_from_slice(&chain.to_le_bytes());
    whole.extend_from_slice(&value);
    (whole, chain)
}

/// The pieces of an entry.
pub(super) fn cut(whole: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (0..).zip(whole.chunks(VALUE_MAX))
}

/// The chain that stands in the first piece of an entry.
pub(super) fn chain_in(piece: &[u8]) -> Option<u32> {
    (piece.len() >= CHAIN).then(|| u32_at(piece, 0))
}

/// The chain of an entry behind another. Its head covers index, term and payload.
fn chain(before: u32, value: &[u8]) -> u32 {
    crc32c::crc32c_append(before, &value[..record::HEAD])
}

/// Puts pieces together, one after the other.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    pieces: u32,
}

impl Assembly {
    /// Takes the next piece, if it is that.
    pub fn push(&mut self, piece: u32, bytes: &[u8]) -> bool {
        let follows = piece == self.pieces && self.bytes.len() == piece as usize * VALUE_MAX;
        if follows {
            self.pieces += 1;
            self.bytes.extend_from_slice(bytes);
        }
        follows
    }

    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// The entry with its commit index, and its chain, if it is the one of `index` behind `before`.
    pub fn finish(&mut self, index: Index, before: u32) -> Result<(Record, Index, u32), String> {
        let whole = std::mem::take(self).bytes;
        if whole.len() < CHAIN + record::HEAD {
            return Err(format!("it has {} bytes, fewer than any record", whole.len()));
        }
        let stored = u32_at(&whole, 0);
        let value = Bytes::from(whole).slice(CHAIN..);
        let chain = chain(before, &value);
        let (record, commit) = record::decode(value, index)?;
        if chain != stored {
            return Err("it does not belong behind the entry before it".into());
        }
        Ok((record, commit, chain))
    }
}
