//! Messages as bytes: frames with a version, the lineage, checksums and room to grow.
//!
//! A frame is a header of 64 bytes, a control part with one or more messages to one node, and a data
//! part with the payloads of their entries, in order. Payloads are shared with the log on the way out
//! and are slices of the received frame on the way in; their checksums were computed where the entries
//! were made, and are checked here. What can't be checked is refused.

pub mod hello;

mod body;
mod buffer;

use crate::consensus::message::Message;
use crate::consensus::types::{ClusterId, Incarnation, NodeId, Term};
use body::{decode_body, encode_body};
use buffer::{Control, Fields, Source};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// The first bytes of every frame: "QRFR".
pub const MAGIC: u32 = u32::from_le_bytes(*b"QRFR");
/// The protocol that this version speaks.
pub const PROTOCOL: u16 = 1;
/// Bytes of a frame's header.
pub const HEADER: usize = 64;
/// Bytes of a frame at most, after the handshake.
pub const FRAME_LIMIT: usize = 8 << 20;
/// Bytes of a message before its fixed part.
const MESSAGE_HEAD: usize = 24;

/// A frame to send: its header and control part, then the payloads of entries, which are shared with
/// the log and not copied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Header and control.
    pub head: Bytes,
    /// The data part, in order.
    pub data: Vec<Bytes>,
}

impl Frame {
    /// All bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.data.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: a frame has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The frame in one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.head);
        self.data.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}

/// A frame that was received and checked.
#[derive(Debug)]
pub struct Decoded {
    /// The sender.
    pub from: NodeId,
    /// The run of it.
    pub from_incarnation: Incarnation,
    /// The receiver; 0 = whoever.
    pub to: NodeId,
    /// Its messages; `address` is `None` in all.
    pub messages: Vec<Message>,
    /// Messages of kinds or groups that this version does not know, which were left out.
    pub unknown: usize,
}

/// Why bytes are no frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WireError(pub String);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

fn refuse<T>(what: impl Into<String>) -> Result<T, WireError> {
    Err(WireError(what.into()))
}

/// The header of a frame, as far as a reader needs it to know how much to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Bytes of the control part.
    pub control: usize,
    /// Bytes of the data part.
    pub data: usize,
    header: usize,
    messages: usize,
}

impl Header {
    /// Reads the first 64 bytes of a frame of at most `limit` bytes.
    ///
    /// # Errors
    /// The magic, protocol or lengths are not those of a frame.
    pub fn parse(bytes: &[u8; HEADER], limit: usize) -> Result<Header, WireError> {
        let mut fields = Fields::new(bytes);
        if fields.u32() != MAGIC {
            return refuse("not a frame: the magic is missing");
        }
        let _crc = fields.u32();
        let (control, data) = (fields.u32() as usize, fields.u32() as usize);
        let (protocol, _flags) = (fields.u16(), fields.u16());
        let (messages, header) = (usize::from(fields.u16()), usize::from(fields.u16()));
        if protocol != PROTOCOL {
            return refuse(format!("protocol {protocol} was not agreed on"));
        }
        let whole = header.saturating_add(control).saturating_add(data);
        if header < HEADER || whole > limit {
            return refuse(format!("a frame of {whole} bytes, the limit is {limit}"));
        }
        Ok(Header { control, data, header, messages })
    }

    /// Bytes of the frame behind the first 64.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.header - HEADER + self.control + self.data
    }
}

/// Encodes messages to one node in one frame. All have the envelope of the first; there is at least
/// one.
#[must_use]
pub fn encode(messages: &[Message], frame_seq: u64) -> Frame {
    let envelope = &messages[0];
    let mut control = Control::after_header(HEADER);
    let mut data = Vec::new();
    for message in messages {
        encode_message(&mut control, &mut data, message);
    }
    let data_len: usize = data.iter().map(Bytes::len).sum();
    let mut head = control.finish();
    let control_len = head.len() - HEADER;
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_le_bytes());
    put(8, &(control_len as u32).to_le_bytes());
    put(12, &(data_len as u32).to_le_bytes());
    put(16, &PROTOCOL.to_le_bytes());
    put(20, &(messages.len() as u16).to_le_bytes());
    put(22, &(HEADER as u16).to_le_bytes());
    put(24, &envelope.cluster.0.to_le_bytes());
    put(32, &envelope.from.0.to_le_bytes());
    put(40, &envelope.from_incarnation.0.to_le_bytes());
    put(48, &envelope.to.0.to_le_bytes());
    put(56, &frame_seq.to_le_bytes());
    let crc = crc32c::crc32c(&head[8..]);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    Frame { head: head.freeze(), data }
}

/// `type u16 | fixed_len u16 | ext_len u32 | group u64 | term u64 | fixed | TLVs`
fn encode_message(control: &mut Control, data: &mut Vec<Bytes>, message: &Message) {
    let start = control.len();
    control.u16(0);
    control.u16(0);
    control.u32(0);
    control.u64(0); // the group
    control.u64(message.term.0);
    let (kind, fixed) = encode_body(control, data, &message.body);
    let ext = control.len() - start - MESSAGE_HEAD - fixed;
    control.patch(start, &kind.to_le_bytes());
    control.patch(start + 2, &(fixed as u16).to_le_bytes());
    control.patch(start + 4, &(ext as u32).to_le_bytes());
}

/// Decodes a whole frame, checking every checksum.
///
/// # Errors
/// What is wrong with it. Nothing of such a frame is used.
pub fn decode(frame: Bytes, limit: usize) -> Result<Decoded, WireError> {
    let Some(first) = frame.first_chunk::<HEADER>() else {
        return refuse(format!("{} bytes are no frame", frame.len()));
    };
    let header = Header::parse(first, limit)?;
    if frame.len() != HEADER + header.rest() {
        return refuse("the frame is longer or shorter than its header says");
    }
    let head_len = header.header + header.control;
    let mut fields = Fields::new(&frame[4..HEADER]);
    if fields.u32() != crc32c::crc32c(&frame[8..head_len]) {
        return refuse("the checksum of header and control does not hold");
    }
    let mut envelope = Fields::new(&frame[24..HEADER]);
    let (cluster, from) = (ClusterId(envelope.u64()), NodeId(envelope.u64()));
    let (from_incarnation, to) = (Incarnation(envelope.u64()), NodeId(envelope.u64()));
    let mut source =
        Source { control: frame.slice(header.header..head_len), data: frame.slice(head_len..) };
    let mut decoded = Decoded { from, from_incarnation, to, messages: Vec::new(), unknown: 0 };
    for _ in 0..header.messages {
        match decode_message(&mut source)? {
            None => decoded.unknown += 1,
            Some((term, body)) => decoded.messages.push(Message {
                from,
                from_incarnation,
                to,
                address: None,
                cluster,
                term,
                body,
            }),
        }
    }
    if source.control.is_empty() && (source.data.is_empty() || decoded.unknown > 0) {
        return Ok(decoded);
    }
    refuse("the frame holds more than its messages")
}

/// One message; `None` for a kind or a group that this version does not know.
fn decode_message(
    source: &mut Source,
) -> Result<Option<(Term, crate::consensus::message::Body)>, WireError> {
    let head = source.take(MESSAGE_HEAD)?;
    let mut fields = Fields::new(&head);
    let (kind, fixed_len) = (fields.u16(), usize::from(fields.u16()));
    let (ext_len, group, term) = (fields.u32() as usize, fields.u64(), Term(fields.u64()));
    let fixed = source.take(fixed_len)?;
    let tlvs = buffer::tlvs(source.take(ext_len)?)?;
    if group != 0 {
        source.data = Bytes::new(); // Where the data of the next message begins is not known.
        return Ok(None);
    }
    let body = decode_body(kind, &mut Fields::new(&fixed), &tlvs, &mut source.data)?;
    Ok(body.map(|body| (term, body)))
}

#[cfg(test)]
mod tests;
