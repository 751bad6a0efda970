//! Proposals that followers pass on: each stream in order, each proposal once, only in the term that
//! it was sent in.

use super::super::command::Command;
use super::super::message::{Body, Forward, ForwardResponse, Message};
use super::super::refusal::{Reason, Refusal};
use super::super::state::State;
use super::super::types::{Incarnation, Index, NodeId};
use std::collections::BTreeMap;

/// How far each follower's stream was taken in this term.
#[derive(Debug, Default)]
pub struct Streams(BTreeMap<NodeId, (Incarnation, u64)>);

impl Streams {
    /// What of a message is new and comes next: its place in the stream, and the proposals. Answers
    /// repetitions and gaps.
    pub fn next(
        &mut self,
        st: &mut State,
        m: &Message,
        f: &Forward,
    ) -> Option<(u64, Vec<Command>)> {
        let stream = self.0.entry(m.from).or_insert((m.from_incarnation, 0));
        if stream.0 != m.from_incarnation {
            *stream = (m.from_incarnation, 0);
        }
        let next = stream.1;
        let known = next.checked_sub(f.first).map_or(f.commands.len(), |n| n as usize);
        let new: Vec<Command> = f.commands.iter().skip(known).cloned().collect();
        if new.is_empty() {
            send(st, m.from, ForwardResponse::Expected { next });
            return None;
        }
        stream.1 += new.len() as u64;
        if new.iter().any(|command| command.origin().node != m.from || command.kind() < 0) {
            let text = "a forwarded proposal is of a reserved type or of another node";
            let refusal = Refusal::new(Reason::Invalid, text);
            self.answer(st, m.from, next, new.len() as u64, Err(refusal));
            return None;
        }
        Some((next, new))
    }

    /// Tells the follower what became of `count` proposals from `first` on.
    pub fn answer(
        &self,
        st: &mut State,
        to: NodeId,
        first: u64,
        count: u64,
        result: Result<Index, Refusal>,
    ) {
        let response = match result {
            Ok(index) => ForwardResponse::Appended { first, count, index },
            Err(refusal) => ForwardResponse::Refused { first, count, refusal },
        };
        send(st, to, response);
    }
}

fn send(st: &mut State, to: NodeId, response: ForwardResponse) {
    st.send_free(to, st.term(), Body::ForwardResponse(response));
}
