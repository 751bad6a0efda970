//! The leader's view of one follower: what it has, what is under way to it, and how eagerly it is
//! sent more (thesis §3.5, §10.2.1).

use super::event::FetchId;
use super::membership::Member;
use super::types::{Incarnation, Index, Time};
use std::collections::VecDeque;

/// How eagerly a follower is sent entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It is not known where the logs agree: one question at a time, without entries.
    Probe {
        /// A question is under way; it is repeated with the next heartbeat.
        asked: bool,
    },
    /// The logs agree: entries are sent without waiting for answers.
    Replicate,
}

/// One follower. Invariant: `matched < next`; the entries in `(matched, next)` are under way.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The node, and where it is.
    pub member: Member,
    /// The run of it that the rest is about; 0 before its first answer.
    pub incarnation: Incarnation,
    /// Durable there, and equal to our log, up to here.
    pub matched: Index,
    /// The most that any run of it acknowledged to this leader.
    pub counted: Index,
    /// What to send next.
    pub next: Index,
    /// How eagerly.
    pub mode: Mode,
    /// Messages with entries that were not answered.
    pub inflights: Inflights,
    /// Old entries that were asked for, to send.
    pub fetch: Option<FetchId>,
    /// The newest heartbeat that it answered.
    pub acked_round: u64,
    /// When it last answered anything.
    pub heard_at: Option<Time>,
    /// The commit index that it was last told.
    pub sent_commit: Index,
    /// It gives no votes until it is repaired.
    pub abstaining: bool,
    /// What repairs it: everything up to here, for the run named by `incarnation`.
    pub repair_to: Option<Index>,
    /// A learner's present round: up to where, since when (thesis §4.2.1).
    pub catch_up: Option<(Index, Time)>,
    /// It is in no configuration any more and served until it knows, or until then.
    pub departing: Option<Time>,
    /// The run of it that answered last that it is of another lineage, and was not asked to join yet.
    pub stranger: Option<Incarnation>,
    /// It was asked to join since the last heartbeat.
    pub join_asked: bool,
}

impl Progress {
    /// A follower of which nothing is known, with a log that may agree before `next`.
    pub fn new(member: Member, next: Index) -> Progress {
        Progress {
            member,
            incarnation: Incarnation::ZERO,
            matched: Index::ZERO,
            counted: Index::ZERO,
            next,
            mode: Mode::Probe { asked: false },
            inflights: Inflights::default(),
            fetch: None,
            acked_round: 0,
            heard_at: None,
            sent_commit: Index::ZERO,
            abstaining: false,
            repair_to: None,
            catch_up: None,
            departing: None,
            stranger: None,
            join_asked: false,
        }
    }

    /// Another run of the node answered: what the last one had says nothing of it, but that it must
    /// have it too.
    pub fn restart(&mut self, incarnation: Incarnation) {
        let fresh = Progress::new(self.member.clone(), self.next);
        let Progress { counted, departing, .. } = *self;
        *self = Progress { incarnation, counted, departing, ..fresh };
    }

    /// Goes back to asking, from `next` on but never from what it is known to have.
    pub fn probe_from(&mut self, next: Index) {
        let known = !mutant!("b20_late_conflict_rewinds");
        self.next = if known { next.max(self.matched.next()) } else { next };
        self.mode = Mode::Probe { asked: false };
        self.inflights = Inflights::default();
        self.fetch = None;
    }

    /// It has everything up to `matched`, durably. Whether that is news.
    pub fn ack(&mut self, matched: Index) -> bool {
        self.inflights.free_to(matched);
        self.next = self.next.max(matched.next());
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.counted = self.counted.max(self.matched);
        news
    }
}

/// Messages with entries that were not answered yet: their last index and their bytes.
#[derive(Clone, Debug, Default)]
pub struct Inflights {
    messages: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Inflights {
    /// A message that ends at `last` was sent.
    pub fn add(&mut self, last: Index, bytes: usize) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `index` was answered.
    pub fn free_to(&mut self, index: Index) {
        while self.messages.front().is_some_and(|&(last, _)| last <= index) {
            self.bytes -= self.messages.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Whether another message may be sent.
    pub fn has_room(&self, max_messages: usize, max_bytes: usize) -> bool {
        self.messages.len() < max_messages && self.bytes < max_bytes
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.messages.len()
    }
}
