//! Completions and reads that come in a wrong order or size, and a log whose beginning is gone.

use super::lone::{Lone, begun, config};
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::{AppendEntries, AppendVerdict, Body, Message};
use quorate_engine::consensus::raft::Restored;
use quorate_engine::consensus::types::{EntryId, Incarnation, Index, Term};
use quorate_tests::scene;
use std::sync::Arc;

/// Writes up to this one are durable.
pub(super) fn persisted(seq: u64) -> Event {
    Event::Persisted(seq)
}

fn noop(index: u64, term: u64) -> Entry {
    Entry { index: Index(index), term: Term(term), payload: Payload::Noop }
}

// known bug: B14 | openraft #1960: a store reported its second append before its first, and progress was
// lost | writes are numbered and reported in order; a report covers all before it, and one out of turn
// stops the node with an alarm
#[test]
fn a_completion_out_of_turn_is_noticed() {
    let mut lone = Lone::new(config(), begun(&[1], &[]));
    lone.campaign([]);
    assert!(lone.leads());
    lone.slow = true;
    lone.propose(1);
    lone.propose(2);
    let [first, second] = lone.writes[..] else { panic!("two writes, not {:?}", lone.writes) };
    lone.step(persisted(second));
    assert_eq!(lone.core.status().commit, Index(4), "the second covers the first");
    assert_eq!(lone.alarm, None);
    lone.step(persisted(first));
    assert!(lone.alarm.as_deref().is_some_and(|text| text.contains("out of turn")));

    let mut fresh = Lone::new(config(), begun(&[1], &[]));
    fresh.slow = true;
    fresh.wait();
    fresh.step(persisted(9));
    assert!(fresh.alarm.is_some(), "a write that was never asked for");
}

/// Entries 51 to 60 of the terms 3 and 4: what was before is gone.
fn compacted(term: u64) -> Restored {
    let mut restored = begun(&[1, 2, 3], &[]);
    let membership = Arc::new(scene::membership(1, &[1, 2, 3], &[], &[]));
    restored.state.term = Term(term);
    (restored.first, restored.prev_term, restored.last) = (Index(51), Term(3), Index(60));
    restored.terms = vec![(Index(51), Term(3)), (Index(56), Term(4))];
    restored.memberships = vec![(Index(51), membership)];
    (restored.commit_hint, restored.applied) = (Index(58), Index(58));
    restored
}

fn appends(lone: &Lone) -> Vec<AppendEntries> {
    let append = |m: &Message| match &m.body {
        Body::AppendEntries(append) => Some(append.clone()),
        _ => None,
    };
    lone.sent.iter().filter_map(append).collect()
}

// known bug: B15 | etcd 76f1249: the term of an entry that was compacted away read as 0, and a follower
// that had nothing matched it | that term is a distinct answer: nothing is sent from there. *Waits for
// snapshots*: sending one instead
#[test]
fn a_term_that_is_gone_is_never_sent() {
    let mut lone = Lone::new(config(), compacted(4));
    lone.campaign([2]);
    assert!(lone.leads());
    lone.answer(3, AppendVerdict::Mismatch, 0, EntryId::new(Index(10), Term(1)));
    lone.answer(3, AppendVerdict::Mismatch, 0, EntryId::ZERO);
    lone.propose(1);
    lone.wait();
    let known = |prev: EntryId| match prev.index.0 {
        50..=55 => prev.term == Term(3),
        56..=60 => prev.term == Term(4),
        61.. => prev.term == Term(5),
        _ => false,
    };
    assert!(appends(&lone).len() > 4);
    for append in appends(&lone) {
        assert!(known(append.prev), "prev {} is not in the log", append.prev);
    }
    assert_eq!(lone.core.status().commit, Index(58), "3 has acknowledged nothing");
}

// known bug: B16 | openraft 71a290cd: what lies before a compacted log was taken for a conflict, and the
// log was deleted | an append from before the first entry changes nothing; where the log begins is
// told. *Waits for snapshots*: a node that is sent one
#[test]
fn an_append_from_before_the_log_cuts_nothing() {
    let mut lone = Lone::new(config(), compacted(4));
    let append = |prev: (u64, u64), entries: Vec<Entry>| {
        Body::AppendEntries(AppendEntries {
            prev: EntryId::new(Index(prev.0), Term(prev.1)),
            entries,
            commit: Index(60),
            round: 1,
            repair_for: Incarnation::ZERO,
            repair_to: Index::ZERO,
        })
    };
    lone.hear(2, append((48, 3), vec![noop(49, 3), noop(50, 3), noop(51, 3)]));
    let status = lone.core.status();
    assert_eq!((status.first, status.last.index, status.commit), (Index(51), Index(60), Index(58)));
    let answer = lone.sent.iter().rev().find_map(|m| match &m.body {
        Body::AppendEntriesResponse(r) => Some((r.verdict, r.hint)),
        _ => None,
    });
    assert_eq!(answer, Some((AppendVerdict::Mismatch, EntryId::new(Index(50), Term(3)))));
    lone.hear(2, append((50, 3), vec![noop(51, 3), noop(52, 3)]));
    assert_eq!(lone.core.status().last.index, Index(60));
    assert_eq!(lone.alarm, None);
}

// known bug: B19 | etcd 8ecce32 (cockroach #28918): a store gave one entry more than the limit, and
// entries were applied twice or never | what is handed over is counted by index, and never goes beyond
// what is committed and durable
#[test]
fn a_store_that_gives_too_much_does_no_harm() {
    let mut restored = begun(&[1], &[]);
    restored.last = Index(20);
    (restored.commit_hint, restored.terms) = (Index(15), vec![(Index(1), Term(1))]);
    let mut lone = Lone::new(Config { max_message_bytes: 100, ..config() }, restored);
    for _ in 0..20 {
        let Some(fetch) = lone.fetches.pop() else { break };
        let more = fetch.from.0..=(fetch.from.0 + 5).min(20);
        let entries: Vec<Entry> = more.map(|index| noop(index, 1)).collect();
        lone.step(Event::Fetched(fetch.id, entries.clone()));
        lone.step(Event::Fetched(fetch.id, entries));
    }
    assert_eq!(lone.applied, (1..=15).collect::<Vec<u64>>());
    assert_eq!(lone.alarm, None);
}
