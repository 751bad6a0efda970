//! A change as a caller gives it, and its one encoding, made in the caller's thread.

use crate::consensus::command::Command;
use crate::consensus::types::Origin;
use crate::error::{Error, ErrorKind};
use bytes::{BufMut, Bytes, BytesMut};

/// A change to propose. Borrowed for the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewEntry<'a> {
    /// 0 or more; the negative ones are the engine's.
    pub kind: i32,
    /// Nanoseconds since 1970 UTC, 0 = not set.
    pub timestamp_ns: i64,
    /// In order; UTF-8.
    pub tags: &'a [&'a [u8]],
    /// Opaque.
    pub data: &'a [u8],
}

impl<'a> NewEntry<'a> {
    /// A change that is only data.
    #[must_use]
    pub fn new(data: &'a [u8]) -> NewEntry<'a> {
        NewEntry { data, ..NewEntry::default() }
    }

    /// Checks and encodes the change: the only copy of its bytes that is made on this node.
    ///
    /// # Errors
    /// `Invalid` for a reserved type or a tag that is not UTF-8, `TooLarge` over `max_bytes` of tags
    /// and data or over 65,535 bytes of tags.
    pub fn encode(&self, origin: Origin, max_bytes: usize) -> Result<Command, Error> {
        let tags_bytes = self.check(max_bytes)?;
        let mut bytes = BytesMut::with_capacity(Command::HEADER + tags_bytes + self.data.len());
        bytes.put_i32_le(self.kind);
        bytes.put_u16_le(0);
        bytes.put_u16_le(tags_bytes as u16);
        bytes.put_i64_le(self.timestamp_ns);
        bytes.put_u64_le(origin.node.0);
        bytes.put_u64_le(origin.seq);
        for tag in self.tags {
            bytes.put_u16_le(tag.len() as u16);
            bytes.put_slice(tag);
        }
        bytes.put_slice(self.data);
        let bytes: Bytes = bytes.freeze();
        let crc = crc32c::crc32c(&bytes);
        Ok(Command::from_encoded(bytes, crc).expect("what was just encoded is well-formed"))
    }

    /// The bytes that the tags take.
    fn check(&self, max_bytes: usize) -> Result<usize, Error> {
        if self.kind < 0 {
            let text = format!(
                "entry type {} is reserved: types below 0 belong to the library, use 0 or more",
                self.kind
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if let Some(at) = self.tags.iter().position(|tag| std::str::from_utf8(tag).is_err()) {
            return Err(Error::new(ErrorKind::Invalid, format!("tag {at} is not UTF-8")));
        }
        let tags_bytes: usize = self.tags.iter().map(|tag| 2 + tag.len()).sum();
        if tags_bytes > usize::from(u16::MAX) {
            let text = format!(
                "the tags take {tags_bytes} bytes (with 2 for each); an entry holds 65535 at most"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let size = tags_bytes + self.data.len();
        if size > max_bytes {
            let text = format!(
                "the entry has {size} bytes of data and tags, max_entry_bytes allows {max_bytes}: \
                 split the change, or raise the setting on every node (up to 4MiB)"
            );
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(tags_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::NodeId;

    #[test]
    fn a_change_survives_its_encoding() {
        let origin = Origin { node: NodeId(7), seq: 9 };
        let new = NewEntry { kind: 3, timestamp_ns: -5, tags: &[b"a", b"", b"bc"], data: b"data" };
        let command = new.encode(origin, 1 << 20).expect("it is small");
        assert_eq!((command.kind(), command.timestamp_ns(), command.origin()), (3, -5, origin));
        assert_eq!(command.tags().collect::<Vec<_>>(), new.tags);
        assert_eq!(command.data(), b"data");
        assert_eq!(command.crc(), crc32c::crc32c(command.encoded()));
        assert_eq!(Command::from_encoded(command.encoded().clone(), command.crc()), Some(command));
    }

    #[test]
    fn what_is_reserved_or_too_large_is_refused_with_a_reason() {
        let refuse = |new: NewEntry<'_>, max| {
            new.encode(Origin::default(), max).expect_err("it must be refused")
        };
        let reserved = refuse(NewEntry { kind: -1, ..NewEntry::default() }, 10);
        assert_eq!(reserved.kind, ErrorKind::Invalid);
        assert!(reserved.message.contains("reserved"));
        assert_eq!(refuse(NewEntry::new(&[0; 11]), 10).kind, ErrorKind::TooLarge);
        let tags: Vec<&[u8]> = vec![&[b'x'; 60_000], &[b'x'; 6_000]];
        let tagged = NewEntry { tags: &tags, ..NewEntry::default() };
        assert_eq!(refuse(tagged, 1 << 20).kind, ErrorKind::TooLarge);
        let not_text = NewEntry { tags: &[&[0xff]], ..NewEntry::default() };
        assert_eq!(refuse(not_text, 10).kind, ErrorKind::Invalid);
    }
}
