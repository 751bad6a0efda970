//! `AdvanceCommitIndex`: a leader by counting, everybody else as the leader tells.

use super::state::{Peer, quorum};
use super::{Action, Did, rule};
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Index, NodeId};

impl Peer {
    /// commitIndex only grows, by a rule.
    pub(super) fn judge_commit(
        &mut self,
        did: &Did<'_>,
        own: Option<Index>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let (old, new) = (self.seen.commit, did.seen.commit);
        rule(new >= old, || format!("commitIndex only grows: {old}, then {new}"))?;
        rule(new <= self.last().index, || format!("commitIndex {new} is beyond the log"))?;
        if new == old {
            return Ok(());
        }
        actions.push(Action::Commit);
        if did.seen.role == RoleName::Leader {
            return self.check_counted(did, own, new);
        }
        let limit = self.verified.min(self.told_commit);
        rule(new <= limit || self.batched(), || {
            format!("a follower commits {new}; its leader vouched for {limit}")
        })
    }

    /// The entry is of the leader's own term (§5.4.2), and a majority of each half holds it durably
    /// (§6), by the configuration before this batch or one that it appended.
    fn check_counted(&self, did: &Did<'_>, own: Option<Index>, new: Index) -> Result<(), String> {
        rule(self.is_of_term(new, did.seen.term), || {
            format!("a leader of t{} commits {new} by counting", did.seen.term)
        })?;
        let holds = |id: NodeId| {
            let matched = self.matched.get(&id).map_or(Index::ZERO, |(_, index)| *index);
            if id == self.id { self.durable >= new } else { matched >= new }
        };
        let from = own.map_or(self.last().index, Index::prev);
        let mut after = self.configurations.iter().filter(|(index, _)| *index > from);
        let agreed = quorum(self.configuration(from).1, holds)
            || after.any(|(_, membership)| quorum(membership, holds));
        rule(agreed, || format!("a leader commits {new} without a quorum of each half"))
    }

    /// Only what is committed and durable is applied.
    pub(super) fn judge_applied(&self, did: &Did<'_>) -> Result<(), String> {
        did.ready.apply.iter().try_for_each(|entry| {
            let limit = self.durable.min(did.seen.commit);
            let here = self.contains(entry.id()) && entry.index <= limit;
            rule(here, || format!("{} is applied before it is committed and durable", entry.id()))
        })
    }
}
