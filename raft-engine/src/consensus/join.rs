//! Who this node is, to strangers, and how it becomes a member or stops being one.
//!
//! Log matching holds within one lineage only: two histories could agree in index and term by chance.
//! So a node takes up another lineage as a whole, with the term and the vote it had there.

use super::candidate;
use super::leader::reconfigure::has_data;
use super::message::{
    Body, Identify, Identity, Join, JoinRefused, Message, NotJoined, NotMember, Standing,
};
use super::ready::HardState;
use super::refusal::{Reason, Refusal};
use super::state::State;
use super::types::{ClusterId, Index, NodeId, Term};
use std::cmp::Ordering;

/// Answers who this node is. In every state, to everybody.
pub fn on_identify(st: &mut State, from: NodeId, req: &Identify) {
    let standing = st.standing();
    let cluster = match (standing, &st.hard.former) {
        (Standing::Member | Standing::Joining, _) => st.hard.lineage,
        (_, Some(former)) => former.lineage,
        (_, None) => ClusterId::ZERO,
    };
    let body = Body::Identity(Identity {
        nonce: req.nonce,
        node: st.id(),
        incarnation: st.hard.incarnation,
        cluster,
        standing,
        last_index: st.log.last().index,
    });
    let term = st.term();
    let mut message = st.message(from, term, body);
    message.address = None;
    st.out.send_now(message);
}

/// An append of another lineage: its leader may ask us to join.
pub fn on_foreign_append(st: &mut State, from: NodeId) {
    let standing = st.standing();
    let term = st.term();
    st.send_free(from, term, Body::NotJoined(NotJoined { standing }));
}

/// A leader asks this node to become a member of its cluster.
pub fn on_join(st: &mut State, m: &Message, join: &Join) {
    let left = st.hard.former.as_ref().is_some_and(|f| f.lineage == m.cluster);
    let stale = join.for_incarnation != st.hard.incarnation
        || m.cluster == st.hard.lineage
        || (left && join.number <= st.hard.number_floor);
    if stale {
        return;
    }
    match accept(st, m.cluster, join.number) {
        Ok(hard) => st.switch(hard),
        Err(refusal) => {
            let body = Body::JoinRefused(JoinRefused { number: join.number, refusal });
            let term = st.term();
            st.send_free(m.from, term, body);
        }
    }
}

/// The state in which this node joins: abstaining, because an id that comes back without its old tail
/// must not vote for a candidate whose configuration still has it.
fn accept(st: &State, cluster: ClusterId, number: u64) -> Result<HardState, Refusal> {
    let (term, voted_for, cut_to) = match (st.standing(), &st.hard.former) {
        (Standing::Fresh, _) => (Term::ZERO, NodeId::ZERO, Index::ZERO),
        (Standing::Former, Some(f)) if f.lineage == cluster => {
            let vote =
                if mutant!("a9_joiner_forgets_its_vote") { NodeId::ZERO } else { f.voted_for };
            (f.term, vote, f.left_at.index)
        }
        (Standing::HasData | Standing::FormerWithData, _) => {
            return Err(has_data(st.id(), "its address"));
        }
        _ => {
            let text = format!("node {} belongs to another cluster", st.id());
            return Err(Refusal::new(Reason::OtherCluster, text));
        }
    };
    Ok(HardState {
        lineage: cluster,
        term,
        voted_for,
        abstaining: !mutant!("d10_joiner_votes"),
        cut_pending: true,
        joining: true,
        has_peers: true,
        cut_to,
        number_floor: number,
        former: None,
        ..st.hard.clone()
    })
}

/// A member says that we are none. Believed if it knows a newer configuration than we do, or one of the
/// same number: the one that we know lacks us too and only its commit is news, or it was never committed
/// and is dead now, because there is one committed configuration of a number. The one before ours is
/// news as well if ours was lost with its leader.
pub fn on_not_member(st: &mut State, from: NodeId, term: Term, says: &NotMember) {
    let own = st.members.current();
    let uncommitted = st.members.current_index() > st.log.commit();
    let newer = match says.number.cmp(&own.number) {
        Ordering::Greater => true,
        Ordering::Equal => uncommitted || !own.contains(st.id()),
        Ordering::Less => uncommitted && lost(st, term, says),
    };
    let news = newer && says.number > st.number_floor();
    if news && own.contains(from) && !st.is_standalone() {
        st.leave(says.number);
    }
}

/// Who says so has committed in a later term than that of our configuration, and lacks ours: no later
/// leader will have it (see `election::lost`). There is at most one beyond the committed ones.
fn lost(st: &State, term: Term, says: &NotMember) -> bool {
    let ours = st.log.term(st.members.current_index());
    let later = ours.is_some_and(|ours| ours < term) || mutant!("a13_old_word_is_believed");
    later && says.number + 1 == st.members.current().number
}

/// A node that may not campaign and hears no leader asks for pre-votes all the same. They count for
/// nothing, but who knows that it was removed says so. One that was asked to join and never saw the
/// configuration which has it knows nobody to ask: that was cancelled, or the cluster is away. After a
/// while it is Standalone again; it voted for nobody, and may be asked to join in the same number.
pub fn ask_whether_member(st: &mut State) {
    let unseen = st.members.current().number == 0 && st.hard.joining;
    let silence = st.now.since(st.heard_at.unwrap_or(st.started_at));
    if !unseen {
        let round = st.nonce();
        candidate::ask_voters(st, round, true, false);
    } else if silence >= st.config.election_timeout * 10 {
        st.leave(st.hard.number_floor.saturating_sub(1));
    }
}

/// Leaves once a configuration without this node is committed and durable here.
pub fn leave_if_removed(st: &mut State) {
    if st.over || st.is_standalone() {
        return;
    }
    let settled = st.members.at(st.log.settled());
    let committed = !mutant!("d4_leaves_before_the_commit");
    let settled = if committed { settled } else { st.members.current() };
    let removed = settled.number > st.number_floor()
        && !settled.is_joint()
        && !settled.contains(st.id())
        && !st.members.current().contains(st.id());
    if removed {
        let number = settled.number;
        st.leave(number);
    }
}
