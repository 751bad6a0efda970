//! The simplest store there could be, and a comparison with it over a long row of calls.

use super::Rule;
use super::rig::{Checkup, Rig, Stop, records};
use crate::storage::Record;

pub const RULES: &[Rule] =
    &[("any order of calls gives the same as the simplest store", agrees_with_a_model)];

/// A log that is a vector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Model {
    pub records: Vec<Record>,
    /// One more than the end.
    pub next: u64,
    /// Everything below was removed for good.
    pub base: u64,
    /// The term of the entry before `base`.
    pub prev_term: u64,
}

impl Default for Model {
    fn default() -> Model {
        Model { records: Vec::new(), next: 1, base: 1, prev_term: 0 }
    }
}

impl Model {
    pub fn append(&mut self, records: &[Record]) {
        self.next += records.len() as u64;
        self.records.extend_from_slice(records);
    }

    pub fn cut(&mut self, first: u64) {
        let first = first.max(self.base);
        self.records.retain(|record| record.index.0 < first);
        self.next = self.next.min(first);
    }

    pub fn compact(&mut self, last: u64, term: u64) {
        self.records.retain(|record| record.index.0 > last);
        (self.base, self.prev_term) = (last + 1, term);
        self.next = self.next.max(last + 1);
    }

    /// The entry at an index.
    pub fn at(&self, index: u64) -> Option<&Record> {
        self.records.iter().find(|record| record.index.0 == index)
    }
}

/// Numbers by seed (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n ^ (n >> 31)) % limit.max(1)
    }
}

const STEPS: u64 = 500;

fn agrees_with_a_model(rig: &mut Rig<'_>) -> Checkup {
    let mut model = Model::default();
    let mut dice = Dice(0x5eed);
    for step in 0..STEPS {
        one_step(rig, &mut model, &mut dice, 1 + step / 20).map_err(|stop| match stop {
            Stop::Broken(seen) => Stop::Broken(format!("in step {step}: {seen}")),
            skipped => skipped,
        })?;
    }
    rig.holds(&model.records, model.prev_term)
}

fn one_step(rig: &mut Rig<'_>, model: &mut Model, dice: &mut Dice, term: u64) -> Checkup {
    match dice.below(32) {
        0..18 => {
            let more = records(model.next..=model.next + dice.below(32), term);
            rig.append(&more)?;
            model.append(&more);
        }
        18..22 => {
            let first = model.next.saturating_sub(dice.below(50)).max(1);
            rig.cut(first)?;
            model.cut(first);
        }
        22 | 23 => {
            let last = model.next + dice.below(8) - dice.below(64).min(model.next);
            if last >= model.base {
                let last_term = model.at(last).map_or(term, |record| record.term.0);
                rig.compact(last, last_term)?;
                model.compact(last, last_term);
            }
        }
        24..28 => rig.sync()?,
        28..31 => rig.reads(&model.records)?,
        _ => rig.holds(&model.records, model.prev_term)?,
    }
    Ok(())
}
