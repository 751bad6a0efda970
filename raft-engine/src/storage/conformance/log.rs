//! Rules about adding entries.

use super::Rule;
use super::rig::{Checkup, Rig, ends, ensure, record, records, sized, with};
use crate::consensus::types::Index;
use crate::storage::Record;

pub const RULES: &[Rule] = &[
    ("an entry that leaves a gap is refused, and nothing changes", refuses_gaps),
    ("an entry that is there already is refused, and nothing changes", refuses_repeats),
    ("a log may begin anywhere", begins_anywhere),
    ("indexes and terms beyond 32 bits are kept", keeps_large_numbers),
    ("an append of nothing changes nothing", appends_nothing),
    ("payloads of any bytes are kept", keeps_any_bytes),
    ("payloads of any length are kept, none included", keeps_any_length),
    ("payloads of 4 MiB and more are kept", keeps_large_ones),
    ("thousands of entries in one call are kept", keeps_large_batches),
    ("tens of thousands of entries are kept", keeps_many),
    ("one sync is enough for many calls", syncs_many),
    ("a sync with nothing to do is harmless", syncs_nothing),
    ("each entry keeps its own term", keeps_terms),
];

fn refuses(rig: &mut Rig<'_>, wrong: &[Record], right: &[Record]) -> Checkup {
    let refused = rig.store()?.append(wrong, Index::ZERO).is_err();
    let taken = || format!("append({}) to a log of {} was taken", ends(wrong), ends(right));
    ensure(refused, taken)?;
    rig.reopen()?;
    rig.recovered_is(right, 0)?;
    rig.reads(right)
}

fn refuses_gaps(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=3, 1);
    rig.append(&all)?;
    rig.sync()?;
    refuses(rig, &[record(5, 1)], &all)?;
    refuses(rig, &records(100..=105, 2), &all)
}

fn refuses_repeats(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=3, 1);
    rig.append(&all)?;
    rig.sync()?;
    refuses(rig, &[record(3, 2)], &all)?;
    refuses(rig, &records(1..=5, 2), &all)
}

fn begins_anywhere(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1000..=1010, 3);
    rig.append(&all)?;
    rig.holds(&all, 0)
}

fn keeps_large_numbers(rig: &mut Rig<'_>) -> Checkup {
    const FAR: u64 = 1 << 40;
    let mut all = [records(FAR..=FAR + 9, FAR), records(FAR + 10..=FAR + 19, FAR + 1)].concat();
    rig.append(&all)?;
    rig.holds(&all, 0)?;
    rig.cut(FAR + 15)?;
    all.truncate(15);
    rig.holds(&all, 0)?;
    rig.compact(FAR + 4, FAR)?;
    rig.holds(&all[5..], FAR)?;
    let more = records(FAR + 15..=FAR + 17, FAR + 7);
    rig.append(&more)?;
    rig.holds(&[&all[5..], &more].concat(), FAR)
}

fn appends_nothing(rig: &mut Rig<'_>) -> Checkup {
    rig.append(&[])?;
    rig.holds(&[], 0)?;
    let all = records(1..=5, 1);
    rig.append(&all)?;
    rig.append(&[])?;
    rig.holds(&all, 0)?;
    rig.append(&[])?;
    rig.holds(&all, 0)
}

fn keeps_any_bytes(rig: &mut Rig<'_>) -> Checkup {
    let every: Vec<u8> = (0..=255).collect();
    let zeroes = [vec![0; 4], vec![0; 60]].concat();
    let payloads = [
        [&[0; 4][..], &every].concat(),
        zeroes,
        [&[0; 4][..], &[0xff; 64]].concat(),
        [&[0; 4][..], b"'; DROP TABLE log; --\r\n\x1a%s\\0\""].concat(),
        [&[0; 4][..], &every.iter().rev().copied().collect::<Vec<u8>>()].concat(),
    ];
    let all: Vec<Record> =
        (1..).zip(payloads).map(|(index, payload)| with(index, 1, payload)).collect();
    rig.append(&all)?;
    rig.holds(&all, 0)
}

fn keeps_any_length(rig: &mut Rig<'_>) -> Checkup {
    let lengths = (0..=70).chain([255, 256, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536]);
    let all: Vec<Record> = (1..).zip(lengths).map(|(index, len)| sized(index, 1, len)).collect();
    rig.append(&all[..40])?;
    rig.sync()?;
    rig.append(&all[40..])?;
    rig.holds(&all, 0)
}

fn keeps_large_ones(rig: &mut Rig<'_>) -> Checkup {
    let large = [sized(1, 1, 1 << 20), sized(2, 1, 0), sized(3, 1, (4 << 20) + 5), record(4, 1)];
    rig.append(&large)?;
    rig.holds(&large, 0)?;
    let more = sized(5, 1, 4 << 20);
    rig.append(std::slice::from_ref(&more))?;
    rig.holds(&[&large[..], &[more]].concat(), 0)
}

fn keeps_large_batches(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=5000, 1);
    rig.append(&all)?;
    rig.holds(&all, 0)
}

fn keeps_many(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=20_000, 2);
    for batch in all.chunks(777) {
        rig.append(batch)?;
        rig.sync()?;
    }
    rig.holds(&all, 0)
}

fn syncs_many(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=200, 1);
    for one in all.chunks(1) {
        rig.append(one)?;
    }
    rig.holds(&all, 0)
}

fn syncs_nothing(rig: &mut Rig<'_>) -> Checkup {
    rig.sync()?;
    let all = records(1..=3, 1);
    rig.append(&all)?;
    for _ in 0..1000 {
        rig.sync()?;
    }
    rig.holds(&all, 0)?;
    rig.sync()?;
    rig.holds(&all, 0)
}

fn keeps_terms(rig: &mut Rig<'_>) -> Checkup {
    let terms = [1, 1, 2, 3, 3, 3, 7, 1 << 20, 1 << 50, (1 << 50) + 1];
    let all: Vec<Record> = (1..).zip(terms).map(|(index, term)| record(index, term)).collect();
    rig.append(&all[..5])?;
    rig.append(&all[5..])?;
    rig.holds(&all, 0)
}
