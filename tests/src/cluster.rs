//! A cluster in one thread: nodes, a network and a clock, none of which does anything by itself. The
//! rules of `safety` and `callers` are checked after every step; what breaks one is a fault.

use crate::callers::Callers;
use crate::disk::{self, Disk, Kept};
use crate::model::Model;
use crate::network::{Envelope, Network};
use crate::node::{Node, Switching};
use crate::safety::{self, Check, Safety};
use crate::{scene, show};
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::Command;
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::{Change, Message};
use quorate_engine::consensus::raft::Raft;
use quorate_engine::consensus::ready::{Notice, ProposalOutcome, Ready, RoleName};
use quorate_engine::consensus::types::{ClusterId, Index, NodeId, Origin, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// The lineage of the cluster that scripts begin with; `c` in base 36.
pub const CLUSTER: ClusterId = ClusterId(12);

/// Nodes, the ways between them, and what is known to be true.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// By place. A place has the number of its node, unless it is a twin's.
    pub nodes: BTreeMap<u64, Node>,
    /// What is on its way.
    pub network: Network,
    /// The time everywhere.
    pub now: Time,
    /// How nodes behave that are started from now on.
    pub config: Config,
    /// What happened, a line each.
    pub trace: Vec<String>,
    /// Messages, writes and notices are not traced.
    pub quiet: bool,
    /// Writes are traced.
    pub show_writes: bool,
    /// Rules that were broken.
    pub faults: Vec<String>,
    /// What callers were told.
    pub callers: Callers,
    safety: Safety,
    model: Model,
    seed: u64,
    last_origin: BTreeMap<u64, u64>,
    last_request: u64,
    lineages: u64,
}

impl Cluster {
    /// No nodes yet. The seed decides about jitter.
    #[must_use]
    pub fn new(seed: u64) -> Cluster {
        Cluster { seed, now: Time(1_000_000_000), ..Cluster::default() }
    }

    /// Puts a node on a disk and starts it. Entries up to `committed` count as committed.
    pub fn place(&mut self, place: u64, disk: Disk, committed: Index) {
        let known = disk.log.len().min(committed.0 as usize);
        let assumed = self.safety.assume(disk.state.lineage, &disk.log[..known]);
        self.note(place, assumed);
        self.nodes.insert(place, Node::new(disk, &format!("n{place}")));
        self.start(place);
    }

    /// A node with an empty directory: in a lineage of its own.
    pub fn fresh(&mut self, place: u64) {
        let state = scene::state(place, self.new_lineage());
        self.place(place, Disk::new(state, Vec::new(), Index::ZERO), Index::ZERO);
        self.campaign(place);
    }

    /// Starts a node that is down.
    pub fn start(&mut self, place: u64) {
        let random = self.draw();
        let Some(node) = self.nodes.get_mut(&place).filter(|node| node.core.is_none()) else {
            return;
        };
        node.begin_run(random);
        let rewound = node.rewind();
        self.note(place, rewound);
        self.build(place);
    }

    /// A crash, with what the disk keeps of what was not acknowledged.
    pub fn crash(&mut self, place: u64, kept: Kept) {
        let Some(node) = self.nodes.get_mut(&place) else { return };
        node.crash(kept);
        let durable = self.safety.durable(place, &node.disk.state);
        self.note(place, durable);
        self.callers.forget(place);
    }

    /// Something happens at a node, and it does all that it says is to be done.
    pub fn step(&mut self, place: u64, event: Event) {
        if self.feed(place, event) {
            self.finish(place);
        }
    }

    /// Something happens at a node, and more will in the same batch. Whether it hears it.
    pub fn feed(&mut self, place: u64, event: Event) -> bool {
        let now = self.now;
        let Some(core) = self.nodes.get_mut(&place).and_then(Node::running) else { return false };
        self.model.heard(place, now, &event);
        core.step(now, event);
        let checked = core.check();
        self.note(place, checked);
        true
    }

    /// The batch is over: everything that the core asks for.
    pub fn finish(&mut self, place: u64) {
        self.carry_out(place);
        while self.nodes.get(&place).is_some_and(|node| !node.manual) && self.work(place) {}
    }

    /// Does the next thing that a node waits for: its disk, its state machine, old entries, a change
    /// of lineage. `false` when there is none.
    pub fn work(&mut self, place: u64) -> bool {
        self.persist(place, 1) > 0
            || self.give_fetched(place)
            || self.apply(place)
            || self.switch(place)
    }

    /// Carries out up to `count` writes, and tells the core how far they are durable.
    pub fn persist(&mut self, place: u64, count: usize) -> usize {
        let mut done = None;
        let mut carried = 0;
        while carried < count {
            let Some(node) = self.nodes.get_mut(&place) else { break };
            let Some((seq, after)) = node.disk.carry_out() else { break };
            let durable = self.safety.durable(place, &node.disk.state);
            self.note(place, durable);
            if self.show_writes {
                self.tell(format!("{place} persisted {seq}"));
            }
            self.send_all(place, after);
            done = Some(seq);
            carried += 1;
        }
        if let Some(seq) = done
            && self.feed(place, Event::Persisted(seq))
        {
            self.carry_out(place);
        }
        carried
    }

    /// Gives the core old entries that it asked for.
    pub fn give_fetched(&mut self, place: u64) -> bool {
        let fetched = self.nodes.get_mut(&place).and_then(|node| node.fetched.pop_front());
        let Some((id, entries)) = fetched else { return false };
        if self.feed(place, Event::Fetched(id, entries)) {
            self.carry_out(place);
        }
        true
    }

    /// The state machine applies what it was handed next.
    pub fn apply(&mut self, place: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&place) else { return false };
        match node.apply() {
            Ok(None) => false,
            Ok(Some(index)) => {
                if self.feed(place, Event::Applied(index)) {
                    self.carry_out(place);
                }
                true
            }
            Err(fault) => {
                self.note(place, Err(fault));
                false
            }
        }
    }

    /// The next step of a change of lineage, once everything asked for before is durable.
    pub fn switch(&mut self, place: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&place) else { return false };
        let Some(step) = node.switching.clone().filter(|_| node.disk.pending() == 0) else {
            return false;
        };
        let rebuild = node.switch();
        let state = &node.disk.state;
        let checked = match step {
            Switching::Store(_) => {
                let kept = &node.disk.log[..state.cut_to.0 as usize];
                let inherited = self.safety.assume(state.lineage, kept);
                inherited.and_then(|()| self.safety.durable(place, state))
            }
            Switching::Cut | Switching::Clear | Switching::Rebuild => Ok(()),
        };
        self.note(place, checked);
        match rebuild {
            Ok(true) => self.build(place),
            Ok(false) => {}
            Err(fault) => self.note(place, Err(fault)),
        }
        true
    }

    /// Delivers a message to where it goes. What is for a node that is down is lost.
    pub fn deliver(&mut self, envelope: Envelope) {
        self.step(envelope.to, Event::Received(envelope.message));
    }

    /// Delivers everything, and what comes of it, without any time passing.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some(envelope) = self.next_to_deliver() else { return };
            self.deliver(envelope);
        }
        self.faults.push("messages go back and forth for ever".to_owned());
    }

    /// Lets time pass, with every deadline in its place. `deliver`: messages take no time; else they
    /// stay where they are.
    pub fn advance(&mut self, duration: Duration, deliver: bool) {
        let end = self.now + duration;
        loop {
            if deliver {
                self.settle();
            }
            let running = self.nodes.iter().filter(|(_, node)| !node.frozen);
            let next = running.map(|(place, node)| (node.deadline, *place)).min();
            let Some((at, place)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.deadline(place);
        }
        self.now = end;
    }

    /// The clock jumps to the deadline of a node, which is usually that of an election.
    pub fn campaign(&mut self, place: u64) {
        let Some(node) = self.nodes.get(&place) else { return };
        if node.deadline != Time::NEVER {
            self.now = self.now.max(node.deadline);
            self.deadline(place);
        }
    }

    /// A node's deadline has passed. The same core has a later one afterwards.
    pub fn deadline(&mut self, place: u64) {
        let run =
            |cluster: &Cluster| cluster.nodes.get(&place).map(|node| node.disk.state.incarnation);
        let before = run(self);
        self.step(place, Event::DeadlinePassed);
        let stuck = self.nodes.get(&place).is_some_and(|node| node.deadline <= self.now);
        if stuck && run(self) == before {
            self.note(place, Err("its deadline passed, and it does not go on".to_owned()));
        }
    }

    /// A caller proposes commands.
    pub fn propose(&mut self, place: u64, data: &[&str]) {
        let commands = data.iter().map(|data| self.command(place, data)).collect();
        self.step(place, Event::Proposed(commands));
    }

    /// A command of a caller at a place.
    pub fn command(&mut self, place: u64, data: &str) -> Command {
        let (node, run) = self
            .nodes
            .get(&place)
            .map_or((NodeId::ZERO, 0), |node| (node.id(), node.disk.state.incarnation.counter()));
        let last = self.last_origin.entry(place).or_default();
        *last += 1;
        let origin = Origin { node, seq: run << 40 | *last };
        self.callers.propose(node, origin.seq, data);
        NewEntry::new(data.as_bytes()).encode(origin, 1 << 20).expect("a small command")
    }

    /// Callers want to read, in one batch.
    pub fn read(&mut self, place: u64, count: u64) {
        let lineage = self.nodes.get(&place).map_or(ClusterId::ZERO, Node::lineage);
        let index = self.safety.committed_to(lineage);
        for _ in 0..count {
            self.last_request += 1;
            if self.nodes.get_mut(&place).and_then(Node::running).is_some() {
                self.callers.read(place, self.last_request, index);
                self.feed(place, Event::ReadRequested(self.last_request));
            }
        }
        self.finish(place);
    }

    /// A caller asks for a change of membership.
    pub fn change(&mut self, place: u64, change: Change) {
        self.ask_for(place, change);
        self.finish(place);
    }

    /// Likewise, of a node that wakes up then: its deadline passed, in the same batch.
    pub fn change_and_deadline(&mut self, place: u64, change: Change) {
        let Some(node) = self.nodes.get(&place) else { return };
        self.now = self.now.max(node.deadline);
        self.ask_for(place, change);
        self.feed(place, Event::DeadlinePassed);
        self.finish(place);
    }

    fn ask_for(&mut self, place: u64, change: Change) {
        self.last_request += 1;
        let id = self.last_request;
        if self.nodes.get_mut(&place).and_then(Node::running).is_some() {
            self.callers.change(place, id, show::change(&change));
            self.feed(place, Event::ChangeRequested(id, change));
        }
    }

    /// The places where a message may arrive: its node and its twins, or whoever is at the address.
    #[must_use]
    pub fn places(&self, m: &Message) -> Vec<u64> {
        let is_meant = |node: &Node| match &m.address {
            Some(address) if m.to.is_zero() => *node.address == **address,
            _ => node.id() == m.to,
        };
        self.nodes.iter().filter(|(_, node)| is_meant(node)).map(|(place, _)| *place).collect()
    }

    /// What the rules remember of what happened, printed; not what the model remembers, which mirrors
    /// what the nodes do.
    #[must_use]
    pub fn remembered(&self) -> impl std::fmt::Debug + '_ {
        (self.safety.situation(), &self.callers)
    }

    /// One line, unless nobody wants to know.
    pub fn tell(&mut self, line: String) {
        if !self.quiet {
            self.trace.push(line);
        }
    }

    /// A number that the seed decides about (SplitMix64).
    pub fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next_to_deliver(&mut self) -> Option<Envelope> {
        let frozen: Vec<u64> =
            self.nodes.iter().filter(|(_, node)| node.frozen).map(|(place, _)| *place).collect();
        self.network.next(None, &frozen)
    }

    fn new_lineage(&mut self) -> ClusterId {
        self.lineages += 1;
        ClusterId(36 * 25 + self.lineages) // p1, p2, … in base 36
    }

    fn build(&mut self, place: u64) {
        let (lineage, seed) = (self.new_lineage(), self.draw());
        let Some(node) = self.nodes.get_mut(&place) else { return };
        let restored = node.disk.restored(node.machine.applied, lineage);
        let core = Raft::new(self.config.clone(), restored, seed, self.now);
        node.start(core);
        let known = node.commit.0 as usize;
        let begun =
            self.model.started(place, &self.config, &node.disk.state, &node.disk.log, node.commit);
        let checked = self
            .safety
            .durable(place, &node.disk.state)
            .and_then(|()| self.safety.knows(place, node.lineage(), &node.log[..known]));
        self.note(place, checked);
        self.note(place, begun);
        self.finish(place);
    }

    /// Obeys one `Ready`.
    fn carry_out(&mut self, place: u64) {
        let Some(core) = self.nodes.get_mut(&place).and_then(Node::running) else { return };
        let mut ready = core.ready();
        let checked = core.check();
        let judged = self.model.did(place, self.now, core, &ready);
        self.note(place, checked);
        self.note(place, judged.map(|_| ()));
        let obeyed = self.obey(place, &mut ready);
        self.note(place, obeyed);
        self.tell_notices(place, &ready.notices);
        self.send_all(place, std::mem::take(&mut ready.messages));
        self.answer(place, &ready);
        self.end_core(place, &mut ready);
    }

    fn obey(&mut self, place: u64, ready: &mut Ready) -> Check {
        let Some(node) = self.nodes.get_mut(&place) else { return Ok(()) };
        node.deadline = ready.deadline;
        let lineage = node.lineage();
        let old = safety::in_force(&node.log, lineage, node.id());
        if let Some(write) = ready.write.take() {
            if self.show_writes && !self.quiet {
                self.trace.push(format!("{place} {}", show::write(&write)));
            }
            self.safety.asks(place, lineage, &node.log, &write)?;
            node.ask(write)?;
        }
        ready.fetch.iter().try_for_each(|fetch| node.read(fetch))?;
        let Some(status) = node.core.as_ref().map(Raft::status) else { return Ok(()) };
        let leads = (status.role == RoleName::Leader).then_some(status.term);
        if let Some(term) = leads {
            self.safety.leads(place, lineage, term, &node.log)?;
        }
        let news = (node.commit, status.commit);
        let known = self.safety.committed_to(lineage);
        node.commit = status.commit;
        let new = safety::in_force(&node.log, lineage, node.id());
        self.safety.commits(place, node.facts(), news, leads, [&old, &new])?;
        for index in known.0 + 1..=self.safety.committed_to(lineage).0 {
            let entry = disk::entry(&node.log, Index(index)).ok_or("an entry is missing")?;
            self.callers.committed(entry)?;
        }
        self.safety.knows(place, lineage, &ready.apply)?;
        if !ready.apply.is_empty() {
            node.to_apply.push_back(std::mem::take(&mut ready.apply));
        }
        Ok(())
    }

    fn answer(&mut self, place: u64, ready: &Ready) {
        let Some((node, lineage)) = self.nodes.get(&place).map(|n| (n.id(), n.lineage())) else {
            return;
        };
        for (seq, outcome) in &ready.proposals {
            if let ProposalOutcome::Appended(id) = outcome {
                let entry = self.safety.appended(lineage, *id);
                if entry.map(|e| e.payload.origin()) != Some(Origin { node, seq: *seq }) {
                    self.note(place, Err(format!("{id} is not what its proposer was told")));
                }
            }
            match self.callers.proposal(node, *seq, outcome) {
                Ok(line) => self.tell_caller(place, line),
                Err(fault) => self.note(place, Err(fault)),
            }
        }
        for (id, result) in &ready.reads {
            let answered = self.callers.read_answered(place, *id, result.as_ref().ok().copied());
            self.note(place, answered);
            self.tell_caller(
                place,
                match result {
                    Ok(index) => format!("read allowed at {index}"),
                    Err(refusal) => format!("read refused: {refusal}"),
                },
            );
        }
        for (id, result) in &ready.changes {
            match self.callers.change_answered(place, *id) {
                Ok(what) => self.tell_caller(place, format!("{what}: {}", show::result(result))),
                Err(fault) => self.note(place, Err(fault)),
            }
        }
    }

    fn end_core(&mut self, place: u64, ready: &mut Ready) {
        let Some(state) = ready.switch.take() else { return };
        let waiting = self.callers.nobody_waits(place);
        self.note(place, waiting);
        self.tell(format!("{place} switches: {}", show::state(&state)));
        if let Some(node) = self.nodes.get_mut(&place) {
            node.end_core(state);
        }
    }

    fn send_all(&mut self, place: u64, messages: Vec<Message>) {
        for message in messages {
            let Some(node) = self.nodes.get(&place) else { return };
            let backed = self.safety.leaves(place, node.facts(), &message);
            self.note(place, backed);
            for to in self.places(&message) {
                let line = (!self.quiet).then(|| show::message(place, to, &message));
                let sent =
                    self.network.send(Envelope { from: place, to, message: message.clone() });
                if let Some(line) = line {
                    self.tell(if sent { line } else { format!("{line} (lost)") });
                }
            }
        }
    }

    fn tell_notices(&mut self, place: u64, notices: &[Notice]) {
        for notice in notices {
            let line = format!("{place} {}", show::notice(notice));
            match notice {
                Notice::SafetyAlarm(_) => self.faults.push(line),
                Notice::IdentityTaken(_) => self.trace.push(line),
                _ => self.tell(line),
            }
        }
    }

    /// What a caller is told is always worth a line.
    fn tell_caller(&mut self, place: u64, line: String) {
        self.trace.push(format!("{place} tells: {line}"));
    }

    fn note(&mut self, place: u64, check: Check) {
        if let Err(fault) = check {
            self.faults.push(format!("{place}: {fault}"));
        }
    }
}
