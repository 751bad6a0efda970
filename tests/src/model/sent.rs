//! What a node sends: only what is so, and only when the disk holds what it says.

use super::state::Peer;
use super::{Did, rule};
use quorate_engine::consensus::command::Entry;
use quorate_engine::consensus::message::{
    AppendEntries, AppendEntriesResponse, AppendVerdict, Body, Message, RequestVote,
    RequestVoteResponse,
};
use quorate_engine::consensus::ready::{Ready, RoleName};
use quorate_engine::consensus::types::{EntryId, Index};

type Check = Result<(), String>;

/// All messages of a batch: those that may leave at once, and those that wait for its write.
pub(super) fn all(ready: &Ready) -> impl Iterator<Item = &Message> {
    ready.messages.iter().chain(ready.write.iter().flat_map(|write| &write.after))
}

impl Peer {
    /// The messages of a batch.
    pub(super) fn judge_sent(&self, did: &Did<'_>) -> Check {
        for m in &did.ready.messages {
            self.check_gate(m)?;
            self.check_message(did, m, self.durable)?;
        }
        let waiting = did.ready.write.iter().flat_map(|write| &write.after);
        waiting.into_iter().try_for_each(|m| self.check_message(did, m, self.last().index))
    }

    /// What leaves at once speaks of a term, and of a vote, that is durable.
    fn check_gate(&self, m: &Message) -> Check {
        let (term, vote) = self.durable_vote;
        let holds = match &m.body {
            Body::RequestVoteResponse(r) if r.pre => true,
            Body::RequestVoteResponse(r) if r.granted => (term, vote) == (m.term, m.to),
            Body::RequestVote(r) if r.pre => true,
            Body::RequestVote(_) => (term, vote) == (m.term, self.id),
            Body::AppendEntries(_) => term >= m.term,
            Body::AppendEntriesResponse(_) | Body::RequestVoteResponse(_) => term >= m.term,
            _ => true,
        };
        rule(holds, || {
            format!("it says t{} to {} while t{term} vote={vote} is durable", m.term, m.to)
        })
    }

    /// A message of the term that the node is in; what it said before, in the same batch, is not seen.
    fn check_message(&self, did: &Did<'_>, m: &Message, durable: Index) -> Check {
        if m.cluster != self.lineage {
            return Ok(());
        }
        match &m.body {
            Body::RequestVote(r) => self.check_candidacy(did, m, r),
            Body::RequestVoteResponse(r) => self.check_answer(did, m, r),
            _ if m.term != did.seen.term => Ok(()),
            Body::AppendEntries(a) => self.check_append(did, a),
            Body::AppendEntriesResponse(r) => self.check_acknowledgement(r, durable),
            Body::TimeoutNow => {
                let leads = did.seen.role == RoleName::Leader || self.led(m.term);
                rule(leads, || "only a leader hands over".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_candidacy(&self, did: &Did<'_>, m: &Message, r: &RequestVote) -> Check {
        let expected = if r.pre { did.seen.term.next() } else { did.seen.term };
        if m.term != expected {
            return rule(m.term < expected, || format!("a request for votes in t{}", m.term));
        }
        rule(r.last == self.last() || self.batched(), || {
            format!("a candidate says that its log ends at {}, not {}", r.last, self.last())
        })?;
        let voted = r.pre || did.seen.vote == self.id;
        rule(voted, || "a candidate voted for itself".to_owned())
    }

    /// Votes and promises of votes keep to the rules of votes.
    fn check_answer(&self, did: &Did<'_>, m: &Message, r: &RequestVoteResponse) -> Check {
        if !r.granted || m.term < did.seen.term {
            return Ok(());
        }
        if !r.pre {
            let voted = m.term == did.seen.term && did.seen.vote == m.to;
            rule(voted, || format!("it grants {} a vote that it did not give", m.to))?;
        }
        let own = if did.seen.role == RoleName::Leader { self.before(did) } else { self.last() };
        let asked = |(from, term, last): &(_, _, _)| {
            (*from, *term) == (m.to, m.term) && (*last >= own || self.batched())
        };
        rule(self.heard.requests.iter().any(asked), || {
            format!("{} is granted t{}, against lease or logOk", m.to, m.term)
        })?;
        rule(!(self.seen.abstaining && did.seen.abstaining), || "an abstainer votes".to_owned())
    }

    /// Where its log ended before this batch: a leader may append after it answered.
    fn before(&self, did: &Did<'_>) -> EntryId {
        let first = did.ready.write.as_ref().and_then(|write| write.append.first());
        let before = first.map(|entry| self.entry(entry.index.prev()));
        before.map_or(self.last(), |entry| entry.map_or(EntryId::ZERO, Entry::id))
    }

    /// `AppendEntries`: entries of its own log, and a commit index that it has.
    fn check_append(&self, did: &Did<'_>, a: &AppendEntries) -> Check {
        // It may have stepped down since, in the same batch: what it sent before still holds.
        let led = self.seen.role == RoleName::Leader && self.seen.term == did.seen.term;
        let leads = led || did.seen.role == RoleName::Leader;
        rule(leads, || "only a leader sends entries".to_owned())?;
        rule(a.commit <= did.seen.commit, || format!("a leader tells commit {}", a.commit))?;
        rule(self.contains(a.prev), || format!("prev {} is not in the log", a.prev))?;
        let mut next = a.prev.index.next();
        for entry in &a.entries {
            let here = entry.index == next && self.entry(next) == Some(entry);
            rule(here, || format!("it sends {} that is not its entry {next}", entry.id()))?;
            next = next.next();
        }
        Ok(())
    }

    /// mmatchIndex = what the append proved, and what is durable by then.
    fn check_acknowledgement(&self, r: &AppendEntriesResponse, durable: Index) -> Check {
        let stale = r.verdict == AppendVerdict::StaleTerm && r.matched.is_zero();
        let limit = self.verified.min(durable);
        rule(stale || r.matched <= limit, || {
            format!("it acknowledges {}, of which {limit} is proved and durable", r.matched)
        })
    }
}
