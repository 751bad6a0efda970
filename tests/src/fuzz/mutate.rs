//! Changes inputs at random, always the same way for one seed: what a normal run of the tests does
//! beside playing the corpus. Finding new ways is libFuzzer's work; this keeps the known ones shut.

use crate::simulated_fs::Dice;

/// Inputs grow no longer.
const LONGEST: usize = 8 << 10;
/// Numbers at which things break.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 62, (1 << 63) - 1, u64::MAX];

/// A source of inputs like those of a corpus.
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    words: &'a [&'a [u8]],
    dice: Dice,
}

impl<'a> Mutator<'a> {
    /// From `corpus`, which is not empty, with `words` that mean something there.
    #[must_use]
    pub fn new(corpus: &'a [Vec<u8>], words: &'a [&'a [u8]], seed: u64) -> Mutator<'a> {
        Mutator { corpus, words, dice: Dice(seed) }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..=self.dice.below(4) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn any(&mut self) -> &'a [u8] {
        &self.corpus[self.dice.below(self.corpus.len() as u64) as usize]
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.dice.below(input.len() as u64 + 1) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input);
        match self.dice.below(7) {
            0 => flip(input, at, 1 << self.dice.below(8)),
            1 => flip(input, at, self.dice.roll() as u8),
            2 => self.number(input, at),
            3 => self.insert(input, at),
            4 => {
                let end = input.len().min(at + 1 + self.dice.below(16) as usize);
                input.drain(at.min(end)..end);
            }
            5 => input.truncate(at),
            _ => self.splice(input, at),
        }
    }

    /// Writes a number at which things break, in 1, 2, 4 or 8 bytes.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let edge = EDGES[self.dice.below(EDGES.len() as u64) as usize];
        let near = edge.wrapping_add(self.dice.below(3)).wrapping_sub(1);
        let width = 1 << self.dice.below(4);
        if let Some(place) = input.get_mut(at..at + width) {
            place.copy_from_slice(&near.to_le_bytes()[..width]);
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, at: usize) {
        let word = match self.words.len() as u64 {
            0 => vec![self.dice.roll() as u8; 1 + self.dice.below(16) as usize],
            count => self.words[self.dice.below(count) as usize].to_vec(),
        };
        input.splice(at..at, word);
    }

    /// Goes on as another input does.
    fn splice(&mut self, input: &mut Vec<u8>, at: usize) {
        let other = self.any();
        let from = self.place(other);
        let until = (from + self.dice.below(64) as usize).min(other.len());
        input.splice(at..at, other[from..until].iter().copied());
    }
}

fn flip(input: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bits;
    }
}
