//! A disk that does nothing until it is told to, and can lose power in between.
//!
//! It keeps the contract of the storage port and no more than that: log calls are carried out in
//! order, a crash keeps a prefix of them, and the hard state is atomic, durable on return and outside
//! that order. What a test sees as durable is what this disk says, not what the core believes.

use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::event::FetchId;
use quorate_engine::consensus::message::Message;
use quorate_engine::consensus::raft::Restored;
use quorate_engine::consensus::ready::{Fetch, HardState, Write};
use quorate_engine::consensus::types::{ClusterId, EntryId, Index, Term};
use std::collections::VecDeque;
use std::fmt::{self, Debug};

/// What a node has stored, and what it has asked to store.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The durable hard state.
    pub state: HardState,
    /// The durable log, from index 1.
    pub log: Vec<Entry>,
    hint: Index,
    queue: VecDeque<Write>,
}

/// How much of what was asked for a crash keeps, counted in writes. A hard state is written apart
/// from the log, so that it can be durable before the log is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// Writes whose hard state is durable.
    pub states: usize,
    /// Writes whose entries are durable.
    pub writes: usize,
    /// Of the write after those, the cut is durable and the entries are not.
    pub cut: bool,
}

impl Disk {
    /// A disk that holds this. Entries up to `hint` are known to be committed.
    #[must_use]
    pub fn new(state: HardState, log: Vec<Entry>, hint: Index) -> Disk {
        Disk { state, log, hint, queue: VecDeque::new() }
    }

    /// The same bytes in another place.
    #[must_use]
    pub fn copy(&self) -> Disk {
        Disk::new(self.state.clone(), self.log.clone(), self.hint)
    }

    /// All that decides what becomes of it, printed: of entries their ids, which say what they hold.
    #[must_use]
    pub fn situation(&self) -> impl Debug + '_ {
        let Disk { state, log, hint, queue } = self;
        (state, Ids(log), hint, queue)
    }

    /// Takes a write, to be carried out later.
    pub fn ask(&mut self, write: Write) {
        self.queue.push_back(write);
    }

    /// Writes that are not carried out.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Carries out the oldest write and makes it durable: its number, and what waited for it.
    pub fn carry_out(&mut self) -> Option<(u64, Vec<Message>)> {
        let mut write = self.queue.pop_front()?;
        let after = std::mem::take(&mut write.after);
        self.store_state(&write);
        self.store_cut(&write);
        self.store_entries(write.append, write.commit_hint);
        Some((write.seq, after))
    }

    /// Loses all that is not durable, except what was on its way and arrived.
    pub fn lose_power(&mut self, kept: Kept) {
        for (at, write) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            if at < kept.states.max(kept.writes) {
                self.store_state(&write);
            }
            if at < kept.writes || (at == kept.writes && kept.cut) {
                self.store_cut(&write);
            }
            if at < kept.writes {
                self.store_entries(write.append, write.commit_hint);
            }
        }
    }

    /// Cuts the log after `keep`, durably.
    pub fn cut(&mut self, keep: Index) {
        self.log.truncate(keep.0 as usize);
        self.hint = self.hint.min(keep);
    }

    /// What a core is built from.
    #[must_use]
    pub fn restored(&self, applied: Index, next_lineage: ClusterId) -> Restored {
        Restored {
            state: self.state.clone(),
            first: Index(u64::from(!self.log.is_empty())),
            prev_term: Term::ZERO,
            last: last(&self.log).index,
            terms: terms(&self.log),
            commit_hint: self.hint,
            memberships: self.log.iter().filter_map(membership).collect(),
            last_application: self
                .log
                .iter()
                .rev()
                .find(|e| is_application(e))
                .map_or(Index::ZERO, |e| e.index),
            applied,
            next_lineage,
        }
    }

    fn store_state(&mut self, write: &Write) {
        if let Some(state) = &write.state {
            self.state = state.clone();
        }
    }

    fn store_cut(&mut self, write: &Write) {
        if let Some(keep) = write.keep_to {
            self.cut(keep);
        }
    }

    fn store_entries(&mut self, entries: Vec<Entry>, hint: Index) {
        if !entries.is_empty() {
            self.log.extend(entries);
            self.hint = self.hint.max(hint);
        }
    }
}

/// Prints only the ids of entries.
pub struct Ids<'a>(pub &'a [Entry]);

impl Debug for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| write!(f, "{} ", entry.id()))
    }
}

/// The end of a log that begins at 1.
#[must_use]
pub fn last(log: &[Entry]) -> EntryId {
    log.last().map_or(EntryId::ZERO, Entry::id)
}

/// The entry at `index` of a log that begins at 1.
#[must_use]
pub fn entry(log: &[Entry], index: Index) -> Option<&Entry> {
    log.get(index.0.checked_sub(1)? as usize)
}

/// Whether a caller made the entry.
#[must_use]
pub fn is_application(entry: &Entry) -> bool {
    matches!(&entry.payload, Payload::Command(command) if command.kind() >= 0)
}

/// Reads old entries as a store would: at least one, then as many as fit.
#[must_use]
pub fn fetch(log: &[Entry], fetch: &Fetch) -> (FetchId, Vec<Entry>) {
    let mut bytes = 0;
    let fits = |e: &&Entry| {
        let first = bytes == 0;
        bytes += e.size();
        first || bytes <= fetch.max_bytes
    };
    let wanted = log.iter().filter(|e| e.index >= fetch.from && e.index <= fetch.to);
    (fetch.id, wanted.take_while(fits).cloned().collect())
}

fn terms(log: &[Entry]) -> Vec<(Index, Term)> {
    let mut runs: Vec<(Index, Term)> = Vec::new();
    for entry in log {
        if runs.last().is_none_or(|run| run.1 != entry.term) {
            runs.push((entry.index, entry.term));
        }
    }
    runs
}

fn membership(
    entry: &Entry,
) -> Option<(Index, std::sync::Arc<quorate_engine::consensus::membership::Membership>)> {
    match &entry.payload {
        Payload::Membership(membership) => Some((entry.index, membership.clone())),
        Payload::Noop | Payload::Command(_) => None,
    }
}
