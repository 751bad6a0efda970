//! Reads that see everything acknowledged before them, without a write (thesis §6.4): the commit
//! index of a leader that has proved, after the read was asked for, that it still leads.

use super::super::event::ReadId;
use super::super::message::{Body, ReadIndexResponse};
use super::super::progress::Progress;
use super::super::quorum;
use super::super::refusal::Refusal;
use super::super::state::State;
use super::super::types::{Index, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Who wants to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// A caller here.
    Local(ReadId),
    /// Callers at a follower.
    Remote(NodeId, u64),
}

/// Waiting reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Not confirmed by any heartbeat that is under way.
    new: Vec<Reader>,
    /// `(heartbeat, index, readers)`: allowed once a majority answered that heartbeat.
    rounds: VecDeque<(u64, Index, Vec<Reader>)>,
    /// The readers of the heartbeat that is about to be sent.
    next: Option<(Index, Vec<Reader>)>,
}

impl Reads {
    /// Somebody wants to read.
    pub fn add(&mut self, reader: Reader) {
        self.new.push(reader);
    }

    /// Takes up new reads, once an entry of this term is committed: before, the commit index may lag
    /// behind what earlier leaders acknowledged. Whether they need a heartbeat.
    pub fn begin(&mut self, st: &mut State, term_start: Index) -> bool {
        if self.new.is_empty()
            || (st.log.commit() < term_start && !mutant!("f1_read_before_own_term"))
        {
            return false;
        }
        let (index, readers) = (st.log.commit(), std::mem::take(&mut self.new));
        let alone = quorum::majority(st.members.current(), |id| id == st.id());
        if alone || mutant!("f4_read_unconfirmed") {
            readers.into_iter().for_each(|reader| allow(st, reader, index));
            return false;
        }
        self.next = Some((index, readers));
        true
    }

    /// The heartbeat that confirms what `begin` took up.
    pub fn assign(&mut self, round: u64) {
        if let Some((index, readers)) = self.next.take() {
            self.rounds.push_back((round, index, readers));
        }
    }

    /// A follower answered a heartbeat.
    pub fn on_ack(&mut self, st: &mut State, peers: &BTreeMap<NodeId, Progress>) {
        while let Some((round, index, _)) = self.rounds.front() {
            let (round, index) = (*round, *index);
            let acked = |id| id == st.id() || peers.get(&id).is_some_and(|p| answered(p, round));
            if !quorum::majority(st.members.current(), acked) {
                return;
            }
            let readers = self.rounds.pop_front().map_or(Vec::new(), |(_, _, readers)| readers);
            readers.into_iter().for_each(|reader| allow(st, reader, index));
        }
    }

    /// This node leads no more: callers here are told why; followers ask again by themselves.
    pub fn give_up(self, st: &mut State, why: &Refusal) {
        if mutant!("h10_readers_are_dropped") {
            return;
        }
        let next = self.next.into_iter().flat_map(|(_, readers)| readers);
        let rounds = self.rounds.into_iter().flat_map(|(_, _, readers)| readers);
        for reader in self.new.into_iter().chain(next).chain(rounds) {
            if let Reader::Local(id) = reader {
                st.out.ready.reads.push((id, Err(why.clone())));
            }
        }
    }
}

/// A follower answered that heartbeat, or a later one.
fn answered(peer: &Progress, round: u64) -> bool {
    peer.acked_round >= round || (mutant!("f2_any_answer_confirms") && peer.acked_round > 0)
}

fn allow(st: &mut State, reader: Reader, index: Index) {
    match reader {
        Reader::Local(id) => st.out.ready.reads.push((id, Ok(index))),
        Reader::Remote(node, batch) => {
            let body = Body::ReadIndexResponse(ReadIndexResponse { batch, index });
            st.send_free(node, st.term(), body);
        }
    }
}
