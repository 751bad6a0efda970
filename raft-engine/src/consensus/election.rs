//! May this candidate have our vote? The same answer in every role (§5.2, §5.4.1; thesis §4.2.3,
//! §9.6).

use super::message::{Body, Message, NotMember, RequestVote, RequestVoteResponse};
use super::state::{State, Transition};
use super::types::NodeId;

/// Answers a request for a vote or a pre-vote. `leads`: this node leads, and checks its quorum.
pub fn on_request_vote(st: &mut State, leads: bool, m: &Message, req: &RequestVote) -> Transition {
    if let Some(number) = removed(st, m.from, req) {
        st.send(m.from, Body::NotMember(NotMember { number }));
        return Transition::Stay;
    }
    let hears = st.hears_leader() && st.leader != m.from && !mutant!("c7_lease_ignored");
    let protected = (leads && !mutant!("c7_leader_heeds_candidates")) || hears;
    if protected && !req.transfer {
        return Transition::Stay;
    }
    if req.pre {
        let granted = m.term > st.term() && may_have_vote(st, req);
        let term = if granted { m.term } else { st.term() };
        st.send_free(m.from, term, answer(req, granted));
        return Transition::Stay;
    }
    on_vote(st, m, req)
}

/// A vote is durable before it is given. One that was given is given again, if the log still
/// allows it: the first answer may be lost.
fn on_vote(st: &mut State, m: &Message, req: &RequestVote) -> Transition {
    let newer = m.term > st.term();
    if newer {
        st.adopt(m.term);
    }
    let free = st.hard.voted_for.is_zero()
        || st.hard.voted_for == m.from
        || (req.transfer && mutant!("a6_transferee_gets_vote"));
    let granted = m.term == st.term() && free && st.leader.is_zero() && may_have_vote(st, req);
    if granted {
        if st.hard.voted_for.is_zero() || mutant!("a6_transferee_gets_vote") {
            st.hard.voted_for = m.from;
            if !mutant!("a3_vote_never_stored") {
                st.out.write_hard_state();
            }
        }
        st.reset_election();
        if mutant!("a2_vote_before_sync") {
            st.send_free(m.from, st.term(), answer(req, true));
        } else {
            st.send_when_durable(m.from, answer(req, true));
        }
    } else {
        st.send(m.from, answer(req, false));
    }
    if newer { Transition::Follow } else { Transition::Stay }
}

/// The candidate's log is at least as up to date as ours (§5.4.1), and we may vote at all.
fn may_have_vote(st: &State, req: &RequestVote) -> bool {
    let last = st.log.last();
    let fresh = if mutant!("a10_longer_log_wins") {
        req.last.index >= last.index
    } else {
        req.last >= last
    };
    fresh && (!st.hard.abstaining || mutant!("d10_abstainer_votes"))
}

/// The number of a committed configuration that does not have the candidate, if that says anything: as
/// a rule absence means nothing, because this node may be the one behind. It does when the candidate
/// knows no newer configuration: it may have that very one and not know that it is committed.
fn removed(st: &State, candidate: NodeId, req: &RequestVote) -> Option<u64> {
    let committed = st.members.at(st.log.commit());
    let gone = committed.contains(st.id())
        && !committed.contains(candidate)
        && !st.members.current().contains(candidate);
    let known = committed.number >= req.number || lost(st, req);
    (gone && known && !mutant!("a13_removed_is_not_told")).then_some(committed.number)
}

/// Whether what the candidate has beyond our log was lost with its leader: an entry of this term is
/// committed, and every later leader has that instead of what an earlier term left (§5.4.1, §5.4.3).
fn lost(st: &State, req: &RequestVote) -> bool {
    let settled = st.log.term(st.log.commit()) == Some(st.term());
    req.last.term < st.term() && (settled || mutant!("a13_leader_behind_tells"))
}

fn answer(req: &RequestVote, granted: bool) -> Body {
    Body::RequestVoteResponse(RequestVoteResponse { round: req.round, pre: req.pre, granted })
}
