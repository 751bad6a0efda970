//! Hostile bytes: one function for each place where bytes come in from outside.
//!
//! A target takes any bytes and panics when quorate does with them what it must not: it panics itself,
//! takes more memory than the bytes are worth, reads back something else than it wrote, or answers
//! otherwise when they come in pieces. `tests/fuzz` runs the targets under libFuzzer (`make fuzz`); the
//! inputs that it keeps stand in `tests/fuzz/corpus`, one pack a target, and are played in every run of
//! the tests, before and after mutation (`mutate`).

pub mod calls;
pub mod input;
pub mod message;
pub mod meter;
pub mod mutate;
pub mod pack;
pub mod repair;
pub mod segment;
pub mod settings;
pub mod wire;

/// One place where bytes come in.
#[derive(Clone, Copy)]
pub struct Target {
    /// Names the corpus too.
    pub name: &'static str,
    /// What is tried. Panics when it finds something.
    pub run: fn(&[u8]),
    /// Where the corpus begins: made by the encoders themselves.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Bytes that mean something there.
    pub words: &'static [&'static [u8]],
    /// Mutated inputs in a normal run of the tests.
    pub share: u64,
}

macro_rules! messages {
    ($($number:literal)*) => {
        [$(Target {
            name: message::NAMES[$number],
            run: message::run::<$number>,
            seeds: message::seeds::<$number>,
            words: wire::WORDS,
            share: 6_000,
        }),*]
    };
}

const MESSAGES: [Target; message::NAMES.len()] =
    messages!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17);

/// All targets.
#[must_use]
pub fn all() -> Vec<Target> {
    let target = |name, run, seeds, words, share| Target { name, run, seeds, words, share };
    let others = [
        target("frame", wire::frame, wire::frames, wire::WORDS, 20_000),
        target("hello", wire::hello, wire::hellos, wire::WORDS, 20_000),
        target("packet", wire::packet, wire::packets, wire::WORDS, 20_000),
        target("payload", wire::payload, wire::payloads, wire::WORDS, 20_000),
        target("state", wire::state, wire::states, &[], 20_000),
        target("calls", calls::run, calls::seeds, calls::WORDS, 8_000),
        target("segment", segment::run, segment::seeds, segment::WORDS, 20_000),
        target("settings", settings::run, settings::seeds, settings::WORDS, 20_000),
    ];
    others.into_iter().chain(MESSAGES).collect()
}

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}
