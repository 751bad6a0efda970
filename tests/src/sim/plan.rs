//! What a run will be: everything that its seed decides beforehand. How much noise there is, which faults
//! come when, how the clients behave. A plan is data, so that a failing one can be made smaller by leaving
//! faults out, and each of them still means the same.

use crate::simulated_fs::Dice;
use std::time::Duration;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything comes from.
    pub seed: u64,
    /// How the world is.
    pub swarm: Swarm,
    /// What is done to it, in order of time.
    pub actions: Vec<Timed>,
    /// When faults end, whatever the swarm says.
    pub steps: u64,
}

/// How a world is. Each seed draws another mixture.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Nodes, and how many of them found the cluster.
    pub places: u64,
    /// Those of them that are its first voters.
    pub voters: u64,
    /// Clients that write and read.
    pub clients: u64,
    /// A client's mean pause between operations.
    pub think: Duration,
    /// How long faults last.
    pub duration: Duration,
    /// Of a thousand messages: lost, doubled, much delayed, with a bit flipped, sent through the codec.
    pub lost: u64,
    /// Doubled.
    pub doubled: u64,
    /// Much delayed.
    pub delayed: u64,
    /// A bit is flipped.
    pub flipped: u64,
    /// Through the codec.
    pub coded: u64,
    /// The mean way of a message.
    pub way: Duration,
    /// Messages of a pair may pass one another.
    pub reorders: bool,
    /// The mean of a sync.
    pub sync: Duration,
    /// Limits are small, so that they are reached.
    pub tight: bool,
    /// Heartbeats and election timeouts.
    pub heartbeat: Duration,
    /// T.
    pub timeout: Duration,
    /// Pre-votes are asked for.
    pub pre_vote: bool,
    /// Leaders check that they have a quorum.
    pub check_quorum: bool,
    /// Bytes of a segment.
    pub segment: u64,
}

/// Who something is done to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// The leader at that time, if there is one.
    Leader,
    /// The node at that place.
    Place(u64),
}

/// Something that is done, and when, from the time on at which faults begin.
#[derive(Clone, Debug)]
pub struct Timed {
    /// When.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// What is done to the world.
#[derive(Clone, Debug)]
pub enum Action {
    /// Places are parted into those of the set and the others.
    Partition(u64),
    /// Two sets that only hear each other through one place.
    Bridge(u64, u64),
    /// Each place hears only its neighbours.
    Chain,
    /// One place hears another no more.
    OneWay(u64, u64),
    /// Nobody hears it, and it hears nobody.
    Isolate(Who),
    /// Two places don't hear each other.
    Part(u64, u64),
    /// They do again.
    Rejoin(u64, u64),
    /// Messages of a pair wait.
    Clog(u64, u64, Duration),
    /// What is under way between two places is lost.
    Reset(u64, u64),
    /// Everybody hears everybody.
    Heal,
    /// Old messages come again.
    Replay(u64),
    /// The process ends at its next few output boundaries, with or without its machine.
    Crash { who: Who, power: bool, boundary: u64, outage: Duration },
    /// The power is cut at one of the next calls to the disk.
    CutInRound { who: Who, calls: u64, outage: Duration },
    /// It crashes, and again while it starts.
    CutInOpen { who: Who, calls: u64, outage: Duration },
    /// All machines lose power.
    Blackout(Duration),
    /// It is restarted again and again.
    RestartStorm(Who, u64),
    /// It is not scheduled for a while; its clock may stand still as well.
    Pause { who: Who, pause: Duration, clock: bool },
    /// Its clock jumps.
    Jump(Who, Duration),
    /// Its clock runs at another rate.
    Rate(Who, u64),
    /// One of its next calls to the disk fails.
    Eio(Who, u64),
    /// Its disk is full for a while.
    Full(Who, Duration),
    /// A sync takes so long for a while.
    Slow { who: Who, sync: Duration, lasts: Duration },
    /// A bit of its log rots while it is down.
    Rot { who: Who, at: u64, outage: Duration },
    /// Its directory is lost.
    Wipe(u64, Duration),
    /// The node at a place is to be added.
    Add(Who, u64),
    /// A node is to be removed.
    Remove(Who, Who),
    /// Two changes at two nodes at once.
    Changes(u64, u64, u64, u64),
    /// Changes of membership, one after the other.
    MembershipStorm(u64),
    /// More proposals at once than are taken.
    Burst(Who, u64),
    /// A node in no cluster writes.
    Alone(u64),
}

impl Plan {
    /// What a seed decides.
    #[must_use]
    pub fn new(seed: u64, steps: u64) -> Plan {
        let mut dice = Dice(seed ^ 0x706c_616e);
        let swarm = Swarm::draw(&mut dice);
        let actions = Drawing::new(&mut dice, &swarm).all();
        Plan { seed, swarm, actions, steps }
    }

    /// The same with those actions only.
    #[must_use]
    pub fn with(&self, kept: &[usize]) -> Plan {
        let actions = kept.iter().filter_map(|at| self.actions.get(*at).cloned()).collect();
        Plan { actions, ..self.clone() }
    }

    /// The same in a world without noise.
    #[must_use]
    pub fn calm(&self) -> Plan {
        let swarm =
            Swarm { lost: 0, doubled: 0, delayed: 0, flipped: 0, coded: 0, ..self.swarm.clone() };
        Plan { swarm: Swarm { reorders: false, ..swarm }, ..self.clone() }
    }
}

impl Swarm {
    fn draw(dice: &mut Dice) -> Swarm {
        let places = 3 + dice.below(5);
        let mut share = |most: u64| if dice.below(2) == 0 { 0 } else { 1 + dice.below(most) };
        let (lost, doubled, delayed) = (share(300), share(300), share(60));
        let (flipped, coded) = (share(20), share(150));
        let scale = [1, 1, 1, 2, 5][dice.below(5) as usize];
        Swarm {
            places,
            voters: if dice.below(8) == 0 {
                1 + dice.below(2)
            } else {
                3 + dice.below(places.min(5) - 2)
            },
            clients: 2 + dice.below(5),
            think: millis(40 << dice.below(5)),
            duration: millis(4_000 + dice.below(16_000)),
            lost,
            doubled,
            delayed,
            flipped,
            coded,
            way: Duration::from_micros(50 << dice.below(6)),
            reorders: dice.below(2) == 0,
            sync: Duration::from_micros(30 << dice.below(7)),
            tight: dice.below(3) == 0,
            heartbeat: millis(100 / scale),
            timeout: millis(1000 / scale),
            pre_vote: dice.below(8) > 0,
            check_quorum: dice.below(8) > 0,
            segment: [16 << 10, 16 << 10, 64 << 10][dice.below(3) as usize],
        }
    }
}

/// Draws the actions of a plan. Half of the classes take part, each with a weight of its own.
struct Drawing<'a> {
    dice: &'a mut Dice,
    swarm: &'a Swarm,
    weights: [u64; CLASSES],
    at: Duration,
    actions: Vec<Timed>,
}

const CLASSES: usize = 26;

impl Drawing<'_> {
    fn new<'a>(dice: &'a mut Dice, swarm: &'a Swarm) -> Drawing<'a> {
        let weights =
            std::array::from_fn(|_| if dice.below(2) == 0 { 0 } else { 1 << dice.below(4) });
        Drawing { dice, swarm, weights, at: Duration::ZERO, actions: Vec::new() }
    }

    fn all(mut self) -> Vec<Timed> {
        let gap = 30 << self.dice.below(5);
        let total: u64 = self.weights.iter().sum();
        while self.at < self.swarm.duration && total > 0 {
            self.at += millis(1 + self.dice.below(2 * gap));
            let mut chosen = self.dice.below(total);
            let class = self.weights.iter().position(|weight| {
                let here = chosen < *weight;
                chosen = chosen.wrapping_sub(*weight);
                here
            });
            self.class(class.unwrap_or(0));
        }
        self.actions.sort_by_key(|timed| timed.at);
        self.actions
    }

    fn class(&mut self, class: usize) {
        match class {
            0..9 => self.ways(class),
            9..17 => self.processes(class),
            17..21 => self.disks(class),
            _ => self.requests(class),
        }
    }

    /// Faults of the network end by themselves.
    fn ways(&mut self, class: usize) {
        let (a, b) = (self.place(), self.place());
        let action = match class {
            0 => Action::Partition(self.dice.below(1 << self.swarm.places)),
            1 => Action::Bridge(a, self.dice.below(1 << self.swarm.places)),
            2 => Action::Chain,
            3 => Action::OneWay(a, b),
            4 => Action::Isolate(Who::Leader),
            5 => Action::Clog(a, b, self.span(5_000)),
            6 => Action::Reset(a, b),
            7 => Action::Replay(1 + self.dice.below(8)),
            _ => return self.swizzle(),
        };
        self.push(action);
        if class < 5 {
            let lasts = millis(200 + self.dice.below(5_000));
            self.actions.push(Timed { at: self.at + lasts, action: Action::Heal });
        }
    }

    /// Ways are cut one by one, and come back in another order.
    fn swizzle(&mut self) {
        let (begin, me) = (self.at, self.place());
        for other in 1..=self.swarm.places {
            let (cut, mended) = (self.span(800), self.span(2_500));
            self.actions.push(Timed { at: begin + cut, action: Action::Part(me, other) });
            let at = begin + cut + mended;
            self.actions.push(Timed { at, action: Action::Rejoin(me, other) });
        }
    }

    fn processes(&mut self, class: usize) {
        let who = self.who();
        let outage = self.outage();
        let action = match class {
            9 | 10 => {
                let boundary = self.dice.below(12);
                Action::Crash { who, power: class == 9, boundary, outage }
            }
            11 => Action::CutInRound { who, calls: self.dice.below(6), outage },
            12 => Action::CutInOpen { who, calls: self.dice.below(60), outage },
            13 => Action::Blackout(outage),
            14 => Action::RestartStorm(who, 2 + self.dice.below(4)),
            15 => {
                let clock = self.dice.below(2) == 0;
                Action::Pause { who, pause: self.span(6_000), clock }
            }
            _ if self.dice.below(2) == 0 => Action::Jump(who, self.span(60_000)),
            _ => Action::Rate(who, 900_000 + self.dice.below(200_001)),
        };
        self.push(action);
    }

    fn disks(&mut self, class: usize) {
        let who = self.who();
        let action = match class {
            17 => Action::Eio(who, self.dice.below(8)),
            18 => Action::Full(who, millis(100 + self.dice.below(4_000))),
            19 => {
                let sync = if self.dice.below(3) == 0 {
                    self.span(10_000)
                } else {
                    millis(5 + self.dice.below(300))
                };
                Action::Slow { who, sync, lasts: millis(100 + self.dice.below(5_000)) }
            }
            _ => Action::Rot { who, at: self.dice.roll(), outage: self.outage() },
        };
        self.push(action);
    }

    fn requests(&mut self, class: usize) {
        let (a, b, c, d) = (self.place(), self.place(), self.place(), self.place());
        let via = if self.dice.below(2) == 0 { Who::Leader } else { Who::Place(a) };
        let action = match class {
            21 => Action::Add(via, b),
            22 => Action::Remove(
                via,
                if self.dice.below(3) == 0 { Who::Leader } else { Who::Place(b) },
            ),
            23 if self.dice.below(2) == 0 => Action::Changes(a, b, c, d),
            23 => Action::MembershipStorm(3 + self.dice.below(6)),
            24 => Action::Burst(via, 5 + self.dice.below(40)),
            _ if self.dice.below(3) == 0 => Action::Wipe(a, self.outage()),
            _ => Action::Alone(a),
        };
        self.push(action);
    }

    fn push(&mut self, action: Action) {
        self.actions.push(Timed { at: self.at, action });
    }

    fn place(&mut self) -> u64 {
        1 + self.dice.below(self.swarm.places)
    }

    fn who(&mut self) -> Who {
        if self.dice.below(4) == 0 { Who::Leader } else { Who::Place(self.place()) }
    }

    /// Short more often than long: every magnitude up to `most` is as likely.
    fn span(&mut self, most: u64) -> Duration {
        let bits = u64::from(64 - most.leading_zeros());
        let limit = (1 << self.dice.below(bits + 1)).min(most);
        millis(1 + self.dice.below(limit))
    }

    fn outage(&mut self) -> Duration {
        if self.dice.below(8) == 0 { self.span(15_000) } else { self.span(1_500) }
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
