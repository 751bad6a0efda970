//! The bytes stay what they are, everything survives its encoding, and no input does harm.

use super::hello::{Code, Hello, Kind};
use super::samples::{self, command, message};
use super::*;
use crate::codec::encode_payload;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::message::{AppendEntries, Body, Forward};
use crate::consensus::types::{EntryId, Index, Term};
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn frame_of(messages: &[Message]) -> Bytes {
    encode(Envelope::of(&messages[0]), messages, 77).to_bytes()
}

fn hellos() -> Vec<(&'static str, Hello)> {
    let hello = Hello {
        cluster: ClusterId(0x44),
        from: NodeId(0x11),
        incarnation: Incarnation(2 << 40 | 0x22),
        to: NodeId(0x33),
        address: "a:1".to_owned(),
        ..Hello::new(Kind::Hello)
    };
    let back = Hello { from: NodeId(0x33), to: NodeId(0x11), ..hello.clone() };
    let refuse = Hello {
        kind: Kind::Refuse(Code::Superseded),
        superseded_by: Incarnation(3 << 40 | 1),
        text: "a newer run is alive".to_owned(),
        ..back.clone()
    };
    vec![("hello", hello), ("welcome", Hello { kind: Kind::Welcome, ..back }), ("refuse", refuse)]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The vectors as they are now: a line `name hex` each.
fn vectors() -> Vec<(String, String)> {
    let hellos = hellos().into_iter().map(|(name, hello)| (name, hello.encode()));
    let frames = samples::all().into_iter().map(|(name, m)| (name, frame_of(&[m])));
    hellos.chain(frames).map(|(name, bytes)| (name.to_owned(), hex(&bytes))).collect()
}

#[test]
fn bytes_are_those_of_the_golden_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/wire/golden.txt");
    let now: String = vectors().iter().map(|(name, hex)| format!("{name} {hex}\n")).collect();
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(path, &now).expect("the vectors can be written");
    }
    let golden = std::fs::read_to_string(path).expect("the vectors are there");
    for (line, expected) in now.lines().zip(golden.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(now.lines().count(), golden.lines().count());
}

/// The page that draws the formats shows these very bytes.
#[test]
fn the_docs_quote_the_golden_vectors() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    let read = |name| std::fs::read_to_string(format!("{docs}{name}")).unwrap_or_default();
    let text = read("formats-wire.md") + &read("formats.md");
    let bytes: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for (name, hex) in vectors() {
        assert!(bytes.contains(&hex), "docs do not show {name}: {hex}");
    }
}

#[test]
fn every_message_survives_its_encoding() {
    let all: Vec<_> = samples::all().into_iter().map(|(_, m)| m).collect();
    for message in &all {
        let decoded = decode(frame_of(std::slice::from_ref(message))).expect("it is valid");
        assert_eq!(decoded.messages, std::slice::from_ref(message));
        assert_eq!((decoded.envelope, decoded.frame_seq), (Envelope::of(message), 77));
    }
    let together = decode(frame_of(&all)).expect("it is valid");
    assert_eq!((together.messages, together.dropped), (all, 0));
    for (_, hello) in hellos() {
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }
}

#[test]
fn payloads_are_not_copied() {
    let body = Body::Forward(Forward { first: 0, commands: vec![command(&[7; 5000])] });
    let Body::Forward(sent) = &body else { unreachable!() };
    let payload = sent.commands[0].encoded().as_ptr();
    let frame = encode(Envelope::of(&message(body.clone())), &[message(body)], 0);
    assert_eq!(frame.data[0].as_ptr(), payload);
    let whole = frame.to_bytes();
    let range = whole.as_ptr_range();
    let decoded = decode(whole.clone()).expect("it is valid");
    let Body::Forward(back) = &decoded.messages[0].body else { unreachable!() };
    assert!(range.contains(&back.commands[0].encoded().as_ptr()));
}

/// Writes the checksum of header and control again after a change.
fn reseal(frame: &mut [u8]) {
    let control = u32::from_le_bytes(frame[8..12].try_into().expect("4 bytes")) as usize;
    let end = (HEADER + control).min(frame.len());
    let crc = crc32c::crc32c(&frame[8..end]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn patched(message: &Message, at: usize, bytes: &[u8]) -> Result<Decoded, WireError> {
    let mut frame = frame_of(std::slice::from_ref(message)).to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    reseal(&mut frame);
    decode(Bytes::from(frame))
}

fn sample(name: &str) -> Message {
    let all: BTreeMap<_, _> = samples::all().into_iter().collect();
    all[name].clone()
}

/// A longer fixed part and unknown TLVs are passed over; a shorter fixed part ends in zeroes.
#[test]
fn messages_of_later_and_earlier_versions_are_read() {
    let grow = |cut: usize, fixed: &[u8], ext: &[u8]| {
        let mut frame = frame_of(&[sample("read_index_response"), sample("forward")]).to_vec();
        let fixed_end = HEADER + 24 + 16;
        let added = [fixed, ext].concat();
        frame.splice(fixed_end - cut..fixed_end, added.iter().copied());
        frame[HEADER + 2] = (16 - cut + fixed.len()) as u8;
        frame[HEADER + 4] = ext.len() as u8;
        let control = u32::from_le_bytes(frame[8..12].try_into().expect("4 bytes")) as usize;
        let control = (control + added.len() - cut) as u32;
        frame[8..12].copy_from_slice(&control.to_le_bytes());
        reseal(&mut frame);
        decode(Bytes::from(frame)).expect("it is valid")
    };
    let both = [sample("read_index_response"), sample("forward")];
    assert_eq!(grow(0, &[9; 8], &[]).messages, both);
    let unknown = [9, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0];
    assert_eq!(grow(0, &[], &unknown).messages, both);
    let short = grow(8, &[], &[]).messages;
    assert!(matches!(&short[0].body, Body::ReadIndexResponse(r) if r.index.is_zero()));
    assert_eq!(short[1], both[1]);
    let mut must_know = unknown;
    must_know[1] = 0x80;
    let refused = grow(0, &[], &must_know);
    assert_eq!((refused.messages, refused.dropped), (vec![both[1].clone()], 1));
}

/// What is left out leaves the payloads of the next message where they are.
#[test]
fn unknown_messages_and_groups_are_dropped_and_counted() {
    for (at, value) in [(HEADER, 99), (HEADER + 8, 1)] {
        let mut frame = frame_of(&[sample("append_entries"), sample("forward")]).to_vec();
        frame[at] = value;
        reseal(&mut frame);
        let decoded = decode(Bytes::from(frame)).expect("it is valid");
        assert_eq!((decoded.messages, decoded.dropped), (vec![sample("forward")], 1));
    }
    let unknown_verdict = patched(&sample("append_entries_response"), HEADER + 24, &[99]);
    assert_eq!(unknown_verdict.expect("it is valid").dropped, 1);
}

fn append(prev: (u64, u64), entries: &[(u64, u64)]) -> Message {
    let entry = |&(index, term): &(u64, u64)| Entry {
        index: Index(index),
        term: Term(term),
        payload: Payload::Noop,
    };
    message(Body::AppendEntries(AppendEntries {
        prev: EntryId::new(Index(prev.0), Term(prev.1)),
        entries: entries.iter().map(entry).collect(),
        commit: Index(0),
        round: 0,
        repair_for: Incarnation(0),
        repair_to: Index(0),
    }))
}

// known bug: B18 | LogCabin #160: packing by size left an entry out | entries of a message follow one another,
// which is checked before they are sent and again when they are read
#[test]
fn entries_that_do_not_follow_one_another_are_refused() {
    let bad = [
        append((5, 3), &[(7, 3)]),
        append((5, 3), &[(5, 3)]),
        append((5, 3), &[(6, 2)]),
        append((5, 3), &[(6, 4), (7, 3)]),
        append((5, 3), &[(6, 3), (8, 3)]),
        append((5, 3), &[(6, 10)]), // a leader has no entries above its term, which is 9
    ];
    for message in bad {
        let refused = decode(frame_of(&[message])).expect_err("it is not contiguous");
        assert!(matches!(refused, WireError::NotContiguous { .. }), "{refused}");
    }
    let good = append((5, 3), &[(6, 3), (7, 4), (8, 4), (9, 9)]);
    let good = std::slice::from_ref(&good);
    assert_eq!(decode(frame_of(good)).expect("it is").messages, good);
}

#[test]
fn what_can_not_be_checked_is_refused_with_a_reason() {
    let m = sample("append_entries");
    let good = frame_of(std::slice::from_ref(&m));
    let refuse = |bytes: &[u8]| decode(Bytes::copy_from_slice(bytes)).expect_err("it is bad");
    let flip = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        refuse(&bytes)
    };
    assert_eq!(refuse(b""), WireError::Short);
    assert_eq!(refuse(&good[..good.len() - 1]), WireError::Short);
    assert_eq!(refuse(&[&good[..], &[0]].concat()), WireError::Short);
    assert_eq!(flip(0), WireError::NoFrame);
    assert_eq!(flip(30), WireError::HeaderChecksum);
    assert_eq!(flip(HEADER + 40), WireError::HeaderChecksum);
    assert_eq!(flip(good.len() - 1), WireError::PayloadChecksum);
    assert!(matches!(flip(11), WireError::TooLarge { .. }));
    assert_eq!(patched(&m, 16, &[2, 0]).err(), Some(WireError::Protocol(2)));
    assert_eq!(patched(&m, 20, &[0]).err(), Some(WireError::LeftOver(good.len() - HEADER)));
    let nobody = patched(&m, 32, &[0; 8]).err();
    assert_eq!(nobody, Some(WireError::Malformed("a frame from nobody")));
    let endless = patched(&m, HEADER + 24 + 16, &[0xff; 8]).err();
    assert_eq!(endless, Some(WireError::Malformed("a number out of all reason")));
    let mut hello = hellos()[0].1.encode().to_vec();
    hello[60] ^= 1;
    assert_eq!(Hello::decode(&hello), Err(WireError::HeaderChecksum));
}

#[test]
fn a_payload_that_is_none_and_a_reserved_forward_are_refused() {
    let empty = Bytes::from_static(&[0; 3]);
    let fake = Payload::Command(command(b"x"));
    let (real, _) = encode_payload(&fake);
    let mut frame = encode(Envelope::of(&sample("forward")), &[sample("forward")], 0);
    assert_eq!(frame.data[0], real);
    frame.data[0] = empty.clone();
    let slot = HEADER + 24 + 8 + 8 + 8;
    let mut head = frame.head.to_vec();
    let data_len = (frame.data[1].len() + empty.len()) as u32;
    head[12..16].copy_from_slice(&data_len.to_le_bytes());
    head[slot..slot + 4].copy_from_slice(&3u32.to_le_bytes());
    head[slot + 4..slot + 8].copy_from_slice(&crc32c::crc32c(&empty).to_le_bytes());
    reseal(&mut head);
    frame.head = Bytes::from(head);
    let refused = decode(frame.to_bytes()).expect_err("three bytes are no payload");
    assert_eq!(refused, WireError::Malformed("a forwarded proposal"));
    let (noop, crc) = encode_payload(&Payload::Noop);
    let reserved = crate::consensus::command::Command::from_encoded(noop, crc);
    let commands = vec![reserved.expect("a no-op is well-formed")];
    let forged = message(Body::Forward(Forward { first: 0, commands }));
    let refused = decode(frame_of(&[forged])).expect_err("its type is the engine's own");
    assert_eq!(refused, WireError::Malformed("a forwarded proposal"));
}

#[test]
fn messages_are_split_into_frames_of_a_good_size() {
    let large = |n: u64| {
        let commands = vec![command(&vec![7; 400 << 10])];
        message(Body::Forward(Forward { first: n, commands }))
    };
    let messages: Vec<_> = (0..7).map(large).collect();
    let lens: Vec<_> = split(&messages).map(<[_]>::len).collect();
    assert_eq!(lens, [2, 2, 2, 1]);
    let small = vec![sample("timeout_now"); 70_000];
    assert_eq!(split(&small).map(<[_]>::len).sum::<usize>(), 70_000);
    for part in split(&small) {
        assert!(frame_of(part).len() <= FULL);
    }
    assert_eq!(split(&[]).count(), 0);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(7) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            2 => bytes.truncate(at.max(1)),
            3 => bytes.insert(at, self.next() as u8),
            4 => {
                let end = (at + 8).min(bytes.len());
                bytes.splice(at..end, self.next().to_le_bytes());
            }
            5 => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill([0, 0xff][self.below(2)]);
            }
            _ => {
                let from = self.below(bytes.len());
                let end = (from + self.below(64)).min(bytes.len());
                let piece = bytes[from..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Makes the control part as long as the frame leaves room for.
fn fix_lengths(frame: &mut [u8], fix: bool) {
    let data = u32::from_le_bytes(frame[12..16].try_into().expect("4 bytes")) as usize;
    if let Some(control) = (frame.len() - HEADER).checked_sub(data).filter(|_| fix) {
        frame[8..12].copy_from_slice(&(control as u32).to_le_bytes());
    }
}

/// Whatever arrives: no panic, and what is taken is something that could have been sent.
#[test]
fn no_input_does_harm() {
    let samples: Vec<_> = samples::all().into_iter().map(|(_, m)| m).collect();
    let (mut random, mut taken, mut refused) = (Random(2026), 0, 0);
    for round in 0..40_000 {
        let n = 1 + random.below(3);
        let messages: Vec<_> =
            (0..n).map(|_| samples[random.below(samples.len())].clone()).collect();
        let mut frame = frame_of(&messages).to_vec();
        for _ in 0..=random.below(3) {
            random.mutate(&mut frame);
        }
        if round % 4 != 0 && frame.len() >= HEADER {
            fix_lengths(&mut frame, round % 2 == 0);
            reseal(&mut frame);
        }
        match decode(Bytes::from(frame)) {
            Ok(decoded) if decoded.messages.is_empty() => taken += 1,
            Ok(decoded) => {
                let again = decode(frame_of(&decoded.messages)).expect("it was taken before");
                assert_eq!(again.messages, decoded.messages, "round {round}");
                taken += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(taken > 2_000 && refused > 2_000, "taken {taken}, refused {refused}");
}

#[test]
fn no_handshake_does_harm() {
    let (mut random, mut taken) = (Random(7), 0);
    for _ in 0..20_000 {
        let mut bytes = hellos()[random.below(3)].1.encode().to_vec();
        random.mutate(&mut bytes);
        if bytes.len() >= 12 {
            let len = (bytes.len() as u32).to_le_bytes();
            bytes[8..12].copy_from_slice(&len);
            let crc = crc32c::crc32c(&bytes[8..]).to_le_bytes();
            bytes[4..8].copy_from_slice(&crc);
        }
        taken += usize::from(Hello::decode(&bytes).is_ok());
    }
    assert!(taken > 1_000, "{taken}");
}
