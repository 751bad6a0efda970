//! Messages as bytes: frames with a version, the lineage, checksums and room to grow.
//!
//! A frame carries messages from one run of a node to one other node: a header, the control part with
//! the messages, and the data part with the payloads of entries. Payloads are written as they lie in
//! the log and read as slices of the received frame; nobody copies them. What can't be checked is
//! refused with a reason, and no input makes this module panic. The bytes are drawn in
//! `docs/formats.md`; `golden.txt` keeps them stable.

mod decode;
mod encode;
mod error;
mod fields;
pub mod hello;
mod numbers;

pub use error::WireError;

use crate::consensus::message::Message;
use crate::consensus::types::{ClusterId, Incarnation, NodeId};
use bytes::{BufMut, Bytes, BytesMut};
use fields::Fields;

/// The oldest protocol that this version speaks.
pub const PROTOCOL_MIN: u16 = 1;
/// The newest protocol that this version speaks.
pub const PROTOCOL_MAX: u16 = 1;
/// Bytes of a frame header.
pub const HEADER: usize = 64;
/// The most that a frame may take after the handshake.
pub const FRAME_LIMIT: usize = 8 << 20;

/// Headers of later versions may be longer, up to here.
const HEADER_LIMIT: usize = 1024;
const MAGIC: [u8; 4] = *b"QRFR";
/// After this much a frame is full and the next message begins another.
const FULL: usize = 1 << 20;

/// What all messages of a frame have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The run of the sender.
    pub from_incarnation: Incarnation,
    /// The receiver; 0 = whoever is there.
    pub to: NodeId,
    /// The sender's lineage.
    pub cluster: ClusterId,
}

impl Envelope {
    /// The envelope in which a message travels.
    #[must_use]
    pub fn of(message: &Message) -> Envelope {
        Envelope {
            from: message.from,
            from_incarnation: message.from_incarnation,
            to: message.to,
            cluster: message.cluster,
        }
    }
}

/// A frame to send: its head and control part, then the payloads of entries, which are shared with
/// the log and not copied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Header and control.
    pub head: Bytes,
    /// The data part, in order.
    pub data: Vec<Bytes>,
}

impl Frame {
    /// Bytes of the whole frame.
    #[must_use]
    pub fn len(&self) -> usize {
        let data_len = self.head.get(12..16).map_or(0, |bytes| Fields::new(bytes).u32());
        self.head.len() + data_len as usize
    }

    /// Never: every frame has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The frame in one piece, which copies it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.len());
        whole.put_slice(&self.head);
        self.data.iter().for_each(|payload| whole.put_slice(payload));
        whole.freeze()
    }
}

/// A frame that was received and checked.
#[derive(Debug)]
pub struct Decoded {
    /// Who sent it to whom.
    pub envelope: Envelope,
    /// Its number on its way, for authentication to come.
    pub frame_seq: u64,
    /// Its messages; `address` is `None` in all.
    pub messages: Vec<Message>,
    /// Messages left out: of a later version, or for a group that is not here.
    pub dropped: u32,
}

/// Puts messages into one frame. All must have that envelope. A frame holds 65,535 messages; what is
/// beyond is lost, as messages may be: see `split`.
#[must_use]
pub fn encode(envelope: Envelope, messages: &[Message], frame_seq: u64) -> Frame {
    let messages = &messages[..messages.len().min(usize::from(u16::MAX))];
    let mut head =
        BytesMut::with_capacity(HEADER + messages.iter().map(encode::control_len).sum::<usize>());
    let mut data = Vec::new();
    head.put_bytes(0, HEADER);
    for message in messages {
        encode::put_message(&mut head, &mut data, message);
    }
    let header = Header {
        control_len: (head.len() - HEADER) as u32,
        data_len: data.iter().map(Bytes::len).sum::<usize>() as u32,
        messages: messages.len() as u16,
        header_len: HEADER as u16,
        protocol: PROTOCOL_MAX,
        envelope,
        frame_seq,
    };
    header.put(&mut head);
    Frame { head: head.freeze(), data }
}

/// Cuts messages for one node into runs that make frames of a good size: 1 MiB, or one message that is
/// larger.
pub fn split(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            bytes += encode::len(message);
            bytes <= FULL
        };
        let count = rest.iter().take(usize::from(u16::MAX)).take_while(fits).count();
        let (part, tail) = rest.split_at(count.max(1).min(rest.len()));
        rest = tail;
        (!part.is_empty()).then_some(part)
    })
}

/// Reads a whole frame. Payloads are slices of it.
///
/// # Errors
/// Says what is wrong with the first thing that can't be checked, or is not what it should be.
pub fn decode(frame: Bytes) -> Result<Decoded, WireError> {
    let (header, control, data) = Header::open(frame)?;
    let mut messages = Vec::with_capacity(usize::from(header.messages).min(control.len() / 24));
    let mut dropped = 0;
    let mut data = decode::Data::new(data);
    let mut control = &control[..];
    for _ in 0..header.messages {
        match decode::take_message(&header.envelope, &mut control, &mut data)? {
            Some(message) => messages.push(message),
            None => dropped += 1,
        }
    }
    if !control.is_empty() || !data.is_empty() {
        return Err(WireError::LeftOver(control.len() + data.len()));
    }
    Ok(Decoded { envelope: header.envelope, frame_seq: header.frame_seq, messages, dropped })
}

/// How long the frame is that begins with these bytes.
///
/// # Errors
/// When no frame begins so, or one that is longer than `limit`.
pub fn frame_len(head: &[u8; HEADER], limit: usize) -> Result<usize, WireError> {
    Header::read(head)?.frame_len(limit)
}

struct Header {
    control_len: u32,
    data_len: u32,
    messages: u16,
    header_len: u16,
    protocol: u16,
    envelope: Envelope,
    frame_seq: u64,
}

impl Header {
    /// Writes the header before the control part, which is there already.
    fn put(&self, head: &mut BytesMut) {
        let mut out = BytesMut::with_capacity(HEADER);
        out.put_slice(&MAGIC);
        out.put_u32_le(0);
        out.put_u32_le(self.control_len);
        out.put_u32_le(self.data_len);
        out.put_u16_le(self.protocol);
        out.put_u16_le(0);
        out.put_u16_le(self.messages);
        out.put_u16_le(self.header_len);
        out.put_u64_le(self.envelope.cluster.0);
        out.put_u64_le(self.envelope.from.0);
        out.put_u64_le(self.envelope.from_incarnation.0);
        out.put_u64_le(self.envelope.to.0);
        out.put_u64_le(self.frame_seq);
        head[..HEADER].copy_from_slice(&out);
        let crc = crc32c::crc32c(&head[8..]);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    fn read(head: &[u8; HEADER]) -> Result<Header, WireError> {
        if head[..4] != MAGIC {
            return Err(WireError::NoFrame);
        }
        let mut fields = Fields::new(&head[8..]);
        let (control_len, data_len) = (fields.u32(), fields.u32());
        let protocol = fields.u16();
        fields.skip(2);
        let (messages, header_len) = (fields.u16(), fields.u16());
        let cluster = ClusterId(fields.u64());
        let from = NodeId(fields.u64());
        let from_incarnation = Incarnation(fields.u64());
        let envelope = Envelope { cluster, from, from_incarnation, to: NodeId(fields.u64()) };
        let frame_seq = fields.u64();
        let header =
            Header { control_len, data_len, messages, header_len, protocol, envelope, frame_seq };
        if !(HEADER..=HEADER_LIMIT).contains(&usize::from(header_len)) || header_len % 8 != 0 {
            return Err(WireError::Malformed("the length of the frame header"));
        }
        Ok(header)
    }

    fn frame_len(&self, limit: usize) -> Result<usize, WireError> {
        let len =
            u64::from(self.header_len) + u64::from(self.control_len) + u64::from(self.data_len);
        let fits = usize::try_from(len).ok().filter(|len| *len <= limit);
        fits.ok_or(WireError::TooLarge { len, limit })
    }

    /// Checks a frame but for its messages, and takes it apart into header, control and data.
    fn open(mut frame: Bytes) -> Result<(Header, Bytes, Bytes), WireError> {
        let head = frame.first_chunk::<HEADER>().ok_or(WireError::Short)?;
        let header = Header::read(head)?;
        if header.frame_len(FRAME_LIMIT)? != frame.len() {
            return Err(WireError::Short);
        }
        let stored = Fields::new(&head[4..8]).u32();
        let data = frame.split_off(usize::from(header.header_len) + header.control_len as usize);
        if crc32c::crc32c(&frame[8..]) != stored {
            return Err(WireError::HeaderChecksum);
        }
        if !(PROTOCOL_MIN..=PROTOCOL_MAX).contains(&header.protocol) {
            return Err(WireError::Protocol(header.protocol));
        }
        if header.envelope.from.is_zero() {
            return Err(WireError::Malformed("a frame from nobody"));
        }
        let control = frame.split_off(usize::from(header.header_len));
        Ok((header, control, data))
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
