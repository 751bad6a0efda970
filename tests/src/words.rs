//! A line of a script, taken apart: words, `key=value` pairs, pairs of places.

use quorate_engine::consensus::types::{EntryId, Index, Term};
use std::fmt::Display;
use std::str::FromStr;

/// The words of a command, without its name.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    line: &'a str,
}

impl<'a> Words<'a> {
    /// A line: the name of its command, and the rest.
    #[must_use]
    pub fn of(line: &'a str) -> (&'a str, Words<'a>) {
        let (name, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        (name, Words { line: rest })
    }

    /// All words that are not `key=value`.
    pub fn plain(self) -> impl Iterator<Item = &'a str> {
        self.line.split_whitespace().filter(|word| !is_setting(word))
    }

    /// All words.
    pub fn all(self) -> impl Iterator<Item = &'a str> {
        self.line.split_whitespace()
    }

    /// The words after the one that is `word`.
    #[must_use]
    pub fn after(self, word: &str) -> Vec<&'a str> {
        self.line.split_whitespace().skip_while(|w| *w != word).skip(1).collect()
    }

    /// Whether a word is there.
    #[must_use]
    pub fn has(self, word: &str) -> bool {
        self.plain().any(|w| w == word)
    }

    /// The whole rest of the line.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.line
    }

    /// The place that the command is about: its first word.
    ///
    /// # Errors
    /// It is none.
    pub fn place(self) -> Result<u64, String> {
        parse(self.plain().next().unwrap_or_default(), "a node")
    }

    /// The number that is the word at `at`, if there is one.
    ///
    /// # Errors
    /// It is no number.
    pub fn number(self, at: usize) -> Result<Option<u64>, String> {
        self.plain().nth(at).map(|word| parse(word, "a number")).transpose()
    }

    /// All words as places.
    ///
    /// # Errors
    /// One is none.
    pub fn places(self) -> Result<Vec<u64>, String> {
        self.plain().map(|word| parse(word, "a node")).collect()
    }

    /// The pair `1>2` that is the first word, if it is one.
    ///
    /// # Errors
    /// It is no pair.
    pub fn pair(self) -> Result<Option<(u64, u64)>, String> {
        let Some((from, to)) = self.plain().next().and_then(|word| word.split_once('>')) else {
            return Ok(None);
        };
        Ok(Some((parse(from, "a node")?, parse(to, "a node")?)))
    }

    /// The same, where there must be one.
    ///
    /// # Errors
    /// There is none.
    pub fn the_pair(self) -> Result<(u64, u64), String> {
        self.pair()?.ok_or_else(|| format!("{}: a pair such as 1>2 comes first", self.line))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// It can't be read.
    pub fn value<T: FromStr>(self, key: &str) -> Result<Option<T>, String>
    where
        T::Err: Display,
    {
        self.raw(key).map(|value| parse(value, key)).transpose()
    }

    /// The value of a key, or what is usual.
    ///
    /// # Errors
    /// It can't be read.
    pub fn value_or<T: FromStr>(self, key: &str, usual: T) -> Result<T, String>
    where
        T::Err: Display,
    {
        Ok(self.value(key)?.unwrap_or(usual))
    }

    /// The value of a key that is an entry: `3@2`.
    ///
    /// # Errors
    /// It is none.
    pub fn entry_id(self, key: &str) -> Result<EntryId, String> {
        self.raw(key).map_or(Ok(EntryId::ZERO), entry_id)
    }

    /// The text of a key.
    #[must_use]
    pub fn raw(self, key: &str) -> Option<&'a str> {
        self.line
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
    }
}

/// `3@2`.
///
/// # Errors
/// It is no entry.
pub fn entry_id(text: &str) -> Result<EntryId, String> {
    let (index, term) = text.split_once('@').ok_or_else(|| format!("{text} is no entry"))?;
    Ok(EntryId::new(Index(parse(index, "an index")?), Term(parse(term, "a term")?)))
}

fn parse<T: FromStr>(word: &str, what: &str) -> Result<T, String>
where
    T::Err: Display,
{
    word.parse().map_err(|error| format!("{word:?} is not {what}: {error}"))
}

/// Settings have a name of letters; `x=1` as data is written `x:1` or after other words.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| {
        key.len() > 1 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    })
}
