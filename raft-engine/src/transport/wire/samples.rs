//! One message of each kind, for tests and golden bytes.

use crate::change::NewEntry;
use crate::consensus::command::{Command, Entry, Payload};
use crate::consensus::membership::{Member, Membership};
use crate::consensus::message::*;
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{
    Address, ClusterId, EntryId, Incarnation, Index, NodeId, Origin, Term,
};
use std::sync::Arc;

pub(crate) fn command(data: &[u8]) -> Command {
    let origin = Origin { node: NodeId(3), seq: 1 << 40 | 7 };
    let new = NewEntry { kind: 1, timestamp_ns: 5, tags: &[b"tag"], data };
    new.encode(origin, 1 << 20).expect("samples are small")
}

pub(crate) fn message(body: Body) -> Message {
    Message {
        from: NodeId(0x11),
        from_incarnation: Incarnation(2 << 40 | 0x22),
        to: NodeId(0x33),
        address: None,
        cluster: ClusterId(0x44),
        term: Term(9),
        body,
    }
}

fn entries() -> Vec<Entry> {
    let member = Member { id: NodeId(0x11), address: Address::from("a:1") };
    let membership = Membership {
        cluster: ClusterId(0x44),
        number: 1,
        voters: vec![member],
        ..Membership::default()
    };
    let payloads = [
        (Term(7), Payload::Membership(Arc::new(membership))),
        (Term(7), Payload::Command(command(b"one"))),
        (Term(9), Payload::Noop),
        (Term(9), Payload::Command(command(b"three"))),
    ];
    let entry = |(n, (term, payload))| Entry { index: Index(101 + n), term, payload };
    (0u64..).zip(payloads).map(entry).collect()
}

fn append(entries: Vec<Entry>) -> Body {
    Body::AppendEntries(AppendEntries {
        prev: EntryId::new(Index(100), Term(6)),
        entries,
        commit: Index(99),
        round: 12,
        repair_for: Incarnation(3 << 40 | 1),
        repair_to: Index(98),
    })
}

fn refusal() -> Refusal {
    Refusal::new(Reason::Busy, "too much at once")
}

/// Every kind of message by name, those with several forms in each.
pub(crate) fn all() -> Vec<(&'static str, Message)> {
    let bodies = identities().into_iter().chain(protocol()).chain(requests());
    bodies.map(|(name, body)| (name, message(body))).collect()
}

fn identities() -> Vec<(&'static str, Body)> {
    let identity = Identity {
        nonce: 5,
        node: NodeId(0x33),
        incarnation: Incarnation(1 << 40 | 1),
        cluster: ClusterId(0x44),
        standing: Standing::Former,
        last_index: Index(100),
    };
    vec![
        ("identify", Body::Identify(Identify { nonce: 5 })),
        ("identity", Body::Identity(identity)),
        ("not_joined", Body::NotJoined(NotJoined { standing: Standing::Fresh })),
        ("join", Body::Join(Join { for_incarnation: Incarnation(1 << 40 | 1), number: 4 })),
        ("join_refused", Body::JoinRefused(JoinRefused { number: 4, refusal: refusal() })),
        ("not_member", Body::NotMember(NotMember { number: 4 })),
        ("superseded", Body::Superseded(Superseded { by: Incarnation(3 << 40 | 1) })),
    ]
}

fn protocol() -> Vec<(&'static str, Body)> {
    let response = AppendEntriesResponse {
        verdict: AppendVerdict::Mismatch,
        matched: Index(90),
        last_index: Index(104),
        hint: EntryId::new(Index(95), Term(6)),
        round: 12,
        abstaining: true,
    };
    let vote = RequestVote {
        last: EntryId::new(Index(104), Term(9)),
        round: 1 << 40 | 3,
        number: 4,
        pre: true,
        transfer: true,
    };
    let voted = RequestVoteResponse { round: 1 << 40 | 3, pre: true, granted: true };
    vec![
        ("append_entries", append(entries())),
        ("append_entries_heartbeat", append(Vec::new())),
        ("append_entries_response", Body::AppendEntriesResponse(response)),
        ("request_vote", Body::RequestVote(vote)),
        ("request_vote_response", Body::RequestVoteResponse(voted)),
        ("timeout_now", Body::TimeoutNow),
    ]
}

fn requests() -> Vec<(&'static str, Body)> {
    let commands = vec![command(b"x"), command(b"")];
    let response = |response| Body::ForwardResponse(response);
    let appended = ForwardResponse::Appended { first: 8, count: 2, index: Index(105) };
    let refused = ForwardResponse::Refused { first: 8, count: 2, refusal: refusal() };
    let change = |change| Body::ChangeRequest(ChangeRequest { id: 6, change });
    let changed = |result| Body::ChangeResponse(ChangeResponse { id: 6, result });
    let accepted = Accepted { node: NodeId(0x55), number: 5 };
    let read = ReadIndexResponse { batch: 2, index: Index(100) };
    vec![
        ("forward", Body::Forward(Forward { first: 8, commands })),
        ("forward_response_appended", response(appended)),
        ("forward_response_refused", response(refused)),
        ("forward_response_expected", response(ForwardResponse::Expected { next: 8 })),
        ("change_request_add", change(Change::Add(Address::from("b:2")))),
        ("change_request_remove", change(Change::Remove(NodeId(0x55)))),
        ("change_response_accepted", changed(Ok(accepted))),
        ("change_response_refused", changed(Err(refusal()))),
        ("read_index", Body::ReadIndex(ReadIndex { batch: 2 })),
        ("read_index_response", Body::ReadIndexResponse(read)),
    ]
}
