//! A node that asks for votes, or first whether it would get them (§5.2; thesis §9.6).

use super::message::{Body, RequestVote, RequestVoteResponse};
use super::quorum::{self, Outcome};
use super::state::{State, Transition};
use super::types::NodeId;
use std::collections::BTreeMap;

/// One round of questions.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// A pre-vote: no term was entered yet.
    pub pre: bool,
    round: u64,
    votes: BTreeMap<NodeId, bool>,
    /// The write that makes the vote for ourselves durable; until then it does not count.
    own_vote: u64,
}

impl Candidate {
    /// Asks all voters whether they would vote for us in the next term. Nothing changes here.
    pub fn ask(st: &mut State) -> Candidate {
        let mut candidate = Candidate { pre: true, round: 0, votes: BTreeMap::new(), own_vote: 0 };
        candidate.votes.insert(st.id(), true);
        candidate.request(st, false);
        candidate
    }

    /// Enters the next term, votes for ourselves and asks all voters; the requests leave once that
    /// is durable.
    pub fn elect(st: &mut State, transfer: bool) -> Candidate {
        st.adopt(st.term().next());
        st.hard.voted_for = st.id();
        let own_vote = st.out.write_hard_state();
        let mut candidate = Candidate { pre: false, round: 0, votes: BTreeMap::new(), own_vote };
        if mutant!("a4_own_vote_before_sync") {
            candidate.votes.insert(st.id(), true);
        }
        candidate.request(st, transfer);
        candidate
    }

    fn request(&mut self, st: &mut State, transfer: bool) {
        self.round = st.nonce();
        st.reset_election();
        ask_voters(st, self.round, self.pre, transfer);
    }

    /// A voter answered. Answers of other rounds are dropped.
    pub fn on_vote(
        &mut self,
        st: &mut State,
        from: NodeId,
        answer: &RequestVoteResponse,
    ) -> Transition {
        let round = answer.round == self.round || mutant!("a4_any_round_counts");
        let asked = (round && answer.pre == self.pre) || mutant!("c5_pre_votes_elect");
        if !asked {
            return Transition::Stay;
        }
        if mutant!("a7_refusal_moves_vote") && !answer.granted {
            st.hard.voted_for = from;
            st.out.write_hard_state();
        }
        self.votes.insert(from, answer.granted);
        self.outcome(st)
    }

    /// A write is durable: perhaps the vote for ourselves.
    pub fn on_persisted(&mut self, st: &mut State, seq: u64) -> Transition {
        if self.pre || seq < self.own_vote {
            return Transition::Stay;
        }
        self.votes.insert(st.id(), true);
        self.outcome(st)
    }

    /// How the election stands.
    pub fn outcome(&self, st: &State) -> Transition {
        match quorum::election(st.members.current(), |id| self.votes.get(&id).copied()) {
            Outcome::Won if self.pre => Transition::Elect,
            Outcome::Won => Transition::Lead,
            Outcome::Lost => Transition::Follow,
            Outcome::Open => Transition::Stay,
        }
    }
}

/// Asks all other voters for their votes, or with `pre` whether they would give them.
pub fn ask_voters(st: &mut State, round: u64, pre: bool, transfer: bool) {
    let number = st.members.current().number;
    let body = RequestVote { last: st.log.last(), round, number, pre, transfer };
    let (me, membership) = (st.id(), st.members.current().clone());
    for voter in membership.all_voters().filter(|v| v.id != me) {
        if pre {
            st.send_free(voter.id, st.term().next(), Body::RequestVote(body.clone()));
        } else if mutant!("a2_request_before_sync") {
            st.send_free(voter.id, st.term(), Body::RequestVote(body.clone()));
        } else {
            st.send_when_durable(voter.id, Body::RequestVote(body.clone()));
        }
    }
}
