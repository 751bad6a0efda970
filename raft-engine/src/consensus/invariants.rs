//! What must hold after every step: the safety argument as code. Tests check it after each event.

use super::progress::{Mode, Progress};
use super::requests::Requests;
use super::role::Role;
use super::state::State;
use super::types::Index;

type Check = Result<(), String>;

/// The first rule that does not hold.
pub fn check(st: &State, role: &Role, _requests: &Requests) -> Check {
    if st.over {
        return Ok(());
    }
    st.log.check()?;
    check_terms(st)?;
    check_membership(st)?;
    match role {
        Role::Follower(_) => Ok(()),
        Role::Candidate(candidate) => {
            holds(candidate.pre || st.hard.voted_for == st.id(), "a candidate votes for itself")?;
            holds(!st.hard.abstaining, "a node that abstains does not campaign")
        }
        Role::Leader(leader) => {
            holds(st.leader == st.id(), "a leader knows that it leads")?;
            holds(st.hard.voted_for == st.id(), "a leader was elected with its own vote")?;
            holds(!st.hard.abstaining, "a node that abstains does not lead")?;
            holds(leader.term_start <= st.log.last().index, "a leader has its first entry")?;
            let of_term = st.log.term(leader.term_start) == Some(st.term());
            holds(of_term, "the first entry of a reign is of its term")?;
            check_change(st, leader.term_start)?;
            leader.peers.values().try_for_each(|peer| check_peer(st, peer))
        }
    }
}

fn check_terms(st: &State) -> Check {
    holds(st.log.last().term <= st.term(), "no entry is of a later term than the node")?;
    holds(!st.id().is_zero(), "a node has an id")?;
    holds(!st.hard.lineage.is_zero(), "a node has a lineage")?;
    holds(st.last_application <= st.log.last().index, "application entries are in the log")
}

fn check_membership(st: &State) -> Check {
    let current = st.members.current();
    holds(st.members.current_index() <= st.log.last().index, "configurations are in the log")?;
    let unique = |members: &[super::membership::Member]| {
        members.iter().enumerate().all(|(i, m)| members[..i].iter().all(|n| n.id != m.id))
    };
    holds(unique(&current.voters) && unique(&current.outgoing), "a voter is listed once")?;
    let both = current.learners.iter().any(|l| current.voters.iter().any(|v| v.id == l.member.id));
    holds(!both, "a learner is no voter")
}

/// Followers may know of many configurations before they know that those are committed.
fn check_change(st: &State, term_start: Index) -> Check {
    let (current, committed) = (st.members.current(), st.members.at(st.log.commit()));
    let one_at_a_time = current.number <= committed.number + 1;
    let early = st.log.commit() < term_start;
    holds(early || one_at_a_time, "a leader has one configuration that is not committed")
}

fn check_peer(st: &State, peer: &Progress) -> Check {
    holds(peer.matched < peer.next, "what is acknowledged is not sent again")?;
    holds(peer.next <= st.log.last().index.next(), "nothing beyond the log is sent")?;
    holds(peer.matched <= st.log.last().index, "a follower has no more than its leader")?;
    let bounded = peer.inflights.len() <= st.config.max_inflight_messages;
    holds(bounded, "what is under way is bounded")?;
    let idle = peer.inflights.len() == 0 || peer.mode == Mode::Replicate;
    holds(idle, "a follower that is probed has nothing under way")
}

fn holds(condition: bool, rule: &str) -> Check {
    if condition { Ok(()) } else { Err(rule.to_owned()) }
}
