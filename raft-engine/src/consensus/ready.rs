//! All that a node asks for.
//!
//! What stands in `messages` may leave at once and may be lost. What must not leave before something
//! is on disk travels inside the `write` that it waits for. Writes are carried out strictly in order
//! and never dropped; `Event::Persisted` says how far they are durable.

use super::command::Entry;
use super::event::{ChangeId, FetchId, ProposalId, ReadId};
use super::membership::Member;
use super::message::Message;
use super::refusal::Refusal;
use super::types::{ClusterId, EntryId, Incarnation, Index, NodeId, Term, Time};

/// What is to be done after a batch of events.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// To send now. May be lost; the order is kept for each destination.
    pub messages: Vec<Message>,
    /// To write, after all earlier ones.
    pub write: Option<Write>,
    /// Old entries to read; answered by `Event::Fetched`.
    pub fetch: Vec<Fetch>,
    /// Committed and durable entries to apply, ascending without a gap, the engine's own included.
    pub apply: Vec<Entry>,
    /// What became of proposals made here.
    pub proposals: Vec<(ProposalId, ProposalOutcome)>,
    /// What became of changes of membership asked for here.
    pub changes: Vec<(ChangeId, Result<(), Refusal>)>,
    /// Reads: allowed once this index is applied here.
    pub reads: Vec<(ReadId, Result<Index, Refusal>)>,
    /// What people and tools may want to know.
    pub notices: Vec<Notice>,
    /// The node joins or leaves a cluster: this core is over. Once all writes are durable: make this
    /// state durable, cut the log after `cut_to`, sync, make it durable again without `cut_pending`,
    /// and build a new core from what is stored.
    pub switch: Option<HardState>,
    /// When to step with `Event::DeadlinePassed`.
    pub deadline: Time,
}

/// What became of a proposal so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProposalOutcome {
    /// It stands in the log of the leader.
    Appended(EntryId),
    /// It was sent to the leader of that term. `Appended` or `Refused` may follow; once an entry of a
    /// higher term is applied here and this one was not, it never will be.
    Forwarded(Term),
    /// It was not appended and will not be.
    Refused(Refusal),
}

/// Something to write. Executed in the order of its fields, made durable as a whole.
#[derive(Clone, Debug)]
pub struct Write {
    /// 1, 2, 3 … in this run.
    pub seq: u64,
    /// The hard state, if it changed.
    pub state: Option<HardState>,
    /// Cut the log after this index first.
    pub keep_to: Option<Index>,
    /// Entries to append, contiguous.
    pub append: Vec<Entry>,
    /// Committed and durable up to here: a hint for the next start, never worth a sync of its own.
    pub commit_hint: Index,
    /// To send once this write and all before it are durable.
    pub after: Vec<Message>,
}

/// A request for old entries `from..=to`, at most `max_bytes` but at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetch {
    /// Comes back in the answer.
    pub id: FetchId,
    /// The first entry.
    pub from: Index,
    /// The last entry.
    pub to: Index,
    /// Where to stop early.
    pub max_bytes: usize,
}

/// What must be durable besides entries (Figure 2: currentTerm, votedFor), and who the node is. Lives
/// apart from the log: it must survive a damaged log, or the node could never be proved safe again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HardState {
    /// Random, for one data directory.
    pub directory: u64,
    /// This node.
    pub node: NodeId,
    /// The history that the log belongs to.
    pub lineage: ClusterId,
    /// Figure 2: currentTerm.
    pub term: Term,
    /// Figure 2: votedFor; 0 = none.
    pub voted_for: NodeId,
    /// This run.
    pub incarnation: Incarnation,
    /// The log was shortened by something else than a leader's append: no vote until repaired.
    pub abstaining: bool,
    /// The log is still to be cut after `cut_to`.
    pub cut_pending: bool,
    /// Asked to join, and not caught up.
    pub joining: bool,
    /// The last run was closed properly.
    pub closed: bool,
    /// Where a join or a leave cut the log.
    pub cut_to: Index,
    /// Others vote by the newest configuration, or it asked this node to join: should that be damaged
    /// one day, there is somebody who can repair it.
    pub has_peers: bool,
    /// Configurations up to this number say nothing about whether this node is a member: those of
    /// `former` if it left one, else those of the lineage, for whoever joined: that number.
    pub number_floor: u64,
    /// The cluster that the node was in before.
    pub former: Option<Former>,
}

impl HardState {
    /// Whether the node was asked into this lineage, which another one founded.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.former.is_none() && self.number_floor > 0
    }
}

/// A cluster that was left: its term and vote wait here, in case the node comes back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Former {
    /// The lineage that was left.
    pub lineage: ClusterId,
    /// Its term.
    pub term: Term,
    /// The vote in that term.
    pub voted_for: NodeId,
    /// The last entry of it that is here: committed and durable.
    pub left_at: EntryId,
}

/// Something worth telling. The core logs nothing; the driver passes these on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Role, term or known leader changed.
    Role {
        /// Leader, candidate or follower here.
        role: RoleName,
        /// The term.
        term: Term,
        /// The leader; 0 = not known.
        leader: NodeId,
    },
    /// A configuration came into force, or was rolled back.
    MembershipChanged {
        /// Its number.
        number: u64,
    },
    /// A configuration is committed and applied here.
    MembershipCommitted {
        /// Its number.
        number: u64,
    },
    /// Another node than the member answers at the member's address.
    WrongNode {
        /// The member.
        member: Member,
        /// Who answers.
        found: NodeId,
    },
    /// A rule that can't be broken was broken: this node stops rather than do harm.
    SafetyAlarm(String),
    /// A newer run with this node's identity is alive, or a twin of this one: this node stops.
    IdentityTaken(String),
    /// The node gives no votes until it is repaired, or does so again.
    Abstaining(bool),
}

/// The role of a node, for notices and getters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RoleName {
    /// Follows, or waits for a leader.
    #[default]
    Follower,
    /// Asks for votes, or whether it would get them.
    Candidate,
    /// Leads.
    Leader,
}
