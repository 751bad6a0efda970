//! The protocol: Raft, pure and deterministic.
//!
//! A node is fed events with `Raft::step(now, Event)` and says what is to be done with
//! `Raft::ready() -> Ready`. It has no I/O, thread, clock, chance, logger or hash map, and it never
//! fails: time and seed are arguments, and whatever comes in is either used or dropped.
//!
//! # Raft in a page
//!
//! Nodes keep a log of entries. In each *term* at most one node leads: it needs the votes of a
//! majority (§5.2), and a vote is durable before it is given. The leader puts what is proposed into
//! its log and sends it to the others (§5.3); what a majority holds durably is *committed* and can't
//! be lost, because a candidate whose log lacks it finds no majority (§5.4.1). A new leader begins
//! with an entry of its own and counts only entries of its own term (§5.4.2, §8). Every node applies
//! committed entries in order.
//!
//! # What is added
//!
//! * Pre-vote, check-quorum and vote protection (thesis §9.6, §6.2, §4.2.3): a node that was away,
//!   or was removed, does not disturb the others.
//! * Joint consensus for every change of voters, in force when appended (§6, thesis §4.3); a new node
//!   is a learner until it has caught up (thesis §4.2.1).
//! * The leader writes its disk while it sends, and counts itself only when durable (thesis §10.2.1).
//! * Appends are pipelined, with hints where logs disagree (§5.3).
//! * Reads by ReadIndex, on leader and followers (thesis §6.4).
//! * Lineages: a node outside any cluster leads its own history; joining and leaving are durable
//!   switches from one history to another.
//! * A log that was shortened by anything but a leader *abstains* from votes until it is whole again.
//!
//! # What is left out
//!
//! Snapshots: the log is never cut at its beginning.
//!
//! # Reading order
//!
//! `types`, `command`, `membership`, `message`, `event`, `ready`: the words. `quorum`, `log`,
//! `progress`: leaves, each for itself. `outbox`, `state`: what all roles share, and the gate to the
//! disk. `election`, `follower`, `candidate`, `leader`: the rules. `requests`: callers at a node that
//! does not lead. `join`: strangers. `role`, `raft`: who hears what. `invariants`: why it is safe.

pub mod command;
pub mod config;
pub mod event;
pub mod membership;
pub mod message;
pub mod raft;
pub mod ready;
pub mod refusal;
pub mod types;

mod candidate;
mod election;
mod follower;
mod invariants;
mod join;
mod leader;
mod log;
mod outbox;
mod progress;
mod quorum;
mod requests;
mod role;
mod state;
