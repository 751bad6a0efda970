//! The protocol alone: three nodes in one thread, messages by function call, a disk that is done at once.
//! Changes of 128 bytes are proposed in batches of one size.

use bytes::Bytes;
use quorate_benches::measure::{self, Metrics, Options, Usage};
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::Command;
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::{Member, Membership};
use quorate_engine::consensus::raft::{Raft, Restored};
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{
    Address, ClusterId, Incarnation, Index, NodeId, Origin, Term, Time,
};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODES: u64 = 3;

struct Cluster {
    nodes: Vec<Raft>,
    now: Time,
    applied: Vec<u64>,
}

impl Cluster {
    /// Three voters whose configuration is the first entry of their logs.
    fn new() -> Cluster {
        let member = |id| Member { id: NodeId(id), address: Address::from(format!("n{id}")) };
        let membership = Arc::new(Membership {
            cluster: ClusterId(7),
            number: 1,
            voters: (1..=NODES).map(member).collect(),
            ..Membership::default()
        });
        let node = |id| {
            let state = HardState {
                node: NodeId(id),
                lineage: ClusterId(7),
                term: Term(1),
                incarnation: Incarnation(1 << 40 | id),
                ..HardState::default()
            };
            let restored = Restored {
                state,
                first: Index(1),
                last: Index(1),
                terms: vec![(Index(1), Term(1))],
                commit_hint: Index(1),
                memberships: vec![(Index(1), membership.clone())],
                applied: Index(1),
                next_lineage: ClusterId(100 + id),
                ..Restored::default()
            };
            Raft::new(Config::default(), restored, id, Time(0))
        };
        let nodes = (1..=NODES).map(node).collect();
        let mut cluster = Cluster { nodes, now: Time(0), applied: vec![1; NODES as usize] };
        cluster.now = Time(0) + Duration::from_secs(2);
        cluster.nodes[0].step(Time(1_400_000_000), Event::DeadlinePassed);
        cluster.settle();
        cluster
    }

    /// Does what the nodes ask for until none asks for anything.
    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.nodes.len() {
                busy |= self.run(at);
            }
        }
    }

    fn run(&mut self, at: usize) -> bool {
        let ready = self.nodes[at].ready();
        let mut messages = ready.messages;
        if let Some(write) = ready.write {
            self.nodes[at].step(self.now, Event::Persisted(write.seq));
            messages.extend(write.after);
        }
        if let Some(last) = ready.apply.last() {
            self.applied[at] = last.index.0;
            self.nodes[at].step(self.now, Event::Applied(last.index));
        }
        let busy = !messages.is_empty() || !ready.apply.is_empty();
        for message in messages {
            let to = message.to.0 as usize - 1;
            self.nodes[to].step(self.now, Event::Received(message));
        }
        busy
    }
}

fn command(seq: u64) -> Command {
    let origin = Origin { node: NodeId(1), seq };
    let data = Bytes::from_static(&[7; 128]);
    NewEntry::new(&data).encode(origin, 1 << 20).expect("it is small")
}

/// Proposes a batch, again and again; entries per second that are committed by all and applied by the
/// leader. The others hear of the last commit a little later.
fn measure(batch: u64, time: Duration) -> Result<Metrics, String> {
    let (mut cluster, mut proposed) = (Cluster::new(), 0);
    let start = Usage::now();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let commands = (0..batch).map(|i| command(proposed + i)).collect();
        proposed += batch;
        cluster.nodes[0].step(cluster.now, Event::Proposed(commands));
        cluster.settle();
    }
    let used = start.until_now();
    let applied = cluster.applied[0];
    if applied < proposed {
        return Err(format!("{applied} of {proposed} applied: {}", cluster.nodes[0]));
    }
    let mut metrics = Metrics::default();
    metrics.add("entries_per_s", proposed as f64 / used.seconds);
    metrics.add("cpu_us_per_entry", used.cpu * 1e6 / proposed as f64);
    Ok(metrics)
}

fn run() -> Result<Metrics, String> {
    let options = Options::read(&[("batch", "64"), ("seconds", "1")])?;
    measure(options.number("batch")?, options.seconds("seconds")?)
}

fn main() -> ExitCode {
    measure::end(run())
}
