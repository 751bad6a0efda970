//! Settings as text: what a person writes, or a script that went wrong.

use super::input::Input;
use super::meter;
use quorate_engine::settings::Settings;

/// Keys, units and values.
pub const WORDS: &[&[u8]] = &[
    b"profile",
    b"lan",
    b"classic",
    b"data_dir",
    b"storage",
    b"wal",
    b"sled",
    b"memory",
    b"listen",
    b"127.0.0.1:0",
    b"[::1]:65535",
    b"heartbeat_timeout",
    b"election_timeout",
    b"pre_vote",
    b"on",
    b"off",
    b"max_entry_bytes",
    b"segment_bytes",
    b"18446744073709551616",
    b"ms",
    b"h",
    b"KiB",
    b"GiB",
    b"\0",
    "\u{0130}\u{1f600}".as_bytes(),
];

/// Pairs of key and value. A value is taken whole or the settings stay as they were; what was taken is
/// taken again; a refusal says what is wrong.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut settings = Settings::new();
    while !input.is_empty() {
        let (key, value) = (key(&mut input), input.text());
        try_one(&mut settings, &key, &value);
    }
}

/// Half of the keys are known ones.
fn key(input: &mut Input<'_>) -> String {
    let known = Settings::all();
    match input.u8() {
        0 => input.text(),
        number => known[usize::from(number) % known.len()].key.to_owned(),
    }
}

fn try_one(settings: &mut Settings, key: &str, value: &str) {
    let before = format!("{settings:?}");
    let limit = 64 * (key.len() + value.len()) + (8 << 10);
    match meter::within(limit, || settings.set(key, value)) {
        Ok(()) => {
            let after = format!("{settings:?}");
            settings.set(key, value).expect("what was taken is taken again");
            assert_eq!(format!("{settings:?}"), after);
        }
        Err(error) => {
            assert_eq!(format!("{settings:?}"), before, "what is refused changes nothing");
            assert!(error.message.contains(key), "{key:?}: {}", error.message);
        }
    }
}

/// Every setting with its default, and values that people get wrong.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let odd = ["", "0", "1s", "5 s", "1.5s", "-1", "24h", "1025h", "16MiB", "ON", "a:b:1", ":1"];
    let mut seeds = Vec::new();
    for (at, setting) in Settings::all().iter().enumerate() {
        for value in odd.into_iter().chain([setting.default_value]) {
            let mut seed = vec![at as u8 + Settings::all().len() as u8, value.len() as u8];
            seed.extend_from_slice(value.as_bytes());
            seeds.push(seed);
        }
    }
    for key in ["", "listn", "data-dir", "PROFILE", "\u{fffd}"] {
        let (head, tail) = ([0, key.len() as u8], [1, b'x']);
        seeds.push([&head[..], key.as_bytes(), &tail[..]].concat());
    }
    seeds
}
