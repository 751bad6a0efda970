//! The calls of a row. They are relative to the log as it is, so a row can be played on whatever a
//! crash left.

use super::super::model::Dice;
use super::super::rig::{Checkup, Rig, ends, sized};
use super::history::{History, KEYS};
use crate::storage::{Record, STATE_KEY};

/// A call.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Adds so many entries.
    Append(u64),
    Sync,
    /// Removes so many entries at the end. What is added next is of a newer term.
    Cut(u64),
    /// Removes so many entries at the front, or goes beyond the end.
    Compact(u64),
    /// Puts the value of a key.
    Put(usize),
    /// Puts the engine's state.
    State,
}

/// What a node's log goes through: conflicts, snapshots, votes.
pub const STORY: [Call; 18] = [
    Call::Append(3),
    Call::Sync,
    Call::Append(2),
    Call::State,
    Call::Append(1),
    Call::Cut(2),
    Call::Append(3),
    Call::Sync,
    Call::Cut(4),
    Call::Sync,
    Call::Put(0),
    Call::Append(2),
    Call::Compact(2),
    Call::Append(1),
    Call::Cut(1),
    Call::Append(1),
    Call::Sync,
    Call::Compact(9),
];

impl Call {
    /// So many calls by chance.
    pub fn row(dice: &mut Dice, calls: usize) -> Vec<Call> {
        (0..calls).map(|_| Call::draw(dice)).collect()
    }

    fn draw(dice: &mut Dice) -> Call {
        match dice.below(16) {
            0..7 => Call::Append(1 + dice.below(4)),
            7..10 => Call::Sync,
            10..13 => Call::Cut(dice.below(6)),
            13 => Call::Compact(1 + dice.below(5)),
            14 => Call::Put(dice.below(KEYS.len() as u64) as usize),
            _ => Call::State,
        }
    }

    /// Makes the call on a store, and notes it.
    pub fn make(self, rig: &mut Rig<'_>, history: &mut History) -> Checkup {
        let log = history.now();
        match self {
            Call::Append(count) => {
                let more = history.draw_records(log.next, count);
                history.note(format!("append({})", ends(&more)));
                history.appended(&more);
                rig.append(&more)
            }
            Call::Sync => {
                history.note("sync");
                rig.sync()?;
                history.synced();
                Ok(())
            }
            Call::Cut(count) => {
                let first = log.next.saturating_sub(count).max(log.base);
                history.note(format!("truncate_suffix({first})"));
                history.cut(first);
                rig.cut(first)
            }
            Call::Compact(count) => {
                let last = log.records.first().map_or(log.next, |r| r.index.0) + count - 1;
                let term = log.at(last).map_or(history.term(), |record| record.term.0);
                history.note(format!("truncate_prefix({last})"));
                history.compacted(last, term);
                rig.compact(last, term)
            }
            Call::Put(key) => {
                let (key, value) = (KEYS[key], history.draw_value());
                history.note(format!("metadata_put({key:?})"));
                rig.put(key, &value)?;
                history.put(key, value);
                Ok(())
            }
            Call::State => {
                history.note(format!("metadata_put({STATE_KEY:?})"));
                let state = rig.put_state()?;
                history.put(STATE_KEY, state);
                Ok(())
            }
        }
    }
}

impl History {
    fn draw_records(&mut self, next: u64, count: u64) -> Vec<Record> {
        let term = self.term();
        (next..next + count)
            .map(|index| sized(index, term, 40 + (index * 37 % 200) as usize))
            .collect()
    }
}
