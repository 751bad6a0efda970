//! How messages, entries and outcomes look in scripts: one line each, in the words of the paper.

use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::message::{
    AppendEntries, AppendEntriesResponse, AppendVerdict, Body, Change, ForwardResponse, Identity,
    Message, RequestVote, RequestVoteResponse,
};
use quorate_engine::consensus::ready::{HardState, Notice, ProposalOutcome, RoleName, Write};
use quorate_engine::consensus::refusal::Refusal;

/// `1>2 t3 AppendEntries prev=2@2 [3@3 x=1] commit=2`, between places that may not be ids.
#[must_use]
pub fn message(from: u64, to: u64, m: &Message) -> String {
    format!("{from}>{to} t{} {}", m.term, body(&m.body))
}

fn body(body: &Body) -> String {
    match body {
        Body::Identify(_) => "Identify".to_owned(),
        Body::Identity(identity) => self::identity(identity),
        Body::NotJoined(not) => format!("NotJoined {:?}", not.standing),
        Body::Join(join) => format!("Join c{} for {}", join.number, join.for_incarnation),
        Body::JoinRefused(r) => format!("JoinRefused c{} {}", r.number, r.refusal),
        Body::NotMember(says) => format!("NotMember c{}", says.number),
        Body::Superseded(s) => format!("Superseded by {}", s.by),
        Body::AppendEntries(req) => append(req),
        Body::AppendEntriesResponse(r) => append_response(r),
        Body::RequestVote(req) => vote(req),
        Body::RequestVoteResponse(r) => vote_response(r),
        Body::TimeoutNow => "TimeoutNow".to_owned(),
        Body::Forward(f) => {
            let data: Vec<_> =
                f.commands.iter().map(|c| String::from_utf8_lossy(c.data())).collect();
            format!("Forward from={} [{}]", in_run(f.first), data.join(", "))
        }
        Body::ForwardResponse(r) => format!("ForwardResponse {}", forwarded(r)),
        Body::ChangeRequest(r) => format!("ChangeRequest {}", change(&r.change)),
        Body::ChangeResponse(r) => match &r.result {
            Ok(accepted) => format!("ChangeResponse taken as c{}", accepted.number),
            Err(refusal) => format!("ChangeResponse {refusal}"),
        },
        Body::ReadIndex(_) => "ReadIndex".to_owned(),
        Body::ReadIndexResponse(r) => format!("ReadIndexResponse index={}", r.index),
    }
}

fn identity(identity: &Identity) -> String {
    let Identity { node, incarnation, cluster, standing, last_index, .. } = identity;
    format!("Identity n{node}{incarnation} cluster={cluster} {standing:?} last={last_index}")
}

fn append(req: &AppendEntries) -> String {
    let entries: Vec<String> = req.entries.iter().map(entry).collect();
    let entries =
        if entries.is_empty() { String::new() } else { format!(" [{}]", entries.join(", ")) };
    let repair = if req.repair_for.is_zero() {
        String::new()
    } else {
        format!(" repair={}..{}", req.repair_for, req.repair_to)
    };
    format!("AppendEntries prev={}{entries} commit={}{repair}", req.prev, req.commit)
}

fn append_response(r: &AppendEntriesResponse) -> String {
    let verdict = match r.verdict {
        AppendVerdict::Matched => format!("matched={}", r.matched),
        AppendVerdict::Mismatch => format!("mismatch hint={} matched={}", r.hint, r.matched),
        AppendVerdict::StaleTerm => "stale term".to_owned(),
        AppendVerdict::Busy => format!("busy matched={}", r.matched),
        AppendVerdict::DiskFull => format!("disk full matched={}", r.matched),
    };
    let abstaining = if r.abstaining { " abstaining" } else { "" };
    format!("AppendEntriesResponse {verdict} last={}{abstaining}", r.last_index)
}

fn vote(req: &RequestVote) -> String {
    let (pre, transfer) = (flag(req.pre, " pre"), flag(req.transfer, " transfer"));
    format!("RequestVote last={} c{}{pre}{transfer}", req.last, req.number)
}

fn vote_response(r: &RequestVoteResponse) -> String {
    let verdict = if r.granted { "granted" } else { "refused" };
    format!("RequestVoteResponse {verdict}{}", flag(r.pre, " pre"))
}

fn forwarded(r: &ForwardResponse) -> String {
    match r {
        ForwardResponse::Appended { first, count, index } => {
            format!("from={} count={count} appended at {index}", in_run(*first))
        }
        ForwardResponse::Refused { first, count, refusal } => {
            format!("from={} count={count} refused: {refusal}", in_run(*first))
        }
        ForwardResponse::Expected { next } => format!("expects {}", in_run(*next)),
    }
}

/// A number that a run gave, from 0.
fn in_run(number: u64) -> u64 {
    number % (1 << 40)
}

/// `add n4`, `remove 2`, `init n1`.
#[must_use]
pub fn change(change: &Change) -> String {
    match change {
        Change::Initialize(address) => format!("init {address}"),
        Change::Add(address) => format!("add {address}"),
        Change::Remove(node) => format!("remove {node}"),
    }
}

/// `3@2 x=1`.
#[must_use]
pub fn entry(entry: &Entry) -> String {
    format!("{} {}", entry.id(), payload(&entry.payload))
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Noop => "noop".to_owned(),
        Payload::Membership(membership) => membership.to_string(),
        Payload::Command(command) => String::from_utf8_lossy(command.data()).into_owned(),
    }
}

/// What became of a proposal.
#[must_use]
pub fn outcome(outcome: &ProposalOutcome) -> String {
    match outcome {
        ProposalOutcome::Appended(id) => format!("appended at {id}"),
        ProposalOutcome::Forwarded(term) => format!("forwarded in t{term}"),
        ProposalOutcome::Refused(refusal) => format!("refused: {refusal}"),
    }
}

/// `ok`, or why not.
#[must_use]
pub fn result(result: &Result<(), Refusal>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(refusal) => format!("refused: {refusal}: {}", refusal.text),
    }
}

/// `write 3: state(t2 vote=1) cut after 4, entries 5..6, then 2 messages`.
#[must_use]
pub fn write(write: &Write) -> String {
    let mut parts = Vec::new();
    parts.extend(write.state.as_ref().map(state));
    parts.extend(write.keep_to.map(|keep| format!("cut after {keep}")));
    if let (Some(first), Some(last)) = (write.append.first(), write.append.last()) {
        parts.push(format!("entries {}..{}", first.id(), last.id()));
    }
    if !write.after.is_empty() {
        parts.push(format!("then {} message(s)", write.after.len()));
    }
    format!("write {}: {}", write.seq, parts.join(", "))
}

/// The part of a hard state that elections are about, and what a join or leave added to it.
#[must_use]
pub fn state(state: &HardState) -> String {
    let flags = [
        flag(state.has_peers, " peers"),
        flag(state.abstaining, " abstaining"),
        flag(state.joining, " joining"),
        flag(state.cut_pending, " cut-pending"),
    ];
    let former = state.former.as_ref().map_or(String::new(), |f| {
        format!(" former={}(t{} vote={} left-at={})", f.lineage, f.term, f.voted_for, f.left_at)
    });
    let HardState { lineage, term, voted_for, number_floor, .. } = state;
    let floor = if *number_floor > 0 { format!(" floor={number_floor}") } else { String::new() };
    format!("state({lineage} t{term} vote={voted_for}{floor}{}{former})", flags.concat())
}

/// What a notice says.
#[must_use]
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Role { role: RoleName::Leader, term, .. } => format!("leads t{term}"),
        Notice::Role { role: RoleName::Candidate, term, .. } => format!("is candidate, t{term}"),
        Notice::Role { leader, term, .. } if leader.is_zero() => format!("waits in t{term}"),
        Notice::Role { leader, term, .. } => format!("follows {leader} in t{term}"),
        Notice::MembershipChanged { number } => format!("c{number} in force"),
        Notice::MembershipCommitted { number } => format!("c{number} committed"),
        Notice::WrongNode { member, found } => format!("found {found} instead of {}", member.id),
        Notice::SafetyAlarm(text) => format!("SAFETY ALARM: {text}"),
        Notice::IdentityTaken(text) => format!("IDENTITY TAKEN: {text}"),
        Notice::Abstaining(true) => "abstains".to_owned(),
        Notice::Abstaining(false) => "abstains no more".to_owned(),
    }
}

fn flag(set: bool, word: &str) -> &str {
    if set { word } else { "" }
}
