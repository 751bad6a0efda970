//! Chance against the core: messages lost, doubled and reordered, crashes that keep a part of what was
//! written, partitions, proposals, reads and changes of membership, all drawn from one seed. The rules
//! are checked after every step; in the end everything is mended, and each cluster must have one
//! leader, equal logs, and commit a new entry.
//!
//! `SIM_SEED=7 cargo test -p quorate-tests chance` replays one seed, and tells what happened;
//! `SIM_SEED=1000..9000` plays many.

use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::Membership;
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Address, ClusterId, EntryId, Index, NodeId, Term};
use quorate_tests::cluster::{CLUSTER, Cluster};
use quorate_tests::disk::{Disk, Kept};
use quorate_tests::node::Node;
use quorate_tests::{disk, scene};
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 300;
const STEPS: u32 = 2000;
/// Nodes in play; some of them begin as a cluster.
const PLACES: u64 = 6;

#[test]
fn chance_breaks_no_rule() {
    let seeds = seeds();
    let quiet = seeds.end - seeds.start > 1;
    for seed in seeds {
        let mut cluster = Cluster::new(seed);
        cluster.quiet = quiet;
        let told = catch_unwind(AssertUnwindSafe(|| play(&mut cluster)));
        let fault = match told {
            Ok(Ok(())) => continue,
            Ok(Err(fault)) => fault,
            Err(_) => "the core gave up, see above".to_owned(),
        };
        panic!("SIM_SEED={seed}: {fault}\n{}", last_words(&cluster));
    }
}

/// `SIM_SEED=7` or `SIM_SEED=1000..2000`.
fn seeds() -> Range<u64> {
    let Ok(chosen) = std::env::var("SIM_SEED") else { return 0..SEEDS };
    let number = |text: &str| text.parse::<u64>().expect("SIM_SEED is a number, or two as 1..9");
    match chosen.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&chosen)..number(&chosen) + 1,
    }
}

/// What was told last, and how each node stands.
fn last_words(cluster: &Cluster) -> String {
    let first = if cluster.quiet { cluster.trace.len().saturating_sub(20) } else { 0 };
    let state = |(place, node): (&u64, &Node)| match &node.core {
        Some(core) => format!("{place}: {core}"),
        None => format!("{place}: down"),
    };
    let states = cluster.nodes.iter().map(state);
    cluster.trace[first..].iter().cloned().chain(states).collect::<Vec<_>>().join("\n")
}

fn play(cluster: &mut Cluster) -> Result<(), String> {
    begin(cluster);
    for _ in 0..STEPS {
        act(cluster);
        fault(cluster)?;
    }
    mend(cluster);
    fault(cluster)?;
    let lineages: BTreeSet<ClusterId> = members(cluster).collect();
    lineages.into_iter().try_for_each(|lineage| finish(cluster, lineage))?;
    fault(cluster)
}

fn fault(cluster: &Cluster) -> Result<(), String> {
    cluster.faults.first().map_or(Ok(()), |fault| Err(fault.clone()))
}

/// One to four nodes are a cluster; the others are fresh. Limits are small, so that they are reached.
fn begin(cluster: &mut Cluster) {
    let (pre_vote, check_quorum) = (below(cluster, 8) > 0, below(cluster, 8) > 0);
    let config = &mut cluster.config;
    config.max_message_bytes = 150;
    config.max_inflight_messages = 3;
    config.max_inflight_bytes = 400;
    config.max_unwritten_bytes = 600;
    config.max_uncommitted_bytes = 1000;
    config.max_unapplied_bytes = 300;
    config.window_bytes = 300;
    config.pre_vote = pre_vote;
    config.check_quorum = check_quorum;
    let voters: Vec<u64> = (1..=1 + below(cluster, 4)).collect();
    for &place in &voters {
        let mut state = scene::state(place, CLUSTER);
        state.term = Term(1);
        let disk = Disk::new(state, vec![scene::founding(&voters)], Index(1));
        cluster.place(place, disk, Index(1));
    }
    (voters.len() as u64 + 1..=PLACES).for_each(|place| cluster.fresh(place));
    for place in 1..=PLACES {
        let durable = below(cluster, 2) == 0;
        let node = cluster.nodes.get_mut(&place).expect("it was just placed");
        (node.manual, node.machine.durable) = (true, durable);
    }
}

/// One thing happens. Most of it is what a driver does; faults are rarer.
fn act(cluster: &mut Cluster) {
    let place = 1 + below(cluster, PLACES);
    match below(cluster, 1000) {
        0..450 => deliver(cluster),
        450..750 => work(cluster, place),
        750..810 => pass_time(cluster),
        810..860 => propose(cluster, place),
        860..880 => {
            let count = 1 + below(cluster, 2);
            cluster.read(place, count);
        }
        880..900 => change(cluster, place),
        900..910 => calm(cluster),
        910..930 => lose(cluster),
        930..950 => double(cluster),
        950..956 => crash(cluster, place),
        956..976 => cluster.start(place),
        976..979 => cut(cluster),
        979..991 => cluster.network.heal(),
        991..994 => {
            let full = below(cluster, 3) == 0;
            cluster.step(place, Event::DiskFull(full));
        }
        _ => (0..20).for_each(|_| deliver(cluster)),
    }
}

/// For a while everything that can be done is done at once.
fn calm(cluster: &mut Cluster) {
    let duration = Duration::from_millis(100 + below(cluster, 600));
    let hands = |cluster: &mut Cluster, manual: bool| {
        for place in 1..=PLACES {
            cluster.nodes.get_mut(&place).expect("all are placed").manual = manual;
            cluster.finish(place);
        }
    };
    hands(cluster, false);
    cluster.advance(duration, true);
    hands(cluster, true);
}

/// A message arrives: usually the oldest one between two nodes, sometimes any, sometimes two at once.
fn deliver(cluster: &mut Cluster) {
    let Some(at) = any_message(cluster) else { return };
    let pair = (cluster.network.queue()[at].from, cluster.network.queue()[at].to);
    let envelope = if below(cluster, 5) == 0 {
        Some(cluster.network.take(at))
    } else {
        cluster.network.next(Some(pair), &[])
    };
    let Some(envelope) = envelope else { return };
    let to = envelope.to;
    cluster.feed(to, Event::Received(envelope.message));
    let next = cluster.network.queue().iter().position(|e| e.to == to);
    if let Some(next) = next
        && below(cluster, 4) == 0
    {
        let message = cluster.network.take(next).message;
        cluster.feed(to, Event::Received(message));
    }
    cluster.finish(to);
}

fn work(cluster: &mut Cluster, place: u64) {
    match below(cluster, 4) {
        0 => {
            let count = 1 + below(cluster, 3) as usize;
            cluster.persist(place, count);
        }
        1 => {
            cluster.apply(place);
        }
        2 => {
            cluster.give_fetched(place);
        }
        _ => {
            cluster.work(place);
        }
    }
}

/// Time passes until something is due, or a little less, or far beyond.
fn pass_time(cluster: &mut Cluster) {
    let due = cluster.nodes.iter().map(|(place, node)| (node.deadline, *place)).min();
    match (below(cluster, 20), due) {
        (0, _) => cluster.now = cluster.now + Duration::from_millis(below(cluster, 2000)),
        (1..6, _) => cluster.now = cluster.now + Duration::from_millis(below(cluster, 20)),
        (_, Some((at, place))) if at < quorate_engine::consensus::types::Time::NEVER => {
            cluster.now = cluster.now.max(at);
            cluster.deadline(place);
        }
        _ => {}
    }
}

fn propose(cluster: &mut Cluster, place: u64) {
    let number = cluster.draw() % 1_000_000;
    let names: Vec<String> = (0..=below(cluster, 3)).map(|i| format!("p{number}.{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if cluster.nodes.get(&place).is_some_and(|node| node.core.is_some()) && place <= 4 {
        cluster.propose(place, &names);
    }
}

fn change(cluster: &mut Cluster, place: u64) {
    let other = 1 + below(cluster, PLACES);
    let leaders = cluster.nodes.iter().filter(|(_, node)| {
        node.lineage() == CLUSTER
            && node.core.as_ref().is_some_and(|core| core.status().role == RoleName::Leader)
    });
    let leader = leaders.map(|(place, _)| *place).next();
    let place = leader.filter(|_| below(cluster, 2) == 0).unwrap_or(place);
    let change = match below(cluster, 20) {
        0 => Change::Initialize(Address::from(format!("n{place}"))),
        1..11 => Change::Add(Address::from(format!("n{other}"))),
        _ => Change::Remove(NodeId(other)),
    };
    cluster.change(place, change);
}

fn lose(cluster: &mut Cluster) {
    if let Some(at) = any_message(cluster) {
        cluster.network.take(at);
    }
}

fn double(cluster: &mut Cluster) {
    if let Some(at) = any_message(cluster) {
        let pair = (cluster.network.queue()[at].from, cluster.network.queue()[at].to);
        cluster.network.duplicate(pair);
    }
}

/// A crash keeps a part of what was asked of the disk, the hard state perhaps more than the log.
fn crash(cluster: &mut Cluster, place: u64) {
    let writes = below(cluster, 4) as usize;
    let states = writes + below(cluster, 2) as usize;
    let cut = below(cluster, 2) == 0;
    cluster.crash(place, Kept { states, writes, cut });
}

fn cut(cluster: &mut Cluster) {
    let half = |cluster: &mut Cluster| 1 + below(cluster, PLACES);
    let (a, b) = (half(cluster), half(cluster));
    if below(cluster, 2) == 0 {
        let groups = [(1..=a).collect(), (a + 1..=PLACES).collect()];
        cluster.network.partition(&groups);
    } else if a != b {
        cluster.network.cut((a, b));
    }
}

/// All faults are over: everything runs, and everybody hears everybody.
fn mend(cluster: &mut Cluster) {
    cluster.network.heal();
    for place in 1..=PLACES {
        cluster.nodes.get_mut(&place).expect("all are placed").manual = false;
        cluster.start(place);
        cluster.step(place, Event::DiskFull(false));
        cluster.finish(place);
    }
    cluster.advance(Duration::from_secs(13), true);
}

/// A cluster that is mended has one leader, commits, and has told all callers.
fn finish(cluster: &mut Cluster, lineage: ClusterId) -> Result<(), String> {
    let (leader, membership) = leader_of(cluster, lineage)?;
    if let Some(place) = left_behind(cluster, lineage, &membership) {
        return Err(format!("{place} never hears that it is no member of {lineage}"));
    }
    cluster.propose(leader, &["the end"]);
    cluster.advance(Duration::from_secs(1), true);
    let log = |cluster: &Cluster, place: u64| -> Vec<EntryId> {
        cluster.nodes[&place].disk.log.iter().map(|entry| entry.id()).collect()
    };
    let expected = log(cluster, leader);
    for member in membership.everyone() {
        let place = member.id.0;
        cluster.callers.nobody_waits(place)?;
        let state = &cluster.nodes[&place].disk.state;
        let run = state.incarnation.counter();
        cluster.callers.nobody_is_forgotten(member.id, run, state.term)?;
        if log(cluster, place) != expected {
            return Err(format!("{place} has another log than {leader}"));
        }
        let applied = cluster.nodes[&place].machine.applied;
        if applied != disk::last(&cluster.nodes[&place].disk.log).index {
            return Err(format!("{place} applied only {applied}"));
        }
    }
    Ok(())
}

/// A node that takes itself for a member and is none, although it knows one that could tell it so.
fn left_behind(cluster: &Cluster, lineage: ClusterId, membership: &Membership) -> Option<u64> {
    let lost = |(place, node): (&u64, &Node)| {
        let status = node.core.as_ref()?.status();
        let knows = status.membership.all_voters().any(|v| membership.contains(v.id));
        let takes_itself = node.lineage() == lineage && !status.standalone && knows;
        (takes_itself && !membership.contains(node.id())).then_some(*place)
    };
    cluster.nodes.iter().find_map(lost)
}

fn leader_of(cluster: &Cluster, lineage: ClusterId) -> Result<(u64, Arc<Membership>), String> {
    let leaders = cluster.nodes.iter().filter_map(|(place, node)| {
        let status = node.core.as_ref()?.status();
        let leads = status.role == RoleName::Leader && node.lineage() == lineage;
        leads.then_some((*place, status.membership))
    });
    let leaders: Vec<_> = leaders.collect();
    match &leaders[..] {
        [leader] => Ok(leader.clone()),
        _ => Err(format!("cluster {lineage} has {} leaders", leaders.len())),
    }
}

/// The clusters that nodes are in.
fn members(cluster: &Cluster) -> impl Iterator<Item = ClusterId> {
    let standing = cluster.nodes.values().filter_map(|node| {
        let core = node.core.as_ref()?;
        (!core.status().standalone).then_some(node.lineage())
    });
    standing.collect::<Vec<_>>().into_iter()
}

fn any_message(cluster: &mut Cluster) -> Option<usize> {
    let count = cluster.network.queue().len() as u64;
    (count > 0).then(|| below(cluster, count) as usize)
}

fn below(cluster: &mut Cluster, limit: u64) -> u64 {
    cluster.draw() % limit
}
