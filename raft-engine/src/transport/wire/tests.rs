//! Every message there and back, golden bytes, and bytes that are no frame.

use super::hello::{Hello, Kind, RefuseCode};
use super::*;
use crate::change::NewEntry;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::membership::Membership;
use crate::consensus::message::*;
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{Address, EntryId, Index, Origin};
use std::sync::Arc;

fn command(seq: u64) -> crate::consensus::command::Command {
    let origin = Origin { node: NodeId(1), seq };
    let new = NewEntry { tags: &[b"tag"], data: b"some data", ..NewEntry::default() };
    new.encode(origin, 1000).expect("it is small")
}

fn entries() -> Vec<Entry> {
    let membership = Membership::standalone(ClusterId(9), NodeId(1));
    let payloads = [
        Payload::Command(command(1)),
        Payload::Membership(Arc::new(membership)),
        Payload::Noop,
        Payload::Command(command(2)),
    ];
    let entry =
        |(i, payload)| Entry { index: Index(5 + i as u64), term: Term(2 + i as u64 / 2), payload };
    payloads.into_iter().enumerate().map(entry).collect()
}

fn bodies() -> Vec<Body> {
    let refusal = || Refusal::new(Reason::Busy, "too much under way");
    let prev = EntryId::new(Index(4), Term(2));
    let change = |change| Body::ChangeRequest(ChangeRequest { id: 6, change });
    vec![
        Body::Identify(Identify { nonce: 1 }),
        Body::Identity(Identity {
            nonce: 1,
            node: NodeId(2),
            incarnation: Incarnation(3),
            cluster: ClusterId(4),
            standing: Standing::Former,
            last_index: Index(5),
        }),
        Body::NotJoined(NotJoined { standing: Standing::Fresh }),
        Body::Join(Join { for_incarnation: Incarnation(7), number: 8 }),
        Body::JoinRefused(JoinRefused { number: 8, refusal: refusal() }),
        Body::NotMember(NotMember { number: 9 }),
        Body::Superseded(Superseded { by: Incarnation(10) }),
        Body::AppendEntries(AppendEntries {
            prev,
            entries: entries(),
            commit: Index(3),
            round: 11,
            repair_for: Incarnation(12),
            repair_to: Index(13),
        }),
        Body::AppendEntriesResponse(AppendEntriesResponse {
            verdict: AppendVerdict::Mismatch,
            matched: Index(1),
            last_index: Index(2),
            hint: prev,
            round: 3,
            abstaining: true,
        }),
        Body::RequestVote(RequestVote {
            last: prev,
            round: 1,
            number: 2,
            pre: true,
            transfer: false,
        }),
        Body::RequestVoteResponse(RequestVoteResponse { round: 1, pre: false, granted: true }),
        Body::TimeoutNow,
        Body::Forward(Forward { first: 3, commands: vec![command(1), command(2)] }),
        Body::ForwardResponse(ForwardResponse::Appended { first: 1, count: 2, index: Index(3) }),
        Body::ForwardResponse(ForwardResponse::Refused { first: 1, count: 2, refusal: refusal() }),
        Body::ForwardResponse(ForwardResponse::Expected { next: 4 }),
        change(Change::Add(Address::from("a:1"))),
        change(Change::Remove(NodeId(5))),
        Body::ChangeResponse(ChangeResponse {
            id: 6,
            result: Ok(Accepted { node: NodeId(5), number: 7 }),
        }),
        Body::ChangeResponse(ChangeResponse { id: 6, result: Err(refusal()) }),
        Body::ReadIndex(ReadIndex { batch: 1 }),
        Body::ReadIndexResponse(ReadIndexResponse { batch: 1, index: Index(2) }),
    ]
}

fn message(body: Body) -> Message {
    Message {
        from: NodeId(1),
        from_incarnation: Incarnation(1 << 40 | 7),
        to: NodeId(2),
        address: None,
        cluster: ClusterId(9),
        term: Term(3),
        body,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn every_message_survives_its_frame() {
    let messages: Vec<Message> = bodies().into_iter().map(message).collect();
    for one in &messages {
        let frame = encode(std::slice::from_ref(one), 1).to_bytes();
        let decoded = decode(frame, FRAME_LIMIT).expect("it was just encoded");
        assert_eq!(decoded.messages, std::slice::from_ref(one));
    }
    let frame = encode(&messages, 1).to_bytes();
    assert_eq!(decode(frame, FRAME_LIMIT).expect("it was just encoded").messages, messages);
}

#[test]
fn payloads_are_shared_and_not_copied() {
    let command = command(1);
    let at = command.encoded().as_ptr();
    let entry = Entry { index: Index(1), term: Term(1), payload: Payload::Command(command) };
    let body = Body::AppendEntries(AppendEntries {
        prev: EntryId::ZERO,
        entries: vec![entry],
        commit: Index(0),
        round: 0,
        repair_for: Incarnation(0),
        repair_to: Index(0),
    });
    let frame = encode(&[message(body)], 1);
    assert_eq!(frame.data[0].as_ptr(), at, "out: the bytes of the log");
    let whole = frame.to_bytes();
    let range = whole.as_ptr_range();
    let decoded = decode(whole.clone(), FRAME_LIMIT).expect("it was just encoded");
    let Body::AppendEntries(append) = &decoded.messages[0].body else { panic!("an append") };
    let Payload::Command(command) = &append.entries[0].payload else { panic!("a command") };
    assert!(range.contains(&command.encoded().as_ptr()), "in: a slice of the frame");
}

#[test]
fn a_heartbeat_keeps_its_golden_bytes() {
    let body = Body::RequestVote(RequestVote {
        last: EntryId::new(Index(4), Term(2)),
        round: 11,
        number: 1,
        pre: true,
        transfer: false,
    });
    let frame = encode(&[message(body)], 5).to_bytes();
    let golden = concat!(
        "51524652",
        "CRC_CRC_",
        "40000000",
        "00000000",
        "01000000",
        "01004000",
        "0900000000000000",
        "0100000000000000",
        "0700000000010000",
        "0200000000000000",
        "0500000000000000",
        "0c002800",
        "00000000",
        "0000000000000000",
        "0300000000000000",
        "0400000000000000",
        "0200000000000000",
        "0b00000000000000",
        "0100000000000000",
        "0100000000000000",
    );
    let crc = hex(&crc32c::crc32c(&frame[8..]).to_le_bytes());
    assert_eq!(hex(&frame), golden.replace("CRC_CRC_", &crc));
}

#[test]
fn no_byte_can_change() {
    let whole = encode(&bodies().into_iter().map(message).collect::<Vec<_>>(), 1).to_bytes();
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert!(decode(Bytes::from(bytes), FRAME_LIMIT).is_err(), "byte {at}");
    }
    for len in 0..whole.len() {
        assert!(decode(whole.slice(..len), FRAME_LIMIT).is_err(), "only {len} bytes");
    }
}

/// Checksums keep chance away, not malice: with them right, no bytes may do harm.
#[test]
fn bytes_with_a_right_checksum_do_no_harm() {
    let whole = encode(&bodies().into_iter().map(message).collect::<Vec<_>>(), 1).to_bytes();
    let control = u32::from_le_bytes(whole[8..12].try_into().expect("4 bytes")) as usize;
    let mut random = 1_u64;
    let mut draw = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..20_000 {
        let mut bytes = whole.to_vec();
        for _ in 0..1 + draw() % 4 {
            let at = 8 + (draw() as usize) % (56 + control);
            bytes[at] = draw() as u8;
        }
        let head = HEADER + control;
        let crc = crc32c::crc32c(&bytes[8..head]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        let _ = decode(Bytes::from(bytes), FRAME_LIMIT);
    }
}

#[test]
fn what_a_later_version_adds_is_skipped_or_refused() {
    let mut control = Control::after_header(0);
    for (kind, fixed, critical) in [(40_u16, 16_u16, false), (999, 8, false), (40, 8, true)] {
        control.u16(kind);
        control.u16(fixed);
        control.u32(if critical { 16 } else { 0 });
        control.u64(0);
        control.u64(3);
        (0..fixed / 8).for_each(|_| control.u64(7));
        if critical {
            control.tlv(1 << 15 | 77, |c| c.u64(1));
        }
    }
    let bytes = control.finish().freeze();
    let mut source = Source { control: bytes, data: Bytes::new() };
    let longer = decode_message(&mut source).expect("a longer fixed part is fine");
    assert_eq!(longer, Some((Term(3), Body::ReadIndex(ReadIndex { batch: 7 }))));
    assert_eq!(decode_message(&mut source).expect("an unknown kind is left out"), None);
    assert!(decode_message(&mut source).is_err(), "a critical field that is not known");
}

#[test]
fn a_handshake_survives_and_every_flaw_shows() {
    let hello = Hello {
        kind: Kind::Refuse(RefuseCode::OtherCluster),
        lane: 0,
        cluster: ClusterId(1),
        from: NodeId(2),
        to: NodeId(3),
        incarnation: Incarnation(4),
        nonce: [5; 32],
        frame_limit: 6 << 20,
        address: "127.0.0.1:7001".to_owned(),
        text: "no".to_owned(),
    };
    let bytes = hello.encode();
    assert_eq!(Hello::decode(&bytes), Ok(hello.clone()));
    let golden = concat!(
        "51524849",
        "CRC_CRC_",
        "b0000000",
        "0300",
        "0000",
        "0100",
        "0100",
        "0000",
        "0000",
        "0100000000000000",
        "0200000000000000",
        "0300000000000000",
        "0400000000000000",
    );
    let crc = hex(&crc32c::crc32c(&bytes[8..]).to_le_bytes());
    assert_eq!(hex(&bytes[..56]), golden.replace("CRC_CRC_", &crc));
    for at in 0..bytes.len() {
        let mut flawed = bytes.to_vec();
        flawed[at] ^= 4;
        assert!(Hello::decode(&Bytes::from(flawed)).is_err(), "byte {at}");
    }
}
