//! The numbers that the protocol is made of, each with a type of its own, so that an index, a term
//! and an id can't be taken for one another.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

/// Where a node can be reached: `host:port`. Shared, because messages and configurations carry it.
pub type Address = Arc<str>;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u64);

        impl $name {
            /// None, or before the first.
            pub const ZERO: $name = $name(0);

            /// The number after this one.
            #[must_use]
            pub fn next(self) -> $name {
                $name(self.0 + 1)
            }

            /// The number before this one; 0 stays 0.
            #[must_use]
            pub fn prev(self) -> $name {
                $name(self.0.saturating_sub(1))
            }

            /// Whether this is 0: none, or before the first.
            #[must_use]
            pub fn is_zero(self) -> bool {
                self.0 == 0
            }
        }
    };
}

number!(
    /// Names a node. Drawn by the engine in 1..2^63, 0 = none. As text in base 36.
    NodeId
);
number!(
    /// Names one history of terms and votes, its *lineage*; the id of a cluster is that of its
    /// lineage. Drawn by the engine in 1..2^63, 0 = none. As text in base 36.
    ClusterId
);
number!(
    /// A reign of at most one leader (§5.1). The first is 1.
    Term
);
number!(
    /// A place in the log. The first is 1.
    Index
);
number!(
    /// One run of a node: `counter << 40 | 40 random bits`. The counter grows by one, durably, at
    /// every start and every change of lineage; an equal counter with other low bits is a twin of the
    /// directory.
    Incarnation
);

/// Writes `n` in base 36, lower case, without padding.
fn base36(mut n: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [b'0'; 13];
    let mut at = text.len() - 1;
    while n > 0 {
        text[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(n % 36) as usize];
        n /= 36;
        at = at.saturating_sub(usize::from(n > 0));
    }
    f.pad(std::str::from_utf8(&text[at..]).expect("base 36 is ASCII"))
}

/// Reads base 36, upper or lower case. 0 for anything that is not an id.
#[must_use]
pub fn parse_base36(text: &str) -> u64 {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return 0;
    }
    u64::from_str_radix(text, 36).unwrap_or(0)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base36(self.0, f)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base36(self.0, f)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Incarnation {
    /// How often the node has been started.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 >> 40
    }

    /// Where the numbers begin that this run gives to what it asks of others: an answer to an earlier
    /// run is none of its own. Below 2^61, so that it can be counted on.
    #[must_use]
    pub fn first_number(self) -> u64 {
        (self.counter() % (1 << 21)) << 40
    }

    /// The next run in the same process: the counter grows, the random part stays.
    #[must_use]
    pub fn next_run(self) -> Incarnation {
        Incarnation(self.0 + (1 << 40))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.counter())
    }
}

/// Names an entry of one lineage for ever: two entries with equal index and term are equal (§5.3).
/// Ordered as logs are compared: the later term wins, then the higher index (§5.4.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntryId {
    /// The term of the leader that made the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: Index,
}

impl EntryId {
    /// Before the first entry.
    pub const ZERO: EntryId = EntryId { term: Term(0), index: Index(0) };

    /// The entry at `index` of `term`.
    #[must_use]
    pub fn new(index: Index, term: Term) -> EntryId {
        EntryId { term, index }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// Who proposed an entry, so that its caller can be told what became of it: a node, and
/// `incarnation counter << 40 | n` there. All 0 for the engine's own entries.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// The node where the caller is.
    pub node: NodeId,
    /// Unique at that node, over restarts too.
    pub seq: u64,
}

/// A moment, in nanoseconds of a clock that never goes back and counts suspended time too. Only
/// differences mean anything.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(pub u64);

impl Time {
    /// A moment that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_nanos().min(u128::from(u64::MAX)) as u64))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(duration.as_nanos().min(u128::from(u64::MAX)) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_in_base_36() {
        for id in [0, 1, 35, 36, 1295, u64::MAX / 2, u64::MAX] {
            assert_eq!(parse_base36(&NodeId(id).to_string()), id);
        }
        assert_eq!(NodeId(0).to_string(), "0");
        assert_eq!(NodeId(36).to_string(), "10");
        assert_eq!(NodeId(u64::MAX).to_string(), "3w5e11264sgsf");
    }

    #[test]
    fn what_is_no_id_reads_as_none() {
        for text in ["", "-1", "+1", " 1", "1.0", "3w5e11264sgsg", "zzzzzzzzzzzzzz", "ä"] {
            assert_eq!(parse_base36(text), 0, "{text:?}");
        }
    }
}
