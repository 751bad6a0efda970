//! The scopes that are searched: small enough to go far into, and each about something else.

use super::action::Budget;
use super::scope::Scope;
use super::world::UNIT;
use crate::cluster::{CLUSTER, Cluster};
use crate::disk::Disk;
use crate::scene;
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Address, Index, NodeId, Term};
use std::time::Duration;

/// All that the usual run goes through.
#[must_use]
pub fn all() -> Vec<Scope> {
    vec![elections(), careful(), network(), crashes(), removal(), addition(), two_changes()]
}

/// Three nodes that nobody leads: elections that cross, and a command.
#[must_use]
pub fn elections() -> Scope {
    let budget = Budget { timeouts: 2, beats: 1, proposals: 1, ..Budget::default() };
    Scope { budget, ..scope("elections", || cluster(&[1, 2, 3], false)) }
}

/// Pre-votes, a leader that steps down when it hears of nobody, and what a follower passes on to it.
#[must_use]
pub fn careful() -> Scope {
    let budget = Budget { timeouts: 2, beats: 4, proposals: 1, reads: 1, ..Budget::default() };
    Scope { budget, forward: true, ..scope("quorum", || led(cluster(&[1, 2, 3], true))) }
}

/// A leader and a network that loses, doubles and reorders; the next leader overwrites what it left.
#[must_use]
pub fn network() -> Scope {
    let faults = Budget { losses: 1, doubles: 1, overtakes: 1, ..Budget::default() };
    let budget = Budget { timeouts: 1, proposals: 1, ..faults };
    Scope { budget, ..scope("network", || led(cluster(&[1, 2, 3], false))) }
}

/// Disks that write one by one, and each node may crash once, with any part of what it asked for.
#[must_use]
pub fn crashes() -> Scope {
    let budget = Budget { timeouts: 2, proposals: 1, crashes: 3, ..Budget::default() };
    Scope { budget, manual: true, ..scope("crashes", || cluster(&[1, 2, 3], false)) }
}

/// A member is removed, perhaps the leader, while another campaigns.
#[must_use]
pub fn removal() -> Scope {
    let changes = vec![Change::Remove(NodeId(1)), Change::Remove(NodeId(3))];
    let budget = Budget { timeouts: 1, changes: 1, proposals: 1, ..Budget::default() };
    Scope { budget, changes, ..scope("removal", || led(cluster(&[1, 2, 3], false))) }
}

/// A third node joins a cluster of two, as a learner first.
#[must_use]
pub fn addition() -> Scope {
    let changes = vec![Change::Add(Address::from("n3"))];
    let budget = Budget { timeouts: 1, beats: 1, changes: 1, ..Budget::default() };
    let first = || {
        let mut cluster = cluster(&[1, 2], false);
        cluster.fresh(3);
        led(cluster)
    };
    Scope { budget, changes, ..scope("addition", first) }
}

/// Four voters, and two leaders that each remove one: the published bug of single-server changes
/// (Ongaro, 2015) is here, when a leader may begin one before it has committed an entry of its own term.
/// Node 1 was just elected, and nobody hears what it says first; node 2 campaigns too. The model judges
/// changes by joint consensus, so it has no say when they are made one by one.
#[must_use]
pub fn two_changes() -> Scope {
    let changes = vec![Change::Remove(NodeId(2)), Change::Remove(NodeId(4))];
    let budget = Budget { timeouts: 2, changes: 2, ..Budget::default() };
    let first = || {
        let mut cluster = cluster(&[1, 2, 3, 4], false);
        cluster.campaign(1);
        (0..6).for_each(|_| arrive(&mut cluster)); // three requests and three votes
        cluster.network.lose(None);
        cluster
    };
    Scope { budget, changes, patient: &[3, 4], model: false, ..scope("two changes", first) }
}

fn scope(name: &'static str, first: fn() -> Cluster) -> Scope {
    Scope {
        name,
        first,
        manual: false,
        forward: false,
        patient: &[],
        changes: Vec::new(),
        in_flight: 4,
        budget: Budget::default(),
        model: true,
    }
}

/// A cluster of these voters, that nobody leads. `careful`: with pre-votes, and leaders check their
/// quorum.
fn cluster(voters: &[u64], careful: bool) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.quiet = true;
    cluster.config.election_timeout = UNIT * 2;
    cluster.config.heartbeat = UNIT;
    cluster.config.commit_delay = Duration::ZERO;
    (cluster.config.pre_vote, cluster.config.check_quorum) = (careful, careful);
    for &place in voters {
        let state = HardState { term: Term(1), ..scene::state(place, CLUSTER) };
        let disk = Disk::new(state, vec![scene::founding(voters)], Index(1));
        cluster.place(place, disk, Index(1));
    }
    cluster
}

/// Node 1 leads, and all have heard of it.
fn led(mut cluster: Cluster) -> Cluster {
    cluster.campaign(1);
    cluster.settle();
    cluster
}

/// The oldest message arrives.
fn arrive(cluster: &mut Cluster) {
    let oldest = cluster.network.next(None, &[]).expect("an election has messages");
    cluster.deliver(oldest);
}
