//! An entry as one value that another store keeps without looking into it:
//! `crc u32 | version u16 | 0 u16 | index u64 | term u64 | commit u64 | payload_crc u32 | payload_len u32`
//! and the payload, little-endian. The first checksum covers the rest of the head, the second the
//! payload, so a value that was damaged, exchanged or put in another place is noticed when it is read.

use crate::consensus::types::{Index, Term};
use crate::storage::Record;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the payload.
pub const HEAD: usize = 40;
const VERSION: u16 = 1;

/// The value for a record; `commit` is the commit index that was known when it was written.
pub fn encode(record: &Record, commit: Index) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD + record.payload.len());
    out.put_u32_le(0);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u64_le(record.index.0);
    out.put_u64_le(record.term.0);
    out.put_u64_le(commit.0);
    out.put_u32_le(record.crc);
    out.put_u32_le(record.payload.len() as u32);
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out.put_slice(&record.payload);
    out.freeze()
}

/// The record in a value and its commit index, if it is the one of `index` and unharmed; else what is
/// wrong with it.
pub fn decode(mut value: Bytes, index: Index) -> Result<(Record, Index), String> {
    let Some(head) = value.first_chunk::<HEAD>() else {
        return Err(format!("it has {} bytes, fewer than any record", value.len()));
    };
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if crc32c::crc32c(&head[4..]) != u32_at(0) {
        return Err("its head is damaged".into());
    }
    let version = u32_at(4) & 0xffff;
    if version != u32::from(VERSION) {
        return Err(format!("it has version {version}, of a later program"));
    }
    let (found, term, commit) = (Index(u64_at(8)), Term(u64_at(16)), Index(u64_at(24)));
    if found != index {
        return Err(format!("it is the record of entry {found}"));
    }
    let (crc, len) = (u32_at(32), u32_at(36) as usize);
    let payload = value.split_off(HEAD);
    if payload.len() != len || crc32c::crc32c(&payload) != crc {
        return Err("its payload is damaged".into());
    }
    Ok((Record { index, term, crc, payload }, commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let payload = Bytes::from_static(b"\0\0\0\0payload");
        Record { index: Index(7), term: Term(3), crc: crc32c::crc32c(&payload), payload }
    }

    #[test]
    fn a_value_gives_the_record_back() {
        let value = encode(&record(), Index(5));
        assert_eq!(decode(value, Index(7)), Ok((record(), Index(5))));
    }

    #[test]
    fn no_flipped_bit_and_no_other_place_goes_unnoticed() {
        let value = encode(&record(), Index(5));
        for bit in 0..value.len() * 8 {
            let mut harmed = value.to_vec();
            harmed[bit / 8] ^= 1 << (bit % 8);
            decode(harmed.into(), Index(7)).expect_err("a bit is flipped");
        }
        for len in 0..value.len() {
            decode(value.slice(..len), Index(7)).expect_err("the end is missing");
        }
        assert!(decode(value, Index(8)).expect_err("another one").contains("entry 7"));
    }
}
