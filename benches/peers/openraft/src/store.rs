//! A log and a state machine in memory, as lean as openraft's traits allow: one lock, held for no
//! longer than a copy takes. A snapshot is only the place that it was taken at, so that openraft can
//! forget applied entries, as it does by default.

use super::{Change, Reply, Types};
use futures_util::{Stream, TryStreamExt};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft::storage::{EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    vote: Option<VoteOf<Types>>,
    purged: Option<LogIdOf<Types>>,
    /// Without a gap.
    entries: VecDeque<EntryOf<Types>>,
}

impl Content {
    fn first(&self) -> u64 {
        self.purged.as_ref().map_or(0, |id| id.index + 1)
    }

    /// The place of an index; that of the end for what lies behind.
    fn place(&self, index: u64) -> usize {
        (index.saturating_sub(self.first()) as usize).min(self.entries.len())
    }

    fn range(&self, range: &impl RangeBounds<u64>) -> Vec<EntryOf<Types>> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.entries.range(self.place(from)..self.place(to)).cloned().collect()
    }
}

impl Log {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<EntryOf<Types>>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.content().range(&range))
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.content().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let content = self.content();
        let last = content.entries.back().map(|entry| entry.log_id).or(content.purged);
        Ok(LogState { last_purged_log_id: content.purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.content().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.content().entries.extend(entries);
        done.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        let mut content = self.content();
        let kept = content.place(last.map_or(0, |id| id.index + 1));
        content.entries.truncate(kept);
        Ok(())
    }

    async fn purge(&mut self, last: LogIdOf<Types>) -> Result<(), io::Error> {
        let mut content = self.content();
        let gone = content.place(last.index + 1);
        content.entries.drain(..gone);
        content.purged = Some(last);
        Ok(())
    }
}

/// The state machine.
#[derive(Clone, Default)]
pub struct Machine(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    sum: super::measure::Sum,
    applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
    snapshot: Option<SnapshotMetaOf<Types>>,
}

impl Machine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, (entry, responder): EntryResponder<Types>) {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(Change(data)) => self.sum.apply(&data),
            EntryPayload::Membership(members) => {
                self.membership = StoredMembershipOf::<Types>::new(Some(entry.log_id), members);
            }
        }
        if let Some(responder) = responder {
            responder.send(Reply);
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Machine;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let state = self.state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.try_next().await? {
            self.state().apply(entry);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Machine {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        _data: (),
    ) -> Result<(), io::Error> {
        Err(io::Error::other(format!("a member fell so far behind that it needs {meta:?}")))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, ()>>, io::Error> {
        let meta = self.state().snapshot.clone();
        Ok(meta.map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, ()>, io::Error> {
        let mut state = self.state();
        let meta = SnapshotMetaOf::<Types> {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
        };
        state.snapshot = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}
