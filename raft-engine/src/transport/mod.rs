//! The port for networks, with its adapters beside it: `tcp`, the default, and `memory`. `conformance`
//! checks what every adapter must keep.
//!
//! Messages travel in frames (`wire`), one way, and may be lost, doubled, delayed and reordered; the
//! protocol copes. A transport carries frames whole and unaltered, and hands up frames only from the
//! node that the frame names, as far as it can tell.

pub mod conformance;
#[cfg(feature = "runtime")]
pub mod custom;
pub mod memory;
#[cfg(feature = "runtime")]
pub mod tcp;
pub mod wire;

use crate::consensus::types::{ClusterId, Incarnation, NodeId};
use crate::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who this node is, for handshakes. The driver keeps it up to date.
#[derive(Debug)]
pub struct LocalIdentity {
    /// This node.
    pub node: NodeId,
    incarnation: AtomicU64,
    cluster: AtomicU64,
    address: Mutex<String>,
}

impl LocalIdentity {
    /// An identity in no cluster.
    #[must_use]
    pub fn new(node: NodeId, incarnation: Incarnation) -> LocalIdentity {
        let incarnation = AtomicU64::new(incarnation.0);
        LocalIdentity { node, incarnation, cluster: AtomicU64::new(0), address: Mutex::default() }
    }

    /// This run of the node. Joining and leaving a cluster begin a new one in the same process; its
    /// connections stay.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire))
    }

    /// The cluster; 0 while Standalone, which lets members of any cluster connect.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        ClusterId(self.cluster.load(Ordering::Acquire))
    }

    /// Where the others reach this node, as far as is known; may be empty.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells of a join, a leave or a new address.
    pub fn update(&self, incarnation: Incarnation, cluster: ClusterId, address: &str) {
        self.incarnation.store(incarnation.0, Ordering::Release);
        self.cluster.store(cluster.0, Ordering::Release);
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address.to_owned();
    }
}

/// What a transport hands up.
#[derive(Debug)]
pub enum Inbound {
    /// A frame that arrived: decoded, its checksums good.
    Frame(wire::Decoded),
    /// Another node than the wanted one answers at an address.
    WrongNode {
        /// The address.
        address: String,
        /// Who was wanted.
        wanted: NodeId,
        /// Who answers.
        found: NodeId,
    },
    /// The node at an address refused the connection, or was sent away because what came from it can't
    /// be read.
    Refused {
        /// The address.
        address: String,
        /// Why, in the words of whoever refused.
        text: String,
    },
    /// Nobody answers at an address.
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        text: String,
    },
}

/// Where a transport puts what it hands up. Never blocks. From any thread.
pub type Sink = Arc<dyn Fn(Inbound) + Send + Sync>;

/// A network. `start`, `send` and `stop` are called from one thread, quorate-loop, inside its tokio
/// runtime, and must not block.
pub trait Transport: Send {
    /// Begins to listen. Returns the address where the listener really is, if there is one.
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error>;

    /// Sends a frame to the node at `address`, or loses it. `to` is 0 while only the address is
    /// known. Without an address the frame goes back over a connection that `to` opened, if one is
    /// open.
    fn send(&mut self, to: NodeId, address: Option<&str>, frame: wire::Frame);

    /// Closes everything.
    fn stop(&mut self);
}
