//! Terms, votes and roles: `UpdateTerm`, `Timeout`, `HandleRequestVoteRequest`, `BecomeLeader`.

use super::state::{Peer, Seen, quorum};
use super::{Action, Did, rule};
use quorate_engine::consensus::command::Payload;
use quorate_engine::consensus::membership::Membership;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Index, NodeId, Term};

type Check = Result<(), String>;

impl Peer {
    /// currentTerm grows by what was heard, or by one for an election; votedFor is set once a term.
    pub(super) fn judge_term(&mut self, did: &Did<'_>, actions: &mut Vec<Action>) -> Check {
        let (old, new) = (&self.seen, &did.seen);
        rule(new.term >= old.term, || {
            format!("currentTerm only grows: {}, {}", old.term, new.term)
        })?;
        if new.term == old.term {
            if new.vote == old.vote {
                return Ok(());
            }
            rule(old.vote.is_zero(), || {
                format!("votedFor is set once in t{}: {}, then {}", old.term, old.vote, new.vote)
            })?;
            rule(new.vote != self.id, || "Timeout enters a new term".to_owned())?;
            actions.push(Action::Grant);
            return self.check_grant(did, new.vote, new.term);
        }
        actions.push(Action::UpdateTerm);
        if new.vote == self.id {
            actions.push(Action::Timeout);
            return self.check_timeout(did);
        }
        rule(self.heard.terms.contains(&new.term), || {
            format!("UpdateTerm takes a term that was heard, not {}", new.term)
        })?;
        if !new.vote.is_zero() {
            actions.push(Action::Grant);
            return self.check_grant(did, new.vote, new.term);
        }
        Ok(())
    }

    /// grant ≡ term = currentTerm ∧ logOk ∧ votedFor ∈ {Nil, j}; no vote while it abstains.
    fn check_grant(&self, did: &Did<'_>, to: NodeId, term: Term) -> Check {
        let last = self.last();
        let asked = |r: &&(NodeId, Term, _)| r.0 == to && r.1 == term;
        let asked: Vec<_> = self.heard.requests.iter().filter(asked).collect();
        rule(!asked.is_empty(), || {
            format!("a vote for {to} in t{term} that may not be asked for")
        })?;
        let fresh = |last| asked.iter().any(|r| r.2 >= last);
        let appended = self.batched() && did.ready.write.is_some();
        rule(fresh(last) || appended, || {
            format!("logOk: {to} has {}, this voter {last}", asked[0].2)
        })?;
        let abstained = self.seen.abstaining && did.seen.abstaining;
        rule(!abstained, || format!("an abstainer votes for {to}"))
    }

    /// More than one message in one batch: their order within it can't be seen.
    pub(super) fn batched(&self) -> bool {
        self.heard.messages.len() > 1
    }

    /// An election begins after a timeout, or when the leader asks for it; with pre-votes only when a
    /// quorum would vote (thesis §9.6).
    fn check_timeout(&self, did: &Did<'_>) -> Check {
        let membership = self.in_force();
        let alone = membership.all_voters().all(|m| m.id == self.id);
        let timer = self.heard.timeout && (!self.pre_vote || alone);
        let asked = |id: NodeId| id == self.id || self.pre_grants.contains(&id);
        let pre = self.pre_vote && self.pre_round > 0 && quorum(membership, asked);
        rule(timer || pre || self.heard.transfer, || {
            format!("Timeout to t{} without a timeout or a quorum of pre-votes", did.seen.term)
        })?;
        let base = std::iter::once(&self.seen.term).chain(&self.heard.terms);
        let mut base = base.map(|term| term.next());
        rule(base.any(|term| term == did.seen.term), || {
            format!("Timeout enters the next term, not {}", did.seen.term)
        })?;
        self.check_campaigner(did)
    }

    /// Learners, strangers and abstainers are no candidates. Who is being removed may be one until
    /// that is committed (thesis §4.2.2).
    fn check_campaigner(&self, did: &Did<'_>) -> Check {
        let committed = self.configuration(self.seen.commit).1;
        let old = [self.in_force(), committed].into_iter();
        let appended = did.ready.write.iter().flat_map(|write| &write.append); // in the same batch
        let new = appended.filter_map(|entry| match &entry.payload {
            Payload::Membership(membership) => Some(membership),
            _ => None,
        });
        let voter = old.chain(new).any(|membership| membership.is_voter(self.id));
        rule(voter, || "a candidate is a voter".to_owned())?;
        rule(!did.seen.abstaining, || "an abstainer is no candidate".to_owned())
    }

    /// state changes only as an election goes.
    pub(super) fn judge_role(&mut self, did: &Did<'_>, actions: &mut Vec<Action>) -> Check {
        let (old, new) = (&self.seen, &did.seen);
        let same = old.role == new.role && old.term == new.term;
        if new.abstaining != old.abstaining {
            rule(!new.abstaining || self.heard.repair, || {
                "a node begins to abstain when it starts, or when its leader says what it lost"
                    .to_owned()
            })?;
            actions.push(if new.abstaining { Action::Abstain } else { Action::Repaired });
        }
        match new.role {
            RoleName::Follower if old.role != RoleName::Follower => {
                actions.push(Action::Follow);
                let deposed = old.role == RoleName::Leader && old.term == new.term;
                let lease = self.check_quorum && self.heard.deadline;
                rule(!deposed || lease, || "a leader follows in its own term".to_owned())
            }
            RoleName::Candidate if !same && self.is_pre(did) => {
                actions.push(Action::PreVote);
                rule(old.role != RoleName::Leader || self.batched(), || {
                    "a leader is no candidate".to_owned()
                })?;
                rule(self.heard.timeout, || "a pre-vote without a timeout".to_owned())
            }
            RoleName::Leader if !self.led(new.term) => {
                actions.push(Action::BecomeLeader);
                self.check_election(did)
            }
            _ => Ok(()),
        }
    }

    /// No term was entered: the questions are pre-votes.
    fn is_pre(&self, did: &Did<'_>) -> bool {
        did.seen.vote != self.id
            || did.seen.term == self.seen.term && self.seen.role != RoleName::Candidate
    }

    /// `BecomeLeader`: votesGranted ∈ Quorum of each half, its own vote durable; it begins with an entry
    /// of its own (§8).
    fn check_election(&mut self, did: &Did<'_>) -> Check {
        let term = did.seen.term;
        rule(did.seen.vote == self.id, || "a leader voted for itself".to_owned())?;
        let own = self.durable_vote == (term, self.id);
        let voted = |id: NodeId| {
            if id == self.id { own } else { self.seen.term == term && self.grants.contains(&id) }
        };
        rule(quorum(self.in_force(), voted), || {
            format!("BecomeLeader in t{term} without a quorum of votes: {:?}", self.grants)
        })?;
        self.check_campaigner(did)?;
        let begins = did
            .ready
            .write
            .as_ref()
            .and_then(|write| write.append.iter().find(|entry| entry.term == term));
        rule(begins.is_some_and(|entry| entry.payload == Payload::Noop), || {
            "a reign begins with an entry of its own".to_owned()
        })?;
        self.quorum_since = did.now;
        Ok(())
    }

    /// A leader that a majority does not answer for two timeouts has stepped down (thesis §6.2).
    pub(super) fn judge_quorum(&self, did: &Did<'_>) -> Check {
        let (now, reach) = (did.now, self.timeout * 2);
        let leads = self.led(did.seen.term) && did.seen.role == RoleName::Leader;
        if !leads || !self.check_quorum || !self.heard.deadline {
            return Ok(());
        }
        let recent = |id| {
            let answered = self.answered.get(&id).map(|a| a.0);
            id == self.id || answered.is_some_and(|at| now.since(at) <= reach)
        };
        let settling = now.since(self.quorum_since) <= reach;
        rule(settling || quorum(self.in_force(), recent), || {
            "a leader goes on without hearing from a quorum".to_owned()
        })
    }

    /// A read is allowed by a leader that has committed in its term and proved since that it leads
    /// (thesis §6.4).
    pub(super) fn judge_reads(&mut self, did: &Did<'_>, own: Option<Index>) -> Check {
        let before = own.map_or(self.last().index, Index::prev);
        for (id, result) in &did.ready.reads {
            let asked = self.reads.remove(id);
            let (Ok(index), Some(since), RoleName::Leader) = (result, asked, did.seen.role) else {
                continue;
            };
            self.check_read(&did.seen, *index, since, before)?;
        }
        Ok(())
    }

    /// A quorum said so of the configuration in force, or of the one in force `before` this batch changed it.
    fn check_read(&self, seen: &Seen, index: Index, since: u64, before: Index) -> Check {
        let own = self.is_of_term(seen.commit, seen.term);
        rule(own, || "a read before the leader committed in its term".to_owned())?;
        rule(index <= seen.commit, || format!("a read at {index}, beyond the commit index"))?;
        let proved =
            |id| id == self.id || self.answered.get(&id).is_some_and(|(_, round)| *round > since);
        let agreed =
            quorum(self.in_force(), proved) || quorum(self.configuration(before).1, proved);
        rule(agreed, || "a read without proof of leadership".to_owned())
    }

    /// A node leaves or joins as it was told, and keeps its term and vote in the lineage.
    pub(super) fn judge_switch(&mut self, did: &Did<'_>, actions: &mut Vec<Action>) -> Check {
        let Some(next) = &did.ready.switch else { return Ok(()) };
        actions.push(Action::Switch);
        self.switching = Some(next.clone());
        if next.joining {
            let asked = |(cluster, _): &(_, _)| *cluster == next.lineage;
            rule(self.heard.joins.iter().any(asked), || "a node joins uninvited".to_owned())?;
            rule(next.abstaining, || "who joins abstains until it is caught up".to_owned())?;
            let former = self.hard.former.as_ref().filter(|f| f.lineage == next.lineage);
            let kept = former.map_or((Term::ZERO, NodeId::ZERO), |f| (f.term, f.voted_for));
            return rule((next.term, next.voted_for) == kept, || {
                "who comes back has its old term and vote".to_owned()
            });
        }
        let kept = next.former.as_ref().is_some_and(|f| {
            (f.lineage, f.term, f.voted_for) == (self.lineage, did.seen.term, did.seen.vote)
        });
        rule(kept, || "who leaves keeps term and vote".to_owned())?;
        let settled = self.configuration(did.seen.commit.min(self.durable)).1;
        let removed = removed(settled, self.id);
        let told = self.heard.not_member || self.heard.deadline && self.hard.joining;
        rule(removed || told, || "a member leaves that was not removed".to_owned())
    }
}

fn removed(membership: &Membership, id: NodeId) -> bool {
    !membership.is_joint() && !membership.contains(id)
}
