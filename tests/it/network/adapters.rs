//! Both networks keep the contract of the port; the one in memory does what its switches say.

use super::bench::{LONG, Node, frame, loopback, message, run_of, runtime};
use quorate_engine::consensus::message::{Body, Identify};
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::ErrorKind;
use quorate_engine::transport::conformance::{self, Network};
use quorate_engine::transport::memory::{Link, Memory, MemoryNetwork};
use quorate_engine::transport::tcp::Tcp;
use quorate_engine::transport::wire::Frame;
use quorate_engine::transport::{Inbound, LocalIdentity, Sink, Transport};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

fn inbox() -> (Sink, UnboundedReceiver<Inbound>) {
    let (sender, receiver) = unbounded_channel();
    let sink = move |inbound| {
        let _closed = sender.send(inbound);
    };
    (Arc::new(sink), receiver)
}

struct OverTcp {
    runtime: tokio::runtime::Runtime,
    nodes: Vec<(Tcp, String, UnboundedReceiver<Inbound>)>,
}

impl Network for OverTcp {
    fn start(&mut self, identity: Arc<LocalIdentity>) -> Result<String, String> {
        let _inside = self.runtime.enter();
        let (sink, inbox) = inbox();
        let mut tcp = Tcp::new(loopback());
        let address = tcp.start(identity, sink).map_err(|e| e.message)?.unwrap_or_default();
        self.nodes.push((tcp, address.clone(), inbox));
        Ok(address)
    }

    fn send(&mut self, node: usize, to: NodeId, address: Option<&str>, frame: Frame) {
        let _inside = self.runtime.enter();
        self.nodes[node].0.send(to, address, frame);
    }

    fn receive(&mut self, node: usize) -> Result<Inbound, String> {
        let inbox = &mut self.nodes[node].2;
        let next = self.runtime.block_on(async { timeout(LONG, inbox.recv()).await });
        next.ok().flatten().ok_or_else(|| "nothing came".to_owned())
    }

    fn stop(&mut self, node: usize) {
        let (tcp, address, _) = &mut self.nodes[node];
        tcp.stop();
        self.runtime.block_on(async {
            while std::net::TcpListener::bind(&*address).is_err() {
                tokio::task::yield_now().await;
            }
        });
    }
}

struct InMemory {
    network: MemoryNetwork,
    nodes: Vec<(Memory, UnboundedReceiver<Inbound>)>,
}

impl Network for InMemory {
    fn start(&mut self, identity: Arc<LocalIdentity>) -> Result<String, String> {
        let (sink, inbox) = inbox();
        let mut memory = self.network.at(&format!("node-{}", self.nodes.len()));
        let address = memory.start(identity, sink).map_err(|e| e.message)?.unwrap_or_default();
        self.nodes.push((memory, inbox));
        Ok(address)
    }

    fn send(&mut self, node: usize, to: NodeId, address: Option<&str>, frame: Frame) {
        self.nodes[node].0.send(to, address, frame);
    }

    fn receive(&mut self, node: usize) -> Result<Inbound, String> {
        self.nodes[node].1.try_recv().map_err(|_| "nothing came".to_owned())
    }

    fn stop(&mut self, node: usize) {
        self.nodes[node].0.stop();
    }
}

#[test]
fn tcp_keeps_the_contract() {
    let passed =
        conformance::run(&mut || Box::new(OverTcp { runtime: runtime(), nodes: Vec::new() }));
    assert_eq!(passed, Ok(14));
}

#[test]
fn memory_keeps_the_contract() {
    let network = || InMemory { network: MemoryNetwork::new(), nodes: Vec::new() };
    assert_eq!(conformance::run(&mut || Box::new(network())), Ok(14));
}

/// Two nodes in memory; what the second received so far.
struct Two {
    network: MemoryNetwork,
    a: Memory,
    b: Memory,
    at_b: UnboundedReceiver<Inbound>,
}

impl Two {
    fn new() -> Two {
        let network = MemoryNetwork::new();
        let (mut a, mut b) = (network.at("a"), network.at("b"));
        let (sink, at_b) = inbox();
        let identity = |id| Arc::new(LocalIdentity::new(NodeId(id), run_of(id, 1)));
        a.start(identity(1), inbox().0).expect("a is free");
        b.start(identity(2), sink).expect("b is free");
        Two { network, a, b, at_b }
    }

    fn send(&mut self, number: u64) {
        let body = Body::Identify(Identify { nonce: number });
        let message = message(NodeId(1), run_of(1, 1), NodeId(2), body);
        self.a.send(NodeId(2), Some("b"), frame(&message));
    }

    fn received(&mut self) -> Vec<u64> {
        let number = |inbound| match inbound {
            Inbound::Frame(frame) => match frame.messages[0].body {
                Body::Identify(Identify { nonce }) => nonce,
                _ => 0,
            },
            _ => 0,
        };
        std::iter::from_fn(|| self.at_b.try_recv().ok()).map(number).collect()
    }
}

#[test]
fn frames_in_memory_are_cut_held_and_doubled() {
    let mut two = Two::new();
    two.network.partition(&[&["a"], &["b", "c"]]);
    two.send(1);
    two.network.heal();
    two.send(2);
    assert_eq!(two.received(), [2]);
    two.network.set("a", "b", Link::Held);
    two.send(3);
    two.send(4);
    assert_eq!(two.received(), [0; 0]);
    two.network.set("a", "b", Link::Doubled);
    two.send(5);
    assert_eq!(two.received(), [3, 4, 5, 5]);
    two.network.set("a", "b", Link::Held);
    two.send(6);
    two.network.set("a", "b", Link::Cut);
    two.network.heal();
    assert_eq!(two.received(), [0; 0], "what is cut while it waits is lost");
}

#[test]
fn an_address_in_memory_is_taken_once() {
    let mut two = Two::new();
    let identity = || Arc::new(LocalIdentity::new(NodeId(3), run_of(3, 1)));
    let mut again = two.network.at("b");
    let taken = again.start(identity(), inbox().0).expect_err("b is there");
    assert_eq!(taken.kind, ErrorKind::AddressInUse);
    two.b.stop();
    again.start(identity(), inbox().0).expect("b is gone");
}

#[test]
fn a_network_outside_a_runtime_is_refused() {
    let identity = Arc::new(LocalIdentity::new(NodeId(3), run_of(3, 1)));
    let refused = Tcp::new(loopback()).start(identity, inbox().0).expect_err("there is none");
    assert_eq!(refused.kind, ErrorKind::Internal);
    super::bench::run(async {
        let mut node = Node::new(1);
        let again = node.tcp.start(node.identity.clone(), inbox().0).expect_err("it runs");
        assert_eq!(again.kind, ErrorKind::Internal);
    });
}
