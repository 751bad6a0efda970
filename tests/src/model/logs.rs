//! The log: `ClientRequest`, `HandleAppendEntriesRequest`, and what is durable of it.

use super::state::{Peer, Pending, Seen};
use super::{Action, Did, rule};
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::message::{AppendEntries, Body, Message};
use quorate_engine::consensus::ready::{RoleName, Write};
use quorate_engine::consensus::types::{Index, Term};

impl Peer {
    /// The log changes by what a leader sent, or by what this leader appends. Where the entries begin
    /// that this leader appended.
    pub(super) fn judge_log(
        &mut self,
        did: &Did<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Index>, String> {
        let Some(write) = &did.ready.write else { return Ok(None) };
        if let Some(keep) = write.keep_to {
            self.check_cut(&did.seen, keep)?;
            actions.push(Action::Truncate);
            self.truncate(keep);
        }
        let mut own = None;
        for entry in &write.append {
            let follows = entry.index == self.last().index.next();
            rule(follows && entry.term >= self.last().term, || {
                format!("{} follows {}", entry.id(), self.last())
            })?;
            self.check_entry(&did.seen, entry, actions)?;
            if self.is_own(&did.seen, entry) {
                own = own.or(Some(entry.index));
            }
            self.push(entry.clone());
        }
        Ok(own)
    }

    /// Conflicts only: the entry after `keep` has another term in what the leader sent. A leader never
    /// cuts its own log, and nobody what is committed.
    fn check_cut(&self, seen: &Seen, keep: Index) -> Result<(), String> {
        rule(!self.led(seen.term), || "a leader's log only grows".to_owned())?;
        rule(keep >= self.seen.commit, || {
            format!("a cut after {keep}, where {} is committed", self.seen.commit)
        })?;
        let Some(cut) = self.entry(keep.next()) else { return Ok(()) };
        let conflicts = |entry: &Entry| entry.index == cut.index && entry.term != cut.term;
        let contradicted = self.appends().any(|(_, append)| append.entries.iter().any(conflicts));
        rule(contradicted, || format!("{} is cut, and no leader contradicts it", cut.id()))
    }

    fn is_own(&self, seen: &Seen, entry: &Entry) -> bool {
        let between = self.batched() // elected and deposed in one batch
            && self.seen.role == RoleName::Candidate
            && self.seen.term == entry.term
            && entry.payload == Payload::Noop
            && !self.appends().any(|(_, append)| append.entries.contains(entry));
        between || seen.role == RoleName::Leader && entry.term == seen.term || self.led(entry.term)
    }

    fn check_entry(
        &self,
        seen: &Seen,
        entry: &Entry,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        if self.is_own(seen, entry) {
            let action = match &entry.payload {
                Payload::Noop => return Ok(()),
                Payload::Membership(_) => Action::Reconfigure,
                Payload::Command(_) => Action::ClientRequest,
            };
            actions.push(action);
            return rule(action != Action::ClientRequest || self.heard.proposed, || {
                format!("nobody proposed {}", entry.id())
            });
        }
        actions.push(Action::Append);
        let sent = self.appends().any(|(m, append)| {
            m.term >= self.seen.term && self.fits(append) && append.entries.contains(entry)
        });
        rule(sent, || format!("{} is appended, and no leader of the term sent it", entry.id()))
    }

    /// logOk of an append: what comes before it is here.
    fn fits(&self, append: &AppendEntries) -> bool {
        self.contains(append.prev)
    }

    pub(super) fn appends(&self) -> impl Iterator<Item = (&Message, &AppendEntries)> {
        self.heard.messages.iter().filter_map(|m| match &m.body {
            Body::AppendEntries(append) => Some((m, append)),
            _ => None,
        })
    }

    pub(super) fn note_verified(&mut self, seen: &Seen) {
        let told = if seen.term == self.seen.term { self.told_commit } else { Index::ZERO };
        let said = self.appends().filter(|(m, _)| m.term == seen.term);
        self.told_commit = said.map(|(_, append)| append.commit).fold(told, Index::max);
        self.verified = self.verified_in(seen.term);
    }

    /// How far the log is known to equal that of the leader of a term, which the node is in or leaves in
    /// this batch: not to its end, but to where the leader's words reach (§5.3).
    fn verified_in(&self, term: Term) -> Index {
        let before = if term == self.seen.term { self.verified } else { Index::ZERO };
        let said = self.appends().filter(|(m, append)| m.term == term && self.fits(append));
        let reached = said.map(|(_, append)| {
            let equal = |entry: &&Entry| self.contains(entry.id());
            Index(append.prev.index.0 + append.entries.iter().take_while(equal).count() as u64)
        });
        reached.fold(before, Index::max)
    }

    /// Whether all that the leader of a term counted of this node is on its disk.
    pub(super) fn is_whole_in(&self, term: Term) -> bool {
        let here = self.verified_in(term).min(self.durable);
        self.repair.is_some_and(|(of, to)| of == term && here >= to)
    }

    /// An abstainer votes again once it is whole in its term, or was in one that it left in this batch.
    pub(super) fn judge_repair(&self, seen: &Seen) -> Result<(), String> {
        let repaired = self.seen.abstaining && !seen.abstaining;
        rule(!repaired || self.heard.whole || self.is_whole_in(seen.term), || {
            let here = self.verified.min(self.durable);
            format!("an abstainer votes again with {here} of {:?}", self.repair)
        })
    }

    /// The write is on its way to the disk.
    pub(super) fn note_writes(&mut self, did: &Did<'_>) {
        let Some(write) = &did.ready.write else { return };
        if let Some(keep) = write.keep_to {
            for pending in &mut self.writes {
                pending.first = pending.first.filter(|first| *first <= keep);
            }
        }
        self.writes.push_back(self.pending(write, &did.seen));
    }

    fn pending(&self, write: &Write, seen: &Seen) -> Pending {
        let (term, vote) = match (&write.state, self.writes.back()) {
            (Some(state), _) => (state.term, state.voted_for),
            (None, Some(before)) => (before.term, before.vote),
            (None, None) => self.durable_vote,
        };
        debug_assert!(term <= seen.term, "what is written is not newer than the node");
        Pending { seq: write.seq, term, vote, first: write.append.first().map(|e| e.index) }
    }

    /// The batch is taken over.
    pub(super) fn settle(&mut self, did: &Did<'_>) {
        if did.seen.term != self.seen.term || did.seen.role != RoleName::Leader {
            self.matched.clear();
            self.answered.clear();
        }
        if did.seen.term != self.seen.term {
            self.grants.clear();
            self.pre_grants.clear();
        }
        self.note_rounds(did);
        self.seen = did.seen.clone();
        if self.lease.is_some_and(|(term, ..)| term < self.seen.term) {
            self.lease = None;
        }
        self.silence();
    }

    /// The rounds of the questions that left, which answers must name.
    fn note_rounds(&mut self, did: &Did<'_>) {
        for m in super::sent::all(did.ready) {
            match &m.body {
                Body::RequestVote(r) if r.pre && did.seen.role == RoleName::Candidate => {
                    if self.pre_round != r.round {
                        self.pre_grants.clear();
                    }
                    self.pre_round = r.round;
                }
                Body::RequestVote(r) if !r.pre && m.term == did.seen.term => self.round = r.round,
                Body::AppendEntries(a) => self.heartbeat = self.heartbeat.max(a.round),
                _ => {}
            }
        }
        if did.seen.term > Term::ZERO && did.seen.role == RoleName::Leader {
            self.pre_round = 0;
        }
    }
}
