//! Rules about values beside the log. The engine keeps its term and vote in one: a value that is lost
//! or old lets a node vote twice.

use super::Rule;
use super::rig::{Checkup, Rig, ensure, records, state};
use crate::storage::STATE_KEY;

pub const RULES: &[Rule] = &[
    ("the state is kept whole, the newest one", keeps_state),
    ("other metadata are kept, each on its own", keeps_metadata),
    ("a value without bytes is not the same as none", keeps_empty_values),
    ("values of any bytes are kept", keeps_any_bytes),
    ("values of 64 KiB are kept, and nothing of them behind a shorter one", keeps_large_values),
    ("many keys are kept", keeps_many_keys),
    ("keys that look alike are kept apart", keeps_keys_apart),
    ("of many values for one key the last one counts", keeps_the_last),
    ("metadata need no sync, and sync nothing else out of order", needs_no_sync),
    ("metadata outlive the whole log", outlives_the_log),
];

fn keeps_state(rig: &mut Rig<'_>) -> Checkup {
    for run in [7, 8, 9] {
        rig.put(STATE_KEY, &state(run))?;
    }
    rig.has(STATE_KEY, Some(&state(9)))?;
    rig.make(super::Make::Again)?;
    rig.open()?;
    rig.has(STATE_KEY, Some(&state(9)))
}

fn all_are_kept(rig: &mut Rig<'_>, values: &[(&str, Vec<u8>)]) -> Checkup {
    for (key, value) in values {
        rig.put(key, value)?;
        rig.has(key, Some(value))?;
    }
    for _ in 0..2 {
        rig.reopen()?;
        for (key, value) in values {
            rig.has(key, Some(value))?;
        }
    }
    Ok(())
}

fn keeps_metadata(rig: &mut Rig<'_>) -> Checkup {
    rig.put("a", b"1")?;
    rig.put("a", b"2 and more")?;
    all_are_kept(rig, &[("b", b"3".to_vec()), ("d", b"4".to_vec())])?;
    rig.has("a", Some(b"2 and more"))?;
    rig.has("c", None)
}

fn keeps_empty_values(rig: &mut Rig<'_>) -> Checkup {
    rig.has("a", None)?;
    all_are_kept(rig, &[("a", vec![]), ("b", b"full".to_vec())])?;
    rig.put("b", b"")?;
    rig.has("b", Some(b""))?;
    rig.reopen()?;
    rig.has("b", Some(b""))?;
    rig.has("c", None)
}

fn keeps_any_bytes(rig: &mut Rig<'_>) -> Checkup {
    let every: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    all_are_kept(rig, &[("a", every), ("b", vec![0; 9]), ("c", vec![0xff; 9])])
}

fn keeps_large_values(rig: &mut Rig<'_>) -> Checkup {
    let large: Vec<u8> = (0..65_536u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    all_are_kept(rig, &[("a", large.clone()), ("b", large[..5000].to_vec())])?;
    all_are_kept(rig, &[("a", b"short".to_vec())])?;
    rig.has("b", Some(&large[..5000]))
}

fn keeps_many_keys(rig: &mut Rig<'_>) -> Checkup {
    let keys: Vec<String> = (0..64).map(|n| format!("key.{n}")).collect();
    let values: Vec<(&str, Vec<u8>)> =
        keys.iter().map(|key| (key.as_str(), format!("of {key}").into_bytes())).collect();
    all_are_kept(rig, &values)
}

fn keeps_keys_apart(rig: &mut Rig<'_>) -> Checkup {
    let long = "k".repeat(100);
    let longer = format!("{long}k");
    let keys = [
        "a",
        "A",
        "a ",
        " a",
        "a.b",
        "a/b",
        "a\\b",
        "../a",
        "a\nb",
        "a\"b",
        "a'b",
        "a%b",
        "a%20b",
        "a=b",
        "ä",
        "漢",
        "1",
        "01",
        "quorate.state.",
        "quorate",
        &long,
        &longer,
    ];
    let value = |key: &&'_ str| format!("of {key:?}").into_bytes();
    let values: Vec<(&str, Vec<u8>)> = keys.iter().map(|key| (*key, value(key))).collect();
    all_are_kept(rig, &values)
}

fn keeps_the_last(rig: &mut Rig<'_>) -> Checkup {
    for n in 0..60u32 {
        rig.put("a", &vec![n as u8; (n * 7 % 50) as usize])?;
    }
    rig.has("a", Some(&[59; 13]))?;
    rig.reopen()?;
    rig.has("a", Some(&[59; 13]))
}

fn needs_no_sync(rig: &mut Rig<'_>) -> Checkup {
    let all = records(1..=30, 1);
    rig.append(&all[..10])?;
    rig.sync()?;
    for n in 10..30u8 {
        rig.append(&all[n as usize..=n as usize])?;
        if n % 5 == 0 {
            rig.put("a", &[n])?;
        }
    }
    rig.reopen()?;
    rig.has("a", Some(&[25]))?;
    let last = rig.recovered.last.0 as usize;
    ensure((10..=30).contains(&last), || {
        format!("of 30 entries, 10 of them synced, {last} are there after a restart")
    })?;
    rig.recovered_is(&all[..last], 0)?;
    rig.reads(&all[..last])
}

fn outlives_the_log(rig: &mut Rig<'_>) -> Checkup {
    rig.put("a", b"1")?;
    rig.append(&records(1..=10, 1))?;
    rig.put("b", b"2")?;
    rig.sync()?;
    rig.cut(1)?;
    rig.sync()?;
    rig.has("a", Some(b"1"))?;
    rig.append(&records(1..=10, 2))?;
    rig.compact(20, 3)?;
    rig.holds(&[], 3)?;
    rig.has("a", Some(b"1"))?;
    rig.has("b", Some(b"2"))
}
