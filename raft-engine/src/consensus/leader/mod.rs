//! A node that leads: takes office, orders proposals, keeps its quorum, commits (§5.3, §5.4).

pub mod forward;
pub mod read_index;
pub mod reconfigure;
pub mod replication;
pub mod requester;

use self::forward::Streams;
use self::read_index::Reads;
use self::reconfigure::Reconfigure;
use super::command::{Command, Entry, Payload};
use super::event::FetchId;
use super::membership::{Member, Membership};
use super::message::{AppendEntriesResponse, Body, Message};
use super::progress::Progress;
use super::quorum;
use super::ready::ProposalOutcome;
use super::refusal::{Reason, Refusal};
use super::state::{State, Transition};
use super::types::{Address, Index, NodeId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What only a leader has.
#[derive(Clone, Debug)]
pub struct Leader {
    /// The first entry of this term. Only entries from here on are committed by counting (§5.4.2).
    pub term_start: Index,
    /// The others, learners and those that are leaving included.
    pub peers: BTreeMap<NodeId, Progress>,
    /// The newest heartbeat.
    pub round: u64,
    /// Waiting reads.
    pub reads: Reads,
    /// The change of membership under way.
    pub reconfigure: Reconfigure,
    streams: Streams,
    heartbeat_at: Time,
    quorum_at: Time,
    /// When followers that were sent nothing else are told the commit index.
    commit_due: Option<Time>,
    /// Followers whose callers wait for entries that are committed now.
    waiting: BTreeSet<NodeId>,
    uncommitted: VecDeque<(Index, usize)>,
    uncommitted_bytes: usize,
}

impl Leader {
    /// Takes office: an empty entry, by which earlier ones can be committed (§5.4.2, §8), and a
    /// heartbeat to all.
    pub fn take_office(st: &mut State) -> Leader {
        let before = st.log.last().index;
        st.leader = st.id();
        let mut leader = Leader {
            term_start: before.next(),
            peers: BTreeMap::new(),
            round: 0,
            reads: Reads::default(),
            reconfigure: Reconfigure::default(),
            streams: Streams::default(),
            heartbeat_at: st.now,
            quorum_at: st.now + st.config.election_timeout,
            commit_due: None,
            waiting: BTreeSet::new(),
            uncommitted: VecDeque::new(),
            uncommitted_bytes: 0,
        };
        leader.sync_peers(st, before.next());
        leader.append(st, vec![Payload::Noop]);
        leader.start_round(st);
        leader
    }

    /// Callers here propose.
    pub fn on_propose(&mut self, st: &mut State, commands: Vec<Command>) {
        let ids: Vec<u64> = commands.iter().map(|command| command.origin().seq).collect();
        match self.append_commands(st, commands) {
            Ok(first) => {
                let term = st.term();
                let outcome = |(i, id): (usize, u64)| {
                    let index = Index(first.0 + i as u64);
                    (id, ProposalOutcome::Appended(super::types::EntryId::new(index, term)))
                };
                st.out.ready.proposals.extend(ids.into_iter().enumerate().map(outcome));
            }
            Err(refusal) => {
                let refused = |id| (id, ProposalOutcome::Refused(refusal.clone()));
                st.out.ready.proposals.extend(ids.into_iter().map(refused));
            }
        }
    }

    /// Appends proposals, all or none. The index of the first.
    fn append_commands(
        &mut self,
        st: &mut State,
        commands: Vec<Command>,
    ) -> Result<Index, Refusal> {
        if st.disk_full {
            let text = "the disk of the leader is full: free space there; nothing was written";
            return Err(Refusal::new(Reason::DiskFull, text));
        }
        if st.out.unwritten_bytes() >= st.config.max_unwritten_bytes
            || self.uncommitted_bytes >= st.config.max_uncommitted_bytes
        {
            let text =
                "the leader has as much under way as it may: wait for answers, then try again";
            return Err(Refusal::new(Reason::Busy, text));
        }
        let first = st.log.last().index.next();
        self.append(st, commands.into_iter().map(Payload::Command).collect());
        Ok(first)
    }

    /// Appends entries of this term; they are sent when the batch is over.
    pub fn append(&mut self, st: &mut State, payloads: Vec<Payload>) {
        let (term, first) = (st.term(), st.log.last().index.0 + 1);
        let entry = |(i, payload)| Entry { index: Index(first + i as u64), term, payload };
        let entries: Vec<Entry> = payloads.into_iter().enumerate().map(entry).collect();
        let bytes = entries.iter().map(Entry::size).sum();
        st.append(entries);
        self.uncommitted.push_back((st.log.last().index, bytes));
        self.uncommitted_bytes += bytes;
    }

    /// Proposals that a follower passes on.
    pub fn on_forward(&mut self, st: &mut State, m: &Message, f: &super::message::Forward) {
        if m.term != st.term() && !mutant!("h2_stale_forward_is_taken") {
            return; // Meant for another reign; the sender finds out by itself what became of them.
        }
        let Some((first, commands)) = self.streams.next(st, m, f) else { return };
        let count = commands.len() as u64;
        let result = self.append_commands(st, commands);
        self.streams.answer(st, m.from, first, count, result);
    }

    /// A follower answered an append.
    pub fn on_append_response(&mut self, st: &mut State, m: &Message, r: &AppendEntriesResponse) {
        let last = st.log.last().index;
        let Some(peer) = self.peers.get_mut(&m.from) else { return };
        replication::on_response(peer, st, m, r, last);
        self.reads.on_ack(st, &self.peers);
    }

    /// Old entries to send were read.
    pub fn on_fetched(&mut self, st: &mut State, id: FetchId, entries: &[Entry]) {
        if let Some(peer) = self.peers.values_mut().find(|peer| peer.fetch == Some(id)) {
            replication::send_fetched(peer, st, self.round, entries);
        }
    }

    /// A deadline passed: quorum first, then heartbeats.
    pub fn on_deadline(&mut self, st: &mut State) -> Transition {
        if st.now >= self.quorum_at {
            self.quorum_at = st.now + st.config.election_timeout;
            if st.config.check_quorum && (!self.has_quorum(st) || self.hands_over(st)) {
                st.leader = NodeId::ZERO;
                return Transition::Follow;
            }
        }
        if st.now >= self.heartbeat_at {
            self.peers.retain(|_, peer| peer.departing.is_none_or(|until| until > st.now));
            self.start_round(st);
        }
        self.reconfigure.on_deadline(st);
        Transition::Stay
    }

    /// When to call `on_deadline`, or to flush.
    pub fn deadline(&self, st: &State) -> Time {
        let alone = self.peers.is_empty();
        let (heartbeat, quorum) =
            if alone { (Time::NEVER, Time::NEVER) } else { (self.heartbeat_at, self.quorum_at) };
        let commit = self.commit_due.unwrap_or(Time::NEVER);
        heartbeat.min(quorum).min(commit).min(self.reconfigure.deadline(st))
    }

    /// The batch is over: commits what can be, goes on with changes and reads, sends what is due.
    /// `Follow` when this node was removed and hands over.
    pub fn flush(&mut self, st: &mut State) {
        self.advance_commit(st);
        reconfigure::advance(self, st);
        if st.over {
            return;
        }
        self.reads.on_ack(st, &self.peers); // a smaller quorum may have answered already
        if self.reads.begin(st, self.term_start) {
            self.start_round(st);
            self.reads.assign(self.round);
        }
        for peer in self.peers.values_mut() {
            replication::send_entries(peer, st, self.round);
        }
        self.tell_commit(st);
    }

    /// A heartbeat to all: a sign of life, a test of what each has, and the ground of reads.
    pub fn start_round(&mut self, st: &mut State) {
        self.round = st.nonce();
        self.heartbeat_at = st.now + st.config.heartbeat;
        for peer in self.peers.values_mut() {
            peer.join_asked = false;
            replication::send_heartbeat(peer, st, self.round);
        }
    }

    /// Serves exactly the nodes of the configuration in force, and for a while those that left it,
    /// so that they learn of it.
    pub fn sync_peers(&mut self, st: &State, next: Index) {
        let membership = st.members.current().clone();
        let until = st.now + st.config.election_timeout * 10;
        for member in membership.everyone().filter(|m| m.id != st.id()) {
            let new = || Progress::new(member.clone(), next);
            let peer = self.peers.entry(member.id).or_insert_with(new);
            peer.departing = None;
            peer.member = member.clone();
        }
        for peer in self.peers.values_mut().filter(|p| !membership.contains(p.member.id)) {
            peer.departing = peer.departing.or(Some(until));
        }
    }

    /// The follower that has most, among voters of the configuration in force.
    pub fn best_voter(&self, st: &State) -> Option<NodeId> {
        let membership = st.members.current();
        let voters = self.peers.values().filter(|p| membership.is_voter(p.member.id));
        voters.filter(|p| !p.abstaining).max_by_key(|p| p.matched).map(|p| p.member.id)
    }

    /// What a node has durably, ourselves included.
    pub fn matched(&self, st: &State, id: NodeId) -> Index {
        if id == st.id() {
            let early = mutant!("b10_own_write_counts_early");
            return if early { st.log.last().index } else { st.log.durable() };
        }
        self.peers.get(&id).map_or(Index::ZERO, |peer| peer.matched)
    }

    /// Commits what a majority of each half has durably, if it is of this term (§5.3, §5.4.2).
    fn advance_commit(&mut self, st: &mut State) {
        let membership = if mutant!("d2_configuration_from_its_commit_on") {
            st.members.at(st.log.commit()).clone()
        } else if mutant!("d15_removed_leader_counts_itself") {
            with_voter(st.members.current(), st.id())
        } else {
            st.members.current().clone()
        };
        let index = quorum::committed(&membership, |id| self.matched(st, id));
        let before = st.log.commit();
        let own = index >= self.term_start || mutant!("b1_commit_of_prior_term");
        if !own || !st.log.commit_to(index) {
            return;
        }
        while self.uncommitted.front().is_some_and(|&(last, _)| last <= index) {
            self.uncommitted_bytes -= self.uncommitted.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        let origins = st.log.newest(before, index).map(|entry| entry.payload.origin().node);
        self.waiting.extend(origins.filter(|node| self.peers.contains_key(node)));
        let due = st.now + st.config.commit_delay;
        self.commit_due = Some(self.commit_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Followers whose callers wait hear of a new commit index at once, the others with the next
    /// entries, or soon.
    fn tell_commit(&mut self, st: &mut State) {
        let due = self.commit_due.is_some_and(|at| st.now >= at);
        let commit = st.log.commit();
        for (id, peer) in &mut self.peers {
            if peer.sent_commit < commit && (due || self.waiting.contains(id)) {
                replication::send_commit(peer, st, self.round);
            }
        }
        self.waiting.clear();
        if due || self.peers.values().all(|peer| peer.sent_commit >= commit) {
            self.commit_due = None;
        }
    }

    /// The others have committed what our disk has not finished for T, and whoever waits here waits for
    /// it: the fittest of them leads better. Where they can't commit without this disk, nobody would.
    fn hands_over(&self, st: &mut State) -> bool {
        let slowest = st.disk_stands_still() && st.log.durable() < st.log.commit();
        let Some(best) = self.best_voter(st).filter(|_| slowest) else { return false };
        st.send(best, Body::TimeoutNow);
        true
    }

    fn has_quorum(&self, st: &State) -> bool {
        let recent = |at: Time| st.now.since(at) <= st.config.election_timeout;
        let learners = mutant!("b8_learners_keep_the_lease") && !self.peers.is_empty();
        learners
            || quorum::majority(st.members.current(), |id| {
                id == st.id() || self.peers.get(&id).and_then(|p| p.heard_at).is_some_and(recent)
            })
    }
}

/// For the mistake `d15_removed_leader_counts_itself`.
fn with_voter(membership: &Arc<Membership>, id: NodeId) -> Arc<Membership> {
    let mut counted = (**membership).clone();
    if !counted.voters.iter().any(|voter| voter.id == id) {
        counted.voters.push(Member { id, address: Address::from("") });
    }
    Arc::new(counted)
}
