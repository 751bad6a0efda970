//! Who takes part: a configuration of the cluster, joint while it changes (§6; thesis §4.3), with
//! learners that are sent the log and have no vote (thesis §4.2.1).

use super::types::{Address, ClusterId, Index, NodeId};
use std::fmt;
use std::sync::Arc;

/// A node of a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where the others reach it.
    pub address: Address,
}

/// A node that is sent the log and has no vote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Learner {
    /// The node.
    pub member: Member,
    /// Whether whoever leads makes it a voter once it has caught up.
    pub promote: bool,
}

/// A configuration. In force from the moment it is appended, rolled back with the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Membership {
    /// The lineage it belongs to; entries of a former cluster are history.
    pub cluster: ClusterId,
    /// 1 for the first configuration of a cluster, one more for each; 0 while Standalone.
    pub number: u64,
    /// Who votes.
    pub voters: Vec<Member>,
    /// The voters before the change; empty except during joint consensus.
    pub outgoing: Vec<Member>,
    /// Who only listens.
    pub learners: Vec<Learner>,
}

impl Membership {
    /// The implicit configuration of a node that is in no cluster.
    #[must_use]
    pub fn standalone(cluster: ClusterId, id: NodeId) -> Membership {
        let alone = Member { id, address: Address::from("") };
        Membership { cluster, voters: vec![alone], ..Membership::default() }
    }

    /// Whether two majorities are needed.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the node votes, in either half.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.iter().chain(&self.outgoing).any(|m| m.id == id)
    }

    /// Whether another node votes, in either half.
    #[must_use]
    pub fn has_other_voter(&self, id: NodeId) -> bool {
        self.voters.iter().chain(&self.outgoing).any(|m| m.id != id)
    }

    /// Whether the node takes part at all.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.everyone().any(|m| m.id == id)
    }

    /// The node, if it takes part.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.everyone().find(|m| m.id == id)
    }

    /// The learner of that id.
    #[must_use]
    pub fn learner(&self, id: NodeId) -> Option<&Learner> {
        self.learners.iter().find(|l| l.member.id == id)
    }

    /// All nodes, each once: voters, then those that are leaving, then learners.
    pub fn everyone(&self) -> impl Iterator<Item = &Member> {
        let leaving = self.outgoing.iter().filter(|m| !self.voters.iter().any(|v| v.id == m.id));
        let listening = self.learners.iter().map(|l| &l.member).filter(|m| !self.is_voter(m.id));
        self.voters.iter().chain(leaving).chain(listening)
    }

    /// All voters of either half, each once.
    pub fn all_voters(&self) -> impl Iterator<Item = &Member> {
        self.everyone().filter(|m| self.is_voter(m.id))
    }
}

/// `c7 voters=1,2,3 outgoing=1,2 learners=4+,5`; a `+` marks a learner that is to become a voter.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |members: &[Member]| {
            members.iter().map(|m| m.id.to_string()).collect::<Vec<_>>().join(",")
        };
        write!(f, "c{} voters={}", self.number, ids(&self.voters))?;
        if self.is_joint() {
            write!(f, " outgoing={}", ids(&self.outgoing))?;
        }
        if !self.learners.is_empty() {
            let learner =
                |l: &Learner| format!("{}{}", l.member.id, if l.promote { "+" } else { "" });
            write!(
                f,
                " learners={}",
                self.learners.iter().map(learner).collect::<Vec<_>>().join(",")
            )?;
        }
        Ok(())
    }
}

/// The configurations of the log: the newest committed one, and those after it.
#[derive(Clone, Debug)]
pub struct Memberships {
    /// `(index of its entry, configuration)`, ascending, never empty.
    stack: Vec<(Index, Arc<Membership>)>,
}

impl Memberships {
    /// `base` is in force before the first of `entries`.
    #[must_use]
    pub fn new(base: Membership, entries: Vec<(Index, Arc<Membership>)>) -> Memberships {
        let mut stack = vec![(Index::ZERO, Arc::new(base))];
        stack.extend(entries);
        Memberships { stack }
    }

    /// The configuration in force: the newest one, committed or not (§6).
    #[must_use]
    pub fn current(&self) -> &Arc<Membership> {
        &self.newest().1
    }

    /// The index of its entry; 0 for what was there before the log.
    #[must_use]
    pub fn current_index(&self) -> Index {
        self.newest().0
    }

    /// The newest configuration at or before `index`.
    #[must_use]
    pub fn at(&self, index: Index) -> &Arc<Membership> {
        let at = self.stack.partition_point(|(i, _)| *i <= index);
        &self.stack[at.saturating_sub(1)].1
    }

    /// The configuration of that number, and the index of its entry.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Option<&(Index, Arc<Membership>)> {
        self.stack.iter().rfind(|(_, membership)| membership.number == number)
    }

    /// The configuration before the one in force.
    #[must_use]
    pub fn previous(&self) -> Option<&Arc<Membership>> {
        self.stack.len().checked_sub(2).map(|at| &self.stack[at].1)
    }

    /// A configuration was appended.
    pub fn push(&mut self, index: Index, membership: Arc<Membership>) {
        self.stack.push((index, membership));
    }

    /// The log was cut after `keep`. Whether that changed what is in force.
    pub fn truncate(&mut self, keep: Index) -> bool {
        let before = self.stack.len();
        self.stack.retain(|(index, _)| *index <= keep);
        self.stack.len() != before
    }

    fn newest(&self) -> &(Index, Arc<Membership>) {
        self.stack.last().expect("there is always the one before the log")
    }
}
