//! What an entry holds. A caller's change has one encoded form from the thread that proposes it to
//! the disk, the wire and the state machine; nobody copies or encodes it again.

use super::membership::Membership;
use super::types::{EntryId, Index, NodeId, Origin, Term};
use bytes::Bytes;
use std::sync::Arc;

/// Entry types below 0 belong to the engine. -3 to -5 stay free.
pub mod kind {
    /// A change of membership.
    pub const MEMBERSHIP: i32 = -1;
    /// A change of the web hooks.
    pub const WEB_HOOKS: i32 = -2;
    /// What a new leader writes first (§8).
    pub const NOOP: i32 = -16;
}

/// One entry of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its place.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

impl Entry {
    /// Index and term.
    #[must_use]
    pub fn id(&self) -> EntryId {
        EntryId::new(self.index, self.term)
    }

    /// What the entry counts for in limits on memory and messages: its encoded payload and a head.
    #[must_use]
    pub fn size(&self) -> usize {
        32 + self.payload.len()
    }
}

/// What an entry says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Payload {
    /// Nothing: the first entry of a term, by which older ones can be committed (§5.4.2, §8).
    Noop,
    /// Who takes part from here on.
    Membership(Arc<Membership>),
    /// A caller's change, or an entry of the engine that this version only passes on.
    Command(Command),
}

impl Payload {
    /// Bytes of the encoded form; for a membership an estimate that is never too small by much.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Noop => Command::HEADER,
            Payload::Membership(m) => Command::HEADER + 64 * (2 + m.everyone().count()),
            Payload::Command(command) => command.encoded().len(),
        }
    }

    /// Never: every payload has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Who proposed it; none for the engine's own.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Payload::Command(command) => command.origin(),
            Payload::Noop | Payload::Membership(_) => Origin::default(),
        }
    }
}

/// A change in its encoded form, and the CRC32C of that:
/// `type i32 | flags u16 | tags_bytes u16 | timestamp i64 | origin u64 | origin_seq u64 | tags | data`,
/// little-endian; each tag is `len u16, bytes`. Cloning shares the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    encoded: Bytes,
    crc: u32,
}

impl Command {
    /// Bytes before the tags.
    pub const HEADER: usize = 32;

    /// Takes an encoded change whose checksum is `crc`, which is believed. `None` when the bytes are
    /// no encoded change.
    #[must_use]
    pub fn from_encoded(encoded: Bytes, crc: u32) -> Option<Command> {
        let command = Command { encoded, crc };
        let fits = command.encoded.len() >= Self::HEADER
            && command.encoded.len() >= Self::HEADER + command.tags_bytes()
            && command.tags_are_well_formed();
        fits.then_some(command)
    }

    /// The encoded form.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The encoded form and its CRC32C.
    #[must_use]
    pub fn into_encoded(self) -> (Bytes, u32) {
        (self.encoded, self.crc)
    }

    /// CRC32C of the encoded form.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The entry type: 0 or more for the application's own.
    #[must_use]
    pub fn kind(&self) -> i32 {
        i32::from_le_bytes(self.field(0))
    }

    /// Nanoseconds since 1970 UTC as the proposer set it, 0 = not set.
    #[must_use]
    pub fn timestamp_ns(&self) -> i64 {
        i64::from_le_bytes(self.field(8))
    }

    /// Who proposed it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            node: NodeId(u64::from_le_bytes(self.field(16))),
            seq: u64::from_le_bytes(self.field(24)),
        }
    }

    /// The tags, in the order given.
    pub fn tags(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.encoded[Self::HEADER..Self::HEADER + self.tags_bytes()];
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk::<2>()?;
            let (tag, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            rest = tail;
            Some(tag)
        })
    }

    /// What the caller gave.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.encoded[Self::HEADER + self.tags_bytes()..]
    }

    fn tags_bytes(&self) -> usize {
        usize::from(u16::from_le_bytes(self.field(6)))
    }

    fn tags_are_well_formed(&self) -> bool {
        self.tags().map(|tag| 2 + tag.len()).sum::<usize>() == self.tags_bytes()
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.encoded[at..at + N].try_into().expect("the header was checked when this was made")
    }
}
