//! One core whose peers are played by the test: it is told what they say, and what it says is read.

use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::{Command, Entry, Payload};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::{
    AppendEntriesResponse, AppendVerdict, Body, Message, RequestVoteResponse,
};
use quorate_engine::consensus::raft::{Raft, Restored};
use quorate_engine::consensus::ready::{Notice, Ready, RoleName};
use quorate_engine::consensus::types::{
    ClusterId, EntryId, Incarnation, Index, NodeId, Origin, Term, Time,
};
use quorate_tests::cluster::CLUSTER;
use quorate_tests::disk::Disk;
use quorate_tests::scene;
use std::sync::Arc;

/// Node 1, and what it asked for.
pub(super) struct Lone {
    pub(super) core: Raft,
    pub(super) now: Time,
    /// Messages that left.
    pub(super) sent: Vec<Message>,
    /// What was handed to the state machine, by index.
    pub(super) applied: Vec<u64>,
    /// What it wants to read, the newest last.
    pub(super) fetches: Vec<quorate_engine::consensus::ready::Fetch>,
    /// It stopped, and why.
    pub(super) alarm: Option<String>,
    /// Writes that are not reported durable yet.
    pub(super) writes: Vec<u64>,
    /// The disk reports when it is told.
    pub(super) slow: bool,
    deadline: Time,
}

/// Without pre-votes: elections begin with the vote.
pub(super) fn config() -> Config {
    Config { pre_vote: false, ..Config::default() }
}

/// A log that begins with the configuration of these voters.
pub(super) fn begun(voters: &[u64], outgoing: &[u64]) -> Restored {
    let first = scene::membership(1, voters, outgoing, &[]);
    let entry =
        Entry { index: Index(1), term: Term(1), payload: Payload::Membership(Arc::new(first)) };
    let mut state = scene::state(1, CLUSTER);
    state.term = Term(1);
    Disk::new(state, vec![entry], Index(1)).restored(Index::ZERO, ClusterId(99))
}

impl Lone {
    pub(super) fn new(config: Config, mut restored: Restored) -> Lone {
        restored.state.incarnation = Incarnation(1 << 40 | 1);
        let now = Time(1_000_000_000);
        let core = Raft::new(config, restored, 7, now);
        let mut lone = Lone {
            core,
            now,
            sent: Vec::new(),
            applied: Vec::new(),
            fetches: Vec::new(),
            alarm: None,
            writes: Vec::new(),
            slow: false,
            deadline: Time::NEVER,
        };
        lone.obey();
        lone
    }

    pub(super) fn step(&mut self, event: Event) {
        self.core.step(self.now, event);
        self.obey();
    }

    /// Does what the core asks for, and reports writes at once unless the disk is slow.
    fn obey(&mut self) {
        loop {
            let ready = self.core.ready();
            self.take(ready);
            let done = if self.slow { None } else { self.writes.last().copied() };
            let Some(seq) = done else { return };
            self.writes.clear();
            self.core.step(self.now, Event::Persisted(seq));
        }
    }

    fn take(&mut self, ready: Ready) {
        self.deadline = ready.deadline;
        self.sent.extend(ready.messages);
        self.fetches.extend(ready.fetch);
        if let Some(write) = ready.write {
            self.writes.push(write.seq);
            self.sent.extend(write.after);
        }
        self.applied.extend(ready.apply.iter().map(|entry| entry.index.0));
        let alarm = |notice: &Notice| match notice {
            Notice::SafetyAlarm(text) => Some(text.clone()),
            _ => None,
        };
        self.alarm = self.alarm.take().or(ready.notices.iter().find_map(alarm));
    }

    /// The clock jumps to what the core waits for.
    pub(super) fn wait(&mut self) {
        self.now = self.now.max(self.deadline);
        self.step(Event::DeadlinePassed);
    }

    pub(super) fn hear(&mut self, from: u64, body: Body) {
        let message = scene::message(from, 1, self.core.status().term, body);
        self.step(Event::Received(message));
    }

    /// The round of the votes that were asked for last.
    fn round(&self) -> u64 {
        let round = |m: &Message| match &m.body {
            Body::RequestVote(request) => Some(request.round),
            _ => None,
        };
        self.sent.iter().rev().find_map(round).unwrap_or(0)
    }

    /// Campaigns, and is granted the votes of these.
    pub(super) fn campaign(&mut self, votes: impl IntoIterator<Item = u64>) {
        self.wait();
        let round = self.round();
        for voter in votes {
            let answer = RequestVoteResponse { round, pre: false, granted: true };
            self.hear(voter, Body::RequestVoteResponse(answer));
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.core.status().role == RoleName::Leader
    }

    /// A follower says that it has everything up to there.
    pub(super) fn ack(&mut self, from: u64, matched: u64) {
        self.answer(from, AppendVerdict::Matched, matched, EntryId::ZERO);
    }

    pub(super) fn answer(
        &mut self,
        from: u64,
        verdict: AppendVerdict,
        matched: u64,
        hint: EntryId,
    ) {
        let last_index = Index(matched.max(hint.index.0));
        let body = AppendEntriesResponse {
            verdict,
            matched: Index(matched),
            last_index,
            hint,
            round: 0,
            abstaining: false,
        };
        self.hear(from, Body::AppendEntriesResponse(body));
    }

    pub(super) fn propose(&mut self, seq: u64) {
        let origin = Origin { node: NodeId(1), seq: 1 << 40 | seq };
        let command: Command = NewEntry::new(b"x").encode(origin, 1 << 20).expect("small");
        self.step(Event::Proposed(vec![command]));
    }
}
