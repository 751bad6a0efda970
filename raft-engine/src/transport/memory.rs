//! A network inside one process, for tests and examples, with a switch for each thing that a network
//! may do to a frame: lose, hold up, double. Nothing happens here by itself, so a test that uses the
//! switches is as repeatable as its nodes.

use super::wire::{self, Frame};
use super::{Inbound, LocalIdentity, Sink, Transport};
use crate::consensus::types::{ClusterId, NodeId};
use crate::error::{Error, ErrorKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What becomes of frames from one address to another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Link {
    /// They arrive.
    #[default]
    Open,
    /// They are lost.
    Cut,
    /// They wait until the link is open again.
    Held,
    /// They arrive twice.
    Doubled,
}

/// A network. Cloning shares it.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    nodes: BTreeMap<String, Node>,
    links: BTreeMap<(String, String), Link>,
    held: Vec<Delivery>,
    /// Who sent something to which address: answers can go back.
    opened: BTreeSet<(NodeId, String)>,
}

#[derive(Clone)]
struct Node {
    identity: Arc<LocalIdentity>,
    sink: Sink,
}

struct Delivery {
    link: (String, String),
    sink: Sink,
    frame: Frame,
}

impl Delivery {
    fn carry_out(&self) {
        match wire::decode(self.frame.to_bytes()) {
            Ok(frame) => (self.sink)(Inbound::Frame(frame)),
            Err(error) => {
                let (address, text) = (self.link.0.clone(), error.to_string());
                (self.sink)(Inbound::Refused { address, text });
            }
        }
    }
}

impl MemoryNetwork {
    /// A network without nodes and faults.
    #[must_use]
    pub fn new() -> MemoryNetwork {
        MemoryNetwork::default()
    }

    /// The place of a node in it. The address is any text.
    #[must_use]
    pub fn at(&self, address: &str) -> Memory {
        Memory { network: self.clone(), address: address.to_owned(), identity: None }
    }

    /// Sets what becomes of frames from one address to another. Opening a link lets what was held up
    /// go on, in order.
    pub fn set(&self, from: &str, to: &str, link: Link) {
        let key = (from.to_owned(), to.to_owned());
        let mut shared = self.lock();
        shared.links.insert(key.clone(), link);
        let freed = if link == Link::Held {
            Vec::new()
        } else {
            shared.held.extract_if(.., |held| held.link == key).collect()
        };
        drop(shared);
        if link != Link::Cut {
            freed.iter().for_each(Delivery::carry_out);
        }
    }

    /// Cuts the links between nodes of different groups, in both directions.
    pub fn partition(&self, groups: &[&[&str]]) {
        for (n, group) in groups.iter().enumerate() {
            for (from, to) in pairs(group, &groups[n + 1..]) {
                self.set(from, to, Link::Cut);
                self.set(to, from, Link::Cut);
            }
        }
    }

    /// Opens all links.
    pub fn heal(&self) {
        let links: Vec<_> = self.lock().links.keys().cloned().collect();
        links.iter().for_each(|(from, to)| self.set(from, to, Link::Open));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pairs<'a>(
    group: &'a [&'a str],
    others: &'a [&'a [&'a str]],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let others = others.iter().flat_map(|other| other.iter());
    others.flat_map(move |to| group.iter().map(move |from| (*from, *to)))
}

/// One node's place in a `MemoryNetwork`.
pub struct Memory {
    network: MemoryNetwork,
    address: String,
    identity: Option<Arc<LocalIdentity>>,
}

impl Memory {
    /// Finds the receiver, or says why there is none. `Ok(None)`: the frame is lost.
    fn route(
        &self,
        shared: &mut Shared,
        identity: &LocalIdentity,
        to: NodeId,
        address: Option<&str>,
    ) -> Result<Option<(String, Sink)>, Inbound> {
        let Some(address) = address else {
            let opened = shared.opened.contains(&(to, self.address.clone()));
            let mut nodes = shared.nodes.iter();
            let found = nodes.find(|(_, node)| opened && node.identity.node == to);
            return Ok(found.map(|(at, node)| (at.clone(), node.sink.clone())));
        };
        let address = address.to_owned();
        let Some(node) = shared.nodes.get(&address) else {
            let text = "nobody is at that address".to_owned();
            return Err(Inbound::Unreachable { address, text });
        };
        let found = node.identity.node;
        if !to.is_zero() && to != found {
            return Err(Inbound::WrongNode { address, wanted: to, found });
        }
        let (ours, theirs) = (identity.cluster(), node.identity.cluster());
        if !to.is_zero() && are_strangers(ours, theirs) {
            let text = format!("node {found} is a member of cluster {theirs}, not of {ours}");
            return Err(Inbound::Refused { address, text });
        }
        let sink = node.sink.clone();
        shared.opened.insert((identity.node, address.clone()));
        Ok(Some((address, sink)))
    }
}

fn are_strangers(a: ClusterId, b: ClusterId) -> bool {
    !a.is_zero() && !b.is_zero() && a != b
}

impl Transport for Memory {
    fn start(&mut self, identity: Arc<LocalIdentity>, sink: Sink) -> Result<Option<String>, Error> {
        let mut shared = self.network.lock();
        if shared.nodes.contains_key(&self.address) {
            let text = format!("{} is in use: take another address", self.address);
            return Err(Error::new(ErrorKind::AddressInUse, text));
        }
        shared.nodes.insert(self.address.clone(), Node { identity: identity.clone(), sink });
        self.identity = Some(identity);
        Ok(Some(self.address.clone()))
    }

    fn send(&mut self, to: NodeId, address: Option<&str>, frame: Frame) {
        let Some(identity) = &self.identity else { return };
        let mut shared = self.network.lock();
        let own = shared.nodes.get(&self.address).map(|node| node.sink.clone());
        let (at, sink) = match self.route(&mut shared, identity, to, address) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(inbound) => {
                drop(shared);
                if let Some(sink) = own {
                    sink(inbound);
                }
                return;
            }
        };
        let link = (self.address.clone(), at);
        let state = shared.links.get(&link).copied().unwrap_or_default();
        let delivery = Delivery { link, sink, frame };
        if state == Link::Held {
            shared.held.push(delivery);
            return;
        }
        drop(shared);
        let times = match state {
            Link::Cut | Link::Held => 0,
            Link::Open => 1,
            Link::Doubled => 2,
        };
        (0..times).for_each(|_| delivery.carry_out());
    }

    fn stop(&mut self) {
        if let Some(identity) = self.identity.take() {
            let mut shared = self.network.lock();
            shared.nodes.remove(&self.address);
            shared.opened.retain(|(node, at)| *node != identity.node && *at != self.address);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop();
    }
}
