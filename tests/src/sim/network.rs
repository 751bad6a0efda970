//! The ways between places: each message is lost, doubled, delayed, damaged or held, as the swarm and the
//! faults under way have it.

use super::plan::Swarm;
use super::tally::Tally;
use crate::network::Envelope;
use crate::simulated_fs::Dice;
use bytes::Bytes;
use quorate_engine::consensus::message::Message;
use quorate_engine::consensus::types::Time;
use quorate_engine::transport::wire;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Messages that may be replayed.
const REMEMBERED: usize = 64;

/// A way from a place to another.
type Way = (u64, u64);

/// All ways.
pub(super) struct Ways {
    dice: Dice,
    swarm: Swarm,
    /// Why a way is cut: the class of the fault.
    cut: BTreeMap<Way, &'static str>,
    /// Until when messages wait.
    clogged: BTreeMap<Way, Time>,
    /// When the last message of a way arrives, where none passes another.
    last: BTreeMap<Way, Time>,
    /// What is sent before that time and arrives later is lost.
    reset: BTreeMap<Way, Time>,
    old: VecDeque<Envelope>,
    count: u64,
}

impl Ways {
    pub fn new(seed: u64, swarm: Swarm) -> Ways {
        Ways {
            dice: Dice(seed ^ 0x7761_7973),
            swarm,
            cut: BTreeMap::new(),
            clogged: BTreeMap::new(),
            last: BTreeMap::new(),
            reset: BTreeMap::new(),
            old: VecDeque::new(),
            count: 0,
        }
    }

    /// When each copy of a message arrives.
    pub fn send(
        &mut self,
        now: Time,
        envelope: &mut Envelope,
        tally: &mut Tally,
    ) -> Result<Vec<Time>, String> {
        let way = (envelope.from, envelope.to);
        if let Some(why) = self.cut.get(&way) {
            tally.count(why);
            return Ok(Vec::new());
        }
        self.remember(envelope);
        if self.chance(self.swarm.coded) && !self.passes_codec(&mut envelope.message, tally)? {
            return Ok(Vec::new());
        }
        if self.chance(self.swarm.lost) {
            tally.count("loss");
            return Ok(Vec::new());
        }
        let mut arrivals = vec![self.arrival(now, way, tally)];
        if self.chance(self.swarm.doubled) {
            tally.count("duplicate");
            arrivals.push(self.arrival(now, way, tally));
        }
        Ok(arrivals)
    }

    /// Whether a message that was sent at a time arrives now.
    pub fn delivers(&self, way: Way, sent: Time) -> bool {
        self.reset.get(&way).is_none_or(|at| sent > *at)
    }

    pub fn cut(&mut self, way: Way, why: &'static str) {
        if way.0 != way.1 {
            self.cut.insert(way, why);
        }
    }

    pub fn part(&mut self, a: u64, b: u64, why: &'static str) {
        self.cut((a, b), why);
        self.cut((b, a), why);
    }

    pub fn rejoin(&mut self, a: u64, b: u64) {
        self.cut.remove(&(a, b));
        self.cut.remove(&(b, a));
    }

    pub fn clog(&mut self, way: Way, until: Time) {
        self.clogged.insert(way, until);
    }

    pub fn reset(&mut self, way: Way, now: Time) {
        self.reset.insert(way, now);
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Nothing goes wrong any more.
    pub fn calm(&mut self) {
        self.heal();
        self.clogged.clear();
        self.last.clear();
        let way = Duration::from_micros(100);
        let swarm =
            Swarm { lost: 0, doubled: 0, delayed: 0, flipped: 0, way, ..self.swarm.clone() };
        self.swarm = Swarm { reorders: false, ..swarm };
    }

    /// A message that was sent at some time before.
    pub fn old(&mut self) -> Option<Envelope> {
        let at = self.dice.below(self.old.len() as u64) as usize;
        self.old.get(at).cloned()
    }

    fn remember(&mut self, envelope: &Envelope) {
        self.count += 1;
        if self.count.is_multiple_of(16) {
            self.old.push_back(envelope.clone());
            if self.old.len() > REMEMBERED {
                self.old.pop_front();
            }
        }
    }

    fn arrival(&mut self, now: Time, way: Way, tally: &mut Tally) -> Time {
        let mean = self.swarm.way.as_nanos() as u64;
        let mut delay = mean / 2 + self.dice.below(mean);
        if self.chance(self.swarm.delayed) {
            tally.count("heavy-tailed delay");
            delay = mean << (2 + self.dice.below(10));
        }
        let mut at = now + Duration::from_nanos(delay.min(5_000_000_000));
        if let Some(until) = self.clogged.get(&way)
            && *until > now
        {
            tally.count("clogged way");
            at = at.max(*until);
        }
        let last = self.last.entry(way).or_default();
        if self.swarm.reorders {
            if at < *last {
                tally.count("reordering");
            }
        } else {
            at = at.max(*last + Duration::from_nanos(1));
        }
        *last = at.max(*last);
        at
    }

    /// As bytes and back: equal, or refused where a bit was flipped.
    fn passes_codec(&mut self, message: &mut Message, tally: &mut Tally) -> Result<bool, String> {
        let frame = wire::encode(wire::Envelope::of(message), std::slice::from_ref(message), 1);
        let mut bytes = frame.to_bytes().to_vec();
        let flipped = self.chance(self.swarm.flipped * 10);
        if flipped {
            let bit = self.dice.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        match (wire::decode(Bytes::from(bytes)), flipped) {
            (Err(_), true) => {
                tally.count("bit flipped on the wire");
                Ok(false)
            }
            (Ok(_), true) => Err(format!("a frame with a flipped bit is taken: {message:?}")),
            (Ok(decoded), false) => {
                let address = message.address.take();
                let same = decoded.messages.first() == Some(&*message);
                message.address = address;
                if same {
                    Ok(true)
                } else {
                    Err(format!("the codec makes of {message:?}: {decoded:?}"))
                }
            }
            (Err(error), false) => Err(format!("{message:?} can't be decoded: {error}")),
        }
    }

    fn chance(&mut self, of_thousand: u64) -> bool {
        of_thousand > 0 && self.dice.below(1000) < of_thousand
    }
}
