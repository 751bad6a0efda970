//! The one task that knows all peers and connections. It never waits for anything but its next event.

use super::connection::{End, Link};
use super::handshake;
use super::peer::{Backoff, Peer, superseded};
use super::queue::{Drain, Queue, queue};
use super::runs::{Runs, of_one_process};
use super::socket::Listener;
use super::{Context, address, socket};
use crate::consensus::types::{Incarnation, NodeId};
use crate::transport::Inbound;
use crate::transport::wire::Frame;
use crate::transport::wire::hello::{Code, Hello, Kind};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections that others opened; the oldest of a node goes first.
const MAX_INBOUND: usize = 1024;
const MAX_INBOUND_PER_NODE: usize = 4;
/// How long to wait when no connection can be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the hub reacts to.
pub(super) enum Event {
    /// Something to send.
    Send { to: NodeId, address: Option<String>, frame: Frame },
    /// Somebody connected.
    Accepted(TcpStream, SocketAddr),
    /// Somebody says who it is. The answer: its frames, or a refusal.
    Hello { hello: Hello, answer: oneshot::Sender<Result<Drain, Box<Hello>>> },
    /// A node changed its lineage, which makes another run of it in the same process.
    NewRun { node: NodeId, run: Incarnation },
    /// Who was dialed says who it is. The error: the run that supersedes it.
    Welcome { node: NodeId, run: Incarnation, answer: oneshot::Sender<Result<(), Incarnation>> },
}

/// Whom a connection is to.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Node(NodeId),
    /// Whoever is there.
    Address(String),
}

struct Outbound {
    address: String,
    queue: Queue,
    heard: watch::Sender<Incarnation>,
}

struct Route {
    run: Incarnation,
    queue: Queue,
}

pub(super) struct Hub {
    context: Arc<Context>,
    outbound: BTreeMap<Key, Outbound>,
    inbound: BTreeMap<NodeId, Vec<Route>>,
    runs: Runs,
    /// Ends with the hub, and all tasks with it.
    tasks: JoinSet<()>,
    seed: u64,
}

impl Hub {
    pub(super) fn new(context: Arc<Context>) -> Hub {
        let mut runs = Runs::default();
        let (node, run) = (context.identity.node, context.identity.incarnation());
        let _first = runs.note(node, run);
        let seed = node.0 ^ run.0;
        let (outbound, inbound) = (BTreeMap::new(), BTreeMap::new());
        Hub { context, outbound, inbound, runs, tasks: JoinSet::new(), seed }
    }

    pub(super) async fn run(
        mut self,
        listener: Option<TcpListener>,
        mut events: mpsc::Receiver<Event>,
    ) {
        if let Some(listener) = listener {
            self.tasks.spawn(accept(Listener(listener), self.context.clone()));
        }
        while let Some(event) = events.recv().await {
            match event {
                Event::Send { to, address: Some(address), frame } => self.send(to, address, frame),
                Event::Send { to, address: None, frame } => self.answer(to, frame),
                Event::Accepted(stream, remote) => self.on_accepted(stream, remote),
                Event::Hello { hello, answer } => {
                    let _gone = answer.send(self.on_hello(&hello));
                }
                Event::NewRun { node, run } => {
                    let _superseded = self.note(node, run);
                }
                Event::Welcome { node, run, answer } => {
                    let _gone = answer.send(self.note(node, run));
                }
            }
        }
    }

    fn send(&mut self, to: NodeId, address: String, frame: Frame) {
        let key = if to.is_zero() { Key::Address(address.clone()) } else { Key::Node(to) };
        let usable = |peer: &&Outbound| peer.address == address && !peer.queue.is_closed();
        let taken = match self.outbound.get(&key).filter(usable) {
            Some(peer) => peer.queue.push(frame),
            None => {
                let peer = self.dial(to, address);
                let taken = peer.queue.push(frame);
                self.outbound.insert(key, peer);
                taken
            }
        };
        self.context.lose(usize::from(!taken));
    }

    /// Begins to keep a connection to a peer, or to the place where it is now.
    fn dial(&mut self, to: NodeId, address: String) -> Outbound {
        self.tidy_up();
        let options = &self.context.options;
        let (queue, drain) = queue(options.max_queued_frames, options.max_queued_bytes);
        let (sender, heard) = watch::channel(Incarnation::ZERO);
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let backoff = Backoff::new(options.backoff, self.seed);
        let context = self.context.clone();
        let peer = Peer { context, to, address: address.clone(), drain, heard, backoff };
        self.tasks.spawn(peer.run());
        Outbound { address, queue, heard: sender }
    }

    /// Sends over the newest connection that the node opened.
    fn answer(&self, to: NodeId, frame: Frame) {
        let routes = self.inbound.get(&to).map(Vec::as_slice).unwrap_or_default();
        let open = routes.iter().rev().find(|route| !route.queue.is_closed());
        let taken = open.is_some_and(|route| route.queue.push(frame));
        self.context.lose(usize::from(!taken));
    }

    fn on_accepted(&mut self, stream: TcpStream, remote: SocketAddr) {
        self.tidy_up();
        let welcome = address::may_come_from(remote, self.context.options.insecure);
        let room = self.context.half_open.clone().try_acquire_owned();
        if let Ok(room) = room
            && welcome
        {
            let context = self.context.clone();
            self.tasks.spawn(async move {
                if let Some((link, mut drain, name)) = receive(&context, stream, remote).await {
                    drop(room);
                    if let End::Broken(text) = link.run(&context, &mut drain, None).await {
                        let text = format!("what node {} sends can't be read: {text}", link.node);
                        context.hand_up(Inbound::Refused { address: name, text });
                    }
                }
            });
        }
    }

    /// Judges whoever connected, and makes a way back to it.
    fn on_hello(&mut self, hello: &Hello) -> Result<Drain, Box<Hello>> {
        let identity = &self.context.identity.clone();
        handshake::judge(identity, hello)?;
        let count: usize = self.inbound.values().map(Vec::len).sum();
        if count >= MAX_INBOUND {
            let text = format!("this node has {count} connections already");
            return Err(Box::new(handshake::refuse(identity, hello, Code::Busy, text)));
        }
        let newest = if hello.from == identity.node {
            self.own_run(hello)
        } else {
            self.note(hello.from, hello.incarnation)
        };
        newest.map_err(|by| handshake::refuse_run(identity, hello, by))?;
        let options = &self.context.options;
        let (queue, drain) = queue(options.max_queued_frames, options.max_queued_bytes);
        let routes = self.inbound.entry(hello.from).or_default();
        routes.retain(|route| !route.queue.is_closed());
        if routes.len() >= MAX_INBOUND_PER_NODE {
            routes.remove(0);
        }
        routes.push(Route { run: hello.incarnation, queue });
        if let Some(peer) = self.outbound.get(&Key::Node(hello.from)) {
            peer.heard.send_replace(hello.incarnation);
        }
        Ok(drain)
    }

    /// Takes note of a run, and closes what older processes of that node had opened.
    fn note(&mut self, node: NodeId, run: Incarnation) -> Result<(), Incarnation> {
        self.runs.note(node, run)?;
        if let Some(routes) = self.inbound.get_mut(&node) {
            routes.retain(|route| of_one_process(route.run, run));
        }
        Ok(())
    }

    /// A node may ask itself who it is. Another process with its identity is a twin, or a newer one: the
    /// older of the two must learn of it.
    fn own_run(&self, hello: &Hello) -> Result<(), Incarnation> {
        let own = self.context.identity.incarnation();
        if of_one_process(hello.incarnation, own) {
            return Ok(());
        }
        if hello.incarnation.counter() > own.counter() {
            let news = Hello { superseded_by: hello.incarnation, ..hello.clone() };
            self.context.hand_up(superseded(self.context.identity.node, &news));
        }
        Err(own)
    }

    /// Forgets what ended.
    fn tidy_up(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.outbound.retain(|_, peer| !peer.queue.is_closed());
        self.inbound.retain(|_, routes| {
            routes.retain(|route| !route.queue.is_closed());
            !routes.is_empty()
        });
    }
}

/// Accepts for ever. Without descriptors it waits for better times.
async fn accept(listener: Listener, context: Arc<Context>) {
    loop {
        match listener.0.accept().await {
            Ok((stream, remote)) => {
                if context.hub.send(Event::Accepted(stream, remote)).await.is_err() {
                    return;
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Hears who connected, and answers. `None`: it is nobody to talk to. Bytes that are no Hello get no
/// answer at all.
async fn receive(
    context: &Context,
    stream: TcpStream,
    remote: SocketAddr,
) -> Option<(Link, Drain, String)> {
    let introduction = async {
        let stream = socket::prepare(stream).ok()?;
        let hello = handshake::read(&stream).await.ok().filter(|h| h.kind == Kind::Hello)?;
        let (answer, reply) = oneshot::channel();
        context.hub.send(Event::Hello { hello: hello.clone(), answer }).await.ok()?;
        let (back, drain) = match reply.await.ok()? {
            Ok(drain) => {
                (handshake::introduce(&context.identity, Kind::Welcome, hello.from), Some(drain))
            }
            Err(refusal) => (*refusal, None),
        };
        handshake::write(context, &stream, &back).await.ok()?;
        Some((stream, hello, drain?))
    };
    let (stream, hello, drain) =
        timeout(context.options.handshake_timeout, introduction).await.ok()??;
    let name = if hello.address.is_empty() { remote.to_string() } else { hello.address.clone() };
    Some((Link::new(stream, &hello), drain, name))
}
