//! What can happen in a world, and how much of it may.

use std::fmt;

/// One thing that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// The oldest message of a pair arrives; `at` is its place on the network.
    Deliver {
        /// Its place.
        at: u8,
    },
    /// A message arrives before older ones of its pair.
    Overtake {
        /// Its place.
        at: u8,
    },
    /// The oldest message of a pair arrives, and a copy of it stays under way behind the others.
    Double {
        /// Its place.
        at: u8,
    },
    /// The oldest message of a pair is lost.
    Lose {
        /// Its place.
        at: u8,
    },
    /// The deadline of a node passes: it campaigns, or beats its heart.
    Timeout(u8),
    /// A caller at a node proposes.
    Propose(u8),
    /// A caller at a node wants to read.
    Read(u8),
    /// A caller at a node asks for a change of membership, one of those of the scope.
    Change(u8, u8),
    /// The oldest write of a node becomes durable.
    Persist(u8),
    /// A node crashes.
    Crash {
        /// Where.
        place: u8,
        /// Writes that are durable.
        writes: u8,
        /// The hard state of the next one is durable too.
        state: bool,
        /// The cut of the next one is durable too.
        cut: bool,
    },
    /// A node starts again.
    Restart(u8),
}

/// How often each may happen yet.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    /// Deadlines of nodes that do not lead.
    pub timeouts: u8,
    /// Deadlines of leaders.
    pub beats: u8,
    /// Proposals.
    pub proposals: u8,
    /// Reads.
    pub reads: u8,
    /// Changes of membership.
    pub changes: u8,
    /// Messages that are lost. A message that is never delivered costs nothing.
    pub losses: u8,
    /// Messages that come twice.
    pub doubles: u8,
    /// Messages that overtake others of their pair.
    pub overtakes: u8,
    /// Crashes, at most one of each node.
    pub crashes: u8,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver { .. } => write!(f, "arrives:"),
            Action::Overtake { .. } => write!(f, "overtakes:"),
            Action::Double { .. } => write!(f, "arrives, and will once more:"),
            Action::Lose { .. } => write!(f, "is lost:"),
            Action::Timeout(place) => write!(f, "{place}: its deadline passes"),
            Action::Propose(place) => write!(f, "{place}: a proposal"),
            Action::Read(place) => write!(f, "{place}: a read"),
            Action::Change(place, _) => write!(f, "{place}: a change of membership"),
            Action::Persist(place) => write!(f, "{place}: a write is durable"),
            Action::Crash { place, writes, state, cut } => {
                let state = if *state { ", the state of the next" } else { "" };
                let cut = if *cut { ", the cut of the next" } else { "" };
                write!(f, "{place}: crashes, {writes} write(s) are kept{state}{cut}")
            }
            Action::Restart(place) => write!(f, "{place}: starts again"),
        }
    }
}
