//! Rules about removing the end of the log, which is what a conflict with a leader's log asks for.

use super::Rule;
use super::rig::{Checkup, Rig, expect, record, records, sized};
use crate::consensus::types::Index;
use crate::storage::Record;

pub const RULES: &[Rule] = &[
    ("a truncated suffix is gone, and may be written anew", cuts_the_end),
    ("any entry may be the first that is removed", cuts_anywhere),
    ("a truncation lasts without an append behind it", cuts_and_stops),
    ("a truncation before the first sync counts", cuts_before_a_sync),
    ("a truncation behind the end changes nothing", cuts_behind_the_end),
    ("an entry may be rewritten again and again", rewrites),
    ("nothing of a longer log is left behind a shorter one", leaves_no_rest),
    ("a log that was cut to nothing may begin elsewhere", begins_elsewhere),
    ("calls between two syncs take effect in order", keeps_the_order),
];

fn cuts_the_end(rig: &mut Rig<'_>) -> Checkup {
    let mut all = records(1..=20, 1);
    rig.append(&all)?;
    rig.sync()?;
    rig.cut(11)?;
    all.truncate(10);
    rig.holds(&all, 0)?;
    let anew = records(11..=15, 2);
    rig.append(&anew)?;
    all.extend(anew);
    rig.holds(&all, 0)?;
    rig.cut(1)?;
    rig.holds(&[], 0)?;
    expect("the first index after all was cut", Index(1), rig.recovered.first)?;
    let anew = records(1..=3, 5);
    rig.append(&anew)?;
    rig.holds(&anew, 0)
}

fn cuts_anywhere(rig: &mut Rig<'_>) -> Checkup {
    let mut all = Vec::new();
    for (round, first) in (1..).zip([8, 7, 5, 2, 1]) {
        let more: Vec<Record> =
            (all.len() as u64 + 1..=8).map(|index| record(index, round)).collect();
        rig.append(&more)?;
        rig.sync()?;
        all.extend(more);
        rig.cut(first)?;
        all.truncate(first as usize - 1);
        rig.holds(&all, 0)?;
    }
    Ok(())
}

fn cuts_and_stops(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=20, 1);
    rig.append(&all)?;
    rig.sync()?;
    for first in [17, 16, 4] {
        rig.cut(first)?;
        rig.sync()?;
        rig.reopen()?;
        rig.recovered_is(&all[..first as usize - 1], 0)?;
        rig.reopen()?;
        rig.recovered_is(&all[..first as usize - 1], 0)?;
    }
    rig.reads(&all[..3])
}

fn cuts_before_a_sync(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=10, 1);
    rig.append(&all)?;
    rig.cut(6)?;
    rig.reads(&all[..5])?;
    rig.cut(4)?;
    rig.holds(&all[..3], 0)?;
    rig.append(&all[3..])?;
    rig.cut(1)?;
    rig.holds(&[], 0)
}

fn cuts_behind_the_end(rig: &mut Rig<'_>) -> Checkup {
    rig.cut(1)?;
    rig.holds(&[], 0)?;
    let all = records(1..=5, 1);
    rig.append(&all)?;
    rig.cut(6)?;
    rig.cut(100)?;
    rig.holds(&all, 0)?;
    rig.cut(6)?;
    rig.append(&records(6..=7, 1))?;
    rig.holds(&records(1..=7, 1), 0)
}

fn rewrites(rig: &mut Rig<'_>) -> Checkup {
    let front = records(1..=4, 1);
    rig.append(&front)?;
    rig.append(&[record(5, 1), record(6, 1)])?;
    rig.sync()?;
    for term in 2..=6 {
        let anew = [sized(5, term, 20 * term as usize), record(6, term)];
        rig.cut(5)?;
        rig.append(&anew)?;
        rig.holds(&[&front[..], &anew].concat(), 0)?;
    }
    Ok(())
}

fn leaves_no_rest(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&(1..=40).map(|index| sized(index, 1, 1000)).collect::<Vec<_>>())?;
    rig.sync()?;
    rig.cut(3)?;
    let new = [sized(1, 1, 1000), sized(2, 1, 1000), sized(3, 2, 5)];
    rig.append(&new[2..])?;
    rig.holds(&new, 0)?;
    let more = records(4..=6, 3);
    rig.append(&more)?;
    rig.holds(&[&new[..], &more].concat(), 0)
}

fn begins_elsewhere(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(10..=20, 1))?;
    rig.sync()?;
    for (first, term) in [(15, 2), (3, 3), (40, 4)] {
        rig.cut(1)?;
        rig.append(&records(first..=first + 5, term))?;
        rig.holds(&records(first..=first + 5, term), 0)?;
    }
    Ok(())
}

fn keeps_the_order(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=10, 1))?;
    rig.sync()?;
    rig.append(&records(11..=20, 1))?;
    rig.cut(16)?;
    rig.append(&records(16..=18, 2))?;
    rig.cut(8)?;
    rig.append(&records(8..=9, 3))?;
    rig.append(&records(10..=12, 4))?;
    rig.cut(12)?;
    let all = [records(1..=7, 1), records(8..=9, 3), records(10..=11, 4)].concat();
    rig.holds(&all, 0)
}
