//! The world of a run: nodes, ways, clients, and the true time, which jumps from one happening to the next.
//!
//! Everything that happens comes out of one queue, ordered by time and by when it was put there. Nothing else
//! has an order, so a run is the same each time.

use super::clients::Clients;
use super::clock::Clock;
use super::host::Host;
use super::machine::mix;
use super::network::Ways;
use super::plan::{Plan, Timed};
use super::queue::{Happening, Queue};
use super::tally::Tally;
use crate::callers::Callers;
use crate::model::Model;
use crate::network::Envelope;
use crate::safety::{Check, Safety};
use crate::show;
use crate::simulated_fs::{Dice, SimDisk};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::{Body, Message};
use quorate_engine::consensus::types::{ClusterId, Index, NodeId, Time};
use quorate_engine::storage::StorageError;
use std::collections::BTreeMap;
use std::time::Duration;

/// The true time at which a world begins.
pub(super) const BEGINNING: Time = Time(1_000_000_000);

/// Everything.
pub(super) struct World {
    pub plan: Plan,
    pub now: Time,
    pub hosts: BTreeMap<u64, Host>,
    /// Where each node is.
    pub places: BTreeMap<NodeId, u64>,
    pub ways: Ways,
    pub clients: Clients,
    pub config: Config,
    pub dice: Dice,
    pub tally: Tally,
    pub safety: Safety,
    pub model: Model,
    pub callers: Callers,
    /// The lineage of the cluster that clients talk to.
    pub cluster: ClusterId,
    pub fault: Option<String>,
    pub steps: u64,
    /// Stands for all that happened.
    pub print: u64,
    pub trace: Option<Vec<String>>,
    /// What each entry did to the state machines, by lineage.
    pub effects: BTreeMap<(ClusterId, Index), u64>,
    pub last_request: u64,
    /// Faults come.
    pub is_rough: bool,
    queue: Queue,
}

impl World {
    pub fn new(plan: &Plan, traced: bool) -> World {
        let (seed, swarm) = (plan.seed, &plan.swarm);
        let mut dice = Dice(seed);
        let mut hosts = BTreeMap::new();
        for place in 1..=swarm.places {
            let local =
                [1 << 30, (1 << 31) - 1_000, (1 << 32) - 1_000, 1 << 62][dice.below(4) as usize];
            let clock = Clock::new(BEGINNING, local + dice.below(1_000_000), 1_000_000);
            let mut host =
                Host::new(place, SimDisk::new(dice.roll()), clock, swarm.sync, swarm.segment);
            host.machine.is_durable = dice.below(2) == 0;
            hosts.insert(place, host);
        }
        World {
            plan: plan.clone(),
            now: BEGINNING,
            hosts,
            places: BTreeMap::new(),
            ways: Ways::new(seed, swarm.clone()),
            clients: Clients::new(seed, swarm),
            config: config(plan),
            dice,
            tally: Tally::default(),
            safety: Safety::default(),
            model: Model::default(),
            callers: Callers::default(),
            cluster: ClusterId::ZERO,
            fault: None,
            steps: 0,
            print: seed,
            trace: traced.then(Vec::new),
            effects: BTreeMap::new(),
            last_request: 0,
            is_rough: false,
            queue: Queue::default(),
        }
    }

    pub fn at(&mut self, at: Time, what: Happening) {
        self.queue.push(at.max(self.now), what);
    }

    pub fn after(&mut self, wait: Duration, what: Happening) {
        self.at(self.now + wait, what);
    }

    /// Lets things happen until a time, or until a rule is broken.
    pub fn run_until(&mut self, end: Time) -> Check {
        while let Some((at, what)) = self.queue.next(end) {
            self.now = at;
            self.happen(what);
            if let Some(fault) = &self.fault {
                return Err(fault.clone());
            }
            if self.is_rough && self.steps >= self.plan.steps {
                return Ok(());
            }
        }
        self.now = self.now.max(end);
        Ok(())
    }

    pub fn run_for(&mut self, span: Duration) -> Check {
        self.run_until(self.now + span)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrives(envelope, sent) => self.arrives(envelope, sent),
            Happening::Turn(place, life) if self.lives(place, life) => self.turn(place),
            Happening::Deadline(place, life) if self.lives(place, life) => self.deadline(place),
            Happening::Written(place, life) if self.lives(place, life) => self.written(place),
            Happening::Read(place, life) if self.lives(place, life) => self.read(place),
            Happening::Applies(place, life) if self.lives(place, life) => self.applies(place),
            Happening::Switches(place, life) if self.lives(place, life) => self.switches(place),
            Happening::Starts(place, life) if self.is(place, life) => self.start(place),
            Happening::Restart(place, times) => self.restart(place, times),
            Happening::Client(client, number) => self.client(client, number),
            Happening::Action(at) => {
                if let Some(Timed { action, .. }) = self.plan.actions.get(at).cloned()
                    && self.is_rough
                {
                    self.tell(|| format!("action {at}: {action:?}"));
                    self.act(action);
                }
            }
            Happening::Room(place) => self.give_room(place),
            Happening::Fast(place) => {
                let sync = self.plan.swarm.sync;
                self.host(place).sync = sync;
            }
            Happening::Storm(left) if self.is_rough => self.storm(left),
            _ => {}
        }
    }

    pub fn host(&mut self, place: u64) -> &mut Host {
        self.hosts.get_mut(&place).expect("places are never taken away")
    }

    fn is(&self, place: u64, life: u64) -> bool {
        self.hosts.get(&place).is_some_and(|host| host.life == life)
    }

    fn lives(&self, place: u64, life: u64) -> bool {
        self.is(place, life) && self.hosts[&place].is_up()
    }

    /// A message arrives: into the inbox, unless nobody is there.
    fn arrives(&mut self, envelope: Envelope, sent: Time) {
        let Envelope { from, to, message } = envelope;
        if !self.hosts[&to].is_up() || !self.ways.delivers((from, to), sent) {
            return;
        }
        self.tell(|| format!("arrives {}", show::message(from, to, &message)));
        self.push(to, Event::Received(message));
    }

    /// Something happens at a node; it looks soon.
    pub fn push(&mut self, place: u64, event: Event) {
        let wait = Duration::from_nanos(1_000 + self.dice.below(30_000));
        let host = self.host(place);
        if !host.is_up() || host.inbox.len() > 2_000 {
            return;
        }
        host.inbox.push(event);
        let life = host.life;
        if !std::mem::replace(&mut host.turn_is_due, true) {
            self.after(wait, Happening::Turn(place, life));
        }
    }

    fn deadline(&mut self, place: u64) {
        let now = self.now;
        let host = self.host(place);
        if host.clock.local(now) >= host.deadline && !host.turn_is_due {
            self.turn(place);
        }
    }

    /// A node takes what is in its inbox, the deadline last, and does what is to be done.
    fn turn(&mut self, place: u64) {
        let now = self.now;
        let host = self.host(place);
        let life = host.life;
        if let Some(until) = host.frozen.filter(|until| *until > now) {
            host.turn_is_due = true;
            return self.at(until, Happening::Turn(place, life));
        }
        (host.frozen, host.turn_is_due) = (None, false);
        let mut events = std::mem::take(&mut host.inbox);
        // Callers first: of a core that a message ends they would hear nothing in the same batch.
        events.sort_by_key(|event| matches!(event, Event::Received(_)));
        for event in events {
            self.feed(place, event);
        }
        let host = self.host(place);
        if host.clock.local(now) >= host.deadline {
            self.feed(place, Event::DeadlinePassed);
        }
        self.carry_out(place);
    }

    /// Asks to be called when the core's deadline comes.
    pub fn wait_for_deadline(&mut self, place: u64) {
        let host = self.host(place);
        let (when, life) = (host.clock.when(host.deadline), host.life);
        if when != Time::NEVER {
            self.at(when, Happening::Deadline(place, life));
        }
    }

    /// The disk takes the next round, if it is idle.
    pub fn begin_round(&mut self, place: u64) {
        let host = self.host(place);
        if host.round.is_some() || host.writes.is_empty() {
            return;
        }
        host.begin_round();
        let (mean, life) = (host.sync.as_nanos() as u64, host.life);
        let wait = mean / 2 + self.dice.below(mean.max(1));
        if mean > 1_000_000_000 {
            self.tally.count("stalled disk");
        } else if mean > 20_000_000 {
            self.tally.count("slow disk");
        }
        self.after(Duration::from_nanos(wait), Happening::Written(place, life));
    }

    fn written(&mut self, place: u64) {
        let done = self.host(place).finish_round();
        match done {
            Ok(Some(round)) => {
                let state = self.hosts[&place].state.clone();
                let durable = self.safety.durable(place, &state);
                self.note(place, durable);
                self.tell(|| format!("{place} persisted {}", round.seq));
                if self.outputs_end(place) {
                    return;
                }
                if self.send_all(place, round.after) {
                    self.push(place, Event::Persisted(round.seq));
                    self.look_for_room(place);
                    self.begin_round(place);
                    self.begin_switch(place);
                }
            }
            Ok(None) => {}
            Err(error) => self.store_fails(place, &error),
        }
    }

    /// What the disk did is unknown: the node is over. Its process is started again later.
    pub fn store_fails(&mut self, place: u64, error: &StorageError) {
        self.tell(|| format!("{place} fails: {error}"));
        let is_off = error.message.contains("the power is off");
        self.tally.count(if is_off { "power cut during a write" } else { "disk error" });
        let outage = Duration::from_millis(10 + self.dice.below(800));
        self.end(place, is_off, outage);
    }

    fn look_for_room(&mut self, place: u64) {
        let host = self.host(place);
        let Some(writer) = &mut host.writer else { return };
        let is_full = !writer.has_room();
        if is_full != host.is_full {
            host.is_full = is_full;
            if is_full {
                self.tally.count("full disk");
            }
            self.push(place, Event::DiskFull(is_full));
        }
    }

    pub fn give_room(&mut self, place: u64) {
        let host = self.host(place);
        host.disk.leave_space(u64::MAX / 2);
        self.look_for_room(place);
    }

    fn read(&mut self, place: u64) {
        let Some(fetch) = self.host(place).fetches.pop_front() else { return };
        let found = self.host(place).fetch(&fetch);
        match found {
            Ok(Some(entries)) => {
                self.tally.count("entries read from the disk");
                self.push(place, Event::Fetched(fetch.id, entries));
            }
            Ok(None) => {}
            Err(error) => self.store_fails(place, &error),
        }
    }

    /// Sends messages, one after the other. `false`: the node ended in between.
    pub fn send_all(&mut self, place: u64, messages: Vec<Message>) -> bool {
        for mut message in messages {
            let backed = self.safety.leaves(place, self.hosts[&place].facts(), &message);
            self.note(place, backed);
            self.note_message(&message);
            if self.outputs_end(place) {
                return false;
            }
            let Some(to) = self.place_of(&message) else { continue };
            let address = message.address.take();
            let mut envelope = Envelope { from: place, to, message };
            envelope.message.address = address;
            self.tell(|| format!("sends {}", show::message(place, to, &envelope.message)));
            match self.ways.send(self.now, &mut envelope, &mut self.tally) {
                Ok(arrivals) => {
                    for at in arrivals {
                        self.at(at, Happening::Arrives(envelope.clone(), self.now));
                    }
                }
                Err(fault) => self.note(place, Err(fault)),
            }
        }
        true
    }

    /// The place a message goes to: where that node is, or whoever is at the address.
    fn place_of(&self, m: &Message) -> Option<u64> {
        match &m.address {
            Some(address) if m.to.is_zero() => {
                let at = |host: &Host| *host.address == **address;
                self.hosts.iter().find(|(_, host)| at(host)).map(|(place, _)| *place)
            }
            _ => self.places.get(&m.to).copied(),
        }
    }

    fn note_message(&mut self, m: &Message) {
        use quorate_engine::consensus::message::AppendVerdict as Verdict;
        match &m.body {
            Body::RequestVoteResponse(r) if r.granted && !r.pre => self.tally.count("vote granted"),
            Body::TimeoutNow => self.tally.count("transfer of leadership"),
            Body::AppendEntriesResponse(r) if r.verdict == Verdict::StaleTerm => {
                self.tally.count("stale append refused");
            }
            Body::AppendEntriesResponse(r) if r.verdict == Verdict::Busy => {
                self.tally.count("follower busy");
            }
            _ => {}
        }
        self.print = mix(self.print, mix(m.term.0, m.to.0));
    }

    /// One line, if anybody wants to know.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12} {}", self.now.0 / 1_000 - BEGINNING.0 / 1_000, line()));
        }
    }

    pub fn note(&mut self, place: u64, check: Check) {
        if let (Err(fault), None) = (check, &self.fault) {
            self.fault = Some(format!("{place}: {fault}"));
        }
    }
}

/// Small limits are reached; usual ones are not.
fn config(plan: &Plan) -> Config {
    let swarm = &plan.swarm;
    let usual = Config {
        heartbeat: swarm.heartbeat,
        election_timeout: swarm.timeout,
        pre_vote: swarm.pre_vote,
        check_quorum: swarm.check_quorum,
        window_bytes: 4_000,
        ..Config::default()
    };
    if !swarm.tight {
        return usual;
    }
    Config {
        max_message_bytes: 150,
        max_inflight_messages: 3,
        max_inflight_bytes: 400,
        max_unwritten_bytes: 350,
        max_uncommitted_bytes: 1_000,
        max_unapplied_bytes: 300,
        window_bytes: 300,
        ..usual
    }
}
