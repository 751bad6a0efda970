//! Nodes that are nothing but a network, and bare sockets that speak the protocol by hand.

use bytes::{Bytes, BytesMut};
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::message::{Body, Forward, Identify, Message};
use quorate_engine::consensus::types::{ClusterId, Incarnation, NodeId, Origin, Term};
use quorate_engine::transport::tcp::{Tcp, TcpOptions};
use quorate_engine::transport::wire::hello::{Hello, Kind};
use quorate_engine::transport::wire::{self, Envelope, Frame};
use quorate_engine::transport::{Inbound, LocalIdentity, Transport};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Far more than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);
pub const CLUSTER: ClusterId = ClusterId(7);

pub fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.expect("a runtime can be built")
}

/// Runs a test as the driver runs a network: on one thread, in a LocalSet.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = runtime();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        timeout(5 * LONG, test).await.expect("the test ends");
    });
}

pub fn loopback() -> TcpOptions {
    TcpOptions { listen: "127.0.0.1:0".to_owned(), ..TcpOptions::default() }
}

/// The first run of the process that is the node's `counter`th.
pub fn run_of(id: u64, counter: u64) -> Incarnation {
    Incarnation(counter << 40 | id << 8 | counter)
}

/// A node that is nothing but a network.
pub struct Node {
    pub tcp: Tcp,
    pub identity: Arc<LocalIdentity>,
    pub address: String,
    pub inbox: UnboundedReceiver<Inbound>,
}

impl Node {
    pub fn new(id: u64) -> Node {
        Node::with(id, 1, loopback())
    }

    pub fn with(id: u64, counter: u64, options: TcpOptions) -> Node {
        let identity = Arc::new(LocalIdentity::new(NodeId(id), run_of(id, counter)));
        let (sender, inbox) = unbounded_channel();
        let mut tcp = Tcp::new(options);
        let sink = Arc::new(move |inbound| {
            let _closed = sender.send(inbound);
        });
        let address = tcp.start(identity.clone(), sink).expect("it starts").unwrap_or_default();
        identity.update(run_of(id, counter), CLUSTER, &address);
        Node { tcp, identity, address, inbox }
    }

    pub fn id(&self) -> NodeId {
        self.identity.node
    }

    pub fn message(&self, to: NodeId, body: Body) -> Message {
        message(self.id(), self.identity.incarnation(), to, body)
    }

    pub fn send(&mut self, to: NodeId, address: &str, number: u64) {
        let message = self.message(to, Body::Identify(Identify { nonce: number }));
        self.tcp.send(to, Some(address), frame(&message));
    }

    pub fn send_bytes(&mut self, to: NodeId, address: &str, len: usize) {
        let message = self.message(to, payload(len));
        self.tcp.send(to, Some(address), frame(&message));
    }

    pub async fn next(&mut self) -> Inbound {
        let next = timeout(LONG, self.inbox.recv()).await.expect("something comes");
        next.expect("the network is there")
    }

    /// The number of the next message; whatever else is handed up is passed over.
    pub async fn number(&mut self) -> u64 {
        loop {
            if let Inbound::Frame(frame) = self.next().await
                && let Body::Identify(Identify { nonce }) = frame.messages[0].body
            {
                return nonce;
            }
        }
    }
}

pub fn message(from: NodeId, run: Incarnation, to: NodeId, body: Body) -> Message {
    Message {
        from,
        from_incarnation: run,
        to,
        address: None,
        cluster: CLUSTER,
        term: Term(1),
        body,
    }
}

pub fn frame(message: &Message) -> Frame {
    wire::encode(Envelope::of(message), std::slice::from_ref(message), 0)
}

/// Something that makes a frame of at least `len` bytes.
pub fn payload(len: usize) -> Body {
    let new = NewEntry::new(&vec![7; len]).encode(Origin::default(), len);
    Body::Forward(Forward { first: 0, commands: vec![new.expect("it may be that large")] })
}

/// The Hello of a node that is no node.
pub fn hello(from: u64, counter: u64, to: NodeId) -> Hello {
    Hello {
        from: NodeId(from),
        incarnation: run_of(from, counter),
        cluster: CLUSTER,
        to,
        ..Hello::new(Kind::Hello)
    }
}

/// A bare socket.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub async fn dial(address: &str) -> Raw {
        Raw { stream: TcpStream::connect(address).await.expect("it is listening") }
    }

    /// Dials and says Hello.
    pub async fn greet(address: &str, hello: &Hello) -> (Raw, Hello) {
        let mut raw = Raw::dial(address).await;
        raw.write(&hello.encode()).await;
        let answer = raw.read_hello().await.expect("an answer comes");
        (raw, answer)
    }

    /// Lets a node in that dials, as `id`, and returns the Hello that it said.
    pub async fn welcome(listener: &TcpListener, id: u64, counter: u64) -> (Raw, Hello) {
        let (stream, _) =
            timeout(LONG, listener.accept()).await.expect("it dials").expect("it may");
        let mut raw = Raw { stream };
        let said = raw.read_hello().await.expect("a node says Hello");
        let answer = Hello { kind: Kind::Welcome, ..hello(id, counter, said.from) };
        raw.write(&answer.encode()).await;
        (raw, said)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it can be written");
    }

    pub async fn send(&mut self, message: &Message) {
        self.write(&frame(message).to_bytes()).await;
    }

    /// `None` when the other side closes instead.
    pub async fn read_hello(&mut self) -> Option<Hello> {
        let mut bytes = BytesMut::zeroed(16);
        self.read_exact(&mut bytes).await?;
        let len = Hello::len(bytes.first_chunk()?).expect("it is a handshake");
        bytes.resize(len, 0);
        self.read_exact(&mut bytes[16..]).await?;
        Some(Hello::decode(&bytes).expect("it is a handshake"))
    }

    pub async fn read_frame(&mut self) -> Option<wire::Decoded> {
        let mut bytes = BytesMut::zeroed(wire::HEADER);
        self.read_exact(&mut bytes).await?;
        let head = bytes.first_chunk()?;
        let len = wire::frame_len(head, wire::FRAME_LIMIT).expect("it is a frame");
        bytes.resize(len, 0);
        self.read_exact(&mut bytes[wire::HEADER..]).await?;
        Some(wire::decode(Bytes::from(bytes)).expect("it is a frame"))
    }

    async fn read_exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        let read = timeout(LONG, self.stream.read_exact(bytes)).await;
        read.expect("something comes").ok().map(|_| ())
    }

    /// Waits until the other side closes the connection; what comes before is passed over.
    pub async fn closed(&mut self) {
        let mut sink = vec![0; 1 << 16];
        while timeout(LONG, self.stream.read(&mut sink)).await.expect("it ends").unwrap_or(0) > 0 {}
    }
}
