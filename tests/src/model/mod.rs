//! A reference model of one node, written from the published specification: Raft's TLA+ text (its
//! actions give the names below), the paper's section 6, and the thesis for pre-vote, the lease of
//! check-quorum, learners and leadership transfer. Nothing of it comes from the engine.
//!
//! It is told what a node hears and then what the node did, and says which actions of the
//! specification that was, or which rule was broken. Every message may be lost, so hearing something
//! permits a step and seldom asks for one. It knows one node at a time and nothing of the others but
//! what they said: that a cluster of such nodes is safe is what the specification proves.
//!
//! A batch is `heard` for each event, then `did` once with what the core asked for. `started` begins
//! a run, after a crash or a change of lineage; `forgotten` when a directory is wiped or repaired by
//! hand.

mod commit;
mod elections;
mod hearing;
mod logs;
mod members;
mod sent;
mod state;

pub use state::{Peer, Seen};

use quorate_engine::consensus::command::Entry;
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::raft::Raft;
use quorate_engine::consensus::ready::{HardState, Ready};
use quorate_engine::consensus::types::{Index, Time};
use std::collections::BTreeMap;

/// What a node did, by the names of the specification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// `UpdateTerm`.
    UpdateTerm,
    /// Asks whether it would be elected (thesis §9.6).
    PreVote,
    /// `Timeout`, `RequestVote`: a candidate of a new term, with its own vote.
    Timeout,
    /// `HandleRequestVoteRequest` with a grant.
    Grant,
    /// `BecomeLeader`, with the first entry of the reign.
    BecomeLeader,
    /// A leader or candidate follows.
    Follow,
    /// `ClientRequest`.
    ClientRequest,
    /// A new configuration by the leader (§6).
    Reconfigure,
    /// `HandleAppendEntriesRequest`: entries were taken.
    Append,
    /// The same, with a conflict.
    Truncate,
    /// `AdvanceCommitIndex`, by the leader or as it tells.
    Commit,
    /// A voter that was rolled back votes no more.
    Abstain,
    /// An abstainer votes again.
    Repaired,
    /// The node takes up another lineage.
    Switch,
}

/// The actions that a batch was, or the rule that it broke.
pub type Verdict = Result<Vec<Action>, String>;

/// What a batch did.
#[derive(Debug)]
pub struct Did<'a> {
    /// When.
    pub now: Time,
    /// How the node stands after it.
    pub seen: Seen,
    /// What it asks for.
    pub ready: &'a Ready,
}

/// The model of all nodes, by place.
#[derive(Clone, Debug, Default)]
pub struct Model {
    peers: BTreeMap<u64, Peer>,
}

impl Model {
    /// A run begins with what is durable. `commit`: where the core begins.
    ///
    /// # Errors
    /// The rule of the specification that does not hold.
    pub fn started(
        &mut self,
        place: u64,
        config: &Config,
        hard: &HardState,
        log: &[Entry],
        commit: Index,
    ) -> Result<(), String> {
        let before = self.peers.remove(&place);
        let peer = Peer::start(config, hard, log, commit);
        let kept = before.map_or(Ok(()), |before| before.restart(&peer));
        self.peers.insert(place, peer);
        kept.map_err(|rule| format!("the model forbids: {rule}"))
    }

    /// An event that the node is about to be stepped with.
    pub fn heard(&mut self, place: u64, now: Time, event: &Event) {
        if let Some(peer) = self.peers.get_mut(&place) {
            peer.hear(now, event);
        }
    }

    /// The batch is over: `Raft::ready` was called, and `ready` is complete.
    ///
    /// # Errors
    /// The rule of the specification that does not hold.
    pub fn did(&mut self, place: u64, now: Time, core: &Raft, ready: &Ready) -> Verdict {
        let Some(peer) = self.peers.get_mut(&place) else { return Ok(Vec::new()) };
        let did = Did { now, seen: Seen::of(core), ready };
        peer.judge(&did).map_err(|rule| format!("the model forbids: {rule}"))
    }

    /// The place begins anew: its directory was wiped, or damaged.
    pub fn forgotten(&mut self, place: u64) {
        self.peers.remove(&place);
    }

    /// What the model knows of a node.
    #[must_use]
    pub fn peer(&self, place: u64) -> Option<&Peer> {
        self.peers.get(&place)
    }
}

impl Peer {
    /// Judges a batch, part by part, and takes over the new state.
    fn judge(&mut self, did: &Did<'_>) -> Verdict {
        let mut actions = Vec::new();
        self.judge_term(did, &mut actions)?;
        self.judge_role(did, &mut actions)?;
        let new_from = self.judge_log(did, &mut actions)?;
        self.note_verified(&did.seen);
        self.judge_repair(&did.seen)?;
        self.judge_commit(did, new_from, &mut actions)?;
        self.judge_members(new_from, did.seen.commit, &mut actions)?;
        if actions.contains(&Action::Reconfigure) {
            self.quorum_since = did.now;
        }
        self.judge_quorum(did)?;
        self.note_writes(did);
        self.judge_sent(did)?;
        self.judge_applied(did)?;
        self.judge_reads(did, new_from)?;
        self.judge_switch(did, &mut actions)?;
        self.settle(did);
        Ok(actions)
    }
}

/// A rule that holds, or a sentence.
pub(crate) fn rule(condition: bool, sentence: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(sentence()) }
}
