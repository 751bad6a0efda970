//! All that can happen to a node.

use super::command::{Command, Entry};
use super::message::{Change, Message};
use super::types::Index;

/// Names a proposal at the run that made it: its `Origin::seq`.
pub type ProposalId = u64;
/// Names a waiting read.
pub type ReadId = u64;
/// Names a waiting change of membership; below 2^40.
pub type ChangeId = u64;
/// Names a request for old entries.
pub type FetchId = u64;

/// Something that happened. The set is closed: the core reacts to nothing else.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrived, from whom it says.
    Received(Message),
    /// Callers here propose changes, in this order. Each is answered once in `Ready::proposals`.
    Proposed(Vec<Command>),
    /// A caller here asks for a change of membership; answered once in `Ready::changes`.
    ChangeRequested(ChangeId, Change),
    /// A caller here wants to read; answered once in `Ready::reads`.
    ReadRequested(ReadId),
    /// All writes up to this number are durable. A gap or a repetition is a fault of the driver.
    Persisted(u64),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// Old entries that were asked for, from the first one on, at least one.
    Fetched(FetchId, Vec<Entry>),
    /// The store has room for new entries again, or has none.
    DiskFull(bool),
    /// The deadline of the last `Ready` has passed.
    DeadlinePassed,
}
