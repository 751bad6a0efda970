//! Equal situations have equal fingerprints.
//!
//! What is printed of a state by its derived `Debug` is hashed as it is printed, word by word, so that a
//! field which is added to the core is part of the fingerprint without anybody thinking of it. Three kinds
//! of words are made canonical on the way: a time becomes its distance from the clock of its node, in
//! steps of half an election timeout; of a run only its number counts, not its random part; the state of
//! the random generator, which decides about jitter only, is left out.

use quorate_engine::consensus::types::Time;
use std::fmt::{self, Debug, Write};
use std::time::Duration;

/// What the next word is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// A word as any.
    Plain,
    /// The bracket after the name of a type whose number is made canonical.
    Bracket(Number),
    /// That number.
    Digits(Number),
    /// The colon after the name of the field that is left out.
    Colon,
    /// What is left out.
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Number {
    Time,
    Run,
}

/// Hashes what is printed into it.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    clock: Time,
    unit: Duration,
    next: Next,
    hash: u64,
}

impl Fingerprint {
    /// Of something at a node whose clock shows that.
    #[must_use]
    pub fn new(clock: Time, unit: Duration) -> Fingerprint {
        Fingerprint { clock, unit, next: Next::Plain, hash: 0 }
    }

    /// Takes in a part.
    #[must_use]
    pub fn of(mut self, part: &impl Debug) -> Fingerprint {
        write!(self, "{part:?}").expect("nothing is refused here");
        self
    }

    /// The number.
    #[must_use]
    pub fn finish(&self) -> u64 {
        mix(self.hash)
    }

    /// The distance of a time in steps, from -3 to 3: beyond, all is over, or far.
    fn distance(&self, time: Time) -> i64 {
        let steps = |length: Duration| (length.as_nanos() / self.unit.as_nanos()).min(3) as i64;
        match time {
            Time::NEVER => i64::MAX,
            _ if time >= self.clock => steps(time.since(self.clock)),
            _ => -1 - steps(self.clock.since(time)),
        }
    }

    /// Takes in a word (FNV-1a): a loop without calls, because some thousand words make a state.
    fn take(&mut self, word: &[u8]) {
        let mut number = 0xcbf2_9ce4_8422_2325_u64;
        for &byte in word {
            number = (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.take_number(number);
    }

    fn take_number(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn take_canonical(&mut self, number: Number, word: &str) {
        let value: u64 = word.parse().expect("a number in a bracket");
        match number {
            Number::Time => self.take_number(self.distance(Time(value)) as u64),
            Number::Run => self.take_number(value >> 40),
        }
    }
}

impl Write for Fingerprint {
    fn write_str(&mut self, word: &str) -> fmt::Result {
        let next = match (self.next, word) {
            (Next::Plain, "Time") => Next::Bracket(Number::Time),
            (Next::Plain, "Incarnation") => Next::Bracket(Number::Run),
            (Next::Plain, "random") => Next::Colon,
            (Next::Bracket(number), "(") => Next::Digits(number),
            (Next::Colon, ": ") => Next::Nothing,
            _ => Next::Plain,
        };
        match self.next {
            Next::Digits(number) => self.take_canonical(number, word),
            Next::Nothing => {}
            Next::Plain | Next::Bracket(_) | Next::Colon => self.take(word.as_bytes()),
        }
        self.next = next;
        Ok(())
    }
}

/// Spreads a number over all bits (the end of `SplitMix64`).
#[must_use]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_engine::consensus::types::{Incarnation, Index};

    const UNIT: Duration = Duration::from_millis(500);

    fn at(clock: u64, part: &impl Debug) -> u64 {
        Fingerprint::new(Time(clock), UNIT).of(part).finish()
    }

    #[test]
    fn times_count_by_their_distance() {
        let (second, jitter) = (1_000_000_000, 123_456_789);
        assert_eq!(at(5, &Time(5)), at(9, &Time(9)));
        assert_eq!(at(0, &Time(second)), at(second, &Time(2 * second + jitter)));
        assert_ne!(at(0, &Time(second)), at(second, &Time(second + jitter)));
        assert_ne!(at(0, &Time(second)), at(0, &Time::NEVER));
        assert_ne!(at(second, &Time(0)), at(second, &Time(second)));
    }

    #[test]
    fn runs_count_by_their_number() {
        let run = |counter: u64, random: u64| Incarnation(counter << 40 | random);
        assert_eq!(at(0, &run(2, 7)), at(0, &run(2, 8)));
        assert_ne!(at(0, &run(2, 7)), at(0, &run(3, 7)));
        assert_ne!(at(0, &Index(2 << 40 | 7)), at(0, &Index(2 << 40 | 8)), "an index is no run");
    }

    #[test]
    fn only_the_random_generator_is_left_out() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "it is printed")]
        struct Core {
            random: u64,
            term: u64,
        }
        assert_eq!(at(0, &Core { random: 1, term: 1 }), at(0, &Core { random: 2, term: 1 }));
        assert_ne!(at(0, &Core { random: 1, term: 1 }), at(0, &Core { random: 1, term: 2 }));
    }
}
