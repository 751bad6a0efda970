//! What a node hears, and what that permits.

use super::state::{Heard, Peer};
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::{
    AppendEntriesResponse, Body, Message, RequestVote, RequestVoteResponse,
};
use quorate_engine::consensus::types::{Index, Term, Time};

impl Peer {
    pub(super) fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::Received(message) => self.hear_message(now, message),
            Event::Proposed(_) => self.heard.proposed = true,
            Event::ReadRequested(id) => {
                self.reads.insert(*id, self.heartbeat);
            }
            Event::Persisted(seq) => self.hear_persisted(*seq),
            Event::DeadlinePassed => self.hear_deadline(now),
            Event::ChangeRequested(..)
            | Event::Applied(_)
            | Event::Fetched(..)
            | Event::DiskFull(_) => {}
        }
    }

    /// The timer of an election runs from the last word of the leader.
    fn hear_deadline(&mut self, now: Time) {
        self.heard.deadline = true;
        let silent = self.lease.is_none_or(|(term, _, at)| {
            term != self.newest_term() || now.since(at) >= self.timeout
        });
        self.heard.timeout |= silent;
    }

    fn hear_persisted(&mut self, seq: u64) {
        while let Some(write) = self.writes.pop_front_if(|write| write.seq <= seq) {
            self.durable_vote = (write.term, write.vote);
        }
        let pending = self.writes.iter().filter_map(|write| write.first).min();
        self.durable = pending.map_or(self.last().index, Index::prev);
    }

    fn hear_message(&mut self, now: Time, m: &Message) {
        if m.from == self.id || !self.newest_run(m) {
            return;
        }
        if let Body::Join(join) = &m.body {
            self.heard.joins.push((m.cluster, join.clone()));
        }
        if m.cluster != self.lineage {
            return;
        }
        match &m.body {
            Body::RequestVote(request) => self.hear_request(now, m, request),
            Body::RequestVoteResponse(answer) => self.hear_vote(m, answer),
            Body::AppendEntries(request) => {
                self.may_enter(m.term);
                if m.term == self.newest_term() {
                    if request.repair_for == self.hard.incarnation {
                        self.heard.repair = true;
                        self.repair = Some((m.term, request.repair_to));
                    }
                    self.lease = Some((m.term, m.from, now));
                }
            }
            Body::AppendEntriesResponse(r) => self.hear_answer(now, m, r),
            Body::TimeoutNow => {
                self.may_enter(m.term);
                let leads = |(term, leader, _)| term == m.term && leader == m.from;
                self.heard.transfer |= self.lease.is_some_and(leads);
            }
            Body::Forward(_) => self.heard.proposed = true,
            Body::NotMember(_) => self.heard.not_member = true,
            _ => return,
        }
        self.heard.messages.push(m.clone());
    }

    /// What an older run of a node said, or a twin, is not heard.
    fn newest_run(&mut self, m: &Message) -> bool {
        let newest = self.runs.entry(m.from).or_insert(m.from_incarnation);
        if newest.counter() < m.from_incarnation.counter() {
            *newest = m.from_incarnation;
        }
        *newest == m.from_incarnation
    }

    /// The newest term that the node may be in after what it heard.
    pub(super) fn newest_term(&self) -> Term {
        self.heard.terms.iter().copied().fold(self.seen.term, Term::max)
    }

    fn may_enter(&mut self, term: Term) {
        let newest = self.newest_term();
        if term > newest {
            self.heard.whole |= self.is_whole_in(newest);
            self.heard.terms.push(term);
        }
    }

    /// Who hears its leader, or leads, hears no other candidate (thesis §4.2.3), unless the leader wants
    /// an election.
    fn hear_request(&mut self, now: Time, m: &Message, request: &RequestVote) {
        let term = self.newest_term();
        let leads = self.check_quorum && self.led(term) && !self.heard.deadline;
        let follows = self.lease.is_some_and(|(of, leader, at)| {
            of == term && leader != m.from && now.since(at) < self.timeout
        }) && !self.heard.timeout
            && !self.heard.transfer;
        if (leads || follows) && !request.transfer {
            return;
        }
        if !request.pre {
            self.may_enter(m.term);
        }
        self.heard.requests.push((m.from, m.term, request.last));
    }

    fn hear_vote(&mut self, m: &Message, answer: &RequestVoteResponse) {
        if answer.pre && answer.granted {
            if answer.round == self.pre_round {
                self.pre_grants.insert(m.from);
            }
            return;
        }
        self.may_enter(m.term);
        if answer.granted && answer.round == self.round && m.term == self.seen.term {
            self.grants.insert(m.from);
        }
    }

    fn hear_answer(&mut self, now: Time, m: &Message, r: &AppendEntriesResponse) {
        self.may_enter(m.term);
        if !self.led(m.term) {
            return;
        }
        let known = self.matched.entry(m.from).or_insert((m.from_incarnation, Index::ZERO));
        if known.0 != m.from_incarnation {
            *known = (m.from_incarnation, Index::ZERO);
        }
        known.1 = known.1.max(r.matched);
        if r.abstaining {
            self.abstainers.insert(m.from);
        } else {
            self.abstainers.remove(&m.from);
        }
        let answered = self.answered.entry(m.from).or_insert((now, 0));
        *answered = (now, answered.1.max(r.round));
    }

    /// The batch is over: what was heard permits nothing more.
    pub(super) fn silence(&mut self) {
        self.heard = Heard::default();
    }
}
