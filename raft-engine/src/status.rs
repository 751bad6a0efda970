//! What a service tells of itself: plain data, the same fields in every language.

use crate::consensus::membership::{Member, Membership};
use crate::consensus::types::{ClusterId, Index, NodeId, Term};
use crate::error::ErrorKind;
use std::collections::BTreeMap;

/// The state of a service. The numbers are those of the package page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(i32)]
pub enum State {
    /// Follows a leader, or waits for one.
    #[default]
    Follower = 0,
    /// Campaigns, or asks whether it should.
    Candidate = 1,
    /// Leads.
    Leader = 2,
    /// In no cluster.
    Standalone = 3,
    /// Being closed.
    Stopping = 4,
    /// Closed.
    Stopped = 5,
    /// A disk, a state machine or a safety rule stopped it; the host did not.
    Failed = 6,
}

/// Where the current change of membership stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(i32)]
pub enum MembershipChangeMode {
    /// No change, or only a learner that catches up.
    #[default]
    Stable = 0,
    /// The joint configuration is appended.
    ProposedJointConsensus = 1,
    /// The final configuration is appended and not committed.
    ProposedFinalConsensus = 2,
}

/// What the library tells its own main loop; named for diagnosis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum LoopCommand {
    /// A configuration came into force.
    UpdateConfiguration = 0,
    /// The node was asked to join a cluster.
    JoinAsFollower = 1,
    /// The node became a cluster of one.
    JoinAsCandidate = 2,
}

/// The page's plain getters, all of one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Info {
    /// The state.
    pub state: State,
    /// Where the current change of membership stands.
    pub membership_change_mode: MembershipChangeMode,
    /// With `State::Failed` why.
    pub failure: Option<ErrorKind>,
    /// This node.
    pub my_id: NodeId,
    /// 0 in no cluster.
    pub cluster_id: ClusterId,
    /// 0 unknown; on the leader its own.
    pub leader_id: NodeId,
    /// The term.
    pub current_term: Term,
    /// The last entry known to be committed.
    pub commit_index: Index,
    /// The last entry applied here.
    pub last_applied: Index,
    /// The lowest index of the log; 0 when it is empty.
    pub first_index: Index,
    /// The highest index of the log.
    pub last_index: Index,
    /// Its term.
    pub last_term: Term,
}

/// A configuration in force; `next` is empty except during joint consensus.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeList {
    /// The voters; during joint consensus the old ones.
    pub current: Vec<Member>,
    /// During joint consensus the new voters.
    pub next: Vec<Member>,
    /// Nodes that listen and do not vote, such as one that catches up.
    pub learners: Vec<Member>,
}

impl NodeList {
    /// How a membership looks in the page's words. Empty for a Standalone node's implicit one.
    #[must_use]
    pub fn of(membership: &Membership) -> NodeList {
        if membership.number == 0 {
            return NodeList::default();
        }
        let learners = membership.learners.iter().map(|l| l.member.clone()).collect();
        let voters = membership.voters.clone();
        if membership.is_joint() {
            NodeList { current: membership.outgoing.clone(), next: voters, learners }
        } else {
            NodeList { current: voters, next: Vec::new(), learners }
        }
    }
}

/// Diagnosis.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProtocolStatus {
    /// On a leader the last durable index of each member, itself included; Standalone empty; else
    /// `None`.
    pub peer_indices: Option<BTreeMap<NodeId, Index>>,
}

/// What text `Service::report` gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Report {
    /// Everything, with peers, queues, settings and failure: one JSON object.
    Json = 0,
    /// Metrics as Prometheus text, version 0.0.4.
    Prometheus = 1,
}
