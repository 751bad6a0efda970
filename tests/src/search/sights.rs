//! What was seen on the way: a search that nothing interesting happens in proves nothing.

use super::action::Action;
use super::world::World;
use crate::node::Node;
use quorate_engine::consensus::ready::RoleName;
use std::collections::BTreeMap;
use std::fmt;

/// Something worth seeing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sight {
    /// A node was elected.
    Elected,
    /// It was, while another still took itself for the leader.
    TwoLeaders,
    /// Nobody was elected, and a candidate tried again.
    SplitVote,
    /// A leader that did not hear from a majority followed.
    LostQuorum,
    /// A command was committed.
    Committed,
    /// Entries that contradict the leader's were cut.
    Truncated,
    /// A joint configuration came into force.
    EnteredJoint,
    /// It was left for the new one.
    LeftJoint,
    /// It was rolled back.
    RolledBackJoint,
    /// A learner came into force.
    Learner,
    /// A node left its cluster.
    Removed,
    /// A crash lost writes that were asked for.
    LostWrites,
    /// A crash kept a hard state and lost the entries of the same write, or of later ones.
    TornWrite,
    /// A node started again.
    Restarted,
    /// A read was allowed.
    Read,
    /// A message was lost.
    Lost,
    /// A message came twice.
    Doubled,
    /// A message overtook others.
    Overtook,
}

/// How often each was seen.
#[derive(Clone, Debug, Default)]
pub struct Sights(BTreeMap<Sight, u64>);

impl Sights {
    /// How often something was seen.
    #[must_use]
    pub fn of(&self, sight: Sight) -> u64 {
        self.0.get(&sight).copied().unwrap_or(0)
    }

    /// Something happened.
    pub fn note(&mut self, before: &World<'_>, action: Action, after: &World<'_>) {
        self.note_action(before, action);
        let place = before.place_of(action);
        let (old, new) = (before.node(place), after.node(place));
        let told = &after.cluster.trace[before.cluster.trace.len()..];
        self.count(Sight::Read, told.iter().any(|line| line.contains("read allowed")));
        self.note_log(old, new);
        let (Some(was), Some(is)) = (&old.core, &new.core) else { return };
        let (was, is) = (was.status(), is.status());
        self.count(Sight::Removed, is.standalone && !was.standalone);
        let elected = is.role == RoleName::Leader && was.role != RoleName::Leader;
        self.count(Sight::Elected, elected);
        self.count(Sight::TwoLeaders, elected && after.leaders() > 1);
        let candidates = was.role == RoleName::Candidate && is.role == RoleName::Candidate;
        self.count(Sight::SplitVote, candidates && is.term > was.term);
        let timed_out = matches!(action, Action::Timeout(_));
        let deposed = was.role == RoleName::Leader && is.role == RoleName::Follower;
        self.count(Sight::LostQuorum, timed_out && deposed && !is.standalone);
        let (old, new) = (&was.membership, &is.membership);
        self.count(Sight::EnteredJoint, new.is_joint() && !old.is_joint());
        let onwards = new.number > old.number;
        self.count(Sight::LeftJoint, old.is_joint() && !new.is_joint() && onwards);
        self.count(Sight::RolledBackJoint, old.is_joint() && !new.is_joint() && !onwards);
        self.count(Sight::Learner, new.learners.len() > old.learners.len());
    }

    fn note_action(&mut self, before: &World<'_>, action: Action) {
        match action {
            Action::Lose { .. } => self.count(Sight::Lost, true),
            Action::Double { .. } => self.count(Sight::Doubled, true),
            Action::Overtake { .. } => self.count(Sight::Overtook, true),
            Action::Restart(_) => self.count(Sight::Restarted, true),
            Action::Crash { place, writes, state, .. } => {
                let pending = before.node(place).disk.pending();
                self.count(Sight::LostWrites, usize::from(writes) < pending);
                self.count(Sight::TornWrite, state);
            }
            _ => {}
        }
    }

    fn note_log(&mut self, old: &Node, new: &Node) {
        let running = old.core.is_some() && new.core.is_some();
        let kept = old.log.iter().zip(&new.log).take_while(|(a, b)| a == b).count();
        let same_lineage = old.lineage() == new.lineage();
        self.count(Sight::Truncated, running && same_lineage && kept < old.log.len());
        let commands = |node: &Node| node.machine.commands.len();
        self.count(Sight::Committed, running && commands(new) > commands(old));
    }

    fn count(&mut self, sight: Sight, seen: bool) {
        if seen {
            *self.0.entry(sight).or_default() += 1;
        }
    }
}

/// `Elected 12, Truncated 3`.
impl fmt::Display for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(s, n)| format!("{s:?} {n}")).collect();
        f.write_str(&counts.join(", "))
    }
}
