//! What a plan does to the world.
//!
//! Faults that lose data keep a good copy of every committed entry: of each configuration that may be in
//! force, less than half of the voters are damaged or gone at any time.

use super::host::DIR;
use super::plan::{Action, Who};
use super::queue::Happening;
use super::world::World;
use crate::safety::Check;
use crate::simulated_fs::{Fault, SimDisk};
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::{Member, Membership};
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Address, NodeId};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl World {
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Partition(set) => self.partition(set, "symmetric partition"),
            Action::Bridge(middle, set) => {
                self.partition(set, "bridge partition");
                (1..=self.plan.swarm.places).for_each(|place| self.ways.rejoin(middle, place));
            }
            Action::Chain => self.chain(),
            Action::OneWay(from, to) => self.ways.cut((from, to), "one-way cut"),
            Action::Isolate(who) => self.with(who, |world, place| {
                let others = 1..=world.plan.swarm.places;
                others.for_each(|other| world.ways.part(place, other, "isolated leader"));
            }),
            Action::Part(a, b) => self.ways.part(a, b, "swizzled ways"),
            Action::Rejoin(a, b) => self.ways.rejoin(a, b),
            Action::Clog(from, to, span) => self.ways.clog((from, to), self.now + span),
            Action::Reset(from, to) => {
                self.tally.count("connection reset");
                self.ways.reset((from, to), self.now);
            }
            Action::Heal => self.ways.heal(),
            Action::Replay(count) => self.replay(count),
            other => self.act_on_node(other),
        }
    }

    fn act_on_node(&mut self, action: Action) {
        match action {
            Action::Crash { who, power, boundary, outage } => self.with(who, |world, place| {
                world.host(place).ends_in = Some((boundary, power, outage));
            }),
            Action::CutInRound { who, calls, .. } => {
                self.with(who, |world, place| world.host(place).fail_after(calls, Fault::PowerCut));
            }
            Action::CutInOpen { who, calls, outage } => self.with(who, |world, place| {
                world.end(place, true, outage);
                world.host(place).fail_after(calls, Fault::PowerCut);
            }),
            Action::Blackout(outage) => self.blackout(outage),
            Action::RestartStorm(who, times) => {
                self.with(who, |world, place| world.restart(place, times));
            }
            Action::Pause { who, pause, clock } => {
                self.with(who, |world, place| world.pause(place, pause, clock));
            }
            Action::Jump(who, by) => self.with(who, |world, place| {
                let now = world.now;
                world.tally.count("clock jump");
                world.host(place).clock.jump(now, by);
                world.wait_for_deadline(place);
            }),
            Action::Rate(who, rate) => self.with(who, |world, place| {
                let now = world.now;
                world.tally.count("clock rate");
                world.host(place).clock.pace(now, rate);
                world.wait_for_deadline(place);
            }),
            other => self.act_on_disk(other),
        }
    }

    fn act_on_disk(&mut self, action: Action) {
        match action {
            Action::Eio(who, calls) => {
                self.with(who, |world, place| world.host(place).fail_after(calls, Fault::Eio));
            }
            Action::Full(who, span) => self.with(who, |world, place| {
                world.host(place).disk.leave_space(0);
                world.after(span, Happening::Room(place));
            }),
            Action::Slow { who, sync, lasts } => self.with(who, |world, place| {
                world.host(place).sync = sync;
                world.after(lasts, Happening::Fast(place));
            }),
            Action::Rot { who, at, outage } => {
                self.with(who, |world, place| world.rot(place, at, outage));
            }
            Action::Wipe(place, outage) => self.wipe(place, outage),
            other => self.act_as_caller(other),
        }
    }

    fn act_as_caller(&mut self, action: Action) {
        match action {
            Action::Add(via, other) => self.with(via, |world, place| world.add(place, other)),
            Action::Remove(via, who) => self.with(via, |world, place| world.remove(place, who)),
            Action::Changes(a, b, c, d) => {
                self.tally.count("concurrent changes");
                self.add(a, c);
                self.remove(b, Who::Place(d));
            }
            Action::MembershipStorm(count) => self.storm(count),
            Action::Burst(who, count) => self.with(who, |world, place| world.burst(place, count)),
            Action::Alone(place) => self.write_alone(place),
            _ => {}
        }
    }

    /// Does something to a node, if it is there and runs.
    fn with(&mut self, who: Who, work: impl FnOnce(&mut World, u64)) {
        let place = match who {
            Who::Place(place) => Some(place),
            Who::Leader => self.leader(),
        };
        if let Some(place) = place.filter(|place| self.hosts[place].is_up()) {
            work(self, place);
        }
    }

    /// Who leads the cluster, as far as somebody thinks so: the one of the highest term.
    pub fn leader(&self) -> Option<u64> {
        let leads = |place: &u64| {
            let status = self.status(*place)?;
            let leads =
                status.role == RoleName::Leader && self.hosts[place].lineage() == self.cluster;
            leads.then_some((status.term, *place))
        };
        self.hosts.keys().filter_map(leads).max().map(|(_, place)| place)
    }

    fn partition(&mut self, set: u64, why: &'static str) {
        let places = self.plan.swarm.places;
        for a in 1..=places {
            for b in 1..=places {
                if (set >> (a - 1) & 1) != (set >> (b - 1) & 1) {
                    self.ways.cut((a, b), why);
                }
            }
        }
    }

    fn chain(&mut self) {
        let places = self.plan.swarm.places;
        for a in 1..=places {
            for b in (a + 2)..=places {
                self.ways.part(a, b, "chained partition");
            }
        }
    }

    fn replay(&mut self, count: u64) {
        for _ in 0..count {
            let Some(envelope) = self.ways.old() else { return };
            self.tally.count("old message replayed");
            self.at(self.now, Happening::Arrives(envelope, self.now));
        }
    }

    fn blackout(&mut self, outage: Duration) {
        self.tally.count("blackout");
        for place in 1..=self.plan.swarm.places {
            if self.hosts[&place].is_up() {
                let more = Duration::from_millis(self.dice.below(500));
                self.end(place, true, outage + more);
            }
        }
    }

    pub fn restart(&mut self, place: u64, times: u64) {
        if times == 0 || !self.is_rough {
            return;
        }
        if self.hosts[&place].is_up() {
            self.tally.count("restart storm");
            let (power, outage) =
                (self.dice.below(2) == 0, Duration::from_millis(self.dice.below(200)));
            self.end(place, power, outage);
        }
        let wait = Duration::from_millis(100 + self.dice.below(900));
        self.after(wait, Happening::Restart(place, times - 1));
    }

    fn pause(&mut self, place: u64, pause: Duration, clock: bool) {
        self.tally.count(if clock { "pause of the clock too" } else { "pause" });
        let now = self.now;
        let host = self.host(place);
        host.frozen = Some(now + pause);
        if clock {
            host.clock.stop(now, pause);
            self.wait_for_deadline(place);
        }
    }

    /// The process is away for a while, and a bit of its log is another one then. It lies before the last
    /// frame of a segment, which proves that it was durable: a last frame that rots can't be told from one that
    /// was torn (docs/formats.md).
    fn rot(&mut self, place: u64, at: u64, outage: Duration) {
        if self.hosts[&place].is_damaged || !self.may_lose(place) {
            return;
        }
        self.end(place, false, outage);
        let host = self.host(place);
        let content = host.disk.content();
        let logs =
            content.iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "log"));
        let logs: Vec<(&PathBuf, usize)> =
            logs.map(|(path, bytes)| (path, last_frame(bytes))).collect();
        let Some((path, end)) = logs.get((at % (logs.len() as u64).max(1)) as usize) else {
            return;
        };
        if *end <= FIRST_FRAME {
            return;
        }
        let (byte, bit) = ((at >> 16) as usize % *end, (at >> 8) % 8);
        host.disk.harm(path, |content| content[byte] ^= 1 << bit);
        host.is_damaged = true;
        debug_assert!(path.starts_with(Path::new(DIR)), "logs lie in the directory");
    }

    /// The directory of a node is lost, and an empty one is in its place.
    fn wipe(&mut self, place: u64, outage: Duration) {
        let settled = self.leader().and_then(|leader| self.status(leader));
        let settled =
            settled.is_some_and(|s| !s.membership.is_joint() && s.membership.voters.len() > 2);
        if !self.hosts[&place].is_up() || !settled || !self.may_lose(place) {
            return;
        }
        self.tally.count("wiped directory");
        self.lose_data(place, outage);
    }

    /// An empty directory is in the place of a node's, and the state machine is empty too.
    pub fn lose_data(&mut self, place: u64, outage: Duration) {
        let id = self.hosts[&place].id();
        self.end(place, true, outage);
        self.places.remove(&id);
        let seed = self.dice.roll();
        let host = self.host(place);
        host.disk = SimDisk::new(seed);
        host.durable.clear();
        host.machine = super::machine::Machine::default();
        host.state = Default::default();
        (host.round, host.is_damaged) = (None, false);
        self.model.forgotten(place);
        self.safety.forgotten(place);
    }

    /// Whether the data of a node may be lost: of every configuration that may be in force less than half
    /// of the voters are then without theirs.
    pub fn may_lose(&self, place: u64) -> bool {
        let id = self.hosts[&place].id();
        let all = self.hosts.values().filter(|host| host.lineage() == self.cluster);
        let newest = all.flat_map(|host| host.members.iter().rev().take(3));
        let enough = |half: &[Member]| {
            let lost = half.iter().filter(|m| m.id == id || self.is_lost(m.id)).count();
            half.is_empty() || lost * 2 < half.len()
        };
        let host = &self.hosts[&place];
        let is_known = host.members.last().is_some_and(|(_, m)| m.is_voter(id));
        let is_member = host.lineage() == self.cluster && is_known;
        is_member && newest.into_iter().all(|(_, m)| enough(&m.voters) && enough(&m.outgoing))
    }

    /// Whether most of these voters have their data.
    pub fn has_majority(&self, half: &[Member]) -> bool {
        let lost = half.iter().filter(|m| self.is_lost(m.id)).count();
        half.is_empty() || lost * 2 < half.len()
    }

    /// Whether a member's data is not there, or not known to be whole.
    pub fn is_lost(&self, id: NodeId) -> bool {
        let Some(host) = self.places.get(&id).map(|place| &self.hosts[place]) else { return true };
        host.is_damaged || host.state.abstaining
    }

    fn add(&mut self, place: u64, other: u64) {
        self.tally.count("node added");
        self.change(place, Change::Add(Address::from(format!("n{other}"))));
    }

    /// Only where those who stay and have their data are a majority.
    pub fn remove(&mut self, place: u64, who: Who) {
        let leader = self.leader();
        let other = match who {
            Who::Place(place) => Some(place),
            Who::Leader => leader,
        };
        let Some(id) = other.map(|other| self.hosts[&other].id()) else { return };
        if !self.may_remove(id) {
            return;
        }
        self.tally.count(if other == leader { "leader removed" } else { "node removed" });
        self.change(place, Change::Remove(id));
    }

    fn may_remove(&self, id: NodeId) -> bool {
        let all = self.hosts.values().filter(|host| host.lineage() == self.cluster);
        let stay = |m: &Membership| {
            let rest = m.voters.iter().filter(|v| v.id != id);
            let (rest, lost) = (rest.clone().count(), rest.filter(|v| self.is_lost(v.id)).count());
            lost * 2 < rest.max(1)
        };
        all.filter_map(|host| host.members.last()).all(|(_, m)| stay(m))
    }

    /// Change after change of who takes part, at any node.
    pub fn storm(&mut self, left: u64) {
        self.tally.count("membership storm");
        let mut place = || 1 + self.dice.below(self.plan.swarm.places);
        let (a, b) = (place(), place());
        let via = self.leader().filter(|_| left.is_multiple_of(2)).unwrap_or(a);
        if self.dice.below(2) == 0 {
            self.add(via, b)
        } else {
            self.remove(via, Who::Place(b))
        }
        if left > 1 {
            let wait = Duration::from_millis(self.dice.below(400));
            self.after(wait, Happening::Storm(left - 1));
        }
    }

    fn burst(&mut self, place: u64, count: u64) {
        self.tally.count("proposal burst");
        let commands = (0..count).map(|n| self.command(place, &format!("burst {n}"))).collect();
        self.push(place, Event::Proposed(commands));
    }

    /// A node that is in no cluster has data of its own from then on.
    fn write_alone(&mut self, place: u64) {
        let alone = self.status(place).is_some_and(|status| status.standalone);
        if alone && self.hosts[&place].switching.is_none() {
            let command = self.command(place, "alone");
            self.push(place, Event::Proposed(vec![command]));
        }
    }

    /// A rule that is broken when nothing of that is true.
    pub fn holds(&self, condition: bool, sentence: impl FnOnce() -> String) -> Check {
        if condition { Ok(()) } else { Err(sentence()) }
    }
}

/// Frames begin behind the header of a segment.
const FIRST_FRAME: usize = 4096;

/// Where the last frame of a segment begins.
fn last_frame(segment: &[u8]) -> usize {
    let field = |at: usize| segment.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let len = |at: usize| -> usize { u32::from_le_bytes(field(at).unwrap_or_default()) as usize };
    let (mut last, mut at) = (0, FIRST_FRAME);
    while len(at) != 0 {
        (last, at) = (at, at + (32 + len(at + 4) + len(at + 20)).next_multiple_of(8));
    }
    last
}
