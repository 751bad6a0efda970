//! A node that takes what its leader sends (§5.3), or waits for a leader.

use super::command::Entry;
use super::message::{AppendEntries, AppendEntriesResponse, AppendVerdict, Body};
use super::ready::Notice;
use super::state::{State, Transition};
use super::types::{EntryId, Index, NodeId, Term};

/// What a follower knows about its leader's log.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// The term that the rest is about.
    term: Term,
    /// Known to equal the leader's log up to here: the highest `prev` and what came with it.
    verified: Index,
    /// The heartbeat that was answered last, and with what.
    answered: (u64, Index),
    /// With this much durable, this run has all that it ever acknowledged.
    repair_to: Option<Index>,
}

impl Follower {
    /// Entries, or a heartbeat, of the leader of this term.
    pub fn on_append(&mut self, st: &mut State, from: NodeId, req: AppendEntries) -> Transition {
        if !self.hear(st, from, &req) {
            return Transition::Stay;
        }
        let (round, commit, empty) = (req.round, req.commit, req.entries.is_empty());
        if !st.log.contains(req.prev) && !mutant!("b4_prev_unchecked") {
            let hint = st.log.not_above(req.prev);
            self.answer_now(st, from, AppendVerdict::Mismatch, hint, round);
            return Transition::Stay;
        }
        self.verified = self.verified.max(req.prev.index);
        let verdict = self.take(st, req);
        let known =
            if mutant!("b2_commit_unverified") { st.log.last().index } else { self.verified };
        st.log.commit_to(commit.min(known));
        self.answer(st, from, verdict, round, empty);
        self.end_repair(st);
        Transition::Stay
    }

    /// Something became durable: perhaps the last of what was missing here.
    pub fn on_persisted(&mut self, st: &mut State) {
        self.end_repair(st);
    }

    /// Notes a sign of life. `false` when there can't be such a leader.
    fn hear(&mut self, st: &mut State, from: NodeId, req: &AppendEntries) -> bool {
        if !st.leader.is_zero() && st.leader != from {
            let (term, leader) = (st.term(), st.leader);
            st.alarm(format!("{leader} and {from} both lead in term {term}"));
            return false;
        }
        if self.term != st.term() {
            *self = Follower { term: st.term(), ..Follower::default() };
        }
        st.leader = from;
        st.heard_at = Some(st.now);
        st.reset_election();
        if req.repair_for == st.hard.incarnation {
            self.note_repair(st, req.repair_to);
        }
        true
    }

    /// The leader says what repairs this run. If the log ends before that, it lost what an earlier run
    /// acknowledged, and the node did not know. Once repaired it never ends before that again: what a
    /// leader has is not cut in its term.
    fn note_repair(&mut self, st: &mut State, to: Index) {
        if !st.hard.abstaining && st.log.last().index < to {
            st.hard.abstaining = true;
            st.out.write_hard_state();
            st.notice(Notice::Abstaining(true));
        }
        if st.hard.abstaining {
            self.repair_to = Some(to);
        }
    }

    /// Takes the entries, cutting what contradicts them.
    fn take(&mut self, st: &mut State, req: AppendEntries) -> AppendVerdict {
        let AppendEntries { prev, mut entries, .. } = req;
        if st.disk_full && !entries.is_empty() {
            return AppendVerdict::DiskFull;
        }
        let verified = Index(prev.index.0 + entries.len() as u64);
        if mutant!("b3_prev_is_cut_too") && !st.truncate(prev.index) {
            return AppendVerdict::Mismatch;
        }
        let is_news =
            |e: &Entry| st.log.term(e.index) != Some(e.term) || mutant!("b3_delete_then_append");
        let news = entries.iter().position(is_news);
        if let Some(at) = news {
            if st.out.unwritten_bytes() > st.config.max_unwritten_bytes {
                return AppendVerdict::Busy;
            }
            entries.drain(..at);
            let keep = entries[0].index.prev();
            if keep < st.log.last().index && !st.truncate(keep) {
                return AppendVerdict::Mismatch;
            }
            st.append(entries);
        }
        self.verified = self.verified.max(verified);
        AppendVerdict::Matched
    }

    /// What is durable is acknowledged at once, so that a slow disk does not look dead; the rest once
    /// it is durable too. A heartbeat that says nothing new is answered once.
    fn answer(
        &mut self,
        st: &mut State,
        to: NodeId,
        verdict: AppendVerdict,
        round: u64,
        empty: bool,
    ) {
        let matched = self.verified.min(st.log.durable());
        let all = matched == self.verified;
        let news = self.answered != (round, matched);
        if verdict != AppendVerdict::Matched || (news && (all || empty || self.answered.0 != round))
        {
            self.answer_now(st, to, verdict, EntryId::ZERO, round);
        }
        if !all && !empty && verdict == AppendVerdict::Matched {
            let body = self.response(st, verdict, self.verified, EntryId::ZERO, round);
            st.send_when_durable(to, body);
        }
    }

    fn answer_now(
        &mut self,
        st: &mut State,
        to: NodeId,
        verdict: AppendVerdict,
        hint: EntryId,
        round: u64,
    ) {
        let whole = mutant!("b4_ack_to_own_end");
        let matched = if whole { st.log.durable() } else { self.verified.min(st.log.durable()) };
        let matched = if mutant!("a2_all_is_acknowledged") { self.verified } else { matched };
        // A follower that asks for something else waits for the leader's next question, of any round.
        self.answered =
            if verdict == AppendVerdict::Matched { (round, matched) } else { (0, Index::ZERO) };
        let body = self.response(st, verdict, matched, hint, round);
        st.send(to, body);
    }

    fn response(
        &self,
        st: &State,
        verdict: AppendVerdict,
        matched: Index,
        hint: EntryId,
        round: u64,
    ) -> Body {
        Body::AppendEntriesResponse(AppendEntriesResponse {
            verdict,
            matched,
            last_index: st.log.last().index,
            hint,
            round,
            abstaining: st.hard.abstaining,
        })
    }

    /// All that this node ever acknowledged is here again: it may vote.
    fn end_repair(&mut self, st: &mut State) {
        let early = mutant!("d10_repair_ends_early");
        let whole =
            |to| early || (self.term == st.term() && self.verified.min(st.log.durable()) >= to);
        if st.hard.abstaining && self.repair_to.is_some_and(whole) {
            st.hard.abstaining = false;
            st.hard.joining = false;
            st.note_peers();
            st.out.write_hard_state();
            st.notice(Notice::Abstaining(false));
        }
    }
}
