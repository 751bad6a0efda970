//! The network over TCP.
//!
//! A node dials each node that it has something to send to, and reads answers back over the same
//! connection; whoever is dialed answers there too while it knows no address. So two nodes that both
//! dial have two connections. All runs as tasks (`tokio::spawn`) on the runtime inside which `start` is
//! called; it needs its I/O and time drivers. The hub is the one task that owns all state; each
//! connection has a task of its own with a bounded queue, so a peer that does not read holds up nobody
//! but itself. Host names are resolved on tokio's blocking pool; numeric addresses need no thread.
//!
//! SIGPIPE: everything is written with MSG_NOSIGNAL, so no signal can reach the host, whatever thread
//! the runtime runs on.

mod address;
mod connection;
mod handshake;
mod hub;
mod peer;
mod queue;
mod ration;
mod runs;
mod socket;

use super::wire::{FRAME_LIMIT, Frame};
use super::{Inbound, LocalIdentity, Sink, Transport};
use crate::consensus::types::NodeId;
use crate::error::{Error, ErrorKind};
use hub::{Event, Hub};
use ration::Ration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// Frames on their way from the loop to the hub, which never waits for anything.
const HUB_EVENTS: usize = 16 * 1024;
/// Bytes of long frames that have begun and not ended, of all connections.
const UNFINISHED: usize = 32 << 20;

/// How a node uses TCP. Only the first two are settings of a service.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// `host:port` to listen on; port 0 takes a free one. Empty: no listener.
    pub listen: String,
    /// Plain connections to and from other machines are allowed.
    pub insecure: bool,
    /// Frames that may wait for one peer.
    pub max_queued_frames: usize,
    /// Bytes that may wait for one peer.
    pub max_queued_bytes: usize,
    /// Connections that were accepted and did not say who they are yet.
    pub max_half_open: usize,
    /// For dialing and for each handshake.
    pub handshake_timeout: Duration,
    /// A connection that takes no byte for so long, or stops in the middle of a frame, is closed.
    pub stall_timeout: Duration,
    /// A connection over which nothing is sent for so long is closed by whoever dialed.
    pub idle_timeout: Duration,
    /// The first and the longest pause before dialing again.
    pub backoff: (Duration, Duration),
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            listen: String::new(),
            insecure: false,
            max_queued_frames: 4096,
            max_queued_bytes: 16 << 20,
            max_half_open: 128,
            handshake_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            backoff: (Duration::from_millis(20), Duration::from_secs(1)),
        }
    }
}

/// What every task knows.
struct Context {
    identity: Arc<LocalIdentity>,
    sink: Sink,
    options: TcpOptions,
    hub: mpsc::Sender<Event>,
    half_open: Arc<Semaphore>,
    unfinished: Arc<Ration>,
    lost: Arc<AtomicU64>,
}

impl Context {
    fn hand_up(&self, inbound: Inbound) {
        (self.sink)(inbound);
    }

    fn lose(&self, frames: usize) {
        self.lost.fetch_add(frames as u64, Ordering::Relaxed);
    }
}

/// The network over TCP.
pub struct Tcp {
    options: TcpOptions,
    running: Option<(mpsc::Sender<Event>, AbortHandle)>,
    lost: Arc<AtomicU64>,
}

impl Tcp {
    /// A network that is not started yet.
    #[must_use]
    pub fn new(options: TcpOptions) -> Tcp {
        Tcp { options, running: None, lost: Arc::default() }
    }

    /// Frames that were not sent because a queue was full, a peer did not answer, or none was there.
    #[must_use]
    pub fn lost_frames(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Transport for Tcp {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        let misuse = |text| Error::new(ErrorKind::Internal, text);
        if self.running.is_some() {
            return Err(misuse("the network was started twice"));
        }
        if Handle::try_current().is_err() {
            return Err(misuse("the network was started outside a tokio runtime"));
        }
        let listener = match self.options.listen.as_str() {
            "" => None,
            listen => Some(address::listen(listen, self.options.insecure)?),
        };
        let local = listener.as_ref().and_then(|l| l.local_addr().ok()).map(|a| a.to_string());
        let (hub, events) = mpsc::channel(HUB_EVENTS);
        let context = Arc::new(Context {
            identity,
            sink,
            options: self.options.clone(),
            hub: hub.clone(),
            half_open: Arc::new(Semaphore::new(self.options.max_half_open)),
            unfinished: Arc::default(),
            lost: self.lost.clone(),
        });
        let task = tokio::spawn(Hub::new(context).run(listener, events));
        self.running = Some((hub, task.abort_handle()));
        Ok(local)
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: Frame) {
        let address = address.map(str::to_owned);
        let sent = match &self.running {
            Some((hub, _)) if frame.len() <= FRAME_LIMIT => {
                hub.try_send(Event::Send { to, address, frame }).is_ok()
            }
            _ => false,
        };
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sockets are closed when the runtime turns next, or ends.
    fn stop(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.stop();
    }
}
