//! The facade: a running instance of Raft. Values in, result or completion out, no generics, so that
//! each language only translates.

use crate::change::NewEntry;
use crate::consensus::types::{EntryId, NodeId};
use crate::error::{Error, ErrorKind};
use crate::queue::Queue;
use crate::settings::Settings;
use crate::state_machine::StateMachine;
use crate::status::{Info, NodeList, ProtocolStatus, Report};
use crate::tracker::ChangeTracker;
use bytes::Bytes;
use std::time::Duration;

/// How long a call may take; `None` = without end.
pub type Timeout = Option<Duration>;

/// What a proposal gave: where it stands, and the state machine's reply on this node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reply {
    /// Index and term.
    pub id: EntryId,
    /// The reply; `None` when the state machine gave none.
    pub data: Option<Bytes>,
}

/// One piece of asynchronous work.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller's own; comes back in the completion.
    pub token: u64,
    /// When to give up.
    pub timeout: Timeout,
    /// What to do.
    pub op: Op<'a>,
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Propose, and complete when this node has applied the change, with the reply.
    ProposeWait(NewEntry<'a>),
    /// Propose, and complete when the change is in the leader's log.
    Propose(NewEntry<'a>),
    /// A read barrier.
    ReadBarrier,
    /// As `Service::initialize_cluster`.
    InitializeCluster(&'a str),
    /// As `Service::add_node`.
    AddNode(&'a str),
    /// As `Service::remove_node`.
    RemoveNode(NodeId),
}

/// A running instance: one member, or one that may become one. All calls from any thread. Dropping
/// it closes it.
pub struct Service {}

impl Service {
    /// Opens the store, the state machine and the listener, and starts the threads. A new data
    /// directory gives a Standalone service, another one what it was.
    pub fn start(_settings: Settings, _machine: Box<dyn StateMachine>) -> Result<Service, Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Stops the service and its threads. Whoever waits gets `Interrupted`. Looking goes on to work,
    /// everything else returns `Closed`. A second close is fine.
    pub fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes this Standalone service a cluster of one that others can be added to, its data kept.
    /// `address` is where the others reach this node. Returns when the configuration is committed.
    pub fn initialize_cluster(&self, _address: &str, _timeout: Timeout) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Asks who is at `address`, lets that node catch up as a learner, and adds it by joint
    /// consensus. On any member. Returns when the final configuration is applied here.
    pub fn add_node(&self, _address: &str, _timeout: Timeout) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Removes a member, this node and the leader included. It becomes Standalone with its data,
    /// durably, and can be added again.
    pub fn remove_node(&self, _node: NodeId, _timeout: Timeout) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Proposes a change. Returns as soon as it is in the leader's log; it is not committed then.
    pub fn propose(&self, _entry: NewEntry<'_>, _timeout: Timeout) -> Result<EntryId, Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Proposes a change. Returns when this node has applied it, with the state machine's reply.
    pub fn propose_wait(&self, _entry: NewEntry<'_>, _timeout: Timeout) -> Result<Reply, Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Starts requests and returns how many, from the front, were taken; everything in them has been
    /// copied by then. Each one taken gives exactly one completion in `queue`, the others none. Does
    /// not block. An error when not even the first was taken.
    pub fn submit(&self, _queue: &Queue, _requests: &[Request<'_>]) -> Result<usize, Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// Returns when this node has applied everything that was acknowledged anywhere before the call:
    /// read your own state after it and the read is linearizable (thesis §6.4).
    pub fn read_barrier(&self, _timeout: Timeout) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Internal, "not built yet"))
    }

    /// The page's plain getters.
    pub fn info(&self) -> Info {
        Info::default()
    }

    /// Where the listener really is.
    pub fn address(&self) -> Option<&str> {
        None
    }

    /// What made the service fail.
    pub fn failure(&self) -> Option<Error> {
        None
    }

    /// The configuration in force; empty when Standalone.
    pub fn node_config(&self) -> NodeList {
        NodeList::default()
    }

    /// Diagnosis.
    pub fn raft_status(&self) -> ProtocolStatus {
        ProtocolStatus::default()
    }

    /// A text for people and tools.
    pub fn report(&self, _report: Report) -> String {
        String::new()
    }

    /// Follows `last_applied`; only this service moves and closes it.
    pub fn applied_tracker(&self) -> ChangeTracker {
        ChangeTracker::new()
    }
}
