//! The role of a node. Each event has one exhaustive match, so that no pair of role and event is
//! forgotten.

use super::candidate::Candidate;
use super::command::Entry;
use super::event::FetchId;
use super::follower::Follower;
use super::leader::Leader;
use super::leader::read_index::Reader;
use super::leader::reconfigure;
use super::leader::requester::Requester;
use super::message::{AppendEntries, Body, Message};
use super::ready::RoleName;
use super::state::{State, Transition};
use super::types::Time;

/// What a node is at present.
#[derive(Clone, Debug)]
pub enum Role {
    /// Follows, or waits.
    Follower(Follower),
    /// Asks for votes.
    Candidate(Candidate),
    /// Leads.
    Leader(Box<Leader>),
}

impl Role {
    /// Its name.
    pub fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        matches!(self, Role::Leader(_))
    }

    /// An append of this term: its sender leads.
    pub fn on_append(&mut self, st: &mut State, m: &Message, req: AppendEntries) -> Transition {
        match self {
            Role::Follower(follower) => follower.on_append(st, m.from, req),
            Role::Candidate(_) => Transition::Stay, // it follows before it hears an append
            Role::Leader(_) => {
                let (term, from) = (st.term(), m.from);
                st.alarm(format!("{from} leads in term {term} beside this node"));
                Transition::Stay
            }
        }
    }

    /// A message that only some roles expect.
    pub fn on_message(&mut self, st: &mut State, m: &Message) -> Transition {
        match (self, &m.body) {
            (Role::Leader(leader), Body::AppendEntriesResponse(r)) => {
                leader.on_append_response(st, m, r);
                Transition::Stay
            }
            (Role::Leader(leader), Body::Forward(f)) => {
                leader.on_forward(st, m, f);
                Transition::Stay
            }
            (Role::Leader(leader), Body::ReadIndex(r)) => {
                leader.reads.add(Reader::Remote(m.from, r.batch));
                Transition::Stay
            }
            (Role::Leader(leader), Body::ChangeRequest(r)) if m.term == st.term() => {
                let requester = Requester::Remote(m.from, m.from_incarnation, r.id);
                reconfigure::on_change(leader, st, requester, r.change.clone());
                Transition::Stay
            }
            (Role::Leader(leader), Body::Identity(identity)) => {
                reconfigure::on_identity(leader, st, identity);
                Transition::Stay
            }
            (Role::Leader(leader), Body::NotJoined(_)) => {
                reconfigure::on_not_joined(leader, st, m);
                Transition::Stay
            }
            (Role::Leader(leader), Body::JoinRefused(r)) => {
                reconfigure::on_join_refused(leader, st, m.from, r);
                Transition::Stay
            }
            (Role::Candidate(candidate), Body::RequestVoteResponse(r)) => {
                candidate.on_vote(st, m.from, r)
            }
            (Role::Follower(_), Body::TimeoutNow) if m.from == st.leader => {
                Transition::Campaign { transfer: true }
            }
            _ => Transition::Stay, // An answer to another role, or for another one.
        }
    }

    /// Writes are durable.
    pub fn on_persisted(&mut self, st: &mut State, seq: u64) -> Transition {
        match self {
            Role::Follower(follower) => {
                follower.on_persisted(st);
                Transition::Stay
            }
            Role::Candidate(candidate) => candidate.on_persisted(st, seq),
            Role::Leader(_) => Transition::Stay,
        }
    }

    /// Old entries were read.
    pub fn on_fetched(&mut self, st: &mut State, id: FetchId, entries: &[Entry]) {
        match self {
            Role::Follower(_) | Role::Candidate(_) => {}
            Role::Leader(leader) => leader.on_fetched(st, id, entries),
        }
    }

    /// A deadline passed, not necessarily one of the role.
    pub fn on_deadline(&mut self, st: &mut State) -> Transition {
        match self {
            Role::Leader(leader) => leader.on_deadline(st),
            Role::Follower(_) | Role::Candidate(_) => election_deadline(st),
        }
    }

    /// When to call that.
    pub fn deadline(&self, st: &State) -> Time {
        match self {
            Role::Follower(_) | Role::Candidate(_) => st.election_at,
            Role::Leader(leader) => leader.deadline(st),
        }
    }

    /// The batch is over.
    pub fn flush(&mut self, st: &mut State) {
        match self {
            Role::Follower(_) | Role::Candidate(_) => {}
            Role::Leader(leader) => leader.flush(st),
        }
    }
}

/// A node that was asleep hears its inbox first and waits one heartbeat more.
fn election_deadline(st: &mut State) -> Transition {
    if st.now < st.election_at {
        return Transition::Stay;
    }
    if st.now.since(st.election_at) > st.config.heartbeat * 3 {
        st.election_at = st.now + st.config.heartbeat;
        return Transition::Stay;
    }
    Transition::Campaign { transfer: false }
}
