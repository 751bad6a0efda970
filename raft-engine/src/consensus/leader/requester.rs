//! Who asks a leader for changes of membership, and what they were told. A request may come twice, long
//! after it was carried out: then it is answered again and not carried out again.

use super::super::event::ChangeId;
use super::super::message::{Accepted, Body, ChangeResponse};
use super::super::refusal::Refusal;
use super::super::state::State;
use super::super::types::{Incarnation, NodeId};
use std::collections::VecDeque;

/// Answers that are remembered.
const REMEMBERED: usize = 256;

/// Who asked for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Requester {
    /// A caller here.
    Local(ChangeId),
    /// A caller at that run of a follower.
    Remote(NodeId, Incarnation, u64),
}

/// What followers were told in this term.
#[derive(Clone, Debug, Default)]
pub struct Answers(VecDeque<(Requester, Result<Accepted, Refusal>)>);

impl Answers {
    /// Tells whoever asked.
    pub fn give(
        &mut self,
        st: &mut State,
        requester: Requester,
        result: Result<Accepted, Refusal>,
    ) {
        match requester {
            Requester::Local(id) => st.change_answers.push((id, result)),
            Requester::Remote(..) => {
                self.0.push_back((requester, result));
                self.0.drain(..self.0.len().saturating_sub(REMEMBERED));
                self.repeat(st, requester);
            }
        }
    }

    /// Tells a follower again what it was told last. `false` for a request that was not answered.
    pub fn repeat(&self, st: &mut State, requester: Requester) -> bool {
        let known = self.0.iter().rfind(|(known, _)| *known == requester);
        let (Requester::Remote(node, _, id), Some((_, result))) = (requester, known) else {
            return false;
        };
        let body = Body::ChangeResponse(ChangeResponse { id, result: result.clone() });
        st.send_free(node, st.term(), body);
        true
    }
}
