//! Little-endian readers and writers for control parts: fixed fields, then fields by tag.
//!
//! A fixed part that is longer than known is ignored beyond, one that is shorter reads as zeroes; an
//! unknown tag is skipped unless its top bit says that the message can't be understood without it.

use super::{WireError, refuse};
use bytes::{BufMut, Bytes, BytesMut};

/// A tag with this bit must be understood.
const CRITICAL: u16 = 1 << 15;

/// Writes a control part behind room for a header.
pub struct Control(BytesMut);

impl Control {
    /// An empty control part behind `header` zeroes.
    pub fn after_header(header: usize) -> Control {
        let mut bytes = BytesMut::with_capacity(header + 256);
        bytes.resize(header, 0);
        Control(bytes)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn u16(&mut self, value: u16) {
        self.0.put_u16_le(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.0.put_u32_le(value);
    }

    pub fn u64(&mut self, value: u64) {
        self.0.put_u64_le(value);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    /// Overwrites what stands at `at`.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// `tag u16 | 0 u16 | len u32 | bytes | zeroes to 8`
    pub fn tlv(&mut self, tag: u16, write: impl FnOnce(&mut Control)) {
        let start = self.len();
        self.u16(tag);
        self.u16(0);
        self.u32(0);
        write(self);
        let len = self.len() - start - 8;
        self.patch(start + 4, &(len as u32).to_le_bytes());
        self.0.put_bytes(0, len.next_multiple_of(8) - len);
    }

    pub fn finish(self) -> BytesMut {
        self.0
    }
}

/// Reads fixed fields; zero beyond the end.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut value = [0; N];
        let (head, tail) = self.0.split_at(self.0.len().min(N));
        value[..head.len()].copy_from_slice(head);
        self.0 = tail;
        value
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// What is left of a received frame.
pub struct Source {
    pub control: Bytes,
    pub data: Bytes,
}

impl Source {
    /// The next `len` bytes of the control part.
    pub fn take(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len > self.control.len() {
            return refuse("a message is longer than the control part");
        }
        Ok(self.control.split_to(len))
    }
}

/// The fields by tag of a message, in order.
pub fn tlvs(mut bytes: Bytes) -> Result<Vec<(u16, Bytes)>, WireError> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let mut fields = Fields::new(&bytes);
        let (tag, _, len) = (fields.u16(), fields.u16(), fields.u32() as usize);
        let padded = len.next_multiple_of(8);
        if bytes.len() < 8 || padded > bytes.len() - 8 {
            return refuse(format!("field {tag} is longer than its message"));
        }
        found.push((tag, bytes.slice(8..8 + len)));
        let _ = bytes.split_to(8 + padded);
    }
    Ok(found)
}

/// Refuses a message with a field that must be understood and is not among `known`.
pub fn check_critical(tlvs: &[(u16, Bytes)], known: &[u16]) -> Result<(), WireError> {
    match tlvs.iter().find(|(tag, _)| tag & CRITICAL != 0 && !known.contains(tag)) {
        Some((tag, _)) => refuse(format!("field {tag} must be understood and is not known")),
        None => Ok(()),
    }
}

/// The field with that tag.
pub fn field(tlvs: &[(u16, Bytes)], tag: u16) -> Option<&Bytes> {
    tlvs.iter().find(|(t, _)| *t == tag).map(|(_, bytes)| bytes)
}

/// A field that is text; empty when absent.
pub fn text(tlvs: &[(u16, Bytes)], tag: u16) -> Result<String, WireError> {
    let bytes = field(tlvs, tag).map_or(&[][..], |bytes| bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => refuse(format!("field {tag} is not UTF-8")),
    }
}
