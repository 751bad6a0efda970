//! Little-endian fields and TLVs, read in a way that lets both grow: what is missing at the end of a
//! fixed part is 0, what is too much is not looked at.

use super::WireError;
use bytes::{BufMut, BytesMut};

/// Reads fields one after the other. Past the end all fields are 0.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (field, rest) = self.rest.split_at(N.min(self.rest.len()));
        out[..field.len()].copy_from_slice(field);
        self.rest = rest;
        out
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// `{tag u16, 0 u16, len u32, bytes, zeros to 8}`
#[derive(Clone, Copy)]
pub(super) struct Tlv<'a> {
    pub(super) tag: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The text in it, at most `limit` bytes.
    pub(super) fn text(&self, limit: usize, what: &'static str) -> Result<&'a str, WireError> {
        let short = Some(self.bytes).filter(|bytes| bytes.len() <= limit);
        let text = short.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.ok_or(WireError::Malformed(what))
    }
}

/// The TLVs in these bytes. Ends after the first error.
pub(super) fn tlvs(bytes: &[u8]) -> impl Iterator<Item = Result<Tlv<'_>, WireError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let tlv = take_tlv(&mut rest);
        if tlv.is_err() {
            rest = &[];
        }
        Some(tlv)
    })
}

fn take_tlv<'a>(rest: &mut &'a [u8]) -> Result<Tlv<'a>, WireError> {
    let broken = WireError::Malformed("the length of a TLV");
    let (head, tail) = rest.split_first_chunk::<8>().ok_or(broken)?;
    let mut head = Fields::new(head);
    let tag = head.u16();
    head.skip(2);
    let len = head.u32() as usize;
    let bytes = tail.get(..len).ok_or(broken)?;
    *rest = tail.get(len.next_multiple_of(8)..).ok_or(broken)?;
    Ok(Tlv { tag, bytes })
}

/// Writes a TLV.
pub(super) fn put_tlv(out: &mut BytesMut, tag: u16, content: &[u8]) {
    put_tlv_head(out, tag, content.len());
    out.put_slice(content);
    out.put_bytes(0, content.len().next_multiple_of(8) - content.len());
}

/// Writes the head of a TLV whose content, a multiple of 8, follows.
pub(super) fn put_tlv_head(out: &mut BytesMut, tag: u16, len: usize) {
    out.put_u16_le(tag);
    out.put_u16_le(0);
    out.put_u32_le(len as u32);
}
