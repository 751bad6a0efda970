//! Proposals that followers pass on: each stream in order, each proposal once, only in the term that
//! it was sent in.

use super::super::command::Command;
use super::super::message::{Body, FORWARD_WINDOW, Forward, ForwardResponse, Message};
use super::super::refusal::{Reason, Refusal};
use super::super::state::State;
use super::super::types::{Incarnation, Index, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// What was taken of each follower's stream in this term.
#[derive(Clone, Debug, Default)]
pub struct Streams(BTreeMap<NodeId, Stream>);

#[derive(Clone, Debug, Default)]
struct Stream {
    incarnation: Incarnation,
    /// Everything before this was taken.
    next: u64,
    /// The last ones, in case they are lost: no more can be asked for again.
    answers: VecDeque<ForwardResponse>,
}

impl Streams {
    /// What of a message is new and comes next: its place in the stream, and the proposals. Answers
    /// repetitions as they were answered the first time, and gaps.
    pub fn next(
        &mut self,
        st: &mut State,
        m: &Message,
        f: &Forward,
    ) -> Option<(u64, Vec<Command>)> {
        let stream = self.0.entry(m.from).or_default();
        if stream.incarnation != m.from_incarnation {
            let next = m.from_incarnation.first_number();
            *stream = Stream { incarnation: m.from_incarnation, next, ..Stream::default() };
        }
        let next = stream.next;
        let known = next.checked_sub(f.first).map_or(f.commands.len(), |n| n as usize);
        let known = if mutant!("h1_repeated_forward_is_taken") { 0 } else { known };
        let new: Vec<Command> = f.commands.iter().skip(known).cloned().collect();
        let answers = stream.answers_from(f.first);
        let unknown = new.is_empty() && answers.is_empty();
        answers.into_iter().for_each(|answer| send(st, m.from, answer));
        if unknown {
            send(st, m.from, ForwardResponse::Expected { next });
        }
        if new.is_empty() {
            return None;
        }
        stream.next += new.len() as u64;
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
        &mut self,
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
        if let Some(stream) = self.0.get_mut(&to) {
            stream.answers.push_back(response.clone());
            stream.answers.drain(..stream.answers.len().saturating_sub(FORWARD_WINDOW));
        }
        send(st, to, response);
    }
}

impl Stream {
    /// The answers to what a message repeats that begins at `first`.
    fn answers_from(&self, first: u64) -> Vec<ForwardResponse> {
        self.answers.iter().filter(|answer| end(answer) > first).cloned().collect()
    }
}

/// The place in the stream after what an answer is about.
fn end(answer: &ForwardResponse) -> u64 {
    match answer {
        ForwardResponse::Appended { first, count, .. }
        | ForwardResponse::Refused { first, count, .. } => first + count,
        ForwardResponse::Expected { next } => *next,
    }
}

fn send(st: &mut State, to: NodeId, response: ForwardResponse) {
    st.send_free(to, st.term(), Body::ForwardResponse(response));
}
