//! Entries and durable state as bytes: what is not on a hot path goes through bincode here and nowhere
//! else, in frozen versions.
//!
//! `{kind u16, version u16, len u32, bytes}`: fixed-width integers, no maps, a limit, trailing bytes
//! refused. bincode is not self-describing, so a field that is added or moved makes a new version.

use crate::consensus::command::{Command, Entry, Payload, kind};
use crate::consensus::membership::{Learner, Member, Membership};
use crate::consensus::ready::{Former, HardState};
use crate::consensus::types::{Address, ClusterId, EntryId, Incarnation, Index, NodeId, Term};
use crate::storage::Record;
use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The most that a bincode body may take.
const BODY_LIMIT: u64 = 1 << 20;

/// Kinds of bodies. Numbers are for ever.
const MEMBERSHIP: u16 = 1;

#[derive(Serialize, Deserialize)]
struct MemberV1 {
    id: u64,
    address: String,
}

#[derive(Serialize, Deserialize)]
struct LearnerV1 {
    id: u64,
    address: String,
    promote: bool,
}

#[derive(Serialize, Deserialize)]
struct MembershipV1 {
    cluster: u64,
    number: u64,
    #[serde(deserialize_with = "list")]
    voters: Vec<MemberV1>,
    #[serde(deserialize_with = "list")]
    outgoing: Vec<MemberV1>,
    #[serde(deserialize_with = "list")]
    learners: Vec<LearnerV1>,
}

/// Reads a list for as much memory as there are members. serde's own reserves up to 1 MiB for what the
/// length in front of a list says, and a stranger may say anything.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = from.next_element()? {
            all.push(one);
        }
        Ok(all)
    }
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(BODY_LIMIT)
        .reject_trailing_bytes()
}

fn put_body<T: Serialize>(out: &mut BytesMut, kind: u16, version: u16, body: &T) {
    let bytes = options().serialize(body).expect("a body is far below its limit");
    out.put_u16_le(kind);
    out.put_u16_le(version);
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(&bytes);
}

fn take_body<'a, T: Deserialize<'a>>(bytes: &'a [u8], kind: u16, version: u16) -> Option<T> {
    let (head, body) = bytes.split_first_chunk::<8>()?;
    let [k0, k1, v0, v1, l0, l1, l2, l3] = *head;
    let fits = u16::from_le_bytes([k0, k1]) == kind
        && u16::from_le_bytes([v0, v1]) == version
        && u32::from_le_bytes([l0, l1, l2, l3]) as usize == body.len();
    if fits { options().deserialize(body).ok() } else { None }
}

fn header(kind: i32) -> BytesMut {
    let mut out = BytesMut::zeroed(Command::HEADER);
    out[..4].copy_from_slice(&kind.to_le_bytes());
    out
}

/// The encoded form of a payload and its CRC32C. The same bytes on every node.
#[must_use]
pub fn encode_payload(payload: &Payload) -> (Bytes, u32) {
    let bytes = match payload {
        Payload::Command(command) => return (command.encoded().clone(), command.crc()),
        Payload::Noop => header(kind::NOOP).freeze(),
        Payload::Membership(membership) => {
            let mut out = header(kind::MEMBERSHIP);
            put_body(&mut out, MEMBERSHIP, 1, &membership_v1(membership));
            out.freeze()
        }
    };
    let crc = crc32c::crc32c(&bytes);
    (bytes, crc)
}

/// Reads a payload whose checksum is `crc`, which is believed. `None` when it is no payload.
#[must_use]
pub fn decode_payload(bytes: Bytes, crc: u32) -> Option<Payload> {
    let command = Command::from_encoded(bytes, crc)?;
    match command.kind() {
        kind::NOOP => Some(Payload::Noop),
        kind::MEMBERSHIP => {
            let body: MembershipV1 = take_body(command.data(), MEMBERSHIP, 1)?;
            Some(Payload::Membership(Arc::new(membership(body))))
        }
        _ => Some(Payload::Command(command)),
    }
}

/// An entry as a store keeps it.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Record {
    let (payload, crc) = encode_payload(&entry.payload);
    Record { index: entry.index, term: entry.term, crc, payload }
}

/// Likewise, of an entry that is not needed any more: a command's bytes are handed on.
#[must_use]
pub fn into_record(entry: Entry) -> Record {
    let Entry { index, term, payload } = entry;
    match payload {
        Payload::Command(command) => {
            let (payload, crc) = command.into_encoded();
            Record { index, term, crc, payload }
        }
        payload => encode_entry(&Entry { index, term, payload }),
    }
}

/// An entry as it was stored. `None` when the record holds none.
#[must_use]
pub fn decode_entry(record: Record) -> Option<Entry> {
    let payload = decode_payload(record.payload, record.crc)?;
    Some(Entry { index: record.index, term: record.term, payload })
}

fn membership_v1(m: &Membership) -> MembershipV1 {
    let members = |all: &[Member]| {
        all.iter().map(|m| MemberV1 { id: m.id.0, address: m.address.to_string() }).collect()
    };
    let learner = |l: &Learner| LearnerV1 {
        id: l.member.id.0,
        address: l.member.address.to_string(),
        promote: l.promote,
    };
    MembershipV1 {
        cluster: m.cluster.0,
        number: m.number,
        voters: members(&m.voters),
        outgoing: members(&m.outgoing),
        learners: m.learners.iter().map(learner).collect(),
    }
}

fn membership(body: MembershipV1) -> Membership {
    let member = |id, address: String| Member { id: NodeId(id), address: Address::from(address) };
    let members = |all: Vec<MemberV1>| all.into_iter().map(|m| member(m.id, m.address)).collect();
    let learner = |l: LearnerV1| Learner { member: member(l.id, l.address), promote: l.promote };
    Membership {
        cluster: ClusterId(body.cluster),
        number: body.number,
        voters: members(body.voters),
        outgoing: members(body.outgoing),
        learners: body.learners.into_iter().map(learner).collect(),
    }
}

/// Bytes of an encoded hard state. They stand at 24..136 of a block of the state file.
pub const STATE_BYTES: usize = 112;

const ABSTAIN: u32 = 1;
const CUT_PENDING: u32 = 2;
const JOINING: u32 = 4;
const CLOSED: u32 = 8;
const HAS_PEERS: u32 = 16;

/// The engine's durable state:
/// `directory | node | lineage | term | vote | incarnation | flags u32 | 0 u32 | cut_to | number_floor |
/// former {lineage, term, vote, left_index, left_term}`, u64 where nothing is said.
#[must_use]
pub fn encode_state(state: &HardState) -> [u8; STATE_BYTES] {
    let flags = [
        (state.abstaining, ABSTAIN),
        (state.cut_pending, CUT_PENDING),
        (state.joining, JOINING),
        (state.closed, CLOSED),
        (state.has_peers, HAS_PEERS),
    ];
    let flags =
        flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | u64::from(*flag));
    let former = state.former.clone().unwrap_or_default();
    let fields = [
        state.directory,
        state.node.0,
        state.lineage.0,
        state.term.0,
        state.voted_for.0,
        state.incarnation.0,
        flags,
        state.cut_to.0,
        state.number_floor,
        former.lineage.0,
        former.term.0,
        former.voted_for.0,
        former.left_at.index.0,
        former.left_at.term.0,
    ];
    let mut out = [0; STATE_BYTES];
    for (slot, field) in out.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    out
}

/// Reads a durable state. `None` when the bytes are none, or have flags of a later version.
#[must_use]
pub fn decode_state(bytes: &[u8]) -> Option<HardState> {
    let bytes: &[u8; STATE_BYTES] = bytes.try_into().ok()?;
    let field = |at: usize| {
        u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("14 fields of 8 bytes"))
    };
    let flags = u32::try_from(field(6)).ok()?;
    if flags & !(ABSTAIN | CUT_PENDING | JOINING | CLOSED | HAS_PEERS) != 0 {
        return None;
    }
    let former = Former {
        lineage: ClusterId(field(9)),
        term: Term(field(10)),
        voted_for: NodeId(field(11)),
        left_at: EntryId::new(Index(field(12)), Term(field(13))),
    };
    Some(HardState {
        directory: field(0),
        node: NodeId(field(1)),
        lineage: ClusterId(field(2)),
        term: Term(field(3)),
        voted_for: NodeId(field(4)),
        incarnation: Incarnation(field(5)),
        abstaining: flags & ABSTAIN != 0,
        cut_pending: flags & CUT_PENDING != 0,
        joining: flags & JOINING != 0,
        closed: flags & CLOSED != 0,
        has_peers: flags & HAS_PEERS != 0,
        cut_to: Index(field(7)),
        number_floor: field(8),
        former: (!former.lineage.is_zero()).then_some(former),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_membership_keeps_its_golden_bytes() {
        let member = |id, address: &str| Member { id: NodeId(id), address: Address::from(address) };
        let membership = Membership {
            cluster: ClusterId(7),
            number: 2,
            voters: vec![member(1, "a:1")],
            outgoing: vec![],
            learners: vec![Learner { member: member(2, "b:2"), promote: true }],
        };
        let (bytes, crc) = encode_payload(&Payload::Membership(Arc::new(membership.clone())));
        let golden = concat!(
            "ffffffff00000000000000000000000000000000000000000000000000000000",
            "010001004f000000070000000000000002000000000000000100000000000000",
            "01000000000000000300000000000000613a3100000000000000000100000000",
            "00000002000000000000000300000000000000623a3201",
        );
        assert_eq!(hex(&bytes), golden);
        let back = decode_payload(bytes.clone(), crc);
        assert_eq!(back, Some(Payload::Membership(Arc::new(membership))));
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(decode_payload(Bytes::from(longer), crc), None, "trailing bytes are refused");
    }

    #[test]
    fn a_state_survives_its_encoding() {
        let former = Former {
            lineage: ClusterId(8),
            term: Term(9),
            voted_for: NodeId(10),
            left_at: EntryId::new(Index(11), Term(12)),
        };
        let state = HardState {
            directory: 1,
            node: NodeId(2),
            lineage: ClusterId(3),
            term: Term(4),
            voted_for: NodeId(5),
            incarnation: Incarnation(6 << 40 | 1),
            abstaining: true,
            cut_pending: false,
            joining: true,
            closed: true,
            has_peers: true,
            cut_to: Index(7),
            number_floor: 13,
            former: Some(former),
        };
        assert_eq!(decode_state(&encode_state(&state)), Some(state));
        assert_eq!(decode_state(&[0; 3]), None);
    }
}
