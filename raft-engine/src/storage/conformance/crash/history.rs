//! What was called, what may therefore be found after a crash, and which rule is broken if it is not.

use super::super::model::Model;
use super::super::rig::{ends, terms, told};
use super::{Breach, FITS, FOUND, FRONT, INVENTED, PREFIX, REPLACED, SYNCED, TRUNCATED};
use crate::storage::{Record, Recovered};
use std::collections::BTreeMap;
use std::fmt;

/// The keys of metadata that are put.
pub const KEYS: [&str; 3] = ["a", "b", "vote"];
/// How many calls a report tells, from the last one back.
const TOLD: usize = 40;

/// The past of one store.
pub struct History {
    /// The log as it may be found: at the last sync, then after each call since, now at last.
    logs: Vec<Model>,
    /// Every entry ever added.
    written: Vec<Record>,
    metadata: BTreeMap<&'static str, Vec<u8>>,
    calls: Vec<String>,
    term: u64,
    values: u64,
    crashes: u64,
    /// Crashes after which all was looked at.
    pub judged: usize,
    /// Whether the log was not touched since the store was opened.
    is_as_found: bool,
}

impl Default for History {
    fn default() -> History {
        History {
            logs: vec![Model::default()],
            written: Vec::new(),
            metadata: BTreeMap::new(),
            calls: Vec::new(),
            term: 1,
            values: 0,
            crashes: 0,
            judged: 0,
            is_as_found: false,
        }
    }
}

impl History {
    pub fn note(&mut self, call: impl Into<String>) {
        let call = call.into();
        self.crashes += u64::from(call == "crash");
        self.calls.push(call);
    }

    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// The term of what is added next. It is never the term of an entry that was lost or removed.
    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn now(&self) -> Model {
        self.logs.last().cloned().unwrap_or_default()
    }

    /// A call may be done for a part: an append up to any of its entries.
    pub fn appended(&mut self, records: &[Record]) {
        for record in records {
            let mut log = self.now();
            log.append(std::slice::from_ref(record));
            self.logs.push(log);
        }
        self.written.extend_from_slice(records);
        self.is_as_found = false;
    }

    pub fn cut(&mut self, first: u64) {
        let mut log = self.now();
        log.cut(first);
        self.logs.push(log);
        self.term += 1;
        self.is_as_found = false;
    }

    pub fn compacted(&mut self, last: u64, term: u64) {
        let mut log = self.now();
        log.compact(last, term);
        self.logs.push(log);
        self.is_as_found = false;
    }

    pub fn synced(&mut self) {
        self.logs.drain(..self.logs.len() - 1);
    }

    pub fn put(&mut self, key: &'static str, value: Vec<u8>) {
        self.metadata.insert(key, value);
    }

    /// All keys with the values that they must have.
    pub fn metadata(&self) -> impl Iterator<Item = (&'static str, Option<&[u8]>)> {
        let unused = KEYS.iter().filter(|key| !self.metadata.contains_key(*key));
        let used = self.metadata.iter().map(|(key, value)| (*key, Some(value.as_slice())));
        used.chain(unused.map(|key| (*key, None)))
    }

    /// Some are short, some longer than a sector or a page.
    pub fn draw_value(&mut self) -> Vec<u8> {
        self.values += 1;
        let len = [9, 0, 600, 5000][self.values as usize % 4];
        vec![self.values as u8; len]
    }

    /// Whether this may be found; if so, it is what everything builds on from now on.
    pub fn judge(&mut self, recovered: &Recovered, found: &[Record]) -> Result<(), Breach> {
        self.each_entry_may_be_there(found)?;
        self.nothing_is_missing(found)?;
        let same = |log: &&Model| log.records == found;
        let fits: Vec<&Model> = self.logs.iter().filter(same).collect();
        let Some(last) = fits.last() else {
            return Err(self.breach(PREFIX, "which is the log after none of them", found));
        };
        let begins = |log: &&&Model| begins_at(log, recovered);
        let log = match fits.iter().rev().find(begins) {
            Some(log) => Model::clone(log),
            None => return Err(wrong_front(last, recovered)),
        };
        says_what_fits(recovered, found)?;
        self.logs = vec![log];
        self.term += 1;
        self.is_as_found = true;
        Ok(())
    }

    fn breach(&self, rule: &'static str, what: &str, found: &[Record]) -> Breach {
        Breach { rule, seen: format!("found entries {}, {what}", with_terms(found)) }
    }

    fn each_entry_may_be_there(&self, found: &[Record]) -> Result<(), Breach> {
        for record in found {
            let index = record.index.0;
            if self.logs.iter().any(|log| log.at(index) == Some(record)) {
                continue;
            }
            let (rule, why) = if !self.written.contains(record) {
                (INVENTED, "was never written")
            } else if self.logs.iter().any(|log| log.at(index).is_some()) {
                (REPLACED, "was replaced by a newer one")
            } else if self.logs.iter().all(|log| log.base > index) {
                (FRONT, "was removed with the front of the log")
            } else {
                (TRUNCATED, "was removed")
            };
            return Err(self.breach(rule, &format!("of which {} {why}", told(record)), found));
        }
        Ok(())
    }

    fn nothing_is_missing(&self, found: &[Record]) -> Result<(), Breach> {
        let stays =
            |record: &&Record| self.logs.iter().all(|log| log.at(record.index.0) == Some(*record));
        let at_sync = self.logs.first().map(|log| log.records.as_slice()).unwrap_or_default();
        match at_sync.iter().filter(stays).find(|record| !found.contains(record)) {
            None => Ok(()),
            Some(missing) => {
                let rule = if self.is_as_found { FOUND } else { SYNCED };
                let what = format!("without {}", told(missing));
                Err(self.breach(rule, &what, found))
            }
        }
    }
}

fn begins_at(log: &Model, recovered: &Recovered) -> bool {
    let first = log.records.first().map_or(log.base, |record| record.index.0);
    let prev_term = if first == log.base { log.prev_term } else { 0 };
    let last = log.records.last().map_or(first - 1, |record| record.index.0);
    (first, last, prev_term) == (recovered.first.0.max(1), recovered.last.0, recovered.prev_term.0)
}

fn wrong_front(log: &Model, recovered: &Recovered) -> Breach {
    let Recovered { first, last, prev_term, .. } = recovered;
    let (base, term) = (log.base, log.prev_term);
    let seen = format!(
        "the log begins at {first} and ends at {last}, behind an entry of term {prev_term}; it should \
         begin at {base}, behind one of term {term}"
    );
    Breach { rule: FRONT, seen }
}

fn says_what_fits(recovered: &Recovered, found: &[Record]) -> Result<(), Breach> {
    let application = found.iter().rfind(|record| record.kind() >= 0);
    let wanted = (terms(found), application.map_or(0, |record| record.index.0), true);
    let hint_fits = recovered.commit_hint <= recovered.last;
    let said = (recovered.terms.clone(), recovered.last_application.0, hint_fits);
    if wanted == said {
        return Ok(());
    }
    let seen = format!(
        "open gave (terms, last entry of the host's, whether the commit hint is within the log) as \
         {said:?}; the log that can be read has {wanted:?}"
    );
    Err(Breach { rule: FITS, seen })
}

/// `1..=5 (terms from 1@1, 4@2)`.
fn with_terms(records: &[Record]) -> String {
    let begin: Vec<String> =
        terms(records).iter().map(|(index, term)| format!("{index}@{term}")).collect();
    format!("{} (index@term of each new term: {})", ends(records), begin.join(", "))
}

/// The calls, in one line.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.calls.len().saturating_sub(TOLD);
        f.write_str("the calls were: ")?;
        if left_out > 0 {
            write!(f, "({left_out} more,) ")?;
        }
        f.write_str(&self.calls[left_out..].join(", "))
    }
}
