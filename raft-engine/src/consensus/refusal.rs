//! Why a request was not carried out: a reason that programs can tell apart, and a sentence for
//! people. Both travel, so that a caller at a follower reads what its leader said.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Why a request was not carried out.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[$doc])* $name = $number,)*
        }

        impl Reason {
            /// The reason of that number on the wire.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Reason> {
                match number {
                    $($number => Some(Reason::$name),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// No leader is known here, or this node does not lead and does not forward.
    NoLeader = 1,
    /// A bounded queue is full.
    Busy = 2,
    /// The leader's disk is full.
    DiskFull = 3,
    /// The entry is too large.
    TooLarge = 4,
    /// An argument makes no sense.
    Invalid = 5,
    /// The node is in no cluster.
    NoCluster = 6,
    /// The node is a member already.
    AlreadyMember = 7,
    /// The node belongs to another cluster.
    OtherCluster = 8,
    /// The node has data of its own.
    HasData = 9,
    /// Nobody answers at the address, or somebody else than meant.
    Unreachable = 10,
    /// Another change of membership is under way.
    ChangeInProgress = 11,
    /// No such node.
    NotFound = 12,
    /// Leadership was lost while a change of membership was under way; it may go on.
    LeadershipLost = 13,
    /// The node left its cluster while the request was under way.
    LeftCluster = 14,
}

/// A reason and a sentence: what is wrong, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// A refusal with its sentence.
    #[must_use]
    pub fn new(reason: Reason, text: impl Into<String>) -> Refusal {
        Refusal { reason, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reason)
    }
}
