//! Rules about what a store tells of its entries when it is opened.

use super::Rule;
use super::rig::{Checkup, Rig, ensure, expect, records};
use crate::codec::encode_entry;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::membership::Membership;
use crate::consensus::types::{ClusterId, Index, Term};
use crate::storage::Record;
use std::sync::Arc;

pub const RULES: &[Rule] = &[
    ("changes of membership are found", finds_memberships),
    ("the host's last entry is found", finds_the_last_application_entry),
    ("a commit hint never lies beyond the log", hints_within_the_log),
];

fn membership(index: u64, number: u64) -> Record {
    let membership = Membership { cluster: ClusterId(2), number, ..Membership::default() };
    let payload = Payload::Membership(Arc::new(membership));
    encode_entry(&Entry { index: Index(index), term: Term(1), payload })
}

fn finds_memberships(rig: &mut Rig<'_>) -> Checkup {
    let changes = [membership(3, 1), membership(7, 2), membership(9, 3)];
    let mut all = records(1..=10, 1);
    for change in &changes {
        all[change.index.0 as usize - 1] = change.clone();
    }
    rig.append(&all)?;
    rig.holds(&all, 0)?;
    expect("memberships", &changes[..], &rig.recovered.memberships)?;
    rig.cut(9)?;
    rig.compact(3, 1)?;
    rig.holds(&all[3..8], 1)?;
    expect("memberships", &changes[1..2], &rig.recovered.memberships)
}

fn finds_the_last_application_entry(rig: &mut Rig<'_>) -> Checkup {
    let mut all = records(1..=8, 1);
    for index in [1, 5, 6, 8] {
        all[index as usize - 1] = membership(index, index);
    }
    rig.append(&all)?;
    for (cut, last) in [(9, 7), (8, 7), (7, 4), (4, 3), (2, 0)] {
        rig.cut(cut)?;
        rig.sync()?;
        rig.reopen()?;
        expect("the host's last entry", Index(last), rig.recovered.last_application)?;
    }
    rig.append(&records(2..=9, 2))?;
    rig.compact(9, 2)?;
    rig.sync()?;
    rig.reopen()?;
    expect("nothing of the host's is in the log", Index(0), rig.recovered.last_application)
}

fn hints_within_the_log(rig: &mut Rig<'_>) -> Checkup {
    rig.append_hinting(&records(1..=10, 1), 4)?;
    rig.sync()?;
    rig.append_hinting(&records(11..=12, 1), 99)?;
    rig.sync()?;
    rig.reopen()?;
    hint_is_up_to(rig, 12, "the log ends there, whatever hint came with it")?;
    rig.cut(7)?;
    rig.sync()?;
    rig.reopen()?;
    hint_is_up_to(rig, 6, "the log was cut there")?;
    rig.append(&records(7..=12, 2))?;
    rig.sync()?;
    rig.reopen()?;
    hint_is_up_to(rig, 6, "the log was cut there, and what came then is not known as committed")
}

fn hint_is_up_to(rig: &Rig<'_>, last: u64, why: &str) -> Checkup {
    let hint = rig.recovered.commit_hint;
    ensure(hint <= Index(last), || format!("the commit hint is {hint}, beyond {last}: {why}"))
}
