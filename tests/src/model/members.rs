//! Changes of membership by joint consensus (§6; thesis §4.3).

use super::state::Peer;
use super::{Action, rule};
use quorate_engine::consensus::membership::{Member, Membership};
use quorate_engine::consensus::types::{Index, NodeId};

impl Peer {
    /// The configurations that this leader appended, one by one.
    pub(super) fn judge_members(
        &self,
        own: Option<Index>,
        commit: Index,
        actions: &mut [Action],
    ) -> Result<(), String> {
        let Some(from) = own else { return Ok(()) };
        let at = self.configurations.iter().position(|(index, _)| *index >= from);
        let Some(at) = at.filter(|at| *at > 0) else { return Ok(()) };
        debug_assert!(actions.contains(&Action::Reconfigure), "it was seen when it was appended");
        for pair in self.configurations[at - 1..].windows(2) {
            let ((before, old), (index, new)) = (&pair[0], &pair[1]);
            let term = self.entry(*index).map(|entry| entry.term);
            let reigns = self.entry(commit).map(|entry| entry.term) == term;
            rule(reigns, || {
                format!("a change at {index} before the leader committed an entry of its term")
            })?;
            rule(*before <= commit, || {
                format!("a change at {index}, and the one at {before} is not committed")
            })?;
            self.check_change(old, new).map_err(|why| format!("{why}: {old}, then {new}"))?;
        }
        Ok(())
    }

    fn check_change(&self, old: &Membership, new: &Membership) -> Result<(), String> {
        let voters = |members: &[Member]| {
            let mut ids: Vec<NodeId> = members.iter().map(|m| m.id).collect();
            ids.sort_unstable();
            ids
        };
        let (was, is) = (voters(&old.voters), voters(&new.voters));
        rule(new.number == old.number + 1, || "configurations are numbered".to_owned())?;
        rule(!is.is_empty(), || "a configuration has voters".to_owned())?;
        if old.is_joint() {
            let left = !new.is_joint() && was == is;
            return rule(left, || "after C_old,new comes C_new".to_owned());
        }
        if !new.is_joint() {
            return rule(was == is, || "voters change by C_old,new".to_owned());
        }
        rule(voters(&new.outgoing) == was, || "C_old,new has the old voters".to_owned())?;
        let ready = |id: &NodeId| {
            let held = self.matched.get(id).is_some_and(|(_, matched)| !matched.is_zero());
            let whole = held && (self.batched() || !self.abstainers.contains(id));
            was.contains(id) || (old.learner(*id).is_some() && whole)
        };
        rule(is.iter().all(ready), || "a new voter was a learner and has caught up".to_owned())
    }
}
