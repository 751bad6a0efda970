//! How a story begins: nodes with logs that were written by hand.

use crate::cluster::CLUSTER;
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::membership::{Learner, Member, Membership};
use quorate_engine::consensus::message::{Body, Message};
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{
    Address, ClusterId, Incarnation, Index, NodeId, Origin, Term,
};
use std::sync::Arc;

/// Node `id`, at the address `n<id>`.
#[must_use]
pub fn member(id: u64) -> Member {
    Member { id: NodeId(id), address: Address::from(format!("n{id}")) }
}

/// A configuration of the cluster that scripts begin with.
#[must_use]
pub fn membership(number: u64, voters: &[u64], outgoing: &[u64], learners: &[u64]) -> Membership {
    let members = |ids: &[u64]| ids.iter().map(|&id| member(id)).collect();
    let learner = |&id: &u64| Learner { member: member(id), promote: true };
    Membership {
        cluster: CLUSTER,
        number,
        voters: members(voters),
        outgoing: members(outgoing),
        learners: learners.iter().map(learner).collect(),
    }
}

/// The state of a node of a lineage that did nothing yet. In the cluster others vote.
#[must_use]
pub fn state(place: u64, lineage: ClusterId) -> HardState {
    let has_peers = lineage == CLUSTER;
    let (directory, node) = (place, NodeId(place));
    HardState { directory, node, lineage, has_peers, ..HardState::default() }
}

/// The first entry of a cluster of these voters.
#[must_use]
pub fn founding(voters: &[u64]) -> Entry {
    let payload = Payload::Membership(Arc::new(membership(1, voters, &[], &[])));
    Entry { index: Index(1), term: Term(1), payload }
}

/// What a node of the cluster says in its first run.
#[must_use]
pub fn message(from: u64, to: u64, term: Term, body: Body) -> Message {
    Message {
        from: NodeId(from),
        from_incarnation: Incarnation(1 << 40 | from),
        to: NodeId(to),
        address: None,
        cluster: CLUSTER,
        term,
        body,
    }
}

/// A log from words: `4` is a command of term 4, `4:noop` a no-op, `4:c2[1,2|1,2,3|4]` configuration 2
/// with voters, outgoing and learners.
///
/// # Errors
/// A word makes no sense.
pub fn log(words: &[&str]) -> Result<Vec<Entry>, String> {
    let entry = |(at, word): (usize, &&str)| {
        let (term, what) = word.split_once(':').unwrap_or((word, ""));
        let term = term.parse().map_err(|_| format!("{word}: a term comes first"))?;
        let index = at as u64 + 1;
        let payload = payload(index, term, what).ok_or_else(|| format!("{word}: no entry"))?;
        Ok(Entry { index: Index(index), term: Term(term), payload })
    };
    words.iter().enumerate().map(entry).collect()
}

/// What an entry says: nothing for a command named after its place, `noop`, a configuration, or the
/// data of a command.
#[must_use]
pub fn payload(index: u64, term: u64, what: &str) -> Option<Payload> {
    match what {
        "" => Some(command(&format!("e{index}.{term}"))),
        "noop" => Some(Payload::Noop),
        _ if what.starts_with('c') && what.ends_with(']') => configuration(what),
        data => Some(command(data)),
    }
}

/// A command that nobody waits for.
fn command(data: &str) -> Payload {
    let new = NewEntry::new(data.as_bytes()).encode(Origin::default(), 1 << 20);
    Payload::Command(new.expect("a small command"))
}

fn configuration(word: &str) -> Option<Payload> {
    let (number, rest) = word.strip_prefix('c')?.strip_suffix(']')?.split_once('[')?;
    let ids = |part: &str| -> Option<Vec<u64>> {
        part.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect()
    };
    let mut parts = rest.split('|').map(ids);
    let mut next = || parts.next().unwrap_or(Some(Vec::new()));
    let (voters, outgoing, learners) = (next()?, next()?, next()?);
    let membership = membership(number.parse().ok()?, &voters, &outgoing, &learners);
    Some(Payload::Membership(Arc::new(membership)))
}
