//! The callers of all nodes: what they asked for and what they were told. Every answer is checked
//! against what became of the log.

use crate::safety::Check;
use crate::show;
use quorate_engine::consensus::command::Entry;
use quorate_engine::consensus::event::{ChangeId, ReadId};
use quorate_engine::consensus::ready::ProposalOutcome;
use quorate_engine::consensus::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// What a proposer knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Nothing,
    Forwarded(Term),
    Appended(EntryId),
    Refused,
}

#[derive(Clone, Debug)]
struct Proposal {
    data: String,
    told: Told,
    committed: Option<EntryId>,
}

/// All callers. Reads and changes are answered once, to the place that they were asked at.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// By node and origin sequence.
    proposals: BTreeMap<(NodeId, u64), Proposal>,
    /// By place: what must be seen at least.
    reads: BTreeMap<(u64, ReadId), Index>,
    changes: BTreeMap<(u64, ChangeId), String>,
}

impl Callers {
    /// A caller proposes.
    pub fn propose(&mut self, node: NodeId, seq: u64, data: &str) {
        let proposal = Proposal { data: data.to_owned(), told: Told::Nothing, committed: None };
        self.proposals.insert((node, seq), proposal);
    }

    /// A caller is told what became of its proposal. Returns the line about it.
    ///
    /// # Errors
    /// The answer can't be.
    pub fn proposal(
        &mut self,
        node: NodeId,
        seq: u64,
        outcome: &ProposalOutcome,
    ) -> Result<String, String> {
        let proposal = self.proposals.get_mut(&(node, seq)).ok_or("nobody proposed that")?;
        let told = match outcome {
            ProposalOutcome::Forwarded(term) => Told::Forwarded(*term),
            ProposalOutcome::Appended(id) => Told::Appended(*id),
            ProposalOutcome::Refused(_) => Told::Refused,
        };
        let line = format!("proposal {} {}", proposal.data, show::outcome(outcome));
        let final_before = matches!(proposal.told, Told::Appended(_) | Told::Refused);
        if final_before || (matches!(told, Told::Forwarded(_)) && proposal.told != Told::Nothing) {
            return Err(format!("{line}, but was told {:?}", proposal.told));
        }
        if let (Told::Appended(id), Told::Forwarded(term)) = (told, proposal.told)
            && id.term != term
        {
            return Err(format!("{line}, but was sent to the leader of t{term}"));
        }
        proposal.told = told;
        check_proposal(proposal)?;
        Ok(line)
    }

    /// An entry is committed for the first time.
    pub fn committed(&mut self, entry: &Entry) -> Check {
        let origin = entry.payload.origin();
        let Some(proposal) = self.proposals.get_mut(&(origin.node, origin.seq)) else {
            return Ok(());
        };
        if let Some(earlier) = proposal.committed {
            return Err(format!("{} is committed as {earlier} and {}", proposal.data, entry.id()));
        }
        proposal.committed = Some(entry.id());
        check_proposal(proposal)
    }

    /// A caller wants to read, when `index` is committed.
    pub fn read(&mut self, place: u64, id: ReadId, index: Index) {
        self.reads.insert((place, id), index);
    }

    /// A caller may read at `index`, or may not.
    pub fn read_answered(&mut self, place: u64, id: ReadId, index: Option<Index>) -> Check {
        let needed = self.reads.remove(&(place, id)).ok_or("nobody waits for that read")?;
        match index {
            Some(index) if index < needed => {
                Err(format!("read {id} at {index} misses {needed}, committed before it began"))
            }
            _ => Ok(()),
        }
    }

    /// A caller asks for a change.
    pub fn change(&mut self, place: u64, id: ChangeId, what: String) {
        self.changes.insert((place, id), what);
    }

    /// A caller is told what became of its change: what it was.
    ///
    /// # Errors
    /// Nobody waits for it.
    pub fn change_answered(&mut self, place: u64, id: ChangeId) -> Result<String, String> {
        self.changes.remove(&(place, id)).ok_or_else(|| format!("nobody waits for change {id}"))
    }

    /// The place crashed, and its callers with it.
    pub fn forget(&mut self, place: u64) {
        self.reads.retain(|(at, _), _| *at != place);
        self.changes.retain(|(at, _), _| *at != place);
    }

    /// Proposals of this run of a node that were sent to the leader of this term, which is in office and
    /// heard: each has an answer, or is committed.
    ///
    /// # Errors
    /// One has neither.
    pub fn nobody_is_forgotten(&self, node: NodeId, run: u64, term: Term) -> Check {
        let of_run = self.proposals.range((node, run << 40)..(node, (run + 1) << 40));
        let lost = of_run
            .map(|(_, p)| p)
            .find(|p| p.told == Told::Forwarded(term) && p.committed.is_none());
        lost.map_or(Ok(()), |p| Err(format!("{node} never hears what became of {}", p.data)))
    }

    /// Who waits at a place, as a sentence; a core that ends may leave nobody behind.
    pub fn nobody_waits(&self, place: u64) -> Check {
        let read = self.reads.keys().find(|(at, _)| *at == place);
        let change = self.changes.iter().find(|((at, _), _)| *at == place);
        match (read, change) {
            (None, None) => Ok(()),
            (Some((_, id)), _) => Err(format!("{place} never answers read {id}")),
            (_, Some((_, what))) => Err(format!("{place} never answers: {what}")),
        }
    }
}

/// What a caller was told, and what was committed, fit together.
fn check_proposal(proposal: &Proposal) -> Check {
    let Some(id) = proposal.committed else { return Ok(()) };
    let fits = match proposal.told {
        Told::Nothing => true,
        Told::Forwarded(term) => term == id.term,
        Told::Appended(at) => at == id,
        Told::Refused => false,
    };
    if fits {
        return Ok(());
    }
    Err(format!(
        "{} is committed as {id}, but its caller was told {:?}",
        proposal.data, proposal.told
    ))
}
