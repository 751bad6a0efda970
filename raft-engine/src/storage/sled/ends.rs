//! The single value beside the entries: where the log begins and ends. It is written after the entries
//! of a call and before anything is removed, so what lies outside of it never counts.
//!
//! `0 crc u32 | 4 version u16 | 6 zero u16 | 8 directory u64 | 16 number u64 | 24 sync u64 | 32 base u64
//! | 40 term before it u64 | 48 first u64 | 56 last u64 | 64 chain before first u32 | 68 chain of last
//! u32`. The chain of an entry covers all entries up to it: a log in which any one was lost, or is an
//! older one again, does not fit.

use crate::consensus::types::{Index, Term};
use crate::storage::bounds::Bounds;
use crate::storage::integers::{u16_at, u32_at, u64_at};

const LEN: usize = 72;
const VERSION: u16 = 1;

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Ends {
    /// How often this was written.
    pub number: u64,
    /// The sync that makes it durable: 1, 2, 3 …
    pub sync: u64,
    pub bounds: Bounds,
    /// The chain before the first entry.
    pub start: u32,
    /// The chain of the last one.
    pub chain: u32,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    Damaged,
    Later,
    Foreign,
}

impl Ends {
    pub fn encode(&self, directory: u64) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        let Bounds { base, base_term, first, last } = self.bounds;
        let fields = [directory, self.number, self.sync, base.0, base_term.0, first.0, last.0];
        for (slot, field) in out[8..].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        out[64..68].copy_from_slice(&self.start.to_le_bytes());
        out[68..].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], directory: u64) -> Result<Ends, Flaw> {
        if bytes.len() < LEN || crc32c::crc32c(&bytes[4..]) != u32_at(bytes, 0) {
            return Err(Flaw::Damaged);
        }
        if u16_at(bytes, 4) != VERSION || bytes.len() != LEN {
            return Err(Flaw::Later);
        }
        if u64_at(bytes, 8) != directory {
            return Err(Flaw::Foreign);
        }
        let index = |at| Index(u64_at(bytes, at));
        let (base, first, last) = (index(32), index(48), index(56));
        Ok(Ends {
            number: u64_at(bytes, 16),
            sync: u64_at(bytes, 24),
            bounds: Bounds { base, base_term: Term(u64_at(bytes, 40)), first, last },
            start: u32_at(bytes, 64),
            chain: u32_at(bytes, 68),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        let bounds = Bounds { base: Index(3), base_term: Term(4), first: Index(5), last: Index(6) };
        Ends { number: 1, sync: 2, bounds, start: 7, chain: 8 }
    }

    #[test]
    fn the_golden_bytes() {
        let hex: String = ends().encode(9).iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "d201335e01000000090000000000000001000000000000000200000000000000",
            "0300000000000000040000000000000005000000000000000600000000000000",
            "0700000008000000",
        );
        assert_eq!(hex, golden);
    }

    #[test]
    fn only_what_was_written_is_read() {
        let good = ends().encode(9);
        assert_eq!(Ends::decode(&good, 9), Ok(ends()));
        assert_eq!(Ends::decode(&good, 8), Err(Flaw::Foreign));
        for bit in 0..LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Ends::decode(&bad, 9), Err(Flaw::Damaged), "bit {bit}");
        }
        assert_eq!(Ends::decode(&good[..LEN - 1], 9), Err(Flaw::Damaged));
        let mut later = good;
        later[4] = 2;
        let crc = crc32c::crc32c(&later[4..]).to_le_bytes();
        later[..4].copy_from_slice(&crc);
        assert_eq!(Ends::decode(&later, 9), Err(Flaw::Later));
    }
}
