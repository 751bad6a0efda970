//! What each follower needs next, and what its answers say (§5.3).
//!
//! While it is not known where the logs agree, a follower is asked with empty appends; then entries
//! are sent without waiting. A lost message shows at the next heartbeat, whose `prev` lies after it.

use super::super::command::Entry;
use super::super::message::{AppendEntries, AppendEntriesResponse, AppendVerdict, Body, Message};
use super::super::progress::{Mode, Progress};
use super::super::state::State;
use super::super::types::{Incarnation, Index};

/// Sends what the follower lacks, as far as it may.
pub fn send_entries(peer: &mut Progress, st: &mut State, round: u64) {
    if peer.mode == (Mode::Probe { asked: false }) {
        send_heartbeat(peer, st, round);
    }
    while peer.mode == Mode::Replicate && peer.fetch.is_none() && has_room(peer, st) {
        let last = st.log.last().index;
        if peer.next > last {
            return;
        }
        match st.log.in_memory(peer.next, last, st.config.max_message_bytes) {
            Some(entries) => send_batch(peer, st, round, entries),
            // What is not in memory is durable; what is not durable can't be read beside the writer.
            None => peer.fetch = Some(st.fetch(peer.next, st.log.durable())),
        }
    }
}

/// Sends old entries that were read, if they are still what comes next.
pub fn send_fetched(peer: &mut Progress, st: &mut State, round: u64, entries: &[Entry]) {
    peer.fetch = None;
    let wanted = peer.mode == Mode::Replicate
        && entries.first().is_some_and(|entry| entry.index == peer.next)
        && entries.iter().all(|entry| st.log.contains(entry.id()));
    if wanted {
        send_batch(peer, st, round, entries.to_vec());
    }
}

/// An append without entries: a sign of life, and the question whether `next - 1` is there.
pub fn send_heartbeat(peer: &mut Progress, st: &mut State, round: u64) {
    if let Mode::Probe { asked } = &mut peer.mode {
        *asked = true;
    }
    send(peer, st, round, Vec::new());
}

/// Tells a follower that keeps up of a new commit index.
pub fn send_commit(peer: &mut Progress, st: &mut State, round: u64) {
    if peer.mode == Mode::Replicate {
        send(peer, st, round, Vec::new());
    }
}

/// What a follower's answer says. `last` is the end of our log.
pub fn on_response(
    peer: &mut Progress,
    st: &mut State,
    m: &Message,
    r: &AppendEntriesResponse,
    last: Index,
) {
    let before = peer.incarnation;
    if !note_run(peer, m.from_incarnation) {
        return;
    }
    // A new run that ends before what was counted of an earlier one forgot it, and may not know.
    let forgot = peer.incarnation != before && r.last_index < peer.counted;
    peer.heard_at = Some(st.now);
    peer.acked_round = peer.acked_round.max(r.round);
    peer.abstaining = r.abstaining;
    if (forgot || r.abstaining) && peer.repair_to.is_none() {
        peer.repair_to = Some(last);
    }
    if mutant!("b4_any_answer_acknowledges") {
        peer.ack(r.last_index.min(last));
    }
    if r.matched > last {
        let (node, matched) = (m.from, r.matched);
        return st.alarm(format!("{node} acknowledges {matched}, beyond the log of its leader"));
    }
    peer.ack(r.matched);
    match r.verdict {
        AppendVerdict::Matched => {
            if let Mode::Probe { .. } = peer.mode {
                peer.mode = Mode::Replicate;
            }
        }
        AppendVerdict::Mismatch => {
            let known = !mutant!("b20_late_conflict_rewinds");
            let floor = if known { peer.matched } else { Index::ZERO };
            let next = st.log.not_above(r.hint).index.max(floor).next();
            if next < peer.next {
                peer.probe_from(next);
            }
        }
        AppendVerdict::Busy | AppendVerdict::DiskFull => {
            peer.probe_from(peer.matched.next());
            peer.mode = Mode::Probe { asked: true };
        }
        AppendVerdict::StaleTerm => {}
    }
}

/// Acknowledgements belong to one run of a follower. `false` for those of an older one.
fn note_run(peer: &mut Progress, incarnation: Incarnation) -> bool {
    if peer.incarnation.is_zero() {
        peer.incarnation = incarnation;
    } else if peer.incarnation != incarnation {
        if incarnation.counter() < peer.incarnation.counter() {
            return false;
        }
        if !mutant!("b5_acks_of_older_runs") {
            peer.restart(incarnation);
        }
    }
    true
}

fn has_room(peer: &Progress, st: &State) -> bool {
    peer.inflights.has_room(st.config.max_inflight_messages, st.config.max_inflight_bytes)
}

fn send_batch(peer: &mut Progress, st: &mut State, round: u64, entries: Vec<Entry>) {
    let Some(last) = entries.last().map(|entry| entry.index) else { return };
    let skipped = usize::from(mutant!("b18_gap_in_packing") && entries.len() > 1);
    let entries = if skipped > 0 { entries[skipped..].to_vec() } else { entries };
    let bytes = entries.iter().map(Entry::size).sum();
    send(peer, st, round, entries);
    peer.inflights.add(last, bytes);
    peer.next = last.next();
}

/// Entries need not be durable here to be sent: the leader counts itself only when they are.
fn send(peer: &mut Progress, st: &mut State, round: u64, entries: Vec<Entry>) {
    let Some(prev) = st.log.id(peer.next.prev()) else { return };
    let repair_for = if peer.repair_to.is_some() { peer.incarnation } else { Incarnation::ZERO };
    let body = Body::AppendEntries(AppendEntries {
        prev,
        entries,
        commit: st.log.commit(),
        round,
        repair_for,
        repair_to: peer.repair_to.unwrap_or_default(),
    });
    peer.sent_commit = st.log.commit();
    let mut message = st.message(peer.member.id, st.term(), body);
    message.address = Some(peer.member.address.clone());
    st.out.send_now(message);
}
