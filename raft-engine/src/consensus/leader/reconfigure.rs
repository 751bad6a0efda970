//! One change of membership at a time, by joint consensus (§6; thesis §4.3). The intent is in the log,
//! so whoever leads goes on with it: a learner that is to be promoted is, once it has caught up; a
//! joint configuration is left, once it is committed.

use super::super::command::Payload;
use super::super::membership::{Learner, Member, Membership};
use super::super::message::{
    Accepted, Body, Change, Identify, Identity, Join, JoinRefused, Message, Standing,
};
use super::super::progress::Progress;
use super::super::refusal::{Reason, Refusal};
use super::super::state::State;
use super::super::types::{Address, NodeId, Time};
use super::requester::{Answers, Requester};
use super::{Leader, replication};
use std::collections::VecDeque;
use std::sync::Arc;

/// A question who is at an address.
#[derive(Clone, Debug)]
struct Discovery {
    nonce: u64,
    address: Address,
    requester: Requester,
    /// The address is meant to be our own.
    own: bool,
    until: Time,
    again_at: Time,
}

/// Changes that this leader was asked for.
#[derive(Clone, Debug, Default)]
pub struct Reconfigure {
    discovery: Option<Discovery>,
    /// Asked for before an entry of this term was committed.
    early: VecDeque<(Requester, Change)>,
    /// The change that was appended last, for a late refusal.
    accepted: Option<(Requester, Accepted)>,
    answers: Answers,
}

impl Reconfigure {
    /// When to ask again who is at an address, or to give up.
    pub fn deadline(&self, _st: &State) -> Time {
        self.discovery.as_ref().map_or(Time::NEVER, |d| d.again_at.min(d.until))
    }

    /// Asks again, or gives up.
    pub fn on_deadline(&mut self, st: &mut State) {
        let Some(discovery) = &mut self.discovery else { return };
        if st.now >= discovery.until {
            let (address, requester) = (discovery.address.clone(), discovery.requester);
            self.discovery = None;
            let text = format!(
                "nobody answers at {address}: is a service listening there, and does it allow this \
                 connection?"
            );
            self.answer(st, requester, Err(Refusal::new(Reason::Unreachable, text)));
        } else if st.now >= discovery.again_at {
            ask(st, discovery);
        }
    }

    /// This node leads no more. What was not appended may be asked of the next leader.
    pub fn give_up(self, st: &mut State) {
        let discovery = self.discovery.map(|d| d.requester);
        for requester in self.early.into_iter().map(|(r, _)| r).chain(discovery) {
            if mutant!("h10_changes_are_dropped") {
                return;
            }
            if let Requester::Local(id) = requester {
                let refusal = Refusal::new(Reason::NoLeader, "this node does not lead any more");
                st.change_answers.push((id, Err(refusal)));
            }
        }
    }

    fn knows(&self, requester: Requester) -> bool {
        self.early.iter().any(|(r, _)| *r == requester)
            || self.discovery.as_ref().is_some_and(|d| d.requester == requester)
    }

    fn answer(&mut self, st: &mut State, requester: Requester, result: Result<Accepted, Refusal>) {
        self.answers.give(st, requester, result);
    }
}

/// Somebody asks for a change.
pub fn on_change(leader: &mut Leader, st: &mut State, requester: Requester, change: Change) {
    if leader.reconfigure.knows(requester) || leader.reconfigure.answers.repeat(st, requester) {
        return;
    }
    if st.log.commit() < leader.term_start && !mutant!("d1_change_before_own_term") {
        leader.reconfigure.early.push_back((requester, change));
        return;
    }
    if let Err(refusal) = begin(leader, st, requester, change) {
        leader.reconfigure.answer(st, requester, Err(refusal));
    }
}

fn begin(
    leader: &mut Leader,
    st: &mut State,
    requester: Requester,
    change: Change,
) -> Result<(), Refusal> {
    match change {
        Change::Initialize(address) => {
            if !st.is_standalone() {
                let text = "this node is in a cluster already: add others with AddNode";
                return Err(Refusal::new(Reason::AlreadyMember, text));
            }
            discover(leader, st, requester, address, true)
        }
        Change::Add(address) => {
            check_idle(leader, st)?;
            let known = st.members.current().everyone().find(|m| m.address == address).cloned();
            if let Some(member) = known {
                return Err(already_member(member.id, &address));
            }
            discover(leader, st, requester, address, false)
        }
        Change::Remove(node) => remove(leader, st, requester, node),
    }
}

/// Nothing else is under way: the newest configuration is committed and not joint, no learner waits to
/// be promoted, and this leader stays.
fn check_idle(leader: &Leader, st: &State) -> Result<(), Refusal> {
    if st.is_standalone() {
        let text = "this node is in no cluster: call InitializeCluster first";
        return Err(Refusal::new(Reason::NoCluster, text));
    }
    let current = st.members.current();
    if !current.is_voter(st.id()) {
        let text = "the leader is being removed from the cluster: ask the next one";
        return Err(Refusal::new(Reason::NoLeader, text));
    }
    let promoting = current.learners.iter().find(|l| l.promote);
    if leader.reconfigure.discovery.is_none() && is_settled(st) && promoting.is_none() {
        return Ok(());
    }
    let text = match promoting {
        Some(learner) => format!(
            "node {} is being added and not caught up: wait until it is, or cancel that with \
             RemoveNode",
            learner.member.id
        ),
        None => "another change of membership is under way: wait until it is over".to_owned(),
    };
    Err(Refusal::new(Reason::ChangeInProgress, text))
}

fn is_settled(st: &State) -> bool {
    let committed = st.members.current_index() <= st.log.commit();
    let settled = committed || mutant!("d14_changes_overlap");
    settled && !st.members.current().is_joint()
}

fn already_member(node: NodeId, address: &str) -> Refusal {
    Refusal::new(Reason::AlreadyMember, format!("node {node} at {address} is a member already"))
}

fn discover(
    leader: &mut Leader,
    st: &mut State,
    requester: Requester,
    address: Address,
    own: bool,
) -> Result<(), Refusal> {
    if leader.reconfigure.discovery.is_some() {
        let text = "another change of membership is under way: wait until it is over";
        return Err(Refusal::new(Reason::ChangeInProgress, text));
    }
    let until = st.now + st.config.election_timeout;
    let nonce = st.nonce();
    let mut discovery = Discovery { nonce, address, requester, own, until, again_at: st.now };
    ask(st, &mut discovery);
    leader.reconfigure.discovery = Some(discovery);
    Ok(())
}

fn ask(st: &mut State, discovery: &mut Discovery) {
    discovery.again_at = st.now + st.config.heartbeat;
    let body = Body::Identify(Identify { nonce: discovery.nonce });
    let mut message = st.message(NodeId::ZERO, st.term(), body);
    message.address = Some(discovery.address.clone());
    st.out.send_now(message);
}

/// Somebody says who is at the address that we asked about.
pub fn on_identity(leader: &mut Leader, st: &mut State, identity: &Identity) {
    let wanted = leader.reconfigure.discovery.take_if(|d| d.nonce == identity.nonce);
    let Some(discovery) = wanted else { return };
    let result = if discovery.own {
        initialize(leader, st, &discovery, identity)
    } else {
        add_learner(leader, st, &discovery, identity)
    };
    leader.reconfigure.answer(st, discovery.requester, result);
}

/// The first configuration of a cluster. It is durable or the node is still Standalone; nothing is
/// renumbered.
fn initialize(
    leader: &mut Leader,
    st: &mut State,
    discovery: &Discovery,
    identity: &Identity,
) -> Result<Accepted, Refusal> {
    if (identity.node, identity.incarnation) != (st.id(), st.hard.incarnation) {
        let text = format!(
            "node {} answers at {}, not this one ({}): give the address at which others reach this \
             node",
            identity.node,
            discovery.address,
            st.id()
        );
        return Err(Refusal::new(Reason::Unreachable, text));
    }
    let voters = vec![Member { id: st.id(), address: discovery.address.clone() }];
    let first = Membership { cluster: st.hard.lineage, voters, ..Membership::default() };
    Ok(append(leader, st, discovery.requester, st.id(), first))
}

fn add_learner(
    leader: &mut Leader,
    st: &mut State,
    discovery: &Discovery,
    identity: &Identity,
) -> Result<Accepted, Refusal> {
    let (node, address) = (identity.node, discovery.address.clone());
    if st.members.current().contains(node) {
        return Err(already_member(node, &address));
    }
    check_idle(leader, st)?;
    judge(st, identity, &address)?;
    let mut next = (**st.members.current()).clone();
    next.learners.push(Learner { member: Member { id: node, address }, promote: true });
    leader.peers.remove(&node);
    Ok(append(leader, st, discovery.requester, node, next))
}

/// Whether a node in that standing can become a member here. It judges again itself, finally.
fn judge(st: &State, identity: &Identity, address: &str) -> Result<(), Refusal> {
    let node = identity.node;
    let ours = identity.cluster == st.hard.lineage;
    match identity.standing {
        Standing::Fresh => Ok(()),
        Standing::Former | Standing::Member | Standing::Joining if ours => Ok(()),
        Standing::Member | Standing::Joining | Standing::Former => {
            let text = format!(
                "node {node} at {address} belongs to cluster {}: remove it there and delete its data \
                 directory first",
                identity.cluster
            );
            Err(Refusal::new(Reason::OtherCluster, text))
        }
        Standing::HasData | Standing::FormerWithData => Err(has_data(node, address)),
    }
}

/// What to do about a node with data of its own.
pub fn has_data(node: NodeId, address: &str) -> Refusal {
    let text = format!(
        "node {node} at {address} has data of its own, which joining would destroy: stop it, delete \
         its data directory if that data may go, start it and add it again"
    );
    Refusal::new(Reason::HasData, text)
}

fn remove(
    leader: &mut Leader,
    st: &mut State,
    requester: Requester,
    node: NodeId,
) -> Result<(), Refusal> {
    let current = st.members.current().clone();
    let waits = current.learner(node).is_some_and(|l| l.promote);
    let cancels = waits && is_settled(st) && current.is_voter(st.id());
    if !cancels {
        check_idle(leader, st)?;
    }
    if !current.contains(node) {
        let text = format!("no member has the id {node}: the configuration is {current}");
        return Err(Refusal::new(Reason::NotFound, text));
    }
    let accepted = if current.is_voter(node) {
        if current.voters.len() == 1 {
            let text =
                "the last voter can't be removed: close the service and delete its directory";
            return Err(Refusal::new(Reason::Invalid, text));
        }
        let voters = current.voters.iter().filter(|m| m.id != node).cloned().collect();
        let joint = Membership { outgoing: current.voters.clone(), voters, ..(*current).clone() };
        let single = mutant!("d1_single_server_change");
        let next = if single { Membership { outgoing: Vec::new(), ..joint } } else { joint };
        append(leader, st, requester, node, next)
    } else {
        append(leader, st, requester, node, without_learner(&current, node))
    };
    leader.reconfigure.answer(st, requester, Ok(accepted));
    Ok(())
}

fn without_learner(current: &Membership, node: NodeId) -> Membership {
    let learners = current.learners.iter().filter(|l| l.member.id != node).cloned().collect();
    Membership { learners, ..current.clone() }
}

/// Appends a configuration, which is in force from then on (§6).
fn append(
    leader: &mut Leader,
    st: &mut State,
    requester: Requester,
    node: NodeId,
    next: Membership,
) -> Accepted {
    let number = append_next(leader, st, next);
    let accepted = Accepted { node, number };
    leader.reconfigure.accepted = Some((requester, accepted.clone()));
    accepted
}

fn append_next(leader: &mut Leader, st: &mut State, mut next: Membership) -> u64 {
    next.number = st.members.current().number + 1;
    let number = next.number;
    leader.append(st, vec![Payload::Membership(Arc::new(next))]);
    let last = st.log.last().index;
    leader.sync_peers(st, last);
    number
}

/// Goes on with what the log says is under way.
pub fn advance(leader: &mut Leader, st: &mut State) {
    if st.log.commit() < leader.term_start {
        return;
    }
    while let Some((requester, change)) = leader.reconfigure.early.pop_front() {
        if let Err(refusal) = begin(leader, st, requester, change) {
            leader.reconfigure.answer(st, requester, Err(refusal));
        }
    }
    let early = mutant!("d3_leaves_joint_early") && st.members.current().is_joint();
    let early =
        early || mutant!("d7_leader_leaves_early") && !st.members.current().is_voter(st.id());
    if st.members.current_index() > st.log.commit() && !early {
        return;
    }
    let current = st.members.current().clone();
    leader.peers.values_mut().for_each(|peer| invite(peer, st));
    if current.is_joint() && mutant!("d3_never_leaves_joint") {
        return;
    }
    if current.is_joint() {
        let last = Membership { outgoing: Vec::new(), ..(*current).clone() };
        append_next(leader, st, last);
    } else if !current.contains(st.id()) {
        hand_over_and_leave(leader, st, &current);
    } else if let Some(learner) = current.learners.iter().find(|l| l.promote)
        && caught_up(leader, st, learner.member.id)
    {
        let mut voters = current.voters.clone();
        voters.push(learner.member.clone());
        let rest = without_learner(&current, learner.member.id);
        append_next(leader, st, Membership { voters, outgoing: current.voters.clone(), ..rest });
    }
}

/// Whether a learner has what we have, and got the last part of it within an election timeout
/// (thesis §4.2.1). One that abstains waits until it is repaired.
fn caught_up(leader: &mut Leader, st: &State, learner: NodeId) -> bool {
    let last = st.log.last().index;
    let Some(peer) = leader.peers.get_mut(&learner) else { return false };
    let (target, since) = *peer.catch_up.get_or_insert((last, st.now));
    let counts = peer.matched >= target || mutant!("d17_promoted_behind");
    if !counts || (peer.abstaining && !mutant!("d10_promoted_unrepaired")) {
        return false;
    }
    peer.catch_up = Some((last, st.now));
    st.now.since(since) < st.config.election_timeout
}

/// The configuration without this leader is committed: everybody is told, the fittest campaigns, and
/// this node leaves (thesis §4.2.2).
fn hand_over_and_leave(leader: &mut Leader, st: &mut State, current: &Membership) {
    let early = mutant!("d7_leader_leaves_early");
    if st.log.settled() < st.members.current_index() && !early {
        return;
    }
    for peer in leader.peers.values_mut() {
        replication::send_heartbeat(peer, st, leader.round);
    }
    if let Some(best) = leader.best_voter(st) {
        st.send(best, Body::TimeoutNow);
    }
    st.leave(current.number);
}

/// A node of another lineage answers to an append: it is to be asked to join, or has left.
pub fn on_not_joined(leader: &mut Leader, st: &mut State, m: &Message) {
    let Some(peer) = leader.peers.get_mut(&m.from) else { return };
    if peer.departing.is_some() {
        leader.peers.remove(&m.from);
        return;
    }
    peer.stranger = Some(m.from_incarnation);
    if is_settled(st) {
        invite(peer, st);
    }
}

/// Asks a learner of another lineage to join, once between two heartbeats. Its configuration is
/// committed: the intent is in the log of every later leader.
fn invite(peer: &mut Progress, st: &mut State) {
    let listening = st.members.current().learner(peer.member.id).is_some();
    let Some(run) = peer.stranger.filter(|_| listening && !peer.join_asked) else { return };
    (peer.stranger, peer.join_asked) = (None, true);
    let number = st.members.current().number;
    let body = Body::Join(Join { for_incarnation: run, number });
    let mut message = st.message(peer.member.id, st.term(), body);
    message.address = Some(peer.member.address.clone());
    st.out.send_now(message);
}

/// A learner does not join: it is taken out again, and whoever asked is told why. Not before an entry of
/// this term is committed; it will say so again.
pub fn on_join_refused(leader: &mut Leader, st: &mut State, from: NodeId, refused: &JoinRefused) {
    let current = st.members.current().clone();
    let waits = current.number == refused.number && current.learner(from).is_some();
    if !waits || !is_settled(st) || st.log.commit() < leader.term_start {
        return;
    }
    append_next(leader, st, without_learner(&current, from));
    if let Some((requester, accepted)) = leader.reconfigure.accepted.take()
        && accepted.node == from
    {
        leader.reconfigure.answer(st, requester, Err(refused.refusal.clone()));
    }
}
