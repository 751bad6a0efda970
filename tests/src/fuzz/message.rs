//! Each kind of message: made of any numbers, texts and entries that it may hold, sent, and read back as
//! it was; then with changed bytes under checksums that fit, where it is refused or reads back the same.

use super::input::Input;
use super::{repair, wire};
use bytes::Bytes;
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::{Command, Entry, Payload};
use quorate_engine::consensus::membership::{Learner, Member, Membership};
use quorate_engine::consensus::message::*;
use quorate_engine::consensus::refusal::{Reason, Refusal};
use quorate_engine::consensus::types::{
    Address, ClusterId, EntryId, Incarnation, Index, NodeId, Origin, Term,
};
use quorate_engine::transport::wire::{Envelope, encode};
use std::sync::Arc;

/// The kinds, in the order of `body`.
pub const NAMES: [&str; 18] = [
    "identify",
    "identity",
    "not_joined",
    "join",
    "join_refused",
    "not_member",
    "superseded",
    "append_entries",
    "append_entries_response",
    "request_vote",
    "request_vote_response",
    "timeout_now",
    "forward",
    "forward_response",
    "change_request",
    "change_response",
    "read_index",
    "read_index_response",
];

/// One message of the kind, and what else may be in its place.
pub fn run<const KIND: usize>(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let message = message(&mut input, KIND);
    let frame = encode(Envelope::of(&message), std::slice::from_ref(&message), 7).to_bytes();
    let decoded = wire::read(&frame).expect("what was made is read");
    assert!(decoded.messages == [message], "it is another message: {:?}", decoded.messages);
    let mut changed = frame.to_vec();
    while !input.is_empty() {
        change(&mut changed, &mut input);
    }
    repair::frame_lengths(&mut changed);
    repair::frame(&mut changed);
    wire::check(Bytes::from(changed));
}

/// Changes a number somewhere, or takes bytes out, or puts some in.
fn change(frame: &mut Vec<u8>, input: &mut Input<'_>) {
    let at = 20 + usize::from(input.u16()) % (frame.len() - 20);
    match input.below(4) {
        0 => frame[at] ^= input.u8(),
        1 => {
            let number = input.u64().to_le_bytes();
            let end = frame.len().min(at + 8);
            frame[at..end].copy_from_slice(&number[..end - at]);
        }
        2 => {
            let end = frame.len().min(at + 8 * input.below(8));
            frame.drain(at.max(64).min(end)..end);
        }
        _ => {
            let piece = input.piece().to_vec();
            frame.splice(at..at, piece);
        }
    }
}

/// Inputs that make full and empty messages.
#[must_use]
pub fn seeds<const KIND: usize>() -> Vec<Vec<u8>> {
    let mut dice = crate::simulated_fs::Dice(KIND as u64);
    let random = |len: usize| (0..len).map(|_| dice.roll() as u8).collect();
    let mut seeds: Vec<Vec<u8>> = [40, 60, 90, 130, 200, 300].map(random).into();
    seeds.extend([vec![], vec![0xff; 64], vec![1; 100], vec![2; 200]]);
    seeds
}

fn number(input: &mut Input<'_>) -> u64 {
    input.u64() >> 3
}

fn index(input: &mut Input<'_>) -> Index {
    Index(number(input))
}

fn entry_id(input: &mut Input<'_>) -> EntryId {
    let index = index(input);
    EntryId::new(index, Term(number(input)))
}

fn address(input: &mut Input<'_>) -> Address {
    let text = input.text();
    Address::from(text.get(..text.len().min(500)).unwrap_or("half a character"))
}

fn message(input: &mut Input<'_>, kind: usize) -> Message {
    let from = NodeId(input.u64().max(1));
    let mut term = Term(number(input));
    let body = body(input, kind, &mut term);
    let (from_incarnation, to) = (Incarnation(input.u64()), NodeId(input.u64()));
    let cluster = ClusterId(input.u64());
    Message { from, from_incarnation, to, address: None, cluster, term, body }
}

/// `term` is that of the message, which entries may raise.
fn body(input: &mut Input<'_>, kind: usize, term: &mut Term) -> Body {
    match kind {
        0 => Body::Identify(Identify { nonce: input.u64() }),
        1 => identity(input),
        2 => Body::NotJoined(NotJoined { standing: standing(input) }),
        3 => {
            let for_incarnation = Incarnation(input.u64());
            Body::Join(Join { for_incarnation, number: number(input) })
        }
        4 => {
            let number = number(input);
            Body::JoinRefused(JoinRefused { number, refusal: refusal(input) })
        }
        5 => Body::NotMember(NotMember { number: number(input) }),
        6 => Body::Superseded(Superseded { by: Incarnation(input.u64()) }),
        7 => append(input, term),
        8 => response(input),
        9 => vote(input),
        10 => {
            let (round, pre, granted) = (input.u64(), input.flag(), input.flag());
            Body::RequestVoteResponse(RequestVoteResponse { round, pre, granted })
        }
        11 => Body::TimeoutNow,
        12 => forward(input),
        13 => Body::ForwardResponse(forwarded(input)),
        14 => change_request(input),
        15 => Body::ChangeResponse(change_response(input)),
        16 => Body::ReadIndex(ReadIndex { batch: input.u64() }),
        _ => {
            let batch = input.u64();
            Body::ReadIndexResponse(ReadIndexResponse { batch, index: index(input) })
        }
    }
}

fn standing(input: &mut Input<'_>) -> Standing {
    use Standing::*;
    input.one_of(&[Fresh, HasData, Member, Joining, Former, FormerWithData])
}

fn identity(input: &mut Input<'_>) -> Body {
    Body::Identity(Identity {
        nonce: input.u64(),
        node: NodeId(input.u64()),
        incarnation: Incarnation(input.u64()),
        cluster: ClusterId(input.u64()),
        standing: standing(input),
        last_index: index(input),
    })
}

fn refusal(input: &mut Input<'_>) -> Refusal {
    let reason = Reason::from_number(1 + input.below(14) as u16).unwrap_or(Reason::Invalid);
    Refusal::new(reason, input.text())
}

fn append(input: &mut Input<'_>, term: &mut Term) -> Body {
    let prev = EntryId::new(Index(number(input)), Term(number(input)));
    let mut entries = Vec::new();
    let (mut at, mut entry_term) = (prev.index, prev.term);
    for _ in 0..input.below(6) {
        at = at.next();
        entry_term = Term(entry_term.0 + u64::from(input.u8() / 64));
        entries.push(Entry { index: at, term: entry_term, payload: payload(input) });
    }
    *term = (*term).max(entry_term);
    Body::AppendEntries(AppendEntries {
        prev,
        entries,
        commit: index(input),
        round: input.u64(),
        repair_for: Incarnation(input.u64()),
        repair_to: index(input),
    })
}

/// Any payload.
pub(super) fn payload(input: &mut Input<'_>) -> Payload {
    match input.below(3) {
        0 => Payload::Command(command(input)),
        1 => Payload::Noop,
        _ => Payload::Membership(Arc::new(membership(input))),
    }
}

fn command(input: &mut Input<'_>) -> Command {
    let origin = Origin { node: NodeId(input.u64()), seq: input.u64() };
    let tags: Vec<String> = (0..input.below(4)).map(|_| input.text()).collect();
    let tags: Vec<&[u8]> = tags.iter().map(String::as_bytes).collect();
    let kind = (input.u32() >> 1) as i32;
    let timestamp_ns = input.u64() as i64;
    let new = NewEntry { kind, timestamp_ns, tags: &tags, data: input.piece() };
    new.encode(origin, 1 << 20).expect("it is small")
}

fn member(input: &mut Input<'_>) -> Member {
    Member { id: NodeId(input.u64()), address: Address::from(input.text()) }
}

fn membership(input: &mut Input<'_>) -> Membership {
    let (cluster, number) = (ClusterId(input.u64()), input.u64());
    let voters = (0..input.below(4)).map(|_| member(input)).collect();
    let outgoing = (0..input.below(3)).map(|_| member(input)).collect();
    let learner = |_| Learner { member: member(input), promote: false };
    let learners = (0..2).map(learner).collect();
    Membership { cluster, number, voters, outgoing, learners }
}

fn response(input: &mut Input<'_>) -> Body {
    use AppendVerdict::*;
    Body::AppendEntriesResponse(AppendEntriesResponse {
        verdict: input.one_of(&[Matched, Mismatch, StaleTerm, Busy, DiskFull]),
        matched: index(input),
        last_index: index(input),
        hint: entry_id(input),
        round: input.u64(),
        abstaining: input.flag(),
    })
}

fn vote(input: &mut Input<'_>) -> Body {
    Body::RequestVote(RequestVote {
        last: entry_id(input),
        round: input.u64(),
        number: number(input),
        pre: input.flag(),
        transfer: input.flag(),
    })
}

fn forward(input: &mut Input<'_>) -> Body {
    let first = number(input);
    let commands = (0..input.below(5)).map(|_| command(input)).collect();
    Body::Forward(Forward { first, commands })
}

fn forwarded(input: &mut Input<'_>) -> ForwardResponse {
    let (kind, first, count) = (input.below(3), number(input), number(input));
    match kind {
        0 => ForwardResponse::Appended { first, count, index: index(input) },
        1 => ForwardResponse::Refused { first, count, refusal: refusal(input) },
        _ => ForwardResponse::Expected { next: first },
    }
}

fn change_request(input: &mut Input<'_>) -> Body {
    let id = input.u64();
    let change = match input.flag() {
        true => Change::Add(address(input)),
        false => Change::Remove(NodeId(input.u64())),
    };
    Body::ChangeRequest(ChangeRequest { id, change })
}

fn change_response(input: &mut Input<'_>) -> ChangeResponse {
    let id = input.u64();
    let result = match input.flag() {
        true => Ok(Accepted { node: NodeId(input.u64()), number: number(input) }),
        false => Err(refusal(input)),
    };
    ChangeResponse { id, result }
}

/// A frame with one message of each kind, for the targets that take frames.
pub(super) fn frames() -> Vec<Vec<u8>> {
    let seed: Vec<u8> = (0..120u8).map(|n| n.wrapping_mul(37)).collect();
    let made = (0..NAMES.len()).map(|kind| {
        let message = message(&mut Input::new(&seed), kind);
        encode(Envelope::of(&message), &[message], 7).to_bytes().to_vec()
    });
    made.collect()
}
