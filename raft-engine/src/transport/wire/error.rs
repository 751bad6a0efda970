//! What is wrong with bytes that should have been a frame or a handshake.

use crate::consensus::types::{EntryId, Index};
use std::fmt;

/// What is wrong with bytes from another node. Nothing of them was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WireError {
    /// The first bytes are those of no frame, or no handshake, of quorate.
    NoFrame,
    /// There are fewer bytes, or more, than their header says.
    Short,
    /// Longer than is allowed.
    TooLarge {
        /// The length.
        len: u64,
        /// What is allowed.
        limit: usize,
    },
    /// Header and control part do not fit their checksum.
    HeaderChecksum,
    /// A payload does not fit its checksum.
    PayloadChecksum,
    /// A protocol that this version does not speak.
    Protocol(u16),
    /// Bytes that belong to no message.
    LeftOver(usize),
    /// Something is not what it must be; names it.
    Malformed(&'static str),
    /// Entries that do not follow one another.
    NotContiguous {
        /// Where an entry of which term at least was to come.
        expected: EntryId,
        /// What came.
        found: EntryId,
    },
    /// An entry whose payload is not one that this version can read.
    Payload(Index),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::NoFrame => f.write_str("these are no bytes of quorate's protocol"),
            WireError::Short => f.write_str("the length is not the one that the header says"),
            WireError::TooLarge { len, limit } => write!(f, "{len} bytes, {limit} are allowed"),
            WireError::HeaderChecksum => f.write_str("the checksum of the header does not fit"),
            WireError::PayloadChecksum => f.write_str("the checksum of a payload does not fit"),
            WireError::Protocol(n) => write!(f, "protocol {n}, which this version does not speak"),
            WireError::LeftOver(n) => write!(f, "{n} bytes that belong to no message"),
            WireError::Malformed(what) => write!(f, "malformed: {what}"),
            WireError::NotContiguous { expected, found } => {
                write!(f, "entry {found} where {expected} or a later term was to come")
            }
            WireError::Payload(index) => write!(f, "the payload of entry {index} can't be read"),
        }
    }
}

impl std::error::Error for WireError {}
