//! The default network: TCP. A connection for each ordered pair of nodes; answers to a node whose
//! address is not known go back over the connection that it opened.
//!
//! Everything runs as tasks on the caller's tokio runtime, that is on quorate-loop. Every queue is
//! bounded, and each connection has its own writer, so that a peer that does not read delays no other.
//! The thread must block SIGPIPE, as all threads of the engine do.

mod connection;
mod incoming;
mod outgoing;
mod queue;

use super::{Inbound, LocalIdentity, Sink, Transport, wire};
use crate::consensus::types::NodeId;
use crate::error::{Error, ErrorKind};
use crate::transport::wire::hello::{Hello, Kind};
use outgoing::Outgoing;
use queue::Outbound;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How long a handshake, or a dial, may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// A connection that takes no bytes for so long is closed.
const STALL_TIME: Duration = Duration::from_secs(10);
/// A connection that nobody used for so long is closed.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Connections that are not past their handshake.
const MAX_STRANGERS: usize = 128;

/// How the network is set up.
#[derive(Clone, Debug, Default)]
pub struct TcpOptions {
    /// `host:port` of the listener, port 0 = any free one; empty = none.
    pub listen: String,
    /// Plain text off loopback is allowed: the operator trusts the network.
    pub insecure: bool,
}

/// The network.
pub struct Tcp {
    options: TcpOptions,
    shared: Option<Arc<Shared>>,
    tasks: JoinSet<()>,
}

/// What all connections share.
struct Shared {
    identity: Arc<LocalIdentity>,
    sink: Sink,
    insecure: bool,
    /// Nodes that are dialed, by id (0 = whoever) and address.
    outgoing: Mutex<HashMap<(NodeId, String), Arc<Outgoing>>>,
    /// The newest connection that each node opened.
    incoming: Mutex<HashMap<NodeId, Arc<Outbound>>>,
}

impl Tcp {
    /// A network that is not started.
    #[must_use]
    pub fn new(options: TcpOptions) -> Tcp {
        Tcp { options, shared: None, tasks: JoinSet::new() }
    }

    /// Binds the listener, and says where.
    fn listen(&mut self, shared: &Arc<Shared>) -> Result<Option<String>, Error> {
        if self.options.listen.is_empty() {
            return Ok(None);
        }
        let address = resolve_listen(&self.options)?;
        let listener = bind(address).map_err(|error| listen_error(&self.options.listen, &error))?;
        let bound = listener.local_addr().map_err(|e| listen_error(&self.options.listen, &e))?;
        self.tasks.spawn(incoming::accept(listener, Arc::clone(shared)));
        Ok(Some(bound.to_string()))
    }
}

impl Transport for Tcp {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        let shared = Arc::new(Shared {
            identity,
            sink,
            insecure: self.options.insecure,
            outgoing: Mutex::default(),
            incoming: Mutex::default(),
        });
        let bound = self.listen(&shared)?;
        self.shared = Some(shared);
        Ok(bound)
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: wire::Frame) {
        let Some(shared) = &self.shared else { return };
        let Some(address) = address else {
            if let Some(connection) = lock(&shared.incoming).get(&to) {
                connection.add(frame);
            }
            return;
        };
        while self.tasks.try_join_next().is_some() {} // dialers that ended: nobody used them
        let key = (to, address.to_owned());
        let mut outgoing = lock(&shared.outgoing);
        let peer = outgoing.entry(key).or_insert_with(|| {
            let peer = Arc::new(Outgoing::new(to, address));
            self.tasks.spawn(outgoing::keep(Arc::clone(&peer), Arc::clone(shared)));
            peer
        });
        peer.queue.add(frame);
    }

    fn stop(&mut self) {
        self.tasks.abort_all();
        self.shared = None;
    }
}

impl Shared {
    /// How this node introduces itself.
    fn hello(&self, kind: Kind, to: NodeId, text: &str) -> Hello {
        Hello {
            kind,
            lane: 0,
            cluster: self.identity.cluster(),
            from: self.identity.node,
            to,
            incarnation: self.identity.incarnation(),
            nonce: [0; 32],
            frame_limit: wire::FRAME_LIMIT as u32,
            address: self.identity.address(),
            text: text.to_owned(),
        }
    }

    fn hand_up(&self, inbound: Inbound) {
        (self.sink)(inbound);
    }

    /// A node dialed us, so it is up: whoever waits to dial it need not wait longer.
    fn is_up(&self, node: NodeId) {
        for peer in lock(&self.outgoing).values().filter(|peer| peer.to == node) {
            peer.queue.dial_now();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether plain text to or from that address needs the operator's word.
fn is_private_enough(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}

fn resolve_listen(options: &TcpOptions) -> Result<SocketAddr, Error> {
    let listen = &options.listen;
    let malformed = |why: String| {
        let text = format!(
            "listen = {listen} is no address to listen on ({why}): write host:port, such as \
             127.0.0.1:7001, with port 0 for any free one"
        );
        Error::new(ErrorKind::Invalid, text)
    };
    let mut found = listen.to_socket_addrs().map_err(|error| malformed(error.to_string()))?;
    let address = found.next().ok_or_else(|| malformed("no such host".to_owned()))?;
    if options.insecure || is_private_enough(address.ip()) {
        return Ok(address);
    }
    let text = format!(
        "listen = {listen} is not a loopback address, and connections are plain text without \
         authentication: set insecure = on if the network is trusted, else listen on 127.0.0.1"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

fn listen_error(listen: &str, error: &io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            ErrorKind::AddressInUse,
            "another program listens there: stop it, or choose another port",
        ),
        io::ErrorKind::AddrNotAvailable => {
            (ErrorKind::Invalid, "this machine has no such address: use one of its own")
        }
        _ => (ErrorKind::Io, "choose another address"),
    };
    Error::new(kind, format!("can't listen on {listen} ({error}): {advice}"))
}

#[cfg(test)]
mod tests;
