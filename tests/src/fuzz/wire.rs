//! Frames, handshakes, packets and what is in them: refused, or read back as it was; never for more memory
//! than the bytes are worth, because whoever sends them has proved nothing yet.

use super::input::Input;
use super::{message, meter, repair};
use bytes::Bytes;
use quorate_engine::codec::{
    STATE_BYTES, decode_payload, decode_state, encode_payload, encode_state,
};
use quorate_engine::consensus::types::{ClusterId, Incarnation, NodeId};
use quorate_engine::transport::custom;
use quorate_engine::transport::wire::hello::{Code, HELLO_HEAD, Hello, Kind};
use quorate_engine::transport::wire::{self, Decoded, WireError};

/// Magic numbers, tags, limits.
pub const WORDS: &[&[u8]] = &[
    b"QRFR",
    b"QRHI",
    b"\x01\0\0\0",
    b"\x02\0\0\0",
    b"\x03\0\0\0\x03\0\0\0a:1\0\0\0\0\0",
    b"\x04\0\0\0",
    b"\0\x80\0\0",
    b"\x40\0",
    b"\0\0\x80\0",
    b"\xff\xff\xff\xff",
    b"\xf0\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x3f",
    b"\0\0\0\0\0\0\0\x40",
];

/// What a decoder may take: of the densest messages each has 24 bytes, and becomes some 200.
fn budget(bytes: usize) -> usize {
    24 * bytes + 1024
}

/// Decodes within the budget.
///
/// # Errors
/// As `wire::decode`.
pub fn read(frame: &Bytes) -> Result<Decoded, WireError> {
    meter::within(budget(frame.len()), || wire::decode(frame.clone()))
}

/// Decodes; what can be decoded is encoded and decoded again, and is the same.
pub fn check(frame: Bytes) {
    let Ok(first) = read(&frame) else { return };
    let again = wire::encode(first.envelope, &first.messages, first.frame_seq).to_bytes();
    let second = wire::decode(again).expect("what was read can be sent and read again");
    assert_eq!((second.envelope, second.frame_seq), (first.envelope, first.frame_seq));
    assert!(second.messages == first.messages, "{:?}\n{:?}", first.messages, second.messages);
    assert_eq!(second.dropped, 0);
}

/// A frame as it comes, and with its checksums put right.
pub fn frame(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk() {
        let len = wire::frame_len(head, wire::FRAME_LIMIT);
        assert!(len.is_err() || len.is_ok_and(|len| (64..=wire::FRAME_LIMIT).contains(&len)));
    }
    check(Bytes::copy_from_slice(bytes));
    let mut repaired = bytes.to_vec();
    repair::frame(&mut repaired);
    check(Bytes::from(repaired.clone()));
    repair::frame_lengths(&mut repaired);
    repair::frame(&mut repaired);
    check(Bytes::from(repaired));
}

/// One frame of each kind.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    message::frames()
}

/// A handshake as it comes, and with length and checksum put right.
pub fn hello(bytes: &[u8]) {
    check_hello(bytes);
    let mut repaired = bytes.to_vec();
    repair::hello(&mut repaired);
    check_hello(&repaired);
}

fn check_hello(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<HELLO_HEAD>() {
        let len = Hello::len(head).unwrap_or(64);
        assert!((64..=64 << 10).contains(&len), "nobody waits for {len} bytes of a handshake");
    }
    let Ok(first) = meter::within(budget(bytes.len()), || Hello::decode(bytes)) else { return };
    let second = Hello::decode(&first.encode()).expect("what was read can be sent and read again");
    assert_eq!(second, first);
}

/// The three of them, with all that they can say.
#[must_use]
pub fn hellos() -> Vec<Vec<u8>> {
    let kinds =
        [Kind::Hello, Kind::Welcome, Kind::Refuse(Code::Superseded), Kind::Refuse(Code::Busy)];
    let full = |kind| Hello {
        cluster: ClusterId(0x44),
        from: NodeId(0x11),
        incarnation: Incarnation(2 << 40 | 0x22),
        to: NodeId(0x33),
        superseded_by: Incarnation(3 << 40 | 1),
        address: "a:1".to_owned(),
        text: "a newer run is alive".to_owned(),
        ..Hello::new(kind)
    };
    let bare = |kind| Hello { from: NodeId(1), ..Hello::new(kind) };
    let all = kinds.into_iter().flat_map(|kind| [full(kind), bare(kind)]);
    all.map(|hello| hello.encode().to_vec()).collect()
}

/// A packet of a host's own network, as it comes and with its checksums put right.
pub fn packet(bytes: &[u8]) {
    check_packet(bytes);
    let mut repaired = bytes.to_vec();
    repair::packet(&mut repaired);
    check_packet(&repaired);
}

/// A packet is good exactly if its address and its frame are.
fn check_packet(bytes: &[u8]) {
    let limit = budget(bytes.len()) + bytes.len() + 1024;
    let kind = meter::within(limit, || custom::kind(bytes));
    let end = 6 + usize::from(repair::u16_at(bytes, 4));
    let good = bytes.len() >= end
        && crc32c::crc32c(&bytes[4..end]) == repair::u32_at(bytes, 0)
        && std::str::from_utf8(&bytes[6..end]).is_ok()
        && wire::decode(Bytes::copy_from_slice(&bytes[end..])).is_ok();
    assert_eq!(kind.is_ok(), good, "{kind:?}");
}

/// Each kind of frame behind an address.
#[must_use]
pub fn packets() -> Vec<Vec<u8>> {
    let pack = |frame: Vec<u8>| {
        let mut packet = [&[0, 0, 0, 0, 3, 0][..], b"a:1", &frame].concat();
        repair::packet(&mut packet);
        packet
    };
    frames().into_iter().map(pack).collect()
}

/// An entry as it stands in logs and frames.
pub fn payload(bytes: &[u8]) {
    let entry = Bytes::copy_from_slice(bytes);
    let crc = crc32c::crc32c(bytes);
    let Some(first) = meter::within(budget(bytes.len()), || decode_payload(entry, crc)) else {
        return;
    };
    let (again, crc) = encode_payload(&first);
    assert_eq!(crc, crc32c::crc32c(&again));
    assert_eq!(decode_payload(again, crc), Some(first), "what was read is read again");
}

/// Payloads of each kind.
#[must_use]
pub fn payloads() -> Vec<Vec<u8>> {
    let seed = |first: u8| (0..80u8).map(|n| n.wrapping_mul(37).wrapping_add(first)).collect();
    let inputs: Vec<Vec<u8>> = (0..12).map(seed).collect();
    let make =
        |input: &Vec<u8>| encode_payload(&message::payload(&mut Input::new(input))).0.to_vec();
    inputs.iter().map(make).collect()
}

/// The engine's durable state.
pub fn state(bytes: &[u8]) {
    let Some(first) = decode_state(bytes) else { return };
    assert_eq!(decode_state(&encode_state(&first)), Some(first));
}

/// States with and without what is rare.
#[must_use]
pub fn states() -> Vec<Vec<u8>> {
    let numbered: Vec<u8> = (0..14u64).flat_map(|field| (field + 1).to_le_bytes()).collect();
    vec![vec![0; STATE_BYTES], numbered]
}
