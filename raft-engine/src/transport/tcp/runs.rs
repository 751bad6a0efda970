//! The newest run seen of each node: what an older process says must not count any more. The runs of
//! one process differ in their counter alone, and a connection outlives all of them.

use crate::consensus::types::{Incarnation, NodeId};
use std::collections::BTreeMap;

/// Beyond, unknown nodes are not remembered: ids cost a stranger nothing.
const MAX: usize = 4096;

/// Whether both are runs of one process.
pub(super) fn of_one_process(a: Incarnation, b: Incarnation) -> bool {
    const RANDOM: u64 = (1 << 40) - 1;
    a.0 & RANDOM == b.0 & RANDOM
}

/// The newest run of each node.
#[derive(Default)]
pub(super) struct Runs {
    newest: BTreeMap<NodeId, Incarnation>,
}

impl Runs {
    /// Takes note of a run. The error is the run that supersedes it: one of a newer process, or of a twin
    /// that came first.
    pub(super) fn note(&mut self, node: NodeId, run: Incarnation) -> Result<(), Incarnation> {
        if let Some(newest) = self.newest.get_mut(&node) {
            if run.counter() > newest.counter() {
                *newest = run;
            } else if !of_one_process(run, *newest) {
                return Err(*newest);
            }
        } else if self.newest.len() < MAX {
            self.newest.insert(node, run);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_runs_and_twins_are_superseded() {
        let (mut runs, node) = (Runs::default(), NodeId(1));
        let run = |counter: u64, random: u64| Incarnation(counter << 40 | random);
        assert_eq!(runs.note(node, run(2, 9)), Ok(()));
        assert_eq!(runs.note(node, run(2, 9)), Ok(()));
        assert_eq!(runs.note(node, run(1, 10)), Err(run(2, 9)));
        assert_eq!(runs.note(node, run(2, 10)), Err(run(2, 9)));
        assert_eq!(runs.note(node, run(3, 9)), Ok(()), "a change of lineage");
        assert_eq!(runs.note(node, run(2, 9)), Ok(()), "said before it");
        assert_eq!(runs.note(node, run(3, 1)), Err(run(3, 9)));
        assert_eq!(runs.note(node, run(4, 1)), Ok(()));
        assert_eq!(runs.note(node, run(2, 9)), Err(run(4, 1)));
        assert_eq!(runs.note(NodeId(2), run(1, 1)), Ok(()));
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut runs = Runs::default();
        for id in 1..=2 * MAX as u64 {
            assert_eq!(runs.note(NodeId(id), Incarnation(1 << 40)), Ok(()));
        }
        assert_eq!(runs.newest.len(), MAX);
    }
}
