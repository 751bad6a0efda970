//! A state of the search: a cluster, a clock for each node, and what may still go wrong.
//!
//! Nothing happens here but by an `Action`. Each node has a clock of its own, which moves only when its
//! deadline passes, or when somebody asks for its vote: then it has just not heard its leader for an
//! election timeout, because one that has would not hear the question, as if it was lost.

use super::action::{Action, Budget};
use super::fingerprint::{Fingerprint, mix};
use super::scope::Scope;
use crate::cluster::Cluster;
use crate::disk::Kept;
use crate::network::Envelope;
use crate::node::Node;
use quorate_engine::consensus::message::Body;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// Half an election timeout; leaders beat their hearts twice in one.
pub const UNIT: Duration = Duration::from_millis(500);

/// A cluster, and what may happen to it.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The cluster.
    pub cluster: Cluster,
    /// What may still happen.
    pub left: Budget,
    scope: &'a Scope,
    /// By place, from 1 on.
    clocks: Vec<Time>,
    /// The places that have crashed.
    crashed: BTreeSet<u8>,
    /// By place: the fingerprint of the node.
    nodes: Vec<u64>,
    /// By its place on the network: the fingerprint of each message.
    messages: Vec<u64>,
}

impl<'a> World<'a> {
    /// The first state of a scope.
    #[must_use]
    pub fn new(scope: &'a Scope) -> World<'a> {
        let mut cluster = scope.begin();
        cluster.trace.clear();
        let clocks = vec![cluster.now; cluster.nodes.len()];
        let nodes = vec![0; clocks.len()];
        let (left, crashed, messages) = (scope.budget, BTreeSet::new(), Vec::new());
        let mut world = World { cluster, left, scope, clocks, crashed, nodes, messages };
        for place in world.places() {
            world.cluster.nodes.get_mut(&u64::from(place)).expect("it is a place").manual = true;
            world.settle(place);
        }
        world
    }

    /// Equal for equal situations.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let remembered = (self.cluster.remembered(), self.left, &self.crashed);
        let mut hash = Fingerprint::new(Time::default(), UNIT).of(&remembered).finish();
        for node in self.nodes.iter().chain(&self.ways()) {
            hash = mix(hash ^ node).wrapping_mul(3);
        }
        hash
    }

    /// Everything that may happen next.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.on_network(&mut actions);
        for place in self.places() {
            self.at_place(place, &mut actions);
        }
        actions
    }

    /// Something happens.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn take(&mut self, action: Action) -> Result<(), String> {
        let place = self.carry_out(action);
        self.settle(place);
        self.drop_what_overflows();
        let judged = |fault: &&String| self.scope.model || !fault.contains("the model forbids");
        self.cluster.faults.iter().find(judged).map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// How the node of a place stands, on one line.
    #[must_use]
    pub fn line(&self, place: u8) -> String {
        match &self.node(place).core {
            Some(core) => core.to_string(),
            None => format!("n{place} is down"),
        }
    }

    /// The places, from 1 on.
    pub fn places(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.clocks.len() as u8
    }

    /// The node at a place.
    #[must_use]
    pub fn node(&self, place: u8) -> &Node {
        &self.cluster.nodes[&u64::from(place)]
    }

    /// Where something happens.
    #[must_use]
    pub fn place_of(&self, action: Action) -> u8 {
        match action {
            Action::Deliver { at }
            | Action::Overtake { at }
            | Action::Double { at }
            | Action::Lose { at } => self.message(at).to as u8,
            Action::Timeout(place)
            | Action::Propose(place)
            | Action::Read(place)
            | Action::Change(place, _)
            | Action::Persist(place)
            | Action::Crash { place, .. }
            | Action::Restart(place) => place,
        }
    }

    /// What is under way at that place of the network.
    #[must_use]
    pub fn message(&self, at: u8) -> &Envelope {
        &self.cluster.network.queue()[usize::from(at)]
    }

    /// Whether the node leads.
    #[must_use]
    pub fn leads(&self, place: u8) -> bool {
        let core = self.node(place).core.as_ref();
        core.is_some_and(|core| core.status().role == RoleName::Leader)
    }

    /// How many nodes lead, in whatever term.
    #[must_use]
    pub fn leaders(&self) -> usize {
        self.places().filter(|place| self.leads(*place)).count()
    }

    fn on_network(&self, actions: &mut Vec<Action>) {
        let mut pairs = BTreeSet::new();
        for (at, envelope) in self.cluster.network.queue().iter().enumerate() {
            let at = at as u8;
            let oldest = pairs.insert((envelope.from, envelope.to));
            if oldest && self.left.losses > 0 {
                actions.push(Action::Lose { at });
            }
            if self.node(envelope.to as u8).core.is_none() {
                continue;
            }
            match oldest {
                true => actions.push(Action::Deliver { at }),
                false if self.left.overtakes > 0 => actions.push(Action::Overtake { at }),
                false => {}
            }
            if oldest && self.left.doubles > 0 {
                actions.push(Action::Double { at });
            }
        }
    }

    fn at_place(&self, place: u8, actions: &mut Vec<Action>) {
        let (node, left) = (self.node(place), &self.left);
        let Some(core) = &node.core else { return actions.push(Action::Restart(place)) };
        let status = core.status();
        let leads = status.role == RoleName::Leader && !status.standalone;
        let may_time_out = if leads { left.beats > 0 } else { left.timeouts > 0 };
        if may_time_out && node.deadline < Time::NEVER && !self.scope.patient.contains(&place) {
            actions.push(Action::Timeout(place));
        }
        let serves = leads || (self.scope.forward && !status.leader.is_zero());
        if serves && left.proposals > 0 && !status.standalone {
            actions.push(Action::Propose(place));
        }
        if serves && left.reads > 0 && !status.standalone {
            actions.push(Action::Read(place));
        }
        if leads && left.changes > 0 {
            let all = 0..self.scope.changes.len() as u8;
            actions.extend(all.map(|which| Action::Change(place, which)));
        }
        self.at_disk(place, actions);
    }

    fn at_disk(&self, place: u8, actions: &mut Vec<Action>) {
        let pending = self.node(place).disk.pending() as u8;
        if pending > 0 {
            actions.push(Action::Persist(place));
        }
        if self.left.crashes == 0 || self.crashed.contains(&place) {
            return;
        }
        for writes in 0..=pending {
            actions.push(Action::Crash { place, writes, state: false, cut: false });
            if writes < pending {
                actions.push(Action::Crash { place, writes, state: true, cut: false });
                actions.push(Action::Crash { place, writes, state: true, cut: true });
            }
        }
    }

    /// Where it happened.
    fn carry_out(&mut self, action: Action) -> u8 {
        let place = self.place_of(action);
        let to = u64::from(place);
        self.cluster.now = self.clocks[usize::from(place) - 1];
        match action {
            Action::Deliver { at } => self.deliver(at),
            Action::Overtake { at } => {
                self.left.overtakes -= 1;
                self.deliver(at);
            }
            Action::Double { at } => {
                self.left.doubles -= 1;
                let copy = self.message(at).clone();
                self.cluster.network.send(copy);
                self.messages.push(self.messages[usize::from(at)]);
                self.deliver(at);
            }
            Action::Lose { at } => {
                self.left.losses -= 1;
                self.take_message(at);
            }
            Action::Timeout(_) => {
                let budget =
                    if self.leads(place) { &mut self.left.beats } else { &mut self.left.timeouts };
                *budget -= 1;
                self.cluster.campaign(to);
            }
            Action::Propose(_) => {
                self.left.proposals -= 1;
                let data = format!("p{}", self.left.proposals);
                self.cluster.propose(to, &[&data]);
            }
            Action::Read(_) => {
                self.left.reads -= 1;
                self.cluster.read(to, 1);
            }
            Action::Change(_, which) => {
                self.left.changes -= 1;
                let change = self.scope.changes[usize::from(which)].clone();
                self.cluster.change(to, change);
            }
            Action::Persist(_) => {
                self.cluster.persist(to, 1);
            }
            Action::Crash { writes, state, cut, .. } => {
                self.left.crashes -= 1;
                self.crashed.insert(place);
                let writes = usize::from(writes);
                self.cluster.crash(to, Kept { states: writes + usize::from(state), writes, cut });
            }
            Action::Restart(_) => self.cluster.start(to),
        }
        self.clocks[usize::from(place) - 1] = self.cluster.now;
        place
    }

    fn deliver(&mut self, at: u8) {
        let envelope = self.take_message(at);
        let asks =
            matches!(&envelope.message.body, Body::RequestVote(request) if !request.transfer);
        let place = envelope.to as u8;
        let deadline = self.node(place).deadline;
        if asks && !self.leads(place) && deadline < Time::NEVER {
            self.cluster.now = self.cluster.now.max(deadline - Duration::from_nanos(1));
        }
        self.cluster.deliver(envelope);
    }

    fn take_message(&mut self, at: u8) -> Envelope {
        self.messages.remove(usize::from(at));
        self.cluster.network.take(usize::from(at))
    }

    /// What takes no decision is done at once: reading, applying, changing the lineage, and, unless the
    /// scope is about the disk, writing.
    fn settle(&mut self, place: u8) {
        let to = u64::from(place);
        let writes = |world: &mut World| !world.scope.manual && world.cluster.persist(to, 1) > 0;
        while writes(self)
            || self.cluster.give_fetched(to)
            || self.cluster.apply(to)
            || self.cluster.switch(to)
        {}
        let at = usize::from(place) - 1;
        let print = Fingerprint::new(self.clocks[at], UNIT).of(&self.node(place).situation());
        self.nodes[at] = print.finish();
        for envelope in &self.cluster.network.queue()[self.messages.len()..] {
            let print = Fingerprint::new(Time::default(), UNIT).of(&envelope.message);
            self.messages.push(print.finish());
        }
    }

    /// A way that is full takes no more.
    fn drop_what_overflows(&mut self) {
        for (from, to) in self.pairs() {
            let is_of_pair = |e: &Envelope| (e.from, e.to) == (from, to);
            while self.cluster.network.queue().iter().filter(|e| is_of_pair(e)).count()
                > self.scope.in_flight
            {
                let newest = self.cluster.network.queue().iter().rposition(is_of_pair);
                self.take_message(newest.expect("there are some") as u8);
            }
        }
    }

    fn pairs(&self) -> BTreeSet<(u64, u64)> {
        self.cluster.network.queue().iter().map(|e| (e.from, e.to)).collect()
    }

    /// By pair: the fingerprint of what is under way, in its order.
    fn ways(&self) -> Vec<u64> {
        let count = self.clocks.len();
        let mut ways = vec![0; (count + 1) * (count + 1)];
        for (envelope, message) in self.cluster.network.queue().iter().zip(&self.messages) {
            let way = &mut ways[envelope.from as usize * (count + 1) + envelope.to as usize];
            *way = mix(*way ^ message).wrapping_add(1);
        }
        ways
    }
}
