//! What the getters read: written once for each batch, so that the values are of one moment, and read
//! without asking the loop.

use crate::consensus::membership::Membership;
use crate::consensus::raft::Status;
use crate::consensus::ready::{Notice, RoleName};
use crate::consensus::types::{Index, NodeId};
use crate::error::Error;
use crate::slot::lock;
use crate::status::{Info, MembershipChangeMode, NodeList, ProtocolStatus, State};
use crate::tracker::ChangeTracker;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Notices that the report shows.
const REMEMBERED: usize = 32;

/// The values.
pub(crate) struct View {
    values: Mutex<Values>,
    /// Where the listener really is.
    pub address: OnceLock<String>,
    /// Follows what is applied.
    pub tracker: ChangeTracker,
    /// What of the log was lost before this run began.
    pub damage: Option<Arc<str>>,
    failure: OnceLock<Error>,
    /// What was counted.
    pub counters: Counters,
}

struct Values {
    info: Info,
    membership: Arc<Membership>,
    peers: Option<BTreeMap<NodeId, Index>>,
    abstaining: bool,
    durable: Index,
    stage: Stage,
    /// Addresses that can't be reached, and why.
    troubles: BTreeMap<String, String>,
    notices: VecDeque<String>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    Running,
    Stopping,
    Stopped,
}

/// Everything that the report shows besides the getters.
pub(crate) struct Picture {
    /// The getters.
    pub info: Info,
    /// The configuration in force.
    pub membership: Arc<Membership>,
    /// On a leader, what each member has.
    pub peers: Option<BTreeMap<NodeId, Index>>,
    /// No votes until repaired.
    pub abstaining: bool,
    /// Durable up to here.
    pub durable: Index,
    /// Addresses that can't be reached, and why.
    pub troubles: BTreeMap<String, String>,
    /// The last notices.
    pub notices: Vec<String>,
}

/// What is counted since the start.
#[derive(Default)]
pub(crate) struct Counters {
    /// Requests that were taken.
    pub requests: AtomicU64,
    /// Requests that were refused for want of room.
    pub refused_busy: AtomicU64,
    /// Entries that the state machine was given.
    pub applied_entries: AtomicU64,
    /// Calls of the state machine, and advances without one.
    pub applied_batches: AtomicU64,
    /// Messages sent.
    pub messages_sent: AtomicU64,
    /// Messages received.
    pub messages_received: AtomicU64,
    /// Turns of the loop.
    pub turns: AtomicU64,
    /// Writes submitted to the store.
    pub writes: AtomicU64,
    /// Times that another role, term or leader was seen.
    pub role_changes: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl View {
    /// The values of a service that starts.
    pub(crate) fn new(me: NodeId, applied: Index, damage: Option<Arc<str>>) -> View {
        let info = Info { my_id: me, last_applied: applied, ..Info::default() };
        let values = Values {
            info,
            membership: Arc::default(),
            peers: None,
            abstaining: false,
            durable: Index::ZERO,
            stage: Stage::Running,
            troubles: BTreeMap::new(),
            notices: VecDeque::new(),
        };
        View {
            values: Mutex::new(values),
            address: OnceLock::new(),
            tracker: ChangeTracker::applied(applied.0),
            damage,
            failure: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// The protocol's values after a batch.
    pub(crate) fn publish(&self, status: Status) {
        let mode = mode_of(&status);
        let mut values = lock(&self.values);
        let applied = values.info.last_applied;
        let info = &mut values.info;
        info.state = state_of(&status);
        info.membership_change_mode = mode;
        info.cluster_id = status.cluster;
        info.leader_id = status.leader;
        info.current_term = status.term;
        info.commit_index = status.commit.max(applied);
        info.last_index = status.last.index;
        info.last_term = status.last.term;
        let is_empty = status.last.index < status.first;
        info.first_index = if is_empty { Index::ZERO } else { status.first };
        values.peers = if status.standalone { Some(BTreeMap::new()) } else { status.peers };
        values.membership = status.membership;
        values.abstaining = status.abstaining;
        values.durable = status.durable;
    }

    /// So much is applied, with that many entries for the state machine.
    pub(crate) fn applied(&self, index: Index, entries: usize) {
        count(&self.counters.applied_entries, entries);
        count(&self.counters.applied_batches, 1);
        let mut values = lock(&self.values);
        values.info.last_applied = index;
        values.info.commit_index = values.info.commit_index.max(index);
        drop(values);
        self.tracker.advance(index.0);
    }

    /// The log was cut: only so much is applied.
    pub(crate) fn rewound(&self, index: Index) {
        lock(&self.values).info.last_applied = index;
        self.tracker.advance(index.0);
    }

    /// Something worth remembering happened.
    pub(crate) fn note(&self, notice: &Notice) {
        if let Notice::Role { .. } = notice {
            count(&self.counters.role_changes, 1);
        }
        let mut values = lock(&self.values);
        if values.notices.len() == REMEMBERED {
            values.notices.pop_front();
        }
        values.notices.push_back(format!("{notice:?}"));
    }

    /// An address can't be reached, or can again. Whether there are any that can't.
    pub(crate) fn trouble(&self, address: &str, why: Option<String>) -> bool {
        let mut values = lock(&self.values);
        match why {
            Some(why) => values.troubles.insert(address.to_owned(), why),
            None => values.troubles.remove(address),
        };
        !values.troubles.is_empty()
    }

    /// Why an address can't be reached, as far as is known.
    pub(crate) fn trouble_at(&self, address: &str) -> Option<String> {
        lock(&self.values).troubles.get(address).cloned()
    }

    /// The service failed.
    pub(crate) fn fail(&self, error: Error) {
        let _ = self.failure.set(error); // the first one counts
    }

    /// What made the service fail.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// The host closes the service.
    pub(crate) fn stopping(&self) {
        let mut values = lock(&self.values);
        if values.stage == Stage::Running {
            values.stage = Stage::Stopping;
        }
    }

    /// Its threads are gone.
    pub(crate) fn stopped(&self) {
        lock(&self.values).stage = Stage::Stopped;
    }

    /// The plain getters.
    pub(crate) fn info(&self) -> Info {
        self.info_of(&lock(&self.values))
    }

    fn info_of(&self, values: &Values) -> Info {
        let mut info = values.info.clone();
        info.failure = self.failure.get().map(|error| error.kind);
        info.state = match values.stage {
            _ if info.failure.is_some() => State::Failed,
            Stage::Running => info.state,
            Stage::Stopping => State::Stopping,
            Stage::Stopped => State::Stopped,
        };
        info
    }

    /// The configuration in force.
    pub(crate) fn node_config(&self) -> NodeList {
        NodeList::of(&lock(&self.values).membership)
    }

    /// Diagnosis.
    pub(crate) fn raft_status(&self) -> ProtocolStatus {
        ProtocolStatus { peer_indices: lock(&self.values).peers.clone() }
    }

    /// For the report.
    pub(crate) fn picture(&self) -> Picture {
        let values = lock(&self.values);
        Picture {
            info: self.info_of(&values),
            membership: Arc::clone(&values.membership),
            peers: values.peers.clone(),
            abstaining: values.abstaining,
            durable: values.durable,
            troubles: values.troubles.clone(),
            notices: values.notices.iter().cloned().collect(),
        }
    }
}

/// The state that the getters show.
pub(crate) fn state_of(status: &Status) -> State {
    match status.role {
        _ if status.standalone => State::Standalone,
        RoleName::Follower => State::Follower,
        RoleName::Candidate => State::Candidate,
        RoleName::Leader => State::Leader,
    }
}

fn mode_of(status: &Status) -> MembershipChangeMode {
    if status.membership.is_joint() {
        MembershipChangeMode::ProposedJointConsensus
    } else if status.leaving_joint {
        MembershipChangeMode::ProposedFinalConsensus
    } else {
        MembershipChangeMode::Stable
    }
}
