//! TiKV's raft crate in the shape of `benches/src/bin/consensus.rs`: three nodes in one thread,
//! messages by function call, a log in memory that is durable at once. Changes of 128 bytes are
//! proposed in batches of one size. What is applied is forgotten now and then, as its users do.

#[allow(dead_code)]
#[path = "../../../src/measure.rs"]
mod measure;

use measure::{Metrics, Options, Usage};
use raft::eraftpb::{Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const NODES: u64 = 3;
/// Entries after which a log is cut.
const KEPT: u64 = 1 << 16;

type Outcome<T> = Result<T, raft::Error>;

struct Node {
    raw: RawNode<MemStorage>,
    /// Changes applied.
    applied: u64,
    cut_at: u64,
}

impl Node {
    fn new(id: u64) -> Outcome<Node> {
        let config = Config { id, max_size_per_msg: 1 << 20, ..Config::default() };
        let voters: Vec<u64> = (1..=NODES).collect();
        let storage = MemStorage::new_with_conf_state((voters, Vec::new()));
        let raw = RawNode::new(&config, storage, &Logger::root(Discard, o!()))?;
        Ok(Node { raw, applied: 0, cut_at: KEPT })
    }

    /// Does what the node asks for; what it has to say.
    fn work(&mut self) -> Outcome<Vec<Message>> {
        if !self.raw.has_ready() {
            return Ok(Vec::new());
        }
        let mut ready = self.raw.ready();
        let mut messages = ready.take_messages();
        self.apply(&ready.take_committed_entries())?;
        if !ready.entries().is_empty() {
            self.raw.mut_store().wl().append(ready.entries())?;
        }
        if let Some(state) = ready.hs() {
            self.raw.mut_store().wl().set_hardstate(state.clone());
        }
        messages.extend(ready.take_persisted_messages());
        let mut light = self.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.raw.mut_store().wl().mut_hard_state().set_commit(commit);
        }
        messages.extend(light.take_messages());
        self.apply(&light.take_committed_entries())?;
        self.raw.advance_apply();
        Ok(messages)
    }

    fn apply(&mut self, entries: &[Entry]) -> Outcome<()> {
        self.applied += entries.iter().filter(|entry| !entry.data.is_empty()).count() as u64;
        match entries.last() {
            Some(last) if last.index >= self.cut_at => {
                self.cut_at += KEPT;
                self.raw.mut_store().wl().compact(last.index - KEPT / 2)
            }
            _ => Ok(()),
        }
    }
}

/// Does what the nodes ask for until none asks for anything.
fn settle(nodes: &mut [Node]) -> Outcome<()> {
    let mut busy = true;
    while busy {
        busy = false;
        for at in 0..nodes.len() {
            for message in nodes[at].work()? {
                busy = true;
                nodes[message.to as usize - 1].raw.step(message)?;
            }
        }
    }
    Ok(())
}

fn cluster() -> Outcome<Vec<Node>> {
    let mut nodes = (1..=NODES).map(Node::new).collect::<Outcome<Vec<_>>>()?;
    nodes[0].raw.campaign()?;
    settle(&mut nodes)?;
    assert_eq!(nodes[0].raw.raft.state, StateRole::Leader);
    Ok(nodes)
}

fn measure(batch: u64, time: Duration) -> Outcome<(u64, u64, measure::Used)> {
    let (mut nodes, mut proposed) = (cluster()?, 0);
    let start = Usage::now();
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..batch {
            nodes[0].raw.propose(Vec::new(), vec![7; 128])?;
        }
        proposed += batch;
        settle(&mut nodes)?;
    }
    Ok((proposed, nodes[0].applied, start.until_now()))
}

fn run() -> Result<Metrics, String> {
    let options = Options::read(&[("batch", "64"), ("seconds", "1")])?;
    let measured = measure(options.number("batch")?, options.seconds("seconds")?);
    let (proposed, applied, used) = measured.map_err(|error| error.to_string())?;
    if applied < proposed {
        return Err(format!("{applied} of {proposed} applied"));
    }
    let mut metrics = Metrics::default();
    metrics.add("entries_per_s", proposed as f64 / used.seconds);
    metrics.add("cpu_us_per_entry", used.cpu * 1e6 / proposed as f64);
    Ok(metrics)
}

fn main() -> ExitCode {
    measure::end(run())
}
