//! What must hold for the cluster as a whole, judged by what the disks hold and not by what the cores
//! say of themselves. A broken rule comes back as a sentence.
//!
//! * At most one leader in a term of a lineage (election safety), and it has every entry that was
//!   committed in an earlier term (leader completeness), whichever came first.
//! * Entries of a lineage with equal index and term are equal (log matching).
//! * An entry is committed by a leader of its own term, when a majority of each half of the leader's
//!   configuration acknowledged it from its disk; it is never cut, and nodes never differ in it.
//! * A vote, an acknowledgement or a request for a vote leaves only when the disk holds what it says;
//!   nobody votes twice in a term, nobody votes while it abstains.

use crate::disk;
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::membership::{Member, Membership};
use quorate_engine::consensus::message::{
    AppendEntriesResponse, AppendVerdict, Body, Message, RequestVote, RequestVoteResponse,
};
use quorate_engine::consensus::ready::{HardState, Write};
use quorate_engine::consensus::types::{ClusterId, EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt::Debug;

/// A rule that holds, or a sentence about how it was broken.
pub type Check = Result<(), String>;

/// A leader of a term, and the terms of its log from index 1 on.
#[derive(Clone, Debug)]
struct Reign {
    place: u64,
    terms: Vec<Term>,
}

/// An entry, and the term in which it was committed.
#[derive(Clone, Copy, Debug)]
struct Committed {
    id: EntryId,
    by: Term,
}

/// What is judged about a node: what its disk holds and what it has asked its disk for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The durable hard state.
    pub state: &'a HardState,
    /// The durable log, from index 1 on.
    pub durable: &'a [Entry],
    /// The log as the core has asked for it, durable or not.
    pub log: &'a [Entry],
}

/// What was ever true of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Safety {
    /// By place, lineage and term: the durable vote.
    votes: BTreeMap<(u64, ClusterId, Term), NodeId>,
    /// By place and lineage: the highest durable term.
    terms: BTreeMap<(u64, ClusterId), Term>,
    reigns: BTreeMap<(ClusterId, Term), Reign>,
    entries: BTreeMap<(ClusterId, Index, Term), Entry>,
    /// By lineage, from index 1 on.
    committed: BTreeMap<ClusterId, Vec<Committed>>,
    /// The highest index that a node acknowledged to the leader of a term.
    acked: BTreeMap<(ClusterId, Term, NodeId), Index>,
}

impl Safety {
    /// All that it remembers, printed: of entries the ids, which say what they hold.
    #[must_use]
    pub fn situation(&self) -> impl Debug + '_ {
        let Safety { votes, terms, reigns, entries, committed, acked } = self;
        let entries: Vec<&(ClusterId, Index, Term)> = entries.keys().collect();
        (votes, terms, reigns, entries, committed, acked)
    }

    /// Entries that are committed before the story begins.
    pub fn assume(&mut self, lineage: ClusterId, entries: &[Entry]) -> Check {
        for entry in entries {
            self.note_entry(lineage, entry)?;
            let known = self.committed.entry(lineage).or_default();
            match known.get(entry.index.0 as usize - 1) {
                None => known.push(Committed { id: entry.id(), by: entry.term }),
                Some(Committed { id, .. }) => {
                    holds(*id == entry.id(), || format!("{id} and {} are committed", entry.id()))?;
                }
            }
        }
        Ok(())
    }

    /// The hard state of a place became durable.
    pub fn durable(&mut self, place: u64, state: &HardState) -> Check {
        let HardState { lineage, term, voted_for, .. } = *state;
        let newest = self.terms.entry((place, lineage)).or_default();
        holds(term >= *newest, || format!("{place} forgot term {newest}: it is at {term}"))?;
        *newest = term;
        if voted_for.is_zero() {
            let voted = self.votes.contains_key(&(place, lineage, term));
            return holds(!voted, || format!("{place} forgot its vote in term {term}"));
        }
        let vote = *self.votes.entry((place, lineage, term)).or_insert(voted_for);
        holds(vote == voted_for, || {
            format!("{place} votes for {vote} and for {voted_for} in term {term}")
        })
    }

    /// The directory of a place is lost, and what stands there is another node.
    pub fn forgotten(&mut self, place: u64) {
        self.votes.retain(|(at, ..), _| *at != place);
        self.terms.retain(|(at, _), _| *at != place);
    }

    /// A node asks its disk for this; `log` is what it asked for before.
    pub fn asks(&mut self, place: u64, lineage: ClusterId, log: &[Entry], write: &Write) -> Check {
        let keep = write.keep_to.unwrap_or(disk::last(log).index);
        for entry in log.iter().skip(keep.0 as usize) {
            let kept = self.committed_at(lineage, entry.index) != Some(entry.id());
            holds(kept, || format!("{place} cuts {}, which is committed", entry.id()))?;
        }
        let mut next = keep.next();
        for entry in &write.append {
            holds(entry.index == next, || format!("{place} leaves a gap before {}", entry.id()))?;
            next = next.next();
            self.note_entry(lineage, entry)?;
        }
        Ok(())
    }

    /// A node leads, with this log.
    pub fn leads(&mut self, place: u64, lineage: ClusterId, term: Term, log: &[Entry]) -> Check {
        let reign = match self.reigns.entry((lineage, term)) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let known = self.committed.get(&lineage).into_iter().flatten();
                for Committed { id, .. } in known.filter(|committed| committed.by < term) {
                    let has = disk::entry(log, id.index).is_some_and(|entry| entry.id() == *id);
                    holds(has, || format!("{place} leads t{term} without {id}"))?;
                }
                slot.insert(Reign { place, terms: Vec::new() })
            }
        };
        let known = reign.terms.len();
        reign.terms.extend(log.iter().skip(known).map(|entry| entry.term));
        let first = reign.place;
        holds(first == place, || format!("{first} and {place} both lead in term {term}"))
    }

    /// A node says that everything in `(before, to]` is committed. `leads`: it leads that term. `in_force`:
    /// the configurations when the batch began and now.
    pub fn commits(
        &mut self,
        place: u64,
        facts: Facts<'_>,
        (before, to): (Index, Index),
        leads: Option<Term>,
        in_force: [&Membership; 2],
    ) -> Check {
        let (log, lineage) = (facts.log, facts.state.lineage);
        for index in before.0 + 1..=to.0 {
            let id = disk::entry(log, Index(index)).map_or(EntryId::ZERO, Entry::id);
            match (self.committed_at(lineage, Index(index)), leads) {
                (Some(known), _) => holds(known == id, || {
                    format!("{place} commits {id} where {known} is committed")
                })?,
                (None, None) => {
                    return Err(format!("{place} commits {id}, which no leader committed"));
                }
                (None, Some(term)) => {
                    let new = disk::entry(log, to).map_or(Term::ZERO, |e| e.term);
                    holds(new == term, || {
                        format!("{place} commits {id} by counting {to}@{new} in term {term}")
                    })?;
                    let by = |m| self.check_quorum(place, facts, Index(index), term, m);
                    by(in_force[0]).or_else(|_| by(in_force[1]))?;
                    self.check_later_leaders(lineage, id, term)?;
                    self.committed.entry(lineage).or_default().push(Committed { id, by: term });
                }
            }
        }
        Ok(())
    }

    /// The highest committed index of a lineage.
    #[must_use]
    pub fn committed_to(&self, lineage: ClusterId) -> Index {
        Index(self.committed.get(&lineage).map_or(0, |all| all.len() as u64))
    }

    /// The entry that the leader of its term appended, if any did.
    #[must_use]
    pub fn appended(&self, lineage: ClusterId, id: EntryId) -> Option<&Entry> {
        self.entries.get(&(lineage, id.index, id.term))
    }

    /// Entries that a node takes for committed when it starts, or hands to its state machine.
    pub fn knows(&self, place: u64, lineage: ClusterId, entries: &[Entry]) -> Check {
        entries.iter().try_for_each(|entry| {
            let known = self.committed_at(lineage, entry.index);
            holds(known == Some(entry.id()), || {
                format!("{place} takes {} for committed, but it is not", entry.id())
            })
        })
    }

    /// A message leaves a place whose disk is in this state.
    pub fn leaves(&mut self, place: u64, facts: Facts<'_>, m: &Message) -> Check {
        if m.cluster != facts.state.lineage {
            return Err(format!("{place} speaks for a lineage that is not durable"));
        }
        match &m.body {
            Body::AppendEntries(_) => self.check_vote(place, facts, m, m.from),
            Body::RequestVote(req) => self.check_request(place, facts, m, req),
            Body::RequestVoteResponse(r) => self.check_grant(place, facts, m, r),
            Body::AppendEntriesResponse(r) => self.check_ack(place, facts, m, r),
            _ => Ok(()),
        }
    }

    /// The vote is on disk, or a later term is: then no other vote in that term can follow.
    fn check_vote(&mut self, place: u64, facts: Facts<'_>, m: &Message, vote: NodeId) -> Check {
        let key = (place, m.cluster, m.term);
        if facts.state.term > m.term {
            self.votes.entry(key).or_insert(vote);
        }
        holds(self.votes.get(&key) == Some(&vote), || {
            format!("{place} speaks as if it had voted for {vote} in t{}", m.term)
        })
    }

    fn check_request(
        &mut self,
        place: u64,
        facts: Facts<'_>,
        m: &Message,
        req: &RequestVote,
    ) -> Check {
        if req.pre {
            return Ok(());
        }
        self.check_vote(place, facts, m, m.from)?;
        let has = req.last == EntryId::ZERO
            || disk::entry(facts.durable, req.last.index).is_some_and(|e| e.id() == req.last);
        holds(has, || format!("{place} campaigns with {}, which is not on its disk", req.last))
    }

    fn check_grant(
        &mut self,
        place: u64,
        facts: Facts<'_>,
        m: &Message,
        r: &RequestVoteResponse,
    ) -> Check {
        if r.pre {
            return Ok(());
        }
        holds(facts.state.term >= m.term, || format!("{place} answers in a term not on disk"))?;
        if r.granted {
            holds(!facts.state.abstaining, || format!("{place} votes while it abstains"))?;
            self.check_vote(place, facts, m, m.to)?;
        }
        Ok(())
    }

    fn check_ack(
        &mut self,
        place: u64,
        facts: Facts<'_>,
        m: &Message,
        r: &AppendEntriesResponse,
    ) -> Check {
        holds(facts.state.term >= m.term, || format!("{place} answers in a term not on disk"))?;
        if r.verdict == AppendVerdict::StaleTerm || r.matched.is_zero() {
            return Ok(());
        }
        let held = disk::entry(facts.durable, r.matched).map(|e| e.term);
        // A leader that is not known is one that a script made up.
        let led = self
            .reigns
            .get(&(m.cluster, m.term))
            .map_or(held, |reign| reign.terms.get(r.matched.0 as usize - 1).copied());
        holds(held.is_some() && held == led, || {
            format!("{place} acknowledges {} to t{}, which it does not hold", r.matched, m.term)
        })?;
        let acked = self.acked.entry((m.cluster, m.term, m.from)).or_default();
        *acked = (*acked).max(r.matched);
        Ok(())
    }

    /// Whether a majority of each half acknowledged an entry to this leader.
    fn check_quorum(
        &self,
        place: u64,
        facts: Facts<'_>,
        index: Index,
        term: Term,
        membership: &Membership,
    ) -> Check {
        let wanted = disk::entry(facts.log, index).map(Entry::id);
        let holds_it = |member: &&Member| {
            if member.id == facts.state.node {
                disk::entry(facts.durable, index).map(Entry::id) == wanted
            } else {
                let acked = self.acked.get(&(facts.state.lineage, term, member.id));
                acked.is_some_and(|acked| *acked >= index)
            }
        };
        for half in [&membership.voters, &membership.outgoing] {
            let count = half.iter().filter(holds_it).count();
            holds(half.is_empty() || count > half.len() / 2, || {
                format!("{place} commits {index} in t{term} with {count} of {}", half.len())
            })?;
        }
        Ok(())
    }

    /// Leaders of later terms, which were elected before an entry is committed, have it too.
    fn check_later_leaders(&self, lineage: ClusterId, id: EntryId, term: Term) -> Check {
        let later = (lineage, term.next())..=(lineage, Term(u64::MAX));
        self.reigns.range(later).try_for_each(|((_, of), reign)| {
            let place = reign.place;
            let has = reign.terms.get(id.index.0 as usize - 1) == Some(&id.term);
            holds(has, || format!("{place} leads t{of} without {id}, committed in t{term}"))
        })
    }

    fn committed_at(&self, lineage: ClusterId, index: Index) -> Option<EntryId> {
        let known = self.committed.get(&lineage)?.get(index.0.checked_sub(1)? as usize)?;
        Some(known.id)
    }

    fn note_entry(&mut self, lineage: ClusterId, entry: &Entry) -> Check {
        let key = (lineage, entry.index, entry.term);
        let known = self.entries.entry(key).or_insert_with(|| entry.clone());
        holds(known == entry, || format!("there are two entries {}", entry.id()))
    }
}

/// The newest configuration of a log; of a node in no cluster itself.
#[must_use]
pub fn in_force(log: &[Entry], lineage: ClusterId, node: NodeId) -> Membership {
    let newest = log.iter().rev().find_map(|entry| match &entry.payload {
        Payload::Membership(m) if m.cluster == lineage => Some((**m).clone()),
        Payload::Membership(_) | Payload::Noop | Payload::Command(_) => None,
    });
    newest.unwrap_or_else(|| Membership::standalone(lineage, node))
}

fn holds(condition: bool, sentence: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(sentence()) }
}
