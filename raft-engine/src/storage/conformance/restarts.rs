//! Rules about opening and closing.

use super::rig::{Checkup, Rig, Stop, ensure, expect, record, records};
use super::{Make, Rule};
use crate::storage::Recovered;

pub const RULES: &[Rule] = &[
    ("a new store is empty", starts_empty),
    ("a new store has nothing of another one", starts_apart),
    ("what was synced is there after a restart", keeps_what_was_synced),
    ("without a sync a prefix of the calls is kept", keeps_a_prefix),
    ("a log can be read as soon as it is open", reads_at_once),
    ("opening and closing changes nothing", opens_without_a_trace),
    ("a store that was only opened opens again", opens_when_nothing_was_put),
    ("fifty restarts with an entry each lose nothing", restarts_often),
    ("opening and closing leaks no file", leaks_nothing),
];

fn starts_empty(rig: &mut Rig<'_>) -> Checkup {
    expect("what open found", Recovered::default(), rig.recovered.clone())?;
    rig.reopen()?;
    expect("what open found after a restart", Recovered::default(), rig.recovered.clone())?;
    rig.has("none", None)
}

fn starts_apart(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=5, 1))?;
    rig.put("a", b"1")?;
    rig.sync()?;
    rig.make(Make::New)?;
    rig.begin()?;
    expect("what open found in the second store", Recovered::default(), rig.recovered.clone())?;
    rig.has("a", None)
}

fn keeps_what_was_synced(rig: &mut Rig<'_>) -> Checkup {
    let mut all = records(1..=10, 1);
    rig.append(&all)?;
    rig.holds(&all, 0)?;
    let more = [records(11..=12, 1), records(13..=15, 4)].concat();
    rig.append(&more)?;
    all.extend(more);
    rig.holds(&all, 0)?;
    rig.holds(&all, 0)
}

fn keeps_a_prefix(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=60, 1);
    rig.append(&all[..10])?;
    rig.sync()?;
    for at in 10..60 {
        rig.append(&all[at..=at])?;
    }
    rig.reopen()?;
    let last = rig.recovered.last.0 as usize;
    ensure((10..=60).contains(&last), || {
        format!("of 60 entries, 10 of them synced, {last} are there after a restart")
    })?;
    rig.holds(&all[..last], 0)
}

fn reads_at_once(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=30, 1);
    rig.append(&all)?;
    rig.sync()?;
    rig.make(Make::Again)?;
    rig.open()?;
    rig.reads(&all[17..25])?;
    rig.reads(&all)
}

fn opens_without_a_trace(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=30, 1);
    rig.append(&all)?;
    rig.put("a", b"1")?;
    rig.sync()?;
    for _ in 0..5 {
        rig.make(Make::Again)?;
        rig.open()?;
        rig.recovered_is(&all, 0)?;
        rig.has("a", Some(b"1"))?;
    }
    rig.make(Make::Again)?;
    rig.begin()?;
    rig.append(&[record(31, 1)])?;
    rig.holds(&[&all[..], &[record(31, 1)]].concat(), 0)
}

fn opens_when_nothing_was_put(rig: &mut Rig<'_>) -> Checkup {
    rig.make(Make::New)?;
    for _ in 0..3 {
        rig.open()?;
        expect("what open found", Recovered::default(), rig.recovered.clone())?;
        rig.make(Make::Again)?;
    }
    rig.begin()?;
    rig.append(&records(1..=3, 1))?;
    rig.holds(&records(1..=3, 1), 0)
}

fn restarts_often(rig: &mut Rig<'_>) -> Checkup {
    for index in 1..=50 {
        rig.append(&[record(index, index)])?;
        rig.sync()?;
        rig.reopen()?;
        expect("the last index at open", index, rig.recovered.last.0)?;
    }
    let all: Vec<_> = (1..=50).map(|index| record(index, index)).collect();
    rig.holds(&all, 0)
}

/// How often a store is opened and closed while files are counted, and how many more may be open
/// afterwards: something else in this process may have opened some.
const CYCLES: usize = 100;
const STRAYS: usize = CYCLES * 8 / 10;

fn leaks_nothing(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&records(1..=5, 1))?;
    rig.sync()?;
    let mut grown = 0;
    for _ in 0..2 {
        let before = open_files()?;
        for _ in 0..CYCLES {
            rig.make(Make::Again)?;
            rig.open()?;
        }
        grown = open_files()?.saturating_sub(before);
        if grown < STRAYS {
            return Ok(());
        }
    }
    Err(format!("{CYCLES} openings left {grown} more files open than there were before").into())
}

fn open_files() -> Checkup<usize> {
    let listed = std::fs::read_dir("/proc/self/fd");
    listed
        .map(Iterator::count)
        .map_err(|e| Stop::Skipped(format!("open files can't be counted here: {e}")))
}
