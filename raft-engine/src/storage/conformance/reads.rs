//! Rules about reading.

use super::Rule;
use super::rig::{Checkup, Rig, Stop, ensure, records, same, sized};
use crate::consensus::types::Index;
use crate::storage::{LogReader, Record};

pub const RULES: &[Rule] = &[
    ("a read gives what was appended, synced or not", reads_what_was_appended),
    ("a read gives the entries that were asked for", reads_any_range),
    ("a read stops at its limit, not before the first entry", reads_up_to_a_limit),
    ("a read takes the largest limit there is", reads_without_a_limit),
    ("a log that is read in pieces is the same", reads_in_pieces),
    ("a read sees what was rewritten, not what was there", reads_what_was_rewritten),
    ("a read of what is not there is refused, and nothing changes", refuses_what_is_not_there),
    ("a reader reads beside the store", reads_beside),
    ("a reader sees what was rewritten, not what was there", reads_anew_beside),
];

fn reads_what_was_appended(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=30, 1);
    rig.append(&all[..10])?;
    rig.sync()?;
    rig.append(&all[10..20])?;
    rig.reads(&all[..20])?;
    rig.sync()?;
    rig.append(&all[20..])?;
    for (first, last) in [(1, 30), (1, 1), (9, 12), (15, 25), (20, 21), (21, 21), (30, 30)] {
        rig.reads(&all[first - 1..last])?;
    }
    Ok(())
}

fn reads_any_range(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=12, 1);
    rig.append(&all[..9])?;
    rig.sync()?;
    rig.append(&all[9..])?;
    for first in 0..12 {
        for last in first..12 {
            rig.reads(&all[first..=last])?;
        }
    }
    Ok(())
}

fn reads_up_to_a_limit(rig: &mut Rig<'_>) -> Checkup {
    let all: Vec<Record> = (1..=20).map(|index| sized(index, 1, 100)).collect();
    rig.append(&all[..10])?;
    rig.sync()?;
    rig.append(&all[10..])?;
    for (first, limit, most) in [(1, 0, 1), (1, 1, 1), (5, 250, 3), (9, 450, 5), (12, 99, 1)] {
        let found = rig.piece(first, 20, limit)?;
        let many = || format!("a read of {limit} bytes gave {} entries of 100 bytes", found.len());
        ensure(found.len() <= most, many)?;
        let from = first as usize - 1;
        same(&all[from..from + found.len()], &found)?;
    }
    Ok(())
}

/// Such a number must not overflow, nor be taken for a negative one.
fn reads_without_a_limit(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=25, 1);
    rig.append(&all[..20])?;
    rig.sync()?;
    rig.append(&all[20..])?;
    for limit in [1 << 31, 1 << 32, usize::MAX >> 1, usize::MAX] {
        same(&all, &rig.read_in_pieces(1, 25, limit)?)?;
        same(&all[19..22], &rig.read_in_pieces(20, 22, limit)?)?;
    }
    Ok(())
}

fn reads_in_pieces(rig: &mut Rig<'_>) -> Checkup {
    let all: Vec<Record> =
        (1..=60).map(|index| sized(index, 1, (index * index % 700) as usize)).collect();
    rig.append(&all[..45])?;
    rig.sync()?;
    rig.append(&all[45..])?;
    for limit in [0, 1, 300, 1000, 5000] {
        same(&all, &rig.read_in_pieces(1, 60, limit)?)?;
    }
    rig.holds(&all, 0)
}

/// A cache, or a file that was not cut, may still know what was there before.
fn reads_what_was_rewritten(rig: &mut Rig<'_>) -> Checkup {
    let old = records(1..=20, 1);
    rig.append(&old)?;
    rig.sync()?;
    rig.reads(&old)?;
    rig.cut(8)?;
    rig.reads(&old[..7])?;
    let new: Vec<Record> = (8..=14).map(|index| sized(index, 2, 500)).collect();
    rig.append(&new)?;
    let all = [&old[..7], &new].concat();
    for at in 0..all.len() {
        rig.reads(&all[at..])?;
        rig.reads(&all[..=at])?;
    }
    rig.sync()?;
    rig.reads(&all)?;
    rig.holds(&all, 0)
}

fn refuses_what_is_not_there(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=10, 1);
    rig.append(&all)?;
    rig.sync()?;
    rig.compact(3, 1)?;
    for (first, last) in [(3, 5), (1, 1), (10, 11), (11, 11), (50, 60), (0, 5)] {
        let refused = rig.store()?.read(Index(first), Index(last), 100).is_err();
        ensure(refused, || format!("read({first}, {last}) of a log of 4..=10 gave something"))?;
    }
    rig.holds(&all[3..], 1)
}

fn reader(rig: &mut Rig<'_>) -> Checkup<Box<dyn LogReader>> {
    let none = || Stop::Skipped("the store has no readers for other threads".into());
    rig.store()?.reader().ok_or_else(none)
}

fn read(reader: &mut dyn LogReader, first: u64, last: u64) -> Checkup<Vec<Record>> {
    let mut records = Vec::new();
    let mut next = first;
    while next <= last {
        let more = reader.read(Index(next), Index(last), 1 << 20);
        let more = more.map_err(|e| format!("the reader's read({next}, {last}) failed: {e}"))?;
        ensure(!more.is_empty(), || format!("the reader's read({next}, {last}) gave nothing"))?;
        next += more.len() as u64;
        records.extend(more);
    }
    Ok(records)
}

fn reads_beside(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=500, 1);
    rig.append(&all[..400])?;
    rig.sync()?;
    let mut beside = reader(rig)?;
    let thread = std::thread::Builder::new().spawn(move || read(&mut *beside, 10, 400));
    let thread = thread.map_err(|e| Stop::Skipped(format!("no thread could be made: {e}")))?;
    let written = rig.append(&all[400..]).and_then(|()| rig.sync());
    let found = thread.join().map_err(|_| "the reader panicked")??;
    written?;
    same(&all[9..400], &found)?;
    let mut beside = reader(rig)?;
    same(&all[499..], &read(&mut *beside, 500, 500)?)
}

fn reads_anew_beside(rig: &mut Rig<'_>) -> Checkup {
    let old = records(1..=20, 1);
    rig.append(&old)?;
    rig.sync()?;
    let (mut one, mut other) = (reader(rig)?, reader(rig)?);
    same(&old, &read(&mut *one, 1, 20)?)?;
    rig.cut(8)?;
    let new = records(8..=20, 2);
    rig.append(&new)?;
    rig.sync()?;
    let all = [&old[..7], &new].concat();
    same(&all, &read(&mut *one, 1, 20)?)?;
    same(&all[5..], &read(&mut *other, 6, 20)?)
}
