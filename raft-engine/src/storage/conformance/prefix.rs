//! Rules about removing the front of the log, which is what a snapshot allows.

use super::Rule;
use super::rig::{Checkup, Rig, ensure, expect, records};
use crate::consensus::types::Index;
use crate::storage::Record;

pub const RULES: &[Rule] = &[
    ("a removed prefix is gone; its last term is known", cuts_the_front),
    ("a prefix may reach beyond the end", cuts_beyond_the_end),
    ("a prefix that is gone may be removed again", cuts_the_front_again),
    ("a prefix may be removed before it was synced", cuts_before_a_sync),
    ("a log that was removed whole goes on where it ended", goes_on),
    ("front and end may be removed between two syncs", cuts_both_ends),
    ("an end may be removed that begins in the removed front", cuts_across),
    ("an entry that was compacted is not accepted again", refuses_the_removed),
    ("a log that moves on for long keeps its place", moves_on),
];

fn cuts_the_front(rig: &mut Rig<'_>) -> Checkup {
    let all = [records(1..=10, 1), records(11..=20, 2)].concat();
    rig.append(&all)?;
    rig.sync()?;
    rig.compact(1, 1)?;
    rig.holds(&all[1..], 1)?;
    rig.compact(12, 2)?;
    rig.holds(&all[12..], 2)?;
    rig.append(&records(21..=22, 2))?;
    rig.compact(19, 2)?;
    let rest = [&all[19..], &records(21..=22, 2)].concat();
    rig.holds(&rest, 2)
}

fn is_empty_behind(rig: &mut Rig<'_>, last: u64, term: u64) -> Checkup {
    rig.holds(&[], term)?;
    let ends = (Index(last + 1), Index(last));
    expect("the ends of an empty log", ends, (rig.recovered.first, rig.recovered.last))
}

fn cuts_beyond_the_end(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=10, 1))?;
    rig.sync()?;
    rig.compact(50, 6)?;
    is_empty_behind(rig, 50, 6)?;
    let behind = records(51..=55, 7);
    rig.append(&behind)?;
    rig.holds(&behind, 6)?;
    rig.append(&records(56..=60, 7))?;
    rig.compact(70, 8)?;
    let behind = records(71..=72, 9);
    rig.append(&behind)?;
    rig.holds(&behind, 8)
}

fn cuts_the_front_again(rig: &mut Rig<'_>) -> Checkup {
    let all = [records(1..=10, 1), records(11..=20, 2)].concat();
    rig.append(&all)?;
    rig.compact(12, 2)?;
    for last in [12, 5, 1] {
        rig.compact(last, if last > 10 { 2 } else { 1 })?;
        rig.holds(&all[12..], 2)?;
    }
    rig.compact(30, 4)?;
    rig.compact(25, 3)?;
    rig.compact(30, 4)?;
    is_empty_behind(rig, 30, 4)
}

fn cuts_before_a_sync(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=10, 1);
    rig.append(&all[..6])?;
    rig.compact(4, 1)?;
    rig.append(&all[6..])?;
    rig.reads(&all[4..])?;
    rig.holds(&all[4..], 1)
}

/// The place is all that is left of such a log, and must outlive any number of restarts.
fn goes_on(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=10, 3))?;
    rig.sync()?;
    rig.compact(10, 3)?;
    for _ in 0..3 {
        is_empty_behind(rig, 10, 3)?;
    }
    let more = records(11..=12, 4);
    rig.append(&more)?;
    rig.holds(&more, 3)?;
    rig.compact(12, 4)?;
    is_empty_behind(rig, 12, 4)
}

fn cuts_both_ends(rig: &mut Rig<'_>) -> Checkup {
    let all = [records(1..=10, 1), records(11..=20, 2)].concat();
    rig.append(&all)?;
    rig.sync()?;
    rig.compact(5, 1)?;
    rig.cut(16)?;
    rig.holds(&all[5..15], 1)?;
    rig.cut(13)?;
    rig.append(&records(13..=14, 3))?;
    rig.compact(11, 2)?;
    rig.holds(&[&all[11..12], &records(13..=14, 3)].concat(), 2)?;
    rig.cut(14)?;
    rig.compact(13, 3)?;
    is_empty_behind(rig, 13, 3)
}

fn cuts_across(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=20, 1);
    rig.append(&all)?;
    rig.sync()?;
    rig.compact(10, 1)?;
    rig.cut(5)?;
    is_empty_behind(rig, 10, 1)?;
    let anew = records(11..=15, 2);
    rig.append(&anew)?;
    rig.holds(&anew, 1)?;
    rig.cut(11)?;
    rig.append(&records(11..=12, 3))?;
    rig.holds(&records(11..=12, 3), 1)
}

fn refuses_the_removed(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=20, 1))?;
    rig.compact(20, 1)?;
    rig.sync()?;
    let refused = rig.store()?.append(&records(20..=21, 2), Index::ZERO).is_err();
    ensure(refused, || "append(20..=21) after truncate_prefix(20) was taken".into())?;
    rig.reopen()?;
    is_empty_behind(rig, 20, 1)
}

fn moves_on(rig: &mut Rig<'_>) -> Checkup {
    let mut rest: Vec<Record> = Vec::new();
    for round in 0..30 {
        let more = records(round * 50 + 1..=round * 50 + 50, round + 1);
        rig.append(&more)?;
        rest.extend(more);
        let gone = rest.len() - 20;
        rig.compact(rest[gone - 1].index.0, rest[gone - 1].term.0)?;
        rest.drain(..gone);
        if round % 10 == 0 {
            rig.sync()?;
        }
    }
    rig.holds(&rest, 30)
}
