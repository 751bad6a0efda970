//! Breadth-first search through all that can happen to a few nodes that run the real core, on the disk and
//! under the rules of the other tests. Chance (`it/random.rs`, `sim`) goes far and misses corners; this
//! goes not far and misses none. A fault comes with the shortest way to it.
//!
//! A *world* is a cluster, a clock for each node, and a budget of what may go wrong; an *action* is one
//! thing that happens in it; a *scope* says where to begin and what may happen. After every action the
//! invariants of the core, the rules of `safety` and `callers`, and the reference model are checked.
//!
//! What is one action here: a message arrives, overtakes those before it, comes twice, or is lost; a
//! deadline passes; a caller proposes, reads, or asks for a change; a write becomes durable; a node
//! crashes with any part of its writes done, or starts again. A pair of nodes whose messages do not
//! arrive for long is a partition, without costing anything. One event is one batch.
//!
//! Equal states are gone through once, so what is left out of a fingerprint must not decide what happens:
//!
//! * *Time.* Nodes have clocks of their own that move only when their deadlines pass, and to just before
//!   that when somebody asks for their vote, so only distances to the own clock matter. Those are taken
//!   in steps of half an election timeout, which is also the time between heartbeats: jitter is less than
//!   a step, and every limit is a number of steps. From one and a half timeouts on all distances are one;
//!   longer limits (ten timeouts, for those who leave or join) are beyond every budget.
//! * *Chance.* The random part of a run's number tells twins apart, and there are none. The generator of
//!   the core decides about jitter.
//! * *The model's memory.* It mirrors what nodes do. If two ways to one state ever left it with different
//!   memories, only the first would be judged.
//! * *What entries hold.* Ids stand for entries in logs, because two entries of one id are a fault.
//!
//! All else counts, also what only rules remember (who led when, what was committed and acknowledged), and
//! numbers of rounds and writes as they are: states that differ in these alone are counted apart. A
//! fingerprint has 64 bits: of 20 million states two are taken for one with a probability of 1 in 100,000.

pub mod action;
pub mod explore;
pub mod fingerprint;
pub mod scope;
pub mod scopes;
pub mod sights;
pub mod world;
