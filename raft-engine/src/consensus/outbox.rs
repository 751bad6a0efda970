//! What a batch of events has asked for so far: messages, and the one write that the batch becomes.
//! Here stands the gate between messages and the disk (decided at `send`, nowhere else).

use super::command::Entry;
use super::message::Message;
use super::ready::{HardState, Ready, Write};
use super::types::{Index, Time};
use std::collections::VecDeque;

/// The output of a batch.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// The parts of the next `Ready` that need no care.
    pub ready: Ready,
    after: Vec<Message>,
    hard_changed: bool,
    keep_to: Option<Index>,
    append: Vec<Entry>,
    /// The number of the last write.
    last_seq: u64,
    /// All writes up to this one are durable.
    persisted: u64,
    /// The write by which the present hard state becomes durable.
    hard_seq: u64,
    /// Writes that are not durable: number, bytes, when they were asked for.
    unwritten: VecDeque<(u64, usize, Time)>,
    unwritten_bytes: usize,
}

impl Outbox {
    /// The number that the write of this batch has, or would have.
    pub fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    /// Everything asked for so far is durable.
    pub fn all_durable(&self) -> bool {
        self.persisted == self.last_seq && !self.has_write()
    }

    /// The present hard state is durable.
    pub fn hard_durable(&self) -> bool {
        self.hard_seq <= self.persisted && !self.hard_changed
    }

    /// Bytes of entries that were asked to be written and are not durable.
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// When the oldest write was asked for that is not durable.
    pub fn waits_since(&self) -> Option<Time> {
        self.unwritten.front().map(|&(_, _, asked)| asked)
    }

    /// The hard state changed. Returns the write by which it becomes durable.
    pub fn write_hard_state(&mut self) -> u64 {
        self.hard_changed = true;
        self.hard_seq = self.next_seq();
        self.hard_seq
    }

    /// The log grew.
    pub fn write_entries(&mut self, entries: Vec<Entry>) {
        self.unwritten_bytes += entries.iter().map(Entry::size).sum::<usize>();
        extend(&mut self.append, entries);
    }

    /// The log was cut after `keep`: what was to be appended beyond is not, what is stored beyond
    /// goes.
    pub fn cut(&mut self, keep: Index) {
        let before: usize = self.append.iter().map(Entry::size).sum();
        let cut_within = self.append.first().is_some_and(|head| head.index <= keep.next());
        self.append.retain(|entry| entry.index <= keep);
        self.unwritten_bytes -= before - self.append.iter().map(Entry::size).sum::<usize>();
        if !cut_within && !mutant!("b12_tail_outlives_a_cut") {
            self.keep_to = Some(self.keep_to.map_or(keep, |earlier| earlier.min(keep)));
        }
    }

    /// Sends a message that depends on nothing.
    pub fn send_now(&mut self, message: Message) {
        self.ready.messages.push(message);
    }

    /// Sends a message once everything asked for so far is durable.
    pub fn send_after(&mut self, message: Message) {
        self.after.push(message);
    }

    /// Writes up to `seq` are durable. `false` for a number that can't be.
    #[must_use]
    pub fn persisted(&mut self, seq: u64) -> bool {
        if seq <= self.persisted || seq > self.last_seq {
            return false;
        }
        self.persisted = seq;
        while self.unwritten.front().is_some_and(|&(write, _, _)| write <= seq) {
            self.unwritten_bytes -= self.unwritten.pop_front().map_or(0, |(_, bytes, _)| bytes);
        }
        true
    }

    /// The batch is over.
    pub fn take(&mut self, now: Time, hard: &HardState, commit_hint: Index) -> Ready {
        if self.has_write() || !(self.after.is_empty() || self.persisted == self.last_seq) {
            self.seal(now, hard, commit_hint);
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.messages.append(&mut self.after);
        ready
    }

    fn seal(&mut self, now: Time, hard: &HardState, commit_hint: Index) {
        self.last_seq += 1;
        let append = std::mem::take(&mut self.append);
        let bytes = append.iter().map(Entry::size).sum();
        self.unwritten.push_back((self.last_seq, bytes, now));
        self.ready.write = Some(Write {
            seq: self.last_seq,
            state: std::mem::take(&mut self.hard_changed).then(|| hard.clone()),
            keep_to: self.keep_to.take(),
            append,
            commit_hint,
            after: std::mem::take(&mut self.after),
        });
    }

    fn has_write(&self) -> bool {
        self.hard_changed || self.keep_to.is_some() || !self.append.is_empty()
    }
}

/// Moves entries to the end of a list, which most often is empty: then nothing is copied.
pub fn extend(list: &mut Vec<Entry>, mut entries: Vec<Entry>) {
    if list.is_empty() {
        *list = entries;
    } else {
        list.append(&mut entries);
    }
}
