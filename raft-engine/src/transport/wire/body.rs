//! Each message's number, fixed part and fields. Numbers are for ever: 1–9 identity, 10–19 protocol,
//! 20–29 forwarding and changes, 40–49 reads.

use super::buffer::{Control, Fields, check_critical, field, text};
use super::{WireError, refuse};
use crate::codec;
use crate::consensus::command::{Command, Entry};
use crate::consensus::message::{
    Accepted, AppendEntries, AppendEntriesResponse, AppendVerdict, Body, Change, ChangeRequest,
    ChangeResponse, Forward, ForwardResponse, Identify, Identity, Join, JoinRefused, NotJoined,
    NotMember, ReadIndex, ReadIndexResponse, RequestVote, RequestVoteResponse, Standing,
    Superseded,
};
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{Address, ClusterId, EntryId, Incarnation, Index, NodeId, Term};
use bytes::Bytes;

/// A run of entries of one term: `first u64 | term u64 | count u32 | 0 u32 | (len u32 | crc u32)…`.
const RUN: u16 = 1;
/// UTF-8.
const ADDRESS: u16 = 2;
/// `reason u16 | text`.
const REFUSAL: u16 = 3;
/// `(len u32 | crc u32)…`
const COMMANDS: u16 = 4;
const KNOWN: [u16; 4] = [RUN, ADDRESS, REFUSAL, COMMANDS];

type Tlvs = [(u16, Bytes)];

/// Writes fixed part and fields. The message's number, and the bytes of the fixed part.
pub fn encode_body(control: &mut Control, data: &mut Vec<Bytes>, body: &Body) -> (u16, usize) {
    let start = control.len();
    let mut fixed = |fields: &[u64]| {
        fields.iter().for_each(|field| control.u64(*field));
        control.len() - start
    };
    match body {
        Body::Identify(b) => (1, fixed(&[b.nonce])),
        Body::Identity(b) => {
            let standing = standing_number(b.standing);
            let (node, run) = (b.node.0, b.incarnation.0);
            (2, fixed(&[b.nonce, node, run, b.cluster.0, standing, b.last_index.0]))
        }
        Body::NotJoined(b) => (3, fixed(&[standing_number(b.standing)])),
        Body::Join(b) => (4, fixed(&[b.for_incarnation.0, b.number])),
        Body::JoinRefused(b) => {
            let len = fixed(&[b.number]);
            put_refusal(control, &b.refusal);
            (5, len)
        }
        Body::NotMember(b) => (6, fixed(&[b.number])),
        Body::Superseded(b) => (7, fixed(&[b.by.0])),
        Body::AppendEntries(b) => {
            let len = fixed(&[
                b.prev.index.0,
                b.prev.term.0,
                b.commit.0,
                b.round,
                b.repair_for.0,
                b.repair_to.0,
            ]);
            put_entries(control, data, &b.entries);
            (10, len)
        }
        Body::AppendEntriesResponse(b) => (11, fixed(&append_response_fields(b))),
        Body::RequestVote(b) => {
            let flags = u64::from(b.pre) | u64::from(b.transfer) << 1;
            (12, fixed(&[b.last.index.0, b.last.term.0, b.round, b.number, flags]))
        }
        Body::RequestVoteResponse(b) => {
            (13, fixed(&[b.round, u64::from(b.pre) | u64::from(b.granted) << 1]))
        }
        Body::TimeoutNow => (14, 0),
        Body::Forward(b) => {
            let len = fixed(&[b.first]);
            put_commands(control, data, &b.commands);
            (20, len)
        }
        Body::ForwardResponse(b) => (21, put_forward_response(control, b)),
        Body::ChangeRequest(b) => (22, put_change(control, b)),
        Body::ChangeResponse(b) => {
            let accepted = b.result.as_ref().ok().map_or((0, 0), |a| (a.node.0, a.number));
            let len = fixed(&[b.id, accepted.0, accepted.1]);
            if let Err(refusal) = &b.result {
                put_refusal(control, refusal);
            }
            (23, len)
        }
        Body::ReadIndex(b) => (40, fixed(&[b.batch])),
        Body::ReadIndexResponse(b) => (41, fixed(&[b.batch, b.index.0])),
    }
}

/// Reads a message of that number. `None` for a number that this version does not know.
pub fn decode_body(
    kind: u16,
    f: &mut Fields<'_>,
    tlvs: &Tlvs,
    data: &mut Bytes,
) -> Result<Option<Body>, WireError> {
    check_critical(tlvs, &KNOWN)?;
    let body = match kind {
        1 => Body::Identify(Identify { nonce: f.u64() }),
        2 => Body::Identity(Identity {
            nonce: f.u64(),
            node: NodeId(f.u64()),
            incarnation: Incarnation(f.u64()),
            cluster: ClusterId(f.u64()),
            standing: standing(f.u64())?,
            last_index: Index(f.u64()),
        }),
        3 => Body::NotJoined(NotJoined { standing: standing(f.u64())? }),
        4 => Body::Join(Join { for_incarnation: Incarnation(f.u64()), number: f.u64() }),
        5 => Body::JoinRefused(JoinRefused { number: f.u64(), refusal: need_refusal(tlvs)? }),
        6 => Body::NotMember(NotMember { number: f.u64() }),
        7 => Body::Superseded(Superseded { by: Incarnation(f.u64()) }),
        10 => Body::AppendEntries(append_entries(f, tlvs, data)?),
        11 => Body::AppendEntriesResponse(append_response(f)?),
        12 => Body::RequestVote(request_vote(f)),
        13 => Body::RequestVoteResponse(request_vote_response(f)),
        14 => Body::TimeoutNow,
        20 => Body::Forward(Forward { first: f.u64(), commands: commands(tlvs, data)? }),
        21 => Body::ForwardResponse(forward_response(f, tlvs)?),
        22 => Body::ChangeRequest(change(f, tlvs)?),
        23 => {
            let (id, node, number) = (f.u64(), NodeId(f.u64()), f.u64());
            let result = refusal(tlvs)?.map_or(Ok(Accepted { node, number }), Err);
            Body::ChangeResponse(ChangeResponse { id, result })
        }
        40 => Body::ReadIndex(ReadIndex { batch: f.u64() }),
        41 => Body::ReadIndexResponse(ReadIndexResponse { batch: f.u64(), index: Index(f.u64()) }),
        _ => return Ok(None),
    };
    Ok(Some(body))
}

fn standing_number(standing: Standing) -> u64 {
    match standing {
        Standing::Fresh => 0,
        Standing::HasData => 1,
        Standing::Member => 2,
        Standing::Joining => 3,
        Standing::Former => 4,
        Standing::FormerWithData => 5,
    }
}

fn standing(number: u64) -> Result<Standing, WireError> {
    Ok(match number {
        0 => Standing::Fresh,
        1 => Standing::HasData,
        2 => Standing::Member,
        3 => Standing::Joining,
        4 => Standing::Former,
        5 => Standing::FormerWithData,
        _ => return refuse(format!("standing {number} is not known")),
    })
}

fn put_refusal(control: &mut Control, refusal: &Refusal) {
    control.tlv(REFUSAL, |c| {
        c.u16(refusal.reason as u16);
        c.bytes(refusal.text.as_bytes());
    });
}

fn refusal(tlvs: &Tlvs) -> Result<Option<Refusal>, WireError> {
    let Some(bytes) = field(tlvs, REFUSAL) else { return Ok(None) };
    let mut fields = Fields::new(bytes);
    let number = fields.u16();
    let Some(reason) = Reason::from_number(number) else {
        return refuse(format!("reason {number} is not known"));
    };
    Ok(Some(Refusal { reason, text: String::from_utf8_lossy(fields.rest()).into_owned() }))
}

fn need_refusal(tlvs: &Tlvs) -> Result<Refusal, WireError> {
    refusal(tlvs)?.map_or_else(|| refuse("a refusal without a reason"), Ok)
}

fn put_entries(control: &mut Control, data: &mut Vec<Bytes>, entries: &[Entry]) {
    for run in entries.chunk_by(|a, b| a.term == b.term) {
        control.tlv(RUN, |c| {
            c.u64(run[0].index.0);
            c.u64(run[0].term.0);
            c.u32(run.len() as u32);
            c.u32(0);
            for entry in run {
                let (payload, crc) = codec::encode_payload(&entry.payload);
                c.u32(payload.len() as u32);
                c.u32(crc);
                data.push(payload);
            }
        });
    }
}

fn append_entries(
    f: &mut Fields<'_>,
    tlvs: &Tlvs,
    data: &mut Bytes,
) -> Result<AppendEntries, WireError> {
    let prev = EntryId::new(Index(f.u64()), Term(f.u64()));
    let mut append = AppendEntries {
        prev,
        entries: Vec::new(),
        commit: Index(f.u64()),
        round: f.u64(),
        repair_for: Incarnation(f.u64()),
        repair_to: Index(f.u64()),
    };
    let mut last = prev;
    for (_, run) in tlvs.iter().filter(|(tag, _)| *tag == RUN) {
        let mut fields = Fields::new(run);
        let (first, term, count) = (fields.u64(), Term(fields.u64()), fields.u32() as usize);
        let _ = fields.u32();
        let follows = last.index.0.checked_add(1) == Some(first) && term >= last.term;
        if !follows || fields.rest().len() != count * 8 || first.checked_add(count as u64).is_none()
        {
            return refuse(format!("entries from {first} of term {term} do not follow {last}"));
        }
        append.entries.reserve(count);
        for i in 0..count as u64 {
            let (payload, crc) = take_payload(&mut fields, data)?;
            let Some(payload) = codec::decode_payload(payload, crc) else {
                return refuse(format!("entry {} is malformed", first + i));
            };
            append.entries.push(Entry { index: Index(first + i), term, payload });
        }
        last = EntryId::new(Index(last.index.0 + count as u64), term);
    }
    Ok(append)
}

/// The next payload of the data part, its checksum checked.
fn take_payload(fields: &mut Fields<'_>, data: &mut Bytes) -> Result<(Bytes, u32), WireError> {
    let (len, crc) = (fields.u32() as usize, fields.u32());
    if len > data.len() {
        return refuse("a payload is longer than the data part");
    }
    let payload = data.split_to(len);
    if crc32c::crc32c(&payload) != crc {
        return refuse("the checksum of a payload does not hold");
    }
    Ok((payload, crc))
}

fn put_commands(control: &mut Control, data: &mut Vec<Bytes>, commands: &[Command]) {
    control.tlv(COMMANDS, |c| {
        for command in commands {
            c.u32(command.encoded().len() as u32);
            c.u32(command.crc());
            data.push(command.encoded().clone());
        }
    });
}

fn commands(tlvs: &Tlvs, data: &mut Bytes) -> Result<Vec<Command>, WireError> {
    let list = field(tlvs, COMMANDS).map_or(&[][..], |bytes| bytes);
    if !list.len().is_multiple_of(8) {
        return refuse("a list of proposals is malformed");
    }
    let mut fields = Fields::new(list);
    let mut all = Vec::with_capacity(list.len() / 8);
    for _ in 0..list.len() / 8 {
        let (payload, crc) = take_payload(&mut fields, data)?;
        let Some(command) = Command::from_encoded(payload, crc) else {
            return refuse("a forwarded proposal is malformed");
        };
        all.push(command);
    }
    Ok(all)
}

fn append_response_fields(b: &AppendEntriesResponse) -> [u64; 7] {
    let verdict = match b.verdict {
        AppendVerdict::Matched => 0,
        AppendVerdict::Mismatch => 1,
        AppendVerdict::StaleTerm => 2,
        AppendVerdict::Busy => 3,
        AppendVerdict::DiskFull => 4,
    };
    let flags = u64::from(b.abstaining);
    let (hint, last) = (b.hint, b.last_index.0);
    [verdict, b.matched.0, last, hint.index.0, hint.term.0, b.round, flags]
}

fn append_response(f: &mut Fields<'_>) -> Result<AppendEntriesResponse, WireError> {
    let number = f.u64();
    let verdict = match number {
        0 => AppendVerdict::Matched,
        1 => AppendVerdict::Mismatch,
        2 => AppendVerdict::StaleTerm,
        3 => AppendVerdict::Busy,
        4 => AppendVerdict::DiskFull,
        _ => return refuse(format!("verdict {number} is not known")),
    };
    Ok(AppendEntriesResponse {
        verdict,
        matched: Index(f.u64()),
        last_index: Index(f.u64()),
        hint: EntryId::new(Index(f.u64()), Term(f.u64())),
        round: f.u64(),
        abstaining: f.u64() & 1 != 0,
    })
}

fn request_vote(f: &mut Fields<'_>) -> RequestVote {
    let last = EntryId::new(Index(f.u64()), Term(f.u64()));
    let (round, number, flags) = (f.u64(), f.u64(), f.u64());
    RequestVote { last, round, number, pre: flags & 1 != 0, transfer: flags & 2 != 0 }
}

fn request_vote_response(f: &mut Fields<'_>) -> RequestVoteResponse {
    let (round, flags) = (f.u64(), f.u64());
    RequestVoteResponse { round, pre: flags & 1 != 0, granted: flags & 2 != 0 }
}

/// `kind (0 appended, 1 refused, 2 expected) | first | count | index`
fn put_forward_response(control: &mut Control, b: &ForwardResponse) -> usize {
    let start = control.len();
    let fields = match b {
        ForwardResponse::Appended { first, count, index } => [0, *first, *count, index.0],
        ForwardResponse::Refused { first, count, .. } => [1, *first, *count, 0],
        ForwardResponse::Expected { next } => [2, *next, 0, 0],
    };
    fields.iter().for_each(|field| control.u64(*field));
    let len = control.len() - start;
    if let ForwardResponse::Refused { refusal, .. } = b {
        put_refusal(control, refusal);
    }
    len
}

fn forward_response(f: &mut Fields<'_>, tlvs: &Tlvs) -> Result<ForwardResponse, WireError> {
    let (kind, first, count, index) = (f.u64(), f.u64(), f.u64(), Index(f.u64()));
    Ok(match kind {
        0 => ForwardResponse::Appended { first, count, index },
        1 => ForwardResponse::Refused { first, count, refusal: need_refusal(tlvs)? },
        2 => ForwardResponse::Expected { next: first },
        _ => return refuse(format!("answer {kind} to a proposal is not known")),
    })
}

/// `id | kind (1 add, 2 remove) | node`, and the address.
fn put_change(control: &mut Control, b: &ChangeRequest) -> usize {
    let start = control.len();
    let (kind, node, address) = match &b.change {
        Change::Initialize(address) => (0, 0, Some(address)),
        Change::Add(address) => (1, 0, Some(address)),
        Change::Remove(node) => (2, node.0, None),
    };
    [b.id, kind, node].iter().for_each(|field| control.u64(*field));
    let len = control.len() - start;
    if let Some(address) = address {
        control.tlv(ADDRESS, |c| c.bytes(address.as_bytes()));
    }
    len
}

fn change(f: &mut Fields<'_>, tlvs: &Tlvs) -> Result<ChangeRequest, WireError> {
    let (id, kind, node) = (f.u64(), f.u64(), NodeId(f.u64()));
    let address = || text(tlvs, ADDRESS).map(Address::from);
    let change = match kind {
        0 => Change::Initialize(address()?),
        1 => Change::Add(address()?),
        2 => Change::Remove(node),
        _ => return refuse(format!("change {kind} is not known")),
    };
    Ok(ChangeRequest { id, change })
}
