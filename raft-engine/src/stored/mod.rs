//! What is stored, as the protocol needs it at its start: identity and hard state, where terms begin,
//! the configurations. Kept up to date by whoever writes (`writer`), because a node that changes its
//! lineage starts a new core from what is stored while the store stays open.
//!
//! Without threads, clock and randomness of its own, so that a simulator runs it as it is.

mod begin;
mod writer;

pub use begin::{Draw, draw_id};
#[cfg(feature = "runtime")]
pub(crate) use writer::entries;
pub use writer::{LogWriter, Round};

use crate::codec;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::membership::Membership;
use crate::consensus::raft::Restored;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Index, Term};
use crate::error::{Error, ErrorKind};
use crate::state_machine::Applied;
use crate::storage::{LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind};
use std::sync::Arc;

/// What a log holds, without its entries.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The hard state.
    pub state: HardState,
    first: Index,
    prev_term: Term,
    /// The highest index.
    pub last: Index,
    terms: Vec<(Index, Term)>,
    commit_hint: Index,
    memberships: Vec<(Index, Arc<Membership>)>,
    last_application: Index,
    /// What of the log was lost before this run began, if anything was.
    pub damage: Option<Arc<str>>,
}

impl Stored {
    /// What the store found, with the state of a run before.
    fn new(state: HardState, found: Recovered) -> Result<Stored, StorageError> {
        let memberships: Result<Vec<_>, _> =
            found.memberships.into_iter().map(membership).collect();
        Ok(Stored {
            state,
            first: found.first.max(Index(1)),
            prev_term: found.prev_term,
            last: found.last,
            terms: found.terms,
            commit_hint: found.commit_hint,
            memberships: memberships?,
            last_application: found.last_application,
            damage: None,
        })
    }

    /// Entries were appended.
    fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.terms.last().is_none_or(|(_, term)| *term != entry.term) {
                self.terms.push((entry.index, entry.term));
            }
            match &entry.payload {
                Payload::Membership(m) => self.memberships.push((entry.index, Arc::clone(m))),
                Payload::Command(c) if c.kind() >= 0 => self.last_application = entry.index,
                Payload::Command(_) | Payload::Noop => {}
            }
            self.last = entry.index;
        }
    }

    /// The log was cut after `keep`.
    fn cut(&mut self, keep: Index) {
        self.last = self.last.min(keep);
        self.terms.retain(|(first, _)| *first <= keep);
        self.memberships.retain(|(index, _)| *index <= keep);
        self.last_application = self.last_application.min(keep);
        self.commit_hint = self.commit_hint.min(keep);
    }

    /// The term of the entry at `index`, if that is here.
    fn term(&self, index: Index) -> Option<Term> {
        if index.next() == self.first {
            return Some(self.prev_term);
        }
        if index < self.first || index > self.last {
            return None;
        }
        let at = self.terms.partition_point(|(first, _)| *first <= index);
        at.checked_sub(1).map(|at| self.terms[at].1)
    }

    /// Whether the node was in a cluster when it stopped, or on its way into one.
    #[must_use]
    pub fn in_cluster(&self) -> bool {
        self.state.joining
            || self.state.abstaining
            || self.memberships.iter().any(|(_, m)| m.cluster == self.state.lineage && m.number > 0)
    }

    /// Whether others vote by the newest configuration.
    fn has_peers(&self) -> bool {
        let ours = |(_, m): &&(Index, Arc<Membership>)| m.cluster == self.state.lineage;
        let newest = self.memberships.iter().rfind(ours);
        newest.is_some_and(|(_, m)| m.has_other_voter(self.state.node))
    }

    /// What is known to be committed.
    fn committed(&self) -> Index {
        self.commit_hint.max(self.first.prev())
    }

    /// The start of a core.
    #[must_use]
    pub fn restored(&self, applied: Index, next_lineage: ClusterId) -> Restored {
        Restored {
            state: self.state.clone(),
            first: self.first,
            prev_term: self.prev_term,
            last: self.last,
            terms: self.terms.clone(),
            commit_hint: self.commit_hint,
            memberships: self.memberships.clone(),
            last_application: self.last_application,
            applied,
            next_lineage,
        }
    }

    /// Makes the state durable, cuts the log as it says, and makes durable that this is done. After a
    /// crash in between the next start does it again.
    fn switch(&mut self, store: &mut dyn LogStore, state: HardState) -> Result<(), StorageError> {
        put_state(store, &state)?;
        self.state = state;
        self.finish_cut(store)
    }

    fn finish_cut(&mut self, store: &mut dyn LogStore) -> Result<(), StorageError> {
        let keep = self.state.cut_to;
        if self.last > keep {
            store.truncate_suffix(keep.next())?;
            store.sync()?;
            self.cut(keep);
        }
        // What a lineage leaves behind is committed in it, and so in the one that begins there.
        self.commit_hint = self.last;
        self.state.cut_pending = false;
        put_state(store, &self.state)
    }
}

/// Makes the state durable.
fn put_state(store: &mut dyn LogStore, state: &HardState) -> Result<(), StorageError> {
    store.metadata_put(STATE_KEY, &codec::encode_state(state))
}

fn membership(record: Record) -> Result<(Index, Arc<Membership>), StorageError> {
    let index = record.index;
    match codec::decode_payload(record.payload, record.crc) {
        Some(Payload::Membership(membership)) => Ok((index, membership)),
        _ => Err(StorageError::new(StorageErrorKind::Corrupt, unreadable(index))),
    }
}

/// A record that is no entry.
pub(crate) fn unreadable(index: Index) -> String {
    format!(
        "entry {index} can't be read: it is damaged, or was written by a newer version; nothing was \
         changed"
    )
}

/// Whether the state machine fits the log. Returns what it has applied, as far as the log is known to be
/// the same: what a damaged log holds behind its commit index may have been cut later, and that may be lost.
///
/// # Errors
/// `StateMachine`: it is ahead of the log, behind it, or of another history.
pub fn check_applied(stored: &Stored, applied: &Applied) -> Result<Index, Error> {
    let refuse = |text: String| Err(Error::new(ErrorKind::StateMachine, text));
    let (at, first, last) = (applied.index, stored.first, stored.last);
    if at.next() < first {
        return refuse(format!(
            "the state machine has applied {at} and the log begins at {first}: it is behind, and \
             what lies between is gone; restore its state from a backup that has at least {}",
            first.prev()
        ));
    }
    let unknown = stored.state.abstaining && at > stored.committed();
    if at > last && !unknown {
        return refuse(ahead(stored, at));
    }
    let term = stored.term(at).unwrap_or_default();
    if !unknown && at > Index::ZERO && !applied.term.is_zero() && applied.term != term {
        return refuse(format!(
            "the state machine has applied entry {at} of term {}, but the log has {at} of term \
             {term}: they have different histories",
            applied.term
        ));
    }
    if at <= last && !fits_cluster(stored, applied) {
        return refuse(format!(
            "the state machine belongs to cluster {}, but the log to {}: they have different \
             histories",
            applied.cluster, stored.state.lineage
        ));
    }
    Ok(if unknown { stored.committed() } else { at })
}

/// Of a state machine that has applied more than the log holds.
fn ahead(stored: &Stored, at: Index) -> String {
    let last = stored.last;
    match &stored.state.former {
        Some(former) if former.left_at.index == last => format!(
            "the state machine has applied {at} and this node left its cluster with a damaged log \
             that ends at {last}: delete both and add the node again"
        ),
        _ => format!(
            "the state machine has applied {at} and the log ends at {last}: it is ahead of its log; \
             was one of the two restored from a backup, or does it belong to another node?"
        ),
    }
}

/// The cluster fits if it is not told, is that of the log, or the former one as far as that goes.
fn fits_cluster(stored: &Stored, applied: &Applied) -> bool {
    let former = stored.state.former.as_ref();
    applied.cluster.is_zero()
        || applied.cluster == stored.state.lineage
        || former.is_some_and(|f| applied.cluster == f.lineage && applied.index <= f.left_at.index)
}

#[cfg(test)]
mod tests {
    use super::begin::open;
    use super::*;
    use crate::consensus::membership::Member;
    use crate::consensus::ready::Former;
    use crate::consensus::types::{Address, EntryId, Incarnation, NodeId};
    use crate::storage::memory::Memory;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn entry(index: u64, term: u64, payload: Payload) -> Entry {
        Entry { index: Index(index), term: Term(term), payload }
    }

    fn configuration(number: u64) -> Payload {
        let member = Member { id: NodeId(1), address: Address::from("a:1") };
        let cluster = ClusterId(7);
        let voters = vec![member];
        Payload::Membership(Arc::new(Membership {
            cluster,
            number,
            voters,
            ..Membership::default()
        }))
    }

    fn stored() -> Stored {
        let mut stored = Stored { first: Index(1), ..Stored::default() };
        stored.state.lineage = ClusterId(7);
        stored.append(&[
            entry(1, 1, Payload::Noop),
            entry(2, 1, configuration(1)),
            entry(3, 4, Payload::Noop),
            entry(4, 4, configuration(2)),
        ]);
        stored
    }

    #[test]
    fn the_picture_follows_the_log() {
        let mut stored = stored();
        let term = |stored: &Stored, at| stored.term(Index(at)).map(|term| term.0);
        assert_eq!(
            (term(&stored, 0), term(&stored, 2), term(&stored, 4)),
            (Some(0), Some(1), Some(4))
        );
        assert_eq!(term(&stored, 5), None);
        stored.cut(Index(3));
        assert_eq!((stored.last, stored.memberships.len(), stored.terms.len()), (Index(3), 1, 2));
        stored.cut(Index(0));
        assert!(stored.terms.is_empty() && !stored.in_cluster());
        stored.append(&[entry(1, 9, configuration(1))]);
        assert!(stored.in_cluster() && term(&stored, 1) == Some(9));
    }

    #[test]
    fn a_state_machine_must_fit_the_log() {
        let stored = stored();
        let check = |index, term, cluster| {
            let (index, term, cluster) = (Index(index), Term(term), ClusterId(cluster));
            check_applied(&stored, &Applied { index, term, cluster }).map_err(|e| e.message)
        };
        assert_eq!(check(0, 0, 0), Ok(Index(0)));
        assert_eq!(check(4, 4, 7), Ok(Index(4)));
        assert_eq!(check(2, 0, 0), Ok(Index(2)));
        assert!(check(5, 4, 7).expect_err("ahead").contains("ahead"));
        assert!(check(3, 1, 7).expect_err("diverged").contains("term"));
        assert!(check(3, 4, 8).expect_err("diverged").contains("cluster"));
    }

    #[test]
    fn the_former_cluster_fits_as_far_as_it_goes_and_an_abstaining_log_may_be_short() {
        let mut stored = stored();
        let left_at = EntryId::new(Index(3), Term(4));
        let lineage = ClusterId(5);
        stored.state.former = Some(Former { lineage, left_at, ..Former::default() });
        let fits = |stored: &Stored, index| {
            let applied = Applied { index: Index(index), term: Term(0), cluster: ClusterId(5) };
            check_applied(stored, &applied).ok()
        };
        assert_eq!((fits(&stored, 3), fits(&stored, 4)), (Some(Index(3)), None));
        (stored.commit_hint, stored.state.abstaining) = (Index(4), true);
        assert_eq!(fits(&stored, 9), Some(Index(4)));
        stored.first = Index(3);
        assert_eq!(fits(&stored, 1), None, "what lies between is gone");
    }

    #[test]
    fn behind_the_commit_index_a_damaged_log_may_hold_what_was_cut_later() {
        let mut stored = stored();
        (stored.commit_hint, stored.state.abstaining) = (Index(2), true);
        for (index, term) in [(9, 6), (4, 5), (4, 4), (3, 0)] {
            let applied = Applied { index: Index(index), term: Term(term), cluster: ClusterId(7) };
            assert_eq!(check_applied(&stored, &applied).ok(), Some(Index(2)), "{applied:?}");
        }
        let before = Applied { index: Index(2), term: Term(3), cluster: ClusterId(7) };
        assert!(check_applied(&stored, &before).is_err(), "that entry was committed");
    }

    #[test]
    fn who_left_with_a_damaged_log_is_told_to_begin_anew() {
        let mut stored = stored();
        let left_at = EntryId::new(Index(4), Term(4));
        stored.state.former = Some(Former { left_at, ..Former::default() });
        let applied = Applied { index: Index(5), ..Applied::default() };
        let refused = check_applied(&stored, &applied).expect_err("ahead").message;
        assert!(refused.contains("left its cluster with a damaged log"), "{refused}");
    }

    /// A store that loses its power after so many calls that write.
    struct Failing {
        store: Memory,
        calls: usize,
    }

    impl Failing {
        fn write<T>(
            &mut self,
            write: impl FnOnce(&mut Memory) -> Result<T, StorageError>,
        ) -> Result<T, StorageError> {
            let dead = || StorageError::new(StorageErrorKind::Io, "the power is gone");
            self.calls = self.calls.checked_sub(1).ok_or_else(dead)?;
            write(&mut self.store)
        }
    }

    impl LogStore for Failing {
        fn open(&mut self) -> Result<Recovered, StorageError> {
            self.store.open()
        }
        fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
            self.write(|store| store.append(records, commit))
        }
        fn sync(&mut self) -> Result<(), StorageError> {
            self.write(LogStore::sync)
        }
        fn read(
            &mut self,
            from: Index,
            to: Index,
            max: usize,
        ) -> Result<Vec<Record>, StorageError> {
            self.store.read(from, to, max)
        }
        fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
            self.write(|store| store.truncate_suffix(first))
        }
        fn truncate_prefix(&mut self, last: Index, term: Term) -> Result<(), StorageError> {
            self.write(|store| store.truncate_prefix(last, term))
        }
        fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
            self.store.metadata_get(key)
        }
        fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
            self.write(|store| store.metadata_put(key, value))
        }
    }

    /// Other numbers at each call.
    fn drawn() -> impl FnMut() -> Result<u64, Error> {
        static LAST: AtomicU64 = AtomicU64::new(1);
        || Ok(LAST.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn each_run_has_its_own_incarnation_and_the_node_stays_the_same() {
        let mut store = Memory::new();
        let first = open(&mut store, &mut drawn()).expect("it is new").state;
        assert!(first.node.0 > 0 && first.lineage.0 > 0 && first.node.0 < 1 << 63);
        let second = open(&mut store, &mut drawn()).expect("it is known").state;
        assert_eq!((first.node, first.lineage), (second.node, second.lineage));
        let runs = [first.incarnation, second.incarnation];
        assert_eq!(runs.map(Incarnation::counter), [1, 2]);
        assert_ne!(runs[0].0 << 24, runs[1].0 << 24, "the low bits are random");
        let mut lost = Memory::new();
        let record = codec::encode_entry(&entry(1, 1, Payload::Noop));
        lost.append(&[record], Index(0)).expect("it takes everything");
        assert_eq!(open(&mut lost, &mut drawn()).expect_err("no state").kind, ErrorKind::Corrupt);
    }

    #[test]
    fn a_crash_between_any_two_steps_of_a_switch_leaves_the_old_or_the_new_lineage_whole() {
        let entries: Vec<Entry> = (1..=5).map(|index| entry(index, 1, Payload::Noop)).collect();
        let mut seen = Vec::new();
        for calls in 0..6 {
            let mut store = Memory::new();
            let mut stored = open(&mut store, &mut drawn()).expect("it is new");
            let records: Vec<Record> = entries.iter().map(codec::encode_entry).collect();
            store.append(&records, Index(3)).expect("it takes everything");
            stored.append(&entries);
            let old = stored.state.lineage;
            let (cut_pending, cut_to) = (true, Index(3));
            let lineage = ClusterId(77);
            let state = HardState { lineage, cut_pending, cut_to, ..stored.state.clone() };
            let finished =
                stored.switch(&mut Failing { store: store.clone(), calls }, state).is_ok();
            let again = open(&mut store, &mut drawn()).expect("what is there is whole");
            let end = (again.state.lineage, again.last.0, store.open().expect("open").last.0);
            let whole = if calls == 0 { (old, 5, 5) } else { (lineage, 3, 3) };
            assert_eq!(end, whole, "after {calls} calls");
            assert!(!again.state.cut_pending);
            seen.push(finished);
        }
        assert_eq!(seen, [false, false, false, false, true, true], "four steps");
    }
}
