//! The suite that every store must pass, its user's own included. Each check names the rule of the
//! port that it is about; a broken one does not end the run.
//!
//! It can't cut the power: it closes a store and opens it again, which a store that keeps the contract
//! must survive with everything synced, and a prefix of the rest.

mod report;
mod rig;

pub use report::{Checked, Outcome, Report};

use super::{LogStore, Record, Recovered, STATE_KEY, StorageError};
use crate::codec::encode_entry;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::membership::Membership;
use crate::consensus::types::{ClusterId, Index, Term};
use rig::{Rig, expect, record, records, sized, state, text};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a maker is asked for. No store that it gives is open yet: the first call is `open`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Make {
    /// An empty store.
    New,
    /// The store made last, which was closed (dropped), again.
    Again,
    /// What a crash would leave of the store made last, which is still open and in the middle of its
    /// work: for instance a store in a copy of its files, made now. It is then the store made last; the
    /// other one is dropped afterwards. An error of the kind `Unsupported` when there is no way to do
    /// that.
    Crashed,
}

/// Makes the stores that are checked.
pub type Maker<'a> = &'a mut dyn FnMut(Make) -> Result<Box<dyn LogStore>, StorageError>;

type Check = (&'static str, fn(&mut Rig<'_>) -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("a new store is empty", starts_empty),
    ("the state is kept whole, the newest one", keeps_state),
    ("other metadata are kept, each on its own", keeps_metadata),
    ("what was synced is there after a restart", keeps_what_was_synced),
    ("a read gives what was appended, synced or not", reads_what_was_appended),
    ("a read stops at its limit, not before the first record", reads_up_to_a_limit),
    ("a gap is refused", refuses_gaps),
    ("a log may begin anywhere", begins_anywhere),
    ("a truncated suffix is gone, and may be written anew", cuts_the_end),
    ("calls between two syncs take effect in order", keeps_the_order),
    ("a removed prefix is gone; its last term is known", cuts_the_front),
    ("a prefix may reach beyond the end", cuts_beyond_the_end),
    ("changes of membership are found", finds_memberships),
    ("the host's last entry is found", finds_the_last_application_entry),
    ("a commit hint never lies beyond the log", hints_within_the_log),
    ("without a sync a prefix of the calls is kept", keeps_a_prefix),
    ("large and many records are kept", keeps_large_and_many),
    ("a reader reads beside the store", reads_beside),
    ("any order of calls gives the same as the simplest store", agrees_with_a_model),
];

/// Tries all rules, also those after a broken one.
pub fn check(make: Maker<'_>) -> Report {
    let checked = CHECKS.iter().map(|(rule, check)| Checked {
        rule,
        outcome: match guarded(|| check_one(&mut *make, *check)) {
            Ok(()) => Outcome::Passed,
            Err(seen) => Outcome::Broken(seen),
        },
    });
    Report { checks: checked.collect() }
}

/// Returns how many rules hold; the error is the report when one is broken.
pub fn run(make: Maker<'_>) -> Result<usize, String> {
    let report = check(make);
    if report.broken().next().is_some() { Err(report.to_string()) } else { Ok(report.passed()) }
}

fn check_one(make: Maker<'_>, check: fn(&mut Rig<'_>) -> Result<(), String>) -> Result<(), String> {
    let mut rig = Rig::new(make)?;
    rig.begin()?;
    check(&mut rig)
}

/// A store that panics has broken the rule that was tried.
fn guarded(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", said.unwrap_or("without a message")))
    })
}

fn starts_empty(rig: &mut Rig<'_>) -> Result<(), String> {
    expect("recovered", Recovered::default(), rig.recovered.clone())?;
    rig.reopen()?;
    expect("recovered after a restart", Recovered::default(), rig.recovered.clone())?;
    let other = rig.store()?.metadata_get("none").map_err(text)?;
    expect("metadata that nobody put", None, other)
}

fn keeps_state(rig: &mut Rig<'_>) -> Result<(), String> {
    for run in [7, 8, 9] {
        rig.store()?.metadata_put(STATE_KEY, &state(run)).map_err(text)?;
    }
    let found = rig.store()?.metadata_get(STATE_KEY).map_err(text)?;
    expect("the state", Some(state(9).to_vec()), found)?;
    rig.close_and_make()?;
    rig.store()?.open().map_err(text)?;
    let found = rig.store()?.metadata_get(STATE_KEY).map_err(text)?;
    expect("the state after a restart", Some(state(9).to_vec()), found)
}

fn keeps_metadata(rig: &mut Rig<'_>) -> Result<(), String> {
    for (key, value) in [("a", &b"1"[..]), ("b", b""), ("a", b"2 and more")] {
        rig.store()?.metadata_put(key, value).map_err(text)?;
    }
    rig.reopen()?;
    for (key, value) in [("a", Some(&b"2 and more"[..])), ("b", Some(b"")), ("c", None)] {
        let found = rig.store()?.metadata_get(key).map_err(text)?;
        expect(key, value.map(<[u8]>::to_vec), found)?;
    }
    Ok(())
}

fn keeps_what_was_synced(rig: &mut Rig<'_>) -> Result<(), String> {
    let mut all = records(1..=10, 1);
    rig.append(&all)?;
    rig.holds(&all, 0)?;
    let more = [records(11..=12, 1), records(13..=15, 4)].concat();
    rig.append(&more)?;
    all.extend(more);
    rig.holds(&all, 0)?;
    rig.holds(&all, 0)
}

fn reads_what_was_appended(rig: &mut Rig<'_>) -> Result<(), String> {
    let all = records(1..=30, 1);
    rig.append(&all[..10])?;
    rig.sync()?;
    rig.append(&all[10..20])?;
    rig.sync()?;
    rig.append(&all[20..])?;
    for (first, last) in [(1, 30), (1, 1), (9, 12), (15, 25), (20, 21), (21, 21), (30, 30)] {
        let found = rig.read(first, last)?;
        expect("records", &all[first as usize - 1..last as usize], &found)?;
    }
    Ok(())
}

fn reads_up_to_a_limit(rig: &mut Rig<'_>) -> Result<(), String> {
    let all: Vec<Record> = (1..=20).map(|index| sized(index, 1, 100)).collect();
    rig.append(&all[..10])?;
    rig.sync()?;
    rig.append(&all[10..])?;
    for (first, limit, most) in [(1, 0, 1), (1, 1, 1), (5, 250, 3), (9, 450, 5), (12, 99, 1)] {
        let found = rig.store()?.read(Index(first), Index(20), limit).map_err(text)?;
        expect("not empty, not too much", true, (1..=most).contains(&found.len()))?;
        let from = first as usize - 1;
        expect("records", &all[from..from + found.len()], &found)?;
    }
    Ok(())
}

fn refuses_gaps(rig: &mut Rig<'_>) -> Result<(), String> {
    rig.append(&records(1..=3, 1))?;
    let gap = rig.store()?.append(&[record(5, 1)], Index::ZERO);
    expect("appending 5 after 3 is refused", true, gap.is_err())
}

fn begins_anywhere(rig: &mut Rig<'_>) -> Result<(), String> {
    let all = records(1000..=1010, 3);
    rig.append(&all)?;
    rig.holds(&all, 0)
}

fn cuts_the_end(rig: &mut Rig<'_>) -> Result<(), String> {
    let mut all = records(1..=20, 1);
    rig.append(&all)?;
    rig.sync()?;
    rig.cut(21)?;
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

fn keeps_the_order(rig: &mut Rig<'_>) -> Result<(), String> {
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

fn cuts_the_front(rig: &mut Rig<'_>) -> Result<(), String> {
    let all = [records(1..=10, 1), records(11..=20, 2)].concat();
    rig.append(&all)?;
    rig.sync()?;
    rig.compact(12, 2)?;
    rig.holds(&all[12..], 2)?;
    rig.compact(5, 1)?;
    rig.holds(&all[12..], 2)?;
    rig.append(&records(21..=22, 2))?;
    rig.compact(19, 2)?;
    let rest = [&all[19..], &records(21..=22, 2)].concat();
    rig.holds(&rest, 2)?;
    let gone = rig.store()?.read(Index(12), Index(21), 100);
    expect("reading what was removed is refused", true, gone.is_err())
}

fn cuts_beyond_the_end(rig: &mut Rig<'_>) -> Result<(), String> {
    rig.append(&records(1..=10, 1))?;
    rig.sync()?;
    rig.compact(50, 6)?;
    rig.holds(&[], 6)?;
    expect("the ends", (Index(51), Index(50)), (rig.recovered.first, rig.recovered.last))?;
    let behind = records(51..=55, 7);
    rig.append(&behind)?;
    rig.holds(&behind, 6)?;
    rig.append(&records(56..=60, 7))?;
    rig.compact(70, 8)?;
    let behind = records(71..=72, 9);
    rig.append(&behind)?;
    rig.holds(&behind, 8)
}

fn membership(index: u64, number: u64) -> Record {
    let membership = Membership { cluster: ClusterId(2), number, ..Membership::default() };
    let payload = Payload::Membership(Arc::new(membership));
    encode_entry(&Entry { index: Index(index), term: Term(1), payload })
}

fn finds_memberships(rig: &mut Rig<'_>) -> Result<(), String> {
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

fn finds_the_last_application_entry(rig: &mut Rig<'_>) -> Result<(), String> {
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

fn hints_within_the_log(rig: &mut Rig<'_>) -> Result<(), String> {
    rig.store()?.append(&records(1..=10, 1), Index(4)).map_err(text)?;
    rig.sync()?;
    rig.store()?.append(&records(11..=12, 1), Index(99)).map_err(text)?;
    rig.sync()?;
    rig.reopen()?;
    expect("a hint beyond the log is cut", true, rig.recovered.commit_hint <= Index(12))?;
    rig.cut(7)?;
    rig.sync()?;
    rig.reopen()?;
    expect("a hint does not outlive a truncation", true, rig.recovered.commit_hint <= Index(6))?;
    rig.append(&records(7..=12, 2))?;
    rig.sync()?;
    rig.reopen()?;
    expect("nor comes back with other entries", true, rig.recovered.commit_hint <= Index(6))
}

fn keeps_a_prefix(rig: &mut Rig<'_>) -> Result<(), String> {
    let all = records(1..=60, 1);
    rig.append(&all[..10])?;
    rig.sync()?;
    for at in 10..60 {
        rig.append(&all[at..=at])?;
    }
    rig.reopen()?;
    let last = rig.recovered.last.0 as usize;
    expect("what was synced is there", true, (10..=60).contains(&last))?;
    rig.holds(&all[..last], 0)
}

fn keeps_large_and_many(rig: &mut Rig<'_>) -> Result<(), String> {
    let large = [sized(1, 1, 1 << 20), sized(2, 1, 0), sized(3, 1, (4 << 20) + 5), record(4, 1)];
    rig.append(&large)?;
    rig.holds(&large, 0)?;
    let many = records(5..=20_000, 2);
    for batch in many.chunks(777) {
        rig.append(batch)?;
        rig.sync()?;
    }
    let all = [&large[..], &many].concat();
    rig.holds(&all, 0)
}

fn reads_beside(rig: &mut Rig<'_>) -> Result<(), String> {
    let all = records(1..=500, 1);
    rig.append(&all[..400])?;
    rig.sync()?;
    let Some(mut reader) = rig.store()?.reader() else { return Ok(()) };
    let beside = std::thread::spawn(move || reader.read(Index(10), Index(400), 1 << 20));
    rig.append(&all[400..])?;
    rig.sync()?;
    let found = beside.join().map_err(|_| "the reader panicked")?.map_err(text)?;
    expect("records", &all[9..9 + found.len()], &found)?;
    let mut reader = rig.store()?.reader().ok_or("no reader any more")?;
    let found = reader.read(Index(500), Index(500), 0).map_err(text)?;
    expect("the last record", &all[499..], &found)
}

/// A store that is a vector.
#[derive(Clone, Default)]
struct Model {
    records: Vec<Record>,
    next: u64,
    base: u64,
    prev_term: u64,
}

impl Model {
    fn cut(&mut self, first: u64) {
        let first = first.max(self.base);
        self.records.retain(|record| record.index.0 < first);
        self.next = self.next.min(first);
    }

    fn compact(&mut self, last: u64, term: u64) {
        self.records.retain(|record| record.index.0 > last);
        (self.base, self.prev_term) = (last + 1, term);
        self.next = self.next.max(last + 1);
    }
}

fn agrees_with_a_model(rig: &mut Rig<'_>) -> Result<(), String> {
    let mut model = Model { next: 1, ..Model::default() };
    let mut dice = 0x5eed_u64;
    for step in 0..600 {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let (choice, size) = (dice >> 60, dice >> 40 & 0xff);
        one_step(rig, &mut model, choice, size, 1 + step / 20)
            .map_err(|e| format!("in step {step} (choice {choice}, size {size}): {e}"))?;
    }
    rig.holds(&model.records, model.prev_term)
}

fn one_step(
    rig: &mut Rig<'_>,
    model: &mut Model,
    choice: u64,
    size: u64,
    term: u64,
) -> Result<(), String> {
    match choice {
        0..9 => {
            let more = records(model.next..=model.next + size % 32, term);
            rig.append(&more)?;
            model.next += more.len() as u64;
            model.records.extend(more);
        }
        9 | 10 => {
            let first = model.next.saturating_sub(size % 50).max(1);
            rig.cut(first)?;
            model.cut(first);
        }
        11 => {
            let last = model.next + size % 8 - (size % 64).min(model.next);
            if last >= model.base.max(1) {
                let known = model.records.iter().find(|record| record.index.0 == last);
                let last_term = known.map_or(term, |record| record.term.0);
                rig.compact(last, last_term)?;
                model.compact(last, last_term);
            }
        }
        12 | 13 => rig.sync()?,
        14 => rig.reads(&model.records)?,
        _ => rig.holds(&model.records, model.prev_term)?,
    }
    Ok(())
}
