//! A network of the host's own: it carries packets of bytes, whole and unaltered, or loses them. What
//! arrives is handed over with `Service::deliver`.
//!
//! A packet is a frame behind the address of its sender, `crc u32 | len u16 | address | frame`, so that
//! a node can answer whom it does not know yet. The checksum covers what the frame's own do not: length
//! and address. A node talks to itself without the network.

use super::wire::{self, Decoded, Frame};
use super::{Inbound, LocalIdentity, Sink, Transport};
use crate::consensus::message::Body;
use crate::consensus::types::NodeId;
use crate::error::{Error, ErrorKind};
use crate::os;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Senders whose addresses are remembered; beyond, the one with the lowest id is forgotten.
const REMEMBERED: usize = 1024;
/// Bytes before the address.
const HEAD: usize = 6;
/// The longest packet.
pub const PACKET_LIMIT: usize = wire::FRAME_LIMIT + HEAD + u16::MAX as usize;

/// Carries packets. Called from quorate-loop; must not wait for the network.
pub trait Carrier: Send {
    /// Sends a packet to the node at `address`. `to` is 0 while only the address is known. An error:
    /// it was not sent, and the node counts as unreachable for now. A panic is one. What waits for the
    /// service is refused in here.
    fn send(&mut self, to: NodeId, address: &str, packet: Bytes) -> Result<(), String>;
}

/// What a packet is about, for hosts that treat them differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum PacketKind {
    /// Several things, or something else.
    Other = 0,
    /// Entries or heartbeats, or answers to them.
    Append = 1,
    /// Votes and pre-votes asked for or given, or the request to campaign at once.
    RequestVote = 2,
    /// A node is asked who it is or to become a member, or answers.
    Join = 3,
}

/// Where senders can be answered.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    addresses: Mutex<BTreeMap<NodeId, String>>,
}

impl Routes {
    fn learn(&self, node: NodeId, address: &str) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.get(&node).is_none_or(|known| known != address) {
            addresses.insert(node, address.to_owned());
        }
        if addresses.len() > REMEMBERED {
            addresses.pop_first();
        }
    }

    fn address(&self, node: NodeId) -> Option<String> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Reads a packet that has arrived.
    ///
    /// # Errors
    /// `TooLarge`, or `Invalid` with what is wrong.
    pub(crate) fn arrived(&self, packet: Bytes) -> Result<Decoded, Error> {
        let (address, frame) = open(packet)?;
        let decoded = decode(frame)?;
        if !address.is_empty() {
            self.learn(decoded.envelope.from, &address);
        }
        Ok(decoded)
    }
}

/// A host's network behind the engine's port.
pub(crate) struct Custom {
    carrier: Box<dyn Carrier>,
    routes: Arc<Routes>,
    start: Option<(Arc<LocalIdentity>, Sink)>,
}

impl Custom {
    /// Nothing is sent yet.
    pub(crate) fn new(carrier: Box<dyn Carrier>, routes: Arc<Routes>) -> Custom {
        Custom { carrier, routes, start: None }
    }
}

impl Transport for Custom {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        self.start = Some((identity, sink));
        Ok(None)
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: Frame) {
        let Some((identity, sink)) = &self.start else { return };
        let own = identity.address();
        let address = address.map(str::to_owned).or_else(|| self.routes.address(to));
        if to == identity.node {
            if let Ok(frame) = wire::decode(frame.to_bytes()) {
                sink(Inbound::Frame(frame));
            }
            return;
        }
        let Some(address) = address.filter(|address| !address.is_empty()) else { return };
        let packet = packet(&own, &frame);
        let sent = os::callback(|| self.carrier.send(to, &address, packet)).unwrap_or_else(Err);
        if let Err(text) = sent {
            sink(Inbound::Unreachable { address, text });
        }
    }

    fn stop(&mut self) {
        self.start = None;
    }
}

fn packet(own: &str, frame: &Frame) -> Bytes {
    let own = if own.len() <= usize::from(u16::MAX) { own } else { "" };
    let len = own.len() as u16;
    let mut packet = BytesMut::with_capacity(HEAD + own.len() + frame.len());
    packet.put_u32_le(checksum(len, own.as_bytes()));
    packet.put_u16_le(len);
    packet.put_slice(own.as_bytes());
    packet.put_slice(&frame.head);
    frame.data.iter().for_each(|payload| packet.put_slice(payload));
    packet.freeze()
}

fn checksum(len: u16, address: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), address)
}

/// The sender's address and the frame.
fn open(mut packet: Bytes) -> Result<(String, Bytes), Error> {
    if packet.len() > PACKET_LIMIT {
        let text = format!("a packet of {} bytes: {PACKET_LIMIT} are allowed", packet.len());
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    if packet.len() < HEAD {
        return Err(malformed("it is shorter than any packet"));
    }
    let (crc, len) = (packet.get_u32_le(), packet.get_u16_le());
    if packet.len() < usize::from(len) {
        return Err(malformed("it is shorter than it says"));
    }
    let frame = packet.split_off(usize::from(len));
    if checksum(len, &packet) != crc {
        return Err(malformed("the address of its sender is damaged"));
    }
    match std::str::from_utf8(&packet) {
        Ok(address) => Ok((address.to_owned(), frame)),
        Err(_) => Err(malformed("the address of its sender is not text")),
    }
}

fn decode(frame: Bytes) -> Result<Decoded, Error> {
    wire::decode(frame).map_err(|error| malformed(&error.to_string()))
}

fn malformed(what: &str) -> Error {
    let text = format!(
        "this is no packet that a node of quorate sent, or it was altered on its way: {what}; it was \
         dropped"
    );
    Error::new(ErrorKind::Invalid, text)
}

/// What a packet is about.
///
/// # Errors
/// `Invalid` or `TooLarge` when it is none.
pub fn kind(packet: &[u8]) -> Result<PacketKind, Error> {
    let (_, frame) = open(Bytes::copy_from_slice(packet))?;
    Ok(kind_of(&decode(frame)?))
}

/// What a frame is about.
pub(crate) fn kind_of(frame: &Decoded) -> PacketKind {
    let mut kinds = frame.messages.iter().map(|message| match message.body {
        Body::AppendEntries(_) | Body::AppendEntriesResponse(_) => PacketKind::Append,
        Body::RequestVote(_) | Body::RequestVoteResponse(_) | Body::TimeoutNow => {
            PacketKind::RequestVote
        }
        Body::Identify(_)
        | Body::Identity(_)
        | Body::NotJoined(_)
        | Body::Join(_)
        | Body::JoinRefused(_) => PacketKind::Join,
        _ => PacketKind::Other,
    });
    let first = kinds.next().unwrap_or(PacketKind::Other);
    if kinds.all(|kind| kind == first) { first } else { PacketKind::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::message::{Identify, Message};
    use crate::consensus::types::{ClusterId, Incarnation, Term};
    use crate::transport::wire::Envelope;

    fn frame(bodies: Vec<Body>) -> Frame {
        let envelope = Envelope {
            from: NodeId(1),
            from_incarnation: Incarnation(1 << 40),
            to: NodeId(2),
            cluster: ClusterId(3),
        };
        let message = |body| Message {
            from: NodeId(1),
            from_incarnation: Incarnation(1 << 40),
            to: NodeId(2),
            address: None,
            cluster: ClusterId(3),
            term: Term(4),
            body,
        };
        let messages: Vec<Message> = bodies.into_iter().map(message).collect();
        wire::encode(envelope, &messages, 1)
    }

    fn identify() -> Body {
        Body::Identify(Identify { nonce: 9 })
    }

    #[test]
    fn a_packet_brings_the_frame_and_tells_where_to_answer() {
        let packet = packet("far away", &frame(vec![identify()]));
        assert_eq!(kind(&packet), Ok(PacketKind::Join));
        let routes = Routes::default();
        let arrived = routes.arrived(packet).expect("it is whole");
        assert_eq!(arrived.messages.len(), 1);
        assert_eq!(routes.address(NodeId(1)).as_deref(), Some("far away"));
        assert_eq!(routes.address(NodeId(2)), None);
    }

    #[test]
    fn a_packet_that_was_altered_is_refused_wherever_it_was() {
        let packet = packet("here", &frame(vec![identify(), Body::TimeoutNow]));
        assert_eq!(kind(&packet), Ok(PacketKind::Other), "it is about two things");
        for at in 0..packet.len() {
            let mut altered = packet.to_vec();
            altered[at] ^= 0x41;
            let error = Routes::default().arrived(altered.into()).expect_err("it is altered");
            assert_eq!(error.kind, ErrorKind::Invalid, "byte {at}: {error}");
        }
        for len in 0..packet.len() {
            Routes::default().arrived(packet.slice(..len)).expect_err("the end is missing");
        }
        let huge = Bytes::from(vec![0; PACKET_LIMIT + 1]);
        assert_eq!(open(huge).map_err(|e| e.kind), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn only_so_many_senders_are_remembered() {
        let routes = Routes::default();
        (0..5_000).for_each(|node| routes.learn(NodeId(node), "somewhere"));
        let known = routes.addresses.lock().expect("no panic").len();
        assert_eq!(known, REMEMBERED);
    }
}
