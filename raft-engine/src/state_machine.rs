//! The port for the host's state: what committed changes are applied to.

use crate::consensus::command::Command;
use crate::consensus::types::{ClusterId, Index, Term};
use bytes::Bytes;

/// What the host's state holds durably: the last applied entry, and the cluster it came from. Term
/// and cluster may be 0: then they are not checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// The last applied entry; 0 for a state that starts empty.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The cluster.
    pub cluster: ClusterId,
}

/// A committed change.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its place in the log.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// The change.
    pub command: Command,
}

/// The host's state. All calls come from one thread, quorate-apply.
pub trait StateMachine: Send {
    /// Called first. What the state holds durably; entries after it are committed again.
    ///
    /// # Errors
    /// Any error refuses the start.
    fn open(&mut self) -> Result<Applied, String> {
        Ok(Applied::default())
    }

    /// Applies at least one entry of type 0 or more, in order of index; each comes exactly once per
    /// run. `replies` is empty and may be filled with one reply for each entry, or left empty for
    /// none; a reply goes to the caller who proposed the entry on this node.
    ///
    /// # Errors
    /// Any error stops the service for good: a state that skipped a change is no replica.
    fn commit(
        &mut self,
        entries: &[Committed],
        replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String>;
}
