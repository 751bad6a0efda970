//! Who waits for which proposal or read. Shared by the loop, which knows what became of a proposal on
//! its way, and quorate-apply, which knows what was applied and answers without another thread
//! between. One lock for each batch of either.
//!
//! A proposal is named by its own origin, never by an index: another entry may come to stand there.

use super::caller::{Admission, Caller, Done, Outcome, Proposal, Reader, Settled};
use crate::consensus::command::Command;
use crate::consensus::event::ProposalId;
use crate::consensus::ready::ProposalOutcome;
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{EntryId, Index, NodeId, Term, Time};
use crate::error::{Error, ErrorKind};
use crate::slot::lock;
use crate::state_machine::Committed;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

/// What is known of a proposal on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It is here, and no leader has seen it.
    Here,
    /// The protocol has it.
    Handed,
    /// The leader of that term has it.
    With(Term),
}

struct Waiter {
    caller: Caller,
    /// Kept as long as it may have to be proposed again.
    command: Option<Command>,
    applied: bool,
    fate: Fate,
    deadline: Time,
    bytes: usize,
}

impl Waiter {
    fn settle(self, settled: &mut Settled, outcome: Outcome) {
        settled.add(self.caller, self.bytes, outcome);
    }
}

/// Proposals are numbered one after the other: a multiplication spreads them well enough.
#[derive(Default)]
struct SeqHasher(u64);

impl Hasher for SeqHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// The callers of one service.
pub(crate) struct Waiters {
    me: NodeId,
    /// How many may be under way.
    pub admission: Admission,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    proposals: HashMap<ProposalId, Waiter, BuildHasherDefault<SeqHasher>>,
    /// Reads that are allowed once so much is applied.
    reads: BTreeMap<(Index, u64), Reader>,
    next_read: u64,
    applied: Index,
    /// The highest term of which an entry is applied here.
    term: Term,
}

impl Waiters {
    /// Nobody waits; everything up to `applied` is.
    pub(crate) fn new(me: NodeId, admission: Admission, applied: Index) -> Waiters {
        let table = Table { applied, ..Table::default() };
        Waiters { me, admission, table: Mutex::new(table) }
    }

    /// Remembers who proposed, before the protocol sees the proposals. Returns what to propose at once,
    /// which is all of them, or with `hold` only those that do not wait to be applied; the others'
    /// ids go to the end of `held`.
    pub(crate) fn track(
        &self,
        proposals: Vec<Proposal>,
        hold: bool,
        held: &mut impl Extend<ProposalId>,
    ) -> Vec<Command> {
        let mut commands = Vec::with_capacity(proposals.len());
        let mut table = lock(&self.table);
        for Proposal { command, applied, deadline, caller } in proposals {
            let bytes = command.encoded().len();
            let id = command.origin().seq;
            let keep = hold && applied;
            let fate = if keep { Fate::Here } else { Fate::Handed };
            let kept = applied.then(|| command.clone());
            if keep {
                held.extend([id]);
            } else {
                commands.push(command);
            }
            let waiter = Waiter { caller, command: kept, applied, fate, deadline, bytes };
            table.proposals.insert(id, waiter);
        }
        commands
    }

    /// Those of the held ones that still wait, to be proposed in their order.
    pub(crate) fn hand_over(&self, held: impl Iterator<Item = ProposalId>) -> Vec<Command> {
        let mut table = lock(&self.table);
        let take = |id: ProposalId| {
            let waiter = table.proposals.get_mut(&id)?;
            waiter.fate = Fate::Handed;
            waiter.command.clone()
        };
        held.filter_map(take).collect()
    }

    /// The protocol says what became of proposals. With `hold`, those that found no leader and wait to
    /// be applied are kept; returns them, in order. `refused` makes an error of a refusal.
    pub(crate) fn answered(
        &self,
        answers: Vec<(ProposalId, ProposalOutcome)>,
        hold: bool,
        refused: impl Fn(Refusal) -> Error,
    ) -> Vec<ProposalId> {
        let mut held = Vec::new();
        let mut settled = Settled::default();
        let mut table = lock(&self.table);
        for (id, outcome) in answers {
            match outcome {
                ProposalOutcome::Appended(at) => table.appended(id, at, &mut settled),
                ProposalOutcome::Forwarded(term) => table.forwarded(id, term),
                ProposalOutcome::Refused(refusal) => {
                    let found_none = refusal.reason == Reason::NoLeader;
                    if hold && found_none && table.bounced(id) {
                        held.push(id);
                    } else if let Some(waiter) = table.proposals.remove(&id) {
                        waiter.settle(&mut settled, Err(refused(refusal)));
                    }
                }
            }
        }
        drop(table);
        settled.deliver(&self.admission);
        held
    }

    /// Readers may go once `index` is applied.
    pub(crate) fn allow(&self, index: Index, readers: Vec<Reader>, settled: &mut Settled) {
        let mut table = lock(&self.table);
        for reader in readers {
            if index <= table.applied {
                settled.add(reader.caller, 0, Ok(Done::default()));
            } else {
                let place = (index, table.next_read);
                table.next_read += 1;
                table.reads.insert(place, reader);
            }
        }
    }

    /// These entries were applied, and everything up to `last` with them. `replies` are those of the
    /// entries, or none at all.
    pub(crate) fn applied(
        &self,
        entries: &[Committed],
        replies: &mut [Option<Bytes>],
        last: EntryId,
        settled: &mut Settled,
    ) {
        let mut table = lock(&self.table);
        for (at, entry) in entries.iter().enumerate() {
            let origin = entry.command.origin();
            if origin.node != self.me {
                continue;
            }
            if let Some(waiter) = table.proposals.remove(&origin.seq) {
                let reply = replies.get_mut(at).and_then(Option::take);
                let id = EntryId::new(entry.index, entry.term);
                waiter.settle(settled, Ok(Done { id, reply }));
            }
        }
        table.applied = last.index;
        table.release_reads(settled);
        if last.term > table.term {
            table.term = last.term;
            table.lose(settled);
        }
    }

    /// The log was cut: only so much is applied.
    pub(crate) fn rewind(&self, applied: Index) {
        lock(&self.table).applied = applied;
    }

    /// Gives up what is due, and takes it out of `held`; returns when the next one is.
    pub(crate) fn expire(
        &self,
        now: Time,
        settled: &mut Settled,
        held: &mut Vec<ProposalId>,
    ) -> Time {
        let mut table = lock(&self.table);
        let due = |_: &ProposalId, waiter: &mut Waiter| waiter.deadline <= now;
        for (_, waiter) in table.proposals.extract_if(due) {
            let error = if waiter.fate == Fate::Here { never_left() } else { timed_out() };
            settled.add(waiter.caller, waiter.bytes, Err(error));
        }
        for (_, reader) in table.reads.extract_if(.., |_, reader| reader.deadline <= now) {
            settled.add(reader.caller, 0, Err(read_timed_out()));
        }
        held.retain(|id| table.proposals.contains_key(id));
        let proposals = table.proposals.values().map(|waiter| waiter.deadline);
        let reads = table.reads.values().map(|reader| reader.deadline);
        proposals.chain(reads).min().unwrap_or(Time::NEVER)
    }

    /// Ends everything that is under way.
    pub(crate) fn end(&self, error: &Error, settled: &mut Settled) {
        let mut table = lock(&self.table);
        for (_, waiter) in table.proposals.drain() {
            waiter.settle(settled, Err(error.clone()));
        }
        for (_, reader) in std::mem::take(&mut table.reads) {
            settled.add(reader.caller, 0, Err(error.clone()));
        }
    }

    /// The node changes its lineage: what a leader may have is unknown, the rest is not done.
    pub(crate) fn leave(&self, settled: &mut Settled) {
        let mut table = lock(&self.table);
        for (_, waiter) in table.proposals.drain() {
            let error = if waiter.fate == Fate::Here { left_before() } else { left_cluster() };
            waiter.settle(settled, Err(error));
        }
        for (_, reader) in std::mem::take(&mut table.reads) {
            settled.add(reader.caller, 0, Err(left_cluster()));
        }
    }
}

impl Table {
    fn appended(&mut self, id: ProposalId, at: EntryId, settled: &mut Settled) {
        let Some(waiter) = self.proposals.get_mut(&id) else { return };
        if waiter.applied {
            waiter.fate = Fate::With(at.term);
            waiter.command = None;
        } else if let Some(waiter) = self.proposals.remove(&id) {
            waiter.settle(settled, Ok(Done { id: at, reply: None }));
        }
    }

    fn forwarded(&mut self, id: ProposalId, term: Term) {
        if let Some(waiter) = self.proposals.get_mut(&id) {
            waiter.fate = Fate::With(term);
        }
    }

    /// Whether the proposal can be held until there is a leader.
    fn bounced(&mut self, id: ProposalId) -> bool {
        let Some(waiter) = self.proposals.get_mut(&id) else { return false };
        waiter.fate = Fate::Here;
        waiter.command.is_some()
    }

    fn release_reads(&mut self, settled: &mut Settled) {
        while let Some(first) = self.reads.first_entry() {
            if first.key().0 > self.applied {
                return;
            }
            settled.add(first.remove().caller, 0, Ok(Done::default()));
        }
    }

    /// Terms in a log don't fall: what was handed to the leader of an earlier term and is not applied
    /// by now never will be.
    fn lose(&mut self, settled: &mut Settled) {
        let term = self.term;
        let lost = |_: &ProposalId, waiter: &mut Waiter| matches!(waiter.fate, Fate::With(earlier) if earlier < term);
        for (_, waiter) in self.proposals.extract_if(lost) {
            waiter.settle(settled, Err(lost_change()));
        }
    }
}

fn lost_change() -> Error {
    let text = "the leader that had the change lost its office before it could replicate it: the \
                change is not in the log and never will be; propose it again";
    Error::new(ErrorKind::Lost, text)
}

fn timed_out() -> Error {
    let text = "the time is over, and the change was handed to a leader: it may still be applied; \
                look before you repeat it";
    Error::new(ErrorKind::Timeout, text)
}

/// Nobody could be asked in time.
pub(crate) fn never_left() -> Error {
    let text = "no leader was found within the time given, so nothing was done: try again, and see \
                whether a majority of the nodes is running";
    Error::new(ErrorKind::NotLeader, text)
}

/// A read that was too late.
pub(crate) fn read_timed_out() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the time is over before the leader confirmed the read: try again",
    )
}

fn left_before() -> Error {
    let text =
        "this node left its cluster before the change was handed to a leader: nothing was done";
    Error::new(ErrorKind::NotLeader, text)
}

/// What was under way when the node left.
pub(crate) fn left_cluster() -> Error {
    let text = "this node left its cluster while the call was under way: ask a member what became of \
                it";
    Error::new(ErrorKind::LeftCluster, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::NewEntry;
    use crate::consensus::types::Origin;
    use crate::slot::Slot;
    use std::sync::Arc;
    use std::time::Duration;

    const ME: NodeId = NodeId(9);

    struct Bench {
        waiters: Waiters,
        slots: BTreeMap<u64, Arc<Slot<Outcome>>>,
    }

    fn command(seq: u64) -> Command {
        NewEntry::new(b"x").encode(Origin { node: ME, seq }, 99).expect("it is small")
    }

    impl Bench {
        fn new() -> Bench {
            let waiters = Waiters::new(ME, Admission::new(1000, 1 << 20), Index(0));
            Bench { waiters, slots: BTreeMap::new() }
        }

        /// Proposes, and holds what can be held.
        fn propose(&mut self, seq: u64, applied: bool, deadline: Time) {
            let command = command(seq);
            assert!(self.waiters.admission.enter(1, command.encoded().len()));
            let slot = self.slots.entry(seq).or_insert_with(|| Arc::new(Slot::new()));
            let caller = Caller::blocked(slot);
            let proposal = Proposal { command, applied, deadline, caller };
            let mut held = Vec::new();
            let commands = self.waiters.track(vec![proposal], true, &mut held);
            assert_eq!((commands.len(), held.len()), if applied { (0, 1) } else { (1, 0) });
        }

        fn hand_over(&mut self, seq: u64) {
            assert_eq!(self.waiters.hand_over(std::iter::once(seq)).len(), 1);
        }

        fn answer(&self, seq: u64, outcome: ProposalOutcome) -> Vec<u64> {
            self.waiters.answered(vec![(seq, outcome)], true, Error::from)
        }

        fn apply(&self, index: u64, term: u64, seqs: &[u64]) {
            let entry = |seq: &u64| Committed {
                index: Index(index),
                term: Term(term),
                command: command(*seq),
            };
            let entries: Vec<_> = seqs.iter().map(entry).collect();
            let mut replies: Vec<_> =
                seqs.iter().map(|s| Some(Bytes::from(s.to_string()))).collect();
            let mut settled = Settled::default();
            let last = EntryId::new(Index(index), Term(term));
            self.waiters.applied(&entries, &mut replies, last, &mut settled);
            settled.deliver(&self.waiters.admission);
        }

        fn expire(&self, now: u64) -> Time {
            let mut settled = Settled::default();
            let next = self.waiters.expire(Time(now), &mut settled, &mut Vec::new());
            settled.deliver(&self.waiters.admission);
            next
        }

        fn outcome(&self, seq: u64) -> Option<Result<Done, ErrorKind>> {
            self.slots[&seq].wait_for(Duration::ZERO).map(|o| o.map_err(|e| e.kind))
        }
    }

    fn at(index: u64, term: u64) -> EntryId {
        EntryId::new(Index(index), Term(term))
    }

    #[test]
    fn each_gets_its_own_reply_when_its_own_entry_is_applied() {
        let mut bench = Bench::new();
        for seq in [1, 2] {
            bench.propose(seq, true, Time::NEVER);
            bench.hand_over(seq);
            bench.answer(seq, ProposalOutcome::Appended(at(seq, 1)));
        }
        assert!(bench.outcome(1).is_none(), "it is not applied");
        bench.apply(7, 1, &[2]);
        let done = bench.outcome(2).expect("settled").expect("applied");
        assert_eq!((done.id, done.reply.as_deref()), (at(7, 1), Some(&b"2"[..])));
        assert!(bench.outcome(1).is_none());
        assert_eq!(bench.waiters.admission.under_way().0, 1);
    }

    #[test]
    fn a_proposal_that_only_wants_to_be_in_the_log_is_settled_there() {
        let mut bench = Bench::new();
        bench.propose(1, false, Time::NEVER);
        bench.answer(1, ProposalOutcome::Forwarded(Term(3)));
        assert!(bench.outcome(1).is_none());
        bench.answer(1, ProposalOutcome::Appended(at(5, 3)));
        assert_eq!(bench.outcome(1).expect("settled").expect("done").id, at(5, 3));
        bench.propose(2, false, Time::NEVER);
        bench.answer(2, ProposalOutcome::Forwarded(Term(3)));
        bench.apply(6, 3, &[2]);
        assert!(bench.outcome(2).expect("the answer was overtaken").is_ok());
    }

    #[test]
    fn what_an_earlier_leader_had_is_lost_once_a_later_term_is_applied() {
        let mut bench = Bench::new();
        for (seq, outcome) in [
            (1, ProposalOutcome::Forwarded(Term(2))),
            (2, ProposalOutcome::Appended(at(9, 2))),
            (3, ProposalOutcome::Forwarded(Term(3))),
        ] {
            bench.propose(seq, true, Time::NEVER);
            bench.hand_over(seq);
            bench.answer(seq, outcome);
        }
        bench.propose(4, true, Time::NEVER);
        bench.apply(8, 2, &[]);
        assert!(bench.outcome(1).is_none(), "the term is not over");
        bench.apply(9, 3, &[2]);
        assert!(bench.outcome(2).expect("settled").is_ok(), "it came just before");
        assert_eq!(bench.outcome(1).map(Result::err), Some(Some(ErrorKind::Lost)));
        assert!(bench.outcome(3).is_none() && bench.outcome(4).is_none());
    }

    #[test]
    fn without_a_leader_a_proposal_is_held_or_refused() {
        let mut bench = Bench::new();
        let none = || ProposalOutcome::Refused(Refusal::new(Reason::NoLeader, "none"));
        bench.propose(1, true, Time::NEVER);
        bench.propose(2, false, Time::NEVER);
        bench.hand_over(1);
        assert_eq!(bench.answer(1, none()), [1]);
        assert_eq!(bench.answer(2, none()), []);
        assert_eq!(bench.outcome(2).map(Result::err), Some(Some(ErrorKind::NotLeader)));
        assert!(bench.outcome(1).is_none());
        bench.hand_over(1);
        let busy = ProposalOutcome::Refused(Refusal::new(Reason::Busy, "full"));
        assert_eq!(bench.answer(1, busy), []);
        assert_eq!(bench.outcome(1).map(Result::err), Some(Some(ErrorKind::Busy)));
    }

    #[test]
    fn a_time_out_says_whether_a_leader_may_have_the_change() {
        let mut bench = Bench::new();
        bench.propose(1, true, Time(10));
        bench.propose(2, true, Time(20));
        bench.propose(3, true, Time(30));
        bench.hand_over(2);
        assert_eq!(bench.expire(9), Time(10));
        assert_eq!(bench.expire(20), Time(30));
        assert_eq!(bench.outcome(1).map(Result::err), Some(Some(ErrorKind::NotLeader)));
        assert_eq!(bench.outcome(2).map(Result::err), Some(Some(ErrorKind::Timeout)));
        assert!(bench.outcome(3).is_none());
        assert_eq!(bench.waiters.admission.under_way().0, 1);
    }

    #[test]
    fn a_read_waits_for_its_index() {
        let bench = Bench::new();
        assert!(bench.waiters.admission.enter(2, 0));
        let ask = |index| {
            let slot = Arc::new(Slot::new());
            let reader = Reader { deadline: Time(50), caller: Caller::blocked(&slot) };
            let mut settled = Settled::default();
            bench.waiters.allow(Index(index), vec![reader], &mut settled);
            settled.deliver(&bench.waiters.admission);
            slot
        };
        bench.apply(4, 1, &[]);
        assert!(ask(4).wait().is_ok());
        let later = ask(6);
        bench.apply(5, 1, &[]);
        assert!(later.wait_for(Duration::ZERO).is_none());
        bench.apply(6, 1, &[]);
        assert!(later.wait().is_ok());
        assert!(bench.waiters.admission.enter(1, 0));
        let late = ask(9);
        bench.expire(50);
        assert_eq!(late.wait().err().map(|e| e.kind), Some(ErrorKind::Timeout));
    }

    #[test]
    fn leaving_tells_apart_what_a_leader_may_have() {
        let mut bench = Bench::new();
        bench.propose(1, true, Time::NEVER);
        bench.propose(2, true, Time::NEVER);
        bench.hand_over(2);
        let mut settled = Settled::default();
        bench.waiters.leave(&mut settled);
        settled.deliver(&bench.waiters.admission);
        assert_eq!(bench.outcome(1).map(Result::err), Some(Some(ErrorKind::NotLeader)));
        assert_eq!(bench.outcome(2).map(Result::err), Some(Some(ErrorKind::LeftCluster)));
    }
}
