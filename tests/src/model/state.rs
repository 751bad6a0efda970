//! The variables of the specification for one node, and what its last batch heard.

use super::rule;
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::membership::{Member, Membership};
use quorate_engine::consensus::message::{Join, Message};
use quorate_engine::consensus::raft::Raft;
use quorate_engine::consensus::ready::{HardState, RoleName};
use quorate_engine::consensus::types::{
    ClusterId, EntryId, Incarnation, Index, NodeId, Term, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What can be seen of a node from outside.
#[derive(Clone, Debug)]
pub struct Seen {
    /// currentTerm.
    pub term: Term,
    /// votedFor.
    pub vote: NodeId,
    /// state.
    pub role: RoleName,
    /// commitIndex.
    pub commit: Index,
    /// It gives no votes.
    pub abstaining: bool,
}

impl Seen {
    /// How a core stands.
    #[must_use]
    pub fn of(core: &Raft) -> Seen {
        let status = core.status();
        let hard = core.hard_state();
        Seen {
            term: hard.term,
            vote: hard.voted_for,
            role: status.role,
            commit: status.commit,
            abstaining: hard.abstaining,
        }
    }
}

/// What a batch heard, as far as it permits something.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Messages of this lineage and of the newest runs, in order.
    pub messages: Vec<Message>,
    /// Requests for votes that no lease forbids: candidate, term, end of its log.
    pub requests: Vec<(NodeId, Term, EntryId)>,
    /// Terms that may be entered.
    pub terms: Vec<Term>,
    /// The election timeout passed without a leader.
    pub timeout: bool,
    /// The leader asked for an election.
    pub transfer: bool,
    /// The leader's timer passed.
    pub deadline: bool,
    /// Callers, here or at followers, proposed.
    pub proposed: bool,
    /// Somebody asked a node to join.
    pub joins: Vec<(ClusterId, Join)>,
    /// A member said that this node is none.
    pub not_member: bool,
    /// The leader said what repairs this run.
    pub repair: bool,
    /// The run was repaired when it heard of a later term.
    pub whole: bool,
}

/// A write that is not durable.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub seq: u64,
    pub term: Term,
    pub vote: NodeId,
    /// The first entry that it appends, if it appends any.
    pub first: Option<Index>,
}

/// One node, as the specification sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) id: NodeId,
    pub(super) lineage: ClusterId,
    pub(super) hard: HardState,
    pub(super) timeout: Duration,
    pub(super) pre_vote: bool,
    pub(super) check_quorum: bool,
    /// currentTerm, votedFor, state, commitIndex.
    pub(super) seen: Seen,
    pub(super) log: Vec<Entry>,
    /// The configurations in the log: a standalone one at 0, then those of this lineage.
    pub(super) configurations: Vec<(Index, Arc<Membership>)>,
    pub(super) durable: Index,
    pub(super) durable_vote: (Term, NodeId),
    pub(super) writes: VecDeque<Pending>,
    /// votesGranted, in the election of that round.
    pub(super) round: u64,
    pub(super) grants: BTreeSet<NodeId>,
    pub(super) pre_round: u64,
    pub(super) pre_grants: BTreeSet<NodeId>,
    /// matchIndex, and the run that said so.
    pub(super) matched: BTreeMap<NodeId, (Incarnation, Index)>,
    /// When each node answered the leader last, and which heartbeat.
    pub(super) answered: BTreeMap<NodeId, (Time, u64)>,
    /// Since when this leader counts on its configuration.
    pub(super) quorum_since: Time,
    /// The newest heartbeat that left, and what it was when each read was asked for.
    pub(super) heartbeat: u64,
    pub(super) reads: BTreeMap<u64, u64>,
    /// Who leads a term, and when it was heard last.
    pub(super) lease: Option<(Term, NodeId, Time)>,
    /// In this term: what the leader told of its commit index, and how far the logs are known to agree.
    pub(super) told_commit: Index,
    pub(super) verified: Index,
    /// With what this run is repaired, as the leader of a term told it.
    pub(super) repair: Option<(Term, Index)>,
    /// Whose newest answer to this leader said that it abstains.
    pub(super) abstainers: BTreeSet<NodeId>,
    pub(super) runs: BTreeMap<NodeId, Incarnation>,
    pub(super) heard: Heard,
    pub(super) switching: Option<HardState>,
}

impl Peer {
    pub(super) fn start(config: &Config, hard: &HardState, log: &[Entry], commit: Index) -> Peer {
        let alone = Member { id: hard.node, address: "".into() };
        let joined = hard.joining || (hard.former.is_none() && hard.number_floor > 0);
        let voters = if joined { Vec::new() } else { vec![alone] };
        let base = Membership { cluster: hard.lineage, voters, ..Membership::default() };
        let mut peer = Peer {
            id: hard.node,
            lineage: hard.lineage,
            hard: hard.clone(),
            timeout: config.election_timeout,
            pre_vote: config.pre_vote,
            check_quorum: config.check_quorum,
            seen: Seen {
                term: hard.term,
                vote: hard.voted_for,
                role: RoleName::Follower,
                commit,
                abstaining: hard.abstaining,
            },
            log: Vec::new(),
            configurations: vec![(Index::ZERO, Arc::new(base))],
            durable: Index(log.len() as u64),
            durable_vote: (hard.term, hard.voted_for),
            writes: VecDeque::new(),
            round: 0,
            grants: BTreeSet::new(),
            pre_round: 0,
            pre_grants: BTreeSet::new(),
            matched: BTreeMap::new(),
            answered: BTreeMap::new(),
            quorum_since: Time::default(),
            heartbeat: 0,
            reads: BTreeMap::new(),
            lease: None,
            told_commit: Index::ZERO,
            verified: Index::ZERO,
            repair: None,
            abstainers: BTreeSet::new(),
            runs: BTreeMap::new(),
            heard: Heard::default(),
            switching: None,
        };
        log.iter().for_each(|entry| peer.push(entry.clone()));
        peer
    }

    /// `Restart`: what was durable is there again, or what was on its way to the disk.
    pub(super) fn restart(&self, next: &Peer) -> Result<(), String> {
        if let Some(hard) = &self.switching
            && hard.lineage == next.lineage
        {
            return rule((hard.term, hard.voted_for) == (next.seen.term, next.seen.vote), || {
                format!("a change of lineage keeps term and vote: t{}", next.seen.term)
            });
        }
        if self.lineage != next.lineage {
            return Ok(());
        }
        let (term, vote) = self.durable_vote;
        let now = (next.seen.term, next.seen.vote);
        rule(now.0 >= term, || format!("Restart keeps currentTerm: {term}, then {}", now.0))?;
        rule(now.0 > term || vote.is_zero() || now.1 == vote, || {
            format!("Restart keeps votedFor in t{term}: {vote}, then {}", now.1)
        })
    }

    /// The entry at an index.
    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.get(index.0.checked_sub(1)? as usize)
    }

    /// Whether the log has the entry; what is before the first is in every log.
    pub(super) fn contains(&self, id: EntryId) -> bool {
        id == EntryId::ZERO || self.entry(id.index).is_some_and(|entry| entry.id() == id)
    }

    pub(super) fn last(&self) -> EntryId {
        self.log.last().map_or(EntryId::ZERO, Entry::id)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if let Payload::Membership(m) = &entry.payload
            && m.cluster == self.lineage
        {
            self.configurations.push((entry.index, m.clone()));
        }
        self.log.push(entry);
    }

    pub(super) fn truncate(&mut self, keep: Index) {
        self.log.truncate(keep.0 as usize);
        self.configurations.retain(|(index, _)| *index <= keep);
        self.durable = self.durable.min(keep);
    }

    /// The newest configuration at or before an index (§6: in force when appended).
    pub(super) fn configuration(&self, at: Index) -> (Index, &Arc<Membership>) {
        let newest = self.configurations.iter().rev().find(|(index, _)| *index <= at);
        newest.map_or_else(|| (Index::ZERO, &self.configurations[0].1), |(index, m)| (*index, m))
    }

    /// The newest configuration of the log.
    pub(super) fn in_force(&self) -> &Arc<Membership> {
        self.configuration(self.last().index).1
    }

    /// Whether an entry is of this term.
    pub(super) fn is_of_term(&self, index: Index, term: Term) -> bool {
        self.entry(index).is_some_and(|entry| entry.term == term)
    }

    /// This node led that term when the batch began.
    pub(super) fn led(&self, term: Term) -> bool {
        self.seen.role == RoleName::Leader && self.seen.term == term
    }
}

/// Whether a majority of each half says yes (§6).
pub(super) fn quorum(membership: &Membership, yes: impl Fn(NodeId) -> bool) -> bool {
    let majority = |half: &[Member]| half.iter().filter(|m| yes(m.id)).count() * 2 > half.len();
    majority(&membership.voters)
        && (membership.outgoing.is_empty() || majority(&membership.outgoing))
}
