//! From messages to frames: all messages of a batch for one node travel together.

use super::view::{View, count};
use super::watch::Watch;
use crate::consensus::membership::Membership;
use crate::consensus::message::{Body, Message};
use crate::consensus::types::{Address, ClusterId, NodeId};
use crate::error::Error;
use crate::transport::wire::{self, Envelope};
use crate::transport::{Inbound, LocalIdentity, Sink, Transport};
use std::sync::Arc;

/// Bytes of entries after which a frame is full.
const FRAME_BYTES: usize = 2 << 20;
/// Messages after which it is.
const FRAME_MESSAGES: usize = 1024;

/// The network, as the loop sees it.
pub(crate) struct Peers {
    transport: Box<dyn Transport>,
    view: Arc<View>,
    /// Frames sent in this run.
    frames: u64,
    /// Some address could not be reached.
    troubled: bool,
    /// Kept for its memory.
    groups: Vec<Group>,
}

/// Messages of one lineage for one destination.
struct Group {
    cluster: ClusterId,
    to: NodeId,
    address: Option<Address>,
    messages: Vec<Message>,
    bytes: usize,
}

impl Peers {
    /// Sends over that network.
    pub(crate) fn new(transport: Box<dyn Transport>, view: Arc<View>) -> Peers {
        Peers { transport, view, frames: 0, troubled: false, groups: Vec::new() }
    }

    /// Sends, or loses; never waits.
    pub(crate) fn send(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.collect(message);
        }
        let mut groups = std::mem::take(&mut self.groups);
        groups.drain(..).for_each(|group| self.send_group(group));
        self.groups = groups;
    }

    fn collect(&mut self, message: Message) {
        count(&self.view.counters.messages_sent, 1);
        let bytes = size(&message.body);
        let same =
            |group: &&mut Group| (group.to, &group.address) == (message.to, &message.address);
        match self.groups.iter_mut().rfind(same) {
            Some(group) if group.takes(message.cluster, bytes) => {
                group.bytes += bytes;
                group.messages.push(message);
            }
            _ => {
                let (to, cluster, address) = (message.to, message.cluster, message.address.clone());
                self.groups.push(Group { cluster, to, address, messages: vec![message], bytes });
            }
        }
    }

    fn send_group(&mut self, group: Group) {
        self.frames += 1;
        let Some(first) = group.messages.first() else { return };
        let frame = wire::encode(Envelope::of(first), &group.messages, self.frames);
        self.transport.send(group.to, group.address.as_deref(), frame);
    }

    /// What the network handed up, as messages. Trouble is told once, until it changes.
    pub(crate) fn received(
        &mut self,
        inbound: Inbound,
        membership: &Membership,
        watch: &Watch,
    ) -> Vec<Message> {
        let (address, why) = match inbound {
            Inbound::Frame(frame) => {
                count(&self.view.counters.messages_received, frame.messages.len());
                self.heard(&frame.messages, membership);
                return frame.messages;
            }
            Inbound::WrongNode { address, wanted, found } => {
                (address, format!("WRONG_NODE: node {found} answers there, and not {wanted}"))
            }
            Inbound::Refused { address, text } => (address, format!("refused: {text}")),
            Inbound::Unreachable { address, text } => (address, text),
        };
        self.troubled = true;
        if self.view.trouble_at(&address).as_ref() != Some(&why) {
            let mut voters = membership.all_voters();
            let node = voters.find(|member| *member.address == *address).map(|member| member.id);
            watch.trouble(&address, node.unwrap_or_default(), &why);
        }
        self.view.trouble(&address, Some(why));
        Vec::new()
    }

    /// A member was heard: its address is no trouble any more.
    fn heard(&mut self, messages: &[Message], membership: &Membership) {
        if !self.troubled {
            return;
        }
        if let Some(member) = messages.first().and_then(|m| membership.member(m.from)) {
            self.troubled = self.view.trouble(&member.address, None);
        }
    }

    /// Begins to listen, inside the runtime. Returns where.
    pub(crate) fn start(
        &mut self,
        identity: Arc<LocalIdentity>,
        sink: Sink,
    ) -> Result<Option<String>, Error> {
        self.transport.start(identity, sink)
    }

    /// Closes everything.
    pub(crate) fn stop(&mut self) {
        self.transport.stop();
    }
}

impl Group {
    fn takes(&self, cluster: ClusterId, bytes: usize) -> bool {
        self.cluster == cluster
            && self.bytes + bytes <= FRAME_BYTES
            && self.messages.len() < FRAME_MESSAGES
    }
}

/// Bytes of entries in a message.
pub(crate) fn size(body: &Body) -> usize {
    match body {
        Body::AppendEntries(append) => append.entries.iter().map(|entry| entry.size()).sum(),
        Body::Forward(forward) => forward.commands.iter().map(|c| c.encoded().len()).sum(),
        _ => 0,
    }
}
