//! Messages into the control part: a head, a fixed part and TLVs each. Payloads go beside it.

use super::fields::{put_tlv, put_tlv_head};
use super::numbers::{self, tag};
use super::{PROTOCOL_MAX, PROTOCOL_MIN};
use crate::codec::encode_payload;
use crate::consensus::command::{Command, Entry};
use crate::consensus::message::{
    AppendEntries, AppendEntriesResponse, Body, Change, ChangeResponse, ForwardResponse, Identity,
    Message, RequestVote, RequestVoteResponse,
};
use crate::consensus::refusal::Refusal;
use bytes::{BufMut, Bytes, BytesMut};

/// Head and fixed part of any message take less.
const FIXED_MAX: usize = 24 + 64;

/// Writes a message to `out` and hangs its payloads on `data`.
pub(super) fn put_message(out: &mut BytesMut, data: &mut Vec<Bytes>, message: &Message) {
    let start = out.len();
    out.put_u16_le(numbers::of(&message.body));
    out.put_u16_le(0);
    out.put_u32_le(0);
    out.put_u64_le(0); // the group: there is one so far
    out.put_u64_le(message.term.0);
    let fixed = out.len();
    put_fixed(out, &message.body);
    let ext = out.len();
    put_tlvs(out, data, &message.body);
    let end = out.len();
    out[start + 2..start + 4].copy_from_slice(&((ext - fixed) as u16).to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&((end - ext) as u32).to_le_bytes());
}

/// At most this much of the control part, but for unusual text.
pub(super) fn control_len(message: &Message) -> usize {
    FIXED_MAX
        + match &message.body {
            Body::AppendEntries(append) => 40 + append.entries.len() * 8,
            Body::Forward(forward) => 16 + forward.commands.len() * 8,
            _ => 0,
        }
}

/// What a message takes in a frame, roughly and rather too much.
pub(super) fn len(message: &Message) -> usize {
    let payloads = match &message.body {
        Body::AppendEntries(append) => append.entries.iter().map(Entry::size).sum(),
        Body::Forward(forward) => forward.commands.iter().map(|c| c.encoded().len()).sum(),
        _ => 0usize,
    };
    control_len(message) + payloads
}

fn put_fixed(out: &mut BytesMut, body: &Body) {
    match body {
        Body::Identify(m) => put(out, &[m.nonce]),
        Body::Identity(m) => put_identity(out, m),
        Body::NotJoined(m) => put_small(out, numbers::of_standing(m.standing), 0),
        Body::Join(m) => put(out, &[m.for_incarnation.0, m.number]),
        Body::JoinRefused(m) => {
            put(out, &[m.number]);
            put_small(out, m.refusal.reason as u16, 0);
        }
        Body::NotMember(m) => put(out, &[m.number]),
        Body::Superseded(m) => put(out, &[m.by.0]),
        Body::AppendEntries(m) => put_append(out, m),
        Body::AppendEntriesResponse(m) => put_append_response(out, m),
        Body::RequestVote(m) => put_vote(out, m),
        Body::RequestVoteResponse(m) => put_vote_response(out, m),
        Body::TimeoutNow => {}
        Body::Forward(m) => put(out, &[m.first]),
        Body::ForwardResponse(m) => put_forward_response(out, m),
        Body::ChangeRequest(m) => put_change(out, m.id, &m.change),
        Body::ChangeResponse(m) => put_change_response(out, m),
        Body::ReadIndex(m) => put(out, &[m.batch]),
        Body::ReadIndexResponse(m) => put(out, &[m.batch, m.index.0]),
    }
}

fn put_tlvs(out: &mut BytesMut, data: &mut Vec<Bytes>, body: &Body) {
    match body {
        Body::JoinRefused(m) => put_text(out, &m.refusal),
        Body::AppendEntries(m) => put_runs(out, data, &m.entries),
        Body::Forward(m) => put_commands(out, data, &m.commands),
        Body::ForwardResponse(ForwardResponse::Refused { refusal, .. }) => put_text(out, refusal),
        Body::ChangeRequest(m) => match &m.change {
            Change::Initialize(address) | Change::Add(address) => {
                put_tlv(out, tag::ADDRESS, address.as_bytes());
            }
            Change::Remove(_) => {}
        },
        Body::ChangeResponse(ChangeResponse { result: Err(refusal), .. }) => put_text(out, refusal),
        Body::Identify(_)
        | Body::Identity(_)
        | Body::NotJoined(_)
        | Body::Join(_)
        | Body::NotMember(_)
        | Body::Superseded(_)
        | Body::AppendEntriesResponse(_)
        | Body::RequestVote(_)
        | Body::RequestVoteResponse(_)
        | Body::TimeoutNow
        | Body::ForwardResponse(_)
        | Body::ChangeResponse(_)
        | Body::ReadIndex(_)
        | Body::ReadIndexResponse(_) => {}
    }
}

/// Numbers of 8 bytes.
fn put(out: &mut BytesMut, fields: &[u64]) {
    fields.iter().for_each(|field| out.put_u64_le(*field));
}

/// Two small numbers in 8 bytes.
fn put_small(out: &mut BytesMut, first: u16, second: u16) {
    out.put_u16_le(first);
    out.put_u16_le(second);
    out.put_u32_le(0);
}

fn put_identity(out: &mut BytesMut, m: &Identity) {
    put(out, &[m.nonce, m.node.0, m.incarnation.0, m.cluster.0, m.last_index.0]);
    out.put_u16_le(numbers::of_standing(m.standing));
    out.put_u16_le(PROTOCOL_MIN);
    out.put_u16_le(PROTOCOL_MAX);
    out.put_u16_le(0);
    put(out, &[0]); // state-machine versions, 0..0 until there are some
}

fn put_append(out: &mut BytesMut, m: &AppendEntries) {
    let head = [m.prev.index.0, m.prev.term.0, m.commit.0, m.round];
    put(out, &head);
    put(out, &[m.repair_for.0, m.repair_to.0, 0]); // a configuration number may stand there
}

fn put_append_response(out: &mut BytesMut, m: &AppendEntriesResponse) {
    let flags = if m.abstaining { numbers::ABSTAINING } else { 0 };
    put_small(out, numbers::of_verdict(m.verdict), flags);
    put(out, &[m.matched.0, m.last_index.0, m.hint.index.0, m.hint.term.0, m.round]);
}

fn put_vote(out: &mut BytesMut, m: &RequestVote) {
    put(out, &[m.last.index.0, m.last.term.0, m.round, m.number]);
    let pre = if m.pre { numbers::PRE } else { 0 };
    let transfer = if m.transfer { numbers::TRANSFER } else { 0 };
    out.put_u32_le(pre | transfer);
    out.put_u32_le(0);
}

fn put_vote_response(out: &mut BytesMut, m: &RequestVoteResponse) {
    put(out, &[m.round]);
    out.put_u16_le(if m.granted { numbers::GRANTED } else { numbers::NOT_GRANTED });
    out.put_u16_le(0); // the reason, when there are reasons
    out.put_u32_le(if m.pre { numbers::PRE } else { 0 });
}

fn put_forward_response(out: &mut BytesMut, m: &ForwardResponse) {
    match m {
        ForwardResponse::Appended { first, count, index } => {
            put_small(out, numbers::APPENDED, 0);
            put(out, &[*first, *count, index.0]);
        }
        ForwardResponse::Refused { first, count, refusal } => {
            put_small(out, numbers::REFUSED, refusal.reason as u16);
            put(out, &[*first, *count, 0]);
        }
        ForwardResponse::Expected { next } => {
            put_small(out, numbers::EXPECTED, 0);
            put(out, &[*next, 0, 0]);
        }
    }
}

fn put_change(out: &mut BytesMut, id: u64, change: &Change) {
    let (kind, node) = match change {
        Change::Initialize(_) => (numbers::INITIALIZE, 0),
        Change::Add(_) => (numbers::ADD, 0),
        Change::Remove(node) => (numbers::REMOVE, node.0),
    };
    put(out, &[id]);
    put_small(out, kind, 0);
    put(out, &[node]);
}

fn put_change_response(out: &mut BytesMut, m: &ChangeResponse) {
    put(out, &[m.id]);
    match &m.result {
        Ok(accepted) => {
            put_small(out, 0, 0);
            put(out, &[accepted.node.0, accepted.number]);
        }
        Err(refusal) => {
            put_small(out, refusal.reason as u16, 0);
            put(out, &[0, 0]);
        }
    }
}

fn put_text(out: &mut BytesMut, refusal: &Refusal) {
    let text = &refusal.text;
    let end = (0..=text.len().min(super::decode::TEXT_LIMIT))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    put_tlv(out, tag::TEXT, &text.as_bytes()[..end]);
}

/// One TLV for each run of entries of a term.
fn put_runs(out: &mut BytesMut, data: &mut Vec<Bytes>, entries: &[Entry]) {
    let one_run = |a: &Entry, b: &Entry| a.term == b.term && a.index.next() == b.index;
    for run in entries.chunk_by(one_run) {
        put_tlv_head(out, tag::RUN, 24 + 8 * run.len());
        put(out, &[run[0].index.0, run[0].term.0]);
        out.put_u32_le(run.len() as u32);
        out.put_u32_le(0);
        for entry in run {
            let (payload, crc) = encode_payload(&entry.payload);
            put_slot(out, data, payload, crc);
        }
    }
}

fn put_commands(out: &mut BytesMut, data: &mut Vec<Bytes>, commands: &[Command]) {
    if commands.is_empty() {
        return;
    }
    put_tlv_head(out, tag::PAYLOADS, 8 + 8 * commands.len());
    out.put_u32_le(commands.len() as u32);
    out.put_u32_le(0);
    for command in commands {
        put_slot(out, data, command.encoded().clone(), command.crc());
    }
}

fn put_slot(out: &mut BytesMut, data: &mut Vec<Bytes>, payload: Bytes, crc: u32) {
    out.put_u32_le(payload.len() as u32);
    out.put_u32_le(crc);
    data.push(payload);
}
