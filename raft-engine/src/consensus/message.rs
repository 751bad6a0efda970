//! What nodes say to one another: one struct for each message, well-formed once it is here. The
//! wire module turns them into bytes and back.

use super::command::{Command, Entry};
use super::refusal::Refusal;
use super::types::{Address, ClusterId, EntryId, Incarnation, Index, NodeId, Term};

/// A message with its envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The sender, which a transport has checked against its connection.
    pub from: NodeId,
    /// The run of the sender that sent it.
    pub from_incarnation: Incarnation,
    /// The receiver; 0 = whoever is at `address`.
    pub to: NodeId,
    /// Where the receiver is. `None`: not known here, answer on the connection it came by. Does not
    /// travel.
    pub address: Option<Address>,
    /// The sender's lineage, also while it is private.
    pub cluster: ClusterId,
    /// The sender's term.
    pub term: Term,
    /// What is said.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// Who are you?
    Identify(Identify),
    /// The answer to it.
    Identity(Identity),
    /// The answer of a node of another lineage to an append.
    NotJoined(NotJoined),
    /// A leader asks a node to become a member.
    Join(Join),
    /// The node refuses.
    JoinRefused(JoinRefused),
    /// You are no member any more.
    NotMember(NotMember),
    /// Another run of your identity is known; number 7 on the wire.
    Superseded(Superseded),
    /// §5.3; without entries a heartbeat.
    AppendEntries(AppendEntries),
    /// Its answer.
    AppendEntriesResponse(AppendEntriesResponse),
    /// §5.2; as a pre-vote thesis §9.6.
    RequestVote(RequestVote),
    /// Its answer.
    RequestVoteResponse(RequestVoteResponse),
    /// Campaign at once (thesis §3.10).
    TimeoutNow,
    /// A follower passes proposals to its leader.
    Forward(Forward),
    /// What became of them there.
    ForwardResponse(ForwardResponse),
    /// A follower passes a change of membership to its leader.
    ChangeRequest(ChangeRequest),
    /// Whether the leader took it.
    ChangeResponse(ChangeResponse),
    /// A follower asks up to where it must apply before it may read (thesis §6.4).
    ReadIndex(ReadIndex),
    /// The answer.
    ReadIndexResponse(ReadIndexResponse),
}

/// Asks who is at an address. Answered in every state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identify {
    /// Comes back in the answer.
    pub nonce: u64,
}

/// Who a node is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// That of the question.
    pub nonce: u64,
    /// The node, and which run of it.
    pub node: NodeId,
    /// The run.
    pub incarnation: Incarnation,
    /// The cluster it is, or was last, in; 0 for none.
    pub cluster: ClusterId,
    /// What it is to that cluster.
    pub standing: Standing,
    /// The end of its log.
    pub last_index: Index,
}

/// What a node is to clusters, as far as adding it somewhere goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// In no cluster, and nothing was written.
    Fresh,
    /// In no cluster ever, with data of its own.
    HasData,
    /// A member.
    Member,
    /// Asked to become one, and not caught up.
    Joining,
    /// Was a member, and wrote nothing of its own since.
    Former,
    /// Was a member, and has data of its own since.
    FormerWithData,
}

/// "I am of another lineage": what a node that was not asked to join yet says to an append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotJoined {
    /// What it is to clusters.
    pub standing: Standing,
}

/// Become a member of the cluster in the envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Join {
    /// The run that answered `NotJoined`: a delayed Join must not meet a later one.
    pub for_incarnation: Incarnation,
    /// The configuration in which the node is a learner.
    pub number: u64,
}

/// Why a node does not join.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinRefused {
    /// That of the Join.
    pub number: u64,
    /// The reason.
    pub refusal: Refusal,
}

/// "Configuration `number`, which is committed, does not have you."
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotMember {
    /// The configuration.
    pub number: u64,
}

/// "A newer run of you, or a twin, is alive."
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Superseded {
    /// That run.
    pub by: Incarnation,
}

/// Entries, the commit index, and a sign of life.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppendEntries {
    /// The entry before the first of `entries`.
    pub prev: EntryId,
    /// Contiguous, from `prev.index + 1` on, of terms that do not fall.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: Index,
    /// Comes back in the answer: which heartbeat this is.
    pub round: u64,
    /// The run of an abstaining follower that `repair_to` is meant for; 0 = none.
    pub repair_for: Incarnation,
    /// With this much durable, that run has all that it ever acknowledged.
    pub repair_to: Index,
}

impl AppendEntries {
    /// The same without the entries.
    #[must_use]
    pub fn clone_head(&self) -> AppendEntries {
        AppendEntries { entries: Vec::new(), ..*self }
    }
}

/// What a follower did with an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AppendVerdict {
    /// `matched` is durable here and equals the leader's log.
    Matched,
    /// The entry `prev` is not here; `hint` says where to try next.
    Mismatch,
    /// The sender's term is over.
    StaleTerm,
    /// The entries were not taken: too much is waiting for the disk.
    Busy,
    /// The entries were not taken: the disk is full.
    DiskFull,
}

/// The answer to an append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppendEntriesResponse {
    /// What was done.
    pub verdict: AppendVerdict,
    /// Durable here and equal to the leader's log up to here; 0 = nothing is known in this term.
    pub matched: Index,
    /// The end of the log here.
    pub last_index: Index,
    /// With `Mismatch`: the last entry here at or before `prev` whose term is not above `prev`'s.
    pub hint: EntryId,
    /// That of the append.
    pub round: u64,
    /// The node gives no votes until it is repaired.
    pub abstaining: bool,
}

/// A candidate asks for a vote, or with `pre` whether it would get one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestVote {
    /// The end of the candidate's log.
    pub last: EntryId,
    /// Comes back in the answer: which round of which run this is.
    pub round: u64,
    /// The candidate's newest configuration.
    pub number: u64,
    /// A pre-vote: the envelope's term is the one that the candidate would have.
    pub pre: bool,
    /// The leader asked for this election: who hears the leader votes all the same.
    pub transfer: bool,
}

/// A voter's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestVoteResponse {
    /// That of the request.
    pub round: u64,
    /// Of a pre-vote.
    pub pre: bool,
    /// Given or not.
    pub granted: bool,
}

/// How many places of its stream of proposals a follower is ahead of the first that was not answered:
/// the leader remembers as many answers, so that it can repeat any that was lost.
pub const FORWARD_WINDOW: usize = 1024;

/// Proposals on their way to the leader of the envelope's term, and to nobody else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forward {
    /// The place of the first in the stream from this run to this leader, which begins at
    /// `Incarnation::first_number`: answers to an earlier run are about other places.
    pub first: u64,
    /// The proposals, in order.
    pub commands: Vec<Command>,
}

/// What a leader did with forwarded proposals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ForwardResponse {
    /// `first..first + count` of the stream stand in the log from `index` on.
    Appended {
        /// First in the stream.
        first: u64,
        /// How many.
        count: u64,
        /// The place of the first in the log.
        index: Index,
    },
    /// `first..first + count` will not be appended.
    Refused {
        /// First in the stream.
        first: u64,
        /// How many.
        count: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Everything before this was taken; send from here on.
    Expected {
        /// The next in the stream.
        next: u64,
    },
}

/// A change of membership, as a caller asks for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Make this Standalone node a cluster of one that the others reach at the address.
    Initialize(Address),
    /// Add the node at the address.
    Add(Address),
    /// Remove the node.
    Remove(NodeId),
}

/// A change on its way to the leader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChangeRequest {
    /// Unique at the sender, over its runs too.
    pub id: u64,
    /// `Add` or `Remove`.
    pub change: Change,
}

/// Whether the leader took a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChangeResponse {
    /// That of the request.
    pub id: u64,
    /// The change stands in the log. Or why not.
    pub result: Result<Accepted, Refusal>,
}

/// A change of membership that stands in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// The node that it is about.
    pub node: NodeId,
    /// The first configuration that it made.
    pub number: u64,
}

/// Asks for a read index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadIndex {
    /// Comes back in the answer.
    pub batch: u64,
}

/// A read index: whoever has applied it may read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadIndexResponse {
    /// That of the question.
    pub batch: u64,
    /// What to apply first.
    pub index: Index,
}
