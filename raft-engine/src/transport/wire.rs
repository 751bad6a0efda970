//! Messages as bytes: frames with a version, the lineage, checksums and room to grow.

use crate::consensus::message::Message;
use bytes::Bytes;

/// A frame to send: its head and control part, then the payloads of entries, which are shared with
/// the log and not copied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Header and control.
    pub head: Bytes,
    /// The data part, in order.
    pub data: Vec<Bytes>,
}

/// A frame that was received and checked.
#[derive(Debug)]
pub struct Decoded {
    /// Its messages; `address` is `None` in all.
    pub messages: Vec<Message>,
}
