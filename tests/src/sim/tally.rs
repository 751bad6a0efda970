//! What happened in a run, counted: proof that each fault was produced and each interesting situation was
//! reached. A name that is counted and not listed is a mistake, so that nobody counts into the void.

use std::collections::BTreeMap;
use std::fmt;

/// The fault classes. A class counts when it had an effect, not when it was drawn.
pub const FAULTS: [&str; 37] = [
    "blackout",
    "bit rot",
    "bit flipped on the wire",
    "bridge partition",
    "chained partition",
    "clock jump",
    "clock rate",
    "clogged way",
    "concurrent changes",
    "connection reset",
    "crash at an output boundary",
    "crash while opening",
    "disk error",
    "duplicate",
    "full disk",
    "heavy-tailed delay",
    "isolated leader",
    "kill",
    "leader removed",
    "long outage",
    "loss",
    "membership storm",
    "node added",
    "node removed",
    "old message replayed",
    "one-way cut",
    "pause",
    "pause of the clock too",
    "power cut",
    "power cut during a write",
    "proposal burst",
    "reordering",
    "restart storm",
    "slow disk",
    "stalled disk",
    "swizzled ways",
    "symmetric partition",
];

/// Faults that need nodes to be replaced.
pub const LOSSES: [&str; 1] = ["wiped directory"];

/// What comes of several faults together, once in many thousand runs: counted, and not asked for.
pub const RARE: [&str; 2] = ["left before it was repaired", "too many lost for a majority"];

/// Situations in which bugs were found, here or elsewhere.
pub const SITUATIONS: [&str; 27] = [
    "abstainer repaired",
    "abstaining at start",
    "caller refused for want of a leader",
    "candidate in a joint configuration",
    "change of membership done",
    "client told of an unknown outcome",
    "committed by two halves",
    "compare and set succeeded",
    "configuration rolled back",
    "directory opened after a torn write",
    "entries read from the disk",
    "entry committed",
    "follower busy",
    "joined a cluster",
    "joint configuration entered",
    "leader elected",
    "leader elected after a leader",
    "leader stepped down",
    "left a cluster",
    "log cut",
    "log cut while a write is open",
    "read at a follower",
    "read at a leader",
    "stale append refused",
    "transfer of leadership",
    "vote granted",
    "write lost with a crash",
];

/// How often each fault and situation was there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Once more.
    pub fn count(&mut self, name: &'static str) {
        debug_assert!(names().any(|known| known == name), "{name} is not listed");
        *self.counts.entry(name).or_default() += 1;
    }

    /// How often it was there.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Tally) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    /// What never was.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        names().filter(|name| !RARE.contains(name) && self.of(name) == 0).collect()
    }

    /// All faults together.
    #[must_use]
    pub fn faults(&self) -> u64 {
        FAULTS.iter().chain(&LOSSES).map(|name| self.of(name)).sum()
    }
}

/// Everything that is counted.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAULTS.into_iter().chain(LOSSES).chain(SITUATIONS).chain(RARE)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names().try_for_each(|name| writeln!(f, "{:>12}  {name}", self.of(name)))
    }
}
