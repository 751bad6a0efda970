//! A network inside one process, for tests: nodes by address, without sockets or waiting. Frames are
//! encoded and decoded as on a real one.

use super::wire::{self, Frame};
use super::{Inbound, LocalIdentity, Sink, Transport};
use crate::consensus::types::NodeId;
use crate::error::{Error, ErrorKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The hub that all nodes of a test share. Cloning shares it.
#[derive(Clone, Default)]
pub struct Hub {
    nodes: Arc<Mutex<Nodes>>,
}

#[derive(Default)]
struct Nodes {
    listening: BTreeMap<String, (NodeId, Sink)>,
    /// Pairs of addresses, from and to, that hear nothing of each other.
    cut: BTreeSet<(String, String)>,
}

impl Hub {
    /// A network without nodes.
    #[must_use]
    pub fn new() -> Hub {
        Hub::default()
    }

    /// A node's end of it.
    #[must_use]
    pub fn transport(&self, address: &str) -> Memory {
        Memory { hub: self.clone(), address: address.to_owned() }
    }

    /// Loses everything from one address to another, one way.
    pub fn cut(&self, from: &str, to: &str) {
        self.nodes().cut.insert((from.to_owned(), to.to_owned()));
    }

    /// Everybody hears everybody again.
    pub fn heal(&self) {
        self.nodes().cut.clear();
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node's end.
pub struct Memory {
    hub: Hub,
    address: String,
}

impl Transport for Memory {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        let mut nodes = self.hub.nodes();
        if nodes.listening.contains_key(&self.address) {
            let text = format!("another node of this process is at {}", self.address);
            return Err(Error::new(ErrorKind::AddressInUse, text));
        }
        nodes.listening.insert(self.address.clone(), (identity.node, sink));
        Ok(Some(self.address.clone()))
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: Frame) {
        let nodes = self.hub.nodes();
        let by_id = || nodes.listening.iter().find(|(_, (node, _))| *node == to);
        let found = match address {
            Some(address) => nodes.listening.get_key_value(address),
            None => by_id(),
        };
        let Some((place, (node, sink))) = found else { return };
        let (place, node, sink) = (place.clone(), *node, Arc::clone(sink));
        let cut = nodes.cut.contains(&(self.address.clone(), place));
        let own = nodes.listening.get(&self.address).map(|(_, sink)| Arc::clone(sink));
        drop(nodes);
        if !to.is_zero() && to != node {
            let wrong = address.map(str::to_owned).map(|address| Inbound::WrongNode {
                address,
                wanted: to,
                found: node,
            });
            if let (Some(own), Some(wrong)) = (own, wrong) {
                own(wrong);
            }
        } else if !cut && let Ok(decoded) = wire::decode(frame.to_bytes(), wire::FRAME_LIMIT) {
            sink(Inbound::Frame(decoded));
        }
    }

    fn stop(&mut self) {
        self.hub.nodes().listening.remove(&self.address);
    }
}
