//! What callers at this node wait for while somebody else leads: proposals on their way to the leader,
//! reads, and changes of membership.

use super::command::Command;
use super::event::{ChangeId, ReadId};
use super::message::{
    Accepted, Body, Change, ChangeRequest, ChangeResponse, FORWARD_WINDOW, Forward,
    ForwardResponse, Message, ReadIndex, ReadIndexResponse,
};
use super::ready::ProposalOutcome;
use super::refusal::{Reason, Refusal};
use super::state::State;
use super::types::{EntryId, Index, NodeId, Term, Time};
use std::collections::{BTreeMap, VecDeque};

/// A stream of proposals to the leader of one term. It ends with the term, and not when the leader is
/// out of sight for a while: then what was not answered is settled by what is applied.
#[derive(Clone, Debug)]
struct Stream {
    leader: NodeId,
    term: Term,
    /// The place of the first of `waiting`.
    first: u64,
    /// What was not answered, `None` where it was: answers come in any order.
    waiting: VecDeque<Option<Command>>,
    /// How many of `waiting`, from the front, were sent.
    sent: usize,
    /// When to send them again, if the first of them is not answered by then: answers to later ones
    /// do not put that off.
    again_at: Time,
}

/// Reads that the leader was asked about.
#[derive(Clone, Debug)]
struct Asked {
    leader: NodeId,
    batch: u64,
    readers: Vec<ReadId>,
    again_at: Time,
}

/// A change that a caller here waits for.
#[derive(Clone, Debug)]
struct Waiting {
    change: Change,
    /// Where it was sent, in which term, and when to send it again.
    sent: Option<(NodeId, Term, Time)>,
    /// What the leader of that term appended.
    accepted: Option<(Accepted, Term)>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    stream: Option<Stream>,
    reads: Vec<ReadId>,
    asked: Option<Asked>,
    changes: BTreeMap<ChangeId, Waiting>,
}

impl Requests {
    /// Passes proposals to the leader, if there is one.
    pub fn on_propose(&mut self, st: &mut State, commands: Vec<Command>) {
        if st.leader.is_zero() || st.leader == st.id() || !st.config.forward {
            let refusal = no_leader(st);
            let refused = |c: Command| (c.origin().seq, ProposalOutcome::Refused(refusal.clone()));
            st.out.ready.proposals.extend(commands.into_iter().map(refused));
            return;
        }
        let term = st.term();
        let forwarded = |c: &Command| (c.origin().seq, ProposalOutcome::Forwarded(term));
        st.out.ready.proposals.extend(commands.iter().map(forwarded));
        self.stream_to(st).waiting.extend(commands.into_iter().map(Some));
    }

    fn stream_to(&mut self, st: &State) -> &mut Stream {
        let (leader, term) = (st.leader, st.term());
        let new = || Stream {
            leader,
            term,
            first: st.hard.incarnation.first_number(),
            waiting: VecDeque::new(),
            sent: 0,
            again_at: Time::NEVER,
        };
        self.stream.get_or_insert_with(new)
    }

    /// The leader says what became of proposals.
    pub fn on_forward_response(&mut self, st: &mut State, m: &Message, r: &ForwardResponse) {
        let Some(stream) = &mut self.stream else { return };
        if (m.from, m.term) != (stream.leader, stream.term) {
            return;
        }
        let first_waiting = stream.first;
        match r {
            ForwardResponse::Appended { first, count, index } => {
                for (i, id) in stream.take(*first, *count) {
                    let entry = EntryId::new(Index(index.0 + i), stream.term);
                    st.out.ready.proposals.push((id, ProposalOutcome::Appended(entry)));
                }
            }
            ForwardResponse::Refused { first, count, refusal } => {
                for (_, id) in stream.take(*first, *count) {
                    let outcome = ProposalOutcome::Refused(refusal.clone());
                    st.out.ready.proposals.push((id, outcome));
                }
            }
            ForwardResponse::Expected { next } => stream.rewind(*next),
        }
        if let Some(stream) = &mut self.stream
            && stream.first > first_waiting
        {
            stream.again_at = st.now + st.config.heartbeat * 2;
        }
    }

    /// A caller here wants to read.
    pub fn on_read(&mut self, st: &mut State, id: ReadId) {
        if st.leader.is_zero() || st.leader == st.id() {
            let refusal = no_leader(st);
            st.out.ready.reads.push((id, Err(refusal)));
        } else {
            self.reads.push(id);
        }
    }

    /// The leader says up to where to apply.
    pub fn on_read_index(&mut self, st: &mut State, from: NodeId, r: &ReadIndexResponse) {
        let any = mutant!("f2_answer_of_another_question");
        let answered = self.asked.take_if(|a| a.leader == from && (any || a.batch == r.batch));
        for id in answered.into_iter().flat_map(|a| a.readers) {
            st.out.ready.reads.push((id, Ok(r.index)));
        }
    }

    /// A caller here asks for a change. `true`: this node leads, and takes it itself.
    pub fn on_change(&mut self, st: &mut State, id: ChangeId, change: Change, leads: bool) -> bool {
        let standalone = st.is_standalone();
        let refusal = match &change {
            Change::Initialize(_) if !standalone => Some(Refusal::new(
                Reason::AlreadyMember,
                "this node is in a cluster already: add others with AddNode",
            )),
            Change::Add(_) | Change::Remove(_) if standalone => Some(Refusal::new(
                Reason::NoCluster,
                "this node is in no cluster: call InitializeCluster first",
            )),
            _ if !leads && st.leader.is_zero() => Some(no_leader(st)),
            _ => None,
        };
        if let Some(refusal) = refusal {
            st.out.ready.changes.push((id, Err(refusal)));
            return false;
        }
        self.changes.insert(id, Waiting { change, sent: None, accepted: None });
        leads
    }

    /// The leader says whether it took a change.
    pub fn on_change_response(&mut self, st: &mut State, term: Term, r: &ChangeResponse) {
        if let Some(id) = r.id.checked_sub(st.hard.incarnation.first_number()) {
            self.answered(st, id, term, r.result.clone());
        }
    }

    /// The same, also from this node when it leads: what became of a change in that term.
    pub fn answered(
        &mut self,
        st: &mut State,
        id: ChangeId,
        term: Term,
        result: Result<Accepted, Refusal>,
    ) {
        match (self.changes.get_mut(&id), result) {
            (None, _) => {}
            (Some(waiting), Ok(accepted)) => {
                waiting.accepted = Some((accepted, term));
                self.settle_changes(st);
            }
            (Some(_), Err(refusal)) => {
                self.changes.remove(&id);
                st.out.ready.changes.push((id, Err(refusal)));
            }
        }
    }

    /// More was applied here: perhaps the last configuration of a change.
    pub fn settle_changes(&mut self, st: &mut State) {
        if self.changes.is_empty() {
            return;
        }
        let done: Vec<_> = self
            .changes
            .iter()
            .filter_map(|(id, waiting)| change_outcome(st, waiting).map(|outcome| (*id, outcome)))
            .collect();
        for (id, result) in done {
            self.changes.remove(&id);
            st.out.ready.changes.push((id, result));
        }
    }

    /// Role, term or leader changed: what went to the old leader and was not answered is asked anew,
    /// or is unknown.
    pub fn leader_changed(&mut self, st: &mut State) {
        self.stream.take_if(|stream| stream.term != st.term());
        let asked = self.asked.take().into_iter().flat_map(|asked| asked.readers);
        let readers: Vec<ReadId> = asked.chain(self.reads.drain(..)).collect();
        readers.into_iter().for_each(|id| self.on_read(st, id));
        let refused = |(id, waiting): (&ChangeId, &Waiting)| Some((*id, left_alone(st, waiting)?));
        let refused: Vec<_> = self.changes.iter().filter_map(refused).collect();
        for (id, refusal) in refused {
            self.changes.remove(&id);
            st.out.ready.changes.push((id, Err(refusal)));
        }
    }

    /// This node leaves its cluster: its own removal is done, nothing else will be.
    pub fn leave(&mut self, st: &mut State, why: &Refusal) {
        let me = st.id();
        for (id, waiting) in std::mem::take(&mut self.changes) {
            let own = matches!(waiting.change, Change::Remove(node) if node == me);
            st.out.ready.changes.push((id, if own { Ok(()) } else { Err(why.clone()) }));
        }
        let asked = self.asked.take().into_iter().flat_map(|asked| asked.readers);
        let readers: Vec<ReadId> = asked.chain(self.reads.drain(..)).collect();
        st.out.ready.reads.extend(readers.into_iter().map(|id| (id, Err(why.clone()))));
    }

    /// The batch is over: sends what is new, and again what was not answered.
    pub fn flush(&mut self, st: &mut State) {
        if st.leader.is_zero() || st.leader == st.id() {
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.flush(st);
        }
        self.flush_reads(st);
        self.flush_changes(st);
    }

    /// When to send again what was not answered.
    pub fn deadline(&self, st: &State) -> Time {
        if st.leader.is_zero() {
            return Time::NEVER;
        }
        let stream = self.stream.as_ref().filter(|s| !s.waiting.is_empty());
        let changes = self.changes.values().filter(|w| w.accepted.is_none());
        let resend = changes.filter_map(|w| w.sent).map(|(_, _, again_at)| again_at).min();
        stream
            .map_or(Time::NEVER, |s| s.again_at)
            .min(self.asked.as_ref().map_or(Time::NEVER, |a| a.again_at))
            .min(resend.unwrap_or(Time::NEVER))
    }

    /// One question for all reads that wait, one question at a time.
    fn flush_reads(&mut self, st: &mut State) {
        if self.asked.is_none() && !self.reads.is_empty() {
            let readers = std::mem::take(&mut self.reads);
            let batch = st.nonce();
            self.asked = Some(Asked { leader: st.leader, batch, readers, again_at: st.now });
        }
        let Some(asked) = &mut self.asked else { return };
        if st.now >= asked.again_at {
            asked.again_at = st.now + st.config.heartbeat * 2;
            let (leader, term) = (asked.leader, st.term());
            st.send_free(leader, term, Body::ReadIndex(ReadIndex { batch: asked.batch }));
        }
    }

    fn flush_changes(&mut self, st: &mut State) {
        let again_at = st.now + st.config.heartbeat * 2;
        for (id, waiting) in &mut self.changes {
            let due = waiting.sent.is_none_or(|(_, _, at)| st.now >= at);
            if waiting.accepted.is_some() || !due {
                continue;
            }
            let change = waiting.change.clone();
            let (leader, term) = (st.leader, st.term());
            waiting.sent = Some((leader, term, again_at));
            let id = st.hard.incarnation.first_number() + id;
            st.send_free(leader, term, Body::ChangeRequest(ChangeRequest { id, change }));
        }
    }
}

impl Stream {
    /// Takes out what was not answered of the `count` proposals from place `first` on: the place of each
    /// among those, and its id.
    fn take(&mut self, first: u64, count: u64) -> Vec<(u64, u64)> {
        let mut ids = Vec::new();
        let end = first.saturating_add(count).min(self.first + self.waiting.len() as u64);
        for place in first.max(self.first)..end {
            let command = self.waiting[(place - self.first) as usize].take();
            ids.extend(command.map(|command| (place - first, command.origin().seq)));
        }
        while self.waiting.front().is_some_and(Option::is_none) {
            self.waiting.pop_front();
            self.first += 1;
            self.sent = self.sent.saturating_sub(1);
        }
        ids
    }

    /// The leader took everything before `next` and nothing behind: that is sent again.
    fn rewind(&mut self, next: u64) {
        self.sent = self.sent.min(next.saturating_sub(self.first) as usize);
    }

    fn flush(&mut self, st: &mut State) {
        if st.now >= self.again_at {
            self.sent = 0;
        }
        if self.sent == 0 {
            self.again_at = st.now + st.config.heartbeat * 2;
        }
        let end = self.waiting.len().min(FORWARD_WINDOW);
        while let Some(at) = (self.sent..end).find(|&i| self.waiting[i].is_some()) {
            let commands = self.next_batch(at, end, st.config.max_message_bytes);
            self.sent = at + commands.len();
            let body = Body::Forward(Forward { first: self.first + at as u64, commands });
            st.send_free(self.leader, self.term, body);
        }
    }

    /// What waits from `at` on, up to what was answered, as much as fits in a message.
    fn next_batch(&self, at: usize, end: usize, max_bytes: usize) -> Vec<Command> {
        let mut bytes = 0;
        let fits = |command: &&Command| {
            let first = bytes == 0;
            bytes += command.encoded().len();
            first || bytes <= max_bytes
        };
        self.waiting.range(at..end).map_while(Option::as_ref).take_while(fits).cloned().collect()
    }
}

/// Why nothing is answered any more that a node asked of a cluster which it leaves.
pub fn left() -> Refusal {
    let text = "this node was removed from its cluster while the call was under way";
    Refusal::new(Reason::LeftCluster, text)
}

/// Why nobody will answer a change any more, now that another leads, or nobody. One that was not sent
/// goes to the next leader, but not to this very node.
fn left_alone(st: &State, waiting: &Waiting) -> Option<Refusal> {
    let nobody = st.leader.is_zero() || st.leader == st.id();
    match waiting.sent {
        _ if waiting.accepted.is_some() => None,
        None if nobody && !mutant!("h10_changes_are_dropped") => Some(no_leader(st)),
        Some((leader, term, _)) if (leader, term) != (st.leader, st.term()) => {
            let text = "the leader lost its office before it answered: look at the configuration \
                        before you repeat this, the change may have been made";
            Some(Refusal::new(Reason::LeadershipLost, text))
        }
        _ => None,
    }
}

/// What became of a change, by what is applied here. A change is lost as a proposal is: once an entry
/// of a later term is applied and its own is not, it never will be.
fn change_outcome(st: &State, waiting: &Waiting) -> Option<Result<(), Refusal>> {
    let (accepted, term) = waiting.accepted.as_ref()?;
    let index = st.log.applied();
    let made = st
        .members
        .numbered(accepted.number)
        .is_some_and(|(at, _)| *at <= index && st.log.term(*at) == Some(*term));
    if !made {
        return (st.log.term(index) > Some(*term)).then(|| Err(rolled_back()));
    }
    let applied = st.members.at(index);
    match waiting.change {
        _ if applied.is_joint() => None,
        Change::Remove(_) => Some(Ok(())),
        Change::Add(_) | Change::Initialize(_) if applied.is_voter(accepted.node) => Some(Ok(())),
        Change::Add(_) | Change::Initialize(_) => {
            (!applied.contains(accepted.node)).then(|| Err(taken_out(accepted.node)))
        }
    }
}

fn rolled_back() -> Refusal {
    let text = "the leader lost its office before the change was committed, and it was not made: \
                repeat it";
    Refusal::new(Reason::LeadershipLost, text)
}

fn taken_out(node: NodeId) -> Refusal {
    let text = format!("node {node} was taken out again before it had caught up");
    Refusal::new(Reason::NotFound, text)
}

fn no_leader(st: &State) -> Refusal {
    let text = if st.leader.is_zero() || st.leader == st.id() {
        "no leader is known at present: try again, or wait with a time limit"
    } else {
        "this node does not lead and forward_proposals is off: ask the leader"
    };
    Refusal::new(Reason::NoLeader, text)
}
