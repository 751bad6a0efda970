//! The suite that every transport must pass, its user's own included. Each check names the rule of the
//! port that it is about; the first one that is broken ends the run.

use super::wire::{self, Decoded, Envelope, Frame};
use super::{Inbound, LocalIdentity};
use crate::change::NewEntry;
use crate::consensus::message::{Body, Forward, Identify, Message};
use crate::consensus::types::{ClusterId, Incarnation, NodeId, Origin, Term};
use std::sync::Arc;

/// What the suite needs of an adapter: nodes that can be started and stopped, and their inboxes.
pub trait Network {
    /// Starts a node with an address of its own, and returns that. Nodes are counted from 0.
    fn start(&mut self, identity: Arc<LocalIdentity>) -> Result<String, String>;

    /// `Transport::send` of that node.
    fn send(&mut self, node: usize, to: NodeId, address: Option<&str>, frame: Frame);

    /// Waits for what that node's transport hands up next. The error: nothing, for a long time.
    fn receive(&mut self, node: usize) -> Result<Inbound, String>;

    /// `Transport::stop` of that node, and waits until it has taken effect.
    fn stop(&mut self, node: usize);
}

/// Makes an empty network.
pub type Maker<'a> = &'a mut dyn FnMut() -> Box<dyn Network>;

type Check = (&'static str, fn(&mut Bench) -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("a frame arrives as it was sent", carries_frames),
    ("frames for one node keep their order", keeps_the_order),
    ("large frames arrive", carries_large_frames),
    ("an answer without an address goes back", answers_go_back),
    ("an answer to nobody is lost", answers_to_nobody_are_lost),
    ("whoever is at an address can be asked", asks_who_is_there),
    ("a node can ask itself", asks_itself),
    ("members of all clusters can be asked who they are", asks_members_of_other_clusters),
    ("another node at an address is reported", reports_wrong_nodes),
    ("a member of another cluster is refused", refuses_other_clusters),
    ("a node in no cluster talks to everybody", standalone_talks_to_all),
    ("an address where nobody is is reported", reports_unreachable_addresses),
    ("a node that was stopped sends nothing", stops),
    ("a node that comes back is reached again", reaches_a_node_that_came_back),
];

/// Runs all checks and returns how many passed. The error names the rule that is broken, and how.
///
/// # Errors
/// The first rule that is broken.
pub fn run(make: Maker<'_>) -> Result<usize, String> {
    for (rule, check) in CHECKS {
        let mut bench = Bench { network: make(), nodes: Vec::new() };
        check(&mut bench).map_err(|e| format!("{rule}: {e}"))?;
    }
    Ok(CHECKS.len())
}

struct Bench {
    network: Box<dyn Network>,
    nodes: Vec<(Arc<LocalIdentity>, String)>,
}

impl Bench {
    /// Starts a node in that cluster. The ids are 100, 101, ...
    fn node(&mut self, cluster: u64) -> Result<usize, String> {
        self.node_as(100 + self.nodes.len() as u64, 1, cluster)
    }

    fn node_as(&mut self, id: u64, counter: u64, cluster: u64) -> Result<usize, String> {
        let run = Incarnation(counter << 40 | id << 8 | counter);
        let identity = Arc::new(LocalIdentity::new(NodeId(id), run));
        identity.update(run, ClusterId(cluster), "");
        let address = self.network.start(identity.clone())?;
        identity.update(run, ClusterId(cluster), &address);
        self.nodes.push((identity, address));
        Ok(self.nodes.len() - 1)
    }

    fn id(&self, node: usize) -> NodeId {
        self.nodes[node].0.node
    }

    fn message(&self, from: usize, to: NodeId, body: Body) -> Message {
        let identity = &self.nodes[from].0;
        Message {
            from: identity.node,
            from_incarnation: identity.incarnation(),
            to,
            address: None,
            cluster: identity.cluster(),
            term: Term(1),
            body,
        }
    }

    /// Sends a numbered message to a node at its address.
    fn send(&mut self, from: usize, to: usize, number: u64) {
        let address = self.nodes[to].1.clone();
        self.send_to(from, self.id(to), Some(&address), number);
    }

    fn send_to(&mut self, from: usize, to: NodeId, address: Option<&str>, number: u64) {
        let message = self.message(from, to, Body::Identify(Identify { nonce: number }));
        let frame = wire::encode(Envelope::of(&message), &[message], number);
        self.network.send(from, to, address, frame);
    }

    fn receive(&mut self, node: usize) -> Result<Decoded, String> {
        match self.network.receive(node)? {
            Inbound::Frame(frame) => Ok(frame),
            other => Err(format!("instead of a frame came {other:?}")),
        }
    }

    /// The number of the next message.
    fn number(&mut self, node: usize) -> Result<u64, String> {
        let frame = self.receive(node)?;
        match frame.messages.as_slice() {
            [Message { body: Body::Identify(Identify { nonce }), .. }] => Ok(*nonce),
            other => Err(format!("instead of one numbered message came {other:?}")),
        }
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?} instead of {wanted:?}")) }
}

fn forward(bench: &Bench, from: usize, to: usize, data: &[u8]) -> Message {
    let new = NewEntry::new(data).encode(Origin::default(), 4 << 20);
    let commands = new.into_iter().collect();
    bench.message(from, bench.id(to), Body::Forward(Forward { first: 3, commands }))
}

fn carries_frames(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    let one = forward(bench, a, b, b"payload");
    let two = bench.message(a, bench.id(b), Body::TimeoutNow);
    let messages = [one, two];
    let frame = wire::encode(Envelope::of(&messages[0]), &messages, 9);
    let address = bench.nodes[b].1.clone();
    bench.network.send(a, bench.id(b), Some(&address), frame);
    let frame = bench.receive(b)?;
    expect("the envelope", frame.envelope, Envelope::of(&messages[0]))?;
    expect("the number", frame.frame_seq, 9)?;
    expect("the messages", frame.messages.as_slice(), &messages)
}

fn keeps_the_order(bench: &mut Bench) -> Result<(), String> {
    let (a, b, c) = (bench.node(7)?, bench.node(7)?, bench.node(7)?);
    for number in 0..1000 {
        bench.send(a, b, number);
        bench.send(a, c, number);
    }
    for node in [b, c] {
        for number in 0..1000 {
            expect("the next message", bench.number(node)?, number)?;
        }
    }
    Ok(())
}

fn carries_large_frames(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    let mut messages: Vec<_> = [1 << 20, 64 << 10, 4 << 20, 0, 100]
        .iter()
        .map(|len| forward(bench, a, b, &vec![*len as u8 ^ 0x5a; *len]))
        .collect();
    let address = bench.nodes[b].1.clone();
    let all = wire::encode(Envelope::of(&messages[0]), &messages, 0);
    bench.network.send(a, bench.id(b), Some(&address), all);
    for message in &messages {
        let frame = wire::encode(Envelope::of(message), std::slice::from_ref(message), 0);
        bench.network.send(a, bench.id(b), Some(&address), frame);
    }
    expect("all in one", bench.receive(b)?.messages == messages, true)?;
    for message in messages.drain(..) {
        expect("one by one", bench.receive(b)?.messages == [message], true)?;
    }
    Ok(())
}

fn answers_go_back(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    bench.send(a, b, 1);
    expect("the question", bench.number(b)?, 1)?;
    bench.send_to(b, bench.id(a), None, 2);
    expect("the answer", bench.number(a)?, 2)
}

fn answers_to_nobody_are_lost(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    bench.send_to(b, bench.id(a), None, 1);
    bench.send_to(b, NodeId(999), None, 1);
    bench.send(b, a, 2);
    expect("the first to arrive", bench.number(a)?, 2)
}

fn asks_who_is_there(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    let address = bench.nodes[b].1.clone();
    bench.send_to(a, NodeId(0), Some(&address), 1);
    expect("the question", bench.number(b)?, 1)?;
    bench.send_to(b, bench.id(a), None, 2);
    expect("the answer", bench.number(a)?, 2)
}

fn asks_itself(bench: &mut Bench) -> Result<(), String> {
    let a = bench.node(0)?;
    let address = bench.nodes[a].1.clone();
    bench.send_to(a, NodeId(0), Some(&address), 1);
    expect("the question", bench.number(a)?, 1)?;
    bench.send_to(a, bench.id(a), None, 2);
    expect("the answer", bench.number(a)?, 2)
}

fn asks_members_of_other_clusters(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(8)?);
    let address = bench.nodes[b].1.clone();
    bench.send_to(a, NodeId(0), Some(&address), 1);
    expect("the question", bench.number(b)?, 1)?;
    bench.send_to(b, bench.id(a), None, 2);
    expect("the answer", bench.number(a)?, 2)
}

fn reports_wrong_nodes(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    let address = bench.nodes[b].1.clone();
    bench.send_to(a, NodeId(555), Some(&address), 1);
    match bench.network.receive(a)? {
        Inbound::WrongNode { address: at, wanted, found } => {
            expect("where", at, address)?;
            expect("who", (wanted, found), (NodeId(555), bench.id(b)))?;
        }
        other => return Err(format!("instead came {other:?}")),
    }
    bench.send(a, b, 2);
    expect("the first to arrive", bench.number(b)?, 2)
}

fn refuses_other_clusters(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(8)?);
    bench.send(a, b, 1);
    match bench.network.receive(a)? {
        Inbound::Refused { address, text } => {
            expect("where", &address, &bench.nodes[b].1)?;
            let names_both = text.contains('7') && text.contains('8');
            expect("the text names both clusters", (names_both, text.clone()), (true, text))
        }
        other => Err(format!("instead came {other:?}")),
    }
}

fn standalone_talks_to_all(bench: &mut Bench) -> Result<(), String> {
    let (alone, member) = (bench.node(0)?, bench.node(8)?);
    bench.send(alone, member, 1);
    expect("to a member", bench.number(member)?, 1)?;
    bench.send(member, alone, 2);
    expect("to a node in no cluster", bench.number(alone)?, 2)
}

fn reports_unreachable_addresses(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node(7)?);
    bench.network.stop(b);
    bench.send(a, b, 1);
    match bench.network.receive(a)? {
        Inbound::Unreachable { address, text } => {
            expect("where", &address, &bench.nodes[b].1)?;
            expect("a reason is given", text.is_empty(), false)
        }
        other => Err(format!("instead came {other:?}")),
    }
}

fn stops(bench: &mut Bench) -> Result<(), String> {
    let (a, b, c) = (bench.node(7)?, bench.node(7)?, bench.node(7)?);
    bench.network.stop(a);
    bench.send(a, b, 1);
    bench.send_to(a, bench.id(b), None, 1);
    bench.network.stop(a);
    bench.send(c, b, 2);
    expect("the first to arrive", bench.number(b)?, 2)
}

/// The new run has an address of its own, as a node that moved.
fn reaches_a_node_that_came_back(bench: &mut Bench) -> Result<(), String> {
    let (a, b) = (bench.node(7)?, bench.node_as(200, 1, 7)?);
    bench.send(a, b, 1);
    expect("to the first run", bench.number(b)?, 1)?;
    bench.network.stop(b);
    let again = bench.node_as(200, 2, 7)?;
    bench.send(again, a, 2);
    expect("from the second run", bench.number(a)?, 2)?;
    bench.send(a, again, 3);
    expect("to the second run", bench.number(again)?, 3)
}
