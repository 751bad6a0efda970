//! Requests of callers as far as only the loop knows them: what is held until there is a leader, reads
//! that the protocol was asked about, changes of membership, and when the next caller gives up.

use super::caller::{Caller, ChangeAsked, Done, Proposal, Reader, Settled};
use super::view::View;
use super::waiters::{self, Waiters};
use crate::consensus::command::Command;
use crate::consensus::event::{ChangeId, Event, ProposalId, ReadId};
use crate::consensus::membership::Membership;
use crate::consensus::message::Change;
use crate::consensus::ready::ProposalOutcome;
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{Index, NodeId, Time};
use crate::error::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a caller is told when there is no leader, with the one last heard of.
#[derive(Clone, Default)]
pub(crate) struct Leader {
    /// 0 = not known.
    pub id: NodeId,
    /// Where it stands.
    pub membership: Arc<Membership>,
}

impl Leader {
    fn error(&self, refusal: Refusal) -> Error {
        let mut error = Error::from(refusal);
        if error.kind == ErrorKind::NotLeader {
            error.leader = self.membership.member(self.id).cloned();
        }
        error
    }
}

/// A change that a caller waits for.
struct Asked {
    change: Change,
    deadline: Time,
    caller: Caller,
    /// The protocol has it; else it waits for a leader.
    handed: bool,
}

/// All requests of a service.
pub(crate) struct Requests {
    waiters: Arc<Waiters>,
    view: Arc<View>,
    /// Followers pass proposals on.
    forward: bool,
    /// How long what found no leader, though one is known, is kept before it is tried again.
    pause: Duration,
    leader: Leader,
    held: Vec<ProposalId>,
    held_reads: Vec<Reader>,
    asked_reads: BTreeMap<ReadId, Vec<Reader>>,
    changes: BTreeMap<ChangeId, Asked>,
    /// Some of `changes` wait for a leader.
    held_changes: bool,
    last_id: u64,
    retry_at: Time,
    expire_at: Time,
    settled: Settled,
}

impl Requests {
    /// None.
    pub(crate) fn new(
        waiters: Arc<Waiters>,
        view: Arc<View>,
        forward: bool,
        pause: Duration,
    ) -> Requests {
        Requests {
            waiters,
            view,
            forward,
            pause,
            leader: Leader::default(),
            held: Vec::new(),
            held_reads: Vec::new(),
            asked_reads: BTreeMap::new(),
            changes: BTreeMap::new(),
            held_changes: false,
            last_id: 0,
            retry_at: Time::default(),
            expire_at: Time::NEVER,
            settled: Settled::default(),
        }
    }

    /// Who leads, as far as is known now.
    pub(crate) fn follow(&mut self, leader: Leader) {
        if leader.id != self.leader.id {
            self.retry_at = Time::default();
        }
        self.leader = leader;
    }

    /// Role, term or leader changed: what is held is worth a try.
    pub(crate) fn try_again(&mut self) {
        self.retry_at = Time::default();
    }

    /// Something is held and can be tried.
    pub(crate) fn can_release(&self, now: Time) -> bool {
        self.has_held() && self.may_try(now)
    }

    fn has_held(&self) -> bool {
        !self.held.is_empty() || !self.held_reads.is_empty() || self.held_changes
    }

    fn may_try(&self, now: Time) -> bool {
        !self.leader.id.is_zero() && now >= self.retry_at
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Time {
        let retry =
            if self.has_held() && !self.leader.id.is_zero() { self.retry_at } else { Time::NEVER };
        retry.min(self.expire_at)
    }

    /// What to propose now, in order: what was held, then what is new. As long as something is held, what
    /// can't be held is refused: the protocol may know a leader before this does, and it would overtake.
    pub(crate) fn propose(&mut self, now: Time, proposals: Vec<Proposal>) -> Option<Event> {
        let holds = || !self.held.is_empty() || proposals.iter().any(|proposal| proposal.applied);
        if !self.may_try(now) && holds() {
            self.hold(
                proposals,
                "no leader is known at present, and calls that came before wait for one: try again, or \
                 wait with a time limit",
            );
            return None;
        }
        let mut commands = if self.held.is_empty() {
            Vec::new()
        } else {
            self.waiters.hand_over(std::mem::take(&mut self.held).into_iter())
        };
        if !proposals.is_empty() {
            commands.append(&mut self.track(proposals, false));
        }
        (!commands.is_empty()).then_some(Event::Proposed(commands))
    }

    /// Nothing can be proposed now: holds what can be held, and refuses the rest.
    pub(crate) fn hold(&mut self, proposals: Vec<Proposal>, why: &str) {
        if proposals.is_empty() {
            return;
        }
        let refusal = Refusal::new(Reason::NoLeader, why);
        let refused = |c: Command| (c.origin().seq, ProposalOutcome::Refused(refusal.clone()));
        let answers = self.track(proposals, true).into_iter().map(refused).collect();
        self.proposals_answered(Time::default(), answers);
    }

    fn track(&mut self, proposals: Vec<Proposal>, hold: bool) -> Vec<Command> {
        let first = proposals.iter().map(|proposal| proposal.deadline).min();
        self.expire_at = self.expire_at.min(first.unwrap_or(Time::NEVER));
        self.waiters.track(proposals, hold, &mut self.held)
    }

    /// The protocol answered.
    pub(crate) fn proposals_answered(
        &mut self,
        now: Time,
        answers: Vec<(ProposalId, ProposalOutcome)>,
    ) {
        if answers.is_empty() {
            return;
        }
        let hold = self.forward || self.leader.id.is_zero();
        let leader = &self.leader;
        let mut bounced = self.waiters.answered(answers, hold, |refusal| leader.error(refusal));
        if !bounced.is_empty() {
            self.retry_at = now + self.pause;
            bounced.append(&mut self.held);
            self.held = bounced;
        }
    }

    /// New readers. All of a batch share one question.
    pub(crate) fn read(&mut self, now: Time, readers: Vec<Reader>) -> Option<Event> {
        let first = readers.iter().map(|reader| reader.deadline).min();
        self.expire_at = self.expire_at.min(first.unwrap_or(Time::NEVER));
        self.held_reads.extend(readers);
        if self.held_reads.is_empty() || !self.may_try(now) {
            return None;
        }
        self.last_id += 1;
        self.asked_reads.insert(self.last_id, std::mem::take(&mut self.held_reads));
        Some(Event::ReadRequested(self.last_id))
    }

    /// The protocol answered.
    pub(crate) fn reads_answered(
        &mut self,
        now: Time,
        answers: Vec<(ReadId, Result<Index, Refusal>)>,
    ) {
        for (id, answer) in answers {
            let Some(mut readers) = self.asked_reads.remove(&id) else { continue };
            match answer {
                Ok(index) => self.waiters.allow(index, readers, &mut self.settled),
                Err(refusal) if refusal.reason == Reason::NoLeader => {
                    self.retry_at = now + self.pause;
                    self.held_reads.append(&mut readers);
                }
                Err(refusal) => {
                    for reader in readers {
                        self.settled.add(reader.caller, 0, Err(self.leader.error(refusal.clone())));
                    }
                }
            }
        }
        self.deliver();
    }

    /// New changes, and those that waited for a leader.
    pub(crate) fn change(&mut self, now: Time, changes: Vec<ChangeAsked>) -> Vec<Event> {
        for ChangeAsked { change, deadline, caller } in changes {
            self.last_id += 1;
            self.expire_at = self.expire_at.min(deadline);
            self.held_changes = true;
            self.changes.insert(self.last_id, Asked { change, deadline, caller, handed: false });
        }
        if !self.held_changes || !self.may_try(now) {
            return Vec::new();
        }
        self.held_changes = false;
        let ask = |(id, asked): (&ChangeId, &mut Asked)| {
            asked.handed = true;
            Event::ChangeRequested(*id, asked.change.clone())
        };
        self.changes.iter_mut().filter(|(_, asked)| !asked.handed).map(ask).collect()
    }

    /// The protocol answered.
    pub(crate) fn changes_answered(
        &mut self,
        now: Time,
        answers: Vec<(ChangeId, Result<(), Refusal>)>,
    ) {
        for (id, answer) in answers {
            match (answer, self.changes.get_mut(&id)) {
                (_, None) => {}
                (Err(refusal), Some(asked)) if refusal.reason == Reason::NoLeader => {
                    asked.handed = false;
                    self.held_changes = true;
                    self.retry_at = now + self.pause;
                }
                (answer, Some(_)) => self.end_change(id, answer.map_err(|r| self.leader.error(r))),
            }
        }
        self.deliver();
    }

    fn end_change(&mut self, id: ChangeId, answer: Result<(), Error>) {
        let Some(asked) = self.changes.remove(&id) else { return };
        let explained = answer.map(|()| Done::default()).map_err(|mut error| {
            if let (ErrorKind::Unreachable, Change::Add(address) | Change::Initialize(address)) =
                (error.kind, &asked.change)
                && let Some(why) = self.view.trouble_at(address)
            {
                error.message = format!("{} ({why})", error.message);
            }
            error
        });
        self.settled.add(asked.caller, 0, explained);
    }

    /// Tells those whose time is over.
    pub(crate) fn expire(&mut self, now: Time) {
        if now < self.expire_at {
            return;
        }
        let mut next = self.waiters.expire(now, &mut self.settled, &mut self.held);
        let settled = &mut self.settled;
        let mut expire = |readers: &mut Vec<Reader>, asked: bool| {
            let error = if asked { waiters::read_timed_out } else { waiters::never_left };
            for late in readers.extract_if(.., |reader| reader.deadline <= now) {
                settled.add(late.caller, 0, Err(error()));
            }
            let first = readers.iter().map(|reader| reader.deadline).min();
            next = next.min(first.unwrap_or(Time::NEVER));
        };
        expire(&mut self.held_reads, false);
        self.asked_reads.values_mut().for_each(|readers| expire(readers, true));
        for (_, late) in self.changes.extract_if(.., |_, asked| asked.deadline <= now) {
            let error = if late.handed { change_goes_on() } else { waiters::never_left() };
            self.settled.add(late.caller, 0, Err(error));
        }
        next = self.changes.values().map(|asked| asked.deadline).fold(next, Time::min);
        self.expire_at = next;
        self.deliver();
    }

    /// The node changes its lineage: nothing that was asked of the old one will be answered. The
    /// removal of this very node is done.
    pub(crate) fn leave(&mut self, me: NodeId) {
        self.waiters.leave(&mut self.settled);
        self.held.clear();
        self.held_changes = false;
        for (_, asked) in std::mem::take(&mut self.changes) {
            let own = matches!(asked.change, Change::Remove(node) if node == me);
            let outcome = if own { Ok(Done::default()) } else { Err(waiters::left_cluster()) };
            self.settled.add(asked.caller, 0, outcome);
        }
        self.end_reads(&waiters::left_cluster());
        self.follow(Leader::default());
        self.deliver();
    }

    /// Nothing will be answered any more.
    pub(crate) fn end(&mut self, error: &Error) {
        self.waiters.end(error, &mut self.settled);
        for (_, asked) in std::mem::take(&mut self.changes) {
            self.settled.add(asked.caller, 0, Err(error.clone()));
        }
        self.end_reads(error);
        self.deliver();
    }

    fn end_reads(&mut self, error: &Error) {
        let asked = std::mem::take(&mut self.asked_reads).into_values().flatten();
        for reader in asked.chain(self.held_reads.drain(..)) {
            self.settled.add(reader.caller, 0, Err(error.clone()));
        }
    }

    fn deliver(&mut self) {
        self.settled.deliver(&self.waiters.admission);
    }
}

fn change_goes_on() -> Error {
    let text = "the time is over and the change of membership goes on: look at the configuration; \
                to cancel an addition, remove the node";
    Error::new(ErrorKind::Timeout, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::NewEntry;
    use crate::consensus::types::Origin;
    use crate::driver::caller::{Admission, Outcome};
    use crate::slot::Slot;

    type Answer = Arc<Slot<Outcome>>;

    fn requests() -> Requests {
        let waiters = Waiters::new(NodeId(9), Admission::new(1000, 1 << 20), Index(0));
        let view = Arc::new(View::new(NodeId(9), Index(0), None));
        Requests::new(Arc::new(waiters), view, true, Duration::from_millis(100))
    }

    fn proposal(requests: &Requests, seq: u64, applied: bool) -> (Proposal, Answer) {
        let command = NewEntry::new(b"x").encode(Origin { node: NodeId(9), seq }, 99);
        let command = command.expect("it is small");
        assert!(requests.waiters.admission.enter(1, command.encoded().len()));
        let slot = Arc::new(Slot::new());
        let caller = Caller::blocked(&slot);
        (Proposal { command, applied, deadline: Time::NEVER, caller }, slot)
    }

    fn proposed(event: Option<Event>) -> Vec<u64> {
        match event {
            Some(Event::Proposed(commands)) => commands.iter().map(|c| c.origin().seq).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn nothing_overtakes_what_waits_for_a_leader() {
        let mut requests = requests();
        let (alone, _answer) = proposal(&requests, 1, false);
        assert_eq!(proposed(requests.propose(Time(1), vec![alone])), [1], "it overtakes nothing");
        let (waits, held) = proposal(&requests, 2, true);
        let (first, refused) = proposal(&requests, 3, false);
        assert_eq!(proposed(requests.propose(Time(2), vec![waits, first])), []);
        let (later, refused_too) = proposal(&requests, 4, false);
        assert_eq!(proposed(requests.propose(Time(3), vec![later])), []);
        for answer in [refused, refused_too] {
            assert_eq!(answer.wait().err().map(|e| e.kind), Some(ErrorKind::NotLeader));
        }
        assert!(held.wait_for(Duration::ZERO).is_none());
        requests.follow(Leader { id: NodeId(9), membership: Arc::default() });
        let (last, _answer) = proposal(&requests, 5, false);
        assert_eq!(proposed(requests.propose(Time(4), vec![last])), [2, 5]);
    }
}
