//! openraft in the shape of its own minimal benchmark, and of `benches/src/bin/engine.rs`: three
//! nodes in one process on a tokio runtime of many threads, a store in memory, a network of function
//! calls; every client is a task that has one change under way and waits until the leader has
//! applied it.

#[allow(dead_code)]
#[path = "../../../src/measure.rs"]
mod measure;
mod network;
mod store;

use bytes::Bytes;
use measure::{Meter, Metrics, Options, SAMPLED};
use network::Network;
use openraft::{Config, Raft};
use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Log, Machine};
use tokio::runtime::{Builder, Runtime};

/// A change: bytes that are shared and not copied.
#[derive(Clone, Debug)]
pub struct Change(Bytes);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What the state machine answers.
#[derive(Clone, Debug)]
pub struct Reply;

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("done")
    }
}

openraft::declare_raft_types!(
    /// What openraft is made of here.
    pub Types: D = Change, R = Reply, NodeId = u64, Node = ()
);

/// One of the three.
pub type Node = Raft<Types, Machine>;

const DEFAULTS: [(&str, &str); 6] = [
    ("clients", "256"),
    ("payload", "128"),
    ("seconds", "2"),
    ("warm-up", "0.3"),
    ("servers", "2"),
    ("client-threads", "1"),
];
const LONG: Option<Duration> = Some(Duration::from_secs(30));

/// The settings of openraft's own benchmark.
fn config() -> Result<Arc<Config>, String> {
    let config = Config {
        election_timeout_min: 200,
        election_timeout_max: 2000,
        purge_batch_size: 1024,
        max_payload_entries: 1024,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| error.to_string())
}

/// Three members; the first one leads and is returned.
async fn cluster() -> Result<Node, String> {
    let (network, config) = (Network::default(), config()?);
    let ids: BTreeSet<u64> = (0..3).collect();
    let mut nodes = Vec::new();
    for id in &ids {
        let (log, machine) = (Log::default(), Machine::default());
        let node = Raft::new(*id, config.clone(), network.clone(), log, machine).await;
        let node: Node = node.map_err(|error| error.to_string())?;
        network.add(*id, node.clone());
        nodes.push(node);
    }
    nodes[0].initialize(ids).await.map_err(|error| error.to_string())?;
    for node in &nodes {
        let waiting = node.wait(LONG);
        let applied = waiting.applied_index_at_least(Some(1), "the cluster is formed");
        applied.await.map_err(|error| error.to_string())?;
    }
    Ok(nodes.swap_remove(0))
}

async fn client(node: Node, meter: Arc<Meter>, data: Bytes, sampled: bool) -> Result<(), String> {
    let mut latencies = Vec::new();
    while !meter.is_stopped() {
        let start = sampled.then(Instant::now);
        let change = Change(data.clone());
        node.client_write(change).await.map_err(|error| error.to_string())?;
        meter.add(1);
        if let Some(start) = start
            && meter.is_measuring()
        {
            latencies.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
    }
    meter.keep(&latencies);
    Ok(())
}

fn runtime(threads: usize, name: &str) -> Result<Runtime, String> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().thread_name(name);
    builder.build().map_err(|error| error.to_string())
}

fn run() -> Result<Metrics, String> {
    let options = Options::read(&DEFAULTS)?;
    let (count, payload): (usize, usize) = (options.number("clients")?, options.number("payload")?);
    let servers = runtime(options.number("servers")?, "server")?;
    let clients = runtime(options.number("client-threads")?, "client")?;
    let leader = servers.block_on(cluster())?;
    let (meter, data) = (Arc::new(Meter::default()), Bytes::from(vec![7; payload]));
    let start = |n: usize| {
        let (leader, meter, data) = (leader.clone(), Arc::clone(&meter), data.clone());
        clients.spawn(client(leader, meter, data, n.is_multiple_of(SAMPLED)))
    };
    let tasks: Vec<_> = (0..count).map(start).collect();
    let window = meter.watch(options.seconds("warm-up")?, options.seconds("seconds")?);
    for task in tasks {
        clients.block_on(task).map_err(|error| error.to_string())??;
    }
    Ok(window.metrics(&mut meter.latencies()))
}

fn main() -> ExitCode {
    measure::end(run())
}
