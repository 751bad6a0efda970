//! The switches and limits of the protocol. The service makes them from checked settings.

use std::time::Duration;

/// How a node behaves. All nodes of a cluster should have the same times.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between a leader's heartbeats.
    pub heartbeat: Duration,
    /// T: silence of the leader after which a node campaigns, and the time for which a node that
    /// hears its leader ignores other candidates. At least three heartbeats.
    pub election_timeout: Duration,
    /// Ask before campaigning (thesis §9.6).
    pub pre_vote: bool,
    /// A leader that does not hear from a majority for T steps down (thesis §6.2).
    pub check_quorum: bool,
    /// Followers pass proposals to the leader.
    pub forward: bool,
    /// Entries of one message, in bytes.
    pub max_message_bytes: usize,
    /// Messages with entries sent to one follower and not yet answered.
    pub max_inflight_messages: usize,
    /// Bytes of entries sent to one follower and not yet answered.
    pub max_inflight_bytes: usize,
    /// Bytes of writes that the disk has not finished; beyond, new entries are refused.
    pub max_unwritten_bytes: usize,
    /// Bytes of entries that a leader has and that are not committed; beyond, proposals are refused.
    pub max_uncommitted_bytes: usize,
    /// Bytes of committed entries handed over and not yet applied.
    pub max_unapplied_bytes: usize,
    /// Bytes of the newest entries that stay in memory.
    pub window_bytes: usize,
    /// How long a follower may wait for a new commit index when nothing else is sent to it.
    pub commit_delay: Duration,
}

impl Default for Config {
    fn default() -> Config {
        const MIB: usize = 1 << 20;
        Config {
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            pre_vote: true,
            check_quorum: true,
            forward: true,
            max_message_bytes: MIB,
            max_inflight_messages: 256,
            max_inflight_bytes: 8 * MIB,
            max_unwritten_bytes: 16 * MIB,
            max_uncommitted_bytes: 64 * MIB,
            max_unapplied_bytes: 16 * MIB,
            window_bytes: 32 * MIB,
            commit_delay: Duration::from_millis(10),
        }
    }
}

impl Config {
    /// The spread of election deadlines: they are uniform in `[T, T + max(T/2, 50 ms))`. With
    /// `[T, 2T)` the slower of two followers would be late more often than a fail-over allows.
    #[must_use]
    pub fn election_spread(&self) -> Duration {
        (self.election_timeout / 2).max(Duration::from_millis(50))
    }
}
